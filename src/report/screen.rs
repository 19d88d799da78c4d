//! The answer on one screen: what happened, what proves it, what works, and where the rest is.
//!
//! At most [`LINES`] lines, whatever the capture. Every part has a share of them; what does not fit is
//! counted.

use std::collections::BTreeMap;

use crate::correlate::{BlastRadius, Incident, SERVICES, State};
use crate::detect::Severity;
use crate::humanize::{grouped, lasting, percent, plural, units, whole_seconds};
use crate::report::announced::Announced;
use crate::report::escape::terminal;
use crate::report::model::{CitedFrame, CitedIncident, RankedFinding, Report, Status};
use crate::report::page::{BOLD, CYAN, DIM, GREEN, YELLOW, fitted, mark, styled, wrapped};
use crate::time::{Span, Timestamp};

/// Lines of the screen. Two more say where the files are.
pub const LINES: usize = 38;

/// Incidents shown in full, unless somebody asks for another number.
pub const TOP: usize = 3;

/// Where the text of a part begins.
const INDENT: usize = 14;

/// The answer in lines of at most `width` columns, with the first `top` incidents in full.
pub fn screen(report: &Report, width: usize, top: usize) -> Vec<String> {
    let mut lines = header(report, width);
    let footer = footer(report, width);
    let room = LINES.saturating_sub(lines.len() + footer.len());
    lines.extend(match is_quiet(report) {
        true => quiet(report, width, room),
        false => incidents(report, width, room, top),
    });
    lines.extend(footer);
    lines.truncate(LINES);
    lines
}

/// Nothing happened, or nothing weightier than information.
fn is_quiet(report: &Report) -> bool {
    report.incidents.iter().all(|cited| cited.incident.severity == Severity::Info)
}

/// The verdict, and what was looked at.
pub(super) fn header(report: &Report, width: usize) -> Vec<String> {
    let verdict = &report.verdict;
    let (word, style) = match (verdict.status, verdict.worst) {
        (Status::Clean, _) => ("clean", GREEN),
        (Status::Findings, Some(severity)) => ("findings", mark(severity).1),
        (Status::Findings, None) => ("findings", YELLOW),
        (Status::Degraded, _) => ("degraded", YELLOW),
        (Status::Incomplete, _) => ("incomplete", YELLOW),
        (Status::NotAssessed, _) => ("not assessed", YELLOW),
    };
    let counts = verdict.incidents;
    let mut said: Vec<String> = [
        (counts.critical, "critical incident"),
        (counts.warning, "incident at warning"),
        (report.findings.len() as u64, "finding"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, noun)| match noun {
        "incident at warning" => format!("{} at warning", plural(count, "incident")),
        noun => plural(count, noun),
    })
    .collect();
    if said.is_empty() {
        said.push("nothing found".to_owned());
    }
    if verdict.status == Status::NotAssessed && report.capture.packets > 0 {
        said.push(format!("only {} can be judged", verdict.assessed.words()));
    }
    if verdict.incomplete {
        said.push("input incomplete".to_owned());
    }
    if verdict.degraded {
        said.push("limits acted".to_owned());
    }
    if report.ruled_out.is_empty() && report.findings.is_empty() {
        said.push("and nothing that a detector could judge".to_owned());
    }
    let mut lines = styled(wrapped(&format!("{word}: {}", said.join(", ")), width, "", 0, 2), word, style);
    lines.extend(wrapped(&looked_at(report), width, "", 0, 2));
    lines
}

/// `shop.pcap, 1 234 packets, 10 min from ... to ..., 31 services, 99.7 % understood, 0 dropped`
fn looked_at(report: &Report) -> String {
    let capture = &report.capture;
    let files = match capture.files.as_slice() {
        [file] => file_name(&file.path).to_owned(),
        files => plural(files.len() as u64, "file"),
    };
    let mut parts = vec![files, plural(capture.packets, "packet")];
    if let (Some(first), Some(last)) = (capture.first_seen, capture.last_seen) {
        let (from, to) = (whole_seconds(first), whole_seconds(last));
        parts.push(format!("{} from {from} to {to}", lasting(capture.duration)));
    }
    let services = report.services.len() as u64 + report.services_unlisted;
    let most = SERVICES as u64;
    if services > most {
        parts.push(format!("more than {}", plural(most, "service")));
    } else if services > 0 {
        parts.push(plural(services, "service"));
    }
    if capture.understood < 1.0 {
        // Rounded down: 99.96 % is not all of it.
        parts.push(format!("{:.1} % understood", (capture.understood * 1000.0).floor() / 10.0));
    }
    if capture.fragments.expired > 0 {
        parts.push(format!("{} never complete", plural(capture.fragments.expired, "fragmented datagram")));
    }
    match capture.dropped {
        Some(dropped) => parts.push(format!("{} dropped by the capture", grouped(dropped))),
        None => parts.push("drops not recorded".to_owned()),
    }
    parts.join(", ")
}

