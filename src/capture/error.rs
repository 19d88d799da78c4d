//! Why an input could not be read: what it is, where it went wrong, what was expected and found, what to do.

use std::io;
use std::path::{Path, PathBuf};

/// An input that could not be read as a capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The input.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A pattern that matches nothing.
    #[error("no file matches {0}")]
    NoMatch(String),
    /// A directory without a single capture in it.
    #[error("{}: none of its {files} files is a pcap or pcapng capture", path.display())]
    NoCaptures {
        /// The directory.
        path: PathBuf,
        /// Files looked at.
        files: usize,
    },
    /// A file of zero bytes.
    #[error("{}: the file is empty (0 bytes); a pcap file starts with 24 bytes of header", path.display())]
    Empty {
        /// The input.
        path: PathBuf,
    },
    /// Something else than a capture.
    #[error("{}: not a pcap or pcapng capture: offset 0 has {found}, expected a magic number; {advice}", path.display())]
    NotACapture {
        /// The input.
        path: PathBuf,
        /// What its first bytes look like.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The header is cut off.
    #[error("{}: the file header is cut off: expected {expected} bytes at offset 0, found {found}", path.display())]
    Header {
        /// The input.
        path: PathBuf,
        /// Bytes the header has.
        expected: usize,
        /// Bytes there were.
        found: usize,
    },
    /// No input was given.
    #[error("no input given")]
    NoInput,
    /// Nothing of several inputs could be read.
    #[error("none of {count} inputs could be read; the first: {first}")]
    AllFailed {
        /// How many.
        count: usize,
        /// What was wrong with the first.
        first: String,
    },
    /// Worker threads could not be started.
    #[error("cannot start worker threads: {0}")]
    Threads(String),
}

/// First bytes of files that people mistake for captures, what they are, and what to do.
const LOOK_ALIKES: &[(&[u8], &str, &str)] = &[
    (b"snoop\0\0\0", "a snoop capture", "convert it with: editcap -F pcap IN OUT"),
    (b"GMBU", "a Microsoft Network Monitor capture", "convert it with: editcap -F pcap IN OUT"),
    (b"RTSS", "a Microsoft Network Monitor 1.x capture", "convert it with: editcap -F pcap IN OUT"),
    (b"XCP\0", "a NetXray or Sniffer capture", "convert it with: editcap -F pcap IN OUT"),
    (b"TRSNIFF data", "a Sniffer capture", "convert it with: editcap -F pcap IN OUT"),
    (b"\xfd7zXZ\0", "xz compression", "decompress it first: xz -d"),
    (b"BZh", "bzip2 compression", "decompress it first: bzip2 -d"),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"Rar!", "a rar archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"\x7fELF", "an ELF program", "give the capture file instead"),
    (b"PAR1", "a Parquet table", "query it with: any Parquet reader"),
    (b"%PDF", "a PDF document", "give the capture file instead"),
    (b"SQLite format 3", "an SQLite database", "give the capture file instead"),
];

impl CaptureError {
    /// A file that starts with `head` and is no capture.
    pub(super) fn not_a_capture(path: &Path, head: &[u8]) -> Self {
        let path = path.to_path_buf();
        if head.is_empty() {
            return Self::Empty { path };
        }
        let known = LOOK_ALIKES.iter().find(|(magic, ..)| head.starts_with(magic));
        let (found, advice) = match known {
            Some((_, what, advice)) => ((*what).to_owned(), *advice),
            None if head.get(257..262) == Some(b"ustar") => ("a tar archive".to_owned(), "unpack it first"),
            None if head.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e)) => {
                let text = match head.trim_ascii_start().first() {
                    Some(b'{' | b'[') => "JSON text",
                    Some(b'<') => "XML or HTML text",
                    _ => "text",
                };
                (text.to_owned(), "save the capture itself (tcpdump -w, or Wireshark's Save As pcapng)")
            }
            None => {
                let bytes: Vec<String> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                (
                    format!("bytes {}", bytes.join(" ")),
                    "if Wireshark opens it, convert it with: editcap -F pcap IN OUT",
                )
            }
        };
        Self::NotACapture { path, found, advice }
    }

    /// The thread pool could not be built.
    pub fn threads(error: impl std::fmt::Display) -> Self {
        Self::Threads(error.to_string())
    }
}
