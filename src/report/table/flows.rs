//! `flows`: one row per flow.

use super::shared::{FileIndex, community_id, encapsulation, protocol, side, word};
use super::{Column, Table, columns};
use crate::flow::{Flow, Handshake, Reset, Service, TcpFlow, TcpSide};
use crate::time::Span;

/// A flow and where its packets stand.
#[derive(Clone, Copy, Debug)]
pub struct FlowRow<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// The files.
    pub files: &'a FileIndex,
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

    fn stalled(self) -> Option<Span> {
        self.tcp().map(|tcp| tcp.sides.iter().fold(Span::ZERO, |sum, side| sum + side.stalled))
    }

    /// A count over both sides of TCP.
    fn both(self, count: fn(&TcpSide) -> u64) -> Option<u64> {
        self.tcp().map(|tcp| tcp.sides.iter().map(count).sum())
    }

    /// Payload bytes that the client and the server sent, of TCP without repeats.
    fn bytes(self) -> [u64; 2] {
        match self.tcp() {
            Some(tcp) => tcp.sides.each_ref().map(|side| side.unique_bytes),
            None => self.flow.halves.each_ref().map(|half| half.payload_bytes),
        }
    }
}

/// The table of flows.
#[derive(Debug)]
pub struct Flows;

impl Table for Flows {
    const NAME: &'static str = "flows";
    const DOC: &'static str = "One row per flow (connection, or exchange of datagrams), when it ended. \
        `orig_` is the client, who opened it, `resp_` the server. Counts leave out duplicate observations of \
        a packet. What is null for all but TCP says so; what TCP did in each direction is in tcp_sides.";
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
    const COLUMNS: &'static [Column<Self>] = FLOW;
    type Row<'a> = FlowRow<'a>;
}

const FLOW: &[Column<Flows>] = columns! { Flows:
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
    "orig_bytes" U64 "payload bytes that the client sent, TCP without repeats" = |row| row.bytes()[0];
    "resp_bytes" U64 "payload bytes that the server sent, TCP without repeats" = |row| row.bytes()[1];
    "conn_state" Text "TCP: Zeek's connection state (S0, S1, SF, REJ, RSTO, RSTR, OTH ...)"
        = |row| row.tcp().map(|tcp| tcp.conn_state.name());
    "missed_bytes" U64 "TCP: bytes that were acknowledged and never captured, both sides"
        = |row| row.both(|side| side.missed_bytes);
    "history" Text "TCP: Zeek's history letters, upper case by the client"
        = |row| row.tcp().map(|tcp| tcp.history.as_str());
    "orig_pkts" U64 "packets of the client" = |row| row.flow.halves[0].packets;
    "orig_ip_bytes" U64 "IP datagram bytes of the client" = |row| row.flow.halves[0].bytes;
    "resp_pkts" U64 "packets of the server" = |row| row.flow.halves[1].packets;
    "resp_ip_bytes" U64 "IP datagram bytes of the server" = |row| row.flow.halves[1].bytes;
    "community_id" Text "Community ID, version 1; null for ICMP" = |row| community_id(&row.flow.head());
    "tcp_stream" U32 "Wireshark's tcp.stream; null for other protocols or beyond limits.streams"
        = |row| row.flow.stream;
    "encapsulation" Text "VLAN tags and the innermost tunnel of the first packet with its VNI, GRE key, \
        TEID, session id or MPLS label, e.g. vlan 7, vxlan 5001; null when there is none"
        = |row| encapsulation(&row.flow.path);
    "roles" Text "how client and server were told apart: handshake, port, first_packet; continued: the flow \
        may go on where one that ended as evicted was cut"
        = |row| if row.flow.continues { "continued" } else { word(&row.flow.roles) };
    "end" Text "why it was closed: idle, reused, capture_end, evicted" = |row| word(&row.flow.end);
    "handshake" Text "TCP: outcome of the handshake: established, refused, silent, reply_lost, midstream ..."
        = |row| row.handshake().map(|handshake| word(&handshake.outcome));
    "connect_time" F64 "TCP: first SYN to first SYN-ACK, repeats included, s; null when one was not seen"
        = |row| row.handshake().and_then(|handshake| handshake.connect_time);
    "retransmissions" U64 "TCP: data segments sent again, both sides"
        = |row| row.both(|side| side.retransmissions.data());
    "stalled" F64 "TCP: time without progress because of losses, both sides, s" = |row| row.stalled();
    "reset_by" Text "TCP: who reset it first: orig, resp; null when nobody did"
        = |row| row.reset().map(|reset| side(reset.direction));
    "reset_class" Text "TCP: refused, handshake_abort, probe_close, abort, benign, idle, no_socket"
        = |row| row.reset().map(|reset| word(&reset.class));
    "events" U64 "TCP: classified segments: rows in tcp_events, and those beyond limits.events_per_flow"
        = |row| row.tcp().map(|tcp| tcp.events.len() as u64 + tcp.events_dropped);
    "icmp_errors" U64 "ICMP errors that quote it"
        = |row| row.flow.icmp_errors.len() as u64 + row.flow.icmp_errors_dropped;
    "packet" U64 "ordinal of the first packet over the capture set" = |row| row.flow.first.packet;
    "file" Text "file of the first packet" = |row| row.files.file(row.flow.first.packet);
    "frame" U64 "frame number of the first packet in its file" = |row| row.files.frame(row.flow.first.packet);
    "last_packet" U64 "ordinal of the last packet" = |row| row.flow.last.packet;
    "last_frame" U64 "frame number of the last packet in its file"
        = |row| row.files.frame(row.flow.last.packet);
};
