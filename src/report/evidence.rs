//! `evidence/I-01.pcapng`: the packets that prove an incident, with a comment on each.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::capture::{FileReport, RawPacket};
use crate::dissect::dissect;
use crate::extract::redact::{NOT_REDACTED, Secrets, Streams, redact};
use crate::extract::{
    Again, Conversations, ExtractError, Packet, Pcapng, Picked, Section, each_picked, pick,
};
use crate::humanize::{grouped, plural};
use crate::report::model::Report;
use crate::time::Timestamp;

/// The folder of these files in the folder of a report.
pub const EVIDENCE: &str = "evidence";

/// True for names that these files have.
pub fn is_evidence(name: &str) -> bool {
    let number = name.strip_prefix("I-").and_then(|rest| rest.strip_suffix(".pcapng"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit()))
}

/// Most incidents with a file of their own, the weightiest first.
pub const INCIDENTS: usize = 32;

/// Bytes of a file that are written at a time.
const BUFFER: usize = 64 << 10;

/// Inputs named in a file.
const INPUTS: usize = 8;

/// How packets are redacted: the same for all files of a run.
pub struct Redaction {
    secrets: Secrets,
    streams: Streams,
    /// Where the key comes from.
    key: &'static str,
    /// Packets that could not be redacted and are left out.
    refused: u64,
}

/// What a manifest says of redacted evidence.
#[derive(Clone, Debug, Serialize)]
pub struct RedactionNote {
    /// What became of addresses.
    pub addresses: &'static str,
    /// Where the key came from. It is never stored.
    pub key: &'static str,
    /// What the packets still tell.
    pub not_redacted: &'static [&'static str],
    /// Payload bytes that became zero because there was no room to read them.
    pub payload_zeroed_for_room: u64,
    /// Packets that are left out because their link header cannot be read.
    pub packets_left_out: u64,
    /// What became of the names that people have for addresses, when they told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<&'static str>,
}

impl Redaction {
    /// By a key that somebody gave, or a random one that is nowhere stored. `vendors`: MAC addresses keep the
    /// vendor's part.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(key: Option<&str>, vendors: bool) -> io::Result<Self> {
        let mut random = [0; 32];
        if key.is_none() {
            getrandom::fill(&mut random).map_err(io::Error::other)?;
        }
        let secrets = Secrets::new(key.map_or(&random[..], str::as_bytes), vendors);
        let key = if key.is_some() { "given with --key" } else { "random, not stored" };
        Ok(Self { secrets, streams: Streams::default(), key, refused: 0 })
    }

    /// Takes a packet, before any is redacted.
    pub fn add(&mut self, raw: &RawPacket<'_>) {
        self.streams.add(raw, &dissect(raw));
    }

    /// All packets were taken.
    pub fn ready(&mut self) {
        self.streams.redact(&self.secrets);
    }

    /// What to tell of it, when everything was written.
    pub fn note(&self) -> RedactionNote {
        RedactionNote {
            addresses: "prefix-preserving (ipcrypt-pfx), special ranges kept",
            key: self.key,
            not_redacted: NOT_REDACTED,
            payload_zeroed_for_room: self.streams.beyond(),
            packets_left_out: self.refused,
            labels: None,
        }
    }
}

/// Packets on their way into a pcapng file, redacted or not.
pub struct Writer<W: Write> {
    file: Pcapng<W>,
    /// The time of the packet before, for one that has none.
    time: Timestamp,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, section: &Section, redacted: bool) -> io::Result<Self> {
        Ok(Self { file: Pcapng::new(out, section, !redacted)?, time: Timestamp(0) })
    }

    /// Packets written.
    pub fn packets(&self) -> u64 {
        self.file.packets()
    }

    /// Adds secrets of TLS sessions, the lines of a key log, for the packets behind them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn secrets(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.secrets(lines)
    }

    /// Adds a packet that `picked` chose, or that was wanted for itself.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(
        &mut self,
        picked: Option<&Picked>,
        packet: &Packet<'_>,
        redaction: Option<&mut Redaction>,
    ) -> io::Result<()> {
        self.time = packet.raw.time.unwrap_or(self.time);
        let comment = comment(picked, packet, redaction.is_some());
        let Some(redaction) = redaction else { return self.file.original(packet, self.time, &comment) };
        match redact(&redaction.secrets, &redaction.streams, &packet.raw) {
            Some(new) => self.file.packet(packet, new.link_type, self.time, &new.data, new.wire, &comment),
            None => {
                redaction.refused += 1;
                Ok(())
            }
        }
    }

    /// Completes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.file.finish()
    }
}

