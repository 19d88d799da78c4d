//! # What it finds
//! Lookups that a resolver answered with SERVFAIL, by resolver and zone.
//!
//! # Why it matters
//! SERVFAIL says that the resolver could not get an answer. The name may well exist. Retries and fail-over
//! cost seconds and often fail, too.
//!
//! # How it decides
//! - Response code 2 in the first response of a transaction. Extended errors of the response are quoted.
//! - Queries of one client for the same name and type are one lookup while less than `together` lies between
//!   the answer to one and the next.
//! - It is a warning when a name never resolved at the resolver: no lookup for it succeeded. Types that serve
//!   DNSSEC or policy (DS, DNSKEY, CAA and the like) and reverse names (PTR) do not count for that: an
//!   application goes on without them. Nor does a lookup that another resolver answered within `fail_over`,
//!   to whatever address of the client, or a name that another one begins: where `www.shop.com` has
//!   an address, or does not exist, `www.shop.com.corp.example` only tried a search list (resolv.conf(5)).
//! - Names are counted together by their last two labels, and names of one label as if they were one zone:
//!   these are a warning at most. From `zones` such zones on the whole resolver is one finding, and from two
//!   zones with names that never resolved on when it answers nothing else but zones of its own (RFC 1035
//!   section 4.1.1, AA). What it answered of its own zones is counted as answered.
//! - Names that systems look up by themselves, as to see whether the Internet is there, are information where
//!   nothing else fails, and a warning for several clients.
//! - Resolvers that a client asked for the same lookups, with the same port and ID, are one finding, and so
//!   are addresses on the client's link with one link address.
//! - Where the capture shows the resolver asking another one for the same name while its client waits, the
//!   finding says what came of that. Responses before which it asked nobody are counted apart: a cached
//!   failure looks like that (RFC 9520).
//!
//! # What it leaves alone
//! NOTIFY, UPDATE and the NetBIOS name service. A zone below which most names carry data, `tunnel` of them or
//! more, is information: no service is behind such names.
//! Responses of what nobody asks in the capture, as somebody has them sent to a host: information.
//! NXDOMAIN and empty answers, which are answers. What the client got later than that.
//!
//! # What it does not claim
//! Why the resolver failed, unless the resolver says so in an extended error.
//!
//! # References
//! RFC 1035 section 4.1.1; RFC 8914; RFC 2308 section 7; RFC 9520 section 3.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{SERVFAIL, Transaction, error_name, qtype_name, rcode_name};
use crate::detect::lookups::{self, carries_data, is_dispensable, lowercase};
use crate::detect::own_names::asked_by;
use crate::detect::resolvers::{Lookups, Resolvers, alone, followers, lookup_id, unite};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;
use crate::time::{Span, Timestamp};

