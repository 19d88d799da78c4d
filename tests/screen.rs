//! The answer fits one screen, whatever the capture.
//!
//! `cargo test --test screen -- --nocapture` prints the longest ones and the number of incidents.

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pcapsy::config::Config;
use pcapsy::correlate::Layer;
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use pcapsy::report::model::Report;
use pcapsy::report::text::{self, View};

struct NoRows;

impl Rows for NoRows {}

/// Every capture at hand: those committed, and the public ones when they are there.
fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["testdata/synthetic", "testdata/lab/captures", "../shared/corpus"];
    let mut files: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(root.join(folder)).ok())
        .flatten()
        .map(|entry| entry.expect("readable").path())
        .collect();
    let capture = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng" || ending == "cap")
    };
    files.retain(capture);
    files.sort();
    files
}

/// What nobody but the screen's caller adds: where the files are.
const FILES: usize = 2;

#[test]
fn every_capture_fits_forty_lines_of_a_hundred_columns() {
    let (mut longest, mut incidents, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    for path in captures() {
        let run = Run { threads: 2, ..Run::default() };
        let inputs = std::slice::from_ref(&path);
        let Ok(outcome) = local::analyze(inputs, &Config::default(), run, &mut NoRows, &|_| {}) else {
            continue;
        };
        let report = Report::new(&outcome, &Config::default());
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let plain = text::plain(&report, View::Screen(3), 100).expect("memory");
        let page = String::from_utf8(plain).expect("text");
        let lines = page.lines().count() + FILES;
        if lines > 40 {
            wrong.push(format!("{name}: {lines} lines\n{page}"));
        }
        wrong.extend(
            page.lines()
                .filter(|line| line.chars().count() > 100)
                .map(|line| format!("{name}: wide: {line}")),
        );
        let taken: usize = report.incidents.iter().map(|cited| 1 + cited.incident.symptoms.len()).sum();
        if taken + report.other.len() != report.findings.len() {
            wrong.push(format!("{name}: a finding has two places or none"));
        }
        for cited in &report.incidents {
            // What the recorder says of itself stands in no packet.
            let unproven = cited.evidence.is_empty() && cited.incident.layer != Layer::Capture;
            if cited.incident.story.is_empty() || unproven {
                wrong.push(format!("{name}: {} has no story or no frames", cited.incident.title));
            }
        }
        *verdicts.entry(format!("{:?}", report.verdict.status)).or_default() += 1;
        longest.push((lines, report.incidents.len(), report.findings.len(), name));
        incidents.push(report.incidents.len());
    }
    longest.sort();
    incidents.sort_unstable();
    println!("{} captures, lines / incidents / findings of the longest:", longest.len());
    longest.iter().rev().take(10).for_each(|one| println!("{:4} {:4} {:4}  {}", one.0, one.1, one.2, one.3));
    println!("median of {} incidents, most {:?}", incidents[incidents.len() / 2], incidents.last());
    println!("{verdicts:?}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
