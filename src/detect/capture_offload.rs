//! # What it finds
//! Packets larger than any on the wire: the capture was taken on a host whose network card cuts and joins segments.
//!
//! # Why it matters
//! The sizes and the number of packets on the wire are not known in such a direction, so nothing can be said there on
//! maximum packet sizes, and repeats of a part of a large packet are normal.
//!
//! # How it decides
//! A segment with more payload than the maximum segment size of the handshake allows, or an IP length of zero.
//!
//! # What it leaves alone
//! Flows whose handshake was not seen: without the maximum segment size a large segment may be a jumbo frame.
//!
//! # What it does not claim
//! A fault: offload is normal. It is information only.
//!
//! # References
//! RFC 9293 section 3.7.1; FIELD C0.4.

use crate::detect::finding::counts;
use crate::detect::group::{Merge, Seen, percent, plural};
use crate::detect::*;
use crate::flow::Flow;

/// Counts super-frames.
#[derive(Debug, Default)]
pub(super) struct CaptureOffload {
    flows: u64,
    without_size: u64,
    affected: u64,
    super_frames: u64,
    zero_length: u64,
    seen: Seen,
}

impl Detector for CaptureOffload {
    const RULE: Rule = Rule {
        name: "capture_offload",
        group: "capture",
        summary: "packets larger than the wire carries, made by segmentation offload",
        variants: &[],
        thresholds: &[],
        source: include_str!("capture_offload.rs"),
    };

    fn new(_: &Settings) -> Self {
        Self::default()
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        self.flows += 1;
        self.without_size += u64::from(tcp.sides.iter().all(|side| side.mss.is_none()));
        let super_frames: u64 = tcp.sides.iter().map(|side| side.super_frames).sum();
        let zero_length: u64 = flow.halves.iter().map(|half| half.zero_length).sum();
        self.super_frames += super_frames;
        self.zero_length += zero_length;
        if super_frames + zero_length > 0 {
            self.affected += 1;
            self.seen.add(flow.first.time);
            self.seen.add(flow.last.time);
        }
    }

    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.without_size += other.without_size;
        self.affected += other.affected;
        self.super_frames += other.super_frames;
        self.zero_length += other.zero_length;
        self.seen.merge(other.seen);
    }

    fn finish(self, _: &Context<'_>) -> Verdict {
        let mut verdict =
            Verdict { assessed: self.flows - self.without_size, unit: "flows", ..Verdict::default() };
        verdict.skip(&Self::RULE, "no maximum segment size seen", self.without_size, "flows");
        if self.affected == 0 {
            return verdict;
        }
        verdict.findings.push(Finding {
            title: format!("{} show segmentation offload", plural(self.affected, "connection")),
            summary: format!(
                "{} larger than the wire carries and {} without a length of their own, in {} of the connections. \
                 Packet sizes are not judged in those directions.",
                plural(self.super_frames, "packet"),
                self.zero_length,
                percent(self.affected, self.flows),
            ),
            first_seen: self.seen.first(),
            last_seen: self.seen.last(),
            counts: counts(&[
                ("super_frames", self.super_frames),
                ("zero_length_packets", self.zero_length),
                ("flows_affected", self.affected),
                ("flows", self.flows),
            ]),
            next_steps: vec![
                "capture beside the host, or switch off segmentation offload while capturing (ethtool -K)",
            ],
            not_claimed: vec!["that offload causes a fault", "sizes on the wire in these directions"],
            ..Finding::draft(&Self::RULE, "", Severity::Info, Confidence::Confirmed)
        });
        verdict
    }
}
