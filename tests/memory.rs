//! The memory setting is held, and used. A machine without memory: the run ends with a word and an exit
//! code, and leaves the old report whole.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout)]

mod support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::capture::Capture;
use support::tcp::{ACK, CLIENT, SERVER, SYN, Talk};

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
        let said = format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
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

/// A command starts the threads that were asked for, once. A set of threads beside them, one per core, ends
/// the program where the system has none to give: here that set would be too large for its memory.
#[test]
fn commands_start_no_threads_beside_their_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lab/captures");
    let capture = |name: &str| root.join(name).display().to_string();
    let (bad, good) = (capture("syn_refused.pcap"), capture("healthy_mix.pcap"));
    let folder = tempfile::tempdir().expect("a folder");
    let out = |name: &str| folder.path().join(name).display().to_string();
    let (report, batch, packets) = (out("report"), out("batch"), out("packets.pcapng"));
    let commands: [&[&str]; 9] = [
        &["analyze", "--out", &report, &bad],
        &["batch", "--out", &batch, &bad, &good],
        &["extract", "-o", &packets, "--incident", "I-01", &bad],
        &["compare", &good, &good],
        &["diff", &good, &bad],
        &["why", "I-01", &bad],
        &["states", &bad],
        &["top", &bad],
        &["flows", &bad],
    ];
    for command in commands {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -v 4000000; exec \"$@\"", "sh"]);
        shell.arg(assert_cmd::cargo::cargo_bin!("pcapsy")).args(command).args(["--threads", "2"]);
        let output = shell.env("RAYON_NUM_THREADS", "30000").output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{command:?}: {} {said}", output.status);
    }
}

/// So many SYNs, each from another source.
fn flood(syns: u32) -> Vec<u8> {
    let mut capture = Capture::default();
    let server = (IpAddr::from([10, 200, 0, 1]), 443);
    for number in 0..syns {
        let client = Ipv4Addr::from(0x0a00_0000 + number);
        let mut talk = Talk::new((client.into(), 40_000), server, u64::from(number) * 10, [30, 900]);
        talk.send(&mut capture, CLIENT, SYN, b"");
    }
    capture.pcap()
}

/// So many connections that came and went, each with a request and its response.
fn visits(connections: u32) -> Vec<u8> {
    let mut capture = Capture::default();
    let server = (IpAddr::from([10, 200, 0, 1]), 80);
    for number in 0..connections {
        let client = Ipv4Addr::from(0x0a00_0000 + number);
        let mut talk = Talk::new((client.into(), 40_000), server, u64::from(number) * 500, [30, 900]);
        talk.handshake(&mut capture);
        talk.send(&mut capture, CLIENT, ACK, b"GET / HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");
        talk.turn(CLIENT);
        talk.send(&mut capture, SERVER, ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        talk.turn(SERVER);
        talk.close(&mut capture);
    }
    capture.sort();
    capture.pcap()
}

/// A run with tables: its largest anonymous memory, MiB, and how many flows were closed for their memory.
fn run(capture: &Path, memory_mib: u32, threads: &str, out: &Path) -> (u64, u64) {
    let config = out.with_extension("toml");
    fs::write(&config, format!("[limits]\nmemory_mib = {memory_mib}\n")).expect("written");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("pcapsy"));
    command.args(["analyze", "--quiet", "--fail-on", "never", "--threads", threads, "--out"]).arg(out);
    command.arg("--config").arg(&config).arg(capture).stdout(Stdio::null());
    let mut child = command.spawn().expect("built");
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let code = loop {
        let anonymous = fs::read_to_string(&status).ok().and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        });
        most = most.max(anonymous.unwrap_or(0) >> 10);
        if let Some(code) = child.try_wait().expect("ours") {
            break code;
        }
        std::thread::sleep(Duration::from_millis(4));
    };
    assert!(code.success(), "{code}");
    let report = fs::read(out.join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    let capped = report["capped"].as_array().expect("a list");
    let closed = capped.iter().find(|capped| capped["what"] == "flows closed for their memory");
    (most, closed.map_or(0, |closed| closed["count"].as_u64().expect("a number")))
}

/// 100 000 open flows take about 110 MiB: two settings are too small for them, one is not.
#[test]
fn the_setting_is_held_and_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("flood.pcap");
    fs::write(&capture, flood(100_000)).expect("written");
    for (memory_mib, closes) in [(64, true), (128, true), (384, false)] {
        let (most, closed) = run(&capture, memory_mib, "2", &folder.path().join("report"));
        println!("{memory_mib} MiB: {most} MiB taken, {closed} flows closed");
        assert!(most <= u64::from(memory_mib), "{memory_mib} MiB: {most} MiB");
        assert_eq!(closed > 0, closes, "{memory_mib} MiB: {closed} flows closed");
    }
}

/// Connections stay until their time-out, and their memory goes in other pieces than it came.
#[test]
fn the_setting_is_held_by_connections_that_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("visits.pcap");
    fs::write(&capture, visits(80_000)).expect("written");
    let (most, closed) = run(&capture, 192, "2", &folder.path().join("report"));
    println!("{most} of 192 MiB taken, {closed} flows closed");
    assert!(most <= 192, "{most} MiB");
    assert!(closed > 0);
}
