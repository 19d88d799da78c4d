//! IP over InfiniBand (RFC 4391): a 40-octet global route header, then EtherType (2) and reserved (2).

use super::cursor::Cursor;
use super::walk::Next;
use crate::dissect::Layer;

/// Reads an IPoIB header.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    match at.take::<44>() {
        Some((header, rest)) => Next::EtherType(u16::from_be_bytes([header[40], header[41]]), rest),
        None => Next::Stop(at.short(Layer::Link, 44)),
    }
}
