//! Any bytes as TLS with keys, any content in records that the keys open, and any bytes as what a block
//! cipher opens.
#![no_main]

#[path = "../input.rs"]
#[allow(dead_code)]
mod input;

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use hkdf::Hkdf;
use input::Piece;
use libfuzzer_sys::fuzz_target;
use pcapsy::app::tls::TlsParser;
use pcapsy::capture::Keys;
use pcapsy::dissect::{Direction, PacketRef};
use pcapsy::time::Timestamp;
use sha2::Sha256;

/// The words of the secrets, those of the client first; a secret is 32 times its place.
const SECRETS: [&str; 4] = [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_TRAFFIC_SECRET_0",
];

fn hello(kind: u8, rest: &[u8]) -> Vec<u8> {
    let body = [&[3, 3], [7; 32].as_slice(), rest].concat();
    let (all, length) = ((body.len() + 4) as u16, body.len() as u8);
    [&[22, 3, 3], all.to_be_bytes().as_slice(), &[kind, 0, 0, length], &body].concat()
}

/// Suites of TLS 1.2 with AES-CBC, and whether both sides encrypt first: by two bits of the first octet. The
/// keys of 1.2 open any blocks to something.
const BLOCKS: [Option<(u8, bool)>; 4] = [None, Some((0x2f, false)), Some((0x2f, true)), Some((0x3d, false))];

fn seal(secret: u8, number: u64, content: &[u8], kind: u8) -> Vec<u8> {
    let secret = Hkdf::<Sha256>::from_prk(&[secret; 32]).expect("32 octets");
    let (mut key, mut nonce) = ([0; 16], [0; 12]);
    secret.expand(b"\x00\x10\x09tls13 key\x00", &mut key).expect("short");
    secret.expand(b"\x00\x0c\x08tls13 iv\x00", &mut nonce).expect("short");
    nonce.iter_mut().skip(4).zip(number.to_be_bytes()).for_each(|(one, two)| *one ^= two);
    let mut body = [content, &[kind]].concat();
    let head = [&[23, 3, 3], ((body.len() + 16) as u16).to_be_bytes().as_slice()].concat();
    let key = Aes128Gcm::new(&key.into());
    let tag = key.encrypt_inout_detached(&nonce.into(), &head, body.as_mut_slice().into());
    [&head[..], &body, &tag.expect("sealed")].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let keys = Keys::default();
    for (word, value) in SECRETS.iter().zip(0..) {
        let line = format!("{word} {} {}", "07".repeat(32), format!("{value:02x}").repeat(32));
        assert_eq!(keys.learn(line.as_bytes(), 0), 1);
    }
    let master = format!("CLIENT_RANDOM {} {}", "07".repeat(32), "09".repeat(48));
    assert_eq!(keys.learn(master.as_bytes(), 0), 1);
    // Any bytes are a key log, too.
    keys.learn(bytes, 0);
    let mut tls = TlsParser::with_keys(Some(keys));
    let at = |number| PacketRef { packet: number, time: Timestamp(number as i64) };
    let blocks = BLOCKS[usize::from(bytes.first().map_or(0, |first| first >> 1 & 3))];
    let extensions: &[u8] = if blocks.is_some_and(|(_, first)| first) { &[0, 4, 0, 22, 0, 0] } else { &[] };
    let (asks, suite) = match blocks {
        Some((suite, _)) => {
            ([&[0, 0, 2, 0, suite, 1, 0], extensions].concat(), [&[0, 0, suite, 0], extensions].concat())
        }
        None => (vec![0, 0, 2, 0x13, 1, 1, 0], vec![0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]),
    };
    tls.data(Direction::ToServer, &hello(1, &asks), at(1));
    tls.data(Direction::ToClient, &hello(2, &suite), at(2));
    if blocks.is_some() {
        Direction::BOTH.iter().for_each(|side| tls.data(*side, &[20, 3, 3, 0, 1, 1], at(2)));
    }
    // Which secret each side seals with, and the number of its next record.
    let mut sides = [(0, 0), (2, 0)];
    for (number, Piece { to_server, lost, bytes }) in (3..).zip(input::pieces(bytes)) {
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        let (secret, record) = &mut sides[direction.index()];
        // A piece without loss is the content of a record; of others some are bytes, and some are missing.
        match lost {
            0..=3 if blocks.is_some() => {
                let content = bytes.get(..16_000).unwrap_or(bytes);
                let head = [&[20 + lost, 3, 3], (content.len() as u16).to_be_bytes().as_slice()].concat();
                tls.data(direction, &[&head, content].concat(), at(number));
            }
            0..=3 => {
                let content = bytes.get(..16_000).unwrap_or(bytes);
                tls.data(direction, &seal(*secret, *record, content, 20 + lost), at(number));
                *record += 1;
            }
            4 if *secret % 2 == 0 => (*secret, *record) = (*secret + 1, 0),
            5..128 => tls.data(direction, bytes, at(number)),
            _ => tls.gap(direction, lost.into(), at(number)),
        }
        assert!(tls.take_plain().len() < 1 << 12);
        assert!(tls.held() < 1 << 20);
    }
    tls.finish();
});
