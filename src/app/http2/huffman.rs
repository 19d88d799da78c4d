//! Huffman's code of HTTP/2 (RFC 7541 appendix B). It is canonical: the lengths say it all.

use std::sync::LazyLock;

/// Bits of an octet's code, by octet.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26,
];

const LONGEST: u8 = 30;

/// Bits of an octet's code.
pub(crate) fn bits(octet: u8) -> u8 {
    LENGTHS[usize::from(octet)]
}

/// The codes: length, bits and octet in their order, and the bits by octet.
struct Codes {
    ordered: Vec<(u8, u32, u8)>,
    of: [u32; 256],
}

static CODES: LazyLock<Codes> = LazyLock::new(|| {
    let mut octets: Vec<u8> = (0..=255).collect();
    octets.sort_by_key(|octet| (bits(*octet), *octet));
    let (mut ordered, mut of, mut next, mut length) = (Vec::new(), [0; 256], 0_u32, 0);
    for octet in octets {
        next <<= bits(octet) - length;
        length = bits(octet);
        ordered.push((length, next, octet));
        of[usize::from(octet)] = next;
        next += 1;
    }
    Codes { ordered, of }
});

/// What a string says; `None` when it is not coded as it should be.
pub(crate) fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let (mut octets, mut code, mut length) = (Vec::new(), 0_u32, 0_u8);
    for octet in coded {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(octet >> bit & 1);
            length += 1;
            let found =
                CODES.ordered.binary_search_by_key(&(length, code), |(length, code, _)| (*length, *code));
            if let Some((_, _, octet)) = found.ok().and_then(|place| CODES.ordered.get(place)) {
                octets.push(*octet);
                (code, length) = (0, 0);
            } else if length >= LONGEST {
                return None;
            }
        }
    }
    // Less than an octet of ones fills the last one (section 5.2).
    (length < 8 && code + 1 == 1 << length).then_some(octets)
}

/// The code of some octets.
pub(crate) fn encode(octets: &[u8]) -> Vec<u8> {
    let (mut coded, mut pending, mut count) = (Vec::new(), 0_u64, 0_u8);
    for octet in octets {
        pending = pending << bits(*octet) | u64::from(CODES.of[usize::from(*octet)]);
        count += bits(*octet);
        while count >= 8 {
            count -= 8;
            coded.push((pending >> count) as u8);
            pending &= (1 << count) - 1;
        }
    }
    if count > 0 {
        coded.push((pending << (8 - count)) as u8 | 0xff >> count);
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541 appendix C.4.1 and C.6.1.
    #[test]
    fn the_strings_of_the_rfc() {
        for (text, coded) in [
            (&b"www.example.com"[..], &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..]),
            (b"no-cache", b"\xa8\xeb\x10\x64\x9c\xbf"),
            (b"302", b"\x64\x02"),
            (b"private", b"\xae\xc3\x77\x1a\x4b"),
        ] {
            assert_eq!(decode(coded).as_deref(), Some(text));
            assert_eq!(encode(text), coded);
        }
    }

    /// Every octet, as another decoder reads it.
    #[test]
    fn every_octet_is_coded_as_others_read_it() {
        for octet in 0..=255_u8 {
            let coded = encode(&[octet, b'a', octet]);
            assert_eq!(decode(&coded), Some(vec![octet, b'a', octet]));
            let block = [&[0x00, 1, b'n', 0x80 | coded.len() as u8], coded.as_slice()].concat();
            let fields = hpack_patched::Decoder::new().decode(&block).expect("decoded");
            assert_eq!(fields, [(b"n".to_vec(), vec![octet, b'a', octet])]);
        }
    }

    #[test]
    fn what_is_not_coded_so_is_refused() {
        // Padding with zeros, padding of an octet, the end of the string inside it.
        for coded in [&b"\x18"[..], b"\x64\x02\xff", b"\xff\xff\xff\xff"] {
            assert_eq!(decode(coded), None, "{coded:02x?}");
        }
    }
}
