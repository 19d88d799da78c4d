//! What a flow table may hold, and which of those limits acted.

use serde::{Deserialize, Serialize};

use crate::flow::tcp::Connection;
use crate::time::Span;

/// When flows end, and what one flow may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLimits {
    /// Silence after which an established TCP connection is over.
    pub tcp_idle: Span,
    /// The same for TCP without a completed handshake.
    pub tcp_attempt: Span,
    /// The same for TCP closed by both sides or reset.
    pub tcp_closed: Span,
    /// The same for all other protocols.
    pub udp_idle: Span,
    /// Classified segments kept per flow.
    pub events: u32,
    /// Out-of-order payload held per direction of a flow, bytes.
    pub reassembly: usize,
}

impl FlowLimits {
    pub(super) fn connection(&self) -> Box<Connection> {
        Box::write(Box::new_uninit(), Connection::new(self.events, self.reassembly))
    }
}

/// How often the limits of a table acted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitHits {
    /// Events beyond [`FlowLimits::events`].
    pub events: u64,
    /// Gaps given up early because of [`FlowLimits::reassembly`].
    pub reassembly: u64,
    /// DNS transactions beyond the table of a flow.
    pub transactions: u64,
    /// Segments whose holes had no room in the table of a stream.
    pub holes: u64,
    /// Flows that may go on where one was closed for its memory.
    pub continued: u64,
}

impl LimitHits {
    /// Adds another table's.
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.reassembly += other.reassembly;
        self.transactions += other.transactions;
        self.holes += other.holes;
        self.continued += other.continued;
    }
}
