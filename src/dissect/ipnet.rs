//! Solaris IPNET: version, family, hook type (2), length (4), interfaces (8), zones (8), then an IP packet.

use super::cursor::Cursor;
use super::walk::Next;
use crate::dissect::Layer;

/// Reads an IPNET header.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    match at.skip(24) {
        Some(rest) => Next::Ip(rest),
        None => Next::Stop(at.short(Layer::Link, 24)),
    }
}
