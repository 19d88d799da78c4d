//! What a chunk's packets come to: all that is folded over the chunks in capture order.

use serde::{Deserialize, Serialize};

use super::records::Records;
use crate::detect::Totals;
use crate::dissect::{Faults, PacketRecord, PacketRef, Stop, Transport};
use crate::time::{Span, Timestamp};

/// The summary of a chunk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ChunkSummary {
    /// Index of its file in the capture set.
    pub(super) file: u32,
    /// Ordinal of its first packet.
    pub(super) first_packet: u64,
    pub(super) totals: Totals,
    /// What stopped dissection, and how often.
    pub(super) stops: Vec<(Stop, u64)>,
    /// Latest time in it; [`Timestamp::MIN`] when no packet has one.
    pub(super) latest: Timestamp,
    /// First and last packet with a time of its own, in file order.
    pub(super) ends: Option<(PacketRef, PacketRef)>,
    /// Its fragments: before they are put together nobody knows their partition.
    pub(super) fragments: Records,
}

impl ChunkSummary {
    /// Of a chunk that begins with packet `first_packet` of file number `file`.
    pub(super) fn new(file: u32, first_packet: u64) -> Self {
        Self { file, first_packet, latest: Timestamp::MIN, ..Self::default() }
    }

    /// Gives a packet without a time that of the packet before it, and every packet the chunk's clock. False
    /// when that is up to the chunks before this one.
    pub(super) fn time(&mut self, record: &mut PacketRecord) -> bool {
        if record.faults.contains(Faults::NO_TIME) {
            match self.ends {
                Some((_, last)) => record.time = last.time,
                None => {
                    record.clock = Timestamp::MIN;
                    return false;
                }
            }
        }
        let at = PacketRef { packet: record.packet, time: record.time };
        if let Some((_, last)) = self.ends {
            self.totals.step(last, at);
            self.totals.silence(last, at);
        }
        self.ends = Some((self.ends.map_or(at, |(first, _)| first), at));
        self.latest = self.latest.max(record.time);
        record.clock = self.latest;
        true
    }

    pub(super) fn count(&mut self, record: &PacketRecord) {
        let totals = &mut self.totals;
        totals.packets += 1;
        totals.captured_bytes += u64::from(record.captured);
        totals.wire_bytes += u64::from(record.wire);
        totals.clipped += u64::from(record.faults.contains(Faults::CLIPPED));
        totals.cut_records += u64::from(record.faults.contains(Faults::IP_LENGTH));
        totals.clipped_headers += u64::from(matches!(record.stop, Stop::Clipped { .. }));
        match record.transport {
            Transport::Tcp(_) => totals.tcp_packets += 1,
            Transport::Udp(_) => totals.udp_packets += 1,
            Transport::Icmp(icmp) => {
                totals.icmp_packets += 1;
                totals.icmp6_packets += u64::from(icmp.v6);
            }
            Transport::None | Transport::Fragment(_) | Transport::Arp(_) | Transport::Other => {}
        }
        if !record.faults.contains(Faults::NO_TIME) {
            totals.fraction_most = totals.fraction_most.max(record.time.0.rem_euclid(1_000_000_000));
            totals.first = Some(totals.first.map_or(record.time, |first| first.min(record.time)));
            totals.last = Some(totals.last.map_or(record.time, |last| last.max(record.time)));
        }
        if record.stop != Stop::Payload && record.stop != Stop::Fragment {
            totals.stopped_bytes += u64::from(record.wire);
            match self.stops.iter_mut().find(|(stop, _)| *stop == record.stop) {
                Some((_, count)) => *count += 1,
                None => self.stops.push((record.stop, 1)),
            }
        }
    }
}

impl Totals {
    /// Packets whose time goes backwards that are shown as examples.
    const EXAMPLES: usize = 8;

    /// Two packets that follow each other in their file.
    pub(super) fn step(&mut self, before: PacketRef, after: PacketRef) {
        // A record whose time is zero, the epoch, has none.
        if [before.time, after.time].contains(&Timestamp(0)) {
            return;
        }
        let back = before.time - after.time;
        if back >= Self::JUMP_BACK || Span(back.0.saturating_neg()) >= Self::JUMP {
            self.jumps += 1;
            self.jumps_back += u64::from(back > Span::ZERO);
            self.jump_most = self.jump_most.max(back.0.saturating_abs());
            if self.jump_examples.len() < Self::EXAMPLES {
                self.jump_examples.push(after);
            }
        } else if back > Span::ZERO {
            self.backwards += 1;
            self.backwards_most = self.backwards_most.max(back.0);
            if self.backwards_examples.len() < Self::EXAMPLES {
                self.backwards_examples.push(after);
            }
        }
    }

    /// Silences kept.
    const SILENCES: usize = 16;

    /// Two packets that follow each other in the capture set.
    pub(super) fn silence(&mut self, before: PacketRef, after: PacketRef) {
        // A clock that jumps says nothing about a silence.
        if (Span::secs(1)..Self::JUMP).contains(&(after.time - before.time)) {
            self.silences.push((before, after));
            self.keep_longest();
        }
    }

    fn keep_longest(&mut self) {
        self.silences.sort_by_key(|(before, after)| (before.time - after.time, before.packet));
        self.silences.truncate(Self::SILENCES);
    }

    /// Adds the sums of later packets.
    pub(super) fn add(&mut self, later: Self) {
        self.silences.extend(later.silences);
        self.keep_longest();
        self.packets += later.packets;
        self.captured_bytes += later.captured_bytes;
        self.wire_bytes += later.wire_bytes;
        self.first = self.first.into_iter().chain(later.first).min();
        self.last = self.last.into_iter().chain(later.last).max();
        for (link_type, count) in later.link_types {
            *self.link_types.entry(link_type).or_default() += count;
        }
        self.stopped_bytes += later.stopped_bytes;
        self.clipped += later.clipped;
        self.clipped_headers += later.clipped_headers;
        self.cut_records += later.cut_records;
        self.jumps += later.jumps;
        self.jumps_back += later.jumps_back;
        self.jump_most = self.jump_most.max(later.jump_most);
        self.jump_examples.extend(later.jump_examples);
        self.jump_examples.sort_by_key(|at| at.packet);
        self.jump_examples.truncate(Self::EXAMPLES);
        self.fraction_most = self.fraction_most.max(later.fraction_most);
        self.backwards += later.backwards;
        self.backwards_most = self.backwards_most.max(later.backwards_most);
        self.backwards_examples.extend(later.backwards_examples);
        self.backwards_examples.sort_by_key(|at| at.packet);
        self.backwards_examples.truncate(Self::EXAMPLES);
        self.tcp_packets += later.tcp_packets;
        self.udp_packets += later.udp_packets;
        self.icmp_packets += later.icmp_packets;
        self.icmp6_packets += later.icmp6_packets;
    }
}
