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
//! an IPv6 attempt that was given up because an IPv4 one of the same link address and port opened meanwhile (RFC 8305); a port
//! that was still in use by an earlier connection; many services asked by one client or of one host, which are one finding: for information when they are many ports of few hosts or when
//! the client does not insist, as a scan does.
//!
//! # What it does not claim
//! Which device dropped the packets, or that any did: the capture shows what passed it and nothing else.
//!
//! # References
//! RFC 9293 section 3.10.7; RFC 6298 section 2; FIELD C6, C8.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::dissect::Direction;
use crate::detect::finding::counts;
use crate::detect::gate::{Obstacle, Obstacles};
use crate::detect::group::{Distinct, EvidenceSample, Groups, Merge, Seen, exhibit, plural};
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
    exhibits: EvidenceSample,
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

/// Many silent services that one client asked, or of one host.
#[derive(Default)]
struct Sweep {
    services: u64,
    hosts: Distinct<IpAddr>,
    attempts: Attempts,
}

/// An IPv6 SYN that was neither answered nor repeated: perhaps the loser of a race with IPv4.
#[derive(Clone, Debug, Default)]
struct Racer {
    server: Option<Endpoint>,
    client: [u8; 6],
    second: i64,
    attempts: Attempts,
}

impl Merge for Racer {
    fn merge(&mut self, other: Self) {
        // Keys are flows: nothing is ever counted twice under one.
        *self = other;
    }
}

impl Racer {
    /// A connection attempt races for two seconds at most (RFC 8305 section 5, the longest attempt delay).
    const SECONDS: i64 = 2;
}

/// Who opened an IPv4 connection, to which port, in which second.
type Winner = ([u8; 6], u16, i64);

/// Counts connection attempts by service and outcome.
#[derive(Debug)]
pub(super) struct MissingSynAck {
    patience: Span,
    late: Span,
    sweep: u64,
    assessed: u64,
    too_late: u64,
    midstream: u64,
    /// Connections that opened although their SYN-ACK is not in the capture.
    unseen: u64,
    opened: Groups<Endpoint, u64>,
    racers: Groups<u64, Racer>,
    winners: Groups<Winner, u64>,
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
            Threshold {
                key: "sweep",
                default: 15.0,
                unit: "services",
                meaning: "silent services that one client alone asked, or of one host, from which they are one finding",
                source: "Zeek's scan policy, 15 ports",
            },
        ],
        source: include_str!("missing_syn_ack.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            patience: settings.span("patience"),
            late: settings.span("late"),
            sweep: settings.count("sweep"),
            assessed: 0,
            too_late: 0,
            midstream: 0,
            unseen: 0,
            racers: Groups::new(Groups::<u64, Racer>::MOST * 4),
            winners: Groups::new(Groups::<Winner, u64>::MOST * 16),
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
            HandshakeOutcome::Established if handshake.challenge.is_some() => "",
            HandshakeOutcome::Established if handshake.syn_count > 1 && waited >= self.late => "late",
            _ => "",
        };
        self.assessed += 1;
        let opened = matches!(handshake.outcome, HandshakeOutcome::Established | HandshakeOutcome::ReplyUnseen);
        self.unseen += u64::from(handshake.outcome == HandshakeOutcome::ReplyUnseen);
        let link = flow.half(Direction::ToServer).links.first().map_or([0; 6], |link| link.source);
        let second = first.time.0.div_euclid(1_000_000_000);
        if opened {
            self.opened.observe(flow.server).into_iter().for_each(|count| *count += 1);
            if flow.client.address.is_ipv4() {
                self.winners.observe((link, flow.server.port, second));
            }
        }
        let attempts = if variant.is_empty() {
            return;
        } else if variant == "silent" && handshake.syn_count == 1 && flow.client.address.is_ipv6() {
            let Some(racer) = self.racers.observe(flow.id) else { return };
            (racer.server, racer.client, racer.second) = (Some(flow.server), link, second);
            &mut racer.attempts
        } else {
            let Some(attempts) = self.attempts.observe((flow.server, variant)) else { return };
            attempts
        };
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
        self.unseen += other.unseen;
        self.racers.merge(other.racers);
        self.winners.merge(other.winners);
        self.opened.merge(other.opened);
        self.attempts.merge(other.attempts);
    }

    fn finish(mut self, context: &Context<'_>) -> Verdict {
        let raced = self.end_races();
        let mut verdict = Verdict { assessed: self.assessed, unit: "flows", ..Verdict::default() };
        verdict.skip(&Self::RULE, "the capture ended too soon after the syn", self.too_late, "flows");
        verdict.skip(&Self::RULE, "began before the capture", self.midstream, "flows");
        verdict.skip(&Self::RULE, "ipv6 attempts that an ipv4 connection overtook", raced, "flows");
        let lost = self.attempts.lost() + self.racers.lost();
        verdict.skip(&Self::RULE, "more services than are kept apart", lost, "flows");
        let (silent, other): (Vec<_>, Vec<_>) =
            self.attempts.iter().partition(|((_, variant), _)| *variant == "silent");
        let (asked_by, rest) = self.sweeps(silent, |_, attempts| attempts.clients.only().copied());
        let (on_host, rest) = self.sweeps(rest, |server, _| Some(server.address));
        verdict.findings.extend(other.into_iter().chain(rest).map(|((server, variant), attempts)| {
            self.finding(context, *server, variant, attempts)
        }));
        verdict.findings.extend(asked_by.iter().map(|(client, sweep)| sweep.asked_by(*client)));
        verdict.findings.extend(on_host.iter().map(|(server, sweep)| sweep.on_host(*server)));
        verdict
    }
}

