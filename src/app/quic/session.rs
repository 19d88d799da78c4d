//! What QUIC itself says of a session: without keys, or with them.

use serde::{Deserialize, Serialize};

use crate::app::quic::spin::Spun;
use crate::app::tls::alert_name;
use crate::dissect::{Direction, PacketRef};

/// What was read of a connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quic {
    /// Version in force: that of the server's packets, or else of the client's last.
    pub version: u32,
    /// Versions that the client's packets had, in order, at most [`Quic::VERSIONS`].
    pub tried: Vec<u32>,
    /// Versions that the server named when it was asked for one it does not speak.
    pub server_versions: Vec<u32>,
    /// Version negotiation packets, and the first.
    pub negotiations: u32,
    /// The first of them.
    pub negotiated_at: Option<PacketRef>,
    /// Retry packets.
    pub retries: u32,
    /// Retry packets that answer an Initial which a Retry had asked for already.
    pub retried_again: u32,
    /// The last Retry.
    pub retried_at: Option<PacketRef>,
    /// The client's flights of Initial packets before it heard of the server, the first [`Quic::FLIGHTS`].
    /// Those that close the connection are none.
    pub flights: Vec<PacketRef>,
    /// How many there were.
    pub flight_count: u32,
    /// The last packet of its last flight.
    pub last_initial: Option<PacketRef>,
    /// The client acknowledged an Initial of the server, or went on to packets that only an answer allows.
    pub heard: bool,
    /// The server's first Initial or Handshake packet.
    pub answered: Option<PacketRef>,
    /// The first CONNECTION_CLOSE that could be read: in an Initial packet, or with keys in any.
    pub close: Option<Close>,
    /// Stateless resets: datagrams of the server that differ and end in the same sixteen octets (RFC 9000
    /// section 10.3).
    pub resets: u32,
    /// The first of them that can be told.
    pub reset_at: Option<PacketRef>,
    /// Further connections between the same ports; nothing of them was read.
    pub other_connections: u32,
    /// Initial packets that could not be opened: cut short, or of a connection whose beginning is not there.
    pub unread: u32,
    /// What the server is called by, as far as its packets say or keys show, from [`Quic::TELLING`] octets
    /// on; at most [`Quic::IDS`].
    pub server_ids: Vec<Vec<u8>>,
    /// What the latency spin bit says, where it is on.
    pub spin: Option<Spun>,
}

/// The packet number spaces (RFC 9000 section 12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// Initial packets.
    Initial,
    /// Handshake packets.
    Handshake,
    /// 1-RTT packets.
    Data,
}

/// How a side closed a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// The packet.
    pub at: PacketRef,
    /// Who sent it.
    pub direction: Direction,
    /// What it stands in.
    pub space: Space,
    /// The error is the application's, and not the transport's.
    pub application: bool,
    /// Error code of the transport (RFC 9000 section 20.1), or of the application.
    pub code: u64,
    /// What the side says of it, octets that do not print escaped, cut at [`Close::REASON`].
    pub reason: String,
}

impl Quic {
    /// Versions kept.
    pub const VERSIONS: usize = 8;
    /// Flights kept.
    pub const FLIGHTS: usize = 8;
    /// IDs of the server kept: its first, and those that it gives a client beforehand.
    pub const IDS: usize = 8;
    /// Octets from which an ID tells a connection from others of its server.
    pub const TELLING: usize = 4;

    /// The client sent its first flight again and again, and no answer reached it.
    pub fn is_unanswered(&self) -> bool {
        let nothing = self.negotiations == 0 && self.retries == 0 && self.answered.is_none();
        nothing && !self.heard && self.flight_count > 1
    }

    /// The server has another name.
    pub(super) fn calls(&mut self, id: &[u8]) {
        let new = id.len() >= Self::TELLING && !self.server_ids.iter().any(|known| known == id);
        if new && self.server_ids.len() < Self::IDS {
            self.server_ids.push(id.to_vec());
        }
    }

    pub(super) fn tried(&mut self, version: u32) {
        if self.answered.is_none() {
            self.version = version;
        }
        if !self.tried.contains(&version) && self.tried.len() < Self::VERSIONS {
            self.tried.push(version);
        }
    }
}

impl Close {
    /// Octets of a reason that are kept.
    pub const REASON: usize = 160;
    /// The application closes, and may not say why in packets that are not of its space (RFC 9000 section
    /// 10.2.3).
    const APPLICATION_ERROR: u64 = 0x0c;

