//! QUIC of the public captures against what an installed tshark reads: versions, server names, application
//! protocols, and JA4 where tshark knows it (4.2 and later).
//!
//! Skips when the captures of `../shared/corpus` or tshark are not there. `cargo test --test quic --
//! --nocapture` prints what was compared; `PCAPSY_CAPTURES=FOLDER` compares those of a folder, too.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pcapsy::app::quic::version_name;
use pcapsy::config::Config;
use pcapsy::flow::Flow;
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use pcapsy::report::model::Report;
use rayon::prelude::*;
use support::tshark::{corpus, tshark};

/// What QUIC says in a capture: `name www.example`, `alpn h3`, `version 1`, `ja4 q13...`.
#[derive(Default)]
struct Said {
    all: BTreeSet<String>,
    sessions: usize,
    opened: usize,
}

impl Rows for Said {
    fn flow(&mut self, flow: &Flow) {
        let Some(tls) = flow.tls.as_deref() else { return };
        let hello = tls.client_hello.as_ref();
        if let Some(quic) = tls.quic.as_deref() {
            self.sessions += 1;
            self.opened += usize::from(hello.is_some());
            let versions = quic.tried.iter().chain([&quic.version]).chain(&quic.server_versions);
            self.all.extend(versions.map(|version| format!("version {}", version_name(*version))));
            self.all.extend(hello.and_then(|hello| Some(format!("name {}", hello.sni.as_ref()?))));
            self.all.extend(hello.iter().flat_map(|hello| &hello.alpn).map(|name| format!("alpn {name}")));
        }
        self.all.extend(hello.map(|hello| format!("ja4 {}", hello.ja4)));
    }
}

/// Versions that are read; of others there is no more than a number.
fn is_read(version: u32) -> bool {
    matches!(version, 1 | 0x6b33_43cf | 0xff00_001d..=0xff00_0020)
}

fn theirs(path: &Path, ja4: bool) -> Option<BTreeSet<String>> {
    let mut fields = vec![
        "quic.version",
        "tls.handshake.extensions_server_name",
        "tls.handshake.extensions_alpn_str",
        "tls.handshake.type",
    ];
    fields.extend(ja4.then_some("tls.handshake.ja4"));
    let mut said = BTreeSet::new();
    for row in tshark(path, &[], "quic && udp && !icmp && !icmpv6", &fields)? {
        let of = |field: usize| row.get(field).map_or(&[][..], Vec::as_slice);
        let number = |text: &String| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let versions: Vec<u32> =
            of(0).iter().filter_map(number).filter(|version| is_read(*version)).collect();
        said.extend(versions.iter().map(|version| format!("version {}", version_name(*version))));
        // Packets of other versions may be opened by tshark; those are not compared.
        if versions.is_empty() || !of(3).iter().any(|kind| kind == "1") {
            continue;
        }
        said.extend(of(1).iter().map(|name| format!("name {name}")));
        said.extend(of(2).iter().map(|name| format!("alpn {name}")));
        said.extend(of(4).iter().map(|print| format!("ja4 {print}")));
    }
    Some(said)
}

fn captures() -> Vec<PathBuf> {
    let mut captures = corpus();
    let more = std::env::var_os("PCAPSY_CAPTURES").and_then(|folder| fs::read_dir(folder).ok());
    captures.extend(more.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())));
    captures.sort();
    captures
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Bytes of the versions that are read stand in every capture with QUIC of them.
fn may_hold_quic(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap_or_default();
    let packed = bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5]);
    let front = |window: &[u8]| {
        let version = window.get(1..5).and_then(|word| Some(u32::from_be_bytes(word.try_into().ok()?)));
        window.first().is_some_and(|first| first & 0x80 != 0) && version.is_some_and(is_read)
    };
    packed || bytes.windows(5).any(front)
}

/// What tshark reads and pcapsy does not: the capture, and why.
const UNREAD: &[(&str, &str)] = &[];

