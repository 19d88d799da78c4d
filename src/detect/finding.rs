//! A finding: what failed, between whom, how sure, which packets prove it, and what is not claimed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::detect::{Case, Count, Evidence, Gate, Scope};
use crate::dissect::Direction;
use crate::humanize::share;
use crate::time::{Span, Timestamp};

/// How much a finding matters: by what it cost, the same for all detectors.
///
/// Failures are tries that somebody needed: a client asked again, or waited. A probe, a scan and a lookup
/// that nothing depends on are none. [`Severity::of_failures`] is the scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nobody lost anything, or less than [`Severity::PART`] failed.
    Info,
    /// Something was slower, failed in part, or failed for few.
    Warning,
    /// Something did not work: at least [`Severity::MOST`] failed, for [`Severity::CLIENTS`] clients, in
    /// [`Severity::TRIES`] tries, or for [`Severity::WAITED`].
    Critical,
}

impl Severity {
    /// Share of the tries that failed, from which something works in part only.
    pub const PART: f64 = 0.05;
    /// Share of the tries that failed, from which something does not work.
    pub const MOST: f64 = 0.5;
    /// Clients that failed, from which it is more than their own trouble.
    pub const CLIENTS: u64 = 3;
    /// Failures, from which it is more than an accident.
    pub const TRIES: u64 = 5;
    /// Time that the clients waited in all, from which nobody goes on working meanwhile.
    pub const WAITED: Span = Span::secs(30);

    /// How much it matters that `failed` of `of` tries by `clients` clients failed, who waited so long in
    /// all.
    pub fn of_failures(failed: u64, of: u64, clients: u64, waited: Span) -> Self {
        let part = share(failed, of);
        let felt = clients >= Self::CLIENTS || failed >= Self::TRIES || waited >= Self::WAITED;
        match part {
            _ if failed == 0 || part < Self::PART => Self::Info,
            _ if felt && part >= Self::MOST => Self::Critical,
            _ => Self::Warning,
        }
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// One test.
    Possible,
    /// At least two independent tests.
    Likely,
    /// The frames shown are protocol proof.
    Confirmed,
}

impl Confidence {
    /// One step less sure.
    pub fn lowered(self) -> Self {
        match self {
            Self::Confirmed => Self::Likely,
            Self::Likely | Self::Possible => Self::Possible,
        }
    }
}

/// Whom a finding is about. Empty fields do not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Subject {
    /// Client address, when it is one client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Server address, when it is one server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Server port, when it is one service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Transport protocol: `tcp`, `udp`, `icmp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
    /// DNS name, server name, file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `to_server` or `to_client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Capture interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

impl Subject {
    /// What all of a case have in common: the client, the server or the service, the name.
    pub fn of<C>(case: &Case<C>) -> Self {
        let affected = &case.affected;
        Self {
            client: affected.clients.only().map(ToString::to_string),
            server: affected.server_address().map(|address| address.to_string()),
            port: case.server().map(|server| server.port),
            protocol: case.is_tcp().then_some("tcp"),
            name: affected.names.only().cloned(),
            ..Self::default()
        }
    }
}

/// What the finding cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Impact {
    /// Time that somebody waited, summed over connections, without overlaps inside a connection.
    pub seconds_lost: Span,
    /// Connections, lookups or handshakes that failed.
    pub failed_transactions: u64,
    /// Connections, lookups or handshakes judged for the same subject, healthy ones included: the
    /// denominator.
    pub of_transactions: u64,
    /// Distinct client addresses.
    pub clients: u64,
    /// Distinct services (server address and port).
    pub services: u64,
}

/// A finding, as a detector states it. Ids, files, frames and the display filter are added by the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The detector's name.
    pub detector: &'static str,
    /// Variant of the detector, snake_case; empty when it has none.
    pub variant: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// How sure it is, gates applied.
    pub confidence: Confidence,
    /// What lowered the confidence.
    pub gates: Vec<Gate>,
    /// A headline without a full stop.
    pub title: String,
    /// What the frames show, in one to three sentences; no causes.
    pub summary: String,
    /// Whom it is about.
    pub subject: Subject,
    /// Whom and what it covers.
    pub scope: Scope,
    /// First packet's time.
    pub first_seen: Option<Timestamp>,
    /// Last packet's time.
    pub last_seen: Option<Timestamp>,
    /// The numbers behind the summary.
    pub counts: Vec<Count>,
    /// What it cost.
    pub impact: Impact,
    /// The packets that prove it, in packet order, at most [`Evidence::MOST`]. The report cites their frames
    /// instead.
    #[serde(skip)]
    pub evidence: Vec<Evidence>,
    /// Explanations that fit the frames, the likeliest first.
    pub alternatives: Vec<&'static str>,
    /// What to do next to confirm or to refute.
    pub next_steps: Vec<&'static str>,
    /// What the frames do not show and the finding does not say.
    pub not_claimed: Vec<&'static str>,
}

impl Finding {
    /// `detector (variant)`, or the detector alone.
    pub fn rule(&self) -> String {
        match self.variant {
            "" => self.detector.to_owned(),
            variant => format!("{} ({variant})", self.detector),
        }
    }
}

/// Flows (or lookups, handshakes) that a detector could not judge, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotAssessed {
    /// The detector's name.
    pub detector: &'static str,
    /// Why, in a few words.
    pub reason: Cow<'static, str>,
    /// How many.
    pub count: u64,
    /// What is counted: `flows`, `lookups`, `handshakes`, `files`.
    pub unit: Cow<'static, str>,
}

/// What a detector says in the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// What it found.
    pub findings: Vec<Finding>,
    /// How many things it could judge: a "none found" is worth nothing without it.
    pub assessed: u64,
    /// What those things are: `flows`, `lookups`, `handshakes`, `packets`.
    pub unit: &'static str,
    /// What it could not judge.
    pub not_assessed: Vec<NotAssessed>,
}
