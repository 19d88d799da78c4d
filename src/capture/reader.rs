//! The capture set: inputs to files in time order, files to chunks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::capture::error::CaptureError;
use crate::capture::file::OpenFile;
use crate::capture::{Chunk, FileReport};
use crate::time::Timestamp;

/// What reading may use and believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureLimits {
    /// Bytes per chunk, about.
    pub chunk_bytes: usize,
    /// Largest record or block believed, bytes.
    pub max_record: u32,
    /// Interfaces per section.
    pub max_interfaces: usize,
    /// Compute SHA-256, too.
    pub sha256: bool,
}

impl Default for CaptureLimits {
    fn default() -> Self {
        Self { chunk_bytes: 2 << 20, max_record: 64 << 20, max_interfaces: 4096, sha256: false }
    }
}

/// Reads a capture set chunk by chunk, in time order of its files.
pub struct Reader {
    limits: CaptureLimits,
    waiting: std::collections::VecDeque<PathBuf>,
    /// Standard input was opened when the set was, for it can be opened only once.
    first: Option<OpenFile>,
    current: Option<OpenFile>,
    done: Vec<FileReport>,
    unreadable: Vec<(String, String)>,
    bytes_done: u64,
    total: Option<u64>,
    packets: u64,
    interfaces: u32,
}

impl Reader {
    /// Opens the inputs: files, directories, patterns, or `-` for standard input.
    ///
    /// # Errors
    /// When not a single input can be read as a capture. One of several that cannot is listed by [`Reader::finish`].
    pub fn open(inputs: &[String], limits: &CaptureLimits) -> Result<Self, CaptureError> {
        let mut failures = Vec::new();
        let mut found: Vec<(Option<Timestamp>, PathBuf)> = Vec::new();
        let mut first = None;
        let mut known = BTreeSet::new();
        for input in inputs {
            match expand(input) {
                Err(error) => failures.push((input.clone(), error)),
                Ok(paths) => {
                    let directory = Path::new(input).is_dir();
                    let (before, files) = (found.len(), paths.len());
                    for path in paths {
                        // The same file given twice is one file.
                        if !known.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                            continue;
                        }
                        match probe(&path, limits) {
                            Ok((time, None)) => found.push((time, path)),
                            Ok((_, Some(open))) => first = Some(open),
                            // A directory may hold other things than captures.
                            Err(CaptureError::NotACapture { .. } | CaptureError::Empty { .. })
                                if directory => {}
                            Err(error) => failures.push((path.display().to_string(), error)),
                        }
                    }
                    if directory && found.len() == before && failures.is_empty() {
                        failures
                            .push((input.clone(), CaptureError::NoCaptures { path: input.into(), files }));
                    }
                }
            }
        }
        if found.is_empty() && first.is_none() {
            let count = failures.len();
            let mut failures = failures.into_iter();
            return Err(match (failures.next(), count) {
                (None, _) => CaptureError::NoInput,
                (Some((_, error)), 1) => error,
                (Some((_, error)), _) => CaptureError::AllFailed { count, first: error.to_string() },
            });
        }
        found.sort();
        let sizes = found
            .iter()
            .map(|(_, path)| path.metadata().ok().filter(|data| data.is_file()).map(|data| data.len()));
        let total = if first.is_some() { None } else { sizes.sum() };
        Ok(Self {
            limits: *limits,
            waiting: found.into_iter().map(|(_, path)| path).collect(),
            first,
            current: None,
            done: Vec::new(),
            unreadable: failures.into_iter().map(|(path, error)| (path, error.to_string())).collect(),
            bytes_done: 0,
            total,
            packets: 0,
            interfaces: 0,
        })
    }

    /// The next run of records; `None` after the last file.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        loop {
            if self.current.is_none() {
                self.current = Some(self.next_file()?);
            }
            if let Some(chunk) = self.current.as_mut().and_then(OpenFile::next_chunk) {
                return Some(chunk);
            }
            self.close_file();
        }
    }

    /// Bytes read, and how many there are when that is known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let current = self.current.as_ref().map_or(0, |file| file.progress().0);
        (self.bytes_done + current, self.total)
    }

    /// The files in the order they were read, and the inputs that could not be read, with the reason.
    pub fn finish(mut self) -> (Vec<FileReport>, Vec<(String, String)>) {
        self.close_file();
        (self.done, self.unreadable)
    }

    fn next_file(&mut self) -> Option<OpenFile> {
        loop {
            let opened = match self.first.take() {
                Some(open) => Ok(open),
                None => {
                    let path = self.waiting.pop_front()?;
                    OpenFile::open(&path, &self.limits).map_err(|error| (path, error))
                }
            };
            match opened {
                Ok(mut file) => {
                    file.place(self.done.len() as u32, self.packets, self.interfaces);
                    return Some(file);
                }
                // It could be read when the set was opened, and now it cannot.
                Err((path, error)) => self.unreadable.push((path.display().to_string(), error.to_string())),
            }
        }
    }

    fn close_file(&mut self) {
        if let Some(file) = self.current.take() {
            let report = file.finish();
            self.bytes_done += report.size;
            self.packets += report.packets;
            self.interfaces += report.interfaces.len() as u32;
            self.done.push(report);
        }
    }
}

/// Reads the header and the time of the first packet. Standard input stays open.
fn probe(path: &Path, limits: &CaptureLimits) -> Result<(Option<Timestamp>, Option<OpenFile>), CaptureError> {
    if path == Path::new("-") {
        return Ok((None, Some(OpenFile::open(path, limits)?)));
    }
    let small = CaptureLimits { chunk_bytes: 4096, sha256: false, ..*limits };
    let mut file = OpenFile::open(path, &small)?;
    let time = file.next_chunk().and_then(|chunk| chunk.packets().find_map(|packet| packet.time));
    Ok((time, None))
}

/// What an input names, sorted by name.
fn expand(input: &str) -> Result<Vec<PathBuf>, CaptureError> {
    let path = Path::new(input);
    if input == "-" || path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let read = |source| CaptureError::Read { path: path.to_path_buf(), source };
    if path.is_dir() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(read)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        return Ok(files);
    }
    if path.exists() {
        return Ok(vec![path.to_path_buf()]);
    }
    if input.contains(['*', '?', '[']) {
        let mut files: Vec<PathBuf> = glob::glob(input)
            .map_err(|_| CaptureError::NoMatch(input.to_owned()))?
            .filter_map(Result::ok)
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        return if files.is_empty() { Err(CaptureError::NoMatch(input.to_owned())) } else { Ok(files) };
    }
    Err(read(std::io::ErrorKind::NotFound.into()))
}
