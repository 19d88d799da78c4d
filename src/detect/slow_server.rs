//! # What it finds
//! Services that take long to begin their answers, and services that clients give up on, while the network
//! between them is well. It needs no plain text: requests and answers are told by the direction of the data.
//!
//! # Why it matters
//! Everybody blames the network. The time between the last byte of a request and the first byte of its
//! answer, less one round trip, is spent behind the server's address.
//!
//! # How it decides
//! An answer is late when it begins `late` or more after its request, the round trip of the connection
//! subtracted, and nothing of the request was sent again. Late answers that are `answers` and a twentieth of
//! the service's requests are a finding:
//! - `slow`: late answers.
//! - `backend`: the median is `factor` times that of a server of the same network, port and name, which is
//!   quick.
//! - `silent`: the server acknowledged the request, and the client closed the connection without an answer;
//!   or waited `poll` or more until the end of the capture, on a connection on which the server never sent
//!   anything.
//!
//! Of HTTP in plain text one wait of `poll` is enough for information, when nothing looks like long polling.
//! A protocol that is not known is judged where the server never says anything on any of these connections,
//! after `poll`, and is information: some go one way.
//!
//! Late answers are a warning when half of the requests or more get one, five at least, and the protocol is
//! HTTP in plain text, or the siblings are quick. Clients that give up after one and the same time, their
//! time-out, failed: severity is by their share.
//!
//! # What it leaves alone
//! - SSH, Telnet, DNS, and short messages answered by short messages: people type, and heartbeats wait.
//! - Servers that send again, unasked, after a second: streams, notifications, WebSockets, subscriptions.
//! - TLS handshakes.
//! - Requests whose ACK took `ack_delay` or more: it came late, or the capture leaves bare ACKs out.
//! - Long polling and streams: that is information. In plain text the server holds an answer on purpose when
//!   the request asks for it (`wait`, `poll`, `watch` and the like), when the answer is a stream of events,
//!   and on paths whose empty answers come after one and the same time, and no other later. Elsewhere small
//!   answers after ten seconds and more look like that.
//! - What was sent again: that is the network's time (see `retransmission`).
//! - Answers 408 to requests that never came whole: the server waited, and not the client.
//!
//! # What it does not claim
//! What the server waits for: its processor, a lock, a pool of connections, a database behind it. Times of a
//! proxy include those of its upstream.
//!
//! # References
//! RFC 9293 section 3.8.6.3 (delayed ACKs); RFC 6202 (long polling); WHATWG HTML section 9.2 (events);
//! pcaptriage: response time above 1 s or five times the others'.

mod held;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::app::http::{Closing, Exchange};
use crate::detect::scope::network;
use crate::detect::slow_server::held::Beside;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, FlowHead, Roles, Service, TcpFlow, Times, Turn, Turns};
use crate::time::Span;

thresholds! {
    /// Counts answers by how long they took.
    struct SlowServer {
        late: Span = 1.0 "s",
            "time before the first byte of an answer, round trip subtracted, from which it is late",
            "pcaptriage: 1 s";
        ack_delay: Span = 0.5 "s",
            "from a request to its ACK, round trip subtracted, from which nobody knows when the host had it",
            "RFC 1122 section 4.2.3.2: ACKs wait less than 0.5 s";
        answers: u64 = 3.0 "answers",
            "late answers of a service, below which nothing is said",
            "ours: one or two may be a cold start";
        factor: f64 = 5.0 "times",
            "median of a server over that of a quick sibling, from which it is the one bad backend",
            "pcaptriage: five times the median of the others";
        siblings: u64 = 5.0 "answers",
            "answers of a sibling, from which it is compared with",
            "pcaptriage: five exchanges";
        poll: Span = 10.0 "s",
            "median wait of small answers, from which they look like long polling",
            "RFC 6202 section 5.5: long polls end after 30 s as a rule";
        spread: f64 = 0.05 "share",
            "of the longest wait, by which waits of one timer differ at most",
            "ours: a timer of a second in a busy process";
    }
}

