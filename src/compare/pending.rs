//! Packets of one point that wait for the same packet of the other.

use std::collections::VecDeque;

use hashbrown::HashMap;
use slab::Slab;

use super::sighting::Sighting;
use crate::time::Timestamp;

/// Packets with the same content that wait at a time: more of them nobody tells apart.
const ALIKE: usize = 64;

/// Packets that wait at a time.
const MOST: usize = 1 << 18;

/// A packet that waits, and its time by the clock of A.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) sighting: Sighting,
    pub(super) time: Timestamp,
    next: Option<usize>,
}

/// Those that wait, by content and in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Pending {
    slots: Slab<Waiting>,
    heads: HashMap<u64, usize>,
    order: VecDeque<(usize, u64)>,
}

/// Which fields arrive as they were sent, so that they tell a packet from its retransmission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) id: bool,
    pub(super) stamp: bool,
}

impl Kept {
    /// The two may be the same packet.
    pub(super) fn same(self, one: &Sighting, other: &Sighting) -> bool {
        let stamp = |sighting: &Sighting| sighting.segment.and_then(|segment| segment.stamp);
        let stamps = match (stamp(one), stamp(other)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        (!self.id || one.id == other.id) && (!self.stamp || stamps)
    }
}

impl Pending {
    /// Adds a packet. False when so many like it wait that it is not told from them.
    pub(super) fn add(&mut self, sighting: Sighting, time: Timestamp) -> bool {
        let head = self.heads.get(&sighting.key).copied();
        if self.chain(head).take(ALIKE).count() >= ALIKE {
            return false;
        }
        let slot = self.slots.insert(Waiting { sighting, time, next: head });
        self.heads.insert(sighting.key, slot);
        self.order.push_back((slot, sighting.ordinal));
        if self.order.len() > 2 * self.slots.len() + 1_024 {
            let slots = &self.slots;
            self.order.retain(|(slot, ordinal)| stands(slots, *slot, *ordinal));
        }
        true
    }

    fn chain(&self, head: Option<usize>) -> impl Iterator<Item = (usize, &Waiting)> {
        let mut at = head;
        std::iter::from_fn(move || {
            let slot = at?;
            let waiting = self.slots.get(slot)?;
            at = waiting.next;
            Some((slot, waiting))
        })
    }

    /// Takes out the packet that `sighting` is, most likely: of the same conversation, with the same
    /// identification, the first that was recorded.
    pub(super) fn take(&mut self, sighting: &Sighting, kept: Kept) -> Option<Waiting> {
        let head = self.heads.get(&sighting.key).copied()?;
        let alike = |of: &Sighting| {
            (of.tuple == sighting.tuple, of.id == sighting.id, of.payload == sighting.payload)
        };
        let found =
            self.chain(Some(head)).filter(|(_, waiting)| kept.same(&waiting.sighting, sighting)).max_by_key(
                |(_, waiting)| (alike(&waiting.sighting), std::cmp::Reverse(waiting.sighting.ordinal)),
            )?;
        let slot = found.0;
        self.remove(slot)
    }

    fn remove(&mut self, slot: usize) -> Option<Waiting> {
        let waiting = self.slots.try_remove(slot)?;
        let key = waiting.sighting.key;
        let before = match self.heads.get(&key).copied() {
            Some(head) if head == slot => None,
            head => self.chain(head).find(|(_, other)| other.next == Some(slot)).map(|(slot, _)| slot),
        };
        match (before.and_then(|before| self.slots.get_mut(before)), waiting.next) {
            (Some(before), next) => before.next = next,
            (None, Some(next)) => {
                self.heads.insert(key, next);
            }
            (None, None) => {
                self.heads.remove(&key);
            }
        }
        Some(waiting)
    }

    /// Takes out the packet that waits longest, when it came before `until` or too many wait.
    pub(super) fn expired(&mut self, until: Timestamp) -> Option<(Waiting, bool)> {
        while let Some((slot, ordinal)) = self.order.front().copied() {
            if !stands(&self.slots, slot, ordinal) {
                self.order.pop_front();
                continue;
            }
            let crowded = self.slots.len() > MOST;
            let late = self.slots.get(slot).is_some_and(|waiting| waiting.time < until);
            if !late && !crowded {
                return None;
            }
            self.order.pop_front();
            return self.remove(slot).map(|waiting| (waiting, !late));
        }
        None
    }
}

fn stands(slots: &Slab<Waiting>, slot: usize, ordinal: u64) -> bool {
    slots.get(slot).is_some_and(|waiting| waiting.sighting.ordinal == ordinal)
}
