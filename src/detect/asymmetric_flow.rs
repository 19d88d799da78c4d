//! # What it finds
//! Conversations whose two directions do not take the same way, as far as the capture can show it.
//!
//! # Why it matters
//! Stateful devices drop what they see one half of; and an analysis that sees one half only must not judge the other.
//!
//! # How it decides
//! `visibility`: packets of one direction only, whose acknowledgements advance or whose SYN-ACKs answer: the other direction exists
//! and does not pass this capture point. `state`: the handshake passed here, and the server went on repeating its SYN-ACK while the
//! client's data was never acknowledged. `path`: what comes back has a link address or VLAN that nothing is sent to, and those
//! connections fail while connections of the same service whose directions match do not. `loss`: one direction lost at least `factor` times as many segments as the other
//! and at least `least`, the other carrying at least half as many.
//!
//! # What it leaves alone
//! One-way conversations whose acknowledgements stand still, which is silence (see `missing_syn_ack`); unequal numbers of bytes;
//! other link addresses on the way back that do no harm, and those of virtual routers (VRRP, HSRP, GLBP), which answer from
//! their own.
//!
//! # What it does not claim
//! Routing; that a device holds state.
//!
//! # References
//! Zeek `possible_split_routing`; pcaptriage R08; FIELD C13.

use std::net::IpAddr;

use crate::dissect::Direction;
use crate::detect::finding::counts;
use crate::detect::gate::{Obstacle, Obstacles};
use crate::detect::group::{Distinct, EvidenceSample, Groups, Merge, Seen, exhibit, plural};
use crate::detect::*;
use crate::flow::{Endpoint, Half, HandshakeOutcome, LinkUse, TcpFlow};

