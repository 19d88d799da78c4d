//! Keys of records from secrets, and records opened with them: TLS 1.3 (RFC 8446 sections 5 and 7) and TLS
//! 1.2 (RFC 5246 sections 5 and 6, RFC 5288, RFC 7905).

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
use chacha20_poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use hkdf::hmac::{Hmac, Mac};
use sha2::{Sha256, Sha384};
use tls_parser::{TlsCipherEnc, TlsCipherEncMode, TlsCipherSuite, TlsPRF};
use zeroize::Zeroizing;

use crate::capture::Secret;
use crate::dissect::Direction;

/// Octets that authenticate a record, or a packet of QUIC.
pub(in crate::app) const TAG: usize = 16;
/// Octets of the nonce that a record of TLS 1.2 with AES-GCM carries (RFC 5288 section 3).
const EXPLICIT: usize = 8;

/// The hash of a cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum Hash {
    Sha256,
    Sha384,
}

impl Hash {
    /// HKDF-Expand-Label without a context (RFC 8446 section 7.1). A secret that is shorter than the hash
    /// leaves the key as it is.
    pub(in crate::app) fn expand_label(self, secret: &[u8], label: &str, key: &mut [u8]) {
        let label = format!("tls13 {label}");
        let info = [&(key.len() as u16).to_be_bytes()[..], &[label.len() as u8], label.as_bytes(), &[0]];
        let info = info.concat();
        // Of 255 hashes at most, and a key is less.
        let _ = match self {
            Self::Sha256 => Hkdf::<Sha256>::from_prk(secret).map(|prk| prk.expand(&info, key).is_ok()),
            Self::Sha384 => Hkdf::<Sha384>::from_prk(secret).map(|prk| prk.expand(&info, key).is_ok()),
        };
    }

