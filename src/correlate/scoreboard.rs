//! How every service fared, healthy ones included: what incidents are compared with.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::{SERVFAIL, Transaction};
use crate::app::http::Exchange;
use crate::correlate::interval::Interval;
use crate::correlate::slots::Slots;
use crate::detect::{Bounded, Distinct, Merge, request_failed};
use crate::dissect::{Direction, Endpoint};
use crate::flow::{
    EventKind, Flow, FlowHead, HandshakeOutcome, Service as Protocol, TcpEvent, TcpFlow, Times,
};
use crate::time::{Span, Timestamp};

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The SYN was answered with RST.
    Refused,
    /// An ICMP error answered the SYN.
    Unreachable,
    /// Nothing answered the SYN, which was sent again.
    NoAnswer,
    /// The SYN was answered, and no connection came of it.
    NotOpened,
    /// A RST ended the connection while something was still owed.
    Reset,
    /// What the client sent last was sent again and again, and never acknowledged.
    Unacknowledged,
    /// A TLS handshake began and was not completed.
    Tls,
    /// A lookup got no response.
    Unanswered,
    /// A lookup was answered with SERVFAIL.
    Servfail,
    /// A lookup was answered with REFUSED.
    LookupRefused,
}

/// Attempts, and those of them that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Attempts that were judged.
    pub of: u64,
    /// Those that failed.
    pub failed: u64,
}

impl Tally {
    fn add(&mut self, failed: bool) {
        self.of += 1;
        self.failed += u64::from(failed);
    }

    /// Those that did not fail.
    pub fn well(self) -> u64 {
        self.of.saturating_sub(self.failed)
    }
}

impl Merge for Tally {
    fn absorb(&mut self, other: Self) {
        self.of += other.of;
        self.failed += other.failed;
    }
}

/// All of them together.
pub(super) fn sum(tallies: impl Iterator<Item = Tally>) -> Tally {
    tallies.fold(Tally::default(), |mut all, one| {
        all.absorb(one);
        all
    })
}

/// A service, and whether it is asked for connections or for lookups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Server address and port.
    pub server: Endpoint,
    /// IP protocol: 6 for connections, 17 for lookups.
    pub protocol: u8,
}

impl ServiceKey {
    /// Asked for connections.
    pub const TCP: u8 = TCP;
    /// Asked for lookups.
    pub const UDP: u8 = UDP;

    /// `tcp`, whose attempts are connections, or `dns`, whose attempts are lookups.
    pub fn protocol_name(&self) -> &'static str {
        if self.protocol == UDP { "dns" } else { "tcp" }
    }
}

/// What is attempted at a service, and so what can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// TCP connections.
    Connections,
    /// TLS handshakes.
    Handshakes,
    /// HTTP requests in plain text.
    Requests,
    /// DNS lookups, over UDP or TCP.
    Lookups,
}

impl Kind {
    /// In the singular.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Connections => "connection",
            Self::Handshakes => "TLS handshake",
            Self::Requests => "HTTP request",
            Self::Lookups => "lookup",
        }
    }

    /// Services with this key have attempts of this kind.
    pub(super) fn is_of(self, key: &ServiceKey) -> bool {
        (key.protocol == UDP) == (self == Self::Lookups)
    }
}

/// Attempts of a kind at one service: all of them, and by client.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Attempts {
    pub(super) all: Tally,
    pub(super) clients: Bounded<IpAddr, Tally, CLIENTS>,
}

impl Merge for Attempts {
    fn absorb(&mut self, other: Self) {
        self.all.absorb(other.all);
        self.clients.absorb(other.clients);
    }
}

impl Attempts {
    fn add(&mut self, client: IpAddr, failed: bool) {
        self.all.add(failed);
        if let Some(tally) = self.clients.count(client) {
            tally.add(failed);
        }
    }
}

/// What was counted of one service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    /// Connections, or lookups.
    pub(super) attempts: Attempts,
    pub(super) failures: BTreeMap<Failure, u64>,
    /// Attempts that nobody can judge: seen in one direction, or cut by a limit or the end of the capture.
    pub(super) not_judged: u64,
    /// TLS handshakes, and those that were not completed.
    pub(super) handshakes: Attempts,
    /// HTTP requests, and those that the server failed.
    pub(super) requests: Attempts,
    pub(super) connect: Times,
    pub(super) tls: Times,
    pub(super) first_byte: Times,
    /// Last byte of an HTTP request to the first of its response.
    pub(super) response: Times,
    pub(super) transfer: Times,
    pub(super) round_trip: Times,
    /// Segments with new data, both directions.
    pub(super) segments: u64,
    /// Segments sent again that were needed.
    pub(super) lost: u64,
    pub(super) stalled: Span,
    pub(super) names: Distinct<String, 4>,
    pub(super) slots: Slots<Interval>,
}

