//! Connection attempts over IPv6 that run against one over IPv4 (RFC 8305).

use serde::{Deserialize, Serialize};

use crate::detect::{Bounded, Case, Merge, State, hash_of};
use crate::dissect::{Direction, Endpoint};
use crate::flow::Flow;
use crate::time::Timestamp;

/// Who opens a connection to which port, and when: link address, port, second.
type Start = ([u8; 6], u16, i64);

/// An attempt races for two seconds at most (RFC 8305 section 5, the longest attempt delay).
const RACE_SECONDS: i64 = 2;

/// An attempt over IPv6, perhaps the loser of a race.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(bound = "C: State")]
struct Racer<C> {
    server: Option<Endpoint>,
    case: Case<C>,
}

impl<C> Merge for Racer<C> {
    fn absorb(&mut self, other: Self) {
        // Keys have the flow in them: nothing is ever counted twice under one.
        *self = other;
    }
}

/// Attempts over IPv6, and the IPv4 connections that may have overtaken them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(bound = "C: State")]
pub(super) struct Races<C> {
    racers: Bounded<(Start, u64), Racer<C>, { 1 << 14 }>,
    winners: Bounded<Start, u64, { 1 << 16 }>,
}

/// How the races ended.
pub(super) struct Results<C> {
    /// Attempts that nothing overtook, by service.
    pub(super) alone: Vec<(Endpoint, Case<C>)>,
    /// Attempts that an IPv4 connection overtook.
    pub(super) overtaken: u64,
    /// Attempts of which that is not known, because a table was full.
    pub(super) unknown: u64,
}

impl<C: State> Merge for Races<C> {
    fn absorb(&mut self, other: Self) {
        self.racers.absorb(other.racers);
        self.winners.absorb(other.winners);
    }

    fn narrow(&mut self, halvings: u32) {
        self.racers.narrow(halvings);
        self.winners.narrow(halvings);
    }
}

impl<C: State> Races<C> {
    /// A connection of `flow`, asked for at `first`, opened.
    pub(super) fn opened(&mut self, flow: &Flow, first: Timestamp) {
        if flow.client.address.is_ipv4() {
            let start = start(flow, first);
            self.winners.observe_by(start, |_| dialer_hash(start));
        }
    }

    /// The case of an attempt that got no answer; `None` when lower hashes fill the table.
    pub(super) fn ran(&mut self, flow: &Flow, first: Timestamp) -> Option<&mut Case<C>> {
        let start = start(flow, first);
        let racer = self.racers.observe(dialer_hash(start), (start, flow.id))?;
        racer.server = Some(flow.server);
        Some(&mut racer.case)
    }

    /// Everything was counted.
    pub(super) fn end(mut self) -> Results<C> {
        let mut results = Results { alone: Vec::new(), overtaken: 0, unknown: self.racers.lost() };
        for ((start, _), racer) in self.racers.take_if(|_, _| true) {
            let Some(server) = racer.server else { continue };
            let ((address, port, second), hash) = (start, dialer_hash(start));
            let won = |second| self.winners.get(&(address, port, second)).is_some();
            if (second..=second + RACE_SECONDS).any(won) {
                results.overtaken += 1;
            } else if !self.winners.covers(hash) {
                results.unknown += 1;
            } else {
                results.alone.push((server, racer.case));
            }
        }
        results
    }
}

fn start(flow: &Flow, first: Timestamp) -> Start {
    let link = flow.half(Direction::ToServer).links.first().map_or([0; 6], |link| link.source);
    (link, flow.server.port, first.0.div_euclid(1_000_000_000))
}

/// By the dialer alone, so that both sides of a race are kept or neither.
fn dialer_hash((link, port, _): Start) -> u64 {
    hash_of(&(link, port))
}
