//! What a capture shows of its network: who serves what, how well, over which ways, with which certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use crate::app::dns::Transaction;
use crate::app::http::Exchange;
use crate::correlate::{Board, Phase, Service, ServiceKey, Tally};
use crate::detect::{Bounded, Merge, Severity};
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, FlowHead, Spread, Times};
use crate::pipeline::{Outcome, Rows};
use crate::report::model::Report;
use crate::time::Timestamp;

/// What a capture shows.
#[derive(Debug)]
pub struct Profile {
    /// What was looked at.
    pub capture: Capture,
    /// What happened.
    pub incidents: Vec<Known>,
    /// The services, by address.
    pub(super) services: BTreeMap<ServiceKey, Measured>,
    /// What only a capture shows; a report does not keep it.
    pub(super) seen: Option<Seen>,
}

/// Which capture.
#[derive(Clone, Debug, Serialize)]
pub struct Capture {
    /// Paths of its files as given.
    pub files: Vec<String>,
    /// Packets.
    pub packets: u64,
    /// Earliest packet time, RFC 3339.
    pub first_seen: Option<String>,
    /// Latest packet time, RFC 3339.
    pub last_seen: Option<String>,
    /// Services beyond those that can be compared.
    pub services_unlisted: u64,
}

/// An incident, as far as it is needed to know it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Number within its report.
    pub id: String,
    /// Fingerprint of rule and subject.
    pub key: String,
    /// How heavy.
    pub severity: Severity,
    /// Headline.
    pub title: String,
}

/// How a service fared.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) names: BTreeSet<String>,
    pub(super) attempts: Tally,
    pub(super) handshakes: Tally,
    pub(super) requests: Tally,
    /// Segments with new data, and those sent again.
    pub(super) segments: Tally,
    /// HTTP responses, and those with 4xx.
    pub(super) responses: Tally,
    pub(super) times: Vec<(Phase, Lengths)>,
}

/// Lengths of time: all of them, or what a report keeps.
#[derive(Debug)]
pub(super) enum Lengths {
    All(Times),
    Percentiles(Spread),
}

impl Lengths {
    pub(super) fn spread(&self) -> Option<Spread> {
        match self {
            Self::All(times) => times.spread(),
            Self::Percentiles(spread) => Some(*spread),
        }
    }
}

impl Profile {
    /// Of an analysis, and of the rows that came with it.
    pub fn new(report: &Report, outcome: &Outcome, observer: Observer) -> Self {
        let Observer { seen, services: observed } = observer;
        let capture = Capture {
            files: report.capture.files.iter().map(|file| file.path.clone()).collect(),
            packets: report.capture.packets,
            first_seen: report.capture.first_seen.map(Timestamp::rfc3339),
            last_seen: report.capture.last_seen.map(Timestamp::rfc3339),
            services_unlisted: u64::from(outcome.board.is_full()),
        };
        let incidents = report.incidents.iter().map(|cited| Known {
            id: cited.incident.id.clone(),
            key: cited.incident.key.clone(),
            severity: cited.incident.severity,
            title: cited.incident.title.clone(),
        });
        Self {
            capture,
            incidents: incidents.collect(),
            services: measured(&outcome.board, &observed),
            seen: Some(seen),
        }
    }
}

fn measured(board: &Board, observed: &Bounded<Endpoint, Served>) -> BTreeMap<ServiceKey, Measured> {
    let of = |service: &Service| {
        let mut measured = Measured::of(service);
        let key = service.key();
        for (phase, times) in board.times(&key) {
            measured.times.push((phase, Lengths::All(times.clone())));
        }
        if let Some((_, served)) = observed.get(&key.server) {
            measured.names.extend(served.names.iter().cloned());
            measured.responses = served.responses;
        }
        (key, measured)
    };
    board.services().iter().map(of).collect()
}

impl Measured {
    /// What a report says of a service, without times.
    pub(super) fn of(service: &Service) -> Self {
        Self {
            names: service.names.iter().cloned().collect(),
            attempts: Tally { of: service.attempts, failed: service.failed },
            handshakes: Tally { of: service.handshakes, failed: service.handshakes_failed },
            requests: Tally { of: service.requests, failed: service.requests_failed },
            segments: Tally { of: service.segments + service.lost, failed: service.lost },
            responses: Tally::default(),
            times: Vec::new(),
        }
    }
}

