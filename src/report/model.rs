//! The report: what `report.json` holds, in a fixed order and without a clock.
//!
//! Ids, files, frames and display filters are added here. The rest comes from detectors and reader.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::config::Config;
use crate::correlate::{self, Board, Cleared, Correlated, Facts, Incident, LayerState, Service, Timeline};
use crate::detect::{Evidence, Finding, NotAssessed, Rule, Severity, Verdict};
use crate::extract::Asked;
use crate::pipeline::{Capped, Outcome};
use crate::report::announced::Announced;
use crate::report::assessed::Assessed;
use crate::report::capture::{CaptureSummary, unread};
use crate::report::filter::{FrameFilter, frame_filters};
use crate::report::labels::Labels;
use crate::report::rank;
use crate::report::table::FileIndex;
use crate::time::Timestamp;

/// Version of `reports/report.schema.json`. The first number changes when a reader would break.
pub const SCHEMA_VERSION: &str = "3.0";

/// The report on a capture set.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: &'static str,
    /// What made it.
    pub tool: Tool,
    /// BLAKE3 of the configuration that can change results.
    pub config_hash: String,
    /// The answer in a word.
    pub verdict: Answer,
    /// What was looked at.
    pub capture: CaptureSummary,
    /// What happened, the weightiest first.
    pub incidents: Vec<CitedIncident>,
    /// The layers of the stack, bottom up.
    pub layers: Vec<LayerState>,
    /// What works on the whole, in numbers.
    pub cleared: Vec<Cleared>,
    /// How services fared, those with the most failed attempts first, at most [`Report::SERVICES`].
    pub services: Vec<Service>,
    /// Services beyond those listed; at least so many when there were more than are told apart.
    pub services_unlisted: u64,
    /// What happened at the listed services when: too much for `report.json`, and in a table of its own.
    #[serde(skip)]
    pub timeline: Timeline,
    /// What was found, the weightiest first.
    pub findings: Vec<RankedFinding>,
    /// Ids of the findings that belong to no incident.
    pub other: Vec<String>,
    /// Detectors that judged and found nothing.
    pub ruled_out: Vec<RuledOut>,
    /// What could not be judged, and why.
    pub not_assessed: Vec<NotAssessed>,
    /// Limits that acted.
    pub capped: Vec<Capped>,
    /// What people changed, when they told, in order of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub announced: Vec<Announced>,
    /// What people call the addresses that are shown, when they told.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// Name and version of this program.
#[derive(Clone, Debug, Serialize)]
pub struct Tool {
    /// Name.
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
}

/// The answer in a word, and what it rests on.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// The word.
    pub status: Status,
    /// The weightiest finding; no incident is weightier.
    pub worst: Option<Severity>,
    /// Incidents by severity.
    pub incidents: Counts,
    /// Findings by severity.
    pub counts: Counts,
    /// A limit acted: something may have been overlooked.
    pub degraded: bool,
    /// An input or a part of one could not be read.
    pub incomplete: bool,
    /// Why it is degraded or incomplete.
    pub reasons: Vec<String>,
    /// How much of the traffic was judged at all.
    pub assessed: Assessed,
}

/// The answer in a word. The weightiest applies: findings are named even when the capture was incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything was read, no limit acted, at least [`Assessed::LEAST`] of packets and bytes were judged,
    /// and nothing weightier than `info` was found.
    Clean,
    /// At least one warning or critical finding.
    Findings,
    /// Nothing was found, but a limit acted.
    Degraded,
    /// Nothing was found, but an input or a part of one could not be read.
    Incomplete,
    /// Nothing was found, but most of the traffic is nothing that a detector judges, or there is none.
    NotAssessed,
}

/// Findings, or incidents, by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Critical ones.
    pub critical: u64,
    /// Warnings.
    pub warning: u64,
    /// Worth knowing.
    pub info: u64,
}

/// A finding with its place in the ranking and its frames.
#[derive(Clone, Debug, Serialize)]
pub struct RankedFinding {
    /// `F-001` for the weightiest.
    pub id: String,
    /// Fingerprint of detector, variant and subject, to compare runs. No cut of the capture changes it.
    pub key: String,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// The frames that prove it.
    pub evidence: Vec<CitedFrame>,
    /// Shows exactly those frames, one filter per file.
    pub wireshark_filter: Vec<FrameFilter>,
}

/// An incident with the frames that prove it.
#[derive(Clone, Debug, Serialize)]
pub struct CitedIncident {
    /// What happened.
    #[serde(flatten)]
    pub incident: Incident,
    /// The frames of its findings, the root's first: one filter per file, which shows exactly those.
    pub evidence: Vec<Proof>,
    /// What people changed shortly before, the latest first, when they told. Not its cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed_before: Vec<Announced>,
}

/// The frames of a file that prove an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Path of the file as given.
    pub file: String,
    /// How many frames.
    pub frames: u64,
    /// Wireshark display filter that shows them.
    pub filter: String,
}

