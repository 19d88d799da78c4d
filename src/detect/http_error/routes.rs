//! Which servers answer which paths, and how.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::http::Exchange;
use crate::detect::http_error::{Failures, HttpError, Problem};
use crate::detect::*;
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

impl HttpError {
    /// The servers of a path changed all at once, and the new ones reject what the old ones answered.
    pub(super) fn moved(
        &self,
        (asked, prefix): (&Asked, &str),
        mut servers: Vec<(&Origin, &Route)>,
    ) -> Option<Concluded<Self>> {
        servers.sort_by_key(|(server, route)| (route.first, *server));
        let sum = |servers: &[(&Origin, &Route)]| {
            let mut sum = Route::default();
            servers.iter().for_each(|(_, route)| sum.absorb((*route).clone()));
            sum
        };
        let cut = (1..servers.len()).find(|cut| {
            let (before, after) = (sum(&servers[..*cut]), sum(&servers[*cut..]));
            let enough = before.requests.min(after.requests) >= self.moved;
            let good = share(before.rejected, before.requests) < Severity::PART;
            enough
                && good
                && before.last < after.first
                && share(after.rejected, after.requests) >= Severity::MOST
        })?;
        let (before, after) = (sum(&servers[..cut]), sum(&servers[cut..]));
        let (left, came) = (before.last?, after.first?);
        // What stands behind one address is told apart by what it says of itself.
        let field =
            servers.iter().all(|((server, _), _)| servers.first().is_some_and(|(one, _)| one.0 == *server));
        let names = |servers: &[(&Origin, &Route)]| {
            let name = |((server, says), _): &(&Origin, &Route)| match field {
                true => format!("{} behind {server}", if says.is_empty() { "another server" } else { says }),
                false => server.to_string(),
            };
            let names: BTreeSet<String> = servers.iter().map(name).collect();
            names.into_iter().take(3).collect::<Vec<_>>().join(", ")
        };
        let mut case: Case<Failures> =
            Case::between(after.first.map(|at| at.time), after.last.map(|at| at.time));
        (case.failed, case.total) = (after.rejected, after.requests);
        let whose = match asked {
            Asked::Host(host) => {
                case.affected.names.add(host.split(':').next().unwrap_or_default().to_owned());
                format!("for {host}/{prefix}")
            }
            Asked::By(client) => format!("of {client} for /{prefix}"),
        };
        servers[cut..].iter().for_each(|((server, _), _)| case.affected.servers.add(*server));
        after.clients.iter().for_each(|client| case.affected.clients.add(*client));
        let (old, new) = (names(&servers[..cut]), names(&servers[cut..]));
        let title = format!("Requests {whose} go to {new} instead of {old}, and get 4xx");
        let summary = format!(
            "Until then {old} answered {} of {} well. Since then {new} rejected {} of {} with 4xx.",
            before.requests - before.rejected,
            plural(before.requests, "request"),
            after.rejected,
            plural(after.requests, "request"),
        );
        let draft = Draft::new(Problem::Moved, title, summary).confidence(Confidence::Likely).show([
            Evidence::new(left, Role::Request, format!("the last for {old}")),
            Evidence::new(came, Role::Request, format!("the first for {new}")),
        ]);
        Some((draft, case))
    }
}
