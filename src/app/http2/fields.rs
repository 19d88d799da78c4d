//! Field sections (RFC 9113 section 8.3), decoded by `hpack` (RFC 7541) field by field.
//!
//! What a section costs follows from its octets: an octet or two can stand for a field of a whole table,
//! which `hpack` copies when its name is used again. It builds the tables of Huffman's code for every string,
//! so it is given strings that are decoded.

use std::borrow::Cow;

use hpack_patched::Decoder;

use super::huffman;
use crate::app::http::Exchange;

/// Largest dynamic table; 4096 octets are the default, and what is in use goes up to this.
const MAX_TABLE: u32 = 1 << 16;

/// Octets of a section that is decoded, as `SETTINGS_MAX_HEADER_LIST_SIZE` counts them (RFC 9113 section
/// 6.5.2): names, values, and [`FIELD`] for every field. Servers allow 8 to 64 KiB.
const MAX_LIST: usize = 1 << 16;

/// Octets that a field counts for beside its name and value.
const FIELD: usize = 32;

/// Longest name of a field, octets; those in use are shorter than a hundred.
pub(crate) const LONGEST_NAME: usize = 1 << 10;

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

    /// Decodes the next section; `None` when it cannot be, or would take too much.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Option<Section> {
        self.decoded = self.decoded.saturating_add(bytes.len());
        let section = self.decoder.as_mut().and_then(|decoder| section(decoder, bytes));
        if section.is_none() {
            self.miss();
        }
        section
    }
}

fn section(decoder: &mut Decoder<'_>, mut rest: &[u8]) -> Option<Section> {
    let (mut section, mut size) = (Section::default(), 0);
    while !rest.is_empty() {
        let (field, behind) = field(rest)?;
        size += FIELD;
        let decoded = decoder.decode_with_cb(&field, |name, value| {
            size += name.len() + value.len();
            section.field(&name, &value);
        });
        (decoded.is_ok() && size <= MAX_LIST).then_some(())?;
        rest = behind;
    }
    Some(section)
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
            // A value of a whole table may be nothing but spaces.
            let value = value.get(..2 * Exchange::TEXT).unwrap_or(value).trim_ascii();
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

/// A string (RFC 7541 section 5.2) without Huffman's code, and what follows it.
fn string(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let is_coded = bytes.first()? & 0x80 != 0;
    let (length, rest) = integer(bytes, 7)?;
    let (octets, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((if is_coded { huffman::decode(octets)?.into() } else { octets.into() }, behind))
}

/// Adds a string that is not coded. Longer ones than [`MAX_LIST`] are in no section.
fn write_string(field: &mut Vec<u8>, octets: &[u8]) {
    match octets.len().checked_sub(127) {
        None => field.push(octets.len() as u8),
        Some(more) => {
            field.extend([127, more as u8 | 0x80, (more >> 7) as u8 | 0x80, (more >> 14) as u8 & 0x7f])
        }
    }
    field.extend(octets);
}

/// The first field, or new size of the table (RFC 7541 section 6), its strings not coded, and what follows
/// it; `None` when it is cut, or too large.
fn field(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let prefix = match *bytes.first()? {
        0x80.. => 7,
        0x40..=0x7f => 6,
        0x20..=0x3f => 5,
        _ => 4,
    };
    let (value, behind) = integer(bytes, prefix)?;
    let head = bytes.get(..bytes.len() - behind.len())?;
    match prefix {
        7 => return Some((head.into(), behind)),
        5 => return (value <= MAX_TABLE).then_some((head.into(), behind)),
        _ => {}
    }
    let (name, rest) = if value == 0 { string(behind)? } else { (Cow::default(), behind) };
    let (text, behind) = string(rest)?;
    (name.len() <= LONGEST_NAME && text.len() <= MAX_LIST).then_some(())?;
    let mut plain = head.to_vec();
    if value == 0 {
        write_string(&mut plain, &name);
    }
    write_string(&mut plain, &text);
    Some((plain.into(), behind))
}

/// A number of at most 20 digits, which is the longest there is.
fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    let digits = (value.len() <= 20).then_some(value)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
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

    /// A literal that goes into the table: its name and value are `name` and so many octets.
    fn literal(name: &[u8], value: usize) -> Vec<u8> {
        let mut field = vec![0x40];
        write_string(&mut field, name);
        write_string(&mut field, &vec![b'v'; value]);
        field
    }

    #[test]
    fn strings_of_every_length_are_read_coded_or_not() {
        for length in [0, 1, 126, 127, 128, 254, 255, 16_510, 16_511, 40_000] {
            let path = "a".repeat(length);
            let coded = huffman::encode(path.as_bytes());
            let mut string = Vec::new();
            write_string(&mut string, &coded);
            string[0] |= 0x80;
            let mut plain = Vec::new();
            write_string(&mut plain, path.as_bytes());
            for string in [plain, string] {
                let read = Sections::default().decode(&[&[0x04][..], &string].concat());
                let read = read.map(|section| section.path);
                assert_eq!(read.as_deref(), path.get(..length.min(Exchange::TEXT)), "{length}");
            }
        }
        assert_eq!(Sections::default().decode(b"\x04\x81\x18"), None, "padding of zeros");
    }

    /// A list of 64 KiB is read, one more field is not, whether it comes from the table or in full.
    #[test]
    fn sections_that_say_too_much_end_the_reading() {
        let mut begin = b"\x3f\xe1\xff\x03".to_vec();
        begin.extend(literal(b"a", 20_000));
        for (fields, read) in [(3, true), (4, false)] {
            let mut sections = Sections::default();
            assert!(sections.decode(&begin).is_some());
            assert_eq!(sections.decode(&b"\xbe".repeat(fields)).is_some(), read, "{fields} from the table");
            let literal = &literal(b"a", 20_000)[..];
            assert_eq!(Sections::default().decode(&literal.repeat(fields)).is_some(), read, "{fields}");
        }
        assert!(Sections::default().decode(&b"\x82".repeat(1_500)).is_some());
        assert_eq!(Sections::default().decode(&b"\x82".repeat(2_000)), None);
        for (name, read) in [(LONGEST_NAME, true), (LONGEST_NAME + 1, false)] {
            assert_eq!(Sections::default().decode(&literal(&vec![b'n'; name], 1)).is_some(), read);
        }
    }
}
