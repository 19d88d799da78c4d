//! What a flow table hands out: things that are final, and when their turn is.

use serde::{Deserialize, Serialize};

use crate::app::dns::Transaction;
use crate::app::http::Exchange;
use crate::flow::streams::StreamId;
use crate::flow::{Flow, FlowHead};
use crate::time::Timestamp;

/// Something that is final.
#[derive(Debug, Serialize, Deserialize)]
pub enum Finished {
    /// A flow.
    Flow(Box<Flow>),
    /// A DNS transaction of a flow.
    Transaction(Box<(Transaction, FlowHead)>),
    /// An HTTP exchange of a flow.
    Exchange(Box<(Exchange, FlowHead)>),
}

/// A final thing, the capture time at which it became final, and the packet that tells equals apart.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// When it became final.
    pub time: Timestamp,
    /// Its first packet.
    pub packet: u64,
    /// The stream of its partition whose number a flow gets when the streams of all partitions are known up
    /// to here.
    pub stream: Option<StreamId>,
    /// What it is.
    pub what: Finished,
}

impl Row {
    /// Rows leave in the order of this key.
    pub fn key(&self) -> (Timestamp, u64, bool) {
        (self.time, self.packet, matches!(self.what, Finished::Flow(_)))
    }

    pub(super) fn exchange(exchange: Exchange, flow: FlowHead, latest: Timestamp) -> Self {
        let time = exchange.done.min(latest);
        let packet = exchange.first().map_or(flow.id, |at| at.packet);
        Self { time, packet, stream: None, what: Finished::Exchange(Box::new((exchange, flow))) }
    }

    pub(super) fn transaction(
        mut transaction: Transaction,
        flow: FlowHead,
        latest: Timestamp,
        watched_until: Timestamp,
    ) -> Self {
        let time = transaction.closed_at().min(latest);
        transaction.watched_until = transaction.closed_at().min(watched_until);
        let packet = transaction.first_packet();
        Self { time, packet, stream: None, what: Finished::Transaction(Box::new((transaction, flow))) }
    }
}
