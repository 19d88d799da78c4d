//! TCP (RFC 9293 section 3.1).

use std::net::IpAddr;

use etherparse::TcpHeaderSlice;
use xxhash_rust::xxh3::xxh3_64;

use super::checksum::{fold, sum};
use super::cursor::{Cursor, be16, be32};
use super::tcp_options;
use super::walk::Walk;
use crate::dissect::{Faults, Layer, Seq, Stop, Tcp, TcpFlags, TcpOptions, Transport};

/// Octets up to and with the flags: with fewer, a segment cannot be placed in its flow.
const LEAST: usize = 14;

/// Reads a segment.
pub(super) fn read(walk: &mut Walk, at: Cursor<'_>) -> Stop {
    let Some(fixed) = at.bytes.get(..LEAST) else {
        return at.short(Layer::Tcp, 20);
    };
    let length = usize::from(fixed[12] >> 4) * 4;
    if length < 20 || length as u32 > at.length {
        walk.fault(Faults::HEADER_LENGTH);
        return Stop::Malformed { layer: Layer::Tcp };
    }
    let mut tcp = Tcp {
        source_port: be16(fixed, 0),
        destination_port: be16(fixed, 2),
        seq: Seq(be32(fixed, 4)),
        ack: Seq(be32(fixed, 8)),
        flags: TcpFlags(fixed[13]),
        window: be16(at.bytes, 14),
        options: TcpOptions::default(),
        sum: 0,
    };
    let (options, stop) = match TcpHeaderSlice::from_slice(at.bytes) {
        Ok(_) if length == 20 => (&[][..], Stop::Payload),
        Ok(header) => (&header.slice()[20..], Stop::Payload),
        Err(_) => {
            tcp.options.incomplete = true;
            (at.bytes.get(20..).unwrap_or_default(), at.short(Layer::Tcp, length))
        }
    };
    if !tcp_options::read(options, &mut tcp.options) && stop == Stop::Payload {
        tcp.options.incomplete = true;
        walk.fault(Faults::TCP_OPTIONS);
    }
    let mut payload = at.past(length);
    if is_padding(walk, &tcp, payload) {
        payload = payload.limit(0);
    }
    if payload.length > 0 && stop == Stop::Payload {
        tcp.sum = header_sum(walk, &at.bytes[..length.min(at.bytes.len())], at.length);
    }
    walk.transport(Transport::Tcp(tcp), payload);
    if !payload.bytes.is_empty() {
        walk.record.payload.hash = xxh3_64(payload.bytes);
    }
    stop
}

/// Of the pseudo-header and the header of a segment of `length` octets (RFC 9293 section 3.1).
fn header_sum(walk: &Walk, header: &[u8], length: u32) -> u16 {
    let Some(ip) = walk.record.ip else { return 0 };
    let address = |address| match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    };
    let parts = [address(ip.source), address(ip.destination), sum(header), fold(length.into())];
    fold(parts.into_iter().map(u64::from).sum::<u64>() + u64::from(TCP))
}

/// IP protocol number.
const TCP: u8 = 6;

/// Ethernet pads an IP packet to 46 octets (IEEE 802.3 section 4A.2.3.2.4), or to 42 beside a VLAN tag. Some
/// recorders write the padded length into the IP header. Then an ACK without data seems to carry zeros, which
/// the next segment repeats. One octet can be a keep-alive or a window probe; who writes zeros pushes them.
fn is_padding(walk: &Walk, tcp: &Tcp, payload: Cursor<'_>) -> bool {
    let padded = walk.record.ip.is_some_and(|ip| matches!(ip.length, 42 | 46));
    padded
        && (2..=6).contains(&payload.length)
        && !tcp.flags.contains(TcpFlags::PSH)
        && payload.bytes.iter().all(|octet| *octet == 0)
}
