//! FDDI: frame control, destination (6), source (6), then LLC.

use super::cursor::Cursor;
use super::walk::{Next, Walk};
use crate::dissect::{Layer, Stop};

/// Reads an FDDI header; only LLC frames (frame control 01xx 0xxx) carry network traffic.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Some((header, rest)) = at.take::<13>() else {
        return Next::Stop(at.short(Layer::Link, 13));
    };
    let &[control, d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = header;
    walk.link([s0, s1, s2, s3, s4, s5], [d0, d1, d2, d3, d4, d5]);
    match control & 0x70 {
        0x50 | 0x40 => Next::Llc(rest),
        _ => Next::Stop(Stop::LinkType(10)),
    }
}