/// Clients of a service that are told apart.
const CLIENTS: usize = 32;

impl Merge for Counted {
    fn absorb(&mut self, other: Self) {
        self.attempts.absorb(other.attempts);
        self.failures.absorb(other.failures);
        self.not_judged += other.not_judged;
        self.handshakes.absorb(other.handshakes);
        self.requests.absorb(other.requests);
        self.connect.absorb(other.connect);
        self.tls.absorb(other.tls);
        self.first_byte.absorb(other.first_byte);
        self.response.absorb(other.response);
        self.transfer.absorb(other.transfer);
        self.round_trip.absorb(other.round_trip);
        self.segments += other.segments;
        self.lost += other.lost;
        self.stalled += other.stalled;
        self.names.absorb(other.names);
        self.slots.absorb(other.slots);
    }
}

impl Counted {
    pub(super) fn of(&self, kind: Kind) -> &Attempts {
        match kind {
            Kind::Connections | Kind::Lookups => &self.attempts,
            Kind::Handshakes => &self.handshakes,
            Kind::Requests => &self.requests,
        }
    }

    /// An attempt of a client at `time`.
    fn attempt(&mut self, kind: Kind, client: IpAddr, time: Timestamp, failed: bool) {
        let attempts = match kind {
            Kind::Connections | Kind::Lookups => &mut self.attempts,
            Kind::Handshakes => &mut self.handshakes,
            Kind::Requests => &mut self.requests,
        };
        attempts.add(client, failed);
        self.slots.count(time, |interval| interval.attempt(kind, failed));
    }

    /// How the last attempt failed.
    fn failed(&mut self, failure: Option<Failure>) {
        if let Some(failure) = failure {
            *self.failures.entry(failure).or_default() += 1;
        }
    }

    /// What both sides of a connection sent, and when.
    fn course(&mut self, flow: &Flow, tcp: &TcpFlow) {
        let all = traffic(flow);
        let totals = [all.packets, all.bytes];
        self.slots.spread(flow.first.time, flow.last.time, totals, |interval, [packets, bytes]| {
            interval.packets += packets;
            interval.bytes += bytes;
        });
        for reset in tcp.resets.iter().filter(|reset| reset.class.is_harmful()) {
            self.slots.count(reset.at.time, |interval| interval.resets.absorb(1));
        }
        let again = |event: &&TcpEvent| {
            use EventKind::{RetransmittedSyn, RetransmittedSynAck};
            let needed = event.spurious.is_none() && !event.path_mtu;
            let opening = matches!(event.kind, RetransmittedSyn | RetransmittedSynAck);
            needed && (opening || event.kind.is_data_retransmission())
        };
        for event in tcp.events.iter().filter(again) {
            self.slots.count(event.at.time, |interval| interval.repeats.absorb(1));
        }
    }

    fn times(&mut self, flow: &Flow, tcp: &TcpFlow) {
        let handshake = &tcp.handshake;
        handshake.connect_time.into_iter().for_each(|span| self.connect.add(span));
        let there_and_back = handshake.server_rtt.zip(handshake.client_rtt);
        if let Some((there, back)) = there_and_back {
            self.round_trip.add(there + back);
            self.slots.count(flow.first.time, |interval| interval.went_there_and_back(there + back));
        }
        for side in &tcp.sides {
            let again = &side.retransmissions;
            self.segments += side.unique_segments;
            self.lost += again.data().saturating_sub(again.spurious).saturating_sub(again.path_mtu);
            self.stalled += side.stalled;
        }
        let [asked, answered] = match &flow.tls {
            Some(tls) => tls.application_data,
            None => [0, 1].map(|side| tcp.sides.get(side).and_then(|one| Some(one.transfer?.0))),
        };
        // A server that speaks first answers nothing.
        let waited = asked.zip(answered).map(|(asked, answered)| (asked, answered.time - asked.time));
        if let Some((asked, span)) = waited.filter(|(_, span)| *span >= Span::ZERO) {
            self.first_byte.add(span);
            // Every exchange of HTTP that can be read is counted for itself.
            let opened = flow.tls.as_ref().and_then(|tls| tls.opened.as_ref());
            if flow.service != Some(Protocol::Http) && !opened.is_some_and(|opened| opened.http) {
                self.slots.count(asked.time, |interval| interval.answered(span));
            }
        }
        if answered.is_some() {
            self.transfer.add(tcp.side(Direction::ToClient).transfer_time());
        }
        if let Some(tls) = &flow.tls {
            if !tls.server_name().is_empty() {
                self.names.add(tls.server_name().to_ascii_lowercase());
            }
            if let Some(hello) = &tls.client_hello {
                let done = tls.established;
                done.into_iter().for_each(|done| self.tls.add(done.time - hello.at.time));
            }
        }
    }
}

