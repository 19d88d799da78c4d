//! A finished flow: everything the capture showed of one conversation.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::http::Closing;
use crate::app::tls::TlsSession;
use crate::dissect::{Direction, PacketRef};
use crate::dissect::{Endpoint, Icmp, Path, Seq, TcpOptions};
use crate::flow::log::stalled;
use crate::flow::{ConnState, Echoes, Greeting, Laps, Reset, TcpEvent, Trip, Turns, Upgrade, Waits};
use crate::time::{Span, Timestamp};

/// How client and server were told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Roles {
    /// The client sent a SYN, or the server a SYN-ACK.
    Handshake,
    /// Inferred: the server's port is the better-known one.
    Port,
    /// Inferred: the client sent the first packet seen.
    FirstPacket,
}

/// Why a flow was closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// No packet for the idle time-out.
    Idle,
    /// A new connection took over its ports.
    Reused,
    /// The capture ended first.
    #[default]
    CaptureEnd,
    /// Open flows took more memory than `limits.memory_mib` allows. Its later packets are another flow.
    Evicted,
}

/// An application protocol, told by content and not by port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// TLS.
    Tls,
    /// DNS.
    Dns,
    /// HTTP/1, or HTTP/2 in plain text.
    Http,
    /// SSH.
    Ssh,
    /// QUIC, with TLS inside.
    Quic,
}

impl Service {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::Quic => "quic",
        }
    }
}

/// One direction of a flow: what one side sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Half {
    /// Packets, without duplicate observations.
    pub packets: u64,
    /// IP datagram bytes of those packets.
    pub bytes: u64,
    /// Transport payload bytes of those packets, repeats included.
    pub payload_bytes: u64,
    /// Duplicate observations left out of the counts above.
    pub copies: u64,
    /// Frames that the link layer sent again, left out of the counts above.
    pub retries: u64,
    /// Packets cut by the snapshot length.
    pub clipped: u64,
    /// Packets whose IP length was 0 on the wire copy (offload).
    pub zero_length: u32,
    /// Packets whose IP header is damaged, copies included ([`Faults::IP_CHECKSUM`](crate::dissect::Faults)).
    pub damaged: u32,
    /// First packet.
    pub first: Option<PacketRef>,
    /// Last packet.
    pub last: Option<PacketRef>,
    /// Lowest and highest TTL.
    pub ttl: Option<(u8, u8)>,
    /// The link paths its packets took: (source address, destination address, VLAN, interface) with a count
    /// and the first packet; at most four, in order of appearance.
    pub links: Vec<LinkUse>,
}

/// A link-level path that packets of one direction took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkUse {
    /// Link source address.
    pub source: [u8; 6],
    /// Link destination address.
    pub destination: [u8; 6],
    /// Outermost VLAN.
    pub vlan: u16,
    /// Interface number in its file.
    pub interface: u32,
    /// Packets.
    pub packets: u64,
    /// First of them.
    pub first: PacketRef,
}

impl LinkUse {
    /// Link paths kept per direction.
    pub const MAX: usize = 4;
}

/// A finished flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// Ordinal of its first packet: unique, and the same however the capture is cut.
    pub id: u64,
    /// IP protocol.
    pub protocol: u8,
    /// Who opened it.
    pub client: Endpoint,
    /// Who was asked.
    pub server: Endpoint,
    /// How the roles were told.
    pub roles: Roles,
    /// VLANs and tunnels of its first packet.
    pub path: Path,
    /// Its first packet.
    pub first: PacketRef,
    /// Its last packet.
    pub last: PacketRef,
    /// What each side sent; index with [`Direction::index`].
    pub halves: [Half; 2],
    /// TCP state and findings; `None` for other protocols.
    pub tcp: Option<Box<TcpFlow>>,
    /// TLS, when its bytes were recognised: over TCP, or in QUIC.
    pub tls: Option<Box<TlsSession>>,
    /// What stood before its protocol; `None` for most.
    pub upgrade: Option<Box<Upgrade>>,
    /// The first bytes of each side of a TCP connection, behind what is in `upgrade`; index with
    /// [`Direction::index`].
    pub greetings: [Greeting; 2],
    /// The application protocol, when its content was recognised.
    pub service: Option<Service>,
    /// ICMP errors that quote it, in order; at most [`Flow::MAX_ICMP`].
    pub icmp_errors: Vec<IcmpError>,
    /// ICMP errors beyond that number.
    pub icmp_errors_dropped: u64,
    /// Packets of it that came by again and again with a falling TTL.
    pub laps: Option<Box<Laps>>,
    /// ICMP echo requests of each side and what became of them; index with [`Direction::index`].
    pub echoes: Option<Box<[Echoes; 2]>>,
    /// Why it was closed.
    pub end: End,
    /// It may go on where a flow was closed for its memory: a TCP flow when one of its addresses and ports
    /// was, a flow of another protocol when any was before it began.
    pub continues: bool,
    /// Up to when the capture watched for more packets of it.
    pub watched_until: Timestamp,
    /// Wireshark's `tcp.stream` number; `None` for other protocols, beyond the limit of numbered streams, and
    /// until the streams of all partitions are known.
    pub stream: Option<u32>,
}

