//! An MPLS label stack (RFC 3032): label (20 bits), class (3), bottom of stack (1), time to live (8).
//!
//! The stack does not say what it carries. An IP packet is recognised by its version and lengths, a
//! pseudowire's Ethernet frame (RFC 4448) by its EtherType, with or without a control word.

use super::cursor::Cursor;
use super::walk::{MAX_TUNNELS, Next, Walk};
use super::{ethernet, ip};
use crate::dissect::{Layer, Stop, Tunnel};

/// Deepest label stack that is read.
const MAX_LABELS: u8 = 2 * MAX_TUNNELS;

/// Reads the stack. Labels differ by direction, so they are no part of the path hash.
pub(super) fn read<'p>(walk: &mut Walk, mut at: Cursor<'p>) -> Next<'p> {
    for _ in 0..MAX_LABELS {
        let Some((entry, rest)) = at.take::<4>() else {
            return Next::Stop(at.short(Layer::Tunnel, 4));
        };
        at = rest;
        let entry = u32::from_be_bytes(*entry);
        if entry & 0x100 != 0 {
            walk.tunnel(Tunnel::Mpls, entry >> 12, false);
            return payload(at);
        }
    }
    Next::Stop(Stop::Depth)
}

fn payload(at: Cursor<'_>) -> Next<'_> {
    let nibble = at.bytes.first().map(|octet| octet >> 4);
    if ip::plausible(at) {
        return Next::Ip(at);
    }
    if nibble == Some(0) {
        let inner = at.past(4);
        if ethernet::plausible(inner) {
            return Next::Ethernet(inner);
        }
    }
    if ethernet::plausible(at) {
        return Next::Ethernet(at);
    }
    // An IP header with lengths that contradict: its own reader says what is wrong.
    match nibble {
        Some(4 | 6) => Next::Ip(at),
        Some(_) => Next::Stop(Stop::EtherType(0x8847)),
        None => Next::Stop(at.short(Layer::Tunnel, 1)),
    }
}
