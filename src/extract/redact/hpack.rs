//! Field sections of HTTP/2 (RFC 7541) with other words in them, octet for octet as long as before.
//!
//! A string that is coded takes as many bits as before, and says as many octets: so the tables of both sides
//! hold the same fields at the same places, and what refers to one still does.

use std::collections::VecDeque;

use super::http::{is_named, is_plain, path};
use super::secrets::{LONGEST_WORD, Secrets, is_kept, octet_range};
use crate::app::http2::{LONGEST_NAME, huffman};

/// Largest dynamic table that is followed.
const MAX_TABLE: usize = 1 << 16;
/// Octets of a field beside its name and value (section 4.1).
const FIELD: usize = 32;
/// An index that is not there: whoever reads it misses the section.
const UNREADABLE: u8 = 0x80;

/// Names of the static table, from 1 (appendix A).
const STATIC: [&str; 61] = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// Fields of HTTP/2 and gRPC whose values are of the protocol.
const PROTOCOL: [&[u8]; 8] = [
    b":method",
    b":scheme",
    b":status",
    b":protocol",
    b"grpc-status",
    b"grpc-encoding",
    b"grpc-accept-encoding",
    b"grpc-timeout",
];

/// The field sections of one direction.
pub(super) struct Sections {
    /// Names of the dynamic table and sizes of its fields, the latest first.
    table: VecDeque<(Vec<u8>, usize)>,
    size: usize,
    most: usize,
    /// A section could not be read: nor can those that follow.
    missed: bool,
}

impl Default for Sections {
    fn default() -> Self {
        Self { table: VecDeque::new(), size: 0, most: 4096, missed: false }
    }
}

impl Sections {
    /// Rewrites the next section. One that cannot be read is made so that nobody can.
    pub(super) fn redact(&mut self, secrets: &Secrets, block: &mut [u8]) {
        self.missed = self.missed || self.fields(secrets, block).is_none();
        if self.missed {
            block.fill(UNREADABLE);
        }
    }

    /// A section was not captured whole.
    pub(super) fn miss(&mut self) {
        self.missed = true;
    }

    fn fields(&mut self, secrets: &Secrets, block: &mut [u8]) -> Option<()> {
        let mut at = 0;
        while let Some(first) = block.get(at).copied() {
            match first {
                0x80.. => {
                    let (index, next) = integer(block, at, 7)?;
                    self.name(index)?;
                    at = next;
                }
                0x20..=0x3f => {
                    let (most, next) = integer(block, at, 5)?;
                    (self.most, at) = ((most <= MAX_TABLE).then_some(most)?, next);
                    self.evict();
                }
                _ => {
                    let indexed = first & 0x40 != 0;
                    let (index, next) = integer(block, at, if indexed { 6 } else { 4 })?;
                    at = next;
                    let name = if index > 0 {
                        self.name(index)?.to_vec()
                    } else {
                        let (name, next) = string(block, at, |name| {
                            if !is_plain(name) && !is_named(name) && !PROTOCOL.contains(&&**name) {
                                coded(secrets, name);
                            }
                        })?;
                        at = next;
                        (name.len() <= LONGEST_NAME).then_some(name)?
                    };
                    let (value, next) = string(block, at, |value| self::value(secrets, &name, value))?;
                    at = next;
                    if indexed {
                        let size = name.len() + value.len() + FIELD;
                        self.table.push_front((name, size));
                        self.size += size;
                        self.evict();
                    }
                }
            }
        }
        Some(())
    }

    fn name(&self, index: usize) -> Option<&[u8]> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some(name) => Some(name.as_bytes()),
            None => self.table.get(index - STATIC.len()).map(|(name, _)| name.as_slice()),
        }
    }

    fn evict(&mut self) {
        while self.size > self.most
            && let Some((_, size)) = self.table.pop_back()
        {
            self.size -= size;
        }
    }
}

/// An integer and what follows it (section 5.1).
fn integer(block: &[u8], at: usize, prefix: u32) -> Option<(usize, usize)> {
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*block.get(at)?) & most;
    if value < most {
        return Some((value, at + 1));
    }
    for place in 0..3 {
        let octet = *block.get(at + 1 + place)?;
        value += usize::from(octet & 0x7f) << (7 * place);
        if octet & 0x80 == 0 {
            return Some((value, at + 2 + place));
        }
    }
    None
}

/// Rewrites a string (section 5.2): what it said, and what follows it.
fn string(block: &mut [u8], at: usize, change: impl FnOnce(&mut Vec<u8>)) -> Option<(Vec<u8>, usize)> {
    let is_coded = block.get(at)? & 0x80 != 0;
    let (length, start) = integer(block, at, 7)?;
    let place = block.get_mut(start..start.checked_add(length)?)?;
    let old = if is_coded { huffman::decode(place)? } else { place.to_vec() };
    let mut new = old.clone();
    change(&mut new);
    let written = if is_coded { huffman::encode(&new) } else { new };
    if written.len() != place.len() {
        return None;
    }
    place.copy_from_slice(&written);
    Some((old, start + length))
}

fn value(secrets: &Secrets, name: &[u8], value: &mut [u8]) {
    match name {
        b":path" => path(value, |text| coded(secrets, text)),
        b"content-type" if value.starts_with(b"application/grpc") => {
            // What is behind the plus sign may be anybody's format.
            coded(secrets, value.get_mut(16..).unwrap_or_default());
        }
        _ if is_plain(name) || PROTOCOL.contains(&name) => {}
        _ => coded(secrets, value),
    }
}

