//! What happened between points, as people read it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{
    Basis, Change, Clock, Comparison, Direction, Fate, Is, Located, Pair, Placed, Seen, Shown, Way, Why,
};
use crate::humanize::{grouped, percent, plural, whole_seconds};
use crate::report::page::{BOLD, GREEN, RED, YELLOW, styled, wrapped};
use crate::time::Span;

/// Where the text of a part begins.
const INDENT: usize = 10;

/// Frames named in a line.
const FRAMES: usize = 12;

/// Changes of a pair shown, unless all are wanted.
const CHANGES: usize = 8;

/// Writes it in lines of at most `width` columns.
///
/// # Errors
/// When `out` fails.
pub fn write(comparison: &Comparison, all: bool, width: usize, out: &mut impl Write) -> io::Result<()> {
    let width = width.max(40);
    let mut lines = Vec::new();
    for (place, seen) in comparison.points.iter().enumerate() {
        lines.extend(part(if place == 0 { "points" } else { "" }, &point(seen), width));
    }
    for pair in &comparison.pairs {
        lines.push(String::new());
        lines.extend(of_pair(pair, all, width));
    }
    for incident in &comparison.incidents {
        lines.push(String::new());
        lines.extend(of_incident(incident, width));
    }
    if comparison.not_placed > 0 {
        let packets = plural(comparison.not_placed, "packet");
        let text = format!("{packets} of further conversations: too many to look for in incidents");
        lines.push(String::new());
        lines.extend(part("left out", &text, width));
    }
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    out.flush()
}

fn part(label: &str, text: &str, width: usize) -> Vec<String> {
    styled(wrapped(text, width, &format!("{label:INDENT$}"), INDENT, 6), label, BOLD)
}

fn of_incident(incident: &Located, width: usize) -> Vec<String> {
    let head = format!("{} (seen at {})", incident.title, incident.seen_at.join(", "));
    let mut lines = part(&incident.id, &head, width);
    for place in &incident.places {
        lines.extend(part("between", &of_place(place), width));
    }
    let proof = incident.proof.iter().map(|proof| {
        let name = proof.file.rsplit('/').next().unwrap_or(&proof.file);
        format!("{name}: {}", proof.filter)
    });
    lines.extend(part("proof", &proof.collect::<Vec<String>>().join("; "), width));
    lines
}

/// `fw and server: 12 packets left fw and never reached server: frames 3, 7 of fw.pcap; in 3 of 3 flows`.
fn of_place(place: &Placed) -> String {
    let Placed { from, to, .. } = place;
    let what = what(&place.shown, place.packets);
    let said = match place.fate {
        Fate::Injected => format!("{what} reached {to} and never passed {from}"),
        _ => format!("{what} left {from} and never reached {to}"),
    };
    let frames = frames(&place.shown, place.packets);
    let of = plural(place.of_flows, "flow");
    format!("{from} and {to}: {said}: {frames}; in {} of {of}", grouped(place.flows))
}

fn point(seen: &Seen) -> String {
    let mut text = format!("{}, {}", seen.name, plural(seen.packets, "packet"));
    if let (Some(first), Some(last)) = (seen.first_seen, seen.last_seen) {
        text += &format!(", {} to {}", whole_seconds(first), whole_seconds(last));
    }
    if seen.duplicates > 0 {
        text += &format!(", {} left out", plural(seen.duplicates, "copy"));
    }
    match seen.dropped {
        Some(0) => text += ", no drops",
        Some(dropped) => text += &format!(", {} lost by the recording", plural(dropped, "packet")),
        None => {}
    }
    for filter in &seen.filters {
        text += &format!(", filter {filter}");
    }
    text
}

