//! # What it finds
//! A direction of a connection in which datagrams above a size never arrive and smaller ones do, without the sender learning it.
//!
//! # Why it matters
//! The handshake and small requests work, so everything looks up; large ones hang until a time-out.
//!
//! # How it decides
//! All of these in one direction: the same bytes sent whole at least three times with don't-fragment (or IPv6) and never
//! acknowledged at that size; smaller datagrams that arrived, at least one of them sent after the first try; nothing of that
//! size or above ever acknowledged; both directions captured; no segmentation offload; the receive window open. Fewer than
//! `smaller` datagrams that arrived in all its connections make it possible only. It is confirmed when the bytes arrive at
//! last in smaller pieces, or when several connections show it.
//!
//! `silent`: no ICMP message named the size. `icmp_ignored`: one did, and the sender sent the same size again.
//! `receiver_view`: the capture stands behind the limit and sees what is left: a hole of whole segments that is never filled,
//! later and smaller segments behind it, the receiver asking for the hole, and not one full segment in that direction.
//!
//! # What it leaves alone
//! Path MTU discovery that works; random loss, where a datagram of the size arrives at last.
//!
//! # What it does not claim
//! That ICMP is filtered, or where; which tunnel is on the path.
//!
//! # References
//! RFC 1191, 8201, 2923, 4821; FIELD C10.

use std::net::IpAddr;

use crate::dissect::Direction;
use crate::detect::finding::counts;
use crate::detect::gate::{Obstacle, Obstacles};
use crate::detect::group::{Distinct, EvidenceSample, Groups, Merge, Seen, exhibit, plural};
use crate::detect::*;
use crate::flow::{Endpoint, EventKind, UndeliveredSegment};
use crate::time::Span;

/// Receivers that wait so long for a hole have outlasted fast recovery and the first time-outs (RFC 6298 section 2).
const RECOVERY: Span = Span::secs(3);

type Key = (Endpoint, Direction, &'static str);

/// Path MTUs of common encapsulations on a 1500-byte link (FIELD C10), largest first.
const OVERHEADS: &[(u32, &str)] = &[
    (1496, "compatible with a second VLAN tag (1496)"),
    (1492, "compatible with PPPoE (1492)"),
    (1480, "compatible with IP in IP or 6in4 (1480)"),
    (1476, "compatible with GRE (1476)"),
    (1464, "compatible with GTP-U (1464)"),
    (1460, "compatible with a cloud network (1460)"),
    (1450, "compatible with VXLAN (1450)"),
    (1420, "compatible with WireGuard (1420)"),
    (1400, "compatible with an IPsec or VPN tunnel (1400 to 1446)"),
];

#[derive(Clone, Debug, Default)]
struct Cliff {
    flows: u64,
    ranges: u64,
    tries: u64,
    /// Datagrams that arrived.
    arrived: u64,
    resolved: u64,
    /// Smallest size that failed, largest that arrived.
    failing: Option<u32>,
    passing: u32,
    stalled: Span,
    clients: Distinct<IpAddr>,
    seen: Seen,
    exhibits: EvidenceSample,
    obstacles: Obstacles,
}

impl Merge for Cliff {
    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.ranges += other.ranges;
        self.tries += other.tries;
        self.arrived += other.arrived;
        self.resolved += other.resolved;
        self.failing = self.failing.into_iter().chain(other.failing).min();
        self.passing = self.passing.max(other.passing);
        self.stalled += other.stalled;
        self.clients.merge(other.clients);
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
        self.obstacles.merge(other.obstacles);
    }
}

/// Counts ranges that never arrive at their size.
#[derive(Debug)]
pub(super) struct MtuBlackhole {
    smaller: u64,
    assessed: u64,
    one_way: u64,
    offload: u64,
    cliffs: Groups<Key, Cliff>,
}

