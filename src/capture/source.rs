//! The bytes of one input: a mapped file, or a stream (a pipe, or something compressed) read into a buffer.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use serde::Serialize;

use crate::capture::ChunkBytes;

/// How an input is compressed, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), several members included.
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl Compression {
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            _ => Self::None,
        }
    }
}

/// Hashes of the raw bytes of an input, computed while they go by.
#[derive(Debug)]
pub(super) struct Hashes {
    blake3: blake3::Hasher,
    sha256: Option<sha2::Sha256>,
    bytes: u64,
}

impl Hashes {
    fn new(sha256: bool) -> Self {
        Self { blake3: blake3::Hasher::new(), sha256: sha256.then(sha2::Sha256::default), bytes: 0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha2::Digest::update(sha256, bytes);
        }
        self.bytes += bytes.len() as u64;
    }

    /// Size in bytes, BLAKE3 and SHA-256 in hexadecimal.
    pub(super) fn finish(self) -> (u64, String, Option<String>) {
        let sha256 = self.sha256.map(|hasher| {
            sha2::Digest::finalize(hasher).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        });
        (self.bytes, self.blake3.finalize().to_hex().to_string(), sha256)
    }
}

/// Passes raw bytes on and hashes them.
struct Tee<R> {
    inner: R,
    hashes: Arc<std::sync::Mutex<Hashes>>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let (Ok(mut hashes), Some(bytes)) = (self.hashes.lock(), buffer.get(..count)) {
            hashes.update(bytes);
        }
        Ok(count)
    }
}

enum Bytes {
    Mapped {
        map: Arc<Mmap>,
        file: File,
        hashed: usize,
        hashes: Box<Hashes>,
    },
    Stream {
        reader: Box<dyn Read + Send>,
        buffer: Vec<u8>,
        ended: bool,
        hashes: Arc<std::sync::Mutex<Hashes>>,
    },
}

