//! A capture set to its report and tables, while Python goes on.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pcapsy::capture::CaptureError;
use pcapsy::config::Config;
use pcapsy::local::{self, Progress, Run};
use pcapsy::report::json;
use pcapsy::report::memory::{MemoryTable, MemoryTables, concluded};
use pcapsy::report::model::Report;
use pyo3::prelude::*;

use crate::error;
use crate::table::Table;

/// How often Python hears of signals and progress.
const EVERY: Duration = Duration::from_millis(50);

/// What ends the analysis from inside when nobody wants it any more.
struct Stopped;

/// `report.json`, and the tables named.
type Answer = (String, Vec<MemoryTable>);

/// The text of a `pcapsy.toml` with every default.
#[pyfunction]
pub(crate) fn default_config() -> String {
    Config::default_toml()
}

/// Analyses `paths` as one capture set. `progress` is called in this thread, as signals are looked for: what
/// it raises ends the analysis.
#[pyfunction]
pub(crate) fn analyze(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    config: &str,
    threads: usize,
    tables: Vec<String>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, Vec<Table>)> {
    let config = error::config(config)?;
    let (stop, latest) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Progress::default())));
    let (alive, end) = channel();
    let worker = {
        let (stop, latest) = (Arc::clone(&stop), Arc::clone(&latest));
        thread::spawn(move || run(&paths, &config, threads, &tables, &stop, &latest, alive))
    };
    let tell = || {
        py.check_signals()?;
        let Some(progress) = &progress else { return Ok(()) };
        let Progress { bytes, total_bytes, packets } = *latest.lock().unwrap_or_else(PoisonError::into_inner);
        progress.call1((bytes, total_bytes, packets)).map(drop)
    };
    let mut told = Ok(());
    let end = Mutex::new(end);
    let wait = || end.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(EVERY);
    while told.is_ok() && matches!(py.detach(wait), Err(RecvTimeoutError::Timeout)) {
        told = tell();
    }
    stop.store(told.is_err(), Ordering::Relaxed);
    let ended = py.detach(|| worker.join());
    // The last number, too.
    told.and_then(|()| tell())?;
    match ended {
        Ok(Ok((json, tables))) => Ok((json, tables.into_iter().map(Table).collect())),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(error::fault("the analysis failed: a fault of this program, see above")),
    }
}

/// What the worker does; `alive` tells of its end.
fn run(
    paths: &[PathBuf],
    config: &Config,
    threads: usize,
    tables: &[String],
    stop: &AtomicBool,
    latest: &Mutex<Progress>,
    alive: Sender<()>,
) -> PyResult<Answer> {
    let wanted: Vec<&str> = tables.iter().map(String::as_str).collect();
    let mut rows = MemoryTables::new(&wanted);
    let progress = |progress| {
        *latest.lock().unwrap_or_else(PoisonError::into_inner) = progress;
        // Between two rounds: nothing is half done. No message is printed for it.
        if stop.load(Ordering::Relaxed) {
            resume_unwind(Box::new(Stopped));
        }
    };
    let capture = |error: CaptureError| error::capture(&error);
    let outcome = local::analyze(paths, config, Run { threads, sha256: false }, &mut rows, &progress);
    let outcome = outcome.map_err(capture)?;
    let report = Report::new(&outcome, config);
    let mut tables = rows.finish().map_err(error::fault)?;
    tables.extend(concluded(&report, &outcome.files, &wanted).map_err(error::fault)?);
    drop(alive);
    Ok((text(&report)?, tables))
}

/// The bytes of `report.json`.
pub(crate) fn text(report: &Report) -> PyResult<String> {
    let mut bytes = Vec::new();
    json::write(report, &mut bytes).map_err(error::fault)?;
    String::from_utf8(bytes).map_err(error::fault)
}
