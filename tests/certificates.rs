//! Server names and certificates of the public captures against those that an installed tshark reads, and
//! what keys open of TLS.
//!
//! Skips what needs the captures of `../shared/corpus` or tshark when they are not there. `cargo test --test
//! certificates -- --nocapture` prints what was compared.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pcapsy::app::http::Exchange;
use pcapsy::app::tls::Certificate;
use pcapsy::config::Config;
use pcapsy::flow::{Flow, FlowHead};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use pcapsy::time::Timestamp;
use rayon::prelude::*;
use support::tshark::corpus;

/// What the TLS sessions of a capture say.
#[derive(Default)]
struct Said {
    names: BTreeSet<String>,
    serials: BTreeSet<String>,
    times: BTreeSet<String>,
    alternatives: BTreeSet<String>,
    /// Values of the attributes of subjects and issuers.
    values: BTreeSet<String>,
    more: bool,
}

impl Rows for Said {
    fn flow(&mut self, flow: &Flow) {
        let Some(tls) = &flow.tls else { return };
        self.names.extend(tls.client_hello.iter().filter_map(|hello| hello.sni.clone()));
        tls.certificates.iter().flatten().for_each(|certificate| self.certificate(certificate));
    }
}

impl Said {
    fn certificate(&mut self, certificate: &Certificate) {
        self.serials.insert(certificate.serial.trim_start_matches('0').to_owned());
        self.times.extend([certificate.not_before, certificate.not_after].map(minute));
        self.alternatives.extend(certificate.names.iter().cloned());
        self.more |= certificate.more_names > 0;
        for name in [&certificate.subject, &certificate.issuer] {
            self.values.insert(name.clone());
        }
    }

    /// A subject or an issuer has an attribute with this value.
    fn has_value(&self, value: &str) -> bool {
        self.values.iter().any(|name| name.contains(&format!("={value}")))
    }
}

/// `2026-11-21 20:22` of a time.
fn minute(time: Timestamp) -> String {
    time.rfc3339().replace('T', " ").chars().take(16).collect()
}

const FIELDS: [&str; 9] = [
    "tls.handshake.extensions_server_name",
    "x509af.serialNumber",
    "x509af.utcTime",
    "x509af.generalizedTime",
    "x509ce.dNSName",
    "x509sat.uTF8String",
    "x509sat.printableString",
    "x509sat.CountryName",
    "x509sat.teletexString",
];

/// tshark's fields of a capture, each with all its values.
fn theirs(path: &Path) -> Option<Vec<BTreeSet<String>>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-Y", "tcp && tls.handshake", "-T", "fields"]);
    command.args(["-E", "separator=/t", "-E", "aggregator=;"]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = command.env("TZ", "UTC").output().ok()?;
    let mut fields = vec![BTreeSet::new(); FIELDS.len()];
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        for (field, values) in fields.iter_mut().zip(line.split('\t')) {
            field.extend(values.split(';').filter(|value| !value.is_empty()).map(str::to_owned));
        }
    }
    Some(fields)
}

/// Captures whose certificates differ on purpose, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("ntop__nDPI__KakaoTalk_chat.pcap", "a directory name in an extension, which is no subject"),
    ("ntop__nDPI__anyconnect-vpn.pcap", "names of authorities in a CertificateRequest"),
    ("zeek__zeek__pppoe-over-qinq.pcap", "a directory name in an extension, which is no subject"),
    (
        "seladb__PcapPlusPlus__pcapng-example.pcapng",
        "MySQL turns to TLS inside its connection, which is not read here",
    ),
];

#[test]
fn names_and_certificates_are_tsharks() {
    let (mut compared, mut wrong) = ([0; FIELDS.len()], Vec::new());
    let read: Vec<_> = corpus().into_par_iter().map(|path| (theirs(&path), path)).collect();
    for (fields, path) in read {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(fields) = fields else { return eprintln!("skipped: no tshark") };
        if fields.iter().all(BTreeSet::is_empty) || DIFFERENCES.iter().any(|(name, _)| *name == file) {
            continue;
        }
        let mut ours = Said::default();
        local::analyze(&[path], &Config::default(), Run::default(), &mut ours, &|_| {})
            .unwrap_or_else(|error| panic!("{error}"));
        for (number, (field, values)) in FIELDS.iter().zip(&fields).enumerate() {
            compared[number] += values.len();
            let known = |value: &&String| match number {
                0 => ours.names.contains(*value),
                1 => {
                    let digits = value.trim_start_matches("0x").replace(':', "");
                    ours.serials.contains(digits.trim_start_matches('0'))
                }
                2 | 3 => ours.times.contains(&value.chars().take(16).collect::<String>()),
                4 => ours.more || ours.alternatives.contains(*value),
                _ => ours.has_value(value),
            };
            let missing: Vec<_> = values.iter().filter(|value| !known(value)).take(3).collect();
            if !missing.is_empty() {
                wrong.push(format!("{file}: {field} not read: {missing:?}"));
            }
        }
    }
    println!("compared: {:?}", FIELDS.iter().zip(compared).collect::<Vec<_>>());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A capture of the lab.
fn lab(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures").join(name)
}

/// Blocks of a pcapng file in little-endian order: type and all octets.
fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
    let word = |file: &[u8], at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four octets"));
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let (block, rest) = file.split_at(word(file, 4) as usize);
        blocks.push((word(block, 0), block));
        file = rest;
    }
    blocks
}

