//! What sets the failing apart from the healthy, and what was measured and is well: always with numbers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::correlate::board::{Board, Sum};
use crate::correlate::change::Change;
use crate::correlate::factor::network;
use crate::correlate::place::{Layer, Named, named};
use crate::correlate::scoreboard::{Kind, ServiceKey, Tally};
use crate::detect::Finding;
use crate::dissect::Endpoint;
use crate::flow::Times;
use crate::humanize::{grouped, percent, plural, share, whole_seconds};
use crate::time::{Span, Timestamp};

/// What differs between those that fail and those that do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Other clients of the same service.
    OtherClients,
    /// Other ports of the same server.
    OtherPorts,
    /// Other servers of the same kind: the same port, and the same name or network.
    Siblings,
    /// The same clients at other services.
    OtherServices,
    /// The same service before it began.
    Before,
    /// The same service after it ended.
    After,
    /// All other services.
    Elsewhere,
}

/// The healthy side of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contrast {
    /// What differs.
    pub difference: Difference,
    /// In words, with its numbers.
    pub text: String,
    /// What was attempted on the healthy side.
    pub of: u64,
    /// What failed of it.
    pub failed: u64,
}

/// Something that was measured on the same subject and is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cleared {
    /// `loss`, `connect`, `round_trip`, `server`, `tls`, `dns`, `capture`.
    pub what: &'static str,
    /// In words, with its numbers.
    pub text: String,
}

/// What an incident costs, and so what it can be compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    /// Attempts fail.
    Failures,
    /// Segments are lost or late.
    Loss,
    /// Answers take long.
    Delay,
    /// Pings are lost.
    Pings,
    /// The scoreboard does not measure it.
    Other,
}

/// What the findings of a rule cost, where it is not that attempts fail.
const COSTS: &[Named<Cost>] = &[
    ("retransmission", &[], Cost::Loss),
    ("spurious_retransmission", &[], Cost::Loss),
    ("reordering", &[], Cost::Loss),
    ("fragment_loss", &[], Cost::Loss),
    ("asymmetric_flow", &["loss"], Cost::Loss),
    ("slow_server", &["slow", "backend"], Cost::Delay),
    ("latency_shift", &[], Cost::Delay),
    ("dns_slow", &[], Cost::Delay),
    ("zero_window", &[], Cost::Delay),
    ("missing_syn_ack", &["late"], Cost::Delay),
    ("echo_loss", &[], Cost::Pings),
    ("half_close_leak", &[], Cost::Other),
    ("connection_churn", &[], Cost::Other),
    ("dns_search_list", &[], Cost::Other),
];

impl Cost {
    pub(super) fn of(finding: &Finding) -> Self {
        match Layer::of(finding.detector) {
            Layer::Capture => Self::Other,
            _ => named(COSTS, finding).unwrap_or(Self::Failures),
        }
    }
}

/// What attempts of a finding are.
pub(super) fn kind(finding: &Finding) -> Kind {
    match (Layer::of(finding.detector), finding.detector) {
        (Layer::Dns, _) => Kind::Lookups,
        (Layer::Tls, _) => Kind::Handshakes,
        (_, "http_error") => Kind::Requests,
        _ => Kind::Connections,
    }
}