thresholds! {
    /// Counts answered lookups by resolver and zone.
    struct DnsServfail {
        critical_share: f64 = 0.5 "share",
            "failed lookups of all answered ones for the zone at the resolver, from which it is critical",
            "ours: the name does not resolve for most";
        zones: u64 = 8.0 "zones",
            "failing zones of a resolver, from which they are one finding on the resolver",
            "ours: more than a handful have little in common but the resolver";
        together: Span = 0.2 "s",
            "time from a SERVFAIL to the next query for the same, below which both are one lookup",
            "ours: glibc, dnsmasq and BIND try again as soon as they have the failure";
        tunnel: u64 = 8.0 "names",
            "below a zone that carry data, from which the zone is a tunnel's or telemetry's",
            "ours: a content network has a few such names";
        fail_over: Span = 1.0 "s",
            "after the query, in which an answer of another resolver still serves the client",
            "dns_unanswered: the shortest time after which a stub asks another resolver";
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

/// What names of one label are counted under: the zone that they are in.
const ROOT: &str = ".";

/// What a name is counted under.
fn zone(name: &str) -> &str {
    match name {
        "" => name,
        bare if !bare.contains('.') => ROOT,
        name => lookups::zone(name),
    }
}

/// REFUSED (RFC 1035).
const REFUSED: u16 = 5;

/// The extended error of an answer from the cache (RFC 8914).
const CACHED_ERROR: u16 = 13;

counts! {
    /// What a case counts beside its lookups.
    struct Failures {
        /// What the resolver got when it asked another one while its client waited.
        upstream_servfail: u64,
        upstream_refused: u64,
        upstream_unanswered: u64,
        /// Responses, and those of them before which it had asked another one.
        responses: u64,
        passed_on: u64,
        upstream_servers: Distinct<IpAddr>,
        extended_errors: Distinct<(u16, String)>,
        /// 1 where nobody asks the resolver in the capture.
        unasked: u64,
        /// Lookups that somebody else answered in time.
        served: u64,
        /// Names that an application needs, and that never resolved.
        never_resolved: Distinct<String>,
        lookups: Lookups,
    }
}

counts! {
    /// What a resolver answered of a zone.
    struct Answered {
        /// Without asking anybody: the zone is its own.
        authoritative: u64,
    }
}

/// A lookup that failed, was refused or got no answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Trouble {
    /// The query, or the response when there was none.
    query: PacketRef,
    response: Option<PacketRef>,
    server: Option<Endpoint>,
    qtype: u16,
    rcode: Option<u16>,
}

impl Trouble {
    /// The response that says SERVFAIL.
    fn servfail(&self) -> Option<PacketRef> {
        self.response.filter(|_| self.rcode == Some(SERVFAIL))
    }
}

impl Merge for Trouble {
    fn absorb(&mut self, other: Self) {
        // Keys are packets: nothing is ever counted twice under one.
        *self = other;
    }
}

/// What was asked: resolver, client, name, type.
type Question<'n> = (Endpoint, IpAddr, &'n str, u16);

merged! {
    /// Lookups that failed or got no answer, by who asked, for what, and the packet. Names that a resolver
    /// knew.
    pub(super) struct Asked {
        troubles: Bounded<(IpAddr, String, u64), Trouble, { 1 << 16 }>,
        /// With the number of answers, none for NXDOMAIN and the like.
        resolved: Bounded<(Endpoint, String), Most, { 1 << 16 }>,
        /// Resolvers that got a query in the capture.
        asked: Bounded<Endpoint, (), { 1 << 14 }>,
    }
}

impl Asked {
    /// The answers that the resolver had for the name at most; `None` where it always failed.
    fn known(&self, resolver: Endpoint, name: &str) -> Option<u64> {
        self.resolved.get(&(resolver, name.to_owned())).map(|(_, answers)| answers.get())
    }

    /// The names that a resolver knew, and the answers that it had at most.
    fn names(&self) -> BTreeMap<&str, u64> {
        let mut names = BTreeMap::new();
        for ((_, name), _, answers) in self.resolved.iter() {
            let most: &mut u64 = names.entry(name.as_str()).or_default();
            *most = answers.get().max(*most);
        }
        names
    }
}

