//! # What it finds
//! Queries that a search list costs: names that were tried with suffixes under which they do not exist,
//! before they were found.
//!
//! # Why it matters
//! With `ndots:5`, as in Kubernetes, a name outside the cluster costs three or four lookups more, each for
//! two types. Clients wait for them, and the resolvers carry them. NXDOMAIN counts look like an outage.
//!
//! # How it decides
//! A client gets NXDOMAIN for a name and finds another within `within`, for the same type at the same
//! resolver. Both begin with the same labels. The rest of the failed one is a suffix:
//! - the found name is those labels alone, or
//! - the rest of one name ends with the rest of the other, as with `svc.cluster.local` and `cluster.local`,
//!   or
//! - the same two rests met with other labels, too.
//!
//! It is always information, and only from `wasted` such lookups of a resolver on.
//!
//! # What it leaves alone
//! Lists that end without an answer: the name does not exist.
//!
//! # What it does not claim
//! That anything failed. How long the programs waited: they may have asked for other things meanwhile.
//!
//! # References
//! resolv.conf(5): `search`, `ndots`; RFC 1535; RFC 8499 section 2.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{Transaction, qtype_name};
use crate::detect::lookups::{asks_for_name, is_needed};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;
use crate::time::Span;

thresholds! {
    /// Follows clients through their search lists.
    struct DnsSearchList {
        within: Span = 2.0 "s",
            "from an NXDOMAIN to the name that is found, at most",
            "ours: the list is tried at once; two seconds leave room for slow resolvers";
        wasted: u64 = 10.0 "lookups",
            "that only tried a suffix, from which it is worth saying",
            "ours: fewer are one program's start";
    }
}

variants! {
    /// There is one kind.
    enum Only {
        Expansion "" Info {
            could_be: &["search domains with a high ndots, as Kubernetes sets it"],
            next: &[
                "use names with a final dot, or set ndots to 1 where full names are used",
                "let the resolver complete names (autopath of CoreDNS)",
            ],
            not_claimed: &["that anything failed", "how long programs waited for it"],
        }
    }
}

counts! {
    /// What a case counts.
    struct Expansions {
        wasted: u64,
        found: u64,
    }
}

/// A lookup that found its name, or none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Step {
    flow: Option<FlowHead>,
    query: PacketRef,
    response: PacketRef,
    name: String,
    exists: bool,
}

impl Merge for Step {
    fn absorb(&mut self, other: Self) {
        // Keys have the packet in them: nothing is ever counted twice under one.
        *self = other;
    }
}

/// Who asks whom, for which type.
type Asker = (IpAddr, Endpoint, u16);

/// Lookups by who asked and packet.
pub(super) type Steps = Bounded<(Asker, u64), Step, { 1 << 14 }>;

impl Detector for DnsSearchList {
    const RULE: Rule = Rule {
        name: "dns_search_list",
        group: Group::Dns,
        summary: "lookups that only try the suffixes of a search list",
        judges: "lookups",
        variants: Only::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("dns_search_list.rs"),
    };
    type Variant = Only;
    type Key = Endpoint;
    type Counts = Expansions;
    type Total = ();
    type Notes = Steps;

    fn transaction(&self, transaction: &Transaction, flow: &FlowHead, book: &mut Book<Self>) {
        const NXDOMAIN: u16 = 3;
        let missing = transaction.rcode == Some(NXDOMAIN);
        let Some((query, response)) = transaction.query.zip(transaction.response) else {
            return book.not_judged("the query or the response is not in the capture");
        };
        let name = transaction.name.to_ascii_lowercase();
        // The found name may be a single label; one with a suffix is not.
        let named = is_needed(&name, transaction.qtype) || !name.contains('.');
        if !asks_for_name(transaction, flow) || !named {
            return book.not_judged("no search list is used: reverse names, HTTPS, NetBIOS and the like");
        }
        book.judged(&flow.server);
        if !missing && transaction.rcode != Some(0) {
            return;
        }
        let asker: Asker = (flow.client.address, flow.server, transaction.qtype);
        if let Some(step) = book.notes.observe_by((asker, query.packet), |_| hash_of(&asker)) {
            *step = Step { flow: Some(*flow), query, response, name, exists: !missing };
        }
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut notes = std::mem::take(&mut book.notes);
        let lost = notes.lost();
        let mut askers: BTreeMap<Asker, Vec<Step>> = BTreeMap::new();
        for ((asker, _), step) in notes.take_if(|_, _| true) {
            askers.entry(asker).or_default().push(step);
        }
        for (asker, mut steps) in askers {
            steps.sort_by_key(|step| (step.query.time, step.query.packet));
            self.lists(asker, &steps, book);
        }
        book.not_judged_many("more lookups than are kept apart", lost);
        Vec::new()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Expansions>,
        _: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Only>> {
        let Expansions { wasted, found } = case.counts;
        let title = format!("Search lists cost {} at {key}", plural(wasted, "lookup"));
        let names = &case.affected.names;
        let summary = format!(
            "{} got NXDOMAIN {wasted} times before {} found {}. That is {} of {} there. Their responses took \
             {} in all.",
            case.clients(),
            plural(found, "lookup"),
            names.only().map_or_else(|| names.of("name"), String::clone),
            percent(wasted, case.total),
            plural(case.total, "answered lookup"),
            case.lost,
        );
        (wasted >= self.wasted).then(|| Draft::new(Only::Expansion, title, summary))
    }
}

impl DnsSearchList {
    /// Counts what the lists of one asker cost; its lookups for one type, in order of time.
    fn lists(&self, (_, resolver, qtype): Asker, steps: &[Step], book: &mut Book<Self>) {
        // For every failed lookup the names found after it, as far as they begin with the same labels.
        let mut pairs: Vec<(&Step, &Step, (&str, &str))> = Vec::new();
        let mut stems: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for (at, missing) in steps.iter().enumerate().filter(|(_, step)| !step.exists) {
            let later = steps.iter().skip(at + 1).take(Self::AHEAD);
            let mut later = later.take_while(|step| step.query.time - missing.query.time <= self.within);
            let found = later
                .find_map(|step| Some((step, rests(&missing.name, &step.name)?)).filter(|_| step.exists));
            let Some((found, rests)) = found else { continue };
            let stem = &missing.name[..missing.name.len() - rests.0.len()];
            stems.entry(rests).or_default().insert(stem);
            pairs.push((missing, found, rests));
        }
        let mut counted: BTreeSet<u64> = BTreeSet::new();
        for (missing, found, rests) in pairs {
            let (failed, other) = rests;
            let related = other.is_empty() || is_below(failed, other) || is_below(other, failed);
            if !related && stems.get(&rests).is_none_or(|stems| stems.len() < 2) {
                continue;
            }
            let Some(case) = book.case(resolver) else { continue };
            if counted.insert(found.query.packet) {
                case.counts.found += 1;
            }
            case.counts.wasted += 1;
            case.lost += (missing.response.time - missing.query.time).max(Span::ZERO);
            missing.flow.iter().for_each(|flow| case.affected.add(flow));
            case.affected.names.add(found.name.clone());
            case.affected.active.add(missing.query.time);
            case.affected.active.add(found.response.time);
            case.show(0, found.query.packet, || {
                let shown = [(missing, "NXDOMAIN"), (found, "found")];
                let shown = shown.into_iter().flat_map(|(step, end)| {
                    let asked = format!("{} {}", step.name, qtype_name(qtype));
                    let query = Evidence::new(step.query, Role::Query, asked);
                    [query, Evidence::new(step.response, Role::Response, end)]
                });
                shown.collect::<Vec<_>>()
            });
        }
    }

