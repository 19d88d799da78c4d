//! What it does, and what it leaves alone.

use super::*;
use proptest::prelude::*;

const ASK: Direction = Direction::ToServer;
const ANSWER: Direction = Direction::ToClient;

fn at(packet: u64) -> PacketRef {
    PacketRef { packet, time: Timestamp(packet as i64 * 1_000_000) }
}

/// Feeds messages in pieces; each message is a packet, and each exchange is read at the end.
fn run(messages: &[(Direction, &[u8])], piece: usize, closing: Option<Closing>) -> Vec<Exchange> {
    let (first, bytes) = messages[0];
    let mut parser = HttpParser::new(first, bytes);
    for (number, (direction, bytes)) in (1..).zip(messages) {
        for part in bytes.chunks(piece) {
            parser.data(*direction, part, at(number), at(number).time);
        }
    }
    parser.close(closing)
}

fn fin(direction: Direction) -> Option<Closing> {
    Some(Closing { at: at(99), direction, reset: false, other_ttl: false })
}

const GET: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: www.example\r\nVia: 1.1 p\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello";

/// Every piece length gives what one piece gives.
#[track_caller]
fn always(messages: &[(Direction, &[u8])], closing: Option<Closing>) -> Vec<Exchange> {
    let whole = run(messages, usize::MAX, closing);
    let longest = messages.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or(1);
    for piece in 1..=longest {
        assert_eq!(run(messages, piece, closing), whole, "in pieces of {piece}");
    }
    whole
}

#[test]
fn a_request_and_its_response_are_an_exchange() {
    let [exchange] = &always(&[(ASK, GET), (ANSWER, OK)], None)[..] else { panic!("one exchange") };
    let words = (&*exchange.method, &*exchange.target, &*exchange.host, &*exchange.via);
    assert_eq!(words, ("GET", "/a?b", "www.example", "1.1 p"));
    assert_eq!((exchange.status, exchange.response_bytes, &*exchange.server), (Some(200), 5, "x"));
    assert!(exchange.request_whole && exchange.response_whole && !exchange.unheard);
    assert_eq!(exchange.waited(), Some(crate::time::Span::millis(1)));
}

