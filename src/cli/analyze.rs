//! `pcapsy analyze`: the main job.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::capture::{Hashes, Reader};
use crate::cli::labels::LabelArgs;
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::redaction::RedactArgs;
use crate::cli::source::{Source, spare};
use crate::cli::stdout::stdout;
use crate::cli::writing::Writing;
use crate::config::Config;
use crate::detect::Severity;
use crate::diff::Baseline;
use crate::humanize::plural;
use crate::local;
use crate::pipeline::{Outcome, Rows};
use crate::report::announced::Announced;
use crate::report::capture::unread;
use crate::report::escape::terminal;
use crate::report::evidence::EVIDENCE;
use crate::report::files::{self, TableFiles};
use crate::report::folder::ReportFolder;
use crate::report::json;
use crate::report::labels::Labels;
use crate::report::manifest::Started;
use crate::report::model::Report;
use crate::report::rca::Zone;
use crate::report::screen::TOP;
use crate::report::text::{self, View};

/// Arguments of `analyze`.
#[derive(Debug, Args)]
pub(super) struct Analyze {
    #[command(flatten)]
    source: Source,
    /// Write the files of the report to this folder, of several captures to folders in it [default:
    /// reports/<name of the capture>]
    #[arg(long, value_name = "DIR", conflicts_with = "no_files")]
    out: Option<PathBuf>,
    /// Write no files
    #[arg(long)]
    no_files: bool,
    /// Print the report as JSON and nothing else
    #[arg(long)]
    json: bool,
    /// Print everything: every finding under its incident
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Print so many incidents in full
    #[arg(long, value_name = "N", default_value_t = TOP, conflicts_with_all = ["all", "json"])]
    top: usize,
    /// Time zone of the times in rca.md and report.html: UTC, an offset like +02:00, or a name like
    /// Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", conflicts_with = "no_files")]
    tz: Zone,
    /// Exit with 1 if there is an incident or a finding of at least this severity
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = FailOn::Critical)]
    fail_on: FailOn,
    /// Count only what an earlier report does not have for the exit code: report.json, or its folder
    #[arg(long, value_name = "REPORT")]
    baseline: Option<PathBuf>,
    /// What people changed, and when: CSV (time, source, text) or JSON lines. Marked in the timeline, and
    /// named with an incident that began shortly after
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    #[command(flatten)]
    labels: LabelArgs,
    /// Also put the SHA-256 of the inputs into the manifest
    #[arg(long)]
    sha256: bool,
    /// Write no packets of the incidents: no folder evidence/ in the report
    #[arg(long, conflicts_with = "no_files")]
    no_evidence: bool,
    #[command(flatten)]
    redact: RedactArgs,
    /// Do not hash the inputs: faster, but nothing in the report proves which bytes were read
    #[arg(long, conflicts_with = "sha256")]
    no_hash: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    Info,
    Warning,
    Critical,
    Never,
}

impl FailOn {
    /// The severity; `None` for never.
    pub(super) fn severity(self) -> Option<Severity> {
        match self {
            Self::Info => Some(Severity::Info),
            Self::Warning => Some(Severity::Warning),
            Self::Critical => Some(Severity::Critical),
            Self::Never => None,
        }
    }
}

/// Rows that nobody wants.
struct NoRows;

impl Rows for NoRows {}

