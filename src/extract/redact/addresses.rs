//! Ranges of addresses that mean something by themselves, and which bits an address keeps for that.

/// A range, as the leading bits of an address of 128 bits (IPv4 in the first 32).
struct Range {
    v4: bool,
    prefix: u128,
    length: u32,
    /// Leading bits that stay in it: all of them where addresses name no host.
    keeps: u32,
}

const ALL: u32 = 128;

const fn v4(a: u8, b: u8, length: u32, keeps: u32) -> Range {
    Range { v4: true, prefix: (a as u128) << 120 | (b as u128) << 112, length, keeps }
}

const fn v6(prefix: u128, length: u32, keeps: u32) -> Range {
    Range { v4: false, prefix, length, keeps }
}

/// The special-purpose registries of IANA (RFC 6890), as far as an analysis treats such addresses apart.
const RANGES: [Range; 15] = [
    v4(0, 0, 8, ALL),
    v4(10, 0, 8, 8),
    v4(100, 64, 10, 10),
    v4(127, 0, 8, ALL),
    v4(169, 254, 16, 16),
    v4(172, 16, 12, 12),
    v4(192, 168, 16, 16),
    v4(224, 0, 4, ALL),
    v4(240, 0, 4, ALL),
    // ::, ::1.
    v6(0, 127, ALL),
    v6(0xfe80 << 112, 64, 64),
    v6(0xfc00 << 112, 7, 7),
    // Groups, with their flags and scope; well-known ones of the link (RFC 4291 section 2.7.1) name no host.
    v6(0xff00 << 112, 8, 16),
    v6(0xff02 << 112, 104, ALL),
    // The solicited nodes have 24 bits of a host.
    v6((0xff02 << 112) | (1 << 32) | (0xff << 24), 104, 104),
];

/// Bits of an address (IPv4 in the first 32) that stay: where it could leave or enter a range, and all of an
/// address that names no host. The others may change, and depend on the bits before them only: so addresses
/// still share as many leading bits as before, and none gets into a range or out of one.
pub(super) fn kept(address: u128, is_v4: bool) -> u128 {
    let mut kept = 0;
    for range in RANGES.iter().filter(|range| range.v4 == is_v4) {
        // The first bit in which the two differ is where they part: up to it the address stays.
        let shared = (address ^ range.prefix).leading_zeros();
        if shared >= range.length {
            kept |= leading(range.keeps);
        } else {
            kept |= leading(shared + 1);
        }
    }
    kept
}

fn leading(bits: u32) -> u128 {
    u128::MAX.checked_shr(bits).map_or(u128::MAX, |rest| !rest)
}
