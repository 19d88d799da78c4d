//! # What it finds
//! HTTP requests that failed at the server: answers of 5xx, bodies that were cut, connections that the server
//! closed instead of answering. And paths that another server answers since a moment, with 4xx, and servers
//! that have not what clients ask for.
//!
//! # Why it matters
//! These are the failures that users see. A proxy's answer tells less than the connection to its upstream.
//!
//! # How it decides
//! Exchanges in plain text, by server and kind. `errors` of a kind are a warning when they are a twentieth of
//! the server's requests, and critical when most requests of several clients fail.
//! - `gateway_timeout` is 504, `bad_gateway` 502, `unavailable` 503, `server_error` 500 and its relatives.
//! - `cut`: the server ended the connection before the length that it had announced, or the last chunk.
//! - `unanswered`: the server ended the connection, or the stream of HTTP/2, and had not answered the
//!   request.
//! - `reset_on_path`: a RST ended the connection before the answer was whole, and its TTL is not that of the
//!   server's other packets.
//! - `grpc_status`: calls that end with UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE or DATA_LOSS.
//! - `not_found`: the server answered 404 or 410 to most requests of a client, and to `missing` or more.
//!   Information.
//! - `moved`: until a moment a path was answered well by some servers, since then by others, mostly with 4xx
//!   other than 401, 403, 407 and 429. Servers behind one address are told apart by their `Server` field.
//!
//! While requests fail, clients may try again: how much more often they ask then is stated, from `storm` on.
//!
//! Waits that differ by less than `spread` are a timer: its time is stated. The proxy's other leg is what its
//! address asked of others while the request waited, and did not get.
//!
//! # What it leaves alone
//! - Other 4xx, and 404 here and there: an answer to the client, and no outage. 501 and 505 reject the
//!   request itself.
//! - Other statuses of gRPC: they answer the caller. Streams that the server refuses before it begins with
//!   them (REFUSED_STREAM, GOAWAY): clients try those again.
//! - One client that fails at many paths, as scanners do: that is information. So are services that never
//!   speak HTTP and close what one client asks: five of them are one finding.
//! - WinRM sends its faults with 500 and a message (SOAP 1.2 part 2 section 7.5.2), also when it has no
//!   output yet. Where the server answers most requests well, they belong to the dialogue: that is
//!   information.
//! - A request on a used connection that the server closes within a second: it may have been closing before
//!   the request came.
//! - Probes by their path (`/healthz`, `/primary`): `health_check` follows those, and some are meant to fail.
//! - Services that never answered in HTTP on a port that something else is known by: they may speak that.
//! - Exchanges with bytes that the capture lacks, and those open at its end. Requests that were sent again
//!   and never acknowledged.
//!
//! # What it does not claim
//! Why the server failed, or that the network did. Whether the client got the answer at another try.
//!
//! # References
//! RFC 9110 sections 15.6 and 7.6; RFC 9112 sections 6.3 and 8; RFC 9113 sections 6.8 and 7; gRPC over
//! HTTP/2.

mod legs;
mod missing;
mod probes;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::app::http::{Closing, Exchange};
use crate::app::http2::{error_name, grpc_status_name};
use crate::detect::http_error::legs::{Lack, Leg, Moments, upstream};
use crate::detect::http_error::missing::Missing;
use crate::detect::http_error::routes::{Asked, Origin, Route, Routes};
use crate::detect::ports::is_known;
use crate::detect::rates::Rates;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, FlowHead, HandshakeOutcome};
use crate::time::Span;

