//! findings, [`Scoreboard`] -> [`Incident`]
//!
//! A finding is what one rule saw; an incident is what happened. Findings that another one explains become
//! its symptoms (`cause`). Those of one rule that share a name, a server or a client become one incident
//! (`factor`). The [`Scoreboard`] counts how every service fared, the healthy ones, too: what sets an
//! incident apart, and what is cleared, are numbers of it (`contrast`). Everything is bounded, and depends
//! on what was found and on nothing else.

mod board;
mod cause;
mod change;
mod contrast;
mod factor;
mod incident;
mod interval;
mod layers;
mod overlap;
mod place;
mod relation;
mod scoreboard;
mod slots;
mod story;
mod timeline;

pub use board::{Board, Phase, Service};
pub use change::{Change, Level, Measure};
pub use contrast::{Cleared, Contrast, Difference};
pub use incident::{BlastRadius, Incident, Link, Tie};
pub use layers::{LayerState, State};
pub use place::{Layer, Where};
pub use scoreboard::{Failure, SERVICES, Scoreboard, ServiceKey, Tally, Traffic, outcome};
pub use timeline::{Course, Moment, Timeline};

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use crate::correlate::cause::{Cause, causes, together};
use crate::correlate::contrast::{Affected, Cost, endpoint, kind};
use crate::correlate::factor::{Factor, factors, groups};
use crate::detect::{Finding, Members, Rule, Severity, Verdict};
use crate::time::{Span, Timestamp};

/// What correlation is told beside the findings.
pub struct Facts<'a> {
    /// Every detector's verdict: what was judged at all.
    pub verdicts: &'a [(&'static Rule, Verdict)],
    /// First and last packet of the capture.
    pub capture: Option<(Timestamp, Timestamp)>,
    /// Packets.
    pub packets: u64,
    /// Packets that the files say were dropped; `None` when none says.
    pub dropped: Option<u64>,
}

/// What happened, and what works.
#[derive(Clone, Debug)]
pub struct Correlated {
    /// The weightiest first.
    pub incidents: Vec<Incident>,
    /// Ids of the findings that belong to none.
    pub other: Vec<String>,
    /// The layers, bottom up.
    pub layers: Vec<LayerState>,
    /// What works on the whole, in numbers.
    pub cleared: Vec<Cleared>,
}

/// The id of the finding in this place, counted from zero.
pub fn finding_id(place: usize) -> String {
    format!("F-{:03}", place + 1)
}

/// Rules whose clients are the cause of what they found.
const SENDERS: &[&str] = &["syn_flood", "port_scan"];

/// Incidents beyond this number are not compared with each other, nor with what is healthy: a report of so
/// many is read by programs.
const COMPARED: usize = 200;

/// Findings that belong together.
struct Draft {
    factor: Option<Factor>,
    /// Places of the findings of the root's rule, the weightiest first.
    members: Vec<usize>,
    ties: BTreeMap<usize, (Tie, String)>,
}

/// Turns findings, in the order of their weight, into incidents. Each finding belongs to one incident, or to
/// none.
pub fn correlate(findings: &[Finding], board: &Board, facts: &Facts<'_>) -> Correlated {
    let causes = causes(findings);
    let mut drafts = roots(findings, &causes);
    attach(findings, &causes, &mut drafts);
    let drafts = merged(findings, drafts);
    let taken: BTreeSet<usize> =
        drafts.iter().flat_map(|draft| draft.members.iter().chain(draft.ties.keys())).copied().collect();
    let board_of = |number: usize| (number < COMPARED).then_some(board);
    let numbered = drafts.iter().enumerate();
    let mut incidents: Vec<Incident> =
        numbered.filter_map(|(number, draft)| incident(draft, findings, board_of(number), facts)).collect();
    incidents.sort_by(order);
    let mut keys: BTreeMap<String, u64> = BTreeMap::new();
    for (incident, number) in incidents.iter_mut().zip(1..) {
        incident.id = format!("I-{number:02}");
        let seen = keys.entry(incident.key.clone()).or_default();
        *seen += 1;
        if *seen > 1 {
            incident.key = format!("{}-{seen}", incident.key);
        }
    }
    let layers = layers::layers(&incidents, facts.verdicts, board);
    let other = (0..findings.len()).filter(|place| !taken.contains(place)).map(finding_id).collect();
    Correlated { incidents, other, layers, cleared: layers::healthy(board) }
}

/// Severity, then whether things do not work or are slow, then how sure; then what failed, for how many, what
/// it cost, and when it began.
fn order(a: &Incident, b: &Incident) -> Ordering {
    let weight = |incident: &Incident| {
        let radius = &incident.blast_radius;
        (
            Reverse((incident.severity, Reverse(incident.layer == Layer::Capture))),
            incident.cost > Cost::Failures,
            Reverse(incident.confidence),
            Reverse((radius.failed, radius.clients.count, radius.seconds_lost)),
            radius.since,
        )
    };
    weight(a).cmp(&weight(b)).then_with(|| a.root_place.cmp(&b.root_place))
}

