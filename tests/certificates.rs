//! Server names and certificates of the public captures against those that an installed tshark reads.
//!
//! Skips when the captures of `../shared/corpus` or tshark are not there. `cargo test --test certificates --
//! --nocapture` prints what was compared.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use pcapsy::app::tls::Certificate;
use pcapsy::config::Config;
use pcapsy::flow::Flow;
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use pcapsy::time::Timestamp;
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
    (
        "packetpioneer__youtube__DoH-Sample-ChrisGreer.pcapng",
        "readable only with the keys that the file carries; tshark decrypts",
    ),
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
    for path in corpus() {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(fields) = theirs(&path) else { return eprintln!("skipped: no tshark") };
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
