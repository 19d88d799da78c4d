//! Lengths of time, counted so that percentiles of any number of them take little memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::Merge;
use crate::time::Span;

/// A histogram with slots as in HdrHistogram (<https://hdrhistogram.github.io/HdrHistogram/>): microseconds,
/// each power of two cut into `2^BITS`. A percentile is off by 3.2 % at most with 4 of them, by 6.3 % with 3.
/// The slots are sums, so that neither the order of arrival nor the cut into partitions shows; a t-digest
/// would show both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times<const BITS: u32 = 4>(BTreeMap<u16, u32>);

impl<const BITS: u32> Times<BITS> {
    fn slot(micros: u64) -> u16 {
        let above = (63 - (micros | 1).leading_zeros()).saturating_sub(BITS);
        // `above` is at most 59, and the rest below `2^(BITS + 1)`.
        ((above << BITS) as u64 + (micros >> above)) as u16
    }

    /// The middle of a slot, microseconds.
    fn middle(slot: u16) -> u64 {
        let slot = u64::from(slot);
        let above = (slot >> BITS).saturating_sub(1);
        let least = (slot - (above << BITS)) << above;
        least + (1 << above >> 1)
    }

    /// Takes a length of time; a negative one is none.
    pub fn add(&mut self, span: Span) {
        if let Ok(nanos) = u64::try_from(span.0) {
            let count = self.0.entry(Self::slot(nanos / 1_000)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// How many were taken.
    pub fn count(&self) -> u64 {
        self.0.values().map(|count| u64::from(*count)).sum()
    }

    /// The middles of the slots that something fell into, shortest first, and how often.
    pub fn slots(&self) -> impl Iterator<Item = (Span, u64)> {
        let span = |slot: u16| Span::micros(i64::try_from(Self::middle(slot)).unwrap_or(i64::MAX));
        self.0.iter().map(move |(slot, count)| (span(*slot), u64::from(*count)))
    }

    /// The length that `part`, from 0 to 1, of them do not exceed; `None` of nothing.
    pub fn quantile(&self, part: f64) -> Option<Span> {
        let wanted = ((self.count() as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(slot, count)| {
            seen += u64::from(*count);
            (seen >= wanted).then(|| Span::micros(i64::try_from(Self::middle(*slot)).unwrap_or(i64::MAX)))
        })
    }

    /// How many took longer than `span`, up to the width of a slot.
    pub fn above(&self, span: Span) -> u64 {
        let slot = Self::slot(u64::try_from(span.0).unwrap_or(0) / 1_000);
        self.0.range(slot.saturating_add(1)..).map(|(_, count)| u64::from(*count)).sum()
    }

    /// Median and 95th percentile; `None` of nothing.
    pub fn spread(&self) -> Option<Spread> {
        let (median, p95) = (self.quantile(0.5)?, self.quantile(0.95)?);
        Some(Spread { count: self.count(), median, p95 })
    }
}

impl<const BITS: u32> Merge for Times<BITS> {
    fn absorb(&mut self, other: Self) {
        self.0.absorb(other.0);
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
            let off = <Times>::middle(<Times>::slot(micros)).abs_diff(micros);
            prop_assert!(off <= micros / 31 + 1, "{micros} is off by {off}");
            let off = Times::<3>::middle(Times::<3>::slot(micros)).abs_diff(micros);
            prop_assert!(off <= micros / 15 + 1, "{micros} is off by {off}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut times = <Times>::default();
        (1..=100).for_each(|millis| times.add(Span::millis(millis)));
        times.add(Span(-1));
        let spread = times.spread().expect("something");
        assert_eq!(spread.count, 100);
        assert!((spread.median.as_secs_f64() - 0.050).abs() < 0.002, "{spread:?}");
        assert!((spread.p95.as_secs_f64() - 0.095).abs() < 0.003, "{spread:?}");
        assert_eq!(<Times>::default().spread(), None);
        assert_eq!((times.above(Span::millis(10)), times.above(Span::ZERO)), (90, 100));
    }
}
