//! # What it finds
//! TLS handshakes that ended without an alert that would say why, by server and server name:
//! - `reset_after_hello`: a RST in the server's name answers the ClientHello.
//! - `no_alert`: the server closes or resets during the handshake, or the client does after the server's
//!   flight.
//! - `not_tls`: the server answers the ClientHello with bytes that are no TLS.
//! - `plain_text`: the client speaks plain text to a port that wants TLS, and is turned away.
//! - `starttls_refused`: the server refuses the client's request to go on in TLS (STARTTLS and its like).
//!
//! # Why it matters
//! The application reports a reset or an unexpected end of file, and nothing in its log names TLS.
//!
//! # How it decides
//! By what came last, who ended it, and what the same server did in other sessions: other server names that
//! went through, clients that succeeded. A port wants TLS when a session succeeded there, when it answers
//! plain text with an alert, or when it is registered for TLS.
//!
//! It is a warning at most for plain text, for clients that close after the server's flight, and without a
//! server name (an address is none): what asks so is often no user. It is information for probes: below
//! `insistent` failures, when clients without a name try once each, when they or one client alone close after
//! the server's flight, and for one client without a name where nobody succeeds.
//!
//! Plain text of one client to several ports is one finding, and so are sessions of one client with several
//! servers or names that RSTs of another TTL end.
//!
//! A client that goes on in plain text after the refusal has not failed: that is information, and nothing at
//! all for PostgreSQL and FTP, whose clients ask everywhere.
//!
//! # What it leaves alone
//! - Sessions with an alert, encrypted ones included (see `tls_alert`), unless it answers what is no TLS.
//! - Silence of `wait` or more before the end (see `tls_stall`).
//! - A client that closes before the server answered: connections that were opened to be first, or ahead of
//!   their use, and health checks.
//! - A client that closes after a chain with a fault of its own (see `tls_certificate`).
//! - Plain text that is served: some ports take both.
//!
//! # What it does not claim
//! Who sent a RST, or why a side closed.
//!
//! # References
//! RFC 8446 section 6 (errors are to be told by an alert); RFC 6066 section 3 (server names); RFC 9112
//! section 4; IANA service names (ports of protocols over TLS); RFC 3207 section 4 (454); RFC 4511 section
//! 4.14.

mod one_client;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::app::tls::{TlsSession, chain_faults};
use crate::app::upgrade::{PlainProtocol, StartTls, Verdict};
use crate::detect::tls_abort::one_client::plain_texts;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, HandshakeOutcome, Negotiation, NegotiationEnd, Stage, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts handshakes by how they ended.
    struct TlsAbort {
        insistent: u64 = 3.0 "handshakes",
            "failed handshakes of a server and name, below which it is information only",
            "ours: a client that needs the service tries again";
        wait: Span = 3.0 "s",
            "silence before the end, from which the silence is what happened",
            "the same number as in tls_stall";
    }
}

/// Ports of protocols that begin with TLS (IANA service names: https, ldaps, ftps, imaps, pop3s, sips, ...).
const TLS_PORTS: [u16; 14] = [443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 5671, 8443];

/// Ports for TLS that one client speaks plain text to, from which they are one finding.
const SERVICES: usize = 3;

const NEXT: &[&str] = &[
    "try another server name, and none: openssl s_client -connect HOST:PORT -servername NAME",
    "look into the log of the server at that time",
    "capture at the server: did it see the ClientHello, and did it send the RST?",
];
const NOT_CLAIMED: &[&str] = &["who sent the RST or the FIN", "why a side closed"];
const DOUBTED_BY: &[QualityIssue] = &[QualityIssue::Missed, QualityIssue::Clipped, QualityIssue::OneWay];

