//! What detectors know of the capture as a whole when they judge.

use std::collections::BTreeMap;

use crate::capture::{FileReport, InterfaceReport, LinkType};
use crate::dissect::{DefragStats, PacketRef};
use crate::time::{Span, Timestamp};

/// Counts over the whole capture set, summed over partitions and files: facts, not verdicts.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    /// Packets.
    pub packets: u64,
    /// Captured bytes.
    pub captured_bytes: u64,
    /// Wire bytes.
    pub wire_bytes: u64,
    /// Earliest packet time.
    pub first: Option<Timestamp>,
    /// Latest packet time.
    pub last: Option<Timestamp>,
    /// Packets by link type.
    pub link_types: BTreeMap<LinkType, u64>,
    /// Packets by what stopped dissection, in words (`ethertype 0x88cc`, `ipv6 cut short`); none for those
    /// understood.
    pub stops: BTreeMap<String, u64>,
    /// Packets cut by the snapshot length.
    pub clipped: u64,
    /// Those of them that were cut inside a header, so that dissection stopped there.
    pub clipped_headers: u64,
    /// Packets earlier than the one before them in their file.
    pub backwards: u64,
    /// The furthest step back, in nanoseconds.
    pub backwards_most: i64,
    /// Some of the packets that went backwards, lowest ordinals first.
    pub backwards_examples: Vec<PacketRef>,
    /// The packets before and after the longest times without any packet, longest time first. Only times of
    /// a second and more count.
    pub silences: Vec<(PacketRef, PacketRef)>,
    /// TCP packets.
    pub tcp_packets: u64,
    /// UDP packets.
    pub udp_packets: u64,
    /// ICMP packets, both versions.
    pub icmp_packets: u64,
}

/// What detectors know of the whole capture when they judge.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Sums over all packets.
    pub totals: &'a Totals,
    /// The files, in analysis order.
    pub files: &'a [FileReport],
    /// What became of the IP fragments.
    pub fragments: DefragStats,
}

impl Context<'_> {
    /// Packets that the capture itself says it dropped; `None` when no file says.
    pub fn reported_drops(&self) -> Option<u64> {
        self.interfaces().filter_map(InterfaceReport::dropped).reduce(u64::saturating_add)
    }

    /// The time between packets is known: the clock never stepped back by more than a minute. Where it did,
    /// a silence may be a step.
    pub fn keeps_time(&self) -> bool {
        self.totals.backwards_most <= Span::secs(60).0
    }

    /// The interfaces of all files.
    pub fn interfaces(&self) -> impl Iterator<Item = &InterfaceReport> {
        self.files.iter().flat_map(|file| &file.interfaces)
    }

    /// A capture filter was in force that can hide ICMP; `None` when no file names a filter.
    pub fn filter(&self) -> Option<&str> {
        self.interfaces().find_map(|interface| interface.filter.as_deref())
    }

    /// Name of a file and the frame number in it of a packet ordinal.
    pub fn frame(&self, packet: u64) -> (&str, u64) {
        let at = self.files.partition_point(|file| file.base < packet);
        match at.checked_sub(1).and_then(|index| self.files.get(index)) {
            Some(file) => (&file.path, packet - file.base),
            None => ("", packet),
        }
    }
}
