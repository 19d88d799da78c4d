//! What `pcapsy states` and `pcapsy top` show of captures of the lab, whose truth is known.

use std::collections::BTreeMap;

use assert_cmd::Command;

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
