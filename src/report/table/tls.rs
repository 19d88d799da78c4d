//! `tls`: one row per flow with TLS.

use super::shared::{FileIndex, community_id, ordinal, side, word};
use super::{Column, Table, columns};
use crate::app::quic::{self, Close, Quic};
use crate::app::tls::{
    Alert, Certificate, ClientHello, Sealed, ServerHello, TlsSession, cipher_name, version_name,
};
use crate::dissect::{Direction, PacketRef};
use crate::flow::{Flow, Negotiation, Upgrade};
use crate::time::Span;

/// A session and its flow.
#[derive(Clone, Copy, Debug)]
pub struct TlsRow<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// The session.
    pub session: &'a TlsSession,
    /// The files.
    pub files: &'a FileIndex,
}

impl<'a> TlsRow<'a> {
    fn client(self) -> Option<&'a ClientHello> {
        self.session.client_hello.as_ref()
    }

    fn server(self) -> Option<&'a ServerHello> {
        self.session.server_hello.as_ref()
    }

    fn leaf(self) -> Option<&'a Certificate> {
        self.session.certificates[1].first()
    }

    /// The alert that tells most: the last that is no farewell, or else the last.
    fn alert(self) -> Option<&'a Alert> {
        let alerts = &self.session.alerts;
        alerts.iter().rfind(|alert| alert.description != Some(Alert::CLOSE_NOTIFY)).or(alerts.last())
    }

    fn handshake_time(self) -> Option<Span> {
        Some(self.session.established?.time - self.client()?.at.time)
    }

    /// The ClientHello, or else the flow's first packet.
    fn first(self) -> PacketRef {
        self.client().map_or(self.flow.first, |hello| hello.at)
    }

    fn negotiation(self) -> Option<Negotiation> {
        self.flow.negotiation()
    }

    fn foreign(self) -> Option<String> {
        let greeting = &self.flow.greetings[Direction::ToClient.index()];
        (!greeting.octets().is_empty() && !greeting.is_tls()).then(|| greeting.text())
    }

    fn offered(self) -> Option<String> {
        let client = self.client()?;
        (!client.alpn.is_empty()).then(|| client.alpn.join(","))
    }

    fn quic(self) -> Option<&'a Quic> {
        self.session.quic.as_deref()
    }

    fn transport(self) -> &'static str {
        if self.quic().is_some() { "quic" } else { "tcp" }
    }

    /// What the client's packets had, and what its ClientHello offers beside.
    fn quic_versions(self) -> Option<String> {
        let tried = self.quic()?.tried.iter();
        let offered = self.client().into_iter().flat_map(|hello| &hello.quic_versions);
        let mut names: Vec<String> = Vec::new();
        for name in tried.chain(offered).map(|version| quic::version_name(*version)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(names.join(","))
    }

    fn server_name(self) -> Option<&'a str> {
        self.client()?.sni.as_deref()
    }

    fn close(self) -> Option<&'a Close> {
        self.quic()?.close.as_ref()
    }

    /// What a code of the application means, its protocol says: what the server chose, or the client's first.
    fn closed_with(self) -> Option<String> {
        let chosen = self.server().and_then(|hello| hello.alpn.as_deref());
        let offered = || self.client()?.alpn.first().map(String::as_str);
        let close = self.close()?;
        let name = close.name(chosen.or_else(offered).unwrap_or_default());
        let colon = if close.reason.is_empty() { "" } else { ": " };
        Some(format!("{name} by {}{colon}{}", side(close.direction), close.reason))
    }

    /// To the client and back, and to the server and back.
    fn spin_rtt(self) -> Option<Span> {
        let [client, server] = self.quic()?.spin?.least;
        Some(client + server)
    }

    fn opened(self) -> Option<&'static str> {
        Some(self.session.opened.as_ref()?.why().map_or("whole", Sealed::name))
    }
}

/// The table of TLS sessions.
#[derive(Debug)]
pub struct Tls;

impl Table for Tls {
    const NAME: &'static str = "tls";
    const DOC: &'static str = "One row per flow with TLS, over TCP or in QUIC: what was offered, \
        chosen, presented and said. Certificates and the application protocol chosen are visible before TLS \
        1.3, or with keys.";
    const BRIEF: &'static [&'static str] = &[
        "ts",
        "id.orig_h",
        "id.resp_h",
        "id.resp_p",
        "server_name",
        "version",
        "cipher",
        "established",
        "handshake_time",
        "last_alert",
        "alert_by",
        "frame",
    ];
    const COLUMNS: &'static [Column<Self>] = SESSION;
    type Row<'a> = TlsRow<'a>;
}

