//! incidents of the points' own analyses -> between which points their packets were lost or made up
//!
//! What was lost between two points is remembered by conversation. The flows of an incident are looked for
//! among those. So a place is named only where the packets of the incident's own flows went missing, and
//! only for what explains it: a lost segment explains a retransmission, a SYN-ACK that did not arrive
//! explains a connection that was not opened.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::pair::{Event, Fate, Shown};
use super::sides::Way;
use super::sighting::Kind;
use crate::detect::{Finding, Severity};
use crate::dissect::FiveTuple;
use crate::flow::{Finished, Row};
use crate::pipeline::Rows;
use crate::report::filter::FrameFilter;
use crate::report::model::{Proof, RankedFinding, Report};

/// Conversations of a pair of points whose losses are remembered. Findings sample 64 flows.
const MOST: usize = 1 << 16;

/// Packets of a conversation that are shown.
const SHOWN: usize = 4;

/// What explains the findings of some rules.
struct Told {
    rules: &'static [&'static str],
    fates: &'static [Fate],
    kinds: &'static [Kind],
}

const GONE: &[Fate] = &[Fate::Lost, Fate::Absent];

const TOLD: [Told; 5] = [
    Told {
        rules: &["retransmission", "mtu_blackhole", "path_outage", "asymmetric_flow", "tls_stall"],
        fates: GONE,
        kinds: &[Kind::Data, Kind::Fin],
    },
    Told {
        rules: &["missing_syn_ack", "health_check"],
        fates: GONE,
        kinds: &[Kind::Syn, Kind::SynAck, Kind::Ack],
    },
    Told {
        rules: &["rst_injection", "rst_storm", "idle_timeout", "tls_abort", "connection_refused"],
        fates: &[Fate::Injected],
        kinds: &[Kind::Reset],
    },
    Told { rules: &["dns_unanswered", "quic", "fragment_loss"], fates: GONE, kinds: &[Kind::Udp] },
    Told { rules: &["echo_loss"], fates: GONE, kinds: &[Kind::Icmp] },
];

/// An incident of one point's analysis, or a finding that belongs to none, and where it happened.
#[derive(Debug, Serialize)]
pub struct Located {
    /// The points whose analysis has it.
    pub seen_at: Vec<String>,
    /// Its id in the report on the first of them.
    pub id: String,
    /// Its fingerprint.
    pub key: String,
    /// Detector and variant of the finding that is nearest to the cause.
    pub rule: String,
    /// How heavy.
    pub severity: Severity,
    /// Its headline.
    pub title: String,
    /// Between which points, the most packets first.
    pub places: Vec<Placed>,
    /// The frames that prove it, of all points that have it.
    pub proof: Vec<Proof>,
}

/// What of an incident happened between two points.
#[derive(Debug, Serialize)]
pub struct Placed {
    /// The point where the packets are first.
    pub from: String,
    /// The point where they should arrive; where they were made up, the one that has them.
    pub to: String,
    /// What became of them.
    pub fate: Fate,
    /// How many packets.
    pub packets: u64,
    /// Flows of the incident that they belong to.
    pub flows: u64,
    /// Flows of the incident that were looked for: findings name at most 64 of theirs.
    pub of_flows: u64,
    /// The first of the packets, a few of every flow.
    pub shown: Vec<Shown>,
}

/// Packets of one conversation with the same fate.
#[derive(Debug, Default)]
struct Tally {
    packets: u64,
    shown: Vec<Shown>,
}

/// What became of packets of a conversation.
type Tallies = BTreeMap<(Way, Fate, Kind), Tally>;

/// The same by conversation, as both points know it.
type ByConversation = HashMap<[FiveTuple; 2], Tallies>;

/// What was lost or made up between the points, by conversation.
#[derive(Debug, Default)]
pub struct Losses {
    /// Names of the two points, and the conversations as both know them.
    pairs: Vec<([String; 2], ByConversation)>,
    /// Packets of conversations beyond those that are remembered.
    passed_over: u64,
}

/// The flows of a point that lost something, found while it is analysed.
#[derive(Debug)]
pub(super) struct Known {
    wanted: HashSet<FiveTuple>,
    flows: HashMap<u64, FiveTuple>,
}

