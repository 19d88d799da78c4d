//! Which inputs are one capture, and what happens to those that are several.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

fn lab(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures").join(name)
}

/// A folder with these captures of the lab under these names.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (from, to) in files {
        fs::copy(lab(from), folder.path().join(to)).expect("copied");
    }
    folder
}

fn pcapsy(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("pcapsy").expect("built");
    let output = command.current_dir(folder).env("NO_COLOR", "1").args(arguments).output().expect("run");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}

const ROTATION: [(&str, &str); 5] = [
    ("five_files.pcap", "ring.pcap"),
    ("five_files.2.pcap", "ring.pcap1"),
    ("five_files.3.pcap", "ring.pcap2"),
    ("five_files.4.pcap", "ring.pcap3"),
    ("five_files.5.pcap", "ring.pcap4"),
];

#[test]
fn the_files_of_a_rotation_are_one_capture() {
    let folder = folder(&ROTATION);
    let (_, stdout, _) = pcapsy(folder.path(), &["analyze", "--json", "--no-files", "."]);
    let report: Value = serde_json::from_str(&stdout).expect("one report");
    assert_eq!(report["capture"]["files"].as_array().map(Vec::len), Some(5));
}

#[test]
fn captures_that_have_nothing_to_do_with_each_other_are_analysed_each_for_itself() {
    let folder = folder(&[("syn_refused.pcap", "monday.pcap"), ("dns_refused.pcap", "friday.pcap")]);
    let arguments = ["analyze", "--fail-on", "never", "friday.pcap", "monday.pcap"];
    let (code, stdout, stderr) = pcapsy(folder.path(), &arguments);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("2 captures, each analysed for itself"), "{stdout}");
    for name in ["monday", "friday"] {
        let report = fs::read(folder.path().join(format!("reports/{name}/report.json"))).expect("a report");
        let together: Value = serde_json::from_slice(&report).expect("JSON");
        let path = format!("{name}.pcap");
        let (_, alone, _) = pcapsy(folder.path(), &["analyze", "--json", "--no-files", &path]);
        assert_eq!(together, serde_json::from_str::<Value>(&alone).expect("JSON"), "{name}");
    }
    let (code, stdout, stderr) = pcapsy(folder.path(), &["flows", "."]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("the inputs are 2 captures"), "{stderr}");
    let (code, stdout, _) = pcapsy(folder.path(), &["flows", "--set", "--format", "jsonl", "."]);
    assert!(code == 0 && !stdout.is_empty());
    let arguments = ["analyze", "--json", "--no-files", "--fail-on", "never", "--set", "."];
    let (_, stdout, _) = pcapsy(folder.path(), &arguments);
    let report = serde_json::from_str::<Value>(&stdout).expect("one report");
    assert_eq!(report["capture"]["files"].as_array().map(Vec::len), Some(2));
}

#[test]
fn two_points_recorded_at_the_same_time_are_not_read_one_after_the_other() {
    let folder = folder(&[("five_files.pcap", "tap1.pcap")]);
    let mut bytes = fs::read(folder.path().join("tap1.pcap")).expect("copied");
    // Another snapshot length in the header: the same packets in another file.
    bytes[16] ^= 1;
    fs::write(folder.path().join("tap2.pcap"), bytes).expect("written");
    let (_, stdout, _) = pcapsy(folder.path(), &["analyze", "--no-files", "."]);
    assert!(stdout.starts_with("2 captures"), "{stdout}");
}

#[test]
fn a_copy_is_refused_and_a_second_name_is_read_once() {
    let folder = folder(&[("syn_refused.pcap", "a.pcap"), ("syn_refused.pcap", "b.pcap")]);
    let json = ["analyze", "--json", "--no-files", "--fail-on", "never"];
    let report = |inputs: &[&str]| {
        let (code, stdout, stderr) = pcapsy(folder.path(), &[&json[..], inputs].concat());
        (code, serde_json::from_str::<Value>(&stdout).expect("one report"), stderr)
    };
    let (code, of_both, stderr) = report(&["a.pcap", "b.pcap"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("b.pcap: a copy of a.pcap, byte for byte"), "{stderr}");
    assert_eq!(of_both["capture"]["files"].as_array().map(Vec::len), Some(1));
    let (code, of_folder, _) = report(&["."]);
    assert_eq!(code, 0, "a copy that lies about is left out");
    assert!(
        of_folder["capture"]["ignored"][0]["reason"].as_str().is_some_and(|why| why.contains("a copy of"))
    );
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("a.pcap", folder.path().join("c.pcap")).expect("linked");
        let (code, of_link, _) = report(&["a.pcap", "c.pcap"]);
        let why = of_link["capture"]["ignored"][0]["reason"].as_str().unwrap_or_default();
        assert!(code == 0 && why.contains("the same file as a.pcap"), "{why}");
    }
}

#[test]
fn a_capture_that_is_cut_is_3() {
    let folder = folder(&[("syn_refused.pcap", "cut.pcap")]);
    let path = folder.path().join("cut.pcap");
    let bytes = fs::read(&path).expect("copied");
    fs::write(&path, &bytes[..bytes.len() - 5]).expect("written");
    for command in [&["analyze", "--no-files", "--fail-on", "never"][..], &["flows"]] {
        assert_eq!(pcapsy(folder.path(), &[command, &["cut.pcap"]].concat()).0, 3, "{command:?}");
    }
}

#[test]
fn a_table_has_the_rows_that_were_asked_for() {
    let folder = folder(&[("healthy_mix.pcap", "mix.pcap")]);
    let flows = |arguments: &[&str]| -> Vec<Value> {
        let columns = ["flows", "mix.pcap", "-f", "jsonl", "-c", "flow_id,proto,orig_bytes,id.resp_p"];
        let (code, stdout, stderr) = pcapsy(folder.path(), &[&columns[..], arguments].concat());
        assert_eq!(code, 0, "{stderr}");
        stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let all = flows(&[]);
    let udp: Vec<Value> = all.iter().filter(|row| row["proto"] == "udp").cloned().collect();
    assert!(!udp.is_empty() && udp.len() < all.len());
    assert_eq!(flows(&["--where", "proto=udp"]), udp);
    assert_eq!(flows(&["-w", "proto=udp", "-w", "id.resp_p!=53"]).len(), {
        udp.iter().filter(|row| row["id.resp_p"] != 53).count()
    });
    let mut largest = all.clone();
    largest.sort_by_key(|row| std::cmp::Reverse(row["orig_bytes"].as_u64()));
    assert_eq!(flows(&["--sort", "-orig_bytes"]), largest);
    largest.truncate(3);
    assert_eq!(flows(&["--sort", "-orig_bytes", "--limit", "3"]), largest);
    assert_eq!(flows(&["-n", "2"]), all[..2]);
    for (arguments, message) in [
        (&["-w", "orig_bites>1"][..], "did you mean orig_bytes?"),
        (&["-w", "orig_bytes>x"], "expected a whole number"),
        (&["-s", "orig_bytes", "-n", "1", "-f", "parquet"], "parquet is written as rows come"),
    ] {
        let (code, _, stderr) = pcapsy(folder.path(), &[&["flows", "mix.pcap"], arguments].concat());
        assert!(code == 2 && stderr.contains(message), "{arguments:?}: {code} {stderr}");
    }
}
