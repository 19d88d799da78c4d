//! Where outputs go, and what is there after a bad day: a full disk, a kill, a folder of somebody else.
#![cfg(unix)]
#![allow(clippy::print_stdout)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

const PCAPSY: &str = env!("CARGO_BIN_EXE_pcapsy");

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/synthetic").join(name)
}

fn old() -> PathBuf {
    capture("mtu_blackhole_silent.pcap")
}

fn new() -> PathBuf {
    capture("tls_alert_certificate_expired.pcap")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Runs `script` in `folder`, with the program as `$P`, the two captures as `$OLD` and `$NEW`.
fn sh(folder: &Path, script: &str) -> Output {
    Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .env("P", PCAPSY)
        .env("OLD", old())
        .env("NEW", new())
        .env("NO_COLOR", "1")
        .output()
        .expect("run")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The files of a report, also those in its folders.
fn files(folder: &Path, within: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in entries(folder) {
        match folder.join(&name) {
            path if path.is_dir() => all.extend(files(&path, &format!("{within}{name}/"))),
            _ => all.push(format!("{within}{name}")),
        }
    }
    all.sort();
    all
}

fn json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The capture whose report is in `folder`. Fails unless the report is whole: every file of the manifest is
/// there as it was written, nothing else is, and all are of the same input.
fn whole(folder: &Path) -> String {
    let (manifest, report) = (json(&folder.join("manifest.json")), json(&folder.join("report.json")));
    let outputs = manifest["outputs"].as_array().expect("outputs");
    assert!(outputs.len() > 10, "{outputs:?}");
    let mut names = vec!["manifest.json".to_owned()];
    for output in outputs {
        let name = output["name"].as_str().expect("a name");
        let bytes = fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(output["blake3"], blake3::hash(&bytes).to_hex().as_str(), "{name}");
        assert!(!name.ends_with(".parquet") || bytes.ends_with(b"PAR1"), "{name}");
        names.push(name.to_owned());
    }
    names.sort();
    assert_eq!(files(folder, ""), names);
    assert_eq!(manifest["inputs"][0]["blake3"], report["capture"]["files"][0]["blake3"]);
    report["capture"]["files"][0]["path"].as_str().expect("a path").to_owned()
}

/// A folder that holds the report on the old capture as `report`.
fn reported() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let ran = sh(folder.path(), "$P analyze -q --fail-on never --out report $OLD");
    assert_eq!(code(&ran), 0, "{}", said(&ran));
    assert_eq!(whole(&folder.path().join("report")), text(&old()));
    folder
}

#[test]
fn what_was_not_hashed_is_said_so_and_is_known_by_its_path() {
    let folder = tempfile::tempdir().expect("folder");
    let analyze = "$P analyze -q --fail-on never --no-hash --out report";
    let ran = sh(folder.path(), &format!("{analyze} $OLD"));
    assert_eq!(code(&ran), 0, "{}", said(&ran));
    let report = folder.path().join("report");
    assert_eq!(whole(&report), text(&old()));
    assert_eq!(json(&report.join("manifest.json"))["inputs"][0]["blake3"], "not hashed");
    let again = sh(folder.path(), &format!("{analyze} $OLD"));
    assert!(!said(&again).contains("replaced"), "{}", said(&again));
    let other = sh(folder.path(), &format!("{analyze} $NEW"));
    assert!(said(&other).contains("replaced"), "{}", said(&other));
    assert_eq!(code(&sh(folder.path(), &format!("{analyze} --sha256 $OLD"))), 2);
}

fn start(folder: &Path, input: &Path, stdin: Stdio) -> Child {
    Command::new(PCAPSY)
        .args(["analyze", "-q", "--fail-on", "never", "--out", "report", text(input)])
        .current_dir(folder)
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run")
}

#[test]
fn an_input_is_never_written_over() {
    let folder = tempfile::tempdir().expect("folder");
    let x = folder.path().join("x.pcap");
    fs::copy(old(), &x).expect("copied");
    symlink("x.pcap", folder.path().join("link")).expect("linked");
    fs::hard_link(&x, folder.path().join("hard")).expect("linked");
    fs::hard_link(&x, folder.path().join("summary.txt")).expect("linked");
    for (arguments, input, output) in [
        ("flows -o x.pcap x.pcap", "x.pcap", "x.pcap"),
        ("flows -o link x.pcap", "x.pcap", "link"),
        ("flows -o x.pcap link", "link", "x.pcap"),
        ("dns -o hard .", "hard", "hard"),
        ("events -f csv -o ./x.pcap 'x*'", "x.pcap", "./x.pcap"),
        ("flows -o x.pcap - < x.pcap", "-", "x.pcap"),
        ("flows x.pcap >> x.pcap", "x.pcap", "standard output"),
        ("analyze --out . x.pcap", "x.pcap", "summary.txt"),
    ] {
        let ran = sh(folder.path(), &format!("$P {arguments}"));
        assert_eq!((code(&ran), ran.stdout.len()), (2, 0), "{arguments}: {}", said(&ran));
        assert!(said(&ran).contains(&format!("{output} is the input ")), "{arguments}: {}", said(&ran));
        assert!(said(&ran).contains(input), "{arguments}: {}", said(&ran));
        assert!(fs::read(&x).expect("there") == fs::read(old()).expect("there"), "{arguments}");
    }
    assert_eq!(entries(folder.path()), ["hard", "link", "summary.txt", "x.pcap"]);
}

#[test]
fn devices_pipes_and_links_stay_what_they_are() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("target.csv"), "old").expect("written");
    symlink("target.csv", folder.path().join("link.csv")).expect("linked");
    // The pipe comes first: who renames over it does not get as far as the devices.
    let script = "mkfifo fifo; $P flows -f csv $OLD > plain.csv; cat fifo > read.csv & \
        $P flows -f csv -o fifo $OLD && test -p fifo && wait \
        && $P flows -o link.csv $OLD && $P flows -o /dev/null $OLD \
        && $P flows -f csv -o /dev/stdout $OLD > out.csv && test -p fifo -a -L link.csv -a -c /dev/null";
    let ran = sh(folder.path(), script);
    assert_eq!(code(&ran), 0, "{}", said(&ran));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("there");
    assert!(read("plain.csv").lines().count() > 5);
    for name in ["read.csv", "target.csv", "out.csv"] {
        assert_eq!(read(name), read("plain.csv"), "{name}");
    }
    assert_eq!(entries(folder.path()).len(), 6, "{:?}", entries(folder.path()));
    let ran = sh(folder.path(), "$P flows -f csv -o /dev/full $OLD");
    assert_eq!(code(&ran), 3);
    assert!(said(&ran).contains("/dev/full: no space left on device"), "{}", said(&ran));
}

