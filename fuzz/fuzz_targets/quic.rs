//! Any datagrams as QUIC, and any frames in packets that the keys open: those that everybody can derive, and
//! those of a key log.
#![no_main]

#[path = "../input.rs"]
#[allow(dead_code)]
mod input;
#[path = "../../tests/support/seal.rs"]
mod seal;

use input::Piece;
use libfuzzer_sys::fuzz_target;
use pcapsy::app::dns;
use pcapsy::app::quic::{Mask, QuicReader, Rewriter, client_random, looks_like_quic};
use pcapsy::capture::Keys;
use pcapsy::dissect::{Direction, PacketRef};
use pcapsy::time::Timestamp;
use seal::{V1, V2, protect, protect_updated, seal, updated};

/// What the client chose for the server, and what each side is called by the other.
const ID: &[u8] = b"original";
const IDS: [&[u8]; 2] = [b"client", b"server"];
/// The words of the secrets by space and side, client and server; a secret is 32 times its place.
const SECRETS: [[&str; 2]; 2] = [
    ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"],
    ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"],
];

/// Writes something else of the same length.
struct Other;

impl Mask for Other {
    fn handshake(&self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|octet| *octet ^= 0x55);
    }

    fn sealed(&self, old: &[u8], new: &mut [u8]) {
        assert!(new.len() <= old.len());
        new.fill(0x77);
    }
}

/// A side that knows all secrets.
struct Side {
    version: u32,
    side: usize,
    number: u32,
    /// Of 1-RTT packets: that of headers, and that of contents after `updates`.
    secrets: [[u8; 32]; 2],
    updates: u8,
}

impl Side {
    fn long(&mut self, kind: u8, destination: &[u8]) -> Vec<u8> {
        self.number += 1;
        // RFC 9369 section 3.2.
        let kind = if self.version == V2 { (kind + 1) & 3 } else { kind };
        let mut head = vec![0xc3 | kind << 4];
        head.extend(self.version.to_be_bytes());
        for id in [destination, IDS[self.side]] {
            head.push(id.len() as u8);
            head.extend(id);
        }
        head
    }

    fn initial(&mut self, frames: Vec<u8>) -> Vec<u8> {
        let to = if self.side == 0 { ID } else { IDS[0] };
        let head = [self.long(0, to), vec![0]].concat();
        seal(self.version, ID, self.side, head, self.number, frames)
    }

    fn handshake(&mut self, frames: Vec<u8>) -> Vec<u8> {
        let mut head = self.long(2, IDS[1 - self.side]);
        head.extend(((frames.len() + 20) as u16 | 0x4000).to_be_bytes());
        protect(self.version, &[self.side as u8; 32], head, self.number, frames)
    }

    fn data(&mut self, frames: Vec<u8>) -> Vec<u8> {
        self.number += 1;
        let head = [&[0x43 | (self.updates & 1) << 2], IDS[1 - self.side]].concat();
        let [first, last] = &self.secrets;
        protect_updated(self.version, [first, last], head, self.number, frames)
    }

    fn update(&mut self) {
        self.secrets[1] = updated(self.version, &self.secrets[1]);
        self.updates = self.updates.wrapping_add(1);
    }
}

/// A CRYPTO frame with a whole hello of that kind.
fn hello(kind: u8, rest: &[u8]) -> Vec<u8> {
    let body = [&[3, 3], [7; 32].as_slice(), rest].concat();
    [&[6, 0, 0x40, body.len() as u8 + 4, kind, 0, 0, body.len() as u8], body.as_slice()].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let keys = Keys::default();
    for (word, value) in SECRETS.iter().flatten().zip(0..) {
        let line = format!("{word} {} {}", "07".repeat(32), format!("{value:02x}").repeat(32));
        assert_eq!(keys.learn(line.as_bytes(), 0), 1);
    }
    let mut reader = QuicReader::with_keys(Some(keys.clone()));
    let mut rewriter = Rewriter::default();
    let mut pieces = input::pieces(bytes).peekable();
    let first = pieces.peek().map_or(0, |piece| piece.lost);
    let version = if first & 8 == 0 { V1 } else { V2 };
    let mut sides = [0, 1].map(|side| {
        let secret = [2 + side as u8; 32];
        Side { version, side, number: 0, secrets: [secret; 2], updates: 0 }
    });
    let mut datagrams = Vec::new();
    // Who does not begin with datagrams has a connection of whose session all secrets are known.
    if first & 7 > 2 {
        let [client, server] = &mut sides;
        let asks = client.initial(hello(1, &[0, 0, 2, 0x13, 1, 1, 0]));
        let answers = server.initial(hello(2, &[0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]));
        datagrams.extend([(Direction::ToServer, asks), (Direction::ToClient, answers)]);
    }
    for Piece { to_server, lost, bytes } in pieces {
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        let side = &mut sides[direction.index()];
        // Long enough for the sample behind the number.
        let frames = || [bytes.get(..16_000).unwrap_or(bytes), &[0; 4]].concat();
        datagrams.push((
            direction,
            match lost & 7 {
                0 => bytes.to_vec(),
                1 => side.initial(frames()),
                2 => {
                    let many = [side.initial(frames()), side.handshake(frames()), side.data(frames())];
                    many.concat()
                }
                3 => side.handshake(frames()),
                4 => side.data(frames()),
                5 => {
                    side.update();
                    side.data(frames())
                }
                // A short header in front of what nothing opens.
                6 => [&[0x40 | lost >> 3], IDS[usize::from(to_server)], bytes].concat(),
                _ => {
                    keys.learn(bytes, 0);
                    continue;
                }
            },
        ));
    }
    for (number, (direction, bytes)) in (0_u32..).zip(&datagrams) {
        let at = PacketRef { packet: 1 + u64::from(number), time: Timestamp(i64::from(number) * 9_000_000) };
        let _ = (looks_like_quic(bytes), client_random(bytes));
        reader.datagram(*direction, bytes, at);
        assert!(reader.held() < 1 << 20);
        reader.take_messages().iter().for_each(|(_, _, message, _)| drop(dns::parse(message)));
        rewriter.add(number.into(), bytes);
    }
    reader.finish();
    rewriter.rewrite(&Other);
    for (number, (_, old)) in (0..).zip(&datagrams) {
        rewriter.datagram(number, old, &Other, &mut vec![0; old.len()]);
    }
});