/// The bytes of one input from a cursor on.
pub(super) struct Source {
    bytes: Bytes,
    /// Offset of the cursor in the decompressed input.
    offset: u64,
    pub(super) compression: Compression,
    /// Size of the file on disk, when it is one.
    pub(super) size: Option<u64>,
    /// What broke the input off, other than its end.
    pub(super) broken: Option<String>,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path, sha256: bool) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::stream(Box::new(io::stdin()), None, sha256);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file() {
            return Self::stream(Box::new(file), None, sha256);
        }
        let size = metadata.len();
        let mut head = [0; 4];
        let count = read_up_to(&mut &file, &mut head)?;
        if Compression::of(&head[..count]) != Compression::None || size == 0 {
            let file = File::open(path)?;
            return Self::stream(Box::new(file), Some(size), sha256);
        }
        let map = Arc::new(map(&file)?);
        let hashes = Box::new(Hashes::new(sha256));
        Ok(Self {
            bytes: Bytes::Mapped { map, file, hashed: 0, hashes },
            offset: 0,
            compression: Compression::None,
            size: Some(size),
            broken: None,
        })
    }

    /// Reads a stream, decompressing it when its first bytes say so.
    pub(super) fn stream(reader: Box<dyn Read + Send>, size: Option<u64>, sha256: bool) -> io::Result<Self> {
        let hashes = Arc::new(std::sync::Mutex::new(Hashes::new(sha256)));
        let mut reader = Tee { inner: reader, hashes: Arc::clone(&hashes) };
        let mut head = [0; 4];
        let count = read_up_to(&mut reader, &mut head)?;
        let compression = Compression::of(&head[..count]);
        let raw = BufReader::with_capacity(1 << 18, io::Cursor::new(head).take(count as u64).chain(reader));
        let reader: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(raw),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(raw)?),
            Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(raw)),
        };
        let bytes = Bytes::Stream { reader, buffer: Vec::new(), ended: false, hashes };
        Ok(Self { bytes, offset: 0, compression, size, broken: None })
    }

    /// Offset of the cursor in the decompressed input.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What is at hand from the cursor on.
    pub(super) fn available(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped { map, .. } => map.get(self.offset as usize..).unwrap_or_default(),
            Bytes::Stream { buffer, .. } => buffer,
        }
    }

    /// Tries to have `wanted` bytes at hand. True when nothing more will come than is at hand.
    pub(super) fn fill(&mut self, wanted: usize) -> bool {
        let Bytes::Stream { reader, buffer, ended, .. } = &mut self.bytes else { return true };
        while buffer.len() < wanted && !*ended {
            let more = (wanted - buffer.len()).min(1 << 22);
            let had = buffer.len();
            match reader.take(more as u64).read_to_end(buffer) {
                Ok(_) => *ended = buffer.len() == had,
                Err(error) => {
                    *ended = true;
                    let at = self.offset + buffer.len() as u64;
                    self.broken = Some(format!("the stream broke off at offset {at}: {error}"));
                }
            }
        }
        *ended && buffer.len() <= wanted
    }

    /// Everything that will come is at hand.
    pub(super) fn is_complete(&self) -> bool {
        match &self.bytes {
            Bytes::Mapped { .. } => true,
            Bytes::Stream { ended, .. } => *ended,
        }
    }

    /// Takes `length` bytes from the cursor on.
    pub(super) fn take(&mut self, length: usize) -> ChunkBytes {
        let start = self.offset as usize;
        self.offset += length as u64;
        match &mut self.bytes {
            Bytes::Mapped { map, hashed, hashes, .. } => {
                let end = (start + length).min(map.len());
                hashes.update(&map[*hashed..end]);
                *hashed = end;
                ChunkBytes::Mapped(Arc::clone(map), start..end)
            }
            Bytes::Stream { buffer, .. } => {
                let rest = buffer.split_off(length.min(buffer.len()));
                ChunkBytes::Owned(Arc::new(std::mem::replace(buffer, rest)))
            }
        }
    }

    /// A mapped file became shorter: touching the bytes it lost would end the process. Says by how much.
    pub(super) fn shrunk(&self) -> Option<(u64, u64)> {
        let Bytes::Mapped { map, file, .. } = &self.bytes else { return None };
        let now = file.metadata().ok()?.len();
        (now < map.len() as u64).then_some((map.len() as u64, now))
    }

    /// The size and hashes of the raw input. Reads what was not read yet, except when the file shrank.
    pub(super) fn finish(self) -> (u64, String, Option<String>) {
        let shrunk = self.shrunk().is_some();
        match self.bytes {
            Bytes::Mapped { map, hashed, mut hashes, .. } => {
                if !shrunk {
                    hashes.update(&map[hashed..]);
                }
                hashes.finish()
            }
            Bytes::Stream { mut reader, hashes, .. } => {
                // A decompressor may leave raw bytes unread; they are part of the input.
                let _ = io::copy(&mut reader, &mut io::sink());
                drop(reader);
                let hashes = Arc::into_inner(hashes).and_then(|hashes| hashes.into_inner().ok());
                hashes.unwrap_or_else(|| Hashes::new(false)).finish()
            }
        }
    }
}

/// Tells the system that mapped bytes before `end` are not needed any more, so that memory does not follow file size.
pub(super) fn release(bytes: &ChunkBytes) {
    #[cfg(unix)]
    if let ChunkBytes::Mapped(map, range) = bytes {
        // Whole pages only: the ends are shared with the neighbours.
        const PAGE: usize = 4096;
        let start = range.start.next_multiple_of(PAGE);
        let end = range.end / PAGE * PAGE;
        if start < end {
            // SAFETY: the map is read-only and backed by a file, so the pages come back with the same bytes when touched again.
            #[allow(unsafe_code)]
            let _ =
                unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
        }
    }
    #[cfg(not(unix))]
    let _ = bytes;
}

fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is only read. What cannot be promised is that nobody else shortens or changes the file meanwhile:
    // its length is checked before every chunk, and the command line ends the process with a message when that is too late.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(file)? };
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::Sequential);
    Ok(map)
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match reader.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
