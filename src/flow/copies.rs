//! Duplicate observations: one packet that the capture recorded more than once (FIELD C0.3).
//!
//! A mirror port that copies both directions, an `any` interface that sees a packet on every leg, a routed mirror:
//! each makes a healthy capture look as if everything was sent twice. A copy has the same TCP header and payload
//! as the packet it repeats, in a time in which TCP would not have sent it again.

use crate::app::Moment;
use crate::dissect::{Ip, Link, PacketRecord, Seq, Tcp, TcpOptions};
use crate::time::Span;

/// Packets of one direction that a later packet is compared with.
const REMEMBERED: usize = 16;

/// The IP identification is the same and not a constant of that host: no sender repeats one within this time.
const SAME_ID: Span = Span::millis(250);

/// The copy took another way (TTL, addresses, VLAN, interface), so a difference in queueing is possible.
const OTHER_WAY: Span = Span::millis(20);

/// SYN, SYN-ACK, FIN: the shortest retransmission time-out in use is 200 ms (Linux `TCP_RTO_MIN`).
const CONTROL: Span = Span::millis(50);

/// Nothing tells the two apart but time.
const SAME_WAY: Span = Span::micros(100);

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Moment,
    seq: Seq,
    ack: Seq,
    flags: u8,
    window: u16,
    options: TcpOptions,
    length: u32,
    hash: u64,
    ip_id: u16,
    ttl: u8,
    link: Link,
    vlan: u16,
    interface: u32,
}

/// The last packets of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    recent: Vec<Seen>,
    next: usize,
    /// The host changes its IP identification from packet to packet.
    counting_ids: bool,
    last_id: Option<u16>,
    found: u64,
}

impl Copies {
    /// The packet that `packet` is another observation of; else remembers `packet`.
    pub(super) fn check(&mut self, packet: &PacketRecord, ip: &Ip, tcp: &Tcp) -> Option<Moment> {
        let seen = Seen {
            at: Moment { packet: packet.packet, time: packet.time },
            seq: tcp.seq,
            ack: tcp.ack,
            flags: tcp.flags.0,
            window: tcp.window,
            options: tcp.options,
            length: packet.payload.length,
            hash: packet.payload.hash,
            ip_id: ip.id,
            ttl: ip.ttl,
            link: packet.link,
            vlan: packet.path.vlan,
            interface: packet.interface,
        };
        let original =
            self.recent.iter().rev().find(|earlier| self.is_copy(earlier, &seen)).map(|seen| seen.at);
        if original.is_some() {
            self.found += 1;
            return original;
        }
        self.counting_ids |= self.last_id.is_some_and(|id| id != ip.id) && ip.id != 0;
        self.last_id = Some(ip.id);
        if self.recent.len() < REMEMBERED {
            self.recent.push(seen);
        } else {
            self.recent[self.next] = seen;
        }
        self.next = (self.next + 1) % REMEMBERED;
        None
    }

    fn is_copy(&self, earlier: &Seen, later: &Seen) -> bool {
        let same = earlier.seq == later.seq
            && earlier.ack == later.ack
            && earlier.flags == later.flags
            && earlier.window == later.window
            && earlier.length == later.length
            && earlier.hash == later.hash
            && earlier.ip_id == later.ip_id
            && earlier.options == later.options;
        if !same {
            return false;
        }
        let apart = Span((later.at.time - earlier.at.time).0.saturating_abs());
        // RFC 6864: the identification of a datagram that may not be fragmented can be anything, also a constant.
        let same_id_proves = later.ip_id != 0 && self.counting_ids;
        let other_way = earlier.ttl != later.ttl
            || earlier.link != later.link
            || earlier.vlan != later.vlan
            || earlier.interface != later.interface;
        let control = later.flags & 0x03 != 0;
        if same_id_proves && (later.length > 0 || control || other_way) {
            return apart <= SAME_ID;
        }
        if other_way {
            return apart <= OTHER_WAY;
        }
        if control || same_id_proves {
            return apart <= CONTROL;
        }
        // A bare ACK is repeated on purpose; without an identification only a flow that is known to be copied decides.
        apart <= SAME_WAY && (later.length > 0 || self.found > 0)
    }
}
