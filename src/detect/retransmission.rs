//! # What it finds
//! Data that was sent again because it, or its acknowledgement, was lost; by service and direction.
//!
//! # Why it matters
//! Every loss costs at least a round trip, and a time-out 200 ms and more, doubling.
//!
//! # How it decides
//! Every repeated segment is classified from the packets that caused it (see `pcapsy events`). Rates are over unique wire
//! segments of one direction; what was proven unnecessary, and path MTU discovery, is left out of the rate and stated. It is a warning
//! from `warning_share` of the segments with at least `least` repeats and `cost` of standstill, or from `warning_seconds` of
//! standstill. A stream stands still from the first copy of a segment, or from the hole it left, to the copy that repairs it;
//! the share of the transfer is that time of the time between first and last segment with data.
//!
//! # What it leaves alone
//! Duplicate observations, keep-alives, window probes, segments that were only reordered. Repeated SYNs belong to
//! `missing_syn_ack`.
//!
//! # What it does not claim
//! Congestion; which link loses. A loss is before or after the capture point, or cannot be placed.
//!
//! # References
//! RFC 5681, 6298, 6675, 8985, 2883, 3522; FIELD C0.2, C1.

use std::net::IpAddr;

use crate::dissect::Direction;
use crate::detect::finding::counts;
use crate::detect::gate::{Obstacle, Obstacles};
use crate::detect::group::{Distinct, EvidenceSample, Groups, Merge, Seen, exhibit, percent, plural, share};
use crate::detect::*;
use crate::flow::{Endpoint, LossPlace};
use crate::time::Span;

type Key = (Endpoint, Direction);

#[derive(Clone, Debug, Default)]
struct Losses {
    flows: u64,
    affected: u64,
    segments: u64,
    fast: u64,
    timeout: u64,
    probe: u64,
    other: u64,
    spurious: u64,
    path_mtu: u64,
    before: u64,
    after: u64,
    stalled: Span,
    /// How long the affected transfers took.
    transfers: Span,
    clients: Distinct<IpAddr>,
    seen: Seen,
    exhibits: EvidenceSample,
    obstacles: Obstacles,
}

impl Merge for Losses {
    fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.affected += other.affected;
        self.segments += other.segments;
        self.fast += other.fast;
        self.timeout += other.timeout;
        self.probe += other.probe;
        self.other += other.other;
        self.spurious += other.spurious;
        self.path_mtu += other.path_mtu;
        self.before += other.before;
        self.after += other.after;
        self.stalled += other.stalled;
        self.transfers += other.transfers;
        self.clients.merge(other.clients);
        self.seen.merge(other.seen);
        self.exhibits.merge(other.exhibits);
        self.obstacles.merge(other.obstacles);
    }
}

impl Losses {
    fn repeats(&self) -> u64 {
        self.fast + self.timeout + self.probe + self.other
    }

    /// Repeats that something was lost for.
    fn needed(&self) -> u64 {
        self.repeats().saturating_sub(self.spurious + self.path_mtu)
    }

    fn variant(&self) -> &'static str {
        let kinds = [("fast", self.fast), ("rto", self.timeout), ("tail_loss_probe", self.probe)];
        let most = kinds.iter().find(|(_, count)| *count * 10 >= self.repeats() * 9 && *count > 0);
        most.map_or("mixed", |(name, _)| name)
    }
}

/// Counts repeated segments by service and direction.
#[derive(Debug)]
pub(super) struct Retransmission {
    warning_share: f64,
    warning_seconds: Span,
    cost: Span,
    least: u64,
    assessed: u64,
    one_way: u64,
    services: Groups<Key, Losses>,
}

impl Detector for Retransmission {
    const RULE: Rule = Rule {
        name: "retransmission",
        group: "tcp",
        summary: "data sent again after a loss",
        variants: &["rto", "fast", "tail_loss_probe", "mixed"],
        thresholds: &[
            Threshold {
                key: "warning_share",
                default: 0.01,
                unit: "share",
                meaning: "repeated of unique wire segments, from which it is a warning",
                source: "MacFlurry pcap_analyzer, 1 %; VIAVI calls 2 % excessive",
            },
            Threshold {
                key: "warning_seconds",
                default: 1.0,
                unit: "s",
                meaning: "standstill summed over connections, from which it is a warning",
                source: "ours: a person notices a second",
            },
            Threshold {
                key: "cost",
                default: 0.01,
                unit: "s",
                meaning: "standstill summed over connections, below which any share is information only",
                source: "ours: less than one round trip within a city",
            },
            Threshold {
                key: "least",
                default: 5.0,
                unit: "segments",
                meaning: "repeats below which it is information only, unless streams stood still",
                source: "ntopng, at least 5",
            },
        ],
        source: include_str!("retransmission.rs"),
    };

