//! Duplicate observations: one packet that the capture recorded more than once.
//!
//! Mirror ports that copy both directions, `any` interfaces and routed mirrors record packets twice. A
//! healthy capture then looks as if everything was sent twice. A copy has the same TCP header and payload as
//! its original, and comes too soon for TCP to have sent the segment again. Behind and before segmentation
//! offload, one packet is many: a super-frame and its pieces have the same ACK and time stamps.

use xxhash_rust::xxh3::xxh3_64;

use crate::dissect::PacketRef;
use crate::dissect::{Ip, Link, PacketRecord, Seq, Tcp};
use crate::time::Span;

/// Packets of one direction that a later packet is compared with.
const REMEMBERED: usize = 16;

/// The same for a connection known to be copied. With two capture points, a window of packets lies between a
/// packet and its copy.
const REMEMBERED_COPIED: usize = 256;

/// The copy has a lower TTL: it was forwarded in between. A router that looks for the next hop keeps a
/// datagram this long at most (RFC 4861 section 10: three requests, one second each). No sender repeats a
/// datagram with another TTL.
const FORWARDED: Span = Span::secs(3);

/// The IP identification is the same and not a constant of that host: no sender repeats one within this time.
const SAME_ID: Span = Span::millis(250);

/// The copy took another way (TTL, addresses, VLAN, interface), so a difference in queueing is possible.
const OTHER_WAY: Span = Span::millis(20);

/// SYN, SYN-ACK, and FIN of a copied connection: the shortest retransmission time-out in use is 200 ms (Linux
/// `TCP_RTO_MIN`).
const CONTROL: Span = Span::millis(50);

/// The same with a lower TTL: a router that had to ask for the link address of the next hop forwarded it.
const LINK_LOOKUP: Span = Span::millis(150);

/// Pieces in a row from which they are those of a super-frame, though its first ones are forgotten.
const PIECES: usize = 8;

/// Nothing tells the two apart but time.
const SAME_WAY: Span = Span::micros(100);

/// A packet that went by. Every direction remembers sixteen, so they are fingerprints that fit the cache. Two
/// fingerprints of 64 bits are practically never equal by chance.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: PacketRef,
    /// Of everything that a copy has in common with its original.
    same: u64,
    /// Of what the pieces of a super-frame have in common: ACK and time stamps.
    reply: u32,
    /// Its first sequence number and the one after its payload.
    range: (Seq, Seq),
    /// Of the way it took, as far as the capture shows it: a part of a fingerprint, beside the time to live.
    way: u32,
    id: u16,
    ttl: u8,
    /// Not all of its payload was recorded.
    cut: bool,
}

impl Seen {
    fn new(packet: &PacketRecord, ip: &Ip, tcp: &Tcp) -> Self {
        let options = &tcp.options;
        let stamps = options.timestamps.map_or(0, |(value, echo)| pair(value, echo));
        let flags = [
            tcp.flags.0,
            options.window_scale.map_or(0, |scale| scale.saturating_add(1)),
            options.sack_count,
            u8::from(options.timestamps.is_some()),
            u8::from(options.mss.is_some()),
            u8::from(options.sack_permitted),
            u8::from(options.fast_open),
            u8::from(options.incomplete),
        ];
        let mut same = [0; 10];
        same[..6].copy_from_slice(&[
            pair(tcp.seq.0, tcp.ack.0),
            packet.payload.hash,
            pair(packet.payload.length, u32::from(ip.id)),
            stamps,
            u64::from_le_bytes(flags),
            pair(u32::from(tcp.window), u32::from(options.mss.unwrap_or(0))),
        ]);
        for (word, (left, right)) in same[6..].iter_mut().zip(options.sack_blocks()) {
            *word = pair(left.0, right.0);
        }
        let Link { source: [s0, s1, s2, s3, s4, s5], destination: [d0, d1, d2, d3, d4, d5], .. } =
            packet.link;
        let way = [
            u64::from_le_bytes([s0, s1, s2, s3, s4, s5, packet.link.packet_type, ip.ttl]),
            u64::from_le_bytes([d0, d1, d2, d3, d4, d5, 0, 0]),
            pair(packet.interface, u32::from(packet.path.vlan)),
            packet.path.hash ^ u64::from(packet.path.tunnel_id),
        ];
        let at = PacketRef { packet: packet.packet, time: packet.time };
        let reply = u64::from(tcp.ack.0) ^ stamps.rotate_left(17);
        let reply = (reply.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
        let range = (tcp.seq, tcp.seq.plus(packet.payload.length));
        let cut = packet.payload.captured < packet.payload.length;
        let (same, way) = (fingerprint(same), fingerprint(way) as u32);
        Self { at, same, reply, range, way, id: ip.id, ttl: ip.ttl, cut }
    }
}

fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn fingerprint<const N: usize>(words: [u64; N]) -> u64 {
    xxh3_64(words.map(u64::to_le_bytes).as_flattened())
}

/// The last packet of the other side that is no copy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Other {
    /// Its ordinal; 0 when there is none.
    pub(super) packet: u64,
    /// It acknowledges nothing.
    pub(super) is_syn: bool,
}