/// The name is another one and the suffix of a search list. The other one has answers, or is whole and has
/// none.
fn is_completed(name: &str, known: &BTreeMap<&str, u64>) -> bool {
    let mut begin = name.match_indices('.').map(|(dot, _)| &name[..dot]);
    begin.any(|name| known.get(name).is_some_and(|answers| *answers > 0 || lookups::is_whole(name)))
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
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Upstream, &["dns_servfail"])];
    type Variant = Only;
    /// Resolver and zone.
    type Key = ((Endpoint, String),);
    type Counts = Failures;
    type Total = Answered;
    type Notes = Asked;

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        if !transaction.is_lookup(flow.server.port) {
            return;
        }
        if transaction.query.is_some() {
            book.notes.asked.count(flow.server);
        }
        let name = lowercase(&transaction.name);
        let failed = transaction.rcode == Some(SERVFAIL);
        let known = transaction.query.or(transaction.response);
        let refused = transaction.rcode == Some(REFUSED);
        if let Some(query) = known.filter(|_| failed || refused || transaction.response.is_none()) {
            let asked = (flow.client.address, name.clone().into_owned(), query.packet);
            if let Some(trouble) = book.notes.troubles.count(asked) {
                let (response, qtype) = (transaction.response, transaction.qtype);
                let (server, rcode) = (Some(flow.server), transaction.rcode);
                *trouble = Trouble { query, response, server, qtype, rcode };
            }
        }
        let Some(response) = transaction.response.filter(|_| transaction.rcode.is_some()) else {
            return book.not_judged("no response was captured");
        };
        let subject = (flow.server, zone(&name).to_owned());
        if !failed {
            let hash = hash_of(&(flow.server, &name));
            let known = book.notes.resolved.observe_new(hash, || (flow.server, name.into_owned()));
            if let Some(answers) = known {
                answers.add(transaction.answers.len() as u64);
            }
            if let Some(total) = book.judged(&subject) {
                total.authoritative += u64::from(transaction.authoritative);
            }
            return;
        }
        let Some(case) = book.case((subject,)) else { return };
        case.lookup(transaction, flow, response);
        case.counts.responses += 1;
        case.counts.lookups.add(lookup_id(transaction, flow));
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

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let asked = std::mem::take(&mut book.notes);
        self.lookups(&asked, book, context);
        ask_upstream(&asked, book);
        let nobody = |resolver: &Endpoint| asked.asked.get(resolver).is_none();
        let keys: Vec<Self::Key> = book.cases().map(|(key, _)| key.clone()).collect();
        for key in keys.into_iter().filter(|((resolver, _),)| nobody(resolver)) {
            book.find_mut(key).into_iter().for_each(|case| case.counts.unasked = 1);
        }
        let mut answered: BTreeMap<Endpoint, u64> = BTreeMap::new();
        let mut own_zones: BTreeMap<Endpoint, u64> = BTreeMap::new();
        for ((resolver, _), lookups, total) in book.totals() {
            *answered.entry(*resolver).or_default() += lookups.saturating_sub(total.authoritative);
            *own_zones.entry(*resolver).or_default() += total.authoritative;
        }
        for (((resolver, _),), case) in book.cases() {
            answered.entry(*resolver).and_modify(|lookups| *lookups = lookups.saturating_sub(case.failed));
        }
        let nothing = |resolver: &Endpoint| answered.get(resolver) == Some(&0);
        let mut resolvers = book.group(self.zones, |((resolver, _),), _| Some(*resolver));
        resolvers.extend(book.group(2, |((resolver, _),), case| {
            Some(*resolver).filter(|resolver| nothing(resolver) && case.counts.never_resolved.count() > 0)
        }));
        let mut whole: BTreeMap<Endpoint, (u64, Case<Failures>)> =
            resolvers.into_iter().map(|group| (group.by, (group.cases, group.case))).collect();
        let cases = whole.iter().map(|(resolver, (_, case))| (resolver, case));
        let share = |resolver: &Endpoint, case: &Case<Failures>| {
            let severity = self.draft(*resolver, "", case, 0, context.heard).weight();
            (severity, case.failed * 1000 / case.total.max(1))
        };
        let alike = followers(cases, context.heard, |resolver| (*resolver, ()), |of| &of.lookups, share);
        for (resolver, leader) in alike {
            let Some((_, case)) = whole.remove(&resolver) else { continue };
            whole.entry(leader).and_modify(|(_, leader)| leader.join(case));
        }
        let apart = |_: &Book<Self>, ((resolver, zone),): &Self::Key| (*resolver, zone.clone());
        let weight = |book: &Book<Self>, key: &Self::Key, case: &Case<Failures>| {
            alone(self, book, (key, case), context)
        };
        unite(book, context.heard, apart, |of| &of.lookups, weight);
        let whole = whole.into_iter().map(|(resolver, (cases, mut case))| {
            let what = format!("{} in {}", case.affected.names.of("name"), plural(cases, "zone"));
            // Zones of its own that failed are in the case already.
            let own = own_zones.get(&resolver).copied().unwrap_or_default();
            let draft = self.draft(resolver, &what, &case, own, context.heard);
            case.total += own;
            (draft, case)
        });
        whole.collect()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Failures>,
        _: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Only>> {
        let ((resolver, zone),) = key;
        let what = match case.affected.names.only() {
            Some(name) => name.clone(),
            None if zone == ROOT => format!("{} of one label", case.affected.names.of("name")),
            None => format!("{} under {zone}", case.affected.names.of("name")),
        };
        Some(self.draft(*resolver, &what, case, 0, context.heard))
    }
}