/// Rewrites the words of a text so that Huffman's code of each is as long as before.
pub(super) fn coded(secrets: &Secrets, text: &mut [u8]) {
    let word = |octet: &u8| octet.is_ascii_alphanumeric() || *octet >= 0x80;
    let words = text.chunk_by_mut(|a, b| word(a) == word(b));
    for run in words.filter(|run| run.first().is_some_and(word) && !is_kept(run)) {
        let shape = octet_range(run);
        // One that is an octet of an address stays one. It ends: repeated often enough, the word is back.
        loop {
            run.chunks_mut(LONGEST_WORD).for_each(|word| shuffled(secrets, word));
            if octet_range(run) == shape {
                break;
            }
        }
    }
}

/// Octets with codes of the same length, and of the same kind.
fn class(octet: u8) -> [u8; 2] {
    let kind = match octet {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        0x80.. => 3,
        other => other,
    };
    [huffman::bits(octet), kind]
}

/// Puts the octets in another order, which depends on their classes only, and then another of its class in
/// the place of each: so words that differ still do, and no place tells how long the code there was.
fn shuffled(secrets: &Secrets, word: &mut [u8]) {
    let mut classes: Vec<[u8; 2]> = word.iter().map(|octet| class(*octet)).collect();
    classes.sort_unstable();
    let classes = classes.as_flattened();
    let old = word.to_vec();
    let mut order: Vec<usize> = (0..old.len()).collect();
    order.sort_by_cached_key(|place| (secrets.number(b'p', &[classes, &place.to_le_bytes()]), *place));
    for (octet, place) in word.iter_mut().zip(order) {
        *octet = old.get(place).copied().unwrap_or(*octet);
    }
    for (kind, backwards) in [(b'g', false), (b'c', true)] {
        for step in 0..word.len() {
            let at = if backwards { word.len() - 1 - step } else { step };
            let done = if backwards { word.get(at + 1..) } else { word.get(..at) };
            let shift = secrets.number(kind, &[classes, done.unwrap_or_default()]);
            let Some(octet) = word.get_mut(at) else { continue };
            let alike: Vec<u8> = (0..=255).filter(|other| class(*other) == class(*octet)).collect();
            let place = alike.iter().position(|other| other == octet).unwrap_or(0);
            *octet = alike.get((place + shift as usize) % alike.len().max(1)).copied().unwrap_or(*octet);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(b"a key of a test", false)
    }

    fn fields(decoder: &mut hpack_patched::Decoder<'_>, block: &[u8]) -> Vec<(String, String)> {
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        let fields = decoder.decode(block).expect("a section");
        fields.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// RFC 7541 appendix C.4 (coded) and C.3 (not coded): three requests on one connection.
    #[test]
    fn sections_say_as_much_in_other_words_and_tables_stay_in_step() {
        let huffman: [&[u8]; 3] = [
            b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
            b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
            b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\
              \xb8\xe8\xb4\xbf",
        ];
        let plain: [&[u8]; 3] = [
            b"\x82\x86\x84\x41\x0fwww.example.com",
            b"\x82\x86\x84\xbe\x58\x08no-cache",
            b"\x82\x87\x85\xbf\x40\x0acustom-key\x0ccustom-value",
        ];
        let mut said = Vec::new();
        for blocks in [huffman, plain] {
            let (mut sections, mut before, mut after) =
                (Sections::default(), hpack_patched::Decoder::new(), hpack_patched::Decoder::new());
            let mut all = Vec::new();
            for block in blocks {
                let mut new = block.to_vec();
                sections.redact(&secrets(), &mut new);
                let (old, new) = (fields(&mut before, block), fields(&mut after, &new));
                assert_eq!(old.len(), new.len());
                for ((name, value), (other, words)) in old.iter().zip(&new) {
                    assert_eq!((name.len(), value.len()), (other.len(), words.len()));
                    let stays = name.starts_with(':') && name != ":authority";
                    assert_eq!(value == words, stays, "{name}: {value} {words}");
                }
                all.extend(new);
            }
            said.push(all);
        }
        assert_eq!(said[0], said[1], "coded or not, the words are the same");
    }

    #[test]
    fn what_cannot_be_read_is_unreadable_afterwards() {
        // An index that is not there, a string that is cut, and one whose padding is wrong.
        for block in [&b"\xff\x20"[..], b"\x41\x0aabc", b"\x41\x81\x18"] {
            let mut sections = Sections::default();
            for block in [block, b"\x41\x03abc"] {
                let mut new = block.to_vec();
                sections.redact(&secrets(), &mut new);
                assert!(new.iter().all(|octet| *octet == UNREADABLE));
                assert!(hpack_patched::Decoder::new().decode(&new).is_err());
            }
        }
    }

    #[test]
    fn words_take_as_many_bits_and_differ_as_before() {
        let bits = |text: &[u8]| text.iter().map(|octet| u32::from(huffman::bits(*octet))).sum::<u32>();
        let new = |text: &str| {
            let mut octets = text.as_bytes().to_vec();
            coded(&secrets(), &mut octets);
            assert_eq!(bits(&octets), bits(text.as_bytes()), "{text}");
            String::from_utf8_lossy(&octets).into_owned()
        };
        let all = (b'a'..=b'z').flat_map(|a| (b'a'..=b'z').map(move |b| [a as char, b as char]));
        let distinct: BTreeSet<String> = all.map(|pair| new(&pair.iter().collect::<String>())).collect();
        assert_eq!(distinct.len(), 26 * 26);
        for address in ["10.118.211.21", "255.255.255.255", "9.80.1.200"] {
            let other = new(address);
            assert!(other.parse::<std::net::Ipv4Addr>().is_ok() && other != address, "{address} {other}");
        }
        assert_ne!(new("/shop.Cart/Get"), "/shop.Cart/Get");
        assert_ne!(new("Bücher"), "Bücher");
    }
}
