//! An HTTP/2 stream without paths, names and bodies: frame headers, settings, codes, and field sections in
//! other words (RFC 9113).

use std::ops::Range;

use super::hpack::Sections;
use super::secrets::Secrets;
use super::zero;
use crate::app::http2::frame::{
    CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, Header, PADDED, PREFACE, PRIORITY as WITH_PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};

/// Frame type and length of a priority that stands alone (section 6.3).
const PRIORITY: (u8, usize) = (2, 5);
/// Octets of a setting: two of its number, four of its value (section 6.5.1).
const SETTING: usize = 6;
/// Settings that are registered with IANA.
const KNOWN_SETTINGS: [u8; 8] = [1, 2, 3, 4, 5, 6, 8, 9];

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
    while let Some(header) = bytes.get(at..).and_then(Header::read) {
        let Header { length, kind, .. } = header;
        let start = at + Header::LENGTH;
        // Of another length, or where it may not be, it is no frame.
        if !known(at, start) || !header.is_sound() {
            break;
        }
        let end = (start + length).min(bytes.len());
        let torn = end < start + length || !known(start, end);
        let padded = usize::from(header.has(PADDED));
        at = end;
        match kind {
            RST_STREAM | WINDOW_UPDATE => {}
            _ if (kind, length) == PRIORITY => {}
            SETTINGS => settings(bytes.get_mut(start..end).unwrap_or_default()),
            DATA => zero(bytes, start + padded, end),
            GOAWAY => zero(bytes, start + 8, end),
            HEADERS | PUSH_PROMISE | CONTINUATION => {
                let (padded, fixed) = match kind {
                    CONTINUATION => (0, 0),
                    PUSH_PROMISE => (padded, 4),
                    _ => (padded, if header.has(WITH_PRIORITY) { 5 } else { 0 }),
                };
                let padding = bytes.get(start).filter(|_| padded > 0).map_or(0, |count| usize::from(*count));
                let part = start + padded + fixed..end.saturating_sub(padding);
                if kind != CONTINUATION && !section.parts.is_empty() {
                    // One that was begun and not ended: whoever reads it cannot go on either.
                    section.torn = true;
                    std::mem::take(&mut section).redact(secrets, bytes, &mut sections);
                }
                let sound = part.start <= part.end;
                section.torn |= torn || !sound;
                zero(bytes, if sound { part.end } else { start + padded }, end);
                section.parts.push(part);
                if header.has(END_HEADERS) {
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

/// Settings that everybody knows stay; the place of others is zero.
fn settings(settings: &mut [u8]) {
    for setting in settings.chunks_mut(SETTING) {
        if !matches!(setting, [0, number, _, _, _, _] if KNOWN_SETTINGS.contains(number)) {
            setting.fill(0);
        }
    }
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
    fn what_is_no_frame_hides_nothing_that_is_said_in_it() {
        let secrets = Secrets::new(b"a key of a test", false);
        let begin = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])].concat();
        for (kind, stream, body) in [
            (RST_STREAM, 1, &b"a secret"[..]),
            (WINDOW_UPDATE, 1, b"a secret"),
            (PRIORITY.0, 1, b"a secret"),
            (SETTINGS, 0, b"a secret of six words of six octets "),
            // Without an end, before another section begins.
            (HEADERS, 1, b"\x40\x01x\x08a secret"),
            (99, 1, b"a secret"),
        ] {
            let next = frame(HEADERS, END_HEADERS, 3, b"\x41\x08mail.lab");
            let old = [begin.clone(), frame(kind, 0, stream, body), next].concat();
            let mut new = old.clone();
            redact(&secrets, &mut new, 0, |_, _| true);
            assert_eq!(new[..begin.len()], begin, "what is sound stays");
            assert!(!new.windows(4).any(|window| window == b"secr"), "{kind}: {}", new.escape_ascii());
        }
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
