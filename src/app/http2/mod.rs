//! in-order bytes -> [`Exchange`](crate::app::http::Exchange)
//!
//! HTTP/2 in plain text (RFC 9113), with prior knowledge or after an upgrade from HTTP/1.1: a stream is an
//! exchange. Field sections are decoded (RFC 7541); bodies are measured and not kept.

mod fields;
pub(crate) mod frame;
pub(crate) mod huffman;
mod parser;

pub(crate) use fields::LONGEST_NAME;
pub use fields::grpc_status_name;
pub use frame::{error_name, looks_like_http2};
pub use parser::Http2Parser;