const SESSION: &[Column<Tls>] = columns! { Tls:
    "ts" Time "time of the ClientHello; of the flow's first packet when there was none"
        = |row| row.first().time;
    "flow_id" U64 "the flow, in flows" = |row| row.flow.id;
    "id.orig_h" Text "client address" = |row| row.flow.client.address;
    "id.orig_p" U16 "client port" = |row| row.flow.client.port;
    "id.resp_h" Text "server address" = |row| row.flow.server.address;
    "id.resp_p" U16 "server port" = |row| row.flow.server.port;
    "community_id" Text "Community ID of the flow" = |row| community_id(&row.flow.head());
    "tcp_stream" U32 "Wireshark's tcp.stream" = |row| row.flow.stream;
    "packet" U64 "ordinal of the ClientHello; of the flow's first packet when there was none"
        = |row| row.first().packet;
    "file" Text "file of that packet" = |row| row.files.file(row.first().packet);
    "frame" U64 "frame number of that packet in its file" = |row| row.files.frame(row.first().packet);
    "version" Text "version in force; null without a ServerHello"
        = |row| row.server().map(|hello| version_name(hello.version));
    "cipher" Text "cipher suite chosen" = |row| row.server().map(|hello| cipher_name(hello.cipher_suite));
    "server_name" Text "server name that the client asked for (SNI)" = |row| row.server_name();
    "upgraded_from" Text "what the connection began in: SMTP, IMAP, ... (STARTTLS), connect (a tunnel \
        through an HTTP proxy); null when in TLS"
        = |row| row.flow.upgrade.as_deref().and_then(Upgrade::began_in);
    "resumed" Bool "the client offers to resume a session" = |row| row.client().map(|hello| hello.resumption);
    "last_alert" Text "last alert that is no close_notify, else the last; encrypted when it cannot be read"
        = |row| row.alert().map(Alert::name);
    "next_protocol" Text "application protocol that the server chose (ALPN)"
        = |row| row.server().and_then(|hello| hello.alpn.as_deref());
    "established" Bool "the handshake was complete, as far as the records show"
        = |row| row.session.established.is_some();
    "handshake_time" F64 "ClientHello to the complete handshake, s" = |row| row.handshake_time();
    "server_hello_packet" U64 "ordinal of the ServerHello"
        = |row| ordinal(row.server().map(|hello| hello.at));
    "server_hello_frame" U64 "frame number of the ServerHello in its file"
        = |row| row.files.frame_of(row.server().map(|hello| hello.at));
    "hello_retries" U32 "HelloRetryRequests" = |row| row.session.hello_retries;
    "offered_version" Text "highest version the client offers"
        = |row| row.client().map(|hello| version_name(hello.highest_version()));
    "offered_ciphers" U16 "cipher suites the client offers"
        = |row| row.client().map(|hello| hello.cipher_suites.len());
    "offered_protocols" Text "application protocols the client offers (ALPN), joined by commas"
        = |row| row.offered();
    "client_hello_length" U32 "length of the ClientHello, bytes"
        = |row| row.client().map(|hello| hello.length);
    "alerts" U8 "alerts, at most 16" = |row| row.session.alerts.len();
    "alert_by" Text "who sent that alert: orig, resp" = |row| row.alert().map(|alert| side(alert.direction));
    "alert_level" U8 "its level: 1 warning, 2 fatal; null when encrypted"
        = |row| row.alert().and_then(|alert| alert.level);
    "alert_phase" Text "when it was sent: hello, handshake, established"
        = |row| row.alert().map(|alert| word(&alert.phase));
    "alert_packet" U64 "its ordinal" = |row| ordinal(row.alert().map(|alert| alert.at));
    "alert_frame" U64 "its frame number in its file"
        = |row| row.files.frame_of(row.alert().map(|alert| alert.at));
    "certificates" U8 "certificates of the server" = |row| row.session.certificates[1].len();
    "certificate_requested" Bool "the server asked for a certificate"
        = |row| row.session.certificate_requested;
    "subject" Text "subject of the server's certificate" = |row| row.leaf().map(|leaf| leaf.subject.as_str());
    "malformed_packet" U64 "ordinal of the packet with bytes that are no TLS"
        = |row| ordinal(row.session.malformed);
    "malformed_frame" U64 "its frame number in its file" = |row| row.files.frame_of(row.session.malformed);
    "stage" Text "what the handshake waited for last: server_hello, server_flight, client_flight, \
        server_finished; complete when for nothing" = |row| row.negotiation().map(|of| word(&of.stage));
    "ended" Text "how the handshake ended: complete, alert, not_tls, reset, fin, silence"
        = |row| row.negotiation().map(|of| word(&of.end));
    "ended_by" Text "who ended it: orig, resp; for a silence, who had to speak"
        = |row| row.negotiation().and_then(|of| of.by).map(side);
    "resp_began" Text "first bytes of the server when they are no TLS, others than ASCII escaped"
        = |row| row.foreign();
    "transport" Text "what carries it: tcp, quic" = |row| row.transport();
    "ja4" Text "JA4 fingerprint of the ClientHello" = |row| row.client().map(|hello| hello.ja4.as_str());
    "quic_version" Text "QUIC version in force: 1, 2, draft-29; that of the client when nobody answered"
        = |row| row.quic().map(|quic| quic::version_name(quic.version));
    "quic_versions" Text "QUIC versions that the client tried or offers, joined by commas"
        = |row| row.quic_versions();
    "quic_close" Text "error with which a side closed a QUIC connection, in an Initial packet or read with \
        keys, who did, and the reason given, others than ASCII escaped: H3_INTERNAL_ERROR by resp: no memory"
        = |row| row.closed_with();
    "spin_rtt" F64 "least round trip by the latency spin bit of QUIC, with what both sides wait before they \
        send, s; null where the bit does not spin" = |row| row.spin_rtt();
    "orig_lost" Bool "missing bytes ended the reading of the client's side" = |row| row.session.lost[0];
    "resp_lost" Bool "missing bytes ended the reading of the server's side" = |row| row.session.lost[1];
    "opened" Text "how far keys opened the encrypted records: whole, or why not all of them: no_keys, suite, \
        gap, no_key_fits, early_data; null when no keys were given" = |row| row.opened();
};
