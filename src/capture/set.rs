//! inputs -> the files of a capture set, in order.
//!
//! A directory stands for every capture in it by content, not by name, without its sub-directories. A
//! pattern is expanded here when the shell did not. Both stand for regular files only: opening a pipe that
//! nobody writes to would wait for ever. Files are ordered by the time of their first packet, then by path.
//! A file named twice is read once. A copy of a file, byte for byte, is refused: it would repeat every
//! packet.
//!
//! Every file that is met is read, unreadable, or ignored, and the report says which. A file of a directory
//! is ignored when it is no capture or empty; a capture that is damaged or cut before its first record is
//! not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::archive;
use super::error::{CaptureError, Ignored, Unreadable};
use super::limits::CaptureLimits;
use super::link_type::LinkType;
use super::pcap::{self, FileHeader};
use super::pcapng;
use super::report::FileReport;
use super::resync;
use super::sniff::{self, Magic};
use super::source::{Compression, Source};
use super::split::Splitter;
use crate::time::Timestamp;

/// Decompressed bytes looked through for the first packet's time.
const PROBE: usize = 1 << 20;
/// Bytes at the end of a file looked through for the last packet's time.
const TAIL: u64 = 1 << 20;
/// Files that a file is compared with, when they begin at the same time and are as long.
const MOST_COPIES: usize = 16;
/// The folder of what tar archives hold.
pub(super) const MEMBERS: &str = "members";
/// Bytes that suffice to tell what a file is.
const HEAD: usize = 512;

/// The files to read, in order.
#[derive(Default)]
pub(super) struct Set {
    pub(super) files: Vec<Entry>,
    pub(super) unreadable: Vec<Unreadable>,
    /// What directories and patterns hold that is no capture.
    pub(super) ignored: Ignored,
    /// The files behind the names, and the names.
    seen: BTreeMap<PathBuf, String>,
    /// Where members of tar archives go; archives are no captures when there is no such folder.
    members: Option<PathBuf>,
    /// The folders of the archives met so far.
    homes: BTreeSet<PathBuf>,
}

/// One file to read.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// The path as given.
    pub(super) name: String,
    /// Already open, because it can be read only once.
    pub(super) source: Option<Source>,
    /// Size on disk in bytes; `None` for a stream.
    pub(super) size: Option<u64>,
    /// What its beginning and its end say.
    pub(super) probe: Probe,
    /// Named itself, and not found in a directory or by a pattern.
    pub(super) given: bool,
}

/// What is known of a file before it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Probe {
    /// Time of the first packet.
    pub(super) first: Option<Timestamp>,
    /// Time of the last packet; `None` where only reading the whole file would tell.
    pub(super) last: Option<Timestamp>,
    /// Link types of the interfaces that come before the first packet.
    pub(super) links: Vec<LinkType>,
}

impl Set {
    /// Finds the files behind `inputs`. An input that cannot be read is listed; the others are used.
    pub(super) fn find(inputs: &[PathBuf], limits: &CaptureLimits) -> Result<Self, CaptureError> {
        let mut set = Self::default();
        if inputs.is_empty() {
            return Err(CaptureError::NoInput);
        }
        let mut errors = Vec::new();
        for input in inputs {
            if let Err(error) = set.add_input(input, limits) {
                set.reject(input.display().to_string(), &error);
                errors.push(error);
            }
        }
        set.ordered(errors)
    }

    /// As [`Set::find`], of an archive: a directory stands for everything below it but `apart`, which is what
    /// is written, and a tar archive for its members. Those that are captures become files in
    /// `apart/`[`MEMBERS`].
    pub(super) fn find_below(
        inputs: &[PathBuf],
        apart: &Path,
        limits: &CaptureLimits,
    ) -> Result<Self, CaptureError> {
        let (mut set, mut errors) = (Self::default(), Vec::new());
        set.members = Some(apart.join(MEMBERS));
        for input in inputs {
            if input.is_dir() {
                let paths = set.below(input, apart);
                set.add_found(paths, limits);
            } else if let Err(error) = set.add_input(input, limits) {
                set.reject(input.display().to_string(), &error);
                errors.push(error);
            }
        }
        set.ordered(errors)
    }

