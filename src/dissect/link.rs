//! The link header, by the link types of the tcpdump group's list.

use super::cursor::Cursor;
use super::walk::{Next, Walk};
use super::{
    fddi, frame_relay, hdlc, ieee80211, ipnet, ipoib, nflog, null, pflog, ppi, pppoe, radio, sll, sll2,
    token_ring,
};
use crate::dissect::Stop;

/// The packet type of link headers that have none.
pub(super) const NOT_COOKED: u8 = 255;

/// Reads the header of link type `kind`.
pub(super) fn read<'p>(walk: &mut Walk, kind: u16, at: Cursor<'p>) -> Next<'p> {
    match kind {
        1 => Next::Ethernet(at),
        113 => sll::read(walk, at),
        276 => sll2::read(walk, at),
        12 | 14 | 101 | 228 | 229 => Next::Ip(at),
        0 | 108 => null::read(at),
        9 => Next::Ppp(at),
        50 => hdlc::read_serial(at),
        51 => pppoe::read(walk, at),
        104 => hdlc::read(at),
        105 => ieee80211::read(walk, kind, at, 0),
        127 => radio::radiotap(walk, kind, at),
        119 => radio::prism(walk, kind, at),
        163 => radio::avs(walk, kind, at),
        192 => ppi::read(at),
        107 => frame_relay::read(at),
        10 => fddi::read(walk, at),
        6 => token_ring::read(walk, at),
        117 => pflog::read(at),
        226 => ipnet::read(at),
        239 => nflog::read(at),
        242 => ipoib::read(at),
        _ => Next::Stop(Stop::LinkType(kind)),
    }
}
