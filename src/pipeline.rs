//! The two stages and the merge: read this first.
//!
//! ```text
//! Chunk --dissect_chunk--> Batch --Sequencer--> Batch --Partition::track--> rows, detector state --judge--> Outcome
//!        stage 1, parallel       in order               stage 2, parallel                        once
//! ```
//!
//! Stage 1 knows one chunk and nothing else. Stage 2 knows one partition of the flows and takes its packets in capture order.
//! Between them stands what needs every packet in order and is cheap: the clock, packets without a time, IP fragments.

use std::collections::BTreeMap;

mod eviction;

pub use eviction::track;

use crate::app::dns::Transaction;
use crate::capture::{Chunk, FileReport, LinkType, Unreadable};
use crate::config::Config;
use crate::detect::{Context, Detectors, FileFacts, Rule, Totals, Verdict};
use crate::dissect::PacketRef;
use crate::dissect::{
    DefragLimits, DefragStats, Defragmenter, Faults, PacketRecord, Stop, Transport, dissect, dissect_datagram,
};
use crate::flow::{Finished, Flow, FlowHead, FlowTable, Row, StreamId, LimitHits};
use crate::time::{Span, Timestamp};

/// Receives finished rows in an order that does not depend on threads, chunks, rounds or partitions.
pub trait Rows {
    /// The capture goes on with another file: its path, and the ordinal before its first packet. Comes before every row
    /// that has a packet of the file.
    fn file(&mut self, _path: &str, _base: u64) {}
    /// A flow was closed: rows of `flows`, `tcp_events`, `tls` and `icmp`.
    fn flow(&mut self, _flow: &Flow) {}
    /// A DNS transaction was finished.
    fn transaction(&mut self, _transaction: &Transaction, _flow: &FlowHead) {}
    /// The next rows, in their order, for those who take them by the thousand.
    fn finished(&mut self, rows: &[Row]) {
        for row in rows {
            match &row.what {
                Finished::Flow(flow) => self.flow(flow),
                Finished::Transaction(of) => self.transaction(&of.0, &of.1),
            }
        }
    }
    /// No row follows.
    fn end(&mut self) {}
}

/// A cap that acted, so that the report is marked degraded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Capped {
    /// What was cut, e.g. `tcp events per flow`.
    pub what: &'static str,
    /// The setting behind it, e.g. `limits.events_per_flow`.
    pub setting: &'static str,
    /// How often.
    pub count: u64,
}

