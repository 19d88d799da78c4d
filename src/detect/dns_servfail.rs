//! # What it finds
//! Lookups that a resolver answered with SERVFAIL, by resolver and zone.
//!
//! # Why it matters
//! SERVFAIL means that the resolver could not get an answer, not that the name does not exist: retries and fail-over cost seconds
//! and often fail, too.
//!
//! # How it decides
//! Response code 2 in the first response of a transaction. Extended errors of the response are quoted. Names are taken together by
//! their last two labels, and from `zones` such zones on the whole resolver is one finding. Where the capture shows the resolver
//! asking another one for the same name while its client waits, the finding says what came of that.
//!
//! # What it leaves alone
//! NXDOMAIN and empty answers, which are answers; what another transaction of the client got afterwards.
//!
//! # What it does not claim
//! Why the resolver failed, unless it says so itself in an extended error.
//!
//! # References
//! RFC 1035 section 4.1.1; RFC 8914; RFC 2308 section 7; FIELD C12.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::dissect::PacketRef;
use crate::app::dns::{Transaction, error_name, qtype_name};
use crate::detect::finding::counts;
use crate::detect::group::{Distinct, EvidenceSample, Groups, Merge, Seen, exhibit, plural};
use crate::detect::*;
use crate::flow::{Endpoint, FlowHead};
use crate::time::Span;

/// SERVFAIL (RFC 1035).
const SERVFAIL: u16 = 2;

/// What a resolver got when it asked another one, in the time its client waited.
#[derive(Clone, Debug, Default)]
struct Upstream {
    failed: u64,
    unanswered: u64,
    servers: Distinct<IpAddr>,
}

/// A lookup that failed or got no answer: the query, the SERVFAIL, and who was asked.
#[derive(Clone, Debug, Default)]
struct Lookup {
    query: Option<PacketRef>,
    response: Option<PacketRef>,
    server: Option<Endpoint>,
}

impl Merge for Lookup {
    fn merge(&mut self, other: Self) {
        // Keys are packets: nothing is ever counted twice under one.
        *self = other;
    }
}

#[derive(Clone, Debug, Default)]
struct Lookups {
    total: u64,
    failed: u64,
    waited: Span,
    clients: Distinct<IpAddr>,
    names: Distinct<String>,
    errors: Distinct<(u16, String)>,
    upstream: Upstream,
    seen: Seen,
    exhibits: EvidenceSample,
}

impl Merge for Lookups {
    fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.failed += other.failed;
        self.waited += other.waited;
        self.clients.merge(other.clients);
        self.names.merge(other.names);
        self.errors.merge(other.errors);
        self.upstream.failed += other.upstream.failed;
        self.upstream.unanswered += other.upstream.unanswered;
        self.upstream.servers.merge(other.upstream.servers);
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
    }
}

/// Counts answered lookups by resolver and name.
#[derive(Debug)]
pub(super) struct DnsServfail {
    critical_share: f64,
    critical_failures: u64,
    lookups: u64,
    zones: u64,
    unanswered: u64,
    found: Groups<(Endpoint, String), Lookups>,
    /// Lookups that failed or got no answer, by who asked, for what, and the packet.
    trouble: Groups<(IpAddr, String, u64), Lookup>,
}

impl Detector for DnsServfail {
    const RULE: Rule = Rule {
        name: "dns_servfail",
        group: "dns",
        summary: "lookups that a resolver answered with servfail",
        variants: &[],
        thresholds: &[
            Threshold {
                key: "critical_share",
                default: 0.5,
                unit: "share",
                meaning: "failed lookups of all answered ones for the name at the resolver, from which it is critical",
                source: "ours: the name does not resolve for most",
            },
            Threshold {
                key: "zones",
                default: 8.0,
                unit: "zones",
                meaning: "failing zones of a resolver, from which they are one finding on the resolver",
                source: "ours: more than a handful have little in common but the resolver",
            },
            Threshold {
                key: "critical_failures",
                default: 3.0,
                unit: "lookups",
                meaning: "failed lookups of the name at the resolver, from which it can be critical",
                source: "ours: glibc alone asks twice per lookup, so three are more than one lookup",
            },
        ],
        source: include_str!("dns_servfail.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            critical_share: settings.value("critical_share"),
            critical_failures: settings.count("critical_failures"),
            zones: settings.count("zones"),
            lookups: 0,
            unanswered: 0,
            found: Groups::new(Groups::<(Endpoint, String), Lookups>::MOST * 16),
            trouble: Groups::new(Groups::<(IpAddr, String, u64), Lookup>::MOST * 16),
        }
    }

    fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
        let name = transaction.name.to_ascii_lowercase();
        let failed = transaction.rcode == Some(SERVFAIL);
        if let Some(query) = transaction.query.filter(|_| failed || transaction.response.is_none()) {
            let key = (flow.client.address, name.clone(), query.packet);
            if let Some(lookup) = self.trouble.observe(key) {
                *lookup = Lookup { query: Some(query), response: transaction.response, server: Some(flow.server) };
            }
        }
        let Some(response) = transaction.response.filter(|_| transaction.rcode.is_some()) else {
            self.unanswered += 1;
            return;
        };
        self.lookups += 1;
        let Some(lookups) = self.found.observe((flow.server, zone(&name).to_owned())) else { return };
        lookups.total += 1;
        if !failed {
            return;
        }
        lookups.failed += 1;
        lookups.waited += transaction.waited().unwrap_or(Span::ZERO);
        lookups.names.add(name);
        lookups.clients.add(flow.client.address);
        lookups.seen.add(response.time);
        for error in &transaction.errors {
            lookups.errors.add((error.code, error.text.clone()));
        }
        lookups.exhibits.add(0, response.packet, || {
            let asked = format!("{} {}, id {}", transaction.name, qtype_name(transaction.qtype), transaction.id);
            let query = transaction.query.map(|query| exhibit(query, "query", asked));
            let errors = transaction
                .errors
                .iter()
                .map(|error| format!(", extended error {} {}", error.code, error_name(error.code)));
            let answer = format!("SERVFAIL{}", errors.collect::<String>());
            query.into_iter().chain([exhibit(response, "response", answer)]).collect()
        });
    }

    fn merge(&mut self, other: Self) {
        self.lookups += other.lookups;
        self.unanswered += other.unanswered;
        self.found.merge(other.found);
        self.trouble.merge(other.trouble);
    }

    fn finish(self, _context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.lookups, unit: "lookups", ..Verdict::default() };
        verdict.skip(&Self::RULE, "no response was captured", self.unanswered, "lookups");
        verdict.skip(&Self::RULE, "more zones and resolvers than are kept apart", self.found.lost(), "lookups");
        let mut resolvers: BTreeMap<Endpoint, BTreeMap<String, Lookups>> = BTreeMap::new();
        for ((resolver, zone), lookups) in self.found.iter().filter(|(_, lookups)| lookups.failed > 0) {
            resolvers.entry(*resolver).or_default().insert(zone.clone(), lookups.clone());
        }
        self.ask_upstream(&mut resolvers);
        for (resolver, zones) in resolvers {
            let count = zones.len() as u64;
            if count < self.zones {
                verdict.findings.extend(zones.iter().map(|(zone, lookups)| {
                    let what = match lookups.names.only() {
                        Some(name) => name.clone(),
                        None => format!("{} under {zone}", lookups.names.of("name")),
                    };
                    self.finding(resolver, &what, lookups)
                }));
            } else {
                let mut all = Lookups::default();
                zones.into_values().for_each(|lookups| all.merge(lookups));
                let what = format!("{} in {}", all.names.of("name"), plural(count, "zone"));
                verdict.findings.push(self.finding(resolver, &what, &all));
            }
        }
        verdict
    }
}

/// The last two labels of a name.
fn zone(name: &str) -> &str {
    let name = name.trim_end_matches('.');
    name.rmatch_indices('.').nth(1).map_or(name, |(at, _)| &name[at + 1..])
}

