//! The option list at the end of a pcapng block: code, length, value padded to four bytes, until code 0.

/// Walks an option list. Ends at the end-of-options code, at the end of the bytes, and at an option whose
/// length leaves them.
pub(super) struct Options<'b> {
    bytes: &'b [u8],
    big_endian: bool,
}

impl<'b> Options<'b> {
    /// `bytes` are those between the fixed part of the block and its trailing length.
    pub(super) fn new(bytes: &'b [u8], big_endian: bool) -> Self {
        Self { bytes, big_endian }
    }
}

impl<'b> Iterator for Options<'b> {
    type Item = (u16, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([a, b, c, d], rest) = self.bytes.split_first_chunk::<4>()?;
        let word =
            |bytes| if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let (code, length) = (word([*a, *b]), usize::from(word([*c, *d])));
        if code == 0 {
            return None;
        }
        let value = rest.get(..length)?;
        self.bytes = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value))
    }
}

/// An eight-byte option value as an integer of the section's byte order.
pub(super) fn integer(value: &[u8], big_endian: bool) -> Option<u64> {
    let bytes: [u8; 8] = value.try_into().ok()?;
    Some(if big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_end_where_they_say_and_where_they_lie() {
        let list = [1, 0, 3, 0, b'a', b'b', b'c', 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9];
        let found: Vec<_> = Options::new(&list, false).collect();
        assert_eq!(found, [(1, &b"abc"[..]), (2, &b""[..])]);
        assert_eq!(Options::new(&[1, 0, 0xff, 0xff, 1, 2, 3], false).count(), 0);
        assert_eq!(Options::new(&[0, 1, 0, 1, 7], true).collect::<Vec<_>>(), [(1, &[7][..])]);
        assert_eq!(integer(&[0, 0, 0, 0, 0, 0, 1, 0], true), Some(256));
        assert_eq!(integer(&[1], true), None);
    }
}
