//! How much of the traffic was judged at all: "clean" has to be earned.

use serde::Serialize;

use crate::humanize::percent;
use crate::pipeline::Outcome;

/// How much of the traffic was judged, and what the rest is.
///
/// TCP, DNS, ICMP and ARP are judged. UDP of which nobody reads the content, other protocols over IP, and
/// packets that dissection stopped at are not: no detector knows when they are well. Of QUIC the handshakes
/// are judged; its packets count as the rest, for loss does not show in what is encrypted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assessed {
    /// Share of the packets, from 0 to 1.
    pub packets: f64,
    /// Share of the bytes on the wire.
    pub bytes: f64,
    /// What the rest is, the largest first; at most [`Assessed::KINDS`] kinds.
    pub rest: Vec<Rest>,
}

/// Traffic that no detector judges.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rest {
    /// What it is: `UDP port 5004`, `encrypted QUIC (UDP port 443)`, `ethertype 0x88cc`.
    pub what: String,
    /// Its packets.
    pub packets: u64,
    /// Its bytes; `None` when they were not counted apart.
    pub bytes: Option<u64>,
}

impl Assessed {
    /// Share of packets and of bytes from which finding nothing means something: half. A judgement: below it,
    /// most of what a person would ask about was not looked at.
    pub const LEAST: f64 = 0.5;
    /// Kinds listed.
    pub const KINDS: usize = 8;

    /// Of a finished analysis.
    pub fn new(outcome: &Outcome) -> Self {
        let totals = &outcome.totals;
        let (unread, kinds) = outcome.board.unread();
        let stopped: u64 = totals.stops.values().sum();
        let mut rest: Vec<Rest> = kinds
            .into_iter()
            .map(|(what, seen)| Rest { what, packets: seen.packets, bytes: Some(seen.bytes) })
            .collect();
        let stops = totals.stops.iter();
        rest.extend(stops.map(|(what, packets)| Rest { what: what.clone(), packets: *packets, bytes: None }));
        rest.sort_by(|a, b| b.packets.cmp(&a.packets).then_with(|| a.what.cmp(&b.what)));
        rest.truncate(Self::KINDS);
        Self {
            packets: without(unread.packets + stopped, totals.packets),
            bytes: without(unread.bytes + totals.stopped_bytes, totals.wire_bytes),
            rest,
        }
    }

    /// Enough to say that nothing is wrong.
    pub fn is_enough(&self) -> bool {
        self.packets.min(self.bytes) >= Self::LEAST
    }

    /// `38 % of the packets and 9 % of the bytes`.
    pub fn words(&self) -> String {
        let shown = |share: f64| percent((share * 10_000.0) as u64, 10_000);
        format!("{} of the packets and {} of the bytes", shown(self.packets), shown(self.bytes))
    }
}

/// The share of `all` without `part`.
fn without(part: u64, all: u64) -> f64 {
    match all {
        0 => 1.0,
        all => all.saturating_sub(part) as f64 / all as f64,
    }
}