/// The finding at the end of the causes of `place`.
fn root_of(place: usize, causes: &[Option<Cause>]) -> usize {
    let mut root = place;
    // The relation has no circles; the bound is for the compiler.
    for _ in 0..causes.len() {
        match causes.get(root) {
            Some(Some(cause)) => root = cause.cause,
            _ => break,
        }
    }
    root
}

/// Time that somebody waited, from which people notice it: Nielsen, Response Times, 1993.
const NOTICED: Span = Span::millis(100);

/// Findings that nothing explains and that matter, or that explain something that matters, by what they
/// share. Where nothing matters, what somebody could have noticed is an incident for information.
fn roots(findings: &[Finding], causes: &[Option<Cause>]) -> Vec<Draft> {
    let quiet = findings.iter().all(|finding| finding.severity == Severity::Info);
    let mut by_rule: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (place, finding) in findings.iter().enumerate() {
        let root = root_of(place, causes);
        let Some(cause) = findings.get(root) else { continue };
        let impact = finding.impact;
        let felt = impact.failed_transactions > 0 || impact.seconds_lost >= NOTICED || root != place;
        let noticed = quiet && felt && Layer::of(cause.detector) != Layer::Capture;
        if finding.severity > Severity::Info || noticed {
            by_rule.entry(cause.detector).or_default().insert(root);
        }
    }
    let of_rule = |places: BTreeSet<usize>| groups(findings, &places.into_iter().collect::<Vec<_>>());
    let grouped = by_rule.into_values().flat_map(of_rule);
    grouped.map(|(factor, members)| Draft { factor, members, ties: BTreeMap::new() }).collect()
}

/// Gives the drafts their symptoms, and information about the same thing.
fn attach(findings: &[Finding], causes: &[Option<Cause>], drafts: &mut [Draft]) {
    let mut owner: BTreeMap<usize, usize> = BTreeMap::new();
    for (number, draft) in drafts.iter().enumerate() {
        draft.members.iter().for_each(|member| {
            owner.insert(*member, number);
        });
    }
    for (place, finding) in findings.iter().enumerate() {
        if owner.contains_key(&place) {
            continue;
        }
        let explained = causes.get(place).and_then(Option::as_ref).and_then(|cause| {
            let number = *owner.get(&root_of(place, causes))?;
            Some((number, (Tie::Symptom, cause.why.clone())))
        });
        let found = explained.or_else(|| alike(finding, findings, drafts));
        if let Some((number, tie)) = found
            && let Some(draft) = drafts.get_mut(number)
        {
            draft.ties.insert(place, tie);
        }
    }
}

/// The draft that a finding without a cause belongs to all the same: its rule found the same thing, or the
/// root is about the same flows.
fn alike(finding: &Finding, findings: &[Finding], drafts: &[Draft]) -> Option<(usize, (Tie, String))> {
    let own = factors(finding);
    let mut drafts = drafts.iter().enumerate().take(COMPARED);
    drafts.find_map(|(number, draft)| {
        let root = findings.get(*draft.members.first()?)?;
        let shared = draft.factor.as_ref().filter(|factor| {
            root.detector == finding.detector && **factor != Factor::Rule && own.contains(factor)
        });
        if let Some(factor) = shared {
            return Some((number, (Tie::Same, format!("the same {factor}"))));
        }
        if Layer::of(root.detector) == Layer::Capture || Layer::of(finding.detector) == Layer::Capture {
            return None;
        }
        Some((number, (Tie::Together, together(finding, root)?)))
    })
}

/// Drafts whose roots are about the same flows become one.
fn merged(findings: &[Finding], drafts: Vec<Draft>) -> Vec<Draft> {
    let mut drafts = drafts;
    drafts.sort_by_key(|draft| draft.members.first().copied());
    let mut kept: Vec<Draft> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let heavier = kept.iter_mut().take(COMPARED).find_map(|heavier| {
            let why = same_flows(findings, &draft, heavier)?;
            Some((heavier, why))
        });
        match heavier {
            None => kept.push(draft),
            Some((heavier, why)) => {
                heavier
                    .ties
                    .extend(draft.members.into_iter().map(|member| (member, (Tie::Together, why.clone()))));
                heavier.ties.extend(draft.ties);
            }
        }
    }
    kept
}

/// Why two drafts are one: most flows of the lighter are of the heavier, and they are a good part of it.
fn same_flows(findings: &[Finding], lighter: &Draft, heavier: &Draft) -> Option<String> {
    const PART: f64 = 0.3;
    let (of, by) = (findings.get(*lighter.members.first()?)?, findings.get(*heavier.members.first()?)?);
    let recording = |finding: &Finding| Layer::of(finding.detector) == Layer::Capture;
    let alone = lighter.members.len() == 1 && heavier.members.len() == 1;
    if !alone || recording(of) || recording(by) || of.detector == by.detector {
        return None;
    }
    let back = overlap::flows(&by.scope.flows, &of.scope.flows);
    together(of, by).filter(|_| back >= PART)
}

