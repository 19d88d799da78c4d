//! Where the headers of a packet stand: for whoever rewrites them.

use super::cursor::Cursor;
use super::walk::Next;

/// What a header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// The header of this link type.
    Link(u16),
    /// An Ethernet frame.
    Ethernet,
    /// What this EtherType announces: a VLAN tag, a PPPoE header, ARP.
    EtherType(u16),
    /// An IEEE 802.2 header.
    Llc,
    /// A PPP frame.
    Ppp,
    /// An MPLS label stack.
    Mpls,
    /// What GRE has in front of its payload.
    Gre,
    /// An IP header of either version, with its options or extension headers.
    Ip,
    /// What this IP protocol number announces, with the header of a tunnel in it.
    Protocol(u8),
}

/// A header, or a run of headers that are read in one go. It ends where the next one begins, and the last one
/// with the layer around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: HeaderKind,
    /// Distance from the first octet of the packet.
    pub offset: usize,
    /// Captured octets from there to the end of the layer around it.
    pub captured: usize,
}

impl Header {
    pub(super) fn of(next: &Next<'_>) -> Option<Self> {
        let (kind, at): (HeaderKind, &Cursor<'_>) = match next {
            Next::Link(kind, at) => (HeaderKind::Link(*kind), at),
            Next::Ethernet(at) => (HeaderKind::Ethernet, at),
            Next::EtherType(kind, at) => (HeaderKind::EtherType(*kind), at),
            Next::Llc(at) => (HeaderKind::Llc, at),
            Next::Ppp(at) => (HeaderKind::Ppp, at),
            Next::Mpls(at) => (HeaderKind::Mpls, at),
            Next::Gre(_, at) => (HeaderKind::Gre, at),
            Next::Ip(at) => (HeaderKind::Ip, at),
            Next::Protocol(number, at) => (HeaderKind::Protocol(*number), at),
            Next::Stop(_) => return None,
        };
        Some(Self { kind, offset: at.offset as usize, captured: at.bytes.len() })
    }
}
