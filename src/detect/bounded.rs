//! Counts by key in tables of bounded size. Neither the order of arrival nor the cut into partitions shows.
//!
//! A full table keeps the keys with the lowest hashes. A key that was put out has a full set of lower hashes
//! in front of it, and can never come back. So what is kept is complete, and merging is commutative and
//! associative. A hash knows nothing of addresses, so no part of the address space is blind.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::detect::Merge;

/// XXH3 of a value's byte form between stages: the same in every run and on every machine.
pub fn hash_of<T: Serialize + ?Sized>(value: &T) -> u64 {
    // Most values are addresses and ports: clearing room for the longest would cost more than the hash.
    let mut few = [0; 48];
    if let Ok(used) = postcard::to_slice(value, &mut few) {
        return xxhash_rust::xxh3::xxh3_64(used);
    }
    let mut bytes = [0; 512];
    if let Ok(used) = postcard::to_slice(value, &mut bytes) {
        return xxhash_rust::xxh3::xxh3_64(used);
    }
    // Only a key with a long name comes here.
    postcard::to_allocvec(value).map_or(0, |bytes| xxhash_rust::xxh3::xxh3_64(&bytes))
}

/// Keys that a table keeps however little memory there is; a table of fewer keeps all of them.
const LEAST: usize = 512;

/// A key, how often it was observed, and its value.
#[derive(Clone, Debug)]
struct Entry<K, V> {
    hash: u64,
    key: K,
    count: u64,
    value: V,
}

impl<K: Ord, V> Entry<K, V> {
    fn order(&self) -> (u64, &K) {
        (self.hash, &self.key)
    }
}

/// Where a key is: a part of its quick hash, and its place among the entries.
#[derive(Clone, Copy, Debug)]
struct Known {
    tag: u32,
    place: u32,
}

