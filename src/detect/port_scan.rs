//! # What it finds
//! A client that tries port after port of a host, or host after host on a port, and uses none of them.
//!
//! # Why it matters
//! It explains refused and silent connections that nobody misses. It costs nobody anything: it is
//! information, whoever scans.
//!
//! # How it decides
//! A connection is a try when the client wanted nothing from it: the SYN was refused, called unreachable, or
//! left without an answer and repeated once at most; or the service answered, and the client reset the
//! handshake, left it open, or closed the connection without sending data. The tries of a client are a scan
//! when at least half of them found nothing open or ended half open, and
//! - `vertical`: they went to `ports` ports of one host, or
//! - `horizontal`: they went to `hosts` hosts on one port, and at least half of the client's connections were
//!   tries.
//!
//! # What it leaves alone
//! - A client that asks for few ports again and again, as monitoring does, or that waits for an answer.
//! - Peer-to-peer programs, whose peers have a port each.
//! - Networks behind one address: most of their connections are used.
//! - Captures in which no connection opened and none was refused: a filter may have kept the answers out.
//!
//! # What it does not claim
//! Who scans, and whether that is allowed. That a port which did not answer is closed.
//!
//! # References
//! Zeek's scan policy (15 ports of a host, 25 hosts on a port); Jung et al., Fast Portscan Detection Using
//! Sequential Hypothesis Testing, IEEE S&P 2004 (scanners fail far more often than others).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::*;
use crate::dissect::{Direction, Endpoint, PacketRef};
use crate::flow::{Flow, HandshakeOutcome};
use crate::time::Span;

thresholds! {
    /// Counts what clients tried and did not use.
    struct PortScan {
        ports: u64 = 15.0 "ports",
            "ports of one host that a client tried, from which it is a scan",
            "Zeek's scan policy, 15 ports";
        hosts: u64 = 25.0 "hosts",
            "hosts that a client tried on one port, from which it is a scan",
            "Zeek's scan policy, 25 hosts";
        patience: Span = 1.0 "s",
            "how long the sender of a SYN must do nothing",
            "RFC 6298 section 2.1: the initial retransmission time-out";
    }
}