impl Detector for MtuBlackhole {
    const RULE: Rule = Rule {
        name: "mtu_blackhole",
        group: "path",
        summary: "datagrams above a size never arrive and the sender is not told, or does not listen",
        variants: &["silent", "icmp_ignored", "receiver_view"],
        thresholds: &[Threshold {
            key: "smaller",
            default: 3.0,
            unit: "datagrams",
            meaning: "smaller ones that arrived, below which it is no more than possible",
            source: "FIELD C10: at least 3, or a path that died would do",
        }],
        source: include_str!("mtu_blackhole.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            smaller: settings.count("smaller"),
            assessed: 0,
            one_way: 0,
            offload: 0,
            cliffs: Groups::new(Groups::<Key, Cliff>::MOST),
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        if flow.is_one_way() {
            self.one_way += 1;
            return;
        }
        self.assessed += 1;
        for direction in [Direction::ToServer, Direction::ToClient] {
            let side = tcp.side(direction);
            let sizes = &side.sizes;
            if tcp.side(direction.reverse()).zero_window_time > Span::ZERO {
                continue;
            }
            // RFC 1191 section 3: the router that dropped the datagram names the size that would have passed.
            let told = |stuck: &UndeliveredSegment| {
                let last = stuck.frames.last().map_or(0, |at| at.packet);
                let names = |mtu: u32| mtu < stuck.ip_length;
                flow.icmp_errors.iter().find(|error| {
                    error.quoted == direction && error.icmp.mtu.is_some_and(names) && error.at.packet < last
                })
            };
            let stuck: Vec<&UndeliveredSegment> = sizes
                .stuck
                .iter()
                .filter(|stuck| {
                    stuck.dont_fragment
                        && !stuck.delivered_whole
                        && (stuck.smaller_delivered > 0 || told(stuck).is_some())
                        && sizes.largest_delivered < stuck.ip_length
                })
                .collect();
            let Some(first) = stuck.first() else {
                self.receiver_view(flow, direction);
                continue;
            };
            if side.super_frames > 0 {
                self.offload += 1;
                continue;
            }
            let told = told(first);
            let variant = if told.is_some() { "icmp_ignored" } else { "silent" };
            let Some(cliff) = self.cliffs.observe((flow.server, direction, variant)) else { continue };
            cliff.flows += 1;
            cliff.ranges += stuck.len() as u64;
            cliff.tries += stuck.iter().map(|stuck| u64::from(stuck.tries)).sum::<u64>();
            cliff.arrived += sizes.delivered;
            cliff.resolved += u64::from(stuck.iter().any(|stuck| stuck.resolved_with.is_some()));
            let failing = stuck.iter().map(|stuck| stuck.ip_length).min();
            cliff.failing = cliff.failing.into_iter().chain(failing).min();
            cliff.passing = cliff.passing.max(sizes.largest_delivered);
            cliff.stalled += stuck.iter().map(|stuck| stuck.stalled).max().unwrap_or(Span::ZERO);
            cliff.clients.add(flow.client.address);
            cliff.obstacles.add(flow);
            stuck.iter().flat_map(|stuck| &stuck.frames).for_each(|at| cliff.seen.add(at.time));
            cliff.exhibits.add(0, flow.id, || {
                let tries = first.frames.iter().map(|at| exhibit(*at, "too_big", format!("{} bytes of ip, df, seq {}", first.ip_length, first.seq.0)));
                let passed = first.smaller_frames.iter().take(3).map(|at| exhibit(*at, "arrived", format!("at most {} bytes of ip, acknowledged", first.largest_smaller)));
                let resolved = first.resolved_at.zip(first.resolved_with).map(|(at, size)| exhibit(at, "resolved", format!("the same bytes in pieces of at most {size} bytes")));
                let icmp = told.map(|error| exhibit(error.at, "icmp", format!("next-hop mtu {}", error.icmp.mtu.unwrap_or(0))));
                tries.chain(passed).chain(resolved).chain(icmp).collect()
            });
        }
    }

    fn merge(&mut self, other: Self) {
        self.assessed += other.assessed;
        self.one_way += other.one_way;
        self.offload += other.offload;
        self.cliffs.merge(other.cliffs);
    }

    fn finish(self, context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.assessed, unit: "flows", ..Verdict::default() };
        verdict.skip(&Self::RULE, "one direction only", self.one_way, "flows");
        verdict.skip(&Self::RULE, "segmentation offload: sizes on the wire are not known", self.offload, "flows");
        verdict.skip(&Self::RULE, "more services than are kept apart", self.cliffs.lost(), "flows");
        for ((server, direction, variant), cliff) in self.cliffs.iter() {
            verdict.findings.push(match *variant {
                "receiver_view" => receiver_view(context, *server, *direction, cliff),
                _ => self.finding(context, *server, *direction, variant, cliff),
            });
        }
        verdict
    }
}

