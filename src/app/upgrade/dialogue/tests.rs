use super::*;
use proptest::prelude::*;

const HELLO: &[u8] = &[22, 3, 1, 0, 4, 1, 0, 0, 0];
const SERVER_HELLO: &[u8] = &[22, 3, 3, 0, 4, 2, 0, 0, 0];

/// Lines of a client (`c`) and a server (`s`), cut into pieces: what is left over for TLS by direction, and
/// the request.
fn talk(steps: &[(char, &[u8])], piece: usize) -> ([Vec<u8>; 2], Option<StartTls>) {
    let direction = |side: char| if side == 'c' { Direction::ToServer } else { Direction::ToClient };
    let (side, first) = steps[0];
    let mut dialogue = Dialogue::new(direction(side), first).expect("a known begin");
    let mut tls = [Vec::new(), Vec::new()];
    for (side, bytes) in steps {
        let direction = direction(*side);
        for part in bytes.chunks(piece) {
            match dialogue.is_secured(direction) {
                true => tls[direction.index()].extend_from_slice(part),
                false => tls[direction.index()].extend(dialogue.data(direction, part, PacketRef::default())),
            }
        }
    }
    (tls, dialogue.request)
}

const LDAP_ASK: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
const LDAP_AGREE: &[u8] = b"\x30\x84\0\0\0\x10\x02\x01\x01\x78\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0";
const LDAP_REFUSE: &[u8] = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\0\x04\0";
const POSTGRES_ASK: &[u8] = &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
const MYSQL_GREETING: &[u8] = b"\x08\0\0\0\x0a8.0.30\0";
const MYSQL_ASK: &[u8] =
    b"\x20\0\0\x01\x85\xae\xff\x19\0\0\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Who says what, in turn: `c` the client, `s` the server.
type Script = &'static [(char, &'static [u8])];

