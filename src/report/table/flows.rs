//! `flows`: one row per flow.

use super::shared::{FileIndex, community_id, protocol, side, tunnel, word};
use super::sides::{ORIGINATOR, RESPONDER};
use super::{Column, Table, columns};
use crate::dissect::Direction;
use crate::flow::{Flow, Handshake, Reset, Service, TcpFlow};
use crate::time::Span;

/// A flow and where its packets stand.
#[derive(Clone, Copy, Debug)]
pub struct FlowRow<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// The files.
    pub places: &'a FileIndex,
}

impl<'a> FlowRow<'a> {
    fn tcp(self) -> Option<&'a TcpFlow> {
        self.flow.tcp.as_deref()
    }

    fn handshake(self) -> Option<&'a Handshake> {
        self.tcp().map(|tcp| &tcp.handshake)
    }

    fn reset(self) -> Option<&'a Reset> {
        self.tcp().and_then(|tcp| tcp.resets.first())
    }

    fn missed_bytes(self) -> u64 {
        self.tcp().map_or(0, |tcp| tcp.sides.iter().map(|side| side.missed_bytes).sum())
    }

    fn stalled(self) -> Option<Span> {
        self.tcp().map(|tcp| tcp.sides.iter().fold(Span::ZERO, |sum, side| sum + side.stalled))
    }

    fn retransmissions(self) -> Option<u64> {
        self.tcp().map(|tcp| tcp.sides.iter().map(|side| side.retransmissions.data()).sum())
    }
}

/// The table of flows.
#[derive(Debug)]
pub struct Flows;

impl Table for Flows {
    const NAME: &'static str = "flows";
    const DOC: &'static str = "One row per flow (connection, or exchange of datagrams), when it ended. `orig_` is the \
        client, who opened it, `resp_` the server. Counts leave out duplicate observations of a packet.";
    const BRIEF: &'static [&'static str] = &[
        "ts",
        "id.orig_h",
        "id.orig_p",
        "id.resp_h",
        "id.resp_p",
        "proto",
        "service",
        "duration",
        "orig_bytes",
        "resp_bytes",
        "conn_state",
        "retransmissions",
        "frame",
    ];
    const COLUMNS: &'static [&'static [Column<Self>]] = &[IDENTITY, ORIGINATOR, RESPONDER, TCP];
    type Row<'a> = FlowRow<'a>;
}

const IDENTITY: &[Column<Flows>] = columns! { Flows:
    "ts" Time "time of the first packet" = |row| row.flow.first.time;
    "flow_id" U64 "ordinal of the first packet over the capture set; joins every table" = |row| row.flow.id;
    "id.orig_h" Text "client address" = |row| row.flow.client.address;
    "id.orig_p" U16 "client port, 0 for protocols without ports" = |row| row.flow.client.port;
    "id.resp_h" Text "server address" = |row| row.flow.server.address;
    "id.resp_p" U16 "server port, 0 for protocols without ports" = |row| row.flow.server.port;
    "proto" Text "transport protocol; proto_<number> for the rarer ones" = |row| protocol(row.flow.protocol);
    "service" Text "service recognised from content, null when none was"
        = |row| row.flow.service.map(Service::name);
    "duration" F64 "first to last packet, s" = |row| row.flow.last.time - row.flow.first.time;
    "conn_state" Text "TCP: Zeek's connection state (S0, S1, SF, REJ, RSTO, RSTR, OTH ...)"
        = |row| row.tcp().map(|tcp| tcp.conn_state.name());
    "history" Text "TCP: Zeek's history letters, upper case by the client"
        = |row| row.tcp().map(|tcp| tcp.history.as_str());
    "missed_bytes" U64 "TCP: bytes that were acknowledged and never captured, both sides"
        = |row| row.missed_bytes();
    "community_id" Text "Community ID, version 1; null for ICMP" = |row| community_id(&row.flow.head());
    "tcp_stream" U32 "Wireshark's tcp.stream; null for other protocols or beyond limits.streams"
        = |row| row.flow.stream;
    "roles" Text "how client and server were told apart: handshake, port, first_packet" = |row| word(&row.flow.roles);
    "end" Text "why it was closed: idle, reused, capture_end, evicted" = |row| word(&row.flow.end);
    "one_way" Bool "packets of one direction only were captured" = |row| row.flow.is_one_way();
    "vlan" U16 "outermost VLAN id of the first packet, null when untagged"
        = |row| Some(row.flow.path.vlan).filter(|vlan| *vlan != 0);
    "inner_vlan" U16 "second VLAN id" = |row| Some(row.flow.path.inner_vlan).filter(|vlan| *vlan != 0);
    "tunnel" Text "innermost encapsulation of the first packet" = |row| tunnel(row.flow.path.tunnel);
    "tunnel_id" U32 "VNI, GRE key, TEID, session id or MPLS label of it"
        = |row| Some(row.flow.path.tunnel_id).filter(|_| row.flow.path.depth > 0);
    "file" Text "file of the first packet" = |row| row.places.file(row.flow.first.packet);
    "frame" U64 "frame number of the first packet in its file" = |row| row.places.frame(row.flow.first.packet);
    "last_ts" Time "time of the last packet" = |row| row.flow.last.time;
    "last_file" Text "file of the last packet" = |row| row.places.file(row.flow.last.packet);
    "last_frame" U64 "frame number of the last packet in its file" = |row| row.places.frame(row.flow.last.packet);
    "watched_until" Time "up to when the capture watched for more packets of it" = |row| row.flow.watched_until;
    "icmp_errors" U64 "ICMP errors that quote it"
        = |row| row.flow.icmp_errors.len() as u64 + row.flow.icmp_errors_dropped;
};

