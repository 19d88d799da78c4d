//! Which findings can be causes of which: what the rules declare.

use crate::detect::{EXPLAINS, Explains, Finding};

/// What findings of this rule and variant explain.
pub(super) fn explained_by(cause: &Finding) -> impl Iterator<Item = &'static Explains> {
    let (detector, variant) = (cause.detector, cause.variant);
    let edges = EXPLAINS.iter().filter(move |(name, _)| *name == detector).flat_map(|(_, edges)| *edges);
    edges.filter(move |edge| edge.when.is_empty() || edge.when.contains(&variant))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::detect::{Meet, RULES};

    fn edges() -> impl Iterator<Item = (&'static str, &'static Explains)> {
        EXPLAINS.iter().flat_map(|(cause, edges)| edges.iter().map(move |edge| (*cause, edge)))
    }

    #[test]
    fn nothing_explains_itself_however_long_the_way() {
        let mut explained: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (cause, edge) in edges() {
            // What a proxy or a forwarder got is of the same kind as what it passes on, and of another leg.
            let itself = |symptom: &&str| edge.meet == Meet::Upstream && *symptom == cause;
            let symptoms = edge.symptoms.iter().copied().filter(|symptom| !itself(symptom));
            explained.entry(cause).or_default().extend(symptoms);
        }
        for start in explained.keys() {
            let (mut seen, mut next) = (BTreeSet::new(), vec![*start]);
            while let Some(rule) = next.pop() {
                for symptom in explained.get(rule).into_iter().flatten().copied() {
                    assert_ne!(symptom, *start, "{start} explains itself, by way of {rule}");
                    if seen.insert(symptom) {
                        next.push(symptom);
                    }
                }
            }
        }
    }

    #[test]
    fn the_relation_names_rules_and_variants_of_the_catalogue() {
        for (cause, edge) in edges() {
            for symptom in edge.symptoms {
                assert!(RULES.iter().any(|rule| rule.name == *symptom), "{cause} explains {symptom}");
            }
            let rule = RULES.iter().find(|rule| rule.name == cause).expect("a rule");
            for variant in edge.when {
                assert!(rule.variant_names().any(|name| name == *variant), "{cause} has no {variant}");
            }
        }
    }
}
