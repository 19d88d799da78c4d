//! A certificate with other names and keys: every element keeps its tag and its length (X.690), so that what
//! a parser reads of it has the same shape.

use super::secrets::Secrets;

/// Elements inside each other.
const DEPTH: u32 = 24;

/// Rewrites a run of elements in place; false when it is none, and then nothing was changed.
pub(super) fn redact(secrets: &Secrets, octets: &mut [u8]) -> bool {
    let whole = is_der(octets, 0);
    if whole {
        walk(secrets, octets, 0);
    }
    whole
}

/// Tag, length of the header, length of the content.
fn element(octets: &[u8]) -> Option<(u8, usize, usize)> {
    let (&tag, &first) = (octets.first()?, octets.get(1)?);
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (header, length) = match first {
        0..=0x7f => (2, usize::from(first)),
        0x81..=0x83 => {
            let count = usize::from(first & 0x7f);
            let length = octets.get(2..2 + count)?;
            (2 + count, length.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)))
        }
        _ => return None,
    };
    octets.get(header..header.checked_add(length)?)?;
    Some((tag, header, length))
}

fn is_der(mut octets: &[u8], depth: u32) -> bool {
    while !octets.is_empty() {
        let Some((tag, header, length)) = element(octets) else { return false };
        let Some((content, rest)) = octets.get(header..).and_then(|behind| behind.split_at_checked(length))
        else {
            return false;
        };
        if tag & 0x20 != 0 && (depth >= DEPTH || !is_der(content, depth + 1)) {
            return false;
        }
        octets = rest;
    }
    true
}

fn walk(secrets: &Secrets, mut octets: &mut [u8], depth: u32) {
    while let Some((tag, header, length)) = element(octets) {
        let behind = std::mem::take(&mut octets).get_mut(header..);
        let Some((content, rest)) = behind.and_then(|behind| behind.split_at_mut_checked(length)) else {
            return;
        };
        match tag {
            _ if tag & 0x20 != 0 => walk(secrets, content, depth + 1),
            // Boolean, null, object identifier, enumerated, times.
            0x01 | 0x05 | 0x06 | 0x0a | 0x17 | 0x18 => {}
            0x02 => integer(secrets, content),
            // Key usage is a few bits. A key or a signature: its first octet says how many bits are unused.
            0x03 if content.len() <= 3 => {}
            0x03 => {
                if let Some((_, bits)) = content.split_first_mut() {
                    nested(secrets, bits, depth);
                }
            }
            0x04 => nested(secrets, content, depth),
            // UTF8, numeric, printable, teletex, IA5, visible, BMP.
            0x0c | 0x12 | 0x13 | 0x14 | 0x16 | 0x1a | 0x1e => secrets.text(content),
            // In general names: mail address, DNS name, URI. In an authority key identifier: a serial number.
            0x81 | 0x82 | 0x86 if is_text(content) => secrets.text(content),
            0x87 if matches!(content.len(), 4 | 16) => secrets.octets(content),
            _ => secrets.opaque(content),
        }
        octets = rest;
    }
}

fn is_text(octets: &[u8]) -> bool {
    octets.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ')
}

/// Its length and its sign stay; a modulus keeps its size.
fn integer(secrets: &Secrets, octets: &mut [u8]) {
    // Versions, path lengths, public exponents.
    if octets.len() <= 4 {
        return;
    }
    let first = octets.first().copied().unwrap_or(0);
    let second = octets.get(1).copied().unwrap_or(0);
    secrets.opaque(octets);
    if let [one, two, ..] = octets {
        // The highest bits say how many there are.
        *one = if first == 0 { 0 } else { (*one & 0x3f) | 0x40 };
        if first == 0 {
            *two |= second & 0x80;
        }
    }
}

/// An element in octets, a point of a curve, or anything.
fn nested(secrets: &Secrets, octets: &mut [u8], depth: u32) {
    let form = octets.first().copied();
    if depth < DEPTH
        && octets.len() > 2
        && matches!(form, Some(0x30 | 0x02 | 0x03 | 0x04 | 0x16))
        && is_der(octets, 0)
    {
        return walk(secrets, octets, depth + 1);
    }
    secrets.opaque(octets);
    // Compressed or not (SEC 1 section 2.3.3).
    if let (Some(first), Some(form @ 2..=4)) = (octets.first_mut(), form) {
        *first = form;
    }
}
