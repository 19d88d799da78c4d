//! One side's outgoing data: what it sent, what was acknowledged, and what each repeat was (FIELD C1 to C5).

use std::collections::VecDeque;

use crate::app::{Direction, Moment};
use crate::dissect::Seq;
use crate::flow::log::EventLog;
use crate::flow::ranges::Ranges;
use crate::flow::round_trip::RoundTrip;
use crate::flow::sent::{Segment, Sent};
use crate::flow::{EventKind, LossPlace, SpuriousProof, Stuck, TcpEvent, TcpSide};
use crate::time::{Span, Timestamp};

/// Segments remembered while unacknowledged. A one-way capture never sees ACKs; the oldest then fall out.
const OUTSTANDING: usize = 4096;

/// A sequence number further away than this is not of this stream.
const WILD: i32 = 1 << 30;

/// Linux `TCP_RTO_MIN`: the shortest retransmission time-out in use (RFC 6298 asks for 1 s, nobody waits that long).
const SHORTEST_TIMEOUT: Span = Span::millis(200);

/// Reordering is believed within this time, or a quarter of the round trip when that is longer (RFC 8985 section 6.2).
const REORDER_FLOOR: Span = Span::millis(3);

/// An ACK may be recorded at most this long before the data it covers (FIELD C0.5).
const DISORDER: Span = Span::millis(1);

/// What the analysis knows of the path when it judges a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    /// From the capture point to this side and back.
    pub(super) to_sender: Option<Span>,
    /// The whole round trip.
    pub(super) full: Option<Span>,
}

impl Timing {
    /// RFC 6298 with Linux's floor.
    fn timeout(&self, spread: Span) -> Span {
        let estimate = self.full.unwrap_or(Span::ZERO) + spread;
        estimate.max(SHORTEST_TIMEOUT)
    }
}

/// A range below the highest sequence number that was not captured.
#[derive(Clone, Copy, Debug)]
struct Hole {
    start: Seq,
    end: Seq,
    /// The segment that jumped over it.
    opened: Moment,
    stamp: Option<u32>,
    ip_id: u16,
}

/// An ACK that runs ahead of the captured data.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    ack: Seq,
    at: Moment,
}

/// What a segment turned out to be, for `history` and reassembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// In sequence, or beyond a gap.
    New,
    /// Filled a hole without being a repeat.
    Late,
    /// Sent again.
    Repeat,
    /// A keep-alive or window probe.
    Probe,
    /// Not of this stream.
    Wild,
}

/// The sending side of one direction.
#[derive(Debug)]
pub(super) struct Sender {
    direction: Direction,
    pub(super) side: TcpSide,
    /// Highest sequence number seen, plus one.
    next: Option<Seq>,
    /// Highest acknowledgement by the peer.
    acked: Option<Seq>,
    outstanding: VecDeque<Sent>,
    holes: Vec<Hole>,
    sacked: Ranges,
    ahead: Option<Ahead>,
    duplicate_acks: u32,
    /// The ACK that completed the evidence of a loss.
    evidence: Option<Moment>,
    /// The last ACK that carried selective or duplicate news.
    last_hint: Option<Moment>,
    /// A recovery under way: its cause and where it ends.
    recovery: Option<(EventKind, Seq)>,
    rtt: RoundTrip,
    path_mtu: Option<(Timestamp, u32)>,
    counting_ids: bool,
    last_id: Option<u16>,
    probe: Option<Seq>,
    pub(super) disorder: u32,
}

impl Sender {
    pub(super) fn new(direction: Direction) -> Self {
        Self {
            direction,
            side: TcpSide::default(),
            next: None,
            acked: None,
            outstanding: VecDeque::new(),
            holes: Vec::new(),
            sacked: Ranges::default(),
            ahead: None,
            duplicate_acks: 0,
            evidence: None,
            last_hint: None,
            recovery: None,
            rtt: RoundTrip::default(),
            path_mtu: None,
            counting_ids: false,
            last_id: None,
            probe: None,
            disorder: 0,
        }
    }

    pub(super) fn next(&self) -> Option<Seq> {
        self.next
    }

    pub(super) fn rtt(&self) -> &RoundTrip {
        &self.rtt
    }

    /// Something this side sent is not acknowledged.
    pub(super) fn has_outstanding(&self) -> bool {
        match (self.next, self.acked) {
            (Some(next), Some(acked)) => next.after(acked),
            (Some(_), None) => true,
            _ => false,
        }
    }

