//! How long connections took to open, and whether packets were lost or held back meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::missing_syn_ack::sweeps::waited;
use crate::detect::missing_syn_ack::{Attempts, MissingSynAck, Outcome};
use crate::detect::*;
use crate::dissect::{Direction, PacketRef};
use crate::flow::{Handshake, TcpFlow};
use crate::time::{Span, Timestamp};

/// Hosts that a client gets every answer of late at the same time, from which its way to them is the cause.
const SEVERAL: usize = 2;

/// The longest time-out (RFC 6298 section 2.5): what is late again within it is so for the same cause.
const PAUSE: Span = Span::secs(60);

/// What explains answers that all come, and late.
pub(super) const HELD: &[&str] = &[
    "the path holds packets back for seconds: a full queue, a radio link, a fail-over",
    "the server's host is paused at times",
];
const LINE: &[&str] = &[
    "the client's line holds packets back for seconds: a full queue, a radio link, a fail-over",
    "a device that all of it passes is overloaded",
];

/// From the first SYN to the end of the handshake: the client's ACK, or the SYN-ACK after an ACK that the
/// server did not get. A client that repeated its SYN waited for the SYN-ACK that it acknowledged.
pub(super) fn opened_after(tcp: &TcpFlow, first: PacketRef) -> Span {
    let handshake = &tcp.handshake;
    let asked_once = handshake.syn_count == 1;
    let replies = handshake.syn_acks.iter().filter(|reply| asked_once && is_needed(tcp, reply));
    let ends = replies.chain(&handshake.ack).map(|at| at.time - first.time);
    ends.chain(handshake.connect_time).max().unwrap_or(Span::ZERO)
}

/// The SYN-ACK came before the client acknowledged one, or when the server should have had the ACK: a round
/// trip later, and without data of the server before it.
pub(super) fn is_needed(tcp: &TcpFlow, reply: &PacketRef) -> bool {
    let Some(ack) = tcp.handshake.ack else { return true };
    let trip = tcp.handshake.connect_time.unwrap_or(Span::ZERO);
    let served = tcp.side(Direction::ToClient).transfer.is_some_and(|(data, _)| data.time < reply.time);
    reply.time < ack.time || reply.time - ack.time >= trip && !served
}

/// A SYN-ACK came for each SYN, `late` after it. None is a repeat by the server's timer, which begins with a
/// second and doubles (RFC 6298 sections 2 and 5.5): so many would take longer, or no SYN went for as long.
pub(super) fn is_held_back(handshake: &Handshake, late: Span) -> bool {
    let (syns, replies) = (&handshake.syns, &handshake.syn_acks);
    let answered = handshake.syn_count > 1 && replies.len() >= syns.len();
    let [Some(first), Some(last)] = [replies.first(), replies.get(syns.len().saturating_sub(1))] else {
        return false;
    };
    let pairs = syns.iter().zip(replies);
    let timer = Span::secs((1 << syns.len().saturating_sub(1)) - 1);
    let paused = syns.last().is_some_and(|syn| first.time - syn.time >= late);
    answered
        && pairs.into_iter().all(|(syn, reply)| reply.time - syn.time >= late)
        && (paused || last.time - first.time < timer)
}

/// How long the slowest answer took that was held back.
pub(super) fn slowest(case: &Case<Attempts>) -> Span {
    Span(case.counts.slowest[0].get().min(i64::MAX as u64) as i64)
}

/// All of them were.
pub(super) fn is_held(case: &Case<Attempts>) -> bool {
    case.counts.held_back > 0 && case.counts.held_back == case.flows()
}

/// Services that one client gets late answers from while a line holds them back, as one finding each.
pub(super) fn held_clients(book: &mut Book<MissingSynAck>) -> Vec<Concluded<MissingSynAck>> {
    let times = stalls(book);
    let stall = |case: &Case<Attempts>| {
        let client = case.affected.clients.only()?;
        let (first, last) = case.first_seen().zip(case.last_seen())?;
        let stalls = times.get(client)?;
        let at = stalls.partition_point(|[_, until]| first - *until >= PAUSE);
        let within = stalls.get(at).filter(|[from, _]| *from - last < PAUSE)?;
        Some((*client, *within))
    };
    let groups = book.group(1, |key, case| stall(case).filter(|_| key.1 == Outcome::Late));
    groups.into_iter().map(held_client).collect()
}

