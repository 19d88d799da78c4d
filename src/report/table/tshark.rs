//! What tshark calls a classified segment, and why it says something else where it does.
//!
//! tshark judges a segment by the highest sequence number and the last ACK before it (`epan/dissectors/packet-tcp.c`).
//! One line of [`reading`] per verdict; `tests/tcp_truth.rs` holds the names against what tshark prints.

use crate::flow::{EventKind, Handshake, LossPlace, SpuriousProof, TcpEvent};
use crate::time::Span;

/// A retransmission counts as fast for tshark when the last ACK before it is younger than this.
const FAST: Span = Span::millis(20);

/// Without a handshake, a late segment is out of order for tshark up to this time, and a retransmission after it.
const LATE: Span = Span::millis(3);

/// The bare name of a field of `tcp.analysis`, and the difference between its meaning and ours, when there is one.
pub type Reading = (&'static str, Option<Difference>);

/// Why tshark says something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// One packet, recorded twice.
    DuplicateObservation,
    /// A fixed time stands for the way from the ACK to the sender and back.
    TwentyMilliseconds,
    /// One round trip, that of the handshake, or 3 ms, decides between reordered and sent again.
    InitialRoundTrip,
    /// Late, and nothing tells which.
    Undecided,
    /// The highest segment cannot be out of order for tshark.
    LastSegment,
    /// A probe of no byte looks like a keep-alive; the closed window is not asked.
    ClosedWindow,
}

impl Difference {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::DuplicateObservation,
        Self::TwentyMilliseconds,
        Self::InitialRoundTrip,
        Self::Undecided,
        Self::LastSegment,
        Self::ClosedWindow,
    ];

    /// In a table.
    pub fn words(self) -> &'static str {
        match self {
            Self::DuplicateObservation => {
                "one packet recorded twice: tshark takes the copy for another packet"
            }
            Self::TwentyMilliseconds => "the ACKs that caused it came over 20 ms before: tshark's limit",
            Self::InitialRoundTrip => {
                "tshark decides by the round trip of the handshake, or by 3 ms, not by the evidence"
            }
            Self::Undecided => {
                "sent again or overtaken: the capture does not tell; tshark decides by time alone"
            }
            Self::LastSegment => "tshark calls nothing out of order that ends at the highest number",
            Self::ClosedWindow => "a probe of a closed window: tshark takes it for a keep-alive",
        }
    }
}

/// The round trip that tshark takes from the handshake.
fn initial_round_trip(handshake: &Handshake) -> Option<Span> {
    let (server, client) = handshake.server_rtt.zip(handshake.client_rtt)?;
    Some(server + client).filter(|sum| *sum > Span::ZERO)
}

/// tshark's word for `event`; `None` when it has none.
pub fn reading(event: &TcpEvent, handshake: &Handshake) -> Option<Reading> {
    use Difference::*;
    let same = |name| Some((name, None));
    let differs = |name, difference| Some((name, Some(difference)));
    let early = event.delay < initial_round_trip(handshake).unwrap_or(LATE);
    let prompt = event.trigger.is_some_and(|trigger| event.at.time - trigger.time < FAST);
    let filler = event.loss == LossPlace::Before;
    match event.kind {
        EventKind::DuplicateObservation if event.occupies => differs("retransmission", DuplicateObservation),
        EventKind::DuplicateObservation => differs("duplicate_ack", DuplicateObservation),
        EventKind::RetransmittedSyn | EventKind::RetransmittedSynAck | EventKind::RetransmittedFin => {
            same("retransmission")
        }
        kind if kind.is_data_retransmission() && event.spurious == Some(SpuriousProof::AlreadyAcked) => {
            same("spurious_retransmission")
        }
        EventKind::FastRetransmission if prompt => same("fast_retransmission"),
        kind if kind.is_data_retransmission() && filler && early => differs("out_of_order", InitialRoundTrip),
        EventKind::FastRetransmission => differs("retransmission", TwentyMilliseconds),
        EventKind::TimeoutRetransmission | EventKind::TailLossProbe | EventKind::Retransmission => {
            same("retransmission")
        }
        EventKind::Reordered if early => same("out_of_order"),
        EventKind::Reordered => differs("retransmission", InitialRoundTrip),
        EventKind::LateAmbiguous if early => differs("out_of_order", Undecided),
        EventKind::LateAmbiguous => differs("retransmission", Undecided),
        EventKind::KeepAlive => same("keep_alive"),
        EventKind::KeepAliveAck => same("keep_alive_ack"),
        EventKind::ZeroWindow => same("zero_window"),
        EventKind::WindowProbe if event.length == 0 => differs("keep_alive", ClosedWindow),
        EventKind::WindowProbe => same("zero_window_probe"),
        EventKind::WindowProbeAck => same("zero_window_probe_ack"),
        EventKind::WindowUpdate => same("window_update"),
        EventKind::WindowFull => same("window_full"),
        EventKind::DuplicateAck => same("duplicate_ack"),
        EventKind::Gap => same("lost_segment"),
        EventKind::AckedUnseen => same("ack_lost_segment"),
        EventKind::PortReuse => same("reused_ports"),
        // Without a name: tshark compares no bytes, and no numbers that are far apart.
        _ => None,
    }
}
