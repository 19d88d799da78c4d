//! DNS messages of a connection's streams (RFC 9250 section 4.2): on each of them a question and its answer,
//! with two octets of length in front.

use std::collections::BTreeMap;

use crate::app::quic::crypto::CryptoStream;
use crate::dissect::Direction;

/// Streams that are known at a time, the latest: who repeats what older ones said is not heard again.
const MOST_STREAMS: usize = 64;
/// Octets of messages that are not whole.
const MOST_HELD: usize = 1 << 17;

/// The streams that a client opened, by their IDs.
#[derive(Default)]
pub(super) struct Questions {
    streams: BTreeMap<u64, [Half; 2]>,
    held: usize,
}

/// What a side says on a stream.
#[derive(Default)]
struct Half {
    stream: CryptoStream,
    message: Vec<u8>,
}

impl Half {
    fn held(&self) -> usize {
        self.stream.held() + self.message.len()
    }
}

impl Questions {
    /// Takes bytes of a stream: the messages that are whole now.
    pub(super) fn add(&mut self, direction: Direction, id: u64, offset: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
        // Those of the client that both sides write (RFC 9000 section 2.1).
        if id & 3 != 0 {
            return Vec::new();
        }
        let half = &mut self.streams.entry(id).or_default()[direction.index()];
        let before = half.held();
        let ready = half.stream.add(offset, bytes);
        half.message.extend(ready);
        let mut messages = Vec::new();
        while let Some((length, rest)) = half.message.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(message) = rest.get(..length) else { break };
            messages.push(message.to_vec());
            half.message.drain(..2 + length);
        }
        self.held = self.held + half.held() - before;
        while self.streams.len() > MOST_STREAMS || self.held > MOST_HELD {
            let Some((_, halves)) = self.streams.pop_first() else { break };
            self.held -= halves.iter().map(Half::held).sum::<usize>();
        }
        messages
    }

    /// Bytes of memory that they take, about.
    pub(super) fn held(&self) -> usize {
        self.held + self.streams.len() * 2 * size_of::<Half>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    #[test]
    fn a_stream_has_a_question_and_its_answer() {
        let mut questions = Questions::default();
        assert!(questions.add(ToServer, 4, 2, b"que").is_empty());
        assert!(questions.add(ToServer, 0, 0, b"\0\x01").is_empty());
        assert_eq!(questions.add(ToServer, 4, 0, b"\0\x03"), [b"que"]);
        assert!(questions.add(ToServer, 4, 0, b"\0\x03que").is_empty(), "said again");
        assert_eq!(questions.add(ToClient, 4, 0, b"\0\x02an\0\x01d"), [b"an".as_slice(), b"d"]);
        assert_eq!(questions.add(ToServer, 0, 2, b"x"), [b"x"]);
        assert!(questions.add(ToServer, 2, 0, b"\0\x01x").is_empty(), "one way only");
        assert_eq!(questions.held, 0);
    }

    #[test]
    fn streams_and_what_waits_in_them_are_bounded() {
        let mut questions = Questions::default();
        for id in 0..1000 {
            questions.add(ToServer, id * 4, 0, &[0xff; 30_000]);
            assert!(questions.held() < MOST_HELD + 64 * 2 * size_of::<Half>());
        }
        for id in 1000..2000 {
            questions.add(ToServer, id * 4, 5, b"x");
        }
        assert_eq!(questions.streams.len(), MOST_STREAMS);
        assert_eq!(questions.add(ToServer, 1999 * 4, 0, b"\0\x04abc"), [b"abcx"]);
    }
}
