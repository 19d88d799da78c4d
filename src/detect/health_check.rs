//! # What it finds
//! Periodic connections, as load balancers and monitors make, that fail since a moment or stop, while other
//! clients of the same service go on.
//!
//! # Why it matters
//! A load balancer takes a backend out whose probes fail, although the backend is well. Who looks at the
//! service sees nothing, because the failure belongs to one source.
//!
//! # How it decides
//! `probes` connections of one client to one service, or requests of it for one path in plain text whose name
//! is one of probes (`/healthz`, `/ready`, `/ping` and others, or the root), with messages of one size. Their
//! intervals differ from their median by at most `jitter`, five times that where the path is named so. The
//! last `failures` or more of them failed:
//! - `silent`: no answer to the SYN.
//! - `refused`: a RST in answer to the SYN.
//! - `failing`: requests got a status of 5xx, another one that is no success, or no answer.
//! - `stopped`: none failed, and no more come for `missed` intervals, while the service goes on with others.
//!
//! It is a warning when other clients opened connections to the service meanwhile, else information: then the
//! service itself fails, and other rules say so. Requests that fail are a warning when they succeeded before.
//!
//! # What it leaves alone
//! Probes that succeed. Connections of different sizes, as people and applications make them. 401, 403 and
//! 429: the service is there, and says who may ask.
//!
//! # What it does not claim
//! That the client is a load balancer, or that a filter drops the probes. Why probes stop: nobody may send
//! them any more.
//!
//! # References
//! haproxy, Server health checks: `inter` 2 s, `fall` 3, success is 2xx or 3xx; RFC 9293 section 3.10.7.1;
//! Kubernetes, API health endpoints; Patroni, REST API.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::app::http::Exchange;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint, PacketRef, Path};
use crate::flow::{Flow, FlowHead, HandshakeOutcome};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Follows the connections of every client to every service.
    struct HealthCheck {
        probes: u64 = 5.0 "connections",
            "connections of a client to a service, from which their interval is known",
            "ours: four equal intervals are no chance";
        failures: u64 = 3.0 "connections",
            "the last ones in a row that failed, from which the probe fails",
            "haproxy: fall 3";
        jitter: f64 = 0.05 "share",
            "of the median interval, by which four of five intervals differ at most",
            "ours: timers of probes are more exact, retries of people less";
        shortest: Span = 0.5 "s",
            "shortest interval of probes",
            "ours: probes come once a second or less often";
        missed: f64 = 5.0 "intervals",
            "without a probe, from which they have stopped",
            "ours: more than a probe that was lost";
    }
}