impl Known {
    /// The hash by which a table of these finds it: every bit of the tag is in the upper ones.
    fn hash(tag: u32) -> u64 {
        u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Values by key, those of the lowest hashes only; at most so many as the type says.
///
/// Every flow is looked up in dozens of these, and nearly always it is there. So keys are found by a quick
/// hash, and the hash that decides who stays is asked for only when a key is new, or the table is full. Keys
/// may share that hash so that they stay together, as all clients of a service do. A quarter more keys than
/// may stay can be there until the highest go, all at once. What is read is never more than may stay.
#[derive(Clone, Debug)]
pub struct Bounded<K, V, const MOST: usize = 4096> {
    entries: Vec<Entry<K, V>>,
    index: HashTable<Known>,
    quick: DefaultHashBuilder,
    /// Higher hashes find no place, nor do higher keys of this hash.
    bound: Option<(u64, K)>,
    /// The entries stand in the order of their hashes.
    sorted: bool,
    /// Where the last key that was observed may stand: flows of one service come in a row.
    last: usize,
    most: usize,
    observed: u64,
}

impl<K: Ord + Hash + Clone, V, const MOST: usize> Default for Bounded<K, V, MOST> {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl<K: Ord + Hash + Clone, V, const MOST: usize> Bounded<K, V, MOST> {
    /// An empty table of at most so many keys, where the type cannot say how many.
    pub fn of(most: usize) -> Self {
        let (entries, index, quick) = (Vec::new(), HashTable::new(), DefaultHashBuilder::default());
        Self { entries, index, quick, bound: None, sorted: true, last: 0, most, observed: 0 }
    }

    /// A key with this hash would have been kept from its first observation on.
    pub fn covers(&self, hash: u64) -> bool {
        match self.entries.len().cmp(&self.most) {
            Ordering::Less => true,
            Ordering::Equal => self.bound.as_ref().is_none_or(|(bound, _)| hash < *bound),
            Ordering::Greater => self.kept().last().is_some_and(|last| hash < last.hash),
        }
    }

    /// Observations that found no place.
    pub fn lost(&self) -> u64 {
        self.observed - self.iter().map(|(_, count, _)| count).sum::<u64>()
    }

    /// Observations, those that found no place included.
    pub fn observed(&self) -> u64 {
        self.observed
    }

    /// Keys, how often each was observed, and values, in the order of the hashes.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64, &V)> {
        let in_order = self.sorted && self.entries.len() <= self.most;
        let (ready, others) = match in_order {
            true => (&self.entries[..], Vec::new()),
            false => (&[][..], self.kept()),
        };
        ready.iter().chain(others).map(|entry| (&entry.key, entry.count, &entry.value))
    }

    /// What stays, in the order of the hashes.
    fn kept(&self) -> Vec<&Entry<K, V>> {
        let mut kept: Vec<_> = self.entries.iter().collect();
        kept.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
        kept.truncate(self.most);
        kept
    }

    /// Nothing more will be observed: what is read from here on need not be put in order again.
    pub fn sort(&mut self) {
        self.settle();
        if !self.sorted {
            self.entries.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
            self.find_places();
            self.sorted = true;
        }
    }

    /// Takes out the entries that `wanted` accepts, in the order of the hashes. They count as kept for
    /// [`lost`](Self::lost).
    pub fn take_if(&mut self, mut wanted: impl FnMut(&K, &V) -> bool) -> Vec<(K, V)> {
        self.sort();
        let taken: Vec<_> = self.entries.extract_if(.., |entry| wanted(&entry.key, &entry.value)).collect();
        if !taken.is_empty() {
            self.bound = None;
            self.find_places();
        }
        self.observed -= taken.iter().map(|entry| entry.count).sum::<u64>();
        taken.into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    /// Puts out what is too much.
    fn settle(&mut self) {
        if self.entries.len() <= self.most {
            return;
        }
        let mut order: Vec<_> = self.entries.iter().map(Entry::order).collect();
        let last = order.select_nth_unstable(self.most - 1).1;
        let last = (last.0, last.1.clone());
        let mut left = 0;
        let places = self.entries.iter().map(|entry| {
            let stays = entry.order() <= (last.0, &last.1);
            left += u32::from(stays);
            stays.then(|| left - 1)
        });
        let places: Vec<Option<u32>> = places.collect();
        self.index.retain(|known| {
            let place = places[known.place as usize];
            place.into_iter().for_each(|place| known.place = place);
            place.is_some()
        });
        self.entries.retain(|entry| entry.order() <= (last.0, &last.1));
        self.bound = Some(last);
    }

    fn find_places(&mut self) {
        self.index.clear();
        for (place, entry) in self.entries.iter().enumerate() {
            let tag = tag(&self.quick, &entry.key);
            let known = Known { tag, place: place as u32 };
            self.index.insert_unique(Known::hash(tag), known, |known| Known::hash(known.tag));
        }
    }

    fn place(&self, tag: u32, key: &K) -> Option<usize> {
        let is_it = |known: &Known| known.tag == tag && self.entries[known.place as usize].key == *key;
        self.index.find(Known::hash(tag), is_it).map(|known| known.place as usize)
    }

    /// Lower hashes, or lower keys of the same hash, fill the table.
    fn is_beyond(&self, hash: u64, key: &K) -> bool {
        self.bound.as_ref().is_some_and(|(bound, last)| (hash, key) > (*bound, last))
    }

    /// The place of a key that was not there.
    fn add(&mut self, tag: u32, hash: u64, key: K, value: V) -> usize {
        let place = self.entries.len();
        let entry = Entry { hash, key, count: 0, value };
        self.sorted &= self.entries.last().is_none_or(|last| last.order() < entry.order());
        self.entries.push(entry);
        let known = Known { tag, place: place as u32 };
        self.index.insert_unique(Known::hash(tag), known, |known| Known::hash(known.tag));
        if self.entries.len() == self.most {
            let highest = self.entries.iter().max_by(|one, other| one.order().cmp(&other.order()));
            self.bound = highest.map(|entry| (entry.hash, entry.key.clone()));
        }
        place
    }

    /// The entry of `key`, when it stays.
    fn entry(&self, key: &K) -> Option<&Entry<K, V>> {
        let entry = &self.entries[self.place(tag(&self.quick, key), key)?];
        let below = || self.entries.iter().filter(|other| other.order() < entry.order()).count();
        (self.entries.len() <= self.most || below() < self.most).then_some(entry)
    }

    /// How often `key` was observed, and its value.
    pub fn get(&self, key: &K) -> Option<(u64, &V)> {
        self.entry(key).map(|entry| (entry.count, &entry.value))
    }

    /// The value of `key`, without observing anything.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.settle();
        let place = self.place(tag(&self.quick, key), key)?;
        Some(&mut self.entries[place].value)
    }
}

fn tag<K: Hash>(quick: &DefaultHashBuilder, key: &K) -> u32 {
    (quick.hash_one(key) >> 32) as u32
}

impl<K: Ord + Hash + Clone, V: Default, const MOST: usize> Bounded<K, V, MOST> {
    /// The value of `key` to count one observation in; `None` when lower hashes fill the table.
    pub fn observe(&mut self, hash: u64, key: K) -> Option<&mut V> {
        self.observe_by(key, |_| hash)
    }

    /// The same; the key is made only where its hash may find a place.
    pub fn observe_new(&mut self, hash: u64, key: impl FnOnce() -> K) -> Option<&mut V> {
        if self.bound.as_ref().is_some_and(|(bound, _)| hash > *bound) {
            self.observed += 1;
            return None;
        }
        self.observe(hash, key())
    }

    /// The same by the hash of the key.
    pub fn count(&mut self, key: K) -> Option<&mut V>
    where
        K: Serialize,
    {
        self.observe_by(key, hash_of)
    }

    /// The same by a hash that is asked for when the key is new.
    pub fn observe_by(&mut self, key: K, hash: impl Fn(&K) -> u64) -> Option<&mut V> {
        self.observed += 1;
        if self.entries.get(self.last).is_none_or(|entry| entry.key != key) {
            self.last = self.find_or_add(key, hash)?;
        }
        let entry = &mut self.entries[self.last];
        entry.count += 1;
        Some(&mut entry.value)
    }

    /// The place of a key; `None` when lower hashes fill the table.
    fn find_or_add(&mut self, key: K, hash: impl Fn(&K) -> u64) -> Option<usize> {
        // A full table turns most keys away that it does not have. It has none that it would turn away.
        let known = self.bound.is_some().then(|| hash(&key));
        if known.is_some_and(|hash| self.is_beyond(hash, &key)) {
            return None;
        }
        let tag = tag(&self.quick, &key);
        if let Some(place) = self.place(tag, &key) {
            return Some(place);
        }
        let hash = known.unwrap_or_else(|| hash(&key));
        if self.entries.len() > self.most + self.most / 4 {
            self.settle();
            if self.is_beyond(hash, &key) {
                return None;
            }
        }
        Some(self.add(tag, hash, key, V::default()))
    }
}

impl<K: Ord + Hash + Clone, V: Default + Merge, const MOST: usize> Merge for Bounded<K, V, MOST> {
    fn narrow(&mut self, halvings: u32) {
        self.most = (self.most >> halvings).max(self.most.min(LEAST));
    }

    fn absorb(&mut self, mut other: Self) {
        // One that nothing was counted in may not have been narrowed.
        let most = self.most.min(other.most);
        (self.most, other.most) = (most, most);
        // The larger one stays as it is.
        if self.entries.len() < other.entries.len() {
            std::mem::swap(self, &mut other);
        }
        self.observed += other.observed;
        // What was merged is read next, and that is quick only when nothing is too much.
        self.settle();
        if other.entries.is_empty() {
            return;
        }
        other.settle();
        for Entry { hash, key, count, value } in other.entries {
            let tag = tag(&self.quick, &key);
            let place = match self.place(tag, &key) {
                Some(place) => {
                    self.entries[place].value.absorb(value);
                    place
                }
                None => self.add(tag, hash, key, value),
            };
            self.entries[place].count += count;
        }
        if self.bound.is_none() || other.bound.as_ref().is_some_and(|other| self.bound.as_ref() > Some(other))
        {
            self.bound = other.bound;
        }
        self.settle();
    }
}

/// How it travels: by hash and key, how often the key was observed, and its value; most; observed.
type Plain<Map> = (Map, usize, u64);

impl<K: Ord + Hash + Clone + Serialize, V: Serialize, const MOST: usize> Serialize for Bounded<K, V, MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = self.kept().into_iter();
        let kept: BTreeMap<_, _> = kept.map(|entry| (entry.order(), (entry.count, &entry.value))).collect();
        let plain: Plain<_> = (kept, self.most, self.observed);
        plain.serialize(serializer)
    }
}

