//! # What it finds
//! Packets that go round: the same packet comes by on the same way again and again, with a lower TTL each
//! time.
//!
//! # Why it matters
//! Routers send a network to each other. What goes there never arrives, and every packet fills the link
//! dozens of times before its TTL ends.
//!
//! # How it decides
//! A packet with the same addresses, identification, length, transport header and payload was seen three
//! times or more with the same link addresses, VLAN and interface, and its TTL fell each time. Where the link
//! has no addresses, it takes six times. Packets are put together by the network that they were sent to.
//! - `persistent`: nothing of the destination followed. Information where no packet came by more than five
//!   times, none until its TTL ended, and no router says that it did: a loop lets go of none before.
//! - `transient`: the destination answered later, as when routes change. Information.
//!
//! # What it leaves alone
//! - Packets that a mirror recorded before and behind a router, or a router with one interface sends back to
//!   the same link: they are seen once on each way.
//! - Repeats of the sender: they have the TTL of the first.
//!
//! # What it does not claim
//! Which router is wrong: the capture shows the link, and not the routing tables.
//!
//! # References
//! RFC 791 section 3.2 (time to live), RFC 792 (time exceeded), RFC 1812 section 5.3.1.

use std::net::IpAddr;

use crate::detect::scope::network;
use crate::detect::*;
use crate::dissect::Direction;
use crate::flow::{Flow, Laps, Rung};

thresholds! {
    /// Counts packets that go round by the network they were sent to.
    struct RoutingLoop {}
}