/// What an incident is about, as far as it can be compared with anything.
pub(super) struct Affected {
    pub(super) layer: Layer,
    pub(super) cost: Cost,
    pub(super) kind: Kind,
    /// Its services; `None` when there are more than are listed.
    pub(super) servers: Option<BTreeSet<Endpoint>>,
    /// Services that it reached through its symptoms: no healthy side.
    pub(super) reached: BTreeSet<Endpoint>,
    /// Its clients; `None` when there are more than are listed.
    pub(super) clients: Option<BTreeSet<IpAddr>>,
    pub(super) failed: u64,
    pub(super) of: u64,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

/// Attempts on the healthy side from which they are no accident, where the other side fails.
const SOME: u64 = 3;
/// Attempts from which something is well by itself.
const ENOUGH: u64 = 5;
/// Share of failures up to which the healthy side is healthy: what severity calls part.
const WELL: f64 = crate::detect::Severity::PART;
/// Handshakes from which a percentile says something.
pub(super) const HANDSHAKES: u64 = 20;
/// Segments from which a rate of loss says something.
pub(super) const SEGMENTS: u64 = 200;
/// Rate of loss up to which a path is well: TCP does not feel it.
const LOSS: f64 = 0.001;

/// `10.0.0.1:443` as an endpoint.
pub(super) fn endpoint(server: &str) -> Option<Endpoint> {
    let parsed: SocketAddr = server.parse().ok()?;
    Some(Endpoint { address: parsed.ip(), port: parsed.port() })
}

impl Affected {
    /// One of its services.
    pub(super) fn has(&self, key: &ServiceKey) -> bool {
        self.kind.is_of(key) && self.servers.as_ref().is_some_and(|servers| servers.contains(&key.server))
    }

    fn is_other(&self, key: &ServiceKey) -> bool {
        self.kind.is_of(key) && self.is_beyond(&key.server)
    }

    /// Neither one of its services nor reached by it.
    fn is_beyond(&self, server: &Endpoint) -> bool {
        let own = self.servers.as_ref().is_none_or(|servers| servers.contains(server));
        !own && !self.reached.contains(server)
    }

    fn is_well(&self, tally: Tally) -> bool {
        let worse = share(self.failed, self.of) >= share(tally.failed, tally.of) + 0.2;
        tally.of >= SOME && share(tally.failed, tally.of) <= WELL && worse
    }

    /// `402 of 402 connections`.
    fn went_well(&self, tally: Tally) -> String {
        format!("{} of {}", grouped(tally.well()), plural(tally.of, self.kind.noun()))
    }

    /// What sets it apart, the strongest first; `change` is the moment from which it was worse.
    pub(super) fn contrasts(&self, board: &Board, change: Option<&Change>) -> Vec<Contrast> {
        let mut found = match self.cost {
            Cost::Failures => self.of_failures(board),
            Cost::Loss => self.of_loss(board).into_iter().collect(),
            Cost::Delay => self.of_delay(board).into_iter().collect(),
            Cost::Pings => self.of_pings(board).into_iter().collect(),
            Cost::Other => Vec::new(),
        };
        // The test knows better when it began than the first that failed.
        if let Some(change) = change {
            found.retain(|contrast| contrast.difference != Difference::Before);
            found.push(Contrast {
                difference: Difference::Before,
                text: change.text.clone(),
                of: change.before.of,
                failed: change.before.failed,
            });
        }
        if found.is_empty() && self.cost == Cost::Failures {
            found.extend(self.of_stalls(board).or_else(|| self.elsewhere(board)));
        }
        found.sort_by_key(|contrast| contrast.difference);
        found
    }

