//! Reads a TLS session from the bytes of both directions.

use crate::app::tls::alert::{Alert, Phase};
use crate::app::tls::certificate::{self, Certificate};
use crate::app::tls::compressed::decompressed;
use crate::app::tls::hello::{ClientHello, ServerHello, cipher_name, encrypted_protocol};
use crate::app::tls::opener::{Opener, Plain};
use crate::app::tls::record::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, Record, Records};
use crate::app::tls::session::{TLS13, TlsSession};
use crate::capture::{Keys, Random};
use crate::dissect::{Direction, PacketRef};

/// Largest handshake message read; a chain of certificates is rarely above 16 KiB.
const MAX_MESSAGE: usize = 128 * 1024;

/// Alerts kept per session.
const MAX_ALERTS: usize = 16;

/// Shortest record that holds a Finished message in TLS 1.3: header 4, hash 32, type 1, tag 8 with CCM_8 (RFC
/// 8446 sections 4.4.4 and 5.2).
const SHORTEST_FINISHED: usize = 45;

/// The parser of one session: what it has read, and the bytes that are no whole message yet.
#[derive(Clone, Debug, Default)]
pub struct TlsParser {
    session: TlsSession,
    /// Over QUIC, which has no records.
    quic: bool,
    /// Bytes of the messages whose names and texts are kept.
    texts: usize,
    halves: [Half; 2],
    /// While records may be opened.
    opener: Option<Box<Opener>>,
    /// Of the ClientHello, over QUIC.
    random: Option<Random>,
}

#[derive(Clone, Debug, Default)]
struct Half {
    records: Records,
    handshake: Vec<u8>,
    /// Rest of a handshake message that is too long to be read.
    skip: usize,
    alert: Vec<u8>,
    encrypted: bool,
    /// The packet of its last bytes.
    last: Option<PacketRef>,
}

impl Half {
    fn unfinished(&self) -> Option<PacketRef> {
        let any = self.records.is_unfinished() || !self.handshake.is_empty() || self.skip > 0;
        self.last.filter(|_| any)
    }
}

fn wanted(kind: u8) -> bool {
    matches!(kind, ALERT | HANDSHAKE | CHANGE_CIPHER_SPEC)
}

/// Every record counts: a key opens the one of its number only.
fn wanted_with_keys(_: u8) -> bool {
    true
}

impl TlsParser {
    /// A parser that opens encrypted records with these keys.
    pub fn with_keys(keys: Option<Keys>) -> Self {
        Self { opener: keys.map(|keys| Box::new(Opener::new(keys))), ..Self::default() }
    }

    /// A parser of the messages that QUIC carries.
    pub(in crate::app) fn over_quic() -> Self {
        Self { quic: true, ..Self::default() }
    }

    /// What was read so far.
    pub fn session(&self) -> &TlsSession {
        &self.session
    }

    /// What was read so far, for what QUIC itself says of the session.
    pub(in crate::app) fn session_mut(&mut self) -> &mut TlsSession {
        &mut self.session
    }

    /// The random of the ClientHello, over QUIC.
    pub(in crate::app) fn client_random(&self) -> Option<Random> {
        self.random
    }

    /// Takes the next bytes of a direction's handshake messages, which stand in no records.
    pub(in crate::app) fn handshake(&mut self, direction: Direction, bytes: &[u8], at: PacketRef) {
        let half = &mut self.halves[direction.index()];
        half.handshake.extend_from_slice(bytes);
        half.last = Some(at);
        self.messages(direction, at);
    }

    /// No byte follows: what was read.
    pub fn finish(mut self) -> TlsSession {
        self.session.unfinished = self.halves.each_ref().map(Half::unfinished);
        self.note_opened();
        self.session
    }

    /// What stood inside application data since the last call.
    pub fn take_plain(&mut self) -> Vec<Plain> {
        self.opener.as_mut().map_or_else(Vec::new, |opener| opener.take_plain())
    }

