//! The moment from which something was otherwise, and how sure that is.
//!
//! A course is cut in two at every interval, and the cut that is least likely to be chance is the change.
//! How likely is told by Fisher's exact test (R. A. Fisher, The Design of Experiments, 1935, section 11): if
//! nothing had changed, how often would so many of the failures fall behind the cut? Times are tested by how
//! many are above the median of all (A. M. Mood, 1950), which takes no shape of their distribution for
//! granted. Every cut is one more chance to be wrong, so the bound is divided by their number (Bonferroni).

use serde::Serialize;
use statrs::function::factorial::ln_binomial;

use crate::correlate::board::Board;
use crate::correlate::contrast::{Affected, Cleared, Cost};
use crate::correlate::interval::{Interval, Rough};
use crate::correlate::place::Layer;
use crate::correlate::scoreboard::{Tally, sum};
use crate::detect::Merge;
use crate::humanize::{grouped, percent, plural, share};
use crate::time::{Span, Timestamp};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The share of attempts that failed.
    Failures,
    /// The time to the first byte of an answer.
    Response,
    /// The round trip of handshakes.
    RoundTrip,
}

/// What was measured on one side of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Level {
    /// Attempts, answers or round trips.
    pub of: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Median of the times, within 6 %, seconds; `None` of failures.
    pub median: Option<Span>,
}

/// The moment from which something was worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changed.
    pub what: Measure,
    /// Beginning of the first interval in which it was worse.
    pub at: Timestamp,
    /// Beginning of the first interval in which it was better again.
    pub until: Option<Timestamp>,
    /// Width of the intervals: so far off can both times be, seconds.
    pub interval: Span,
    /// What it was before.
    pub before: Level,
    /// What it was from then on, as long as it lasted.
    pub after: Level,
    /// In words, with its numbers.
    pub text: String,
}

/// How often a change may be chance: once in a thousand courses.
const CHANCE: f64 = 0.001;
/// Attempts on each side from which they say something.
const ENOUGH: u64 = 5;
/// What the share of failures grows by at least: what contrasts ask for.
const MORE: f64 = 0.2;
/// What the median of times grows to at least: far more than they are off by.
const LONGER: f64 = 1.5;

impl Affected {
    /// Since when its services are worse; `None` when they always were as they are, or when there is too
    /// little to tell.
    pub(super) fn change(&self, board: &Board) -> Option<Change> {
        let measures: &[Measure] = match (self.cost, self.layer) {
            (Cost::Failures, _) => &[Measure::Failures],
            (Cost::Delay, Layer::Network) => &[Measure::RoundTrip, Measure::Response],
            (Cost::Delay, _) => &[Measure::Response, Measure::RoundTrip],
            (Cost::Loss | Cost::Pings | Cost::Other, _) => return None,
        };
        let slots = board.course(|key| self.has(key));
        let intervals: Vec<(Timestamp, &Interval)> = slots.iter().collect();
        measures.iter().find_map(|measure| self.of_measure(*measure, &intervals, slots.width()))
    }

    /// Since its round trips are longer, answers begin later by no more than that: the server takes what it
    /// took before.
    pub(super) fn server(&self, board: &Board) -> Option<Cleared> {
        let slots = board.course(|key| self.has(key));
        let intervals: Vec<(Timestamp, &Interval)> = slots.iter().collect();
        let of = |measure| self.of_measure(measure, &intervals, slots.width());
        let (trip, answer) = (of(Measure::RoundTrip)?, of(Measure::Response)?);
        let (old, new) = (answer.before.median?, answer.after.median?);
        let (near, far) = (trip.before.median?, trip.after.median?);
        let (added, path) = (new - old, far - near);
        // Times are within 6 %, so a tenth of the longest of them is no difference.
        let same = (added - path).abs().0 <= new.0 / 10;
        let parts = percent(path.0.min(added.0).max(0).unsigned_abs(), added.0.max(1).unsigned_abs());
        let text =
            format!("answers begin {added} later, {parts} of it the round trip: the server takes no longer");
        (same && added > Span::ZERO).then_some(Cleared { what: "server", text })
    }

    fn of_measure(
        &self,
        what: Measure,
        intervals: &[(Timestamp, &Interval)],
        interval: Span,
    ) -> Option<Change> {
        let (worse, before, after) = match what {
            Measure::Failures => {
                let tallies: Vec<Tally> = intervals.iter().map(|(_, at)| at.of(self.kind)).collect();
                let worse = worse(&tallies)?;
                let [before, after] = worse.sides(&tallies).map(|side| sum(side.iter().copied()));
                let more = share(after.failed, after.of) >= share(before.failed, before.of) + MORE;
                let level = |tally: Tally| Level { of: tally.of, failed: tally.failed, median: None };
                more.then_some((worse, level(before), level(after)))?
            }
            Measure::Response => times(intervals, Interval::response)?,
            Measure::RoundTrip => times(intervals, Interval::round_trip)?,
        };
        let begin = |place: usize| intervals.get(place).map(|(begin, _)| *begin);
        let (at, until) = (begin(worse.from)?, worse.until.and_then(begin));
        let noun = self.kind.noun();
        let text = words(what, noun, at, until, interval, before, after);
        Some(Change { what, at, until, interval, before, after, text })
    }
}

