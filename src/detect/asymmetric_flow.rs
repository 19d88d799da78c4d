//! # What it finds
//! Conversations whose two directions do not take the same way, as far as the capture can show it.
//!
//! # Why it matters
//! Stateful devices drop what they see one half of; and an analysis that sees one half only must not judge the other.
//!
//! # How it decides
//! `visibility`: packets of one direction only, whose acknowledgements advance or whose SYN-ACKs answer: the other direction exists
//! and does not pass this capture point. `state`: the handshake passed here, and the server went on repeating its SYN-ACK while the
//! client's data was never acknowledged. `loss`: one direction lost at least `factor` times as many segments as the other
//! and at least `least`, the other carrying at least half as many.
//!
//! # What it leaves alone
//! One-way conversations whose acknowledgements stand still, which is silence (see `missing_syn_ack`); unequal numbers of bytes.
//!
//! # What it does not claim
//! Routing; that a device holds state.
//!
//! # References
//! Zeek `possible_split_routing`; pcaptriage R08; FIELD C13.

use std::net::IpAddr;

use crate::app::Direction;
use crate::detect::finding::counts;
use crate::detect::gate::{Obstacle, Obstacles};
use crate::detect::group::{Distinct, Exhibits, Groups, Merge, Seen, exhibit, plural};
use crate::detect::*;
use crate::flow::{Endpoint, HandshakeOutcome};

type Key = (Endpoint, &'static str, Option<Direction>);

#[derive(Clone, Debug, Default)]
struct Uneven {
    flows: u64,
    losses: [u64; 2],
    segments: [u64; 2],
    clients: Distinct<IpAddr>,
    seen: Seen,
    exhibits: Exhibits,
    obstacles: Obstacles,
}

impl Merge for Uneven {
    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.losses[0] += other.losses[0];
        self.losses[1] += other.losses[1];
        self.segments[0] += other.segments[0];
        self.segments[1] += other.segments[1];
        self.clients.merge(other.clients);
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
        self.obstacles.merge(other.obstacles);
    }
}

/// Counts conversations by how their directions differ.
#[derive(Debug)]
pub(super) struct AsymmetricFlow {
    factor: u64,
    least: u64,
    assessed: u64,
    silent: u64,
    found: Groups<Key, Uneven>,
}

impl Detector for AsymmetricFlow {
    const RULE: Rule = Rule {
        name: "asymmetric_flow",
        group: "path",
        summary: "conversations whose directions do not take the same way",
        variants: &["visibility", "state", "loss"],
        thresholds: &[
            Threshold {
                key: "factor",
                default: 5.0,
                unit: "times",
                meaning: "losses of one direction against the other",
                source: "pcaptriage R08, 5 times",
            },
            Threshold {
                key: "least",
                default: 20.0,
                unit: "segments",
                meaning: "losses in the worse direction",
                source: "pcaptriage R08, 20",
            },
        ],
        source: include_str!("asymmetric_flow.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            factor: settings.count("factor"),
            least: settings.count("least"),
            assessed: 0,
            silent: 0,
            found: Groups::new(Groups::<Key, Uneven>::MOST * 4),
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        let one_way = [Direction::ToServer, Direction::ToClient]
            .into_iter()
            .find(|direction| flow.half(*direction).packets > 0 && flow.half(direction.reverse()).packets == 0);
        if let Some(direction) = one_way {
            // What it acknowledges is the other side's data: that moved, so the other side is there.
            let advanced = tcp.side(direction.reverse()).acked_progress > 0;
            let answers = direction == Direction::ToClient && tcp.handshake.syn_ack_count > 0;
            if !advanced && !answers {
                self.silent += 1;
                return;
            }
            self.assessed += 1;
            self.count(flow, "visibility", Some(direction), |uneven| {
                let half = flow.half(direction);
                let ends = half.first.into_iter().chain(half.last);
                uneven.exhibits.add(0, flow.id, || ends.map(|at| exhibit(at, "one_way", "acknowledges packets that are not in the capture")).collect());
            });
            return;
        }
        self.assessed += 1;
        let handshake = &tcp.handshake;
        if handshake.outcome == HandshakeOutcome::AckLost && tcp.side(Direction::ToServer).data_segments > 0 {
            self.count(flow, "state", None, |uneven| {
                uneven.exhibits.add(0, flow.id, || {
                    let replies = handshake.syn_acks.iter().map(|at| exhibit(*at, "syn_ack", "the server asks again"));
                    let ack = handshake.ack.map(|at| exhibit(at, "ack", "the client's answer passed here"));
                    replies.chain(ack).collect()
                });
            });
        }
        let losses = [Direction::ToServer, Direction::ToClient].map(|direction| {
            let counts = &tcp.side(direction).retransmissions;
            counts.lost_before + counts.lost_after
        });
        let segments = [0, 1].map(|index: usize| tcp.sides[index].data_segments);
        if losses[0] + losses[1] > 0 {
            self.count(flow, "loss", None, |uneven| {
                uneven.losses[0] += losses[0];
                uneven.losses[1] += losses[1];
                uneven.segments[0] += segments[0];
                uneven.segments[1] += segments[1];
                let repeats = tcp.events.iter().filter(|event| event.kind.is_data_retransmission());
                uneven.exhibits.add(-((losses[0] + losses[1]) as i64), flow.id, || {
                    repeats.take(6).map(|event| exhibit(event.at, "retransmission", event.kind.name())).collect()
                });
            });
        }
    }

    fn merge(&mut self, other: Self) {
        self.assessed += other.assessed;
        self.silent += other.silent;
        self.found.merge(other.found);
    }

    fn finish(self, context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.assessed, unit: "flows", ..Verdict::default() };
        verdict.skip(&Self::RULE, "one direction only, and nothing shows that the other exists", self.silent, "flows");
        verdict.skip(&Self::RULE, "more services than are kept apart", self.found.lost(), "flows");
        for ((server, variant, direction), uneven) in self.found.iter() {
            let [there, back] = uneven.losses;
            let (most, least) = (there.max(back), there.min(back));
            let [worse, better] = if there >= back { uneven.segments } else { [uneven.segments[1], uneven.segments[0]] };
            // A direction that carries next to no data has next to nothing to lose.
            let comparable = 2 * better >= worse;
            if *variant == "loss" && (!comparable || most < self.least || most < self.factor * least) {
                continue;
            }
            verdict.findings.push(finding(context, *server, variant, *direction, uneven));
        }
        verdict
    }
}

