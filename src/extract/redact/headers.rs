//! A packet's headers with other addresses, and its payload as the stream or the datagram has it.

use std::ops::Range;

use super::checksum::Sum;
use super::dns;
use super::secrets::Secrets;
use super::streams::Streams;
use crate::app::dns::looks_like_dns;
use crate::capture::{LinkType, RawPacket};
use crate::dissect::{Header, HeaderKind, PacketRecord, Stop, Transport, dissect_headers};

/// A redacted packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// Link type: that of raw IP where the link header may hold anything.
    pub link_type: LinkType,
    /// The bytes.
    pub data: Vec<u8>,
    /// Length on the wire.
    pub wire: u32,
}

/// Redacts a packet; `None` for one of a link type whose header cannot be read up to an IP packet. `streams`
/// has taken it before.
pub fn redact(secrets: &Secrets, streams: &Streams, raw: &RawPacket<'_>) -> Option<Redacted> {
    let (record, headers) = dissect_headers(raw);
    let mut packet =
        Rewritten { secrets, old: raw.data, new: vec![0; raw.data.len()], sums: Vec::new(), ip: None };
    let cut = packet.headers(&headers, &record, streams)?;
    let Rewritten { old, mut new, sums, .. } = packet;
    // The innermost first: the outer ones are over them.
    sums.iter().rev().for_each(|sum| sum.follow(old, &mut new));
    let link_type = if cut > 0 { LinkType(RAW) } else { raw.link_type };
    new.drain(..cut.min(new.len()));
    Some(Redacted { link_type, data: new, wire: raw.wire.saturating_sub(cut as u32) })
}

/// LINKTYPE_RAW: a packet begins with its IP header.
const RAW: u16 = 101;
/// Octets in front of the addresses of an IPv4 and of an IPv6 header.
const ADDRESSES: [usize; 2] = [12, 8];

struct Rewritten<'p> {
    secrets: &'p Secrets,
    old: &'p [u8],
    new: Vec<u8>,
    sums: Vec<Sum>,
    /// The addresses of the innermost IP header so far, which checksums behind it cover.
    ip: Option<Range<usize>>,
}