/// Decryption Secrets Block.
const SECRETS: u32 = 10;

/// Exit code, output and messages of the program in a folder.
fn pcapsy(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = assert_cmd::Command::cargo_bin("pcapsy").expect("built");
    let output = command.current_dir(folder).env("NO_COLOR", "1").args(arguments).output().expect("run");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("code"), text(&output.stdout), text(&output.stderr))
}

/// The titles of the findings of a detector, and why it could not judge what it could not.
fn told(folder: &Path, detector: &str, arguments: &[&str]) -> (Vec<String>, String) {
    let all = [&["analyze", "--json", "--no-files", "-q", "--fail-on", "never"], arguments].concat();
    let (code, report, message) = pcapsy(folder, &all);
    assert_eq!(code, 0, "{message}");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let of = |field: &str| {
        let list = report[field].as_array().expect("a list").clone();
        list.into_iter().filter(|one| one["detector"] == detector).collect::<Vec<_>>()
    };
    let titles = of("findings").iter().map(|one| one["title"].as_str().expect("text").to_owned()).collect();
    (titles, format!("{:?}", of("not_assessed")))
}

/// Every file below a folder.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

/// A capture without the secrets in it, and the lines of a key log that these are.
fn without_secrets(file: &[u8]) -> (Vec<u8>, String) {
    let (secret, other): (Vec<_>, Vec<_>) = blocks(file).into_iter().partition(|(kind, _)| *kind == SECRETS);
    let log: Vec<u8> = secret.iter().flat_map(|(_, block)| &block[16..block.len() - 4]).copied().collect();
    let log = String::from_utf8(log).expect("text").trim_end_matches('\0').to_owned();
    (other.iter().flat_map(|(_, block)| block.iter().copied()).collect(), log)
}

#[test]
fn a_key_log_is_for_all_captures_of_a_run() {
    let folder = tempfile::tempdir().expect("folder");
    let mut logs = String::new();
    for name in ["tls13_expired_keys.pcapng", "http_error_inside_tls.pcapng"] {
        let (closed, log) = without_secrets(&fs::read(lab(name)).expect("committed"));
        fs::write(folder.path().join(name), closed).expect("written");
        logs += &log;
    }
    fs::write(folder.path().join("keys.log"), logs).expect("written");
    let arguments = ["analyze", "--json", "--no-files", "-q", "--fail-on", "never", "--keylog", "keys.log"];
    let (code, reports, message) = pcapsy(folder.path(), &[&arguments[..], &["."]].concat());
    assert_eq!(code, 0, "{message}");
    let reports = serde_json::Deserializer::from_str(&reports).into_iter::<serde_json::Value>();
    let found: Vec<String> = reports
        .flat_map(|report| report.expect("JSON")["findings"].as_array().expect("a list").clone())
        .map(|finding| finding["detector"].as_str().expect("text").to_owned())
        .collect();
    for detector in ["tls_certificate", "http_error"] {
        assert!(found.iter().any(|found| found == detector), "{detector}: {found:?}");
    }
}

