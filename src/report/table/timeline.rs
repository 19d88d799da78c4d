//! `timeline`: one row per interval and service, what happened when.

use super::shared::{median, p95};
use super::{Column, Table, columns};
use crate::correlate::{Course, Moment, Timeline};
use crate::time::Span;

/// A service in an interval.
#[derive(Clone, Copy, Debug)]
pub struct TimelineRow<'a> {
    /// Width of the interval.
    pub width: Span,
    /// The service.
    pub course: &'a Course,
    /// What happened.
    pub moment: &'a Moment,
}

impl<'a> TimelineRow<'a> {
    /// The rows of a timeline, service by service.
    pub fn of(timeline: &'a Timeline) -> impl Iterator<Item = Self> {
        let width = timeline.width;
        timeline
            .services
            .iter()
            .flat_map(move |course| course.moments.iter().map(move |moment| Self { width, course, moment }))
    }
}

/// The table of what happened when.
#[derive(Debug)]
pub struct TimelineTable;

impl Table for TimelineTable {
    const NAME: &'static str = "timeline";
    const DOC: &'static str = "One row per interval and service in which something happened. All intervals \
        of a capture are equally wide, from 10 ms to days, and there are at most 48 of them. Joins services \
        by server, port and protocol, and has their order.";
    const BRIEF: &'static [&'static str] = &[
        "ts",
        "interval",
        "server",
        "port",
        "packets",
        "attempts",
        "failed",
        "resets",
        "repeats",
        "response_median",
    ];
    const COLUMNS: &'static [Column<Self>] = MOMENT;
    type Row<'a> = TimelineRow<'a>;
}

const MOMENT: &[Column<TimelineTable>] = columns! { TimelineTable:
    "ts" Time "beginning of the interval, a multiple of its width" = |row| row.moment.begin;
    "interval" F64 "its width, s" = |row| row.width;
    "server" Text "server address" = |row| row.course.server;
    "port" U16 "server port" = |row| row.course.port;
    "protocol" Text "tcp, whose attempts are connections; dns, whose attempts are lookups"
        = |row| row.course.protocol;
    "packets" U64 "packets of both sides; those of a connection are spread evenly from its first to its last"
        = |row| row.moment.packets;
    "bytes" U64 "IP datagram bytes of connections, spread in the same way" = |row| row.moment.bytes;
    "attempts" U64 "connections or lookups that began and were judged" = |row| row.moment.attempts;
    "failed" U64 "those of them that failed, then or later" = |row| row.moment.failed;
    "handshakes" U64 "TLS handshakes of connections that began" = |row| row.moment.handshakes;
    "handshakes_failed" U64 "those of them that were not completed" = |row| row.moment.handshakes_failed;
    "requests" U64 "HTTP requests in plain text that began" = |row| row.moment.requests;
    "requests_failed" U64 "those of them that got 5xx, a part of an answer, or none"
        = |row| row.moment.requests_failed;
    "resets" U64 "RSTs while something was still owed" = |row| row.moment.resets;
    "repeats" U64 "segments, SYNs and queries that had to be sent again" = |row| row.moment.repeats;
    "responses" U64 "answers whose wait was measured: every one of plain HTTP and of lookups, the first of \
        other connections" = |row| row.moment.response.map_or(0, |spread| spread.count);
    "response_median" F64 "last byte asked to first byte answered, within 6 %, s"
        = |row| median(row.moment.response);
    "response_p95" F64 "its 95th percentile, s" = |row| p95(row.moment.response);
    "round_trip_median" F64 "round trip of the TCP handshakes that began, within 6 %, s"
        = |row| median(row.moment.round_trip);
    "round_trip_p95" F64 "its 95th percentile, s" = |row| p95(row.moment.round_trip);
};
