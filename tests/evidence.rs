//! The evidence of every incident of the lab: analysed again it shows the incident, redacted too; redacted it
//! holds nothing of a list of secrets.
//!
//! `cargo test --test evidence -- --nocapture` prints a line per capture. With capinfos and tshark at hand
//! every file is opened with both.

#![allow(clippy::print_stdout)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use pcapsy::app::dns::Transaction;
use pcapsy::app::http::Exchange;
use pcapsy::capture::{CaptureLimits, Reader};
use pcapsy::config::Config;
use pcapsy::detect::is_probed;
use pcapsy::dissect::dissect;
use pcapsy::extract::{self, Again, Conversations, Packet, Picked};
use pcapsy::flow::{Flow, FlowHead};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::{Outcome, Rows};
use pcapsy::report::evidence::{self, EVIDENCE, Redaction, Writer};
use pcapsy::report::model::Report;
use rayon::prelude::*;
use support::truth::{self, Truth, name};

struct NoRows;

impl Rows for NoRows {}

fn analyzed(inputs: &[PathBuf], rows: &mut (dyn Rows + Send)) -> (Outcome, Report) {
    let run = Run { threads: 2, ..Run::default() };
    let outcome = local::analyze(inputs, &Config::default(), run, rows, &|_| {}).expect("readable");
    let report = Report::new(&outcome, &Config::default());
    (outcome, report)
}

/// Writes the evidence of `report` into `folder`.
fn written(
    outcome: &Outcome,
    report: &Report,
    folder: &Path,
    redaction: Option<&mut Redaction>,
) -> (Vec<PathBuf>, Vec<Picked>) {
    let again = Again::new(&outcome.files, &outcome.chunks, &Config::default().capture_limits());
    let picked = evidence::of_incidents(report, evidence::INCIDENTS, &again).expect("readable again");
    let files = &outcome.files;
    let mut conversations = Conversations::of(&picked);
    let paths = evidence::write(report, files, &again, &picked, redaction, &mut conversations, folder);
    let paths = paths.expect("written");
    let (drawn, alone) =
        (conversations.finish(), extract::conversations(&again, &picked).expect("readable again"));
    assert_eq!(format!("{drawn:?}"), format!("{alone:?}"), "the same packets at either time");
    (paths, picked)
}

type Rule = (&'static str, &'static str);

fn rules(report: &Report) -> BTreeSet<Rule> {
    report.findings.iter().map(|ranked| (ranked.finding.detector, ranked.finding.variant)).collect()
}

/// What redaction must not change: rule, severity, confidence, counts, frames.
fn outline(report: &Report) -> Vec<String> {
    let one = |ranked: &pcapsy::report::model::RankedFinding| {
        let finding = &ranked.finding;
        let frames: Vec<u64> = ranked.evidence.iter().map(|cited| cited.frame).collect();
        let counts = format!("{:?}", finding.counts);
        let (severity, sure) = (finding.severity, finding.confidence);
        format!("{} {severity:?} {sure:?} {counts} {frames:?}", finding.rule())
    };
    let mut all: Vec<String> = report.findings.iter().map(one).collect();
    all.sort();
    all
}

/// What must not be in a redacted file.
#[derive(Default)]
struct Secrets {
    addresses: BTreeSet<IpAddr>,
    macs: BTreeSet<[u8; 6]>,
    names: BTreeSet<String>,
}

impl Secrets {
    fn name(&mut self, name: &str) {
        let name = name.trim_start_matches("*.").trim_end_matches('.');
        // Shorter ones stand in anything; "localhost" and "healthz" name everybody.
        if name.len() >= 6 && !name.ends_with(".arpa") && name != "localhost" && !is_probed(name) {
            self.names.insert(name.to_ascii_lowercase());
        }
    }
}

