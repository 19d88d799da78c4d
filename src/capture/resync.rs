//! Where records can be believed: behind a damaged place, and at the start of a file.
//!
//! A place is believed when a chain of records starts there: [`CHAIN`] plausible headers, each where the one
//! before says it is, or fewer when the file ends right behind one. Only records up to [`LONGEST`] bytes are
//! believed, so [`LOOKAHEAD`] bytes decide about a place. The search takes time linear in the damage, and
//! bounded memory, for streams too.

use super::pcap::{Head, Layout};
use super::pcapng;

/// Records in a row that are believed.
const CHAIN: usize = 3;
/// Longest record believed while searching, in bytes: the longest packet libpcap writes.
pub(super) const LONGEST: usize = 262_144;
/// Bytes behind a place that decide about it.
pub(super) const LOOKAHEAD: usize = CHAIN * (LONGEST + 64 * 1024);
/// Packets of one capture lie within this many seconds of each other (a year), while searching.
const YEAR: u32 = 366 * 86_400;

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pattern {
    /// pcap records; `near` is the time of the last good one in seconds.
    Pcap { layout: Layout, near: Option<u32> },
    /// pcapng blocks of a byte order (a section header has its own).
    Pcapng { big_endian: bool },
}

/// What stands at a place.
enum Seen {
    /// A whole record of this length, and what to expect of the next.
    Whole(usize, Pattern),
    /// The start of a record that leaves the bytes.
    Cut,
    /// Nothing to believe.
    Nothing,
}

impl Pattern {
    /// The first place of `bytes` from `from` on where a chain starts, among those that can be decided:
    /// `ended` says that nothing comes after `bytes`. `Err` is the first place that could not be decided.
    pub(super) fn find(self, bytes: &[u8], from: usize, ended: bool) -> Result<usize, usize> {
        let until = if ended { bytes.len() } else { bytes.len().saturating_sub(LOOKAHEAD) };
        let from = from.min(bytes.len());
        (from..until).find(|at| self.believable(&bytes[*at..])).ok_or(until.max(from))
    }

    fn believable(self, bytes: &[u8]) -> bool {
        let (mut at, mut whole, mut pattern) = (0, 0, self);
        while whole < CHAIN {
            if at == bytes.len() {
                return whole > 0;
            }
            match pattern.look(&bytes[at..]) {
                Seen::Whole(length, next) => (at, whole, pattern) = (at + length, whole + 1, next),
                // The file was cut off as well. A pcapng block has its length at both ends, a pcap record
                // has less to believe.
                Seen::Cut => return whole >= if matches!(self, Self::Pcap { .. }) { 2 } else { 1 },
                Seen::Nothing => return false,
            }
        }
        true
    }

    fn look(self, bytes: &[u8]) -> Seen {
        match self {
            Self::Pcap { layout, near } => {
                let Some(head) = layout.head(bytes) else { return Seen::Cut };
                if head.captured == 0 || head.captured as usize > LONGEST || !plausible(layout, &head, near) {
                    return Seen::Nothing;
                }
                let length = layout.header + head.captured as usize;
                if length > bytes.len() {
                    return Seen::Cut;
                }
                Seen::Whole(length, Self::Pcap { layout, near: Some(head.seconds) })
            }
            Self::Pcapng { big_endian } => {
                let Some((kind, _)) = pcapng::lead(bytes, big_endian) else { return Seen::Cut };
                let big_endian = if kind == pcapng::kind::SECTION {
                    match pcapng::byte_order(bytes) {
                        Some(order) => order,
                        None => return Seen::Nothing,
                    }
                } else {
                    big_endian
                };
                let Some((_, total)) = pcapng::lead(bytes, big_endian) else { return Seen::Cut };
                if !pcapng::is_known(kind)
                    || (total as usize) < pcapng::least(kind)
                    || total as usize > LONGEST + 1_024
                {
                    return Seen::Nothing;
                }
                let length = pcapng::padded(total);
                match pcapng::word(bytes, length - 4, big_endian) {
                    None => Seen::Cut,
                    Some(trailer) if trailer == total => Seen::Whole(length, Self::Pcapng { big_endian }),
                    Some(_) => Seen::Nothing,
                }
            }
        }
    }
}

/// A chain of records of this layout starts at the start of `bytes`.
pub(super) fn begins_with(layout: Layout, bytes: &[u8]) -> bool {
    Pattern::Pcap { layout, near: None }.believable(bytes)
}

/// The layout of records for which the magic number says `layout`: Nokia's libpcap wrote the plain magic
/// number, and four more bytes in every record header. One record does not prove that: four bytes may be
/// what a cut left of the next.
pub(super) fn variant(layout: Layout, bytes: &[u8]) -> Layout {
    const NOKIA: usize = 20;
    let longer = Layout { header: NOKIA, ..layout };
    let second = longer.record(bytes).and_then(|(.., length)| bytes.get(length..)).unwrap_or_default();
    let is_longer = layout.header < NOKIA && !begins_with(layout, bytes) && begins_with(longer, bytes);
    if is_longer && begins_with(longer, second) { longer } else { layout }
}

/// A record header that a capture program could have written about a packet near the time `near`.
pub(super) fn plausible(layout: Layout, head: &Head, near: Option<u32>) -> bool {
    let second = if layout.nanoseconds { 1_000_000_000 } else { 1_000_000 };
    head.fraction < second
        && (head.wire == 0 || head.wire >= head.captured)
        && head.wire <= 1 << 24
        && near.is_none_or(|near| head.seconds.abs_diff(near) <= YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::craft::{Pcap, Pcapng};

    const LAYOUT: Layout = Layout { big_endian: false, nanoseconds: false, header: 16, swapped: false };

    #[test]
    fn pcap_records_are_found_behind_garbage_and_zeros() {
        let mut records = Pcap::new(0xa1b2_c3d4, false);
        for second in 0..4 {
            records = records.packet(1_600_000_000 + second, 1, &[second as u8; 40], 60);
        }
        let pattern = Pattern::Pcap { layout: LAYOUT, near: Some(1_600_000_000) };
        for garbage in [vec![0xff; 37], vec![0; 64], b"text in the way".to_vec()] {
            let bytes = [&garbage[..], &records.bytes[24..]].concat();
            assert_eq!(pattern.find(&bytes, 0, true), Ok(garbage.len()));
        }
    }

    #[test]
    fn a_chain_may_end_with_the_file_but_one_cut_record_is_not_believed() {
        let file = Pcap::new(0xa1b2_c3d4, false).packet(5, 1, b"abcd", 4).packet(6, 1, b"abcd", 4).bytes;
        let pattern = Pattern::Pcap { layout: LAYOUT, near: Some(5) };
        assert_eq!(pattern.find(&file[24..], 0, true), Ok(0));
        assert_eq!(pattern.find(&file[24..file.len() - 1], 0, true), Err(39));
        // Not ended: nothing can be decided about so few bytes.
        assert_eq!(pattern.find(&file[24..], 0, false), Err(0));
    }

    #[test]
    fn pcapng_blocks_are_found_by_their_two_lengths() {
        let file = Pcapng::new(true).interface(1, 0, &[]).packet(0, 1, b"abcd", 4).bytes;
        let bytes = [&[7; 13], &file[..]].concat();
        // The section header tells its byte order itself.
        assert_eq!(Pattern::Pcapng { big_endian: false }.find(&bytes, 1, true), Ok(13));
    }
}
