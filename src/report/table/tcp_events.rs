//! `tcp_events`: one row per classified TCP segment.

use super::reason::reason;
use super::shared::{FileIndex, ordinal, side, word};
use super::tshark::{self, Difference};
use super::{Column, Table, columns};
use crate::dissect::Endpoint;
use crate::flow::{Flow, LossPlace, TcpEvent};
use crate::time::Span;

/// An event and the flow it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct EventRow<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// The event.
    pub event: &'a TcpEvent,
    /// The files.
    pub files: &'a FileIndex,
}

impl EventRow<'_> {
    fn from(self) -> Endpoint {
        self.flow.sender(self.event.direction)
    }

    fn to(self) -> Endpoint {
        self.flow.sender(self.event.direction.reverse())
    }

    fn tshark(self) -> Option<tshark::Reading> {
        self.flow.tcp.as_ref().and_then(|tcp| tshark::reading(self.event, &tcp.handshake))
    }
}

/// The table of classified TCP segments.
#[derive(Debug)]
pub struct TcpEvents;

impl Table for TcpEvents {
    const NAME: &'static str = "tcp_events";
    const DOC: &'static str = "One row per TCP segment that was not simply the next one: what it was, which \
        packet it repeats, and which packet made the sender send it.";
    const BRIEF: &'static [&'static str] = &[
        "ts",
        "frame",
        "src_h",
        "src_p",
        "dst_h",
        "dst_p",
        "kind",
        "length",
        "original_frame",
        "delay",
        "loss",
    ];
    const COLUMNS: &'static [Column<Self>] = EVENT;
    type Row<'a> = EventRow<'a>;
}

const EVENT: &[Column<TcpEvents>] = columns! { TcpEvents:
    "ts" Time "time of the segment" = |row| row.event.at.time;
    "flow_id" U64 "the flow, in flows" = |row| row.flow.id;
    "packet" U64 "ordinal of the segment over the capture set" = |row| row.event.at.packet;
    "file" Text "file of the segment" = |row| row.files.file(row.event.at.packet);
    "frame" U64 "frame number of the segment in its file" = |row| row.files.frame(row.event.at.packet);
    "tcp_stream" U32 "Wireshark's tcp.stream" = |row| row.flow.stream;
    "direction" Text "who sent it: orig (client), resp (server)" = |row| side(row.event.direction);
    "src_h" Text "sender's address" = |row| row.from().address;
    "src_p" U16 "sender's port" = |row| row.from().port;
    "dst_h" Text "receiver's address" = |row| row.to().address;
    "dst_p" U16 "receiver's port" = |row| row.to().port;
    "kind" Text "what it was, e.g. fast_retransmission, timeout_retransmission, reordered, zero_window"
        = |row| row.event.kind.name();
    "seq" U32 "first sequence number, raw" = |row| row.event.seq.0;
    "length" U32 "payload bytes" = |row| row.event.length;
    "ip_length" U32 "IP datagram bytes" = |row| row.event.ip_length;
    "dont_fragment" Bool "don't-fragment was set (always for IPv6)" = |row| row.event.dont_fragment;
    "original_packet" U64 "ordinal of the packet it repeats, or of the first one above the hole it fills"
        = |row| ordinal(row.event.original);
    "original_frame" U64 "frame number of that packet in its file"
        = |row| row.files.frame_of(row.event.original);
    "trigger_packet" U64 "ordinal of the packet that made the sender send it"
        = |row| ordinal(row.event.trigger);
    "trigger_frame" U64 "frame number of that packet in its file"
        = |row| row.files.frame_of(row.event.trigger);
    "delay" F64 "time since the original, or since the hole it fills was opened, s"
        = |row| Some(row.event.delay).filter(|delay| *delay != Span::ZERO || row.event.original.is_some());
    "stalled" F64 "time without progress because of the loss that it repairs, s"
        = |row| Some(row.event.stalled).filter(|stalled| *stalled != Span::ZERO);
    "loss" Text "where the first copy was lost, seen from the capture point: after, before"
        = |row| Some(row.event.loss).filter(|loss| *loss != LossPlace::Unknown).map(|loss| word(&loss));
    "spurious" Text "why it was not needed: duplicate_sack, earlier_echo, early_ack, already_acked, at_once"
        = |row| row.event.spurious.map(|proof| word(&proof));
    "proof_packet" U64 "ordinal of the packet that proves it" = |row| ordinal(row.event.proof);
    "proof_frame" U64 "frame number of that packet in its file" = |row| row.files.frame_of(row.event.proof);
    "path_mtu" Bool "path MTU discovery at work, not loss" = |row| row.event.path_mtu;
    "reason" Text "why it is called so, with the frames that justify it" = |row| reason(*row);
    "tshark" Text "the field of tcp.analysis that tshark sets for such a segment"
        = |row| row.tshark().map(|(name, _)| format!("tcp.analysis.{name}"));
    "difference" Text "why tshark says something else than kind"
        = |row| row.tshark().and_then(|(_, difference)| difference).map(Difference::words);
};
