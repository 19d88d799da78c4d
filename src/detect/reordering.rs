//! # What it finds
//! Segments of a direction that arrive in another order than they were sent in; by service.
//!
//! # Why it matters
//! The receiver asks for what is only late. Three duplicate ACKs make a sender repeat it and slow down.
//!
//! # How it decides
//! A segment is reordered when it was sent once and comes after later ones: its timestamp or its IP
//! identification is older, or it comes within a quarter of the round-trip time and before a repeat could
//! (see `pcapsy events`). From `least` such segments on it is information. It is a warning when at least
//! `needless` repeats, and `share` of the direction's segments, were sent again without need in the same
//! connections, after duplicate ACKs. What comes from three networks to one client, and is no warning, is one
//! finding.
//!
//! # What it leaves alone
//! - Segments that fill a hole and may have been sent again: nothing tells which.
//! - Segments that are late by more than a second: a middlebox that changes numbers looks like that.
//! - Captures whose packets are not in the order of their times, and connections that were replayed.
//! - Segments that the recorder put behind the ACK that covers them (see `capture_disorder`).
//!
//! # What it does not claim
//! Which device reorders, or that the network does: a recorder with several queues can, too. When the
//! receiver repeats no ACK, nothing speaks against that.
//!
//! # References
//! RFC 4737 (packet reordering metrics); RFC 5681 section 3.2; RFC 8985 section 6.2.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::retransmission::is_replayed;
use crate::detect::scope::network;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{EventKind, Flow};
use crate::time::Span;

thresholds! {
    /// Counts reordered segments by service and direction.
    struct Reordering {
        least: u64 = 3.0 "segments",
            "reordered segments of a service in one direction, from which it is said",
            "RFC 5681: as many duplicate ACKs as make a sender repeat";
        needless: u64 = 20.0 "segments",
            "repeats without need, from which it is a warning",
            "Zeek's and ours: a handful costs nothing that anybody notices";
        share: f64 = 0.02 "share",
            "of the segments of the direction that these repeats are, from which it is a warning",
            "VIAVI calls 2 % of retransmissions excessive";
    }
}

variants! {
    /// There is one kind.
    enum Kind {
        Reordered "" Info {
            could_be: &[
                "packets of one connection take several paths (link aggregation, ECMP by packet)",
                "a device or a host handles one connection in several queues",
                "the recorder wrote several queues one after the other",
            ],
            next: &[
                "capture on the other side at the same time: is the order the same?",
                "look for balancing by packet on the path; balance by connection",
            ],
            not_claimed: &["which device reorders", "loss"],
            doubted_by: &[QualityIssue::Copies, QualityIssue::Disorder],
        }
    }
}

/// No path holds a packet back for longer while later ones pass. A judgement.
const LATE: Span = Span::secs(1);

/// Networks from which segments come to one receiver in another order, from which that is not on their ways.
const NETWORKS: usize = 3;

counts! {
    /// What a case counts beside its flows.
    struct Late {
        reordered: u64,
        /// Segments that were late, or sent again.
        ambiguous: u64,
        duplicate_acks: u64,
        /// Fast retransmissions that were proven unnecessary.
        needless: u64,
        longest_ns: Most,
    }
}

counts! {
    /// Segments of a service, by direction.
    struct Sent {
        segments: [u64; 2],
    }
}

