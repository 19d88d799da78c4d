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
//! - `backend`: the median is `factor` times that of a server of the same network and port, which is quick.
//! - `silent`: the server acknowledged the request, and the client closed the connection without an answer.
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
//! - Small answers after ten seconds and more, as in long polling: that is information.
//! - What was sent again: that is the network's time (see `retransmission`).
//!
//! # What it does not claim
//! What the server waits for: its processor, a lock, a pool of connections, a database behind it. Times of a
//! proxy include those of its upstream.
//!
//! # References
//! RFC 9293 section 3.8.6.3 (delayed ACKs); pcaptriage: response time above 1 s or five times the others'.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::app::http::Closing;
use crate::detect::scope::network;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, Roles, Service, TcpFlow, Turn, Turns, WaitTimes};
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
/// Telnet, rlogin, shell: people type.
const TYPED: [u16; 4] = [22, 23, 513, 514];

counts! {
    /// What is counted of every request.
    struct Profile {
        requests: u64,
        late: u64,
        /// Requests by how long the server took.
        think: BTreeMap<u8, u64>,
        response_bytes: u64,
    }
}

counts! {
    /// What a case counts beside its flows.
    struct Lateness {
        late_answers: u64,
        given_up: u64,
        late_http: u64,
        late_tls: u64,
        shortest_wait_us: Least,
        longest_wait_us: Most,
        shortest_given_up_us: Least,
        longest_given_up_us: Most,
        /// From the request to the server's ACK of it.
        longest_ack_us: Most,
        longest_round_trip_us: Most,
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

    /// The client closed the connection instead of waiting on: after how long.
    fn given_up(&self, flow: &Flow, turns: &Turns) -> Option<(Turn, Closing, Span)> {
        let (turn, closing) = turns.open.zip(turns.closing)?;
        let asks = match flow.service {
            Some(Service::Http) => true,
            Some(Service::Tls) => turn.request_bytes >= SHORT_REQUEST && turns.answered > 0,
            _ => false,
        };
        let waited = closing.at.time - turn.request.time;
        let client = closing.direction == Direction::ToServer && closing.at.packet > turn.request.packet;
        let heard = turn.ack.is_some() && !turn.repeated;
        (asks && client && heard && waited >= self.late).then_some((turn, closing, waited))
    }
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
    type Notes = ();

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
        let given_up = self.given_up(flow, turns);
        let think = |waited: Span| (waited - rtt).max(Span::ZERO);
        let repeated = turns.slowest.iter().filter(|turn| turn.repeated);
        let mut resent: Vec<u8> = repeated.filter_map(|turn| Some(WaitTimes::bin(turn.waited()?))).collect();
        let (mut late, mut lost) = (0, Span::ZERO);
        let mut profile = Profile { requests: turns.answered, ..Profile::default() };
        profile.response_bytes = turns.response_bytes;
        for (bin, count) in turns.waits.bins() {
            let waited = think(WaitTimes::shortest(bin));
            *profile.think.entry(WaitTimes::bin(waited)).or_default() += u64::from(count);
            if waited >= self.late {
                let here = resent.extract_if(.., |again| *again == bin).count() as u64;
                let count = u64::from(count).saturating_sub(here);
                late += count;
                lost += Span(waited.0.saturating_mul(count as i64));
            }
        }
        if let Some((.., waited)) = given_up {
            profile.requests += 1;
            lost += waited;
        }
        profile.late = late;
        let shown: Vec<&Turn> = turns
            .slowest
            .iter()
            .filter(|turn| !turn.repeated && turn.waited().is_some_and(|waited| think(waited) >= self.late))
            .collect();
        let heard_late =
            |turn: &Turn| turn.ack.is_some_and(|ack| think(ack.time - turn.request.time) >= self.ack_delay);
        if !shown.is_empty() && given_up.is_none() && shown.iter().all(|turn| heard_late(turn)) {
            return book.not_judged("the ACKs of the requests came late, or are not in the capture");
        }
        if let Some(total) = book.judged(&flow.server) {
            total.absorb(profile);
        }
        if late == 0 && given_up.is_none() {
            return;
        }
        let Some(case) = book.case(flow.server) else { return };
        let seen = shown.iter().flat_map(|turn| [Some(turn.request), turn.response]).flatten();
        case.flow(
            flow,
            seen.chain(given_up.iter().flat_map(|(turn, closing, _)| [turn.request, closing.at])),
        );
        case.failed += late + u64::from(given_up.is_some());
        case.lost += lost;
        let counts = &mut case.counts;
        counts.late_answers += late;
        counts.late_http += if flow.service == Some(Service::Http) { late } else { 0 };
        counts.late_tls += if flow.service == Some(Service::Tls) { late } else { 0 };
        counts.longest_round_trip_us.add(micros(rtt));
        counts.resent += tcp.sides.iter().map(|side| side.retransmissions.data()).sum::<u64>();
        for turn in &shown {
            let waited = think(turn.waited().unwrap_or_default());
            counts.shortest_wait_us.add(micros(waited));
            counts.longest_wait_us.add(micros(waited));
        }
        if let Some((.., waited)) = given_up {
            counts.given_up += 1;
            counts.shortest_given_up_us.add(micros(waited));
            counts.longest_given_up_us.add(micros(waited));
        }
        let open = given_up.as_ref().map(|(turn, ..)| turn);
        for ack in
            shown.iter().copied().chain(open).filter_map(|turn| Some(turn.ack?.time - turn.request.time))
        {
            counts.longest_ack_us.add(micros(ack));
        }
        let longest = shown.iter().filter_map(|turn| turn.waited()).max();
        let rank = longest.max(given_up.map(|(.., waited)| waited)).unwrap_or_default();
        case.show(-rank.0, flow.id, || {
            let late = shown.into_iter().flat_map(|turn| evidence(turn, None));
            let open = given_up.iter().flat_map(|(turn, closing, _)| evidence(turn, Some(*closing)));
            late.chain(open).collect::<Vec<_>>()
        });
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        // Medians of the quick servers, by network and port.
        let mut quick: BTreeMap<(IpAddr, u16), Vec<(Endpoint, Span)>> = BTreeMap::new();
        for (server, _, profile) in book.totals() {
            let few = profile.requests < self.siblings;
            if !few && share(profile.late, profile.requests) < Severity::PART {
                let siblings = quick.entry((network(server.address), server.port)).or_default();
                siblings.push((*server, median(profile)));
            }
        }
        let cases = book.take(|_, case| case.failed >= self.answers);
        let judged = cases.into_iter().filter_map(|(server, mut case)| {
            let profile = book.total(&server).1?;
            case.total = profile.requests.max(case.failed);
            let siblings = quick.get(&(network(server.address), server.port));
            let sibling = siblings.and_then(|siblings| siblings.iter().min_by_key(|(_, median)| *median));
            let draft = self.verdict(server, &case, profile, sibling.copied())?;
            Some((draft, case))
        });
        judged.collect()
    }
}

