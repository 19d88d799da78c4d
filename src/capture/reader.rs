//! The reader of a capture set: the files one after the other, cut into chunks of whole records.

use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::bytes::ChunkBytes;
use super::chunk::Chunk;
use super::error::{CaptureError, Ignored, Unreadable};
use super::keys::Keys;
use super::limits::CaptureLimits;
use super::report::{DamageKind, FileReport};
use super::resync;
use super::rotation;
use super::set::{self, Entry, Set};
use super::source::Source;
use super::split::{Splitter, Stop};

/// Bytes searched at a time behind damage.
const PIECE: usize = 16 << 20;
/// Longest chunk and record, so that 32 bits hold every offset in a chunk.
const MOST: usize = 1 << 30;
/// Most chunks that are kept to be looked at again: 32 GiB of those that are as long as they may be, and a
/// few MiB of memory when damage cuts a file into many.
const KEPT: usize = 1 << 16;

/// Reads a capture set from its first to its last packet.
pub struct Reader {
    limits: CaptureLimits,
    waiting: VecDeque<Entry>,
    current: Option<Open>,
    files: Vec<FileReport>,
    unreadable: Vec<Unreadable>,
    ignored: Ignored,
    keys: Keys,
    packets: u64,
    done: u64,
    total: Option<u64>,
    kept: Vec<Chunk>,
}

/// The file being read.
struct Open {
    source: Source,
    splitter: Splitter,
    shrank_from: Option<u64>,
}

impl Reader {
    /// Finds the files behind `inputs` (files, directories, patterns, `-`) and orders them. An error only
    /// when not one of them can be read; see [`Reader::unreadable`] for the others.
    pub fn open(inputs: &[PathBuf], limits: &CaptureLimits) -> Result<Self, CaptureError> {
        Ok(Self::new(Set::find(inputs, limits)?, limits))
    }

    /// As [`Reader::open`], with a reader for every capture set: the files of one continue one another by
    /// name, time and link type. What could not be read, or was left out, is with the first.
    pub fn open_each(inputs: &[PathBuf], limits: &CaptureLimits) -> Result<Vec<Self>, CaptureError> {
        let found = Set::find(inputs, limits)?;
        Ok(found.split(rotation::sets).into_iter().map(|set| Self::new(set, limits)).collect())
    }

    /// The folder, in the one that an archive's results go to, that holds the captures of tar archives.
    pub const MEMBERS: &str = set::MEMBERS;

    /// As [`Reader::open_each`], of an archive: a directory stands for everything below it but `apart`, and a
    /// tar archive for the captures in it, which are unpacked in `apart/`[`Reader::MEMBERS`].
    pub fn open_archive(
        inputs: &[PathBuf],
        apart: &Path,
        limits: &CaptureLimits,
    ) -> Result<Vec<Self>, CaptureError> {
        let found = Set::find_below(inputs, apart, limits)?;
        Ok(found.split(rotation::sets).into_iter().map(|set| Self::new(set, limits)).collect())
    }

    /// Reads one capture from anything that gives bytes, compressed or not. `name` is its path in reports.
    pub fn stream(
        name: &str,
        input: impl Read + Send + 'static,
        limits: &CaptureLimits,
    ) -> Result<Self, CaptureError> {
        let source = Source::stream(input, limits.hashes).map_err(|error| CaptureError::io(name, error))?;
        Ok(Self::new(Set::stream(name, source)?, limits))
    }

    fn new(set: Set, limits: &CaptureLimits) -> Self {
        let mut limits = limits.clone();
        limits.chunk_bytes = limits.chunk_bytes.clamp(1, MOST);
        limits.max_record = limits.max_record.min(MOST as u32);
        Self {
            limits,
            total: set.files.iter().map(|entry| entry.size).sum(),
            waiting: set.files.into(),
            current: None,
            files: Vec::new(),
            unreadable: set.unreadable,
            ignored: set.ignored,
            keys: Keys::default(),
            packets: 0,
            done: 0,
            kept: Vec::new(),
        }
    }

