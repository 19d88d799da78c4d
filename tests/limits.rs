//! A limit that acts makes a report poorer, and says so. It invents nothing: healthy traffic under the
//! smallest limits gives no finding at warning or above.

#![allow(clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use pcapsy::app::dns::Transaction;
use pcapsy::config::{Config, Limits};
use pcapsy::detect::Severity;
use pcapsy::flow::{Flow, FlowHead};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::{Outcome, Rows};
use pcapsy::report::table::{FileIndex, FlowRow, Flows, column};
use pcapsy::report::value::Value;
use support::capture::{Capture, Packet};
use support::dns;
use support::filler;
use support::frame::{Ip, ethernet};
use support::tcp::{ACK, CLIENT, SERVER, SYN, Talk};
use support::tls;

/// How many flows were shown, and what the table of flows says of them.
#[derive(Default)]
struct Shown {
    flows: u64,
    continued: u64,
    /// Rows by `roles` and by `end`.
    words: BTreeMap<String, u64>,
}

impl Rows for Shown {
    fn flow(&mut self, flow: &Flow) {
        self.flows += 1;
        self.continued += u64::from(flow.continues);
        let files = FileIndex::default();
        let row = FlowRow { flow, files: &files };
        for name in ["roles", "end"] {
            let column = column::<Flows>(name).expect("a column");
            let Value::Text(word) = (column.value)(&row) else { panic!("no text") };
            *self.words.entry(word.into_owned()).or_default() += 1;
        }
    }

    fn transaction(&mut self, _: &Transaction, _: &FlowHead) {}
}

fn analyzed(mut capture: Capture, limits: Limits) -> (Outcome, Shown) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("healthy.pcap");
    capture.sort();
    fs::write(&path, capture.pcap()).expect("written");
    let (config, mut shown) = (Config { limits, ..Config::default() }, Shown::default());
    let outcome = local::analyze(&[path], &config, Run::default(), &mut shown, &|_| {}).expect("read");
    (outcome, shown)
}

/// The traffic has no finding at warning or above, neither without limits nor under these, of which the one
/// behind `setting` acts.
#[track_caller]
fn stays_healthy(capture: &Capture, setting: &str, limits: Limits) -> (Outcome, Shown) {
    for (limits, acts) in [(Limits::default(), false), (limits, true)] {
        let (outcome, shown) = analyzed(capture.clone(), limits);
        let findings = outcome.verdicts.iter().flat_map(|(_, verdict)| &verdict.findings);
        let wrong: Vec<_> = findings.filter(|finding| finding.severity > Severity::Info).collect();
        let wrong: Vec<_> = wrong.iter().map(|finding| (finding.detector, &finding.summary)).collect();
        assert!(wrong.is_empty(), "{setting} acts: {acts}, {:?}, {wrong:#?}", outcome.capped);
        let acted = outcome.capped.iter().any(|capped| capped.setting == setting);
        assert_eq!(acted, acts, "{setting}: {:?}", outcome.capped);
        if acts {
            return (outcome, shown);
        }
    }
    unreachable!("the second one acts")
}

fn host(network: u8, number: u32) -> IpAddr {
    Ipv4Addr::new(10, network, (number >> 8) as u8, number as u8).into()
}

/// Connection `number` to one of four servers, begun so many microseconds in.
fn connection(number: u32, begin: u64) -> Talk {
    let client = (host(1, number / 8), 40_000 + (number % 8) as u16);
    Talk::new(client, (host(2, number % 4), 443), begin, [30, 9_000])
}

/// A SYN that is answered after two seconds.
fn slow_handshake(talk: &mut Talk, capture: &mut Capture) {
    talk.send(capture, CLIENT, SYN, b"");
    talk.wait(2_000_000);
    talk.send(capture, SERVER, SYN | ACK, b"");
    talk.turn(SERVER);
    talk.ack(capture, CLIENT, &[]);
}

