//! Every hand-made capture against its truth file: what must be found, and nothing else at warning or above.
//!
//! `cargo test --test synthetic -- --nocapture` prints the table.

#![allow(clippy::print_stdout)]

mod support;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use support::truth::{self, Score, analyze, json, name};

fn captures() -> Vec<PathBuf> {
    let files = truth::captures("synthetic");
    assert!(files.len() > 60, "{} captures", files.len());
    files
}

#[test]
fn what_must_be_found_is_found_and_nothing_else() {
    let (mut expected, mut pending, mut wrong) = (0, Vec::new(), Vec::new());
    println!("{}", Score::HEADING);
    for path in captures() {
        let score = Score::of(&path);
        println!("{}", score.line(&path));
        expected += score.expected;
        pending.extend(score.pending.iter().map(|label| format!("{}: {label}", name(&path))));
        wrong.extend(score.wrong(&path));
    }
    println!("{expected} expected, {} wrong", wrong.len());
    println!("not yet detected at all: {pending:#?}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Threads, KiB per chunk, partitions.
const CUTS: [(&str, u32, u32); 5] =
    [("1", 2048, 16), ("1", 16, 1), ("2", 64, 3), ("7", 16, 16), ("7", 2048, 1)];

#[test]
fn the_report_is_the_same_bytes_however_the_work_is_cut() {
    for path in captures() {
        let reports = CUTS.map(|(threads, chunk_kib, partitions)| {
            let configuration = format!("[limits]\nchunk_kib = {chunk_kib}\npartitions = {partitions}\n");
            analyze(std::slice::from_ref(&path), &configuration, threads)
        });
        for (cut, report) in CUTS.iter().zip(&reports) {
            assert!(*report == reports[0], "{} differs at {cut:?}", name(&path));
        }
    }
}

#[test]
fn five_files_give_the_report_of_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for scene in support::scenes::all() {
        let capture = scene.capture();
        let write = |name: String, packets: &[support::capture::Packet]| {
            let path = folder.path().join(name);
            let part = support::capture::Capture { packets: packets.to_vec() };
            fs::write(&path, part.pcap()).expect("written");
            path
        };
        let whole = write(format!("{}.pcap", scene.name), &capture.packets);
        let size = capture.packets.len().div_ceil(5);
        let parts: Vec<PathBuf> = capture
            .packets
            .chunks(size)
            .zip(1..)
            .map(|(packets, number)| write(format!("{}.{number}.pcap", scene.name), packets))
            .collect();
        let (one, five) = (json(&analyze(&[whole], "", "2")), json(&analyze(&parts, "", "2")));
        assert_eq!(five["capture"]["files"].as_array().map(Vec::len), Some(parts.len()));
        assert_eq!(without_places(one), without_places(five), "{}", scene.name);
    }
}

/// The report without what depends on files: their list, frame numbers, and how many were not judged.
fn without_places(mut report: Value) -> Value {
    let capture = report["capture"].as_object_mut().expect("an object");
    capture.remove("files");
    // Nothing goes backwards from one file to the next.
    capture.remove("backwards");
    for list in ["not_assessed", "ruled_out"] {
        report[list].as_array_mut().expect("an array").retain(|entry| entry["unit"] != "files");
    }
    for incident in report["incidents"].as_array_mut().into_iter().flatten() {
        incident["evidence"].take();
    }
    for finding in report["findings"].as_array_mut().into_iter().flatten() {
        finding["wireshark_filter"].take();
        for evidence in finding["evidence"].as_array_mut().into_iter().flatten() {
            evidence["file"].take();
            evidence["frame"].take();
        }
    }
    report
}
