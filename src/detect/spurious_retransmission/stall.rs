//! What one client's end makes several servers repeat: ACKs that it holds back, segments that overtake one
//! another there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::hosts::Hosts;
use crate::detect::spurious_retransmission::{Cause, Needless, SpuriousRetransmission};
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::time::Timestamp;

/// Hosts whose ACKs come late, from which what they share is the way to their client. A judgement.
const SEVERAL: usize = 3;

/// Services whose segments overtake one another, from which the client's end is what they share. A judgement.
const TOGETHER: u64 = 2;

impl SpuriousRetransmission {
    /// What one line made several services repeat, as one finding for each client: whose ACKs it holds back
    /// so often makes the rest as well.
    pub(super) fn stalled_clients(&self, book: &mut Book<Self>, hosts: &Hosts) -> Vec<Concluded<Self>> {
        let client = |case: &Case<Needless>| case.affected.clients.only().map(|client| hosts.of(*client));
        let mut held: BTreeMap<(IpAddr, Direction), Held> = BTreeMap::new();
        for ((server, direction), case) in book.cases().filter(|(_, case)| case.counts.held() >= self.held) {
            client(case).into_iter().for_each(|client| {
                let (servers, times) = held.entry((client, *direction)).or_default();
                servers.insert(server.address);
                times.extend(case.first_seen().zip(case.last_seen()));
            });
        }
        self.beside(book, client, &mut held);
        let held = held.into_iter().map(|(of, (servers, _))| (of, servers));
        let mut held: BTreeMap<_, BTreeSet<IpAddr>> = held.collect();
        held.retain(|_, servers| servers.len() >= SEVERAL);
        let mut lines: BTreeMap<IpAddr, Vec<Direction>> = BTreeMap::new();
        held.into_keys().for_each(|(client, direction)| lines.entry(client).or_default().push(direction));
        let segments = Segments::of(book);
        let groups = book.group(1, |key, case| {
            let client = client(case).filter(|client| lines.contains_key(client))?;
            let warns = case.counts.held() >= self.held || self.is_many(&case.counts, segments.sent(key));
            warns.then_some(client)
        });
        let finding = |group: CaseGroup<IpAddr, Needless>| {
            let directions = lines.get(&group.by).cloned().unwrap_or_default();
            stall(group, &directions)
        };
        groups.into_iter().map(finding).collect()
    }
}

impl SpuriousRetransmission {
    /// Adds hosts that repeated without need while the ACKs of two others were held back.
    fn beside(
        &self,
        book: &Book<Self>,
        client: impl Fn(&Case<Needless>) -> Option<IpAddr>,
        held: &mut BTreeMap<(IpAddr, Direction), Held>,
    ) {
        for ((server, direction), case) in book.cases() {
            let late = !matches!(case.counts.cause(), Cause::Reordering);
            let Some(client) = client(case).filter(|_| late) else { continue };
            let times = case.first_seen().zip(case.last_seen());
            let Some(((servers, stalls), (first, last))) = held.get_mut(&(client, *direction)).zip(times)
            else {
                continue;
            };
            let meanwhile = |(from, until): &(Timestamp, Timestamp)| first <= *until && last >= *from;
            if servers.len() >= SEVERAL - 1 && stalls.iter().any(meanwhile) {
                servers.insert(server.address);
            }
        }
    }
}

/// Hosts whose ACKs were held back, and when.
type Held = (BTreeSet<IpAddr>, Vec<(Timestamp, Timestamp)>);

/// Segments that services sent and got.
struct Segments(BTreeMap<Endpoint, [u64; 2]>);

impl Segments {
    fn of(book: &Book<SpuriousRetransmission>) -> Self {
        Self(book.totals().map(|(server, _, sent)| (*server, sent.segments)).collect())
    }

    fn sent(&self, (server, direction): &(Endpoint, Direction)) -> u64 {
        self.0.get(server).map_or(0, |segments| segments[direction.index()])
    }
}

