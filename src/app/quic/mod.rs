//! datagrams -> [`Quic`] and the TLS session inside
//!
//! QUIC version 1 and 2 and the last drafts (RFC 9000, 9001, 9369): long headers, version negotiation, Retry,
//! and Initial packets, whose keys follow from a connection ID that everybody can read. What is behind them
//! is opened when the secrets of the session are known, and counted otherwise.

mod crypto;
mod frame;
mod header;
mod initial;
mod number;
mod opener;
mod protection;
mod questions;
mod reader;
mod rewrite;
mod session;
mod spin;
mod version;

pub use header::looks_like_quic;
pub use initial::client_random;
pub(in crate::app) use number::offered_versions;
pub use reader::{Message, QuicReader};
pub use rewrite::{Mask, Rewriter, blank_parameters};
pub use session::{Close, Quic, Space, error_name};
pub use spin::Spun;
pub use version::version_name;