    /// The next chunk; `None` after the last. Chunks come in packet order and hold at least one packet.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        loop {
            let mut open = match self.current.take() {
                Some(open) => open,
                None => match self.open_next()? {
                    Some(open) => open,
                    None => continue,
                },
            };
            let chunk = open.next_chunk(&self.limits, self.files.len() as u32, self.packets + 1);
            match chunk {
                Some(chunk) => {
                    self.packets += chunk.packets;
                    if self.kept.len() < KEPT && matches!(chunk.bytes, ChunkBytes::Mapped(..)) {
                        self.kept.push(chunk.clone());
                    }
                    self.current = Some(open);
                    return Some(chunk);
                }
                None => self.close(open),
            }
        }
    }

    /// Bytes on disk read so far, and of all files; `None` when one is a stream.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let current = self.current.as_ref().map_or(0, |open| open.source.raw_position());
        (self.done + current, self.total)
    }

    /// Reports of the files read to their end, in set order: [`Chunk::file`] is an index into them.
    pub fn files(&self) -> &[FileReport] {
        &self.files
    }

    /// The secrets of TLS sessions: those in the files, as far as they are read, and what is added.
    pub fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// Path and [`FileReport::base`] of every file begun so far, in set order.
    pub fn begun(&self) -> impl Iterator<Item = (&str, u64)> {
        let current = self.current.as_ref().map(|open| &open.splitter.report);
        self.files.iter().chain(current).map(|report| (report.path.as_str(), report.base))
    }

    /// The report of the file that is being read, as far as it is.
    pub fn reading(&self) -> Option<&FileReport> {
        self.current.as_ref().map(|open| &open.splitter.report)
    }

    /// Takes the first chunks of mapped files, after the last: whoever reads the set again knows where its
    /// records are. They hold no pages of the files.
    pub fn take_kept(&mut self) -> Vec<Chunk> {
        std::mem::take(&mut self.kept)
    }

    /// The reports, after the last chunk.
    pub fn into_files(self) -> Vec<FileReport> {
        self.files
    }

    /// Takes out what could not be read, or was left out: for whoever tells of it elsewhere.
    pub fn take_rejected(&mut self) -> (Vec<Unreadable>, Ignored) {
        (std::mem::take(&mut self.unreadable), std::mem::take(&mut self.ignored))
    }

    /// Inputs that could not be read at all.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// What given directories and patterns hold that is no capture.
    pub fn ignored(&self) -> &Ignored {
        &self.ignored
    }

    /// Where the files are that have not been begun, and those that could not be read.
    pub fn waiting(&self) -> impl Iterator<Item = &Path> {
        let unreadable = self.unreadable.iter().map(|input| Path::new(&input.path));
        self.waiting.iter().map(|entry| entry.path.as_path()).chain(unreadable)
    }

    /// Opens the next file: `None` when there is none, `Some(None)` when it could no longer be read.
    fn open_next(&mut self) -> Option<Option<Open>> {
        let entry = self.waiting.pop_front()?;
        let name = entry.name.clone();
        match self.try_open(entry) {
            Ok(open) => Some(Some(open)),
            Err(error) => {
                self.unreadable.push(Unreadable { path: name, reason: error.to_string() });
                Some(None)
            }
        }
    }

    fn try_open(&self, entry: Entry) -> Result<Open, CaptureError> {
        let mut source = match entry.source {
            Some(source) => source,
            None => Source::open(&entry.path, &entry.name, self.limits.map, self.limits.hashes)?,
        };
        let report = FileReport {
            index: self.files.len() as u32,
            path: entry.name.clone(),
            compression: source.compression,
            base: self.packets,
            ..FileReport::default()
        };
        let max_record = self.limits.max_record as usize;
        let (mut splitter, header) = set::begin(&mut source, &entry.name, report, max_record)?;
        splitter.keys = self.keys.clone();
        source.skip(header);
        Ok(Open { source, splitter, shrank_from: None })
    }

    fn close(&mut self, open: Open) {
        let Open { source, splitter, .. } = open;
        let mut report = splitter.report;
        report.unpacked = source.offset;
        let identity = source.finish();
        report.size = identity.size;
        report.blake3 = identity.blake3;
        report.sha256 = identity.sha256;
        self.done += identity.size;
        if let Some(before) = self.files.last() {
            report.follow(before);
        }
        self.files.push(report);
    }
}

