//! The conversations of two points: which of them both saw, and how far their data came.

use hashbrown::HashMap;
use slab::Slab;

use super::sides::{End, Way};
use super::sighting::Sighting;
use crate::dissect::{FiveTuple, Seq};
use crate::flow::Ranges;
use crate::time::{Span, Timestamp};

/// Conversations known at a time, before idle ones are forgotten.
const MOST: usize = 1 << 17;

/// A conversation that is silent for so long may be forgotten.
const IDLE: Span = Span::secs(30);

/// Farthest back that ranges of sequence numbers are kept, bytes.
const BEHIND: u32 = 1 << 28;

/// One direction of a conversation.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Bytes that the point recorded to which they go.
    pub(super) arrived: Ranges,
    /// The highest acknowledgement of its data.
    pub(super) acked: Option<Seq>,
    /// Data at A and at B that no packet of the other point carries alike: cut differently, or not there.
    pub(super) loose: Option<Box<[Ranges; 2]>>,
    /// When the latest packet was sent that has arrived, by the clock of where it was sent.
    pub(super) latest: Option<(Timestamp, u64)>,
}

/// A conversation.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Packets that both recorded.
    pub(super) met: u64,
    /// Its packets are counted as those of one that never arrived.
    pub(super) is_absent: bool,
    forth: Half,
    back: Half,
    last: Timestamp,
    /// Its addresses at A and at B, where they differ.
    translated: Option<Box<[FiveTuple; 2]>>,
}

impl Conversation {
    pub(super) fn half(&mut self, way: Way) -> &mut Half {
        if way == Way::Forth { &mut self.forth } else { &mut self.back }
    }

    /// Its addresses at A and at B, without a direction; those of its packet where they are not translated.
    pub(super) fn names(&self, sighting: &Sighting) -> [FiveTuple; 2] {
        self.translated.as_deref().copied().unwrap_or([sighting.tuple.canonical(); 2])
    }

    /// Takes in what is known of it by other addresses.
    fn absorb(&mut self, other: Self) {
        self.met += other.met;
        for (half, of) in [(&mut self.forth, other.forth), (&mut self.back, other.back)] {
            if half.arrived.is_empty() {
                half.arrived = of.arrived;
            }
            half.acked = later(half.acked, of.acked);
            half.loose = half.loose.take().or(of.loose);
            half.latest = half.latest.max(of.latest);
        }
    }
}

impl Half {
    pub(super) fn arrives(&mut self, (start, end): (Seq, Seq)) {
        self.arrived.insert(start, end);
        self.arrived.remove_before(Seq(end.0.wrapping_sub(BEHIND)));
    }

    pub(super) fn acknowledges(&mut self, ack: Seq) {
        self.acked = later(self.acked, Some(ack));
    }

    pub(super) fn loosen(&mut self, at: End, (start, end): (Seq, Seq)) {
        let loose = self.loose.get_or_insert_default();
        let ranges = if at == End::A { &mut loose[0] } else { &mut loose[1] };
        ranges.insert(start, end);
        ranges.remove_before(Seq(end.0.wrapping_sub(BEHIND)));
    }

    /// The point at `end` has all of these bytes in packets that were cut elsewhere.
    pub(super) fn has_loose(&self, end: End, (start, last): (Seq, Seq)) -> bool {
        let ranges = self.loose.as_ref().map(|loose| if end == End::A { &loose[0] } else { &loose[1] });
        ranges.is_some_and(|ranges| ranges.covers(start, last))
    }
}

fn later(one: Option<Seq>, other: Option<Seq>) -> Option<Seq> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

/// All conversations that are not idle, by their addresses at A and at B.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    slots: Slab<Conversation>,
    by_addresses: HashMap<(End, FiveTuple), usize>,
    sweep_at: usize,
}

impl Conversations {
    /// That of a packet at `end`.
    pub(super) fn of(&mut self, end: End, sighting: &Sighting, now: Timestamp) -> &mut Conversation {
        let key = sighting.tuple.canonical();
        let slot = match self.by_addresses.get(&(end, key)) {
            Some(slot) => *slot,
            None => {
                self.sweep(now);
                // Where no addresses are translated, the other point knows it by the same.
                let known = self.by_addresses.get(&(end.other(), key)).copied();
                let slot = known.unwrap_or_else(|| self.slots.insert(Conversation::default()));
                self.by_addresses.insert((end, key), slot);
                slot
            }
        };
        self.touched(slot, now)
    }

    /// A slot of the names has a conversation: both are forgotten together.
    fn touched(&mut self, slot: usize, now: Timestamp) -> &mut Conversation {
        let found = &mut self.slots[slot];
        found.last = found.last.max(now);
        found
    }

    /// That of a packet that both recorded.
    pub(super) fn meet(&mut self, a: &Sighting, b: &Sighting, now: Timestamp) -> &mut Conversation {
        let (a, b) = ((End::A, a.tuple.canonical()), (End::B, b.tuple.canonical()));
        let (of_a, of_b) = (self.by_addresses.get(&a).copied(), self.by_addresses.get(&b).copied());
        let slot = match (of_a, of_b) {
            (Some(one), Some(other)) => {
                // The other point knew it by a name of its own until now.
                if one != other
                    && let Some(renamed) = self.slots.get_mut(other).filter(|renamed| renamed.met == 0)
                {
                    let renamed = std::mem::take(renamed);
                    self.slots[one].absorb(renamed);
                }
                one
            }
            (one, other) => one.or(other).unwrap_or_else(|| self.slots.insert(Conversation::default())),
        };
        self.by_addresses.insert(a, slot);
        self.by_addresses.insert(b, slot);
        let found = self.touched(slot, now);
        found.met += 1;
        if found.translated.is_none() && a.1 != b.1 {
            found.translated = Some(Box::new([a.1, b.1]));
        }
        found
    }

    fn sweep(&mut self, now: Timestamp) {
        if self.slots.len() < self.sweep_at.max(MOST) {
            return;
        }
        self.slots.retain(|_, conversation| now - conversation.last <= IDLE);
        let slots = &self.slots;
        self.by_addresses.retain(|_, slot| slots.contains(*slot));
        self.sweep_at = 2 * self.slots.len();
    }
}
