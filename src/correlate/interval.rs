//! What happened at a service in an interval, while it is counted.

use serde::{Deserialize, Serialize};

use crate::correlate::scoreboard::{Kind, Tally};
use crate::detect::Merge;
use crate::flow::Histogram;
use crate::time::Span;

/// Times of an interval: each power of two cut into eight, so a percentile is off by 6 % at most.
pub(super) type Rough = Histogram<3>;

/// What happened at a service in an interval. There is one for each service and interval, so counts saturate
/// instead of being wide.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Interval {
    pub(super) packets: u64,
    /// IP datagram bytes.
    pub(super) bytes: u64,
    /// Attempts that began, and those of them that failed: connections or lookups, TLS handshakes, HTTP
    /// requests.
    attempts: [[u32; 2]; 3],
    /// RSTs while something was still owed.
    pub(super) resets: u32,
    /// Segments and queries that had to be sent again.
    pub(super) repeats: u32,
    response: Option<Box<Rough>>,
    round_trip: Option<Box<Rough>>,
}

/// Longer ones say no more: 128 s, beyond what any client waits as a rule.
const LONGEST: Span = Span::secs(128);

fn add(times: &mut Option<Box<Rough>>, span: Span) {
    times.get_or_insert_default().add(Span(span.0.min(LONGEST.0)));
}

impl Interval {
    fn place(kind: Kind) -> usize {
        match kind {
            Kind::Connections | Kind::Lookups => 0,
            Kind::Handshakes => 1,
            Kind::Requests => 2,
        }
    }

    /// An attempt of this kind began.
    pub(super) fn attempt(&mut self, kind: Kind, failed: bool) {
        if let Some(attempts) = self.attempts.get_mut(Self::place(kind)) {
            attempts.absorb([1, u32::from(failed)]);
        }
    }

    /// Attempts of this kind.
    pub(super) fn of(&self, kind: Kind) -> Tally {
        let [of, failed] = self.attempts.get(Self::place(kind)).copied().unwrap_or_default();
        Tally { of: of.into(), failed: failed.into() }
    }

    /// Something asked here was answered after `span`.
    pub(super) fn answered(&mut self, span: Span) {
        add(&mut self.response, span);
    }

    /// A handshake from here took `span` there and back.
    pub(super) fn went_there_and_back(&mut self, span: Span) {
        add(&mut self.round_trip, span);
    }

    /// How long what was asked here waited for its answer.
    pub(super) fn response(&self) -> Option<&Rough> {
        self.response.as_deref()
    }

    /// Round trips of the handshakes that began here.
    pub(super) fn round_trip(&self) -> Option<&Rough> {
        self.round_trip.as_deref()
    }
}

fn join(times: &mut Option<Box<Rough>>, other: Option<Box<Rough>>) {
    match (times.as_mut(), other) {
        (Some(times), Some(other)) => times.absorb(*other),
        (None, other @ Some(_)) => *times = other,
        (_, None) => {}
    }
}

impl Merge for Interval {
    fn absorb(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.attempts.absorb(other.attempts);
        self.resets.absorb(other.resets);
        self.repeats.absorb(other.repeats);
        join(&mut self.response, other.response);
        join(&mut self.round_trip, other.round_trip);
    }
}