impl Rows for Secrets {
    fn flow(&mut self, flow: &Flow) {
        self.addresses.extend([flow.client.address, flow.server.address]);
        for half in &flow.halves {
            for link in &half.links {
                self.macs.extend([link.source, link.destination]);
            }
        }
        let Some(tls) = &flow.tls else { return };
        if let Some(sni) = tls.client_hello.as_ref().and_then(|hello| hello.sni.as_ref()) {
            self.name(sni);
        }
        for certificate in tls.certificates.iter().flatten() {
            certificate.names.iter().for_each(|one| self.name(one));
            certificate.common_name.iter().for_each(|one| self.name(one));
        }
    }

    fn transaction(&mut self, transaction: &Transaction, _: &FlowHead) {
        self.name(&transaction.name);
    }

    fn exchange(&mut self, exchange: &Exchange, _: &FlowHead) {
        self.name(exchange.host.split(':').next().unwrap_or_default());
        self.name(exchange.target.trim_start_matches('/'));
        self.name(&exchange.server);
    }
}

impl Secrets {
    /// Every way a secret is written, beside what it is.
    fn forms(&self) -> Vec<(String, Vec<u8>)> {
        let mut forms = Vec::new();
        for address in &self.addresses {
            let names_nobody = match address {
                IpAddr::V4(v4) => {
                    v4.is_loopback() || v4.is_multicast() || v4.is_unspecified() || v4.octets()[0] >= 240
                }
                IpAddr::V6(v6) => v6.is_loopback() || v6.is_multicast() || v6.is_unspecified(),
            };
            if names_nobody {
                continue;
            }
            let octets = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            forms.push((format!("{address} as octets"), octets));
            forms.push((format!("{address} as text"), address.to_string().into_bytes()));
        }
        for mac in self.macs.iter().filter(|mac| **mac != [0; 6] && mac[0] & 1 == 0) {
            forms.push((format!("MAC {mac:02x?}"), mac.to_vec()));
        }
        for name in &self.names {
            forms.push((format!("{name} as text"), name.clone().into_bytes()));
            let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
            forms.push((format!("{name} as labels"), labels.collect()));
            let wide = name.encode_utf16().flat_map(u16::to_be_bytes);
            forms.push((format!("{name} in two octets each"), wide.collect()));
        }
        forms
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else { return false };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|octet| octet == first) {
        rest = &rest[at..];
        if rest.starts_with(wanted) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// The packets' bytes of a capture, one after the other.
fn bytes(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::open(&[path.to_owned()], &CaptureLimits::default()).expect("a capture");
    let mut all = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        all.extend(chunk.packets().map(|packet| packet.data.to_vec()));
    }
    all
}

/// What the packets of a capture carry: the headers of two packets may show the same by chance.
fn payloads(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::open(&[path.to_owned()], &CaptureLimits::default()).expect("a capture");
    let mut all = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        for packet in chunk.packets() {
            let payload = dissect(&packet).payload;
            let start = payload.start.wrapping_sub(packet.start) as usize;
            let end = start.saturating_add(payload.captured as usize);
            all.push(packet.data.get(start..end).unwrap_or_default().to_vec());
        }
    }
    all
}

/// Runs of at least ten characters: what somebody would read in a dump.
fn strings(packets: &[Vec<u8>]) -> BTreeSet<Vec<u8>> {
    let shows = |octet: &u8| octet.is_ascii_graphic() || *octet == b' ';
    let runs = packets.iter().flat_map(|bytes| bytes.split(move |octet| !shows(octet)));
    runs.filter(|run| run.len() >= 10).map(<[u8]>::to_vec).collect()
}

/// What a redacted packet may show: how messages are sent, when a certificate is valid.
fn is_plain(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let fields = [
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "date",
        "retry-after",
        "accept: */*",
        "accept-encoding",
        "accept-ranges",
        "content-encoding",
        "application/grpc",
        "pri * http/2.0",
        "250 starttls",
    ];
    let of_everybody = fields.iter().any(|field| text.starts_with(field)) || text.ends_with(" / http/1.1");
    // A request for the path of a probe.
    let path = text.split(' ').nth(1).filter(|_| text.ends_with(" http/1.1"));
    if path.is_some_and(|path| {
        path.rsplit_once('/').is_some_and(|(before, _)| before.is_empty()) && is_probed(path)
    }) {
        return true;
    }
    // Times of a certificate, and what little may stand behind one.
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    of_everybody
        || text.bytes().skip(digits).eq(*b"z")
        || (digits == 12 && text.as_bytes().get(12) == Some(&b'z'))
}

