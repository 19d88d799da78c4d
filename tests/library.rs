//! What `examples/library.rs` shows: a capture in memory, rows while they come, and a detector that is not in
//! the catalogue.

#[allow(dead_code, reason = "its main is the example's")]
#[path = "../examples/library.rs"]
mod library;

use std::path::Path;
use std::process::Command;

use pcapsy::correlate::Incident;
use pcapsy::detect::{RULES, Severity};
use serde_json::Value;

fn bytes(capture: &str) -> Vec<u8> {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures");
    std::fs::read(lab.join(capture)).expect("a capture of the lab")
}

#[test]
fn a_detector_outside_the_crate_finds_cites_and_belongs_to_incidents() {
    let mut rows = Vec::new();
    let report = library::analyze(bytes("tls_expired_leaf.pcap"), &mut rows).expect("a capture");
    let own: Vec<_> = report.findings.iter().filter(|ranked| ranked.finding.detector == "old_tls").collect();
    assert!(!own.is_empty());
    for found in own {
        assert_eq!(found.finding.severity, Severity::Warning);
        assert!(!found.evidence.is_empty() && found.evidence.iter().all(|cited| cited.file == "memory"));
        let cited = report.incidents.iter().map(|cited| &cited.incident);
        let of = |incident: &&Incident| incident.root == found.id || incident.symptoms.contains(&found.id);
        assert_eq!(cited.filter(of).count() + usize::from(report.other.contains(&found.id)), 1);
    }
    // Rows are those of the table, in its order.
    let rows = String::from_utf8(rows).expect("text");
    assert_eq!(rows.lines().count() as u64, report.capture.flows.values().sum::<u64>());
}

#[test]
fn beside_it_everything_is_as_without_it() {
    let mut rows = Vec::new();
    let report = library::analyze(bytes("tls_expired_leaf.pcap"), &mut rows).expect("a capture");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pcapsy"));
    let path = "testdata/lab/captures/tls_expired_leaf.pcap";
    let command = command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let printed = command.args(["analyze", "--json", "--no-files", path]).output().expect("run");
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let keys = |findings: &mut dyn Iterator<Item = String>| {
        let mut keys: Vec<String> = findings.collect();
        keys.sort();
        keys
    };
    let own =
        report.findings.iter().filter(|ranked| RULES.iter().any(|rule| rule.name == ranked.finding.detector));
    let listed = printed["findings"].as_array().expect("findings");
    assert_eq!(
        keys(&mut own.map(|ranked| ranked.key.clone())),
        keys(&mut listed.iter().filter_map(|finding| finding["key"].as_str().map(str::to_owned)))
    );
    assert_eq!(report.capture.packets, printed["capture"]["packets"].as_u64().expect("a number"));
}

#[test]
fn what_is_no_capture_is_an_error() {
    let error = library::analyze(b"not a capture".to_vec(), &mut std::io::sink()).expect_err("no capture");
    assert!(error.to_string().contains("memory"), "{error}");
}
