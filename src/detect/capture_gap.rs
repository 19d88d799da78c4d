//! # What it finds
//! Times in which the capture recorded nothing while connections went on.
//!
//! # Why it matters
//! Ring buffers that were overwritten, files that are missing from a rotated set and stalled disks leave holes. What happened in
//! one is not in the capture, and an incident may be.
//!
//! # How it decides
//! No packet at all for at least `silence`, and within a second after it a connection that had begun before acknowledges bytes
//! that were never seen. One such connection alone is for information: it may have lost them in the capture otherwise.
//!
//! # What it leaves alone
//! Quiet times: nothing is missing after them. Only the sixteen longest silences are looked at.
//!
//! # What it does not claim
//! That anything went wrong in the meantime, or why the capture stood still.
//!
//! # References
//! FIELD C23 (ring holes).

use crate::detect::finding::counts;
use crate::detect::group::{EvidenceSample, Groups, Merge, exhibit, plural};
use crate::detect::*;
use crate::flow::EventKind;
use crate::time::{Span, Timestamp};

/// What was missing within one second.
#[derive(Clone, Debug, Default)]
struct Missing {
    flows: u64,
    exhibits: EvidenceSample,
}

impl Merge for Missing {
    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.exhibits.merge(other.exhibits);
    }
}

/// Counts connections by the second in which bytes of them turn out to be missing.
#[derive(Debug)]
pub(super) struct CaptureGap {
    silence: Span,
    packets: u64,
    seconds: Groups<i64, Missing>,
}

impl Detector for CaptureGap {
    const RULE: Rule = Rule {
        name: "capture_gap",
        group: "capture",
        summary: "times in which nothing was recorded while connections went on",
        variants: &[],
        thresholds: &[Threshold {
            key: "silence",
            default: 1.0,
            unit: "s",
            meaning: "time without any packet from which what is missing after it counts; at least one second",
            source: "RFC 6298 section 2.4: a sender with something to send does not wait longer for its first repeat",
        }],
        source: include_str!("capture_gap.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            silence: settings.span("silence"),
            packets: 0,
            seconds: Groups::new(Groups::<i64, Missing>::MOST * 16),
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        let missing = tcp.events.iter().filter(|event| {
            event.kind == EventKind::AckedUnseen
                && event.at.time - flow.first.time >= Span::secs(1)
        });
        let mut last = None;
        for event in missing {
            let second = second(event.at.time);
            if last.replace(second) == Some(second) {
                continue;
            }
            let Some(missing) = self.seconds.observe(second) else { continue };
            missing.flows += 1;
            missing.exhibits.add(0, flow.id, || vec![exhibit(event.at, "after_gap", event.kind.name())]);
        }
    }

    fn packet(&mut self, _: &PacketRecord) {
        self.packets += 1;
    }

    fn merge(&mut self, other: Self) {
        self.packets += other.packets;
        self.seconds.merge(other.seconds);
    }

    fn finish(self, context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.packets, unit: "packets", ..Verdict::default() };
        verdict.skip(&Self::RULE, "more seconds than are kept apart", self.seconds.lost(), "flows");
        let mut holes: Vec<_> = context.totals.silences.clone();
        holes.sort_by_key(|(before, _)| before.packet);
        let (mut found, mut length, mut longest) = (Missing::default(), Span::ZERO, Span::ZERO);
        let mut ends = Vec::new();
        for (before, after) in holes {
            let hole = after.time - before.time;
            let mut missing = Missing::default();
            let first = second(after.time);
            [first, first + 1].iter().filter_map(|second| self.seconds.get(second)).for_each(|one| missing.merge(one.clone()));
            if hole < self.silence || missing.flows == 0 {
                continue;
            }
            (length, longest) = (length + hole, longest.max(hole));
            found.merge(missing);
            ends.push((before, after));
        }
        let Some(((first, _), (_, last))) = ends.first().zip(ends.last()) else { return verdict };
        let mut evidence = found.exhibits.evidence();
        let edges = ends.iter().take(4).flat_map(|(before, after)| {
            [exhibit(*before, "before_gap", "the last packet before"), exhibit(*after, "after_gap", "the first packet after")]
        });
        evidence.splice(0..0, edges);
        evidence.sort();
        evidence.dedup_by_key(|one| one.packet);
        evidence.truncate(Finding::MAX_EVIDENCE);
        verdict.findings.push(Finding {
            title: format!("Nothing was recorded for {longest} while connections went on"),
            summary: format!(
                "{} without any packet, {length} in all; bytes of {} are missing right after.",
                plural(ends.len() as u64, "time"),
                plural(found.flows, "connection"),
            ),
            first_seen: first.time,
            last_seen: last.time,
            counts: counts(&[
                ("gaps", ends.len() as u64),
                ("connections", found.flows),
                ("longest_milliseconds", longest.0.unsigned_abs() / 1_000_000),
            ]),
            evidence,
            alternatives: vec![
                "a file of a rotated set is missing",
                "a ring buffer was overwritten",
                "the capturing host stood still",
            ],
            next_steps: vec!["look for the missing file", "capture with a larger buffer, or to a faster disk"],
            not_claimed: vec!["that anything went wrong meanwhile"],
            ..match found.flows {
                1 => Finding::draft(&Self::RULE, "", Severity::Info, Confidence::Possible),
                _ => Finding::draft(&Self::RULE, "", Severity::Warning, Confidence::Likely),
            }
        });
        verdict
    }
}

fn second(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000_000)
}
