//! Why a segment is called what it is called, in one sentence with the frames that justify it.

use super::EventRow;
use crate::dissect::PacketRef;
use crate::flow::{EventKind, LossPlace, SpuriousProof};
use crate::humanize::plural;

/// One sentence for a person who has the capture open in Wireshark.
pub(super) fn reason(row: EventRow<'_>) -> String {
    let EventRow { event, files, .. } = row;
    // Beside the row's own file and frame a number alone is that file's.
    let own = files.file(event.at.packet);
    let frame = |at: PacketRef| match files.file(at.packet) {
        file if file == own => format!("frame {}", files.frame(at.packet)),
        file => format!("frame {} of {file}", files.frame(at.packet)),
    };
    let original = event.original.map(frame);
    let trigger = event.trigger.map(frame);
    let (delay, length) = (event.delay, event.length);
    let again = original.as_ref().map_or_else(
        || "what it repeats was not captured, or too long ago".to_owned(),
        |original| match event.loss {
            LossPlace::Before => format!("fills the hole that {original} left {delay} before"),
            _ => format!("{original} had the same bytes {delay} before"),
        },
    );
    let first = match event.kind {
        EventKind::FastRetransmission => match trigger {
            Some(trigger) if event.duplicate_acks > 0 => {
                let count = plural(event.duplicate_acks.into(), "duplicate ACK");
                format!("{again}; {count} asked for it, the evidence was complete with {trigger}")
            }
            Some(trigger) => {
                format!("{again}; the selective ACK in {trigger} completed the evidence of the loss")
            }
            None => format!("{again}; part of the recovery under way"),
        },
        EventKind::TimeoutRetransmission => format!("{again}; no ACK asked for it, the timer ran out"),
        EventKind::TailLossProbe => format!("{again}; the last segment, alone, ahead of the timer"),
        EventKind::Retransmission => format!("{again}; no ACK or time that explains it was captured"),
        EventKind::RetransmittedSyn | EventKind::RetransmittedSynAck | EventKind::RetransmittedFin => again,
        EventKind::Reordered => {
            format!("sent before {}, recorded {delay} after it", original.unwrap_or_default())
        }
        EventKind::LateAmbiguous => format!("{again}; overtaken or sent again, nothing tells which"),
        EventKind::CaptureReordered => {
            format!("recorded {delay} after {}, which acknowledges it", trigger.unwrap_or_default())
        }
        EventKind::DuplicateObservation => {
            format!("the bytes of {} recorded once more, {delay} later", original.unwrap_or_default())
        }
        EventKind::LinkRetry => {
            format!(
                "the frame of {}, sent again by the link layer {delay} later",
                original.unwrap_or_default()
            )
        }
        EventKind::KeepAlive => {
            "at most one byte, one before the next expected, with nothing to send".to_owned()
        }
        EventKind::KeepAliveAck | EventKind::WindowProbeAck => {
            format!("answers the probe in {}", trigger.unwrap_or_default())
        }
        EventKind::ZeroWindow => "announces a window of 0".to_owned(),
        EventKind::WindowProbe => "asks into a window that the peer closed".to_owned(),
        EventKind::WindowUpdate => match original {
            Some(original) => format!("the ACK of {original} with another window"),
            None => "an ACK with another window".to_owned(),
        },
        EventKind::WindowFull => match trigger {
            Some(trigger) => format!("ends where the window announced in {trigger} ends"),
            None => "ends where the announced window ends".to_owned(),
        },
        EventKind::DuplicateAck => match original {
            Some(original) => format!("acknowledges no more than {original}, with data outstanding"),
            None => "acknowledges no more than the ACK before it".to_owned(),
        },
        EventKind::Gap => format!("{length} bytes before it were not captured so far"),
        EventKind::AckedUnseen => format!("acknowledges {length} bytes that were never captured"),
        EventKind::Conflict => {
            format!("other bytes than {} for the same numbers", original.unwrap_or_default())
        }
        EventKind::Corrupted => format!(
            "{} was damaged on the way: its checksum holds for these bytes, not for its own",
            original.unwrap_or_default()
        ),
        EventKind::PortReuse => "the ports of an earlier connection, another initial number".to_owned(),
        EventKind::OutOfWindow => "numbers far from those of this connection".to_owned(),
    };
    let spurious = event.spurious.map(|proof| {
        let shown = event.proof.map(|at| format!(" by {}", frame(at))).unwrap_or_default();
        match proof {
            SpuriousProof::DuplicateSack => format!("; not needed: reported as duplicate{shown}"),
            SpuriousProof::EarlyAck => format!("; not needed: an earlier copy was acknowledged{shown}"),
            SpuriousProof::EarlierEcho => format!("; not needed: an older copy was acknowledged{shown}"),
            SpuriousProof::AtOnce => format!("; not needed: acknowledged at once, as a duplicate is{shown}"),
            SpuriousProof::AlreadyAcked => format!("; not needed: acknowledged before{shown}"),
        }
    });
    let path_mtu = if event.path_mtu { "; an ICMP message had asked for smaller ones" } else { "" };
    format!("{first}{}{path_mtu}", spurious.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::{Direction, Seq};
    use crate::flow::TcpEvent;
    use crate::report::table::FileIndex;
    use crate::report::tests::flow;
    use crate::time::{Span, Timestamp};

    #[test]
    fn a_frame_of_another_file_is_named_with_its_file() {
        let at = |packet| PacketRef { packet, time: Timestamp(0) };
        let event = TcpEvent {
            at: at(12),
            direction: Direction::ToServer,
            kind: EventKind::RetransmittedSyn,
            seq: Seq(1),
            length: 0,
            occupies: true,
            ip_length: 40,
            dont_fragment: false,
            original: Some(at(11)),
            trigger: None,
            window_changed: false,
            duplicate_acks: 0,
            hint: None,
            behind: None,
            proof: None,
            delay: Span::secs(1),
            stalled: Span::ZERO,
            loss: LossPlace::After,
            spurious: None,
            path_mtu: false,
            alert: false,
        };
        let mut places = FileIndex::default();
        places.push("a.pcap", 0);
        places.push("b.pcap", 10);
        let text = |event| reason(EventRow { flow: &flow(1), event, files: &places });
        assert_eq!(text(&event), "frame 1 had the same bytes 1.00 s before");
        let before = TcpEvent { original: Some(at(7)), ..event };
        assert_eq!(text(&before), "frame 7 of a.pcap had the same bytes 1.00 s before");
    }
}