impl Rows for Known {
    fn finished(&mut self, rows: &[Row]) {
        for row in rows {
            let Finished::Flow(flow) = &row.what else { continue };
            let tuple = FiveTuple { source: flow.client, destination: flow.server, protocol: flow.protocol };
            let tuple = tuple.canonical();
            if self.flows.len() < MOST && self.wanted.contains(&tuple) {
                self.flows.insert(flow.id, tuple);
            }
        }
    }
}

impl Losses {
    /// Takes what became of a packet.
    pub fn add(&mut self, event: &Event<'_>) {
        let Some(fate) = event.fate.filter(|fate| TOLD.iter().any(|told| told.fates.contains(fate))) else {
            return;
        };
        let [a, b] = event.points;
        let is_known = |(names, _): &([String; 2], _)| *names == [&*a.name, &*b.name];
        let place = self.pairs.iter().position(is_known).unwrap_or_else(|| {
            self.pairs.push(([a.name.clone(), b.name.clone()], HashMap::new()));
            self.pairs.len() - 1
        });
        let Some((_, conversations)) = self.pairs.get_mut(place) else { return };
        if conversations.len() >= MOST && !conversations.contains_key(&event.conversation) {
            self.passed_over += 1;
            return;
        }
        let tallies = conversations.entry(event.conversation).or_default();
        let tally = tallies.entry((event.way, fate, event.shown.kind)).or_default();
        tally.packets += 1;
        if tally.shown.len() < SHOWN {
            tally.shown.push(event.shown.clone());
        }
    }

    /// Nothing was lost or made up: no analysis can be placed.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Packets that no incident can be placed by: their conversations are beyond those remembered.
    pub(super) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// What the analysis of these points, which are one capture, has to look for.
    pub(super) fn known(&self, points: &[&str]) -> Known {
        let wanted = self.at(points).map(|(tuple, ..)| tuple).collect();
        Known { wanted, flows: HashMap::new() }
    }

    /// The conversations as these points know them. Where no addresses are translated, every point does.
    fn at<'l>(&'l self, points: &[&str]) -> impl Iterator<Item = (FiveTuple, &'l [String; 2], &'l Tallies)> {
        self.pairs.iter().flat_map(move |(names, conversations)| {
            let is_end = names.each_ref().map(|name| points.contains(&name.as_str()));
            // In any order: it is summed up, and sorted where it is shown.
            conversations.iter().flat_map(move |(tuples, tallies)| {
                let [a, b] = *tuples;
                let known = match is_end {
                    _ if a == b => [Some(a), None],
                    [of_a, of_b] => [of_a.then_some(a), of_b.then_some(b)],
                };
                known.into_iter().flatten().map(move |tuple| (tuple, names, tallies))
            })
        })
    }

    /// What of the report on these points happened between two points, as far as that is known.
    pub(super) fn locate(&self, points: &[&str], report: &Report, known: &Known) -> Vec<Located> {
        let mut by_tuple = ByTuple::new();
        for (tuple, names, tallies) in self.at(points) {
            by_tuple.entry(tuple).or_default().push((names, tallies));
        }
        let of_incidents = report.incidents.iter().map(|cited| {
            let incident = &cited.incident;
            let findings = std::iter::once(&incident.root_place).chain(&incident.places);
            let findings = findings.filter_map(|place| report.findings.get(*place));
            let root = report.findings.get(incident.root_place);
            let places = places(findings.map(|ranked| &ranked.finding), known, &by_tuple);
            Located {
                seen_at: Vec::new(),
                id: incident.id.clone(),
                key: incident.key.clone(),
                rule: root.map(|ranked| ranked.finding.rule()).unwrap_or_default(),
                severity: incident.severity,
                title: incident.title.clone(),
                places,
                proof: cited.evidence.clone(),
            }
        });
        let others = report.other.iter().filter_map(|id| report.finding(id)).map(|ranked| Located {
            seen_at: Vec::new(),
            id: ranked.id.clone(),
            key: ranked.key.clone(),
            rule: ranked.finding.rule(),
            severity: ranked.finding.severity,
            title: ranked.finding.title.clone(),
            places: places(std::iter::once(&ranked.finding), known, &by_tuple),
            proof: proof(ranked),
        });
        let seen_at: Vec<String> = points.iter().map(|point| (*point).to_owned()).collect();
        let located = of_incidents.chain(others).filter(|located| !located.places.is_empty());
        located.map(|located| Located { seen_at: seen_at.clone(), ..located }).collect()
    }
}

