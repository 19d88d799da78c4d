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
//! Pairs that have a client or a service in common are one finding.
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

use std::collections::{BTreeMap, BTreeSet};
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
        grouped(churns.map(|(key, _, habit)| (*key, habit)).collect())
            .iter()
            .map(|group| churn(group))
            .collect()
    }
}

/// A client, the service that it opens connections to, and what it does with them.
type Churner<'h> = ((Endpoint, IpAddr), &'h Habit);

/// Those that have a client or a service in common are one: a pool that is too small has the same settings
/// everywhere, and nobody reads a line for every pair.
fn grouped(churners: Vec<Churner<'_>>) -> Vec<Vec<Churner<'_>>> {
    let mut groups: Vec<usize> = (0..churners.len()).collect();
    fn group_of(groups: &[usize], mut at: usize) -> usize {
        while let Some(above) = groups.get(at).filter(|above| **above != at) {
            at = *above;
        }
        at
    }
    let (mut servers, mut clients) = (BTreeMap::new(), BTreeMap::new());
    for (at, ((server, client), _)) in churners.iter().enumerate() {
        for known in [*servers.entry(server).or_insert(at), *clients.entry(client).or_insert(at)] {
            let (known, own) = (group_of(&groups, known), group_of(&groups, at));
            if let Some(above) = groups.get_mut(known.max(own)) {
                *above = known.min(own);
            }
        }
    }
    let mut together: BTreeMap<usize, Vec<Churner<'_>>> = BTreeMap::new();
    for (at, churner) in churners.into_iter().enumerate() {
        together.entry(group_of(&groups, at)).or_default().push(churner);
    }
    together.into_values().collect()
}

fn churn(group: &[Churner<'_>]) -> Concluded<ConnectionChurn> {
    let mut habit = Habit::default();
    group.iter().for_each(|(_, other)| habit.absorb((*other).clone()));
    let mut case: Case<Cost> = Case::between(habit.active.0, habit.active.1);
    for ((server, client), habit) in group {
        for (at, port) in &habit.sample {
            let client = Endpoint { address: *client, port: *port };
            let (id, server, path) = (at.packet, *server, Path::default());
            case.affected.add(&FlowHead { id, protocol: 6, client, server, path });
        }
    }
    (case.total, case.lost) = (habit.connections, habit.setup);
    case.counts =
        Cost { connections: habit.connections, requests: habit.requests, short: habit.short, tls: habit.tls };
    let servers: BTreeSet<Endpoint> = group.iter().map(|((server, _), _)| *server).collect();
    let clients: BTreeSet<IpAddr> = group.iter().map(|((_, client), _)| *client).collect();
    let (server, client) = (only(&servers), only(&clients));
    let who = client.map_or_else(|| plural(clients.len() as u64, "client"), |client| client.to_string());
    let to = server.map_or_else(|| plural(servers.len() as u64, "service"), |server| server.to_string());
    let connections = plural(habit.connections, "connection");
    let lasted = (habit.active.1.zip(habit.active.0)).map_or(Span::ZERO, |(last, first)| last - first);
    let rate = habit.connections as f64 / lasted.as_secs_f64().max(1.0);
    let each = Span(habit.setup.0 / habit.connections.clamp(1, 1 << 40) as i64);
    let with = if habit.tls > 0 { "TCP and TLS handshakes" } else { "TCP handshakes" };
    let open = if client.is_some() { "opens" } else { "open" };
    let title = format!("{who} {open} {connections} to {to} for {}", plural(habit.requests, "request"));
    let mut summary = format!(
        "{who} opened {rate:.1} connections a second, {} of {connections} for less than a second. \
         Their {with} took {} in all, {each} each.",
        habit.short, habit.setup,
    );
    if let Some(((server, client), most)) = group.iter().rev().max_by_key(|(_, habit)| habit.connections)
        && group.len() > 1
    {
        summary += &format!(" Most are from {client} to {server}: {}.", most.connections);
    }
    let shown = habit.sample.keys().map(|at| Evidence::new(*at, Role::Syn, ""));
    let draft = Draft::new(Only::Churn, title, summary)
        .subject(Subject {
            client: client.map(|client| client.to_string()),
            server: server.map(|server| server.address.to_string()),
            port: server.map(|server| server.port),
            protocol: Some("tcp"),
            ..Subject::default()
        })
        .show(shown.collect::<Vec<_>>());
    (draft, case)
}

/// The one that there is, unless there are several.
fn only<T: Ord>(several: &BTreeSet<T>) -> Option<&T> {
    several.first().filter(|_| several.len() == 1)
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

    /// `(client, service)` of every connection in turn.
    fn churned(pairs: &[(u8, u16)]) -> Vec<crate::detect::Finding> {
        in_traffic(NAME, |lab| {
            for number in 0..60 {
                for (place, (client, port)) in pairs.iter().enumerate() {
                    let at = 10 + (number * pairs.len() + place) as u64 * 40;
                    let mut talk = lab.talk(*client, (9, *port), at as _, [30, 1_500]);
                    lab.http(&mut talk, 300);
                    talk.close(&mut lab.capture);
                }
            }
        })
    }

    #[test]
    fn clients_of_one_service_and_services_of_one_client_are_one_finding() {
        let findings = churned(&[(7, 8080), (8, 8080)]);
        let finding = one(&findings, "", Severity::Info);
        assert!(finding.title.starts_with("2 clients open 120 connections to 10."), "{}", finding.title);
        let findings = churned(&[(7, 8080), (7, 8081), (8, 8081)]);
        let finding = one(&findings, "", Severity::Info);
        let title = "2 clients open 180 connections to 2 services for 180 requests";
        assert_eq!(finding.title, title);
        assert_eq!((finding.impact.clients, finding.impact.services), (2, 2));
    }

    #[test]
    fn clients_with_nothing_in_common_are_two_findings() {
        assert_eq!(churned(&[(7, 8080), (8, 8081)]).len(), 2);
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