/// Everything a run found out, apart from the rows.
#[derive(Debug)]
pub struct Outcome {
    /// Sums over all packets.
    pub totals: Totals,
    /// The files, in analysis order: what detectors knew of them.
    pub files: Vec<FileFacts>,
    /// The files, in analysis order: what the reader says of them.
    pub reports: Vec<FileReport>,
    /// Inputs that could not be read, and why.
    pub unreadable: Vec<Unreadable>,
    /// Every detector's verdict.
    pub verdicts: Vec<(&'static Rule, Verdict)>,
    /// Caps that acted.
    pub capped: Vec<Capped>,
    /// Flows closed, by protocol number.
    pub flows: BTreeMap<u8, u64>,
}

/// The dissected packets of one chunk, one list per partition, each in capture order.
#[derive(Debug)]
pub struct Batch {
    chunk: Chunk,
    /// Datagrams put together from fragments; payload offsets beyond the chunk's bytes point here.
    datagrams: Vec<u8>,
    lists: Vec<Vec<PacketRecord>>,
    fragments: Vec<PacketRecord>,
    totals: Totals,
    stops: Vec<(Stop, u64)>,
    /// Latest time of all packets before this batch.
    clock: Timestamp,
    /// Latest time in this batch.
    latest: Timestamp,
    /// The packets behind which open flows are weighed, with the latest time in the batch up to them.
    weighings: Vec<(u64, Timestamp)>,
    /// Packets at the start that have no time of their own.
    untimed: u64,
    /// First and last time in file order.
    ends: Option<(PacketRef, PacketRef)>,
}

/// Stage 1: a run of capture bytes to packet records. A function of its input and nothing else.
pub fn dissect_chunk(chunk: Chunk, partitions: usize) -> Batch {
    let lists = vec![Vec::with_capacity(chunk.packets as usize / partitions + 1); partitions];
    dissect_into(chunk, lists)
}

/// The same into the lists of an earlier batch, one per partition: their memory is in the cache still.
pub(crate) fn dissect_into(chunk: Chunk, lists: Vec<Vec<PacketRecord>>) -> Batch {
    let partitions = lists.len();
    let mut batch = Batch {
        datagrams: Vec::new(),
        lists,
        fragments: Vec::new(),
        totals: Totals::default(),
        stops: Vec::new(),
        clock: Timestamp::MIN,
        latest: Timestamp::MIN,
        weighings: Vec::new(),
        untimed: 0,
        ends: None,
        chunk,
    };
    let chunk = batch.chunk.clone();
    let mut link_type: Option<(LinkType, u64)> = None;
    for packet in chunk.packets() {
        match &mut link_type {
            Some((known, count)) if *known == packet.link_type => *count += 1,
            other => {
                if let Some((known, count)) = other.replace((packet.link_type, 1)) {
                    *batch.totals.link_types.entry(known).or_default() += count;
                }
            }
        }
        let mut record = dissect(&packet);
        batch.time(&mut record);
        if eviction::is_weighed(record.packet) {
            batch.weighings.push((record.packet, batch.latest));
        }
        batch.count(&record);
        match record.transport {
            Transport::Fragment(_) => batch.fragments.push(record),
            _ => batch.lists[partition_of(&record, partitions)].push(record),
        }
    }
    if let Some((known, count)) = link_type {
        *batch.totals.link_types.entry(known).or_default() += count;
    }
    batch
}

fn partition_of(record: &PacketRecord, partitions: usize) -> usize {
    (record.partition % partitions as u64) as usize
}

impl Batch {
    fn time(&mut self, record: &mut PacketRecord) {
        if record.faults.contains(Faults::NO_TIME) {
            match self.ends {
                Some((_, last)) => record.time = last.time,
                None => {
                    self.untimed += 1;
                    record.clock = Timestamp::MIN;
                    return;
                }
            }
        }
        let at = PacketRef { packet: record.packet, time: record.time };
        if let Some((_, last)) = self.ends {
            self.totals.step(last, at);
            self.totals.silence(last, at);
        }
        self.ends = Some((self.ends.map_or(at, |(first, _)| first), at));
        self.latest = self.latest.max(record.time);
        record.clock = self.latest;
    }

    fn count(&mut self, record: &PacketRecord) {
        let totals = &mut self.totals;
        totals.packets += 1;
        totals.captured_bytes += u64::from(record.captured);
        totals.wire_bytes += u64::from(record.wire);
        totals.clipped += u64::from(record.faults.contains(Faults::CLIPPED));
        match record.transport {
            Transport::Tcp(_) => totals.tcp_packets += 1,
            Transport::Udp(_) => totals.udp_packets += 1,
            Transport::Icmp(_) => totals.icmp_packets += 1,
            Transport::Fragment(_) => totals.fragments += 1,
            Transport::None | Transport::Arp(_) | Transport::Other => {}
        }
        if !record.faults.contains(Faults::NO_TIME) {
            totals.first = Some(totals.first.map_or(record.time, |first| first.min(record.time)));
            totals.last = Some(totals.last.map_or(record.time, |last| last.max(record.time)));
        }
        if record.stop != Stop::Payload && record.stop != Stop::Fragment {
            match self.stops.iter_mut().find(|(stop, _)| *stop == record.stop) {
                Some((_, count)) => *count += 1,
                None => self.stops.push((record.stop, 1)),
            }
        }
    }

    /// Packets in the batch.
    pub fn packets(&self) -> u64 {
        self.chunk.packets
    }

    /// The packets behind which open flows are weighed, with the capture's clock.
    fn weighings(&self) -> impl Iterator<Item = (u64, Timestamp)> {
        self.weighings.iter().map(|(ordinal, latest)| (*ordinal, self.clock.max(*latest)))
    }

    /// It is not needed any more: mapped pages go back to the system, and its lists, empty, to the next batch.
    pub(crate) fn release(mut self) -> Vec<Vec<PacketRecord>> {
        self.chunk.release();
        self.lists.iter_mut().for_each(Vec::clear);
        self.lists
    }

