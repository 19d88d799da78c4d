//! Frames that the link layer sent again: an IEEE 802.11 station repeats a frame that nobody acknowledged,
//! with the retry bit and the same sequence control (section 9.2.4). TCP knows nothing of it.

use crate::dissect::{Faults, Ip, PacketRecord, PacketRef};
use crate::time::Span;

/// Frames of one direction that a later one is compared with: more than a station has under way.
const REMEMBERED: usize = 16;

/// A station gives a frame up after 512 ms (`dot11EDCATableMSDULifetime`), and its sequence numbers come
/// again after 4096.
const LIFETIME: Span = Span::secs(1);

/// A frame, as far as its repeat has to be the same.
#[derive(Clone, Copy, Debug)]
struct Sent {
    sequence: u16,
    ip_id: u16,
    length: u32,
    at: PacketRef,
}

/// The last frames of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Retries {
    recent: Vec<Sent>,
    next: usize,
}

impl Retries {
    /// The packet that `packet` is the same frame as, sent again by the link layer; else remembers it.
    pub(super) fn check(&mut self, packet: &PacketRecord, ip: &Ip) -> Option<PacketRef> {
        let sequence = packet.link.sequence?;
        let at = PacketRef { packet: packet.packet, time: packet.time };
        let sent = Sent { sequence, ip_id: ip.id, length: ip.length, at };
        let same = |earlier: &&Sent| {
            let apart = Span((at.time - earlier.at.time).0.saturating_abs());
            (earlier.sequence, earlier.ip_id, earlier.length) == (sequence, sent.ip_id, sent.length)
                && apart <= LIFETIME
        };
        if packet.faults.contains(Faults::RETRIED)
            && let Some(first) = self.recent.iter().rev().find(same)
        {
            return Some(first.at);
        }
        if self.recent.len() < REMEMBERED {
            self.recent.push(sent);
        } else {
            self.next %= REMEMBERED;
            self.recent[self.next] = sent;
            self.next += 1;
        }
        None
    }

    /// Bytes of memory that they take.
    pub(super) fn held(&self) -> usize {
        size_of::<Self>() + self.recent.capacity() * size_of::<Sent>()
    }
}
