//! Every edge of the relation between rules is met by captures: a cause and a symptom that were recorded
//! together, or two recordings of which one is moved to where the other's trouble is.

mod combined;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::config::Config;
use crate::correlate::cause::holds;
use crate::correlate::contrast::endpoint;
use crate::correlate::overlap::{Place, servers};
use crate::correlate::relation::explained_by;
use crate::detect::{EXPLAINS, Explains, Finding, Meet};
use crate::local::{self, Run};
use crate::pipeline::Rows;
use crate::report::model::Report;
use crate::support::capture::{Capture, EPOCH, Packet};
use crate::support::scenes::{self, Lab};
use crate::time::Timestamp;

struct NoRows;

impl Rows for NoRows {}

/// A cause, a symptom, and how their scopes meet.
type Edge = (&'static str, &'static str, Meet);

fn all() -> impl Iterator<Item = (Edge, &'static Explains)> {
    let edges = EXPLAINS.iter().flat_map(|(cause, edges)| edges.iter().map(move |edge| (*cause, edge)));
    edges.flat_map(|(cause, edge)| {
        edge.symptoms.iter().map(move |symptom| ((cause, *symptom, edge.meet), edge))
    })
}

fn findings_in(path: &Path) -> Vec<Finding> {
    let run = Run { threads: 2, ..Run::default() };
    let outcome = local::analyze(&[path.to_owned()], &Config::default(), run, &mut NoRows, &|_| {});
    let report = Report::new(&outcome.expect("readable"), &Config::default());
    report.findings.into_iter().map(|ranked| ranked.finding).collect()
}

fn findings_of(ending: &str, bytes: &[u8]) -> Vec<Finding> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(format!("capture.{ending}"));
    fs::write(&path, bytes).expect("written");
    findings_in(&path)
}

/// The edges that hold between findings of one capture.
fn met(findings: &[Finding]) -> BTreeSet<Edge> {
    let mut met = BTreeSet::new();
    let places: Vec<Place<'_>> = findings.iter().map(Place::of).collect();
    for cause in &places {
        for symptom in places.iter().filter(|symptom| !std::ptr::eq(*symptom, cause)) {
            let (by, of) = (cause.finding, symptom.finding);
            let edges = explained_by(by).filter(|edge| edge.symptoms.contains(&of.detector));
            let holding = edges.filter(|edge| holds(edge, cause, symptom).is_some());
            met.extend(holding.map(|edge| (by.detector, of.detector, edge.meet)));
        }
    }
    met
}

/// A capture, and what is found in it.
struct Known {
    name: String,
    capture: Capture,
    findings: Vec<Finding>,
}

/// The packets of a classic pcap file of the lab: little-endian, Ethernet. Times are those of the scenes.
fn packets(bytes: &[u8]) -> Option<Capture> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let scale = match word(0)? {
        0xa1b2_c3d4 => 1,
        0xa1b2_3c4d => 1_000,
        _ => return None,
    };
    let (mut at, mut capture, mut first) = (24, Capture::default(), None);
    while let Some(length) = word(at + 8).filter(|_| word(20) == Some(1)) {
        let time = u64::from(word(at)?) * 1_000_000 + u64::from(word(at + 4)? / scale);
        let micros = time.saturating_sub(*first.get_or_insert(time));
        capture.record(micros, bytes.get(at + 16..at + 16 + length as usize)?.to_vec());
        at += 16 + length as usize;
    }
    (!capture.packets.is_empty()).then_some(capture)
}

/// The lab's captures and the hand-made ones.
fn known() -> Vec<Known> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures");
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("committed").map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng"));
    paths.sort();
    let lab = paths.into_iter().map(|path| {
        let capture = packets(&fs::read(&path).expect("readable")).unwrap_or_default();
        // What it is in the file has other times than what is moved.
        let findings = match capture.packets.is_empty() {
            true => findings_in(&path),
            false => findings_of("pcap", &capture.pcap()),
        };
        Known { name: path.display().to_string(), capture, findings }
    });
    let scenes = scenes::all().map(|scene| {
        let (ending, bytes) = scene.build();
        let findings = findings_of(ending, &bytes);
        Known { name: scene.name.to_owned(), capture: scene.capture(), findings }
    });
    lab.chain(scenes).collect()
}

/// Where hosts and ports of a capture go.
#[derive(Default)]
struct Move {
    hosts: BTreeMap<Ipv4Addr, Ipv4Addr>,
    /// Of one host, before it goes.
    ports: BTreeMap<(Ipv4Addr, u16), u16>,
}

