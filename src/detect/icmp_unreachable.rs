//! # What it finds
//! Connections that ended with an ICMP error: somebody on the way, or the host itself, says that the packets
//! cannot be delivered.
//!
//! # Why it matters
//! The message names who gave up and why. Without it the same failure is silence.
//!
//! # How it decides
//! An ICMP error quotes a packet that the client sent, and nothing of the server follows it. By type and
//! code:
//! - `network`: no route to the network.
//! - `host`: the last router does not reach the host, most often because ARP gets no answer.
//! - `port`: nothing listens on the port, or a rule answers so.
//! - `protocol`: the host does not speak the protocol.
//! - `admin_prohibited`: a rule forbids it.
//! - `time_exceeded`: the packet's time to live ended on the way.
//! - `reassembly`: fragments of it never arrived.
//!
//! It is a warning from `insistent` connections on; critical when many clients are concerned, or the service
//! had opened connections before. Datagrams of UDP and pings are information: nobody is known to wait.
//!
//! # What it leaves alone
//! - Traceroute: packets that are sent with a low TTL on purpose.
//! - Path MTU discovery (see `pmtud`), redirects, and packets that go round (see `routing_loop`).
//! - Errors about answers: a client that has closed its socket says "port unreachable" to a late answer.
//! - Errors that a connection survived (RFC 1122 section 4.2.3.9: they are hints), and errors that quote a
//!   packet that the capture does not hold, as in backscatter. Not so those that a host sends to itself,
//!   because it finds no way to send the packet.
//! - One or two datagrams that nobody sends again.
//! - Several services behind one device that one client alone asked for once or twice each. Information.
//! - Many services that one client alone asked for: a scan or an inventory, for information.
//! - IPv6 attempts that fail at once: clients go on with IPv4 (RFC 8305). Information.
//!
//! # What it does not claim
//! That the service is down, or that the one who reports is to blame.
//!
//! # References
//! RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 4.3, RFC 4443 section 3.

use std::net::IpAddr;

use crate::detect::*;
use crate::dissect::{Direction, Endpoint, Icmp};
use crate::flow::{Flow, HandshakeOutcome, IcmpError};
use crate::time::Span;

thresholds! {
    /// Counts connections that ended with an ICMP error, by service and kind of error.
    struct IcmpUnreachable {
        insistent: u64 = 3.0 "connections",
            "connections of a service that an error ended, below which it is information only",
            "ours: a client that needs the service asks again";
        services: u64 = 3.0 "services",
            "services that one device reports with the same error, from which they are one finding",
            "ours: two services can be of one host";
        sweep: u64 = 15.0 "services",
            "services that one client alone asked for, from which they are one finding for information",
            "Zeek's scan policy, 15 ports";
        probe_ttl: u64 = 30.0 "hops",
            "largest TTL at the capture point of packets that are sent to end on the way",
            "traceroute's largest TTL is 30, hosts begin with 64, 128 or 255";
    }
}

