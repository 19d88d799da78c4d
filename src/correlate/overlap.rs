//! How much of one finding's scope is in another's.

use std::collections::BTreeSet;

use crate::detect::{Finding, Meet, Members, hash_of};
use crate::time::Span;

/// A finding and its hosts: looked for once, because it is compared with many others.
pub(super) struct Place<'f> {
    pub(super) finding: &'f Finding,
    /// Servers and clients, in order.
    hosts: [Vec<String>; 2],
    /// Clients that are not among the servers.
    asking: Vec<String>,
}

impl<'f> Place<'f> {
    pub(super) fn of(finding: &'f Finding) -> Self {
        let hosts = [servers(finding), clients(finding)];
        // A host that asks itself is no proxy.
        let asking = hosts[1].iter().filter(|host| hosts[0].binary_search(host).is_err()).cloned();
        Self { finding, asking: asking.collect(), hosts }
    }
}

/// The share of the symptom that the cause covers, from 0 to 1, where the scopes meet like this.
pub(super) fn covered(meet: Meet, cause: &Place<'_>, symptom: &Place<'_>) -> f64 {
    let (of, by) = (&symptom.finding.scope, &cause.finding.scope);
    let [servers, clients] = &symptom.hosts;
    match meet {
        Meet::Flows => flows(&of.flows, &by.flows),
        Meet::Service => part(&of.servers.sample, &by.servers.sample),
        Meet::Server => part(servers, &cause.hosts[0]),
        Meet::Clients => part(&of.clients.sample, &by.clients.sample),
        Meet::Names => part(&of.names.sample, &by.names.sample),
        Meet::Upstream => part(servers, &cause.asking),
        Meet::Host => part(servers, &cause.hosts[0]).max(part(clients, &cause.hosts[0])),
        Meet::Recording => 1.0,
    }
}

/// The two are at most so far apart in time. One without packets is at no time, and meets everything.
pub(super) fn meets_in_time(a: &Finding, b: &Finding, within: Span) -> bool {
    let range = |finding: &Finding| finding.first_seen.zip(finding.last_seen);
    let Some(((a_first, a_last), (b_first, b_last))) = range(a).zip(range(b)) else { return true };
    a_first <= b_last + within && b_first <= a_last + within
}

/// The share of `of`'s flows that are among `by`'s. Samples hold the lowest hashes, so two of them can be
/// compared up to the highest hash that both of them reach (k minimum values).
pub(super) fn flows(of: &Members<u64>, by: &Members<u64>) -> f64 {
    // Most have none in common, and hashes cost.
    if of.sample.iter().all(|flow| by.sample.binary_search(flow).is_err()) {
        return 0.0;
    }
    let reach = |members: &Members<u64>| {
        let whole = (members.sample.len() as u64) >= members.count && !members.at_least;
        if whole { u64::MAX } else { members.sample.iter().map(hash_of).max().unwrap_or(0) }
    };
    let reach = reach(of).min(reach(by));
    let within: Vec<&u64> = of.sample.iter().filter(|flow| hash_of(*flow) <= reach).collect();
    let shared = within.iter().filter(|flow| by.sample.binary_search(flow).is_ok()).count();
    if within.is_empty() { 0.0 } else { shared as f64 / within.len() as f64 }
}

fn part<T: Ord>(of: &[T], by: &[T]) -> f64 {
    let shared = of.iter().filter(|one| by.binary_search(one).is_ok()).count();
    if of.is_empty() { 0.0 } else { shared as f64 / of.len() as f64 }
}

/// The address of `10.0.0.1:443` or `[2001:db8::1]:443`.
pub(super) fn address(server: &str) -> &str {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Server addresses, in order.
pub(super) fn servers(finding: &Finding) -> Vec<String> {
    let listed = finding.scope.servers.sample.iter().map(|server| address(server).to_owned());
    let hosts: BTreeSet<String> = listed.chain(finding.subject.server.clone()).collect();
    hosts.into_iter().collect()
}

fn clients(finding: &Finding) -> Vec<String> {
    let listed = finding.scope.clients.sample.iter().map(ToString::to_string);
    let hosts: BTreeSet<String> = listed.chain(finding.subject.client.clone()).collect();
    hosts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(flows: std::ops::Range<u64>) -> Members<u64> {
        let mut by_hash: Vec<u64> = flows.clone().collect();
        by_hash.sort_by_key(hash_of);
        by_hash.truncate(64);
        by_hash.sort_unstable();
        Members { count: flows.count() as u64, at_least: false, sample: by_hash }
    }

    #[test]
    fn samples_of_flows_are_compared_as_far_as_both_reach() {
        assert!((flows(&members(0..10), &members(0..10)) - 1.0).abs() < 1e-9);
        assert!((flows(&members(0..10), &members(5..20)) - 0.5).abs() < 1e-9);
        assert!((flows(&members(0..10), &members(20..30))).abs() < 1e-9);
        // Ten thousand against the half of them: neither sample holds all.
        let half = flows(&members(0..10_000), &members(0..5_000));
        assert!((0.25..0.75).contains(&half), "{half}");
        assert!(flows(&members(0..5_000), &members(0..10_000)) > 0.99);
    }

    #[test]
    fn addresses_lose_their_port() {
        assert_eq!(address("10.0.0.1:443"), "10.0.0.1");
        assert_eq!(address("[2001:db8::1]:443"), "2001:db8::1");
    }
}
