//! Faults of the recording that stand in the way of a finding, counted over the finding's flows.

use serde::{Deserialize, Serialize};

use crate::detect::{Context, Merge, percent, share};
use crate::dissect::Direction;
use crate::flow::{Flow, HandshakeOutcome};

/// Share of reported drops from which losses cannot be told from drops of the capture (pcaptriage's gate).
const DROPS: f64 = 0.001;

/// Share of a finding's flows from which a fault of their recording counts (Zeek's capture-loss threshold).
const FLOWS: f64 = 0.1;

/// A fault of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityIssue {
    /// The files report dropped packets.
    Drops,
    /// Only one direction was seen.
    OneWay,
    /// The same packet was recorded more than once.
    Copies,
    /// Acknowledged bytes were not recorded.
    Missed,
    /// Packets larger than any on the wire.
    SuperFrames,
    /// Packets were cut by the snapshot length.
    Clipped,
    /// The beginning was not recorded.
    Midstream,
    /// Packets are out of order in the file.
    Disorder,
}

/// How many issues there are.
const ISSUES: usize = 8;

impl QualityIssue {
    /// The detector of the capture group that reports it, what it prevents, how to capture again without it.
    fn sheet(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Drops => (
                "capture_loss",
                "the capture reports dropped packets: \
                 a packet that is missing here may have been on the wire",
                "capture with a larger buffer (tcpdump -B), a shorter snapshot length or a narrower filter",
            ),
            Self::OneWay => (
                "asymmetric_flow",
                "one direction was not seen: what the other side sent is unknown",
                "capture where both directions pass: at one of the hosts, or with both directions mirrored",
            ),
            Self::Copies => (
                "capture_duplicates",
                "the same packets were recorded several times: copies can pass for packets sent again",
                "capture on one interface, or mirror one direction of one port",
            ),
            Self::Missed => (
                "capture_loss",
                "acknowledged bytes are missing from the capture: it did not see every packet",
                "capture with a larger buffer (tcpdump -B), a shorter snapshot length or a narrower filter",
            ),
            Self::SuperFrames => (
                "capture_offload",
                "packets larger than the wire carries were recorded: \
                 sizes and counts on the wire are not known",
                "capture beside the host, or switch off segmentation offload while capturing (ethtool -K)",
            ),
            Self::Clipped => (
                "capture_truncated",
                "packets were cut by the snapshot length: their content is not known",
                "capture with an unlimited snapshot length (tcpdump -s 0)",
            ),
            Self::Midstream => (
                "capture_midstream",
                "connections were running when the capture began: \
                 their options and earlier packets are unknown",
                "start the capture before the connections are opened",
            ),
            Self::Disorder => (
                "capture_disorder",
                "packets are recorded out of order: short delays are not known",
                "capture with one receive queue or with hardware timestamps",
            ),
        }
    }

    /// What it prevents, with the numbers in brackets, as a gate of a finding.
    pub fn gate(self, numbers: &str) -> Gate {
        let (name, prevents, recapture) = self.sheet();
        Gate { issue: self, name, prevents: format!("{prevents} ({numbers})"), recapture }
    }
}

/// Something about the recording that lowered a finding's confidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Gate {
    /// What it is.
    pub issue: QualityIssue,
    /// The detector that reports it, e.g. `capture_loss`.
    pub name: &'static str,
    /// What it prevents, with numbers.
    pub prevents: String,
    /// How to capture again without it.
    pub recapture: &'static str,
}

/// Flows by what was wrong with their recording.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Quality {
    flows: u64,
    counts: [u64; ISSUES],
}

impl Quality {
    /// Takes a flow.
    pub fn add(&mut self, flow: &Flow) {
        use QualityIssue::*;
        self.flows += 1;
        let mut count = |issue: QualityIssue, holds: bool| self.counts[issue as usize] += u64::from(holds);
        count(OneWay, flow.is_one_way());
        count(Copies, flow.halves.iter().any(|half| half.copies * 10 >= half.packets && half.copies > 0));
        count(Clipped, flow.halves.iter().any(|half| half.clipped > 0));
        if let Some(tcp) = &flow.tcp {
            let sides = Direction::BOTH.map(|direction| tcp.side(direction));
            count(Missed, sides.iter().any(|side| side.missed_bytes > 0));
            count(SuperFrames, sides.iter().any(|side| side.super_frames > 0));
            count(Midstream, tcp.handshake.outcome == HandshakeOutcome::Midstream);
            count(Disorder, tcp.disorder > 0);
        }
    }

    /// Those of `issues` that stand in the way.
    pub fn gates(&self, context: &Context<'_>, issues: &[QualityIssue]) -> Vec<Gate> {
        issues.iter().filter_map(|issue| self.gate(context, *issue)).collect()
    }

    fn gate(&self, context: &Context<'_>, issue: QualityIssue) -> Option<Gate> {
        if issue == QualityIssue::Drops {
            let (drops, packets) = (context.reported_drops()?, context.totals.packets);
            let numbers = format!("{drops} packets, {}", percent(drops, drops + packets));
            return (share(drops, drops + packets) > DROPS).then(|| issue.gate(&numbers));
        }
        let count = self.counts[issue as usize];
        let counts = count > 0 && share(count, self.flows) >= FLOWS;
        counts.then(|| issue.gate(&format!("{count} of {} flows", self.flows)))
    }
}

impl Merge for Quality {
    fn absorb(&mut self, other: Self) {
        self.flows += other.flows;
        self.counts.absorb(other.counts);
    }
}
