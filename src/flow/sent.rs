//! A segment that one side sent and the other has not acknowledged yet.

use crate::dissect::{Faults, Ip, PacketRecord, PacketRef, Seq, Tcp, TcpFlags, fold_checksum};
use crate::flow::UndeliveredSegment;
use crate::time::Timestamp;

/// A TCP segment as the sequence analysis sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Segment {
    pub(super) at: PacketRef,
    pub(super) seq: Seq,
    /// Payload bytes by the IP header.
    pub(super) length: u32,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) push: bool,
    pub(super) ip_length: u32,
    pub(super) dont_fragment: bool,
    pub(super) ip_id: u16,
    /// Timestamp value (RFC 7323).
    pub(super) stamp: Option<u32>,
    pub(super) hash: u64,
    /// Bytes that its IP header states beyond its record.
    pub(super) shortfall: u32,
    /// Sum of pseudo-header and header ([`Tcp::sum`]).
    pub(super) head: u16,
    /// Of a late segment that was captured whole: the sum of its payload.
    pub(super) sum: Option<u16>,
    /// And whether that is an encrypted alert of TLS and nothing else.
    pub(super) alert: bool,
}

/// An encrypted alert: a record of type 21 with two octets and what encryption adds, a MAC of 20 octets or
/// the explicit nonce and tag of RFC 5246 section 6.2.3 at least; of TLS 1.3, two octets, their type and a
/// tag (RFC 8446 section 5.2).
pub(super) fn is_alert(bytes: &[u8]) -> bool {
    let [kind, 3, _, high, low, ..] = *bytes else { return false };
    let whole = bytes.len() == 5 + usize::from(u16::from_be_bytes([high, low]));
    match kind {
        21 => whole && (5 + 2 + 16..=64).contains(&bytes.len()),
        23 => whole && bytes.len() == 5 + 2 + 1 + 16,
        _ => false,
    }
}

impl Segment {
    /// Of a packet.
    pub(super) fn of(packet: &PacketRecord, ip: &Ip, tcp: &Tcp) -> Self {
        Self {
            at: PacketRef { packet: packet.packet, time: packet.time },
            seq: tcp.seq,
            // Text in a RST is not part of the stream (RFC 1122 section 4.2.2.12).
            length: if tcp.flags.rst() { 0 } else { packet.payload.length },
            syn: tcp.flags.syn(),
            fin: tcp.flags.fin(),
            rst: tcp.flags.rst(),
            push: tcp.flags.contains(TcpFlags::PSH),
            ip_length: ip.length,
            dont_fragment: ip.dont_fragment,
            ip_id: ip.id,
            stamp: tcp.options.timestamps.map(|(value, _)| value),
            hash: packet.payload.hash,
            shortfall: shortfall(packet, ip),
            head: tcp.sum,
            sum: None,
            alert: false,
        }
    }

    /// The sequence number after it: SYN and FIN take one each (RFC 9293 section 3.4).
    pub(super) fn end(&self) -> Seq {
        self.seq.plus(self.length + u32::from(self.syn) + u32::from(self.fin))
    }

    /// The numbers of its payload.
    pub(super) fn payload(&self) -> (Seq, Seq) {
        let start = self.seq.plus(u32::from(self.syn));
        (start, start.plus(self.length))
    }

    /// It takes sequence numbers: the peer must acknowledge it.
    pub(super) fn occupies(&self) -> bool {
        self.length > 0 || self.syn || self.fin
    }
}

/// How many bytes the IP header states beyond the record.
fn shortfall(packet: &PacketRecord, ip: &Ip) -> u32 {
    match packet.faults.contains(Faults::IP_LENGTH) {
        true => ip.length.saturating_add(packet.path.overhead.into()).saturating_sub(packet.wire),
        false => 0,
    }
}

