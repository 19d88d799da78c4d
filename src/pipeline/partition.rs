//! Stage 2: the packets of one partition of the flows, in capture order, to finished rows and detector state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::batch::Batch;
use super::records::Records;
use super::sequencer::Leads;
use crate::capture::Keys;
use crate::correlate::Scoreboard;
use crate::detect::{Books, Context, Detectors, Merge, Rule, Verdict};
use crate::dissect::{PacketRecord, Transport};
use crate::flow::{Finished, FlowLimits, FlowTable, LimitHits, Row};
use crate::time::Timestamp;

/// A packet came behind a later one, or twice: whoever brings a partition's packets sorts them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("packet {packet} came behind packet {before}")]
pub struct OutOfOrder {
    /// Its ordinal.
    pub packet: u64,
    /// Ordinal of the packet in front of it.
    pub before: u64,
}

/// Stage 2 for one partition of the flows.
pub struct Partition {
    index: usize,
    pub(super) table: FlowTable,
    detectors: Detectors,
    state: PartitionState,
    /// Ordinal of the last packet taken, and the capture's clock there.
    last: (u64, Timestamp),
}

/// What a partition has to say when all its rows are finished.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tracked {
    /// First packets of its streams, in the order of their ids.
    pub streams: Vec<u64>,
    /// Its rows, their streams not yet numbered.
    pub rows: Vec<Row>,
    /// How often the limits of its flows acted.
    pub hits: LimitHits,
}

impl Partition {
    /// An empty partition; `index` is its place in the lists of a [`Batch`].
    pub fn new(index: usize, limits: FlowLimits, detectors: Detectors) -> Self {
        let (table, state) = (FlowTable::new(limits), PartitionState::new(&detectors));
        Self { index, table, detectors, state, last: (0, Timestamp::MIN) }
    }

    /// Opens TLS with these keys, which say themselves from which packet on.
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { table: self.table.with_keys(keys), ..self }
    }

    /// Takes this partition's packets of a batch; batches come in capture order.
    pub fn track(&mut self, batch: &Batch) {
        self.track_between(batch, 0, u64::MAX);
    }

    /// The same for the packets behind ordinal `after`, up to and with `until`.
    pub(super) fn track_between(&mut self, batch: &Batch, after: u64, until: u64) {
        for (record, clock) in batch.between(self.index, after, until) {
            self.take(record, clock, batch.payload(record));
        }
    }

    fn take(&mut self, record: &PacketRecord, clock: Timestamp, payload: &[u8]) {
        match &record.transport {
            Transport::Arp(arp) => self.detectors.neighbour(record, arp, &mut self.state.books),
            _ => self.table.packet(record, clock, payload),
        }
    }

    /// Takes packets that have travelled, completed by the leads of their chunks.
    ///
    /// # Errors
    /// At the first packet that is not behind the one before it.
    pub fn track_records(&mut self, records: &Records, leads: &Leads) -> Result<(), OutOfOrder> {
        for (record, payload) in records.iter() {
            let mut record = *record;
            leads.complete(&mut record);
            if record.packet <= self.last.0 {
                return Err(OutOfOrder { packet: record.packet, before: self.last.0 });
            }
            self.last = (record.packet, record.clock);
            self.take(&record, record.clock, payload);
        }
        Ok(())
    }

    /// First packets of the streams that began since the last call, in the order of their ids.
    pub fn born_streams(&mut self) -> Vec<u64> {
        self.table.born_streams()
    }

    /// Rows that are final at `clock`. Each of them is to be shown to the detectors once, in whatever state:
    /// states add up.
    pub fn close_finished(&mut self, clock: Timestamp) -> Vec<Row> {
        self.table.expire(clock)
    }

    /// No packet follows: when each flow that is open would have ended, its id, and whether it is one SYN.
    pub fn remaining(&mut self) -> impl Iterator<Item = (Timestamp, u64, bool)> {
        self.table.remaining()
    }

    /// Rows of those up to and with `bound`, as [`Partition::close_finished`].
    pub fn close_remaining(&mut self, bound: (Timestamp, u64), clock: Timestamp) -> Vec<Row> {
        self.table.end_remaining(bound, clock)
    }

    /// Stage 2 as one function: all packets of a partition, whose capture ends at `clock`.
    ///
    /// # Errors
    /// When the packets are not in capture order.
    pub fn run(
        mut self,
        batches: impl IntoIterator<Item = Records>,
        leads: &Leads,
        clock: Timestamp,
    ) -> Result<(Tracked, PartitionState), OutOfOrder> {
        let mut rows = Vec::new();
        for records in batches {
            rows.extend(self.advance(&records, leads)?);
        }
        let (last, state) = self.end(clock);
        rows.extend(last.rows);
        Ok((Tracked { rows, ..last }, state))
    }

    /// The same step by step, for partitions whose rows do not fit memory: the next packets to the rows that
    /// are final behind them. The detectors have seen those.
    ///
    /// # Errors
    /// When the packets are not in capture order.
    pub fn advance(&mut self, records: &Records, leads: &Leads) -> Result<Vec<Row>, OutOfOrder> {
        self.track_records(records, leads)?;
        let rows = self.close_finished(self.last.1);
        self.state.show(&rows, &self.detectors);
        Ok(rows)
    }

    /// No packet follows, and the capture ends at `clock`: the rest of the rows, and the streams of all.
    pub fn end(mut self, clock: Timestamp) -> (Tracked, PartitionState) {
        let mut rows = self.close_finished(clock);
        drop(self.remaining());
        rows.extend(self.close_remaining((Timestamp::MAX, u64::MAX), clock));
        self.state.show(&rows, &self.detectors);
        let (streams, hits) = (self.born_streams(), self.table.hits());
        (Tracked { streams, rows, hits }, self.into_state())
    }

    /// What is merged over the partitions, when all rows have left.
    pub fn into_state(mut self) -> PartitionState {
        self.state.hits.add(self.table.hits());
        self.state
    }
}

