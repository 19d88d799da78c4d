//! TCP sequence numbers.

use serde::{Deserialize, Serialize};

/// A TCP sequence number: arithmetic modulo 2^32 (RFC 9293 section 3.4). Deliberately not `Ord`: the order is
/// not transitive, and of two numbers that are exactly 2^31 apart neither comes before the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seq(pub u32);

impl Seq {
    /// Signed distance from `other` to `self`, positive when `self` is later. `i32::MIN`, which is its own
    /// opposite, for numbers 2^31 apart.
    pub fn since(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }
    /// Octets between the two, whichever comes first: at most 2^31.
    pub fn distance(self, other: Self) -> u32 {
        self.since(other).unsigned_abs()
    }
    /// The number `count` octets later.
    pub fn plus(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }
    /// `self` comes before `other`.
    pub fn before(self, other: Self) -> bool {
        other.after(self)
    }
    /// `self` comes after `other`.
    pub fn after(self, other: Self) -> bool {
        self.since(other) > 0
    }
    /// The later of two.
    pub fn max(self, other: Self) -> Self {
        if other.after(self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_wraps() {
        let (low, high) = (Seq(u32::MAX - 4), Seq(5));
        assert!(low.before(high) && high.after(low) && !high.before(low));
        assert_eq!((high.since(low), low.since(high), low.distance(high)), (10, -10, 10));
        assert_eq!((low.max(high), high.max(low)), (high, high));
    }

    #[test]
    fn half_the_space_apart_is_neither_before_nor_after() {
        for one in [Seq(0), Seq(7), Seq(u32::MAX)] {
            let other = one.plus(1 << 31);
            assert!(!one.before(other) && !one.after(other) && !other.before(one) && !other.after(one));
            assert_eq!((one.distance(other), other.distance(one)), (1 << 31, 1 << 31));
        }
    }
}
