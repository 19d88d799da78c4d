//! Chooses the packets of an incident: the proof, and what a reader needs around it.
//!
//! The inputs are read twice. The first time only where the proof is: it tells the conversations. The second
//! time every packet is held against these, and against the flows, clients and services that the findings
//! name. When there are more than [`Picked::PACKETS`] or [`Picked::BYTES`], those nearest to the proof stay:
//! whole flows by the hash of their addresses, so that no time and no part of the network is preferred.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::key::{conversation, of_fragments};
use super::picked::{Cite, Picked, Tier};
use super::{Again, ExtractError};
use crate::capture::Chunk;
use crate::detect::Finding;
use crate::dissect::{Endpoint, FiveTuple, PacketRecord, Transport, dissect};
use crate::time::Timestamp;

/// What packets are wanted for: an incident with its findings, or a finding.
#[derive(Clone, Debug)]
pub struct Asked<'r> {
    /// Id of the incident or the finding.
    pub id: String,
    /// Its findings with their ids, the root first.
    pub findings: Vec<(&'r str, &'r Finding)>,
}

/// Chooses the packets of each of `asked`.
///
/// # Errors
/// When an input cannot be read again.
pub fn pick(again: &Again, asked: &[Asked<'_>]) -> Result<Vec<Picked>, ExtractError> {
    let mut around: Vec<Around> = asked.iter().map(Around::new).collect();
    let ordinals: BTreeSet<u64> =
        around.iter().flat_map(|one| one.picked.cites.keys().chain(&one.flows)).copied().collect();
    let (Some(first), Some(last)) = (ordinals.first(), ordinals.last()) else {
        return Ok(around.into_iter().map(Around::finish).collect());
    };
    let wants = |chunk: RangeInclusive<u64>| ordinals.range(chunk).next().is_some();
    let look = |chunk: &Chunk| -> Vec<PacketRecord> {
        let packets = chunk.packets().filter(|packet| ordinals.contains(&packet.packet));
        packets.map(|packet| dissect(&packet)).collect()
    };
    again.chunks(*first..=*last, wants, look, |records| {
        for record in &records {
            around.iter_mut().for_each(|one| one.learn(record));
        }
        Ok(())
    })?;
    around.iter_mut().for_each(Around::decide);
    let (rules, end) = (&around, again.last());
    let look = |chunk: &Chunk| -> (Vec<(usize, Candidate)>, Nearest) {
        let (mut candidates, mut sample) = (Vec::new(), Nearest::sample());
        for packet in chunk.packets() {
            let record = dissect(&packet);
            let tuple = conversation(&record);
            let of =
                rules.iter().enumerate().filter_map(|(place, one)| Some((place, one.rank(&record, tuple)?)));
            candidates.extend(of);
            sample.add(elsewhere(&record, end));
        }
        (candidates, sample)
    };
    let mut heaps: Vec<Nearest> = asked.iter().map(|_| Nearest::incident()).collect();
    let mut others = Nearest::sample();
    again.chunks(
        1..=u64::MAX,
        |_| true,
        look,
        |(candidates, sample)| {
            for (place, candidate) in candidates {
                if let Some(heap) = heaps.get_mut(place) {
                    heap.add(candidate);
                }
            }
            sample.heap.into_iter().for_each(|candidate| others.add(candidate));
            Ok(())
        },
    )?;
    for (one, nearest) in around.iter_mut().zip(heaps) {
        one.picked.left_out = nearest.left_out;
        if nearest.heap.is_empty() {
            continue;
        }
        one.picked.packets = others.heap.iter().map(|other| (other.ordinal, other.tier)).collect();
        one.picked.packets.extend(nearest.heap.into_iter().map(|near| (near.ordinal, near.tier)));
    }
    Ok(around.into_iter().map(Around::finish).collect())
}

/// The traffic of nobody in particular: some whole flows by the hash of their addresses. Without them nobody
/// sees what works elsewhere, and without the first and the last packet how long was watched.
fn elsewhere(record: &PacketRecord, end: u64) -> Candidate {
    let is_end = record.packet == 1 || record.packet == end;
    let distance = if is_end { 0 } else { record.partition };
    let bytes = u64::from(record.captured);
    Candidate { tier: Tier::Elsewhere, distance, ordinal: record.packet, bytes }
}

/// A packet that may be chosen, ordered by how near it is to the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    tier: Tier,
    distance: u64,
    ordinal: u64,
    bytes: u64,
}