    fn note_opened(&mut self) {
        if let Some(opener) = self.opener.take() {
            let any = opener.opened.records != [0; 2] || opener.opened.sealed != [0; 2];
            self.session.opened = any.then(|| Box::new(opener.opened.clone()));
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn held(&self) -> usize {
        let held = |half: &Half| half.handshake.len() + half.records.held();
        let opener = self.opener.as_ref().map_or(0, |opener| opener.held());
        size_of::<Self>() + self.texts + opener + self.halves.iter().map(held).sum::<usize>()
    }

    /// Takes the next bytes of a direction.
    pub fn data(&mut self, direction: Direction, bytes: &[u8], at: PacketRef) {
        let mut rest = bytes;
        self.halves[direction.index()].last = Some(at);
        while !rest.is_empty() {
            let opens = self.opener.as_ref().is_some_and(|opener| opener.is_open(direction));
            let keep = if opens { wanted_with_keys } else { wanted };
            if let Some(record) = self.halves[direction.index()].records.next(&mut rest, keep, at) {
                self.record(direction, record);
            }
        }
        if self.halves[direction.index()].records.malformed {
            self.session.malformed.get_or_insert(at);
        }
    }

    /// Bytes of a direction were not captured.
    pub fn gap(&mut self, direction: Direction, length: u64, at: PacketRef) {
        let half = &mut self.halves[direction.index()];
        let record = half.records.gap(length, at);
        // A handshake message with a hole in it is no message; what follows it in the stream may be.
        half.handshake = Vec::new();
        half.alert.clear();
        self.session.lost[direction.index()] = half.records.lost;
        let lost = half.records.lost;
        if let Some(record) = record {
            if self.is_sealed(direction, &record)
                && let Some(opener) = &mut self.opener
            {
                opener.torn(direction, &record);
            }
            self.note(direction, &record, None);
        } else if let (true, Some(opener)) = (lost, &mut self.opener) {
            opener.lose(direction, length, at);
        }
    }

    /// The record is encrypted; the server may not have chosen how yet.
    fn is_sealed(&self, direction: Direction, record: &Record) -> bool {
        match self.session.version() {
            Some(TLS13) | None => record.kind == APPLICATION_DATA,
            Some(_) => self.halves[direction.index()].encrypted && record.kind != CHANGE_CIPHER_SPEC,
        }
    }

    /// Opens an encrypted record in place: the type of what it holds.
    fn open(&mut self, direction: Direction, record: &mut Record) -> Option<u8> {
        if self.opener.is_none() || !self.is_sealed(direction, record) {
            return None;
        }
        if self.opener.as_ref().is_some_and(|opener| opener.is_idle(record.at)) {
            self.opener = None;
            return None;
        }
        let cipher = self.session.server_hello.as_ref().map(|hello| hello.cipher_suite);
        let chosen = self.session.version().zip(cipher);
        self.opener.as_mut()?.open(direction, chosen, record)
    }

    /// A record has passed; `inner`: what keys found in it.
    fn note(&mut self, direction: Direction, record: &Record, inner: Option<u8>) {
        let index = direction.index();
        let kind = inner.unwrap_or(record.kind);
        self.session.last_record[index] = Some((kind, record.length as u16, record.at));
        if record.kind == APPLICATION_DATA {
            // Data before the ServerHello is early data, and its end is a short record, too (RFC 8446 section
            // 4.5).
            let first = self.session.application_data[index].is_none();
            self.session.application_data[index].get_or_insert(record.at);
            // TLS 1.3: the client's flight ends the handshake; before, both have changed ciphers.
            let done = match self.session.version() {
                Some(TLS13) => direction == Direction::ToServer && self.session.server_hello.is_some(),
                _ => true,
            };
            if self.session.established.is_some() {
                self.session.server_records += u32::from(direction == Direction::ToClient);
            } else if inner.is_some_and(|kind| kind != APPLICATION_DATA) {
                // Not told by its length: it is read.
            } else if done && self.session.version() == Some(TLS13) && first && is_short(record) {
                self.alert(direction, None, record.at);
            } else if done {
                if !is_short(record) {
                    // Nothing follows an alert but another one. What looked like one was the certificate
                    // message of a client that has none (RFC 8446 section 4.4.2).
                    self.session.alerts.retain(|alert| alert.direction != direction || alert.level.is_some());
                }
                self.session.established.get_or_insert(record.at);
            }
        }
    }

    fn record(&mut self, direction: Direction, mut record: Record) {
        let inner = self.open(direction, &mut record);
        self.note(direction, &record, inner);
        let index = direction.index();
        let changed = self.halves[index].encrypted;
        let encrypted = changed && inner.is_none();
        let kind = inner.unwrap_or(record.kind);
        if kind == HANDSHAKE && changed && self.halves[direction.reverse().index()].encrypted {
            self.session.established.get_or_insert(record.at);
        }
        match kind {
            CHANGE_CIPHER_SPEC => {
                self.session.change_cipher_spec[index].get_or_insert(record.at);
                // In TLS 1.3 it is a dummy for middleboxes (RFC 8446 appendix D.4).
                if self.session.version().is_some_and(|version| version != TLS13) {
                    self.halves[index].encrypted = true;
                    self.opener.iter_mut().for_each(|opener| opener.change(direction));
                }
            }
            HANDSHAKE if encrypted => {}
            HANDSHAKE => {
                let held = &mut self.halves[index].handshake;
                if held.is_empty() {
                    *held = record.body;
                } else {
                    held.extend_from_slice(&record.body);
                }
                self.messages(direction, record.at);
            }
            ALERT if encrypted && self.has_null_cipher() && record.body.len() > 2 => {
                self.alert(direction, record.body.first_chunk().copied(), record.at);
            }
            ALERT if encrypted || record.body.len() > 64 => self.alert(direction, None, record.at),
            ALERT => {
                self.halves[index].alert.extend_from_slice(&record.body);
                let octets = std::mem::take(&mut self.halves[index].alert);
                let (alerts, rest) = octets.as_chunks::<2>();
                if alerts.iter().all(|[level, _]| matches!(level, 1 | 2)) {
                    self.halves[index].alert = rest.to_vec();
                    for alert in alerts {
                        self.alert(direction, Some(*alert), record.at);
                    }
                } else {
                    self.alert(direction, None, record.at);
                }
            }
            APPLICATION_DATA if inner.is_some() => {
                let Some(opener) = &mut self.opener else { return };
                opener.inside(direction, record.body, record.at);
            }
            _ => {}
        }
    }

    /// The suite authenticates and does not encrypt: the alert stands in front of its authentication code.
    fn has_null_cipher(&self) -> bool {
        self.session
            .server_hello
            .as_ref()
            .is_some_and(|hello| cipher_name(hello.cipher_suite).contains("WITH_NULL"))
    }

    pub(in crate::app) fn alert(&mut self, direction: Direction, alert: Option<[u8; 2]>, at: PacketRef) {
        let phase = if self.session.established.is_some() {
            Phase::Established
        } else if self.session.server_hello.is_some() {
            Phase::Handshake
        } else {
            Phase::Hello
        };
        if self.session.alerts.len() < MAX_ALERTS {
            let (level, description) = (alert.map(|alert| alert[0]), alert.map(|alert| alert[1]));
            self.session.alerts.push(Alert { at, direction, level, description, phase });
        }
    }

    /// Reads the handshake messages that are whole.
    fn messages(&mut self, direction: Direction, at: PacketRef) {
        let mut held = std::mem::take(&mut self.halves[direction.index()].handshake);
        let mut start = held.len().min(self.halves[direction.index()].skip);
        self.halves[direction.index()].skip -= start;
        while let Some(&[kind, high, middle, low]) = held[start..].first_chunk::<4>() {
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if length > MAX_MESSAGE {
                let here = held.len() - start;
                self.halves[direction.index()].skip = (4 + length).saturating_sub(here);
                start = held.len();
                break;
            }
            let Some(body) = held.get(start + 4..start + 4 + length) else { break };
            self.message(direction, kind, body, at);
            start += 4 + length;
        }
        // Most handshakes end with their last record: no memory is kept for more.
        if start < held.len() {
            held.drain(..start);
            self.halves[direction.index()].handshake = held;
        }
    }

    fn message(&mut self, direction: Direction, kind: u8, body: &[u8], at: PacketRef) {
        let index = direction.index();
        self.session.last_handshake[index] = Some((kind, at));
        if let (1 | 2, Some(opener)) = (kind, &mut self.opener) {
            opener.hello(kind, body);
        }
        if kind == 1 && self.quic {
            self.random = body.get(2..).and_then(|rest| rest.first_chunk()).copied();
        }
        match kind {
            1 if self.session.client_hello.is_none() => {
                self.session.client_hello = ClientHello::read(body, at, self.quic);
                if let (Some(hello), Some(opener)) = (&self.session.client_hello, &mut self.opener) {
                    opener.may_be_early = hello.resumption;
                }
                self.texts += body.len();
            }
            2 => match ServerHello::read(body, at) {
                Some((_, true)) => self.session.hello_retries += 1,
                Some((hello, false)) => self.session.server_hello = Some(hello),
                None => {}
            },
            // EncryptedExtensions.
            8 => {
                let chosen = self.session.server_hello.as_mut();
                chosen.into_iter().for_each(|hello| hello.alpn = encrypted_protocol(body));
            }
            // A side shows its chain once; thirty octets may stand for one of 128 KiB.
            11 | 25 if self.session.certificates_at[index].is_some() => {}
            11 => {
                self.session.certificates_at[index].get_or_insert(at);
                self.texts += body.len();
                let chain = certificate::chain(body, self.session.is_tls13());
                for der in chain.take(certificate::MAX_CHAIN) {
                    match Certificate::of(der) {
                        Some(certificate) => self.session.certificates[index].push(certificate),
                        None => self.session.certificates_unreadable += 1,
                    }
                }
            }
            13 => self.session.certificate_requested = true,
            20 if self.session.is_tls13() && direction == Direction::ToServer => {
                self.session.established.get_or_insert(at);
            }
            // CompressedCertificate. The first of a side only: some octets may be a window of megabytes.
            25 if self.session.is_tls13() && self.session.certificates_at[index].is_none() => {
                match decompressed(body, MAX_MESSAGE) {
                    Some(body) => self.message(direction, 11, &body, at),
                    None => {
                        self.session.certificates_at[index].get_or_insert(at);
                        self.session.certificates_unreadable += 1;
                    }
                }
            }
            _ => {}
        }
    }
}

/// Too short for a Finished message. What a TLS 1.3 client sends first is then an alert, or a certificate
/// message without certificates, which its Finished follows.
fn is_short(record: &Record) -> bool {
    record.length < SHORTEST_FINISHED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tls::{Recognition, looks_like_tls};
    use proptest::prelude::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 3, 3];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(&(body.len() as u32).to_be_bytes()[1..]);
        bytes.extend(body);
        bytes
    }

