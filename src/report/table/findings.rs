//! `findings`: one row per finding, flat enough to filter and to count.

use super::shared::word;
use super::{Column, Table, columns};
use crate::detect::Finding;
use crate::report::model::RankedFinding;

/// A finding.
#[derive(Clone, Copy, Debug)]
pub struct FindingRow<'a> {
    /// The finding.
    pub ranked: &'a RankedFinding,
}

impl<'a> FindingRow<'a> {
    fn found(self) -> &'a Finding {
        &self.ranked.finding
    }
}

/// The table of findings.
#[derive(Debug)]
pub struct Findings;

impl Table for Findings {
    const NAME: &'static str = "findings";
    const DOC: &'static str = "One row per finding, the weightiest first. The whole finding, with \
        what it does not claim, is in report.json under the same id.";
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
    "id" Text "place in the ranking, F-001 first; joins evidence" = |row| row.ranked.id.as_str();
    "key" Text "fingerprint of detector, variant and subject, to compare runs with"
        = |row| row.ranked.key.as_str();
    "detector" Text "detector" = |row| row.found().detector;
    "variant" Text "variant of the detector"
        = |row| Some(row.found().variant).filter(|variant| !variant.is_empty());
    "severity" Text "info, warning, critical" = |row| word(&row.found().severity);
    "confidence" Text "possible, likely, confirmed" = |row| word(&row.found().confidence);
    "gates" Text "what lowered the confidence, joined by commas"
        = |row| joined(row.found().gates.iter().map(|gate| gate.name));
    "title" Text "headline" = |row| row.found().title.as_str();
    "summary" Text "what the frames show" = |row| row.found().summary.as_str();
    "client" Text "client address, when it is one client" = |row| row.found().subject.client.as_deref();
    "server" Text "server address" = |row| row.found().subject.server.as_deref();
    "port" U16 "server port" = |row| row.found().subject.port;
    "proto" Text "transport protocol" = |row| row.found().subject.protocol;
    "name" Text "DNS name or server name" = |row| row.found().subject.name.as_deref();
    "direction" Text "to_server, to_client"
        = |row| row.found().subject.direction.map(|direction| word(&direction));
    "interface" Text "capture interface" = |row| row.found().subject.interface.as_deref();
    "first_seen" Time "time of the first packet" = |row| row.found().first_seen;
    "last_seen" Time "time of the last packet" = |row| row.found().last_seen;
    "seconds_lost" F64 "time that somebody waited, s" = |row| row.found().impact.seconds_lost;
    "failed_transactions" U64 "connections, lookups or handshakes that failed"
        = |row| row.found().impact.failed_transactions;
    "of_transactions" U64 "those looked at for the same subject" = |row| row.found().impact.of_transactions;
    "clients" U64 "distinct client addresses" = |row| row.found().impact.clients;
    "services" U64 "distinct services" = |row| row.found().impact.services;
    "flows" U64 "flows of its scope; report.json lists some of them" = |row| row.found().scope.flows.count;
    "counts" Text "the numbers behind the summary, name=value joined by commas"
        = |row| joined(row.found().counts.iter().map(|count| format!("{}={}", count.name, count.value)));
    "evidence" U64 "rows in evidence" = |row| row.ranked.evidence.len();
    "wireshark_filter" Text "display filter of the first file; report.json has those of the others"
        = |row| row.ranked.wireshark_filter.first().map(|filter| filter.filter.as_str());
};

fn joined<T: AsRef<str>>(parts: impl Iterator<Item = T>) -> Option<String> {
    let text = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join(",");
    Some(text).filter(|text| !text.is_empty())
}
