//! in-order bytes -> messages
//!
//! Parsers that know nothing of packets, flows or time-outs: they are fed in-order bytes, or told of a gap,
//! and say what was in them. Every incomplete message is held within a budget of its own.

pub mod dns;
pub mod tls;
