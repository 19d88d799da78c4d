//! in-order bytes -> [`Exchange`]
//!
//! HTTP/1.0 and HTTP/1.1 (RFC 9112): requests and responses, paired. Bodies are measured and not kept.

mod body;
mod exchange;
mod finished;
mod head;
mod parser;

pub use exchange::{Closing, Exchange};
pub(in crate::app) use finished::Finished;
pub use head::{begins_request, looks_like_http};
pub use parser::{GoesOver, HttpParser};
