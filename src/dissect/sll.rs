//! Linux cooked capture: packet type (2), ARPHRD type (2), address length (2), address (8), protocol (2).

use super::cursor::Cursor;
use super::ethertype;
use super::walk::{Next, Walk};
use crate::dissect::{Layer, Stop};

/// Reads a version 1 header.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Some((header, rest)) = at.take::<16>() else {
        return Next::Stop(at.short(Layer::Link, 16));
    };
    let &[_, packet_type, h0, h1, _, _, a0, a1, a2, a3, a4, a5, _, _, p0, p1] = header;
    walk.cooked([a0, a1, a2, a3, a4, a5], packet_type);
    after(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]), rest)
}

/// What follows a cooked header: the meaning of `protocol` depends on the device's ARPHRD type `hardware`.
pub(super) fn after(hardware: u16, protocol: u16, rest: Cursor<'_>) -> Next<'_> {
    match (hardware, protocol) {
        // Radiotap behind a cooked header (ARPHRD_IEEE80211_RADIOTAP) and netlink (824): no network traffic.
        (803 | 824, _) => Next::Stop(Stop::EtherType(protocol)),
        // Linux's own numbers below 1536: 0x0001 is an IEEE 802.3 frame, whose LLC header is missing.
        (_, 0x0001) => Next::Stop(Stop::EtherType(protocol)),
        (_, ethertype::LLC) => Next::Llc(rest),
        _ => Next::EtherType(protocol, rest),
    }
}
