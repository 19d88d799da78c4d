//! # What it finds
//! Lookups that got no response, by resolver.
//!
//! # Why it matters
//! A client waits five seconds and more for every query before it asks again or asks another resolver.
//! Applications look slow or down, although only the name is missing.
//!
//! # How it decides
//! A query and its repeats, no response, and the capture goes on for at least `patience` after the last of
//! them. A resolver that left at least `critical_share` of its lookups without response, and at least
//! `critical_lookups`, is critical. Below `warning_lookups` it is information: one lost datagram is everyday
//! traffic.
//!
//! # What it leaves alone
//! - Responses of any code: those are answers (see `dns_servfail`).
//! - Multicast DNS and LLMNR, where nobody has to answer.
//! - Queries shortly before the end of the capture.
//!
//! # What it does not claim
//! That the resolver is down: the capture shows only what passed it. Whether another resolver answered
//! instead. When the capture holds no response of any resolver, it may hold one direction only, and the
//! finding is less sure.
//!
//! # References
//! resolv.conf(5): `timeout` 5 s, `attempts` 2; RFC 1035 section 4.2.1; RFC 9520 section 3.

use crate::app::dns::{Transaction, qtype_name};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;
use crate::time::Span;

thresholds! {
    /// Counts lookups without a response by resolver.
    struct DnsUnanswered {
        patience: Span = 5.0 "s",
            "how long the capture must go on after the last query before silence means something",
            "resolv.conf(5), timeout: 5 s";
        warning_lookups: u64 = 3.0 "lookups",
            "lookups of a resolver without response, below which it is information only",
            "ours: glibc alone asks twice per lookup, so three are more than one lookup";
        critical_lookups: u64 = 5.0 "lookups",
            "lookups of a resolver without response, from which it can be critical",
            "ours: more than a short burst of losses takes";
        critical_share: f64 = 0.5 "share",
            "of the lookups of the resolver, from which it is critical",
            "ours: most lookups fail";
    }
}

variants! {
    /// Whether the resolver answered anything.
    enum Extent {
        Silent "silent" Critical {
            could_be: &[
                "a filter drops UDP port 53, or its answers",
                "the resolver is down or not reachable from here",
                "the answers take another path than this capture point",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        Partial "partial" Critical {
            could_be: &[
                "the resolver waits for servers that do not answer it",
                "single packets are lost on the way",
                "the resolver limits the rate of its answers",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

const NEXT: &[&str] = &[
    "ask the resolver directly: dig @RESOLVER NAME, and dig +tcp @RESOLVER NAME",
    "capture at the resolver at the same time: does the query arrive, does an answer leave?",
];
const NOT_CLAIMED: &[&str] = &["that the resolver is down", "whether another resolver answered instead"];

counts! {
    /// What a case counts beside its lookups.
    struct Silence {
        /// Queries sent, repeats included.
        queries: u64,
    }
}

counts! {
    /// What is counted of every lookup.
    struct Asked {
        answered: u64,
    }
}

impl Detector for DnsUnanswered {
    const RULE: Rule = Rule {
        name: "dns_unanswered",
        group: Group::Dns,
        summary: "lookups that got no response",
        judges: "lookups",
        variants: Extent::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("dns_unanswered.rs"),
    };
    type Variant = Extent;
    type Key = Endpoint;
    type Counts = Silence;
    type Total = Asked;
    type Notes = ();

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        let Some(query) = transaction.query else {
            return book.not_judged("the query is not in the capture");
        };
        let last = transaction.repeats.last().copied().unwrap_or(query);
        let answered = transaction.response.is_some();
        if !answered && transaction.watched_until - last.time < self.patience {
            return book.not_judged("the capture ended too soon after the query");
        }
        if let Some(asked) = book.judged(&flow.server) {
            asked.answered += u64::from(answered);
        }
        if answered {
            return;
        }
        let Some(case) = book.case(flow.server) else { return };
        case.lookup(transaction, flow, query);
        case.affected.active.add(last.time);
        case.failed += 1;
        case.lost += self.waited(query, last);
        case.counts.queries += 1 + u64::from(transaction.repeat_count);
        case.show(-(last.time - query.time).0, query.packet, || {
            let asked =
                format!("{} {}, id {}", transaction.name, qtype_name(transaction.qtype), transaction.id);
            let repeats = transaction.repeats.iter().take(3);
            let repeats = repeats.map(move |at| {
                Evidence::new(*at, Role::Retry, format!("{} after the first query", at.time - query.time))
            });
            [Evidence::new(query, Role::Query, asked)].into_iter().chain(repeats)
        });
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Silence>,
        book: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Extent>> {
        let (resolver, lookups) = (*key, case.total.max(case.failed));
        let answered = book.total(&resolver).1.map_or(0, |asked| asked.answered);
        let extent = if answered == 0 { Extent::Silent } else { Extent::Partial };
        let title = match extent {
            Extent::Silent => format!("{resolver} answers no lookup"),
            Extent::Partial => {
                format!("{resolver} leaves {} of its lookups unanswered", percent(case.failed, lookups))
            }
        };
        let names = &case.affected.names;
        let summary = format!(
            "{} got no response to {} of {}, for {}. They sent {} and waited at least {} in all.{}",
            case.clients(),
            case.failed,
            plural(lookups, "lookup"),
            names.only().map_or_else(|| names.of("name"), String::clone),
            plural(case.counts.queries, "query"),
            case.lost,
            icmp(context),
        );
        let most = share(case.failed, lookups) >= self.critical_share && case.failed >= self.critical_lookups;
        let severity = match case.failed {
            _ if most => Severity::Critical,
            failed if failed >= self.warning_lookups => Severity::Warning,
            _ => Severity::Info,
        };
        let draft = Draft::new(extent, title, summary).severity(severity).count("answered", answered);
        // Where no resolver is ever heard, the capture may not hold that direction at all.
        let heard = book.totals().any(|(_, _, asked)| asked.answered > 0);
        Some(match heard {
            true => draft,
            false => draft
                .severity(severity.min(Severity::Warning))
                .gate(QualityIssue::OneWay.gate("no response of any resolver is in the capture")),
        })
    }
}

impl DnsUnanswered {
    /// From the first query to the last, and the patience of a client behind it.
    fn waited(&self, first: PacketRef, last: PacketRef) -> Span {
        last.time - first.time + self.patience
    }
}

fn icmp(context: &Context<'_>) -> String {
    match context.totals.icmp_packets {
        0 => " No ICMP packet was captured.".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, silent};
    use crate::support::dns;
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
        silent(
            NAME,
            &["healthy_search_list", "healthy_large", "dns_servfail_bogus", "missing_syn_ack_silent"],
        );
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
            (0..9).for_each(|number| unanswered(lab, 20 + number, "api.shop.example"));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn without_any_response_in_the_capture_it_is_less_sure() {
        let findings = in_traffic(NAME, |lab| {
            (0..9).for_each(|number| unanswered(lab, 20 + number * 100, "api.shop.example"));
            let mut talk = lab.talk(7, (9, 80), 30_000, [30, 900]);
            lab.http(&mut talk, 300);
        });
        let finding = one(&findings, "silent", Severity::Warning);
        assert_eq!(finding.confidence, Confidence::Likely);
    }
}
