//! Counts by time, in intervals as wide as it takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::Merge;
use crate::time::{Span, Timestamp};

const SECOND: i64 = 1_000_000_000;

/// Widths of intervals that a person reads without counting, nanoseconds. Each is a multiple of the one
/// before it, so that narrow intervals are parts of wide ones. With the last, all of time is 22 intervals.
const WIDTHS: [i64; 21] = [
    SECOND / 100,
    SECOND / 50,
    SECOND / 10,
    SECOND / 5,
    SECOND,
    2 * SECOND,
    10 * SECOND,
    20 * SECOND,
    60 * SECOND,
    120 * SECOND,
    600 * SECOND,
    1_200 * SECOND,
    3_600 * SECOND,
    7_200 * SECOND,
    21_600 * SECOND,
    43_200 * SECOND,
    86_400 * SECOND,
    864_000 * SECOND,
    8_640_000 * SECOND,
    86_400_000 * SECOND,
    864_000_000 * SECOND,
];

/// Counts in intervals that begin at multiples of their width: the smallest of [`WIDTHS`] with which all of
/// them fall into [`Slots::MOST`] intervals. So the width depends on the times and not on their order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Slots<T> {
    /// Place among [`WIDTHS`].
    width: u8,
    /// By the number of the interval.
    slots: BTreeMap<i64, T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { width: 0, slots: BTreeMap::new() }
    }
}

fn width_at(place: u8) -> i64 {
    WIDTHS.get(usize::from(place)).copied().unwrap_or(864_000_000 * SECOND)
}

/// The number of the interval of this width that holds `time`.
fn number(time: Timestamp, width: i64) -> i64 {
    time.0.div_euclid(width)
}

impl<T: Default + Merge> Slots<T> {
    /// Intervals at most: what a screen shows side by side, and what a service of a table of thousands may
    /// take.
    pub(super) const MOST: usize = 48;

    /// Counts in the interval of `time`.
    pub(super) fn count(&mut self, time: Timestamp, count: impl FnOnce(&mut T)) {
        count(self.slots.entry(number(time, width_at(self.width))).or_default());
        self.widen();
    }

    /// The width of its intervals.
    pub(super) fn width(&self) -> Span {
        Span(width_at(self.width))
    }

    /// First and last interval, by their beginnings.
    pub(super) fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let begins = |number: &i64| Timestamp(number.saturating_mul(width_at(self.width)));
        let (first, _) = self.slots.first_key_value()?;
        let (last, _) = self.slots.last_key_value()?;
        Some((begins(first), begins(last)))
    }

    /// Beginning of each interval in which something was counted, and what.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Timestamp, &T)> {
        let width = width_at(self.width);
        self.slots.iter().map(move |(number, counted)| (Timestamp(number.saturating_mul(width)), counted))
    }

    /// The same in wider intervals: the narrowest that hold `from` to `until` in [`Slots::MOST`] of them.
    pub(super) fn over(mut self, from: Timestamp, until: Timestamp) -> Self {
        self.fit(from, until);
        self
    }

    fn fit(&mut self, from: Timestamp, until: Timestamp) {
        let across = |width: i64| number(until, width).saturating_sub(number(from, width));
        while across(width_at(self.width)) >= Self::MOST as i64 && self.is_narrow() {
            self.width_to(self.width + 1);
        }
    }

    fn is_narrow(&self) -> bool {
        usize::from(self.width) + 1 < WIDTHS.len()
    }

    fn widen(&mut self) {
        while self.slots.len() > Self::MOST && self.is_narrow() {
            self.width_to(self.width + 1);
        }
    }

    fn width_to(&mut self, place: u8) {
        let by = width_at(place) / width_at(self.width);
        self.width = place;
        for (number, counted) in std::mem::take(&mut self.slots) {
            self.slots.entry(number.div_euclid(by)).or_default().absorb(counted);
        }
    }

    /// What is in intervals that end before `time`.
    pub(super) fn before(&self, time: Timestamp) -> impl Iterator<Item = &T> {
        self.slots.range(..number(time, width_at(self.width))).map(|(_, counted)| counted)
    }

    /// What is in intervals that begin after `time`.
    pub(super) fn after(&self, time: Timestamp) -> impl Iterator<Item = &T> {
        let next = number(time, width_at(self.width)).saturating_add(1);
        self.slots.range(next..).map(|(_, counted)| counted)
    }

    /// Spreads `totals` evenly from `first` to `last`: what is known of a flow is its sum. A wide interval
    /// gets exactly what its narrow ones would have got.
    pub(super) fn spread<const N: usize>(
        &mut self,
        first: Timestamp,
        last: Timestamp,
        totals: [u64; N],
        mut count: impl FnMut(&mut T, [u64; N]),
    ) {
        self.fit(first, last);
        let width = width_at(self.width);
        let lasts = i128::from(last.0) - i128::from(first.0);
        let (from, until) = (number(first, width), number(last.max(first), width));
        let mut given = [0; N];
        for number in from..=until {
            let end = (i128::from(number) + 1) * i128::from(width) - i128::from(first.0);
            let due = totals.map(|total| match number == until {
                true => total,
                false => u64::try_from(i128::from(total) * end / lasts.max(1)).unwrap_or(total).min(total),
            });
            let mut part = due;
            part.iter_mut().zip(given).for_each(|(part, given)| *part -= given.min(*part));
            count(self.slots.entry(number).or_default(), part);
            given = due;
        }
        self.widen();
    }
}