impl Rewritten<'_> {
    /// How many octets in front are to be left out.
    fn headers(&mut self, headers: &[Header], record: &PacketRecord, streams: &Streams) -> Option<usize> {
        let mut cut = 0;
        for (place, header) in headers.iter().enumerate() {
            let next = headers.get(place + 1);
            let start = header.offset;
            let limit = (start + header.captured).min(self.old.len());
            let end = next.map_or(limit, |next| next.offset.min(limit));
            if start < cut {
                continue;
            }
            match header.kind {
                HeaderKind::Link(kind) => {
                    if !self.link(kind, start, end) {
                        let ip = headers.iter().find(|header| header.kind == HeaderKind::Ip)?;
                        cut = ip.offset;
                    }
                }
                HeaderKind::Ethernet => self.ethernet(start),
                HeaderKind::EtherType(0x0806) if next.is_none() => self.arp(start),
                // Tags, labels and tunnel headers; what could not be read may be anything.
                HeaderKind::EtherType(_)
                | HeaderKind::Llc
                | HeaderKind::Ppp
                | HeaderKind::Mpls
                | HeaderKind::Gre => {
                    if next.is_some() {
                        self.copy(start, end);
                    }
                }
                HeaderKind::Ip => {
                    let behind = self.ip(start, end);
                    if record.stop == Stop::Fragment
                        && next.is_none()
                        && let (Some((protocol, at)), true) = (behind, self.is_first_fragment(record))
                    {
                        self.transport(protocol, at, limit, None);
                    }
                }
                HeaderKind::Protocol(number) if next.is_none() => {
                    self.transport(number, start, limit, Some((record, streams)));
                }
                HeaderKind::Protocol(number) => {
                    // An authentication header's check value is of octets that are no more.
                    self.copy(start, if number == 51 { end.min(start + 12) } else { end });
                    if number == 17 {
                        self.sum(start, 6, limit, true);
                    }
                }
            }
        }
        Some(cut)
    }

    fn copy(&mut self, start: usize, end: usize) {
        let end = end.min(self.old.len());
        if let (Some(new), Some(old)) = (self.new.get_mut(start..end), self.old.get(start..end)) {
            new.copy_from_slice(old);
        }
    }

    fn mac(&mut self, at: usize) {
        if let Some(place) = self.new.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<6>()) {
            *place = self.secrets.mac(*place);
        }
    }

    fn address(&mut self, at: usize, length: usize) {
        self.copy(at, at + length);
        if let Some(place) = self.new.get_mut(at..at + length) {
            self.secrets.octets(place);
        }
    }

    /// False for a link type whose header may hold anything.
    fn link(&mut self, kind: u16, start: usize, end: usize) -> bool {
        match kind {
            // Nothing of its own in front of what follows.
            1 | 9 | 12 | 14 | 101 | 228 | 229 => true,
            0 | 50 | 104 | 108 => {
                self.copy(start, end.min(start + 4));
                true
            }
            113 | 276 => {
                let (header, address) = if kind == 113 { (16, 6) } else { (20, 12) };
                self.copy(start, start + header);
                self.mac(start + address);
                // The field has room for eight octets.
                if let Some(rest) = self.new.get_mut(start + address + 6..start + address + 8) {
                    rest.fill(0);
                }
                true
            }
            _ => false,
        }
    }

    fn ethernet(&mut self, start: usize) {
        self.copy(start, start + 14);
        self.mac(start);
        self.mac(start + 6);
    }

    fn arp(&mut self, start: usize) {
        self.copy(start, start + 8);
        // Other address lengths were not read as ARP.
        if self.old.get(start + 4..start + 6) == Some(&[6, 4]) {
            self.copy(start + 8, start + 28);
            for at in [8, 18] {
                self.mac(start + at);
                self.address(start + at + 6, 4);
            }
        }
    }

    fn sum(&mut self, start: usize, field: usize, end: usize, with_addresses: bool) {
        let addresses = self.ip.clone().filter(|_| with_addresses);
        if start + field + 2 <= end {
            let covers = start..end.min(self.old.len());
            self.sums.push(Sum { field: start + field, covers, addresses });
        }
    }

    /// Rewrites an IP header: the protocol behind it, and where that begins.
    fn ip(&mut self, start: usize, end: usize) -> Option<(u8, usize)> {
        let v6 = match self.old.get(start)? >> 4 {
            4 => false,
            6 => true,
            _ => return None,
        };
        let addresses = start + ADDRESSES[usize::from(v6)];
        let length = if v6 { 16 } else { 4 };
        self.copy(start, start + if v6 { 40 } else { 20 });
        self.address(addresses, length);
        self.address(addresses + length, length);
        self.ip = Some(addresses..(addresses + 2 * length).min(self.old.len()));
        if v6 {
            return self.extensions(*self.old.get(start + 6)?, start + 40, end);
        }
        let behind = start + usize::from(self.old.get(start)? & 0x0f) * 4;
        // Routes and times are addresses: in their place stands "no operation".
        let options = behind.min(end);
        if let Some(options) = self.new.get_mut(start + 20..options) {
            options.fill(1);
        }
        self.sum(start, 10, behind, false);
        Some((*self.old.get(start + 9)?, behind))
    }

    fn extensions(&mut self, mut next: u8, mut at: usize, end: usize) -> Option<(u8, usize)> {
        while at < end {
            let units = usize::from(*self.old.get(at + 1)?);
            let length = match next {
                // Options and routes: padding of the same length.
                0 | 43 | 60 | 135 => {
                    let length = 8 * (units + 1);
                    self.copy(at, at + 2);
                    if let Some([kind, count, ..]) = self.new.get_mut(at + 2..(at + length).min(end)) {
                        (*kind, *count) = (1, (length - 4).min(255) as u8);
                    }
                    length
                }
                44 => {
                    self.copy(at, at + 8);
                    8
                }
                51 => {
                    self.copy(at, at + 12);
                    4 * (units + 2)
                }
                _ => break,
            };
            next = *self.old.get(at)?;
            at += length;
        }
        Some((next, at))
    }

    fn is_first_fragment(&self, record: &PacketRecord) -> bool {
        matches!(&record.transport, Transport::Fragment(fragment) if fragment.offset == 0)
    }

    fn transport(
        &mut self,
        number: u8,
        start: usize,
        end: usize,
        of: Option<(&PacketRecord, &Streams)>,
    ) -> Option<()> {
        match number {
            6 => {
                let payload = self.tcp(start, end);
                if let Some((record, streams)) = of
                    && let Some(new) = self.new.get_mut(payload..end)
                {
                    streams.payload(record, new);
                }
                self.sum(start, 16, end, true);
            }
            17 => {
                self.copy(start, end.min(start + 8));
                self.datagram(start, end, of);
                self.sum(start, 6, end, true);
            }
            1 => {
                let kind = *self.old.get(start)?;
                self.copy(start, end.min(start + 8));
                if kind == 5 {
                    self.address(start + 4, 4);
                }
                if matches!(kind, 3 | 4 | 5 | 11 | 12) {
                    self.quote(start + 8, end);
                }
                self.sum(start, 2, end, false);
            }
            58 => {
                let addresses = self.ip.clone();
                let kind = *self.old.get(start)?;
                self.copy(start, end.min(start + 8));
                match kind {
                    1..=4 => _ = self.quote(start + 8, end),
                    135 | 136 => self.neighbour(start + 8, end),
                    _ => {}
                }
                self.ip = addresses;
                self.sum(start, 2, end, true);
            }
            _ => {}
        }
        Some(())
    }

    /// The TCP header, with the options that say nothing of hosts; where the payload begins.
    fn tcp(&mut self, start: usize, end: usize) -> usize {
        self.copy(start, end.min(start + 20));
        let words = self.old.get(start + 12).map_or(5, |octet| usize::from(octet >> 4));
        let behind = (start + words.max(5) * 4).min(end);
        let mut at = start + 20;
        while at < behind {
            let (Some(&kind), length) = (self.old.get(at), self.old.get(at + 1).copied().unwrap_or(0)) else {
                break;
            };
            let length = match kind {
                0 => break,
                1 => 1,
                _ if length < 2 => break,
                _ => usize::from(length),
            };
            // Segment size, window scale, SACK, timestamps, user time-out: the others are keys and cookies.
            let whole = matches!(kind, 1..=5 | 8 | 28);
            self.copy(at, behind.min(at + if whole { length } else { 2 }));
            at += length;
        }
        behind
    }

    fn datagram(&mut self, start: usize, end: usize, of: Option<(&PacketRecord, &Streams)>) {
        let Some(old) = self.old.get(start + 8..end) else { return };
        if let (Some((record, streams)), Some(new)) = (of, self.new.get_mut(start + 8..end))
            && streams.datagram(self.secrets, record, old, new)
        {
            return;
        }
        let port = |at: usize| self.old.get(start + at..).and_then(|rest| rest.first_chunk()).copied();
        let ports = [port(0), port(2)].map(|port| port.map_or(0, u16::from_be_bytes));
        let expected = ports.iter().any(|port| matches!(port, 53 | 5353 | 5355));
        if (expected || looks_like_dns(old))
            && let Some(new) = self.new.get_mut(start + 8..end)
        {
            dns::redact(self.secrets, old, new);
        }
    }

    /// The start of the packet that an ICMP error quotes: headers only.
    fn quote(&mut self, start: usize, end: usize) -> Option<()> {
        let outer = self.ip.clone();
        let (protocol, at) = self.ip(start, end)?;
        match protocol {
            6 => {
                self.tcp(at, end);
                self.sum(at, 16, end, true);
            }
            17 => {
                self.copy(at, end.min(at + 8));
                self.sum(at, 6, end, true);
            }
            1 | 58 => {
                self.copy(at, end.min(at + 8));
                self.sum(at, 2, end, protocol == 58);
            }
            _ => {}
        }
        self.ip = outer;
        Some(())
    }

    /// Target and link addresses of neighbour discovery (RFC 4861 sections 4.3, 4.4, 4.6.1).
    fn neighbour(&mut self, start: usize, end: usize) {
        self.address(start, 16);
        let mut at = start + 16;
        while let Some(&[kind, units]) = self.old.get(at..end).and_then(|rest| rest.first_chunk::<2>()) {
            self.copy(at, at + 2);
            if matches!(kind, 1 | 2) && at + 8 <= end {
                self.copy(at + 2, at + 8);
                self.mac(at + 2);
            }
            at += (usize::from(units) * 8).max(8);
        }
    }
}
