//! The packets of the flow that decides an incident, read a second time: for the ladder and the graphs.
//!
//! Of the flows of an incident that one counts which most of the cited frames belong to. Of a long flow its
//! beginning is kept, and what stands around the cited frames.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::dissect::{Endpoint, FiveTuple, Icmp, PacketRecord, Tcp, Transport};
use crate::report::model::Report;
use crate::time::Timestamp;

/// A packet of a flow, or one that quotes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Ordinal over the whole set.
    pub packet: u64,
    /// Capture time.
    pub time: Timestamp,
    /// Sent by the client.
    pub to_server: bool,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IP identification; 0 for IPv6.
    pub id: u16,
    /// Length of the IP datagram, bytes.
    pub ip_length: u32,
    /// Transport payload, bytes.
    pub length: u32,
    /// What it is.
    pub what: What,
}

/// What a packet is.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A TCP segment.
    Tcp(Box<Tcp>),
    /// A UDP datagram.
    Udp,
    /// An ICMP message, and who sent it.
    Icmp(Box<(Icmp, IpAddr)>),
    /// Something else.
    Other,
}

/// The packets of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Who asked.
    pub client: Endpoint,
    /// Who was asked.
    pub server: Endpoint,
    /// Its packets in capture order, at most [`Trace::MOST`].
    pub steps: Vec<Step>,
    /// Packets left out.
    pub left_out: u64,
}

impl Trace {
    /// Packets kept.
    pub const MOST: usize = 2_048;
    /// Packets kept of the beginning, whether they are cited or not.
    const HEAD: usize = 768;
    /// Packets kept before and after a cited one.
    const AROUND: usize = 192;
}

/// The traces of the first incidents, by the place of the incident.
#[derive(Clone, Debug, Default)]
pub struct Traces(BTreeMap<usize, Trace>);

