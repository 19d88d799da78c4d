//! What capture drivers put in front of an IEEE 802.11 frame: radiotap, Prism and AVS headers. All state
//! their length; of their contents only radiotap's data-padding flag changes how the frame is read.

use super::cursor::{Cursor, be32};
use super::ieee80211;
use super::walk::{Next, Walk};
use crate::dissect::{Layer, Stop};

/// Radiotap, little-endian: version, pad, length (2), presence words (4, bit 31: one more), fields.
pub(super) fn radiotap<'p>(walk: &mut Walk, kind: u16, at: Cursor<'p>) -> Next<'p> {
    let Some(&[version, _, l0, l1, p0, p1, p2, p3]) = at.array::<8>() else {
        return Next::Stop(at.short(Layer::Link, 8));
    };
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    if version != 0 || length < 8 {
        return Next::Stop(Stop::Malformed { layer: Layer::Link });
    }
    let Some(frame) = at.skip(length) else {
        return Next::Stop(at.short(Layer::Link, length));
    };
    let present = u32::from_le_bytes([p0, p1, p2, p3]);
    ieee80211::read(walk, kind, frame, if padded(present, &at.bytes[..length]) { 4 } else { 0 })
}

/// True when the driver pads the 802.11 header to a multiple of four (flags field, bit 0x20).
fn padded(present: u32, header: &[u8]) -> bool {
    if present & 0b10 == 0 {
        return false;
    }
    let mut at = 8;
    let mut word = present;
    while word >> 31 == 1 {
        word = be32(header, at).swap_bytes();
        at += 4;
    }
    // The time stamp field (bit 0) stands before the flags, aligned to its eight octets.
    if present & 1 == 1 {
        at = usize::next_multiple_of(at, 8) + 8;
    }
    header.get(at).is_some_and(|flags| flags & 0x20 != 0)
}

/// Prism: message code (4), length (4), device name, values; in the byte order of the host. The same link
/// type is used for AVS headers, whose magic number tells.
pub(super) fn prism<'p>(walk: &mut Walk, kind: u16, at: Cursor<'p>) -> Next<'p> {
    let Some(&[m0, m1, m2, _, l0, l1, l2, l3]) = at.array::<8>() else {
        return Next::Stop(at.short(Layer::Link, 8));
    };
    if [m0, m1, m2] == [0x80, 0x21, 0x10] {
        return avs(walk, kind, at);
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    skip(walk, kind, at, length.min(length.swap_bytes()))
}

/// AVS: magic 0x8021100x (4), length (4), values; big-endian.
pub(super) fn avs<'p>(walk: &mut Walk, kind: u16, at: Cursor<'p>) -> Next<'p> {
    match at.array::<8>() {
        Some(header) => skip(walk, kind, at, be32(header, 4)),
        None => Next::Stop(at.short(Layer::Link, 8)),
    }
}

fn skip<'p>(walk: &mut Walk, kind: u16, at: Cursor<'p>, length: u32) -> Next<'p> {
    match at.skip(length as usize) {
        Some(frame) => ieee80211::read(walk, kind, frame, 0),
        None => Next::Stop(at.short(Layer::Link, length as usize)),
    }
}
