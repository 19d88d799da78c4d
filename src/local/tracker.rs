//! Stage 2 of all partitions on the threads at hand: finished flows are closed, numbered and put in order.

use rayon::prelude::*;

use super::Lists;
use crate::config::Config;
use crate::flow::{Row, StreamId};
use crate::pipeline::{Batch, Partition, Rows, track};
use crate::time::Timestamp;

/// Flows closed at a time when the capture is over.
const SLICE: usize = 1024;

/// Stage 2 of all partitions, and the rows between it and the tables.
pub(super) struct Tracker {
    pub(super) partitions: Vec<Partition>,
    /// Memory setting, bytes.
    memory: usize,
    most_streams: u32,
    /// Rows that are final but may yet be preceded by others.
    waiting: Vec<Row>,
    /// Rows whose turn it is: written while the next round goes on.
    pub(super) ready: Vec<Row>,
    streams: u32,
    pub(super) streams_refused: u64,
    pub(super) evicted: u64,
}

impl Tracker {
    pub(super) fn new(config: &Config) -> Self {
        let count = config.limits.partitions.max(1) as usize;
        Self {
            partitions: (0..count).map(|index| Partition::new(index, config)).collect(),
            memory: (config.limits.memory_mib as usize) << 20,
            most_streams: config.limits.streams,
            waiting: Vec::new(),
            ready: Vec::new(),
            streams: 0,
            streams_refused: 0,
            evicted: 0,
        }
    }

    /// Tracks a round, numbers new streams and closes the flows that are over at `clock`, the latest time up
    /// to the end of the round. Rows that no other row can precede any more are ready. Gives back the emptied
    /// lists of the round.
    pub(super) fn round(&mut self, batches: Vec<Batch>, clock: Timestamp) -> Vec<Lists> {
        self.evicted += track(&mut self.partitions, &batches, self.memory);
        let spare = batches.into_iter().map(Batch::release).collect();
        self.number_streams();
        let closed: Vec<Vec<Row>> =
            self.partitions.par_iter_mut().map(|partition| partition.close_finished(clock)).collect();
        self.waiting.extend(closed.into_iter().flatten());
        self.waiting.par_sort_by_key(Row::key);
        let ready = self.waiting.partition_point(|row| row.time < clock);
        self.ready.extend(self.waiting.drain(..ready));
        spare
    }

    /// Closes the flows still open at the end, `clock`, in slices: as rows, all of them together would take
    /// several times their memory.
    pub(super) fn close_remaining(&mut self, clock: Timestamp, rows: &mut (dyn Rows + Send)) {
        let mut remaining: Vec<(Timestamp, u64)> =
            self.partitions.par_iter_mut().flat_map_iter(Partition::remaining).collect();
        remaining.par_sort_unstable();
        for slice in remaining.chunks(SLICE) {
            let (ready, partitions) = (std::mem::take(&mut self.ready), &mut self.partitions);
            let bound = slice[slice.len() - 1];
            let close = |partition: &mut Partition| partition.close_remaining(bound, clock);
            let (closed, ()) = rayon::join(
                || partitions.par_iter_mut().map(close).collect::<Vec<_>>(),
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

    fn number_streams(&mut self) {
        let mut born: Vec<(u64, usize, StreamId)> = Vec::new();
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            born.extend(partition.born_streams().into_iter().map(|(packet, stream)| (packet, index, stream)));
        }
        born.sort_unstable_by_key(|(packet, ..)| *packet);
        for (_, index, stream) in born {
            let number = (self.streams < self.most_streams).then_some(self.streams);
            match number {
                Some(_) => self.streams += 1,
                None => self.streams_refused += 1,
            }
            self.partitions[index].number_stream(stream, number);
        }
        if self.streams == self.most_streams {
            self.partitions.iter_mut().for_each(Partition::close_streams);
        }
    }
}

/// Hands rows out and forgets them.
pub(super) fn write(ready: Vec<Row>, rows: &mut (dyn Rows + Send)) {
    rows.finished(&ready);
    // A flow is a few dozen allocations.
    ready.into_par_iter().for_each(drop);
}
