//! Text files that people keep: names of addresses, changes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It cannot be read.
    #[error("{path}: cannot be read: {error}")]
    Read {
        /// Path as given.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A line of it is not understood.
    #[error("{path}: line {line}: {reason}")]
    Line {
        /// Path as given.
        path: String,
        /// Which, from 1.
        line: u64,
        /// What was expected.
        reason: String,
    },
}

/// What `parse` makes of a file of at most `longest` MiB, without its byte order mark. Of a line that it does
/// not understand it gives the number, from 1, and the reason.
pub(super) fn read<T>(
    path: &Path,
    longest: u64,
    parse: impl FnOnce(&str) -> Result<T, (u64, String)>,
) -> Result<T, ListError> {
    let name = path.display().to_string();
    let failed = |error| ListError::Read { path: name.clone(), error };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let most = longest << 20;
    if file.take(most + 1).read_to_string(&mut text).map_err(failed)? as u64 > most {
        return Err(failed(io::Error::other(format!("it is longer than {longest} MiB"))));
    }
    let text = text.trim_start_matches('\u{feff}');
    parse(text).map_err(|(line, reason)| ListError::Line { path: name, line, reason })
}