/// The last part of a path: what a person calls the file.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// As much of the incidents as there is room for: the first ones in full, then in short, then by title, then
/// by number.
fn incidents(report: &Report, width: usize, room: usize, top: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let total = report.incidents.len();
    for (number, cited) in report.incidents.iter().enumerate() {
        // A line for each of the next few, and one that counts the rest.
        let reserved = (total - number - 1).min(4) + usize::from(total - number - 1 > 4);
        let left = room.saturating_sub(lines.len());
        let full = || incident(report, cited, width);
        let short = || in_short(cited, width);
        let forms: [&dyn Fn() -> Vec<String>; 2] = [&full, &short];
        let skipped = usize::from(number >= top);
        let fitting =
            forms.iter().skip(skipped).map(|form| form()).find(|lines| lines.len() + reserved < left);
        match fitting {
            Some(form) if number < top.max(1) + 1 => {
                lines.push(String::new());
                lines.extend(form);
            }
            _ if left > 1 || number + 1 == total && left > 0 => lines.push(headline(&cited.incident, width)),
            _ => {
                if left > 0 {
                    let more = plural((total - number) as u64, "more incident");
                    lines.push(fitted(&format!("  and {more}: --all"), width));
                }
                break;
            }
        }
    }
    lines
}

fn title(incident: &Incident, width: usize, most: usize) -> Vec<String> {
    let (word, style) = mark(incident.severity);
    let head = format!("{} {word}", incident.id);
    let text = format!("{head}  {}", incident.title);
    let lines = wrapped(&text, width, "", INDENT, most);
    styled(lines, &head, style)
}

fn headline(incident: &Incident, width: usize) -> String {
    title(incident, width, 1).remove(0)
}

/// Everything about an incident that a screen has room for.
fn incident(report: &Report, cited: &CitedIncident, width: usize) -> Vec<String> {
    let incident = &cited.incident;
    let mut lines = title(incident, width, 2);
    lines.extend(wrapped(&incident.story, width, &" ".repeat(INDENT), INDENT, 5));
    lines.extend(labelled("impact", &impact(&incident.blast_radius, &clock), width, 2));
    lines.extend(before(cited).into_iter().take(1).flat_map(|text| labelled("time", &text, width, 2)));
    let sure = format!("{}; the finding is {}", incident.place.words(), confidence(incident));
    lines.extend(labelled("where", &sure, width, 1));
    if let Some(contrast) = incident.contrast.get(1) {
        lines.extend(labelled("contrast", &contrast.text, width, 2));
    }
    let cleared: Vec<&str> = incident.cleared.iter().map(|cleared| cleared.text.as_str()).collect();
    lines.extend(labelled("cleared", &cleared.join("; "), width, 2));
    lines.extend(proof(report, cited, width));
    lines.extend(incident.next_steps.first().into_iter().flat_map(|next| labelled("next", next, width, 2)));
    lines
}

/// What people changed shortly before it.
pub(super) fn before(cited: &CitedIncident) -> Vec<String> {
    let Some(onset) = cited.onset() else { return Vec::new() };
    let said = |announced: &Announced| format!("changed shortly before: {}", announced.before(onset, &clock));
    cited.changed_before.iter().map(said).collect()
}

fn in_short(cited: &CitedIncident, width: usize) -> Vec<String> {
    let mut lines = title(&cited.incident, width, 1);
    lines.extend(labelled("impact", &impact(&cited.incident.blast_radius, &clock), width, 1));
    lines.extend(filter(cited, width));
    lines
}

fn confidence(incident: &Incident) -> &'static str {
    crate::report::table::word(&incident.confidence)
}

