//! What the peer acknowledges: round trips, deliveries, holes that only the capture has, and repeats that
//! were not needed.

use super::{AHEAD, Ahead, Sender, WILD};
use crate::dissect::PacketRef;
use crate::dissect::Seq;
use crate::flow::log::EventLog;
use crate::flow::{EventKind, LossPlace, SpuriousProof, UndeliveredSegment};
use crate::time::Span;

/// Round trips from which the shortest is known. A judgement.
const TRIPS: u64 = 8;

/// Nobody in use holds an ACK back for longer (RFC 8985 section 7.2, the worst case of a delayed ACK); RFC
/// 1122 section 4.2.3.2 allows half a second.
const HELD_BACK: Span = Span::millis(200);

impl Sender {
    /// An acknowledgement of this number can be of this stream.
    pub(in crate::flow) fn is_near(&self, ack: Seq) -> bool {
        self.next.is_none_or(|next| ack.distance(next) <= WILD)
    }

    /// The peer acknowledged up to `ack`, echoing timestamp `echo`.
    pub(in crate::flow) fn acknowledge(
        &mut self,
        ack: Seq,
        sacks: &[(Seq, Seq)],
        echo: Option<u32>,
        at: PacketRef,
        log: &mut EventLog,
    ) {
        let Some(next) = self.next else {
            self.next = Some(ack);
            self.acked = Some(ack);
            self.told = Some(at);
            return;
        };
        if !self.is_near(ack) {
            return;
        }
        let duplicate = match sacks {
            [(start, end), ..] if !end.after(ack) => Some((*start, *end)),
            [(start, end), (low, high), ..] if !start.before(*low) && !end.after(*high) => {
                Some((*start, *end))
            }
            _ => None,
        };
        if let Some((start, end)) = duplicate {
            self.duplicate_sack(start, end, at, log);
        }
        if ack.after(next) {
            if self.probe.is_some_and(|(seq, _)| seq == next) && ack == next.plus(1) {
                // The peer took the byte of a window probe.
                self.next = Some(ack);
                self.side.unique_bytes += 1;
            } else if self.sent && !self.occupied && (ack == next.plus(1) || self.acked.is_none()) {
                // This side sent only a keep-alive of no bytes (RFC 1122 section 4.2.3.6), one before its
                // number. Or it sent no byte since the capture began, and the peer says for the first time
                // what it got before.
                self.next = Some(ack);
            } else if self.ahead.back().is_none_or(|ahead| ack.after(ahead.ack)) {
                if self.ahead.len() == AHEAD {
                    self.ahead.pop_back();
                }
                self.ahead.push_back(Ahead { ack, at });
            }
        }
        if self.acked.is_none_or(|acked| ack.after(acked)) {
            self.advance(ack, echo, at, log);
        }
        let fresh = &sacks[usize::from(duplicate.is_some())..];
        let mut news = false;
        for &(start, end) in fresh {
            if end.since(start) > 0 && !start.before(ack) && !end.after(next) {
                news |= self.sacked.insert(start, end);
            }
        }
        if news {
            self.selective(at);
        }
    }

    /// Newly SACKed segments arrived: they are evidence that what is below them is lost (RFC 6675 IsLost).
    pub(super) fn selective(&mut self, at: PacketRef) {
        self.last_hint = Some(at);
        let mut delivered = Vec::new();
        let mut above = 0;
        for sent in &mut self.outstanding {
            if !sent.sacked && self.sacked.covers(sent.seq, sent.end) {
                sent.sacked = true;
                delivered.push((sent.ip_length, sent.length, sent.last(), sent.arrived_whole()));
            }
            above += u32::from(sent.sacked);
        }
        for (ip_length, length, last, whole) in delivered {
            self.deliver(ip_length, length, last, whole);
            self.outstanding.iter_mut().for_each(|sent| sent.other_delivered(ip_length, last));
        }
        let segment = u64::from(self.side.largest_payload.max(536));
        if above >= 3 || self.sacked.bytes() > 2 * segment {
            self.evidence.get_or_insert(at);
        }
    }

