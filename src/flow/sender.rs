//! One side's outgoing data: what it sent, what was acknowledged, and what each repeat was.

mod acked;
mod late;
mod lengths;

use std::collections::VecDeque;

use crate::dissect::Seq;
use crate::dissect::{Direction, PacketRef};
use crate::flow::holes::{Hole, Holes};
use crate::flow::log::EventLog;
use crate::flow::ranges::Ranges;
use crate::flow::round_trip::RoundTrip;
use crate::flow::sent::{Segment, Sent};
use crate::flow::{EventKind, LossPlace, SpuriousProof, TcpEvent, TcpSide, Unanswered};
use crate::time::{Span, Timestamp};

/// Segments remembered while unacknowledged. A one-way capture never sees ACKs; the oldest then fall out.
const OUTSTANDING: usize = 4096;

/// A sequence number further away than this is not of this stream: a quarter of the largest window (RFC
/// 7323), more than any connection has in flight.
const WILD: u32 = 1 << 28;

/// Linux `TCP_RTO_MIN`: the shortest retransmission time-out in use. RFC 6298 section 2.4 asks for 1 s.
const SHORTEST_TIMEOUT: Span = Span::millis(200);

/// ACKs that run ahead kept apart; far more than come within that time.
const AHEAD: usize = 64;

/// An ACK may be recorded at most this long before the data it covers. A judgement: queues of one host that
/// are written in turn are closer, and the timers that rules rest on are far longer.
const DISORDER: Span = Span::millis(1);

/// What the analysis knows of the path when it judges a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    /// From the capture point to this side and back.
    pub(super) to_sender: Option<Span>,
    /// The whole round trip.
    pub(super) full: Option<Span>,
    /// No SYN was captured that does not permit SACK.
    pub(super) selective: bool,
}

impl Timing {
    /// RFC 6298 with Linux's floor.
    fn timeout(&self, spread: Span) -> Span {
        let estimate = self.full.unwrap_or(Span::ZERO) + spread;
        estimate.max(SHORTEST_TIMEOUT)
    }
}

/// The first segment of a side, and the lowest number captured, which may be of a later one.
#[derive(Clone, Copy, Debug)]
struct Start {
    seq: Seq,
    syn: bool,
    ip_id: u16,
    stamp: Option<u32>,
    at: PacketRef,
}

impl Start {
    fn of(segment: &Segment) -> Self {
        let Segment { at, seq, syn, ip_id, stamp, .. } = *segment;
        Self { seq, syn, ip_id, stamp, at }
    }
}

/// An ACK that runs ahead of the captured data.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    ack: Seq,
    at: PacketRef,
}

/// An ICMP message that called a datagram of this side too big.
#[derive(Clone, Copy, Debug)]
struct TooBig {
    at: PacketRef,
    mtu: u32,
    /// The sequence number that it quotes.
    seq: Option<Seq>,
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
    OutOfWindow,
}

/// The sending side of one direction.
#[derive(Debug)]
pub(super) struct Sender {
    direction: Direction,
    pub(super) side: TcpSide,
    /// What was captured first: what was sent before is below.
    start: Option<Start>,
    /// Highest sequence number seen, plus one.
    next: Option<Seq>,
    /// Where the last segment ends, when its header and its record say different things.
    ends: Option<lengths::Ends>,
    /// Highest acknowledgement by the peer.
    acked: Option<Seq>,
    /// The ACK that said so.
    acked_by: Option<PacketRef>,
    outstanding: VecDeque<Sent>,
    holes: Holes,
    /// Changes of the holes that found no room.
    pub(super) crowded: u64,
    sacked: Ranges,
    ahead: VecDeque<Ahead>,
    /// The ACK that told of this side before it sent anything.
    told: Option<PacketRef>,
    duplicate_acks: u32,
    /// The ACK that completed the evidence of a loss.
    evidence: Option<PacketRef>,
    /// The last ACK that carried selective or duplicate news.
    last_hint: Option<PacketRef>,
    /// A recovery under way: its cause and where it ends.
    recovery: Option<(EventKind, Seq)>,
    /// Acknowledged ranges that were not captured, up to a cap.
    missed: Ranges,
    /// The end of the last segment sent again after a time-out.
    resent_to: Option<Seq>,
    rtt: RoundTrip,
    /// The peer acknowledged two new segments or more at once, and one alone: see RFC 1122 section 4.2.3.2.
    acked_pair: bool,
    acked_single: bool,
    path_mtu: Option<TooBig>,
    counting_ids: bool,
    last_id: Option<u16>,
    /// The probe that the peer is about to answer: its number and its packet.
    probe: Option<(Seq, PacketRef)>,
    /// Its SYN offered selective acknowledgements; `None` where that was not captured.
    pub(super) selective: Option<bool>,
    /// A segment of this side was captured; one that took sequence numbers.
    sent: bool,
    occupied: bool,
    /// The segment with the highest number.
    front: Option<PacketRef>,
    pub(super) disorder: u32,
}

