//! How far a TLS handshake came, who had to speak next, and how it ended.

use serde::{Deserialize, Serialize};

use crate::app::tls::{Phase, TlsSession};
use crate::dissect::{Direction, PacketRef};
use crate::flow::{Flow, TcpFlow};
use crate::time::Span;

/// What a handshake waited for last (RFC 5246 section 7.3, RFC 8446 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The ServerHello.
    ServerHello,
    /// The rest of the server's first flight: certificates, ServerHelloDone.
    ServerFlight,
    /// The client's answer: key exchange and Finished.
    ClientFlight,
    /// The server's Finished (before TLS 1.3).
    ServerFinished,
    /// Nothing: the handshake was complete, as far as the records show.
    Complete,
}

impl Stage {
    /// Who had to speak.
    pub fn speaker(self) -> Option<Direction> {
        match self {
            Self::ServerHello | Self::ServerFlight | Self::ServerFinished => Some(Direction::ToClient),
            Self::ClientFlight => Some(Direction::ToServer),
            Self::Complete => None,
        }
    }
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NegotiationEnd {
    /// Both sides finished it.
    Complete,
    /// An alert, readable or not.
    Alert,
    /// Bytes that are no TLS.
    NotTls,
    /// A RST.
    Reset,
    /// A FIN.
    Fin,
    /// Nobody said anything more while the capture watched.
    Silence,
}

/// A TLS handshake from its ClientHello on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiation {
    /// What it waited for last.
    pub stage: Stage,
    /// The last packet of a handshake record, whole or not: since then somebody waited.
    pub since: PacketRef,
    /// How it ended.
    pub end: NegotiationEnd,
    /// Who ended it; the silent side for a silence, nobody when it is complete.
    pub by: Option<Direction>,
    /// The packet that ended it; `None` for a silence.
    pub ended: Option<PacketRef>,
    /// From the last record to the end, or as long as the capture watched.
    pub waited: Span,
}

impl Flow {
    /// Its TLS handshake; `None` when no ClientHello was read.
    pub fn negotiation(&self) -> Option<Negotiation> {
        let (tls, tcp) = (self.tls.as_deref()?, self.tcp.as_deref()?);
        let hello = tls.client_hello.as_ref()?;
        let stage = stage(tls);
        if stage == Stage::Complete {
            let (end, ended) = (NegotiationEnd::Complete, tls.established);
            let since = ended.unwrap_or(hello.at);
            return Some(Negotiation { stage, since, end, by: None, ended, waited: Span::ZERO });
        }
        let records = tls.last_record.iter().flatten();
        let handshake = records.filter(|(kind, ..)| *kind != ALERT).map(|(.., at)| *at);
        let begun = tls.unfinished.into_iter().flatten();
        let since = handshake.chain(begun).chain([hello.at]).max_by_key(|at| at.packet).unwrap_or(hello.at);
        let first = self.ends(tls, tcp).into_iter().flatten().min_by_key(|(at, ..)| at.packet);
        let (ended, end, by) = match first {
            Some((at, end, by)) => (Some(at), end, Some(by)),
            None => (None, NegotiationEnd::Silence, stage.speaker()),
        };
        let until = ended.map_or(self.watched_until, |at| at.time);
        Some(Negotiation { stage, since, end, by, ended, waited: (until - since.time).max(Span::ZERO) })
    }

    /// What can end a handshake, the most telling first where one packet holds several.
    fn ends(&self, tls: &TlsSession, tcp: &TcpFlow) -> [Option<(PacketRef, NegotiationEnd, Direction)>; 6] {
        let alert = tls.alerts.iter().find(|alert| alert.phase != Phase::Established);
        let fin = |side: Direction| Some((tcp.side(side).fin?, NegotiationEnd::Fin, side));
        let reset = |side: Direction| {
            let reset = tcp.resets.iter().find(|reset| reset.direction == side)?;
            Some((reset.at, NegotiationEnd::Reset, side))
        };
        let foreign = tls.malformed.map(|at| {
            let client = self.greetings[Direction::ToServer.index()].is_tls();
            (at, NegotiationEnd::NotTls, if client { Direction::ToClient } else { Direction::ToServer })
        });
        [
            alert.map(|alert| (alert.at, NegotiationEnd::Alert, alert.direction)),
            foreign,
            fin(Direction::ToServer),
            fin(Direction::ToClient),
            reset(Direction::ToServer),
            reset(Direction::ToClient),
        ]
    }
}

/// The record type of alerts, which end a handshake and do not move it.
const ALERT: u8 = 21;
/// The type of ServerHelloDone.
const SERVER_HELLO_DONE: u8 = 14;

fn stage(tls: &TlsSession) -> Stage {
    let [client, server] = [Direction::ToServer, Direction::ToClient].map(Direction::index);
    let last = |side: usize| tls.last_record[side].map_or(0, |(.., at)| at.packet);
    if tls.established.is_some() {
        return Stage::Complete;
    }
    if tls.server_hello.is_none() {
        // After a HelloRetryRequest the client is to say hello again.
        return match tls.hello_retries > 0 && last(server) > last(client) {
            true => Stage::ClientFlight,
            false => Stage::ServerHello,
        };
    }
    let (data, ciphers) = (tls.application_data, tls.change_cipher_spec);
    let done = match tls.is_tls13() {
        // The rest of the flight is encrypted: that there is some of it has to do.
        true => data[server].is_some(),
        false => {
            let done = |(kind, _): (u8, PacketRef)| kind == SERVER_HELLO_DONE;
            tls.last_handshake[server].is_some_and(done) || ciphers[server].is_some()
        }
    };
    if tls.unfinished[server].is_some() || !done {
        Stage::ServerFlight
    } else if tls.is_tls13() || ciphers[client].is_none() {
        Stage::ClientFlight
    } else {
        Stage::ServerFinished
    }
}
