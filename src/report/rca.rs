//! `rca.md`: the incidents as a document to edit and to send.
//!
//! It holds what the report holds, in the order in which people ask, and no clock of its own: the same input,
//! configuration and time zone give the same bytes.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::capture::FileReport;
use crate::correlate::{Measure, Tie};
use crate::detect::Severity;
use crate::humanize::{grouped, plural};
use crate::report::escape::terminal;
use crate::report::model::{CitedIncident, RankedFinding, Report};
use crate::report::screen::impact;
use crate::time::Timestamp;

/// The time zone of the times for people.
#[derive(Clone, Debug)]
pub struct Zone(jiff::tz::TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = String;

    /// `UTC`, an offset like `+02:00`, or a name of the system's time zone database.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("utc") || text == "Z" {
            return Ok(Self::default());
        }
        if let Some(seconds) = offset(text) {
            let offset = jiff::tz::Offset::from_seconds(seconds).map_err(|error| error.to_string())?;
            return Ok(Self(offset.to_time_zone()));
        }
        jiff::tz::TimeZone::get(text).map(Self).map_err(|_| {
            format!(
                "no time zone of that name on this system: {text}; UTC and offsets like +02:00 always work"
            )
        })
    }
}

/// Seconds of `+02:00`, `-0530`, `+2`.
fn offset(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 => rest.split_at_checked(2)?,
        None => (rest, "0"),
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let fits = (0..=23).contains(&hours) && (0..60).contains(&minutes);
    fits.then_some(sign * (hours * 3_600 + minutes * 60))
}

impl Zone {
    /// The moment as the format of `strftime` says; nothing for one beyond the calendar.
    pub(super) fn format(&self, time: Timestamp, format: &str) -> String {
        let moment = jiff::Timestamp::from_nanosecond(i128::from(time.0));
        moment.map_or_else(|_| String::new(), |at| at.to_zoned(self.0.clone()).strftime(format).to_string())
    }

    /// `2026-02-22 11:02:11.000123 +01:00`: a moment for people.
    pub(super) fn show(&self, time: Timestamp) -> String {
        match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
            Ok(moment) => {
                let zoned = moment.to_zoned(self.0.clone());
                let utc = zoned.offset() == jiff::tz::Offset::UTC;
                let text = zoned.strftime("%Y-%m-%d %H:%M:%S%.6f");
                if utc { format!("{text} UTC") } else { format!("{text} {}", zoned.strftime("%:z")) }
            }
            Err(_) => time.rfc3339(),
        }
    }
}

/// Entries of a timeline: the first of what happened tell how it began.
const TIMELINE: usize = 40;
/// Frames of a table of evidence.
const FRAMES: usize = 24;
/// Incidents written out; the rest is in `report.json`.
const INCIDENTS: usize = 20;

/// The document.
pub fn document(report: &Report, inputs: &[FileReport], zone: &Zone) -> String {
    let mut text = String::new();
    let first = report.incidents.first().map(|cited| &cited.incident);
    let subject = match first.filter(|incident| incident.severity > Severity::Info) {
        Some(incident) => escaped(&incident.title),
        None => "nothing at warning or above".to_owned(),
    };
    let _ = writeln!(text, "# Root cause analysis: {subject}\n");
    summary(&mut text, report, zone);
    for cited in report.incidents.iter().take(INCIDENTS) {
        incident(&mut text, report, cited, zone);
    }
    if let Some(more) = report.incidents.len().checked_sub(INCIDENTS).filter(|more| *more > 0) {
        let _ = writeln!(text, "\n{} in report.json.", plural(more as u64, "more incident"));
    }
    works(&mut text, report);
    custody(&mut text, report, inputs, zone);
    text
}

fn summary(text: &mut String, report: &Report, zone: &Zone) {
    let capture = &report.capture;
    if let Some((first, last)) = capture.first_seen.zip(capture.last_seen) {
        let packets = plural(capture.packets, "packet");
        let _ = writeln!(text, "Captured from {} to {}: {packets}.\n", zone.show(first), zone.show(last));
    }
    for cited in report.incidents.iter().take(INCIDENTS) {
        let incident = &cited.incident;
        let severity = crate::report::table::word(&incident.severity);
        let _ = writeln!(text, "- **{}** ({severity}) {}", incident.id, escaped(&incident.title));
    }
    for reason in &report.verdict.reasons {
        let _ = writeln!(text, "- not complete: {}", escaped(reason));
    }
}

