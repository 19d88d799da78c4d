//! Counting by subject within bounds, so that neither the order of arrival nor the cut into partitions shows.
//!
//! Every collection here keeps the lowest keys. What was put out once has a full set of lower keys in front of it and can
//! never come back, so what is kept is complete, and merging is commutative and associative.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::{Evidence, Finding};
use crate::dissect::PacketRef;
pub(super) use crate::humanize::{percent, plural, share};
use crate::time::Timestamp;

/// Adds another partition's counts; commutative and associative.
pub(super) trait Merge {
    fn merge(&mut self, other: Self);
}

impl Merge for u64 {
    fn merge(&mut self, other: Self) {
        *self += other;
    }
}

/// Values by key, the lowest keys only.
#[derive(Clone, Debug)]
pub(super) struct Groups<K, V> {
    kept: BTreeMap<K, (u64, V)>,
    most: usize,
    observed: u64,
}

impl<K: Ord, V: Default + Merge> Groups<K, V> {
    /// Subjects kept per detector: far more than a report lists, and a few megabytes.
    pub(super) const MOST: usize = 4096;

    pub(super) fn new(most: usize) -> Self {
        Self { kept: BTreeMap::new(), most, observed: 0 }
    }

    /// The value of `key` to count one observation in; `None` when lower keys fill the table.
    pub(super) fn observe(&mut self, key: K) -> Option<&mut V> {
        self.observed += 1;
        if self.kept.len() >= self.most && !self.kept.contains_key(&key) {
            if self.kept.last_key_value().is_none_or(|(last, _)| *last < key) {
                return None;
            }
            self.kept.pop_last();
        }
        let (count, value) = self.kept.entry(key).or_default();
        *count += 1;
        Some(value)
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.observed += other.observed;
        for (key, (count, value)) in other.kept {
            let known = self.kept.entry(key).or_default();
            known.0 += count;
            known.1.merge(value);
        }
        while self.kept.len() > self.most {
            self.kept.pop_last();
        }
    }

    /// Observations that found no place.
    pub(super) fn lost(&self) -> u64 {
        self.observed - self.kept.values().map(|(count, _)| count).sum::<u64>()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.kept.get(key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.kept.iter().map(|(key, (_, value))| (key, value))
    }
}

/// Distinct values, counted up to a limit.
#[derive(Clone, Debug)]
pub(super) struct Distinct<T>(BTreeSet<T>);

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<T: Ord> Distinct<T> {
    /// Values told apart; "at least" from there on.
    const MOST: usize = 512;

    pub(super) fn add(&mut self, value: T) {
        if self.0.insert(value) && self.0.len() > Self::MOST {
            self.0.pop_last();
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn only(&self) -> Option<&T> {
        self.0.first().filter(|_| self.0.len() == 1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// `3 clients`, `at least 512 clients`.
    pub(super) fn of(&self, noun: &str) -> String {
        let text = plural(self.count(), noun);
        if self.0.len() < Self::MOST { text } else { format!("at least {text}") }
    }
}

impl<T: Ord> Merge for Distinct<T> {
    fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|value| self.add(value));
    }
}

/// When something was seen: the time of its earliest and of its latest packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen(Option<(Timestamp, Timestamp)>);

impl Seen {
    pub(super) fn add(&mut self, time: Timestamp) {
        let (first, last) = self.0.unwrap_or((time, time));
        self.0 = Some((first.min(time), last.max(time)));
    }

    pub(super) fn first(&self) -> Timestamp {
        self.0.map_or(Timestamp(0), |(first, _)| first)
    }

    pub(super) fn last(&self) -> Timestamp {
        self.0.map_or(Timestamp(0), |(_, last)| last)
    }
}

impl Merge for Seen {
    fn merge(&mut self, other: Self) {
        for time in other.0.into_iter().flat_map(|(first, last)| [first, last]) {
            self.add(time);
        }
    }
}

/// The packets of a few telling flows: those of lowest rank, then of lowest ordinal.
#[derive(Clone, Debug, Default)]
pub(super) struct EvidenceSample(BTreeMap<(i64, u64), Vec<Evidence>>);

impl EvidenceSample {
    /// Flows shown.
    const FLOWS: usize = 4;

    /// Shows `flow`'s packets when its rank is among the lowest; they are gathered only then.
    pub(super) fn add(&mut self, rank: i64, flow: u64, gather: impl FnOnce() -> Vec<Evidence>) {
        let full = self.0.len() >= Self::FLOWS;
        if full && self.0.last_key_value().is_some_and(|(last, _)| *last < (rank, flow)) {
            return;
        }
        self.0.entry((rank, flow)).or_default().extend(gather());
        self.cut();
    }

    fn cut(&mut self) {
        while self.0.len() > Self::FLOWS {
            self.0.pop_last();
        }
    }

    /// In packet order, as many as a finding cites; every flow shown has its share.
    pub(super) fn evidence(&self) -> Vec<Evidence> {
        let share = Finding::MAX_EVIDENCE / self.0.len().max(1);
        let mut evidence: Vec<Evidence> = Vec::new();
        for packets in self.0.values() {
            let mut packets = packets.clone();
            packets.sort();
            packets.dedup_by_key(|one| one.packet);
            evidence.extend(packets.into_iter().take(share));
        }
        evidence.sort();
        evidence.dedup_by_key(|one| one.packet);
        evidence
    }
}

impl Merge for EvidenceSample {
    fn merge(&mut self, other: Self) {
        for (key, packets) in other.0 {
            self.0.entry(key).or_default().extend(packets);
        }
        self.cut();
    }
}

/// A packet as evidence.
pub(super) fn exhibit(at: PacketRef, role: &'static str, fields: impl Into<String>) -> Evidence {
    Evidence { packet: at.packet, time: at.time, role, fields: fields.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(keys: &[u8]) -> Groups<u8, u64> {
        let mut groups = Groups::new(4);
        for key in keys {
            if let Some(count) = groups.observe(*key) {
                *count += 1;
            }
        }
        groups
    }

    proptest! {
        #[test]
        fn no_order_and_no_cut_shows(keys in prop::collection::vec(0u8..12, 0..60), cut in 0usize..60) {
            let whole = filled(&keys);
            let cut = cut.min(keys.len());
            let mut parts = filled(&keys[cut..]);
            parts.merge(filled(&keys[..cut]));
            prop_assert_eq!(&whole.kept, &parts.kept);
            prop_assert_eq!(whole.lost(), parts.lost());
            for (key, count) in whole.iter() {
                prop_assert_eq!(*count, keys.iter().filter(|one| *one == key).count() as u64);
            }
        }
    }
}
