//! What can stop an input from being read at all. Damage inside a capture is not an error: it is reported
//! with the file, and reading goes on.

use std::io;

use serde::Serialize;
use thiserror::Error;

/// An input that was not read, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The path as given.
    pub path: String,
    /// The error.
    pub reason: String,
}

/// Why an input could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// There is nothing of that name.
    #[error("{path}: no such file or directory")]
    Missing {
        /// The input as given.
        path: String,
    },
    /// It is none of the files that a directory or a pattern stands for.
    #[error("{path}: {what}; of a directory or a pattern only files are read")]
    NotAFile {
        /// Where it is.
        path: String,
        /// What it is instead.
        what: &'static str,
    },
    /// The system refuses access.
    #[error("{path}: permission denied; read it as a user who may, or change its mode")]
    Denied {
        /// The input as given.
        path: String,
    },
    /// The system failed to open or read it.
    #[error("{path}: cannot be read: {source}")]
    Io {
        /// The input as given.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Worker threads could not be started.
    #[error("cannot start worker threads: {reason}")]
    Threads {
        /// What the system said.
        reason: String,
    },
    /// The file has no bytes.
    #[error("{path}: the file is empty (0 bytes)")]
    Empty {
        /// The input as given.
        path: String,
    },
    /// The file ends before its first header does.
    #[error(
        "{path}: cut off inside the {format} header at offset 0: expected {expected} bytes, found {found}"
    )]
    Header {
        /// The input as given.
        path: String,
        /// Format by its magic number.
        format: &'static str,
        /// Bytes of the header.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// Compressed data that is damaged before the first header.
    #[error("{path}: {compression} data is damaged before the capture begins: {fault}; copy the file again")]
    Damaged {
        /// The input as given.
        path: String,
        /// How it is compressed.
        compression: &'static str,
        /// What the decompressor said.
        fault: String,
    },
    /// The first bytes are those of something else.
    #[error("{path}: not a pcap or pcapng capture: it looks like {looks}; {advice}")]
    NotCapture {
        /// The input as given.
        path: String,
        /// What the first bytes suggest.
        looks: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A tar archive that could not be read to its end; what came before is analysed.
    #[error("{path}: the archive is damaged: {reason}")]
    Archive {
        /// The input as given.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// No file of a directory is a capture.
    #[error("{path}: no captures in this directory ({files} files looked at, sub-directories not entered)")]
    NoCaptures {
        /// The input as given.
        path: String,
        /// Files whose first bytes were read.
        files: u64,
    },
    /// The same file under another name.
    #[error("{path}: the same file as {of}; it is read once")]
    Again {
        /// The input as given.
        path: String,
        /// Its other name.
        of: String,
    },
    /// A file with the content of another.
    #[error("{path}: a copy of {of}, byte for byte; a second time it would repeat every packet")]
    Copy {
        /// The input as given.
        path: String,
        /// The file that is read.
        of: String,
    },
    /// A pattern that matches no file, or is not a pattern.
    #[error("{path}: {reason}")]
    Pattern {
        /// The input as given.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// No input was given.
    #[error("no input given: name a file, a directory, a pattern, or - for standard input")]
    NoInput,
    /// Not one of the inputs could be read.
    #[error("none of the inputs could be read: {}", list(.0))]
    NothingReadable(
        /// Each input and what stopped it.
        Vec<Unreadable>,
    ),
}

impl CaptureError {
    /// The input that it is about, when it is about one: as given.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Missing { path }
            | Self::NotAFile { path, .. }
            | Self::Denied { path }
            | Self::Io { path, .. }
            | Self::Empty { path }
            | Self::Header { path, .. }
            | Self::Damaged { path, .. }
            | Self::NotCapture { path, .. }
            | Self::Archive { path, .. }
            | Self::NoCaptures { path, .. }
            | Self::Again { path, .. }
            | Self::Copy { path, .. }
            | Self::Pattern { path, .. } => Some(path),
            Self::NothingReadable(unreadable) => unreadable.first().map(|input| input.path.as_str()),
            Self::Threads { .. } | Self::NoInput => None,
        }
    }

    /// Where in that input, when its bytes are to blame.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Empty { .. } | Self::Header { .. } | Self::Damaged { .. } | Self::NotCapture { .. } => {
                Some(0)
            }
            _ => None,
        }
    }

    /// Sorts what the system said about `path` by what the user can do.
    pub(super) fn io(path: &str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::PermissionDenied => Self::Denied { path },
            _ => Self::Io { path, source },
        }
    }
}

/// Files that a directory or a pattern stands for and that are no captures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// The first of them, in the order of the inputs.
    pub listed: Vec<Unreadable>,
    /// How many more there are.
    pub unlisted: u64,
}

impl Ignored {
    /// Most that are listed: a folder may hold a million files.
    const MOST: usize = 100;

    pub(super) fn add(&mut self, path: String, error: &CaptureError) {
        match self.listed.len() < Self::MOST {
            true => self.listed.push(Unreadable { path, reason: error.to_string() }),
            false => self.unlisted += 1,
        }
    }

    /// Adds others, which come behind.
    pub(super) fn extend(&mut self, others: Self) {
        self.listed.extend(others.listed);
        self.unlisted += others.unlisted + self.listed.len().saturating_sub(Self::MOST) as u64;
        self.listed.truncate(Self::MOST);
    }
}

fn list(unreadable: &[Unreadable]) -> String {
    unreadable.iter().map(|entry| entry.reason.as_str()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_input_and_what_to_do() {
        let denied = CaptureError::io("a.pcap", io::ErrorKind::PermissionDenied.into());
        assert!(denied.to_string().starts_with("a.pcap: permission denied"));
        let missing = CaptureError::io("b.pcap", io::ErrorKind::NotFound.into());
        assert_eq!(missing.to_string(), "b.pcap: no such file or directory");
        assert_eq!((missing.path(), missing.offset()), (Some("b.pcap"), None));
        let empty = CaptureError::Empty { path: "c.pcap".to_owned() };
        assert_eq!((empty.path(), empty.offset()), (Some("c.pcap"), Some(0)));
    }
}
