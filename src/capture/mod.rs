//! files -> [`Chunk`] -> [`RawPacket`]

mod chunk;
mod link_type;

pub use chunk::{Chunk, ChunkBytes, Format, Interface, RawPacket};
pub use link_type::LinkType;

/// What the reader says of a file (placeholder).
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// Path as given.
    pub path: String,
}

/// Nothing could be read (placeholder).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CaptureError(pub String);
