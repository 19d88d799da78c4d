use super::*;
use crate::app::quic::initial::tests::{ID, SERVER_INITIAL, octets};
use crate::dissect::Direction::{ToClient, ToServer};
use crate::support::quic::{ACK, GREASE, Quic as Talk, V1, V2, close, crypto};
use crate::support::tcp::{CLIENT, SERVER};
use crate::support::tls;
use crate::time::Timestamp;

pub(super) fn at(packet: u64, millis: i64) -> PacketRef {
    PacketRef { packet, time: Timestamp(0) + Span::millis(millis) }
}

pub(super) fn talk(version: u32) -> Talk {
    let (client, server) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    Talk { version, ..Talk::between((client, 50_000), (server, 443), 0) }
}

/// The client's first datagram.
pub(super) fn asks(talk: &mut Talk) -> Vec<u8> {
    let frames = crypto(0, &talk.hello("www.shop.example"));
    talk.initial(CLIENT, &frames, 1200)
}

/// The server's answer.
pub(super) fn answers(talk: &mut Talk) -> Vec<u8> {
    talk.ids[SERVER] = b"server".to_vec();
    let hello = tls::server_hello(true, 7)[5..].to_vec();
    let flight = [ACK, &crypto(0, &hello)].concat();
    [talk.initial(SERVER, &flight, 0), talk.handshake(SERVER, 700)].concat()
}

pub(super) fn facts(reader: QuicReader) -> (TlsSession, Quic) {
    let mut session = reader.finish();
    let quic = *session.quic.take().expect("QUIC");
    (session, quic)
}

#[test]
fn a_handshake_of_either_version() {
    for version in [V1, V2] {
        let (mut talk, mut reader) = (talk(version), QuicReader::default());
        reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
        reader.datagram(ToClient, &answers(&mut talk), at(2, 20));
        let last = [talk.initial(CLIENT, ACK, 0), talk.handshake(CLIENT, 60), talk.short(CLIENT, 40)];
        reader.datagram(ToServer, &last.concat(), at(3, 21));
        reader.datagram(ToClient, &talk.short(SERVER, 400), at(4, 40));
        assert!(reader.origin.is_none(), "its keys are kept");
        let (session, quic) = facts(reader);
        let hello = session.client_hello.expect("a ClientHello");
        assert_eq!((hello.sni.as_deref(), hello.at), (Some("www.shop.example"), at(1, 0)));
        assert_eq!(hello.alpn, ["h2", "http/1.1"]);
        assert!(hello.ja4.starts_with("q13d0408h2_"), "{}", hello.ja4);
        assert_eq!(session.server_hello.map(|hello| hello.version), Some(0x0304));
        assert_eq!(session.established, Some(at(3, 21)));
        assert_eq!(session.application_data, [Some(at(3, 21)), Some(at(4, 40))]);
        assert_eq!((quic.version, quic.tried), (version, vec![version]));
        assert_eq!((quic.flights, quic.heard, quic.unread), (vec![at(1, 0)], true, 0));
    }
}

/// The bit of short headers, with the round trips to both sides: 4 ms and 20 ms.
#[test]
fn a_connection_that_spins_tells_its_round_trips() {
    for spins in [true, false] {
        let (mut talk, mut reader) = (talk(V1), QuicReader::default());
        reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
        reader.datagram(ToClient, &answers(&mut talk), at(2, 20));
        let (mut now, mut bit) = (24, 0);
        for _ in 0..10 {
            for (side, direction, trip) in [(CLIENT, ToServer, 20), (SERVER, ToClient, 4)] {
                let mut packet = talk.short(side, 60);
                packet[0] |= bit;
                // Several of a flight have the same.
                reader.datagram(direction, &packet, at(3, now));
                reader.datagram(direction, &packet, at(3, now + 1));
                now += trip;
            }
            bit ^= if spins { 0x20 } else { 0 };
        }
        let spun = facts(reader).1.spin;
        assert_eq!(spun.map(|spun| spun.least), spins.then_some([Span::millis(4), Span::millis(20)]));
    }
}

/// RFC 9001 appendix A.3: nobody has to have the client's packet but for the ID in it.
#[test]
fn the_server_hello_of_rfc_9001() {
    let mut reader = QuicReader::default();
    let version = Version::of(1).expect("read");
    let keys = InitialKeys::new(version, &ID);
    reader.origin = Some(Box::new(Origin { id: ID.to_vec(), version: 1, keys }));
    reader.datagram(ToClient, &octets(SERVER_INITIAL), at(2, 20));
    let (session, quic) = facts(reader);
    assert_eq!(session.server_hello.map(|hello| hello.cipher_suite), Some(0x1301));
    assert_eq!(quic.answered, Some(at(2, 20)));
}

