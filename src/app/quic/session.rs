//! What QUIC itself says of a session, as far as it can be read without keys.

use serde::{Deserialize, Serialize};

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
    /// CONNECTION_CLOSE in an Initial packet.
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
}

/// How a side closed a connection in an Initial packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// The packet.
    pub at: PacketRef,
    /// Who sent it.
    pub direction: Direction,
    /// Error code of the transport (RFC 9000 section 20.1).
    pub code: u64,
}

impl Quic {
    /// Versions kept.
    pub const VERSIONS: usize = 8;
    /// Flights kept.
    pub const FLIGHTS: usize = 8;

    /// The client sent its first flight again and again, and no answer reached it.
    pub fn is_unanswered(&self) -> bool {
        let nothing = self.negotiations == 0 && self.retries == 0 && self.answered.is_none();
        nothing && !self.heard && self.flight_count > 1
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
    /// What the TLS handshake says is an alert (RFC 9001 section 4.8).
    pub fn alert(&self) -> Option<u8> {
        (0x100..0x200).contains(&self.code).then_some(self.code as u8)
    }
}

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
