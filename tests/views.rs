//! What `pcapsy states`, `top` and `counters` show, and how `--labels` names addresses, on captures of the
//! lab, whose truth is known.

#![allow(clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use assert_cmd::Command;
use support::tshark::tshark;

/// The lines of a command about a capture of the lab, without the header.
fn lines(command: &[&str], capture: &str) -> Vec<String> {
    let path = format!("{}/testdata/lab/captures/{capture}.pcap", env!("CARGO_MANIFEST_DIR"));
    let mut pcapsy = Command::cargo_bin("pcapsy").expect("built");
    let output = pcapsy.args(command).args(["--quiet", "--format", "csv", &path]).output().expect("run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().skip(1).map(str::to_owned).collect()
}

fn counted(lines: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    lines.into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
    counts
}

const STATES: [&str; 3] = ["states", "--columns", "orig_state,resp_state"];

/// 24 clients closed and the server never did.
#[test]
fn connections_that_the_server_does_not_close_wait() {
    let left = counted(lines(&STATES, "close_wait_leak"));
    assert_eq!(left.get("fin-wait-2,close-wait"), Some(&24), "{left:?}");
}

/// The capture of a browser ends seconds after its last connection.
#[test]
fn closed_connections_wait_for_a_minute() {
    let left = counted(lines(&STATES, "healthy_browser"));
    let every = counted(lines(&["states", "--all", "--columns", "orig_state"], "healthy_browser"));
    assert_eq!(left.get("time-wait,"), every.get("time-wait"), "{left:?}");
    assert!(left["time-wait,"] > 15, "{left:?}");
    assert_eq!(left.len(), 1, "three connections were reset, none is left: {left:?}");
}

#[test]
fn a_time_shows_what_was_there() {
    let all = ["states", "--all", "--sort", "ts", "--columns", "ts,until,flow_id"];
    let periods = lines(&all, "healthy_browser");
    let times: Vec<&str> = periods.iter().filter_map(|line| line.split(',').next()).collect();
    for at in times.iter().step_by(7) {
        let shown = lines(&["states", "--at", at, "--columns", "flow_id"], "healthy_browser");
        let there = periods.iter().filter(|line| {
            let mut cells = line.split(',');
            let (from, until) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
            from <= *at && (until.is_empty() || *at < until)
        });
        assert_eq!(shown.len(), there.count(), "{at}");
    }
}

/// Every byte has one sender and one receiver.
#[test]
fn talkers_add_up() {
    let number = |line: &str, cell: usize| -> u64 {
        line.split(',').nth(cell).and_then(|cell| cell.parse().ok()).expect("a number")
    };
    let by =
        |by: &str| lines(&["top", "--by", by, "--columns", "bytes,sent,received,flows"], "healthy_browser");
    let total = |by_what: &str, cell: usize| by(by_what).iter().map(|line| number(line, cell)).sum::<u64>();
    let all = total("protocol", 0);
    for what in ["client", "server", "service", "port", "conversation"] {
        assert_eq!(total(what, 0), all, "{what}");
        assert_eq!(total(what, 3), total("protocol", 3), "{what}");
    }
    assert_eq!((total("host", 1), total("host", 2)), (all, all));
    let bytes: Vec<u64> = by("host").iter().map(|line| number(line, 0)).collect();
    assert!(bytes.is_sorted_by(|one, other| one >= other), "{bytes:?}");
    assert_eq!(lines(&["top", "--limit", "1"], "healthy_browser").len(), 1);
}

/// Counters by group and name.
fn counters(capture: &str) -> BTreeMap<String, u64> {
    let lines = lines(&["counters", "--columns", "group,counter,value"], capture);
    let counter = |line: String| {
        let (name, value) = line.rsplit_once(',').expect("a value");
        (name.replace(',', " "), value.parse().expect("a number"))
    };
    lines.into_iter().map(counter).collect()
}

/// Every counter that tshark can give, on captures whose packets it names as we do.
#[test]
fn counters_are_those_of_tshark() {
    if std::process::Command::new("tshark").arg("-v").output().is_err() {
        println!("skipped: no tshark");
        return;
    }
    let frames = |capture: &str, filter: &str| -> Vec<String> {
        let path = format!("{}/testdata/lab/captures/{capture}.pcap", env!("CARGO_MANIFEST_DIR"));
        let rows = tshark(Path::new(&path), &[], filter, &["tcp.stream"]).expect("run");
        rows.into_iter().map(|row| row.into_iter().flatten().next().unwrap_or_default()).collect()
    };
    let packets = |capture: &str, filter: &str| frames(capture, filter).len() as u64;
    let streams = |capture: &str, filter: &str| {
        frames(capture, filter).into_iter().collect::<std::collections::BTreeSet<_>>().len() as u64
    };
    const SYN: &str = "tcp.flags.syn == 1 && tcp.flags.ack == 0 && !icmp && !icmpv6";
    const SYN_ACK: &str = "tcp.flags.syn == 1 && tcp.flags.ack == 1 && !icmp && !icmpv6";
    let captures = [
        "loss_timeout",
        "syn_refused",
        "syn_dropped",
        "ping_lost",
        "zero_window",
        "syn_rejected",
        "accept_queue_full",
    ];
    for capture in captures {
        let ours = counters(capture);
        for (counter, theirs) in [
            ("tcp segments", packets(capture, "tcp && !icmp && !icmpv6")),
            ("udp datagrams", packets(capture, "udp && !icmp && !icmpv6")),
            ("icmp messages", packets(capture, "icmp || icmpv6 && !(icmpv6.type in {135, 136})")),
            ("tcp active openings", streams(capture, SYN)),
            ("tcp passive openings", streams(capture, SYN_ACK)),
            ("icmp errors", packets(capture, "icmp.type in {3, 11} || icmpv6.type in {1..4}")),
            ("icmp echo requests", packets(capture, "icmp.type == 8 || icmpv6.type == 128")),
            ("udp datagrams to a closed port", packets(capture, "udp && icmp.type == 3 && icmp.code == 3")),
            (
                "tcp attempts refused",
                streams(
                    capture,
                    "tcp.flags.reset == 1 && tcp.seq == 1 && tcp.ack == 1 && tcp.window_size == 0",
                ),
            ),
            ("tcp segments retransmitted", packets(capture, "tcp.analysis.retransmission")),
            ("tcp zero windows", packets(capture, "tcp.analysis.zero_window")),
        ] {
            assert_eq!(ours.get(counter), Some(&theirs), "{capture}: {counter}");
        }
        let sums = ["connections established", "failed connection attempts"]
            .map(|name| ours[&format!("tcp {name}")]);
        assert_eq!(sums[0] + sums[1], ours["tcp active openings"], "{capture}");
        assert!(ours["tcp segments retransmitted"] >= ours["tcp SYNs retransmitted"], "{capture}");
        assert!(
            ours["tcp failed connection attempts"] >= ours["tcp attempts without an answer"],
            "{capture}"
        );
    }
    for (capture, counter, theirs) in [
        (
            "mtu_icmp_honoured",
            "icmp packet too big",
            packets("mtu_icmp_honoured", "icmp.type == 3 && icmp.code == 4"),
        ),
        ("routing_loop", "icmp time exceeded", packets("routing_loop", "icmp.type == 11")),
        (
            "syn_rejected",
            "icmp destination unreachable",
            packets("syn_rejected", "icmp.type == 3 && icmp.code != 4 || icmpv6.type == 1"),
        ),
        (
            "fragments_lost",
            "ip fragments",
            packets("fragments_lost", "ip.flags.mf == 1 || ip.frag_offset > 0"),
        ),
    ] {
        assert_eq!(counters(capture).get(counter), Some(&theirs), "{capture}: {counter}");
        assert!(theirs > 0, "{capture}: {counter}");
    }
    let killed = counters("server_killed");
    let reset = killed["tcp connections reset"] + killed["tcp attempts refused"];
    assert_eq!(reset, streams("server_killed", "tcp.flags.reset == 1"));
}

/// What grew most stands first, and rates times their halves are the bytes of all.
#[test]
fn growth_has_both_rates() {
    let grown = lines(&["top", "--growth", "--by", "server"], "rtt_step");
    let cells = |line: &String| line.split(',').map(str::to_owned).collect::<Vec<String>>();
    let growth: Vec<f64> = grown.iter().map(|line| cells(line)[1].parse().expect("a number")).collect();
    assert!(growth.is_sorted_by(|one, other| one >= other) && !growth.is_empty(), "{growth:?}");
    for line in &grown {
        let [growth, before, after] =
            [1, 2, 3].map(|cell| cells(line)[cell].parse::<f64>().expect("a number"));
        assert!((after - before - growth).abs() < 1e-6 && before >= 0.0 && after >= 0.0, "{line}");
    }
    assert!(lines(&["top", "--columns", "growth"], "rtt_step").iter().all(|line| line == "\"\""));
}

/// Names of addresses stand in columns of their own, in what people read, and not in commands.
#[test]
fn labels_stand_behind_addresses() {
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = folder.path().join("hosts.csv");
    let lines_of_hosts = "0.0.0.0/0,\"<b>any\",\n10.0.0.0/8,lab,\"all of it\"\nfd00::/8,lab,\"all of it\"\n";
    std::fs::write(&hosts, lines_of_hosts).expect("written");
    let hosts = hosts.to_str().expect("text");
    let labelled = |command: &[&str]| lines(&[command, &["--labels", hosts]].concat(), "syn_refused");
    let columns = ["--columns", "id.orig_h,id.resp_h"];
    let flows = labelled(&[&["flows", "--where", "proto=tcp"], &columns[..]].concat());
    assert!(!flows.is_empty());
    for line in &flows {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!((cells.len(), cells[1], cells[3]), (4, "lab", "lab"), "{line}");
        assert!(cells[0].starts_with("10.") || cells[0].starts_with("fd00:"), "{line}");
    }
    let top = labelled(&["top", "--by", "conversation", "--columns", "talker"]);
    assert!(top.iter().any(|line| line.ends_with(",lab")), "{top:?}");
    let path = format!("{}/testdata/lab/captures/syn_refused.pcap", env!("CARGO_MANIFEST_DIR"));
    let run = |arguments: &[&str]| {
        let mut pcapsy = Command::cargo_bin("pcapsy").expect("built");
        let ran = pcapsy.args(arguments).args(["--quiet", "--labels", hosts, &path]).output().expect("run");
        String::from_utf8(ran.stdout).expect("text")
    };
    let out = folder.path().join("report");
    let redact = ["analyze", "--redact", "--out", out.to_str().expect("text")];
    let screen = run(&redact);
    assert!(screen.contains("[lab, all of it]"), "{screen}");
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect(name);
    let report: serde_json::Value = serde_json::from_str(&read("report.json")).expect("JSON");
    let labels = report["labels"].as_object().expect("labels");
    assert!(labels.iter().any(|(address, label)| address.starts_with("10.") && label["name"] == "lab"));
    let incident = &report["incidents"][0];
    assert!(incident["title"].as_str().is_some_and(|title| title.contains("[lab, all of it]")), "{incident}");
    assert!(!incident["evidence"].to_string().contains("lab, all"));
    assert!(!incident["next_steps"].to_string().contains("lab, all"));
    assert!(read("rca.md").contains("lab, all of it"));
    let page = read("report.html");
    assert!(page.contains("[lab, all of it]") && !page.contains("<b>any"));
    let manifest: serde_json::Value = serde_json::from_str(&read("manifest.json")).expect("JSON");
    assert_eq!(manifest["redacted"]["labels"], "in the report, in no packet or comment");
    let packets = std::fs::read(out.join("evidence/I-01.pcapng")).expect("evidence");
    assert!(!packets.windows(9).any(|window| window == b"all of it"));
    let why = run(&["why", "I-01"]);
    assert!(why.contains("[lab, all of it]"), "{why}");
    let unknown =
        Command::cargo_bin("pcapsy").expect("built").args(["top", "--labels", &path, &path]).output();
    assert_eq!(unknown.expect("run").status.code(), Some(2));
}
