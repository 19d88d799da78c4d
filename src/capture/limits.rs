//! Limits of the reader, and how it may read.

/// Which hashes of a file to compute while it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hashes {
    /// None: faster, and no proof of what was read.
    None,
    /// BLAKE3.
    #[default]
    Blake3,
    /// BLAKE3 and SHA-256.
    Sha256,
}

/// What the reader may use. None of these changes which packets come out of an undamaged file.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureLimits {
    /// Chunks are cut at the first record boundary at or after this many bytes.
    pub chunk_bytes: usize,
    /// Longest record believed, in bytes; a longer one is damage.
    pub max_record: u32,
    /// Map regular files that are not compressed; otherwise they are read like a stream.
    pub map: bool,
    /// Which hashes to compute of every file.
    pub hashes: Hashes,
}

impl Default for CaptureLimits {
    fn default() -> Self {
        Self { chunk_bytes: 4 << 20, max_record: 64 << 20, map: true, hashes: Hashes::default() }
    }
}
