//! The ranges of one direction that were not captured, below the highest sequence number seen.
//!
//! A packet costs the logarithm of their number, whatever the order of the segments: they stand in a tree by
//! their place in the stream, which goes on where sequence numbers wrap.

use std::collections::BTreeMap;

use crate::dissect::{PacketRef, Seq};

/// A range that was not captured, and the segment that jumped over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    pub(super) start: Seq,
    pub(super) end: Seq,
    pub(super) opened: PacketRef,
    pub(super) stamp: Option<u32>,
    pub(super) ip_id: u16,
    /// Its bytes were sent before the capture began.
    pub(super) older: bool,
}

impl Hole {
    fn length(&self) -> i64 {
        i64::from(self.end.distance(self.start))
    }
}

/// Disjoint holes, by where they start.
#[derive(Debug, Default)]
pub(super) struct Holes {
    tree: BTreeMap<i64, Hole>,
    /// A sequence number and its place in the stream: places of others are counted from it.
    anchor: Option<(Seq, i64)>,
}

/// Nodes of a tree are half full at least.
const NODES: usize = 2;

impl Holes {
    /// Holes kept: a sender has that many segments on their way only in a capture made to cost time. Holes
    /// that do not fit stay part of a larger one.
    const MAX: usize = 1 << 16;

    /// Bytes of memory that they take, about.
    pub(super) fn held(&self) -> usize {
        self.tree.len() * (size_of::<i64>() + size_of::<Hole>()) * NODES
    }

    /// Where `seq` stands. Numbers come near each other, so that the distance from the last says it.
    fn place(&mut self, seq: Seq) -> i64 {
        let (last, place) = self.anchor.unwrap_or((seq, 0));
        let place = place + i64::from(seq.since(last));
        self.anchor = Some((seq, place));
        place
    }

    /// The stream goes on to `seq`.
    pub(super) fn follow(&mut self, seq: Seq) {
        if !self.tree.is_empty() {
            self.place(seq);
        }
    }

    /// Adds a hole that no other overlaps; false when there is no room.
    pub(super) fn open(&mut self, hole: Hole) -> bool {
        let room = self.tree.len() < Self::MAX;
        if room {
            let place = self.place(hole.start);
            self.tree.insert(place, hole);
        }
        room
    }

    /// Places of the holes that overlap `[start, end)`, lowest first.
    fn overlapping(&mut self, start: Seq, end: Seq) -> impl Iterator<Item = (i64, Hole)> {
        let low = self.place(start);
        let high = low + i64::from(end.since(start)).max(0);
        let reaches = |(place, hole): &(&i64, &Hole)| **place + hole.length() > low;
        let first = self.tree.range(..low).next_back().filter(reaches);
        let first = first.map_or(low, |(place, _)| *place);
        self.tree.range(first..high.max(first)).map(|(place, hole)| (*place, *hole))
    }

    /// The lowest hole that overlaps `[start, end)`.
    pub(super) fn first_in(&mut self, start: Seq, end: Seq) -> Option<Hole> {
        self.overlapping(start, end).next().map(|(_, hole)| hole)
    }

    /// Bytes of `[start, end)` that are in holes.
    pub(super) fn bytes_in(&mut self, start: Seq, end: Seq) -> u64 {
        let within = |hole: Hole| {
            let high = if hole.end.before(end) { hole.end } else { end };
            high.since(hole.start.max(start)).max(0) as u64
        };
        self.overlapping(start, end).map(|(_, hole)| within(hole)).sum()
    }

    /// `[start, end)` was captured after all. False when that would make more holes than are kept: then the
    /// hole stays as it is.
    pub(super) fn cut(&mut self, start: Seq, end: Seq) -> bool {
        let touched: Vec<(i64, Hole)> = self.overlapping(start, end).collect();
        let splits = matches!(touched[..], [(_, hole)] if hole.start.before(start) && hole.end.after(end));
        if splits && self.tree.len() >= Self::MAX {
            return false;
        }
        for (place, hole) in touched {
            self.tree.remove(&place);
            if hole.start.before(start) {
                self.tree.insert(place, Hole { end: start, ..hole });
            }
            if hole.end.after(end) {
                self.tree.insert(place + i64::from(end.since(hole.start)), Hole { start: end, ..hole });
            }
        }
        true
    }

    /// Takes out the lowest hole below `seq`, up to there.
    pub(super) fn pop_below(&mut self, seq: Seq) -> Option<Hole> {
        let (place, hole) = self.tree.first_key_value().map(|(place, hole)| (*place, *hole))?;
        let edge = self.place(seq);
        if place >= edge {
            return None;
        }
        self.tree.remove(&place);
        if place + hole.length() <= edge {
            return Some(hole);
        }
        self.tree.insert(edge, Hole { start: seq, ..hole });
        Some(Hole { end: seq, ..hole })
    }

    /// Bytes in all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.tree.values().map(|hole| u64::from(hole.end.distance(hole.start))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hole(start: Seq, length: u32) -> Hole {
        Hole {
            start,
            end: start.plus(length),
            opened: PacketRef::default(),
            stamp: None,
            ip_id: 0,
            older: false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_byte_map(
            base in any::<u32>(),
            steps in prop::collection::vec((0u32..300, 1u32..40), 0..60),
            acks in prop::collection::vec(0u32..300, 0..5),
        ) {
            let (at, mut holes, mut map) = (|offset| Seq(base).plus(offset), Holes::default(), [true; 400]);
            map[300..].fill(false);
            prop_assert!(holes.open(hole(at(0), 300)));
            for (start, length) in steps {
                let (low, high) = (start as usize, (start + length) as usize);
                let missing = map[low..high].iter().filter(|missing| **missing).count() as u64;
                let (from, to) = (at(start), at(start + length));
                prop_assert_eq!(holes.bytes_in(from, to), missing);
                prop_assert_eq!(holes.first_in(from, to).is_some(), missing > 0);
                prop_assert!(holes.cut(from, to));
                map[low..high].fill(false);
                prop_assert_eq!(holes.bytes(), map.iter().filter(|missing| **missing).count() as u64);
            }
            for ack in acks {
                let below = map[..ack as usize].iter().filter(|missing| **missing).count() as u64;
                let popped = std::iter::from_fn(|| holes.pop_below(at(ack)));
                prop_assert_eq!(popped.map(|hole| hole.end.distance(hole.start) as u64).sum::<u64>(), below);
                map[..ack as usize].fill(false);
            }
        }
    }

    #[test]
    fn a_hole_is_not_met_again_a_whole_space_of_numbers_later() {
        let mut holes = Holes::default();
        assert!(holes.open(hole(Seq(0), 100)));
        for step in 1..=40u32 {
            holes.follow(Seq(0).plus(step.wrapping_mul(1 << 27)));
        }
        assert_eq!(holes.bytes_in(Seq(1 << 30), Seq((1 << 30) + 100)), 0);
        assert_eq!(holes.bytes_in(Seq(0), Seq(100)), 0, "4 GiB on");
    }

    #[test]
    fn more_holes_than_are_kept_stay_part_of_a_larger_one() {
        let mut holes = Holes::default();
        assert!(holes.open(hole(Seq(0), 1 << 20)));
        let cut = (0..Holes::MAX as u32 + 10).map(|index| Seq(2 * index + 1));
        assert_eq!(cut.filter(|at| holes.cut(*at, at.plus(1))).count(), Holes::MAX - 1);
        assert!(!holes.open(hole(Seq(1 << 21), 1)));
    }
}
