//! What the address of a server asked of others: a proxy's other leg.

use serde::{Deserialize, Serialize};

use crate::app::http2::grpc_status_name;
use crate::detect::http_error::{Failures, HttpError};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::time::{Span, Timestamp};

/// When requests failed: first byte of the request, last byte of what came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::detect) struct Moments(pub(super) Distinct<(Timestamp, Timestamp), 64>);

impl Merge for Moments {
    fn absorb(&mut self, other: Self) {
        self.0.absorb(other.0);
    }
}

impl Listed for Moments {
    fn listed(&self) -> Option<u64> {
        None
    }
}

/// What somebody asked of somebody else, and did not get.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Leg {
    pub(super) to: Endpoint,
    pub(super) what: Lack,
    pub(super) from: PacketRef,
    pub(super) until: PacketRef,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Lack {
    Refused,
    NoConnection,
    GaveUp,
    /// It answered, and took as long as a time-out.
    Late,
    Closed,
    Reset,
    Status(u16),
    Grpc(u16),
}

impl Lack {
    pub(super) fn text(self, count: u64) -> String {
        let requests = plural(count, "request");
        match self {
            Self::Refused => format!("refused {}", plural(count, "connection")),
            Self::NoConnection => format!("did not answer {}", plural(count, "connection attempt")),
            Self::GaveUp => format!("had not answered {requests} when the proxy closed the connection"),
            Self::Late => format!("had not answered {requests} by then"),
            Self::Closed => format!("closed the connection on {requests}"),
            Self::Reset => format!("reset the connection of {requests}"),
            Self::Status(status) => format!("answered {requests} with {status}"),
            Self::Grpc(status) => format!("answered {requests} with {}", grpc_status_name(status)),
        }
    }
}

/// What the server's own address asked for while these requests waited, and did not get.
pub(super) fn upstream<'b>(
    server: Endpoint,
    case: &Case<Failures>,
    book: &'b Book<HttpError>,
) -> Vec<&'b Leg> {
    // The proxy's clock is the capture's: what differs is what its process takes.
    const SLACK: Span = Span::millis(50);
    let own = book.notes.legs.iter().map(|((asks, leg), ..)| (asks, leg));
    let mut legs: Vec<&Leg> = own
        .filter(|(asks, leg)| **asks == server.address && leg.to != server)
        .map(|(_, leg)| leg)
        .filter(|leg| {
            case.counts.moments.0.iter().any(|(from, until)| {
                let late = leg.until.time + SLACK >= *until;
                let within = if leg.what == Lack::Late { late } else { leg.until.time <= *until + SLACK };
                *from <= leg.from.time + SLACK && leg.from.time <= *until && within
            })
        })
        .collect();
    legs.sort_by_key(|leg| leg.from.packet);
    legs
}
