//! Sessions made here and sealed with the keys that open them.

use super::*;
use crate::app::tls::{Phase, TlsParser, TlsSession};
use data_encoding::HEXLOWER;
use proptest::prelude::*;

use Direction::{ToClient, ToServer};

const RANDOMS: [Random; 2] = [[7; 32], [9; 32]];
const LEAF: &[u8] = include_bytes!("../../../../testdata/certs/leaf.der");
const SECRETS: [(&str, u8); 4] = [
    ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 1),
    ("SERVER_HANDSHAKE_TRAFFIC_SECRET", 2),
    ("CLIENT_TRAFFIC_SECRET_0", 3),
    ("SERVER_TRAFFIC_SECRET_0", 4),
];

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], (body.len() as u16).to_be_bytes().as_slice(), body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn client_hello() -> Vec<u8> {
    record(22, &message(1, &[&[3, 3], RANDOMS[0].as_slice(), &[0, 0, 2, 0x13, 1, 1, 0]].concat()))
}

fn server_hello(cipher: u16) -> Vec<u8> {
    let suite = cipher.to_be_bytes();
    let versions: &[u8] = if cipher >> 8 == 0x13 { &[0, 6, 0, 43, 0, 2, 3, 4] } else { &[] };
    record(22, &message(2, &[&[3, 3], RANDOMS[1].as_slice(), &[0], &suite, &[0], versions].concat()))
}

/// A Certificate message of TLS 1.3 with one certificate.
fn certificate() -> Vec<u8> {
    let length = |length: usize| (length as u32).to_be_bytes()[1..].to_vec();
    let entry = [&length(LEAF.len()), LEAF, &[0, 0]].concat();
    message(11, &[&[0], length(entry.len()).as_slice(), &entry].concat())
}

fn key_log(lines: &[(&str, u8)], octets: usize) -> Keys {
    let keys = Keys::default();
    for (word, seed) in lines {
        let (random, secret) = (HEXLOWER.encode(&RANDOMS[0]), HEXLOWER.encode(&vec![*seed; octets]));
        keys.learn(format!("{word} {random} {secret}").as_bytes(), 0);
    }
    keys
}

fn at(packet: u64) -> PacketRef {
    PacketRef { packet, ..PacketRef::default() }
}

/// One side that sends: keys, and the number of the next record.
struct Sender {
    suite: Suite,
    secret: Vec<u8>,
    keys: RecordKeys,
    number: u64,
}

impl Sender {
    fn of(suite: Suite, seed: u8, octets: usize) -> Self {
        let secret = vec![seed; octets];
        let keys = RecordKeys::of_traffic(suite, &secret).expect("keys");
        Self { suite, secret, keys, number: 0 }
    }

    /// A record of TLS 1.3, padded a little.
    fn send(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let body = self.keys.seal(self.number, 23, &[content, &[kind, 0, 0]].concat());
        self.number += 1;
        record(23, &body)
    }

    fn update(&mut self) {
        self.secret = RecordKeys::updated(self.suite, &self.secret).to_vec();
        self.keys = RecordKeys::of_traffic(self.suite, &self.secret).expect("keys");
        self.number = 0;
    }
}

/// Everything that a session of TLS 1.3 sends, in order.
fn session_13(cipher: u16) -> (Vec<(Direction, Vec<u8>)>, usize) {
    let suite = Suite::of(cipher).expect("opened");
    let octets = if cipher == 0x1302 { 48 } else { 32 };
    let side = |seed| Sender::of(suite, seed, octets);
    let (mut client, mut server, mut asks, mut answers) = (side(1), side(2), side(3), side(4));
    let extensions = message(8, b"\x00\x0b\x00\x10\x00\x07\x00\x05\x04http");
    let flight = [extensions, certificate(), message(20, &[0; 32])].concat();
    let (one, two) = flight.split_at(200);
    let mut sent = vec![
        (ToServer, client_hello()),
        (ToClient, server_hello(cipher)),
        (ToClient, record(20, &[1])),
        (ToClient, server.send(22, one)),
        (ToClient, server.send(22, two)),
        (ToServer, record(20, &[1])),
        (ToServer, client.send(22, &message(20, &[0; 32]))),
        (ToServer, asks.send(23, b"GET / HTTP/1.1\r\n\r\n")),
        (ToClient, answers.send(22, &message(4, &[0; 40]))),
        (ToClient, answers.send(23, b"HTTP/1.1 200 OK\r\n")),
        (ToClient, answers.send(22, &message(24, &[0]))),
    ];
    answers.update();
    sent.push((ToClient, answers.send(23, b"Content-Length: 0\r\n\r\n")));
    sent.push((ToClient, answers.send(21, &[1, 0])));
    sent.push((ToServer, asks.send(21, &[2, 45])));
    (sent, octets)
}

fn feed(parser: &mut TlsParser, sent: &[(Direction, Vec<u8>)], piece: usize) -> Vec<Plain> {
    let mut plain = Vec::new();
    for (packet, (direction, bytes)) in (1..).zip(sent) {
        for part in bytes.chunks(piece) {
            parser.data(*direction, part, at(packet));
            plain.extend(parser.take_plain());
        }
    }
    plain
}

