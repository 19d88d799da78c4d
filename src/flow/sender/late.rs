//! Segments below the highest sequence number: reordered, or sent again, and why (RFC 5681, 6298, 6675,
//! 8985).

use super::{Placed, Sender, Timing};
use crate::dissect::{Direction, PacketRef};
use crate::flow::holes::Hole;
use crate::flow::log::EventLog;
use crate::flow::sent::{Segment, Sent};
use crate::flow::{EventKind, LossPlace, SpuriousProof};
use crate::time::Span;

/// Reordering is believed within this time, or a quarter of the round trip when that is longer. The quarter
/// is RACK's reordering window (RFC 8985 section 6.2); Wireshark uses 3 ms without a round trip.
const REORDER_FLOOR: Span = Span::millis(3);

impl Sender {
    /// A segment that fills a hole: it was overtaken, or sent again after a loss before the capture point.
    pub(super) fn fill(
        &mut self,
        segment: &Segment,
        hole: Hole,
        timing: Timing,
        log: &mut EventLog,
    ) -> Placed {
        let delay = segment.at.time - hole.opened.time;
        let kind = match self.late_kind(segment, &hole, delay, timing) {
            // A FIN alone repeats no data.
            kind if kind.is_data_retransmission() && segment.length == 0 => EventKind::RetransmittedFin,
            kind => kind,
        };
        self.crowded += u64::from(!self.holes.cut(segment.seq, segment.end()));
        let mut sent = Sent::new(segment);
        let mut event = self.event(segment, kind);
        event.original = Some(hole.opened);
        event.delay = delay;
        if kind == EventKind::RetransmittedFin {
            event.loss = LossPlace::Before;
            self.count(kind);
            sent.again = true;
        } else if kind.is_data_retransmission() {
            event.loss = LossPlace::Before;
            event.stalled = delay;
            event.trigger = self.evidence.filter(|_| kind == EventKind::FastRetransmission);
            self.count(kind);
            self.count_time_out(segment, kind);
            self.side.retransmissions.lost_before += 1;
            sent.again = true;
            self.recover(kind);
        } else if kind == EventKind::Reordered {
            self.side.reordered += 1;
        } else {
            self.side.late_ambiguous += 1;
            sent.again = true;
        }
        let index = log.push(event);
        if sent.again {
            sent.resent_by(index, segment.stamp);
        }
        self.remember(sent);
        let again = kind.is_data_retransmission() || kind == EventKind::RetransmittedFin;
        if again { Placed::Repeat } else { Placed::Late }
    }

    /// The sender repairs everything up to here before it is back to normal (RFC 6582, RFC 6298 section 5).
    pub(super) fn recover(&mut self, kind: EventKind) {
        let repairs = matches!(kind, EventKind::FastRetransmission | EventKind::TimeoutRetransmission);
        if repairs && self.recovery.is_none_or(|(cause, _)| cause != kind) {
            self.recovery = self.next.map(|next| (kind, next));
        }
    }

    /// One expiry of the timer makes a sender without SACK send everything again that is outstanding, upwards
    /// (go-back-N): only a segment at or below the last one repeated so is another expiry.
    fn count_time_out(&mut self, segment: &Segment, kind: EventKind) {
        if kind != EventKind::TimeoutRetransmission {
            return;
        }
        let under_way =
            self.recovery.is_some_and(|(cause, until)| cause == kind && segment.seq.before(until));
        let upwards = self.resent_to.is_some_and(|to| !segment.seq.before(to));
        self.side.retransmissions.time_outs += u64::from(!(under_way && upwards));
        self.resent_to = Some(segment.end());
    }

