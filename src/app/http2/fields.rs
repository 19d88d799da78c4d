//! Field sections (RFC 9113 section 8.3), decoded by `hpack` (RFC 7541) after a look at their bounds.

use hpack_patched::Decoder;

use crate::app::http::Exchange;

/// Largest dynamic table; 4096 octets are the default, and what is in use goes up to this.
const MAX_TABLE: u32 = 1 << 16;

/// Fields of a section that is decoded: a few octets can stand for a field of a whole table.
const MAX_FIELDS: usize = 256;

/// What a field section says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) authority: String,
    pub(super) status: Option<u16>,
    pub(super) grpc_status: Option<u16>,
    pub(super) content_length: Option<u64>,
    pub(super) content_type: String,
    pub(super) server: String,
    pub(super) via: String,
    pub(super) forwarded_for: String,
}

/// Decodes the field sections of one direction, each of which needs all before it.
pub(super) struct Sections {
    decoder: Option<Decoder<'static>>,
    /// Octets decoded, which bounds what the table holds.
    decoded: usize,
}

impl std::fmt::Debug for Sections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sections").field("decoded", &self.decoded).finish_non_exhaustive()
    }
}

impl Default for Sections {
    fn default() -> Self {
        Self { decoder: Some(Decoder::new()), decoded: 0 }
    }
}

impl Sections {
    /// Bytes of memory that the table takes, about: at most twice what it is said to hold.
    pub(super) fn held(&self) -> usize {
        self.decoder.as_ref().map_or(0, |_| 2 * self.decoded.min(MAX_TABLE as usize))
    }

    /// A section was missed: what follows cannot be decoded.
    pub(super) fn miss(&mut self) {
        self.decoder = None;
    }

    /// Decodes the next section; `None` when it cannot be.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Option<Section> {
        let decoder = self.decoder.as_mut()?;
        self.decoded = self.decoded.saturating_add(bytes.len());
        let mut section = Section::default();
        if !is_bounded(bytes) {
            self.miss();
            return None;
        }
        if decoder.decode_with_cb(bytes, |name, value| section.field(&name, &value)).is_err() {
            self.miss();
            return None;
        }
        Some(section)
    }
}

impl Section {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        let slot = match name {
            b":method" => &mut self.method,
            b":path" => &mut self.path,
            b":authority" | b"host" => &mut self.authority,
            b"content-type" => &mut self.content_type,
            b"server" => &mut self.server,
            b"via" => &mut self.via,
            b"x-forwarded-for" => &mut self.forwarded_for,
            b":status" => return self.status = number(value),
            b"grpc-status" => return self.grpc_status = number(value),
            b"content-length" => return self.content_length = number(value),
            _ => return,
        };
        // The first of equal names counts, as in HTTP/1.
        if slot.is_empty() {
            let value = value.trim_ascii();
            *slot = value.get(..Exchange::TEXT).unwrap_or(value).escape_ascii().to_string();
        }
    }
}

/// An integer whose prefix has so many bits, and what follows it (RFC 7541 section 5.1).
fn integer(bytes: &[u8], prefix: u32) -> Option<(u32, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let most = (1u32 << prefix) - 1;
    let mut value = u32::from(*first) & most;
    if value < most {
        return Some((value, rest));
    }
    for shift in [0, 7, 14] {
        let (octet, after) = rest.split_first()?;
        value += u32::from(octet & 0x7f) << shift;
        rest = after;
        if octet & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

fn behind_string(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = integer(bytes, 7)?;
    rest.get(usize::try_from(length).ok()?..)
}

/// Behind a field or a new size of the table (RFC 7541 section 6); `None` when it is cut, or too large.
fn behind_field(bytes: &[u8]) -> Option<&[u8]> {
    let prefix = match *bytes.first()? {
        0x80.. => return Some(integer(bytes, 7)?.1),
        0x20..=0x3f => return integer(bytes, 5).filter(|(size, _)| *size <= MAX_TABLE).map(|(_, rest)| rest),
        0x40..=0x7f => 6,
        _ => 4,
    };
    let (name, rest) = integer(bytes, prefix)?;
    behind_string(if name == 0 { behind_string(rest)? } else { rest })
}

/// The section is whole, and neither its fields nor the table that it asks for are too many.
fn is_bounded(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    for _ in 0..MAX_FIELDS {
        if rest.is_empty() {
            return true;
        }
        let Some(after) = behind_field(rest) else { return false };
        rest = after;
    }
    rest.is_empty()
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Status codes of gRPC, from 0 (`google.golang.org/grpc/codes`).
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Name of a gRPC status, or its number.
pub fn grpc_status_name(status: u16) -> String {
    GRPC.get(usize::from(status)).map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541 appendix C.4: requests with Huffman coding, the later ones by the table of the first.
    #[test]
    fn the_requests_of_the_rfc_are_read() {
        let mut sections = Sections::default();
        for (bytes, authority) in [
            (&b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..], "www.example.com"),
            (b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf", "www.example.com"),
        ] {
            let section = sections.decode(bytes).expect("a section");
            assert_eq!((section.method.as_str(), section.path.as_str()), ("GET", "/"));
            assert_eq!(section.authority, authority);
        }
        sections.miss();
        assert_eq!(sections.decode(b"\x82"), None);
    }

    #[test]
    fn tables_beyond_the_limit_and_broken_sections_end_the_reading() {
        // A table of 2^20 octets; an index that is not there; a string that is cut.
        for bytes in
            [&b"\x3f\xe1\xff\x3f\x82"[..], b"\xff\xff\x03", b"\x40\x0aabc", b"\xff\xff\xff\xff\xff\xff"]
        {
            let mut sections = Sections::default();
            assert_eq!(sections.decode(bytes), None, "{}", bytes.escape_ascii());
            assert_eq!((sections.decode(b"\x82"), sections.held()), (None, 0));
        }
    }
}
