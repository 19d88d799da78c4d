//! tshark's view of the captures of `../shared/corpus`: frame tables, and what of a stream precedes a frame.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Names of `tcp.analysis` that the tables have.
pub const NAMES: [&str; 15] = [
    "retransmission",
    "fast_retransmission",
    "spurious_retransmission",
    "out_of_order",
    "reused_ports",
    "lost_segment",
    "ack_lost_segment",
    "window_update",
    "window_full",
    "keep_alive",
    "keep_alive_ack",
    "duplicate_ack",
    "zero_window",
    "zero_window_probe",
    "zero_window_probe_ack",
];

/// The captures, when they are there.
#[allow(clippy::print_stdout)]
pub fn captures() -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(manifest) = fs::read_to_string(folder.join("MANIFEST.tsv")) else {
        println!("skipped: {} is not there", folder.display());
        return None;
    };
    let names = manifest.lines().skip(1).filter_map(|line| line.split('\t').next());
    Some(names.map(|name| folder.join(name)).collect())
}

/// The file's name.
pub fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A frame with a TCP header.
#[derive(Clone, Debug)]
pub struct Segment {
    pub frame: u64,
    pub stream: u32,
    /// The header is only quoted, by an ICMP error.
    pub quoted: bool,
    pub source: String,
    pub seq: u32,
    pub ack: u32,
    pub length: u32,
    pub flags: u16,
    pub analysis: BTreeSet<&'static str>,
}

impl Segment {
    pub fn rst(&self) -> bool {
        self.flags & 0x04 != 0
    }

    /// What seems to be its payload can be the padding of a short frame.
    pub fn is_padded(&self) -> bool {
        self.flags & 0x08 == 0 && matches!(self.length, 2 | 6)
    }

    fn header(&self) -> (u32, u32, u32, u16) {
        (self.seq, self.ack, self.length, self.flags)
    }

    pub fn end(&self) -> u32 {
        let control = u32::from(self.flags & 0x02 != 0) + u32::from(self.flags & 0x01 != 0);
        self.seq.wrapping_add(self.length + control)
    }
}

