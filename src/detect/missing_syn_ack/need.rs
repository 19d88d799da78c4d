//! Whether anybody needs what did not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::detect::answers::is_private;
use crate::detect::missing_syn_ack::{Attempts, MissingSynAck, Outcome};
use crate::detect::ports::{is_known, is_peer, is_random};
use crate::detect::scope::network;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, Handshake};
use crate::time::Span;

/// Its clients ask again and again, and that is all the capture holds.
pub(super) fn is_unheard(host: IpAddr, book: &Book<MissingSynAck>) -> bool {
    book.notes.unheard.iter().any(|unheard| *unheard == host)
}

/// The clients ask a host beyond their link from addresses of the link.
pub(super) fn asks_from_link_local(server: Endpoint, case: &Case<Attempts>) -> bool {
    let is_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !is_local(&server.address) && case.affected.clients.iter().all(is_local)
}

/// One client goes on asking a host that is not heard, on a port that no service is known by, and other
/// connections of it open: something in the background looks for what was there.
pub(super) fn is_poll(server: Endpoint, case: &Case<Attempts>, heard: &Heard) -> bool {
    let alone = case.affected.clients.only();
    !is_known(server.port) && !heard.sent(server.address) && alone.is_some_and(|client| heard.opens(*client))
}

/// Programs ask it at their start whether they run in a cloud: 169.254.169.254, which the large ones have in
/// common, and fd00:ec2::254 (AWS, "Instance metadata").
pub(super) fn is_metadata(server: Endpoint, heard: &Heard) -> bool {
    const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let metadata = [IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), IpAddr::V6(V6)];
    metadata.contains(&server.address) && !heard.sent(server.address)
}

/// What explains SYNs from one of several addresses.
pub(super) const SPARE: &str =
    "the host tries the service from every address it has, and got through from another one (RFC 8445)";

/// On a host that speaks from several addresses: the service opened from another one.
pub(super) fn is_spare(service: Endpoint, book: &Book<MissingSynAck>, heard: &Heard) -> bool {
    heard.is_within_host() && book.total(&service).1.is_some_and(|total| total.opened > 0)
}

/// A port that no service is known by, and a host that the client has no other connection to: a peer that is
/// gone.
pub(super) fn is_stray(server: Endpoint, case: &Case<Attempts>, heard: &Heard) -> bool {
    let other = |client: &IpAddr| {
        let visit = heard.visits.of(*client, [server.address].iter());
        visit.connections > visit.failed
    };
    is_random(server) && !case.affected.clients.iter().any(other)
}

/// Networks with hosts that open on a port, from which peers of an application agree on it.
const NETWORKS: usize = 5;

/// Ports that no service is known by, and on which hosts of several networks beyond one's own open
/// connections: each is one peer of many, as of a blockchain, or one exit of many.
pub(super) fn agreed_ports<const MOST: usize>(book: &Book<MissingSynAck>) -> Distinct<u16, MOST> {
    let mut networks: BTreeMap<u16, BTreeSet<IpAddr>> = BTreeMap::new();
    for (server, _, total) in book.totals() {
        if total.opened > 0 && is_random(*server) && !is_private(server.address) {
            networks.entry(server.port).or_default().insert(network(server.address));
        }
    }
    let mut agreed = Distinct::default();
    let many = networks.into_iter().filter(|(_, networks)| networks.len() >= NETWORKS);
    many.for_each(|(port, _)| agreed.add(port));
    agreed
}

/// What answers there is a peer, and another one does as well.
pub(super) fn is_one_of_many(server: Endpoint, book: &Book<MissingSynAck>) -> bool {
    let agreed = || book.notes.agreed.iter().any(|port| *port == server.port);
    is_peer(server.port) || is_random(server) && agreed()
}

/// The host opens connections of protocols that agree on further ports: FTP (RFC 959 section 3.2), ONC RPC
/// (RFC 1833) and DCE RPC.
pub(super) fn has_dynamic_ports(host: IpAddr, book: &Book<MissingSynAck>) -> bool {
    let opens = |port| book.total(&Endpoint { address: host, port }).1.is_some_and(|total| total.opened > 0);
    [21, 111, 135].into_iter().any(opens)
}

/// No path is longer than this (the default of traceroute): a host sends its own packets with more.
const TRACED_HOPS: u8 = 30;

