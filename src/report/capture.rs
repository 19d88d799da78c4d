//! The part of the report that says what was looked at.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::capture::{Damage, FileReport, InterfaceReport, Unreadable};
use crate::dissect::DefragStats;
use crate::pipeline::Outcome;
use crate::report::table::protocol;
use crate::time::{Span, Timestamp};

/// What was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct CaptureSummary {
    /// The files, in analysis order.
    pub files: Vec<FileReport>,
    /// Inputs that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// What given directories and patterns hold that is no capture, in the order of the inputs.
    pub ignored: Vec<Unreadable>,
    /// Such files beyond those listed.
    pub ignored_unlisted: u64,
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
    /// What became of the IP fragments.
    pub fragments: DefragStats,
    /// Packets cut by the snapshot length.
    pub clipped: u64,
    /// Those of them that were cut inside a header.
    pub clipped_headers: u64,
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

impl CaptureSummary {
    /// Of a finished analysis.
    pub fn new(outcome: &Outcome) -> Self {
        let totals = &outcome.totals;
        let not_understood: u64 = totals.stops.values().sum();
        let dropped =
            outcome.files.iter().flat_map(|file| &file.interfaces).filter_map(InterfaceReport::dropped);
        Self {
            files: outcome.files.clone(),
            unreadable: outcome.unreadable.clone(),
            ignored: outcome.ignored.listed.clone(),
            ignored_unlisted: outcome.ignored.unlisted,
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
            fragments: outcome.fragments,
            clipped: totals.clipped,
            clipped_headers: totals.clipped_headers,
            backwards: totals.backwards,
            dropped: dropped.reduce(u64::saturating_add),
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
}

/// What could not be read, one sentence each.
pub fn unread(outcome: &Outcome) -> Vec<String> {
    unread_of(&outcome.unreadable, &outcome.files)
}

/// The same of inputs without a report, and of files that were read.
pub fn unread_of(unreadable: &[Unreadable], files: &[FileReport]) -> Vec<String> {
    let inputs = unreadable.iter().map(|input| input.reason.clone());
    let damages = files.iter().flat_map(|file| {
        file.damages.iter().map(|damage| {
            let Damage { offset, length, reason, .. } = damage;
            format!("{}: {length} bytes at offset {offset}: {reason}", file.path)
        })
    });
    let cut = files.iter().filter(|file| file.truncated && file.damages.is_empty());
    inputs.chain(damages).chain(cut.map(|file| format!("{}: ends inside a record", file.path))).collect()
}
