//! Classic pcap: a 24-byte file header, then records of a 16-byte header (24 in the modified format) and their bytes.
//!
//! Source: draft-ietf-opsawg-pcap; the modified ("Kuznetzov") format as Wireshark's wiretap reads it.

use crate::capture::{Format, Interface, LinkType, RawPacket};
use crate::time::Timestamp;

/// Length of the file header in bytes.
pub(super) const FILE_HEADER: usize = 24;

/// Reads the file header: the record layout, and the one interface of the file.
pub(super) fn file_header(head: &[u8]) -> Option<(Format, Interface)> {
    let (_, header) = pcap_parser::parse_pcap_header(head).ok()?;
    let modified = header.is_modified_format();
    let format = Format::Pcap {
        big_endian: header.is_bigendian(),
        nanoseconds: header.is_nanosecond_precision(),
        header: if modified { 24 } else { 16 },
        swapped: header.version_major == 2 && header.version_minor <= 3,
    };
    let interface = Interface {
        // The upper half says how long frame check sequences are; the type is the lower half.
        link_type: LinkType((header.network.0 & 0xffff) as u16),
        snap_length: header.snaplen,
        resolution: if header.is_nanosecond_precision() { 9 } else { 6 },
        offset: 0,
        name: None,
        filter: None,
    };
    Some((format, interface))
}

/// A record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) seconds: u32,
    pub(super) fraction: u32,
    pub(super) captured: u32,
    pub(super) wire: u32,
    /// Bytes of the header itself.
    pub(super) length: usize,
}

impl RecordHeader {
    /// The header at the start of `bytes`; `None` when they are too few.
    pub(super) fn read(bytes: &[u8], big_endian: bool, length: u8, swapped: bool) -> Option<Self> {
        let length = usize::from(length);
        let (words, _) = bytes.get(..length)?.first_chunk::<16>().map(|head| head.as_chunks::<4>())?;
        let word = |index: usize| {
            let octets = words[index];
            if big_endian { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) }
        };
        // A captured length above the wire length is the sign of the old order.
        let (captured, wire) =
            if swapped && word(2) > word(3) { (word(3), word(2)) } else { (word(2), word(3)) };
        Some(Self { seconds: word(0), fraction: word(1), captured, wire, length })
    }

    /// Bytes of the whole record.
    pub(super) fn total(&self) -> usize {
        self.length + self.captured as usize
    }

    /// What about it cannot be true, if anything.
    pub(super) fn fault(&self, max_record: u32) -> Option<String> {
        (self.captured > max_record)
            .then(|| format!("record of {} bytes, at most {max_record} are believed", self.captured))
    }

    /// It looks like a record header also to somebody who does not know where records start: `near` is the time of the
    /// last good record in seconds.
    pub(super) fn is_plausible(&self, max_record: u32, nanoseconds: bool, near: Option<u32>) -> bool {
        const YEAR: u32 = 366 * 86_400;
        let fraction = if nanoseconds { 1_000_000_000 } else { 1_000_000 };
        self.captured <= max_record.min(0x4_0000)
            && self.captured > 0
            && self.captured <= self.wire
            && self.wire <= 0x4_0000
            && self.fraction < fraction
            && near.is_none_or(|near| self.seconds.abs_diff(near) < YEAR)
    }
}

/// The packet whose record starts at `at` in `bytes`, and where the next one starts. `packet` comes with what is known of it.
pub(super) fn packet<'c>(
    bytes: &'c [u8],
    at: usize,
    format: Format,
    packet: RawPacket<'c>,
) -> Option<(RawPacket<'c>, usize)> {
    let Format::Pcap { big_endian, nanoseconds, header, swapped } = format else { return None };
    let record = RecordHeader::read(bytes.get(at..)?, big_endian, header, swapped)?;
    let start = at + record.length;
    let data = bytes.get(start..start + record.captured as usize)?;
    let unit = if nanoseconds { 1 } else { 1_000 };
    let time = i64::from(record.seconds) * 1_000_000_000 + i64::from(record.fraction) * unit;
    let packet =
        RawPacket { time: Some(Timestamp(time)), wire: record.wire, start: start as u32, data, ..packet };
    Some((packet, start + data.len()))
}