/// The change in times of this kind, and the times around it.
fn times(
    intervals: &[(Timestamp, &Interval)],
    of: impl Fn(&Interval) -> Option<&Rough>,
) -> Option<(Worse, Level, Level)> {
    let own: Vec<Option<&Rough>> = intervals.iter().map(|(_, interval)| of(interval)).collect();
    let median = joined(&own).quantile(0.5)?;
    // The median's own slot can hold nearly all: so once it counts as above, and once it does not.
    let bounds = [median, Span(median.0.saturating_mul(7) / 8)];
    let tallies = |bound: Span| -> Vec<Tally> {
        let tally = |times: &&Rough| Tally { of: times.count(), failed: times.above(bound) };
        own.iter().map(|times| times.as_ref().map(tally).unwrap_or_default()).collect()
    };
    let worse = bounds.into_iter().filter_map(|bound| worse(&tallies(bound)));
    let worse = worse.min_by(|one, other| one.chance.total_cmp(&other.chance))?;
    let [before, after] = worse.sides(&own).map(joined);
    let level = |times: &Rough| Level { of: times.count(), failed: 0, median: times.quantile(0.5) };
    let (before, after) = (level(&before), level(&after));
    let longer = after.median?.0 as f64 >= before.median?.0 as f64 * LONGER;
    longer.then_some((worse, before, after))
}

fn joined(times: &[Option<&Rough>]) -> Rough {
    times.iter().flatten().fold(Rough::default(), |mut all, one| {
        all.absorb((*one).clone());
        all
    })
}

/// Where a course is worse.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Worse {
    /// Place of its first interval.
    from: usize,
    /// Place of the first interval behind it, when it ended.
    until: Option<usize>,
    /// Logarithm of how likely it is chance.
    chance: f64,
}

impl Worse {
    /// What was before, and what was while it lasted.
    fn sides<'c, T>(&self, course: &'c [T]) -> [&'c [T]; 2] {
        let (before, rest) = course.split_at(self.from.min(course.len()));
        let lasted = self.until.map_or(rest.len(), |until| until.saturating_sub(self.from));
        [before, rest.get(..lasted).unwrap_or(rest)]
    }
}

/// The interval from which on most is worse, and the one from which it is better again.
fn worse(course: &[Tally]) -> Option<Worse> {
    let (from, chance) = cut(course, |before, after| (before, after))?;
    let rest = course.get(from..).unwrap_or_default();
    let until = cut(rest, |before, after| (after, before)).map(|(at, _)| from + at);
    Some(Worse { from, until, chance })
}

/// The cut that is least likely to be chance; `sides` says which of the two sides is the better one.
fn cut(course: &[Tally], sides: impl Fn(Tally, Tally) -> (Tally, Tally)) -> Option<(usize, f64)> {
    let all = sum(course.iter().copied());
    let mut before = Tally::default();
    let mut best: Option<(usize, f64)> = None;
    for (place, tally) in (1..).zip(course.iter().take(course.len().saturating_sub(1))) {
        before.absorb(*tally);
        let after = Tally { of: all.of - before.of, failed: all.failed - before.failed };
        let (well, bad) = sides(before, after);
        let chance = chance(well, bad);
        if chance.is_some_and(|chance| best.is_none_or(|(_, least)| chance < least)) {
            best = chance.map(|chance| (place, chance));
        }
    }
    let cuts = course.len().saturating_sub(1).max(1) as f64;
    best.filter(|(_, chance)| *chance < (CHANCE / cuts).ln())
}

/// Logarithm of the probability that so many failures or more are in `bad`, if they fell by chance: the upper
/// tail of the hypergeometric distribution. A logarithm, because the chances that are compared here may be
/// smaller than any number. `None` where there is too little, or where `bad` is no worse.
fn chance(well: Tally, bad: Tally) -> Option<f64> {
    if well.of < ENOUGH || bad.of < ENOUGH || share(bad.failed, bad.of) <= share(well.failed, well.of) {
        return None;
    }
    let failed = well.failed + bad.failed;
    let sound = well.well() + bad.well();
    let exactly = ln_binomial(failed, bad.failed) + ln_binomial(sound, bad.well())
        - ln_binomial(well.of + bad.of, bad.of);
    // Each further term is smaller than the one before it, because `bad` is above the mean already.
    let (mut term, mut tail) = (1.0, 1.0);
    for more in bad.failed..failed.min(bad.of) {
        let (up, down) = ((failed - more) as f64 * (bad.of - more) as f64, (more + 1) as f64);
        let left = (sound + more + 1).saturating_sub(bad.of);
        term *= up / (down * left as f64);
        tail += term;
        if term < tail * 1e-12 {
            break;
        }
    }
    Some(exactly + tail.ln())
}

