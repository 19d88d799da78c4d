//! What people changed, and when: deployments, firewall rules, maintenance. From a file of theirs.
//!
//! A change that comes before an incident is worth asking about and proves nothing, so it is only ever said
//! to have come before.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::humanize::lasting;
use crate::report::list::{self, ListError};
use crate::report::model::Report;
use crate::time::{Span, Timestamp};

/// Longest file of changes, MiB.
const LONGEST: u64 = 16;
/// Changes that are kept, those nearest to the end of the capture.
const MOST: usize = 1_000;
/// Changes before a capture that are kept.
const BEFORE: Span = Span::secs(24 * 3_600);
/// Changes that are named with an incident.
const NAMED: usize = 5;
/// Who reads a list of changes after an incident begins with the last half hour.
const SHORTLY: Span = Span::secs(1_800);

/// Something that somebody changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Announced {
    /// When.
    pub time: Timestamp,
    /// Where that is known from: a pipeline, a calendar.
    pub source: String,
    /// What.
    pub text: String,
}

/// A line as people write it.
#[derive(Deserialize)]
struct Entry {
    time: serde_json::Value,
    #[serde(default)]
    source: String,
    text: String,
}

impl Announced {
    /// Reads CSV (time, source, text; the first line may name the columns), or JSON lines with these names.
    /// A time is RFC 3339 or seconds since 1970.
    ///
    /// # Errors
    /// When the file cannot be read, is longer than 16 MiB, or a line is not understood.
    pub fn read(path: &Path) -> Result<Vec<Self>, ListError> {
        let parse =
            |text: &str| if text.trim_start().starts_with('{') { json_lines(text) } else { csv(text) };
        let mut found = list::read(path, LONGEST, parse)?;
        found.sort();
        Ok(found)
    }

    /// `13:58:02 deploy: checkin-api 2.3 (11 min 50 s before)`.
    pub(super) fn before(&self, onset: Timestamp, clock: &dyn Fn(Timestamp) -> String) -> String {
        let gap = onset - self.time;
        let lead = if gap < Span::secs(1) { "at the same second".to_owned() } else { lasting_before(gap) };
        format!("{} {} ({lead})", clock(self.time), self.words())
    }

    /// `deploy: checkin-api 2.3`.
    pub(super) fn words(&self) -> String {
        match self.source.as_str() {
            "" => self.text.clone(),
            source => format!("{source}: {}", self.text),
        }
    }
}

fn lasting_before(gap: Span) -> String {
    let seconds = gap.0 / 1_000_000_000;
    match seconds {
        ..120 => format!("{seconds} s before"),
        120..3_600 => format!("{} min {} s before", seconds / 60, seconds % 60),
        _ => format!("{} before", lasting(gap)),
    }
}

/// What is wrong with a line.
type Wrong = (u64, String);

fn moment(text: &str) -> Option<Timestamp> {
    let seconds = || {
        let seconds: f64 = text.parse().ok()?;
        // Seconds of this and the next century, no number of milliseconds.
        (0.0..1e10).contains(&seconds).then(|| Timestamp(0) + Span::from_secs_f64(seconds))
    };
    Timestamp::parse(text).or_else(seconds)
}

fn entry(line: u64, time: &str, source: &str, text: &str) -> Result<Announced, Wrong> {
    let expected = || (line, format!("expected a time such as 2026-11-21T14:02:11Z, found {time:?}"));
    let time = moment(time.trim()).ok_or_else(expected)?;
    Ok(Announced { time, source: source.trim().to_owned(), text: text.trim().to_owned() })
}

fn csv(text: &str) -> Result<Vec<Announced>, Wrong> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut columns = [0, 1, 2];
    let mut found = Vec::new();
    for (place, record) in reader.records().enumerate() {
        let record = record.map_err(|error| {
            (error.position().map_or(0, csv::Position::line), "is no comma-separated line".to_owned())
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let named = |name: &str| record.iter().position(|field| field.trim().eq_ignore_ascii_case(name));
        if let (0, Some(time)) = (place, named("time")) {
            let text = named("text").ok_or((line, "no column text".to_owned()))?;
            columns = [time, named("source").unwrap_or(usize::MAX), text];
            continue;
        }
        let [time, source, text] = columns.map(|column| record.get(column).unwrap_or_default());
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        found.push(entry(line, time, source, text)?);
    }
    Ok(found)
}

fn json_lines(text: &str) -> Result<Vec<Announced>, Wrong> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let wrong = |error: serde_json::Error| (line, format!("expected time, source and text: {error}"));
        let read: Entry = serde_json::from_str(text).map_err(wrong)?;
        let time = match &read.time {
            serde_json::Value::String(time) => time.clone(),
            other => other.to_string(),
        };
        found.push(entry(line, &time, &read.source, &read.text)?);
    }
    Ok(found)
}