type Key = (Endpoint, &'static str, Option<Direction>);

#[derive(Clone, Debug, Default)]
struct Uneven {
    flows: u64,
    losses: [u64; 2],
    segments: [u64; 2],
    /// Connections with another way back, and those with the same: failed, all.
    detours: [u64; 2],
    matching: [u64; 2],
    clients: Distinct<IpAddr>,
    seen: Seen,
    exhibits: EvidenceSample,
    obstacles: Obstacles,
}

impl Merge for Uneven {
    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.losses[0] += other.losses[0];
        self.losses[1] += other.losses[1];
        self.segments[0] += other.segments[0];
        self.segments[1] += other.segments[1];
        for index in [0, 1] {
            self.detours[index] += other.detours[index];
            self.matching[index] += other.matching[index];
        }
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
        variants: &["visibility", "state", "path", "loss"],
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
        if let Some((there, back)) = ways(flow) {
            let detour = !there.iter().any(|way| back.contains(way));
            let failed = u64::from(has_failed(tcp));
            self.count(flow, "path", None, |uneven| {
                let counted = if detour { &mut uneven.detours } else { &mut uneven.matching };
                counted[0] += failed;
                counted[1] += 1;
                if detour {
                    uneven.exhibits.add(0, flow.id, || [Direction::ToServer, Direction::ToClient].into_iter().flat_map(|direction| flow.half(direction).links.first().map(|link| shown(direction, link))).collect());
                }
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
        for direction in [Direction::ToServer, Direction::ToClient] {
            let one_way = |(server, variant, way): &Key| {
                (*variant == "visibility" && *way == Some(direction)).then_some(*server)
            };
            let services: Vec<(Endpoint, &Uneven)> =
                self.found.iter().filter_map(|(key, uneven)| one_way(key).zip(Some(uneven))).collect();
            if services.len() < SERVICES {
                let each = services.iter();
                verdict.findings.extend(
                    each.map(|(server, uneven)| finding(context, *server, "visibility", Some(direction), uneven)),
                );
            } else {
                verdict.findings.push(one_way_capture(context, direction, &services));
            }
        }
        let judged = self.found.iter().filter(|((_, variant, _), _)| *variant != "visibility");
        for ((server, variant, direction), uneven) in judged {
            let [there, back] = uneven.losses;
            let (most, least) = (there.max(back), there.min(back));
            let [worse, better] = if there >= back { uneven.segments } else { [uneven.segments[1], uneven.segments[0]] };
            // A direction that carries next to no data has next to nothing to lose.
            let comparable = 2 * better >= worse;
            if *variant == "loss" && (!comparable || most < self.least || most < self.factor * least) {
                continue;
            }
            // Failing must come with the detour: every connection that takes it fails, and most that do not are well.
            let [failed, all] = uneven.detours;
            let [failed_matching, all_matching] = uneven.matching;
            let harmful = all > 0 && failed == all && all_matching > 0 && 2 * failed_matching < all_matching;
            if *variant == "path" && !harmful {
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

/// One-way services listed one by one; more are a property of the capture.
const SERVICES: usize = 8;

fn one_way_capture(context: &Context<'_>, direction: Direction, services: &[(Endpoint, &Uneven)]) -> Finding {
    let mut all = Uneven::default();
    services.iter().for_each(|(_, uneven)| all.merge((*uneven).clone()));
    let side = if direction == Direction::ToServer { "clients'" } else { "servers'" };
    let one = finding(context, services[0].0, "visibility", Some(direction), &all);
    Finding {
        title: format!("Only the {side} packets of {} pass this capture point", plural(services.len() as u64, "service")),
        subject: Subject { protocol: Some("tcp"), direction: Some(direction), ..Subject::default() },
        impact: Impact { services: services.len() as u64, ..one.impact },
        ..one
    }
}

/// The far ends of the ways there and back, as (link address, VLAN); `None` when the capture does not show both, or shows
/// packets at several points, or a virtual router's address is among them.
fn ways(flow: &Flow) -> Option<(Vec<Way>, Vec<Way>)> {
    let [there, back] = &flow.halves;
    let unclear = |half: &Half| half.copies > 0 || half.links.len() == LinkUse::MAX || half.links.is_empty();
    if unclear(there) || unclear(back) {
        return None;
    }
    let there: Vec<Way> = there.links.iter().map(|link| (link.destination, link.vlan)).collect();
    let back: Vec<Way> = back.links.iter().map(|link| (link.source, link.vlan)).collect();
    let known = |(address, _): &Way| *address != [0; 6] && !is_virtual(*address);
    (there.iter().all(known) && back.iter().all(known)).then_some((there, back))
}

type Way = ([u8; 6], u16);

/// Addresses of virtual routers: VRRP (RFC 9568 section 7.3), HSRP versions 1 and 2, GLBP.
fn is_virtual(address: [u8; 6]) -> bool {
    matches!(
        address,
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
            | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
            | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0x00, 0x05, 0x73, 0xa0..=0xaf, _, _]
            | [0x00, 0x07, 0xb4, _, _, _]
    )
}

/// It did not open, or was cut off, or data of the client was never acknowledged.
fn has_failed(tcp: &TcpFlow) -> bool {
    let opened = matches!(tcp.handshake.outcome, HandshakeOutcome::Established | HandshakeOutcome::Midstream);
    let unheard = tcp.side(Direction::ToServer).unique_bytes > 0 && tcp.side(Direction::ToServer).sizes.delivered == 0;
    !opened || unheard || tcp.resets.iter().any(|reset| reset.class.is_harmful())
}

fn shown(direction: Direction, link: &LinkUse) -> Evidence {
    let address = |bytes: [u8; 6]| bytes.map(|byte| format!("{byte:02x}")).join(":");
    let role = if direction == Direction::ToServer { "there" } else { "back" };
    exhibit(link.first, role, format!("from {} to {}, vlan {}", address(link.source), address(link.destination), link.vlan))
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
        "path" => (
            Severity::Warning,
            Confidence::Likely,
            format!("Connections to {server} fail when the answers come another way"),
            format!(
                "{} got their answers from a link address or VLAN that their packets are not sent to, and all of them failed; of {} with one way for both directions {} failed.",
                plural(uneven.detours[1], "connection"),
                uneven.matching[1],
                uneven.matching[0],
            ),
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
            failed_transactions: match variant {
                "state" => uneven.flows,
                "path" => uneven.detours[0],
                _ => 0,
            },
            of_transactions: uneven.flows,
            clients: uneven.clients.count(),
            services: 1,
            ..Impact::default()
        },
        evidence: uneven.exhibits.evidence(),
        alternatives: match variant {
            "visibility" => vec!["a mirror port copies one direction only", "the answer takes another path"],
            "path" => vec!["a stateful device on one of the ways sees half of each connection", "two devices share one address, and one of them is at fault"],
            "state" => vec!["a device behind the capture point drops packets of connections whose SYN-ACK it did not see", "the server's accept queue is full"],
            _ => vec!["one direction of a link or path is overloaded or faulty"],
        },
        next_steps: vec!["capture at both hosts at the same time", "compare link addresses, VLANs and TTLs of both directions"],
        not_claimed: vec!["asymmetric routing", "that a device holds state"],
        ..Finding::draft(&AsymmetricFlow::RULE, variant, severity, confidence)
    }
    .gated(uneven.obstacles.gates(context, &[Obstacle::Drops, Obstacle::Missed]))
}
