//! What comes in by other ways than a whole file of its own, and what is no capture at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/synthetic").join(name)
}

struct Ran {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

fn analyze(input: &Path, stdin: &[u8]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::cargo_bin("pcapsy")
        .expect("built")
        .current_dir(folder.path())
        .args(["analyze", "--json", "--no-files", "--quiet", "--fail-on", "never"])
        .arg(input)
        .write_stdin(stdin)
        .output()
        .expect("run");
    let code = output.status.code().expect("an exit code");
    Ran { code, stdout: output.stdout, stderr: String::from_utf8(output.stderr).expect("text") }
}

/// The report without the name, size and hash of the file.
fn content(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut report: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    report["capture"]["files"].take();
    for incident in report["incidents"].as_array_mut().into_iter().flatten() {
        incident["evidence"].take();
    }
    for finding in report["findings"].as_array_mut().into_iter().flatten() {
        finding["wireshark_filter"].take();
        for evidence in finding["evidence"].as_array_mut().into_iter().flatten() {
            evidence["file"].take();
        }
    }
    report
}

#[test]
fn streams_and_compressed_files_give_the_report_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["mtu_blackhole_silent.pcap", "capture_loss_reported.pcapng"] {
        let path = capture(name);
        let bytes = fs::read(&path).expect("committed");
        let plain = content(&analyze(&path, b""));
        let write = |ending: &str, bytes: &[u8]| {
            let path = folder.path().join(format!("{name}.{ending}"));
            fs::write(&path, bytes).expect("written");
            path
        };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).expect("compressed");
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&bytes).expect("compressed");
        let compressed = [
            write("gz", &gzip.finish().expect("compressed")),
            write("zst", &zstd::encode_all(bytes.as_slice(), 1).expect("compressed")),
            write("lz4", &lz4.finish().expect("compressed")),
        ];
        for path in compressed {
            assert!(content(&analyze(&path, b"")) == plain, "{}", path.display());
        }
        assert!(content(&analyze(Path::new("-"), &bytes)) == plain, "{name} from standard input");
    }
}

#[test]
fn what_is_no_capture_is_refused_with_what_it_looks_like() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    let none = folder.path().join("none");
    fs::create_dir(&none).expect("made");
    for (path, says) in [
        (folder.path().join("nowhere.pcap"), "no such file or directory"),
        (none, "no captures in this directory"),
        (write("notes.txt", b"tcpdump -i eth0 -w x.pcap\nthen call us\n"), "looks like text"),
        (write("nothing.pcap", b""), "the file is empty (0 bytes)"),
    ] {
        let ran = analyze(&path, b"");
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        assert_eq!((ran.code, ran.stdout.len()), (3, 0), "{name}");
        assert!(ran.stderr.contains(&name) && ran.stderr.contains(says), "{}", ran.stderr);
    }
}

/// One section, one interface, one packet, and a block that says it is 4 GiB long.
#[test]
fn a_block_that_cannot_be_is_damage_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = fs::read(capture("capture_loss_reported.pcapng")).expect("committed");
    let sound = bytes.len() as u64;
    bytes.extend([6u32.to_le_bytes(), 4_294_967_280u32.to_le_bytes()].concat());
    bytes.extend([0; 64]);
    let path = folder.path().join("long.pcapng");
    fs::write(&path, &bytes).expect("written");
    let report = analyze(&path, b"");
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let damage = &report["capture"]["files"][0]["damages"][0];
    let incomplete = &report["verdict"]["incomplete"];
    assert_eq!((&damage["offset"], incomplete), (&Value::from(sound), &Value::from(true)), "{damage}");
    assert!(damage["reason"].as_str().is_some_and(|reason| reason.contains("4294967280 bytes")), "{damage}");
    assert!(report["capture"]["packets"].as_u64() > Some(100), "what stands before it is analysed");
}