impl SpuriousRetransmission {
    /// What came from several hosts to one client in another order, and was repeated for that.
    pub(super) fn overtaken_clients(&self, book: &mut Book<Self>, hosts: &Hosts) -> Vec<Concluded<Self>> {
        let segments = Segments::of(book);
        let sent = |key: &(Endpoint, Direction)| segments.sent(key);
        let client = |key: &(Endpoint, Direction), case: &Case<Needless>| {
            let overtaken = matches!(case.counts.cause(), Cause::Reordering) && key.1 == Direction::ToClient;
            let client = case.affected.clients.only().filter(|_| overtaken)?;
            self.is_many(&case.counts, sent(key)).then(|| hosts.of(*client))
        };
        let mut of_clients: BTreeMap<IpAddr, u64> = BTreeMap::new();
        for (key, case) in book.cases() {
            client(key, case).into_iter().for_each(|of| *of_clients.entry(of).or_default() += sent(key));
        }
        let groups = book.group(TOGETHER, client);
        let finding = |CaseGroup { by: client, cases, case }| {
            overtaken(CaseGroup { by: client, cases, case }, of_clients.get(&client).copied().unwrap_or(0))
        };
        groups.into_iter().map(finding).collect()
    }
}

/// What one client got from several services, in `segments`.
fn overtaken(group: CaseGroup<IpAddr, Needless>, segments: u64) -> Concluded<SpuriousRetransmission> {
    let CaseGroup { by: client, cases, case } = group;
    let services = plural(cases, "service");
    let repeats = plural(case.counts.repeats, "segment");
    let summary = format!(
        "{} repeated data to {client} that had arrived, {} among {}, {} of them after later segments had \
         come first.",
        plural(case.flows(), "connection"),
        plural(case.counts.repeats, "repeat"),
        plural(segments, "segment"),
        case.counts.by_reordering,
    );
    let title = format!("{repeats} of {services} to {client} repeated without need");
    let draft = Draft::new(Cause::Reordering, title, summary)
        .severity(Severity::Warning)
        .direction(Direction::ToClient)
        .services(cases)
        .count("services", cases)
        .count("segments", segments)
        .subject(Subject { client: Some(client.to_string()), server: None, port: None, ..Subject::of(&case) })
        .could_be([
            "the receiving host, or its card, takes packets from several queues",
            "the receiver's line balances by packet",
        ]);
    (draft, case)
}

