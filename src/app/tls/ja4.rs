//! JA4, a fingerprint of a ClientHello (FoxIO, `technical_details/JA4.md`, BSD 3-Clause).
//!
//! Values of GREASE (RFC 8701) are no part of it. Nothing else of JA4+ is read here: its licence is another.

use std::fmt::Write;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// What of a ClientHello is in the fingerprint. Lists are in the order of the message, without GREASE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ja4<'h> {
    /// Over QUIC.
    pub(super) quic: bool,
    /// The highest version it offers.
    pub(super) version: u16,
    /// Cipher suites.
    pub(super) ciphers: &'h [u16],
    /// Types of its extensions.
    pub(super) extensions: &'h [u16],
    /// Signature algorithms.
    pub(super) signatures: &'h [u16],
    /// The first application protocol.
    pub(super) protocol: &'h [u8],
}

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

impl Ja4<'_> {
    /// 36 characters.
    pub(super) fn text(&self) -> String {
        let transport = if self.quic { 'q' } else { 't' };
        let version = match self.version {
            0x0301..=0x0304 => format!("1{}", self.version - 0x0301),
            0x0300 => "s3".to_owned(),
            0x0002 => "s2".to_owned(),
            _ => "00".to_owned(),
        };
        let name = if self.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
        let (ciphers, extensions) = (self.ciphers.len().min(99), self.extensions.len().min(99));
        let protocol = ends(self.protocol);
        let mut listed: Vec<u16> = self.extensions.to_vec();
        listed.retain(|kind| !matches!(*kind, SERVER_NAME | ALPN));
        let mut listed = sorted(&listed);
        if !listed.is_empty() && !self.signatures.is_empty() {
            listed = listed + "_" + &joined(self.signatures);
        }
        format!(
            "{transport}{version}{name}{ciphers:02}{extensions:02}{protocol}_{}_{}",
            digest(&sorted(self.ciphers)),
            digest(&listed),
        )
    }
}

/// The first and the last character of a protocol's name, of its octets in hexadecimal when one of them is
/// neither letter nor digit.
fn ends(name: &[u8]) -> String {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return "00".to_owned() };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [*first, *last].map(char::from).iter().collect();
    }
    let digits = HEXLOWER.encode(name);
    digits.chars().take(1).chain(digits.chars().last()).collect()
}

fn joined(values: &[u16]) -> String {
    let mut text = String::with_capacity(values.len() * 5);
    for (place, value) in values.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // A String takes whatever is written.
        let _ = write!(text, "{comma}{value:04x}");
    }
    text
}

fn sorted(values: &[u16]) -> String {
    let mut values = values.to_vec();
    values.sort_unstable();
    joined(&values)
}

/// The first twelve digits of SHA-256; zeros of an empty list.
fn digest(list: &str) -> String {
    if list.is_empty() {
        return "0".repeat(12);
    }
    let digest = Sha256::digest(list.as_bytes());
    HEXLOWER.encode(digest.get(..6).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: Ja4<'_> = Ja4 {
        quic: false,
        version: 0x0304,
        ciphers: &[
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ],
        extensions: &[
            0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
            0xff01, 0x000b, 0x000a, 0x0015,
        ],
        signatures: &[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
        protocol: b"h2",
    };

    #[test]
    fn the_published_example() {
        assert_eq!(EXAMPLE.text(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        let unsigned = Ja4 { signatures: &[], quic: true, ..EXAMPLE };
        assert_eq!(unsigned.text(), "q13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn what_is_missing_is_zeros() {
        let empty = Ja4 { ciphers: &[], extensions: &[], protocol: b"", version: 0x7777, ..EXAMPLE };
        assert_eq!(empty.text(), "t00i000000_000000000000_000000000000");
        let named = Ja4 { extensions: &[0, 16], version: 0x0300, ..empty };
        assert_eq!(named.text(), "ts3d000200_000000000000_000000000000");
    }

    /// The specification's list.
    #[test]
    fn names_of_protocols_show_their_ends() {
        let names: [(&[u8], &str); 10] = [
            (b"http/1.1", "h1"),
            (b"h", "hh"),
            (b"\xab", "ab"),
            (b"\x20", "20"),
            (b"\xab\xcd", "ad"),
            (b"\x20\x61", "21"),
            (b"\x30\xab", "3b"),
            (b"\x61\x20", "60"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ];
        for (name, shown) in names {
            assert_eq!(ends(name), shown);
        }
    }
}
