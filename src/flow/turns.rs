//! Requests and responses told by the direction of the data alone: for every protocol that asks and answers,
//! encrypted ones, too.
//!
//! A turn begins with data of the client and ends before its next data. What lies between the last byte of
//! the request and the first byte of the response is the server's time and one round trip.

use serde::{Deserialize, Serialize};

use crate::app::http::{Closing, Exchange};
use crate::dissect::{Direction, PacketRef, Seq};
use crate::flow::Times;
use crate::time::Span;

/// A request and its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The packet with the last byte of the request.
    pub request: PacketRef,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// The server's ACK of the whole request, when it came before the response.
    pub ack: Option<PacketRef>,
    /// The packet with the first byte of the response.
    pub response: Option<PacketRef>,
    /// The packet with its last byte.
    pub response_end: Option<PacketRef>,
    /// Bytes of the response.
    pub response_bytes: u64,
    /// Something was sent again, or came late, before the response began.
    pub repeated: bool,
}

impl Turn {
    /// Last byte of the request to first byte of the response, at the capture point.
    pub fn waited(&self) -> Option<Span> {
        Some((self.response?.time - self.request.time).max(Span::ZERO))
    }

    /// The turn of a stream: its request was whole before the answer began, and both were captured.
    pub(super) fn of(exchange: &Exchange) -> Option<Self> {
        exchange.waited().filter(|_| !exchange.unheard)?;
        Some(Self {
            request: exchange.request_end?,
            request_bytes: exchange.request_bytes,
            ack: None,
            response: exchange.response,
            response_end: exchange.response_end,
            response_bytes: exchange.response_bytes,
            repeated: false,
        })
    }
}

/// The turns of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// Turns with a response, without those of a TLS handshake.
    pub answered: u64,
    /// Bytes of their requests.
    pub request_bytes: u64,
    /// Bytes of their responses.
    pub response_bytes: u64,
    /// How long they waited.
    pub waits: Times,
    /// From the first to the last byte of their responses, summed.
    pub transfer: Span,
    /// Those that waited longest, first [`Turns::MOST`], longest first.
    pub slowest: Vec<Turn>,
    /// How often the server sent again, unasked, after a pause of [`Turns::PAUSE`]: it streams or pushes.
    pub unasked: u64,
    /// The last request, when nothing answered it.
    pub open: Option<Turn>,
    /// The first FIN or RST.
    pub closing: Option<Closing>,
}

impl Turns {
    /// Turns kept apart.
    pub const MOST: usize = 4;
    /// Silence inside a response, after which the server sends for a reason of its own.
    pub const PAUSE: Span = Span::secs(1);

    /// Counts a turn, when it has a response.
    pub(super) fn count(&mut self, turn: Turn) {
        let Some(waited) = turn.waited() else { return };
        self.answered += 1;
        self.request_bytes += turn.request_bytes;
        self.response_bytes += turn.response_bytes;
        self.waits.add(waited);
        if let (Some(first), Some(last)) = (turn.response, turn.response_end) {
            self.transfer += (last.time - first.time).max(Span::ZERO);
        }
        let place = self.slowest.partition_point(|known| known.waited() >= Some(waited));
        if place < Self::MOST {
            self.slowest.reserve_exact(1);
            self.slowest.insert(place, turn);
            self.slowest.truncate(Self::MOST);
        }
    }
}

/// Follows the turns of one connection.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    turns: Turns,
    current: Option<Turn>,
    /// Where its request ends.
    end: Seq,
    /// It is part of a handshake.
    setup: bool,
}

impl Tracker {
    /// Bytes of memory beyond its own.
    pub(super) fn held(&self) -> usize {
        self.turns.waits.held() + self.turns.slowest.capacity() * size_of::<Turn>()
    }

