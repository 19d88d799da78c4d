//! `pcapsy flows`, `sides`, `events`, `dns`, `tls`, `certificates`, `http`, `icmp`, `services`,
//! `timeline`, `files`: one table.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::capture::Hashes;
use crate::cli::labels::LabelArgs;
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::source::{Source, spare};
use crate::cli::stdout::stdout;
use crate::flow::Row;
use crate::pipeline::{Outcome, Rows};
use crate::report::capture::unread;
use crate::report::files::WriteError;
use crate::report::place::Pending;
use crate::report::query::Wanted;
use crate::report::table::{FileIndex, Streamed, Table};
use crate::report::table_writer::{Format, TableWriter};

/// Arguments of the table commands.
#[derive(Debug, Args)]
pub(super) struct TableArgs {
    #[command(flatten)]
    source: Source,
    /// Format of the output [default: by the ending of --output, else table]
    #[arg(long, short, value_enum)]
    format: Option<Format>,
    /// Write to this file, - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Write only these columns, in this order. `pcapsy explain tables` lists them
    #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
    columns: Vec<String>,
    /// Write only rows for which this holds: COLUMN, one of = != < <= > >= ~ (contains), VALUE. Several have
    /// to hold all; - stands for no value
    #[arg(long = "where", short = 'w', value_name = "CONDITION")]
    conditions: Vec<String>,
    /// Write the rows in the order of this column; with - before it, the largest first [default: in time
    /// order, when the table has a ts column]
    #[arg(long, short, value_name = "COLUMN", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Write at most so many rows
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    labels: LabelArgs,
}

/// Which rows a run gives a table.
pub(super) trait Feed<T: Table>: Send {
    /// What is finished, in that order; the packets are in `files`.
    fn finished(&mut self, finished: &[Row], files: &FileIndex, out: &mut TableWriter<T>) -> io::Result<()>;

    /// The run is over.
    fn concluded(&mut self, outcome: &Outcome, files: &FileIndex, out: &mut TableWriter<T>)
    -> io::Result<()>;
}

/// All of them.
struct Everything;

impl<T: Streamed> Feed<T> for Everything {
    fn finished(&mut self, finished: &[Row], files: &FileIndex, out: &mut TableWriter<T>) -> io::Result<()> {
        out.rows(&T::finished(finished, files))
    }

    fn concluded(&mut self, outcome: &Outcome, _: &FileIndex, out: &mut TableWriter<T>) -> io::Result<()> {
        out.rows(&T::concluded(outcome))
    }
}

/// Rows of one table on their way out; the first error stops it.
struct OneTable<T: Table, F> {
    writer: TableWriter<T>,
    feed: F,
    files: FileIndex,
    failed: Option<io::Error>,
}

impl<T: Table, F: Feed<T>> OneTable<T, F> {
    fn keep(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {}
            // The reader went away: nobody would see the rest of the analysis.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                std::process::exit(Exit::Clean.code().into())
            }
            Err(error) => self.failed = Some(error),
        }
    }
}

impl<T: Table, F: Feed<T>> Rows for OneTable<T, F> {
    fn file(&mut self, path: &str, base: u64) {
        self.files.push(path, base);
    }

    fn finished(&mut self, rows: &[Row]) {
        if self.failed.is_none() {
            let result = self.feed.finished(rows, &self.files, &mut self.writer);
            self.keep(result);
        }
    }
}

impl TableArgs {
    /// Takes `columns` where the caller named none.
    pub(super) fn or_columns(mut self, columns: &[&str]) -> Self {
        if self.columns.is_empty() {
            self.columns = columns.iter().map(|name| (*name).to_owned()).collect();
        }
        self
    }

    /// Sorts by `column` where the caller asked for no order.
    pub(super) fn or_sort(mut self, column: &str) -> Self {
        self.sort.get_or_insert_with(|| column.to_owned());
        self
    }

    /// Writes at most `limit` rows where the caller named no number.
    pub(super) fn or_limit(mut self, limit: u64) -> Self {
        self.limit.get_or_insert(limit);
        self
    }

    /// Analyses and writes table `T`.
    pub(super) fn run<T: Streamed>(self) -> Result<Exit, Failure> {
        self.feed::<T>(Everything)
    }

    /// The same with those rows that `feed` gives it.
    pub(super) fn feed<T: Table>(self, feed: impl Feed<T>) -> Result<Exit, Failure> {
        let config = self.source.config()?;
        let format = self.format();
        let labels = self.labels.read()?;
        let to_stdout = self.output == Path::new("-");
        if to_stdout && format == Format::Parquet && io::stdout().is_terminal() {
            return Err(Failure::Usage(
                "parquet is binary: name a file with --output, or write to a pipe".to_owned(),
            ));
        }
        let reader = self.source.open_one(&config, Hashes::default())?;
        let (pending, out): (_, Box<dyn Write + Send>) = if to_stdout {
            (None, Box::new(stdout()?))
        } else {
            spare(&reader, &self.output, &self.output.display().to_string())?;
            let (pending, file) = Pending::create(&self.output)?;
            (Some(pending), Box::new(file))
        };
        let failed = |error| match to_stdout {
            true => Failure::Output(error),
            false if error.kind() == io::ErrorKind::InvalidInput => Failure::Usage(error.to_string()),
            false => WriteError::new(&self.output, error).into(),
        };
        let wanted = Wanted { conditions: &self.conditions, sort: self.sort.as_deref(), limit: self.limit };
        let out = io::BufWriter::with_capacity(1 << 16, out);
        let writer =
            TableWriter::<T>::labelled(format, out, &self.columns, &wanted, labels).map_err(&failed)?;
        let writer = writer.collecting(config.limits.group_rows());
        let mut rows = OneTable { writer, feed, files: FileIndex::default(), failed: None };
        let outcome = self.source.analyze(&config, reader, &mut rows)?;
        if rows.failed.is_none() {
            let result = rows.feed.concluded(&outcome, &rows.files, &mut rows.writer);
            rows.keep(result);
        }
        if let Some(error) = rows.failed {
            return Err(failed(error));
        }
        rows.writer.finish().map_err(failed)?;
        if let Some(pending) = pending {
            pending.finish()?;
        }
        let missing = unread(&outcome);
        missing.iter().for_each(|missing| complain(missing));
        Ok(if missing.is_empty() { Exit::Clean } else { Exit::Failed })
    }

    fn format(&self) -> Format {
        let ending = self.output.extension().and_then(|ending| ending.to_str());
        self.format.unwrap_or(match ending {
            Some("csv") => Format::Csv,
            Some("jsonl" | "ndjson" | "json") => Format::Jsonl,
            Some("parquet") => Format::Parquet,
            _ => Format::Table,
        })
    }
}
