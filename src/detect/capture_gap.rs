//! # What it finds
//! Times in which the capture recorded nothing while connections went on.
//!
//! # Why it matters
//! Overwritten ring buffers, files that are missing from a rotated set and stalled disks leave gaps. What
//! happened in a gap is not in the capture, and an incident may be.
//!
//! # How it decides
//! The capture holds no packet at all for at least `silence`. Within a second after it, connections that had
//! begun before acknowledge bytes that were never seen. Connections between the same two hosts are one
//! witness: one alone is information, because back-off and its own losses make such silences, too. One number
//! alone, which can be a FIN or a keep-alive, is no bytes. A clock
//! that cannot be right (see `capture_disorder`) shows no gap.
//!
//! # What it leaves alone
//! Files in which more is missing elsewhere than behind the silences: somebody chose the packets, or the
//! recorder lost some all the time (see `capture_loss`). Quiet times: nothing is missing after them. Only the
//! sixteen longest silences are looked at.
//!
//! # What it does not claim
//! That anything went wrong in the meantime, or why the capture stood still.
//!
//! # References
//! tcpdump(1) `-C` and `-W`, dumpcap(1) `-b` (files of a ring); Wireshark "ACKed unseen segment"; RFC 6298
//! section 2.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::detect::*;
use crate::dissect::PacketRef;
use crate::flow::{EventKind, Flow};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Counts connections by the second in which bytes of them turn out to be missing.
    struct CaptureGap {
        silence: Span = 1.0 "s",
            "time without any packet from which what is missing after it counts; at least one second",
            "RFC 6298 section 2.4: a sender with something to send does not wait longer for its first repeat";
    }
}

variants! {
    /// There is one kind.
    enum Kind {
        Gap "" Warning {
            could_be: &[
                "a file of a rotated set is missing",
                "a ring buffer was overwritten",
                "the capturing host stood still",
            ],
            next: &["look for the missing file", "capture with a larger buffer, or to a faster disk"],
            not_claimed: &["that anything went wrong meanwhile"],
        }
    }
}

counts! {
    /// What is missing.
    struct Missing {
        connections: Distinct<u64>,
        /// Pairs of hosts that they are between.
        host_pairs: Distinct<(IpAddr, IpAddr)>,
    }
}

/// Edges of gaps shown: the packets before and after the first few.
const SHOWN: usize = 4;

impl Detector for CaptureGap {
    const RULE: Rule = Rule {
        name: "capture_gap",
        group: Group::Capture,
        summary: "times in which nothing was recorded while connections went on",
        judges: "packets",
        variants: Kind::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("capture_gap.rs"),
    };
    /// Seconds kept: enough for four hours in which bytes are missing in every second.
    const CASES: usize = 1 << 14;
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Recording, &["capture_loss"])];
    type Variant = Kind;
    type Key = (i64,);
    type Counts = Missing;
    type Total = ();
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let missing = tcp.events.iter().filter(|event| {
            let before = event.at.time - flow.first.time >= Span::secs(1);
            event.kind == EventKind::AckedUnseen && event.length > 1 && before
        });
        let mut last = None;
        for event in missing {
            let second = second(event.at.time);
            if last.replace(second) == Some(second) {
                continue;
            }
            let Some(case) = book.case((second,)) else { continue };
            case.flow(flow, []);
            case.counts.connections.add(flow.id);
            case.counts.host_pairs.add((flow.client.address, flow.server.address));
            case.show(0, flow.id, || {
                let fields = format!("acknowledges {} unseen bytes from seq {}", event.length, event.seq.0);
                [Evidence::new(event.at, Role::AfterGap, fields)]
            });
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        if context.totals.clock_fault().is_some() {
            return Vec::new();
        }
        let mut gaps = context.totals.silences.clone();
        gaps.retain(|gap| length(gap) >= self.silence);
        gaps.retain(|gap| behind(gap).any(|second| book.find((second,)).is_some()));
        gaps.sort_by_key(|(before, _)| before.packet);
        let seconds: BTreeSet<i64> = gaps.iter().flat_map(behind).collect();
        let (after, elsewhere): (Vec<_>, Vec<_>) =
            book.take(|_, _| true).into_iter().partition(|(key, _)| seconds.contains(&key.0));
        let witnesses = |cases: &[((i64,), Case<Missing>)]| -> u64 {
            cases.iter().map(|(_, missing)| missing.flows()).sum()
        };
        if witnesses(&elsewhere) > witnesses(&after) {
            return Vec::new();
        }
        let mut case = Case::default();
        after.into_iter().for_each(|(_, missing)| case.absorb(missing));
        gaps.iter().for_each(|(before, after)| case.affected.active.add_range(before.time, after.time));
        draft(&gaps, &case.counts).map(|draft| (draft, case)).into_iter().collect()
    }

    fn assessed(&self, _: u64, context: &Context<'_>) -> u64 {
        context.totals.packets
    }
}

/// The packets before and after a time without any.
type Gap = (PacketRef, PacketRef);

fn length((before, after): &Gap) -> Span {
    after.time - before.time
}

