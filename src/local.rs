//! Runs the pipeline on this machine's cores, in rounds and in bounded memory.
//!
//! Three things run at once: the packets of one round are tracked, the chunks of the next round are read and
//! dissected, and the rows that became final in the round before are written. Every partition takes the
//! batches in capture order. So neither the number of threads nor the size of a round changes a result.

mod tracker;

use std::path::PathBuf;

use rayon::prelude::*;

use crate::capture::{CaptureError, CaptureLimits, Chunk, Hashes, Reader};
use crate::config::{Config, Limits};
use crate::dissect::PacketRecord;
use crate::local::tracker::{Tracker, write};
use crate::pipeline::{Batch, Outcome, PartitionState, Rows, Sequencer, dissect_into};

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input files read.
    pub bytes: u64,
    /// Their size, when it is known.
    pub total_bytes: Option<u64>,
    /// Packets dissected.
    pub packets: u64,
}

/// The most worker threads. More than this gain nothing, and thousands cannot be started.
pub const MOST_THREADS: usize = 256;

/// How a run is carried out. None of this changes a result, apart from the hashes that were asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Worker threads, at most [`MOST_THREADS`]; 0 for one per core.
    pub threads: usize,
    /// Compute SHA-256 of the input files, too.
    pub sha256: bool,
}

/// Analyses a capture set. Finished rows go to `rows` while the analysis runs.
///
/// # Errors
/// When none of the inputs can be read as a capture.
pub fn analyze(
    inputs: &[PathBuf],
    config: &Config,
    run: Run,
    rows: &mut (dyn Rows + Send),
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, CaptureError> {
    let reader = open(inputs, config, run)?;
    analyze_set(reader, config, run, rows, progress)
}

/// Opens a capture set the way [`analyze`] does.
///
/// # Errors
/// When none of the inputs can be read as a capture.
pub fn open(inputs: &[PathBuf], config: &Config, run: Run) -> Result<Reader, CaptureError> {
    let hashes = if run.sha256 { Hashes::Sha256 } else { Hashes::Blake3 };
    let limits = CaptureLimits { hashes, ..config.capture_limits() };
    Reader::open(inputs, &limits)
}

/// As [`analyze`], of a set that is open.
///
/// # Errors
/// When the worker threads cannot be started.
pub fn analyze_set(
    reader: Reader,
    config: &Config,
    run: Run,
    rows: &mut (dyn Rows + Send),
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, CaptureError> {
    on_threads(run.threads, || Rounds::new(reader, config).run(rows, progress))
}

/// Runs `work` on so many threads, at most [`MOST_THREADS`]; 0 for one per core. What runs on threads of its
/// own already stays on them: a command starts its threads once.
///
/// # Errors
/// When the threads cannot be started.
pub fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T, CaptureError> {
    if rayon::current_thread_index().is_some() {
        return Ok(work());
    }
    Ok(pool(threads)?.install(work))
}

/// So many threads, at most [`MOST_THREADS`]; 0 for one per core. Work that is done on them starts none.
///
/// # Errors
/// When the threads cannot be started.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool, CaptureError> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let threads = rayon::ThreadPoolBuilder::new().num_threads(threads.min(MOST_THREADS));
    threads.build().map_err(|error| CaptureError::Threads { reason: error.to_string() })
}

/// A batch's lists of records, one per partition.
type Lists = Vec<Vec<PacketRecord>>;

struct Rounds<'c> {
    config: &'c Config,
    reader: Reader,
    sequencer: Sequencer,
    tracker: Tracker,
    packets: u64,
    /// Files that `rows` was told of.
    files_told: usize,
}

impl<'c> Rounds<'c> {
    fn new(reader: Reader, config: &'c Config) -> Self {
        let tracker = Tracker::new(config, &reader.keys());
        Self { config, reader, sequencer: Sequencer::new(config), tracker, packets: 0, files_told: 0 }
    }

    fn run(mut self, rows: &mut (dyn Rows + Send), progress: &(dyn Fn(Progress) + Sync)) -> Outcome {
        let mut current: Vec<Batch> = Vec::new();
        let mut spare: Vec<Lists> = Vec::new();
        loop {
            for (path, base) in self.reader.begun().skip(self.files_told) {
                rows.file(path, base);
                self.files_told += 1;
            }
            let (reader, tracker) = (&mut self.reader, &mut self.tracker);
            let (size, count) = (RoundSize::of(&self.config.limits), tracker.partitions.len());
            let (ready, clock) = (std::mem::take(&mut tracker.ready), self.sequencer.clock());
            let (mut next, (tracked, ())) = rayon::join(
                || dissect_round(reader, size, count, spare),
                || rayon::join(|| tracker.round(current, clock), || write(ready, rows)),
            );
            spare = tracked;
            if next.is_empty() {
                break;
            }
            for batch in &mut next {
                batch.sequence(&mut self.sequencer);
                self.packets += batch.packets();
            }
            current = next;
            let (bytes, total_bytes) = self.reader.progress();
            progress(Progress { bytes, total_bytes, packets: self.packets });
        }
        self.tracker.close_remaining(self.sequencer.clock(), rows);
        let (evicted, refused) = (self.tracker.evicted(), self.tracker.streams_refused());
        let mut state = PartitionState::default();
        self.tracker.into_states().for_each(|other| state.merge(other));
        Outcome::conclude(self.config, self.reader, self.sequencer, state, evicted, refused)
    }
}

/// How much is read in a round.
#[derive(Clone, Copy)]
struct RoundSize {
    least_chunks: usize,
    most_chunks: usize,
    /// Between the two, as many chunks as hold this many packets.
    packets: u64,
    /// With so many a round is full.
    most_packets: u64,
}

impl RoundSize {
    /// One chunk per thread, and more while they hold few packets, because threads wait for each other once a
    /// round. A round of small packets can end as many flows as it has packets, so the packets are limited.
    /// Measured: 32768 packets are no faster than 8192 and take 10 % more memory when packets are small.
    fn of(limits: &Limits) -> Self {
        let most_packets = limits.round_packets();
        match limits.round_chunks as usize {
            0 => {
                let (threads, most) = (rayon::current_num_threads(), limits.most_chunks());
                let (least_chunks, most_chunks) = (threads.min(most), (8 * threads).min(most));
                Self { least_chunks, most_chunks, packets: 8192, most_packets }
            }
            chunks => Self { least_chunks: chunks, most_chunks: chunks, packets: 0, most_packets },
        }
    }

    /// A round of so many chunks and packets needs one more chunk.
    fn wants_more(self, chunks: usize, packets: u64) -> bool {
        let room = chunks < self.least_chunks || (chunks < self.most_chunks && packets < self.packets);
        room && packets < self.most_packets
    }
}

fn dissect_round(
    reader: &mut Reader,
    size: RoundSize,
    partitions: usize,
    mut spare: Vec<Lists>,
) -> Vec<Batch> {
    let (mut round, mut packets): (Vec<Chunk>, u64) = (Vec::new(), 0);
    while size.wants_more(round.len(), packets)
        && let Some(chunk) = reader.next_chunk()
    {
        packets += chunk.packets;
        round.push(chunk);
    }
    spare.resize_with(round.len(), || vec![Vec::new(); partitions]);
    round.into_par_iter().zip(spare).map(|(chunk, lists)| dissect_into(chunk, lists)).collect()
}
