//! ICMP echo requests and what became of them (RFC 792, RFC 4443 section 4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dissect::{Ip, PacketRecord, PacketRef};
use crate::time::{Span, Timestamp};

/// Requests of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EchoSize {
    /// Answered.
    pub answered: u64,
    /// Not answered.
    pub lost: u64,
    /// All of them had don't-fragment set, or were IPv6.
    pub whole: bool,
}

/// The echo requests of one side, without duplicate observations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Echoes {
    /// Answered.
    pub answered: u64,
    /// Not answered within [`Echoes::WAIT`].
    pub lost: u64,
    /// Sent so shortly before the flow's end that an answer may be on its way.
    pub pending: u64,
    /// Requests and answers by IP datagram size, at most [`Echoes::SIZES`] of them.
    pub sizes: BTreeMap<u32, EchoSize>,
    /// Shortest and longest time to the answer, and the sum of all.
    pub round_trip: Option<(Span, Span, Span)>,
    /// First and last request.
    pub sent: Option<(PacketRef, PacketRef)>,
    /// The first unanswered requests, at most [`Echoes::KEPT`].
    pub lost_at: Vec<PacketRef>,
    /// Requests with a TTL that no host begins with: traceroute.
    pub low_ttl: u64,
    /// Replies whose request is not in this flow: it went before the capture, or through another tunnel.
    pub unasked: u64,
    /// Of those, the ones whose request the capture missed: longer than [`Echoes::WAIT`] after the first one
    /// that it holds, no answer is to a request from before.
    pub missed: u64,
    /// The first answered request and its answer.
    pub answer: Option<(PacketRef, PacketRef)>,
    /// The most unanswered requests in a row.
    pub longest_run: u64,
    run: u64,
    /// Requests whose identifier and sequence number an earlier one has: no ping does that.
    pub reused: u64,
    /// By identifier and sequence number.
    waiting: BTreeMap<(u16, u16), Waiting>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Waiting {
    at: PacketRef,
    length: u32,
    whole: bool,
    answered: bool,
}

impl Echoes {
    /// At the end of a flow, a request this old that has no answer gets none: fping and Windows' ping wait
    /// from half a second to four. Of the requests before it nobody is in a hurry.
    pub const WAIT: Span = Span::secs(4);
    /// Sizes told apart.
    pub const SIZES: usize = 32;
    /// Unanswered requests kept.
    pub const KEPT: usize = 16;
    /// Requests that wait for an answer at a time.
    const WAITING: usize = 128;
    /// The same request this soon is another observation of it.
    const COPY: Span = Span::millis(500);

    pub(super) fn request(&mut self, packet: &PacketRecord, ip: &Ip, echo: (u16, u16)) {
        let at = PacketRef { packet: packet.packet, time: packet.time };
        if let Some(known) = self.waiting.get(&echo).copied() {
            if at.time - known.at.time <= Self::COPY {
                return;
            }
            self.reused += 1;
            self.waiting.remove(&echo);
            self.settle(known);
        }
        while self.waiting.len() >= Self::WAITING {
            self.settle_oldest();
        }
        self.low_ttl += u64::from(ip.ttl <= 30);
        self.sent = Some((self.sent.map_or(at, |(first, _)| first), at));
        let waiting = Waiting { at, length: ip.length, whole: ip.dont_fragment, answered: false };
        self.waiting.insert(echo, waiting);
    }

    pub(super) fn reply(&mut self, packet: &PacketRecord, echo: (u16, u16)) {
        let at = PacketRef { packet: packet.packet, time: packet.time };
        let Some(request) = self.waiting.get_mut(&echo) else {
            self.unasked += 1;
            self.missed += u64::from(self.sent.is_some_and(|(first, _)| at.time - first.time > Self::WAIT));
            return;
        };
        if request.answered {
            return;
        }
        let took = at.time - request.at.time;
        request.answered = true;
        if took >= Span::ZERO {
            self.round_trip = Some(self.round_trip.map_or((took, took, took), |(least, most, sum)| {
                (least.min(took), most.max(took), sum + took)
            }));
        }
        self.answer.get_or_insert((request.at, at));
    }

    fn settle_oldest(&mut self) {
        let oldest = self.waiting.iter().min_by_key(|(_, request)| request.at.packet);
        if let Some(request) = oldest.map(|(key, _)| *key).and_then(|key| self.waiting.remove(&key)) {
            self.settle(request);
        }
    }

    fn settle(&mut self, request: Waiting) {
        if self.sizes.len() < Self::SIZES || self.sizes.contains_key(&request.length) {
            let fresh = EchoSize { whole: true, ..EchoSize::default() };
            let size = self.sizes.entry(request.length).or_insert(fresh);
            size.answered += u64::from(request.answered);
            size.lost += u64::from(!request.answered);
            size.whole &= request.whole;
        }
        if request.answered {
            self.answered += 1;
            self.run = 0;
            return;
        }
        self.lost += 1;
        self.run += 1;
        self.longest_run = self.longest_run.max(self.run);
        if self.lost_at.len() < Self::KEPT {
            self.lost_at.push(request.at);
        }
    }

    /// No packet follows; more of them would have been seen until `watched_until`.
    pub(super) fn finish(&mut self, watched_until: Timestamp) {
        let late: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, request)| !request.answered && watched_until - request.at.time < Self::WAIT)
            .map(|(key, _)| *key)
            .collect();
        self.pending = late.len() as u64;
        self.waiting.retain(|key, _| !late.contains(key));
        while !self.waiting.is_empty() {
            self.settle_oldest();
        }
    }

    /// What they take beside themselves, bytes.
    pub(super) fn held(&self) -> usize {
        let waiting = self.waiting.len() * size_of::<((u16, u16), Waiting)>();
        let sizes = self.sizes.len() * size_of::<(u32, EchoSize)>();
        size_of::<Self>() + 2 * (waiting + sizes) + Self::KEPT * size_of::<PacketRef>()
    }

    /// Requests whose fate is known.
    pub fn judged(&self) -> u64 {
        self.answered + self.lost
    }
}
