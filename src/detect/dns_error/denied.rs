//! Names that a resolver says do not exist.

use std::collections::BTreeMap;

use crate::app::dns::qtype_name;
use crate::detect::dns_error::{Code, DnsError, Errors, Question, Tries, Try};
use crate::detect::lookups::{Got, Known, carries_data, said, zone};
use crate::detect::*;
use crate::dissect::Endpoint;
use crate::time::Span;

/// What is known of a name that a resolver denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exists {
    /// The resolver itself had answered it.
    Before,
    /// Another resolver answers it.
    Elsewhere,
    /// Nobody answers it.
    Nowhere,
}

/// NXDOMAIN by resolver, zone and what else is known of the name.
#[derive(Default)]
pub(super) struct Denied {
    names: BTreeMap<Name, (Case<Errors>, Distinct<Endpoint, 4>)>,
    /// Names that carry data, by resolver and zone.
    carrying: BTreeMap<(Endpoint, String), Case<Errors>>,
}

/// Resolver, name or zone, and what else is known of it.
type Name = (Endpoint, String, Exists);

impl Denied {
    /// Takes a lookup that got NXDOMAIN.
    pub(super) fn lookup(
        &mut self,
        detector: &DnsError,
        question: Question,
        tries: Vec<Try>,
        notes: &Tries,
        context: &Context<'_>,
    ) {
        let (resolver, client, name, qtype) = &question;
        let any = notes.known(name, *qtype, None);
        if any.is_none() && carries_data(name) && !name.ends_with(".arpa") {
            let case = self.carrying.entry((*resolver, zone(name).to_owned())).or_default();
            detector.count(case, &question, &tries, false, context);
        }
        let Some(first) = tries.first().filter(|first| first.needed) else { return };
        let own = notes.known(name, *qtype, Some(*resolver));
        let earlier = |known: &Known| known.first.as_ref().is_some_and(|(at, _)| at.time < first.asked.time);
        let (exists, known) = match (own, any) {
            (Some(own), _) if earlier(own) => (Exists::Before, Some(own)),
            (Some(_), _) => return,
            (None, any) => (if any.is_some() { Exists::Elsewhere } else { Exists::Nowhere }, any),
        };
        let label = name.split('.').next().unwrap_or_default();
        let expands = || notes.labels.after(*client, label, first.asked.time, Span::secs(2)) != Got::Never;
        if exists == Exists::Nowhere && expands() {
            return;
        }
        let within = if exists == Exists::Nowhere { name.as_str() } else { zone(name) };
        let key = (*resolver, within.to_owned(), exists);
        let (case, resolvers) = self.names.entry(key).or_default();
        if !case.affected.names.iter().any(|known| known == name) {
            case.total += own.map_or(0, |own| own.lookups);
        }
        case.total += 1;
        let failed = detector.count(case, &question, &tries, true, context);
        if let Some(known) = known {
            resolvers.absorb(known.resolvers.clone());
            let answer = known.first.iter().filter(|_| failed);
            let answer =
                answer.map(|(at, said)| Evidence::new(*at, Role::Response, format!("{name}: {said}")));
            // Beside a failed lookup, the answer that speaks against it.
            case.show(-1, first.asked.packet, || {
                let asked = Evidence::new(first.asked, Role::Query, format!("{name} {}", qtype_name(*qtype)));
                [asked, Evidence::new(first.answered, Role::Response, "NXDOMAIN")].into_iter().chain(answer)
            });
        }
    }