#[test]
fn keys_decide_whether_a_certificate_of_tls13_is_judged() {
    let folder = tempfile::tempdir().expect("folder");
    let file = fs::read(lab("tls13_expired_keys.pcapng")).expect("committed");
    let (closed, log) = without_secrets(&file);
    fs::write(folder.path().join("keys.log"), &log).expect("written");
    fs::write(folder.path().join("closed.pcapng"), closed).expect("written");
    fs::write(folder.path().join("open.pcapng"), &file).expect("written");

    let detector = "tls_certificate";
    let (open, _) = told(folder.path(), detector, &["open.pcapng"]);
    assert!(open.iter().any(|title| title.contains("expired on")), "{open:?}");
    let (beside, _) = told(folder.path(), detector, &["closed.pcapng", "--keylog", "keys.log"]);
    assert_eq!(beside, open, "a key log says what a block says");
    let (none, why) = told(folder.path(), detector, &["closed.pcapng"]);
    assert!(none.is_empty() && why.contains("TLS 1.3 encrypts the certificates"), "{none:?} {why}");
    // The keys of another session open nothing, and that is said.
    fs::write(
        folder.path().join("other.log"),
        format!("CLIENT_RANDOM {0} {0}{1}", "ab".repeat(32), "cd".repeat(16)),
    )
    .expect("written");
    let (none, why) = told(folder.path(), detector, &["closed.pcapng", "--keylog", "other.log"]);
    assert!(none.is_empty() && why.contains("the keys at hand are of other sessions"), "{none:?} {why}");
    let (code, _, message) = pcapsy(folder.path(), &["tls", "closed.pcapng", "--keylog", "closed.pcapng"]);
    assert!(code == 2 && message.contains("no line is a secret of TLS"), "{message}");

    let (_, facts, _) = pcapsy(folder.path(), &["info", "open.pcapng"]);
    assert!(facts.contains(" decryption secrets\n"), "{facts}");

    // Secrets are written nowhere, unless asked for.
    let secrets: Vec<&str> = log.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert!(secrets.len() > 8 && secrets.iter().all(|secret| secret.len() >= 64));
    let raw = |secret: &str| data_encoding::HEXLOWER.decode(secret.as_bytes()).expect("hexadecimal");
    let holds = |bytes: &[u8]| {
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        secrets.iter().any(|secret| has(secret.as_bytes()) || has(&raw(secret)))
    };
    assert!(holds(&file));
    let ran =
        pcapsy(folder.path(), &["analyze", "open.pcapng", "-q", "--out", "report", "--fail-on", "never"]);
    assert_eq!(ran.0, 0, "{}", ran.2);
    let written = all_files(&folder.path().join("report"));
    assert!(written.iter().any(|path| path.ends_with("evidence/I-01.pcapng")), "{written:?}");
    for path in &written {
        assert!(!holds(&fs::read(path).expect("readable")), "{}", path.display());
    }
    for (option, kept) in [(None, false), (Some("--include-secrets"), true)] {
        let arguments = ["extract", "open.pcapng", "-q", "--filter", "tcp.port == 443", "-o", "part.pcapng"];
        let ran = pcapsy(folder.path(), &[&arguments, option.as_slice()].concat());
        assert_eq!(ran.0, 0, "{}", ran.2);
        let part = fs::read(folder.path().join("part.pcapng")).expect("written");
        assert_eq!((blocks_of(&part, SECRETS), holds(&part)), (usize::from(kept), kept));
        assert_eq!(!told(folder.path(), detector, &["part.pcapng"]).0.is_empty(), kept);
    }
}

/// A key log counts for every capture of an archive and for both sides of a difference, and a report that was
/// made with another one is made again.
#[test]
fn batch_and_diff_take_a_key_log() {
    let folder = tempfile::tempdir().expect("folder");
    let file = fs::read(lab("tls13_expired_keys.pcapng")).expect("committed");
    let (secret, other): (Vec<_>, Vec<_>) = blocks(&file).into_iter().partition(|(kind, _)| *kind == SECRETS);
    let log: Vec<u8> = secret.iter().flat_map(|(_, block)| &block[16..block.len() - 4]).copied().collect();
    let closed: Vec<u8> = other.iter().flat_map(|(_, block)| block.iter().copied()).collect();
    for (name, bytes) in [("keys.log", log), ("closed.pcapng", closed), ("open.pcapng", file)] {
        fs::write(folder.path().join(name), bytes).expect("written");
    }
    let keylog = ["--keylog", "keys.log"];
    for (keylog, expired, said) in [
        (&keylog[..], true, "1 analysed, 0 unchanged"),
        (&keylog, true, "0 analysed, 1 unchanged"),
        (&[], false, "1 analysed, 0 unchanged"),
    ] {
        let arguments = ["batch", "closed.pcapng", "--out", "all", "-q", "--fail-on", "never"];
        let (code, output, message) = pcapsy(folder.path(), &[&arguments, keylog].concat());
        assert!(code == 0 && output.contains(said), "{output}{message}");
        let report = fs::read_to_string(folder.path().join("all/reports/closed/report.json")).expect("text");
        assert_eq!(report.contains("expired on"), expired);
    }
    let whole = |before: &str, after: &str, keylog: &[&str]| {
        let (code, output, message) =
            pcapsy(folder.path(), &[&["diff", before, after, "-q"], keylog].concat());
        assert!(code < 2, "{message}");
        (code, output.contains("expired on"))
    };
    assert_eq!(whole("closed.pcapng", "open.pcapng", &[]), (1, true), "what is new is worse");
    assert_eq!(whole("closed.pcapng", "open.pcapng", &keylog).0, 0);
}

