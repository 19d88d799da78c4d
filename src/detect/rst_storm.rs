//! # What it finds
//! Many connections of one service that are reset within ten seconds.
//!
//! # Why it matters
//! A single reset is everyday traffic. Many at once are a restart, a fail-over, a full process or a device that forgot its state.
//!
//! # How it decides
//! Reset connections are counted per service and second. Ten seconds in a row are a storm from `resets` connections that are at
//! least `share` of all that ended in them, and at least `baseline` times as many as in ten other seconds of the same service
//! (or `flood` in one second). Several RSTs of a connection are one.
//!
//! # What it leaves alone
//! Resets after a FIN or a TLS close_notify, by a client that has its answer, of probes that were opened and closed, and by a
//! client in place of the end of the handshake, which is what a port scan does.
//!
//! # What it does not claim
//! That a server crashed, or who sent a RST when its addresses may be forged.
//!
//! # References
//! RFC 9293 section 3.10.7; RFC 1122 section 4.2.2.13; RFC 2525 section 2.17; FIELD C9.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::dissect::Direction;
use crate::detect::finding::counts;
use crate::detect::gate::{Obstacle, Obstacles};
use crate::detect::group::{Distinct, EvidenceSample, Groups, Merge, Seen, exhibit, plural, share};
use crate::detect::*;
use crate::flow::{Endpoint, ResetClass};
use crate::time::Timestamp;

/// Seconds that a storm is looked for in.
const WINDOW: i64 = 10;

/// A service and a second since the epoch.
type Key = (Endpoint, i64);

#[derive(Clone, Debug, Default)]
struct Window {
    ended: u64,
    classes: BTreeMap<ResetClass, u64>,
    by_server: u64,
    clients: Distinct<IpAddr>,
    seen: Seen,
    exhibits: EvidenceSample,
    obstacles: Obstacles,
}

impl Merge for Window {
    fn merge(&mut self, other: Self) {
        self.ended += other.ended;
        self.by_server += other.by_server;
        for (class, count) in other.classes {
            *self.classes.entry(class).or_default() += count;
        }
        self.clients.merge(other.clients);
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
        self.obstacles.merge(other.obstacles);
    }
}

impl Window {
    fn resets(&self) -> u64 {
        self.classes.values().sum()
    }

    fn variant(&self) -> &'static str {
        let most = self.classes.iter().find(|(_, count)| **count * 10 >= self.resets() * 9);
        match most.map(|(class, _)| class) {
            Some(ResetClass::Refused) => "refused",
            Some(ResetClass::NoSocket) => "no_socket",
            Some(ResetClass::Abort) => "abort",
            _ => "mixed",
        }
    }
}

/// Counts reset connections by service and window.
#[derive(Debug)]
pub(super) struct RstStorm {
    resets: u64,
    share: f64,
    baseline: f64,
    flood: u64,
    assessed: u64,
    seconds: Groups<Key, Window>,
}

impl Detector for RstStorm {
    const RULE: Rule = Rule {
        name: "rst_storm",
        group: "tcp",
        summary: "many connections of one service reset at once",
        variants: &["refused", "no_socket", "abort", "mixed"],
        thresholds: &[
            Threshold {
                key: "resets",
                default: 20.0,
                unit: "connections",
                meaning: "reset connections of a service in 10 s, from which it is a storm",
                source: "ours; Zeek knows only 1000 RSTs of one connection",
            },
            Threshold {
                key: "share",
                default: 0.5,
                unit: "share",
                meaning: "of the connections that ended in the window",
                source: "ours: more end badly than well",
            },
            Threshold {
                key: "baseline",
                default: 5.0,
                unit: "times",
                meaning: "of what the service has in ten other seconds, when the capture shows them",
                source: "FIELD C9: five times its own baseline",
            },
            Threshold {
                key: "flood",
                default: 100.0,
                unit: "connections",
                meaning: "reset connections of a service in one second, from which the baseline does not matter",
                source: "FIELD C9: 100 per second",
            },
        ],
        source: include_str!("rst_storm.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            resets: settings.count("resets"),
            share: settings.value("share"),
            baseline: settings.value("baseline"),
            flood: settings.count("flood"),
            assessed: 0,
            seconds: Groups::new(Groups::<Key, Window>::MOST * 16),
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        self.assessed += 1;
        let reset = tcp.resets.iter().find(|reset| reset.class.is_harmful());
        let fin = tcp.sides.iter().filter_map(|side| side.fin).map(|fin| fin.time).min();
        let Some(ended) = reset.map(|reset| reset.at.time).or(fin) else { return };
        let Some(window) = self.seconds.observe((flow.server, ended.0.div_euclid(1_000_000_000))) else { return };
        window.ended += 1;
        let Some(reset) = reset else { return };
        *window.classes.entry(reset.class).or_default() += 1;
        window.by_server += u64::from(reset.direction == Direction::ToClient);
        window.clients.add(flow.client.address);
        window.seen.add(reset.at.time);
        window.obstacles.add(flow);
        window.exhibits.add(0, reset.at.packet, || {
            let fields = format!("{}, {} ack, seq {}, ttl {}", reset.class.name(), if reset.with_ack { "with" } else { "no" }, reset.seq.0, reset.ttl);
            let trigger = reset.trigger.map(|at| exhibit(at, "trigger", "the packet that it answers"));
            trigger.into_iter().chain([exhibit(reset.at, "reset", fields)]).collect()
        });
    }

    fn merge(&mut self, other: Self) {
        self.assessed += other.assessed;
        self.seconds.merge(other.seconds);
    }

    fn finish(self, context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.assessed, unit: "flows", ..Verdict::default() };
        verdict.skip(&Self::RULE, "more services and seconds than are kept apart", self.seconds.lost(), "flows");
        let mut services: BTreeMap<Endpoint, BTreeMap<i64, &Window>> = BTreeMap::new();
        for ((server, second), window) in self.seconds.iter() {
            services.entry(*server).or_default().insert(*second, window);
        }
        let first = context.totals.first.map_or(0, |time| time.0.div_euclid(1_000_000_000));
        let last = context.totals.last.map_or(0, |time| time.0.div_euclid(1_000_000_000));
        for (server, seconds) in &services {
            if let Some(storm) = self.storm(seconds, last - first + 1) {
                verdict.findings.push(finding(context, *server, &storm));
            }
        }
        verdict
    }
}