    /// What there is to say.
    pub(super) fn conclude(self, detector: &DnsError) -> Vec<Concluded<DnsError>> {
        let mut nowhere: BTreeMap<Endpoint, Case<Errors>> = BTreeMap::new();
        let mut findings = Vec::new();
        for ((resolver, zone, exists), (case, others)) in self.names {
            if exists == Exists::Nowhere {
                if case.failed >= detector.insisting {
                    let sum = nowhere.entry(resolver).or_default();
                    sum.total += case.total;
                    sum.absorb(case);
                }
                continue;
            }
            let names = &case.affected.names;
            let what =
                names.only().map_or_else(|| format!("{} under {zone}", names.of("name")), String::clone);
            let mut others: Vec<String> = others.iter().map(Endpoint::to_string).collect();
            others.sort();
            let (others, before) = (others.join(", "), exists == Exists::Before);
            let by =
                if before { "and answered it before".to_owned() } else { format!("and {others} answers it") };
            let title = format!("{resolver} says that {what} does not exist, {by}");
            let mut summary = format!(
                "{} got NXDOMAIN in {} of {}. {} answered the same question{}.",
                case.clients(),
                case.counts.errors,
                plural(case.total, "lookup"),
                if before { resolver.to_string() } else { others },
                if before { " before" } else { "" },
            );
            if case.failed > 0 {
                let failed = plural(case.failed, "lookup");
                summary +=
                    &format!(" {failed} found nothing within {} from any resolver.", detector.fail_over);
            }
            summary += &said(&case.counts.extended_errors);
            let severity = match case.severity(case.failed) {
                _ if case.failed < detector.insisting => Severity::Info,
                severity if before => severity,
                severity => severity.min(Severity::Warning),
            };
            let confidence = if before { Confidence::Confirmed } else { Confidence::Likely };
            let draft = Draft::new(Code::Nxdomain, title, summary).severity(severity).confidence(confidence);
            let subject = Subject { server: Some(resolver.address.to_string()), ..Subject::of(&case) };
            let subject = Subject { port: Some(resolver.port), name: Some(what), ..subject };
            findings.push((draft.subject(subject), case));
        }
        findings.extend(nowhere.into_iter().map(|(resolver, mut case)| {
            let (names, clients) = (case.affected.names.of("name"), case.clients());
            let title = format!("Clients keep asking {resolver} for what does not exist: {names}");
            let asked = plural(case.counts.errors, "lookup");
            let summary =
                format!("{clients} got NXDOMAIN in {asked}. No resolver answered any of the names.");
            // Nobody misses a name that does not exist.
            (case.failed, case.lost) = (0, Span::ZERO);
            let draft = Draft::new(Code::Nxdomain, title, summary).severity(Severity::Info);
            let draft =
                draft.could_be(["an application asks for a name that was given up", "a misspelt name"]);
            (draft.next(&["ask who runs the clients what they look for"]), case)
        }));
        let carrying = self.carrying.into_iter();
        let carrying = carrying.filter(|(_, case)| case.affected.names.count() >= detector.carrying);
        findings.extend(carrying.map(|(of, case)| (carried(of, &case), case)));
        findings
    }
}

/// Names of a zone that carry data, and that nobody answers: whoever runs the zone reads them all the same.
fn carried((resolver, zone): (Endpoint, String), case: &Case<Errors>) -> Draft<Code> {
    let names = &case.affected.names;
    let longest = names.iter().flat_map(|name| name.split('.')).map(str::len).max().unwrap_or(0);
    let what = format!("{} under {zone}", names.of("name"));
    let title = format!("Lookups carry data in {what}, none of which exists");
    let summary = format!(
        "{} got NXDOMAIN from {resolver} in {}, for {what}. Labels have up to {longest} characters, as \
         nobody types them. No resolver answered any of the names.",
        case.clients(),
        plural(case.counts.errors, "lookup"),
    );
    let subject = Subject { server: Some(resolver.address.to_string()), ..Subject::of(case) };
    let subject = Subject { port: Some(resolver.port), name: Some(zone), ..subject };
    let draft = Draft::new(Code::Nxdomain, title, summary).severity(Severity::Info).subject(subject);
    let draft = draft.could_be([
        "a program carries data out in names: a tunnel over DNS",
        "a reputation service or telemetry, which answers what it does not know with NXDOMAIN",
    ]);
    draft.next(&["find the program on the client that asks", "ask who runs the zone"])
}