    /// Takes the captures of a tar archive.
    fn add_members(&mut self, path: &Path, limits: &CaptureLimits) {
        let shown = path.display().to_string();
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        let place: PathBuf = path.components().filter(|part| plain(*part)).collect();
        let home = self.members.clone().unwrap_or_default().join(place);
        // Two paths of which one has `..` may be the same without it.
        if !self.homes.insert(home.clone()) {
            let error = CaptureError::Again { path: shown.clone(), of: home.display().to_string() };
            return self.ignored.add(shown, &error);
        }
        match archive::unpack(path, &home) {
            Ok(unpacked) => {
                self.ignored.extend(unpacked.ignored);
                if let Some(fault) = unpacked.fault {
                    self.reject(shown, &fault);
                }
                // No archives in archives.
                let members = self.members.take();
                self.add_found(unpacked.paths, limits);
                self.members = members;
            }
            Err(error) => self.reject(shown, &error),
        }
    }

    /// The files below a directory, in the order of their paths. Links to directories are not followed: they
    /// may lead in a circle.
    fn below(&mut self, directory: &Path, apart: &Path) -> Vec<PathBuf> {
        let apart = fs::canonicalize(apart).ok();
        let walk = walkdir::WalkDir::new(directory).sort_by_file_name().into_iter();
        let walk = walk.filter_entry(|entry| {
            !entry.file_type().is_dir() || apart.is_none() || fs::canonicalize(entry.path()).ok() != apart
        });
        let mut paths = Vec::new();
        for entry in walk {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => paths.push(entry.into_path()),
                Err(error) => {
                    let shown = error.path().unwrap_or(directory).display().to_string();
                    let error = CaptureError::io(&shown, error.into());
                    self.reject(shown, &error);
                }
            }
        }
        paths
    }

    fn ordered(mut self, mut errors: Vec<CaptureError>) -> Result<Self, CaptureError> {
        if self.files.is_empty() {
            return Err(match errors.len() {
                1 if self.unreadable.len() == 1 => errors.remove(0),
                _ => CaptureError::NothingReadable(self.unreadable),
            });
        }
        // Files without a packet time come last.
        let order = |file: &Entry| (file.probe.first.is_none(), file.probe.first, file.path.clone());
        self.files.sort_by_cached_key(order);
        self.refuse_copies();
        Ok(self)
    }

    /// Leaves copies of files out. A copy begins at the same time and has the same size.
    fn refuse_copies(&mut self) {
        let mut kept: Vec<Entry> = Vec::with_capacity(self.files.len());
        for file in std::mem::take(&mut self.files) {
            let alike = |other: &&Entry| {
                file.size.is_some() && (other.size, other.probe.first) == (file.size, file.probe.first)
            };
            let near = kept.iter().rev().take_while(|other| other.probe.first == file.probe.first);
            let original =
                near.filter(alike).take(MOST_COPIES).find(|other| same_bytes(&other.path, &file.path));
            match original.map(|original| original.name.clone()) {
                None => kept.push(file),
                Some(of) => {
                    let error = CaptureError::Copy { path: file.name.clone(), of };
                    match file.given {
                        true => self.reject(file.name, &error),
                        false => self.ignored.add(file.name, &error),
                    }
                }
            }
        }
        self.files = kept;
    }

    /// A set of one stream.
    pub(super) fn stream(name: &str, mut source: Source) -> Result<Self, CaptureError> {
        let probe = probe(&mut source, name, None)?;
        let entry = Entry {
            path: PathBuf::from(name),
            name: name.to_owned(),
            source: Some(source),
            size: None,
            probe,
            given: true,
        };
        Ok(Self { files: vec![entry], ..Self::default() })
    }

    /// The sets that `divide` makes of the files. What was not read is with the first.
    pub(super) fn split(mut self, divide: impl FnOnce(Vec<Entry>) -> Vec<Vec<Entry>>) -> Vec<Self> {
        let sets = divide(std::mem::take(&mut self.files));
        sets.into_iter().map(|files| Self { files, ..std::mem::take(&mut self) }).collect()
    }

    fn reject(&mut self, path: String, error: &CaptureError) {
        self.unreadable.push(Unreadable { path, reason: error.to_string() });
    }

    fn add_input(&mut self, input: &Path, limits: &CaptureLimits) -> Result<(), CaptureError> {
        let name = input.display().to_string();
        if name == "-" {
            if self.seen.insert(input.to_owned(), name.clone()).is_none() {
                let source = Source::stream(io::stdin(), limits.hashes)
                    .map_err(|error| CaptureError::io("standard input", error))?;
                self.files.extend(Self::stream(&name, source)?.files);
            }
            return Ok(());
        }
        match fs::metadata(input) {
            Ok(meta) if meta.is_dir() => self.add_directory(input, &name, limits),
            Ok(_) => self.add_file(input, true, limits),
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.contains(['*', '?', '[']) => {
                self.add_pattern(&name, limits)
            }
            Err(error) => Err(CaptureError::io(&name, error)),
        }
    }

    fn add_directory(
        &mut self,
        directory: &Path,
        name: &str,
        limits: &CaptureLimits,
    ) -> Result<(), CaptureError> {
        let entries = fs::read_dir(directory).map_err(|error| CaptureError::io(name, error))?;
        let (mut paths, mut broken) = (Vec::new(), false);
        for entry in entries {
            match entry {
                Ok(entry) => paths.push(entry.path()),
                Err(error) => {
                    broken = true;
                    self.reject(name.to_owned(), &CaptureError::io(name, error));
                }
            }
        }
        paths.sort();
        match self.add_found(paths, limits) {
            (files, 0) if !broken => Err(CaptureError::NoCaptures { path: name.to_owned(), files }),
            _ => Ok(()),
        }
    }

    /// Takes the captures among files that nobody named. How many files there were, and how many of them are
    /// captures, if only broken ones.
    fn add_found(&mut self, paths: Vec<PathBuf>, limits: &CaptureLimits) -> (u64, u64) {
        let (mut looked, mut used) = (0, 0);
        for path in paths {
            let shown = path.display().to_string();
            let added = only_files(&path, &shown).and_then(|()| {
                looked += 1;
                self.add_file(&path, false, limits)
            });
            match added {
                Ok(()) => used += 1,
                Err(
                    error @ (CaptureError::Missing { .. }
                    | CaptureError::NotAFile { .. }
                    | CaptureError::NotCapture { .. }
                    | CaptureError::Empty { .. }),
                ) => self.ignored.add(shown, &error),
                Err(error) => {
                    used += 1;
                    self.reject(shown, &error);
                }
            }
        }
        (looked, used)
    }

    fn add_pattern(&mut self, pattern: &str, limits: &CaptureLimits) -> Result<(), CaptureError> {
        let bad = |reason: String| CaptureError::Pattern { path: pattern.to_owned(), reason };
        let paths = glob::glob(pattern).map_err(|error| bad(format!("not a valid pattern: {error}")))?;
        let mut matched = false;
        for path in paths {
            let path = match path {
                Ok(path) => path,
                Err(error) => {
                    let shown = error.path().display().to_string();
                    matched = true;
                    self.reject(shown.clone(), &CaptureError::io(&shown, error.into()));
                    continue;
                }
            };
            let shown = path.display().to_string();
            match only_files(&path, &shown) {
                Ok(()) => {
                    matched = true;
                    if let Err(error) = self.add_file(&path, false, limits) {
                        self.reject(shown, &error);
                    }
                }
                Err(error) => self.ignored.add(shown, &error),
            }
        }
        if matched { Ok(()) } else { Err(bad("no file matches this pattern".to_owned())) }
    }

    fn add_file(&mut self, path: &Path, given: bool, limits: &CaptureLimits) -> Result<(), CaptureError> {
        let name = path.display().to_string();
        let fail = |error| CaptureError::io(&name, error);
        let meta = fs::metadata(path).map_err(fail)?;
        let key = fs::canonicalize(path).map_err(fail)?;
        if let Some(of) = self.seen.get(&key) {
            if *of != name {
                let error = CaptureError::Again { path: name.clone(), of: of.clone() };
                self.ignored.add(name, &error);
            }
            return Ok(());
        }
        let mut source = Source::open(path, &name, false, limits.hashes)?;
        let regular = meta.is_file();
        let plain = regular && source.compression == Compression::None;
        let probe = match probe(&mut source, &name, plain.then_some((path, meta.len()))) {
            Err(CaptureError::NotCapture { .. })
                if regular && self.members.is_some() && archive::is_tar(path) =>
            {
                self.seen.insert(key, name);
                self.add_members(path, limits);
                return Ok(());
            }
            probe => probe?,
        };
        self.seen.insert(key, name.clone());
        self.files.push(Entry {
            path: path.to_owned(),
            name,
            source: (!regular).then_some(source),
            size: regular.then_some(meta.len()),
            probe,
            given,
        });
        Ok(())
    }
}

