//! Which conversation a packet belongs to, whatever its protocol.

use crate::dissect::{Endpoint, FiveTuple, PacketRecord, Transport};

/// The tuple of the conversation, the same for both directions: of the quoted packet for an ICMP error, of
/// sender and target for ARP, without ports for a fragment. `None` for a packet without addresses.
pub(super) fn conversation(record: &PacketRecord) -> Option<FiveTuple> {
    let tuple = match &record.transport {
        Transport::Arp(arp) => {
            let end = |address| Endpoint { address, port: 0 };
            Some(FiveTuple { source: end(arp.sender), destination: end(arp.target), protocol: 0 })
        }
        Transport::Icmp(icmp) if icmp.quoted.is_some() => FiveTuple::quoted(record),
        _ => FiveTuple::of(record),
    };
    tuple.map(FiveTuple::canonical)
}

/// The tuple that fragments of a conversation have before they are put together.
pub(super) fn of_fragments(tuple: FiveTuple) -> FiveTuple {
    let end = |end: Endpoint| Endpoint { port: 0, ..end };
    let (source, destination) = (end(tuple.source), end(tuple.destination));
    FiveTuple { source, destination, ..tuple }.canonical()
}