impl Report {
    /// Takes in what people changed, in order of time: what lies in the capture or a day before it. Every
    /// incident names what came shortly before.
    pub fn announce(&mut self, announced: &[Announced]) {
        let (Some(first), Some(last)) = (self.capture.first_seen, self.capture.last_seen) else { return };
        let of_it = announced.iter().filter(|one| one.time >= first - BEFORE && one.time <= last);
        let mut kept: Vec<Announced> = of_it.cloned().collect();
        kept.drain(..kept.len().saturating_sub(MOST));
        for cited in &mut self.incidents {
            let Some(onset) = cited.onset() else { continue };
            let near = kept.iter().rev().filter(|one| one.time <= onset && onset - one.time <= SHORTLY);
            cited.changed_before = near.take(NAMED).cloned().collect();
        }
        self.announced = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::report::rca::{self, Zone};
    use crate::report::tests::outcome;
    use crate::report::text::{View, plain};

    fn read(text: &str) -> Result<Vec<Announced>, ListError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("changes");
        std::fs::write(&path, text).expect("written");
        Announced::read(&path)
    }

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let expected = vec![
            Announced { time: Timestamp(5_000_000_000), source: "ci".into(), text: "api, 2.3".into() },
            Announced { time: Timestamp(9_500_000_000), source: String::new(), text: "rule 7".into() },
        ];
        for text in [
            "1970-01-01T00:00:05Z,ci,\"api, 2.3\"\n9.5,,rule 7\n",
            "\u{feff}Text,Time,Who,Source\r\nrule 7,9.5,me,\r\n\"api, 2.3\",5,me,ci\r\n",
            "{\"time\":9.5,\"text\":\"rule 7\"}\n\n\
             {\"time\":\"1970-01-01 00:00:05Z\",\"source\":\"ci\",\"text\":\"api, 2.3\",\"id\":1}\n",
        ] {
            assert_eq!(read(text).expect(text), expected);
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let wrong = |text| read(text).expect_err(text).to_string();
        assert!(
            wrong("5,ci,a\nyesterday,ci,b\n")
                .ends_with("line 2: expected a time such as 2026-11-21T14:02:11Z, found \"yesterday\"")
        );
        assert!(wrong("{\"time\":5,\"text\":\"a\"}\n{\"time\":5}\n").contains("line 2: expected time"));
        assert!(wrong("time,what\n5,a\n").contains("line 1: no column text"));
        assert!(wrong("1700000000000,ci,milliseconds\n").contains("line 1"));
    }

    #[test]
    fn what_came_shortly_before_is_named_and_blamed_for_nothing() {
        let outcome = outcome();
        let mut report = Report::new(&outcome, &Config::default());
        let onset = report.incidents[0].onset().expect("an onset");
        let at = |before: i64, text: &str| Announced {
            time: onset - Span::secs(before),
            source: "ci".to_owned(),
            text: text.to_owned(),
        };
        let mut changes = vec![at(4_000, "long ago"), at(3, "api <2.3>\u{1b}[2J"), at(-1, "afterwards")];
        changes.sort();
        report.announce(&changes);
        let named: Vec<&str> =
            report.incidents[0].changed_before.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(named, ["api <2.3>\u{1b}[2J"]);
        for view in [View::Screen(3), View::All] {
            let page = String::from_utf8(plain(&report, view, 100).expect("memory")).expect("text");
            assert!(page.contains("changed shortly before"), "{page}");
            assert!(page.contains("ci: api <2.3>\\x1b[2J (3 s before)"), "{page}");
            assert!(!page.contains("afterwards") && !page.contains("long ago"), "{page}");
        }
        let document = rca::document(&report, &outcome.files, &Zone::default());
        assert!(document.contains("### Changed shortly before\n"), "{document}");
        assert!(document.contains("ci: api \\<2.3\\>\\\\x1b\\[2J"), "{document}");
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!(json["incidents"][0]["changed_before"][0]["source"], "ci");
        report.announce(&[]);
        let json = serde_json::to_value(&report).expect("JSON");
        assert!(json.get("announced").is_none() && json["incidents"][0].get("changed_before").is_none());
    }
}
