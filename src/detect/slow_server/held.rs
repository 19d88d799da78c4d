//! Answers that servers hold on purpose, as far as requests in plain text say so; and by which names servers
//! are asked.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::http::Exchange;
use crate::detect::{Bounded, Distinct, Merge, hash_of, merged};
use crate::dissect::Endpoint;
use crate::time::Span;

/// Parts of request targets that ask the server to wait: Socket.IO and SignalR (`poll`), Consul (`wait=`),
/// Kubernetes (`watch=`, `timeoutSeconds=`), Telegram's Bot API (`getUpdates`), CouchDB (`_changes`),
/// Bayeux (`cometd`), BOSH (`http-bind`), ActiveSync (`cmd=ping`); and what people call it themselves.
const WAITS: [&str; 11] = [
    "poll",
    "wait=",
    "waittime",
    "watch=",
    "timeout",
    "getupdates",
    "_changes",
    "cometd",
    "http-bind",
    "cmd=ping",
    "subscribe",
];

/// Types of answers that go on as long as there is something to say.
const STREAMS: [&str; 4] =
    ["text/event-stream", "multipart/x-mixed-replace", "application/grpc", "application/x-ndjson"];

/// Share of the longest wait by which the time-outs of one path differ at most: those of a busy server.
const SPREAD: f64 = 0.2;

/// Octets of a body that says only that there is nothing: `{}`, `[]`, `ok`.
const EMPTY_BODY: u64 = 2;

/// Late answers of a path, and what says that the server held them on purpose.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Held {
    late: u64,
    longest: Span,
    /// The request asked for it, or the answer is a stream.
    wanted: u64,
    /// Without a body.
    empty: u64,
    shortest_empty: Option<Span>,
}

impl Held {
    fn of(exchange: &Exchange, waited: Span) -> Self {
        let target = exchange.target.to_ascii_lowercase();
        let kind = exchange.content_type.to_ascii_lowercase();
        let asks = WAITS.iter().any(|word| target.contains(word));
        let streams = exchange.upgraded || STREAMS.iter().any(|stream| kind.starts_with(stream));
        let bare = exchange.response_whole && exchange.response_bytes <= EMPTY_BODY;
        let empty = matches!(exchange.status, Some(200..=299 | 304 | 408)) && bare;
        Self {
            late: 1,
            longest: waited,
            wanted: u64::from(asks || streams),
            empty: u64::from(empty),
            shortest_empty: empty.then_some(waited),
        }
    }
}

impl Merge for Held {
    fn absorb(&mut self, other: Self) {
        self.late += other.late;
        self.longest = self.longest.max(other.longest);
        self.wanted += other.wanted;
        self.empty += other.empty;
        self.shortest_empty = self.shortest_empty.into_iter().chain(other.shortest_empty).min();
    }
}

merged! {
    /// What is kept beside the cases.
    pub(in crate::detect) struct Beside {
        /// By server and path.
        held: Bounded<(Endpoint, String), Held>,
        /// Requests that a server ended because they never came whole.
        never_whole: Bounded<Endpoint, u64>,
        /// Names that servers are asked by.
        names: Bounded<Endpoint, Distinct<String, 8>, { 1 << 13 }>,
    }
}

impl Beside {
    /// The server ended a request that never came whole.
    pub(super) fn never_whole(&mut self, server: Endpoint) {
        if let Some(count) = self.never_whole.count(server) {
            *count += 1;
        }
    }

    /// How many requests the server ended so.
    pub(super) fn never_whole_of(&self, server: Endpoint) -> u64 {
        self.never_whole.get(&server).map_or(0, |(_, count)| *count)
    }

    /// A server is asked by this name.
    pub(super) fn asked_by(&mut self, server: Endpoint, name: &str) {
        // Addresses are no names: probes ask by those.
        let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
        if host.is_empty() || name.starts_with('[') || host.parse::<IpAddr>().is_ok() {
            return;
        }
        if let Some(names) = self.names.count(server) {
            names.add(host.to_ascii_lowercase());
        }
    }

    /// Both are asked by one name, or neither by any.
    pub(super) fn same_service(&self, one: Endpoint, other: Endpoint) -> bool {
        let names = |server| self.names.get(&server).map(|(_, names)| names);
        match (names(one), names(other)) {
            (Some(one), Some(other)) => one.iter().any(|name| other.iter().any(|too| too == name)),
            (None, None) => true,
            _ => false,
        }
    }

    /// A late answer, or one that the client did not wait for.
    pub(super) fn late(&mut self, server: Endpoint, exchange: &Exchange, waited: Span) {
        let path = (server, exchange.path().to_owned());
        if let Some(held) = self.held.observe_by(path, |_| hash_of(&server)) {
            held.absorb(Held::of(exchange, waited));
        }
    }

    /// Late answers of `server` that it holds on purpose.
    pub(super) fn on_purpose(&self, server: Endpoint) -> u64 {
        let paths = self.held.iter().filter(|((of, _), ..)| *of == server).map(|(.., held)| held);
        let held = paths.filter(|held| {
            let timer = held.shortest_empty.is_some_and(|shortest| {
                (held.longest - shortest).as_secs_f64() <= SPREAD * held.longest.as_secs_f64()
            });
            (timer && held.empty >= 2) || 2 * held.wanted >= held.late
        });
        held.map(|held| held.late).sum()
    }
}
