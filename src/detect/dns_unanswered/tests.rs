use super::*;
use crate::detect::testing::{fires, in_traffic, one, silent};
use crate::support::dns;
use crate::support::frame::{Ip, datagram, ethernet};
use crate::support::scenes::Lab;

pub(super) const NAME: &str = DnsUnanswered::RULE.name;

/// A query from client 7 that nobody answers, at a millisecond.
pub(super) fn unanswered(lab: &mut Lab, at: u64, name: &str) {
    let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
    let query = dns::query(client.1, name, dns::A);
    lab.udp(at * 1_000, client, resolver, &query);
    lab.udp((at + 5_000) * 1_000, client, resolver, &query);
}

#[test]
fn it_fires() {
    fires(NAME, &[("dns_unanswered", "partial", Severity::Warning)]);
}

#[test]
fn it_stays_silent() {
    silent(NAME, &["healthy_search_list", "healthy_large", "dns_servfail_bogus", "missing_syn_ack_silent"]);
}

#[test]
fn one_lost_query_among_many_is_information() {
    let findings = in_traffic(NAME, |lab| {
        unanswered(lab, 10, "www.shop.example");
        (1..200).for_each(|number| lab.resolves(number * 90_000, "www.shop.example"));
    });
    let finding = one(&findings, "partial", Severity::Info);
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (1, 200));
    assert_eq!(finding.scope.names.sample, ["www.shop.example"]);
}

#[test]
fn queries_before_the_end_of_the_capture_are_not_judged() {
    let findings = in_traffic(NAME, |lab| {
        lab.resolves(1_000, "www.shop.example");
        for number in 0..9 {
            let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
            let query = dns::query(client.1, &format!("api{number}.shop.example"), dns::A);
            lab.udp(20_000 + number * 1_000, client, resolver, &query);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// As routers do that know no resolver.
#[test]
fn a_question_to_everybody_is_asked_of_no_resolver() {
    let findings = |resolver: [u8; 4]| {
        in_traffic(NAME, |lab| {
            lab.resolves(1_000, "www.shop.example");
            for number in 0..9 {
                let (client, resolver) = ((lab.client(7), lab.next_port()), (resolver.into(), 53));
                let query = dns::query(client.1, &format!("api{}.shop.example", number / 3), dns::A);
                lab.udp(20_000 + number * 3_000_000, client, resolver, &query);
            }
        })
    };
    assert_eq!(findings([10, 77, 3, 53]).len(), 1);
    assert!(findings([255, 255, 255, 255]).is_empty() && findings([224, 0, 0, 9]).is_empty());
}

/// Queries from other sockets for the same name are tries of one lookup.
#[test]
fn several_tries_are_one_lookup() {
    let findings = in_traffic(NAME, |lab| {
        lab.resolves(1_000, "www.shop.example");
        (0..6).for_each(|number| unanswered(lab, 20 + number * 400, "api.shop.example"));
    });
    let finding = one(&findings, "partial", Severity::Info);
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (1, 2));
    assert_eq!(finding.counts[0].value, 12, "{:?}", finding.counts);
}

#[test]
fn without_anything_in_both_directions_it_is_information() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..9 {
            unanswered(lab, 20 + number * 100, &format!("api{number}.shop.example"));
        }
    });
    let finding = one(&findings, "silent", Severity::Info);
    assert_eq!(finding.confidence, Confidence::Likely);
}

/// The first resolver is dead, and the second is asked so many microseconds later, and answers.
fn beside_another(later: u64) -> Vec<Finding> {
    in_traffic(NAME, |lab| {
        let second = lab.server(54);
        for number in 0..9 {
            let name = format!("api{number}.shop.example");
            let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
            let at = 1_000_000 + number * 9_000_000;
            lab.udp(at, client, resolver, &dns::query(client.1, &name, dns::A));
            lab.asks(at + later, 7, second, (&name, dns::A), dns::NOERROR, &[[10, 77, 2, 80]]);
        }
    })
}

#[test]
fn a_second_resolver_makes_it_a_warning_and_the_cost_is_the_wait() {
    let findings = beside_another(2_000_000);
    let finding = one(&findings, "silent", Severity::Warning);
    assert_eq!(finding.impact.seconds_lost, Span::millis(9 * 2_002));
    let said = finding.summary.contains("All were answered later, by 10.77.2.54:53, after 2.00");
    assert!(said, "{}", finding.summary);
}

