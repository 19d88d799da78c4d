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
fn who_gives_a_capture_and_no_command_is_told_which() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("x.pcap"), "").expect("file");
    let (code, stdout, stderr) = pcapsy_in(folder.path(), &["x.pcap"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("tip: to analyse it: pcapsy analyze x.pcap\n"), "{stderr}");
    assert!(!pcapsy_in(folder.path(), &["y.pcap"]).2.contains("to analyse it"));
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

fn synthetic(name: &str) -> String {
    format!("{}/testdata/synthetic/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn json(arguments: &[&str]) -> serde_json::Value {
    let (_, stdout, stderr) = pcapsy(arguments);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stderr}"))
}

#[test]
fn why_says_everything_of_a_frame_a_flow_a_finding_and_an_incident() {
    let capture = synthetic("mtu_blackhole_silent.pcap");
    let report = json(&["analyze", "--no-files", "--json", &capture]);
    let first = &report["findings"][0];
    let (id, cited) = (first["id"].as_str().expect("an id"), &first["evidence"][0]);
    let (frame, flow) = (cited["frame"].to_string(), first["scope"]["flows"]["sample"][0].to_string());
    let said = json(&["why", &frame, &capture, "--json"]);
    assert!(said["packet"].as_str().is_some_and(|packet| packet.contains("TCP ")), "{said}");
    let findings = said["findings"].as_array().expect("findings");
    let of_it = findings.iter().find(|finding| finding["id"] == id).expect("the finding that cites it");
    assert!(of_it["how"].as_str().is_some_and(|how| how.starts_with("cites it: ")), "{of_it}");
    let command = format!("tshark -r {capture} -Y 'frame.number == {frame}' -V");
    assert_eq!(said["commands"][0], serde_json::json!(command));
    let tables: Vec<&str> =
        said["rows"].as_array().into_iter().flatten().filter_map(|row| row["table"].as_str()).collect();
    assert_eq!(tables.iter().filter(|table| **table == "flows").count(), 1, "{tables:?}");

    let said = json(&["why", &format!("flow:{flow}"), &capture, "--json"]);
    assert!(said["findings"].as_array().is_some_and(|findings| !findings.is_empty()), "{said}");
    let rows = said["rows"].as_array().expect("rows");
    assert!(
        rows.iter().all(|row| row["flow_id"].as_u64() == flow.parse().ok()) && rows.len() >= 2,
        "{rows:?}"
    );
    assert!(said["commands"][0].as_str().is_some_and(|command| command.contains("tcp.stream == ")), "{said}");

    let (code, stdout, _) = pcapsy(&["why", id, &capture]);
    let title = first["title"].as_str().expect("a title");
    let words = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code == 0 && words.contains(title), "{stdout}");
    let command = first["wireshark_filter"][0]["command"].as_str().expect("a command");
    assert!(command.starts_with("tshark -r ") && stdout.contains(command), "{stdout}");
    assert!(stdout.contains("I-01 ") && stdout.contains("could be"), "{stdout}");
    let (code, stdout, _) = pcapsy(&["why", "I-01", &capture]);
    assert!(code == 0 && stdout.contains(id) && stdout.contains("nearest to the cause"), "{stdout}");

    for (what, why) in [
        ("999999", "no frame 999999 in "),
        ("flow:999999", "no flow 999999; pcapsy flows lists them"),
        ("F-999", "no finding F-999; "),
        ("I-99", "no incident I-99; "),
        ("0", "frames are counted from 1"),
        ("soon", "expected a frame number"),
    ] {
        let (code, stdout, stderr) = pcapsy(&["why", what, &capture]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{what}: {stderr}");
        assert!(stderr.contains(why), "{what}: {stderr}");
    }
}

#[test]
fn changes_that_people_made_are_named_before_an_incident() {
    let capture = synthetic("mtu_blackhole_silent.pcap");
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("changes.csv");
    let at = path.to_str().expect("text");
    let plain = json(&["analyze", "--no-files", "--json", &capture]);
    assert!(plain.get("announced").is_none());
    let begin = plain["capture"]["first_seen"].as_str().expect("a time");
    std::fs::write(&path, format!("time,source,text\n{begin},vpn,\"tunnel, MTU 1400\"\n")).expect("written");
    let mut told = json(&["analyze", "--no-files", "--json", "--events", at, &capture]);
    assert_eq!(told["announced"][0]["text"], "tunnel, MTU 1400");
    assert_eq!(told["incidents"][0]["changed_before"][0]["source"], "vpn");
    // Nothing else is different, so it is not taken for a cause.
    for incident in told["incidents"].as_array_mut().expect("incidents") {
        incident.as_object_mut().expect("an object").remove("changed_before");
    }
    told.as_object_mut().expect("an object").remove("announced");
    assert_eq!(told, plain);
    let out = folder.path().join("report");
    let out = out.to_str().expect("text");
    let (code, _, stderr) = pcapsy(&["analyze", "--out", out, "--events", at, &capture]);
    assert!(code <= 1, "{stderr}");
    let page = std::fs::read_to_string(format!("{out}/report.html")).expect("a page");
    assert!(page.contains("somebody changed something") && page.contains("Changed shortly before"));
    std::fs::write(&path, "soon,vpn,x\n").expect("written");
    let (code, _, stderr) = pcapsy(&["analyze", "--no-files", "--events", at, &capture]);
    assert!(code == 2 && stderr.contains("line 1: expected a time"), "{stderr}");
}

#[test]
fn points_are_compared_and_what_is_missing_is_said() {
    let capture = synthetic("mtu_blackhole_silent.pcap");
    let folder = tempfile::tempdir().expect("folder");
    let table = folder.path().join("between.csv");
    let table = table.to_str().expect("text");
    let (code, stdout, stderr) = pcapsy(&["compare", &capture, &capture, "--table", table]);
    assert!(code == 0 && stdout.contains("nothing lost: "), "{stdout}{stderr}");
    let written = std::fs::read_to_string(table).expect("a table");
    assert!(written.starts_with("what,field,sent,arrived,from,to,time_a,") && written.lines().count() == 1);
    let other = synthetic("dns_servfail_bogus.pcap");
    let (capture, other) = (capture.as_str(), other.as_str());
    let compared = json(&["compare", "--json", capture, other]);
    assert!(compared["pairs"][0]["clock"].is_null() && compared["pairs"][0]["arrived"] == 0, "{compared}");
    for (arguments, why) in [
        (&["compare", capture][..], "two points are needed"),
        (&["compare", capture, "-"], "read twice"),
        (&["compare", capture, other, "--table", "x.txt"], "ends in .csv, .jsonl or .parquet"),
        (&["compare", capture, other, "--table", capture], "is the input"),
    ] {
        let (code, stdout, stderr) = pcapsy(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}
