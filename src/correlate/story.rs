//! The words of an incident: its headline and its two to four sentences.

use crate::correlate::contrast::Contrast;
use crate::correlate::factor::Factor;
use crate::correlate::incident::BlastRadius;
use crate::detect::Finding;
use crate::humanize::{grouped, lasting, plural};
use crate::time::{Span, Timestamp};

/// A headline without a full stop.
pub(super) fn title(root: &Finding, factor: Option<&Factor>, alike: usize) -> String {
    let Some(factor) = factor.filter(|_| alike > 0) else { return root.title.clone() };
    let (shared, more) = (factor.to_string(), grouped(alike as u64));
    // The title may name it in other words: `to 10.0.0.1:443` is at 10.0.0.1.
    let bare = shared.rsplit(' ').next().unwrap_or_default();
    match root.title.contains(bare) {
        true => format!("{}, and {more} more like it", root.title),
        false => format!("{}, and {more} more like it {shared}", root.title),
    }
}

/// What happened, in at most four sentences: what the root says, what sets it apart, and what it explains.
pub(super) fn story(
    root: &Finding,
    radius: &BlastRadius,
    alike: usize,
    contrast: &[Contrast],
    symptoms: &[&Finding],
) -> String {
    let explained = explained(symptoms);
    let room = 4 - usize::from(!contrast.is_empty()) - usize::from(explained.is_some());
    let mut sentences: Vec<String> = sentences(&root.summary).into_iter().take(room).collect();
    if alike > 0 {
        sentences.truncate(1);
        sentences.push(together(radius));
    }
    sentences.extend(contrast.first().map(|contrast| upper(&contrast.text) + "."));
    sentences.extend(explained);
    if sentences.len() < 2 {
        sentences.extend(when(radius));
    }
    sentences.join(" ")
}

/// `In all, 36 of 40 failed at 30 services, for 3 clients.`
fn together(radius: &BlastRadius) -> String {
    let services =
        (radius.services.count > 0).then(|| format!(" at {}", plural(radius.services.count, "service")));
    let clients =
        (radius.clients.count > 0).then(|| format!(", for {}", plural(radius.clients.count, "client")));
    let whom = services.unwrap_or_default() + &clients.unwrap_or_default();
    match radius.failed {
        0 => format!("In all, it is the same{whom}."),
        failed => format!("In all, {} of {} failed{whom}.", grouped(failed), grouped(radius.of)),
    }
}

/// `It explains: 18 retransmissions to 10.0.0.1:443 for 6 segments; and 3 more findings.`
fn explained(symptoms: &[&Finding]) -> Option<String> {
    let (first, rest) = symptoms.split_first()?;
    Some(match rest.len() as u64 {
        0 => format!("It explains: {}.", first.title),
        more => format!("It explains: {}; and {}.", first.title, plural(more, "more finding")),
    })
}

fn when(radius: &BlastRadius) -> Option<String> {
    let (since, until) = radius.since.zip(radius.until)?;
    let lasted = until - since;
    let ended = if radius.going_on { ", still going on at the end of the capture" } else { "" };
    Some(match lasted {
        Span::ZERO => format!("Seen once, at {}{ended}.", clock(since)),
        _ => format!("Seen for {} from {} on{ended}.", lasting(lasted), clock(since)),
    })
}

fn clock(time: Timestamp) -> String {
    time.rfc3339().get(11..19).unwrap_or_default().to_owned() + " UTC"
}

fn upper(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// The sentences of a text, each with its full stop. A full stop ends one where a capital or a digit follows.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = text.trim();
    let mut from = 0;
    while let Some(stop) = rest.get(from..).and_then(|tail| tail.find(". ")) {
        let end = from + stop + 1;
        let next = rest.get(end..).and_then(|tail| tail.trim_start().chars().next());
        if next.is_some_and(|next| next.is_uppercase() || next.is_ascii_digit()) {
            found.push(rest.get(..end).unwrap_or_default().trim().to_owned());
            rest = rest.get(end..).unwrap_or_default().trim_start();
            from = 0;
        } else {
            from = end;
        }
    }
    if !rest.is_empty() {
        found.push(rest.to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_another_begins() {
        let text = "10.0.0.1:53 left 3 of 9. Names of example. com did well. They waited 1.5 s.";
        assert_eq!(
            sentences(text),
            ["10.0.0.1:53 left 3 of 9.", "Names of example. com did well.", "They waited 1.5 s."]
        );
        assert_eq!(sentences(""), [""; 0]);
    }
}
