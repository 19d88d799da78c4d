//! Frames (RFC 9113 section 4.1): nine octets of header, then so many of payload as it says.

use crate::app::tls::Recognition;
use crate::dissect::{Direction, PacketRef};

/// What a client begins with (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags.
pub(super) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITY: u8 = 0x20;

/// Largest field section that is read, as of HTTP/1.
pub(super) const MAX_SECTION: usize = 1 << 16;

/// Settings in a server's first frame; six are defined.
const MOST_SETTINGS: usize = 32;

/// Codes of RST_STREAM and GOAWAY (RFC 9113 section 7).
const ERRORS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// Name of an error code, or its number.
pub fn error_name(code: u32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| ERRORS.get(code));
    known.map_or_else(|| format!("0x{code:x}"), |name| (*name).to_owned())
}

/// Whether the first bytes of a direction are HTTP/2: the preface of a client, or the SETTINGS frame that a
/// server begins with.
pub fn looks_like_http2(direction: Direction, bytes: &[u8]) -> Recognition {
    if bytes.starts_with(PREFACE) {
        return Recognition::Yes;
    }
    if PREFACE.starts_with(bytes) {
        return Recognition::NeedMore;
    }
    let settings = |place: usize, octet: u8| match place {
        1 | 2 => true,
        3 => octet == SETTINGS,
        _ => octet == 0,
    };
    let begins = bytes.iter().take(Header::LENGTH).enumerate().all(|(place, octet)| settings(place, *octet));
    match Header::read(bytes) {
        _ if direction == Direction::ToServer || !begins => Recognition::No,
        None => Recognition::NeedMore,
        Some(header) if header.length % 6 == 0 && header.length <= 6 * MOST_SETTINGS => Recognition::Yes,
        Some(_) => Recognition::No,
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Header {
    pub(crate) const LENGTH: usize = 9;

    /// Of the first octets; `None` when they are too few.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [high, middle, low, kind, flags, stream @ ..] = *bytes.first_chunk::<{ Self::LENGTH }>()?;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        Some(Self { length: usize::try_from(length).ok()?, kind, flags, stream })
    }

    /// Its length, and on what it may be, are as the protocol has them.
    pub(crate) fn is_sound(self) -> bool {
        match self.kind {
            DATA | HEADERS | CONTINUATION | PUSH_PROMISE => self.stream != 0,
            RST_STREAM => self.stream != 0 && self.length == 4,
            SETTINGS => self.stream == 0 && self.length.is_multiple_of(6),
            PING => self.stream == 0 && self.length == 8,
            GOAWAY => self.stream == 0 && self.length >= 8,
            WINDOW_UPDATE => self.length == 4,
            // Unknown types are to be ignored (section 5.5).
            _ => true,
        }
    }

    /// Octets of its payload that are read.
    fn wanted(self) -> usize {
        match self.kind {
            HEADERS | CONTINUATION | PUSH_PROMISE => MAX_SECTION,
            RST_STREAM => 4,
            GOAWAY => 8,
            // The length of its padding.
            DATA => usize::from(self.flags & PADDED != 0),
            _ => 0,
        }
    }

    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A frame that has passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) header: Header,
    /// What is wanted of its payload.
    pub(super) body: Vec<u8>,
    /// Part of the payload was not captured, or is too long to be read.
    pub(super) torn: bool,
    /// The packet that began it.
    pub(super) began: PacketRef,
}

/// Cuts one direction's bytes into frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: ([u8; Header::LENGTH], usize),
    began: PacketRef,
    current: Option<Header>,
    /// Octets of the payload that have passed.
    passed: usize,
    body: Vec<u8>,
    torn: bool,
    /// Octets of the preface that are still to come.
    preface: usize,
    /// Nobody knows where the next frame starts.
    pub(super) lost: bool,
}

impl Frames {
    /// Of a client, which begins with the preface.
    pub(super) fn of_client() -> Self {
        Self { preface: PREFACE.len(), ..Self::default() }
    }

    /// Bytes of memory that an unfinished frame takes.
    pub(super) fn held(&self) -> usize {
        self.body.capacity()
    }