#[test]
fn a_link_in_the_way_of_a_temporary_file_is_not_followed() {
    let folder = reported();
    fs::write(folder.path().join("victim"), "precious").expect("written");
    for name in ["flows.parquet.partial", "x.csv.partial", "report/report.json.partial", "report/x"] {
        symlink(folder.path().join("victim"), folder.path().join(name)).expect("linked");
    }
    let ran = sh(folder.path(), "$P analyze -q --out report $NEW; $P flows -o x.csv $NEW");
    assert_eq!(code(&ran), 0, "{}", said(&ran));
    assert_eq!(fs::read_to_string(folder.path().join("victim")).expect("there"), "precious");
}

#[test]
fn a_report_takes_the_place_of_another_and_says_so() {
    let folder = reported();
    let report = folder.path().join("report");
    let ran = sh(folder.path(), "$P analyze -q --fail-on never --out report $OLD");
    assert_eq!((code(&ran), said(&ran).as_str()), (0, ""), "the same capture again");
    let ran = sh(folder.path(), "$P analyze -q --fail-on never --out report $NEW");
    let says = format!("pcapsy: report: replaced the report on another capture: {}\n", old().display());
    assert_eq!((code(&ran), said(&ran)), (0, says));
    assert_eq!(whole(&report), text(&new()));
    assert_eq!(entries(folder.path()), ["report"]);
    let mode = fs::metadata(&report).expect("there").permissions().mode();
    let usual = folder.path().join("usual");
    fs::create_dir(&usual).expect("made");
    assert_eq!(mode, fs::metadata(usual).expect("there").permissions().mode());
}

