//! `tcp_sides`: one row per direction of a TCP flow that got an answer.

use super::shared::{FileIndex, link_address, ordinal, side, word};
use super::{Column, Table, columns};
use crate::dissect::{Direction, PacketRef, TcpOptions};
use crate::flow::{Flow, Half, LinkUse, Reset, Retransmissions, TcpFlow, TcpSide};
use crate::time::Span;

/// What one side of a TCP flow sent.
#[derive(Clone, Copy, Debug)]
pub struct SideRow<'a> {
    flow: &'a Flow,
    tcp: &'a TcpFlow,
    direction: Direction,
    files: &'a FileIndex,
}

impl<'a> SideRow<'a> {
    /// Both sides of `flow`; none when packets of one side only were captured, or of another protocol.
    pub fn of(flow: &'a Flow, files: &'a FileIndex) -> impl Iterator<Item = Self> {
        let answered = flow.tcp.as_deref().filter(|_| !flow.is_one_way());
        answered.into_iter().flat_map(move |tcp| {
            [Direction::ToServer, Direction::ToClient].map(|direction| Self { flow, tcp, direction, files })
        })
    }

    fn half(self) -> &'a Half {
        self.flow.half(self.direction)
    }

    fn sent(self) -> &'a TcpSide {
        self.tcp.side(self.direction)
    }

    fn again(self) -> &'a Retransmissions {
        &self.sent().retransmissions
    }

    fn duration(self) -> Option<Span> {
        Some(self.half().last?.time - self.half().first?.time)
    }

    fn link(self) -> Option<&'a LinkUse> {
        self.half().links.first()
    }

    fn options(self) -> Option<&'a TcpOptions> {
        self.tcp.handshake.options[self.direction.index()].as_ref()
    }

    fn handshake_rtt(self) -> Option<Span> {
        match self.direction {
            Direction::ToServer => self.tcp.handshake.client_rtt,
            Direction::ToClient => self.tcp.handshake.server_rtt,
        }
    }

    fn mean_rtt(self) -> Option<Span> {
        let (sum, samples) = self.sent().rtt_samples;
        sum.0.checked_div(i64::try_from(samples).ok()?).map(Span)
    }

    /// The IP length of the segment that was tried most and never arrived.
    fn undelivered(self) -> Option<u32> {
        let tried = self.sent().sizes.undelivered.iter().max_by_key(|segment| segment.tries);
        tried.map(|segment| segment.ip_length)
    }

    fn proxied_for(self) -> Option<String> {
        let upgrade = self.flow.upgrade.as_deref().filter(|_| self.direction == Direction::ToServer)?;
        Some(upgrade.proxied?.client?.to_string())
    }

    fn reset(self) -> Option<PacketRef> {
        let own = |reset: &&Reset| reset.direction == self.direction;
        self.tcp.resets.iter().find(own).map(|reset| reset.at)
    }
}

/// The table of the directions of TCP flows.
#[derive(Debug)]
pub struct TcpSides;

impl Table for TcpSides {
    const NAME: &'static str = "tcp_sides";
    const DOC: &'static str = "One row per direction of a TCP flow of which packets of both directions were \
        captured: what that side sent, and what became of it. Packets and bytes are in flows.";
    const BRIEF: &'static [&'static str] = &[
        "flow_id",
        "side",
        "frame",
        "data_segments",
        "repeated_bytes",
        "rexmit_fast",
        "rexmit_timeout",
        "reordered",
        "missed_bytes",
        "stalled",
        "min_rtt",
        "mss",
    ];
    const COLUMNS: &'static [Column<Self>] = SIDE;
    type Row<'a> = SideRow<'a>;
}

