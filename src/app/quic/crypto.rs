//! The bytes of CRYPTO frames in their order (RFC 9000 section 19.6).

use std::collections::BTreeMap;

/// Bytes of a direction that are read: a ClientHello is rarely above 2 KiB, and never above 64 KiB here. As
/// many may wait for what is in front of them.
const LONGEST: u64 = 1 << 16;
/// Pieces that wait.
const PIECES: usize = 256;

/// One direction's stream of handshake bytes in Initial packets.
#[derive(Clone, Debug, Default)]
pub(super) struct CryptoStream {
    /// What comes next.
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    /// Bytes that wait.
    held: usize,
}

impl CryptoStream {
    /// Takes a piece and gives what is in order now, nothing of it twice. Pieces beyond the limits are left
    /// out: then the rest of the stream is, too.
    pub(super) fn add(&mut self, offset: u64, bytes: &[u8]) -> Vec<u8> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end <= self.next || end > LONGEST {
            return Vec::new();
        }
        let known = self.waiting.get(&offset).map(Vec::len);
        let room = self.waiting.len() < PIECES && (self.held + bytes.len()) as u64 <= LONGEST;
        if (room || offset <= self.next) && known.is_none_or(|known| known < bytes.len()) {
            self.held += bytes.len() - known.unwrap_or(0);
            self.waiting.insert(offset, bytes.to_vec());
        }
        let mut ready = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() <= self.next) {
            let (offset, piece) = entry.remove_entry();
            self.held -= piece.len();
            let old = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
            let new = piece.get(old..).unwrap_or_default();
            ready.extend_from_slice(new);
            self.next += new.len() as u64;
        }
        ready
    }

    /// Bytes of memory that it takes beside itself, about.
    pub(super) fn held(&self) -> usize {
        self.held + self.waiting.len() * 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_too_far_away_is_left_out() {
        let mut stream = CryptoStream::default();
        assert!(stream.add(LONGEST - 1, &[1, 2]).is_empty());
        assert!(stream.add(u64::MAX, &[1]).is_empty());
        assert_eq!(stream.held(), 0);
        assert_eq!(stream.add(0, &[1, 2]), [1, 2]);
    }

    #[test]
    fn pieces_that_wait_are_bounded() {
        let mut stream = CryptoStream::default();
        (1..2000).for_each(|place| assert!(stream.add(place * 2, &[7]).is_empty()));
        assert_eq!((stream.waiting.len(), stream.held), (PIECES, PIECES));
        let mut stream = CryptoStream::default();
        (1..20).for_each(|place| assert!(stream.add(place, &[7; 9_000]).is_empty()));
        assert_eq!(stream.waiting.len(), 7);
    }

    proptest! {
        /// Any pieces, in any order, several times: the stream comes out once.
        #[test]
        fn pieces_in_any_order_give_the_stream(
            cuts in proptest::collection::vec((0..500_usize, 1..60_usize), 1..60),
            order in proptest::num::u64::ANY,
        ) {
            let whole: Vec<u8> = (0..600_u32).map(|value| (value * 7 % 251) as u8).collect();
            let mut pieces: Vec<(usize, usize)> = (0..10).map(|part| (part * 60, 60)).collect();
            pieces.extend(cuts);
            pieces.sort_by_key(|(start, length)| (*start as u64 ^ order).wrapping_mul(*length as u64 | 1));
            let mut stream = CryptoStream::default();
            let mut got = Vec::new();
            for (start, length) in pieces {
                let end = (start + length).min(whole.len());
                got.extend(stream.add(start as u64, &whole[start..end]));
            }
            prop_assert_eq!(got, whole);
            prop_assert_eq!(stream.held(), 0);
        }
    }
}