fn blocks_of(file: &[u8], kind: u32) -> usize {
    blocks(file).iter().filter(|(of, _)| *of == kind).count()
}

/// Alerts by number and statuses of HTTP, how often each was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Inside {
    alerts: BTreeMap<u64, u64>,
    statuses: BTreeMap<u64, u64>,
    certificates: u64,
}

impl Rows for Inside {
    fn flow(&mut self, flow: &Flow) {
        let Some(tls) = &flow.tls else { return };
        self.certificates += tls.certificates.iter().flatten().count() as u64;
        for alert in tls.alerts.iter().filter_map(|alert| alert.description) {
            *self.alerts.entry(alert.into()).or_default() += 1;
        }
    }

    fn exchange(&mut self, exchange: &Exchange, _: &FlowHead) {
        if let Some(status) = exchange.status {
            *self.statuses.entry(status.into()).or_default() += 1;
        }
    }
}

impl Inside {
    /// tshark uses what the file carries, as is done here.
    fn of_tshark(path: &Path) -> Option<Self> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(path).args(["-Y", "tcp", "-T", "fields", "-E", "separator=/t"]);
        // Records are numbered: whoever takes segments as they come opens none behind those out of order.
        command.args(["-o", "tcp.reassemble_out_of_order:TRUE"]);
        let fields = ["tls.alert_message.desc", "http.response.code", "http2.headers.status"];
        for field in fields.iter().chain(&["tls.handshake.certificate_length"]) {
            command.args(["-e", field]);
        }
        let (output, mut inside) = (command.output().ok()?, Self::default());
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let values: Vec<Vec<u64>> = line
                .split('\t')
                .map(|field| field.split(',').filter_map(|value| value.parse().ok()).collect())
                .collect();
            let count = |known: &mut BTreeMap<u64, u64>, field: usize| {
                let values = values.get(field).into_iter().flatten();
                values.for_each(|value| *known.entry(*value).or_default() += 1);
            };
            count(&mut inside.alerts, 0);
            count(&mut inside.statuses, 1);
            count(&mut inside.statuses, 2);
            inside.certificates += values.get(3).map_or(0, Vec::len) as u64;
        }
        Some(inside)
    }
}

#[test]
fn what_keys_open_is_tsharks() {
    let names = ["tls13_expired_keys", "healthy_tls_keys", "http_error_inside_tls"];
    let more = std::env::var_os("PCAPSY_CAPTURES").and_then(|folder| fs::read_dir(folder).ok());
    let more = more.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let more = more.filter(|path| path.extension().is_some_and(|ending| ending == "pcapng"));
    for path in names.map(|name| lab(&format!("{name}.pcapng"))).into_iter().chain(more) {
        let Some(theirs) = Inside::of_tshark(&path) else { return eprintln!("skipped: no tshark") };
        let mut ours = Inside::default();
        local::analyze(std::slice::from_ref(&path), &Config::default(), Run::default(), &mut ours, &|_| {})
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(theirs.certificates > 0 && !theirs.alerts.is_empty(), "{}", path.display());
        assert_eq!(ours, theirs, "{}", path.display());
        println!("{}: {theirs:?}", path.display());
    }
}

/// HTTP/2 of browsers, in a public capture with keys and with segments out of order.
#[test]
fn statuses_of_http2_are_tsharks() {
    let paths = corpus()
        .into_iter()
        .filter(|path| path.ends_with("packetpioneer__youtube__DoH-Sample-ChrisGreer.pcapng"));
    for path in paths {
        let Some(theirs) = Inside::of_tshark(&path) else { return eprintln!("skipped: no tshark") };
        let mut ours = Inside::default();
        local::analyze(std::slice::from_ref(&path), &Config::default(), Run::default(), &mut ours, &|_| {})
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(ours.statuses, theirs.statuses);
        assert_eq!(ours.statuses.get(&200), Some(&62), "{:?}", ours.statuses);
    }
}
