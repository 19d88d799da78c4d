//! # What it finds
//! Resolvers that answer late, and what their clients waited.
//!
//! # Why it matters
//! Every new connection begins with a lookup. A second there is a second everywhere.
//!
//! # How it decides
//! The time from the query to its response, by resolver. A query that was sent again counts from its last
//! sending, so a time is never too long. A lookup is slow from `slow` on above the path, which is
//! the fastest answer of the resolver. Where the same clients ask another resolver, or clients of their
//! network ask one of its network, it is the fastest answer of either.
//!
//! It is a warning when at least `slow_share` of the lookups and `slow_lookups` are slow. Fewer are
//! information from `slow_lookups` on: a resolver that has to ask others takes its time. When every answer of
//! the only resolver takes long, the path may be long: that is information, too.
//!
//! Resolvers that clients asked for the same lookups, with the same port and ID, are one finding, and so are
//! addresses on the client's link with one link address.
//!
//! Names that were asked for again tell recursion from the resolver: a cache answers them at once.
//!
//! # What it leaves alone
//! Queries without the wish for recursion: those are between servers. Reverse names, block lists, types that
//! are asked for beside the address or for DNSSEC, CHAOS names, NOTIFY, UPDATE, NetBIOS. Lookups without a
//! response (see `dns_unanswered`), and failures: late or not, see `dns_servfail`.
//!
//! # What it does not claim
//! That the resolver itself is slow: it may wait for others. What a lookup delayed.
//!
//! # References
//! RFC 1034 section 5.3.3; RFC 8767 section 5: 1.8 s until clients are better served by a stale answer.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{SERVFAIL, Transaction, qtype_name, rcode_name};
use crate::detect::lookups::{asks_for_name, is_needed, lowercase};
use crate::detect::resolvers::{Lookups, Resolvers, lookup_id, unite};
use crate::detect::scope::network;
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::{FlowHead, Times};
use crate::time::Span;

thresholds! {
    /// Measures lookups by resolver.
    struct DnsSlow {
        slow: Span = 0.5 "s",
            "above the path, from which a lookup is slow",
            "ours: half a second is felt, and more than two queries around the earth";
        slow_lookups: u64 = 5.0 "lookups",
            "slow lookups of a resolver, from which it is worth saying",
            "ours: one slow recursion is everyday traffic";
        slow_share: f64 = 0.5 "share",
            "of the lookups of the resolver, from which it is a warning",
            "ours: the half of the lookups, so the median";
    }
}

