//! files -> [`Chunk`] -> [`RawPacket`]

mod chunk;
mod link_type;

pub use chunk::{Chunk, ChunkBytes, Format, Interface, RawPacket};
pub use link_type::LinkType;