fn incident(text: &mut String, report: &Report, cited: &CitedIncident, zone: &Zone) {
    let incident = &cited.incident;
    let _ = writeln!(text, "\n## {}: {}\n", incident.id, escaped(&incident.title));
    let _ = writeln!(text, "### What happened\n\n{}\n", escaped(&incident.story));
    let (severity, confidence) =
        (crate::report::table::word(&incident.severity), crate::report::table::word(&incident.confidence));
    let place = incident.place.words();
    let _ = writeln!(
        text,
        "Severity {severity}, {confidence}. Layer: {}. Where to look: {place}.",
        incident.layer.words()
    );
    let radius = &incident.blast_radius;
    let _ = writeln!(text, "\n### Impact\n\n{}.\n", escaped(&impact(radius, &|time| zone.show(time))));
    let list = |text: &mut String, what: &str, listed: &[String], count: u64| {
        if !listed.is_empty() {
            let more = count.saturating_sub(listed.len() as u64);
            let more = if more > 0 { format!(" and {} more", grouped(more)) } else { String::new() };
            let listed = report.labels.said(&listed.join(", "));
            let _ = writeln!(text, "- {what}: {}{more}", escaped(&listed));
        }
    };
    let clients: Vec<String> = radius.clients.sample.iter().take(16).map(ToString::to_string).collect();
    list(text, "clients", &clients, radius.clients.count);
    list(text, "services", &first(&radius.services.sample), radius.services.count);
    list(text, "names", &first(&radius.names.sample), radius.names.count);
    if let Some(onset) = cited.onset().filter(|_| !cited.changed_before.is_empty()) {
        let _ = writeln!(
            text,
            "\n### Changed shortly before\n\nThe frames do not show whether one of these is the cause.\n"
        );
        for announced in &cited.changed_before {
            let _ = writeln!(text, "- {}", escaped(&announced.before(onset, &|time| zone.show(time))));
        }
    }
    timeline(text, report, cited, zone);
    evidence(text, report, cited, zone);
    let _ = writeln!(text, "\n### Ruled out, and by which numbers\n");
    for contrast in &incident.contrast {
        let _ = writeln!(text, "- {}", escaped(&contrast.text));
    }
    for cleared in &incident.cleared {
        let _ = writeln!(text, "- {}: {}", cleared.what.replace('_', " "), escaped(&cleared.text));
    }
    if incident.contrast.is_empty() && incident.cleared.is_empty() {
        let _ = writeln!(text, "Nothing on the same subject was measured that could clear something.");
    }
    let _ = writeln!(text, "\n### Not known\n");
    if let Some(root) = report.finding(&incident.root) {
        for cause in &root.finding.alternatives {
            let _ = writeln!(text, "- could be: {}", escaped(cause));
        }
    }
    for unknown in &incident.not_known {
        let _ = writeln!(text, "- not shown: {}", escaped(unknown));
    }
    let _ = writeln!(text, "\n### Next steps\n");
    for next in &incident.next_steps {
        let _ = writeln!(text, "- [ ] {}", escaped(next));
    }
}

fn first(listed: &[String]) -> Vec<String> {
    listed.iter().take(16).cloned().collect()
}

/// The findings of an incident, the root first.
fn findings<'r>(report: &'r Report, cited: &CitedIncident) -> Vec<&'r RankedFinding> {
    let ids = std::iter::once(&cited.incident.root).chain(&cited.incident.symptoms);
    ids.filter_map(|id| report.finding(id)).collect()
}

fn timeline(text: &mut String, report: &Report, cited: &CitedIncident, zone: &Zone) {
    let mut entries: Vec<(Timestamp, String)> = Vec::new();
    for ranked in findings(report, cited) {
        let finding = &ranked.finding;
        let rule = finding.rule();
        if let Some((from, until)) = finding.first_seen.zip(finding.last_seen) {
            entries.push((from, format!("first of {} {rule}: {}", ranked.id, finding.title)));
            if until > from {
                entries.push((until, format!("last of {} {rule}", ranked.id)));
            }
        }
    }
    if let Some(change) = &cited.incident.change {
        entries.push((change.at, format!("{}: {}", changed(change.what), change.text)));
        entries.extend(change.until.map(|until| (until, format!("{}: as before", changed(change.what)))));
    }
    let announced = report.announced.iter().chain(&cited.changed_before);
    entries.extend(announced.map(|one| (one.time, format!("changed: {}", one.words()))));
    let capture =
        [(report.capture.first_seen, "the capture begins"), (report.capture.last_seen, "the capture ends")];
    entries.extend(capture.into_iter().filter_map(|(time, what)| Some((time?, what.to_owned()))));
    entries.sort();
    entries.dedup();
    let _ = writeln!(text, "\n### Timeline\n\n| time | what |\n|---|---|");
    for (time, what) in entries.iter().take(TIMELINE) {
        let _ = writeln!(text, "| {} | {} |", zone.show(*time), escaped(what));
    }
    if let Some(more) = entries.len().checked_sub(TIMELINE).filter(|more| *more > 0) {
        let _ = writeln!(text, "| | {} in report.json |", plural(more as u64, "more entry"));
    }
}

fn changed(what: Measure) -> &'static str {
    match what {
        Measure::Failures => "failures",
        Measure::Response => "response time",
        Measure::RoundTrip => "round trip",
    }
}

