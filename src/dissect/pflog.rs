//! OpenBSD's packet filter log: header length (without its padding to 4), address family, action, ...

use super::cursor::Cursor;
use super::walk::Next;
use crate::dissect::Layer;

/// Reads a log header; the IP packet follows it.
pub(super) fn read(at: Cursor<'_>) -> Next<'_> {
    let Some(&length) = at.bytes.first() else {
        return Next::Stop(at.short(Layer::Link, 1));
    };
    let length = usize::from(length).next_multiple_of(4);
    match at.skip(length) {
        Some(rest) => Next::Ip(rest),
        None => Next::Stop(at.short(Layer::Link, length)),
    }
}
