//! The files of a run: tables while the analysis goes on, the report when it is over.
//!
//! They go straight into the folder that is named. [`ReportFolder`](super::folder::ReportFolder) gives them a
//! fresh one and swaps it in when all of them are complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thiserror::Error;

use crate::capture::FileReport;
use crate::config::Limits;
use crate::flow::Row;
use crate::pipeline::Rows;
use crate::report::course::Course;
use crate::report::html::Seen;
use crate::report::manifest::MANIFEST;
use crate::report::model::Report;
use crate::report::query::Wanted;
use crate::report::rca::Zone;
use crate::report::screen::TOP;
use crate::report::table::{
    Certificates, Dns, EvidenceRow, EvidenceTable, FileIndex, FileRow, Files, FindingRow, Findings, Flows,
    Http, Icmp, IncidentRow, Incidents, ServiceRow, Services, Streamed, Table, TableDoc, TcpEvents, TcpSides,
    TimelineRow, TimelineTable, Tls,
};
use crate::report::table_writer::{Format, TableWriter};
use crate::report::text::View;

pub(crate) const REPORT: &str = "report.json";
const SUMMARY: &str = "summary.txt";
const RCA: &str = "rca.md";
const PAGE: &str = "report.html";

/// The names of all files of a report, the manifest last.
pub fn names() -> Vec<String> {
    let tables = TableDoc::all().into_iter().map(|table| format!("{}.parquet", table.name));
    tables.chain([REPORT, SUMMARY, RCA, PAGE, MANIFEST].map(str::to_owned)).collect()
}

/// A file that could not be written.
#[derive(Debug, Error)]
#[error("cannot write {}: {}", path.display(), reason(error))]
pub struct WriteError {
    /// The file, by the name it was to have.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

impl WriteError {
    /// `error` about the file at `path`.
    pub fn new(path: impl Into<PathBuf>, error: io::Error) -> Self {
        Self { path: path.into(), error }
    }
}

/// An I/O error in words that say what to do, without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "no space left on device".to_owned(),
        io::ErrorKind::QuotaExceeded => "disk quota exceeded".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "read-only file system".to_owned(),
        io::ErrorKind::NotADirectory => "a part of the path is not a directory".to_owned(),
        io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder; name a file".to_owned(),
        io::ErrorKind::AlreadyExists => {
            "a file is in the way; name another folder, or move the file".to_owned()
        }
        _ => {
            let said = error.to_string();
            said.split(" (os error ").next().unwrap_or_default().to_lowercase()
        }
    }
}

/// Writes the file `name` of a report into `folder`.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_file(
    folder: &Path,
    name: &str,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<PathBuf, WriteError> {
    let path = folder.join(name);
    let write = || {
        let mut file = BufWriter::new(File::create(&path)?);
        content(&mut file)?;
        file.flush()
    };
    write().map_err(|error| WriteError::new(&path, error))?;
    Ok(path)
}

/// A table on its way into a Parquet file.
struct TableFile<T: Table> {
    writer: TableWriter<T>,
    path: PathBuf,
}

impl<T: Table> TableFile<T> {
    /// A file that collects so many rows at most before it writes them.
    fn create(folder: &Path, collected: usize) -> Result<Self, WriteError> {
        let path = folder.join(format!("{}.parquet", T::NAME));
        let all = Wanted::default();
        let start = || TableWriter::new(Format::Parquet, BufWriter::new(File::create(&path)?), &[], &all);
        match start() {
            Ok(writer) => Ok(Self { writer: writer.collecting(collected), path }),
            Err(error) => Err(WriteError::new(path, error)),
        }
    }

    fn rows(&mut self, rows: &[T::Row<'_>]) -> Result<(), WriteError> {
        self.writer.rows(rows).map_err(|error| WriteError::new(&self.path, error))
    }

    fn finish(self) -> Result<PathBuf, WriteError> {
        self.writer.finish().map_err(|error| WriteError::new(&self.path, error))?;
        Ok(self.path)
    }
}

/// A table file that takes its rows while the analysis runs.
trait Following: Send {
    fn finished(&mut self, finished: &[Row], files: &FileIndex) -> Result<(), WriteError>;
    fn finish(self: Box<Self>) -> Result<PathBuf, WriteError>;
}

impl<T: Streamed> Following for TableFile<T> {
    fn finished(&mut self, finished: &[Row], files: &FileIndex) -> Result<(), WriteError> {
        self.rows(&T::finished(finished, files))
    }

    fn finish(self: Box<Self>) -> Result<PathBuf, WriteError> {
        TableFile::finish(*self)
    }
}

/// Rows that go into all tables before the next: a flow is a few kilobytes, and so they stay in the cache.
const BLOCK: usize = 256;

/// The tables that are written while the analysis runs, and what is kept of their rows for the plots.
pub struct TableFiles {
    files: FileIndex,
    course: Course,
    tables: Vec<Box<dyn Following>>,
    complete: Vec<PathBuf>,
    failed: Option<WriteError>,
}

impl TableFiles {
    /// Starts the tables of a run within `limits` in `folder`, which is made when it does not exist.
    ///
    /// # Errors
    /// When a file cannot be created.
    pub fn create(folder: &Path, limits: &Limits) -> Result<Self, WriteError> {
        fs::create_dir_all(folder).map_err(|error| WriteError::new(folder, error))?;
        let rows = limits.group_rows();
        let tables: Vec<Box<dyn Following>> = vec![
            Box::new(TableFile::<Flows>::create(folder, rows)?),
            Box::new(TableFile::<TcpSides>::create(folder, rows)?),
            Box::new(TableFile::<TcpEvents>::create(folder, rows)?),
            Box::new(TableFile::<Dns>::create(folder, rows)?),
            Box::new(TableFile::<Tls>::create(folder, rows)?),
            Box::new(TableFile::<Certificates>::create(folder, rows)?),
            Box::new(TableFile::<Http>::create(folder, rows)?),
            Box::new(TableFile::<Icmp>::create(folder, rows)?),
        ];
        let (files, course) = (FileIndex::default(), Course::default());
        Ok(Self { files, course, tables, complete: Vec::new(), failed: None })
    }

