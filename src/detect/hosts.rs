//! Which addresses are of one host, as far as link addresses tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::heard::is_routed;

/// Of one host: a global address and some temporary ones (RFC 8981), and those of the link.
const MOST: usize = 16;

/// Hosts with an IPv4 address and IPv6 addresses beside: the IPv4 address stands for all of them.
#[derive(Debug, Default)]
pub struct Hosts {
    of: BTreeMap<IpAddr, IpAddr>,
    all: BTreeMap<IpAddr, Vec<IpAddr>>,
}

impl Hosts {
    /// Takes which link addresses sent for which addresses. A host's sends for one IPv4 address, a router's
    /// for many of a family, and for networks of many providers.
    pub(super) fn new(senders: impl Iterator<Item = ([u8; 6], IpAddr)>) -> Self {
        let mut links: BTreeMap<[u8; 6], Vec<IpAddr>> = BTreeMap::new();
        for (link, address) in senders.filter(|(link, _)| *link != [0; 6]) {
            let senders = links.entry(link).or_default();
            senders.truncate(MOST);
            senders.push(address);
        }
        let mut hosts = Self::default();
        for senders in links.values().filter(|senders| senders.len() <= MOST) {
            let (v4, v6): (Vec<IpAddr>, Vec<_>) = senders.iter().partition(|address| address.is_ipv4());
            let providers: BTreeSet<[u8; 4]> = v6.iter().filter_map(provider).collect();
            if let ([only], ..=1) = (&v4[..], providers.len()) {
                hosts.of.extend(v6.into_iter().map(|address| (address, *only)));
                hosts.all.insert(*only, senders.clone());
            }
        }
        hosts
    }

    /// The address that stands for its host.
    pub(super) fn of(&self, address: IpAddr) -> IpAddr {
        self.of.get(&address).copied().unwrap_or(address)
    }

    /// The addresses of its host, itself included.
    pub(super) fn all(&self, address: IpAddr) -> impl Iterator<Item = IpAddr> {
        let others = self.all.get(&self.of(address)).into_iter().flatten();
        others.copied().filter(move |other| *other != address).chain([address])
    }
}

/// The first 32 bits of a routed IPv6 address: what a registry gives a provider, of which a host may have
/// several networks after each other, as behind a phone.
fn provider(address: &IpAddr) -> Option<[u8; 4]> {
    match address {
        IpAddr::V6(v6) if is_routed(address) => v6.octets().first_chunk().copied(),
        _ => None,
    }
}
