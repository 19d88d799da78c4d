//! A run of whole capture records, and the packets in it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bytes::{ChunkBytes, release};
use crate::capture::{Interface, LinkType, Packets};
use crate::time::Timestamp;

/// How the records of a chunk are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Classic pcap records.
    Pcap {
        /// Header integers are big-endian.
        big_endian: bool,
        /// The record header's second time word counts nanoseconds, not microseconds.
        nanoseconds: bool,
        /// Length of a record header in bytes: 16, 20 of Nokia's libpcap, 24 of the modified (Kuznetzov)
        /// format.
        header: u8,
        /// The two lengths of a record header may stand in the wrong order: format versions before 2.4.
        swapped: bool,
    },
    /// pcapng blocks.
    Pcapng {
        /// Block integers are big-endian at the start of the chunk.
        big_endian: bool,
    },
}

/// A run of whole, plausible records of one file. Any cut of a file into chunks gives the same packets.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Index of the file in the capture set.
    pub file: u32,
    /// Where the bytes start in the (decompressed) file.
    pub offset: u64,
    /// Ordinal of the first packet over the whole set, counted from 1.
    pub first_packet: u64,
    /// How many packets the chunk holds.
    pub packets: u64,
    /// Record layout.
    pub format: Format,
    /// The interfaces known at the start of the chunk (of the current section, for pcapng).
    pub interfaces: Arc<Vec<Interface>>,
    /// Number in the file of the first of `interfaces`.
    pub interface_base: u32,
    /// The records.
    pub bytes: ChunkBytes,
}

impl Chunk {
    /// The packets of the chunk, in order. Depends on the chunk alone and never panics, whatever the bytes.
    pub fn packets(&self) -> Packets<'_> {
        Packets::new(self)
    }

    /// Tells the system that the mapped pages of this chunk are not needed again soon. Does nothing for
    /// bytes that are not mapped. The bytes stay readable: they would come from the file again.
    pub fn release(&self) {
        if let ChunkBytes::Mapped(map, range) = &self.bytes {
            release(map, range.clone());
        }
    }
}

/// A chunk without its bytes: with them, which stand at `offset`, whoever has read nothing before it can
/// dissect it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkHead {
    /// As [`Chunk::file`].
    pub file: u32,
    /// As [`Chunk::offset`].
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// As [`Chunk::first_packet`].
    pub first_packet: u64,
    packets: u64,
    format: Format,
    interfaces: Vec<Interface>,
    interface_base: u32,
}

impl ChunkHead {
    /// Of a chunk.
    pub fn of(chunk: &Chunk) -> Self {
        Self {
            file: chunk.file,
            offset: chunk.offset,
            length: chunk.bytes.len() as u64,
            first_packet: chunk.first_packet,
            packets: chunk.packets,
            format: chunk.format,
            interfaces: chunk.interfaces.to_vec(),
            interface_base: chunk.interface_base,
        }
    }

    /// The chunk, when `bytes` are as many as it had.
    pub fn with(self, bytes: Vec<u8>) -> Option<Chunk> {
        (bytes.len() as u64 == self.length).then(|| Chunk {
            file: self.file,
            offset: self.offset,
            first_packet: self.first_packet,
            packets: self.packets,
            format: self.format,
            interfaces: Arc::new(self.interfaces),
            interface_base: self.interface_base,
            bytes: ChunkBytes::Owned(Arc::new(bytes)),
        })
    }
}

/// One packet as the file holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawPacket<'c> {
    /// Ordinal over the whole set, from 1. Frame number in its file = ordinal minus the file's base.
    pub packet: u64,
    /// Where the record starts in the (decompressed) file.
    pub offset: u64,
    /// Capture time; `None` for a simple packet block, which has none. Saturates.
    pub time: Option<Timestamp>,
    /// Length on the wire in bytes, as the file says it: it can be less than was captured.
    pub wire: u32,
    /// Interface number in its file, over all sections; [`NO_INTERFACE`](super::NO_INTERFACE) when the file
    /// describes none for it.
    pub interface: u32,
    /// Link-layer type.
    pub link_type: LinkType,
    /// Where `data` starts in the chunk's bytes.
    pub start: u32,
    /// The captured bytes.
    pub data: &'c [u8],
}
