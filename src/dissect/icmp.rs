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

impl Icmp {
    /// Type and code of an error by the names of the IANA registries; `None` for those that are no errors.
    pub fn meaning(&self) -> Option<&'static str> {
        Some(match (self.v6, self.kind, self.code) {
            (false, 3, 0) => "network unreachable",
            (false, 3, 1) => "host unreachable",
            (false, 3, 2) => "protocol unreachable",
            (false, 3, 3) => "port unreachable",
            (false, 3, 4) => "fragmentation needed",
            (false, 3, 5) => "source route failed",
            (false, 3, 9) => "network administratively prohibited",
            (false, 3, 10) => "host administratively prohibited",
            (false, 3, 13) => "communication administratively prohibited",
            (false, 3, _) => "destination unreachable",
            (false, 4, _) => "source quench",
            (false, 5, _) => "redirect",
            (false, 11, 0) => "time to live exceeded",
            (false, 11, _) => "fragment reassembly time exceeded",
            (false, 12, _) => "parameter problem",
            (true, 1, 0) => "no route to destination",
            (true, 1, 1) => "communication administratively prohibited",
            (true, 1, 3) => "address unreachable",
            (true, 1, 4) => "port unreachable",
            (true, 1, 5) => "source address failed policy",
            (true, 1, 6) => "reject route to destination",
            (true, 1, _) => "destination unreachable",
            (true, 2, _) => "packet too big",
            (true, 3, 0) => "hop limit exceeded",
            (true, 3, _) => "fragment reassembly time exceeded",
            (true, 4, _) => "parameter problem",
            _ => return None,
        })
    }
}
