use super::*;
use crate::support::http2::{
    call, client_begin, data, frame, goaway, headers, reply, reset, section, settings,
};
use crate::time::Timestamp;
use proptest::prelude::*;

/// What both sides send, in order, cut into pieces: the exchanges.
fn talk(steps: &[(char, Vec<u8>)], piece: usize) -> Vec<Exchange> {
    let mut parser = Http2Parser::new(Direction::ToServer);
    for (number, (side, bytes)) in (1..).zip(steps) {
        let direction = if *side == 'c' { Direction::ToServer } else { Direction::ToClient };
        let time = Timestamp(number * 1_000_000);
        let at = PacketRef { packet: number.unsigned_abs(), time };
        bytes.chunks(piece).for_each(|part| parser.data(direction, part, at, time));
    }
    let mut exchanges = parser.finished(Timestamp(i64::MAX));
    exchanges.extend(parser.close(None));
    exchanges
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    let fields = [(":method", "GET"), (":path", path), (":authority", "www.shop.example")];
    headers(stream, true, &fields)
}

#[test]
fn streams_are_exchanges_however_they_are_cut() {
    let steps = [
        ('s', settings()),
        ('c', client_begin()),
        ('c', [get(1, "/a"), call(3, "/shop.Cart/Get")].concat()),
        ('s', headers(1, false, &[(":status", "100")])),
        ('s', reply(3, "14")),
        ('s', headers(1, false, &[(":status", "404"), ("content-length", "5"), ("server", "shop")])),
        ('s', data(1, true, b"hello")),
    ];
    for piece in [1, 2, 5, 9, 33, 10_000] {
        let exchanges = talk(&steps, piece);
        let [called, got] = &exchanges[..] else { panic!("{exchanges:#?}") };
        let text = |exchange: &Exchange| {
            let Exchange { method, host, target, .. } = exchange;
            format!("{method} {host}{target} {:?} {:?}", exchange.status, exchange.grpc_status)
        };
        assert_eq!(text(got), "GET www.shop.example/a Some(404) None");
        assert_eq!(text(called), "POST api.shop.example/shop.Cart/Get Some(200) Some(14)");
        assert_eq!((got.response_bytes, got.announced, got.interim), (5, Some(5), 1));
        assert_eq!((called.request_bytes, got.version, called.depth), (8, 2, 2));
        assert!(got.request_whole && got.response_whole && got.closed.is_none() && !got.unheard);
        assert_eq!(got.waited(), Some(crate::time::Span::millis(3)));
    }
}

#[test]
fn sections_go_on_in_other_frames_behind_padding_and_priority() {
    let fields = section(&[(":method", "GET"), (":path", "/long"), (":authority", "a.example")]);
    let (front, back) = fields.split_at(20);
    let padded = [&[2, 0, 0, 0, 0, 16], front, &[0, 0]].concat();
    let answer = [&[3][..], b"body", &[0; 3]].concat();
    let steps = [
        ('c', client_begin()),
        ('c', [frame(1, 1 | 8 | 0x20, 1, &padded), frame(9, 4, 1, back)].concat()),
        ('s', [headers(1, false, &[(":status", "200")]), frame(0, 1 | 8, 1, &answer)].concat()),
    ];
    let exchanges = talk(&steps, 7);
    assert_eq!((exchanges[0].target.as_str(), exchanges[0].status), ("/long", Some(200)));
    assert_eq!(exchanges[0].response_bytes, 4);
}

#[test]
fn streams_end_with_a_code() {
    let steps = [
        ('c', client_begin()),
        ('c', [get(1, "/a"), get(3, "/b"), get(5, "/c"), get(7, "/d")].concat()),
        ('s', reset(1, 2)),
        ('c', reset(3, 8)),
        ('s', goaway(5, 0)),
    ];
    let exchanges = talk(&steps, 10_000);
    let by = |exchange: &Exchange| (exchange.closed.map(|closing| closing.direction), exchange.error);
    assert_eq!(by(&exchanges[0]), (Some(Direction::ToClient), Some(2)));
    assert_eq!(by(&exchanges[1]), (Some(Direction::ToServer), Some(8)));
    assert_eq!(by(&exchanges[2]), (Some(Direction::ToClient), Some(7)));
    assert!(exchanges[2].is_refused() && exchanges[2].target == "/d");
    assert_eq!((exchanges[3].target.as_str(), by(&exchanges[3])), ("/c", (None, None)));
}

