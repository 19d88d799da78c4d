//! Resolvers that are one trouble: clients asked them for the same lookups, or they are addresses of one box.

use std::cell::LazyCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::app::dns::Transaction;
use crate::detect::lookups::lowercase;
use crate::detect::scope::network;
use crate::detect::translations::Before;
use crate::detect::{Book, Case, Context, Detector, Distinct, Heard, Key, Listed, Severity, hash_of, merged};
use crate::dissect::Endpoint;
use crate::flow::FlowHead;

/// What a client keeps when it asks several resolvers, or one again: port, ID, name and type. In a hash.
pub(super) fn lookup_id(transaction: &Transaction, flow: &FlowHead) -> u64 {
    hash_of(&(flow.client.port, transaction.id, lowercase(&transaction.name), transaction.qtype))
}

merged! {
    /// Some of the lookups of a case, by [`lookup_id`].
    pub(super) struct Lookups(Distinct<u64, 64>);
}

/// They tell cases apart, and say nothing to people.
impl Listed for Lookups {
    fn listed(&self) -> Option<u64> {
        None
    }
}

impl Lookups {
    /// Takes a lookup.
    pub(super) fn add(&mut self, id: u64) {
        self.0.add(id);
    }

    /// Most of them are among the other's, as far as both samples reach: they hold the lowest hashes.
    fn are_among(&self, other: &Self) -> bool {
        let reach = other.0.iter().map(hash_of).max().filter(|_| other.0.is_full()).unwrap_or(u64::MAX);
        let within: Vec<&u64> = self.0.iter().filter(|id| hash_of(*id) <= reach).collect();
        let shared = within.iter().filter(|id| other.0.iter().any(|known| known == **id)).count();
        shared > 0 && shared * 2 > within.len()
    }
}

/// The link addresses of a resolver on the link of its clients; none beyond, where they are a router's.
fn boxes(resolver: IpAddr, clients: &Distinct<IpAddr>, heard: &Heard) -> Vec<[u8; 6]> {
    let local = matches!(resolver, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let near = local || clients.iter().any(|client| network(*client) == network(resolver));
    let own = heard.links(resolver).filter(|link| near && **link != [0; 6]);
    own.copied().collect()
}

/// Addresses that one box may have beside each other: of both families, one of the link, or those of two
/// IPv6 networks, as a phone gets a new one.
fn has_both(one: IpAddr, other: IpAddr) -> bool {
    let local = |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let moved = one.is_ipv6() && other.is_ipv6() && network(one) != network(other);
    one.is_ipv4() != other.is_ipv4() || local(one) != local(other) || moved
}

/// Cases that are about the same as a weightier one, with its key. `apart` gives the resolver of a case, and
/// what else tells cases apart.
pub(super) fn followers<'c, K: Ord + Clone + 'c, C: 'c, R: Ord + Clone, W: Ord>(
    cases: impl Iterator<Item = (&'c K, &'c Case<C>)>,
    heard: &Heard,
    apart: impl Fn(&K) -> (Endpoint, R),
    lookups: fn(&C) -> &Lookups,
    weight: impl Fn(&K, &Case<C>) -> W,
) -> BTreeMap<K, K> {
    let mut cases: Vec<(&K, &Case<C>)> = cases.collect();
    cases.sort_by_cached_key(|(key, case)| (Reverse((weight(key, case), case.failed)), (*key).clone()));
    let mut by_box: BTreeMap<(R, [u8; 6]), usize> = BTreeMap::new();
    let mut by_lookup: BTreeMap<(R, u64), usize> = BTreeMap::new();
    let before = LazyCell::new(|| heard.translations.before());
    let mut followers = BTreeMap::new();
    for (place, (key, case)) in cases.iter().enumerate() {
        let (resolver, rest) = apart(key);
        let (own, asked) = (boxes(resolver.address, &case.affected.clients, heard), lookups(&case.counts));
        // Some networks have one link address for all hosts; hardly anybody gives a box two of a family.
        let both = |leader: &&usize| has_both(resolver.address, apart(cases[**leader].0).0.address);
        let same = own.iter().find_map(|link| by_box.get(&(rest.clone(), *link)).filter(both));
        let among = || {
            let mut leaders = asked.0.iter().filter_map(|id| by_lookup.get(&(rest.clone(), *id)));
            leaders.find(|leader| asked.are_among(lookups(&cases[**leader].1.counts)))
        };
        let other = |leader: &&usize| !is_translated(case, cases[**leader].1, &before);
        if let Some(leader) = same.or_else(among).filter(other) {
            followers.insert((*key).clone(), cases[*leader].0.clone());
            continue;
        }
        for link in own {
            by_box.entry((rest.clone(), link)).or_insert(place);
        }
        for id in asked.0.iter() {
            by_lookup.entry((rest.clone(), *id)).or_insert(place);
        }
    }
    followers
}

