//! GTP-U (3GPP TS 29.281 section 5.1): version and flags (1), message type (1), length (2), tunnel endpoint
//! (4); with any of the E, S, PN flags also sequence (2), N-PDU (1), next extension (1); extensions; an IP
//! packet.

use super::cursor::Cursor;
use super::ip;
use super::walk::{Next, Walk};
use crate::dissect::Tunnel;

/// Message type of user traffic.
const G_PDU: u8 = 255;

/// Reads a G-PDU, if it is one. Each direction has its own endpoint number, which the path hash leaves out.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Option<Next<'p>> {
    let (&[flags, message, l0, l1, t0, t1, t2, t3], rest) = at.take::<8>()?;
    let length = u32::from(u16::from_be_bytes([l0, l1]));
    // Version 1, protocol type 1, spare 0.
    if flags & 0xf8 != 0x30 || message != G_PDU || length > rest.length {
        return None;
    }
    let mut inner = rest.limit(length);
    if flags & 0x07 != 0 {
        let (&[_, _, _, mut extension], mut rest) = inner.take::<4>()?;
        // Without the E flag the field is there but says nothing.
        while flags & 0x04 != 0 && extension != 0 {
            let words = *rest.bytes.first()?;
            let header = rest.bytes.get(..usize::from(words) * 4)?;
            extension = *header.last()?;
            rest = rest.skip(header.len())?;
        }
        inner = rest;
    }
    if !ip::plausible(inner) {
        return None;
    }
    walk.tunnel(Tunnel::Gtpu, u32::from_be_bytes([t0, t1, t2, t3]), false);
    Some(Next::Ip(inner))
}
