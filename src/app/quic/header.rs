//! Long headers (RFC 9000 section 17.2), and what of them no version changes (RFC 8999 section 5.1).

use crate::app::quic::number::{is_grease, sized, varint};
use crate::app::quic::version::{Kind, Version};

/// Longest connection ID of the versions that are read (RFC 9000 section 17.2).
pub(super) const LONGEST_ID: usize = 20;

/// Bit of the first octet that long headers have.
const LONG: u8 = 0x80;
/// Bit that all packets have but those of version negotiation and of who greases it (RFC 9287).
pub(super) const FIXED: u8 = 0x40;

/// What every version has in front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Invariant<'p> {
    pub(super) first: u8,
    /// 0 in a version negotiation.
    pub(super) version: u32,
    pub(super) destination: &'p [u8],
    pub(super) source: &'p [u8],
    /// What follows.
    pub(super) rest: &'p [u8],
}

/// A packet with a long header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'p> {
    pub(super) kind: Kind,
    /// The whole packet. Of one that was cut by the snapshot length what was captured.
    pub(super) bytes: &'p [u8],
    /// Where the packet number stands in it.
    pub(super) number: usize,
    /// All of it was captured.
    pub(super) whole: bool,
    /// The packets behind it in the same datagram.
    pub(super) behind: &'p [u8],
}

/// The packet has a long header.
pub(super) fn is_long(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & LONG != 0)
}

impl<'p> Invariant<'p> {
    /// Reads the front of a long header.
    pub(super) fn read(bytes: &'p [u8]) -> Option<Self> {
        let (&[first, v0, v1, v2, v3, length], rest) = bytes.split_first_chunk::<6>()?;
        let (destination, rest) = rest.split_at_checked(usize::from(length))?;
        let (&length, rest) = rest.split_first()?;
        let (source, rest) = rest.split_at_checked(usize::from(length))?;
        let version = u32::from_be_bytes([v0, v1, v2, v3]);
        (first & LONG != 0).then_some(Self { first, version, destination, source, rest })
    }

    /// The rest of the packet that stands at the beginning of `bytes`, of which this is the front.
    pub(super) fn packet(&self, version: &Version, bytes: &'p [u8]) -> Option<Packet<'p>> {
        let kind = version.kind(self.first);
        if self.destination.len() > LONGEST_ID || self.source.len() > LONGEST_ID {
            return None;
        }
        if kind == Kind::Retry {
            return Some(Packet { kind, bytes, number: bytes.len(), whole: true, behind: &[] });
        }
        // What an Initial carries for the server to know the client by.
        let rest = if kind == Kind::Initial { sized(self.rest)?.1 } else { self.rest };
        let (length, rest) = varint(rest)?;
        let number = bytes.len() - rest.len();
        let end = usize::try_from(length).ok().and_then(|length| number.checked_add(length))?;
        let whole = end <= bytes.len();
        let (bytes, behind) = bytes.split_at(end.min(bytes.len()));
        Some(Packet { kind, bytes, number, whole, behind })
    }
}

/// A datagram that QUIC's clients and servers send: a long header of a version that is read, or a version
/// negotiation, or what asks for one.
pub fn looks_like_quic(bytes: &[u8]) -> bool {
    if !is_long(bytes) {
        return false;
    }
    let Some(front) = Invariant::read(bytes) else { return false };
    let ids = front.destination.len() <= LONGEST_ID && front.source.len() <= LONGEST_ID;
    ids && match front.version {
        // Nobody negotiates without IDs, and there is one version at least.
        0 => !front.destination.is_empty() && !front.rest.is_empty() && front.rest.len().is_multiple_of(4),
        // RFC 9000 section 14.1: the first datagram of a client has 1200 octets at least.
        version if is_grease(version) => bytes.len() >= 1200,
        version => Version::of(version).is_some(),
    }
}
