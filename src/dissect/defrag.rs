//! Puts IP fragments together (RFC 791 section 3.2, RFC 8200 section 4.5), in bounded memory.
//!
//! Where fragments overlap, the octets that came first stay: what is sent later must not change a datagram.
//! Overlaps with other content look like evasion (RFC 5722), so they are counted apart. The fragments of a
//! finished datagram are remembered until its time is up. In a capture that holds every packet twice the
//! second fragments are then known as copies, and no datagram is reported as unfinished.
//!
//! A datagram put together may hold a tunnel with a fragment in it: feed its record again.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::HashMap;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::fragment_buffer::{FragmentBuffer, Overlap};
use crate::dissect::{Faults, Fragment, FragmentPath, PacketRecord, PacketRef, Transport};
use crate::time::{Span, Timestamp};

/// Longest payload of a datagram: offsets have 13 bits of eight octets.
const MAX_DATAGRAM: u32 = 65_535;
/// Most fragments of a datagram. The longest one over the smallest IPv4 link (576) has 119.
const MAX_FRAGMENTS: usize = 1024;
/// What one remembered fragment costs, for the budget.
const PIECE: usize = 32;

/// Limits of a [`Defragmenter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefragLimits {
    /// Most datagrams remembered at once, finished ones too.
    pub datagrams: usize,
    /// Most bytes held for all of them.
    pub bytes: usize,
    /// How long a datagram waits for its fragments, from the first that arrived.
    pub timeout: Span,
}

impl Default for DefragLimits {
    /// 30 s is Linux's `ipfrag_time`; RFC 8200 allows 60 s.
    fn default() -> Self {
        Self { datagrams: 4096, bytes: 16 << 20, timeout: Span::secs(30) }
    }
}

/// What a [`Defragmenter`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DefragStats {
    /// Fragments seen, those inside of reassembled datagrams too.
    pub seen: u64,
    /// Datagrams put together.
    pub reassembled: u64,
    /// Datagrams whose missing fragments did not come in time.
    pub expired: u64,
    /// Fragments that repeat one that came before, octet by octet.
    pub duplicates: u64,
    /// Fragments that overlap earlier ones with the same content, other than whole repeats.
    pub overlapping: u64,
    /// Fragments that contradict earlier ones: other content, another end, or beyond the end.
    pub conflicting: u64,
    /// Fragments of which the capture kept only a part.
    pub clipped: u64,
    /// Fragments that end beyond 65535 octets, or are one too many of their datagram; not used.
    pub oversized: u64,
    /// Unfinished datagrams dropped, oldest first, because a limit was reached.
    pub evicted: u64,
}

/// A datagram put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Its payload: what stands behind the IP header, or behind the IPv6 fragment header.
    pub bytes: Vec<u8>,
    /// The protocol of the payload, by the fragment with offset 0.
    pub protocol: u8,
    /// Ordinal of the fragment that arrived first.
    pub first_packet: u64,
    /// Number of fragments used.
    pub fragments: u32,
}

/// RFC 791 names source, destination, protocol and identification; IPv6 leaves the protocol out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: u8,
    path: u64,
}

/// A fragment as it is remembered: offset, length and hash.
type Piece = (u32, u32, u64);

/// One datagram.
struct Assembly {
    serial: u64,
    since: Timestamp,
    /// The fragment that arrived first.
    first: PacketRef,
    /// A fragment of it was cut by the snapshot length, or has a damaged header: its offset may be wrong.
    doubtful: bool,
    protocol: u8,
    end: Option<u32>,
    octets: FragmentBuffer,
    seen: Vec<Piece>,
    /// The fragments of the finished datagram before this one, with the same key.
    before: Vec<Piece>,
    /// All of `seen` is in `before` too: most likely late copies of a finished datagram's fragments.
    echo: bool,
    done: bool,
}

impl Assembly {
    fn cost(&self) -> usize {
        self.octets.cost() + PIECE * (self.seen.len() + self.before.len() + 4)
    }
}

/// Puts fragments together. Feed it in capture order.
pub struct Defragmenter {
    limits: DefragLimits,
    open: HashMap<Key, Assembly>,
    /// Keys by arrival of the first fragment: what expires and is evicted first.
    order: BTreeMap<u64, Key>,
    serial: u64,
    held: usize,
    /// Latest time of all packets that were told.
    clock: Timestamp,
    stats: DefragStats,
    paths: BTreeMap<(IpAddr, IpAddr), FragmentPath>,
}

