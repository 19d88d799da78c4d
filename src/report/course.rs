//! How attempts went over time, for the plots: samples of finished rows, taken while the analysis runs.
//!
//! What is kept of many is chosen by the hash of its first packet, so that neither order nor number of the
//! rows shows: a sample of fixed size for each service, once of what went well and once of what failed.

use std::collections::BTreeMap;

use crate::app::dns::{SERVFAIL, Transaction};
use crate::app::http::Exchange;
use crate::correlate::{self, Failure, ServiceKey};
use crate::detect::{Bounded, hash_of, request_failed};
use crate::dissect::Endpoint;
use crate::flow::{Finished, Flow, FlowHead, Row};
use crate::time::{Span, Timestamp};

/// What was measured of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// SYN to SYN-ACK, retries included.
    Connect,
    /// Round trips: of the handshake, and of data that is acknowledged at once.
    RoundTrip,
    /// Last byte of a request to the first of its response: of each connection the longest four.
    FirstByte,
    /// Last byte of an HTTP request to the first of its response.
    Response,
    /// First query to response.
    Lookup,
}

/// An attempt: when it began, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its first packet's time.
    pub time: Timestamp,
    /// How long it took; `None` when there was no end.
    pub took: Option<Span>,
}

/// A few of many attempts: those whose first packets have the lowest hashes.
#[derive(Clone, Debug, Default)]
struct Sample(BTreeMap<(u64, u64), Attempt>);

impl Sample {
    const MOST: usize = 160;

    fn add(&mut self, packet: u64, attempt: Attempt) {
        let key = (hash_of(&packet), packet);
        if self.0.len() >= Self::MOST && self.0.last_key_value().is_some_and(|(last, _)| *last < key) {
            return;
        }
        self.0.insert(key, attempt);
        if self.0.len() > Self::MOST {
            self.0.pop_last();
        }
    }
}

/// Counts by time, in slots as wide as it takes: the smallest power of two times `LEAST` with which
/// there are at most `MOST` of them.
#[derive(Clone, Debug, Default)]
pub struct Slots<const COUNTS: usize, const MOST: usize> {
    width: u32,
    slots: BTreeMap<i64, [u32; COUNTS]>,
}

impl<const COUNTS: usize, const MOST: usize> Slots<COUNTS, MOST> {
    /// Width of the narrowest slot, nanoseconds.
    const LEAST: i64 = 1 << 26;

    fn slot(&self, time: Timestamp) -> i64 {
        time.0.div_euclid(Self::LEAST) >> self.width
    }

    fn add(&mut self, time: Timestamp, what: usize) {
        let slot = self.slot(time);
        let known = self.slots.len();
        if let Some(count) = self.slots.entry(slot).or_insert([0; COUNTS]).get_mut(what) {
            *count = count.saturating_add(1);
        }
        if self.slots.len() == known {
            return;
        }
        // From the first slot to the last, the empty ones between them, too: all of them are drawn.
        while self.span() > MOST as i64 && self.width < 40 {
            self.width += 1;
            for (slot, counts) in std::mem::take(&mut self.slots) {
                let wide = self.slots.entry(slot >> 1).or_insert([0; COUNTS]);
                wide.iter_mut().zip(counts).for_each(|(all, one)| *all = all.saturating_add(one));
            }
        }
    }

    fn span(&self) -> i64 {
        let ends = self.slots.first_key_value().zip(self.slots.last_key_value());
        ends.map_or(0, |((first, _), (last, _))| last - first + 1)
    }

    /// How wide a slot is.
    pub fn width(&self) -> Span {
        Span(Self::LEAST << self.width.min(34))
    }

    /// When each slot begins, and what was counted in it.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, [u32; COUNTS])> {
        let width = self.width().0;
        self.slots.iter().map(move |(slot, counts)| (Timestamp(slot.saturating_mul(width)), *counts))
    }
}

/// SYN, SYN-ACK and RST over time.
pub type Openings = Slots<3, 64>;

/// Attempts over time: those that went well, those that failed, those that nobody can judge.
pub type Attempts = Slots<3, 120>;

/// What is kept of a service.
#[derive(Clone, Debug, Default)]
struct Kept {
    samples: BTreeMap<Measure, [Sample; 2]>,
    openings: Openings,
}

/// How attempts went over time, all of them and by service.
#[derive(Clone, Debug, Default)]
pub struct Course {
    services: Bounded<ServiceKey, Kept, { correlate::SERVICES }>,
    all: Attempts,
}

/// How long a request has to be left without an answer: longer than the first time-out of a TCP (RFC 6298
/// section 2).
const PATIENCE: Span = Span::secs(3);

const TCP: u8 = 6;
const UDP: u8 = 17;

