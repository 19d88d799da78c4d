//! [`PacketRecord`](crate::dissect::PacketRecord) -> [`Flow`], [`TcpEvent`], in-order bytes for `app`
//!
//! [`FlowTable`] finds the flow of a packet. A TCP `Connection` has an `Opening` for the handshake, and per
//! direction a `Sender`, which classifies every segment, and an `Assembler`, which feeds the content parsers
//! in order.

mod assembler;
mod attempt;
mod content;
mod copies;
mod echo;
mod entry;
mod event;
mod greeting;
mod handshake;
mod history;
mod holes;
mod laps;
mod limits;
mod log;
mod negotiation;
mod open;
mod ranges;
mod record;
mod reset;
mod retries;
mod round_trip;
mod row;
mod sender;
mod sent;
mod slot;
mod states;
mod streams;
mod table;
mod tcp;
mod times;
mod turns;
mod upgrade;
mod waits;
#[cfg(test)]
mod tests;

pub use crate::dissect::Endpoint;
pub use echo::{EchoSize, Echoes};
pub use event::{EventKind, LossPlace, SpuriousProof, TcpEvent};
pub use greeting::Greeting;
pub use history::ConnState;
pub use laps::{Laps, Rung};
pub use limits::{FlowLimits, LimitHits};
pub use negotiation::{Negotiation, NegotiationEnd, Stage};
pub(crate) use ranges::Ranges;
pub use record::*;
pub use reset::{Reset, ResetClass};
pub use round_trip::Trip;
pub use row::{Finished, Row};
pub use states::{StatePeriod, TcpState};
pub use streams::StreamId;
pub use table::FlowTable;
pub use times::{Histogram, Spread, Times};
pub use turns::{Turn, Turns};
pub use upgrade::{Called, Upgrade};
pub use waits::{Breaker, Closure, Crossing, FatalPause, Pause, Reopened, Unanswered, Waits};
