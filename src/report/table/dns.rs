//! `dns`: one row per DNS transaction.

use super::shared::{FileIndex, community_id, ordinal, protocol};
use super::{Column, Table, columns};
use crate::app::dns::{Transaction, error_name, qtype_name, rcode_name};
use crate::dissect::PacketRef;
use crate::flow::FlowHead;

/// A transaction and the flow that carried it.
#[derive(Clone, Copy, Debug)]
pub struct DnsRow<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// The flow.
    pub flow: &'a FlowHead,
    /// The files.
    pub files: &'a FileIndex,
}

impl DnsRow<'_> {
    fn first(self) -> Option<PacketRef> {
        self.transaction.query.or(self.transaction.response)
    }

    fn of_response(self, flag: bool) -> Option<bool> {
        self.transaction.response.map(|_| flag)
    }

    fn conflicting(self) -> Option<String> {
        let extra = self.transaction.extra.iter().filter(|extra| !extra.same_content);
        joined(&extra.flat_map(|extra| extra.answers.iter().cloned()).collect::<Vec<_>>())
    }

    fn errors(self) -> Option<String> {
        let errors = self.transaction.errors.iter().map(|error| match error.text.as_str() {
            "" => error_name(error.code),
            text => format!("{} ({text})", error_name(error.code)),
        });
        joined(&errors.collect::<Vec<_>>())
    }
}

fn joined(parts: &[String]) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join(","))
}

/// The table of DNS transactions.
#[derive(Debug)]
pub struct Dns;

impl Table for Dns {
    const NAME: &'static str = "dns";
    const DOC: &'static str = "One row per DNS transaction: a query, its repeats, its response.";
    const BRIEF: &'static [&'static str] = &[
        "ts",
        "id.orig_h",
        "id.resp_h",
        "query",
        "qtype_name",
        "rcode_name",
        "rtt",
        "repeats",
        "answers",
        "frame",
    ];
    const COLUMNS: &'static [Column<Self>] = TRANSACTION;
    type Row<'a> = DnsRow<'a>;
}

const TRANSACTION: &[Column<Dns>] = columns! { Dns:
    "ts" Time "time of the query, or of a response that nothing asked for"
        = |row| row.first().map(|at| at.time);
    "flow_id" U64 "the flow, in flows" = |row| row.flow.id;
    "id.orig_h" Text "client address" = |row| row.flow.client.address;
    "id.orig_p" U16 "client port" = |row| row.flow.client.port;
    "id.resp_h" Text "server address" = |row| row.flow.server.address;
    "id.resp_p" U16 "server port" = |row| row.flow.server.port;
    "proto" Text "transport protocol" = |row| protocol(row.flow.protocol);
    "community_id" Text "Community ID of the flow" = |row| community_id(row.flow);
    "trans_id" U16 "transaction id" = |row| row.transaction.id;
    "query" Text "name asked for, case as sent" = |row| row.transaction.name.as_str();
    "qtype" U16 "type asked for" = |row| row.transaction.qtype;
    "qtype_name" Text "type asked for, by name" = |row| qtype_name(row.transaction.qtype);
    "qclass" U16 "class asked for: 1 is the Internet, 3 CHAOS" = |row| row.transaction.qclass;
    "rcode" U16 "response code, extended by EDNS; null without a response" = |row| row.transaction.rcode;
    "rcode_name" Text "response code, by name" = |row| row.transaction.rcode.map(rcode_name);
    "rejected" Bool "the response is no answer: any code but NOERROR; null without a response"
        = |row| row.transaction.rcode.map(|rcode| rcode != 0);
    "rtt" F64 "last query before the response to the response, s" = |row| row.transaction.rtt;
    "waited" F64 "first query to the response, repeats included, s" = |row| row.transaction.waited();
    "AA" Bool "the response is authoritative; null without a response"
        = |row| row.of_response(row.transaction.authoritative);
    "TC" Bool "the response is truncated; null without a response"
        = |row| row.of_response(row.transaction.truncated);
    "RD" Bool "the query asks for recursion" = |row| row.transaction.recursion_desired;
    "RA" Bool "the server offers recursion; null without a response"
        = |row| row.of_response(row.transaction.recursion_available);
    "answers" Text "addresses and names of the answer section, joined by commas"
        = |row| joined(&row.transaction.answers);
    "answer_count" U32 "records in the answer section" = |row| row.transaction.answers.len();
    "min_ttl" U32 "lowest time to live of the answers, s" = |row| row.transaction.ttl;
    "extended_errors" Text "extended DNS errors (RFC 8914), joined by commas" = |row| row.errors();
    "udp_size" U16 "UDP payload size that the query offers (EDNS), bytes" = |row| row.transaction.udp_size;
    "repeats" U32 "how often the query was sent again from the same socket"
        = |row| row.transaction.repeat_count;
    "extra_responses" U32 "further responses, at most 8" = |row| row.transaction.extra.len();
    "conflicting_responses" U32 "of those, the ones that say something else than the first"
        = |row| row.transaction.extra.iter().filter(|extra| !extra.same_content).count();
    "conflicting_answers" Text "addresses and names that those answer with, joined by commas"
        = |row| row.conflicting();
    "packet" U64 "ordinal of the query over the capture set; of the response when there was no query"
        = |row| ordinal(row.first());
    "file" Text "file of that packet" = |row| row.first().map(|at| row.files.file(at.packet));
    "frame" U64 "frame number of that packet in its file" = |row| row.files.frame_of(row.first());
    "response_packet" U64 "ordinal of the response" = |row| ordinal(row.transaction.response);
    "response_frame" U64 "frame number of the response in its file"
        = |row| row.files.frame_of(row.transaction.response);
};
