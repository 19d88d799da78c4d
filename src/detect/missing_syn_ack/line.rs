//! The line of one client: services that answer it late, and those that did not answer it meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::hosts::Hosts;
use crate::detect::missing_syn_ack::sweeps::waited;
use crate::detect::missing_syn_ack::wait::slowest;
use crate::detect::missing_syn_ack::{Attempts, MissingSynAck, Outcome};
use crate::detect::*;
use crate::dissect::Endpoint;
use crate::time::{Span, Timestamp};

/// Services that answer one client late, from which its way to them is what they share. A judgement.
const TOGETHER: u64 = 3;

/// Hosts that a client gets every answer of late at the same time, from which its way to them is the cause.
const SEVERAL: usize = 2;

/// The longest time-out (RFC 6298 section 2.5): what is late again within it is so for the same cause.
const PAUSE: Span = Span::secs(60);

/// Tries of a service that may all be lost on a line that loses some, and SYNs of each: who goes on for
/// longer gets one through. A judgement.
const TRIES: u64 = 2;
const SYNS: u64 = 4;

const LOSES: &str = "SYNs are lost near the client: its access line, a NAT with a full table or a limit";
const HOLDS: [&str; 2] = [
    "the client's line holds packets back for seconds: a full queue, a radio link, a fail-over",
    "a device that all of it passes is overloaded",
];

/// What one client waited for.
struct Line {
    client: IpAddr,
    services: u64,
    case: Case<Attempts>,
    /// Services and attempts that got no answer meanwhile.
    lost: [u64; 2],
}

/// Services that are late to one client, and those that it tried in vain at that time, as one finding each.
pub(super) fn lines(
    book: &mut Book<MissingSynAck>,
    heard: &Heard,
    hosts: &Hosts,
) -> Vec<Concluded<MissingSynAck>> {
    let times = stalls(book, hosts);
    let stall = |client: IpAddr, case: &Case<Attempts>| {
        let (first, last) = case.first_seen().zip(case.last_seen())?;
        let stalls = times.get(&client)?;
        let at = stalls.partition_point(|[_, until]| first - *until >= PAUSE);
        stalls.get(at).filter(|[from, _]| *from - last < PAUSE).copied()
    };
    let late = |(_, outcome): &(Endpoint, Outcome), case: &Case<Attempts>| {
        let client = client(case, hosts).filter(|_| *outcome == Outcome::Late)?;
        let stall = stall(client, case);
        // The server answered at once what was lost behind the capture.
        (stall.is_some() || case.counts.answered < case.flows()).then_some((client, stall))
    };
    let all = book.group(TOGETHER, |key, case| late(key, case).map(|(client, _)| client));
    let some = book.group(1, |key, case| late(key, case).filter(|(_, stall)| stall.is_some()));
    let some = some.into_iter().map(|CaseGroup { by: (by, _), cases, case }| CaseGroup { by, cases, case });
    let line =
        |CaseGroup { by: client, cases: services, case }| Line { client, services, case, lost: [0; 2] };
    let mut lines: Vec<Line> = all.into_iter().chain(some).map(line).collect();
    beside(book, hosts, &mut lines);
    let scanners = heard.visits.scanners();
    lines.into_iter().map(|line| line.finding(&scanners)).collect()
}

/// Adds what the clients tried in vain meanwhile.
fn beside(book: &mut Book<MissingSynAck>, hosts: &Hosts, lines: &mut [Line]) {
    let mut of_client: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        of_client.entry(line.client).or_default().push(place);
    }
    let meanwhile = |lines: &[Line], case: &Case<Attempts>| {
        let (first, last) = case.first_seen().zip(case.last_seen())?;
        let few = case.flows() <= TRIES && case.counts.syns <= SYNS * case.flows();
        let of = of_client.get(&client(case, hosts)?).filter(|_| few)?;
        let mut of = of.iter().copied();
        of.find(|place| {
            let line = lines.get(*place).map(|line| &line.case);
            let times = line.and_then(|line| line.first_seen().zip(line.last_seen()));
            times.is_some_and(|(from, until)| from - last < PAUSE && first - until < PAUSE)
        })
    };
    let silent = book.take(|key, case| key.1 == Outcome::Silent && meanwhile(lines, case).is_some());
    for ((server, _), case) in silent {
        let place = meanwhile(lines, &case);
        let total = book.total(&server).0.max(case.failed);
        let Some(line) = place.and_then(|place| lines.get_mut(place)) else { continue };
        line.lost = [line.lost[0] + 1, line.lost[1] + case.flows()];
        line.case.total += total;
        line.case.absorb(case);
    }
}

/// The one client of a case.
fn client(case: &Case<Attempts>, hosts: &Hosts) -> Option<IpAddr> {
    case.affected.clients.only().map(|client| hosts.of(*client))
}

