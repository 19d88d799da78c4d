//! What detectors know of the capture as a whole when they judge.

use std::collections::BTreeMap;

use crate::capture::{FileReport, InterfaceReport, LinkType};
use crate::detect::{Heard, Hosts};
use crate::dissect::{DefragStats, FragmentPath, PacketRef};
use crate::humanize::plural;
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
    /// Wire bytes of those packets.
    pub stopped_bytes: u64,
    /// Packets cut by the snapshot length.
    pub clipped: u64,
    /// Those of them that were cut inside a header, so that dissection stopped there.
    pub clipped_headers: u64,
    /// Packets whose IP header states more bytes than the record, which was cut after it was captured.
    pub cut_records: u64,
    /// Packets further from the one before them in their file than any clock goes: [`Totals::JUMP`].
    pub jumps: u64,
    /// Those of them that are earlier.
    pub jumps_back: u64,
    /// Some of the packets after such a jump, lowest ordinals first.
    pub jump_examples: Vec<PacketRef>,
    /// The longest jump, nanoseconds.
    pub jump_most: i64,
    /// The largest fraction of a second in a packet time, nanoseconds.
    pub fraction_most: i64,
    /// Packets earlier than the one before them in their file.
    pub backwards: u64,
    /// The furthest step back, in nanoseconds.
    pub backwards_most: i64,
    /// Some of the packets that went backwards, lowest ordinals first.
    pub backwards_examples: Vec<PacketRef>,
    /// The packets before and after the longest times without any packet, longest time first. Only times of
    /// a second and more count.
    pub silences: Vec<(PacketRef, PacketRef)>,
    /// What became of the IP fragments, by source and destination; at most [`FragmentPath::MOST`].
    pub fragment_paths: Vec<FragmentPath>,
    /// TCP packets.
    pub tcp_packets: u64,
    /// UDP packets.
    pub udp_packets: u64,
    /// ICMP packets, both versions.
    pub icmp_packets: u64,
    /// Those of them of ICMPv6.
    pub icmp6_packets: u64,
}

/// Why the times of a capture cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockFault {
    /// A packet is at least [`Totals::JUMP`] earlier than the one before it.
    Jumps,
    /// No time has a fraction of a second that a running clock would have.
    Fraction,
}

impl Totals {
    /// No capture pauses so long, and no clock is corrected by so much: a year. A judgement.
    pub const JUMP: Span = Span::secs(365 * 86_400);
    /// Back, a day is enough: a host whose clock is set back by a zone steps by hours. A judgement.
    pub const JUMP_BACK: Span = Span::secs(86_400);
    /// A field of microseconds that holds milliseconds stays below 1 ms, one that holds hundredths below
    /// 10 ms.
    const FRACTION: i64 = 10_000_000;
    /// Packets and seconds from which that is no chance.
    const FRACTION_PACKETS: u64 = 100;
    const FRACTION_TIME: Span = Span::secs(10);

    /// Why the clock cannot be right; `None` when delays can be measured with it. Captures that were joined
    /// jump forward only: inside each of them the clock is right.
    pub fn clock_fault(&self) -> Option<ClockFault> {
        let lasts = self.first.zip(self.last).map_or(Span::ZERO, |(first, last)| last - first);
        if self.jumps_back > 0 {
            return Some(ClockFault::Jumps);
        }
        let coarse = self.fraction_most < Self::FRACTION && self.packets >= Self::FRACTION_PACKETS;
        (coarse && lasts >= Self::FRACTION_TIME).then_some(ClockFault::Fraction)
    }

    /// `3 ICMP packets`, `1 ICMPv6 packet`, or both; `None` where there is none.
    pub fn icmp(&self) -> Option<String> {
        let v6 = self.icmp6_packets;
        match (self.icmp_packets.saturating_sub(v6), v6) {
            (0, 0) => None,
            (0, v6) => Some(plural(v6, "ICMPv6 packet")),
            (v4, 0) => Some(plural(v4, "ICMP packet")),
            (v4, v6) => Some(format!("{v4} ICMP and {}", plural(v6, "ICMPv6 packet"))),
        }
    }
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
    /// Whose packets the flows have.
    pub heard: &'a Heard,
    /// Which addresses are of one host.
    pub hosts: &'a Hosts,
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