    /// How attempts went over time, once no row follows.
    pub fn course(&mut self) -> Course {
        std::mem::take(&mut self.course)
    }

    /// Completes the tables and says where they are.
    ///
    /// # Errors
    /// When one of them could not be written, now or before.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, WriteError> {
        self.end();
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.complete),
        }
    }
}

/// After an error nothing more is written; [`TableFiles::finish`] tells it.
impl Rows for TableFiles {
    fn file(&mut self, path: &str, base: u64) {
        self.files.push(path, base);
    }

    fn finished(&mut self, rows: &[Row]) {
        let Self { files, course, tables, failed, .. } = self;
        for rows in rows.chunks(BLOCK) {
            if failed.is_some() {
                return;
            }
            course.finished(rows);
            *failed = tables.par_iter_mut().try_for_each(|table| table.finished(rows, files)).err();
        }
    }

    fn end(&mut self) {
        let tables = std::mem::take(&mut self.tables);
        if self.failed.is_none() {
            match tables.into_par_iter().map(Following::finish).collect::<Result<Vec<_>, _>>() {
                Ok(paths) => self.complete.extend(paths),
                Err(error) => self.failed = Some(error),
            }
        }
    }
}

/// Writes `services.parquet`, `timeline.parquet`, `incidents.parquet`, `findings.parquet`,
/// `evidence.parquet`, `files.parquet`, `report.json`, `summary.txt` and `rca.md`, and says where they are.
/// `inputs` are the files that were analysed, in that order; times in `rca.md` are of `zone`.
///
/// # Errors
/// When one of them cannot be written.
pub fn write_report(
    report: &Report,
    inputs: &[FileReport],
    zone: &Zone,
    folder: &Path,
) -> Result<Vec<PathBuf>, WriteError> {
    let findings = report.findings.iter();
    let cited = findings
        .clone()
        .flat_map(|finding| finding.evidence.iter().map(move |cited| EvidenceRow { finding, cited }));
    Ok(vec![
        write_table::<Services>(folder, report.services.iter().map(|service| ServiceRow { service }))?,
        write_table::<TimelineTable>(folder, TimelineRow::of(&report.timeline))?,
        write_table::<Incidents>(folder, report.incidents.iter().map(|cited| IncidentRow { cited }))?,
        write_table::<Findings>(folder, findings.map(|finding| FindingRow { ranked: finding }))?,
        write_table::<EvidenceTable>(folder, cited)?,
        write_table::<Files>(folder, inputs.iter().map(|file| FileRow { file }))?,
        write_file(folder, REPORT, |out| super::json::write(report, out))?,
        write_file(folder, SUMMARY, |out| {
            out.write_all(&super::text::plain(report, View::Screen(TOP), 100)?)
        })?,
        write_file(folder, RCA, |out| out.write_all(super::rca::document(report, inputs, zone).as_bytes()))?,
    ])
}

/// Writes `report.html` and says where it is; its times are of `zone`.
///
/// # Errors
/// When it cannot be written.
pub fn write_page(
    report: &Report,
    inputs: &[FileReport],
    zone: &Zone,
    seen: &Seen,
    folder: &Path,
) -> Result<PathBuf, WriteError> {
    let page = super::html::document(report, inputs, zone, seen);
    write_file(folder, PAGE, |out| out.write_all(page.as_bytes()))
}

fn write_table<'a, T: Table>(
    folder: &Path,
    rows: impl Iterator<Item = T::Row<'a>>,
) -> Result<PathBuf, WriteError> {
    let mut table = TableFile::<T>::create(folder, usize::MAX)?;
    table.rows(&rows.collect::<Vec<_>>())?;
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::report::tests::{flow, outcome};

    fn found(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_run_leaves_its_files_and_nothing_else() {
        let folder = tempfile::tempdir().expect("folder");
        let out = folder.path().join("reports/shop");
        let mut tables = TableFiles::create(&out, &Limits::default()).expect("created");
        tables.flow(&flow(1));
        tables.finish().expect("written");
        write_report(&Report::new(&outcome(), &Config::default()), &[], &Zone::default(), &out)
            .expect("written");
        assert_eq!(
            found(&out),
            [
                "certificates.parquet",
                "dns.parquet",
                "evidence.parquet",
                "files.parquet",
                "findings.parquet",
                "flows.parquet",
                "http.parquet",
                "icmp.parquet",
                "incidents.parquet",
                "rca.md",
                "report.json",
                "services.parquet",
                "summary.txt",
                "tcp_events.parquet",
                "tcp_sides.parquet",
                "timeline.parquet",
                "tls.parquet",
            ]
        );
    }

    #[test]
    fn errors_name_the_file_and_the_reason() {
        let error = WriteError::new("reports/x/flows.parquet", io::ErrorKind::StorageFull.into());
        assert_eq!(error.to_string(), "cannot write reports/x/flows.parquet: no space left on device");
        let folder = tempfile::tempdir().expect("folder");
        let blocked = folder.path().join("file");
        fs::write(&blocked, "x").expect("file");
        let error =
            TableFiles::create(&blocked.join("reports"), &Limits::default()).err().expect("not a directory");
        assert!(error.to_string().ends_with("a part of the path is not a directory"), "{error}");
    }
}
