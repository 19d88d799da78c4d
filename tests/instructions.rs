//! What a packet costs, in instructions: they hardly change from run to run, on however busy a machine.
//!
//! The figures are in `benches/instructions.tsv`. A run that needs a twentieth more than they say fails. Who
//! has a reason for that, or made it cheaper, writes them anew: `PCAPSY_REFRESH=1 cargo test --test
//! instructions`. Other processors have other instructions, so the figures are of one machine; the file says
//! of which.

#![allow(missing_docs, unreachable_pub, dead_code, clippy::print_stderr)]

mod support;

#[path = "../examples/generate/crowd.rs"]
mod crowd;
#[path = "../examples/generate/dice.rs"]
mod dice;
#[path = "../examples/generate/flood.rs"]
mod flood;
#[path = "../examples/generate/short.rs"]
mod short;
#[path = "../examples/generate/sink.rs"]
mod sink;
#[path = "../examples/generate/web.rs"]
mod web;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use dice::Dice;
use rayon::prelude::*;

/// By which a figure may differ before somebody has to look.
const LEEWAY: f64 = 0.05;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.tsv");

/// Traffic that is mostly one stage's work: data of long connections, short ones, one packet a flow.
fn captures(folder: &Path) -> Vec<(&'static str, std::path::PathBuf)> {
    let crowds = [
        ("mixed", 1_000_000, web::crowd(web::Traffic::browsing(5), 1)),
        ("many", 150_000, short::crowd(1)),
        ("small", 150_000, flood::crowd(true, 1)),
    ];
    let written = crowds.into_iter().map(|(name, size, crowd)| {
        let path = folder.join(format!("{name}.pcap"));
        let mut sink = sink::Sink::create(&path, size, false).expect("created");
        // It ends when the file is full.
        let _ = crowd::run(crowd, &mut sink);
        sink.finish().expect("written");
        (name, path)
    });
    written.collect()
}

/// Instructions of a whole run with all its files; `None` without valgrind.
fn instructions(capture: &Path, out: &Path) -> Option<f64> {
    let run = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_pcapsy"))
        .args(["analyze", "--quiet", "--threads", "1", "--fail-on", "never", "--out"])
        .args([out, capture])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&run.stderr);
    let line = said.lines().find(|line| line.contains("refs:"));
    let number = line.and_then(|line| line.rsplit("refs:").next()).map(|number| number.replace(',', ""));
    assert!(run.status.success(), "{said}");
    Some(
        number.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no figure in {said}")),
    )
}

#[test]
fn a_packet_costs_no_more_than_it_did() {
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let text = fs::read_to_string(FILE).unwrap_or_default();
    let mut known: BTreeMap<String, f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let refresh = std::env::var_os("PCAPSY_REFRESH").is_some();
    let mut dearer = Vec::new();
    let counted: Vec<(&str, Option<f64>)> = captures(folder.path())
        .into_par_iter()
        .map(|(kind, capture)| (kind, instructions(&capture, &folder.path().join(kind))))
        .collect();
    for (kind, count) in counted {
        let Some(count) = count else { return eprintln!("skipped: valgrind is not installed") };
        let name = format!("{build} {kind}");
        let before = known.get(&name).copied();
        eprintln!("{name}: {count:.0} instructions, known {before:?}");
        if refresh {
            known.insert(name, count);
        } else if before.is_some_and(|before| count > before * (1.0 + LEEWAY)) {
            dearer.push(format!("{name}: {count:.0}, not {:.0}", before.unwrap_or_default()));
        }
    }
    if refresh {
        let mut lines = vec![
            "# Instructions of a run with one thread and all files, by cachegrind: see tests/instructions.rs."
                .to_owned(),
            format!("# Measured on {}.", processor()),
        ];
        lines.extend(known.iter().map(|(name, count)| format!("{name}\t{count:.0}")));
        fs::write(FILE, lines.join("\n") + "\n").expect("written");
    }
    assert!(dearer.is_empty(), "more than {LEEWAY} above benches/instructions.tsv: {dearer:#?}");
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "a processor without a name".to_owned(), |(_, name)| name.to_owned())
}
