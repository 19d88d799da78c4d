//! `services`: one row per service, how it fared.

use super::shared::{median, p95};
use super::{Column, Table, columns, word};
use crate::correlate::Service;

/// A service.
#[derive(Clone, Copy, Debug)]
pub struct ServiceRow<'a> {
    /// How it fared.
    pub service: &'a Service,
}

/// The table of services.
#[derive(Debug)]
pub struct Services;

impl Table for Services {
    const NAME: &'static str = "services";
    const DOC: &'static str = "One row per service: a server address and port that was asked for \
        connections, or for lookups. Those with the most failed attempts come first.";
    const BRIEF: &'static [&'static str] = &[
        "server",
        "port",
        "protocol",
        "clients",
        "attempts",
        "failed",
        "failures",
        "connect_median",
        "first_byte_median",
        "first_byte_p95",
    ];
    const COLUMNS: &'static [Column<Self>] = SERVICE;
    type Row<'a> = ServiceRow<'a>;
}

fn failures(service: &Service) -> Option<String> {
    let how = service.failures.iter().map(|(how, count)| format!("{}={count}", word(how)));
    Some(how.collect::<Vec<_>>().join(",")).filter(|text| !text.is_empty())
}

const SERVICE: &[Column<Services>] = columns! { Services:
    "server" Text "server address" = |row| row.service.server;
    "port" U16 "server port" = |row| row.service.port;
    "protocol" Text "tcp, whose attempts are connections; dns, whose attempts are lookups"
        = |row| row.service.protocol;
    "names" Text "some of the TLS server names that it was asked by, joined by commas"
        = |row| Some(row.service.names.join(",")).filter(|names| !names.is_empty());
    "clients" U64 "client addresses; at least so many when they are more than are told apart"
        = |row| row.service.clients;
    "attempts" U64 "connections or lookups that were judged" = |row| row.service.attempts;
    "failed" U64 "those that failed" = |row| row.service.failed;
    "failures" Text "how they failed, kind=count joined by commas" = |row| failures(row.service);
    "not_judged" U64 "attempts seen in one direction only, or cut by a limit or the end of the capture"
        = |row| row.service.not_judged;
    "handshakes" U64 "TLS handshakes that were judged" = |row| row.service.handshakes;
    "handshakes_failed" U64 "those that were not completed" = |row| row.service.handshakes_failed;
    "requests" U64 "HTTP requests in plain text that were judged" = |row| row.service.requests;
    "requests_failed" U64 "those that got 5xx, a part of an answer, or none"
        = |row| row.service.requests_failed;
    "connect_median" F64 "SYN to SYN-ACK, retries included, s" = |row| median(row.service.connect);
    "connect_p95" F64 "its 95th percentile, s" = |row| p95(row.service.connect);
    "tls_median" F64 "ClientHello to the end of the handshake, s" = |row| median(row.service.tls);
    "tls_p95" F64 "its 95th percentile, s" = |row| p95(row.service.tls);
    "first_byte_median" F64 "first request of a connection to the first byte of its answer; of lookups, \
        first query to response, s" = |row| median(row.service.first_byte);
    "first_byte_p95" F64 "its 95th percentile, s" = |row| p95(row.service.first_byte);
    "response_median" F64 "last byte of an HTTP request to the first of its response, s"
        = |row| median(row.service.response);
    "response_p95" F64 "its 95th percentile, s" = |row| p95(row.service.response);
    "transfer_median" F64 "first to last byte that the server sent, s" = |row| median(row.service.transfer);
    "transfer_p95" F64 "its 95th percentile, s" = |row| p95(row.service.transfer);
    "round_trip_median" F64 "round trip of the TCP handshakes, s" = |row| median(row.service.round_trip);
    "round_trip_p95" F64 "its 95th percentile, s" = |row| p95(row.service.round_trip);
    "segments" U64 "TCP segments with new data, both directions" = |row| row.service.segments;
    "lost" U64 "segments that had to be sent again" = |row| row.service.lost;
    "stalled" F64 "time without progress because of losses, s" = |row| row.service.stalled;
};
