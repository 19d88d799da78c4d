//! Records of TLS 1.2 under AES-CBC with a message authentication code, inside what is encrypted (RFC 5246
//! section 6.2.3.2) or behind it (RFC 7366).

use aes::cipher::{BlockCipherDecrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use hkdf::hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384};
use tls_parser::{TlsCipherEnc, TlsCipherEncMode, TlsCipherMac, TlsCipherSuite, TlsPRF};
use zeroize::Zeroizing;

use crate::app::tls::schedule::Hash;
use crate::dissect::Direction;

/// Octets of a block, and of the vector in front of the first.
const BLOCK: usize = 16;

/// What of a cipher suite protects records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CbcSuite {
    /// Octets of the key.
    key: usize,
    code: Code,
    hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Sha1,
    Sha256,
    Sha384,
}

impl Code {
    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

impl CbcSuite {
    /// Of the registry's number; `None` for those that are not AES-CBC.
    pub(super) fn of(cipher: u16) -> Option<Self> {
        let known = TlsCipherSuite::from_id(cipher)?;
        let key = match (known.enc, known.enc_mode, known.enc_size) {
            (TlsCipherEnc::Aes, TlsCipherEncMode::Cbc, 128) => 16,
            (TlsCipherEnc::Aes, TlsCipherEncMode::Cbc, 256) => 32,
            _ => return None,
        };
        let code = match known.mac {
            TlsCipherMac::HmacSha1 => Code::Sha1,
            TlsCipherMac::HmacSha256 => Code::Sha256,
            TlsCipherMac::HmacSha384 => Code::Sha384,
            _ => return None,
        };
        // RFC 5246 section 5: SHA-256 unless the suite says otherwise.
        let hash = if known.prf == TlsPRF::Sha384 { Hash::Sha384 } else { Hash::Sha256 };
        Some(Self { key, code, hash })
    }
}

/// What protects the records of one direction, from a change of keys to the next.
#[derive(Clone)]
pub(super) struct CbcKeys {
    cipher: Cipher,
    code: Code,
    code_key: Zeroizing<Vec<u8>>,
    /// The code stands behind what is encrypted, and is of that.
    behind: bool,
}

#[derive(Clone)]
enum Cipher {
    Aes128(Box<Aes128>),
    Aes256(Box<Aes256>),
}

impl CbcKeys {
    /// Of a master secret, for what `direction` sends; `randoms` are the client's and the server's (RFC 5246
    /// section 6.3). `behind`: both sides agreed to encrypt first.
    pub(super) fn of_master(
        suite: CbcSuite,
        master: &[u8],
        randoms: [&[u8; 32]; 2],
        direction: Direction,
        behind: bool,
    ) -> Option<Self> {
        let ([client, server], code) = (randoms, suite.code.length());
        let mut block = Zeroizing::new(vec![0; 2 * (code + suite.key)]);
        suite.hash.prf(master, &[b"key expansion".as_slice(), server, client].concat(), &mut block)?;
        let (codes, keys) = block.split_at_checked(2 * code)?;
        let key = keys.chunks_exact(suite.key).nth(direction.index())?;
        let cipher = match suite.key {
            16 => Cipher::Aes128(Box::new(Aes128::new_from_slice(key).ok()?)),
            _ => Cipher::Aes256(Box::new(Aes256::new_from_slice(key).ok()?)),
        };
        let code_key = Zeroizing::new(codes.chunks_exact(code).nth(direction.index())?.to_vec());
        Some(Self { cipher, code: suite.code, code_key, behind })
    }

    /// Opens a record of a type in place, when it is the one of this number. Another one is left as it is.
    pub(super) fn open(&self, sequence: u64, kind: u8, body: &mut Vec<u8>) -> bool {
        let content = self.content(sequence, kind, body);
        content.map(|content| *body = content).is_some()
    }

    fn content(&self, sequence: u64, kind: u8, body: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = body;
        if self.behind {
            let (front, code) = body.split_at_checked(body.len().checked_sub(self.code.length())?)?;
            self.is_code_of(sequence, kind, front, code)?;
            sealed = front;
        }
        let mut content = self.decrypted(sealed)?;
        // Each octet of the padding, and the one of its length behind it, is that length.
        let padding = *content.last()?;
        let end = content.len().checked_sub(usize::from(padding) + 1)?;
        if content.get(end..)?.iter().any(|octet| *octet != padding) {
            return None;
        }
        content.truncate(end);
        if !self.behind {
            let end = content.len().checked_sub(self.code.length())?;
            let (text, code) = content.split_at_checked(end)?;
            self.is_code_of(sequence, kind, text, code)?;
            content.truncate(end);
        }
        Some(content)
    }