/// A ClientHello with a post-quantum key takes two datagrams, and who scrambles it sends pieces backwards.
#[test]
fn a_hello_in_pieces_in_any_order() {
    let mut talk = talk(V1);
    let hello = talk.hello("www.shop.example");
    let (one, other) = hello.split_at(90);
    let (two, three) = other.split_at(50);
    let frames = [crypto(140, three), crypto(0, one)].concat();
    let datagrams = [talk.initial(CLIENT, &frames, 1200), talk.initial(CLIENT, &crypto(90, two), 1200)];
    for order in [[0, 1], [1, 0]] {
        let mut reader = QuicReader::default();
        order.iter().for_each(|place| reader.datagram(ToServer, &datagrams[*place], at(*place as u64, 0)));
        let (session, quic) = facts(reader);
        assert_eq!(session.server_name(), "www.shop.example");
        assert_eq!(quic.flight_count, 1, "both are one flight");
    }
}

#[test]
fn repeats_are_flights_and_copies_are_not() {
    let (mut talk, mut reader) = (talk(V1), QuicReader::default());
    for millis in [0, 1000, 3000] {
        let datagram = asks(&mut talk);
        reader.datagram(ToServer, &datagram, at(1, millis));
        reader.datagram(ToServer, &datagram, at(2, millis + 30));
    }
    let (_, quic) = facts(reader);
    assert_eq!(quic.flights, [at(1, 0), at(1, 1000), at(1, 3000)]);
    assert!(quic.is_unanswered());
}

/// A capture of one direction shows by the client's own packets that an answer reached it.
#[test]
fn a_client_that_acknowledges_was_answered() {
    for next in [0, 1, 2] {
        let (mut talk, mut reader) = (talk(V1), QuicReader::default());
        reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
        reader.datagram(ToServer, &asks(&mut talk), at(2, 1000));
        let next = match next {
            0 => talk.initial(CLIENT, ACK, 1200),
            1 => talk.handshake(CLIENT, 60),
            _ => talk.short(CLIENT, 60),
        };
        reader.datagram(ToServer, &next, at(3, 1010));
        let (_, quic) = facts(reader);
        assert!(quic.heard && !quic.is_unanswered());
    }
}

#[test]
fn a_version_is_negotiated() {
    let (mut first, mut reader) = (talk(GREASE), QuicReader::default());
    let datagram = first.initial(CLIENT, &[1], 1200);
    assert!(crate::app::quic::looks_like_quic(&datagram));
    reader.datagram(ToServer, &datagram, at(1, 0));
    reader.datagram(ToClient, &first.negotiation(&[GREASE, V2, V1]), at(2, 10));
    let mut other = first.clone();
    other.ids[CLIENT] = vec![1, 2, 3];
    reader.datagram(ToClient, &other.negotiation(&[V1]), at(3, 11));
    let mut second = Talk { version: V1, original: b"anotherid".to_vec(), ..first };
    second.ids[SERVER] = second.original.clone();
    reader.datagram(ToServer, &asks(&mut second), at(4, 20));
    reader.datagram(ToClient, &answers(&mut second), at(5, 30));
    let (session, quic) = facts(reader);
    assert_eq!((quic.negotiations, quic.negotiated_at), (1, Some(at(2, 10))), "of other IDs");
    assert_eq!((quic.tried, quic.server_versions), (vec![GREASE, V1], vec![V2, V1]));
    assert_eq!((quic.version, quic.other_connections), (V1, 0));
    assert_eq!(session.server_name(), "www.shop.example");
    assert!(session.server_hello.is_some());
}

/// The server of RFC 9368 goes on in another version without asking: the same ID, other keys.
#[test]
fn a_compatible_version_is_changed_to() {
    let (mut talk, mut reader) = (talk(V1), QuicReader::default());
    reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
    talk.version = V2;
    reader.datagram(ToClient, &answers(&mut talk), at(2, 10));
    reader.datagram(ToServer, &talk.initial(CLIENT, ACK, 1200), at(3, 11));
    let (session, quic) = facts(reader);
    assert!(session.server_hello.is_some());
    assert_eq!((quic.version, quic.tried, quic.unread), (V2, vec![V1, V2], 0));
}

#[test]
fn a_retry_is_followed_and_a_loop_is_told() {
    let (mut talk, mut reader) = (talk(V1), QuicReader::default());
    reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
    let mut forged = talk.clone().retry(b"evil", b"token");
    *forged.last_mut().expect("a tag") ^= 1;
    reader.datagram(ToClient, &forged, at(2, 1));
    reader.datagram(ToClient, &talk.retry(b"retried", b"token"), at(3, 2));
    reader.datagram(ToServer, &asks(&mut talk), at(4, 30));
    assert_eq!((reader.quic.retries, reader.quic.retried_again), (1, 0));
    let mut again = talk.clone();
    reader.datagram(ToClient, &again.retry(b"once more", b"token"), at(5, 40));
    reader.datagram(ToServer, &asks(&mut again), at(6, 60));
    assert_eq!((reader.quic.retries, reader.quic.retried_again), (2, 1));
    reader.datagram(ToClient, &answers(&mut again), at(7, 70));
    let (session, quic) = facts(reader);
    assert!(session.server_hello.is_some() && session.client_hello.is_some());
    assert_eq!((quic.other_connections, quic.unread), (0, 0));
}

