//! The scoreboard when everything was counted: services in order, and sums over any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use crate::correlate::interval::Interval;
use crate::correlate::scoreboard::{Counted, Failure, Kind, Scoreboard, ServiceKey, Tally, Traffic, sum};
use crate::correlate::slots::Slots;
use crate::correlate::timeline::Timeline;
use crate::detect::Merge;
use crate::dissect::Endpoint;
use crate::flow::{Spread, Times};
use crate::time::{Span, Timestamp};

/// How a service fared.
#[derive(Clone, Debug, Serialize)]
pub struct Service {
    /// Server address.
    pub server: IpAddr,
    /// Server port.
    pub port: u16,
    /// `tcp`, whose attempts are connections, or `dns`, whose attempts are lookups.
    pub protocol: &'static str,
    /// Some of the names it was asked by (TLS server name), in lowercase.
    pub names: Vec<String>,
    /// Clients that asked it; at least so many when there are more than are told apart.
    pub clients: u64,
    /// Attempts that were judged.
    pub attempts: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that failed, by how.
    pub failures: BTreeMap<Failure, u64>,
    /// Attempts that could not be judged: seen in one direction, or cut by a limit or the end of the capture.
    pub not_judged: u64,
    /// TLS handshakes that were judged.
    pub handshakes: u64,
    /// Those that were not completed.
    pub handshakes_failed: u64,
    /// HTTP requests in plain text that were judged.
    pub requests: u64,
    /// Those that the server failed: 5xx, cut, or not answered.
    pub requests_failed: u64,
    /// SYN to SYN-ACK, retries included.
    pub connect: Option<Spread>,
    /// ClientHello to the end of the handshake.
    pub tls: Option<Spread>,
    /// First request to the first byte of its answer; of a lookup, first query to response.
    pub first_byte: Option<Spread>,
    /// Last byte of an HTTP request to the first of its response.
    pub response: Option<Spread>,
    /// First to last byte that the server sent.
    pub transfer: Option<Spread>,
    /// Round trip of the handshakes, through the capture point.
    pub round_trip: Option<Spread>,
    /// Segments with new data, both directions.
    pub segments: u64,
    /// Segments that had to be sent again.
    pub lost: u64,
    /// Time without progress because of losses, seconds.
    pub stalled: Span,
}

/// A part of what a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// SYN to SYN-ACK, retries included.
    Connect,
    /// ClientHello to the end of the handshake.
    Tls,
    /// First request to the first byte of its answer; of a lookup, first query to response.
    FirstByte,
    /// Last byte of an HTTP request to the first of its response.
    Response,
    /// Round trip of the handshakes, through the capture point.
    RoundTrip,
}

impl Phase {
    /// In the order of a request.
    pub const ALL: [Self; 5] = [Self::Connect, Self::Tls, Self::FirstByte, Self::Response, Self::RoundTrip];

    /// Its field in [`Service`].
    pub fn key(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Response => "response",
            Self::RoundTrip => "round_trip",
        }
    }
}

impl Service {
    /// Server, and how it is asked.
    pub fn key(&self) -> ServiceKey {
        let protocol = if self.protocol == "dns" { ServiceKey::UDP } else { ServiceKey::TCP };
        ServiceKey { server: Endpoint { address: self.server, port: self.port }, protocol }
    }
}

/// What a layer of one or several services was measured at.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    pub(super) attempts: Tally,
    /// Those that could not even be opened.
    pub(super) not_opened: u64,
    /// Lookups without a response.
    pub(super) unanswered: u64,
    pub(super) handshakes: Tally,
    pub(super) requests: Tally,
    pub(super) connect: Times,
    pub(super) first_byte: Times,
    pub(super) response: Times,
    pub(super) round_trip: Times,
    pub(super) segments: u64,
    pub(super) lost: u64,
    pub(super) stalled: Span,
    pub(super) services: u64,
}