/// The bytes without timestamps options (kind 8, length 10) that begin like this address in 10.0.0.0/8: the
/// clock of a host, which stays.
fn untimed(bytes: &[u8], form: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let option = [&[8], form].concat();
    if form.len() == 4 && form[0] == 10 {
        while let Some(at) = bytes.windows(5).position(|window| window == option) {
            bytes[at] = 0;
            bytes[at + 1] = 0;
        }
    }
    bytes
}

/// What the evidence of a capture does not show again, and why.
const KNOWN: &[(&str, &str)] = &[
    ("dot_servfail_keys", "evidence leaves out the keys of TLS"),
    ("http_error_inside_tls", "evidence leaves out the keys of TLS"),
    ("quic_expired_keys", "evidence leaves out the keys of TLS; what they seal may look like text"),
    ("tls13_expired_keys", "evidence leaves out the keys of TLS"),
];

#[test]
fn evidence_shows_its_incident_again_and_redacted_evidence_the_same() {
    assert!(!Config::default().hash().is_empty());
    let tools = ["capinfos", "tshark"].map(|tool| Command::new(tool).arg("-v").output().is_ok());
    let mut captures = truth::captures("lab/captures");
    captures.retain(|path| path.with_extension("toml").exists());
    let held: Vec<(String, usize, Vec<String>)> = captures
        .par_iter()
        .map(|path| {
            let (shown, said) = held(path, tools == [true, true]);
            (name(path), shown, said)
        })
        .collect();
    let (mut shown, mut wrong) = (0, Vec::new());
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (name, some, said) in held {
        shown += some;
        for what in said {
            println!("{name:34} {what}");
            match KNOWN.iter().any(|(capture, _)| *capture == name) {
                true => *known.entry(name.clone()).or_default() += 1,
                false => wrong.push(format!("{name}: {what}")),
            }
        }
    }
    println!("{shown} incidents shown again; tools at hand: {tools:?}; known: {known:?}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(shown > 50, "{shown}");
    assert_eq!(known.len(), KNOWN.len(), "no longer wrong: take it off the list");
}

/// How many incidents of a capture its evidence shows again, and what is wrong with it.
fn held(path: &Path, tools: bool) -> (usize, Vec<String>) {
    let (mut shown, mut wrong) = (0, Vec::new());
    let mut secrets = Secrets::default();
    let (outcome, report) = analyzed(&Truth::beside(path).inputs(path), &mut secrets);
    if report.incidents.is_empty() {
        return (0, wrong);
    }
    let folder = tempfile::tempdir().expect("folder");
    let (plain, redacted) = (folder.path().join("plain"), folder.path().join("redacted"));
    let (files, picked) = written(&outcome, &report, &plain, None);
    let mut redaction = Redaction::new(Some("a key of a test"), false).expect("a key");
    let (hidden, _) = written(&outcome, &report, &redacted, Some(&mut redaction));
    assert_eq!(files.len(), hidden.len());
    assert_eq!(redaction.note().packets_left_out, 0, "{}", name(path));
    let mut say = |what: String| wrong.push(what);
    let forms = secrets.forms();
    for (cited, one) in report.incidents.iter().zip(&picked) {
        let file = plain.join(EVIDENCE).join(format!("{}.pcapng", one.id));
        let root = report.finding(&cited.incident.root).expect("a root");
        if one.cites.is_empty() {
            // A finding about files, such as two that were recorded at the same time, cites no packet.
            assert!(!file.exists() && cited.evidence.is_empty(), "{}", name(path));
            continue;
        }
        let rule = (root.finding.detector, root.finding.variant);
        let (again, repeated) = analyzed(std::slice::from_ref(&file), &mut NoRows);
        assert!(again.files.iter().all(|file| file.damages.is_empty()), "{}", name(path));
        assert_eq!(again.totals.packets, one.packets.len() as u64);
        if rules(&repeated).contains(&rule) {
            shown += 1;
        } else {
            say(format!("{} lost {rule:?}: {:?}", one.id, rules(&repeated)));
        }
        let hidden = redacted.join(EVIDENCE).join(format!("{}.pcapng", one.id));
        let (_, same) = analyzed(std::slice::from_ref(&hidden), &mut NoRows);
        let (one_way, other) = (outline(&repeated), outline(&same));
        if one_way != other {
            let only = |a: &[String], b: &[String]| {
                a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<String>>()
            };
            let (lost, new) = (only(&one_way, &other), only(&other, &one_way));
            say(format!("{} redacted differs: lost {lost:#?} new {new:#?}", one.id));
        }
        let all = fs::read(&hidden).expect("there");
        for (what, form) in forms.iter().filter(|(_, form)| holds(&untimed(&all, form), form)) {
            say(format!("{}: {what} is left ({} octets)", one.id, form.len()));
        }
        let kept = strings(&payloads(&hidden));
        for text in strings(&payloads(&file)).intersection(&kept).filter(|text| !is_plain(text)) {
            say(format!("{}: {:?} is left", one.id, String::from_utf8_lossy(text)));
        }
    }
    if tools && !files.is_empty() {
        opened(&[files, hidden].concat(), &mut say);
    }
    (shown, wrong)
}

/// What was read of sessions and exchanges, without what names somebody.
#[derive(Default)]
struct Read(BTreeMap<String, usize>);

impl Rows for Read {
    fn flow(&mut self, flow: &Flow) {
        let tls = flow.tls.as_ref().map(|tls| {
            let hello = tls.client_hello.as_ref();
            let sni = hello.map(|hello| hello.sni.as_ref().map(String::len));
            let quic = tls.quic.as_ref();
            let quic =
                quic.map(|quic| (quic.version, quic.flight_count, quic.answered, quic.retries, quic.unread));
            (sni, hello.map(|hello| (hello.ja4.clone(), hello.quic_versions.clone())), tls.established, quic)
        });
        let before = flow.upgrade.as_ref().map(|upgrade| {
            let proxied = upgrade.proxied.map(|header| (header.version, header.client.is_some()));
            let starttls = upgrade.starttls.as_ref();
            let starttls = starttls.map(|one| (one.protocol, one.verdict, one.went_on, one.reply.len()));
            (proxied, starttls, upgrade.tunnel)
        });
        let line = format!("{} {:?} {tls:?} {before:?}", flow.id, flow.service);
        *self.0.entry(line).or_default() += 1;
    }

    fn exchange(&mut self, exchange: &Exchange, _: &FlowHead) {
        let names = [&exchange.target, &exchange.host, &exchange.server].map(|name| name.len());
        let line = format!(
            "{} {:?} {:?} {} {:?} {names:?} {} {}",
            exchange.method,
            exchange.status,
            exchange.grpc_status,
            exchange.version,
            exchange.error,
            exchange.response_bytes,
            exchange.unheard
        );
        *self.0.entry(line).or_default() += 1;
    }
}

/// All packets of captures that have nothing to prove, of the protocols with their own ways to hide names.
#[test]
fn a_redacted_capture_is_read_like_the_original() {
    let captures = ["healthy_quic", "healthy_http2", "healthy_starttls", "healthy_proxy_protocol"];
    for capture in captures.iter().chain(&["quic_blocked", "grpc_unavailable", "starttls_refused"]) {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/lab/captures/{capture}.pcap"));
        let (mut secrets, mut before, mut after) = (Secrets::default(), Read::default(), Read::default());
        analyzed(std::slice::from_ref(&path), &mut secrets);
        let (outcome, _) = analyzed(std::slice::from_ref(&path), &mut before);
        let again = Again::new(&outcome.files, &outcome.chunks, &Config::default().capture_limits());
        let mut redaction = Redaction::new(Some("a key of a test"), false).expect("a key");
        let everything = || 0..=again.last();
        let add = |packet: &Packet<'_>| {
            redaction.add(&packet.raw);
            Ok(())
        };
        again.packets(everything(), |_| true, add).expect("readable");
        redaction.ready();
        let folder = tempfile::tempdir().expect("folder");
        let hidden = folder.path().join("hidden.pcapng");
        let section = evidence::section("all", &outcome.files, "", Some(&redaction));
        let mut writer =
            Writer::new(fs::File::create(&hidden).expect("created"), &section, true).expect("begun");
        let each = |packet: &Packet<'_>| Ok(writer.add(None, packet, Some(&mut redaction))?);
        again.packets(everything(), |_| true, each).expect("written");
        writer.finish().expect("written");
        analyzed(std::slice::from_ref(&hidden), &mut after);
        assert!(before.0.len() > 5, "{capture}");
        let only = |one: &Read, other: &Read| -> Vec<String> {
            one.0
                .iter()
                .filter(|(line, count)| other.0.get(*line) != Some(*count))
                .map(|(line, _)| line.clone())
                .collect()
        };
        assert_eq!(only(&before, &after), only(&after, &before), "{capture}");
        let all = fs::read(&hidden).expect("there");
        let forms = secrets.forms();
        let left = forms.iter().find(|(_, form)| holds(&untimed(&all, form), form));
        assert_eq!(left.map(|(what, _)| what), None, "{capture}");
    }
}

