//! # What it finds
//! QUIC that does not work: handshakes that get no answer while TCP does, that never agree on a version, that
//! the server asks to begin again or closes, and connections that a server has forgotten.
//!
//! # Why it matters
//! A client that gets no answer over UDP waits before it falls back to TCP, for every connection. Where
//! nothing falls back, nothing works, and a test over TCP shows nothing.
//!
//! # How it decides
//! By server. A handshake got no answer when the client sent its first flight of Initial packets twice or
//! more, acknowledged none of the server's, and none of the server's packets was seen.
//! - `fall_back`: the client opened a TCP connection to the same address and port, up to `fall_back` later.
//!   The cost is the time until it asked for that. From `services` such services on, where no QUIC handshake
//!   of the capture is answered, they are one finding.
//! - `unanswered`: the client did not.
//! - `version`: the server answered with Version Negotiation, and the client never got a handshake answered.
//! - `retry`: the server answered an Initial packet with Retry, although it carried the token of one.
//! - `closed`: the server closed the handshake with an error of QUIC that is no TLS alert (see `tls_alert`).
//!   It stands in an Initial packet, or in a Handshake packet that keys open.
//! - `reset`: datagrams of the server differ and end in the same 16 octets. Only the token of a stateless
//!   reset does that.
//! - `moved`: datagrams from another address or port of the client call the server by the connection ID that
//!   it chose in a handshake of the capture, or gave the client later where keys show that. IDs of fewer than
//!   four octets tell nothing. This is information.
//!
//! From `insistent` handshakes of a server on it is more than information. A fall-back is a warning when it
//! costs `felt` on average; a race against TCP costs little.
//!
//! # What it leaves alone
//! - A client that sends one flight and stops: it may have changed its mind, or one datagram was lost, or it
//!   only wanted to know which versions a server speaks.
//! - An attempt over IPv6 whose client got an answer over IPv4 right after (RFC 8305).
//! - Captures of one direction: a client whose answers were not captured acknowledges them all the same.
//!   Where no packet of the server is there, the client has to insist for `patience`.
//! - Version Negotiation and Retry that a handshake follows: that is how they are meant.
//! - Handshakes that ICMP errors answer (see `icmp_unreachable`).
//! - Initial packets that were cut by the snapshot length.
//!
//! # What it does not claim
//! That a filter drops UDP: the server may not serve QUIC. What is said after the handshake is encrypted; a
//! reset that comes once looks like any other datagram. A client that moves on purpose takes another ID,
//! which only keys show.
//!
//! # References
//! RFC 9000 sections 6, 8.1, 9, 10.3 and 14; RFC 9001 section 4.8; RFC 9002 section 6.2; RFC 8305.

mod begun;
mod moved;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::quic::{Quic as Facts, error_name, version_name};
use crate::app::tls::TlsSession;
use crate::detect::scope::network;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint, PacketRef};
use crate::flow::{Flow, HandshakeOutcome};
use crate::time::Span;

use begun::Begun;
use moved::Moved;

thresholds! {
    /// Counts QUIC handshakes by server.
    struct Quic {
        patience: Span = 3.0 "s",
            "from the first flight, in which a server answers",
            "RFC 9002 section 6.2.2: probes after 1 s and after 2 s more";
        fall_back: Span = 10.0 "s",
            "after the first flight, in which a TCP connection takes its place",
            "Chromium gives a QUIC handshake up after 10 s";
        insistent: u64 = 3.0 "handshakes",
            "failed handshakes of a server, below which it is information only",
            "ours: a client that needs the service asks again";
        felt: Span = 1.0 "s",
            "cost of a fall-back on average, below which it is information only",
            "RFC 9002 section 6.2.2: less than the first probe takes";
        services: u64 = 3.0 "services",
            "silent services from which they are one finding",
            "ours: two may have the same fault";
    }
}

