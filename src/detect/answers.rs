//! Which addresses resolvers give for names, and what clients did with them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::dns::Transaction;
use crate::detect::lookups::lowercase;
use crate::detect::{Bounded, Distinct, Merge, hash_of, merged};
use crate::dissect::{Direction, Endpoint, PacketRef};
use crate::flow::{Flow, FlowHead, HandshakeOutcome};

const A: u16 = 1;
const AAAA: u16 = 28;

/// The addresses among the answers to a question for one.
pub(super) fn addresses(answers: &[String]) -> impl Iterator<Item = IpAddr> {
    answers.iter().filter_map(|answer| answer.parse().ok())
}

/// It asks for an address.
pub(super) fn asks_for_address(transaction: &Transaction) -> bool {
    matches!(transaction.qtype, A | AAAA)
}

/// An address that means something in its own network only (RFC 1918, RFC 4193, RFC 6598).
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// What one resolver answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Lookups.
    pub(super) lookups: u64,
    /// Who asked.
    pub(super) clients: Distinct<IpAddr, 64>,
    /// Addresses, all answers together.
    pub(super) addresses: Distinct<IpAddr, 16>,
    /// Query and response of the first lookup.
    pub(super) first: Option<(PacketRef, PacketRef)>,
    /// Its flow.
    pub(super) flow: Option<FlowHead>,
}

impl Merge for Answer {
    fn absorb(&mut self, other: Self) {
        self.lookups += other.lookups;
        self.clients.absorb(other.clients);
        self.addresses.absorb(other.addresses);
        if other.first.is_some_and(|later| self.first.is_none_or(|first| later < first)) {
            (self.first, self.flow) = (other.first, other.flow);
        }
    }
}

impl Answer {
    /// Both gave addresses, and none in common.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let apart = |one: &IpAddr| other.addresses.iter().all(|address| address != one);
        self.addresses.count() > 0 && other.addresses.count() > 0 && self.addresses.iter().all(apart)
    }

    /// One of its addresses is private.
    pub(super) fn has_private(&self) -> bool {
        self.addresses.iter().any(|address| is_private(*address))
    }

    /// Its addresses in order: `10.0.0.1, 10.0.0.2`.
    pub(super) fn text(&self) -> String {
        let mut addresses: Vec<IpAddr> = self.addresses.iter().copied().collect();
        addresses.sort();
        addresses.iter().take(4).map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// What each resolver answered, by name and type.
pub(super) type ByName<'a> = BTreeMap<(&'a str, u16), Vec<(Endpoint, &'a Answer)>>;

merged! {
    /// Answers by name, type and resolver.
    pub(super) struct Answers(Bounded<(String, u16, Option<Endpoint>), Answer, { 1 << 13 }>);
}

impl Answers {
    /// Takes a lookup that found addresses with a resolver; servers of zones may answer by place.
    pub(super) fn add(&mut self, transaction: &Transaction, flow: &FlowHead) {
        let Some((query, response)) = transaction.query.zip(transaction.response) else { return };
        if !transaction.found() || !transaction.recursion_desired || !asks_for_address(transaction) {
            return;
        }
        let name = lowercase(&transaction.name);
        let hash = hash_of(&(&name, transaction.qtype));
        let key = || (name.into_owned(), transaction.qtype, Some(flow.server));
        let Some(answer) = self.0.observe_new(hash, key) else { return };
        let mut new = Answer { lookups: 1, ..Answer::default() };
        new.clients.add(flow.client.address);
        addresses(&transaction.answers).for_each(|address| new.addresses.add(address));
        (new.first, new.flow) = (Some((query, response)), Some(*flow));
        answer.absorb(new);
    }

    /// By name and type: what each resolver answered.
    pub(super) fn by_name(&self) -> ByName<'_> {
        let mut names = ByName::new();
        for ((name, qtype, resolver), _, answer) in self.0.iter() {
            let answers = names.entry((name, *qtype)).or_default();
            answers.extend(resolver.map(|resolver| (resolver, answer)));
        }
        names.values_mut().for_each(|answers| answers.sort_by_key(|(resolver, _)| *resolver));
        names
    }
}

/// Names by the addresses that resolvers gave for them.
pub(super) type NamesOf<'a> = BTreeMap<IpAddr, BTreeSet<&'a str>>;