variants! {
    /// How it ended.
    enum Way {
        ResetAfterHello "reset_after_hello" Warning {
            could_be: &[
                "a device on the path resets connections for this server name",
                "the server does not serve this name, or takes no TLS on this port",
                "a load balancer has no backend for it",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        NoAlert "no_alert" Warning {
            could_be: &[],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED_BY,
        }
        NotTls "not_tls" Warning {
            could_be: &[
                "the port speaks plain text: TLS is not switched on, or on another port",
                "a proxy or a portal answers in the server's place",
            ],
            next: &["ask the server without TLS: curl -v http://HOST:PORT/"],
            not_claimed: &["that the server's configuration is wrong: the client may have the wrong port"],
            doubted_by: DOUBTED_BY,
        }
        PlainText "plain_text" Warning {
            could_be: &[
                "the address of the service is configured with http instead of https",
                "a load balancer checks or forwards without TLS",
            ],
            next: &["look up how the client was told to reach the service"],
            not_claimed: &["that the client's configuration is wrong: the server may have changed"],
            doubted_by: DOUBTED_BY,
        }
        StarttlsRefused "starttls_refused" Warning {
            could_be: &[
                "the server cannot read its certificate or its key",
                "TLS is not configured at the server",
                "a device on the path answers in the server's place",
            ],
            next: &[
                "ask the server: openssl s_client -starttls PROTOCOL -connect HOST:PORT",
                "read the server's log at these times",
            ],
            not_claimed: &["why the server refused", "that messages went in plain text elsewhere"],
            doubted_by: DOUBTED_BY,
        }
    }
}

counts! {
    /// What a case counts beside its flows.
    struct Ends {
        /// Ended by a RST.
        reset: u64,
        /// RSTs with another TTL than the server's other packets.
        other_ttl: u64,
        /// Plain text that was answered with an alert.
        alerted: u64,
        /// After the client had sent its key exchange.
        after_client: u64,
        /// What came instead of TLS, by its first bytes.
        began: Distinct<String, 8>,
        /// Connections that went on in plain text after STARTTLS was refused.
        went_on: u64,
        /// What they began in.
        protocols: Distinct<PlainProtocol, 8>,
    }
}

counts! {
    /// What is counted of all handshakes of a server and name.
    struct Handshakes {
        completed: u64,
    }
}

impl Detector for TlsAbort {
    const RULE: Rule = Rule {
        name: "tls_abort",
        group: Group::Tls,
        summary: "TLS handshakes that ended without an alert: reset, closed, or not TLS at all",
        judges: "handshakes",
        variants: Way::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("tls_abort.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Flows, &["rst_storm"])];
    type Variant = Way;
    /// Server and server name, how, who ended it.
    type Key = ((Endpoint, String), Way, Direction);
    type Counts = Ends;
    type Total = Handshakes;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = flow.tcp.as_deref() else { return };
        let starttls = flow.upgrade.as_deref().and_then(|upgrade| upgrade.starttls.as_ref());
        if let Some(starttls) = starttls.filter(|starttls| starttls.verdict == Verdict::Refused) {
            return starttls_refused(flow, tcp, starttls, book);
        }
        match (flow.tls.as_deref(), flow.negotiation()) {
            (Some(tls), Some(negotiation)) => self.handshake(flow, tls, tcp, &negotiation, book),
            (None, _) => plain_text(flow, tcp, book),
            _ => {}
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut servers: BTreeMap<Endpoint, (u64, u64)> = BTreeMap::new();
        for ((server, _), judged, handshakes) in book.totals() {
            let (all, completed) = servers.entry(*server).or_default();
            (*all, *completed) = (*all + judged, *completed + handshakes.completed);
        }
        let mut concluded = self.on_the_way(book, context.hosts);
        let mut plain: BTreeMap<(IpAddr, bool), Vec<_>> = BTreeMap::new();
        for ((server, way, by), mut case) in book.take(|_, _| true) {
            let (total, same) = book.total(&server);
            let same = same.map_or(0, |same| same.completed);
            let (all, completed) = servers.get(&server.0).copied().unwrap_or_default();
            case.total = total;
            if way == Way::PlainText {
                let wanted = completed > 0 || case.counts.alerted > 0 || TLS_PORTS.contains(&server.0.port);
                if !wanted {
                    continue;
                }
                // Plain text was judged nowhere else: it failed among all that the port was asked.
                case.total = all + case.failed;
                if let Some(client) = case.affected.clients.only() {
                    let probe = self.severity(&server.1, way, by, &case, completed) == Severity::Info;
                    plain.entry((*client, probe)).or_default().push((server, case, same, completed));
                    continue;
                }
            }
            if way == Way::StarttlsRefused {
                case.total = all + case.failed + case.counts.went_on;
            }
            concluded.push((self.draft(&server, way, by, &case, same, completed), case));
        }
        for ((client, probe), cases) in plain {
            if cases.len() >= SERVICES {
                concluded.push(plain_texts(client, probe, cases.into_iter().map(|(_, case, ..)| case)));
                continue;
            }
            for (server, case, same, completed) in cases {
                let draft = self.draft(&server, Way::PlainText, Direction::ToServer, &case, same, completed);
                concluded.push((draft, case));
            }
        }
        concluded
    }
}

impl TlsAbort {
    fn handshake(
        &self,
        flow: &Flow,
        tls: &TlsSession,
        tcp: &TcpFlow,
        negotiation: &Negotiation,
        book: &mut Book<Self>,
    ) {
        let server = (flow.server, tls.server_name().to_ascii_lowercase());
        if negotiation.end == NegotiationEnd::Complete {
            if let Some(handshakes) = book.judged(&server) {
                handshakes.completed += 1;
            }
            return;
        }
        if let Some(why) = unknown(flow, tls, tcp) {
            return book.not_judged(why);
        }
        if negotiation.end == NegotiationEnd::Silence && negotiation.waited < self.wait {
            return book.not_judged("the capture ended during the handshake");
        }
        book.judged(&server);
        let Some((way, by)) = self.way(flow, tls, negotiation) else { return };
        let name = server.1.clone();
        let Some(case) = book.case((server, way, by)) else { return };
        let ended = negotiation.ended.unwrap_or(flow.last);
        case.flow(flow, [negotiation.since, ended]);
        if !name.is_empty() {
            case.affected.names.add(name);
        }
        case.failed += 1;
        let counts = &mut case.counts;
        counts.reset += u64::from(negotiation.end == NegotiationEnd::Reset);
        let mut resets = tcp.resets.iter().filter(|reset| reset.direction == Direction::ToClient);
        counts.other_ttl += u64::from(resets.any(|reset| reset.has_other_ttl(tcp)));
        counts.after_client += u64::from(negotiation.stage == Stage::ServerFinished);
        let began = flow.greetings[Direction::ToClient.index()];
        if way == Way::NotTls {
            counts.began.add(began.text());
        }
        case.show(0, flow.id, || {
            let hello = tls.client_hello.as_ref().map(|hello| {
                Evidence::new(hello.at, Role::ClientHello, hello.sni.as_deref().unwrap_or("no server name"))
            });
            let server =
                tls.server_hello.as_ref().map(|hello| Evidence::new(hello.at, Role::ServerHello, ""));
            let after = format!("{} after the last record", negotiation.waited);
            let end = match negotiation.end {
                NegotiationEnd::Reset => Evidence::new(ended, Role::Reset, after),
                NegotiationEnd::NotTls => Evidence::new(began.at, Role::NotTls, began.text()),
                _ => Evidence::new(ended, Role::Fin, after),
            };
            [hello, server, Some(end)].into_iter().flatten()
        });
    }

    /// How the handshake failed; `None` when it did not, or when that is told elsewhere.
    fn way(&self, flow: &Flow, tls: &TlsSession, negotiation: &Negotiation) -> Option<(Way, Direction)> {
        use Direction::{ToClient, ToServer};
        let by = negotiation.by?;
        let foreign = flow.greetings[ToClient.index()];
        if negotiation.end == NegotiationEnd::NotTls {
            return is_another_protocol(flow, negotiation).then_some((Way::NotTls, by));
        }
        let closed = matches!(negotiation.end, NegotiationEnd::Fin | NegotiationEnd::Reset);
        if !closed || negotiation.waited >= self.wait || tls.fatal_alert().is_some() {
            return None;
        }
        // It closed before it had the answer: another connection was faster, or nobody wanted it any more.
        let unheard = negotiation.ended.is_some_and(|at| at.packet < negotiation.since.packet);
        if by == ToServer && unheard {
            return None;
        }
        match (negotiation.stage, by) {
            // The server's first bytes are no record yet, and may never be one.
            (Stage::ServerHello, ToClient) if !foreign.is_silent() => None,
            (Stage::ServerHello, ToClient) if negotiation.end == NegotiationEnd::Reset => {
                Some((Way::ResetAfterHello, by))
            }
            (Stage::ClientFlight, ToServer) => (!has_faulty_chain(tls)).then_some((Way::NoAlert, by)),
            (Stage::Complete, _) | (_, ToServer) => None,
            (_, ToClient) => Some((Way::NoAlert, by)),
        }
    }

    fn severity(&self, name: &str, way: Way, by: Direction, case: &Case<Ends>, completed: u64) -> Severity {
        let clients = case.affected.clients.count();
        let nameless = name.is_empty() || name.parse::<IpAddr>().is_ok();
        let unknown = nameless && case.failed < 2 * clients;
        // Load balancers check so, several of them at times, and without a name.
        let leaves = way == Way::NoAlert && by == Direction::ToServer;
        let probe = match way {
            Way::PlainText => unknown,
            _ if leaves => clients == 1 || nameless,
            _ => unknown || (clients == 1 && nameless && completed == 0),
        };
        match way {
            _ if case.failed < self.insistent => Severity::Info,
            Way::StarttlsRefused => case.severity(case.failed),
            _ if probe => Severity::Info,
            Way::ResetAfterHello | Way::NotTls if !nameless => case.severity(case.failed),
            Way::NoAlert if !leaves && !nameless => case.severity(case.failed),
            _ => case.severity(case.failed).min(Severity::Warning),
        }
    }

    fn draft(
        &self,
        (server, name): &(Endpoint, String),
        way: Way,
        by: Direction,
        case: &Case<Ends>,
        same: u64,
        completed: u64,
    ) -> Draft<Way> {
        let shown = if name.is_empty() { server.to_string() } else { format!("{name} ({server})") };
        let counts = &case.counts;
        let title = match (way, by) {
            (Way::ResetAfterHello, _) => format!("TLS to {shown} is reset right after the ClientHello"),
            (Way::NoAlert, Direction::ToClient) => {
                format!("{shown} closes during the TLS handshake, without an alert")
            }
            (Way::NoAlert, Direction::ToServer) => {
                format!("Clients of {shown} close after its TLS flight, without an alert")
            }
            (Way::NotTls, _) => format!("{shown} answers TLS with something else"),
            (Way::PlainText, _) => format!("Clients speak plain text to the TLS port {shown}"),
            (Way::StarttlsRefused, _) => {
                let protocol = counts.protocols.only().map_or("several protocols", |of| of.name());
                format!("{shown} refuses STARTTLS ({protocol})")
            }
        };
        let of = case.total.max(case.failed);
        let mut summary = match way {
            Way::PlainText => format!(
                "{} could not use the service: {} began with plain text and were turned away.",
                case.clients(),
                plural(case.failed, "connection"),
            ),
            Way::StarttlsRefused if case.failed == 0 => format!(
                "{} asked for TLS and did not get it: {} went on in plain text.",
                case.clients(),
                plural(counts.went_on, "connection"),
            ),
            Way::StarttlsRefused => format!(
                "{} could not use the service with TLS: {} of {} ended after the refusal.",
                case.clients(),
                case.failed,
                plural(of, "connection"),
            ),
            _ => format!(
                "{} could not finish the handshake: {} of {} with this server and name ended so.",
                case.clients(),
                case.failed,
                plural(of, "session"),
            ),
        };
        let began: Vec<&str> = counts.began.iter().take(3).map(String::as_str).collect();
        if way == Way::StarttlsRefused && !began.is_empty() {
            let words: Vec<String> = began.iter().map(|words| format!("\"{words}\"")).collect();
            summary += &format!(" The server said {}.", words.join(" or "));
        } else if !began.is_empty() {
            let who = if way == Way::NotTls { "server" } else { "client" };
            summary += &format!(" The {who} began with {}.", began.join(" or "));
        }
        if counts.other_ttl > 0 && counts.reset > 0 {
            summary += &format!(
                " {} another TTL than the server's other packets.",
                if counts.other_ttl == 1 {
                    "One RST has".to_owned()
                } else {
                    format!("{} RSTs have", counts.other_ttl)
                },
            );
        }
        let others = completed.saturating_sub(same);
        if same > 0 {
            summary += &format!(" {} went well.", plural(same, "session"));
        } else if others > 0 {
            summary += &format!(" {} for other names went well at this server.", plural(others, "session"));
        }
        let subject = Subject { name: (!name.is_empty()).then(|| name.clone()), ..Subject::of(case) };
        let draft = Draft::new(way, title, summary)
            .severity(self.severity(name, way, by, case, completed))
            .confidence(match way {
                Way::NotTls | Way::PlainText | Way::StarttlsRefused => Confidence::Confirmed,
                Way::ResetAfterHello | Way::NoAlert => Confidence::Likely,
            })
            .direction(by)
            .subject(subject)
            .count("completed", same);
        match (way, by) {
            (Way::NoAlert, Direction::ToServer) => draft.could_be([
                "the client does not accept the server's certificate, and does not say so",
                "a monitor that only reads the certificate",
            ]),
            (Way::NoAlert, Direction::ToClient) if counts.after_client == case.failed => draft.could_be([
                "the server does not accept the client's certificate, or got none",
                "the server process failed during the handshake",
            ]),
            (Way::NoAlert, Direction::ToClient) => draft.could_be([
                "the server process closes what it does not want: no common version, no such name, too many \
                 connections",
                "a load balancer has no backend for it",
            ]),
            _ => draft,
        }
    }
}

/// A client that rejects such a chain is told of elsewhere.
fn has_faulty_chain(tls: &TlsSession) -> bool {
    let [_, at] = tls.certificates_at;
    let name = tls.server_name().to_ascii_lowercase();
    at.is_some_and(|at| !chain_faults(&tls.certificates[1], at.time, &name).is_empty())
}

/// Why the end of a handshake says nothing here.
fn unknown(flow: &Flow, tls: &TlsSession, tcp: &TcpFlow) -> Option<&'static str> {
    let missed = || tcp.sides.iter().any(|side| side.missed_bytes > 0);
    let clipped = || flow.halves.iter().any(|half| half.clipped > 0);
    match () {
        // Also where a filter kept the TLS messages only.
        () if tcp.handshake.outcome != HandshakeOutcome::Established => {
            Some("the opening of the connection was not captured")
        }
        () if flow.is_one_way() => Some("one direction only"),
        () if tls.lost.contains(&true) || missed() || clipped() => {
            Some("bytes of the handshake are missing from the capture")
        }
        () => None,
    }
}

/// What the session ends with answers another protocol, and is told here.
pub(super) fn met_another_protocol(flow: &Flow, tls: &TlsSession) -> bool {
    let known = flow.tcp.as_deref().is_some_and(|tcp| unknown(flow, tls, tcp).is_none());
    known && flow.negotiation().is_some_and(|negotiation| is_another_protocol(flow, &negotiation))
}

/// The server's first bytes are no TLS. Later in a stream it is damage, and not another protocol.
fn is_another_protocol(flow: &Flow, negotiation: &Negotiation) -> bool {
    let foreign = flow.greetings[Direction::ToClient.index()];
    negotiation.end == NegotiationEnd::NotTls
        && negotiation.by == Some(Direction::ToClient)
        && !foreign.octets().is_empty()
        && !foreign.is_tls()
}

/// STARTTLS was refused: whether the client needed it shows what it did then.
fn starttls_refused(flow: &Flow, tcp: &TcpFlow, starttls: &StartTls, book: &mut Book<TlsAbort>) {
    // Their clients ask wherever they connect, and do without.
    let asks_anyway = matches!(starttls.protocol, PlainProtocol::Postgresql | PlainProtocol::Ftp);
    if starttls.went_on && asks_anyway {
        return;
    }
    if !starttls.went_on && tcp.closing().is_none() {
        return book.not_judged("the capture ended after STARTTLS was refused");
    }
    let key = ((flow.server, String::new()), Way::StarttlsRefused, Direction::ToClient);
    let Some(case) = book.case(key) else { return };
    case.flow(flow, [Some(starttls.asked), starttls.answered].into_iter().flatten());
    case.failed += u64::from(!starttls.went_on);
    case.counts.went_on += u64::from(starttls.went_on);
    case.counts.protocols.add(starttls.protocol);
    case.counts.began.add(starttls.reply.clone());
    case.show(0, flow.id, || {
        let ask = Evidence::new(starttls.asked, Role::NotTls, "asks for TLS");
        let answer = starttls.answered.map(|at| Evidence::new(at, Role::NotTls, starttls.reply.clone()));
        [Some(ask), answer].into_iter().flatten()
    });
}

/// Plain text that a port turned away; whether the port wants TLS is known in the end.
fn plain_text(flow: &Flow, tcp: &TcpFlow, book: &mut Book<TlsAbort>) {
    let [client, server] = flow.greetings;
    let first = client.at.packet < server.at.packet || server.is_silent();
    if !client.is_text() || !first || tcp.handshake.outcome != HandshakeOutcome::Established {
        return;
    }
    let alerted = server.octets().first() == Some(&21) && server.is_tls();
    let closed = || {
        let end = tcp.resets.iter().find(|reset| reset.direction == Direction::ToClient).map(|one| one.at);
        let end = end.or(tcp.side(Direction::ToClient).fin)?;
        let first = tcp.side(Direction::ToServer).fin.is_none_or(|fin| end.packet < fin.packet);
        (server.is_silent() && first && client.is_http_request()).then_some(end)
    };
    let refused = server.http_status() == Some(400) && client.is_http_request();
    let end = if alerted || refused { Some(server.at) } else { closed() };
    let Some(end) = end else { return };
    let Some(case) = book.case(((flow.server, String::new()), Way::PlainText, Direction::ToServer)) else {
        return;
    };
    case.flow(flow, [client.at, end]);
    case.failed += 1;
    case.counts.alerted += u64::from(alerted);
    let method = client.text().split(' ').next().unwrap_or_default().to_owned();
    case.counts.began.add(method);
    case.show(0, flow.id, || {
        let (role, fields) = match (alerted, refused) {
            (true, _) => (Role::Alert, "in answer to plain text".to_owned()),
            (_, true) => (Role::NotTls, server.text()),
            _ => (Role::Fin, "without an answer".to_owned()),
        };
        [Evidence::new(client.at, Role::NotTls, client.text()), Evidence::new(end, role, fields)]
    });
}

#[cfg(test)]
mod tests;