fn of_pair(pair: &Pair, all: bool, width: usize) -> Vec<String> {
    let title = format!("{} and {}", pair.a, pair.b);
    let Some(clock) = &pair.clock else {
        let why = match pair.renumbered {
            0 => "no packet of the one is in the other: other traffic, other times, or a proxy between them",
            _ => {
                "the same payloads in other connections: a proxy between them, or sequence numbers rewritten"
            }
        };
        let verdict = format!("{title}: cannot be compared; {why}");
        return styled(wrapped(&verdict, width, "", 0, 4), &title, BOLD);
    };
    let of = |fate| pair.forth.of(fate) + pair.back.of(fate);
    let verdict = match (of(Fate::Lost), of(Fate::Injected), of(Fate::Absent)) {
        (0, 0, 0) => ("nothing lost", GREEN),
        (0, 0, _) => ("conversations missing", YELLOW),
        (0, ..) => ("made up on the way", RED),
        _ => ("lost on the way", RED),
    };
    let head = format!("{}: {title}, {} seen at both", verdict.0, plural(pair.arrived, "packet"));
    let mut lines = styled(wrapped(&head, width, "", 0, 3), verdict.0, verdict.1);
    lines.extend(part("clocks", &of_clock(clock, pair), width));
    for way in [&pair.forth, &pair.back] {
        lines.extend(of_way(way, width));
    }
    let most = if all { usize::MAX } else { CHANGES };
    for (place, change) in pair.changes.iter().take(most).enumerate() {
        lines.extend(part(if place == 0 { "changed" } else { "" }, &of_change(change, pair), width));
    }
    let beyond = pair.changes.len().saturating_sub(most) as u64 + pair.changes_unlisted;
    if beyond > 0 {
        lines.extend(part("", &format!("{beyond} more: --all"), width));
    }
    if pair.renumbered > 0 {
        let text = format!(
            "{} under other sequence numbers: a proxy, or a device that renumbers, has some connections",
            plural(pair.renumbered, "payload")
        );
        lines.extend(part("proxied", &text, width));
    }
    lines.extend(not_told(pair, width));
    lines
}

fn of_clock(clock: &Clock, pair: &Pair) -> String {
    let ahead = match clock.offset {
        Span(0..) => format!("{} is {} ahead of {}", pair.b, clock.offset, pair.a),
        Span(behind) => format!("{} is {} behind {}", pair.b, Span(behind.saturating_neg()), pair.a),
    };
    let drift = match clock.drift_between_ppm {
        _ if clock.drift_ppm == 0.0 => String::new(),
        Some((least, most)) => {
            let drift = clock.drift_ppm;
            format!(", and gains {drift:.1} us per second (between {least:.1} and {most:.1})")
        }
        None => format!(", and gains about {:.1} us per second", clock.drift_ppm),
    };
    match (clock.basis, clock.error) {
        (Basis::BothDirections, Some(error)) => format!("{ahead}, within {error}{drift}"),
        (Basis::OneDirection, _) => {
            format!("{ahead}, less the least delay: packets of one direction only were seen at both{drift}")
        }
        (Basis::Contradictory, _) => {
            format!("about {ahead}: no steady clock explains the delays, so that none is stated")
        }
        _ => format!("about {ahead}: the packets do not tell which point comes first"),
    }
}

fn of_way(way: &Direction, width: usize) -> Vec<String> {
    let (lost, absent) = (way.of(Fate::Lost), way.of(Fate::Absent));
    if way.arrived + lost + absent + way.of(Fate::Missed) == 0 {
        return Vec::new();
    }
    let sent = way.arrived + lost + absent;
    let mut text = format!("{} > {}: ", way.from, way.to);
    text += &match lost {
        0 => format!("none of {} lost", plural(sent, "packet")),
        _ => format!("{} of {} lost ({})", grouped(lost), plural(sent, "packet"), percent(lost, sent)),
    };
    if let Some(delay) = way.delay {
        let what = if delay.is_absolute { "delay" } else { "beyond the fastest" };
        text += &format!("; {what} least {}, median {}, p95 {}", delay.least, delay.median, delay.p95);
    }
    if way.reordered > 0 {
        text += &format!("; {} overtaken", grouped(way.reordered));
    }
    let mut lines = part("way", &text, width);
    let told = [
        (Fate::Lost, "lost", "left {from} and never reached {to}"),
        (
            Fate::Absent,
            "absent",
            "left {from}; nothing of their conversations reached {to}, others of the same services did",
        ),
        (
            Fate::Injected,
            "injected",
            "reached {to} and never passed {from}: a device between them made the reset",
        ),
        (
            Fate::Missed,
            "missed",
            "passed {to} unrecorded: they were acknowledged, so that they were not lost",
        ),
        (
            Fate::OnlyArrived,
            "only",
            "are at {to} and not at {from}: sent between them, or missed by the recording",
        ),
    ];
    for (fate, label, sentence) in told {
        let count = way.of(fate);
        if count == 0 {
            continue;
        }
        let sentence = sentence.replace("{from}", &way.from).replace("{to}", &way.to);
        let none = Vec::new();
        let packets = way.packets.get(&fate).unwrap_or(&none);
        let text = format!("{} {sentence}: {}", what(packets, count), frames(packets, count));
        lines.extend(part(label, &text, width));
    }
    if way.cut_otherwise > 0 {
        let text =
            format!("{} cut otherwise: network cards join and split", plural(way.cut_otherwise, "segment"));
        lines.extend(part("", &text, width));
    }
    lines
}