impl Move {
    /// Changes an IPv4 packet at `at`, and the one that an ICMP error in it quotes.
    fn packet(&self, frame: &mut [u8], at: usize) -> Option<()> {
        let (protocol, fragment) =
            (*frame.get(at + 9)?, u16::from_be_bytes([*frame.get(at + 6)?, *frame.get(at + 7)?]));
        let length = usize::from(frame.get(at)? & 15) * 4;
        for (address, port) in [(at + 12, at + length), (at + 16, at + length + 2)] {
            let host = Ipv4Addr::from(<[u8; 4]>::try_from(frame.get(address..address + 4)?).ok()?);
            if matches!(protocol, 6 | 17) && fragment & 0x1fff == 0 {
                let known = frame.get(port..port + 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
                if let Some(new) = known.and_then(|known| self.ports.get(&(host, known))) {
                    frame.get_mut(port..port + 2)?.copy_from_slice(&new.to_be_bytes());
                }
            }
            if let Some(new) = self.hosts.get(&host) {
                frame.get_mut(address..address + 4)?.copy_from_slice(&new.octets());
            }
        }
        frame.get_mut(at + 10..at + 12)?.fill(0);
        let words =
            frame.get(at..at + length)?.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
        let sum: u32 = words.sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let checksum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        frame.get_mut(at + 10..at + 12)?.copy_from_slice(&checksum.to_be_bytes());
        let is_error = protocol == 1 && matches!(frame.get(at + length)?, 3 | 4 | 5 | 11 | 12);
        if is_error && frame.len() >= at + length + 8 + 20 {
            self.packet(frame, at + length + 8)
        } else {
            Some(())
        }
    }

    fn frame(&self, frame: &mut [u8]) {
        match frame.get(12..14) {
            Some([8, 0]) => drop(self.packet(frame, 14)),
            Some([8, 6]) => {
                for at in [28, 38] {
                    let Some(octets) =
                        frame.get(at..at + 4).and_then(|octets| <[u8; 4]>::try_from(octets).ok())
                    else {
                        continue;
                    };
                    if let Some((new, place)) =
                        self.hosts.get(&Ipv4Addr::from(octets)).zip(frame.get_mut(at..at + 4))
                    {
                        place.copy_from_slice(&new.octets());
                    }
                }
            }
            _ => {}
        }
    }
}

/// Where the symptom's capture has to go for the two findings to meet like this.
fn meeting(meet: Meet, cause: &Finding, symptom: &Finding) -> Option<Move> {
    let address = |text: &str| text.parse::<Ipv4Addr>().ok();
    let v4 = |address: IpAddr| match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    let (here, there) = (servers(cause), servers(symptom));
    let server = || address(here.first()?);
    let clients = |finding: &Finding| {
        finding.scope.clients.sample.iter().filter_map(|client| v4(*client)).collect::<Vec<_>>()
    };
    let own: Vec<Ipv4Addr> = there.iter().filter_map(|text| address(text)).collect();
    let to = |hosts: Vec<Ipv4Addr>, to: Ipv4Addr| hosts.into_iter().map(|host| (host, to)).collect();
    Some(match meet {
        Meet::Flows | Meet::Names => return None,
        Meet::Recording => Move::default(),
        Meet::Server | Meet::Host => Move { hosts: to(own, server()?), ports: BTreeMap::new() },
        Meet::Clients => {
            Move { hosts: to(clients(symptom), *clients(cause).first()?), ports: BTreeMap::new() }
        }
        Meet::Upstream => {
            let asks = clients(cause).into_iter().find(|client| !here.contains(&client.to_string()))?;
            Move { hosts: to(own, asks), ports: BTreeMap::new() }
        }
        Meet::Service => {
            let (from, place) = (
                endpoint(symptom.scope.servers.sample.first()?)?,
                endpoint(cause.scope.servers.sample.first()?)?,
            );
            let host = v4(from.address)?;
            Move {
                hosts: to(vec![host], v4(place.address)?),
                ports: BTreeMap::from([((host, from.port), place.port)]),
            }
        }
    })
}

/// Both captures as one, the symptom at the place and the time of the cause.
fn together(cause: (&Known, &Finding), symptom: (&Known, &Finding), by: &Move) -> Capture {
    let began = |finding: &Finding| {
        finding.first_seen.map_or(0, |Timestamp(nanos)| nanos / 1_000 - EPOCH as i64 * 1_000_000)
    };
    let late = began(cause.1) - began(symptom.1);
    let moved = symptom.0.capture.packets.iter().map(|packet| {
        let mut frame = packet.frame.clone();
        by.frame(&mut frame);
        (packet.micros as i64 + late.max(0), frame)
    });
    let stays = cause
        .0
        .capture
        .packets
        .iter()
        .map(|packet| (packet.micros as i64 - late.min(0), packet.frame.clone()));
    let packets = stays.chain(moved).map(|(micros, frame)| Packet { micros: micros as u64, frame });
    let mut capture = Capture { packets: packets.collect() };
    capture.sort();
    capture
}

/// Pairs of captures that are tried for an edge.
const TRIES: usize = 24;

/// Findings of a rule in the captures that can be moved, one of each variant and capture, the weightiest
/// first.
fn of_rule(known: &[Known], wanted: impl Fn(&Finding) -> bool) -> Vec<(&Known, &Finding)> {
    let mut found: Vec<(&Known, &Finding)> = Vec::new();
    for one in known.iter().filter(|one| !one.capture.packets.is_empty()) {
        for finding in one.findings.iter().filter(|finding| wanted(finding)) {
            let is_new = |(other, known): &(&Known, &Finding)| {
                other.name != one.name || known.variant != finding.variant
            };
            if found.iter().all(is_new) {
                found.push((one, finding));
            }
        }
    }
    found
}

/// The capture with a record header in the middle overwritten.
fn damaged(capture: &Capture) -> Vec<u8> {
    let mut file = capture.pcap();
    let half = capture.packets.iter().take(capture.packets.len() / 2);
    let before = 24 + half.map(|packet| 16 + packet.frame.len()).sum::<usize>();
    file[before..before + 16].fill(0xee);
    file
}

/// The captures that meet it, the symptom's moved to where the cause is.
fn moved(edge: Edge, sheet: &Explains, known: &[Known]) -> Option<String> {
    let (cause, symptom, meet) = edge;
    let causes = of_rule(known, |finding| {
        finding.detector == cause && (sheet.when.is_empty() || sheet.when.contains(&finding.variant))
    });
    let symptoms = of_rule(known, |finding| finding.detector == symptom);
    if cause == "capture_damaged" {
        return symptoms.iter().find_map(|(one, _)| {
            let found = met(&findings_of("pcap", &damaged(&one.capture)));
            found.contains(&edge).then(|| one.name.clone())
        });
    }
    // Of each symptom the first few causes: what one scene does not show, another does.
    let pairs =
        causes.iter().take(4).flat_map(|cause| symptoms.iter().map(move |symptom| (*cause, *symptom)));
    pairs
        .filter(|(cause, symptom)| cause.0.name != symptom.0.name)
        .filter_map(|(cause, symptom)| Some((cause, symptom, meeting(meet, cause.1, symptom.1)?)))
        .take(TRIES)
        .find_map(|(cause, symptom, by)| {
            let both = findings_of("pcap", &together(cause, symptom, &by).pcap());
            met(&both).contains(&edge).then(|| format!("{} and {}", cause.0.name, symptom.0.name))
        })
}

/// Edges that none of these captures shows, and why they stay.
const KEPT: &[(Edge, &str)] = {
    const LEFT: &str =
        "the host was there and left; in the captures at hand it never was, or it still speaks";
    &[
        (("arp_unanswered", "echo_loss", Meet::Host), LEFT),
        (("arp_unanswered", "retransmission", Meet::Host), LEFT),
        (("arp_unanswered", "health_check", Meet::Host), LEFT),
    ]
};

#[test]
fn every_edge_is_met_by_captures() {
    let known = known();
    let mut seen: BTreeSet<Edge> = known.iter().flat_map(|one| met(&one.findings)).collect();
    let mut how: Vec<String> = Vec::new();
    for (scene, net) in combined::SCENES.into_iter().zip(200..) {
        let mut lab = Lab::new(Capture::default(), net);
        lab.background(20_000_000);
        scene(&mut lab);
        lab.capture.sort();
        let findings = findings_of("pcap", &lab.capture.pcap());
        let rules: Vec<String> = findings.iter().map(Finding::rule).collect();
        how.push(format!("{net}: {rules:?}"));
        seen.extend(met(&findings));
    }
    let alone = seen.len();
    let mut unmet = Vec::new();
    for (edge, sheet) in all() {
        if !seen.contains(&edge) {
            match moved(edge, sheet, &known) {
                Some(names) => {
                    how.push(format!("{edge:?}: {names}"));
                    seen.insert(edge);
                }
                None => unmet.push(edge),
            }
        }
    }
    let count = all().map(|(edge, _)| edge).collect::<BTreeSet<_>>().len();
    let met = format!("{count} edges, {alone} in one capture, {} moved", seen.len() - alone);
    let kept: Vec<Edge> = KEPT.iter().map(|(edge, _)| *edge).collect();
    assert_eq!(unmet, kept, "an edge that cannot happen, or was met meanwhile; {met}: {how:#?}");
}
