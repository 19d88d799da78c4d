//! A point: where a capture was made, and its packets in order.

use std::collections::VecDeque;
use std::path::PathBuf;

use hashbrown::HashMap;
use rayon::prelude::*;
use serde::Serialize;

use super::sighting::Sighting;
use crate::capture::{CaptureError, CaptureLimits, Chunk, FileReport, Reader};
use crate::dissect::{
    DefragLimits, Defragmenter, Faults, PacketRecord, Payload, Transport, dissect, dissect_datagram,
};
use crate::time::{Span, Timestamp};

/// A copy of a packet at the same point comes within this time (as `any` interfaces and mirrors record it).
const COPY: Span = Span::millis(20);

/// The same for packets that nothing but time tells from another with the same content.
const COPY_UNTOLD: Span = Span::micros(100);

/// A capture, or one interface of it.
#[derive(Clone, Debug)]
pub struct Point {
    /// What it is called: the name of its file, or of its interface.
    pub name: String,
    /// Its file, directory or pattern.
    pub input: PathBuf,
    /// The only interface that counts.
    pub interface: Option<u32>,
}

/// What is known of a point when all of it was read.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// What it is called.
    pub name: String,
    /// Its files, in order.
    pub files: Vec<String>,
    /// Packets.
    pub packets: u64,
    /// Packets that can be recognised elsewhere: IP, with a time, put together from fragments.
    pub compared: u64,
    /// Second recordings of the same packet, left out.
    pub duplicates: u64,
    /// The earliest packet, by its own clock.
    pub first_seen: Option<Timestamp>,
    /// The latest.
    pub last_seen: Option<Timestamp>,
    /// Packets that the recording lost; `None` when it does not say.
    pub dropped: Option<u64>,
    /// Capture filters of its interfaces.
    pub filters: Vec<String>,
    /// What of it could not be read.
    pub damaged: bool,
    #[serde(skip)]
    pub(super) bases: Vec<(u64, String)>,
}

impl Seen {
    /// Path and frame number of a packet.
    pub fn place(&self, ordinal: u64) -> (&str, u64) {
        let behind = self.bases.partition_point(|(base, _)| *base < ordinal);
        let found = behind.checked_sub(1).and_then(|index| self.bases.get(index));
        found.map_or(("", ordinal), |(base, path)| (path.as_str(), ordinal - base))
    }
}

/// The packets of a point, in the order of its files.
pub(super) struct Stream {
    name: String,
    reader: Reader,
    interface: Option<u32>,
    defragmenter: Defragmenter,
    ready: VecDeque<Sighting>,
    recent: HashMap<u64, Timestamp>,
    order: VecDeque<(Timestamp, u64)>,
    clock: Timestamp,
    packets: u64,
    compared: u64,
    duplicates: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

/// What one chunk gives: sightings, and fragments with their payload.
enum Part {
    Whole(Sighting),
    Fragment(Box<PacketRecord>, Vec<u8>),
}

impl Stream {
    /// Begins to read.
    pub(super) fn open(point: &Point, limits: &CaptureLimits) -> Result<Self, CaptureError> {
        Ok(Self {
            name: point.name.clone(),
            reader: Reader::open(std::slice::from_ref(&point.input), limits)?,
            interface: point.interface,
            defragmenter: Defragmenter::new(DefragLimits::default()),
            ready: VecDeque::new(),
            recent: HashMap::new(),
            order: VecDeque::new(),
            clock: Timestamp::MIN,
            packets: 0,
            compared: 0,
            duplicates: 0,
            first: None,
            last: None,
        })
    }

    /// Bytes read, and of all files.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        self.reader.progress()
    }

    /// The time of the next packet, without taking it.
    pub(super) fn peek(&mut self) -> Option<Timestamp> {
        self.fill();
        self.ready.front().map(|sighting| sighting.time)
    }

    /// The next packet.
    pub(super) fn take(&mut self) -> Option<Sighting> {
        self.fill();
        self.ready.pop_front()
    }

    fn fill(&mut self) {
        while self.ready.is_empty() {
            let most = rayon::current_num_threads().max(1);
            let round: Vec<Chunk> = std::iter::from_fn(|| self.reader.next_chunk()).take(most).collect();
            if round.is_empty() {
                return;
            }
            let only = self.interface;
            let parts: Vec<(u64, Vec<Part>)> = round.par_iter().map(|chunk| parts(chunk, only)).collect();
            for (packets, parts) in parts {
                self.packets += packets;
                for part in parts {
                    let whole = match part {
                        Part::Whole(sighting) => Some(sighting),
                        Part::Fragment(record, payload) => self.reassemble(*record, payload),
                    };
                    if let Some(sighting) = whole {
                        self.add(sighting);
                    }
                }
            }
            round.iter().for_each(Chunk::release);
        }
    }

    fn reassemble(&mut self, mut record: PacketRecord, mut payload: Vec<u8>) -> Option<Sighting> {
        self.clock = self.clock.max(record.time);
        record.clock = self.clock;
        while let Transport::Fragment(_) = record.transport {
            let datagram = self.defragmenter.feed(&record, &payload)?;
            record = dissect_datagram(&record, datagram.protocol, &datagram.bytes, 0);
            payload = cut(&datagram.bytes, &record.payload).to_vec();
        }
        Sighting::of(&record, &payload)
    }