#[test]
fn a_block_whose_two_lengths_differ_is_damage_and_not_a_cut_tail() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = fs::read(capture("capture_loss_reported.pcapng")).expect("committed");
    let (mut at, mut ends) = (0, Vec::new());
    while let Some(length) = bytes.get(at + 4..at + 8) {
        at += u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        ends.push(at);
    }
    bytes[ends[ends.len() / 2] - 4] ^= 4;
    let path = folder.path().join("mismatch.pcapng");
    fs::write(&path, &bytes).expect("written");
    let report: Value = serde_json::from_slice(&analyze(&path, b"").stdout).expect("JSON");
    let damage = &report["capture"]["files"][0]["damages"][0];
    assert_eq!(damage["kind"], "length_mismatch", "{damage}");
    assert!(damage["reason"].as_str().is_some_and(|reason| reason.contains(" ends with ")), "{damage}");
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["detector"] == "capture_damaged").expect("found");
    assert_eq!((&found["variant"], &found["severity"]), (&Value::from("damaged"), &Value::from("warning")));
}

#[test]
fn an_output_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("taken");
    fs::write(&file, b"").expect("written");
    let output = Command::cargo_bin("pcapsy")
        .expect("built")
        .current_dir(folder.path())
        .args(["analyze", "--quiet", "--out", "taken/report"])
        .arg(capture("healthy.pcap"))
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("taken/report"), "{said}");
}

/// The published schema is what the reports are.
#[test]
fn every_report_is_valid_by_the_schema() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/report.schema.json");
    let schema: Value = serde_json::from_slice(&fs::read(schema).expect("committed")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut reports = 0;
    for entry in fs::read_dir(capture("")).expect("committed") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng") {
            let report: Value = serde_json::from_slice(&analyze(&path, b"").stdout).expect("JSON");
            let errors: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
            reports += 1;
        }
    }
    assert!(reports > 60, "{reports} reports");
}

/// A folder as it is after a bad day: what was read, what could not be, and what was no capture.
#[test]
fn every_file_of_a_folder_is_accounted_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = fs::read(capture("healthy.pcap")).expect("committed");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&good).expect("compressed");
    let gzip = gzip.finish().expect("compressed");
    for (name, bytes) in [
        ("good.pcap", good.as_slice()),
        ("cut.pcap", &good[..20]),
        ("cut.pcap.gz", &gzip[..12]),
        ("empty.pcap", b""),
        ("notes.txt", b"then call us\n"),
    ] {
        fs::write(folder.path().join(name), bytes).expect("written");
    }
    fs::create_dir(folder.path().join("more")).expect("made");
    let ran = analyze(folder.path(), b"");
    let report: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let names = |list: &str| -> Vec<String> {
        let list = report["capture"][list].as_array().expect("a list");
        let path = |input: &Value| input["path"].as_str().map(PathBuf::from).expect("a path");
        list.iter()
            .map(|input| path(input).file_name().expect("a name").to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(names("files"), ["good.pcap"]);
    assert_eq!(names("unreadable"), ["cut.pcap", "cut.pcap.gz"]);
    assert_eq!(names("ignored"), ["empty.pcap", "more", "notes.txt"]);
    assert_eq!((ran.code, &report["verdict"]["incomplete"]), (3, &Value::from(true)));
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/report.schema.json");
    let schema: Value = serde_json::from_slice(&fs::read(schema).expect("committed")).expect("JSON");
    assert!(jsonschema::is_valid(&schema, &report));
    for command in [&["analyze", "--no-files", "--all"][..], &["info"]] {
        let mut run = Command::cargo_bin("pcapsy").expect("built");
        let output = run.args(command).arg(folder.path()).output().expect("run");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let left = said.split("left out\n").nth(1).expect("a list of what was left out");
        for words in ["empty.pcap: the file is empty (0", "more: a directory;", "notes.txt: not a pcap"] {
            assert!(left.contains(words), "{command:?}: {said}");
        }
    }
    assert!(
        ran.stderr.contains("cut.pcap.gz: gzip data is damaged before the capture begins"),
        "{}",
        ran.stderr
    );
}

/// Opening a pipe that nobody writes to waits for ever.
#[cfg(unix)]
#[test]
fn a_pattern_stands_for_files_only() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(capture("healthy.pcap"), folder.path().join("a.pcap")).expect("copied");
    let pipe = folder.path().join("b.pcap");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("run").success());
    let output = Command::cargo_bin("pcapsy")
        .expect("built")
        .args(["analyze", "--json", "--no-files"])
        .arg(folder.path().join("*.pcap"))
        .timeout(std::time::Duration::from_secs(60))
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let left = &report["capture"]["ignored"][0]["reason"];
    assert!(left.as_str().is_some_and(|reason| reason.contains("b.pcap: a pipe")), "{left}");
}