#[test]
fn a_dead_resolver_is_critical_where_other_traffic_flows() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..9 {
            unanswered(lab, 20 + number * 100, &format!("api{number}.shop.example"));
        }
        let mut talk = lab.talk(7, (9, 80), 30_000, [30, 900]);
        lab.http(&mut talk, 300);
    });
    let finding = one(&findings, "silent", Severity::Critical);
    assert_eq!((finding.confidence, finding.impact.failed_transactions), (Confidence::Confirmed, 9));
}

/// TCP connections to the resolver are refused: its host is up.
#[test]
fn a_host_whose_packets_pass_is_not_down() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..9 {
            unanswered(lab, 20 + number * 100, &format!("api{number}.shop.example"));
        }
        let (resolver, client) = ((lab.resolver(), 1900), (lab.client(7), 1900));
        lab.udp(9_000, resolver, client, b"NOTIFY");
        let mut talk = lab.talk(7, (9, 80), 30_000, [30, 900]);
        lab.http(&mut talk, 300);
    });
    let finding = one(&findings, "silent", Severity::Critical);
    assert!(!finding.alternatives.iter().any(|text| text.contains("down")), "{finding:#?}");
}

#[test]
fn the_netbios_name_service_is_no_resolver() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..9 {
            let (client, everybody) = ((lab.client(7), 137), (lab.server(255), 137));
            lab.udp(number * 900_000, client, everybody, &dns::query(number as u16, "fhfaebee", 32));
        }
        lab.resolves(60_000_000, "www.shop.example");
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Each of two dead resolvers is asked once.
#[test]
fn another_resolver_asked_is_asking_again() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..9 {
            let query = dns::query(9 + number, &format!("api{number}.shop.example"), dns::A);
            let at = u64::from(number) * 12_000_000;
            for (after, resolver) in [(0, lab.resolver()), (2_000_000, lab.server(54))] {
                let client = (lab.client(7), lab.next_port());
                lab.udp(at + after, client, (resolver, 53), &query);
            }
        }
        let mut talk = lab.talk(7, (9, 80), 130_000, [30, 900]);
        lab.http(&mut talk, 300);
    });
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.severity == Severity::Critical), "{findings:#?}");
}

/// A host with containers: every query leaves the bridge with the address of the host.
#[test]
fn a_translated_query_is_the_same_query() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..9u64 {
            let (port, resolver) = (lab.next_port(), (lab.resolver(), 53));
            let query = dns::query(port, &format!("api{number}.shop.example"), dns::A);
            for again in [0, 5_000_000] {
                let at = 20_000 + number * 9_000_000 + again;
                lab.udp(at, (lab.client(7), port), resolver, &query);
                lab.udp(at + 57, (lab.client(8), port), resolver, &query);
            }
        }
        let mut talk = lab.talk(7, (9, 80), 130_000, [30, 900]);
        lab.http(&mut talk, 300);
    });
    let finding = one(&findings, "silent", Severity::Critical);
    assert!(finding.summary.starts_with("1 client got no response to 9 of 9"), "{}", finding.summary);
    assert_eq!(finding.counts[0].value, 18, "{:?}", finding.counts);
}

/// The addresses that Windows asks when it has no resolver.
#[test]
fn a_site_local_resolver_is_no_outage() {
    let findings = |resolver: &str, another: bool| {
        in_traffic(NAME, |lab| {
            let address = |text: &str| text.parse::<IpAddr>().expect("an address");
            if another {
                lab.resolves(125_000_000, "www.shop.example");
            }
            for number in 0..9u64 {
                let port = lab.next_port();
                let query = dns::query(port, &format!("api{number}.shop.example"), dns::A);
                for again in [0, 5_000_000] {
                    let at = 20_000 + number * 9_000_000 + again;
                    lab.udp(at, (address("2001:db8::7"), port), (address(resolver), 53), &query);
                }
            }
            let mut talk = lab.talk(7, (9, 80), 130_000, [30, 900]);
            lab.http(&mut talk, 300);
        })
    };
    one(&findings("fec0:0:0:ffff::1", true), "silent", Severity::Info);
    let windows = findings("fec0:0:0:ffff::1", false);
    assert!(one(&windows, "silent", Severity::Warning).alternatives[0].contains("no resolver is configured"));
    one(&findings("2001:db8:53::1", false), "silent", Severity::Critical);
}

