//! [`RawPacket`] -> [`PacketRecord`]
//!
//! [`dissect`] is total: any bytes give a record, and [`Stop`] says where reading ended and why. Headers are
//! read outermost first, one file per header. A header file looks at a run of octets (`cursor`), writes what
//! it learnt into the record (`walk`) and names what follows; nothing recurses and nothing allocates. A
//! record has the fields of the innermost IP packet that could be read. Its path is what is around it.
//!
//! Fragments come out as [`Transport::Fragment`]. [`Defragmenter`] puts them together and
//! [`dissect_datagram`] reads the result as of the fragment that arrived last.

mod arp;
mod checksum;
mod community_id;
mod cursor;
mod defrag;
mod direction;
mod erspan;
mod ethernet;
mod ethertype;
mod fddi;
mod fragment_buffer;
mod fragment_path;
mod frame_relay;
mod geneve;
mod gre;
mod gtpu;
mod header;
mod hdlc;
mod icmp;
mod ieee80211;
mod ip;
mod ipnet;
mod ipoib;
mod ipv4;
mod ipv6;
mod key;
mod l2tp;
mod link;
mod llc;
mod mpls;
mod neighbour;
mod nflog;
mod null;
mod packet_ref;
mod pflog;
mod ppi;
mod ppp;
mod pppoe;
mod protocol;
mod quoted;
mod radio;
mod record;
mod seq;
mod sll;
mod sll2;
mod tcp;
mod tcp_options;
mod token_ring;
mod udp;
mod vlan;
mod vxlan;
mod walk;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use checksum::{fold as fold_checksum, sum as checksum};
pub use community_id::community_id;
pub use defrag::{Datagram, DefragLimits, DefragStats, Defragmenter};
pub use direction::Direction;
pub use fragment_path::FragmentPath;
pub use header::{Header, HeaderKind};
pub use key::{Endpoint, FiveTuple, partition_hash};
pub use packet_ref::PacketRef;
pub use record::*;
pub use seq::Seq;

use crate::capture::RawPacket;
use crate::time::Timestamp;
use cursor::Cursor;
use walk::{Next, Walk};

/// Reads one packet down to its innermost transport header. Never fails: see [`PacketRecord::stop`].
///
/// A packet without a time gets time 0 and [`Faults::NO_TIME`]; `clock` is the packet's own time. Whoever
/// sees the packets in order corrects both.
pub fn dissect(packet: &RawPacket<'_>) -> PacketRecord {
    let (walk, next) = begin(packet);
    placed(walk.run(next))
}

/// As [`dissect`], with the place of every header, outermost first.
pub fn dissect_headers(packet: &RawPacket<'_>) -> (PacketRecord, Vec<Header>) {
    let mut headers = Vec::new();
    let (walk, next) = begin(packet);
    let record = walk.watched(next, |next| headers.extend(Header::of(next)));
    (placed(record), headers)
}

fn begin<'p>(packet: &RawPacket<'p>) -> (Walk, Next<'p>) {
    let captured = packet.data.len() as u32;
    let mut faults = Faults::default();
    if packet.time.is_none() {
        faults.add(Faults::NO_TIME);
    }
    if captured < packet.wire {
        faults.add(Faults::CLIPPED);
    } else if captured > packet.wire {
        faults.add(Faults::WIRE_LENGTH);
    }
    let time = packet.time.unwrap_or(Timestamp(0));
    let record = PacketRecord {
        packet: packet.packet,
        offset: packet.offset,
        partition: 0,
        time,
        clock: time,
        captured,
        wire: packet.wire,
        interface: packet.interface,
        link: Link { packet_type: link::NOT_COOKED, ..Link::default() },
        path: Path::default(),
        ip: None,
        transport: Transport::None,
        payload: Payload { start: packet.start, ..Payload::default() },
        faults,
        stop: Stop::Payload,
    };
    let at = Cursor::new(packet.data, packet.wire);
    (Walk::new(record, packet.start), Next::Link(packet.link_type.0, at))
}

/// Reads the payload of a datagram that was put together from fragments, as of the record of the fragment
/// that arrived last. `start` is where `bytes` stand in the batch's bytes.
pub fn dissect_datagram(last: &PacketRecord, protocol: u8, bytes: &[u8], start: u32) -> PacketRecord {
    let mut record = *last;
    let length = bytes.len() as u32;
    let mut header = 0;
    if let Some(ip) = &mut record.ip {
        header = ip.length.saturating_sub(last.payload.length);
        ip.length = header.saturating_add(length);
        ip.protocol = protocol;
    }
    record.transport = Transport::None;
    record.payload = Payload { start, ..Payload::default() };
    record.faults.add(Faults::REASSEMBLED);
    placed(Walk::resume(record, start, header).run(Next::Protocol(protocol, Cursor::new(bytes, length))))
}

fn placed(mut record: PacketRecord) -> PacketRecord {
    record.partition = partition_hash(&record);
    record
}
