//! What clients got instead of a response, in words.

use std::net::IpAddr;

use crate::detect::dns_unanswered::{Silence, mean};
use crate::detect::{Case, Context, Distinct, plural};
use crate::dissect::Endpoint;
use crate::time::Span;

/// What explains that a resolver ends connections.
pub(super) const ENDS: [&str; 2] =
    ["the resolver takes no lookups over TCP, or limits them", "a device on the path ends the connections"];

/// How many TCP connections the resolver ended, and from whom the clients got their answers after all.
pub(super) fn later(case: &Case<Silence>) -> String {
    let Silence { answered_later, later_resolvers, ended, .. } = &case.counts;
    let ended = match ended {
        0 => String::new(),
        ended => format!(" The resolver ended the TCP connections of {}.", plural(*ended, "query")),
    };
    if *answered_later == 0 {
        return ended;
    }
    let mut resolvers: Vec<Endpoint> = later_resolvers.iter().copied().collect();
    resolvers.sort();
    let (when, how) = match mean(case) {
        Span::ZERO => ("", ", which had been asked no later".to_owned()),
        mean => (" later,", format!(", after {mean} on average")),
    };
    format!(
        "{ended} {} answered{when} by {}{how}.",
        match *answered_later {
            all if all == case.failed => "All were".to_owned(),
            1 => "1 was".to_owned(),
            some => format!("{some} were"),
        },
        resolvers.iter().take(3).map(Endpoint::to_string).collect::<Vec<_>>().join(", "),
    )
}

/// What came back instead.
pub(super) fn icmp(told: &Distinct<(String, IpAddr), 4>, context: &Context<'_>) -> String {
    let mut told: Vec<String> =
        told.iter().map(|(meaning, reporter)| format!("{reporter} reports \"{meaning}\"")).collect();
    told.sort();
    match context.totals.icmp_packets {
        0 => " No ICMP packet was captured.".to_owned(),
        _ if told.is_empty() => String::new(),
        _ => format!(" {}.", told.join(", ")),
    }
}