/// A packet that proves something, where a person can find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CitedFrame {
    /// Path of its file as given.
    pub file: String,
    /// Frame number in the file, as Wireshark counts.
    pub frame: u64,
    /// The packet, and what it is to the finding.
    #[serde(flatten)]
    pub packet: Evidence,
}

/// A detector that judged something and found nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuledOut {
    /// Its name.
    pub detector: &'static str,
    /// What it looks for.
    pub summary: &'static str,
    /// How many things it judged.
    pub assessed: u64,
    /// What those are: `flows`, `lookups`, `handshakes`, `packets`.
    pub unit: &'static str,
}

impl Report {
    /// Services listed.
    pub const SERVICES: usize = 256;

    /// The report on `outcome`, which was found with `config`.
    pub fn new(outcome: &Outcome, config: &Config) -> Self {
        let files = FileIndex::of(&outcome.files);
        let mut findings: Vec<Finding> =
            outcome.verdicts.iter().flat_map(|(_, verdict)| &verdict.findings).cloned().collect();
        findings.sort_by(rank::order);
        let capture = CaptureSummary::new(outcome);
        let facts = Facts {
            verdicts: &outcome.verdicts,
            capture: outcome.totals.first.zip(outcome.totals.last),
            packets: capture.packets,
            dropped: capture.dropped,
        };
        let Correlated { incidents, other, layers, cleared } =
            correlate::correlate(&findings, &outcome.board, &facts);
        let findings = ranked(findings, &files);
        let incidents: Vec<CitedIncident> =
            incidents.into_iter().map(|incident| CitedIncident::new(incident, &findings)).collect();
        let (services, services_unlisted) = services(&outcome.board);
        let mut timeline = outcome.board.timeline().clone();
        timeline.services.truncate(Self::SERVICES);
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
            config_hash: config.hash(),
            verdict: Answer::new(&incidents, &findings, outcome),
            capture,
            incidents,
            layers,
            cleared,
            services,
            services_unlisted,
            timeline,
            findings,
            other,
            ruled_out: outcome
                .verdicts
                .iter()
                .filter_map(|(rule, verdict)| ruled_out(rule, verdict))
                .collect(),
            not_assessed: outcome
                .verdicts
                .iter()
                .flat_map(|(_, verdict)| verdict.not_assessed.clone())
                .collect(),
            capped: outcome.capped.clone(),
            announced: Vec::new(),
            labels: Labels::default(),
        }
    }

    /// What packets an incident wants: the root's proof first.
    pub fn asked(&self, incident: &CitedIncident) -> Asked<'_> {
        let incident = &incident.incident;
        let places = std::iter::once(&incident.root_place).chain(&incident.places);
        let findings = places.filter_map(|place| self.findings.get(*place));
        let findings = findings.map(|ranked| (ranked.id.as_str(), &ranked.finding)).collect();
        Asked { id: incident.id.clone(), findings }
    }

    /// The finding of this id.
    pub fn finding(&self, id: &str) -> Option<&RankedFinding> {
        self.findings.iter().find(|finding| finding.id == id)
    }
}

fn services(board: &Board) -> (Vec<Service>, u64) {
    let mut services = board.services().to_vec();
    let beyond = services.len().saturating_sub(Report::SERVICES) as u64 + u64::from(board.is_full());
    services.truncate(Report::SERVICES);
    (services, beyond)
}

impl CitedIncident {
    /// Frames cited: more than a person looks at.
    const FRAMES: usize = 256;

    fn new(incident: Incident, findings: &[RankedFinding]) -> Self {
        let places = std::iter::once(&incident.root_place).chain(&incident.places);
        let cited = places.filter_map(|place| findings.get(*place)).flat_map(|finding| &finding.evidence);
        let frames: Vec<(&str, u64)> =
            cited.map(|cited| (cited.file.as_str(), cited.frame)).take(Self::FRAMES).collect();
        let proof = |FrameFilter { file, filter, .. }: FrameFilter| {
            let of_file = frames.iter().filter(|(path, _)| *path == file).map(|(_, frame)| *frame);
            let frames = of_file.collect::<BTreeSet<u64>>().len() as u64;
            Proof { file, frames, filter }
        };
        let evidence = frame_filters(frames.iter().copied()).into_iter().map(proof).collect();
        Self { incident, evidence, changed_before: Vec::new() }
    }

    /// When it began, as far as the capture shows: when its services were worse, else its first packet.
    pub fn onset(&self) -> Option<Timestamp> {
        let since = self.incident.blast_radius.since;
        let change = self.incident.change.as_ref().map(|change| change.at);
        since.into_iter().chain(change).min()
    }
}

fn ranked(findings: Vec<Finding>, files: &FileIndex) -> Vec<RankedFinding> {
    let mut keys: BTreeMap<String, u64> = BTreeMap::new();
    let mut ranked: Vec<RankedFinding> = Vec::with_capacity(findings.len());
    for (place, finding) in findings.into_iter().enumerate() {
        let mut key = rank::key(&finding);
        let seen = keys.entry(key.clone()).or_default();
        *seen += 1;
        // Two findings of one detector about one subject: the later ones are numbered.
        if *seen > 1 {
            key = format!("{key}-{seen}");
        }
        ranked.push(RankedFinding::new(correlate::finding_id(place), key, finding, files));
    }
    ranked
}