impl SlowServer {
    fn verdict(
        &self,
        server: Endpoint,
        case: &Case<Lateness>,
        profile: &Profile,
        sibling: Option<(Endpoint, Span)>,
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
        // A bin begins up to a quarter below what is in it.
        let own = if own >= self.late { own.clamp(shortest, longest.max(shortest)) } else { own };
        let often = case.failed >= Severity::TRIES && part >= Severity::MOST;
        let readable = 2 * counts.late_http >= counts.late_answers;
        let polls = own >= self.poll && profile.response_bytes <= EMPTY_ANSWER * profile.requests;
        let timer = (longest - shortest).as_secs_f64() <= self.spread * longest.as_secs_f64();
        let waits = match timer {
            true => format!("{shortest}"),
            false => format!("{shortest} to {longest}"),
        };
        let (extent, severity, title, fate) = if counts.given_up >= counts.late_answers {
            let severity = if timer { case.severity(case.failed) } else { Severity::Info };
            let title =
                format!("{server} answers {} of {of} with nothing before clients give up", case.failed);
            (
                Extent::Silent,
                severity,
                title,
                format!("closed the connection after {waits} without an answer"),
            )
        } else if let Some((other, quick)) = sibling {
            let severity = match often && (readable || 2 * counts.late_tls >= counts.late_answers) && !polls {
                true => Severity::Warning,
                false => Severity::Info,
            };
            let title = format!("{server} takes {own} to answer, {other} {quick}");
            (Extent::Backend, severity, title, format!("waited {waits} for the first byte of an answer"))
        } else {
            let severity = if often && readable && !polls { Severity::Warning } else { Severity::Info };
            let title = format!("{server} answers {} of {of} after {shortest} or later", case.failed);
            (Extent::Slow, severity, title, format!("waited {waits} for the first byte of an answer"))
        };
        let mut summary = format!("{} {fate}, in {} of {of}.", case.clients(), case.failed);
        if counts.longest_ack_us.get() > 0 {
            let ack = span(counts.longest_ack_us.get());
            summary += &format!(" The server's host acknowledged the requests within {ack}.");
        }
        let rtt = span(counts.longest_round_trip_us.get());
        summary += &match rtt {
            Span::ZERO => " The network's share is too short for the capture's clock".to_owned(),
            rtt => format!(" The network's share is a round trip of {rtt}"),
        };
        summary += if counts.resent == 0 { ", and nothing was sent again." } else { "." };
        let median = (own.0 / 1_000_000).unsigned_abs();
        Some(Draft::new(extent, title, summary).severity(severity).count("median_wait_ms", median))
    }
}