impl Sender {
    /// Bytes of memory that the segments on their way and the holes between them take.
    pub(super) fn held(&self) -> usize {
        let segments = self.outstanding.capacity() * size_of::<Sent>();
        segments + self.rtt.held() + self.holes.held() + self.sacked.held() + self.missed.held()
    }

    pub(super) fn new(direction: Direction) -> Self {
        Self {
            direction,
            side: TcpSide::default(),
            start: None,
            next: None,
            acked: None,
            acked_by: None,
            outstanding: VecDeque::new(),
            holes: Holes::default(),
            crowded: 0,
            sacked: Ranges::default(),
            ahead: VecDeque::new(),
            told: None,
            duplicate_acks: 0,
            evidence: None,
            last_hint: None,
            recovery: None,
            missed: Ranges::default(),
            resent_to: None,
            rtt: RoundTrip::default(),
            acked_pair: false,
            acked_single: false,
            path_mtu: None,
            counting_ids: false,
            last_id: None,
            probe: None,
            selective: None,
            sent: false,
            ends: None,
            occupied: false,
            front: None,
            disorder: 0,
        }
    }

    pub(super) fn next(&self) -> Option<Seq> {
        self.next
    }

    /// The lowest number captured, and the time stamp beside it.
    pub(super) fn beginning(&self) -> Option<(Seq, Option<u32>)> {
        self.start.map(|start| (start.seq, start.stamp))
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
    pub(super) fn probe(&self) -> Option<PacketRef> {
        self.probe.map(|(_, at)| at)
    }

    /// A segment of this side was captured.
    pub(super) fn is_seen(&self) -> bool {
        self.sent
    }

    /// An ICMP message told this side to send smaller datagrams.
    pub(super) fn path_mtu(&mut self, at: PacketRef, mtu: u32, seq: Option<Seq>) {
        self.path_mtu = Some(TooBig { at, mtu, seq });
    }

    /// An ICMP message did: what it repeats, it repeats in pieces.
    pub(super) fn was_told_mtu(&self) -> bool {
        self.path_mtu.is_some()
    }

    /// Takes a segment of this side. `window_closed`: the peer's last announcement was zero.
    pub(super) fn segment(
        &mut self,
        segment: &Segment,
        window_closed: bool,
        timing: Timing,
        log: &mut EventLog,
    ) -> Placed {
        let before = self.next;
        let placed = self.place(segment, window_closed, timing, log);
        self.sent = true;
        self.occupied |= segment.occupies() && placed != Placed::OutOfWindow;
        if self.next != before {
            self.holes.follow(segment.seq);
            self.front = Some(segment.at);
        }
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
        self.decide_length(segment);
        let end = segment.end();
        // What was sent and not acknowledged when the capture began is not missing from it.
        let begins = |next: &Seq| self.sent || !segment.seq.after(*next);
        let Some(next) = self.next.filter(begins) else {
            self.next = Some(end);
            self.ahead.clear();
            self.start = Some(Start::of(segment));
            if segment.occupies() {
                self.outstanding.push_back(Sent::new(segment));
            }
            self.doubt_length(segment);
            return Placed::New;
        };
        if let Some(told) = self.told.filter(|_| !self.sent && segment.syn && end == next) {
            let waited = segment.at.time - told.time;
            if waited <= DISORDER {
                self.precede(segment, told, log);
                self.start = Some(Start::of(segment));
                return Placed::New;
            }
        }
        let distance = segment.seq.since(next);
        if distance.unsigned_abs() > WILD || (segment.rst && distance != 0) {
            if !segment.rst {
                self.log(log, segment, EventKind::OutOfWindow);
            }
            return Placed::OutOfWindow;
        }
        let plain = !segment.syn && !segment.fin && !segment.rst;
        let acked = self.acked.is_some_and(|acked| !acked.before(segment.seq));
        if plain && segment.length <= 1 && distance == -1 && (acked || self.only_probes(segment)) {
            // Linux probes a closed window with what looks like a keep-alive: the window decides.
            let kind = if window_closed { EventKind::WindowProbe } else { EventKind::KeepAlive };
            self.side.keep_alives += u64::from(!window_closed);
            self.probe = Some((segment.seq, segment.at));
            self.log(log, segment, kind);
            return Placed::Probe;
        }
        if plain && segment.length == 1 && distance == 0 && window_closed {
            // The byte counts once the peer accepts it; until then the same number is sent again, with more
            // behind.
            self.probe = Some((segment.seq, segment.at));
            self.log(log, segment, EventKind::WindowProbe);
            return Placed::Probe;
        }
        self.resolve_ahead(segment, next, log);
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
            self.doubt_length(segment);
            return Placed::New;
        }
        self.reach_back(segment);
        if self.was_put_behind(segment, log) || self.is_only_copy(segment, log) {
            return Placed::Late;
        }
        if segment.length > 0 {
            self.count_repeat_bytes(segment, next);
        }
        let placed = match self.holes.first_in(segment.seq, end) {
            Some(hole) => self.fill(segment, hole, timing, log),
            None => {
                self.repeat(segment, timing, log);
                Placed::Repeat
            }
        };
        if end.after(next) {
            self.next = Some(end);
        }
        placed
    }

