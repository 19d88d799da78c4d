//! One direction's payload in order, with its gaps.
//!
//! Where segments overlap, the bytes that came first stay, as in most receivers. The sequence analysis
//! reports the conflict. Out-of-order bytes are held up to a budget; when it is spent the hole in front of
//! them is given up as a gap.

use std::collections::BTreeMap;

use crate::dissect::PacketRef;
use crate::dissect::Seq;

/// What comes out, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// The next bytes and the packet that delivered them.
    Data(&'a [u8], PacketRef),
    /// Bytes that were not captured.
    Gap(u64, PacketRef),
}

/// Holds what cannot be delivered yet.
#[derive(Debug)]
pub(super) struct Assembler {
    /// Sequence number of stream offset `offset`.
    next: Option<Seq>,
    offset: u64,
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    budget: usize,
    /// Gaps that were given up to stay within the budget.
    pub(super) given_up: u64,
}

#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    length: u64,
    at: PacketRef,
}

/// What a held segment costs beyond its bytes: many one-byte segments must not be free.
const HELD_COST: usize = 96;

impl Assembler {
    pub(super) fn new(budget: usize) -> Self {
        Self { next: None, offset: 0, held: BTreeMap::new(), held_bytes: 0, budget, given_up: 0 }
    }

    /// The stream begins at `seq` (after the SYN).
    pub(super) fn start(&mut self, seq: Seq) {
        if self.offset == 0 && self.held.is_empty() {
            self.next = Some(seq);
        }
    }

    /// Bytes of memory that what is held takes.
    pub(super) fn held(&self) -> usize {
        self.held_bytes
    }

    /// Bytes delivered or given up so far.
    pub(super) fn delivered(&self) -> u64 {
        self.offset
    }

