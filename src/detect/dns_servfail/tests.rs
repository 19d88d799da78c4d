use super::*;
use crate::detect::testing::{fires, in_scene, in_traffic, one, silent};
use crate::support::dns;
use crate::support::scenes::Lab;

const NAME: &str = DnsServfail::RULE.name;

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("dns_servfail_bogus", "", Severity::Critical),
            ("dns_servfail_forwarder", "", Severity::Critical),
            ("blind_dns_servfail", "", Severity::Warning),
        ],
    );
}

#[test]
fn it_stays_silent() {
    silent(NAME, &["healthy_search_list", "healthy_large", "missing_syn_ack_silent"]);
}

#[test]
fn a_forwarder_passes_on_what_it_got() {
    let findings = in_scene(NAME, "dns_servfail_forwarder");
    assert!(
        findings.iter().any(|finding| finding.summary.contains("While its clients waited")),
        "{findings:#?}"
    );
}

/// A lookup of client 7 that fails, at a millisecond.
fn fails(lab: &mut Lab, at: u64, name: &str, qtype: u16) {
    lab.lookup(at * 1_000, 2_000, name, qtype, |id| dns::response(id, name, qtype, 2, &[]));
}

#[test]
fn tries_for_one_name_are_one_lookup() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|number| fails(lab, 10 + number * 90, "www.shop.example", dns::A));
    });
    assert_eq!(one(&findings, "", Severity::Warning).impact.failed_transactions, 1);
}

/// The type that DNSSEC needs fails, the address resolves.
#[test]
fn a_name_that_resolves_is_information() {
    const DS: u16 = 43;
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|number| fails(lab, 10 + number * 40_000, "www.shop.example", DS));
        lab.resolves(20_000, "www.shop.example");
    });
    one(&findings, "", Severity::Info);
}

#[test]
fn a_reverse_name_is_information() {
    const PTR: u16 = 12;
    let findings = in_traffic(NAME, |lab| {
        fails(lab, 10, "7.2.0.192.in-addr.arpa", PTR);
        lab.resolves(20_000, "www.shop.example");
    });
    one(&findings, "", Severity::Info);
}

/// The name itself has an address, its completion by the search list fails; and the reverse: the client
/// finds nothing.
#[test]
fn a_search_list_that_fails_is_information() {
    let findings = in_traffic(NAME, |lab| {
        fails(lab, 10, "www.shop.example.corp.example.net", dns::A);
        lab.resolves(20_000, "www.shop.example");
    });
    one(&findings, "", Severity::Info);
    // Neither exists. Of a short name that may be the one that is meant.
    for (name, severity) in [("www.shop.com", Severity::Info), ("www.shop", Severity::Warning)] {
        let findings = in_traffic(NAME, |lab| {
            fails(lab, 40, &format!("{name}.corp.example.net"), dns::A);
            lab.lookup(20_000, 2_000, name, dns::A, |id| dns::response(id, name, dns::A, 3, &[]));
            lab.resolves(60_000, "www.example.net");
        });
        one(&findings, "", severity);
    }
    let findings = in_traffic(NAME, |lab| {
        fails(lab, 10, "www.corp.example.net", dns::A);
        lab.lookup(20_000, 2_000, "www", dns::A, |id| dns::response(id, "www", dns::A, 3, &[]));
        lab.resolves(40_000, "www.example.net");
    });
    one(&findings, "", Severity::Warning);
}

#[test]
fn a_resolver_that_answers_nothing_else_is_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        fails(lab, 10, "www.shop.example", dns::A);
        fails(lab, 900, "www.books.example.net", dns::A);
    });
    one(&findings, "", Severity::Warning);
}

/// It knows the names of the office, and gets nothing from others.
#[test]
fn names_of_its_own_are_no_sign_that_a_resolver_works() {
    for authoritative in [true, false] {
        let findings = in_traffic(NAME, |lab| {
            fails(lab, 10, "www.shop.example", dns::A);
            fails(lab, 900, "www.books.example.net", dns::A);
            let name = "printer.office.example.org";
            lab.lookup(2_000_000, 600, name, dns::A, |id| {
                let mut answer = dns::response(id, name, dns::A, dns::NOERROR, &[[10, 77, 2, 80]]);
                answer[2] |= if authoritative { 0x04 } else { 0 };
                answer
            });
        });
        assert_eq!(findings.len(), if authoritative { 1 } else { 2 }, "{findings:#?}");
    }
}

/// Somebody carries data in names, and the zone's server fails.
#[test]
fn a_tunnel_that_fails_is_information() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..30u64 {
            let name = format!("{:020x}.t.example", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            fails(lab, 10 + number * 300, &name, dns::A);
        }
    });
    one(&findings, "", Severity::Info);
}