/// The nearest candidates, as many as there is room for.
#[derive(Debug)]
struct Nearest {
    heap: BinaryHeap<Candidate>,
    bytes: u64,
    left_out: u64,
    most_packets: usize,
    most_bytes: u64,
}

impl Nearest {
    fn new(most_packets: usize, most_bytes: u64) -> Self {
        Self { heap: BinaryHeap::new(), bytes: 0, left_out: 0, most_packets, most_bytes }
    }

    fn incident() -> Self {
        Self::new(Picked::PACKETS, Picked::BYTES)
    }

    fn sample() -> Self {
        Self::new(Picked::ELSEWHERE, Picked::ELSEWHERE_BYTES)
    }

    fn add(&mut self, candidate: Candidate) {
        let full = self.heap.len() >= self.most_packets;
        if full && self.heap.peek().is_some_and(|farthest| candidate > *farthest) {
            self.left_out += 1;
            return;
        }
        self.bytes += candidate.bytes;
        self.heap.push(candidate);
        while self.heap.len() > self.most_packets || (self.bytes > self.most_bytes && self.heap.len() > 1) {
            let Some(farthest) = self.heap.pop() else { return };
            self.bytes -= farthest.bytes;
            self.left_out += 1;
        }
    }
}

/// What belongs to an incident.
#[derive(Debug, Default)]
struct Around {
    picked: Picked,
    /// Packets that the root cites.
    of_root: BTreeSet<u64>,
    /// Ordinals of the first packets of its flows.
    flows: BTreeSet<u64>,
    /// Conversations with proof, and when it was captured.
    proved: BTreeMap<FiveTuple, Vec<Timestamp>>,
    /// The others that the findings count.
    counted: BTreeSet<FiveTuple>,
    /// Proof by conversation: of the root, of all.
    weight: BTreeMap<FiveTuple, (u64, u64, Reverse<u64>)>,
    services: BTreeSet<Endpoint>,
    hosts: BTreeSet<IpAddr>,
}

impl Around {
    fn new(asked: &Asked<'_>) -> Self {
        let mut around =
            Self { picked: Picked { id: asked.id.clone(), ..Picked::default() }, ..Self::default() };
        for (place, (id, finding)) in asked.findings.iter().enumerate() {
            for shown in &finding.evidence {
                around.picked.cites.entry(shown.packet).or_default().push(Cite {
                    finding: (*id).to_owned(),
                    rule: finding.rule(),
                    role: shown.role,
                    fields: shown.fields.clone(),
                    time: shown.time,
                });
                if place == 0 {
                    around.of_root.insert(shown.packet);
                }
            }
            let scope = &finding.scope;
            around.flows.extend(&scope.flows.sample);
            around.hosts.extend(&scope.clients.sample);
            around.services.extend(scope.servers.sample.iter().filter_map(|server| endpoint(server)));
            let subject = &finding.subject;
            let named = [&subject.client, &subject.server];
            let named = named.into_iter().flatten().filter_map(|address| address.parse::<IpAddr>().ok());
            around.hosts.extend(named);
        }
        around
    }

