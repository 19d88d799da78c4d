//! `pcapsy states`: what `ss` or `netstat` would have said on the hosts of a capture.

use std::collections::BTreeMap;
use std::io;

use clap::Args;

use crate::cli::outcome::{Exit, Failure};
use crate::cli::source;
use crate::cli::tables::{Feed, TableArgs};
use crate::flow::{Row, StatePeriod};
use crate::pipeline::Outcome;
use crate::report::table::{FileIndex, StateRow, States as Table, flows};
use crate::report::table_writer::TableWriter;
use crate::time::Timestamp;

/// Arguments of `pcapsy states`.
#[derive(Debug, Args)]
pub(super) struct States {
    #[command(flatten)]
    table: TableArgs,
    /// Show the connections at this time, such as 2026-11-21T14:09:52Z [default: the end of the capture]
    #[arg(long, value_name = "TIME", value_parser = source::time)]
    at: Option<Timestamp>,
    /// Show every state of every connection, with its begin and end
    #[arg(long, conflicts_with = "at")]
    all: bool,
}

impl States {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match (self.all, self.at) {
            (true, _) => self.table.feed::<Table>(Chosen(|_: &StatePeriod| true)),
            (false, Some(at)) => {
                self.table.feed::<Table>(Chosen(move |period: &StatePeriod| period.covers(at)))
            }
            (false, None) => self.table.feed::<Table>(AtEnd::new()),
        }
    }
}

fn periods<'f>(finished: &[Row], files: &'f FileIndex) -> Vec<StateRow<'f>> {
    flows(finished).flat_map(|flow| StateRow::of(flow, files)).collect()
}

/// The states for which something holds.
struct Chosen<F>(F);

impl<F: Fn(&StatePeriod) -> bool + Send> Feed<Table> for Chosen<F> {
    fn finished(&mut self, rows: &[Row], files: &FileIndex, out: &mut TableWriter<Table>) -> io::Result<()> {
        let mut rows = periods(rows, files);
        rows.retain(|row| (self.0)(&row.period));
        out.rows(&rows)
    }

    fn concluded(&mut self, _: &Outcome, _: &FileIndex, _: &mut TableWriter<Table>) -> io::Result<()> {
        Ok(())
    }
}

/// Connections that end by a timer and may be there still when the capture ends: what a flood of 2000 SYNs a
/// second leaves. Of more, those stay whose timers end last.
const PENDING: usize = 1 << 18;

/// The states in which the capture ends. Where a timer ends one, the end of the capture says whether it did.
struct AtEnd {
    /// The latest packet of a flow that is over.
    clock: Timestamp,
    pending: BTreeMap<(Timestamp, u64, u64), StateRow<'static>>,
}

impl AtEnd {
    fn new() -> Self {
        Self { clock: Timestamp::MIN, pending: BTreeMap::new() }
    }
}

impl Feed<Table> for AtEnd {
    fn finished(&mut self, rows: &[Row], files: &FileIndex, out: &mut TableWriter<Table>) -> io::Result<()> {
        // The time of a row is when it is final, which can be after the end of the capture.
        let seen = flows(rows).map(|flow| flow.last.time).max();
        self.clock = seen.map_or(self.clock, |seen| seen.max(self.clock));
        let (open, ended): (Vec<_>, Vec<_>) =
            periods(rows, files).into_iter().partition(|row| row.period.until.is_none());
        for row in ended {
            let (flow, packet) = row.key();
            let until = row.period.until.unwrap_or(Timestamp::MAX);
            self.pending.insert((until, flow, packet), row.without_files());
        }
        self.pending = self.pending.split_off(&(self.clock, 0, 0));
        while self.pending.len() > PENDING {
            self.pending.pop_first();
        }
        out.rows(&open)
    }

    fn concluded(
        &mut self,
        outcome: &Outcome,
        files: &FileIndex,
        out: &mut TableWriter<Table>,
    ) -> io::Result<()> {
        let end = outcome.totals.last.unwrap_or(Timestamp::MAX);
        let left = std::mem::take(&mut self.pending).into_values();
        let left: Vec<_> =
            left.filter(|row| row.period.covers(end)).map(|row| row.with_files(files)).collect();
        out.rows(&left)
    }
}
