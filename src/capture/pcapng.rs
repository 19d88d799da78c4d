//! pcapng: blocks (type, total length, body, total length again) in sections. Each section has its own byte
//! order and its own list of interfaces.
//!
//! Packet blocks are read here and not with pcap-parser, because it makes a list of options for each of them;
//! interface descriptions are read with it, times and options are not. Packets are the blocks that Wireshark
//! 4.0 numbers, so that packet numbers are its frame numbers. Custom blocks, journal entries and three kinds
//! of system call events have a number, too. Source: draft-ietf-opsawg-pcapng; numbering checked with tshark
//! 4.0.17.

use std::sync::Arc;

use crate::capture::{Interface, LinkType, NO_INTERFACE};
use crate::time::Timestamp;

/// Block types that are looked into.
pub(super) mod kind {
    pub(in crate::capture) const SECTION: u32 = 0x0a0d_0d0a;
    pub(in crate::capture) const INTERFACE: u32 = 1;
    pub(in crate::capture) const OBSOLETE_PACKET: u32 = 2;
    pub(in crate::capture) const SIMPLE_PACKET: u32 = 3;
    pub(in crate::capture) const NAMES: u32 = 4;
    pub(in crate::capture) const STATISTICS: u32 = 5;
    pub(in crate::capture) const PACKET: u32 = 6;
    pub(in crate::capture) const JOURNAL: u32 = 9;
    pub(in crate::capture) const SECRETS: u32 = 10;
    pub(in crate::capture) const SYSTEM_CALL: u32 = 0x204;
    pub(in crate::capture) const SYSTEM_CALL_2: u32 = 0x216;
    pub(in crate::capture) const SYSTEM_CALL_2_LARGE: u32 = 0x221;
    pub(in crate::capture) const CUSTOM: u32 = 0xbad;
    pub(in crate::capture) const CUSTOM_NO_COPY: u32 = 0x4000_0bad;
}

/// Shortest possible block in bytes: type and both lengths.
pub(super) const MIN_BLOCK: usize = 12;
/// Interfaces kept of one section; later ones are counted as unknown.
pub(super) const MAX_INTERFACES: usize = 4_096;
/// Custom blocks of this enterprise hold black-box logs, which Wireshark reads in its own way and which are
/// not numbered here.
const NETFLIX: u32 = 10_949;

/// What is known of the current section.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// Integers are big-endian.
    pub(super) big_endian: bool,
    /// Interfaces in the order of their descriptions.
    pub(super) interfaces: Arc<Vec<Interface>>,
    /// Number in the file of the first of them.
    pub(super) base: u32,
}

/// A packet, or a block numbered like one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fields {
    /// Index in the section; `None` for a block that is not a packet.
    pub(super) interface: Option<u32>,
    /// Capture time.
    pub(super) time: Option<Timestamp>,
    /// Length on the wire.
    pub(super) wire: u32,
    /// Where the captured bytes start in the block.
    pub(super) start: usize,
    /// How many there are.
    pub(super) length: usize,
    /// How many the block claims to have, when it has fewer.
    pub(super) claimed: Option<u32>,
    /// Where its options start in the block.
    pub(super) options: usize,
}

/// Reads type and total length of the block at the start of `bytes` (at least 8 of them).
#[inline]
pub(super) fn lead(bytes: &[u8], big_endian: bool) -> Option<(u32, u32)> {
    Some((word(bytes, 0, big_endian)?, word(bytes, 4, big_endian)?))
}

/// Length a block takes in the file. Some writers leave the padding out of the length.
#[inline]
pub(super) fn padded(total: u32) -> usize {
    (total as usize).next_multiple_of(4)
}

/// The byte order of the section whose header starts `bytes`; `None` when they are too few or it has none.
pub(super) fn byte_order(bytes: &[u8]) -> Option<bool> {
    match bytes.get(8..12)? {
        [0x1a, 0x2b, 0x3c, 0x4d] => Some(true),
        [0x4d, 0x3c, 0x2b, 0x1a] => Some(false),
        _ => None,
    }
}

/// The least total length of a block that is looked into, by type.
pub(super) fn least(kind: u32) -> usize {
    match kind {
        kind::SECTION => 28,
        kind::INTERFACE => 20,
        kind::OBSOLETE_PACKET | kind::PACKET => 32,
        kind::SIMPLE_PACKET | kind::CUSTOM | kind::CUSTOM_NO_COPY => 16,
        kind::STATISTICS => 24,
        kind::JOURNAL => 36,
        kind::SYSTEM_CALL => 36,
        kind::SYSTEM_CALL_2 | kind::SYSTEM_CALL_2_LARGE => 40,
        _ => MIN_BLOCK,
    }
}

