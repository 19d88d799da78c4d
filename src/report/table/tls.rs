//! `tls` (placeholder).

use super::shared::Places;
use super::{Column, Table, columns};
use crate::app::tls::TlsSession;
use crate::flow::Flow;

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct TlsRow<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// The session.
    pub session: &'a TlsSession,
    /// The files.
    pub places: &'a Places,
}

/// The table.
#[derive(Debug)]
pub struct Tls;

impl Table for Tls {
    const NAME: &'static str = "tls";
    const DOC: &'static str = "One row each.";
    const BRIEF: &'static [&'static str] = &["flow_id"];
    const COLUMNS: &'static [&'static [Column<Self>]] = &[ALL];
    type Row<'a> = TlsRow<'a>;
}

const ALL: &[Column<Tls>] = columns! { Tls:
    "flow_id" U64 "the flow, in flows" = |row| row.flow.id;
};
