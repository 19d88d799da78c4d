//! Conversations that the capture shows on both sides of an address translation (RFC 3022), as where a
//! router, a balancer or a node with containers is recorded on all its interfaces: the same packets with
//! other addresses or ports, forwarded in between. What is found on the second side was found before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::detect::{Bounded, Distinct, Finding, Gate, QualityIssue, Severity, Verdict, hash_of, merged};
use crate::dissect::{Direction, Endpoint};
use crate::flow::Flow;
use crate::humanize::plural;
use crate::time::{Span, Timestamp};

/// A conversation as it is on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Side {
    flow: u64,
    client: Endpoint,
    server: Endpoint,
    first: Timestamp,
    last: Timestamp,
    /// Lowest TTL of each direction; `None` for one that was not captured.
    ttl: [Option<u8>; 2],
    /// Numbers of both sides prove it, which nobody else has. One side's do not: scanners send one number to
    /// all, and a RST that refuses a SYN has 0 (RFC 9293 section 3.10.7.1).
    numbered: bool,
}

/// A host keeps a packet no longer before it forwards it. A judgement: what takes longer waits for a link
/// address, and that is for one packet.
pub(super) const FORWARDED: Span = Span::millis(10);

/// The same for the first SYN, which may wait for one (RFC 4861 section 10: three requests, one second each).
const RESOLVED: Span = Span::secs(3);

impl Side {
    /// `later` shows the same packets, behind the translation.
    fn is_before(&self, later: &Self) -> bool {
        let same_ends = (self.client, self.server) == (later.client, later.server);
        let begins = later.first - self.first;
        if same_ends || begins < Span::ZERO || begins > RESOLVED {
            return false;
        }
        if self.numbered {
            return true;
        }
        let forwarded = |near: Option<u8>, far: Option<u8>| match near.zip(far) {
            Some((near, far)) => far < near,
            None => near == far,
        };
        let ends = self.last - later.last;
        let one_end =
            self.client.address == later.client.address || self.server.address == later.server.address;
        one_end
            && begins <= FORWARDED
            && ends <= FORWARDED
            && ends >= Span(-FORWARDED.0)
            && self.ttl[0].is_some()
            && forwarded(self.ttl[0], later.ttl[0])
            && forwarded(later.ttl[1], self.ttl[1])
    }
}

merged! {
    /// Conversations by what both sides of a translation have in common: the numbers of TCP, or the client's
    /// port, packets and bytes of a second.
    pub(super) struct Translations(Bounded<u64, Distinct<Side, 8>, { 1 << 14 }>);
}

/// By flow that was recorded behind a translation: the side before it.
pub(super) type Before = BTreeMap<u64, (u64, Endpoint)>;

impl Translations {
    /// Takes a flow.
    pub(super) fn flow(&mut self, flow: &Flow) {
        let numbers = flow.tcp.as_ref().map_or(0, |tcp| tcp.numbers);
        let key = match flow.protocol {
            6 if numbers != 0 => numbers,
            17 => {
                let sent = flow.halves.each_ref().map(|half| (half.packets, half.payload_bytes));
                let second = flow.first.time.0.div_euclid(Span::secs(1).0);
                hash_of(&(flow.client.port, sent, second))
            }
            _ => return,
        };
        if let Some(sides) = self.0.observe(key, key) {
            sides.add(Side {
                flow: flow.id,
                client: flow.client,
                server: flow.server,
                first: flow.first.time,
                last: flow.last.time,
                ttl: Direction::BOTH.map(|direction| flow.half(direction).ttl.map(|(least, _)| least)),
                numbered: flow.tcp.as_ref().is_some_and(|tcp| {
                    let answered = tcp.handshake.syn_count > 0 && tcp.handshake.syn_ack_count > 0;
                    answered || tcp.sides.iter().all(|side| side.data_segments > 0)
                }),
            });
        }
    }

    pub(super) fn before(&self) -> Before {
        let mut before = Before::new();
        for (_, seen, sides) in self.0.iter() {
            if seen < 2 {
                continue;
            }
            let mut sides: Vec<&Side> = sides.iter().collect();
            sides.sort_unstable_by_key(|side| side.flow);
            for later in &sides {
                let mut earlier = sides.iter().filter(|side| side.flow != later.flow);
                if let Some(side) =
                    earlier.find(|side| side.is_before(later) && !before.contains_key(&side.flow))
                {
                    before.insert(later.flow, (side.flow, side.server));
                }
            }
        }
        before
    }

    /// Says once what was found on both sides.
    pub(super) fn fold<'v>(&self, verdicts: impl Iterator<Item = &'v mut Verdict>) {
        let before = self.before();
        if !before.is_empty() {
            verdicts.for_each(|verdict| fold(&mut verdict.findings, &before));
        }
    }
}