#[test]
fn what_a_user_put_beside_a_report_stays() {
    let folder = reported();
    let report = folder.path().join("report");
    fs::write(report.join("notes.txt"), "mine").expect("written");
    fs::create_dir_all(report.join("evidence")).expect("made");
    fs::write(report.join("evidence/report.json"), "mine, too").expect("written");
    let ran = sh(folder.path(), "$P analyze -q --fail-on never --out report $NEW");
    assert_eq!(code(&ran), 0, "{}", said(&ran));
    assert_eq!(fs::read_to_string(report.join("notes.txt")).expect("there"), "mine");
    assert_eq!(fs::read_to_string(report.join("evidence/report.json")).expect("there"), "mine, too");
    assert_eq!(json(&report.join("report.json"))["capture"]["files"][0]["path"], text(&new()));
    assert_eq!(entries(folder.path()), ["report"]);
}

#[test]
fn a_folder_of_something_else_is_refused_and_keeps_its_files() {
    let folder = tempfile::tempdir().expect("folder");
    fs::create_dir(folder.path().join("home")).expect("made");
    fs::write(folder.path().join("home/thesis.txt"), "years").expect("written");
    fs::write(folder.path().join("taken"), "").expect("written");
    for (out, says) in [
        ("home", "cannot write home: it holds thesis.txt and no report; name a new folder with --out"),
        ("taken", "cannot write taken: a file is in the way; name another folder, or move the file"),
        ("taken/x", "cannot write taken/x: a part of the path is not a directory"),
    ] {
        let ran = sh(folder.path(), &format!("$P analyze -q --out {out} $NEW"));
        assert_eq!((code(&ran), ran.stdout.len()), (3, 0), "{out}");
        assert_eq!(said(&ran), format!("pcapsy: {says}\n"));
    }
    assert_eq!(entries(folder.path()), ["home", "taken"]);
    assert_eq!(entries(&folder.path().join("home")), ["thesis.txt"]);
}

#[test]
fn links_to_folders_and_the_current_folder_take_a_report() {
    let folder = reported();
    symlink("report", folder.path().join("link")).expect("linked");
    let ran = sh(folder.path(), "$P analyze -q --fail-on never --out link $NEW && test -L link");
    assert_eq!(code(&ran), 0, "{}", said(&ran));
    assert_eq!(whole(&folder.path().join("report")), text(&new()));
    // The shell stays in the folder that it is in.
    let ran = sh(folder.path(), "cd report && $P analyze -q --fail-on never --out . $OLD && ls report.json");
    assert_eq!(code(&ran), 0, "{}", said(&ran));
    assert_eq!(whole(&folder.path().join("report")), text(&old()));
    assert_eq!(entries(folder.path()), ["link", "report"]);
}

/// A limit on the size of files fails writes as a full disk does. The tables are of some kilobytes, so that
/// each limit stops another file.
#[test]
fn a_disk_that_is_full_leaves_the_old_report() {
    let folder = reported();
    let report = folder.path().join("report");
    let mut failed = 0;
    // The page is the largest file, and evidence is more than a table: the last steps are wide.
    for blocks in (0..80).chain((80..4_000).step_by(64)) {
        let run = "$P analyze -q --fail-on never --out report $NEW > /dev/null";
        let ran = sh(folder.path(), &format!("trap '' XFSZ; ulimit -f {blocks}; {run}"));
        assert_eq!(entries(folder.path()), ["report"], "{blocks}: {}", said(&ran));
        if code(&ran) == 0 {
            assert_eq!(whole(&report), text(&new()));
            break;
        }
        failed += 1;
        assert_eq!((code(&ran), whole(&report).as_str()), (3, text(&old())), "{blocks}: {}", said(&ran));
        assert!(said(&ran).contains("cannot write "), "{}", said(&ran));
    }
    fs::write(folder.path().join("x.csv"), "old").expect("written");
    let ran = sh(folder.path(), "trap '' XFSZ; ulimit -f 1; $P flows -o x.csv $NEW");
    assert_eq!(said(&ran), "pcapsy: cannot write x.csv: file too large\n");
    assert_eq!(fs::read_to_string(folder.path().join("x.csv")).expect("there"), "old");
    assert_eq!(entries(folder.path()), ["report", "x.csv"]);
    println!("{failed} runs that ended for want of room left the old report");
    assert!((50..110).contains(&failed), "{failed}");
}

