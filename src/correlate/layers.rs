//! The layers of the stack, bottom up: whether each works, and how that is known.

use serde::Serialize;

use crate::correlate::board::{Board, Sum};
use crate::correlate::contrast;
use crate::correlate::incident::Incident;
use crate::correlate::place::Layer;
use crate::correlate::scoreboard::Tally;
use crate::detect::{Rule, Severity, Verdict};
use crate::humanize::{grouped, percent, plural, share, units};

/// Whether a layer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was judged, and nothing at warning or above is known of it.
    Ok,
    /// An incident at warning.
    Degraded,
    /// A critical incident.
    Broken,
    /// Nothing of it could be judged, or nothing of it went well: that is no praise.
    NotSeen,
}

impl State {
    /// As the text says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "DEGRADED",
            Self::Broken => "BROKEN",
            Self::NotSeen => "not seen",
        }
    }
}

/// A layer and its state.
#[derive(Clone, Debug, Serialize)]
pub struct LayerState {
    /// The layer.
    pub layer: Layer,
    /// Whether it works.
    pub state: State,
    /// How that is known: the incidents, the numbers, or what is missing.
    pub reason: String,
}

impl LayerState {
    /// Something of it was judged: the reason has its numbers.
    pub fn was_judged(&self) -> bool {
        self.state != State::NotSeen || self.reason != nothing(self.layer)
    }
}

/// All layers, bottom up.
pub(super) fn layers(
    incidents: &[Incident],
    verdicts: &[(&'static Rule, Verdict)],
    board: &Board,
) -> Vec<LayerState> {
    Layer::STACK.into_iter().map(|layer| state(layer, incidents, verdicts, board)).collect()
}

fn state(
    layer: Layer,
    incidents: &[Incident],
    verdicts: &[(&'static Rule, Verdict)],
    board: &Board,
) -> LayerState {
    let own: Vec<&Incident> = incidents
        .iter()
        .filter(|incident| incident.layer == layer && incident.severity > Severity::Info)
        .collect();
    let worst = own.iter().map(|incident| incident.severity).max();
    if let Some(severity) = worst {
        let ids: Vec<&str> = own.iter().take(4).map(|incident| incident.id.as_str()).collect();
        let more = own.len().saturating_sub(ids.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let state = if severity == Severity::Critical { State::Broken } else { State::Degraded };
        return LayerState { layer, state, reason: format!("{}{more}", ids.join(", ")) };
    }
    let of_layer = verdicts.iter().filter(|(rule, _)| Layer::of(rule.name) == layer);
    // Rules of a layer judge the same things again: the most that one of them judged is what was seen.
    let judged = of_layer
        .filter(|(_, verdict)| verdict.assessed > 0)
        .map(|(_, verdict)| (verdict.assessed, verdict.unit))
        .max();
    match (judged, numbers(layer, board)) {
        (None, _) => LayerState { layer, state: State::NotSeen, reason: nothing(layer).to_owned() },
        (_, Some(numbers)) if !has_worked(layer, board) => {
            LayerState { layer, state: State::NotSeen, reason: numbers }
        }
        (Some(_), Some(numbers)) => LayerState { layer, state: State::Ok, reason: numbers },
        (Some((count, unit)), None) => {
            LayerState { layer, state: State::Ok, reason: format!("{} judged", units(count, unit)) }
        }
    }
}

fn nothing(layer: Layer) -> &'static str {
    match layer {
        Layer::Tls => "no TLS handshake that could be judged",
        Layer::Dns => "no lookup that could be judged",
        Layer::Transport => "no connection that could be judged",
        Layer::Application => "no request that could be judged",
        Layer::Capture | Layer::Link | Layer::Network => "nothing that could be judged",
    }
}

/// How well a layer works, in numbers.
fn numbers(layer: Layer, board: &Board) -> Option<String> {
    let all: Sum = board.connections();
    match layer {
        Layer::Transport if all.attempts.of > 0 => {
            let opened = all.attempts.of - all.not_opened.min(all.attempts.of);
            let mut text = format!("{} of {} opened", grouped(opened), plural(all.attempts.of, "connection"));
            if share(all.not_opened, all.attempts.of) > Severity::PART {
                // Scans and probes, or too few to say: the number stands for itself.
                return Some(format!("no incident, and {text}{}", again(&all)));
            }
            if let Some(connect) = all.connect.spread() {
                text += &format!(" in {} (p95 {})", connect.median, connect.p95);
            }
            Some(text + &again(&all))
        }
        Layer::Tls if all.handshakes.of > 0 => Some(tally(&all.handshakes, "handshake", "completed")),
        Layer::Dns => {
            let lookups = board.lookups();
            let tally = lookups.attempts;
            let answered = self::tally(&tally, "lookup", "answered");
            let within = lookups.first_byte.spread().map(|spread| format!(", p95 {}", spread.p95));
            (tally.of > 0).then(|| answered + &within.unwrap_or_default())
        }
        Layer::Application => {
            let first = all.first_byte.spread()?;
            Some(format!("first byte after {} (p95 {})", first.median, first.p95))
        }
        _ => None,
    }
}

/// `7 of 9 lookups answered`. Where a part failed and is no incident, that is said.
fn tally(tally: &Tally, noun: &str, done: &str) -> String {
    let numbers = format!("{} of {} {done}", grouped(tally.well()), plural(tally.of, noun));
    let failed = share(tally.of - tally.well().min(tally.of), tally.of) > Severity::PART;
    if failed { format!("no incident, and {numbers}") } else { numbers }
}

/// Something of the layer went well: without that, no incident is no praise.
fn has_worked(layer: Layer, board: &Board) -> bool {
    let all = board.connections();
    match layer {
        Layer::Transport => all.attempts.of == 0 || all.not_opened < all.attempts.of,
        Layer::Tls => all.handshakes.of == 0 || all.handshakes.well() > 0,
        Layer::Dns => {
            let lookups = board.lookups().attempts;
            lookups.of == 0 || lookups.well() > 0
        }
        Layer::Application => all.attempts.of == 0 || all.first_byte.spread().is_some(),
        _ => true,
    }
}

fn again(sum: &Sum) -> String {
    match (sum.lost, sum.segments) {
        (_, 0) => String::new(),
        (0, segments) => format!(", none of {} sent again", plural(segments, "segment")),
        (lost, segments) => {
            format!(", {} of {} sent again", percent(lost, segments), plural(segments, "segment"))
        }
    }
}

/// What works, in numbers: what a healthy capture has to show.
pub(super) fn healthy(board: &Board) -> Vec<contrast::Cleared> {
    let (connections, lookups) = (board.connections(), board.lookups());
    [
        contrast::connect(&connections),
        contrast::loss(&connections, contrast::SEGMENTS),
        contrast::round_trip(&connections, contrast::HANDSHAKES),
        contrast::handshakes(&connections),
        contrast::lookups(&lookups),
    ]
    .into_iter()
    .flatten()
    .collect()
}
