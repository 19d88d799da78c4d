//! What protects the packets of one direction and their headers (RFC 9001 sections 5.3 and 5.4).

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use chacha20_poly1305::chacha20::ChaCha20;
use chacha20_poly1305::{Key, Nonce};
use zeroize::Zeroizing;

use crate::app::quic::header::is_long;
use crate::app::quic::version::Version;
use crate::app::tls::schedule::{Cipher, Suite, TAG};

/// Octets that protect a header: one for the first octet, four for the longest number.
type Mask = [u8; 5];

/// What protects headers, for as long as the connection lasts.
pub(super) enum HeaderKey {
    Aes128(Box<Aes128>),
    Aes256(Box<Aes256>),
    ChaCha(Zeroizing<[u8; 32]>),
}

/// What protects contents, until keys are updated.
pub(super) struct PacketKey {
    cipher: Cipher,
    iv: Zeroizing<[u8; 12]>,
}

/// The header of a packet without its protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// All of it, with the number at the end.
    pub(super) octets: Vec<u8>,
    /// Where the number begins.
    pub(super) number: usize,
}

impl Header {
    /// The number of the packet, in a row in which `next` is awaited (RFC 9000 appendix A.3).
    pub(super) fn number(&self, next: u64) -> u64 {
        let octets = self.octets.get(self.number..).unwrap_or_default();
        let window = 1_u64 << (8 * octets.len().min(4));
        let value = octets.iter().fold(0, |value, octet| value << 8 | u64::from(*octet));
        let near = next & !(window - 1) | value;
        if near + window / 2 <= next && near < (1 << 62) - window {
            near + window
        } else if near > next + window / 2 && near >= window {
            near - window
        } else {
            near
        }
    }

    /// The bit of a short header that says of which two sets of keys it is (RFC 9001 section 6).
    pub(super) fn phase(&self) -> bool {
        self.octets.first().is_some_and(|first| first & 0x04 != 0)
    }
}

impl HeaderKey {
    /// Of a traffic secret; `None` when that is another suite's.
    pub(super) fn new(version: &Version, suite: Suite, secret: &[u8]) -> Option<Self> {
        let key = suite.derive(secret, &label(version, "hp"))?;
        Some(match key.len() {
            _ if suite.is_chacha() => Self::ChaCha(Zeroizing::new(key.as_slice().try_into().ok()?)),
            16 => Self::Aes128(Box::new(Aes128::new_from_slice(&key).ok()?)),
            _ => Self::Aes256(Box::new(Aes256::new_from_slice(&key).ok()?)),
        })
    }

    /// What protects the header of a packet whose number `body` begins with.
    fn mask(&self, body: &[u8]) -> Option<Mask> {
        // RFC 9001 section 5.4.2: the sample begins four octets behind the beginning of the number.
        let sample = body.get(4..)?.first_chunk::<16>()?;
        let mut block = Block::from(*sample);
        match self {
            Self::Aes128(key) => key.encrypt_block(&mut block),
            Self::Aes256(key) => key.encrypt_block(&mut block),
            Self::ChaCha(key) => {
                let (counter, nonce) = sample.split_first_chunk::<4>()?;
                let nonce = Nonce::new(nonce.try_into().ok()?);
                let stream = ChaCha20::new(Key::new(**key), nonce, 0);
                return stream.get_keystream(u32::from_le_bytes(*counter)).first_chunk().copied();
            }
        }
        block.first_chunk().copied()
    }

    /// The header of a packet whose number stands at `number`.
    pub(super) fn header(&self, packet: &[u8], number: usize) -> Option<Header> {
        let (header, body) = packet.split_at_checked(number)?;
        let mask = self.mask(body)?;
        let mut octets = header.to_vec();
        let first = octets.first_mut()?;
        *first ^= mask[0] & protected_bits(*first);
        let protected = body.get(..usize::from(*first & 3) + 1)?;
        octets.extend(protected.iter().zip(&mask[1..]).map(|(octet, mask)| octet ^ mask));
        Some(Header { octets, number })
    }

    /// Protects the header in front of a packet.
    fn protect(&self, packet: &mut [u8], header: &Header) -> Option<()> {
        let mask = self.mask(packet.get(header.number..)?)?;
        let first = packet.first_mut()?;
        *first ^= mask[0] & protected_bits(*first);
        let place = packet.get_mut(header.number..header.octets.len())?;
        place.iter_mut().zip(&mask[1..]).for_each(|(octet, mask)| *octet ^= mask);
        Some(())
    }
}