/// Without a `board` it is compared with nothing healthy.
fn incident(
    draft: &Draft,
    findings: &[Finding],
    board: Option<&Board>,
    facts: &Facts<'_>,
) -> Option<Incident> {
    let root_place = *draft.members.first()?;
    let root = findings.get(root_place)?;
    let members: Vec<&Finding> = draft.members.iter().filter_map(|place| findings.get(*place)).collect();
    let mut radius = BlastRadius::of(&members, facts.capture);
    let alike = draft.members.len() - 1;
    let mut ties = draft.ties.clone();
    for member in draft.members.iter().skip(1) {
        let why = draft.factor.as_ref().map(|factor| format!("the same {factor}"));
        ties.insert(*member, (Tie::Same, why.unwrap_or_default()));
    }
    let severity = ties.keys().filter_map(|place| findings.get(*place)).map(|finding| finding.severity);
    let links: Vec<Link> = ties
        .iter()
        .filter_map(|(place, (tie, why))| {
            let detector = findings.get(*place)?.detector;
            Some(Link { finding: finding_id(*place), detector, tie: *tie, why: why.clone() })
        })
        .collect();
    let is_symptom = |(place, (tie, _)): (&usize, &(Tie, String))| (*tie == Tie::Symptom).then_some(*place);
    let symptoms: Vec<&Finding> =
        ties.iter().filter_map(is_symptom).filter_map(|place| findings.get(place)).collect();
    let affected = affected(root, &radius, &symptoms);
    let mut reached = symptoms.clone();
    if SENDERS.contains(&root.detector) {
        // They did it: whom it reached are others, who noticed.
        radius.clients = Members::default();
        reached.retain(|symptom| symptom.severity > Severity::Info);
    }
    let change = board.and_then(|board| affected.change(board));
    let contrast = board.map(|board| affected.contrasts(board, change.as_ref())).unwrap_or_default();
    let cleared = board.map(|board| affected.cleared(board, facts.packets, facts.dropped));
    let story = story::story(root, &radius, alike, &contrast, &symptoms);
    let gates = root.gates.iter().map(|gate| gate.prevents.clone());
    Some(Incident {
        id: String::new(),
        key: key(root, draft.factor.as_ref().filter(|_| alike > 0)),
        severity: severity.fold(root.severity, Severity::max),
        confidence: root.confidence,
        layer: affected.layer,
        title: story::title(root, draft.factor.as_ref(), alike),
        story,
        place: Where::of(root),
        root: finding_id(root_place),
        symptoms: ties.keys().map(|place| finding_id(*place)).collect(),
        links,
        contrast,
        change,
        cleared: cleared.unwrap_or_default(),
        not_known: root.not_claimed.iter().map(|text| (*text).to_owned()).chain(gates).collect(),
        blast_radius: radius.with(&reached, facts.capture),
        next_steps: root.next_steps.iter().map(|text| (*text).to_owned()).collect(),
        root_place,
        places: ties.into_keys().collect(),
        cost: affected.cost,
    })
}

fn affected(root: &Finding, radius: &BlastRadius, symptoms: &[&Finding]) -> Affected {
    let whole = |count: u64, at_least: bool, listed: usize| !at_least && count == listed as u64;
    let (services, clients) = (&radius.services, &radius.clients);
    let servers = services.sample.iter().filter_map(|server| endpoint(server)).collect();
    let reached = symptoms.iter().flat_map(|symptom| &symptom.scope.servers.sample);
    Affected {
        layer: Layer::of(root.detector),
        cost: Cost::of(root),
        kind: kind(root),
        servers: whole(services.count, services.at_least, services.sample.len()).then_some(servers),
        clients: whole(clients.count, clients.at_least, clients.sample.len())
            .then(|| clients.sample.iter().copied().collect()),
        reached: reached.filter_map(|server| endpoint(server)).collect(),
        failed: radius.failed,
        of: radius.of,
        since: radius.since,
        until: radius.until,
    }
}

/// Fingerprint of the rule and of what its findings share, 16 hexadecimal digits.
fn key(root: &Finding, factor: Option<&Factor>) -> String {
    let subject = &root.subject;
    let about = match factor {
        Some(factor) => factor.to_string(),
        None => format!(
            "{} {:?} {:?} {:?} {:?} {:?}",
            root.variant, subject.client, subject.server, subject.port, subject.name, subject.direction
        ),
    };
    let hash = blake3::hash(format!("{}\0{about}", root.detector).as_bytes());
    hash.to_hex().get(..16).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod tests;