impl Course {
    /// Takes finished rows.
    pub fn finished(&mut self, rows: &[Row]) {
        for row in rows {
            match &row.what {
                Finished::Flow(flow) => self.flow(flow),
                Finished::Transaction(of) => self.lookup(&of.0, &of.1),
                Finished::Exchange(of) => self.exchange(&of.0, &of.1),
            }
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = flow.tcp.as_ref().filter(|_| flow.protocol == TCP) else { return };
        let outcome = if flow.is_cut() { None } else { correlate::outcome(flow, tcp) };
        self.all.add(flow.first.time, outcome.map_or(2, |failure| usize::from(failure.is_some())));
        let Some(kept) = self.kept(flow.server, TCP) else { return };
        let handshake = &tcp.handshake;
        handshake.syns.iter().for_each(|at| kept.openings.add(at.time, 0));
        handshake.syn_acks.iter().for_each(|at| kept.openings.add(at.time, 1));
        tcp.resets.iter().for_each(|reset| kept.openings.add(reset.at.time, 2));
        // The RST that refuses a SYN stands there.
        let refused = handshake.answer.filter(|at| {
            outcome == Some(Some(Failure::Refused)) && tcp.resets.iter().all(|reset| reset.at != *at)
        });
        refused.into_iter().for_each(|at| kept.openings.add(at.time, 2));
        let mut take = |measure, packet, time, took, failed| {
            let samples = kept.samples.entry(measure).or_default();
            samples[usize::from(failed)].add(packet, Attempt { time, took });
        };
        if let Some(outcome) = outcome.filter(|_| !handshake.syns.is_empty()) {
            use Failure::{NoAnswer, NotOpened, Refused, Unreachable};
            let closed = matches!(outcome, Some(NoAnswer | NotOpened | Refused | Unreachable));
            let took = handshake.connect_time.filter(|_| !closed);
            take(Measure::Connect, flow.id, flow.first.time, took, closed || took.is_none());
        }
        if let Some((there, back)) = handshake.server_rtt.zip(handshake.client_rtt) {
            take(Measure::RoundTrip, flow.id, flow.first.time, Some(there + back), false);
        }
        for trip in tcp.sides.iter().flat_map(|side| &side.trips) {
            take(Measure::RoundTrip, trip.at.packet, trip.at.time, Some(trip.least), false);
        }
        let Some(turns) = &tcp.turns else { return };
        for turn in &turns.slowest {
            take(Measure::FirstByte, turn.request.packet, turn.request.time, turn.waited(), false);
        }
        let open = turns.open.iter().filter(|turn| flow.watched_until - turn.request.time >= PATIENCE);
        for turn in open {
            take(Measure::FirstByte, turn.request.packet, turn.request.time, None, true);
        }
    }

    fn exchange(&mut self, exchange: &Exchange, flow: &FlowHead) {
        let Some(asked) = exchange.request.filter(|_| !exchange.unheard) else { return };
        let failed = request_failed(exchange);
        if let Some(kept) = self.kept(flow.server, TCP).filter(|_| failed || exchange.status.is_some()) {
            let samples = kept.samples.entry(Measure::Response).or_default();
            let attempt = Attempt { time: asked.time, took: exchange.waited() };
            samples[usize::from(failed)].add(asked.packet, attempt);
        }
    }

    fn lookup(&mut self, transaction: &Transaction, flow: &FlowHead) {
        const REFUSED: u16 = 5;
        let lookup = transaction.is_lookup(flow.server.port);
        let Some(query) = transaction.query.filter(|_| lookup && !transaction.unheard) else { return };
        let failed = match transaction.response {
            Some(_) => matches!(transaction.rcode, Some(SERVFAIL | REFUSED)),
            None => true,
        };
        self.all.add(query.time, usize::from(failed));
        if let Some(kept) = self.kept(flow.server, UDP) {
            let samples = kept.samples.entry(Measure::Lookup).or_default();
            let attempt = Attempt { time: query.time, took: transaction.waited() };
            samples[usize::from(failed)].add(query.packet, attempt);
        }
    }

    fn kept(&mut self, server: Endpoint, protocol: u8) -> Option<&mut Kept> {
        let key = ServiceKey { server, protocol };
        self.services.count(key)
    }

    /// All attempts over time.
    pub fn attempts(&self) -> &Attempts {
        &self.all
    }

    /// SYN, SYN-ACK and RST of a service over time.
    pub fn openings(&self, server: Endpoint) -> Option<&Openings> {
        let of = |key: &ServiceKey| key.server == server && key.protocol == TCP;
        self.services.iter().find(|(key, ..)| of(key)).map(|(.., kept)| &kept.openings)
    }

    /// Some attempts of the services that `wanted` accepts, in the order of time: those that went well, and
    /// those that failed.
    pub fn sample(&self, measure: Measure, mut wanted: impl FnMut(&Endpoint) -> bool) -> [Vec<Attempt>; 2] {
        let services = self.services.iter().filter(|(key, ..)| wanted(&key.server));
        let samples: Vec<&[Sample; 2]> =
            services.filter_map(|(.., kept)| kept.samples.get(&measure)).collect();
        [0, 1].map(|which| {
            let mut all: Vec<(&(u64, u64), &Attempt)> =
                samples.iter().flat_map(|samples| &samples[which].0).collect();
            all.sort_by_key(|(key, _)| **key);
            let mut some: Vec<Attempt> =
                all.into_iter().take(2 * Sample::MOST).map(|(_, attempt)| *attempt).collect();
            some.sort_by_key(|attempt| (attempt.time, attempt.took));
            some
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_does_not_depend_on_the_order() {
        let attempt = |packet: u64| Attempt { time: Timestamp(packet as i64), took: Some(Span(1)) };
        let (mut there, mut back) = (Sample::default(), Sample::default());
        (0..1_000).for_each(|packet| there.add(packet, attempt(packet)));
        (0..1_000).rev().for_each(|packet| back.add(packet, attempt(packet)));
        assert_eq!(there.0, back.0);
        assert_eq!(there.0.len(), Sample::MOST);
    }

    #[test]
    fn slots_are_few_and_lose_nothing() {
        let mut slots: Slots<1, 64> = Slots::default();
        for second in [0, 1, 5, 3_600, 86_400, -7] {
            slots.add(Timestamp(second * 1_000_000_000), 0);
        }
        assert!(slots.span() <= 64, "{slots:?}");
        assert_eq!(slots.iter().map(|(_, [count])| count).sum::<u32>(), 6);
        assert!(slots.iter().all(|(from, _)| from.0 % slots.width().0 == 0));
    }
}
