//! # What it finds
//! Connection attempts whose port an earlier connection still holds at the server or on the way.
//!
//! # Why it matters
//! The attempt costs a second or fails. It happens when ports run short: many connections from one address to
//! one service, as behind a NAT.
//!
//! # How it decides
//! - `collision`: the server answered the SYN with an ACK of an earlier connection on the same ports, instead
//!   of a SYN-ACK. It holds that connection in TIME-WAIT, or as open.
//! - `silent`: a SYN on ports that an earlier connection in the capture had used got no answer, while SYNs on
//!   fresh ports to the same service were answered. At least `silent` of them, and none on fresh ports.
//!
//! Its severity follows from the share of the service's attempts, from `collisions` on; below, it is
//! information. It states how many ports the client's connections shared.
//!
//! # What it leaves alone
//! - Ports that are used again without trouble: RFC 6191 allows that.
//! - TIME-WAIT itself, which is the orderly end of a connection.
//! - Services that answer no SYN at all (see `missing_syn_ack`).
//!
//! # What it does not claim
//! That the ports ran out: the translation table of a NAT is not visible.
//!
//! # References
//! RFC 9293 section 3.10.7.4 (SYN in TIME-WAIT); RFC 6191 (reuse with timestamps); RFC 5961 section 4
//! (challenge ACK); RFC 6056 (port selection).

use std::net::IpAddr;

use crate::detect::*;
use crate::dissect::Endpoint;
use crate::flow::{EventKind, Flow, HandshakeOutcome, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts attempts on ports that were in use, by service.
    struct PortReuse {
        collisions: u64 = 5.0 "connections",
            "attempts of a service that met an earlier connection, from which it may be a warning",
            "ours: a client that restarts meets its own earlier connections";
        silent: u64 = 3.0 "connections",
            "attempts on used ports without an answer, when all on fresh ports are answered",
            "ours: one or two may be loss";
    }
}