impl Analyze {
    /// Analyses every capture set, writes its files, prints its summary.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        local::on_threads(self.source.threads(), || self.analyze())?
    }

    fn analyze(&self) -> Result<Exit, Failure> {
        let config = self.source.config()?;
        let hashes = match (self.sha256, self.no_hash) {
            (true, _) => Hashes::Sha256,
            (_, true) => Hashes::None,
            _ => Hashes::Blake3,
        };
        let baseline = self.baseline.as_deref().map(Baseline::read).transpose()?;
        let announced = self.events.as_deref().map(Announced::read).transpose();
        let announced = announced.map_err(|error| Failure::Usage(error.to_string()))?.unwrap_or_default();
        let labels = self.labels.read()?;
        let readers = self.source.open(&config, hashes)?;
        let targets = self.targets(&readers);
        let many = readers.len() > 1;
        if many && !self.json {
            let captures = plural(readers.len() as u64, "capture");
            let why = "neither names nor times continue one another";
            writeln!(stdout()?.lock(), "{captures}, each analysed for itself: {why} (one with --set)")?;
        }
        let mut exit = Exit::Clean;
        for (reader, target) in readers.into_iter().zip(&targets) {
            if many && !self.json {
                writeln!(stdout()?.lock())?;
            }
            exit = exit.max(self.one(&config, reader, target, (baseline.as_ref(), &announced, &labels))?);
        }
        Ok(exit)
    }

    /// Analyses a capture set.
    fn one(
        &self,
        config: &Config,
        reader: Reader,
        target: &Path,
        (baseline, announced, labels): (Option<&Baseline>, &[Announced], &Labels),
    ) -> Result<Exit, Failure> {
        let started = Started::now();
        let (outcome, written) = match self.folder(&reader, target)? {
            None => (self.source.analyze(config, reader, &mut NoRows)?, None),
            Some(folder) => {
                let mut tables = TableFiles::create(folder.path(), &config.limits)?;
                let outcome = self.source.analyze(config, reader, &mut tables)?;
                (outcome, Some((folder, tables)))
            }
        };
        let mut report = Report::new(&outcome, config);
        report.announce(announced);
        report.label(labels);
        // Files first, so that the summary can say where they are; a full disk does not cost the summary.
        let evidence = (!self.no_evidence).then_some(&self.redact);
        let threads = self.source.threads();
        let bar = self.source.bar();
        let (zone, keylog) = (&self.tz, self.source.keylog());
        let writing = Writing { config, keylog, zone, threads, started, evidence, bar };
        let written = written.map(|(folder, tables)| writing.write(&outcome, &report, tables, folder));
        self.print(&report)?;
        if let Some(written) = written {
            written?;
            if !self.json {
                writeln!(stdout()?.lock(), "\nfiles in {}", terminal(&target.display().to_string()))?;
            }
        }
        if let Some(baseline) = baseline.filter(|_| !self.json) {
            writeln!(stdout()?.lock(), "\n{}", known(baseline, &report))?;
        }
        let worst = baseline.map_or(report.verdict.worst, |baseline| baseline.worst(&report));
        Ok(self.exit(&outcome, worst))
    }

    fn print(&self, report: &Report) -> io::Result<()> {
        if self.json {
            return json::write(report, io::BufWriter::new(stdout()?.lock()));
        }
        stdout()?;
        let width = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0));
        let view = if self.all { View::All } else { View::Screen(self.top) };
        text::write(report, view, width, &mut anstream::stdout().lock())
    }

    fn exit(&self, outcome: &Outcome, worst: Option<Severity>) -> Exit {
        for unreadable in &outcome.unreadable {
            complain(&unreadable.reason);
        }
        match self.fail_on.severity() {
            _ if !unread(outcome).is_empty() => Exit::Failed,
            Some(severity) if worst >= Some(severity) => Exit::Findings,
            _ => Exit::Clean,
        }
    }

    /// The folder of the report, unless nobody wants one. None of its files may be an input.
    fn folder(&self, reader: &Reader, target: &Path) -> Result<Option<ReportFolder>, Failure> {
        if self.no_files {
            return Ok(None);
        }
        let old = fs::read_dir(target.join(EVIDENCE)).into_iter().flatten();
        let old = old.filter_map(|entry| Some(entry.ok()?.path()));
        for file in files::names().iter().map(|name| target.join(name)).chain(old) {
            spare(reader, &file, &file.display().to_string())?;
        }
        Ok(Some(ReportFolder::create(target)?))
    }

    /// The folder of every report: that of the only one is named after the first input, those of several
    /// after the first files, and numbered where these are alike.
    fn targets(&self, readers: &[Reader]) -> Vec<PathBuf> {
        let home = self.out.clone().unwrap_or_else(|| PathBuf::from("reports"));
        if readers.len() == 1 {
            let input = self.source.inputs.first().map_or(Path::new("-"), PathBuf::as_path);
            return vec![self.out.clone().unwrap_or_else(|| home.join(report_name(input)))];
        }
        let mut taken = BTreeSet::new();
        let names = readers.iter().map(|reader| {
            let name = report_name(reader.waiting().next().unwrap_or(Path::new("-")));
            let numbered = (2u64..).map(|number| format!("{name}-{number}"));
            let free = std::iter::once(name.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
            free.unwrap_or(name)
        });
        names.map(|name| home.join(name)).collect()
    }
}

/// How much of a report was there before.
fn known(baseline: &Baseline, report: &Report) -> String {
    let new: Vec<&str> = baseline.new_incidents(report).map(|cited| cited.incident.id.as_str()).collect();
    match (report.incidents.len(), new.as_slice()) {
        (0, _) => "baseline: no incident".to_owned(),
        (all, []) => format!("baseline: nothing new in {}", plural(all as u64, "incident")),
        (all, new) => {
            format!("baseline: {} of {} new: {}", new.len(), plural(all as u64, "incident"), new.join(" "))
        }
    }
}

/// The name of the report on `input`: its file name without `.pcap`, `.gz` and the like.
pub(super) fn report_name(input: &Path) -> String {
    if input.as_os_str() == "-" {
        return "stdin".to_owned();
    }
    let canonical = fs::canonicalize(input).ok();
    let path = canonical.as_deref().unwrap_or(input);
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for ending in [".gz", ".zst", ".lz4", ".pcap", ".pcapng", ".cap", ".dmp"] {
        if let Some(stem) = name.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            name = stem.to_owned();
        }
    }
    let plain = |character: char| {
        if character.is_alphanumeric() || "._-".contains(character) { character } else { '_' }
    };
    let name: String = name.chars().map(plain).collect();
    match name.trim_start_matches('.') {
        "" => "capture".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_named_after_their_capture() {
        let report_name = |input| report_name(Path::new(input));
        assert_eq!(report_name("-"), "stdin");
        assert_eq!(report_name("x/shop.pcap.gz"), "shop");
        assert_eq!(report_name("ring/eth0_*.pcapng"), "eth0__");
        assert_eq!(report_name("src"), "src");
        assert_eq!(report_name("../.pcap"), "pcap");
    }
}