/// `the SYN-ACK 10.0.0.1:443 > 10.0.0.2:5000` or `12 packets`.
fn what(packets: &[Shown], count: u64) -> String {
    match packets {
        [only] if count == 1 => {
            format!("the {} {} > {}", only.kind.name(), only.source, only.destination)
        }
        _ => plural(count, "packet"),
    }
}

/// `frames 3, 7 of a.pcap`.
fn frames(packets: &[Shown], count: u64) -> String {
    let places = packets.iter().filter_map(|shown| shown.a.as_ref().or(shown.b.as_ref()));
    let places: Vec<_> = places.take(FRAMES).collect();
    let mut by_file: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for place in &places {
        by_file.entry(&place.file).or_default().push(place.frame.to_string());
    }
    let name = |file: &str| file.rsplit('/').next().unwrap_or(file).to_owned();
    let frames = by_file.into_iter().map(|(file, frames)| {
        let noun = if frames.len() == 1 { "frame" } else { "frames" };
        format!("{noun} {} of {}", frames.join(", "), name(file))
    });
    let mut text = frames.collect::<Vec<String>>().join("; ");
    let beyond = count.saturating_sub(places.len() as u64);
    if beyond > 0 {
        text += &format!(", and {} more", grouped(beyond));
    }
    text
}

fn of_change(change: &Change, pair: &Pair) -> String {
    let (from, to) = match change.way {
        Way::Forth => (&pair.a, &pair.b),
        Way::Back => (&pair.b, &pair.a),
    };
    let value = match (change.sent, change.arrived) {
        (Is::Word("as sent") | Is::Less(0), arrived) => arrived.to_string(),
        (sent, arrived) => format!("{sent} is {arrived}"),
    };
    let example = change.examples.first().and_then(|shown| shown.a.as_ref());
    let example = example.map(|place| format!(", first frame {} of {}", place.frame, pair.a));
    let example = example.filter(|_| !change.field.is_ordinary()).unwrap_or_default();
    format!(
        "{} > {}: {} {value} ({}{example})",
        from,
        to,
        change.field.name(),
        plural(change.packets, "packet")
    )
}

fn not_told(pair: &Pair, width: usize) -> Vec<String> {
    let mut sums: BTreeMap<Why, u64> = BTreeMap::new();
    for of in [&pair.not_told, &pair.forth.not_told, &pair.back.not_told] {
        of.iter().for_each(|(why, count)| *sums.entry(*why).or_default() += count);
    }
    let mut lines = Vec::new();
    for (why, count) in sums {
        let because = match why {
            Why::OutsideOther => "the other point was not recording",
            Why::OtherTraffic => "the other point sees nothing of these hosts",
            Why::OtherService => {
                "the other point sees these hosts, and nothing of this service: blocked, or filtered out"
            }
            Why::NotRecorded => {
                "the other point recorded nothing of that kind, or nothing that goes this way"
            }
            Why::RecordingLost => "the recording of the other point lost packets",
            Why::NoDirection => "nobody knows from which side they come",
            Why::Crowded => "too many packets with the same content",
        };
        let label = if lines.is_empty() { "not told" } else { "" };
        lines.extend(part(
            label,
            &format!("{} at one point only: {because}", plural(count, "packet")),
            width,
        ));
    }
    lines
}