impl Defragmenter {
    /// Fragments of a datagram follow each other at once. When the capture ends this soon after the first,
    /// the others may be on their way.
    const SOON: Span = Span::secs(2);

    /// An empty one.
    pub fn new(limits: DefragLimits) -> Self {
        Self {
            limits,
            open: HashMap::new(),
            order: BTreeMap::new(),
            serial: 0,
            held: 0,
            clock: Timestamp::MIN,
            stats: DefragStats::default(),
            paths: BTreeMap::new(),
        }
    }

    /// What happened so far.
    pub fn stats(&self) -> DefragStats {
        self.stats
    }

    /// Bytes held now, by the measure of [`DefragLimits::bytes`].
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes a fragment, whose captured payload is `bytes`, and gives back the datagram it completes. Records
    /// that are no fragments are ignored.
    pub fn feed(&mut self, record: &PacketRecord, bytes: &[u8]) -> Option<Datagram> {
        let (Transport::Fragment(fragment), Some(ip)) = (record.transport, record.ip) else {
            return None;
        };
        self.expire(record.clock);
        self.stats.seen += 1;
        let length = record.payload.length;
        if record.payload.captured < length || bytes.len() < length as usize {
            self.stats.clipped += 1;
        }
        let clipped = record.payload.captured < length || bytes.len() < length as usize;
        if fragment.offset.saturating_add(length) > MAX_DATAGRAM {
            self.stats.oversized += 1;
            return None;
        }
        let v4 = ip.source.is_ipv4();
        let key = Key {
            source: ip.source,
            destination: ip.destination,
            id: fragment.id,
            protocol: if v4 { fragment.protocol } else { 0 },
            path: record.path.hash,
        };
        let bytes = &bytes[..bytes.len().min(length as usize)];
        let piece = (fragment.offset, length, xxh3_64(bytes));
        let mut assembly = self.take(key, record);
        assembly.doubtful |= clipped || record.faults.contains(Faults::IP_CHECKSUM);
        let conflicts = self.stats.conflicting;
        let finished = self.add(&mut assembly, fragment, piece, bytes);
        if self.stats.conflicting > conflicts
            && let Some(path) = self.path(&key)
        {
            path.conflicting += 1;
            path.show(PacketRef { packet: record.packet, time: record.time });
        }
        if finished && let Some(path) = self.path(&key) {
            path.complete += 1;
        }
        let datagram = finished.then(|| {
            assembly.done = true;
            assembly.before = Vec::new();
            self.stats.reassembled += 1;
            Datagram {
                bytes: std::mem::take(&mut assembly.octets).into_bytes(),
                protocol: assembly.protocol,
                first_packet: assembly.first.packet,
                fragments: assembly.seen.len() as u32,
            }
        });
        self.held += assembly.cost();
        self.order.insert(assembly.serial, key);
        self.open.insert(key, assembly);
        self.evict();
        datagram
    }

    /// Drops datagrams whose time was up at `clock`.
    pub fn expire(&mut self, clock: Timestamp) {
        self.clock = self.clock.max(clock);
        while let Some((_, key)) = self.order.first_key_value() {
            let late = self.open.get(key).is_none_or(|open| clock - open.since > self.limits.timeout);
            if !late {
                break;
            }
            if self.drop_oldest(true) {
                self.stats.expired += 1;
            }
        }
    }

    /// The end of the capture: what is unfinished stays so. Gives the final counts.
    pub fn finish(&mut self) -> DefragStats {
        let ends = self.clock;
        while let Some((_, key)) = self.order.first_key_value() {
            let waited = self.open.get(key).is_none_or(|open| ends - open.since > Self::SOON);
            if self.drop_oldest(waited) {
                self.stats.expired += 1;
            }
        }
        self.stats
    }

    /// The datagram a fragment belongs to. After a finished one another begins: a copy of it, or one that
    /// reuses its identification.
    fn take(&mut self, key: Key, record: &PacketRecord) -> Assembly {
        let mut before = Vec::new();
        if let Some(assembly) = self.open.remove(&key) {
            self.order.remove(&assembly.serial);
            self.held -= assembly.cost();
            if !assembly.done {
                return assembly;
            }
            before = assembly.seen;
        }
        self.serial += 1;
        Assembly {
            serial: self.serial,
            since: record.clock,
            first: PacketRef { packet: record.packet, time: record.time },
            doubtful: false,
            protocol: record.ip.map_or(0, |ip| ip.protocol),
            end: None,
            octets: FragmentBuffer::default(),
            seen: Vec::new(),
            echo: !before.is_empty(),
            before,
            done: false,
        }
    }

