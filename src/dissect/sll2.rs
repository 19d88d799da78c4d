//! Linux cooked capture version 2: protocol (2), reserved (2), interface (4), ARPHRD type (2), packet type,
//! address length, address (8).

use super::cursor::Cursor;
use super::sll;
use super::walk::{Next, Walk};
use crate::dissect::Layer;

/// Reads a version 2 header.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Some((header, rest)) = at.take::<20>() else {
        return Next::Stop(at.short(Layer::Link, 20));
    };
    let &[p0, p1, _, _, _, _, _, _, h0, h1, packet_type, _, a0, a1, a2, a3, a4, a5, _, _] = header;
    walk.cooked([a0, a1, a2, a3, a4, a5], packet_type);
    sll::after(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]), rest)
}
