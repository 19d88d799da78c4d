//! The packet record: everything later stages need to know of one packet, as plain copyable data.
//!
//! A record holds no payload bytes, only their place in the bytes of its batch. So a record has no lifetime
//! and can be moved, stored and sent. A record is never missing: what could not be dissected has a [`Stop`]
//! that says where and why.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::dissect::Seq;
use crate::time::Timestamp;

/// One packet, dissected down to its innermost transport header.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PacketRecord {
    /// Ordinal over the whole capture set, from 1.
    pub packet: u64,
    /// Offset of the record in its (decompressed) file, in bytes.
    pub offset: u64,
    /// [`partition_hash`](super::partition_hash) of the packet: finds its partition, and its flow in there.
    #[serde(with = "postcard::fixint::le")]
    pub partition: u64,
    /// Capture time. A packet without one has the time of the packet before it.
    pub time: Timestamp,
    /// The latest time of this and all earlier packets of the set: what time-outs are measured with.
    pub clock: Timestamp,
    /// Captured bytes.
    pub captured: u32,
    /// Bytes on the wire.
    pub wire: u32,
    /// Interface number in its file, over all sections.
    pub interface: u32,
    /// Link-layer addresses, outermost.
    pub link: Link,
    /// VLANs and tunnels around the innermost IP header.
    pub path: Path,
    /// Innermost IP header; `None` when there is none.
    pub ip: Option<Ip>,
    /// Innermost transport.
    pub transport: Transport,
    /// Transport payload.
    pub payload: Payload,
    /// What is wrong with the packet.
    pub faults: Faults,
    /// Where dissection ended.
    pub stop: Stop,
}

/// Link-layer addresses (zero when the link type has none) and the Linux cooked packet type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// Source address.
    pub source: [u8; 6],
    /// Destination address.
    pub destination: [u8; 6],
    /// Linux cooked packet type: 0 to us, 1 broadcast, 2 multicast, 3 to others, 4 sent by us; else 255.
    pub packet_type: u8,
    /// Sequence control of an IEEE 802.11 frame (section 9.2.4.4); it stays when the station sends the frame
    /// again.
    pub sequence: Option<u16>,
}

/// VLANs and tunnels around the innermost IP header. Two packets with equal hashes belong to the same tenant:
/// equal addresses mean the same hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Path {
    /// Hash over the tunnels (kind, outer addresses, and the identifier where both directions share it),
    /// outermost first; VLAN tags, MPLS labels and PPPoE sessions are left out. 0 when there is none.
    pub hash: u64,
    /// Outermost VLAN id, 0 when untagged.
    pub vlan: u16,
    /// Second VLAN id, 0 when there is none.
    pub inner_vlan: u16,
    /// Innermost tunnel.
    pub tunnel: Tunnel,
    /// Identifier of the innermost tunnel: VNI, GRE key, TEID, session id, MPLS label; 0 when there is none.
    pub tunnel_id: u32,
    /// Number of tunnel layers.
    pub depth: u8,
    /// Bytes of link and tunnel headers in front of the innermost IP header.
    pub overhead: u16,
}

/// Kinds of encapsulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tunnel {
    /// Not tunnelled.
    #[default]
    None,
    /// MPLS label stack (RFC 3032).
    Mpls,
    /// PPP over Ethernet (RFC 2516).
    Pppoe,
    /// GRE (RFC 2784, 2890).
    Gre,
    /// ERSPAN types I, II and III.
    Erspan,
    /// IP in IP, 6in4, 4in6 (RFC 2003, 4213, 2473).
    IpIp,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// GTP-U (3GPP TS 29.281).
    Gtpu,
    /// L2TP (RFC 2661, 3931).
    L2tp,
}

/// The innermost IP header.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Transport protocol number after extension headers.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Traffic class octet: DSCP and ECN.
    pub traffic_class: u8,
    /// IPv4 identification; fragment identification's low half or 0 for IPv6.
    pub id: u16,
    /// IPv4 don't-fragment bit; always true for IPv6.
    pub dont_fragment: bool,
    /// Length of the whole datagram in bytes, by the IP header. A header of 0 (offload): by the wire length.
    pub length: u32,
}

impl Default for Ip {
    fn default() -> Self {
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            source: unspecified,
            destination: unspecified,
            protocol: 0,
            ttl: 0,
            traffic_class: 0,
            id: 0,
            dont_fragment: false,
            length: 0,
        }
    }
}

