//! Holds the memory of open flows to a cap, with the same flows however the work is cut.
//!
//! A cap per partition, or one that looks when a round ends, would let the cut choose what goes. So the flows
//! of all partitions are weighed behind packets of certain ordinals, and those of the lowest rank of
//! all are closed. A flow weighs what its packets made of it, not what the allocator says.
//!
//! All partitions have to meet for a weighing. How much the flows can have grown since the last one follows
//! from the packets in between; only when that could be too much they are weighed again.

use rayon::prelude::*;

use super::{Batch, Partition};
use crate::app::http::Exchange;
use crate::config::Limits;
use crate::flow::FlowTable;
use crate::time::Timestamp;

/// Flows are weighed behind packets whose ordinal is a multiple of this.
const EVERY: u64 = 4096;

/// What a packet can add to open flows besides what it carries, bytes: a connection, or half a dozen
/// classified segments.
const PER_PACKET: u64 = 4096;
const _: () = assert!(FlowTable::CONNECTION < PER_PACKET as usize);

/// What a captured byte can add, bytes. The shortest HTTP request has 18, and becomes an exchange.
const PER_BYTE: u64 = 40;
const _: () = assert!(size_of::<Exchange>() <= 18 * PER_BYTE as usize);

/// A packet behind which flows may be weighed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighing {
    pub(super) ordinal: u64,
    /// Latest time up to the packet.
    pub(super) latest: Timestamp,
    /// Captured bytes of its batch up to the packet.
    pub(super) captured: u64,
}

/// Flows may be weighed behind packet `ordinal`.
pub(super) fn may_be_weighed(ordinal: u64) -> bool {
    ordinal.is_multiple_of(EVERY)
}

/// Stage 2 of all partitions within the limits of the run.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    /// Most bytes of open flows, beside the streams of the last weighing.
    memory: u64,
    /// What the open flows weighed last, and what they can have grown by since.
    weight: u64,
    growth: u64,
    /// Packet and captured bytes up to which `growth` counts.
    counted: u64,
    evicted: u64,
}

impl Limiter {
    /// For a run within `limits`.
    pub fn new(limits: &Limits) -> Self {
        let memory = limits.for_flows(0);
        Self { limits: limits.clone(), memory, weight: 0, growth: 0, counted: 0, evicted: 0 }
    }

    /// Flows that had to be closed for their memory.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Tracks `batches` in all partitions.
    pub fn track(&mut self, partitions: &mut [Partition], batches: &[Batch]) {
        let mut done = 0;
        for batch in batches {
            let mut captured = 0;
            for at in batch.weighings() {
                self.grow(at.ordinal - self.counted, at.captured - captured);
                (self.counted, captured) = (at.ordinal, at.captured);
                if self.weight + self.growth > self.memory {
                    track_between(partitions, batches, done, at.ordinal);
                    self.hold(partitions, at.latest);
                    done = at.ordinal;
                }
            }
            self.growth += PER_BYTE * (batch.captured() - captured);
        }
        track_between(partitions, batches, done, u64::MAX);
    }

    fn grow(&mut self, packets: u64, captured: u64) {
        self.growth += PER_PACKET * packets + PER_BYTE * captured;
    }

    /// Closes a sixteenth of the flows, again and again, until the rest weighs no more than it may: the next
    /// weighing need not find more.
    fn hold(&mut self, partitions: &mut [Partition], clock: Timestamp) {
        partitions.par_iter_mut().for_each(|partition| partition.table.end_idle(clock));
        partitions.par_iter_mut().for_each(|partition| partition.table.weigh());
        let streams = partitions.iter().map(|partition| u64::from(partition.table.streams())).sum();
        self.memory = self.limits.for_flows(streams);
        while weight(partitions) > self.memory {
            let ranks = partitions.par_iter().map(|partition| partition.table.ranks().collect());
            let mut ranks = ranks.collect::<Vec<Vec<_>>>().concat();
            if ranks.is_empty() {
                break;
            }
            let some = ranks.len() / 16;
            let bound = *ranks.select_nth_unstable(some).1;
            partitions.par_iter_mut().for_each(|partition| partition.table.evict(bound, clock));
            self.evicted += some as u64 + 1;
        }
        (self.weight, self.growth) = (weight(partitions), 0);
        if streams >= u64::from(self.limits.numbered_streams()) {
            partitions.iter_mut().for_each(|partition| partition.table.close_streams());
        }
    }
}

fn track_between(partitions: &mut [Partition], batches: &[Batch], after: u64, until: u64) {
    partitions
        .par_iter_mut()
        .for_each(|partition| batches.iter().for_each(|batch| partition.track_between(batch, after, until)));
}

fn weight(partitions: &[Partition]) -> u64 {
    partitions.iter().map(|partition| partition.table.weight() as u64).sum()
}