    fn new(settings: &Settings) -> Self {
        Self {
            warning_share: settings.value("warning_share"),
            warning_seconds: settings.span("warning_seconds"),
            cost: settings.span("cost"),
            least: settings.count("least"),
            assessed: 0,
            one_way: 0,
            services: Groups::new(Groups::<Key, Losses>::MOST * 4),
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
            if side.data_segments == 0 {
                continue;
            }
            let Some(losses) = self.services.observe((flow.server, direction)) else { continue };
            let counts = &side.retransmissions;
            losses.flows += 1;
            losses.segments += side.unique_segments;
            if counts.data() == 0 {
                continue;
            }
            losses.affected += 1;
            losses.fast += counts.fast;
            losses.timeout += counts.timeout;
            losses.probe += counts.tail_loss_probe;
            losses.other += counts.unclassified;
            losses.spurious += counts.spurious;
            losses.path_mtu += counts.path_mtu;
            losses.before += counts.lost_before;
            losses.after += counts.lost_after;
            losses.stalled += side.stalled;
            losses.transfers += side.transfer_time();
            losses.clients.add(flow.client.address);
            losses.obstacles.add(flow);
            let repeats = || {
                tcp.events.iter().filter(|event| event.direction == direction && event.kind.is_data_retransmission())
            };
            repeats().for_each(|event| losses.seen.add(event.at.time));
            losses.exhibits.add(-side.stalled.0, flow.id, || {
                let packets = repeats().filter(|event| event.spurious.is_none()).take(4).flat_map(|event| {
                    let place = match event.loss {
                        LossPlace::Before => ", lost before the capture point",
                        LossPlace::After => ", the first copy passed the capture point",
                        LossPlace::Unknown => "",
                    };
                    let again = format!("{}, seq {}, len {}, {} later{place}", event.kind.name(), event.seq.0, event.length, event.delay);
                    let (role, shown) = match event.loss {
                        LossPlace::Before => ("gap", "the first packet behind the hole".to_owned()),
                        _ => ("original", format!("seq {}, len {}", event.seq.0, event.length)),
                    };
                    let original = event.original.map(|at| exhibit(at, role, shown));
                    let trigger = event.trigger.map(|at| exhibit(at, "trigger", "completed the evidence of the loss"));
                    [original, trigger, Some(exhibit(event.at, "retransmission", again))].into_iter().flatten()
                });
                packets.collect()
            });
        }
    }

    fn merge(&mut self, other: Self) {
        self.assessed += other.assessed;
        self.one_way += other.one_way;
        self.services.merge(other.services);
    }

    fn finish(self, context: &Context<'_>) -> Verdict {
        let mut verdict = Verdict { assessed: self.assessed, unit: "flows", ..Verdict::default() };
        verdict.skip(&Self::RULE, "one direction only: no acknowledgements to judge by", self.one_way, "flows");
        verdict.skip(&Self::RULE, "more services than are kept apart", self.services.lost(), "flows");
        for ((server, direction), losses) in self.services.iter().filter(|(_, losses)| losses.needed() > 0) {
            verdict.findings.push(self.finding(context, *server, *direction, losses));
        }
        verdict
    }
}

impl Retransmission {
    fn finding(&self, context: &Context<'_>, server: Endpoint, direction: Direction, losses: &Losses) -> Finding {
        let (needed, segments) = (losses.needed(), losses.segments);
        let often = share(needed, segments) >= self.warning_share && needed >= self.least && losses.stalled >= self.cost;
        let long = losses.stalled >= self.warning_seconds;
        let severity = if often || long { Severity::Warning } else { Severity::Info };
        let way = match direction {
            Direction::ToServer => "to",
            Direction::ToClient => "from",
        };
        let place = match (losses.before, losses.after) {
            (0, 0) => "The loss cannot be placed.".to_owned(),
            (before, after) => format!("First copies lost before the capture point: {before}; seen here and lost behind it, or their ACKs: {after}."),
        };
        Finding {
            title: match segments {
                // A share of a handful says nothing.
                0..100 => format!("{} {way} {server} for {}", plural(needed, "retransmission"), plural(segments, "segment")),
                _ => format!("{} of the segments {way} {server} were sent again", percent(needed, segments)),
            },
            summary: format!(
                "{} for {} {way} {server} in {} of {} ({} by time-out, {} fast, {} probes, {} unclear); streams stood still for {} in all, {} of the time these transfers took. {place} {} more were proven unnecessary.",
                plural(needed, "retransmission"),
                plural(segments, "segment"),
                losses.affected,
                plural(losses.flows, "connection"),
                losses.timeout,
                losses.fast,
                losses.probe,
                losses.other,
                losses.stalled,
                percent(losses.stalled.0.unsigned_abs(), losses.transfers.0.unsigned_abs()),
                losses.spurious,
            ),
            subject: Subject {
                client: losses.clients.only().map(ToString::to_string),
                server: Some(server.address.to_string()),
                port: Some(server.port),
                protocol: Some("tcp"),
                direction: Some(direction),
                ..Subject::default()
            },
            first_seen: losses.seen.first(),
            last_seen: losses.seen.last(),
            counts: counts(&[
                ("retransmissions", needed),
                ("segments", segments),
                ("timeout", losses.timeout),
                ("fast", losses.fast),
                ("tail_loss_probe", losses.probe),
                ("unclassified", losses.other),
                ("spurious", losses.spurious),
                ("path_mtu", losses.path_mtu),
                ("lost_before_capture", losses.before),
                ("lost_after_capture", losses.after),
            ]),
            impact: Impact {
                seconds_lost: losses.stalled,
                failed_transactions: 0,
                of_transactions: losses.flows,
                clients: losses.clients.count(),
                services: 1,
            },
            evidence: losses.exhibits.evidence(),
            alternatives: vec!["packets are lost on the path", "acknowledgements are lost on the way back", "the receiving host drops packets"],
            next_steps: vec!["capture on the other side at the same time, to see which packets arrive", "read the drop counters of the devices in between"],
            not_claimed: vec!["congestion", "which link loses packets"],
            ..Finding::draft(&Self::RULE, losses.variant(), severity, Confidence::Confirmed)
        }
        .gated(losses.obstacles.gates(context, &[Obstacle::Drops, Obstacle::Missed, Obstacle::SuperFrames, Obstacle::Disorder]))
    }
}