/// Findings looked at for what may have been found before: those of one server, mostly one or two.
const LOOKED_AT: usize = 64;

fn fold(findings: &mut Vec<Finding>, before: &Before) {
    let mut by_flow: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut by_server: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, finding) in findings.iter().enumerate() {
        finding.scope.flows.sample.iter().for_each(|flow| by_flow.entry(*flow).or_default().push(place));
        finding
            .scope
            .servers
            .sample
            .iter()
            .for_each(|server| by_server.entry(server).or_default().push(place));
    }
    let mut repeats = Vec::new();
    for (place, finding) in findings.iter().enumerate() {
        let flows = &finding.scope.flows.sample;
        let behind = flows.iter().filter_map(|flow| before.get(flow));
        let behind: Vec<(u64, String)> = behind.map(|(flow, server)| (*flow, server.to_string())).collect();
        // All of it, unless more conversations were captured than are kept apart.
        let Some((flow, server)) = behind.first().filter(|_| behind.len() * 2 > flows.len()) else {
            continue;
        };
        let told = |other: &Finding| {
            let (known, servers) = (&other.scope.flows.sample, &other.scope.servers.sample);
            let about = |(flow, server): &(u64, String)| {
                known.binary_search(flow).is_ok() || servers.contains(server)
            };
            (other.variant, other.subject.direction) == (finding.variant, finding.subject.direction)
                && behind.iter().all(about)
        };
        let near = by_flow.get(flow).into_iter().chain(by_server.get(server.as_str()));
        let first = near.flat_map(|places| places.iter().take(LOOKED_AT)).filter(|other| **other != place);
        let first = first.filter(|other| findings.get(**other).is_some_and(told)).min();
        repeats.extend(first.map(|first| (place, *first)));
    }
    let repeated: BTreeSet<usize> = repeats.iter().map(|(place, _)| *place).collect();
    let mut told: BTreeMap<usize, (BTreeSet<String>, Severity)> = BTreeMap::new();
    for (place, first) in repeats.into_iter().filter(|(_, first)| !repeated.contains(first)) {
        if let Some(again) = findings.get(place) {
            let (servers, severity) = told.entry(first).or_insert((BTreeSet::new(), again.severity));
            servers.extend(again.scope.servers.sample.iter().cloned());
            *severity = again.severity.max(*severity);
        }
    }
    for (first, (servers, severity)) in told {
        let servers = servers.into_iter().take(3).collect::<Vec<_>>().join(" and ");
        if let Some(finding) = findings.get_mut(first) {
            finding.severity = finding.severity.max(severity);
            finding.summary +=
                &format!(" The capture shows the same behind an address translation: {servers}.");
        }
    }
    let mut place = 0;
    findings.retain(|_| {
        place += 1;
        !repeated.contains(&(place - 1))
    });
    findings.iter_mut().for_each(|finding| counted_twice(finding, before));
}

/// Both sides are in the numbers of the finding.
fn counted_twice(finding: &mut Finding, before: &Before) {
    let flows = &finding.scope.flows.sample;
    let both = |flow: &&u64| before.get(flow).is_some_and(|(first, _)| flows.binary_search(first).is_ok());
    let twice = flows.iter().filter(both).count() as u64;
    if twice == 0 {
        return;
    }
    finding.gates.push(Gate {
        issue: QualityIssue::Copies,
        name: "capture_duplicates",
        prevents: format!(
            "{} recorded on both sides of an address translation: the numbers count both",
            if twice == 1 { "1 conversation is".to_owned() } else { plural(twice, "conversation") + " are" },
        ),
        recapture: "capture on one interface, or on one side of the translation",
    });
    finding.confidence = finding.confidence.lowered();
}

