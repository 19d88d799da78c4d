//! # What it finds
//! Packets that the capture holds more than once although they were sent once: a mirror of several ports, the `any`
//! interface, a packet recorded before and after a router or a tunnel.
//!
//! # Why it matters
//! Tools that do not know take the copies for retransmissions and duplicate acknowledgements.
//!
//! # How it decides
//! The flow engine compares headers, payload, identification and time stamps within a short interval and leaves copies
//! out of every count. This detector reports how many there were, from `least` copies and `share` of the packets on.
//!
//! # What it leaves alone
//! Real retransmissions, and repeated UDP or ARP packets, which applications do send twice.
//!
//! # What it does not claim
//! That anything was sent twice. It is information only: the counts elsewhere are without the copies.
//!
//! # References
//! RFC 6864 (identification says nothing for atomic datagrams); FIELD C0.3.

use crate::dissect::Direction;
use crate::detect::finding::counts;
use crate::detect::group::{EvidenceSample, Merge, Seen, exhibit, percent, plural, share};
use crate::detect::*;
use crate::flow::{EventKind, Flow};

/// Counts copies.
#[derive(Debug)]
pub(super) struct CaptureDuplicates {
    least: u64,
    share: f64,
    flows: u64,
    with_copies: u64,
    packets: u64,
    copies: u64,
    seen: Seen,
    exhibits: EvidenceSample,
}

impl Detector for CaptureDuplicates {
    const RULE: Rule = Rule {
        name: "capture_duplicates",
        group: "capture",
        summary: "packets recorded more than once",
        variants: &[],
        thresholds: &[
            Threshold {
                key: "least",
                default: 10.0,
                unit: "packets",
                meaning: "copies below this number are not worth a line",
                source: "judgement: a handful of copies changes no rate",
            },
            Threshold {
                key: "share",
                default: 0.001,
                unit: "share",
                meaning: "copies of all packets from which it is reported",
                source: "the same 0.1 % that pcaptriage allows for drops",
            },
        ],
        source: include_str!("capture_duplicates.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            least: settings.count("least"),
            share: settings.value("share"),
            flows: 0,
            with_copies: 0,
            packets: 0,
            copies: 0,
            seen: Seen::default(),
            exhibits: EvidenceSample::default(),
        }
    }

    fn flow(&mut self, flow: &Flow) {
        self.flows += 1;
        let copies: u64 = flow.halves.iter().map(|half| half.copies).sum();
        self.packets += copies + flow.halves.iter().map(|half| half.packets).sum::<u64>();
        if copies == 0 {
            return;
        }
        self.copies += copies;
        self.with_copies += 1;
        self.seen.add(flow.first.time);
        self.seen.add(flow.last.time);
        if let Some(tcp) = &flow.tcp {
            self.exhibits.add(0, flow.id, || {
                let copies = tcp.events.iter().filter(|event| event.kind == EventKind::DuplicateObservation);
                let pair = |event: &crate::flow::TcpEvent| {
                    let original = event.original.map(|at| exhibit(at, "original", ""));
                    let direction = match event.direction {
                        Direction::ToServer => "to server",
                        Direction::ToClient => "to client",
                    };
                    let fields = format!("{direction}, {} after the original", event.delay);
                    original.into_iter().chain([exhibit(event.at, "copy", fields)])
                };
                copies.take(2).flat_map(pair).collect()
            });
        }
    }

    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.with_copies += other.with_copies;
        self.packets += other.packets;
        self.copies += other.copies;
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
    }

    fn finish(self, _: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.flows, unit: "flows", ..Verdict::default() };
        if self.copies < self.least || share(self.copies, self.packets) < self.share {
            return verdict;
        }
        verdict.findings.push(Finding {
            title: format!("{} of the packets are copies", percent(self.copies, self.packets)),
            summary: format!(
                "{} in {} were recorded again and are left out of all counts.",
                plural(self.copies, "packet"),
                plural(self.with_copies, "flow"),
            ),
            first_seen: self.seen.first(),
            last_seen: self.seen.last(),
            counts: counts(&[
                ("copies", self.copies),
                ("packets", self.packets),
                ("flows_with_copies", self.with_copies),
            ]),
            evidence: self.exhibits.evidence(),
            alternatives: vec![
                "several ports, or both directions of two ports, are mirrored to one",
                "the capture was taken on the any interface: bridge, container and host each show the packet",
                "the capture point sees the packet before and after a router or tunnel",
            ],
            next_steps: vec!["capture on one interface, or mirror one direction of one port"],
            not_claimed: vec!["that any host sent a packet twice"],
            ..Finding::draft(&Self::RULE, "", Severity::Info, Confidence::Likely)
        });
        verdict
    }
}
