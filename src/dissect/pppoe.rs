//! PPPoE session (RFC 2516 section 4): version and type (0x11), code (0), session (2), length (2), PPP.

use super::cursor::Cursor;
use super::walk::{Next, Walk};
use crate::dissect::{Layer, Stop, Tunnel};

/// Reads a session header. Both directions carry the same session id.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Some((&[version, code, s0, s1, l0, l1], rest)) = at.take::<6>() else {
        return Next::Stop(at.short(Layer::Tunnel, 6));
    };
    if version != 0x11 || code != 0 {
        return Next::Stop(Stop::Malformed { layer: Layer::Tunnel });
    }
    walk.tunnel(Tunnel::Pppoe, u32::from(u16::from_be_bytes([s0, s1])), true);
    Next::Ppp(rest.limit(u32::from(u16::from_be_bytes([l0, l1]))))
}