thresholds! {
    /// Counts failed requests by server and kind.
    struct HttpError {
        errors: u64 = 3.0 "requests",
            "failures of a kind at a server, below which it is information only",
            "ours: one or two may be one user's mishap";
        sweep: u64 = 15.0 "paths",
            "paths at which one client alone fails, from which it is information only",
            "Zeek's scan policy, 15 ports";
        timer: Span = 1.0 "s",
            "shortest wait that can be a time-out",
            "ours: the shortest time-outs of proxies are whole seconds";
        spread: f64 = 0.05 "share",
            "of the longest wait, by which waits of one timer differ at most",
            "ours: a timer of a second in a busy process";
        moved: u64 = 5.0 "requests",
            "requests before and after, from which a path is said to have moved",
            "ours: as few as show a change of habit";
        missing: u64 = 10.0 "requests",
            "of a client that a server answered with 404 or 410, from which that is said",
            "ours: a page has some links that are gone";
        storm: f64 = 2.0 "times",
            "as many requests a second while most of them fail, from which that is stated",
            "ours: one more try for each request";
    }
}

variants! {
    /// How requests fail.
    enum Problem {
        GatewayTimeout "gateway_timeout" Critical {
            could_be: &[
                "the upstream takes longer than the proxy waits",
                "the proxy's packets to it are lost",
            ],
            next: &[
                "look at the upstream's leg: slow_server and missing_syn_ack about the proxy's address",
                "compare the proxy's time-out with the upstream's response times in its log",
            ],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        BadGateway "bad_gateway" Critical {
            could_be: &[
                "one of the upstreams does not listen, or resets connections",
                "the upstream closes idle connections while the proxy uses them again",
                "the upstream's answer is not valid HTTP",
            ],
            next: &[
                "read the proxy's error log for the upstream's address",
                "list the upstreams' sockets: ss -ltn",
            ],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Unavailable "unavailable" Critical {
            could_be: &[
                "no backend is in service",
                "the server sheds load or limits the rate",
                "it is being maintained",
            ],
            next: &[
                "look at the proxy's view of its backends and their health checks",
                "where clients try again at once: give them a pause that grows (RFC 9110 section 10.2.3)",
            ],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        ServerError "server_error" Critical {
            could_be: &["a fault of the application", "something that the application needs fails"],
            next: &["read the application's log at these times"],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Cut "cut" Critical {
            could_be: &[
                "the application ended or crashed in the middle of an answer",
                "a proxy lost its upstream, or stopped waiting for it",
                "a limit of time or size ended the transfer",
            ],
            next: &["compare the length announced with the length sent in the server's log"],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Unanswered "unanswered" Critical {
            could_be: &[
                "the process ended or crashed over the request",
                "the server rejects it without a word",
            ],
            next: &["read the server's log at these times"],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        ResetOnPath "reset_on_path" Critical {
            could_be: &[
                "a filter or proxy on the path resets connections for these requests",
                "a load balancer resets them in the place of a server that is gone",
                "another stack of the server sends its RSTs, with an initial TTL of its own",
            ],
            next: &[
                "compare TTL, window and identification of the RST with the server's other packets",
                "try the same request by another way: another network, or TLS",
            ],
            not_claimed: &["who sent the RSTs", "whether a later try of the client succeeded"],
            doubted_by: DOUBTED,
        }
        Moved "moved" Warning {
            could_be: &[
                "a routing rule of an ingress or load balancer changed",
                "a deployment moved the path",
            ],
            next: &["compare the routing rules before and after that moment"],
            not_claimed: &["that the change was not intended", "that the network failed"],
            doubted_by: DOUBTED,
        }
        NotFound "not_found" Info {
            could_be: &[
                "pages refer to files that were removed, or never copied to the server",
                "a client tries paths, as scanners do",
            ],
            next: &["look in the server's log who refers to these paths (Referer)"],
            not_claimed: &["that anybody misses them"],
            doubted_by: DOUBTED,
        }
        GrpcStatus "grpc_status" Critical {
            could_be: &[
                "a fault of the application, or something that it needs fails",
                "no backend is in service (UNAVAILABLE)",
                "the deadline of the call is shorter than what it asks for takes (DEADLINE_EXCEEDED)",
            ],
            next: &[
                "read the server's log at these times",
                "call the method by hand: grpcurl HOST:PORT METHOD",
            ],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
    }
}

const NOT_CLAIMED: &[&str] = &["why the server failed", "whether a later try of the client succeeded"];
const DOUBTED: &[QualityIssue] = &[QualityIssue::Drops];

/// The statuses of gRPC that are as 5xx: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS.
const GRPC_FAILURES: [u16; 5] = [2, 4, 13, 14, 15];

impl Problem {
    fn of(exchange: &Exchange) -> Option<Self> {
        let by_server = |closing: &Closing| closing.direction == Direction::ToClient;
        let closed = exchange.closed.filter(by_server).filter(|_| !exchange.is_refused());
        let grpc = exchange.grpc_status.is_some_and(|status| GRPC_FAILURES.contains(&status));
        match exchange.status {
            Some(504) => Some(Self::GatewayTimeout),
            Some(502) => Some(Self::BadGateway),
            Some(503) => Some(Self::Unavailable),
            // 507 to 509 are WebDAV's and hosts', 520 to 530 content networks'.
            Some(500 | 507..=509 | 520..=530) => Some(Self::ServerError),
            Some(_) if grpc => Some(Self::GrpcStatus),
            Some(_) if closed.is_some_and(|closing| closing.other_ttl) && exchange.is_cut() => {
                Some(Self::ResetOnPath)
            }
            Some(_) => (closed.is_some() && exchange.is_cut()).then_some(Self::Cut),
            None => {
                let (closing, asked) = (closed?, exchange.request_end?);
                let after = closing.at.time - asked.time;
                // A stream is ended on purpose; a connection may have been closing before the request came.
                let used = exchange.error.is_none() && exchange.depth > 1 && after < Span::secs(1);
                let late = closing.at.packet > asked.packet;
                let arrived = exchange.request_whole && !exchange.undelivered;
                let problem = if closing.other_ttl { Self::ResetOnPath } else { Self::Unanswered };
                (late && !used && arrived).then_some(problem)
            }
        }
    }

    /// The reason phrase of its status; empty for those without one.
    fn phrase(self) -> &'static str {
        match self {
            Self::GatewayTimeout => "504 (Gateway Timeout)",
            Self::BadGateway => "502 (Bad Gateway)",
            Self::Unavailable => "503 (Service Unavailable)",
            Self::ServerError => "a server error",
            Self::Cut | Self::Unanswered | Self::ResetOnPath => "",
            Self::Moved | Self::NotFound | Self::GrpcStatus => "",
        }
    }
}

/// The server failed the request: an answer of 5xx, one that was cut, or none.
pub fn request_failed(exchange: &Exchange) -> bool {
    Problem::of(exchange).is_some()
}

counts! {
    /// What a case counts beside its requests.
    struct Failures {
        paths: Distinct<String, 64>,
        statuses: Distinct<u16, 16>,
        by_reset: u64,
        /// Faults of WinRM.
        faults: u64,
        /// HTTP/2 ended the stream, and not the connection.
        by_code: u64,
        shortest_wait_us: Least,
        longest_wait_us: Most,
        moments: Moments,
    }
}

merged! {
    /// What is kept beside the cases.
    pub(super) struct Beside {
        /// By who asked.
        legs: Bounded<(IpAddr, Leg), (), { 1 << 13 }>,
        routes: Routes,
        missing: Missing,
        /// By server.
        rates: Bounded<Endpoint, Rates>,
        /// Servers that answered in HTTP at least once.
        speak: Bounded<Endpoint, ()>,
    }
}

impl Beside {
    fn leg(&mut self, asks: IpAddr, leg: Leg) {
        self.legs.observe_by((asks, leg), |_| hash_of(&asks));
    }
}

impl Detector for HttpError {
    const RULE: Rule = Rule {
        name: "http_error",
        group: Group::Application,
        summary: "HTTP requests that failed at the server: 5xx, cut or missing answers",
        judges: "requests",
        variants: Problem::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("http_error.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[
        // A proxy passes on what it got.
        Explains::by(Meet::Upstream, &["http_error"]),
    ];
    type Variant = Problem;
    type Key = (Endpoint, Problem);
    type Counts = Failures;
    type Total = ();
    type Notes = Beside;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let what = match tcp.handshake.outcome {
            HandshakeOutcome::Refused => Lack::Refused,
            HandshakeOutcome::Silent | HandshakeOutcome::Unreachable => Lack::NoConnection,
            _ => return,
        };
        let leg = Leg { to: flow.server, what, from: flow.first, until: flow.last };
        book.notes.leg(flow.client.address, leg);
    }

    fn exchange(&self, exchange: &Exchange, flow: &FlowHead, book: &mut Book<Self>) {
        if exchange.never_came_whole() {
            return book.not_judged("requests that never came whole, and that the server ended (408)");
        }
        let Some(asked) = exchange.request.filter(|_| !exchange.unheard) else {
            return book.not_judged("bytes of it were not captured");
        };
        if is_probed(exchange.path()) {
            return book.not_judged("probes, which health_check follows");
        }
        let problem = Problem::of(exchange);
        let lack = match (problem, exchange.closed, exchange.status) {
            (Some(Problem::Cut | Problem::Unanswered | Problem::ResetOnPath), Some(closing), _)
                if closing.reset =>
            {
                Some(Lack::Reset)
            }
            (Some(Problem::Cut | Problem::Unanswered), ..) => Some(Lack::Closed),
            (Some(Problem::GrpcStatus), ..) => exchange.grpc_status.map(Lack::Grpc),
            (Some(_), _, Some(status)) => Some(Lack::Status(status)),
            (None, Some(closing), None) if closing.direction == Direction::ToServer => Some(Lack::GaveUp),
            (None, _, Some(_)) if exchange.waited() >= Some(self.timer) => Some(Lack::Late),
            _ => None,
        };
        let end = exchange.closed.map(|closing| closing.at).or(exchange.response_end).unwrap_or(asked);
        if let Some(what) = lack {
            let leg = Leg { to: flow.server, what, from: asked, until: end };
            book.notes.leg(flow.client.address, leg);
        }
        if exchange.is_refused() {
            return book.not_judged("streams that the server refused, which clients try again");
        }
        if problem.is_none() && exchange.status.is_none() {
            return book.not_judged(match exchange.undelivered {
                true => "requests that were sent again, and never acknowledged",
                false => "no answer before the client closed, or before the capture ended",
            });
        }
        book.judged(&flow.server);
        if exchange.status.is_some() || exchange.version == 2 {
            book.notes.speak.count(flow.server);
        }
        book.notes.routes.add(exchange, flow);
        book.notes.missing.add(exchange, flow, asked);
        if let Some(rates) = book.notes.rates.count(flow.server) {
            rates.add(asked.time, problem.is_some());
        }
        let Some(problem) = problem else { return };
        let Some(case) = book.case((flow.server, problem)) else { return };
        case.exchange(exchange, flow);
        case.failed += 1;
        case.lost += exchange.waited().unwrap_or_default();
        case.counts.paths.add(exchange.path().to_owned());
        case.counts.by_reset += u64::from(exchange.closed.is_some_and(|closing| closing.reset));
        case.counts.moments.0.add((asked.time, end.time));
        case.counts.by_code += u64::from(exchange.error.is_some());
        case.counts.faults += u64::from(is_winrm_fault(exchange));
        let grpc = exchange.grpc_status.filter(|_| problem == Problem::GrpcStatus);
        if let Some(status) = grpc.or(exchange.status) {
            case.counts.statuses.add(status);
        }
        if let Some(waited) = exchange.waited() {
            case.counts.shortest_wait_us.add((waited.0 / 1_000).unsigned_abs());
            case.counts.longest_wait_us.add((waited.0 / 1_000).unsigned_abs());
        }
        case.show(0, flow.id, || {
            let line = format!("{} {}", exchange.method, exchange.path());
            let response = exchange.response.map(|at| {
                let after = exchange.waited().map_or(String::new(), |waited| format!(", {waited} later"));
                let status = exchange.status.unwrap_or_default();
                let grpc = exchange.grpc_status.map_or(String::new(), |status| {
                    format!(", grpc-status {status} ({})", grpc_status_name(status))
                });
                Evidence::new(at, Role::Response, format!("{status}{grpc}{after}"))
            });
            let closing = exchange.closed.map(|closing| {
                let (role, what) = match (exchange.error, closing.reset) {
                    (Some(code), _) => (Role::Reset, error_name(code)),
                    (None, true) => (Role::Reset, "RST".to_owned()),
                    (None, false) => (Role::Fin, "FIN".to_owned()),
                };
                let sent = exchange.response_bytes;
                let of = exchange.announced.map_or(String::new(), |length| format!(" of {length}"));
                Evidence::new(closing.at, role, format!("{what} after {sent}{of} bytes of the body"))
            });
            [Some(Evidence::new(asked, Role::Request, line)), response, closing].into_iter().flatten()
        });
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        let routes = std::mem::take(&mut book.notes.routes);
        // Who answers requests and asks others is a proxy.
        let answering: BTreeSet<IpAddr> = book.totals().map(|(server, ..)| server.address).collect();
        let mut paths: BTreeMap<(&Asked, &str), Vec<(&Origin, &Route)>> = BTreeMap::new();
        for (asked, prefix, origin, route) in routes.iter() {
            if !matches!(asked, Asked::By(client) if !answering.contains(client)) {
                paths.entry((asked, prefix)).or_default().push((origin, route));
            }
        }
        // The same may be told by the host and by the proxy.
        let mut told: BTreeSet<(&str, Vec<Endpoint>)> = BTreeSet::new();
        let moved = paths.into_iter().filter_map(|(path, servers)| {
            let (draft, case) = self.moved(path, servers)?;
            let mut to: Vec<Endpoint> = case.affected.servers.iter().copied().collect();
            to.sort_unstable();
            told.insert((path.1, to)).then_some((draft, case))
        });
        let mut found: Vec<Concluded<Self>> = moved.collect();
        let moved: BTreeSet<Endpoint> =
            found.iter().flat_map(|(_, case)| case.affected.servers.iter().copied()).collect();
        found.extend(std::mem::take(&mut book.notes.missing).conclude(self.missing, &moved));
        found.extend(probes::of_one_client(book, self.errors));
        found
    }

    fn judge(
        &self,
        (server, problem): &Self::Key,
        case: &Case<Failures>,
        book: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Problem>> {
        let (failed, of) = (case.failed, plural(case.total.max(case.failed), "request"));
        // A scanner speaks HTTP to what never does: what closes such a connection is no web server.
        let another = is_known(server.port) && !PORTS.contains(&server.port);
        if *problem == Problem::Unanswered && another && book.notes.speak.get(server).is_none() {
            return None;
        }
        let scan = case.affected.clients.count() == 1 && case.counts.paths.count() >= self.sweep
            || context.heard.is_scan(&case.affected.clients, server.address);
        let faults = case.counts.faults;
        let dialogue = faults * 2 > failed && failed * 2 <= case.total;
        let severity = match failed {
            _ if failed < self.errors || scan => Severity::Info,
            _ if dialogue && failed - faults < self.errors => Severity::Info,
            _ => case.severity(failed),
        };
        let status = case.counts.statuses.only().filter(|_| *problem == Problem::ServerError);
        let said = match problem {
            Problem::GrpcStatus => {
                let mut names: Vec<_> = case.counts.statuses.iter().copied().map(grpc_status_name).collect();
                names.sort();
                names.join(" or ")
            }
            _ => status.map_or(problem.phrase().to_owned(), u16::to_string),
        };
        let ends = if case.counts.by_code == failed { "the stream of" } else { "the connection on" };
        let (title, fate) = match problem {
            Problem::Cut => {
                (format!("{server} cuts {failed} of {of} short"), "got part of the answer".to_owned())
            }
            Problem::Unanswered => {
                let title = format!("{server} ends {ends} {failed} of {of} without an answer");
                (title, "got no answer".to_owned())
            }
            Problem::ResetOnPath => (
                format!("RSTs with another TTL than that of {server} end {failed} of {of}"),
                "got no whole answer".to_owned(),
            ),
            _ => (format!("{server} answers {failed} of {of} with {said}"), format!("got {said}")),
        };
        let mut summary = format!("{} {fate} for {failed} of {of}.", case.clients());
        if let Some(timer) = self.time_out(case) {
            summary += &format!(" Each answer came {timer} after its request, as after a time-out.");
        }
        if faults > 0 {
            summary += &format!(" {} faults of WinRM, which its client reads.", which(faults, failed));
        }
        let legs = upstream(*server, case, book);
        let mut by_upstream: BTreeMap<(Endpoint, Lack), u64> = BTreeMap::new();
        for leg in &legs {
            *by_upstream.entry((leg.to, leg.what)).or_default() += 1;
        }
        for ((upstream, lack), count) in by_upstream.iter().take(2) {
            summary += &format!(" Meanwhile {upstream} {}.", lack.text(*count).replace("the proxy", "it"));
        }
        let rise = book.notes.rates.get(server).and_then(|(_, rates)| rates.rise());
        let ratio = rise.map_or(0.0, |rise| rise.failing / rise.well);
        if let Some(rise) = rise.filter(|_| ratio >= self.storm && failed >= self.errors) {
            summary += &format!(
                " Clients ask {ratio:.1} times as often while requests fail: {:.1} a second and not {:.1}.",
                rise.failing, rise.well,
            );
        }
        let shown = legs.iter().take(4).flat_map(|leg| {
            let fields = |what: &str| format!("{}: {what}", leg.to);
            let end = match leg.what {
                Lack::Status(status) => format!("{status}"),
                Lack::Grpc(status) => grpc_status_name(status),
                Lack::Refused => "refused".to_owned(),
                Lack::Late => "the answer, too late".to_owned(),
                _ => "end without an answer".to_owned(),
            };
            [
                Evidence::new(leg.from, Role::UpstreamQuery, fields("asked")),
                Evidence::new(leg.until, Role::UpstreamResponse, fields(&end)),
            ]
        });
        let shown: Vec<Evidence> = shown.collect();
        Some(
            Draft::new(*problem, title, summary)
                .severity(severity)
                .count("upstream_failures", legs.len() as u64)
                .count(
                    "time_out_ms",
                    self.time_out(case).map_or(0, |timer| (timer.0 / 1_000_000).unsigned_abs()),
                )
                .show(shown),
        )
    }
}

/// Of the ports that services are known by, those of plain HTTP: its own (RFC 9110 section 4.2.1), IANA's
/// alternatives, proxies, and APIs over it (Docker, etcd, WinRM, Elasticsearch, Kibana, WebLogic).
const PORTS: [u16; 16] =
    [80, 81, 591, 2375, 2379, 3128, 5000, 5601, 5985, 7001, 8000, 8008, 8080, 8081, 8888, 9200];

/// A fault of WS-Management: its path, and SOAP 1.2 (RFC 3902) or an encrypted message (MS-WSMV section
/// 2.2.9.1). Other services of SOAP send faults when they fail.
fn is_winrm_fault(exchange: &Exchange) -> bool {
    let media = exchange.content_type.split(';').next().unwrap_or_default().trim();
    let message = ["application/soap+xml", "multipart/encrypted"];
    exchange.status == Some(500)
        && exchange.path() == "/wsman"
        && message.iter().any(|known| media.eq_ignore_ascii_case(known))
}

/// `They are`; `12 of them are` when not all are.
fn which(count: u64, of: u64) -> String {
    if count == of { "They are".to_owned() } else { format!("{count} of them are") }
}

impl HttpError {
    /// The one wait of all failures, when it is a timer's.
    fn time_out(&self, case: &Case<Failures>) -> Option<Span> {
        let micros = |number: u64| Span::micros(number.min(1 << 40) as i64);
        let shortest = micros(case.counts.shortest_wait_us.get());
        let longest = micros(case.counts.longest_wait_us.get());
        let close = (longest - shortest).as_secs_f64() <= self.spread * longest.as_secs_f64();
        (case.failed >= self.errors && shortest >= self.timer && close).then_some(shortest)
    }
}

#[cfg(test)]
mod tests;