impl Flow {
    /// ICMP errors kept per flow.
    pub const MAX_ICMP: usize = 64;

    /// What `direction`'s sender sent.
    pub fn half(&self, direction: Direction) -> &Half {
        &self.halves[direction.index()]
    }

    /// The sender of `direction`.
    pub fn sender(&self, direction: Direction) -> Endpoint {
        match direction {
            Direction::ToServer => self.client,
            Direction::ToClient => self.server,
        }
    }

    /// A limit cut its beginning or its end off, or lost its holes: what is missing from it says nothing. A
    /// connection that both sides or a RST had closed is whole, because only stragglers could follow.
    pub fn is_cut(&self) -> bool {
        let over = self.tcp.as_ref().is_some_and(|tcp| tcp.is_closed());
        let crowded = self.tcp.as_ref().is_some_and(|tcp| tcp.crowded > 0);
        self.continues || crowded || (self.end == End::Evicted && !over)
    }

    /// Bytes of one of its streams were not captured.
    pub fn has_missing_bytes(&self) -> bool {
        let lost = |side: &TcpSide| side.missed_bytes > 0 || side.hole_bytes > 0;
        self.is_one_way()
            || self.halves.iter().any(|half| half.clipped > 0)
            || self.tcp.as_ref().is_some_and(|tcp| tcp.sides.iter().any(lost))
    }

    /// Packets were seen in one direction only.
    pub fn is_one_way(&self) -> bool {
        self.halves.iter().any(|half| half.packets == 0)
    }
}

/// An ICMP error about a flow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IcmpError {
    /// The packet that carried it.
    pub at: PacketRef,
    /// Who reported it.
    pub reporter: IpAddr,
    /// To whom (normally the sender of the quoted packet).
    pub receiver: IpAddr,
    /// Direction of the quoted packet.
    pub quoted: Direction,
    /// The message.
    pub icmp: Icmp,
}

/// Where the capture point stands on the path, by the round trips to client and server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vantage {
    /// Not enough round trips seen.
    #[default]
    Unknown,
    /// Near the client: the client answers at once, the server does not.
    Client,
    /// Near the server.
    Server,
    /// In between.
    Middle,
}

impl Vantage {
    /// By the round trips to client and server. The side that answers at once is near. A factor of four is
    /// far from measuring noise and delayed ACKs.
    pub fn of(client: Option<Span>, server: Option<Span>) -> Self {
        match client.zip(server) {
            None => Self::Unknown,
            Some((client, server)) if client.0.saturating_mul(4) <= server.0 => Self::Client,
            Some((client, server)) if server.0.saturating_mul(4) <= client.0 => Self::Server,
            Some(_) => Self::Middle,
        }
    }
}

