//! Whether a difference is more than chance: exact for shares, by ranks for lengths of time.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::stats_tests::Alternative;
use statrs::stats_tests::fisher::fishers_exact;

use crate::correlate::Tally;
use crate::flow::Times;

/// Attempts of both sides up to which the exact test is made; beyond, the normal distribution is as good.
const EXACT: u64 = 10_000;

/// The probability of a share of failures at least as much higher than `before` by chance alone: Fisher's
/// exact test, one-sided; of more than [`EXACT`] attempts the test of two proportions with pooled variance.
/// `None` when a side has nothing.
pub(super) fn higher_share(before: Tally, after: Tally) -> Option<f64> {
    if before.of == 0 || after.of == 0 {
        return None;
    }
    if before.of.saturating_add(after.of) <= EXACT {
        let table = [after.failed, before.failed, after.well(), before.well()];
        return fishers_exact(&table, Alternative::Greater).ok();
    }
    let [failed_before, of_before, failed_after, of_after] =
        [before.failed, before.of, after.failed, after.of].map(|count| count as f64);
    let pooled = (failed_before + failed_after) / (of_before + of_after);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / of_before + 1.0 / of_after)).sqrt();
    beyond((failed_after / of_after - failed_before / of_before) / deviation)
}

/// The probability of lengths at least as much longer than `before` by chance alone: the rank-sum test of
/// Mann and Whitney (1947), one-sided, by the normal approximation with correction for ties. `None` with
/// fewer than [`LEAST`] on a side.
pub(super) fn longer(before: &Times, after: &Times) -> Option<f64> {
    if before.count() < LEAST || after.count() < LEAST {
        return None;
    }
    let mut slots: Vec<(u16, f64, f64)> = Vec::new();
    let counts = before.slots().map(|(slot, _, count)| (slot, count, 0));
    for (slot, earlier, later) in counts.chain(after.slots().map(|(slot, _, count)| (slot, 0, count))) {
        slots.push((slot, f64::from(earlier), f64::from(later)));
    }
    slots.sort_by_key(|(slot, ..)| *slot);
    let (of_before, of_after) = (before.count() as f64, after.count() as f64);
    let all = of_before + of_after;
    let (mut below, mut wins, mut ties) = (0.0, 0.0, 0.0);
    for equal in slots.chunk_by(|one, other| one.0 == other.0) {
        let earlier: f64 = equal.iter().map(|(_, earlier, _)| earlier).sum();
        let later: f64 = equal.iter().map(|(.., later)| later).sum();
        wins += later * (below + earlier / 2.0);
        below += earlier;
        let tied = earlier + later;
        ties += tied * tied * tied - tied;
    }
    let variance = of_before * of_after / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    // Half a rank for continuity.
    beyond((wins - of_before * of_after / 2.0 - 0.5) / variance.sqrt())
}

/// Lengths on each side from which the normal approximation of the rank sum holds.
pub(super) const LEAST: u64 = 8;

/// The part of the standard normal distribution above `deviations`; `None` of no number.
fn beyond(deviations: f64) -> Option<f64> {
    (!deviations.is_nan()).then(|| Normal::standard().sf(deviations))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    fn tally(failed: u64, of: u64) -> Tally {
        Tally { of, failed }
    }

    /// Values of R: `fisher.test(matrix(c(...), 2), alternative = "greater")`.
    #[test]
    fn few_attempts_prove_little() {
        let p = |before, after| higher_share(before, after).expect("a probability");
        assert!((p(tally(0, 3), tally(6, 6)) - 1.0 / 84.0).abs() < 1e-9);
        assert!((p(tally(1, 10), tally(8, 10)) - 0.002_738_7).abs() < 1e-6);
        assert!(p(tally(5, 10), tally(1, 10)) > 0.98);
        assert_eq!(higher_share(tally(0, 0), tally(6, 6)), None);
    }

    #[test]
    fn many_attempts_are_tested_as_well_as_few() {
        let exact = higher_share(tally(50, 5_000), tally(80, 5_000)).expect("a probability");
        let normal = higher_share(tally(51, 5_100), tally(82, 5_100)).expect("a probability");
        assert!(exact < 0.01 && normal < 0.01 && (exact / normal - 1.0).abs() < 0.7, "{exact} {normal}");
        assert!(higher_share(tally(0, 20_000), tally(0, 20_000)).is_none_or(|p| p > 0.4));
    }

    #[test]
    fn longer_times_are_told_from_equal_ones() {
        let times = |millis: std::ops::Range<i64>| {
            let mut times = Times::default();
            millis.for_each(|millis| times.add(Span::millis(millis)));
            times
        };
        assert!(longer(&times(10..30), &times(40..60)).expect("enough") < 1e-6);
        let same = longer(&times(10..30), &times(10..30)).expect("enough");
        assert!((0.4..0.6).contains(&same), "{same}");
        assert!(longer(&times(40..60), &times(10..30)).expect("enough") > 0.999);
        assert_eq!(longer(&times(10..13), &times(40..60)), None);
    }
}