/// Secrets type of a key log of TLS.
pub(super) const TLS_KEY_LOG: u32 = 0x544c_534b;

/// The key log of a Decryption Secrets Block: secrets type, length, secrets; `None` for secrets of other
/// types.
pub(super) fn key_log(block: &[u8], big_endian: bool) -> Option<&[u8]> {
    let (kind, length) = (word(block, 8, big_endian)?, word(block, 12, big_endian)?);
    let room = block.get(16..block.len().checked_sub(4)?)?;
    (kind == TLS_KEY_LOG).then(|| room.get(..length as usize).unwrap_or(room))
}

/// The name of a block type for people.
pub(super) fn name(kind: u32) -> String {
    match kind {
        kind::SECTION => "section header",
        kind::INTERFACE => "interface description",
        kind::OBSOLETE_PACKET => "obsolete packet",
        kind::SIMPLE_PACKET => "simple packet",
        kind::NAMES => "name resolution",
        kind::STATISTICS => "interface statistics",
        kind::PACKET => "enhanced packet",
        kind::JOURNAL => "systemd journal export",
        kind::SECRETS => "decryption secrets",
        kind::SYSTEM_CALL | kind::SYSTEM_CALL_2 | kind::SYSTEM_CALL_2_LARGE => "system call event",
        0x201..=0x223 => "system call metadata",
        kind::CUSTOM => "custom",
        kind::CUSTOM_NO_COPY => "custom (do not copy)",
        0x8000_0001 => "process information",
        _ => return format!("unknown type 0x{kind:08x}"),
    }
    .to_owned()
}

/// True for the types a damaged file is searched for.
pub(super) fn is_known(kind: u32) -> bool {
    matches!(kind, 1..=6 | 9 | 10 | kind::SECTION | kind::CUSTOM | kind::CUSTOM_NO_COPY)
}

impl Section {
    /// Before the first section header of a file. `base` is the number of interfaces of earlier files.
    pub(super) fn new(big_endian: bool, base: u32) -> Self {
        Self { big_endian, interfaces: Arc::default(), base }
    }

    /// Starts the next section.
    pub(super) fn begin(&mut self, big_endian: bool) {
        self.base = self.base.saturating_add(self.interfaces.len() as u32);
        self.big_endian = big_endian;
        self.interfaces = Arc::default();
    }

    /// Adds the interface of an interface description block; false when there are too many.
    pub(super) fn describe(&mut self, block: &[u8]) -> bool {
        if self.interfaces.len() >= MAX_INTERFACES {
            return false;
        }
        Arc::make_mut(&mut self.interfaces).push(Interface::read(block, self.big_endian));
        true
    }

    /// Reads a packet block, or a block that is numbered like one; `None` for every other block and for one
    /// shorter than its type allows. `block` is the whole block.
    #[inline]
    pub(super) fn packet(&self, kind: u32, block: &[u8]) -> Option<Fields> {
        let end = block.len().checked_sub(4)?;
        if block.len() < least(kind) {
            return None;
        }
        match kind {
            kind::PACKET => {
                let interface = word(block, 8, self.big_endian)?;
                self.timed(block, end, interface)
            }
            kind::OBSOLETE_PACKET => {
                // 16 bits of interface, 16 bits of drop count; otherwise like its successor.
                let bytes = [block[8], block[9]];
                let index =
                    if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
                self.timed(block, end, u32::from(index))
            }
            kind::SIMPLE_PACKET => {
                let wire = word(block, 8, self.big_endian)?;
                let snap = self.interfaces.first().map_or(0, |interface| interface.snap_length);
                let wanted = if snap == 0 { wire } else { wire.min(snap) };
                Some(clamp(Some(0), None, wire, 12, wanted, end))
            }
            _ => self.numbered_block(kind, block, end),
        }
    }

    /// The link type of a packet's interface.
    #[inline]
    pub(super) fn link_type(&self, fields: &Fields) -> LinkType {
        match fields.interface {
            None => LinkType::BLOCK,
            Some(index) => self.interfaces.get(index as usize).map_or(LinkType::UNKNOWN, |i| i.link_type),
        }
    }

    /// The interface number of a packet.
    #[inline]
    pub(super) fn number(&self, fields: &Fields) -> u32 {
        match fields.interface {
            Some(index) if (index as usize) < self.interfaces.len() => self.base.saturating_add(index),
            _ => NO_INTERFACE,
        }
    }