    /// A datagram of this size is known to have arrived.
    pub(super) fn deliver(&mut self, ip_length: u32, length: u32, at: PacketRef, whole: bool) {
        if length == 0 || !whole {
            return;
        }
        let sizes = &mut self.side.sizes;
        if ip_length > sizes.largest_delivered {
            sizes.largest_delivered = ip_length;
            sizes.largest_delivered_at = Some(at);
        }
        sizes.delivered += 1;
    }

    pub(super) fn advance(&mut self, ack: Seq, echo: Option<u32>, at: PacketRef, log: &mut EventLog) {
        if let Some(acked) = self.acked {
            self.side.acked_progress += u64::from(ack.since(acked).unsigned_abs());
        }
        let before = self.acked;
        (self.acked, self.acked_by) = (Some(ack), Some(at));
        let (mut sample, mut covered) = (None, 0);
        let (mut new, mut fin) = (0u32, false);
        while let Some(sent) = self.outstanding.pop_front_if(|sent| !sent.end.after(ack)) {
            if !sent.again && !sent.sacked {
                sample = Some(at.time - sent.first.time);
                covered += u64::from(sent.length);
                new += u32::from(sent.length > 0);
                fin = sent.length != sent.end.distance(sent.seq);
            } else if sent.again {
                sample = None;
            }
            if let Some((event, stamp)) = sent.resent() {
                let earlier =
                    echo.zip(stamp).is_some_and(|(echo, stamp)| (echo.wrapping_sub(stamp) as i32) < 0);
                if earlier && !sent.sacked {
                    self.prove_spurious(event, SpuriousProof::EarlierEcho, at, log);
                }
                if echo.is_none() && !sent.sacked {
                    if self.answers_earlier_copy(event, ack, at, log) {
                        self.prove_spurious(event, SpuriousProof::EarlyAck, at, log);
                    } else if self.answers_duplicate(event, before, at, log) {
                        self.prove_spurious(event, SpuriousProof::AtOnce, at, log);
                    }
                }
            }
            if !sent.sacked {
                self.deliver(sent.ip_length, sent.length, sent.last(), sent.arrived_whole());
                // A segment sent once was sent before all outstanding ones and says nothing about them.
                if sent.again && sent.arrived_whole() {
                    let (ip_length, last) = (sent.ip_length, sent.last());
                    self.outstanding.iter_mut().for_each(|other| other.other_delivered(ip_length, last));
                }
            }
            self.keep_undelivered(sent.into_undelivered(true, at.time));
        }
        if let Some(sample) = sample {
            self.rtt.sample(sample);
            self.rtt.covered(at, sample, covered);
            self.acked_pair |= new > 1;
            // Nobody holds the ACK of a FIN back.
            self.acked_single |= new == 1 && !fin;
        }
        self.miss_holes(ack, at, log);
        self.sacked.remove_before(ack);
        self.duplicate_acks = 0;
        match self.recovery {
            Some((_, until)) if ack.before(until) => {
                self.last_hint = Some(at);
                if self.evidence.is_some() {
                    self.evidence = Some(at);
                }
            }
            _ => {
                self.recovery = None;
                self.evidence = None;
                self.last_hint = None;
            }
        }
    }

    /// An ACK without a time stamp covers what was repeated, and no round trip is so short, or the repeat was
    /// larger than what it covers. What duplicate ACKs ask for was overtaken, and comes soon if it comes at
    /// all; after a loss queues drain, and round trips become shorter.
    fn answers_earlier_copy(&self, event: Option<usize>, ack: Seq, at: PacketRef, log: &EventLog) -> bool {
        let Some(event) = event.and_then(|index| log.get(index)) else { return false };
        let wire = event.length <= u32::from(self.side.mss.unwrap_or(0));
        let part = wire && ack.after(event.seq) && ack.before(event.seq.plus(event.length));
        let (trip, samples) = (self.rtt.min(), self.rtt.samples().1);
        let quarters = if event.kind == EventKind::FastRetransmission { 1 } else { 3 };
        let soon = trip.is_some_and(|trip| at.time - event.at.time < Span(trip.0 / 4 * quarters));
        event.loss == LossPlace::After && (part || soon && samples >= TRIPS)
    }

