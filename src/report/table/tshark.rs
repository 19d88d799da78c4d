//! What tshark calls a classified segment, and why it says something else where it does.
//!
//! tshark judges a segment by the highest sequence number and the last ACK before it
//! (`epan/dissectors/packet-tcp.c`). One line of [`reading`] per verdict; `tests/tcp_truth.rs` holds the
//! names against what tshark prints.

use crate::flow::{EventKind, Handshake, SpuriousProof, TcpEvent};
use crate::time::Span;

/// A retransmission counts as fast for tshark when the last ACK before it is younger than this.
const FAST: Span = Span::millis(20);

/// Without a handshake, a late segment is out of order for tshark up to this time, and a retransmission after
/// it.
const LATE: Span = Span::millis(3);

/// The bare name of a field of `tcp.analysis`, and the difference between its meaning and ours, when there is
/// one.
pub type Reading = (&'static str, Option<Difference>);

/// Why tshark says something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// One packet, recorded twice.
    DuplicateObservation,
    /// One segment, whose frame the link layer sent again.
    LinkRetry,
    /// A fixed time stands for the way from the ACK to the sender and back.
    TwentyMilliseconds,
    /// One round trip, that of the handshake, or 3 ms, decides between reordered and sent again.
    InitialRoundTrip,
    /// Late, and nothing tells which.
    Undecided,
    /// tshark counts duplicate ACKs only.
    SelectiveAcks,
    /// The recorder's order is taken for the network's.
    CaptureReordered,
    /// A probe of no byte looks like a keep-alive; the closed window is not asked.
    ClosedWindow,
}

impl Difference {
    /// In a table.
    pub fn words(self) -> &'static str {
        match self {
            Self::DuplicateObservation => {
                "one packet recorded twice: tshark takes the copy for another packet"
            }
            Self::LinkRetry => {
                "the link layer sent the frame again: tshark takes that for a retransmission of TCP"
            }
            Self::TwentyMilliseconds => {
                "tshark calls what comes within 20 ms of the last duplicate ACK fast, and nothing else"
            }
            Self::InitialRoundTrip => {
                "tshark decides by the round trip of the handshake, or by 3 ms, not by the evidence"
            }
            Self::Undecided => {
                "sent again or overtaken: the capture does not tell; tshark decides by time alone"
            }
            Self::SelectiveAcks => {
                "selective ACKs or a recovery under way decide; tshark asks for duplicate ACKs with the same \
                 window"
            }
            Self::CaptureReordered => {
                "the recorder wrote the ACK before its data: tshark takes the data for sent again"
            }
            Self::ClosedWindow => "a probe of a closed window: tshark takes it for a keep-alive",
        }
    }
}

/// The round trip that tshark takes from the handshake: the last SYN to the first ACK, SYN-ACKs sent again or
/// not.
fn initial_round_trip(handshake: &Handshake) -> Option<Span> {
    let (syn, ack) = handshake.syns.last().zip(handshake.ack)?;
    Some(ack.time - syn.time).filter(|span| *span > Span::ZERO)
}

/// tshark's word for `event`; `None` when it has none.
pub fn reading(event: &TcpEvent, handshake: &Handshake) -> Option<Reading> {
    use Difference::*;
    let same = |name| Some((name, None));
    let differs = |name, difference| Some((name, Some(difference)));
    match event.kind {
        EventKind::DuplicateObservation if event.occupies => differs("retransmission", DuplicateObservation),
        EventKind::DuplicateObservation => differs("duplicate_ack", DuplicateObservation),
        EventKind::LinkRetry if event.occupies => differs("retransmission", LinkRetry),
        EventKind::LinkRetry => differs("duplicate_ack", LinkRetry),
        EventKind::CaptureReordered => differs("spurious_retransmission", CaptureReordered),
        EventKind::RetransmittedSyn
        | EventKind::RetransmittedSynAck
        | EventKind::RetransmittedFin
        | EventKind::FastRetransmission
        | EventKind::TimeoutRetransmission
        | EventKind::TailLossProbe
        | EventKind::Retransmission
        | EventKind::Reordered
        | EventKind::LateAmbiguous => Some(late(event, handshake)),
        EventKind::KeepAlive => same("keep_alive"),
        EventKind::KeepAliveAck => same("keep_alive_ack"),
        EventKind::ZeroWindow => same("zero_window"),
        EventKind::WindowProbe if event.length == 0 => differs("keep_alive", ClosedWindow),
        EventKind::WindowProbe => same("zero_window_probe"),
        EventKind::WindowProbeAck => same("zero_window_probe_ack"),
        EventKind::WindowUpdate => same("window_update"),
        EventKind::WindowFull => same("window_full"),
        EventKind::DuplicateAck if event.window_changed => differs("window_update", SelectiveAcks),
        EventKind::DuplicateAck => same("duplicate_ack"),
        EventKind::Gap => same("lost_segment"),
        EventKind::AckedUnseen => same("ack_lost_segment"),
        EventKind::PortReuse => same("reused_ports"),
        // tshark compares no bytes, and takes any numbers for those of the connection.
        EventKind::Conflict | EventKind::Corrupted | EventKind::OutOfWindow => None,
    }
}