impl<'de, K, V, const MOST: usize> Deserialize<'de> for Bounded<K, V, MOST>
where
    K: Ord + Hash + Clone + Deserialize<'de>,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kept, most, observed): Plain<BTreeMap<(u64, K), (u64, V)>> =
            Deserialize::deserialize(deserializer)?;
        let mut table = Self { observed, ..Self::of(most) };
        for ((hash, key), (count, value)) in kept {
            let place = table.add(tag(&table.quick, &key), hash, key, value);
            table.entries[place].count = count;
        }
        Ok(table)
    }
}

/// Distinct values, counted up to a limit. `MOST` are told apart; a full table says "at least". In the order
/// of their hashes: most cases have one value, for which a tree would take ten times its memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Distinct<T, const MOST: usize = 512>(Vec<(u64, T)>);

impl<T, const MOST: usize> Default for Distinct<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
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
        self.iter().next().filter(|_| self.0.len() == 1)
    }

    /// The values, in the order of their hashes: the first few are a fair sample.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// `3 clients`, `at least 512 clients`.
    pub fn of(&self, noun: &str) -> String {
        let text = super::plural(self.count(), noun);
        if self.is_full() { format!("at least {text}") } else { text }
    }
}

impl<T: Serialize + PartialEq, const MOST: usize> Distinct<T, MOST> {
    /// Takes a value.
    pub fn add(&mut self, value: T) {
        // Most have one value, again and again.
        if self.only() == Some(&value) {
            return;
        }
        self.insert(hash_of(&value), value);
    }
}

