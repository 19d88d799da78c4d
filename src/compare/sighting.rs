//! What a point saw of one packet: by what another point recognises it, and what may change on the way.

use xxhash_rust::xxh3::xxh3_64;

use crate::dissect::{FiveTuple, PacketRecord, Seq, Transport, Tunnel};
use crate::time::Timestamp;

/// Octets of a payload that identify a datagram: as many as a snapshot length of 68 leaves of one.
const HEAD: usize = 24;

/// Kinds of packets that a capture filter tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A connection attempt.
    Syn,
    /// Its answer.
    SynAck,
    /// A reset.
    Reset,
    /// A FIN without data.
    Fin,
    /// A segment with data.
    Data,
    /// A segment without.
    Ack,
    /// A UDP datagram.
    Udp,
    /// An ICMP message.
    Icmp,
    /// Another IP protocol.
    Other,
}

impl Kind {
    /// How many there are.
    pub(super) const COUNT: usize = 9;

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syn => "SYN",
            Self::SynAck => "SYN-ACK",
            Self::Reset => "RST",
            Self::Fin => "FIN",
            Self::Data => "segment with data",
            Self::Ack => "ACK without data",
            Self::Udp => "UDP datagram",
            Self::Icmp => "ICMP message",
            Self::Other => "other IP packet",
        }
    }
}

/// The TCP fields that a comparison needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) seq: Seq,
    pub(super) ack: Option<Seq>,
    /// Octet 13 of the header.
    pub(super) flags: u8,
    pub(super) mss: Option<u16>,
    pub(super) window_scale: Option<u8>,
    pub(super) sack_permitted: bool,
    pub(super) stamp: Option<u32>,
}

/// A packet at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sighting {
    pub(super) ordinal: u64,
    pub(super) time: Timestamp,
    /// Of what addresses, ports, TTL, options and tunnels leave alone: equal for the same packet at two
    /// points, and for its retransmissions.
    pub(super) key: u64,
    /// Of that and of what tells a packet from its retransmission: equal for copies at one point.
    pub(super) exact: u64,
    pub(super) kind: Kind,
    pub(super) tuple: FiveTuple,
    pub(super) id: u16,
    pub(super) ttl: u8,
    pub(super) traffic_class: u8,
    pub(super) dont_fragment: bool,
    pub(super) tunnel: Tunnel,
    /// Bytes of payload.
    pub(super) length: u32,
    /// Hash of the payload, when all of it was captured.
    pub(super) payload: Option<u64>,
    pub(super) segment: Option<Segment>,
}

impl Sighting {
    /// Of a packet and its captured payload; `None` for one that no other network sees: without an IP header
    /// or a time, neighbour discovery, a part of a datagram.
    pub(super) fn of(record: &PacketRecord, payload: &[u8]) -> Option<Self> {
        let tuple = FiveTuple::of(record)?;
        let ip = record.ip?;
        let mut segment = None;
        let mut content = Content { octets: [0; 48], length: 0 };
        content.push(u64::from(ip.protocol));
        let kind = match &record.transport {
            Transport::None | Transport::Arp(_) | Transport::Fragment(_) => return None,
            Transport::Tcp(tcp) => {
                let ack = tcp.flags.ack().then_some(tcp.ack);
                // PSH, URG and the ECN flags are changed by network cards and on the way.
                let flags = tcp.flags.0 & 0x17;
                content.push(u64::from(tcp.seq.0) << 32 | u64::from(ack.map_or(0, |ack| ack.0)));
                content.push(u64::from(flags) << 32 | u64::from(record.payload.length));
                segment = Some(Segment {
                    seq: tcp.seq,
                    ack,
                    flags: tcp.flags.0,
                    mss: tcp.options.mss,
                    window_scale: tcp.options.window_scale,
                    sack_permitted: tcp.options.sack_permitted,
                    stamp: tcp.options.timestamps.map(|(value, _)| value),
                });
                match tcp.flags {
                    flags if flags.rst() => Kind::Reset,
                    flags if flags.is_syn_ack() => Kind::SynAck,
                    flags if flags.syn() => Kind::Syn,
                    _ if record.payload.length > 0 => Kind::Data,
                    flags if flags.fin() => Kind::Fin,
                    _ => Kind::Ack,
                }
            }
            Transport::Icmp(icmp) => {
                content.push(u64::from(icmp.kind) << 8 | u64::from(icmp.code));
                match (&icmp.quoted, icmp.echo) {
                    // Translators change the identifier, as they do addresses and ports in a quote.
                    (None, Some((_, sequence))) => {
                        content.push(u64::from(sequence));
                        content.datagram(record, payload);
                    }
                    (None, None) => content.datagram(record, payload),
                    (Some(quoted), _) => {
                        content.push(u64::from(quoted.ip.id) << 32 | u64::from(quoted.ip.length));
                        content.push(quoted.seq.map_or(0, |seq| u64::from(seq.0)));
                    }
                }
                Kind::Icmp
            }
            Transport::Udp(_) => {
                content.datagram(record, payload);
                Kind::Udp
            }
            Transport::Other => {
                content.datagram(record, payload);
                Kind::Other
            }
        };
        let key = content.hash();
        let whole = payload.len() as u32 == record.payload.length;
        let hash = if segment.is_some() { record.payload.hash } else { xxh3_64(payload) };
        let stamp = segment.and_then(|segment| segment.stamp);
        content.push(u64::from(ip.id) << 32 | u64::from(stamp.unwrap_or(0)));
        content.push(hash);
        Some(Self {
            ordinal: record.packet,
            time: record.time,
            key,
            exact: content.hash(),
            kind,
            tuple,
            id: ip.id,
            ttl: ip.ttl,
            traffic_class: ip.traffic_class,
            dont_fragment: ip.dont_fragment,
            tunnel: record.path.tunnel,
            length: record.payload.length,
            payload: whole.then_some(hash),
            segment,
        })
    }

    /// Sequence numbers of its data, FIN left out.
    pub(super) fn bytes(&self) -> Option<(Seq, Seq)> {
        let segment = self.segment.filter(|_| self.kind == Kind::Data)?;
        Some((segment.seq, segment.seq.plus(self.length)))
    }

    /// Something tells it from another packet that carries the same.
    pub(super) fn is_told(&self) -> bool {
        self.id != 0 || self.segment.is_some_and(|segment| segment.stamp.is_some())
    }
}

/// Numbers that are hashed together.
struct Content {
    octets: [u8; 48],
    length: usize,
}

impl Content {
    fn push(&mut self, number: u64) {
        if let Some(place) = self.octets.get_mut(self.length..self.length + 8) {
            place.copy_from_slice(&number.to_le_bytes());
            self.length += 8;
        }
    }

    /// What identifies a datagram: its length and the start of its payload.
    fn datagram(&mut self, record: &PacketRecord, payload: &[u8]) {
        self.push(u64::from(record.payload.length));
        self.push(xxh3_64(payload.get(..HEAD).unwrap_or(payload)));
    }

    fn hash(&self) -> u64 {
        xxh3_64(self.octets.get(..self.length).unwrap_or(&self.octets))
    }
}