#[test]
fn many_connections_at_a_time_under_little_memory() {
    const CONNECTIONS: u32 = 3_000;
    let mut capture = Capture::default();
    for number in 0..CONNECTIONS {
        let mut talk = connection(number, u64::from(number) * 700);
        slow_handshake(&mut talk, &mut capture);
        for _ in 0..3 {
            talk.exchange(&mut capture, &filler(number, 300), 2_000);
            talk.wait(300_000);
        }
        talk.close(&mut capture);
    }
    let (outcome, shown) =
        stays_healthy(&capture, "limits.memory_mib", Limits { memory_mib: 4, ..Limits::default() });
    let connections = outcome.flows[&6];
    assert_eq!(connections, u64::from(CONNECTIONS), "those that go on are counted where they began");
    assert_eq!(shown.flows, connections + shown.continued);
    assert!(shown.continued > 0);
    assert_eq!(shown.words["continued"], shown.continued);
    let evicted = outcome.capped.iter().find(|capped| capped.what == "flows closed for their memory");
    assert_eq!(Some(shown.words["evicted"]), evicted.map(|capped| capped.count));
    for (rule, verdict) in &outcome.verdicts {
        let left_out = verdict.not_assessed.iter().find(|why| why.reason.starts_with("a limit cut"));
        let judges_flows = matches!(rule.judges, "flows" | "handshakes");
        assert_eq!(left_out.is_some_and(|why| why.count > 0), judges_flows, "{}", rule.name);
    }
}

#[test]
fn many_lookups_at_a_time_under_little_memory() {
    let mut capture = Capture::default();
    let resolver = host(3, 53);
    for number in 0..4_000u32 {
        let (client, id) = ((host(1, number / 8), 50_000 + (number % 8) as u16), number as u16);
        let name = format!("www{number}.shop.example");
        let begin = u64::from(number) * 100;
        let (query, response) =
            (dns::query(id, &name, dns::A), dns::response(id, &name, dns::A, dns::NOERROR, &[[10, 2, 0, 1]]));
        for at in [begin, begin + 200_000] {
            capture.record(at, datagram(client, (resolver, 53), &query));
        }
        capture.record(begin + 400_000, datagram((resolver, 53), client, &response));
    }
    goes_on(&mut capture);
    stays_healthy(&capture, "limits.memory_mib", Limits { memory_mib: 4, ..Limits::default() });
}

fn datagram(from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let ip = Ip { source: from.0, destination: to.0, ttl: 63, id: from.1 ^ to.1 };
    ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], None, &ip.udp(from.1, to.1, payload))
}

#[test]
fn few_classified_segments() {
    let mut capture = Capture::default();
    for number in 0..40 {
        let mut talk = connection(number, u64::from(number) * 7_000);
        talk.handshake(&mut capture);
        tls::handshake12(&mut talk, &mut capture, "www.shop.example");
        for _ in 0..3 {
            tls::exchange(&mut talk, &mut capture, 30_000);
        }
        tls::close(&mut talk, &mut capture, false);
    }
    overtake(&mut capture);
    for events_per_flow in [0, 1] {
        let limits = Limits { events_per_flow, ..Limits::default() };
        stays_healthy(&capture, "limits.events_per_flow", limits);
    }
}

/// Large packets of one direction that follow each other change places.
fn overtake(capture: &mut Capture) {
    capture.sort();
    let large = |packet: &Packet| packet.frame.len() > 1_000;
    let ends = |packet: &Packet| packet.frame[26..38].to_vec();
    let mut at = 1;
    while at < capture.packets.len() {
        let [before, behind] = [&capture.packets[at - 1], &capture.packets[at]];
        if large(before) && large(behind) && ends(before) == ends(behind) {
            let micros = [before.micros, behind.micros];
            capture.packets.swap(at - 1, at);
            (capture.packets[at - 1].micros, capture.packets[at].micros) = (micros[0], micros[1]);
            at += 1;
        }
        at += 1;
    }
}

