//! Chooses the packets of an incident: the proof, and what a reader needs around it.
//!
//! The inputs are read twice. The first time only where the proof is: it tells the conversations. The second
//! time every packet is held against these, and against the flows, clients and services that the findings
//! name. When there are more than [`Picked::PACKETS`] or [`Picked::BYTES`], those nearest to the proof stay:
//! whole flows by the hash of their addresses, so that no time and no part of the network is preferred.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use hashbrown::{HashMap, HashSet};

use super::key::{conversation, of_fragments};
use super::nearest::{Candidate, Nearest};
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
    if ordinals.is_empty() {
        return Ok(around.into_iter().map(Around::finish).collect());
    }
    again.these(&Vec::from_iter(ordinals), |packet| {
        let record = dissect(&packet.raw);
        around.iter_mut().for_each(|one| one.learn(&record));
        Ok(())
    })?;
    around.iter_mut().for_each(Around::decide);
    choose(again, &mut around)?;
    Ok(around.into_iter().map(Around::finish).collect())
}

/// Holds every packet against what was learnt.
fn choose(again: &Again, around: &mut [Around]) -> Result<(), ExtractError> {
    let (rules, concern, end) = (&*around, Concern::of(around), again.last());
    let nearest: Vec<Nearest> = rules.iter().map(|_| Nearest::incident()).collect();
    // What the chunks behind need not look at: a packet farther than the farthest of a full choice.
    let found = Mutex::new((nearest, Nearest::sample()));
    let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
    let look = |chunk: &Chunk| -> (Vec<Nearest>, Nearest) {
        let (mut nearest, mut others) = {
            let found = lock();
            (found.0.iter().map(Nearest::emptied).collect::<Vec<_>>(), found.1.emptied())
        };
        let mut places = Vec::new();
        for packet in chunk.packets() {
            let record = dissect(&packet);
            others.add(elsewhere(&record, end));
            let tuple = conversation(&record);
            concern.places(&record, tuple, &mut places);
            for place in &places {
                if let Some(candidate) = rules[*place].rank(&record, tuple) {
                    nearest[*place].add(candidate);
                }
            }
        }
        (nearest, others)
    };
    again.chunks(
        1..=u64::MAX,
        |_| true,
        look,
        |(nearest, others)| {
            let mut found = lock();
            found.0.iter_mut().zip(nearest).for_each(|(one, more)| one.join(more));
            found.1.join(others);
            Ok(())
        },
    )?;
    let (nearest, others) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let others: Vec<Candidate> = others.kept().collect();
    for (one, nearest) in around.iter_mut().zip(nearest) {
        one.picked.left_out = nearest.left_out();
        let mut kept = nearest.kept().peekable();
        if kept.peek().is_none() {
            continue;
        }
        let packets = others.iter().copied().chain(kept);
        one.picked.packets = packets.map(|near| (near.ordinal, near.tier)).collect();
    }
    Ok(())
}

/// The traffic of nobody in particular: some whole flows by the hash of their addresses. Without them nobody
/// sees what works elsewhere, and without the first and the last packet how long was watched.
fn elsewhere(record: &PacketRecord, end: u64) -> Candidate {
    let is_end = record.packet == 1 || record.packet == end;
    let distance = if is_end { 0 } else { record.partition };
    let bytes = u64::from(record.captured);
    Candidate { tier: Tier::Elsewhere, distance, ordinal: record.packet, bytes }
}

/// Who asks about what, by place in the list. Nearly every packet of a large capture is about something else,
/// and the others are about one or two incidents of many.
#[derive(Default)]
struct Concern {
    cited: HashMap<u64, Vec<usize>>,
    tuples: HashMap<FiveTuple, Vec<usize>>,
    addresses: HashMap<IpAddr, Vec<usize>>,
    /// Those that take whatever was recorded near their proof.
    anything: Vec<usize>,
}