    /// The last byte sent was a probe or keep-alive that the peer is about to answer.
    pub(super) fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// An ICMP message told this side to send smaller datagrams.
    pub(super) fn path_mtu(&mut self, at: Moment, mtu: u32) {
        self.path_mtu = Some((at.time, mtu));
    }

    /// Takes a segment of this side. `window_closed`: the peer's last announcement was zero.
    pub(super) fn segment(
        &mut self,
        segment: &Segment,
        window_closed: bool,
        timing: Timing,
        log: &mut EventLog,
    ) -> Placed {
        let placed = self.place(segment, window_closed, timing, log);
        self.counting_ids |= segment.ip_id != 0 && self.last_id.is_some_and(|id| id != segment.ip_id);
        self.last_id = Some(segment.ip_id);
        if placed != Placed::Probe {
            self.probe = None;
        }
        placed
    }

    fn place(
        &mut self,
        segment: &Segment,
        window_closed: bool,
        timing: Timing,
        log: &mut EventLog,
    ) -> Placed {
        let end = segment.end();
        let Some(next) = self.next else {
            self.next = Some(end);
            self.acked.get_or_insert(segment.seq);
            if segment.occupies() {
                self.outstanding.push_back(Sent::new(segment));
            }
            return Placed::New;
        };
        let distance = segment.seq.since(next);
        if distance.abs() > WILD || (segment.rst && distance != 0) {
            return Placed::Wild;
        }
        let plain = !segment.syn && !segment.fin && !segment.rst;
        if plain
            && segment.length <= 1
            && distance == -1
            && self.acked.is_some_and(|acked| !acked.before(segment.seq))
        {
            // Linux probes a closed window with what looks like a keep-alive: the window decides.
            let kind = if window_closed { EventKind::WindowProbe } else { EventKind::KeepAlive };
            self.side.keep_alives += u64::from(!window_closed);
            self.probe = Some(segment.seq);
            self.log(log, segment, kind);
            return Placed::Probe;
        }
        if plain && segment.length == 1 && distance == 0 && window_closed {
            // The byte counts once the peer accepts it; until then the same number is sent again with more behind it.
            self.probe = Some(segment.seq);
            self.log(log, segment, EventKind::WindowProbe);
            return Placed::Probe;
        }
        self.settle_ahead(segment, next, log);
        let next = self.next.unwrap_or(next);
        let distance = segment.seq.since(next);
        if !segment.occupies() {
            if distance > 0 {
                self.open_hole(next, segment, log);
            }
            return Placed::New;
        }
        if distance >= 0 {
            if distance > 0 {
                self.open_hole(next, segment, log);
            }
            self.next = Some(end);
            self.remember(Sent::new(segment));
            return Placed::New;
        }
        if segment.length > 0 {
            self.count_repeat_bytes(segment, next);
        }
        let placed = if self.holes.iter().any(|hole| hole.start.before(end) && hole.end.after(segment.seq)) {
            self.fill(segment, timing, log)
        } else {
            self.repeat(segment, timing, log);
            Placed::Repeat
        };
        if end.after(next) {
            self.next = Some(end);
        }
        placed
    }

    /// Bytes of a late segment below `next` and outside of holes were sent before.
    fn count_repeat_bytes(&mut self, segment: &Segment, next: Seq) {
        let end = if segment.end().after(next) { next } else { segment.end() };
        let within = end.since(segment.seq).max(0) as u64;
        let missing: u64 = self
            .holes
            .iter()
            .map(|hole| {
                let low = hole.start.max(segment.seq);
                let high = if hole.end.before(end) { hole.end } else { end };
                high.since(low).max(0) as u64
            })
            .sum();
        self.side.repeated_bytes += within.saturating_sub(missing);
    }

    /// Decides about an ACK that ran ahead of the data, now that the next segment shows what it covered.
    fn settle_ahead(&mut self, segment: &Segment, next: Seq, log: &mut EventLog) {
        let Some(ahead) = self.ahead else { return };
        if segment.seq.before(ahead.ack) && segment.occupies() && segment.at.time - ahead.at.time <= DISORDER
        {
            // The recorder put the ACK before its data.
            self.disorder += 1;
            if !segment.end().before(ahead.ack) {
                self.ahead = None;
            }
            return;
        }
        self.ahead = None;
        self.miss(next, ahead, log);
    }