/// What packets of a kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// IP datagram bytes.
    pub bytes: u64,
}

impl Merge for Traffic {
    fn absorb(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// How every service fared. Partitions count apart and are merged in any order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scoreboard {
    pub(super) services: Bounded<ServiceKey, Counted, SERVICES>,
    /// UDP flows whose content nobody reads here, by whether it is QUIC, and server port.
    pub(super) unread: Bounded<(bool, u16), Traffic, 256>,
    pub(super) unread_in_all: Traffic,
    /// Flows of protocols that nobody judges here.
    pub(super) other: BTreeMap<u8, Traffic>,
    /// Echo requests, by who was asked and who asked.
    pub(super) pings: Bounded<(IpAddr, IpAddr), Tally, SERVICES>,
    /// All flows.
    pub(super) slots: Slots<Traffic>,
}

/// Services told apart: what a person looks through, and a few megabytes.
pub const SERVICES: usize = 1024;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: [u8; 2] = [1, 58];

impl Scoreboard {
    /// How long a query or a SYN has to be left without an answer: longer than the first time-out of a
    /// resolver library or a TCP (RFC 6298 section 2).
    const PATIENCE: Span = Span::secs(3);

    /// A flow was closed.
    pub fn flow(&mut self, flow: &Flow) {
        let traffic = traffic(flow);
        let totals = [traffic.packets, traffic.bytes];
        self.slots.spread(flow.first.time, flow.last.time, totals, |all, [packets, bytes]| {
            all.absorb(Traffic { packets, bytes });
        });
        match (flow.protocol, &flow.tcp) {
            (TCP, Some(tcp)) => self.connection(flow, tcp),
            (UDP, _) if flow.service == Some(Protocol::Dns) => {}
            (UDP, _) => {
                self.unread_in_all.absorb(traffic);
                let kind = (flow.service == Some(Protocol::Quic), flow.server.port);
                self.unread.count(kind).into_iter().for_each(|seen| seen.absorb(traffic));
            }
            (protocol, _) if !ICMP.contains(&protocol) => {
                self.other.entry(protocol).or_default().absorb(traffic);
            }
            _ => self.echoes(flow),
        }
    }

    fn echoes(&mut self, flow: &Flow) {
        for direction in Direction::BOTH {
            let Some(echoes) = flow.echoes.as_ref().map(|sides| &sides[direction.index()]) else { continue };
            if echoes.sent.is_none() || echoes.low_ttl > 0 || echoes.judged() == 0 {
                continue;
            }
            let key = (flow.sender(direction.reverse()).address, flow.sender(direction).address);
            let tally = Tally { of: echoes.judged(), failed: echoes.lost };
            self.pings.count(key).into_iter().for_each(|all| all.absorb(tally));
        }
    }

    fn connection(&mut self, flow: &Flow, tcp: &TcpFlow) {
        let key = ServiceKey { server: flow.server, protocol: TCP };
        let Some(service) = self.services.count(key) else { return };
        service.course(flow, tcp);
        if flow.is_cut() {
            service.not_judged += 1;
            return;
        }
        service.times(flow, tcp);
        let (client, time) = (flow.client.address, flow.first.time);
        match outcome(flow, tcp) {
            Some(failure) => {
                service.attempt(Kind::Connections, client, time, failure.is_some());
                service.failed(failure);
            }
            None => service.not_judged += 1,
        }
        if let Some(failed) = handshake_failed(flow) {
            service.attempt(Kind::Handshakes, client, time, failed);
        }
    }

    /// An HTTP exchange of `flow` was finished.
    pub fn exchange(&mut self, exchange: &Exchange, flow: &FlowHead) {
        let Some(asked) = exchange.request.filter(|_| !exchange.unheard) else { return };
        let key = ServiceKey { server: flow.server, protocol: TCP };
        let Some(service) = self.services.count(key) else { return };
        let failed = request_failed(exchange);
        // One that nobody answered until the client closed: it may have changed its mind.
        if failed || exchange.status.is_some() {
            service.attempt(Kind::Requests, flow.client.address, asked.time, failed);
        }
        if let Some(span) = exchange.waited() {
            service.response.add(span);
            service.slots.count(asked.time, |interval| interval.answered(span));
        }
    }

