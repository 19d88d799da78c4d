//! Token Ring (IEEE 802.5): access control, frame control, destination (6), source (6), routing, LLC. There
//! is routing when the source's first bit is set; the last five bits of the first octet are its length.

use super::cursor::Cursor;
use super::walk::{Next, Walk};
use crate::dissect::{Layer, Stop};

/// Reads a frame; only LLC frames (frame control 01xx xxxx) carry network traffic.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Some((header, rest)) = at.take::<14>() else {
        return Next::Stop(at.short(Layer::Link, 14));
    };
    let &[_, control, d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = header;
    walk.link([s0 & 0x7f, s1, s2, s3, s4, s5], [d0, d1, d2, d3, d4, d5]);
    let routing = match (s0 & 0x80, rest.bytes.first()) {
        (0, _) => 0,
        (_, Some(first)) => usize::from(first & 0x1f),
        (_, None) => return Next::Stop(rest.short(Layer::Link, 2)),
    };
    match rest.skip(routing) {
        _ if control & 0xc0 != 0x40 => Next::Stop(Stop::LinkType(6)),
        Some(rest) => Next::Llc(rest),
        None => Next::Stop(rest.short(Layer::Link, routing)),
    }
}