/// What flows, lookups and exchanges show beside how they fared.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By address of the sender.
    pub(super) hosts: Bounded<IpAddr, Host>,
    /// Server certificates by the name they were asked for by, or by server.
    pub(super) certificates: Bounded<String, BTreeMap<[u8; 32], Leaf>>,
    /// Answers by name and type.
    pub(super) answers: Bounded<(String, u16), Answers>,
}

/// The ways that a host's packets came, in flows.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) flows: u64,
    /// TTLs, lowest and highest of a flow.
    pub(super) ttl: BTreeSet<u8>,
    /// Link addresses that sent them, and VLANs; 0 is none.
    pub(super) links: BTreeSet<([u8; 6], u16)>,
    /// Largest segments that it asked for in SYNs.
    pub(super) mss: BTreeSet<u16>,
}

/// A certificate that a server showed for itself.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) not_after: Timestamp,
}

/// What was answered to the lookups of a name.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) addresses: BTreeSet<String>,
    /// Lookups with a response, and those with an error.
    pub(super) lookups: Tally,
}

#[derive(Debug, Default)]
struct Served {
    names: BTreeSet<String>,
    responses: Tally,
}

/// Takes the rows of an analysis. They come in an order that is always the same, so that the first values of
/// a full set are, too.
#[derive(Debug, Default)]
pub struct Observer {
    pub(super) seen: Seen,
    services: Bounded<Endpoint, Served>,
}

/// Values kept of each.
const VALUES: usize = 16;

/// Adds a value to a set that has room.
fn add<T: Ord>(set: &mut BTreeSet<T>, value: T) {
    if set.len() < VALUES {
        set.insert(value);
    }
}

impl Observer {
    fn host(&mut self, flow: &Flow, direction: Direction) {
        let half = flow.half(direction);
        let address = flow.sender(direction).address;
        let Some(ttl) = half.ttl else { return };
        let Some(host) = self.seen.hosts.count(address) else { return };
        host.flows += 1;
        add(&mut host.ttl, ttl.0);
        add(&mut host.ttl, ttl.1);
        half.links.iter().for_each(|link| add(&mut host.links, (link.source, link.vlan)));
        let mss = flow.tcp.as_ref().and_then(|tcp| tcp.side(direction).mss);
        mss.into_iter().for_each(|mss| add(&mut host.mss, mss));
    }

    fn certificates(&mut self, flow: &Flow) {
        let Some(tls) = &flow.tls else { return };
        let Some(leaf) = tls.certificates[Direction::ToClient.index()].first() else { return };
        let name = match tls.server_name() {
            "" => flow.server.to_string(),
            name => name.to_ascii_lowercase(),
        };
        let Some(leaves) = self.seen.certificates.count(name) else { return };
        if leaves.len() < VALUES {
            let [subject, issuer] = [&leaf.subject, &leaf.issuer].map(Clone::clone);
            leaves.insert(leaf.fingerprint, Leaf { subject, issuer, not_after: leaf.not_after });
        }
    }
}

impl Rows for Observer {
    fn flow(&mut self, flow: &Flow) {
        Direction::BOTH.into_iter().for_each(|direction| self.host(flow, direction));
        self.certificates(flow);
    }

    fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
        // Addresses and aliases: other types change with every answer.
        const ADDRESSES: [u16; 2] = [1, 28];
        let asked = transaction.is_lookup(flow.server.port) && ADDRESSES.contains(&transaction.qtype);
        let Some(rcode) = transaction.rcode.filter(|_| asked && transaction.query.is_some()) else { return };
        let key = (transaction.name.to_ascii_lowercase(), transaction.qtype);
        let Some(answers) = self.seen.answers.count(key) else { return };
        answers.lookups.absorb(Tally { of: 1, failed: u64::from(rcode != 0) });
        let only_addresses = transaction.answers.iter().filter(|answer| answer.parse::<IpAddr>().is_ok());
        only_addresses.for_each(|answer| add(&mut answers.addresses, answer.clone()));
    }

    fn exchange(&mut self, exchange: &Exchange, flow: &FlowHead) {
        let Some(served) = self.services.count(flow.server) else { return };
        if !exchange.host.is_empty() {
            add(&mut served.names, exchange.host.to_ascii_lowercase());
        }
        let Some(status) = exchange.status else { return };
        served.responses.absorb(Tally { of: 1, failed: u64::from((400..500).contains(&status)) });
    }
}