fn only_files(path: &Path, name: &str) -> Result<(), CaptureError> {
    let kind = fs::metadata(path).map_err(|error| CaptureError::io(name, error))?.file_type();
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        _ => "a pipe, socket or device",
    };
    Err(CaptureError::NotAFile { path: name.to_owned(), what })
}

/// Reads the file header in the window and gives the walker of the records and the header's length.
pub(super) fn begin(
    source: &mut Source,
    name: &str,
    report: FileReport,
    max_record: usize,
) -> Result<(Splitter, usize), CaptureError> {
    source.fill(HEAD);
    let window = source.window();
    let cut = |format, expected: usize| CaptureError::Header {
        path: name.to_owned(),
        format,
        expected: expected as u64,
        found: window.len() as u64,
    };
    match sniff::magic(window) {
        Magic::Pcap => {
            let mut header = FileHeader::read(window).ok_or_else(|| cut("pcap", pcap::FILE_HEADER))?;
            // Most files are told by what is read already.
            if !resync::begins_with(header.layout, pcap::records(window)) {
                source.fill(pcap::FILE_HEADER + resync::LOOKAHEAD);
                header.layout = resync::variant(header.layout, pcap::records(source.window()));
            }
            Ok((Splitter::pcap(header, report, max_record), pcap::FILE_HEADER))
        }
        Magic::Pcapng if window.len() < pcapng::MIN_BLOCK => Err(cut("pcapng section", 28)),
        Magic::Pcapng if pcapng::byte_order(window).is_some() => {
            let big_endian = pcapng::byte_order(window).unwrap_or_default();
            Ok((Splitter::pcapng(big_endian, report, max_record), 0))
        }
        _ if window.is_empty() && source.fault().is_none() => {
            Err(CaptureError::Empty { path: name.to_owned() })
        }
        _ => Err(not_a_capture(source, name)),
    }
}

