//! Holds the number of open flows to a cap, the same flows however the work is cut.
//!
//! A cap per partition, or one that looks when a round ends, would let the cut choose what goes. So the flows of all
//! partitions are counted behind packets of fixed ordinals, and those with the lowest standing of all are closed.

use rayon::prelude::*;

use super::{Batch, Partition};
use crate::time::Timestamp;

/// Packets between two counts.
const EVERY: u64 = 4096;

/// The flows are counted behind packet `ordinal`.
pub(super) fn is_counted(ordinal: u64) -> bool {
    ordinal.is_multiple_of(EVERY)
}

/// Tracks `batches` in all partitions with `most` flows open at a time, and says how many had to be closed for it.
pub fn track(partitions: &mut [Partition], batches: &[Batch], most: usize) -> u64 {
    let packets: u64 = batches.iter().map(Batch::packets).sum();
    let (mut done, mut evicted) = (0, 0);
    // A packet opens one flow at most.
    if open(partitions) as u64 + packets > most as u64 {
        for (ordinal, clock) in batches.iter().flat_map(Batch::counts) {
            track_between(partitions, batches, done, ordinal);
            evicted += hold(partitions, most, clock);
            done = ordinal;
        }
    }
    track_between(partitions, batches, done, u64::MAX);
    evicted
}

fn track_between(partitions: &mut [Partition], batches: &[Batch], after: u64, until: u64) {
    partitions
        .par_iter_mut()
        .for_each(|partition| batches.iter().for_each(|batch| partition.track_between(batch, after, until)));
}

fn open(partitions: &[Partition]) -> usize {
    partitions.iter().map(|partition| partition.table.len()).sum()
}

/// Closes flows until an eighth of the places is free, so that the next count need not find more.
fn hold(partitions: &mut [Partition], most: usize, clock: Timestamp) -> u64 {
    if open(partitions) <= most {
        return 0;
    }
    partitions.par_iter_mut().for_each(|partition| partition.table.end_idle(clock));
    let count = open(partitions);
    if count <= most {
        return 0;
    }
    let excess = count - (most - most / 8);
    let mut standings: Vec<_> =
        partitions.par_iter().flat_map_iter(|partition| partition.table.standings()).collect();
    let bound = *standings.select_nth_unstable(excess).1;
    partitions.par_iter_mut().for_each(|partition| partition.table.evict(bound, clock));
    excess as u64
}