/// Other tools take the files for what they are.
fn opened(files: &[PathBuf], say: &mut impl FnMut(String)) {
    let output = Command::new("capinfos").arg("-c").arg("-M").args(files).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() || !said.is_empty() {
        say(format!("capinfos: {said}"));
    }
    for file in files {
        let packets = bytes(file).len();
        let mut command = Command::new("tshark");
        let output = command.arg("-r").arg(file).args(["-T", "fields", "-e", "frame.comment"]).output();
        let output = output.expect("run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let commented = text.lines().filter(|line| line.contains(" frame ")).count();
        if !output.status.success() || commented != packets {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            say(format!("tshark: {commented} comments on {packets} packets of {}: {said}", file.display()));
        }
    }
}

/// A file of which the records are known is not walked again: that must not show.
#[test]
fn packets_are_the_same_with_records_known_and_looked_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut captures: Vec<PathBuf> = ["synthetic", "lab/captures"]
        .iter()
        .flat_map(|name| {
            fs::read_dir(folder.join(name)).expect("there").map(|entry| entry.expect("a file").path())
        })
        .filter(|path| path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng"))
        .collect();
    captures.sort();
    let damaged = tempfile::tempdir().expect("folder");
    let broken = damaged.path().join("broken.pcap");
    let mut bytes = fs::read(captures.last().expect("captures")).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40].fill(0xff);
    fs::write(&broken, bytes).expect("written");
    captures.push(broken);
    let limits = CaptureLimits { chunk_bytes: 4_096, ..Config::default().capture_limits() };
    let seen = |again: &Again, ordinals: &[u64]| -> Vec<String> {
        let mut seen = Vec::new();
        let each = |packet: &Packet<'_>| {
            seen.push(format!("{packet:?}"));
            Ok(())
        };
        again.these(ordinals, each).expect("readable again");
        seen
    };
    let mut known = 0;
    for capture in captures.chunks(3) {
        let mut reader = Reader::open(capture, &limits).expect("readable");
        while reader.next_chunk().is_some() {}
        let (chunks, files) = (reader.take_kept(), reader.into_files());
        known += chunks.len();
        let (with, without) = (Again::new(&files, &chunks, &limits), Again::new(&files, &[], &limits));
        let ordinals: Vec<u64> = (1..=with.last()).filter(|ordinal| ordinal % 7 < 2).collect();
        assert_eq!(seen(&with, &ordinals), seen(&without, &ordinals), "{capture:?}");
    }
    assert!(known > captures.len(), "{known}");
}
