//! ERSPAN (draft-foschiano-erspan): mirrored Ethernet frames in GRE. Type I has no header of its own; type II
//! has version and VLAN (2), class and session (2), index (4); type III has version and VLAN (2), class and
//! session (2), time stamp (4), group tag (2), frame type and flags (2), and 8 more when the last bit is set.

use super::cursor::Cursor;
use super::walk::{Next, Walk};
use crate::dissect::{Layer, Stop, Tunnel};

/// Types I and II: only II numbers its packets.
pub(super) fn read<'p>(walk: &mut Walk, sequenced: bool, at: Cursor<'p>) -> Next<'p> {
    if !sequenced {
        walk.tunnel(Tunnel::Erspan, 0, true);
        return Next::Ethernet(at);
    }
    let Some((&[_, _, s0, s1, _, _, _, _], frame)) = at.take::<8>() else {
        return Next::Stop(at.short(Layer::Tunnel, 8));
    };
    walk.tunnel(Tunnel::Erspan, session(s0, s1), true);
    Next::Ethernet(frame)
}

/// Type III.
pub(super) fn read_iii<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Some((&[_, _, s0, s1, _, _, _, _, _, _, f0, f1], rest)) = at.take::<12>() else {
        return Next::Stop(at.short(Layer::Tunnel, 12));
    };
    let length = if f1 & 1 == 1 { 8 } else { 0 };
    let Some(frame) = rest.skip(length) else {
        return Next::Stop(rest.short(Layer::Tunnel, length));
    };
    walk.tunnel(Tunnel::Erspan, session(s0, s1), true);
    match (f0 >> 2) & 0x1f {
        0 => Next::Ethernet(frame),
        2 => Next::Ip(frame),
        _ => Next::Stop(Stop::Payload),
    }
}

fn session(high: u8, low: u8) -> u32 {
    u32::from(u16::from_be_bytes([high, low]) & 0x03ff)
}
