//! What reading one file said about the file: format, interfaces, counters, damage, hashes.
//!
//! Lengths are bytes, offsets are bytes into the decompressed file, times are those of packets. Counters
//! that a file does not give are absent, which is not the same as zero.

use std::collections::BTreeMap;

use serde::Serialize;

use super::interface::{Interface, resolution_name};
use super::link_type::LinkType;
use super::source::Compression;
use crate::time::{Span, Timestamp};

/// Damaged places listed per file; further ones are counted.
const MAX_DAMAGE: usize = 1_000;
/// Interfaces listed per file; further ones are counted.
const MAX_INTERFACES: usize = 65_536;
/// Interfaces of a file whose names and filters are kept: both may be long, and are written out.
const MAX_NAMED: usize = 1_024;
/// Kinds of skipped blocks told apart per file; blocks of further kinds are counted together.
const MAX_KINDS: usize = 64;

/// In place of a hash that nobody asked for.
pub const NOT_HASHED: &str = "not hashed";

/// What is known of one file after reading it. A function of its bytes and its place in the set.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileReport {
    /// Place in the set, from 0.
    pub index: u32,
    /// The path as given; `-` is standard input.
    pub path: String,
    /// Bytes on disk, or read from standard input.
    pub size: u64,
    /// Bytes after decompression.
    pub unpacked: u64,
    /// `pcap` or `pcapng`.
    pub format: &'static str,
    /// `little-endian` or `big-endian`, of the first section.
    pub byte_order: &'static str,
    /// Timestamp resolution of the first interface, e.g. `1 us`.
    pub resolution: String,
    /// Compression of the file on disk.
    pub compression: Compression,
    /// Snapshot length of the first interface in bytes, as declared; 0 means unlimited.
    pub snap_length: u32,
    /// Number of packets, by Wireshark's counting.
    pub packets: u64,
    /// Packets of the set before this file: frame number in this file = ordinal - base.
    pub base: u64,
    /// Captured bytes of all packets.
    pub captured_bytes: u64,
    /// Bytes on the wire of all packets, as the file says.
    pub wire_bytes: u64,
    /// Earliest packet time.
    pub first_seen: Option<Timestamp>,
    /// Latest packet time.
    pub last_seen: Option<Timestamp>,
    /// The earliest packet is so much earlier than the latest of the file before this one in the set.
    pub overlap: Option<Span>,
    /// pcapng sections; 1 for pcap.
    pub sections: u64,
    /// Interfaces in the order of their numbers, over all sections. Files of a ring number theirs alike.
    pub interfaces: Vec<InterfaceReport>,
    /// Interfaces beyond the limits on their number, whose packets have an unknown link type.
    pub interfaces_unlisted: u64,
    /// Comments on sections, interfaces and packets.
    pub comments: u64,
    /// pcapng blocks that are not packets, by type.
    pub skipped_blocks: BTreeMap<String, u64>,
    /// Damaged places, in order.
    pub damages: Vec<Damage>,
    /// Damaged places beyond those listed.
    pub damages_unlisted: u64,
    /// Bytes lost to damage, the cut-off tail included.
    pub damaged_bytes: u64,
    /// The file stops inside a record, or where it could not be read on: the last of `damages` says which.
    pub truncated: bool,
    /// BLAKE3 of the file as on disk, in hexadecimal, or [`NOT_HASHED`].
    pub blake3: String,
    /// SHA-256 of the file as on disk, in hexadecimal, when asked for.
    pub sha256: Option<String>,
}

/// One interface and what the file says was lost on it. `None` = the file does not say.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InterfaceReport {
    /// Number in the file, over all sections, from 0.
    pub number: u32,
    /// Link-layer type.
    pub link_type: LinkType,
    /// Its number in the tcpdump group's list.
    pub link_type_number: u16,
    /// Snapshot length in bytes, as declared; 0 means unlimited.
    pub snap_length: u32,
    /// Timestamp resolution.
    pub resolution: String,
    /// Seconds added to every timestamp.
    pub offset: i64,
    /// Name; of the first 1024 interfaces of a file.
    pub name: Option<String>,
    /// Capture filter; of the first 1024.
    pub filter: Option<String>,
    /// Packets in the file.
    pub packets: u64,
    /// Packets received (`isb_ifrecv`).
    pub received: Option<u64>,
    /// Packets dropped by the interface (`isb_ifdrop`).
    pub interface_dropped: Option<u64>,
    /// Packets the filter accepted (`isb_filteraccept`).
    pub accepted: Option<u64>,
    /// Packets dropped by the operating system (`isb_osdrop`).
    pub system_dropped: Option<u64>,
    /// Packets delivered to the capturing program (`isb_usrdeliv`).
    pub delivered: Option<u64>,
    /// Sum of the drop counts given with packets (`epb_dropcount`).
    pub packet_drops: Option<u64>,
}

impl InterfaceReport {
    /// Packets dropped: the sum of every counter of drops that the file gives. `None` = the file gives none.
    pub fn dropped(&self) -> Option<u64> {
        let counters = [self.interface_dropped, self.system_dropped, self.packet_drops];
        counters.into_iter().flatten().reduce(u64::saturating_add)
    }
}

/// What is wrong with a place that could not be read. Decided by the reader that stopped there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DamageKind {
    /// The file ends inside a record that was sound so far: it was copied while it was written, or cut.
    TruncatedTail,
    /// A length that the record cannot have: below the least of its type, above the limit, beyond the end.
    ImpossibleLength,
    /// The two lengths of a pcapng block differ.
    LengthMismatch,
    /// Bytes that no record begins with.
    NotARecord,
    /// The decompressor gave up; nothing after this place can be read.
    Decompression,
    /// The system could not read on.
    Unreadable,
    /// The file became shorter while it was read.
    Shrunk,
}