/// The seconds in which bytes are missing because of a gap.
fn behind((_, after): &Gap) -> impl Iterator<Item = i64> + use<> {
    let first = second(after.time);
    [first, first + 1].into_iter()
}

fn second(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000_000)
}

fn draft(gaps: &[Gap], missing: &Missing) -> Option<Draft<Kind>> {
    let longest = gaps.iter().map(length).max()?;
    let all = gaps.iter().map(length).fold(Span::ZERO, |sum, one| sum + one);
    let title = format!("Nothing was recorded for {longest} while connections went on");
    let summary = format!(
        "The capture has {} without any packet, {all} in all. Right after, acknowledged bytes of {} \
         are missing.",
        plural(gaps.len() as u64, "gap"),
        missing.connections.of("connection"),
    );
    let edges = gaps.iter().take(SHOWN).flat_map(|(before, after)| {
        let before = Evidence::new(*before, Role::BeforeGap, "the last packet before");
        [before, Evidence::new(*after, Role::AfterGap, "the first packet after")]
    });
    let draft = Draft::new(Kind::Gap, title, summary)
        .count("gaps", gaps.len() as u64)
        .count("longest_milliseconds", longest.0.unsigned_abs() / 1_000_000)
        .show(edges);
    Some(match missing.host_pairs.count() {
        1 => draft.severity(Severity::Info).confidence(Confidence::Possible),
        _ => draft.confidence(Confidence::Likely),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_scene, in_traffic, one, says_nothing};
    use crate::support::filler;
    use crate::support::scenes::Lab;

    const NAME: &str = CaptureGap::RULE.name;

    #[test]
    fn it_fires() {
        let finding = one(&in_scene(NAME, "capture_gap"), "", Severity::Warning);
        assert_eq!(finding.confidence, Confidence::Likely);
        let first = finding.evidence.first().expect("shown");
        assert_eq!((first.role, Some(first.time)), (Role::BeforeGap, finding.first_seen));
        assert_eq!((finding.counts[0].name, finding.counts[0].value), ("connections", 4));
        assert_eq!((finding.scope.flows.count, finding.scope.intervals.len()), (4, 1));
    }

    /// Bytes that are missing without a silence, and silences after which nothing is missing.
    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy", "capture_loss_unseen", "missing_syn_ack_silent", "healthy_resets"]);
    }

    /// Exchanges every 400 ms for nine seconds by each of some clients.
    fn uploads(lab: &mut Lab, clients: u8) {
        for number in 0..clients {
            let mut talk = lab.talk(number, (9, 9000), 200 + u64::from(number) * 40, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            for round in 0..20 {
                talk.exchange(&mut lab.capture, &filler(round, 600), 120);
                talk.wait(400_000);
            }
        }
    }

    #[test]
    fn one_connection_alone_is_for_information_however_many_gaps_it_has() {
        let findings = in_traffic(NAME, |lab| {
            uploads(lab, 1);
            let recorded = |micros: u64| ![2, 3, 5, 6].contains(&(micros / 1_000_000));
            lab.capture.packets.retain(|packet| recorded(packet.micros));
        });
        let finding = one(&findings, "", Severity::Info);
        assert_eq!(finding.confidence, Confidence::Possible);
        let counts: Vec<_> = finding.counts.iter().map(|count| (count.name, count.value)).collect();
        assert_eq!(counts[..3], [("connections", 1), ("host_pairs", 1), ("gaps", 2)]);
        assert_eq!(finding.scope.flows.count, 1);
    }

    /// They share whatever disturbs the one path.
    #[test]
    fn connections_of_one_pair_of_hosts_are_one_witness() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..3 {
                let mut talk = lab.talk(7, (9, 9000 + number), 200 + u64::from(number) * 40, [30, 6_000]);
                talk.handshake(&mut lab.capture);
                for round in 0..20 {
                    talk.exchange(&mut lab.capture, &filler(round, 600), 120);
                    talk.wait(400_000);
                }
            }
            lab.capture.packets.retain(|packet| ![2, 3].contains(&(packet.micros / 1_000_000)));
        });
        let counts = one(&findings, "", Severity::Info).counts;
        let counts: Vec<_> = counts.iter().map(|count| (count.name, count.value)).collect();
        assert_eq!(counts[..2], [("connections", 3), ("host_pairs", 1)]);
    }

    /// Somebody wrote the packets with data to a file, and of those every other one.
    #[test]
    fn a_file_from_which_packets_were_picked_has_no_gaps() {
        for picked in [false, true] {
            let findings = in_traffic(NAME, |lab| {
                uploads(lab, 3);
                lab.capture.packets.retain(|packet| ![2, 3].contains(&(packet.micros / 1_000_000)));
                let mut number = 0;
                lab.capture.packets.retain(|packet| {
                    number += 1;
                    !picked || packet.frame.len() < 500 || number % 2 == 0
                });
            });
            assert_eq!(findings.is_empty(), picked, "{findings:#?}");
        }
    }

    #[test]
    fn a_pause_of_less_than_a_second_is_no_gap() {
        let findings = in_traffic(NAME, |lab| {
            uploads(lab, 3);
            lab.capture.packets.retain(|packet| !(3_000_000..3_600_000).contains(&packet.micros));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
