//! # What it finds
//! Lookups that got no response, by resolver.
//!
//! # Why it matters
//! A client waits five seconds and more for every query before it asks again or asks another resolver.
//! Applications look slow or down, although only the name is missing.
//!
//! # How it decides
//! Queries of one client to one resolver for the same name and type are one lookup while less than `together`
//! lies between them. A query with a new ID, after one that the client had repeated with its ID, is another
//! lookup: it had given up. The lookup got no response when none of its queries did, and
//! - the client asked again, `again` or more after the query, or from another socket, or
//! - the capture goes on for at least `patience` after the last query.
//!
//! Where the client got name and type later, from any resolver within `fail_over`, the finding says from whom
//! and after what time. It is critical only when some lookups were never answered.
//!
//! Somebody needed a lookup when the client asked for it again, this resolver or another. A resolver that
//! left at least `critical_share` of its lookups without response, and at least `critical_lookups` that
//! somebody needed, is critical. It is a warning from `warning_share` and `warning_lookups` on: one lost
//! datagram is everyday traffic. What nobody asks for again is information: tunnels and telemetry carry data
//! in names and wait for no answer. A resolver that answers none of several clients is a warning all the
//! same, and so is one with a site-local address, which no network has any more. It is information where
//! another resolver had been asked at the same time, and answered within 1 s. Where the client had asked
//! another one for the same lookup, with port and ID, before or at the same time, and got a response, it did
//! not wait for this one. Nobody waits for reverse names, and nobody needs the types HTTPS and SVCB, which
//! are asked for beside the address (RFC 9460 section 3): where a resolver answers others, they are
//! information. So is a client of which only names stay unanswered that its system looks up by itself, as to
//! see whether the Internet is there; several such clients are a warning.
//!
//! Where a resolver answers other names, and never those that stay unanswered, the finding names them. Where
//! all that stay unanswered, `of_type` or more, are of one type and other types are answered, it says so.
//! Resolvers that clients asked for the same lookups are one finding, and so are addresses on the client's
//! link with one link address. What a client waited for several lookups at the same time counts once.
//!
//! Where ICMP errors came back for queries, or the resolver ended their TCP connections, the finding says so.
//!
//! # What it leaves alone
//! - Responses of any code: those are answers (see `dns_servfail`).
//! - Multicast DNS, LLMNR, the NetBIOS name service and lookups that are sent to a group or to everybody,
//!   where nobody has to answer. NOTIFY and UPDATE.
//! - Queries shortly before the end of the capture that were sent once, or recorded twice; all that began
//!   before it by less than one in twenty answers of the resolver took.
//! - Queries whose response is recorded before them, as where several queues of a network card are read.
//! - Queries that the capture shows again behind an address translation, within 10 ms.
//! - Datagrams to port 53 without a question in a class that exists.
//!
//! # What it does not claim
//! That the resolver is down: the capture shows only what passed it. When the capture holds no response of
//! any resolver and no flow in both directions, it may hold one direction only: the finding is then
//! information.
//!
//! # References
//! resolv.conf(5): `timeout` 5 s, `attempts` 2; RFC 1035 section 4.2.1; RFC 9520 section 3.

