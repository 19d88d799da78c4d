//! A VLAN tag (IEEE 802.1Q section 9.6), after its EtherType: priority and id (2), EtherType or length (2).

use super::cursor::Cursor;
use super::ethernet;
use super::walk::{Next, Walk};
use crate::dissect::Layer;

/// Reads one tag.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Some((&[t0, t1, k0, k1], rest)) = at.take::<4>() else {
        return Next::Stop(at.short(Layer::Vlan, 4));
    };
    walk.vlan(u16::from_be_bytes([t0, t1]) & 0x0fff);
    ethernet::typed(u16::from_be_bytes([k0, k1]), rest)
}
