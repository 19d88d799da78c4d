//! `files`: one row per input file.

use super::{Column, Table, columns, word};
use crate::capture::{FileReport, InterfaceReport};

/// An input file.
#[derive(Clone, Copy, Debug)]
pub struct FileRow<'a> {
    /// What is known of it.
    pub file: &'a FileReport,
}

impl FileRow<'_> {
    /// A counter over the interfaces; `None` when no interface gives it.
    fn sum(self, counter: fn(&InterfaceReport) -> Option<u64>) -> Option<u64> {
        self.file.interfaces.iter().filter_map(counter).reduce(u64::saturating_add)
    }

    fn link_types(self) -> Option<String> {
        let mut names: Vec<String> =
            self.file.interfaces.iter().map(|interface| interface.link_type.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        (!names.is_empty()).then(|| names.join(","))
    }
}

/// The table of input files.
#[derive(Debug)]
pub struct Files;

impl Table for Files {
    const NAME: &'static str = "files";
    const DOC: &'static str = "One row per input file, in the order of analysis. The file of a packet is the \
        one with `base < packet <= base + packets`.";
    const BRIEF: &'static [&'static str] = &[
        "file",
        "format",
        "size",
        "packets",
        "first_ts",
        "last_ts",
        "dropped",
        "damaged_bytes",
        "snap_length",
    ];
    const COLUMNS: &'static [Column<Self>] = FILE;
    type Row<'a> = FileRow<'a>;
}

const FILE: &[Column<Files>] = columns! { Files:
    "file" Text "path as given, - for standard input; as in the other tables" = |row| row.file.path.as_str();
    "format" Text "pcap, pcapng" = |row| row.file.format;
    "compression" Text "none, gzip, zstd, lz4" = |row| word(&row.file.compression);
    "byte_order" Text "little-endian, big-endian, of the first section" = |row| row.file.byte_order;
    "resolution" Text "timestamp resolution of the first interface" = |row| row.file.resolution.as_str();
    "size" U64 "bytes on disk" = |row| row.file.size;
    "unpacked" U64 "bytes after decompression" = |row| row.file.unpacked;
    "packets" U64 "packets, as Wireshark counts" = |row| row.file.packets;
    "base" U64 "packets of the set before this file: an ordinal less this is the frame number"
        = |row| row.file.base;
    "captured_bytes" U64 "captured bytes of all packets" = |row| row.file.captured_bytes;
    "wire_bytes" U64 "bytes of all packets on the wire, as the file says" = |row| row.file.wire_bytes;
    "first_ts" Time "earliest packet time" = |row| row.file.first_seen;
    "last_ts" Time "latest packet time" = |row| row.file.last_seen;
    "overlap" F64 "it begins so long before the file before it ends, s; null when it does not"
        = |row| row.file.overlap;
    "snap_length" U32 "snapshot length of the first interface, bytes; 0 unlimited"
        = |row| row.file.snap_length;
    "sections" U64 "pcapng sections; 1 for pcap" = |row| row.file.sections;
    "interfaces" U64 "interfaces" = |row| row.file.interfaces.len() as u64 + row.file.interfaces_unlisted;
    "link_types" Text "their link types, joined by commas" = |row| row.link_types();
    "received" U64 "packets received on them, as the file says; null when it does not"
        = |row| row.sum(|interface| interface.received);
    "dropped" U64 "packets that the capture dropped, as the file says; null when it does not"
        = |row| row.sum(InterfaceReport::dropped);
    "comments" U64 "comments on sections, interfaces and packets" = |row| row.file.comments;
    "damaged_places" U64 "places that could not be read"
        = |row| row.file.damages.len() as u64 + row.file.damages_unlisted;
    "damaged_bytes" U64 "bytes lost to damage, the cut-off tail included" = |row| row.file.damaged_bytes;
    "truncated" Bool "it ends inside a record" = |row| row.file.truncated;
    "blake3" Text "BLAKE3 of the file as on disk, hexadecimal; its SHA-256 is in manifest.json when asked for"
        = |row| row.file.blake3.as_str();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::value::Value;

    #[test]
    fn every_value_is_of_its_columns_type() {
        let file = FileReport { path: "a.pcap".to_owned(), ..FileReport::default() };
        let row = FileRow { file: &file };
        for column in Files::COLUMNS {
            let value = (column.value)(&row);
            assert!(column.header.kind.holds(&value), "{}: {value:?}", column.header.name);
        }
        assert_eq!((FILE[0].value)(&row), Value::from("a.pcap"));
    }
}
