//! `pcapsy extract`: packets of an incident, a finding, a flow, or those a filter lets pass, as pcapng.

use std::collections::BTreeSet;
use std::io::{BufWriter, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::app::quic::{self, looks_like_quic};
use crate::capture::{Chunk, FileReport, Hashes, Keys, Random, RawPacket, Secret};
use crate::cli::outcome::{Exit, Failure, complain};
use crate::cli::redaction::RedactArgs;
use crate::cli::source::{Source, spare, time};
use crate::cli::stdout::stdout;
use crate::cli::why::no_such;
use crate::config::Config;
use crate::dissect::{FiveTuple, dissect};
use crate::extract::{
    Again, Asked, DisplayFilter, ExtractError, FILTER_FIELDS, FlowSpan, Packet, Picked, Wanted, each_picked,
    pick,
};
use crate::flow::Flow;
use crate::humanize::{grouped, plural};
use crate::local;
use crate::pipeline::Rows;
use crate::report::capture::{unread, unread_of};
use crate::report::evidence::{Redaction, Writer, contents, section};
use crate::report::files::WriteError;
use crate::report::model::Report;
use crate::report::place::Pending;
use crate::time::Timestamp;

/// Arguments of `pcapsy extract`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true),
    after_help = format!("Fields of a filter: {}", FILTER_FIELDS.join(", ")))]
pub(super) struct Extract {
    #[command(flatten)]
    source: Source,
    /// The packets that prove an incident and what a reader needs around them
    #[arg(long, value_name = "ID", group = "what", conflicts_with_all = SINGLE)]
    incident: Option<String>,
    /// The same for a finding
    #[arg(long, value_name = "ID", group = "what", conflicts_with_all = SINGLE)]
    finding: Option<String>,
    /// The packets of a flow, by flow_id of the tables
    #[arg(long, value_name = "ID", group = "what")]
    flow: Vec<u64>,
    /// The packets with this community id
    #[arg(long, value_name = "1:...", group = "what")]
    community_id: Option<String>,
    /// Packets captured at this time or later, such as 2026-11-21T14:02:11Z
    #[arg(long, value_name = "TIME", group = "what", value_parser = time)]
    from: Option<Timestamp>,
    /// Packets captured at this time or earlier
    #[arg(long, value_name = "TIME", group = "what", value_parser = time)]
    to: Option<Timestamp>,
    /// Packets that a display filter lets pass, such as 'ip.addr == 10.0.0.7 && tcp.port in {443, 8443}'
    #[arg(long, value_name = "EXPR", group = "what", value_parser = DisplayFilter::parse)]
    filter: Option<DisplayFilter>,
    /// Write to this file [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also write the secrets of the TLS sessions that begin in these packets, when they are known: who has
    /// the file can read what was said
    #[arg(long, conflicts_with = "redact")]
    include_secrets: bool,
    #[command(flatten)]
    redact: RedactArgs,
}

/// What an incident or a finding is not combined with.
const SINGLE: [&str; 5] = ["flow", "community_id", "from", "to", "filter"];

/// Finds flows by id, and those whose TCP stream a filter names.
#[derive(Default)]
struct Spans {
    ids: BTreeSet<u64>,
    streams: Vec<RangeInclusive<u128>>,
    flows: Vec<FlowSpan>,
    of_streams: Vec<FlowSpan>,
}

impl Rows for Spans {
    fn flow(&mut self, flow: &Flow) {
        let tuple = FiveTuple { source: flow.client, destination: flow.server, protocol: flow.protocol };
        let (first, last) = (flow.first.packet, flow.last.packet);
        let span = FlowSpan { tuple: tuple.canonical(), first, last, stream: flow.stream };
        if self.ids.remove(&flow.id) {
            self.flows.push(span);
        }
        let named = |stream: u32| self.streams.iter().any(|range| range.contains(&u128::from(stream)));
        if flow.stream.is_some_and(named) {
            self.of_streams.push(span);
        }
    }
}

/// The packets to be written.
enum Choice {
    Picked(Vec<Picked>),
    Wanted(Wanted),
}

impl Choice {
    fn each(
        &self,
        again: &Again,
        mut each: impl FnMut(Option<&Picked>, &Packet<'_>) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        match self {
            Self::Picked(picked) => each_picked(again, picked, |_, one, packet| each(Some(one), packet)),
            Self::Wanted(wanted) => wanted.each(again, |packet| each(None, packet)),
        }
    }
}