    /// The capture never saw what `ahead` acknowledges beyond `next`.
    fn miss(&mut self, next: Seq, ahead: Ahead, log: &mut EventLog) {
        let length = ahead.ack.since(next).max(0) as u32;
        if length == 0 {
            return;
        }
        self.side.missed_bytes += u64::from(length);
        self.push(log, ahead.at, EventKind::AckedUnseen, next, length);
        self.next = Some(ahead.ack);
    }

    fn open_hole(&mut self, next: Seq, segment: &Segment, log: &mut EventLog) {
        let length = segment.seq.since(next).max(0) as u32;
        self.push(log, segment.at, EventKind::Gap, next, length);
        if self.holes.len() < OUTSTANDING {
            self.holes.push(Hole {
                start: next,
                end: segment.seq,
                opened: segment.at,
                stamp: segment.stamp,
                ip_id: segment.ip_id,
            });
        }
        self.next = Some(segment.seq);
    }

    fn remember(&mut self, sent: Sent) {
        let at = self.outstanding.partition_point(|other| !other.seq.after(sent.seq));
        self.outstanding.insert(at, sent);
        if self.outstanding.len() > OUTSTANDING {
            self.outstanding.pop_front();
        }
    }

    /// A segment that fills a hole: overtaken on the way, or sent again after a loss before the capture point.
    fn fill(&mut self, segment: &Segment, timing: Timing, log: &mut EventLog) -> Placed {
        let end = segment.end();
        let Some(hole) =
            self.holes.iter().find(|hole| hole.start.before(end) && hole.end.after(segment.seq)).copied()
        else {
            return Placed::New;
        };
        let delay = segment.at.time - hole.opened.time;
        let kind = self.late_kind(segment, &hole, delay, timing);
        self.cut_holes(segment.seq, end);
        let mut sent = Sent::new(segment);
        let mut event = self.event(segment, kind);
        event.original = Some(hole.opened);
        event.delay = delay;
        if kind.is_data_retransmission() {
            event.loss = LossPlace::Before;
            event.stalled = delay;
            event.trigger = self.evidence.filter(|_| kind == EventKind::FastRetransmission);
            self.count(kind);
            self.side.retransmissions.lost_before += 1;
            sent.sends = 2;
            self.recover(kind);
        } else if kind == EventKind::Reordered {
            self.side.reordered += 1;
        } else {
            self.side.late_ambiguous += 1;
            sent.sends = 2;
        }
        let index = log.push(event);
        if sent.sends == 2 {
            sent.resent = Some((index, segment.stamp));
        }
        self.remember(sent);
        if kind.is_data_retransmission() { Placed::Repeat } else { Placed::Late }
    }

    /// The sender repairs everything up to here before it is back to normal (RFC 6582, RFC 6298 section 5).
    fn recover(&mut self, kind: EventKind) {
        let repairs = matches!(kind, EventKind::FastRetransmission | EventKind::TimeoutRetransmission);
        if repairs && self.recovery.is_none_or(|(cause, _)| cause != kind) {
            self.recovery = self.next.map(|next| (kind, next));
        }
    }

    fn late_kind(&self, segment: &Segment, hole: &Hole, delay: Span, timing: Timing) -> EventKind {
        let kind_of_repeat = || {
            let recovering =
                self.recovery.filter(|(_, until)| segment.seq.before(*until)).map(|(cause, _)| cause);
            if let Some(cause) = recovering {
                cause
            } else if self.evidence.is_some() {
                EventKind::FastRetransmission
            } else if delay >= timing.timeout(Span::ZERO) {
                EventKind::TimeoutRetransmission
            } else {
                EventKind::Retransmission
            }
        };
        // The sender's own order of sending, when it shows: its clock, or its datagram counter.
        let older = match (segment.stamp, hole.stamp) {
            (Some(late), Some(above)) if late != above => Some((late.wrapping_sub(above) as i32) < 0),
            _ if self.counting_ids
                && segment.ip_id != 0
                && hole.ip_id != 0
                && segment.ip_id != hole.ip_id =>
            {
                Some((segment.ip_id.wrapping_sub(hole.ip_id) as i16) < 0)
            }
            _ => None,
        };
        match older {
            Some(true) => return EventKind::Reordered,
            Some(false) => return kind_of_repeat(),
            None => {}
        }
        let window = Span(timing.full.map_or(0, |full| full.0 / 4)).max(REORDER_FLOOR);
        // The news of the hole must reach the sender and the repeat come back; a third is left for a changing path.
        let reaction = timing.to_sender.map(|rtt| Span(rtt.0 * 2 / 3));
        let hinted = self.last_hint.is_some_and(|hint| {
            hint.packet > hole.opened.packet && reaction.is_none_or(|rtt| segment.at.time - hint.time >= rtt)
        });
        if delay < window && !(hinted && self.evidence.is_some()) {
            EventKind::Reordered
        } else if hinted || delay >= timing.timeout(Span::ZERO) {
            kind_of_repeat()
        } else {
            EventKind::LateAmbiguous
        }
    }

