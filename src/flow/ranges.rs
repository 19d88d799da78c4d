//! A small sorted set of sequence ranges, for holes and selective acknowledgements.

use crate::dissect::Seq;

/// Disjoint, sorted, non-empty ranges `[start, end)`, all within half the sequence space of each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ranges(Vec<(Seq, Seq)>);

impl Ranges {
    /// Ranges kept; further ones are ignored, which only loses evidence and never invents any.
    const MAX: usize = 256;

    /// Bytes of memory that they take.
    pub(super) fn held(&self) -> usize {
        self.0.capacity() * size_of::<(Seq, Seq)>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a range, joining what it touches. True when it covered anything new.
    pub(crate) fn insert(&mut self, start: Seq, end: Seq) -> bool {
        if !end.after(start) || self.covers(start, end) {
            return false;
        }
        let (mut low, mut high) = (start, end);
        let first = self.0.partition_point(|range| range.1.before(start));
        let mut last = first;
        while let Some(range) = self.0.get(last).filter(|range| !range.0.after(end)) {
            if range.0.before(low) {
                low = range.0;
            }
            high = high.max(range.1);
            last += 1;
        }
        if first == last && self.0.len() == Self::MAX {
            return false;
        }
        self.0.splice(first..last, [(low, high)]);
        true
    }

    /// Takes out everything before `edge` and says how many bytes that was.
    pub(crate) fn remove_before(&mut self, edge: Seq) -> u64 {
        let mut bytes = 0;
        self.0.retain_mut(|range| {
            if !range.0.before(edge) {
                return true;
            }
            let end = if range.1.before(edge) { range.1 } else { edge };
            bytes += u64::from(end.since(range.0).unsigned_abs());
            range.0 = edge;
            range.1.after(edge)
        });
        bytes
    }

    /// Takes out the range.
    pub(super) fn remove(&mut self, start: Seq, end: Seq) {
        for (low, high) in std::mem::take(&mut self.0) {
            if !high.after(start) || !low.before(end) {
                self.0.push((low, high));
                continue;
            }
            if low.before(start) {
                self.0.push((low, start));
            }
            if high.after(end) {
                self.0.push((end, high));
            }
        }
    }

    /// Every byte of the range is in the set.
    pub(crate) fn covers(&self, start: Seq, end: Seq) -> bool {
        let at = self.0.partition_point(|range| range.1.before(end));
        self.0.get(at).is_some_and(|range| !range.0.after(start))
    }

    /// Any byte of the range is in the set.
    pub(crate) fn overlaps(&self, start: Seq, end: Seq) -> bool {
        let at = self.0.partition_point(|range| !range.1.after(start));
        self.0.get(at).is_some_and(|range| range.0.before(end))
    }

    /// Bytes in the set at or after `from`.
    pub(super) fn bytes_after(&self, from: Seq) -> u64 {
        self.0
            .iter()
            .filter(|range| range.1.after(from))
            .map(|range| u64::from(range.1.since(range.0.max(from)).unsigned_abs()))
            .sum()
    }

    /// Bytes in the set.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.1.since(range.0).unsigned_abs())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(ranges: &[(u32, u32)]) -> Ranges {
        let mut set = Ranges::default();
        for &(start, end) in ranges {
            set.insert(Seq(start), Seq(end));
        }
        set
    }

    #[test]
    fn touching_ranges_join_across_the_wrap() {
        let joined = set(&[(u32::MAX - 9, u32::MAX), (u32::MAX, 10)]);
        assert_eq!(joined.0, [(Seq(u32::MAX - 9), Seq(10))]);
        assert_eq!(joined.bytes(), 20);
    }

    #[test]
    fn removing_before_an_edge_counts_the_bytes() {
        let mut ranges = set(&[(10, 20), (30, 40)]);
        assert_eq!(ranges.remove_before(Seq(35)), 15);
        assert_eq!(ranges.0, [(Seq(35), Seq(40))]);
    }

    proptest! {
        #[test]
        fn agrees_with_a_byte_map(
            base in any::<u32>(),
            steps in prop::collection::vec((0u32..200, 1u32..40), 0..60),
        ) {
            let mut map = [false; 256];
            let mut ranges = Ranges::default();
            for (start, length) in steps {
                let (low, high) = (Seq(base).plus(start), Seq(base).plus(start + length));
                for cell in &mut map[start as usize..(start + length) as usize] {
                    *cell = true;
                }
                ranges.insert(low, high);
            }
            prop_assert_eq!(ranges.bytes(), map.iter().filter(|cell| **cell).count() as u64);
            for (offset, cell) in map.iter().enumerate() {
                let at = Seq(base).plus(offset as u32);
                prop_assert_eq!(ranges.covers(at, at.plus(1)), *cell);
            }
            for pair in ranges.0.windows(2) {
                prop_assert!(pair[0].1.before(pair[1].0));
            }
        }
    }
}
