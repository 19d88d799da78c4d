//! L2TP: version 2 data over UDP (RFC 2661 section 3.1), version 3 over IP (RFC 3931 section 4.1).
//!
//! Session ids differ by direction, so they are no part of the path hash.

use super::cursor::{Cursor, be16, be32};
use super::walk::{Next, Walk};
use super::{ethernet, ppp};
use crate::dissect::{Stop, Tunnel};

/// Version 2: flags and version (2), length (2, flag L), tunnel (2), session (2), counters (4, flag S),
/// offset (2 and as many octets as it says, flag O), PPP. Nothing when it is a control message or not L2TP at
/// all.
pub(super) fn read_udp<'p>(walk: &mut Walk, at: Cursor<'p>) -> Option<Next<'p>> {
    let flags = be16(at.bytes, 0);
    // T (control) and the reserved bits are 0, the version is 2.
    if flags & 0xb4ff != 0x0002 {
        return None;
    }
    let mut run = at;
    let mut header = 2;
    if flags & 0x4000 != 0 {
        let length = be16(at.bytes, header);
        if u32::from(length) > at.length {
            return None;
        }
        run = at.limit(u32::from(length));
        header += 2;
    }
    let session = be16(run.bytes, header + 2);
    header += 4;
    if flags & 0x0800 != 0 {
        header += 4;
    }
    if flags & 0x0200 != 0 {
        header += 2 + usize::from(be16(run.bytes, header));
    }
    let inner = run.skip(header)?;
    if !ppp::plausible(inner) {
        return None;
    }
    walk.tunnel(Tunnel::L2tp, u32::from(session), false);
    Some(Next::Ppp(inner))
}

/// Version 3 over IP: session (4), cookie (0, 4 or 8), sublayer (0 or 4), frame. None of the sizes is in the
/// packet, so the Ethernet frame is looked for behind each of them; session 0 is a control message.
pub(super) fn read_ip<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let session = be32(at.bytes, 0);
    let frame =
        [4, 8, 12, 16].into_iter().filter_map(|skip| at.skip(skip)).find(|at| ethernet::plausible_ip(*at));
    match frame {
        Some(frame) if session != 0 => {
            walk.tunnel(Tunnel::L2tp, session, false);
            Next::Ethernet(frame)
        }
        _ => Next::Stop(Stop::Payload),
    }
}
