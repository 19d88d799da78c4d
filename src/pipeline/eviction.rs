//! Holds the memory of open flows to a cap, with the same flows however the work is cut.
//!
//! With a cap per partition, or per round, the cut would choose which flows are closed. So the flows of all
//! partitions are weighed together, behind packets of fixed ordinals, and those of the lowest standing are
//! closed. A flow's weight follows from its packets, not from the allocator.

use rayon::prelude::*;

use super::{Batch, Partition};
use crate::time::Timestamp;

/// Packets between two weighings.
const EVERY: u64 = 4096;

/// Open flows may take a third of the memory setting. Stream numbers, packets and rows under way, and what
/// the allocator cannot use take the rest.
const PART: usize = 3;

/// True when the flows are weighed behind packet `ordinal`.
pub(super) fn is_weighed(ordinal: u64) -> bool {
    ordinal.is_multiple_of(EVERY)
}

/// Tracks `batches` in all partitions within `memory` bytes. Gives the number of flows closed for that.
pub fn track(partitions: &mut [Partition], batches: &[Batch], memory: usize) -> u64 {
    let (mut done, mut evicted) = (0, 0);
    for (ordinal, clock) in batches.iter().flat_map(Batch::weighings) {
        track_between(partitions, batches, done, ordinal);
        evicted += hold(partitions, memory / PART, clock);
        done = ordinal;
    }
    track_between(partitions, batches, done, u64::MAX);
    evicted
}

fn track_between(partitions: &mut [Partition], batches: &[Batch], after: u64, until: u64) {
    partitions
        .par_iter_mut()
        .for_each(|partition| batches.iter().for_each(|batch| partition.track_between(batch, after, until)));
}

fn weight(partitions: &[Partition]) -> usize {
    partitions.iter().map(|partition| partition.table.weight()).sum()
}

/// Closes a sixteenth of the flows, again and again, until the rest weighs no more than `most`: the next
/// weighing need not find more.
fn hold(partitions: &mut [Partition], most: usize, clock: Timestamp) -> u64 {
    if weight(partitions) <= most {
        return 0;
    }
    partitions.par_iter_mut().for_each(|partition| partition.table.end_idle(clock));
    let mut evicted = 0;
    while weight(partitions) > most {
        let ranks = partitions.par_iter().map(|partition| partition.table.ranks().collect());
        let mut ranks = ranks.collect::<Vec<Vec<_>>>().concat();
        if ranks.is_empty() {
            break;
        }
        let some = ranks.len() / 16;
        let bound = *ranks.select_nth_unstable(some).1;
        partitions.par_iter_mut().for_each(|partition| partition.table.evict(bound, clock));
        evicted += some as u64 + 1;
    }
    evicted
}
