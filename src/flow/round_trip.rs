//! Round-trip estimates seen from the capture point.

use serde::{Deserialize, Serialize};

use crate::dissect::PacketRef;
use crate::time::Span;

/// The shortest prompt round trip of some time: of data that its receiver acknowledges at once, because it is
/// more than a delayed ACK waits for (RFC 5681 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// The ACK of the shortest.
    pub at: PacketRef,
    /// Data to its ACK, at the capture point.
    pub least: Span,
    /// How many there were.
    pub count: u32,
}

/// Payload bytes that are acknowledged at once: two full segments of an Ethernet path, tunnels allowed for.
const PROMPT: u64 = 2_600;

/// Prompt round trips in slots of equal width, a power of two of seconds: the smallest with which they are so
/// many at most.
#[derive(Clone, Debug, Default)]
struct Trips {
    width: u32,
    /// Slot and shortest trip, in order.
    slots: Vec<(i64, Trip)>,
}

impl Trips {
    const MOST: usize = 32;

    fn add(&mut self, trip: Trip) {
        let slot = trip.at.time.0.div_euclid(1_000_000_000) >> self.width;
        match self.slots.last_mut() {
            // A clock that steps back adds to the slot it came from.
            Some((last, known)) if *last >= slot => known.join(trip),
            _ => self.slots.push((slot, trip)),
        }
        while self.slots.len() > Self::MOST {
            self.width += 1;
            for (slot, trip) in std::mem::take(&mut self.slots) {
                match self.slots.last_mut() {
                    Some((last, known)) if *last == slot >> 1 => known.join(trip),
                    _ => self.slots.push((slot >> 1, trip)),
                }
            }
        }
    }
}

impl Trip {
    fn join(&mut self, other: Self) {
        let count = self.count.saturating_add(other.count);
        if other.least < self.least {
            *self = other;
        }
        self.count = count;
    }
}

/// Samples of one direction: from data of one side to the ACK of the other, at the capture point.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrip {
    min: Option<Span>,
    smoothed: Option<Span>,
    variation: Span,
    sum: Span,
    count: u64,
    trips: Trips,
}

impl RoundTrip {
    /// Adds a sample from a segment that was sent once (Karn's rule), smoothed as RFC 6298 section 2 does.
    pub(super) fn sample(&mut self, span: Span) {
        if span < Span::ZERO {
            return;
        }
        self.min = Some(self.min.map_or(span, |min| min.min(span)));
        match self.smoothed {
            None => {
                self.smoothed = Some(span);
                self.variation = Span(span.0 / 2);
            }
            Some(smoothed) => {
                let off = (smoothed.0 - span.0).abs();
                self.variation = Span(self.variation.0 - self.variation.0 / 4 + off / 4);
                self.smoothed = Some(Span(smoothed.0 - smoothed.0 / 8 + span.0 / 8));
            }
        }
        self.sum += span;
        self.count += 1;
    }

    /// The ACK `at` covers so many bytes that were sent once, the last of them `span` before.
    pub(super) fn covered(&mut self, at: PacketRef, span: Span, bytes: u64) {
        if bytes >= PROMPT && span >= Span::ZERO {
            self.trips.add(Trip { at, least: span, count: 1 });
        }
    }

    /// The prompt round trips, in order.
    pub(super) fn take_trips(&mut self) -> Vec<Trip> {
        std::mem::take(&mut self.trips).slots.into_iter().map(|(_, trip)| trip).collect()
    }

    /// Bytes of memory that they take.
    pub(super) fn held(&self) -> usize {
        self.trips.slots.capacity() * size_of::<(i64, Trip)>()
    }

    pub(super) fn min(&self) -> Option<Span> {
        self.min
    }

    pub(super) fn smoothed(&self) -> Option<Span> {
        self.smoothed
    }

    /// `4 * RTTVAR` of RFC 6298.
    pub(super) fn spread(&self) -> Span {
        Span(self.variation.0.saturating_mul(4))
    }

    pub(super) fn samples(&self) -> (Span, u64) {
        (self.sum, self.count)
    }
}
