//! First reading: a sample of a point's packets that any other point would choose alike.
//!
//! Packets are chosen by the hash of their content. So two points choose the same ones, whatever else they
//! recorded, and a capture of up to [`MOST`] packets is its own sample.

use std::collections::HashMap;

use super::sighting::{Kind, Sighting};

/// Packets of a sample.
const MOST: usize = 1 << 16;

/// Payloads of a sample.
const PAYLOADS: usize = 1 << 14;

/// Shortest payload that is recognised without its sequence numbers, bytes.
const TELLING: u32 = 32;

/// A sample.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// By content: the packet, or that several carry the same.
    packets: Lowest<Option<Sighting>>,
    /// By payload: the content it is part of.
    payloads: Lowest<Option<u64>>,
    /// Packets by kind, of all.
    kinds: [u64; Kind::COUNT],
}

/// A packet that two points recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meeting {
    pub(super) a: Sighting,
    pub(super) b: Sighting,
}

impl Sample {
    pub(super) fn add(&mut self, sighting: &Sighting) {
        if let Some(count) = self.kinds.get_mut(sighting.kind as usize) {
            *count += 1;
        }
        self.packets.add(sighting.key, || Some(*sighting), |known| *known = None);
        if let (Kind::Data, Some(payload), TELLING..) = (sighting.kind, sighting.payload, sighting.length) {
            let key = Some(sighting.key);
            let again = |known: &mut Option<u64>| *known = known.filter(|known| Some(*known) == key);
            self.payloads.add(payload, || key, again);
        }
    }

    /// The point recorded packets of this kind.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.kinds.get(kind as usize).is_some_and(|count| *count > 0)
    }

    /// The packets that both recorded once, in the order of `a`.
    pub(super) fn meet(a: &Self, b: &Self) -> Vec<Meeting> {
        let mut met: Vec<Meeting> = Vec::new();
        let (few, many) = if a.packets.kept.len() <= b.packets.kept.len() { (a, b) } else { (b, a) };
        #[expect(clippy::iter_over_hash_type, reason = "sorted below")]
        for (key, one) in &few.packets.kept {
            if let (Some(one), Some(Some(other))) = (one, many.packets.kept.get(key)) {
                let (a, b) = if std::ptr::eq(few, a) { (*one, *other) } else { (*other, *one) };
                met.push(Meeting { a, b });
            }
        }
        met.sort_by_key(|meeting| (meeting.a.time, meeting.a.ordinal));
        met
    }

    /// Payloads that both recorded, under sequence numbers of their own.
    pub(super) fn renumbered(a: &Self, b: &Self) -> u64 {
        let other = |(payload, key): &(&u64, &Option<u64>)| {
            let of_b = b.payloads.kept.get(*payload).copied().flatten();
            key.zip(of_b).is_some_and(|(a, b)| a != b)
        };
        a.payloads.kept.iter().filter(other).count() as u64
    }
}

/// The entries with the lowest hashes.
#[derive(Debug)]
struct Lowest<T> {
    kept: HashMap<u64, T>,
    most: usize,
    /// Hashes above are not kept.
    limit: u64,
}

impl Default for Lowest<Option<Sighting>> {
    fn default() -> Self {
        Self { kept: HashMap::new(), most: MOST, limit: u64::MAX }
    }
}

impl Default for Lowest<Option<u64>> {
    fn default() -> Self {
        Self { kept: HashMap::new(), most: PAYLOADS, limit: u64::MAX }
    }
}

impl<T> Lowest<T> {
    fn add(&mut self, hash: u64, new: impl FnOnce() -> T, again: impl FnOnce(&mut T)) {
        if hash > self.limit {
            return;
        }
        self.kept.entry(hash).and_modify(again).or_insert_with(new);
        if self.kept.len() >= 2 * self.most {
            let mut hashes: Vec<u64> = self.kept.keys().copied().collect();
            let (_, limit, _) = hashes.select_nth_unstable(self.most);
            self.limit = *limit;
            let limit = *limit;
            self.kept.retain(|hash, _| *hash <= limit);
        }
    }
}
