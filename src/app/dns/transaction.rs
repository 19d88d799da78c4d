//! A DNS transaction: a query, its repeats, its response, and responses that came on top.

use serde::{Deserialize, Serialize};

use crate::app::dns::ExtendedError;
use crate::dissect::PacketRef;
use crate::time::{Span, Timestamp};

/// A response beyond the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtraResponse {
    /// The packet.
    pub at: PacketRef,
    /// Its code.
    pub rcode: u16,
    /// It says the same as the first.
    pub same_content: bool,
    /// Addresses and names of its answer section, when it says something else.
    pub answers: Vec<String>,
}

/// A query and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// Transaction id.
    pub id: u16,
    /// Operation: 0 is a lookup (RFC 1035 section 4.1.1), 4 NOTIFY (RFC 1996), 5 UPDATE (RFC 2136).
    pub opcode: u8,
    /// Name asked for, case as sent.
    pub name: String,
    /// Type asked for.
    pub qtype: u16,
    /// Class asked for: 1 is the Internet, 3 CHAOS, where servers are asked for their version.
    pub qclass: u16,
    /// The query; `None` for a response that nothing asked for.
    pub query: Option<PacketRef>,
    /// The same query again from the same socket, first [`Transaction::MAX_REPEATS`].
    pub repeats: Vec<PacketRef>,
    /// How many repeats there were.
    pub repeat_count: u32,
    /// The first response.
    pub response: Option<PacketRef>,
    /// From the query, or its last repeat before the response, to the response.
    pub rtt: Option<Span>,
    /// Response code.
    pub rcode: Option<u16>,
    /// AA of the response.
    pub authoritative: bool,
    /// TC of the response.
    pub truncated: bool,
    /// RD of the query (of the response, when there was no query).
    pub recursion_desired: bool,
    /// RA of the response.
    pub recursion_available: bool,
    /// Addresses and names of the answer section, in its order.
    pub answers: Vec<String>,
    /// Lowest time to live of the answers, seconds.
    pub ttl: Option<u32>,
    /// Extended errors of the response.
    pub errors: Vec<ExtendedError>,
    /// UDP payload size that the query offers (EDNS).
    pub udp_size: Option<u16>,
    /// Further responses, first [`Transaction::MAX_REPEATS`].
    pub extra: Vec<ExtraResponse>,
    /// A response may have come in bytes that were not captured, or were left out for their memory.
    pub unheard: bool,
    /// Up to when the capture watched for a response.
    pub watched_until: Timestamp,
    /// When nothing more is waited for, by the capture's clock.
    pub(super) deadline: Timestamp,
}

impl Transaction {
    /// Repeats and further responses kept.
    pub const MAX_REPEATS: usize = 8;

    /// How long a transaction waits for responses after its last query. Resolver libraries wait less: glibc
    /// and systemd 5 s per try, BIND 30 s in all.
    pub const WAIT: Span = Span::secs(30);

    /// It asks for a name. The NetBIOS name service on port 137 has the format of DNS and asks everybody (RFC
    /// 1002); NOTIFY and UPDATE ask for no name. Without a question in a class that exists (RFC 1035 section
    /// 3.2.4, RFC 2136 section 2.4) it is no DNS.
    pub fn is_lookup(&self, server_port: u16) -> bool {
        const NETBIOS: u16 = 137;
        let asks = matches!(self.qclass, 1..=4 | 254 | 255);
        self.opcode == 0 && asks && server_port != NETBIOS
    }

    /// A query for an Internet name that was answered with something to go on with.
    pub fn found(&self) -> bool {
        self.query.is_some() && self.rcode == Some(0) && !self.answers.is_empty() && !self.truncated
    }

    /// The packet it is known by: the query, or the response when there was none.
    pub fn first_packet(&self) -> u64 {
        self.query.or(self.response).map_or(0, |at| at.packet)
    }

    /// When nothing more is waited for: [`Transaction::WAIT`] after the last query by the capture's clock,
    /// which never goes back, whatever the packets' own times do.
    pub fn closed_at(&self) -> Timestamp {
        self.deadline
    }

    /// From the first query to the response: what the client waited, repeats included.
    pub fn waited(&self) -> Option<Span> {
        Some(self.response?.time - self.query?.time)
    }
}
