//! A `report.json` of before, as far as programs go on with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::correlate::{Phase, ServiceKey};
use crate::detect::Severity;
use crate::dissect::Endpoint;
use crate::flow::Spread;
use crate::report::files::REPORT;
use crate::time::Span;

/// Longest report that is read, bytes: with all its lists full one takes less.
const LONGEST: u64 = 256 << 20;

/// A `report.json` that cannot be used.
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

/// What a `report.json` says, in the fields that programs go on with.
#[derive(Debug, Deserialize)]
pub struct Stored {
    /// Version of its form.
    pub schema_version: String,
    /// The answer.
    pub verdict: StoredVerdict,
    /// What was looked at.
    pub capture: StoredCapture,
    /// What happened, the weightiest first.
    pub incidents: Vec<StoredIncident>,
    /// What was found.
    pub findings: Vec<StoredFinding>,
    /// How services fared, at most 256.
    pub services: Vec<StoredService>,
    /// Services beyond those.
    pub services_unlisted: u64,
}

/// The answer in a word.
#[derive(Debug, Deserialize)]
pub struct StoredVerdict {
    /// `clean`, `findings`, `degraded`, `incomplete` or `not_assessed`.
    pub status: String,
    /// Not all of the input could be read, whatever was found in the rest.
    #[serde(default)]
    pub incomplete: bool,
    /// Why it is that, or a limit acted.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// What was looked at.
#[derive(Debug, Deserialize)]
pub struct StoredCapture {
    /// The files, in analysis order.
    pub files: Vec<StoredFile>,
    /// Packets.
    pub packets: u64,
    /// Earliest packet time, RFC 3339 with nine decimals.
    pub first_seen: Option<String>,
    /// Latest packet time.
    pub last_seen: Option<String>,
}

/// A file that was read.
#[derive(Debug, Deserialize)]
pub struct StoredFile {
    /// As given.
    pub path: String,
}

/// An incident.
#[derive(Debug, Deserialize)]
pub struct StoredIncident {
    /// Number within its report.
    pub id: String,
    /// Fingerprint of rule and subject.
    pub key: String,
    /// How heavy.
    pub severity: Severity,
    /// Headline.
    pub title: String,
    /// Whom it reached.
    pub blast_radius: StoredRadius,
}

/// Whom an incident reached.
#[derive(Debug, Deserialize)]
pub struct StoredRadius {
    /// What failed.
    pub failed: u64,
    /// Of so many that were judged.
    pub of: u64,
    /// First packet, RFC 3339.
    pub since: Option<String>,
    /// Last packet.
    pub until: Option<String>,
}

/// A finding.
#[derive(Debug, Deserialize)]
pub struct StoredFinding {
    /// Fingerprint of rule and subject.
    pub key: String,
}

/// How a service fared: see [`Service`](crate::correlate::Service).
#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the service")]
pub struct StoredService {
    pub server: IpAddr,
    pub port: u16,
    pub protocol: String,
    pub names: Vec<String>,
    pub attempts: u64,
    pub failed: u64,
    pub handshakes: u64,
    pub handshakes_failed: u64,
    pub requests: u64,
    pub requests_failed: u64,
    pub segments: u64,
    pub lost: u64,
    #[serde(flatten)]
    times: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct StoredSpread {
    count: u64,
    median: f64,
    p95: f64,
}

impl StoredService {
    /// Server, and how it is asked.
    pub fn key(&self) -> ServiceKey {
        let protocol = if self.protocol == "dns" { ServiceKey::UDP } else { ServiceKey::TCP };
        ServiceKey { server: Endpoint { address: self.server, port: self.port }, protocol }
    }

    /// How long a phase took, when it was measured.
    pub fn spread(&self, phase: Phase) -> Option<Spread> {
        let stored: StoredSpread = serde_json::from_value(self.times.get(phase.key())?.clone()).ok()?;
        let [median, p95] = [stored.median, stored.p95].map(Span::from_secs_f64);
        Some(Spread { count: stored.count, median, p95 })
    }
}

/// The `report.json` that a path stands for: itself, or the one in a folder of a report.
pub fn report_at(path: &Path) -> Option<PathBuf> {
    let inside = path.join(REPORT);
    if inside.is_file() {
        return Some(inside);
    }
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")).then(|| path.to_owned())
}

impl Stored {
    /// Reads a `report.json`, or that of the folder of a report.
    ///
    /// # Errors
    /// When it cannot be read, is no report, or of another schema.
    pub fn read(path: &Path) -> Result<Self, StoredError> {
        Self::within(path, LONGEST)
    }

    fn within(path: &Path, most: u64) -> Result<Self, StoredError> {
        let path = report_at(path).unwrap_or_else(|| path.to_owned());
        let shown = || path.display().to_string();
        let failed = |error| StoredError::Read { path: shown(), error };
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
        if read.map_err(failed)? as u64 > most {
            return Err(failed(io::Error::other(format!("it is longer than {} MiB", most >> 20))));
        }
        let stored: Self =
            serde_json::from_slice(&bytes).map_err(|error| StoredError::Parse { path: shown(), error })?;
        match stored.schema_version.split('.').next() {
            Some("3") => Ok(stored),
            _ => Err(StoredError::Version { path: shown(), found: stored.schema_version }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Config;
    use crate::report::json;
    use crate::report::model::Report;
    use crate::report::tests::outcome;

    #[test]
    fn a_report_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let report = Report::new(&outcome(), &Config::default());
        let path = folder.path().join(REPORT);
        json::write(&report, fs::File::create(&path).expect("made")).expect("written");
        let stored = Stored::read(folder.path()).expect("a report");
        assert_eq!(stored.capture.packets, report.capture.packets);
        assert_eq!(stored.findings.len(), report.findings.len());
        assert_eq!(stored.incidents.len(), report.incidents.len());
        let length = path.metadata().expect("there").len();
        assert!(Stored::within(&path, length).is_ok());
        let error = Stored::within(&path, length - 1).expect_err("too long").to_string();
        assert!(error.ends_with("cannot be read: it is longer than 0 MiB"), "{error}");
    }

    #[test]
    fn what_is_no_report_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(REPORT);
        let said = |text: &str| {
            fs::write(&path, text).expect("written");
            Stored::read(&path).expect_err("no report").to_string()
        };
        assert!(said("{").contains("is no report of this program: EOF"), "{}", said("{"));
        let other = r#"{"schema_version": "2.0", "verdict": {"status": "clean"}, "capture": {"files": [],
            "packets": 0, "first_seen": null, "last_seen": null}, "incidents": [], "findings": [],
            "services": [], "services_unlisted": 0}"#;
        assert!(said(other).ends_with("report of schema 2.0, expected 3.x; analyse the capture again"));
        assert!(Stored::read(Path::new("gone.json")).is_err());
    }
}