impl Detector for Reordering {
    const RULE: Rule = Rule {
        name: "reordering",
        group: Group::Tcp,
        summary: "segments that overtake one another",
        judges: "flows",
        variants: Kind::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("reordering.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Flows, &["spurious_retransmission"])];
    type Variant = Kind;
    type Key = (Endpoint, Direction);
    type Counts = Late;
    type Total = Sent;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        if tcp.sides.iter().all(|side| side.data_segments == 0) {
            return;
        }
        if is_replayed(flow, tcp) {
            return book.not_judged("replayed: its SYN comes again behind its data");
        }
        if let Some(sent) = book.judged(&flow.server) {
            for (segments, side) in sent.segments.iter_mut().zip(&tcp.sides) {
                *segments += side.unique_segments;
            }
        }
        for direction in Direction::BOTH {
            let side = tcp.side(direction);
            if side.reordered == 0 {
                continue;
            }
            let of_kind = |kind| {
                let own = tcp.events.iter().filter(move |event| event.direction == direction);
                own.filter(move |event| event.kind == kind)
            };
            if of_kind(EventKind::Reordered).any(|event| event.delay > LATE) {
                book.not_judged("late by more than a second: other numbers, and not another order");
                continue;
            }
            let Some(case) = book.case((flow.server, direction)) else { continue };
            case.flow_events(flow, of_kind(EventKind::Reordered).map(|event| event.at));
            let counts = &mut case.counts;
            counts.reordered += side.reordered;
            counts.ambiguous += side.late_ambiguous;
            counts.duplicate_acks += tcp.side(direction.reverse()).duplicate_acks;
            let fast = of_kind(EventKind::FastRetransmission);
            counts.needless += fast.filter(|event| event.spurious.is_some()).count() as u64;
            of_kind(EventKind::Reordered)
                .for_each(|event| counts.longest_ns.add(event.delay.0.unsigned_abs()));
            case.show(-(side.reordered as i64), flow.id, || {
                let shown = of_kind(EventKind::Reordered).take(4).flat_map(|event| {
                    let above =
                        event.original.map(|at| Evidence::new(at, Role::Gap, "sent later, came first"));
                    let fields = format!("seq {}, {} late", event.seq.0, event.delay);
                    above.into_iter().chain([Evidence::new(event.at, Role::Arrived, fields)])
                });
                shown.collect::<Vec<_>>()
            });
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        if context.totals.backwards > 0 {
            let flows = book.take(|_, _| true).iter().map(|(_, case)| case.flows()).sum();
            book.not_judged_many("the packets of the file are not in the order of their times", flows);
        }
        let to = |(server, direction): &Self::Key, case: &Case<Late>| {
            let cheap = case.counts.needless < self.needless && case.counts.reordered >= self.least;
            let client =
                case.affected.clients.only().filter(|_| cheap && *direction == Direction::ToClient)?;
            Some((*client, network(server.address)))
        };
        let mut networks: BTreeMap<IpAddr, BTreeSet<IpAddr>> = BTreeMap::new();
        for (client, network) in book.cases().filter_map(|(key, case)| to(key, case)) {
            networks.entry(client).or_default().insert(network);
        }
        networks.retain(|_, networks| networks.len() >= NETWORKS);
        let receives = |key: &Self::Key, case: &Case<Late>| {
            to(key, case).map(|(client, _)| client).filter(|client| networks.contains_key(client))
        };
        book.group(1, receives).into_iter().map(one_receiver).collect()
    }

    fn judge(
        &self,
        (server, direction): &Self::Key,
        case: &Case<Late>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Kind>> {
        let late = &case.counts;
        if late.reordered < self.least {
            return None;
        }
        let segments = book.total(server).1.map_or(0, |sent| sent.segments[direction.index()]);
        let way = if *direction == Direction::ToServer { "to" } else { "from" };
        let noticed = noticed(late);
        let cost = match late.needless {
            0 => " Nothing was sent again for it.".to_owned(),
            count => format!(" Sent again without need: {}.", plural(count, "segment")),
        };
        let summary = format!(
            "{} of {} {way} {server} came after later ones, in {}, by {} at most.{noticed}{cost}",
            late.reordered,
            plural(segments, "segment"),
            plural(case.flows(), "connection"),
            Span(late.longest_ns.get() as i64),
        );
        let costs = late.needless >= self.needless && share(late.needless, segments) >= self.share;
        let title = format!("Segments {way} {server} overtake one another");
        Some(
            Draft::new(Kind::Reordered, title, summary)
                .severity(if costs { Severity::Warning } else { Severity::Info })
                .confidence(if late.duplicate_acks == 0 { Confidence::Possible } else { Confidence::Likely })
                .direction(*direction)
                .count("segments", segments),
        )
    }
}

fn noticed(late: &Late) -> String {
    match late.duplicate_acks {
        0 => " The receivers repeated no ACK for it.".to_owned(),
        count => format!(" The receivers sent {} meanwhile.", plural(count, "duplicate ACK")),
    }
}

/// What comes from several networks in another order shares its end alone: the line of the receiver, the
/// receiver, or the recorder.
fn one_receiver(group: CaseGroup<IpAddr, Late>) -> Concluded<Reordering> {
    let CaseGroup { by: client, cases, case } = group;
    let services = plural(cases, "service");
    let summary = format!(
        "{} of {services} to {client} came after later ones, in {}, by {} at most.{}",
        plural(case.counts.reordered, "segment"),
        plural(case.flows(), "connection"),
        Span(case.counts.longest_ns.get() as i64),
        noticed(&case.counts),
    );
    let title = format!("Segments of {services} to {client} overtake one another");
    let draft = Draft::new(Kind::Reordered, title, summary)
        .confidence(if case.counts.duplicate_acks == 0 { Confidence::Possible } else { Confidence::Likely })
        .direction(Direction::ToClient)
        .services(cases)
        .count("services", cases)
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be([
            "the receiving host, or the recorder, takes packets from several queues",
            "the receiver's line balances by packet",
        ]);
    (draft, case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one, says_nothing};
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, SERVER, Talk};

    const NAME: &str = Reordering::RULE.name;

    /// Downloads of five rounds each, in which one segment comes behind two later ones. When it is sent
    /// again for that, the receiver reports it twice.
    fn overtaken(lab: &mut Lab, flows: u64, asked: bool, again: bool) {
        for number in 0..flows {
            let mut talk = lab.talk(20 + number as u8, (81, 8080), 200 + number * 900, [30, 6_000]);
            pieces(lab, &mut talk, asked, again);
        }
    }

    /// One download of those.
    fn pieces(lab: &mut Lab, talk: &mut Talk, asked: bool, again: bool) {
        talk.handshake(&mut lab.capture);
        talk.wait(100);
        talk.send(&mut lab.capture, CLIENT, ACK, b"GET /big HTTP/1.1\r\n\r\n");
        talk.turn(CLIENT);
        for round in 0..5u32 {
            let late = talk.segment(SERVER, ACK, &filler(round, 900));
            talk.sent(&late);
            let above = talk.ends[SERVER].next;
            for piece in 0..4 {
                let segment = talk.segment(SERVER, ACK, &filler(9 + piece, 900));
                talk.record(&mut lab.capture, &segment);
                talk.sent(&segment);
                talk.wait(60);
                let edge = talk.ends[SERVER].next;
                if asked {
                    talk.ack(&mut lab.capture, CLIENT, &[(above, edge)]);
                }
            }
            talk.wait(200);
            talk.record(&mut lab.capture, &late);
            talk.catch_up(SERVER);
            talk.turn(SERVER);
            talk.ack(&mut lab.capture, CLIENT, &[]);
            if again {
                talk.wait(12_500);
                talk.resend(&mut lab.capture, &late);
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[(late.seq, late.seq.wrapping_add(900))]);
            }
            talk.wait(3_000);
        }
        talk.close(&mut lab.capture);
    }

    #[test]
    fn segments_that_are_overtaken_are_information() {
        let findings = in_traffic(NAME, |lab| overtaken(lab, 2, true, false));
        let finding = one(&findings, "", Severity::Info);
        assert!(finding.summary.starts_with("10 of 50 segments from"), "{}", finding.summary);
        assert!(finding.summary.contains("Nothing was sent again"), "{}", finding.summary);
    }

    #[test]
    fn what_only_the_capture_saw_is_possible() {
        let findings = in_traffic(NAME, |lab| overtaken(lab, 2, false, false));
        assert_eq!(one(&findings, "", Severity::Info).confidence, Confidence::Possible);
    }

    /// Servers of so many networks, and one client.
    #[test]
    fn what_is_reordered_from_everywhere_is_so_at_the_receiver() {
        for (networks, found) in [(2, 2), (3, 1)] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..networks {
                    let mut talk = lab.talk(20, (81, 8080), 200 + u64::from(number) * 900, [30, 6_000]);
                    talk.ends[SERVER].address = [198, 51, number, 7].into();
                    pieces(lab, &mut talk, true, false);
                }
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }

    #[test]
    fn a_single_late_segment_is_not_said() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(20, (81, 8080), 200, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            let late = talk.segment(CLIENT, ACK, &filler(1, 300));
            talk.sent(&late);
            talk.send(&mut lab.capture, CLIENT, ACK, &filler(2, 300));
            talk.record(&mut lab.capture, &late);
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn losses_and_the_order_of_the_recorder_are_not_it() {
        says_nothing(
            NAME,
            &["retransmission_fast", "retransmission_rto", "blind_ack_before_data", "blind_loss_before_fast"],
        );
    }
}
