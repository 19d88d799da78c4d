//! placeholder
use crate::capture::CaptureError;
use crate::config::Config;
use crate::pipeline::{Outcome, Rows};

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input files read.
    pub bytes: u64,
    /// Their size, when it is known.
    pub total_bytes: Option<u64>,
    /// Packets dissected.
    pub packets: u64,
}

/// How a run is carried out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Worker threads; 0 for one per core.
    pub threads: usize,
    /// Compute SHA-256 of the input files, too.
    pub sha256: bool,
}

/// Analyses a capture set.
///
/// # Errors
/// Always, in this placeholder.
pub fn analyze(
    inputs: &[String],
    _config: &Config,
    _run: Run,
    _rows: &mut (dyn Rows + Send),
    _progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, CaptureError> {
    Err(CaptureError(format!("{inputs:?}: not built yet")))
}
