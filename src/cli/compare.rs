//! `pcapsy compare`: the same traffic at several points.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::capture::{CaptureLimits, Hashes};
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::progress::Bar;
use crate::cli::source::{KeylogArgs, Reading};
use crate::cli::stdout::stdout;
use crate::compare::{self, Between, BetweenRow, Comparison, Event, Losses, Point};
use crate::local::{self, Progress};
use crate::report::escape::write_json;
use crate::report::files::WriteError;
use crate::report::place::{Pending, same_file};
use crate::report::query::Wanted;
use crate::report::table_writer::{Format, TableWriter};

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// A capture for each point, in the order of the way between them; of a single one, its interfaces
    #[arg(value_name = "CAPTURE", required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    keylog: KeylogArgs,
    #[command(flatten)]
    reading: Reading,
    /// Write a row for every packet that was lost, made up or changed: CSV, JSON lines or Parquet, by the
    /// ending
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Print every change
    #[arg(long)]
    all: bool,
    /// Print JSON and nothing else
    #[arg(long, conflicts_with = "all")]
    json: bool,
}

impl Compare {
    /// Compares and prints what happened between the points.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        local::on_threads(self.reading.threads(), || self.compare())?
    }

    fn compare(&self) -> Result<Exit, Failure> {
        let config = self.reading.config()?;
        let limits = CaptureLimits { hashes: Hashes::None, ..config.capture_limits() };
        if self.inputs.iter().any(|input| input.as_os_str() == "-") {
            return Err(Failure::Usage("every point is read twice: standard input cannot be".to_owned()));
        }
        let keylog = self.keylog.read()?;
        let points = Point::of(&self.inputs, &limits)?;
        if points.len() < 2 {
            let why = "two points are needed: two captures, or one with packets of two interfaces";
            return Err(Failure::Usage(why.to_owned()));
        }
        let bar = Bar::new(self.reading.is_quiet());
        let show = |step: compare::Step| {
            bar.show(Progress { bytes: step.bytes, total_bytes: step.total, packets: 0 });
        };
        let mut table = self.table.as_deref().map(|path| self.open(path)).transpose()?;
        let mut failed: Option<io::Error> = None;
        let mut losses = Losses::default();
        let mut events = |event: &Event<'_>| {
            losses.add(event);
            if let (Some((_, writer)), None) = (&mut table, &failed) {
                failed = writer.rows(&[BetweenRow { event }]).err();
            }
        };
        let mut comparison = Comparison::new(points, &limits, &mut events, &show)?;
        if let (Some((pending, writer)), Some(path)) = (table, &self.table) {
            let named = |error| Failure::from(WriteError::new(path.clone(), error));
            failed.map_or(Ok(()), Err).map_err(named)?;
            writer.finish().map_err(named)?;
            pending.finish()?;
        }
        let keys = keylog.lines();
        comparison.locate(&losses, &self.inputs, keys, &config, &|progress| bar.show(progress))?;
        bar.clear();
        if self.json {
            let mut out = io::BufWriter::new(stdout()?.lock());
            write_json(&mut out, &comparison, true)?;
            out.write_all(b"\n")?;
            out.flush()?;
        } else {
            stdout()?;
            let width = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0));
            compare::write(&comparison, self.all, width, &mut anstream::stdout().lock())?;
        }
        for point in comparison.points.iter().filter(|point| point.damaged) {
            complain(&format!("{}: not all of it could be read", point.name));
        }
        Ok(match (comparison.is_whole(), comparison.is_lossy()) {
            (false, _) => Exit::Failed,
            (_, true) => Exit::Findings,
            (_, false) => Exit::Clean,
        })
    }

    fn open(&self, path: &Path) -> Result<(Pending, TableWriter<Between>), Failure> {
        if let Some(input) = self.inputs.iter().find(|input| same_file(input, path)) {
            let (path, input) = (path.display(), input.display());
            return Err(Failure::Usage(format!("{path} is the input {input}; write to another file")));
        }
        let format = match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Format::Csv,
            Some("jsonl" | "ndjson" | "json") => Format::Jsonl,
            Some("parquet") => Format::Parquet,
            _ => {
                let why =
                    format!("{}: expected a name that ends in .csv, .jsonl or .parquet", path.display());
                return Err(Failure::Usage(why));
            }
        };
        let (pending, file) = Pending::create(path)?;
        let named = |error| Failure::from(WriteError::new(path.to_owned(), error));
        let out = io::BufWriter::new(file);
        let writer = TableWriter::new(format, out, &[], &Wanted::default()).map_err(named)?;
        Ok((pending, writer))
    }
}