    fn client_hello() -> Vec<u8> {
        let mut extensions = Vec::new();
        for (kind, body) in [
            (0x0a0au16, b"".as_slice()),
            (0, b"\x00\x0e\x00\x00\x0bexample.com"),
            (16, b"\x00\x0c\x02h2\x08http/1.1"),
            (43, b"\x06\x1a\x1a\x03\x04\x03\x03"),
        ] {
            extensions.extend(kind.to_be_bytes());
            extensions.extend((body.len() as u16).to_be_bytes());
            extensions.extend(body);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend(b"\x00\x00\x06\x2a\x2a\x13\x01\xc0\x2f\x01\x00");
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        message(1, &body)
    }

    fn server_hello(version13: bool) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([9; 32]);
        body.extend(b"\x00\x13\x01\x00");
        if version13 {
            body.extend(b"\x00\x06\x00\x2b\x00\x02\x03\x04");
        }
        message(2, &body)
    }

    fn feed(parser: &mut TlsParser, direction: Direction, bytes: &[u8], piece: usize) {
        for part in bytes.chunks(piece) {
            parser.data(direction, part, PacketRef::default());
        }
    }

    #[test]
    fn any_cutting_gives_the_same_hello() {
        let bytes = record(22, &client_hello());
        for piece in 1..bytes.len() {
            let mut parser = TlsParser::default();
            feed(&mut parser, Direction::ToServer, &bytes, piece);
            let hello = parser.session.client_hello.expect("read from any pieces");
            assert_eq!(hello.sni.as_deref(), Some("example.com"));
            assert_eq!(hello.alpn, ["h2", "http/1.1"]);
            assert_eq!((hello.versions, hello.cipher_suites), (vec![0x0304, 0x0303], vec![0x1301, 0xc02f]));
        }
    }