    /// All that was captured of this side is one byte, and nothing of the peer. The end of what an
    /// application sends is pushed (RFC 9293 section 3.9.1.2): without PSH it is the byte of a keep-alive.
    fn only_probes(&self, segment: &Segment) -> bool {
        let first = self.start.is_some_and(|start| start.seq == segment.seq && !start.syn);
        first && self.acked.is_none() && segment.length == 1 && !segment.push
    }

    /// A segment below the first captured one is no repeat. It fills a hole that the beginning of the capture
    /// left, unless its acknowledgement number shows that it is old.
    fn reach_back(&mut self, segment: &Segment) {
        let Some(first) = self.start.filter(|first| segment.seq.before(first.seq)) else { return };
        self.start = Some(Start { seq: segment.seq, ..first });
        let open = self.acked.is_none_or(|acked| acked.before(first.seq)) && !first.syn;
        if open {
            let filled = self.holes.open(Hole {
                start: segment.seq,
                end: first.seq,
                opened: first.at,
                stamp: first.stamp,
                ip_id: first.ip_id,
                older: true,
            });
            self.crowded += u64::from(!filled);
        }
    }

    /// Bytes that were acknowledged and not captured. What is far behind is forgotten: sequence numbers come
    /// again.
    fn remember_missed(&mut self, start: Seq, end: Seq) {
        self.missed.remove_before(end.plus(0u32.wrapping_sub(WILD)));
        self.missed.insert(start, end);
    }

