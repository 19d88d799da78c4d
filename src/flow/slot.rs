//! A place of the flow table: one SYN, or a flow.

use crate::capture::Keys;
use crate::dissect::{Direction, FiveTuple};
use crate::flow::FlowLimits;
use crate::flow::attempt::Attempt;
use crate::flow::entry::Entry;
use crate::flow::open::{EvictionRank, Open};
use crate::time::{Span, Timestamp};

/// An open flow. Boxed, so that a table which grows moves pointers.
#[derive(Debug)]
pub(super) enum Slot {
    /// One SYN so far.
    Attempt(Box<Attempt>),
    /// More than that.
    Flow(Box<Open>),
}

impl Slot {
    /// The flow, made from its SYN when there was nothing else so far.
    pub(super) fn flow(&mut self, limits: &FlowLimits, keys: Option<&Keys>) -> &mut Open {
        match self {
            Self::Flow(open) => open,
            Self::Attempt(attempt) => {
                *self = Self::Flow(attempt.begin(limits, keys));
                self.flow(limits, keys)
            }
        }
    }

    /// Silence after which it is over, as its state is now.
    pub(super) fn idle(&self, limits: &FlowLimits) -> Span {
        match self {
            Self::Attempt(_) => limits.tcp_attempt,
            Self::Flow(open) => open.idle(limits),
        }
    }

    /// The stream's numbers know a packet of this direction.
    pub(super) fn told(&self, direction: Direction) -> bool {
        match self {
            Self::Attempt(_) => direction == Direction::ToServer,
            Self::Flow(open) => open.told[direction.index()],
        }
    }

    /// When something that it contains is final.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Attempt(_) => None,
            Self::Flow(open) => open.content.next_deadline(),
        }
    }

    pub(super) fn entry(&self) -> &Entry {
        match self {
            Self::Attempt(attempt) => &attempt.entry,
            Self::Flow(open) => &open.entry,
        }
    }

    pub(super) fn entry_mut(&mut self) -> &mut Entry {
        match self {
            Self::Attempt(attempt) => &mut attempt.entry,
            Self::Flow(open) => &mut open.entry,
        }
    }

    /// Ordinal of its first packet.
    pub(super) fn id(&self) -> u64 {
        match self {
            Self::Attempt(attempt) => attempt.id(),
            Self::Flow(open) => open.flow.id,
        }
    }

    /// Its ends, as the client's packets have them.
    pub(super) fn tuple(&self) -> FiveTuple {
        match self {
            Self::Attempt(attempt) => attempt.tuple,
            Self::Flow(open) => open.tuple(),
        }
    }

    /// Hash of the tunnels around its first packet.
    pub(super) fn tunnel(&self) -> u64 {
        match self {
            Self::Attempt(attempt) => attempt.tunnel(),
            Self::Flow(open) => open.flow.path.hash,
        }
    }

    /// The direction of a packet with these ends; `None` when it is of another flow. VLANs are left out, so
    /// that a path that differs by direction stays one flow; tunnels are in, so that tenants with equal
    /// addresses stay apart.
    pub(super) fn direction(&self, tuple: &FiveTuple, tunnel: u64) -> Option<Direction> {
        if tunnel == self.tunnel() { self.direction_of(tuple) } else { None }
    }

    /// The same by the ends alone.
    pub(super) fn direction_of(&self, tuple: &FiveTuple) -> Option<Direction> {
        match self {
            Self::Attempt(attempt) => attempt.tuple.direction_of(tuple),
            Self::Flow(open) => open.direction_of(tuple),
        }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Attempt(attempt) => attempt.held(),
            Self::Flow(open) => open.held(),
        }
    }

    pub(super) fn eviction_rank(&self) -> EvictionRank {
        match self {
            Self::Attempt(attempt) => attempt.eviction_rank(),
            Self::Flow(open) => open.eviction_rank(),
        }
    }
}