    fn of_failures(&self, board: &Board) -> Vec<Contrast> {
        let mut found = Vec::new();
        let mut say = |difference, tally: Tally, text: String| {
            if self.is_well(tally) {
                found.push(Contrast { difference, text, of: tally.of, failed: tally.failed });
            }
        };
        if let Some(clients) = &self.clients {
            let (tally, others, _) =
                board.by_client(self.kind, |key| self.has(key), |client| !clients.contains(client));
            let who = plural(others, "other client");
            let text = format!("{who} of the same service: {} went well", self.went_well(tally));
            say(Difference::OtherClients, tally, text);
            let (tally, _, services) =
                board.by_client(self.kind, |key| self.is_other(key), |client| clients.contains(client));
            let at = plural(services, "other service");
            let text = format!("the same clients at {at}: {} went well", self.went_well(tally));
            say(Difference::OtherServices, tally, text);
        }
        let hosts: BTreeSet<IpAddr> = self.servers.iter().flatten().map(|server| server.address).collect();
        let ports = board.sum(|key| self.is_other(key) && hosts.contains(&key.server.address));
        let at = plural(ports.services, "other port");
        let text = format!("the same server at {at}: {} went well", self.went_well(ports.of(self.kind)));
        say(Difference::OtherPorts, ports.of(self.kind), text);
        let (names, networks) = (board.names(|key| self.has(key)), self.networks());
        let is_sibling = |key: &ServiceKey| {
            let port = self.servers.iter().flatten().any(|server| server.port == key.server.port);
            let near = network(&key.server.address.to_string()).is_some_and(|near| networks.contains(&near));
            self.is_other(key) && port && (near || board.has_name(key, &names))
        };
        let siblings = board.sum(is_sibling);
        let at = plural(siblings.services, "other server");
        let text = format!("{at} of the same kind: {} went well", self.went_well(siblings.of(self.kind)));
        say(Difference::Siblings, siblings.of(self.kind), text);
        if let Some((since, until)) = self.since.zip(self.until) {
            let [before, after] = board.around(self.kind, |key| self.has(key), since, until);
            let clock = |time| whole_seconds(time).get(11..19).unwrap_or_default().to_owned();
            let text = format!("before {} UTC: {} went well", clock(since), self.went_well(before));
            say(Difference::Before, before, text);
            let text = format!("after {} UTC: {} went well", clock(until), self.went_well(after));
            say(Difference::After, after, text);
        }
        found
    }

    /// All other services: their attempts of the same kind, else whatever was attempted there.
    fn elsewhere(&self, board: &Board) -> Option<Contrast> {
        [self.kind, Kind::Connections, Kind::Lookups].into_iter().find_map(|kind| {
            let there = board.sum(|key| kind.is_of(key) && self.is_beyond(&key.server));
            let tally = there.of(kind);
            (tally.of >= ENOUGH && self.is_well(tally)).then(|| Contrast {
                difference: Difference::Elsewhere,
                text: format!(
                    "{}: {} of {} went well",
                    plural(there.services, "other service"),
                    grouped(tally.well()),
                    plural(tally.of, kind.noun())
                ),
                of: tally.of,
                failed: tally.failed,
            })
        })
    }

    fn networks(&self) -> BTreeSet<String> {
        let servers = self.servers.iter().flatten();
        servers.filter_map(|server| network(&server.address.to_string())).collect()
    }

    /// Connections that stand still, where those of other services do not.
    fn of_stalls(&self, board: &Board) -> Option<Contrast> {
        let (here, there) = (board.sum(|key| self.has(key)), board.sum(|key| self.is_other(key)));
        let each = |sum: &Sum| sum.stalled.0 / i64::try_from(sum.attempts.of.max(1)).unwrap_or(i64::MAX);
        let apart = each(&here) >= Span::secs(1).0 && each(&here) / 10 >= each(&there);
        (there.attempts.of >= ENOUGH && apart).then(|| Contrast {
            difference: Difference::Elsewhere,
            text: format!(
                "{}: {} in {}, {} in {} here",
                plural(there.services, "other service"),
                match there.stalled {
                    Span::ZERO => "no stall".to_owned(),
                    stalled => format!("{stalled} of stalls"),
                },
                plural(there.attempts.of, "connection"),
                here.stalled,
                grouped(here.attempts.of),
            ),
            of: there.attempts.of,
            failed: there.attempts.failed,
        })
    }

    fn of_loss(&self, board: &Board) -> Option<Contrast> {
        let (here, there) = (board.sum(|key| self.has(key)), board.sum(|key| self.is_other(key)));
        let rate = |sum: &Sum| share(sum.lost, sum.segments);
        let apart = there.segments >= SEGMENTS && rate(&here) >= 4.0 * rate(&there);
        // One segment can be sent again many times.
        let lost = match here.lost > here.segments {
            true => format!("{} of {}", plural(here.lost, "repeat"), plural(here.segments, "segment")),
            false => percent(here.lost, here.segments),
        };
        apart.then(|| Contrast {
            difference: Difference::Elsewhere,
            text: format!(
                "{}: {} of {} segments sent again, {} here",
                plural(there.services, "other service"),
                percent(there.lost, there.segments),
                grouped(there.segments),
                lost,
            ),
            of: there.segments,
            failed: there.lost,
        })
    }

