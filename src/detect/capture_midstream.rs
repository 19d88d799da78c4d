//! # What it finds
//! TCP connections that were already running when the capture began.
//!
//! # Why it matters
//! Without the handshake the window scale, the maximum segment size and who opened the connection are not known.
//!
//! # How it decides
//! The share of TCP connections without a SYN or SYN-ACK, from `share` on.
//!
//! # What it leaves alone
//! Small shares: every capture of a running system has some.
//!
//! # What it does not claim
//! A fault: it is information only.
//!
//! # References
//! RFC 7323 section 2.2 (the scale is told in the SYN only); FIELD C0.6.

use crate::detect::finding::counts;
use crate::detect::group::{Merge, Seen, percent, plural, share};
use crate::detect::*;
use crate::flow::{Flow, HandshakeOutcome};

/// Counts connections without a handshake.
#[derive(Debug)]
pub(super) struct CaptureMidstream {
    share: f64,
    flows: u64,
    midstream: u64,
    inferred: u64,
    seen: Seen,
}

impl Detector for CaptureMidstream {
    const RULE: Rule = Rule {
        name: "capture_midstream",
        group: "capture",
        summary: "connections that were running when the capture began",
        variants: &[],
        thresholds: &[Threshold {
            key: "share",
            default: 0.1,
            unit: "share",
            meaning: "connections without a handshake from which it is reported",
            source: "judgement: one in ten changes what the other findings can say",
        }],
        source: include_str!("capture_midstream.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self { share: settings.value("share"), flows: 0, midstream: 0, inferred: 0, seen: Seen::default() }
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        self.flows += 1;
        if tcp.handshake.outcome == HandshakeOutcome::Midstream && tcp.handshake.syn_ack_count == 0 {
            self.midstream += 1;
            self.inferred += u64::from(flow.roles != crate::flow::Roles::Handshake);
            self.seen.add(flow.first.time);
            self.seen.add(flow.last.time);
        }
    }

    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.midstream += other.midstream;
        self.inferred += other.inferred;
        self.seen.merge(other.seen);
    }

    fn finish(self, _: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.flows, unit: "flows", ..Verdict::default() };
        if self.midstream == 0 || share(self.midstream, self.flows) < self.share {
            return verdict;
        }
        verdict.findings.push(Finding {
            title: format!(
                "{} of the connections were running before the capture",
                percent(self.midstream, self.flows)
            ),
            summary: format!(
                "{} of {} have no handshake in the capture; in {} client and server were told apart by port or first \
                 packet. Window scale and maximum segment size are unknown there.",
                self.midstream,
                plural(self.flows, "connection"),
                self.inferred,
            ),
            first_seen: self.seen.first(),
            last_seen: self.seen.last(),
            counts: counts(&[
                ("flows_midstream", self.midstream),
                ("flows_with_inferred_roles", self.inferred),
                ("flows", self.flows),
            ]),
            next_steps: vec!["start the capture before the connections are opened, or restart the client"],
            not_claimed: vec!["that these connections failed to open"],
            ..Finding::draft(&Self::RULE, "", Severity::Info, Confidence::Confirmed)
        });
        verdict
    }
}