/// With one classified segment per flow, findings lack most of what they are about. They still say when.
/// A `pcapsy.toml` that nobody named may come with the captures.
#[cfg(unix)]
#[test]
fn what_is_no_configuration_is_neither_waited_for_nor_read_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pcapsy.toml");
    let said = || {
        let mut command = Command::cargo_bin("pcapsy").expect("built");
        command.current_dir(folder.path()).timeout(std::time::Duration::from_secs(60));
        command
            .args(["analyze", "--no-files", "--quiet", "--fail-on", "never"])
            .arg(capture("zero_window.pcap"));
        let output = command.output().expect("run");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("run").success());
    assert_eq!(said(), (Some(2), "pcapsy: pcapsy.toml: is no regular file\n".to_owned()));
    fs::remove_file(&path).expect("ours");
    std::os::unix::fs::symlink("/dev/zero", &path).expect("a link");
    assert_eq!(said(), (Some(2), "pcapsy: pcapsy.toml: is no regular file\n".to_owned()));
    fs::remove_file(&path).expect("ours");
    fs::write(&path, vec![b'#'; 2 << 20]).expect("written");
    assert_eq!(said(), (Some(2), "pcapsy: pcapsy.toml: longer than the 1 MiB that is read\n".to_owned()));
    fs::write(&path, "[limits]\nmemory_mib = 512\n").expect("written");
    assert_eq!(said(), (Some(0), String::new()));
}

#[test]
fn no_finding_is_from_1970() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("pcapsy.toml");
    fs::write(&config, "[limits]\nevents_per_flow = 1\n").expect("written");
    for entry in fs::read_dir(capture("")).expect("committed") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng") {
            let mut run = Command::cargo_bin("pcapsy").expect("built");
            let run = run.args(["analyze", "--json", "--no-files", "-q", "--config"]).arg(&config).arg(&path);
            let report: Value = serde_json::from_slice(&run.output().expect("run").stdout).expect("JSON");
            let first = report["capture"]["first_seen"].as_str().unwrap_or_default();
            for finding in report["findings"].as_array().into_iter().flatten() {
                let seen = finding["first_seen"].as_str();
                assert!(seen >= Some(first), "{}: {} seen {seen:?}", path.display(), finding["title"]);
            }
        }
    }
    let mut none = fs::read(capture("healthy.pcap")).expect("committed");
    none.truncate(24);
    none.extend([0xff; 200]);
    fs::write(folder.path().join("none.pcap"), none).expect("written");
    let report: Value =
        serde_json::from_slice(&analyze(&folder.path().join("none.pcap"), b"").stdout).expect("JSON");
    assert_eq!(report["findings"][0]["detector"], "capture_damaged");
    assert_eq!(report["findings"][0]["first_seen"], Value::Null, "no packet, no time");
    fs::write(&config, "[limits]\nevents_per_flow = 0\n").expect("written");
    let mut run = Command::cargo_bin("pcapsy").expect("built");
    let output = run.args(["flows", "x.pcap", "--config"]).arg(&config).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("events_per_flow"), "{said}");
}
