//! How long packets took from one point to the other.

use serde::Serialize;

use crate::flow::Times;
use crate::time::{Span, Timestamp};

/// Intervals of a course.
const INTERVALS: i64 = 60;

/// How long packets took one way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Delay {
    /// The clocks are known well enough for the delay itself. Otherwise it is what a packet took longer than
    /// the fastest.
    pub is_absolute: bool,
    /// Least, seconds.
    pub least: Span,
    /// Half of them took at most so long, within 3.2 %, seconds.
    pub median: Span,
    /// 95 % of them took at most so long, seconds.
    pub p95: Span,
    /// Most, seconds.
    pub most: Span,
}

/// One interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// When it begins, by the clock of A.
    pub from: Timestamp,
    /// Packets that were sent in it and arrived.
    pub arrived: u64,
    /// Packets that did not.
    pub lost: u64,
    /// Least delay in it, seconds.
    pub least: Option<Span>,
    /// Most.
    pub most: Option<Span>,
}

/// Delays while they come in.
#[derive(Debug)]
pub(super) struct Delays {
    times: Times,
    least: Span,
    most: Span,
    begins: Timestamp,
    width: i64,
    intervals: Vec<Interval>,
}

impl Delays {
    /// Of packets that are sent between two moments.
    pub(super) fn new((begins, ends): (Timestamp, Timestamp)) -> Self {
        let width = ((ends - begins).0 / INTERVALS).max(1_000_000);
        let from = |place: i64| begins + Span(width.saturating_mul(place));
        let empty = |place| Interval { from: from(place), arrived: 0, lost: 0, least: None, most: None };
        let count = if ends < begins { 0 } else { ((ends - begins).0 / width + 1).min(INTERVALS + 1) };
        Self {
            times: Times::default(),
            least: Span(i64::MAX),
            most: Span(i64::MIN),
            begins,
            width,
            intervals: (0..count).map(empty).collect(),
        }
    }

    fn interval(&mut self, at: Timestamp) -> Option<&mut Interval> {
        let place = usize::try_from((at - self.begins).0 / self.width).ok()?;
        self.intervals.get_mut(place)
    }

    pub(super) fn add(&mut self, at: Timestamp, delay: Span) {
        self.times.add(delay.max(Span::ZERO));
        self.least = self.least.min(delay);
        self.most = self.most.max(delay);
        if let Some(interval) = self.interval(at) {
            interval.arrived += 1;
            interval.least = Some(interval.least.map_or(delay, |least| least.min(delay)));
            interval.most = Some(interval.most.map_or(delay, |most| most.max(delay)));
        }
    }

    pub(super) fn lose(&mut self, at: Timestamp) {
        if let Some(interval) = self.interval(at) {
            interval.lost += 1;
        }
    }

    pub(super) fn finish(self, is_absolute: bool) -> (Option<Delay>, Vec<Interval>) {
        let spread = self.times.spread();
        let (least, most) = (self.least, self.most);
        let delay = spread.map(|spread| {
            // Within the width of a slot.
            let within = |span: Span| span.max(least).min(most);
            Delay { is_absolute, least, median: within(spread.median), p95: within(spread.p95), most }
        });
        (delay, self.intervals.into_iter().filter(|one| one.arrived + one.lost > 0).collect())
    }
}
