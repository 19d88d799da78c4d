//! The latency spin bit (RFC 9000 section 17.4): a client turns over what it hears, a server gives it back.
//!
//! So each change that passes the capture point is the answer to one of the other side, and the time between
//! them is a round trip to the side that answers, with what that side waits before it sends (RFC 9312 section
//! 3.8.1). Endpoints leave the bit off on one connection of sixteen at least, and may set it at random: then
//! changes come that answer nothing.

use serde::{Deserialize, Serialize};

use crate::dissect::{Direction, PacketRef};
use crate::time::{Span, Timestamp};

/// Bit of a short header.
const SPIN: u8 = 0x20;
/// Changes of each side from which a connection is taken to spin: both values, twice.
const LEAST_CHANGES: u32 = 4;
/// Changes for each packet with a bit that no side that spins would send: late packets are rare, and at
/// random every second one is wrong.
const CHANGES_FOR_WRONG: u32 = 16;

/// What a connection that spins says of its round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spun {
    /// Least time between the capture point and each side and back: the client's, the server's.
    pub least: [Span; 2],
    /// Changes of each side.
    pub changes: [u32; 2],
}

/// The bit of both sides of a connection.
#[derive(Debug, Default)]
pub(super) struct Spin {
    /// Of the last packet.
    bits: [Option<bool>; 2],
    /// When it changed last.
    changed: [Option<Timestamp>; 2],
    changes: [u32; 2],
    least: [Option<Span>; 2],
    wrong: u32,
}

impl Spin {
    /// Takes the first octet of a packet with a short header.
    pub(super) fn packet(&mut self, direction: Direction, first: u8, at: PacketRef) {
        let (own, other) = (direction.index(), direction.reverse().index());
        let bit = first & SPIN != 0;
        let Some(before) = self.bits[own].replace(bit) else { return };
        if before == bit {
            return;
        }
        // A packet that comes late has the bit of before, too.
        let turns = direction == Direction::ToServer;
        if self.bits[other].is_some_and(|heard| (heard != bit) != turns) {
            self.bits[own] = Some(before);
            self.wrong = self.wrong.saturating_add(1);
            return;
        }
        self.changes[own] = self.changes[own].saturating_add(1);
        if let Some(trip) =
            self.changed[other].map(|asked| at.time - asked).filter(|trip| *trip >= Span::ZERO)
        {
            let least = &mut self.least[own];
            *least = Some(least.map_or(trip, |least| least.min(trip)));
        }
        self.changed[own] = Some(at.time);
    }

    /// What it says, when the connection spins.
    pub(super) fn spun(&self) -> Option<Spun> {
        let [client, server] = self.changes;
        let wrong = self.wrong.saturating_mul(CHANGES_FOR_WRONG);
        let spins = client.min(server) >= LEAST_CHANGES && wrong <= client.saturating_add(server);
        let [Some(to_client), Some(to_server)] = self.least else { return None };
        spins.then_some(Spun { least: [to_client, to_server], changes: self.changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    /// Packets at the capture point, which is 3 ms in front of the client and 20 ms in front of the server:
    /// every 5 ms each side sends one, with the bit that `bits` makes of what it heard last.
    fn talk(packets: i64, mut bits: impl FnMut(Direction, bool, i64) -> bool) -> Spin {
        let mut spin = Spin::default();
        let mut heard = [Vec::new(), Vec::new()];
        let delays = [Span::millis(3), Span::millis(20)];
        let mut events = Vec::new();
        for number in 0..packets {
            for side in Direction::BOTH {
                let sent = Timestamp(0) + Span::millis(5 * number);
                let known = heard[side.index()].iter().rev().find(|(arrived, _)| *arrived <= sent);
                let bit = bits(side, known.is_some_and(|(_, bit)| *bit), number);
                let seen = sent + delays[side.index()];
                heard[side.reverse().index()].push((seen + delays[side.reverse().index()], bit));
                events.push((seen, side, bit));
            }
        }
        events.sort_by_key(|(seen, side, _)| (*seen, side.index()));
        for (packet, (time, side, bit)) in (1..).zip(events) {
            spin.packet(side, if bit { 0x60 } else { 0x40 }, PacketRef { packet, time });
        }
        spin
    }

    fn answers(side: Direction, heard: bool) -> bool {
        heard != (side == ToServer)
    }

    /// Pseudo-random bits.
    fn random(seed: i64) -> bool {
        (seed as u64 ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & 1 == 1
    }

    #[test]
    fn both_parts_of_the_round_trip_are_told() {
        let spun = talk(200, |side, heard, _| answers(side, heard)).spun().expect("it spins");
        // 6 ms and 40 ms, and up to 5 ms until the side sends its next packet.
        let [client, server] = spun.least.map(|span| span.0 / 1_000_000);
        assert!((6..=11).contains(&client) && (40..=45).contains(&server), "{spun:?}");
        assert!(spun.changes[0] > 15, "{spun:?}");
    }

    #[test]
    fn late_packets_are_no_changes() {
        for (late, told) in [(1, true), (2, false)] {
            let (mut spin, mut now) = (Spin::default(), Timestamp(0));
            for round in 0..10 {
                let bit = if round & 1 == 0 { 0x40 } else { 0x60 };
                let mut packet = |direction, first, wait| {
                    spin.packet(direction, first, PacketRef { packet: 1, time: now });
                    now = now + Span::millis(wait);
                };
                packet(ToServer, bit, 1);
                if (5..5 + late).contains(&round) {
                    packet(ToServer, bit ^ SPIN, 0);
                }
                packet(ToServer, bit, 19);
                packet(ToClient, bit, 6);
            }
            assert_eq!((spin.wrong, spin.changes), (late, [9; 2]));
            let least = [Span::millis(6), Span::millis(20)];
            assert_eq!(spin.spun().map(|spun| spun.least), told.then_some(least));
        }
    }

    /// RFC 9000 section 17.4: for each packet, or for each connection.
    #[test]
    fn who_does_not_spin_says_nothing() {
        for constant in [false, true] {
            assert_eq!(talk(300, |_, _, _| constant).spun(), None);
            assert_eq!(
                talk(300, |side, heard, _| side == ToClient && answers(side, heard) && constant).spun(),
                None
            );
        }
        for seed in 0..200 {
            let bit = |side: Direction, number: i64| random(seed * 7919 + number * 2 + side.index() as i64);
            assert_eq!(talk(60, |side, _, number| bit(side, number)).spun(), None, "{seed}");
            let client = |side, heard, number| match side {
                ToServer => bit(side, number),
                ToClient => heard,
            };
            assert_eq!(talk(60, client).spun(), None, "{seed}");
            let server = |side, heard: bool, number| match side {
                ToServer => !heard,
                ToClient => bit(side, number),
            };
            assert_eq!(talk(60, server).spun(), None, "{seed}");
        }
    }

    #[test]
    fn one_direction_says_nothing() {
        let mut spin = Spin::default();
        for number in 0..100 {
            let time = Timestamp(0) + Span::millis(number * 20);
            let first = if number & 1 == 0 { 0x40 } else { 0x60 };
            spin.packet(ToClient, first, PacketRef { packet: 1, time });
        }
        assert_eq!(spin.spun(), None);
    }
}