variants! {
    /// What became of the handshakes.
    enum Way {
        FallBack "fall_back" Warning {
            could_be: &[
                "a filter on the path drops UDP to this port",
                "the server does not serve QUIC, although Alt-Svc or an HTTPS record says so",
                "the path drops datagrams as large as QUIC's first ones, 1200 octets and more",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        Unanswered "unanswered" Critical {
            could_be: &[
                "a filter on the path drops UDP to this port",
                "the server is down, or serves no QUIC",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        Version "version" Warning {
            could_be: &["client and server have no version in common", "an old server behind a new name"],
            next: &["compare the versions of both sides; update the older one"],
            not_claimed: &["that the server itself sent the Version Negotiation"],
            doubted_by: &[QualityIssue::Drops],
        }
        Retry "retry" Warning {
            could_be: &[
                "servers behind a load balancer do not know each other's tokens",
                "a device changes the client's address or port between its packets",
            ],
            next: &["compare the servers' token keys; look for a NAT that changes ports"],
            not_claimed: &["that the client is at fault"],
            doubted_by: &[QualityIssue::Drops],
        }
        Closed "closed" Critical {
            could_be: &["the server is too busy, or does not want the client"],
            next: &["read the server's log for the error and the time"],
            not_claimed: &["why the server closes"],
            doubted_by: &[],
        }
        Reset "reset" Warning {
            could_be: &[
                "the server restarted and has lost its connections",
                "a load balancer sends the connection to another server",
            ],
            next: &["compare with the time of restarts and deployments"],
            not_claimed: &["that all stateless resets were found: one alone cannot be told"],
            doubted_by: &[],
        }
        Moved "moved" Info {
            could_be: &["a NAT gave the client another port after a pause", "the client changed its network"],
            next: &["compare the pauses in front of it with the UDP time-out of the NAT"],
            not_claimed: &["that all moves were found: a client that moves on purpose takes another ID"],
            doubted_by: &[],
        }
    }
}

const NEXT: &[&str] = &[
    "test from the client's network: curl --http3-only https://NAME/",
    "capture at the server at the same time: do the datagrams to UDP port 443 arrive?",
];
const NOT_CLAIMED: &[&str] = &["that a filter drops UDP", "that TCP is not affected elsewhere"];

counts! {
    /// What a case counts beside its handshakes.
    struct Tries {
        /// Flights of Initial packets.
        flights: u64,
        /// TCP connections that took the place of a handshake.
        fell_back: u64,
        /// Handshakes to a server that answers over TCP before and after.
        over_tcp: u64,
        /// Version Negotiation, Retry or reset packets.
        packets: u64,
        /// Connections that went on from elsewhere, those of them from another address, and those to which no
        /// packet of the server came there.
        moved: u64,
        addresses: u64,
        unheard: u64,
        client_versions: Distinct<u32, 8>,
        server_versions: Distinct<u32, 8>,
        errors: Distinct<u64, 4>,
    }
}

counts! {
    /// What is counted of every handshake.
    struct Judged {
        answered: u64,
    }
}

/// A handshake that got no answer, or no version: what became of it is known at the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Attempt {
    /// Address of the client on its link.
    link: [u8; 6],
    client: Option<IpAddr>,
    first: PacketRef,
    last: PacketRef,
    negotiated: bool,
    case: Case<Tries>,
}

impl Merge for Attempt {
    fn absorb(&mut self, other: Self) {
        // Keys have the flow in them: nothing is ever counted twice under one.
        *self = other;
    }
}

merged! {
    /// What it keeps beside its cases.
    pub(super) struct Notes {
        attempts: Bounded<(Endpoint, u64), Attempt, { 1 << 13 }>,
        /// TCP connections with TLS, by client address and server.
        over_tcp: Begun,
        /// Handshakes that were answered, by client address and server.
        over_quic: Begun,
        /// Those over IPv4, by the client's link address and the port.
        over_ipv4: Begun,
        moved: Moved,
    }
}

impl Detector for Quic {
    const RULE: Rule = Rule {
        name: "quic",
        group: Group::Tls,
        summary: "QUIC handshakes without an answer, without a common version, or turned away",
        judges: "handshakes",
        variants: Way::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("quic.rs"),
    };
    type Variant = Way;
    /// Server, what became of the handshake.
    type Key = (Endpoint, Way);
    type Counts = Tries;
    type Total = Judged;
    type Notes = Notes;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tls) = flow.tls.as_deref() else {
            let called = flow.upgrade.as_deref().and_then(|upgrade| upgrade.called);
            return called.into_iter().for_each(|called| book.notes.moved.stray(flow, called));
        };
        match tls.quic.as_deref() {
            Some(quic) => {
                book.notes.moved.session(flow, tls, quic);
                self.handshake(flow, tls, quic, book);
            }
            None => over_tcp(flow, book),
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut notes = std::mem::take(&mut book.notes);
        book.not_judged_many("more handshakes than are kept apart", notes.attempts.lost());
        let receivers = context.heard.receivers();
        for ((server, _), attempt) in notes.attempts.take_if(|_, _| true) {
            let near = attempt.client.and_then(|client| receivers.get(&network(client)));
            let beside = near.is_some_and(|near| near.iter().any(|address| *address != server.address));
            if !beside && !context.heard.sent(server.address) {
                book.not_judged("no packet of the server, and none for the client, is in the capture");
                continue;
            }
            self.attempt(server, attempt, &notes, book, context);
        }
        for (server, moved) in notes.moved.conclude() {
            book.case((server, Way::Moved)).into_iter().for_each(|case| case.absorb(moved.clone()));
        }
        // Where any server answers, each that does not is a finding of its own.
        let answers = book.totals().any(|(_, _, judged)| judged.answered > 0);
        let silent = |way: Way| matches!(way, Way::FallBack | Way::Unanswered) && !answers;
        let groups = book.group(self.services, |(_, way), _| silent(*way).then_some(*way));
        groups.into_iter().map(|group| self.services(group)).collect()
    }

    fn judge(
        &self,
        (server, way): &Self::Key,
        case: &Case<Tries>,
        book: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Way>> {
        let answered = book.total(server).1.map_or(0, |judged| judged.answered);
        let of = case.total.max(case.failed);
        let (clients, handshakes) = (case.clients(), plural(of, "QUIC handshake"));
        let (failed, counts) = (case.failed, &case.counts);
        let heard = context.heard.sent(server.address);
        let (title, summary) = match way {
            Way::FallBack | Way::Unanswered => {
                let title = match (answered, way) {
                    (0, Way::FallBack) => format!("{server} does not answer QUIC: clients fall back to TCP"),
                    (0, _) => format!("{server} does not answer QUIC"),
                    _ => format!("{server} leaves {} of its QUIC handshakes unanswered", percent(failed, of)),
                };
                (title, unanswered(*way, case, of))
            }
            Way::Version => (
                format!("{server} does not speak the QUIC versions of its clients"),
                format!(
                    "{clients} got no handshake answered: {failed} of {handshakes} ended with Version \
                     Negotiation. The client sent {}. The server names {}.",
                    listed(&counts.client_versions),
                    listed(&counts.server_versions),
                ),
            ),
            Way::Retry => (
                format!("{server} asks for Retry again and again"),
                format!(
                    "{clients} got no handshake answered: {failed} of {handshakes} got another Retry. Their \
                     Initial packets carried the token of the Retry before."
                ),
            ),
            Way::Closed => {
                let mut errors: Vec<u64> = counts.errors.iter().copied().collect();
                errors.sort_unstable();
                let errors: Vec<String> = errors.into_iter().map(error_name).collect();
                (
                    format!("{server} closes QUIC handshakes with {}", errors.join(", ")),
                    format!(
                        "{clients} could not connect: {failed} of {handshakes} ended with CONNECTION_CLOSE. \
                         The server sent that during the handshake."
                    ),
                )
            }
            Way::Reset => (
                format!("{server} has forgotten QUIC connections"),
                format!(
                    "{clients} lost {}: the server answered with stateless resets. {} had the token of an \
                     earlier one.",
                    plural(failed, "connection"),
                    plural(counts.packets, "datagram"),
                ),
            ),
            Way::Moved => (
                format!("QUIC connections to {server} went on from another address or port"),
                moved::summary(counts, &clients),
            ),
        };
        let severity = match way {
            _ if failed < self.insistent => Severity::Info,
            Way::FallBack if mean(case.lost, failed) < self.felt => Severity::Info,
            // Nobody knows whether there ever was a server, or whether its packets pass here.
            Way::Unanswered
                if answered == 0 && (!heard || case.affected.clients.count() < Severity::CLIENTS) =>
            {
                Severity::Warning
            }
            Way::Unanswered | Way::Closed => case.severity(failed),
            Way::FallBack | Way::Version | Way::Retry | Way::Reset | Way::Moved => {
                case.severity(failed).min(Severity::Warning)
            }
        };
        let draft = Draft::new(*way, title, summary).severity(severity).count("answered", answered);
        Some(match *way == Way::Unanswered && heard {
            // Other packets of it pass here.
            true => draft.could_be(["a filter on the path drops UDP to this port", "it serves no QUIC"]),
            false => draft,
        })
    }
}

impl Quic {
    fn handshake(&self, flow: &Flow, tls: &TlsSession, quic: &Facts, book: &mut Book<Self>) {
        let server = flow.server;
        let Some(first) = quic.flights.first().copied() else {
            return book.not_judged(match quic.unread {
                0 => "the client's first packets are not in the capture",
                _ => "its Initial packets were cut short, or begin elsewhere",
            });
        };
        let answered = quic.heard || quic.answered.is_some();
        if answered {
            book.notes.over_quic.add(hash_of(&(flow.client.address, server)), first);
            if flow.client.address.is_ipv4() {
                book.notes.over_ipv4.add(dialer(link(flow), server.port), first);
            }
        }
        let refused = quic.close.as_ref().filter(|close| {
            let transport = !close.application && close.alert().is_none();
            let error = close.direction == Direction::ToClient && close.code > 0 && transport;
            error && tls.established.is_none()
        });
        let found = if quic.resets > 0 {
            quic.reset_at.map(|at| (Way::Reset, at))
        } else if let Some(close) = refused {
            Some((Way::Closed, close.at))
        } else if !answered && quic.retried_again > 0 {
            quic.retried_at.map(|at| (Way::Retry, at))
        } else {
            None
        };
        if answered || found.is_some() {
            let judged = book.judged(&server);
            judged.into_iter().for_each(|judged| judged.answered += u64::from(answered && refused.is_none()));
            let Some((way, at)) = found else { return };
            if let Some(case) = book.case((server, way)) {
                count(case, flow, tls, quic, at);
                case.failed += 1;
            }
            return;
        }
        let why = match () {
            () if quic.retries > 0 => "the server sent Retry, and the capture shows no more",
            () if !flow.icmp_errors.is_empty() => "ICMP errors answered: see icmp_unreachable",
            () if quic.unread > 0 => "its Initial packets were cut short, or begin elsewhere",
            () if quic.negotiations == 0 && flow.half(Direction::ToClient).packets > 0 => {
                "the server sent what cannot be read"
            }
            () if quic.flight_count < 2 => "the client sent one flight and stopped",
            () if flow.watched_until - first.time < self.patience => "the capture ended too soon",
            () => "",
        };
        if !why.is_empty() {
            return book.not_judged(why);
        }
        let last = quic.last_initial.unwrap_or(first);
        let whom = hash_of(&(flow.client.address, server));
        let Some(attempt) = book.notes.attempts.observe(whom, (server, flow.id)) else { return };
        (attempt.link, attempt.client) = (link(flow), Some(flow.client.address));
        (attempt.first, attempt.last, attempt.negotiated) = (first, last, quic.negotiations > 0);
        count(&mut attempt.case, flow, tls, quic, quic.negotiated_at.unwrap_or(last));
    }

    /// Everything was counted: what became of an attempt.
    fn attempt(
        &self,
        server: Endpoint,
        attempt: Attempt,
        notes: &Notes,
        book: &mut Book<Self>,
        context: &Context<'_>,
    ) {
        let Attempt { link, client: Some(client), first, last, negotiated, mut case } = attempt else {
            return;
        };
        let (whom, from) = (hash_of(&(client, server)), first.time);
        let until = from + self.fall_back;
        case.failed = 1;
        if negotiated {
            if notes.over_quic.between(whom, from, until).is_some() {
                return book.not_judged("another version was answered right after");
            }
            book.judged(&server);
            book.case((server, Way::Version)).into_iter().for_each(|known| known.absorb(case.clone()));
            return;
        }
        let raced = |from| notes.over_ipv4.between(dialer(link, server.port), from, from + RACE + RACE);
        if client.is_ipv6() && raced(from - RACE).is_some() {
            return book.not_judged("the client got an answer over IPv4 right after");
        }
        let waited = last.time - from;
        if !context.heard.sent(server.address) && waited < self.patience {
            return book.not_judged("no packet of the server is in the capture");
        }
        let visit = context.heard.visits.of(client, [server.address].iter());
        let tcp = notes.over_tcp.between(whom, from - RACE, until);
        case.lost = match tcp {
            Some(tcp) => (tcp.time - from).max(Span::ZERO),
            None if visit.connections > visit.failed => Span::ZERO,
            None => waited,
        };
        let way = match tcp {
            None if visit.connections <= visit.failed => Way::Unanswered,
            Some(tcp) => {
                case.counts.fell_back = 1;
                let after = format!("TCP to the same server, {} after the first Initial", case.lost);
                case.show(0, first.packet, || [Evidence::new(tcp, Role::Syn, after)]);
                Way::FallBack
            }
            None => {
                case.counts.over_tcp = 1;
                Way::FallBack
            }
        };
        book.judged(&server);
        book.case((server, way)).into_iter().for_each(|known| known.absorb(case.clone()));
    }

    /// Several services, none of which answers.
    fn services(&self, group: CaseGroup<Way, Tries>) -> Concluded<Self> {
        let CaseGroup { by: way, cases, case } = group;
        let of = case.total.max(case.failed);
        let title = match way {
            Way::FallBack => format!("No QUIC handshake is answered by any of {cases} services: TCP is used"),
            _ => format!("No QUIC handshake is answered by any of {cases} services"),
        };
        let severity = match way {
            _ if case.failed < self.insistent => Severity::Info,
            Way::FallBack if mean(case.lost, case.failed) < self.felt => Severity::Info,
            // One client that asks many services and needs none of them takes an inventory.
            Way::Unanswered if case.affected.clients.count() == 1 => Severity::Info,
            _ => case.severity(case.failed).min(Severity::Warning),
        };
        let summary = unanswered(way, &case, of);
        (Draft::new(way, title, summary).severity(severity).services(cases), case)
    }
}

/// Attempts over both families, or over both transports, begin within two seconds of each other (RFC 8305
/// section 5, the longest attempt delay).
const RACE: Span = Span::secs(2);

/// Takes a handshake that came to nothing, up to the packet `at`.
fn count(case: &mut Case<Tries>, flow: &Flow, tls: &TlsSession, quic: &Facts, at: PacketRef) {
    case.flow(flow, quic.flights.first().copied().into_iter().chain([at]));
    let counts = &mut case.counts;
    counts.flights += u64::from(quic.flight_count);
    counts.packets += u64::from(quic.negotiations + quic.retried_again + quic.resets);
    quic.tried.iter().for_each(|version| counts.client_versions.add(*version));
    quic.server_versions.iter().for_each(|version| counts.server_versions.add(*version));
    quic.close.iter().for_each(|close| counts.errors.add(close.code));
    let name = tls.server_name();
    if !name.is_empty() {
        case.affected.names.add(name.to_ascii_lowercase());
    }
    case.show(0, flow.id, || {
        let mut flights = quic.flights.iter().enumerate().map(|(number, flight)| match number {
            0 => {
                let name = if name.is_empty() { "no server name" } else { name };
                let version = quic.tried.first().copied().unwrap_or(quic.version);
                let offer = format!("Initial of QUIC version {}, {name}", version_name(version));
                Evidence::new(*flight, Role::ClientHello, offer)
            }
            _ => {
                let after = quic.flights.first().map_or(Span::ZERO, |first| flight.time - first.time);
                Evidence::new(*flight, Role::Retry, format!("Initial again, {after} after the first"))
            }
        });
        let mut shown: Vec<Evidence> = flights.by_ref().take(4).collect();
        let ends = [
            (quic.negotiated_at, Role::Response, "Version Negotiation"),
            (quic.retried_at, Role::Response, "Retry"),
            (quic.close.as_ref().map(|close| close.at), Role::Alert, "CONNECTION_CLOSE"),
            (quic.reset_at, Role::Reset, "stateless reset: ends as the one before"),
        ];
        shown.extend(ends.into_iter().filter_map(|(at, role, text)| Some(Evidence::new(at?, role, text))));
        shown
    });
}

/// A TCP connection with TLS that opened.
fn over_tcp(flow: &Flow, book: &mut Book<Quic>) {
    let Some(handshake) = flow.tcp.as_deref().map(|tcp| &tcp.handshake) else { return };
    if let (HandshakeOutcome::Established, Some(syn)) = (handshake.outcome, handshake.syns.first()) {
        book.notes.over_tcp.add(hash_of(&(flow.client.address, flow.server)), *syn);
    }
}

fn link(flow: &Flow) -> [u8; 6] {
    flow.half(Direction::ToServer).links.first().map_or([0; 6], |link| link.source)
}

fn dialer(link: [u8; 6], port: u16) -> u64 {
    hash_of(&(link, port))
}

fn mean(sum: Span, of: u64) -> Span {
    Span(sum.0 / i64::try_from(of.max(1)).unwrap_or(i64::MAX))
}

fn listed(versions: &Distinct<u32, 8>) -> String {
    let mut versions: Vec<u32> = versions.iter().copied().collect();
    versions.sort_unstable();
    match versions.is_empty() {
        true => "none that is known".to_owned(),
        false => {
            let names: Vec<String> = versions.into_iter().map(version_name).collect();
            format!("version {}", names.join(", "))
        }
    }
}

/// Who asked in vain, how often, and what that cost.
fn unanswered(way: Way, case: &Case<Tries>, of: u64) -> String {
    let Case { failed, lost, counts, .. } = case;
    let asked = format!(
        "{} sent {} of Initial packets in {failed} of {} and got no answer.",
        case.clients(),
        plural(counts.flights, "flight"),
        plural(of, "QUIC handshake"),
    );
    match (way, counts.fell_back) {
        (Way::FallBack, 0) => format!("{asked} TCP to the same server works."),
        (Way::FallBack, some) => format!(
            "{asked} {} followed by TCP to the same server, {} after the first flight on average.",
            if some == 1 { "1 was".to_owned() } else { format!("{some} were") },
            mean(*lost, some),
        ),
        _ => format!("{asked} They waited {lost} in all. No TCP connection took its place."),
    }
}

#[cfg(test)]
mod tests;