    /// The recorder put a segment behind the ACK that covers it, by their times: the capture misses nothing.
    fn was_put_behind(&mut self, segment: &Segment, log: &mut EventLog) -> bool {
        let (start, end) = segment.payload();
        let ack = self.acked_by.filter(|ack| segment.at.time < ack.time);
        let Some(ack) = ack.filter(|_| segment.length > 0 && self.missed.covers(start, end)) else {
            return false;
        };
        self.missed.remove(start, end);
        self.side.missed_bytes = self.side.missed_bytes.saturating_sub(u64::from(segment.length));
        self.precede(segment, ack, log);
        true
    }

    /// An ACK covered these bytes before, and the capture holds no other copy of them: recorded late, or sent
    /// again after a first copy that the capture missed. Nothing tells which, and nothing is missing.
    fn is_only_copy(&mut self, segment: &Segment, log: &mut EventLog) -> bool {
        let (start, end) = segment.payload();
        let acked = self.acked.is_some_and(|acked| !acked.before(segment.end()));
        if segment.length == 0 || segment.syn || !acked || !self.missed.covers(start, end) {
            return false;
        }
        self.missed.remove(start, end);
        self.side.missed_bytes = self.side.missed_bytes.saturating_sub(u64::from(segment.length));
        self.side.late_ambiguous += 1;
        let mut event = self.event(segment, EventKind::LateAmbiguous);
        (event.spurious, event.proof) = (Some(SpuriousProof::AlreadyAcked), self.acked_by);
        log.push(event);
        true
    }

    /// Bytes of a late segment below `next` and outside of holes were sent before.
    fn count_repeat_bytes(&mut self, segment: &Segment, next: Seq) {
        let (start, end) = segment.payload();
        let end = if end.after(next) { next } else { end };
        let within = end.since(start).max(0) as u64;
        self.side.repeated_bytes += within.saturating_sub(self.holes.bytes_in(start, end));
    }

    /// Decides about an ACK that ran ahead of the data, now that the next segment shows what it covered.
    fn resolve_ahead(&mut self, segment: &Segment, next: Seq, log: &mut EventLog) {
        let Some((first, last)) = self.ahead.front().zip(self.ahead.back()) else { return };
        let waited = segment.at.time - first.at.time;
        if segment.seq.before(last.ack) && waited <= DISORDER {
            // The recorder put the ACK before its data.
            if segment.occupies() {
                let told = first.at;
                self.precede(segment, told, log);
            }
            while self.ahead.pop_front_if(|ahead| !segment.end().before(ahead.ack)).is_some() {}
            return;
        }
        // A run of them is one report, by the first.
        let ahead = Ahead { at: first.at, ..*last };
        self.ahead.clear();
        self.miss(next, ahead, log);
        let missing = segment.seq.since(next).min(ahead.ack.since(next));
        if self.sent && missing > 0 && !segment.rst {
            // The ACK told first; the segment behind the missing bytes tells the same.
            self.log_missing(log, segment.at, EventKind::Gap, next, missing.unsigned_abs());
        }
    }

    /// The segment was recorded behind the ACK that covers it.
    fn precede(&mut self, segment: &Segment, ack: PacketRef, log: &mut EventLog) {
        self.disorder += 1;
        let mut event = self.event(segment, EventKind::CaptureReordered);
        (event.trigger, event.delay) = (Some(ack), segment.at.time - ack.time);
        log.push(event);
    }

    /// The capture never saw what `ahead` acknowledges beyond `next`.
    fn miss(&mut self, next: Seq, ahead: Ahead, log: &mut EventLog) {
        let length = ahead.ack.since(next).max(0) as u32;
        if length == 0 {
            return;
        }
        self.side.missed_bytes += u64::from(length);
        self.remember_missed(next, ahead.ack);
        // Of a direction that was never captured nothing is missing in particular.
        if self.sent {
            self.log_missing(log, ahead.at, EventKind::AckedUnseen, next, length);
        }
        self.next = Some(ahead.ack);
    }

