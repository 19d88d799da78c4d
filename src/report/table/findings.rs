//! `findings`: one row per finding, flat enough to filter and to count.

use super::shared::word;
use super::{Column, Table, columns};
use crate::report::model::RankedFinding;

/// A finding.
#[derive(Clone, Copy, Debug)]
pub struct FindingRow<'a> {
    /// The finding.
    pub finding: &'a RankedFinding,
}

/// The table of findings.
#[derive(Debug)]
pub struct Findings;

impl Table for Findings {
    const NAME: &'static str = "findings";
    const DOC: &'static str = "One row per finding, the weightiest first. The whole finding, with what it does not \
        claim, is in report.json under the same id.";
    const BRIEF: &'static [&'static str] = &[
        "id",
        "severity",
        "confidence",
        "detector",
        "variant",
        "title",
        "client",
        "server",
        "port",
        "first_seen",
    ];
    const COLUMNS: &'static [Column<Self>] = FINDING;
    type Row<'a> = FindingRow<'a>;
}

const FINDING: &[Column<Findings>] = columns! { Findings:
    "id" Text "place in the ranking, F-001 first; joins evidence" = |row| row.finding.id.as_str();
    "key" Text "fingerprint of detector, variant and subject, to compare runs with" = |row| row.finding.key.as_str();
    "detector" Text "detector" = |row| row.finding.finding.detector;
    "variant" Text "variant of the detector"
        = |row| Some(row.finding.finding.variant).filter(|variant| !variant.is_empty());
    "severity" Text "info, warning, critical" = |row| word(&row.finding.finding.severity);
    "confidence" Text "possible, likely, confirmed" = |row| word(&row.finding.finding.confidence);
    "gates" Text "what lowered the confidence, joined by commas"
        = |row| joined(row.finding.finding.gates.iter().map(|gate| gate.name));
    "title" Text "headline" = |row| row.finding.finding.title.as_str();
    "summary" Text "what the frames show" = |row| row.finding.finding.summary.as_str();
    "client" Text "client address, when it is one client" = |row| row.finding.finding.subject.client.as_deref();
    "server" Text "server address" = |row| row.finding.finding.subject.server.as_deref();
    "port" U16 "server port" = |row| row.finding.finding.subject.port;
    "proto" Text "transport protocol" = |row| row.finding.finding.subject.protocol;
    "name" Text "DNS name or server name" = |row| row.finding.finding.subject.name.as_deref();
    "direction" Text "to_server, to_client" = |row| row.finding.finding.subject.direction.map(|direction| word(&direction));
    "interface" Text "capture interface" = |row| row.finding.finding.subject.interface.as_deref();
    "first_seen" Time "time of the first packet" = |row| row.finding.finding.first_seen;
    "last_seen" Time "time of the last packet" = |row| row.finding.finding.last_seen;
    "seconds_lost" F64 "time that somebody waited, s" = |row| row.finding.finding.impact.seconds_lost;
    "failed_transactions" U64 "connections, lookups or handshakes that failed"
        = |row| row.finding.finding.impact.failed_transactions;
    "of_transactions" U64 "those looked at for the same subject" = |row| row.finding.finding.impact.of_transactions;
    "clients" U64 "distinct client addresses" = |row| row.finding.finding.impact.clients;
    "services" U64 "distinct services" = |row| row.finding.finding.impact.services;
    "counts" Text "the numbers behind the summary, name=value joined by commas"
        = |row| joined(row.finding.finding.counts.iter().map(|count| format!("{}={}", count.name, count.value)));
    "evidence" U64 "rows in evidence" = |row| row.finding.evidence.len();
    "wireshark_filter" Text "display filter of the first file; report.json has those of the others"
        = |row| row.finding.wireshark_filter.first().map(|filter| filter.filter.as_str());
};

fn joined<T: AsRef<str>>(parts: impl Iterator<Item = T>) -> Option<String> {
    let text = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join(",");
    Some(text).filter(|text| !text.is_empty())
}
