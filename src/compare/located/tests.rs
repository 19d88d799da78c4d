//! Incidents are placed where their packets went missing, and nowhere else.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::*;
use crate::compare::tests::{Traffic, hop};
use crate::compare::{Comparison, Point, write};
use crate::config::Config;
use crate::support::capture::Capture;
use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Talk};

fn located(inputs: &[PathBuf]) -> Comparison {
    let config = Config::default();
    let limits = config.capture_limits();
    let points = Point::of(inputs, &limits).expect("points");
    let mut losses = Losses::default();
    let compared = Comparison::new(points, &limits, &mut |event| losses.add(event), &|_| {});
    let mut compared = compared.expect("readable");
    compared.locate(&losses, inputs, &[], &config, &|_| {}).expect("readable");
    compared
}

/// Of these captures, called a, b and c.
fn between(captures: &[Capture]) -> Comparison {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |(capture, name): (&Capture, &str)| {
        let path = folder.path().join(name);
        std::fs::write(&path, capture.pcap()).expect("written");
        path
    };
    let inputs: Vec<PathBuf> = captures.iter().zip(["a", "b", "c"]).map(write).collect();
    located(&inputs)
}

/// Every packet a little earlier or later, on the other side of `point`.
fn beyond(point: &Capture, micros: u64, is_first: bool) -> Capture {
    let mut further = Capture::default();
    for packet in &point.packets {
        let client = packet.frame[26..28] == [10, 0];
        // Nothing before the epoch.
        let at = packet.micros + 10_000;
        let at = if client == is_first { at - micros } else { at + micros };
        further.record(at, hop(&packet.frame, !is_first));
    }
    further.sort();
    further
}

/// From, to, fate and packets of every place of incidents whose root is of `rule`.
fn places(compared: &Comparison, rule: &str) -> Vec<(String, String, Fate, u64)> {
    let of_rule = compared.incidents.iter().filter(|located| located.rule.starts_with(rule));
    let all = of_rule.flat_map(|located| &located.places);
    all.map(|place| (place.from.clone(), place.to.clone(), place.fate, place.packets)).collect()
}

fn text(compared: &Comparison) -> String {
    let mut text = Vec::new();
    write(compared, false, 100, &mut text).expect("memory");
    let text = String::from_utf8(text).expect("text");
    anstream::adapter::strip_str(&text).to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn losses_are_placed_between_the_points_that_lost_them() {
    let traffic = Traffic::of(40, 8);
    let (forth, back) = traffic.losses();
    let [a, b] = traffic.points(hop);
    // A third point behind the lossy way, and one before it.
    for (points, from, to) in [
        ([a.clone(), b.clone(), beyond(&b, 3_000, false)], "a", "b"),
        ([beyond(&a, 3_000, true), a, b], "b", "c"),
    ] {
        let compared = between(&points);
        let titles: Vec<&str> = compared.incidents.iter().map(|located| located.title.as_str()).collect();
        let mut found: Vec<(String, String, Fate, u64)> = places(&compared, "");
        assert!(!found.is_empty(), "nothing placed: {titles:?}");
        found.sort();
        found.dedup();
        // Not more than was lost, not elsewhere, and all of it by somebody.
        for (one, other, fate, packets) in &found {
            assert!([(from, to), (to, from)].contains(&(one, other)), "{found:?}");
            let most = if one == from { forth } else { back };
            assert!(*fate == Fate::Lost && *packets <= most, "{found:?}");
        }
        for (one, other, lost) in [(from, to, forth), (to, from, back)] {
            let whole = (one.to_owned(), other.to_owned(), Fate::Lost, lost);
            assert!(found.contains(&whole), "{whole:?} not in {found:?}");
        }
        let text = text(&compared);
        let said = format!("{forth} packets left {from} and never reached {to}: frames ");
        assert!(text.contains(&said) && text.contains("of 8 flows"), "{text}");
    }
}

#[test]
fn a_synack_that_never_came_is_placed_by_both_sides() {
    let mut traffic = Traffic::of(20, 0);
    let server = (IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)), 8_443);
    for number in 0..6u16 {
        let client = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 50_001 + number);
        let at = 1_000_000 + u64::from(number) * 300_000;
        let mut talk = Talk::new(client, server, at, [50, 20_000]);
        let mut syn = talk.segment(CLIENT, SYN, b"");
        for wait in [0, 1_000_000, 2_000_000] {
            talk.wait(wait);
            syn.id = syn.id.wrapping_add(1);
            talk.record(&mut traffic.sent, &syn);
            talk.turn(CLIENT);
            let mut answer = talk.segment(SERVER, SYN | ACK, b"");
            answer.ack = syn.seq.wrapping_add(1);
            talk.record(&mut traffic.sent, &answer);
            traffic.lost.insert(traffic.sent.packets.len() - 1);
        }
    }
    let compared = between(&traffic.points(hop));
    let found = places(&compared, "missing_syn_ack");
    assert!(!found.is_empty(), "{:?}", compared.incidents);
    assert!(
        found.iter().all(|place| *place == ("b".to_owned(), "a".to_owned(), Fate::Lost, 18)),
        "{found:?}"
    );
}