mod copies;
mod names;
mod types;
mod waits;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{Transaction, qtype_name};
use crate::detect::dns_unanswered::copies::behind_translation;
use crate::detect::dns_unanswered::names::{
    SCANNER, asked_for, asked_of, is_reverse, is_sweep, listed, never_answers,
};
use crate::detect::dns_unanswered::types::OneType;
use crate::detect::dns_unanswered::waits::{Replied, Waits, is_ended_by_server, mean, takes_longer};
use crate::detect::dns_unanswered::words::{ENDS, icmp, later};
use crate::detect::hosts::Hosts;
use crate::detect::lookups::{Answered, Got, asks_resolver, is_hint, lowercase, shown};
use crate::detect::own_names::{asked_by, system_of};
use crate::detect::resolvers::{Lookups, Resolvers, alone, lookup_id, unite};
use crate::detect::scope::{is_site_local, network};
use crate::detect::*;
use crate::dissect::{Direction, Endpoint, PacketRef};
use crate::flow::{Flow, FlowHead, Service, Times};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Counts lookups without a response by resolver.
    struct DnsUnanswered {
        patience: Span = 5.0 "s",
            "how long the capture must go on after the last query before silence means something",
            "resolv.conf(5), timeout: 5 s";
        together: Span = 30.0 "s",
            "time between two queries for the same name and type, below which they are one lookup",
            "BIND, resolver-query-timeout: at most 30 s";
        again: Span = 0.5 "s",
            "from a query to the same one from its socket, below which it was recorded twice",
            "echo_loss, copies: 0.5 s; BIND, the quickest to ask again, waits 0.8 s";
        fail_over: Span = 30.0 "s",
            "after the first query, in which an answer still serves the client",
            "resolv.conf(5): timeout 5 s, attempts 2, and up to three resolvers";
        warning_share: f64 = 0.05 "share",
            "of the lookups of the resolver, below which it is information only",
            "ours: nineteen in twenty work";
        warning_lookups: u64 = 3.0 "lookups",
            "lookups of a resolver without response, below which it is information only",
            "ours: glibc alone asks twice per lookup, so three are more than one lookup";
        critical_lookups: u64 = 5.0 "lookups",
            "lookups of a resolver without response, from which it can be critical",
            "ours: more than a short burst of losses takes";
        critical_share: f64 = 0.5 "share",
            "of the lookups of the resolver, from which it is critical",
            "ours: most lookups fail";
        of_type: u64 = 5.0 "lookups",
            "lookups without response, all of one type, from which the type is named",
            "ours: fewer may be of one type by chance";
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
const NOT_CLAIMED: &[&str] = &["that the resolver is down"];

counts! {
    /// What a case counts beside its lookups.
    struct Silence {
        /// Queries sent, repeats included.
        queries: u64,
        /// Lookups that were answered later, by whom, and after what time.
        answered_later: u64,
        later_resolvers: Distinct<Endpoint, 8>,
        until_answered: Span,
        /// Lookups that the client asked for again, or got later; those of them for reverse names, and for
        /// types that are asked for beside the address.
        needed: u64,
        reverse_names: u64,
        hints: u64,
        /// Those for names that systems look up by themselves, and of them the ones that nobody answered.
        own_names: u64,
        own_lost: u64,
        types: Distinct<u16, 8>,
        /// Queries over TCP whose connection the resolver ended.
        ended: u64,
        lookups: Lookups,
    }
}

counts! {
    /// What is counted of every lookup.
    struct Asked {
        answered: u64,
        took: Times,
        /// Names with a response, by hash, and types.
        names: Distinct<u64, 256>,
        types: Distinct<u16, 8>,
    }
}

/// What was asked: resolver, client, name, type.
type Question = (Endpoint, IpAddr, String, u16);

/// Queries of one socket that got no response, and how long the capture waited for one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tries {
    case: Case<Silence>,
    /// The lookup, as [`lookup_id`] has it.
    lookup: u64,
    /// Id and port of the query, which a translation leaves as they are as a rule.
    query: (u16, u16),
    first: PacketRef,
    last: PacketRef,
    watched_until: Timestamp,
}

impl Merge for Tries {
    fn absorb(&mut self, other: Self) {
        // Keys have the packet in them: nothing is ever counted twice under one.
        *self = other;
    }
}