#[test]
fn chunks_interim_responses_and_pipelining() {
    let post = b"POST /p HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    let found = always(
        &[
            (ASK, post),
            (ANSWER, b"HTTP/1.1 100 Continue\r\n\r\n"),
            (ASK, b"3\r\nabc\r\n0\r\n\r\n"),
            (ASK, &[GET, GET].concat()),
            (ANSWER, b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
            (ANSWER, &[OK, OK].concat()),
        ],
        None,
    );
    assert_eq!(found.iter().map(|one| one.status).collect::<Vec<_>>(), [Some(201), Some(200), Some(200)]);
    assert_eq!((found[0].interim, found[0].request_bytes, found[0].response_bytes), (1, 3, 2));
    assert_eq!(found.iter().map(|one| one.depth).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn responses_without_a_body_by_method_and_status() {
    let head = b"HEAD / HTTP/1.1\r\n\r\n";
    let found = always(
        &[
            (ASK, head),
            (ANSWER, b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
            (ASK, GET),
            (ANSWER, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 70\r\n\r\n"),
            (ASK, GET),
            (ANSWER, b"HTTP/1.1 204 No Content\r\n\r\n"),
            (ASK, GET),
            (ANSWER, OK),
        ],
        None,
    );
    assert_eq!(found.iter().filter(|one| one.response_whole).count(), 4);
    assert_eq!(found[3].response_bytes, 5);
}

#[test]
fn an_upgrade_ends_the_reading() {
    let found = always(
        &[
            (ASK, b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
            (ANSWER, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05GET /"),
            (ASK, b"\x81\x85\0\0\0\0hello"),
        ],
        fin(ANSWER),
    );
    assert_eq!((found.len(), found[0].status, found[0].upgraded), (1, Some(101), true));
    assert_eq!(found[0].closed, None);
    let tunnel = always(
        &[(ASK, b"CONNECT a:443 HTTP/1.1\r\n\r\n"), (ANSWER, b"HTTP/1.1 200 OK\r\n\r\n"), (ASK, b"\x16")],
        None,
    );
    assert!(tunnel[0].upgraded && tunnel[0].response_whole);
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole_unless_it_is_reset() {
    let open: &[(Direction, &[u8])] = &[(ASK, GET), (ANSWER, b"HTTP/1.0 200 OK\r\n\r\nhello")];
    assert!(always(open, fin(ANSWER))[0].response_whole);
    let reset = Some(Closing { at: at(99), direction: ANSWER, reset: true, other_ttl: false });
    assert!(always(open, reset)[0].is_cut());
    assert!(!always(open, None)[0].is_cut(), "the capture may have ended before");
}

#[test]
fn a_cut_body_and_a_request_without_an_answer() {
    let found = always(&[(ASK, &[GET, GET].concat()), (ANSWER, &OK[..OK.len() - 2])], fin(ANSWER));
    assert!(found[0].is_cut() && found[0].closed.is_some());
    assert_eq!((found[1].status, found[1].closed), (None, fin(ANSWER)));
}

#[test]
fn an_early_response_waits_for_the_request() {
    let head = b"POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\n";
    let full = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    let found = always(&[(ASK, head), (ANSWER, full), (ASK, b"abcd"), (ASK, GET), (ANSWER, OK)], None);
    assert_eq!(found.iter().map(|one| one.status).collect::<Vec<_>>(), [Some(413), Some(200)]);
}

#[test]
fn roles_are_told_by_content() {
    let found = always(&[(ANSWER, GET), (ASK, OK)], None);
    assert_eq!((found[0].status, &*found[0].host), (Some(200), "www.example"));
}

#[test]
fn a_gap_in_a_body_is_bridged_and_one_in_a_head_leaves_its_lines() {
    let mut parser = HttpParser::new(ASK, GET);
    let time = at(1).time;
    parser.data(ASK, GET, at(1), time);
    parser.data(ANSWER, &OK[..OK.len() - 5], at(2), time);
    parser.gap(ANSWER, 4, at(3), time);
    parser.data(ANSWER, b"o", at(4), time);
    parser.data(ASK, GET, at(5), time);
    parser.data(ANSWER, b"HTTP/1.1 503 Busy\r\nServer: y\r\nCont", at(6), time);
    parser.gap(ANSWER, 400, at(6), time);
    parser.data(ASK, GET, at(7), time);
    parser.data(ANSWER, b"rubbish", at(8), time);
    parser.data(ANSWER, OK, at(9), time);
    let found = parser.close(None);
    assert_eq!(
        found.iter().map(|one| (one.status, one.unheard)).collect::<Vec<_>>(),
        [(Some(200), false), (Some(503), true), (Some(200), false)]
    );
    assert_eq!((found[0].response_bytes, &*found[1].server), (5, "y"));
}

#[test]
fn finished_exchanges_leave_when_the_clock_is_behind_them() {
    let mut parser = HttpParser::new(ASK, GET);
    parser.data(ASK, GET, at(1), at(1).time);
    parser.data(ANSWER, OK, at(2), at(2).time);
    assert_eq!(parser.next_deadline(), Some(at(2).time));
    assert!(parser.finished(at(2).time).is_empty());
    assert_eq!(parser.finished(at(3).time).len(), 1);
    assert_eq!(parser.held(), size_of::<HttpParser>());
}

#[test]
fn heads_and_waiting_requests_are_bounded() {
    let mut parser = HttpParser::new(ASK, GET);
    for _ in 0..1_000 {
        parser.data(ASK, GET, at(1), at(1).time);
    }
    assert_eq!(parser.pending.len(), MAX_PENDING);
    for _ in 0..200 {
        parser.data(ANSWER, b"HTTP/1.1 200 OK\r\n", at(2), at(2).time);
        parser.data(ANSWER, &[b'x'; 4_000], at(2), at(2).time);
        let State::Head(head) = &parser.halves[ANSWER.index()].state else { continue };
        assert!(head.len() <= MAX_HEAD);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(
        pieces in prop::collection::vec((any::<bool>(), 0usize..7, any::<Vec<u8>>(), 0u64..9), 0..40),
    ) {
        let mut parser = HttpParser::new(ASK, GET);
        for (to_server, known, bytes, gap) in pieces {
            let direction = if to_server { ASK } else { ANSWER };
            let known: &[u8] = match known {
                0 => GET,
                1 => OK,
                2 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n",
                3 => b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n",
                4 => b"HTTP/1.1 101 S\r\n\r\n",
                _ => b"",
            };
            parser.data(direction, known, PacketRef::default(), Timestamp(0));
            parser.data(direction, &bytes, PacketRef::default(), Timestamp(0));
            if gap > 5 {
                parser.gap(direction, gap, PacketRef::default(), Timestamp(0));
            }
        }
        let waiting = parser.pending.len();
        prop_assert!(waiting <= MAX_PENDING);
        parser.close(None);
        prop_assert_eq!(parser.finished.held(), 0);
    }
}

#[test]
fn a_request_line_without_a_version_ends_the_reading_and_not_the_run() {
    // As with HTTP/0.9, behind a response that came before any request, and behind what is no HTTP.
    let early: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    let whole: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for messages in [[(ANSWER, early), (ASK, b"GET /\r\n\r\n")], [(ASK, whole), (ASK, b"\0\0GET /a\r\n")]] {
        for piece in [1, 2, 7, 99] {
            assert_eq!(run(&messages, piece, None)[0].depth, 1, "in pieces of {piece}");
        }
    }
}
