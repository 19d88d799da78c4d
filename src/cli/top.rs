//! `pcapsy top`: who moved most.

use std::io;

use clap::Args;

use crate::cli::outcome::{Exit, Failure};
use crate::cli::tables::{Feed, TableArgs};
use crate::flow::Row;
use crate::pipeline::Outcome;
use crate::report::table::{FileIndex, Top as Table, TopRow, flows};
use crate::report::table_writer::TableWriter;
use crate::report::talkers::{By, Talkers};

/// Talkers shown, unless asked otherwise.
const SHOWN: u64 = 20;

/// Arguments of `pcapsy top`.
#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    table: TableArgs,
    /// Add flows up by this
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// Show who moves more after the middle of the capture than before, who grew most first
    #[arg(long)]
    growth: bool,
}

/// What is shown of growth.
const GROWTH: [&str; 6] = ["talker", "growth", "rate_before", "rate_after", "bytes", "flows"];

impl Top {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let talkers = Talkers::new(self.by);
        let (talkers, table) = match self.growth {
            true => (talkers.growing(), self.table.or_columns(&GROWTH).or_sort("-growth")),
            false => (talkers, self.table.or_sort("-bytes")),
        };
        table.or_limit(SHOWN).feed::<Table>(Ranking { talkers })
    }
}

/// Talkers, added up until the run is over.
struct Ranking {
    talkers: Talkers,
}

impl Feed<Table> for Ranking {
    fn finished(&mut self, rows: &[Row], _: &FileIndex, _: &mut TableWriter<Table>) -> io::Result<()> {
        flows(rows).for_each(|flow| self.talkers.add(flow));
        Ok(())
    }

    fn concluded(&mut self, _: &Outcome, _: &FileIndex, out: &mut TableWriter<Table>) -> io::Result<()> {
        let ranking = self.talkers.take_ranking();
        let mut rows = Vec::new();
        for (talker, moved, share) in &ranking {
            let growth = self.talkers.growth(talker);
            rows.push(TopRow { talker, moved, share: *share, growth });
        }
        out.rows(&rows)
    }
}
