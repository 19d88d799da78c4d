//! The key, and what it makes of names and octets.

use std::net::IpAddr;

use ipcrypt_rs::IpcryptPfx;

use super::addresses::kept;

/// Labels that say what kind of name it is, and nobody's.
const KEPT: [&[u8]; 6] = [b"arpa", b"in-addr", b"ip6", b"local", b"localhost", b"wpad"];

/// Octets of a word that depend on one another: a longer one is as many. What it costs grows with the square.
pub(super) const LONGEST_WORD: usize = 128;

/// Puts other words in the place of addresses and names. The same key gives the same words.
pub struct Secrets {
    addresses: IpcryptPfx,
    key: [u8; 32],
    vendors: bool,
}

impl Secrets {
    /// By a key of any length. `vendors`: MAC addresses keep the vendor's three octets.
    pub fn new(key: &[u8], vendors: bool) -> Self {
        let derived = |purpose: &str| blake3::derive_key(purpose, key);
        let mut addresses = derived("pcapsy 2026 redact: ip addresses");
        if addresses[..16] == addresses[16..] {
            // As likely as guessing the key; the crate refuses such a one.
            addresses[0] ^= 1;
        }
        let key = derived("pcapsy 2026 redact: names and octets");
        Self { addresses: IpcryptPfx::new(addresses), key, vendors }
    }

