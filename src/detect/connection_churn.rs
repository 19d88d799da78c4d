//! # What it finds
//! Clients that open a connection for nearly every request to a service.
//!
//! # Why it matters
//! Each connection costs round trips before the first byte of the request, and a port that stays in
//! TIME-WAIT. With TLS the cost doubles.
//!
//! # How it decides
//! `connections` connections of one client to one service that carried requests, half of them shorter than
//! `short`, and at most `reuse` requests for each of them. It is information: nothing fails. The cost is the
//! time from the first SYN to the SYN-ACK and, for TLS, from the ClientHello to the complete handshake.
//!
//! # What it leaves alone
//! Connections without an answered request: refused, silent, scans, probes. Those that the capture does not
//! hold from their SYN on.
//!
//! # What it does not claim
//! That anything is wrong: TIME-WAIT and new connections are normal. That ports run out.
//!
//! # References
//! RFC 9112 section 9.3 (persistence); RFC 9293 section 3.6.1 (TIME-WAIT); pcaptriage: 50 connections, 1 s.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef, Path};
use crate::flow::{Flow, FlowHead, HandshakeOutcome, Service};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Counts connections and requests by client and service.
    struct ConnectionChurn {
        connections: u64 = 50.0 "connections",
            "of a client to a service, from which their cost is stated",
            "pcaptriage: 50";
        short: Span = 1.0 "s",
            "life of a connection, below which it is short",
            "pcaptriage: median below 1 s";
        reuse: f64 = 1.5 "requests",
            "per connection, from which connections are used again",
            "ours: between one and two";
    }
}

