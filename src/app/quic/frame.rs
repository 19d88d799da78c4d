//! Frames (RFC 9000 sections 12.4 and 19).

use crate::app::quic::number::{sized, varint};
use crate::app::quic::session::Space;

/// A frame that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'p> {
    /// Packets of the other side arrived.
    Ack,
    /// Handshake bytes.
    Crypto { offset: u64, bytes: &'p [u8] },
    /// Bytes of a stream.
    Stream { id: u64, offset: u64, bytes: &'p [u8] },
    /// What the side may be called by from now on.
    NewId(&'p [u8]),
    /// CONNECTION_CLOSE with its error code: of the application, or of the transport.
    Close { application: bool, code: u64, reason: &'p [u8] },
}

/// The frames of a packet, up to the first that a packet of its kind may not hold, or that nobody knows.
pub(super) fn frames(space: Space, mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        loop {
            let (kind, rest) = varint(bytes)?;
            if space != Space::Data && !matches!(kind, 0..=3 | 6 | 0x1c) {
                return None;
            }
            let (frame, rest) = match kind {
                // PADDING, PING, HANDSHAKE_DONE have no content.
                0 | 1 | 0x1e => (None, rest),
                2 | 3 => (Some(Frame::Ack), ack(kind == 3, rest)?),
                6 => {
                    let (offset, rest) = varint(rest)?;
                    let (bytes, rest) = sized(rest)?;
                    (Some(Frame::Crypto { offset, bytes }), rest)
                }
                0x08..=0x0f => {
                    let (frame, rest) = stream(kind, rest)?;
                    (Some(frame), rest)
                }
                // NEW_CONNECTION_ID: two integers, an ID, a token of 16 octets.
                0x18 => {
                    let (length, rest) = integers(rest, 2)?.split_first()?;
                    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
                    (Some(Frame::NewId(id)), rest.get(16..)?)
                }
                0x1c | 0x1d => {
                    let application = kind == 0x1d;
                    let (code, rest) = varint(rest)?;
                    // The type of the frame that was in error.
                    let rest = if application { rest } else { varint(rest)?.1 };
                    let (reason, rest) = sized(rest)?;
                    (Some(Frame::Close { application, code, reason }), rest)
                }
                _ => (None, behind(kind, rest)?),
            };
            bytes = rest;
            if frame.is_some() {
                return frame;
            }
        }
    })
}

/// A STREAM frame (RFC 9000 section 19.8): two bits of its type say what it has.
fn stream(kind: u64, rest: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (id, rest) = varint(rest)?;
    let (offset, rest) = if kind & 4 == 0 { (0, rest) } else { varint(rest)? };
    let (bytes, rest) = if kind & 2 == 0 { (rest, &[][..]) } else { sized(rest)? };
    Some((Frame::Stream { id, offset, bytes }, rest))
}

/// What follows the content of a frame of which nothing is read.
fn behind(kind: u64, rest: &[u8]) -> Option<&[u8]> {
    match kind {
        // NEW_TOKEN, and DATAGRAM with a length (RFC 9221).
        0x07 | 0x31 => Some(sized(rest)?.1),
        // PATH_CHALLENGE and PATH_RESPONSE.
        0x1a | 0x1b => rest.get(8..),
        // The others are integers: RESET_STREAM, STOP_SENDING, MAX_DATA and what follows it,
        // RETIRE_CONNECTION_ID.
        0x04 => integers(rest, 3),
        0x05 | 0x11 | 0x15 => integers(rest, 2),
        0x10 | 0x12..=0x14 | 0x16 | 0x17 | 0x19 => integers(rest, 1),
        _ => None,
    }
}

fn integers(mut bytes: &[u8], count: usize) -> Option<&[u8]> {
    for _ in 0..count {
        bytes = varint(bytes)?.1;
    }
    Some(bytes)
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
        let wanted = [
            Frame::Ack,
            Frame::Crypto { offset: 32, bytes: &[1, 2, 3] },
            Frame::Close { application: false, code: 0x128, reason: b"no" },
        ];
        for space in [Space::Initial, Space::Handshake, Space::Data] {
            assert_eq!(frames(space, &bytes).collect::<Vec<_>>(), wanted);
        }
        for cut in 0..bytes.len() {
            assert!(frames(Space::Initial, &bytes[..cut]).count() < 3);
        }
    }

    /// Every frame of RFC 9000 and RFC 9221 once, and behind each of them what can be seen.
    #[test]
    fn each_frame_ends_where_the_next_begins() {
        let all: [&[u8]; 21] = [
            &[0x04, 0, 1, 2],
            &[0x05, 0, 1],
            &[0x07, 2, 9, 9],
            &[0x10, 0x44, 0],
            &[0x11, 4, 9],
            &[0x12, 9],
            &[0x13, 9],
            &[0x14, 9],
            &[0x15, 4, 9],
            &[0x16, 9],
            &[0x17, 9],
            &[0x18, 1, 0, 4, 9, 9, 9, 9, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
            &[0x19, 1],
            &[0x1a, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x1b, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x1e],
            &[0x31, 2, 1, 2],
            &[0x00],
            &[0x01],
            &[0x0a, 8, 2, 1, 2],
            &[0x0f, 8, 5, 1, 3],
        ];
        for frame in all {
            let bytes = [frame, &[0x1d, 0x41, 0x02, 0]].concat();
            let close = Frame::Close { application: true, code: 0x102, reason: b"" };
            assert_eq!(frames(Space::Data, &bytes).last(), Some(close), "{frame:?}");
            assert_ne!(frames(Space::Handshake, &bytes).last(), Some(close), "{frame:?}");
        }
        let bytes = [0x0a, 8, 2, 1, 2, 0x0f, 8, 2, 1, 3, 0x08, 4, 5, 6];
        let streams = [
            Frame::Stream { id: 8, offset: 0, bytes: &[1, 2] },
            Frame::Stream { id: 8, offset: 2, bytes: &[3] },
            Frame::Stream { id: 4, offset: 0, bytes: &[5, 6] },
        ];
        assert_eq!(frames(Space::Data, &bytes).collect::<Vec<_>>(), streams);
        assert_eq!(frames(Space::Data, &[0x41, 0x23, 0x1d, 0, 0]).count(), 0, "nobody knows it");
    }

    #[test]
    fn others_end_the_reading() {
        assert_eq!(frames(Space::Initial, &[0, 8, 2, 0, 0, 1, 0]).count(), 0);
        let endless = [2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
        assert_eq!(frames(Space::Initial, &endless).count(), 0);
    }
}