    /// New data. `setup`: it belongs to a handshake above TCP.
    pub(super) fn data(
        &mut self,
        direction: Direction,
        (end, length): (Seq, u32),
        at: PacketRef,
        late: bool,
        setup: bool,
    ) {
        match (direction, &mut self.current) {
            (Direction::ToServer, Some(turn)) if turn.response.is_none() => {
                turn.request_bytes += u64::from(length);
                turn.repeated |= late;
                if !end.before(self.end) {
                    (turn.request, turn.ack, self.end) = (at, None, end);
                }
            }
            (Direction::ToServer, _) => {
                self.finish_turn();
                self.current = Some(Turn {
                    request: at,
                    request_bytes: u64::from(length),
                    ack: None,
                    response: None,
                    response_end: None,
                    response_bytes: 0,
                    repeated: late,
                });
                self.end = end;
            }
            (Direction::ToClient, Some(turn)) => {
                if turn.response.is_none() {
                    turn.response = Some(at);
                    turn.repeated |= late;
                    self.setup = setup;
                }
                let before = turn.response_end.map_or(at, |before| before);
                self.turns.unasked += u64::from(!late && at.time - before.time >= Turns::PAUSE);
                turn.response_end = Some(at);
                turn.response_bytes += u64::from(length);
            }
            (Direction::ToClient, None) => {}
        }
    }

    /// The server acknowledges up to `ack`.
    pub(super) fn acknowledged(&mut self, ack: Seq, at: PacketRef) {
        if let Some(turn) = &mut self.current
            && turn.response.is_none()
            && !ack.before(self.end)
        {
            turn.ack.get_or_insert(at);
        }
    }

    /// Data was sent again.
    pub(super) fn repeated(&mut self) {
        if let Some(turn) = &mut self.current {
            turn.repeated |= turn.response.is_none();
        }
    }

    fn finish_turn(&mut self) {
        let Some(turn) = self.current.take() else { return };
        if !self.setup {
            self.turns.count(turn);
        }
    }

    /// The connection is over.
    pub(super) fn finish(mut self, closing: Option<Closing>) -> Turns {
        match self.current {
            Some(turn) if turn.response.is_none() => self.turns.open = Some(turn),
            _ => self.finish_turn(),
        }
        self.turns.closing = closing;
        self.turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn at(packet: u64, millis: i64) -> PacketRef {
        PacketRef { packet, time: Timestamp(millis * 1_000_000) }
    }

    /// Data by side (`c` or `s`) at milliseconds, 100 bytes each.
    fn turns(steps: &[(char, i64)]) -> Turns {
        let mut tracker = Tracker::default();
        let mut ends = [0u32; 2];
        for (packet, (side, millis)) in (1..).zip(steps) {
            let direction = if *side == 'c' { Direction::ToServer } else { Direction::ToClient };
            ends[direction.index()] += 100;
            tracker.data(direction, (Seq(ends[direction.index()]), 100), at(packet, *millis), false, false);
        }
        tracker.finish(None)
    }

    #[test]
    fn a_wait_is_from_the_last_byte_asked_to_the_first_answered() {
        let turns = turns(&[('c', 0), ('c', 10), ('s', 40), ('s', 90), ('c', 100), ('s', 101)]);
        assert_eq!((turns.answered, turns.slowest.len()), (2, 2));
        assert_eq!(turns.slowest[0].waited(), Some(Span::millis(30)));
        assert_eq!((turns.slowest[0].request_bytes, turns.slowest[0].response_bytes), (200, 200));
        assert_eq!((turns.transfer, turns.unasked, turns.open), (Span::millis(50), 0, None));
    }

    #[test]
    fn what_nobody_asked_for_is_no_turn() {
        let turns = turns(&[('s', 0), ('c', 10), ('s', 20), ('s', 5_000), ('s', 10_000), ('c', 10_001)]);
        assert_eq!((turns.answered, turns.unasked), (1, 2));
        assert_eq!(turns.open.map(|turn| turn.request), Some(at(6, 10_001)));
    }

    #[test]
    fn an_ack_of_the_whole_request_is_kept() {
        let mut tracker = Tracker::default();
        tracker.data(Direction::ToServer, (Seq(200), 200), at(1, 0), false, false);
        tracker.acknowledged(Seq(100), at(2, 1));
        tracker.acknowledged(Seq(200), at(3, 2));
        tracker.acknowledged(Seq(200), at(4, 3));
        assert_eq!(tracker.finish(None).open.and_then(|turn| turn.ack), Some(at(3, 2)));
    }

    #[test]
    fn the_slowest_stay() {
        let steps: Vec<(char, i64)> =
            (0..20).flat_map(|turn| [('c', turn * 1_000), ('s', turn * 1_000 + turn * 7 % 20)]).collect();
        let waits: Vec<_> = turns(&steps).slowest.iter().map(|turn| turn.waited()).collect();
        assert_eq!(waits, [19, 18, 17, 16].map(|millis| Some(Span::millis(millis))));
    }
}
