//! An IP packet of either version.

use std::net::IpAddr;

use super::cursor::{Cursor, be16};
use super::walk::{Next, Walk};
use super::{ipv4, ipv6};
use crate::dissect::{Layer, Stop};

/// Reads the version and the header it announces.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    match at.bytes.first().map(|octet| octet >> 4) {
        Some(4) => ipv4::read(walk, at),
        Some(6) => ipv6::read(walk, at),
        Some(_) => Next::Stop(Stop::Malformed { layer: Layer::Ipv4 }),
        None => Next::Stop(at.short(Layer::Ipv4, 1)),
    }
}

/// True when version and lengths can be those of an IP packet, for wrappings that do not say what they hold.
pub(super) fn plausible(at: Cursor<'_>) -> bool {
    let Some(header) = at.array::<8>() else {
        return false;
    };
    match header[0] >> 4 {
        4 => {
            let (words, total) = (u32::from(header[0] & 0x0f), u32::from(be16(header, 2)));
            words >= 5 && (total == 0 || (total >= words * 4 && total <= at.length))
        }
        6 => u32::from(be16(header, 4)) + 40 <= at.length,
        _ => false,
    }
}

/// An address as sixteen octets: IPv4 in its mapped form (RFC 4291 section 2.5.5.2).
pub(super) fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
