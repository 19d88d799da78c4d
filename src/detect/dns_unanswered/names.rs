//! Which names stay unanswered.

use std::net::IpAddr;

use crate::detect::dns_unanswered::{Asked, Silence};
use crate::detect::lookups::shown;
use crate::detect::{Case, Distinct, hash_of};

/// What explains a sweep.
pub(super) const SCANNER: &str = "a scanner looks up the names of a network at once (nmap, unless told -n)";

/// The name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5).
pub(super) fn is_reverse(name: &str) -> bool {
    name.trim_end_matches('.').ends_with(".arpa")
}

/// So many names of addresses that nobody asks for one after the other.
pub(super) fn is_sweep(names: &Distinct<String>) -> bool {
    /// Zeek's scan policy, 15 ports.
    const SWEEP: u64 = 15;
    names.count() >= SWEEP && names.iter().all(|name| is_reverse(name))
}

/// The resolver answers other names, and none of these, each of which it was asked for again and again.
pub(super) fn never_answers(case: &Case<Silence>, asked: Option<&Asked>) -> bool {
    /// Lookups for a name on average. A judgement: single packets that are lost hit a name once or twice.
    const AGAIN: u64 = 3;
    let Some(answered) = asked.map(|asked| &asked.names) else { return false };
    let names = &case.affected.names;
    let never = |name: &String| answered.iter().all(|known| *known != hash_of(name));
    case.failed >= AGAIN * names.count() && !answered.is_full() && names.iter().all(never)
}

/// `a.example and b.example`, `3 names`.
pub(super) fn listed(names: &Distinct<String>) -> String {
    let mut texts: Vec<String> = names.iter().map(|name| shown(name)).collect();
    texts.sort();
    match texts.as_slice() {
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        _ => names.of("name"),
    }
}

/// Resolver, name and type in one, as `Answered` takes it.
pub(super) fn asked_of(resolver: IpAddr, name: &str, qtype: u16) -> String {
    format!("{resolver} {name} {qtype}")
}

/// Name and type in one, as `Answered` takes it.
pub(super) fn asked_for(name: &str, qtype: u16) -> String {
    format!("{name} {qtype}")
}

#[cfg(test)]
mod tests {
    use crate::detect::Severity;
    use crate::detect::dns_unanswered::tests::{NAME, asks_all, unanswered};
    use crate::detect::testing::{in_traffic, one};
    use crate::support::dns;
    use crate::time::Span;

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

