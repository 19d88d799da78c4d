//! What happened when: the services of the scoreboard, interval by interval.

use std::net::IpAddr;

use crate::correlate::interval::Interval;
use crate::correlate::scoreboard::{Counted, Kind, ServiceKey, Traffic};
use crate::correlate::slots::Slots;
use crate::flow::Spread;
use crate::time::{Span, Timestamp};

/// What happened at a service in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Beginning of the interval: a multiple of its width since 1970.
    pub begin: Timestamp,
    /// Packets of both sides. Those of a connection are spread evenly from its first to its last packet;
    /// queries and their responses count where they are.
    pub packets: u64,
    /// IP datagram bytes of both sides, spread in the same way; not known of lookups.
    pub bytes: Option<u64>,
    /// Connections or lookups that began and were judged.
    pub attempts: u64,
    /// Those of them that failed, then or later.
    pub failed: u64,
    /// TLS handshakes of connections that began.
    pub handshakes: u64,
    /// Those of them that were not completed.
    pub handshakes_failed: u64,
    /// HTTP requests in plain text that began and were judged.
    pub requests: u64,
    /// Those of them that the server failed.
    pub requests_failed: u64,
    /// RSTs that ended a connection while something was still owed.
    pub resets: u64,
    /// Segments or queries that had to be sent again.
    pub repeats: u64,
    /// How long requests waited for the first byte of their answer: every request of plain HTTP, the first of
    /// another connection, every lookup. A percentile is off by 6 % at most; waits beyond 128 s count as so
    /// long.
    pub response: Option<Spread>,
    /// Round trip of the TCP handshakes that began, through the capture point.
    pub round_trip: Option<Spread>,
}

/// A service over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// Server address.
    pub server: IpAddr,
    /// Server port.
    pub port: u16,
    /// `tcp`, whose attempts are connections, or `dns`, whose attempts are lookups.
    pub protocol: &'static str,
    /// Intervals in which something happened, in order.
    pub moments: Vec<Moment>,
}

/// Everything over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Width of every interval: the narrowest of a fixed list with which the capture has 48 at most.
    pub width: Span,
    /// Packets and bytes of all flows, services or not: the intervals in which there were some, in order, by
    /// their beginnings.
    pub all: Vec<(Timestamp, Traffic)>,
    /// Services in the order of [`Board::services`](super::Board::services).
    pub services: Vec<Course>,
}

impl Timeline {
    /// Of these services, in this order, and of all flows. Each service counts in intervals of its own, none
    /// of them wider than what the whole capture needs: those are the intervals of all.
    pub(super) fn new(services: &[(&ServiceKey, &Counted)], traffic: &Slots<Traffic>) -> Self {
        let own = services.iter().map(|(_, counted)| counted.slots.range());
        let ranges = own.chain([traffic.range()]).flatten();
        let range = ranges.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        let Some((from, until)) = range else { return Self::default() };
        let all = traffic.clone().over(from, until);
        let courses =
            services.iter().map(|(key, counted)| course(key, counted.slots.clone().over(from, until)));
        Self {
            width: all.width(),
            all: all.iter().map(|(begin, traffic)| (begin, *traffic)).collect(),
            services: courses.collect(),
        }
    }

    /// The course of this service.
    pub fn of(&self, server: IpAddr, port: u16, protocol: &str) -> Option<&Course> {
        let is_it =
            |course: &&Course| (course.server, course.port, course.protocol) == (server, port, protocol);
        self.services.iter().find(is_it)
    }
}

fn course(key: &ServiceKey, slots: Slots<Interval>) -> Course {
    let lookups = Kind::Lookups.is_of(key);
    let moments = slots.iter().map(|(begin, interval)| {
        let attempts = interval.of(Kind::Connections);
        let (handshakes, requests) = (interval.of(Kind::Handshakes), interval.of(Kind::Requests));
        Moment {
            begin,
            packets: interval.packets,
            bytes: (!lookups).then_some(interval.bytes),
            attempts: attempts.of,
            failed: attempts.failed,
            handshakes: handshakes.of,
            handshakes_failed: handshakes.failed,
            requests: requests.of,
            requests_failed: requests.failed,
            resets: interval.resets.into(),
            repeats: interval.repeats.into(),
            response: interval.response().and_then(|times| times.spread()),
            round_trip: interval.round_trip().and_then(|times| times.spread()),
        }
    });
    Course {
        server: key.server.address,
        port: key.server.port,
        protocol: key.protocol_name(),
        moments: moments.collect(),
    }
}
