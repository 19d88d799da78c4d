//! The part of the report that says what was looked at.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::capture::{Compression, FileReport, Unreadable};
use crate::detect::FileFacts;
use crate::pipeline::Outcome;
use crate::report::table::protocol;
use crate::time::{Span, Timestamp};

/// What was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct CaptureSummary {
    /// The files, in analysis order.
    pub files: Vec<FileSummary>,
    /// Inputs that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Packets.
    pub packets: u64,
    /// Captured bytes.
    pub captured_bytes: u64,
    /// Wire bytes.
    pub wire_bytes: u64,
    /// Earliest packet time.
    pub first_seen: Option<Timestamp>,
    /// Latest packet time.
    pub last_seen: Option<Timestamp>,
    /// Between the two, in seconds.
    pub duration: Span,
    /// TCP packets.
    pub tcp_packets: u64,
    /// UDP packets.
    pub udp_packets: u64,
    /// ICMP packets, both versions.
    pub icmp_packets: u64,
    /// IP fragments.
    pub fragments: u64,
    /// Packets cut by the snapshot length.
    pub clipped: u64,
    /// Packets earlier than the one before them.
    pub backwards: u64,
    /// Packets dropped, as the files say; null when none says.
    pub dropped: Option<u64>,
    /// Flows by transport protocol.
    pub flows: BTreeMap<String, u64>,
    /// Packets by link type.
    pub link_types: BTreeMap<String, u64>,
    /// Packets by what stopped dissection.
    pub stops: BTreeMap<String, u64>,
    /// Share of the packets that were understood down to the transport payload.
    pub understood: f64,
}

/// A file of the capture set.
#[derive(Clone, Debug, Serialize)]
pub struct FileSummary {
    /// Path as given.
    pub path: String,
    /// `pcap` or `pcapng`.
    pub format: &'static str,
    /// `none`, `gzip`, `zstd`, `lz4`.
    pub compression: Compression,
    /// Timestamp resolution of the first interface.
    pub resolution: String,
    /// Bytes on disk.
    pub size: u64,
    /// BLAKE3 of the file as on disk.
    pub blake3: String,
    /// Packets.
    pub packets: u64,
    /// First packet time in file order.
    pub first_seen: Option<Timestamp>,
    /// Last packet time in file order.
    pub last_seen: Option<Timestamp>,
    /// It begins by so many seconds before an earlier file of the set ends.
    pub overlap: Option<Span>,
    /// Declared snapshot length, largest over interfaces; 0 unlimited.
    pub snap_length: u32,
    /// The interfaces.
    pub interfaces: Vec<InterfaceSummary>,
    /// The file ends inside a record.
    pub truncated: bool,
    /// Parts that could not be read.
    pub damages: Vec<DamageSummary>,
    /// Damaged places beyond those listed.
    pub damages_unlisted: u64,
}

/// An interface of a file.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceSummary {
    /// Number over the set.
    pub number: u32,
    /// Name.
    pub name: Option<String>,
    /// Capture filter.
    pub filter: Option<String>,
    /// Packets received, as the file says.
    pub received: Option<u64>,
    /// Packets dropped, as the file says.
    pub dropped: Option<u64>,
}

/// A part of a file that could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct DamageSummary {
    /// Where it starts in the (decompressed) file, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Why.
    pub reason: String,
}

impl CaptureSummary {
    /// Of a finished analysis.
    pub fn new(outcome: &Outcome) -> Self {
        let totals = &outcome.totals;
        let report = |file: &FileFacts| outcome.reports.iter().find(|report| report.path == file.path);
        let not_understood: u64 = totals.stops.values().sum();
        let dropped =
            outcome.files.iter().flat_map(|file| &file.interfaces).filter_map(|known| known.dropped);
        Self {
            files: outcome.files.iter().map(|file| file_summary(file, report(file))).collect(),
            unreadable: outcome.unreadable.clone(),
            packets: totals.packets,
            captured_bytes: totals.captured_bytes,
            wire_bytes: totals.wire_bytes,
            first_seen: totals.first,
            last_seen: totals.last,
            duration: match (totals.first, totals.last) {
                (Some(first), Some(last)) => last - first,
                _ => Span::ZERO,
            },
            tcp_packets: totals.tcp_packets,
            udp_packets: totals.udp_packets,
            icmp_packets: totals.icmp_packets,
            fragments: totals.fragments,
            clipped: totals.clipped,
            backwards: totals.backwards,
            dropped: dropped.reduce(|a, b| a + b),
            flows: outcome
                .flows
                .iter()
                .map(|(number, flows)| (protocol(*number).into_owned(), *flows))
                .collect(),
            link_types: totals
                .link_types
                .iter()
                .map(|(link_type, packets)| (link_type.to_string(), *packets))
                .collect(),
            stops: totals.stops.clone(),
            understood: match totals.packets {
                0 => 1.0,
                packets => packets.saturating_sub(not_understood) as f64 / packets as f64,
            },
        }
    }

    /// What could not be read, one sentence each.
    pub fn unread(&self) -> Vec<String> {
        let inputs = self.unreadable.iter().map(|input| input.reason.clone());
        let damages = self.files.iter().flat_map(|file| {
            file.damages.iter().map(|damage| {
                let DamageSummary { offset, length, reason } = damage;
                format!("{}: {length} bytes at offset {offset}: {reason}", file.path)
            })
        });
        let cut = self.files.iter().filter(|file| file.truncated && file.damages.is_empty());
        inputs.chain(damages).chain(cut.map(|file| format!("{}: ends inside a record", file.path))).collect()
    }
}

fn file_summary(file: &FileFacts, report: Option<&FileReport>) -> FileSummary {
    let damage = |(offset, length, reason): &(u64, u64, String)| DamageSummary {
        offset: *offset,
        length: *length,
        reason: reason.clone(),
    };
    FileSummary {
        path: file.path.clone(),
        format: report.map_or("unknown", |report| report.format),
        compression: report.map(|report| report.compression).unwrap_or_default(),
        resolution: report.map(|report| report.resolution.clone()).unwrap_or_default(),
        size: report.map_or(0, |report| report.size),
        blake3: report.map(|report| report.blake3.clone()).unwrap_or_default(),
        packets: file.packets,
        first_seen: file.span.map(|(first, _)| first),
        last_seen: file.span.map(|(_, last)| last),
        overlap: file.overlap,
        snap_length: file.snap_length,
        interfaces: file
            .interfaces
            .iter()
            .map(|interface| InterfaceSummary {
                number: interface.number,
                name: interface.name.clone(),
                filter: interface.filter.clone(),
                received: interface.received,
                dropped: interface.dropped,
            })
            .collect(),
        truncated: report.is_some_and(|report| report.truncated),
        damages: file.damages.iter().map(damage).collect(),
        damages_unlisted: report.map_or(0, |report| report.damage_unlisted),
    }
}
