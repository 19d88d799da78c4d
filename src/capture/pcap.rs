//! Classic pcap: a 24-byte file header, then records of a 16 (20, 24) byte header and the captured bytes.
//!
//! Variants by magic number: microseconds (`a1b2c3d4`), nanoseconds (`a1b23c4d`), and the modified format
//! of patched libpcaps (`a1b2cd34`), whose record header has 8 more bytes; each in both byte orders. Nokia's,
//! with 4 more bytes, has the magic number of the first and is told by its records. Of the link type word
//! the low 16 bits are the type; the rest says things about checksums.
//! Source: draft-ietf-opsawg-pcap; Wireshark for Nokia's.

use crate::capture::{Format, Interface, LinkType};
use crate::time::Timestamp;

/// Length of the file header in bytes.
pub(super) const FILE_HEADER: usize = 24;

/// What the file header says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FileHeader {
    /// Layout of the records.
    pub(super) layout: Layout,
    /// The only interface.
    pub(super) interface: Interface,
}

/// How the records are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Integers are big-endian.
    pub(super) big_endian: bool,
    /// The second time word counts nanoseconds.
    pub(super) nanoseconds: bool,
    /// Record header length in bytes.
    pub(super) header: usize,
    /// The lengths may be swapped: where more was captured than was on the wire, they are.
    pub(super) swapped: bool,
}

/// The four words every record header starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seconds: u32,
    pub(super) fraction: u32,
    pub(super) captured: u32,
    pub(super) wire: u32,
}

/// What stands behind the file header.
pub(super) fn records(file: &[u8]) -> &[u8] {
    file.get(FILE_HEADER..).unwrap_or_default()
}

impl FileHeader {
    /// Reads the file header; `None` when the bytes are too few or not pcap.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut header: [u8; FILE_HEADER] = *bytes.first_chunk()?;
        let big_endian = header[0] == 0xa1;
        let modified =
            matches!(header.first_chunk(), Some([0xa1, 0xb2, 0xcd, 0x34] | [0x34, 0xcd, 0xb2, 0xa1]));
        if modified && big_endian {
            // The crate does not know this variant; apart from the magic number it is the plain header.
            header[..4].copy_from_slice(&[0xa1, 0xb2, 0xc3, 0xd4]);
        }
        let (_, parsed) = pcap_parser::parse_pcap_header(&header).ok()?;
        let nanoseconds = parsed.is_nanosecond_precision();
        let swapped = (parsed.version_major, parsed.version_minor) < (2, 4);
        let layout = Layout { big_endian, nanoseconds, header: if modified { 24 } else { 16 }, swapped };
        let interface = Interface {
            link_type: LinkType((parsed.network.0 & 0xffff) as u16),
            snap_length: parsed.snaplen,
            resolution: if nanoseconds { 9 } else { 6 },
            offset: 0,
            name: None,
            filter: None,
        };
        Some(Self { layout, interface })
    }
}

impl Layout {
    /// The layout as chunks carry it.
    pub(super) fn format(self) -> Format {
        Format::Pcap {
            big_endian: self.big_endian,
            nanoseconds: self.nanoseconds,
            header: self.header as u8,
            swapped: self.swapped,
        }
    }

    /// Reads the record header at the start of `bytes`; `None` when it is not all there.
    #[inline]
    pub(super) fn head(self, bytes: &[u8]) -> Option<Head> {
        if bytes.len() < self.header {
            return None;
        }
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = *bytes.first_chunk::<16>()?;
        let word =
            |bytes| if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let (mut captured, mut wire) = (word([c0, c1, c2, c3]), word([d0, d1, d2, d3]));
        if self.swapped && captured > wire {
            (captured, wire) = (wire, captured);
        }
        Some(Head { seconds: word([a0, a1, a2, a3]), fraction: word([b0, b1, b2, b3]), captured, wire })
    }

