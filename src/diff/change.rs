//! What differs between two profiles, and how sure that is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};

use data_encoding::HEXLOWER;
use serde::Serialize;

use crate::correlate::{Phase, ServiceKey, Tally};
use crate::detect::Bounded;
use crate::diff::profile::{Host, Leaf, Lengths, Measured, Profile, Seen};
use crate::diff::significance::{LEAST, higher_share, longer};
use crate::flow::Spread;
use crate::time::Span;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Connections that failed, of those attempted.
    Connections,
    /// Lookups that failed, of those sent to a server.
    Lookups,
    /// TLS handshakes that were not completed.
    Handshakes,
    /// HTTP requests that the server failed: 5xx, cut, or not answered.
    Requests,
    /// HTTP responses with 4xx.
    ClientErrors,
    /// Lookups of a name that were answered with an error.
    Answered,
    /// Segments sent again because of losses, of all sent.
    Segments,
    /// How long a part of a request took.
    Time(Phase),
    /// Certificates that a server showed for itself.
    Certificate,
    /// Addresses that a name has.
    Addresses,
    /// TTLs with which a host's packets came.
    Ttl,
    /// Link addresses and VLANs by which a host's packets came.
    Link,
    /// Largest segment sizes that a host asked for.
    Mss,
}

/// What it was on one side.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// So many of so many.
    Share(Tally),
    /// How long it took, seconds.
    Times(Spread),
    /// All values seen, at most sixteen.
    Values(Vec<String>),
}

/// In which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More failures, longer times.
    Worse,
    /// Another value, none of those before.
    Other,
    /// Fewer failures, shorter times.
    Better,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What is compared.
    pub measure: Measure,
    /// Of what: a service, a name or a host.
    pub subject: String,
    /// In which direction.
    pub direction: Direction,
    /// In the first capture.
    pub before: Value,
    /// In the second.
    pub after: Value,
    /// Probability of such a difference by chance alone; null where there is nothing to test.
    pub p: Option<f64>,
    /// It is below [`Comparison::CHANCE`], shared out over all that was tested. What is not certain may be so
    /// few that nobody can tell.
    pub certain: bool,
    /// What failed more, or the time lost, in comparable weights: decides the order.
    #[serde(skip)]
    weight: u64,
}

/// A service that only one of two captures has, or that has another address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// In the first capture.
    pub before: String,
    /// In the second.
    pub after: String,
    /// The name that both have.
    pub name: String,
}

/// All that differs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Comparison {
    /// Worse first, then what is other, then better; the weightiest first.
    pub changes: Vec<Change>,
    /// Comparisons made.
    pub compared: u64,
    /// Those that could have been certain: where nothing failed on either side, or where there are too few
    /// times, no chance can make a difference (R. E. Tarone, A modified Bonferroni method for discrete data,
    /// 1990).
    pub tested: u64,
    /// Services that both have.
    pub services: u64,
    /// Services that are known by their name at another address.
    pub moved: Vec<Moved>,
    /// Services of the second capture only.
    pub services_new: Vec<String>,
    /// Services of the first capture only.
    pub services_gone: Vec<String>,
    /// Certificates, names and ways were compared: both sides are captures.
    pub ways: bool,
}

impl Comparison {
    /// The probability at which a run of comparisons between equals says that one of them is worse.
    pub const CHANCE: f64 = 0.01;

    /// From `before` to `after`.
    pub fn new(before: &Profile, after: &Profile) -> Self {
        let mut all = Self::default();
        let pairs = pairs(before, after);
        for (then, now) in &pairs.same {
            let (Some(was), Some(is)) = (before.services.get(then), after.services.get(now)) else {
                continue;
            };
            all.service(&shown(now, is), now, was, is);
        }
        all.services = pairs.same.len() as u64;
        let name = |profile: &Profile, key: &ServiceKey| match profile.services.get(key) {
            Some(service) => shown(key, service),
            None => key.server.to_string(),
        };
        let moved = pairs.same.iter().filter(|(then, now)| then != now);
        all.moved = moved.map(|(then, now)| moved_to(before, after, then, now)).collect();
        all.services_new = pairs.new.iter().map(|key| name(after, key)).collect();
        all.services_gone = pairs.gone.iter().map(|key| name(before, key)).collect();
        if let (Some(was), Some(is)) = (&before.seen, &after.seen) {
            all.ways = true;
            all.seen(was, is);
        }
        all.conclude();
        all
    }

