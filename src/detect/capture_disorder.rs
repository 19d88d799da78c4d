//! # What it finds
//! Time that goes backwards in a file, packets recorded before those they answer, and files of one set that overlap.
//!
//! # Why it matters
//! Delays shorter than the disorder cannot be measured, and a packet that is recorded late looks reordered or lost.
//!
//! # How it decides
//! `steps`: a packet earlier than the one before it. It is a warning when the furthest step back reaches `step`.
//! `overlap`: a file begins before an earlier one ends; files are read one after the other, so connections in both are
//! out of order.
//!
//! # What it leaves alone
//! Steps back of micro- and milliseconds, which several receive queues cause: they are information, and the flow engine
//! repairs the order where an answer stands before its question.
//!
//! # What it does not claim
//! That packets were reordered in the network.
//!
//! # References
//! FIELD C0.5: a rule with a threshold below three times the disorder is not assessable; RFC 6298 (timers).

use crate::detect::finding::counts;
use crate::detect::group::{exhibit, plural};
use crate::detect::*;
use crate::flow::Flow;
use crate::time::Span;

/// Counts repaired packets; the rest is in the sums over the capture.
#[derive(Debug)]
pub(super) struct CaptureDisorder {
    step: Span,
    repaired: u64,
    flows: u64,
}

impl Detector for CaptureDisorder {
    const RULE: Rule = Rule {
        name: "capture_disorder",
        group: "capture",
        summary: "packets recorded out of order, clocks that step back, files that overlap",
        variants: &["steps", "overlap"],
        thresholds: &[Threshold {
            key: "step",
            default: 0.066,
            unit: "s",
            meaning: "furthest step back from which it is a warning",
            source: "a third of the shortest retransmission timer in use (Linux, 200 ms): FIELD C0.5",
        }],
        source: include_str!("capture_disorder.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self { step: settings.span("step"), repaired: 0, flows: 0 }
    }

    fn flow(&mut self, flow: &Flow) {
        let disorder = flow.tcp.as_ref().map_or(0, |tcp| tcp.disorder);
        self.repaired += u64::from(disorder);
        self.flows += u64::from(disorder > 0);
    }

    fn merge(&mut self, other: Self) {
        self.repaired += other.repaired;
        self.flows += other.flows;
    }

    fn finish(self, context: &Context<'_>) -> Verdict {
        let totals = context.totals;
        let mut verdict = Verdict { assessed: totals.packets, unit: "packets", ..Verdict::default() };
        let finding = |variant, severity| Finding {
            first_seen: totals.first.unwrap_or_default(),
            last_seen: totals.last.unwrap_or_default(),
            not_claimed: vec!["that the network reordered packets"],
            ..Finding::draft(&Self::RULE, variant, severity, Confidence::Confirmed)
        };
        if totals.backwards + self.repaired > 0 {
            let most = Span(totals.backwards_most);
            let severity = if most >= self.step { Severity::Warning } else { Severity::Info };
            let packets = totals.backwards_examples.iter();
            verdict.findings.push(Finding {
                title: match totals.backwards {
                    0 => format!("{} recorded before what they answer", plural(self.repaired, "packet")),
                    count => format!("Time goes backwards {} in the capture", plural(count, "time")),
                },
                summary: format!(
                    "{} of {} are earlier than the packet before them, by {most} at most; \
                     the order of {} in {} was repaired.",
                    totals.backwards,
                    plural(totals.packets, "packet"),
                    plural(self.repaired, "packet"),
                    plural(self.flows, "connection"),
                ),
                counts: counts(&[
                    ("steps_back", totals.backwards),
                    ("furthest_step_microseconds", totals.backwards_most.unsigned_abs() / 1000),
                    ("packets_repaired", self.repaired),
                    ("flows_repaired", self.flows),
                ]),
                evidence: packets.map(|at| exhibit(*at, "step_back", "earlier than the packet before it")).collect(),
                alternatives: vec![
                    "several receive queues or capture points were written to one file without sorting",
                    "the clock of the capturing host was set back",
                ],
                next_steps: vec![
                    "sort the file by time (reordercap) and analyse it again",
                    "capture with one receive queue or with hardware timestamps",
                ],
                ..finding("steps", severity)
            });
        }
        let overlaps: Vec<Span> = context.files.iter().filter_map(|file| file.overlap).collect();
        if let Some(longest) = overlaps.iter().max() {
            verdict.findings.push(Finding {
                title: format!(
                    "{} of the set overlap earlier ones in time",
                    plural(overlaps.len() as u64, "file")
                ),
                summary: format!(
                    "The longest overlap is {longest}. Files are read one after the other, so packets of connections that \
                     are in several of them are out of order.",
                ),
                counts: counts(&[("files_overlapping", overlaps.len() as u64)]),
                alternatives: vec![
                    "the files are from several capture points",
                    "the clock was set back between them",
                ],
                next_steps: vec![
                    "merge files of several capture points by time (mergecap) or analyse each alone",
                ],
                ..finding("overlap", Severity::Warning)
            });
        }
        verdict
    }
}