variants! {
    /// What the client goes through.
    enum Shape {
        Vertical "vertical" Info {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        Horizontal "horizontal" Info {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

const COULD_BE: &[&str] =
    &["a port scan", "an inventory or a discovery of services", "a program that looks for its peers"];
const NEXT: &[&str] = &["ask who runs the client", "compare what it found open with what should be"];
const NOT_CLAIMED: &[&str] = &["who scans, or whether that is allowed", "that a silent port is closed"];

counts! {
    /// Tries by what came back.
    struct Tries {
        refused: u64,
        silent: u64,
        unreachable: u64,
        /// The service answered, and the client never completed the handshake.
        answered_half_open: u64,
        /// The connection opened and was closed unused.
        opened_unused: u64,
        /// Services that answered.
        open: Distinct<Endpoint, 64>,
    }
}

counts! {
    /// What is counted of every connection of a client.
    struct Used {
        /// Services that the client opened a connection of.
        opened: Distinct<Endpoint, 64>,
    }
}

impl Tries {
    fn all(&self) -> u64 {
        self.refused + self.silent + self.unreachable + self.answered_half_open + self.opened_unused
    }
}

/// SYNs of a try without an answer: who needs the service repeats it more often.
const SYNS: u32 = 2;

/// Connections that opened or were refused, anywhere: answers are in the capture.
pub(super) type Answers = u64;

impl Detector for PortScan {
    const RULE: Rule = Rule {
        name: "port_scan",
        group: Group::Tcp,
        summary: "a client that tries port after port or host after host",
        judges: "flows",
        variants: Shape::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("port_scan.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(
        Meet::Clients,
        &["connection_refused", "missing_syn_ack", "rst_storm", "icmp_unreachable"],
    )];
    type Variant = Shape;
    /// A client.
    type Key = (IpAddr,);
    type Counts = Tries;
    type Total = Used;
    type Notes = Answers;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        use HandshakeOutcome::*;
        let Some(tcp) = &flow.tcp else { return };
        let handshake = &tcp.handshake;
        let Some(first) = handshake.syns.first() else { return book.not_judged("began before the capture") };
        let client = flow.client.address;
        if let Some(used) = book.judged(&client).filter(|_| handshake.outcome == Established) {
            used.opened.add(flow.server);
        }
        book.notes += u64::from(matches!(handshake.outcome, Established | Refused | Aborted));
        let unused = flow.half(Direction::ToServer).payload_bytes == 0 && tcp.is_closed();
        let count = |tries: &mut Tries| match handshake.outcome {
            Refused => tries.refused += 1,
            Silent => tries.silent += 1,
            Unreachable => tries.unreachable += 1,
            HalfOpen | Aborted => tries.answered_half_open += 1,
            _ => tries.opened_unused += 1,
        };
        let pending = matches!(handshake.outcome, Silent | HalfOpen);
        if pending && flow.watched_until - first.time < self.patience {
            return book.not_judged("the capture ended too soon after the SYN");
        }
        let is_try = match handshake.outcome {
            Refused | Unreachable | Aborted => true,
            Silent | HalfOpen => handshake.syn_count <= SYNS,
            Established => unused,
            _ => false,
        };
        if !is_try {
            return;
        }
        let Some(case) = book.case((client,)) else { return };
        case.flow(flow, [*first]);
        count(&mut case.counts);
        let open = handshake.syn_ack_count > 0;
        if open {
            case.counts.open.add(flow.server);
        }
        // What it found open is shown first.
        case.show(i64::from(!open), flow.id, || {
            let answer = handshake.syn_acks.first().copied().map(|at| (at, Role::SynAck));
            let answer = answer.or(handshake.answer.map(|at| (at, Role::Reset)));
            let shown = |at: PacketRef, role| Evidence::new(at, role, flow.server.to_string());
            [Some(shown(*first, Role::Syn)), answer.map(|(at, role)| shown(at, role))].into_iter().flatten()
        });
    }

    fn judge(
        &self,
        (client,): &Self::Key,
        case: &Case<Tries>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Shape>> {
        let tries = &case.counts;
        let of_scanner = tries.all() - tries.opened_unused;
        if book.notes == 0 || of_scanner * 2 < tries.all() {
            return None;
        }
        let services = &case.affected.servers;
        let (shape, subject) = self.shape(services, tries.all() * 2 >= case.total)?;
        let (mut hosts, mut ports): (BTreeSet<IpAddr>, BTreeSet<u16>) = Default::default();
        for service in services.iter() {
            hosts.insert(service.address);
            ports.insert(service.port);
        }
        // A scan may ask what it finds open for more.
        let mut found = tries.open.clone();
        let opened = book.total(client).1.into_iter().flat_map(|used| used.opened.iter());
        opened.filter(|service| hosts.contains(&service.address)).for_each(|service| found.add(*service));
        let at_least = if services.is_full() { "at least " } else { "" };
        let title = match (shape, subject) {
            (Shape::Vertical, _) if hosts.len() > 1 => {
                format!("{client} tries {at_least}{} on several hosts", plural(ports.len() as u64, "port"))
            }
            (Shape::Vertical, Endpoint { address, .. }) => {
                format!("{client} tries {at_least}{} of {address}", plural(ports.len() as u64, "port"))
            }
            (Shape::Horizontal, Endpoint { port, .. }) => {
                format!("{client} tries {at_least}{} on port {port}", plural(hosts.len() as u64, "host"))
            }
        };
        let kinds = [
            (tries.refused, "refused"),
            (tries.silent, "not answered"),
            (tries.unreachable, "called unreachable"),
            (tries.answered_half_open, "answered and left half open"),
            (tries.opened_unused, "opened and closed unused"),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        let kinds: Vec<String> = kinds.map(|(count, kind)| format!("{count} {kind}")).collect();
        let summary = format!(
            "{} in {}: {}. {}",
            plural(tries.all(), "connection"),
            case.affected.active.span(),
            kinds.join(", "),
            open(&found),
        );
        let subject = Subject { client: Some(client.to_string()), ..Subject::of(case) };
        Some(
            Draft::new(shape, title, summary)
                .confidence(Confidence::Likely)
                .subject(subject)
                .count("tries", tries.all()),
        )
    }
}

impl PortScan {
    /// What the client goes through, and the host or the port that it tried most. `mostly_tries`: at least
    /// half of its connections.
    fn shape(&self, services: &Distinct<Endpoint>, mostly_tries: bool) -> Option<(Shape, Endpoint)> {
        let (mut by_host, mut by_port): (BTreeMap<IpAddr, u64>, BTreeMap<u16, u64>) = Default::default();
        for service in services.iter() {
            *by_host.entry(service.address).or_default() += 1;
            *by_port.entry(service.port).or_default() += 1;
        }
        // Of a full table only a sample is known. Then services that share hosts or ports are enough.
        let diluted = |keys: usize| services.is_full() && services.count() >= 2 * keys as u64;
        let host = by_host.iter().max_by_key(|(_, ports)| **ports)?;
        let port = by_port.iter().max_by_key(|(_, hosts)| **hosts)?;
        let most = Endpoint { address: *host.0, port: *port.0 };
        let vertical = *host.1 >= self.ports || diluted(by_host.len());
        let horizontal = *port.1 >= self.hosts || diluted(by_port.len());
        match (vertical, horizontal && mostly_tries) {
            (true, true) if port.1 > host.1 => Some((Shape::Horizontal, most)),
            (true, _) => Some((Shape::Vertical, most)),
            (false, true) => Some((Shape::Horizontal, most)),
            (false, false) => None,
        }
    }
}

/// `2 services answered: 10.0.0.1:22, 10.0.0.1:80.`
fn open(services: &Distinct<Endpoint, 64>) -> String {
    if services.count() == 0 {
        return "No service answered with a SYN-ACK.".to_owned();
    }
    let mut some: Vec<&Endpoint> = services.iter().collect();
    some.sort();
    let which = if some.len() > 4 { ", for example" } else { "" };
    let shown: Vec<String> = some.iter().take(4).map(ToString::to_string).collect();
    format!("{} answered with a SYN-ACK{which}: {}.", services.of("service"), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_traffic, one, says_nothing};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Talk};

    const NAME: &str = PortScan::RULE.name;

    /// What a port does with a SYN.
    #[derive(Clone, Copy)]
    enum Port {
        Closed,
        Filtered,
        Open,
    }

    fn tries(lab: &mut Lab, client: u8, server: (u8, u16), at: u64, port: Port) {
        let mut talk = lab.talk(client, server, at, [30, 1_500]);
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.turn(CLIENT);
        match port {
            Port::Filtered => {}
            Port::Closed => {
                let reset = talk.segment(SERVER, RST | ACK, b"");
                talk.record(&mut lab.capture, &crate::support::tcp::Segment { seq: 0, ..reset });
            }
            Port::Open => {
                talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
                talk.turn(SERVER);
                let reset = talk.segment(CLIENT, RST, b"");
                talk.record(&mut lab.capture, &reset);
            }
        }
    }

    fn used(lab: &mut Lab, client: u8, server: (u8, u16), at: u64) {
        let mut talk: Talk = lab.talk(client, server, at, [30, 1_500]);
        lab.http(&mut talk, 300);
        talk.close(&mut lab.capture);
    }

    /// The capture goes on for a while.
    fn later(lab: &mut Lab) {
        lab.resolves(90_000_000, "www.shop.example");
    }

    fn scanned(number: u16) -> Port {
        match number % 20 {
            0 => Port::Open,
            1..=4 => Port::Filtered,
            _ => Port::Closed,
        }
    }

    #[test]
    fn ports_of_one_host_are_a_vertical_scan() {
        let findings = in_traffic(NAME, |lab| {
            (0..40)
                .for_each(|port| tries(lab, 7, (9, 1_000 + port), 10 + u64::from(port) * 9, scanned(port)));
            (0..9).for_each(|number| used(lab, 7, (10, 80), 900 + number * 50));
            later(lab);
        });
        let finding = one(&findings, "vertical", Severity::Info);
        assert_eq!(finding.title, "10.77.1.7 tries 40 ports of 10.77.2.9");
        assert!(finding.summary.contains("2 services answered"), "{}", finding.summary);
        assert_eq!(finding.impact.failed_transactions, 0);
    }

    #[test]
    fn hosts_on_one_port_are_a_horizontal_scan() {
        let findings = in_traffic(NAME, |lab| {
            (1..60).for_each(|host| {
                tries(lab, 7, (host, 22), 10 + u64::from(host) * 9, scanned(u16::from(host)));
            });
            later(lab);
        });
        assert_eq!(one(&findings, "horizontal", Severity::Info).title, "10.77.1.7 tries 59 hosts on port 22");
    }

    #[test]
    fn a_scan_of_many_ports_on_many_hosts_is_one_finding() {
        let findings = in_traffic(NAME, |lab| {
            for host in 1..40 {
                for port in 0..20 {
                    let at = 10 + u64::from(host) * 100 + u64::from(port) * 3;
                    tries(lab, 7, (host, 1_000 + port), at, scanned(port));
                }
            }
        });
        assert_eq!(findings.len(), 1, "{findings:#?}");
    }

    #[test]
    fn monitoring_probes_few_ports() {
        let findings = in_traffic(NAME, |lab| {
            for round in 0..60 {
                (0..6).for_each(|port| {
                    tries(lab, 7, (9, 8_000 + port), 10 + round * 900 + u64::from(port), Port::Open);
                });
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// One address after the other, each asked three times: nobody's way out is broken.
    #[test]
    fn a_patient_scan_of_a_network_is_no_outage() {
        let findings = in_traffic("missing_syn_ack", |lab| {
            for host in 1..200 {
                let mut talk = lab.talk(7, (host, 22), 10 + u64::from(host) * 90, [30, 1_500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                (0..3).for_each(|_| {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_000_000);
                });
            }
            used(lab, 8, (201, 80), 40_000);
        });
        one(&findings, "silent", Severity::Info);
    }

    /// Two milliseconds of a busy network: no answer had time to come.
    #[test]
    fn a_capture_too_short_for_answers_shows_no_scan() {
        let findings = in_traffic(NAME, |lab| {
            tries(lab, 8, (99, 443), 10, Port::Open);
            (1..60).for_each(|host| tries(lab, 7, (host, 443), 11, Port::Filtered));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Many clients behind one address, some of whose servers are gone.
    #[test]
    fn a_network_behind_one_address_is_no_scan() {
        let findings = in_traffic(NAME, |lab| {
            (0..120).for_each(|number| used(lab, 7, (100 + (number % 90) as u8, 443), 10 + number * 30));
            (1..40).for_each(|host| tries(lab, 7, (host, 443), 20 + u64::from(host) * 90, Port::Filtered));
            later(lab);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A passive FTP client whose data ports are filtered waits for each of them.
    #[test]
    fn a_client_that_waits_for_an_answer_is_no_scan() {
        let findings = in_traffic(NAME, |lab| {
            used(lab, 8, (10, 80), 5);
            for port in 0..30 {
                let mut talk = lab.talk(7, (9, 40_000 + port), 10 + u64::from(port) * 8_000, [30, 1_500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                (0..4).for_each(|_| {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_000_000);
                });
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn peers_with_a_port_each_are_no_scan() {
        let findings = in_traffic(NAME, |lab| {
            for host in 1..100 {
                let port = 10_000 + 331 * u16::from(host);
                tries(lab, 7, (host, port), 10 + u64::from(host) * 9, Port::Closed);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
        says_nothing(NAME, &["rst_storm_refused", "missing_syn_ack_silent", "connection_refused_port"]);
    }
}