/// Some answers of the second resolver come just before the query to the dead one.
#[test]
fn what_another_resolver_had_answered_costs_nothing() {
    let findings = |before: i64| {
        in_traffic(NAME, |lab| {
            let second = lab.server(54);
            for number in 0..9i64 {
                let name = format!("api{number}.shop.example");
                let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
                let at = 10_000_000 + number * 9_000_000;
                lab.udp(at as u64, client, resolver, &dns::query(client.1, &name, dns::A));
                let asked = if number % 2 == 0 { at - before } else { at + 20_000 };
                lab.asks(asked as u64, 7, second, (&name, dns::A), dns::NOERROR, &[[10, 77, 2, 80]]);
            }
        })
    };
    one(&findings(20_000), "silent", Severity::Info);
    one(&findings(4_000_000), "silent", Severity::Warning);
}

/// Opcode 0, and a question count that no question follows.
#[test]
fn datagrams_without_a_question_are_no_lookups() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..9u16 {
            let (client, resolver) = ((lab.client(7), 4_000), (lab.resolver(), 53));
            let mut junk = vec![48, number as u8, 2, 0, 0x6b, 0xb6, 0x1a, 0x33, 9, 9, 9, 9, 0, 70, 7];
            junk.extend([0x3b; 300]);
            lab.udp(u64::from(number) * 1_000_000, client, resolver, &junk);
        }
        (0..4).for_each(|number| lab.resolves(60_000_000 + number * 99_000, "www.shop.example"));
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A mirror records every query twice, and the capture ends.
#[test]
fn a_copy_is_not_asking_again() {
    let findings = in_traffic(NAME, |lab| {
        lab.resolves(1_000, "www.shop.example");
        for number in 0..9 {
            let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
            let query = dns::query(client.1, &format!("api{number}.shop.example"), dns::A);
            lab.udp(20_000 + number * 1_000, client, resolver, &query);
            lab.udp(20_150 + number * 1_000, client, resolver, &query);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Who says why is quoted, and nothing else is offered.
#[test]
fn icmp_errors_say_why() {
    for (own, could_be) in [(true, "nothing listens on the port"), (false, "no way to the resolver")] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..9 {
                let query = dns::query(9 + number, &format!("api{number}.shop.example"), dns::A);
                let client = (lab.client(7), lab.next_port());
                for at in [0, 5_000_000] {
                    let at = at + u64::from(number) * 12_000_000;
                    let frame = lab.udp(at, client, (lab.resolver(), 53), &query);
                    let source = if own { lab.resolver() } else { lab.router() };
                    let ip = Ip { source, destination: client.0, ttl: 60, id: number };
                    let message = ip.icmp_error(3, if own { 3 } else { 0 }, 0, datagram(&frame));
                    lab.capture.record(at + 300, ethernet([4; 6], [2; 6], None, &message));
                }
            }
            let mut talk = lab.talk(7, (9, 80), 130_000, [30, 900]);
            lab.http(&mut talk, 300);
        });
        let finding = one(&findings, "silent", Severity::Critical);
        assert!(finding.summary.contains("unreachable\"."), "{}", finding.summary);
        assert!(finding.alternatives.iter().any(|text| text.contains(could_be)), "{finding:#?}");
        assert!(!finding.alternatives.iter().any(|text| text.contains("drops")), "{finding:#?}");
    }
}

/// Two receive queues: responses are stamped a quarter of a millisecond before their queries.
#[test]
fn responses_recorded_before_their_queries_are_responses() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..9 {
            let name = format!("api{number}.shop.example");
            let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
            let at = 1_000_000 + number * 100_000;
            lab.udp(
                at - 250,
                resolver,
                client,
                &dns::response(client.1, &name, dns::A, 0, &[[10, 77, 2, 80]]),
            );
            lab.udp(at, client, resolver, &dns::query(client.1, &name, dns::A));
        }
        let mut talk = lab.talk(7, (9, 80), 30_000, [30, 900]);
        lab.http(&mut talk, 300);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// An anonymised capture: queries and responses have other ports.
#[test]
fn responses_with_other_ports_are_responses() {
    for (answered, found) in [(true, 0), (false, 1)] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..9 {
                let name = format!("api{number}.shop.example");
                let (client, resolver) = (lab.next_port(), lab.resolver());
                let at = 1_000_000 + number * 9_000_000;
                lab.udp(at, (lab.client(7), client), (resolver, 6646), &dns::query(client, &name, dns::A));
                let response = dns::response(client, &name, dns::A, 0, &[[10, 77, 2, 80]]);
                if answered {
                    lab.udp(at + 600, (resolver, 53), (lab.client(7), client ^ 0x1357), &response);
                }
            }
            let mut talk = lab.talk(7, (9, 80), 30_000, [30, 900]);
            lab.http(&mut talk, 300);
        });
        assert_eq!(findings.len(), found, "{findings:#?}");
    }
}