fn stall(group: CaseGroup<IpAddr, Needless>, directions: &[Direction]) -> Concluded<SpuriousRetransmission> {
    let CaseGroup { by: client, cases, case } = group;
    let held = case.counts.held();
    let services = plural(case.affected.servers.count().max(1), "service");
    let (which, title) = match directions {
        [Direction::ToServer] => {
            ("from", format!("ACKs of {services} held back from {client} for up to {held}"))
        }
        [Direction::ToClient] => ("to", format!("ACKs of {client} to {services} held back for up to {held}")),
        _ => ("with", format!("ACKs between {client} and {services} held back for up to {held}")),
    };
    let summary = format!(
        "{} of {services} repeated data {which} {client} that had arrived, {}. It was not acknowledged for \
         up to {held}.",
        plural(case.flows(), "connection"),
        times(case.counts.repeats),
    );
    let draft = Draft::new(case.counts.cause(), title, summary)
        .severity(Severity::Warning)
        .services(case.affected.servers.count().max(cases.min(1)))
        .count("services", case.affected.servers.count())
        .subject(Subject { client: Some(client.to_string()), server: None, port: None, ..Subject::of(&case) })
        .could_be([
            "the client's line held packets back: a radio link, a full queue, a fail-over",
            "a device that all of it passes stood still",
        ])
        .next(&["capture one hop further, to see where packets are held back"]);
    let draft = match directions {
        [only] => draft.direction(*only),
        _ => draft,
    };
    (draft, case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one};
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, SERVER};

    const NAME: &str = SpuriousRetransmission::RULE.name;

    /// Requests to so many hosts, each sent three times, whose ACKs come five seconds later, so far apart.
    fn stalled(lab: &mut Lab, hosts: u8, apart: u64) {
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
    }

    #[test]
    fn acks_of_several_hosts_are_held_back_by_one_line() {
        for apart in [100, 20_000] {
            let findings = in_traffic(NAME, |lab| stalled(lab, 4, apart));
            let finding = one(&findings, "acknowledgement", Severity::Warning);
            assert_eq!((findings.len(), finding.impact.services), (1, 4), "{findings:#?}");
            assert!(finding.title.starts_with("ACKs of 4 services held back from"), "{}", finding.title);
            assert!(finding.summary.contains("had arrived, 8 times"), "{}", finding.summary);
        }
        assert_eq!(in_traffic(NAME, |lab| stalled(lab, 2, 100)).len(), 2);
        // A third one repeated once meanwhile, or later.
        for (at, found) in [(1_500, 1), (90_000, 3)] {
            let findings = in_traffic(NAME, |lab| {
                stalled(lab, 2, 100);
                let mut talk = lab.talk(7, (40, 443), at, [10, 20_000]);
                talk.handshake(&mut lab.capture);
                let segment = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 400));
                talk.wait(900_000);
                talk.resend(&mut lab.capture, &segment);
                talk.received(&segment);
                talk.ack(&mut lab.capture, SERVER, &[(segment.seq, segment.seq.wrapping_add(400))]);
            });
            let warned = findings.iter().filter(|finding| finding.severity == Severity::Warning);
            let one = found == 1;
            assert_eq!((findings.len(), warned.count()), (if one { 2 } else { 3 }, if one { 1 } else { 2 }));
        }
    }

    /// What else comes again without need on a line that holds ACKs back, and on one that does not.
    #[test]
    fn all_that_one_line_makes_come_again_is_one_finding() {
        for (hosts, found) in [(4, 1), (2, 3)] {
            let findings = in_traffic(NAME, |lab| {
                stalled(lab, hosts, 100);
                overtaking(lab, 40, 1);
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
            assert!(found > 1 || findings[0].impact.services == 5, "{findings:#?}");
        }
    }

    /// Answers of so many hosts from this one on, in which each third segment comes behind the next one, and
    /// comes again when the ACK for all has passed.
    fn overtaking(lab: &mut Lab, from: u8, hosts: u8) {
        for host in 0..hosts {
            let at = 1_000 + 9_000 * u64::from(host);
            let mut talk = lab.talk(7, (from + host, 443), at, [30, 8_000]);
            talk.handshake(&mut lab.capture);
            talk.send(&mut lab.capture, CLIENT, ACK, b"GET / HTTP/1.1\r\n\r\n");
            talk.turn(CLIENT);
            for round in 0..25 {
                let late = talk.segment(SERVER, ACK, &filler(round, 900));
                talk.sent(&late);
                let above = talk.segment(SERVER, ACK, &filler(round + 90, 900));
                talk.record(&mut lab.capture, &above);
                talk.sent(&above);
                talk.wait(90);
                let edge = talk.ends[SERVER].next;
                talk.ack(&mut lab.capture, CLIENT, &[(edge.wrapping_sub(900), edge)]);
                talk.record(&mut lab.capture, &late);
                talk.received(&late);
                talk.received(&above);
                talk.wait(60);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                talk.wait(2_000);
                talk.resend(&mut lab.capture, &late);
                talk.ack(&mut lab.capture, CLIENT, &[(late.seq, late.seq.wrapping_add(900))]);
                talk.wait(9_000);
            }
        }
    }

    #[test]
    fn segments_that_overtake_one_another_at_one_client_are_one_finding() {
        let alone = in_traffic(NAME, |lab| overtaking(lab, 20, 1));
        let finding = one(&alone, "reordering", Severity::Warning);
        assert!(finding.summary.contains("after later segments had come first"), "{}", finding.summary);
        let findings = in_traffic(NAME, |lab| overtaking(lab, 20, 3));
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert!(findings[0].title.contains("of 3 services to 10."), "{}", findings[0].title);
    }
}