variants! {
    /// How it is slow.
    enum Extent {
        Slow "slow" Info {
            could_be: &[
                "the application waits for something behind it: a database, a lock, a pool, another service",
                "the host is short of processor time or memory",
                "it is the protocol's way to hold the answer back until there is something to say",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Backend "backend" Info {
            could_be: &[
                "this one host is overloaded, or misses a cache, an index or a configuration of the others",
                "it got the expensive requests",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Silent "silent" Critical {
            could_be: &[
                "the application waits for something behind it: a database, a lock, a pool, another service",
                "the client's time-out is shorter than the request takes",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
    }
}

const NEXT: &[&str] = &[
    "read the server's own response times at these moments",
    "capture between the server and what it asks: the same rule judges that leg",
];
const NOT_CLAIMED: &[&str] = &["what the server waited for", "that the server's host is overloaded"];
const DOUBTED: &[QualityIssue] = &[QualityIssue::Drops, QualityIssue::Missed, QualityIssue::Disorder];

/// Bytes per message, below which neither requests nor answers say much.
const SHORT_REQUEST: u64 = 64;
const SHORT_ANSWER: u64 = 100;
/// Head and body of an answer that says only that there is nothing.
const EMPTY_ANSWER: u64 = 600;
/// Segments of a client that asks once. Who sends more, and wants no answer, sends logs or a file.
const ASKS: u64 = 4;
/// Nobody waits longer for the first byte (Firefox, `network.http.response.timeout`, and Chrome: 300 s).
const PATIENCE: Span = Span::secs(300);
/// Telnet, rlogin, shell: people type.
const TYPED: [u16; 4] = [22, 23, 513, 514];

counts! {
    /// What is counted of every request.
    struct Profile {
        requests: u64,
        late: u64,
        /// How long the server took.
        think: Times,
        response_bytes: u64,
    }
}

counts! {
    /// What a case counts beside its flows.
    struct Lateness {
        late_answers: u64,
        given_up: u64,
        /// Of those, the ones that still waited when the capture ended.
        pending: u64,
        /// Of those, the ones of a protocol that is not known.
        unknown: u64,
        late_http: u64,
        late_tls: u64,
        shortest_wait_us: Least,
        longest_wait_us: Most,
        shortest_given_up_us: Least,
        longest_given_up_us: Most,
        /// From the request to the server's ACK of it.
        longest_ack_us: Most,
        longest_round_trip_us: Most,
        /// From SYN to SYN-ACK, where that took far longer than what was acknowledged later.
        beyond_us: Most,
        /// Data segments of its flows that were sent again.
        resent: u64,
    }
}

fn micros(span: Span) -> u64 {
    (span.0.max(0) / 1_000).unsigned_abs()
}

fn span(micros: u64) -> Span {
    Span::micros(micros.min(1 << 50) as i64)
}

/// A NAT or proxy near the client opens the connection only when its own has opened, and acknowledges all
/// else at once.
fn is_relayed(opening: Span, later: Span) -> bool {
    opening >= Span::millis(20) && later.0 < opening.0 / 10
}

/// The network's share of a wait, as seen from the capture point: out to the server and back.
fn round_trip(tcp: &TcpFlow) -> Option<Span> {
    let seen = [tcp.handshake.server_rtt, tcp.side(Direction::ToServer).min_rtt];
    seen.into_iter().flatten().min()
}

impl SlowServer {
    /// Why the waits of a flow say nothing of its server.
    fn excluded(flow: &Flow, turns: &Turns) -> Option<&'static str> {
        let typed = TYPED.contains(&flow.server.port) || flow.service == Some(Service::Ssh);
        let heartbeats = flow.service != Some(Service::Http)
            && turns.answered > 0
            && turns.request_bytes < SHORT_REQUEST * turns.answered
            && turns.response_bytes < SHORT_ANSWER * turns.answered;
        match () {
            () if typed || flow.service == Some(Service::Dns) => Some("an interactive protocol, or DNS"),
            () if flow.roles == Roles::FirstPacket => Some("who asks and who answers was not seen"),
            () if turns.unasked > 0 => Some("the server sends without being asked"),
            () if heartbeats => Some("messages too short for requests and answers"),
            () => None,
        }
    }

    /// A request that the server acknowledged and did not answer until the client closed the connection, or
    /// the capture ended.
    fn unanswered(&self, flow: &Flow, turns: &Turns) -> Option<Unanswered> {
        let turn = turns.open.filter(|turn| turn.ack.is_some() && !turn.repeated)?;
        let mute = flow.half(Direction::ToClient).payload_bytes == 0;
        let once = flow.tcp.as_ref()?.side(Direction::ToServer).data_segments <= ASKS;
        let (asks, least) = match (flow.service, turns.closing) {
            (Some(Service::Http), Some(_)) => (true, self.late),
            (Some(Service::Tls), Some(_)) => {
                (turn.request_bytes >= SHORT_REQUEST && turns.answered > 0, self.late)
            }
            (Some(Service::Http), None) => (mute, self.poll),
            (None, _) => (mute && once, self.poll),
            _ => (false, self.poll),
        };
        let ends = match turns.closing {
            Some(Closing { at, direction: Direction::ToServer, .. }) if at.packet > turn.request.packet => {
                at.time
            }
            Some(_) => return None,
            None => flow.watched_until,
        };
        let waited = ends - turn.request.time;
        // Who has not closed by then is not in the capture any more: a part of one, or a filter.
        let there = turns.closing.is_some() || waited <= PATIENCE;
        (asks && there && waited >= least).then_some(Unanswered { turn, closing: turns.closing, waited })
    }
}

/// A request without an answer.
struct Unanswered {
    turn: Turn,
    /// The client's end of the connection; `None` when it still waited.
    closing: Option<Closing>,
    waited: Span,
}

impl Detector for SlowServer {
    const RULE: Rule = Rule {
        name: "slow_server",
        group: Group::Application,
        summary: "services that take long to begin their answers, while the network is well",
        judges: "flows",
        variants: Extent::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("slow_server.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[
        Explains::by(Meet::Flows, &["http_error"]),
        Explains::by(Meet::Service, &["http_error"]),
        // A proxy's clients wait for what it waits for.
        Explains::by(Meet::Upstream, &["http_error", "slow_server"]),
    ];
    type Variant = Extent;
    type Key = Endpoint;
    type Counts = Lateness;
    type Total = Profile;
    type Notes = Beside;

    fn exchange(&self, exchange: &Exchange, flow: &FlowHead, book: &mut Book<Self>) {
        if exchange.never_came_whole() {
            book.notes.never_whole(flow.server);
        }
        if exchange.depth == 1 {
            book.notes.asked_by(flow.server, &exchange.host);
        }
        let given_up = || Some(exchange.closed?.at.time - exchange.request_end?.time);
        let waited = exchange.waited().or_else(given_up).filter(|waited| *waited >= self.late);
        waited.into_iter().for_each(|waited| book.notes.late(flow.server, exchange, waited));
    }

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let Some(turns) = tcp.turns.as_deref().filter(|turns| turns.answered > 0 || turns.open.is_some())
        else {
            return;
        };
        if let Some(why) = Self::excluded(flow, turns) {
            return book.not_judged(why);
        }
        let Some(rtt) = round_trip(tcp) else { return book.not_judged("no round trip was seen") };
        if let Some(name) = flow.tls.as_ref().map(|tls| tls.server_name()) {
            book.notes.asked_by(flow.server, name);
        }
        let unanswered = self.unanswered(flow, turns);
        let think = |waited: Span| (waited - rtt).max(Span::ZERO);
        let repeated = turns.slowest.iter().filter(|turn| turn.repeated);
        let mut resent: Vec<u16> = repeated.filter_map(|turn| Some(Times::slot(turn.waited()?))).collect();
        let (mut late, mut lost) = (0, Span::ZERO);
        let mut profile = Profile { requests: turns.answered, ..Profile::default() };
        profile.response_bytes = turns.response_bytes;
        for (slot, waited, count) in turns.waits.slots() {
            let waited = think(waited);
            profile.think.add_many(waited, count);
            if waited >= self.late {
                let here = resent.extract_if(.., |again| *again == slot).count() as u64;
                let count = u64::from(count).saturating_sub(here);
                late += count;
                lost += Span(waited.0.saturating_mul(count as i64));
            }
        }
        lost += unanswered.as_ref().map_or(Span::ZERO, |unanswered| unanswered.waited);
        // One that the client took back soon was asked, too.
        let asked = flow.service == Some(Service::Http) && turns.open.is_some() && turns.closing.is_some();
        profile.requests += u64::from(asked || unanswered.is_some());
        profile.late = late;
        let shown: Vec<&Turn> = turns
            .slowest
            .iter()
            .filter(|turn| !turn.repeated && turn.waited().is_some_and(|waited| think(waited) >= self.late))
            .collect();
        let heard_late =
            |turn: &Turn| turn.ack.is_some_and(|ack| think(ack.time - turn.request.time) >= self.ack_delay);
        if !shown.is_empty() && unanswered.is_none() && shown.iter().all(|turn| heard_late(turn)) {
            return book.not_judged("the ACKs of the requests came late, or are not in the capture");
        }
        if let Some(total) = book.judged(&flow.server) {
            total.absorb(profile);
        }
        if late == 0 && unanswered.is_none() {
            return;
        }
        let Some(case) = book.case(flow.server) else { return };
        let seen = shown.iter().flat_map(|turn| [Some(turn.request), turn.response]).flatten();
        case.flow(
            flow,
            seen.chain(
                unanswered.iter().flat_map(|of| {
                    std::iter::once(of.turn.request).chain(of.closing.map(|closing| closing.at))
                }),
            ),
        );
        case.failed += late + u64::from(unanswered.is_some());
        case.lost += lost;
        let counts = &mut case.counts;
        counts.late_answers += late;
        counts.late_http += if flow.service == Some(Service::Http) { late } else { 0 };
        counts.late_tls += if flow.service == Some(Service::Tls) { late } else { 0 };
        counts.longest_round_trip_us.add(micros(rtt));
        let opening = tcp.handshake.server_rtt.filter(|opening| is_relayed(*opening, rtt));
        opening.into_iter().for_each(|opening| counts.beyond_us.add(micros(opening)));
        counts.resent += tcp.sides.iter().map(|side| side.retransmissions.data()).sum::<u64>();
        for turn in &shown {
            let waited = think(turn.waited().unwrap_or_default());
            counts.shortest_wait_us.add(micros(waited));
            counts.longest_wait_us.add(micros(waited));
        }
        if let Some(unanswered) = &unanswered {
            counts.given_up += 1;
            counts.pending += u64::from(unanswered.closing.is_none());
            counts.unknown += u64::from(flow.service.is_none());
            counts.shortest_given_up_us.add(micros(unanswered.waited));
            counts.longest_given_up_us.add(micros(unanswered.waited));
        }
        let open = unanswered.as_ref().map(|of| &of.turn);
        for ack in
            shown.iter().copied().chain(open).filter_map(|turn| Some(turn.ack?.time - turn.request.time))
        {
            counts.longest_ack_us.add(micros(ack));
        }
        let longest = shown.iter().filter_map(|turn| turn.waited()).max();
        let rank = longest.max(unanswered.as_ref().map(|of| of.waited)).unwrap_or_default();
        case.show(rank.0.saturating_neg(), flow.id, || {
            let late = shown.into_iter().flat_map(|turn| evidence(turn, None));
            let open = unanswered.iter().flat_map(|of| evidence(&of.turn, of.closing));
            late.chain(open).collect::<Vec<_>>()
        });
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        let notes = std::mem::take(&mut book.notes);
        // Medians of the quick servers, by network and port.
        let mut quick: BTreeMap<(IpAddr, u16), Vec<(Endpoint, Span)>> = BTreeMap::new();
        for (server, _, profile) in book.totals() {
            let few = profile.requests < self.siblings;
            if !few && share(profile.late, profile.requests) < Severity::PART {
                let siblings = quick.entry((network(server.address), server.port)).or_default();
                siblings.push((*server, median(profile)));
            }
        }
        // What ends most of them is the client: half a request has no answer.
        let ended = |server: Endpoint| notes.never_whole_of(server);
        let partial = book.take(|server, case| 2 * ended(*server) >= case.failed);
        let waits = partial.iter().map(|(_, case)| case.failed).sum();
        book.not_judged_many("the server ended requests that never came whole (408)", waits);
        let cases = book.take(|_, case| case.failed >= self.answers || self.is_long(&case.counts));
        let judged = cases.into_iter().filter_map(|(server, mut case)| {
            let profile = book.total(&server).1?;
            case.total = profile.requests.max(case.failed);
            let siblings = quick.get(&(network(server.address), server.port));
            let siblings = siblings.into_iter().flatten();
            let siblings = siblings.filter(|(other, _)| notes.same_service(server, *other));
            let sibling = siblings.min_by_key(|(_, median)| *median);
            let held = notes.on_purpose(server);
            if case.failed < self.answers && held > 0 {
                return None;
            }
            let draft = self.verdict(server, &case, profile, sibling.copied(), held)?;
            Some((draft, case))
        });
        judged.collect()
    }
}

impl SlowServer {
    /// Somebody waited long for an answer of HTTP in plain text: that is worth a word though it is one.
    fn is_long(&self, counts: &Lateness) -> bool {
        let late = counts.late_http > 0 && counts.late_http == counts.late_answers;
        let long = |wait: Most| span(wait.get()) >= self.poll;
        late && long(counts.longest_wait_us)
            || counts.given_up > counts.unknown && long(counts.longest_given_up_us)
    }

    /// Waits from `shortest` to `longest` are those of one timer.
    fn is_timer(&self, shortest: Span, longest: Span) -> bool {
        (longest - shortest).as_secs_f64() <= self.spread * longest.as_secs_f64()
    }

    fn verdict(
        &self,
        server: Endpoint,
        case: &Case<Lateness>,
        profile: &Profile,
        sibling: Option<(Endpoint, Span)>,
        held: u64,
    ) -> Option<Draft<Extent>> {
        let counts = &case.counts;
        let part = share(case.failed, case.total);
        if part < Severity::PART {
            return None;
        }
        let of = plural(case.total, "request");
        let own = median(profile);
        let sibling = sibling.filter(|(other, quick)| {
            *other != server && own.as_secs_f64() >= self.factor * quick.as_secs_f64() && own >= self.late
        });
        let (shortest, longest) = match counts.given_up >= counts.late_answers {
            true => (span(counts.shortest_given_up_us.get()), span(counts.longest_given_up_us.get())),
            false => (span(counts.shortest_wait_us.get()), span(counts.longest_wait_us.get())),
        };
        // The middle of a slot may be beyond what is in it.
        let own = if own >= self.late { own.clamp(shortest, longest.max(shortest)) } else { own };
        let often = case.failed >= Severity::TRIES && part >= Severity::MOST;
        let readable = 2 * counts.late_http >= counts.late_answers;
        let held = held.min(case.failed);
        let small = own >= self.poll && profile.response_bytes <= EMPTY_ANSWER * profile.requests;
        let polls = small || 2 * held >= case.failed;
        let timer = self.is_timer(shortest, longest);
        let waits = match timer {
            true => format!("{shortest}"),
            false => format!("{shortest} to {longest}"),
        };
        let (extent, severity, title, fate) = if counts.given_up >= counts.late_answers {
            let told = case.failed >= self.answers && counts.pending + counts.unknown == 0;
            let failed = timer && !polls && told;
            let severity = if failed { case.severity(case.failed) } else { Severity::Info };
            let given_up = counts.given_up;
            let title = match counts.pending == given_up {
                true => format!("{server} does not answer {given_up} of {of}"),
                false => format!("{server} answers {given_up} of {of} with nothing before clients give up"),
            };
            let fate = match counts.pending {
                0 => format!("closed the connection after {waits} without an answer"),
                _ => format!("waited {waits} without an answer"),
            };
            (Extent::Silent, severity, title, fate)
        } else if let Some((other, quick)) = sibling {
            let severity = match often && (readable || 2 * counts.late_tls >= counts.late_answers) && !polls {
                true => Severity::Warning,
                false => Severity::Info,
            };
            let title = format!("{server} takes {own} to answer, {other} {quick}");
            (Extent::Backend, severity, title, format!("waited {waits} for the first byte of an answer"))
        } else {
            let severity = if often && readable && !polls { Severity::Warning } else { Severity::Info };
            let title = format!("{server} answers {} of {of} after {shortest} or later", counts.late_answers);
            (Extent::Slow, severity, title, format!("waited {waits} for the first byte of an answer"))
        };
        let (failed, more) = match extent {
            Extent::Silent => (counts.given_up, counts.late_answers),
            Extent::Slow | Extent::Backend => (counts.late_answers, counts.given_up),
        };
        let mut summary = format!("{} {fate}, in {failed} of {of}.", case.clients());
        if more > 0 {
            summary += &match extent {
                Extent::Silent => format!(" The answer to {more} more began after {} or later.", self.late),
                _ => format!(
                    " {more} more got none before the client closed the connection, or the capture ended."
                ),
            };
        }
        let beyond = span(counts.beyond_us.get());
        if counts.longest_ack_us.get() > 0 && beyond == Span::ZERO {
            let ack = span(counts.longest_ack_us.get());
            summary += &format!(" The server's host acknowledged the requests within {ack}.");
        }
        let rtt = span(counts.longest_round_trip_us.get());
        summary += &match rtt {
            _ if beyond > Span::ZERO => format!(
                " The SYN-ACK took {beyond}: something before the server acknowledges in its place. The way \
                 beyond was not measured"
            ),
            Span::ZERO => " The network's share is too short for the capture's clock".to_owned(),
            rtt => format!(" The network's share is a round trip of {rtt}"),
        };
        summary += if counts.resent == 0 { ", and nothing was sent again." } else { "." };
        if held > 0 {
            summary += &format!(
                " {held} of them look like long polling. They ask the server to wait, or come empty after \
                 one and the same time.",
            );
        }
        let median = (own.0 / 1_000_000).unsigned_abs();
        let draft = Draft::new(extent, title, summary).severity(severity).count("median_wait_ms", median);
        Some(match extent == Extent::Silent && counts.unknown > 0 {
            true => draft
                .confidence(Confidence::Possible)
                .could_first_be("the protocol goes one way: logs, metrics, print jobs want no answer"),
            false => draft,
        })
    }
}

/// The time in which the server began half of its answers.
fn median(profile: &Profile) -> Span {
    profile.think.quantile(0.5).unwrap_or_default()
}

fn evidence(turn: &Turn, closing: Option<Closing>) -> impl Iterator<Item = Evidence> {
    let after = move |at: crate::dissect::PacketRef| at.time - turn.request.time;
    let asked = Evidence::new(turn.request, Role::Request, format!("{} bytes", turn.request_bytes));
    let ack = turn.ack.map(|at| Evidence::new(at, Role::Ack, format!("acknowledged {} later", after(at))));
    let answer =
        turn.response.map(|at| Evidence::new(at, Role::Response, format!("first byte {} later", after(at))));
    let gone = closing.map(|closing| {
        let (role, what) = if closing.reset { (Role::Reset, "RST") } else { (Role::Fin, "FIN") };
        Evidence::new(closing.at, role, format!("{what} of the client {} later", after(closing.at)))
    });
    [Some(asked), ack, answer, gone].into_iter().flatten()
}

#[cfg(test)]
mod tests;