variants! {
    /// What the attempt met.
    enum Met {
        Collision "collision" Warning {
            could_be: &[
                "a NAT or client uses a port again while the server holds it in TIME-WAIT",
                "the client was restarted and opens the same ports again",
                "few ports for many connections to one service: SNAT or ephemeral ports run short",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        Silent "silent" Warning {
            could_be: &[
                "a stateful device still holds the earlier connection and drops the SYN",
                "few ports for many connections to one service: SNAT or ephemeral ports run short",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

const NEXT: &[&str] = &[
    "count connections by address at the NAT, and compare with its ports per destination",
    "give the NAT more addresses, the client a wider ip_local_port_range, or keep connections open",
];
const NOT_CLAIMED: &[&str] = &["that the ports ran out", "which device holds the earlier connection"];

counts! {
    /// What is counted of every attempt of a service.
    struct Attempts {
        clients: Distinct<IpAddr, 2>,
        ports: Distinct<u16, 64>,
        least_port: Least,
        largest_port: Most,
        /// On ports of an earlier connection.
        reused: u64,
        /// On fresh ports, without an answer.
        fresh_silent: u64,
        /// Answered with a SYN-ACK.
        answered: u64,
    }
}

impl Detector for PortReuse {
    const RULE: Rule = Rule {
        name: "port_reuse",
        group: Group::Tcp,
        summary: "connection attempts on ports that an earlier connection still holds",
        judges: "handshakes",
        variants: Met::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("port_reuse.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Service, &["missing_syn_ack"])];
    type Variant = Met;
    type Key = (Endpoint, Met);
    type Counts = ();
    type Total = Attempts;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let handshake = &tcp.handshake;
        let Some(first) = handshake.syns.first().copied() else { return };
        let reused = tcp.events.iter().any(|event| event.kind == EventKind::PortReuse);
        let silent = handshake.outcome == HandshakeOutcome::Silent;
        if let Some(total) = book.judged(&flow.server) {
            total.clients.add(flow.client.address);
            total.ports.add(flow.client.port);
            total.least_port.add(flow.client.port);
            total.largest_port.add(flow.client.port);
            total.reused += u64::from(reused);
            total.fresh_silent += u64::from(silent && !reused);
            total.answered += u64::from(handshake.syn_ack_count > 0);
        }
        let met = match handshake.challenge {
            Some(_) => Met::Collision,
            None if silent && reused && flow.watched_until - first.time > Span::secs(1) => Met::Silent,
            None => return,
        };
        let Some(case) = book.case((flow.server, met)) else { return };
        let last = handshake.syn_acks.first().copied().unwrap_or(flow.last);
        case.flow(flow, [first, last]);
        case.failed += 1;
        case.lost += last.time - first.time;
        case.show((first.time - last.time).0, flow.id, || evidence(tcp));
    }

    fn judge(
        &self,
        (server, met): &Self::Key,
        case: &Case<()>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Met>> {
        let total = book.total(server).1.cloned().unwrap_or_default();
        let unfounded = case.failed < self.silent || total.fresh_silent > 0 || total.answered == 0;
        if *met == Met::Silent && unfounded {
            return None;
        }
        let attempts = plural(case.failed, "connection attempt");
        let ports = match (total.clients.only(), total.ports.count()) {
            (Some(client), ports) if ports < case.total => format!(
                " The {} of {client} shared {}{} between {} and {}.",
                plural(case.total, "attempt"),
                if total.ports.is_full() { "at least " } else { "" },
                plural(ports, "port"),
                total.least_port.get(),
                total.largest_port.get(),
            ),
            _ => String::new(),
        };
        let (title, what) = match met {
            Met::Collision => (
                format!("Connections to {server} meet earlier ones on the same ports"),
                "got an ACK of an earlier connection in answer to the SYN",
            ),
            Met::Silent => (
                format!("{server} answers no SYN on ports that were used before"),
                "on ports of an earlier connection got no answer; all others did",
            ),
        };
        let summary = format!(
            "{attempts} of {} {what}. The clients waited {} in all.{ports}",
            case.clients(),
            case.lost,
        );
        let felt = *met == Met::Silent || case.failed >= self.collisions;
        let severity = if felt { case.severity(case.failed).min(Severity::Warning) } else { Severity::Info };
        Some(Draft::new(*met, title, summary).severity(severity).count("reused_ports", total.reused))
    }
}

fn evidence(tcp: &TcpFlow) -> impl Iterator<Item = Evidence> {
    let handshake = &tcp.handshake;
    let syns = handshake.syns.iter().take(2).map(|at| Evidence::new(*at, Role::Syn, ""));
    let challenge = handshake.challenge.map(|at| Evidence::new(at, Role::Ack, "of an earlier connection"));
    let resets = tcp.resets.iter().map(|reset| Evidence::new(reset.at, Role::Reset, "the client's answer"));
    let opened = handshake.syn_acks.first().map(|at| Evidence::new(*at, Role::SynAck, ""));
    syns.chain(challenge).chain(resets).chain(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Segment, Talk};

    const NAME: &str = PortReuse::RULE.name;

    /// A connection on `port`; the client closes.
    fn first(lab: &mut Lab, port: u16, at: u64) -> Talk {
        let mut talk = lab.talk(7, (9, 8095), at, [30, 1_500]);
        talk.ends[CLIENT].port = port;
        lab.http(&mut talk, 300);
        talk.close(&mut lab.capture);
        talk
    }

    /// The same ports again after a second.
    fn again(talk: &Talk) -> Talk {
        let mut new = talk.clone();
        new.wait(1_000_000);
        new.ends[CLIENT].next = new.ends[CLIENT].next.wrapping_sub(300_000);
        new.ends[SERVER].next = new.ends[SERVER].next.wrapping_add(700_000);
        new
    }

    fn collides(lab: &mut Lab, port: u16, at: u64) {
        let old = first(lab, port, at);
        let mut new = again(&old);
        let syn = new.segment(CLIENT, SYN, b"");
        new.record(&mut lab.capture, &syn);
        new.turn(CLIENT);
        let [client, server] = [old.ends[CLIENT].next, old.ends[SERVER].next];
        let challenge = Segment { seq: server, ack: client, ..new.segment(SERVER, ACK, b"") };
        new.record(&mut lab.capture, &challenge);
        new.turn(SERVER);
        let reset = Segment { seq: client, ..new.segment(CLIENT, RST, b"") };
        new.record(&mut lab.capture, &reset);
    }

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("port_reuse", "collision", Severity::Warning),
                ("blind_port_reuse", "collision", Severity::Info),
            ],
        );
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy_resets", "missing_syn_ack_silent", "connection_refused_port"]);
    }

    #[test]
    fn the_ports_are_counted() {
        let findings = in_traffic(NAME, |lab| {
            (0..8).for_each(|number| collides(lab, 40_000 + number % 4, 10 + 9_000 * u64::from(number)));
        });
        let finding = one(&findings, "collision", Severity::Warning);
        assert!(finding.summary.contains("4 ports between 40000 and 40003"), "{}", finding.summary);
    }

    #[test]
    fn a_client_that_restarts_is_information() {
        let findings = in_traffic(NAME, |lab| (0..2).for_each(|number| collides(lab, 50_000 + number, 10)));
        one(&findings, "collision", Severity::Info);
    }

    #[test]
    fn used_ports_without_an_answer_are_a_warning() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let old = first(lab, 40_000 + number, 10 + 400 * u64::from(number));
                let mut new = again(&old);
                let syn = new.segment(CLIENT, SYN, b"");
                for wait in [1_000_000, 2_000_000, 4_000_000] {
                    new.record(&mut lab.capture, &syn);
                    new.wait(wait);
                }
            }
        });
        assert_eq!(one(&findings, "silent", Severity::Warning).impact.failed_transactions, 4);
    }

    /// The service answers nobody any more: the ports do not matter.
    #[test]
    fn a_service_that_is_gone_is_no_matter_of_ports() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let old = first(lab, 40_000 + number, 10 + 400 * u64::from(number));
                for mut new in [again(&old), lab.talk(7, (9, 8095), 5_000, [30, 1_500])] {
                    let syn = new.segment(CLIENT, SYN, b"");
                    for wait in [1_000_000, 2_000_000, 4_000_000] {
                        new.record(&mut lab.capture, &syn);
                        new.wait(wait);
                    }
                }
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_port_that_is_used_again_in_order_is_nothing() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..6 {
                let old = first(lab, 40_000 + number, 10 + 400 * u64::from(number));
                let mut new = again(&old);
                lab.http(&mut new, 300);
                new.close(&mut lab.capture);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
