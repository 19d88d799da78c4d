//! files -> [`Chunk`] -> [`RawPacket`]
//!
//! [`Reader`] walks the records of a capture set in order and cuts them into chunks; [`Chunk::packets`] reads a chunk.

mod chunk;
mod error;
mod file;
mod link_type;
mod packets;
mod pcap;
mod pcapng;
mod reader;
mod report;
mod source;

pub use chunk::{Chunk, ChunkBytes, Format, Interface, RawPacket};
pub use error::CaptureError;
pub use link_type::LinkType;
pub use packets::Packets;
pub use reader::{CaptureLimits, Reader};
pub use report::{Damage, FileReport, InterfaceReport};
pub use source::Compression;
