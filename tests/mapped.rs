//! A capture that somebody truncates while it is analysed: a report or a word, never a signal. One that grows
//! or goes is read as it was.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout)]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use support::capture::Capture;
use support::filler;
use support::frame::{Ip, ethernet};

const PACKETS: u32 = 8_000;

/// Large datagrams, so that there is much to read and little to analyse: about 12 MB.
fn capture() -> Vec<u8> {
    let mut capture = Capture::default();
    let (source, destination) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    let payload = filler(1, 1_400);
    for number in 0..PACKETS {
        let ip = Ip { source, destination, ttl: 64, id: number as u16 };
        let packet = ip.udp(40_000, 9_999, &payload);
        let frame = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], None, &packet);
        capture.record(u64::from(number) * 100, frame);
    }
    capture.pcap()
}

/// An analysis that has mapped `a.pcap`, or is over.
fn begun(path: &Path) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("pcapsy"));
    command.args(["analyze", "--no-files", "--json", "--quiet", "--threads", "2"]).arg(path);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("built");
    let maps = format!("/proc/{}/maps", child.id());
    let mapped = || fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("a.pcap"));
    while !mapped() && child.try_wait().expect("ours").is_none() {
        sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn a_file_that_is_truncated_meanwhile_ends_in_a_report_or_a_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap");
    let bytes = capture();
    let (mut reported, mut ended, mut done) = (0, 0, 0);
    for step in 0..16 {
        fs::write(&path, &bytes).expect("written");
        let child = begun(&path);
        sleep(Duration::from_millis(step * 20));
        OpenOptions::new().write(true).open(&path).expect("ours").set_len(5_000).expect("truncated");
        let output = child.wait_with_output().expect("ours");
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => done += 1,
            Some(3) if output.stdout.is_empty() => {
                assert!(said.contains("truncated while mapped"), "step {step}: {said}");
                ended += 1;
            }
            Some(3) => {
                let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
                let reasons = report["verdict"]["reasons"].as_array().expect("a list");
                assert!(!reasons.is_empty(), "step {step}: {said}");
                reported += 1;
            }
            code => panic!("step {step}: {code:?} {:?} {said}", output.status),
        }
    }
    println!("{reported} reports of what was left, {ended} words, {done} done before");
    assert!(reported + ended > 0);
}

#[test]
fn a_file_that_grows_or_goes_meanwhile_is_read_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, other) = (folder.path().join("a.pcap"), folder.path().join("b.pcap"));
    let bytes = capture();
    for change in ["grows", "is replaced", "is removed", "is written over with itself"] {
        fs::write(&path, &bytes).expect("written");
        let child = begun(&path);
        match change {
            "grows" => {
                let mut file = OpenOptions::new().append(true).open(&path).expect("ours");
                file.write_all(&bytes[24..]).expect("written");
            }
            "is replaced" => {
                fs::write(&other, "no capture").expect("written");
                fs::rename(&other, &path).expect("replaced");
            }
            "is removed" => fs::remove_file(&path).expect("removed"),
            _ => {
                let mut file = OpenOptions::new().write(true).open(&path).expect("ours");
                file.write_all(&bytes).expect("written");
            }
        }
        let output = child.wait_with_output().expect("ours");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "it {change}: {said}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["capture"]["packets"], PACKETS, "it {change}");
    }
}
