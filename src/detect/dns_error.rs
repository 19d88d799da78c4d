//! # What it finds
//! Lookups that a resolver answered with an error other than SERVFAIL: REFUSED, FORMERR, NOTIMP, and NXDOMAIN
//! for names that exist.
//!
//! # Why it matters
//! An error is final for most programs: they say that the host is unknown, although it is well.
//!
//! # How it decides
//! Queries of one client to one resolver for the same name and type are one lookup while less than `together`
//! lies between an error and the next query.
//!
//! A lookup with an error failed when an application needed it, and no resolver gave the client anything for
//! the name within `fail_over`. It also takes a client that comes back: one error is a probe. Severity is the
//! share of what the resolver answered.
//! Resolvers that were asked for the same lookups, and addresses of one box, are one finding. Where every
//! good answer came before the first refusal, the title says so.
//! NXDOMAIN is an answer. It is only counted for a name that exists:
//! - the same resolver had answered name and type before, or
//! - another resolver answers them, and this one never does.
//!
//! Those are judged by zone, which are the last two labels. It is a warning from `insisting` lookups on.
//! Names that nobody answers are information when a client asks for one in `insisting` lookups, and when
//! `carrying` or more names of a zone carry data: labels as long and as mixed as people make none.
//!
//! # What it leaves alone
//! Queries without the wish for recursion, reverse names, block lists, single labels, types that are asked
//! for beside the address (HTTPS, SVCB) or for DNSSEC and policy, CHAOS names, NOTIFY, UPDATE, NetBIOS.
//! Suffixes of a search list, where the client finds the name with another. Answers that an extended error
//! calls blocked, censored, filtered or prohibited. A server that never offers recursion and answers for its
//! own zones: it has to refuse the rest.
//!
//! # What it does not claim
//! That the resolver is at fault: it may have been told to refuse. Which of two resolvers is right.
//!
//! # References
//! RFC 1035 section 4.1.1; RFC 8020; RFC 8914; RFC 9520 section 2.1; resolv.conf(5): `timeout`, `attempts`.

mod denied;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{SERVFAIL, Transaction, qtype_name, rcode_name};
use crate::detect::dns_error::denied::Denied;
use crate::detect::lookups::{Answered, Got, Known, asks_for_name, is_needed, is_policy, lowercase, said};
use crate::detect::own_names::asked_by;
use crate::detect::resolvers::{Lookups, Resolvers, alone, lookup_id, unite};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;
use crate::time::Span;

thresholds! {
    /// Counts lookups that were answered with an error.
    struct DnsError {
        together: Span = 1.0 "s",
            "time from an error to the next query for the same, below which both are one lookup",
            "ours: glibc, musl and dnsmasq try again as soon as they have the error";
        fail_over: Span = 10.0 "s",
            "time after the error in which any resolver's answer still serves the client",
            "resolv.conf(5): timeout 5 s, attempts 2";
        insisting: u64 = 3.0 "lookups",
            "lookups for a name that exists, from which NXDOMAIN is a warning",
            "ours: glibc alone asks twice per lookup, so three are more than one lookup";
        carrying: u64 = 8.0 "names",
            "of a zone that nobody answers and that carry data, from which that is said",
            "dns_servfail, tunnel: 8 names";
    }
}

variants! {
    /// The response code.
    enum Code {
        Refused "refused" Critical {
            could_be: &[
                "the resolver does not serve this network",
                "the resolver does not serve these names",
            ],
            next: &[
                "ask whoever runs the resolver which networks it serves",
                "ask it from another network: dig @RESOLVER NAME",
            ],
            not_claimed: NOT_CLAIMED,
        }
        Formerr "formerr" Critical {
            could_be: &["the server does not understand EDNS", "a device on the path changes queries"],
            next: &["ask without EDNS: dig +noedns @RESOLVER NAME"],
            not_claimed: NOT_CLAIMED,
        }
        Notimp "notimp" Critical {
            could_be: &["the server does not know the type asked for"],
            next: &["ask for another type: dig @RESOLVER NAME A"],
            not_claimed: NOT_CLAIMED,
        }
        Nxdomain "nxdomain" Critical {
            could_be: &[
                "the name was removed from the zone",
                "the resolvers see different versions of the zone",
                "the client asks a resolver that does not know the zone",
            ],
            next: &[
                "ask every resolver for the name: dig @RESOLVER NAME",
                "compare the zone's serials: dig SOA",
            ],
            not_claimed: &["which of the answers is right"],
        }
        Other "other" Critical {
            could_be: &["client and server do not agree on a DNS extension"],
            next: &["ask without extensions: dig +noedns @RESOLVER NAME"],
            not_claimed: NOT_CLAIMED,
        }
    }
}

