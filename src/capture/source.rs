//! One input as a window of bytes that slides forward: a mapped file, or a stream that is decompressed on
//! demand.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::bufread::MultiGzDecoder;
use memmap2::Mmap;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::bytes::{ChunkBytes, mapped, release};
use super::error::CaptureError;
use super::limits::Hashes;
use super::report::NOT_HASHED;
use super::sniff::{self, Magic};

/// How the file is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, also in several members (bgzip).
    Gzip,
    /// Zstandard.
    Zstd,
    /// LZ4 frames.
    Lz4,
}

/// Bytes read from a stream at a time.
const STEP: usize = 256 * 1024;
/// Mapped pages this far behind the cursor are released.
const KEEP_MAPPED: usize = 64 << 20;

/// What a file holds on disk, counted and hashed as it passes by.
#[derive(Debug)]
struct Tally {
    bytes: u64,
    blake3: Option<Box<blake3::Hasher>>,
    sha256: Option<Sha256>,
    to_the_end: bool,
}

/// The size and hashes of a whole file as it is on disk.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Identity {
    pub(super) size: u64,
    /// Hexadecimal, or [`NOT_HASHED`].
    pub(super) blake3: String,
    pub(super) sha256: Option<String>,
}

/// An input being read.
pub(super) struct Source {
    /// Compression found.
    pub(super) compression: Compression,
    /// Bytes before the window, decompressed.
    pub(super) offset: u64,
    kind: Kind,
    tally: Arc<Mutex<Tally>>,
}

/// What ended a stream before its time.
pub(super) struct Fault {
    /// Nothing is wrong but that the compressed data stops before its end.
    pub(super) ended: bool,
    said: String,
}

impl Fault {
    fn of(error: &io::Error) -> Self {
        Self { ended: error.kind() == io::ErrorKind::UnexpectedEof, said: error.to_string() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.said)
    }
}

enum Kind {
    /// Bytes up to `read` were hashed and counted, bytes up to `released` given back to the system.
    Mapped {
        file: File,
        map: Arc<Mmap>,
        at: usize,
        end: usize,
        read: usize,
        released: usize,
    },
    Stream {
        input: Box<dyn Read + Send>,
        buffer: Vec<u8>,
        at: usize,
        ended: bool,
        fault: Option<Fault>,
    },
}

impl Source {
    /// Opens a file: a regular, uncompressed one is mapped if `map` says so, any other is a stream.
    pub(super) fn open(path: &Path, name: &str, map: bool, hashes: Hashes) -> Result<Self, CaptureError> {
        let fail = |error| CaptureError::io(name, error);
        let mut file = File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        if meta.is_dir() {
            return Err(fail(io::Error::other("it is a directory")));
        }
        if !meta.is_file() {
            return Self::stream(file, hashes).map_err(fail);
        }
        let mut head = [0; sniff::MAGIC_BYTES];
        let length = read_full(&mut file, &mut head).map_err(fail)?;
        io::Seek::rewind(&mut file).map_err(fail)?;
        let plain = matches!(sniff::magic(&head[..length]), Magic::Pcap | Magic::Pcapng);
        if !(map && plain) {
            return Self::stream(file, hashes).map_err(fail);
        }
        match mapped(&file) {
            Ok(map) => {
                let end = map.len();
                let kind = Kind::Mapped { file, map: Arc::new(map), at: 0, end, read: 0, released: 0 };
                Ok(Self { compression: Compression::None, offset: 0, kind, tally: Tally::new(hashes) })
            }
            // Some file systems cannot map.
            Err(_) => Self::stream(file, hashes).map_err(fail),
        }
    }