    fn add(&mut self, sighting: Sighting) {
        self.clock = self.clock.max(sighting.time);
        self.compared += 1;
        self.first = Some(self.first.map_or(sighting.time, |first| first.min(sighting.time)));
        self.last = Some(self.last.map_or(sighting.time, |last| last.max(sighting.time)));
        while let Some((time, exact)) = self.order.front().copied()
            && self.clock - time > COPY
        {
            self.order.pop_front();
            if self.recent.get(&exact) == Some(&time) {
                self.recent.remove(&exact);
            }
        }
        let within = if sighting.is_told() { COPY } else { COPY_UNTOLD };
        if self.recent.get(&sighting.exact).is_some_and(|before| sighting.time - *before <= within) {
            self.duplicates += 1;
            return;
        }
        self.recent.insert(sighting.exact, sighting.time);
        self.order.push_back((sighting.time, sighting.exact));
        self.ready.push_back(sighting);
    }

    /// What is known now that all of it was read.
    pub(super) fn finish(self) -> Seen {
        let damaged = !self.reader.unreadable().is_empty();
        let files: Vec<FileReport> = self.reader.into_files();
        let of = |file: &FileReport| -> Vec<(Option<u64>, Option<String>)> {
            let wanted = file.interfaces.iter().filter(|interface| {
                self.interface.is_none_or(|only| interface.number == only) && interface.packets > 0
            });
            wanted.map(|interface| (interface.dropped(), interface.filter.clone())).collect()
        };
        let interfaces: Vec<_> = files.iter().flat_map(of).collect();
        let mut filters: Vec<String> = interfaces.iter().filter_map(|(_, filter)| filter.clone()).collect();
        filters.sort();
        filters.dedup();
        Seen {
            name: self.name,
            packets: self.packets,
            compared: self.compared,
            duplicates: self.duplicates,
            first_seen: self.first,
            last_seen: self.last,
            dropped: interfaces.iter().filter_map(|(dropped, _)| *dropped).reduce(u64::saturating_add),
            filters,
            damaged: damaged || files.iter().any(|file| file.truncated || !file.damages.is_empty()),
            bases: files.iter().map(|file| (file.base, file.path.clone())).collect(),
            files: files.into_iter().map(|file| file.path).collect(),
        }
    }
}

fn parts(chunk: &Chunk, only: Option<u32>) -> (u64, Vec<Part>) {
    let mut parts = Vec::with_capacity(chunk.packets as usize);
    let mut packets = 0;
    for packet in chunk.packets().filter(|packet| only.is_none_or(|only| packet.interface == only)) {
        packets += 1;
        let record = dissect(&packet);
        if record.faults.contains(Faults::NO_TIME) {
            continue;
        }
        let payload = cut(&chunk.bytes, &record.payload);
        match record.transport {
            Transport::Fragment(_) => parts.push(Part::Fragment(Box::new(record), payload.to_vec())),
            _ => parts.extend(Sighting::of(&record, payload).map(Part::Whole)),
        }
    }
    (packets, parts)
}

fn cut<'b>(bytes: &'b [u8], payload: &Payload) -> &'b [u8] {
    let start = payload.start as usize;
    bytes.get(start..start.saturating_add(payload.captured as usize)).unwrap_or_default()
}

impl Point {
    /// A point for every input; of a single one, a point for every interface with packets.
    ///
    /// # Errors
    /// When the single input cannot be read.
    pub fn of(inputs: &[PathBuf], limits: &CaptureLimits) -> Result<Vec<Self>, CaptureError> {
        let [only] = inputs else {
            let name = |input: &PathBuf| {
                input.file_name().unwrap_or(input.as_os_str()).to_string_lossy().into_owned()
            };
            let is_only = |of: &str| inputs.iter().filter(|input| name(input) == of).count() < 2;
            let point = |input: &PathBuf| {
                let name = Some(name(input)).filter(|name| is_only(name));
                let name = name.unwrap_or_else(|| input.display().to_string());
                Self { name, input: input.clone(), interface: None }
            };
            return Ok(inputs.iter().map(point).collect());
        };
        let mut reader = Reader::open(std::slice::from_ref(only), limits)?;
        while let Some(chunk) = reader.next_chunk() {
            chunk.release();
        }
        let mut names: Vec<(u32, String)> = Vec::new();
        for interface in reader.files().iter().flat_map(|file| &file.interfaces) {
            let known = names.iter().any(|(number, _)| *number == interface.number);
            if interface.packets > 0 && !known {
                let number = format!("interface {}", interface.number);
                let name = match &interface.name {
                    Some(name) if names.iter().any(|(_, known)| known == name) => format!("{name}, {number}"),
                    Some(name) => name.clone(),
                    None => number,
                };
                names.push((interface.number, name));
            }
        }
        let of = |(number, name)| Self { name, input: only.clone(), interface: Some(number) };
        Ok(names.into_iter().map(of).collect())
    }
}