    #[inline]
    fn timed(&self, block: &[u8], end: usize, interface: u32) -> Option<Fields> {
        let high = word(block, 12, self.big_endian)?;
        let low = word(block, 16, self.big_endian)?;
        let captured = word(block, 20, self.big_endian)?;
        let wire = word(block, 24, self.big_endian)?;
        let ticks = u64::from(high) << 32 | u64::from(low);
        // Without a description there is no clock to read; microseconds are the format's default.
        let time = match self.interfaces.get(interface as usize) {
            Some(interface) => interface.time(ticks),
            None => Timestamp(i64::try_from(ticks).unwrap_or(i64::MAX).saturating_mul(1_000)),
        };
        Some(clamp(Some(interface), Some(time), wire, 28, captured, end))
    }

    #[cold]
    fn numbered_block(&self, kind: u32, block: &[u8], end: usize) -> Option<Fields> {
        match kind {
            kind::CUSTOM | kind::CUSTOM_NO_COPY => {
                if word(block, 8, self.big_endian)? == NETFLIX {
                    return None;
                }
                Some(clamp(None, None, (end - 12) as u32, 12, (end - 12) as u32, end))
            }
            kind::JOURNAL => {
                let entry = &block[8..end];
                let padding = entry.iter().rev().take(3).take_while(|byte| **byte == 0).count();
                let length = (entry.len() - padding) as u32;
                Some(clamp(None, journal_time(entry), length, 8, length, end))
            }
            kind::SYSTEM_CALL | kind::SYSTEM_CALL_2 | kind::SYSTEM_CALL_2_LARGE => {
                // Processor (2), time in ns (8), thread (8), event length (4), type (2), later kinds:
                // parameters (4).
                let start = if kind == kind::SYSTEM_CALL { 32 } else { 36 };
                let (first, second) = (word(block, 10, self.big_endian)?, word(block, 14, self.big_endian)?);
                let (high, low) = if self.big_endian { (first, second) } else { (second, first) };
                let nanos = u64::from(high) << 32 | u64::from(low);
                let time = Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX));
                let length = end.checked_sub(start)? as u32;
                Some(clamp(None, Some(time), word(block, 26, self.big_endian)?, start, length, end))
            }
            _ => None,
        }
    }
}

/// Puts the fields together, with no more captured bytes than there is room for before `end`.
#[inline]
fn clamp(
    interface: Option<u32>,
    time: Option<Timestamp>,
    wire: u32,
    start: usize,
    captured: u32,
    end: usize,
) -> Fields {
    let room = end.saturating_sub(start);
    let length = room.min(captured as usize);
    let claimed = (captured as usize > room).then_some(captured);
    Fields { interface, time, wire, start, length, claimed, options: (start + length).next_multiple_of(4) }
}

/// The time of a journal entry: microseconds in the line of the realtime timestamp.
fn journal_time(entry: &[u8]) -> Option<Timestamp> {
    const KEY: &[u8] = b"__REALTIME_TIMESTAMP=";
    let value = entry.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(KEY))?;
    let micros: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Timestamp(micros.saturating_mul(1_000)))
}

