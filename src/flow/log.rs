//! The classified segments of one flow, up to a cap.

use std::collections::BTreeSet;

use crate::dissect::{Direction, PacketRef, Seq};
use crate::flow::TcpEvent;
use crate::time::{Span, Timestamp};

/// Events searched for the retransmission that a duplicate SACK reports: it is one round trip old at most.
const LOOK_BACK: usize = 1024;

/// Events of a flow in the order they were decided; sorted by packet when the flow closes.
#[derive(Debug)]
pub(super) struct EventLog {
    events: Vec<TcpEvent>,
    cap: usize,
    dropped: u64,
    /// Retransmissions that duplicate SACKs have reported, and where the reported range began.
    reported: BTreeSet<(usize, u32)>,
}

impl EventLog {
    pub(super) fn new(cap: u32) -> Self {
        Self { events: Vec::new(), cap: cap as usize, dropped: 0, reported: BTreeSet::new() }
    }

    /// Keeps `event` and says where; the first `cap` are kept.
    pub(super) fn push(&mut self, event: TcpEvent) -> Option<usize> {
        if self.events.len() == self.cap {
            self.dropped += 1;
            return None;
        }
        self.events.push(event);
        Some(self.events.len() - 1)
    }

    pub(super) fn get(&self, index: usize) -> Option<&TcpEvent> {
        self.events.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut TcpEvent> {
        self.events.get_mut(index)
    }

    /// The data retransmission of `direction` that a duplicate SACK of `[start, end)` reports: the latest one
    /// that no earlier SACK of this range did. Each reports one copy (RFC 2883 section 4).
    pub(super) fn reported_repeat(&mut self, direction: Direction, start: Seq, end: Seq) -> Option<usize> {
        let oldest = self.events.len().saturating_sub(LOOK_BACK);
        let recent = self.events.iter().enumerate().skip(oldest).rev().find(|(index, event)| {
            event.direction == direction
                && event.kind.is_data_retransmission()
                && event.seq.before(end)
                && event.seq.plus(event.length).after(start)
                && !self.reported.contains(&(*index, start.0))
        });
        let index = recent.map(|(index, _)| index)?;
        self.reported.insert((index, start.0));
        Some(index)
    }

    /// Bytes of memory that they take.
    pub(super) fn held(&self) -> usize {
        self.events.capacity() * size_of::<TcpEvent>() + self.reported.len() * size_of::<(usize, u32)>() * 2
    }

    /// The events in packet order, and how many more there were.
    pub(super) fn finish(mut self) -> (Vec<TcpEvent>, u64) {
        self.events.sort_by_key(|event| (event.at.packet, event.kind));
        (self.events, self.dropped)
    }
}

/// Time during which losses held the stream up: the union of what the retransmissions of data waited. A SYN
/// that is repeated holds up the connection, not the stream: that is `connect_time`.
pub(super) fn stalled<'a>(
    events: impl IntoIterator<Item = &'a TcpEvent>,
    direction: Direction,
    transfer: Option<(PacketRef, PacketRef)>,
) -> Span {
    let mut waits: Vec<(Timestamp, Timestamp)> = events
        .into_iter()
        .filter(|event| event.kind.is_data_retransmission() && event.stalled > Span::ZERO)
        .filter(|event| event.direction == direction)
        .map(|event| (event.at.time - event.stalled, event.at.time))
        .collect();
    waits.sort();
    let (mut total, mut until) = (Span::ZERO, transfer.map_or(Timestamp::MIN, |(first, _)| first.time));
    for (from, to) in waits {
        if to > until {
            total += to - from.max(until);
            until = to;
        }
    }
    total
}
