//! # What it finds
//! Connections that were asked for and not opened although nothing refused them: no answer, an answer that did not arrive,
//! or one that came only after the client had to ask again.
//!
//! # Why it matters
//! A client waits 1, 3, 7 ... seconds, up to two minutes, before it gives up; users see a hang, not an error.
//!
//! # How it decides
//! `silent`: SYNs without SYN-ACK, RST or ICMP error, the capture going on for at least `patience` after the last of them.
//! `lost_return`: SYN-ACKs were seen, and the client repeated its SYN all the same. `ack_lost`: the server went on repeating
//! its SYN-ACK after the client's ACK. `late`: answered after a repeat, at least `late` after the first SYN.
//!
//! # What it leaves alone
//! Refused and unreachable connections, which are answers; connections whose later packets show that the SYN-ACK existed;
//! attempts to a service that the same client reached over the other address family within two seconds (RFC 8305).
//!
//! # What it does not claim
//! Which device dropped the packets, or that any did: the capture shows what passed it and nothing else.
//!
//! # References
//! RFC 9293 section 3.10.7; RFC 6298 section 2; RFC 8305; FIELD C6.

use std::net::IpAddr;

use crate::detect::finding::counts;
use crate::detect::gate::{Obstacle, Obstacles};
use crate::detect::group::{Distinct, Exhibits, Groups, Merge, Seen, exhibit, plural};
use crate::detect::*;
use crate::flow::{Endpoint, HandshakeOutcome};
use crate::time::Span;

type Key = (Endpoint, &'static str);

#[derive(Clone, Debug, Default)]
struct Attempts {
    flows: u64,
    syns: u64,
    waited: Span,
    clients: Distinct<IpAddr>,
    seen: Seen,
    exhibits: Exhibits,
    obstacles: Obstacles,
}

impl Merge for Attempts {
    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.syns += other.syns;
        self.waited += other.waited;
        self.clients.merge(other.clients);
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
        self.obstacles.merge(other.obstacles);
    }
}

/// Counts connection attempts by service and outcome.
#[derive(Debug)]
pub(super) struct MissingSynAck {
    patience: Span,
    late: Span,
    assessed: u64,
    too_late: u64,
    midstream: u64,
    opened: Groups<Endpoint, u64>,
    attempts: Groups<Key, Attempts>,
}

impl Detector for MissingSynAck {
    const RULE: Rule = Rule {
        name: "missing_syn_ack",
        group: "tcp",
        summary: "connections that were asked for and neither opened nor refused in time",
        variants: &["silent", "lost_return", "ack_lost", "late"],
        thresholds: &[
            Threshold {
                key: "patience",
                default: 1.0,
                unit: "s",
                meaning: "how long the capture must go on after the last SYN for silence to mean something",
                source: "RFC 6298 section 2.1: the initial retransmission time-out",
            },
            Threshold {
                key: "late",
                default: 1.0,
                unit: "s",
                meaning: "connect time with at least one repeated SYN, from which it is late",
                source: "RFC 6298 section 2.1: one repeat of the SYN",
            },
        ],
        source: include_str!("missing_syn_ack.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            patience: settings.span("patience"),
            late: settings.span("late"),
            assessed: 0,
            too_late: 0,
            midstream: 0,
            opened: Groups::new(Groups::<Endpoint, u64>::MOST * 4),
            attempts: Groups::new(Groups::<Key, Attempts>::MOST),
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        let handshake = &tcp.handshake;
        let Some((first, last)) = handshake.syns.first().zip(handshake.syns.last()) else {
            self.midstream += 1;
            return;
        };
        let waited = handshake.connect_time.unwrap_or(last.time - first.time);
        let variant = match handshake.outcome {
            HandshakeOutcome::Silent if flow.watched_until - last.time < self.patience => {
                self.too_late += 1;
                return;
            }
            HandshakeOutcome::Silent => "silent",
            HandshakeOutcome::ReplyLost => "lost_return",
            HandshakeOutcome::AckLost => "ack_lost",
            HandshakeOutcome::Established if handshake.syn_count > 1 && waited >= self.late => "late",
            _ => "",
        };
        self.assessed += 1;
        if handshake.outcome == HandshakeOutcome::Established && let Some(count) = self.opened.observe(flow.server) {
            *count += 1;
        }
        if variant.is_empty() {
            return;
        }
        let Some(attempts) = self.attempts.observe((flow.server, variant)) else { return };
        attempts.flows += 1;
        attempts.syns += u64::from(handshake.syn_count);
        attempts.waited += waited;
        attempts.clients.add(flow.client.address);
        attempts.seen.add(first.time);
        attempts.seen.add(flow.last.time);
        attempts.obstacles.add(flow);
        attempts.exhibits.add(-waited.0, flow.id, || {
            let syns = handshake.syns.iter().map(|syn| exhibit(*syn, "syn", format!("{} after the first", syn.time - first.time)));
            let replies = handshake.syn_acks.iter().map(|reply| exhibit(*reply, "syn_ack", format!("{} after the first syn", reply.time - first.time)));
            syns.chain(replies).collect()
        });
    }

    fn merge(&mut self, other: Self) {
        self.assessed += other.assessed;
        self.too_late += other.too_late;
        self.midstream += other.midstream;
        self.opened.merge(other.opened);
        self.attempts.merge(other.attempts);
    }

    fn finish(self, context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.assessed, unit: "flows", ..Verdict::default() };
        verdict.skip(&Self::RULE, "the capture ended too soon after the syn", self.too_late, "flows");
        verdict.skip(&Self::RULE, "began before the capture", self.midstream, "flows");
        verdict.skip(&Self::RULE, "more services than are kept apart", self.attempts.lost(), "flows");
        for ((server, variant), attempts) in self.attempts.iter() {
            verdict.findings.push(self.finding(context, *server, variant, attempts));
        }
        verdict
    }
}