/// When answers of several hosts to one client were held back.
fn stalls(book: &Book<MissingSynAck>) -> BTreeMap<IpAddr, Vec<[Timestamp; 2]>> {
    let mut held: BTreeMap<IpAddr, BTreeSet<(Timestamp, Timestamp, IpAddr)>> = BTreeMap::new();
    for ((server, outcome), case) in book.cases() {
        // What else is late to the same service may be a loss.
        if *outcome != Outcome::Late || 2 * case.counts.held_back < case.flows() {
            continue;
        }
        let times = case.first_seen().zip(case.last_seen());
        if let Some((client, (first, last))) = case.affected.clients.only().zip(times) {
            held.entry(*client).or_default().insert((first, last, server.address));
        }
    }
    let together = |held: BTreeSet<(Timestamp, Timestamp, IpAddr)>| {
        let mut stalls: Vec<([Timestamp; 2], BTreeSet<IpAddr>)> = Vec::new();
        for (first, last, host) in held {
            match stalls.last_mut().filter(|([_, until], _)| first - *until < PAUSE) {
                Some(([_, until], hosts)) => {
                    *until = last.max(*until);
                    hosts.insert(host);
                }
                None => stalls.push(([first, last], BTreeSet::from([host]))),
            }
        }
        stalls.retain(|(_, hosts)| hosts.len() >= SEVERAL);
        stalls.into_iter().map(|(times, _)| times).collect()
    };
    held.into_iter().map(|(client, held)| (client, together(held))).collect()
}

/// The line of a client holds the answers of several services back.
fn held_client(group: CaseGroup<(IpAddr, [Timestamp; 2]), Attempts>) -> Concluded<MissingSynAck> {
    let CaseGroup { by: (client, _), cases, case } = group;
    let slowest = slowest(&case);
    let summary = format!(
        "{} to {} opened late. In {} of them every SYN got a SYN-ACK of its own, the slowest \
         {slowest} after the first SYN. The client sent {}{}.",
        plural(case.flows(), "connection"),
        plural(cases, "service"),
        case.counts.held_back,
        plural(case.counts.syns, "SYN"),
        waited(case.lost),
    );
    let title = format!("{} answer {client} late, after up to {slowest}", plural(cases, "service"));
    let draft = Draft::new(Outcome::Late, title, summary)
        .severity(case.severity(case.flows()).min(Severity::Warning))
        .services(cases)
        .count("services", cases)
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be(LINE.iter().copied())
        .next(&["capture one hop further, to see where packets are held back"]);
    (draft, case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one};
    use crate::support::tcp::{ACK, CLIENT, SERVER, SYN};

    const NAME: &str = MissingSynAck::RULE.name;

    /// Hosts that a client asks three times each, and whose SYN-ACKs come eight seconds after the first SYN:
    /// so many of them, as fast as the SYNs had gone.
    fn held(hosts: u8, replies: usize) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            for host in 20..20 + hosts {
                let mut talk = lab.talk(7, (host, 443), 20_000 + 4_000 * u64::from(host), [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                for pause in [1, 2, 5] {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(pause * 1_000_000);
                }
                talk.sent(&syn);
                talk.received(&syn);
                let reply = talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
                for _ in 1..replies {
                    talk.wait(900_000);
                    talk.record(&mut lab.capture, &reply);
                }
                talk.send(&mut lab.capture, CLIENT, ACK, b"GET / HTTP/1.0\r\n\r\n");
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, ACK, b"HTTP/1.0 204 No Content\r\n\r\n");
            }
        })
    }

    #[test]
    fn what_answers_every_syn_loses_none() {
        let finding = one(&held(1, 3), "late", Severity::Warning);
        assert!(finding.title.ends_with("answers a SYN only after 8.00 s"), "{}", finding.title);
        assert!(!finding.alternatives.iter().any(|one| one.contains("lost")), "{finding:#?}");
        let lossy = one(&held(1, 1), "late", Severity::Warning);
        assert!(lossy.alternatives.iter().any(|one| one.contains("lost")), "{lossy:#?}");
    }

    #[test]
    fn what_is_held_back_on_one_line_is_one_finding() {
        let findings = held(2, 3);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert!(findings[0].title.starts_with("2 services answer"), "{}", findings[0].title);
        assert!(findings[0].title.ends_with("late, after up to 8.00 s"), "{}", findings[0].title);
        assert_eq!(held(2, 1).len(), 2);
    }
}
