//! Certificate messages that a server compressed (RFC 8879): browsers ask for it.

use std::io::Read;

use brotli::Decompressor;
use flate2::read::ZlibDecoder;
use zstd::stream::read::Decoder;

/// Longest window of zstd that is believed, as a power of two: what RFC 8878 section 3.1.1.1.2 recommends to
/// support.
const ZSTD_WINDOW: u32 = 23;
/// The first bits of brotli with windows above 16 MiB, which RFC 7932 section 9.1 does not have.
const LARGE_WINDOW: u8 = 0x11;

/// The body of the Certificate message in a CompressedCertificate: algorithm, length, compressed octets
/// behind their length. `None` when it is damaged, or longer than `most`.
pub(super) fn decompressed(body: &[u8], most: usize) -> Option<Vec<u8>> {
    let (algorithm, rest) = body.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<3>()?;
    let (packed, rest) = rest.split_first_chunk::<3>()?;
    let number = |[high, middle, low]: [u8; 3]| u32::from_be_bytes([0, high, middle, low]) as usize;
    let (length, packed) = (number(*length), rest.get(..number(*packed))?);
    let reader: Box<dyn Read + '_> = match u16::from_be_bytes(*algorithm) {
        _ if length > most => return None,
        1 => Box::new(ZlibDecoder::new(packed)),
        2 if packed.first()? & 0x7f != LARGE_WINDOW => Box::new(Decompressor::new(packed, 4096)),
        3 => {
            let mut decoder = Decoder::new(packed).ok()?;
            decoder.window_log_max(ZSTD_WINDOW).ok()?;
            Box::new(decoder)
        }
        _ => return None,
    };
    let mut whole = Vec::new();
    reader.take(length as u64 + 1).read_to_end(&mut whole).ok()?;
    (whole.len() == length).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn message(algorithm: u16, length: usize, packed: &[u8]) -> Vec<u8> {
        let three = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        [&algorithm.to_be_bytes(), &three(length)[..], &three(packed.len()), packed].concat()
    }

    #[test]
    fn all_three_algorithms_give_the_message() {
        let text: Vec<u8> = b"certificate ".iter().copied().cycle().take(900).collect();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&text).expect("memory");
        // One block that is not compressed, behind a window of 64 KiB, and an empty last one.
        let head = ((text.len() as u32 - 1) << 4 | 1 << 20).to_le_bytes();
        let brotli = [&head[..3], &text, &[3]].concat();
        let zstd = zstd::stream::encode_all(&text[..], 3).expect("memory");
        for (algorithm, packed) in [(1, zlib.finish().expect("memory")), (2, brotli), (3, zstd)] {
            let body = message(algorithm, text.len(), &packed);
            assert_eq!(decompressed(&body, 1_000).as_ref(), Some(&text), "{algorithm}");
            assert_eq!(decompressed(&body, 899), None, "too long");
            assert_eq!(decompressed(&message(algorithm, 899, &packed), 1_000), None, "not what it says");
            assert_eq!(decompressed(&message(algorithm, 901, &packed), 1_000), None, "not what it says");
            assert_eq!(decompressed(&message(4, text.len(), &packed), 1_000), None);
            for length in 0..body.len() - 1 {
                assert_eq!(decompressed(&body[..length], 1_000), None);
            }
        }
        assert_eq!(decompressed(&message(2, 1, &[0x11, 0x1e, 3]), 1_000), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(algorithm in 0u16..5, packed in prop::collection::vec(any::<u8>(), 0..300)) {
            let whole = decompressed(&message(algorithm, 200, &packed), 1_000);
            prop_assert!(whole.is_none_or(|whole| whole.len() == 200));
        }
    }
}
