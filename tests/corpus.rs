//! The public captures of `../shared/corpus` against what tshark says of them, frame by frame.
//!
//! Skips when the corpus is not there. `cargo test --test corpus -- --nocapture` prints what was compared.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use pcapsy::app::dns::Transaction;
use pcapsy::capture::{CaptureLimits, Reader};
use pcapsy::config::Config;
use pcapsy::flow::{Flow, FlowHead};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;

fn corpus() -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(manifest) = fs::read_to_string(folder.join("MANIFEST.tsv")) else {
        eprintln!("skipped: {} is not there", folder.display());
        return None;
    };
    Some(
        manifest
            .lines()
            .skip(1)
            .filter_map(|line| line.split('\t').next())
            .map(|name| folder.join(name))
            .collect(),
    )
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Columns of the oracle's frame table by name, one row per frame.
fn frames(path: &Path) -> (BTreeMap<String, usize>, Vec<Vec<String>>) {
    let table = path.with_file_name("oracle").join(format!("{}.frames.tsv.gz", name(path)));
    let mut text = String::new();
    let file = fs::File::open(&table).unwrap_or_else(|error| panic!("{}: {error}", table.display()));
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("the oracle is UTF-8");
    let mut lines = text.lines();
    let columns =
        lines.next().unwrap_or_default().split('\t').zip(0..).map(|(name, at)| (name.to_owned(), at));
    (columns.collect(), lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn summary(path: &Path) -> serde_json::Value {
    let file = path.with_file_name("oracle").join(format!("{}.summary.json", name(path)));
    serde_json::from_slice(&fs::read(file).expect("a summary for every capture")).expect("the oracle is JSON")
}

/// Frame numbers, times and lengths: everything else is worth nothing when these are off.
#[test]
fn frames_have_tsharks_numbers_times_and_lengths() {
    let Some(files) = corpus() else { return };
    let mut compared = 0;
    let mut wrong = Vec::new();
    for path in &files {
        let (columns, rows) = frames(path);
        let inputs = [path.to_path_buf()];
        let mut reader =
            Reader::open(&inputs, &CaptureLimits::default()).unwrap_or_else(|error| panic!("{error}"));
        let mut number = 0;
        let mut first_difference = None;
        while let Some(chunk) = reader.next_chunk() {
            for packet in chunk.packets() {
                number += 1;
                assert_eq!(packet.packet, number as u64);
                let Some(row) = rows.get(number - 1) else { continue };
                let seconds = packet.time.map_or(String::new(), |time| {
                    format!("{}.{:09}", time.0.div_euclid(1_000_000_000), time.0.rem_euclid(1_000_000_000))
                });
                let ours = [seconds, packet.wire.to_string(), packet.data.len().to_string()];
                let theirs =
                    ["frame.time_epoch", "frame.len", "frame.cap_len"].map(|column| &row[columns[column]]);
                if first_difference.is_none() && !ours.iter().eq(theirs) {
                    first_difference = Some(format!("frame {number}: {ours:?} against {theirs:?}"));
                }
                compared += 1;
            }
        }
        if number != rows.len() {
            wrong.push(format!("{}: {number} packets against {}", name(path), rows.len()));
        } else if let Some(difference) = first_difference {
            wrong.push(format!("{}: {difference}", name(path)));
        }
    }
    println!("{compared} frames of {} captures compared", files.len());
    let explained: BTreeSet<&str> = FRAME_DIFFERENCES.iter().map(|(file, _)| *file).collect();
    wrong.retain(|line| !explained.iter().any(|file| line.starts_with(file)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Captures whose frames differ on purpose, and why.
const FRAME_DIFFERENCES: &[(&str, &str)] = &[
    (
        "OISF__suricata-verify__tests_transform-base64-7296_input.pcap",
        "1 011 041 us after a second is the second after it; tshark prints a fraction above one",
    ),
    (
        "ajbanjara__Wireshark__Development_PcapNg_pcap-ng_Wi-Fi_Bluetooth_USB_Cooked_timestamps_issue_1.ntar",
        "tshark gives up at a 3-byte Bluetooth packet (frame 412); its own count in the manifest is 413",
    ),
    (
        "ajbanjara__Wireshark__SampleCaptures_abis-reject-network.pcap",
        "tshark takes the 16-byte LAPD pseudo-header out of the packet; the file counts it",
    ),
    (
        "seladb__PcapPlusPlus__pcapng-example.pcapng",
        "frame 60 claims the year 584 554 049; times end in 2262 here",
    ),
];

#[derive(Default)]
struct Collected {
    streams: BTreeSet<u32>,
    /// Frame, level, description.
    alerts: BTreeSet<(u64, u64, u64)>,
    /// Frame, response code.
    rcodes: BTreeSet<(u64, u64)>,
    /// Frame, MTU.
    too_big: BTreeSet<(u64, u64)>,
}

impl Rows for Collected {
    fn flow(&mut self, flow: &Flow) {
        self.streams.extend(flow.stream);
        for alert in flow.tls.iter().flat_map(|session| &session.alerts) {
            if let (Some(level), Some(description)) = (alert.level, alert.description) {
                self.alerts.insert((alert.at.packet, level.into(), description.into()));
            }
        }
        for error in &flow.icmp_errors {
            self.too_big.extend(error.icmp.mtu.map(|mtu| (error.at.packet, mtu.into())));
        }
    }

    fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
        if flow.client.port != 53 && flow.server.port != 53 {
            return; // tshark reads DNS on its own port only
        }
        if let (Some(response), Some(rcode)) = (transaction.response, transaction.rcode) {
            self.rcodes.insert((response.packet, rcode.into()));
        }
        self.rcodes.extend(transaction.extra.iter().map(|extra| (extra.at.packet, extra.rcode.into())));
    }
}

fn collect(path: &Path) -> Collected {
    let mut rows = Collected::default();
    let inputs = [path.to_path_buf()];
    local::analyze(&inputs, &Config::default(), Run::default(), &mut rows, &|_| {})
        .unwrap_or_else(|error| panic!("{error}"));
    rows
}

fn numbers(value: &serde_json::Value) -> Vec<u64> {
    value.as_array().into_iter().flatten().map(|number| number.as_u64().unwrap_or_default()).collect()
}

/// Captures whose messages differ on purpose, and why.
const MESSAGE_DIFFERENCES: &[(&str, &str)] = &[
    (
        "ajbanjara__Wireshark__SampleCaptures_netlink-conntrack.pcap",
        "DNS inside a netlink message: not on the wire",
    ),
    ("ntop__nDPI__someip_sd_sample.pcap", "SOME/IP on port 30490 that tshark takes for DNS"),
    (
        "packetpioneer__youtube__DoH-Sample-ChrisGreer.pcapng",
        "readable only with the keys that the file carries; tshark decrypts",
    ),
    (
        "the-tcpdump-group__libpcap__tests_filter_arcnet-rfc1051-arp-icmp-http.pcap",
        "ARCNET is counted by name and not dissected",
    ),
    (
        "the-tcpdump-group__libpcap__tests_filter_arcnet-rfc1201-arp-icmp-http.pcap",
        "ARCNET is counted by name and not dissected",
    ),
];

/// Every alert, response code and packet-too-big that tshark reads is read, with its frame.
#[test]
fn messages_are_tsharks() {
    let Some(files) = corpus() else { return };
    let (mut compared, mut wrong) = ([0; 3], Vec::new());
    for path in &files {
        let (ours, theirs) = (collect(path), summary(path));
        let alerts =
            theirs["tls_alerts"].as_array().into_iter().flatten().filter(|alert| alert["proto"] == "tls");
        let number = |alert: &serde_json::Value, key: &str| alert[key].as_u64().unwrap_or_default();
        let alerts: BTreeSet<_> = alerts
            .map(|alert| (number(alert, "frame"), number(alert, "level"), number(alert, "desc")))
            .collect();
        let rcodes = theirs["dns"]["rcodes_by_frame"].as_array().into_iter().flatten().map(numbers);
        let rcodes: BTreeSet<_> = rcodes.filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect();
        let too_big =
            ["icmp_frag_needed", "icmpv6_ptb"].map(|key| theirs[key].as_array().cloned().unwrap_or_default());
        let too_big: BTreeSet<_> = too_big
            .iter()
            .flatten()
            .map(numbers)
            .filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
            .collect();
        compared[0] += alerts.len();
        compared[1] += rcodes.len();
        compared[2] += too_big.len();
        for (what, missing) in [
            ("alerts", alerts.difference(&ours.alerts).map(|alert| format!("{alert:?}")).collect::<Vec<_>>()),
            ("response codes", rcodes.difference(&ours.rcodes).map(|code| format!("{code:?}")).collect()),
            ("too-big messages", too_big.difference(&ours.too_big).map(|mtu| format!("{mtu:?}")).collect()),
        ] {
            if !missing.is_empty() && !MESSAGE_DIFFERENCES.iter().any(|(file, _)| *file == name(path)) {
                wrong.push(format!("{}: {what} not read: {}", name(path), missing.join(" ")));
            }
        }
    }
    println!(
        "{} alerts, {} response codes, {} too-big messages compared",
        compared[0], compared[1], compared[2]
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Captures whose number of streams differs on purpose, and why.
const STREAM_DIFFERENCES: &[(&str, &str)] = &[
    (
        "OISF__suricata-verify__tests_filestore-5408_input.pcap",
        "tshark numbers the headers sampled inside sFlow datagrams: they are samples of other links",
    ),
    (
        "OISF__suricata-verify__tests_transform-base64-7296_input.pcap",
        "frame 11 has a corrupted TCP data offset: a stream for tshark, malformed here",
    ),
    (
        "ajbanjara__Wireshark__SampleCaptures_netlink-conntrack.pcap",
        "TCP inside a netlink message: not on the wire",
    ),
    ("pocc__tshark.dev__static_pcaps_randpkt_all.pcap", "random bytes; one packet is malformed TCP here"),
    (
        "the-tcpdump-group__libpcap__tests_filter_arcnet-rfc1051-arp-icmp-http.pcap",
        "ARCNET is counted by name and not dissected",
    ),
    (
        "the-tcpdump-group__libpcap__tests_filter_arcnet-rfc1201-arp-icmp-http.pcap",
        "ARCNET is counted by name and not dissected",
    ),
    ("the-tcpdump-group__tcpdump__tests_bgp-aigp.pcap", "Juniper's own link header is not dissected"),
];

#[test]
fn tcp_streams_are_tsharks() {
    let Some(files) = corpus() else { return };
    let (mut streams, mut wrong) = (0, Vec::new());
    for path in &files {
        let rows = collect(path);
        let (columns, frames) = frames(path);
        let theirs: BTreeSet<&str> = frames
            .iter()
            .flat_map(|row| row[columns["tcp.stream"]].split(','))
            .filter(|number| !number.is_empty())
            .collect();
        streams += theirs.len();
        if rows.streams.len() != theirs.len()
            && !STREAM_DIFFERENCES.iter().any(|(file, _)| *file == name(path))
        {
            wrong.push(format!("{}: {} streams against {}", name(path), rows.streams.len(), theirs.len()));
        }
    }
    println!("{streams} streams of {} captures compared", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Commands that list what is in a capture.
const COMMANDS: [&[&str]; 6] = [
    &["events", "--quiet", "--format", "jsonl"],
    &["flows", "--quiet", "--format", "jsonl"],
    &["sides", "--quiet", "--format", "jsonl"],
    &["files", "--quiet", "--format", "jsonl"],
    &["dns", "--quiet", "--format", "jsonl"],
    &["tls", "--quiet", "--format", "jsonl"],
];

/// The program itself on every capture: no panic, valid JSON, and the exit codes that the help promises.
#[test]
fn every_command_reads_every_capture() {
    let Some(files) = corpus() else { return };
    let folder = tempfile::tempdir().expect("a folder without a pcapsy.toml");
    let files: Vec<_> =
        files.iter().map(|path| fs::canonicalize(path).expect("the corpus is there")).collect();
    let run = |arguments: &[&str], files: &[PathBuf]| {
        let mut command = assert_cmd::Command::cargo_bin("pcapsy").expect("built");
        let output = command.current_dir(folder.path()).args(arguments).args(files).output().expect("run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{arguments:?} {files:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?} {files:?}: {said}");
        output.stdout
    };
    let (mut lines, mut wrong) = (0, Vec::new());
    for path in &files {
        let report = run(&["analyze", "--json", "--no-files", "--quiet"], std::slice::from_ref(path));
        let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
        let (packets, frames) = (report["capture"]["packets"].as_u64(), frames_expected(path));
        if packets != Some(frames) && !FRAME_DIFFERENCES.iter().any(|(file, _)| *file == name(path)) {
            wrong.push(format!("{}: {packets:?} packets against {frames}", name(path)));
        }
    }
    // As one set: what is listed is streamed, and every line stands for itself.
    for arguments in COMMANDS {
        let arguments = [arguments, &["--set"]].concat();
        for line in run(&arguments, &files).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let _: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            lines += 1;
        }
    }
    println!("{} reports and {lines} lines", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn frames_expected(path: &Path) -> u64 {
    summary(path)["frames"].as_u64().unwrap_or_default()
}