#[test]
fn a_run_that_is_killed_leaves_one_whole_report() {
    let folder = reported();
    let report = folder.path().join("report");
    start(folder.path(), &old(), Stdio::null()).wait().expect("ran");
    let seconds = json(&report.join("manifest.json"))["seconds"].as_f64().expect("seconds");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    // How long a run takes differs from run to run and from disk to disk, so the moment of the swap is looked
    // for and not timed: after a run that was killed too early the next may go on for longer.
    let (mut run, mut write) = (Duration::from_secs_f64(seconds), Duration::from_millis(1));
    let (mut killed, mut kept, mut swapped) = (0, 0, 0);
    for round in 0..60 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let before = entries(folder.path());
        let (there, coming) = (whole(&report), if whole(&report) == text(&old()) { new() } else { old() });
        let mut child = start(folder.path(), &coming, Stdio::null());
        // In every second round at any moment, in the others when files are being written and swapped.
        let aim = if round % 2 == 0 { &mut run } else { &mut write };
        if round % 2 == 1 {
            let new = || entries(folder.path()).into_iter().filter(|name| !before.contains(name));
            let writing = || new().any(|name| folder.path().join(name).join("report.json").exists());
            while !writing() && child.try_wait().expect("a child").is_none() {}
        }
        sleep(*aim * (50 + (random % 100) as u32) / 100);
        child.kill().expect("killed or gone");
        killed += u32::from(child.wait().expect("ended").signal() == Some(9));
        let of = whole(&report);
        assert!(of == there || of == text(&coming), "{of}");
        if of == there {
            (kept, *aim) = (kept + 1, (*aim * 3 / 2).min(Duration::from_secs(20)));
        } else {
            (swapped, *aim) = (swapped + 1, *aim * 2 / 3);
        }
    }
    println!("{killed} runs killed: {kept} left the old report, {swapped} had put the new one in its place");
    assert!(killed >= 10 && kept >= 10 && swapped >= 10, "{killed} killed, {kept} kept, {swapped} swapped");
    assert!(start(folder.path(), &new(), Stdio::null()).wait().expect("ran").success());
    assert_eq!(whole(&report), text(&new()));
    assert_eq!(entries(folder.path()), ["report"], "a run takes away what killed ones left");
}

/// While packets are read again for the evidence: at whatever moment a run is interrupted, the report is
/// whole or not there.
#[test]
fn an_interrupted_second_reading_leaves_a_whole_report_or_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("long.pcap");
    let bytes = fs::read(old()).expect("committed");
    let mut long = bytes[..24].to_vec();
    (0..1 + 4_000_000 / bytes.len()).for_each(|_| long.extend(&bytes[24..]));
    fs::write(&input, long).expect("written");
    let mut caught = 0;
    for wait in [0, 1, 3, 10, 30, 100] {
        let child = start(folder.path(), &input, Stdio::null());
        let reading_again = || {
            let temporary =
                fs::read_dir(folder.path()).expect("there").filter_map(|entry| Some(entry.ok()?.path()));
            temporary.into_iter().any(|path| path.join("evidence").exists())
        };
        let begun = (0..20_000).any(|_| {
            sleep(Duration::from_millis(3));
            reading_again() || folder.path().join("report").exists()
        });
        assert!(begun, "no evidence");
        sleep(Duration::from_millis(wait));
        sh(folder.path(), &format!("kill -INT {}", child.id()));
        let output = child.wait_with_output().expect("ended");
        let report = folder.path().join("report");
        match output.status.code() {
            None => caught += 1,
            Some(_) => assert!(report.exists()),
        }
        assert!(
            entries(folder.path()).iter().all(|name| !name.starts_with(".pcapsy-")),
            "{:?}",
            entries(folder.path())
        );
        if report.exists() {
            assert_eq!(whole(&report), text(&input));
            fs::remove_dir_all(&report).expect("removed");
        }
    }
    assert!(caught > 0, "every run was over before it was interrupted");
}