    /// What the TLS handshake says is an alert (RFC 9001 section 4.8).
    pub fn alert(&self) -> Option<u8> {
        (!self.application && (0x100..0x200).contains(&self.code)).then_some(self.code as u8)
    }

    /// Another of the same side says more than this one, which stands for an error of the application.
    pub(super) fn stands_for(&self, other: &Self) -> bool {
        let placeholder = !self.application && self.code == Self::APPLICATION_ERROR;
        placeholder && other.application && self.direction == other.direction
    }

    /// The registry's name of the error, where `protocol` is the application's (ALPN), or its number.
    pub fn name(&self, protocol: &str) -> String {
        let of_application = |names: &[(u64, &str)]| {
            let known = names.iter().find(|(code, _)| *code == self.code);
            known.map_or_else(
                || format!("application error 0x{:x}", self.code),
                |(_, name)| (*name).to_owned(),
            )
        };
        match (self.application, self.alert()) {
            (false, Some(alert)) => format!("CRYPTO_ERROR {}", alert_name(alert)),
            (false, None) => error_name(self.code),
            (true, _) if protocol == "h3" || protocol.starts_with("h3-") => of_application(HTTP3),
            (true, _) if protocol.starts_with("doq") => of_application(DNS),
            (true, _) => of_application(&[]),
        }
    }
}

/// RFC 9114 section 8.1 and RFC 9204 section 6.
const HTTP3: &[(u64, &str)] = &[
    (0x100, "H3_NO_ERROR"),
    (0x101, "H3_GENERAL_PROTOCOL_ERROR"),
    (0x102, "H3_INTERNAL_ERROR"),
    (0x103, "H3_STREAM_CREATION_ERROR"),
    (0x104, "H3_CLOSED_CRITICAL_STREAM"),
    (0x105, "H3_FRAME_UNEXPECTED"),
    (0x106, "H3_FRAME_ERROR"),
    (0x107, "H3_EXCESSIVE_LOAD"),
    (0x108, "H3_ID_ERROR"),
    (0x109, "H3_SETTINGS_ERROR"),
    (0x10a, "H3_MISSING_SETTINGS"),
    (0x10b, "H3_REQUEST_REJECTED"),
    (0x10c, "H3_REQUEST_CANCELLED"),
    (0x10d, "H3_REQUEST_INCOMPLETE"),
    (0x10e, "H3_MESSAGE_ERROR"),
    (0x10f, "H3_CONNECT_ERROR"),
    (0x110, "H3_VERSION_FALLBACK"),
    (0x200, "QPACK_DECOMPRESSION_FAILED"),
    (0x201, "QPACK_ENCODER_STREAM_ERROR"),
    (0x202, "QPACK_DECODER_STREAM_ERROR"),
];

/// RFC 9250 section 4.3.
const DNS: &[(u64, &str)] = &[
    (0, "DOQ_NO_ERROR"),
    (1, "DOQ_INTERNAL_ERROR"),
    (2, "DOQ_PROTOCOL_ERROR"),
    (3, "DOQ_REQUEST_CANCELLED"),
    (4, "DOQ_EXCESSIVE_LOAD"),
    (5, "DOQ_UNSPECIFIED_ERROR"),
];

/// RFC 9000 section 20.1 and RFC 9368 section 8.
const ERRORS: [&str; 18] = [
    "NO_ERROR",
    "INTERNAL_ERROR",
    "CONNECTION_REFUSED",
    "FLOW_CONTROL_ERROR",
    "STREAM_LIMIT_ERROR",
    "STREAM_STATE_ERROR",
    "FINAL_SIZE_ERROR",
    "FRAME_ENCODING_ERROR",
    "TRANSPORT_PARAMETER_ERROR",
    "CONNECTION_ID_LIMIT_ERROR",
    "PROTOCOL_VIOLATION",
    "INVALID_TOKEN",
    "APPLICATION_ERROR",
    "CRYPTO_BUFFER_EXCEEDED",
    "KEY_UPDATE_ERROR",
    "AEAD_LIMIT_REACHED",
    "NO_VIABLE_PATH",
    "VERSION_NEGOTIATION_ERROR",
];

/// The registry's name of a transport error, or its number.
pub fn error_name(code: u64) -> String {
    let known = usize::try_from(code).ok().and_then(|code| ERRORS.get(code));
    known.map_or_else(|| format!("error 0x{code:x}"), |name| (*name).to_owned())
}
