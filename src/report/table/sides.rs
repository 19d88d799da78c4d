//! The columns of `flows` that exist once for the client (`orig_`) and once for the server (`resp_`).

use super::shared::{FileIndex, link_address};
use super::{Column, FlowRow, Flows, column};
use crate::dissect::Direction;
use crate::dissect::TcpOptions;
use crate::flow::{Half, TcpSide, UndeliveredSegment};
use crate::time::Span;

/// What one side of a flow sent.
#[derive(Clone, Copy)]
struct Side<'a> {
    half: &'a Half,
    tcp: Option<&'a TcpSide>,
    options: Option<&'a TcpOptions>,
    places: &'a FileIndex,
}

impl<'a> Side<'a> {
    fn of(row: FlowRow<'a>, direction: Direction) -> Self {
        let tcp = row.flow.tcp.as_deref();
        Self {
            half: row.flow.half(direction),
            tcp: tcp.map(|tcp| tcp.side(direction)),
            options: tcp.and_then(|tcp| tcp.handshake.options[direction.index()].as_ref()),
            places: row.places,
        }
    }

    /// The stuck range that was tried most.
    fn stuck(self) -> Option<&'a UndeliveredSegment> {
        self.tcp?.sizes.stuck.iter().max_by_key(|stuck| stuck.tries)
    }

    fn mean_rtt(self) -> Option<Span> {
        let (sum, samples) = self.tcp?.rtt_samples;
        sum.0.checked_div(i64::try_from(samples).ok()?).map(Span)
    }
}

/// Declares the same columns for both sides.
macro_rules! side_columns {
    ($($name:literal $kind:ident $doc:literal = |$side:ident| $value:expr;)*) => {
        /// What the client sent.
        pub(super) const ORIGINATOR: &[Column<Flows>] =
            side_columns!(@ "orig_" "client: " ToServer $($name $kind $doc = |$side| $value;)*);
        /// What the server sent.
        pub(super) const RESPONDER: &[Column<Flows>] =
            side_columns!(@ "resp_" "server: " ToClient $($name $kind $doc = |$side| $value;)*);
    };
    (@ $prefix:literal $who:literal $direction:ident
        $($name:literal $kind:ident $doc:literal = |$side:ident| $value:expr;)*) => {
        &[$(column!(Flows, concat!($prefix, $name), $kind, concat!($who, $doc), |row| {
            let $side = Side::of(*row, Direction::$direction);
            $value
        }),)*]
    };
}