/// What became of the handshake (RFC 9293 sections 3.5 and 3.10.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandshakeOutcome {
    /// The flow was already running when the capture began.
    #[default]
    Midstream,
    /// SYN, SYN-ACK and the client's ACK or data.
    Established,
    /// The SYN was answered with RST.
    Refused,
    /// An ICMP error quotes the SYN.
    Unreachable,
    /// No answer of any kind was seen.
    Silent,
    /// SYN-ACKs were seen, the client never completed and repeated its SYN: they did not reach it.
    ReplyLost,
    /// SYN-ACK and ACK were seen, and the server repeated the SYN-ACK: the ACK was lost or dropped.
    AckLost,
    /// Completed, but the SYN-ACK itself was never captured: a capture asymmetry, not a failure.
    ReplyUnseen,
    /// The client answered the SYN-ACK with RST.
    Aborted,
    /// SYN and SYN-ACK seen, then nothing more from the client.
    HalfOpen,
    /// The SYN was answered by an ACK that is not a SYN-ACK (challenge ACK, stale connection).
    ChallengeAck,
}

impl HandshakeOutcome {
    /// Both sides had the connection, as far as the capture shows.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Midstream | Self::Established | Self::ReplyUnseen)
    }
}

/// The handshake of a TCP flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Handshake {
    /// SYNs with the flow's initial sequence number, first [`Handshake::MAX_REPEATS`].
    pub syns: Vec<PacketRef>,
    /// How many there were.
    pub syn_count: u32,
    /// SYN-ACKs, first [`Handshake::MAX_REPEATS`].
    pub syn_acks: Vec<PacketRef>,
    /// How many there were.
    pub syn_ack_count: u32,
    /// SYN-ACKs came with more than one initial sequence number.
    pub syn_acks_differ: bool,
    /// The first ACK of the SYN-ACK by the client.
    pub ack: Option<PacketRef>,
    /// What became of it.
    pub outcome: HandshakeOutcome,
    /// The packet that decided a failure: the RST, the challenge ACK.
    pub answer: Option<PacketRef>,
    /// The RST that refused it does not acknowledge the SYN: its receiver drops it (RFC 9293 3.10.7.3).
    pub refusal_ignored: bool,
    /// The server's ACK of an earlier connection on these ports (RFC 9293 section 3.10.7.4).
    pub challenge: Option<PacketRef>,
    /// SYN (last one before the answer) to SYN-ACK, at the capture point.
    pub server_rtt: Option<Span>,
    /// SYN-ACK to ACK, at the capture point.
    pub client_rtt: Option<Span>,
    /// First SYN to the first SYN-ACK: what the client waited, retries included.
    pub connect_time: Option<Span>,
    /// Options of the SYN and of the SYN-ACK.
    pub options: [Option<TcpOptions>; 2],
    /// Window of the first SYN, as in the header: a SYN's is never scaled (RFC 7323 section 2.2).
    pub syn_window: u16,
}

impl Handshake {
    /// Repeats kept.
    pub const MAX_REPEATS: usize = 16;
}

/// TCP state of a flow.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TcpFlow {
    /// The handshake.
    pub handshake: Handshake,
    /// Hash of the numbers that both sides began with, the same on both sides of an address translation; 0
    /// when they are not known.
    pub numbers: u64,
    /// Zeek's `conn_state`.
    pub conn_state: ConnState,
    /// Zeek's `history`.
    pub history: String,
    /// Where the capture point stands.
    pub vantage: Vantage,
    /// What each side sent.
    pub sides: [TcpSide; 2],
    /// Resets, the first of each side.
    pub resets: Vec<Reset>,
    /// Classified segments in packet order, at most the configured number per flow.
    pub events: Vec<TcpEvent>,
    /// Events beyond that number.
    pub events_dropped: u64,
    /// Segments whose holes are not known apart, because a stream had more than are kept.
    pub crowded: u64,
    /// Packets whose order in the capture contradicts causality and was repaired.
    pub disorder: u32,
    /// The times in which it stood still; `None` for one that never did.
    pub waits: Option<Box<Waits>>,
    /// Requests and responses, by the direction of the data; `None` when there was no data.
    pub turns: Option<Box<Turns>>,
}

impl TcpFlow {
    /// Both sides said FIN, or one RST.
    pub fn is_closed(&self) -> bool {
        !self.resets.is_empty() || self.sides.iter().all(|side| side.fin.is_some())
    }

