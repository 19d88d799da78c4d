//! Domain names on the wire: labels and compression pointers (RFC 1035 section 4.1.4).
//!
//! Written here because dns-parser refuses names with octets outside ASCII, which must be shown.

/// Octets of a name at most, with its length octets (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

/// Reads the name at `at` in `message`: its text (RFC 4343: `\DDD` for what does not print) and the offset
/// behind it. `None` when the name leaves the message or a pointer does not point backwards.
pub(super) fn read(message: &[u8], at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let (mut at, mut end, mut limit, mut length) = (at, None, at, 0);
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
                if target >= limit {
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
