//! BSD loopback: the address family in four octets, in the byte order of the host that captured (link type
//! 0) or in network order (108).

use super::cursor::Cursor;
use super::walk::Next;
use crate::dissect::{Layer, Stop};

/// Reads a loopback header. Family numbers are small, so either byte order is recognised by itself.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    let Some((field, rest)) = at.take::<4>() else {
        return Next::Stop(at.short(Layer::Link, 4));
    };
    let family = u32::from_be_bytes(*field);
    match if family > 0xffff { family.swap_bytes() } else { family } {
        // IPv4 everywhere; IPv6 on Linux, NetBSD, FreeBSD and Darwin.
        2 | 10 | 24 | 28 | 30 => Next::Ip(rest),
        other => Next::Stop(Stop::EtherType(other as u16)),
    }
}
