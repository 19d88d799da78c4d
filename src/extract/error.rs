//! Why packets could not be had again.

use std::io;

use thiserror::Error;

use crate::capture::CaptureError;

/// Why packets could not be had again, or not be written.
#[derive(Debug, Error)]
pub enum ExtractError {
    /// An input cannot be opened any more.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// It came through a pipe.
    #[error("{name}: a stream cannot be read twice; save it to a file first")]
    Stream {
        /// The input as given.
        name: String,
    },
    /// A packet that was cited has another time, or is not there.
    #[error("{name} was changed after the analysis: frame {frame} is not the packet it was")]
    Changed {
        /// The input as given.
        name: String,
        /// Frame number in it.
        frame: u64,
    },
    /// The output cannot be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}
