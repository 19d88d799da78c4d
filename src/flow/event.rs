//! One classified TCP segment: what it was, which packet it repeats, and which packets justify the verdict.

use serde::{Deserialize, Serialize};

use crate::dissect::Seq;
use crate::dissect::{Direction, PacketRef};
use crate::time::Span;

/// What a segment was, when it was not simply the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The SYN again, same initial sequence number.
    RetransmittedSyn,
    /// The SYN-ACK again.
    RetransmittedSynAck,
    /// A FIN again, without new data.
    RetransmittedFin,
    /// Data again, after duplicate ACKs or selective acknowledgements showed the hole (RFC 5681, 6675, 8985).
    FastRetransmission,
    /// Data again, after the retransmission timer ran out (RFC 6298).
    TimeoutRetransmission,
    /// The last segment again, ahead of the retransmission timer (RFC 8985 section 7).
    TailLossProbe,
    /// Data again, and the capture does not show what made the sender do it.
    Retransmission,
    /// Data that arrived late: sent once, overtaken on its way to the capture point.
    Reordered,
    /// A late segment: reordered, or sent again after a loss before the capture point. Nothing tells which.
    LateAmbiguous,
    /// Data recorded after the ACK that covers it: the order of the recorder, not of the network.
    CaptureReordered,
    /// The same packet seen again by the capture, not sent again (mirror port, `any` interface, routed copy).
    DuplicateObservation,
    /// The same frame, sent again by the link layer (IEEE 802.11): TCP sent the segment once.
    LinkRetry,
    /// Keep-alive probe (RFC 1122 section 4.2.3.6).
    KeepAlive,
    /// The answer to a keep-alive.
    KeepAliveAck,
    /// The sender of this segment announces a receive window of zero.
    ZeroWindow,
    /// A probe into a closed window (RFC 9293 section 3.8.6.1).
    WindowProbe,
    /// The answer to a window probe.
    WindowProbeAck,
    /// An ACK whose only news is a larger window.
    WindowUpdate,
    /// The segment fills the peer's receive window to the last byte.
    WindowFull,
    /// An ACK that repeats the previous one while data is outstanding (RFC 5681 section 2).
    DuplicateAck,
    /// The segment starts beyond the expected number: something before it was not seen yet.
    Gap,
    /// An ACK for data that the capture never saw.
    AckedUnseen,
    /// The segment repeats known sequence numbers with other bytes.
    Conflict,
    /// The segment repeats one that was damaged on the way: the checksum of the first copy holds for these
    /// bytes and not for its own. Its receiver discards such a segment (RFC 9293 section 3.1).
    Corrupted,
    /// A new connection on the ports of an earlier one.
    PortReuse,
    /// Its numbers are far from those of this connection: of another one on the same ports, stale, or forged.
    OutOfWindow,
}

impl EventKind {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::RetransmittedSyn => "retransmitted_syn",
            Self::RetransmittedSynAck => "retransmitted_syn_ack",
            Self::RetransmittedFin => "retransmitted_fin",
            Self::FastRetransmission => "fast_retransmission",
            Self::TimeoutRetransmission => "timeout_retransmission",
            Self::TailLossProbe => "tail_loss_probe",
            Self::Retransmission => "retransmission",
            Self::Reordered => "reordered",
            Self::LateAmbiguous => "late_ambiguous",
            Self::CaptureReordered => "capture_reordered",
            Self::DuplicateObservation => "duplicate_observation",
            Self::LinkRetry => "link_retry",
            Self::KeepAlive => "keep_alive",
            Self::KeepAliveAck => "keep_alive_ack",
            Self::ZeroWindow => "zero_window",
            Self::WindowProbe => "window_probe",
            Self::WindowProbeAck => "window_probe_ack",
            Self::WindowUpdate => "window_update",
            Self::WindowFull => "window_full",
            Self::DuplicateAck => "duplicate_ack",
            Self::Gap => "gap",
            Self::AckedUnseen => "acked_unseen",
            Self::Conflict => "conflict",
            Self::Corrupted => "corrupted",
            Self::PortReuse => "port_reuse",
            Self::OutOfWindow => "out_of_window",
        }
    }

    /// The segment was sent again by its sender: payload data, not SYN or FIN.
    pub fn is_data_retransmission(self) -> bool {
        matches!(
            self,
            Self::FastRetransmission
                | Self::TimeoutRetransmission
                | Self::TailLossProbe
                | Self::Retransmission
        )
    }
}

