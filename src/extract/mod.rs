//! files, what is wanted -> packets with their original bytes
//!
//! An analysis keeps no packets: whoever wants to show some reads the inputs again. Three steps do that, each
//! usable alone, all in bounded memory and with the same result at any number of threads:
//!
//! 1. [`Again`] is the inputs of an analysis, to be read once more: chunks that cannot hold anything wanted
//!    are passed over by their record headers.
//! 2. [`pick`] chooses the packets of incidents (or findings) and remembers for each why it is there: proof,
//!    handshake, the conversation around it, other flows that the incident reached. A [`Picked`] holds
//!    ordinals only, at most [`Picked::PACKETS`] and [`Picked::BYTES`] of packets; what found no place is
//!    counted.
//! 3. [`each_picked`] reads the chosen packets: original bytes, time, interface, link type, file, frame.
//!    [`conversations`] gives those of each incident's deciding flow as plain records, to draw.
//!
//! For a ladder or a time-sequence graph of every incident of a report:
//!
//! ```ignore
//! let again = Again::new(&outcome.files, &outcome.chunks, &config.capture_limits());
//! let asked: Vec<Asked> = report.incidents.iter().map(|cited| report.asked(cited)).collect();
//! let picked = extract::pick(&again, &asked)?;
//! for conversation in extract::conversations(&again, &picked)? {
//!     // One per incident, in their order; empty when the proof has no addresses.
//!     for step in &conversation.steps {
//!         // step.record: time, IP (TTL, length), TCP flags, seq, ack, window, SACK, payload length.
//!         // step.to_server, step.frame, step.file; step.cites: finding, role, fields, when it is proof.
//!     }
//! }
//! ```
//!
//! [`DisplayFilter`] and [`Wanted`] choose packets one by one instead. [`Pcapng`] writes them, and [`redact`]
//! takes out of them whose they are.

mod again;
mod conversation;
mod display_filter;
mod error;
mod fields;
mod key;
mod nearest;
mod pcapng;
mod pick;
mod picked;
pub mod redact;
mod wanted;
mod watch;

pub use again::{Again, Packet};
pub use conversation::{Conversation, Conversations, Step, conversations};
pub use display_filter::DisplayFilter;
pub use error::ExtractError;
pub use fields::FILTER_FIELDS;
pub use pcapng::{Pcapng, Section};
pub use pick::{Asked, pick};
pub use picked::{Cite, Picked, Tier, each_picked};
pub use wanted::{FlowSpan, Wanted};
pub use watch::Watch;
