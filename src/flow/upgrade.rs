//! What stood before the protocol of a connection.

use serde::{Deserialize, Serialize};

use crate::app::upgrade::{ProxyHeader, StartTls};
use crate::dissect::{Direction, PacketRef};

/// What stood before the protocol of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// For whom a proxy connected (PROXY protocol).
    pub proxied: Option<ProxyHeader>,
    /// The client asked to go on in TLS.
    pub starttls: Option<StartTls>,
    /// It is a tunnel through an HTTP proxy (CONNECT).
    pub tunnel: bool,
    /// It may be the rest of a QUIC connection whose handshake went between other ports.
    pub called: Option<Called>,
}

/// How a datagram with a short header of QUIC calls its receiver (RFC 9000 section 17.3.1): by the octets
/// that follow the first. How many of them are the ID, the handshake says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The octets that may be an ID.
    pub octets: [u8; Self::MOST],
    /// Where it went.
    pub to: Direction,
    /// The packet.
    pub at: PacketRef,
}

impl Called {
    /// Octets of the longest ID (RFC 9000 section 17.2).
    pub const MOST: usize = 20;

    /// Of a datagram that begins as QUIC's do behind the handshake.
    pub(super) fn read(to: Direction, datagram: &[u8], at: PacketRef) -> Option<Self> {
        let (first, rest) = datagram.split_first()?;
        let octets = *rest.first_chunk()?;
        // A short header, and the bit that all packets have.
        (first & 0xc0 == 0x40).then_some(Self { octets, to, at })
    }
}

impl Upgrade {
    /// What a TLS session began in: the protocol, or `connect`.
    pub fn began_in(&self) -> Option<&'static str> {
        match &self.starttls {
            Some(starttls) => Some(starttls.protocol.name()),
            None => self.tunnel.then_some("connect"),
        }
    }
}
