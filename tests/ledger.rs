//! Every warning of the public captures of `../shared/corpus` was held against the frames. The verdicts are
//! in `tests/ledger`, one file per detector.
//!
//! Skips when the corpus is not there. `cargo test --test ledger -- --nocapture` prints precision per
//! detector, when the findings were first judged and now.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use support::truth;

const COLUMNS: &str = "file\tkey\tvariant\tseverity\tverdict\twhy";
/// From this severity on a finding has to be judged, and the one above it.
const SEVERITIES: [&str; 2] = ["warning", "critical"];
/// In the column of severities: a mended rule made the finding.
const MENDED: &str = "mended";
const VERDICTS: [&str; 4] = ["true", "false", "misleading", "repeats"];

/// A capture's file name and a finding's key.
type Place = (String, String);

/// A line of a ledger.
struct Line {
    place: Place,
    severity: String,
    verdict: String,
    why: String,
}

/// The ledgers by detector.
fn ledgers() -> BTreeMap<String, Vec<Line>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledger");
    let files = fs::read_dir(folder).expect("the ledgers").map(|file| file.expect("a ledger").path());
    let detector = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    files.map(|path| (detector(&path).expect("a name"), lines(&path))).collect()
}

fn lines(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path).expect("a ledger is text");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(COLUMNS), "{}", path.display());
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [file, key, _, severity, verdict, why] = fields[..] else {
            panic!("{}: {line:?} has {} columns of 6", path.display(), fields.len());
        };
        let known = SEVERITIES.contains(&severity) || severity == MENDED;
        assert!(known && VERDICTS.contains(&verdict) && !why.is_empty(), "{}: {line:?}", path.display());
        let place = (file.to_owned(), key.to_owned());
        Line { place, severity: severity.to_owned(), verdict: verdict.to_owned(), why: why.to_owned() }
    };
    lines.map(parse).collect()
}

/// Known to be wrong still: detector, capture. They are there until somebody mends the rule; a line that
/// holds again must go.
const KNOWN: [(&str, &str); 2] = [
    ("capture_loss", "OISF__suricata-verify__tests_transform-base64-7296_input.pcap"),
    ("capture_loss", "ntop__nDPI__ndpi_match_string_subprotocol__error.pcapng"),
];

/// What is found now at warning or above, by detector: severity by place.
fn found(captures: &[PathBuf]) -> BTreeMap<String, BTreeMap<Place, String>> {
    let reports: Vec<_> = captures
        .par_iter()
        .map(|path| truth::json(&truth::analyze(std::slice::from_ref(path), "", "1")))
        .collect();
    let mut found: BTreeMap<String, BTreeMap<Place, String>> = BTreeMap::new();
    for (path, report) in captures.iter().zip(reports) {
        for finding in report["findings"].as_array().into_iter().flatten() {
            let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
            if SEVERITIES.contains(&text("severity").as_str()) {
                let file = path.file_name().expect("a name").to_string_lossy().into_owned();
                let of = found.entry(text("detector")).or_default();
                of.insert((file, text("key")), text("severity"));
            }
        }
    }
    found
}

/// What speaks against the findings of a detector, and why.
fn objections(ledger: &[Line], found: &BTreeMap<Place, String>) -> Vec<String> {
    let rank = |severity: &str| SEVERITIES.iter().position(|known| *known == severity);
    let mut objections = Vec::new();
    let mut judged = BTreeSet::new();
    for line in ledger {
        let now = found.get(&line.place);
        let back = match line.verdict.as_str() {
            "false" => now.is_some(),
            // At a lower severity it may be right; another line says so.
            "misleading" => now.is_some_and(|severity| rank(severity) >= rank(&line.severity)),
            _ => false,
        };
        let lost = line.verdict == "true" && now.is_none();
        if back || lost {
            let what = if back { "is back" } else { "is lost" };
            let (file, key) = &line.place;
            objections.push(format!("{} {what}: {file} {key}: {}", line.verdict, line.why));
        }
        if line.verdict != "misleading" || back {
            judged.insert(&line.place);
        }
    }
    let unknown = found.iter().filter(|(place, _)| !judged.contains(place));
    objections.extend(
        unknown.map(|((file, key), severity)| format!("nobody has judged this {severity}: {file} {key}")),
    );
    objections
}

/// `2 of 3 true (67 %)`.
fn precision(good: usize, all: usize) -> String {
    let percent = (100 * good).checked_div(all).unwrap_or(100);
    format!("{good:3} of {all:3} true ({percent} %)")
}

#[test]
fn every_warning_is_judged_and_none_is_wrong() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(manifest) = fs::read_to_string(folder.join("MANIFEST.tsv")) else {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    };
    let names = manifest.lines().skip(1).filter_map(|line| line.split('\t').next());
    let captures: Vec<PathBuf> = names.map(|name| folder.join(name)).collect();
    let found = found(&captures);
    let mut wrong = Vec::new();
    println!("{:20} when judged          now", "detector");
    // Also a detector of which nobody has judged anything yet.
    let mut ledgers = ledgers();
    for detector in found.keys() {
        ledgers.entry(detector.clone()).or_default();
    }
    for (detector, ledger) in ledgers {
        let none = BTreeMap::new();
        let now = found.get(&detector).unwrap_or(&none);
        let first: Vec<&Line> = ledger.iter().filter(|line| line.severity != MENDED).collect();
        let good = |line: &&Line| line.verdict == "true";
        let then = precision(first.iter().copied().filter(good).count(), first.len());
        let held: BTreeSet<&Place> = ledger.iter().filter(good).map(|line| &line.place).collect();
        let still = now.keys().filter(|place| held.contains(place)).count();
        println!("{detector:20} {then}  {}", precision(still, now.len()));
        wrong.extend(objections(&ledger, now).iter().map(|text| format!("{detector}: {text}")));
    }
    for (detector, capture) in KNOWN {
        let known = |text: &String| text.starts_with(&format!("{detector}: ")) && text.contains(capture);
        let before = wrong.len();
        wrong.retain(|text| !known(text));
        assert!(wrong.len() < before, "{detector} is right about {capture} now: take it off the list");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_back_lost_or_new_is_told() {
    let line = |key: &str, severity: &str, verdict: &str| Line {
        place: ("a.pcap".to_owned(), key.to_owned()),
        severity: severity.to_owned(),
        verdict: verdict.to_owned(),
        why: "because".to_owned(),
    };
    let found = |findings: &[(&str, &str)]| -> BTreeMap<Place, String> {
        let place = |key: &str| ("a.pcap".to_owned(), key.to_owned());
        findings.iter().map(|(key, severity)| (place(key), (*severity).to_owned())).collect()
    };
    let ledger = [
        line("1", "critical", "true"),
        line("2", "critical", "false"),
        line("3", "critical", "misleading"),
        line("3", MENDED, "true"),
        line("4", "warning", "repeats"),
    ];
    let fine = found(&[("1", "warning"), ("3", "warning"), ("4", "warning")]);
    assert!(objections(&ledger, &fine).is_empty());
    let wrong = found(&[("2", "warning"), ("3", "critical"), ("5", "warning")]);
    let told = objections(&ledger, &wrong);
    assert_eq!(told.len(), 4, "{told:#?}");
}
