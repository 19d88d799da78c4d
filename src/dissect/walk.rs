//! The walk from the link header inwards: one header after the other, each naming the next.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::cursor::Cursor;
use super::{ethernet, ethertype, gre, ip, link, llc, mpls, ppp, protocol};
use crate::dissect::{Faults, Ip, PacketRecord, Path, Payload, Stop, Transport, Tunnel};

/// Most tunnels inside each other. Real networks nest three; the rest is an attempt to make us work.
pub(super) const MAX_TUNNELS: u8 = 8;
/// Most headers of one packet: eight tunnels of link, tag, IP and transport header.
const MAX_HEADERS: u32 = 32;

/// What follows a header.
pub(super) enum Next<'p> {
    /// The header of a link type.
    Link(u16, Cursor<'p>),
    /// An Ethernet frame.
    Ethernet(Cursor<'p>),
    /// What an EtherType announces.
    EtherType(u16, Cursor<'p>),
    /// An IEEE 802.2 header.
    Llc(Cursor<'p>),
    /// A PPP frame, from its protocol field on (or its address field).
    Ppp(Cursor<'p>),
    /// An MPLS label stack.
    Mpls(Cursor<'p>),
    /// A GRE payload by its protocol type.
    Gre(u16, Cursor<'p>),
    /// An IP packet of either version.
    Ip(Cursor<'p>),
    /// What an IP protocol number announces.
    Protocol(u8, Cursor<'p>),
    /// The end.
    Stop(Stop),
}

/// The state of one walk: the record so far and the wrapping around what comes next.
pub(super) struct Walk {
    pub(super) record: PacketRecord,
    /// The wrapping so far; goes into the record with the next IP header.
    path: Path,
    /// Addresses of the last IP header, folded into the path when it turns out to be a tunnel's.
    outer: Option<(IpAddr, IpAddr)>,
    /// A link header was seen.
    linked: bool,
    /// Where offset 0 stands in the batch's bytes.
    base: u32,
    /// Octets of headers in front of offset 0.
    front: u32,
}

impl Walk {
    /// A walk from the first octet of a packet.
    pub(super) fn new(record: PacketRecord, base: u32) -> Self {
        Self { record, path: Path::default(), outer: None, linked: false, base, front: 0 }
    }

    /// A walk from the payload of a datagram put together; `header` is the length of its IP header.
    pub(super) fn resume(record: PacketRecord, base: u32, header: u32) -> Self {
        Self {
            record,
            path: record.path,
            outer: record.ip.map(|ip| (ip.source, ip.destination)),
            linked: true,
            base,
            front: u32::from(record.path.overhead).saturating_add(header),
        }
    }

    /// Reads header after header until one stops.
    pub(super) fn run(self, next: Next<'_>) -> PacketRecord {
        self.watched(next, |_| {})
    }

    /// As [`Walk::run`]; `saw` is told of every header before it is read.
    #[inline]
    pub(super) fn watched(mut self, mut next: Next<'_>, mut saw: impl FnMut(&Next<'_>)) -> PacketRecord {
        let mut headers = 0;
        self.record.stop = loop {
            headers += 1;
            if headers > MAX_HEADERS || self.path.depth > MAX_TUNNELS {
                break Stop::Depth;
            }
            saw(&next);
            next = match next {
                Next::Link(kind, at) => link::read(&mut self, kind, at),
                Next::Ethernet(at) => ethernet::read(&mut self, at),
                Next::EtherType(kind, at) => ethertype::read(&mut self, kind, at),
                Next::Llc(at) => llc::read(at),
                Next::Ppp(at) => ppp::read(at),
                Next::Mpls(at) => mpls::read(&mut self, at),
                Next::Gre(kind, at) => gre::payload(kind, at),
                Next::Ip(at) => ip::read(&mut self, at),
                Next::Protocol(number, at) => protocol::read(&mut self, number, at),
                Next::Stop(stop) => break stop,
            };
        };
        if self.record.ip.is_none() {
            self.record.path = self.path;
        }
        self.record
    }

    /// Notes link addresses; the outermost stay.
    pub(super) fn link(&mut self, source: [u8; 6], destination: [u8; 6]) {
        if !self.linked {
            self.record.link.source = source;
            self.record.link.destination = destination;
            self.linked = true;
        }
    }

    /// Notes the addresses and the packet type of a cooked header.
    pub(super) fn cooked(&mut self, source: [u8; 6], packet_type: u8) {
        if !self.linked {
            self.record.link.packet_type = packet_type;
        }
        self.link(source, [0; 6]);
    }

    /// Notes the sequence control of an IEEE 802.11 frame, before its addresses.
    pub(super) fn air(&mut self, sequence: u16, retried: bool) {
        if !self.linked {
            self.record.link.sequence = Some(sequence);
            if retried {
                self.fault(Faults::RETRIED);
            }
        }
    }

    /// Adds a VLAN tag to the path, not to its hash. Routed and mirrored traffic often has a tag one way
    /// only, and both ways are one flow. Id 0 is a priority tag on an untagged frame.
    pub(super) fn vlan(&mut self, id: u16) {
        if id == 0 {
            return;
        }
        if self.path.vlan == 0 {
            self.path.vlan = id;
        } else if self.path.inner_vlan == 0 {
            self.path.inner_vlan = id;
        }
    }

    /// Adds a tunnel to the path. `shared` says that both directions carry the same `id`. Only such an id is
    /// hashed, since both directions of a flow must have equal hashes. The outer addresses are hashed in
    /// ascending order for the same reason.
    pub(super) fn tunnel(&mut self, kind: Tunnel, id: u32, shared: bool) {
        self.path.tunnel = kind;
        self.path.tunnel_id = id;
        self.path.depth += 1;
        if matches!(kind, Tunnel::Mpls | Tunnel::Pppoe) {
            // Carriage, not tenancy: labels and sessions are put on one way only as often as not.
            return;
        }
        let mut layer = [0; 37];
        layer[0] = kind as u8;
        if shared {
            layer[1..5].copy_from_slice(&id.to_be_bytes());
        }
        let mut used = 5;
        if let Some((source, destination)) = self.outer.take() {
            let (one, other) = (ip::octets(source), ip::octets(destination));
            layer[5..21].copy_from_slice(&one.min(other));
            layer[21..].copy_from_slice(&one.max(other));
            used = 37;
        }
        self.path.hash = xxh3_64_with_seed(&layer[..used], self.path.hash);
    }

    /// Notes an IP header that starts at `offset`: it is the innermost until another one follows.
    pub(super) fn ip(&mut self, ip: Ip, offset: u32) {
        let overhead = self.front.saturating_add(offset);
        self.path.overhead = u16::try_from(overhead).unwrap_or(u16::MAX);
        self.outer = Some((ip.source, ip.destination));
        self.record.path = self.path;
        self.record.ip = Some(ip);
        self.record.transport = Transport::None;
        self.record.payload = Payload { start: self.base.saturating_add(offset), ..Payload::default() };
    }

    /// Notes an ARP message: it has no IP header, and an outer one says nothing about it.
    pub(super) fn arp(&mut self, transport: Transport) {
        self.record.ip = None;
        self.record.transport = transport;
        self.record.payload = Payload { start: self.base, ..Payload::default() };
    }

    /// Notes the transport and its payload.
    pub(super) fn transport(&mut self, transport: Transport, payload: Cursor<'_>) {
        self.record.transport = transport;
        self.record.payload = Payload {
            start: self.base.saturating_add(payload.offset),
            captured: payload.bytes.len() as u32,
            length: payload.length,
            hash: 0,
        };
    }

    /// Notes a fault.
    pub(super) fn fault(&mut self, fault: Faults) {
        self.record.faults.add(fault);
    }
}