    fn open_hole(&mut self, next: Seq, segment: &Segment, log: &mut EventLog) {
        let length = segment.seq.since(next).max(0) as u32;
        self.log_missing(log, segment.at, EventKind::Gap, next, length);
        let opened = length == 0
            || self.holes.open(Hole {
                start: next,
                end: segment.seq,
                opened: segment.at,
                stamp: segment.stamp,
                ip_id: segment.ip_id,
                older: false,
            });
        self.crowded += u64::from(!opened);
        self.next = Some(segment.seq);
    }

    fn remember(&mut self, sent: Sent) {
        let at = self.outstanding.partition_point(|other| !other.seq.after(sent.seq));
        self.outstanding.insert(at, sent);
        if self.outstanding.len() > OUTSTANDING {
            self.outstanding.pop_front();
        }
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
            occupies: segment.occupies(),
            ip_length: segment.ip_length,
            dont_fragment: segment.dont_fragment,
            original: None,
            trigger: None,
            window_changed: false,
            duplicate_acks: if self.acked == Some(segment.seq) { self.duplicate_acks } else { 0 },
            hint: self.last_hint,
            behind: self
                .front
                .filter(|_| self.next != Some(segment.end()))
                .map(|front| segment.at.time - front.time),
            proof: None,
            delay: Span::ZERO,
            stalled: Span::ZERO,
            loss: LossPlace::Unknown,
            spurious: None,
            path_mtu: false,
            alert: segment.alert,
        }
    }

    pub(super) fn log(&self, log: &mut EventLog, segment: &Segment, kind: EventKind) {
        log.push(self.event(segment, kind));
    }

    /// Bytes of this side that are missing, as the packet `at` shows.
    fn log_missing(&self, log: &mut EventLog, at: PacketRef, kind: EventKind, seq: Seq, length: u32) {
        let missing = Segment { at, seq, length, ..Segment::default() };
        self.log(log, &missing, kind);
    }

    /// The oldest segment that was sent several times and not acknowledged.
    pub(super) fn unanswered(&self) -> Option<Unanswered> {
        let oldest = self.outstanding.front().filter(|sent| !sent.sacked)?;
        let (first, last, tries) = (oldest.first, oldest.last(), oldest.tries());
        let bytes = self.next.zip(self.acked).map_or(0, |(next, acked)| next.since(acked).max(0) as u32);
        let later_arrived = self.outstanding.iter().any(|sent| sent.sacked);
        let ip_length = oldest.ip_length;
        (tries > 1).then_some(Unanswered { first, last, tries, bytes, ip_length, later_arrived })
    }

    /// The oldest segment on its way, when it has payload and was sent once.
    pub(super) fn on_its_way(&self) -> Option<PacketRef> {
        self.outstanding.front().filter(|sent| !sent.again && sent.length > 0).map(|sent| sent.first)
    }

    /// The flow is over: what is still open stays so.
    pub(super) fn finish(&mut self, last: Timestamp, log: &mut EventLog) {
        if let (Some(first), Some(last), Some(next)) = (self.ahead.front(), self.ahead.back(), self.next) {
            let ahead = Ahead { at: first.at, ..*last };
            self.ahead.clear();
            self.miss(next, ahead, log);
        }
        let outstanding = std::mem::take(&mut self.outstanding);
        let lengths: Vec<u32> = outstanding.iter().map(|sent| sent.ip_length).collect();
        for (mut sent, behind) in outstanding.into_iter().zip(1..) {
            if !sent.sacked {
                let size = sent.ip_length;
                sent.deduce_smaller(|| lengths[behind..].iter().filter(|length| **length < size).count());
                let undelivered = sent.into_undelivered(false, last);
                self.keep_undelivered(undelivered);
            }
        }
        let ahead = |(next, acked): (Seq, Seq)| next.since(acked).max(0) as u32;
        self.side.in_flight = self.next.zip(self.acked).map_or(0, ahead);
        self.side.hole_bytes = self.holes.bytes();
        self.side.min_rtt = self.rtt.min();
        self.side.rtt_samples = self.rtt.samples();
        self.side.trips = self.rtt.take_trips();
    }
}