    /// The captured payload of one of its records.
    fn payload(&self, record: &PacketRecord) -> &[u8] {
        let (start, length) = (record.payload.start as usize, record.payload.captured as usize);
        let chunk: &[u8] = &self.chunk.bytes;
        let (bytes, start) = match start.checked_sub(chunk.len()) {
            Some(beyond) if !self.datagrams.is_empty() => (self.datagrams.as_slice(), beyond),
            _ => (chunk, start),
        };
        bytes.get(start..start + length).unwrap_or_default()
    }
}

/// What needs every packet in capture order, between the stages.
pub struct Sequencer {
    defragmenter: Defragmenter,
    totals: Totals,
    stops: Vec<(Stop, u64)>,
    clock: Timestamp,
    last: Option<(u32, PacketRef)>,
    spans: BTreeMap<u32, (Timestamp, Timestamp)>,
}

impl Sequencer {
    /// At the start of a capture set.
    pub fn new(config: &Config) -> Self {
        let limits = DefragLimits {
            bytes: config.limits.fragments_mib as usize * 1024 * 1024,
            ..DefragLimits::default()
        };
        Self {
            defragmenter: Defragmenter::new(limits),
            totals: Totals::default(),
            stops: Vec::new(),
            clock: Timestamp::MIN,
            last: None,
            spans: BTreeMap::new(),
        }
    }

    /// Latest time of all packets so far.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Takes the next batch in capture order and completes it.
    pub fn take(&mut self, batch: &mut Batch) {
        let file = batch.chunk.file;
        batch.clock = self.clock;
        if batch.untimed > 0 {
            let time = self.last.map_or(Timestamp(0), |(_, last)| last.time);
            let lists = batch.lists.iter_mut().flatten().chain(&mut batch.fragments);
            for record in lists.filter(|record| record.clock == Timestamp::MIN) {
                record.time = time;
            }
        }
        if let Some((first, last)) = batch.ends {
            if let Some((last_file, before)) = self.last {
                // From one file to the next time may go backwards: they are taken in order of their beginnings.
                if last_file == file {
                    batch.totals.step(before, first);
                }
                batch.totals.silence(before, first);
            }
            self.last = Some((file, last));
            let span = self.spans.entry(file).or_insert((first.time, last.time));
            span.1 = last.time;
        }
        self.clock = self.clock.max(batch.latest);
        self.reassemble(batch);
        self.totals.add(std::mem::take(&mut batch.totals));
        for (stop, count) in batch.stops.drain(..) {
            match self.stops.iter_mut().find(|(known, _)| *known == stop) {
                Some((_, known)) => *known += count,
                None => self.stops.push((stop, count)),
            }
        }
    }

    /// Fragments meet here, before their ports are known and a partition can be chosen.
    fn reassemble(&mut self, batch: &mut Batch) {
        let mut touched = Vec::new();
        for record in std::mem::take(&mut batch.fragments) {
            let mut record = record;
            record.clock = record.clock.max(batch.clock);
            // What was put together can be a fragment of an outer datagram's payload again.
            while let Transport::Fragment(_) = record.transport {
                let Some(datagram) = self.defragmenter.feed(&record, batch.payload(&record)) else { break };
                let start = (batch.chunk.bytes.len() + batch.datagrams.len()) as u32;
                record = dissect_datagram(&record, datagram.protocol, &datagram.bytes, start);
                batch.datagrams.extend_from_slice(&datagram.bytes);
            }
            let partition = partition_of(&record, batch.lists.len());
            batch.lists[partition].push(record);
            touched.push(partition);
        }
        touched.sort_unstable();
        touched.dedup();
        for partition in touched {
            batch.lists[partition].sort_by_key(|record| record.packet);
        }
    }

    /// Sums, what stopped dissection, and first and last time by file, when every batch was taken.
    pub fn finish(mut self) -> (Totals, BTreeMap<u32, (Timestamp, Timestamp)>, DefragStats) {
        for (stop, count) in self.stops {
            *self.totals.stops.entry(stop.to_string()).or_default() += count;
        }
        (self.totals, self.spans, self.defragmenter.finish())
    }
}

/// Stage 2 for one partition of the flows.
pub struct Partition {
    index: usize,
    table: FlowTable,
    detectors: Detectors,
    flows: BTreeMap<u8, u64>,
}

impl Partition {
    /// An empty partition.
    pub fn new(index: usize, config: &Config) -> Self {
        Self {
            index,
            table: FlowTable::new(config.flow_limits()),
            detectors: Detectors::new(&config.detect),
            flows: BTreeMap::new(),
        }
    }

    /// Takes this partition's packets of a batch; batches come in capture order.
    pub fn track(&mut self, batch: &Batch) {
        self.track_between(batch, 0, u64::MAX);
    }

