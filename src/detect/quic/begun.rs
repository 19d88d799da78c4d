//! When somebody's connections began.

use serde::{Deserialize, Serialize};

use crate::detect::{Bounded, Merge, merged};
use crate::dissect::PacketRef;
use crate::time::Timestamp;

/// The first packet of a second.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct First(Option<PacketRef>);

impl Merge for First {
    fn absorb(&mut self, other: Self) {
        self.0 = self.0.into_iter().chain(other.0).min_by_key(|at| (at.time, at.packet));
    }
}

merged! {
    /// When somebody's connections began: by the hash of who and whereto, and the second.
    pub(in crate::detect) struct Begun(Bounded<(u64, i64), First, { 1 << 15 }>);
}

impl Begun {
    pub(super) fn add(&mut self, who: u64, at: PacketRef) {
        if let Some(first) = self.0.observe(who, (who, second(at.time))) {
            first.absorb(First(Some(at)));
        }
    }

    /// The first that began between.
    pub(super) fn between(&self, who: u64, from: Timestamp, until: Timestamp) -> Option<PacketRef> {
        let seconds = (second(from)..=second(until)).take(64);
        let begun = seconds.filter_map(|second| self.0.get(&(who, second))?.1.0);
        begun.filter(|at| (from..=until).contains(&at.time)).min_by_key(|at| (at.time, at.packet))
    }
}

fn second(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000_000)
}
