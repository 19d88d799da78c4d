//! A machine without memory: the run ends with a word and an exit code, and leaves the old report whole.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn without_memory_a_run_ends_with_a_word_and_leaves_the_old_report() {
    let program = assert_cmd::cargo::cargo_bin!("pcapsy");
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures/healthy_mix.pcap");
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report");
    // The program itself has to fit in, or the system ends it before its first instruction.
    let least = fs::metadata(program).expect("built").len() / 1024 + 20_000;
    let run = |kib: u64| {
        let limit = format!("ulimit -v {kib}; exec \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &limit, "sh"]).arg(program).args(["analyze", "--quiet", "--threads", "2", "--out"]);
        let output = shell.arg(&report).arg(&capture).output().expect("a shell");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(64_000_000).0, Some(0));
    let whole = |name: &str| fs::read(report.join(name)).expect("a report");
    let before = whole("report.json");
    let (mut ended, mut done) = (0, 0);
    for step in 0..40 {
        match run(least + step * 40_000) {
            (Some(0), _) => done += 1,
            (Some(3), said) => {
                assert!(said.contains("memory") || said.contains("cannot start"), "step {step}: {said}");
                ended += 1;
            }
            (code, said) => panic!("step {step}: {code:?} {said}"),
        }
        assert_eq!(whole("report.json"), before, "step {step}");
        assert!(report.join("manifest.json").is_file());
    }
    assert!(ended > 0 && done > 0, "{ended} without memory, {done} with");
}