    /// A number that follows from the key and `parts`.
    pub(super) fn number(&self, kind: u8, parts: &[&[u8]]) -> u32 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[kind]);
        for part in parts {
            hasher.update(part);
        }
        let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// Another address: two addresses share as many leading bits as before.
    pub fn address(&self, address: IpAddr) -> IpAddr {
        match (address, self.addresses.encrypt_ipaddr(address)) {
            (IpAddr::V4(old), IpAddr::V4(new)) => {
                let (old, new) = (u32::from(old), u32::from(new));
                let kept = kept(u128::from(old) << 96, true) >> 96;
                IpAddr::V4((old ^ ((old ^ new) & !(kept as u32))).into())
            }
            (IpAddr::V6(old), IpAddr::V6(new)) => {
                let (old, new) = (u128::from(old), u128::from(new));
                IpAddr::V6((old ^ ((old ^ new) & !kept(old, false))).into())
            }
            // The cipher takes an IPv6 address that maps an IPv4 one for the latter.
            (IpAddr::V6(_), IpAddr::V4(new)) => IpAddr::V6(new.to_ipv6_mapped()),
            (IpAddr::V4(old), IpAddr::V6(_)) => IpAddr::V4(old),
        }
    }

    /// Rewrites an address of 4 or 16 octets; others become zero.
    pub(super) fn octets(&self, octets: &mut [u8]) {
        if let Some(v4) = octets.first_chunk::<4>().copied().filter(|_| octets.len() == 4) {
            if let IpAddr::V4(new) = self.address(IpAddr::from(v4)) {
                octets.copy_from_slice(&new.octets());
            }
        } else if let Some(v6) = octets.first_chunk::<16>().copied().filter(|_| octets.len() == 16) {
            if let IpAddr::V6(new) = self.address(IpAddr::from(v6)) {
                octets.copy_from_slice(&new.octets());
            }
        } else {
            octets.fill(0);
        }
    }

    /// Another MAC address of the same kind.
    pub fn mac(&self, address: [u8; 6]) -> [u8; 6] {
        let [a, b, c, ..] = address;
        let redundancy = matches!(
            address,
            [0, 0, 0x5e, 0, 1 | 2, _] | [0, 0, 0x0c, 7, 0xac, _] | [0, 5, 0x73, 0xa0, ..] | [0, 7, 0xb4, ..]
        );
        // A group address names no host, but that of IPv6's solicited nodes.
        let group = a & 1 == 1 && !matches!(address, [0x33, 0x33, 0xff, ..]);
        if address == [0; 6] || redundancy || group {
            return address;
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"m");
        hasher.update(&address);
        let [x, y, z, p, q, r, ..] = *hasher.finalize().as_bytes();
        match (a, self.vendors || a & 1 == 1) {
            (_, true) => [a, b, c, p, q, r],
            (_, false) => [(x & !3) | (a & 3), y, z, p, q, r],
        }
    }

    /// Another label of the same length: letters become letters, digits become digits, the rest stays where
    /// it is. Two labels that differ still differ, whatever their case.
    pub fn label(&self, label: &mut [u8]) {
        if is_kept(label) {
            return;
        }
        // An octet of an address stays one, or a name that asks for an address would ask for none.
        if let Some((low, high)) = octet_range(label) {
            let value = label.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
            let count = high - low + 1;
            let shift = self.number(b'o', &[&[label.len() as u8]]) % (count - 1) + 1;
            let mut value = low + (value - low + shift) % count;
            for digit in label.iter_mut().rev() {
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
            return;
        }
        label.chunks_mut(LONGEST_WORD).for_each(|word| self.word(word));
    }

    /// Every octet follows from those in front of it, and then from those behind it.
    fn word(&self, label: &mut [u8]) {
        let length = label.len();
        for (kind, backwards) in [(b'f', false), (b'b', true)] {
            for step in 0..length {
                let at = if backwards { length - 1 - step } else { step };
                let done = if backwards { label.get(at + 1..) } else { label.get(..at) };
                let done = done.unwrap_or_default().to_ascii_lowercase();
                let shift = self.number(kind, &[&(length as u32).to_le_bytes(), &done]);
                if let Some(octet) = label.get_mut(at) {
                    *octet = shifted(*octet, shift);
                }
            }
        }
    }

    /// Rewrites the words of a text as labels; what stands between them stays.
    pub fn text(&self, text: &mut [u8]) {
        let word = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | 0x80..);
        text.chunk_by_mut(|a, b| word(a) == word(b))
            .filter(|run| run.first().is_some_and(word))
            .for_each(|run| self.label(run));
    }

    /// Rewrites an IPv6 address that is written out: digits stay digits and letters letters from a to f.
    pub(super) fn written_v6(&self, text: &mut [u8]) {
        for group in text.split_mut(|octet| *octet == b':') {
            for at in 0..group.len() {
                let shift = self.number(b'v', &[group.get(..at).unwrap_or_default()]);
                let Some(octet) = group.get_mut(at) else { continue };
                let turn =
                    |first: u8, count: u32| first + ((u32::from(*octet - first) + shift) % count) as u8;
                *octet = match *octet {
                    b'a'..=b'f' => turn(b'a', 6),
                    b'A'..=b'F' => turn(b'A', 6),
                    _ => shifted(*octet, shift),
                };
            }
        }
    }

    /// Writes octets that stand for `old` over `new`: the same for the same.
    pub(super) fn mark(&self, old: &[u8], new: &mut [u8]) {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"s");
        hasher.update(old);
        hasher.finalize_xof().fill(new);
    }

    /// Puts other octets in the place of some that identify and mean nothing: the same for the same.
    pub fn opaque(&self, octets: &mut [u8]) {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"x");
        hasher.update(octets);
        hasher.finalize_xof().fill(octets);
    }
}

/// A label that says what kind of name it is.
pub(super) fn is_kept(label: &[u8]) -> bool {
    KEPT.iter().any(|kept| label.eq_ignore_ascii_case(kept))
}

/// Numbers of one, two or three digits up to 255 without a leading zero: the range of those as long.
pub(super) fn octet_range(label: &[u8]) -> Option<(u32, u32)> {
    let text =
        std::str::from_utf8(label).ok().filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()))?;
    let value: u8 = text.parse().ok()?;
    match (label.len(), value) {
        (1, _) => Some((0, 9)),
        (2, 10..) => Some((10, 99)),
        (3, 100..) => Some((100, 255)),
        _ => None,
    }
}

fn shifted(octet: u8, shift: u32) -> u8 {
    let turn = |first: u8, count: u32| first + ((u32::from(octet - first) + shift) % count) as u8;
    match octet {
        b'a'..=b'z' => turn(b'a', 26),
        b'A'..=b'Z' => turn(b'A', 26),
        b'0'..=b'9' => turn(b'0', 10),
        0x80.. => b'a' + ((u32::from(octet) + shift) % 26) as u8,
        other => other,
    }
}
