//! The numbers of a case: declared once, merged and listed by their declaration.

use serde::{Deserialize, Serialize};

use crate::detect::{Distinct, Merge};
use crate::time::{Span, Timestamp};

/// A number that a finding states.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Count {
    /// snake_case name.
    pub name: &'static str,
    /// The number.
    pub value: u64,
}

/// What a detector counts in a case.
pub trait Counts: Merge + Default {
    /// The numbers that are not zero, in the order of their declaration.
    fn list(&self) -> Vec<Count> {
        Vec::new()
    }
}

impl Counts for () {}

/// A field of [`Counts`]. It is listed when it is a number other than zero.
pub trait Listed {
    /// The number.
    fn listed(&self) -> Option<u64>;
}

impl Listed for u64 {
    fn listed(&self) -> Option<u64> {
        (*self > 0).then_some(*self)
    }
}

impl<T, const MOST: usize> Listed for Distinct<T, MOST> {
    fn listed(&self) -> Option<u64> {
        self.count().listed()
    }
}

/// Times go into the impact or into words.
impl Listed for Span {
    fn listed(&self) -> Option<u64> {
        None
    }
}

/// Times go into words.
impl Listed for crate::flow::Times {
    fn listed(&self) -> Option<u64> {
        None
    }
}

impl<K, V> Listed for std::collections::BTreeMap<K, V> {
    fn listed(&self) -> Option<u64> {
        None
    }
}

impl<T, const N: usize> Listed for [T; N] {
    fn listed(&self) -> Option<u64> {
        None
    }
}

/// The smallest value seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Least(Option<u64>);

impl Least {
    /// Takes a value.
    pub fn add(&mut self, value: impl Into<u64>) {
        self.absorb(Self(Some(value.into())));
    }

    /// The smallest, 0 when there was none.
    pub fn get(self) -> u64 {
        self.0.unwrap_or(0)
    }
}

impl Merge for Least {
    fn absorb(&mut self, other: Self) {
        self.0 = self.0.into_iter().chain(other.0).min();
    }
}

impl Listed for Least {
    fn listed(&self) -> Option<u64> {
        self.0
    }
}

/// The largest value seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Most(u64);

impl Most {
    /// Takes a value.
    pub fn add(&mut self, value: impl Into<u64>) {
        self.0 = self.0.max(value.into());
    }

    /// The largest, 0 when there was none.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Merge for Most {
    fn absorb(&mut self, other: Self) {
        self.add(other.0);
    }
}

impl Listed for Most {
    fn listed(&self) -> Option<u64> {
        self.0.listed()
    }
}

/// The earliest time seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earliest(Option<Timestamp>);

impl Earliest {
    /// Takes a time.
    pub fn add(&mut self, time: Timestamp) {
        self.absorb(Self(Some(time)));
    }

    /// The earliest; `None` when there was none.
    pub fn get(self) -> Option<Timestamp> {
        self.0
    }
}

impl Merge for Earliest {
    fn absorb(&mut self, other: Self) {
        self.0 = self.0.into_iter().chain(other.0).min();
    }
}

/// Times go into words.
impl Listed for Earliest {
    fn listed(&self) -> Option<u64> {
        None
    }
}

/// The latest time seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest(Option<Timestamp>);

impl Latest {
    /// Takes a time.
    pub fn add(&mut self, time: Timestamp) {
        self.absorb(Self(Some(time)));
    }

    /// The latest; `None` when there was none.
    pub fn get(self) -> Option<Timestamp> {
        self.0
    }
}

impl Merge for Latest {
    fn absorb(&mut self, other: Self) {
        self.0 = self.0.max(other.0);
    }
}

/// Times go into words.
impl Listed for Latest {
    fn listed(&self) -> Option<u64> {
        None
    }
}

/// Declares what a detector counts: fields that merge, and that a finding lists by their names.
macro_rules! counts {
    ($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $crate::detect::merged! {
            $(#[$doc])*
            pub(super) struct $name { $($(#[$field_doc])* $field: $type,)* }
        }

        impl $crate::detect::Counts for $name {
            fn list(&self) -> Vec<$crate::detect::Count> {
                use $crate::detect::{Count, Listed};
                let listed = [$((stringify!($field), self.$field.listed()),)*];
                listed.into_iter().filter_map(|(name, value)| Some(Count { name, value: value? })).collect()
            }
        }
    };
}
pub(super) use counts;

#[cfg(test)]
mod tests {
    use super::*;

    counts! {
        /// An example.
        struct Example {
            seen: u64,
            unseen: u64,
            smallest: Least,
            largest: Most,
            waited: Span,
        }
    }

    #[test]
    fn fields_merge_and_are_listed_by_name() {
        let mut one = Example { seen: 2, waited: Span::secs(1), ..Example::default() };
        one.smallest.add(7u32);
        let mut other = Example { seen: 3, waited: Span::secs(2), ..Example::default() };
        other.smallest.add(4u32);
        other.largest.add(9u32);
        one.absorb(other);
        assert_eq!(one.waited, Span::secs(3));
        let listed: Vec<(&str, u64)> = one.list().iter().map(|count| (count.name, count.value)).collect();
        assert_eq!(listed, [("seen", 5), ("smallest", 4), ("largest", 9)]);
    }
}
