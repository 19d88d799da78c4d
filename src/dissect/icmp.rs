//! ICMP (RFC 792) and ICMPv6 (RFC 4443): type, code, checksum (2), four octets by type, data.

use super::cursor::{Cursor, be16, be32};
use super::walk::Walk;
use super::{neighbour, quoted};
use crate::dissect::{Icmp, Layer, Stop, Transport};

/// Reads a message. Neighbour discovery is told in the words of ARP.
pub(super) fn read(walk: &mut Walk, v6: bool, at: Cursor<'_>) -> Stop {
    let Some((&[kind, code, _, _, rest @ ..], data)) = at.take::<8>() else {
        return at.short(Layer::Icmp, 8);
    };
    if let (true, 135 | 136) = (v6, kind) {
        return neighbour::read(walk, kind == 136, rest[0], data);
    }
    let error = if v6 { matches!(kind, 1..=4) } else { matches!(kind, 3 | 4 | 5 | 11 | 12) };
    let echo = if v6 { matches!(kind, 128 | 129) } else { matches!(kind, 0 | 8) };
    let mtu = match (v6, kind, code) {
        (false, 3, 4) => Some(u32::from(be16(&rest, 2))),
        (true, 2, _) => Some(be32(&rest, 0)),
        _ => None,
    };
    let icmp = Icmp {
        v6,
        kind,
        code,
        mtu,
        echo: echo.then(|| (be16(&rest, 0), be16(&rest, 2))),
        quoted: if error { quoted::read(data.bytes) } else { None },
    };
    walk.transport(Transport::Icmp(icmp), data);
    Stop::Payload
}