/// Where the transport payload stands in the bytes of the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Start in the batch's bytes. Does not travel: it is of the place.
    #[serde(skip)]
    pub start: u32,
    /// Captured bytes of it.
    pub captured: u32,
    /// Its length by the IP header, never the captured or padded length.
    pub length: u32,
    /// XXH3 of the captured bytes for TCP, 0 when empty: tells equal payloads from conflicting ones.
    #[serde(with = "postcard::fixint::le")]
    pub hash: u64,
}

/// The innermost transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Transport {
    /// Nothing that has one, or not reached.
    #[default]
    None,
    /// TCP.
    Tcp(Tcp),
    /// UDP.
    Udp(Udp),
    /// ICMP or ICMPv6, other than neighbour discovery.
    Icmp(Icmp),
    /// ARP or IPv6 neighbour discovery.
    Arp(Arp),
    /// A fragment, not yet put together.
    Fragment(Fragment),
    /// Another IP protocol (in [`Ip::protocol`]).
    Other,
}

/// A TCP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tcp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgement number; meaningful with the ACK flag only.
    pub ack: Seq,
    /// Flags.
    pub flags: TcpFlags,
    /// Window field, not scaled.
    pub window: u16,
    /// Options.
    pub options: TcpOptions,
    /// Ones' complement sum of the pseudo-header and the header, its checksum included (RFC 9293 section
    /// 3.1): with that of the payload it is 0xffff in a segment that arrived as it was sent. 0 when nothing
    /// was summed: the header was cut, or there is no payload.
    pub sum: u16,
}

/// TCP flags, as in octet 13 of the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// Explicit congestion notification echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// True when every flag of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// SYN without ACK: a connection attempt.
    pub fn is_syn(self) -> bool {
        self.0 & 0x12 == 0x02
    }
    /// SYN with ACK: the answer to an attempt.
    pub fn is_syn_ack(self) -> bool {
        self.0 & 0x12 == 0x12
    }
    /// FIN set.
    pub fn fin(self) -> bool {
        self.contains(Self::FIN)
    }
    /// SYN set.
    pub fn syn(self) -> bool {
        self.contains(Self::SYN)
    }
    /// RST set.
    pub fn rst(self) -> bool {
        self.contains(Self::RST)
    }
    /// ACK set.
    pub fn ack(self) -> bool {
        self.contains(Self::ACK)
    }
}

/// The TCP options that later stages use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TcpOptions {
    /// Maximum segment size (RFC 9293).
    pub mss: Option<u16>,
    /// Window scale shift (RFC 7323).
    pub window_scale: Option<u8>,
    /// Selective acknowledgement permitted (RFC 2018).
    pub sack_permitted: bool,
    /// A Fast Open cookie or request (RFC 7413).
    pub fast_open: bool,
    /// A digest under a secret key: TCP-MD5 (RFC 2385) or TCP-AO (RFC 5925).
    pub authenticated: bool,
    /// Timestamp value and echo reply (RFC 7323).
    pub timestamps: Option<(u32, u32)>,
    /// Number of valid entries in `sack`.
    pub sack_count: u8,
    /// SACK blocks: left edge, right edge (RFC 2018).
    pub sack: [(Seq, Seq); 4],
    /// The options were cut by the snapshot length or malformed.
    pub incomplete: bool,
}

impl TcpOptions {
    /// The valid SACK blocks, in the order of the option.
    pub fn sack_blocks(&self) -> &[(Seq, Seq)] {
        &self.sack[..usize::from(self.sack_count.min(4))]
    }
}

/// A UDP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Udp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

/// An ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Icmp {
    /// True for ICMPv6.
    pub v6: bool,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Next-hop MTU of fragmentation-needed (RFC 1191) and packet-too-big (RFC 8201), bytes.
    pub mtu: Option<u32>,
    /// Identifier and sequence number of an echo.
    pub echo: Option<(u16, u16)>,
    /// The packet quoted by an error.
    pub quoted: Option<Quoted>,
}

