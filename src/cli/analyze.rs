//! `pcapsy analyze`: the main job.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::capture::{FileReport, Hashes, Reader};
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::redaction::RedactArgs;
use crate::cli::source::{Source, spare};
use crate::cli::stdout::stdout;
use crate::config::Config;
use crate::detect::Severity;
use crate::extract::{Again, ExtractError};
use crate::humanize::plural;
use crate::pipeline::{Outcome, Rows};
use crate::report::capture::unread;
use crate::report::escape::terminal;
use crate::report::evidence::{self, EVIDENCE, RedactionNote};
use crate::report::files::{self, TableFiles, WriteError};
use crate::report::folder::ReportFolder;
use crate::report::json;
use crate::report::manifest::{Manifest, Started};
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
    /// Time zone of the times in rca.md: UTC, an offset like +02:00, or a name like Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", conflicts_with = "no_files")]
    tz: Zone,
    /// Exit with 1 if there is an incident or a finding of at least this severity
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = FailOn::Critical)]
    fail_on: FailOn,
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
enum FailOn {
    Info,
    Warning,
    Critical,
    Never,
}

impl FailOn {
    fn severity(self) -> Option<Severity> {
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
        let config = self.source.config()?;
        let hashes = match (self.sha256, self.no_hash) {
            (true, _) => Hashes::Sha256,
            (_, true) => Hashes::None,
            _ => Hashes::Blake3,
        };
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
            exit = exit.max(self.one(&config, reader, target)?);
        }
        Ok(exit)
    }

    /// Analyses a capture set.
    fn one(&self, config: &Config, reader: Reader, target: &Path) -> Result<Exit, Failure> {
        let started = Started::now();
        let (outcome, written) = match self.folder(&reader, target)? {
            None => (self.source.analyze(config, reader, &mut NoRows)?, None),
            Some(folder) => {
                let mut tables = TableFiles::create(folder.path())?;
                let outcome = self.source.analyze(config, reader, &mut tables)?;
                (outcome, Some((folder, tables)))
            }
        };
        let report = Report::new(&outcome, config);
        // Files first, so that the summary can say where they are; a full disk does not cost the summary.
        let written = written.map(|(folder, tables)| {
            let (evidence, redacted) = self.evidence(config, &report, &outcome.files, &folder)?;
            let manifest = |outputs: &[PathBuf]| {
                let outputs = [outputs, &evidence].concat();
                let threads = self.source.threads();
                let manifest = Manifest::new(&outcome, config, threads, started, folder.path(), &outputs)?;
                Ok(Manifest { redacted, ..manifest })
            };
            let written = write_files(tables, &report, &outcome.files, &self.tz, &folder, manifest)?;
            Ok::<_, Failure>(publish(folder, &written)?)
        });
        self.print(&report)?;
        if let Some(written) = written {
            written?;
            if !self.json {
                writeln!(stdout()?.lock(), "\nfiles in {}", terminal(&target.display().to_string()))?;
            }
        }
        Ok(self.exit(&outcome, &report))
    }

    /// Writes the packets of the incidents. A report is whole without them: a stream cannot be read twice,
    /// and a file may have been changed meanwhile.
    fn evidence(
        &self,
        config: &Config,
        report: &Report,
        files: &[FileReport],
        folder: &ReportFolder,
    ) -> Result<(Vec<PathBuf>, Option<RedactionNote>), Failure> {
        let mut redaction = self.redact.redaction()?;
        if self.no_evidence || report.incidents.is_empty() {
            return Ok((Vec::new(), None));
        }
        let again = Again::new(files, &config.capture_limits());
        let written = evidence::of_incidents(report, &again).and_then(|picked| {
            evidence::write(report, files, &again, &picked, redaction.as_mut(), folder.path())
        });
        match written {
            Ok(paths) => Ok((paths, redaction.map(|redaction| redaction.note()))),
            Err(ExtractError::Write(error)) => {
                Err(WriteError::new(folder.target().join(EVIDENCE), error).into())
            }
            Err(error) => {
                complain(&format!("no evidence/: {error}"));
                // Half a file proves nothing.
                match fs::remove_dir_all(folder.path().join(EVIDENCE)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(WriteError::new(folder.target().join(EVIDENCE), error).into())
                    }
                    _ => Ok((Vec::new(), None)),
                }
            }
        }
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

    fn exit(&self, outcome: &Outcome, report: &Report) -> Exit {
        for unreadable in &outcome.unreadable {
            complain(&unreadable.reason);
        }
        match self.fail_on.severity() {
            _ if !unread(outcome).is_empty() => Exit::Failed,
            Some(severity) if report.fails_on(severity) => Exit::Findings,
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

/// Completes the files.
fn write_files(
    tables: TableFiles,
    report: &Report,
    inputs: &[FileReport],
    zone: &Zone,
    folder: &ReportFolder,
    manifest: impl FnOnce(&[PathBuf]) -> Result<Manifest, WriteError>,
) -> Result<Manifest, WriteError> {
    let mut outputs = tables.finish()?;
    outputs.extend(files::write_report(report, inputs, zone, folder.path())?);
    let manifest = manifest(&outputs)?;
    manifest.write(folder.path())?;
    Ok(manifest)
}

/// Puts the folder in its place. Says so when that held the report on something else.
fn publish(folder: ReportFolder, manifest: &Manifest) -> Result<(), WriteError> {
    let replaced = folder.former().filter(|former| !former.is_of(&manifest.inputs)).map(|former| {
        let first = former.inputs.first().map_or("no capture", |input| &input.path);
        let more = match former.inputs.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" and {}", plural(more as u64, "other")),
        };
        format!("{}: replaced the report on another capture: {first}{more}", folder.target().display())
    });
    let left = folder.publish()?;
    replaced.iter().for_each(|replaced| complain(replaced));
    if let Some(left) = left {
        complain(&format!("{}: files that are not of the report stay here", left.display()));
    }
    Ok(())
}

/// The name of the report on `input`: its file name without `.pcap`, `.gz` and the like.
fn report_name(input: &Path) -> String {
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
