//! # What it finds
//! A direction of a connection in which datagrams above a size never arrive and smaller ones do, without the sender learning it.
//!
//! # Why it matters
//! The handshake and small requests work, so everything looks up; large ones hang until a time-out.
//!
//! # How it decides
//! All of these in one direction: the same bytes sent whole at least three times with don't-fragment (or IPv6) and never
//! acknowledged at that size; at least `smaller` smaller datagrams acknowledged after the first try; nothing of that size or
//! above ever acknowledged; both directions captured; no segmentation offload; the receive window open. It is confirmed when
//! the bytes arrive at last in smaller pieces, or when several connections show it. `icmp_ignored`: an ICMP message named the
//! size, and the sender went on. `silent`: none did.
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

use crate::app::Direction;
use crate::detect::finding::counts;
use crate::detect::gate::{Obstacle, Obstacles};
use crate::detect::group::{Distinct, Exhibits, Groups, Merge, Seen, exhibit, plural};
use crate::detect::*;
use crate::flow::{Endpoint, Stuck};
use crate::time::Span;

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
    resolved: u64,
    /// Smallest size that failed, largest that arrived.
    failing: Option<u32>,
    passing: u32,
    stalled: Span,
    clients: Distinct<IpAddr>,
    seen: Seen,
    exhibits: Exhibits,
    obstacles: Obstacles,
}

impl Merge for Cliff {
    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.ranges += other.ranges;
        self.tries += other.tries;
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
        variants: &["silent", "icmp_ignored"],
        thresholds: &[Threshold {
            key: "smaller",
            default: 3.0,
            unit: "datagrams",
            meaning: "smaller ones acknowledged after the first failed try",
            source: "FIELD C10: at least 3, or random loss would do",
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
            let stuck: Vec<&Stuck> = sizes
                .stuck
                .iter()
                .filter(|stuck| {
                    stuck.dont_fragment
                        && !stuck.delivered_whole
                        && u64::from(stuck.smaller_delivered) >= self.smaller
                        && sizes.largest_delivered < stuck.ip_length
                })
                .collect();
            let Some(first) = stuck.first() else { continue };
            if side.super_frames > 0 {
                self.offload += 1;
                continue;
            }
            if tcp.side(direction.reverse()).zero_window_time > Span::ZERO {
                continue;
            }
            let told = flow.icmp_errors.iter().find(|error| {
                error.quoted == direction && error.icmp.mtu.is_some_and(|mtu| mtu < first.ip_length)
            });
            let variant = if told.is_some() { "icmp_ignored" } else { "silent" };
            let Some(cliff) = self.cliffs.observe((flow.server, direction, variant)) else { continue };
            cliff.flows += 1;
            cliff.ranges += stuck.len() as u64;
            cliff.tries += stuck.iter().map(|stuck| u64::from(stuck.tries)).sum::<u64>();
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
            verdict.findings.push(finding(context, *server, *direction, variant, cliff));
        }
        verdict
    }
}

fn finding(context: &Context<'_>, server: Endpoint, direction: Direction, variant: &'static str, cliff: &Cliff) -> Finding {
    let failing = cliff.failing.unwrap_or(0);
    let way = match direction {
        Direction::ToServer => "to",
        Direction::ToClient => "from",
    };
    let confidence = if cliff.resolved > 0 || cliff.flows > 1 { Confidence::Confirmed } else { Confidence::Likely };
    let icmp = match variant {
        "silent" => format!("No message about it was seen among {}", plural(context.totals.icmp_packets, "icmp packet")),
        _ => "An icmp message named the size".to_owned(),
    };
    let filter = context.filter().map_or(String::new(), |filter| format!(" (capture filter: {filter})"));
    let overhead = OVERHEADS.iter().filter(|(mtu, _)| *mtu < failing && *mtu >= cliff.passing).map(|(_, text)| *text);
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
        ..Finding::draft(&MtuBlackhole::RULE, variant, Severity::Critical, confidence)
    }
    .gated(cliff.obstacles.gates(context, &[Obstacle::Drops, Obstacle::Missed]))
}
