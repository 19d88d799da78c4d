//! What the capture shows more than once: copies, frames that the link layer sent again, other legs.

use xxhash_rust::xxh3::xxh3_64;

use super::Connection;
use crate::dissect::{Direction, Ip, PacketRecord, PacketRef, Seq, Tcp};
use crate::flow::EventKind;
use crate::flow::copies::Other;
use crate::flow::sent::Segment;

/// Numbers of one connection are no further apart: sixteen times the largest window without scaling. A
/// judgement.
const NEAR: u32 = 1 << 20;

/// Hash of the numbers that both sides began with, whoever is the client. Of one side alone the number is too
/// short to be its own, unless it stands beside a time stamp. 0 when they are not known.
pub(in crate::flow) fn numbers(sides: [Option<(Seq, Option<u32>)>; 2]) -> u64 {
    let [low, high] = match sides {
        [Some((one, _)), Some((other, _))] => [one.0.min(other.0), one.0.max(other.0)],
        [Some((seq, Some(stamp))), None] | [None, Some((seq, Some(stamp)))] => [seq.0, !stamp],
        _ => return 0,
    };
    xxh3_64(&(u64::from(low) << 32 | u64::from(high)).to_le_bytes()).max(1)
}

impl Connection {
    /// The packet that this one is another observation of.
    pub(in crate::flow) fn copy_of(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        direction: Direction,
    ) -> Option<PacketRef> {
        let other = self.last_of(direction.reverse());
        let copies = &mut self.copies[direction.index()];
        let original = copies.check(packet, ip, tcp, other).or_else(|| {
            let end = tcp.seq.plus(packet.payload.length);
            let next = self.senders[direction.index()].next();
            let known = next.is_some_and(|next| !end.after(next));
            let begun = next.is_some_and(|next| tcp.seq.before(next));
            // One octet is a keep-alive, also one that a router makes of the last segment.
            let data = packet.payload.length > 1 && !tcp.flags.syn() && !tcp.flags.rst();
            let told_size = self.senders[direction.index()].was_told_mtu();
            let piece = (known && data && !told_size).then(|| copies.piece(packet, ip, tcp, other)).flatten();
            let headers = || (known && data).then(|| copies.headers(packet, ip, tcp)).flatten();
            let whole = piece.or_else(headers);
            whole.or_else(|| (begun && data).then(|| copies.changed(packet, ip, tcp)).flatten())
        })?;
        self.observed(EventKind::DuplicateObservation, packet, ip, tcp, direction, original);
        Some(original)
    }

    /// The link layer sent the frame of `first` again.
    pub(in crate::flow) fn retried(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        direction: Direction,
        first: PacketRef,
    ) {
        self.observed(EventKind::LinkRetry, packet, ip, tcp, direction, first);
    }

    fn observed(
        &mut self,
        kind: EventKind,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        direction: Direction,
        original: PacketRef,
    ) {
        let segment = Segment::of(packet, ip, tcp);
        let mut event = self.senders[direction.index()].event(&segment, kind);
        event.original = Some(original);
        event.delay = packet.time - original.time;
        self.log.push(event);
    }

    /// The packet came by before, or answers what the other side sent last: its numbers prove that it is of
    /// this connection, in whatever tunnel it comes. `unseen`: nothing of its direction was captured yet.
    pub(in crate::flow) fn shows_again(
        &self,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        direction: Direction,
        unseen: bool,
    ) -> bool {
        let other = direction.reverse();
        if self.copies[direction.index()].knows(packet, ip, tcp, self.last_of(other)) {
            return true;
        }
        let Some(next) = self.senders[other.index()].next().filter(|_| unseen) else { return false };
        match self.windows[other.index()].ack {
            Some(asked) if tcp.flags.ack() => {
                tcp.ack.distance(next) <= NEAR && tcp.seq.distance(asked) <= NEAR
            }
            Some(asked) => tcp.flags.rst() && tcp.seq == asked,
            // Only SYNs so far.
            None => tcp.flags.ack() && tcp.ack == next,
        }
    }

    /// The last packet of a direction.
    fn last_of(&self, direction: Direction) -> Other {
        let last = self.last[direction.index()].as_ref();
        last.map_or_else(Other::default, |last| Other { packet: last.at.packet, is_syn: last.ack.is_none() })
    }
}
