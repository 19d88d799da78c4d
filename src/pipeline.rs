//! The two stages and the merge: read this first.
//!
//! ```text
//! Chunk -> dissect_chunk ---------- records ---------> Partition ---- rows ----> Rows
//!                \-- summary -> Sequencer -- lead --/     |   \-- streams -> StreamNumbers
//!                                                         \-- state -> merge, judge -> Outcome
//!         stage 1, parallel    fold, in order      stage 2, parallel     fold, in order
//! ```
//!
//! Stage 1 knows one chunk and nothing else. Stage 2 knows one partition of the flows and takes its packets
//! in capture order. Between them stands what needs every packet in order and is cheap: the clock, packets
//! without a time, IP fragments. Behind them stands what needs the streams of all partitions: their numbers.
//! Nothing reaches around the stages: what one gives the other is plain data, and has one byte form
//! ([`exchange`]).
//!
//! Limits on all flows together are the executor's: [`Limiter`] lets every partition go on to the same packet
//! and closes flows there. A run in which that never happens is the same in separate processes.

mod batch;
mod eviction;
pub mod exchange;
mod outcome;
mod partition;
mod records;
mod sequencer;
mod stream_numbers;
mod summary;

pub(crate) use batch::dissect_into;
pub use batch::{Batch, dissect_chunk, partition_of};
pub use eviction::Limiter;
pub use outcome::{Capped, Outcome};
pub use partition::{OutOfOrder, Partition, PartitionState, Tracked};
pub use records::Records;
pub use sequencer::{Lead, Leads, Sequenced, Sequencer};
pub use stream_numbers::StreamNumbers;
pub use summary::ChunkSummary;

use crate::app::dns::Transaction;
use crate::app::http::Exchange;
use crate::flow::{Finished, Flow, FlowHead, Row};

/// Receives finished rows in an order that does not depend on threads, chunks, rounds or partitions.
pub trait Rows {
    /// The capture goes on with another file: its path, and the ordinal before its first packet. Comes before
    /// every row that has a packet of the file.
    fn file(&mut self, _path: &str, _base: u64) {}
    /// A flow was closed: rows of `flows`, `tcp_events`, `tls` and `icmp`.
    fn flow(&mut self, _flow: &Flow) {}
    /// A DNS transaction was finished.
    fn transaction(&mut self, _transaction: &Transaction, _flow: &FlowHead) {}
    /// An HTTP exchange was finished.
    fn exchange(&mut self, _exchange: &Exchange, _flow: &FlowHead) {}
    /// The next rows, in order. Override this to take many rows at once.
    fn finished(&mut self, rows: &[Row]) {
        for row in rows {
            match &row.what {
                Finished::Flow(flow) => self.flow(flow),
                Finished::Transaction(of) => self.transaction(&of.0, &of.1),
                Finished::Exchange(of) => self.exchange(&of.0, &of.1),
            }
        }
    }
    /// No row follows.
    fn end(&mut self) {}
}
