//! Every hand-made capture against its truth file: what must be found, and nothing else at warning or above.
//!
//! `cargo test --test synthetic -- --nocapture` prints the table.

#![allow(clippy::print_stdout)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde::Deserialize;
use serde_json::Value;

/// A truth file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Truth {
    /// The severity from which a finding that is not expected is a false alarm.
    forbid_at: String,
    /// Detectors that may speak without being expected.
    #[serde(default)]
    allow: BTreeSet<String>,
    #[serde(default)]
    expect: Vec<Expect>,
    #[serde(default)]
    event: Vec<Event>,
}

/// Classified segments that must be there, exactly so many.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    kind: String,
    /// Empty: those that were needed; `path_mtu`: those of path MTU discovery; `any`: all of the kind.
    which: String,
    count: usize,
}

impl Event {
    fn is(&self, row: &Value) -> bool {
        row["kind"] == *self.kind
            && match self.which.as_str() {
                "" => row["spurious"].is_null() && row["path_mtu"] == false,
                "path_mtu" => row["path_mtu"] == true,
                which => which == "any",
            }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    detector: String,
    variant: Option<String>,
    min_severity: String,
    server: Option<String>,
    port: Option<u64>,
    /// A word of the title or the summary.
    mentions: Option<String>,
}

impl Expect {
    /// The detector, or this variant of it, is not there yet: listed, not failed.
    fn is_pending(&self) -> bool {
        let rule = pcapsy::detect::RULES.iter().find(|rule| rule.name == self.detector);
        let variant = self.variant.as_deref();
        rule.is_none_or(|rule| variant.is_some_and(|variant| !rule.variants.contains(&variant)))
    }

    fn is_met_by(&self, finding: &Value) -> bool {
        let subject = &finding["subject"];
        finding["detector"] == *self.detector
            && self.variant.as_ref().is_none_or(|variant| finding["variant"] == **variant)
            && rank(&finding["severity"]) >= rank(&Value::from(self.min_severity.as_str()))
            && self.server.as_ref().is_none_or(|server| subject["server"] == **server)
            && self.port.is_none_or(|port| subject["port"] == port)
            && self.mentions.as_ref().is_none_or(|word| {
                let said = |key: &str| finding[key].as_str().is_some_and(|text| text.contains(word.as_str()));
                said("title") || said("summary")
            })
    }
}

/// A severity as a number; one that nobody knows is a mistake in a truth file or a report.
fn rank(severity: &Value) -> usize {
    let known = ["info", "warning", "critical"];
    known.iter().position(|name| severity == name).unwrap_or_else(|| panic!("severity {severity}"))
}

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/synthetic");
    let entries = fs::read_dir(folder).expect("the captures are there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng"));
    files.sort();
    assert!(files.len() > 60, "{} captures", files.len());
    files
}

fn name(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The JSON report, run from an empty folder so that no configuration of the caller is read.
fn analyze(inputs: &[PathBuf], configuration: &str, threads: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("cut.toml");
    fs::write(&config, configuration).expect("written");
    let output = Command::cargo_bin("pcapsy")
        .expect("built")
        .current_dir(folder.path())
        .args(["analyze", "--json", "--no-files", "--fail-on", "never", "--quiet", "--threads", threads])
        .arg("--config")
        .arg(&config)
        .args(inputs)
        .output()
        .expect("run");
    let code = output.status.code();
    // 3: the capture is damaged on purpose; what was read is reported all the same.
    assert!(matches!(code, Some(0 | 3)), "{inputs:?}: {code:?} {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The rows of `pcapsy events`.
fn events(path: &Path) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::cargo_bin("pcapsy").expect("built");
    let command = command.current_dir(folder.path()).args(["events", "--quiet", "--format", "jsonl"]);
    let output = command.arg(path).output().expect("run");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| json(line.as_bytes())).collect()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn list(report: &Value) -> &[Value] {
    report["findings"].as_array().map_or(&[], Vec::as_slice)
}

fn label(finding: &Value) -> String {
    let text = |key: &str| finding[key].as_str().unwrap_or_default();
    format!("{} {} ({})", text("detector"), text("variant"), text("severity"))
}

#[test]
fn what_must_be_found_is_found_and_nothing_else() {
    let (mut expected, mut pending) = (0, Vec::new());
    let (mut missing, mut false_alarms) = (Vec::new(), Vec::new());
    println!("{:38} {:>8} {:>5} {:>7} {:>5}", "capture", "expected", "found", "missing", "false");
    for path in captures() {
        let text = fs::read_to_string(path.with_extension("toml")).expect("a truth file for every capture");
        let truth: Truth =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let report = json(&analyze(std::slice::from_ref(&path), "", "2"));
        let (later, now): (Vec<&Expect>, Vec<&Expect>) =
            truth.expect.iter().partition(|expect| expect.is_pending());
        let unmet: Vec<&Expect> = now
            .iter()
            .copied()
            .filter(|expect| !list(&report).iter().any(|finding| expect.is_met_by(finding)))
            .collect();
        let limit = rank(&Value::from(truth.forbid_at.as_str()));
        let asked_for = |finding: &Value| {
            let detector = finding["detector"].as_str().unwrap_or_default();
            truth.allow.contains(detector) || truth.expect.iter().any(|expect| expect.detector == detector)
        };
        let unasked: Vec<&Value> = list(&report)
            .iter()
            .filter(|finding| rank(&finding["severity"]) >= limit && !asked_for(finding))
            .collect();
        println!(
            "{:38} {:>8} {:>5} {:>7} {:>5}",
            name(&path),
            now.len(),
            now.len() - unmet.len(),
            unmet.len(),
            unasked.len()
        );
        expected += now.len();
        pending.extend(later.iter().map(|expect| {
            format!("{}: {} {}", name(&path), expect.detector, expect.variant.as_deref().unwrap_or(""))
        }));
        let rows = if truth.event.is_empty() { Vec::new() } else { events(&path) };
        for event in &truth.event {
            let count = rows.iter().filter(|row| event.is(row)).count();
            if count != event.count {
                let (kind, which) = (&event.kind, &event.which);
                missing.push(format!("{}: {count} of {} {kind} {which}", name(&path), event.count));
            }
        }
        missing.extend(unmet.iter().map(|expect| {
            let said: Vec<String> = list(&report).iter().map(label).collect();
            let variant = expect.variant.as_deref().unwrap_or("");
            format!("{}: {} {variant} is missing; found {said:?}", name(&path), expect.detector)
        }));
        false_alarms.extend(unasked.iter().map(|finding| {
            format!("{}: {}: {}", name(&path), label(finding), finding["title"].as_str().unwrap_or_default())
        }));
    }
    println!("{expected} expected, {} missing, {} false alarms", missing.len(), false_alarms.len());
    println!("not yet detected at all: {pending:#?}");
    let wrong: Vec<String> = missing.into_iter().chain(false_alarms).collect();
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

/// The report without what is of files: their list, the frame numbers in them, and how many could not be judged.
fn without_places(mut report: Value) -> Value {
    let capture = report["capture"].as_object_mut().expect("an object");
    capture.remove("files");
    // Nothing goes backwards from one file to the next.
    capture.remove("backwards");
    for list in ["not_assessed", "ruled_out"] {
        report[list].as_array_mut().expect("an array").retain(|entry| entry["unit"] != "files");
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
