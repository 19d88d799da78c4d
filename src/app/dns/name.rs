//! Domain names on the wire: labels and compression pointers (RFC 1035 section 4.1.4).
//!
//! Written here because dns-parser refuses names with octets outside ASCII, which must be shown.

/// Octets of a name at most, with its length octets (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

/// Pointers of a name at most: one behind each label of the longest name. Chains of pointers to pointers say
/// nothing more, and would let every name of a message cost as much as the message is long.
const MAX_POINTERS: usize = MAX_NAME / 2 + 1;

/// Reads the name at `at` in `message`: its text (RFC 4343: `\DDD` for what does not print) and the offset
/// behind it. `None` when the name leaves the message, a pointer does not point backwards, or there are too
/// many of them.
pub(super) fn read(message: &[u8], at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let (mut at, mut end, mut limit, mut length, mut pointers) = (at, None, at, 0, 0);
    loop {
        let count = *message.get(at)?;
        match count {
            0 => {
                if text.is_empty() {
                    text.push('.');
                }
                return Some((text, end.unwrap_or(at + 1)));
            }
            0xc0.. => {
                let target = usize::from(count & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                end.get_or_insert(at + 2);
                // Every pointer goes further back than the one before: no loop.
                pointers += 1;
                if target >= limit || pointers > MAX_POINTERS {
                    return None;
                }
                (at, limit) = (target, target);
            }
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(count))?;
                length += label.len() + 1;
                if length > MAX_NAME {
                    return None;
                }
                if !text.is_empty() {
                    text.push('.');
                }
                push_label(&mut text, label);
                at += 1 + label.len();
            }
            _ => return None,
        }
    }
}

fn push_label(text: &mut String, label: &[u8]) {
    for &octet in label {
        match octet {
            b'.' | b'\\' => {
                text.push('\\');
                text.push(char::from(octet));
            }
            0x21..=0x7e => text.push(char::from(octet)),
            _ => text.push_str(&format!("\\{octet:03}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_pointers_read_as_one_name() {
        let message = b"\x03www\x07example\x03com\x00\x03ftp\xc0\x04";
        assert_eq!(read(message, 0), Some(("www.example.com".into(), 17)));
        assert_eq!(read(message, 17), Some(("ftp.example.com".into(), 23)));
    }

    #[test]
    fn as_many_pointers_as_labels_are_followed_and_no_chain_of_them() {
        // A label and a pointer to what stands before, again and again.
        let (mut message, mut last) = (b"\x00".to_vec(), 0_u16);
        for _ in 0..127 {
            let here = message.len() as u16;
            message.extend([1, b'a']);
            message.extend((0xc000 | last).to_be_bytes());
            last = here;
        }
        let (name, end) = read(&message, usize::from(last)).expect("a name of 127 labels");
        assert_eq!((name.matches('a').count(), end), (127, message.len()));
        // Pointers to pointers.
        let mut message = b"\x01a\x00\x00".to_vec();
        for place in 0..MAX_POINTERS as u16 + 1 {
            message.extend((0xc000 | (2 + 2 * place)).to_be_bytes());
        }
        message[4..6].copy_from_slice(&[0xc0, 0]);
        let at = |pointers: usize| read(&message, 2 + 2 * pointers);
        assert_eq!(at(MAX_POINTERS).map(|(name, _)| name).as_deref(), Some("a"));
        assert_eq!(at(MAX_POINTERS + 1), None);
    }

    #[test]
    fn octets_that_do_not_print_are_escaped() {
        assert_eq!(read(b"\x04a.\x1b\xff\x00", 0), Some(("a\\.\\027\\255".into(), 6)));
        assert_eq!(read(b"\x00", 0), Some((".".into(), 1)));
    }

    #[test]
    fn loops_and_cuts_end() {
        assert_eq!(read(b"\xc0\x00", 0), None);
        assert_eq!(read(b"\x01a\xc0\x00", 0), None);
        assert_eq!(read(b"\x05abc", 0), None);
        assert_eq!(read(b"\x41a\x00", 0), None);
    }
}
