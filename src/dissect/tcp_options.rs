//! TCP options: kind, and for all kinds but 0 (end) and 1 (padding) length and value (RFC 9293 section 3.2).

use super::cursor::{be16, be32};
use crate::dissect::{Seq, TcpOptions};

/// Reads options into `found`. False when they end in the middle of one or one has an impossible length;
/// what stood before is kept.
pub(super) fn read(mut options: &[u8], found: &mut TcpOptions) -> bool {
    // Nearly every data segment of the Internet: two paddings and the time stamps.
    if let [1, 1, 8, 10, ..] = options
        && options.len() == 12
    {
        found.timestamps = Some((be32(options, 4), be32(options, 8)));
        return true;
    }
    loop {
        let (kind, length) = match *options {
            [] | [0, ..] => return true,
            [1, ref rest @ ..] => {
                options = rest;
                continue;
            }
            [kind, length, ..] => (kind, usize::from(length)),
            [_] => return false,
        };
        let (Some(value), Some(rest)) = (options.get(2..length), options.get(length..)) else {
            return false;
        };
        if !option(kind, value, found) {
            return false;
        }
        options = rest;
    }
}

/// Notes one option; false when its length is not one its kind can have. Unknown kinds are fine.
fn option(kind: u8, value: &[u8], found: &mut TcpOptions) -> bool {
    match (kind, value.len()) {
        (2, 2) => found.mss = Some(be16(value, 0)),
        (3, 1) => found.window_scale = Some(value[0]),
        (4, 0) => found.sack_permitted = true,
        (5, length) if length > 0 && length % 8 == 0 => {
            for block in value.as_chunks::<8>().0.iter().take(4) {
                let edges = (Seq(be32(block, 0)), Seq(be32(block, 4)));
                if let Some(free) = found.sack.get_mut(usize::from(found.sack_count)) {
                    *free = edges;
                    found.sack_count += 1;
                }
            }
        }
        (8, 8) => found.timestamps = Some((be32(value, 0), be32(value, 4))),
        (19, 16) | (29, 2..) => found.authenticated = true,
        (34, _) => found.fast_open = true,
        // The experimental kind with Fast Open's magic number (RFC 6994, RFC 7413 appendix).
        (254, 2..) if be16(value, 0) == 0xf989 => found.fast_open = true,
        (2..=5 | 8, _) => return false,
        _ => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[u8]) -> (TcpOptions, bool) {
        let mut found = TcpOptions::default();
        let whole = read(options, &mut found);
        (found, whole)
    }

    #[test]
    fn a_syn_has_everything() {
        let (found, whole) =
            parse(&[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7, 34, 2, 0, 0]);
        assert!(whole && found.sack_permitted && found.fast_open);
        assert_eq!((found.mss, found.window_scale), (Some(1460), Some(7)));
        assert_eq!(found.timestamps, Some((1, 2)));
    }

    #[test]
    fn four_sack_blocks_are_kept_in_order() {
        let mut options = vec![5, 34];
        for edge in 1..=8u32 {
            options.extend(edge.to_be_bytes());
        }
        let (found, whole) = parse(&options);
        assert!(whole);
        assert_eq!(found.sack_blocks().len(), 4);
        assert_eq!(found.sack_blocks()[3], (Seq(7), Seq(8)));
    }

    #[test]
    fn impossible_lengths_end_the_reading_and_keep_what_stood_before() {
        for bad in [&[2, 4, 5, 0xb4, 8, 0][..], &[2, 4, 5, 0xb4, 3, 9], &[2, 4, 5, 0xb4, 5, 7, 0, 0, 0, 0, 0]]
        {
            let (found, whole) = parse(bad);
            assert!(!whole);
            assert_eq!(found.mss, Some(1460));
        }
    }

    #[test]
    fn a_digest_of_its_length_authenticates() {
        let option =
            |kind: u8, length: u8| [&[kind, length][..], &[0x5a; 38][..usize::from(length) - 2]].concat();
        for (kind, length, expected) in [(19, 18, true), (29, 16, true), (29, 3, false), (19, 10, false)] {
            let (found, whole) = parse(&option(kind, length));
            assert!(whole);
            assert_eq!(found.authenticated, expected, "kind {kind}, {length} octets");
        }
    }

    #[test]
    fn octets_after_the_end_of_the_list_are_padding() {
        assert!(parse(&[0, 77, 1, 2]).1);
    }
}