/// `212 of 230 failed, 3 clients, 72 min waited, since 14:09:52, still going on at the end`
pub(super) fn impact(radius: &BlastRadius, clock: &dyn Fn(Timestamp) -> String) -> String {
    let mut parts = Vec::new();
    if radius.failed > 0 {
        parts.push(format!("{} of {} failed", grouped(radius.failed), grouped(radius.of)));
    }
    let counts = [
        (radius.clients.count, radius.clients.at_least, "client"),
        (radius.services.count, radius.services.at_least, "service"),
    ];
    let several = |(count, at_least, noun): (u64, bool, &str)| {
        let least = if at_least { "at least " } else { "" };
        (count > 0).then(|| format!("{least}{}", plural(count, noun)))
    };
    parts.extend(counts.into_iter().filter_map(several));
    if radius.seconds_lost > Span::ZERO {
        parts.push(format!("{} waited", lasting(radius.seconds_lost)));
    }
    if let Some((since, until)) = radius.since.zip(radius.until) {
        parts.push(match until - since {
            Span::ZERO => format!("at {}", clock(since)),
            _ => format!("from {} to {}", clock(since), clock(until)),
        });
    }
    if radius.going_on {
        parts.push("going on at the end of the capture".to_owned());
    }
    parts.join(", ")
}

/// Time of day in UTC, as the header has it.
pub(super) fn clock(time: Timestamp) -> String {
    time.rfc3339().get(11..19).unwrap_or_default().to_owned()
}

/// Frames by what they are, and the filter that shows them.
fn proof(report: &Report, cited: &CitedIncident, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(root) = report.findings.get(cited.incident.root_place) {
        let one_file = report.capture.files.len() == 1;
        lines.extend(labelled("proof", &roles(&root.evidence, one_file), width, 1));
    }
    lines.extend(filter(cited, width));
    lines
}

/// Frame numbers by role, in the order of the frames: `32 35 (original), 38 (retransmission)`.
fn roles(evidence: &[CitedFrame], one_file: bool) -> String {
    let mut by_role: Vec<(&str, Vec<String>)> = Vec::new();
    for cited in evidence {
        let role = cited.packet.role.name();
        let frame = match one_file {
            true => cited.frame.to_string(),
            false => format!("{}:{}", file_name(&cited.file), cited.frame),
        };
        match by_role.iter_mut().find(|(known, _)| *known == role) {
            Some((_, frames)) => frames.push(frame),
            None => by_role.push((role, vec![frame])),
        }
    }
    let shown = |(role, frames): (&str, Vec<String>)| {
        let some = frames.iter().take(3).cloned().collect::<Vec<_>>().join(" ");
        let more = if frames.len() > 3 { " .." } else { "" };
        format!("{some}{more} ({})", role.replace('_', " "))
    };
    by_role.into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// A display filter that can be copied as it stands: as many of the frames as fit into the line.
fn filter(cited: &CitedIncident, width: usize) -> Vec<String> {
    let Some(proof) = cited.evidence.first() else { return Vec::new() };
    let room = width.saturating_sub(INDENT);
    let mut shown = proof.filter.clone();
    while shown.len() > room
        && let Some((head, _)) = shown.trim_end_matches('}').rsplit_once(", ")
    {
        shown = format!("{head}}}");
    }
    let file = match cited.evidence.len() {
        1 => String::new(),
        _ => format!("  ({})", file_name(&proof.file)),
    };
    let line = format!("{:2}{:12}{shown}", "", "wireshark");
    let whole = format!("{line}{}", terminal(&file));
    vec![fitted(if whole.len() <= width { &whole } else { &line }, width)]
}

/// A line with a name in front: nothing when there is nothing to say.
fn labelled(label: &str, text: &str, width: usize, most: usize) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let head = format!("  {label:12}");
    styled(wrapped(text, width, &head, INDENT, most), &head, DIM)
}

/// Nothing at warning or above: what was checked, and how well it went.
fn quiet(report: &Report, width: usize, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let judged = report.layers.iter().filter(|layer| layer.was_judged());
    for layer in judged {
        let text = format!("{}: {}", layer.state.words(), layer.reason);
        lines.extend(labelled(layer.layer.words(), &text, width, 2));
    }
    let busiest = report.services.iter().max_by_key(|service| service.attempts);
    if let Some(service) = busiest.filter(|service| service.attempts > 0) {
        let name = service.names.first().map(|name| format!(" ({name})")).unwrap_or_default();
        let well = service.attempts - service.failed.min(service.attempts);
        let first = service.first_byte.map(|spread| format!(", first byte after {}", spread.median));
        let port = if service.server.is_ipv6() {
            format!("[{}]:{}", service.server, service.port)
        } else {
            format!("{}:{}", service.server, service.port)
        };
        let text = format!(
            "{port}{name}: {} of {} well{}",
            grouped(well),
            plural(service.attempts, if service.protocol == "dns" { "lookup" } else { "connection" }),
            first.unwrap_or_default()
        );
        lines.extend(labelled("busiest", &report.labels.said(&text), width, 1));
    }
    if !lines.is_empty() {
        lines.insert(0, format!("{BOLD}checked{BOLD:#}"));
        lines.insert(0, String::new());
    }
    let known = worth_knowing(report, width);
    let left = room.saturating_sub(lines.len() + 3);
    if !known.is_empty() && left > 0 {
        lines.push(String::new());
        lines.push(format!("{BOLD}worth knowing{BOLD:#}"));
        let shown = known.len().min(left.min(8));
        let more: u64 = known.iter().skip(shown).map(|(_, count)| count).sum();
        lines.extend(known.into_iter().take(shown).map(|(line, _)| line));
        if more > 0 {
            lines.push(format!("  and {}: --all", plural(more, "more finding")));
        }
    }
    lines.truncate(room);
    lines
}

