//! Reports that were written before: to compare with, and to know what is not new.

use std::collections::BTreeSet;
use std::path::Path;

use crate::correlate::{Phase, ServiceKey, Tally};
use crate::detect::Severity;
use crate::diff::profile::{Capture, Known, Lengths, Measured, Profile};
use crate::report::model::{CitedIncident, Report};
use crate::report::stored::{Stored, StoredError, StoredIncident, StoredService};

impl Profile {
    /// Of a `report.json`: without what only a capture shows, and with percentiles instead of times.
    pub fn stored(stored: Stored) -> Self {
        let capture = Capture {
            files: stored.capture.files.into_iter().map(|file| file.path).collect(),
            packets: stored.capture.packets,
            first_seen: stored.capture.first_seen,
            last_seen: stored.capture.last_seen,
            services_unlisted: stored.services_unlisted,
        };
        let known = |StoredIncident { id, key, severity, title, .. }| Known { id, key, severity, title };
        let incidents = stored.incidents.into_iter().map(known).collect();
        Self { capture, incidents, services: stored.services.iter().map(measured).collect(), seen: None }
    }
}

fn measured(service: &StoredService) -> (ServiceKey, Measured) {
    let lengths = |phase: Phase| Some((phase, Lengths::Percentiles(service.spread(phase)?)));
    let measured = Measured {
        names: service.names.iter().cloned().collect(),
        attempts: Tally { of: service.attempts, failed: service.failed },
        handshakes: Tally { of: service.handshakes, failed: service.handshakes_failed },
        requests: Tally { of: service.requests, failed: service.requests_failed },
        segments: Tally { of: service.segments.saturating_add(service.lost), failed: service.lost },
        responses: Tally::default(),
        times: Phase::ALL.into_iter().filter_map(lengths).collect(),
    };
    (service.key(), measured)
}

/// What was known before: incidents and findings of an earlier report, by their keys.
#[derive(Debug)]
pub struct Baseline {
    incidents: BTreeSet<String>,
    findings: BTreeSet<String>,
}

impl Baseline {
    /// Of a `report.json`, or of the folder of a report.
    ///
    /// # Errors
    /// When it cannot be read, is no report, or of another schema.
    pub fn read(path: &Path) -> Result<Self, StoredError> {
        let stored = Stored::read(path)?;
        Ok(Self {
            incidents: stored.incidents.into_iter().map(|known| known.key).collect(),
            findings: stored.findings.into_iter().map(|finding| finding.key).collect(),
        })
    }

    /// The incidents of `report` that were not known.
    pub fn new_incidents<'r>(&self, report: &'r Report) -> impl Iterator<Item = &'r CitedIncident> {
        report.incidents.iter().filter(|cited| !self.incidents.contains(&cited.incident.key))
    }

    /// The weightiest of what was not known: incidents, and findings that belong to none.
    pub fn worst(&self, report: &Report) -> Option<Severity> {
        let new = |id: &String| report.finding(id).filter(|finding| !self.findings.contains(&finding.key));
        let alone = report.other.iter().filter_map(new).map(|finding| finding.finding.severity);
        self.new_incidents(report).map(|cited| cited.incident.severity).chain(alone).max()
    }
}