    /// The pseudo-random function of TLS 1.2 (RFC 5246 section 5).
    pub(super) fn prf(self, secret: &[u8], seed: &[u8], out: &mut [u8]) -> Option<()> {
        match self {
            Self::Sha256 => p_hash::<Hmac<Sha256>>(secret, seed, out),
            Self::Sha384 => p_hash::<Hmac<Sha384>>(secret, seed, out),
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

fn p_hash<M: Mac + KeyInit + Clone>(secret: &[u8], seed: &[u8], out: &mut [u8]) -> Option<()> {
    let keyed = <M as KeyInit>::new_from_slice(secret).ok()?;
    let hmac = |parts: [&[u8]; 2]| {
        let mut mac = keyed.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes()
    };
    let mut chain = hmac([seed, &[]]);
    for piece in out.chunks_mut(M::output_size()) {
        piece.iter_mut().zip(hmac([&chain, seed])).for_each(|(octet, value)| *octet = value);
        chain = hmac([&chain, &[]]);
    }
    Some(())
}

/// What of a cipher suite protects records, or packets of QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) struct Suite {
    aead: Aead,
    hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Suite {
    /// What Initial packets of QUIC are sealed with (RFC 9001 section 5.2).
    pub(in crate::app) const INITIAL: Self = Self { aead: Aead::Aes128Gcm, hash: Hash::Sha256 };

    /// Of the registry's number; `None` for those that are not AES-GCM or ChaCha20-Poly1305.
    pub(in crate::app) fn of(cipher: u16) -> Option<Self> {
        let known = TlsCipherSuite::from_id(cipher)?;
        let aead = match (known.enc, known.enc_mode, known.enc_size) {
            (TlsCipherEnc::Aes, TlsCipherEncMode::Gcm, 128) => Aead::Aes128Gcm,
            (TlsCipherEnc::Aes, TlsCipherEncMode::Gcm, 256) => Aead::Aes256Gcm,
            (TlsCipherEnc::Chacha20_Poly1305, ..) => Aead::ChaCha20Poly1305,
            _ => return None,
        };
        let hash = match known.prf {
            TlsPRF::Sha256 => Hash::Sha256,
            TlsPRF::Sha384 => Hash::Sha384,
            _ => return None,
        };
        Some(Self { aead, hash })
    }

    fn key(self) -> usize {
        if self.aead == Aead::Aes128Gcm { 16 } else { 32 }
    }

    /// A key derived from a secret, as long as the suite's are; `None` when the secret is another suite's.
    pub(in crate::app) fn derive(self, secret: &[u8], label: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut key = Zeroizing::new(vec![0; self.key()]);
        self.hash.expand_label(secret, label, &mut key);
        (secret.len() == self.hash.length()).then_some(key)
    }

    /// The initialisation vector that is derived from a secret.
    pub(in crate::app) fn vector(self, secret: &[u8], label: &str) -> Zeroizing<[u8; 12]> {
        let mut iv = Zeroizing::new([0; 12]);
        self.hash.expand_label(secret, label, iv.as_mut_slice());
        iv
    }

    /// The secret that follows this one.
    pub(in crate::app) fn updated(self, secret: &[u8], label: &str) -> Secret {
        let mut next = Zeroizing::new(vec![0; self.hash.length()]);
        self.hash.expand_label(secret, label, &mut next);
        next
    }

    /// The cipher with this key.
    pub(in crate::app) fn cipher(self, key: &[u8]) -> Option<Cipher> {
        Cipher::new(self.aead, key)
    }

    /// The key is one of ChaCha20, and not of AES.
    pub(in crate::app) fn is_chacha(self) -> bool {
        self.aead == Aead::ChaCha20Poly1305
    }
}

/// What protects the records of one direction, from a change of keys to the next.
#[derive(Clone)]
pub(super) struct RecordKeys {
    cipher: Cipher,
    iv: Zeroizing<[u8; 12]>,
    /// The record carries most of its nonce.
    explicit: bool,
    tls13: bool,
}

/// A cipher that authenticates, with its key.
#[derive(Clone)]
pub(in crate::app) enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
    ChaCha(Zeroizing<[u8; 32]>),
}

impl Cipher {
    fn new(aead: Aead, key: &[u8]) -> Option<Self> {
        Some(match aead {
            Aead::Aes128Gcm => Self::Aes128(Box::new(Aes128Gcm::new_from_slice(key).ok()?)),
            Aead::Aes256Gcm => Self::Aes256(Box::new(Aes256Gcm::new_from_slice(key).ok()?)),
            Aead::ChaCha20Poly1305 => Self::ChaCha(Zeroizing::new(key.try_into().ok()?)),
        })
    }

    /// Opens in place what has this tag; otherwise leaves it as it is.
    pub(in crate::app) fn open(
        &self,
        nonce: [u8; 12],
        authenticated: &[u8],
        content: &mut [u8],
        tag: [u8; TAG],
    ) -> bool {
        match self {
            Self::Aes128(cipher) => cipher
                .decrypt_inout_detached(&nonce.into(), authenticated, content.into(), &tag.into())
                .is_ok(),
            Self::Aes256(cipher) => cipher
                .decrypt_inout_detached(&nonce.into(), authenticated, content.into(), &tag.into())
                .is_ok(),
            Self::ChaCha(key) => ChaCha20Poly1305::new(Key::new(**key), Nonce::new(nonce))
                .decrypt(content, tag, Some(authenticated))
                .is_ok(),
        }
    }

    /// Seals in place: the tag.
    pub(in crate::app) fn seal(
        &self,
        nonce: [u8; 12],
        authenticated: &[u8],
        content: &mut [u8],
    ) -> Option<[u8; TAG]> {
        let nonce12 = nonce.into();
        let tag = match self {
            Self::Aes128(cipher) => {
                cipher.encrypt_inout_detached(&nonce12, authenticated, content.into()).ok()?
            }
            Self::Aes256(cipher) => {
                cipher.encrypt_inout_detached(&nonce12, authenticated, content.into()).ok()?
            }
            Self::ChaCha(key) => {
                return Some(
                    ChaCha20Poly1305::new(Key::new(**key), Nonce::new(nonce))
                        .encrypt(content, Some(authenticated)),
                );
            }
        };
        Some(tag.into())
    }
}

impl RecordKeys {
    /// Of a traffic secret of TLS 1.3 (RFC 8446 section 7.3).
    pub(super) fn of_traffic(suite: Suite, secret: &[u8]) -> Option<Self> {
        let cipher = suite.cipher(&suite.derive(secret, "key")?)?;
        Some(Self { cipher, iv: suite.vector(secret, "iv"), explicit: false, tls13: true })
    }

    /// Of a master secret of TLS 1.2, for what `direction` sends; `randoms` are the client's and the server's
    /// (RFC 5246 section 6.3).
    pub(super) fn of_master(
        suite: Suite,
        master: &[u8],
        randoms: [&[u8; 32]; 2],
        direction: Direction,
    ) -> Option<Self> {
        let [client, server] = randoms;
        let explicit = suite.aead != Aead::ChaCha20Poly1305;
        let (key, iv) = (suite.key(), if explicit { 4 } else { 12 });
        let mut block = Zeroizing::new(vec![0; 2 * (key + iv)]);
        suite.hash.prf(master, &[b"key expansion".as_slice(), server, client].concat(), &mut block)?;
        let (keys, ivs) = block.split_at_checked(2 * key)?;
        let key = keys.chunks_exact(key).nth(direction.index())?;
        let salt = ivs.chunks_exact(iv).nth(direction.index())?;
        let mut iv = Zeroizing::new([0; 12]);
        iv.iter_mut().zip(salt).for_each(|(octet, value)| *octet = *value);
        Some(Self { cipher: Cipher::new(suite.aead, key)?, iv, explicit, tls13: false })
    }

    /// Opens a record of a type in place, when it is the one of this number. Another one is left as it is.
    pub(super) fn open(&self, sequence: u64, kind: u8, body: &mut Vec<u8>) -> bool {
        let front = if self.explicit { EXPLICIT } else { 0 };
        let Some(length) = body.len().checked_sub(front + TAG) else { return false };
        let mut nonce = *self.iv;
        let (number, head) = (sequence.to_be_bytes(), body.first_chunk::<EXPLICIT>());
        match head.filter(|_| self.explicit) {
            Some(head) => nonce.iter_mut().skip(4).zip(head).for_each(|(octet, value)| *octet = *value),
            None => nonce.iter_mut().skip(4).zip(number).for_each(|(octet, value)| *octet ^= value),
        }
        // RFC 8446 section 5.2: the header of the record. RFC 5246 section 6.2.3.3: its number and a header
        // with the length of the content.
        let header = |length: usize| [kind, 3, 3, (length >> 8) as u8, length as u8];
        let authenticated = match self.tls13 {
            true => header(body.len()).to_vec(),
            false => [number.as_slice(), &header(length)].concat(),
        };
        let Some((content, tag)) = body.split_last_chunk_mut::<TAG>() else { return false };
        let (tag, Some(content)) = (*tag, content.get_mut(front..)) else { return false };
        let opened = self.cipher.open(nonce, &authenticated, content, tag);
        if opened {
            body.drain(..front);
            body.truncate(length);
        }
        opened
    }

    /// The secret that follows this one when keys are updated (RFC 8446 section 7.2).
    pub(super) fn updated(suite: Suite, secret: &[u8]) -> Secret {
        suite.updated(secret, "traffic upd")
    }

    #[cfg(test)]
    pub(super) fn seal(&self, sequence: u64, kind: u8, content: &[u8]) -> Vec<u8> {
        let explicit = sequence.wrapping_mul(77).to_be_bytes();
        let mut nonce = *self.iv;
        match self.explicit {
            true => nonce[4..].copy_from_slice(&explicit),
            false => nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()).for_each(|(one, two)| *one ^= two),
        }
        let header = |length: usize| [kind, 3, 3, (length >> 8) as u8, length as u8];
        let authenticated = match self.tls13 {
            true => header(content.len() + TAG).to_vec(),
            false => [sequence.to_be_bytes().as_slice(), &header(content.len())].concat(),
        };
        let mut sealed = content.to_vec();
        let tag = self.cipher.seal(nonce, &authenticated, &mut sealed).expect("short");
        [if self.explicit { explicit.as_slice() } else { &[] }, &sealed, &tag].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    fn octets(hex: &str) -> Vec<u8> {
        HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal")
    }

    /// RFC 8448 section 3: the traffic secret of the server, and what its handshake keys are.
    #[test]
    fn the_keys_of_rfc_8448() {
        let secret = octets("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
        let (mut key, mut iv) = ([0; 16], [0; 12]);
        Hash::Sha256.expand_label(&secret, "key", &mut key);
        Hash::Sha256.expand_label(&secret, "iv", &mut iv);
        assert_eq!(key.to_vec(), octets("3fce516009c21727d0f2e4e86ee403bc"));
        assert_eq!(iv.to_vec(), octets("5d313eb2671276ee13000b30"));
    }

    #[test]
    fn suites_that_are_opened() {
        for cipher in [0x1301, 0x1302, 0x1303, 0x009c, 0x009d, 0xc02b, 0xc02f, 0xc030, 0xcca8, 0xcca9] {
            assert!(Suite::of(cipher).is_some(), "{cipher:#06x}");
        }
        // CBC, CCM, RC4, Camellia with GCM, none.
        for cipher in [0xc013, 0x002f, 0xc027, 0x1304, 0x1305, 0xc09c, 0x0005, 0xc07b, 0x0000, 0xffff] {
            assert!(Suite::of(cipher).is_none(), "{cipher:#06x}");
        }
    }

    #[test]
    fn a_record_opens_with_its_own_keys_and_number_only() {
        let randoms = [&[1; 32], &[2; 32]];
        for cipher in [0xc02f, 0xc030, 0xcca8, 0x1301, 0x1302, 0x1303] {
            let suite = Suite::of(cipher).expect("opened");
            let keys = |seed: u8| match cipher {
                0x1301..=0x1303 => RecordKeys::of_traffic(suite, &vec![seed; suite.hash.length()]),
                _ => RecordKeys::of_master(suite, &[seed; 48], randoms, Direction::ToClient),
            };
            let (keys, other) = (keys(7).expect("keys"), keys(8).expect("keys"));
            for content in [&b"GET / HTTP/1.1"[..], b""] {
                let sealed = keys.seal(5, 23, content);
                for (with, number, kind, opens) in [
                    (&keys, 5, 23, true),
                    (&keys, 6, 23, false),
                    (&keys, 5, 22, false),
                    (&other, 5, 23, false),
                ] {
                    let mut body = sealed.clone();
                    assert_eq!(with.open(number, kind, &mut body), opens);
                    assert_eq!(body, if opens { content } else { &sealed }, "as it was");
                }
                for length in 0..sealed.len() {
                    assert!(!keys.open(5, 23, &mut sealed[..length].to_vec()));
                }
            }
        }
    }

    #[test]
    fn secrets_of_another_length_are_no_secrets_of_the_suite() {
        let suite = Suite::of(0x1302).expect("opened");
        assert!(RecordKeys::of_traffic(suite, &[7; 32]).is_none());
        assert_eq!(RecordKeys::updated(suite, &[7; 48]).len(), 48);
    }
}
