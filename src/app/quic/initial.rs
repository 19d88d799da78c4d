//! The keys of Initial packets and of Retry, which everybody can derive (RFC 9001 sections 5.2 to 5.8, RFC
//! 9369 section 3.3).

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::AeadInOut;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::app::quic::version::Version;
use crate::app::tls::schedule::Hash;
use crate::dissect::Direction;

/// Octets that authenticate a packet.
const TAG: usize = 16;

/// The keys of one direction.
struct Keys {
    packet: Aes128Gcm,
    nonce: [u8; 12],
    header: Aes128,
}

/// The keys of the Initial packets of a connection.
pub(super) struct InitialKeys([Keys; 2]);

impl InitialKeys {
    /// Of a connection whose client chose `id` for the server in its first packet.
    pub(super) fn new(version: &Version, id: &[u8]) -> Self {
        let (secret, _) = Hkdf::<Sha256>::extract(Some(&version.salt), id);
        let sides = ["client in", "server in"].map(|side| {
            let secret = expand::<32>(&secret, side);
            let label = |what: &str| format!("{} {what}", version.label);
            Keys {
                packet: Aes128Gcm::new(&expand::<16>(&secret, &label("key")).into()),
                nonce: expand(&secret, &label("iv")),
                header: Aes128::new(&expand::<16>(&secret, &label("hp")).into()),
            }
        });
        Self(sides)
    }

    /// The packet number and the frames of a whole packet whose number stands at `number`; `None` when it was
    /// not made with these keys.
    ///
    /// The number is read as it stands: Initial packets are few.
    pub(super) fn open(&self, direction: Direction, packet: &[u8], number: usize) -> Option<(u32, Vec<u8>)> {
        let keys = &self.0[direction.index()];
        let header = self.header(direction, packet, number)?;
        let (value, nonce) = keys.nonce(header.get(number..)?);
        let body = packet.get(header.len()..)?;
        let (body, tag) = body.split_at_checked(body.len().checked_sub(TAG)?)?;
        let mut frames = body.to_vec();
        let tag = <[u8; TAG]>::try_from(tag).ok()?.into();
        let opened =
            keys.packet.decrypt_inout_detached(&nonce.into(), &header, frames.as_mut_slice().into(), &tag);
        opened.ok().map(|()| (value, frames))
    }

    /// The header of a packet up to its number, without the protection.
    pub(super) fn header(&self, direction: Direction, packet: &[u8], number: usize) -> Option<Vec<u8>> {
        let (header, body) = packet.split_at_checked(number)?;
        let mask = self.0[direction.index()].mask(body)?;
        let mut header = header.to_vec();
        let first = header.first_mut()?;
        *first ^= mask[0] & 0x0f;
        let protected = body.get(..usize::from(*first & 3) + 1)?;
        header.extend(protected.iter().zip(&mask[1..]).map(|(octet, mask)| octet ^ mask));
        Some(header)
    }

    /// A packet of that header and content, of which the former is without protection and holds the number
    /// at `number`.
    pub(super) fn seal(
        &self,
        direction: Direction,
        header: &[u8],
        number: usize,
        content: &[u8],
    ) -> Option<Vec<u8>> {
        let keys = &self.0[direction.index()];
        let (_, nonce) = keys.nonce(header.get(number..)?);
        let mut body = content.to_vec();
        let tag =
            keys.packet.encrypt_inout_detached(&nonce.into(), header, body.as_mut_slice().into()).ok()?;
        let mut packet = [header, &body, &tag].concat();
        let mask = keys.mask(packet.get(number..)?)?;
        *packet.first_mut()? ^= mask[0] & 0x0f;
        let place = packet.get_mut(number..header.len())?;
        place.iter_mut().zip(&mask[1..]).for_each(|(octet, mask)| *octet ^= mask);
        Some(packet)
    }
}

impl Keys {
    /// What protects the header of a packet whose number `body` begins with.
    fn mask(&self, body: &[u8]) -> Option<[u8; 16]> {
        // RFC 9001 section 5.4.2: the sample begins four octets behind the beginning of the number.
        let mut mask = aes::Block::from(*body.get(4..)?.first_chunk::<16>()?);
        self.header.encrypt_block(&mut mask);
        Some(mask.into())
    }

    /// A packet number, and the nonce that follows from it.
    fn nonce(&self, number: &[u8]) -> (u32, [u8; 12]) {
        let value = number.iter().fold(0, |value, octet| value << 8 | u32::from(*octet));
        let mut nonce = self.nonce;
        nonce.iter_mut().rev().zip(value.to_be_bytes().iter().rev()).for_each(|(one, other)| *one ^= other);
        (value, nonce)
    }
}