side_columns! {
    "bytes" U64 "payload bytes sent, TCP without repeats"
        = |side| side.tcp.map_or(side.half.payload_bytes, |tcp| tcp.unique_bytes);
    "pkts" U64 "packets" = |side| side.half.packets;
    "ip_bytes" U64 "IP datagram bytes" = |side| side.half.bytes;
    "payload_bytes" U64 "payload bytes, repeats included" = |side| side.half.payload_bytes;
    "copies" U64 "duplicate observations left out of the counts" = |side| side.half.copies;
    "clipped" U64 "packets cut by the snapshot length" = |side| side.half.clipped;
    "zero_length" U64 "packets whose IP length was 0 (segmentation offload)" = |side| side.half.zero_length;
    "first_ts" Time "time of the first packet" = |side| side.half.first.map(|at| at.time);
    "first_frame" U64 "frame number of the first packet in its file" = |side| side.places.frame_of(side.half.first);
    "last_ts" Time "time of the last packet" = |side| side.half.last.map(|at| at.time);
    "last_frame" U64 "frame number of the last packet in its file" = |side| side.places.frame_of(side.half.last);
    "ttl_min" U8 "lowest TTL or hop limit" = |side| side.half.ttl.map(|(low, _)| low);
    "ttl_max" U8 "highest TTL or hop limit" = |side| side.half.ttl.map(|(_, high)| high);
    "l2_addr" Text "link address it sent from first"
        = |side| side.half.links.first().and_then(|link| link_address(link.source));
    "links" U8 "distinct link paths its packets took, at most 4" = |side| side.half.links.len();
    "interface" U32 "capture interface of its first packet, numbered over the set"
        = |side| side.half.links.first().map(|link| link.interface);
    "data_segments" U64 "TCP: segments with payload, repeats included" = |side| side.tcp.map(|tcp| tcp.data_segments);
    "unique_segments" U64 "TCP: of those, the ones with bytes not captured before; super-frames count as wire segments"
        = |side| side.tcp.map(|tcp| tcp.unique_segments);
    "repeated_bytes" U64 "TCP: payload bytes sent again" = |side| side.tcp.map(|tcp| tcp.repeated_bytes);
    "rexmit_fast" U64 "TCP: retransmissions after duplicate or selective ACKs"
        = |side| side.tcp.map(|tcp| tcp.retransmissions.fast);
    "rexmit_timeout" U64 "TCP: retransmissions after the timer" = |side| side.tcp.map(|tcp| tcp.retransmissions.timeout);
    "rexmit_tail_loss_probe" U64 "TCP: tail loss probes"
        = |side| side.tcp.map(|tcp| tcp.retransmissions.tail_loss_probe);
    "rexmit_unclassified" U64 "TCP: retransmissions whose cause is not visible"
        = |side| side.tcp.map(|tcp| tcp.retransmissions.unclassified);
    "rexmit_spurious" U64 "TCP: of the retransmissions, those proven not needed"
        = |side| side.tcp.map(|tcp| tcp.retransmissions.spurious);
    "rexmit_path_mtu" U64 "TCP: of the retransmissions, path MTU discovery at work"
        = |side| side.tcp.map(|tcp| tcp.retransmissions.path_mtu);
    "rexmit_lost_after" U64 "TCP: of the retransmissions, first copy lost behind the capture point"
        = |side| side.tcp.map(|tcp| tcp.retransmissions.lost_after);
    "rexmit_lost_before" U64 "TCP: of the retransmissions, first copy lost before the capture point"
        = |side| side.tcp.map(|tcp| tcp.retransmissions.lost_before);
    "rexmit_syn" U64 "TCP: SYN or SYN-ACK repeats" = |side| side.tcp.map(|tcp| tcp.retransmissions.syn);
    "rexmit_fin" U64 "TCP: FIN repeats" = |side| side.tcp.map(|tcp| tcp.retransmissions.fin);
    "reordered" U64 "TCP: late segments that were sent once" = |side| side.tcp.map(|tcp| tcp.reordered);
    "late_ambiguous" U64 "TCP: late segments, reordered or sent again" = |side| side.tcp.map(|tcp| tcp.late_ambiguous);
    "duplicate_acks" U64 "TCP: duplicate ACKs sent" = |side| side.tcp.map(|tcp| tcp.duplicate_acks);
    "zero_windows" U64 "TCP: announcements of a closed receive window" = |side| side.tcp.map(|tcp| tcp.zero_windows);
    "zero_window_time" F64 "TCP: time its receive window stayed closed, s"
        = |side| side.tcp.map(|tcp| tcp.zero_window_time);
    "keep_alives" U64 "TCP: keep-alive probes sent" = |side| side.tcp.map(|tcp| tcp.keep_alives);
    "missed_bytes" U64 "TCP: bytes that the peer acknowledged and the capture never saw"
        = |side| side.tcp.map(|tcp| tcp.missed_bytes);
    "hole_bytes" U64 "TCP: bytes never seen and never acknowledged" = |side| side.tcp.map(|tcp| tcp.hole_bytes);
    "conflicts" U64 "TCP: repeats whose bytes differ from the first copy" = |side| side.tcp.map(|tcp| tcp.conflicts);
    "stalled" F64 "TCP: time without progress because of losses, s" = |side| side.tcp.map(|tcp| tcp.stalled);
    "stalled_share" F64 "TCP: share of the time from the first to the last segment with payload that this is"
        = |side| side.tcp.filter(|tcp| tcp.transfer.is_some()).map(|tcp| tcp.stalled_share());
    "mss" U16 "TCP: announced maximum segment size, bytes" = |side| side.tcp.and_then(|tcp| tcp.mss);
    "window_scale" U8 "TCP: window scale shift in force; null when the handshake was not seen"
        = |side| side.tcp.and_then(|tcp| tcp.window_scale);
    "sack_permitted" Bool "TCP: SACK permitted in its SYN" = |side| side.options.map(|options| options.sack_permitted);
    "timestamps" Bool "TCP: timestamps option in its SYN"
        = |side| side.options.map(|options| options.timestamps.is_some());
    "super_frames" U64 "TCP: segments larger than the peer's MSS allows (segmentation offload)"
        = |side| side.tcp.map(|tcp| tcp.super_frames);
    "largest_payload" U32 "TCP: largest payload of one segment, bytes" = |side| side.tcp.map(|tcp| tcp.largest_payload);
    "fin_ts" Time "TCP: time of the first FIN" = |side| side.tcp.and_then(|tcp| tcp.fin).map(|at| at.time);
    "fin_frame" U64 "TCP: frame number of the first FIN in its file"
        = |side| side.places.frame_of(side.tcp.and_then(|tcp| tcp.fin));
    "fin_acked" Bool "TCP: its FIN was acknowledged" = |side| side.tcp.map(|tcp| tcp.fin_acked);
    "min_rtt" F64 "TCP: smallest delay from its data to the ACK at the capture point, s"
        = |side| side.tcp.and_then(|tcp| tcp.min_rtt);
    "mean_rtt" F64 "TCP: mean of those delays, s" = |side| side.mean_rtt();
    "rtt_samples" U64 "TCP: number of those delays" = |side| side.tcp.map(|tcp| tcp.rtt_samples.1);
    "acked_progress" U64 "TCP: bytes its acknowledgement number moved" = |side| side.tcp.map(|tcp| tcp.acked_progress);
    "delivered_bytes" U64 "TCP: bytes given to the application parser in order"
        = |side| side.tcp.map(|tcp| tcp.delivered_bytes);
    "largest_delivered" U32 "TCP: largest IP datagram known to have arrived, bytes"
        = |side| side.tcp.map(|tcp| tcp.sizes.largest_delivered);
    "stuck_ranges" U8 "TCP: ranges sent three times or more at one size and never acknowledged, at most 8"
        = |side| side.tcp.map(|tcp| tcp.sizes.stuck.len());
    "stuck_ip_length" U32 "TCP: IP datagram size of the range that was tried most, bytes"
        = |side| side.stuck().map(|stuck| stuck.ip_length);
    "stuck_tries" U32 "TCP: how often that range was sent" = |side| side.stuck().map(|stuck| stuck.tries);
    "stuck_time" F64 "TCP: how long that range stood still, s" = |side| side.stuck().map(|stuck| stuck.stalled);
}
