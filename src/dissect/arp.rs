//! ARP (RFC 826) for IPv4 over Ethernet.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::ArpPacketSlice;

use super::cursor::Cursor;
use super::ethertype;
use super::walk::{Next, Walk};
use crate::dissect::{Arp, Layer, Stop, Transport};

/// Reads a request or a reply. Other operations and other networks are not read.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Ok(packet) = ArpPacketSlice::from_slice(at.bytes) else {
        return Next::Stop(at.short(Layer::Arp, 28));
    };
    let operation = packet.operation().0;
    let fields = (
        packet.sender_hw_addr().first_chunk(),
        packet.sender_protocol_addr().first_chunk::<4>(),
        packet.target_hw_addr().first_chunk(),
        packet.target_protocol_addr().first_chunk::<4>(),
    );
    let (Some(&sender_link), Some(&sender), Some(&target_link), Some(&target)) = fields else {
        return Next::Stop(Stop::EtherType(ethertype::ARP));
    };
    let sizes = (packet.proto_addr_type().0, packet.hw_addr_size(), packet.proto_addr_size());
    if sizes != (ethertype::IPV4, 6, 4) || !matches!(operation, 1 | 2) {
        return Next::Stop(Stop::EtherType(ethertype::ARP));
    }
    walk.arp(Transport::Arp(Arp {
        reply: operation == 2,
        sender: IpAddr::V4(Ipv4Addr::from(sender)),
        sender_link,
        target: IpAddr::V4(Ipv4Addr::from(target)),
        target_link,
    }));
    Next::Stop(Stop::Payload)
}
