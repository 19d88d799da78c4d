use super::*;
use crate::detect::testing::{fires, in_traffic, one, silent};
use crate::support::dns;
use crate::support::frame::{Ip, datagram, ethernet};
use crate::support::scenes::Lab;

const NAME: &str = DnsUnanswered::RULE.name;

/// A query from client 7 that nobody answers, at a millisecond.
fn unanswered(lab: &mut Lab, at: u64, name: &str) {
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

/// A tunnel: every name carries data, and most are let go.
#[test]
fn names_that_carry_data_are_information() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..60u64 {
            let name = format!("{:016x}.tunnel.example", number * 0x9e37_79b9);
            match number % 3 {
                0 => {
                    let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
                    let query = dns::query(client.1, &name, dns::A);
                    lab.udp(20_000 + number * 900_000, client, resolver, &query);
                }
                _ => lab.resolves(20_000 + number * 900_000, &name),
            }
        }
    });
    let finding = one(&findings, "partial", Severity::Info);
    assert!(finding.summary.contains("Nobody asked for any of them again."), "{}", finding.summary);
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
    let findings = |resolver: &str| {
        in_traffic(NAME, |lab| {
            let address = |text: &str| text.parse::<IpAddr>().expect("an address");
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
    let windows = findings("fec0:0:0:ffff::1");
    assert!(one(&windows, "silent", Severity::Warning).alternatives[0].contains("no resolver is configured"));
    one(&findings("2001:db8:53::1"), "silent", Severity::Critical);
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

/// A resolver that is silent for everybody: a client more or less that does not ask again changes nothing.
#[test]
fn a_resolver_silent_for_many_clients_is_a_warning() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..20u8 {
            let (client, resolver) = ((lab.client(30 + number), lab.next_port()), (lab.resolver(), 53));
            let query = dns::query(client.1, "corp.example", dns::A);
            lab.udp(u64::from(number) * 900_000, client, resolver, &query);
        }
        let mut talk = lab.talk(7, (9, 80), 30_000, [30, 900]);
        lab.http(&mut talk, 300);
    });
    one(&findings, "silent", Severity::Warning);
}

/// A forwarder asks all its resolvers at once and takes the first answer: the dead one costs nobody anything.
#[test]
fn a_dead_resolver_beside_others_asked_at_once_is_information() {
    one(&beside_another(60), "silent", Severity::Info);
}
