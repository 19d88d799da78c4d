//! The part of the report that says what was looked at.

use std::collections::BTreeMap;

use serde::Serialize;

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
    pub unreadable: Vec<UnreadInput>,
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
    /// `pcap`, `pcapng` and what is special about it.
    pub format: String,
    /// Packets.
    pub packets: u64,
    /// First packet time in file order.
    pub first_seen: Option<Timestamp>,
    /// Last packet time in file order.
    pub last_seen: Option<Timestamp>,
    /// Declared snapshot length, largest over interfaces; 0 unlimited.
    pub snap_length: u32,
    /// The interfaces.
    pub interfaces: Vec<InterfaceSummary>,
    /// Parts that could not be read.
    pub damages: Vec<DamageSummary>,
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

/// An input that could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct UnreadInput {
    /// As given.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl CaptureSummary {
    /// Of a finished analysis.
    pub fn new(outcome: &Outcome) -> Self {
        let totals = &outcome.totals;
        let formats = outcome.reports.iter().map(format).chain(std::iter::repeat(String::new()));
        let not_understood: u64 = totals.stops.values().sum();
        let dropped = outcome.files.iter().flat_map(|file| &file.interfaces).filter_map(|known| known.dropped);
        Self {
            files: outcome.files.iter().zip(formats).map(|(file, format)| file_summary(file, format)).collect(),
            unreadable: outcome.unreadable.iter().map(unread).collect(),
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
            flows: outcome.flows.iter().map(|(number, flows)| (protocol(*number), *flows)).collect(),
            link_types: totals.link_types.iter().map(|(link_type, packets)| (link_name(*link_type), *packets)).collect(),
            stops: totals.stops.clone(),
            understood: match totals.packets {
                0 => 1.0,
                packets => packets.saturating_sub(not_understood) as f64 / packets as f64,
            },
        }
    }

    /// What could not be read, one sentence each.
    pub fn unread(&self) -> Vec<String> {
        let inputs = self.unreadable.iter().map(|input| format!("{}: {}", input.path, input.reason));
        let damages = self.files.iter().flat_map(|file| {
            file.damages.iter().map(|damage| {
                let DamageSummary { offset, length, reason } = damage;
                format!("{}: {length} bytes at offset {offset}: {reason}", file.path)
            })
        });
        inputs.chain(damages).collect()
    }
}

fn file_summary(file: &FileFacts, format: String) -> FileSummary {
    let damage = |(offset, length, reason): &(u64, u64, String)| DamageSummary {
        offset: *offset,
        length: *length,
        reason: reason.clone(),
    };
    FileSummary {
        path: file.path.clone(),
        format,
        packets: file.packets,
        first_seen: file.span.map(|(first, _)| first),
        last_seen: file.span.map(|(_, last)| last),
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
        damages: file.damages.iter().map(damage).collect(),
    }
}

fn format(report: &crate::capture::FileReport) -> String {
    let _ = report;
    String::new()
}

fn unread((path, reason): &(String, String)) -> UnreadInput {
    UnreadInput { path: path.clone(), reason: reason.clone() }
}

fn link_name(link_type: crate::capture::LinkType) -> String {
    link_type.0.to_string()
}