/// What rows were to the detectors, whichever partitions they are from; merging is commutative and
/// associative.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PartitionState {
    books: Books,
    scoreboard: Scoreboard,
    /// Flows closed, by protocol number, without those that may go on where one was closed for its memory.
    flows: BTreeMap<u8, u64>,
    /// How often the limits of flows acted.
    pub hits: LimitHits,
}

impl PartitionState {
    /// For what these detectors count.
    pub fn new(detectors: &Detectors) -> Self {
        Self { books: detectors.books(), ..Self::default() }
    }

    /// These rows were finished.
    pub fn show(&mut self, rows: &[Row], detectors: &Detectors) {
        for row in rows {
            match &row.what {
                Finished::Flow(flow) => {
                    // One that goes on was counted when it began.
                    *self.flows.entry(flow.protocol).or_default() += u64::from(!flow.continues);
                    detectors.flow(flow, &mut self.books);
                    self.scoreboard.flow(flow);
                }
                Finished::Transaction(of) => {
                    detectors.transaction(&of.0, &of.1, &mut self.books);
                    self.scoreboard.transaction(&of.0, &of.1);
                }
                Finished::Exchange(of) => {
                    detectors.exchange(&of.0, &of.1, &mut self.books);
                    self.scoreboard.exchange(&of.0, &of.1);
                }
            }
        }
    }

    /// Adds another partition's.
    pub fn merge(&mut self, other: Self) {
        self.books.absorb(other.books);
        self.scoreboard.absorb(other.scoreboard);
        self.hits.add(other.hits);
        self.flows.absorb(other.flows);
    }

    /// The verdicts, after merging, how every service fared, and the flows by protocol.
    pub fn judge(
        self,
        detectors: &Detectors,
        context: &Context<'_>,
    ) -> (Vec<(&'static Rule, Verdict)>, Scoreboard, BTreeMap<u8, u64>) {
        (detectors.finish(self.books, context), self.scoreboard, self.flows)
    }
}
