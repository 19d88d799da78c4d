//! Connections whose secrets are known.

use super::tests::{answers, asks, at, facts, talk};
use super::*;
use crate::app::quic::protection::{Header, HeaderKey, PacketKey};
use crate::app::tls::schedule::Suite;
use crate::dissect::Direction::{ToClient, ToServer};
use crate::support::quic::{Quic as Talk, V1, V2, crypto};
use crate::support::tcp::{CLIENT, SERVER};
use data_encoding::HEXLOWER;
use proptest::prelude::*;

const LEAF: &[u8] = include_bytes!("../../../../testdata/certs/leaf.der");
/// The words of a key log, client and server, and the octet that each secret is made of.
const HANDSHAKE: [(&str, u8); 2] =
    [("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 1), ("SERVER_HANDSHAKE_TRAFFIC_SECRET", 2)];
const DATA: [(&str, u8); 2] = [("CLIENT_TRAFFIC_SECRET_0", 3), ("SERVER_TRAFFIC_SECRET_0", 4)];

/// The secrets of a connection.
fn keys(talk: &Talk) -> Keys {
    let (keys, hello) = (Keys::default(), talk.hello("www.shop.example"));
    for (word, octet) in HANDSHAKE.iter().chain(&DATA) {
        let (random, secret) = (HEXLOWER.encode(&hello[6..38]), HEXLOWER.encode(&[*octet; 32]));
        keys.learn(format!("{word} {random} {secret}\n").as_bytes(), 0);
    }
    keys
}

fn sealed(talk: &Talk, octet: u8, head: Vec<u8>, number: u16, frames: &[u8]) -> Vec<u8> {
    let (version, suite) = (Version::of(talk.version).expect("read"), Suite::INITIAL);
    let protection = HeaderKey::new(version, suite, &[octet; 32]).expect("a key");
    let key = PacketKey::new(version, suite, &[octet; 32]).expect("a key");
    let at = head.len();
    let header = Header { octets: [head, number.to_be_bytes().to_vec()].concat(), number: at };
    key.seal(&protection, &header, number.into(), frames).expect("sealed")
}

/// A Handshake packet.
fn handshake(talk: &Talk, side: usize, number: u16, frames: &[u8]) -> Vec<u8> {
    let mut head = talk.front(side, if talk.version == V2 { 0x31 } else { 0x21 });
    head.extend(((2 + frames.len() as u16 + 16) | 0x4000).to_be_bytes());
    sealed(talk, HANDSHAKE[side].1, head, number, frames)
}

/// A 1-RTT packet.
fn data(talk: &Talk, side: usize, number: u16, frames: &[u8]) -> Vec<u8> {
    let head = [&[0x41][..], &talk.ids[1 - side]].concat();
    sealed(talk, DATA[side].1, head, number, frames)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

/// EncryptedExtensions with a protocol, and a certificate.
fn flight(protocol: &[u8]) -> Vec<u8> {
    let length = |length: usize| (length as u32).to_be_bytes()[1..].to_vec();
    let (long, entry) = (protocol.len() as u8, [&length(LEAF.len()), LEAF, &[0, 0]].concat());
    let chosen = [&[0, long + 7, 0, 16, 0, long + 3, 0, long + 1, long], protocol].concat();
    let chain = [&[0], length(entry.len()).as_slice(), &entry].concat();
    [message(8, &chosen), message(11, &chain)].concat()
}

/// Up to the end of the handshake.
fn connected(version: u32, protocol: &[u8]) -> (Talk, QuicReader) {
    let mut talk = talk(version);
    let mut reader = QuicReader::with_keys(Some(keys(&talk)));
    reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
    let initial = answers(&mut talk);
    let flight = flight(protocol);
    let (one, two) = flight.split_at(300);
    // The packets of the flight overtake each other, and the ServerHello.
    reader.datagram(ToClient, &handshake(&talk, SERVER, 1, &crypto(300, two)), at(2, 20));
    reader.datagram(ToClient, &initial, at(3, 20));
    reader.datagram(ToClient, &handshake(&talk, SERVER, 0, &crypto(0, one)), at(4, 21));
    let finished = handshake(&talk, CLIENT, 0, &crypto(0, &message(20, &[7; 32])));
    reader.datagram(ToServer, &finished, at(5, 22));
    (talk, reader)
}

#[test]
fn what_is_behind_the_initial_packets_is_read() {
    for version in [V1, V2] {
        let (talk, mut reader) = connected(version, b"h3");
        // What a side says of an error of the application in a Handshake packet is not all.
        let placeholder = handshake(&talk, SERVER, 7, &[0x1c, 0x0c, 0, 0]);
        let close = data(&talk, SERVER, 0, b"\x1d\x41\x02\x06no\x1b[1m");
        reader.datagram(ToClient, &[placeholder, close].concat(), at(6, 40));
        reader.datagram(ToServer, &data(&talk, CLIENT, 0, &[0x1c, 0, 0, 0]), at(7, 41));
        let (session, quic) = facts(reader);
        assert_eq!(session.certificates[1].len(), 1);
        assert_eq!(session.server_hello.and_then(|hello| hello.alpn).as_deref(), Some("h3"));
        assert_eq!(session.established, Some(at(5, 22)));
        let close = quic.close.expect("closed");
        assert_eq!((close.application, close.code, close.at), (true, 0x102, at(6, 40)));
        assert_eq!((close.name("h3").as_str(), close.reason.as_str()), ("H3_INTERNAL_ERROR", "no\\x1b[1m"));
        let opened = session.opened.expect("keys");
        // The filler that stands for a Handshake packet in the server's first datagram opens with no key.
        assert_eq!((opened.records, opened.sealed), ([2, 4], [0, 1]));
    }
}

#[test]
fn a_certificate_that_is_rejected_is_an_alert() {
    let (talk, mut reader) = connected(V1, b"h3");
    let close = handshake(&talk, CLIENT, 1, b"\x1c\x41\x2d\x06\x03old");
    reader.datagram(ToServer, &close, at(6, 40));
    let (session, quic) = facts(reader);
    let [alert] = session.alerts[..] else { panic!("{:?}", session.alerts) };
    assert_eq!((alert.direction, alert.level, alert.description), (ToServer, Some(2), Some(45)));
    let close = quic.close.expect("closed");
    assert_eq!((close.space, close.reason.as_str()), (Space::Handshake, "old"));
    assert_eq!(close.name("h3"), "CRYPTO_ERROR certificate_expired");
}

#[test]
fn without_keys_nothing_is_tried_and_early_data_is_named() {
    let mut talk = talk(V1);
    let mut reader = QuicReader::with_keys(Some(Keys::default()));
    reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
    reader.datagram(ToClient, &answers(&mut talk), at(2, 20));
    reader.datagram(ToClient, &data(&talk, SERVER, 0, &[1; 8]), at(3, 20));
    assert!(reader.opener.is_none() && reader.early.is_empty());
    assert_eq!(facts(reader).0.opened, None);

    let mut reader = QuicReader::with_keys(Some(keys(&talk)));
    let mut early = talk.front(CLIENT, 0x10);
    early.extend([0x40, 20]);
    early.extend([9; 20]);
    reader.datagram(ToServer, &[asks(&mut talk), early].concat(), at(1, 0));
    let opened = facts(reader).0.opened.expect("keys");
    assert_eq!((opened.sealed, opened.why()), ([1, 0], Some(Sealed::EarlyData)));
}

#[test]
fn names_that_a_server_gives_beforehand_are_known() {
    let (talk, mut reader) = connected(V1, b"h3");
    let given = |id: &[u8]| [&[0x18, 1, 0, id.len() as u8], id, &[7; 16]].concat();
    for (number, id) in [(0, &b"second"[..]), (1, b"new"), (2, b"second")] {
        reader.datagram(ToClient, &data(&talk, SERVER, number, &given(id)), at(6, 40));
    }
    reader.datagram(ToServer, &data(&talk, CLIENT, 1, &given(b"client's")), at(7, 41));
    (3..40).for_each(|number| {
        reader.datagram(ToClient, &data(&talk, SERVER, number, &given(&[number as u8; 8])), at(8, 42));
    });
    let ids = facts(reader).1.server_ids;
    assert_eq!((&ids[..2], ids.len()), (&[b"server".to_vec(), b"second".to_vec()][..], Quic::IDS));
}

#[test]
fn dns_of_the_streams_comes_out() {
    for (protocol, wanted) in [(&b"doq"[..], 2), (b"h3", 0)] {
        let (talk, mut reader) = connected(V1, protocol);
        let question = data(&talk, CLIENT, 0, b"\x0a\x04\x05\0\x03ask");
        reader.datagram(ToServer, &question, at(6, 40));
        let answer = data(&talk, SERVER, 0, b"\x0e\x04\x02\x04told");
        reader.datagram(ToClient, &answer, at(7, 50));
        reader.datagram(ToClient, &data(&talk, SERVER, 1, b"\x0a\x04\x02\0\x04"), at(8, 51));
        let messages = reader.take_messages();
        assert_eq!(messages.len(), wanted);
        let told = [(ToServer, 1, b"ask".to_vec(), at(6, 40)), (ToClient, 1, b"told".to_vec(), at(8, 51))];
        assert!(messages.is_empty() || messages == told, "{messages:?}");
    }
}

proptest! {
    /// Any frames in packets of any kind: no panic, and what is kept of them is bounded.
    #[test]
    fn no_frames_break_it(
        packets in prop::collection::vec(
            (0..2_usize, any::<bool>(), prop::collection::vec(any::<u8>(), 4..200)),
            0..40,
        ),
        dns in any::<bool>(),
    ) {
        let (talk, mut reader) = connected(V1, if dns { b"doq" } else { b"h3" });
        for (number, (side, early, frames)) in packets.iter().enumerate() {
            let number = number as u16 + 10;
            let packet = match early {
                true => handshake(&talk, *side, number, frames),
                false => data(&talk, *side, number, frames),
            };
            let direction = if *side == CLIENT { ToServer } else { ToClient };
            reader.datagram(direction, &packet, at(u64::from(number), 50));
            prop_assert!(reader.held() < 1 << 20);
            reader.take_messages();
        }
        let (session, _) = facts(reader);
        let opened = session.opened.map(|opened| opened.records.iter().sum::<u64>());
        prop_assert_eq!(opened, Some(3 + packets.len() as u64));
    }
}