fn expand<const N: usize>(secret: &[u8], label: &str) -> [u8; N] {
    let mut key = [0; N];
    Hash::Sha256.expand_label(secret, label, &mut key);
    key
}

/// A Retry answers the packet in which the client had chosen `id` for the server (RFC 9001 section 5.8).
pub(super) fn is_retry_of(version: &Version, id: &[u8], retry: &[u8]) -> bool {
    let Some((content, tag)) = retry.split_last_chunk::<TAG>() else { return false };
    let (key, nonce) = version.retry;
    let pseudo = [&[id.len() as u8], id, content].concat();
    let key = Aes128Gcm::new(&key.into());
    key.decrypt_inout_detached(&nonce.into(), &pseudo, [].as_mut_slice().into(), &(*tag).into()).is_ok()
}

/// The tag of a Retry with this content: that of [`is_retry_of`].
pub(super) fn retry_tag(version: &Version, id: &[u8], content: &[u8]) -> Option<[u8; TAG]> {
    let (key, nonce) = version.retry;
    let pseudo = [&[id.len() as u8], id, content].concat();
    let key = Aes128Gcm::new(&key.into());
    key.encrypt_inout_detached(&nonce.into(), &pseudo, [].as_mut_slice().into()).ok().map(Into::into)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// The client's choice in the examples of RFC 9001 appendix A and RFC 9369 appendix A.
    pub(in crate::app::quic) const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    /// RFC 9001 appendix A.3.
    pub(in crate::app::quic) const SERVER_INITIAL: &[u8] = b"\
        cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb3\
        8cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84\
        022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee";

    /// RFC 9001 appendix A.4.
    pub(in crate::app::quic) const RETRY: &[u8] =
        b"ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba";

    pub(in crate::app::quic) fn octets(hex: &[u8]) -> Vec<u8> {
        HEXLOWER.decode(hex).expect("hexadecimal")
    }

    #[test]
    fn the_servers_packet_of_rfc_9001() {
        let version = Version::of(1).expect("read");
        let packet = octets(SERVER_INITIAL);
        let (number, frames) =
            InitialKeys::new(version, &ID).open(Direction::ToClient, &packet, 18).expect("opened");
        assert_eq!(number, 1);
        // ACK, CRYPTO with the ServerHello.
        assert!(frames.starts_with(&[0x02, 0, 0, 0, 0, 0x06, 0, 0x40, 0x5a, 2, 0, 0, 0x56, 3, 3]));
        for place in [0, 5, 18, 40, packet.len() - 1] {
            let mut damaged = packet.clone();
            damaged[place] ^= 1;
            assert_eq!(InitialKeys::new(version, &ID).open(Direction::ToClient, &damaged, 18), None);
        }
        assert_eq!(InitialKeys::new(version, &ID).open(Direction::ToServer, &packet, 18), None);
    }

    #[test]
    fn what_is_sealed_again_is_the_same() {
        let keys = InitialKeys::new(Version::of(1).expect("read"), &ID);
        let packet = octets(SERVER_INITIAL);
        let (_, content) = keys.open(Direction::ToClient, &packet, 18).expect("opened");
        let header = keys.header(Direction::ToClient, &packet, 18).expect("a header");
        assert_eq!(keys.seal(Direction::ToClient, &header, 18, &content), Some(packet));
        let version = Version::of(1).expect("read");
        let retry = octets(RETRY);
        let (content, tag) = retry.split_at(retry.len() - TAG);
        assert_eq!(retry_tag(version, &ID, content).as_ref().map(<[u8; TAG]>::as_slice), Some(tag));
    }

    #[test]
    fn the_retry_of_rfc_9001() {
        let retry = octets(RETRY);
        let version = Version::of(1).expect("read");
        assert!(is_retry_of(version, &ID, &retry));
        assert!(!is_retry_of(version, &ID[1..], &retry));
        assert!(!is_retry_of(version, &ID, &retry[1..]));
        assert!(!is_retry_of(version, &ID, &[]));
    }

    /// RFC 9369 appendix A.4: the same Retry in version 2.
    #[test]
    fn the_retry_of_rfc_9369() {
        let retry = octets(b"cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6");
        assert!(is_retry_of(Version::of(0x6b33_43cf).expect("read"), &ID, &retry));
        assert!(!is_retry_of(Version::of(1).expect("read"), &ID, &retry));
    }
}
