//! # What it finds
//! Answers that contradict each other: two to one query, one from an address that was not asked, and
//! resolvers that give other addresses than the rest.
//!
//! # Why it matters
//! Clients connect to the address they are given first. When it is not the right one, they reach a stranger,
//! or nobody.
//!
//! # How it decides
//! - `answers`: one query for an address got two responses that have no answer in common. A query that was
//!   sent twice, or has port and id of an earlier one, may be answered twice, and is left out. It is a
//!   warning from `lookups` on, or when a client connected to an address of the first answer. Where one
//!   client alone gets two answers in the names of several resolvers, that is one finding.
//! - `other_address`: a response fits a query of the client by port, id, name and type, came from another
//!   address than the one that was asked, and that one never answered.
//! - `resolvers`: two resolvers give addresses for a name that have none in common, and one of them is
//!   private. It is a warning when connections to the addresses of the smaller side fail, and those of the
//!   other side do not.
//!
//! # What it leaves alone
//! Copies, and the same records in another order. Packets with a damaged IP header. Public addresses that
//! differ by resolver: content networks answer by place. Codes other than NOERROR and NXDOMAIN.
//!
//! # What it does not claim
//! An attack, or a poisoned cache: split zones, captive portals and filters answer the same way. Which of
//! the answers is right.
//!
//! # References
//! RFC 5452 sections 3 and 9; RFC 1918; RFC 6950 section 4 on answers that depend on who asks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{Transaction, qtype_name, rcode_name};
use crate::detect::answers::{Answer, Visit, Visits, addresses, asks_for_address};
use crate::detect::lookups::{asks_for_name, lowercase};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;

thresholds! {
    /// Compares answers.
    struct DnsConflict {
        lookups: u64 = 2.0 "lookups",
            "with two different answers, from which it is a warning",
            "ours: one may be an accident of the path";
    }
}

variants! {
    /// What contradicts what.
    enum Conflict {
        Answers "answers" Warning {
            could_be: &[
                "a device on the path answers in the resolver's name",
                "somebody near the client forges answers",
                "two servers share the resolver's address",
            ],
            next: &[
                "compare time to live and arrival of both responses: which has the resolver's?",
                "ask the resolver from its own network, and over TCP: dig +tcp @RESOLVER NAME",
            ],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Disorder],
        }
        OtherAddress "other_address" Critical {
            could_be: &[
                "the resolver has several addresses and answers from the wrong one",
                "address translation is missing on the way back",
            ],
            next: &["bind the resolver to the address that clients ask", "capture at the client"],
            not_claimed: NOT_CLAIMED,
        }
        Resolvers "resolvers" Warning {
            could_be: &[
                "the zone is split: every side has its own addresses",
                "one of the resolvers forwards to the wrong server",
                "one of the resolvers has a forged or stale answer",
            ],
            next: &[
                "ask both resolvers for the name, and the zone's own server: dig +trace NAME",
                "ask the owner of the name which addresses are right",
            ],
            not_claimed: NOT_CLAIMED,
        }
    }
}

/// Resolvers that one client gets two answers in the name of, from which they are one finding.
const SEVERAL: u64 = 2;

/// Several resolvers have nothing in common but the client and its way.
const NEAR: [&str; 2] = [
    "somebody near the client forges answers in the resolvers' names",
    "a device on the client's way answers in their place",
];

const NOT_CLAIMED: &[&str] = &["an attack or a poisoned cache", "which of the answers is right"];

counts! {
    /// What a case counts.
    struct Contradictions {
        /// Connections of the clients to the addresses in question.
        connections: u64,
        failed_connections: u64,
        /// First answers, and those that contradict them.
        first_answers: Distinct<String, 8>,
        other_answers: Distinct<String, 8>,
    }
}

/// A query: what tells which responses fit it.
type Asked = (Endpoint, u16, String, u16);

/// A query that waits for its answer; that it was answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Open {
    first: Option<(PacketRef, Endpoint)>,
    asked: u64,
    answered: u64,
}

impl Merge for Open {
    fn absorb(&mut self, other: Self) {
        self.first = self.first.into_iter().chain(other.first).min();
        self.asked += other.asked;
        self.answered += other.answered;
    }
}

/// Queries by hash of who asked whom for what.
type Opened = Bounded<u64, Open, { 1 << 16 }>;

/// A response that nothing on its own flow asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Stray {
    flow: Option<FlowHead>,
    at: PacketRef,
    said: String,
}

