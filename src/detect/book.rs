//! All that a detector knows: its cases, what it judged, and what it could not judge and why.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::detect::{Bounded, Case, Context, Detector, Finding, Merge, NotAssessed, Verdict, hash_of};
use crate::dissect::Endpoint;

/// Something that can be a key, and travels.
pub trait Field: Ord + Hash + Clone + Debug + Serialize + DeserializeOwned + Send {}

impl<T: Ord + Hash + Clone + Debug + Serialize + DeserializeOwned + Send> Field for T {}

/// A key of cases. Its first part is the subject, which failing and healthy things have in common. Shares
/// are of everything judged of a subject. The rest of the key tells cases of one subject apart.
pub trait Key: Field {
    /// The subject.
    type Subject: Field;

    /// The subject of this case.
    fn subject(&self) -> Self::Subject;
}

impl Key for () {
    type Subject = ();
    fn subject(&self) {}
}

impl Key for Endpoint {
    type Subject = Self;
    fn subject(&self) -> Self {
        *self
    }
}

impl<A: Field> Key for (A,) {
    type Subject = A;
    fn subject(&self) -> A {
        self.0.clone()
    }
}

impl<A: Field, B: Field> Key for (A, B) {
    type Subject = A;
    fn subject(&self) -> A {
        self.0.clone()
    }
}

impl<A: Field, B: Field, C: Field> Key for (A, B, C) {
    type Subject = A;
    fn subject(&self) -> A {
        self.0.clone()
    }
}

/// The subject of a detector's cases.
pub type SubjectOf<D> = <<D as Detector>::Key as Key>::Subject;

/// Cases that were counted together, and how many there were.
pub struct Group<G, C> {
    /// What they have in common.
    pub by: G,
    /// How many cases.
    pub cases: u64,
    /// All of them as one.
    pub case: Case<C>,
}

/// Subjects kept: more than cases, because the healthy are among them.
const SUBJECTS: usize = 1 << 16;

/// What could not be judged, and why.
type Reason = (Cow<'static, str>, Cow<'static, str>);

/// All that a detector knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Book<D: Detector> {
    cases: Bounded<D::Key, Case<D::Counts>>,
    /// What was judged, by subject.
    totals: Bounded<SubjectOf<D>, D::Total, SUBJECTS>,
    /// How many things could not be judged, by unit and reason: a handful, which most flows add to.
    not_judged: Vec<(Reason, u64)>,
    /// What the detector keeps beside its cases.
    pub notes: D::Notes,
}

impl<D: Detector> Default for Book<D> {
    fn default() -> Self {
        Self {
            cases: Bounded::of(D::CASES),
            totals: Bounded::default(),
            not_judged: Vec::new(),
            notes: D::Notes::default(),
        }
    }
}

impl<D: Detector> Book<D> {
    /// One more thing of this subject was judged. The value takes what the detector counts of everything
    /// judged. `None` when subjects of lower hashes fill the table.
    pub fn judged(&mut self, subject: &SubjectOf<D>) -> Option<&mut D::Total> {
        self.totals.count(subject.clone())
    }

    /// Something could not be judged; `why` in a few words, e.g. `one direction only`.
    pub fn not_judged(&mut self, why: &'static str) {
        self.not_judged_many(why, 1);
    }

    /// The same for several things.
    pub fn not_judged_many(&mut self, why: &'static str, count: u64) {
        self.not_judged_of(D::RULE.judges, why, count);
    }

    /// The same for things of another kind than the rule sheet names, e.g. `files`.
    pub fn not_judged_of(&mut self, unit: &'static str, why: &'static str, count: u64) {
        if count > 0 {
            self.add_not_judged((Cow::Borrowed(unit), Cow::Borrowed(why)), count);
        }
    }

    fn add_not_judged(&mut self, reason: Reason, count: u64) {
        // Words of the program stand in one place, and most things are not judged for the same reason.
        let same = |one: &str, other: &str| std::ptr::eq(one, other);
        let known = self
            .not_judged
            .iter()
            .position(|(known, _)| same(&known.1, &reason.1) && same(&known.0, &reason.0));
        let equal = || self.not_judged.iter().position(|(known, _)| *known == reason);
        match known.or_else(equal).and_then(|place| self.not_judged.get_mut(place)) {
            Some((_, known)) => *known += count,
            None => self.not_judged.push((reason, count)),
        }
    }

    /// A limit cut a flow, so that nobody who judges flows can.
    pub fn cut(&mut self) {
        if matches!(D::RULE.judges, "flows" | "handshakes") {
            self.not_judged_of("flows", "a limit cut the flow: see what was capped", 1);
        }
    }