const SIDE: &[Column<TcpSides>] = columns! { TcpSides:
    "flow_id" U64 "the flow, in flows" = |row| row.flow.id;
    "side" Text "who sent it: orig (client), resp (server)" = |row| side(row.direction);
    "ts" Time "time of its first packet" = |row| row.half().first.map(|at| at.time);
    "duration" F64 "its first to its last packet, s" = |row| row.duration();
    "packet" U64 "ordinal of its first packet over the capture set" = |row| ordinal(row.half().first);
    "file" Text "file of its first packet" = |row| row.half().first.map(|at| row.files.file(at.packet));
    "frame" U64 "frame number of its first packet in its file" = |row| row.files.frame_of(row.half().first);
    "vantage" Text "where the capture point of the flow stands: client, server, middle, unknown"
        = |row| word(&row.tcp.vantage);
    "interface" U32 "capture interface of its first packet, numbered over the set"
        = |row| row.link().map(|link| link.interface);
    "l2_addr" Text "link address it sent from first"
        = |row| row.link().and_then(|link| link_address(link.source));
    "links" U8 "distinct link paths its packets took, at most 4" = |row| row.half().links.len();
    "ttl_min" U8 "lowest TTL or hop limit" = |row| row.half().ttl.map(|(low, _)| low);
    "ttl_max" U8 "highest TTL or hop limit" = |row| row.half().ttl.map(|(_, high)| high);
    "copies" U64 "duplicate observations, which no other count has" = |row| row.half().copies;
    "clipped" U64 "packets cut by the snapshot length" = |row| row.half().clipped;
    "super_frames" U64 "segments larger than the peer's MSS allows (segmentation offload)"
        = |row| row.sent().super_frames;
    "mss" U16 "maximum segment size that it announced, bytes" = |row| row.sent().mss;
    "window_scale" U8 "window scale shift in force; null when the handshake was not seen"
        = |row| row.sent().window_scale;
    "sack_permitted" Bool "SACK permitted in its SYN; null when that was not seen"
        = |row| row.options().map(|options| options.sack_permitted);
    "timestamps" Bool "timestamps option in its SYN; null when that was not seen"
        = |row| row.options().map(|options| options.timestamps.is_some());
    "handshake_rtt" F64 "how long its answer in the handshake took at the capture point: the client's ACK, \
        the server's SYN-ACK, s" = |row| row.handshake_rtt();
    "min_rtt" F64 "smallest delay from its data to the ACK at the capture point, s"
        = |row| row.sent().min_rtt;
    "mean_rtt" F64 "mean of those delays, s" = |row| row.mean_rtt();
    "data_segments" U64 "segments with payload, repeats included; super-frames count as wire segments"
        = |row| row.sent().data_segments;
    "unique_segments" U64 "of those, the ones with bytes not captured before: what rates of loss are over"
        = |row| row.sent().unique_segments;
    "repeated_bytes" U64 "payload bytes sent again" = |row| row.sent().repeated_bytes;
    "rexmit_fast" U64 "data retransmissions after duplicate or selective ACKs" = |row| row.again().fast;
    "rexmit_timeout" U64 "data retransmissions after the timer" = |row| row.again().timeout;
    "rexmit_tail_loss_probe" U64 "tail loss probes" = |row| row.again().tail_loss_probe;
    "rexmit_unclassified" U64 "data retransmissions whose cause is not visible"
        = |row| row.again().unclassified;
    "rexmit_spurious" U64 "of those four, the ones proven not needed" = |row| row.again().spurious;
    "rexmit_lost_after" U64 "of those four, first copy lost behind the capture point"
        = |row| row.again().lost_after;
    "rexmit_lost_before" U64 "of those four, first copy lost before the capture point"
        = |row| row.again().lost_before;
    "rexmit_syn" U64 "SYN or SYN-ACK repeats" = |row| row.again().syn;
    "reordered" U64 "late segments that were sent once" = |row| row.sent().reordered;
    "late_ambiguous" U64 "late segments, reordered or sent again" = |row| row.sent().late_ambiguous;
    "duplicate_acks" U64 "duplicate ACKs sent" = |row| row.sent().duplicate_acks;
    "zero_window_time" F64 "time its receive window stayed closed, s" = |row| row.sent().zero_window_time;
    "missed_bytes" U64 "bytes that the peer acknowledged and the capture never saw"
        = |row| row.sent().missed_bytes;
    "hole_bytes" U64 "bytes never seen and never acknowledged" = |row| row.sent().hole_bytes;
    "stalled" F64 "time without progress because of losses, s" = |row| row.sent().stalled;
    "largest_delivered" U32 "largest IP datagram known to have arrived, bytes"
        = |row| row.sent().sizes.largest_delivered;
    "undelivered_length" U32 "IP datagram size of the segment that was sent three times or more and never \
        acknowledged, bytes; of several the one sent most; null when there is none" = |row| row.undelivered();
    "proxied_for" Text "client for whom a proxy connected (PROXY protocol), address:port; on the \
        client's side"
        = |row| row.proxied_for();
    "fin_packet" U64 "ordinal of its first FIN; null when there was none" = |row| ordinal(row.sent().fin);
    "fin_frame" U64 "frame number of its first FIN in its file" = |row| row.files.frame_of(row.sent().fin);
    "reset_packet" U64 "ordinal of its first RST; null when there was none" = |row| ordinal(row.reset());
    "reset_frame" U64 "frame number of its first RST in its file" = |row| row.files.frame_of(row.reset());
};
