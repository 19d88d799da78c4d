//! Lengths of time, counted so that percentiles of any number of them take little memory.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// A histogram with slots as in HdrHistogram (<https://hdrhistogram.github.io/HdrHistogram/>): microseconds,
/// each power of two cut into `2^BITS`. The slots are sums, so that neither the order of arrival nor the cut
/// into partitions shows; a t-digest would show both. Only slots with something in them take memory: most
/// connections and services have a few.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram<const BITS: u32>(Vec<(u16, u32)>);

/// Percentiles are off by 3.2 % at most.
pub type Times = Histogram<4>;

impl<const BITS: u32> Histogram<BITS> {
    /// The middle of a slot, microseconds.
    fn middle(slot: u16) -> u64 {
        let slot = u64::from(slot);
        let above = (slot >> BITS).saturating_sub(1);
        let least = (slot - (above << BITS)) << above;
        least + (1 << above >> 1)
    }

    /// The slot of a length of time; a negative one is none, and counts as zero.
    pub fn slot(span: Span) -> u16 {
        let micros = u64::try_from(span.0 / 1_000).unwrap_or(0);
        let above = (63 - (micros | 1).leading_zeros()).saturating_sub(BITS);
        // `above` is at most 60, and the rest below `2^(BITS + 1)`.
        ((above << BITS) as u64 + (micros >> above)) as u16
    }

    /// Takes a length of time; a negative one is none.
    pub fn add(&mut self, span: Span) {
        if span >= Span::ZERO {
            self.add_many(span, 1);
        }
    }

    /// Takes as many of about one length.
    pub fn add_many(&mut self, span: Span, count: u32) {
        let slot = Self::slot(span);
        match self.0.binary_search_by_key(&slot, |(known, _)| *known) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(count),
            Err(at) => self.0.insert(at, (slot, count)),
        }
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for (slot, count) in &other.0 {
            match self.0.binary_search_by_key(slot, |(known, _)| *known) {
                Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(*count),
                Err(at) => self.0.insert(at, (*slot, *count)),
            }
        }
    }

    /// Slots, the middle of each, and how many fell in, shortest first.
    pub fn slots(&self) -> impl Iterator<Item = (u16, Span, u32)> {
        self.0.iter().map(|(slot, count)| {
            (*slot, Span::micros(i64::try_from(Self::middle(*slot)).unwrap_or(i64::MAX)), *count)
        })
    }

    /// How many were taken.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// How many took at least so long; those of the slot it falls into count.
    pub fn at_least(&self, span: Span) -> u64 {
        let from = Self::slot(span);
        self.0.iter().filter(|(slot, _)| *slot >= from).map(|(_, count)| u64::from(*count)).sum()
    }

    /// How many took longer than `span`, up to the width of a slot.
    pub fn above(&self, span: Span) -> u64 {
        let slot = Self::slot(span);
        self.0.iter().filter(|(known, _)| *known > slot).map(|(_, count)| u64::from(*count)).sum()
    }

    /// The length that `part`, from 0 to 1, of them do not exceed; `None` of nothing.
    pub fn quantile(&self, part: f64) -> Option<Span> {
        let wanted = ((self.count() as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        self.slots().find_map(|(_, middle, count)| {
            seen += u64::from(count);
            (seen >= wanted).then_some(middle)
        })
    }

    /// Median and 95th percentile; `None` of nothing.
    pub fn spread(&self) -> Option<Spread> {
        let (median, p95) = (self.quantile(0.5)?, self.quantile(0.95)?);
        Some(Spread { count: self.count(), median, p95 })
    }

    /// Bytes of memory beyond its own.
    pub(super) fn held(&self) -> usize {
        self.0.capacity() * size_of::<(u16, u32)>()
    }
}

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How often it was measured.
    pub count: u64,
    /// Half of them took at most so long, seconds.
    pub median: Span,
    /// 95 % of them took at most so long, seconds.
    pub p95: Span,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_slot_is_six_percent_wide(micros in 0u64..1 << 50) {
            let off = Times::middle(Times::slot(Span::micros(micros as i64))).abs_diff(micros);
            prop_assert!(off <= micros / 31 + 1, "{micros} is off by {off}");
        }

        #[test]
        fn neither_order_nor_cut_shows(
            millis in proptest::collection::vec(0i64..100_000, 0..60),
            cut in 0usize..60,
        ) {
            let of = |millis: &[i64]| {
                let mut times = Times::default();
                millis.iter().for_each(|millis| times.add(Span::millis(*millis)));
                times
            };
            let (one, two) = millis.split_at(cut.min(millis.len()));
            let (mut there, mut back) = (of(one), of(two));
            there.extend(&of(two));
            back.extend(&of(one));
            prop_assert_eq!(&there, &of(&millis));
            prop_assert_eq!(there, back);
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut times = Times::default();
        (1..=100).for_each(|millis| times.add(Span::millis(millis)));
        times.add(Span(-1));
        let spread = times.spread().expect("something");
        assert_eq!(spread.count, 100);
        assert!((spread.median.as_secs_f64() - 0.050).abs() < 0.002, "{spread:?}");
        assert!((spread.p95.as_secs_f64() - 0.095).abs() < 0.003, "{spread:?}");
        assert_eq!((times.at_least(Span::secs(1)), times.at_least(Span::ZERO)), (0, 100));
        assert_eq!(Times::default().spread(), None);
    }
}