/// The last packets of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    /// Parts of the fingerprints of `recent`, in one line of the cache: hardly a packet asks for the rest.
    tags: [u32; REMEMBERED],
    recent: Vec<Seen>,
    next: usize,
    /// The host changes its IP identification from packet to packet.
    counting_ids: bool,
    last_id: Option<u16>,
    found: u64,
}

impl Copies {
    /// Bytes of memory that they take.
    pub(super) fn held(&self) -> usize {
        self.recent.capacity() * size_of::<Seen>()
    }

    /// The packet that `packet` is another observation of; else remembers `packet`. `other` is the last
    /// packet of the other side.
    pub(super) fn check(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        other: Other,
    ) -> Option<PacketRef> {
        let seen = Seen::new(packet, ip, tcp);
        let tag = seen.same as u32;
        let original = self.original(&seen, packet, ip, tcp, other);
        if original.is_some() {
            self.found += 1;
            // In a loop, the next lap is compared with this one.
            let lap = |earlier: &&mut Seen| earlier.same == seen.same && seen.ttl < earlier.ttl;
            if tcp.flags.syn()
                && let Some(earlier) = self.recent.iter_mut().rev().find(lap)
            {
                *earlier = seen;
            }
            return original;
        }
        self.counting_ids |= self.last_id.is_some_and(|id| id != ip.id) && ip.id != 0;
        self.last_id = Some(ip.id);
        let most = if self.found > 0 { REMEMBERED_COPIED } else { REMEMBERED };
        let place = if self.recent.len() < most {
            self.recent.push(seen);
            self.recent.len() - 1
        } else {
            self.next %= most;
            self.recent[self.next] = seen;
            self.next += 1;
            self.next - 1
        };
        self.tags.get_mut(place).into_iter().for_each(|known| *known = tag);
        None
    }

    /// `packet` is another observation of one that is remembered.
    pub(super) fn knows(&self, packet: &PacketRecord, ip: &Ip, tcp: &Tcp, other: Other) -> bool {
        self.original(&Seen::new(packet, ip, tcp), packet, ip, tcp, other).is_some()
    }

    fn original(
        &self,
        seen: &Seen,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        other: Other,
    ) -> Option<PacketRef> {
        if self.found == 0 && !self.tags.contains(&(seen.same as u32)) {
            return None;
        }
        let copied = |earlier: &&Seen| self.is_copy(earlier, seen, packet, ip, tcp, other);
        self.recent.iter().rev().find(copied).map(|seen| seen.at)
    }

    /// The packet that `packet` is a piece of, or the last of the pieces that it is made of: the same bytes
    /// before and behind segmentation offload. For packets whose bytes were all captured before.
    pub(super) fn piece(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        other: Other,
    ) -> Option<PacketRef> {
        let seen = Seen::new(packet, ip, tcp);
        let length = |seen: &Seen| seen.range.1.since(seen.range.0);
        let alike = |earlier: &&Seen| {
            let apart = (seen.at.time - earlier.at.time).abs();
            let limit = match earlier.way != seen.way {
                true => OTHER_WAY,
                // A sender repeats what it was asked for, or in pieces what was too big (RFC 8201 section 4).
                false if self.found > 0 && other.packet < earlier.at.packet => SAME_WAY,
                false => return false,
            };
            earlier.reply == seen.reply && apart <= limit
        };
        let around = |earlier: &&Seen| {
            !earlier.range.0.after(seen.range.0)
                && !earlier.range.1.before(seen.range.1)
                && length(earlier) > length(&seen)
        };
        let recent = || self.recent.iter().rev().filter(alike);
        let original = recent().find(around).map(|whole| whole.at).or_else(|| {
            let (mut reached, mut pieces, mut last) = (seen.range.1, 0, None);
            while reached.after(seen.range.0) && pieces < PIECES {
                let ends = |piece: &&Seen| piece.range.1 == reached && length(piece) < length(&seen);
                let piece = recent().find(ends).filter(|piece| length(piece) > 0);
                let Some(piece) = piece else { break };
                reached = piece.range.0;
                last = last.or(Some(piece.at));
                pieces += 1;
            }
            last.filter(|_| pieces == PIECES || pieces > 1 && reached == seen.range.0)
        });
        self.found += u64::from(original.is_some());
        original
    }