/// `until 14:09:50 UTC 1 of 120 connections failed, then 36 of 40`.
fn words(
    what: Measure,
    noun: &str,
    at: Timestamp,
    until: Option<Timestamp>,
    interval: Span,
    before: Level,
    after: Level,
) -> String {
    let clock = |time: Timestamp| {
        let digits = if interval < Span::secs(1) { 11..22 } else { 11..19 };
        time.rfc3339().get(digits).unwrap_or_default().to_owned()
    };
    let ended = until.map(|until| format!(", until {}", clock(until))).unwrap_or_default();
    let times = |what: &str, then: &str| {
        let [old, new] = [before, after].map(|level| level.median.unwrap_or_default());
        let (count, more) = (grouped(before.of), grouped(after.of));
        format!("{what} {old} (median of {count}), then {then}{new} (of {more})")
    };
    let text = match what {
        Measure::Failures => {
            let (bad, of) = (grouped(before.failed), plural(before.of, noun));
            format!("{bad} of {of} failed, then {} of {}", grouped(after.failed), grouped(after.of))
        }
        Measure::Response => times("answers began after", "after "),
        Measure::RoundTrip => times("a round trip took", ""),
    };
    format!("until {} UTC {text}{ended}", clock(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(tallies: &[(u64, u64)]) -> Vec<Tally> {
        tallies.iter().map(|(failed, of)| Tally { of: *of, failed: *failed }).collect()
    }

    fn found(tallies: &[(u64, u64)]) -> Option<(usize, Option<usize>)> {
        worse(&course(tallies)).map(|worse| (worse.from, worse.until))
    }

    #[test]
    fn the_chance_is_that_of_fishers_exact_test() {
        // 9 of 10 against 2 of 10: (C(10,9) C(10,2) + C(10,10) C(10,1)) / C(20,11).
        let of = |failed| Tally { of: 10, failed };
        let exact = (10.0 * 45.0 + 10.0) / 167_960.0;
        let found = chance(of(2), of(9)).expect("enough").exp();
        assert!((found - exact).abs() < 1e-12, "{found} is not {exact}");
        assert_eq!(chance(of(9), of(2)), None);
        // Everything before, nothing behind: one way of all.
        let sure = chance(Tally { of: 5_000, failed: 0 }, Tally { of: 5_000, failed: 5_000 });
        let ways = ln_binomial(10_000, 5_000);
        assert!((sure.expect("enough") + ways).abs() < 1e-6, "{sure:?} is not -{ways}");
    }

    #[test]
    fn a_change_is_found_where_it_is() {
        assert_eq!(found(&[(0, 10), (0, 10), (1, 10), (9, 10), (10, 10)]), Some((3, None)));
        assert_eq!(
            found(&[(0, 20), (0, 20), (18, 20), (20, 20), (0, 20), (0, 20), (1, 20)]),
            Some((2, Some(4)))
        );
    }

    #[test]
    fn few_attempts_and_steady_failures_are_no_change() {
        assert_eq!(found(&[(0, 3), (0, 2), (3, 3)]), None, "few");
        assert_eq!(found(&[(0, 5), (5, 5)]), None, "one in 252");
        assert_eq!(found(&[(0, 8), (8, 8)]), Some((1, None)), "one in 12 870");
        assert_eq!(found(&[(5, 10), (4, 10), (6, 10), (5, 10), (7, 10)]), None, "steady");
        assert_eq!(found(&[(10, 10), (10, 10), (0, 10)]), None, "better");
        assert_eq!(found(&[(9, 9)]), None, "one interval");
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn chance_alone_changes_nothing() {
        // A share of 30 %, thrown by a fixed generator a thousand times: about one false change is allowed.
        let mut state = 1u64;
        let mut thrown = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 10 < 3
        };
        let changes = (0..1_000).filter(|_| {
            let course: Vec<Tally> = (0..40)
                .map(|_| Tally { of: 10, failed: (0..10).filter(|_| thrown()).count() as u64 })
                .collect();
            worse(&course).is_some()
        });
        assert!(changes.count() <= 3);
    }

    #[test]
    fn times_change_by_their_median() {
        let interval = |millis: &[i64]| {
            let mut interval = Interval::default();
            millis.iter().for_each(|time| interval.answered(Span::millis(*time)));
            interval
        };
        let (quick, slow) = (interval(&[2; 12]), interval(&[80; 12]));
        let course = |intervals: &[&Interval]| {
            let intervals: Vec<_> =
                (0i64..).map(|s| Timestamp(s * 1_000_000_000)).zip(intervals.iter().copied()).collect();
            times(&intervals, Interval::response)
                .map(|(worse, before, after)| (worse.from, before.of, after.median))
        };
        for (few, from, before) in
            [(vec![&quick, &quick, &quick, &slow], 3, 36), (vec![&quick, &slow, &slow, &slow], 1, 12)]
        {
            let (at, of, median) = course(&few).expect("a change");
            assert_eq!((at, of), (from, before));
            assert!((median.expect("a median").as_secs_f64() - 0.08).abs() < 0.005, "{median:?}");
        }
        let slower = interval(&[3, 3, 2, 2, 2, 3, 2, 2, 3, 2, 2, 3]);
        assert_eq!(course(&[&quick, &quick, &slower, &slower]), None, "hardly longer");
        assert_eq!(course(&[&slow, &slow, &quick, &quick]), None, "quicker");
    }
}