impl<T, const MOST: usize> Distinct<T, MOST> {
    fn insert(&mut self, hash: u64, value: T) {
        // Of many values most are turned away.
        if self.is_full() && self.0.last().is_some_and(|(last, _)| *last < hash) {
            return;
        }
        let Err(place) = self.0.binary_search_by_key(&hash, |(known, _)| *known) else { return };
        if place < MOST {
            if self.0.is_empty() {
                self.0.reserve_exact(1);
            }
            self.0.truncate(MOST - 1);
            self.0.insert(place, (hash, value));
        }
    }
}

impl<T, const MOST: usize> Merge for Distinct<T, MOST> {
    fn absorb(&mut self, mut other: Self) {
        if self.0.is_empty() {
            return *self = other;
        }
        // One flow or lookup gives one value.
        if other.0.len() <= 2 {
            return other.0.into_iter().for_each(|(hash, value)| self.insert(hash, value));
        }
        self.0.append(&mut other.0);
        self.0.sort_by_key(|(hash, _)| *hash);
        self.0.dedup_by_key(|(hash, _)| *hash);
        self.0.truncate(MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(keys: &[u8]) -> Bounded<u8, u64, 4> {
        let mut table = Bounded::default();
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
            let (all, joined): (Vec<_>, Vec<_>) = (whole.iter().collect(), parts.iter().collect());
            prop_assert_eq!(all, joined);
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
        let mut table: Bounded<u32, u64, 64> = Bounded::default();
        for address in 0..10_000u32 {
            table.observe(hash_of(&address), address);
        }
        let kept: Vec<u32> = table.iter().map(|(address, ..)| *address).collect();
        assert_eq!(kept.len(), 64);
        let upper = kept.iter().filter(|address| **address >= 5_000).count();
        assert!((16..=48).contains(&upper), "{upper} of 64 from the upper half");
        assert_eq!(table.lost(), 10_000 - 64);
        assert!(kept.iter().all(|address| !table.covers(u64::MAX) && table.get(address).is_some()));
    }

    /// Tables of fewer keys keep the same ones as a whole one that is cut down, in whatever order they merge.
    #[test]
    fn narrowed_tables_keep_the_lowest_hashes_of_all() {
        let table = |keys: std::ops::Range<u32>, halvings| {
            let mut table: Bounded<u32, u64> = Bounded::default();
            table.narrow(halvings);
            keys.for_each(|key| *table.count(key).unwrap_or(&mut 0) += 1);
            table
        };
        let kept = |table: Bounded<u32, u64>| -> Vec<u32> { table.iter().map(|(key, ..)| *key).collect() };
        let all = kept(table(0..6_000, 0));
        for (halvings, most) in [(1, 2_048), (3, 512), (40, 512)] {
            assert_eq!(kept(table(0..6_000, halvings)), all[..most]);
            for (first, second) in [(halvings, halvings), (0, halvings), (halvings, 0)] {
                let mut parts: Bounded<u32, u64> = Bounded::default();
                parts.absorb(table(0..2_500, first));
                parts.absorb(table(2_500..6_000, second));
                assert_eq!(parts.observed(), 6_000);
                assert_eq!(parts.lost(), 6_000 - most as u64);
                assert_eq!(kept(parts), all[..most], "{first} {second}");
            }
        }
        let mut small: Bounded<u32, u64, 64> = Bounded::default();
        small.narrow(3);
        (0..100).for_each(|key| *small.count(key).unwrap_or(&mut 0) += 1);
        assert_eq!(small.iter().count(), 64, "a small one keeps all");
    }

    /// All keys share a hash, as the clients of one service do: the lowest stay, in whatever order they came.
    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let table = |keys: &mut dyn Iterator<Item = u32>| {
            let mut table: Bounded<u32, u64, 64> = Bounded::default();
            keys.for_each(|key| *table.observe(7, key % 1_000).unwrap_or(&mut 0) += 1);
            table
        };
        let (up, down) = (table(&mut (0..3_000)), table(&mut (0..3_000).rev()));
        let mut parts = table(&mut (0..1_700));
        parts.absorb(table(&mut (1_700..3_000)));
        for table in [up, down, parts] {
            let kept: Vec<(u32, u64, u64)> =
                table.iter().map(|(key, observed, value)| (*key, observed, *value)).collect();
            assert_eq!(kept, (0..64).map(|key| (key, 3, 3)).collect::<Vec<_>>());
            assert_eq!((table.lost(), table.covers(7), table.covers(6)), (3_000 - 192, false, true));
        }
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