/// A lookup half a minute later: the capture goes on.
fn goes_on(capture: &mut Capture) {
    let (client, resolver, name) = ((host(1, 1), 49_000), (host(3, 53), 53), "late.shop.example");
    let response = dns::response(9, name, dns::A, dns::NOERROR, &[[10, 2, 0, 1]]);
    capture.record(60_000_000, datagram(client, resolver, &dns::query(9, name, dns::A)));
    capture.record(60_001_000, datagram(resolver, client, &response));
}

#[test]
fn little_room_for_reassembly() {
    let mut capture = Capture::default();
    for number in 0..40 {
        let mut talk = connection(number, u64::from(number) * 7_000);
        talk.handshake(&mut capture);
        tls::handshake12(&mut talk, &mut capture, "www.shop.example");
        tls::exchange(&mut talk, &mut capture, 30_000);
        tls::close(&mut talk, &mut capture, false);
        // Lookups over TCP whose answers take several segments.
        let client = (host(1, number), 50_000 + number as u16);
        let mut talk = Talk::new(client, (host(3, 53), 53), u64::from(number) * 7_000, [30, 9_000]);
        talk.handshake(&mut capture);
        for id in 0..3u16 {
            let name = format!("www{number}.shop.example");
            let response = dns::response(id, &name, dns::A, dns::NOERROR, &[[10, 2, 0, 1]; 600]);
            let prefixed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
            talk.send(&mut capture, CLIENT, ACK, &prefixed(&dns::query(id, &name, dns::A)));
            talk.turn(CLIENT);
            talk.stream(&mut capture, SERVER, &prefixed(&response));
            talk.wait(50_000);
        }
        talk.close(&mut capture);
    }
    overtake(&mut capture);
    goes_on(&mut capture);
    stays_healthy(&capture, "limits.reassembly_kib", Limits { reassembly_kib: 1, ..Limits::default() });
}

/// More clients, servers and names than the tables of the detectors keep in so little memory.
#[test]
fn little_room_for_what_detectors_remember() {
    let mut capture = Capture::default();
    for number in 0..2_500u32 {
        let begin = u64::from(number) * 40_000;
        let (client, resolver, server) = (host(1, number), (host(3, number % 4), 53), host(2, number));
        let (name, id, IpAddr::V4(address)) = (format!("www{number}.shop.example"), number as u16, server)
        else {
            unreachable!("of version 4")
        };
        let response = dns::response(id, &name, dns::A, dns::NOERROR, &[address.octets()]);
        capture.record(begin, datagram((client, 50_000), resolver, &dns::query(id, &name, dns::A)));
        capture.record(begin + 9_000, datagram(resolver, (client, 50_000), &response));
        let mut talk = Talk::new((client, 40_000), (server, 443), begin + 12_000, [30, 9_000]);
        talk.handshake(&mut capture);
        tls::handshake13(&mut talk, &mut capture, &name);
        tls::exchange(&mut talk, &mut capture, 3_000);
        tls::close(&mut talk, &mut capture, true);
    }
    goes_on(&mut capture);
    let (outcome, _) =
        stays_healthy(&capture, "limits.memory_mib", Limits { memory_mib: 4, ..Limits::default() });
    let not_assessed = outcome.verdicts.iter().flat_map(|(_, verdict)| &verdict.not_assessed);
    let mut full = not_assessed.filter(|why| why.reason.contains("than are kept apart"));
    assert!(full.next().is_some(), "no table was full");
}

#[test]
fn few_numbered_streams() {
    let mut capture = Capture::default();
    for number in 0..500 {
        let mut talk = connection(number, u64::from(number) * 700);
        slow_handshake(&mut talk, &mut capture);
        talk.exchange(&mut capture, b"GET / HTTP/1.1\r\n\r\n", 2_000);
        talk.close(&mut capture);
    }
    stays_healthy(&capture, "limits.streams", Limits { streams: 0, ..Limits::default() });
    let limits = Limits { streams: 10, memory_mib: 2, ..Limits::default() };
    stays_healthy(&capture, "limits.memory_mib", limits);
}

