//! Every capture of the lab against its truth file: what must be found, and nothing else at warning or above.
//!
//! `cargo test --test lab -- --nocapture` prints the table. `LAB=FOLDER` scores the captures in FOLDER.

#![allow(clippy::print_stdout)]

mod support;

use support::truth::{self, Score, Truth, name};

/// What the analysis still gets wrong: capture, what the test says of it, and why it is so.
const KNOWN: [(&str, &str, &str); 1] = [(
    "two_points",
    "retransmitted any",
    "files recorded at the same time are read one after the other, so a copy is far from its original",
)];

#[test]
fn what_must_be_found_is_found_and_nothing_else() {
    let other = std::env::var("LAB").ok();
    let captures = truth::captures(other.as_deref().unwrap_or("lab/captures"));
    let (mut expected, mut pending, mut known, mut wrong) = (0, Vec::new(), Vec::new(), Vec::new());
    println!("{}", Score::HEADING);
    for path in captures.iter().filter(|path| path.with_extension("toml").exists()) {
        let score = Score::of(path);
        println!("{}", score.line(path));
        expected += score.expected;
        pending.extend(score.pending.iter().map(|label| format!("{}: {label}", name(path))));
        for text in score.wrong(path) {
            match KNOWN.iter().find(|(capture, part, _)| *capture == name(path) && text.contains(part)) {
                Some(entry) => known.push(*entry),
                None => wrong.push(text),
            }
        }
    }
    println!("{expected} expected, {} known to be wrong: {known:#?}", known.len());
    println!("not yet detected at all: {pending:#?}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let healed: Vec<_> = KNOWN.iter().filter(|entry| other.is_none() && !known.contains(entry)).collect();
    assert!(healed.is_empty(), "no longer wrong, take them off the list: {healed:?}");
}

#[test]
fn every_capture_shows_what_happened() {
    for path in truth::captures("lab/captures").iter().filter(|path| path.with_extension("toml").exists()) {
        let truth = Truth::beside(path);
        let counted = truth.shows.is_none() || truth.frames.is_some_and(|frames| frames > 0);
        assert!(counted, "{}: tshark saw nothing of it", name(path));
    }
}