impl Open {
    /// The next chunk of this file; `None` when it has been read to its end.
    fn next_chunk(&mut self, limits: &CaptureLimits, file: u32, first_packet: u64) -> Option<Chunk> {
        let mut want = limits.chunk_bytes;
        loop {
            self.check_length();
            self.source.fill(want);
            let (format, section) = (self.splitter.format(), self.splitter.section.clone());
            let (offset, ended) = (self.source.offset, self.source.ended());
            let walk = self.splitter.walk(self.source.window(), offset, ended, limits.chunk_bytes);
            if walk.packets > 0 {
                return Some(Chunk {
                    file,
                    offset,
                    first_packet,
                    packets: walk.packets,
                    format,
                    interfaces: section.interfaces,
                    interface_base: section.base,
                    bytes: self.source.take(walk.length),
                });
            }
            self.source.skip(walk.length);
            match walk.stop {
                Stop::Full => {}
                Stop::More(needed) => want = needed.max(limits.chunk_bytes),
                Stop::End => {
                    self.end(None);
                    return None;
                }
                Stop::Tail(reason) => {
                    self.end(Some(reason));
                    return None;
                }
                Stop::Damage(kind, reason) => self.resynchronise(kind, reason),
            }
        }
    }

    /// Notices that a mapped file became shorter.
    fn check_length(&mut self) {
        if let Some((before, _)) = self.source.shrunk() {
            self.shrank_from.get_or_insert(before);
        }
    }

    /// Passes over a damaged place, up to the next believable record or the end.
    fn resynchronise(&mut self, kind: DamageKind, reason: String) {
        let start = self.source.offset;
        let pattern = self.splitter.pattern();
        // The record at the cursor is the damaged one.
        let mut from = 1;
        loop {
            self.check_length();
            self.source.fill(2 * resync::LOOKAHEAD);
            let window = self.source.window();
            let piece = &window[..window.len().min(PIECE)];
            let last = self.source.ended() && piece.len() == window.len();
            match pattern.find(piece, from, last) {
                Ok(at) => {
                    self.source.skip(at);
                    break;
                }
                Err(at) => {
                    self.source.skip(at.min(window.len()));
                    from = 0;
                    if last {
                        break;
                    }
                }
            }
        }
        self.splitter.report.add_damage(start, self.source.offset - start, kind, reason);
    }

    /// Records how the file ends: cleanly, or with a cut-off record, a decompressor's complaint, a shrunken
    /// file.
    fn end(&mut self, tail: Option<String>) {
        let rest = self.source.window().len();
        let offset = self.source.offset;
        let report = &mut self.splitter.report;
        let compression = self.source.compression.name();
        let fault = self.source.fault().map(|fault| match (compression, fault.ended) {
            (Some(name), true) => (DamageKind::TruncatedTail, format!("{name} data ends early: {fault}")),
            (Some(name), false) => (DamageKind::Decompression, format!("{name} data is damaged: {fault}")),
            (None, _) => (DamageKind::Unreadable, format!("reading failed: {fault}")),
        });
        let damage = match (fault, tail) {
            (Some((kind, fault)), Some(tail)) => Some((kind, format!("{fault}; {tail}"))),
            (fault, tail) => fault.or(tail.map(|tail| (DamageKind::TruncatedTail, tail))),
        };
        if let Some((kind, reason)) = damage {
            report.truncated = true;
            report.add_damage(offset, rest as u64, kind, reason);
        }
        if let Some(before) = self.shrank_from {
            let now = offset + rest as u64;
            report.truncated = true;
            let reason = format!("file shrank from {before} to {now} bytes while it was read");
            report.add_damage(now, before.saturating_sub(now), DamageKind::Shrunk, reason);
        }
        self.source.skip(rest);
    }
}
