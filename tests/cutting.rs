//! A capture gives the same results however the work is cut: threads, chunks, rounds, partitions, files.

mod support;

use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use pcapsy::app::dns::Transaction;
use pcapsy::config::Config;
use pcapsy::flow::{Flow, FlowHead};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use proptest::prelude::*;
use support::capture::Capture;
use support::filler;
use support::tcp::{ACK, CLIENT, FIN, RST, SERVER, SYN, Talk};

/// Everything that reaches a table or a report, in its order.
#[derive(Default)]
struct Everything(String);

impl Rows for Everything {
    fn flow(&mut self, flow: &Flow) {
        writeln!(self.0, "{flow:?}").expect("a string takes everything");
    }

    fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
        writeln!(self.0, "{transaction:?} {flow:?}").expect("a string takes everything");
    }
}

fn run(inputs: &[PathBuf], threads: usize, chunk_kib: u32, round_chunks: u32, partitions: u32) -> String {
    run_with(Config::default(), inputs, threads, chunk_kib, round_chunks, partitions)
}

fn run_with(
    mut config: Config,
    inputs: &[PathBuf],
    threads: usize,
    chunk_kib: u32,
    round_chunks: u32,
    partitions: u32,
) -> String {
    config.limits.chunk_kib = chunk_kib;
    config.limits.round_chunks = round_chunks;
    config.limits.partitions = partitions;
    let mut rows = Everything::default();
    let outcome = local::analyze(inputs, &config, Run { threads, sha256: false }, &mut rows, &|_| {})
        .expect("it is read");
    let mut totals = outcome.totals;
    totals.backwards = 0; // between files nothing goes backwards
    for (rule, mut verdict) in outcome.verdicts {
        // How many files were looked at is of the files.
        verdict.assessed *= u64::from(verdict.unit != "files");
        verdict.not_assessed.retain(|skipped| skipped.unit != "files");
        writeln!(rows.0, "{} {verdict:?}", rule.name).expect("a string takes everything");
    }
    let timeline = outcome.board.timeline();
    rows.0 + &format!("{totals:?} {:?} {:?} {timeline:?}", outcome.capped, outcome.flows)
}

/// What stands around the first byte that differs.
fn first_difference(one: &str, other: &str) -> String {
    let at = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let around = |text: &str| {
        let bytes = &text.as_bytes()[at.saturating_sub(300)..text.len().min(at + 200)];
        String::from_utf8_lossy(bytes).into_owned()
    };
    format!("\n{}\nagainst\n{}", around(one), around(other))
}

const CUTS: [(usize, u32, u32, u32); 6] =
    [(1, 2048, 0, 16), (2, 64, 1, 1), (7, 1, 3, 3), (2, 1, 1, 16), (7, 4, 0, 5), (1, 16, 2, 64)];

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/synthetic");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the captures are there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng"));
    files.sort();
    files
}

#[test]
fn any_cut_gives_the_same_results() {
    for path in captures() {
        let inputs = [path.clone()];
        let results =
            CUTS.map(|(threads, chunk, round, partitions)| run(&inputs, threads, chunk, round, partitions));
        for (cut, result) in CUTS.iter().zip(&results) {
            assert!(*result == results[0], "{} differs at {cut:?}", path.display());
        }
    }
}

#[test]
fn a_capture_in_five_files_is_the_whole_capture() {
    for scene in support::scenes::all() {
        let (name, capture) = (scene.name, scene.capture());
        let folder = tempfile::tempdir().expect("a folder");
        let whole = folder.path().join("whole.pcap");
        fs::write(&whole, capture.pcap()).expect("written");
        let size = capture.packets.len().div_ceil(5);
        let parts: Vec<PathBuf> = capture
            .packets
            .chunks(size)
            .enumerate()
            .map(|(index, packets)| {
                let part = folder.path().join(format!("part{index}.pcap"));
                fs::write(&part, Capture { packets: packets.to_vec() }.pcap()).expect("written");
                part
            })
            .collect();
        let one = run(&[whole], 2, 16, 0, 16);
        let five = run(&parts, 2, 16, 0, 16);
        assert!(one == five, "{name}: {}", first_difference(&one, &five));
    }
}

#[test]
fn the_committed_captures_are_what_the_generator_makes() {
    let mut scenes = 0;
    for scene in support::scenes::all() {
        let (ending, file) = scene.build();
        let path = |ending| {
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/synthetic/{}.{ending}", scene.name))
        };
        let same = fs::read(path(ending)).expect("committed") == file
            && fs::read(path("toml")).expect("committed") == scene.truth().as_bytes();
        assert!(same, "{}: cargo run --example synthesize", scene.name);
        scenes += 1;
    }
    assert_eq!(captures().len(), scenes, "a capture that no scene makes");
}