#[test]
fn what_was_not_captured_says_nothing() {
    let mut parser = Http2Parser::new(Direction::ToServer);
    let (at, clock) = (PacketRef::default(), Timestamp(1));
    parser.data(Direction::ToServer, &[client_begin(), get(1, "/a"), get(3, "/b")].concat(), at, clock);
    let answer = [headers(1, false, &[(":status", "200")]), data(1, true, &[b'x'; 100])].concat();
    parser.data(Direction::ToClient, &answer[..answer.len() - 50], at, clock);
    // Inside the body: the stream goes on.
    parser.gap(Direction::ToClient, 50, at, clock);
    let whole = parser.finished(Timestamp(i64::MAX));
    assert_eq!((whole[0].response_bytes, whole[0].response_whole, whole[0].unheard), (100, true, false));
    // Beyond it: nobody knows what follows.
    parser.gap(Direction::ToClient, 5, at, clock);
    parser.data(Direction::ToClient, &headers(3, true, &[(":status", "500")]), at, clock);
    let rest = parser.close(None);
    assert_eq!((rest[0].target.as_str(), rest[0].status, rest[0].unheard), ("/b", None, true));
}

#[test]
fn what_it_keeps_is_bounded() {
    let mut parser = Http2Parser::new(Direction::ToServer);
    let (at, clock) = (PacketRef::default(), Timestamp(1));
    parser.data(Direction::ToServer, &client_begin(), at, clock);
    let mut finished = 0;
    for stream in 0..5_000 {
        parser.data(Direction::ToServer, &get(2 * stream + 1, "/a"), at, clock);
        finished += parser.finished(Timestamp(2)).len();
    }
    assert_eq!(finished, 5_000 - MAX_STREAMS);
    assert!(parser.held() < MAX_STREAMS * 2048 + (1 << 18), "{} bytes", parser.held());
    // A section that never ends.
    parser.data(Direction::ToServer, &frame(1, 0, 20_001, &[0; 16_000]), at, clock);
    (0..100).for_each(|_| parser.data(Direction::ToServer, &frame(9, 0, 20_001, &[0; 16_000]), at, clock));
    assert!(parser.held() < MAX_STREAMS * 2048 + (1 << 19), "{} bytes", parser.held());
}

proptest! {
    /// What packets can hold: both sides of a connection with octets changed, cut and missing.
    #[test]
    fn no_bytes_break_it(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        pieces in prop::collection::vec((1usize..200, prop::option::weighted(0.1, 1u64..300)), 1..40),
    ) {
        let long = [(":status", "200"), ("server", "shop"), ("content-type", "application/grpc")];
        let mut asks = [client_begin(), get(1, "/a"), call(3, "/b"), get(5, "/c")].concat();
        // Indexed fields, fields that are kept, Huffman coding, and a smaller table.
        let kept = b"\x3f\x11\x82\x87\x40\x03abc\x83\xf1\xe3\xc2\xbe\x44\x02/d";
        asks.extend([frame(1, 4, 7, kept), frame(9, 4, 7, b"\x82\xbe"), reset(7, 8)].concat());
        let answers = [settings(), reply(3, "13"), headers(1, false, &long), data(1, true, &[7; 90])];
        let mut answers = [answers.concat(), frame(5, 4, 1, b"\0\0\0\x02\x82\x84"), goaway(5, 11)].concat();
        for (place, octet) in changes {
            let side = if octet % 2 == 0 { &mut asks } else { &mut answers };
            *place.get_mut(side) = octet;
        }
        let mut parser = Http2Parser::new(Direction::ToServer);
        let at = PacketRef::default();
        let mut sides = [(Direction::ToServer, &asks[..]), (Direction::ToClient, &answers[..])];
        let mut count = 0;
        for (number, (length, lost)) in (0..).zip(pieces.iter().cycle().take(400)) {
            let (direction, rest) = &mut sides[number % 2];
            let (now, after) = rest.split_at((*length).min(rest.len()));
            *rest = after;
            let clock = Timestamp(number as i64);
            parser.data(*direction, now, at, clock);
            if let Some(lost) = lost {
                parser.gap(*direction, *lost, at, clock);
            }
            count += parser.finished(clock).len();
        }
        prop_assert!(parser.held() < 1 << 18);
        count += parser.close(None).len();
        prop_assert!(count <= asks.len() + answers.len());
    }
}
