//! One file, walked record by record and cut into chunks; what is damaged is stepped over.

use std::path::Path;
use std::sync::Arc;

use crate::capture::error::CaptureError;
use crate::capture::pcap::{self, RecordHeader};
use crate::capture::report::{FileReport, InterfaceReport};
use crate::capture::source::Source;
use crate::capture::{CaptureLimits, Chunk, Format, Interface, pcapng};

/// Records that must follow each other before a place in damaged bytes is believed to be one.
const CHAIN: usize = 3;

/// Bytes looked at ahead of a candidate place at most.
const LOOK_AHEAD: usize = 4 << 20;

/// What stands at the cursor.
enum Step {
    /// A packet record of this many bytes.
    Packet(usize),
    /// A block of this type and length without a packet.
    Block(u32, usize),
    /// Not decided: so many bytes are needed.
    More(usize),
    /// Not a record.
    Bad(String),
}

/// A file being read.
pub(super) struct OpenFile {
    source: Source,
    format: Format,
    interfaces: Arc<Vec<Interface>>,
    section_base: u32,
    limits: CaptureLimits,
    near: Option<u32>,
    index: u32,
    pub(super) report: FileReport,
}

impl OpenFile {
    /// Opens `path` and reads its header.
    pub(super) fn open(path: &Path, limits: &CaptureLimits) -> Result<Self, CaptureError> {
        let read = |source| CaptureError::Read { path: path.to_path_buf(), source };
        let source = Source::open(path, limits.sha256).map_err(read)?;
        Self::start(path, source, limits)
    }

    /// Reads the header of a source.
    pub(super) fn start(
        path: &Path,
        mut source: Source,
        limits: &CaptureLimits,
    ) -> Result<Self, CaptureError> {
        source.fill(512);
        let head = &source.available()[..source.available().len().min(512)];
        let mut report = FileReport {
            path: path.display().to_string(),
            format: String::new(),
            compression: source.compression,
            size: 0,
            blake3: String::new(),
            sha256: None,
            packets: 0,
            base: 0,
            interface_base: 0,
            interfaces: Vec::new(),
            damages: Vec::new(),
            damages_dropped: (0, 0),
            skipped_blocks: Default::default(),
        };
        let (format, interfaces) = if let Some((format, interface)) = pcap::file_header(head) {
            report.interfaces.push(InterfaceReport {
                interface: interface.clone(),
                received: None,
                dropped: None,
            });
            source.take(pcap::FILE_HEADER);
            (format, vec![interface])
        } else if let Some(big_endian) = pcapng::section_order(head) {
            (Format::Pcapng { big_endian }, Vec::new())
        } else if is_cut_magic(head) {
            let (path, found) = (path.to_path_buf(), head.len());
            return Err(CaptureError::Header { path, expected: pcap::FILE_HEADER, found });
        } else {
            return Err(CaptureError::not_a_capture(path, head));
        };
        report.format = describe(format);
        Ok(Self {
            source,
            format,
            interfaces: Arc::new(interfaces),
            section_base: 0,
            limits: *limits,
            near: None,
            index: 0,
            report,
        })
    }

    /// Sets its place in the set.
    pub(super) fn place(&mut self, index: u32, base: u64, interface_base: u32) {
        self.index = index;
        self.report.base = base;
        self.report.interface_base = interface_base;
    }

