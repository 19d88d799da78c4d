//! A report that was written before, as far as it is needed to compare with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::correlate::{Phase, ServiceKey, Spread, Tally};
use crate::detect::Severity;
use crate::diff::profile::{Capture, Known, Lengths, Measured, Profile};
use crate::dissect::Endpoint;
use crate::report::model::{CitedIncident, Report};
use crate::time::Span;

/// A `report.json` that cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// It cannot be read.
    #[error("{path}: cannot be read: {error}")]
    Read {
        /// Path as given.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// It is no report.
    #[error("{path}: is no report of this program: {error}")]
    Parse {
        /// Path as given.
        path: String,
        /// What was expected, and where.
        error: serde_json::Error,
    },
    /// Another version wrote it.
    #[error("{path}: report of schema {found}, expected 3.x; analyse the capture again")]
    Version {
        /// Path as given.
        path: String,
        /// Its schema.
        found: String,
    },
}

/// What `report.json` keeps of it.
#[derive(Debug, Deserialize)]
struct Stored {
    schema_version: String,
    capture: StoredCapture,
    incidents: Vec<Known>,
    findings: Vec<StoredFinding>,
    services: Vec<StoredService>,
    services_unlisted: u64,
}

#[derive(Debug, Deserialize)]
struct StoredCapture {
    files: Vec<StoredFile>,
    packets: u64,
    first_seen: Option<String>,
    last_seen: Option<String>,
}

#[derive(Debug, Deserialize)]
struct StoredFile {
    path: String,
}

#[derive(Debug, Deserialize)]
struct StoredFinding {
    key: String,
}

#[derive(Debug, Deserialize)]
struct StoredService {
    server: IpAddr,
    port: u16,
    protocol: String,
    names: Vec<String>,
    attempts: u64,
    failed: u64,
    handshakes: u64,
    handshakes_failed: u64,
    requests: u64,
    requests_failed: u64,
    segments: u64,
    lost: u64,
    #[serde(flatten)]
    times: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct StoredSpread {
    count: u64,
    median: f64,
    p95: f64,
}

impl StoredSpread {
    fn spread(&self) -> Spread {
        let [median, p95] = [self.median, self.p95].map(Span::from_secs_f64);
        Spread { count: self.count, median, p95 }
    }
}

/// The `report.json` that a path stands for: itself, or the one in a folder of a report.
pub fn report_at(path: &Path) -> Option<PathBuf> {
    let inside = path.join("report.json");
    if inside.is_file() {
        return Some(inside);
    }
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")).then(|| path.to_owned())
}

fn read(path: &Path) -> Result<Stored, StoredError> {
    let shown = || path.display().to_string();
    let bytes = fs::read(path).map_err(|error| StoredError::Read { path: shown(), error })?;
    let stored: Stored =
        serde_json::from_slice(&bytes).map_err(|error| StoredError::Parse { path: shown(), error })?;
    match stored.schema_version.split('.').next() {
        Some("3") => Ok(stored),
        _ => Err(StoredError::Version { path: shown(), found: stored.schema_version }),
    }
}

impl Profile {
    /// Of a `report.json`: without what only a capture shows, and with percentiles instead of times.
    ///
    /// # Errors
    /// When it cannot be read, is no report, or of another schema.
    pub fn read(path: &Path) -> Result<Self, StoredError> {
        let stored = read(path)?;
        let capture = Capture {
            files: stored.capture.files.into_iter().map(|file| file.path).collect(),
            packets: stored.capture.packets,
            first_seen: stored.capture.first_seen,
            last_seen: stored.capture.last_seen,
            services_unlisted: stored.services_unlisted,
        };
        let services = stored.services.iter().map(StoredService::measured).collect();
        Ok(Self { capture, incidents: stored.incidents, services, seen: None })
    }
}

impl StoredService {
    fn measured(&self) -> (ServiceKey, Measured) {
        let protocol = if self.protocol == "dns" { ServiceKey::UDP } else { ServiceKey::TCP };
        let key = ServiceKey { server: Endpoint { address: self.server, port: self.port }, protocol };
        let spread = |phase: Phase| {
            let stored: StoredSpread = serde_json::from_value(self.times.get(phase.key())?.clone()).ok()?;
            Some((phase, Lengths::Percentiles(stored.spread())))
        };
        let measured = Measured {
            names: self.names.iter().cloned().collect(),
            attempts: Tally { of: self.attempts, failed: self.failed },
            handshakes: Tally { of: self.handshakes, failed: self.handshakes_failed },
            requests: Tally { of: self.requests, failed: self.requests_failed },
            segments: Tally { of: self.segments.saturating_add(self.lost), failed: self.lost },
            responses: Tally::default(),
            times: Phase::ALL.into_iter().filter_map(spread).collect(),
        };
        (key, measured)
    }
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
        let stored = read(&report_at(path).unwrap_or_else(|| path.to_owned()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        let said = |text: &str| {
            fs::write(&path, text).expect("written");
            Profile::read(&path).expect_err("no report").to_string()
        };
        assert!(said("[]").contains("is no report of this program: invalid length 0"), "{}", said("[]"));
        assert!(said("{").contains("EOF"), "{}", said("{"));
        let other = r#"{"schema_version": "2.0", "capture": {"files": [], "packets": 0, "first_seen": null,
            "last_seen": null}, "incidents": [], "findings": [], "services": [], "services_unlisted": 0}"#;
        assert!(said(other).ends_with("report of schema 2.0, expected 3.x; analyse the capture again"));
        assert!(Profile::read(Path::new("gone.json")).is_err());
    }
}