    /// The only segment on its way was sent again before its ACK was due, and the receiver answers the repeat
    /// far sooner than it answers what is new: in a quarter of the mean. Or it waits for a second segment
    /// with every ACK, and did not wait for one behind the repeat. One that reports duplicates would have
    /// reported this one.
    fn answers_duplicate(
        &self,
        event: Option<usize>,
        before: Option<Seq>,
        at: PacketRef,
        log: &EventLog,
    ) -> bool {
        let Some(event) = event.and_then(|index| log.get(index)) else { return false };
        let (sum, samples) = self.rtt.samples();
        let alone = before == Some(event.seq) && event.behind.is_none() && event.duplicate_acks == 0;
        let mean = sum.0 / i64::try_from(samples.max(1)).unwrap_or(i64::MAX);
        let took = (at.time - event.at.time).0;
        let waits = self.acked_pair && !self.acked_single;
        let at_once = samples >= 2 && took < mean / 4 || waits && took < event.delay.0 / 4;
        let reports = self.selective != Some(false);
        event.loss == LossPlace::After && alone && event.delay < HELD_BACK && at_once && !reports
    }

    /// The peer has what the capture lacks: the capture missed it, the network did not. What was sent before
    /// the capture began, it did not miss.
    pub(super) fn miss_holes(&mut self, ack: Seq, at: PacketRef, log: &mut EventLog) {
        while let Some(hole) = self.holes.pop_below(ack) {
            if hole.older {
                continue;
            }
            let length = hole.end.distance(hole.start);
            self.side.missed_bytes += u64::from(length);
            self.remember_missed(hole.start, hole.end);
            self.log_missing(log, at, EventKind::AckedUnseen, hole.start, length);
        }
    }

    pub(super) fn keep_undelivered(&mut self, undelivered: Option<UndeliveredSegment>) {
        let kept = &mut self.side.sizes.undelivered;
        if let Some(segment) = undelivered.filter(|_| kept.len() < UndeliveredSegment::MAX) {
            kept.push(segment);
        }
    }

    /// The peer repeated its ACK: it got something out of order.
    pub(in crate::flow) fn duplicate_ack(&mut self, at: PacketRef) {
        self.duplicate_acks += 1;
        self.last_hint = Some(at);
        if self.sacked.is_empty()
            && let Some(first) = self.outstanding.front_mut()
        {
            first.ask(at);
        }
        // RFC 5681 section 3.2.
        if self.duplicate_acks >= 3 {
            self.evidence.get_or_insert(at);
        }
    }

    /// The peer got `[start, end)` twice (RFC 2883).
    pub(super) fn duplicate_sack(&mut self, start: Seq, end: Seq, at: PacketRef, log: &mut EventLog) {
        if let Some(index) = log.reported_repeat(self.direction, start, end) {
            self.prove_spurious(Some(index), SpuriousProof::DuplicateSack, at, log);
        }
    }

    pub(super) fn prove_spurious(
        &mut self,
        event: Option<usize>,
        proof: SpuriousProof,
        at: PacketRef,
        log: &mut EventLog,
    ) {
        let Some(event) = event.and_then(|index| log.get_mut(index)) else { return };
        if event.spurious.is_some() || !event.kind.is_data_retransmission() {
            return;
        }
        let counts = &mut self.side.retransmissions;
        counts.spurious += 1;
        match event.loss {
            LossPlace::After => counts.lost_after = counts.lost_after.saturating_sub(1),
            LossPlace::Before => counts.lost_before = counts.lost_before.saturating_sub(1),
            LossPlace::Unknown => {}
        }
        event.spurious = Some(proof);
        event.proof = Some(at);
        event.loss = LossPlace::Unknown;
        event.stalled = Span::ZERO;
    }
}