impl MissingSynAck {
    /// Counts the IPv6 attempts that no IPv4 connection overtook as silent; returns how many were overtaken.
    fn end_races(&mut self) -> u64 {
        let mut overtaken = 0;
        for (_, racer) in self.racers.iter() {
            let Some(server) = racer.server else { continue };
            let won = (racer.second..=racer.second + Racer::SECONDS)
                .any(|second| self.winners.get(&(racer.client, server.port, second)).is_some());
            if won {
                overtaken += 1;
            } else if let Some(attempts) = self.attempts.observe((server, "silent")) {
                attempts.merge(racer.attempts.clone());
            }
        }
        overtaken
    }

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
        // One SYN that nobody repeated, or one failure among many successes, is no outage.
        let outage = attempts.flows >= opened && attempts.syns >= 3;
        let severity = if variant == "late" || !outage { Severity::Warning } else { Severity::Critical };
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
        .gated(self.gates(context, attempts, variant))
    }
}

type Group<'a> = (&'a Key, &'a Attempts);

impl MissingSynAck {
    /// Takes together what has the same address by `of`, where it is enough for a sweep; the second part is the rest.
    fn sweeps<'a>(
        &self,
        silent: Vec<Group<'a>>,
        of: impl Fn(&Endpoint, &Attempts) -> Option<IpAddr>,
    ) -> (BTreeMap<IpAddr, Sweep>, Vec<Group<'a>>) {
        let mut sweeps: BTreeMap<IpAddr, Sweep> = BTreeMap::new();
        for ((server, _), attempts) in &silent {
            if let Some(address) = of(server, attempts) {
                sweeps.entry(address).or_default().add(*server, attempts);
            }
        }
        sweeps.retain(|_, sweep| sweep.services >= self.sweep);
        let swept = |server: &Endpoint, attempts: &Attempts| {
            of(server, attempts).is_some_and(|address| sweeps.contains_key(&address))
        };
        let rest = silent.into_iter().filter(|((server, _), attempts)| !swept(server, attempts)).collect();
        (sweeps, rest)
    }

    /// Where connections open without a SYN-ACK in the capture, one that is missing says little.
    fn gates(&self, context: &Context<'_>, attempts: &Attempts, variant: &str) -> Vec<Gate> {
        let mut gates = attempts.obstacles.gates(context, &[Obstacle::Drops]);
        let opened: u64 = self.opened.iter().map(|(_, count)| count).sum();
        if variant == "silent" && self.unseen * 10 > opened {
            gates.push(Gate {
                name: "asymmetric_flow",
                prevents: format!(
                    "{} of {} opened although their SYN-ACK is not in the capture: answers can be missing here",
                    self.unseen,
                    plural(opened, "connection"),
                ),
                recapture: "capture where both directions pass: at one of the hosts, or with both directions mirrored",
            });
        }
        gates
    }
}

