//! Runs the pipeline on this machine's cores, in rounds and in bounded memory.
//!
//! While one round's packets are tracked, the next round's chunks are read and dissected, and the rows that became final
//! in the round before are written. Every partition takes the batches in capture order, so neither the number of threads
//! nor the size of a round reaches a result.

mod tracker;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::capture::{CaptureError, CaptureLimits, Chunk, FileReport, Overlap, Reader};
use crate::config::Config;
use crate::detect::{Context, FileFacts, InterfaceFacts};
use crate::dissect::PacketRecord;
use crate::local::tracker::{Tracker, write};
use crate::pipeline::{Batch, Capped, Outcome, PartitionState, Rows, Sequencer, dissect_into};
use crate::time::Timestamp;

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

/// How a run is carried out; none of it reaches a result, except that asked-for hashes are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Worker threads; 0 for one per core.
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
    let limits = CaptureLimits { sha256: run.sha256, ..config.capture_limits() };
    let reader = Reader::open(inputs, &limits)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(run.threads)
        .build()
        .map_err(|error| CaptureError::Threads { reason: error.to_string() })?;
    Ok(pool.install(|| Rounds::new(reader, config).run(rows, progress)))
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
        Self {
            config,
            reader,
            sequencer: Sequencer::new(config),
            tracker: Tracker::new(config),
            packets: 0,
            files_told: 0,
        }
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
            let (size, count) = (RoundSize::of(self.config), tracker.partitions.len());
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
        let mut state = PartitionState::new(&self.config.detect);
        self.tracker.into_states().for_each(|other| state.merge(other));
        conclude(self.reader, self.sequencer, state, evicted, refused)
    }
}

/// What every run ends with, wherever its stages ran: `state` is merged over all partitions, `evicted` flows
/// were closed for their memory, and `refused` streams got no number.
pub fn conclude(
    reader: Reader,
    sequencer: Sequencer,
    state: PartitionState,
    evicted: u64,
    refused: u64,
) -> Outcome {
    let (totals, spans, fragments) = sequencer.finish();
    let unreadable = reader.unreadable().to_vec();
    let overlaps = reader.overlaps();
    let reports = reader.into_files();
    let files: Vec<FileFacts> =
        reports.iter().zip(0..).map(|(report, index)| facts(report, index, &spans, &overlaps)).collect();
    let hits = state.hits;
    let (verdicts, flows) = state.judge(&Context { totals: &totals, files: &files });
    let capped = [
        ("flows closed for their memory", "limits.memory_mib", evicted),
        ("classified tcp segments of one flow", "limits.events_per_flow", hits.events),
        ("gaps given up early in reassembly", "limits.reassembly_kib", hits.reassembly),
        ("numbered tcp streams", "limits.streams", refused),
        ("dns transactions of one flow", "built-in table", hits.transactions),
        ("incomplete ip datagrams", "limits.fragments_mib", fragments.evicted),
    ];
    let capped = capped
        .into_iter()
        .filter(|(.., count)| *count > 0)
        .map(|(what, setting, count)| Capped { what, setting, count })
        .collect();
    Outcome { totals, files, reports, unreadable, verdicts, capped, flows }
}

/// How much is read in a round.
#[derive(Clone, Copy)]
struct RoundSize {
    least_chunks: usize,
    most_chunks: usize,
    /// Between the two, as many chunks as hold this many packets.
    packets: u64,
}

impl RoundSize {
    /// A chunk for every thread, and more while the packets are few: threads wait for each other once a round, and a
    /// round of small packets can end as many flows as it has packets. Measured: 32768 packets are no faster and
    /// take 10 % more memory when packets are small.
    fn of(config: &Config) -> Self {
        match config.limits.round_chunks as usize {
            0 => {
                let threads = rayon::current_num_threads();
                Self { least_chunks: threads, most_chunks: 8 * threads, packets: 8192 }
            }
            chunks => Self { least_chunks: chunks, most_chunks: chunks, packets: 0 },
        }
    }

    /// So many chunks with so many packets are not enough.
    fn wants_more(self, chunks: usize, packets: u64) -> bool {
        chunks < self.least_chunks || (chunks < self.most_chunks && packets < self.packets)
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

fn facts(
    report: &FileReport,
    index: u32,
    spans: &BTreeMap<u32, (Timestamp, Timestamp)>,
    overlaps: &[Overlap],
) -> FileFacts {
    let interfaces = report.interfaces.iter().zip(0..);
    FileFacts {
        path: report.path.clone(),
        packets: report.packets,
        base: report.base,
        span: spans.get(&index).copied(),
        damages: report
            .damage
            .iter()
            .map(|damage| (damage.offset, damage.length, damage.reason.clone()))
            .collect(),
        snap_length: report.snap_length,
        overlap: overlaps.iter().filter(|overlap| overlap.later == index).map(|overlap| overlap.span).max(),
        interfaces: interfaces
            .map(|(known, number)| InterfaceFacts {
                number,
                name: known.name.clone(),
                filter: known.filter.clone(),
                received: known.received,
                dropped: [known.dropped, known.system_dropped, known.packet_drops]
                    .into_iter()
                    .flatten()
                    .reduce(|a, b| a + b),
            })
            .collect(),
    }
}