/// Adds to each failing resolver what it got itself. It must have asked for the same name while its client
/// waited.
fn ask_upstream(asked: &Asked, book: &mut Book<DnsServfail>) {
    let troubles = &asked.troubles;
    let mut asked: BTreeMap<(IpAddr, &str), Vec<&Trouble>> = BTreeMap::new();
    for ((client, name, _), _, trouble) in troubles.iter() {
        asked.entry((*client, name)).or_default().push(trouble);
    }
    for ((_, name, packet), _, trouble) in troubles.iter() {
        let (Some(response), Some(resolver)) = (trouble.servfail(), trouble.server) else { continue };
        let Some(case) = book.find_mut(((resolver, zone(name).to_owned()),)) else { continue };
        let query = trouble.query;
        let own = asked.get(&(resolver.address, name.as_str())).into_iter().flatten();
        let mut own = own.filter(|own| (query.time..=response.time).contains(&own.query.time)).peekable();
        case.counts.passed_on += u64::from(own.peek().is_some());
        for own in own {
            let got = match own.rcode {
                Some(REFUSED) => &mut case.counts.upstream_refused,
                Some(_) => &mut case.counts.upstream_servfail,
                None => &mut case.counts.upstream_unanswered,
            };
            *got += 1;
            own.server.into_iter().for_each(|server| case.counts.upstream_servers.add(server.address));
            case.show(-1, *packet, || {
                let client = Evidence::new(query, Role::Query, name.as_str());
                let answer = Evidence::new(response, Role::Response, "SERVFAIL");
                let asks = format!("{name}, from the resolver itself");
                let asks = Evidence::new(own.query, Role::UpstreamQuery, asks);
                let code = rcode_name(own.rcode.unwrap_or(SERVFAIL));
                let got = own.response.map(|at| Evidence::new(at, Role::UpstreamResponse, code));
                [Some(client), Some(answer), Some(asks), got].into_iter().flatten()
            });
        }
    }
}

impl DnsServfail {
    /// Counts the lookups that failed: several queries of a client for the same are one.
    fn lookups(&self, asked: &Asked, book: &mut Book<Self>, context: &Context<'_>) {
        let mut questions: BTreeMap<Question<'_>, Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
        for ((client, name, _), _, trouble) in asked.troubles.iter() {
            if let Some((server, response)) = trouble.server.zip(trouble.servfail()) {
                let question = (server, *client, name.as_str(), trouble.qtype);
                questions.entry(question).or_default().push((trouble.query.time, response.time));
            }
        }
        let known = if questions.is_empty() { BTreeMap::new() } else { asked.names() };
        for ((server, client, name, qtype), mut times) in questions {
            times.sort();
            let lookups: Vec<_> = times.chunk_by(|one, next| next.0 - one.1 < self.together).collect();
            let served = |lookup: &&&[(Timestamp, Timestamp)]| {
                lookup.iter().any(|(asked_at, _)| {
                    let own = context.hosts.all(client);
                    let got = context.heard.found.after_any(own, name, *asked_at, self.fail_over);
                    matches!(got, lookups::Got::At(..))
                })
            };
            let served = lookups.iter().filter(served).count() as u64;
            let lookups = lookups.len() as u64;
            let subject = (server, zone(name).to_owned());
            for _ in 0..lookups {
                book.judged(&subject);
            }
            let Some(case) = book.find_mut((subject,)) else { continue };
            case.failed += lookups;
            case.counts.served += served;
            let never = asked.known(server, name).is_none() && served < lookups;
            if never && !is_dispensable(qtype) && !is_completed(name, &known) {
                case.counts.never_resolved.add(name.to_owned());
            }
        }
        book.not_judged_many("more names than are kept apart", asked.troubles.lost());
    }

