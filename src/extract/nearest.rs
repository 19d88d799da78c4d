//! The nearest packets, as many as there is room for.

use std::collections::BinaryHeap;

use super::picked::{Picked, Tier};

/// A packet that may be chosen, ordered by how near it is to the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) tier: Tier,
    pub(super) distance: u64,
    pub(super) ordinal: u64,
    pub(super) bytes: u64,
}

/// The nearest candidates: of all in order, those before the first that finds no room. So it does not matter
/// in which order and in which parts they come.
#[derive(Debug)]
pub(super) struct Nearest {
    kept: BinaryHeap<Candidate>,
    bytes: u64,
    /// The nearest that found no room.
    bound: Option<Candidate>,
    left_out: u64,
    most_packets: usize,
    most_bytes: u64,
}

impl Nearest {
    fn new(most_packets: usize, most_bytes: u64) -> Self {
        Self { kept: BinaryHeap::new(), bytes: 0, bound: None, left_out: 0, most_packets, most_bytes }
    }

    /// Room for the packets of an incident.
    pub(super) fn incident() -> Self {
        Self::new(Picked::PACKETS, Picked::BYTES)
    }

    /// Room for the packets of others.
    pub(super) fn sample() -> Self {
        Self::new(Picked::ELSEWHERE, Picked::ELSEWHERE_BYTES)
    }

    /// The same room without candidates, for a part of the packets.
    pub(super) fn emptied(&self) -> Self {
        Self { bound: self.bound, ..Self::new(self.most_packets, self.most_bytes) }
    }

    /// Packets that found no room.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Those that found room, in no order.
    pub(super) fn kept(&self) -> impl Iterator<Item = Candidate> {
        self.kept.iter().copied()
    }

    pub(super) fn add(&mut self, candidate: Candidate) {
        if self.bound.is_some_and(|bound| candidate > bound) {
            self.left_out += 1;
            return;
        }
        self.bytes += candidate.bytes;
        self.kept.push(candidate);
        // The nearest of all is kept whatever it weighs.
        while self.kept.len() > self.most_packets || (self.bytes > self.most_bytes && self.kept.len() > 1) {
            let Some(farthest) = self.kept.pop() else { return };
            self.bytes -= farthest.bytes;
            self.bound = Some(farthest);
            self.left_out += 1;
        }
    }

    /// Adds what was found among other packets.
    pub(super) fn join(&mut self, part: Self) {
        self.left_out += part.left_out;
        part.kept.into_iter().for_each(|candidate| self.add(candidate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distances as they come, with sizes that fill the room at different places.
    fn candidates() -> Vec<Candidate> {
        (0..400u64)
            .map(|at| {
                let distance = at * 7919 % 401;
                Candidate { tier: Tier::Flow, distance, ordinal: at, bytes: 1 + at * 31 % 97 }
            })
            .collect()
    }

    fn sorted(nearest: &Nearest) -> (Vec<Candidate>, u64) {
        let mut kept: Vec<Candidate> = nearest.kept().collect();
        kept.sort_unstable();
        (kept, nearest.left_out())
    }

    #[test]
    fn those_before_the_first_without_room_stay_whatever_the_order_and_the_parts() {
        let mut all = candidates();
        for (most_packets, most_bytes) in [(50, u64::MAX), (400, 2_000), (30, 900), (1, 1), (1_000, 1 << 20)]
        {
            let mut serial = Nearest::new(most_packets, most_bytes);
            all.iter().for_each(|one| serial.add(*one));
            let mut backwards = Nearest::new(most_packets, most_bytes);
            all.iter().rev().for_each(|one| backwards.add(*one));
            assert_eq!(sorted(&serial), sorted(&backwards));
            for part in [1, 7, 64] {
                let mut parted = Nearest::new(most_packets, most_bytes);
                for chunk in all.chunks(part) {
                    let mut own = parted.emptied();
                    chunk.iter().for_each(|one| own.add(*one));
                    parted.join(own);
                }
                assert_eq!(sorted(&serial), sorted(&parted), "{most_packets} {most_bytes} {part}");
            }
            all.sort_unstable();
            let mut bytes = 0;
            let fits = |one: &&Candidate| {
                bytes += one.bytes;
                bytes <= most_bytes
            };
            let room: Vec<Candidate> = all.iter().take(most_packets).take_while(fits).copied().collect();
            let expected = if room.is_empty() { all[..1].to_vec() } else { room };
            assert_eq!(sorted(&serial), (expected.clone(), (all.len() - expected.len()) as u64));
        }
    }
}