/// Where the first copy of a retransmitted segment was lost, seen from the capture point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossPlace {
    /// Not a loss, or not known.
    #[default]
    Unknown,
    /// The capture saw the first copy: it, or its ACK, was lost behind the capture point.
    After,
    /// The capture saw a hole that the retransmission filled: lost before the capture point.
    Before,
}

/// What proves that a retransmission was not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpuriousProof {
    /// The receiver reported the bytes as duplicate (RFC 2883).
    DuplicateSack,
    /// The first ACK that covers it echoes a timestamp older than the retransmission (RFC 3522).
    EarlierEcho,
    /// Without time stamps: the ACK that covers it came too soon after it for any round trip, or covers a
    /// part of it. A receiver acknowledges all that it got in order (RFC 9293 section 3.10.7.4): that ACK
    /// answers an earlier copy (as RFC 5682 concludes).
    EarlyAck,
    /// An ACK that covers it passed the capture point before the sender can have needed to repeat.
    AlreadyAcked,
    /// Without time stamps and selective acknowledgements: the only segment on its way came again before a
    /// delayed ACK of it was due (RFC 1122 section 4.2.3.2), and the receiver, which takes its time with what
    /// is new, acknowledged at once, as it has to with a duplicate (RFC 9293 section 3.10.7.4).
    AtOnce,
}

/// A classified segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TcpEvent {
    /// The segment.
    pub at: PacketRef,
    /// Who sent it.
    pub direction: Direction,
    /// What it was.
    pub kind: EventKind,
    /// Its first sequence number.
    pub seq: Seq,
    /// Its payload length in bytes; for gaps and unseen data, the bytes that are missing.
    pub length: u32,
    /// It takes sequence numbers: it has payload, SYN or FIN.
    pub occupies: bool,
    /// Its length as an IP datagram in bytes.
    pub ip_length: u32,
    /// It was sent with don't-fragment (always for IPv6).
    pub dont_fragment: bool,
    /// The packet it repeats (retransmission, copy, ACK), or the first above the hole it fills (reordered).
    pub original: Option<PacketRef>,
    /// The packet that made the sender send it: the ACK that completed the evidence of loss, the probe it
    /// answers, or the announcement of the window it fills.
    pub trigger: Option<PacketRef>,
    /// It announces another window than the packet of its sender before it.
    pub window_changed: bool,
    /// Duplicate ACKs that asked for exactly its first byte before it came.
    pub duplicate_acks: u32,
    /// The last ACK before it that showed a loss.
    pub hint: Option<PacketRef>,
    /// Time since the segment with the highest number; `None` when it ends there itself.
    pub behind: Option<Span>,
    /// The packet that proves a retransmission unnecessary, if known: the SACK, the echo, the earlier ACK.
    pub proof: Option<PacketRef>,
    /// Time since `original`, or since the hole it fills was opened.
    pub delay: Span,
    /// How long the stream made no progress because of the loss this segment repairs.
    pub stalled: Span,
    /// Where the loss happened.
    pub loss: LossPlace,
    /// The retransmission was not needed, and why we know.
    pub spurious: Option<SpuriousProof>,
    /// Sent again in smaller pieces after an ICMP message called the first too big: path MTU discovery, no
    /// loss.
    pub path_mtu: bool,
    /// It carries an encrypted TLS alert and nothing else: the session ends, and nobody waits for it.
    pub alert: bool,
}