    /// A DNS transaction of `flow` was finished.
    pub fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
        let lookup = transaction.is_lookup(flow.server.port);
        let Some(query) = transaction.query.filter(|_| lookup) else { return };
        let key = ServiceKey { server: flow.server, protocol: UDP };
        let Some(service) = self.services.count(key) else { return };
        for at in [&query].into_iter().chain(&transaction.response) {
            service.slots.count(at.time, |interval| interval.packets += 1);
        }
        for at in &transaction.repeats {
            service.slots.count(at.time, |interval| {
                interval.packets += 1;
                interval.repeats.absorb(1);
            });
        }
        const REFUSED: u16 = 5;
        let failure = match (transaction.response, transaction.rcode) {
            (Some(_), Some(SERVFAIL)) => Some(Failure::Servfail),
            (Some(_), Some(REFUSED)) => Some(Failure::LookupRefused),
            (Some(_), _) => None,
            (None, _) => {
                let last = transaction.repeats.last().copied().unwrap_or(query);
                let watched = transaction.watched_until - last.time;
                if transaction.unheard || watched < Self::PATIENCE {
                    service.not_judged += 1;
                    return;
                }
                Some(Failure::Unanswered)
            }
        };
        service.attempt(Kind::Lookups, flow.client.address, query.time, failure.is_some());
        service.failed(failure);
        if let Some(span) = transaction.waited() {
            service.first_byte.add(span);
            service.slots.count(query.time, |interval| interval.answered(span));
        }
    }
}

/// What both sides of a flow sent.
fn traffic(flow: &Flow) -> Traffic {
    flow.halves.iter().fold(Traffic::default(), |mut all, half| {
        all.absorb(Traffic { packets: half.packets, bytes: half.bytes });
        all
    })
}

/// How a connection failed; the outer `None` when nobody can tell.
pub fn outcome(flow: &Flow, tcp: &TcpFlow) -> Option<Option<Failure>> {
    use HandshakeOutcome::*;
    let handshake = &tcp.handshake;
    let failure = match handshake.outcome {
        Midstream | Aborted | HalfOpen => return None,
        Refused => Failure::Refused,
        Unreachable => Failure::Unreachable,
        Silent => {
            let last = handshake.syns.last()?;
            let waited = flow.watched_until - last.time >= Scoreboard::PATIENCE;
            (waited || handshake.syn_count > 1).then_some(Failure::NoAnswer)?
        }
        ReplyLost | AckLost | ChallengeAck => Failure::NotOpened,
        Established | ReplyUnseen => {
            if flow.is_one_way() {
                return None;
            }
            let reset = tcp.resets.iter().any(|reset| reset.class.is_harmful());
            return Some(match handshake_failed(flow) {
                Some(true) => Some(Failure::Tls),
                _ if reset => Some(Failure::Reset),
                _ if is_given_up(tcp) => Some(Failure::Unacknowledged),
                _ => None,
            });
        }
    };
    Some(Some(failure))
}

/// The client repeated its data in vain to the end, as `path_outage` counts: three time-outs in a row, and
/// three seconds or longer. A FIN that nobody answers takes nothing from anybody.
fn is_given_up(tcp: &TcpFlow) -> bool {
    let waits = tcp.waits.as_ref();
    let unanswered = waits.and_then(|waits| waits.unanswered[Direction::ToServer.index()]);
    unanswered.is_some_and(|sent| {
        sent.bytes > 0 && sent.tries >= 4 && sent.last.time - sent.first.time >= Scoreboard::PATIENCE
    })
}

/// Whether the TLS handshake was not completed; `None` when there is none, or when nobody can tell.
fn handshake_failed(flow: &Flow) -> Option<bool> {
    let (tls, tcp) = (flow.tls.as_ref()?, flow.tcp.as_ref()?);
    tls.client_hello.as_ref()?;
    if tls.established.is_some() {
        return Some(false);
    }
    // What was not captured, or came after the end of the capture, may have completed it.
    let whole = tls.lost == [false, false] && !flow.is_one_way() && tcp.is_closed();
    whole.then_some(true)
}

impl Merge for Scoreboard {
    fn absorb(&mut self, other: Self) {
        self.services.absorb(other.services);
        self.unread.absorb(other.unread);
        self.unread_in_all.absorb(other.unread_in_all);
        self.other.absorb(other.other);
        self.pings.absorb(other.pings);
        self.slots.absorb(other.slots);
    }
}