    /// Reads anything that gives bytes, decompressing it by its magic number.
    pub(super) fn stream(input: impl Read + Send + 'static, hashes: Hashes) -> io::Result<Self> {
        let tally = Tally::new(hashes);
        let counted = Counted { input, tally: Arc::clone(&tally) };
        let mut raw = BufReader::with_capacity(STEP, counted);
        let mut head = vec![0; sniff::MAGIC_BYTES];
        let length = read_full(&mut raw, &mut head)?;
        head.truncate(length);
        let magic = sniff::magic(&head);
        let raw = BufReader::with_capacity(STEP, io::Cursor::new(head).chain(raw));
        let (compression, input): (_, Box<dyn Read + Send>) = match magic {
            Magic::Gzip => (Compression::Gzip, Box::new(MultiGzDecoder::new(raw))),
            Magic::Zstd => (Compression::Zstd, Box::new(zstd::stream::read::Decoder::with_buffer(raw)?)),
            Magic::Lz4 => (Compression::Lz4, Box::new(Lz4Frames(lz4_flex::frame::FrameDecoder::new(raw)))),
            Magic::Pcap | Magic::Pcapng | Magic::Other => (Compression::None, Box::new(raw)),
        };
        let kind = Kind::Stream { input, buffer: Vec::new(), at: 0, ended: false, fault: None };
        Ok(Self { compression, offset: 0, kind, tally })
    }

    /// The bytes at hand, from the cursor on.
    pub(super) fn window(&self) -> &[u8] {
        match &self.kind {
            Kind::Mapped { map, at, end, .. } => &map[*at..*end],
            Kind::Stream { buffer, at, .. } => &buffer[*at..],
        }
    }

    /// True when nothing comes after the window.
    pub(super) fn ended(&self) -> bool {
        match &self.kind {
            Kind::Mapped { .. } => true,
            Kind::Stream { ended, .. } => *ended,
        }
    }

    /// Reads until the window has `want` bytes or the stream ends.
    pub(super) fn fill(&mut self, want: usize) {
        let (input, buffer, at, ended, fault) = match &mut self.kind {
            Kind::Stream { input, buffer, at, ended, fault } => (input, buffer, at, ended, fault),
            Kind::Mapped { map, at, end, read, .. } => {
                let until = at.saturating_add(want).min(*end);
                return Self::read_map(&self.tally, map, read, until);
            }
        };
        if *ended || buffer.len() - *at >= want {
            return;
        }
        buffer.drain(..*at);
        *at = 0;
        // Half as much again, so that small steps of a large window copy each byte a few times only.
        let want = want + want / 2;
        while buffer.len() < want && !*ended {
            let step = (want - buffer.len()).clamp(STEP / 4, STEP);
            match input.by_ref().take(step as u64).read_to_end(buffer) {
                Ok(0) => *ended = true,
                Ok(_) => {}
                Err(error) => {
                    // What came before the error stays in the buffer.
                    *ended = true;
                    *fault = Some(Fault::of(&error));
                }
            }
        }
    }

    /// Hashes a map from `read` to `until`. Who looks for records behind it finds the bytes in the cache.
    fn read_map(tally: &Mutex<Tally>, map: &Mmap, read: &mut usize, until: usize) {
        if *read < until {
            Tally::count(tally, &map[*read..until]);
            *read = until;
        }
    }

    /// Moves the cursor over the first `length` bytes of the window and hands them out.
    pub(super) fn take(&mut self, length: usize) -> ChunkBytes {
        let bytes = match &mut self.kind {
            Kind::Mapped { map, at, .. } => ChunkBytes::Mapped(Arc::clone(map), *at..*at + length),
            Kind::Stream { buffer, at, .. } if *at == 0 && length * 2 >= buffer.len() => {
                let rest = buffer[length..].to_vec();
                let mut taken = std::mem::replace(buffer, rest);
                taken.truncate(length);
                self.offset += length as u64;
                return ChunkBytes::Owned(Arc::new(taken));
            }
            Kind::Stream { buffer, at, .. } => {
                ChunkBytes::Owned(Arc::new(buffer[*at..*at + length].to_vec()))
            }
        };
        self.skip(length);
        bytes
    }

    /// Moves the cursor over the first `length` bytes of the window.
    pub(super) fn skip(&mut self, length: usize) {
        self.offset += length as u64;
        match &mut self.kind {
            Kind::Mapped { map, at, end, read, released, .. } => {
                let next = (*at + length).min(*end);
                Self::read_map(&self.tally, map, read, next);
                *at = next;
                if *at - *released >= 2 * KEEP_MAPPED {
                    let until = *at - KEEP_MAPPED;
                    release(map, *released..until);
                    *released = until;
                }
            }
            Kind::Stream { buffer, at, .. } => *at = (*at + length).min(buffer.len()),
        }
    }