#[test]
fn versions_names_and_protocols_of_quic_are_tsharks() {
    let known = Command::new("tshark").args(["-G", "fields"]).output();
    let Ok(known) = known else { return eprintln!("skipped: no tshark") };
    let ja4 = String::from_utf8_lossy(&known.stdout).contains("\ttls.handshake.ja4\t");
    let (mut compared, mut sessions, mut opened, mut with, mut wrong) = (0, 0, 0, 0, Vec::new());
    let mut captures = captures();
    captures.retain(|path| may_hold_quic(path));
    let read: Vec<_> = captures.into_par_iter().map(|path| (theirs(&path, ja4), path)).collect();
    for (theirs, path) in read {
        let Some(theirs) = theirs else { return eprintln!("skipped: no tshark") };
        if theirs.is_empty() {
            continue;
        }
        let mut ours = Said::default();
        local::analyze(std::slice::from_ref(&path), &Config::default(), Run::default(), &mut ours, &|_| {})
            .unwrap_or_else(|error| panic!("{error}"));
        with += 1;
        compared += theirs.len();
        (sessions, opened) = (sessions + ours.sessions, opened + ours.opened);
        let missing: Vec<_> = theirs.iter().filter(|said| !ours.all.contains(*said)).collect();
        let expected = UNREAD.iter().any(|(file, _)| *file == name(&path));
        if missing.is_empty() == expected {
            wrong.push(format!("{}: {missing:?} of {:?}", name(&path), ours.all));
        }
    }
    println!(
        "{compared} versions, server names and application protocols{} of {sessions} QUIC sessions in {with} \
         captures, {opened} with a ClientHello",
        if ja4 { " and JA4 fingerprints" } else { "" },
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Round trips by the latency spin bit.
#[derive(Default)]
struct Spinning(Vec<[pcapsy::time::Span; 2]>);

impl Rows for Spinning {
    fn flow(&mut self, flow: &Flow) {
        let quic = flow.tls.as_deref().and_then(|tls| tls.quic.as_deref());
        self.0.extend(quic.and_then(|quic| Some(quic.spin?.least)));
    }
}

/// A real stack whose packets a relay delays by a time that its truth file states.
#[test]
fn round_trips_by_the_spin_bit_are_the_relays() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures/quic_moved.pcap");
    let truth = fs::read_to_string(path.with_extension("toml")).expect("committed");
    let wanted: f64 = truth
        .lines()
        .find_map(|line| line.strip_prefix("# Round trip ")?.split(' ').next()?.parse().ok())
        .expect("a round trip");
    let mut spinning = Spinning::default();
    local::analyze(std::slice::from_ref(&path), &Config::default(), Run::default(), &mut spinning, &|_| {})
        .unwrap_or_else(|error| panic!("{error}"));
    let trips: Vec<f64> =
        spinning.0.iter().map(|[client, server]| (client.0 + server.0) as f64 / 1e6).collect();
    println!("round trips by the spin bit: {trips:.1?} ms, of the relay: {wanted} ms");
    assert!(trips.len() >= 3, "{trips:?}");
    assert!(trips.iter().all(|trip| (0.95..1.3).contains(&(trip / wanted))), "{trips:?}, not {wanted}");
}

/// Loss does not show in what QUIC encrypts: its packets count as not judged, under their name.
#[test]
fn packets_of_quic_are_said_to_be_encrypted() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures/healthy_quic.pcap");
    let config = Config::default();
    let outcome =
        local::analyze(&[path], &config, Run::default(), &mut Said::default(), &|_| {}).expect("an analysis");
    let rest = Report::new(&outcome, &config).verdict.assessed.rest;
    let kinds: Vec<&str> = rest.iter().map(|rest| rest.what.as_str()).collect();
    assert!(kinds.iter().any(|what| what.starts_with("encrypted QUIC (UDP port ")), "{kinds:?}");
    assert!(!kinds.iter().any(|what| what.starts_with("UDP port ")), "{kinds:?}");
}

