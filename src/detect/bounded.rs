//! Counts by key in tables of bounded size. Neither the order of arrival nor the cut into partitions shows.
//!
//! A full table keeps the keys with the lowest hashes. A key that was put out has a full set of lower hashes
//! in front of it, and can never come back. So what is kept is complete, and merging is commutative and
//! associative. A hash knows nothing of addresses, so no part of the address space is blind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::Merge;

/// XXH3 of a value's byte form between stages: the same in every run and on every machine.
pub fn hash_of<T: Serialize + ?Sized>(value: &T) -> u64 {
    let mut bytes = [0; 512];
    if let Ok(used) = postcard::to_slice(value, &mut bytes) {
        return xxhash_rust::xxh3::xxh3_64(used);
    }
    // Only a key with a long name comes here.
    postcard::to_allocvec(value).map_or(0, |bytes| xxhash_rust::xxh3::xxh3_64(&bytes))
}

/// Values by key, those of the lowest hashes only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bounded<K: Ord, V> {
    /// By hash and key: how often the key was observed, and its value.
    kept: BTreeMap<(u64, K), (u64, V)>,
    most: usize,
    observed: u64,
}

impl<K: Ord, V> Bounded<K, V> {
    /// An empty table of at most so many keys.
    pub fn new(most: usize) -> Self {
        Self { kept: BTreeMap::new(), most, observed: 0 }
    }

    /// A key with this hash would have been kept from its first observation on.
    pub fn covers(&self, hash: u64) -> bool {
        self.kept.len() < self.most || self.kept.last_key_value().is_some_and(|((last, _), _)| hash < *last)
    }

    /// Observations that found no place.
    pub fn lost(&self) -> u64 {
        self.observed - self.kept.values().map(|(count, _)| count).sum::<u64>()
    }

    /// Observations, those that found no place included.
    pub fn observed(&self) -> u64 {
        self.observed
    }

    /// Keys, how often each was observed, and values, in the order of the hashes.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64, &V)> {
        self.kept.iter().map(|((_, key), (count, value))| (key, *count, value))
    }

    /// Takes out the entries that `wanted` accepts. They count as kept for [`lost`](Self::lost).
    pub fn take_if(&mut self, mut wanted: impl FnMut(&K, &V) -> bool) -> Vec<(K, V)> {
        let taken = self.kept.extract_if(.., |(_, key), (_, value)| wanted(key, value));
        let taken: Vec<_> = taken.collect();
        self.observed -= taken.iter().map(|(_, (count, _))| count).sum::<u64>();
        taken.into_iter().map(|((_, key), (_, value))| (key, value)).collect()
    }
}

impl<K: Ord, V: Default + Merge> Bounded<K, V> {
    /// The value of `key` to count one observation in; `None` when lower hashes fill the table.
    pub fn observe(&mut self, hash: u64, key: K) -> Option<&mut V> {
        self.observed += 1;
        let key = (hash, key);
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

    /// How often `key` was observed, and its value.
    pub fn get(&self, hash: u64, key: K) -> Option<(u64, &V)> {
        self.kept.get(&(hash, key)).map(|(count, value)| (*count, value))
    }
}

impl<K: Ord, V> Bounded<K, V> {
    /// The value of `key`, without observing anything.
    pub fn get_mut(&mut self, hash: u64, key: K) -> Option<&mut V> {
        self.kept.get_mut(&(hash, key)).map(|(_, value)| value)
    }
}

impl<K: Ord, V: Default + Merge> Merge for Bounded<K, V> {
    fn absorb(&mut self, other: Self) {
        self.observed += other.observed;
        for (key, (count, value)) in other.kept {
            let known = self.kept.entry(key).or_default();
            known.0 += count;
            known.1.absorb(value);
        }
        while self.kept.len() > self.most {
            self.kept.pop_last();
        }
    }
}

/// Distinct values, counted up to a limit. `MOST` are told apart; a full table says "at least".
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Distinct<T, const MOST: usize = 512>(BTreeMap<u64, T>);

impl<T, const MOST: usize> Default for Distinct<T, MOST> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T, const MOST: usize> Distinct<T, MOST> {
    /// How many; at least so many when the table is full.
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// There may be more than [`count`](Self::count).
    pub fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// The value, when it is the only one.
    pub fn only(&self) -> Option<&T> {
        self.0.values().next().filter(|_| self.0.len() == 1)
    }

    /// The values, in the order of their hashes: the first few are a fair sample.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// `3 clients`, `at least 512 clients`.
    pub fn of(&self, noun: &str) -> String {
        let text = super::plural(self.count(), noun);
        if self.is_full() { format!("at least {text}") } else { text }
    }

    fn cut(&mut self) {
        while self.0.len() > MOST {
            self.0.pop_last();
        }
    }
}

impl<T: Serialize, const MOST: usize> Distinct<T, MOST> {
    /// Takes a value.
    pub fn add(&mut self, value: T) {
        self.0.insert(hash_of(&value), value);
        self.cut();
    }
}

impl<T, const MOST: usize> Merge for Distinct<T, MOST> {
    fn absorb(&mut self, other: Self) {
        self.0.extend(other.0);
        self.cut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(keys: &[u8]) -> Bounded<u8, u64> {
        let mut table = Bounded::new(4);
        for key in keys {
            if let Some(count) = table.observe(hash_of(key), *key) {
                *count += 1;
            }
        }
        table
    }

    proptest! {
        #[test]
        fn no_order_and_no_cut_shows(keys in prop::collection::vec(0u8..12, 0..60), cut in 0usize..60) {
            let whole = filled(&keys);
            let cut = cut.min(keys.len());
            let mut parts = filled(&keys[cut..]);
            parts.absorb(filled(&keys[..cut]));
            prop_assert_eq!(&whole.kept, &parts.kept);
            prop_assert_eq!(whole.lost(), parts.lost());
            for (key, observed, count) in whole.iter() {
                prop_assert_eq!(*count, keys.iter().filter(|one| *one == key).count() as u64);
                prop_assert_eq!(observed, *count);
            }
        }
    }

    /// Keys in address order, many more than fit: those that stay come from everywhere.
    #[test]
    fn no_part_of_the_address_space_is_blind() {
        let mut table: Bounded<u32, u64> = Bounded::new(64);
        for address in 0..10_000u32 {
            table.observe(hash_of(&address), address);
        }
        let kept: Vec<u32> = table.iter().map(|(address, ..)| *address).collect();
        assert_eq!(kept.len(), 64);
        let upper = kept.iter().filter(|address| **address >= 5_000).count();
        assert!((16..=48).contains(&upper), "{upper} of 64 from the upper half");
        assert_eq!(table.lost(), 10_000 - 64);
        assert!(
            kept.iter()
                .all(|address| !table.covers(u64::MAX) && table.get(hash_of(address), *address).is_some())
        );
    }

    #[test]
    fn distinct_values_are_counted_up_to_a_limit() {
        let mut clients: Distinct<u32> = Distinct::default();
        (0..1000u32).for_each(|client| clients.add(client % 600));
        assert_eq!(clients.of("client"), "at least 512 clients");
        let mut one: Distinct<u32> = Distinct::default();
        one.add(7u32);
        assert_eq!((one.of("client"), one.only()), ("1 client".to_owned(), Some(&7)));
    }
}