    fn cut_holes(&mut self, start: Seq, end: Seq) {
        let mut left = Vec::with_capacity(self.holes.len() + 1);
        for hole in self.holes.drain(..) {
            if !hole.end.after(start) || !hole.start.before(end) {
                left.push(hole);
                continue;
            }
            if hole.start.before(start) {
                left.push(Hole { end: start, ..hole });
            }
            if hole.end.after(end) {
                left.push(Hole { start: end, ..hole });
            }
        }
        self.holes = left;
    }

    /// A segment whose bytes the capture has seen before.
    fn repeat(&mut self, segment: &Segment, timing: Timing, log: &mut EventLog) {
        let end = segment.end();
        let first = self.outstanding.partition_point(|sent| !sent.end.after(segment.seq));
        let original = self.outstanding.get(first).filter(|sent| sent.seq.before(end)).cloned();
        let acked = self.acked.is_some_and(|acked| !acked.before(end));
        let (kind, trigger) = if segment.syn {
            let answer = self.direction == Direction::ToClient;
            (if answer { EventKind::RetransmittedSynAck } else { EventKind::RetransmittedSyn }, None)
        } else if segment.length == 0 {
            (EventKind::RetransmittedFin, None)
        } else {
            self.cause(segment, original.as_ref(), timing)
        };
        let mut event = self.event(segment, kind);
        event.trigger = trigger;
        if let Some(original) = &original {
            event.original = Some(original.first);
            event.delay = segment.at.time - original.first.time;
        }
        if acked {
            event.spurious = Some(SpuriousProof::AlreadyAcked);
        } else if original.is_some() {
            event.loss = LossPlace::After;
            event.stalled = event.delay;
        }
        if let (Some((told, mtu)), Some(original)) = (self.path_mtu, &original) {
            event.path_mtu =
                original.ip_length > mtu && segment.ip_length <= mtu && original.first.time <= told;
        }
        self.count(kind);
        if kind.is_data_retransmission() {
            let counts = &mut self.side.retransmissions;
            counts.spurious += u64::from(acked);
            counts.path_mtu += u64::from(event.path_mtu);
            counts.lost_after += u64::from(!acked && original.is_some() && !event.path_mtu);
        }
        if let Some(original) = &original {
            let same_range = original.seq == segment.seq && original.length == segment.length;
            if same_range && original.hash != segment.hash && segment.length > 0 {
                self.side.conflicts += 1;
                let mut conflict = self.event(segment, EventKind::Conflict);
                conflict.original = Some(original.first);
                log.push(conflict);
            }
        }
        let index = log.push(event);
        if !acked {
            self.recover(kind);
        }
        for sent in self.outstanding.range_mut(first..) {
            if !sent.seq.before(end) {
                break;
            }
            sent.send_again(segment);
            sent.resent = Some((index, segment.stamp));
        }
        // What reaches beyond the known end is new.
        if let Some(next) = self.next.filter(|next| end.after(*next)) {
            let fresh =
                Segment { seq: next, length: end.since(next) as u32, syn: false, fin: false, ..*segment };
            let mut sent = Sent::new(&fresh);
            sent.end = end;
            self.remember(sent);
        }
    }