#[test]
fn every_protocol_goes_over_to_tls_however_it_is_cut() {
    use PlainProtocol::{Ftp, Imap, Ldap, Mysql, Pop3, Postgresql, Smtp, Xmpp};
    let cases: [(PlainProtocol, Script); 9] = [
        (
            Smtp,
            &[
                ('s', b"220-mail ready\r\n220 go\r\n"),
                ('c', b"EHLO me\r\n"),
                ('s', b"250-mail\r\n250 STARTTLS\r\n"),
                ('c', b"starttls\r\n"),
                ('s', b"220 2.0.0 Ready\r\n"),
            ],
        ),
        (Ftp, &[('s', b"220 ftp\r\n"), ('c', b"AUTH TLS\r\n"), ('s', b"234 go on\r\n")]),
        (Pop3, &[('s', b"+OK ready\r\n"), ('c', b"STLS\r\n"), ('s', b"+OK begin\r\n")]),
        (
            Imap,
            &[
                ('s', b"* OK ready\r\n"),
                ('c', b"a1 CAPABILITY\r\n"),
                ('s', b"* CAPABILITY STARTTLS\r\na1 OK done\r\n"),
                ('c', b"a2 STARTTLS\r\n"),
                ('s', b"a2 OK begin\r\n"),
            ],
        ),
        (
            Xmpp,
            &[
                ('c', b"<?xml version='1.0'?><stream:stream to='a.example'>"),
                ('s', b"<?xml version='1.0'?><stream:stream><stream:features><starttls/></stream:features>"),
                ('c', b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
                ('s', b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
            ],
        ),
        (Ldap, &[('c', LDAP_ASK), ('s', LDAP_AGREE)]),
        (Postgresql, &[('c', POSTGRES_ASK), ('s', b"S")]),
        (
            Postgresql,
            &[('c', &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x30]), ('s', b"N"), ('c', POSTGRES_ASK), ('s', b"S")],
        ),
        (Mysql, &[('s', MYSQL_GREETING), ('c', MYSQL_ASK)]),
    ];
    for (protocol, steps) in cases {
        for piece in [1, 2, 3, 7, 1000] {
            let steps = [steps, &[('c', HELLO), ('s', SERVER_HELLO)]].concat();
            let (tls, request) = talk(&steps, piece);
            let request = request.unwrap_or_else(|| panic!("{protocol:?} was not asked for TLS"));
            assert_eq!((request.protocol, request.verdict), (protocol, Verdict::Agreed));
            assert_eq!(tls, [HELLO.to_vec(), SERVER_HELLO.to_vec()], "{protocol:?} in pieces of {piece}");
        }
    }
}

#[test]
fn refusals_say_why_and_what_the_client_did_then() {
    let smtp: &[(char, &[u8])] = &[
        ('s', b"220 mail\r\n"),
        ('c', b"EHLO me\r\n"),
        ('s', b"250 STARTTLS\r\n"),
        ('c', b"STARTTLS\r\n"),
        ('s', b"454 4.7.0 TLS not available\x1b\r\n"),
    ];
    for (then, went_on) in [(&b"QUIT\r\n"[..], false), (b"MAIL FROM:<a@b>\r\n", true)] {
        let (tls, request) = talk(&[smtp, &[('c', then)]].concat(), 5);
        let request = request.expect("asked");
        assert_eq!((request.verdict, request.went_on), (Verdict::Refused, went_on));
        assert_eq!(request.reply, "454 4.7.0 TLS not available\\x1b");
        assert!(tls.iter().all(Vec::is_empty));
    }
    let (_, request) = talk(&[('c', LDAP_ASK), ('s', LDAP_REFUSE), ('c', b"\x30\x05\x02\x01\x03\x42\0")], 4);
    let request = request.expect("asked");
    assert_eq!((request.verdict, request.went_on), (Verdict::Refused, false));
    assert_eq!(request.reply, "resultCode 52");
    let start: &[u8] = &[0, 0, 0, 9, 0, 3, 0, 0, 0];
    let (_, request) = talk(&[('c', POSTGRES_ASK), ('s', b"N"), ('c', start)], 9);
    assert!(request.is_some_and(|request| request.went_on));
}

#[test]
fn a_client_that_goes_over_before_the_answer_is_captured_is_followed() {
    let (tls, request) = talk(
        &[
            ('s', b"220 mail\r\n"),
            ('c', b"STARTTLS\r\n"),
            ('c', HELLO),
            ('s', b"220 go\r\n"),
            ('s', SERVER_HELLO),
        ],
        1000,
    );
    assert_eq!(tls, [HELLO.to_vec(), SERVER_HELLO.to_vec()]);
    assert!(request.is_some_and(|request| request.verdict == Verdict::Agreed));
}

#[test]
fn other_protocols_are_none() {
    for (direction, bytes) in [
        (Direction::ToClient, &b"SSH-2.0-x"[..]),
        (Direction::ToClient, b"+PONG\r\n"),
        (Direction::ToClient, b"RFB 003.008\n"),
        (Direction::ToServer, b"*1\r\n$4\r\nPING\r\n"),
        (Direction::ToServer, b"\0\0\0\x52\0\x03\0\0user\0"),
        // SNMP: an INTEGER, and then no operation.
        (Direction::ToServer, b"\x30\x26\x02\x01\x01\x04\x06public"),
    ] {
        assert_eq!(Dialogue::recognise(direction, bytes), Recognition::No, "{}", bytes.escape_ascii());
    }
    assert_eq!(Dialogue::recognise(Direction::ToClient, b"22"), Recognition::NeedMore);
    assert_eq!(Dialogue::recognise(Direction::ToClient, b"220 a"), Recognition::Yes);
}

#[test]
fn no_more_than_the_beginning_is_read_or_kept() {
    let mut dialogue = Dialogue::new(Direction::ToClient, b"220 mail\r\n").expect("a known begin");
    for _ in 0..1000 {
        dialogue.data(Direction::ToServer, &[b'x'; 1000], PacketRef::default());
        dialogue.data(Direction::ToClient, b"250 line\r\n", PacketRef::default());
    }
    assert!(dialogue.held() < 2 * MOST_MESSAGE + 1024, "{} bytes", dialogue.held());
    dialogue.data(Direction::ToServer, b"STARTTLS\r\n", PacketRef::default());
    assert_eq!(dialogue.request(), None);
}

proptest! {
    /// What packets can hold: a conversation with octets changed, cut and missing.
    #[test]
    fn no_bytes_break_it(
        begin in 0usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        pieces in prop::collection::vec((any::<bool>(), 1usize..60, prop::bool::weighted(0.05)), 1..60),
    ) {
        let (first, asks, answers): (_, &[u8], &[u8]) = match begin {
            0 => ('s', b"EHLO a\r\nSTARTTLS\r\n", b"220 a\r\n250 STARTTLS\r\n220 go\r\n"),
            1 => ('s', b"a1 STARTTLS\r\n", b"* OK a\r\na1 OK go\r\n"),
            2 => ('c', LDAP_ASK, LDAP_AGREE),
            3 => ('c', POSTGRES_ASK, b"S"),
            4 => ('s', MYSQL_ASK, MYSQL_GREETING),
            _ => ('c', b"<stream:stream><starttls/>", b"<stream:stream><proceed/>"),
        };
        let mut sides = [[asks, HELLO].concat(), [answers, SERVER_HELLO].concat()];
        for (place, octet) in changes {
            let side = &mut sides[usize::from(octet % 2)];
            *place.get_mut(side) = octet;
        }
        let begins = if first == 'c' { Direction::ToServer } else { Direction::ToClient };
        let recognised = Dialogue::recognise(begins, &sides[begins.index()]);
        let Some(mut dialogue) = Dialogue::new(begins, &sides[begins.index()]) else {
            prop_assert_ne!(recognised, Recognition::Yes);
            return Ok(());
        };
        let (mut places, mut tls) = ([0; 2], 0);
        for (by_client, length, lost) in pieces {
            let direction = if by_client { Direction::ToServer } else { Direction::ToClient };
            let (side, place) = (&sides[direction.index()], &mut places[direction.index()]);
            let part = &side[*place..side.len().min(*place + length)];
            *place += part.len();
            tls += dialogue.data(direction, part, PacketRef::default()).len();
            if lost {
                dialogue.gap(direction);
            }
        }
        prop_assert!(tls <= sides.concat().len() && dialogue.held() < 4096);
    }
}
