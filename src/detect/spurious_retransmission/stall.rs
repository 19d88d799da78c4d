//! Acknowledgements of several servers that one client's line holds back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::spurious_retransmission::{Needless, SpuriousRetransmission};
use crate::detect::*;
use crate::dissect::Direction;
use crate::time::Span;

/// Hosts whose ACKs come late, from which what they share is the way to their client. A judgement.
const SEVERAL: usize = 3;

/// A client, by one of its addresses, and the direction of the data that was held back.
type Way = (IpAddr, Direction);

/// What one line made several services repeat, as one finding for each client.
pub(super) fn stalled_clients(
    book: &mut Book<SpuriousRetransmission>,
    heard: &Heard,
    held: Span,
) -> Vec<Concluded<SpuriousRetransmission>> {
    let addresses = heard.hosts();
    let way = |direction: Direction, case: &Case<Needless>| -> Option<Way> {
        let client = case.affected.clients.only().filter(|_| case.counts.held() >= held)?;
        Some((addresses.get(client).copied().unwrap_or(*client), direction))
    };
    let mut servers: BTreeMap<Way, BTreeSet<IpAddr>> = BTreeMap::new();
    for ((server, direction), case) in book.cases() {
        way(*direction, case).into_iter().for_each(|way| {
            servers.entry(way).or_default().insert(server.address);
        });
    }
    servers.retain(|_, servers| servers.len() >= SEVERAL);
    let groups =
        book.group(1, |(_, direction), case| way(*direction, case).filter(|way| servers.contains_key(way)));
    groups.into_iter().map(stall).collect()
}

fn stall(group: CaseGroup<Way, Needless>) -> Concluded<SpuriousRetransmission> {
    let CaseGroup { by: (client, direction), cases, case } = group;
    let held = case.counts.held();
    let which = if direction == Direction::ToServer { "from" } else { "to" };
    let services = plural(cases, "service");
    let summary = format!(
        "{} of {services} repeated data {which} {client} that had arrived, {}. It was not acknowledged for \
         up to {held}.",
        plural(case.flows(), "connection"),
        times(case.counts.repeats),
    );
    let title = match direction {
        Direction::ToServer => format!("ACKs of {services} held back from {client} for up to {held}"),
        Direction::ToClient => format!("ACKs of {client} to {services} held back for up to {held}"),
    };
    let draft = Draft::new(case.counts.cause(), title, summary)
        .severity(Severity::Warning)
        .direction(direction)
        .services(cases)
        .count("services", cases)
        .subject(Subject { client: Some(client.to_string()), server: None, port: None, ..Subject::of(&case) })
        .could_be([
            "the client's line held packets back: a radio link, a full queue, a fail-over",
            "a device that all of it passes stood still",
        ])
        .next(&["capture one hop further, to see where packets are held back"]);
    (draft, case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one};
    use crate::support::filler;
    use crate::support::tcp::{CLIENT, SERVER};

    const NAME: &str = SpuriousRetransmission::RULE.name;

    /// Requests to so many hosts, each sent three times, whose ACKs come five seconds later, so far apart.
    fn stalled(hosts: u8, apart: u64) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            for host in 0..hosts {
                let at = 1_000 + u64::from(host) * apart;
                let mut talk = lab.talk(7, (20 + host, 443), at, [10, 20_000]);
                talk.handshake(&mut lab.capture);
                let segment = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 400));
                for pause in [800_000, 1_300_000] {
                    talk.wait(pause);
                    talk.resend(&mut lab.capture, &segment);
                }
                talk.wait(2_900_000);
                talk.received(&segment);
                for _ in 0..2 {
                    talk.ack(&mut lab.capture, SERVER, &[(segment.seq, segment.seq.wrapping_add(400))]);
                    talk.wait(3_000);
                }
            }
        })
    }

    #[test]
    fn acks_of_several_hosts_are_held_back_by_one_line() {
        for apart in [100, 20_000] {
            let findings = stalled(4, apart);
            let finding = one(&findings, "acknowledgement", Severity::Warning);
            assert_eq!((findings.len(), finding.impact.services), (1, 4), "{findings:#?}");
            assert!(finding.title.starts_with("ACKs of 4 services held back from"), "{}", finding.title);
            assert!(finding.summary.contains("had arrived, 8 times"), "{}", finding.summary);
        }
        assert_eq!(stalled(2, 100).len(), 2);
    }
}
