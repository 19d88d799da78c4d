//! Which servers answer which paths, and how.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::http::Exchange;
use crate::detect::{Bounded, Distinct, Merge, hash_of, merged};
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::FlowHead;

/// A server, and its `Server` field.
pub(super) type Origin = (Endpoint, String);

/// Whose paths they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Asked {
    /// Of a host by its name.
    Host(String),
    /// What one client asks, by whatever name: a proxy's own requests often name the backend.
    By(IpAddr),
}

/// A path at one server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Route {
    pub(super) requests: u64,
    /// Answered with 4xx that does not say who may ask.
    pub(super) rejected: u64,
    pub(super) first: Option<PacketRef>,
    pub(super) last: Option<PacketRef>,
    pub(super) clients: Distinct<IpAddr, 64>,
}

impl Merge for Route {
    fn absorb(&mut self, other: Self) {
        self.requests += other.requests;
        self.rejected += other.rejected;
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.into_iter().chain(other.last).max();
        self.clients.absorb(other.clients);
    }
}

merged! {
    /// By first part of the path, server and its `Server` field.
    pub(super) struct Routes(Bounded<(Asked, String, Origin), Route>);
}

impl Routes {
    pub(super) fn add(&mut self, exchange: &Exchange, flow: &FlowHead) {
        let (Some(at), Some(status)) = (exchange.request, exchange.status) else { return };
        if exchange.host.is_empty() || exchange.method == "CONNECT" {
            return;
        }
        let mut clients = Distinct::default();
        clients.add(flow.client.address);
        let rejected = u64::from(matches!(status, 400..500) && !matches!(status, 401 | 403 | 407 | 429));
        let new = Route { requests: 1, rejected, first: Some(at), last: Some(at), clients };
        let prefix = exchange.path().split('/').nth(1).unwrap_or_default();
        for asked in [Asked::Host(exchange.host.to_ascii_lowercase()), Asked::By(flow.client.address)] {
            let hash = hash_of(&(&asked, prefix));
            let key = (asked, prefix.to_owned(), (flow.server, exchange.server.clone()));
            if let Some(route) = self.0.observe(hash, key) {
                route.absorb(new.clone());
            }
        }
    }

    /// Whose path, its first part, the server, and what came of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Asked, &str, &Origin, &Route)> {
        self.0.iter().map(|((asked, prefix, origin), _, route)| (asked, prefix.as_str(), origin, route))
    }
}
