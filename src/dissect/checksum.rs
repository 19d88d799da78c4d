//! The Internet checksum (RFC 1071).

/// The ones' complement sum of octets, the last one padded with a zero.
pub fn sum(octets: &[u8]) -> u16 {
    let (words, rest) = octets.as_chunks::<4>();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(place, octet)| *place = *octet);
    let words = words.iter().chain([&last]);
    fold(words.map(|word| u64::from(u32::from_be_bytes(*word))).sum())
}

/// Adds the carries until none is left.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071 section 3, and a last octet of its own.
    #[test]
    fn the_sum_is_that_of_the_rfc() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[0x00, 0x01, 0xf2]), 0xf201);
        assert_eq!(sum(&[0xff; 9]), 0xff00);
        assert_eq!(sum(&[]), 0);
    }
}
