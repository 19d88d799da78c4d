//! `pcapsy diff`: what is new, gone, worse or other than before.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::capture::Hashes;
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::source::{KeylogArgs, Reading, Source};
use crate::cli::stdout::stdout;
use crate::diff::{self, Observer, Profile};
use crate::report::capture::unread;
use crate::report::escape::write_json;
use crate::report::model::Report;
use crate::report::stored::{Stored, report_at};

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// Capture when things were well: file, directory or pattern; or the folder of a report
    #[arg(value_name = "GOOD")]
    before: PathBuf,
    /// Capture when they were not
    #[arg(value_name = "BAD")]
    after: PathBuf,
    #[command(flatten)]
    keylog: KeylogArgs,
    #[command(flatten)]
    reading: Reading,
    /// Print every difference
    #[arg(long)]
    all: bool,
    /// Print JSON and nothing else
    #[arg(long, conflicts_with = "all")]
    json: bool,
}

impl Diff {
    /// Analyses both and prints what differs.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let (before, whole_before) = self.profile(&self.before)?;
        let (after, whole_after) = self.profile(&self.after)?;
        let diff = diff::Diff::new(before, after);
        if self.json {
            let mut out = io::BufWriter::new(stdout()?.lock());
            write_json(&mut out, &diff, true)?;
            out.write_all(b"\n")?;
            out.flush()?;
        } else {
            stdout()?;
            let width = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0));
            diff::write(&diff, self.all, width, &mut anstream::stdout().lock())?;
        }
        Ok(match (whole_before && whole_after, diff.is_worse()) {
            (false, _) => Exit::Failed,
            (_, true) => Exit::Findings,
            (_, false) => Exit::Clean,
        })
    }

    /// What an input shows, and whether all of it could be read.
    fn profile(&self, input: &Path) -> Result<(Profile, bool), Failure> {
        if let Some(report) = report_at(input) {
            let stored = Stored::read(&report)?;
            let whole = !stored.verdict.incomplete;
            if !whole {
                stored.verdict.reasons.iter().for_each(|it| complain(&format!("{}: {it}", report.display())));
            }
            return Ok((Profile::stored(stored), whole));
        }
        let source = Source::one(input, self.keylog.clone(), self.reading.clone());
        let config = source.config()?;
        let reader = source.open_one(&config, Hashes::None)?;
        let mut observer = Observer::default();
        let outcome = source.analyze(&config, reader, &mut observer)?;
        let problems = unread(&outcome);
        problems.iter().for_each(|problem| complain(problem));
        let report = Report::new(&outcome, &config);
        Ok((Profile::new(&report, &outcome, observer), problems.is_empty()))
    }
}
