//! What follows an IP protocol number.

use etherparse::IpAuthHeaderSlice;

use super::cursor::Cursor;
use super::walk::{Next, Walk};
use super::{gre, icmp, l2tp, tcp, udp};
use crate::dissect::{Layer, Stop, Transport, Tunnel};

/// Reads what protocol `number` announces.
pub(super) fn read<'p>(walk: &mut Walk, number: u8, at: Cursor<'p>) -> Next<'p> {
    match number {
        6 => Next::Stop(tcp::read(walk, at)),
        17 => udp::read(walk, at),
        1 => Next::Stop(icmp::read(walk, false, at)),
        58 => Next::Stop(icmp::read(walk, true, at)),
        _ => {
            // Stays when what is inside a tunnel cannot be read.
            walk.transport(Transport::Other, at);
            tunnelled(walk, number, at)
        }
    }
}

fn tunnelled<'p>(walk: &mut Walk, number: u8, at: Cursor<'p>) -> Next<'p> {
    match number {
        4 | 41 => {
            walk.tunnel(Tunnel::IpIp, 0, true);
            Next::Ip(at)
        }
        47 => gre::read(walk, at),
        // An authentication header hides nothing (RFC 4302).
        51 => match IpAuthHeaderSlice::from_slice(at.bytes) {
            Ok(header) => {
                let next = header.next_header().0;
                if let Some(ip) = &mut walk.record.ip {
                    ip.protocol = next;
                }
                Next::Protocol(next, at.past(header.slice().len()))
            }
            Err(_) => Next::Stop(at.short(Layer::Ipv4, 12)),
        },
        115 => l2tp::read_ip(walk, at),
        // MPLS in IP (RFC 4023).
        137 => Next::Mpls(at),
        _ => Next::Stop(Stop::Payload),
    }
}
