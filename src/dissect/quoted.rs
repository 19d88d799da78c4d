//! The packet quoted by an ICMP error: an IP header and at least eight octets behind it (RFC 792, RFC 4443).

use std::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use super::cursor::{be16, be32};
use crate::dissect::{Ip, Quoted, Seq, TcpFlags};

/// Reads a quote; nothing when not even its IP header is there.
pub(super) fn read(bytes: &[u8]) -> Option<Quoted> {
    match bytes.first()? >> 4 {
        4 => v4(bytes),
        6 => v6(bytes),
        _ => None,
    }
}

fn v4(bytes: &[u8]) -> Option<Quoted> {
    let header = Ipv4HeaderSlice::from_slice(bytes).ok()?;
    let octets = header.slice();
    let ip = Ip {
        source: IpAddr::V4(header.source_addr()),
        destination: IpAddr::V4(header.destination_addr()),
        protocol: header.protocol().0,
        ttl: header.ttl(),
        traffic_class: octets[1],
        id: header.identification(),
        dont_fragment: header.dont_fragment(),
        length: u32::from(header.total_len()),
    };
    let first = header.fragments_offset().value() == 0;
    Some(transport(ip, if first { &bytes[octets.len()..] } else { &[] }))
}

fn v6(bytes: &[u8]) -> Option<Quoted> {
    let header = Ipv6HeaderSlice::from_slice(bytes).ok()?;
    let mut ip = Ip {
        source: IpAddr::V6(header.source_addr()),
        destination: IpAddr::V6(header.destination_addr()),
        protocol: header.next_header().0,
        ttl: header.hop_limit(),
        traffic_class: header.traffic_class(),
        id: 0,
        dont_fragment: true,
        length: u32::from(header.payload_length()) + 40,
    };
    let mut rest = &bytes[40..];
    for _ in 0..8 {
        let length = match (ip.protocol, rest) {
            (0 | 43 | 60, &[_, units, ..]) => 8 * (usize::from(units) + 1),
            (51, &[_, units, ..]) => 4 * (usize::from(units) + 2),
            (44, &[_, _, high, low, _, _, i0, i1, ..]) => {
                ip.id = u16::from_be_bytes([i0, i1]);
                // Behind a later fragment's header stands no transport header.
                if u16::from_be_bytes([high, low]) >> 3 != 0 {
                    ip.protocol = rest[0];
                    rest = &[];
                    break;
                }
                8
            }
            _ => break,
        };
        ip.protocol = rest[0];
        rest = rest.get(length..).unwrap_or_default();
    }
    Some(transport(ip, rest))
}

fn transport(ip: Ip, bytes: &[u8]) -> Quoted {
    let tcp = ip.protocol == 6;
    let ports = matches!(ip.protocol, 6 | 17 | 33 | 132 | 136);
    Quoted {
        ip,
        source_port: if ports { be16(bytes, 0) } else { 0 },
        destination_port: if ports { be16(bytes, 2) } else { 0 },
        seq: (tcp && bytes.len() >= 8).then(|| Seq(be32(bytes, 4))),
        flags: bytes.get(13).filter(|_| tcp).map(|flags| TcpFlags(*flags)),
    }
}