/// What a case would be found to be alone, and its failures of a thousand that were judged.
pub(super) fn alone<D: Detector>(
    detector: &D,
    book: &Book<D>,
    (key, case): (&D::Key, &Case<D::Counts>),
    context: &Context<'_>,
) -> (Option<Severity>, u64) {
    let mut case = case.clone();
    case.total = book.total(&key.subject()).0;
    let draft = detector.judge(key, &case, book, context);
    (draft.map(|draft| draft.weight()), case.failed * 1000 / case.total.max(1))
}

/// One was recorded on one side of an address translation, the other on the other side.
fn is_translated<C>(one: &Case<C>, other: &Case<C>, before: &Before) -> bool {
    let behind = |one: &Case<C>, other: &Case<C>| {
        let firsts = one.affected.flow_ids().filter_map(|flow| before.get(&flow));
        firsts.into_iter().any(|(first, _)| other.affected.flow_ids().any(|flow| flow == *first))
    };
    behind(one, other) || behind(other, one)
}

/// Joins the cases of a book that are about the same.
pub(super) fn unite<D: Detector, R: Ord + Clone, W: Ord>(
    book: &mut Book<D>,
    heard: &Heard,
    apart: impl Fn(&Book<D>, &D::Key) -> (Endpoint, R),
    lookups: fn(&D::Counts) -> &Lookups,
    weight: impl Fn(&Book<D>, &D::Key, &Case<D::Counts>) -> W,
) {
    let weigh = |key: &D::Key, case: &Case<D::Counts>| weight(book, key, case);
    let followers = followers(book.cases(), heard, |key| apart(book, key), lookups, weigh);
    for (key, case) in book.take(|key, _| followers.contains_key(key)) {
        if let Some(leader) = followers.get(&key).and_then(|leader| book.find_mut(leader.clone())) {
            leader.join(case);
        }
    }
}

/// The resolvers of a case in a sentence.
pub(super) struct Resolvers {
    /// `192.0.2.1:53 and 192.0.2.2:53`
    pub(super) who: String,
    several: bool,
    /// Why several are one; empty for one.
    pub(super) note: String,
}

impl Resolvers {
    /// Resolvers that a title names.
    const SHOWN: usize = 4;

    /// Those of `case`, whose numbers are of `resolver`.
    pub(super) fn of<C>(resolver: Endpoint, case: &Case<C>, heard: &Heard) -> Self {
        let mut others: Vec<Endpoint> = case.affected.servers.iter().copied().collect();
        others.retain(|other| *other != resolver);
        others.sort();
        let clients = &case.affected.clients;
        let own = boxes(resolver.address, clients, heard);
        let is_own = |other: &Endpoint| heard.links(other.address).any(|link| own.contains(link));
        let why = match others.iter().all(is_own) {
            true => "have one link address",
            false => "were asked for the same lookups",
        };
        let texts: Vec<String> = others.iter().map(Endpoint::to_string).collect();
        let (who, listed) = match texts.as_slice() {
            [] => return Self { who: resolver.to_string(), several: false, note: String::new() },
            [before @ .., last] if texts.len() < Self::SHOWN => {
                let before: String = before.iter().map(|other| format!(", {other}")).collect();
                (format!("{resolver}{before} and {last}"), String::new())
            }
            all => {
                let some: Vec<&str> = all.iter().take(8).map(String::as_str).collect();
                (format!("{resolver} and {} others", all.len()), format!(" The others: {}.", some.join(", ")))
            }
        };
        Self {
            who,
            several: true,
            note: format!(" The resolvers {why}; the numbers are of {resolver}.{listed}"),
        }
    }

    /// `one` for one resolver, `several` for several.
    pub(super) fn verb(&self, one: &'static str, several: &'static str) -> &'static str {
        if self.several { several } else { one }
    }
}