    /// Most of the names carry data.
    fn is_tunnel(&self, affected: &Affected) -> bool {
        let (with, without): (Vec<_>, Vec<_>) = affected.names.iter().partition(|name| carries_data(name));
        with.len() as u64 >= self.tunnel && with.len() > without.len()
    }

    /// Beside the lookups of `case`, the resolver answered `own` of zones of its own.
    fn draft(
        &self,
        resolver: Endpoint,
        what: &str,
        case: &Case<Failures>,
        own: u64,
        heard: &Heard,
    ) -> Draft<Only> {
        let Failures {
            upstream_servfail,
            upstream_refused,
            upstream_unanswered,
            responses,
            passed_on,
            upstream_servers,
            extended_errors,
            unasked,
            served,
            never_resolved,
            lookups: _,
        } = &case.counts;
        let named = Resolvers::of(resolver, case, heard);
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
        let got = [
            (*upstream_servfail, "SERVFAIL"),
            (*upstream_refused, "REFUSED"),
            (*upstream_unanswered, "no answer"),
        ];
        let got = got.iter().filter(|(count, _)| *count > 0);
        let got: Vec<String> =
            got.map(|(count, what)| format!("{} got {what}", plural(*count, "query"))).collect();
        let mut behind = String::new();
        if *passed_on > 0 {
            let asked = servers.join(", ");
            behind = format!(" While its clients waited, the resolver asked {asked}: {}.", got.join(", "));
            let others = responses.saturating_sub(*passed_on);
            if others > 0 {
                behind += &format!(" Before {} it asked nobody here.", plural(others, "other response"));
            }
        }
        let well = match own {
            0 => String::new(),
            own => format!(" It answered {} for zones of its own.", plural(own, "lookup")),
        };
        let by_itself = asked_by(never_resolved);
        let whose = by_itself.iter().map(|systems| {
            format!(" The names that never resolved are such that systems look up by themselves ({systems}).")
        });
        let elsewhere = match *served {
            0 => String::new(),
            all if all == case.failed => {
                format!(" All got an answer from another one within {}.", self.fail_over)
            }
            some => format!(" {some} got an answer from another one within {}.", self.fail_over),
        };
        let summary = format!(
            "{} of {} got SERVFAIL.{well} {} asked.{elsewhere}{}{} {reason}{behind}",
            case.failed,
            plural(case.total + own, "answered lookup"),
            case.clients(),
            whose.collect::<String>(),
            named.note,
        );
        let several = case.affected.clients.count() >= Severity::CLIENTS;
        // A search list completes them, or ends with them.
        let bare = never_resolved.iter().all(|name| !name.contains('.'));
        let subject = Subject {
            name: Some(case.affected.names.only().map_or(what, String::as_str).to_owned()),
            ..Subject::of(case)
        };
        let title = format!("{} {} SERVFAIL for {what}", named.who, named.verb("answers", "answer"));
        let draft = Draft::new(Only::Servfail, title, summary)
            .severity(match never_resolved.count() {
                0 => Severity::Info,
                // Nobody is seen to ask: what is reflected at a host looks like that.
                _ if *unasked > 0 => Severity::Info,
                _ if self.is_tunnel(&case.affected) => Severity::Info,
                _ if by_itself.is_some() && !several => Severity::Info,
                _ if most && !bare && by_itself.is_none() => Severity::Critical,
                _ => Severity::Warning,
            })
            .subject(subject)
            .count("servfail", case.failed)
            .count("answered", case.total + own)
            .count("names", case.affected.names.count());
        if *passed_on > 0 {
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
mod tests;
