//! How long things took, in classes that add up: quantiles from any partition, in any order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::Merge;
use crate::time::Span;

/// Times by class. Eight classes lie between a time and its double, so that a class is at most 12.5 % wide;
/// there are at most 512.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Waits(BTreeMap<u32, u64>);

/// Times below are exact.
const EXACT: u64 = 8;

fn class(micros: u64) -> u32 {
    let octave = micros.max(EXACT).ilog2() - EXACT.ilog2();
    octave * 8 + (micros >> octave) as u32
}

fn lowest(class: u32) -> u64 {
    let octave = (class / 8).saturating_sub(1);
    u64::from(class - octave * 8) << octave
}

impl Waits {
    /// Takes a time; one below zero is none.
    pub(super) fn add(&mut self, wait: Span) {
        let micros = u64::try_from(wait.0 / 1_000).unwrap_or(0);
        *self.0.entry(class(micros)).or_default() += 1;
    }

    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// At least this share of them took at least so long; the lower end of the class.
    pub(super) fn upper(&self, share: f64) -> Span {
        let wanted = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut longer = 0;
        for (class, count) in self.0.iter().rev() {
            longer += count;
            if longer >= wanted {
                return Span::micros(lowest(*class) as i64);
            }
        }
        Span::ZERO
    }

    /// How many took at least so long; those of the class it falls into count.
    pub(super) fn at_least(&self, wait: Span) -> u64 {
        let micros = u64::try_from(wait.0 / 1_000).unwrap_or(0);
        self.0.range(class(micros)..).map(|(_, count)| count).sum()
    }
}

impl Merge for Waits {
    fn absorb(&mut self, other: Self) {
        self.0.absorb(other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_of_the_upper_part() {
        let mut waits = Waits::default();
        (1..=100).for_each(|millis| waits.add(Span::millis(millis)));
        let near = |share, millis: i64| {
            let (found, exact) = (waits.upper(share), Span::millis(millis));
            assert!(found <= exact && found.0 * 9 >= exact.0 * 8, "{found} for {exact}");
        };
        near(0.5, 51);
        near(0.05, 96);
        assert_eq!(waits.at_least(Span::secs(1)), 0);
    }

    proptest! {
        #[test]
        fn a_class_begins_at_most_an_eighth_below(micros in 0u64..u64::MAX >> 1) {
            let begin = lowest(class(micros));
            prop_assert!(begin <= micros && u128::from(begin) * 9 >= u128::from(micros) * 8);
            prop_assert_eq!(class(begin), class(micros));
        }
    }
}
