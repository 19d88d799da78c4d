//! One DNS message (RFC 1035 section 4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::app::dns::name;

/// Records kept per message; more are counted in `answer_count` only.
const MAX_RECORDS: usize = 64;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Name in presentation form, case as sent, without the final dot.
    pub name: String,
    /// Type.
    pub qtype: u16,
    /// Class.
    pub qclass: u16,
}

/// The data of a record, as far as the analysis uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// An address.
    Address(IpAddr),
    /// A canonical name, name server or pointer.
    Name(String),
    /// Anything else: its length in bytes.
    Other(u16),
}

/// A resource record of the answer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Owner name.
    pub name: String,
    /// Type.
    pub rtype: u16,
    /// Time to live in seconds.
    pub ttl: u32,
    /// Data.
    pub data: RecordData,
}

/// The OPT pseudo-record (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Largest UDP payload the sender takes, bytes.
    pub udp_size: u16,
    /// Version.
    pub version: u8,
    /// DNSSEC records wanted (DO).
    pub dnssec_ok: bool,
}

/// An extended error (RFC 8914).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendedError {
    /// Code.
    pub code: u16,
    /// The text that came with it; octets that do not print are escaped.
    pub text: String,
}

/// A DNS message. What could not be read is missing, and `incomplete` says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsMessage {
    /// Transaction id.
    pub id: u16,
    /// It is a response.
    pub response: bool,
    /// Operation.
    pub opcode: u8,
    /// AA.
    pub authoritative: bool,
    /// TC.
    pub truncated: bool,
    /// RD.
    pub recursion_desired: bool,
    /// RA.
    pub recursion_available: bool,
    /// Response code with the OPT record's upper bits.
    pub rcode: u16,
    /// First question.
    pub question: Option<Question>,
    /// Questions, answers, authority and additional records that the header claims.
    pub counts: [u16; 4],
    /// The answer section.
    pub answers: Vec<Record>,
    /// The OPT record.
    pub edns: Option<Edns>,
    /// Extended errors.
    pub errors: Vec<ExtendedError>,
    /// The rest is cut off or malformed.
    pub incomplete: bool,
}

/// Why bytes are not a DNS message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// Fewer than the 12 bytes of the header.
    #[error("dns header needs 12 bytes, found {0}")]
    Short(usize),
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads a message. Header and question survive whatever is wrong behind them.
///
/// # Errors
/// When not even the header is whole.
pub fn parse(bytes: &[u8]) -> Result<DnsMessage, DnsError> {
    // The reserved bit is no reason to refuse a message, as dns-parser does: it is cleared for its eyes.
    let mut head = *bytes.first_chunk::<12>().ok_or(DnsError::Short(bytes.len()))?;
    let opcode = head[2] >> 3 & 0x0f;
    let rcode = u16::from(head[3] & 0x0f);
    head[3] &= !0x40;
    let header = dns_parser::Header::parse(&head).map_err(|_| DnsError::Short(bytes.len()))?;
    let counts = [header.questions, header.answers, header.nameservers, header.additional];
    let mut message = DnsMessage {
        id: header.id,
        response: !header.query,
        opcode,
        authoritative: header.authoritative,
        truncated: header.truncated,
        recursion_desired: header.recursion_desired,
        recursion_available: header.recursion_available,
        rcode,
        question: None,
        counts,
        answers: Vec::new(),
        edns: None,
        errors: Vec::new(),
        incomplete: false,
    };
    message.incomplete = message.body(bytes).is_none();
    Ok(message)
}

impl DnsMessage {
    fn body(&mut self, bytes: &[u8]) -> Option<()> {
        let mut at = 12;
        for index in 0..self.counts[0] {
            let (name, next) = name::read(bytes, at)?;
            let (qtype, qclass) = (u16_at(bytes, next)?, u16_at(bytes, next + 2)?);
            if index == 0 {
                self.question = Some(Question { name, qtype, qclass });
            }
            at = next + 4;
        }
        for section in 1..4 {
            for _ in 0..self.counts[section] {
                at = self.record(bytes, at, section == 1)?;
            }
        }
        Some(())
    }

    fn record(&mut self, bytes: &[u8], at: usize, answer: bool) -> Option<usize> {
        let (name, at) = name::read(bytes, at)?;
        let (rtype, class) = (u16_at(bytes, at)?, u16_at(bytes, at + 2)?);
        let (ttl, length) = (u32_at(bytes, at + 4)?, u16_at(bytes, at + 8)?);
        let start = at + 10;
        let data = bytes.get(start..start + usize::from(length))?;
        if rtype == 41 {
            // RFC 6891 section 6.1.3: the class is the size; the TTL is upper code bits, version and flags.
            self.rcode |= ((ttl >> 24) as u16) << 4;
            self.edns =
                Some(Edns { udp_size: class, version: (ttl >> 16) as u8, dnssec_ok: ttl & 0x8000 != 0 });
            self.options(data);
        } else if answer && self.answers.len() < MAX_RECORDS {
            let data = match (rtype, data) {
                (1, &[a, b, c, d]) => RecordData::Address(Ipv4Addr::new(a, b, c, d).into()),
                (28, data) if data.len() == 16 => {
                    let octets: [u8; 16] = data.try_into().ok()?;
                    RecordData::Address(Ipv6Addr::from(octets).into())
                }
                (2 | 5 | 12, _) => RecordData::Name(name::read(bytes, start)?.0),
                _ => RecordData::Other(length),
            };
            self.answers.push(Record { name, rtype, ttl, data });
        }
        Some(start + usize::from(length))
    }

