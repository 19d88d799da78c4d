//! Wireshark's `tcp.stream` numbers.
//!
//! Wireshark numbers conversations in the order of their first packets. It tells them apart by addresses and
//! ports, not by VLAN or tunnel, and never forgets one. A SYN with another sequence number than the SYN
//! before starts a new one. The table keeps just enough to do the same.

use hashbrown::HashMap;

use crate::dissect::Seq;

/// A stream of this partition; its number is known at the end of the round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId(u32);

#[derive(Clone, Copy, Debug)]
struct Entry {
    stream: StreamId,
    /// Sequence number that each side's stream began with: from its SYN, else from its first packet.
    base: [Seq; 2],
    /// Whether the side has sent anything: beside the numbers, not in them, an entry takes a quarter less
    /// memory, and there are millions.
    known: [bool; 2],
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
    numbers: Vec<u32>,
    born: Vec<(u64, StreamId)>,
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
        let stream = StreamId(self.numbers.len() as u32);
        self.numbers.push(u32::MAX);
        self.born.push((packet, stream));
        let mut entry = Entry { stream, base: [seq; 2], known: [false; 2] };
        entry.known[side] = true;
        self.open.insert(tuple, entry);
        Some(stream)
    }

    /// Streams since the last call that have no number yet, as (first packet, stream), in packet order.
    pub(super) fn take_born(&mut self) -> Vec<(u64, StreamId)> {
        std::mem::take(&mut self.born)
    }

    pub(super) fn set_number(&mut self, stream: StreamId, number: Option<u32>) {
        self.numbers[stream.0 as usize] = number.unwrap_or(u32::MAX);
    }

    /// No further streams: their numbers would all be beyond the limit.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn number(&self, stream: StreamId) -> Option<u32> {
        self.numbers.get(stream.0 as usize).copied().filter(|number| *number != u32::MAX)
    }
}