#[test]
fn more_lookups_of_a_socket_than_are_kept() {
    let mut capture = Capture::default();
    let (client, resolver) = ((host(1, 1), 50_000), (host(3, 53), 53));
    for id in 0..3_000u16 {
        let name = format!("www{id}.shop.example");
        let begin = u64::from(id) * 100;
        capture.record(begin, datagram(client, resolver, &dns::query(id, &name, dns::A)));
        let response = dns::response(id, &name, dns::A, dns::NOERROR, &[[10, 2, 0, 1]]);
        capture.record(begin + 400_000, datagram(resolver, client, &response));
    }
    goes_on(&mut capture);
    let (outcome, _) = analyzed(capture, Limits::default());
    let findings = outcome.verdicts.iter().flat_map(|(_, verdict)| &verdict.findings);
    let wrong: Vec<_> = findings.filter(|finding| finding.severity > Severity::Info).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(outcome.capped.iter().any(|capped| capped.setting == "built-in table"), "{:?}", outcome.capped);
}

/// The IPv4 packet in fragments of at most `size` octets of payload, a multiple of eight.
fn fragments(packet: &[u8], id: u16, size: usize) -> Vec<Vec<u8>> {
    let (header, payload) = packet.split_at(20);
    let mut pieces = Vec::new();
    for (index, piece) in payload.chunks(size).enumerate() {
        let more = (index + 1) * size < payload.len();
        let offset = (index * size / 8) as u16 | u16::from(more) << 13;
        let mut fragment = [header, piece].concat();
        fragment[2..4].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
        fragment[4..6].copy_from_slice(&id.to_be_bytes());
        fragment[6..8].copy_from_slice(&offset.to_be_bytes());
        pieces.push(fragment);
    }
    pieces
}

#[test]
fn little_room_for_fragments() {
    let mut capture = Capture::default();
    let resolver = (host(3, 53), 53);
    for number in 0..1_500u32 {
        let client = (host(1, number), 50_000 + number as u16);
        let (name, begin) = (format!("www{number}.shop.example"), u64::from(number) * 50);
        let id = number as u16;
        capture.record(begin, datagram(client, resolver, &dns::query(id, &name, dns::A)));
        let response = dns::response(id, &name, dns::A, dns::NOERROR, &[[10, 2, 0, 1]; 150]);
        let ip = Ip { source: resolver.0, destination: client.0, ttl: 63, id };
        let packet = ip.udp(53, client.1, &response);
        // The last fragment takes longer than the others.
        let pieces = fragments(&packet, id, 1_480);
        assert_eq!(pieces.len(), 2);
        for (piece, late) in pieces.iter().zip([2_000, 150_000]) {
            let frame = ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], None, piece);
            capture.record(begin + late, frame);
        }
    }
    goes_on(&mut capture);
    stays_healthy(&capture, "limits.fragments_mib", Limits { fragments_mib: 1, ..Limits::default() });
}

/// A header in front of `payload`, again and again.
fn wrapped(payload: Vec<u8>, times: usize, header: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    (0..times).fold(payload, |inner, _| [header(&inner), inner].concat())
}