    pub(super) fn late_kind(&self, segment: &Segment, hole: &Hole, delay: Span, timing: Timing) -> EventKind {
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
        // The ACKs must reach the sender and the repeat come back; a third is left for a changing path.
        let reaction = timing.to_sender.map(|rtt| rtt.scaled(2, 3));
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

    /// A segment whose bytes the capture has seen before.
    pub(super) fn repeat(&mut self, segment: &Segment, timing: Timing, log: &mut EventLog) {
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
            (event.spurious, event.proof) = (Some(SpuriousProof::AlreadyAcked), self.acked_by);
        } else if original.is_some() {
            event.loss = LossPlace::After;
            event.stalled = event.delay;
        }
        if let (Some(too_big), Some(original)) = (self.path_mtu, &original) {
            let smaller = original.ip_length > too_big.mtu && segment.ip_length <= too_big.mtu;
            // The router dropped the very segment that it quotes. Some name an MTU that would have held it.
            let dropped =
                too_big.seq == Some(original.seq) && too_big.mtu >= original.ip_length && !original.again;
            event.path_mtu = (smaller || dropped) && original.first.packet <= too_big.at.packet;
        }
        self.count(kind);
        self.count_time_out(segment, kind);
        if kind.is_data_retransmission() {
            let counts = &mut self.side.retransmissions;
            counts.spurious += u64::from(acked);
            counts.path_mtu += u64::from(event.path_mtu);
            counts.lost_after += u64::from(!acked && original.is_some() && !event.path_mtu);
        }
        if let Some(original) = &original {
            let same_range = original.seq == segment.seq && original.length == segment.length;
            let other = !original.part && original.hash != segment.hash;
            if same_range && other && segment.length > 0 {
                let damaged = original.was_damaged(segment);
                let kind = if damaged { EventKind::Corrupted } else { EventKind::Conflict };
                self.side.conflicts += u64::from(!damaged);
                self.side.retransmissions.corrupted += u64::from(damaged && !acked);
                let mut differs = self.event(segment, kind);
                differs.original = Some(original.first);
                log.push(differs);
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
            sent.resent_by(index, segment.stamp);
        }
        // What reaches beyond the known end is new.
        if let Some(next) = self.next.filter(|next| end.after(*next)) {
            let fresh =
                Segment { seq: next, length: end.since(next) as u32, syn: false, fin: false, ..*segment };
            let mut sent = Sent::new(&fresh);
            (sent.end, sent.part) = (end, true);
            self.remember(sent);
        }
    }

    /// Why the sender repeated a data segment, and the ACK that made it.
    pub(super) fn cause(
        &self,
        segment: &Segment,
        original: Option<&Sent>,
        timing: Timing,
    ) -> (EventKind, Option<PacketRef>) {
        let timeout = timing.timeout(self.rtt.spread());
        let waited = original.map(|sent| segment.at.time - sent.last().time);
        let timed_out = waited.is_some_and(|waited| waited.0 >= timeout.0 - timeout.0 / 10);
        // The ACK must have had the time to reach the sender; half of it allows for a changing path.
        let reached =
            |hint: PacketRef| timing.to_sender.is_none_or(|rtt| (segment.at.time - hint.time).0 >= rtt.0 / 2);
        let prompt = |hint: PacketRef| match timing.to_sender {
            Some(rtt) => segment.at.time - hint.time <= rtt.scaled(3, 2) + Span::millis(5),
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
        if let Some(evidence) = self.evidence.filter(|_| !tail) {
            // The way to the sender is estimated from few packets, and a slow one among them makes it too
            // long. Complete evidence and no timer leave nothing else.
            return (EventKind::FastRetransmission, Some(evidence));
        }
        let once = original.is_some_and(|sent| !sent.again);
        let long_enough = timing
            .full
            .zip(waited)
            .is_some_and(|(rtt, waited)| waited >= rtt.scaled(3, 2) && waited > Span::millis(2));
        if tail && once && long_enough {
            // Who has no SACK sends no probe (RFC 8985 section 7.2): a timer below the usual floor is left.
            let probe = timing.selective;
            return (if probe { EventKind::TailLossProbe } else { EventKind::TimeoutRetransmission }, None);
        }
        (EventKind::Retransmission, None)
    }
}