/// The time in which the server began half of its answers.
fn median(profile: &Profile) -> Span {
    let answered: u64 = profile.think.values().sum();
    let mut before = 0;
    let half = profile.think.iter().find(|(_, count)| {
        before += **count;
        before * 2 >= answered
    });
    half.map_or(Span::ZERO, |(bin, _)| WaitTimes::shortest(*bin))
}

fn evidence(turn: &Turn, closing: Option<Closing>) -> impl Iterator<Item = Evidence> {
    let after = move |at: crate::dissect::PacketRef| at.time - turn.request.time;
    let asked = Evidence::new(turn.request, Role::Request, format!("{} bytes", turn.request_bytes));
    let ack = turn.ack.map(|at| Evidence::new(at, Role::Ack, format!("acknowledged {} later", after(at))));
    let answer =
        turn.response.map(|at| Evidence::new(at, Role::Response, format!("first byte {} later", after(at))));
    let gone = closing.map(|closing| {
        let what = if closing.reset { "RST" } else { "FIN" };
        Evidence::new(closing.at, Role::Reset, format!("{what} of the client {} later", after(closing.at)))
    });
    [Some(asked), ack, answer, gone].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_scene, in_traffic, one, says_nothing};
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, SERVER, Talk};

    const NAME: &str = SlowServer::RULE.name;

    fn opened(lab: &mut Lab, server: (u8, u16), at: u64) -> Talk {
        let mut talk = lab.talk(7, server, at, [30, 1_500]);
        talk.handshake(&mut lab.capture);
        talk
    }

    /// A request of `bytes` bytes and an answer after some ms.
    fn turn(lab: &mut Lab, talk: &mut Talk, bytes: usize, after: u64, answer: usize) {
        talk.wait(3_000);
        talk.send(&mut lab.capture, CLIENT, ACK, &filler(1, bytes));
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
        talk.wait(after * 1_000);
        talk.stream(&mut lab.capture, SERVER, &filler(2, answer));
    }

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("slow_server", "slow", Severity::Warning),
                ("slow_server_backend", "backend", Severity::Info),
                ("http_error_gateway_timeout", "silent", Severity::Critical),
            ],
        );
        let finding = one(&in_scene(NAME, "slow_server"), "slow", Severity::Warning);
        assert!(finding.summary.contains("nothing was sent again"), "{}", finding.summary);
    }

    #[test]
    fn it_says_nothing() {
        says_nothing(
            NAME,
            &["healthy_resets", "http_error_cut", "mtu_blackhole_silent", "retransmission_rto"],
        );
    }

    #[test]
    fn a_protocol_that_is_not_known_is_information() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = opened(lab, (9, 5432), 10);
            (0..6).for_each(|number| turn(lab, &mut talk, 200, 2_000 + number * 37, 900));
        });
        let finding = one(&findings, "slow", Severity::Info);
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (6, 6));
    }

    #[test]
    fn heartbeats_people_and_streams_are_no_slow_servers() {
        let findings = in_traffic(NAME, |lab| {
            let mut beats = opened(lab, (9, 179), 10);
            (0..6).for_each(|_| turn(lab, &mut beats, 19, 9_000, 19));
            let mut types = opened(lab, (9, 22), 20);
            (0..6).for_each(|_| turn(lab, &mut types, 90, 3_000, 300));
            let mut stream = opened(lab, (9, 8443), 30);
            for _ in 0..4 {
                turn(lab, &mut stream, 200, 2_000, 900);
                stream.wait(5_000_000);
                stream.stream(&mut lab.capture, SERVER, &filler(3, 500));
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The path takes a second and a half; the server none.
    #[test]
    fn a_long_round_trip_is_the_networks() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 750_000]);
            talk.handshake(&mut lab.capture);
            (0..6).for_each(|_| turn(lab, &mut talk, 200, 4, 900));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// One in thirty takes long: a cold cache.
    #[test]
    fn single_late_answers_are_nothing() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = opened(lab, (9, 8080), 10);
            (0..90).for_each(|number| {
                turn(lab, &mut talk, 200, if number % 30 == 0 { 2_000 } else { 5 }, 900);
            });
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A filter for one application keeps its messages, and leaves bare ACKs out.
    #[test]
    fn without_acks_nobody_knows_when_the_host_had_the_request() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = opened(lab, (9, 5432), 10);
            for number in 0..6u64 {
                talk.wait(3_000);
                talk.send(&mut lab.capture, CLIENT, ACK, &filler(1, 200));
                talk.turn(CLIENT);
                talk.wait((2_000 + number * 37) * 1_000);
                talk.stream(&mut lab.capture, SERVER, &filler(2, 900));
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