/// A line for the first finding of every rule, and how many it stands for.
fn worth_knowing(report: &Report, width: usize) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    report.findings.iter().for_each(|ranked| *counts.entry(ranked.finding.rule()).or_default() += 1);
    let first = |ranked: &RankedFinding| {
        let count = counts.remove(&ranked.finding.rule())?;
        let others = if count > 1 { format!(" (and {} like it)", grouped(count - 1)) } else { String::new() };
        let line = format!("  {}  {}", ranked.id, ranked.finding.title);
        let line = wrapped(&line, width.saturating_sub(others.len()), "", 9, 1);
        let line = styled(line, &format!("  {}", ranked.id), CYAN).remove(0);
        Some((line + &others, count))
    };
    report.findings.iter().filter_map(first).collect()
}

/// What works, what was not judged, what is missing, and where the rest is.
fn footer(report: &Report, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if !is_quiet(report) {
        let layers: Vec<String> = report
            .layers
            .iter()
            .map(|layer| match layer.state {
                State::Ok | State::NotSeen => format!("{} {}", layer.layer.words(), layer.state.words()),
                state => format!("{} {} ({})", layer.layer.words(), state.words(), layer.reason),
            })
            .collect();
        lines.extend(labelled("layers", &layers.join(" . "), width, 2));
    }
    lines.extend(labelled("not judged", &not_judged(report), width, 2));
    if let Some((first, rest)) = report.verdict.reasons.split_first() {
        let more = if rest.is_empty() { String::new() } else { format!("; {} more", rest.len()) };
        lines.extend(labelled("missing", &format!("{first}{more}"), width, 2));
    }
    let left_out = report.capture.ignored.len() as u64 + report.capture.ignored_unlisted;
    if left_out > 0 {
        lines.extend(labelled("left out", &format!("{}: --all", plural(left_out, "file")), width, 1));
    }
    if !report.findings.is_empty() {
        let rest = match report.other.len() as u64 {
            _ if is_quiet(report) => plural(report.findings.len() as u64, "finding"),
            0 => format!("{} in the incidents", plural(report.findings.len() as u64, "finding")),
            other => format!(
                "{}, {} of them in no incident",
                plural(report.findings.len() as u64, "finding"),
                grouped(other)
            ),
        };
        lines.extend(labelled("more", &format!("{rest}: --all; pcapsy explain NAME"), width, 1));
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

/// The largest of what could not be judged; details are in `--all`.
fn not_judged(report: &Report) -> String {
    let mut parts: Vec<String> = Vec::new();
    let packets = report.capture.packets;
    for rest in report.verdict.assessed.rest.iter().take(2).filter(|rest| rest.packets * 100 >= packets) {
        parts.push(format!("{}, {} of the packets", rest.what, percent(rest.packets, packets)));
    }
    // Several rules skip the same things for the same reason.
    let mut reasons: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    // That a file does not tell its drops stands in the header.
    for missing in report.not_assessed.iter().filter(|missing| missing.unit != "files") {
        let most = reasons.entry((&missing.reason, &missing.unit)).or_default();
        *most = (*most).max(missing.count);
    }
    let mut reasons: Vec<((&str, &str), u64)> = reasons.into_iter().collect();
    reasons.sort_by(|(a_why, a), (b_why, b)| b.cmp(a).then_with(|| a_why.cmp(b_why)));
    let shown = reasons.iter().take(2);
    parts.extend(shown.map(|((reason, unit), count)| format!("{}: {reason}", units(*count, unit))));
    parts.join("; ")
}