const NOT_CLAIMED: &[&str] = &["that the resolver is at fault: it may have been told to"];

impl Code {
    fn of(rcode: u16) -> Option<Self> {
        match rcode {
            0 | SERVFAIL => None,
            1 => Some(Self::Formerr),
            3 => Some(Self::Nxdomain),
            4 => Some(Self::Notimp),
            5 => Some(Self::Refused),
            _ => Some(Self::Other),
        }
    }
}

counts! {
    /// What a case counts.
    struct Errors {
        /// Lookups with the error.
        errors: u64,
        /// Those of them that another response served in time.
        answered_elsewhere: u64,
        /// Names that failed.
        failed_names: Distinct<String>,
        codes: Distinct<u16, 8>,
        extended_errors: Distinct<(u16, String), 8>,
        lookups: Lookups,
    }
}

counts! {
    /// What is counted of every answered lookup of a resolver.
    struct Offers {
        authoritative: u64,
        recursive: u64,
        /// When the last of them was answered well, nanoseconds.
        well: Most,
    }
}

/// What was asked: resolver, client, name, type.
type Question = (Endpoint, IpAddr, String, u16);

/// A lookup that got an error.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Try {
    case: Case<Errors>,
    asked: PacketRef,
    answered: PacketRef,
    needed: bool,
}

impl Merge for Try {
    fn absorb(&mut self, other: Self) {
        // Keys have the packet in them: nothing is ever counted twice under one.
        *self = other;
    }
}

merged! {
    /// Lookups with an error, names that were answered (at a resolver, and at any).
    pub(super) struct Tries {
        tries: Bounded<(Question, u64), Try, { 1 << 14 }>,
        known: Bounded<(u64, Option<Endpoint>), Known, { 1 << 15 }>,
        /// When clients got names, by first label: a search list asks for it with several suffixes.
        labels: Answered,
    }
}

impl Tries {
    fn known(&self, name: &str, qtype: u16, resolver: Option<Endpoint>) -> Option<&Known> {
        self.known.get(&(hash_of(&(name, qtype)), resolver)).map(|(_, known)| known)
    }
}

