//! The TCP streams of one partition, as Wireshark tells them apart for its `tcp.stream`.
//!
//! Wireshark numbers conversations in the order of their first packet, knows them by addresses and ports
//! alone (not by VLAN or tunnel), never forgets one, and starts a new one when a SYN comes with another
//! sequence number than the SYN before it. The table keeps just enough to do the same. It knows the streams
//! of its own partition only: the numbers are folded from the first packets of all partitions' streams.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::dissect::Seq;

/// A stream of a partition: its place among them in the order of their first packets, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u32);

#[derive(Clone, Copy, Debug)]
struct Entry {
    stream: StreamId,
    /// Sequence number that each side's stream began with: from its SYN, else from its first packet.
    base: [Seq; 2],
    /// Whether the side has sent anything: beside the numbers, not in them, an entry takes a quarter less
    /// memory, and there are millions.
    known: [bool; 2],
    /// A flow on these addresses and ports was closed for its memory since a SYN began the stream.
    evicted: bool,
}

impl Entry {
    /// `side` is known to have begun with another number.
    fn differs(&self, side: usize, seq: Seq) -> bool {
        self.known[side] && self.base[side] != seq
    }
}

/// The streams of one partition.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Keyed by a 64-bit hash of the tuple: among 5 million streams two collide with a probability of 7e-7.
    open: HashMap<u64, Entry>,
    count: u32,
    born: Vec<u64>,
    closed: bool,
}

impl Streams {
    /// The sender of a SYN or SYN-ACK began with another number before: a new connection on old ports.
    pub(super) fn reuses(&self, tuple: u64, low_sends: bool, seq: Seq) -> bool {
        self.open.get(&tuple).is_some_and(|entry| entry.differs(usize::from(low_sends), seq))
    }

    /// The stream of a packet; `low_sends` says whether the lower endpoint of the tuple sent it. A SYN with
    /// another number than the sender began with opens a new one.
    pub(super) fn stream(
        &mut self,
        tuple: u64,
        low_sends: bool,
        seq: Seq,
        syn: bool,
        packet: u64,
    ) -> Option<StreamId> {
        let side = usize::from(low_sends);
        let known = self.open.get_mut(&tuple).filter(|entry| !syn || !entry.differs(side, seq));
        if let Some(entry) = known {
            if !entry.known[side] {
                (entry.base[side], entry.known[side]) = (seq, true);
            }
            return Some(entry.stream);
        }
        if self.closed {
            return None;
        }
        let stream = StreamId(self.count);
        self.count += 1;
        self.born.push(packet);
        let mut entry = Entry { stream, base: [seq; 2], known: [false; 2], evicted: false };
        entry.known[side] = true;
        self.open.insert(tuple, entry);
        Some(stream)
    }

    /// A flow of the latest stream on this tuple was closed for its memory.
    pub(super) fn evict(&mut self, tuple: u64) {
        if let Some(entry) = self.open.get_mut(&tuple) {
            entry.evicted = true;
        }
    }

    /// Whether a flow of this stream was closed for its memory; `None` for a stream beyond the limit.
    pub(super) fn was_evicted(&self, tuple: u64) -> Option<bool> {
        self.open.get(&tuple).map(|entry| entry.evicted)
    }

    /// First packets of the streams since the last call, in the order of their [`StreamId`]s.
    pub(super) fn take_born(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.born)
    }

    /// Streams so far.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// No further streams: their numbers would all be beyond the limit.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }
}