impl Sweep {
    fn add(&mut self, server: Endpoint, attempts: &Attempts) {
        self.services += 1;
        self.hosts.add(server.address);
        self.attempts.merge(attempts.clone());
    }

    /// One client asks many services: many ports of few hosts are nobody's daily work.
    fn asked_by(&self, client: IpAddr) -> Finding {
        let scan = !self.insists() || self.services >= 5 * self.hosts.count();
        Finding {
            title: format!("{} on {} do not answer {client}", plural(self.services, "service"), self.hosts.of("host")),
            alternatives: match scan {
                true => vec!["a port scan or an inventory", "a peer-to-peer application with stale peers"],
                false => vec!["the client's way out is broken", "a filter drops what the client sends"],
            },
            next_steps: vec!["ask who runs the client", "capture one hop further, to see how far the SYNs come"],
            ..self.finding(scan)
        }
    }

    /// Several clients ask many services of one host.
    fn on_host(&self, server: IpAddr) -> Finding {
        let scan = !self.insists();
        let finding = self.finding(scan);
        let clients = self.attempts.clients.of("client");
        Finding {
            title: format!("{} on {server} do not answer {clients}", plural(self.services, "service")),
            subject: Subject { server: Some(server.to_string()), ..finding.subject.clone() },
            alternatives: match scan {
                true => vec!["a port scan or an inventory from several addresses", "the host drops what it does not serve"],
                false => vec!["the host is down or cut off", "a filter drops what is sent to it"],
            },
            next_steps: vec!["ask for the state of the host", "capture at the host at the same time"],
            ..finding
        }
    }

    /// Linux and Windows send three SYNs and more before they give up.
    fn insists(&self) -> bool {
        self.attempts.syns >= 3 * self.attempts.flows
    }

    fn finding(&self, scan: bool) -> Finding {
        let attempts = &self.attempts;
        let severity = if scan { Severity::Info } else { Severity::Critical };
        let how = if scan { ", as a scan does" } else { "" };
        Finding {
            summary: format!(
                "{}, {} and {} waited in all{how}. No answer of any kind was seen at this capture point.",
                plural(attempts.flows, "connection attempt"),
                plural(attempts.syns, "SYN"),
                attempts.waited,
            ),
            subject: Subject {
                client: attempts.clients.only().map(ToString::to_string),
                protocol: Some("tcp"),
                ..Subject::default()
            },
            first_seen: attempts.seen.first(),
            last_seen: attempts.seen.last(),
            counts: counts(&[
                ("services", self.services),
                ("hosts", self.hosts.count()),
                ("attempts", attempts.flows),
                ("syns", attempts.syns),
            ]),
            impact: Impact {
                seconds_lost: if scan { Span::ZERO } else { attempts.waited },
                failed_transactions: if scan { 0 } else { attempts.flows },
                of_transactions: attempts.flows,
                clients: attempts.clients.count(),
                services: self.services,
            },
            evidence: attempts.exhibits.evidence(),
            not_claimed: vec!["hostile intent", "which device drops the packets"],
            ..Finding::draft(&MissingSynAck::RULE, "silent", severity, Confidence::Likely)
        }
    }
}