    fn service(&mut self, subject: &str, key: &ServiceKey, was: &Measured, is: &Measured) {
        let attempts = if key.protocol == ServiceKey::UDP { Measure::Lookups } else { Measure::Connections };
        self.share(attempts, subject, was.attempts, is.attempts);
        self.share(Measure::Handshakes, subject, was.handshakes, is.handshakes);
        self.share(Measure::Requests, subject, was.requests, is.requests);
        self.share(Measure::ClientErrors, subject, was.responses, is.responses);
        self.share(Measure::Segments, subject, was.segments, is.segments);
        for (phase, lengths) in &is.times {
            if let Some((_, before)) = was.times.iter().find(|(other, _)| other == phase) {
                self.time(*phase, subject, before, lengths);
            }
        }
    }

    /// Compares shares of what failed. A difference below a twentieth is none that people act upon; of
    /// segments, which are many, a two-hundredth and three times as many.
    fn share(&mut self, measure: Measure, subject: &str, was: Tally, is: Tally) {
        if was.of == 0 || is.of == 0 {
            return;
        }
        self.compared += 1;
        let failed = was.failed + is.failed;
        self.tested += u64::from(failed > 0 && failed < was.of + is.of);
        let part = |tally: Tally| tally.failed as f64 / tally.of as f64;
        let (before, after) = (part(was), part(is));
        let (least, times) = if measure == Measure::Segments { (0.005, 3.0) } else { (0.05, 1.0) };
        let (lower, higher) = (before.min(after), before.max(after));
        if higher - lower < least || higher < times * lower {
            return;
        }
        let worse = after > before;
        let p = if worse { higher_share(was, is) } else { higher_share(is, was) };
        let direction = if worse { Direction::Worse } else { Direction::Better };
        let weight = ((higher - lower) * is.of as f64 * 1000.0) as u64;
        self.add(measure, subject, direction, [Value::Share(was), Value::Share(is)], p, weight);
    }

    /// Compares lengths of time. Half as long again and a millisecond more is a difference.
    fn time(&mut self, phase: Phase, subject: &str, was: &Lengths, is: &Lengths) {
        let (Some(before), Some(after)) = (was.spread(), is.spread()) else { return };
        self.compared += 1;
        self.tested += u64::from(before.count.min(after.count) >= LEAST);
        let (shorter, longer_one) = (before.median.min(after.median), before.median.max(after.median));
        let apart = longer_one - shorter;
        if apart < Span::millis(1) || longer_one.0 < shorter.0 + shorter.0 / 2 {
            return;
        }
        let worse = after.median > before.median;
        let p = match (was, is) {
            (Lengths::All(was), Lengths::All(is)) if worse => longer(was, is),
            (Lengths::All(was), Lengths::All(is)) => longer(is, was),
            _ => None,
        };
        let direction = if worse { Direction::Worse } else { Direction::Better };
        // Waiting is less than failing: a second is a thousandth of a failure.
        let weight = (apart.as_secs_f64() * after.count as f64) as u64;
        let values = [Value::Times(before), Value::Times(after)];
        self.add(Measure::Time(phase), subject, direction, values, p, weight);
    }

