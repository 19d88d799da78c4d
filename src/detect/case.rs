//! What a detector counts together: at most one finding.

use serde::{Deserialize, Serialize};

use crate::app::dns::Transaction;
use crate::app::http::Exchange;
use crate::detect::{Affected, Evidence, EvidenceSample, Merge, Quality, Severity};
use crate::dissect::{Endpoint, PacketRef};
use crate::flow::{Flow, FlowHead};
use crate::time::{Span, Timestamp};

/// Everything a finding needs, counted while flows and messages go by.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Case<C> {
    /// What was judged of the same subject, healthy or not. Set before judging: by then all partitions have
    /// been merged.
    pub total: u64,
    /// Of those, the ones that failed.
    pub failed: u64,
    /// How long somebody waited, without overlaps inside a connection.
    pub lost: Span,
    /// Whom and what it covers.
    pub affected: Affected,
    /// What was wrong with the recording of its flows.
    pub quality: Quality,
    /// The packets that prove it.
    pub sample: EvidenceSample,
    /// Not all flows were TCP.
    other_than_tcp: bool,
    /// The detector's own numbers.
    pub counts: C,
}

impl<C: Default> Case<C> {
    /// A case about the recording itself, from its `first` to its `last` packet. No flow makes it.
    pub fn between(first: Option<Timestamp>, last: Option<Timestamp>) -> Self {
        let mut case = Self::default();
        if let Some((first, last)) = first.zip(last) {
            case.affected.active.add_range(first, last);
        }
        case
    }
}

impl<C> Case<C> {
    /// Takes a flow, and the packets of it that the finding is about.
    pub fn flow(&mut self, flow: &Flow, seen: impl IntoIterator<Item = PacketRef>) {
        self.affected.add(&flow.head());
        self.quality.add(flow);
        self.other_than_tcp |= flow.tcp.is_none();
        seen.into_iter().for_each(|at| self.affected.active.add(at.time));
    }

    /// As [`Case::flow`], of events of which `limits.events_per_flow` may have kept none: then it is about
    /// the whole flow.
    pub fn flow_events(&mut self, flow: &Flow, seen: impl IntoIterator<Item = PacketRef>) {
        let mut seen = seen.into_iter().peekable();
        if seen.peek().is_none() {
            self.affected.active.add_range(flow.first.time, flow.last.time);
        }
        self.flow(flow, seen);
    }

    /// Takes a lookup of `flow` that the finding is about, at the packet `seen`.
    pub fn lookup(&mut self, transaction: &Transaction, flow: &FlowHead, seen: PacketRef) {
        self.affected.add(flow);
        self.other_than_tcp = true;
        self.affected.names.add(transaction.name.to_ascii_lowercase());
        self.affected.active.add(seen.time);
    }

    /// Takes an HTTP exchange of `flow` that the finding is about.
    pub fn exchange(&mut self, exchange: &Exchange, flow: &FlowHead) {
        self.affected.add(flow);
        for at in [exchange.request, exchange.response].into_iter().flatten() {
            self.affected.active.add(at.time);
        }
        let host = exchange.host.split(':').next().unwrap_or_default();
        // Addresses are no names, those of IPv6 in brackets neither.
        let address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        if !host.is_empty() && !address {
            self.affected.names.add(host.to_ascii_lowercase());
        }
    }

    /// Takes in whom another case is about, and its proof. The numbers stay, and so do clients and names:
    /// both count the same things, under other addresses.
    pub(super) fn join(&mut self, other: Self) {
        let (clients, names) = (self.affected.clients.clone(), self.affected.names.clone());
        self.affected.absorb(other.affected);
        (self.affected.clients, self.affected.names) = (clients, names);
        self.quality.absorb(other.quality);
        self.sample.absorb(other.sample);
        self.other_than_tcp |= other.other_than_tcp;
    }

    /// Shows packets of `flow` when its rank is among the lowest; they are gathered only then.
    pub fn show<I: IntoIterator<Item = Evidence>>(
        &mut self,
        rank: i64,
        flow: u64,
        gather: impl FnOnce() -> I,
    ) {
        self.sample.add(rank, flow, gather);
    }

    /// The earliest packet that it is about; `None` when there is no packet.
    pub fn first_seen(&self) -> Option<Timestamp> {
        self.affected.active.first()
    }

    /// The latest.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.affected.active.last()
    }

    /// `3 clients`, `at least 512 clients`.
    pub fn clients(&self) -> String {
        self.affected.clients.of("client")
    }

    /// Its flows, each once (see [`Affected::flows`]).
    pub fn flows(&self) -> u64 {
        self.affected.flows()
    }

    /// How much it matters that `needed` of its tries failed (see [`Severity::of_failures`]).
    pub fn severity(&self, needed: u64) -> Severity {
        let of = self.total.max(self.failed);
        Severity::of_failures(needed, of, self.affected.clients.count().min(needed), self.lost)
    }

    /// The service, when it is one.
    pub fn server(&self) -> Option<Endpoint> {
        self.affected.servers.only().copied()
    }

    /// All its flows are TCP.
    pub(super) fn is_tcp(&self) -> bool {
        !self.other_than_tcp && self.affected.flows() > 0
    }
}

impl<C: Merge> Merge for Case<C> {
    fn absorb(&mut self, other: Self) {
        self.failed += other.failed;
        self.lost += other.lost;
        self.affected.absorb(other.affected);
        self.quality.absorb(other.quality);
        self.sample.absorb(other.sample);
        self.other_than_tcp |= other.other_than_tcp;
        self.counts.absorb(other.counts);
    }
}
