//! # What it finds
//! TLS handshakes that stopped: a side had to speak and said nothing, or what it said did not arrive. By
//! server, server name and stage:
//! - `client_hello`: the ClientHello was sent again and never acknowledged, on a connection that had opened.
//! - `server_hello`: the server acknowledged the ClientHello and never answered.
//! - `server_flight`: the ServerHello or what follows it never arrived whole.
//! - `client_flight`: the client had all of the server's flight and said nothing.
//! - `server_finished`: the server acknowledged the client's key exchange and Finished, and never answered.
//!
//! # Why it matters
//! The client waits until its own time-out, with a connection that looks open. No alert and no reset says
//! why.
//!
//! # How it decides
//! From the last bytes of the handshake on nothing came for `wait`, until one of them closed or the
//! capture ended. What was not acknowledged did not arrive; what was acknowledged and not answered did.
//! What a client sends again behind the server's end had not been acknowledged by it, whatever a RST says.
//! Sessions of the same server that went well set the failing apart: by name, or by the size of what had to
//! arrive.
//!
//! One handshake of a client that three hosts and more answer late is information: it is the client's line.
//! Without a server name it is a warning at most, and information for one client alone: a probe. It is
//! information when the client is the silent one: a person may be asked for a certificate.
//!
//! # What it leaves alone
//! - Handshakes that somebody ended sooner (see `tls_abort`), by an alert (see `tls_alert`), or that the
//!   end of the capture cut.
//! - Datagrams above a size that never arrive (see `mtu_blackhole`).
//! - A client's key exchange that never arrives: what it sends again shows the loss (see `retransmission`).
//! - Clients that vanished: nothing was sent again.
//!
//! # What it does not claim
//! Where the bytes were lost, or why the server was silent.
//!
//! # References
//! RFC 5246 section 7.3; RFC 8446 section 2; RFC 6298 section 2 (the first time-outs are at 1 and 3 seconds);
//! RFC 9293 section 3.10.7.1 (the number of a RST is that of the segment it answers).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::app::tls::TlsSession;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, HandshakeOutcome, Negotiation, NegotiationEnd, Stage, TcpEvent, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts handshakes in which nothing moved.
    struct TlsStall {
        wait: Span = 3.0 "s",
            "time without a record of the handshake, from which it stopped",
            "RFC 6298 section 2: a lost segment has been sent again twice by then";
    }
}

/// What explains one handshake of a client whose SYNs many answer late.
const LINE: &str = "the client's line loses packets, or holds them back: others answer it late, too";
const NEXT_SERVER: &[&str] = &[
    "look at the server at that time: threads, entropy, lookups of names and certificates, its own upstreams",
    "try another server name, and none: openssl s_client -connect HOST:PORT -servername NAME",
];
const NEXT_PATH: &[&str] = &[
    "capture on the other side of the path as well, and compare which segments arrive",
    "try a smaller ClientHello and another server name: openssl s_client -connect HOST:PORT -groups X25519",
];
/// Where other handshakes with the same server and name went well.
const PASSED: &[&str] =
    &["the path lost the same segments again and again", "the server stopped in the middle of its flight"];
const NOT_CLAIMED: &[&str] = &["where the bytes were lost", "why a side was silent"];
const DOUBTED_BY: &[QualityIssue] = &[QualityIssue::OneWay, QualityIssue::Missed, QualityIssue::Clipped];

