//! Which types stay unanswered.

use crate::app::dns::qtype_name;
use crate::detect::Case;
use crate::detect::dns_unanswered::{Asked, Silence};

/// What explains that one type alone stays unanswered.
pub(super) const COULD_BE: [&str; 2] = [
    "a device on the way, or the resolver itself, drops queries of types that it does not know",
    "the resolver it passes them on to does not answer this type",
];

/// All lookups without response are of one type, and the resolver answers others.
pub(super) struct OneType {
    /// `HTTPS`
    pub(super) name: String,
    /// No lookup of the type was answered.
    pub(super) never: bool,
    /// Types that are answered.
    others: Vec<String>,
}

impl OneType {
    /// Where at least `least` lookups say so.
    pub(super) fn of(case: &Case<Silence>, asked: Option<&Asked>, least: u64) -> Option<Self> {
        let (only, answered) = (case.counts.types.only()?, &asked?.types);
        let mut others: Vec<u16> = answered.iter().copied().filter(|answered| answered != only).collect();
        others.sort_unstable();
        (case.failed >= least && !others.is_empty()).then(|| Self {
            name: qtype_name(*only),
            never: !answered.is_full() && answered.iter().all(|answered| answered != only),
            others: others.into_iter().map(qtype_name).collect(),
        })
    }

    /// In a sentence.
    pub(super) fn said(&self) -> String {
        let Self { name, others, .. } = self;
        format!(" All these are of type {name}; none of type {} stayed unanswered.", others.join(" or "))
    }
}
