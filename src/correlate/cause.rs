//! Which finding is a symptom of which.

use std::collections::BTreeMap;

use crate::correlate::overlap::{self, Place, covered, meets_in_time};
use crate::correlate::relation::explained_by;
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
    let places: Vec<Place<'_>> = findings.iter().map(Place::of).collect();
    let mut candidates = Candidates::new();
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, finding) in findings.iter().enumerate() {
        let mut edges = explained_by(finding).peekable();
        let count = by_rule.entry(finding.detector).or_default();
        *count += usize::from(edges.peek().is_some());
        for edge in edges.filter(|_| *count <= CAUSES) {
            for symptom in edge.symptoms {
                candidates.entry(symptom).or_default().push((number, edge));
            }
        }
    }
    let mut causes: Vec<Option<Cause>> =
        (0..places.len()).map(|place| cause_of(place, &places, &candidates)).collect();
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

/// By rule, what can explain its findings: the places of causes in the order of their weight, and how.
type Candidates<'e> = BTreeMap<&'e str, Vec<(usize, &'e Explains)>>;

fn cause_of(place: usize, places: &[Place<'_>], candidates: &Candidates<'_>) -> Option<Cause> {
    let symptom = places.get(place)?;
    let mut best: Option<(f64, usize, &Explains)> = None;
    for (number, edge) in candidates.get(symptom.finding.detector)? {
        let Some(cause) = places.get(*number).filter(|_| *number != place) else { continue };
        // The first of the best: candidates are in the order of their weight.
        if let Some(share) = holds(edge, cause, symptom)
            && best.is_none_or(|(most, ..)| share > most)
        {
            best = Some((share, *number, edge));
        }
    }
    let (share, cause, edge) = best?;
    Some(Cause { cause, why: why(edge.meet, share, symptom.finding) })
}

/// The share of `symptom` that `cause` covers, where it is most of it, and the two meet as `edge` says.
pub(super) fn holds(edge: &Explains, cause: &Place<'_>, symptom: &Place<'_>) -> Option<f64> {
    let (by, of) = (cause.finding, symptom.finding);
    if !meets_in_time(by, of, edge.within) || is_beyond(edge.meet, by, of) {
        return None;
    }
    Some(covered(edge.meet, cause, symptom)).filter(|share| *share >= MOST)
}

/// Something at the same place that nobody felt is no cause of what somebody did.
fn is_beyond(meet: Meet, cause: &Finding, symptom: &Finding) -> bool {
    let by_flow = matches!(meet, Meet::Flows | Meet::Names | Meet::Upstream);
    !by_flow && cause.severity == Severity::Info && symptom.severity > Severity::Info
}

fn why(meet: Meet, share: f64, symptom: &Finding) -> String {
    let scope = &symptom.scope;
    let of = |count: u64, noun: &str| match count {
        1 => format!("its {noun} is the same"),
        _ => format!("{} of its {}", percent_of(share), plural(count, noun)),
    };
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
    let share = overlap::flows(&b.scope.flows, &a.scope.flows);
    (share >= SAME).then(|| format!("{} of its flows are the same", percent_of(share)))
}

fn percent_of(share: f64) -> String {
    percent((share * 1000.0).round() as u64, 1000)
}
