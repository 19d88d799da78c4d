//! Connections that a client takes for open, that their server goes on offering, and that carry nothing.

use std::net::IpAddr;

use crate::detect::missing_syn_ack::sweeps::waited;
use crate::detect::missing_syn_ack::wait::is_needed;
use crate::detect::missing_syn_ack::{Attempts, HOSTS, MissingSynAck, Outcome};
use crate::detect::*;
use crate::dissect::Direction;
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

/// Services that carry no byte for one client are one finding: what they share is its way to them.
pub(super) fn unused_clients(book: &mut Book<MissingSynAck>) -> Vec<Concluded<MissingSynAck>> {
    let groups = book.group(HOSTS, |_, case| {
        case.affected.clients.only().copied().filter(|_| case.counts.unused == case.flows())
    });
    groups.into_iter().map(unused_client).collect()
}

fn unused_client(group: CaseGroup<IpAddr, Attempts>) -> Concluded<MissingSynAck> {
    let CaseGroup { by: client, cases, case } = group;
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
        .severity(case.severity(case.failed).min(Severity::Warning))
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

    /// Connections to so many hosts whose SYN-ACK comes again after three seconds; the server greets, or the
    /// client gives up.
    fn offered(hosts: u8, greets: bool) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            for host in 20..20 + hosts {
                let mut talk = lab.talk(7, (host, 25), 20_000 + 6_000 * u64::from(host), [30, 500]);
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
        let finding = one(&offered(1, false), "ack_lost", Severity::Warning);
        assert!(finding.title.contains("never carry a byte"), "{}", finding.title);
        one(&offered(1, true), "late", Severity::Info);
        let findings = offered(6, false);
        assert_eq!((findings.len(), findings[0].impact.services), (1, 6), "{findings:#?}");
    }
}
