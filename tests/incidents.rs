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
use pcapsy::correlate::{Difference, Failure, Incident, State, Tie, Where};
use pcapsy::detect::{EXPLAINS, RULES, Severity};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::{Outcome, Rows};
use pcapsy::report::model::Report;
use pcapsy::report::text::{self, View};
use support::capture::{Capture, Packet};
use support::dns::{A, NOERROR, query, response};
use support::frame::{Ip, ethernet};
use support::scenes::Lab;
use support::tcp::{ACK, CLIENT, SERVER, Talk};
use support::tls;
use support::truth::{self, Truth, name};

struct NoRows;

impl Rows for NoRows {}

fn outcome(inputs: &[PathBuf]) -> Outcome {
    let run = Run { threads: 2, ..Run::default() };
    local::analyze(inputs, &Config::default(), run, &mut NoRows, &|_| {}).expect("readable")
}

fn report(inputs: &[PathBuf]) -> Report {
    Report::new(&outcome(inputs), &Config::default())
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

fn lab(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures").join(format!("{name}.pcap"))
}

/// The file of these packets, analysed.
fn of_packets(packets: impl IntoIterator<Item = Recorded>) -> (Outcome, Report) {
    let packets = packets.into_iter().map(|(micros, frame)| Packet { micros, frame });
    let mut capture = Capture { packets: packets.collect() };
    capture.sort();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("capture.pcap");
    fs::write(&path, capture.pcap()).expect("written");
    let outcome = outcome(&[path]);
    let report = Report::new(&outcome, &Config::default());
    (outcome, report)
}

/// Captures of the lab by what their truth files expect of the first incident; pcap and Ethernet only.
fn by_truth(wanted: impl Fn(Option<&str>) -> bool) -> Vec<(String, Option<String>)> {
    let captures = truth::captures("lab/captures").into_iter();
    let with_truth = captures.filter(|path| path.with_extension("toml").exists());
    let read = with_truth.map(|path| (name(&path), path.clone(), Truth::beside(&path)));
    let fitting = read.filter(|(_, path, truth)| {
        let whole = truth.inputs(path).len() == 1 && path.extension().is_some_and(|ending| ending == "pcap");
        let bytes = fs::read(path).expect("a capture");
        let plain = [0xa1b2_c3d4u32, 0xa1b2_3c4d].iter().any(|magic| bytes.starts_with(&magic.to_le_bytes()));
        whole && plain && bytes.get(20..24) == Some(&[1, 0, 0, 0]) && wanted(truth.incident.as_deref())
    });
    fitting.map(|(name, _, truth)| (name, truth.incident)).collect()
}

/// Every healthy capture of the lab, again and again between other hosts, and these captures among them.
fn real_haystack(needles: &[&str], copies: u8) -> (Outcome, Report) {
    let mut all: Vec<Recorded> = Vec::new();
    let healthy = by_truth(|incident| incident.is_none());
    let healthy = healthy.into_iter().filter(|(name, _)| name.starts_with("healthy_"));
    for (number, (healthy, _)) in (0u64..).zip(healthy) {
        let packets = packets(&lab(&healthy));
        for copy in 1..=copies {
            all.extend(moved(&packets, copy * 5, u64::from(copy) * 1_400_000 + number * 77_000));
        }
    }
    for (needle, late) in needles.iter().zip([20_000_000, 45_000_000]) {
        all.extend(packets(&lab(needle)).into_iter().map(|(time, frame)| (time + late, frame)));
    }
    of_packets(all)
}

#[test]
fn two_incidents_are_found_in_a_haystack_of_real_traffic_and_nothing_else() {
    let needles = [("mtu_silent_upload", "mtu_blackhole"), ("server_rebooted", "rst_storm")];
    let (outcome, report) = real_haystack(&needles.map(|(name, _)| name), 50);
    let flows = outcome.flows.values().sum::<u64>();
    let titles: Vec<&str> = report.incidents.iter().map(|cited| cited.incident.title.as_str()).collect();
    println!(
        "{flows} flows, {} packets, {} services: {titles:#?}",
        outcome.totals.packets,
        report.services.len()
    );
    assert!(flows >= 20_000, "{flows}");
    let roots: BTreeSet<&str> = report.incidents.iter().map(|cited| root(&report, &cited.incident)).collect();
    assert_eq!(roots, needles.iter().map(|(_, rule)| *rule).collect::<BTreeSet<_>>(), "{titles:#?}");
    assert_eq!(report.incidents.len(), needles.len());
    for cited in &report.incidents {
        let incident = &cited.incident;
        assert!(incident.severity > Severity::Info && !incident.contrast.is_empty(), "{}", incident.title);
    }
}

#[test]
fn every_sick_capture_of_the_lab_in_one_is_still_a_list_of_what_was_done() {
    let sick = by_truth(|incident| incident.is_some());
    let all = sick.iter().zip(0u64..).flat_map(|((name, _), number)| {
        let late = number * 700_000;
        packets(&lab(name)).into_iter().map(move |(time, frame)| (time + late, frame))
    });
    let (outcome, report) = of_packets(all);
    let titles: Vec<String> = report
        .incidents
        .iter()
        .map(|cited| format!("{:?} {}", cited.incident.severity, cited.incident.title))
        .collect();
    println!(
        "{} captures, {} packets, {} services, {} findings, {} incidents, {} in none: {titles:#?}",
        sick.len(),
        outcome.totals.packets,
        report.services.len(),
        report.findings.len(),
        titles.len(),
        report.other.len()
    );
    let mut places: Vec<&str> = report.other.iter().map(String::as_str).collect();
    for cited in &report.incidents {
        places.push(&cited.incident.root);
        places.extend(cited.incident.symptoms.iter().map(String::as_str));
    }
    places.sort_unstable();
    let mut ids: Vec<&str> = report.findings.iter().map(|ranked| ranked.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(places, ids, "a finding has no place, or two");
    let said: BTreeSet<&str> = report.incidents.iter().map(|cited| root(&report, &cited.incident)).collect();
    let loud = |rule: &&str| {
        report
            .findings
            .iter()
            .any(|one| one.finding.detector == *rule && one.finding.severity > Severity::Info)
    };
    let expected: BTreeSet<&str> =
        sick.iter().filter_map(|(_, rule)| rule.as_deref()).filter(|rule| exists(rule)).collect();
    let missing: Vec<&&str> = expected.iter().filter(|rule| loud(rule) && !said.contains(*rule)).collect();
    assert!(missing.is_empty(), "{missing:?} is the root of nothing");
    let page = String::from_utf8(text::plain(&report, View::Screen(3), 100).expect("memory")).expect("text");
    assert!(page.lines().count() <= 38, "{page}");
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

/// What people look for in captures, the lab's capture of it, the rule that has to say so first, and words of
/// what it says.
const NAMED: [(&str, &str, &str, &str); 17] = [
    ("refused", "syn_refused", "connection_refused", "refuses every connection"),
    ("ICMP prohibited", "syn_rejected", "icmp_unreachable", "administratively prohibited"),
    ("zero window", "zero_window", "zero_window", "do not read"),
    ("slow server", "slow_server", "slow_server", "to answer"),
    ("504", "proxy_504", "slow_server", "504 (Gateway Timeout)"),
    ("blocked TCP/53", "dns_truncated_blocked", "dns_truncation", "TCP port 53 does not answer"),
    ("routing loop", "routing_loop", "routing_loop", "go round"),
    ("reordering", "reordering", "reordering", "overtake one another"),
    ("ARP", "host_down_arp", "arp_unanswered", "Nobody answers to the address"),
    ("injected RST", "rst_injected", "rst_injection", "in the name of the server by another host"),
    ("idle time-out", "firewall_forgets_rst", "idle_timeout", "reset on their next packet"),
    ("silent idle time-out", "firewall_forgets_silent", "idle_timeout", "no longer answers"),
    ("duplicate address", "duplicate_ip", "duplicate_ip", "Two hosts have the address"),
    ("CLOSE_WAIT", "close_wait_leak", "half_close_leak", "does not close"),
    ("latency step", "rtt_step", "latency_shift", "instead of"),
    ("spoofed answers", "dns_conflict", "dns_conflict", "two answers"),
    ("port reuse", "snat_port_reuse", "port_reuse", "on the same ports"),
];

#[test]
fn what_people_look_for_is_named_first() {
    let mut wrong = Vec::new();
    for (what, capture, rule, words) in NAMED {
        let report = report(&[lab(capture)]);
        // Where nobody lost enough for an incident, the weightiest finding is what is said first.
        let (first, said) = match report.incidents.first() {
            Some(cited) => {
                (root(&report, &cited.incident), format!("{} {}", cited.incident.title, cited.incident.story))
            }
            None => match report.findings.first() {
                Some(ranked) => {
                    (ranked.finding.detector, format!("{} {}", ranked.finding.title, ranked.finding.summary))
                }
                None => ("nothing", String::new()),
            },
        };
        if first != rule || !said.contains(words) {
            wrong.push(format!("{what}: {first}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_healthy_is_accused() {
    for (capture, _) in by_truth(|incident| incident.is_none()) {
        let report = report(&[lab(&capture)]);
        let loud: Vec<&str> = report
            .incidents
            .iter()
            .filter(|cited| {
                cited.incident.severity > Severity::Info && cited.incident.place != Where::Capture
            })
            .map(|cited| cited.incident.title.as_str())
            .collect();
        assert!(loud.is_empty(), "{capture}: {loud:?}");
    }
}

/// A client group whose resolver answers twice, the wrong address first, and the host there with a
/// certificate of other names.
fn poisoned() -> Vec<Recorded> {
    let mut lab = Lab::new(Capture::default(), 200);
    lab.background(12_000_000);
    let name = "dispatch.internal.example";
    for number in 0..6u64 {
        let at = 500_000 + number * 900_000;
        let client = (lab.client(20 + number as u8), lab.next_port());
        let (resolver, id) = ((lab.resolver(), 53), client.1.wrapping_mul(40_503));
        lab.udp(at, client, resolver, &query(id, name, A));
        lab.udp(at + 900, resolver, client, &response(id, name, A, NOERROR, &[[10, 99, 88, 77]]));
        lab.udp(at + 14_000, resolver, client, &response(id, name, A, NOERROR, &[[10, 200, 2, 60]]));
        let ports = (lab.next_port(), 443);
        let mut talk =
            Talk::new((client.0, ports.0), ([10, 99, 88, 77].into(), ports.1), at + 20_000, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        tls::hello(&mut talk, &mut lab.capture, name, false);
        let flight =
            [tls::server_hello(false, 3), tls::server_certificate(&[tls::LEAF, tls::INTERMEDIATE], 3)];
        talk.stream(&mut lab.capture, SERVER, &flight.concat());
        talk.wait(1_100);
        const BAD_CERTIFICATE: u8 = 42;
        talk.send(&mut lab.capture, CLIENT, ACK, &tls::alert(tls::FATAL, BAD_CERTIFICATE));
        talk.close(&mut lab.capture);
    }
    lab.capture.packets.into_iter().map(|packet| (packet.micros, packet.frame)).collect()
}

/// An incident of a network operator's year: its capture, the rule at its root, where to look, what is
/// cleared, and words of what is said.
type Told = (&'static str, &'static str, Where, &'static [&'static str], &'static [&'static str]);

const TEN: [Told; 10] = [
    (
        "tls_expired_intermediate",
        "tls_certificate",
        Where::Server,
        &["connect", "dns"],
        &["intermediate certificate that expired on", "certificate_expired"],
    ),
    (
        "mtu_silent_upload",
        "mtu_blackhole",
        Where::Network,
        &["dns"],
        &["Datagrams of 1500 bytes", "never arrive"],
    ),
    ("poisoned", "dns_conflict", Where::Resolver, &[], &["dispatch.internal.example", "10.99.88.77"]),
    ("http_moved", "http_error", Where::Server, &["connect", "loss", "round_trip"], &["instead of", "4xx"]),
    (
        "health_checks_blocked",
        "health_check",
        Where::Network,
        &["round_trip"],
        &["Probes of", "other client of the same service"],
    ),
    (
        "rtt_step",
        "latency_shift",
        Where::Network,
        &["connect", "server"],
        &["Round trips to", "a round trip took"],
    ),
    (
        "syn_flood",
        "syn_flood",
        Where::Client,
        &["dns"],
        &["whose senders never go on", "only after a repeat"],
    ),
    (
        "dns_servfail_upstream",
        "dns_servfail",
        Where::Resolver,
        &["dns"],
        &["answers SERVFAIL", "It explains"],
    ),
    (
        "proxy_504",
        "slow_server",
        Where::Server,
        &["loss", "round_trip"],
        &["answers 4 of 4 requests after", "504 (Gateway Timeout)"],
    ),
    (
        "asymmetric_state",
        "asymmetric_flow",
        Where::Middlebox,
        &["dns"],
        &["acknowledges nothing", "other server of the same kind"],
    ),
];

#[test]
fn ten_incidents_are_told_from_their_cause_to_what_works() {
    let mut wrong = Vec::new();
    for (capture, rule, place, cleared, words) in TEN {
        let (report, name) = match capture {
            "poisoned" => (of_packets(poisoned()).1, capture),
            name => (report(&[lab(name)]), name),
        };
        let Some(first) = report.incidents.first().map(|cited| &cited.incident) else {
            wrong.push(format!("{name}: no incident"));
            continue;
        };
        let told = format!("{}. {}", first.title, first.story);
        let known: BTreeSet<&str> = first.cleared.iter().map(|cleared| cleared.what).collect();
        let found = root(&report, first);
        let complete =
            words.iter().all(|words| told.contains(words)) && cleared.iter().all(|what| known.contains(what));
        let apart = first.contrast.is_empty();
        if found != rule || first.place != place || !complete || apart {
            wrong.push(format!("{name}: {found} {:?} {known:?} {told} {:#?}", first.place, first.contrast));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Sentences of a text: a full stop ends one where a capital or a digit follows.
fn sentences(text: &str) -> Vec<&str> {
    let ends = text.match_indices(". ").map(|(at, _)| at + 2);
    let ends =
        ends.filter(|at| text[*at..].starts_with(|next: char| next.is_uppercase() || next.is_ascii_digit()));
    let ends: Vec<usize> = std::iter::once(0).chain(ends).chain([text.len()]).collect();
    ends.windows(2).map(|pair| text[pair[0]..pair[1]].trim()).collect()
}

#[test]
fn sentences_are_short() {
    const WORDS: usize = 20;
    let mut long = BTreeSet::new();
    for path in truth::captures("lab/captures").into_iter().chain(truth::captures("synthetic")) {
        let report = report(&[path]);
        for cited in &report.incidents {
            for sentence in
                sentences(&cited.incident.story).into_iter().chain([cited.incident.title.as_str()])
            {
                // What stands in brackets can be left out.
                let sentence = sentence.split_once(" (").map_or(sentence, |(head, _)| head);
                let is_word = |word: &&str| word.contains(char::is_alphanumeric);
                let words = sentence.split_whitespace().filter(is_word).count();
                if words > WORDS {
                    long.insert(format!("{words} {} {sentence}", root(&report, &cited.incident)));
                }
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}
