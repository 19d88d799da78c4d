//! Whom and what a finding covers. Findings are joined on that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::detect::{Distinct, Merge};
use crate::dissect::Endpoint;
use crate::flow::FlowHead;
use crate::time::{Span, Timestamp};

/// Whom and what a finding covers. Every list is a bounded sample beside its count.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scope {
    /// Flows by id, which is `flow_id` in the tables. Above 64 a flow with several lookups counts several
    /// times.
    pub flows: Members<u64>,
    /// Client addresses.
    pub clients: Members<IpAddr>,
    /// Services: server address and port.
    pub servers: Members<String>,
    /// DNS names and server names, in lowercase.
    pub names: Members<String>,
    /// Networks of the clients: /24 of IPv4, /64 of IPv6.
    pub networks: Members<String>,
    /// When something of it was seen, in order, without overlaps; at most 32.
    pub intervals: Vec<Interval>,
}

/// How many there are, and some of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Members<T> {
    /// How many.
    pub count: u64,
    /// There may be more: the table was full.
    pub at_least: bool,
    /// Some of them in their natural order, at most [`Members::MOST`], chosen by hash.
    pub sample: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { count: 0, at_least: false, sample: Vec::new() }
    }
}

impl<T: Ord> Members<T> {
    /// Values listed.
    pub const MOST: usize = 64;

    fn of<U, const MOST: usize>(distinct: &Distinct<U, MOST>, shown: impl Fn(&U) -> T) -> Self {
        let mut sample: Vec<T> = distinct.iter().take(Self::MOST).map(shown).collect();
        sample.sort();
        Self { count: distinct.count(), at_least: distinct.is_full(), sample }
    }
}

/// A time in which something of a finding was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// Its first packet.
    pub from: Timestamp,
    /// Its last packet.
    pub until: Timestamp,
}

/// What a case affects, while it is being counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Affected {
    flow_count: u64,
    flows: Distinct<u64, 64>,
    /// Client addresses.
    pub clients: Distinct<IpAddr>,
    /// Services.
    pub servers: Distinct<Endpoint>,
    /// DNS names and server names, in lowercase.
    pub names: Distinct<String>,
    networks: Distinct<IpAddr, 64>,
    /// When.
    pub active: Active,
}

impl Affected {
    /// Takes a flow.
    pub fn add(&mut self, flow: &FlowHead) {
        self.flow_count += 1;
        self.flows.add(flow.id);
        self.clients.add(flow.client.address);
        self.servers.add(flow.server);
        self.networks.add(network(flow.client.address));
    }

    /// Flows, each of them once unless there are more than are kept apart.
    pub fn flows(&self) -> u64 {
        if self.flows.is_full() { self.flow_count } else { self.flows.count() }
    }

    /// Ids of some flows.
    pub(super) fn flow_ids(&self) -> impl Iterator<Item = u64> {
        self.flows.iter().copied()
    }

    /// The address that all services have in common.
    pub fn server_address(&self) -> Option<IpAddr> {
        let mut addresses = self.servers.iter().map(|server| server.address);
        let first = addresses.next()?;
        (!self.servers.is_full() && addresses.all(|address| address == first)).then_some(first)
    }

    /// The scope that a finding states.
    pub fn scope(&self) -> Scope {
        let prefix = |network: &IpAddr| format!("{network}/{}", if network.is_ipv4() { 24 } else { 64 });
        let flows = Members::of(&self.flows, |id| *id);
        Scope {
            flows: Members { count: self.flows(), at_least: false, ..flows },
            clients: Members::of(&self.clients, |address| *address),
            servers: Members::of(&self.servers, Endpoint::to_string),
            names: Members::of(&self.names, String::clone),
            networks: Members::of(&self.networks, prefix),
            intervals: self.active.intervals(),
        }
    }
}

