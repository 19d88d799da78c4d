//! `evidence`: one row per frame that a finding cites.

use super::{Column, Table, columns};
use crate::report::model::{CitedFrame, RankedFinding};

/// A cited frame and its finding.
#[derive(Clone, Copy, Debug)]
pub struct EvidenceRow<'a> {
    /// The finding.
    pub finding: &'a RankedFinding,
    /// The frame.
    pub cited: &'a CitedFrame,
}

/// The table of cited frames.
#[derive(Debug)]
pub struct EvidenceTable;

impl Table for EvidenceTable {
    const NAME: &'static str = "evidence";
    const DOC: &'static str = "One row per frame that a finding cites, in packet order.";
    const BRIEF: &'static [&'static str] = &["finding_id", "file", "frame", "ts", "role", "fields"];
    const COLUMNS: &'static [Column<Self>] = EVIDENCE;
    type Row<'a> = EvidenceRow<'a>;
}

const EVIDENCE: &[Column<EvidenceTable>] = columns! { EvidenceTable:
    "finding_id" Text "the finding, in findings" = |row| row.finding.id.as_str();
    "detector" Text "its detector" = |row| row.finding.finding.detector;
    "file" Text "file of the packet" = |row| row.cited.file.as_str();
    "frame" U64 "frame number in the file, as Wireshark counts" = |row| row.cited.frame;
    "packet" U64 "ordinal over the capture set" = |row| row.cited.packet.packet;
    "ts" Time "capture time" = |row| row.cited.packet.time;
    "role" Text "what the packet is to the finding" = |row| row.cited.packet.role.name();
    "fields" Text "the fields that matter" = |row| row.cited.packet.fields.as_str();
};
