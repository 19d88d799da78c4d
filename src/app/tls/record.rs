//! The record layer: five octets of header, then up to 2^14 + 2048 of body (RFC 5246 section 6.2.3).

use crate::dissect::PacketRef;

/// Largest body of a record.
const MAX_BODY: usize = (1 << 14) + 2048;

/// Record content types.
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Whether bytes are the start of a TLS stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// They are.
    Yes,
    /// They are not.
    No,
    /// Too few to tell.
    NeedMore,
}

/// Recognises the first bytes of a direction: a record header whose content fits it.
pub fn looks_like_tls(bytes: &[u8]) -> Recognition {
    let tests: [fn(u8) -> bool; 3] =
        [|kind| matches!(kind, ALERT | HANDSHAKE), |major| major == 3, |minor| minor <= 4];
    if bytes.iter().zip(tests).any(|(octet, test)| !test(*octet)) {
        return Recognition::No;
    }
    let [kind, _, _, high, low, first, ..] = *bytes else { return Recognition::NeedMore };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let fits = match kind {
        ALERT => length == 2 && matches!(first, 1 | 2),
        // ClientHello, ServerHello, or the HelloRequest of a server that was asked in plain text before.
        _ => (4..=MAX_BODY).contains(&length) && matches!(first, 0..=2),
    };
    if fits { Recognition::Yes } else { Recognition::No }
}

/// A whole record, or the length of one whose body was not asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) length: usize,
    pub(super) body: Vec<u8>,
    pub(super) at: PacketRef,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    kind: u8,
    length: usize,
}

/// Cuts one direction's bytes into records.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    /// The first octets of a header, and how many.
    head: ([u8; 5], usize),
    current: Option<Header>,
    /// Body bytes that have passed.
    passed: usize,
    body: Vec<u8>,
    /// Part of the current body was not captured.
    torn: bool,
    /// Nobody knows where the next record starts.
    pub(super) lost: bool,
    /// Bytes that are no record header came.
    pub(super) malformed: bool,
}

impl Records {
    /// Bytes of memory that an unfinished record takes.
    pub(super) fn held(&self) -> usize {
        self.body.len()
    }

    /// A record was begun and not ended.
    pub(super) fn is_unfinished(&self) -> bool {
        self.current.is_some() || self.head.1 > 0
    }

    /// Takes bytes from the front of `bytes` and gives the record they complete. `keep`: the types whose
    /// bodies are wanted.
    pub(super) fn next(&mut self, bytes: &mut &[u8], keep: fn(u8) -> bool, at: PacketRef) -> Option<Record> {
        if self.lost || self.malformed {
            *bytes = &[];
            return None;
        }
        let header = match self.current {
            Some(header) => header,
            None => {
                let (head, known) = &mut self.head;
                let (more, rest) = bytes.split_at(bytes.len().min(head.len() - *known));
                head[*known..][..more.len()].copy_from_slice(more);
                *known += more.len();
                *bytes = rest;
                if *known < head.len() {
                    return None;
                }
                *known = 0;
                let [kind, major, _, high, low] = *head;
                let length = usize::from(u16::from_be_bytes([high, low]));
                if !(CHANGE_CIPHER_SPEC..=24).contains(&kind) || major != 3 || length > MAX_BODY {
                    self.malformed = true;
                    *bytes = &[];
                    return None;
                }
                (self.passed, self.torn) = (0, false);
                *self.current.insert(Header { kind, length })
            }
        };
        let take = bytes.len().min(header.length - self.passed);
        if keep(header.kind) && !self.torn {
            self.body.extend_from_slice(&bytes[..take]);
        }
        *bytes = &bytes[take..];
        self.passed += take;
        self.complete(at)
    }

    /// `length` bytes were not captured; the record that ended in them.
    pub(super) fn gap(&mut self, length: u64, at: PacketRef) -> Option<Record> {
        let left = self.current.map_or(0, |header| header.length - self.passed) as u64;
        if left < length || left == 0 {
            self.lost = true;
            self.body = Vec::new();
            return None;
        }
        self.passed += length as usize;
        self.torn = true;
        self.body.clear();
        self.complete(at)
    }

    fn complete(&mut self, at: PacketRef) -> Option<Record> {
        let header = self.current.filter(|header| header.length == self.passed)?;
        self.current = None;
        let body = std::mem::take(&mut self.body);
        Some(Record { kind: header.kind, length: header.length, body, at })
    }
}
