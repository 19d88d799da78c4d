//! The words for reset connections.

use std::net::IpAddr;

use super::{Kind, Resets};
use crate::detect::*;
use crate::humanize::grouped;

/// `All resets`, `12 of the resets`.
fn of_resets(count: u64, all: u64) -> String {
    match count {
        0 => "None of the resets".to_owned(),
        _ if count == all => "All resets".to_owned(),
        _ => format!("{} of the resets", grouped(count)),
    }
}

/// What a client lost.
pub(super) fn client_draft(
    client: IpAddr,
    case: &Case<Resets>,
    sure: bool,
    others: u64,
    of_others: u64,
) -> Draft<Kind> {
    let resets = case.counts.all();
    let beside = match others {
        0 => " The capture shows no other client of these services.".to_owned(),
        _ => format!(" Of {} by others {of_others} were reset.", plural(others, "connection")),
    };
    let summary = format!(
        "{resets} of {} that ended, to {}, were reset within {}. {} came from the servers' \
         addresses.{beside}",
        plural(case.total, "connection"),
        case.affected.servers.of("service"),
        case.affected.active.span(),
        of_resets(case.counts.by_server, resets),
    );
    let title = match case.is_by_clients() {
        true => format!("{client} reset {} of its own", plural(resets, "connection")),
        false => format!("{} of {client} were reset", plural(resets, "connection")),
    };
    let draft = Draft::new(case.counts.kind(), title, summary)
        .severity(if sure { Severity::Warning } else { Severity::Info })
        .count("reset_connections", resets)
        .count("ended_connections", case.total);
    let draft = match case.is_by_clients() {
        true => {
            draft.could_be(["the application ended, or gave its connections up when its network changed"])
        }
        false => draft,
    };
    if sure { draft.confidence(Confidence::Likely) } else { draft.confidence(Confidence::Possible) }
}

/// What a service or a host lost.
pub(super) fn draft(server: &str, storm: &Case<Resets>, beside: &str) -> Draft<Kind> {
    let (resets, kind) = (storm.counts.all(), storm.counts.kind());
    let half_open = storm.counts.half_open * 2 > resets;
    let title = match half_open {
        true => format!("{} of {server} were given up half open", plural(resets, "connection")),
        false => format!("{} of {server} were reset", plural(resets, "connection")),
    };
    let summary = format!(
        "{resets} of {} that ended were reset within {}. {} came from the server's address. {} {}.{beside}",
        plural(storm.total, "connection"),
        storm.affected.active.span(),
        of_resets(storm.counts.by_server, resets),
        storm.clients(),
        match kind {
            _ if half_open => "never acknowledged the SYN-ACK",
            Kind::Refused => "could not connect",
            _ => "lost connections",
        },
    );
    let elsewhere = storm.counts.from_elsewhere;
    let summary = match elsewhere {
        0 => summary,
        _ => format!("{summary} {elsewhere} of the RSTs come from elsewhere than their sender's packets."),
    };
    let clients = &storm.affected.clients;
    // Who needs a service that refuses asks again: strangers that come once are a scan or a flood.
    let needed = clients.count() >= Severity::CLIENTS
        && !clients.is_full()
        && storm.affected.flows() >= 2 * clients.count();
    let harmless = half_open || kind == Kind::Refused && !needed;
    let severity = match harmless {
        true => Severity::Info,
        // Why they gave up is not known.
        false if storm.is_by_clients() => Severity::Warning,
        false => Severity::Critical,
    };
    let draft = Draft::new(kind, title, summary)
        .severity(severity)
        .count("reset_connections", resets)
        .count("ended_connections", storm.total);
    match elsewhere * 10 >= resets * 9 {
        _ if half_open => draft.could_be(["the clients are a flood or a scan", "their ACKs are lost"]),
        true => draft
            .could_be(["a device on the path resets the connections, or answers for a host that is gone"]),
        false => draft,
    }
}
