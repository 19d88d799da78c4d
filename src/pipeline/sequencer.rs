//! What needs every packet in capture order, folded over the chunks between the stages.

use serde::{Deserialize, Serialize};

use super::records::Records;
use super::summary::ChunkSummary;
use crate::config::Config;
use crate::detect::Totals;
use crate::dissect::{
    DefragLimits, DefragStats, Defragmenter, Faults, PacketRecord, PacketRef, Payload, Stop, Transport,
    dissect_datagram,
};
use crate::time::Timestamp;

/// What the packets before a chunk leave to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// Ordinal of the chunk's first packet.
    pub first_packet: u64,
    /// Latest time of all packets before.
    pub clock: Timestamp,
    /// Time of the last packet before that has one: packets at the start that have none take it.
    pub time: Timestamp,
}

impl Lead {
    /// Completes a record of the chunk.
    pub fn complete(&self, record: &mut PacketRecord) {
        if record.clock == Timestamp::MIN && record.faults.contains(Faults::NO_TIME) {
            record.time = self.time;
        }
        record.clock = record.clock.max(self.clock);
    }
}

/// The leads of all chunks, in capture order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leads(Vec<Lead>);

impl Leads {
    /// Adds the lead of the next chunk.
    pub fn push(&mut self, lead: Lead) {
        self.0.push(lead);
    }

    /// Completes a record of any chunk.
    pub fn complete(&self, record: &mut PacketRecord) {
        let behind = self.0.partition_point(|lead| lead.first_packet <= record.packet);
        if let Some(lead) = behind.checked_sub(1).and_then(|index| self.0.get(index)) {
            lead.complete(record);
        }
    }
}

/// What stage 2 needs of a chunk besides the records that stage 1 sent to the partitions.
#[derive(Clone, Debug)]
pub struct Sequenced {
    /// Completes those records.
    pub lead: Lead,
    /// The chunk's fragments, complete: each as the datagram it was the last fragment of, or alone and
    /// without its payload.
    pub datagrams: Records,
}

/// The fold over the chunks' summaries. A plain function of them: it knows no partition and no flow.
pub struct Sequencer {
    defragmenter: Defragmenter,
    totals: Totals,
    stops: Vec<(Stop, u64)>,
    clock: Timestamp,
    last: Option<(u32, PacketRef)>,
}

impl Sequencer {
    /// At the start of a capture set.
    pub fn new(config: &Config) -> Self {
        let limits = DefragLimits { bytes: config.limits.for_fragments(), ..DefragLimits::default() };
        Self {
            defragmenter: Defragmenter::new(limits),
            totals: Totals::default(),
            stops: Vec::new(),
            clock: Timestamp::MIN,
            last: None,
        }
    }

    /// Latest time of all packets so far.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Takes the summary of the next chunk in capture order.
    pub fn take(&mut self, mut chunk: ChunkSummary) -> Sequenced {
        let lead = Lead {
            first_packet: chunk.first_packet,
            clock: self.clock,
            time: self.last.map_or(Timestamp(0), |(_, last)| last.time),
        };
        if let Some((first, last)) = chunk.ends {
            if let Some((last_file, before)) = self.last {
                // From one file to the next time may go backwards: files are ordered by their first packets.
                if last_file == chunk.file {
                    chunk.totals.step(before, first);
                }
                chunk.totals.silence(before, first);
            }
            self.last = Some((chunk.file, last));
        }
        self.clock = self.clock.max(chunk.latest);
        self.totals.add(chunk.totals);
        for (stop, count) in chunk.stops {
            match self.stops.iter_mut().find(|(known, _)| *known == stop) {
                Some((_, known)) => *known += count,
                None => self.stops.push((stop, count)),
            }
        }
        Sequenced { lead, datagrams: self.reassemble(&lead, &chunk.fragments) }
    }

    /// Fragments meet here, before their ports are known and a partition can be chosen.
    fn reassemble(&mut self, lead: &Lead, fragments: &Records) -> Records {
        let mut datagrams = Records::default();
        for (record, payload) in fragments.iter() {
            let mut record = *record;
            lead.complete(&mut record);
            let (mut bytes, mut start) = (Vec::new(), 0);
            // What was put together can be a fragment of an outer datagram's payload again.
            while let Transport::Fragment(_) = record.transport {
                let inner = bytes.get(start..start + record.payload.captured as usize).unwrap_or_default();
                let payload = if bytes.is_empty() { payload } else { inner };
                let Some(datagram) = self.defragmenter.feed(&record, payload) else {
                    record.payload = Payload { captured: 0, ..record.payload };
                    break;
                };
                bytes = datagram.bytes;
                record = dissect_datagram(&record, datagram.protocol, &bytes, 0);
                start = record.payload.start as usize;
            }
            let payload = bytes.get(start..start + record.payload.captured as usize);
            datagrams.push(record, payload.unwrap_or_default());
        }
        datagrams
    }

    /// Sums, what stopped dissection, and what became of the fragments, when every chunk was taken.
    pub fn finish(mut self) -> (Totals, DefragStats) {
        for (stop, count) in self.stops {
            *self.totals.stops.entry(stop.to_string()).or_default() += count;
        }
        self.defragmenter.expire(self.clock);
        let stats = self.defragmenter.finish();
        self.totals.fragment_paths = self.defragmenter.into_paths();
        (self.totals, stats)
    }
}
