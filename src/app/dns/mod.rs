//! datagrams and in-order bytes -> [`DnsMessage`] -> [`Transaction`]
//!
//! RFC 1035 with EDNS (RFC 6891), extended errors (RFC 8914) and the TCP framing of RFC 7766.

mod message;
mod name;
mod names;
mod pending;
mod tcp;
mod transaction;
mod transactions;

pub use message::{
    DnsError, DnsMessage, Edns, ExtendedError, Question, Record, RecordData, looks_like_dns, parse,
};
pub use names::{error_name, qtype_name, rcode_name};
pub use tcp::{DnsTcp, begins_dns_stream};
pub use transaction::{ExtraResponse, Transaction};
pub use transactions::Transactions;

/// Response code of a resolver that could not get an answer (RFC 1035 section 4.1.1).
pub const SERVFAIL: u16 = 2;
