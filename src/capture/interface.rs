//! The interfaces of a capture and the arithmetic of their clocks.
//!
//! Times are computed here and not by pcap-parser, which gets base-2 resolutions wrong
//! (draft-ietf-opsawg-pcapng, sections 4.2 and 4.3).

use pcap_parser::pcapng as parser;
use serde::{Deserialize, Serialize};

use super::pcapng;
use super::pcapng_option::{Options, integer};
use crate::capture::LinkType;
use crate::time::Timestamp;

/// The interface number of a packet that has none.
pub const NO_INTERFACE: u32 = u32::MAX;

/// One interface of a capture: an interface description block of pcapng, or the whole of a pcap file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Link-layer type of its packets.
    pub link_type: LinkType,
    /// Snapshot length in bytes, as declared; 0 means unlimited.
    pub snap_length: u32,
    /// Timestamp resolution as the raw `if_tsresol` octet (6 = microseconds, the default).
    pub resolution: u8,
    /// Seconds to add to every timestamp (`if_tsoffset`).
    pub offset: i64,
    /// Name, when the file gives one.
    pub name: Option<String>,
    /// Capture filter, when the file gives one.
    pub filter: Option<String>,
}

/// Longest interface name or filter kept, in bytes.
const MAX_TEXT: usize = 1_024;
const NANOS: i128 = 1_000_000_000;

impl Interface {
    /// Reads an interface description block. One that is malformed still takes its place in the numbering.
    pub(super) fn read(block: &[u8], big_endian: bool) -> Self {
        let parsed = if big_endian {
            parser::parse_interfacedescriptionblock_be(block)
        } else {
            parser::parse_interfacedescriptionblock_le(block)
        };
        let mut interface = Self {
            link_type: LinkType::UNKNOWN,
            snap_length: 0,
            resolution: 6,
            offset: 0,
            name: None,
            filter: None,
        };
        match parsed {
            Ok((_, fixed)) => {
                interface.link_type = LinkType(fixed.linktype.0 as u16);
                interface.snap_length = fixed.snaplen;
            }
            // The crate refuses lengths without padding; the fields stand where they stand.
            Err(_) => {
                if let (Some(first), Some(snap)) =
                    (pcapng::word(block, 8, big_endian), pcapng::word(block, 12, big_endian))
                {
                    interface.link_type =
                        LinkType(if big_endian { first >> 16 } else { first & 0xffff } as u16);
                    interface.snap_length = snap;
                }
            }
        }
        let options = block.len().checked_sub(4).and_then(|end| block.get(16..end)).unwrap_or_default();
        for (code, value) in Options::new(options, big_endian) {
            match (code, value) {
                (2, _) => interface.name = Some(text(value)),
                // First octet 0: a filter in tcpdump's language. 1: compiled code, which is not for reading.
                (11, [0, filter @ ..]) => interface.filter = Some(text(filter)),
                (9, [octet, ..]) => interface.resolution = *octet,
                (14, _) => {
                    if let Some(offset) = integer(value, big_endian) {
                        interface.offset = offset as i64;
                    }
                }
                _ => {}
            }
        }
        interface
    }

    /// The time of a tick count of this interface's clock. Fractions of a nanosecond are cut off; times
    /// outside the range of [`Timestamp`] saturate.
    pub fn time(&self, ticks: u64) -> Timestamp {
        // Nearly every file: no 128-bit arithmetic for these.
        if self.offset == 0 && ticks < i64::MAX as u64 / 1_000 {
            match self.resolution {
                6 => return Timestamp(ticks as i64 * 1_000),
                9 => return Timestamp(ticks as i64),
                _ => {}
            }
        }
        let ticks = i128::from(ticks);
        let exponent = u32::from(self.resolution & 0x7f);
        let nanos = if self.resolution & 0x80 != 0 {
            (ticks * NANOS) >> exponent
        } else {
            match 10_i128.checked_pow(exponent) {
                Some(unit) => ticks * NANOS / unit,
                // Finer than 10^-38 s: 2^64 ticks are no time at all.
                None => 0,
            }
        };
        let nanos = nanos + i128::from(self.offset) * NANOS;
        Timestamp(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }
}

fn text(value: &[u8]) -> String {
    let value = &value[..value.len().min(MAX_TEXT)];
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

/// The resolution octet in words: `1 us`, `1 ns`, `10^-4 s`, `2^-20 s`.
pub(super) fn resolution_name(octet: u8) -> String {
    match (octet & 0x80 != 0, octet & 0x7f) {
        (_, 0) => "1 s".to_owned(),
        (false, 3) => "1 ms".to_owned(),
        (false, 6) => "1 us".to_owned(),
        (false, 9) => "1 ns".to_owned(),
        (false, exponent) => format!("10^-{exponent} s"),
        (true, exponent) => format!("2^-{exponent} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(resolution: u8, offset: i64) -> Interface {
        Interface {
            link_type: LinkType::ETHERNET,
            snap_length: 0,
            resolution,
            offset,
            name: None,
            filter: None,
        }
    }

    #[test]
    fn base_10_resolutions() {
        assert_eq!(clock(6, 0).time(1_600_000_000_000_005), Timestamp(1_600_000_000_000_005_000));
        assert_eq!(clock(9, 0).time(1_600_000_000_000_000_005), Timestamp(1_600_000_000_000_000_005));
        assert_eq!(clock(0, 0).time(7), Timestamp(7_000_000_000));
        assert_eq!(clock(3, 0).time(1_500), Timestamp(1_500_000_000));
        assert_eq!(clock(12, 0).time(1_234_567), Timestamp(1_234));
        assert_eq!(clock(127, 0).time(u64::MAX), Timestamp(0));
    }

    #[test]
    fn base_2_resolutions_and_offsets() {
        // 2^-10 s: 513 ticks are 0.5009765625 s.
        let ticks = 1_600_000_000 * 1_024 + 513;
        assert_eq!(clock(0x8a, 0).time(ticks), Timestamp(1_600_000_000_500_976_562));
        assert_eq!(clock(0x8a, -3_600).time(ticks), Timestamp(1_599_996_400_500_976_562));
        assert_eq!(clock(0x80, 0).time(3), Timestamp(3_000_000_000));
        assert_eq!(clock(0xa0, 0).time(1 << 31), Timestamp(500_000_000));
        assert_eq!(clock(0xff, 0).time(u64::MAX), Timestamp(0));
        assert_eq!(clock(6, 3_600).time(0), Timestamp(3_600_000_000_000));
    }

    #[test]
    fn times_out_of_range_saturate() {
        assert_eq!(clock(0, 0).time(u64::MAX), Timestamp::MAX);
        assert_eq!(clock(6, i64::MIN).time(0), Timestamp::MIN);
        assert_eq!(clock(6, i64::MAX).time(u64::MAX), Timestamp::MAX);
    }

    #[test]
    fn resolutions_have_names() {
        assert_eq!(resolution_name(6), "1 us");
        assert_eq!(resolution_name(0x94), "2^-20 s");
        assert_eq!(resolution_name(4), "10^-4 s");
    }
}
