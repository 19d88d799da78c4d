//! IEEE 802.2 LLC, and SNAP (RFC 1042): DSAP, SSAP, control, organisation (3), protocol (2).

use super::cursor::Cursor;
use super::ethertype;
use super::walk::Next;
use crate::dissect::{Layer, Stop};

/// Reads an LLC header.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    let Some((&[dsap, ssap, control], rest)) = at.take::<3>() else {
        return Next::Stop(at.short(Layer::Link, 3));
    };
    match (dsap, ssap, control) {
        (0xaa, 0xaa, 0x03) => snap(rest),
        (0x06, 0x06, 0x03) => Next::Ip(rest),
        _ => Next::Stop(Stop::EtherType(ethertype::LLC)),
    }
}

/// Reads a SNAP header.
pub(super) fn snap(at: Cursor<'_>) -> Next<'_> {
    let Some((&[o0, o1, o2, p0, p1], rest)) = at.take::<5>() else {
        return Next::Stop(at.short(Layer::Link, 5));
    };
    let kind = u16::from_be_bytes([p0, p1]);
    match ([o0, o1, o2], kind) {
        // RFC 1042, and the bridge-tunnel organisation of IEEE 802.1H.
        ([0, 0, 0] | [0, 0, 0xf8], _) => Next::EtherType(kind, rest),
        // RFC 2684 and RFC 2427: a bridged Ethernet frame, with and without its checksum.
        ([0x00, 0x80, 0xc2], 1 | 7) => Next::Ethernet(rest),
        _ => Next::Stop(Stop::EtherType(kind)),
    }
}