#[test]
fn a_full_table_closes_the_same_flows() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flood.pcap");
    let mut capture = Capture::default();
    for number in 0..9_000u32 {
        let client = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number));
        let server = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
        let mut talk = Talk::new((client, 40_000), (server, 443), u64::from(number) * 700, [300, 900]);
        match number % 3 {
            0 => talk.handshake(&mut capture),
            1 => {
                // What comes behind a hole has to be held.
                talk.handshake(&mut capture);
                talk.lose(CLIENT, &[7; 500]);
                talk.send(&mut capture, CLIENT, ACK, &[8; 1_400]);
            }
            _ => drop(talk.send(&mut capture, CLIENT, SYN, b"")),
        }
    }
    capture.sort();
    fs::write(&path, capture.pcap()).expect("written");
    let inputs = [path];
    // A table that is always full, one that is weighed when it may be, and more streams than get a number.
    for (memory_mib, streams, acts) in [
        (4, 6_000_000, "limits.memory_mib"),
        (120, 6_000_000, "limits.memory_mib"),
        (4, 700, "limits.streams"),
    ] {
        let mut config = Config::default();
        (config.limits.memory_mib, config.limits.streams) = (memory_mib, streams);
        let results = CUTS.map(|(threads, chunk, round, partitions)| {
            run_with(config.clone(), &inputs, threads, chunk, round, partitions)
        });
        assert!(results[0].contains(acts), "{acts} never acts");
        for (cut, result) in CUTS.iter().zip(&results) {
            assert!(*result == results[0], "differs at {cut:?}: {}", first_difference(&results[0], result));
        }
    }
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("again.pcap");
    let scenes: Vec<_> = support::scenes::all().map(support::scenes::Scene::capture).collect();
    let mut again = Capture::default();
    for _ in 0..2 {
        again.packets.extend(scenes.iter().flat_map(|capture| capture.packets.iter().cloned()));
    }
    fs::write(&path, again.pcap()).expect("written");
    let inputs = [path];
    let results =
        CUTS.map(|(threads, chunk, round, partitions)| run(&inputs, threads, chunk, round, partitions));
    for (cut, result) in CUTS.iter().zip(&results) {
        assert!(*result == results[0], "differs at {cut:?}: {}", first_difference(&results[0], result));
    }
}

/// What happens next on one of the connections: which one, what, and how large or how long.
type Step = (usize, u8, u16);

/// Connections in all the states that a capture can show them in.
fn traffic(steps: &[Step]) -> Capture {
    let mut capture = Capture::default();
    let mut talks: Vec<Talk> = (0..4)
        .map(|number| {
            let client = ([10, 0, 0, number + 1].into(), 40_000 + u16::from(number));
            let mut talk =
                Talk::new(client, ([10, 0, 1, 1].into(), 8080), u64::from(number) * 700, [40, 3_000]);
            // Numbers that wrap, and segments in front of segmentation offload.
            talk.ends[CLIENT].next = u32::MAX - 2_000 * u32::from(number);
            talk.offload = 1 + usize::from(number);
            talk
        })
        .collect();
    for (index, what, size) in steps {
        let talk = &mut talks[index % 4];
        let payload = filler(u32::from(*size), 2 + usize::from(*size) % 4_000);
        let side = usize::from(*what) % 2;
        match what / 2 {
            0 => talk.handshake(&mut capture),
            1 | 2 => drop(talk.send(&mut capture, side, ACK, &payload)),
            3 => drop(talk.miss(side, &payload)),
            4 => {
                let lost = talk.lose(side, &payload);
                talk.wait(u64::from(*size) * 20);
                talk.resend(&mut capture, &lost);
            }
            5 => {
                let again = talk.send_lost(&mut capture, side, &payload);
                talk.wait(u64::from(*size) * 20);
                talk.resend(&mut capture, &again);
            }
            6 => drop(talk.ack(&mut capture, side, &[])),
            7 => {
                let twice = talk.send(&mut capture, side, ACK, &payload);
                talk.record(&mut capture, &twice);
            }
            8 => drop(talk.wait(u64::from(*size) * 20_000)),
            9 => drop(talk.send(&mut capture, side, FIN | ACK, &payload)),
            10 => drop(talk.send(&mut capture, side, RST | ACK, b"")),
            // The ports again, with the same initial number or with another one.
            11 => {
                talk.ends[CLIENT].next = u32::from(*size) % 3;
                talk.send(&mut capture, CLIENT, SYN, &payload);
            }
            // Both at once.
            _ => {
                talk.send(&mut capture, CLIENT, SYN, b"");
                talk.send(&mut capture, SERVER, SYN, b"");
            }
        }
    }
    capture.sort();
    capture
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_traffic_gives_the_same_results_in_any_cut(
        steps in prop::collection::vec((0usize..4, 0u8..26, any::<u16>()), 1..120),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("traffic.pcap");
        fs::write(&path, traffic(&steps).pcap()).expect("written");
        let inputs = [path];
        let results =
            CUTS.map(|(threads, chunk, round, partitions)| run(&inputs, threads, chunk, round, partitions));
        for result in &results[1..] {
            prop_assert!(*result == results[0], "{}", first_difference(&results[0], result));
        }
    }
}
