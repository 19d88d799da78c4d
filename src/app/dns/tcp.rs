//! DNS over TCP: two octets of length before every message (RFC 1035 section 4.2.2, RFC 7766).

use crate::app::dns::{DnsMessage, looks_like_dns, parse};
use crate::dissect::{Direction, PacketRef};

/// The first bytes of a client are a whole message with its length in front.
pub fn begins_dns_stream(bytes: &[u8]) -> bool {
    let Some((length, message)) = bytes.split_first_chunk::<2>() else { return false };
    usize::from(u16::from_be_bytes(*length)) == message.len() && looks_like_dns(message)
}

/// Finds the messages of both directions. Holds at most one incomplete message per direction: 64 KiB.
#[derive(Clone, Debug, Default)]
pub struct DnsTcp {
    halves: [Half; 2],
}

#[derive(Clone, Debug, Default)]
struct Half {
    held: Vec<u8>,
    /// After a gap nobody knows where a message starts.
    lost: bool,
}

impl DnsTcp {
    /// Bytes of memory that it takes, about.
    pub fn held(&self) -> usize {
        size_of::<Self>() + self.halves.iter().map(|half| half.held.len()).sum::<usize>()
    }

    /// Takes the next bytes of a direction: the messages they complete.
    pub fn data(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        at: PacketRef,
    ) -> Vec<(DnsMessage, PacketRef)> {
        let half = &mut self.halves[direction.index()];
        let mut messages = Vec::new();
        if half.lost {
            return messages;
        }
        half.held.extend_from_slice(bytes);
        let mut start = 0;
        while let Some((prefix, rest)) = half.held[start..].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*prefix));
            let Some(body) = rest.get(..length) else { break };
            if let Ok(message) = parse(body) {
                messages.push((message, at));
            }
            start += 2 + length;
        }
        half.held.drain(..start);
        messages
    }

    /// Messages of a direction are not read any more.
    pub fn has_lost(&self, direction: Direction) -> bool {
        self.halves[direction.index()].lost
    }

    /// Bytes of a direction were not captured.
    pub fn gap(&mut self, direction: Direction, _length: u64, _at: PacketRef) {
        let half = &mut self.halves[direction.index()];
        half.held = Vec::new();
        half.lost = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::dns::message::tests::message;

    #[test]
    fn any_cutting_gives_the_same_messages() {
        let one = message(1, 0x0100, 1, [0, 0, 0], b"");
        let mut stream = Vec::new();
        for _ in 0..3 {
            stream.extend((one.len() as u16).to_be_bytes());
            stream.extend(&one);
        }
        for size in 1..stream.len() {
            let mut tcp = DnsTcp::default();
            let found: usize = stream
                .chunks(size)
                .map(|piece| tcp.data(Direction::ToServer, piece, PacketRef::default()).len())
                .sum();
            assert_eq!(found, 3, "pieces of {size} bytes");
        }
    }

    #[test]
    fn nothing_is_read_after_a_gap() {
        let mut tcp = DnsTcp::default();
        tcp.gap(Direction::ToClient, 10, PacketRef::default());
        assert!(tcp.data(Direction::ToClient, &[0, 1, 2, 3], PacketRef::default()).is_empty());
    }
}