impl MtuBlackhole {
/// Behind the limit: only what is missing shows.
fn receiver_view(&mut self, flow: &Flow, direction: Direction) {
    let Some(tcp) = &flow.tcp else { return };
    let (side, receiver) = (tcp.side(direction), tcp.side(direction.reverse()));
    let Some(mss) = side.mss.into_iter().chain(receiver.mss).min().map(u64::from) else { return };
    // RFC 6691: the timestamp option takes 12 bytes of the announced size.
    let whole = [mss, mss.saturating_sub(12)].into_iter().any(|full| full > 0 && side.hole_bytes % full == 0);
    let cut = u64::from(side.largest_payload) < mss.saturating_sub(12);
    let Some(hole) = tcp.events.iter().find(|event| event.kind == EventKind::Gap && event.direction == direction) else { return };
    let waited = flow.watched_until.min(flow.last.time) - hole.at.time;
    if side.hole_bytes == 0 || !whole || !cut || receiver.duplicate_acks == 0 || waited < RECOVERY || side.data_segments == 0 {
        return;
    }
    let Some(cliff) = self.cliffs.observe((flow.server, direction, "receiver_view")) else { return };
    cliff.flows += 1;
    cliff.ranges += side.hole_bytes;
    cliff.passing = cliff.passing.max(tcp.side(direction).sizes.largest_delivered);
    cliff.stalled += waited;
    cliff.clients.add(flow.client.address);
    cliff.obstacles.add(flow);
    cliff.seen.add(hole.at.time);
    cliff.seen.add(flow.last.time);
    cliff.exhibits.add(0, flow.id, || {
        let asked = tcp.events.iter().filter(|event| event.kind == EventKind::DuplicateAck && event.direction != direction);
        let asked = asked.take(6).map(|event| exhibit(event.at, "duplicate_ack", "the receiver asks for what is missing"));
        let after = exhibit(hole.at, "behind_hole", format!("{} bytes are missing before it", side.hole_bytes));
        asked.chain([after]).collect()
    });
}

fn finding(&self, context: &Context<'_>, server: Endpoint, direction: Direction, variant: &'static str, cliff: &Cliff) -> Finding {
    let failing = cliff.failing.unwrap_or(0);
    let way = match direction {
        Direction::ToServer => "to",
        Direction::ToClient => "from",
    };
    let confidence = match variant {
        "silent" if cliff.arrived < self.smaller => Confidence::Possible,
        _ if cliff.resolved > 0 || cliff.flows > 1 => Confidence::Confirmed,
        _ => Confidence::Likely,
    };
    let severity = if confidence == Confidence::Possible { Severity::Warning } else { Severity::Critical };
    let icmp = match variant {
        "silent" => format!("No message about it was seen among {}", plural(context.totals.icmp_packets, "icmp packet")),
        _ => "An icmp message named the size".to_owned(),
    };
    let filter = context.filter().map_or(String::new(), |filter| format!(" (capture filter: {filter})"));
    let overhead: Vec<_> = OVERHEADS.iter().filter(|(mtu, _)| *mtu < failing && *mtu >= cliff.passing).map(|(_, text)| *text).collect();
        // A wide cliff fits every encapsulation, and says nothing.
        let overhead = if overhead.len() > 3 { Vec::new() } else { overhead };
    Finding {
        title: format!("Datagrams of {failing} bytes {way} {server} never arrive, those of {} do", cliff.passing),
        summary: format!(
            "{} of {} sent whole {} in all, never acknowledged at {failing} bytes or more; datagrams up to {} bytes were. {icmp}{filter}. {} stood still in all; in {} the bytes arrived at last in smaller pieces.",
            plural(cliff.ranges, "range"),
            plural(cliff.flows, "connection"),
            plural(cliff.tries, "time"),
            cliff.passing,
            cliff.stalled,
            plural(cliff.resolved, "connection"),
        ),
        subject: Subject {
            client: cliff.clients.only().map(ToString::to_string),
            server: Some(server.address.to_string()),
            port: Some(server.port),
            protocol: Some("tcp"),
            direction: Some(direction),
            ..Subject::default()
        },
        first_seen: cliff.seen.first(),
        last_seen: cliff.seen.last(),
        counts: counts(&[
            ("connections", cliff.flows),
            ("tries", cliff.tries),
            ("smallest_failing_bytes", failing.into()),
            ("largest_passing_bytes", cliff.passing.into()),
        ]),
        impact: Impact {
            seconds_lost: cliff.stalled,
            failed_transactions: cliff.flows,
            of_transactions: cliff.flows,
            clients: cliff.clients.count(),
            services: 1,
        },
        evidence: cliff.exhibits.evidence(),
        alternatives: ["a link or tunnel on the path has a smaller mtu, and its message does not reach the sender"].into_iter().chain(overhead).collect(),
        next_steps: vec!["probe the path: ping -M do -s SIZE, or tracepath", "clamp the segment size at the tunnel, or let ICMP fragmentation-needed and packet-too-big pass"],
        not_claimed: vec!["that ICMP is filtered, or where", "which tunnel is on the path"],
        ..Finding::draft(&MtuBlackhole::RULE, variant, severity, confidence)
    }
    .gated(cliff.obstacles.gates(context, &[Obstacle::Drops, Obstacle::Missed]))
}
}