variants! {
    /// What became of the probes.
    enum Fate {
        Silent "silent" Warning {
            could_be: &[
                "a filter between the capture point and the host drops what this source sends",
                "the host's answers to this source take a way on which they are dropped",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Refused "refused" Warning {
            could_be: &["a filter rejects this source with a RST", "nothing listens on the port any more"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
        Failing "failing" Warning {
            could_be: &[
                "the service is not ready: something that it needs fails, or it is being stopped",
                "the probe asks for a path that the service does not have any more",
            ],
            next: &[
                "ask the service as the probe does, and read its log at these times",
                "compare with what other clients get from it: http_error, slow_server",
            ],
            not_claimed: &["that the client is a load balancer", "why the service answers so"],
            doubted_by: DOUBTED,
        }
        Stopped "stopped" Info {
            could_be: &[
                "the prober was stopped, or probes another address now",
                "something before the capture point drops the probes",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTED,
        }
    }
}

const NEXT: &[&str] = &[
    "capture on both sides of the filters between prober and host: where is the last sight of the SYN?",
    "compare the filters' rules for this source with those for the others",
];
const NOT_CLAIMED: &[&str] = &["that the client is a load balancer", "which device drops the probes"];
const DOUBTED: &[QualityIssue] = &[QualityIssue::Drops, QualityIssue::OneWay];

/// Octets of a probe's messages in all; a page is more.
const SMALL: u64 = 16 << 10;
/// Octets by which the sizes of one probe differ: dates, ids.
const SAME: u64 = 64;

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    Opened,
    Silent,
    Refused,
    /// A request without a good answer.
    Failed,
}

/// A connection, or a request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Start {
    flow: u64,
    port: u16,
    outcome: Outcome,
    /// Of its answer; 0 without one.
    status: u16,
    sizes: [u64; 2],
}

/// Last segments of paths that are for probes.
const PROBED: [&str; 16] = [
    "health",
    "healthz",
    "healthcheck",
    "health-check",
    "health_check",
    "ready",
    "readyz",
    "readiness",
    "livez",
    "liveness",
    "alive",
    "ping",
    // Patroni's roles: all but one member answer 503, and are well.
    "primary",
    "replica",
    "leader",
    "standby",
];

/// The path's last segment says that requests for it are probes: `/healthz`.
pub fn is_probed(path: &str) -> bool {
    let name = path.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or_default();
    PROBED.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What the answer to a probe says; `None` when nothing can be told from it.
fn answered(exchange: &Exchange) -> Option<Outcome> {
    let named = is_probed(exchange.path());
    if exchange.unheard || !(named || matches!(exchange.path(), "/" | "/index.html")) {
        return None;
    }
    match exchange.status {
        Some(500..) => Some(Outcome::Failed),
        Some(401 | 403 | 407 | 429) => Some(Outcome::Opened),
        Some(400..) if named => Some(Outcome::Failed),
        Some(_) => Some(Outcome::Opened),
        // Whoever closed it: the probe got nothing.
        None => exchange.closed.map(|_| Outcome::Failed),
    }
}

/// The connections of a client to a service: the earliest and the latest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Series {
    first: BTreeMap<(Timestamp, u64), Start>,
    last: BTreeMap<(Timestamp, u64), Start>,
    count: u64,
}

impl Series {
    const MOST: usize = 32;

    fn add(&mut self, at: PacketRef, start: Start) {
        self.count += 1;
        let key = (at.time, at.packet);
        let full = self.first.len() >= Self::MOST;
        if !full || self.first.last_key_value().is_some_and(|(last, _)| key < *last) {
            self.first.insert(key, start);
        }
        self.last.insert(key, start);
        self.cut();
    }

    fn cut(&mut self) {
        while self.first.len() > Self::MOST {
            self.first.pop_last();
        }
        while self.last.len() > Self::MOST {
            self.last.pop_first();
        }
    }

    /// Those that are kept, in order.
    fn starts(&self) -> Vec<(PacketRef, Start)> {
        let mut all = self.first.clone();
        all.extend(self.last.iter().map(|(at, start)| (*at, *start)));
        all.into_iter().map(|((time, packet), start)| (PacketRef { packet, time }, start)).collect()
    }

    /// When it opened a connection last.
    fn last_opened(&self) -> Option<Timestamp> {
        let opened = self.last.iter().filter(|(_, start)| start.outcome == Outcome::Opened);
        opened.map(|((time, _), _)| *time).next_back()
    }
}

impl Merge for Series {
    fn absorb(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.last.extend(other.last);
        self.cut();
    }
}

/// Who connects to what, and who asks it for which path; connections have an empty one.
pub(super) type Known = Bounded<(Endpoint, IpAddr, String), Series, { 1 << 12 }>;

counts! {
    /// What a case counts beside its connections.
    struct Probes {
        probes: u64,
        answered_before: u64,
        other_clients: u64,
        interval_ms: u64,
    }
}

impl Detector for HealthCheck {
    const RULE: Rule = Rule {
        name: "health_check",
        group: Group::Application,
        summary: "periodic probes of a service that fail or stop while other clients go on",
        judges: "flows",
        variants: Fate::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("health_check.rs"),
    };
    const EXPLAINS: &'static [Explains] =
        &[Explains::by(Meet::Flows, &["missing_syn_ack", "connection_refused"])];
    type Variant = Fate;
    type Key = (Endpoint, IpAddr);
    type Counts = Probes;
    type Total = ();
    type Notes = Known;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let Some(syn) = tcp.handshake.syns.first() else {
            return book.not_judged("began before the capture");
        };
        let outcome = match tcp.handshake.outcome {
            HandshakeOutcome::Established | HandshakeOutcome::ReplyUnseen => Outcome::Opened,
            HandshakeOutcome::Silent => Outcome::Silent,
            HandshakeOutcome::Refused => Outcome::Refused,
            _ => return book.not_judged("a handshake that was neither completed, refused nor left alone"),
        };
        book.judged(&flow.server);
        let sizes = Direction::BOTH.map(|direction| tcp.side(direction).unique_bytes);
        let key = (flow.server, flow.client.address, String::new());
        if let Some(series) = book.notes.observe_by(key, |_| hash_of(&flow.server)) {
            series.add(*syn, Start { flow: flow.id, port: flow.client.port, outcome, status: 0, sizes });
        }
    }

    fn exchange(&self, exchange: &Exchange, flow: &FlowHead, book: &mut Book<Self>) {
        let Some((asked, outcome)) = exchange.request.zip(answered(exchange)) else { return };
        let key = (flow.server, flow.client.address, exchange.path().to_owned());
        let Some(series) = book.notes.observe_by(key, |_| hash_of(&flow.server)) else { return };
        let sizes = [exchange.request_bytes, exchange.response_bytes];
        let status = exchange.status.unwrap_or(0);
        series.add(asked, Start { flow: flow.id, port: flow.client.port, outcome, status, sizes });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        if !context.keeps_time() {
            return Vec::new();
        }
        let known = std::mem::take(&mut book.notes);
        let mut services: BTreeMap<Endpoint, Vec<(IpAddr, &str, &Series)>> = BTreeMap::new();
        for ((server, client, path), _, series) in known.iter() {
            services.entry(*server).or_default().push((*client, path, series));
        }
        let mut concluded = Vec::new();
        for (server, clients) in &services {
            for (client, path, series) in clients {
                let opened = |since: Timestamp| {
                    let others = clients.iter().filter(|(other, path, _)| path.is_empty() && other != client);
                    others.filter(|(.., series)| series.last_opened() > Some(since)).count() as u64
                };
                concluded.extend(self.verdict((*server, *client, path), series, &opened, context));
            }
        }
        concluded
    }
}

impl HealthCheck {
    /// The median interval, when most are close to it.
    fn interval(&self, starts: &[(PacketRef, Start)], path: &str) -> Option<Span> {
        if (starts.len() as u64) < self.probes {
            return None;
        }
        let between = starts.windows(2).map(|pair| pair[1].0.time - pair[0].0.time);
        let mut intervals: Vec<Span> = between.collect();
        intervals.sort_unstable();
        let median = *intervals.get(intervals.len() / 2)?;
        let off = |interval: &Span| (interval.0 - median.0).abs() as f64;
        // Where the name says what they are, a busy prober is one all the same.
        let jitter = if is_probed(path) { 5.0 * self.jitter } else { self.jitter };
        let close = intervals.iter().filter(|one| off(one) <= jitter * median.0 as f64).count();
        (median >= self.shortest && close * 5 >= intervals.len() * 4).then_some(median)
    }

    fn verdict(
        &self,
        (server, client, path): (Endpoint, IpAddr, &str),
        series: &Series,
        opened_since: &dyn Fn(Timestamp) -> u64,
        context: &Context<'_>,
    ) -> Option<Concluded<Self>> {
        let starts = series.starts();
        let interval = self.interval(&starts, path)?;
        let (_, last) = starts.last()?;
        let good: Vec<&(PacketRef, Start)> =
            starts.iter().filter(|(_, start)| start.outcome == Outcome::Opened).collect();
        // Of requests that never succeeded their path says enough.
        if good.is_empty() && path.is_empty() {
            return None;
        }
        for side in (0..2).filter(|_| !good.is_empty()) {
            let sizes = good.iter().filter_map(|(_, start)| start.sizes.get(side));
            let (least, most) = (sizes.clone().min().copied()?.min(SMALL), sizes.max().copied()?);
            if most > SMALL || most - least > SAME {
                return None;
            }
        }
        let failing = starts.iter().rev().take_while(|(_, start)| start.outcome == last.outcome).count();
        let (before, failed) = starts.split_at(starts.len() - failing);
        let (fate, failed) = match last.outcome {
            // A connection that is used again has no new ones, but goes on asking.
            Outcome::Opened if !path.is_empty() => return None,
            Outcome::Opened => {
                let (at, _) = starts.last()?;
                let silence = Span((self.missed * interval.0 as f64) as i64);
                let stopped = good.len() == starts.len() && context.totals.last? - at.time > silence;
                (stopped && opened_since(at.time + interval) > 0).then_some((Fate::Stopped, &starts[..0]))?
            }
            Outcome::Silent => (Fate::Silent, failed),
            Outcome::Refused => (Fate::Refused, failed),
            Outcome::Failed => (Fate::Failing, failed),
        };
        if fate != Fate::Stopped && (failed.len() as u64) < self.failures {
            return None;
        }
        let since = failed.first().or(starts.last()).map(|(at, _)| at.time)?;
        let others = opened_since(since);
        let mut case: Case<Probes> = Case::default();
        let shown = if failed.is_empty() { &starts } else { failed };
        for (at, start) in shown {
            let client = Endpoint { address: client, port: start.port };
            let head = FlowHead { id: start.flow, protocol: 6, client, server, path: Path::default() };
            case.affected.add(&head);
            case.affected.active.add(at.time);
        }
        // What lies between the earliest and the latest that are kept failed, too, when both ends of it did.
        let between = series.count - (starts.len() as u64).min(series.count);
        let middle = if failed.len() > Series::MOST { between } else { 0 };
        (case.failed, case.total) = (failed.len() as u64 + middle, series.count);
        case.counts = Probes {
            probes: series.count,
            answered_before: good.len() as u64,
            other_clients: others,
            interval_ms: (interval.0 / 1_000_000).unsigned_abs(),
        };
        let every = format!("every {interval}");
        let clients = plural(others, "other client");
        let (title, mut summary) = match fate {
            Fate::Stopped => (
                format!("Periodic connections of {client} to {server} stop"),
                format!(
                    "{client} connected {every}, {} times, and does not since. {clients} opened connections \
                     after that.",
                    series.count
                ),
            ),
            Fate::Failing => {
                let statuses: BTreeSet<u16> = failed.iter().map(|(_, start)| start.status).collect();
                let got: Vec<String> = statuses.into_iter().map(status_text).collect();
                let what = format!("got {}", got.join(" or "));
                let path: String = path.chars().take(60).collect();
                let title = format!(
                    "Probes of {client} for {path} at {server} fail: the last {} {what}",
                    case.failed
                );
                (
                    title,
                    format!("{client} asks for {path} {every}. The last {} requests {what}.", case.failed),
                )
            }
            Fate::Silent | Fate::Refused => {
                let what = if fate == Fate::Silent { "got no answer" } else { "got a RST" };
                let title = format!("Probes of {client} to {server} fail: the last {} {what}", case.failed);
                let mut summary = format!("{client} connects {every}. The last {} SYNs {what}.", case.failed);
                if others > 0 {
                    summary += &format!(" {clients} opened connections to the service meanwhile.");
                }
                (title, summary)
            }
        };
        if fate != Fate::Stopped && !before.is_empty() {
            let (noun, did) =
                if path.is_empty() { ("connection", "opened") } else { ("request", "succeeded") };
            summary += &format!(" {} before them {did}.", plural(good.len() as u64, noun));
        }
        // Without success, before or of others, the service fails for everybody: other rules say so.
        if others == 0 && good.is_empty() {
            return None;
        }
        let matters = if fate == Fate::Failing { !good.is_empty() } else { others > 0 };
        let severity = if matters { fate.sheet().severity } else { Severity::Info };
        let sure = fate != Fate::Stopped && !good.is_empty();
        let role = if path.is_empty() { Role::Syn } else { Role::Request };
        let well = if path.is_empty() { "opened" } else { "answered well" };
        let last_good = good.last().map(|(at, _)| Evidence::new(*at, role, well));
        let shown = failed.iter().take(6).map(|(at, start)| {
            let what = match start.outcome {
                Outcome::Silent => "no answer".to_owned(),
                Outcome::Refused => "refused".to_owned(),
                Outcome::Opened | Outcome::Failed => status_text(start.status),
            };
            Evidence::new(*at, role, what)
        });
        let draft = Draft::new(fate, title, summary)
            .severity(severity)
            .confidence(if sure { Confidence::Confirmed } else { Confidence::Likely })
            .subject(Subject {
                client: Some(client.to_string()),
                server: Some(server.address.to_string()),
                port: Some(server.port),
                protocol: Some("tcp"),
                ..Subject::default()
            })
            .show(last_good.into_iter().chain(shown).collect::<Vec<_>>());
        Some((draft, case))
    }
}

fn status_text(status: u16) -> String {
    match status {
        0 => "no answer".to_owned(),
        status => status.to_string(),
    }
}

#[cfg(test)]
mod tests;
