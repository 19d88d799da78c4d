//! PPP (RFC 1661, 1662): optional address and control (FF 03), protocol (2, or 1 when compressed).

use super::cursor::Cursor;
use super::walk::Next;
use crate::dissect::{Layer, Stop};

/// Reads a PPP header.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    let at = match at.take::<2>() {
        Some((&[0xff, 0x03], rest)) => rest,
        _ => at,
    };
    let Some((protocol, rest)) = protocol(at) else {
        return Next::Stop(at.short(Layer::Link, 2));
    };
    match protocol {
        0x0021 | 0x0057 => Next::Ip(rest),
        0x0281 | 0x0283 => Next::Mpls(rest),
        _ => Next::Stop(Stop::EtherType(protocol)),
    }
}

/// The protocol field: an odd first octet is the whole of it (RFC 1661 section 6.5).
fn protocol(at: Cursor<'_>) -> Option<(u16, Cursor<'_>)> {
    let (&[first], rest) = at.take::<1>()?;
    if first & 1 == 1 {
        return Some((u16::from(first), rest));
    }
    let (&[second], rest) = rest.take::<1>()?;
    Some((u16::from_be_bytes([first, second]), rest))
}

/// True when a PPP frame with a protocol of the assigned kinds can start here.
pub(super) fn plausible(at: Cursor<'_>) -> bool {
    let at = match at.take::<2>() {
        Some((&[0xff, 0x03], rest)) => rest,
        _ => at,
    };
    matches!(
        protocol(at),
        Some(
            (0x0021 | 0x0057 | 0x0281 | 0x0283 | 0x003d | 0x00fd, _)
                | (0x8021 | 0x8057 | 0x80fd | 0xc021 | 0xc023 | 0xc025 | 0xc223, _)
        )
    )
}
