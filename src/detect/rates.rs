//! How often something is tried while it succeeds, and while it fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::Merge;
use crate::time::Timestamp;

/// Tries and failures by time, in slots as wide as it takes: the smallest power of two of seconds with which
/// all of them fall into [`Rates::MOST`] slots. So the width depends on the times and not on their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rates {
    width: u32,
    slots: BTreeMap<i64, [u64; 2]>,
}

/// Tries per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rise {
    /// While nearly all of them succeed.
    pub(super) well: f64,
    /// While most of them fail.
    pub(super) failing: f64,
}

impl Rates {
    const MOST: usize = 64;
    /// Slots of each kind, from which their rates say something.
    const LEAST: usize = 2;

    /// One more try.
    pub(super) fn add(&mut self, time: Timestamp, failed: bool) {
        let slot = self.slots.entry(time.0.div_euclid(1_000_000_000) >> self.width).or_default();
        slot.absorb([1, u64::from(failed)]);
        self.widen();
    }

    fn widen(&mut self) {
        while self.slots.len() > Self::MOST {
            self.width_to(self.width + 1);
        }
    }

    fn width_to(&mut self, width: u32) {
        let by = width - self.width;
        self.width = width;
        for (slot, tries) in std::mem::take(&mut self.slots) {
            self.slots.entry(slot >> by).or_default().absorb(tries);
        }
    }

    /// The rates of slots with tries in them, failing and not. Slots without any count for neither, so the
    /// rise is rather too small.
    pub(super) fn rise(&self) -> Option<Rise> {
        let rate = |wanted: fn(u64, u64) -> bool| {
            let slots: Vec<u64> = self
                .slots
                .values()
                .filter(|[tries, failed]| wanted(*tries, *failed))
                .map(|[tries, _]| *tries)
                .collect();
            let seconds = slots.len() as f64 * (1u64 << self.width.min(62)) as f64;
            (slots.len() >= Self::LEAST).then(|| slots.iter().sum::<u64>() as f64 / seconds)
        };
        Some(Rise {
            well: rate(|tries, failed| failed * 20 <= tries)?,
            failing: rate(|tries, failed| failed * 2 >= tries)?,
        })
    }
}

impl Merge for Rates {
    fn absorb(&mut self, mut other: Self) {
        let width = self.width.max(other.width);
        self.width_to(width);
        other.width_to(width);
        self.slots.absorb(other.slots);
        self.widen();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    #[test]
    fn the_rates_of_good_and_bad_times_are_told_apart() {
        let at = |millis: i64| Timestamp(1_700_000_000_000_000_000) + Span::millis(millis);
        let mut rates = Rates::default();
        (0..20).for_each(|number| rates.add(at(number * 500), false));
        assert_eq!(rates.rise(), None);
        (0..100).for_each(|number| rates.add(at(10_000 + number * 100), number % 10 > 0));
        assert_eq!(rates.rise(), Some(Rise { well: 2.0, failing: 10.0 }));
    }

    #[test]
    fn neither_order_nor_cut_shows() {
        let at = |second: i64| Timestamp(second * 1_000_000_000);
        let times: Vec<i64> = (0..300).map(|number| number * number % 9_973).collect();
        let of = |times: &[i64]| {
            let mut rates = Rates::default();
            times.iter().for_each(|second| rates.add(at(*second), second % 2 == 0));
            rates
        };
        let (mut there, mut back) = (of(&times[..70]), of(&times[70..]));
        there.absorb(of(&times[70..]));
        back.absorb(of(&times[..70]));
        for rates in [&there, &back] {
            assert_eq!((rates.width, &rates.slots), (of(&times).width, &of(&times).slots));
        }
    }
}