impl PacketKey {
    /// Of a traffic secret; `None` when that is another suite's.
    pub(super) fn new(version: &Version, suite: Suite, secret: &[u8]) -> Option<Self> {
        let cipher = suite.cipher(&suite.derive(secret, &label(version, "key"))?)?;
        Some(Self { cipher, iv: suite.vector(secret, &label(version, "iv")) })
    }

    fn nonce(&self, number: u64) -> [u8; 12] {
        let mut nonce = *self.iv;
        nonce.iter_mut().skip(4).zip(number.to_be_bytes()).for_each(|(one, other)| *one ^= other);
        nonce
    }

    /// The frames of a packet of this number; `None` when it was not made with this key.
    pub(super) fn open(&self, packet: &[u8], header: &Header, number: u64) -> Option<Vec<u8>> {
        let (body, tag) = packet.get(header.octets.len()..)?.split_last_chunk::<TAG>()?;
        let mut frames = body.to_vec();
        self.cipher.open(self.nonce(number), &header.octets, &mut frames, *tag).then_some(frames)
    }

    /// A packet of this header, number and content.
    pub(super) fn seal(
        &self,
        protection: &HeaderKey,
        header: &Header,
        number: u64,
        content: &[u8],
    ) -> Option<Vec<u8>> {
        let mut body = content.to_vec();
        let tag = self.cipher.seal(self.nonce(number), &header.octets, &mut body)?;
        let mut packet = [&header.octets, &body, tag.as_slice()].concat();
        protection.protect(&mut packet, header)?;
        Some(packet)
    }
}

/// The bits of a first octet that are protected (RFC 9001 section 5.4.1).
fn protected_bits(first: u8) -> u8 {
    if is_long(&[first]) { 0x0f } else { 0x1f }
}

/// A label of a version (RFC 9001 section 5.1, RFC 9369 section 3.3.1).
pub(super) fn label(version: &Version, what: &str) -> String {
    format!("{} {what}", version.label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    fn octets(hex: &str) -> Vec<u8> {
        HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal")
    }

    /// RFC 9001 appendix A.5: a packet with a short header, and ChaCha20.
    #[test]
    fn the_short_packet_of_rfc_9001() {
        let secret = octets("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b");
        let version = Version::of(1).expect("read");
        let suite = Suite::of(0x1303).expect("opened");
        let protection = HeaderKey::new(version, suite, &secret).expect("a key");
        let key = PacketKey::new(version, suite, &secret).expect("a key");
        let packet = octets("4cfe4189655e5cd55c41f69080575d7999c25a5bfb");
        let header = protection.header(&packet, 1).expect("a header");
        assert_eq!(header.octets, octets("4200bff4"));
        assert_eq!(header.number(654_360_560), 654_360_564);
        assert_eq!(key.open(&packet, &header, 654_360_564), Some(vec![1]), "PING");
        assert_eq!(key.open(&packet, &header, 654_360_565), None);
        assert_eq!(key.seal(&protection, &header, 654_360_564, &[1]), Some(packet));
        let next = suite.updated(&secret, &label(version, "ku"));
        assert_eq!(*next, octets("1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9"));
    }

    /// RFC 9369 appendix A.5: the same in version 2.
    #[test]
    fn the_short_packet_of_rfc_9369() {
        let secret = octets("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b");
        let version = Version::of(0x6b33_43cf).expect("read");
        let suite = Suite::of(0x1303).expect("opened");
        let protection = HeaderKey::new(version, suite, &secret).expect("a key");
        let key = PacketKey::new(version, suite, &secret).expect("a key");
        let packet = octets("5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba");
        let header = protection.header(&packet, 1).expect("a header");
        assert_eq!(key.open(&packet, &header, header.number(654_360_560)), Some(vec![1]), "PING");
    }

    /// RFC 9000 appendix A.3, and at both ends.
    #[test]
    fn numbers_are_those_nearest_to_the_next() {
        let number = |next: u64, octets: &[u8]| Header { octets: octets.to_vec(), number: 0 }.number(next);
        assert_eq!(number(0xa82f_30eb, &[0x9b, 0x32]), 0xa82f_9b32);
        for (next, octet, wanted) in
            [(0, 0xff, 0xff), (0xff, 0x01, 0x101), (0x100, 0xfe, 0xfe), (0x180, 0, 0x200)]
        {
            assert_eq!(number(next, &[octet]), wanted, "{next} {octet}");
        }
        assert_eq!(number(u64::MAX >> 2, &[0]), (1 << 62) - 0x100);
    }
}