    /// The same for the packets behind ordinal `after`, up to and with `until`.
    fn track_between(&mut self, batch: &Batch, after: u64, until: u64) {
        let list = batch.lists.get(self.index).map_or(&[][..], Vec::as_slice);
        let behind = |ordinal| list.partition_point(|record: &PacketRecord| record.packet <= ordinal);
        for record in &list[behind(after)..behind(until)] {
            let clock = batch.clock.max(record.clock);
            self.table.packet(record, clock, batch.payload(record));
            self.detectors.packet(record);
        }
    }

    /// Streams that began since the last call.
    pub(crate) fn born_streams(&mut self) -> Vec<(u64, StreamId)> {
        self.table.born_streams()
    }

    /// Gives a stream its number.
    pub(crate) fn number_stream(&mut self, stream: StreamId, number: Option<u32>) {
        self.table.number_stream(stream, number);
    }

    /// No further stream gets a number.
    pub(crate) fn close_streams(&mut self) {
        self.table.close_streams();
    }

    /// Rows that are final at `clock`, shown to the detectors.
    pub fn close_finished(&mut self, clock: Timestamp) -> Vec<Row> {
        let rows = self.table.expire(clock);
        self.show(&rows);
        rows
    }

    /// No packet follows: when each flow that is still open would have ended, and its id.
    pub fn remaining(&mut self) -> impl Iterator<Item = (Timestamp, u64)> {
        self.table.remaining()
    }

    /// Rows of those up to and with `bound`, shown to the detectors.
    pub fn close_remaining(&mut self, bound: (Timestamp, u64), clock: Timestamp) -> Vec<Row> {
        let rows = self.table.end_remaining(bound, clock);
        self.show(&rows);
        rows
    }

    fn show(&mut self, rows: &[Row]) {
        for row in rows {
            match &row.what {
                Finished::Flow(flow) => {
                    *self.flows.entry(flow.protocol).or_default() += 1;
                    self.detectors.flow(flow);
                }
                Finished::Transaction(of) => self.detectors.transaction(&of.0, &of.1),
            }
        }
    }

    /// Adds another partition's counts.
    pub fn merge(&mut self, other: Self) -> LimitHits {
        self.detectors.merge(other.detectors);
        for (protocol, count) in other.flows {
            *self.flows.entry(protocol).or_default() += count;
        }
        other.table.hits()
    }

    /// Caps that acted in its table.
    pub fn limits(&self) -> LimitHits {
        self.table.hits()
    }

    /// The verdicts, after merging, and the flows by protocol.
    pub fn judge(self, context: &Context<'_>) -> (Vec<(&'static Rule, Verdict)>, BTreeMap<u8, u64>) {
        (self.detectors.finish(context), self.flows)
    }
}

impl Totals {
    /// Packets whose time goes backwards that are shown as examples.
    const EXAMPLES: usize = 8;

    /// Two packets that follow each other in their file.
    fn step(&mut self, before: PacketRef, after: PacketRef) {
        let back = before.time - after.time;
        if back > Span::ZERO {
            self.backwards += 1;
            self.backwards_most = self.backwards_most.max(back.0);
            if self.backwards_examples.len() < Self::EXAMPLES {
                self.backwards_examples.push(after);
            }
        }
    }

    /// Silences kept.
    const SILENCES: usize = 16;

    /// Two packets that follow each other in the capture set.
    fn silence(&mut self, before: PacketRef, after: PacketRef) {
        if after.time - before.time >= Span::secs(1) {
            self.silences.push((before, after));
            self.keep_longest();
        }
    }

    fn keep_longest(&mut self) {
        self.silences.sort_by_key(|(before, after)| (before.time - after.time, before.packet));
        self.silences.truncate(Self::SILENCES);
    }

    /// Adds the sums of later packets.
    fn add(&mut self, later: Self) {
        self.silences.extend(later.silences);
        self.keep_longest();
        self.packets += later.packets;
        self.captured_bytes += later.captured_bytes;
        self.wire_bytes += later.wire_bytes;
        self.first = self.first.into_iter().chain(later.first).min();
        self.last = self.last.into_iter().chain(later.last).max();
        for (link_type, count) in later.link_types {
            *self.link_types.entry(link_type).or_default() += count;
        }
        self.clipped += later.clipped;
        self.backwards += later.backwards;
        self.backwards_most = self.backwards_most.max(later.backwards_most);
        self.backwards_examples.extend(later.backwards_examples);
        self.backwards_examples.sort_by_key(|at| at.packet);
        self.backwards_examples.truncate(Self::EXAMPLES);
        self.tcp_packets += later.tcp_packets;
        self.udp_packets += later.udp_packets;
        self.icmp_packets += later.icmp_packets;
        self.fragments += later.fragments;
    }
}