    /// The packet that `packet` is the headers of, or the other way round: one datagram, of which the
    /// recorder cut one record. For packets whose bytes were all captured before.
    pub(super) fn headers(&mut self, packet: &PacketRecord, ip: &Ip, tcp: &Tcp) -> Option<PacketRef> {
        if ip.id == 0 || !self.counting_ids {
            return None;
        }
        let seen = Seen::new(packet, ip, tcp);
        let same = |earlier: &&Seen| {
            let apart = (seen.at.time - earlier.at.time).abs();
            let alike = (earlier.id, earlier.range, earlier.reply) == (seen.id, seen.range, seen.reply);
            alike && earlier.cut != seen.cut && apart <= SAME_ID
        };
        let original = self.recent.iter().rev().find(same).map(|whole| whole.at);
        self.found += u64::from(original.is_some());
        original
    }

    /// The packet that `packet` was before something on its way changed its payload, as a device does that
    /// encrypts it: no sender gives two segments one identification. For packets whose first byte was
    /// captured before.
    pub(super) fn changed(&mut self, packet: &PacketRecord, ip: &Ip, tcp: &Tcp) -> Option<PacketRef> {
        if ip.id == 0 || !self.counting_ids {
            return None;
        }
        let seen = Seen::new(packet, ip, tcp);
        let same = |earlier: &&Seen| {
            let apart = (seen.at.time - earlier.at.time).abs();
            let alike = (earlier.id, earlier.range.0, earlier.reply) == (seen.id, seen.range.0, seen.reply);
            alike && earlier.range.1 != earlier.range.0 && earlier.way != seen.way && apart <= SAME_ID
        };
        let original = self.recent.iter().rev().find(same).map(|whole| whole.at);
        self.found += u64::from(original.is_some());
        original
    }

    fn is_copy(
        &self,
        earlier: &Seen,
        later: &Seen,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        other: Other,
    ) -> bool {
        if earlier.same != later.same {
            return false;
        }
        let length = packet.payload.length;
        let apart = (later.at.time - earlier.at.time).abs();
        // RFC 6864 section 4.1: the identification of a datagram with DF can be anything, also a constant.
        let same_id_proves = ip.id != 0 && self.counting_ids;
        let other_way = earlier.way != later.way;
        let control = tcp.flags.0 & 0x03 != 0;
        // A sender's clock goes on between a packet and its repeat (RFC 7323 section 5.4).
        let same_clock_proves = tcp.options.timestamps.is_some();
        if later.ttl < earlier.ttl && (same_id_proves || same_clock_proves) {
            return apart <= FORWARDED;
        }
        if same_id_proves && (length > 0 || control || other_way) {
            // Where the clock of the recorder steps, a copy can be earlier by more: a repeat never is.
            return apart <= SAME_ID || later.at.time < earlier.at.time;
        }
        if later.ttl < earlier.ttl && control {
            return apart <= LINK_LOOKUP;
        }
        if other_way {
            return apart <= OTHER_WAY;
        }
        // A SYN between two SYN-ACKs asks for the second, also within one tick of the time stamps.
        let asked_for = tcp.flags.is_syn_ack() && other.packet > earlier.at.packet;
        if asked_for && other.is_syn {
            return self.found > 0 && apart <= SAME_WAY;
        }
        if asked_for && !same_clock_proves {
            return apart <= SAME_WAY;
        }
        // A FIN is probed for after two round trips, which can be shorter (RFC 8985 section 7.2).
        let probed = tcp.flags.0 & 0x02 == 0 && self.found == 0;
        if control && !probed || same_id_proves {
            return apart <= CONTROL;
        }
        // Hosts repeat bare ACKs. Without an identification, only a flow known to be copied decides.
        apart <= SAME_WAY && (length > 0 || control || self.found > 0)
    }
}
