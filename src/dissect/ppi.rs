//! Per-Packet Information: version, flags, header length (2), link type (4), all little-endian.

use super::cursor::Cursor;
use super::walk::Next;
use crate::dissect::{Layer, Stop};

/// Reads a PPI header; the link type of the packet follows from it.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    let Some(&[_, _, l0, l1, k0, k1, k2, k3]) = at.array::<8>() else {
        return Next::Stop(at.short(Layer::Link, 8));
    };
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let kind = u32::from_le_bytes([k0, k1, k2, k3]);
    match (at.skip(length), u16::try_from(kind)) {
        (Some(rest), Ok(kind)) if length >= 8 => Next::Link(kind, rest),
        (None, _) => Next::Stop(at.short(Layer::Link, length)),
        _ => Next::Stop(Stop::Malformed { layer: Layer::Link }),
    }
}
