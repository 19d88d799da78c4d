//! Stage 1: a chunk's packets, dissected and sorted by partition.

use super::eviction::{self, Weighing};
use super::records::Records;
use super::sequencer::{Sequenced, Sequencer};
use super::summary::ChunkSummary;
use crate::capture::{Chunk, LinkType};
use crate::dissect::{PacketRecord, Transport, dissect};
use crate::time::Timestamp;

/// The dissected packets of one chunk, one list per partition, each in capture order.
#[derive(Debug)]
pub struct Batch {
    chunk: Chunk,
    /// Datagrams put together from fragments; payload offsets beyond the chunk's bytes point here.
    datagrams: Vec<u8>,
    lists: Vec<Vec<PacketRecord>>,
    summary: ChunkSummary,
    /// Captured bytes of its packets.
    captured: u64,
    /// Latest time of all packets before this batch.
    clock: Timestamp,
    /// Packets at the start have no time of their own.
    untimed: bool,
    /// The packets behind which open flows may be weighed.
    weighings: Vec<Weighing>,
}

/// Stage 1: a run of capture bytes to packet records. A function of its input and nothing else.
pub fn dissect_chunk(chunk: Chunk, partitions: usize) -> Batch {
    let lists = vec![Vec::with_capacity(chunk.packets as usize / partitions + 1); partitions];
    dissect_into(chunk, lists)
}

/// The same into the lists of an earlier batch, one per partition: their memory is in the cache still.
pub(crate) fn dissect_into(chunk: Chunk, mut lists: Vec<Vec<PacketRecord>>) -> Batch {
    let partitions = lists.len();
    let mut summary = ChunkSummary::new(chunk.file, chunk.first_packet);
    let (mut weighings, mut untimed) = (Vec::new(), false);
    let mut link_type: Option<(LinkType, u64)> = None;
    for packet in chunk.packets() {
        match &mut link_type {
            Some((known, count)) if *known == packet.link_type => *count += 1,
            other => {
                if let Some((known, count)) = other.replace((packet.link_type, 1)) {
                    *summary.totals.link_types.entry(known).or_default() += count;
                }
            }
        }
        let mut record = dissect(&packet);
        untimed |= !summary.time(&mut record);
        summary.count(&record);
        if eviction::may_be_weighed(record.packet) {
            weighings.push(Weighing {
                ordinal: record.packet,
                latest: summary.latest,
                captured: summary.totals.captured_bytes,
            });
        }
        match record.transport {
            Transport::Fragment(_) => summary.fragments.push(record, payload(&chunk.bytes, &[], &record)),
            _ => lists[partition_of(&record, partitions)].push(record),
        }
    }
    if let Some((known, count)) = link_type {
        *summary.totals.link_types.entry(known).or_default() += count;
    }
    let captured = summary.totals.captured_bytes;
    let (datagrams, clock) = (Vec::new(), Timestamp::MIN);
    Batch { chunk, datagrams, lists, summary, captured, clock, untimed, weighings }
}

/// The partition of a packet, of so many.
pub fn partition_of(record: &PacketRecord, partitions: usize) -> usize {
    (record.partition % partitions as u64) as usize
}

/// The captured payload of a record that points into `chunk`, or beyond it into `datagrams`.
fn payload<'b>(chunk: &'b [u8], datagrams: &'b [u8], record: &PacketRecord) -> &'b [u8] {
    let (start, length) = (record.payload.start as usize, record.payload.captured as usize);
    let (bytes, start) = match start.checked_sub(chunk.len()) {
        Some(beyond) if !datagrams.is_empty() => (datagrams, beyond),
        _ => (chunk, start),
    };
    bytes.get(start..start + length).unwrap_or_default()
}

impl Batch {
    /// Packets in the batch.
    pub fn packets(&self) -> u64 {
        self.chunk.packets
    }

    /// Captured bytes of its packets.
    pub(super) fn captured(&self) -> u64 {
        self.captured
    }

    /// Takes the next place in capture order: batches go through `sequencer` one after the other.
    pub fn sequence(&mut self, sequencer: &mut Sequencer) {
        let Sequenced { lead, datagrams } = sequencer.take(self.take_summary());
        self.clock = lead.clock;
        if self.untimed {
            self.lists.iter_mut().flatten().for_each(|record| lead.complete(record));
        }
        if !datagrams.is_empty() {
            self.insert(datagrams);
        }
    }

    fn insert(&mut self, datagrams: Records) {
        let (records, bytes) = datagrams.into_parts();
        self.datagrams = bytes;
        let mut touched = Vec::new();
        for mut record in records {
            record.payload.start = record.payload.start.saturating_add(self.chunk.bytes.len() as u32);
            let partition = partition_of(&record, self.lists.len());
            self.lists[partition].push(record);
            touched.push(partition);
        }
        touched.sort_unstable();
        touched.dedup();
        for partition in touched {
            self.lists[partition].sort_by_key(|record| record.packet);
        }
    }

    /// What the sequencer folds.
    pub fn take_summary(&mut self) -> ChunkSummary {
        std::mem::take(&mut self.summary)
    }

    /// The records of all partitions, one after the other, with their payloads, to travel.
    pub fn records(&self) -> Records {
        let mut records = Records::default();
        for record in self.lists.iter().flatten() {
            records.push(*record, self.payload(record));
        }
        records
    }

    /// The records of every partition that has some, with their payloads, to travel.
    pub fn parcels(&self) -> impl Iterator<Item = (usize, Records)> {
        let lists = self.lists.iter().enumerate().filter(|(_, list)| !list.is_empty());
        lists.map(|(partition, list)| {
            let mut records = Records::default();
            list.iter().for_each(|record| records.push(*record, self.payload(record)));
            (partition, records)
        })
    }

    /// The records of one partition behind ordinal `after`, up to and with `until`, with the clock that they
    /// go by.
    pub(super) fn between(
        &self,
        partition: usize,
        after: u64,
        until: u64,
    ) -> impl Iterator<Item = (&PacketRecord, Timestamp)> {
        let list = self.lists.get(partition).map_or(&[][..], Vec::as_slice);
        let behind = |ordinal| list.partition_point(|record: &PacketRecord| record.packet <= ordinal);
        list[behind(after)..behind(until)].iter().map(|record| (record, self.clock.max(record.clock)))
    }

    /// The packets behind which open flows may be weighed, with the capture's clock.
    pub(super) fn weighings(&self) -> impl Iterator<Item = Weighing> {
        self.weighings.iter().map(|at| Weighing { latest: self.clock.max(at.latest), ..*at })
    }

    /// It is not needed any more: mapped pages go back to the system, and its lists, empty, to the next
    /// batch.
    pub(crate) fn release(mut self) -> Vec<Vec<PacketRecord>> {
        self.chunk.release();
        self.lists.iter_mut().for_each(Vec::clear);
        self.lists
    }

    /// The captured payload of one of its records.
    pub(super) fn payload(&self, record: &PacketRecord) -> &[u8] {
        payload(&self.chunk.bytes, &self.datagrams, record)
    }
}
