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
/// Kinds of skipped blocks told apart per file; blocks of further kinds are counted together.
const MAX_KINDS: usize = 64;

/// What is known of one file after reading it. A function of its bytes and its place in the set.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileReport {
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
    pub first_time: Option<Timestamp>,
    /// Latest packet time.
    pub last_time: Option<Timestamp>,
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
    pub damage: Vec<Damage>,
    /// Damaged places beyond those listed.
    pub damage_unlisted: u64,
    /// Bytes lost to damage, the cut-off tail included.
    pub damaged_bytes: u64,
    /// The file ends inside a record.
    pub truncated: bool,
    /// BLAKE3 of the file as on disk, in hexadecimal.
    pub blake3: String,
    /// SHA-256 of the file as on disk, in hexadecimal, when asked for.
    pub sha256: Option<String>,
}

/// One interface and what the file says was lost on it. `None` = the file does not say.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceReport {
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
    /// Name.
    pub name: Option<String>,
    /// Capture filter.
    pub filter: Option<String>,
    /// Packets in the file.
    pub packets: u64,
    /// Packets received (`isb_ifrecv`).
    pub received: Option<u64>,
    /// Packets dropped by the interface (`isb_ifdrop`).
    pub dropped: Option<u64>,
    /// Packets the filter accepted (`isb_filteraccept`).
    pub accepted: Option<u64>,
    /// Packets dropped by the operating system (`isb_osdrop`).
    pub system_dropped: Option<u64>,
    /// Packets delivered to the capturing program (`isb_usrdeliv`).
    pub delivered: Option<u64>,
    /// Sum of the drop counts given with packets (`epb_dropcount`).
    pub packet_drops: Option<u64>,
}

/// A place that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Where it starts, in bytes into the decompressed file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// What was expected and what was found.
    pub reason: String,
}

/// Two files of a set that cover the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// Index of the file that comes first in the set.
    pub earlier: u32,
    /// Index of the file that comes right after it.
    pub later: u32,
    /// From the first packet of the later to the last packet of the earlier file.
    pub span: Span,
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
        self.interfaces.push(InterfaceReport {
            link_type: interface.link_type,
            link_type_number: interface.link_type.0,
            snap_length: interface.snap_length,
            resolution: resolution_name(interface.resolution),
            offset: interface.offset,
            name: interface.name.clone(),
            filter: interface.filter.clone(),
            packets: 0,
            received: None,
            dropped: None,
            accepted: None,
            system_dropped: None,
            delivered: None,
            packet_drops: None,
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
            self.first_time = Some(self.first_time.map_or(time, |first| first.min(time)));
            self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
        }
    }

    pub(super) fn add_damage(&mut self, offset: u64, length: u64, reason: String) {
        self.damaged_bytes = self.damaged_bytes.saturating_add(length);
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(Damage { offset, length, reason });
        } else {
            self.damage_unlisted += 1;
        }
    }

    pub(super) fn add_skipped(&mut self, kind: u32) {
        let name = super::pcapng::name(kind);
        let full = self.skipped_blocks.len() >= MAX_KINDS && !self.skipped_blocks.contains_key(&name);
        let name = if full { "other types".to_owned() } else { name };
        *self.skipped_blocks.entry(name).or_default() += 1;
    }
}

/// Overlaps in time between neighbours in the order of the set.
pub(super) fn overlaps(files: &[FileReport]) -> Vec<Overlap> {
    let pairs = files.iter().zip(files.iter().skip(1)).enumerate();
    pairs
        .filter_map(|(index, (earlier, later))| {
            let span = earlier.last_time? - later.first_time?;
            (span > Span::ZERO).then_some(Overlap { earlier: index as u32, later: index as u32 + 1, span })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bounded_and_the_rest_is_counted() {
        let mut report = FileReport::default();
        for at in 0..MAX_DAMAGE as u64 + 5 {
            report.add_damage(at, 2, "odd".to_owned());
        }
        for kind in 0..200 {
            report.add_skipped(0x7000_0000 + kind);
        }
        assert_eq!((report.damage.len(), report.damage_unlisted), (MAX_DAMAGE, 5));
        assert_eq!(report.damaged_bytes, 2 * (MAX_DAMAGE as u64 + 5));
        assert_eq!(report.skipped_blocks.len(), MAX_KINDS + 1);
        assert_eq!(report.skipped_blocks["other types"], 200 - MAX_KINDS as u64);
    }

    #[test]
    fn overlaps_are_between_neighbours() {
        let file = |first, last| FileReport {
            first_time: Some(Timestamp(first)),
            last_time: Some(Timestamp(last)),
            ..FileReport::default()
        };
        let found = overlaps(&[file(0, 10), file(8, 20), file(20, 30)]);
        assert_eq!(found, [Overlap { earlier: 0, later: 1, span: Span(2) }]);
    }
}