const TCP: &[Column<Flows>] = columns! { Flows:
    "vantage" Text "TCP: where the capture point stands: client, server, middle, unknown"
        = |row| row.tcp().map(|tcp| word(&tcp.vantage));
    "handshake" Text "TCP: what became of the handshake: established, refused, silent, reply_lost, midstream ..."
        = |row| row.handshake().map(|handshake| word(&handshake.outcome));
    "syns" U32 "TCP: SYNs seen, repeats included" = |row| row.handshake().map(|handshake| handshake.syn_count);
    "syn_acks" U32 "TCP: SYN-ACKs seen, repeats included"
        = |row| row.handshake().map(|handshake| handshake.syn_ack_count);
    "syn_acks_differ" Bool "TCP: SYN-ACKs came with more than one initial sequence number"
        = |row| row.handshake().map(|handshake| handshake.syn_acks_differ);
    "server_rtt" F64 "TCP: SYN to SYN-ACK at the capture point, s"
        = |row| row.handshake().and_then(|handshake| handshake.server_rtt);
    "client_rtt" F64 "TCP: SYN-ACK to ACK at the capture point, s"
        = |row| row.handshake().and_then(|handshake| handshake.client_rtt);
    "connect_time" F64 "TCP: first SYN to first SYN-ACK, retries included, s"
        = |row| row.handshake().and_then(|handshake| handshake.connect_time);
    "retransmissions" U64 "TCP: data segments sent again, both sides" = |row| row.retransmissions();
    "stalled" F64 "TCP: time without progress because of losses, both sides, s" = |row| row.stalled();
    "reset_by" Text "TCP: who reset it first: orig, resp" = |row| row.reset().map(|reset| side(reset.direction));
    "reset_class" Text "TCP: refused, handshake_abort, probe_close, abort, benign, idle, no_socket"
        = |row| row.reset().map(|reset| word(&reset.class));
    "reset_idle" F64 "TCP: silence before the reset or the packet it answers, s"
        = |row| row.reset().map(|reset| reset.idle);
    "reset_frame" U64 "TCP: frame number of the first RST in its file"
        = |row| row.places.frame_of(row.reset().map(|reset| reset.at));
    "orig_resets" U32 "TCP: RSTs of the client" = |row| row.resets(Direction::ToServer);
    "resp_resets" U32 "TCP: RSTs of the server" = |row| row.resets(Direction::ToClient);
    "events" U64 "TCP: rows in tcp_events" = |row| row.tcp().map(|tcp| tcp.events.len());
    "events_dropped" U64 "TCP: events beyond limits.events_per_flow" = |row| row.tcp().map(|tcp| tcp.events_dropped);
    "disorder" U32 "TCP: packets whose order in the capture contradicts causality"
        = |row| row.tcp().map(|tcp| tcp.disorder);
};

impl FlowRow<'_> {
    fn resets(self, direction: Direction) -> Option<u32> {
        let resets = &self.tcp()?.resets;
        Some(resets.iter().filter(|reset| reset.direction == direction).map(|reset| reset.count).sum())
    }
}