    fn decrypted(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (mut before, sealed) = sealed.split_first_chunk::<BLOCK>()?;
        let (blocks, rest) = sealed.as_chunks::<BLOCK>();
        if !rest.is_empty() {
            return None;
        }
        let mut content = Vec::with_capacity(sealed.len());
        for block in blocks {
            let mut plain = Block::from(*block);
            match &self.cipher {
                Cipher::Aes128(cipher) => cipher.decrypt_block(&mut plain),
                Cipher::Aes256(cipher) => cipher.decrypt_block(&mut plain),
            }
            content.extend(plain.iter().zip(before).map(|(octet, before)| octet ^ before));
            before = block;
        }
        Some(content)
    }

    fn is_code_of(&self, sequence: u64, kind: u8, text: &[u8], code: &[u8]) -> Option<()> {
        let header = [kind, 3, 3, (text.len() >> 8) as u8, text.len() as u8];
        let parts = [&sequence.to_be_bytes(), header.as_slice(), text];
        (self.code_of(&parts)? == code).then_some(())
    }

    fn code_of(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        match self.code {
            Code::Sha1 => code::<Hmac<Sha1>>(&self.code_key, parts),
            Code::Sha256 => code::<Hmac<Sha256>>(&self.code_key, parts),
            Code::Sha384 => code::<Hmac<Sha384>>(&self.code_key, parts),
        }
    }
}

fn code<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut code = <M as KeyInit>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| code.update(part));
    Some(code.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::BlockCipherEncrypt;

    impl CbcKeys {
        fn seal(&self, sequence: u64, kind: u8, content: &[u8], more: usize) -> Vec<u8> {
            let code = |text: &[u8]| {
                let header = [kind, 3, 3, (text.len() >> 8) as u8, text.len() as u8];
                self.code_of(&[&sequence.to_be_bytes(), header.as_slice(), text]).expect("a code")
            };
            let mut text = content.to_vec();
            if !self.behind {
                text.extend(code(content));
            }
            let padding = 15 - text.len() % BLOCK + more * BLOCK;
            text.resize(text.len() + padding + 1, padding as u8);
            let mut sealed = vec![sequence as u8; BLOCK];
            for (at, block) in text.chunks(BLOCK).enumerate() {
                let before = sealed[at * BLOCK..].to_vec();
                let mixed: Vec<u8> = block.iter().zip(before).map(|(one, other)| one ^ other).collect();
                let mut block = Block::try_from(mixed.as_slice()).expect("a block");
                match &self.cipher {
                    Cipher::Aes128(cipher) => cipher.encrypt_block(&mut block),
                    Cipher::Aes256(cipher) => cipher.encrypt_block(&mut block),
                }
                sealed.extend_from_slice(&block);
            }
            if self.behind {
                let code = code(&sealed);
                sealed.extend(code);
            }
            sealed
        }
    }

    fn keys(cipher: u16, seed: u8, behind: bool) -> CbcKeys {
        let suite = CbcSuite::of(cipher).expect("AES-CBC");
        let randoms = [&[1; 32], &[2; 32]];
        CbcKeys::of_master(suite, &[seed; 48], randoms, Direction::ToClient, behind).expect("keys")
    }

    #[test]
    fn suites_that_are_opened() {
        for cipher in [0x002f, 0x0035, 0x003c, 0x003d, 0xc009, 0xc013, 0xc014, 0xc024, 0xc027, 0xc028] {
            assert!(CbcSuite::of(cipher).is_some(), "{cipher:#06x}");
        }
        // 3DES, Camellia, GCM, CCM, RC4, none.
        for cipher in [0x000a, 0x0041, 0xc02f, 0xc09c, 0x0005, 0x0000, 0xffff] {
            assert!(CbcSuite::of(cipher).is_none(), "{cipher:#06x}");
        }
    }

    #[test]
    fn a_record_opens_with_its_own_keys_and_number_only() {
        for (cipher, behind) in
            [0xc013, 0x0035, 0xc027, 0xc028].iter().flat_map(|of| [(of, true), (of, false)])
        {
            let (own, other) = (keys(*cipher, 7, behind), keys(*cipher, 8, behind));
            for (content, more) in [(&b"GET / HTTP/1.1"[..], 0), (b"", 3), (b"0123456789ab", 12)] {
                let sealed = own.seal(5, 23, content, more);
                for (with, number, kind, opens) in
                    [(&own, 5, 23, true), (&own, 6, 23, false), (&own, 5, 22, false), (&other, 5, 23, false)]
                {
                    let mut body = sealed.clone();
                    assert_eq!(with.open(number, kind, &mut body), opens);
                    assert_eq!(body, if opens { content } else { &sealed }, "as it was");
                }
                assert!(!keys(*cipher, 7, !behind).open(5, 23, &mut sealed.clone()));
                for length in 0..sealed.len() {
                    assert!(!own.open(5, 23, &mut sealed[..length].to_vec()));
                }
            }
        }
    }
}
