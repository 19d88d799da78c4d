//! The fields that a display filter can ask for, by Wireshark's names.

use std::net::IpAddr;

use super::Packet;
use crate::dissect::{Arp, Icmp, Ip, PacketRecord, Tcp, Transport, Udp};

/// A packet, as a filter sees it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'p> {
    pub(super) packet: &'p Packet<'p>,
    pub(super) record: &'p PacketRecord,
    /// Number of its TCP stream, when that is known.
    pub(super) stream: Option<u32>,
}

/// How values of a field are written. All are compared as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is there or not: a protocol.
    Presence,
    Number,
    V4,
    V6,
    Link,
    Time,
}

/// A field: none, one or two values in a packet.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) values: fn(&Seen<'_>) -> [Option<u128>; 2],
}

const NOTHING: [Option<u128>; 2] = [None, None];

fn one(value: impl Into<u128>) -> [Option<u128>; 2] {
    [Some(value.into()), None]
}

fn given<T: Into<u128>>(value: Option<T>) -> [Option<u128>; 2] {
    [value.map(Into::into), None]
}

fn ip(seen: &Seen<'_>) -> Option<Ip> {
    seen.record.ip
}

fn tcp<'p>(seen: &Seen<'p>) -> Option<&'p Tcp> {
    if let Transport::Tcp(tcp) = &seen.record.transport { Some(tcp) } else { None }
}

fn udp<'p>(seen: &Seen<'p>) -> Option<&'p Udp> {
    if let Transport::Udp(udp) = &seen.record.transport { Some(udp) } else { None }
}

fn icmp<'p>(seen: &Seen<'p>, v6: bool) -> Option<&'p Icmp> {
    if let Transport::Icmp(icmp) = &seen.record.transport
        && icmp.v6 == v6
    {
        return Some(icmp);
    }
    None
}

fn arp<'p>(seen: &Seen<'p>) -> Option<&'p Arp> {
    if let Transport::Arp(arp) = &seen.record.transport { Some(arp) } else { None }
}

fn v4(address: IpAddr) -> Option<u128> {
    if let IpAddr::V4(v4) = address { Some(u32::from(v4).into()) } else { None }
}

fn v6(address: IpAddr) -> Option<u128> {
    if let IpAddr::V6(v6) = address { Some(v6.into()) } else { None }
}

/// A time as a number that keeps the order.
pub(super) fn time(nanos: i64) -> u128 {
    (i128::from(nanos) - i128::from(i64::MIN)) as u128
}

fn link(address: [u8; 6]) -> u128 {
    address.iter().fold(0, |number, octet| number << 8 | u128::from(*octet))
}

fn flag(seen: &Seen<'_>, bit: u8) -> [Option<u128>; 2] {
    given(tcp(seen).map(|tcp| u8::from(tcp.flags.0 & bit != 0)))
}

macro_rules! fields {
    ($($name:literal, $kind:ident, $values:expr;)*) => {
        /// All fields, and their names.
        pub(super) const FIELDS: &[Field] =
            &[$(Field { name: $name, kind: Kind::$kind, values: $values }),*];
        /// The names that a filter may use: Wireshark's.
        pub const FILTER_FIELDS: &[&str] = &[$($name),*];
    };
}

