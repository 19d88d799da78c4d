//! QUIC connections as a capture shows them: Initial packets are sealed with the keys that everybody can
//! derive, what comes behind them is filler.

use std::net::IpAddr;

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};

use super::frame::{Ip, ethernet};
use super::scenes::Lab;
use super::seal::seal;
pub use super::seal::{V1, V2};
use super::tcp::{CLIENT, SERVER};
use super::{filler, tls};

/// Reserved so that servers meet what they do not know.
pub const GREASE: u32 = 0x1a2a_3a4a;

fn varint(value: usize) -> Vec<u8> {
    match value {
        0..64 => vec![value as u8],
        64..16_384 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
    }
}

/// A CRYPTO frame.
pub fn crypto(offset: usize, bytes: &[u8]) -> Vec<u8> {
    [&[6][..], &varint(offset), &varint(bytes.len()), bytes].concat()
}

/// An ACK frame of packet 0.
pub const ACK: &[u8] = &[2, 0, 0, 0, 0];

/// CONNECTION_CLOSE with a code of the transport.
pub fn close(code: usize) -> Vec<u8> {
    [&[0x1c][..], &varint(code), &[0, 0]].concat()
}

/// One connection.
#[derive(Clone)]
pub struct Quic {
    /// Client and server.
    pub ends: [(IpAddr, u16); 2],
    pub version: u32,
    /// What the client chose for the server first: the keys follow from that.
    pub original: Vec<u8>,
    /// What each side is called by the other.
    pub ids: [Vec<u8>; 2],
    pub token: Vec<u8>,
    /// Numbers of the next packets.
    pub numbers: [u32; 2],
    /// Microseconds.
    pub now: u64,
    pub seed: u32,
}

impl Quic {
    /// A connection that has not begun; `at` in ms.
    pub fn new(lab: &mut Lab, client: u8, server: (u8, u16), at: u64) -> Self {
        let (client, address) = (lab.client(client), lab.server(server.0));
        Self::between((client, lab.next_port()), (address, server.1), at)
    }

    pub fn between(client: (IpAddr, u16), server: (IpAddr, u16), at: u64) -> Self {
        let seed = u32::from(client.1) ^ u32::from(server.1) << 16;
        let original = filler(seed, 8);
        let ids = [filler(seed ^ 1, 5), original.clone()];
        let (token, numbers) = (Vec::new(), [0; 2]);
        Self { ends: [client, server], version: V1, original, ids, token, numbers, now: at * 1_000, seed }
    }

    /// Its ClientHello without a record around it.
    pub fn hello(&self, name: &str) -> Vec<u8> {
        tls::client_hello(name, true, self.seed)[5..].to_vec()
    }

    /// The long header of a side up to its IDs, with these bits in the first octet.
    pub fn front(&self, side: usize, bits: u8) -> Vec<u8> {
        let mut front = vec![0xc0 | bits];
        front.extend(self.version.to_be_bytes());
        for id in [&self.ids[1 - side], &self.ids[side]] {
            front.push(id.len() as u8);
            front.extend(id);
        }
        front
    }

    /// An Initial packet of at least `length` octets.
    pub fn initial(&mut self, side: usize, frames: &[u8], length: usize) -> Vec<u8> {
        let number = self.numbers[side];
        self.numbers[side] += 1;
        let mut head = self.front(side, if self.version == V2 { 0x13 } else { 0x03 });
        let token = if side == CLIENT { &self.token[..] } else { &[] };
        head.extend(varint(token.len()));
        head.extend(token);
        let mut body = frames.to_vec();
        let least = length.saturating_sub(head.len() + 2 + 4 + 16).max(4);
        body.resize(body.len().max(least), 0);
        seal(self.version, &self.original, side, head, number, body)
    }

    /// A Handshake packet.
    pub fn handshake(&mut self, side: usize, length: usize) -> Vec<u8> {
        let mut packet = self.front(side, if self.version == V2 { 0x30 } else { 0x20 });
        packet.extend((length as u16 | 0x4000).to_be_bytes());
        packet.extend(filler(self.seed ^ self.now as u32, length));
        packet
    }

    /// A packet with a short header.
    pub fn short(&mut self, side: usize, length: usize) -> Vec<u8> {
        self.numbers[side] += 1;
        let seed = self.seed ^ self.now as u32 ^ self.numbers[side] << 20;
        [&[0x45][..], &self.ids[1 - side], &filler(seed, length)].concat()
    }