/// The SYNs have the TTLs that a route trace sends: low ones, one after the other.
pub(super) fn traces_route(flow: &Flow, handshake: &Handshake) -> bool {
    let ttl = flow.half(Direction::ToServer).ttl;
    ttl.is_some_and(|(least, largest)| {
        least <= TRACED_HOPS && (handshake.syn_count == 1 || largest > least + 1)
    })
}

/// The first time-out of a TCP is a second (RFC 6298 section 2.1): half of it is none.
const TIME_OUT: Span = Span::millis(500);

/// The shortest time-out of a TCP that knows its path (Linux TCP_RTO_MIN).
const SOONEST: Span = Span::millis(200);

/// The client waited for an answer, and asked again.
pub(super) fn asked_again(handshake: &Handshake, length: Span) -> bool {
    handshake.syn_count > 1 && length >= TIME_OUT
}

/// So many SYNs in this time come from no TCP, which doubles its time-out.
pub(super) fn outpaces_clients(handshake: &Handshake, length: Span) -> bool {
    const SOME: u32 = 5;
    let gaps = i64::from(handshake.syn_count.saturating_sub(1));
    handshake.syn_count >= SOME && length.0 < SOONEST.0.saturating_mul(gaps)
}

/// Counts IPv6 attempts as silent when no IPv4 connection overtook them.
pub(super) fn end_races(book: &mut Book<MissingSynAck>) {
    let results = std::mem::take(&mut book.notes.races).end();
    for (server, racer) in results.alone {
        if let Some(case) = book.case((server, Outcome::Silent)) {
            case.absorb(racer);
        }
    }
    book.not_judged_many("IPv6 attempts that an IPv4 connection overtook", results.overtaken);
    book.not_judged_many("more IPv6 attempts or IPv4 connections than are kept apart", results.unknown);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::missing_syn_ack::tests::{NAME, asks, elsewhere};
    use crate::detect::testing::{in_traffic, one};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Segment, Talk};

    /// A program asks for a device that is gone, every half a minute, while its host does other things.
    #[test]
    fn a_poll_in_the_background_is_no_outage() {
        let findings = |port: u16, works: bool| {
            in_traffic(NAME, |lab| {
                (0..6).for_each(|number| asks(lab, 7, (66, port), 900 + number * 31_000, 3));
                elsewhere(lab, 10);
                if works {
                    let mut talk = lab.talk(7, (10, 80), 2_000, [30, 500]);
                    lab.http(&mut talk, 300);
                }
            })
        };
        one(&findings(3911, true), "silent", Severity::Warning);
        one(&findings(3911, false), "silent", Severity::Critical);
        one(&findings(5432, true), "silent", Severity::Critical);
    }

    /// Windows looks for hosts that have its updates already.
    #[test]
    fn peers_on_the_port_of_an_application_are_information() {
        let findings = |port: u16, hosts: u8| {
            in_traffic(NAME, |lab| {
                (0..hosts).for_each(|host| asks(lab, 7, (30 + host, port), 900 + 40 * u64::from(host), 5));
                elsewhere(lab, 40_000);
            })
        };
        assert!(findings(7680, 9)[0].summary.contains("peers that are gone"));
        for hosts in [2, 9] {
            assert!(findings(7680, hosts).iter().all(|finding| finding.severity == Severity::Info));
            assert!(findings(8443, hosts).iter().any(|finding| finding.severity > Severity::Info));
        }
    }

    /// A node of a network of peers, with hosts of so many networks that open; one is gone, and one is late.
    #[test]
    fn peers_that_agree_on_a_port_are_information() {
        let findings = |port: u16, networks: u8| {
            in_traffic(NAME, |lab| {
                for number in 0..networks {
                    let mut talk = lab.talk(7, (10, port), 500 + 10 * u64::from(number), [30, 500]);
                    talk.ends[SERVER].address = [198, 18 + number, 7, 9].into();
                    lab.http(&mut talk, 300);
                }
                for (host, at) in [(1, 900), (2, 1_900)] {
                    let mut gone = lab.talk(7, (10, port), at, [30, 500]);
                    gone.ends[SERVER].address = [203, 0, 113, host].into();
                    let syn = gone.segment(CLIENT, SYN, b"");
                    for _ in 0..4 {
                        gone.record(&mut lab.capture, &syn);
                        gone.wait(3_000_000);
                    }
                    if host == 2 {
                        gone.sent(&syn);
                        gone.received(&syn);
                        gone.send(&mut lab.capture, SERVER, SYN | ACK, b"");
                        gone.send(&mut lab.capture, CLIENT, ACK, b"");
                    }
                }
            })
        };
        for (port, networks, most) in
            [(30_303, 6, Severity::Info), (30_303, 3, Severity::Warning), (443, 6, Severity::Warning)]
        {
            let findings = findings(port, networks);
            assert_eq!(findings.len(), 2, "{findings:#?}");
            assert_eq!(findings.iter().map(|finding| finding.severity).max(), Some(most), "{findings:#?}");
        }
    }

    /// A program that listens on a port asks its peers from there; a client gets another port every time.
    #[test]
    fn tries_from_one_port_are_those_of_a_peer() {
        for (from, severity) in [(1, Severity::Info), (2, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                elsewhere(lab, 10);
                for number in 0..2 {
                    let client = (lab.client(7), 41_000 + number * (from - 1));
                    let gone = (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 43_574);
                    let mut talk =
                        Talk::new(client, gone, 900_000 + u64::from(number) * 9_000_000, [30, 500]);
                    talk.ends[CLIENT].next += u32::from(number) * 77_000;
                    let syn = talk.segment(CLIENT, SYN, b"");
                    for _ in 0..3 {
                        talk.record(&mut lab.capture, &syn);
                        talk.wait(1_500_000);
                    }
                }
            });
            one(&findings, "silent", severity);
        }
    }

    /// A host with an address of its own translator asks from every address it has.
    #[test]
    fn addresses_of_one_host_are_tried_together() {
        let findings = |spare: [u8; 4], opens: bool| {
            in_traffic(NAME, |lab| {
                elsewhere(lab, 10);
                for port in [3479, 8080] {
                    if opens {
                        let mut talk = lab.talk(7, (10, port), 900, [30, 500]);
                        lab.http(&mut talk, 300);
                    }
                    for number in 0..3u16 {
                        let client = (IpAddr::V4(Ipv4Addr::from(spare)), 41_000 + port + number);
                        let mut talk = Talk::new(client, (lab.server(10), port), 900_000, [30, 500]);
                        let syn = talk.segment(CLIENT, SYN, b"");
                        for _ in 0..5 {
                            talk.record(&mut lab.capture, &syn);
                            talk.wait(1_000_000);
                        }
                    }
                }
            })
        };
        let spare = one(&findings([192, 0, 0, 6], true), "silent", Severity::Info);
        assert!(spare.alternatives[0].contains("from every address it has"), "{spare:#?}");
        one(&findings([192, 0, 0, 6], false), "silent", Severity::Critical);
        one(&findings([192, 0, 2, 6], true), "silent", Severity::Critical);
    }

    /// Connections over IPv6 to hosts of so many networks, and over IPv4 to one that answers.
    fn over_v6(lab: &mut Lab, networks: u16, answers: bool, hops: u8) {
        let (client, mut link) = (lab.v6(1, 7), [0; 6]);
        for number in 0..networks * 2 {
            let server = (lab.v6(30 + number / 2, 0x80 + number), 443);
            let at = 1_000_000 + u64::from(number) * 300_000;
            let mut talk = Talk::new((client, 42_000 + number), server, at, [30, 500]);
            link = talk.ends[CLIENT].mac;
            talk.ends[CLIENT].ttl -= hops;
            if answers && number == 0 {
                lab.http(&mut talk, 300);
                continue;
            }
            let syn = talk.segment(CLIENT, SYN, b"");
            for _ in 0..6 {
                talk.record(&mut lab.capture, &syn);
                talk.wait(1_500_000);
            }
        }
        let mut talk = lab.talk(7, (10, 80), 2_000, [30, 500]);
        talk.ends[CLIENT].mac = link;
        lab.http(&mut talk, 300);
    }

    #[test]
    fn a_client_without_a_way_out_over_v6_is_one_finding() {
        let findings = in_traffic(NAME, |lab| over_v6(lab, 3, false, 0));
        let finding = one(&findings, "cut_off", Severity::Warning);
        assert_eq!((findings.len(), finding.impact.services, finding.impact.failed_transactions), (1, 6, 6));
        // One network may be down, an answer shows that there is a way, and who is far has another link.
        for (networks, answers, hops) in [(1, false, 0), (3, true, 0), (3, false, 4)] {
            let findings = in_traffic(NAME, |lab| over_v6(lab, networks, answers, hops));
            assert!(!findings.iter().any(|finding| finding.variant == "cut_off"), "{findings:#?}");
            let warns = findings.iter().any(|finding| finding.severity > Severity::Info);
            assert_eq!(warns, hops == 0, "{findings:#?}");
        }
    }

    /// A flood from one port, which its target answers.
    #[test]
    fn a_flood_from_one_port_waits_for_no_answer() {
        for (apart, found) in [(90_000, 0), (1_500_000, 1)] {
            let findings = in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (9, 53), 20, [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                talk.sent(&syn);
                talk.received(&syn);
                let answer = talk.segment(SERVER, SYN | ACK, b"");
                for id in 1..10 {
                    talk.record(&mut lab.capture, &Segment { id, ..syn.clone() });
                    talk.record(&mut lab.capture, &Segment { id, ..answer.clone() });
                    talk.wait(apart);
                }
                elsewhere(lab, 30_000);
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }

    /// A router has events for a host of its link, which filters them.
    #[test]
    fn devices_that_call_back_are_information() {
        for (port, severity) in [(2869, Severity::Info), (2870, Severity::Critical)] {
            let findings = in_traffic(NAME, |lab| {
                elsewhere(lab, 10);
                (0..6).for_each(|number| asks(lab, 1, (10, port), 900 + 2_000 * number, 4));
            });
            one(&findings, "silent", severity);
        }
    }

    /// A service that loses SYNs, so that some connections are late and others never open.
    #[test]
    fn what_is_late_beside_what_is_silent_is_told_once() {
        for (silent, most) in [(false, Severity::Warning), (true, Severity::Info)] {
            let findings = in_traffic(NAME, |lab| {
                elsewhere(lab, 10);
                for number in 0..3 {
                    let mut talk = lab.talk(7, (9, 80), 900 + 9_000 * number, [30, 500]);
                    let syn = talk.segment(CLIENT, SYN, b"");
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_100_000);
                    lab.http(&mut talk, 300);
                }
                if silent {
                    asks(lab, 7, (9, 80), 40_000, 4);
                }
                elsewhere(lab, 90_000);
            });
            let late = findings.iter().find(|finding| finding.variant == "late");
            assert_eq!(late.map(|late| late.severity), Some(most), "{findings:#?}");
            assert_eq!(findings.len(), 1 + usize::from(silent));
        }
    }

    /// SYNs of a program, which leaves the options of a TCP away, from false addresses.
    #[test]
    fn syns_that_no_tcp_makes_miss_no_answer() {
        for (made, found) in [(true, 0), (false, 1)] {
            let findings = in_traffic(NAME, |lab| {
                elsewhere(lab, 10);
                let begin = lab.capture.packets.len();
                (0..30).for_each(|number| asks(lab, 20 + number, (9, 80), 900 + u64::from(number) * 70, 4));
                for packet in lab.capture.packets.iter_mut().skip(begin).filter(|_| made) {
                    // The MSS becomes padding.
                    if let Some(mss @ [2, 4, ..]) = packet.frame.get_mut(54..58) {
                        mss.fill(1);
                    }
                }
                elsewhere(lab, 90_000);
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }

    /// Software asks for the metadata of a cloud, at home.
    #[test]
    fn who_looks_for_a_cloud_needs_no_answer() {
        for (host, severity) in [(254, Severity::Info), (253, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                elsewhere(lab, 10);
                let mut talk = lab.talk(10, (9, 80), 900, [30, 500]);
                talk.ends[SERVER].address = [169, 254, 169, host].into();
                let syn = talk.segment(CLIENT, SYN, b"");
                for _ in 0..3 {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_000_000);
                }
                elsewhere(lab, 90_000);
            });
            one(&findings, "silent", severity);
        }
    }

    /// A gateway gives up for the server after its client has asked again and again; one gets through.
    #[test]
    fn what_is_late_beside_what_is_refused_at_last_is_told_once() {
        for (refuses, most) in [(false, Severity::Warning), (true, Severity::Info)] {
            let findings = in_traffic(NAME, |lab| {
                elsewhere(lab, 10);
                for number in 0..3 {
                    let mut talk = lab.talk(7, (9, 80), 900 + 9_000 * number, [30, 500]);
                    let syn = talk.segment(CLIENT, SYN, b"");
                    for _ in 0..3 {
                        talk.record(&mut lab.capture, &syn);
                        talk.wait(1_100_000);
                    }
                    if refuses && number > 0 {
                        talk.sent(&syn);
                        talk.received(&syn);
                        talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
                    } else {
                        lab.http(&mut talk, 300);
                    }
                }
                elsewhere(lab, 90_000);
            });
            one(&findings, "late", most);
        }
    }
}
