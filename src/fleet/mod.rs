//! reports on many captures -> what happened in an archive
//!
//! Only reports are read, never captures: so an archive that was analysed in ten runs says the same as one
//! that was analysed in one. Sets are in the order of their names, and nothing here knows a clock.

mod html;
mod text;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use crate::capture::Unreadable;
use crate::correlate::{ServiceKey, Tally};
use crate::detect::{Merge, Severity};
use crate::report::stored::{Stored, StoredIncident, StoredService};

pub use html::document;
pub use text::write;

/// What happened in an archive.
#[derive(Debug, Serialize)]
pub struct Fleet {
    /// The version of this form.
    pub schema_version: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// BLAKE3 of the configuration that can change results.
    pub config_hash: String,
    /// Captures that have a report, by name.
    pub captures: Vec<CaptureLine>,
    /// Captures that have none.
    pub failed: Vec<FailedCapture>,
    /// Inputs that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Files that are no captures.
    pub ignored: Vec<Unreadable>,
    /// Such files beyond those listed.
    pub ignored_unlisted: u64,
    /// What happened, in however many captures: the heaviest first, then what most captures have.
    pub incidents: Vec<FleetIncident>,
    /// Services over all captures, those with the most failed attempts first, at most [`Fleet::SERVICES`].
    pub services: Vec<FleetService>,
    /// Services beyond those.
    pub services_unlisted: u64,
}

/// A capture of the archive.
#[derive(Debug, Serialize)]
pub struct CaptureLine {
    /// Its name in the archive.
    pub set: String,
    /// The first of its files, as given.
    pub file: String,
    /// How many files.
    pub files: u64,
    /// Packets.
    pub packets: u64,
    /// Earliest packet time.
    pub first_seen: Option<String>,
    /// Latest packet time.
    pub last_seen: Option<String>,
    /// The verdict in a word, as in its report.
    pub status: String,
    /// Its heaviest incident.
    pub worst: Option<Severity>,
    /// Keys of its incidents.
    pub incidents: Vec<String>,
    /// The first of what could not be read of it, whatever was found in the rest; `None` when all was read.
    pub not_read: Option<String>,
}

/// A capture without a report.
#[derive(Debug, Serialize)]
pub struct FailedCapture {
    /// Its name in the archive.
    pub set: String,
    /// The first of its files, as given.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// An incident, in however many captures.
#[derive(Debug, Serialize)]
pub struct FleetIncident {
    /// Fingerprint of rule and subject, the same in every report.
    pub key: String,
    /// The heaviest of them.
    pub severity: Severity,
    /// Headline of the heaviest, of the first of these.
    pub title: String,
    /// How many captures have it.
    pub captures: u64,
    /// Some of them, the first by name.
    pub sets: Vec<String>,
    /// First packet of the first.
    pub since: Option<String>,
    /// Last packet of the last.
    pub until: Option<String>,
    /// What failed, in all of them.
    pub failed: u64,
    /// Of so many that were judged.
    pub of: u64,
}

/// A service over all captures.
#[derive(Debug, Serialize)]
pub struct FleetService {
    /// Server address.
    pub server: IpAddr,
    /// Server port.
    pub port: u16,
    /// `tcp` or `dns`.
    pub protocol: &'static str,
    /// Some of its names.
    pub names: Vec<String>,
    /// Captures in which it was asked for something.
    pub captures: u64,
    /// Attempts, and those that failed.
    #[serde(flatten)]
    pub attempts: Tally,
    /// The same by day of the captures' first packets, UTC.
    pub days: BTreeMap<String, Tally>,
}

/// The day of a time in RFC 3339; `unknown` when there is none.
pub fn day(time: Option<&str>) -> &str {
    time.and_then(|time| time.get(..10)).unwrap_or("unknown")
}

/// Takes reports, and says what they are together.
#[derive(Debug, Default)]
pub struct Builder {
    captures: BTreeMap<String, CaptureLine>,
    failed: BTreeMap<String, FailedCapture>,
    incidents: BTreeMap<String, FleetIncident>,
    services: BTreeMap<ServiceKey, FleetService>,
}

/// Sets and names listed of each: more than a person looks at.
const LISTED: usize = 100;

impl Builder {
    /// The report on `set`. Sets have to come in the order of their names.
    pub fn add(&mut self, set: &str, stored: Stored) {
        let Stored { verdict, capture, incidents, services, .. } = stored;
        let on = day(capture.first_seen.as_deref()).to_owned();
        let line = CaptureLine {
            set: set.to_owned(),
            file: capture.files.first().map(|file| file.path.clone()).unwrap_or_default(),
            files: capture.files.len() as u64,
            packets: capture.packets,
            first_seen: capture.first_seen,
            last_seen: capture.last_seen,
            status: verdict.status,
            worst: incidents.iter().map(|incident| incident.severity).max(),
            incidents: incidents.iter().map(|incident| incident.key.clone()).collect(),
            not_read: verdict.reasons.into_iter().next().filter(|_| verdict.incomplete),
        };
        self.captures.insert(set.to_owned(), line);
        incidents.into_iter().for_each(|incident| self.incident(set, incident));
        services.iter().for_each(|service| self.service(&on, service));
    }

