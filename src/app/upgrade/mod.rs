//! in-order bytes -> what stands before the protocol of a connection
//!
//! Some connections begin in plain text and go on in TLS (STARTTLS), and a proxy may put a header in front of
//! what it forwards (PROXY protocol). Both are read as far as they go, and the rest is another reader's.

mod dialogue;
mod proxy;
mod words;

pub use dialogue::{Dialogue, StartTls, Verdict};
pub use proxy::{ProxyHeader, ProxyPrefix, proxy_prefix};
pub use words::PlainProtocol;