variants! {
    /// There is one kind.
    enum Only {
        Slow "" Warning {
            could_be: &[
                "the resolver waits for servers that answer late, or not at all",
                "the resolver is overloaded",
                "the path to the resolver is slow",
            ],
            next: &[
                "ask twice for the same name: dig @RESOLVER NAME. The second answer comes from the cache",
                "capture between the resolver and the servers it asks",
            ],
            not_claimed: &[
                "that the resolver itself is slow: it may wait for others",
                "what a lookup delayed",
            ],
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

counts! {
    /// What a case counts beside its lookups.
    struct Slow {
        asked_again: u64,
        lookups: Lookups,
    }
}

/// What is measured of every lookup of a resolver.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    waits: Times,
    /// Microseconds.
    fastest: Least,
    waited: Span,
    clients: Distinct<IpAddr, 64>,
}

impl Measured {
    /// Half of the lookups took so long or longer.
    fn half(&self) -> Span {
        self.waits.quantile(0.5).unwrap_or_default()
    }

    /// The path to `resolver` is no longer than that to `other`: the same clients ask both, or their
    /// neighbours ask a neighbour of the resolver.
    fn shares_path(&self, resolver: Endpoint, other: Endpoint, peer: &Self) -> bool {
        let near = network(resolver.address) == network(other.address);
        let same = |one: &IpAddr, two: &IpAddr| one == two || (near && network(*one) == network(*two));
        peer.clients.iter().any(|one| self.clients.iter().any(|two| same(one, two)))
    }
}

impl Merge for Measured {
    fn absorb(&mut self, other: Self) {
        self.waits.absorb(other.waits);
        self.fastest.absorb(other.fastest);
        self.waited += other.waited;
        self.clients.absorb(other.clients);
    }
}

/// Lookups for one name and type at a resolver: the first, and all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Named {
    first: Option<(PacketRef, Span)>,
    lookups: u64,
    waited: Span,
}

impl Merge for Named {
    fn absorb(&mut self, other: Self) {
        self.first = self.first.into_iter().chain(other.first).min();
        self.lookups += other.lookups;
        self.waited += other.waited;
    }
}

merged! {
    /// Lookups by resolver and hash of name and type.
    pub(super) struct Names(Bounded<(Endpoint, u64), Named, { 1 << 15 }>);
}

impl Detector for DnsSlow {
    const RULE: Rule = Rule {
        name: "dns_slow",
        group: Group::Dns,
        summary: "resolvers that answer late",
        judges: "lookups",
        variants: Only::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("dns_slow.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Upstream, &["dns_slow"])];
    type Variant = Only;
    type Key = Endpoint;
    type Counts = Slow;
    type Total = Measured;
    type Notes = Names;

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        let needed = transaction.recursion_desired && is_needed(&transaction.name, transaction.qtype);
        if !asks_for_name(transaction, flow) || !needed {
            return book
                .not_judged("nobody waits for them: reverse names, HTTPS, DNSSEC, NetBIOS and the like");
        }
        let (Some(query), Some(response), Some(rtt)) =
            (transaction.query, transaction.response, transaction.rtt)
        else {
            return book.not_judged("the query or the response is not in the capture");
        };
        if rtt < Span::ZERO {
            return book.not_judged("the response was recorded before the query");
        }
        if transaction.rcode == Some(SERVFAIL) {
            return; // dns_servfail says it.
        }
        let resolver = flow.server;
        if let Some(measured) = book.judged(&resolver) {
            measured.waits.add(rtt);
            measured.fastest.add(u64::try_from(rtt.0 / 1_000).unwrap_or(0));
            measured.waited += rtt;
            measured.clients.add(flow.client.address);
        }
        let asked = (resolver, hash_of(&(lowercase(&transaction.name), transaction.qtype)));
        if let Some(named) = book.notes.0.count(asked) {
            named.absorb(Named { first: Some((query, rtt)), lookups: 1, waited: rtt });
        }
        if rtt < self.slow {
            return;
        }
        let Some(case) = book.case(resolver) else { return };
        case.lookup(transaction, flow, query);
        case.affected.active.add(response.time);
        case.counts.lookups.add(lookup_id(transaction, flow));
        case.counts.asked_again += u64::from(transaction.repeat_count > 0);
        case.show(rtt.0.saturating_neg(), query.packet, || {
            let asked =
                format!("{} {}, id {}", transaction.name, qtype_name(transaction.qtype), transaction.id);
            let answer = format!("{} after {rtt}", rcode_name(transaction.rcode.unwrap_or(0)));
            [Evidence::new(query, Role::Query, asked), Evidence::new(response, Role::Response, answer)]
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut findings = Vec::new();
        // Of those with enough slow lookups the one with most.
        let weight = |book: &Book<Self>, resolver: &Endpoint, _: &Case<Slow>| {
            let (total, measured) = book.total(resolver);
            let slow = measured.map_or(0, |measured| measured.waits.at_least(self.slow));
            (slow >= self.slow_lookups, slow * 1000 / total.max(1))
        };
        unite(book, context.heard, |_, resolver| (*resolver, ()), |of| &of.lookups, weight);
        for (resolver, mut case) in book.take(|_, _| true) {
            let (total, Some(measured)) = book.total(&resolver) else { continue };
            if total < self.slow_lookups {
                continue;
            }
            case.total = total;
            let peers = book.totals().filter(|(other, _, peer)| {
                **other != resolver && measured.shares_path(resolver, **other, peer)
            });
            let peer = peers.min_by_key(|(other, _, peer)| (peer.fastest.get(), **other));
            let own = Span::micros(measured.fastest.get() as i64);
            let path = peer.map_or(own, |(_, _, peer)| own.min(Span::micros(peer.fastest.get() as i64)));
            let slow = measured.waits.at_least(path + self.slow);
            let far = own >= self.slow && path == own;
            if slow < self.slow_lookups && !far {
                continue;
            }
            let median = measured.half().max(own);
            let most = slow >= self.slow_lookups && share(slow, total) >= self.slow_share;
            let severity = match most && context.totals.clock_fault().is_none() {
                true => Severity::Warning,
                false => Severity::Info,
            };
            let named = Resolvers::of(resolver, &case, context.heard);
            let (who, its) = (&named.who, named.verb("its", "their"));
            let takes = named.verb("takes", "take");
            let title = match severity {
                Severity::Info if far => format!("{who} {takes} at least {own} for every lookup"),
                Severity::Info => {
                    let answers = named.verb("answers", "answer");
                    format!("{who} {answers} {} of {its} lookups late", percent(slow, total))
                }
                _ => format!("{who} {takes} {median} or more for half of {its} lookups"),
            };
            let mut summary = format!(
                "{} waited {} for {}. Half of them took {median} or more, one in twenty {} or more. The \
                 fastest took {own}.",
                measured.clients.of("client"),
                measured.waited,
                plural(total, "lookup"),
                measured.waits.quantile(0.95).unwrap_or_default().max(own),
            );
            if let Some((other, lookups, peer)) = peer {
                let half = peer.half();
                summary += &format!(" {other} took {half} or more for half of {lookups}.");
            }
            summary += &named.note;
            summary += &book.notes.recursion(resolver);
            let draft = Draft::new(Only::Slow, title, summary)
                .severity(severity)
                .confidence(if peer.is_some() { Confidence::Confirmed } else { Confidence::Likely })
                .count("slow", slow);
            let draft = match far {
                true => draft.could_be(["the path to the resolver is long", "the resolver waits for others"]),
                false => draft,
            };
            case.lost = measured.waited;
            findings.push((draft, case));
        }
        findings
    }
}

impl Names {
    /// What names asked for again say: the cache answers them.
    fn recursion(&self, resolver: Endpoint) -> String {
        let (mut names, mut firsts, mut again, mut rest) = (0, Span::ZERO, 0, Span::ZERO);
        let several = self.0.iter().filter(|((of, _), _, named)| *of == resolver && named.lookups > 1);
        for (_, _, named) in several {
            let Some((_, first)) = named.first else { continue };
            names += 1;
            firsts += first;
            again += named.lookups - 1;
            rest += named.waited - first;
        }
        if names == 0 {
            return " No name was asked for twice.".to_owned();
        }
        let mean = |sum: Span, of: u64| Span(sum.0 / i64::try_from(of).unwrap_or(i64::MAX).max(1));
        format!(
            " The first lookup of a name took {} on average, {} for the same {}.",
            mean(firsts, names),
            plural(again, "later lookup"),
            mean(rest, again),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, silent};
    use crate::support::dns::{self, A};
    use crate::support::scenes::Lab;

    const NAME: &str = DnsSlow::RULE.name;
    const PTR: u16 = 12;

    /// A lookup of client 7, at a millisecond, that takes so many milliseconds.
    fn takes(lab: &mut Lab, at: u64, delay: u64, name: &str, qtype: u16) {
        lab.lookup(at * 1_000, delay * 1_000, name, qtype, |id| {
            dns::response(id, name, qtype, dns::NOERROR, &[[10, 77, 2, 80]])
        });
    }

    #[test]
    fn it_fires() {
        fires(NAME, &[("dns_slow", "", Severity::Warning)]);
    }

    #[test]
    fn it_stays_silent() {
        silent(NAME, &["healthy_search_list", "healthy_large", "dns_unanswered", "dns_servfail_bogus"]);
    }

    #[test]
    fn some_slow_recursions_are_information() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..40 {
                let delay = if number % 5 == 0 { 900 } else { 3 };
                takes(lab, 1_000 + number * 2_000, delay, &format!("www{number}.example"), A);
            }
        });
        one(&findings, "", Severity::Info);
    }

    #[test]
    fn a_few_slow_recursions_are_not_worth_a_word() {
        let findings = in_traffic(NAME, |lab| {
            (0..4).for_each(|number| takes(lab, 1_000 + number * 2_000, 900, "www.shop.example", A));
            takes(lab, 20_000, 3, "www.shop.example", A);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// By satellite everything takes long.
    #[test]
    fn a_long_path_is_information() {
        let findings = in_traffic(NAME, |lab| {
            let delay = |number| 620 + number % 7;
            (0..20)
                .for_each(|number| takes(lab, 1_000 + number * 2_000, delay(number), "www.example.org", A));
        });
        one(&findings, "", Severity::Info);
    }

    /// The same delay every time, as of a first upstream that never answers; another resolver is quick.
    #[test]
    fn another_resolver_shows_that_the_path_is_short() {
        let findings = in_traffic(NAME, |lab| {
            (0..20).for_each(|number| takes(lab, 1_000 + number * 3_000, 1_003, "www.example.org", A));
            let quick = lab.server(54);
            lab.asks(900_000, 7, quick, ("www.example.org", A), dns::NOERROR, &[[10, 77, 2, 80]]);
        });
        let finding = one(&findings, "", Severity::Warning);
        assert!(finding.summary.contains("10.77.2.54:53 took"), "{}", finding.summary);
    }

    #[test]
    fn nobody_waits_for_reverse_names() {
        let findings = in_traffic(NAME, |lab| {
            (0..20)
                .for_each(|number| takes(lab, 1_000 + number * 4_000, 2_500, "8.1.77.10.in-addr.arpa", PTR));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A tunnel: the server holds the queries until it has something to send.
    #[test]
    fn names_that_carry_data_are_left_alone() {
        const TXT: u16 = 16;
        let findings = in_traffic(NAME, |lab| {
            for number in 0..60 {
                takes(lab, 1_000 + number * 700, 500, &format!("{number:016x}.tunnel.example"), TXT);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Waits are counted in slots, and the middle of one may be below what is in it.
    #[test]
    fn half_of_them_are_no_faster_than_the_fastest() {
        let findings = in_traffic(NAME, |lab| {
            (0..20).for_each(|number| takes(lab, 1_000 + number * 2_000, 1_000, "www.example.org", A));
        });
        let finding = one(&findings, "", Severity::Info);
        assert!(finding.summary.contains("Half of them took 1.00 s or more"), "{}", finding.summary);
    }

    /// The resolver gives up, each time after seconds: it has no answer.
    #[test]
    fn failures_are_no_late_answers() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..20 {
                let name = format!("www{number}.example");
                lab.lookup(number * 4_000_000, 2_500_000, &name, A, |id| dns::response(id, &name, A, 2, &[]));
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Every lookup is sent to both resolvers, and both take their time; a third one is asked for some.
    #[test]
    fn resolvers_that_are_asked_for_the_same_are_one_finding() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..9u16 {
                let (client, name) = ((lab.client(7), 40_000 + number), format!("api{number}.shop.example"));
                let all = [lab.resolver(), lab.server(54), lab.server(55)];
                for resolver in all.into_iter().take(if number > 6 { 3 } else { 2 }) {
                    let at = 1_000_000 + u64::from(number) * 9_000_000;
                    let delay = if number == 0 { 4_000 } else { 2_000_000 };
                    lab.udp(at, client, (resolver, 53), &dns::query(number, &name, A));
                    let answer = dns::response(number, &name, A, 0, &[[10, 77, 2, 80]]);
                    lab.udp(at + delay, (resolver, 53), client, &answer);
                }
            }
        });
        let finding = one(&findings, "", Severity::Warning);
        assert!(
            finding.title.starts_with("10.77.0.53:53, 10.77.2.54:53 and 10.77.2.55:53 take 2.00 s"),
            "{}",
            finding.title
        );
    }
}