#[test]
fn layers_without_end_are_not_clean() {
    let ip = Ip { source: host(1, 1), destination: host(2, 1), ttl: 64, id: 1 };
    let packet = ip.udp(40_000, 9_999, b"hello");
    let frame = |kind: u16, packet: &[u8]| [&[2; 12][..], &kind.to_be_bytes(), packet].concat();
    let gre = |inner: &[u8]| {
        let length = (24 + inner.len() as u16).to_be_bytes();
        let mut header = vec![0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, 47, 0, 0];
        header.extend([10, 1, 0, 1, 10, 2, 0, 1, 0, 0, 8, 0]);
        header
    };
    let options = wrapped([[59, 0, 1, 4, 0, 0, 0, 0]].concat(), 1_000, |_| vec![60, 0, 1, 4, 0, 0, 0, 0]);
    let mut extended = vec![0x60, 0, 0, 0];
    extended.extend((options.len() as u16).to_be_bytes());
    extended.extend([60, 64]);
    extended.extend([[0xfd; 16], [0xfc; 16]].concat());
    extended.extend(options);
    let endless = [
        ("GRE", frame(0x0800, &wrapped(packet.clone(), 200, gre))),
        (
            "VLAN",
            frame(0x8100, &wrapped([&[0, 7, 8, 0], &packet[..]].concat(), 999, |_| vec![0, 7, 0x81, 0])),
        ),
        (
            "MPLS",
            frame(0x8847, &wrapped([&[0, 1, 1, 64], &packet[..]].concat(), 1_000, |_| vec![0, 1, 0, 64])),
        ),
        ("IPv6 extension headers", frame(0x86dd, &extended)),
    ];
    for (layer, frame) in endless {
        let mut capture = Capture::default();
        for index in 0..3 {
            capture.record(index * 1_000, frame.clone());
        }
        let outcome = analyzed(capture, Limits::default()).0;
        let nested = outcome.capped.iter().find(|capped| capped.what.contains("nested layers"));
        assert_eq!(nested.map(|capped| capped.count), Some(3), "{layer}: {:?}", outcome.totals.stops);
    }
}

/// How long a capture takes, from its file to the verdicts.
#[allow(clippy::disallowed_methods)]
fn takes(capture: Capture) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("adversary.pcap");
    fs::write(&path, capture.pcap()).expect("written");
    let began = Instant::now();
    let run = Run { threads: 1, sha256: false };
    local::analyze(&[path], &Config::default(), run, &mut Shown::default(), &|_| {}).expect("read");
    began.elapsed()
}

/// Eight times the packets of one flow take eight times as long, and not 64 times.
#[test]
fn a_packet_costs_the_same_however_many_came_before() {
    const PACKETS: u32 = 5_000;
    /// Other work of the machine may slow one of the two runs: far from the eight of a square.
    const FACTOR: u32 = 3;
    let mut grown = Vec::new();
    for (name, make) in support::adversary::ALL {
        let mut times = Vec::new();
        let flat = (0..3).any(|_| {
            let (few, many) = (takes(make(PACKETS)), takes(make(8 * PACKETS)));
            times.push((few, many));
            many <= 8 * few * FACTOR
        });
        println!("{name}: {times:?}");
        if !flat {
            grown.push((name, times));
        }
    }
    assert!(grown.is_empty(), "{PACKETS} and eight times as many packets: {grown:#?}");
}

/// The captures of the adversaries, for a program that is built for speed:
/// `PCAPSY_ADVERSARIES=FOLDER cargo test --test limits -- --ignored`, then `benches/adversaries`. All of them
/// take 10 GB; `PCAPSY_ADVERSARY=WORDS` writes those that have the words in their name.
#[test]
#[ignore = "writes files"]
fn adversaries_are_written() {
    let Some(folder) = std::env::var_os("PCAPSY_ADVERSARIES") else { return };
    let (folder, words) = (std::path::Path::new(&folder), std::env::var("PCAPSY_ADVERSARY"));
    let words = words.unwrap_or_default();
    for (name, make) in support::adversary::ALL.iter().filter(|(name, _)| name.contains(&words)) {
        for packets in [10_000, 100_000, 1_000_000] {
            let path = folder.join(format!("{}-{packets}.pcap", name.replace(['/', ' '], "_")));
            fs::write(path, make(packets).pcap()).expect("written");
        }
    }
}