impl Merge for Stray {
    fn absorb(&mut self, other: Self) {
        // Keys have the packet in them: nothing is ever counted twice under one.
        *self = other;
    }
}

/// A lookup with two answers: who asked, and the addresses of the first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Twice {
    client: Option<IpAddr>,
    first: Vec<IpAddr>,
}

impl Merge for Twice {
    fn absorb(&mut self, other: Self) {
        // Keys are packets: nothing is ever counted twice under one.
        *self = other;
    }
}

merged! {
    /// Everything that is compared when all is counted.
    pub(super) struct Compared {
        open: Opened,
        strays: Bounded<(Asked, u64), Stray, { 1 << 12 }>,
        twice: Bounded<(Endpoint, u64), Twice, { 1 << 12 }>,
    }
}

const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;

/// A response in words: its answers, or its code.
fn said(rcode: u16, answers: &[String]) -> String {
    match answers {
        [] if rcode == NOERROR => "no address".to_owned(),
        [] => rcode_name(rcode),
        answers => answers.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

impl Detector for DnsConflict {
    const RULE: Rule = Rule {
        name: "dns_conflict",
        group: Group::Dns,
        summary: "answers that contradict each other",
        judges: "lookups",
        variants: Conflict::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("dns_conflict.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(
        Meet::Names,
        &["tls_certificate", "tls_alert", "tls_abort", "dns_unexpected_resolver"],
    )];
    type Variant = Conflict;
    type Key = (Endpoint, Conflict);
    type Counts = Contradictions;
    type Total = ();
    type Notes = Compared;

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        if !asks_for_name(transaction, flow) {
            return book.not_judged("no lookup of a name: NetBIOS, NOTIFY, UPDATE or CHAOS");
        }
        let name = lowercase(&transaction.name);
        let hash = hash_of(&(flow.client, transaction.id, &name, transaction.qtype));
        let response = transaction.response;
        let Some(query) = transaction.query else {
            let asked: Asked = (flow.client, transaction.id, name.into_owned(), transaction.qtype);
            if let Some(at) = response
                && let Some(stray) = book.notes.strays.observe(hash, (asked, at.packet))
            {
                let said = said(transaction.rcode.unwrap_or(0), &transaction.answers);
                *stray = Stray { flow: Some(*flow), at, said };
            }
            return book.not_judged("the query is not in the capture");
        };
        let mut before = 0;
        if let Some(open) = book.notes.open.observe(hash, hash) {
            before = open.asked;
            let answered = u64::from(response.is_some() || transaction.unheard);
            open.absorb(Open { first: Some((query, flow.server)), asked: 1, answered });
        }
        let Some((response, rcode)) = response.zip(transaction.rcode) else {
            return book.not_judged("no response was captured");
        };
        book.judged(&flow.server);
        // With the numbers of an earlier query nobody knows which one a response answers.
        if transaction.repeat_count > 0 || before > 0 || !asks_for_address(transaction) {
            return;
        }
        let clear = |rcode| matches!(rcode, NOERROR | NXDOMAIN);
        let apart = |other: &[String]| !other.iter().any(|answer| transaction.answers.contains(answer));
        let differs = |rcode_too: u16, other: &[String]| {
            clear(rcode_too) && apart(other) && said(rcode, &transaction.answers) != said(rcode_too, other)
        };
        let mut extra = transaction.extra.iter().filter(|extra| !extra.same_content);
        let Some(extra) = extra.find(|extra| clear(rcode) && differs(extra.rcode, &extra.answers)) else {
            return;
        };
        let key = (flow.server, query.packet);
        if let Some(twice) = book.notes.twice.observe_by(key, |_| hash_of(&flow.server)) {
            let first = addresses(&transaction.answers).take(16).collect();
            *twice = Twice { client: Some(flow.client.address), first };
        }
        let Some(case) = book.case((flow.server, Conflict::Answers)) else { return };
        case.lookup(transaction, flow, query);
        case.affected.active.add(extra.at.time);
        case.failed += 1;
        let texts = [said(rcode, &transaction.answers), said(extra.rcode, &extra.answers)];
        case.counts.first_answers.add(texts[0].clone());
        case.counts.other_answers.add(texts[1].clone());
        case.show(0, query.packet, || {
            let asked =
                format!("{} {}, id {}", transaction.name, qtype_name(transaction.qtype), transaction.id);
            let later = format!("{}, {} later", texts[1], extra.at.time - response.time);
            let first = Evidence::new(response, Role::Response, texts[0].clone());
            [Evidence::new(query, Role::Query, asked), first, Evidence::new(extra.at, Role::Response, later)]
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut notes = std::mem::take(&mut book.notes);
        for ((resolver, _), _, twice) in notes.twice.iter() {
            let Some(client) = twice.client else { continue };
            let visit = context.heard.visits.of(client, twice.first.iter());
            let Some(case) = book.find_mut((*resolver, Conflict::Answers)) else { continue };
            case.counts.connections += visit.connections;
            case.counts.failed_connections += visit.failed;
        }
        for ((asked, _), stray) in notes.strays.take_if(|_, _| true) {
            other_address(&asked, &stray, &notes.open, context.heard, book);
        }
        let of_client = |(_, conflict): &Self::Key, case: &Case<Contradictions>| {
            let often = *conflict == Conflict::Answers && case.failed >= self.lookups;
            case.affected.clients.only().copied().filter(|_| often)
        };
        let groups = book.group(SEVERAL, of_client).into_iter().map(|group| {
            let CaseGroup { cases, case, .. } = group;
            let draft = self.twice(&case, &plural(cases, "resolver")).could_be(NEAR);
            (draft.subject(Subject { server: None, port: None, ..Subject::of(&case) }), case)
        });
        groups.chain(resolvers(context.heard)).collect()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Contradictions>,
        _: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Conflict>> {
        let ((resolver, conflict), counts) = (*key, &case.counts);
        let names = &case.affected.names;
        let names = names.only().map_or_else(|| names.of("name"), String::clone);
        let lookups = plural(case.failed, "lookup");
        if conflict == Conflict::OtherAddress {
            let others = counts.other_answers.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let title = format!("{resolver} is asked, and another address answers: {others}");
            let summary = format!(
                "{} asked {resolver} in {lookups} for {names}. It never answered, and {others} did. Clients \
                 drop such answers.",
                case.clients(),
            );
            return Some(Draft::new(conflict, title, summary).severity(case.severity(case.failed)));
        }
        Some(self.twice(case, &resolver.to_string()))
    }
}

impl DnsConflict {
    /// Lookups at `resolver` that got two answers.
    fn twice(&self, case: &Case<Contradictions>, resolver: &str) -> Draft<Conflict> {
        let (counts, names) = (&case.counts, &case.affected.names);
        let names = names.only().map_or_else(|| names.of("name"), String::clone);
        let title = format!("{} got two answers to one query: {names}", case.clients());
        let mut summary = format!(
            "{} at {resolver} got two responses without an answer in common. The first said {}, the \
             second {}.",
            plural(case.failed, "lookup"),
            texts(&counts.first_answers),
            texts(&counts.other_answers),
        );
        match counts.connections {
            0 => summary += " No connection to an address of the first answer was captured.",
            connections => {
                summary += &format!(
                    " The clients opened {} to addresses of the first answer, {} of them in vain.",
                    plural(connections, "connection"),
                    counts.failed_connections,
                );
            }
        }
        let severity = match case.failed >= self.lookups || counts.connections > 0 {
            true => Severity::Warning,
            false => Severity::Info,
        };
        Draft::new(Conflict::Answers, title, summary).severity(severity)
    }
}

fn texts(answers: &Distinct<String, 8>) -> String {
    let mut answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    answers.sort();
    answers.truncate(3);
    answers.join(" or ")
}

/// A response from an address that was not asked, when the one that was asked stayed silent.
fn other_address(asked: &Asked, stray: &Stray, open: &Opened, heard: &Heard, book: &mut Book<DnsConflict>) {
    let Some((_, Open { first: Some((query, resolver)), answered: 0, .. })) = open.get(&hash_of(asked))
    else {
        return;
    };
    let Some(flow) = stray.flow.filter(|flow| flow.server.address != resolver.address) else { return };
    if stray.at.time < query.time {
        return;
    }
    if heard.is_damaged(asked.0, *resolver) || heard.is_damaged(flow.client, flow.server) {
        return book.not_judged("the IP header of query or response is damaged");
    }
    book.judged(resolver);
    let Some(case) = book.case((*resolver, Conflict::OtherAddress)) else { return };
    case.affected.add(&FlowHead { server: *resolver, ..flow });
    case.affected.names.add(asked.2.clone());
    case.affected.active.add(query.time);
    case.affected.active.add(stray.at.time);
    case.failed += 1;
    case.counts.other_answers.add(flow.server.to_string());
    case.show(0, query.packet, || {
        let text = format!("{} {}, id {}, to {resolver}", asked.2, qtype_name(asked.3), asked.1);
        let answer = format!("{} from {}", stray.said, flow.server);
        [Evidence::new(*query, Role::Query, text), Evidence::new(stray.at, Role::Response, answer)]
    });
}

/// Two resolvers, the one with fewer clients first, and what they say of a name.
type Sides<'a> = [(Endpoint, &'a Answer); 2];

/// Resolvers that contradict each other about names with private addresses.
fn resolvers(heard: &Heard) -> Vec<Concluded<DnsConflict>> {
    let mut pairs: BTreeMap<[Endpoint; 2], Vec<(&str, u16, Sides<'_>)>> = BTreeMap::new();
    for ((name, qtype), answers) in heard.answers.by_name() {
        // Against the one that most clients ask, so that three resolvers do not make three findings.
        let usual = answers
            .iter()
            .max_by_key(|(resolver, answer)| (answer.clients.count(), std::cmp::Reverse(*resolver)));
        let Some(usual) = usual.copied() else { continue };
        for odd in answers.iter().copied().filter(|(resolver, _)| *resolver != usual.0) {
            let private = odd.1.has_private() || usual.1.has_private();
            if private && odd.1.contradicts(usual.1) {
                pairs.entry([odd.0, usual.0]).or_default().push((name, qtype, [odd, usual]));
            }
        }
    }
    pairs.into_iter().map(|(pair, names)| contradiction(pair, &names, &heard.visits)).collect()
}

fn contradiction(
    [odd, usual]: [Endpoint; 2],
    names: &[(&str, u16, Sides<'_>)],
    visits: &Visits,
) -> Concluded<DnsConflict> {
    let mut case: Case<Contradictions> = Case::default();
    let mut sides = [Visit::default(), Visit::default()];
    for (name, qtype, answers) in names {
        case.affected.names.add((*name).to_owned());
        case.failed += answers[0].1.lookups;
        for ((_, answer), side) in answers.iter().zip(&mut sides) {
            for client in answer.clients.iter() {
                side.absorb(visits.of(*client, answer.addresses.iter()));
            }
        }
        let (_, answer) = answers[0];
        answer.flow.iter().for_each(|flow| case.affected.add(flow));
        answer.clients.iter().for_each(|client| case.affected.clients.add(*client));
        case.counts.first_answers.add(answers[1].1.text());
        case.counts.other_answers.add(answer.text());
        let rank = answer.first.map_or(0, |(query, _)| query.packet);
        case.show(0, rank, || {
            let shown = answers.iter().flat_map(|(resolver, answer)| {
                let asked = format!("{name} {}, to {resolver}", qtype_name(*qtype));
                answer.first.into_iter().flat_map(move |(query, response)| {
                    let said = Evidence::new(response, Role::Response, answer.text());
                    [Evidence::new(query, Role::Query, asked.clone()), said]
                })
            });
            shown.collect::<Vec<_>>()
        });
        for (query, response) in answers.iter().filter_map(|(_, answer)| answer.first) {
            case.affected.active.add(query.time);
            case.affected.active.add(response.time);
        }
    }
    case.total = case.failed;
    let [odd_visits, usual_visits] = sides;
    (case.counts.connections, case.counts.failed_connections) = (odd_visits.connections, odd_visits.failed);
    let what = case.affected.names.only().map_or_else(|| case.affected.names.of("name"), String::clone);
    let title = format!("{odd} and {usual} give different addresses for {what}");
    let mut summary = format!(
        "{odd} answered {} to {}, {usual} {}. None is in both answers.",
        texts(&case.counts.other_answers),
        case.clients(),
        texts(&case.counts.first_answers),
    );
    let visited = |visit: &Visit| format!("{} of {}", visit.failed, plural(visit.connections, "connection"));
    if odd_visits.connections > 0 {
        summary += &format!(
            " {} to the former failed, {} to the latter.",
            visited(&odd_visits),
            visited(&usual_visits)
        );
    }
    // Who fails at the addresses of one side and not at those of the other pays for the difference.
    let harmed = share(odd_visits.failed, odd_visits.connections) >= Severity::MOST
        && usual_visits.connections > 0
        && usual_visits.failed * 10 <= usual_visits.connections;
    let severity = if harmed { Severity::Warning } else { Severity::Info };
    if !harmed {
        case.failed = 0;
    }
    let subject =
        Subject { server: Some(odd.address.to_string()), port: Some(odd.port), ..Subject::of(&case) };
    let draft = Draft::new(Conflict::Resolvers, title, summary).severity(severity);
    (draft.confidence(Confidence::Likely).subject(subject), case)
}

#[cfg(test)]
mod tests;
