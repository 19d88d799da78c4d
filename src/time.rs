//! Packet time: nanoseconds since the Unix epoch, and differences between two such times.
//!
//! Time only ever comes from packets. Nothing in the analysis reads the machine's clock, so the same
//! capture gives the same answer whenever and wherever it is analysed.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in nanoseconds since 1970-01-01T00:00:00 UTC. Saturates at the ends of its range
/// (the years 1677 and 2262), which a damaged file can ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A length of time in nanoseconds; negative when the capture's clock went backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Timestamp {
    /// Earlier than every packet.
    pub const MIN: Self = Self(i64::MIN);
    /// Later than every packet.
    pub const MAX: Self = Self(i64::MAX);

    /// Reads RFC 3339, also with a blank in place of the `T`.
    pub fn parse(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(time.as_nanosecond()).ok().map(Self)
    }

    /// RFC 3339 in UTC with nine decimals, e.g. `2026-02-22T10:02:11.000123456Z`.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => format!("{time:.9}"),
            Err(_) => format!("{}ns", self.0),
        }
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of whole microseconds.
    pub const fn micros(count: i64) -> Self {
        Self(count.saturating_mul(1_000))
    }

    /// A span of whole milliseconds.
    pub const fn millis(count: i64) -> Self {
        Self(count.saturating_mul(1_000_000))
    }

    /// A span of whole seconds.
    pub const fn secs(count: i64) -> Self {
        Self(count.saturating_mul(1_000_000_000))
    }

    /// A span from seconds with a fraction, as settings give it; saturates.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1e9) as i64)
    }

    /// So many times as long, as a fraction, e.g. 3 and 2 for half as long again; saturates.
    pub fn scaled(self, numerator: i64, denominator: i64) -> Self {
        let whole = i128::from(self.0) * i128::from(numerator) / i128::from(denominator.max(1));
        Self(whole.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    /// How far apart two moments are, whichever came first; saturates.
    pub fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// The span in seconds, for output only: sums stay in integers.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Three significant digits in the unit a person would choose: `0.4 ms`, `12.3 s`, `870 ns`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0 as f64;
        let (value, unit) = match self.0.unsigned_abs() {
            0..1_000 => (nanos, "ns"),
            1_000..100_000 => (nanos / 1e3, "us"),
            100_000..1_000_000_000 => (nanos / 1e6, "ms"),
            _ => (nanos / 1e9, "s"),
        };
        match value.abs() {
            v if v >= 100.0 || unit == "ns" => write!(f, "{value:.0} {unit}"),
            v if v >= 10.0 => write!(f, "{value:.1} {unit}"),
            _ => write!(f, "{value:.2} {unit}"),
        }
    }
}

/// For people RFC 3339, between stages nanoseconds.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.serialize_str(&self.rfc3339()),
            false => serializer.serialize_i64(self.0),
        }
    }
}

/// For people seconds with a fraction, between stages nanoseconds.
impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.serialize_f64(self.as_secs_f64()),
            false => serializer.serialize_i64(self.0),
        }
    }
}

/// From between stages; what is written for people is not read again.
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self)
    }
}

/// From between stages; what is written for people is not read again.
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc3339_with_nanoseconds() {
        assert_eq!(Timestamp(1_000_000_001).rfc3339(), "1970-01-01T00:00:01.000000001Z");
        assert!(!Timestamp::MAX.rfc3339().is_empty());
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::MAX + Span::secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Timestamp::MAX, Span(i64::MIN));
    }

    #[test]
    fn spans_print_in_the_unit_a_person_would_choose() {
        assert_eq!(Span::micros(412).to_string(), "0.41 ms");
        assert_eq!(Span::secs(60).to_string(), "60.0 s");
        assert_eq!(Span(870).to_string(), "870 ns");
    }
}
