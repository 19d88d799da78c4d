//! VXLAN (RFC 7348 section 5): flags (1), group policy (3), network identifier (3), reserved (1), Ethernet.

use super::cursor::Cursor;
use super::ethernet;
use super::walk::{Next, Walk};
use crate::dissect::Tunnel;

/// Reads a VXLAN header, if it is one. Flags: I is set; G (group policy draft) may be; the rest is 0.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Option<Next<'p>> {
    let (&[flags, policy, g0, g1, n0, n1, n2, reserved], frame) = at.take::<8>()?;
    let reserved_is_zero = match flags {
        0x08 => [policy, g0, g1, reserved] == [0; 4],
        0x88 => policy & !0x48 == 0 && reserved == 0,
        _ => false,
    };
    if !reserved_is_zero || !ethernet::plausible(frame) {
        return None;
    }
    walk.tunnel(Tunnel::Vxlan, u32::from_be_bytes([0, n0, n1, n2]), true);
    Some(Next::Ethernet(frame))
}
