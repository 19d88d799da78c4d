//! Which hosts are on whose side: a packet from A's side goes from A to B.
//!
//! Told without clocks where the TTL falls, else by the times of packets that a conversation sent in both
//! directions shortly after each other: what goes from A to B is recorded at B later than what comes back.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Serialize;

use super::sample::Meeting;
use super::sighting::Sighting;
use crate::dissect::FiveTuple;
use crate::time::{Span, Timestamp};

/// Packets of a conversation that are held against each other are no further apart: clocks drift.
const NEAR: Span = Span::secs(1);

/// Votes of a TTL, against one of two times.
const TTL: i64 = 16;

/// Of so many votes of ten the side is told.
const CLEAR: i64 = 7;

/// Which of the two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum End {
    A,
    B,
}

impl End {
    pub(super) fn other(self) -> Self {
        if self == Self::A { Self::B } else { Self::A }
    }
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From A to B.
    Forth,
    /// From B to A.
    Back,
}

impl Way {
    /// Where it is recorded first.
    pub(super) fn sender(self) -> End {
        if self == Self::Forth { End::A } else { End::B }
    }

    /// The other way.
    pub(super) fn reversed(self) -> Self {
        if self == Self::Forth { Self::Back } else { Self::Forth }
    }
}

/// The sides of the hosts, by their addresses at A and at B.
#[derive(Debug, Default)]
pub(super) struct Sides {
    a: HashMap<IpAddr, Votes>,
    b: HashMap<IpAddr, Votes>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Votes {
    /// More for A's side.
    sum: i64,
    all: i64,
}

impl Votes {
    fn add(&mut self, vote: i64) {
        self.sum = self.sum.saturating_add(vote);
        self.all = self.all.saturating_add(vote.saturating_abs());
    }
}

impl Sides {
    /// From the packets that both recorded, in the order of A.
    pub(super) fn of(met: &[Meeting]) -> Self {
        let mut sides = Self::default();
        let mut last: HashMap<FiveTuple, [Option<(Timestamp, Span)>; 2]> = HashMap::new();
        for meeting in met {
            let (a, b) = (meeting.a, meeting.b);
            sides.vote(meeting, i64::from(a.ttl).saturating_sub(i64::from(b.ttl)).signum() * TTL);
            let key = a.tuple.canonical();
            let difference = b.time - a.time;
            let turned = usize::from(key != a.tuple);
            let known = last.entry(key).or_default();
            if let Some((time, other)) = known.get(1 - turned).copied().flatten()
                && a.time - time <= NEAR
            {
                sides.vote(meeting, (difference - other).0.signum());
            }
            if let Some(place) = known.get_mut(turned) {
                *place = Some((a.time, difference));
            }
        }
        sides
    }

    fn vote(&mut self, meeting: &Meeting, vote: i64) {
        for (votes, tuple) in [(&mut self.a, meeting.a.tuple), (&mut self.b, meeting.b.tuple)] {
            votes.entry(tuple.source.address).or_default().add(vote);
            votes.entry(tuple.destination.address).or_default().add(-vote);
        }
    }

    /// Which way a packet goes that was recorded at `end`; `None` when that cannot be told.
    pub(super) fn way(&self, end: End, sighting: &Sighting) -> Option<Way> {
        let votes = if end == End::A { &self.a } else { &self.b };
        let of = |address| votes.get(&address).copied().unwrap_or_default();
        let (from, to) = (of(sighting.tuple.source.address), of(sighting.tuple.destination.address));
        let (sum, all) = (from.sum.saturating_sub(to.sum), from.all.saturating_add(to.all));
        let clear = all > 0 && sum.saturating_abs().saturating_mul(10) >= all.saturating_mul(CLEAR);
        clear.then_some(if sum > 0 { Way::Forth } else { Way::Back })
    }
}