    /// Adds a fragment; true when the datagram is whole.
    fn add(&mut self, assembly: &mut Assembly, fragment: Fragment, piece: Piece, bytes: &[u8]) -> bool {
        if assembly.seen.contains(&piece) {
            self.stats.duplicates += 1;
            return false;
        }
        if assembly.seen.len() >= MAX_FRAGMENTS {
            self.stats.oversized += 1;
            return false;
        }
        let end = fragment.offset + piece.1;
        let highest = assembly.octets.end();
        let contradicts = match (assembly.end, fragment.more) {
            (Some(known), true) => end > known,
            (Some(known), false) => end != known,
            (None, false) => end < highest,
            (None, true) => false,
        };
        if contradicts {
            self.stats.conflicting += 1;
            return false;
        }
        if !fragment.more {
            assembly.end = Some(end);
        }
        if fragment.offset == 0 {
            assembly.protocol = fragment.protocol;
        }
        assembly.seen.push(piece);
        assembly.echo = assembly.echo && assembly.before.contains(&piece);
        match assembly.octets.insert(fragment.offset, bytes) {
            Overlap::None => {}
            Overlap::Same => self.stats.overlapping += 1,
            Overlap::Different => self.stats.conflicting += 1,
        }
        assembly.end.is_some_and(|end| assembly.octets.is_whole(end))
    }

    fn evict(&mut self) {
        while self.order.len() > self.limits.datagrams || self.held > self.limits.bytes {
            if self.drop_oldest(false) {
                self.stats.evicted += 1;
            }
            if self.order.is_empty() {
                break;
            }
        }
    }

    /// What became of the fragments, by source and destination.
    pub fn into_paths(self) -> Vec<FragmentPath> {
        self.paths.into_values().collect()
    }

    fn path(&mut self, key: &Key) -> Option<&mut FragmentPath> {
        let ends = (key.source, key.destination);
        let room = self.paths.len() < FragmentPath::MOST || self.paths.contains_key(&ends);
        room.then(|| self.paths.entry(ends).or_insert_with(|| FragmentPath::new(ends.0, ends.1)))
    }

