//! Checksums that follow their bytes (RFC 1624): the new one differs from the old as the bytes do.

use std::ops::Range;

/// A checksum field and the octets under it.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    /// Where it stands.
    pub(super) field: usize,
    /// The octets it covers.
    pub(super) covers: Range<usize>,
    /// The addresses of the IP header, when it covers those, too.
    pub(super) addresses: Option<Range<usize>>,
}

impl Sum {
    /// Brings the field in `new` up to date. A checksum of zero says that there is none, and stays.
    pub(super) fn follow(&self, old: &[u8], new: &mut [u8]) {
        let field = self.field..self.field + 2;
        let Some(before) = old.get(field.clone()).map(word).filter(|sum| *sum != 0) else {
            return;
        };
        let mut sum = u64::from(!before);
        // Both begin at an even place of what is summed.
        for range in [Some(&self.covers), self.addresses.as_ref()].into_iter().flatten() {
            let (Some(was), Some(is)) = (old.get(range.clone()), new.get(range.clone())) else { return };
            sum += was.chunks(2).map(|pair| u64::from(!word(pair))).sum::<u64>();
            sum += is.chunks(2).map(|pair| u64::from(word(pair))).sum::<u64>();
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        // Zero would say that there is none; its other form is equal (RFC 768).
        let after = match !(sum as u16) {
            0 => 0xffff,
            after => after,
        };
        if let Some(place) = new.get_mut(field) {
            place.copy_from_slice(&after.to_be_bytes());
        }
    }
}

fn word(octets: &[u8]) -> u16 {
    u16::from_be_bytes([octets.first().copied().unwrap_or(0), octets.get(1).copied().unwrap_or(0)])
}
