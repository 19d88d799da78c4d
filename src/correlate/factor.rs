//! What findings of one rule have in common, so that the fewest words cover the most of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::correlate::overlap;
use crate::detect::Finding;

/// What findings of one rule share, the most specific first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Factor {
    /// A name.
    Name(String),
    /// A server address.
    Server(String),
    /// A client address.
    Client(IpAddr),
    /// The network of the servers: /24 of IPv4, /64 of IPv6.
    ServerNetwork(String),
    /// The network of the clients.
    ClientNetwork(String),
    /// Nothing but the rule.
    Rule,
}

impl Factor {
    fn is_narrow(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Server(_) | Self::Client(_))
    }

    /// Findings that make it worth a common incident. Two services that one name or one server has in common
    /// are no accident. One client, or a network, can have two troubles at once.
    fn least(&self) -> usize {
        match self {
            Self::Name(_) | Self::Server(_) => 2,
            Self::Client(_) => 3,
            Self::ServerNetwork(_) | Self::ClientNetwork(_) | Self::Rule => 4,
        }
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "for {name}"),
            Self::Server(server) => write!(f, "at {server}"),
            Self::Client(client) => write!(f, "for client {client}"),
            Self::ServerNetwork(network) => write!(f, "at servers in {network}"),
            Self::ClientNetwork(network) => write!(f, "for clients in {network}"),
            Self::Rule => write!(f, "at different servers"),
        }
    }
}

/// Names of a finding that can be what it shares: more than a few say nothing.
const NAMES: u64 = 8;

/// What a finding could share with others of its rule.
pub(super) fn factors(finding: &Finding) -> BTreeSet<Factor> {
    let scope = &finding.scope;
    let mut factors = BTreeSet::from([Factor::Rule]);
    if scope.names.count <= NAMES && !scope.names.at_least {
        factors.extend(scope.names.sample.iter().cloned().map(Factor::Name));
    }
    if let Some(name) = &finding.subject.name {
        factors.insert(Factor::Name(name.clone()));
    }
    let hosts = overlap::servers(finding);
    if let [host] = hosts.as_slice() {
        factors.insert(Factor::Server(host.clone()));
    }
    let networks: BTreeSet<String> = hosts.iter().filter_map(|host| network(host)).collect();
    if networks.len() == 1 {
        factors.extend(networks.into_iter().map(Factor::ServerNetwork));
    }
    if let ([client], 1) = (scope.clients.sample.as_slice(), scope.clients.count) {
        factors.insert(Factor::Client(*client));
    }
    if let ([network], 1) = (scope.networks.sample.as_slice(), scope.networks.count) {
        factors.insert(Factor::ClientNetwork(network.clone()));
    }
    factors
}

/// The /24 of an IPv4 address, the /64 of an IPv6 one.
pub(super) fn network(address: &str) -> Option<String> {
    Some(match address.parse().ok()? {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let prefix = u128::from(v6) & !u128::from(u64::MAX);
            format!("{}/64", std::net::Ipv6Addr::from(prefix))
        }
    })
}

/// Groups `findings` of one rule, given by their places, by what they share: again and again the factor
/// that most of the rest have in common, the more specific one of two that cover as many. Those that
/// share nothing stay alone.
pub(super) fn groups(findings: &[Finding], places: &[usize]) -> Vec<(Option<Factor>, Vec<usize>)> {
    let shared: BTreeMap<usize, BTreeSet<Factor>> =
        places.iter().filter_map(|place| Some((*place, factors(findings.get(*place)?)))).collect();
    // What each factor covers of the rest.
    let mut covered: BTreeMap<&Factor, BTreeSet<usize>> = BTreeMap::new();
    for (place, factors) in &shared {
        for factor in factors {
            covered.entry(factor).or_default().insert(*place);
        }
    }
    covered.retain(|factor, covered| covered.len() >= factor.least());
    let mut rest: BTreeSet<usize> = places.iter().copied().collect();
    let mut groups = Vec::new();
    // Names, servers and clients first: networks and the rule itself hold what these leave.
    for is_narrow in [true, false] {
        let is_next = |factor: &Factor, count| factor.is_narrow() == is_narrow && count >= factor.least();
        let queue = covered.iter().map(|(factor, covered)| (Reverse(covered.len()), *factor));
        let mut queue: BTreeSet<_> = queue.filter(|(count, factor)| is_next(factor, count.0)).collect();
        // The first of the largest: factors are in order.
        while let Some((_, factor)) = queue.pop_first() {
            let Some(members) = covered.remove(factor) else { continue };
            for member in &members {
                rest.remove(member);
                for other in shared.get(member).into_iter().flatten() {
                    let Some(left) = covered.get_mut(other) else { continue };
                    queue.remove(&(Reverse(left.len()), other));
                    left.remove(member);
                    if is_next(other, left.len()) {
                        queue.insert((Reverse(left.len()), other));
                    }
                }
            }
            groups.push((Some(factor.clone()), members.into_iter().collect()));
        }
    }
    groups.extend(rest.into_iter().map(|alone| (None, vec![alone])));
    groups
}
