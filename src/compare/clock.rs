//! The clocks of two points against each other, from the packets that both recorded.
//!
//! A packet from A to B is recorded at B its delay later: by the clocks, that is the offset plus a delay. One
//! from B to A is, at B, the offset minus a delay. So the offset lies, at any time, below every difference of
//! the first and above every difference of the second. The line that keeps the greatest distance from both is
//! the estimate, and where the two are is its error: half of the least round trip between the points, when
//! that stays the same. No delay is negative, so this holds for any drift, and needs no clock that is right.

use serde::Serialize;

use crate::time::{Span, Timestamp};

/// Steepest drift looked for: 1000 ppm is a broken clock.
const STEEPEST: f64 = 2e-3;

/// How sure the offset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Packets of both directions hold it from both sides.
    BothDirections,
    /// Packets of one direction only: offset and least delay cannot be told apart.
    OneDirection,
    /// The directions contradict one another: a clock was set in between, or nothing is between the points.
    Contradictory,
    /// No direction is known.
    Unknown,
}

/// The clock of B, by the clock of A.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Clock {
    /// How sure it is.
    pub basis: Basis,
    /// The time by A at which B is `offset` ahead.
    pub at: Timestamp,
    /// B is ahead by so much, seconds.
    pub offset: Span,
    /// The offset is off by so much at most, seconds; `None` where nothing bounds it.
    pub error: Option<Span>,
    /// B gains so much: microseconds per second, parts per million.
    pub drift_ppm: f64,
    /// Least and most drift that the packets allow, parts per million.
    pub drift_between_ppm: Option<(f64, f64)>,
    /// Least round trip between the points that the packets show, seconds.
    pub round_trip: Option<Span>,
}

/// A packet that both recorded: when by A, and how much later by B.
pub(super) type Difference = (Timestamp, Span);

impl Clock {
    /// From the differences of packets from A to B, from B to A, and of those whose direction is not known.
    pub(super) fn fit(forth: &[Difference], back: &[Difference], untold: &[Difference]) -> Option<Self> {
        let all = || forth.iter().chain(back).chain(untold);
        let origin = all().map(|(time, _)| *time).min()?;
        let end = all().map(|(time, _)| *time).max()?;
        let zero = all().next()?.1;
        let place = |(time, difference): &Difference| {
            ((*time - origin).as_secs_f64(), (difference.0.saturating_sub(zero.0)) as f64 / 1e9)
        };
        let over: Vec<(f64, f64)> = edge(forth.iter().map(place).collect(), 1.0);
        let under: Vec<(f64, f64)> = edge(back.iter().map(place).collect(), -1.0);
        // The offset is wanted where it matters least how steep the drift is: in the middle.
        let middle = (end - origin).as_secs_f64() / 2.0;
        let clock =
            |basis, slope: f64, base: f64, error: Option<f64>, between, round_trip: Option<f64>| Self {
                basis,
                at: origin + Span::from_secs_f64(middle),
                offset: zero + Span::from_secs_f64(base + slope * middle),
                error: error.map(Span::from_secs_f64),
                drift_ppm: slope * 1e6,
                drift_between_ppm: between,
                round_trip: round_trip.map(Span::from_secs_f64),
            };
        if over.is_empty() || under.is_empty() {
            let (hull, sign, basis) = match (over.is_empty(), under.is_empty()) {
                (false, true) => (over, 1.0, Basis::OneDirection),
                (true, false) => (under, -1.0, Basis::OneDirection),
                _ => (edge(untold.iter().map(place).collect(), 1.0), 1.0, Basis::Unknown),
            };
            let (slope, base) = spanning(&hull, sign, middle);
            return Some(clock(basis, slope, base, None, None, None));
        }
        let least = |slope: f64| over.iter().map(|(x, y)| y - slope * x).fold(f64::INFINITY, f64::min);
        let most = |slope: f64| under.iter().map(|(x, y)| y - slope * x).fold(f64::NEG_INFINITY, f64::max);
        let margin = |slope: f64| (least(slope) - most(slope)) / 2.0;
        let mut slope = highest(margin);
        // No drift unless the packets ask for one.
        if margin(0.0) >= 0.95 * margin(slope) {
            slope = 0.0;
        }
        let base = (least(slope) + most(slope)) / 2.0;
        let (gap, at) = (margin(slope), base + slope * middle);
        if gap < 0.0 {
            return Some(clock(Basis::Contradictory, slope, base, Some(-gap), None, None));
        }
        let error = (height(&over, 1.0, middle) - at).max(at - height(&under, -1.0, middle)).max(gap);
        let bound = |far: f64| border(margin, slope, far) * 1e6;
        let between = Some((bound(-STEEPEST), bound(STEEPEST)));
        Some(clock(Basis::BothDirections, slope, base, Some(error), between, Some(2.0 * gap)))
    }