/// What a packet is to which finding, and where it comes from. Redacted ones do not quote fields or names.
fn comment(picked: Option<&Picked>, packet: &Packet<'_>, redacted: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    if let Some(picked) = picked {
        let cites = picked.cites.get(&packet.raw.packet);
        for cite in cites.into_iter().flatten() {
            let fields =
                if redacted || cite.fields.is_empty() { String::new() } else { format!(", {}", cite.fields) };
            lines.push(format!("{} {}: {}{fields}", cite.finding, cite.rule, cite.role.name()));
        }
        if let (Some(tier), None) = (picked.packets.get(&packet.raw.packet), cites) {
            lines.push(format!("{}: {}", picked.id, tier.name()));
        }
    }
    lines.push(match redacted {
        true => format!("input {} frame {}", packet.file + 1, packet.frame),
        false => format!("{} frame {}", packet.name, packet.frame),
    });
    if packet.raw.time.is_none() {
        lines.push("the file gives it no time: that of the packet before".to_owned());
    }
    lines.join("\n")
}

/// What the section header says: `what` is in the file, from these inputs, found with this configuration.
pub fn section(
    what: &str,
    files: &[FileReport],
    config_hash: &str,
    redaction: Option<&Redaction>,
) -> Section {
    let application = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    let mut lines = vec![format!("{application}: {what}")];
    for (number, file) in (1..).zip(files.iter().take(INPUTS)) {
        let name =
            if redaction.is_some() { format!("input {number}") } else { format!("input {}", file.path) };
        lines.push(format!("{name} blake3 {}", file.blake3));
    }
    if files.len() > INPUTS {
        lines.push(format!("and {} more", plural((files.len() - INPUTS) as u64, "input")));
    }
    lines.push(format!("configuration blake3 {config_hash}"));
    if let Some(redaction) = redaction {
        lines.push(format!("redacted, key {}", redaction.key));
        lines.push(format!("not redacted: {}", NOT_REDACTED.join("; ")));
    }
    Section { application: application.to_owned(), comment: lines.join("\n") }
}

/// What of an incident or a finding is in its file.
pub fn contents(report: &Report, picked: &Picked, redacted: bool) -> String {
    let incident = report.incidents.iter().find(|cited| cited.incident.id == picked.id);
    let finding = incident.map_or(picked.id.as_str(), |cited| cited.incident.root.as_str());
    let finding = report.finding(finding).map(|ranked| &ranked.finding);
    let title = match (redacted, incident, finding) {
        (false, Some(cited), _) => cited.incident.title.clone(),
        (false, None, Some(finding)) => finding.title.clone(),
        (_, _, finding) => finding.map(|finding| finding.rule()).unwrap_or_default(),
    };
    let more = match picked.left_out {
        0 => String::new(),
        more => format!(
            "; {} more of it found no room: at most {} packets or {} MiB, the nearest to the proof",
            grouped(more),
            grouped(Picked::PACKETS as u64),
            Picked::BYTES >> 20
        ),
    };
    format!("{} of {}: {title}{more}", plural(picked.packets.len() as u64, "packet"), picked.id)
}

/// Chooses the packets of the report's first incidents, at most `most`.
///
/// # Errors
/// When an input cannot be read again.
pub fn of_incidents(report: &Report, most: usize, again: &Again) -> Result<Vec<Picked>, ExtractError> {
    let asked: Vec<_> = report.incidents.iter().take(most).map(|cited| report.asked(cited)).collect();
    pick(again, &asked)
}

/// Writes a file for each of `picked` into the folder [`EVIDENCE`] of `folder`, and says where they are.
/// `conversations` sees the packets, too.
///
/// # Errors
/// When an input cannot be read again, or a file cannot be written.
pub fn write(
    report: &Report,
    files: &[FileReport],
    again: &Again,
    picked: &[Picked],
    mut redaction: Option<&mut Redaction>,
    conversations: &mut Conversations,
    folder: &Path,
) -> Result<Vec<PathBuf>, ExtractError> {
    let folder = folder.join(EVIDENCE);
    let mut writers: Vec<Option<Writer<BufWriter<File>>>> = Vec::new();
    let mut paths = Vec::new();
    for one in picked {
        if one.packets.is_empty() {
            writers.push(None);
            continue;
        }
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.pcapng", one.id));
        let what = contents(report, one, redaction.is_some());
        let section = section(&what, files, &report.config_hash, redaction.as_deref());
        let out = BufWriter::with_capacity(BUFFER, File::create(&path)?);
        writers.push(Some(Writer::new(out, &section, redaction.is_some())?));
        paths.push(path);
    }
    if let Some(redaction) = redaction.as_deref_mut() {
        each_picked(again, picked, |place, _, packet| {
            // A packet of several incidents is taken once more for nothing.
            let known = picked.iter().take(place).any(|one| one.packets.contains_key(&packet.raw.packet));
            if !known {
                redaction.add(&packet.raw);
            }
            Ok(())
        })?;
        redaction.ready();
    }
    each_picked(again, picked, |place, one, packet| {
        conversations.take(place, one, packet);
        if let Some(Some(writer)) = writers.get_mut(place) {
            writer.add(Some(one), packet, redaction.as_deref_mut())?;
        }
        Ok(())
    })?;
    for writer in writers.into_iter().flatten() {
        writer.finish()?;
    }
    Ok(paths)
}
