//! What follows an EtherType.

use super::cursor::Cursor;
use super::walk::{Next, Walk};
use super::{arp, ip, pppoe, vlan};
use crate::dissect::Stop;

/// IPv4.
pub(super) const IPV4: u16 = 0x0800;
/// IPv6.
pub(super) const IPV6: u16 = 0x86dd;
/// ARP.
pub(super) const ARP: u16 = 0x0806;
/// Transparent Ethernet bridging (RFC 1701).
pub(super) const BRIDGED: u16 = 0x6558;
/// IEEE 802.2 header: Linux's number for frames with a length field, and [`Stop::EtherType`] of unread ones.
pub(super) const LLC: u16 = 0x0004;

/// Reads what EtherType `kind` announces.
pub(super) fn read<'p>(walk: &mut Walk, kind: u16, at: Cursor<'p>) -> Next<'p> {
    match kind {
        // Either version: some drivers give IPv6 the EtherType of IPv4, and the packet says what it is.
        IPV4 | IPV6 => Next::Ip(at),
        0x8100 | 0x88a8 | 0x9100 => vlan::read(walk, at),
        ARP => arp::read(walk, at),
        0x8847 | 0x8848 => Next::Mpls(at),
        0x8864 => pppoe::read(walk, at),
        LLC | 0x8870 => Next::Llc(at),
        BRIDGED => Next::Ethernet(at),
        _ => Next::Stop(Stop::EtherType(kind)),
    }
}

/// True when `kind` is one that is read here and what follows does not contradict it.
pub(super) fn known(kind: u16, at: Cursor<'_>) -> bool {
    match kind {
        IPV4 | IPV6 => ip::plausible(at),
        ARP | 0x8035 | 0x8100 | 0x88a8 | 0x9100 | 0x8847 | 0x8848 | 0x8863 | 0x8864 | 0x888e | 0x88cc => true,
        _ => false,
    }
}
