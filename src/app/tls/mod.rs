//! in-order bytes -> [`TlsSession`]
//!
//! Records (RFC 8446 section 5, RFC 5246 section 6) become handshake messages, certificates and alerts.

mod alert;
mod cbc;
mod certificate;
mod chain;
mod compressed;
mod hello;
mod ja4;
mod opener;
mod parser;
mod record;
pub(in crate::app) mod schedule;
mod session;

pub use alert::{ALERT_NAMES, Alert, Phase, alert_name};
pub use certificate::Certificate;
pub use chain::{ChainFault, chain_faults};
pub use hello::{ClientHello, ServerHello, cipher_name, version_name};
pub use opener::{Octets, Opened, Plain, Sealed};
pub use parser::TlsParser;
pub use record::{Recognition, looks_like_tls};
pub use session::TlsSession;