    /// Reads a whole record: its header, its captured bytes and its length in the file.
    #[inline]
    pub(super) fn record(self, bytes: &[u8]) -> Option<(Head, &[u8], usize)> {
        let parsed = match (self.big_endian, self.header) {
            (false, 16) if !self.swapped => pcap_parser::parse_pcap_frame(bytes),
            (true, 16) if !self.swapped => pcap_parser::parse_pcap_frame_be(bytes),
            (false, 24) if !self.swapped => pcap_parser::parse_pcap_frame_modified(bytes),
            // The crate knows neither the big-endian modified format nor Nokia's, nor swapped lengths.
            _ => {
                let head = self.head(bytes)?;
                let end = self.header.checked_add(head.captured as usize)?;
                return Some((head, bytes.get(self.header..end)?, end));
            }
        };
        let (rest, record) = parsed.ok()?;
        let head = Head {
            seconds: record.ts_sec,
            fraction: record.ts_usec,
            captured: record.caplen,
            wire: record.origlen,
        };
        Some((head, record.data, bytes.len() - rest.len()))
    }

    /// The time a record header gives. A fraction of a second and more is carried over.
    #[inline]
    pub(super) fn time(self, head: &Head) -> Timestamp {
        let unit = if self.nanoseconds { 1 } else { 1_000 };
        Timestamp(i64::from(head.seconds) * 1_000_000_000 + i64::from(head.fraction) * unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::craft::Pcap;

    #[test]
    fn every_magic_number_in_both_byte_orders() {
        for big_endian in [false, true] {
            for (magic, nanoseconds, length) in
                [(0xa1b2_c3d4_u32, false, 16), (0xa1b2_3c4d, true, 16), (0xa1b2_cd34, false, 24)]
            {
                let file = Pcap::new(magic, big_endian).packet(1_600_000_000, 5, b"abcd", 60).bytes;
                let header = FileHeader::read(&file).expect("a header");
                let layout = Layout { big_endian, nanoseconds, header: length, swapped: false };
                assert_eq!(header.layout, layout);
                assert_eq!(header.interface.link_type, LinkType::ETHERNET);
                assert_eq!(header.interface.snap_length, 65_535);
                let (head, data, total) = layout.record(&file[FILE_HEADER..]).expect("a record");
                assert_eq!(layout.head(&file[FILE_HEADER..]), Some(head));
                assert_eq!((data, head.wire, total), (&b"abcd"[..], 60, length + 4));
                let fraction = if nanoseconds { 5 } else { 5_000 };
                assert_eq!(layout.time(&head), Timestamp(1_600_000_000_000_000_000 + fraction));
            }
        }
    }

    #[test]
    fn link_type_is_the_low_16_bits() {
        let mut file = Pcap::new(0xa1b2_c3d4, false).bytes;
        file[20..24].copy_from_slice(&0x1400_0071_u32.to_le_bytes());
        assert_eq!(FileHeader::read(&file).expect("a header").interface.link_type, LinkType::LINUX_SLL);
    }

    #[test]
    fn before_version_2_4_the_greater_length_is_the_wire_length() {
        for minor in [2, 3, 4] {
            let mut file = Pcap::new(0xa1b2_c3d4, false).packet(1, 2, b"abcd", 60).bytes;
            file[6] = minor;
            file[32..40].rotate_left(4);
            let layout = FileHeader::read(&file).expect("a header").layout;
            let record = layout.record(&file[FILE_HEADER..]).map(|(head, data, _)| (head.wire, data));
            assert_eq!(record, (minor < 4).then_some((60, &b"abcd"[..])));
        }
    }

    #[test]
    fn incomplete_headers_and_records_are_none() {
        let file = Pcap::new(0xa1b2_c3d4, true).packet(1, 2, b"abcd", 4).bytes;
        let layout = FileHeader::read(&file).expect("a header").layout;
        for cut in 0..FILE_HEADER {
            assert_eq!(FileHeader::read(&file[..cut]), None);
        }
        for cut in FILE_HEADER..file.len() {
            assert_eq!(layout.record(&file[FILE_HEADER..cut]), None);
        }
    }
}