impl Answers {
    /// The names of each address.
    pub(super) fn names(&self) -> NamesOf<'_> {
        let mut names = NamesOf::new();
        for ((name, ..), _, answer) in self.0.iter() {
            for address in answer.addresses.iter() {
                names.entry(*address).or_default().insert(name);
            }
        }
        names
    }
}

/// Connections of a client to an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Visit {
    /// All.
    pub(super) connections: u64,
    /// Those that did not open, ended with a fatal alert, or were left as soon as the
    /// server had shown its certificate.
    pub(super) failed: u64,
    /// The first packet of the first.
    pub(super) first: Option<PacketRef>,
    /// A bit for each remainder of the ports of those that failed.
    ports: u64,
}

impl Visit {
    /// So many, and hardly any of them opened (nmap tries a thousand ports).
    pub(super) fn is_scan(&self) -> bool {
        /// A judgement: who needs a service that is down does not ask so much more often than it works.
        const TRIES: u64 = 100;
        self.failed >= TRIES && self.failed * 10 >= self.connections * 9
    }
}

impl Merge for Visit {
    fn absorb(&mut self, other: Self) {
        self.connections += other.connections;
        self.failed += other.failed;
        self.first = self.first.into_iter().chain(other.first).min();
        self.ports |= other.ports;
    }
}

merged! {
    /// TCP connections by client and server address.
    pub(super) struct Visits(Bounded<(IpAddr, IpAddr), Visit, { 1 << 15 }>);
}

impl Visits {
    /// Takes a flow.
    pub(super) fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        // In TLS 1.3 the alert is encrypted; what comes before the handshake is complete is one all the same.
        let alert = flow.tls.as_ref().is_some_and(|tls| tls.fatal_alert().is_some());
        // Others look at the certificate's name when the handshake is done, and close.
        let unused = flow
            .tls
            .as_ref()
            .is_some_and(|tls| tls.established.is_some() && tls.application_data.iter().all(Option::is_none));
        let closing = tcp.turns.as_ref().and_then(|turns| turns.closing);
        let left = unused && closing.is_some_and(|closing| closing.direction == Direction::ToServer);
        let shut = matches!(
            tcp.handshake.outcome,
            HandshakeOutcome::Refused | HandshakeOutcome::Unreachable | HandshakeOutcome::Silent
        );
        let key = (flow.client.address, flow.server.address);
        if let Some(visit) = self.0.count(key) {
            let failed = alert || shut || left;
            let ports = u64::from(failed) << (flow.server.port % 64);
            visit.absorb(Visit { connections: 1, failed: failed.into(), first: Some(flow.first), ports });
        }
    }

    /// A connection of `client` to anybody did not fail.
    pub(super) fn opens(&self, client: IpAddr) -> bool {
        self.0.iter().any(|((of, _), _, visit)| *of == client && visit.connections > visit.failed)
    }

    /// Clients of whose many connections, to many ports, hardly any opens, and how many of them failed.
    pub(super) fn scanners(&self) -> BTreeMap<IpAddr, u64> {
        let mut all: BTreeMap<IpAddr, Visit> = BTreeMap::new();
        self.0.iter().for_each(|((client, _), _, visit)| all.entry(*client).or_default().absorb(*visit));
        /// A judgement: nobody's work needs so many.
        const PORTS: u32 = 16;
        all.retain(|_, visit| visit.is_scan() && visit.ports.count_ones() >= PORTS);
        all.into_iter().map(|(client, visit)| (client, visit.failed)).collect()
    }

    /// Clients whose connections to `server` failed.
    pub(super) fn failed(&self, server: IpAddr) -> impl Iterator<Item = IpAddr> {
        let failed = self.0.iter().filter(move |((_, to), _, visit)| *to == server && visit.failed > 0);
        failed.map(|((client, _), ..)| *client)
    }

    /// Of `client` to any of `addresses`.
    pub(super) fn of<'a>(&self, client: IpAddr, addresses: impl Iterator<Item = &'a IpAddr>) -> Visit {
        let mut all = Visit::default();
        for address in addresses {
            if let Some((_, visit)) = self.0.get(&(client, *address)) {
                all.absorb(*visit);
            }
        }
        all
    }
}
