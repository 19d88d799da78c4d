//! Reads some packets of a capture again: what a picture of a flow shows and no table keeps.
//!
//! Chunks without a wanted packet are walked over and not dissected. So a packet without a time of its own
//! behind such a chunk may have that of an earlier one.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use rayon::prelude::*;

use super::{MOST_THREADS, Progress, Run};
use crate::capture::{CaptureError, CaptureLimits, Chunk, Hashes, Reader};
use crate::config::Config;
use crate::dissect::PacketRecord;
use crate::pipeline::{Batch, Sequencer, dissect_chunk};

/// Files that can be read a second time: regular ones, as they were opened for the first time.
#[derive(Clone, Debug, Default)]
pub struct Inputs(Vec<PathBuf>);

impl Inputs {
    /// The files that `reader` is about to read.
    pub fn of(reader: &Reader) -> Self {
        Self(reader.waiting().map(std::path::Path::to_owned).collect())
    }

    /// Opens them again. The answer is `None` when one of them is a pipe or a device, cannot be opened any
    /// more, or when together they are not `bytes` long on disk: they are not what was read.
    pub fn open(&self, config: &Config, bytes: u64) -> Option<Reader> {
        let regular = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
        if self.0.is_empty() || !self.0.iter().all(regular) {
            return None;
        }
        let limits = CaptureLimits { hashes: Hashes::None, ..config.capture_limits() };
        let reader = Reader::open(&self.0, &limits).ok()?;
        (reader.progress().1 == Some(bytes)).then_some(reader)
    }
}

/// Gives `each` the packets of `wanted`, ordinals in ascending order, and some of their neighbours, in capture
/// order.
///
/// # Errors
/// When the worker threads cannot be started.
pub fn again(
    reader: Reader,
    config: &Config,
    run: Run,
    wanted: &[RangeInclusive<u64>],
    each: &mut (dyn FnMut(&PacketRecord) + Send),
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), CaptureError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(run.threads.min(MOST_THREADS))
        .build()
        .map_err(|error| CaptureError::Threads { reason: error.to_string() })?;
    pool.install(|| rounds(reader, config, wanted, each, progress));
    Ok(())
}

fn rounds(
    mut reader: Reader,
    config: &Config,
    wanted: &[RangeInclusive<u64>],
    each: &mut (dyn FnMut(&PacketRecord) + Send),
    progress: &(dyn Fn(Progress) + Sync),
) {
    let mut sequencer = Sequencer::new(config);
    let last = wanted.iter().map(|range| *range.end()).max().unwrap_or(0);
    let holds_one = |chunk: &Chunk| {
        let end = chunk.first_packet + chunk.packets;
        wanted.iter().any(|range| *range.start() < end && chunk.first_packet <= *range.end())
    };
    let mut packets = 0;
    loop {
        let mut round: Vec<Chunk> = Vec::new();
        while round.len() < rayon::current_num_threads()
            && let Some(chunk) = reader.next_chunk().filter(|chunk| chunk.first_packet <= last)
        {
            packets = chunk.first_packet + chunk.packets - 1;
            if holds_one(&chunk) {
                round.push(chunk);
            }
        }
        if round.is_empty() {
            break;
        }
        let batches: Vec<Batch> = round.into_par_iter().map(|chunk| dissect_chunk(chunk, 1)).collect();
        for mut batch in batches {
            batch.sequence(&mut sequencer);
            batch.headers().for_each(&mut *each);
            batch.release();
        }
        let (bytes, total_bytes) = reader.progress();
        progress(Progress { bytes, total_bytes, packets });
    }
}