impl Sum {
    fn add(&mut self, counted: &Counted) {
        self.services += 1;
        self.attempts.absorb(counted.attempts.all);
        let before_open = [Failure::Refused, Failure::Unreachable, Failure::NoAnswer, Failure::NotOpened];
        self.not_opened += before_open.iter().filter_map(|how| counted.failures.get(how)).sum::<u64>();
        self.unanswered += counted.failures.get(&Failure::Unanswered).copied().unwrap_or(0);
        self.handshakes.absorb(counted.handshakes.all);
        self.requests.absorb(counted.requests.all);
        self.connect.absorb(counted.connect.clone());
        self.first_byte.absorb(counted.first_byte.clone());
        self.response.absorb(counted.response.clone());
        self.round_trip.absorb(counted.round_trip.clone());
        self.segments += counted.segments;
        self.lost += counted.lost;
        self.stalled += counted.stalled;
    }

    /// Attempts of this kind.
    pub(super) fn of(&self, kind: Kind) -> Tally {
        match kind {
            Kind::Connections | Kind::Lookups => self.attempts,
            Kind::Handshakes => self.handshakes,
            Kind::Requests => self.requests,
        }
    }
}

/// The scoreboard when everything was counted.
#[derive(Clone, Debug, Default)]
pub struct Board {
    counted: Scoreboard,
    services: Vec<Service>,
    timeline: Timeline,
}

impl From<Scoreboard> for Board {
    fn from(counted: Scoreboard) -> Self {
        let mut services: Vec<(&ServiceKey, &Counted)> =
            counted.services.iter().map(|(key, _, service)| (key, service)).collect();
        services.sort_by_key(|(key, service)| {
            (std::cmp::Reverse((service.attempts.all.failed, service.attempts.all.of)), **key)
        });
        let timeline = Timeline::new(&services, &counted.slots);
        let services = services.into_iter().map(|(key, counted)| service(key, counted)).collect();
        Self { counted, services, timeline }
    }
}

/// Whether a service is asked for lookups.
fn is_dns(key: &ServiceKey) -> bool {
    key.protocol == 17
}

impl Board {
    fn counted(&self) -> impl Iterator<Item = (&ServiceKey, &Counted)> {
        self.counted.services.iter().map(|(key, _, counted)| (key, counted))
    }

    /// What happened when: all services, in their order.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The services that `wanted` accepts over time, as one.
    pub(super) fn course(&self, mut wanted: impl FnMut(&ServiceKey) -> bool) -> Slots<Interval> {
        let fitting = self.counted().filter(|(key, _)| wanted(key));
        fitting.fold(Slots::default(), |mut all, (_, counted)| {
            all.absorb(counted.slots.clone());
            all
        })
    }

    /// Services in the order of their attempts that failed, then of all attempts, then of their addresses.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Services that found no place.
    pub fn is_full(&self) -> bool {
        self.counted.services.lost() > 0
    }

    /// How long each phase of a service took; nothing of a service that found no place.
    pub fn times(&self, service: &ServiceKey) -> Vec<(Phase, &Times)> {
        let Some((_, counted)) = self.counted.services.get(service) else {
            return Vec::new();
        };
        let times = |phase: Phase| match phase {
            Phase::Connect => &counted.connect,
            Phase::Tls => &counted.tls,
            Phase::FirstByte => &counted.first_byte,
            Phase::Response => &counted.response,
            Phase::RoundTrip => &counted.round_trip,
        };
        Phase::ALL.into_iter().map(|phase| (phase, times(phase))).collect()
    }

    /// All that `wanted` accepts.
    pub(super) fn sum(&self, mut wanted: impl FnMut(&ServiceKey) -> bool) -> Sum {
        let mut sum = Sum::default();
        self.counted().filter(|(key, _)| wanted(key)).for_each(|(_, counted)| sum.add(counted));
        sum
    }

    /// All lookups.
    pub(super) fn lookups(&self) -> Sum {
        self.sum(is_dns)
    }

    /// All connections.
    pub(super) fn connections(&self) -> Sum {
        self.sum(|key| !is_dns(key))
    }

    /// Attempts of the clients that `wanted` accepts at the services that `at` accepts, the number of such
    /// clients, and the number of such services. A client counts where it is told apart.
    pub(super) fn by_client(
        &self,
        kind: Kind,
        mut at: impl FnMut(&ServiceKey) -> bool,
        mut wanted: impl FnMut(&IpAddr) -> bool,
    ) -> (Tally, u64, u64) {
        let (mut all, mut clients, mut services) = (Tally::default(), BTreeSet::new(), 0);
        for (_, counted) in self.counted().filter(|(key, _)| at(key)) {
            let fitting = counted.of(kind).clients.iter().filter(|(client, ..)| wanted(client));
            let before = all.of;
            for (client, _, tally) in fitting {
                clients.insert(*client);
                all.absorb(*tally);
            }
            services += u64::from(all.of > before);
        }
        (all, clients.len() as u64, services)
    }

