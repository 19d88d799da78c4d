//! Frame Relay (RFC 2427): Q.922 address (2 to 4 octets, the last has its low bit set), control 0x03, an
//! optional pad, NLPID. Cisco's own encapsulation has an EtherType in place of control and NLPID.

use super::cursor::Cursor;
use super::llc;
use super::walk::Next;
use crate::dissect::{Layer, Stop};

/// Reads a Frame Relay header.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    let Some(end) = at.bytes.iter().take(4).position(|octet| octet & 1 == 1) else {
        return Next::Stop(at.short(Layer::Link, 4));
    };
    let rest = at.past(end + 1);
    let Some((&[control, second], inner)) = rest.take::<2>() else {
        return Next::Stop(rest.short(Layer::Link, 2));
    };
    if control != 0x03 {
        return Next::EtherType(u16::from_be_bytes([control, second]), inner);
    }
    match (second, inner.bytes.first()) {
        (0xcc | 0x8e, _) => Next::Ip(inner),
        (0x80, _) => llc::snap(inner),
        (0x00, Some(0x80)) => llc::snap(inner.past(1)),
        (0x00, Some(0xcc | 0x8e)) => Next::Ip(inner.past(1)),
        (other, _) => Next::Stop(Stop::EtherType(u16::from(other))),
    }
}
