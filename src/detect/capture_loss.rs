//! # What it finds
//! Packets that were on the wire and are not in the capture: those the recorder says it dropped (interface statistics,
//! per-packet drop counters), and bytes that a receiver acknowledged and the capture never showed.
//!
//! # Why it matters
//! A packet that is missing here looks like one lost in the network. With enough of them, every statement on loss,
//! silence and stalls is in doubt.
//!
//! # How it decides
//! `reported`: the files' own counters. At or above `drop_share` of all packets it is a warning.
//! `missed`: acknowledged bytes that were never seen, of all payload bytes. At or above `missed_share` it is a warning;
//! any smaller number is information.
//!
//! # What it leaves alone
//! Flows of which only one direction was recorded: there the other direction is missing by design (see
//! `asymmetric_flow`). A format that has no counters says nothing, which is not zero.
//!
//! # What it does not claim
//! Where the packets went: the mirror port, the network card, the kernel buffer or the disk can each have dropped them.
//!
//! # References
//! pcapng interface statistics block; Zeek `policy/misc/capture-loss`; FIELD C0.2, C23.

use crate::capture::{FileReport, InterfaceReport};
use crate::detect::finding::counts;
use crate::detect::gate::Obstacles;
use crate::detect::group::{EvidenceSample, Merge, Seen, exhibit, percent, plural, share};
use crate::detect::*;
use crate::dissect::Direction;
use crate::flow::{EventKind, Flow};

/// Counts acknowledged bytes that were not recorded.
#[derive(Debug)]
pub(super) struct CaptureLoss {
    drop_share: f64,
    missed_share: f64,
    flows: u64,
    one_way: u64,
    with_misses: u64,
    missed: u64,
    seen_bytes: u64,
    seen: Seen,
    exhibits: EvidenceSample,
    obstacles: Obstacles,
}

impl Detector for CaptureLoss {
    const RULE: Rule = Rule {
        name: "capture_loss",
        group: "capture",
        summary: "packets that were on the wire and are not in the capture",
        variants: &["reported", "missed"],
        thresholds: &[
            Threshold {
                key: "drop_share",
                default: 0.001,
                unit: "share",
                meaning: "reported drops of all packets, from which it is a warning",
                source: "pcaptriage: no loss finding above 0.1 % reported drops",
            },
            Threshold {
                key: "missed_share",
                default: 0.1,
                unit: "share",
                meaning: "unseen acknowledged bytes of all payload bytes, from which it is a warning",
                source: "Zeek CaptureLoss::too_much_loss, 10 %",
            },
        ],
        source: include_str!("capture_loss.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            drop_share: settings.value("drop_share"),
            missed_share: settings.value("missed_share"),
            flows: 0,
            one_way: 0,
            with_misses: 0,
            missed: 0,
            seen_bytes: 0,
            seen: Seen::default(),
            exhibits: EvidenceSample::default(),
            obstacles: Obstacles::default(),
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        if flow.is_one_way() {
            self.one_way += 1;
            return;
        }
        self.flows += 1;
        let sides = [tcp.side(Direction::ToServer), tcp.side(Direction::ToClient)];
        self.seen_bytes += sides.iter().map(|side| side.unique_bytes).sum::<u64>();
        let missed = sides.iter().map(|side| side.missed_bytes).sum::<u64>();
        if missed == 0 {
            return;
        }
        self.with_misses += 1;
        self.missed += missed;
        self.obstacles.add(flow);
        let events = || tcp.events.iter().filter(|event| event.kind == EventKind::AckedUnseen);
        events().for_each(|event| self.seen.add(event.at.time));
        self.exhibits.add(0, flow.id, || {
            let fields = |seq: u32, length: u32| format!("acknowledges {length} unseen bytes from seq {seq}");
            let packets = events().take(4);
            packets
                .map(|event| exhibit(event.at, "ack_of_unseen", fields(event.seq.0, event.length)))
                .collect()
        });
    }

    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.one_way += other.one_way;
        self.with_misses += other.with_misses;
        self.missed += other.missed;
        self.seen_bytes += other.seen_bytes;
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
        self.obstacles.merge(other.obstacles);
    }