/// The start of the packet an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quoted {
    /// Its IP header.
    pub ip: Ip,
    /// Its source port, 0 when the protocol has none.
    pub source_port: u16,
    /// Its destination port, 0 when the protocol has none.
    pub destination_port: u16,
    /// Its TCP sequence number.
    pub seq: Option<Seq>,
    /// Its TCP flags, when the quote reaches them.
    pub flags: Option<TcpFlags>,
}

/// ARP, or IPv6 neighbour solicitation and advertisement in the same words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arp {
    /// A reply or advertisement, not a request or solicitation.
    pub reply: bool,
    /// The sender's IP address.
    pub sender: IpAddr,
    /// The sender's link address.
    pub sender_link: [u8; 6],
    /// The address asked for or announced.
    pub target: IpAddr,
    /// The target's link address, when given.
    pub target_link: [u8; 6],
}

/// An IP fragment, whose bytes (of the datagram's payload) stand at [`PacketRecord::payload`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// Identification.
    pub id: u32,
    /// Offset in bytes.
    pub offset: u32,
    /// More fragments follow.
    pub more: bool,
    /// Protocol (v4) or next header (v6) of the fragmented part.
    pub protocol: u8,
}

/// A set of faults of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults(pub u16);

impl Faults {
    /// Fewer bytes captured than the wire had (snapshot length).
    pub const CLIPPED: Self = Self(1);
    /// The IP total length was 0 and was taken from the wire length (segmentation offload).
    pub const ZERO_LENGTH: Self = Self(1 << 1);
    /// The IP header claims more than the wire length.
    pub const IP_LENGTH: Self = Self(1 << 2);
    /// A header length field is impossible.
    pub const HEADER_LENGTH: Self = Self(1 << 3);
    /// The IPv4 header checksum is wrong, and not 0 as one that is left to the network card: the header was
    /// damaged, or changed by a tool. Hosts discard such datagrams (RFC 1122 section 3.2.1.2).
    pub const IP_CHECKSUM: Self = Self(1 << 4);
    /// TCP options are malformed.
    pub const TCP_OPTIONS: Self = Self(1 << 5);
    /// Put together from fragments.
    pub const REASSEMBLED: Self = Self(1 << 6);
    /// The record had no timestamp of its own.
    pub const NO_TIME: Self = Self(1 << 7);
    /// The wire length field was smaller than the captured length.
    pub const WIRE_LENGTH: Self = Self(1 << 8);
    /// The station sent the frame again, because nobody acknowledged it (IEEE 802.11 retry bit).
    pub const RETRIED: Self = Self(1 << 9);

    /// True when every fault of `other` is in the set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Adds `other`.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Where dissection ended and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stop {
    /// At the transport payload: everything was understood.
    #[default]
    Payload,
    /// A layer needs more bytes than were captured.
    Clipped {
        /// The layer.
        layer: Layer,
        /// Bytes the layer needed.
        needed: u32,
        /// Bytes there were.
        found: u32,
    },
    /// A layer contradicts its specification.
    Malformed {
        /// The layer.
        layer: Layer,
    },
    /// Nothing here reads this link type.
    LinkType(u16),
    /// Nothing here reads this EtherType (or PPP protocol).
    EtherType(u16),
    /// A fragment that waits for the rest of its datagram.
    Fragment,
    /// More nested layers than the limit.
    Depth,
}

/// The layers a [`Stop`] can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layer {
    /// Ethernet, Linux cooked, 802.11, PPP, null: the link header.
    Link,
    /// VLAN tags.
    Vlan,
    /// A tunnel header.
    Tunnel,
    /// ARP.
    Arp,
    /// IPv4.
    Ipv4,
    /// IPv6 and its extension headers.
    Ipv6,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Link => "link header",
            Self::Vlan => "vlan tag",
            Self::Tunnel => "tunnel header",
            Self::Arp => "arp",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        })
    }
}

/// Why dissection ended, without the numbers of the single packet, so that equal reasons can be counted.
impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Payload => f.write_str("understood"),
            Self::Clipped { layer, .. } => write!(f, "{layer} cut short"),
            Self::Malformed { layer } => write!(f, "{layer} malformed"),
            Self::LinkType(number) => write!(f, "link type {}", crate::capture::LinkType(*number)),
            Self::EtherType(number) => write!(f, "ethertype 0x{number:04x}"),
            Self::Fragment => f.write_str("incomplete datagram"),
            Self::Depth => f.write_str("too many nested layers"),
        }
    }
}
