//! Integers of variable length (RFC 9000 section 16), and what is written with them.

/// The next integer, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, _) = bytes.split_first()?;
    let (octets, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    let value = octets.iter().fold(0, |value, octet| value << 8 | u64::from(*octet));
    Some((value & (u64::MAX >> (66 - 8 * octets.len())), rest))
}

/// The next integer as a length, and so many octets.
pub(super) fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// The transport parameter that lists versions (RFC 9368 section 3).
pub(super) const VERSION_INFORMATION: u64 = 0x11;
/// Versions listed.
const MOST: usize = 16;

/// The versions that a client says it can speak, in its transport parameters (RFC 9000 section 18); those of
/// GREASE (RFC 9000 section 15) are left out.
pub(in crate::app) fn offered_versions(mut parameters: &[u8]) -> Vec<u32> {
    while let Some((kind, rest)) = varint(parameters) {
        let Some((value, rest)) = sized(rest) else { break };
        if kind == VERSION_INFORMATION {
            // The chosen version stands in front of the list.
            return versions(value.get(4..).unwrap_or_default());
        }
        parameters = rest;
    }
    Vec::new()
}

/// A list of versions, without those of GREASE.
pub(super) fn versions(octets: &[u8]) -> Vec<u32> {
    let (words, _) = octets.as_chunks::<4>();
    words.iter().map(|word| u32::from_be_bytes(*word)).filter(|word| !is_grease(*word)).take(MOST).collect()
}

/// Reserved so that servers meet versions that they do not know (RFC 9000 section 15).
pub(super) fn is_grease(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9000 appendix A.1.
    #[test]
    fn integers_of_each_length() {
        let examples: [(&[u8], u64); 5] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in examples {
            assert_eq!(varint(bytes), Some((value, &[][..])));
            assert_eq!(varint(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn versions_stand_behind_the_chosen_one() {
        let mut parameters = vec![0x01, 0x02, 0x67, 0x10, 0x11, 0x10];
        parameters.extend([0, 0, 0, 1]);
        parameters.extend([0x6b, 0x33, 0x43, 0xcf, 0x1a, 0x2a, 0x3a, 0x4a, 0, 0, 0, 1]);
        assert_eq!(offered_versions(&parameters), [0x6b33_43cf, 1]);
        assert!(offered_versions(&parameters[..7]).is_empty());
        assert!(offered_versions(&[0x11, 0x40]).is_empty());
    }
}
