//! What stood before the protocol of a connection.

use serde::{Deserialize, Serialize};

use crate::app::upgrade::{ProxyHeader, StartTls};

/// What stood before the protocol of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// For whom a proxy connected (PROXY protocol).
    pub proxied: Option<ProxyHeader>,
    /// The client asked to go on in TLS.
    pub starttls: Option<StartTls>,
    /// It is a tunnel through an HTTP proxy (CONNECT).
    pub tunnel: bool,
}

impl Upgrade {
    /// What a TLS session began in: the protocol, or `connect`.
    pub fn began_in(&self) -> Option<&'static str> {
        match &self.starttls {
            Some(starttls) => Some(starttls.protocol.name()),
            None => self.tunnel.then_some("connect"),
        }
    }
}
