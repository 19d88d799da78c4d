//! datagrams -> [`Quic`] and the TLS session inside
//!
//! QUIC version 1 and 2 and the last drafts (RFC 9000, 9001, 9369): long headers, version negotiation, Retry,
//! and Initial packets, whose keys follow from a connection ID that everybody can read. Everything behind
//! them is encrypted and only counted.

mod crypto;
mod frame;
mod header;
mod initial;
mod number;
mod reader;
mod rewrite;
mod session;
mod version;

pub use header::looks_like_quic;
pub(in crate::app) use number::offered_versions;
pub use reader::QuicReader;
pub use rewrite::{Mask, Rewriter, blank_parameters};
pub use session::{Close, Quic, error_name};
pub use version::version_name;
