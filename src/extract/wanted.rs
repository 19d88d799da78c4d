//! Which packets are wanted, one by one: by flow, community id, time and display filter.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::fields::Seen;
use super::key::{conversation, of_fragments};
use super::{Again, DisplayFilter, ExtractError, Packet};
use crate::dissect::{Endpoint, FiveTuple, PacketRecord, Transport, community_id, dissect};
use crate::time::Timestamp;

/// A flow, from its first to its last packet. Another one with the same addresses and ports may follow.
#[derive(Clone, Copy, Debug)]
pub struct FlowSpan {
    /// Addresses, ports and protocol, in canonical order.
    pub tuple: FiveTuple,
    /// Ordinal of its first packet.
    pub first: u64,
    /// Ordinal of its last packet.
    pub last: u64,
    /// Number of its TCP stream.
    pub stream: Option<u32>,
}

/// Which packets are wanted: everything that is set has to hold.
#[derive(Debug, Default)]
pub struct Wanted {
    filter: Option<DisplayFilter>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    community: Option<String>,
    /// Of one of these flows.
    only: Option<Vec<FlowSpan>>,
    /// By tuple: first and last packet, and number of the streams that the filter names.
    streams: BTreeMap<FiveTuple, Vec<FlowSpan>>,
}

impl Wanted {
    /// That a filter lets pass. `streams` are the flows whose TCP stream it names.
    pub fn filter(&mut self, filter: DisplayFilter, streams: &[FlowSpan]) {
        self.filter = Some(filter);
        for flow in streams {
            self.streams.entry(flow.tuple).or_default().push(*flow);
        }
    }

    /// Captured at `from` or later, at `to` or earlier.
    pub fn between(&mut self, from: Option<Timestamp>, to: Option<Timestamp>) {
        (self.from, self.to) = (from, to);
    }

    /// With this community id.
    pub fn community(&mut self, id: String) {
        self.community = Some(id);
    }

    /// Of one of these flows: their packets, their fragments, and ICMP errors about them.
    pub fn flows(&mut self, flows: Vec<FlowSpan>) {
        self.only = Some(flows);
    }

    /// From the first to the last packet that may be wanted; `None` when none can be.
    fn ordinals(&self) -> Option<RangeInclusive<u64>> {
        let Some(flows) = &self.only else { return Some(1..=u64::MAX) };
        let first = flows.iter().map(|flow| flow.first).min();
        let last = flows.iter().map(|flow| flow.last).max();
        first.zip(last).map(|(first, last)| first..=last)
    }

    /// The packet is wanted.
    fn takes(&self, packet: &Packet<'_>) -> bool {
        let record = dissect(&packet.raw);
        let early = self.from.is_some_and(|from| record.time < from);
        let late = self.to.is_some_and(|to| record.time > to);
        if early || late || self.community.as_ref().is_some_and(|id| community(&record).as_ref() != Some(id))
        {
            return false;
        }
        let tuple = conversation(&record);
        let within = |flow: &FlowSpan| (flow.first..=flow.last).contains(&record.packet);
        if let Some(flows) = &self.only {
            let fragment = matches!(record.transport, Transport::Fragment(_));
            let meets = |flow: &FlowSpan| {
                let whole = Some(flow.tuple) == tuple;
                within(flow) && (whole || fragment && Some(of_fragments(flow.tuple)) == tuple)
            };
            if !flows.iter().any(meets) {
                return false;
            }
        }
        let Some(filter) = &self.filter else { return true };
        let of_tuple = tuple.and_then(|tuple| self.streams.get(&tuple));
        let stream = of_tuple.into_iter().flatten().find(|flow| within(flow)).and_then(|flow| flow.stream);
        filter.fits(&Seen { packet, record: &record, stream })
    }

    /// Gives `each` the wanted packets in capture order.
    ///
    /// # Errors
    /// When an input cannot be read again, or `each` fails.
    pub fn each(
        &self,
        again: &Again,
        each: impl FnMut(&Packet<'_>) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let Some(ordinals) = self.ordinals() else { return Ok(()) };
        again.packets(ordinals, |packet| self.takes(packet), each)
    }
}

/// The community id of a packet; `None` for one without addresses.
fn community(record: &PacketRecord) -> Option<String> {
    match &record.transport {
        Transport::Icmp(icmp) => {
            let ip = record.ip?;
            let end = |address| Endpoint { address, port: 0 };
            let (source, destination) = (end(ip.source), end(ip.destination));
            let tuple = FiveTuple { source, destination, protocol: ip.protocol };
            Some(community_id(&tuple, Some(icmp)))
        }
        Transport::Arp(_) | Transport::Fragment(_) => None,
        _ => Some(community_id(&FiveTuple::of(record)?, None)),
    }
}