    /// Takes a segment of `length` bytes of which `bytes` were captured.
    pub(super) fn segment(
        &mut self,
        seq: Seq,
        bytes: &[u8],
        length: u32,
        at: PacketRef,
        sink: &mut impl FnMut(Piece<'_>),
    ) {
        let next = *self.next.get_or_insert(seq);
        let ahead = i64::from(seq.since(next));
        let length = u64::from(length);
        if ahead <= 0 {
            // Where the segment ends in the stream; what stands below `offset` was delivered.
            let end = (self.offset + length).saturating_sub(ahead.unsigned_abs());
            while self.offset < end {
                let skip = (self.offset + length - end) as usize;
                let fresh = bytes.get(skip..).unwrap_or_default();
                // Bytes held for later that this one reaches into came first: stop in front of them.
                let room = self.held.keys().next().map_or(u64::MAX, |start| start - self.offset);
                let take = (end - self.offset).min(room);
                let fresh = &fresh[..fresh.len().min(take as usize)];
                self.deliver(fresh, take, at, sink);
                self.drain(sink);
            }
            return;
        }
        self.hold(self.offset + ahead as u64, bytes, length, at);
        while self.held_bytes > self.budget {
            self.given_up += 1;
            self.skip_gap(sink);
        }
    }

    /// The peer acknowledged up to `ack`: what is missing below will not come.
    pub(super) fn acknowledged(&mut self, ack: Seq, sink: &mut impl FnMut(Piece<'_>)) {
        while let (Some(next), Some((start, _))) = (self.next, self.held.first_key_value()) {
            let held_seq = next.plus((start - self.offset) as u32);
            if ack.before(held_seq) {
                return;
            }
            self.skip_gap(sink);
        }
    }

    /// The flow is over: delivers what is held, with its gaps.
    pub(super) fn finish(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        while !self.held.is_empty() {
            self.skip_gap(sink);
        }
    }

    fn hold(&mut self, start: u64, bytes: &[u8], length: u64, at: PacketRef) {
        let (mut start, mut end, mut bytes) = (start, start + length, bytes);
        if let Some((before, held)) = self.held.range(..=start).next_back() {
            let covered = (before + held.length).saturating_sub(start);
            if covered >= length {
                return;
            }
            start += covered;
            bytes = bytes.get(covered as usize..).unwrap_or_default();
        }
        // Fill the free places between held segments.
        while start < end {
            let later = self.held.range(start..).next().map(|(at, held)| (*at, held.length));
            let stop = later.map_or(end, |(at, _)| at.min(end));
            if stop > start {
                let take = (stop - start) as usize;
                let own = bytes[..bytes.len().min(take)].to_vec();
                self.held_bytes += own.len() + HELD_COST;
                self.held.insert(start, Held { bytes: own, length: stop - start, at });
            }
            let Some((next, covered)) = later.filter(|(at, _)| *at < end) else { break };
            let resume = next + covered;
            bytes = bytes.get((resume - start) as usize..).unwrap_or_default();
            start = resume;
            end = end.max(start);
        }
    }

    fn deliver(&mut self, bytes: &[u8], length: u64, at: PacketRef, sink: &mut impl FnMut(Piece<'_>)) {
        if !bytes.is_empty() {
            sink(Piece::Data(bytes, at));
        }
        let missing = length - bytes.len() as u64;
        if missing > 0 {
            sink(Piece::Gap(missing, at));
        }
        self.offset += length;
        self.next = self.next.map(|next| next.plus(length as u32));
    }

    fn drain(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() <= self.offset) {
            let (start, held) = entry.remove_entry();
            self.held_bytes -= held.bytes.len() + HELD_COST;
            let covered = self.offset - start;
            if covered < held.length {
                let bytes = held.bytes.get(covered as usize..).unwrap_or_default();
                self.deliver(bytes, held.length - covered, held.at, sink);
            }
        }
    }

    fn skip_gap(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        let Some((start, at)) = self.held.first_key_value().map(|(start, held)| (*start, held.at)) else {
            return;
        };
        if start > self.offset {
            let missing = start - self.offset;
            self.deliver(&[], missing, at, sink);
        }
        self.drain(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(start: u32, segments: &[(u32, &[u8])]) -> (Vec<u8>, u64) {
        let (mut out, mut gaps) = (Vec::new(), 0);
        let mut assembler = Assembler::new(1 << 16);
        assembler.start(Seq(start));
        let mut sink = |piece: Piece<'_>| match piece {
            Piece::Data(bytes, _) => out.extend_from_slice(bytes),
            Piece::Gap(length, _) => gaps += length,
        };
        for (offset, bytes) in segments {
            let seq = Seq(start).plus(*offset);
            assembler.segment(seq, bytes, bytes.len() as u32, PacketRef::default(), &mut sink);
        }
        assembler.finish(&mut sink);
        (out, gaps)
    }

    #[test]
    fn out_of_order_bytes_come_out_in_order_across_the_wrap() {
        let start = u32::MAX - 2;
        assert_eq!(run(start, &[(4, b"ef"), (2, b"cd"), (0, b"ab")]), (b"abcdef".to_vec(), 0));
    }

    #[test]
    fn the_first_copy_of_a_byte_wins() {
        assert_eq!(run(1, &[(2, b"CD"), (0, b"abxyef")]), (b"abCDef".to_vec(), 0));
    }

    #[test]
    fn what_never_came_is_a_gap() {
        assert_eq!(run(1, &[(0, b"ab"), (4, b"ef")]), (b"abef".to_vec(), 2));
    }

    #[test]
    fn a_segment_over_thousands_of_held_bytes_fills_what_is_between_them() {
        const BYTES: u32 = 60_000;
        let mut assembler = Assembler::new(1 << 30);
        assembler.start(Seq(0));
        let (mut out, mut gaps) = (Vec::new(), 0);
        let mut sink = |piece: Piece<'_>| match piece {
            Piece::Data(bytes, _) => out.extend_from_slice(bytes),
            Piece::Gap(length, _) => gaps += length,
        };
        for index in (1..BYTES).step_by(2) {
            assembler.segment(Seq(index), b"h", 1, PacketRef::default(), &mut sink);
        }
        assembler.segment(Seq(0), &[b'w'; BYTES as usize], BYTES, PacketRef::default(), &mut sink);
        assert_eq!((out, gaps), (b"wh".repeat(BYTES as usize / 2), 0));
    }

    #[test]
    fn a_spent_budget_gives_up_the_gap_and_nothing_else() {
        let mut out = Vec::new();
        let mut assembler = Assembler::new(200);
        assembler.start(Seq(0));
        for index in 1..10u32 {
            assembler.segment(Seq(index * 10), &[index as u8; 10], 10, PacketRef::default(), &mut |piece| {
                if let Piece::Data(bytes, _) = piece {
                    out.extend_from_slice(bytes);
                }
            });
        }
        assert_eq!(assembler.given_up, 1);
        assert_eq!(out.len(), 90);
    }

    proptest! {
        #[test]
        fn any_order_and_slicing_gives_the_stream(
            start in any::<u32>(),
            mut cuts in prop::collection::vec((0usize..300, 1usize..60), 1..60),
            seed in any::<u64>(),
        ) {
            let stream: Vec<u8> = (0..300u32).map(|value| value as u8).collect();
            // Every byte at least once, then in a shuffled order.
            cuts.extend((0..300).step_by(50).map(|at| (at, 50)));
            let mut order = seed;
            cuts.sort_by_cached_key(|cut| {
                order = order.wrapping_mul(6364136223846793005).wrapping_add(cut.0 as u64);
                order >> 33
            });
            let segments: Vec<(u32, &[u8])> =
                cuts.iter().map(|(at, length)| (*at as u32, &stream[*at..(at + length).min(300)])).collect();
            prop_assert_eq!(run(start, &segments), (stream.clone(), 0));
        }
    }
}
