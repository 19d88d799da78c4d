//! Neighbour solicitation and advertisement (RFC 4861 sections 4.3, 4.4), after the first eight octets:
//! target (16), then options: type, length in units of eight octets, value.
//!
//! In the words of ARP. A solicitation: the sender asks for the target. A solicited advertisement: the sender
//! is the address announced, the target the one who asked. An unsolicited one is a gratuitous ARP: both are
//! the address announced.

use std::net::{IpAddr, Ipv6Addr};

use super::cursor::Cursor;
use super::walk::Walk;
use crate::dissect::{Arp, Layer, Stop, Transport};

/// The solicited flag.
const SOLICITED: u8 = 0x40;

/// Reads what follows the ICMPv6 header, whose fifth octet holds `flags`.
pub(super) fn read(walk: &mut Walk, advertisement: bool, flags: u8, at: Cursor<'_>) -> Stop {
    let (Some((target, mut options)), Some(ip)) = (at.take::<16>(), walk.record.ip) else {
        return at.short(Layer::Icmp, 16);
    };
    let target = IpAddr::V6(Ipv6Addr::from(*target));
    // Source link address in a solicitation, target link address in an advertisement: the sender's own.
    let wanted = if advertisement { 2 } else { 1 };
    let mut sender_link = walk.record.link.source;
    while let Some(&[kind, units, a0, a1, a2, a3, a4, a5]) = options.array::<8>() {
        if kind == wanted {
            sender_link = [a0, a1, a2, a3, a4, a5];
        }
        match options.skip(usize::from(units) * 8) {
            Some(rest) if units > 0 => options = rest,
            _ => break,
        }
    }
    let (sender, target) = match (advertisement, flags & SOLICITED != 0) {
        (false, _) => (ip.source, target),
        (true, true) => (target, ip.destination),
        (true, false) => (target, target),
    };
    let arp = Arp { reply: advertisement, sender, sender_link, target, target_link: [0; 6] };
    walk.transport(Transport::Arp(arp), options.limit(0));
    Stop::Payload
}
