//! Which finding is a symptom of which.

use crate::correlate::overlap::{covered, meets_in_time};
use crate::correlate::relation::{explained_by, is_symptom};
use crate::detect::{Explains, Finding, Meet, Severity};
use crate::humanize::{percent, plural};

/// The share of a symptom that its cause covers at least: most of it.
const MOST: f64 = 0.5;

/// Causes of one rule that are looked at, the weightiest first: far more than a report lists.
const CAUSES: usize = 256;

/// A finding, and the one that it is a symptom of.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// Place of the cause.
    pub(super) cause: usize,
    /// In a few words.
    pub(super) why: String,
}

/// The cause of each finding; `None` when it has none. Findings are in the order of their weight. Following
/// the causes ends: the relation of the rules has no circles, and two legs that explain each other are cut.
pub(super) fn causes(findings: &[Finding]) -> Vec<Option<Cause>> {
    let mut candidates: Vec<usize> = Vec::new();
    let mut by_rule: std::collections::BTreeMap<&str, usize> = Default::default();
    for (place, finding) in findings.iter().enumerate() {
        if explained_by(finding).next().is_some() {
            let count = by_rule.entry(finding.detector).or_default();
            *count += 1;
            if *count <= CAUSES {
                candidates.push(place);
            }
        }
    }
    let mut causes: Vec<Option<Cause>> =
        (0..findings.len()).map(|place| cause_of(place, findings, &candidates)).collect();
    for start in 0..causes.len() {
        // Of a circle, the weightiest keeps no cause. It is the first that comes by here.
        let next = |place: usize| causes.get(place).and_then(Option::as_ref).map(|cause| cause.cause);
        let way = std::iter::successors(next(start), |place| next(*place)).take(findings.len());
        let is_circle = way.take_while(|place| *place >= start).any(|place| place == start);
        if let Some(cause) = causes.get_mut(start).filter(|_| is_circle) {
            *cause = None;
        }
    }
    causes
}

fn cause_of(place: usize, findings: &[Finding], candidates: &[usize]) -> Option<Cause> {
    let symptom = findings.get(place)?;
    if !is_symptom(symptom.detector) {
        return None;
    }
    let mut best: Option<(f64, usize, &Explains)> = None;
    for place in candidates.iter().filter(|candidate| **candidate != place) {
        let Some(cause) = findings.get(*place) else { continue };
        for edge in explained_by(cause).filter(|edge| edge.symptoms.contains(&symptom.detector)) {
            // The first of the best: candidates are in the order of their weight.
            if let Some(share) = holds(edge, cause, symptom)
                && best.is_none_or(|(most, ..)| share > most)
            {
                best = Some((share, *place, edge));
            }
        }
    }
    let (share, cause, edge) = best?;
    Some(Cause { cause, why: why(edge.meet, share, symptom) })
}

/// The share of `symptom` that `cause` covers, where it is most of it, and the two meet as `edge` says.
pub(super) fn holds(edge: &Explains, cause: &Finding, symptom: &Finding) -> Option<f64> {
    if !meets_in_time(cause, symptom, edge.within) || is_beyond(edge.meet, cause, symptom) {
        return None;
    }
    Some(covered(edge.meet, cause, symptom)).filter(|share| *share >= MOST)
}

/// Something at the same place that nobody felt is no cause of what somebody did.
fn is_beyond(meet: Meet, cause: &Finding, symptom: &Finding) -> bool {
    let by_place = matches!(meet, Meet::Service | Meet::Server | Meet::Host | Meet::Clients);
    by_place && cause.severity == Severity::Info && symptom.severity > Severity::Info
}

fn why(meet: Meet, share: f64, symptom: &Finding) -> String {
    let scope = &symptom.scope;
    let of = |count: u64, noun: &str| format!("{} of its {}", percent_of(share), plural(count, noun));
    match meet {
        Meet::Flows => of(scope.flows.count, "flow"),
        Meet::Service => of(scope.servers.count, "service"),
        Meet::Server | Meet::Host => "the same host".to_owned(),
        Meet::Clients => of(scope.clients.count, "client"),
        Meet::Names => of(scope.names.count, "name"),
        Meet::Upstream => "its server is the client there".to_owned(),
        Meet::Recording => "the same recording".to_owned(),
    }
}

/// Findings of different rules about the same flows: one incident, though no rule says which is the cause.
pub(super) fn together(a: &Finding, b: &Finding) -> Option<String> {
    const SAME: f64 = 0.8;
    let share = covered(Meet::Flows, a, b);
    (share >= SAME).then(|| format!("{} of its flows are the same", percent_of(share)))
}

fn percent_of(share: f64) -> String {
    percent((share * 1000.0).round() as u64, 1000)
}