    /// Takes a packet that is cited, or the first of a flow.
    fn learn(&mut self, record: &PacketRecord) {
        let Some(tuple) = conversation(record) else { return };
        if self.flows.contains(&record.packet) {
            self.counted.insert(tuple);
        }
        if self.picked.cites.contains_key(&record.packet) {
            self.proved.entry(tuple).or_default().push(record.time);
            let weight = self.weight.entry(tuple).or_insert((0, 0, Reverse(record.packet)));
            weight.0 += u64::from(self.of_root.contains(&record.packet));
            weight.1 += 1;
            weight.2 = weight.2.max(Reverse(record.packet));
        }
    }

    /// Everything was learnt.
    fn decide(&mut self) {
        let most = self.weight.iter().max_by_key(|(tuple, weight)| (**weight, Reverse(**tuple)));
        self.picked.deciding = most.map(|(tuple, _)| *tuple);
        let fragments = |tuple: FiveTuple| (of_fragments(tuple), tuple);
        for (of, tuple) in self.proved.keys().copied().map(fragments).collect::<Vec<_>>() {
            let times = self.proved.get(&tuple).cloned().unwrap_or_default();
            self.proved.entry(of).or_default().extend(times);
        }
        let counted: Vec<FiveTuple> = self.counted.iter().map(|tuple| of_fragments(*tuple)).collect();
        self.counted.extend(counted);
        self.proved.values_mut().for_each(|times| times.sort_unstable());
    }

    /// How near the packet is, when it belongs to the incident at all.
    fn rank(&self, record: &PacketRecord, tuple: Option<FiveTuple>) -> Option<Candidate> {
        let (tier, distance) = self.tier(record, tuple)?;
        Some(Candidate { tier, distance, ordinal: record.packet, bytes: u64::from(record.captured) })
    }

    fn tier(&self, record: &PacketRecord, tuple: Option<FiveTuple>) -> Option<(Tier, u64)> {
        if self.picked.cites.contains_key(&record.packet) {
            return Some((Tier::Proof, 0));
        }
        if let Some(times) = tuple.and_then(|tuple| self.proved.get(&tuple)) {
            let tier = if frames_it(record) { Tier::Opening } else { Tier::Conversation };
            return Some((tier, distance(times, record.time)));
        }
        if tuple.is_some_and(|tuple| self.counted.contains(&tuple)) {
            return Some((Tier::Flow, record.partition));
        }
        if self.hosts.is_empty() && self.services.is_empty() {
            let cites = &self.picked.cites;
            let before = cites.range(..record.packet).next_back().map(|(at, _)| record.packet - at);
            let after = cites.range(record.packet..).next().map(|(at, _)| at - record.packet);
            return Some((Tier::Neighbour, before.into_iter().chain(after).min()?));
        }
        let touches = |end: Endpoint| self.hosts.contains(&end.address) || self.services.contains(&end);
        let tuple = tuple.filter(|tuple| touches(tuple.source) || touches(tuple.destination));
        tuple.map(|_| (Tier::Service, record.partition))
    }

    fn finish(self) -> Picked {
        self.picked
    }
}

/// Without it nobody can tell how the conversation began, how it ended, or what a router said.
fn frames_it(record: &PacketRecord) -> bool {
    match &record.transport {
        Transport::Tcp(tcp) => tcp.flags.syn() || tcp.flags.fin() || tcp.flags.rst(),
        Transport::Icmp(icmp) => icmp.quoted.is_some(),
        _ => false,
    }
}

/// To the nearest of `times`, which are in order, in nanoseconds.
fn distance(times: &[Timestamp], time: Timestamp) -> u64 {
    let after = times.partition_point(|one| *one < time);
    let near = [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|at| times.get(at));
    near.map(|one| one.0.abs_diff(time.0)).min().unwrap_or(u64::MAX)
}

/// `10.0.0.1:443` or `[2001:db8::1]:443`.
fn endpoint(text: &str) -> Option<Endpoint> {
    let socket: std::net::SocketAddr = text.parse().ok()?;
    Some(Endpoint { address: socket.ip(), port: socket.port() })
}