    /// The first FIN or RST.
    pub fn closing(&self) -> Option<Closing> {
        let fin = |direction| {
            let at = self.side(direction).fin?;
            Some(Closing { at, direction, reset: false, other_ttl: false })
        };
        let resets = self.resets.iter();
        let resets = resets.map(|rst| {
            let (at, direction) = (rst.at, rst.direction);
            Closing { at, direction, reset: true, other_ttl: rst.has_other_ttl(self) }
        });
        resets.chain(Direction::BOTH.into_iter().filter_map(fin)).min_by_key(|closing| closing.at.packet)
    }

    /// Time during which those losses of `direction` held the stream up that `counts` (see
    /// [`TcpSide::stalled`]).
    pub fn stalled_by(&self, direction: Direction, counts: impl Fn(&TcpEvent) -> bool) -> Span {
        let events = self.events.iter().filter(|event| counts(event));
        stalled(events, direction, self.side(direction).transfer)
    }

    /// What `direction`'s sender did.
    pub fn side(&self, direction: Direction) -> &TcpSide {
        &self.sides[direction.index()]
    }
}

/// What one side of a TCP flow sent, and what became of it. Counts are over unique wire segments.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TcpSide {
    /// Segments with payload: repeats count, duplicate observations do not, super-frames count as the
    /// segments in them.
    pub data_segments: u64,
    /// Of those, the ones with bytes that were not captured before: what rates of loss are over.
    pub unique_segments: u64,
    /// From the first to the last segment with payload.
    pub transfer: Option<(PacketRef, PacketRef)>,
    /// Payload bytes without repeats.
    pub unique_bytes: u64,
    /// Payload bytes sent again.
    pub repeated_bytes: u64,
    /// Data retransmissions by cause.
    pub retransmissions: Retransmissions,
    /// Late segments that were sent once.
    pub reordered: u64,
    /// Late segments that could be either.
    pub late_ambiguous: u64,
    /// Duplicate ACKs sent.
    pub duplicate_acks: u64,
    /// Zero-window announcements.
    pub zero_windows: u64,
    /// Time its receive window stayed closed.
    pub zero_window_time: Span,
    /// Keep-alive probes sent.
    pub keep_alives: u64,
    /// Bytes the peer acknowledged and the capture never saw.
    pub missed_bytes: u64,
    /// Segments whose record is shorter than their IP header states, and the next one goes on where the
    /// header says.
    pub lengths_by_header: u64,
    /// The same where the next one goes on where the record ends.
    pub lengths_by_record: u64,
    /// Holes never filled and never acknowledged, in bytes.
    pub hole_bytes: u64,
    /// Repeats whose bytes differ from the first copy.
    pub conflicts: u64,
    /// Time without progress because of losses; overlapping waits count once. A wait is from the first copy
    /// of a segment, or from the first segment above its hole, to the retransmission. Never longer than the
    /// transfer.
    pub stalled: Span,
    /// Announced maximum segment size.
    pub mss: Option<u16>,
    /// Lowest and highest TTL of its segments other than RSTs, which others can send in its name.
    pub ttl: Option<(u8, u8)>,
    /// Window scale shift in force; `None` when the handshake was not seen.
    pub window_scale: Option<u8>,
    /// Segments larger than the peer's maximum segment size allows (segmentation offload).
    pub super_frames: u64,
    /// Largest payload of one segment.
    pub largest_payload: u32,
    /// First FIN.
    pub fin: Option<PacketRef>,
    /// The first ACK of it.
    pub fin_ack: Option<PacketRef>,
    /// Bytes that no ACK covered when the flow ended.
    pub in_flight: u32,
    /// Bytes that it announced last to be ready to take; `None` when it never did or the scale is not known.
    pub window: Option<u32>,
    /// Smallest delay from data of this side to its ACK, at the capture point; ambiguous samples left out.
    pub min_rtt: Option<Span>,
    /// Sum and number of those samples.
    pub rtt_samples: (Span, u64),
    /// The shortest prompt round trips over time, in order: at most 32.
    pub trips: Vec<Trip>,
    /// Bytes by which the peer's acknowledgement number moved forward over this side's numbers, SYN and FIN
    /// included. It counts without this side's segments: the peer of a side that was never captured shows
    /// with it that the side is there.
    pub acked_progress: u64,
    /// Delivery by datagram size.
    pub sizes: Sizes,
    /// First bytes were delivered in order to the application parser up to here.
    pub delivered_bytes: u64,
}

