//! An HTTP/2 stream without paths, names and bodies: frame headers, settings, codes, and field sections in
//! other words (RFC 9113).

use std::ops::Range;

use super::hpack::Sections;
use super::secrets::Secrets;
use super::zero;

/// What a client begins with (section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types and flags (section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const WITH_PRIORITY: u8 = 0x20;

/// A field section that is not whole: where its parts stand.
#[derive(Default)]
struct Section {
    parts: Vec<Range<usize>>,
    torn: bool,
}

/// Rewrites `bytes` from `from` on, in place. `known` says whether a run of them was captured: the others are
/// zero.
pub(super) fn redact(secrets: &Secrets, bytes: &mut [u8], from: usize, known: impl Fn(usize, usize) -> bool) {
    let mut sections = Sections::default();
    let mut section = Section::default();
    let mut at = from;
    if bytes.get(at..).is_some_and(|rest| rest.starts_with(PREFACE)) {
        at += PREFACE.len();
    }
    while let Some(&[high, middle, low, kind, flags, ref stream @ ..]) =
        bytes.get(at..).and_then(|rest| rest.first_chunk::<9>())
    {
        let start = at + 9;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let connection = u32::from_be_bytes(*stream) & 0x7fff_ffff == 0;
        // On a stream or on the connection, as its type wants it: anything else is no frame.
        let sound = match kind {
            DATA | HEADERS | RST_STREAM | PUSH_PROMISE | CONTINUATION => !connection,
            SETTINGS => connection && length.is_multiple_of(6),
            GOAWAY => connection && length >= 8,
            _ => true,
        };
        if !known(at, start) || !sound {
            break;
        }
        let end = (start + length).min(bytes.len());
        let torn = end < start + length || !known(start, end);
        let padded = usize::from(flags & PADDED != 0);
        at = end;
        match kind {
            RST_STREAM | SETTINGS | WINDOW_UPDATE | PRIORITY => {}
            DATA => zero(bytes, start + padded, end),
            GOAWAY => zero(bytes, start + 8, end),
            HEADERS | PUSH_PROMISE | CONTINUATION => {
                let (padded, fixed) = match kind {
                    CONTINUATION => (0, 0),
                    PUSH_PROMISE => (padded, 4),
                    _ => (padded, if flags & WITH_PRIORITY != 0 { 5 } else { 0 }),
                };
                let padding = bytes.get(start).filter(|_| padded > 0).map_or(0, |count| usize::from(*count));
                let part = start + padded + fixed..end.saturating_sub(padding);
                if kind != CONTINUATION {
                    section = Section::default();
                }
                section.torn |= torn || part.start > part.end;
                zero(bytes, part.end.max(start + padded), end);
                section.parts.push(part);
                if flags & END_HEADERS != 0 {
                    std::mem::take(&mut section).redact(secrets, bytes, &mut sections);
                }
            }
            _ => zero(bytes, start, end),
        }
    }
    section.torn = true;
    section.redact(secrets, bytes, &mut sections);
    zero(bytes, at, bytes.len());
}

impl Section {
    fn redact(self, secrets: &Secrets, bytes: &mut [u8], sections: &mut Sections) {
        if self.torn {
            sections.miss();
        }
        let mut block: Vec<u8> = Vec::new();
        for part in &self.parts {
            block.extend_from_slice(bytes.get(part.clone()).unwrap_or_default());
        }
        sections.redact(secrets, &mut block);
        let mut rest = block.as_slice();
        for part in self.parts {
            let Some(place) = bytes.get_mut(part) else { continue };
            let Some((here, behind)) = rest.split_at_checked(place.len()) else { return };
            place.copy_from_slice(here);
            rest = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
        [&[0, 0, body.len() as u8, kind, flags, 0, 0, 0, stream], body].concat()
    }

    #[test]
    fn frames_stay_and_what_they_carry_does_not() {
        let secrets = Secrets::new(b"a key of a test", false);
        let parts = [
            PREFACE.to_vec(),
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
            // Priority, padding, a path that goes on in the next frame.
            frame(HEADERS, PADDED | WITH_PRIORITY, 1, b"\x02\0\0\0\0\x10\x83\x86\x44\x09/sec__"),
            frame(CONTINUATION, END_HEADERS, 1, b"ret/x\x41\x08shop.lab"),
            frame(DATA, PADDED, 1, b"\x03a secret___"),
            frame(6, 0, 0, b"\x01\x02\x03\x04\x05\x06\x07\x08"),
            frame(GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\x0bdebug data"),
        ];
        let old = parts.concat();
        let mut new = old.clone();
        redact(&secrets, &mut new, 0, |_, _| true);
        assert_eq!(new.len(), old.len());
        for word in [&b"secret"[..], b"ret/x", b"shop", b"debug", b"__"] {
            assert!(!new.windows(word.len()).any(|window| window == word), "{}", word.escape_ascii());
        }
        // The headers of the frames.
        let mut at = 0;
        for part in &parts {
            let count = if at == 0 { 24 } else { 9 };
            assert_eq!(new[at..at + count], part[..count]);
            at += part.len();
        }
        let headers = PREFACE.len() + 15 + 9;
        assert_eq!(new[headers..headers + 8], old[headers..headers + 8]);
        assert!(new.ends_with(b"\0\0\0\x01\0\0\0\x0b\0\0\0\0\0\0\0\0\0\0"));
    }

    #[test]
    fn behind_a_section_that_is_torn_no_section_is_read() {
        let secrets = Secrets::new(b"a key of a test", false);
        let torn = frame(HEADERS, END_HEADERS, 1, b"\x41\x08shop.lab");
        let bytes = [PREFACE.to_vec(), torn, frame(HEADERS, END_HEADERS, 3, b"\x41\x08mail.lab")].concat();
        let mut new = bytes.clone();
        let hole = PREFACE.len() + 9 + 4;
        redact(&secrets, &mut new, 0, |from, to| !(from..to).contains(&hole));
        assert!(new.ends_with(&[0x80; 10]));
        assert!(!new.windows(4).any(|window| window == b"shop"));
    }
}
