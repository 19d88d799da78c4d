//! Which bytes of a stream were captured.

use std::collections::BTreeMap;

/// Runs of captured bytes, by their first byte: each ends where its value says, and none touches another.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<usize, usize>);

impl Runs {
    /// Adds the bytes from `start` to `end`, and says which of them are new, in order.
    pub(super) fn add(&mut self, start: usize, end: usize) -> Vec<(usize, usize)> {
        let mut new = Vec::new();
        let (mut low, mut high, mut at) = (start, end, start);
        let before = self.0.range(..start).next_back().filter(|(_, to)| **to >= start).map(|(from, _)| *from);
        let touched = self.0.range(before.unwrap_or(start)..=end).map(|(from, to)| (*from, *to));
        let touched: Vec<(usize, usize)> = touched.collect();
        for (from, to) in touched {
            self.0.remove(&from);
            (low, high) = (low.min(from), high.max(to));
            if at < from {
                new.push((at, from));
            }
            at = at.max(to);
        }
        if at < end {
            new.push((at, end));
        }
        if low < high {
            self.0.insert(low, high);
        }
        new
    }

    /// The first of them.
    pub(super) fn first(&self) -> Option<(usize, usize)> {
        self.0.first_key_value().map(|(from, to)| (*from, *to))
    }

    /// Where they begin.
    pub(super) fn starts(&self) -> impl Iterator<Item = usize> {
        self.0.keys().copied()
    }

    /// Where the run around a place ends; the place itself when it was not captured.
    pub(super) fn end_of(&self, at: usize) -> usize {
        self.0.range(..=at).next_back().map_or(at, |(_, to)| (*to).max(at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_is_new_once(pieces in prop::collection::vec((0usize..80, 0usize..20), 0..40)) {
            let (mut runs, mut known) = (Runs::default(), [false; 100]);
            for (start, length) in pieces {
                let fresh: Vec<usize> =
                    runs.add(start, start + length).into_iter().flat_map(|(from, to)| from..to).collect();
                let expected: Vec<usize> = (start..start + length).filter(|at| !known[*at]).collect();
                prop_assert_eq!(fresh, expected);
                known[start..start + length].fill(true);
            }
            for at in 0..100 {
                let end = (at..100).find(|at| !known[*at]).unwrap_or(100);
                prop_assert_eq!(runs.end_of(at), end);
            }
            let begins = |at: &usize| known[*at] && (*at == 0 || !known[at - 1]);
            let starts: Vec<usize> = (0..100).filter(begins).collect();
            prop_assert_eq!(runs.starts().collect::<Vec<_>>(), starts.clone());
            prop_assert_eq!(runs.first().map(|(from, _)| from), starts.first().copied());
        }
    }
}