    fn finish(self, context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.flows, unit: "flows", ..Verdict::default() };
        verdict.skip(&Self::RULE, "one direction only: what is missing cannot be told", self.one_way, "flows");
        let silent =
            |file: &&FileReport| file.interfaces.iter().all(|interface| interface.dropped().is_none());
        let silent_files = context.files.iter().filter(silent).count() as u64;
        verdict.skip(&Self::RULE, "the file does not say how many packets were dropped", silent_files, "files");
        verdict.findings.extend(self.reported(context));
        verdict.findings.extend(self.missed());
        verdict
    }
}

impl CaptureLoss {
    fn reported(&self, context: &Context<'_>) -> Option<Finding> {
        let dropped = context.reported_drops().filter(|dropped| *dropped > 0)?;
        let packets = context.totals.packets;
        let severity = self.severity(share(dropped, dropped + packets), self.drop_share);
        let drops = |interface: &&InterfaceReport| interface.dropped().is_some_and(|count| count > 0);
        let dropping: Vec<&InterfaceReport> = context.interfaces().filter(drops).collect();
        let received = dropping.iter().filter_map(|interface| interface.received).sum();
        let interface = match dropping.as_slice() {
            [one] => one.name.clone(),
            _ => None,
        };
        Some(Finding {
            title: format!("The recorder dropped {}", plural(dropped, "packet")),
            summary: format!(
                "The files count {} dropped on {} beside {packets} recorded ({} of all). \
                 Losses in the network cannot be told from these.",
                plural(dropped, "packet"),
                plural(dropping.len() as u64, "interface"),
                percent(dropped, dropped + packets),
            ),
            subject: Subject { interface, ..Subject::default() },
            first_seen: context.totals.first.unwrap_or_default(),
            last_seen: context.totals.last.unwrap_or_default(),
            counts: counts(&[
                ("packets_dropped", dropped),
                ("packets_recorded", packets),
                ("packets_received", received),
            ]),
            ..self.advice("reported", severity)
        })
    }

    fn missed(&self) -> Option<Finding> {
        let all = self.missed + self.seen_bytes;
        let severity = self.severity(share(self.missed, all), self.missed_share);
        (self.missed > 0).then(|| Finding {
            title: format!("{} acknowledged and never seen here", plural(self.missed, "byte")),
            summary: format!(
                "In {} of {} the receiver acknowledged bytes that are not in the capture: {} of {} payload bytes ({}). \
                 The packets reached the receiver and were not recorded.",
                self.with_misses,
                plural(self.flows, "connection"),
                self.missed,
                all,
                percent(self.missed, all),
            ),
            first_seen: self.seen.first(),
            last_seen: self.seen.last(),
            counts: counts(&[
                ("bytes_missed", self.missed),
                ("bytes_seen", self.seen_bytes),
                ("flows_with_misses", self.with_misses),
                ("flows", self.flows),
            ]),
            evidence: self.exhibits.evidence(),
            ..self.advice("missed", severity)
        })
    }

    fn severity(&self, share: f64, threshold: f64) -> Severity {
        if share >= threshold { Severity::Warning } else { Severity::Info }
    }

    fn advice(&self, variant: &'static str, severity: Severity) -> Finding {
        Finding {
            alternatives: vec![
                "the capture buffer was too small for the rate",
                "the mirror port carries more than its line rate",
                "the capture began or ended inside the connections",
            ],
            next_steps: vec![
                "capture again with a larger buffer (tcpdump -B), a shorter snapshot length or a narrower filter",
                "compare the drop counters of the mirror port and of the capturing host",
            ],
            not_claimed: vec!["that the network lost these packets", "where they were dropped"],
            ..Finding::draft(&Self::RULE, variant, severity, Confidence::Confirmed)
        }
    }
}
