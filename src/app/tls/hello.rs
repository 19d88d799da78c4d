//! ClientHello and ServerHello (RFC 8446 section 4.1, RFC 5246 section 7.4.1).

use serde::{Deserialize, Serialize};
use tls_parser::{TlsCipherSuite, parse_tls_handshake_client_hello, parse_tls_handshake_server_hello};

use crate::app::quic::offered_versions;
use crate::app::tls::ja4::Ja4;
use crate::dissect::PacketRef;

/// What a client offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientHello {
    /// The packet that completed it.
    pub at: PacketRef,
    /// Server name (RFC 6066), octets that do not print escaped.
    pub sni: Option<String>,
    /// Application protocols (RFC 7301).
    pub alpn: Vec<String>,
    /// Version field of the message.
    pub legacy_version: u16,
    /// Versions of the extension, without GREASE (RFC 8701).
    pub versions: Vec<u16>,
    /// Cipher suites, without GREASE.
    pub cipher_suites: Vec<u16>,
    /// Length of the message in bytes.
    pub length: u32,
    /// It offers to resume a session (ticket, PSK; a session id proves nothing since RFC 8446 fills it).
    pub resumption: bool,
    /// JA4 fingerprint.
    pub ja4: String,
    /// Over QUIC: the versions of QUIC that it can speak (RFC 9368 section 3).
    pub quic_versions: Vec<u32>,
}

/// What the server chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHello {
    /// The packet that completed it.
    pub at: PacketRef,
    /// Version in force.
    pub version: u16,
    /// Cipher suite.
    pub cipher_suite: u16,
    /// Application protocol (seen before TLS 1.3, or with keys).
    pub alpn: Option<String>,
}

/// RFC 8446 section 4.1.3: a ServerHello with this random is a HelloRetryRequest.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn text(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}

/// Type and body of every extension that is whole; unknown ones are no reason to lose the others.
fn extensions(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (&[k0, k1, l0, l1], after) = rest.split_first_chunk::<4>()?;
        let body = after.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
        rest = &after[body.len()..];
        Some((u16::from_be_bytes([k0, k1]), body))
    })
}

fn words(octets: &[u8]) -> Vec<u16> {
    octets
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .filter(|value| !is_grease(*value))
        .collect()
}

/// Names with a one-octet length each, behind a list length of two octets.
fn protocols(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&length, after) = rest.split_first()?;
        let name = after.get(..usize::from(length))?;
        rest = &after[name.len()..];
        Some(name)
    })
}

impl ClientHello {
    /// Reads the body of the message.
    pub(super) fn read(body: &[u8], at: PacketRef, quic: bool) -> Option<Self> {
        let (_, parsed) = parse_tls_handshake_client_hello(body).ok()?;
        let mut hello = Self {
            at,
            legacy_version: parsed.version.0,
            cipher_suites: parsed
                .ciphers
                .iter()
                .map(|cipher| cipher.0)
                .filter(|cipher| !is_grease(*cipher))
                .collect(),
            length: body.len() as u32 + 4,
            ..Self::default()
        };
        let (mut kinds, mut signatures, mut protocol) = (Vec::new(), Vec::new(), &[][..]);
        for (kind, body) in extensions(parsed.ext.unwrap_or_default()) {
            if !is_grease(kind) {
                kinds.push(kind);
            }
            match kind {
                // List length (2), name type 0 (1), name length (2), name.
                0 if body.get(2) == Some(&0) => hello.sni = body.get(5..).map(text),
                13 => signatures = words(body.get(2..).unwrap_or_default()),
                16 => {
                    hello.alpn = protocols(body).map(text).collect();
                    protocol = protocols(body).next().unwrap_or_default();
                }
                35 => hello.resumption |= !body.is_empty(),
                41 => hello.resumption = true,
                43 => hello.versions = words(body.get(1..).unwrap_or_default()),
                57 if quic => hello.quic_versions = offered_versions(body),
                _ => {}
            }
        }
        let version = hello.highest_version();
        let (ciphers, extensions, signatures) = (&hello.cipher_suites, &kinds, &signatures);
        hello.ja4 = Ja4 { quic, version, ciphers, extensions, signatures, protocol }.text();
        Some(hello)
    }

    /// The highest version it offers.
    pub fn highest_version(&self) -> u16 {
        self.versions.iter().copied().max().unwrap_or(self.legacy_version)
    }
}

impl ServerHello {
    /// Reads the body of the message, and whether it asks the client to try again.
    pub(super) fn read(body: &[u8], at: PacketRef) -> Option<(Self, bool)> {
        let (_, parsed) = parse_tls_handshake_server_hello(body).ok()?;
        let mut hello = Self { at, version: parsed.version.0, cipher_suite: parsed.cipher.0, alpn: None };
        for (kind, body) in extensions(parsed.ext.unwrap_or_default()) {
            match kind {
                16 => hello.alpn = protocols(body).next().map(text),
                43 => hello.version = words(body).first().copied().unwrap_or(hello.version),
                _ => {}
            }
        }
        Some((hello, parsed.random == RETRY))
    }
}

/// The application protocol in the body of EncryptedExtensions (RFC 8446 section 4.3.1).
pub(super) fn encrypted_protocol(body: &[u8]) -> Option<String> {
    let mut all = extensions(body.get(2..)?);
    protocols(all.find(|(kind, _)| *kind == 16)?.1).next().map(text)
}

/// `TLS 1.2` and the like; the number for others.
pub fn version_name(version: u16) -> String {
    match version {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301..=0x0304 => format!("TLS 1.{}", version - 0x0301),
        // Drafts of TLS 1.3 carry their number in the low octet.
        0x7f00..=0x7fff => format!("TLS 1.3 draft {}", version & 0xff),
        _ => format!("0x{version:04x}"),
    }
}

/// The registry's name of a cipher suite, or its number.
pub fn cipher_name(cipher: u16) -> String {
    TlsCipherSuite::from_id(cipher).map_or_else(|| format!("0x{cipher:04x}"), |known| known.name.to_owned())
}