#[test]
fn errors_of_the_handshake_are_alerts() {
    let (mut talk, mut reader) = (talk(V1), QuicReader::default());
    reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
    talk.ids[SERVER] = b"server".to_vec();
    for millis in [10, 20] {
        reader.datagram(ToClient, &talk.initial(SERVER, &[ACK, &close(0x178)].concat(), 0), at(2, millis));
    }
    let (session, quic) = facts(reader);
    let alert = session.fatal_alert().expect("an alert");
    assert_eq!((alert.name(), alert.direction), ("no_application_protocol".to_owned(), ToClient));
    assert_eq!((session.alerts.len(), quic.close.map(|close| close.code)), (1, Some(0x178)));

    let mut reader = QuicReader::default();
    let mut talk = self::talk(V1);
    reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
    reader.datagram(ToClient, &talk.initial(SERVER, &close(2), 0), at(2, 10));
    let (session, quic) = facts(reader);
    assert!(session.alerts.is_empty());
    assert_eq!(
        quic.close.map(|close| super::super::error_name(close.code)).as_deref(),
        Some("CONNECTION_REFUSED")
    );
}

#[test]
fn a_client_that_closes_sends_no_flight() {
    let (mut talk, mut reader) = (talk(V1), QuicReader::default());
    reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
    reader.datagram(ToServer, &talk.initial(CLIENT, &close(0), 1200), at(2, 500));
    let (_, quic) = facts(reader);
    assert_eq!((quic.flight_count, quic.is_unanswered()), (1, false));
}

#[test]
fn equal_ends_of_different_datagrams_are_stateless_resets() {
    let (mut talk, mut reader) = (talk(V1), QuicReader::default());
    reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
    reader.datagram(ToClient, &answers(&mut talk), at(2, 20));
    let data = talk.short(SERVER, 60);
    (3..6).for_each(|packet| reader.datagram(ToClient, &data, at(packet, 30)));
    assert_eq!(reader.quic.resets, 0, "copies");
    let resets = [talk.stateless_reset(30), talk.stateless_reset(30), talk.stateless_reset(27)];
    resets.iter().for_each(|reset| reader.datagram(ToClient, reset, at(7, 40)));
    assert_eq!((reader.quic.resets, reader.quic.reset_at), (2, Some(at(7, 40))));
}

#[test]
fn what_was_cut_short_is_not_opened() {
    let (mut talk, mut reader) = (talk(V1), QuicReader::default());
    reader.datagram(ToServer, &asks(&mut talk)[..96], at(1, 0));
    reader.datagram(ToServer, &asks(&mut talk)[..96], at(2, 1000));
    let (session, quic) = facts(reader);
    assert!(session.client_hello.is_none());
    assert_eq!((quic.unread, quic.is_unanswered(), quic.version), (2, false, V1));
}

#[test]
fn a_second_connection_between_the_same_ports_is_counted() {
    let (mut talk, mut reader) = (talk(V1), QuicReader::default());
    reader.datagram(ToServer, &asks(&mut talk), at(1, 0));
    reader.datagram(ToClient, &answers(&mut talk), at(2, 20));
    let mut other = Talk { original: b"another".to_vec(), ..self::talk(V1) };
    other.ids[SERVER] = other.original.clone();
    let frames = crypto(0, &other.hello("other.example"));
    reader.datagram(ToServer, &other.initial(CLIENT, &frames, 1200), at(3, 30));
    let (session, quic) = facts(reader);
    assert_eq!((session.server_name(), quic.other_connections), ("www.shop.example", 1));
}

#[test]
fn opening_is_bounded() {
    let mut reader = QuicReader::default();
    for number in 0..2000_u32 {
        let mut talk = Talk { original: number.to_be_bytes().to_vec(), ..talk(V1) };
        talk.ids[SERVER] = talk.original.clone();
        let datagram = talk.initial(CLIENT, &crypto(900, &[7; 900]), 1200);
        reader.datagram(ToServer, &datagram, at(number.into(), number.into()));
    }
    assert!(reader.opened <= MOST_OPENED + 1);
    assert!(reader.held() < 1 << 16, "{}", reader.held());
    assert!(reader.quic.flights.len() <= Quic::FLIGHTS);
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80),
        front in 0..4_usize,
        cut in 0..1200_usize,
        place in 0..1200_usize,
    ) {
        let mut talk = talk(V1);
        let mut reader = QuicReader::default();
        let mut datagram = asks(&mut talk);
        reader.datagram(ToServer, &datagram, at(1, 0));
        datagram[place] ^= 0x55;
        reader.datagram(ToServer, &datagram[..cut], at(2, 0));
        let front: &[u8] = [&[][..], b"\xc0\0\0\0\x01", b"\xc0\0\0\0\0", b"\xf0\x6b\x33\x43\xcf"][front];
        let bytes = [front, &bytes].concat();
        for direction in [ToServer, ToClient] {
            reader.datagram(direction, &bytes, at(3, 0));
        }
        // Any frames.
        let sealed = talk.initial(CLIENT, &bytes, 0);
        reader.datagram(ToServer, &sealed, at(4, 0));
        reader.finish();
    }
}