fn receiver_view(context: &Context<'_>, server: Endpoint, direction: Direction, cliff: &Cliff) -> Finding {
    let way = match direction {
        Direction::ToServer => "to",
        Direction::ToClient => "from",
    };
    let confidence = if cliff.flows > 1 { Confidence::Likely } else { Confidence::Possible };
    Finding {
        title: format!("Full segments {way} {server} never come this far, those of {} bytes do", cliff.passing),
        summary: format!(
            "In {} a hole of whole segments was never filled while smaller segments behind it passed here and the receiver asked for the hole; no datagram above {} bytes was seen in that direction. {} stood still in all.",
            plural(cliff.flows, "connection"),
            cliff.passing,
            cliff.stalled,
        ),
        subject: Subject {
            client: cliff.clients.only().map(ToString::to_string),
            server: Some(server.address.to_string()),
            port: Some(server.port),
            protocol: Some("tcp"),
            direction: Some(direction),
            ..Subject::default()
        },
        first_seen: cliff.seen.first(),
        last_seen: cliff.seen.last(),
        counts: counts(&[("connections", cliff.flows), ("missing_bytes", cliff.ranges), ("largest_passing_bytes", cliff.passing.into())]),
        impact: Impact {
            seconds_lost: cliff.stalled,
            failed_transactions: cliff.flows,
            of_transactions: cliff.flows,
            clients: cliff.clients.count(),
            services: 1,
        },
        evidence: cliff.exhibits.evidence(),
        alternatives: vec!["a link or tunnel before the capture point has a smaller mtu", "the sender stopped for another reason after a burst of losses"],
        next_steps: vec!["capture at the sender: does it repeat full segments, does an icmp message reach it?", "probe the path: ping -M do -s SIZE, or tracepath"],
        not_claimed: vec!["what the sender did: the capture stands behind the loss", "that ICMP is filtered, or where"],
        ..Finding::draft(&MtuBlackhole::RULE, "receiver_view", Severity::Warning, confidence)
    }
    .gated(cliff.obstacles.gates(context, &[Obstacle::Drops, Obstacle::Missed, Obstacle::OneWay]))
}
