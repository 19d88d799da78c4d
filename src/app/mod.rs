//! in-order bytes -> messages
//!
//! Parsers that know nothing of packets, flows or time-outs. They take in-order bytes, or the news of a gap,
//! and give messages. Every incomplete message has a memory budget of its own.

pub mod dns;
pub mod http;

pub mod http2;
pub mod quic;
pub mod tls;
pub mod upgrade;
