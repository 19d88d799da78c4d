//! The differences as people read them.

use std::io::{self, Write};

use crate::detect::Severity;
use crate::diff::change::doubt;
use crate::diff::{Capture, Change, Diff, Direction, Known, Value};
use crate::flow::Spread;
use crate::humanize::{percent, plural};
use crate::report::page::{BOLD, DIM, GREEN, RED, YELLOW, mark, styled, wrapped};

/// Lines of a part, unless all are wanted.
const MOST: usize = 6;

/// Where the text of a part begins.
const INDENT: usize = 10;

/// Writes the differences in lines of at most `width` columns; `all` of them, or the weightiest of each part.
///
/// # Errors
/// When `out` fails.
pub fn write(diff: &Diff, all: bool, width: usize, out: &mut impl Write) -> io::Result<()> {
    for line in lines(diff, if all { usize::MAX } else { MOST }, width.max(40)) {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn lines(diff: &Diff, most: usize, width: usize) -> Vec<String> {
    let changes = &diff.comparison.changes;
    let of = |direction, certain| {
        changes.iter().filter(move |change| change.direction == direction && change.certain == certain)
    };
    let worse: Vec<&Change> = of(Direction::Worse, true).collect();
    let (word, style) = match (diff.is_worse(), worse.is_empty() && diff.incidents_new.is_empty()) {
        (true, _) => ("worse", RED),
        (false, true) => ("not worse", GREEN),
        (false, false) => ("not worse", YELLOW),
    };
    let other: Vec<&Change> = of(Direction::Other, true).collect();
    let counts = [
        (diff.incidents_new.len(), "new incident", ""),
        (worse.len(), "measure", " worse"),
        (other.len(), "value", " other than before"),
    ];
    let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
    let mut said: Vec<String> = counts.map(|(count, noun, then)| plural(count as u64, noun) + then).collect();
    if said.is_empty() {
        said.push("no difference that is more than chance".to_owned());
    }
    let verdict = format!("{word}: {}", said.join(", "));
    let mut lines = styled(wrapped(&verdict, width, "", 0, 2), word, style);
    lines.extend(part("before", vec![capture(&diff.before)], 1, width));
    lines.extend(part("after", vec![capture(&diff.after)], 1, width));
    lines.push(String::new());
    let incidents = |known: &[Known]| known.iter().map(incident).collect();
    lines.extend(part("new", incidents(&diff.incidents_new), most, width));
    lines.extend(part("still", incidents(&diff.incidents_still), most, width));
    lines.extend(part("gone", incidents(&diff.incidents_gone), most, width));
    lines.extend(part("worse", worse.into_iter().map(sentence).collect(), most, width));
    lines.extend(part("other", other.into_iter().map(sentence).collect(), most, width));
    lines.extend(part("better", of(Direction::Better, true).map(sentence).collect(), most, width));
    let unsure =
        of(Direction::Worse, false).map(|change| format!("{} ({})", sentence(change), doubt(change)));
    lines.extend(part("unsure", unsure.collect(), most.min(3), width));
    lines.extend(part("services", services(diff), most, width));
    if !diff.comparison.ways {
        let why =
            "certificates, addresses of names, TTLs, link addresses and MSS: a report does not keep them";
        lines.extend(part("not seen", vec![why.to_owned()], 1, width));
    }
    lines
}

/// A labelled part, at most `most` entries of it.
fn part(label: &str, entries: Vec<String>, most: usize, width: usize) -> Vec<String> {
    let beyond = entries.len().saturating_sub(most);
    let mut lines = Vec::new();
    for (place, entry) in entries.iter().take(most).enumerate() {
        let label = if place == 0 { label } else { "" };
        let first = format!("{label:INDENT$}");
        lines.extend(styled(wrapped(entry, width, &first, INDENT, 4), label, BOLD));
    }
    if beyond > 0 {
        lines.push(format!("{:INDENT$}{DIM}{beyond} more: --all{DIM:#}", ""));
    }
    lines
}

fn capture(capture: &Capture) -> String {
    let name = match capture.files.as_slice() {
        [file] => file.rsplit('/').next().unwrap_or(file).to_owned(),
        files => plural(files.len() as u64, "file"),
    };
    let mut text = format!("{name}, {}", plural(capture.packets, "packet"));
    if let (Some(first), Some(last)) = (&capture.first_seen, &capture.last_seen) {
        let second = |time: &str| time.get(..19).unwrap_or(time).to_owned();
        text += &format!(", {}Z to {}Z", second(first), second(last));
    }
    text
}

fn incident(known: &Known) -> String {
    let word = if known.severity == Severity::Info { "info" } else { mark(known.severity).0 };
    format!("{} {word}  {}", known.id, known.title)
}

/// `10.0.0.1:443 (api.example): connections failed 212 of 230 (92 %), before 0 of 310 (0 %); p = 1e-12`
fn sentence(change: &Change) -> String {
    let (after, before) = (value(&change.after), value(&change.before));
    let chance = match change.p {
        Some(p) if p < 1e-9 => "; p < 1e-9".to_owned(),
        Some(p) => format!("; p = {p}"),
        None => String::new(),
    };
    format!("{}: {} {after}, before {before}{chance}", change.subject, change.measure)
}

fn value(value: &Value) -> String {
    match value {
        Value::Share(tally) => {
            format!("{} of {} ({})", tally.failed, tally.of, percent(tally.failed, tally.of))
        }
        Value::Times(Spread { count, median, p95 }) => {
            format!("median {median} (p95 {p95}, {count} times)")
        }
        Value::Values(values) => {
            let shown: Vec<&str> = values.iter().take(4).map(String::as_str).collect();
            let more = values.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            shown.join(", ") + &more
        }
    }
}

fn services(diff: &Diff) -> Vec<String> {
    let comparison = &diff.comparison;
    let compared = plural(comparison.compared, "comparison");
    let mut lines = vec![format!("{} in both, {compared}", comparison.services)];
    lines.extend(
        comparison
            .moved
            .iter()
            .map(|moved| format!("{}: {}, before {}", moved.name, moved.after, moved.before)),
    );
    let list = |services: &[String]| {
        let shown: Vec<&str> = services.iter().take(3).map(String::as_str).collect();
        let more = services.len().saturating_sub(shown.len());
        format!("{}{}", shown.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
    };
    if !comparison.services_new.is_empty() {
        lines.push(format!("only after: {}", list(&comparison.services_new)));
    }
    if !comparison.services_gone.is_empty() {
        lines.push(format!("only before: {}", list(&comparison.services_gone)));
    }
    let unlisted = diff.before.services_unlisted.max(diff.after.services_unlisted);
    if unlisted > 0 {
        lines.push("a side has more services than are told apart: some may be missing here".to_owned());
    }
    lines
}
