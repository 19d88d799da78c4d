//! The keys of Initial packets and of Retry, which everybody can derive (RFC 9001 sections 5.2 to 5.8, RFC
//! 9369 section 3.3).

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::app::quic::crypto::CryptoStream;
use crate::app::quic::frame::{Frame, frames};
use crate::app::quic::header::Invariant;
use crate::app::quic::protection::{Header, HeaderKey, PacketKey};
use crate::app::quic::session::Space;
use crate::app::quic::version::{Kind, Version};
use crate::app::tls::schedule::{Hash, Suite, TAG};
use crate::capture::Random;
use crate::dissect::Direction;

/// The keys of the Initial packets of a connection.
pub(super) struct InitialKeys([Option<(HeaderKey, PacketKey)>; 2]);

impl InitialKeys {
    /// Of a connection whose client chose `id` for the server in its first packet.
    pub(super) fn new(version: &Version, id: &[u8]) -> Self {
        let (initial, _) = Hkdf::<Sha256>::extract(Some(&version.salt), id);
        let sides = ["client in", "server in"].map(|side| {
            let mut secret = [0; 32];
            Hash::Sha256.expand_label(&initial, side, &mut secret);
            let header = HeaderKey::new(version, Suite::INITIAL, &secret);
            header.zip(PacketKey::new(version, Suite::INITIAL, &secret))
        });
        Self(sides)
    }

    /// The packet number and the frames of a whole packet whose number stands at `number`; `None` when it was
    /// not made with these keys.
    ///
    /// The number is read as it stands: Initial packets are few.
    pub(super) fn open(&self, direction: Direction, packet: &[u8], number: usize) -> Option<(u64, Vec<u8>)> {
        let (protection, key) = self.0[direction.index()].as_ref()?;
        let header = protection.header(packet, number)?;
        let number = header.number(0);
        Some((number, key.open(packet, &header, number)?))
    }

    /// The header of a packet up to its number, without the protection.
    pub(super) fn header(&self, direction: Direction, packet: &[u8], number: usize) -> Option<Vec<u8>> {
        let (protection, _) = self.0[direction.index()].as_ref()?;
        Some(protection.header(packet, number)?.octets)
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
        let (protection, key) = self.0[direction.index()].as_ref()?;
        let header = Header { octets: header.to_vec(), number };
        key.seal(protection, &header, header.number(0), content)
    }
}

/// The random of the ClientHello that begins in the first packet of a datagram, by which a session is known.
pub fn client_random(datagram: &[u8]) -> Option<Random> {
    let front = Invariant::read(datagram)?;
    let version = Version::of(front.version)?;
    let packet = front.packet(version, datagram).filter(|packet| packet.kind == Kind::Initial)?;
    let keys = InitialKeys::new(version, front.destination);
    let (_, content) = keys.open(Direction::ToServer, packet.bytes, packet.number)?;
    let mut stream = CryptoStream::default();
    let mut hello = Vec::new();
    for frame in frames(Space::Initial, &content) {
        if let Frame::Crypto { offset, bytes } = frame {
            hello.extend(stream.add(offset, bytes));
        }
    }
    // Behind type, length and version.
    hello.get(6..).filter(|_| hello.first() == Some(&1))?.first_chunk().copied()
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
