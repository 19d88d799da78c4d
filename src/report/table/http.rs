//! `http`: one row per HTTP request and its response.

use super::shared::{FileIndex, community_id, ordinal, side};
use super::{Column, Table, columns};
use crate::app::http::Exchange;
use crate::app::http2::error_name;
use crate::flow::FlowHead;
use crate::time::Span;

/// An exchange and the flow that carried it.
#[derive(Clone, Copy, Debug)]
pub struct HttpRow<'a> {
    /// The exchange.
    pub exchange: &'a Exchange,
    /// The flow.
    pub flow: &'a FlowHead,
    /// The files.
    pub files: &'a FileIndex,
}

/// Text of a packet; null when there was none.
fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl HttpRow<'_> {
    /// Of an exchange that the end of the connection cut: who ended it, and how.
    fn ended_by(self) -> Option<&'static str> {
        self.exchange.closed.map(|closing| side(closing.direction))
    }

    fn end(self) -> Option<&'static str> {
        self.exchange.closed.map(|closing| if closing.reset { "rst" } else { "fin" })
    }

    fn version(self) -> &'static str {
        match self.exchange.version {
            0 => "1.0",
            2 => "2",
            _ => "1.1",
        }
    }

    fn error(self) -> Option<String> {
        self.exchange.error.map(error_name)
    }

    fn transfer(self) -> Option<Span> {
        Some(self.exchange.response_end?.time - self.exchange.response?.time)
    }
}

/// The table of HTTP exchanges.
#[derive(Debug)]
pub struct Http;

impl Table for Http {
    const NAME: &'static str = "http";
    const DOC: &'static str = "One row per HTTP request and its response, in plain text: HTTP/1 and \
        HTTP/2, gRPC included. Text of packets has octets that do not print escaped, and at most 512 of \
        them.";
    const BRIEF: &'static [&'static str] = &[
        "ts",
        "id.orig_h",
        "id.resp_h",
        "id.resp_p",
        "method",
        "host",
        "uri",
        "status_code",
        "wait",
        "frame",
    ];
    const COLUMNS: &'static [Column<Self>] = EXCHANGE;
    type Row<'a> = HttpRow<'a>;
}

const EXCHANGE: &[Column<Http>] = columns! { Http:
    "ts" Time "time of the first byte of the request; of the response, when there was no request"
        = |row| row.exchange.first().map(|at| at.time);
    "flow_id" U64 "the flow, in flows" = |row| row.flow.id;
    "id.orig_h" Text "client address" = |row| row.flow.client.address;
    "id.orig_p" U16 "client port" = |row| row.flow.client.port;
    "id.resp_h" Text "server address" = |row| row.flow.server.address;
    "id.resp_p" U16 "server port" = |row| row.flow.server.port;
    "community_id" Text "Community ID of the flow" = |row| community_id(row.flow);
    "trans_depth" U32 "place among the exchanges of the connection, from 1" = |row| row.exchange.depth;
    "method" Text "method; null when the request was not captured" = |row| text(&row.exchange.method);
    "host" Text "Host field of the request" = |row| text(&row.exchange.host);
    "uri" Text "request target, as sent" = |row| text(&row.exchange.target);
    "version" Text "HTTP version of the request: 1.0, 1.1, 2" = |row| row.version();
    "status_code" U16 "status of the response; null without one" = |row| row.exchange.status;
    "grpc_status" U16 "grpc-status of the response (0 is OK)" = |row| row.exchange.grpc_status;
    "interim_responses" U32 "responses 1xx before it" = |row| row.exchange.interim;
    "wait" F64 "last byte of the request to the first byte of the response, s" = |row| row.exchange.waited();
    "transfer_time" F64 "first to last byte of the response, s" = |row| row.transfer();
    "request_body_len" U64 "octets of the request's body" = |row| row.exchange.request_bytes;
    "response_body_len" U64 "octets of the response's body" = |row| row.exchange.response_bytes;
    "content_length" U64 "octets of the response's body as announced" = |row| row.exchange.announced;
    "content_type" Text "Content-Type field of the response" = |row| text(&row.exchange.content_type);
    "server" Text "Server field of the response" = |row| text(&row.exchange.server);
    "via" Text "Via field of the request" = |row| text(&row.exchange.via);
    "response_via" Text "Via field of the response" = |row| text(&row.exchange.response_via);
    "forwarded_for" Text "X-Forwarded-For field of the request; without one, the client of the PROXY \
        protocol" = |row| text(&row.exchange.forwarded_for);
    "upgraded" Bool "the connection went over to another protocol" = |row| row.exchange.upgraded;
    "request_complete" Bool "the request was captured to its end" = |row| row.exchange.request_whole;
    "response_complete" Bool "the response was captured to its end" = |row| row.exchange.response_whole;
    "ended_by" Text "who ended the connection, or the stream, before the exchange was complete: orig, resp"
        = |row| row.ended_by();
    "end" Text "how: fin, rst" = |row| row.end();
    "error" Text "HTTP/2: the code of the RST_STREAM or GOAWAY that ended it" = |row| row.error();
    "missing_bytes" Bool "bytes of it were not captured" = |row| row.exchange.unheard;
    "packet" U64 "ordinal of the first packet of the request; of the response, when there was no request"
        = |row| ordinal(row.exchange.first());
    "file" Text "file of that packet" = |row| row.exchange.first().map(|at| row.files.file(at.packet));
    "frame" U64 "frame number of that packet in its file" = |row| row.files.frame_of(row.exchange.first());
    "request_end_packet" U64 "ordinal of the packet with the last byte of the request"
        = |row| ordinal(row.exchange.request_end);
    "request_end_frame" U64 "its frame number in its file"
        = |row| row.files.frame_of(row.exchange.request_end);
    "response_packet" U64 "ordinal of the packet with the first byte of the response"
        = |row| ordinal(row.exchange.response);
    "response_frame" U64 "its frame number in its file" = |row| row.files.frame_of(row.exchange.response);
    "response_end_packet" U64 "ordinal of the packet with the last byte of the response"
        = |row| ordinal(row.exchange.response_end);
    "response_end_frame" U64 "its frame number in its file"
        = |row| row.files.frame_of(row.exchange.response_end);
};