impl TcpSide {
    /// First to last segment with payload: what [`stalled`](Self::stalled) is a share of.
    pub fn transfer_time(&self) -> Span {
        self.transfer.map_or(Span::ZERO, |(first, last)| (last.time - first.time).max(Span::ZERO))
    }

    /// Share of the transfer during which losses held the stream up, from 0 to 1.
    pub fn stalled_share(&self) -> f64 {
        let transfer = self.transfer_time();
        if transfer > Span::ZERO { self.stalled.0 as f64 / transfer.0 as f64 } else { 0.0 }
    }
}

/// Data retransmissions of one side by cause, and those that were not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retransmissions {
    /// After duplicate or selective ACKs.
    pub fast: u64,
    /// After the retransmission timer.
    pub timeout: u64,
    /// Expiries of the timer that they follow: one can make a sender repeat many segments.
    pub time_outs: u64,
    /// Tail loss probes.
    pub tail_loss_probe: u64,
    /// Cause not visible.
    pub unclassified: u64,
    /// Of all those: proven not needed.
    pub spurious: u64,
    /// Of all those: path MTU discovery at work.
    pub path_mtu: u64,
    /// Of all those: the first copy was damaged on the way, which its checksum proves.
    pub corrupted: u64,
    /// Of all those: the first copy passed the capture point.
    pub lost_after: u64,
    /// Of all those: the capture point saw only the hole.
    pub lost_before: u64,
    /// SYN and SYN-ACK repeats.
    pub syn: u64,
    /// FIN repeats.
    pub fin: u64,
}

impl Retransmissions {
    /// All data retransmissions.
    pub fn data(&self) -> u64 {
        self.fast + self.timeout + self.tail_loss_probe + self.unclassified
    }
}

/// What the receiver acknowledged, by IP datagram size: evidence for and against a size limit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sizes {
    /// Largest datagram known to have arrived (acknowledged or selectively acknowledged), bytes.
    pub largest_delivered: u32,
    /// A packet of that size.
    pub largest_delivered_at: Option<PacketRef>,
    /// Datagrams with payload known to have arrived.
    pub delivered: u64,
    /// Ranges sent at least three times and never acknowledged while sent whole: at most eight, in order.
    pub undelivered: Vec<UndeliveredSegment>,
}

/// A range of bytes that was sent again and again at one size.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UndeliveredSegment {
    /// First sequence number.
    pub seq: Seq,
    /// Payload bytes of the segment.
    pub length: u32,
    /// IP datagram size of the segment.
    pub ip_length: u32,
    /// Every try had don't-fragment set (or was IPv6).
    pub dont_fragment: bool,
    /// How often it was sent at this size.
    pub tries: u32,
    /// The tries, first sixteen.
    pub frames: Vec<PacketRef>,
    /// Smaller segments that were sent after its first try and arrived, its own pieces included.
    pub smaller_delivered: u32,
    /// Some of those: the packets, first eight.
    pub smaller_frames: Vec<PacketRef>,
    /// The largest of those as an IP datagram.
    pub largest_smaller: u32,
    /// The bytes arrived at last, sent in smaller pieces of at most this IP datagram size.
    pub resolved_with: Option<u32>,
    /// The packet with the last smaller piece.
    pub resolved_at: Option<PacketRef>,
    /// An ACK arrived at last for a try of the full size: random loss, not a size limit.
    pub delivered_whole: bool,
    /// First try to the resolution, or to the last packet of the flow.
    pub stalled: Span,
}

/// Who a flow is between: what a row that outlives or precedes the finished flow needs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowHead {
    /// [`Flow::id`].
    pub id: u64,
    /// IP protocol.
    pub protocol: u8,
    /// Who opened it.
    pub client: Endpoint,
    /// Who was asked.
    pub server: Endpoint,
    /// VLANs and tunnels.
    pub path: Path,
}

impl FlowHead {
    /// With client and server the other way round.
    pub(super) fn reversed(self) -> Self {
        Self { client: self.server, server: self.client, ..self }
    }
}

impl Flow {
    /// Who it is between.
    pub fn head(&self) -> FlowHead {
        let Self { id, protocol, client, server, path, .. } = *self;
        FlowHead { id, protocol, client, server, path }
    }
}
