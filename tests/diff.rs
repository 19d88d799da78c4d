//! What `pcapsy diff` and `--baseline` say of real captures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn lab(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures").join(name)
}

fn pcapsy(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pcapsy")).args(arguments).output().expect("runs")
}

fn diff(before: &Path, after: &Path) -> (Value, Option<i32>) {
    let ran = pcapsy(&["diff".as_ref(), "-q".as_ref(), "--json".as_ref(), before, after]);
    let json = serde_json::from_slice(&ran.stdout);
    let json = json.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ran.stderr)));
    (json, ran.status.code())
}

fn measures(diff: &Value, direction: &str) -> Vec<String> {
    let changes = diff["changes"].as_array().expect("changes").iter();
    let of = changes.filter(|change| change["direction"] == direction && change["certain"] == true);
    of.map(|change| format!("{} {}", change["subject"].as_str().expect("a subject"), change["measure"]))
        .collect()
}

/// The records of a classic pcap before and after a part of its time.
fn halves(capture: &Path, part: f64, folder: &Path) -> [PathBuf; 2] {
    let bytes = fs::read(capture).expect("committed");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    let (mut at, mut records) = (24, Vec::new());
    while at + 16 <= bytes.len() {
        let end = at + 16 + word(at + 8) as usize;
        records.push((f64::from(word(at)) + f64::from(word(at + 4)) / 1e6, &bytes[at..end]));
        at = end;
    }
    assert_eq!(word(0), 0xa1b2_c3d4, "microseconds");
    let [first, last] = [records.first(), records.last()].map(|record| record.expect("packets").0);
    let cut = first + (last - first) * part;
    [("before.pcap", true), ("after.pcap", false)].map(|(name, early)| {
        let kept = records.iter().filter(|(time, _)| (*time < cut) == early);
        let kept: Vec<u8> = kept.flat_map(|(_, record)| record.iter().copied()).collect();
        let path = folder.join(name);
        fs::write(&path, [&bytes[..24], &kept].concat()).expect("written");
        path
    })
}

#[test]
fn a_capture_is_not_worse_than_itself() {
    for name in ["healthy_mix.pcap", "tls_expired_leaf.pcap", "loss_random_2.pcap", "syn_flood.pcap"] {
        let (found, code) = diff(&lab(name), &lab(name));
        assert_eq!((found["changes"].as_array().map(Vec::len), code), (Some(0), Some(0)), "{name}: {found}");
        assert_eq!(found["incidents_new"].as_array().map(Vec::len), Some(0), "{name}");
    }
}

#[test]
fn healthy_captures_are_not_worse_than_one_another() {
    let healthy =
        ["healthy_mix.pcap", "healthy_browser.pcap", "healthy_monitoring.pcap", "healthy_websocket.pcap"];
    for before in healthy {
        for after in healthy {
            let (found, code) = diff(&lab(before), &lab(after));
            assert_eq!((measures(&found, "worse"), code), (vec![], Some(0)), "{before} {after}");
        }
    }
}

#[test]
fn what_happened_is_new_and_comes_first() {
    for (name, title) in [
        ("tls_expired_intermediate.pcap", "expired"),
        ("dns_servfail_upstream.pcap", "SERVFAIL"),
        ("mtu_silent_upload.pcap", "never arrive"),
        ("host_down.pcap", "cannot be reached"),
    ] {
        let (found, code) = diff(&lab("healthy_mix.pcap"), &lab(name));
        let first = found["incidents_new"][0]["title"].as_str().expect("an incident");
        assert!(first.contains(title), "{name}: {first}");
        assert_eq!(code, Some(1), "{name}");
    }
}

#[test]
fn a_step_of_the_round_trip_is_worse_and_healthy_traffic_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let [before, after] = halves(&lab("rtt_step.pcap"), 0.3, folder.path());
    let (found, code) = diff(&before, &after);
    let worse = measures(&found, "worse");
    assert!(worse.iter().any(|measure| measure.contains("time")), "{worse:?}");
    assert_eq!(code, Some(1));
    let [before, after] = halves(&lab("healthy_monitoring.pcap"), 0.5, folder.path());
    let (found, code) = diff(&before, &after);
    assert_eq!((measures(&found, "worse"), measures(&found, "other"), code), (vec![], vec![], Some(0)));
}

#[test]
fn a_report_stands_for_its_capture() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report");
    let (capture, never) = (lab("tls_expired_intermediate.pcap"), Path::new("never"));
    let fail: &Path = "--fail-on".as_ref();
    pcapsy(&["analyze".as_ref(), "-q".as_ref(), fail, never, "--out".as_ref(), &report, &capture]);
    let (found, code) = diff(&report, &capture);
    assert_eq!((found["changes"].as_array().map(Vec::len), code), (Some(0), Some(0)), "{found}");
    assert_eq!(found["ways"], false, "a report does not keep them");
    let (of_captures, _) = diff(&capture, &capture);
    assert_eq!(found["services"], of_captures["services"]);
    let (found, code) = diff(&lab("healthy_mix.pcap"), &report.join("report.json"));
    assert_eq!((found["incidents_new"].as_array().map(Vec::len), code), (Some(1), Some(1)));

    // What is missing from a report is missing from what it is compared with.
    let (cut, report) = (folder.path().join("cut.pcap"), folder.path().join("cut"));
    let bytes = fs::read(lab("healthy_mix.pcap")).expect("committed");
    fs::write(&cut, &bytes[..bytes.len() - 9]).expect("written");
    pcapsy(&["analyze".as_ref(), "-q".as_ref(), "--out".as_ref(), &report, &cut]);
    let ran = pcapsy(&["diff".as_ref(), &report, &lab("healthy_mix.pcap")]);
    assert_eq!(ran.status.code(), Some(3));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("cut.pcap") && said.contains(" at offset "), "{said}");
}

#[test]
fn a_baseline_takes_what_is_known_out_of_the_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let known = folder.path().join("known");
    let capture = lab("dns_servfail_upstream.pcap");
    let analyze = |more: &[&Path]| {
        let arguments: Vec<&Path> =
            ["analyze", "-q"].iter().map(Path::new).chain(more.iter().copied()).collect();
        pcapsy(&arguments)
    };
    assert_eq!(analyze(&["--out".as_ref(), &known, &capture]).status.code(), Some(1));
    let (no_files, baseline): (&Path, &Path) = ("--no-files".as_ref(), "--baseline".as_ref());
    let same = analyze(&[no_files, baseline, &known, &capture]);
    assert_eq!(same.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&same.stdout).ends_with("\nbaseline: nothing new in 1 incident\n"));
    let fail_on = ["--fail-on", "warning"].map(Path::new);
    let other = analyze(&[no_files, fail_on[0], fail_on[1], baseline, &known, &lab("host_down.pcap")]);
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stdout).ends_with("\nbaseline: 1 of 1 incident new: I-01\n"));
    let wrong = analyze(&[no_files, baseline, &capture, &capture]);
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(3), 0));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("is no report of this program"));
}
