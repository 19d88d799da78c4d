//! `pcapsy analyze`: the main job.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::capture::FileReport;
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::source::Source;
use crate::detect::Severity;
use crate::pipeline::{Outcome, Rows};
use crate::report::files::{self, TableFiles, WriteError};
use crate::report::manifest::{Manifest, Started};
use crate::report::model::Report;
use crate::report::{json, text};

/// Arguments of `analyze`.
#[derive(Debug, Args)]
pub(super) struct Analyze {
    #[command(flatten)]
    source: Source,
    /// Write the files of the report to this folder [default: reports/<name of the first input>]
    #[arg(long, value_name = "DIR", conflicts_with = "no_files")]
    out: Option<PathBuf>,
    /// Write no files
    #[arg(long)]
    no_files: bool,
    /// Print the report as JSON and nothing else
    #[arg(long)]
    json: bool,
    /// Exit with 1 if there is a finding of at least this severity
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = FailOn::Critical)]
    fail_on: FailOn,
    /// Also put the SHA-256 of the inputs into the manifest
    #[arg(long)]
    sha256: bool,
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
    /// Analyses, writes the files, prints the summary.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let started = Started::now();
        let config = self.source.config()?;
        let (outcome, written) = if self.no_files {
            (self.source.analyze(&config, self.sha256, &mut NoRows)?, None)
        } else {
            let folder = self.folder();
            let mut tables = TableFiles::create(&folder)?;
            match self.source.analyze(&config, self.sha256, &mut tables) {
                Ok(outcome) => (outcome, Some((folder, tables))),
                Err(failure) => {
                    drop(tables);
                    // Only an empty folder goes: one that was there before keeps what is in it.
                    let _ = fs::remove_dir(&folder);
                    return Err(failure);
                }
            }
        };
        let report = Report::new(&outcome, &config);
        // Files first, so that the summary can say where they are; a full disk does not cost the summary.
        let written = written.map(|(folder, tables)| {
            let written = write_files(tables, &report, &outcome.files, &folder, |outputs| {
                Manifest::new(&outcome, &config, self.source.threads, started, outputs)
            });
            (folder, written)
        });
        self.print(&report)?;
        match written {
            Some((_, Err(error))) => Err(error.into()),
            Some((folder, Ok(()))) => {
                if !self.json {
                    writeln!(io::stdout().lock(), "\nfiles in {}", folder.display())?;
                }
                Ok(self.exit(&outcome, &report))
            }
            None => Ok(self.exit(&outcome, &report)),
        }
    }

    fn print(&self, report: &Report) -> io::Result<()> {
        if self.json {
            return json::write(report, io::BufWriter::new(io::stdout().lock()));
        }
        let width = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0));
        text::write(report, width, &mut anstream::stdout().lock())
    }

    fn exit(&self, outcome: &Outcome, report: &Report) -> Exit {
        for unreadable in &outcome.unreadable {
            complain(&unreadable.reason);
        }
        match self.fail_on.severity() {
            _ if !outcome.unreadable.is_empty() => Exit::Failed,
            Some(severity) if report.fails_on(severity) => Exit::Findings,
            _ => Exit::Clean,
        }
    }

    fn folder(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let input = self.source.inputs.first().map_or(Path::new("-"), PathBuf::as_path);
            Path::new("reports").join(report_name(input))
        })
    }
}

fn write_files(
    tables: TableFiles,
    report: &Report,
    inputs: &[FileReport],
    folder: &Path,
    manifest: impl FnOnce(&[PathBuf]) -> Result<Manifest, WriteError>,
) -> Result<(), WriteError> {
    let mut outputs = tables.finish()?;
    outputs.extend(files::write_report(report, inputs, folder)?);
    manifest(&outputs)?.write(folder)?;
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