fields! {
    "frame.number", Number, |seen| one(seen.packet.frame);
    "frame.len", Number, |seen| one(seen.record.wire);
    "frame.cap_len", Number, |seen| one(seen.record.captured);
    "frame.interface_id", Number, |seen| one(seen.record.interface);
    "frame.time_epoch", Time, |seen| one(time(seen.record.time.0));
    "frame.time", Time, |seen| one(time(seen.record.time.0));
    "eth.addr", Link, |seen| [Some(link(seen.record.link.source)), Some(link(seen.record.link.destination))];
    "eth.src", Link, |seen| one(link(seen.record.link.source));
    "eth.dst", Link, |seen| one(link(seen.record.link.destination));
    "vlan.id", Number, |seen| {
        let path = seen.record.path;
        [path.vlan, path.inner_vlan].map(|vlan| (vlan != 0).then_some(vlan.into()))
    };
    "arp", Presence, |seen| given(arp(seen).map(|_| 1u8));
    "ip", Presence, |seen| given(ip(seen).filter(|ip| ip.source.is_ipv4()).map(|_| 1u8));
    "ip.addr", V4, |seen| ip(seen).map_or(NOTHING, |ip| [v4(ip.source), v4(ip.destination)]);
    "ip.src", V4, |seen| given(ip(seen).and_then(|ip| v4(ip.source)));
    "ip.dst", V4, |seen| given(ip(seen).and_then(|ip| v4(ip.destination)));
    "ip.ttl", Number, |seen| given(ip(seen).filter(|ip| ip.source.is_ipv4()).map(|ip| ip.ttl));
    "ip.id", Number, |seen| given(ip(seen).filter(|ip| ip.source.is_ipv4()).map(|ip| ip.id));
    "ip.len", Number, |seen| given(ip(seen).filter(|ip| ip.source.is_ipv4()).map(|ip| ip.length));
    "ip.proto", Number, |seen| given(ip(seen).filter(|ip| ip.source.is_ipv4()).map(|ip| ip.protocol));
    "ip.flags.df", Number, |seen| {
        given(ip(seen).filter(|ip| ip.source.is_ipv4()).map(|ip| u8::from(ip.dont_fragment)))
    };
    "ipv6", Presence, |seen| given(ip(seen).filter(|ip| ip.source.is_ipv6()).map(|_| 1u8));
    "ipv6.addr", V6, |seen| ip(seen).map_or(NOTHING, |ip| [v6(ip.source), v6(ip.destination)]);
    "ipv6.src", V6, |seen| given(ip(seen).and_then(|ip| v6(ip.source)));
    "ipv6.dst", V6, |seen| given(ip(seen).and_then(|ip| v6(ip.destination)));
    "ipv6.hlim", Number, |seen| given(ip(seen).filter(|ip| ip.source.is_ipv6()).map(|ip| ip.ttl));
    "tcp", Presence, |seen| given(tcp(seen).map(|_| 1u8));
    "tcp.stream", Number, |seen| given(tcp(seen).map(|_| seen.stream.unwrap_or(u32::MAX)));
    "tcp.port", Number, |seen| {
        tcp(seen).map_or(NOTHING, |tcp| [Some(tcp.source_port.into()), Some(tcp.destination_port.into())])
    };
    "tcp.srcport", Number, |seen| given(tcp(seen).map(|tcp| tcp.source_port));
    "tcp.dstport", Number, |seen| given(tcp(seen).map(|tcp| tcp.destination_port));
    "tcp.len", Number, |seen| given(tcp(seen).map(|_| seen.record.payload.length));
    "tcp.seq_raw", Number, |seen| given(tcp(seen).map(|tcp| tcp.seq.0));
    "tcp.ack_raw", Number, |seen| given(tcp(seen).map(|tcp| tcp.ack.0));
    "tcp.window_size_value", Number, |seen| given(tcp(seen).map(|tcp| tcp.window));
    "tcp.flags", Number, |seen| given(tcp(seen).map(|tcp| tcp.flags.0));
    "tcp.flags.fin", Number, |seen| flag(seen, 0x01);
    "tcp.flags.syn", Number, |seen| flag(seen, 0x02);
    "tcp.flags.reset", Number, |seen| flag(seen, 0x04);
    "tcp.flags.push", Number, |seen| flag(seen, 0x08);
    "tcp.flags.ack", Number, |seen| flag(seen, 0x10);
    "udp", Presence, |seen| given(udp(seen).map(|_| 1u8));
    "udp.port", Number, |seen| {
        udp(seen).map_or(NOTHING, |udp| [Some(udp.source_port.into()), Some(udp.destination_port.into())])
    };
    "udp.srcport", Number, |seen| given(udp(seen).map(|udp| udp.source_port));
    "udp.dstport", Number, |seen| given(udp(seen).map(|udp| udp.destination_port));
    "icmp", Presence, |seen| given(icmp(seen, false).map(|_| 1u8));
    "icmp.type", Number, |seen| given(icmp(seen, false).map(|icmp| icmp.kind));
    "icmp.code", Number, |seen| given(icmp(seen, false).map(|icmp| icmp.code));
    "icmpv6", Presence, |seen| given(icmp(seen, true).map(|_| 1u8));
    "icmpv6.type", Number, |seen| given(icmp(seen, true).map(|icmp| icmp.kind));
    "icmpv6.code", Number, |seen| given(icmp(seen, true).map(|icmp| icmp.code));
}
