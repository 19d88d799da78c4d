//! `pcapsy extract` and the folder evidence/ of a report, by the command line.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use pcapsy::capture::{CaptureLimits, Reader};
use pcapsy::time::Timestamp;

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures").join(format!("{name}.pcap"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

struct Ran {
    code: i32,
    out: Vec<u8>,
    said: String,
}

fn pcapsy(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::cargo_bin("pcapsy").expect("built");
    let output = command.current_dir(folder).env("NO_COLOR", "1").args(arguments).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ran { code: output.status.code().expect("code"), out: output.stdout, said }
}

/// Time, interface, wire length and bytes of every packet.
type Seen = (Option<Timestamp>, u32, u32, Vec<u8>);

fn packets(path: &Path) -> Vec<Seen> {
    let mut reader = Reader::open(&[path.to_owned()], &CaptureLimits::default()).expect("a capture");
    let mut all = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        all.extend(chunk.packets().map(|one| (one.time, one.interface, one.wire, one.data.to_vec())));
    }
    assert!(reader.files().iter().all(|file| file.damages.is_empty()));
    all
}

#[test]
fn filters_and_times_choose_packets_as_they_were() {
    let folder = tempfile::tempdir().expect("folder");
    let input = capture("mtu_silent_upload");
    let original = packets(&input);
    let extract = |arguments: &[&str]| -> Vec<Seen> {
        let file = folder.path().join("x.pcapng");
        let all = [&["extract", text(&input), "-q", "-o", text(&file)], arguments].concat();
        let ran = pcapsy(folder.path(), &all);
        assert_eq!(ran.code, 0, "{arguments:?} {}", ran.said);
        packets(&file)
    };
    assert_eq!(extract(&["--filter", "frame.number >= 1"]), original);
    assert_eq!(
        extract(&["--filter", "frame.number in {2, 4..5}"]),
        [&original[1..2], &original[3..5]].concat()
    );
    let (from, to) = (original[3].0.expect("a time"), original[9].0.expect("a time"));
    let between = original.iter().filter(|(time, ..)| (from..=to).contains(&time.expect("a time")));
    let between: Vec<Seen> = between.cloned().collect();
    assert_eq!(extract(&["--from", &from.rfc3339(), "--to", &to.rfc3339()]), between);
    let tcp = extract(&["--filter", "tcp"]);
    let streams = extract(&["--filter", "tcp.stream == 0 || tcp.stream != 0"]);
    assert!(!tcp.is_empty());
    assert_eq!(tcp, streams);
    let first = extract(&["--filter", "tcp.stream == 0"]);
    let others = extract(&["--filter", "tcp && tcp.stream != 0"]);
    assert_eq!(first.len() + others.len(), tcp.len());
    // The same flow by its id, and by its community id.
    let flows =
        pcapsy(folder.path(), &["flows", text(&input), "-q", "--format", "jsonl", "--where", "proto=tcp"]);
    let line = String::from_utf8_lossy(&flows.out).lines().next().expect("a flow").to_owned();
    let flow: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let by_id = extract(&["--flow", &flow["flow_id"].to_string()]);
    let by_community = extract(&["--community-id", flow["community_id"].as_str().expect("text")]);
    let tcp_only: Vec<Seen> = by_id.iter().filter(|seen| tcp.contains(seen)).cloned().collect();
    assert_eq!(tcp_only, by_community);
    // To standard output it is the same.
    let ran = pcapsy(folder.path(), &["extract", text(&input), "-q", "--filter", "tcp"]);
    fs::write(folder.path().join("y.pcapng"), &ran.out).expect("written");
    assert_eq!(packets(&folder.path().join("y.pcapng")), tcp);
}

#[test]
fn what_cannot_be_extracted_is_said() {
    let folder = tempfile::tempdir().expect("folder");
    let input = capture("mtu_silent_upload");
    for (arguments, code, says) in [
        (&["--incident", "I-77"][..], 2, "no incident I-77"),
        (&["--finding", "F-777"], 2, "no finding F-777"),
        (&["--flow", "999999"], 2, "no flow 999999"),
        (&["--filter", "tcp.prt == 1"], 2, "did you mean tcp.port?"),
        (&["--from", "yesterday"], 2, "expected a time"),
        (&[], 2, "required"),
        (&["--filter", "tcp", "--key", "x"], 2, "--redact"),
        (&["--filter", "udp.port == 1"], 0, "no packet fits"),
    ] {
        let all = [&["extract", text(&input), "-q", "-o", "x.pcapng"], arguments].concat();
        let ran = pcapsy(folder.path(), &all);
        assert_eq!(ran.code, code, "{arguments:?} {}", ran.said);
        assert!(ran.said.contains(says), "{arguments:?} {}", ran.said);
    }
    let own = folder.path().join("own.pcap");
    fs::copy(&input, &own).expect("copied");
    let ran = pcapsy(folder.path(), &["extract", "own.pcap", "--filter", "tcp", "-o", "own.pcap"]);
    assert_eq!(
        (ran.code, fs::read(&own).expect("there")),
        (2, fs::read(&input).expect("there")),
        "{}",
        ran.said
    );
    let piped = Command::cargo_bin("pcapsy")
        .expect("built")
        .args(["extract", "-", "-q", "--filter", "tcp"])
        .write_stdin(fs::read(&input).expect("there"))
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert!(piped.status.code() == Some(3) && said.contains("cannot be read twice"), "{said}");
}

