//! Packets of QUIC, sealed with the keys that everybody can derive, or with given ones (RFC 9001 section 5,
//! RFC 9369).

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::AeadInOut;
use hkdf::Hkdf;
use sha2::Sha256;

pub const V1: u32 = 1;
pub const V2: u32 = 0x6b33_43cf;

const SALTS: [(u32, [u8; 20]); 2] = [
    (V1, *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"),
    (V2, *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9"),
];

fn expand<const N: usize>(secret: &[u8], label: &str) -> [u8; N] {
    let label = format!("tls13 {label}");
    let info = [&(N as u16).to_be_bytes()[..], &[label.len() as u8], label.as_bytes(), &[0]].concat();
    let mut key = [0; N];
    let secret = Hkdf::<Sha256>::from_prk(secret).expect("32 octets");
    secret.expand(&info, &mut key).expect("a short key");
    key
}

/// The label of a version's keys.
fn label(version: u32, what: &str) -> String {
    format!("{}{what}", if version == V2 { "quicv2 " } else { "quic " })
}

/// Seals `body` behind `head`, which ends before the length; `id` is what the client chose for the server.
/// Side 0 is the client. Versions that are not known are sealed as the first.
pub fn seal(version: u32, id: &[u8], side: usize, mut head: Vec<u8>, number: u32, body: Vec<u8>) -> Vec<u8> {
    let known = SALTS.iter().find(|(known, _)| *known == version);
    let salt = known.map_or(SALTS[0].1, |(_, salt)| *salt);
    let (secret, _) = Hkdf::<Sha256>::extract(Some(&salt), id);
    let secret = expand(&secret, ["client in", "server in"][side]);
    head.extend(((body.len() + 20) as u16 | 0x4000).to_be_bytes());
    protect(version, &secret, head, number, body)
}

/// Seals `body` with a traffic secret under AES-128-GCM; `head` ends before the number, which takes four
/// octets.
pub fn protect(version: u32, secret: &[u8; 32], head: Vec<u8>, number: u32, body: Vec<u8>) -> Vec<u8> {
    protect_updated(version, [secret; 2], head, number, body)
}

/// The secret that follows when keys are updated (RFC 9001 section 6.1).
pub fn updated(version: u32, secret: &[u8; 32]) -> [u8; 32] {
    expand(secret, &label(version, "ku"))
}

/// The same where the header is of one secret, the first, and the content of one that followed it.
pub fn protect_updated(
    version: u32,
    secrets: [&[u8; 32]; 2],
    mut head: Vec<u8>,
    number: u32,
    mut body: Vec<u8>,
) -> Vec<u8> {
    let [of_header, secret] = secrets;
    let number = number.to_be_bytes();
    let at = head.len();
    head.extend(number);
    let mut nonce: [u8; 12] = expand(secret, &label(version, "iv"));
    nonce.iter_mut().skip(8).zip(number).for_each(|(one, other)| *one ^= other);
    let key = Aes128Gcm::new(&expand::<16>(secret, &label(version, "key")).into());
    let tag = key.encrypt_inout_detached(&nonce.into(), &head, body.as_mut_slice().into());
    let mut packet = [&head[..], &body, &tag.expect("sealed")].concat();
    let mut mask = [0; 16];
    mask.copy_from_slice(&packet[at + 4..at + 20]);
    let mut mask = aes::Block::from(mask);
    Aes128::new(&expand::<16>(of_header, &label(version, "hp")).into()).encrypt_block(&mut mask);
    packet[0] ^= mask[0] & if packet[0] & 0x80 == 0 { 0x1f } else { 0x0f };
    packet[at..at + 4].iter_mut().zip(&mask[1..]).for_each(|(octet, mask)| *octet ^= mask);
    packet
}