impl DnsServfail {
    /// Adds to each failing resolver what it got itself when it asked for the same name while its client waited.
    fn ask_upstream(&self, resolvers: &mut BTreeMap<Endpoint, BTreeMap<String, Lookups>>) {
        let mut asked: BTreeMap<(IpAddr, &str), Vec<&Lookup>> = BTreeMap::new();
        for ((client, name, _), lookup) in self.trouble.iter() {
            asked.entry((*client, name)).or_default().push(lookup);
        }
        for ((_, name, packet), lookup) in self.trouble.iter() {
            let Some((query, response)) = lookup.query.zip(lookup.response) else { continue };
            let Some(resolver) = lookup.server else { continue };
            let Some(lookups) = resolvers.get_mut(&resolver).and_then(|zones| zones.get_mut(zone(name))) else {
                continue;
            };
            for own in asked.get(&(resolver.address, name.as_str())).into_iter().flatten() {
                let Some(at) = own.query.filter(|at| query.time <= at.time && at.time <= response.time) else { continue };
                match own.response {
                    Some(_) => lookups.upstream.failed += 1,
                    None => lookups.upstream.unanswered += 1,
                }
                own.server.into_iter().for_each(|server| lookups.upstream.servers.add(server.address));
                lookups.exhibits.add(-1, *packet, || {
                    let asks = exhibit(at, "upstream_query", format!("{name}, from the resolver itself"));
                    let answer = own.response.map(|at| exhibit(at, "upstream_response", "SERVFAIL"));
                    let client = [exhibit(query, "query", name.clone()), exhibit(response, "response", "SERVFAIL")];
                    client.into_iter().chain([asks]).chain(answer).collect()
                });
            }
        }
    }

    fn finding(&self, resolver: Endpoint, what: &str, lookups: &Lookups) -> Finding {
        let most = lookups.failed >= self.critical_failures
            && lookups.failed as f64 >= self.critical_share * lookups.total as f64;
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
        let upstream = &lookups.upstream;
        let passed_on = upstream.failed + upstream.unanswered > 0;
        let behind = match passed_on {
            false => String::new(),
            true => format!(
                " While its clients waited, it asked {} itself: {} got SERVFAIL, {} no answer.",
                upstream.servers.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", "),
                plural(upstream.failed, "query"),
                upstream.unanswered,
            ),
        };
        let cached = lookups.errors.iter().any(|(code, _)| *code == 13);
        Finding {
            title: format!("{resolver} answers SERVFAIL for {what}"),
            summary: format!(
                "{} of {} got SERVFAIL, from {}. {said}{behind}",
                lookups.failed,
                plural(lookups.total, "answered lookup"),
                lookups.clients.of("client"),
            ),
            subject: Subject {
                client: lookups.clients.only().map(ToString::to_string),
                server: Some(resolver.address.to_string()),
                port: Some(resolver.port),
                name: Some(lookups.names.only().cloned().unwrap_or_else(|| what.to_owned())),
                ..Subject::default()
            },
            first_seen: lookups.seen.first(),
            last_seen: lookups.seen.last(),
            counts: counts(&[
                ("servfail", lookups.failed),
                ("answered", lookups.total),
                ("names", lookups.names.count()),
                ("upstream_servfail", upstream.failed),
                ("upstream_unanswered", upstream.unanswered),
            ]),
            impact: Impact {
                seconds_lost: lookups.waited,
                failed_transactions: lookups.failed,
                of_transactions: lookups.total,
                clients: lookups.clients.count(),
                services: 1,
            },
            evidence: lookups.exhibits.evidence(),
            alternatives: match (passed_on, cached) {
                (true, _) => vec!["the resolver passes on what it gets from the one it asks"],
                (false, true) => vec!["the failure is cached: the original one may be older than the capture (RFC 9520)"],
                (false, false) => {
                    vec!["the resolver cannot reach a server for the zone", "DNSSEC validation fails at the resolver"]
                }
            },
            next_steps: vec![
                "ask the resolver again with and without checking: dig +ednsopt NAME, dig +cd NAME",
                "capture between the resolver and its own upstream",
            ],
            not_claimed: vec!["that the resolver itself is at fault"],
            ..Finding::draft(&Self::RULE, "", severity, Confidence::Confirmed)
        }
    }
}
