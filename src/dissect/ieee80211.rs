//! An IEEE 802.11 MAC header (section 9.2.3): frame control (2), duration (2), three addresses, sequence (2),
//! then as the flags say: fourth address (6), QoS (2), HT control (4). Little-endian.
//!
//! Only plain data frames carry readable traffic. Management, control and encrypted frames stop at the link
//! type. Of an aggregate (A-MSDU) the first frame is read.

use super::cursor::Cursor;
use super::walk::{Next, Walk};
use crate::dissect::{Layer, Stop};

/// Reads a frame that link type `kind` announced; `alignment` is 4 when the driver pads the header.
pub(super) fn read<'p>(walk: &mut Walk, kind: u16, at: Cursor<'p>, alignment: usize) -> Next<'p> {
    let Some(header) = at.array::<24>() else {
        return Next::Stop(match at.bytes.first() {
            Some(control) if control & 0x0c == 0x08 => at.short(Layer::Link, 24),
            _ => Stop::LinkType(kind),
        });
    };
    let (control, flags) = (header[0], header[1]);
    let data = control & 0x0f == 0x08;
    let (no_data, qos) = (control & 0x40 != 0, control & 0x80 != 0);
    let (to_ds, from_ds) = (flags & 1 != 0, flags & 2 != 0);
    let (protected, order) = (flags & 0x40 != 0, flags & 0x80 != 0);
    if !data || no_data || protected {
        return Next::Stop(Stop::LinkType(kind));
    }
    let one = address(header, 4);
    let (two, three) = (address(header, 10), address(header, 16));
    let mut length = 24;
    let mut source = if from_ds { three } else { two };
    if to_ds && from_ds {
        source = at.bytes.get(24..).and_then(|rest| rest.first_chunk()).copied().unwrap_or(three);
        length += 6;
    }
    walk.air(u16::from_le_bytes([header[22], header[23]]), flags & 0x08 != 0);
    walk.link(source, if to_ds { three } else { one });
    let mut aggregate = false;
    if qos {
        aggregate = at.bytes.get(length).is_some_and(|octet| octet & 0x80 != 0);
        length += if order { 6 } else { 2 };
    }
    if alignment > 1 {
        length = length.next_multiple_of(alignment);
    }
    let Some(rest) = at.skip(length) else {
        return Next::Stop(at.short(Layer::Link, length));
    };
    if !aggregate {
        return Next::Llc(rest);
    }
    match rest.take::<14>() {
        Some((sub, inner)) => Next::Llc(inner.limit(u32::from(u16::from_be_bytes([sub[12], sub[13]])))),
        None => Next::Stop(rest.short(Layer::Link, 14)),
    }
}

fn address(header: &[u8; 24], at: usize) -> [u8; 6] {
    header[at..].first_chunk().copied().unwrap_or_default()
}
