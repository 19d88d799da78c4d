//! `pcapsy why`: everything that is said of a packet, a flow, a finding or an incident.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::capture::{Hashes, Reader};
use crate::cli::labels::LabelArgs;
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::source::Source;
use crate::cli::stdout::stdout;
use crate::dissect::{FiveTuple, PacketRecord, dissect};
use crate::report::capture::unread;
use crate::report::escape::{terminal, write_json};
use crate::report::model::{CitedIncident, RankedFinding, Report};
use crate::report::page::{BOLD, styled, wrapped};
use crate::report::said::{About, Gather, Said, incident_of};
use crate::report::text::write_finding;
use crate::report::value::Value;

/// Arguments of `why`.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// A frame number (of the second of several files: name.pcap:12), a finding (F-003), an incident (I-01),
    /// or a flow by flow_id of the tables (flow:7)
    #[arg(value_name = "FRAME|F-003|I-01|flow:ID", value_parser = Topic::parse)]
    what: Topic,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    labels: LabelArgs,
    /// Print JSON and nothing else
    #[arg(long)]
    json: bool,
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq)]
enum Topic {
    Frame(Option<String>, u64),
    Flow(u64),
    Finding(String),
    Incident(String),
}

impl Topic {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(id) = text.strip_prefix("flow:") {
            return id.parse().map(Self::Flow).map_err(|_| "expected flow: and a number".to_owned());
        }
        if text.starts_with("F-") {
            return Ok(Self::Finding(text.to_owned()));
        }
        if text.starts_with("I-") {
            return Ok(Self::Incident(text.to_owned()));
        }
        let (file, frame) = match text.rsplit_once(':') {
            Some((file, frame)) => (Some(file.to_owned()), frame),
            None => (None, text),
        };
        let wrong = || "expected a frame number, F-003, I-01 or flow:7".to_owned();
        let frame: u64 = frame.parse().map_err(|_| wrong())?;
        if frame == 0 { Err("frames are counted from 1".to_owned()) } else { Ok(Self::Frame(file, frame)) }
    }
}

/// What is said of a finding.
#[derive(Serialize)]
struct OfFinding<'r> {
    finding: &'r RankedFinding,
    incident: Option<&'r str>,
    /// Why it belongs to that.
    why: Option<&'r str>,
}

impl Why {
    /// Analyses and prints all that is said of it.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let config = self.source.config()?;
        let labels = self.labels.read()?;
        let (mut about, mut packet) = (About::Flow(0), None);
        match &self.what {
            Topic::Frame(file, frame) => {
                let reader = self.source.open_one(&config, Hashes::None)?;
                let found = find(reader, file.as_deref(), *frame)?;
                about = About::Packet(found.packet, FiveTuple::of(&found));
                packet = Some(found);
            }
            Topic::Flow(id) => about = About::Flow(*id),
            Topic::Finding(_) | Topic::Incident(_) => {}
        }
        let reader = self.source.open_one(&config, Hashes::None)?;
        let mut gather = Gather::new(about);
        let outcome = self.source.analyze(&config, reader, &mut gather)?;
        let missing = unread(&outcome);
        missing.iter().for_each(|missing| complain(missing));
        let mut report = Report::new(&outcome, &config);
        report.label(&labels);
        let out = &mut anstream::stdout().lock();
        stdout()?;
        match &self.what {
            Topic::Finding(id) => {
                let ids = report.findings.iter().map(|ranked| ranked.id.as_str());
                let ranked = report.finding(id).ok_or_else(|| no_such("finding", id, ids))?;
                self.finding(&report, ranked, out)?;
            }
            Topic::Incident(id) => {
                let ids = report.incidents.iter().map(|cited| cited.incident.id.as_str());
                let mut found = report.incidents.iter().filter(|cited| cited.incident.id == *id);
                let cited = found.next().ok_or_else(|| no_such("incident", id, ids))?;
                self.incident(&report, cited, out)?;
            }
            Topic::Flow(id) if gather.is_empty() => {
                let why = format!("no flow {id}; pcapsy flows lists them by flow_id");
                return Err(Failure::Usage(why));
            }
            Topic::Frame(..) | Topic::Flow(_) => {
                let said = gather.said(&report, packet.as_ref()).labelled(labels);
                match self.json {
                    true => json(&said, out)?,
                    false => write(&said, width(), out)?,
                }
            }
        }
        out.flush()?;
        Ok(if missing.is_empty() { Exit::Clean } else { Exit::Failed })
    }

    fn finding(&self, report: &Report, ranked: &RankedFinding, out: &mut dyn Write) -> io::Result<()> {
        let cited = incident_of(report, &ranked.id).map(|cited| &cited.incident);
        let link = cited.and_then(|incident| incident.links.iter().find(|link| link.finding == ranked.id));
        let incident = cited.map(|incident| incident.id.as_str());
        if self.json {
            let why = link.map(|link| link.why.as_str());
            return json(&OfFinding { finding: ranked, incident, why }, out);
        }
        write_finding(report, ranked, width(), out)?;
        if let Some(incident) = cited {
            let why = match link {
                Some(link) => link.why.as_str(),
                None => "it is nearest to the cause",
            };
            let text = format!("{} {}: {why}", incident.id, incident.title);
            print(part("incident", &text, width()), out)?;
        }
        let commands = ranked.wireshark_filter.iter().map(|filter| filter.command.as_str());
        commands.enumerate().try_for_each(|(place, command)| verbatim(place, command, out))
    }

    fn incident(&self, report: &Report, cited: &CitedIncident, out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            return json(cited, out);
        }
        let incident = &cited.incident;
        print(part(&incident.id, &incident.title, width()), out)?;
        print(part("", &incident.story, width()), out)?;
        let ids = std::iter::once(&incident.root).chain(&incident.symptoms);
        for ranked in ids.filter_map(|id| report.finding(id)) {
            let link = incident.links.iter().find(|link| link.finding == ranked.id);
            let why = link.map_or("nearest to the cause", |link| link.why.as_str());
            let text = format!("{} ({why})", ranked.finding.title);
            print(part(&ranked.id, &text, width()), out)?;
            for filter in ranked.wireshark_filter.iter().take(2) {
                verbatim(1, &filter.command, out)?;
            }
        }
        Ok(())
    }
}