impl RankedFinding {
    fn new(id: String, key: String, finding: Finding, files: &FileIndex) -> Self {
        let cite = |packet: &Evidence| CitedFrame {
            file: files.file(packet.packet).to_owned(),
            frame: files.frame(packet.packet),
            packet: packet.clone(),
        };
        let evidence: Vec<CitedFrame> = finding.evidence.iter().map(cite).collect();
        let frames = evidence.iter().map(|cited| (cited.file.as_str(), cited.frame));
        Self { id, key, wireshark_filter: frame_filters(frames), evidence, finding }
    }
}

fn ruled_out(rule: &Rule, verdict: &Verdict) -> Option<RuledOut> {
    (verdict.findings.is_empty() && verdict.assessed > 0).then_some(RuledOut {
        detector: rule.name,
        summary: rule.summary,
        assessed: verdict.assessed,
        unit: verdict.unit,
    })
}

impl Counts {
    fn of(severities: impl Iterator<Item = Severity>) -> Self {
        let mut counts = Self::default();
        for severity in severities {
            match severity {
                Severity::Critical => counts.critical += 1,
                Severity::Warning => counts.warning += 1,
                Severity::Info => counts.info += 1,
            }
        }
        counts
    }
}

impl Answer {
    fn new(incidents: &[CitedIncident], findings: &[RankedFinding], outcome: &Outcome) -> Self {
        let assessed = Assessed::new(outcome);
        let worst = findings.iter().map(|ranked| ranked.finding.severity).max();
        let (mut reasons, capped) = (unread(outcome), &outcome.capped);
        let (incomplete, degraded) = (!reasons.is_empty(), !capped.is_empty());
        let empty = outcome.totals.packets == 0;
        if empty {
            reasons.push("there are no packets to judge".to_owned());
        }
        reasons.extend(capped.iter().map(|cap| format!("{}: {} over {}", cap.what, cap.count, cap.setting)));
        let status = match worst {
            Some(Severity::Warning | Severity::Critical) => Status::Findings,
            _ if incomplete => Status::Incomplete,
            _ if degraded => Status::Degraded,
            _ if empty || !assessed.is_enough() => Status::NotAssessed,
            _ => Status::Clean,
        };
        Self {
            status,
            worst,
            incidents: Counts::of(incidents.iter().map(|cited| cited.incident.severity)),
            counts: Counts::of(findings.iter().map(|ranked| ranked.finding.severity)),
            degraded,
            incomplete,
            reasons,
            assessed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{finding, outcome};

    #[test]
    fn findings_are_numbered_by_weight_and_cite_frames() {
        let report = Report::new(&outcome(), &Config::default());
        let ids: Vec<&str> = report.findings.iter().map(|finding| finding.id.as_str()).collect();
        assert_eq!(ids, ["F-001", "F-002"]);
        let first = &report.findings[0];
        assert_eq!(first.finding.severity, Severity::Critical);
        assert_eq!(first.evidence[0].file, "b.pcap");
        assert_eq!(first.evidence[0].frame, 2);
        assert_eq!(first.wireshark_filter[0].filter, "frame.number in {2, 4..6}");
        assert_eq!(report.verdict.worst, Some(Severity::Critical));
    }

    #[test]
    fn a_detector_that_judged_nothing_ruled_out_nothing() {
        let report = Report::new(&outcome(), &Config::default());
        let ruled_out: Vec<&str> = report.ruled_out.iter().map(|ruled_out| ruled_out.detector).collect();
        assert_eq!(ruled_out, ["quiet_rule"]);
    }

    #[test]
    fn the_word_is_clean_only_when_everything_was_read_and_judged() {
        let mut outcome = outcome();
        outcome.verdicts.iter_mut().for_each(|(_, verdict)| verdict.findings.clear());
        let status = |outcome: &Outcome| Report::new(outcome, &Config::default()).verdict.status;
        assert_eq!(status(&outcome), Status::Incomplete);
        outcome.files.iter_mut().for_each(|file| file.damages.clear());
        assert_eq!(status(&outcome), Status::Degraded);
        outcome.capped.clear();
        assert_eq!(status(&outcome), Status::Clean);
        outcome.verdicts[0].1.findings.push(Finding { severity: Severity::Info, ..finding("noisy_rule") });
        assert_eq!(status(&outcome), Status::Clean);
        outcome.verdicts[0].1.findings.push(finding("noisy_rule"));
        assert_eq!(status(&outcome), Status::Findings);
        outcome.verdicts.clear();
        outcome.totals.packets = 0;
        assert_eq!(status(&outcome), Status::NotAssessed, "an empty capture proves nothing");
    }

    #[test]
    fn keys_of_equal_subjects_are_told_apart() {
        let files = FileIndex::default();
        let findings = ranked(vec![finding("noisy_rule"), finding("noisy_rule")], &files);
        assert_eq!(findings[1].key, format!("{}-2", findings[0].key));
    }
}