impl MissingSynAck {
    fn finding(&self, context: &Context<'_>, server: Endpoint, variant: &'static str, attempts: &Attempts) -> Finding {
        let opened = self.opened.get(&server).copied().unwrap_or(0);
        let tried = plural(attempts.flows, "connection");
        let (title, shown) = match variant {
            "silent" => (format!("No answer to SYN from {server}"), "got no answer of any kind at this capture point"),
            "lost_return" => (format!("SYN-ACKs of {server} do not reach the client"), "were answered, and the client went on asking"),
            "ack_lost" => (format!("{server} does not see the end of the handshake"), "were acknowledged, and the server went on repeating its SYN-ACK"),
            _ => (format!("{server} answers a SYN only after a repeat"), "opened only after at least one repeated SYN"),
        };
        let icmp = match context.totals.icmp_packets {
            0 => "no icmp packet was captured".to_owned(),
            count => format!("{} captured, none quotes these SYNs", plural(count, "icmp packet")),
        };
        let severity = if variant == "late" { Severity::Warning } else { Severity::Critical };
        Finding {
            title,
            summary: format!(
                "{tried} to {server} from {} {shown} ({}, {} waited in all). {opened} others to it opened; {icmp}.",
                attempts.clients.of("client"),
                plural(attempts.syns, "SYN"),
                attempts.waited,
            ),
            subject: Subject {
                client: attempts.clients.only().map(ToString::to_string),
                server: Some(server.address.to_string()),
                port: Some(server.port),
                protocol: Some("tcp"),
                ..Subject::default()
            },
            first_seen: attempts.seen.first(),
            last_seen: attempts.seen.last(),
            counts: counts(&[("attempts", attempts.flows), ("syns", attempts.syns), ("opened", opened)]),
            impact: Impact {
                seconds_lost: attempts.waited,
                failed_transactions: if variant == "late" { 0 } else { attempts.flows },
                of_transactions: attempts.flows + opened,
                clients: attempts.clients.count(),
                services: 1,
            },
            evidence: attempts.exhibits.evidence(),
            alternatives: match variant {
                "silent" => vec![
                    "a filter drops the SYN or its answer",
                    "no route, or no neighbour, beyond the capture point",
                    "the host is down, or its accept queue is full",
                    "the answer takes another path than this capture point",
                ],
                "late" => vec!["single packets are lost", "the accept queue is full at times"],
                _ => vec!["packets in one direction are dropped behind the capture point", "a stateful device saw one direction only"],
            },
            next_steps: vec!["capture at the server at the same time: does the SYN arrive, does an answer leave?", "try another port and another client"],
            not_claimed: vec!["which device drops the packets", "that the service is down"],
            ..Finding::draft(&Self::RULE, variant, severity, Confidence::Confirmed)
        }
        .gated(attempts.obstacles.gates(context, &[Obstacle::Drops]))
    }
}