/// The packet that is this frame of the file whose name ends so; of the first file without a name.
fn find(mut reader: Reader, file: Option<&str>, frame: u64) -> Result<PacketRecord, Failure> {
    let mut names: Vec<String> = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        let of_file = reader.begun().nth(chunk.file as usize);
        let (path, base) = of_file.map_or((String::new(), 0), |(path, base)| (path.to_owned(), base));
        let is_it = file.map_or(chunk.file == 0, |file| path.ends_with(file));
        let ordinal = base.saturating_add(frame);
        let holds = (chunk.first_packet..chunk.first_packet + chunk.packets).contains(&ordinal);
        let found = match is_it && holds {
            true => chunk.packets().find(|packet| packet.packet == ordinal).map(|packet| dissect(&packet)),
            false => None,
        };
        chunk.release();
        if let Some(found) = found {
            return Ok(found);
        }
        if names.last() != Some(&path) && is_it {
            names.push(path);
        }
    }
    let of = names.first().cloned().or(file.map(str::to_owned)).unwrap_or_default();
    Err(Failure::Usage(format!("no frame {frame} in {of}")))
}

/// There is no such thing, and which there are.
pub(super) fn no_such<'r>(noun: &str, id: &str, ids: impl Iterator<Item = &'r str>) -> Failure {
    let ids: Vec<&str> = ids.collect();
    let there = match ids.as_slice() {
        [] => format!("there is no {noun}"),
        [first, .., last] => format!("those there are: {first} to {last}"),
        [only] => format!("there is {only} only"),
    };
    Failure::Usage(format!("no {noun} {id}; {there}"))
}

fn width() -> usize {
    terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0)).max(60)
}

fn json<T: Serialize>(value: &T, out: &mut dyn Write) -> io::Result<()> {
    write_json(&mut *out, value, true)?;
    writeln!(out)
}

/// Where the text of a part begins.
const INDENT: usize = 14;

fn part(label: &str, text: &str, width: usize) -> Vec<String> {
    styled(wrapped(text, width, &format!("{label:INDENT$}"), INDENT, usize::MAX), label, BOLD)
}

fn print(lines: Vec<String>, out: &mut dyn Write) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// A command on one line, however long: it is to be copied.
fn verbatim(place: usize, command: &str, out: &mut dyn Write) -> io::Result<()> {
    let label = if place == 0 { "the same" } else { "" };
    writeln!(out, "{BOLD}{label:INDENT$}{BOLD:#}{}", terminal(command))
}

fn write(said: &Said, width: usize, out: &mut dyn Write) -> io::Result<()> {
    if let Some(packet) = &said.packet {
        print(part("packet", &said.labels.said(packet), width), out)?;
    }
    for row in &said.rows {
        let cells = row.cells.iter().filter(|(_, value)| !matches!(value, Value::Number(0)));
        let cells: Vec<String> = cells.map(|(name, value)| format!("{name} {}", shown(value))).collect();
        print(part(row.table, &said.labels.said(&cells.join(", ")), width), out)?;
    }
    if said.rows_left_out > 0 {
        print(part("", &format!("{} more rows: --json", said.rows_left_out), width), out)?;
    }
    for finding in &said.findings {
        let incident = finding.incident.as_ref().map(|id| format!(" in {id}")).unwrap_or_default();
        let text =
            format!("{} {}{incident}: {} ({})", finding.severity, finding.rule, finding.title, finding.how);
        print(part(&finding.id, &text, width), out)?;
    }
    if said.findings.is_empty() {
        print(part("findings", "no finding cites or counts it", width), out)?;
    }
    said.commands.iter().enumerate().try_for_each(|(place, command)| verbatim(place, command, out))
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Real(value) => format!("{value:.6}"),
        Value::Text(value) => value.to_string(),
        Value::Time(value) => value.rfc3339(),
    }
}
