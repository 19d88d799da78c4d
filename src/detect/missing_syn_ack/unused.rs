//! Connections that a client takes for open, that their server goes on offering, and that carry nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::detect::missing_syn_ack::sweeps::waited;
use crate::detect::missing_syn_ack::wait::is_needed;
use crate::detect::missing_syn_ack::{Attempts, HOSTS, MissingSynAck, Outcome};
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::TcpFlow;
use crate::time::Span;

/// What explains a server that repeats its SYN-ACK, and a client that gets nothing more.
pub(super) const UNUSED: &[&str] = &[
    "the client's ACK does not reach the server",
    "the server takes no connection without data (TCP_DEFER_ACCEPT), and the client waits for its greeting",
    "what answers in the server's name has no service behind it",
];

/// The server repeated its SYN-ACK so long after the client's ACK, and neither side ever sent a byte: nothing
/// shows that it took the connection.
pub(super) fn is_unused(tcp: &TcpFlow, late: Span) -> bool {
    let nothing = tcp.sides.iter().all(|side| side.data_segments == 0);
    let closed = tcp.side(Direction::ToClient).fin.is_some();
    let Some(ack) = tcp.handshake.ack.filter(|_| nothing && !closed) else { return false };
    let again = |reply: &&_| is_needed(tcp, reply);
    tcp.handshake.syn_acks.iter().filter(again).any(|reply| reply.time - ack.time >= late)
}

/// How much so many connections matter that opened, and carried nothing. One that a browser keeps in reserve
/// looks like that, too: nothing fails where others of the service carry something.
pub(super) fn unused_severity(case: &Case<Attempts>, opened: u64) -> Severity {
    match opened <= case.flows() && case.flows() >= Severity::TRIES {
        true => case.severity(case.flows()).min(Severity::Warning),
        false => Severity::Info,
    }
}

/// Services that carry no byte for one client are one finding: what they share is its way to them.
pub(super) fn unused_clients(book: &mut Book<MissingSynAck>) -> Vec<Concluded<MissingSynAck>> {
    let alone = |((server, _), case): &(&(Endpoint, Outcome), &Case<Attempts>)| {
        let opened = book.total(server).1.map_or(0, |total| total.opened);
        case.counts.unused == case.flows() && opened <= case.flows()
    };
    let servers: BTreeSet<Endpoint> = book.cases().filter(alone).map(|((server, _), _)| *server).collect();
    let groups = book.group(HOSTS, |(server, outcome), case| {
        let client = case.affected.clients.only().filter(|_| *outcome == Outcome::AckLost)?;
        servers.contains(server).then_some(*client)
    });
    groups.into_iter().map(unused_client).collect()
}

fn unused_client(group: CaseGroup<IpAddr, Attempts>) -> Concluded<MissingSynAck> {
    let CaseGroup { by: client, cases, mut case } = group;
    case.failed = case.flows();
    let summary = format!(
        "{} to {} never carried a byte. The client acknowledged the SYN-ACK, and the server repeated it all \
         the same. The client sent {}{}.",
        plural(case.flows(), "connection"),
        plural(cases, "service"),
        plural(case.counts.syns, "SYN"),
        waited(case.lost),
    );
    let title = format!("Connections of {client} to {} never carry a byte", plural(cases, "service"));
    let draft = Draft::new(Outcome::AckLost, title, summary)
        .severity(unused_severity(&case, case.flows()))
        .services(cases)
        .count("services", cases)
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be(UNUSED.iter().copied());
    (draft, case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one};
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN};

    const NAME: &str = MissingSynAck::RULE.name;

    /// So many connections to so many hosts whose SYN-ACK comes again after three seconds; the server greets,
    /// or the client gives up.
    fn offered(hosts: u8, tries: u64, greets: bool) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            let each = |host| (0..tries).map(move |number| (host, number));
            for (host, number) in (20..20 + hosts).flat_map(each) {
                let at = 20_000 + 6_000 * u64::from(host) + 100 * number;
                let mut talk = lab.talk(7, (host, 25), at, [30, 500]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                talk.turn(CLIENT);
                let offer = talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
                talk.turn(SERVER);
                talk.send(&mut lab.capture, CLIENT, ACK, b"");
                talk.wait(3_000_000);
                talk.record(&mut lab.capture, &offer);
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                if greets {
                    talk.send(&mut lab.capture, SERVER, ACK, b"220 mail.example\r\n");
                }
                talk.wait(2_000_000);
                talk.send(&mut lab.capture, CLIENT, RST | ACK, b"");
            }
        })
    }

    #[test]
    fn what_never_carries_a_byte_did_not_open() {
        let finding = one(&offered(1, 5, false), "ack_lost", Severity::Warning);
        assert!(finding.title.contains("never carry a byte"), "{}", finding.title);
        one(&offered(1, 1, false), "ack_lost", Severity::Info);
        one(&offered(1, 5, true), "late", Severity::Info);
        let findings = offered(6, 1, false);
        assert_eq!((findings.len(), findings[0].impact.services), (1, 6), "{findings:#?}");
        one(&findings, "ack_lost", Severity::Warning);
    }
}
