use super::*;
use crate::app::http::Exchange;
use crate::flow::Service;
use crate::support::{http2, tls};
use crate::time::Timestamp;

/// What both sides send, in order, each in pieces of so many bytes.
fn content(steps: &[(char, &[u8])], piece: usize) -> Content {
    let mut content = Content::stream(false, false, None);
    for (number, (side, bytes)) in (1..).zip(steps) {
        let direction = if *side == 'c' { Direction::ToServer } else { Direction::ToClient };
        content.clock = Timestamp(number * 1_000_000);
        let at = PacketRef { packet: number.unsigned_abs(), time: content.clock };
        bytes.chunks(piece).for_each(|part| content.data(direction, part, at));
    }
    content
}

fn name(content: &Content) -> &str {
    content.tls().map(|session| session.server_name()).unwrap_or_default()
}

const PIECES: [usize; 5] = [1, 3, 11, 100, 100_000];

#[test]
fn tls_behind_a_proxys_header_is_tls() {
    let hello = tls::client_hello("www.shop.example", true, 1);
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend([10, 7, 7, 7, 10, 1, 1, 1, 0x30, 0x39, 1, 0xbb]);
    for header in [b"PROXY TCP4 10.7.7.7 10.1.1.1 12345 443\r\n".to_vec(), binary] {
        for piece in PIECES {
            let bytes = [header.clone(), hello.clone()].concat();
            let content = content(&[('c', &bytes), ('s', &tls::server_hello(true, 1))], piece);
            assert_eq!((name(&content), content.service()), ("www.shop.example", Some(Service::Tls)));
            let proxied = content.upgrade().and_then(|upgrade| upgrade.proxied?.client);
            assert_eq!(proxied.map(|client| client.to_string()).as_deref(), Some("10.7.7.7:12345"));
            assert!(content.greetings().iter().all(|greeting| greeting.is_tls()));
        }
    }
}

#[test]
fn mail_behind_a_proxy_goes_over_to_tls() {
    let hello = tls::client_hello("mail.shop.example", true, 1);
    let steps: [(char, &[u8]); 7] = [
        ('c', b"PROXY TCP4 10.7.7.7 10.1.1.1 12345 25\r\n"),
        ('s', b"220 mail\r\n"),
        ('c', b"EHLO a\r\n"),
        ('s', b"250 STARTTLS\r\n"),
        ('c', b"STARTTLS\r\n"),
        ('s', b"220 go\r\n"),
        ('c', &hello),
    ];
    for piece in PIECES {
        let content = content(&steps, piece);
        assert_eq!((name(&content), content.service()), ("mail.shop.example", Some(Service::Tls)));
        let upgrade = content.upgrade().expect("both");
        assert_eq!((upgrade.began_in(), upgrade.proxied.is_some()), (Some("SMTP"), true));
        let [client, server] = content.greetings();
        assert!(client.is_tls() && server.is_silent());
    }
}

fn finish(content: &mut Content) -> Vec<Exchange> {
    content.close_exchanges(None)
}

#[test]
fn a_tunnel_through_a_proxy_is_read() {
    let hello = tls::client_hello("www.shop.example", true, 1);
    let steps: [(char, &[u8]); 3] = [
        ('c', b"CONNECT www.shop.example:443 HTTP/1.1\r\nHost: www.shop.example:443\r\n\r\n"),
        ('s', b"HTTP/1.1 200 Connection established\r\n\r\n"),
        ('c', &hello),
    ];
    for piece in PIECES {
        let mut content = content(&steps, piece);
        assert_eq!((name(&content), content.service()), ("www.shop.example", Some(Service::Tls)));
        assert!(content.hides_turns());
        assert_eq!(content.upgrade().and_then(|upgrade| upgrade.began_in()), Some("connect"));
        let exchanges = finish(&mut content);
        assert_eq!((exchanges.len(), exchanges[0].status), (1, Some(200)));
    }
}

#[test]
fn http_goes_over_to_http2_in_one_exchange() {
    let preface = http2::client_begin();
    let answer = [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".to_vec(),
        http2::settings(),
        http2::headers(1, true, &[(":status", "204")]),
    ];
    let steps: [(char, &[u8]); 3] = [
        ('c', b"GET /a HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
        ('s', &answer.concat()),
        ('c', &preface),
    ];
    for piece in PIECES {
        let mut content = content(&steps, piece);
        let exchanges = finish(&mut content);
        let [Exchange { target, status, version, interim, .. }] = &exchanges[..] else {
            panic!("{exchanges:?}")
        };
        assert_eq!((target.as_str(), *status, *version, *interim), ("/a", Some(204), 1, 1));
    }
}

#[test]
fn http2_may_begin_with_either_side() {
    let (begin, settings) = (http2::client_begin(), http2::settings());
    let (call, reply) = (http2::call(1, "/shop.Cart/Get"), http2::reply(1, "0"));
    for piece in PIECES {
        for steps in [
            [('c', &begin[..]), ('s', &settings), ('c', &call), ('s', &reply)],
            [('s', &settings[..]), ('c', &begin), ('c', &call), ('s', &reply)],
        ] {
            let mut content = content(&steps, piece);
            assert_eq!(content.service(), Some(Service::Http));
            let turns = content.turns(&|_| false).expect("of streams");
            assert_eq!((turns.answered, turns.request_bytes), (1, 8));
            let exchanges = finish(&mut content);
            assert_eq!((exchanges.len(), exchanges[0].grpc_status), (1, Some(0)));
        }
    }
}

#[test]
fn other_upgrades_stay_as_they_are() {
    let steps: [(char, &[u8]); 3] = [
        ('c', b"GET /chat HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\r\n"),
        ('s', b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"),
        ('c', b"\x16\x03\x01\0\x04\x01"),
    ];
    let mut content = content(&steps, 1000);
    assert_eq!((content.service(), content.tls(), content.upgrade()), (Some(Service::Http), None, None));
    assert_eq!(finish(&mut content)[0].status, Some(101));
}

#[test]
fn most_connections_keep_nothing_of_it() {
    for first in [&b"\x05\x01\0"[..], b"SSH-2.0-x\r\n", b"*1\r\n$4\r\nPING\r\n"] {
        let content = content(&[('c', first)], 1000);
        assert!(content.before.is_none() && content.upgrade().is_none());
        assert_eq!(content.held(), 0);
    }
}