impl Merge for Affected {
    fn absorb(&mut self, other: Self) {
        self.flow_count += other.flow_count;
        self.flows.absorb(other.flows);
        self.clients.absorb(other.clients);
        self.servers.absorb(other.servers);
        self.names.absorb(other.names);
        self.networks.absorb(other.networks);
        self.active.absorb(other.active);
    }
}

/// Several hosts have it: a multicast group, or all of the link (RFC 1112, RFC 4291 section 2.7, RFC 919).
pub(super) fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_broadcast() || address.is_multicast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// Deprecated, and routed nowhere (RFC 3879 section 4).
pub(super) fn is_site_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfec0)
}

/// The /24 of an IPv4 address, the /64 of an IPv6 one.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}

/// The IPv4 address that a translator's IPv6 address is of (RFC 6052 section 2.1).
pub(super) fn translated(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            Ipv4Addr::from(u128::from(v6) as u32).into()
        }
        other => other,
    }
}

/// The hosts lie close together, as when somebody tries one address after the other: nobody's own servers are
/// all neighbours.
pub(super) fn is_neighbourhood(hosts: &Distinct<IpAddr>) -> bool {
    /// Hosts per network. A judgement: a tenth of what a sweep of a /24 may find silent.
    const NEIGHBOURS: u64 = 10;
    let mut networks: Distinct<IpAddr> = Distinct::default();
    hosts.iter().for_each(|host| networks.add(network(*host)));
    hosts.is_full() || hosts.count() >= NEIGHBOURS * networks.count()
}

/// Hosts all over the Internet that were hardly tried twice, as by a worm that makes addresses up: what
/// people use lies in a few networks, and they try it again.
pub(super) fn is_scattered(hosts: &Distinct<IpAddr>, tries: u64) -> bool {
    /// A judgement: a page loads from fewer hosts.
    const MANY: u64 = 40;
    let wide = |host: &IpAddr| match network(*host) {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) & !0xffff).into(),
        v6 => v6,
    };
    let networks: BTreeSet<IpAddr> = hosts.iter().map(wide).collect();
    let apart = networks.len() * 10 >= hosts.iter().count() * 9;
    hosts.count() >= MANY && tries * 4 <= hosts.count() * 5 && apart
}

/// The times of packets, in slots of equal width. The width is a power of two of seconds: the smallest with
/// which all times fall into [`Active::MOST`] slots. So it depends on the times and not on their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Active {
    /// Width as a power of two, seconds.
    width: u32,
    /// First and last time by slot.
    slots: BTreeMap<i64, (Timestamp, Timestamp)>,
}

impl Active {
    /// Slots, and so intervals.
    pub const MOST: usize = 32;

    fn slot(&self, time: Timestamp) -> i64 {
        time.0.div_euclid(1_000_000_000) >> self.width
    }

    /// Takes the time of a packet.
    pub fn add(&mut self, time: Timestamp) {
        self.see(time);
        self.widen();
    }

    /// Takes all the time from `first` to `last`.
    pub fn add_range(&mut self, first: Timestamp, last: Timestamp) {
        while self.slot(last) - self.slot(first) >= Self::MOST as i64 {
            self.width_to(self.width + 1);
        }
        self.take(first, last);
        for slot in self.slot(first) + 1..=self.slot(last) {
            let begin = (slot << self.width) * 1_000_000_000;
            self.take(Timestamp(begin - 1), Timestamp(begin));
        }
        self.widen();
    }

    fn take(&mut self, first: Timestamp, last: Timestamp) {
        self.see(first);
        self.see(last);
    }

    fn see(&mut self, time: Timestamp) {
        let slot = self.slots.entry(self.slot(time)).or_insert((time, time));
        *slot = (slot.0.min(time), slot.1.max(time));
    }

    fn widen(&mut self) {
        while self.slots.len() > Self::MOST {
            self.width_to(self.width + 1);
        }
    }

    fn width_to(&mut self, width: u32) {
        self.width = width;
        for (_, (first, last)) in std::mem::take(&mut self.slots) {
            self.take(first, last);
        }
    }