    /// Why the sender repeated a data segment, and the ACK that made it.
    fn cause(
        &self,
        segment: &Segment,
        original: Option<&Sent>,
        timing: Timing,
    ) -> (EventKind, Option<Moment>) {
        let timeout = timing.timeout(self.rtt.spread());
        let waited = original.map(|sent| segment.at.time - sent.last.time);
        let timed_out = waited.is_some_and(|waited| waited.0 >= timeout.0 - timeout.0 / 10);
        // The ACK must have had the time to reach the sender; half of it allows for a changing path.
        let reached =
            |hint: Moment| timing.to_sender.is_none_or(|rtt| (segment.at.time - hint.time).0 >= rtt.0 / 2);
        let prompt = |hint: Moment| match timing.to_sender {
            Some(rtt) => (segment.at.time - hint.time).0 <= rtt.0 * 3 / 2 + Span::millis(5).0,
            None => segment.at.time - hint.time < timeout,
        };
        if let Some((cause, until)) = self.recovery
            && cause == EventKind::TimeoutRetransmission
            && segment.seq.before(until)
        {
            return (EventKind::TimeoutRetransmission, None);
        }
        if let Some(evidence) = self.evidence.filter(|evidence| reached(*evidence))
            && (!timed_out || self.last_hint.is_some_and(prompt) || prompt(evidence))
        {
            return (EventKind::FastRetransmission, Some(evidence));
        }
        if timed_out {
            return (EventKind::TimeoutRetransmission, None);
        }
        // RFC 8985: one SACK for something sent later is enough once the segment is a round trip old.
        if let Some(hint) = self.last_hint.filter(|_| !self.sacked.is_empty()) {
            let later = self.sacked.bytes_after(segment.end()) > 0;
            if later && reached(hint) && prompt(hint) {
                return (EventKind::FastRetransmission, Some(hint));
            }
        }
        let tail = self.next == Some(segment.end());
        let once = original.is_some_and(|sent| sent.sends == 1);
        let long_enough = timing
            .full
            .zip(waited)
            .is_some_and(|(rtt, waited)| waited.0 >= rtt.0 * 3 / 2 && waited > Span::millis(2));
        if tail && once && long_enough {
            return (EventKind::TailLossProbe, None);
        }
        (EventKind::Retransmission, None)
    }