variants! {
    /// One kind of finding.
    enum Only {
        Churn "" Info {
            could_be: &[
                "the client's library keeps no connections, or its pool is switched off or too small",
                "the server or a proxy closes the connection after every answer (Connection: close)",
            ],
            next: &["switch on connection reuse (keep-alive, a pool); compare the rate of new connections"],
            not_claimed: &["that anything fails", "that ports run out"],
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

/// What a client does with its connections to a service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Habit {
    connections: u64,
    short: u64,
    requests: u64,
    setup: Span,
    tls: u64,
    active: (Option<Timestamp>, Option<Timestamp>),
    /// Its earliest connections: first packet and port.
    sample: BTreeMap<PacketRef, u16>,
}

impl Habit {
    const SAMPLE: usize = 6;
}

impl Merge for Habit {
    fn absorb(&mut self, other: Self) {
        self.connections += other.connections;
        self.short += other.short;
        self.requests += other.requests;
        self.setup += other.setup;
        self.tls += other.tls;
        self.active.0 = self.active.0.into_iter().chain(other.active.0).min();
        self.active.1 = self.active.1.max(other.active.1);
        self.sample.extend(other.sample);
        while self.sample.len() > Self::SAMPLE {
            self.sample.pop_last();
        }
    }
}

/// Who connects to what.
pub(super) type Habits = Bounded<(Endpoint, IpAddr), Habit, { 1 << 13 }>;

counts! {
    /// What a case counts beside its connections.
    struct Cost {
        connections: u64,
        requests: u64,
        short: u64,
        tls: u64,
    }
}

impl Detector for ConnectionChurn {
    const RULE: Rule = Rule {
        name: "connection_churn",
        group: Group::Application,
        summary: "clients that open a connection for nearly every request, and what that costs",
        judges: "flows",
        variants: Only::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("connection_churn.rs"),
    };
    type Variant = Only;
    type Key = (Endpoint, IpAddr);
    type Counts = Cost;
    type Total = ();
    type Notes = Habits;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let answered = tcp.turns.as_ref().map_or(0, |turns| turns.answered);
        if tcp.handshake.outcome != HandshakeOutcome::Established || answered == 0 || !tcp.is_closed() {
            return book.not_judged("not seen from handshake to end, or without an answered request");
        }
        if flow.service == Some(Service::Dns) {
            return;
        }
        book.judged(&flow.server);
        let handshake = flow.tls.as_ref().and_then(|tls| {
            Some((tls.established?.time - tls.client_hello.as_ref()?.at.time).max(Span::ZERO))
        });
        let connect = tcp.handshake.connect_time.unwrap_or_default();
        let habit = Habit {
            connections: 1,
            short: u64::from(flow.last.time - flow.first.time < self.short),
            requests: answered,
            setup: connect + handshake.unwrap_or_default(),
            tls: u64::from(handshake.is_some()),
            active: (Some(flow.first.time), Some(flow.last.time)),
            sample: BTreeMap::from([(flow.first, flow.client.port)]),
        };
        let key = (flow.server, flow.client.address);
        if let Some(known) = book.notes.observe_by(key, |_| hash_of(&flow.server)) {
            known.absorb(habit);
        }
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        let habits = std::mem::take(&mut book.notes);
        let churns = habits.iter().filter(|(_, _, habit)| {
            habit.connections >= self.connections
                && share(habit.short, habit.connections) >= Severity::MOST
                && habit.requests as f64 <= self.reuse * habit.connections as f64
        });
        churns.map(|((server, client), _, habit)| churn(*server, *client, habit)).collect()
    }
}

fn churn(server: Endpoint, client: IpAddr, habit: &Habit) -> Concluded<ConnectionChurn> {
    let mut case: Case<Cost> = Case::between(habit.active.0, habit.active.1);
    for (at, port) in &habit.sample {
        let client = Endpoint { address: client, port: *port };
        case.affected.add(&FlowHead { id: at.packet, protocol: 6, client, server, path: Path::default() });
    }
    (case.total, case.lost) = (habit.connections, habit.setup);
    case.counts =
        Cost { connections: habit.connections, requests: habit.requests, short: habit.short, tls: habit.tls };
    let connections = plural(habit.connections, "connection");
    let lasted = case.affected.active.span().as_secs_f64();
    let rate = habit.connections as f64 / lasted.max(1.0);
    let each = Span(habit.setup.0 / habit.connections.clamp(1, 1 << 40) as i64);
    let with = if habit.tls > 0 { "TCP and TLS handshakes" } else { "TCP handshakes" };
    let title = format!("{client} opens {connections} to {server} for {}", plural(habit.requests, "request"));
    let summary = format!(
        "{client} opened {rate:.1} connections a second, {} of {connections} for less than a second. \
         Their {with} took {} in all, {each} each.",
        habit.short, habit.setup,
    );
    let shown = habit.sample.keys().map(|at| Evidence::new(*at, Role::Syn, ""));
    let draft = Draft::new(Only::Churn, title, summary)
        .subject(Subject {
            client: Some(client.to_string()),
            server: Some(server.address.to_string()),
            port: Some(server.port),
            protocol: Some("tcp"),
            ..Subject::default()
        })
        .show(shown.collect::<Vec<_>>());
    (draft, case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_scene, in_traffic, one, says_nothing};

    const NAME: &str = ConnectionChurn::RULE.name;

    #[test]
    fn it_fires_and_states_the_cost() {
        let finding = one(&in_scene(NAME, "connection_churn"), "", Severity::Info);
        assert_eq!(finding.impact.of_transactions, 60);
        assert!(finding.impact.seconds_lost > Span::millis(200), "{:?}", finding.impact);
    }

    #[test]
    fn two_clients_are_two_findings() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..110 {
                let mut talk = lab.talk(7 + number as u8 % 2, (9, 8080), 10 + number * 40, [30, 1_500]);
                lab.http(&mut talk, 300);
                talk.close(&mut lab.capture);
            }
        });
        assert_eq!(findings.len(), 2);
        assert!(findings.iter().all(|finding| finding.severity == Severity::Info));
    }

    #[test]
    fn a_client_that_asks_twice_now_and_then_churns() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..60 {
                let mut talk = lab.talk(7, (9, 8080), 10 + number * 40, [30, 1_500]);
                lab.http(&mut talk, 300);
                if number % 4 == 0 {
                    lab.http_again(&mut talk, 300);
                }
                talk.close(&mut lab.capture);
            }
        });
        one(&findings, "", Severity::Info);
    }

    #[test]
    fn it_says_nothing() {
        says_nothing(NAME, &["healthy_resets", "health_check_silent", "rst_storm_refused"]);
    }

    #[test]
    fn connections_that_are_used_again_and_clients_in_crowds_are_none() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..60 {
                let mut talk = lab.talk(7, (9, 8080), 10 + number * 40, [30, 1_500]);
                lab.http(&mut talk, 300);
                lab.http_again(&mut talk, 300);
                talk.close(&mut lab.capture);
                let mut talk = lab.talk(20 + number as u8, (9, 8081), 15 + number * 40, [30, 1_500]);
                lab.http(&mut talk, 300);
                talk.close(&mut lab.capture);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