/// What was lost or made up, by the addresses of a conversation at one capture.
type ByTuple<'l> = HashMap<FiveTuple, Vec<(&'l [String; 2], &'l Tallies)>>;

/// The frames that prove a finding.
fn proof(ranked: &RankedFinding) -> Vec<Proof> {
    let of = |filter: &FrameFilter| {
        let frames: BTreeSet<u64> = ranked
            .evidence
            .iter()
            .filter(|cited| cited.file == filter.file)
            .map(|cited| cited.frame)
            .collect();
        Proof { file: filter.file.clone(), frames: frames.len() as u64, filter: filter.filter.clone() }
    };
    ranked.wireshark_filter.iter().map(of).collect()
}

/// Where the flows of findings lost what explains these.
fn places<'r>(
    findings: impl Iterator<Item = &'r Finding>,
    known: &Known,
    by_tuple: &ByTuple<'_>,
) -> Vec<Placed> {
    let mut looked_for: BTreeSet<u64> = BTreeSet::new();
    let mut explained: BTreeMap<FiveTuple, BTreeSet<usize>> = BTreeMap::new();
    for finding in findings {
        let told = TOLD.iter().enumerate().filter(|(_, told)| told.rules.contains(&finding.detector));
        for (number, _) in told {
            for id in &finding.scope.flows.sample {
                looked_for.insert(*id);
                if let Some(tuple) = known.flows.get(id) {
                    explained.entry(*tuple).or_default().insert(number);
                }
            }
        }
    }
    let mut places: BTreeMap<(&str, &str, Fate), Placed> = BTreeMap::new();
    for (tuple, numbers) in &explained {
        let told: Vec<&Told> = numbers.iter().filter_map(|number| TOLD.get(*number)).collect();
        let mut of_flow: BTreeSet<(&str, &str, Fate)> = BTreeSet::new();
        for ([a, b], tallies) in by_tuple.get(tuple).into_iter().flatten() {
            for ((way, fate, kind), tally) in *tallies {
                if !told.iter().any(|told| told.fates.contains(fate) && told.kinds.contains(kind)) {
                    continue;
                }
                let (from, to) = if *way == Way::Forth { (a, b) } else { (b, a) };
                let place = places.entry((from, to, *fate)).or_insert_with(|| Placed {
                    from: from.clone(),
                    to: to.clone(),
                    fate: *fate,
                    packets: 0,
                    flows: 0,
                    of_flows: looked_for.len() as u64,
                    shown: Vec::new(),
                });
                place.packets += tally.packets;
                place.flows += u64::from(of_flow.insert((from, to, *fate)));
                place.shown.extend(tally.shown.iter().cloned());
            }
        }
    }
    let mut places: Vec<Placed> = places.into_values().collect();
    places.iter_mut().for_each(|place| place.shown.sort_by_cached_key(Shown::frames));
    places.sort_by_key(|place| std::cmp::Reverse(place.packets));
    places
}

/// What several points say of the same incident becomes one.
pub(super) fn merged(all: Vec<Located>) -> Vec<Located> {
    let mut merged: Vec<Located> = Vec::new();
    for other in all {
        let Some(first) = merged.iter_mut().find(|first| first.key == other.key) else {
            merged.push(other);
            continue;
        };
        first.seen_at.extend(other.seen_at);
        first.proof.extend(other.proof);
        first.severity = first.severity.max(other.severity);
        for place in other.places {
            let same = |known: &&mut Placed| {
                (&known.from, &known.to, known.fate) == (&place.from, &place.to, place.fate)
            };
            match first.places.iter_mut().find(same) {
                Some(known) if known.packets >= place.packets => {}
                Some(known) => *known = place,
                None => first.places.push(place),
            }
        }
        first.places.sort_by_key(|place| std::cmp::Reverse(place.packets));
    }
    merged
}

#[cfg(test)]
mod tests;