    /// The peer acknowledged up to `ack`, echoing timestamp `echo`.
    pub(super) fn acknowledge(
        &mut self,
        ack: Seq,
        sacks: &[(Seq, Seq)],
        echo: Option<u32>,
        at: Moment,
        log: &mut EventLog,
    ) {
        let Some(next) = self.next else {
            self.next = Some(ack);
            self.acked = Some(ack);
            return;
        };
        if ack.since(next).abs() > WILD {
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
            self.duplicate_sack(start, end, log);
        }
        if ack.after(next) {
            if self.probe == Some(next) && ack == next.plus(1) {
                // The peer took the byte of a window probe.
                self.next = Some(ack);
                self.side.unique_bytes += 1;
            } else if self.ahead.is_none_or(|ahead| ack.after(ahead.ack)) {
                let since = self.ahead.map_or(at, |ahead| ahead.at);
                self.ahead = Some(Ahead { ack, at: since });
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
    fn selective(&mut self, at: Moment) {
        self.last_hint = Some(at);
        let mut delivered = Vec::new();
        let mut above = 0;
        for sent in &mut self.outstanding {
            if !sent.sacked && self.sacked.covers(sent.seq, sent.end) {
                sent.sacked = true;
                delivered.push((sent.ip_length, sent.length, sent.last, sent.arrived_whole()));
            }
            above += u32::from(sent.sacked);
        }
        for (ip_length, length, last, whole) in delivered {
            self.deliver(ip_length, length, last, whole);
        }
        let segment = u64::from(self.side.largest_payload.max(536));
        if above >= 3 || self.sacked.bytes() > 2 * segment {
            self.evidence.get_or_insert(at);
        }
    }

    /// A datagram of this size is known to have arrived.
    fn deliver(&mut self, ip_length: u32, length: u32, at: Moment, whole: bool) {
        if length == 0 || !whole {
            return;
        }
        let sizes = &mut self.side.sizes;
        if ip_length > sizes.largest_delivered {
            sizes.largest_delivered = ip_length;
            sizes.largest_delivered_at = Some(at);
        }
        for sent in &mut self.outstanding {
            sent.other_delivered(ip_length, at);
        }
    }

    fn advance(&mut self, ack: Seq, echo: Option<u32>, at: Moment, log: &mut EventLog) {
        if let Some(acked) = self.acked {
            self.side.acked_progress += u64::from(ack.since(acked).unsigned_abs());
        }
        self.acked = Some(ack);
        let mut sample = None;
        while let Some(sent) = self.outstanding.pop_front_if(|sent| !sent.end.after(ack)) {
            if sent.sends == 1 && !sent.sacked {
                sample = Some(at.time - sent.first.time);
            } else if sent.sends > 1 {
                sample = None;
            }
            if let Some((event, stamp)) = sent.resent {
                let earlier =
                    echo.zip(stamp).is_some_and(|(echo, stamp)| (echo.wrapping_sub(stamp) as i32) < 0);
                if earlier && !sent.sacked {
                    self.prove_spurious(event, SpuriousProof::EarlierEcho, log);
                }
            }
            if !sent.sacked {
                self.deliver(sent.ip_length, sent.length, sent.last, sent.arrived_whole());
            }
            self.keep_stuck(sent.into_stuck(true, at.time));
        }
        if let Some(sample) = sample {
            self.rtt.sample(sample);
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

    /// The peer has what the capture lacks: the capture missed it, the network did not.
    fn miss_holes(&mut self, ack: Seq, at: Moment, log: &mut EventLog) {
        while let Some(hole) = self.holes.first().copied().filter(|hole| hole.start.before(ack)) {
            let end = if hole.end.after(ack) { ack } else { hole.end };
            let length = end.since(hole.start).unsigned_abs();
            self.side.missed_bytes += u64::from(length);
            self.push(log, at, EventKind::AckedUnseen, hole.start, length);
            if hole.end.after(ack) {
                self.holes[0].start = ack;
            } else {
                self.holes.remove(0);
            }
        }
    }

    fn keep_stuck(&mut self, stuck: Option<Stuck>) {
        if let Some(stuck) = stuck.filter(|_| self.side.sizes.stuck.len() < Stuck::MAX) {
            self.side.sizes.stuck.push(stuck);
        }
    }

    /// The peer repeated its ACK: it got something out of order.
    pub(super) fn duplicate_ack(&mut self, at: Moment) {
        self.duplicate_acks += 1;
        self.last_hint = Some(at);
        // RFC 5681 section 3.2.
        if self.duplicate_acks >= 3 {
            self.evidence.get_or_insert(at);
        }
    }

    /// The peer got `[start, end)` twice (RFC 2883).
    fn duplicate_sack(&mut self, start: Seq, end: Seq, log: &mut EventLog) {
        if let Some(index) = log.last_repeat(self.direction, start, end) {
            self.prove_spurious(Some(index), SpuriousProof::DuplicateSack, log);
        }
    }

    fn prove_spurious(&mut self, event: Option<usize>, proof: SpuriousProof, log: &mut EventLog) {
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
        event.loss = LossPlace::Unknown;
        event.stalled = Span::ZERO;
    }

    fn count(&mut self, kind: EventKind) {
        let counts = &mut self.side.retransmissions;
        match kind {
            EventKind::FastRetransmission => counts.fast += 1,
            EventKind::TimeoutRetransmission => counts.timeout += 1,
            EventKind::TailLossProbe => counts.tail_loss_probe += 1,
            EventKind::Retransmission => counts.unclassified += 1,
            EventKind::RetransmittedSyn | EventKind::RetransmittedSynAck => counts.syn += 1,
            EventKind::RetransmittedFin => counts.fin += 1,
            _ => {}
        }
    }

    /// An event about `segment` with nothing known but the segment itself.
    pub(super) fn event(&self, segment: &Segment, kind: EventKind) -> TcpEvent {
        TcpEvent {
            at: segment.at,
            direction: self.direction,
            kind,
            seq: segment.seq,
            length: segment.length,
            ip_length: segment.ip_length,
            dont_fragment: segment.dont_fragment,
            original: None,
            trigger: None,
            delay: Span::ZERO,
            stalled: Span::ZERO,
            loss: LossPlace::Unknown,
            spurious: None,
            path_mtu: false,
        }
    }

    pub(super) fn log(&self, log: &mut EventLog, segment: &Segment, kind: EventKind) {
        log.push(self.event(segment, kind));
    }

    fn push(&self, log: &mut EventLog, at: Moment, kind: EventKind, seq: Seq, length: u32) {
        log.push(TcpEvent {
            at,
            direction: self.direction,
            kind,
            seq,
            length,
            ip_length: 0,
            dont_fragment: false,
            original: None,
            trigger: None,
            delay: Span::ZERO,
            stalled: Span::ZERO,
            loss: LossPlace::Unknown,
            spurious: None,
            path_mtu: false,
        });
    }

    /// The flow is over: what is still open stays so.
    pub(super) fn finish(&mut self, last: Timestamp, log: &mut EventLog) {
        if let (Some(ahead), Some(next)) = (self.ahead.take(), self.next) {
            self.miss(next, ahead, log);
        }
        for sent in std::mem::take(&mut self.outstanding) {
            if !sent.sacked {
                let stuck = sent.into_stuck(false, last);
                self.keep_stuck(stuck);
            }
        }
        self.side.hole_bytes =
            self.holes.iter().map(|hole| u64::from(hole.end.since(hole.start).unsigned_abs())).sum();
        self.side.min_rtt = self.rtt.min();
        self.side.rtt_samples = self.rtt.samples();
    }
}