    /// Bytes read of the file as stored, and its size; decompressed bytes when the size is not known.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        (
            self.source.offset(),
            self.source.size.filter(|_| self.report.compression == super::Compression::None),
        )
    }

    /// The next run of whole records; `None` at the end.
    pub(super) fn next_chunk(&mut self) -> Option<Chunk> {
        loop {
            if let Some((was, now)) = self.source.shrunk() {
                let offset = self.source.offset();
                let reason = format!("the file shrank from {was} to {now} bytes while it was read");
                self.report.damage(offset, was.saturating_sub(offset), reason);
                return None;
            }
            let (length, packets, step) = self.walk();
            if length > 0 {
                let chunk = Chunk {
                    file: self.index,
                    offset: self.source.offset(),
                    first_packet: self.report.base + self.report.packets + 1,
                    packets,
                    format: self.format,
                    interfaces: Arc::clone(&self.interfaces),
                    interface_base: self.report.interface_base + self.section_base,
                    bytes: self.source.take(length),
                };
                self.report.packets += packets;
                if packets > 0 {
                    return Some(chunk);
                }
                continue;
            }
            match step {
                Step::Packet(_) => {}
                Step::Block(kind, length) => self.describe_block(kind, length),
                Step::More(wanted) => {
                    if self.source.is_complete() {
                        self.cut_off(wanted);
                        return None;
                    }
                    self.source.fill(wanted);
                }
                Step::Bad(reason) => self.resynchronise(reason),
            }
        }
    }

    /// Walks whole records from the cursor on: their bytes, the packets among them, and what stopped the walk.
    fn walk(&mut self) -> (usize, u64, Step) {
        self.source.fill(self.limits.chunk_bytes);
        let (mut length, mut packets) = (0, 0);
        let bytes = self.source.available();
        let mut near = self.near;
        let mut skipped = Vec::new();
        let mut statistics = Vec::new();
        let stop = loop {
            if length >= self.limits.chunk_bytes.max(1) {
                break Step::Packet(0);
            }
            let rest = &bytes[length..];
            match step(rest, self.format, self.limits.max_record) {
                Step::Packet(size) if size <= rest.len() => {
                    if let Format::Pcap { big_endian, header, swapped, .. } = self.format {
                        near = RecordHeader::read(rest, big_endian, header, swapped)
                            .map(|record| record.seconds);
                    }
                    packets += 1;
                    length += size;
                }
                Step::Block(kind, size)
                    if size <= rest.len() && kind != pcapng::SECTION && kind != pcapng::INTERFACE =>
                {
                    if let (pcapng::STATISTICS, Format::Pcapng { big_endian }) = (kind, self.format) {
                        statistics.extend(pcapng::statistics(&rest[..size], big_endian));
                    }
                    skipped.push(kind);
                    length += size;
                }
                Step::Packet(size) | Step::Block(_, size) if size > rest.len() => break Step::More(size),
                Step::More(_) if rest.is_empty() && self.source.is_complete() => break Step::More(0),
                other => break other,
            }
        };
        self.near = near;
        for kind in skipped {
            *self.report.skipped_blocks.entry(pcapng::block_name(kind)).or_default() += 1;
        }
        let section = self.section_base as usize;
        for counters in statistics {
            if let Some(interface) = self.report.interfaces.get_mut(section + counters.interface as usize) {
                interface.received = counters.received.or(interface.received);
                interface.dropped = counters.dropped.or(interface.dropped);
            }
        }
        (length, packets, stop)
    }

    /// Takes a block that changes how later ones are read.
    fn describe_block(&mut self, kind: u32, length: usize) {
        if length > self.source.available().len() {
            if self.source.is_complete() {
                self.cut_off(length);
            } else {
                self.source.fill(length);
            }
            return;
        }
        let offset = self.source.offset();
        let block = self.source.take(length);
        let Format::Pcapng { big_endian } = self.format else { return };
        if kind == pcapng::SECTION {
            let order = pcapng::section_order(&block).unwrap_or(big_endian);
            self.format = Format::Pcapng { big_endian: order };
            self.interfaces = Arc::new(Vec::new());
            self.section_base = self.report.interfaces.len() as u32;
            return;
        }
        match pcapng::interface(&block, big_endian) {
            _ if self.interfaces.len() >= self.limits.max_interfaces => {
                let reason = format!("more than {} interfaces in one section", self.limits.max_interfaces);
                self.report.damage(offset, length as u64, reason);
            }
            Some(interface) => {
                Arc::make_mut(&mut self.interfaces).push(interface.clone());
                self.report.interfaces.push(InterfaceReport { interface, received: None, dropped: None });
            }
            None => {
                // It still takes a number, or the packets of later interfaces would be read as of others.
                let unknown = Interface::unknown();
                Arc::make_mut(&mut self.interfaces).push(unknown.clone());
                self.report.interfaces.push(InterfaceReport {
                    interface: unknown,
                    received: None,
                    dropped: None,
                });
                self.report.damage(offset, length as u64, "interface description that cannot be read".into());
            }
        }
    }

    /// The file ends inside a record.
    fn cut_off(&mut self, wanted: usize) {
        let left = self.source.available().len();
        if left > 0 {
            let what = match self.format {
                Format::Pcap { .. } => "record",
                Format::Pcapng { .. } => "block",
            };
            let reason = self.source.broken.clone().unwrap_or_else(|| {
                format!("the file ends inside a {what}: {wanted} bytes expected, {left} found")
            });
            self.report.damage(self.source.offset(), left as u64, reason);
            self.source.take(left);
        } else if let Some(reason) = self.source.broken.take() {
            self.report.damage(self.source.offset(), 0, reason);
        }
    }

    /// Looks for the next place where records start.
    fn resynchronise(&mut self, reason: String) {
        let offset = self.source.offset();
        let mut skipped = 0u64;
        loop {
            self.source.fill(self.limits.chunk_bytes + LOOK_AHEAD);
            let bytes = self.source.available();
            // In a stream only the first part has enough bytes behind it to be judged.
            let judged = if self.source.is_complete() { bytes.len() } else { self.limits.chunk_bytes.max(1) };
            let found = (1..judged).find(|at| self.is_chain(&bytes[*at..]));
            let step = found.unwrap_or(judged.min(bytes.len()));
            skipped += step as u64;
            let done = found.is_some() || step == 0 || self.source.is_complete();
            self.source.take(step);
            if done {
                self.report.damage(offset, skipped, reason);
                return;
            }
        }
    }

    fn is_chain(&self, bytes: &[u8]) -> bool {
        let mut at = 0;
        for link in 0..CHAIN {
            let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else {
                return link > 0 && bytes.len() == at && self.source.is_complete();
            };
            let size = match self.format {
                Format::Pcap { big_endian, nanoseconds, header, swapped } => {
                    let Some(record) = RecordHeader::read(rest, big_endian, header, swapped) else {
                        return false;
                    };
                    if !record.is_plausible(self.limits.max_record, nanoseconds, self.near) {
                        return false;
                    }
                    record.total()
                }
                Format::Pcapng { .. } => {
                    let fits = |size: &usize| *size <= rest.len();
                    match step(rest, self.format, self.limits.max_record) {
                        Step::Packet(size) if fits(&size) => size,
                        // Only types that are known: a stray pair of equal words must not pass for a block.
                        Step::Block(kind, size)
                            if fits(&size) && !pcapng::block_name(kind).starts_with("0x") =>
                        {
                            size
                        }
                        _ => return false,
                    }
                }
            };
            at += size;
        }
        true
    }

    /// Size and hashes, when everything was read.
    pub(super) fn finish(self) -> FileReport {
        let mut report = self.report;
        (report.size, report.blake3, report.sha256) = self.source.finish();
        report
    }
}