fn not_a_capture(source: &Source, name: &str) -> CaptureError {
    let window = source.window();
    let path = name.to_owned();
    if let Some(fault) = source.fault().filter(|_| window.len() < 4).map(ToString::to_string) {
        return match source.compression.name() {
            Some(compression) => CaptureError::Damaged { path, compression, fault },
            None => CaptureError::Io { path, source: io::Error::other(fault) },
        };
    }
    let (mut looks, mut advice) = sniff::describe(&window[..window.len().min(HEAD)]);
    match source.compression.name() {
        Some(compression) => looks = format!("{looks} inside {compression}"),
        None if window.len() < 4 => advice = "give the capture file itself",
        None => {}
    }
    CaptureError::NotCapture { path, looks, advice }
}

/// What the first packets say, without moving the cursor; of a `plain` file of so many bytes also what the
/// last ones say.
fn probe(source: &mut Source, name: &str, plain: Option<(&Path, u64)>) -> Result<Probe, CaptureError> {
    let (_, header) = begin(source, name, FileReport::default(), PROBE)?;
    let mut want = PROBE / 16;
    loop {
        source.fill(want);
        let (mut splitter, _) = begin(source, name, FileReport::default(), PROBE)?;
        let window = source.window().get(header..).unwrap_or_default();
        let mut at = 0;
        while splitter.report.first_seen.is_none() {
            let walk = splitter.walk(&window[at..], at as u64, source.ended(), 1);
            at += walk.length;
            if walk.length == 0 {
                break;
            }
        }
        let first = splitter.report.first_seen;
        if first.is_some() || source.ended() || want >= PROBE {
            let links = splitter.section.interfaces.iter().map(|interface| interface.link_type).collect();
            let last = match (plain, first) {
                (Some((path, size)), Some(_)) => last_time(splitter, path, header as u64, size),
                _ => None,
            };
            return Ok(Probe { first, last, links });
        }
        want *= 4;
    }
}

/// The time of the last packet of a file whose first one `splitter` passed; `None` where the last bytes do
/// not tell, which is no error here.
fn last_time(mut splitter: Splitter, path: &Path, header: u64, size: u64) -> Option<Timestamp> {
    let mut file = File::open(path).ok()?;
    let from = size.saturating_sub(TAIL).max(header);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let at = splitter.pattern().find(&bytes, 0, true).ok()?;
    splitter.walk(&bytes[at..], from + at as u64, true, usize::MAX);
    splitter.report.last_seen
}

/// Two files have the same content.
fn same_bytes(one: &Path, other: &Path) -> bool {
    let open = |path: &Path| File::open(path).map(BufReader::new);
    let compare = || -> io::Result<bool> {
        let (mut one, mut other) = (open(one)?, open(other)?);
        loop {
            let (left, right) = (one.fill_buf()?, other.fill_buf()?);
            let length = left.len().min(right.len());
            if length == 0 {
                return Ok(left.len() == right.len());
            }
            if left[..length] != right[..length] {
                return Ok(false);
            }
            one.consume(length);
            other.consume(length);
        }
    };
    // One that cannot be read says so when its turn comes.
    compare().unwrap_or(false)
}
