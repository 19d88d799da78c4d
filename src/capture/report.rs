//! What the reader says of a file.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::capture::{Compression, Interface};

/// A byte range that could not be read as records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Where it starts in the (decompressed) file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// What was expected and found.
    pub reason: String,
}

/// An interface and what the file counts for it.
#[derive(Clone, Debug, PartialEq)]
pub struct InterfaceReport {
    /// What was declared.
    pub interface: Interface,
    /// Packets that the interface received; `None` when the file does not say.
    pub received: Option<u64>,
    /// Packets that were dropped before they could be recorded; `None` when the file does not say.
    pub dropped: Option<u64>,
}

/// A file of the capture set.
#[derive(Clone, Debug, PartialEq)]
pub struct FileReport {
    /// The path as given, or found in the directory or by the pattern.
    pub path: String,
    /// `pcap`, `pcapng`, and what is particular, e.g. `pcap, big-endian, nanoseconds`.
    pub format: String,
    /// How it is compressed.
    pub compression: Compression,
    /// Size in bytes, as stored.
    pub size: u64,
    /// BLAKE3 of the stored bytes, hexadecimal.
    pub blake3: String,
    /// SHA-256 of the stored bytes, hexadecimal, when it was asked for.
    pub sha256: Option<String>,
    /// Packets.
    pub packets: u64,
    /// Ordinal before its first packet: a packet's ordinal minus this is its frame number in the file.
    pub base: u64,
    /// Set-wide number of its first interface.
    pub interface_base: u32,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceReport>,
    /// Byte ranges that could not be read, in order; the first [`FileReport::MAX_DAMAGES`].
    pub damages: Vec<Damage>,
    /// Byte ranges beyond those, and the bytes in them.
    pub damages_dropped: (u64, u64),
    /// Blocks that are not about packets, by name.
    pub skipped_blocks: BTreeMap<String, u64>,
}

impl FileReport {
    /// Damaged ranges listed one by one.
    pub const MAX_DAMAGES: usize = 64;

    pub(super) fn damage(&mut self, offset: u64, length: u64, reason: String) {
        // Neighbouring ranges are one.
        if let Some(last) = self.damages.last_mut().filter(|last| last.offset + last.length == offset) {
            last.length += length;
            return;
        }
        if self.damages.len() < Self::MAX_DAMAGES {
            self.damages.push(Damage { offset, length, reason });
        } else {
            self.damages_dropped.0 += 1;
            self.damages_dropped.1 += length;
        }
    }
}
