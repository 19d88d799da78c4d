//! `dns` (placeholder).

use super::shared::Places;
use super::{Column, Table, columns};
use crate::app::dns::Transaction;
use crate::flow::FlowHead;

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct DnsRow<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// The flow.
    pub flow: &'a FlowHead,
    /// The files.
    pub places: &'a Places,
}

/// The table.
#[derive(Debug)]
pub struct Dns;

impl Table for Dns {
    const NAME: &'static str = "dns";
    const DOC: &'static str = "One row each.";
    const BRIEF: &'static [&'static str] = &["flow_id"];
    const COLUMNS: &'static [&'static [Column<Self>]] = &[ALL];
    type Row<'a> = DnsRow<'a>;
}

const ALL: &[Column<Dns>] = columns! { Dns:
    "flow_id" U64 "the flow, in flows" = |row| row.flow.id;
};