    /// Asks the length of a mapped file again. When the file shrank, the window ends at its new end and the
    /// answer is (old length, new length).
    pub(super) fn shrunk(&mut self) -> Option<(u64, u64)> {
        let Kind::Mapped { file, at, end, .. } = &mut self.kind else { return None };
        let length = file.metadata().ok()?.len();
        let before = *end as u64;
        if length >= before {
            return None;
        }
        *end = (length as usize).max(*at);
        Some((before, length))
    }

    /// Moves as many of the next bytes as there is room for into `buffer`: for those who read no records.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill(buffer.len().clamp(1, STEP));
        let length = self.window().len().min(buffer.len());
        if let Some(fault) = self.fault().filter(|_| length == 0 && !buffer.is_empty()) {
            return Err(io::Error::other(fault.to_string()));
        }
        buffer[..length].copy_from_slice(&self.window()[..length]);
        self.skip(length);
        Ok(length)
    }

    /// What ended a stream before its time: a decompressor's complaint, or the system's.
    pub(super) fn fault(&self) -> Option<&Fault> {
        match &self.kind {
            Kind::Mapped { .. } => None,
            Kind::Stream { fault, .. } => fault.as_ref(),
        }
    }

    /// Bytes of the file on disk that have been read so far.
    pub(super) fn raw_position(&self) -> u64 {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Reads what is left of the file on disk and closes it.
    pub(super) fn finish(mut self) -> Identity {
        let rest = self.window().len();
        self.skip(rest);
        if let Kind::Stream { input, .. } = self.kind {
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).to_the_end = true;
            drop(input);
        }
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Identity {
            size: tally.bytes,
            blake3: match &tally.blake3 {
                Some(blake3) => blake3.finalize().to_hex().to_string(),
                None => NOT_HASHED.to_owned(),
            },
            sha256: tally
                .sha256
                .clone()
                .map(|hasher| hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

impl Tally {
    fn new(hashes: Hashes) -> Arc<Mutex<Self>> {
        let blake3 = (hashes != Hashes::None).then(Box::default);
        let sha256 = (hashes == Hashes::Sha256).then(Sha256::new);
        Arc::new(Mutex::new(Self { bytes: 0, blake3, sha256, to_the_end: false }))
    }

    fn count(tally: &Mutex<Self>, bytes: &[u8]) {
        let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
        // Several threads hash, and a waiting thread may take up other work: it must not hold the lock
        // meanwhile.
        let mut blake3 = lock().blake3.take();
        if let Some(blake3) = &mut blake3 {
            // Before the threads of the run are started, this one hashes: asking for more would start another
            // set of them, or end the program where the system has none to give.
            match rayon::current_thread_index() {
                Some(_) => blake3.update_rayon(bytes),
                None => blake3.update(bytes),
            };
        }
        let mut tally = lock();
        tally.blake3 = blake3;
        tally.bytes += bytes.len() as u64;
        if let Some(sha256) = &mut tally.sha256 {
            sha256.update(bytes);
        }
    }
}

/// Counts and hashes what is read through it. A decompressor may stop before the end of its input. With
/// `to_the_end` the rest is read on drop, so that the hash is that of the whole file.
struct Counted<R: Read> {
    input: R,
    tally: Arc<Mutex<Tally>>,
}

impl<R: Read> Drop for Counted<R> {
    fn drop(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while self.tally.lock().unwrap_or_else(PoisonError::into_inner).to_the_end {
            match self.read(&mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        Tally::count(&self.tally, &buffer[..length]);
        Ok(length)
    }
}

/// Reads LZ4 frames one after the other; the decoder stops after each.
struct Lz4Frames<R: BufRead>(lz4_flex::frame::FrameDecoder<R>);

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.0.read(buffer)?;
            if length > 0 || buffer.is_empty() || self.0.get_mut().fill_buf()?.is_empty() {
                return Ok(length);
            }
        }
    }
}

/// Reads until `buffer` is full or the input ends.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl Compression {
    /// What people call it; `None` for no compression.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("lz4"),
        }
    }
}