/// What was chosen, and from where.
struct Chosen {
    choice: Choice,
    what: String,
    files: Vec<FileReport>,
    chunks: Vec<Chunk>,
    keys: Keys,
    /// What could not be read.
    missing: Vec<String>,
}

impl Extract {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        local::on_threads(self.source.threads(), || self.extract())?
    }

    fn extract(self) -> Result<Exit, Failure> {
        let config = self.source.config()?;
        let mut redaction = self.redact.redaction()?;
        if self.output.is_none() && stdout()?.is_terminal() {
            let why = "standard output is a terminal; name a file with -o, or pipe into tshark -r -";
            return Err(Failure::Usage(why.to_owned()));
        }
        let chosen = self.choose(&config, redaction.is_some())?;
        let bar = self.source.bar();
        let again = Again::new(&chosen.files, &chosen.chunks, &config.capture_limits());
        let again = again.watched(bar.again("chosen packets"));
        let what = section(&chosen.what, &chosen.files, &config.hash(), redaction.as_ref());
        if let Some(redaction) = &mut redaction {
            let add = |packet: &Packet<'_>, redaction: &mut Redaction| redaction.add(&packet.raw);
            chosen.choice.each(&again, |_, packet| {
                add(packet, redaction);
                Ok(())
            })?;
            redaction.ready();
        }
        let redacted = redaction.is_some();
        let secrets = self.secrets(&chosen, &again)?;
        let mut fill = |out: &mut dyn Write| -> Result<u64, ExtractError> {
            let mut writer = Writer::new(out, &what, redacted)?;
            if !secrets.is_empty() {
                writer.secrets(&secrets)?;
            }
            let each = |picked: Option<&Picked>, packet: &Packet<'_>| {
                Ok(writer.add(picked, packet, redaction.as_mut())?)
            };
            chosen.choice.each(&again, each)?;
            let packets = writer.packets();
            writer.finish()?;
            Ok(packets)
        };
        let packets = match &self.output {
            None => fill(&mut BufWriter::new(stdout()?.lock()))?,
            Some(path) => {
                let (pending, file) = Pending::create(path)?;
                let filled = fill(&mut BufWriter::new(file));
                let named = |error| match error {
                    ExtractError::Write(error) => Failure::Write(WriteError::new(path.clone(), error)),
                    other => Failure::from(other),
                };
                let packets = filled.map_err(named)?;
                pending.finish()?;
                packets
            }
        };
        bar.clear();
        self.tell(packets, &chosen, redaction.as_ref());
        chosen.missing.iter().for_each(|missing| complain(missing));
        Ok(if chosen.missing.is_empty() { Exit::Clean } else { Exit::Failed })
    }

    /// The secrets to be written: of the sessions whose ClientHello begins in a packet that is.
    fn secrets(&self, chosen: &Chosen, again: &Again) -> Result<Secret, Failure> {
        let mut randoms = BTreeSet::new();
        if self.include_secrets {
            chosen.choice.each(again, |_, packet| {
                randoms.extend(client_random(&packet.raw));
                Ok(())
            })?;
        }
        let secrets = chosen.keys.lines(&randoms);
        if self.include_secrets && secrets.is_empty() {
            complain("no secret of a TLS session that begins in these packets is known");
        }
        Ok(secrets)
    }

    fn tell(&self, packets: u64, chosen: &Chosen, redaction: Option<&Redaction>) {
        if let Choice::Picked(picked) = &chosen.choice
            && let Some(left_out) = picked.iter().map(|one| one.left_out).find(|left_out| *left_out > 0)
        {
            complain(&format!(
                "{} found no room: at most {} packets or {} MiB, the nearest to the proof",
                plural(left_out, "packet"),
                grouped(Picked::PACKETS as u64),
                Picked::BYTES >> 20
            ));
        }
        if let Some(note) = redaction.map(Redaction::note) {
            if note.packets_left_out > 0 {
                let packets = plural(note.packets_left_out, "packet");
                complain(&format!("{packets} left out: their link header cannot be redacted"));
            }
            if note.payload_zeroed_for_room > 0 {
                let bytes = grouped(note.payload_zeroed_for_room);
                complain(&format!("{bytes} bytes of payload are zero: the streams are longer than is read"));
            }
        }
        if packets == 0 {
            complain("no packet fits; the file has none");
        }
    }

    fn choose(&self, config: &Config, redacted: bool) -> Result<Chosen, Failure> {
        let reader = self.source.open_one(config, Hashes::Blake3)?;
        let keys = reader.keys();
        if let Some(path) = &self.output {
            spare(&reader, path, &path.display().to_string())?;
        }
        if let Some(id) = self.incident.as_ref().or(self.finding.as_ref()) {
            let outcome = self.source.analyze(config, reader, &mut Spans::default())?;
            let report = Report::new(&outcome, config);
            let asked = self.asked(&report, id)?;
            let bar = self.source.bar();
            let again = Again::new(&outcome.files, &outcome.chunks, &config.capture_limits());
            let again = again.watched(bar.again("choosing packets"));
            let picked = pick(&again, &[asked]);
            bar.clear();
            let picked = picked?;
            let what = picked.iter().map(|one| contents(&report, one, redacted)).collect();
            let missing = unread(&outcome);
            let (choice, chunks) = (Choice::Picked(picked), outcome.chunks);
            return Ok(Chosen { choice, what, files: outcome.files, chunks, keys, missing });
        }
        let mut wanted = Wanted::default();
        wanted.between(self.from, self.to);
        if let Some(id) = &self.community_id {
            wanted.community(id.clone());
        }
        let streams = self.filter.as_ref().map(|filter| filter.streams()).unwrap_or_default();
        let mut spans = Spans { ids: self.flow.iter().copied().collect(), streams, ..Spans::default() };
        let (files, chunks, missing) = if spans.ids.is_empty() && spans.streams.is_empty() {
            let mut reader = reader;
            while let Some(chunk) = reader.next_chunk() {
                chunk.release();
            }
            let missing = unread_of(reader.unreadable(), reader.files());
            let chunks = reader.take_kept();
            (reader.into_files(), chunks, missing)
        } else {
            let outcome = self.source.analyze(config, reader, &mut spans)?;
            let missing = unread(&outcome);
            (outcome.files, outcome.chunks, missing)
        };
        if let Some(id) = spans.ids.first() {
            return Err(Failure::Usage(format!("no flow {id}; pcapsy flows lists them by flow_id")));
        }
        if !self.flow.is_empty() {
            wanted.flows(spans.flows);
        }
        if let Some(filter) = &self.filter {
            wanted.filter(filter.clone(), &spans.of_streams);
        }
        let what = if redacted { "chosen packets".to_owned() } else { self.asked_for() };
        Ok(Chosen { choice: Choice::Wanted(wanted), what, files, chunks, keys, missing })
    }

    /// The findings behind an id.
    fn asked<'r>(&self, report: &'r Report, id: &str) -> Result<Asked<'r>, Failure> {
        if self.incident.is_some() {
            let incidents = report.incidents.iter();
            return match incidents.clone().find(|cited| cited.incident.id == id) {
                Some(cited) => Ok(report.asked(cited)),
                None => Err(no_such("incident", id, incidents.map(|cited| cited.incident.id.as_str()))),
            };
        }
        match report.finding(id) {
            Some(ranked) => {
                Ok(Asked { id: id.to_owned(), findings: vec![(ranked.id.as_str(), &ranked.finding)] })
            }
            None => Err(no_such("finding", id, report.findings.iter().map(|ranked| ranked.id.as_str()))),
        }
    }

    /// The conditions in words.
    fn asked_for(&self) -> String {
        let flows = self.flow.iter().map(|id| format!("flow {id}"));
        let community = self.community_id.iter().map(|id| format!("community id {id}"));
        let from = self.from.iter().map(|time| format!("from {}", time.rfc3339()));
        let to = self.to.iter().map(|time| format!("to {}", time.rfc3339()));
        let filter = self.filter.iter().map(|filter| format!("filter {}", filter.text()));
        let all: Vec<String> = flows.chain(community).chain(from).chain(to).chain(filter).collect();
        format!("packets of {}", all.join(", "))
    }
}

/// The random of the ClientHello that a packet's payload begins with: behind record header, message header
/// and version, or in an Initial packet of QUIC.
fn client_random(raw: &RawPacket<'_>) -> Option<Random> {
    let payload = dissect(&RawPacket { start: 0, ..*raw }).payload;
    let bytes = raw.data.get(payload.start as usize..)?;
    let hello = bytes.first() == Some(&22) && bytes.get(5) == Some(&1);
    let over_tcp = || bytes.get(11..).filter(|_| hello)?.first_chunk().copied();
    if looks_like_quic(bytes) { quic::client_random(bytes) } else { over_tcp() }
}