/// A dynamic update that the server cannot make (RFC 2136).
#[test]
fn an_update_is_no_lookup() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..9 {
            let at = 10_000 + number * 900_000;
            let (client, resolver) = ((lab.client(7), lab.next_port()), (lab.resolver(), 53));
            let mut update = dns::query(client.1, "shop.example", 6);
            update[2] = 5 << 3;
            lab.udp(at, client, resolver, &update);
            let mut answer = dns::response(client.1, "shop.example", 6, 2, &[]);
            answer[2] = 0x80 | 5 << 3;
            lab.udp(at + 900, resolver, client, &answer);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn many_zones_are_one_finding_on_the_resolver() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..12u64 {
            let name = format!("www.zone{number}.example");
            lab.lookup(1_000 + number * 50_000, 2_000, &name, dns::A, |id| {
                dns::response(id, &name, dns::A, 2, &[])
            });
        }
    });
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (12, 12));
    assert_eq!(finding.scope.names.count, 12);
    assert!(finding.title.contains("12 names in 12 zones"), "{}", finding.title);
}

/// One lookup, sent to four resolvers at once with the same port and ID.
#[test]
fn a_lookup_that_several_resolvers_fail_is_one() {
    let findings = |apart: u16| {
        in_traffic(NAME, |lab| {
            for number in 0..4u16 {
                let (resolver, port) = ((lab.server(60 + number as u8), 53), 40_000 + number * apart);
                let (client, at) = ((lab.client(7), port), 10_000 + u64::from(number) * 300);
                lab.udp(at, client, resolver, &dns::query(0x5e11, "www.shop.example", dns::A));
                let failure = dns::response(0x5e11, "www.shop.example", dns::A, 2, &[]);
                lab.udp(at + 2_000_000, resolver, client, &failure);
            }
        })
    };
    let finding = one(&findings(0), "", Severity::Warning);
    let (who, what) = finding.title.split_once(" answer SERVFAIL for ").expect("several");
    assert_eq!((who.matches(":53").count(), what), (4, "www.shop.example"));
    assert_eq!((finding.impact.failed_transactions, finding.impact.services), (1, 4));
    assert_eq!(findings(1).len(), 4);
}

/// Names without a dot are in one zone, and a search list may complete them.
#[test]
fn names_of_one_label_are_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        lab.resolves(1_000, "www.shop.example");
        let names = ["source", "backup", "wiki", "source"];
        (10..).zip(names).for_each(|(at, name)| fails(lab, at * 900, name, dns::A));
    });
    let finding = one(&findings, "", Severity::Warning);
    assert!(finding.title.ends_with("for 3 names of one label"), "{}", finding.title);
}

/// A resolver without a way out: it answers for its own zone, and systems look whether there is an Internet.
#[test]
fn names_that_a_system_asks_for_by_itself_are_no_outage() {
    let findings = |name: &str| {
        in_traffic(NAME, |lab| {
            (0..5).for_each(|number| fails(lab, 10 + number * 900, "teredo.ipv6.microsoft.com", dns::A));
            fails(lab, 9_000, name, dns::A);
            let own = "printer.office.example.org";
            lab.lookup(2_000_000, 600, own, dns::A, |id| {
                let mut answer = dns::response(id, own, dns::A, dns::NOERROR, &[[10, 77, 2, 80]]);
                answer[2] |= 0x04;
                answer
            });
        })
    };
    let found = findings("dns.msftncsi.com");
    let finding = one(&found, "", Severity::Info);
    assert!(finding.summary.contains("6 of 7 answered lookups"), "{}", finding.summary);
    assert!(finding.summary.contains("It answered 1 lookup for zones of its own"), "{}", finding.summary);
    one(&findings("www.shop.example"), "", Severity::Critical);
}

/// One resolver fails, and the other one answers so many milliseconds later, over the other IP version.
#[test]
fn what_another_resolver_answers_at_once_is_information() {
    for (later, severity) in [(70, Severity::Info), (4_000, Severity::Critical)] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..5u16 {
                let (at, name) = (1_000_000 + u64::from(number) * 60_000_000, "m.shop.example");
                let (client, resolver) = ((lab.v6(1, 7), 41_000 + number), (lab.v6(2, 53), 53));
                lab.udp(at, client, resolver, &dns::query(number, name, dns::A));
                lab.udp(at + 9_000, resolver, client, &dns::response(number, name, dns::A, 2, &[]));
                lab.asks(at + later * 1_000, 7, lab.resolver(), (name, dns::A), 0, &[[10, 77, 2, 80]]);
            }
        });
        let finding = one(&findings, "", severity);
        let said = "All got an answer from another one within 1.00 s.";
        assert_eq!(finding.summary.contains(said), later < 1_000, "{}", finding.summary);
    }
}

/// Resolvers of the Internet answer a host that asked none of them.
#[test]
fn what_nobody_is_seen_to_ask_is_information() {
    for (asks, severity) in [(false, Severity::Info), (true, Severity::Critical)] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..5u16 {
                let (at, name) = (1_000_000 + u64::from(number) * 60_000_000, "large.shop.example");
                let (client, resolver) = ((lab.client(7), 41_000 + number), (lab.resolver(), 53));
                if asks {
                    lab.udp(at, client, resolver, &dns::query(number, name, dns::A));
                }
                lab.udp(at + 9_000, resolver, client, &dns::response(number, name, dns::A, 2, &[]));
            }
        });
        one(&findings, "", severity);
    }
}
