//! How a command ends: its exit code, or what went wrong.

use std::io::{self, Write};
use std::process::{ExitCode, Termination};

use crate::capture::CaptureError;
use crate::extract::ExtractError;
use crate::report::files::{WriteError, reason};
use crate::report::stored::StoredError;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Nothing found at or above `--fail-on`.
    Clean,
    /// Findings at or above `--fail-on`.
    Findings,
    /// An argument or the configuration is wrong.
    Usage,
    /// An input could not be read to its end, or an output could not be written.
    Failed,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Failed => 3,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// Why a command could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// An argument or the configuration is wrong.
    #[error("{0}")]
    Usage(String),
    /// An input could not be read.
    #[error("{0}")]
    Capture(#[from] CaptureError),
    /// A report of before could not be read.
    #[error("{0}")]
    Stored(#[from] StoredError),
    /// Packets could not be read again.
    #[error("{0}")]
    Again(ExtractError),
    /// A file could not be written.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// Standard output could not be written.
    #[error("cannot write to standard output: {}", reason(.0))]
    Output(#[from] io::Error),
}

impl From<ExtractError> for Failure {
    fn from(error: ExtractError) -> Self {
        match error {
            ExtractError::Write(error) => Self::Output(error),
            ExtractError::Capture(error) => Self::Capture(error),
            other => Self::Again(other),
        }
    }
}

impl Failure {
    /// Prints the error on stderr, unless the reader of standard output went away.
    pub(super) fn tell(self) -> Exit {
        let exit = match &self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Clean,
            // The only input errors that come through standard output are names of columns.
            Self::Output(error) if error.kind() == io::ErrorKind::InvalidInput => {
                complain(&error.to_string());
                return Exit::Usage;
            }
            Self::Usage(_) => Exit::Usage,
            Self::Capture(_) | Self::Again(_) | Self::Stored(_) | Self::Write(_) | Self::Output(_) => {
                Exit::Failed
            }
        };
        complain(&self.to_string());
        exit
    }
}

/// A line on stderr; paths and messages may hold text from anywhere.
pub(super) fn complain(message: &str) {
    // There is nowhere left to say that stderr is gone.
    let _ = writeln!(io::stderr().lock(), "pcapsy: {}", crate::report::escape::terminal(message));
}
