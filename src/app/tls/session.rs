//! A TLS session as far as it can be read: without keys, or with them.

use serde::{Deserialize, Serialize};

use crate::app::quic::Quic;
use crate::app::tls::alert::{Alert, Phase};
use crate::app::tls::certificate::Certificate;
use crate::app::tls::hello::{ClientHello, ServerHello};
use crate::app::tls::opener::Opened;
use crate::app::tls::record::APPLICATION_DATA;
use crate::dissect::{Direction, PacketRef};
use crate::time::Span;

/// TLS 1.3.
pub(super) const TLS13: u16 = 0x0304;

/// What was read of a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TlsSession {
    /// The first ClientHello.
    pub client_hello: Option<ClientHello>,
    /// The ServerHello.
    pub server_hello: Option<ServerHello>,
    /// HelloRetryRequests.
    pub hello_retries: u32,
    /// Certificates of the client (0) and of the server (1), leaf first.
    pub certificates: [Vec<Certificate>; 2],
    /// When they came.
    pub certificates_at: [Option<PacketRef>; 2],
    /// Certificates that could not be read.
    pub certificates_unreadable: u32,
    /// The server asked for a certificate (seen before TLS 1.3, or with keys).
    pub certificate_requested: bool,
    /// Alerts in order, first sixteen.
    pub alerts: Vec<Alert>,
    /// ChangeCipherSpec by direction.
    pub change_cipher_spec: [Option<PacketRef>; 2],
    /// First application data record by direction.
    pub application_data: [Option<PacketRef>; 2],
    /// When the handshake was complete, as far as the records show.
    pub established: Option<PacketRef>,
    /// The last handshake message that was read, by direction: its type.
    pub last_handshake: [Option<(u8, PacketRef)>; 2],
    /// The last record by direction: content type, length, packet.
    pub last_record: [Option<(u8, u16, PacketRef)>; 2],
    /// A record or a handshake message of the direction was begun and never ended: the packet of its last
    /// bytes.
    pub unfinished: [Option<PacketRef>; 2],
    /// Bytes that are no TLS followed.
    pub malformed: Option<PacketRef>,
    /// Missing bytes ended the reading of a direction.
    pub lost: [bool; 2],
    /// Application data records of the server since the handshake was complete.
    pub server_records: u32,
    /// What QUIC says of it, when QUIC carried it and not TCP.
    pub quic: Option<Box<Quic>>,
    /// What keys opened of it; `None` when nobody gave any, or nothing in it was encrypted.
    pub opened: Option<Box<Opened>>,
}

impl TlsSession {
    /// The version in force; drafts count as the version they became.
    pub(super) fn version(&self) -> Option<u16> {
        self.server_hello.as_ref().map(|hello| if hello.version >> 8 == 0x7f { TLS13 } else { hello.version })
    }

    /// TLS 1.3 or a draft of it is in force: everything after the ServerHello is encrypted.
    pub fn is_tls13(&self) -> bool {
        self.version() == Some(TLS13)
    }

    /// A side said that it closes (close_notify), or sent an alert that cannot be read after the handshake,
    /// which is one as a rule.
    pub fn said_goodbye(&self) -> bool {
        self.alerts.iter().any(|alert| match alert.description {
            Some(description) => description == Alert::CLOSE_NOTIFY,
            None => alert.phase == Phase::Established,
        })
    }

    /// The client's name for the server, or empty.
    pub fn server_name(&self) -> &str {
        self.client_hello.as_ref().and_then(|hello| hello.sni.as_deref()).unwrap_or_default()
    }

    /// The alert that ended it: the first that is fatal, or that cannot be read and came before the handshake
    /// was complete.
    pub fn fatal_alert(&self) -> Option<Alert> {
        let ends = |alert: &&Alert| match (alert.level, alert.description) {
            (_, Some(Alert::CLOSE_NOTIFY | Alert::USER_CANCELED)) => false,
            (Some(level), Some(_)) => level == 2,
            _ => alert.phase != Phase::Established,
        };
        self.alerts.iter().find(ends).copied()
    }

    /// TLS 1.3 hides alerts in application data. True when the last record of `direction` has an alert's
    /// length: 2 + 1 + 16, or 2 + 1 + 8 with CCM_8 (RFC 8446 section 5.2).
    pub fn may_end_with_alert(&self, direction: Direction) -> bool {
        let read = self.opened.as_ref().is_some_and(|opened| opened.last[direction.index()]);
        self.version() == Some(TLS13)
            && !read
            && self.last_record[direction.index()]
                .is_some_and(|(kind, length, _)| kind == APPLICATION_DATA && matches!(length, 19 | 11))
    }

    /// TLS 1.3: the server answered the client's Finished at once with one record of an alert's length,
    /// before the client closed. A server that rejects the client's certificate does this.
    pub fn answered_with_alert(&self) -> Option<PacketRef> {
        let finished = self.established?;
        let (_, _, at) = self.last_record[Direction::ToClient.index()]?;
        let alone = self.server_records == 1 && self.may_end_with_alert(Direction::ToClient);
        let client = self.last_record[Direction::ToServer.index()]?.2;
        let first = !self.may_end_with_alert(Direction::ToServer) || client.packet > at.packet;
        (alone && first && at.time - finished.time < Span::secs(1)).then_some(at)
    }
}