    #[test]
    fn messages_share_records_and_span_them() {
        let mut both = server_hello(false);
        both.extend(message(14, b""));
        let (one, two) = both.split_at(20);
        let mut parser = TlsParser::default();
        feed(&mut parser, Direction::ToClient, &[record(22, one), record(22, two)].concat(), 1000);
        assert_eq!(parser.session.server_hello.as_ref().map(|hello| hello.cipher_suite), Some(0x1301));
        assert_eq!(parser.session.last_handshake[1].map(|(kind, _)| kind), Some(14));
    }

    #[test]
    fn alerts_are_read_whole_split_and_doubled() {
        for bytes in [
            record(21, &[2, 40]),
            [record(21, &[2]), record(21, &[40])].concat(),
            record(21, &[1, 112, 2, 40]),
        ] {
            let mut parser = TlsParser::default();
            feed(&mut parser, Direction::ToClient, &bytes, 3);
            let last = parser.session.alerts.last().expect("an alert");
            assert_eq!((last.level, last.description, last.phase), (Some(2), Some(40), Phase::Hello));
        }
    }

    #[test]
    fn after_the_cipher_change_an_alert_is_encrypted() {
        let mut parser = TlsParser::default();
        feed(&mut parser, Direction::ToClient, &record(22, &server_hello(false)), 50);
        feed(&mut parser, Direction::ToClient, &[record(20, &[1]), record(21, &[0xaa; 26])].concat(), 50);
        assert_eq!(parser.session.alerts[0].description, None);
    }