merged! {
    /// Queries without a response, by question and first packet. Flows that the capture holds both directions
    /// of.
    pub(super) struct Waiting {
        tries: Bounded<(Question, u64), Tries, { 1 << 14 }>,
        two_way: u64,
        answered: Answered,
        replied: Replied,
        /// Responses without a query before them.
        unasked: Answered,
        /// What ICMP errors said about queries, and who sent them.
        told: Bounded<Endpoint, Distinct<(String, IpAddr), 4>, { 1 << 12 }>,
        /// TCP connections that the server ended.
        ended: Bounded<u64, (), { 1 << 12 }>,
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
    const EXPLAINS: &'static [Explains] =
        &[Explains::by(Meet::Upstream, &["dns_servfail", "dns_slow", "dns_error", "dns_unanswered"])];
    type Variant = Extent;
    type Key = Endpoint;
    type Counts = Silence;
    type Total = Asked;
    type Notes = Waiting;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        book.notes.two_way += u64::from(!flow.is_one_way());
        if flow.service == Some(Service::Dns) && is_ended_by_server(flow) {
            book.notes.ended.count(flow.id);
        }
        let asked = flow.icmp_errors.iter().filter(|error| error.quoted == Direction::ToServer);
        for error in asked.filter(|_| flow.service == Some(Service::Dns)) {
            let Some(meaning) = error.icmp.meaning() else { continue };
            if let Some(told) = book.notes.told.count(flow.server) {
                told.add((meaning.to_owned(), error.reporter));
            }
        }
    }

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        if !asks_resolver(transaction, flow) {
            return book.not_judged("no lookup: NetBIOS, NOTIFY, UPDATE, multicast, or no question");
        }
        let Some(query) = transaction.query else {
            if let Some(response) = transaction.response {
                let name = transaction.name.to_ascii_lowercase();
                let question = asked_of(flow.server.address, &name, transaction.qtype);
                book.notes.unasked.add(flow.client.address, &question, response.time, flow.server);
            }
            return book.not_judged("the query is not in the capture");
        };
        if let Some(response) = transaction.response {
            if matches!(transaction.rcode, Some(NOERROR | NXDOMAIN)) {
                let asked_for = asked_for(&transaction.name.to_ascii_lowercase(), transaction.qtype);
                book.notes.answered.add(flow.client.address, &asked_for, response.time, flow.server);
            }
            book.notes.replied.add(lookup_id(transaction, flow), flow.server, query.time);
            return book.judged(&flow.server).into_iter().for_each(|asked| {
                asked.answered += 1;
                asked.took.add(response.time - query.time);
                asked.names.add(hash_of(&lowercase(&transaction.name)));
                asked.types.add(transaction.qtype);
            });
        }
        if transaction.unheard {
            return book
                .not_judged("a response may be in bytes that were not captured, or left out for memory");
        }
        let name = transaction.name.to_ascii_lowercase();
        let question: Question = (flow.server, flow.client.address, name, transaction.qtype);
        let hash = hash_of(&question);
        let Some(tries) = book.notes.tries.observe(hash, (question, query.packet)) else { return };
        tries.query = (transaction.id, flow.client.port);
        tries.lookup = lookup_id(transaction, flow);
        tries.first = query;
        tries.last = transaction.repeats.last().copied().unwrap_or(query);
        tries.watched_until = transaction.watched_until;
        tries.case.lookup(transaction, flow, query);
        tries.case.affected.active.add(tries.last.time);
        tries.case.counts.lookups.add(tries.lookup);
        tries.case.counts.queries += 1 + u64::from(transaction.repeat_count);
        tries.case.show(0, query.packet, || {
            let qtype = qtype_name(transaction.qtype);
            let asked = format!("{} {qtype}, id {}", transaction.name, transaction.id);
            let repeats = transaction.repeats.iter().take(3);
            let repeats = repeats.map(move |at| {
                Evidence::new(*at, Role::Retry, format!("{} after the first query", at.time - query.time))
            });
            [Evidence::new(query, Role::Query, asked)].into_iter().chain(repeats)
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut questions: BTreeMap<Question, Vec<Tries>> = BTreeMap::new();
        let lost = book.notes.tries.lost();
        if context.fragments.evicted > 0 {
            // Large responses come in fragments, and those tell neither port nor id.
            let unanswered = book.notes.tries.take_if(|_, _| true).len() as u64;
            book.not_judged_many(
                "a response may be in IP fragments that were left out for memory",
                unanswered,
            );
        }
        let all = book.notes.tries.take_if(|_, _| true);
        let behind = behind_translation(&all);
        for ((question, _), mut tries) in all {
            if behind.contains(&tries.first.packet) {
                book.not_judged("the query is recorded before an address translation as well");
                continue;
            }
            if tries.case.affected.flow_ids().any(|flow| book.notes.ended.get(&flow).is_some()) {
                (tries.case.counts.ended, tries.case.counts.lookups) = (1, Lookups::default());
            }
            questions.entry(question).or_default().push(tries);
        }
        let mut resolvers: BTreeMap<(IpAddr, String, u16), u64> = BTreeMap::new();
        for (_, client, name, qtype) in questions.keys() {
            *resolvers.entry((*client, name.clone(), *qtype)).or_default() += 1;
        }
        let (mut waits, hosts) = (Waits::default(), context.hosts);
        for (question, mut tries) in questions {
            tries.sort_by_key(|one| one.first);
            let asked = (question.1, question.2.clone(), question.3);
            let others = resolvers.get(&asked).is_some_and(|resolvers| *resolvers > 1);
            let (_, client, name, qtype) = &question;
            let asked_for = asked_for(name, *qtype);
            // A query after an answer, from whomever, is another lookup.
            let served = |one: &Tries, next: &Tries| {
                let (from, within) = (one.first.time, next.first.time - one.first.time);
                matches!(book.notes.answered.after(*client, &asked_for, from, within), Got::At(..))
            };
            // Who repeats queries with their ID, and then asks with another one, had given up.
            let gave_up = |one: &Tries, next: &Tries| {
                one.last.time - one.first.time >= self.again && next.first.time > one.last.time
            };
            let same = |one: &Tries, next: &Tries| {
                let soon = next.first.time - one.last.time < self.together;
                soon && !gave_up(one, next) && !served(one, next)
            };
            let lookups: Vec<&[Tries]> = tries.chunk_by(same).collect();
            for lookup in lookups {
                self.lookup(&question, lookup, (others, hosts), book, &mut waits);
            }
        }
        for (resolver, waited) in waits.sums() {
            book.find_mut(resolver).into_iter().for_each(|case| case.lost = waited);
        }
        book.not_judged_many("more names than are kept apart", lost);
        // One that answers nothing is another trouble than one that leaves some unanswered.
        let apart = |book: &Book<Self>, resolver: &Endpoint| {
            (*resolver, book.total(resolver).1.is_some_and(|asked| asked.answered > 0))
        };
        let weight = |book: &Book<Self>, key: &Self::Key, case: &Case<Silence>| {
            alone(self, book, (key, case), context)
        };
        unite(book, context.heard, apart, |of| &of.lookups, weight);
        Vec::new()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Silence>,
        book: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Extent>> {
        let (resolver, lookups) = (*key, case.total.max(case.failed));
        let asked = book.total(&resolver).1;
        let answered = asked.map_or(0, |asked| asked.answered);
        let extent = if answered == 0 { Extent::Silent } else { Extent::Partial };
        let names = &case.affected.names;
        let named = Resolvers::of(resolver, case, context.heard);
        let (who, its) = (&named.who, named.verb("its", "their"));
        let part = percent(case.failed, lookups);
        let one_type = OneType::of(case, asked, self.of_type);
        let title = match extent {
            Extent::Silent => format!("{who} {} no lookup", named.verb("answers", "answer")),
            Extent::Partial if is_sweep(names) => format!(
                "{who} {} {part} of {its} lookups unanswered, all of a sweep of reverse names",
                named.verb("leaves", "leave"),
            ),
            Extent::Partial if never_answers(case, asked) => {
                format!("{who} {} no lookup for {}", named.verb("answers", "answer"), listed(names))
            }
            Extent::Partial => match &one_type {
                Some(one) if one.never => {
                    format!("{who} {} no lookup of type {}", named.verb("answers", "answer"), one.name)
                }
                Some(one) => format!(
                    "{who} {} {} of type {} unanswered",
                    named.verb("leaves", "leave"),
                    plural(case.failed, "lookup"),
                    one.name,
                ),
                None => format!("{who} {} {part} of {its} lookups unanswered", named.verb("leaves", "leave")),
            },
        };
        let own = asked_by(names);
        let whose = match (&one_type, &own) {
            (Some(one), _) => one.said(),
            (None, Some(systems)) => {
                format!(" All are names that systems look up by themselves ({systems}).")
            }
            (None, None) => String::new(),
        };
        let later = later(case);
        let told = book.notes.told.get(&resolver).map(|(_, told)| told.clone());
        let told = told.unwrap_or_default();
        let again = match case.counts.needed {
            0 if case.failed > 1 => " Nobody asked for any of them again.",
            _ => "",
        };
        let summary = format!(
            "{} got no response to {} of {}, for {}.{whose} They sent {}{}.{later}{again}{}{}",
            case.clients(),
            case.failed,
            plural(lookups, "lookup"),
            names.only().map_or_else(|| names.of("name"), |name| shown(name)),
            plural(case.counts.queries, "query"),
            match case.lost {
                Span::ZERO => String::new(),
                lost => format!(" and waited at least {lost} in all"),
            },
            named.note,
            icmp(&told, context),
        );
        let Silence { own_names, own_lost, reverse_names, hints, .. } = case.counts;
        let (unneeded, own_lost) = match extent {
            Extent::Silent => (0, 0),
            Extent::Partial => (own_names + reverse_names + hints, own_lost),
        };
        let needed = case.counts.needed.saturating_sub(unneeded);
        let part = share(case.failed, lookups);
        let never = case.failed.saturating_sub(case.counts.answered_later + own_lost);
        let lasting = share(never, case.failed) >= Severity::PART;
        // One client may send data in names. Several that get nothing at all have no resolver.
        let several = case.affected.clients.count() >= Severity::CLIENTS;
        let networks: BTreeSet<IpAddr> =
            case.affected.clients.iter().map(|client| network(*client)).collect();
        // Addresses of everywhere that ask once each are made up, as in a flood.
        let made = needed == 0 && 2 * networks.len() as u64 > case.affected.clients.count();
        let felt = if matches!(extent, Extent::Silent) && several && !made { case.failed } else { needed };
        let quick = matches!(extent, Extent::Partial) && case.lost < FAIL_OVER && case.counts.ended == 0;
        let nobody_waits = quick || !lasting && mean(case) < FAIL_OVER;
        let severity = if nobody_waits {
            Severity::Info
        } else if part >= self.critical_share && needed >= self.critical_lookups && lasting {
            Severity::Critical
        } else if share(felt, lookups) >= self.warning_share && felt >= self.warning_lookups {
            Severity::Warning
        } else {
            Severity::Info
        };
        let nobody = is_site_local(resolver.address);
        let reverse = names.iter().all(|name| is_reverse(name)) && !several;
        let scanners = || context.heard.visits.scanners();
        let severity = match own {
            Some(_) if !several => Severity::Info,
            Some(_) => severity.min(Severity::Warning),
            // A program that names what it sees, as a scanner does, and no person.
            None if reverse && case.affected.clients.iter().all(|client| scanners().contains_key(client)) => {
                Severity::Info
            }
            None if reverse => severity.min(Severity::Warning),
            // It has another resolver again.
            None if nobody && book.totals().any(|(_, _, asked)| asked.answered > 0) => Severity::Info,
            None if nobody => severity.min(Severity::Warning),
            None => severity,
        };
        let draft = Draft::new(extent, title, summary).severity(severity).count("answered", answered);
        let draft = match extent {
            _ if 2 * case.counts.ended > case.counts.queries => draft.could_be(ENDS),
            Extent::Silent if nobody => draft.could_be([
                "no resolver is configured: Windows then asks fec0:0:0:ffff::1 to ::3, which nobody has",
            ]),
            Extent::Silent if told.iter().any(|(_, reporter)| *reporter == resolver.address) => {
                draft.could_be(["nothing listens on the port", "a rule of the host rejects the queries"])
            }
            Extent::Silent if told.count() > 0 => {
                draft.could_be(["the one who reports has no way to the resolver, or a rule forbids it"])
            }
            // Other packets of its host pass here, so the host is up, and its answers would pass, too.
            Extent::Silent if context.heard.sent(resolver.address) => {
                draft.could_be(["a filter drops UDP port 53, or its answers", "the resolver does not work"])
            }
            Extent::Partial if is_sweep(names) => draft.could_be([SCANNER]),
            _ if own.is_some() => draft.could_be(["the network has no way to the Internet"]),
            Extent::Partial if one_type.is_some() => draft.could_be(types::COULD_BE),
            _ => draft,
        };
        let heard = book.totals().any(|(_, _, asked)| asked.answered > 0) || book.notes.two_way > 0;
        Some(match heard {
            true => draft,
            false => draft
                .severity(Severity::Info)
                .gate(QualityIssue::OneWay.gate("no response and no two-way flow is in the capture")),
        })
    }
}

impl DnsUnanswered {
    /// Counts a lookup: its queries to the resolver, in order, none of which got a response.
    /// The client asked `others` for the same as well.
    fn lookup(
        &self,
        question: &Question,
        tries: &[Tries],
        (others, hosts): (bool, &Hosts),
        book: &mut Book<Self>,
        waits: &mut Waits,
    ) {
        let (Some(first), Some(last)) = (tries.first(), tries.last()) else { return };
        let (_, client, name, qtype) = question;
        let from = first.first.time;
        let early = asked_of(question.0.address, name, *qtype);
        if matches!(
            book.notes.unasked.after(*client, &early, from - DISORDER, DISORDER + DISORDER),
            Got::At(..)
        ) {
            return book.not_judged("the response is recorded before the query, or with other ports");
        }
        let (answered, asked) = (&book.notes.answered, asked_for(name, *qtype));
        let mut got = answered.after_any(hosts.all(*client), &asked, from, self.fail_over);
        // Or it had the answer already, of another that it asked at the same time.
        if matches!(got, Got::Never)
            && let Got::At(_, resolver) =
                answered.after_any(hosts.all(*client), &asked, from - FAIL_OVER, FAIL_OVER)
            && resolver != question.0
        {
            got = Got::At(from, resolver);
        }
        let beside = |one: &Tries| book.notes.replied.beside(one.lookup, question.0, one.first.time);
        if let Some(resolver) = tries.iter().find_map(beside) {
            got = Got::At(from, resolver);
        }
        // The client's next query, to anybody, says that it had given up waiting for the one before.
        let (waited, watched) = (last.last.time - from, last.watched_until - last.last.time);
        if watched < Transaction::WAIT && takes_longer(last.watched_until - from, book, question.0) {
            return book.not_judged("the capture ended sooner than the resolver often answers");
        }
        let asked_again = tries.len() > 1 || waited >= self.again;
        let needed = asked_again || others || matches!(got, Got::At(..));
        let waited = match got {
            Got::At(time, _) => time - from,
            _ if tries.len() > 1 => waited,
            _ if watched >= self.patience => waited + self.patience,
            _ if asked_again => waited,
            _ => return book.not_judged("the capture ended too soon after the query"),
        };
        book.judged(&question.0);
        let Some(case) = book.case(question.0) else { return };
        tries.iter().for_each(|one| case.absorb(one.case.clone()));
        case.failed += 1;
        case.counts.needed += u64::from(needed);
        let own = system_of(name).is_some();
        case.counts.own_names += u64::from(needed && own);
        case.counts.own_lost += u64::from(own && !matches!(got, Got::At(..)));
        case.counts.reverse_names += u64::from(needed && is_reverse(name));
        case.counts.hints += u64::from(needed && is_hint(*qtype) && !is_reverse(name) && !own);
        case.counts.types.add(*qtype);
        if tries.iter().any(|one| one.case.counts.ended == 0) {
            waits.add(question.0, *client, from, waited);
        }
        if let Got::At(time, resolver) = got {
            case.counts.answered_later += 1;
            case.counts.later_resolvers.add(resolver);
            case.counts.until_answered += time - from;
        }
    }
}

const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;

/// The shortest time after which a stub asks another resolver (Windows). What was answered sooner was asked
/// of several at the same time (dnsmasq `all-servers`), and the silence of one costs nobody anything.
const FAIL_OVER: Span = Span::secs(1);

/// A response this close to its query and recorded before it: queues of a card are read after each other.
const DISORDER: Span = Span::millis(100);

#[cfg(test)]
mod tests;