variants! {
    /// What never came.
    enum Missing {
        ClientHello "client_hello" Warning {
            could_be: &[
                "a device on the path drops ClientHellos of more than one segment, or with this server name",
                "the path stopped carrying anything after the connection had opened",
            ],
            next: NEXT_PATH,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        ServerHello "server_hello" Warning {
            could_be: &[
                "the server accepts connections and serves none: its workers are busy or hang",
                "a load balancer waits for a backend",
                "the port speaks another protocol, and waits for it",
            ],
            next: NEXT_SERVER,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        ServerFlight "server_flight" Warning {
            could_be: &[
                "the path drops datagrams above a size: the certificates are the first large thing",
                "the path lost the same segments again and again",
                "the server stopped in the middle of its flight",
            ],
            next: NEXT_PATH,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        ClientFlight "client_flight" Info {
            could_be: &[
                "a person is asked for a certificate or for a decision",
                "the client asks about the server's certificate elsewhere and gets no answer",
            ],
            next: &["look at the client: what it looks up or fetches at that time"],
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        ServerFinished "server_finished" Warning {
            could_be: &[
                "the server checks the client's certificate elsewhere and gets no answer",
                "the server's workers are busy or hang",
            ],
            next: NEXT_SERVER,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
    }
}

counts! {
    /// What a case counts beside its flows.
    struct Stalls {
        /// The bytes that did not come were sent again, in vain.
        sent_again: u64,
        /// Largest ClientHello, bytes.
        client_hello_bytes: Most,
        /// The client gave up.
        given_up: u64,
    }
}

counts! {
    /// What is counted of all handshakes of a server and name.
    struct Handshakes {
        completed: u64,
        /// Largest ClientHello of those, bytes.
        hello_bytes: Most,
    }
}

impl Detector for TlsStall {
    const RULE: Rule = Rule {
        name: "tls_stall",
        group: Group::Tls,
        summary: "TLS handshakes in which a side said nothing more, or was not heard",
        judges: "handshakes",
        variants: Missing::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("tls_stall.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Flows, &["rst_storm"])];
    type Variant = Missing;
    /// Server and server name, what never came.
    type Key = ((Endpoint, String), Missing);
    type Counts = Stalls;
    type Total = Handshakes;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let (Some(tls), Some(tcp)) = (flow.tls.as_deref(), flow.tcp.as_deref()) else { return };
        let Some(negotiation) = flow.negotiation() else { return };
        if let Some(why) = unknown(flow, tls, tcp, &negotiation) {
            return book.not_judged(why);
        }
        let over = negotiation.end != NegotiationEnd::Silence;
        if !over && flow.last.time - negotiation.since.time < self.wait {
            return book.not_judged("nothing of the connection was captured after the handshake stopped");
        }
        let server = (flow.server, tls.server_name().to_ascii_lowercase());
        let hello = tls.client_hello.as_ref().map_or(0, |hello| hello.length);
        if let Some(handshakes) = book.judged(&server)
            && negotiation.end == NegotiationEnd::Complete
        {
            handshakes.completed += 1;
            handshakes.hello_bytes.add(hello);
        }
        if negotiation.waited < self.wait || tls.fatal_alert().is_some() {
            return;
        }
        let Some((missing, sent_again)) = missing(tls, tcp, &negotiation) else { return };
        let name = server.1.clone();
        let Some(case) = book.case((server, missing)) else { return };
        let until = negotiation.ended.unwrap_or(flow.last);
        case.flow(flow, [negotiation.since, until]);
        if !name.is_empty() {
            case.affected.names.add(name);
        }
        case.failed += 1;
        case.lost += (until.time - negotiation.since.time).max(Span::ZERO);
        case.counts.sent_again += u64::from(sent_again);
        case.counts.client_hello_bytes.add(hello);
        case.counts.given_up += u64::from(over && negotiation.by == Some(Direction::ToServer));
        case.show(0, flow.id, || evidence(flow, tls, tcp, &negotiation));
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut servers: BTreeMap<Endpoint, Handshakes> = BTreeMap::new();
        for ((server, _), _, handshakes) in book.totals() {
            servers.entry(*server).or_default().absorb(handshakes.clone());
        }
        let cases = book.take(|_, _| true).into_iter();
        let concluded = cases.map(|((server, missing), mut case)| {
            let (total, same) = book.total(&server);
            case.total = total;
            let same = same.cloned().unwrap_or_default();
            let all = servers.get(&server.0).cloned().unwrap_or_default();
            let mut draft = draft(&server, missing, &case, &same, &all);
            let slow = |client: &IpAddr| context.heard.has_slow_line(*client);
            if case.failed == 1 && case.affected.clients.only().is_some_and(slow) {
                draft = draft.severity(Severity::Info).could_first_be(LINE);
            }
            (draft, case)
        });
        concluded.collect()
    }
}

/// Why silence says nothing here.
fn unknown(flow: &Flow, tls: &TlsSession, tcp: &TcpFlow, negotiation: &Negotiation) -> Option<&'static str> {
    let missed = || tcp.sides.iter().any(|side| side.missed_bytes > 0);
    match negotiation.stage {
        Stage::Complete => None,
        // Also where a filter kept the TLS messages only.
        _ if tcp.handshake.outcome != HandshakeOutcome::Established => {
            Some("the opening of the connection was not captured")
        }
        _ if flow.is_one_way() => Some("one direction only"),
        _ if tls.lost.contains(&true) || missed() || flow.halves.iter().any(|half| half.clipped > 0) => {
            Some("bytes of the handshake are missing from the capture")
        }
        _ => None,
    }
}

/// What never came, and whether it was sent again in vain; `None` when others say it, or nobody waited.
fn missing(tls: &TlsSession, tcp: &TcpFlow, negotiation: &Negotiation) -> Option<(Missing, bool)> {
    if negotiation.end == NegotiationEnd::NotTls {
        return None;
    }
    // A size limit that shows by its own proof is told by its own detector.
    let limited = tcp.sides.iter().flat_map(|side| &side.sizes.undelivered);
    if limited.into_iter().any(|range| range.smaller_delivered > 0 && !range.delivered_whole) {
        return None;
    }
    // SYN and FIN take a number each.
    let acked = |side: Direction| {
        let side = tcp.side(side);
        side.acked_progress >= side.unique_bytes
    };
    let again = |side: Direction| tcp.side(side).retransmissions.data() > 0;
    let begun = tls.unfinished[Direction::ToClient.index()].is_some();
    let hole = tcp.side(Direction::ToClient).hole_bytes > 0;
    // The number of a RST is that of the segment it answers, and acknowledges nothing before it.
    let behind = |event: &TcpEvent| {
        let repeats = event.kind.is_data_retransmission() && event.spurious.is_none();
        let repeats = repeats && event.direction == Direction::ToServer;
        repeats && negotiation.ended.is_some_and(|end| event.at.packet > end.packet)
    };
    let to_server = acked(Direction::ToServer) && !tcp.events.iter().any(behind);
    match negotiation.stage {
        Stage::ServerHello if hole || begun => Some((Missing::ServerFlight, false)),
        Stage::ServerHello if !to_server => {
            again(Direction::ToServer).then_some((Missing::ClientHello, true))
        }
        Stage::ServerHello => Some((Missing::ServerHello, false)),
        Stage::ServerFlight => Some((Missing::ServerFlight, again(Direction::ToClient))),
        Stage::ClientFlight if !acked(Direction::ToClient) && again(Direction::ToClient) => {
            Some((Missing::ServerFlight, true))
        }
        // The client did not acknowledge what it got: it is gone.
        Stage::ClientFlight if !acked(Direction::ToClient) => None,
        Stage::ClientFlight => Some((Missing::ClientFlight, false)),
        // It did not arrive.
        Stage::ServerFinished if !to_server => None,
        Stage::ServerFinished => Some((Missing::ServerFinished, false)),
        Stage::Complete => None,
    }
}

fn evidence(
    flow: &Flow,
    tls: &TlsSession,
    tcp: &TcpFlow,
    negotiation: &Negotiation,
) -> impl Iterator<Item = Evidence> {
    let hello = tls.client_hello.as_ref().map(|hello| {
        let name = hello.sni.as_deref().unwrap_or("no server name");
        Evidence::new(hello.at, Role::ClientHello, format!("{} bytes, {name}", hello.length))
    });
    let server = tls.server_hello.as_ref().map(|hello| Evidence::new(hello.at, Role::ServerHello, ""));
    let last = Evidence::new(negotiation.since, Role::Last, "last record of the handshake");
    let waited = format!("{} after the last record", negotiation.waited);
    let end = match (negotiation.end, negotiation.ended) {
        (NegotiationEnd::Reset, Some(at)) => Some(Evidence::new(at, Role::Reset, waited)),
        (NegotiationEnd::Fin, Some(at)) => Some(Evidence::new(at, Role::Fin, waited)),
        (NegotiationEnd::Alert, Some(at)) => Some(Evidence::new(at, Role::Alert, waited)),
        _ => Some(Evidence::new(flow.last, Role::AfterGap, "last packet of the connection")),
    };
    let repeats = tcp.events.iter().filter(|event| event.kind.is_data_retransmission());
    let repeats: Vec<Evidence> = repeats
        .take(3)
        .map(|event| Evidence::new(event.at, Role::Retransmission, format!("len {}", event.length)))
        .collect();
    [hello, server, Some(last), end].into_iter().flatten().chain(repeats)
}

fn draft(
    (server, name): &(Endpoint, String),
    missing: Missing,
    case: &Case<Stalls>,
    same: &Handshakes,
    all: &Handshakes,
) -> Draft<Missing> {
    let shown = if name.is_empty() { server.to_string() } else { format!("{name} ({server})") };
    let of = case.total.max(case.failed);
    let title = match missing {
        Missing::ServerFlight if same.completed > 0 => format!(
            "{} of {} with {shown} stopped before the certificates were whole",
            case.failed,
            plural(of, "handshake"),
        ),
        Missing::ClientHello => format!("The ClientHello to {shown} never arrives"),
        Missing::ServerHello => format!("{shown} does not answer the ClientHello"),
        Missing::ServerFlight => format!("The certificates of {shown} never arrive whole"),
        Missing::ClientFlight => format!("Clients of {shown} stop after the server's certificate"),
        Missing::ServerFinished => format!("{shown} does not answer the client's Finished"),
    };
    let what = match missing {
        Missing::ClientHello => "The ClientHello was sent again and not acknowledged.",
        Missing::ServerHello => "The server acknowledged the ClientHello and sent nothing.",
        Missing::ServerFlight if case.counts.sent_again > 0 => {
            "The server sent its flight again, and it was not acknowledged whole."
        }
        Missing::ServerFlight => "The ServerHello or a part of what follows it never came.",
        Missing::ClientFlight => "The client acknowledged the server's flight and sent nothing.",
        Missing::ServerFinished => "The server acknowledged the client's key exchange and sent nothing.",
    };
    let mut summary = format!(
        "{} of {} with this server and name stopped, of {}. {what} Nothing moved for {}.",
        case.failed,
        plural(of, "handshake"),
        case.clients(),
        crate::humanize::lasting(case.lost),
    );
    let others = all.completed - same.completed.min(all.completed);
    if same.completed > 0 {
        summary += &format!(" {} went well.", plural(same.completed, "handshake"));
    } else if others > 0 {
        summary += &format!(" {} for other names went well at this server.", plural(others, "handshake"));
    }
    let (largest, passed) = (case.counts.client_hello_bytes.get(), all.hello_bytes.get());
    if missing == Missing::ClientHello && passed > 0 && largest > passed {
        summary += &format!(" The ClientHello had {largest} bytes, those that passed at most {passed}.");
    }
    let probe = name.is_empty() && case.affected.clients.count() == 1 && all.completed == 0;
    let severity = match missing {
        Missing::ClientFlight => Severity::Info,
        _ if probe => Severity::Info,
        _ if name.is_empty() => case.severity(case.failed).min(Severity::Warning),
        _ => case.severity(case.failed),
    };
    let direction = match missing {
        Missing::ClientHello | Missing::ClientFlight => Direction::ToServer,
        _ => Direction::ToClient,
    };
    // What is too large for the path is so for every handshake.
    let passed = missing == Missing::ServerFlight && same.completed > 0;
    let subject = Subject { name: (!name.is_empty()).then(|| name.clone()), ..Subject::of(case) };
    let draft = Draft::new(missing, title, summary);
    let draft = if passed { draft.could_be(PASSED.iter().copied()) } else { draft };
    draft
        .severity(severity)
        .confidence(if case.failed > 1 { Confidence::Confirmed } else { Confidence::Likely })
        .direction(direction)
        .subject(subject)
        .count("completed", same.completed)
}

#[cfg(test)]
mod tests;
