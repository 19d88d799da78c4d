//! A TLS stream without names, keys and data: record headers, alerts, hellos, certificates (RFC 5246, 8446).

use super::der;
use super::secrets::Secrets;
use super::zero;
use crate::app::quic::blank_parameters;

/// Record content types.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Longest alert that is not encrypted: as many as a record holds.
const PLAIN_ALERT: usize = 2;

/// RFC 8446 section 4.1.3: a ServerHello that is a HelloRetryRequest.
const RETRY: [u8; 4] = [0xcf, 0x21, 0xad, 0x74];

/// Rewrites `bytes` from `from` on, in place. `known` says whether a run of them was captured: the others are
/// zero.
pub(super) fn redact(secrets: &Secrets, bytes: &mut [u8], from: usize, known: impl Fn(usize, usize) -> bool) {
    let mut handshake: Vec<(usize, usize)> = Vec::new();
    let (mut at, mut changed) = (from, false);
    while let Some(&[kind, major, _, high, low]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<5>()) {
        let start = at + 5;
        if !known(at, start) || !(CHANGE_CIPHER_SPEC..=24).contains(&kind) || major != 3 {
            break;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        let end = (start + length).min(bytes.len());
        let whole = end == start + length && known(start, end);
        let hello = bytes.get(start) == Some(&1);
        match kind {
            CHANGE_CIPHER_SPEC => changed = true,
            ALERT if length == PLAIN_ALERT => {}
            // Behind the change only a second ClientHello is in the clear (RFC 8446 appendix D.4).
            HANDSHAKE if !changed || (hello && whole) => {
                handshake.push((start, end));
                at = end;
                continue;
            }
            _ => zero(bytes, start, end),
        }
        at = end;
    }
    zero(bytes, at, bytes.len());
    messages(secrets, bytes, &handshake, known);
}

/// Rewrites handshake messages that stand in no records, as QUIC has them.
pub(super) fn handshake(secrets: &Secrets, bytes: &mut [u8]) {
    messages(secrets, bytes, &[(0, bytes.len())], |_, _| true);
}

/// Messages may share records and span them.
fn messages(
    secrets: &Secrets,
    bytes: &mut [u8],
    records: &[(usize, usize)],
    known: impl Fn(usize, usize) -> bool,
) {
    let mut held: Vec<u8> = Vec::new();
    for (start, end) in records {
        held.extend_from_slice(bytes.get(*start..*end).unwrap_or_default());
    }
    let torn = records.iter().any(|(start, end)| !known(*start, *end));
    let mut at = 0;
    while let Some(&[kind, high, middle, low]) = held.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let start = at + 4;
        let Some(body) = held.get_mut(start..start + length).filter(|_| !torn || records.len() == 1) else {
            break;
        };
        if message(secrets, kind, body).is_none() {
            // It is not what it says: nothing of it is known to be harmless.
            body.fill(0);
        }
        at = start + length;
    }
    // The start of a message that was not captured whole: type and length.
    let keep = held.len().min(at + 4);
    held.get_mut(keep..).unwrap_or_default().fill(0);
    let mut rest = held.as_slice();
    for (start, end) in records {
        let Some((here, behind)) = rest.split_at_checked(end - start) else { return };
        if let Some(place) = bytes.get_mut(*start..*end) {
            place.copy_from_slice(here);
        }
        rest = behind;
    }
}

fn message(secrets: &Secrets, kind: u8, body: &mut [u8]) -> Option<()> {
    match kind {
        1 => hello(secrets, body, true),
        2 => hello(secrets, body, false),
        11 => certificates(secrets, body),
        _ => {
            body.fill(0);
            Some(())
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

/// ClientHello and ServerHello: version, random, session id, cipher suites, compression, extensions.
fn hello(secrets: &Secrets, body: &mut [u8], client: bool) -> Option<()> {
    let random = body.get_mut(2..34)?;
    if client || !random.starts_with(&RETRY) {
        // The last octets of a server's random say that it was talked down (RFC 8446 section 4.1.3).
        let keep = if random.get(24..31) == Some(b"DOWNGRD") { 24 } else { 32 };
        random.get_mut(..keep)?.fill(0);
    }
    let id = usize::from(*body.get(34)?);
    if id > 0 {
        secrets.opaque(body.get_mut(35..35 + id)?);
    }
    let mut at = 35 + id;
    at += if client {
        let suites = 2 + be16(body, at)?;
        suites + 1 + usize::from(*body.get(at + suites)?)
    } else {
        3
    };
    if at == body.len() {
        return Some(());
    }
    at += 2;
    while at < body.len() {
        let (kind, length) = (be16(body, at)?, be16(body, at + 2)?);
        extension(secrets, kind, body.get_mut(at + 4..at + 4 + length)?);
        at += 4 + length;
    }
    Some(())
}

fn extension(secrets: &Secrets, kind: usize, body: &mut [u8]) {
    match kind {
        0 => {
            if let Some(name) = body.get_mut(5..) {
                secrets.text(name);
            }
        }
        16 => protocols(secrets, body),
        // Lists of numbers, and what a server chose.
        1 | 10 | 11 | 13 | 22 | 23 | 27 | 28 | 43 | 45 | 50 => {}
        51 => key_shares(body),
        // QUIC's transport parameters (RFC 9001 section 8.2) and those of its drafts.
        57 | 0xffa5 => blank_parameters(body),
        // GREASE and other marks.
        _ if body.len() <= 1 => {}
        _ => body.fill(0),
    }
}

/// Protocols that everybody uses (IANA, TLS ALPN Protocol IDs).
const KNOWN: [&[u8]; 8] = [b"h2", b"h3", b"http/1.0", b"http/1.1", b"dot", b"doq", b"imap", b"acme-tls/1"];

/// Names with a one-octet length each; those that everybody uses stay.
fn protocols(secrets: &Secrets, body: &mut [u8]) {
    let mut at = 2;
    while let Some(length) = body.get(at).map(|length| usize::from(*length)) {
        let Some(name) = body.get_mut(at + 1..at + 1 + length) else { return };
        if !KNOWN.contains(&&*name) {
            secrets.text(name);
        }
        at += 1 + length;
    }
}

/// Groups and lengths of keys stay, the keys do not.
fn key_shares(body: &mut [u8]) {
    // A retry names a group only; a server's share has no list around it.
    if body.len() <= 2 {
        return;
    }
    let list = be16(body, 0).is_some_and(|length| length + 2 == body.len());
    let mut at = if list { 2 } else { 0 };
    while let Some(length) = be16(body, at + 2) {
        let end = (at + 4 + length).min(body.len());
        zero(body, at + 4, end);
        at = end;
    }
    let length = body.len();
    zero(body, at, length);
}

/// The list of a Certificate message before TLS 1.3.
fn certificates(secrets: &Secrets, body: &mut [u8]) -> Option<()> {
    let mut at = 3;
    while at < body.len() {
        let &[high, middle, low] = body.get(at..)?.first_chunk::<3>()?;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let certificate = body.get_mut(at + 3..at + 3 + length)?;
        if !der::redact(secrets, certificate) {
            certificate.fill(0);
        }
        at += 3 + length;
    }
    Some(())
}