fn evidence(text: &mut String, report: &Report, cited: &CitedIncident, zone: &Zone) {
    let _ = writeln!(text, "\n### Evidence\n");
    let all = findings(report, cited);
    for ranked in &all {
        let link = cited.incident.links.iter().find(|link| link.finding == ranked.id);
        let why = match link {
            None => "root".to_owned(),
            Some(link) => {
                let tie = match link.tie {
                    Tie::Same => "the same",
                    Tie::Symptom => "explained",
                    Tie::Together => "together with it",
                };
                format!("{tie}: {}", link.why)
            }
        };
        let summary = escaped(&ranked.finding.summary);
        let _ =
            writeln!(text, "- **{}** {} ({}): {summary}", ranked.id, ranked.finding.rule(), escaped(&why));
    }
    let Some(root) = all.first() else { return };
    if !root.evidence.is_empty() {
        let _ = writeln!(text, "\n| file | frame | time | what it is | fields |\n|---|---|---|---|---|");
        for frame in root.evidence.iter().take(FRAMES) {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                escaped(&frame.file),
                frame.frame,
                zone.show(frame.packet.time),
                frame.packet.role.name().replace('_', " "),
                escaped(&frame.packet.fields),
            );
        }
    }
    for proof in &cited.evidence {
        let _ = writeln!(text, "\n{} in Wireshark:\n\n    {}", escaped(&proof.file), terminal(&proof.filter));
    }
}

fn works(text: &mut String, report: &Report) {
    let _ = writeln!(text, "\n## Layers\n\n| layer | state | how that is known |\n|---|---|---|");
    for layer in &report.layers {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            layer.layer.words(),
            layer.state.words().to_lowercase(),
            escaped(&layer.reason)
        );
    }
    let other: Vec<&RankedFinding> = report.other.iter().filter_map(|id| report.finding(id)).collect();
    if !other.is_empty() {
        let _ = writeln!(text, "\n## Findings in no incident\n");
        for ranked in other.iter().take(TIMELINE) {
            let word = match ranked.finding.severity {
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Critical => "critical",
            };
            let _ = writeln!(text, "- {} ({word}) {}", ranked.id, escaped(&ranked.finding.title));
        }
        if let Some(more) = other.len().checked_sub(TIMELINE).filter(|more| *more > 0) {
            let _ = writeln!(text, "- {} in report.json", plural(more as u64, "more finding"));
        }
    }
}

fn custody(text: &mut String, report: &Report, inputs: &[FileReport], zone: &Zone) {
    let _ = writeln!(text, "\n## Chain of custody\n");
    let tool = &report.tool;
    let _ = writeln!(text, "- {} {}, report schema {}", tool.name, tool.version, report.schema_version);
    let _ = writeln!(text, "- configuration: BLAKE3 {}", report.config_hash);
    for file in inputs {
        let bytes = plural(file.size, "byte");
        let _ = writeln!(
            text,
            "- {}: {bytes}, {}, BLAKE3 {}",
            escaped(&file.path),
            plural(file.packets, "packet"),
            file.blake3
        );
        if let Some(sha256) = &file.sha256 {
            let _ = writeln!(text, "  SHA-256 {sha256}");
        }
    }
    let zone = report.capture.first_seen.map(|time| zone.show(time));
    let zone = zone.and_then(|shown| shown.rsplit_once(' ').map(|(_, zone)| zone.to_owned()));
    let _ = writeln!(text, "- times are packet times, {}", zone.as_deref().unwrap_or("UTC"));
    let _ = writeln!(text, "- manifest.json: when the analysis ran, and what it wrote");
}

/// Text from packets as Markdown: what has a meaning there is escaped.
fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in terminal(text).chars() {
        if matches!(character, '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '|' | '#' | '&' | '!') {
            plain.push('\\');
        }
        plain.push(character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::report::tests::outcome;

    fn page(zone: &str) -> String {
        let outcome = outcome();
        let report = Report::new(&outcome, &Config::default());
        document(&report, &outcome.files, &zone.parse().expect("a zone"))
    }

    #[test]
    fn the_document_answers_what_people_ask() {
        let page = page("UTC");
        for heading in [
            "# Root cause analysis: large packets to 10.0.0.1:443 are never acknowledged, and 1 more",
            "### What happened\n",
            "### Impact\n",
            "### Timeline\n",
            "### Evidence\n",
            "### Ruled out, and by which numbers\n",
            "### Not known\n",
            "### Next steps\n",
            "## Chain of custody\n",
            "| b.pcap | 2 | 1970-01-01 00:00:12.000000 UTC | original | seq 1448, len 1448, DF |\n",
            "    frame.number in {2, 4..6}\n",
        ] {
            assert!(page.contains(heading), "{heading}\n--\n{page}");
        }
        assert!(!page.replace('\n', "").contains(crate::report::escape::is_hostile), "{page}");
    }

    #[test]
    fn times_are_of_the_zone_that_was_asked_for() {
        assert!(page("+02:00").contains("1970-01-01 02:00:12.000000 +02:00"));
        assert!(page("-0530").contains("1969-12-31 18:30:12.000000 -05:30"));
        assert!("Nowhere/AtAll".parse::<Zone>().is_err() && "+99:00".parse::<Zone>().is_err());
    }

    #[test]
    fn nothing_from_a_packet_is_markup() {
        assert_eq!(escaped("<b> [x](y) a_b"), "\\<b\\> \\[x\\](y) a\\_b");
    }
}