    /// The earliest time; `None` when there is none.
    pub fn first(&self) -> Option<Timestamp> {
        self.slots.first_key_value().map(|(_, (first, _))| *first)
    }

    /// The latest time.
    pub fn last(&self) -> Option<Timestamp> {
        self.slots.last_key_value().map(|(_, (_, last))| *last)
    }

    /// From the earliest to the latest time.
    pub fn span(&self) -> Span {
        self.first().zip(self.last()).map_or(Span::ZERO, |(first, last)| last - first)
    }

    fn intervals(&self) -> Vec<Interval> {
        let mut intervals: Vec<Interval> = Vec::new();
        let mut before = None;
        for (slot, (from, until)) in &self.slots {
            match intervals.last_mut().filter(|_| before == Some(slot - 1)) {
                Some(running) => running.until = *until,
                None => intervals.push(Interval { from: *from, until: *until }),
            }
            before = Some(*slot);
        }
        intervals
    }
}

impl Merge for Active {
    fn absorb(&mut self, mut other: Self) {
        let width = self.width.max(other.width);
        self.width_to(width);
        other.width_to(width);
        for (first, last) in other.slots.into_values() {
            self.take(first, last);
        }
        self.widen();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn active(seconds: &[i64]) -> Active {
        let mut active = Active::default();
        seconds.iter().for_each(|second| active.add(Timestamp(second * 1_000_000_000)));
        active
    }

    #[test]
    fn neighbouring_seconds_are_one_interval() {
        let intervals = active(&[10, 11, 12, 40, 41]).intervals();
        let seconds = |time: Timestamp| time.0 / 1_000_000_000;
        let spans: Vec<_> = intervals.iter().map(|one| (seconds(one.from), seconds(one.until))).collect();
        assert_eq!(spans, [(10, 12), (40, 41)]);
    }

    #[test]
    fn a_range_is_one_interval_however_long() {
        for seconds in [0, 1, 31, 32, 33, 86_400, i64::MAX / 1_000_000_000] {
            let mut active = active(&[]);
            let (from, until) = (Timestamp(700_000_000), Timestamp(seconds * 1_000_000_000 + 800_000_000));
            active.add_range(from, until);
            assert_eq!(active.intervals(), [Interval { from, until }]);
        }
    }

    proptest! {
        #[test]
        fn times_are_bounded_and_no_order_shows(
            mut seconds in prop::collection::vec(0i64..100_000, 1..200),
            cut in 0usize..200,
        ) {
            let whole = active(&seconds);
            let cut = cut.min(seconds.len());
            let mut parts = active(&seconds[cut..]);
            parts.absorb(active(&seconds[..cut]));
            prop_assert_eq!(whole.intervals(), parts.intervals());
            prop_assert!(whole.intervals().len() <= Active::MOST);
            seconds.reverse();
            prop_assert_eq!(whole.intervals(), active(&seconds).intervals());
            let inside = |second: i64| whole.intervals().iter().any(|one| {
                (one.from..=one.until).contains(&Timestamp(second * 1_000_000_000))
            });
            prop_assert!(seconds.iter().all(|second| inside(*second)));
        }
    }

    #[test]
    fn a_translator_has_an_address_for_every_ipv4_host() {
        let shown = ["64:ff9b::50fb:3b", "64:ff9b:1::1", "10.0.0.1", "2001:db8::1"]
            .map(|text| translated(text.parse().expect("address")).to_string());
        assert_eq!(shown, ["80.251.0.59", "64:ff9b:1::1", "10.0.0.1", "2001:db8::1"]);
    }

    #[test]
    fn networks_are_prefixes_of_client_addresses() {
        let networks = ["10.9.3.77", "2001:db8:1:2:3::4"]
            .map(|text| network(text.parse().expect("address")).to_string());
        assert_eq!(networks, ["10.9.3.0", "2001:db8:1:2::"]);
    }
}