/// A resolver that is silent for everybody: a client more or less that does not ask again changes nothing.
#[test]
fn a_resolver_silent_for_many_clients_is_a_warning() {
    // Addresses of as many networks, each of which asks once, are made up.
    for (flood, severity) in [(false, Severity::Warning), (true, Severity::Info)] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..20u8 {
                let own = if flood { [10, 20 + number, 7, 9].into() } else { lab.client(30 + number) };
                let (client, resolver) = ((own, lab.next_port()), (lab.resolver(), 53));
                let query = dns::query(client.1, "corp.example", dns::A);
                lab.udp(u64::from(number) * 900_000, client, resolver, &query);
            }
            let mut talk = lab.talk(7, (9, 80), 30_000, [30, 900]);
            lab.http(&mut talk, 300);
        });
        one(&findings, "silent", severity);
    }
}

/// A stub that asks again after a tenth of a second, and gets its answer then.
#[test]
fn what_is_asked_again_at_once_costs_nothing() {
    for (wait, severity) in [(100_000, Severity::Info), (2_000_000, Severity::Warning)] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..40u16 {
                let (at, name) = (1_000_000 + u64::from(number) * 31_000_000, format!("www{number}.example"));
                if number % 8 == 0 {
                    asks_all(lab, at, 900 + number, &name, &[lab.resolver()]);
                }
                lab.asks(at + wait, 7, lab.resolver(), (&name, dns::A), dns::NOERROR, &[[10, 77, 2, 80]]);
            }
        });
        one(&findings, "partial", severity);
    }
}

/// A forwarder asks all its resolvers at once and takes the first answer: the dead one costs nobody anything.
#[test]
fn a_dead_resolver_beside_others_asked_at_once_is_information() {
    one(&beside_another(60), "silent", Severity::Info);
}

/// Client 7 sends a query with this port and ID to each of the resolvers.
pub(super) fn asks_all(lab: &mut Lab, at: u64, id: u16, name: &str, resolvers: &[IpAddr]) {
    for (after, resolver) in (0..).zip(resolvers) {
        let query = dns::query(id, name, dns::A);
        lab.udp(at + after * 300, (lab.client(7), 20_000 + id), (*resolver, 53), &query);
    }
}

#[test]
fn resolvers_that_were_asked_for_the_same_lookups_are_one_finding() {
    let findings = |apart: u16| {
        in_traffic(NAME, |lab| {
            let resolvers = [lab.resolver(), lab.server(54)];
            for number in 0..9u16 {
                let (name, at) = (format!("api{number}.shop.example"), u64::from(number) * 12_000_000);
                for (id, resolver) in [number, number + apart].into_iter().zip(resolvers) {
                    asks_all(lab, at, id, &name, &[resolver]);
                    asks_all(lab, at + 2_000_000, id, &name, &[resolver]);
                }
            }
            let mut talk = lab.talk(7, (9, 80), 130_000, [30, 900]);
            lab.http(&mut talk, 300);
        })
    };
    let finding = one(&findings(0), "silent", Severity::Critical);
    assert_eq!(finding.title, "10.77.0.53:53 and 10.77.2.54:53 answer no lookup");
    assert_eq!((finding.impact.failed_transactions, finding.impact.services), (9, 2));
    assert!(finding.summary.contains("asked for the same lookups"), "{}", finding.summary);
    assert_eq!(findings(100).len(), 2);
}

/// A home router has an address of each family; every name is asked of either.
#[test]
fn addresses_of_one_box_are_one_resolver() {
    let findings = |same: bool| {
        in_traffic(NAME, |lab| {
            let v4 = (lab.client(7), lab.client(1));
            let v6 = (lab.v6(1, 7), lab.v6(1, 1));
            for number in 0..9u16 {
                let name = format!("api{number}.shop.example");
                for (side, (client, resolver)) in [v4, v6].into_iter().enumerate() {
                    let (id, at) = (number * 2 + side as u16, u64::from(number) * 12_000_000);
                    for (later, answers) in [(0, false), (3_000_000, false), (6_000_000, true)] {
                        let asked = if answers { "www.shop.example" } else { &name };
                        let port = 30_000 + id + if answers { 900 } else { 0 };
                        let query = dns::query(id, asked, dns::A);
                        let begin = lab.capture.packets.len();
                        lab.udp(at + later, (client, port), (resolver, 53), &query);
                        if answers {
                            let answer = dns::response(id, asked, dns::A, 0, &[[10, 77, 2, 80]]);
                            lab.udp(at + later + 900, (resolver, 53), (client, port), &answer);
                        }
                        for packet in lab.capture.packets.iter_mut().skip(begin).filter(|_| !same) {
                            packet.frame[5] ^= side as u8;
                            packet.frame[11] ^= side as u8;
                        }
                    }
                }
            }
        })
    };
    let finding = one(&findings(true), "partial", Severity::Critical);
    assert!(finding.summary.contains("have one link address"), "{}", finding.summary);
    assert_eq!((finding.impact.clients, finding.impact.services), (1, 2));
    assert_eq!(findings(false).len(), 2);
}