    /// A time of B by the clock of A.
    pub(super) fn by_a(&self, time: Timestamp) -> Timestamp {
        let since = (time - self.offset) - self.at;
        let drift = self.drift_ppm * 1e-6;
        // Drift times the time since, apart: a float does not hold nanoseconds of many days.
        time - self.offset - Span((since.0 as f64 * (drift / (1.0 + drift))) as i64)
    }

    /// What the offset may be off by, zero where nothing says.
    pub(super) fn slack(&self) -> Span {
        self.error.unwrap_or(Span::ZERO)
    }
}

/// The points below (`sign` 1) or above (-1) which no other lies: their convex hull on that side.
fn edge(mut points: Vec<(f64, f64)>, sign: f64) -> Vec<(f64, f64)> {
    points.sort_by(|one, other| one.0.total_cmp(&other.0).then((sign * one.1).total_cmp(&(sign * other.1))));
    points.dedup_by(|later, earlier| later.0 == earlier.0);
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for point in points {
        while let [.., one, two] = hull[..] {
            let turn = (two.0 - one.0) * (point.1 - one.1) - (two.1 - one.1) * (point.0 - one.0);
            if sign * turn > 0.0 {
                break;
            }
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// How high the hull is over `x`; beyond its ends, how high it may be.
fn height(hull: &[(f64, f64)], sign: f64, x: f64) -> f64 {
    let edge = hull.windows(2).find(|edge| matches!(edge, [from, to] if from.0 <= x && x <= to.0));
    if let Some([from, to]) = edge {
        return from.1 + (to.1 - from.1) * (x - from.0) / (to.0 - from.0);
    }
    let beyond = |(at, height): &(f64, f64)| height + sign * STEEPEST * (x - at).abs();
    let nearest = hull.iter().min_by(|one, other| (one.0 - x).abs().total_cmp(&(other.0 - x).abs()));
    nearest.map_or(0.0, beyond)
}

/// Slope and height at 0 of the hull's edge over `middle`.
fn spanning(hull: &[(f64, f64)], sign: f64, middle: f64) -> (f64, f64) {
    let slope = match hull.windows(2).find(|edge| matches!(edge, [_, end] if end.0 >= middle)) {
        // Over a short time queueing looks like drift.
        Some([start, end]) if end.0 - start.0 >= 1.0 => (end.1 - start.1) / (end.0 - start.0),
        _ => 0.0,
    };
    let slope = slope.clamp(-STEEPEST, STEEPEST);
    let nearest = hull.iter().map(|(x, y)| sign * (y - slope * x)).fold(f64::INFINITY, f64::min);
    (slope, if nearest.is_finite() { sign * nearest } else { 0.0 })
}

/// Where a concave function of the slope is highest.
fn highest(margin: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (-STEEPEST, STEEPEST);
    for _ in 0..200 {
        let third = (high - low) / 3.0;
        match margin(low + third) < margin(high - third) {
            true => low += third,
            false => high -= third,
        }
    }
    (low + high) / 2.0
}

/// The slope towards `far` at which no line fits any more.
fn border(margin: impl Fn(f64) -> f64, from: f64, far: f64) -> f64 {
    let (mut fits, mut not) = (from, far);
    if margin(far) >= 0.0 {
        return far;
    }
    for _ in 0..100 {
        let half = (fits + not) / 2.0;
        match margin(half) >= 0.0 {
            true => fits = half,
            false => not = half,
        }
    }
    fits
}
