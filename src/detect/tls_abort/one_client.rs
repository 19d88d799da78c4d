//! What one client's TLS meets at several services, as one finding.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::detect::hosts::Hosts;
use crate::detect::tls_abort::{Ends, TlsAbort, Way};
use crate::detect::*;
use crate::dissect::Direction;

/// Servers or names that RSTs of another TTL keep one client from, from which the client's way is what they
/// share. A judgement.
const TOGETHER: u64 = 2;

impl TlsAbort {
    /// Sessions that RSTs of another TTL end, at every server and name that they were tried with.
    pub(super) fn on_the_way(&self, book: &mut Book<Self>, hosts: &Hosts) -> Vec<Concluded<Self>> {
        let unserved: BTreeSet<_> = book
            .totals()
            .filter(|(_, _, handshakes)| handshakes.completed == 0)
            .map(|(server, ..)| server.clone())
            .collect();
        let groups = book.group(TOGETHER, |(server, way, _), case| {
            let reset = *way == Way::ResetAfterHello && case.counts.other_ttl == case.failed;
            let insists = case.failed >= self.insistent && unserved.contains(server);
            let client = case.affected.clients.only().filter(|_| reset && insists)?;
            Some(hosts.of(*client))
        });
        groups.into_iter().map(resets).collect()
    }
}

fn resets(group: CaseGroup<IpAddr, Ends>) -> Concluded<TlsAbort> {
    let CaseGroup { by: client, case, .. } = group;
    let services = case.affected.servers.count();
    let title = format!(
        "TLS of {client} to {} is reset right after the ClientHello",
        if services > 1 { plural(services, "service") } else { case.affected.names.of("name") },
    );
    let names: Vec<&str> = case.affected.names.iter().take(3).map(String::as_str).collect();
    let summary = format!(
        "The client could not finish the handshake: {} of {} ended so{}. {} another TTL than the servers' \
         other packets.",
        case.failed,
        plural(case.total, "session"),
        if names.is_empty() { String::new() } else { format!(", those for {} among them", names.join(", ")) },
        if case.counts.other_ttl == 1 {
            "One RST has".to_owned()
        } else {
            format!("{} RSTs have", case.counts.other_ttl)
        },
    );
    let draft = Draft::new(Way::ResetAfterHello, title, summary)
        .severity(case.severity(case.failed))
        .confidence(Confidence::Likely)
        .direction(Direction::ToClient)
        .subject(Subject { client: Some(client.to_string()), server: None, port: None, ..Subject::of(&case) })
        .services(services)
        .count("services", services)
        .could_be(["a device on the client's way resets connections for these server names"]);
    (draft, case)
}

/// One client that speaks plain text to many ports for TLS.
pub(super) fn plain_texts(
    client: IpAddr,
    probe: bool,
    cases: impl ExactSizeIterator<Item = Case<Ends>>,
) -> Concluded<TlsAbort> {
    let services = cases.len() as u64;
    let mut all: Case<Ends> = Case::default();
    for case in cases {
        all.total += case.total;
        all.absorb(case);
    }
    let title = format!("{client} speaks plain text to {}", plural(services, "TLS port"));
    let summary = format!(
        "The client could not use {}: {} began with plain text and were turned away.",
        plural(services, "service"),
        plural(all.failed, "connection"),
    );
    let severity = if probe { Severity::Info } else { all.severity(all.failed).min(Severity::Warning) };
    let draft = Draft::new(Way::PlainText, title, summary)
        .severity(severity)
        .direction(Direction::ToServer)
        .subject(Subject { server: None, port: None, ..Subject::of(&all) })
        .services(services)
        .count("services", services);
    (draft, all)
}
