//! Capture bytes, mapped or read.
//!
//! Mapping is unsafe because another process may shorten the file: touching a page past its new end raises
//! SIGBUS. The length is therefore asked before every chunk and the rest left alone. What was handed out
//! before that is touched later: then the program's handler of that signal says so and ends with 3
//! (`cli::signals`); a library's user who cannot have that reads the file as a stream.
//!
//! What else can happen to a mapped file does no harm. One that grows is read up to the end it had when it
//! was opened. One that is replaced or removed lives on until it is read. One that is written over gives odd
//! packets or damage, as a damaged file does.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

/// The bytes of a chunk: a piece of a mapped file, or a buffer filled from a stream.
#[derive(Clone, Debug)]
pub enum ChunkBytes {
    /// A piece of a mapped file.
    Mapped(Arc<Mmap>, Range<usize>),
    /// Bytes read from a pipe or a decompressor.
    Owned(Arc<Vec<u8>>),
}

impl Deref for ChunkBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map, range) => &map[range.clone()],
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Maps a regular file for reading.
#[allow(unsafe_code)]
pub(super) fn mapped(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this process. The bytes are parsed as untrusted input, so a
    // file that changes meanwhile gives odd packets, not odd memory. Shrinking is handled as far as it can
    // be: see the top of this file.
    unsafe { Mmap::map(file) }
}

/// Tells the system that a range of a map is not needed again soon. Failure costs memory only.
#[allow(unsafe_code)]
pub(super) fn release(map: &Mmap, range: Range<usize>) {
    #[cfg(unix)]
    if !range.is_empty() {
        // SAFETY: the map is of a file and never written to, so dropped pages come back from the file with
        // the bytes they had.
        let _ = unsafe {
            map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
        };
    }
    #[cfg(not(unix))]
    let _ = (map, range);
}