#[test]
fn an_interrupted_run_says_so_and_leaves_nothing() {
    let folder = reported();
    for signal in ["INT", "TERM"] {
        let mut child = start(folder.path(), Path::new("-"), Stdio::piped());
        let mut stdin = child.stdin.take().expect("a pipe");
        // The reader asks for that much before it begins.
        let bytes = fs::read(old()).expect("committed");
        stdin.write_all(&bytes[..24]).expect("fed");
        (0..1 + 300_000 / bytes.len()).for_each(|_| stdin.write_all(&bytes[24..]).expect("fed"));
        let begun = (0..10_000).any(|_| {
            sleep(Duration::from_millis(5));
            entries(folder.path()).len() > 1
        });
        assert!(begun, "no temporary folder beside the report");
        assert!(sh(folder.path(), &format!("kill -{signal} {}", child.id())).status.success());
        let output = child.wait_with_output().expect("ended");
        assert_eq!(output.status.code(), None, "it ends by the signal, as a shell expects");
        assert_eq!(said(&output), "pcapsy: interrupted; no file was written or changed\n");
        assert_eq!(entries(folder.path()), ["report"]);
        assert_eq!(whole(&folder.path().join("report")), text(&old()));
    }
}

#[test]
fn two_runs_at_once_do_not_take_each_others_files_away() {
    let folder = tempfile::tempdir().expect("folder");
    let runs: Vec<Child> =
        [old(), new(), old()].iter().map(|input| start(folder.path(), input, Stdio::null())).collect();
    for run in runs {
        let output = run.wait_with_output().expect("ended");
        assert_eq!(code(&output), 0, "{}", said(&output));
    }
    whole(&folder.path().join("report"));
    assert_eq!(entries(folder.path()), ["report"]);
}

#[test]
fn an_output_nobody_reads_ends_quietly_and_one_that_fails_does_not() {
    let folder = tempfile::tempdir().expect("folder");
    let commands = [
        "flows $OLD",
        "flows -f csv $OLD",
        "flows -f jsonl $OLD",
        "flows -f parquet $OLD",
        "analyze --no-files $OLD",
        "analyze --no-files --json $OLD",
        "info $OLD",
        "info --json $OLD",
        "detectors",
        "detectors --json",
        "explain tables",
        "explain --config",
        "completions bash",
        "man",
        "--help",
        "--version",
    ];
    for command in commands {
        let full = sh(folder.path(), &format!("$P {command} > /dev/full"));
        let says = "pcapsy: cannot write to standard output: no space left on device\n";
        assert_eq!((code(&full), said(&full).as_str()), (3, says), "{command}");
        let closed = sh(folder.path(), &format!("$P {command} >&-"));
        assert_eq!(code(&closed), 3, "{command}");
        assert_eq!(said(&closed), "pcapsy: cannot write to standard output: it is closed\n", "{command}");
        let head = sh(folder.path(), &format!("{{ $P {command}; echo $? >&3; }} 3>code | head -c 1"));
        let code = fs::read_to_string(folder.path().join("code")).expect("written");
        assert!(["0\n", "1\n"].contains(&code.as_str()) && said(&head).is_empty(), "{command}: {code}");
    }
    let ran = sh(folder.path(), "$P flows -o x.csv $OLD >&- && test -s x.csv");
    assert_eq!(code(&ran), 0, "who prints nothing needs no standard output: {}", said(&ran));
}

#[test]
fn paths_are_harmless_on_the_terminal() {
    let folder = tempfile::tempdir().expect("folder");
    let ran = sh(folder.path(), "$P analyze -q --fail-on never --out \"$(printf 'a\\033[2Jb')\" $OLD");
    assert_eq!(code(&ran), 0, "{}", said(&ran));
    assert!(!ran.stdout.contains(&0x1b));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("files in a\\x1b[2Jb\n"));
}
