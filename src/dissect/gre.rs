//! GRE (RFC 2784, 2890; version 1 of RFC 2637): flags and version (2), protocol (2), checksum and reserved
//! (4, flag C), key (4, flag K), sequence (4, flag S), acknowledgement (4, version 1 flag A).

use super::cursor::{Cursor, be16, be32};
use super::walk::{Next, Walk};
use super::{erspan, ethertype, ieee80211};
use crate::dissect::{Layer, Stop, Tunnel};

/// ERSPAN types I and II.
const ERSPAN: u16 = 0x88be;
/// ERSPAN type III.
const ERSPAN_III: u16 = 0x22eb;

/// Reads a GRE header.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Some(&[f0, f1, p0, p1]) = at.array::<4>() else {
        return Next::Stop(at.short(Layer::Tunnel, 4));
    };
    let (flags, kind) = (u16::from_be_bytes([f0, f1]), u16::from_be_bytes([p0, p1]));
    let version = flags & 7;
    let mut length = 4;
    // The routing field of RFC 1701 has a length of its own and has been unused for decades.
    if version > 1 || (version == 0 && flags & 0x4000 != 0) {
        return Next::Stop(Stop::Malformed { layer: Layer::Tunnel });
    }
    if flags & 0x8000 != 0 {
        length += 4;
    }
    let key = (flags & 0x2000 != 0).then_some(length);
    let sequenced = flags & 0x1000 != 0;
    length += if key.is_some() { 4 } else { 0 };
    length += if sequenced { 4 } else { 0 };
    length += if version == 1 && flags & 0x0080 != 0 { 4 } else { 0 };
    let Some(rest) = at.skip(length) else {
        return Next::Stop(at.short(Layer::Tunnel, length));
    };
    match (version, kind) {
        (0, ERSPAN) => erspan::read(walk, sequenced, rest),
        (0, ERSPAN_III) => erspan::read_iii(walk, rest),
        (0, _) => {
            let id = key.map_or(0, |key| be32(at.bytes, key));
            walk.tunnel(Tunnel::Gre, id, true);
            // Aruba access points: the frames of one radio, as they were on the air.
            if (0x8200..=0x9000).contains(&kind) && !rest.bytes.is_empty() && !known(kind) {
                return ieee80211::read(walk, 105, rest, 0);
            }
            Next::Gre(kind, rest)
        }
        // PPTP: the key is the payload's length and a call id that differs by direction.
        _ => {
            let call = key.map_or(0, |key| u32::from(be16(at.bytes, key + 2)));
            walk.tunnel(Tunnel::Gre, call, false);
            if rest.length == 0 {
                // An acknowledgement without data.
                return Next::Stop(Stop::Payload);
            }
            Next::Ppp(rest)
        }
    }
}

fn known(kind: u16) -> bool {
    matches!(kind, 0x86dd | 0x8847 | 0x8848 | 0x8864 | 0x880b | 0x883e | 0x88a8)
}

/// What follows a GRE protocol type.
pub(super) fn payload(kind: u16, at: Cursor<'_>) -> Next<'_> {
    match kind {
        // A keep-alive is empty and has protocol 0.
        0 => Next::Stop(Stop::Payload),
        0x880b => Next::Ppp(at),
        // WCCP: version 2 has four octets of its own in front, which cannot start with 4.
        0x883e if at.bytes.first().is_some_and(|octet| octet >> 4 != 4) => Next::Ip(at.past(4)),
        0x883e => Next::Ip(at),
        ethertype::BRIDGED => Next::Ethernet(at),
        _ => Next::EtherType(kind, at),
    }
}
