//! Adding up what partitions counted apart.

use std::collections::BTreeMap;

use crate::flow::Histogram;
use crate::time::Span;

/// Adds another partition's counts. Commutative and associative: partitions are merged in any order.
pub trait Merge {
    /// Takes the other's counts in.
    fn absorb(&mut self, other: Self);

    /// Halves the keys that tables may keep, so many times. Comes before anything is counted.
    fn narrow(&mut self, _halvings: u32) {}
}

impl Merge for () {
    fn absorb(&mut self, (): Self) {}
}

impl Merge for u64 {
    fn absorb(&mut self, other: Self) {
        *self += other;
    }
}

impl Merge for u32 {
    fn absorb(&mut self, other: Self) {
        *self = self.saturating_add(other);
    }
}

impl Merge for Span {
    fn absorb(&mut self, other: Self) {
        *self += other;
    }
}

impl<const BITS: u32> Merge for Histogram<BITS> {
    fn absorb(&mut self, other: Self) {
        self.extend(&other);
    }
}

impl<T: Merge, const N: usize> Merge for [T; N] {
    fn absorb(&mut self, other: Self) {
        for (one, more) in self.iter_mut().zip(other) {
            one.absorb(more);
        }
    }
}

impl<K: Ord, V: Merge + Default> Merge for BTreeMap<K, V> {
    fn absorb(&mut self, other: Self) {
        for (key, value) in other {
            self.entry(key).or_default().absorb(value);
        }
    }
}

/// Declares what is counted: fields that begin empty, travel, and are added up one by one.
macro_rules! merged {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
        $vis struct $name {
            $($(#[$field_doc])* $field_vis $field: $type,)*
        }

        impl $crate::detect::Merge for $name {
            fn absorb(&mut self, other: Self) {
                $($crate::detect::Merge::absorb(&mut self.$field, other.$field);)*
            }

            fn narrow(&mut self, halvings: u32) {
                $($crate::detect::Merge::narrow(&mut self.$field, halvings);)*
            }
        }
    };
    ($(#[$doc:meta])* $vis:vis struct $name:ident($type:ty);) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
        $vis struct $name($type);

        impl $crate::detect::Merge for $name {
            fn absorb(&mut self, other: Self) {
                $crate::detect::Merge::absorb(&mut self.0, other.0);
            }

            fn narrow(&mut self, halvings: u32) {
                $crate::detect::Merge::narrow(&mut self.0, halvings);
            }
        }
    };
}
pub(super) use merged;
