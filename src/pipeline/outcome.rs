//! What a run ends with, wherever its stages ran.

use std::collections::BTreeMap;

use super::partition::PartitionState;
use super::sequencer::Sequencer;
use crate::capture::{Chunk, FileReport, Ignored, Reader, Unreadable};
use crate::config::Config;
use crate::correlate::Board;
use crate::detect::{Context, Heard, Hosts, Rule, Totals, Verdict};
use crate::dissect::{DefragStats, Stop};

/// A cap that acted, so that the report is marked degraded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Capped {
    /// What was cut, e.g. `tcp events per flow`.
    pub what: &'static str,
    /// The setting behind it, e.g. `limits.events_per_flow`.
    pub setting: &'static str,
    /// How often.
    pub count: u64,
}

/// What a run found, apart from the rows.
#[derive(Debug)]
pub struct Outcome {
    /// Sums over all packets.
    pub totals: Totals,
    /// The files, in analysis order.
    pub files: Vec<FileReport>,
    /// Where their records are, as far as that is kept: see [`Reader::take_kept`].
    pub chunks: Vec<Chunk>,
    /// What became of the IP fragments.
    pub fragments: DefragStats,
    /// Inputs that could not be read, and why.
    pub unreadable: Vec<Unreadable>,
    /// What given directories and patterns hold that is no capture.
    pub ignored: Ignored,
    /// Every detector's verdict.
    pub verdicts: Vec<(&'static Rule, Verdict)>,
    /// How every service fared.
    pub board: Board,
    /// Caps that acted.
    pub capped: Vec<Capped>,
    /// Flows closed, by protocol number.
    pub flows: BTreeMap<u8, u64>,
}

impl Outcome {
    /// What every run ends with, wherever its stages ran: `state` is merged over all partitions, `evicted`
    /// flows were closed for their memory, and `refused` streams got no number.
    pub fn conclude(
        config: &Config,
        mut reader: Reader,
        sequencer: Sequencer,
        state: PartitionState,
        evicted: u64,
        refused: u64,
    ) -> Self {
        let (totals, fragments) = sequencer.finish();
        let (unreadable, ignored) = (reader.unreadable().to_vec(), reader.ignored().clone());
        let (chunks, files) = (reader.take_kept(), reader.into_files());
        let hits = state.hits;
        let context = Context {
            totals: &totals,
            files: &files,
            fragments,
            heard: &Heard::default(),
            hosts: &Hosts::default(),
        };
        let (verdicts, scoreboard, flows) = state.judge(&config.detectors(), &context);
        let memory_limits = |asked: u64, given: u64, setting| match given < asked {
            true => "limits.memory_mib",
            false => setting,
        };
        let limits = &config.limits;
        let streams =
            memory_limits(limits.streams.into(), limits.numbered_streams().into(), "limits.streams");
        let datagrams = memory_limits(
            u64::from(limits.fragments_mib) << 20,
            limits.for_fragments() as u64,
            "limits.fragments_mib",
        );
        let nested = totals.stops.get(&Stop::Depth.to_string()).copied().unwrap_or(0);
        let capped = [
            ("flows closed for their memory", "limits.memory_mib", evicted),
            ("flows that may go on where one was closed", "limits.memory_mib", hits.continued),
            ("classified tcp segments of one flow", "limits.events_per_flow", hits.events),
            ("gaps given up early in reassembly", "limits.reassembly_kib", hits.reassembly),
            ("numbered tcp streams", streams, refused),
            ("holes of one tcp stream", "built-in table", hits.holes),
            ("dns transactions of one flow", "built-in table", hits.transactions),
            ("packets with too many nested layers", "built-in limit", nested),
            ("incomplete ip datagrams", datagrams, fragments.evicted),
        ];
        let capped = capped
            .into_iter()
            .filter(|(.., count)| *count > 0)
            .map(|(what, setting, count)| Capped { what, setting, count })
            .collect();
        let board = scoreboard.into();
        Self { totals, files, chunks, fragments, unreadable, ignored, verdicts, board, capped, flows }
    }
}