    /// What a server without the connection's state answers.
    pub fn stateless_reset(&mut self, length: usize) -> Vec<u8> {
        self.numbers[SERVER] += 1;
        let seed = self.seed ^ self.now as u32 ^ self.numbers[SERVER] << 20;
        [&[0x53][..], &filler(seed, length), &filler(self.seed ^ 99, 16)].concat()
    }

    /// A version negotiation.
    pub fn negotiation(&self, versions: &[u32]) -> Vec<u8> {
        let mut packet = self.front(SERVER, 0x2a);
        packet[1..5].fill(0);
        versions.iter().for_each(|version| packet.extend(version.to_be_bytes()));
        packet
    }

    /// A Retry of version 1, after which the client calls the server by `id`.
    pub fn retry(&mut self, id: &[u8], token: &[u8]) -> Vec<u8> {
        let before = std::mem::replace(&mut self.ids[SERVER], id.to_vec());
        let mut packet = self.front(SERVER, 0x30);
        packet.extend(token);
        let pseudo = [&[before.len() as u8][..], &before, &packet].concat();
        let key = *b"\xbe\x0c\x69\x0b\x9f\x66\x57\x5a\x1d\x76\x6b\x54\xe3\x68\xc8\x4e";
        let nonce = *b"\x46\x15\x99\xd3\x5d\x63\x2b\xf2\x23\x98\x25\xbb";
        let tag = Aes128Gcm::new(&key.into()).encrypt_inout_detached(
            &nonce.into(),
            &pseudo,
            [].as_mut_slice().into(),
        );
        packet.extend(tag.expect("sealed"));
        (self.original, self.token) = (id.to_vec(), token.to_vec());
        packet
    }

    pub fn wait(&mut self, micros: u64) -> &mut Self {
        self.now += micros;
        self
    }

    /// Records a datagram of a side.
    pub fn record(&self, lab: &mut Lab, side: usize, payload: &[u8]) {
        let (from, to) = (self.ends[side], self.ends[1 - side]);
        let ttl = if side == CLIENT { 64 } else { 57 };
        let ip = Ip { source: from.0, destination: to.0, ttl, id: (self.now / 7) as u16 ^ from.1 };
        let host = match self.ends[CLIENT].0 {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        let macs = [[2, 0, 10, lab.net, 1, host], [2, 0x5e, 0, 10, lab.net, 1]];
        let frame = ethernet(macs[side], macs[1 - side], None, &ip.udp(from.1, to.1, payload));
        lab.capture.record(self.now, frame);
    }

    /// The client's first flight.
    pub fn asks(&mut self, lab: &mut Lab, name: &str) {
        let frames = crypto(0, &self.hello(name));
        let datagram = self.initial(CLIENT, &frames, 1200);
        self.record(lab, CLIENT, &datagram);
    }

    /// The server's flight, the client's, and some data; `delay` microseconds for each way.
    pub fn answers(&mut self, lab: &mut Lab, delay: u64) {
        self.ids[SERVER] = filler(self.seed ^ 2, 8);
        self.answers_as(lab, delay);
    }

    /// The same of a server that has its name.
    pub fn answers_as(&mut self, lab: &mut Lab, delay: u64) {
        self.wait(delay);
        let hello = tls::server_hello(true, self.seed)[5..].to_vec();
        let flight = [ACK, &crypto(0, &hello)].concat();
        let datagram = [self.initial(SERVER, &flight, 150), self.handshake(SERVER, 900)].concat();
        self.record(lab, SERVER, &datagram);
        self.wait(40);
        let finished = [self.initial(CLIENT, ACK, 60), self.handshake(CLIENT, 60), self.short(CLIENT, 1040)];
        self.record(lab, CLIENT, &finished.concat());
        self.wait(delay);
        for _ in 0..4 {
            self.wait(70);
            let data = self.short(SERVER, 1100);
            self.record(lab, SERVER, &data);
        }
        self.wait(30);
        let acks = self.short(CLIENT, 30);
        self.record(lab, CLIENT, &acks);
    }

    /// The client asks again after one second, two and four more, and nothing comes.
    pub fn asks_in_vain(&mut self, lab: &mut Lab, name: &str) {
        self.asks(lab, name);
        for probe in [1_000_000, 2_000_000, 4_000_000] {
            self.wait(probe);
            self.asks(lab, name);
        }
    }
}