/// The TCP segments of a capture in file order.
pub fn segments(path: &Path) -> Vec<Segment> {
    let table = path.with_file_name("oracle").join(format!("{}.frames.tsv.gz", name(path)));
    let file = fs::File::open(&table).unwrap_or_else(|error| panic!("{}: {error}", table.display()));
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("the oracle is UTF-8");
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let columns: BTreeMap<&str, usize> = header.split('\t').zip(0..).collect();
    let flags: Vec<(&'static str, usize)> =
        NAMES.iter().map(|name| (*name, columns[format!("tcp.analysis.{name}").as_str()])).collect();
    lines.filter_map(|line| segment(&line.split('\t').collect::<Vec<_>>(), &columns, &flags)).collect()
}

fn segment(
    row: &[&str],
    columns: &BTreeMap<&str, usize>,
    flags: &[(&'static str, usize)],
) -> Option<Segment> {
    let first = |name: &str| row[columns[name]].split(',').next().unwrap_or_default();
    // Of the innermost header, whatever tunnel is around it.
    let last = |name: &str| row[columns[name]].rsplit(',').next().unwrap_or_default();
    let number = |name: &str| first(name).parse().unwrap_or_default();
    let stream = first("tcp.stream").parse().ok()?;
    let flag_bits = u16::from_str_radix(first("tcp.flags").trim_start_matches("0x"), 16).ok()?;
    Some(Segment {
        frame: row[columns["frame.number"]].parse().ok()?,
        stream,
        quoted: row[columns["tcp.len"]].is_empty(),
        source: format!("{}{} {}", last("ip.src"), last("ipv6.src"), first("tcp.srcport")),
        seq: number("tcp.seq_raw"),
        ack: number("tcp.ack_raw"),
        length: number("tcp.len"),
        flags: flag_bits,
        analysis: flags.iter().filter(|(_, at)| row[*at] == "1").map(|(name, _)| *name).collect(),
    })
}

/// What a frame-by-frame reader knows of a stream.
#[derive(Default)]
pub struct Stream {
    sides: BTreeMap<String, Side>,
    nobody: Side,
    /// tshark saw another connection on the same ports begin, without a stream of its own.
    pub reused: bool,
    /// A header of the stream was quoted by an ICMP error.
    pub quoted: bool,
    /// A segment of the stream was padded, as far as one sees.
    pub padded: bool,
}

impl Stream {
    /// The side that sent `segment`.
    pub fn side(&self, segment: &Segment) -> &Side {
        self.sides.get(&segment.source).unwrap_or(&self.nobody)
    }

    /// The side that `segment` is for.
    pub fn other_side(&self, segment: &Segment) -> &Side {
        self.sides
            .iter()
            .find(|(source, _)| **source != segment.source)
            .map_or(&self.nobody, |(_, side)| side)
    }

    /// Takes the next segment.
    pub fn add(&mut self, segment: Segment) {
        self.padded |= segment.is_padded();
        self.reused |= segment.analysis.contains("reused_ports") && segment.flags & 0x12 == 0x12;
        if segment.flags & 0x10 != 0 {
            let peer = self.sides.iter_mut().find(|(source, _)| **source != segment.source);
            if let Some((_, peer)) = peer {
                peer.map.cover_before(segment.ack);
                peer.acked = Some(segment.ack);
            }
        }
        let side = self.sides.entry(segment.source.clone()).or_default();
        side.segments += 1;
        side.headers.insert(segment.header());
        if !segment.rst() {
            side.map.add(segment.seq, segment.end());
            side.seen.add(segment.seq, segment.end());
        }
        side.last = Some(segment);
    }
}

/// One side of a stream.
#[derive(Default)]
pub struct Side {
    pub segments: u64,
    /// Numbers that were seen, or acknowledged.
    pub map: ByteMap,
    /// Numbers that were seen.
    pub seen: ByteMap,
    /// Number, acknowledgement, length and flags of its segments so far.
    headers: BTreeSet<(u32, u32, u32, u16)>,
    /// The last acknowledgement by the other side.
    pub acked: Option<u32>,
    pub last: Option<Segment>,
}

impl Side {
    /// A segment with the same header came before.
    pub fn has_twin(&self, segment: &Segment) -> bool {
        self.headers.contains(&segment.header())
    }

    /// Something that this side sent lies at or after `ack`.
    pub fn outstanding(&self, ack: u32) -> bool {
        self.segments > 0 && self.map.end_after(ack)
    }
}

/// Which sequence numbers were seen, or are known to have been sent.
#[derive(Default)]
pub struct ByteMap {
    base: Option<u32>,
    ranges: BTreeMap<i64, i64>,
}

impl ByteMap {
    fn at(&self, seq: u32) -> i64 {
        self.base.map_or(0, |base| i64::from(seq.wrapping_sub(base) as i32))
    }

    /// `[from, to)` was seen.
    pub fn add(&mut self, from: u32, to: u32) {
        self.base.get_or_insert(from);
        let (mut from, mut to) = (self.at(from), self.at(to));
        let touching: Vec<i64> = self
            .ranges
            .range(..=to)
            .rev()
            .take_while(|(_, end)| **end >= from)
            .map(|(start, _)| *start)
            .collect();
        for start in touching {
            let end = self.ranges.remove(&start).unwrap_or(start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.ranges.insert(from, to);
    }

    /// Everything from the first number seen up to `ack` is known to have been sent.
    pub fn cover_before(&mut self, ack: u32) {
        if let Some(base) = self.base.filter(|_| self.at(ack) > 0) {
            self.add(base, ack);
        }
    }

    /// Numbers from the first one seen up to `ack` that are missing.
    pub fn missing_before(&self, ack: u32) -> i64 {
        let ack = self.at(ack);
        let seen: i64 = self.ranges.iter().map(|(from, to)| (to.min(&ack) - from.max(&0)).max(0)).sum();
        (ack - seen).max(0)
    }

    /// Nothing that takes numbers was seen.
    pub fn is_empty(&self) -> bool {
        self.ranges.iter().all(|(from, to)| from == to)
    }

    /// Everything in `[from, to)` was seen.
    pub fn covers(&self, from: u32, to: u32) -> bool {
        let (from, to) = (self.at(from), self.at(to));
        self.base.is_some() && self.ranges.range(..=from).next_back().is_some_and(|(_, end)| *end >= to)
    }

    fn end_after(&self, ack: u32) -> bool {
        self.ranges.last_key_value().is_some_and(|(_, end)| *end > self.at(ack))
    }
}