/// A laptop has joined another network. It asks the resolvers of both for the same, and those of the new one
/// take their time. Where they are asked only after the old one, it costs the wait for the old one.
#[test]
fn a_resolver_beside_those_that_answer_costs_nothing() {
    let findings = |first: u64| {
        in_traffic(NAME, |lab| {
            let (old, new) = ("192.0.2.53".parse().expect("an address"), lab.resolver());
            for number in 0..6u16 {
                let (at, name) = (u64::from(number) * 30_000_000, format!("api{number}.shop.example"));
                for later in [0, 3_000_000] {
                    asks_all(lab, at + later, number, &name, &[old]);
                }
                asks_all(lab, at + first, number, &name, &[new]);
                let answer = dns::response(number, &name, dns::A, 0, &[[10, 77, 2, 80]]);
                lab.udp(at + 11_000_000, (new, 53), (lab.client(7), 20_000 + number), &answer);
            }
        })
    };
    one(&findings(300), "silent", Severity::Info);
    one(&findings(2_000_000), "silent", Severity::Warning);
}

/// A resolver that answers addresses, and no lookup of another type, or few.
#[test]
fn one_type_that_stays_unanswered_is_named() {
    let findings = |qtype: u16, answered: u64| {
        in_traffic(NAME, |lab| {
            let resolver = lab.resolver();
            for number in 0..12u64 {
                let (name, at) = (format!("www{number}.shop.example"), 1_000_000 + number * 9_000_000);
                lab.asks(at, 7, resolver, (&name, dns::A), dns::NOERROR, &[[10, 77, 2, 80]]);
                if number < answered {
                    lab.asks(at + 90, 7, resolver, (&name, qtype), dns::NOERROR, &[]);
                    continue;
                }
                let client = (lab.client(7), lab.next_port());
                let query = dns::query(client.1, &name, qtype);
                lab.udp(at + 90, client, (resolver, 53), &query);
                lab.udp(at + 4_000_000, client, (resolver, 53), &query);
            }
        })
    };
    // Nobody needs the hints beside an address.
    let found = findings(dns::HTTPS, 4);
    let finding = one(&found, "partial", Severity::Info);
    assert!(finding.title.ends_with("leaves 8 lookups of type HTTPS unanswered"), "{}", finding.title);
    assert!(finding.summary.contains("none of type A stayed unanswered"), "{}", finding.summary);
    let found = findings(dns::AAAA, 0);
    let finding = one(&found, "partial", Severity::Critical);
    assert!(finding.title.ends_with("answers no lookup of type AAAA"), "{}", finding.title);
}

/// A phone that shares its line gets another IPv6 network, and answers at neither of its addresses.
#[test]
fn addresses_that_a_box_has_after_each_other_are_one_resolver() {
    for (same, found) in [(true, 1), (false, 2)] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..12u16 {
                let network = 1 + u16::from(number >= 6);
                let (client, resolver) = (lab.v6(network, 7), lab.v6(network, 0x42));
                let (name, at) = (format!("api{number}.shop.example"), u64::from(number) * 12_000_000);
                let begin = lab.capture.packets.len();
                for (id, later, answers) in [(1, 0, false), (1, 3_000_000, false), (2, 6_000_000, true)] {
                    let (id, asked) = (number * 4 + id, if answers { "www.shop.example" } else { &name });
                    let query = dns::query(id, asked, dns::A);
                    lab.udp(at + later, (client, 30_000 + id), (resolver, 53), &query);
                    if answers {
                        let answer = dns::response(id, asked, dns::A, 0, &[[10, 77, 2, 80]]);
                        lab.udp(at + later + 900, (resolver, 53), (client, 30_000 + id), &answer);
                    }
                }
                for packet in lab.capture.packets.iter_mut().skip(begin).filter(|_| !same && number >= 6) {
                    packet.frame[5] ^= 1;
                    packet.frame[11] ^= 1;
                }
            }
        });
        assert_eq!(findings.len(), found, "{findings:#?}");
    }
}
