//! What the table keeps of an open flow beside what its packets said.

use crate::flow::streams::StreamId;
use crate::time::{Span, Timestamp};

/// Where an open flow is found, when it is looked at again, and what it weighs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its place in the index.
    pub(super) hash: u64,
    /// Its stream in the partition; `None` when that is not TCP, or not numbered any more.
    pub(super) stream: Option<StreamId>,
    /// It may be the rest of one that was closed for its memory.
    pub(super) continues: bool,
    /// Its weight and rank may not be what the table knows.
    pub(super) touched: bool,
    /// When the table looks at it if nothing comes.
    pub(super) wake: Timestamp,
    /// The capture's clock at its last packet, from which idle time counts. Packets' own times may go back.
    pub(super) last_clock: Timestamp,
    /// Silence after which it is over, as its state is now.
    pub(super) idle: Span,
    /// Bytes of memory it took when it was looked at last.
    pub(super) weight: usize,
}

impl Entry {
    /// For a flow that `clock` has just seen the first packet of.
    pub(super) fn new(hash: u64, stream: Option<StreamId>, clock: Timestamp) -> Self {
        Self {
            hash,
            stream,
            continues: false,
            touched: false,
            wake: Timestamp::MAX,
            last_clock: clock,
            idle: Span::ZERO,
            weight: 0,
        }
    }

    /// When it is over if nothing comes.
    pub(super) fn deadline(&self) -> Timestamp {
        self.last_clock + self.idle
    }
}
