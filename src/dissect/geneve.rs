//! Geneve (RFC 8926 section 3.4): version (2 bits), option length (6 bits, words), flags (1), protocol (2),
//! network identifier (3), reserved (1), options.

use super::cursor::Cursor;
use super::walk::{Next, Walk};
use super::{ethernet, ethertype};
use crate::dissect::Tunnel;

/// Reads a Geneve header, if it is one.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Option<Next<'p>> {
    let (&[first, flags, p0, p1, n0, n1, n2, reserved], rest) = at.take::<8>()?;
    if first >> 6 != 0 || flags & 0x3f != 0 || reserved != 0 {
        return None;
    }
    let inner = rest.skip(usize::from(first & 0x3f) * 4)?;
    let kind = u16::from_be_bytes([p0, p1]);
    let next = match kind {
        ethertype::BRIDGED if ethernet::plausible(inner) => Next::Ethernet(inner),
        _ if ethertype::known(kind, inner) => Next::EtherType(kind, inner),
        _ => return None,
    };
    walk.tunnel(Tunnel::Geneve, u32::from_be_bytes([0, n0, n1, n2]), true);
    Some(next)
}