    /// Names of the services that `wanted` accepts.
    pub(super) fn names(&self, mut wanted: impl FnMut(&ServiceKey) -> bool) -> BTreeSet<&str> {
        let services = self.counted().filter(|(key, _)| wanted(key));
        services.flat_map(|(_, counted)| counted.names.iter().map(String::as_str)).collect()
    }

    /// One of the names of a service is among `names`.
    pub(super) fn has_name(&self, key: &ServiceKey, names: &BTreeSet<&str>) -> bool {
        let known = self.counted.services.get(key);
        known.is_some_and(|(_, counted)| counted.names.iter().any(|name| names.contains(name.as_str())))
    }

    /// Attempts of a kind at the services that `wanted` accepts, before `since` and after `until`.
    pub(super) fn around(
        &self,
        kind: Kind,
        mut wanted: impl FnMut(&ServiceKey) -> bool,
        since: Timestamp,
        until: Timestamp,
    ) -> [Tally; 2] {
        let counted = self.counted().filter(|(key, _)| wanted(key));
        let slots: Vec<_> = counted.map(|(_, counted)| &counted.slots).collect();
        let of = |interval: &Interval| interval.of(kind);
        [
            sum(slots.iter().flat_map(|slots| slots.before(since)).map(of)),
            sum(slots.iter().flat_map(|slots| slots.after(until)).map(of)),
        ]
    }

    /// Echo requests to hosts that `wanted` accepts, and the number of these hosts.
    pub(super) fn pings(&self, mut wanted: impl FnMut(IpAddr) -> bool) -> (Tally, u64) {
        let (mut all, mut hosts) = (Tally::default(), BTreeSet::new());
        for ((asked, _), _, tally) in self.counted.pings.iter().filter(|((asked, _), ..)| wanted(*asked)) {
            all.absorb(*tally);
            hosts.insert(*asked);
        }
        (all, hosts.len() as u64)
    }

    /// What no detector reads: UDP by server port, other protocols by number. The largest first.
    pub fn unread(&self) -> (Traffic, Vec<(String, Traffic)>) {
        let mut all = self.counted.unread_in_all;
        let mut kinds: Vec<(String, Traffic)> = Vec::new();
        for ((is_quic, port), _, traffic) in self.counted.unread.iter() {
            let what = if *is_quic {
                format!("encrypted QUIC (UDP port {port})")
            } else {
                format!("UDP port {port}")
            };
            kinds.push((what, *traffic));
        }
        for (protocol, traffic) in &self.counted.other {
            all.absorb(*traffic);
            kinds.push((format!("IP protocol {protocol}"), *traffic));
        }
        kinds.sort_by(|(a_name, a), (b_name, b)| b.bytes.cmp(&a.bytes).then_with(|| a_name.cmp(b_name)));
        (all, kinds)
    }
}

fn service(key: &ServiceKey, counted: &Counted) -> Service {
    let mut names: Vec<String> = counted.names.iter().cloned().collect();
    names.sort();
    Service {
        server: key.server.address,
        port: key.server.port,
        protocol: key.protocol_name(),
        names,
        clients: counted.attempts.clients.iter().count() as u64,
        attempts: counted.attempts.all.of,
        failed: counted.attempts.all.failed,
        failures: counted.failures.clone(),
        not_judged: counted.not_judged,
        handshakes: counted.handshakes.all.of,
        handshakes_failed: counted.handshakes.all.failed,
        requests: counted.requests.all.of,
        requests_failed: counted.requests.all.failed,
        connect: counted.connect.spread(),
        tls: counted.tls.spread(),
        first_byte: counted.first_byte.spread(),
        response: counted.response.spread(),
        transfer: counted.transfer.spread(),
        round_trip: counted.round_trip.spread(),
        segments: counted.segments,
        lost: counted.lost,
        stalled: counted.stalled,
    }
}