    /// There is no report on `set`.
    pub fn fail(&mut self, set: &str, file: String, reason: String) {
        self.failed.insert(set.to_owned(), FailedCapture { set: set.to_owned(), file, reason });
    }

    fn incident(&mut self, set: &str, incident: StoredIncident) {
        let StoredIncident { key, severity, title, blast_radius: radius, .. } = incident;
        let known = self.incidents.entry(key.clone()).or_insert_with(|| FleetIncident {
            key,
            severity,
            title: title.clone(),
            captures: 0,
            sets: Vec::new(),
            since: None,
            until: None,
            failed: 0,
            of: 0,
        });
        if severity > known.severity {
            (known.severity, known.title) = (severity, title);
        }
        known.captures += 1;
        if known.sets.len() < LISTED {
            known.sets.push(set.to_owned());
        }
        known.since = known.since.take().into_iter().chain(radius.since).min();
        known.until = known.until.take().into_iter().chain(radius.until).max();
        known.failed = known.failed.saturating_add(radius.failed);
        known.of = known.of.saturating_add(radius.of);
    }

    fn service(&mut self, day: &str, service: &StoredService) {
        let key = service.key();
        let known = self.services.entry(key).or_insert_with(|| FleetService {
            server: service.server,
            port: service.port,
            protocol: if key.protocol == ServiceKey::UDP { "dns" } else { "tcp" },
            names: Vec::new(),
            captures: 0,
            attempts: Tally::default(),
            days: BTreeMap::new(),
        });
        let tally = Tally { of: service.attempts, failed: service.failed };
        known.captures += 1;
        known.attempts.absorb(tally);
        known.days.entry(day.to_owned()).or_default().absorb(tally);
        let names: BTreeSet<&String> = known.names.iter().chain(&service.names).collect();
        known.names = names.into_iter().take(4).cloned().collect();
    }
}

impl Fleet {
    /// Services listed.
    pub const SERVICES: usize = 1000;

    /// What the reports are together.
    pub fn new(builder: Builder, config_hash: String) -> Self {
        let Builder { captures, failed, incidents, services } = builder;
        let mut incidents: Vec<FleetIncident> = incidents.into_values().collect();
        incidents.sort_by_key(|incident| {
            (Reverse((incident.severity, incident.captures, incident.failed)), incident.key.clone())
        });
        let mut services: Vec<FleetService> = services.into_values().collect();
        services.sort_by_key(|service| {
            (Reverse((service.attempts.failed, service.attempts.of)), service.server, service.port)
        });
        let services_unlisted = services.len().saturating_sub(Self::SERVICES) as u64;
        services.truncate(Self::SERVICES);
        Self {
            schema_version: "1.1",
            version: env!("CARGO_PKG_VERSION"),
            config_hash,
            captures: captures.into_values().collect(),
            failed: failed.into_values().collect(),
            unreadable: Vec::new(),
            ignored: Vec::new(),
            ignored_unlisted: 0,
            incidents,
            services,
            services_unlisted,
        }
    }

    /// The heaviest incident of all.
    pub fn worst(&self) -> Option<Severity> {
        self.incidents.iter().map(|incident| incident.severity).max()
    }

    /// Every input could be read to its end.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
            && self.unreadable.is_empty()
            && self.captures.iter().all(|capture| capture.not_read.is_none())
    }
}
