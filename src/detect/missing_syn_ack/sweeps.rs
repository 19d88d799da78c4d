//! Attempts of one client or to one host that are one finding.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::detect::missing_syn_ack::{Attempts, MissingSynAck, Outcome, PERSISTENT};
use crate::detect::ports::is_random;
use crate::detect::scope::{is_neighbourhood, is_scattered};
use crate::detect::*;
use crate::dissect::Endpoint;
use crate::time::Span;

/// One client asks many services: many ports of few hosts, or host after host, are nobody's daily work.
pub(super) fn client_sweep(group: CaseGroup<IpAddr, Attempts>) -> Concluded<MissingSynAck> {
    let CaseGroup { by: client, cases, mut case } = group;
    let mut hosts: Distinct<IpAddr> = Distinct::default();
    case.affected.servers.iter().for_each(|server| hosts.add(server.address));
    let services = case.affected.servers.iter();
    let (known, strange): (Vec<&Endpoint>, Vec<_>) = services.partition(|service| !is_random(**service));
    let ports = strange.iter().map(|service| service.port).collect::<BTreeSet<_>>().len();
    // A way out that is broken is broken for the ports that people use.
    let peers = ports > known.len() && 2 * ports > strange.len();
    let near = cases >= 5 * hosts.count() || is_neighbourhood(&hosts);
    let scan = !insists(&case) || near || peers || is_scattered(&hosts, case.flows());
    let title = format!("{} on {} do not answer {client}", plural(cases, "service"), hosts.of("host"));
    let draft = sweep(&mut case, scan, title)
        .services(cases)
        .count("services", cases)
        .count("hosts", hosts.count())
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be(match scan {
            true => ["a port scan or an inventory", "a peer-to-peer application with stale peers"],
            false => ["the client's way out is broken", "a filter drops what the client sends"],
        })
        .next(&["ask who runs the client", "capture one hop further, to see how far the SYNs come"]);
    (draft, case)
}

/// Several services answer one client late: what they share is its way to them.
pub(super) fn late_client(group: CaseGroup<IpAddr, Attempts>) -> Concluded<MissingSynAck> {
    let CaseGroup { by: client, cases, case } = group;
    let summary = format!(
        "{} to {} opened only after at least one repeated SYN. The client sent {}{}.",
        plural(case.flows(), "connection"),
        plural(cases, "service"),
        plural(case.counts.syns, "SYN"),
        waited(case.lost),
    );
    let title = format!("{} answer {client} only after a repeated SYN", plural(cases, "service"));
    let draft = Draft::new(Outcome::Late, title, summary)
        .severity(case.severity(case.flows()).min(Severity::Warning))
        .services(cases)
        .count("services", cases)
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be(["SYNs are lost near the client: its access line, a NAT with a full table or a limit"])
        .next(&["capture one hop further, to see how far the SYNs come"]);
    (draft, case)
}

/// The clients repeated their SYNs, as a client does that wants an answer.
pub(super) fn insists(case: &Case<Attempts>) -> bool {
    case.counts.syns >= PERSISTENT * case.flows()
}

/// ` and waited 9.00 s in all`; nothing for clients of which no wait was seen.
pub(super) fn waited(lost: Span) -> String {
    if lost > Span::ZERO { format!(" and waited {lost} in all") } else { String::new() }
}

pub(super) fn sweep(case: &mut Case<Attempts>, scan: bool, title: String) -> Draft<Outcome> {
    let how = if scan { ", as a scan does" } else { "" };
    let summary = format!(
        "{} sent {}{}{how}. No answer of any kind was seen at this capture point.",
        plural(case.flows(), "connection attempt"),
        plural(case.counts.syns, "SYN"),
        waited(case.lost),
    );
    if scan {
        // Nobody waits for the answers to a scan.
        (case.lost, case.failed) = (Span::ZERO, 0);
    }
    let severity = if scan { Severity::Info } else { case.severity(case.counts.repeated) };
    Draft::new(Outcome::Silent, title, summary).severity(severity).confidence(Confidence::Likely)
}