impl AsymmetricFlow {
    fn count(&mut self, flow: &Flow, variant: &'static str, direction: Option<Direction>, add: impl FnOnce(&mut Uneven)) {
        let Some(uneven) = self.found.observe((flow.server, variant, direction)) else { return };
        uneven.flows += 1;
        uneven.clients.add(flow.client.address);
        uneven.seen.add(flow.first.time);
        uneven.seen.add(flow.last.time);
        uneven.obstacles.add(flow);
        add(uneven);
    }
}

fn finding(context: &Context<'_>, server: Endpoint, variant: &'static str, direction: Option<Direction>, uneven: &Uneven) -> Finding {
    let flows = plural(uneven.flows, "connection");
    let [there, back] = uneven.losses;
    let (severity, confidence, title, summary) = match variant {
        "visibility" => {
            let side = if direction == Some(Direction::ToServer) { "clients" } else { "server" };
            let title = format!("Only the {side}' packets of {server} pass this capture point").replace("server'", "server's");
            let summary = format!("{flows} show one direction only, and its acknowledgements advance: the other direction exists and was not captured.");
            (Severity::Info, Confidence::Confirmed, title, summary)
        }
        "state" => (
            Severity::Critical,
            Confidence::Likely,
            format!("{server} does not see what its clients send after the SYN"),
            format!("In {flows} the handshake passed this capture point, the server went on repeating its SYN-ACK, and no data of the client was acknowledged."),
        ),
        // What the losses cost is `retransmission`'s to say; that they are one-sided is where to look.
        _ => (
            Severity::Info,
            Confidence::Likely,
            format!("Packets of one direction are lost on the way between {server} and its clients"),
            format!("In {flows} {there} segments to the server and {back} to the client were lost."),
        ),
    };
    Finding {
        title,
        summary,
        subject: Subject {
            client: uneven.clients.only().map(ToString::to_string),
            server: Some(server.address.to_string()),
            port: Some(server.port),
            protocol: Some("tcp"),
            direction,
            ..Subject::default()
        },
        first_seen: uneven.seen.first(),
        last_seen: uneven.seen.last(),
        counts: counts(&[("connections", uneven.flows), ("lost_to_server", there), ("lost_to_client", back)]),
        impact: Impact {
            failed_transactions: if variant == "state" { uneven.flows } else { 0 },
            of_transactions: uneven.flows,
            clients: uneven.clients.count(),
            services: 1,
            ..Impact::default()
        },
        evidence: uneven.exhibits.evidence(),
        alternatives: match variant {
            "visibility" => vec!["a mirror port copies one direction only", "the answer takes another path"],
            "state" => vec!["a device behind the capture point drops packets of connections whose SYN-ACK it did not see", "the server's accept queue is full"],
            _ => vec!["one direction of a link or path is overloaded or faulty"],
        },
        next_steps: vec!["capture at both hosts at the same time", "compare link addresses, VLANs and TTLs of both directions"],
        not_claimed: vec!["asymmetric routing", "that a device holds state"],
        ..Finding::draft(&AsymmetricFlow::RULE, variant, severity, confidence)
    }
    .gated(uneven.obstacles.gates(context, &[Obstacle::Drops, Obstacle::Missed]))
}