/// An unacknowledged segment and its history.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) seq: Seq,
    pub(super) end: Seq,
    pub(super) length: u32,
    pub(super) ip_length: u32,
    pub(super) dont_fragment: bool,
    /// It was selectively acknowledged.
    pub(super) sacked: bool,
    /// It was sent more than once, in any cutting, or may have been.
    pub(super) again: bool,
    /// It is a part of a segment.
    pub(super) part: bool,
    /// Of the payload of the segment.
    pub(super) hash: u64,
    /// Sum of its pseudo-header and header.
    head: u16,
    pub(super) first: PacketRef,
    trouble: Option<Box<Trouble>>,
}

/// What only a segment has that did not simply arrive: there are a hundred others for each.
#[derive(Clone, Debug, Default)]
struct Trouble {
    /// When it was sent again last.
    last: Option<PacketRef>,
    /// How often it was sent again whole, at its first size.
    repeats: u32,
    /// The first sixteen whole tries, once there are two.
    frames: Vec<PacketRef>,
    /// Event of its last retransmission, and the timestamp value that carried.
    resent: Option<(Option<usize>, Option<u32>)>,
    /// The smaller pieces it was re-sent in after the last whole try.
    pieces: Option<Pieces>,
    smaller_delivered: u32,
    smaller_frames: Vec<PacketRef>,
    largest_smaller: u32,
    /// Duplicate ACKs for it, without selective acknowledgements, and the first of them.
    asked: (u32, Option<PacketRef>),
}

/// Smaller pieces of a segment: how many, the largest as an IP datagram, and the last of them.
#[derive(Clone, Copy, Debug)]
struct Pieces {
    count: u32,
    largest: u32,
    last: PacketRef,
}

const FRAMES: usize = 16;
const SMALLER_FRAMES: usize = 8;

impl Sent {
    pub(super) fn new(segment: &Segment) -> Self {
        Self {
            seq: segment.seq,
            end: segment.end(),
            length: segment.length,
            ip_length: segment.ip_length,
            dont_fragment: segment.dont_fragment,
            hash: segment.hash,
            head: segment.head,
            first: segment.at,
            sacked: false,
            again: false,
            part: false,
            trouble: None,
        }
    }

    /// Its checksum is not that of its own payload but of the payload of `again`, which has other bytes: it
    /// was sent with those, and damaged on the way.
    pub(super) fn was_damaged(&self, again: &Segment) -> bool {
        let holds = |sum: u16| fold_checksum(u64::from(self.head) + u64::from(sum)) == u16::MAX;
        self.head != 0 && again.sum.is_some_and(holds)
    }

    fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }

    /// It, or a part of it, was sent again.
    pub(super) fn send_again(&mut self, segment: &Segment) {
        self.again = true;
        let whole = !segment.seq.after(self.seq) && !segment.end().before(self.end);
        let first = self.first;
        self.dont_fragment &= segment.dont_fragment || !whole;
        let trouble = self.trouble();
        trouble.last = Some(segment.at);
        if whole {
            if trouble.frames.is_empty() {
                trouble.frames.push(first);
            }
            if trouble.frames.len() < FRAMES {
                trouble.frames.push(segment.at);
            }
            trouble.pieces = None;
            trouble.repeats += 1;
        } else {
            let (count, largest) = trouble.pieces.map_or((0, 0), |pieces| (pieces.count, pieces.largest));
            let largest = largest.max(segment.ip_length);
            trouble.pieces = Some(Pieces { count: count + 1, largest, last: segment.at });
        }
    }

    /// How often it was sent, whole or in pieces.
    pub(super) fn tries(&self) -> u32 {
        let again = |trouble: &Trouble| trouble.repeats + trouble.pieces.map_or(0, |pieces| pieces.count);
        1 + self.trouble.as_deref().map_or(0, again)
    }

    /// When it was sent last.
    pub(super) fn last(&self) -> PacketRef {
        self.trouble.as_ref().and_then(|trouble| trouble.last).unwrap_or(self.first)
    }

    /// Its last retransmission: the event, and the timestamp value it carried.
    pub(super) fn resent_by(&mut self, event: Option<usize>, stamp: Option<u32>) {
        self.trouble().resent = Some((event, stamp));
    }

    /// Event and timestamp value of its last retransmission.
    pub(super) fn resent(&self) -> Option<(Option<usize>, Option<u32>)> {
        self.trouble.as_ref()?.resent
    }

    /// A segment sent at `at` is known to have arrived, while this one is outstanding.
    pub(super) fn other_delivered(&mut self, ip_length: u32, at: PacketRef) {
        if at.packet < self.first.packet || ip_length >= self.ip_length {
            return;
        }
        let trouble = self.trouble();
        trouble.smaller_delivered += 1;
        trouble.largest_smaller = trouble.largest_smaller.max(ip_length);
        if trouble.smaller_frames.len() < SMALLER_FRAMES {
            trouble.smaller_frames.push(at);
        }
    }

    /// The peer asked for it by a duplicate ACK at `at`: something behind it arrived.
    pub(super) fn ask(&mut self, at: PacketRef) {
        let (count, first) = &mut self.trouble().asked;
        *count += 1;
        first.get_or_insert(at);
    }

    /// Without SACK, duplicate ACKs tell how many segments above it arrived, not which. As long as they are
    /// no more than the `smaller` segments sent there, smaller ones alone explain them.
    pub(super) fn deduce_smaller(&mut self, smaller: impl FnOnce() -> usize) {
        if let Some(trouble) = &mut self.trouble
            && let (asked @ 1.., Some(at)) = trouble.asked
            && trouble.smaller_delivered == 0
            && asked as usize <= smaller()
        {
            trouble.smaller_delivered = asked;
            trouble.smaller_frames.push(at);
        }
    }

    /// It arrived in one piece, as far as the capture shows.
    pub(super) fn arrived_whole(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.pieces.is_none())
    }

    /// The size evidence, when it was tried often enough: `delivered` says that an ACK covers it at last.
    pub(super) fn into_undelivered(self, delivered: bool, until: Timestamp) -> Option<UndeliveredSegment> {
        let delivered_whole = delivered && self.arrived_whole();
        let trouble = *self.trouble?;
        let tries = trouble.repeats + 1;
        if tries < UndeliveredSegment::TRIES || self.length == 0 {
            return None;
        }
        let pieces = trouble.pieces.filter(|_| delivered);
        Some(UndeliveredSegment {
            seq: self.seq,
            length: self.length,
            ip_length: self.ip_length,
            dont_fragment: self.dont_fragment,
            tries,
            frames: trouble.frames,
            smaller_delivered: trouble.smaller_delivered + pieces.map_or(0, |pieces| pieces.count),
            smaller_frames: trouble.smaller_frames,
            largest_smaller: trouble.largest_smaller,
            resolved_with: pieces.map(|pieces| pieces.largest),
            resolved_at: pieces.map(|pieces| pieces.last),
            delivered_whole,
            stalled: until - self.first.time,
        })
    }
}

impl UndeliveredSegment {
    /// Whole tries before a range counts as undelivered: the first and two repeats by time-out. RFC 8899
    /// section 5.1.2 (`MAX_PROBES`) gives up a size after three probes.
    pub(super) const TRIES: u32 = 3;
    /// Ranges kept per direction.
    pub(super) const MAX: usize = 8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_by_their_length() {
        let record = |kind, length: u8| [&[kind, 3, 3, 0, length][..], &vec![7; length.into()]].concat();
        for (kind, length, alert) in [
            (21, 26, true),
            (21, 2, false),
            (21, 60, false),
            (22, 26, false),
            (23, 19, true),
            (23, 26, false),
        ] {
            let bytes = record(kind, length);
            assert_eq!(is_alert(&bytes), alert, "{kind} {length}");
            assert!(!is_alert(&bytes[..bytes.len() - 1]));
            assert!(!is_alert(&[&bytes[..], &[0]].concat()));
        }
        assert!(!is_alert(&[]));
    }
}
