//! [`PacketRecord`](crate::dissect::PacketRecord) -> [`Flow`], [`TcpEvent`], in-order bytes for `app`
//!
//! [`FlowTable`] finds the flow of a packet. A TCP `Connection` has an `Opening` for the handshake, and per
//! direction a `Sender`, which classifies every segment, and an `Assembler`, which feeds the content parsers
//! in order.

mod assembler;
mod content;
mod copies;
mod event;
mod handshake;
mod history;
mod holes;
mod limits;
mod log;
mod open;
mod ranges;
mod record;
mod reset;
mod round_trip;
mod sender;
mod sent;
mod streams;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod turns;

pub use crate::dissect::Endpoint;
pub use event::{EventKind, LossPlace, SpuriousProof, TcpEvent};
pub use history::ConnState;
pub use limits::{FlowLimits, LimitHits};
pub use record::*;
pub use streams::StreamId;
pub use table::{Finished, FlowTable, Row};
pub use turns::{Turn, Turns, Waits};