    fn options(&mut self, mut options: &[u8]) {
        while let (Some(code), Some(length)) = (u16_at(options, 0), u16_at(options, 2)) {
            let Some(value) = options.get(4..4 + usize::from(length)) else { return };
            if code == 15
                && self.errors.len() < 8
                && let Some(code) = u16_at(value, 0)
            {
                let text = value[2..].escape_ascii().to_string();
                self.errors.push(ExtendedError { code, text });
            }
            options = &options[4 + usize::from(length)..];
        }
    }

    /// The answers in one line, the same for the same content in any order: to compare two responses.
    pub fn answer_key(&self) -> String {
        let mut parts: Vec<String> = self.answers.iter().map(|record| record.data.to_string()).collect();
        parts.sort();
        parts.join(",")
    }
}

/// The address or name; `<n bytes>` for other data.
impl std::fmt::Display for RecordData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
            Self::Other(length) => write!(f, "<{length} bytes>"),
        }
    }
}

/// Strict test for ports other than 53. The message is one plain question read to its last byte, or a
/// response that repeats the question. Few other datagrams pass.
pub fn looks_like_dns(bytes: &[u8]) -> bool {
    let Ok(message) = parse(bytes) else { return false };
    let [questions, answers, authority, additional] = message.counts;
    let small = answers <= 64 && authority <= 64 && additional <= 16;
    let plain = message.opcode == 0 && questions == 1 && small && !message.incomplete;
    let known = message.question.as_ref().is_some_and(|question| {
        question.qclass == 1 && question.name.len() > 1 && question.qtype > 0 && question.qtype < 300
    });
    let query = message.response || (message.rcode == 0 && answers == 0 && !message.recursion_available);
    plain && known && query
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message with one question `www.example.com` and records appended as given.
    pub(crate) fn message(id: u16, flags: u16, qtype: u16, counts: [u16; 3], tail: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [id, flags, 1, counts[0], counts[1], counts[2]] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(b"\x03www\x07example\x03com\x00");
        bytes.extend(qtype.to_be_bytes());
        bytes.extend(1u16.to_be_bytes());
        bytes.extend(tail);
        bytes
    }

    const A: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x01\x02\x03";
    /// OPT with two extended errors: 6 "bad", 22.
    const OPT: &[u8] =
        b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0f\x00\x0f\x00\x05\x00\x06bad\x00\x0f\x00\x02\x00\x16";

    #[test]
    fn a_servfail_with_extended_errors_is_read() {
        let parsed = parse(&message(7, 0x8182, 1, [0, 0, 1], OPT)).unwrap();
        assert_eq!((parsed.response, parsed.rcode, parsed.incomplete), (true, 2, false));
        assert_eq!(parsed.errors[0], ExtendedError { code: 6, text: "bad".into() });
        assert_eq!(parsed.errors[1].code, 22);
        assert_eq!(parsed.edns, Some(Edns { udp_size: 1232, version: 0, dnssec_ok: true }));
    }

    #[test]
    fn unknown_types_do_not_hide_what_follows() {
        let https = b"\xc0\x0c\x00\x41\x00\x01\x00\x00\x00\x3c\x00\x03abc";
        let parsed = parse(&message(7, 0x8180, 65, [2, 0, 0], &[https, A].concat())).unwrap();
        assert_eq!(parsed.answer_key(), "10.1.2.3,<3 bytes>");
    }

    #[test]
    fn a_cut_message_keeps_header_and_question() {
        let whole = message(7, 0x8180, 1, [1, 0, 0], A);
        let parsed = parse(&whole[..40]).unwrap();
        assert!(parsed.incomplete && parsed.question.is_some());
        assert_eq!(parse(&whole[..11]), Err(DnsError::Short(11)));
    }

    #[test]
    fn only_plain_messages_look_like_dns() {
        assert!(looks_like_dns(&message(7, 0x0100, 28, [0, 0, 0], b"")));
        assert!(!looks_like_dns(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(!looks_like_dns(&[0; 64]));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_tail_panics(tail in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            let _ = parse(&message(1, 0x8180, 1, [9, 9, 9], &tail));
        }
    }
}
