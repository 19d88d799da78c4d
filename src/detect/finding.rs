//! A finding: what failed, between whom, how sure, which packets prove it, and what is not claimed.

use serde::Serialize;

use crate::detect::Rule;
use crate::time::{Span, Timestamp};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing failed.
    Info,
    /// Something was slower or failed in part.
    Warning,
    /// Something did not work.
    Critical,
}

/// How sure a finding is (FIELD C0.9).
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

/// Something about the capture that lowered a finding's confidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Gate {
    /// The detector of the capture group that stands behind it, e.g. `capture_loss`.
    pub name: &'static str,
    /// What it prevents, with numbers.
    pub prevents: String,
    /// How to capture again without it.
    pub recapture: &'static str,
}

/// Whom a finding is about. Empty fields do not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Subject {
    /// Client address, when it is one client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Server address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Server port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Transport protocol: `tcp`, `udp`, `icmp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
    /// DNS name, server name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `to_server` or `to_client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<crate::dissect::Direction>,
    /// Capture interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// A number that the finding states.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Count {
    /// snake_case name.
    pub name: &'static str,
    /// The number.
    pub value: u64,
}

/// What the finding cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Impact {
    /// Time that somebody waited, summed over connections, without overlaps inside a connection.
    pub seconds_lost: Span,
    /// Connections, lookups or handshakes that failed.
    pub failed_transactions: u64,
    /// Connections, lookups or handshakes looked at for the same subject: the denominator.
    pub of_transactions: u64,
    /// Distinct client addresses.
    pub clients: u64,
    /// Distinct services (server address and port).
    pub services: u64,
}

/// One packet that proves something. File and frame are filled in by the report from the ordinal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    /// Ordinal of the packet over the whole set.
    pub packet: u64,
    /// Its capture time.
    pub time: Timestamp,
    /// What the packet is to the finding: `original`, `trigger`, `retransmission`, `alert`, `query` ...
    pub role: &'static str,
    /// The fields that matter, in the field's words: `seq 1448, len 1448, DF`.
    pub fields: String,
}

/// A finding, as a detector states it. Ids, files, frames and the display filter are added by the report.
#[derive(Clone, Debug, PartialEq)]
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
    /// First packet's time.
    pub first_seen: Timestamp,
    /// Last packet's time.
    pub last_seen: Timestamp,
    /// The numbers behind the summary.
    pub counts: Vec<Count>,
    /// What it cost.
    pub impact: Impact,
    /// The frames that prove it, in packet order, at most [`Finding::MAX_EVIDENCE`].
    pub evidence: Vec<Evidence>,
    /// Explanations that fit the frames, the likeliest first.
    pub alternatives: Vec<&'static str>,
    /// What to do next to confirm or to refute.
    pub next_steps: Vec<&'static str>,
    /// What the frames do not show and the finding does not say.
    pub not_claimed: Vec<&'static str>,
}

impl Finding {
    /// Frames cited per finding.
    pub const MAX_EVIDENCE: usize = 24;

    /// An empty finding of a detector, for the detector to fill.
    pub(super) fn draft(
        rule: &Rule,
        variant: &'static str,
        severity: Severity,
        confidence: Confidence,
    ) -> Self {
        Self {
            detector: rule.name,
            variant,
            severity,
            confidence,
            gates: Vec::new(),
            title: String::new(),
            summary: String::new(),
            subject: Subject::default(),
            first_seen: Timestamp(0),
            last_seen: Timestamp(0),
            counts: Vec::new(),
            impact: Impact::default(),
            evidence: Vec::new(),
            alternatives: Vec::new(),
            next_steps: Vec::new(),
            not_claimed: Vec::new(),
        }
    }

    /// Lowers the confidence when something stands in the way of the finding.
    pub(super) fn gated(mut self, gates: Vec<Gate>) -> Self {
        if !gates.is_empty() {
            self.confidence = self.confidence.lowered();
        }
        self.gates = gates;
        self
    }
}

/// Counts from names and numbers; zeros are left out.
pub(super) fn counts(pairs: &[(&'static str, u64)]) -> Vec<Count> {
    pairs.iter().filter(|(_, value)| *value > 0).map(|&(name, value)| Count { name, value }).collect()
}

/// Flows (or lookups, handshakes) that a detector could not judge, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotAssessed {
    /// The detector's name.
    pub detector: &'static str,
    /// Why, in a few words.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// What is counted: `flows`, `lookups`, `handshakes`.
    pub unit: &'static str,
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

impl Verdict {
    /// Adds things that could not be judged; none is not worth a line.
    pub(super) fn skip(&mut self, rule: &Rule, reason: &'static str, count: u64, unit: &'static str) {
        if count > 0 {
            self.not_assessed.push(NotAssessed { detector: rule.name, reason, count, unit });
        }
    }
}