#[test]
fn a_report_has_the_evidence_of_its_incidents_and_the_next_one_replaces_it() {
    let folder = tempfile::tempdir().expect("folder");
    let analyze = |input: &str, more: &[&str]| {
        let input = capture(input);
        let all = [&["analyze", text(&input), "-q", "--fail-on", "never", "--out", "report"], more].concat();
        let ran = pcapsy(folder.path(), &all);
        assert_eq!(ran.code, 0, "{}", ran.said);
        let manifest = fs::read(folder.path().join("report/manifest.json")).expect("a manifest");
        serde_json::from_slice::<serde_json::Value>(&manifest).expect("JSON")
    };
    let evidence = folder.path().join("report/evidence");
    let listed = |manifest: &serde_json::Value| {
        let outputs = manifest["outputs"].as_array().expect("outputs").iter();
        outputs.filter(|output| output["name"] == "evidence/I-01.pcapng").count()
    };
    let manifest = analyze("mtu_silent_upload", &[]);
    assert_eq!(listed(&manifest), 1);
    let plain = fs::read(evidence.join("I-01.pcapng")).expect("evidence");
    // The same packets by the command.
    let input = capture("mtu_silent_upload");
    let ran = pcapsy(folder.path(), &["extract", text(&input), "-q", "--incident", "I-01", "-o", "x.pcapng"]);
    assert_eq!((ran.code, fs::read(folder.path().join("x.pcapng")).expect("there") == plain), (0, true));
    fs::write(evidence.join("mine.txt"), "mine").expect("written");
    let manifest = analyze("mtu_silent_upload", &["--redact", "--key", "secret"]);
    let redacted = fs::read(evidence.join("I-01.pcapng")).expect("evidence");
    assert!(redacted != plain && manifest["redacted"]["key"] == "given with --key");
    assert!(
        !fs::read_to_string(folder.path().join("report/manifest.json")).expect("there").contains("secret\"")
    );
    let again =
        ["extract", text(&input), "-q", "--incident", "I-01", "--redact", "--key", "secret", "-o", "z"];
    assert_eq!(pcapsy(folder.path(), &again).code, 0);
    assert!(fs::read(folder.path().join("z")).expect("there") == redacted, "the same key, the same words");
    let random = ["extract", text(&input), "-q", "--incident", "I-01", "--redact", "-o", "z"];
    assert_eq!(pcapsy(folder.path(), &random).code, 0);
    assert!(fs::read(folder.path().join("z")).expect("there") != redacted, "another key, other words");
    analyze("healthy_mix", &[]);
    assert_eq!(fs::read_to_string(evidence.join("mine.txt")).expect("there"), "mine");
    assert!(!evidence.join("I-01.pcapng").exists(), "the old evidence went with its report");
    let manifest = analyze("mtu_silent_upload", &["--no-evidence"]);
    assert_eq!(listed(&manifest), 0);
}

#[test]
fn several_files_are_one_set_and_keep_their_interfaces() {
    let folder = tempfile::tempdir().expect("folder");
    let (one, two) = (capture("mtu_silent_upload"), capture("dns_nxdomain"));
    let all =
        ["extract", text(&one), text(&two), "--set", "-q", "--filter", "frame.number <= 3", "-o", "x.pcapng"];
    let ran = pcapsy(folder.path(), &all);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let seen = packets(&folder.path().join("x.pcapng"));
    let mut expected: Vec<Vec<u8>> =
        [one, two].iter().flat_map(|path| packets(path)[..3].to_vec()).map(|seen| seen.3).collect();
    let mut found: Vec<Vec<u8>> = seen.iter().map(|seen| seen.3.clone()).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let interfaces: Vec<u32> = seen.iter().map(|seen| seen.1).collect();
    assert_eq!(interfaces, [0, 0, 0, 1, 1, 1]);
}
