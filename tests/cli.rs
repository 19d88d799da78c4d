//! The commands that need no capture, and what is wrong with arguments.

use assert_cmd::Command;

fn pcapsy(arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().expect("folder");
    pcapsy_in(folder.path(), arguments)
}

fn pcapsy_in(folder: &std::path::Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("pcapsy").expect("built");
    let output = command.current_dir(folder).env("NO_COLOR", "1").args(arguments).output().expect("run");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("code"), text(output.stdout), text(output.stderr))
}

#[test]
fn usage_errors_are_2_and_go_to_stderr() {
    for arguments in [&["analyze"][..], &["frobnicate"], &["flows", "--format", "xml", "x.pcap"], &[]] {
        let (code, stdout, stderr) = pcapsy(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!stderr.is_empty());
    }
    assert!(pcapsy(&["analize", "x"]).2.contains("analyze"), "a near command is suggested");
}

#[test]
fn missing_inputs_are_3_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("folder");
    for command in ["analyze", "flows", "info"] {
        let (code, stdout, stderr) = pcapsy_in(folder.path(), &[command, "nowhere.pcap"]);
        assert_eq!((code, stdout.as_str()), (3, ""), "{command}");
        assert!(stderr.contains("nowhere.pcap: no such file or directory"), "{stderr}");
    }
    assert!(!folder.path().join("reports/nowhere").exists());
}

#[test]
fn a_wrong_configuration_is_2_and_names_line_and_nearest_key() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("pcapsy.toml"), "[limits]\npartition = 4\n").expect("file");
    let (code, _, stderr) = pcapsy_in(folder.path(), &["analyze", "x.pcap"]);
    assert_eq!(code, 2);
    assert_eq!(
        stderr,
        "pcapsy: pcapsy.toml: line 2: no setting in [limits] \"partition\"; did you mean partitions?\n"
    );
    let (code, _, stderr) = pcapsy_in(folder.path(), &["analyze", "--config", "none.toml", "x.pcap"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("none.toml: cannot be read"), "{stderr}");
}

#[test]
fn explain_knows_tables_and_suggests_names() {
    let (code, stdout, _) = pcapsy(&["explain", "flows"]);
    assert_eq!(code, 0);
    assert!(stdout.starts_with("## flows\n") && stdout.contains("| `id.orig_h` | text | client address |"));
    let (code, _, stderr) = pcapsy(&["explain", "flow"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("did you mean flows?"), "{stderr}");
    let (_, stdout, _) = pcapsy(&["explain", "tables", "--json"]);
    let tables: serde_json::Value = serde_json::from_str(&stdout).expect("json");
    assert_eq!(tables[0]["columns"][0]["name"], "ts");
}

#[test]
fn the_printed_configuration_is_accepted() {
    let folder = tempfile::tempdir().expect("folder");
    let (code, stdout, _) = pcapsy(&["explain", "--config"]);
    assert_eq!(code, 0);
    std::fs::write(folder.path().join("pcapsy.toml"), stdout).expect("file");
    let (code, _, stderr) = pcapsy_in(folder.path(), &["flows", "nowhere.pcap"]);
    assert_eq!(code, 3, "{stderr}");
}

#[test]
fn the_catalogue_is_json() {
    let (code, stdout, _) = pcapsy(&["detectors", "--json"]);
    assert_eq!(code, 0);
    assert!(serde_json::from_str::<serde_json::Value>(&stdout).expect("json").is_array());
}

#[test]
fn completions_and_manual_pages_come_from_the_definition() {
    let (code, stdout, _) = pcapsy(&["completions", "bash"]);
    assert!(code == 0 && stdout.contains("--fail-on"));
    let (code, stdout, _) = pcapsy(&["man", "analyze"]);
    assert!(code == 0 && stdout.contains("fail\\-on"), "{stdout}");
    assert_eq!(pcapsy(&["man", "analyse"]).0, 2);
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_pcapsy"))
        .args(["explain", "tables"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn the_number_of_threads_is_bounded() {
    for threads in ["257", "20000", "100000", "-1"] {
        let (code, stdout, stderr) = pcapsy(&["flows", &format!("--threads={threads}"), "x.pcap"]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{threads}");
        assert!(stderr.contains("0..=256"), "{stderr}");
    }
    let most = pcapsy(&["flows", "--threads", "256", "nowhere.pcap"]);
    assert_eq!(most.0, 3, "{}", most.2);
}