impl RstStorm {
    /// What the seconds of a service that belong to a storm add up to, in a capture of `length` seconds.
    fn storm(&self, seconds: &BTreeMap<i64, &Window>, length: i64) -> Option<Window> {
        let mut stormy: BTreeMap<i64, &Window> = BTreeMap::new();
        for start in seconds.keys() {
            let ten = seconds.range(*start..start + WINDOW);
            let (resets, ended) = ten.clone().fold((0, 0), |(resets, ended), (_, window)| {
                (resets + window.resets(), ended + window.ended)
            });
            if resets >= self.resets && share(resets, ended) >= self.share {
                stormy.extend(ten);
            }
        }
        let mut storm = Window::default();
        stormy.values().for_each(|window| storm.merge((*window).clone()));
        let elsewhere: u64 =
            seconds.iter().filter(|(second, _)| !stormy.contains_key(second)).map(|(_, window)| window.resets()).sum();
        let calm = length - stormy.len() as i64;
        let baseline = if calm < WINDOW { 0.0 } else { elsewhere as f64 / calm as f64 };
        let rate = storm.resets() as f64 / stormy.len().max(1) as f64;
        let flood = stormy.values().any(|window| window.resets() >= self.flood);
        (!stormy.is_empty() && (flood || rate >= self.baseline * baseline)).then_some(storm)
    }
}

fn finding(context: &Context<'_>, server: Endpoint, window: &Window) -> Finding {
    let resets = window.resets();
    let first: Timestamp = window.seen.first();
    let count = |class| window.classes.get(&class).copied().unwrap_or(0);
    Finding {
        title: format!("{} of {server} were reset", plural(resets, "connection")),
        summary: format!(
            "{resets} of {} that ended were reset within {}, {} of them by packets from the server's address, with {}.",
            plural(window.ended, "connection"),
            window.seen.last() - first,
            window.by_server,
            window.clients.of("client"),
        ),
        subject: Subject {
            client: window.clients.only().map(ToString::to_string),
            server: Some(server.address.to_string()),
            port: Some(server.port),
            protocol: Some("tcp"),
            ..Subject::default()
        },
        first_seen: first,
        last_seen: window.seen.last(),
        counts: counts(&[
            ("reset_connections", resets),
            ("ended_connections", window.ended),
            ("refused", count(ResetClass::Refused)),
            ("no_socket", count(ResetClass::NoSocket)),
            ("abort", count(ResetClass::Abort)),
            ("idle", count(ResetClass::Idle)),
        ]),
        impact: Impact {
            failed_transactions: resets,
            of_transactions: window.ended,
            clients: window.clients.count(),
            services: 1,
            ..Impact::default()
        },
        evidence: window.exhibits.evidence(),
        alternatives: match window.variant() {
            "refused" => vec!["nothing listens on the port", "a device answers in the host's place"],
            "no_socket" => vec!["the process or host was restarted", "another member of a cluster got the packets", "a translator lost its state"],
            _ => vec!["the application closed connections with data unread", "a device on the path resets connections"],
        },
        next_steps: vec!["compare with the time of restarts, deployments and fail-overs", "compare TTL and link address of the RSTs with the server's other packets"],
        not_claimed: vec!["that the server crashed", "that the server itself sent the RSTs"],
        ..Finding::draft(&RstStorm::RULE, window.variant(), Severity::Critical, Confidence::Confirmed)
    }
    .gated(window.obstacles.gates(context, &[Obstacle::OneWay]))
}
