//! The first incident of every lab capture is the right one, also in a haystack of healthy traffic.
//!
//! `cargo test --test incidents -- --nocapture` prints the table.

#![allow(clippy::print_stdout)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use pcapsy::config::Config;
use pcapsy::correlate::{Difference, Failure, Incident, State, Tie};
use pcapsy::detect::{EXPLAINS, RULES, Severity};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use pcapsy::report::model::Report;
use support::capture::{Capture, Packet};
use support::dns::{A, NOERROR, query, response};
use support::frame::{Ip, ethernet};
use support::tcp::{ACK, CLIENT, SERVER, Talk};
use support::truth::{self, Truth, name};

struct NoRows;

impl Rows for NoRows {}

fn report(inputs: &[PathBuf]) -> Report {
    let run = Run { threads: 2, ..Run::default() };
    let outcome = local::analyze(inputs, &Config::default(), run, &mut NoRows, &|_| {}).expect("readable");
    Report::new(&outcome, &Config::default())
}

/// The rule at the root of an incident.
fn root<'r>(report: &'r Report, incident: &Incident) -> &'r str {
    report.finding(&incident.root).map_or("", |ranked| ranked.finding.detector)
}

fn exists(rule: &str) -> bool {
    RULES.iter().any(|known| known.name == rule)
}

/// The rule found it, and nobody lost enough for an incident.
fn says(report: &Report, rule: &str) -> bool {
    report.findings.iter().any(|ranked| ranked.finding.detector == rule)
}

/// What the first incident still gets wrong, and why.
const KNOWN: [(&str, &str); 1] = [(
    "two_points",
    "files recorded at the same time are read one after the other, so a copy is far from its original",
)];

