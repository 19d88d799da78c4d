//! How much was moved when: a few intervals of equal length over all of a capture, whose length nobody knows
//! before its end.

use crate::time::Timestamp;

/// Intervals at most. At least half of them are in use, but in the shortest captures.
const MOST: i64 = 16;
/// Length of the shortest intervals, nanoseconds: about a millisecond. Longer ones are twice as long.
const SHORTEST: i64 = 1 << 20;

/// Bytes by interval: that of number `i` stands at `i` modulo [`MOST`].
pub(super) type Course = Box<[u64; MOST as usize]>;

/// The intervals that all talkers share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intervals {
    /// Nanoseconds.
    width: i64,
    /// First and last moment so far.
    seen: Option<(i64, i64)>,
}

/// Bytes per second before and after a moment near the middle of the capture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Before it.
    pub before: f64,
    /// After it.
    pub after: f64,
}

fn slot(number: i64) -> usize {
    number.rem_euclid(MOST) as usize
}

impl Intervals {
    pub(super) fn new() -> Self {
        Self { width: SHORTEST, seen: None }
    }

    /// Takes in the times of a flow, and what is known so far when the intervals become longer for that.
    pub(super) fn reach<'c>(
        &mut self,
        first: Timestamp,
        last: Timestamp,
        known: impl FnOnce() -> Box<dyn Iterator<Item = &'c mut Course> + 'c>,
    ) {
        let (from, to) = self.seen.unwrap_or((first.0, last.0));
        let new = (from.min(first.0), to.max(last.0).max(first.0));
        let mut width = self.width;
        while new.1.div_euclid(width) - new.0.div_euclid(width) >= MOST {
            width *= 2;
        }
        if let (Some((from, to)), true) = (self.seen, width > self.width) {
            let times = width / self.width;
            for course in known() {
                let old = std::mem::take(&mut **course);
                for number in from.div_euclid(self.width)..=to.div_euclid(self.width) {
                    course[slot(number.div_euclid(times))] += old[slot(number)];
                }
            }
        }
        (self.width, self.seen) = (width, Some(new));
    }

    /// Adds bytes that were moved between two moments, in equal shares of the time.
    pub(super) fn add(&self, course: &mut Course, first: Timestamp, last: Timestamp, bytes: u64) {
        let (first, last) = (first.0, last.0.max(first.0));
        let span = i128::from(last) - i128::from(first);
        let mut done = 0;
        for number in first.div_euclid(self.width)..=last.div_euclid(self.width) {
            let end = number.saturating_add(1).saturating_mul(self.width).min(last);
            let passed = i128::from(end) - i128::from(first);
            let until = match span {
                0 => bytes,
                _ => (i128::from(bytes) * passed / span) as u64,
            };
            course[slot(number)] += until - done;
            done = until;
        }
    }

    /// The rates before and after the end of the interval that is nearest to the middle; `None` when nothing
    /// lies on one of the sides.
    pub(super) fn growth(&self, course: &Course) -> Option<Growth> {
        let (from, to) = self.seen?;
        // Wide enough for clocks that say anything.
        let [first, last, width] = [from, to, self.width].map(i128::from);
        let split = ((first + last + width) / 2).div_euclid(width);
        let at = split * width;
        if at <= first || at >= last {
            return None;
        }
        // Between two moments, so it is one.
        let split = split as i64;
        let sum =
            |numbers: std::ops::RangeInclusive<i64>| numbers.map(|number| course[slot(number)]).sum::<u64>();
        let rate = |bytes: u64, time: i128| bytes as f64 / (time as f64 / 1e9);
        let before = sum(from.div_euclid(self.width)..=split - 1);
        let after = sum(split..=to.div_euclid(self.width));
        Some(Growth { before: rate(before, at - first), after: rate(after, last - at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flows of (first, last, bytes) in milliseconds: what one talker moved.
    fn growth(flows: &[(i64, i64, u64)]) -> (u64, Option<Growth>) {
        let mut intervals = Intervals::new();
        let mut course = Course::default();
        for (first, last, bytes) in flows {
            let [first, last] = [first, last].map(|time| Timestamp(time * 1_000_000));
            intervals.reach(first, last, || Box::new(std::iter::once(&mut course)));
            intervals.add(&mut course, first, last, *bytes);
        }
        (course.iter().sum(), intervals.growth(&course))
    }

    #[test]
    fn what_moves_evenly_does_not_grow() {
        let (bytes, growth) = growth(&[(0, 100_000, 1_000_000)]);
        let Growth { before, after } = growth.expect("two sides");
        assert_eq!(bytes, 1_000_000);
        assert!((before - 10_000.0).abs() < 1.0 && (after - 10_000.0).abs() < 1.0, "{before} {after}");
    }

    #[test]
    fn what_comes_later_grows_in_whatever_order_flows_end() {
        let mut flows =
            vec![(0, 10, 0), (60_000, 60_000, 3_000), (5_000, 5_000, 1_000), (99_000, 100_000, 5_000)];
        for _ in 0..flows.len() {
            flows.rotate_left(1);
            let (bytes, growth) = growth(&flows);
            let Growth { before, after } = growth.expect("two sides");
            assert_eq!(bytes, 9_000);
            assert!((before * 2.0..before * 20.0).contains(&after), "{before} {after}");
        }
    }

    #[test]
    fn a_moment_has_no_sides() {
        assert_eq!(growth(&[(7, 7, 5)]), (5, None));
        assert_eq!(growth(&[]), (0, None));
        // Clocks that stand at an end of what can be said.
        for moment in [i64::MIN, i64::MAX] {
            let mut intervals = Intervals::new();
            let mut course = Course::default();
            intervals.reach(Timestamp(moment), Timestamp(moment), || Box::new(std::iter::empty()));
            intervals.add(&mut course, Timestamp(moment), Timestamp(moment), 5);
            assert_eq!(intervals.growth(&course), None);
            intervals.reach(Timestamp(0), Timestamp(0), || Box::new(std::iter::once(&mut course)));
            assert!(intervals.growth(&course).is_some());
            let other = Timestamp(if moment < 0 { i64::MAX } else { i64::MIN });
            intervals.reach(other, other, || Box::new(std::iter::once(&mut course)));
            assert!(intervals.growth(&course).is_some() && course.iter().sum::<u64>() == 5);
        }
    }

    proptest::proptest! {
        /// No byte is lost or counted twice, wherever the times are.
        #[test]
        fn bytes_stay(
            flows in proptest::collection::vec(
                (-1_000_000_000_000_i64..1_000_000_000_000, 0..1_000_000_i64, 0..1_u64 << 40),
                1..20,
            ),
        ) {
            let flows = flows.into_iter().map(|(from, lasts, bytes)| (from, from + lasts, bytes));
            let flows: Vec<_> = flows.collect();
            let (bytes, _) = growth(&flows);
            proptest::prop_assert_eq!(bytes, flows.iter().map(|flow| flow.2).sum::<u64>());
        }
    }
}