    /// A phone asks on for hours for the service of a provider. Its library repeats a query with its ID,
    /// gives up, and is asked again.
    #[test]
    fn names_that_are_never_answered_are_named() {
        let findings = |once: &str| {
            in_traffic(NAME, |lab| {
                for number in 0..12u16 {
                    let at = u64::from(number) * 20_000_000;
                    for later in [0, 1_000_000, 3_000_000, 7_000_000] {
                        asks_all(lab, at + later, number, "_sip._udp.shop.example", &[lab.resolver()]);
                    }
                    lab.resolves(at + 15_000_000, if number == 0 { once } else { "www.shop.example" });
                }
            })
        };
        let answered = one(&findings("_sip._udp.shop.example"), "partial", Severity::Critical);
        assert!(answered.title.ends_with("leaves 50 % of its lookups unanswered"), "{}", answered.title);
        let finding = one(&findings("www.shop.example"), "partial", Severity::Critical);
        assert_eq!(finding.title, "10.77.0.53:53 answers no lookup for _sip._udp.shop.example");
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (12, 24));
    }

    #[test]
    fn what_was_lost_once_is_not_about_its_name() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..30u16 {
                let (at, name) = (u64::from(number) * 20_000_000, format!("api{number}.shop.example"));
                match number % 5 {
                    0 => [0, 5_000_000].into_iter().for_each(|later| {
                        asks_all(lab, at + later, number, &name, &[lab.resolver()]);
                    }),
                    _ => lab.resolves(at, &name),
                }
            }
        });
        let finding = one(&findings, "partial", Severity::Warning);
        assert!(finding.title.ends_with("leaves 20 % of its lookups unanswered"), "{}", finding.title);
    }

    /// A scanner asks for the names of a whole network at once; what was dropped it asks for again.
    #[test]
    fn a_sweep_of_reverse_names_is_information() {
        const PTR: u16 = 12;
        let findings = in_traffic(NAME, |lab| {
            let (client, resolver) = ((lab.client(7), 41_000), (lab.resolver(), 53));
            for number in 0..200u16 {
                let name = format!("{number}.3.77.10.in-addr.arpa");
                let query = dns::query(number, &name, PTR);
                let answer = dns::response(number, &name, PTR, 3, &[]);
                let at = 1_000_000 + u64::from(number) * 500;
                lab.udp(at, client, resolver, &query);
                let late = if number % 3 == 0 { 4_000_000 } else { 0 };
                if late > 0 {
                    let again = dns::query(number + 900, &name, PTR);
                    lab.udp(at + late, client, resolver, &again);
                }
                let id = if late > 0 { number + 900 } else { number };
                let answer = [&id.to_be_bytes()[..], &answer[2..]].concat();
                lab.udp(at + late + 900, resolver, client, &answer);
            }
        });
        let finding = one(&findings, "partial", Severity::Info);
        assert!(finding.title.ends_with("all of a sweep of reverse names"), "{}", finding.title);
        assert!(finding.impact.seconds_lost < Span::secs(5), "{}", finding.summary);
    }

    /// A phone on an access point without Internet, and several.
    #[test]
    fn names_that_a_system_asks_for_by_itself_are_no_outage() {
        let findings = |clients: u8, name: &str| {
            in_traffic(NAME, |lab| {
                for (number, name) in
                    ["connectivitycheck.gstatic.com", "www.google.com", name].iter().enumerate()
                {
                    for client in 0..clients {
                        let client = (lab.client(7 + client), lab.next_port());
                        let resolver = (lab.resolver(), 53);
                        for again in 0..2 {
                            let query = dns::query(client.1 + again, name, dns::A);
                            let at = 20_000 + number as u64 * 900 + u64::from(again) * 5_000_000;
                            lab.udp(at, (client.0, client.1 + again), resolver, &query);
                        }
                    }
                }
                for number in 0..3 {
                    let client = (lab.client(7), lab.next_port());
                    let query = dns::query(client.1, "clients3.google.com", dns::A);
                    for after in [0, 5] {
                        lab.udp((40 + number * 40 + after) * 1_000_000, client, (lab.resolver(), 53), &query);
                    }
                }
                let mut talk = lab.talk(7, (9, 80), 30_000, [30, 900]);
                lab.http(&mut talk, 300);
            })
        };
        let found = findings(1, "mtalk.google.com");
        let finding = one(&found, "silent", Severity::Info);
        assert!(finding.summary.contains("by themselves (Android)"), "{}", finding.summary);
        one(&findings(4, "mtalk.google.com"), "silent", Severity::Warning);
        one(&findings(1, "www.shop.example"), "silent", Severity::Critical);
    }

    /// A name that Windows measures its networks with fails, and what people ask for was answered by another.
    #[test]
    fn names_of_a_system_do_not_count_beside_those_of_people() {
        let findings = |probe: &str| {
            in_traffic(NAME, |lab| {
                let (silent, answers) = (lab.resolver(), lab.server(54));
                for number in 0..8u16 {
                    let at = 1_000_000 + u64::from(number) * 40_000_000;
                    asks_all(lab, at, number, &format!("www{number}.shop.example"), &[silent, answers]);
                    let answer = dns::response(
                        number,
                        &format!("www{number}.shop.example"),
                        dns::A,
                        0,
                        &[[10, 77, 2, 80]],
                    );
                    lab.udp(at + 9_000, (answers, 53), (lab.client(7), 20_000 + number), &answer);
                    if number % 2 == 0 {
                        asks_all(lab, at + 10_000_000, 99 + number, probe, &[silent]);
                        asks_all(lab, at + 15_000_000, 99 + number, probe, &[silent]);
                        let well = format!("app{number}.shop.example");
                        lab.asks(
                            at + 20_000_000,
                            7,
                            silent,
                            (&well, dns::A),
                            dns::NOERROR,
                            &[[10, 77, 2, 81]],
                        );
                    }
                }
            })
        };
        one(&findings("t-ring-fdv2.msedge.net"), "partial", Severity::Info);
        one(&findings("www.msedge.net"), "partial", Severity::Critical);
    }

    /// A scanner looks for the names of what it finds, beside a person's lookup.
    #[test]
    fn reverse_names_alone_are_no_outage() {
        for (last, severity) in
            [("9.1.77.10.in-addr.arpa", Severity::Warning), ("www.shop.example", Severity::Critical)]
        {
            let findings = in_traffic(NAME, |lab| {
                for number in 1..9 {
                    let name = format!("{number}.1.77.10.in-addr.arpa");
                    unanswered(lab, number * 12_000, if number < 8 { &name } else { last });
                }
                let mut talk = lab.talk(7, (9, 80), 30_000, [30, 900]);
                lab.http(&mut talk, 300);
            });
            one(&findings, "silent", severity);
        }
    }
}