impl Traces {
    /// The trace of the incident in this place.
    pub fn of(&self, incident: usize) -> Option<&Trace> {
        self.0.get(&incident)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// A flow of an incident, on its way.
struct Watched {
    incident: usize,
    trace: Trace,
    /// The last packets that were not kept.
    before: VecDeque<Step>,
    /// Packets that are kept, because a cited one was near.
    after: usize,
    cited: usize,
}

/// Finds the traces in the packets of a second reading.
pub struct Tracer {
    /// Incidents that begin, or are cited, at this packet.
    wanted: BTreeMap<u64, BTreeSet<usize>>,
    cited: BTreeSet<u64>,
    ranges: Vec<RangeInclusive<u64>>,
    servers: Vec<BTreeSet<Endpoint>>,
    watched: Vec<Watched>,
    by_tuple: BTreeMap<FiveTuple, Vec<usize>>,
}

impl Tracer {
    /// Incidents that are traced.
    pub const INCIDENTS: usize = 8;
    /// Flows of an incident that are followed, until it is known which of them is cited most.
    const FLOWS: usize = 24;
    /// Packets of the capture that are read behind the last cited one.
    const BEHIND: u64 = 5_000;

    /// Of the first incidents of `report`.
    pub fn new(report: &Report) -> Self {
        let mut tracer = Self {
            wanted: BTreeMap::new(),
            cited: BTreeSet::new(),
            ranges: Vec::new(),
            servers: Vec::new(),
            watched: Vec::new(),
            by_tuple: BTreeMap::new(),
        };
        for (place, incident) in report.incidents.iter().take(Self::INCIDENTS).enumerate() {
            let Some(root) = report.findings.get(incident.incident.root_place) else { continue };
            let cited: Vec<u64> = root.evidence.iter().map(|frame| frame.packet.packet).collect();
            let (Some(first), Some(last)) = (cited.iter().min(), cited.iter().max()) else { continue };
            // The flow of a cited packet begins before it, most likely as the last one that does.
            let mut begun: Vec<u64> = root.finding.scope.flows.sample.clone();
            begun.retain(|id| id <= last);
            begun.sort_by_key(|id| (cited.iter().map(|at| at.abs_diff(*id)).min(), *id));
            begun.truncate(Self::FLOWS);
            let from = begun.iter().copied().min().unwrap_or(*first).min(*first);
            tracer.ranges.push(from..=last.saturating_add(Self::BEHIND));
            for packet in begun.iter().chain(&cited) {
                tracer.wanted.entry(*packet).or_default().insert(place);
            }
            tracer.cited.extend(&cited);
            let servers = &root.finding.scope.servers.sample;
            let servers = servers.iter().filter_map(|server| endpoint(server)).collect();
            tracer.servers.resize_with(place, BTreeSet::new);
            tracer.servers.push(servers);
        }
        tracer.ranges.sort_by_key(|range| (*range.start(), *range.end()));
        tracer
    }

    /// The packets that have to be read.
    pub fn ranges(&self) -> &[RangeInclusive<u64>] {
        &self.ranges
    }

    /// Takes the next packet of the second reading.
    pub fn packet(&mut self, record: &PacketRecord) {
        let own = FiveTuple::of(record);
        let incidents = self.wanted.get(&record.packet).cloned().unwrap_or_default();
        if let Some(tuple) = FiveTuple::quoted(record).or(own) {
            for incident in incidents {
                self.watch(incident, tuple, record);
            }
            let known = self.by_tuple.get(&tuple.canonical());
            for place in known.into_iter().flatten() {
                if let Some(watched) = self.watched.get_mut(*place) {
                    watched.take(record, own, self.cited.contains(&record.packet));
                }
            }
        }
    }

    fn watch(&mut self, incident: usize, tuple: FiveTuple, record: &PacketRecord) {
        let known = self.by_tuple.entry(tuple.canonical()).or_default();
        let watched = |place: &usize| self.watched.get(*place).is_some_and(|one| one.incident == incident);
        let opens = matches!(&record.transport, Transport::Tcp(tcp) if tcp.flags.is_syn());
        let again = opens && !self.cited.contains(&record.packet);
        if known.iter().any(watched) && !again {
            return;
        }
        // A new connection on the ports of an earlier one takes over.
        known.retain(|place| !watched(place));
        let of_incident = self.watched.iter().filter(|one| one.incident == incident).count();
        if of_incident >= 2 * Self::FLOWS {
            return;
        }
        let servers = self.servers.get(incident);
        let serves = |end: &Endpoint| servers.is_some_and(|servers| servers.contains(end));
        let answers = matches!(&record.transport, Transport::Tcp(tcp) if tcp.flags.is_syn_ack());
        let lower = tuple.source.port < tuple.destination.port && !opens && tuple.source.port > 0;
        let turned = match (serves(&tuple.source), serves(&tuple.destination)) {
            (true, false) => true,
            (false, true) => false,
            _ => answers || lower,
        };
        let tuple = if turned { tuple.reversed() } else { tuple };
        known.push(self.watched.len());
        let (client, server) = (tuple.source, tuple.destination);
        let trace = Trace { client, server, steps: Vec::new(), left_out: 0 };
        self.watched.push(Watched { incident, trace, before: VecDeque::new(), after: 0, cited: 0 });
    }

    /// The flows that decide.
    pub fn finish(self) -> Traces {
        let mut traces: BTreeMap<usize, (usize, Trace)> = BTreeMap::new();
        for mut watched in self.watched {
            watched.trace.left_out += watched.before.len() as u64;
            let best = traces.get(&watched.incident).map_or(0, |(cited, _)| *cited);
            if watched.cited > best {
                traces.insert(watched.incident, (watched.cited, watched.trace));
            }
        }
        Traces(traces.into_iter().map(|(incident, (_, trace))| (incident, trace)).collect())
    }
}

impl Watched {
    fn take(&mut self, record: &PacketRecord, own: Option<FiveTuple>, cited: bool) {
        let what = match &record.transport {
            Transport::Tcp(tcp) => What::Tcp(Box::new(*tcp)),
            Transport::Udp(_) => What::Udp,
            Transport::Icmp(icmp) => {
                What::Icmp(Box::new((*icmp, record.ip.map_or(self.trace.server.address, |ip| ip.source))))
            }
            _ => What::Other,
        };
        // What quotes the flow goes to the sender of what it quotes.
        let to_server = match (FiveTuple::quoted(record), own) {
            (Some(quoted), _) => quoted.source != self.trace.client,
            (None, Some(own)) if own.source.address == own.destination.address => {
                own.source.port == self.trace.client.port
            }
            (None, Some(own)) => own.source == self.trace.client,
            (None, None) => true,
        };
        let step = Step {
            packet: record.packet,
            time: record.time,
            to_server,
            ttl: record.ip.map_or(0, |ip| ip.ttl),
            id: record.ip.map_or(0, |ip| ip.id),
            ip_length: record.ip.map_or(0, |ip| ip.length),
            length: record.payload.length,
            what,
        };
        if cited {
            self.cited += 1;
            self.after = Trace::AROUND;
            let room = Trace::MOST.saturating_sub(self.trace.steps.len() + 1);
            let skipped = self.before.len().saturating_sub(room);
            self.trace.left_out += skipped as u64;
            self.trace.steps.extend(self.before.drain(..).skip(skipped));
        }
        let steps = &mut self.trace.steps;
        if steps.len() < Trace::HEAD || (self.after > 0 && steps.len() < Trace::MOST) {
            steps.push(step);
        } else {
            self.before.push_back(step);
            if self.before.len() > Trace::AROUND {
                self.before.pop_front();
                self.trace.left_out += 1;
            }
        }
        self.after = self.after.saturating_sub(1);
    }
}

/// `10.0.0.1:443` as an endpoint.
pub(super) fn endpoint(server: &str) -> Option<Endpoint> {
    let address: std::net::SocketAddr = server.parse().ok()?;
    Some(Endpoint { address: address.ip(), port: address.port() })
}
