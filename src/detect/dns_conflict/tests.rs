use super::*;
use crate::detect::testing::{fires, in_traffic, one, says_nothing, silent};
use crate::support::dns::{self, A};
use crate::support::scenes::Lab;

const NAME: &str = DnsConflict::RULE.name;

/// A query of client 7 to the resolver, at a millisecond, and responses with these addresses.
fn answers(lab: &mut Lab, at: u64, name: &str, queries: u64, addresses: &[&[[u8; 4]]]) {
    let resolver = lab.resolver();
    answers_of(lab, resolver, at, name, queries, addresses);
}

fn answers_of(lab: &mut Lab, resolver: IpAddr, at: u64, name: &str, queries: u64, addresses: &[&[[u8; 4]]]) {
    let (client, resolver) = ((lab.client(7), lab.next_port()), (resolver, 53));
    for number in 0..queries {
        lab.udp(at * 1_000 + number * 900, client, resolver, &dns::query(client.1, name, A));
    }
    for (number, addresses) in (0u64..).zip(addresses) {
        let answer = dns::response(client.1, name, A, dns::NOERROR, addresses);
        lab.udp(at * 1_000 + 2_000 + number * 700, resolver, client, &answer);
    }
}

const ONE: &[[u8; 4]] = &[[203, 0, 113, 66]];
const TWO: &[[u8; 4]] = &[[10, 77, 2, 80]];

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("dns_conflict_answers", "answers", Severity::Warning),
            ("blind_dns_servfail", "answers", Severity::Info),
            ("dns_conflict_other_address", "other_address", Severity::Critical),
        ],
    );
}

#[test]
fn it_stays_silent() {
    says_nothing(NAME, &["healthy_search_list", "dns_servfail_forwarder", "dns_unanswered"]);
    silent(NAME, &["healthy_large"]);
}

/// What one client gets in the names of several resolvers is forged beside it.
#[test]
fn forged_answers_in_the_names_of_several_resolvers_are_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        for resolver in [[10, 77, 9, 1], [10, 77, 9, 2]] {
            for number in 0..3 {
                let at = 1_000 + number * 900 + u64::from(resolver[3]) * 100;
                answers_of(lab, resolver.into(), at, &format!("www{number}.example"), 1, &[ONE, TWO]);
            }
        }
    });
    let finding = one(&findings, "answers", Severity::Warning);
    assert_eq!((findings.len(), finding.scope.servers.count), (1, 2), "{findings:#?}");
    assert!(finding.alternatives[0].starts_with("somebody near the client"), "{finding:#?}");
}

#[test]
fn copies_and_rotated_answers_are_no_conflict() {
    let findings = in_traffic(NAME, |lab| {
        answers(lab, 1_000, "www.shop.example", 1, &[TWO, TWO]);
        let pool: [&[[u8; 4]]; 2] =
            [&[[10, 77, 2, 80], [10, 77, 2, 81]], &[[10, 77, 2, 81], [10, 77, 2, 80]]];
        answers(lab, 2_000, "pool.shop.example", 1, &pool);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The query was sent twice, and a pool answers each time with other members.
#[test]
fn two_queries_may_get_two_answers() {
    let findings = in_traffic(NAME, |lab| {
        (0..5).for_each(|number| answers(lab, 1_000 + number * 900, "pool.ntp.example", 2, &[ONE, TWO]));
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A resolver that answers late, after the client has asked the next one.
#[test]
fn two_resolvers_with_public_addresses_are_no_conflict() {
    let findings = in_traffic(NAME, |lab| {
        let other = lab.server(54);
        for number in 0..5 {
            answers(lab, 1_000 + number * 900, "cdn.example.net", 1, &[ONE]);
            let at = 1_000_000 + number * 900_000;
            lab.asks(at + 50, 8, other, ("cdn.example.net", A), dns::NOERROR, &[[198, 51, 100, 9]]);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A split zone harms nobody.
#[test]
fn different_private_addresses_are_information() {
    let findings = in_traffic(NAME, |lab| {
        let other = lab.server(54);
        answers(lab, 1_000, "app.corp.example", 1, &[TWO]);
        lab.asks(2_000_000, 8, other, ("app.corp.example", A), dns::NOERROR, &[[10, 99, 88, 77]]);
    });
    one(&findings, "resolvers", Severity::Info);
}

/// A resolver that answers from another address, and a bit that flipped on the way.
#[test]
fn a_damaged_address_is_not_another_one() {
    let findings = |damaged: bool| {
        in_traffic(NAME, |lab| {
            for number in 0..4 {
                let (client, at) = ((lab.client(7), lab.next_port()), 1_000_000 + number * 900_000);
                let (resolver, other) = (lab.resolver(), lab.server(99));
                lab.udp(at, client, (resolver, 53), &dns::query(client.1, "www.shop.example", A));
                let answer = dns::response(client.1, "www.shop.example", A, dns::NOERROR, TWO);
                lab.udp(at + 900, (other, 53), client, &answer);
                if damaged && let Some(packet) = lab.capture.packets.last_mut() {
                    // The checksum in the IP header, behind the link header.
                    packet.frame[24] ^= 0x40;
                }
            }
            (0..9).for_each(|number| lab.resolves(5_000_000 + number * 90_000, "api.shop.example"));
        })
    };
    one(&findings(false), "other_address", Severity::Warning);
    assert!(findings(true).is_empty());
}

/// A program asks with one port and one id again and again: a response may be to any of its queries.
#[test]
fn queries_with_the_numbers_of_earlier_ones_are_not_compared() {
    let findings = in_traffic(NAME, |lab| {
        let (client, resolver) = ((lab.client(7), 53), (lab.resolver(), 53));
        for number in 0..9u64 {
            let at = 1_000_000 + number * 50_000;
            lab.udp(at, client, resolver, &dns::query(0, "www.shop.example", A));
            for (late, addresses) in [(2_000, ONE), (9_000, TWO)] {
                let answer = dns::response(0, "www.shop.example", A, dns::NOERROR, addresses);
                lab.udp(at + late, resolver, client, &answer);
            }
        }
    });
    // Of the first nothing is known yet.
    assert_eq!(one(&findings, "answers", Severity::Info).impact.failed_transactions, 1);
}
