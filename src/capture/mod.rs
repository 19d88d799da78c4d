//! files -> [`Chunk`] -> [`RawPacket`]
//!
//! [`Reader`] walks a capture set file by file and cuts it into [`Chunk`]s, touching record headers only;
//! [`Chunk::packets`] turns one chunk into packets and depends on nothing but the chunk. Packet numbers are
//! the frame numbers Wireshark gives the same file, and any cut into chunks yields the same packets.

mod archive;
mod bytes;
mod chunk;
mod error;
mod interface;
mod keys;
mod limits;
mod link_type;
mod packets;
mod pcap;
mod pcapng;
mod pcapng_option;
mod reader;
mod report;
mod resync;
mod rotation;
mod set;
mod sniff;
mod source;
mod split;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod craft;
#[cfg(test)]
mod damage_tests;

pub use bytes::ChunkBytes;
pub use chunk::{Chunk, ChunkHead, Format, RawPacket};
pub use error::{CaptureError, Ignored, Unreadable};
pub use interface::{Interface, NO_INTERFACE};
pub use keys::{Keys, Label, Random, Secret};
pub use limits::{CaptureLimits, Hashes};
pub use link_type::LinkType;
pub use packets::Packets;
pub use reader::Reader;
pub use report::{Damage, DamageKind, FileReport, InterfaceReport, NOT_HASHED};
pub use source::Compression;
