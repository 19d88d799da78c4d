//! A run of octets inside a packet: what was captured of it, and how long it was on the wire.

use crate::dissect::{Layer, Stop};

/// The octets from one header on to the end of the layer around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'p> {
    /// Captured octets, never more than `length`.
    pub(super) bytes: &'p [u8],
    /// Distance from the first octet of the packet.
    pub(super) offset: u32,
    /// Octets on the wire, by the length field of the layer around it.
    pub(super) length: u32,
}

impl<'p> Cursor<'p> {
    /// A whole packet. A wire length below the captured length is a lie and is ignored.
    pub(super) fn new(bytes: &'p [u8], wire: u32) -> Self {
        Self { bytes, offset: 0, length: wire.max(bytes.len() as u32) }
    }

    /// The first `N` octets, when they were captured.
    pub(super) fn array<const N: usize>(self) -> Option<&'p [u8; N]> {
        self.bytes.first_chunk()
    }

    /// The first `N` octets and what follows them.
    pub(super) fn take<const N: usize>(self) -> Option<(&'p [u8; N], Self)> {
        let (head, bytes) = self.bytes.split_first_chunk()?;
        Some((head, Self { bytes, offset: self.offset + N as u32, length: self.length - N as u32 }))
    }

    /// What follows `count` octets, when those were captured.
    pub(super) fn skip(self, count: usize) -> Option<Self> {
        let bytes = self.bytes.get(count..)?;
        Some(Self { bytes, offset: self.offset + count as u32, length: self.length - count as u32 })
    }

    /// What follows `count` octets, captured or not. Empty when the layer ends before.
    pub(super) fn past(self, count: usize) -> Self {
        let captured = count.min(self.bytes.len());
        Self {
            bytes: &self.bytes[captured..],
            offset: self.offset + captured as u32,
            length: self.length.saturating_sub(count as u32),
        }
    }

    /// The same run cut to `length` octets: drops padding and trailers.
    pub(super) fn limit(self, length: u32) -> Self {
        let length = length.min(self.length);
        let captured = self.bytes.len().min(length as usize);
        Self { bytes: &self.bytes[..captured], offset: self.offset, length }
    }

    /// The same run with the length that an IP header states, which holds also beyond the record: no
    /// receiver takes a datagram that ends early, so such a file was cut after it was captured. That of a
    /// jumbogram does not.
    pub(super) fn stated(self, length: u32) -> Self {
        let limited = self.limit(length);
        if length <= 40 + u32::from(u16::MAX) { Self { length, ..limited } } else { limited }
    }

    /// Why `needed` octets of `layer` cannot be read here: the capture, or the layer around, ends before.
    pub(super) fn short(self, layer: Layer, needed: usize) -> Stop {
        let needed = needed as u32;
        if needed > self.length {
            Stop::Malformed { layer }
        } else {
            Stop::Clipped { layer, needed, found: self.bytes.len() as u32 }
        }
    }
}

/// A big-endian 16-bit field at `at`; 0 outside the slice.
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u16::from_be_bytes(*field))
}

/// A big-endian 32-bit field at `at`; 0 outside the slice.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_be_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_by_the_capture_and_a_lying_length_are_told_apart() {
        let clipped = Cursor::new(&[0; 4], 60);
        assert_eq!(clipped.short(Layer::Tcp, 20), Stop::Clipped { layer: Layer::Tcp, needed: 20, found: 4 });
        assert_eq!(clipped.limit(10).short(Layer::Tcp, 20), Stop::Malformed { layer: Layer::Tcp });
    }

    #[test]
    fn past_the_captured_bytes_the_wire_length_still_counts() {
        let rest = Cursor::new(&[0; 4], 60).past(20);
        assert_eq!((rest.bytes.len(), rest.offset, rest.length), (0, 4, 40));
    }
}