    fn seen(&mut self, was: &Seen, is: &Seen) {
        for (key, before, after) in both(&was.answers, &is.answers) {
            let kind = if key.1 == 1 { "A" } else { "AAAA" };
            let subject = format!("{} {kind}", key.0);
            self.share(Measure::Answered, &subject, before.lookups, after.lookups);
            self.values(Measure::Addresses, &subject, &before.addresses, &after.addresses, 1, String::clone);
        }
        for (name, before, after) in both(&was.certificates, &is.certificates) {
            let [before, after]: [BTreeSet<(&[u8; 32], String)>; 2] = [before, after].map(|leaves| {
                leaves
                    .iter()
                    .map(|(fingerprint, leaf)| (fingerprint, certificate(fingerprint, leaf)))
                    .collect()
            });
            let text = |(_, text): &(&[u8; 32], String)| text.clone();
            self.values(Measure::Certificate, name, &before, &after, 4, text);
        }
        for (host, before, after) in both(&was.hosts, &is.hosts) {
            // Once may be chance: a packet of somebody else, a way for a moment.
            if before.flows < Host::LEAST || after.flows < Host::LEAST {
                continue;
            }
            let subject = host.to_string();
            self.values(Measure::Ttl, &subject, &before.ttl, &after.ttl, 3, u8::to_string);
            self.values(Measure::Link, &subject, &before.links, &after.links, 2, link);
            self.values(Measure::Mss, &subject, &before.mss, &after.mss, 3, u16::to_string);
        }
    }

    /// Compares sets of values: a difference when they have none in common.
    fn values<T: Ord>(
        &mut self,
        measure: Measure,
        subject: &str,
        was: &BTreeSet<T>,
        is: &BTreeSet<T>,
        weight: u64,
        text: impl Fn(&T) -> String,
    ) {
        if was.is_empty() || is.is_empty() {
            return;
        }
        self.compared += 1;
        if was.is_disjoint(is) {
            let values = [was, is].map(|set| Value::Values(set.iter().map(&text).collect()));
            self.add(measure, subject, Direction::Other, values, None, weight);
        }
    }

    fn add(
        &mut self,
        measure: Measure,
        subject: &str,
        direction: Direction,
        [before, after]: [Value; 2],
        p: Option<f64>,
        weight: u64,
    ) {
        let subject = subject.to_owned();
        let certain = direction == Direction::Other;
        self.changes.push(Change { measure, subject, direction, before, after, p, certain, weight });
    }

    /// Says which differences are certain, and puts the weightiest first. The chance is shared out over all
    /// that was tested (Bonferroni), so that many equal services do not make one that is worse.
    fn conclude(&mut self) {
        let chance = Self::CHANCE / self.tested.max(1) as f64;
        for change in &mut self.changes {
            change.certain |= change.p.is_some_and(|p| p < chance);
            change.p = change.p.map(two_digits);
        }
        self.changes.sort_by(|one, other| {
            let key = |change: &Change| (change.direction, !change.certain, std::cmp::Reverse(change.weight));
            key(one)
                .cmp(&key(other))
                .then_with(|| (one.measure, &one.subject).cmp(&(other.measure, &other.subject)))
        });
    }

    /// Something is worse, for certain.
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.direction == Direction::Worse && change.certain)
    }
}

impl Host {
    /// Flows of a host from which its ways are compared.
    const LEAST: u64 = 3;
}

/// Keys that both have, in order.
fn both<'s, K: Ord + std::hash::Hash + Clone, V>(
    was: &'s Bounded<K, V>,
    is: &'s Bounded<K, V>,
) -> Vec<(&'s K, &'s V, &'s V)> {
    let before: BTreeMap<&K, &V> = was.iter().map(|(key, _, value)| (key, value)).collect();
    let mut both: Vec<_> =
        is.iter().filter_map(|(key, _, after)| Some((key, *before.get(key)?, after))).collect();
    both.sort_by(|one, other| one.0.cmp(other.0));
    both
}

/// `CN=api.example of CN=Example CA until 2027-01-01 (sha256 12ab34cd)`.
fn certificate(fingerprint: &[u8; 32], leaf: &Leaf) -> String {
    let until = leaf.not_after.rfc3339();
    let until = until.get(..10).unwrap_or(&until);
    let short = HEXLOWER.encode(&fingerprint[..4]);
    format!("{} of {} until {until} (sha256 {short})", leaf.subject, leaf.issuer)
}

/// `02:00:00:00:00:01`, and the VLAN when there is one.
fn link((address, vlan): &([u8; 6], u16)) -> String {
    let mut text = String::new();
    for (place, octet) in address.iter().enumerate() {
        let colon = if place > 0 { ":" } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{colon}{octet:02x}");
    }
    match vlan {
        0 => text,
        vlan => format!("{text} VLAN {vlan}"),
    }
}