impl<T: Default + Merge> Merge for Slots<T> {
    fn absorb(&mut self, mut other: Self) {
        let width = self.width.max(other.width);
        if self.width < width {
            self.width_to(width);
        }
        if other.width < width {
            other.width_to(width);
        }
        self.slots.absorb(other.slots);
        self.widen();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_width_is_a_multiple_of_the_one_before_it() {
        assert!(WIDTHS.windows(2).all(|pair| pair[1] % pair[0] == 0 && pair[1] <= pair[0] * 10));
        let most = i128::from(i64::MAX) - i128::from(i64::MIN);
        assert!(most / i128::from(WIDTHS[WIDTHS.len() - 1]) < Slots::<u64>::MOST as i128);
    }

    fn add(slots: &mut Slots<u64>, (first, lasts, total): (i64, i64, u64)) {
        let first = Timestamp(first);
        slots.spread(first, first + Span(lasts), [total], |slot, [part]| *slot += part);
        slots.count(first, |slot| *slot += 1);
    }

    fn plain(slots: &Slots<u64>) -> (u8, Vec<(i64, u64)>) {
        (slots.width, slots.slots.iter().map(|(number, count)| (*number, *count)).collect())
    }

    proptest! {
        #[test]
        fn neither_order_nor_partition_shows(
            flows in prop::collection::vec(
                (prop_oneof![-5_000_000_000i64..90_000_000_000, any::<i64>()], 0i64..1 << 40, 0u64..5_000),
                1..60,
            ),
            cut in 0usize..60,
        ) {
            let mut all = Slots::default();
            flows.iter().for_each(|flow| add(&mut all, *flow));
            let (one, other) = flows.split_at(cut.min(flows.len()));
            let (mut first, mut second) = (Slots::default(), Slots::default());
            one.iter().rev().for_each(|flow| add(&mut first, *flow));
            other.iter().rev().for_each(|flow| add(&mut second, *flow));
            second.absorb(first);
            prop_assert_eq!(plain(&all), plain(&second));
            let sum: u64 = flows.iter().map(|(.., total)| total + 1).sum();
            prop_assert_eq!(all.slots.values().sum::<u64>(), sum);
            prop_assert!(all.slots.len() <= Slots::<u64>::MOST);
        }
    }
}
