//! Limits of the reader, and how it may read.

/// What the reader may use. None of these changes which packets come out of an undamaged file.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureLimits {
    /// Chunks are cut at the first record boundary at or after this many bytes.
    pub chunk_bytes: usize,
    /// Longest record believed, in bytes; a longer one is damage.
    pub max_record: u32,
    /// Map regular files that are not compressed; otherwise they are read like a stream.
    pub map: bool,
    /// Also compute the SHA-256 of every file.
    pub sha256: bool,
}

impl Default for CaptureLimits {
    fn default() -> Self {
        Self { chunk_bytes: 4 << 20, max_record: 64 << 20, map: true, sha256: false }
    }
}