    fn of_delay(&self, board: &Board) -> Option<Contrast> {
        let (here, there) = (board.sum(|key| self.has(key)), board.sum(|key| self.is_other(key)));
        // Every answer where requests can be told apart, else the first of every connection.
        let pairs = [(&here.response, &there.response), (&here.first_byte, &there.first_byte)];
        pairs.into_iter().find_map(|(here, there)| {
            let (slow, quick) = (here.spread()?, there.spread()?);
            let apart = quick.count >= ENOUGH && slow.median.0 >= quick.p95.0.saturating_mul(2);
            let (median, of) = (quick.median, grouped(quick.count));
            apart.then(|| Contrast {
                difference: Difference::Elsewhere,
                text: format!(
                    "elsewhere the first byte comes after {median} (median of {of}), here after {}",
                    slow.median
                ),
                of: quick.count,
                failed: 0,
            })
        })
    }

    fn of_pings(&self, board: &Board) -> Option<Contrast> {
        let asked: BTreeSet<IpAddr> = self.servers.iter().flatten().map(|server| server.address).collect();
        let (there, hosts) = board.pings(|host| !asked.contains(&host));
        (!asked.is_empty() && self.is_well(there)).then(|| Contrast {
            difference: Difference::Elsewhere,
            text: format!(
                "{}: {} of {} answered",
                plural(hosts, "other host"),
                grouped(there.well()),
                plural(there.of, "echo request"),
            ),
            of: there.of,
            failed: there.failed,
        })
    }

