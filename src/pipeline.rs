//! The two stages and the merge.

use crate::app::dns::Transaction;
use crate::capture::FileReport;
use crate::detect::{FileFacts, Rule, Totals, Verdict};
use crate::flow::{Flow, FlowHead};

/// Receives finished rows in an order that does not depend on threads, chunks, rounds or partitions.
pub trait Rows {
    /// The capture goes on with another file: its path, and the ordinal before its first packet. Comes before every row
    /// that has a packet of the file.
    fn file(&mut self, _path: &str, _base: u64) {}
    /// A flow was closed: rows of `flows`, `tcp_events`, `tls` and `icmp`.
    fn flow(&mut self, flow: &Flow);
    /// A DNS transaction was finished.
    fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead);
}

/// A cap that acted, so that the report is marked degraded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Capped {
    /// What was cut, e.g. `tcp events per flow`.
    pub what: &'static str,
    /// The setting behind it, e.g. `limits.events_per_flow`.
    pub setting: &'static str,
    /// How often.
    pub count: u64,
}

/// Everything a run found out, apart from the rows.
#[derive(Debug)]
pub struct Outcome {
    /// Sums over all packets.
    pub totals: Totals,
    /// The files, in analysis order.
    pub files: Vec<FileFacts>,
    /// The files, in analysis order: what the reader says of them.
    pub reports: Vec<FileReport>,
    /// Inputs that could not be read, and why.
    pub unreadable: Vec<(String, String)>,
    /// Every detector's verdict.
    pub verdicts: Vec<(&'static Rule, Verdict)>,
    /// Caps that acted.
    pub capped: Vec<Capped>,
    /// Flows closed, by protocol number.
    pub flows: std::collections::BTreeMap<u8, u64>,
}
