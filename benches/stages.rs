//! What a packet costs in each stage, and in a whole run: `cargo bench --bench stages`.
//!
//! The capture is the generator's `mixed`, and hostile ones are made here: every figure can be had again.

#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "../examples/generate/crowd.rs"]
mod crowd;
#[path = "../examples/generate/dice.rs"]
mod dice;
#[path = "../examples/generate/sink.rs"]
mod sink;
#[path = "../examples/generate/web.rs"]
mod web;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use dice::Dice;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use pcapsy::capture::{CaptureLimits, Chunk, Reader};
use pcapsy::config::Config;
use pcapsy::flow::Row;
use pcapsy::local::{Run, analyze};
use pcapsy::pipeline::{Batch, Partition, PartitionState, Rows, Sequencer, dissect_chunk};
use pcapsy::report::files::TableFiles;
use pcapsy::time::Timestamp;
use support::adversary::{self, Adversary};

const SIZE: u64 = 200_000_000;

struct Input {
    _folder: tempfile::TempDir,
    path: PathBuf,
    packets: u64,
}

static INPUT: LazyLock<Input> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mixed.pcap");
    let mut sink = sink::Sink::create(&path, SIZE, false).expect("created");
    // It ends when the file is full.
    let _ = crowd::run(web::crowd(web::Traffic::browsing(5), 1), &mut sink);
    sink.finish().expect("written");
    let packets = chunks(&path).iter().map(|chunk| chunk.packets).sum();
    Input { _folder: folder, path, packets }
});

fn main() {
    divan::main();
}

fn chunks(path: &Path) -> Vec<Chunk> {
    let limits = CaptureLimits { chunk_bytes: 2 << 20, ..CaptureLimits::default() };
    let mut reader = Reader::open(&[path.to_owned()], &limits).expect("opened");
    std::iter::from_fn(|| reader.next_chunk()).collect()
}

/// Sequenced batches, and the capture's clock behind them.
fn batches(path: &Path, config: &Config) -> (Vec<Batch>, Timestamp) {
    let mut sequencer = Sequencer::new(config);
    let dissected = chunks(path).into_iter();
    let mut batches: Vec<Batch> =
        dissected.map(|chunk| dissect_chunk(chunk, config.limits.partitions as usize)).collect();
    batches.iter_mut().for_each(|batch| batch.sequence(&mut sequencer));
    (batches, sequencer.clock())
}

fn tracked(config: &Config, batches: &[Batch]) -> Vec<Partition> {
    let partitions = config.limits.partitions as usize;
    let mut partitions: Vec<Partition> = (0..partitions)
        .map(|index| Partition::new(index, config.flow_limits(), config.detectors()))
        .collect();
    for partition in &mut partitions {
        batches.iter().for_each(|batch| partition.track(batch));
    }
    partitions
}

/// All flows closed, and shown to the detectors: the rows, and what was counted.
fn shown(config: &Config, partitions: &mut [Partition], clock: Timestamp) -> (Vec<Row>, PartitionState) {
    let (mut rows, mut state) = (Vec::new(), PartitionState::default());
    for partition in partitions {
        drop(partition.remaining());
        rows.extend(partition.close_remaining((Timestamp::MAX, u64::MAX), clock));
    }
    state.show(&rows, &config.detectors());
    (rows, state)
}

/// Walking the record headers, and the file's hash.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn capture(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(INPUT.packets)).bench_local(|| chunks(&INPUT.path));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn dissect(bencher: Bencher<'_, '_>) {
    let chunks = chunks(&INPUT.path);
    bencher.counter(ItemsCount::new(INPUT.packets)).bench_local(|| {
        for chunk in &chunks {
            black_box(dissect_chunk(chunk.clone(), 16));
        }
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn flow(bencher: Bencher<'_, '_>) {
    let config = Config::default();
    let (batches, _) = batches(&INPUT.path, &config);
    bencher.counter(ItemsCount::new(INPUT.packets)).bench_local(|| tracked(&config, &batches));
}

/// Closing the flows and showing them to the detectors.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn detect(bencher: Bencher<'_, '_>) {
    let config = Config::default();
    let (batches, clock) = batches(&INPUT.path, &config);
    bencher
        .counter(ItemsCount::new(INPUT.packets))
        .with_inputs(|| tracked(&config, &batches))
        .bench_local_values(|mut partitions| {
            let shown = shown(&config, &mut partitions, clock);
            (partitions, shown)
        });
}

/// Traffic of one flow that is made to cost time, so many packets of it.
#[derive(Clone, Copy)]
struct Hostile(Adversary, u32);

impl fmt::Display for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.0.0, self.1)
    }
}

fn hostile() -> impl Iterator<Item = Hostile> {
    let sizes = [10_000, 100_000, 1_000_000];
    adversary::ALL.iter().flat_map(move |kind| sizes.map(|packets| Hostile(*kind, packets)))
}

/// Fragments, flows and detectors: a packet costs the same however many came before.
#[divan::bench(args = hostile(), sample_count = 1, sample_size = 1)]
fn hostile_flow(bencher: Bencher<'_, '_>, Hostile((_, make), packets): Hostile) {
    let config = Config::default();
    let file = tempfile::NamedTempFile::with_suffix(".pcap").expect("a file");
    std::fs::write(file.path(), make(packets).pcap()).expect("written");
    bencher.counter(ItemsCount::new(packets)).bench_local(|| {
        let (batches, clock) = batches(file.path(), &config);
        black_box(shown(&config, &mut tracked(&config, &batches), clock));
    });
}

struct NoRows;

impl Rows for NoRows {}

fn run(threads: usize, rows: &mut (dyn Rows + Send)) {
    let run = Run { threads, sha256: false };
    analyze(std::slice::from_ref(&INPUT.path), &Config::default(), run, rows, &|_| {}).expect("read");
}

#[divan::bench(args = [1, 2], sample_count = 5, sample_size = 1)]
fn whole(bencher: Bencher<'_, '_>, threads: usize) {
    bencher.counter(ItemsCount::new(INPUT.packets)).bench_local(|| run(threads, &mut NoRows));
}

#[divan::bench(args = [1, 2], sample_count = 5, sample_size = 1)]
fn whole_with_tables(bencher: Bencher<'_, '_>, threads: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    bencher.counter(ItemsCount::new(INPUT.packets)).bench_local(|| {
        let mut tables = TableFiles::create(folder.path(), &Config::default().limits).expect("created");
        run(threads, &mut tables);
        tables.finish().expect("written")
    });
}