/// A 32-bit integer at an offset.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let bytes: [u8; 4] = *bytes.get(at..)?.first_chunk()?;
    Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::craft::Pcapng;

    /// The blocks of a crafted file.
    fn blocks(bytes: &[u8]) -> Vec<(u32, &[u8])> {
        let (mut big_endian, mut at, mut found) = (false, 0, Vec::new());
        while at < bytes.len() {
            big_endian = byte_order(&bytes[at..]).unwrap_or(big_endian);
            let (kind, total) = lead(&bytes[at..], big_endian).expect("a block");
            found.push((kind, &bytes[at..at + padded(total)]));
            at += padded(total);
        }
        found
    }

    #[test]
    fn interface_fields_and_options_in_both_byte_orders() {
        for big_endian in [false, true] {
            let offset = Pcapng::new(big_endian).u64(-3_600_i64 as u64);
            let file = Pcapng::new(big_endian)
                .interface(113, 96, &[(2, b"eth0"), (9, &[0x8a]), (11, b"\0tcp port 80"), (14, &offset)])
                .packet(0, 1_600_000_000 * 1_024 + 512, b"abcde", 60)
                .bytes;
            let blocks = blocks(&file);
            let mut section = Section::new(big_endian, 7);
            assert!(section.describe(blocks[1].1));
            let interface = &section.interfaces[0];
            assert_eq!((interface.link_type, interface.snap_length), (LinkType::LINUX_SLL, 96));
            assert_eq!((interface.resolution, interface.offset), (0x8a, -3_600));
            assert_eq!(interface.name.as_deref(), Some("eth0"));
            assert_eq!(interface.filter.as_deref(), Some("tcp port 80"));
            let fields = section.packet(blocks[2].0, blocks[2].1).expect("a packet");
            assert_eq!(fields.time, Some(Timestamp(1_599_996_400_500_000_000)));
            assert_eq!((fields.length, fields.wire, section.number(&fields)), (5, 60, 7));
            assert_eq!(&blocks[2].1[fields.start..][..fields.length], b"abcde");
        }
    }

    #[test]
    fn simple_packets_have_no_time_and_the_least_of_three_lengths() {
        let file = Pcapng::new(false).interface(1, 20, &[]).simple(100, &[7; 20]).simple(10, &[7; 12]).bytes;
        let blocks = blocks(&file);
        let mut section = Section::new(false, 0);
        let early = section.packet(blocks[2].0, blocks[2].1).expect("a packet");
        assert_eq!(section.link_type(&early), LinkType::UNKNOWN);
        section.describe(blocks[1].1);
        let cut = section.packet(blocks[2].0, blocks[2].1).expect("a packet");
        assert_eq!((cut.time, cut.length, cut.wire), (None, 20, 100));
        let short = section.packet(blocks[3].0, blocks[3].1).expect("a packet");
        assert_eq!((short.length, short.wire), (10, 10));
    }

    #[test]
    fn blocks_that_wireshark_numbers_are_packets_of_no_interface() {
        let mut event = vec![1, 0];
        event.extend(1_600_000_000_000_000_000_u64.to_le_bytes());
        event.extend([0; 8]);
        event.extend(34_u32.to_le_bytes());
        event.extend([5, 0, 2, 0, 0, 0]);
        event.extend([b'x'; 16]);
        let file = Pcapng::new(false)
            .block(kind::CUSTOM, b"\x01\0\0\0data")
            .block(kind::CUSTOM_NO_COPY, b"\x01\0\0\0data")
            .block(kind::JOURNAL, b"__REALTIME_TIMESTAMP=1600000001000000\nMESSAGE=hi\n\n")
            .block(kind::SYSTEM_CALL, &event)
            .block(kind::SYSTEM_CALL_2, &event)
            .block(kind::CUSTOM, &[NETFLIX.to_le_bytes(), [1, 0, 0, 0]].concat())
            .block(kind::CUSTOM, &[])
            .block(0x208, &event)
            .bytes;
        let section = Section::new(false, 0);
        let found: Vec<_> = blocks(&file)[1..]
            .iter()
            .map(|(kind, block)| {
                section.packet(*kind, block).map(|f| (f.length, f.wire, f.time.map(|t| t.0)))
            })
            .collect();
        assert_eq!(
            found,
            [
                Some((4, 4, None)),
                Some((4, 4, None)),
                Some((50, 50, Some(1_600_000_001_000_000_000))),
                Some((20, 34, Some(1_600_000_000_000_000_000))),
                Some((16, 34, Some(1_600_000_000_000_000_000))),
                None,
                None,
                None,
            ]
        );
    }

    #[test]
    fn lengths_that_lie_are_clamped_and_said() {
        let mut file = Pcapng::new(false).interface(1, 0, &[]).packet(0, 1, b"abcd", 4).bytes;
        let at = file.len() - 12;
        file[at..at + 4].copy_from_slice(&4_u32.to_le_bytes());
        let packet = file.len() - 36;
        file[packet + 20..packet + 24].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut section = Section::new(false, 0);
        section.describe(blocks(&file)[1].1);
        let fields = section.packet(kind::PACKET, &file[packet..]).expect("a packet");
        assert_eq!((fields.length, fields.claimed), (4, Some(u32::MAX)));
    }

    #[test]
    fn a_section_keeps_a_bounded_list_of_interfaces() {
        let file = Pcapng::new(true).interface(1, 0, &[]).bytes;
        let blocks = blocks(&file);
        let mut section = Section::new(true, 0);
        for _ in 0..MAX_INTERFACES {
            assert!(section.describe(blocks[1].1));
        }
        assert!(!section.describe(blocks[1].1));
        section.begin(false);
        assert_eq!((section.base, section.interfaces.len()), (MAX_INTERFACES as u32, 0));
    }
}