/// A place that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Where it starts, in bytes into the decompressed file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// What is wrong with it.
    pub kind: DamageKind,
    /// What was expected and what was found, in words.
    pub reason: String,
}

impl FileReport {
    pub(super) fn add_interface(&mut self, interface: &Interface) {
        if self.interfaces.len() >= MAX_INTERFACES {
            self.interfaces_unlisted += 1;
            return;
        }
        if self.interfaces.is_empty() {
            self.snap_length = interface.snap_length;
            self.resolution = resolution_name(interface.resolution);
        }
        let named = self.interfaces.len() < MAX_NAMED;
        self.interfaces.push(InterfaceReport {
            number: self.interfaces.len() as u32,
            link_type: interface.link_type,
            link_type_number: interface.link_type.0,
            snap_length: interface.snap_length,
            resolution: resolution_name(interface.resolution),
            offset: interface.offset,
            name: interface.name.clone().filter(|_| named),
            filter: interface.filter.clone().filter(|_| named),
            ..InterfaceReport::default()
        });
    }

    /// The interface of a number.
    #[inline]
    pub(super) fn interface_mut(&mut self, number: u32) -> Option<&mut InterfaceReport> {
        self.interfaces.get_mut(number as usize)
    }

    #[inline]
    pub(super) fn add_packet(&mut self, number: u32, captured: u32, wire: u32, time: Option<Timestamp>) {
        self.packets += 1;
        self.captured_bytes += u64::from(captured);
        self.wire_bytes += u64::from(wire);
        if let Some(interface) = self.interface_mut(number) {
            interface.packets += 1;
        }
        if let Some(time) = time {
            self.first_seen = Some(self.first_seen.map_or(time, |first| first.min(time)));
            self.last_seen = Some(self.last_seen.map_or(time, |last| last.max(time)));
        }
    }

    pub(super) fn add_damage(&mut self, offset: u64, length: u64, kind: DamageKind, reason: String) {
        self.damaged_bytes = self.damaged_bytes.saturating_add(length);
        if self.damages.len() < MAX_DAMAGE {
            self.damages.push(Damage { offset, length, kind, reason });
        } else {
            self.damages_unlisted += 1;
        }
    }

    pub(super) fn add_skipped(&mut self, kind: u32) {
        let name = super::pcapng::name(kind);
        let full = self.skipped_blocks.len() >= MAX_KINDS && !self.skipped_blocks.contains_key(&name);
        let name = if full { "other types".to_owned() } else { name };
        *self.skipped_blocks.entry(name).or_default() += 1;
    }

    /// Puts the report behind that of the file before it in the set.
    pub(super) fn follow(&mut self, before: &Self) {
        let overlap = before.last_seen.zip(self.first_seen).map(|(last, first)| last - first);
        self.overlap = overlap.filter(|span| *span > Span::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bounded_and_the_rest_is_counted() {
        let mut report = FileReport::default();
        for at in 0..MAX_DAMAGE as u64 + 5 {
            report.add_damage(at, 2, DamageKind::NotARecord, "odd".to_owned());
        }
        for kind in 0..200 {
            report.add_skipped(0x7000_0000 + kind);
        }
        assert_eq!((report.damages.len(), report.damages_unlisted), (MAX_DAMAGE, 5));
        assert_eq!(report.damaged_bytes, 2 * (MAX_DAMAGE as u64 + 5));
        assert_eq!(report.skipped_blocks.len(), MAX_KINDS + 1);
        assert_eq!(report.skipped_blocks["other types"], 200 - MAX_KINDS as u64);
    }

    #[test]
    fn an_overlap_is_with_the_file_before() {
        let file = |first, last| FileReport {
            first_seen: Some(Timestamp(first)),
            last_seen: Some(Timestamp(last)),
            ..FileReport::default()
        };
        let overlap = |before: FileReport, mut after: FileReport| {
            after.follow(&before);
            after.overlap
        };
        assert_eq!(overlap(file(0, 10), file(8, 20)), Some(Span(2)));
        assert_eq!(overlap(file(8, 20), file(20, 30)), None);
        assert_eq!(overlap(FileReport::default(), file(20, 30)), None);
    }

    #[test]
    fn long_names_of_many_interfaces_are_not_all_kept() {
        let mut report = FileReport::default();
        let interface = Interface {
            link_type: LinkType::NULL,
            snap_length: 0,
            resolution: 6,
            offset: 0,
            name: Some("\u{1}".repeat(1_024)),
            filter: Some("\u{1}".repeat(1_024)),
        };
        (0..MAX_INTERFACES + 7).for_each(|_| report.add_interface(&interface));
        let named = report.interfaces.iter().filter(|one| one.name.is_some() && one.filter.is_some());
        assert_eq!((named.count(), report.interfaces.len()), (MAX_NAMED, MAX_INTERFACES));
        assert_eq!(report.interfaces_unlisted, 7);
    }

    #[test]
    fn drops_are_summed_over_the_counters_that_are_there() {
        let mut report = FileReport::default();
        report.add_interface(&Interface {
            link_type: LinkType::NULL,
            snap_length: 0,
            resolution: 6,
            offset: 0,
            name: None,
            filter: None,
        });
        let interface = &mut report.interfaces[0];
        assert_eq!(interface.dropped(), None, "absent is not zero");
        interface.system_dropped = Some(0);
        assert_eq!(interface.dropped(), Some(0));
        (interface.interface_dropped, interface.packet_drops) = (Some(3), Some(4));
        assert_eq!(interface.dropped(), Some(7));
    }
}
