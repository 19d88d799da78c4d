//! Ethernet II and IEEE 802.3: destination (6), source (6), EtherType or length (2).

use super::cursor::Cursor;
use super::ethertype;
use super::walk::{Next, Walk};
use crate::dissect::Layer;

/// Largest value of the third field that is a length (IEEE 802.3 section 3.2.6).
const MAX_LENGTH: u16 = 1500;

/// Reads a frame.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Some((header, rest)) = at.take::<14>() else {
        return Next::Stop(at.short(Layer::Link, 14));
    };
    let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, k0, k1] = header;
    walk.link([s0, s1, s2, s3, s4, s5], [d0, d1, d2, d3, d4, d5]);
    typed(u16::from_be_bytes([k0, k1]), rest)
}

/// What follows a field that is an EtherType or a length.
pub(super) fn typed(kind: u16, rest: Cursor<'_>) -> Next<'_> {
    match kind {
        0..=MAX_LENGTH => Next::Llc(rest.limit(u32::from(kind))),
        _ => Next::EtherType(kind, rest),
    }
}

/// True when a frame can start here, for tunnels whose header alone proves little.
pub(super) fn plausible(at: Cursor<'_>) -> bool {
    let Some((header, rest)) = at.take::<14>() else {
        return false;
    };
    let kind = u16::from_be_bytes([header[12], header[13]]);
    ethertype::known(kind, rest) || (kind >= 3 && u32::from(kind) <= rest.length.min(u32::from(MAX_LENGTH)))
}

/// True when a frame with a consistent IP packet starts here: the test for tunnels without a magic number.
pub(super) fn plausible_ip(at: Cursor<'_>) -> bool {
    match at.take::<14>() {
        Some((header, rest)) => match u16::from_be_bytes([header[12], header[13]]) {
            kind @ (ethertype::IPV4 | ethertype::IPV6) => ethertype::known(kind, rest),
            kind => matches!(kind, ethertype::ARP | 0x8100),
        },
        None => false,
    }
}
