//! # What it finds
//! Lookups that a resolver answered with SERVFAIL, by resolver and zone.
//!
//! # Why it matters
//! SERVFAIL says that the resolver could not get an answer. The name may well exist. Retries and fail-over
//! cost seconds and often fail, too.
//!
//! # How it decides
//! - Response code 2 in the first response of a transaction. Extended errors of the response are quoted.
//! - Names are counted together by their last two labels. From `zones` such zones on the whole resolver is
//!   one finding.
//! - Where the capture shows the resolver asking another one for the same name while its client waits, the
//!   finding says what came of that.
//!
//! # What it leaves alone
//! NXDOMAIN and empty answers, which are answers; what another transaction of the client got afterwards.
//!
//! # What it does not claim
//! Why the resolver failed, unless the resolver says so in an extended error.
//!
//! # References
//! RFC 1035 section 4.1.1; RFC 8914; RFC 2308 section 7.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{Transaction, error_name, qtype_name};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;
use crate::time::Span;

thresholds! {
    /// Counts answered lookups by resolver and zone.
    struct DnsServfail {
        critical_share: f64 = 0.5 "share",
            "failed lookups of all answered ones for the zone at the resolver, from which it is critical",
            "ours: the name does not resolve for most";
        zones: u64 = 8.0 "zones",
            "failing zones of a resolver, from which they are one finding on the resolver",
            "ours: more than a handful have little in common but the resolver";
        critical_failures: u64 = 3.0 "lookups",
            "failed lookups of the zone at the resolver, from which it can be critical",
            "ours: glibc alone asks twice per lookup, so three are more than one lookup";
    }
}

variants! {
    /// There is one kind.
    enum Only {
        Servfail "" Critical {
            could_be: &[
                "the resolver cannot reach a server for the zone",
                "DNSSEC validation fails at the resolver",
            ],
            next: &[
                "ask the resolver again with and without checking: dig +ednsopt NAME, dig +cd NAME",
                "capture between the resolver and its own upstream",
            ],
            not_claimed: &["that the resolver itself is at fault"],
        }
    }
}

/// SERVFAIL (RFC 1035).
const SERVFAIL: u16 = 2;

/// The extended error of an answer from the cache (RFC 8914).
const CACHED_ERROR: u16 = 13;

counts! {
    /// What a case counts beside its lookups.
    struct Failures {
        /// What the resolver got when it asked another one while its client waited.
        upstream_servfail: u64,
        upstream_unanswered: u64,
        upstream_servers: Distinct<IpAddr>,
        extended_errors: Distinct<(u16, String)>,
    }
}

/// A lookup that failed or got no answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Trouble {
    query: PacketRef,
    response: Option<PacketRef>,
    server: Option<Endpoint>,
}

impl Merge for Trouble {
    fn absorb(&mut self, other: Self) {
        // Keys are packets: nothing is ever counted twice under one.
        *self = other;
    }
}

/// Lookups that failed or got no answer, by who asked, for what, and the packet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asked(Bounded<(IpAddr, String, u64), Trouble>);

impl Default for Asked {
    fn default() -> Self {
        Self(Bounded::new(1 << 16))
    }
}

impl Merge for Asked {
    fn absorb(&mut self, other: Self) {
        self.0.absorb(other.0);
    }
}

impl Detector for DnsServfail {
    const RULE: Rule = Rule {
        name: "dns_servfail",
        group: Group::Dns,
        summary: "lookups that a resolver answered with SERVFAIL",
        judges: "lookups",
        variants: Only::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("dns_servfail.rs"),
    };
    type Variant = Only;
    /// Resolver and zone.
    type Key = ((Endpoint, String),);
    type Counts = Failures;
    type Total = ();
    type Notes = Asked;

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        let name = transaction.name.to_ascii_lowercase();
        let failed = transaction.rcode == Some(SERVFAIL);
        if let Some(query) = transaction.query.filter(|_| failed || transaction.response.is_none()) {
            let asked = (flow.client.address, name.clone(), query.packet);
            if let Some(trouble) = book.notes.0.observe(hash_of(&asked), asked) {
                *trouble = Trouble { query, response: transaction.response, server: Some(flow.server) };
            }
        }
        let Some(response) = transaction.response.filter(|_| transaction.rcode.is_some()) else {
            return book.not_judged("no response was captured");
        };
        let subject = (flow.server, zone(&name).to_owned());
        book.judged(&subject);
        if !failed {
            return;
        }
        let Some(case) = book.case((subject,)) else { return };
        case.lookup(transaction, flow, response);
        case.failed += 1;
        case.lost += transaction.waited().unwrap_or(Span::ZERO);
        for error in &transaction.errors {
            case.counts.extended_errors.add((error.code, error.text.clone()));
        }
        case.show(0, response.packet, || {
            let asked =
                format!("{} {}, id {}", transaction.name, qtype_name(transaction.qtype), transaction.id);
            let query = transaction.query.map(|query| Evidence::new(query, Role::Query, asked));
            let errors = transaction.errors.iter();
            let errors =
                errors.map(|error| format!(", extended error {} {}", error.code, error_name(error.code)));
            let answer = format!("SERVFAIL{}", errors.collect::<String>());
            query.into_iter().chain([Evidence::new(response, Role::Response, answer)])
        });
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        ask_upstream(book);
        let resolvers = book.group(self.zones, |((resolver, _),), _| Some(*resolver));
        let whole = resolvers.into_iter().map(|CaseGroup { by: resolver, cases, case }| {
            let what = format!("{} in {}", case.affected.names.of("name"), plural(cases, "zone"));
            (self.draft(resolver, &what, &case), case)
        });
        whole.collect()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Failures>,
        _: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Only>> {
        let ((resolver, zone),) = key;
        let what = match case.affected.names.only() {
            Some(name) => name.clone(),
            None => format!("{} under {zone}", case.affected.names.of("name")),
        };
        Some(self.draft(*resolver, &what, case))
    }
}

