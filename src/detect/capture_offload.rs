//! # What it finds
//! Packets larger than any on the wire: the capture was taken on a host whose network card cuts and joins
//! segments.
//!
//! # Why it matters
//! Size and number of the packets on the wire are unknown in such a direction. Nothing can be said there on
//! path MTU, and a retransmission of a part of a large packet is normal.
//!
//! # How it decides
//! A segment has more payload than the maximum segment size (MSS) of the handshake allows, or its IP length
//! is zero.
//!
//! # What it leaves alone
//! Connections whose handshake was not seen: without the MSS a large segment may as well be a jumbo frame.
//!
//! # What it does not claim
//! A fault: offload is normal. It is information only.
//!
//! # References
//! RFC 9293 section 3.7.1 (MSS option); Linux kernel documentation, "Segmentation Offloads" (TSO, GSO, GRO).

use crate::detect::*;
use crate::flow::Flow;
use crate::humanize::grouped;

thresholds! {
    /// Counts super-frames.
    struct CaptureOffload {}
}

variants! {
    /// There is one kind.
    enum Kind {
        Offload "" Info {
            next: &[
                "capture beside the host, or switch off segmentation offload while capturing (ethtool -K)",
            ],
            not_claimed: &["that offload causes a fault", "sizes on the wire in these directions"],
        }
    }
}

counts! {
    /// What connections with offload show.
    struct Oversized {
        super_frames: u64,
        zero_length_packets: u64,
    }
}

counts! {
    /// All connections, with and without an MSS.
    struct Seen {
        flows: u64,
    }
}

impl Detector for CaptureOffload {
    const RULE: Rule = Rule {
        name: "capture_offload",
        group: Group::Capture,
        summary: "packets larger than the wire carries, made by segmentation offload",
        judges: "flows",
        variants: Kind::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("capture_offload.rs"),
    };
    type Variant = Kind;
    type Key = ();
    type Counts = Oversized;
    type Total = ();
    type Notes = Seen;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        book.notes.flows += 1;
        if tcp.sides.iter().any(|side| side.mss.is_some()) {
            book.judged(&());
        } else {
            book.not_judged("no maximum segment size seen");
        }
        let super_frames: u64 = tcp.sides.iter().map(|side| side.super_frames).sum();
        let zero_length: u64 = flow.halves.iter().map(|half| u64::from(half.zero_length)).sum();
        let Some(case) = (super_frames + zero_length > 0).then(|| book.case(())).flatten() else { return };
        case.flow(flow, [flow.first, flow.last]);
        case.counts.super_frames += super_frames;
        case.counts.zero_length_packets += zero_length;
    }

    fn judge(
        &self,
        (): &(),
        case: &Case<Oversized>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Kind>> {
        let (affected, flows) = (case.flows(), book.notes.flows);
        let title = format!("Segmentation offload in {}", plural(affected, "connection"));
        let kinds = [
            (case.counts.super_frames, "with more payload than the MSS allows"),
            (case.counts.zero_length_packets, "with an IP length of zero"),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        let named = |(count, what): &(u64, &str)| format!("{} {what}", plural(*count, "packet"));
        let summary = format!(
            "The capture holds {}, in {} of {} ({}). Packet sizes are not judged in those directions.",
            kinds.map(named).collect::<Vec<_>>().join(" and "),
            grouped(affected),
            plural(flows, "connection"),
            percent(affected, flows),
        );
        let draft = Draft::new(Kind::Offload, title, summary);
        Some(draft.count("flows_affected", affected).count("flows", flows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_scene, in_traffic, says_nothing};
    use crate::support::capture::Capture;

    const NAME: &str = CaptureOffload::RULE.name;

    #[test]
    fn it_fires() {
        let findings = in_scene(NAME, "capture_offload");
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        assert_eq!((findings[0].counts[0].name, findings[0].scope.flows.count), ("super_frames", 1));
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy", "healthy_vxlan", "mtu_blackhole_silent", "capture_midstream"]);
    }

    /// Segments of 14 480 bytes are super-frames under an MSS of 1460. Without one they may be jumbo frames.
    #[test]
    fn without_a_handshake_large_segments_are_left_alone() {
        for seen in [true, false] {
            let findings = in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (9, 8080), 10, [5, 7_000]);
                talk.offload = 10;
                let mut before = Capture::default();
                talk.handshake(if seen { &mut lab.capture } else { &mut before });
                talk.exchange(&mut lab.capture, b"GET /film HTTP/1.0\r\n\r\n", 33_000);
            });
            assert_eq!(findings.len(), usize::from(seen), "{findings:#?}");
        }
    }
}