/// A segment below the highest number: tshark asks in this order.
fn late(event: &TcpEvent, handshake: &Handshake) -> Reading {
    let limit = initial_round_trip(handshake).unwrap_or(LATE);
    let prompt = event.hint.is_some_and(|hint| event.at.time - hint.time < FAST);
    let printed = if event.length > 0 && event.spurious == Some(SpuriousProof::AlreadyAcked) {
        "spurious_retransmission"
    } else if event.duplicate_acks >= 2 && prompt {
        "fast_retransmission"
    } else if event.behind.is_some_and(|behind| behind < limit) {
        "out_of_order"
    } else {
        "retransmission"
    };
    let difference = match (event.kind, printed) {
        (_, "spurious_retransmission") => None,
        (EventKind::LateAmbiguous, _) => Some(Difference::Undecided),
        (EventKind::Reordered, "out_of_order") | (EventKind::FastRetransmission, "fast_retransmission") => {
            None
        }
        (EventKind::FastRetransmission, "retransmission") if event.duplicate_acks < 2 => {
            Some(Difference::SelectiveAcks)
        }
        (EventKind::FastRetransmission, "retransmission") | (_, "fast_retransmission") => {
            Some(Difference::TwentyMilliseconds)
        }
        (EventKind::Reordered, _) | (_, "out_of_order") => Some(Difference::InitialRoundTrip),
        _ => None,
    };
    (printed, difference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::Seq;
    use crate::dissect::{Direction, PacketRef};
    use crate::flow::LossPlace;
    use crate::time::Timestamp;

    fn at(millis: i64) -> PacketRef {
        PacketRef { packet: 1 + millis.unsigned_abs(), time: Timestamp(millis * 1_000_000) }
    }

    /// A segment 100 ms after the start, behind one that was sent at `front`.
    fn late(kind: EventKind, front: i64) -> TcpEvent {
        TcpEvent {
            at: at(100),
            direction: Direction::ToServer,
            kind,
            seq: Seq(1),
            length: 1000,
            occupies: true,
            ip_length: 1040,
            dont_fragment: true,
            original: None,
            trigger: None,
            window_changed: false,
            duplicate_acks: 0,
            hint: None,
            behind: Some(at(100).time - at(front).time),
            proof: None,
            delay: Span::ZERO,
            stalled: Span::ZERO,
            loss: LossPlace::Unknown,
            spurious: None,
            path_mtu: false,
            alert: false,
        }
    }

    #[test]
    fn fast_is_what_comes_within_20_ms_of_two_duplicate_acks() {
        let asked = |hint| TcpEvent {
            duplicate_acks: 2,
            hint: Some(at(hint)),
            ..late(EventKind::FastRetransmission, 10)
        };
        let handshake = Handshake::default();
        assert_eq!(reading(&asked(81), &handshake), Some(("fast_retransmission", None)));
        let slow = Some(("retransmission", Some(Difference::TwentyMilliseconds)));
        assert_eq!(reading(&asked(80), &handshake), slow);
        let selective = late(EventKind::FastRetransmission, 10);
        let expected = Some(("retransmission", Some(Difference::SelectiveAcks)));
        assert_eq!(reading(&selective, &handshake), expected);
    }

    #[test]
    fn late_is_what_comes_within_the_round_trip_of_the_handshake() {
        let event = late(EventKind::TimeoutRetransmission, 90);
        assert_eq!(reading(&event, &Handshake::default()), Some(("retransmission", None)));
        let handshake = Handshake { syns: vec![at(0)], ack: Some(at(30)), ..Handshake::default() };
        let early = Some(("out_of_order", Some(Difference::InitialRoundTrip)));
        assert_eq!(reading(&event, &handshake), early);
        let last = TcpEvent { behind: None, ..event };
        assert_eq!(reading(&last, &handshake), Some(("retransmission", None)));
    }
}