    /// Drops the oldest; true when it was unfinished and not just late copies. `waited`: its fragments had
    /// time to come.
    fn drop_oldest(&mut self, waited: bool) -> bool {
        let Some((_, key)) = self.order.pop_first() else {
            return false;
        };
        let Some(assembly) = self.open.remove(&key) else {
            return false;
        };
        self.held -= assembly.cost();
        if assembly.echo && !assembly.done {
            self.stats.duplicates += assembly.seen.len() as u64;
            return false;
        }
        if !assembly.done
            && let Some(path) = self.path(&key)
        {
            if assembly.doubtful || !waited {
                path.unknown += 1;
            } else {
                path.incomplete += 1;
                path.first_only += u64::from(assembly.seen.iter().all(|(offset, ..)| *offset == 0));
                path.rest_only += u64::from(assembly.seen.iter().all(|(offset, ..)| *offset > 0));
                path.show(assembly.first);
            }
        }
        !assembly.done
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::capture::{LinkType, RawPacket};
    use crate::dissect::{Ip, Payload, dissect, dissect_datagram};

    fn fragment(offset: u32, more: bool, bytes: &[u8], time: i64) -> PacketRecord {
        let raw = RawPacket {
            packet: 1,
            offset: 0,
            time: Some(Timestamp(time)),
            wire: 0,
            interface: 0,
            link_type: LinkType(0xffff),
            start: 0,
            data: &[],
        };
        let length = bytes.len() as u32;
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        PacketRecord {
            ip: Some(Ip {
                source: address,
                destination: address,
                protocol: 17,
                length: length + 20,
                ..Ip::default()
            }),
            transport: Transport::Fragment(Fragment { id: 7, offset, more, protocol: 17 }),
            payload: Payload { start: 0, captured: length, length, hash: 0 },
            ..dissect(&raw)
        }
    }

    fn feed(all: &mut Defragmenter, offset: u32, more: bool, bytes: &[u8]) -> Option<Datagram> {
        all.feed(&fragment(offset, more, bytes, 0), bytes)
    }

    #[test]
    fn any_order_gives_the_datagram_at_the_last_arrival() {
        let mut all = Defragmenter::new(DefragLimits::default());
        assert!(feed(&mut all, 16, false, b"end").is_none());
        assert!(feed(&mut all, 0, true, b"01234567").is_none());
        let whole = feed(&mut all, 8, true, b"89abcdef").unwrap();
        assert_eq!((&whole.bytes[..], whole.protocol, whole.fragments), (&b"0123456789abcdefend"[..], 17, 3));
    }

    #[test]
    fn a_capture_with_every_packet_twice_completes_once_and_leaves_nothing_open() {
        let mut all = Defragmenter::new(DefragLimits::default());
        let mut whole = 0;
        for (offset, more, bytes) in [(0, true, b"01234567"), (8, false, b"89abcdef")] {
            for _ in 0..2 {
                whole += usize::from(feed(&mut all, offset, more, bytes).is_some());
            }
        }
        let stats = all.finish();
        assert_eq!((whole, stats.reassembled, stats.duplicates, stats.expired), (1, 1, 2, 0));
        assert_eq!(all.held(), 0);
    }

    #[test]
    fn a_whole_copy_is_a_datagram_again_like_any_copied_packet() {
        let mut all = Defragmenter::new(DefragLimits::default());
        for _ in 0..2 {
            assert!(feed(&mut all, 0, true, b"01234567").is_none());
            assert!(feed(&mut all, 8, false, b"end").is_some());
        }
        assert_eq!((all.finish().expired, all.stats().duplicates), (0, 0));
    }

    #[test]
    fn a_reused_identification_is_another_datagram() {
        let mut all = Defragmenter::new(DefragLimits::default());
        for text in [b"01234567", b"abcdefgh"] {
            assert!(feed(&mut all, 0, true, text).is_none());
            assert_eq!(feed(&mut all, 8, false, text).unwrap().bytes.len(), 16);
        }
        assert_eq!(all.finish().reassembled, 2);
    }

    #[test]
    fn the_first_octets_win_and_the_contradiction_is_counted() {
        let mut all = Defragmenter::new(DefragLimits::default());
        feed(&mut all, 8, true, b"first...");
        feed(&mut all, 0, true, b"01234567SECOND!!");
        let whole = feed(&mut all, 16, false, b".").unwrap();
        assert_eq!(whole.bytes, b"01234567first....");
        assert_eq!((all.stats().conflicting, all.stats().overlapping), (1, 0));
    }

    #[test]
    fn ends_that_contradict_are_counted_and_ignored() {
        let mut all = Defragmenter::new(DefragLimits::default());
        feed(&mut all, 8, false, b"end");
        feed(&mut all, 8, false, b"another end");
        feed(&mut all, 64, true, b"beyond..");
        assert_eq!(all.stats().conflicting, 2);
        assert_eq!(feed(&mut all, 0, true, b"01234567").unwrap().bytes, b"01234567end");
    }

    #[test]
    fn time_and_memory_are_bounded() {
        let mut all = Defragmenter::new(DefragLimits { datagrams: 2, ..DefragLimits::default() });
        for id in 0..3 {
            let mut record = fragment(0, true, b"01234567", 0);
            record.transport = Transport::Fragment(Fragment { id, offset: 0, more: true, protocol: 17 });
            all.feed(&record, b"01234567");
        }
        assert_eq!(all.stats().evicted, 1);
        all.feed(&fragment(0, true, b"01234567", 31_000_000_000), b"01234567");
        assert_eq!(all.stats().expired, 2);
    }

    #[test]
    fn a_clipped_fragment_never_completes() {
        let mut all = Defragmenter::new(DefragLimits::default());
        let mut record = fragment(0, true, b"01234567", 0);
        record.payload.captured = 4;
        assert!(all.feed(&record, b"0123").is_none());
        assert!(feed(&mut all, 8, false, b"end").is_none());
        assert_eq!((all.stats().clipped, all.finish().expired), (1, 1));
    }

    #[test]
    fn a_datagram_is_read_as_of_its_last_fragment() {
        let last = fragment(8, false, b"....", 5);
        let udp = [0x30, 0x39, 0, 53, 0, 12, 0, 0, b'a', b'b', b'c', b'd'];
        let record = dissect_datagram(&last, 17, &udp, 1000);
        assert!(matches!(record.transport, Transport::Udp(udp) if udp.destination_port == 53));
        assert_eq!((record.payload.start, record.payload.length), (1008, 4));
        assert_eq!(record.ip.unwrap().length, 32);
        assert!(record.faults.contains(crate::dissect::Faults::REASSEMBLED));
    }
}