/// The last two labels of a name.
fn zone(name: &str) -> &str {
    let name = name.trim_end_matches('.');
    name.rmatch_indices('.').nth(1).map_or(name, |(at, _)| &name[at + 1..])
}

/// Adds to each failing resolver what it got itself. It must have asked for the same name while its client
/// waited.
fn ask_upstream(book: &mut Book<DnsServfail>) {
    let Asked(troubles) = std::mem::take(&mut book.notes);
    let mut asked: BTreeMap<(IpAddr, &str), Vec<&Trouble>> = BTreeMap::new();
    for ((client, name, _), _, trouble) in troubles.iter() {
        asked.entry((*client, name)).or_default().push(trouble);
    }
    for ((_, name, packet), _, trouble) in troubles.iter() {
        let (Some(response), Some(resolver)) = (trouble.response, trouble.server) else { continue };
        let Some(case) = book.find_mut(((resolver, zone(name).to_owned()),)) else { continue };
        let query = trouble.query;
        for own in asked.get(&(resolver.address, name.as_str())).into_iter().flatten() {
            if !(query.time..=response.time).contains(&own.query.time) {
                continue;
            }
            match own.response {
                Some(_) => case.counts.upstream_servfail += 1,
                None => case.counts.upstream_unanswered += 1,
            }
            own.server.into_iter().for_each(|server| case.counts.upstream_servers.add(server.address));
            case.show(-1, *packet, || {
                let client = Evidence::new(query, Role::Query, name.as_str());
                let answer = Evidence::new(response, Role::Response, "SERVFAIL");
                let asks = format!("{name}, from the resolver itself");
                let asks = Evidence::new(own.query, Role::UpstreamQuery, asks);
                let got = own.response.map(|at| Evidence::new(at, Role::UpstreamResponse, "SERVFAIL"));
                [Some(client), Some(answer), Some(asks), got].into_iter().flatten()
            });
        }
    }
}

impl DnsServfail {
    fn draft(&self, resolver: Endpoint, what: &str, case: &Case<Failures>) -> Draft<Only> {
        let Failures { upstream_servfail, upstream_unanswered, upstream_servers, extended_errors } =
            &case.counts;
        let most = case.failed >= self.critical_failures
            && case.failed as f64 >= self.critical_share * case.total as f64;
        let mut errors: Vec<String> = extended_errors.iter().map(|(code, text)| said(*code, text)).collect();
        errors.sort();
        let reason = match errors.is_empty() {
            true => "The responses carry no extended error.".to_owned(),
            false => format!("The resolver says: {}.", errors.join(", ")),
        };
        let mut servers: Vec<String> = upstream_servers.iter().map(IpAddr::to_string).collect();
        servers.sort();
        let passed_on = upstream_servfail + upstream_unanswered > 0;
        let behind = match passed_on {
            false => String::new(),
            true => format!(
                " While its clients waited, the resolver asked {}. {} of its queries got SERVFAIL, \
                 {} no answer.",
                servers.join(", "),
                upstream_servfail,
                upstream_unanswered,
            ),
        };
        let summary = format!(
            "{} of {} got SERVFAIL. {} asked. {reason}{behind}",
            case.failed,
            plural(case.total, "answered lookup"),
            case.clients(),
        );
        let subject = Subject {
            server: Some(resolver.address.to_string()),
            port: Some(resolver.port),
            name: Some(case.affected.names.only().map_or(what, String::as_str).to_owned()),
            ..Subject::of(case)
        };
        let draft = Draft::new(Only::Servfail, format!("{resolver} answers SERVFAIL for {what}"), summary)
            .severity(if most { Severity::Critical } else { Severity::Warning })
            .subject(subject)
            .count("servfail", case.failed)
            .count("answered", case.total)
            .count("names", case.affected.names.count());
        if passed_on {
            draft.could_be(["the resolver passes on what it gets from the one it asks"])
        } else if extended_errors.iter().any(|(code, _)| *code == CACHED_ERROR) {
            draft.could_be([
                "the failure is cached: the original one may be older than the capture (RFC 9520)",
            ])
        } else {
            draft
        }
    }
}

/// An extended error as the resolver gives it: `23 (Network Error: timed out)`.
fn said(code: u16, text: &str) -> String {
    match text {
        "" => format!("{code} ({})", error_name(code)),
        text => format!("{code} ({}: {text})", error_name(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_scene, in_traffic, silent};
    use crate::support::dns;

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
}