impl Detector for DnsError {
    const RULE: Rule = Rule {
        name: "dns_error",
        group: Group::Dns,
        summary: "lookups that a resolver answered with REFUSED, FORMERR and the like",
        judges: "lookups",
        variants: Code::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("dns_error.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Upstream, &["dns_servfail", "dns_error"])];
    type Variant = Code;
    type Key = (Endpoint, Code);
    type Counts = Errors;
    type Total = Offers;
    type Notes = Tries;

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        if !asks_for_name(transaction, flow) {
            return book.not_judged("no lookup of a name: NetBIOS, NOTIFY, UPDATE or CHAOS");
        }
        let answered = transaction.response.zip(transaction.rcode);
        let Some((query, (response, rcode))) = transaction.query.zip(answered) else {
            return book.not_judged("the query or the response is not in the capture");
        };
        let (client, resolver) = (flow.client.address, flow.server);
        let name = lowercase(&transaction.name);
        if Code::of(rcode).is_none() {
            if let Some(offers) = book.judged(&resolver) {
                offers.recursive += u64::from(transaction.recursion_available);
                offers.authoritative += u64::from(transaction.authoritative);
                offers.well.add(u64::try_from(response.time.0).unwrap_or(0));
            }
            if transaction.found() {
                let hash = hash_of(&(&name, transaction.qtype));
                for at in [Some(resolver), None] {
                    if let Some(known) = book.notes.known.observe(hash, (hash, at)) {
                        known.add(response, &transaction.answers, resolver);
                    }
                }
                let label = name.split('.').next().unwrap_or_default();
                book.notes.labels.add(client, label, response.time, resolver);
            }
            return;
        }
        let question: Question = (resolver, client, name.into_owned(), transaction.qtype);
        let hash = hash_of(&question);
        let needed = transaction.recursion_desired
            && is_needed(&question.2, transaction.qtype)
            && !transaction.errors.iter().any(is_policy);
        let Some(one) = book.notes.tries.observe(hash, (question, query.packet)) else { return };
        (one.asked, one.answered, one.needed) = (query, response, needed);
        one.case.lookup(transaction, flow, response);
        one.case.affected.active.add(query.time);
        one.case.counts.codes.add(rcode);
        one.case.counts.lookups.add(lookup_id(transaction, flow));
        for error in &transaction.errors {
            one.case.counts.extended_errors.add((error.code, error.text.clone()));
        }
        one.case.show(i64::from(!needed), query.packet, || {
            let asked = format!("{} {}", transaction.name, qtype_name(transaction.qtype));
            let answer = Evidence::new(response, Role::Response, rcode_name(rcode));
            [Evidence::new(query, Role::Query, asked), answer]
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut notes = std::mem::take(&mut book.notes);
        book.not_judged_many("more names than are kept apart", notes.tries.lost());
        let mut questions: BTreeMap<(Question, Code), Vec<Try>> = BTreeMap::new();
        for ((question, _), one) in notes.tries.take_if(|_, _| true) {
            let code = one.case.counts.codes.only().copied().and_then(Code::of);
            questions.entry((question, code.unwrap_or(Code::Other))).or_default().push(one);
        }
        // Lookups of a client at a resolver by code: who comes back needs an answer.
        let mut asking: BTreeMap<(Endpoint, IpAddr, Code), u64> = BTreeMap::new();
        let mut lookups: Vec<(Question, Code, Vec<Try>)> = Vec::new();
        for (((resolver, client, name, qtype), code), mut tries) in questions {
            tries.sort_by_key(|one| one.asked);
            for same in tries.chunk_by(|one, next| next.asked.time - one.answered.time < self.together) {
                *asking.entry((resolver, client, code)).or_default() += 1;
                lookups.push(((resolver, client, name.clone(), qtype), code, same.to_vec()));
            }
        }
        let mut denied = Denied::default();
        for (question, code, tries) in lookups {
            book.judged(&question.0);
            if code == Code::Nxdomain {
                denied.lookup(self, question, tries, &notes, context);
                continue;
            }
            let Some(case) = book.case((question.0, code)) else { continue };
            let insists = asking.get(&(question.0, question.1, code)).is_some_and(|count| *count > 1);
            self.count(case, &question, &tries, insists, context);
        }
        // Who answers nothing else is another trouble than who answers some with an error.
        let every = |book: &Book<Self>, key: &Self::Key| {
            let errors = book.find(*key).map_or(0, |case| case.counts.errors);
            (key.0, (key.1, errors >= book.total(&key.0).0))
        };
        let weight =
            |book: &Book<Self>, key: &Self::Key, case: &Case<Errors>| alone(self, book, (key, case), context);
        unite(book, context.heard, every, |of| &of.lookups, weight);
        denied.conclude(self)
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Errors>,
        book: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Code>> {
        let (resolver, code) = *key;
        let (of, offers) = book.total(&resolver);
        // A server of zones refuses the rest, as it has to.
        let zones_only = code == Code::Refused
            && offers.is_some_and(|offers| offers.authoritative > 0 && offers.recursive == 0);
        let Errors { errors, answered_elsewhere, failed_names, extended_errors, codes, .. } = &case.counts;
        let resolvers = Resolvers::of(resolver, case, context.heard);
        let (who, its) = (&resolvers.who, resolvers.verb("its", "their"));
        let answers = resolvers.verb("answers", "answer");
        let named = codes.only().map_or_else(|| "an error".to_owned(), |rcode| rcode_name(*rcode));
        // It answered until then, and only then began to refuse.
        let first = case.first_seen().and_then(|first| u64::try_from(first.0).ok());
        let served = offers.map_or(0, |offers| offers.well.get());
        let turned = served > 0 && first.is_some_and(|first| served <= first) && *errors >= TURNED;
        let title = match *errors {
            all if turned => {
                let before = plural(of.saturating_sub(all), "good answer");
                let begins = resolvers.verb("begins", "begin");
                format!("{who} {begins} to answer every lookup with {named}, after {before}")
            }
            all if all >= of => format!("{who} {answers} every lookup with {named}"),
            _ => format!("{who} {answers} {} of {its} lookups with {named}", percent(*errors, of)),
        };
        let names = &case.affected.names;
        let mut summary = format!(
            "{} got {named} in {errors} of {}, for {}.",
            case.clients(),
            plural(of, "answered lookup"),
            names.only().map_or_else(|| names.of("name"), String::clone),
        );
        if case.failed > 0 {
            let names = failed_names.only().map_or_else(|| failed_names.of("name"), String::clone);
            summary += &format!(
                " {} found nothing within {} from any resolver, for {names}.",
                plural(case.failed, "lookup"),
                self.fail_over
            );
        }
        if *answered_elsewhere > 0 {
            summary += &format!(" {} got an answer in that time.", plural(*answered_elsewhere, "lookup"));
        }
        if zones_only {
            summary += " The server offers no recursion and answers for zones of its own.";
        }
        summary += &resolvers.note;
        summary += &said(extended_errors);
        let own = asked_by(failed_names);
        if let Some(systems) = &own {
            summary += &format!(" Systems look up such names by themselves ({systems}).");
        }
        let several = case.affected.clients.count() >= Severity::CLIENTS;
        let severity = match own {
            _ if zones_only => Severity::Info,
            Some(_) if !several => Severity::Info,
            Some(_) => case.severity(case.failed).min(Severity::Warning),
            None => case.severity(case.failed),
        };
        let draft = Draft::new(code, title, summary).severity(severity).count("answered", of);
        let recursive = offers.is_some_and(|offers| offers.recursive > 0);
        Some(match code {
            Code::Refused if turned => draft.could_be([LOST, "its configuration changed"]),
            // It serves this network.
            Code::Refused if recursive && case.affected.clients.count() == 1 => {
                draft.could_be(["the resolver does not serve these names", LOST])
            }
            _ => draft,
        })
    }
}

/// What makes a forwarder refuse that did not: dnsmasq does without servers.
const LOST: &str = "it forwards lookups, and has lost its own resolvers";

/// Refusals in a row behind the last good answer, from which the resolver turned. A judgement.
const TURNED: u64 = 5;

impl DnsError {
    /// Counts a lookup that got an error; `insists`: its client came back. Whether it failed.
    fn count(
        &self,
        case: &mut Case<Errors>,
        (_, client, name, _): &Question,
        tries: &[Try],
        insists: bool,
        context: &Context<'_>,
    ) -> bool {
        tries.iter().for_each(|one| case.absorb(one.case.clone()));
        case.counts.errors += 1;
        let (Some(first), Some(last)) = (tries.first(), tries.last()) else { return false };
        let own = context.hosts.all(*client);
        let got = context.heard.found.after_any(own, name, first.asked.time, self.fail_over);
        case.counts.answered_elsewhere += u64::from(matches!(got, Got::At(..)));
        let failed = got == Got::Never && insists && first.needed;
        if failed {
            case.failed += 1;
            case.lost += last.answered.time - first.asked.time;
            case.counts.failed_names.add(name.clone());
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, silent};
    use crate::support::dns::{A, AAAA, HTTPS, NOERROR, NXDOMAIN};
    use crate::support::scenes::Lab;

    const NAME: &str = DnsError::RULE.name;
    const REFUSED: u16 = 5;
    const ADDRESS: &[[u8; 4]] = &[[10, 77, 2, 80]];

    /// Client 7 asks the resolver for an address, at a millisecond.
    fn asks(lab: &mut Lab, at: u64, name: &str, rcode: u16) {
        let addresses = if rcode == NOERROR { ADDRESS } else { &[] };
        lab.asks(at * 1_000, 7, lab.resolver(), (name, A), rcode, addresses);
    }

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("dns_error_refused", "refused", Severity::Critical),
                ("dns_error_removed", "nxdomain", Severity::Critical),
            ],
        );
    }

    #[test]
    fn it_stays_silent() {
        silent(NAME, &["healthy_search_list", "healthy_large", "dns_servfail_bogus", "dns_unanswered"]);
    }

    #[test]
    fn a_forwarder_that_loses_its_resolvers_refuses_from_then_on() {
        for (again, alone) in [(false, true), (true, false)] {
            let findings = in_traffic(NAME, |lab| {
                (0..20).for_each(|number| asks(lab, 1_000 + number * 100, "www.shop.example", NOERROR));
                let refused = |lab: &mut Lab, number: u64| {
                    asks(lab, 9_000 + number * 3_000, &format!("www{}.shop.example", number / 2), REFUSED);
                };
                (0..8).for_each(|number| refused(lab, number));
                if again {
                    asks(lab, 40_000, "www.shop.example", NOERROR);
                }
            });
            let finding = one(&findings, "refused", Severity::Warning);
            assert_eq!(finding.title.ends_with("with REFUSED, after 20 good answers"), alone, "{finding:#?}");
            assert_eq!(finding.alternatives[0].starts_with("it forwards lookups"), alone);
        }
    }

    #[test]
    fn a_name_that_only_another_resolver_knows_is_a_warning() {
        let findings = in_traffic(NAME, |lab| {
            let resolver = lab.server(54);
            lab.asks(900_000, 9, resolver, ("app.shop.example", A), NOERROR, ADDRESS);
            (0..4).for_each(|number| asks(lab, 2_000 + number * 4_000, "app.shop.example", NXDOMAIN));
        });
        let finding = one(&findings, "nxdomain", Severity::Warning);
        assert!(finding.title.contains("10.77.2.54:53 answers it"), "{}", finding.title);
    }

    /// systemd-resolved asks the resolvers of all its links, and one of them knows the name.
    #[test]
    fn a_client_that_asks_both_has_its_answer() {
        let findings = in_traffic(NAME, |lab| {
            let resolver = lab.server(54);
            for number in 0..9 {
                let at = 1_000 + number * 9_000;
                asks(lab, at, "app.corp.example", NXDOMAIN);
                lab.asks(at * 1_000 + 40, 7, resolver, ("app.corp.example", A), NOERROR, ADDRESS);
            }
        });
        assert_eq!(one(&findings, "nxdomain", Severity::Info).impact.failed_transactions, 0);
    }

    #[test]
    fn a_second_resolver_that_answers_makes_it_information() {
        let findings = in_traffic(NAME, |lab| {
            let resolver = lab.server(54);
            for number in 0..9 {
                let (at, name) = (1_000 + number * 9_000, format!("www{number}.shop.example"));
                asks(lab, at, &name, REFUSED);
                lab.asks(at * 1_000 + 3_000, 7, resolver, (&name, A), NOERROR, ADDRESS);
            }
        });
        let finding = one(&findings, "refused", Severity::Info);
        assert!(finding.summary.contains("9 lookups got an answer"), "{}", finding.summary);
    }

    /// Strangers ask for a name once each, types that nobody waits for, reverse names and block lists.
    #[test]
    fn probes_and_what_nobody_waits_for_are_information() {
        let findings = in_traffic(NAME, |lab| {
            let resolver = lab.resolver();
            for number in 0..9 {
                let at = 1_000_000 + u64::from(number) * 3_000_000;
                lab.asks(at, 20 + number, resolver, ("www.shop.example", A), REFUSED, &[]);
                for (name, qtype) in [("8.1.77.10.in-addr.arpa", 12), ("www.shop.example", HTTPS)] {
                    lab.asks(at + 9_000, 7, resolver, (name, qtype), REFUSED, &[]);
                }
            }
        });
        assert_eq!(one(&findings, "refused", Severity::Info).impact.failed_transactions, 0);
    }

    /// Windows measures its networks with it.
    #[test]
    fn names_that_a_system_asks_for_by_itself_are_information() {
        for (name, severity) in
            [("t-ring-fdv2.msedge.net", Severity::Info), ("www.msedge.net", Severity::Critical)]
        {
            let findings = in_traffic(NAME, |lab| {
                (0..9).for_each(|number| asks(lab, 1_000 + number * 30_000, name, REFUSED))
            });
            one(&findings, "refused", severity);
        }
    }

    /// A server that does not know AAAA: programs go on with the other type.
    #[test]
    fn one_of_two_types_is_information() {
        let findings = in_traffic(NAME, |lab| {
            let resolver = lab.resolver();
            for number in 1..9 {
                asks(lab, number * 3_000, "www.shop.example", NOERROR);
                lab.asks(number * 3_000_000 + 90, 7, resolver, ("www.shop.example", AAAA), 4, &[]);
            }
        });
        one(&findings, "notimp", Severity::Info);
    }

    /// A tunnel whose server only listens: each name is asked for once. Names that people make are none.
    #[test]
    fn names_that_carry_data_and_do_not_exist_are_information() {
        let findings = |name: fn(u64) -> String| {
            in_traffic(NAME, |lab| (0..30).for_each(|n| asks(lab, 1_000 + n * 300, &name(n), NXDOMAIN)))
        };
        let found = findings(|n| format!("{n}.{:024x}.T.example", u128::from(n + 1) * 0x9e37_79b9_7f4a_7c15));
        let finding = one(&found, "nxdomain", Severity::Info);
        assert!(finding.title.contains("30 names under t.example"), "{}", finding.title);
        assert!(findings(|n| format!("printer-{n}.office.example")).is_empty());
    }

    #[test]
    fn names_that_never_existed_are_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..9).for_each(|number| asks(lab, 1_000 + number * 3_000, "old.shop.example", NXDOMAIN));
            (0..9).for_each(|number| asks(lab, 2_000 + number * 7, &format!("r{number}.example"), NXDOMAIN));
        });
        let finding = one(&findings, "nxdomain", Severity::Info);
        assert_eq!((findings.len(), finding.scope.names.sample), (1, vec!["old.shop.example".to_owned()]));
    }
}