/// When answers of several hosts to one client were held back.
fn stalls(book: &Book<MissingSynAck>, hosts: &Hosts) -> BTreeMap<IpAddr, Vec<[Timestamp; 2]>> {
    let mut held: BTreeMap<IpAddr, BTreeSet<(Timestamp, Timestamp, IpAddr)>> = BTreeMap::new();
    for ((server, outcome), case) in book.cases() {
        // What else is late to the same service may be a loss.
        if *outcome != Outcome::Late || 2 * case.counts.held_back < case.flows() {
            continue;
        }
        let times = case.first_seen().zip(case.last_seen());
        if let Some((client, (first, last))) = client(case, hosts).zip(times) {
            held.entry(client).or_default().insert((first, last, server.address));
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

impl Line {
    /// What a scanner finds late is late for nobody.
    fn finding(self, scanners: &BTreeMap<IpAddr, u64>) -> Concluded<MissingSynAck> {
        let Self { client, services, case, lost: [silent, in_vain] } = self;
        let client = case.affected.clients.only().copied().unwrap_or(client);
        let (slowest, opened) = (slowest(&case), case.flows().saturating_sub(in_vain));
        let held = 2 * case.counts.held_back > opened;
        let how = match held {
            true => format!(
                "opened late. In {} of them every SYN got a SYN-ACK of its own, the slowest {slowest} after \
                 the first SYN",
                case.counts.held_back
            ),
            false => "opened only after at least one repeated SYN".to_owned(),
        };
        let others = match in_vain {
            0 => String::new(),
            _ => {
                let (tries, services) = (plural(in_vain, "more attempt"), plural(silent, "other service"));
                format!(" {tries} at {services} got no answer.")
            }
        };
        let summary = format!(
            "{} to {} {how}.{others} The client sent {}{}.",
            plural(opened, "connection"),
            plural(services, "service"),
            plural(case.counts.syns, "SYN"),
            waited(case.lost),
        );
        let what = plural(services, "service");
        let title = match held {
            true => format!("{what} answer {client} late, after up to {slowest}"),
            false => format!("{what} answer {client} only after a repeated SYN"),
        };
        let draft = Draft::new(Outcome::Late, title, summary)
            .severity(match scanners.contains_key(&client) {
                true => Severity::Info,
                false => case.severity(case.flows()).min(Severity::Warning),
            })
            .services(services + silent)
            .count("services", services + silent)
            .subject(Subject { server: None, port: None, ..Subject::of(&case) });
        let draft = match held {
            true => {
                draft.could_be(HOLDS).next(&["capture one hop further, to see where packets are held back"])
            }
            false => draft.could_be([LOSES]).next(&["capture one hop further, to see how far the SYNs come"]),
        };
        (draft, case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one};
    use crate::support::tcp::{ACK, CLIENT, PSH, RST, SERVER, SYN};

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

    /// Hosts whose SYN-ACK comes only to the second SYN, a second later.
    fn late(hosts: u8, apart: u64) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            for host in 20..20 + hosts {
                let at = 20_000 + u64::from(host) * apart;
                let mut talk = lab.talk(7, (host, 443), at, [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                talk.record(&mut lab.capture, &syn);
                talk.wait(1_000_000);
                talk.handshake(&mut lab.capture);
                talk.wait(600_000_000);
                talk.send(&mut lab.capture, CLIENT, ACK | PSH, b"bye");
            }
        })
    }

    #[test]
    fn services_that_answer_one_client_late_are_one_finding() {
        for apart in [100, 10_000] {
            let findings = late(3, apart);
            assert_eq!(findings.len(), 1, "{findings:#?}");
            assert!(findings[0].title.starts_with("3 services answer"), "{}", findings[0].title);
        }
        assert_eq!(late(2, 100).len(), 2);
    }

    /// What the client tried in vain meanwhile, so many times, and how long after.
    #[test]
    fn what_never_opens_on_a_line_that_loses_is_part_of_it() {
        for (tries, after, found) in [(1, 3, 1), (2, 3, 1), (4, 3, 2), (1, 900, 2)] {
            let findings = in_traffic(NAME, |lab| {
                for host in 20..24 {
                    let mut talk = lab.talk(7, (host, 443), 20_000 + u64::from(host) * 900, [30, 500]);
                    let syn = talk.segment(CLIENT, SYN, b"");
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_000_000);
                    lab.http(&mut talk, 300);
                }
                for number in 0..tries {
                    let mut talk = lab.talk(7, (30, 443), 40_000 + after * 1_000 + number * 9_000, [30, 500]);
                    let syn = talk.segment(CLIENT, SYN, b"");
                    for pause in [1, 2, 4] {
                        talk.record(&mut lab.capture, &syn);
                        talk.wait(pause * 1_000_000);
                    }
                }
                let mut last = lab.talk(7, (9, 80), 1_200_000, [30, 500]);
                lab.http(&mut last, 300);
            });
            assert_eq!(findings.len(), found, "{tries}, {after}: {findings:#?}");
            if found == 1 {
                let finding = one(&findings, "late", Severity::Warning);
                let said = format!("{} at 1 other service got no answer.", plural(tries, "more attempt"));
                assert!(finding.summary.contains(&said), "{}", finding.summary);
                assert_eq!((finding.impact.services, finding.impact.failed_transactions), (5, tries));
            }
        }
    }

    /// Somebody goes through so many ports of a host, and some answer its second SYN only.
    #[test]
    fn what_a_scanner_finds_late_is_information() {
        for (ports, severity) in [(150, Severity::Info), (30, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                for port in 0..ports {
                    let mut talk = lab.talk(7, (20, 2_000 + port), 1_000 + 9 * u64::from(port), [30, 500]);
                    talk.send(&mut lab.capture, CLIENT, SYN, b"");
                    talk.turn(CLIENT);
                    talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
                }
                for port in 0..4 {
                    let mut talk = lab.talk(7, (20, 440 + port), 9_000 + 9 * u64::from(port), [30, 500]);
                    let syn = talk.segment(CLIENT, SYN, b"");
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_100_000);
                    lab.http(&mut talk, 300);
                }
            });
            one(&findings, "late", severity);
        }
    }
}
