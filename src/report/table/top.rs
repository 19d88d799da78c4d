//! `top`: one row per talker, who moved most first.

use super::{Column, Table, columns};
use crate::report::growth::Growth;
use crate::report::talkers::{Moved, Talker};

/// What one talker moved.
#[derive(Clone, Copy, Debug)]
pub struct TopRow<'a> {
    /// Who.
    pub talker: &'a Talker,
    /// How much.
    pub moved: &'a Moved,
    /// Of all bytes of the capture.
    pub share: f64,
    /// Before and after the middle of the capture, when asked for.
    pub growth: Option<Growth>,
}

/// The table of talkers.
#[derive(Debug)]
pub struct Top;

impl Table for Top {
    const NAME: &'static str = "top";
    const DOC: &'static str = "One row per host, client, server, service, port, conversation or protocol, as \
        `--by` says: who moved most. A flow counts for both of its hosts. Of more than a million the \
        lightest are counted together, as `(others)`. Duplicate observations of a packet are left out.";
    const BRIEF: &'static [&'static str] =
        &["talker", "bytes", "share", "sent", "received", "packets", "flows", "ts", "last_seen"];
    const COLUMNS: &'static [Column<Self>] = TOP;
    type Row<'a> = TopRow<'a>;
}

const TOP: &[Column<Top>] = columns! { Top:
    "talker" Text "who: address; address:port and protocol; port and protocol; client and server; protocol"
        = |row| row.talker.to_string();
    "bytes" U64 "IP bytes of both directions" = |row| row.moved.bytes();
    "share" F64 "of all IP bytes of the capture, 0 to 1" = |row| row.share;
    "sent" U64 "IP bytes that it sent; of a conversation or a protocol, those of the client"
        = |row| row.moved.sent;
    "received" U64 "IP bytes that it got" = |row| row.moved.received;
    "packets" U64 "packets of both directions" = |row| row.moved.packets;
    "flows" U64 "flows" = |row| row.moved.flows;
    "growth" F64 "bytes per second that it moved more after the middle of the capture than before; the bytes \
        of a flow count in equal shares of its time; null without --growth"
        = |row| row.growth.map(|growth| growth.after - growth.before);
    "rate_before" F64 "bytes per second before the middle" = |row| row.growth.map(|growth| growth.before);
    "rate_after" F64 "bytes per second after the middle" = |row| row.growth.map(|growth| growth.after);
    "ts" Time "its first packet" = |row| row.moved.seen.map(|(first, _)| first);
    "last_seen" Time "its last packet" = |row| row.moved.seen.map(|(_, last)| last);
};