/// What keys open of QUIC: `certificate 4d`, `close 301 reason`, `close of the application 256 reason`.
#[derive(Default)]
struct Inside {
    all: BTreeSet<String>,
    /// Packets that were opened, and that were not.
    packets: [u64; 2],
}

impl Inside {
    fn certificate(&mut self, serial: &str) {
        let serial = serial.replace(':', "");
        self.all.insert(format!("certificate {}", serial.trim_start_matches('0')));
    }

    fn of_tshark(path: &Path) -> Option<Self> {
        let fields = [
            "x509af.serialNumber",
            "quic.cc.error_code",
            "quic.cc.error_code.app",
            "quic.cc.reason_phrase",
            "quic.decryption_failed",
        ];
        let mut inside = Self::default();
        for row in tshark(path, &[], "quic", &fields)? {
            let of = |field: usize| row.get(field).map_or(&[][..], Vec::as_slice);
            of(0).iter().for_each(|serial| inside.certificate(serial));
            for (field, of_whom) in [(1, ""), (2, "of the application ")] {
                for (at, code) in of(field).iter().enumerate() {
                    let reason = of(3).get(at).map_or("", String::as_str);
                    inside.all.insert(format!("close {of_whom}{code} {reason}"));
                }
            }
            inside.packets[1] += of(4).len() as u64;
        }
        Some(inside)
    }
}

impl Rows for Inside {
    fn flow(&mut self, flow: &Flow) {
        let Some(tls) = flow.tls.as_deref() else { return };
        let Some(quic) = tls.quic.as_deref() else { return };
        tls.certificates.iter().flatten().for_each(|certificate| self.certificate(&certificate.serial));
        self.all.extend(quic.close.as_ref().map(|close| {
            let of_whom = if close.application { "of the application " } else { "" };
            format!("close {of_whom}{} {}", close.code, close.reason)
        }));
        if let Some(opened) = &tls.opened {
            self.packets[0] += opened.records.iter().sum::<u64>();
            self.packets[1] += opened.sealed.iter().sum::<u64>();
        }
    }
}

/// Certificates, and how connections were closed: in captures that carry the secrets of their sessions.
#[test]
fn what_keys_open_of_quic_is_tsharks() {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures");
    let mut paths: Vec<PathBuf> =
        ["quic_expired_keys", "healthy_quic_keys"].map(|name| lab.join(format!("{name}.pcapng"))).into();
    let more = std::env::var_os("PCAPSY_CAPTURES").and_then(|folder| fs::read_dir(folder).ok());
    let more = more.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    paths.extend(more.filter(|path| path.extension().is_some_and(|ending| ending == "pcapng")));
    for path in paths {
        let Some(theirs) = Inside::of_tshark(&path) else { return eprintln!("skipped: no tshark") };
        let mut ours = Inside::default();
        local::analyze(std::slice::from_ref(&path), &Config::default(), Run::default(), &mut ours, &|_| {})
            .unwrap_or_else(|error| panic!("{error}"));
        let name = path.display();
        println!("{name}: {:?}, {} packets opened, {} not", ours.all, ours.packets[0], ours.packets[1]);
        assert!(ours.packets[0] > 0 && theirs.all.iter().any(|said| said.starts_with("cert")), "{name}");
        assert!(ours.all.is_subset(&theirs.all), "{name}: {:?}", theirs.all);
        let certificates = |all: &BTreeSet<String>| -> BTreeSet<String> {
            all.iter().filter(|said| said.starts_with("certificate")).cloned().collect()
        };
        assert_eq!(certificates(&ours.all), certificates(&theirs.all), "{name}");
        // Of a connection one close is kept, and most connections of a capture end in their own way.
        let closes = theirs.all.iter().any(|said| said.starts_with("close"));
        assert_eq!(closes, ours.all.iter().any(|said| said.starts_with("close")), "{name}: {:?}", theirs.all);
        // tshark says so of Handshake packets only.
        assert!(theirs.packets[1] <= ours.packets[1], "{name}: packets that stay closed");
    }
}
