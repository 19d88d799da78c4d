//! The frames that Initial packets may hold (RFC 9000 sections 12.4 and 19).

use crate::app::quic::number::{sized, varint};

/// A frame that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'p> {
    /// Packets of the other side arrived.
    Ack,
    /// Handshake bytes.
    Crypto { offset: u64, bytes: &'p [u8] },
    /// CONNECTION_CLOSE with its error code.
    Close { code: u64 },
}

/// The frames of a packet, up to the first that an Initial packet may not hold.
pub(super) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        loop {
            let (kind, rest) = varint(bytes)?;
            let (frame, rest) = match kind {
                // PADDING and PING have no content.
                0 | 1 => (None, rest),
                2 | 3 => (Some(Frame::Ack), ack(kind == 3, rest)?),
                6 => {
                    let (offset, rest) = varint(rest)?;
                    let (bytes, rest) = sized(rest)?;
                    (Some(Frame::Crypto { offset, bytes }), rest)
                }
                0x1c => {
                    let (code, rest) = varint(rest)?;
                    let (_, rest) = varint(rest)?;
                    let (_, rest) = sized(rest)?;
                    (Some(Frame::Close { code }), rest)
                }
                _ => return None,
            };
            bytes = rest;
            if frame.is_some() {
                return frame;
            }
        }
    })
}

/// What follows the content of an ACK frame (RFC 9000 section 19.3).
pub(super) fn ack(ecn: bool, bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = varint(bytes)?;
    let (_, rest) = varint(rest)?;
    let (ranges, rest) = varint(rest)?;
    let (_, mut rest) = varint(rest)?;
    let counters = if ecn { 3 } else { 0 };
    // Every integer takes an octet at least.
    let integers = ranges.checked_mul(2)?.checked_add(counters)?;
    if integers > rest.len() as u64 {
        return None;
    }
    for _ in 0..integers {
        rest = varint(rest)?.1;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other() {
        let bytes = [
            &[0, 0, 1][..],
            &[3, 9, 1, 1, 0, 2, 1, 5, 6, 7],
            &[6, 0x40, 0x20, 3, 1, 2, 3, 0],
            &[0x1c, 0x41, 0x28, 6, 2, b'n', b'o'],
        ];
        let bytes = bytes.concat();
        let wanted =
            [Frame::Ack, Frame::Crypto { offset: 32, bytes: &[1, 2, 3] }, Frame::Close { code: 0x128 }];
        assert_eq!(frames(&bytes).collect::<Vec<_>>(), wanted);
        for cut in 0..bytes.len() {
            assert!(frames(&bytes[..cut]).count() < 3);
        }
    }

    #[test]
    fn others_end_the_reading() {
        assert_eq!(frames(&[0, 8, 2, 0, 0, 1, 0]).count(), 0);
        assert_eq!(frames(&[2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]).count(), 0);
    }
}