variants! {
    /// What was said.
    enum Kind {
        Network "network" Warning {
            could_be: &["a route is missing or was withdrawn", "the address does not exist"],
            next: &["look at the routing table of the one who reports: ip route get"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
        Host "host" Warning {
            could_be: &["the host is off or has another address", "the host is in another VLAN"],
            next: &["look for ARP requests without an answer on the host's network"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
        Port "port" Warning {
            could_be: &["nothing listens on the port", "a rule rejects the port"],
            next: &["list the listening sockets on the host: ss -lntu"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
        Protocol "protocol" Warning {
            could_be: &["the host does not speak the protocol", "a rule rejects it"],
            next: &["look at the rules of the one who reports"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
        AdminProhibited "admin_prohibited" Warning {
            could_be: &["an access list or a REJECT rule forbids it"],
            next: &["look at the rules of the one who reports"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
        TimeExceeded "time_exceeded" Warning {
            could_be: &["the packets go round in a loop of routers", "the sender uses too small a TTL"],
            next: &["trace the route to the host"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
        Reassembly "reassembly" Warning {
            could_be: &["fragments are dropped on the way", "fragments are lost"],
            next: &["compare with fragments that do arrive", "avoid fragments: smaller datagrams"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
    }
}

const NOT_CLAIMED: &[&str] = &["that the service is down", "that the one who reports is to blame"];

counts! {
    /// What a case counts beside its flows.
    struct Errors {
        messages: u64,
        connections: u64,
        datagram_flows: u64,
        /// Sent in those.
        datagrams: u64,
        pings: u64,
        /// Who reports.
        reporters: Distinct<IpAddr, 8>,
        /// Type and code in words.
        meanings: Distinct<String, 4>,
        /// Nanoseconds; for words only.
        longest_wait: [Most; 1],
    }
}

counts! {
    /// What is counted of every flow of a service.
    struct Reached {
        /// The service answered.
        answered: u64,
    }
}

impl Kind {
    fn of(icmp: &Icmp) -> Option<Self> {
        Some(match (icmp.v6, icmp.kind, icmp.code) {
            (false, 3, 0 | 6 | 11) | (true, 1, 0 | 2 | 6) => Self::Network,
            (false, 3, 1 | 7 | 8 | 12) | (true, 1, 3) => Self::Host,
            (false, 3, 2) => Self::Protocol,
            (false, 3, 3) | (true, 1, 4) => Self::Port,
            (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5) => Self::AdminProhibited,
            (false, 11, 0) | (true, 3, 0) => Self::TimeExceeded,
            (false, 11, 1) | (true, 3, 1) => Self::Reassembly,
            _ => return None,
        })
    }
}

impl Detector for IcmpUnreachable {
    const RULE: Rule = Rule {
        name: "icmp_unreachable",
        group: Group::Path,
        summary: "connections that ended with an ICMP error: unreachable, prohibited, time exceeded",
        judges: "flows",
        variants: Kind::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("icmp_unreachable.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[
        Explains::by(Meet::Flows, &["retransmission"]),
        Explains::by(Meet::Service, &["missing_syn_ack", "dns_unanswered", "health_check"]),
        Explains::by(Meet::Server, &["echo_loss", "path_outage"]),
        Explains::by(Meet::Upstream, &["http_error", "dns_servfail"]),
    ];
    type Variant = Kind;
    type Key = (Endpoint, Kind);
    type Counts = Errors;
    type Total = Reached;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let answers = flow.half(Direction::ToClient);
        if let Some(reached) = book.judged(&flow.server) {
            let refused =
                flow.tcp.as_ref().is_some_and(|tcp| tcp.handshake.outcome == HandshakeOutcome::Refused);
            reached.answered += u64::from(answers.packets > 0 && !refused);
        }
        let errors = flow.icmp_errors.iter().filter(|error| Kind::of(&error.icmp).is_some());
        let (asked, answered): (Vec<&IcmpError>, Vec<&IcmpError>) =
            errors.partition(|error| error.quoted == Direction::ToServer);
        let Some((first, kind)) = asked.first().and_then(|error| Some((*error, Kind::of(&error.icmp)?)))
        else {
            if !answered.is_empty() {
                book.not_judged("the error is about an answer");
            }
            return;
        };
        let sent = flow.half(Direction::ToServer);
        // What a host tells itself has not left it: no neighbour said its link address.
        let own = asked.iter().all(|error| error.reporter == flow.client.address);
        if sent.packets == 0 && !own {
            return book.not_judged("the quoted packets are not in the capture");
        }
        if sent.ttl.is_some_and(|(_, ttl)| u64::from(ttl) <= self.probe_ttl) {
            return book.not_judged("sent with a low TTL, as traceroute does");
        }
        if flow.laps.is_some() && kind == Kind::TimeExceeded {
            return;
        }
        let last = asked.last().map_or(first.at, |error| error.at);
        // Not all errors are kept.
        let last = if flow.icmp_errors_dropped > 0 { flow.last } else { last };
        let survived = answers.last.is_some_and(|at| at.packet > first.at.packet)
            || flow.tcp.as_ref().is_some_and(|tcp| tcp.is_closed());
        if survived {
            return;
        }
        let Some(case) = book.case((flow.server, kind)) else { return };
        case.flow(flow, [flow.first, last]);
        case.failed += 1;
        let wait = (last.time - flow.first.time).max(Span::ZERO);
        let counts = &mut case.counts;
        match flow.protocol {
            6 => {
                case.lost += wait;
                counts.connections += 1;
                counts.longest_wait[0].add(wait.0.unsigned_abs());
            }
            1 | 58 => counts.pings += 1,
            _ => {
                counts.datagram_flows += 1;
                counts.datagrams += sent.packets;
            }
        }
        counts.messages += asked.len() as u64 + flow.icmp_errors_dropped;
        for error in &asked {
            counts.reporters.add(error.reporter);
            counts.meanings.add(error.icmp.meaning().unwrap_or_default().to_owned());
        }
        case.show(0, flow.id, || {
            let errors = asked.iter().take(4).map(|error| {
                let meaning = error.icmp.meaning().unwrap_or_default();
                Evidence::new(error.at, Role::Icmp, format!("{meaning}, from {}", error.reporter))
            });
            let quoted = sent.first.map(|at| Evidence::new(at, Role::Quoted, ""));
            quoted.into_iter().chain(errors).collect::<Vec<_>>()
        });
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        let sweeps = book.group(self.sweep, |(_, kind), case| Some((*kind, *case.affected.clients.only()?)));
        let of_device = |(server, kind): &(Endpoint, Kind), case: &Case<Errors>| {
            let reporter = *case.counts.reporters.only()?;
            (reporter != server.address).then_some((*kind, reporter))
        };
        let devices = book.group(self.services, of_device);
        // A datagram or two that nobody sends again.
        book.take(|_, case| case.counts.connections == 0 && case.counts.messages < self.insistent);
        let services = book.take(|_, _| true);
        let mut concluded: Vec<Concluded<Self>> = sweeps.into_iter().map(sweep).collect();
        concluded.extend(devices.into_iter().map(|group| self.device(group)));
        concluded.extend(services.into_iter().map(|((server, kind), mut case)| {
            let (total, reached) = book.total(&server);
            case.total = total;
            let answered = reached.map_or(0, |reached| reached.answered);
            (self.service(server, kind, &case, answered), case)
        }));
        concluded
    }
}

impl IcmpUnreachable {
    fn severity(&self, case: &Case<Errors>, was_there: bool) -> Severity {
        let connections = case.counts.connections;
        let at_once = case.lost < Span(1_000_000_000i64.saturating_mul(connections as i64));
        let all_v6 = case.affected.servers.iter().all(|server| server.address.is_ipv6());
        if connections < self.insistent || (all_v6 && at_once) {
            return Severity::Info;
        }
        let many = case.affected.clients.count() >= Severity::CLIENTS;
        let most = if was_there || many { Severity::Critical } else { Severity::Warning };
        case.severity(connections).min(most)
    }

    fn service(&self, server: Endpoint, kind: Kind, case: &Case<Errors>, answered: u64) -> Draft<Kind> {
        let name = if server.port == 0 { server.address.to_string() } else { server.to_string() };
        let title = match kind {
            Kind::TimeExceeded => format!("Packets to {name} do not arrive: their time to live ends"),
            Kind::Reassembly => format!("Datagrams to {name} do not arrive whole"),
            _ => format!("{name} cannot be reached: {}", meaning(case)),
        };
        let of = case.total.max(case.failed);
        let before = match answered {
            0 => String::new(),
            answered => format!(" It answered {} of others.", plural(answered, "flow")),
        };
        let own = case.counts.reporters.only() == Some(&server.address);
        let reporter = if own { "The host itself reports it.".to_owned() } else { reported_by(case) };
        let summary = format!(
            "{} got no answer from {name}: {} of {} ended with ICMP \"{}\". {reporter}{}{}{before}",
            case.clients(),
            case.failed,
            plural(of, "flow"),
            meaning(case),
            waited(case),
            again(case),
        );
        Draft::new(kind, title, summary).severity(self.severity(case, answered > 0))
    }

    fn device(&self, group: CaseGroup<(Kind, IpAddr), Errors>) -> Concluded<Self> {
        let CaseGroup { by: (kind, reporter), cases, case } = group;
        let services = plural(cases, "service");
        let title = format!("{services} cannot be reached: {reporter} reports {}", meaning(&case));
        let summary = format!(
            "{} got no answer from {services}: {} of {} ended with ICMP \"{}\" from {reporter}.{}",
            case.clients(),
            case.failed,
            plural(case.total.max(case.failed), "flow"),
            meaning(&case),
            waited(&case),
        );
        // One client that asks for several services once or twice each looks for peers.
        let alone = case.affected.clients.count() == 1;
        let severity = match alone && case.counts.connections < self.insistent * cases {
            true => Severity::Info,
            false => self.severity(&case, false),
        };
        (Draft::new(kind, title, summary).severity(severity).services(cases), case)
    }
}

fn meaning(case: &Case<Errors>) -> String {
    let mut words: Vec<&str> = case.counts.meanings.iter().map(String::as_str).collect();
    words.sort_unstable();
    words.join(", ")
}

/// Whoever sends datagrams is not told by TCP, and may go on.
fn again(case: &Case<Errors>) -> String {
    let Errors { messages, datagrams, .. } = case.counts;
    match case.counts.connections == 0 && datagrams > case.failed {
        true => format!(" {} came for {}.", plural(messages, "such error"), plural(datagrams, "datagram")),
        false => String::new(),
    }
}

fn reported_by(case: &Case<Errors>) -> String {
    let mut reporters: Vec<IpAddr> = case.counts.reporters.iter().copied().collect();
    reporters.sort_unstable();
    let names: Vec<String> = reporters.iter().take(3).map(ToString::to_string).collect();
    format!("{} reports it.", names.join(", "))
}

fn waited(case: &Case<Errors>) -> String {
    match case.counts.longest_wait[0].get() {
        0 => String::new(),
        longest => format!(" A client waited up to {}.", Span(longest as i64)),
    }
}

/// One client asks many services: nobody's daily work.
fn sweep(group: CaseGroup<(Kind, IpAddr), Errors>) -> Concluded<IcmpUnreachable> {
    let CaseGroup { by: (kind, client), cases, mut case } = group;
    let services = plural(cases, "service");
    let summary = format!(
        "{} to {services} ended with ICMP \"{}\", as in a scan.",
        plural(case.failed, "flow"),
        meaning(&case)
    );
    case.failed = 0;
    let draft = Draft::new(kind, format!("{client} asks {services} in vain"), summary)
        .severity(Severity::Info)
        .confidence(Confidence::Likely)
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be(["a port scan or an inventory", "an application that looks for its peers"])
        .next(&["ask who runs the client"])
        .services(cases);
    (draft, case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, silent};
    use crate::support::frame::{Ip, datagram, ethernet};
    use crate::support::scenes::link::{rejected, unreachable};
    use crate::support::tcp::{CLIENT, SYN};

    const NAME: &str = IcmpUnreachable::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("icmp_unreachable_host", "host", Severity::Critical),
                ("icmp_unreachable_prohibited", "admin_prohibited", Severity::Warning),
            ],
        );
    }

    #[test]
    fn it_stays_silent() {
        silent(NAME, &["pmtud", "routing_loop", "echo_loss", "mtu_blackhole_icmp_ignored", "healthy_resets"]);
    }

    #[test]
    fn one_device_that_reports_several_hosts_is_one_finding() {
        let findings = in_traffic(NAME, |lab| {
            (0..4).for_each(|host| unreachable(lab, 2, (20 + host, 443), (3, 0), u64::from(host) * 500));
        });
        let finding = one(&findings, "network", Severity::Warning);
        assert_eq!((findings.len(), finding.impact.services), (1, 4));
    }

    /// The client closed its socket when the first answer came, and a second one came late.
    #[test]
    fn a_late_answer_to_a_closed_socket_is_no_error() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..6 {
                let (client, resolver) = ((lab.client(7), 40_000 + number), (lab.resolver(), 53));
                let at = u64::from(number) * 90_000;
                lab.udp(at, client, resolver, b"question");
                lab.udp(at + 900, resolver, client, b"answer");
                let late = lab.udp(at + 2_000, resolver, client, b"answer");
                let ip = Ip { source: client.0, destination: resolver.0, ttl: 64, id: number };
                let message = ip.icmp_error(3, 3, 0, datagram(&late));
                lab.capture.record(at + 2_050, ethernet([2; 6], [4; 6], None, &message));
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn traceroute_is_no_error() {
        let findings = in_traffic(NAME, |lab| {
            for hop in 1..=12u8 {
                let (source, destination) = (lab.client(7), lab.server(9));
                let ip = Ip { source, destination, ttl: hop, id: u16::from(hop) };
                let probe = ip.udp(50_000, 33_433 + u16::from(hop), &[0; 32]);
                let at = u64::from(hop) * 40_000;
                lab.capture.record(at, ethernet([2; 6], [4; 6], None, &probe));
                let router = Ip { source: lab.server(100 + hop), destination: source, ttl: 60, id: 9 };
                let (kind, code) = if hop == 12 { (3, 3) } else { (11, 0) };
                let message = router.icmp_error(kind, code, 0, &probe);
                lab.capture.record(at + 3_000, ethernet([4; 6], [2; 6], None, &message));
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The route was away for a moment, and the connection went on.
    #[test]
    fn an_error_that_a_connection_survives_is_a_hint() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = lab.talk(7, (9, 8080), 10 + number * 400, [30, 2_000]);
                talk.handshake(&mut lab.capture);
                let lost = talk.send_lost(&mut lab.capture, CLIENT, b"request");
                let router = lab.router();
                talk.icmp_error(&mut lab.capture, router, (3, 0, 0), &lost);
                talk.wait(220_000);
                talk.resend(&mut lab.capture, &lost);
                talk.received(&lost);
                talk.turn(CLIENT);
                talk.exchange(&mut lab.capture, b"another", 300);
                talk.close(&mut lab.capture);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// IPv6 has no route, and the client goes on with IPv4 after some milliseconds.
    #[test]
    fn ipv6_that_fails_at_once_is_information() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..5u16 {
                let (client, server) = ((lab.v6(1, 7), 41_000 + number), (lab.v6(2, 80), 443));
                let at = u64::from(number) * 70_000;
                let mut talk = crate::support::tcp::Talk::new(client, server, at, [30, 900]);
                let syn = talk.send(&mut lab.capture, CLIENT, SYN, b"");
                talk.wait(1_200);
                let router = lab.v6(0, 1);
                talk.icmp_error(&mut lab.capture, router, (1, 0, 0), &syn);
            }
        });
        one(&findings, "network", Severity::Info);
    }

    #[test]
    fn a_udp_port_that_is_closed_is_information() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..9u16 {
                let (client, server) = ((lab.client(7), 41_000 + number), (lab.server(9), 514));
                let at = u64::from(number) * 70_000;
                let sent = lab.udp(at, client, server, b"line");
                let ip = Ip { source: server.0, destination: client.0, ttl: 60, id: number };
                let message = ip.icmp_error(3, 3, 0, datagram(&sent));
                lab.capture.record(at + 800, ethernet([4; 6], [2; 6], None, &message));
            }
        });
        let finding = one(&findings, "port", Severity::Info);
        assert!(finding.summary.contains("The host itself reports it."), "{}", finding.summary);
    }

    /// One socket goes on sending. Not all errors about a flow are kept, and all count.
    #[test]
    fn datagrams_that_go_on_are_counted() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..100u16 {
                let (client, server) = ((lab.client(7), 41_000), (lab.server(9), 514));
                let at = u64::from(number) * 70_000;
                let sent = lab.udp(at, client, server, b"line");
                let ip = Ip { source: server.0, destination: client.0, ttl: 60, id: number };
                let message = ip.icmp_error(3, 3, 0, datagram(&sent));
                lab.capture.record(at + 800, ethernet([4; 6], [2; 6], None, &message));
            }
        });
        let finding = one(&findings, "port", Severity::Info);
        assert!(finding.summary.contains("100 such errors came for 100 datagrams."), "{}", finding.summary);
        assert!(
            finding
                .last_seen
                .zip(finding.first_seen)
                .is_some_and(|(last, first)| last - first > Span::secs(6))
        );
    }

    /// On the loopback interface: nobody says the link address of the server, and no SYN leaves the host.
    #[test]
    fn what_a_host_tells_itself_is_no_backscatter() {
        let findings = |own: bool| {
            in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (66, 443), 10, [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                let sent = talk.frame(&syn);
                let source = if own { lab.client(7) } else { lab.router() };
                for number in 0..3 {
                    let ip = Ip { source, destination: lab.client(7), ttl: 128, id: number };
                    let message = ip.icmp_error(3, 1, 0, datagram(&sent));
                    let at = 500_000 + u64::from(number) * 4_000_000;
                    lab.capture.record(at, ethernet([4; 6], [2; 6], None, &message));
                }
            })
        };
        let finding = one(&findings(true), "host", Severity::Info);
        assert_eq!(finding.impact.failed_transactions, 1, "{}", finding.summary);
        assert!(findings(false).is_empty());
    }

    #[test]
    fn a_scan_is_one_finding_for_information() {
        let findings = in_traffic(NAME, |lab| {
            for port in 0..20 {
                rejected(lab, 7, (9, 2_000 + port), u64::from(port) * 9);
            }
        });
        assert_eq!(findings.len(), 1);
        one(&findings, "admin_prohibited", Severity::Info);
    }

    #[test]
    fn a_client_that_looks_for_peers_is_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..5).for_each(|peer| unreachable(lab, 1, (20 + peer, 6881), (3, 1), u64::from(peer) * 400));
        });
        one(&findings, "host", Severity::Info);
    }

    #[test]
    fn a_single_attempt_is_information() {
        let findings = in_traffic(NAME, |lab| unreachable(lab, 1, (9, 443), (3, 1), 10));
        one(&findings, "host", Severity::Info);
    }
}