    /// The case to count one more thing in; `None` when cases of lower hashes fill the table.
    pub fn case(&mut self, key: D::Key) -> Option<&mut Case<D::Counts>> {
        // By the subject, so that cases of one subject are kept together and with their total.
        self.cases.observe_by(key, |key| hash_of(&key.subject()))
    }

    /// What was judged of a subject, and what the detector counted of it.
    pub fn total(&self, subject: &SubjectOf<D>) -> (u64, Option<&D::Total>) {
        match self.totals.get(subject) {
            Some((count, total)) => (count, Some(total)),
            None => (0, None),
        }
    }

    /// Every subject's total: subject, things judged, what the detector counted of them.
    pub fn totals(&self) -> impl Iterator<Item = (&SubjectOf<D>, u64, &D::Total)> {
        self.totals.iter()
    }

    /// Every case.
    pub fn cases(&self) -> impl Iterator<Item = (&D::Key, &Case<D::Counts>)> {
        self.cases.iter().map(|(key, _, case)| (key, case))
    }

    /// One case.
    pub fn find(&self, key: D::Key) -> Option<&Case<D::Counts>> {
        self.cases.get(&key).map(|(_, case)| case)
    }

    /// One case, to add to.
    pub fn find_mut(&mut self, key: D::Key) -> Option<&mut Case<D::Counts>> {
        self.cases.get_mut(&key)
    }

    /// Takes out the cases that `wanted` accepts.
    pub fn take(
        &mut self,
        wanted: impl FnMut(&D::Key, &Case<D::Counts>) -> bool,
    ) -> Vec<(D::Key, Case<D::Counts>)> {
        self.cases.take_if(wanted)
    }

    /// Takes out the cases that have the same `by`, where there are at least `least` of them. Adds up the
    /// cases of each such group.
    pub fn group<G: Ord + Clone>(
        &mut self,
        least: u64,
        by: impl Fn(&D::Key, &Case<D::Counts>) -> Option<G>,
    ) -> Vec<Group<G, D::Counts>> {
        let mut sizes: BTreeMap<G, u64> = BTreeMap::new();
        for group in self.cases().filter_map(|(key, case)| by(key, case)) {
            *sizes.entry(group).or_default() += 1;
        }
        sizes.retain(|_, size| *size >= least);
        let mut groups: BTreeMap<G, (Case<D::Counts>, u64)> = BTreeMap::new();
        let grouped = self.take(|key, case| by(key, case).is_some_and(|group| sizes.contains_key(&group)));
        for (key, case) in grouped {
            if let Some(group) = by(&key, &case) {
                let total = self.total(&key.subject()).0.max(case.failed);
                let (sum, cases) = groups.entry(group).or_default();
                sum.absorb(case);
                sum.total += total;
                *cases += 1;
            }
        }
        groups.into_iter().map(|(by, (case, cases))| Group { by, cases, case }).collect()
    }

    /// Cases rest on how long something took: without a clock that says so nothing can be judged.
    pub fn without_time(&mut self, context: &Context<'_>) {
        if !context.keeps_time() {
            let flows = self.take(|_, _| true).iter().map(|(_, case)| case.flows()).sum();
            self.not_judged_many("the clock of the capture steps back", flows);
        }
    }

    /// Judges what was counted in all partitions.
    pub fn finish(mut self, detector: &D, context: &Context<'_>) -> Verdict {
        let rule = &D::RULE;
        self.cases.sort();
        self.totals.sort();
        let lost = self.cases.lost();
        let concluded = detector.conclude(&mut self, context);
        let mut findings: Vec<Finding> =
            concluded.into_iter().map(|(draft, case)| draft.finding(rule, &case, context)).collect();
        for (key, mut case) in self.take(|_, _| true) {
            case.total = self.total(&key.subject()).0;
            let draft = detector.judge(&key, &case, &self, context);
            findings.extend(draft.map(|draft| draft.finding(rule, &case, context)));
        }
        self.not_judged_many("more subjects than are kept apart", lost);
        self.not_judged.sort_unstable();
        Verdict {
            findings,
            assessed: detector.assessed(self.totals.observed(), context),
            unit: rule.judges,
            not_assessed: self
                .not_judged
                .into_iter()
                .map(|((unit, reason), count)| NotAssessed { detector: rule.name, reason, count, unit })
                .collect(),
        }
    }
}

impl<D: Detector> Merge for Book<D> {
    fn absorb(&mut self, other: Self) {
        self.cases.absorb(other.cases);
        self.totals.absorb(other.totals);
        other.not_judged.into_iter().for_each(|(reason, count)| self.add_not_judged(reason, count));
        self.notes.absorb(other.notes);
    }

    fn narrow(&mut self, halvings: u32) {
        self.cases.narrow(halvings);
        self.totals.narrow(halvings);
        self.notes.narrow(halvings);
    }
}
