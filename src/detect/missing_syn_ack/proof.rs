//! The frames of an attempt, and what they and the capture leave possible.

use std::net::IpAddr;

use crate::detect::missing_syn_ack::{Attempts, MissingSynAck};
use crate::detect::*;
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::Handshake;

/// What keeps a port silent when other packets of its host pass here. `opened`: connections of others, or of
/// the same clients, that the services took.
pub(super) fn silent_port(
    services: impl IntoIterator<Item = Endpoint>,
    case: &Case<Attempts>,
    opened: u64,
    heard: &Heard,
) -> &'static [&'static str] {
    let hosts: Vec<IpAddr> = services.into_iter().map(|service| service.address).collect();
    let takes = |client: &IpAddr| {
        let visit = heard.visits.of(*client, hosts.iter());
        visit.connections > visit.failed
    };
    match opened > 0 && case.affected.clients.iter().any(takes) {
        // No filter lets some SYNs of one client pass.
        true => &[
            "the accept queue of the service is full at times, or it limits new connections",
            "packets are lost on the way",
        ],
        false => &["a filter drops the SYN or its answer", "the accept queue of the service is full"],
    }
}

/// What the digests in the frames make possible: a host discards a segment that it cannot verify, and says
/// nothing (RFC 2385 section 3, RFC 5925 section 7.4).
pub(super) fn keys(counts: &Attempts) -> Option<&'static str> {
    match counts {
        Attempts { authenticated_by_one: 1.., .. } => Some(
            "TCP-MD5 or TCP-AO: one side signs its segments and the other does not, so they are discarded",
        ),
        Attempts { authenticated: 1.., .. } => {
            Some("TCP-MD5 or TCP-AO: the server has another key, or none, and discards the SYN")
        }
        _ => None,
    }
}

/// The SYNs, and what answered them.
pub(super) fn evidence(handshake: &Handshake, first: PacketRef) -> Vec<Evidence> {
    let after = |at: &PacketRef, of: &str| format!("{} after the first{of}", at.time - first.time);
    let syn = |syn: &PacketRef| match *syn == first {
        true => Evidence::new(*syn, Role::Syn, ""),
        false => Evidence::new(*syn, Role::Syn, after(syn, "")),
    };
    let syns = handshake.syns.iter().map(syn);
    let replies =
        handshake.syn_acks.iter().map(|reply| Evidence::new(*reply, Role::SynAck, after(reply, " SYN")));
    syns.chain(replies).collect()
}

/// Where connections open without a SYN-ACK in the capture, a missing one says little.
pub(super) fn unseen_replies(book: &Book<MissingSynAck>) -> Option<Gate> {
    let (mut opened, mut unseen) = (0, 0);
    for (_, _, total) in book.totals() {
        opened += total.opened;
        unseen += total.reply_unseen;
    }
    let numbers = format!("{unseen} of {} opened without one", plural(opened, "connection"));
    (unseen * 10 > opened).then(|| Gate {
        prevents: format!(
            "SYN-ACKs are missing from the capture ({numbers}): an answer can be missing here, too"
        ),
        ..QualityIssue::OneWay.gate("")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one};
    use crate::support::tcp::{CLIENT, SYN, Talk};

    const NAME: &str = MissingSynAck::RULE.name;

    /// A client opens four connections to a service, and a fifth one does not open.
    #[test]
    fn a_service_that_opens_others_is_not_behind_a_filter() {
        for (port, why) in [(80, "the accept queue of the service"), (81, "a filter drops the SYN")] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..4 {
                    let mut talk = lab.talk(7, (9, 80), 20 + number * 500, [30, 6_000]);
                    lab.http(&mut talk, 300);
                }
                let mut talk = lab.talk(7, (9, port), 4_000, [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                for number in 0..4 {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_000_000 << number);
                }
                let mut last = lab.talk(7, (10, 80), 60_000, [30, 500]);
                lab.http(&mut last, 300);
            });
            let finding = one(&findings, "silent", Severity::Warning);
            assert!(finding.alternatives[0].starts_with(why), "{finding:#?}");
            let part = finding.title.ends_with(":80 leaves 1 of 5 connection attempts without answer");
            assert_eq!(part, port == 80, "{}", finding.title);
        }
    }

    /// A phone asks a host by its IPv4 address, and by the one that its provider's translator has for it.
    #[test]
    fn the_addresses_of_a_translator_are_those_of_the_hosts_behind_it() {
        for (other, found) in [("64:ff9b::c633:6407", 1), ("64:ff9b::c633:6507", 2), ("2001:db8::6407", 2)] {
            let findings = in_traffic(NAME, |lab| {
                let servers = ["198.51.100.7", other];
                let clients = [lab.client(7), lab.v6(1, 7)];
                for (number, (client, server)) in (0..).zip(clients.into_iter().zip(servers)) {
                    let server = (server.parse().expect("an address"), 21);
                    let ends = ((client, 41_000), server);
                    let mut talk = Talk::new(ends.0, ends.1, 1_000_000 + number * 90_000, [30, 500]);
                    talk.ends[CLIENT].mac = [2, 0, 0, 0, 0, 7];
                    let syn = talk.segment(CLIENT, SYN, b"");
                    for number in 0..4 {
                        talk.record(&mut lab.capture, &syn);
                        talk.wait(1_000_000 << number);
                    }
                }
                let mut last = lab.talk(7, (9, 80), 60_000, [30, 500]);
                lab.http(&mut last, 300);
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }
}