impl Concern {
    fn of(around: &[Around]) -> Self {
        let mut concern = Self::default();
        for (place, one) in around.iter().enumerate() {
            one.cited.iter().for_each(|cited| concern.cited.entry(*cited).or_default().push(place));
            let tuples = one.proved.keys().chain(&one.counted);
            tuples.for_each(|tuple| concern.tuples.entry(*tuple).or_default().push(place));
            let addresses = one.hosts.iter().chain(one.services.iter().map(|end| &end.address));
            addresses.for_each(|address| concern.addresses.entry(*address).or_default().push(place));
            concern.anything.extend(one.names_nobody().then_some(place));
        }
        concern
    }

    /// Puts the places of those that may want the packet into `places`, each once.
    fn places(&self, record: &PacketRecord, tuple: Option<FiveTuple>, places: &mut Vec<usize>) {
        places.clone_from(&self.anything);
        places.extend(self.cited.get(&record.packet).into_iter().flatten());
        if let Some(tuple) = tuple {
            places.extend(self.tuples.get(&tuple).into_iter().flatten());
            for address in [tuple.source.address, tuple.destination.address] {
                places.extend(self.addresses.get(&address).into_iter().flatten());
            }
        }
        places.sort_unstable();
        places.dedup();
    }
}

/// What belongs to an incident.
#[derive(Debug, Default)]
struct Around {
    picked: Picked,
    /// Packets that are cited, in order.
    cited: Vec<u64>,
    /// Packets that the root cites.
    of_root: BTreeSet<u64>,
    /// Ordinals of the first packets of its flows.
    flows: BTreeSet<u64>,
    /// Conversations with proof, and when it was captured.
    proved: HashMap<FiveTuple, Vec<Timestamp>>,
    /// The others that the findings count.
    counted: HashSet<FiveTuple>,
    /// Proof by conversation: of the root, of all.
    weight: BTreeMap<FiveTuple, (u64, u64, Reverse<u64>)>,
    services: HashSet<Endpoint>,
    hosts: HashSet<IpAddr>,
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
        around.cited = around.picked.cites.keys().copied().collect();
        around
    }

    /// No host and no service: what was recorded at the time has to do.
    fn names_nobody(&self) -> bool {
        self.hosts.is_empty() && self.services.is_empty()
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
        for tuple in self.weight.keys() {
            let times = self.proved.get(tuple).cloned().unwrap_or_default();
            self.proved.entry(of_fragments(*tuple)).or_default().extend(times);
        }
        for tuple in self.weight.keys().copied().flat_map(|tuple| [tuple, of_fragments(tuple)]) {
            self.proved.entry(tuple).or_default().sort_unstable();
        }
        let fragments: Vec<FiveTuple> = self.counted.iter().map(|tuple| of_fragments(*tuple)).collect();
        self.counted.extend(fragments);
    }

    /// How near the packet is, when it belongs to the incident at all.
    fn rank(&self, record: &PacketRecord, tuple: Option<FiveTuple>) -> Option<Candidate> {
        let (tier, distance) = self.tier(record, tuple)?;
        Some(Candidate { tier, distance, ordinal: record.packet, bytes: u64::from(record.captured) })
    }

    fn tier(&self, record: &PacketRecord, tuple: Option<FiveTuple>) -> Option<(Tier, u64)> {
        let after = self.cited.partition_point(|cited| *cited < record.packet);
        if self.cited.get(after) == Some(&record.packet) {
            return Some((Tier::Proof, 0));
        }
        if let Some(times) = tuple.and_then(|tuple| self.proved.get(&tuple)) {
            let tier = if frames_it(record) { Tier::Opening } else { Tier::Conversation };
            return Some((tier, distance(times, record.time)));
        }
        if tuple.is_some_and(|tuple| self.counted.contains(&tuple)) {
            return Some((Tier::Flow, record.partition));
        }
        if self.names_nobody() {
            let near = [after.checked_sub(1), Some(after)].into_iter().flatten();
            let near = near.filter_map(|at| Some(self.cited.get(at)?.abs_diff(record.packet)));
            return Some((Tier::Neighbour, near.min()?));
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
