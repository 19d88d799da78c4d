//! Octets that arrive in pieces, in any order; where pieces overlap, the first to arrive stays.

/// Length of one entry of the list of what is there, for the budget.
const RANGE: usize = 8;

/// A run of octets with holes.
///
/// `filled` is sorted, without overlaps and without neighbours that touch; `bytes` ends with the last range.
#[derive(Default)]
pub(super) struct FragmentBuffer {
    bytes: Vec<u8>,
    filled: Vec<(u32, u32)>,
}

/// How new octets met the ones already there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// They did not.
    None,
    /// With the same content.
    Same,
    /// With other content.
    Different,
}

impl FragmentBuffer {
    /// Bytes held.
    pub(super) fn cost(&self) -> usize {
        self.bytes.len() + RANGE * self.filled.len()
    }

    /// Where the last octet there is ends.
    pub(super) fn end(&self) -> u32 {
        self.filled.last().map_or(0, |range| range.1)
    }

    /// True when every octet before `end` is there and none after.
    pub(super) fn is_whole(&self, end: u32) -> bool {
        match self.filled[..] {
            [] => end == 0,
            [range] => range == (0, end),
            _ => false,
        }
    }

    /// The octets; holes are 0.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes `bytes` at `offset` where nothing is yet.
    pub(super) fn insert(&mut self, offset: u32, bytes: &[u8]) -> Overlap {
        let (start, end) = (offset, offset + bytes.len() as u32);
        if start == end {
            return Overlap::None;
        }
        if self.bytes.len() < end as usize {
            self.bytes.resize(end as usize, 0);
        }
        let mut overlap = Overlap::None;
        let mut at = start;
        let (mut low, mut high) = (start, end);
        for &(from, to) in self.filled.iter().filter(|range| range.0 <= end && range.1 >= start) {
            (low, high) = (low.min(from), high.max(to));
            copy(&mut self.bytes, at, from.max(at).min(end), start, bytes);
            let (from, to) = (from.max(start), to.min(end));
            if from < to {
                let old = &self.bytes[from as usize..to as usize];
                let new = &bytes[(from - start) as usize..(to - start) as usize];
                overlap = match overlap {
                    Overlap::Different => Overlap::Different,
                    _ if old != new => Overlap::Different,
                    _ => Overlap::Same,
                };
            }
            at = at.max(to);
        }
        copy(&mut self.bytes, at, end, start, bytes);
        self.filled.retain(|range| range.1 < low || range.0 > high);
        let place = self.filled.partition_point(|range| range.0 < low);
        self.filled.insert(place, (low, high));
        overlap
    }
}

fn copy(buffer: &mut [u8], from: u32, to: u32, start: u32, bytes: &[u8]) {
    if from < to {
        buffer[from as usize..to as usize]
            .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against an obviously right model: one octet after the other, the first writer wins.
        #[test]
        fn insert_matches_the_model(
            pieces in vec((0u32..60, vec(any::<u8>(), 0..20)), 0..20),
        ) {
            let mut fragment_buffer = FragmentBuffer::default();
            let mut model = [None; 80];
            for (offset, bytes) in pieces {
                fragment_buffer.insert(offset, &bytes);
                for (at, octet) in bytes.iter().enumerate() {
                    model[offset as usize + at].get_or_insert(*octet);
                }
            }
            for (at, octet) in model.iter().enumerate() {
                let mut filled = fragment_buffer.filled.iter();
                let held = filled.any(|(from, to)| (*from..*to).contains(&(at as u32)));
                prop_assert_eq!(held, octet.is_some());
                if let Some(octet) = octet {
                    prop_assert_eq!(fragment_buffer.bytes[at], *octet);
                }
            }
            prop_assert!(fragment_buffer.filled.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