/// What stands at the start of `bytes`.
fn step(bytes: &[u8], format: Format, max_record: u32) -> Step {
    match format {
        Format::Pcap { big_endian, header, swapped, .. } => {
            match RecordHeader::read(bytes, big_endian, header, swapped) {
                None => Step::More(usize::from(header)),
                Some(record) => match record.fault(max_record) {
                    Some(reason) => Step::Bad(reason),
                    None => Step::Packet(record.total()),
                },
            }
        }
        Format::Pcapng { big_endian } => {
            let Some(kind) = pcapng::word(bytes, 0, big_endian) else { return Step::More(pcapng::MIN_BLOCK) };
            // A section may change the byte order of its own length.
            let order = match kind {
                pcapng::SECTION if bytes.len() < pcapng::MIN_BLOCK => return Step::More(pcapng::MIN_BLOCK),
                pcapng::SECTION => match pcapng::section_order(bytes) {
                    Some(order) => order,
                    None => return Step::Bad("section header without a byte-order magic".into()),
                },
                _ => big_endian,
            };
            let Some(length) = pcapng::word(bytes, 4, order) else { return Step::More(pcapng::MIN_BLOCK) };
            let size = length as usize;
            if size < pcapng::MIN_BLOCK || length > max_record || size % 4 != 0 {
                return Step::Bad(format!(
                    "block of type 0x{kind:08x} with a length of {length} bytes, expected a multiple of 4 from 12 to {max_record}"
                ));
            }
            if let Some(trailer) = pcapng::word(bytes, size - 4, order).filter(|trailer| *trailer != length) {
                return Step::Bad(format!("block length {length} at its start and {trailer} at its end"));
            }
            if pcapng::is_frame(kind) { Step::Packet(size) } else { Step::Block(kind, size) }
        }
    }
}

/// The first bytes of a capture header, and too few of them.
fn is_cut_magic(head: &[u8]) -> bool {
    let magic = [
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xcd, 0x34],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    head.len() < pcap::FILE_HEADER && magic.iter().any(|magic| head.starts_with(magic))
}

fn describe(format: Format) -> String {
    let order = |big_endian| if big_endian { "big-endian" } else { "little-endian" };
    match format {
        Format::Pcap { big_endian, nanoseconds, header, .. } => {
            let unit = if nanoseconds { "nanoseconds" } else { "microseconds" };
            let variant = if header == 24 { "modified pcap" } else { "pcap" };
            format!("{variant}, {}, {unit}", order(big_endian))
        }
        Format::Pcapng { big_endian } => format!("pcapng, {}", order(big_endian)),
    }
}