#[test]
fn a_reset_made_between_is_placed_there() {
    let mut traffic = Traffic::of(20, 0);
    let server = (IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)), 80);
    let mut made = Vec::new();
    for number in 0..4u16 {
        let client = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 50_001 + number);
        let mut talk = Talk::new(client, server, 1_000_000 + u64::from(number) * 700_000, [50, 20_000]);
        talk.handshake(&mut traffic.sent);
        talk.exchange(&mut traffic.sent, b"GET / HTTP/1.1\r\nHost: www.shop.example\r\n\r\n", 4_000);
        talk.wait(300);
        talk.send(&mut traffic.sent, CLIENT, ACK, b"GET /next HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");
        talk.wait(2_000);
        let mut reset = talk.segment(SERVER, RST | ACK, b"");
        reset.ttl = 243;
        made.push((talk.now, talk.frame(&reset)));
        talk.wait(38_000);
        talk.send(&mut traffic.sent, SERVER, ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    let [mut a, b] = traffic.points(hop);
    made.into_iter().for_each(|(at, frame)| a.record(at, frame));
    a.sort();
    let compared = between(&[a, b]);
    let found = places(&compared, "rst_injection");
    assert_eq!(found, [("b".to_owned(), "a".to_owned(), Fate::Injected, 4)], "{:?}", compared.incidents);
    let text = text(&compared);
    assert!(text.contains("4 packets reached a and never passed b: frames "), "{text}");
}

#[test]
fn where_nothing_was_lost_nothing_is_placed() {
    let traffic = Traffic::of(20, 0);
    let compared = between(&traffic.points(hop));
    assert!(compared.incidents.is_empty(), "{:?}", compared.incidents);
}

#[test]
fn translated_addresses_are_those_of_the_point_that_has_the_incident() {
    let traffic = Traffic::of(40, 8);
    let (forth, back) = traffic.losses();
    let points = traffic.points(|frame, client| {
        let mut frame = hop(frame, client);
        let (address, port) = if client { (26, 34) } else { (30, 36) };
        frame[address..address + 4].copy_from_slice(&[198, 51, 100, 7]);
        frame[port] ^= 0x40;
        frame
    });
    let compared = between(&points);
    let found = places(&compared, "");
    for (from, to, lost) in [("a", "b", forth), ("b", "a", back)] {
        let whole = (from.to_owned(), to.to_owned(), Fate::Lost, lost);
        assert!(found.contains(&whole), "{whole:?} not in {found:?}");
    }
    let at = |name: &str| compared.incidents.iter().any(|located| located.seen_at == [name]);
    assert!(at("a") || at("b"), "{:?}", compared.incidents);
}

/// The relay between the two networks of the lab dropped four segments on their way to the client.
#[test]
fn the_lab_lost_four_segments_between_server_and_client() {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures");
    let inputs = ["two_points.pcap", "two_points.server.pcap"].map(|name| lab.join(name));
    let compared = located(&inputs);
    let lost = compared.pairs[0].back.of(Fate::Lost);
    assert_eq!(lost, 4);
    let found = places(&compared, "retransmission");
    let whole = ("two_points.server.pcap".to_owned(), "two_points.pcap".to_owned(), Fate::Lost, 4);
    assert!(found.contains(&whole) && found.iter().all(|place| *place == whole), "{found:?}");
    let files: BTreeSet<&str> = compared
        .incidents
        .iter()
        .flat_map(|located| &located.proof)
        .filter_map(|proof| Path::new(&proof.file).file_name()?.to_str())
        .collect();
    assert_eq!(files.len(), 2, "frames of both files: {files:?}");
}