/// A probability as people read it, and the same on every machine.
fn two_digits(p: f64) -> f64 {
    format!("{p:.1e}").parse().unwrap_or(p)
}

/// `10.0.0.1:443 (api.example)`.
fn shown(key: &ServiceKey, service: &Measured) -> String {
    match service.names.first() {
        Some(name) => format!("{} ({name})", key.server),
        None => key.server.to_string(),
    }
}

/// Services of two captures, side by side.
struct Pairs {
    same: Vec<(ServiceKey, ServiceKey)>,
    new: Vec<ServiceKey>,
    gone: Vec<ServiceKey>,
}

/// A service is the same at the same address and port; else when a name, a port and an IP version are those
/// of one service only, on each side.
fn pairs(before: &Profile, after: &Profile) -> Pairs {
    let alone = |profile: &Profile, other: &Profile| -> Vec<ServiceKey> {
        profile.services.keys().filter(|key| !other.services.contains_key(key)).copied().collect()
    };
    let mut same: Vec<(ServiceKey, ServiceKey)> = before
        .services
        .keys()
        .filter(|key| after.services.contains_key(key))
        .map(|key| (*key, *key))
        .collect();
    let (mut gone, mut new) = (alone(before, after), alone(after, before));
    let by_name = |profile: &Profile, keys: &[ServiceKey]| {
        let mut names: BTreeMap<(String, u16, u8, bool), BTreeSet<ServiceKey>> = BTreeMap::new();
        for key in keys {
            for name in profile.services.get(key).into_iter().flat_map(|service| &service.names) {
                let name = (name.clone(), key.server.port, key.protocol, key.server.address.is_ipv6());
                names.entry(name).or_default().insert(*key);
            }
        }
        names
    };
    let (were, are) = (by_name(before, &gone), by_name(after, &new));
    let (mut left, mut come) = (BTreeSet::new(), BTreeSet::new());
    for (name, now) in &are {
        let only = |keys: &BTreeSet<ServiceKey>| keys.first().copied().filter(|_| keys.len() == 1);
        if let (Some(then), Some(now)) = (were.get(name).and_then(only), only(now))
            && !left.contains(&then)
            && !come.contains(&now)
        {
            same.push((then, now));
            left.insert(then);
            come.insert(now);
        }
    }
    gone.retain(|key| !left.contains(key));
    new.retain(|key| !come.contains(key));
    Pairs { same, new, gone }
}

fn moved_to(before: &Profile, after: &Profile, then: &ServiceKey, now: &ServiceKey) -> Moved {
    let names = |profile: &Profile, key: &ServiceKey| match profile.services.get(key) {
        Some(service) => service.names.clone(),
        None => BTreeSet::new(),
    };
    let name = names(before, then).intersection(&names(after, now)).next().cloned().unwrap_or_default();
    Moved { before: then.server.to_string(), after: now.server.to_string(), name }
}

impl Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connections => "connections failed",
            Self::Lookups => "lookups failed",
            Self::Handshakes => "TLS handshakes failed",
            Self::Requests => "HTTP requests failed",
            Self::ClientErrors => "HTTP responses with 4xx",
            Self::Answered => "lookups answered with an error",
            Self::Segments => "segments sent again",
            Self::Time(Phase::Connect) => "time to connect",
            Self::Time(Phase::Tls) => "TLS handshake time",
            Self::Time(Phase::FirstByte) => "time to the first byte",
            Self::Time(Phase::Response) => "HTTP response time",
            Self::Time(Phase::RoundTrip) => "round trip",
            Self::Certificate => "certificate",
            Self::Addresses => "addresses",
            Self::Ttl => "TTL",
            Self::Link => "link address",
            Self::Mss => "MSS",
        })
    }
}

/// Why a difference is not certain.
pub(super) fn doubt(change: &Change) -> &'static str {
    match (&change.before, &change.after, change.p) {
        (Value::Times(before), Value::Times(after), _) if before.count.min(after.count) < LEAST => "too few",
        (.., None) => "a report keeps percentiles only",
        _ => "may be chance",
    }
}

#[cfg(test)]
mod tests;
