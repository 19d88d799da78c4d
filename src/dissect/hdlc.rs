//! Cisco HDLC: address (0x0f unicast, 0x8f broadcast), control, EtherType (2); PPP in HDLC (RFC 1662).

use super::cursor::Cursor;
use super::walk::Next;
use crate::dissect::Layer;

/// Reads a Cisco HDLC header.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    match at.take::<4>() {
        Some((&[_, _, k0, k1], rest)) => Next::EtherType(u16::from_be_bytes([k0, k1]), rest),
        None => Next::Stop(at.short(Layer::Link, 4)),
    }
}

/// Reads a serial-line header: Cisco HDLC or PPP, told apart by the address octet.
pub(super) fn read_serial(at: Cursor<'_>) -> Next<'_> {
    match at.bytes.first() {
        Some(0x0f | 0x8f) => read(at),
        _ => Next::Ppp(at),
    }
}