#[test]
fn the_first_incident_of_a_lab_capture_is_what_was_done() {
    let (mut right, mut quiet, mut known) = (0, 0, 0);
    let (mut wrong, mut pending, mut small) = (Vec::new(), Vec::new(), Vec::new());
    let mut explained: BTreeSet<(String, &str)> = BTreeSet::new();
    println!("{:38} {:24} first incident", "capture", "expected");
    for path in truth::captures("lab/captures").iter().filter(|path| path.with_extension("toml").exists()) {
        let truth = Truth::beside(path);
        let report = report(&truth.inputs(path));
        let first = report.incidents.first().map(|cited| &cited.incident);
        let found = first.map_or("", |first| root(&report, first));
        let above_info = first.is_some_and(|first| first.severity > Severity::Info);
        for incident in report.incidents.iter().map(|cited| &cited.incident) {
            let symptoms = incident.links.iter().filter(|link| link.tie == Tie::Symptom);
            explained.extend(symptoms.map(|link| (root(&report, incident).to_owned(), link.detector)));
        }
        let expected = truth.incident.as_deref().unwrap_or("");
        let others: Vec<&str> =
            report.incidents.iter().skip(1).map(|cited| root(&report, &cited.incident)).collect();
        println!("{:38} {expected:24} {found} {others:?}", name(path));
        match truth.incident.as_deref() {
            Some(rule) if !exists(rule) => pending.push(format!("{}: {rule}", name(path))),
            Some(rule) if rule == found => right += 1,
            Some(_) | None if KNOWN.iter().any(|(capture, _)| *capture == name(path)) => known += 1,
            Some(rule) if !above_info && says(&report, rule) => small.push(name(path)),
            Some(rule) => wrong.push(format!("{}: {found:?} instead of {rule}", name(path))),
            // Nothing was done, or nothing that harms.
            None if !above_info => quiet += 1,
            None => wrong.push(format!("{}: {found} where nothing is expected", name(path))),
        }
    }
    let edges = EXPLAINS.iter().flat_map(|(_, edges)| *edges).map(|edge| edge.symptoms.len()).sum::<usize>();
    println!("of {edges} edges between rules the lab shows {}: {explained:?}", explained.len());
    println!("information only: {small:?}");
    println!("{right} right, {quiet} rightly quiet, {known} known, wrong: {wrong:#?}, pending: {pending:#?}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(known, KNOWN.len(), "no longer wrong: take it off the list");
}

#[test]
fn services_are_counted_as_they_fared() {
    let refused = report(&[lab("proxy_502")]);
    let service = refused.services.first().expect("the one with failures");
    assert_eq!((service.port, service.attempts, service.failed), (9002, 5, 5), "{service:#?}");
    assert_eq!(service.failures.get(&Failure::Refused), Some(&5));
    let contrast = &refused.incidents[0].incident.contrast;
    assert_eq!((contrast[0].difference, contrast[0].failed), (Difference::Siblings, 0), "{contrast:#?}");
    let late = report(&[lab("proxy_504")]);
    let gateway = late.services.iter().find(|service| service.port == 8000).expect("the proxy");
    assert_eq!((gateway.requests, gateway.requests_failed, gateway.failed), (4, 4, 0), "{gateway:#?}");
    let expired = report(&[lab("tls_expired_leaf")]);
    let failed = expired.services.iter().map(|service| service.handshakes_failed).sum::<u64>();
    assert_eq!(failed, expired.incidents[0].incident.blast_radius.failed, "{:#?}", expired.services);
    let healthy = report(&[lab("healthy_mix")]);
    assert!(healthy.services.iter().all(|service| service.failed == 0), "{:#?}", healthy.services);
    let lookups = healthy.services.iter().filter(|service| service.protocol == "dns");
    assert_eq!(lookups.map(|service| service.attempts).sum::<u64>(), 17);
    let states: Vec<State> = healthy.layers.iter().map(|layer| layer.state).collect();
    assert!(states.iter().all(|state| *state == State::Ok), "{states:?}");
}

/// A packet of a capture file: time in microseconds, and its bytes.
type Recorded = (u64, Vec<u8>);

/// The packets of a classic pcap file in microseconds, little-endian, Ethernet, as the lab writes them. Times
/// count from the first packet.
fn packets(path: &Path) -> Vec<Recorded> {
    let bytes = fs::read(path).expect("a capture");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let scale = match word(0) {
        0xa1b2_c3d4 => 1,
        0xa1b2_3c4d => 1_000,
        other => panic!("{}: magic {other:x}", path.display()),
    };
    assert_eq!(word(20), 1, "{}: no Ethernet", path.display());
    let (mut at, mut packets, mut first) = (24, Vec::new(), None);
    while at + 16 <= bytes.len() {
        let time = u64::from(word(at)) * 1_000_000 + u64::from(word(at + 4) / scale);
        let length = word(at + 8) as usize;
        let since = time - *first.get_or_insert(time);
        packets.push((since, bytes[at + 16..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    packets
}

/// The same conversation between other hosts: `by` is added to the second octet of IPv4 addresses.
fn moved(packets: &[Recorded], by: u8, late: u64) -> Vec<Recorded> {
    let shift = |(time, frame): &Recorded| {
        let mut frame = frame.clone();
        if frame.len() > 34 && frame[12..14] == [8, 0] {
            for address in [26, 30] {
                frame[address + 1] = frame[address + 1].wrapping_add(by);
            }
        }
        (time + late, frame)
    };
    // What is not IPv4 would be the same conversation again.
    packets.iter().filter(|(_, frame)| frame.get(12..14) == Some(&[8, 0][..])).map(shift).collect()
}

const HEALTHY: [&str; 4] = ["healthy_mix", "healthy_restart", "tls_closed_well", "resets_benign"];

fn lab(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures").join(format!("{name}.pcap"))
}

/// Healthy traffic of many services, and one incident in the middle of it.
fn haystack(needle: &str, copies: u8) -> Report {
    let mut all: Vec<Recorded> = Vec::new();
    for (number, healthy) in (0u64..).zip(HEALTHY) {
        let packets = packets(&lab(healthy));
        for copy in 1..=copies {
            all.extend(moved(&packets, copy * 5, u64::from(copy) * 400_000 + number * 77_000));
        }
    }
    all.extend(packets(&lab(needle)).into_iter().map(|(time, frame)| (time + 3_000_000, frame)));
    all.sort_by_key(|(time, _)| *time);
    let capture =
        Capture { packets: all.into_iter().map(|(micros, frame)| Packet { micros, frame }).collect() };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("haystack.pcap");
    fs::write(&path, capture.pcap()).expect("written");
    report(&[path])
}

#[test]
fn an_incident_is_found_in_a_haystack_and_nothing_else() {
    for (needle, rule) in [
        ("mtu_silent_upload", "mtu_blackhole"),
        ("dns_servfail_upstream", "dns_servfail"),
        ("syn_dropped", "missing_syn_ack"),
        ("server_rebooted", "rst_storm"),
    ] {
        let report = haystack(needle, 12);
        let roots: Vec<&str> = report.incidents.iter().map(|cited| root(&report, &cited.incident)).collect();
        let first = &report.incidents.first().expect("the needle").incident;
        println!("{needle}: {} services, {}", report.services.len(), first.title);
        assert_eq!(roots, [rule], "{needle}: {:#?}", report.incidents);
        assert!(first.severity > Severity::Info && !first.story.is_empty());
        assert!(!first.contrast.is_empty(), "{needle}: nothing sets it apart");
    }
}

/// So many conversations, five milliseconds apart: three lookups, then two connections that came of them, at
/// 240 services, by 300 clients. Everything succeeds.
fn healthy(flows: u32) -> Capture {
    const PORTS: [u16; 6] = [80, 8080, 5432, 6379, 9092, 3306];
    const SERVICES: u32 = 240;
    let mut capture = Capture::default();
    for flow in 0..flows {
        let (now, client, service) = (u64::from(flow) * 5_000, flow * 7 % 300, flow / 5 * 7 % SERVICES);
        let client = IpAddr::from([10, 9, (client / 200) as u8, (client % 200) as u8 + 20]);
        let host = [10, 20, (service / 40) as u8, (service % 40) as u8 + 10];
        let port = 20_000 + (flow % 40_000) as u16;
        if flow % 5 < 3 {
            let resolver = IpAddr::from([10, 53, 0, (flow % 4) as u8 + 1]);
            let (name, id) = (format!("service-{service}.example"), flow.wrapping_mul(40_503) as u16);
            let ip = |source, destination, ttl| Ip { source, destination, ttl, id };
            let asked = ip(client, resolver, 64).udp(port, 53, &query(id, &name, A));
            let answer = response(id, &name, A, NOERROR, &[host]);
            let answered = ip(resolver, client, 62).udp(53, port, &answer);
            capture.record(now, ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], None, &asked));
            let later = now + 600 + u64::from(flow % 7) * 500;
            capture.record(later, ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], None, &answered));
            continue;
        }
        let server_port = PORTS[(service % 6) as usize];
        let delays = [100, 300 + u64::from(service % 9) * 700];
        let mut talk = Talk::new((client, port), (host.into(), server_port), now, delays);
        talk.handshake(&mut capture);
        let (asked, answer) = match server_port {
            80 | 8080 => {
                let body = "x".repeat(300 + (flow % 5) as usize * 150);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let asked = format!("GET /{flow} HTTP/1.1\r\nHost: service-{service}.example\r\n\r\n");
                (asked.into_bytes(), answer.into_bytes())
            }
            _ => (support::filler(flow, 120), support::filler(flow + 1, 700)),
        };
        talk.wait(150);
        talk.send(&mut capture, CLIENT, ACK, &asked);
        talk.turn(CLIENT).wait(2_000 + u64::from(flow % 13) * 400);
        talk.stream(&mut capture, SERVER, &answer);
        talk.close(&mut capture);
    }
    capture
}

/// Twenty thousand healthy conversations, and these captures of the lab among them, half a minute apart.
fn large_haystack(needles: &[&str]) -> Report {
    let mut capture = healthy(20_000);
    for (needle, late) in needles.iter().zip([20_000_000, 50_000_000]) {
        packets(&lab(needle)).into_iter().for_each(|(time, frame)| capture.record(time + late, frame));
    }
    capture.sort();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("haystack.pcap");
    fs::write(&path, capture.pcap()).expect("written");
    report(&[path])
}

#[test]
fn incidents_come_first_among_twenty_thousand_healthy_conversations() {
    for needles in [
        &[("mtu_silent_upload", "mtu_blackhole")][..],
        &[("proxy_504", "slow_server"), ("dns_servfail_upstream", "dns_servfail")],
    ] {
        let names: Vec<&str> = needles.iter().map(|(name, _)| *name).collect();
        let report = large_haystack(&names);
        let roots: BTreeSet<&str> =
            report.incidents.iter().map(|cited| root(&report, &cited.incident)).collect();
        let expected: BTreeSet<&str> = needles.iter().map(|(_, rule)| *rule).collect();
        println!("{names:?}: {roots:?}, {} services", report.services.len());
        let titles: Vec<&str> = report.incidents.iter().map(|cited| cited.incident.title.as_str()).collect();
        assert!(roots == expected && report.incidents.len() == needles.len(), "{names:?}: {titles:#?}");
        for cited in &report.incidents {
            let incident = &cited.incident;
            assert!(incident.severity > Severity::Info, "{}", incident.title);
            assert!(!incident.contrast.is_empty(), "{}: nothing sets it apart", incident.title);
            assert!(!incident.cleared.is_empty(), "{}: nothing is cleared", incident.title);
        }
    }
}