variants! {
    /// What became of the conversation.
    enum Outcome {
        Persistent "persistent" Warning {
            could_be: &[
                "two routers have routes for the network that point at each other",
                "a network is announced that nobody has: its packets follow the default route back",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
        Transient "transient" Info {
            could_be: &["routers changed their routes one after the other"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
    }
}

const NEXT: &[&str] =
    &["trace the route to the network", "look at the routes for the network on both routers of the link"];
const NOT_CLAIMED: &[&str] = &["which router is wrong"];

counts! {
    /// What a case counts beside its flows.
    struct Rounds {
        /// Packets that went round.
        packets: u64,
        /// Sightings with a TTL of 1.
        died: u64,
        /// The most sightings of one packet on one way.
        most_sightings: Most,
        /// Routers of a lap.
        least_step: Least,
        most_step: Most,
        /// ICMP messages that say so.
        time_exceeded: u64,
        /// Where the packets were sent.
        destinations: Distinct<IpAddr, 64>,
    }
}

impl Rounds {
    /// Packets stayed in the loop until their TTL ended, or came by too often for what a host does that
    /// forwards its own packets to itself.
    fn ended(&self) -> bool {
        self.died > 0 || self.time_exceeded > 0 || self.most_sightings.get() >= 2 * u64::from(Laps::PROOF)
    }
}

impl Detector for RoutingLoop {
    const RULE: Rule = Rule {
        name: "routing_loop",
        group: Group::Path,
        summary: "packets that come by again and again with a falling TTL",
        judges: "flows",
        variants: Outcome::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("routing_loop.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(
        Meet::Host,
        &[
            "missing_syn_ack",
            "dns_unanswered",
            "echo_loss",
            "path_outage",
            "icmp_unreachable",
            "retransmission",
        ],
    )];
    type Variant = Outcome;
    /// The network that the packets were sent to.
    type Key = (IpAddr, Outcome);
    type Counts = Rounds;
    type Total = ();
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let to = |direction| network(flow.sender(Direction::reverse(direction)).address);
        let Some(laps) = &flow.laps else {
            book.judged(&to(Direction::ToServer));
            return;
        };
        let direction = if laps.to_client { Direction::ToClient } else { Direction::ToServer };
        book.judged(&to(direction));
        let answers = flow.half(direction.reverse()).last;
        let answered = answers.zip(laps.rungs.last()).is_some_and(|(at, rung)| at.packet > rung.at.packet);
        let outcome = if answered { Outcome::Transient } else { Outcome::Persistent };
        let Some(case) = book.case((to(direction), outcome)) else { return };
        case.flow(flow, laps.rungs.iter().map(|rung| rung.at));
        case.failed += u64::from(!answered);
        let exceeded = flow.icmp_errors.iter().filter(|error| matches!(error.icmp.kind, 3 | 11));
        let exceeded: Vec<_> = exceeded.filter(|error| error.icmp.v6 == (error.icmp.kind == 3)).collect();
        let counts = &mut case.counts;
        counts.packets += laps.packets;
        counts.died += laps.died;
        counts.most_sightings.add(laps.most);
        counts.least_step.add(laps.step);
        counts.most_step.add(laps.step);
        counts.time_exceeded += exceeded.len() as u64;
        counts.destinations.add(flow.sender(direction.reverse()).address);
        case.show(-i64::from(laps.most), flow.id, || {
            let sighting = |rung: &Rung| Evidence::new(rung.at, Role::Lap, format!("TTL {}", rung.ttl));
            let message = exceeded.first().map(|error| {
                Evidence::new(error.at, Role::Icmp, format!("time exceeded, from {}", error.reporter))
            });
            laps.rungs.iter().map(sighting).chain(message).collect::<Vec<_>>()
        });
    }

    fn judge(
        &self,
        (network, outcome): &Self::Key,
        case: &Case<Rounds>,
        _: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Outcome>> {
        let counts = &case.counts;
        let to = match counts.destinations.only() {
            Some(address) => address.to_string(),
            None => format!("{network}/{}", if network.is_ipv4() { 24 } else { 64 }),
        };
        let packets = plural(counts.packets, "packet");
        let (title, then) = match outcome {
            Outcome::Persistent if !counts.ended() => (
                format!("Packets to {to} came by several times"),
                " None came by until its TTL ended: they may have arrived.",
            ),
            Outcome::Persistent => {
                (format!("Packets to {to} go round and do not arrive"), " The destination did not answer.")
            }
            Outcome::Transient => (
                format!("Packets to {to} went round for a while"),
                " The destination answered later packets.",
            ),
        };
        let step = match (counts.least_step.get(), counts.most_step.get()) {
            (least, most) if least == most => format!("{most}"),
            (least, most) => format!("{least} to {most}"),
        };
        let said = match counts.time_exceeded {
            0 => String::new(),
            count => format!(" {} time exceeded say so.", plural(count, "ICMP message")),
        };
        let summary = format!(
            "{} could not reach {to}: {packets} came by on the same link up to {} times. Each came {} times \
             or more, and the TTL fell by {step} a round.{said}{then}",
            case.clients(),
            counts.most_sightings.get(),
            Laps::PROOF,
        );
        let summary = match outcome {
            Outcome::Persistent if counts.ended() => summary,
            _ => summary.replacen("could not reach", "had packets go round to", 1),
        };
        let severity = match outcome {
            Outcome::Persistent if !counts.ended() => Severity::Info,
            Outcome::Persistent => case.severity(case.failed).max(Severity::Warning),
            Outcome::Transient => Severity::Info,
        };
        Some(Draft::new(*outcome, title, summary).severity(severity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::frame::{Ip, datagram, ethernet, routed};
    use crate::support::scenes::Lab;
    use crate::support::scenes::link::looping;
    use crate::support::tcp::{CLIENT, SYN};

    const NAME: &str = RoutingLoop::RULE.name;
    const ONE: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];

    #[test]
    fn it_fires() {
        fires(NAME, &[("routing_loop", "persistent", Severity::Warning)]);
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy_resets", "icmp_unreachable_host", "echo_loss", "pmtud"]);
    }

    #[test]
    fn datagrams_and_pings_go_round_too() {
        for (protocol, id) in [(17u8, 7u16), (1, 0)] {
            let findings = in_traffic(NAME, |lab| {
                let (source, destination) = (lab.client(7), lab.server(9));
                let ip = Ip { source, destination, ttl: 60, id };
                let packet = match protocol {
                    17 => ip.udp(40_000, 5_000, b"datagram"),
                    _ => ip.icmp_error(8, 0, 0x0007_0001, &[0x61; 40]),
                };
                let first = ethernet(ONE, OTHER, None, &packet);
                looping(lab, 10_000, &first, 6);
            });
            let finding = one(&findings, "persistent", Severity::Warning);
            assert!(finding.summary.contains("fell by 2 a round"), "{}", finding.summary);
        }
    }

    /// A host that shares its connection sends each answer four times, the TTL one lower each time.
    #[test]
    fn packets_that_leave_the_loop_are_not_lost_in_it() {
        let findings = |sightings: u8| {
            in_traffic(NAME, |lab| {
                for id in 1..4 {
                    let ip = Ip { source: lab.server(9), destination: lab.client(7), ttl: 128, id };
                    let mut frame = ethernet(ONE, OTHER, None, &ip.udp(53, 40_000, &id.to_be_bytes()));
                    for sighting in 0..sightings {
                        let micros = u64::from(id) * 900_000 + u64::from(sighting) * 6;
                        lab.capture.record(micros, frame.clone());
                        frame = routed(&frame, OTHER, ONE);
                    }
                }
            })
        };
        let finding = findings(5);
        let finding = one(&finding, "persistent", Severity::Info);
        assert!(finding.title.ends_with("came by several times"), "{finding:#?}");
        assert!(!finding.summary.contains("could not reach"), "{}", finding.summary);
        let finding = findings(127);
        assert!(one(&finding, "persistent", Severity::Warning).title.ends_with("do not arrive"));
    }

    #[test]
    fn a_loop_that_ends_is_information() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 2_000]);
            let syn = talk.segment(CLIENT, SYN, b"");
            let frame = talk.frame(&syn);
            looping(lab, 9_000, &frame, 5);
            talk.wait(1_000_000);
            talk.handshake(&mut lab.capture);
            talk.exchange(&mut lab.capture, b"request", 200);
            talk.close(&mut lab.capture);
        });
        one(&findings, "transient", Severity::Info);
    }

    /// Three mirrors along the path: every packet three times, its TTL falls, on another link each time.
    #[test]
    fn mirrors_along_the_path_are_no_loop() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 2_000]);
            lab.http(&mut talk, 9_000);
            talk.close(&mut lab.capture);
            let seen = lab.capture.packets.clone();
            for packet in seen {
                let mut frame = packet.frame;
                for hop in 1..5u8 {
                    frame = routed(&frame, [2, 1, 0, 0, 0, hop], [2, 2, 0, 0, 0, hop]);
                    lab.capture.record(packet.micros + u64::from(hop) * 20, frame.clone());
                }
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// One interface in and out: the packet passes the link twice.
    #[test]
    fn a_router_on_a_stick_is_no_loop() {
        let findings = in_traffic(NAME, |lab| {
            for id in 1..9 {
                let ip = Ip { source: lab.client(7), destination: lab.server(9), ttl: 64, id };
                let frame = ethernet(ONE, OTHER, None, &ip.udp(40_000, 5_000, &id.to_be_bytes()));
                lab.capture.record(u64::from(id) * 9_000, frame.clone());
                lab.capture.record(u64::from(id) * 9_000 + 40, routed(&frame, OTHER, [2, 0, 0, 0, 0, 3]));
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn traceroute_is_no_loop() {
        let findings = in_traffic(NAME, |lab: &mut Lab| {
            for hop in 0..30u8 {
                let ip = Ip { source: lab.client(7), destination: lab.server(9), ttl: 30 - hop, id: 0 };
                let seq = u32::from(hop);
                let packet = ip.icmp_error(8, 0, 0x0007_0000 + seq, &[0x61; 40]);
                let frame = ethernet(ONE, OTHER, None, datagram(&ethernet(ONE, OTHER, None, &packet)));
                lab.capture.record(u64::from(hop) * 9_000, frame);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
