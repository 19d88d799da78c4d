//! Linux netfilter log: family, version, resource (2), then attributes: length (2) with its four octets of
//! header, type (2), value, padding to 4; in the byte order of the host. Attribute 9 is the packet.

use super::cursor::Cursor;
use super::walk::Next;
use crate::dissect::{Layer, Stop};

/// The attribute that holds the packet.
const PAYLOAD: u16 = 9;

/// Reads attributes up to the packet.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    let Some((&[family, _, _, _], mut rest)) = at.take::<4>() else {
        return Next::Stop(at.short(Layer::Link, 4));
    };
    while let Some((&[l0, l1, t0, t1], value)) = rest.take::<4>() {
        // The first attribute tells the byte order: lengths are far below 256 unless it is the packet.
        let (mut length, mut kind) = (u16::from_le_bytes([l0, l1]), u16::from_le_bytes([t0, t1]));
        if kind > 0xff {
            (length, kind) = (length.swap_bytes(), kind.swap_bytes());
        }
        if length < 4 {
            return Next::Stop(Stop::Malformed { layer: Layer::Link });
        }
        if kind == PAYLOAD {
            let packet = value.limit(u32::from(length) - 4);
            return match family {
                2 | 10 => Next::Ip(packet),
                other => Next::Stop(Stop::EtherType(u16::from(other))),
            };
        }
        let Some(next) = rest.skip(usize::from(length).next_multiple_of(4)) else {
            return Next::Stop(rest.short(Layer::Link, usize::from(length)));
        };
        rest = next;
    }
    Next::Stop(rest.short(Layer::Link, 4))
}
