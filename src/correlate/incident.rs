//! An incident: what happened, to whom, since when, and which findings say so.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use crate::correlate::change::Change;
use crate::correlate::contrast::{Cleared, Contrast, Cost};
use crate::correlate::place::{Layer, Where};
use crate::detect::{Confidence, Finding, Members, Severity};
use crate::time::{Span, Timestamp};

/// What happened.
#[derive(Clone, Debug, Serialize)]
pub struct Incident {
    /// `I-01` for the first.
    pub id: String,
    /// Fingerprint of the rule and of what its findings share, to compare runs. No cut of the capture
    /// changes it.
    pub key: String,
    /// The weightiest of its findings.
    pub severity: Severity,
    /// How sure the root is.
    pub confidence: Confidence,
    /// The layer of the root.
    pub layer: Layer,
    /// A headline without a full stop.
    pub title: String,
    /// What happened, in two to four sentences.
    pub story: String,
    /// Where to look, as far as the frames tell.
    #[serde(rename = "where")]
    pub place: Where,
    /// Id of the finding that is nearest to the cause.
    pub root: String,
    /// Ids of the other findings that belong to it, in the order of their weight.
    pub symptoms: Vec<String>,
    /// Why each of them belongs to it.
    pub links: Vec<Link>,
    /// What sets the failing apart from the healthy, the strongest first.
    pub contrast: Vec<Contrast>,
    /// The moment from which its services were worse, where enough was measured on both sides of it.
    pub change: Option<Change>,
    /// What was measured on the same subject and is well.
    pub cleared: Vec<Cleared>,
    /// What the frames do not show.
    pub not_known: Vec<String>,
    /// Whom it reached.
    pub blast_radius: BlastRadius,
    /// What to do next.
    pub next_steps: Vec<String>,
    /// Place of the root among the findings.
    #[serde(skip)]
    pub root_place: usize,
    /// Places of the other findings that belong to it.
    #[serde(skip)]
    pub places: Vec<usize>,
    #[serde(skip)]
    pub(super) cost: Cost,
}

/// How a finding belongs to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tie {
    /// The same rule found the same thing, and they share something.
    Same,
    /// The incident explains it.
    Symptom,
    /// It is about the same flows; no rule says which of the two explains the other.
    Together,
}

/// Why a finding belongs to an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its id.
    pub finding: String,
    /// Its rule.
    pub detector: &'static str,
    /// How it belongs to the incident.
    pub tie: Tie,
    /// In a few words.
    pub why: String,
}

/// Whom an incident reached.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BlastRadius {
    /// Client addresses.
    pub clients: Members<IpAddr>,
    /// Services: server address and port.
    pub services: Members<String>,
    /// Names.
    pub names: Members<String>,
    /// Flows, of all findings of the root's rule.
    pub flows: u64,
    /// Connections, lookups or handshakes that failed.
    pub failed: u64,
    /// Connections, lookups or handshakes judged.
    pub of: u64,
    /// Time that somebody waited, seconds.
    pub seconds_lost: Span,
    /// First packet.
    pub since: Option<Timestamp>,
    /// Last packet.
    pub until: Option<Timestamp>,
    /// It had not ended when the capture did.
    pub going_on: bool,
}

impl BlastRadius {
    /// Of findings of one rule, in a capture from `first` to `last`.
    pub(super) fn of(findings: &[&Finding], capture: Option<(Timestamp, Timestamp)>) -> Self {
        let scopes = || findings.iter().map(|finding| &finding.scope);
        let impacts = || findings.iter().map(|finding| finding.impact);
        let until = findings.iter().filter_map(|finding| finding.last_seen).max();
        let mut clients = union(scopes().map(|scope| &scope.clients));
        // Some detectors count clients beyond the sample of the scope.
        clients.count = impacts().map(|impact| impact.clients).fold(clients.count, u64::max);
        Self {
            clients,
            services: union(scopes().map(|scope| &scope.servers)),
            names: union(scopes().map(|scope| &scope.names)),
            flows: scopes().map(|scope| scope.flows.count).sum(),
            failed: impacts().map(|impact| impact.failed_transactions).sum(),
            of: impacts().map(|impact| impact.of_transactions).sum(),
            seconds_lost: impacts().map(|impact| impact.seconds_lost).fold(Span::ZERO, |all, one| all + one),
            since: findings.iter().filter_map(|finding| finding.first_seen).min(),
            until,
            going_on: until.zip(capture).is_some_and(|(until, (first, last))| goes_on(until, first, last)),
        }
    }
}

impl BlastRadius {
    /// The same, with those whom it reached through its symptoms: the clients of a forwarder whose upstream
    /// does not answer. Where more failed through it than the root itself saw, that counts.
    pub(super) fn with(mut self, symptoms: &[&Finding], capture: Option<(Timestamp, Timestamp)>) -> Self {
        if symptoms.is_empty() {
            return self;
        }
        let beyond = Self::of(symptoms, capture);
        self.clients = union([&self.clients, &beyond.clients].into_iter());
        self.services = union([&self.services, &beyond.services].into_iter());
        self.names = union([&self.names, &beyond.names].into_iter());
        let failed = |symptom: &&Finding| {
            let impact = symptom.impact;
            (impact.failed_transactions, impact.of_transactions)
        };
        let most = symptoms.iter().map(failed).max().filter(|(failed, _)| *failed > self.failed);
        (self.failed, self.of) = most.unwrap_or((self.failed, self.of));
        self.since = self.since.into_iter().chain(beyond.since).min();
        self.until = self.until.into_iter().chain(beyond.until).max();
        self.going_on |= beyond.going_on;
        self
    }
}

/// The last of it is so near the end of the capture that nobody can say it was over: a twentieth of the
/// capture, or a second.
fn goes_on(until: Timestamp, first: Timestamp, last: Timestamp) -> bool {
    let lasts = last - first;
    let near = Span(lasts.0 / 20).max(Span::secs(1));
    lasts >= Span::secs(10) && last - until <= near
}

/// All of them together. Exact where every one is whole, else at least so many.
fn union<'m, T: Ord + Clone + 'm>(all: impl Iterator<Item = &'m Members<T>>) -> Members<T> {
    let all: Vec<&Members<T>> = all.collect();
    if let [only] = all.as_slice() {
        return (*only).clone();
    }
    let (mut members, mut most, mut whole) = (BTreeSet::new(), 0, true);
    for one in all {
        whole &= !one.at_least && one.count <= one.sample.len() as u64;
        most = most.max(one.count);
        members.extend(one.sample.iter().cloned());
    }
    let count = most.max(members.len() as u64);
    let sample = members.into_iter().take(Members::<u64>::MOST).collect();
    Members { count, at_least: !whole && count > 0, sample }
}
