//! A request and the response to it.

use serde::{Deserialize, Serialize};

use crate::dissect::{Direction, PacketRef};
use crate::time::{Span, Timestamp};

/// How a connection ended: the first FIN or RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The packet.
    pub at: PacketRef,
    /// Who sent it: of an exchange, `ToServer` is who sends its requests.
    pub direction: Direction,
    /// It is a RST.
    pub reset: bool,
    /// It is a RST with a TTL that its sender's other segments do not have.
    pub other_ttl: bool,
}

impl Closing {
    /// The same where requests run against the connection.
    pub(in crate::app) fn reversed(self) -> Self {
        Self { direction: self.direction.reverse(), ..self }
    }
}

/// An HTTP request and its response. Text from packets has octets that do not print escaped, and is cut at
/// [`Exchange::TEXT`] octets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Its place among the exchanges of the connection, from 1.
    pub depth: u32,
    /// Method; empty when the request was not captured.
    pub method: String,
    /// Request target: a path, or a whole URI towards a proxy (RFC 9112 section 3.2).
    pub target: String,
    /// `Host` field.
    pub host: String,
    /// Version of the request, of the response when there was no request: 0 and 1 are HTTP/1.0 and HTTP/1.1,
    /// 2 is HTTP/2.
    pub version: u8,
    /// Packet with the first byte of the request.
    pub request: Option<PacketRef>,
    /// Packet with its last byte, as far as it was seen.
    pub request_end: Option<PacketRef>,
    /// The request arrived whole at the capture point.
    pub request_whole: bool,
    /// Octets of the request's body, as transferred, without chunk framing.
    pub request_bytes: u64,
    /// `Via` of the request: the proxies that it came through.
    pub via: String,
    /// `X-Forwarded-For` of the request: for whom a proxy asks.
    pub forwarded_for: String,
    /// Status of the final response.
    pub status: Option<u16>,
    /// Interim responses before it (1xx).
    pub interim: u32,
    /// Packet with the first byte of the final response.
    pub response: Option<PacketRef>,
    /// Packet with its last byte, as far as it was seen.
    pub response_end: Option<PacketRef>,
    /// The response arrived whole at the capture point.
    pub response_whole: bool,
    /// Octets of the response's body, as transferred, without chunk framing.
    pub response_bytes: u64,
    /// Octets that it announced (`Content-Length`).
    pub announced: Option<u64>,
    /// `Server` field of the response.
    pub server: String,
    /// `Via` field of the response.
    pub response_via: String,
    /// `Content-Type` field of the response.
    pub content_type: String,
    /// The connection went over to another protocol: 101, or 2xx to CONNECT.
    pub upgraded: bool,
    /// `grpc-status` of the response; the last one counts.
    pub grpc_status: Option<u16>,
    /// The code with which HTTP/2 ended it before it was whole: of RST_STREAM, or of GOAWAY (RFC 9113 section
    /// 7). REFUSED_STREAM also where a GOAWAY says that the server has not begun with it (section 6.8).
    pub error: Option<u32>,
    /// The end of the connection, when it came before the exchange was whole; of HTTP/2 that of its stream,
    /// when that came first.
    pub closed: Option<Closing>,
    /// Bytes of it were not captured, or left out for their memory: what is missing says nothing.
    pub unheard: bool,
    /// What the requests' side sent last was sent again and never acknowledged: a request that got no answer
    /// may not have arrived.
    pub undelivered: bool,
    /// When it was finished, by the capture's clock.
    pub(crate) done: Timestamp,
}

impl Exchange {
    /// Octets kept of a text from packets.
    pub const TEXT: usize = 512;

    /// The packet it is known by: the first of the request, else of the response.
    pub fn first(&self) -> Option<PacketRef> {
        self.request.or(self.response)
    }

    /// Last byte of the request to first byte of the response.
    pub fn waited(&self) -> Option<Span> {
        let waited = self.response?.time - self.request_end?.time;
        (self.request_whole && waited >= Span::ZERO).then_some(waited)
    }

    /// The server ended a request that never came whole (408, RFC 9110 section 15.5.9).
    pub fn never_came_whole(&self) -> bool {
        self.status == Some(408) && !self.request_whole
    }

    /// The target's path: without scheme and authority, query and fragment.
    pub fn path(&self) -> &str {
        let target = match self.target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            }
            _ => &self.target,
        };
        target.split(['?', '#']).next().unwrap_or_default()
    }

    /// The response was cut: its body is shorter than announced, or its last chunk is missing.
    pub fn is_cut(&self) -> bool {
        self.response.is_some() && !self.response_whole && !self.unheard && self.closed.is_some()
    }

    /// The server has not begun with it, and says so: the client can try again.
    pub fn is_refused(&self) -> bool {
        const REFUSED_STREAM: u32 = 7;
        self.error == Some(REFUSED_STREAM)
    }

    /// Bytes of memory that it takes, about.
    pub(in crate::app) fn held(&self) -> usize {
        let texts = [
            &self.method,
            &self.target,
            &self.host,
            &self.via,
            &self.forwarded_for,
            &self.server,
            &self.response_via,
            &self.content_type,
        ];
        size_of::<Self>() + texts.iter().map(|text| text.capacity()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_without_authority_and_query() {
        let path = |target: &str| {
            let exchange = Exchange { target: target.to_owned(), ..Exchange::default() };
            exchange.path().to_owned()
        };
        assert_eq!(path("/a/b?c=http://x"), "/a/b");
        assert_eq!(path("http://www.example:80/a#b"), "/a");
        assert_eq!(path("http://www.example"), "/");
        assert_eq!(path("*"), "*");
    }
}
