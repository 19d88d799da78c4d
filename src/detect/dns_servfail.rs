//! # What it finds
//! Lookups that a resolver answered with SERVFAIL, by resolver and name.
//!
//! # Why it matters
//! SERVFAIL means that the resolver could not get an answer, not that the name does not exist: retries and fail-over cost seconds
//! and often fail, too.
//!
//! # How it decides
//! Response code 2 in the first response of a transaction. Extended errors of the response are quoted.
//!
//! # What it leaves alone
//! NXDOMAIN and empty answers, which are answers; what another transaction of the client got afterwards.
//!
//! # What it does not claim
//! Why the resolver failed, unless it says so itself in an extended error.
//!
//! # References
//! RFC 1035 section 4.1.1; RFC 8914; RFC 2308 section 7; FIELD C12.

use std::net::IpAddr;

use crate::app::dns::{Transaction, error_name, qtype_name};
use crate::detect::finding::counts;
use crate::detect::group::{Distinct, Exhibits, Groups, Merge, Seen, exhibit, plural};
use crate::detect::*;
use crate::flow::{Endpoint, FlowHead};
use crate::time::Span;

/// SERVFAIL (RFC 1035).
const SERVFAIL: u16 = 2;

#[derive(Clone, Debug, Default)]
struct Lookups {
    total: u64,
    failed: u64,
    waited: Span,
    clients: Distinct<IpAddr>,
    errors: Distinct<(u16, String)>,
    seen: Seen,
    exhibits: Exhibits,
}

impl Merge for Lookups {
    fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.failed += other.failed;
        self.waited += other.waited;
        self.clients.merge(other.clients);
        self.errors.merge(other.errors);
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
    }
}

/// Counts answered lookups by resolver and name.
#[derive(Debug)]
pub(super) struct DnsServfail {
    critical_share: f64,
    lookups: u64,
    unanswered: u64,
    names: Groups<(Endpoint, String), Lookups>,
}

impl Detector for DnsServfail {
    const RULE: Rule = Rule {
        name: "dns_servfail",
        group: "dns",
        summary: "lookups that a resolver answered with servfail",
        variants: &[],
        thresholds: &[Threshold {
            key: "critical_share",
            default: 0.5,
            unit: "share",
            meaning: "failed lookups of all answered ones for the name at the resolver, from which it is critical",
            source: "ours: the name does not resolve for most",
        }],
        source: include_str!("dns_servfail.rs"),
    };

    fn new(settings: &Settings) -> Self {
        let names = Groups::new(Groups::<(Endpoint, String), Lookups>::MOST * 16);
        Self { critical_share: settings.value("critical_share"), lookups: 0, unanswered: 0, names }
    }

    fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
        let Some((response, rcode)) = transaction.response.zip(transaction.rcode) else {
            self.unanswered += 1;
            return;
        };
        self.lookups += 1;
        let name = transaction.name.to_ascii_lowercase();
        let Some(lookups) = self.names.observe((flow.server, name)) else { return };
        lookups.total += 1;
        if rcode != SERVFAIL {
            return;
        }
        lookups.failed += 1;
        lookups.waited += transaction.waited().unwrap_or(Span::ZERO);
        lookups.clients.add(flow.client.address);
        lookups.seen.add(response.time);
        for error in &transaction.errors {
            lookups.errors.add((error.code, error.text.clone()));
        }
        lookups.exhibits.add(0, response.packet, || {
            let asked = format!("{} {}, id {}", transaction.name, qtype_name(transaction.qtype), transaction.id);
            let query = transaction.query.map(|query| exhibit(query, "query", asked));
            let errors = transaction.errors.iter().map(|error| format!(", extended error {} {}", error.code, error_name(error.code)));
            let answer = format!("SERVFAIL{}", errors.collect::<String>());
            query.into_iter().chain([exhibit(response, "response", answer)]).collect()
        });
    }

    fn merge(&mut self, other: Self) {
        self.lookups += other.lookups;
        self.unanswered += other.unanswered;
        self.names.merge(other.names);
    }

    fn finish(self, _context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.lookups, unit: "lookups", ..Verdict::default() };
        verdict.skip(&Self::RULE, "no response was captured", self.unanswered, "lookups");
        verdict.skip(&Self::RULE, "more names and resolvers than are kept apart", self.names.lost(), "lookups");
        for ((resolver, name), lookups) in self.names.iter().filter(|(_, lookups)| lookups.failed > 0) {
            let most = lookups.failed as f64 >= self.critical_share * lookups.total as f64;
            let severity = if most { Severity::Critical } else { Severity::Warning };
            let errors: Vec<String> = lookups
                .errors
                .iter()
                .map(|(code, text)| match text.is_empty() {
                    true => format!("{code} ({})", error_name(*code)),
                    false => format!("{code} ({}: {text})", error_name(*code)),
                })
                .collect();
            let said = match errors.is_empty() {
                true => "The responses carry no extended error.".to_owned(),
                false => format!("The resolver says: {}.", errors.join(", ")),
            };
            let cached = lookups.errors.iter().any(|(code, _)| *code == 13);
            verdict.findings.push(Finding {
                title: format!("{resolver} answers SERVFAIL for {name}"),
                summary: format!(
                    "{} of {} of {name} at this resolver got SERVFAIL, from {}. {said}",
                    lookups.failed,
                    plural(lookups.total, "answered lookup"),
                    lookups.clients.of("client"),
                ),
                subject: Subject {
                    client: lookups.clients.only().map(ToString::to_string),
                    server: Some(resolver.address.to_string()),
                    port: Some(resolver.port),
                    name: Some(name.clone()),
                    ..Subject::default()
                },
                first_seen: lookups.seen.first(),
                last_seen: lookups.seen.last(),
                counts: counts(&[("servfail", lookups.failed), ("answered", lookups.total)]),
                impact: Impact {
                    seconds_lost: lookups.waited,
                    failed_transactions: lookups.failed,
                    of_transactions: lookups.total,
                    clients: lookups.clients.count(),
                    services: 1,
                },
                evidence: lookups.exhibits.evidence(),
                alternatives: match cached {
                    true => vec!["the failure is cached: the original one may be older than the capture (RFC 9520)"],
                    false => vec!["the resolver cannot reach a server for the zone", "DNSSEC validation fails at the resolver"],
                },
                next_steps: vec!["ask the resolver again with and without checking: dig +ednsopt NAME, dig +cd NAME", "capture between the resolver and its own upstream"],
                not_claimed: vec!["that the resolver itself is at fault"],
                ..Finding::draft(&Self::RULE, "", severity, Confidence::Confirmed)
            });
        }
        verdict
    }
}
