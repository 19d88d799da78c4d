//! `pcapsy counters`: what `netstat -s` would have counted.

use std::io;

use clap::Args;

use crate::cli::outcome::{Exit, Failure};
use crate::cli::tables::{Feed, TableArgs};
use crate::flow::Row;
use crate::pipeline::Outcome;
use crate::report::counters;
use crate::report::table::{CounterRow, CounterTable as Table, FileIndex, flows};
use crate::report::table_writer::TableWriter;

/// Arguments of `pcapsy counters`.
#[derive(Debug, Args)]
pub(super) struct Counters {
    #[command(flatten)]
    table: TableArgs,
}

impl Counters {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        self.table.feed::<Table>(Sums::default())
    }
}

/// Counters, added up until the run is over.
#[derive(Default)]
struct Sums(counters::Counters);

impl Feed<Table> for Sums {
    fn finished(&mut self, rows: &[Row], _: &FileIndex, _: &mut TableWriter<Table>) -> io::Result<()> {
        flows(rows).for_each(|flow| self.0.add(flow));
        Ok(())
    }

    fn concluded(&mut self, all: &Outcome, _: &FileIndex, out: &mut TableWriter<Table>) -> io::Result<()> {
        let list = self.0.list(all).into_iter();
        out.rows(&list.map(|(counter, value)| CounterRow { counter, value }).collect::<Vec<_>>())
    }
}
