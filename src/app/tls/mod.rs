//! placeholder
/// TLS session.
#[derive(Clone, Debug, Default)]
pub struct TlsSession {}
