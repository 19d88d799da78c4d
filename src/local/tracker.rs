//! Stage 2 of all partitions on the threads at hand: finished flows are closed, numbered and put in order.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Lists;
use crate::capture::Keys;
use crate::config::Config;
use crate::detect::Detectors;
use crate::flow::Row;
use crate::pipeline::{Batch, Limiter, Partition, PartitionState, Rows, StreamNumbers};
use crate::time::Timestamp;

/// Flows closed at a time when the capture is over, however many threads there are: rows leave in order
/// within a slice, and a flow may contain what was final before another flow.
const SLICE: usize = 1024;

/// Attempts closed at a time: they contain nothing. As rows they are half a megabyte, which is still in the
/// caches when they are shown and written; with 1024 a flood took a third more time.
const ATTEMPTS: usize = 256;

/// Stage 2 of all partitions, and the rows between it and the tables.
pub(super) struct Tracker {
    pub(super) partitions: Vec<Partition>,
    limiter: Limiter,
    numbers: StreamNumbers,
    /// Rows that are final but may yet be preceded by others.
    waiting: Vec<Row>,
    /// Rows whose turn it is: written while the next round goes on.
    pub(super) ready: Vec<Row>,
    books: ByThread,
}

/// What the detectors counted, by thread: rows of any partition may be counted together, and what a table
/// turns away need not be merged. Nobody waits for a lock, because a thread shows one partition's rows at a
/// time; where memory does not suffice for a set of tables for every thread, some share one.
struct ByThread {
    detectors: Detectors,
    states: Vec<Mutex<PartitionState>>,
}

impl ByThread {
    fn show(&self, rows: &[Row]) {
        let thread = rayon::current_thread_index().unwrap_or(0) % self.states.len();
        let mut state = self.states[thread].lock().unwrap_or_else(PoisonError::into_inner);
        state.show(rows, &self.detectors);
    }
}

impl Tracker {
    pub(super) fn new(config: &Config, keys: &Keys) -> Self {
        let count = config.limits.used_partitions();
        let limits = config.flow_limits();
        let detectors = config.detectors();
        let sets = rayon::current_num_threads().min(config.limits.table_sets());
        let states = (0..sets).map(|_| Mutex::new(PartitionState::new(&detectors))).collect();
        let partition = |index| Partition::new(index, limits, detectors.clone()).with_keys(keys.clone());
        Self {
            partitions: (0..count).map(partition).collect(),
            limiter: Limiter::new(&config.limits),
            numbers: StreamNumbers::new(count, config.limits.numbered_streams()),
            waiting: Vec::new(),
            ready: Vec::new(),
            books: ByThread { detectors, states },
        }
    }

    /// Tracks a round, numbers new streams and closes the flows that are over at `clock`, the latest time up
    /// to the end of the round. Rows that no other row can precede any more are ready. Gives back the emptied
    /// lists of the round.
    pub(super) fn round(&mut self, batches: Vec<Batch>, clock: Timestamp) -> Vec<Lists> {
        self.limiter.track(&mut self.partitions, &batches);
        let spare = batches.into_iter().map(Batch::release).collect();
        self.numbers.number(self.partitions.iter_mut().map(Partition::born_streams).collect());
        let (numbers, books) = (&self.numbers, &self.books);
        let close = |(index, partition): (usize, &mut Partition)| {
            let rows = partition.close_finished(clock);
            books.show(&rows);
            numbered(numbers, index, rows)
        };
        let closed: Vec<Vec<Row>> = self.partitions.par_iter_mut().enumerate().map(close).collect();
        self.waiting.extend(closed.into_iter().flatten());
        self.waiting.par_sort_by_key(Row::key);
        let ready = self.waiting.partition_point(|row| row.time < clock);
        self.ready.extend(self.waiting.drain(..ready));
        spare
    }

    /// Closes the flows still open at the end, `clock`, in slices: as rows, all of them together would take
    /// several times their memory.
    pub(super) fn close_remaining(&mut self, clock: Timestamp, rows: &mut (dyn Rows + Send)) {
        let mut remaining: Vec<(Timestamp, u64, bool)> =
            self.partitions.par_iter_mut().flat_map_iter(Partition::remaining).collect();
        remaining.par_sort_unstable();
        let slices = remaining.chunks(SLICE).flat_map(|slice| {
            let attempts = slice.iter().all(|(.., attempt)| *attempt);
            slice.chunks(if attempts { ATTEMPTS } else { SLICE })
        });
        for slice in slices {
            let (ready, partitions) = (std::mem::take(&mut self.ready), &mut self.partitions);
            let (numbers, books) = (&self.numbers, &self.books);
            let (deadline, id, _) = slice[slice.len() - 1];
            let bound = (deadline, id);
            let close = |(index, partition): (usize, &mut Partition)| {
                let rows = partition.close_remaining(bound, clock);
                books.show(&rows);
                numbered(numbers, index, rows)
            };
            let (closed, ()) = rayon::join(
                || partitions.par_iter_mut().enumerate().map(close).collect::<Vec<_>>(),
                || write(ready, rows),
            );
            self.ready = std::mem::take(&mut self.waiting);
            self.ready.extend(closed.into_iter().flatten());
            self.ready.par_sort_by_key(Row::key);
        }
        write(std::mem::take(&mut self.ready), rows);
        write(std::mem::take(&mut self.waiting), rows);
        rows.end();
    }

    /// Flows that had to be closed for their memory.
    pub(super) fn evicted(&self) -> u64 {
        self.limiter.evicted()
    }

    /// Streams beyond the limit.
    pub(super) fn streams_refused(&self) -> u64 {
        self.numbers.refused()
    }

    /// What is merged, when all rows have left.
    pub(super) fn into_states(self) -> impl Iterator<Item = PartitionState> {
        let by_thread = self.books.states.into_iter();
        let by_thread = by_thread.map(|state| state.into_inner().unwrap_or_else(PoisonError::into_inner));
        by_thread.chain(self.partitions.into_iter().map(Partition::into_state))
    }
}

/// Rows of a partition with the numbers of their streams.
fn numbered(numbers: &StreamNumbers, partition: usize, mut rows: Vec<Row>) -> Vec<Row> {
    rows.iter_mut().for_each(|row| numbers.resolve(partition, row));
    rows
}

/// Hands rows out and forgets them.
pub(super) fn write(ready: Vec<Row>, rows: &mut (dyn Rows + Send)) {
    rows.finished(&ready);
    // A flow is a few dozen allocations.
    ready.into_par_iter().for_each(drop);
}