    /// What was measured on the same subject and is well. `dropped` is what the files say of their drops.
    pub(super) fn cleared(&self, board: &Board, packets: u64, dropped: Option<u64>) -> Vec<Cleared> {
        let mut cleared = Vec::new();
        if self.layer == Layer::Capture {
            return cleared;
        }
        let here = board.sum(|key| {
            Kind::Connections.is_of(key)
                && self.servers.as_ref().is_some_and(|servers| servers.contains(&key.server))
        });
        let above = |layer| self.layer > layer;
        let network_is_asked = self.cost != Cost::Loss && above(Layer::Network);
        if network_is_asked {
            // What fails is looked at itself: where nothing of it was lost, no loss is the cause.
            cleared.extend(loss(&here, if here.lost == 0 { ENOUGH } else { SEGMENTS }));
            cleared.extend(round_trip(&here, SOME));
        }
        if self.cost == Cost::Delay && self.layer == Layer::Network {
            cleared.extend(self.server(board));
        }
        if above(Layer::Transport) || matches!(self.cost, Cost::Loss | Cost::Delay) {
            cleared.extend(connect(&here));
        }
        if self.layer == Layer::Application {
            cleared.extend(handshakes(&here));
        }
        if self.kind == Kind::Lookups {
            cleared.extend(responses(&board.sum(|key| self.has(key))));
        } else {
            cleared.extend(lookups(&board.lookups()));
        }
        if dropped == Some(0) && packets > 0 {
            let text = format!("the capture dropped none of {}", plural(packets, "packet"));
            cleared.push(Cleared { what: "capture", text });
        }
        cleared
    }
}

/// Hardly anything was sent again, of so many segments or more.
pub(super) fn loss(sum: &Sum, least: u64) -> Option<Cleared> {
    let well = sum.segments >= least && share(sum.lost, sum.segments) <= LOSS;
    let text = match sum.lost {
        0 => format!("none of {} segments sent again", grouped(sum.segments)),
        lost => format!("{} of {} segments sent again", percent(lost, sum.segments), grouped(sum.segments)),
    };
    well.then_some(Cleared { what: "loss", text })
}

/// The round trip is what it always is, in so many handshakes or more.
pub(super) fn round_trip(sum: &Sum, least: u64) -> Option<Cleared> {
    let spread = sum.round_trip.spread()?;
    // A few milliseconds more are a busy host.
    let steady = spread.p95.0 <= spread.median.0.saturating_mul(2).saturating_add(Span::millis(5).0);
    let text = match spread.count {
        // Few have no percentile that says more than the longest of them.
        count if count < HANDSHAKES => {
            format!("round trip {} in {}, {} at most", spread.median, plural(count, "handshake"), spread.p95)
        }
        _ => format!("round trip {}, p95 {}", spread.median, spread.p95),
    };
    (spread.count >= least && steady).then_some(Cleared { what: "round_trip", text })
}

/// A SYN is sent again after so long (RFC 6298 section 2.1). For lookups a judgement: who waits longer is no
/// witness that names work.
const PROMPT: Span = Span::secs(1);

/// Nearly all took less than [`PROMPT`], as far as that was measured.
fn is_prompt(times: &Times) -> bool {
    times.spread().is_none_or(|spread| spread.p95 < PROMPT)
}

/// Every connection opened, and soon.
pub(super) fn connect(sum: &Sum) -> Option<Cleared> {
    let well = sum.attempts.of >= ENOUGH && sum.not_opened == 0 && is_prompt(&sum.connect);
    let opened = sum.attempts.of;
    let within = sum.connect.spread().map(|spread| format!(", p95 {}", spread.p95)).unwrap_or_default();
    let text =
        format!("{opened} of {} opened{within}", plural(opened, "connection"), opened = grouped(opened));
    well.then_some(Cleared { what: "connect", text })
}

/// Every TLS handshake was completed.
pub(super) fn handshakes(sum: &Sum) -> Option<Cleared> {
    let Tally { of, failed } = sum.handshakes;
    let text = format!("{} of {} completed", grouped(of), plural(of, "TLS handshake"));
    (of >= ENOUGH && failed == 0).then_some(Cleared { what: "tls", text })
}

/// Every lookup got a response, whatever it said: packets arrive.
fn responses(sum: &Sum) -> Option<Cleared> {
    let within = sum.first_byte.spread().map(|spread| format!(", p95 {}", spread.p95)).unwrap_or_default();
    let of = sum.attempts.of;
    let text = format!("{} of {} got a response{within}", grouped(of), plural(of, "lookup"));
    (of >= ENOUGH && sum.unanswered == 0).then_some(Cleared { what: "dns", text })
}

/// Lookups are answered, and soon.
pub(super) fn lookups(sum: &Sum) -> Option<Cleared> {
    let Tally { of, failed } = sum.attempts;
    let within = sum.first_byte.spread().map(|spread| format!(", p95 {}", spread.p95)).unwrap_or_default();
    let text = format!("{} of {} answered{within}", grouped(of - failed.min(of)), plural(of, "lookup"));
    let well = of >= ENOUGH && share(failed, of) <= 0.01 && is_prompt(&sum.first_byte);
    well.then_some(Cleared { what: "dns", text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_seconds_is_not_cleared() {
        let all = |took: Span| {
            let mut sum = Sum { attempts: Tally { of: 30, failed: 0 }, ..Sum::default() };
            (0..30).for_each(|_| sum.connect.add(took));
            (0..30).for_each(|_| sum.first_byte.add(took));
            [connect(&sum).is_some(), lookups(&sum).is_some()]
        };
        assert_eq!([all(Span::millis(30)), all(Span::secs(3))], [[true; 2], [false; 2]]);
    }

    #[test]
    fn costs_are_of_rules_of_the_catalogue() {
        assert_eq!(crate::correlate::place::unknown(COSTS), [""; 0]);
    }
}