    /// Lookups that are looked at after a failed one.
    const AHEAD: usize = 32;
}

/// `name` ends with the labels of `zone`.
fn is_below(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What two names end with after the labels that they begin with alike; `None` when they begin differently
/// or are the same. The first is not empty: something was appended.
fn rests<'n>(missing: &'n str, found: &'n str) -> Option<(&'n str, &'n str)> {
    let same = missing.split('.').zip(found.split('.')).take_while(|(one, other)| one == other);
    let length: usize = same.map(|(label, _)| label.len() + 1).sum();
    let (rest, other) = (missing.get(length..)?, found.get(length..).unwrap_or_default());
    (length > 0 && !rest.is_empty()).then_some((rest, other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_scene, in_traffic, one, says_nothing};
    use crate::support::dns::{A, NOERROR, NXDOMAIN};
    use crate::support::scenes::Lab;

    const NAME: &str = DnsSearchList::RULE.name;

    /// Client 7 asks for names one after the other, from a millisecond on; the last one exists.
    fn list(lab: &mut Lab, at: u64, names: &[&str]) {
        let resolver = lab.resolver();
        for (number, name) in (0u64..).zip(names) {
            let last = number as usize + 1 == names.len();
            let (rcode, addresses): (u16, &[[u8; 4]]) =
                if last { (NOERROR, &[[10, 77, 2, 80]]) } else { (NXDOMAIN, &[]) };
            lab.asks(at * 1_000 + number * 3_000, 7, resolver, (name, A), rcode, addresses);
        }
    }

    #[test]
    fn it_fires() {
        fires(NAME, &[("healthy_search_list", "", Severity::Info)]);
        let findings = in_scene(NAME, "healthy_search_list");
        assert_eq!(one(&findings, "", Severity::Info).impact.failed_transactions, 0);
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy_large", "dns_servfail_bogus", "dns_unanswered", "dns_error_removed"]);
    }

    #[test]
    fn the_suffixes_of_kubernetes_are_counted() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..6 {
                let tried = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"];
                let tried = tried.map(|suffix| format!("api.example.org.{suffix}"));
                list(lab, 1_000 + number * 5_000, &[&tried[0], &tried[1], &tried[2], "api.example.org"]);
            }
        });
        let finding = one(&findings, "", Severity::Info);
        assert!(finding.title.starts_with("Search lists cost 18 lookups"), "{}", finding.title);
    }

    /// Suffixes that have nothing in common but that several names meet them.
    #[test]
    fn a_list_of_unrelated_zones_is_one_when_several_names_meet_it() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..12u64 {
                let host = format!("host{}", number % 3);
                let tried = [format!("{host}.one.example"), format!("{host}.corp.test")];
                list(lab, 1_000 + number * 5_000, &[&tried[0], &tried[1]]);
            }
        });
        one(&findings, "", Severity::Info);
    }

    #[test]
    fn names_that_only_begin_alike_are_no_list() {
        let findings = in_traffic(NAME, |lab| {
            (0..12)
                .for_each(|number| list(lab, 1_000 + number * 5_000, &["www.typo.example", "www.shop.test"]));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The list ends without an answer: that is no cost of the list.
    #[test]
    fn names_that_are_never_found_are_not_counted() {
        let findings = in_traffic(NAME, |lab| {
            let resolver = lab.resolver();
            for number in 0..20 {
                let at = 1_000_000 + number * 5_000_000;
                lab.asks(at, 7, resolver, ("printer.a.example", A), NXDOMAIN, &[]);
                lab.asks(at + 3_000, 7, resolver, ("printer.example", A), NXDOMAIN, &[]);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