#[cfg(test)]
mod tests {
    use crate::detect::Severity;
    use crate::detect::testing::{in_traffic, one};
    use crate::dissect::checksum;
    use crate::support::dns;
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Talk};
    use std::net::Ipv4Addr;

    type Place = (Ipv4Addr, u16);

    /// Writes everything again as it is behind a host that puts other addresses in, 40 us further on: the
    /// answers come there first.
    fn translate(lab: &mut Lab, swaps: &[(Place, Place)]) {
        for packet in lab.capture.packets.clone() {
            let mut frame = packet.frame.clone();
            let mut to_server = true;
            for (address, port, destination) in [(26, 34, false), (30, 36, true)] {
                for ((known, known_port), (other, other_port)) in swaps {
                    if frame[address..address + 4] == known.octets()
                        && frame[port..port + 2] == known_port.to_be_bytes()
                    {
                        frame[address..address + 4].copy_from_slice(&other.octets());
                        frame[port..port + 2].copy_from_slice(&other_port.to_be_bytes());
                        to_server = destination;
                    }
                }
            }
            frame[22] = if to_server { frame[22] - 1 } else { frame[22] + 1 };
            frame[24..26].fill(0);
            let sum = !checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            lab.capture.record(if to_server { packet.micros + 40 } else { packet.micros - 40 }, frame);
        }
    }

    fn v4(address: std::net::IpAddr) -> Ipv4Addr {
        match address {
            std::net::IpAddr::V4(address) => address,
            std::net::IpAddr::V6(_) => panic!("an address of IPv4"),
        }
    }

    #[test]
    fn a_service_before_and_behind_its_address_is_found_once() {
        let findings = |translated: bool| {
            in_traffic("http_error", |lab| {
                for number in 0..6 {
                    let mut talk = lab.talk(7 + number, (9, 80), 10 + 50 * u64::from(number), [300, 1_500]);
                    talk.handshake(&mut lab.capture);
                    talk.send(&mut lab.capture, CLIENT, ACK, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
                    talk.turn(CLIENT);
                    talk.send(
                        &mut lab.capture,
                        SERVER,
                        ACK,
                        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
                    );
                    talk.close(&mut lab.capture);
                }
                let service = v4(lab.server(9));
                if translated {
                    translate(lab, &[((service, 80), (Ipv4Addr::new(10, 244, 1, 5), 8_080))]);
                }
            })
        };
        let plain = one(&findings(false), "unavailable", Severity::Critical);
        let finding = one(&findings(true), "unavailable", Severity::Critical);
        assert_eq!((finding.title, finding.impact), (plain.title, plain.impact));
        assert!(
            finding.summary.ends_with("behind an address translation: 10.244.1.5:8080."),
            "{}",
            finding.summary
        );
    }

    #[test]
    fn repeats_of_a_translated_client_are_doubted() {
        let findings = in_traffic("retransmission", |lab| {
            let mut talk = lab.talk(7, (9, 443), 10, [300, 6_000]);
            talk.handshake(&mut lab.capture);
            let request = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 200));
            for number in 0..5 {
                talk.wait(300_000 << number);
                talk.resend(&mut lab.capture, &request);
            }
            let client = (v4(talk.ends[CLIENT].address), talk.ends[CLIENT].port);
            translate(lab, &[(client, (Ipv4Addr::new(203, 0, 113, 8), 61_000))]);
        });
        let finding = one(&findings, "rto", Severity::Warning);
        assert!(
            finding.gates.iter().any(|gate| gate.prevents.starts_with("1 conversation is")),
            "{finding:#?}"
        );
    }

    /// Who scans sends the same numbers to everybody, and a closed port has none of its own.
    #[test]
    fn two_hosts_that_refuse_a_scanner_are_two() {
        let findings = in_traffic("connection_refused", |lab| {
            for (host, at) in [(9, 10_000), (11, 12_000)] {
                let (client, server) = ((lab.client(7), 40_001), (lab.server(host), 8_080));
                let mut talk = Talk::new(client, server, at, [300, 900]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
            }
        });
        assert_eq!(findings.len(), 2, "{findings:#?}");
    }

    /// The address of a resolver stands for another one behind it; or a forwarder asks two at a time.
    #[test]
    fn a_resolver_behind_an_address_is_found_once_and_two_resolvers_are_two() {
        let findings = |translated: bool| {
            in_traffic("dns_servfail", |lab| {
                let (asked, other) = (lab.resolver(), Ipv4Addr::new(10, 244, 0, 3));
                for number in 0..8 {
                    let name = format!("api{number}.shop.example");
                    let client = (lab.client(7), 40_000 + number);
                    let micros = 50_000 + u64::from(number) * 400_000;
                    let (query, reply) =
                        (dns::query(number, &name, dns::A), dns::response(number, &name, dns::A, 2, &[]));
                    lab.udp(micros, client, (asked, 53), &query);
                    lab.udp(micros + 2_000, (asked, 53), client, &reply);
                    if !translated {
                        lab.udp(micros + 20, client, (other.into(), 53), &query);
                        lab.udp(micros + 1_900, (other.into(), 53), client, &reply);
                    }
                }
                if translated {
                    translate(lab, &[((v4(asked), 53), (other, 53))]);
                }
            })
        };
        for (translated, resolvers) in [(true, 1), (false, 2)] {
            let findings = findings(translated);
            let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
            assert_eq!(finding.impact.services, resolvers, "{finding:#?}");
        }
    }
}