    #[test]
    fn tls13_hides_its_alerts_and_their_length_gives_away_those_in_place_of_a_finished() {
        let mut parser = TlsParser::default();
        feed(&mut parser, Direction::ToServer, &record(22, &client_hello()), 50);
        feed(&mut parser, Direction::ToClient, &record(22, &server_hello(true)), 50);
        feed(&mut parser, Direction::ToServer, &[record(20, &[1]), record(23, &[0; 19])].concat(), 50);
        assert!(parser.session.may_end_with_alert(Direction::ToServer));
        let [alert] = parser.session.alerts[..] else { panic!("{:?}", parser.session.alerts) };
        assert_eq!((alert.level, alert.phase), (None, Phase::Handshake));
        assert!(parser.session.established.is_none());
    }

    #[test]
    fn tls13_clients_without_a_certificate_say_so_in_a_short_record() {
        let mut parser = TlsParser::default();
        feed(&mut parser, Direction::ToServer, &record(22, &client_hello()), 50);
        feed(&mut parser, Direction::ToClient, &record(22, &server_hello(true)), 50);
        feed(&mut parser, Direction::ToServer, &[record(23, &[0; 25]), record(23, &[0; 69])].concat(), 50);
        assert!(parser.session.alerts.is_empty() && parser.session.established.is_some());
        // Who rejects the server's certificate may say goodbye as well.
        let mut parser = TlsParser::default();
        feed(&mut parser, Direction::ToServer, &record(22, &client_hello()), 50);
        feed(&mut parser, Direction::ToClient, &record(22, &server_hello(true)), 50);
        feed(&mut parser, Direction::ToServer, &[record(23, &[0; 19]), record(23, &[0; 19])].concat(), 50);
        assert_eq!(parser.session.alerts.len(), 1);
    }

    #[test]
    fn tls13_servers_that_want_a_certificate_answer_finished_with_an_alert() {
        let mut parser = TlsParser::default();
        feed(&mut parser, Direction::ToServer, &record(22, &client_hello()), 50);
        feed(&mut parser, Direction::ToClient, &record(22, &server_hello(true)), 50);
        feed(&mut parser, Direction::ToServer, &record(23, &[0; 69]), 50);
        assert_eq!(parser.session.answered_with_alert(), None);
        feed(&mut parser, Direction::ToClient, &record(23, &[0; 19]), 50);
        assert!(parser.session.answered_with_alert().is_some());
        feed(&mut parser, Direction::ToClient, &record(23, &[0; 19]), 50);
        assert_eq!(parser.session.answered_with_alert(), None, "it went on");
    }

    /// Octets of it are few, and what they say may be long: nobody is made to do that work again and again.
    #[test]
    fn one_compressed_certificate_of_a_side_is_read() {
        let mut parser = TlsParser::default();
        let compressed = message(25, b"\x00\x02\x00\x00\x02\x00\x00\x01\x3b");
        let flight = [server_hello(true), compressed.repeat(20)].concat();
        feed(&mut parser, Direction::ToServer, &record(22, &client_hello()), 1_000);
        feed(&mut parser, Direction::ToClient, &record(22, &flight), 1_000);
        assert_eq!(parser.session.certificates_unreadable, 1);
    }

    #[test]
    fn a_gap_inside_a_record_loses_that_record_only() {
        let mut parser = TlsParser::default();
        let data = record(23, &[0; 100]);
        feed(&mut parser, Direction::ToClient, &data[..50], 50);
        parser.gap(Direction::ToClient, 55, PacketRef::default());
        feed(&mut parser, Direction::ToClient, &record(21, &[1, 0]), 50);
        assert!(parser.session.said_goodbye() && !parser.session.lost[1]);
        parser.gap(Direction::ToClient, 1, PacketRef::default());
        assert!(parser.session.lost[1]);
    }

    #[test]
    fn other_protocols_are_not_taken_for_tls() {
        assert_eq!(looks_like_tls(b"GET / HTTP/1.1"), Recognition::No);
        assert_eq!(looks_like_tls(&[22, 3]), Recognition::NeedMore);
        assert_eq!(looks_like_tls(&record(22, &client_hello())), Recognition::Yes);
        assert_eq!(looks_like_tls(&[22, 3, 1, 0, 2, 1]), Recognition::No);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), gap in 0u64..50) {
            let mut parser = TlsParser::default();
            parser.data(Direction::ToServer, &record(22, &bytes), PacketRef::default());
            parser.gap(Direction::ToServer, gap, PacketRef::default());
            parser.data(Direction::ToServer, &bytes, PacketRef::default());
            parser.data(Direction::ToClient, &record(22, &message(11, &bytes)), PacketRef::default());
        }
    }
}