    /// Takes bytes from the front of `bytes` and gives the frame that they complete.
    pub(super) fn next(&mut self, bytes: &mut &[u8], at: PacketRef) -> Option<Frame> {
        if self.preface > 0 && !self.lost {
            let (now, rest) = bytes.split_at(bytes.len().min(self.preface));
            let expected = PREFACE.get(PREFACE.len() - self.preface..).unwrap_or_default();
            self.lost = !expected.starts_with(now);
            self.preface -= now.len();
            *bytes = rest;
        }
        if self.lost {
            *bytes = &[];
            return None;
        }
        let header = match self.current {
            Some(header) => header,
            None => {
                let (head, known) = &mut self.head;
                if *known == 0 && !bytes.is_empty() {
                    self.began = at;
                }
                for (place, octet) in head.iter_mut().skip(*known).zip(*bytes) {
                    *place = *octet;
                }
                let taken = bytes.len().min(Header::LENGTH - *known);
                *known += taken;
                *bytes = bytes.get(taken..).unwrap_or_default();
                if *known < Header::LENGTH {
                    return None;
                }
                *known = 0;
                let header = Header::read(head)?;
                self.lost = !header.is_sound();
                if self.lost {
                    *bytes = &[];
                    return None;
                }
                (self.passed, self.torn) = (0, header.length > MAX_SECTION && header.wanted() == MAX_SECTION);
                *self.current.insert(header)
            }
        };
        let (now, rest) = bytes.split_at(bytes.len().min(header.length - self.passed));
        let room = header.wanted().saturating_sub(self.passed);
        if !self.torn {
            self.body.extend_from_slice(now.get(..room).unwrap_or(now));
        }
        *bytes = rest;
        self.passed += now.len();
        self.complete()
    }

    /// `length` octets were not captured; the frame that ended in them.
    pub(super) fn gap(&mut self, length: u64) -> Option<Frame> {
        let left = self.current.map_or(0, |header| header.length - self.passed);
        match usize::try_from(length) {
            Ok(length) if length <= left && left > 0 => {
                self.passed += length;
                (self.torn, self.body) = (true, Vec::new());
                self.complete()
            }
            _ => {
                (self.lost, self.body) = (true, Vec::new());
                None
            }
        }
    }

    fn complete(&mut self) -> Option<Frame> {
        let header = self.current.filter(|header| header.length == self.passed)?;
        self.current = None;
        Some(Frame { header, body: std::mem::take(&mut self.body), torn: self.torn, began: self.began })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_and_a_servers_settings_begin_it() {
        let settings = |length: u8| [0, 0, length, SETTINGS, 0, 0, 0, 0, 0];
        for (direction, bytes, expected) in [
            (Direction::ToServer, &PREFACE[..], Recognition::Yes),
            (Direction::ToServer, b"PRI * HTT", Recognition::NeedMore),
            (Direction::ToServer, b"PRINT", Recognition::No),
            (Direction::ToClient, &settings(18), Recognition::Yes),
            (Direction::ToClient, &settings(18)[..5], Recognition::NeedMore),
            (Direction::ToClient, &settings(17), Recognition::No),
            (Direction::ToServer, &settings(18), Recognition::No),
        ] {
            assert_eq!(looks_like_http2(direction, bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend([0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]);
        bytes.extend([0, 0, 3, HEADERS, END_HEADERS, 0, 0, 0, 1, 0x82, 0x84, 0x86]);
        bytes.extend([0, 0, 4, DATA, END_STREAM, 0x80, 0, 0, 1, 1, 2, 3, 4]);
        for piece in 1..=bytes.len() {
            let mut frames = Frames::of_client();
            let mut seen = Vec::new();
            for part in bytes.chunks(piece) {
                let mut rest = part;
                while !rest.is_empty() {
                    let frame = frames.next(&mut rest, PacketRef::default());
                    seen.extend(frame.map(|frame| (frame.header.kind, frame.header.stream, frame.body)));
                }
            }
            let headers = (HEADERS, 1, vec![0x82, 0x84, 0x86]);
            assert_eq!(seen, [(SETTINGS, 0, vec![]), headers, (DATA, 1, vec![])], "in pieces of {piece}");
        }
    }

    #[test]
    fn a_gap_inside_a_payload_is_bridged_and_one_beyond_it_is_not() {
        let mut frames = Frames::default();
        let mut bytes: &[u8] = &[0, 0, 100, DATA, 0, 0, 0, 0, 1, 7];
        assert_eq!(frames.next(&mut bytes, PacketRef::default()), None);
        assert_eq!(frames.gap(98), None);
        let mut last: &[u8] = &[9];
        let frame = frames.next(&mut last, PacketRef::default()).expect("whole");
        assert!(frame.torn && !frames.lost);
        frames.gap(1);
        assert!(frames.lost);
    }
}
