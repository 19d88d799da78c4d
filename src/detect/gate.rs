//! What of the capture's quality stood in the way of a finding, counted over the flows the finding is about.

use crate::detect::group::{Merge, percent, share};
use crate::detect::{Context, Gate};
use crate::dissect::Direction;
use crate::flow::{Flow, HandshakeOutcome};

/// Share of reported drops from which losses cannot be told from drops of the capture (pcaptriage's gate).
const DROPS: f64 = 0.001;

/// Share of a finding's flows from which a defect of their recording counts (Zeek's capture-loss threshold).
const FLOWS: f64 = 0.1;

/// A defect of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
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

/// Flows by what was wrong with their recording.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Obstacles {
    flows: u64,
    counts: [u64; 8],
}

impl Obstacles {
    pub(super) fn add(&mut self, flow: &Flow) {
        use Obstacle::*;
        self.flows += 1;
        let mut count = |obstacle: Obstacle, holds: bool| self.counts[obstacle as usize] += u64::from(holds);
        count(OneWay, flow.is_one_way());
        count(Copies, flow.halves.iter().any(|half| half.copies * 10 >= half.packets && half.copies > 0));
        count(Clipped, flow.halves.iter().any(|half| half.clipped > 0));
        if let Some(tcp) = &flow.tcp {
            let side = |direction: Direction| tcp.side(direction);
            let sides = [side(Direction::ToServer), side(Direction::ToClient)];
            count(Missed, sides.iter().any(|side| side.missed_bytes > 0));
            count(SuperFrames, sides.iter().any(|side| side.super_frames > 0));
            count(Midstream, tcp.handshake.outcome == HandshakeOutcome::Midstream);
            count(Disorder, tcp.disorder > 0);
        }
    }

    /// Those of `which` that stand in the way.
    pub(super) fn gates(&self, context: &Context<'_>, which: &[Obstacle]) -> Vec<Gate> {
        which.iter().filter_map(|obstacle| self.gate(context, *obstacle)).collect()
    }

    fn gate(&self, context: &Context<'_>, obstacle: Obstacle) -> Option<Gate> {
        if obstacle == Obstacle::Drops {
            let (drops, packets) = (context.reported_drops()?, context.totals.packets);
            return (share(drops, drops + packets) > DROPS).then(|| Gate {
                name: "capture_loss",
                prevents: format!(
                    "the capture reports {drops} dropped packets ({}): a packet that is missing here may have been on the wire",
                    percent(drops, drops + packets)
                ),
                recapture: "capture with a larger buffer (tcpdump -B), a shorter snapshot length or a narrower filter",
            });
        }
        let count = self.counts[obstacle as usize];
        if count == 0 || share(count, self.flows) < FLOWS {
            return None;
        }
        let (name, prevents, recapture) = match obstacle {
            Obstacle::OneWay => (
                "asymmetric_flow",
                "one direction was not seen: what the other side sent is unknown",
                "capture where both directions pass: at one of the hosts, or with both directions mirrored",
            ),
            Obstacle::Copies => (
                "capture_duplicates",
                "the same packets were recorded several times: copies can pass for packets sent again",
                "capture on one interface, or mirror one direction of one port",
            ),
            Obstacle::Missed => (
                "capture_loss",
                "acknowledged bytes are missing from the capture: it did not see every packet",
                "capture with a larger buffer (tcpdump -B), a shorter snapshot length or a narrower filter",
            ),
            Obstacle::SuperFrames => (
                "capture_offload",
                "packets larger than the wire carries were recorded: sizes and counts on the wire are not known",
                "capture beside the host, or switch off segmentation offload while capturing (ethtool -K)",
            ),
            Obstacle::Clipped => (
                "capture_truncated",
                "packets were cut by the snapshot length: their content is not known",
                "capture with an unlimited snapshot length (tcpdump -s 0)",
            ),
            Obstacle::Midstream => (
                "capture_midstream",
                "connections were running when the capture began: their options and earlier packets are unknown",
                "start the capture before the connections are opened",
            ),
            Obstacle::Disorder | Obstacle::Drops => (
                "capture_disorder",
                "packets are recorded out of order: short delays are not known",
                "capture with one receive queue or with hardware timestamps",
            ),
        };
        let prevents = format!("{prevents} ({count} of {} flows)", self.flows);
        Some(Gate { name, prevents, recapture })
    }
}

impl Merge for Obstacles {
    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}