/// What a direction said inside.
fn said(plain: &[Plain], direction: Direction) -> String {
    let octets = plain.iter().filter(|plain| plain.direction == direction).map(|plain| match &plain.octets {
        Octets::Known(octets) => String::from_utf8_lossy(octets).into_owned(),
        Octets::Missing(length) => format!("[{length}]"),
    });
    octets.collect()
}

fn opened(session: &TlsSession) -> &Opened {
    session.opened.as_deref().expect("keys were given")
}

#[test]
fn tls13_is_read_whole_with_every_suite_and_cut() {
    for cipher in [0x1301, 0x1302, 0x1303] {
        let (sent, octets) = session_13(cipher);
        for piece in [1, 7, 100_000] {
            let mut parser = TlsParser::with_keys(Some(key_log(&SECRETS, octets)));
            let plain = feed(&mut parser, &sent, piece);
            assert_eq!(said(&plain, ToServer), "GET / HTTP/1.1\r\n\r\n");
            assert_eq!(said(&plain, ToClient), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let session = parser.finish();
            assert_eq!((opened(&session).records, opened(&session).sealed), ([3, 7], [0, 0]));
            assert_eq!((opened(&session).why(), session.certificates[1].len()), (None, 1));
            assert_eq!(session.server_hello.as_ref().and_then(|hello| hello.alpn.as_deref()), Some("http"));
            assert_eq!(session.established, Some(at(7)));
            let alerts: Vec<_> = session.alerts.iter().map(|one| (one.direction, one.description)).collect();
            assert_eq!(alerts, [(ToClient, Some(0)), (ToServer, Some(45))]);
            assert!(!session.may_end_with_alert(ToServer) && !session.may_end_with_alert(ToClient));
        }
    }
}

#[test]
fn an_alert_in_place_of_finished_is_known() {
    let suite = Suite::of(0x1301).expect("opened");
    let (sent, _) = session_13(0x1301);
    let mut sent = sent[..5].to_vec();
    sent.push((ToServer, Sender::of(suite, 1, 32).send(21, &[2, 45])));
    let mut parser = TlsParser::with_keys(Some(key_log(&SECRETS, 32)));
    feed(&mut parser, &sent, 100_000);
    let session = parser.finish();
    let [alert] = session.alerts[..] else { panic!("{:?}", session.alerts) };
    assert_eq!((alert.description, alert.phase), (Some(45), Phase::Handshake));
    assert!(session.established.is_none() && session.fatal_alert().is_some());
    // The same without keys: an alert by its length alone, and no certificate.
    let mut parser = TlsParser::default();
    feed(&mut parser, &sent, 100_000);
    let session = parser.finish();
    assert_eq!((session.alerts[0].description, session.certificates[1].len()), (None, 0));
    assert_eq!(session.opened, None);
}

#[test]
fn tls12_is_read_from_the_change_of_ciphers_on() {
    for cipher in [0xc02f, 0xc030, 0xcca8] {
        let suite = Suite::of(cipher).expect("opened");
        let keys =
            |direction| RecordKeys::of_master(suite, &[5; 48], RANDOMS.each_ref(), direction).expect("keys");
        let (client, server) = (keys(ToServer), keys(ToClient));
        let sealed =
            |keys: &RecordKeys, number, kind, content: &[u8]| record(kind, &keys.seal(number, kind, content));
        let sent = [
            (ToServer, client_hello()),
            (ToClient, server_hello(cipher)),
            (ToServer, record(20, &[1])),
            (ToServer, sealed(&client, 0, 22, &message(20, &[0; 12]))),
            (ToClient, record(20, &[1])),
            (ToClient, sealed(&server, 0, 22, &message(20, &[0; 12]))),
            (ToServer, sealed(&client, 1, 23, b"GET")),
            (ToClient, sealed(&server, 1, 23, b"HTTP")),
            (ToClient, sealed(&server, 2, 21, &[2, 80])),
        ];
        let mut parser = TlsParser::with_keys(Some(key_log(&[("CLIENT_RANDOM", 5)], 48)));
        let plain = feed(&mut parser, &sent, 11);
        assert_eq!((said(&plain, ToServer), said(&plain, ToClient)), ("GET".to_owned(), "HTTP".to_owned()));
        let session = parser.finish();
        assert_eq!((opened(&session).records, opened(&session).why()), ([2, 3], None));
        assert_eq!(session.alerts[0].description, Some(80));
        assert_eq!(session.established, Some(at(6)));
    }
}

#[test]
fn what_cannot_be_opened_is_counted_with_its_reason() {
    let (sent, _) = session_13(0x1301);
    let why = |keys: Keys, sent: &[(Direction, Vec<u8>)]| {
        let mut parser = TlsParser::with_keys(Some(keys));
        let plain = feed(&mut parser, sent, 100_000);
        assert!(plain.is_empty());
        let session = parser.finish();
        session.opened.map(|opened| (opened.records[1], opened.sealed[1], opened.why[1]))
    };
    assert_eq!(why(Keys::default(), &sent), None, "nobody gave any");
    let other = Keys::default();
    other.learn(format!("CLIENT_RANDOM {} {}", "ab".repeat(32), "cd".repeat(48)).as_bytes(), 0);
    assert_eq!(why(other, &sent), Some((0, 7, Some(Sealed::NoKeys))));
    let wrong = SECRETS.map(|(word, seed)| (word, seed + 10));
    assert_eq!(why(key_log(&wrong, 32), &sent), Some((0, 7, Some(Sealed::NoKeyFits))));
    let handshake: Vec<_> = sent[..6].to_vec();
    assert_eq!(why(key_log(&SECRETS[..2], 32), &handshake), Some((2, 0, None)));
    let ccm = [
        (ToServer, client_hello()),
        (ToClient, server_hello(0xc09c)),
        (ToClient, record(20, &[1])),
        (ToClient, record(22, &[0; 64])),
    ];
    assert_eq!(why(key_log(&[("CLIENT_RANDOM", 5)], 48), &ccm), Some((0, 1, Some(Sealed::Suite))));
}

#[test]
fn a_torn_record_is_left_out_and_a_lost_place_ends_it() {
    let (sent, _) = session_13(0x1301);
    for whole in [true, false] {
        let mut parser = TlsParser::with_keys(Some(key_log(&SECRETS, 32)));
        feed(&mut parser, &sent[..9], 100_000);
        // Of the answer's first record the first ten bytes were captured.
        let (_, answer) = &sent[9];
        let lost = if whole { answer.len() - 10 } else { 4_000 };
        parser.data(ToClient, &answer[..10], at(10));
        parser.gap(ToClient, lost as u64, at(11));
        let mut plain = parser.take_plain();
        plain.extend(feed(&mut parser, &sent[10..], 100_000));
        let session = parser.finish();
        assert_eq!(opened(&session).why, [None, Some(Sealed::Gap)]);
        // A torn record has its place among the others: those behind it prove themselves.
        let answer = if whole { "[19]Content-Length: 0\r\n\r\n" } else { "[4000]" };
        assert_eq!((said(&plain, ToClient).as_str(), opened(&session).sealed[1]), (answer, u64::from(whole)));
        // The other side goes on.
        assert_eq!(session.alerts.last().and_then(|alert| alert.description), Some(45));
    }
}

#[test]
fn early_data_stays_closed_and_what_follows_it_opens() {
    let (mut sent, _) = session_13(0x1301);
    // pre_shared_key.
    let hello = [&[3, 3], RANDOMS[0].as_slice(), &[0, 0, 2, 0x13, 1, 1, 0, 0, 4, 0, 41, 0, 0]].concat();
    sent[0] = (ToServer, record(22, &message(1, &hello)));
    sent.insert(1, (ToServer, record(23, &[0; 60])));
    sent.insert(3, (ToServer, record(23, &[0; 90])));
    let mut parser = TlsParser::with_keys(Some(key_log(&SECRETS, 32)));
    let plain = feed(&mut parser, &sent, 100_000);
    assert_eq!(said(&plain, ToServer), "GET / HTTP/1.1\r\n\r\n");
    let session = parser.finish();
    assert_eq!((opened(&session).records[0], opened(&session).sealed[0]), (3, 2));
    assert_eq!(opened(&session).why, [Some(Sealed::EarlyData), None]);
}

#[test]
fn who_opens_nothing_stops_trying() {
    let mut parser = TlsParser::with_keys(Some(key_log(&SECRETS, 32)));
    feed(&mut parser, &[(ToServer, client_hello()), (ToClient, server_hello(0x1301))], 100_000);
    let junk: Vec<_> = (0..100).map(|_| (ToClient, record(23, &[3; 300]))).collect();
    feed(&mut parser, &junk, 100_000);
    let (held, session) = (parser.held(), parser.finish());
    assert_eq!((opened(&session).sealed[1], opened(&session).why[1]), (100, Some(Sealed::NoKeyFits)));
    assert!(held < 1 << 14);
}

proptest! {
    /// Any damage and any hole: no panic, and what is said inside is what was sent, or missing.
    #[test]
    fn damage_opens_nothing_else(
        place in 0usize..2_000,
        value in 1u8..,
        from in 0usize..14,
        lost in 0u64..400,
    ) {
        let (mut sent, _) = session_13(0x1303);
        let mut left = place;
        for (_, bytes) in &mut sent {
            if left < bytes.len() {
                bytes[left] ^= value;
                break;
            }
            left -= bytes.len();
        }
        let mut parser = TlsParser::with_keys(Some(key_log(&SECRETS, 32)));
        let mut plain = feed(&mut parser, &sent[..from], 13);
        parser.gap(ToClient, lost, at(99));
        plain.extend(parser.take_plain());
        plain.extend(feed(&mut parser, &sent[from..], 13));
        for direction in [ToServer, ToClient] {
            let all = "GET / HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            for known in plain.iter().filter(|plain| plain.direction == direction) {
                if let Octets::Known(octets) = &known.octets {
                    prop_assert!(all.contains(&*String::from_utf8_lossy(octets)));
                }
            }
        }
    }
}
