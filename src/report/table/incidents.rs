//! `incidents`: one row per incident, flat enough to filter and to count.

use super::shared::word;
use super::{Column, Table, columns};
use crate::correlate::{BlastRadius, Incident};
use crate::report::model::CitedIncident;

/// An incident.
#[derive(Clone, Copy, Debug)]
pub struct IncidentRow<'a> {
    /// The incident.
    pub cited: &'a CitedIncident,
}

impl<'a> IncidentRow<'a> {
    fn what(self) -> &'a Incident {
        &self.cited.incident
    }

    fn radius(self) -> &'a BlastRadius {
        &self.what().blast_radius
    }
}

/// The table of incidents.
#[derive(Debug)]
pub struct Incidents;

impl Table for Incidents {
    const NAME: &'static str = "incidents";
    const DOC: &'static str = "One row per incident, the weightiest first. The whole incident, with what it \
        does not know, is in report.json under the same id.";
    const BRIEF: &'static [&'static str] =
        &["id", "severity", "confidence", "layer", "where", "title", "failed", "of", "clients", "since"];
    const COLUMNS: &'static [Column<Self>] = INCIDENT;
    type Row<'a> = IncidentRow<'a>;
}

const INCIDENT: &[Column<Incidents>] = columns! { Incidents:
    "id" Text "place in the ranking, I-01 first" = |row| row.what().id.as_str();
    "key" Text "fingerprint of the rule and of what its findings share, to compare runs with"
        = |row| row.what().key.as_str();
    "severity" Text "info, warning, critical: the weightiest of its findings"
        = |row| word(&row.what().severity);
    "confidence" Text "possible, likely, confirmed: of the root" = |row| word(&row.what().confidence);
    "layer" Text "capture, link, network, transport, tls, dns, application" = |row| word(&row.what().layer);
    "where" Text "where to look: network, server, client, resolver, middlebox, capture, not_told"
        = |row| word(&row.what().place);
    "title" Text "headline" = |row| row.what().title.as_str();
    "story" Text "what happened, in two to four sentences" = |row| row.what().story.as_str();
    "root" Text "id of the finding that is nearest to the cause; joins findings"
        = |row| row.what().root.as_str();
    "symptoms" Text "ids of the other findings that belong to it, joined by commas"
        = |row| Some(row.what().symptoms.join(",")).filter(|ids| !ids.is_empty());
    "contrast" Text "what sets the failing apart from the healthy, the strongest"
        = |row| row.what().contrast.first().map(|contrast| contrast.text.as_str());
    "failed" U64 "connections, lookups, handshakes or requests that failed" = |row| row.radius().failed;
    "of" U64 "those that were judged" = |row| row.radius().of;
    "clients" U64 "client addresses" = |row| row.radius().clients.count;
    "services" U64 "services" = |row| row.radius().services.count;
    "names" U64 "names" = |row| row.radius().names.count;
    "flows" U64 "flows of the root and of what is like it" = |row| row.radius().flows;
    "seconds_lost" F64 "time that somebody waited, s" = |row| row.radius().seconds_lost;
    "since" Time "time of the first packet" = |row| row.radius().since;
    "until" Time "time of the last packet" = |row| row.radius().until;
    "going_on" Bool "it had not ended when the capture did" = |row| row.radius().going_on;
    "wireshark_filter" Text "display filter of the first file; report.json has those of the others"
        = |row| row.cited.evidence.first().map(|proof| proof.filter.as_str());
};
