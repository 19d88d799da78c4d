//! files -> [`Chunk`] -> [`RawPacket`]

mod chunk;
mod link_type;

pub use chunk::{Chunk, ChunkBytes, Format, Interface, RawPacket};
pub use link_type::LinkType;

/// What the reader says of a file (placeholder).
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct FileReport {
    /// Path as given.
    pub path: String,
    /// Bytes on disk.
    pub size: u64,
    /// Format.
    pub format: &'static str,
    /// Resolution.
    pub resolution: String,
    /// Compression.
    pub compression: Compression,
    /// Sections.
    pub sections: u64,
    /// Truncated.
    pub truncated: bool,
    /// Damage not listed.
    pub damage_unlisted: u64,
    /// BLAKE3.
    pub blake3: String,
    /// SHA-256.
    pub sha256: Option<String>,
}

/// Compression (placeholder).
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    #[default]
    None,
}

impl std::fmt::Display for LinkType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Nothing could be read (placeholder).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CaptureError(pub String);
