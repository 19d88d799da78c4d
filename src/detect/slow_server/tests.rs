//! What it does, and what it leaves alone.

use super::*;
use crate::detect::testing::{fires, in_scene, in_traffic, one, says_nothing};
use crate::support::filler;
use crate::support::http2;
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, SERVER, SYN, Talk};

const NAME: &str = SlowServer::RULE.name;

fn opened(lab: &mut Lab, server: (u8, u16), at: u64) -> Talk {
    let mut talk = lab.talk(7, server, at, [30, 1_500]);
    talk.handshake(&mut lab.capture);
    talk
}

/// A request of `bytes` bytes and an answer after some ms.
fn turn(lab: &mut Lab, talk: &mut Talk, bytes: usize, after: u64, answer: usize) {
    talk.wait(3_000);
    talk.send(&mut lab.capture, CLIENT, ACK, &filler(1, bytes));
    talk.turn(CLIENT);
    talk.ack(&mut lab.capture, SERVER, &[]);
    talk.wait(after * 1_000);
    talk.stream(&mut lab.capture, SERVER, &filler(2, answer));
}

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("slow_server", "slow", Severity::Warning),
            ("slow_server_backend", "backend", Severity::Info),
            ("http_error_gateway_timeout", "silent", Severity::Critical),
        ],
    );
    let finding = one(&in_scene(NAME, "slow_server"), "slow", Severity::Warning);
    assert!(finding.summary.contains("nothing was sent again"), "{}", finding.summary);
}

#[test]
fn it_says_nothing() {
    says_nothing(NAME, &["healthy_resets", "http_error_cut", "mtu_blackhole_silent", "retransmission_rto"]);
}

#[test]
fn a_protocol_that_is_not_known_is_information() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = opened(lab, (9, 5432), 10);
        (0..6).for_each(|number| turn(lab, &mut talk, 200, 2_000 + number * 37, 900));
    });
    let finding = one(&findings, "slow", Severity::Info);
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (6, 6));
}

#[test]
fn heartbeats_people_and_streams_are_no_slow_servers() {
    let findings = in_traffic(NAME, |lab| {
        let mut beats = opened(lab, (9, 179), 10);
        (0..6).for_each(|_| turn(lab, &mut beats, 19, 9_000, 19));
        let mut types = opened(lab, (9, 22), 20);
        (0..6).for_each(|_| turn(lab, &mut types, 90, 3_000, 300));
        let mut stream = opened(lab, (9, 8443), 30);
        for _ in 0..4 {
            turn(lab, &mut stream, 200, 2_000, 900);
            stream.wait(5_000_000);
            stream.stream(&mut lab.capture, SERVER, &filler(3, 500));
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The path takes a second and a half; the server none.
#[test]
fn a_long_round_trip_is_the_networks() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 8080), 10, [30, 750_000]);
        talk.handshake(&mut lab.capture);
        (0..6).for_each(|_| turn(lab, &mut talk, 200, 4, 900));
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// One in thirty takes long: a cold cache.
#[test]
fn single_late_answers_are_nothing() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = opened(lab, (9, 8080), 10);
        (0..90).for_each(|number| {
            turn(lab, &mut talk, 200, if number % 30 == 0 { 2_000 } else { 5 }, 900);
        });
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A filter for one application keeps its messages, and leaves bare ACKs out.
#[test]
fn without_acks_nobody_knows_when_the_host_had_the_request() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = opened(lab, (9, 5432), 10);
        for number in 0..6u64 {
            talk.wait(3_000);
            talk.send(&mut lab.capture, CLIENT, ACK, &filler(1, 200));
            talk.turn(CLIENT);
            talk.wait((2_000 + number * 37) * 1_000);
            talk.stream(&mut lab.capture, SERVER, &filler(2, 900));
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A request for `target` and an answer after some ms: head, and so many bytes of a body.
fn asked(lab: &mut Lab, talk: &mut Talk, target: &str, after: u64, (head, body): (&str, usize)) {
    talk.wait(3_000);
    let request = format!("GET {target} HTTP/1.1\r\nHost: chat.shop.example\r\n\r\n");
    talk.send(&mut lab.capture, CLIENT, ACK, request.as_bytes());
    talk.turn(CLIENT);
    talk.ack(&mut lab.capture, SERVER, &[]);
    talk.wait(after * 1_000);
    let length = if body > 0 { format!("Content-Length: {body}\r\n") } else { String::new() };
    let head = format!("HTTP/1.1 {head}\r\n{length}\r\n");
    talk.stream(&mut lab.capture, SERVER, &[head.as_bytes(), &filler(2, body)].concat());
}

const NOTHING: (&str, usize) = ("204 No Content", 0);
const NEWS: (&str, usize) = ("200 OK", 400);

/// The server says after four seconds that there is nothing new, or sooner what is.
#[test]
fn a_long_poll_is_no_slow_server() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = opened(lab, (9, 8080), 10);
        for (number, wait) in [4_000, 4_002, 1_700, 4_001, 3_100, 4_003, 4_000, 2_200].into_iter().enumerate()
        {
            let answer = if wait >= 4_000 { NOTHING } else { NEWS };
            asked(lab, &mut talk, &format!("/events?since={number}"), wait, answer);
        }
    });
    let finding = one(&findings, "slow", Severity::Info);
    assert!(finding.summary.contains("look like long polling"), "{}", finding.summary);
}

/// Nothing comes empty, but the requests ask for the wait.
#[test]
fn a_request_that_asks_the_server_to_wait_is_answered_as_it_asks() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = opened(lab, (9, 8080), 10);
        for number in 0..8 {
            let target = format!("/v1/kv/app?index={number}&wait=10s");
            asked(lab, &mut talk, &target, 1_500 + number * 400, NEWS);
        }
    });
    one(&findings, "slow", Severity::Info);
}

/// Clients of long polls end them by a time-out of their own.
#[test]
fn a_long_poll_that_the_client_ends_is_no_failure() {
    let ends = |target: &'static str| {
        in_traffic(NAME, |lab| {
            for number in 0..6 {
                let mut talk = opened(lab, (9, 8080), 10 + number * 400);
                let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
                talk.send(&mut lab.capture, CLIENT, ACK, request.as_bytes());
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
                talk.wait(5_000_000);
                talk.close(&mut lab.capture);
            }
        })
    };
    one(&ends("/socket.io/?transport=polling"), "silent", Severity::Info);
    one(&ends("/orders"), "silent", Severity::Critical);
}

/// All answers come after one and the same time, and say something: a time-out behind the server.
#[test]
fn the_same_wait_for_every_answer_is_no_long_poll() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = opened(lab, (9, 8080), 10);
        (0..8).for_each(|_| asked(lab, &mut talk, "/login", 5_000, NEWS));
    });
    let finding = one(&findings, "slow", Severity::Warning);
    assert!(finding.summary.contains("waited 5.00 s for"), "{}", finding.summary);
}

/// One server holds its answers, its neighbour on the same port is another service.
#[test]
fn a_neighbour_with_another_name_is_no_sibling() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = opened(lab, (9, 8080), 10);
        (0..8).for_each(|number| asked(lab, &mut talk, "/report", 2_000 + number * 90, NEWS));
        let mut other = opened(lab, (10, 8080), 30);
        for _ in 0..8 {
            let request = b"GET /items HTTP/1.1\r\nHost: www.books.example\r\n\r\n";
            other.wait(3_000);
            other.send(&mut lab.capture, CLIENT, ACK, request);
            other.turn(CLIENT).wait(4_000);
            other.stream(&mut lab.capture, SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    one(&findings, "slow", Severity::Warning);
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

#[test]
fn answers_that_come_late_are_not_counted_among_those_that_never_come() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..4 {
            let mut talk = opened(lab, (9, 8080), 10 + number * 400);
            talk.send(&mut lab.capture, CLIENT, ACK, b"GET /orders HTTP/1.1\r\nHost: a\r\n\r\n");
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
            talk.wait(5_000_000);
            talk.close(&mut lab.capture);
        }
        let mut talk = opened(lab, (9, 8080), 3_000);
        asked(lab, &mut talk, "/orders", 2_800, NEWS);
    });
    let finding = one(&findings, "silent", Severity::Critical);
    assert!(finding.title.contains("answers 4 of 5 requests with nothing"), "{}", finding.title);
}

/// A client that goes on at once waited for no answer, and asked all the same.
#[test]
fn what_clients_take_back_was_asked_too() {
    for (patience, given_up) in [(300_000, 0), (1_700_000, 1)] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..8 {
                let mut talk = opened(lab, (9, 8080), 10 + number * 4_000);
                if number < 7 {
                    asked(lab, &mut talk, "/orders", 2_800, NEWS);
                } else {
                    talk.send(&mut lab.capture, CLIENT, ACK, GET);
                    talk.turn(CLIENT);
                    talk.ack(&mut lab.capture, SERVER, &[]);
                    talk.wait(patience);
                }
                talk.close(&mut lab.capture);
            }
        });
        let finding = one(&findings, "slow", Severity::Warning);
        assert!(finding.title.contains("answers 7 of 8 requests"), "{}", finding.title);
        assert_eq!(finding.summary.contains("1 more got none"), given_up > 0, "{}", finding.summary);
    }
}

/// Calls over HTTP/2 that overlap: each is answered after some ms, whatever else the connection carries.
fn calls(lab: &mut Lab, at: u64, after: &[u64]) -> Talk {
    let mut talk = opened(lab, (9, 50051), at);
    talk.send(&mut lab.capture, CLIENT, ACK, &http2::client_begin());
    talk.turn(CLIENT);
    talk.send(&mut lab.capture, SERVER, ACK, &http2::settings());
    talk.turn(SERVER);
    for (number, after) in (0..).zip(after) {
        talk.send(&mut lab.capture, CLIENT, ACK, &http2::call(2 * number + 1, "/shop.Cart/Get"));
        talk.turn(CLIENT);
        // A frame that answers nothing.
        talk.send(&mut lab.capture, SERVER, ACK, &http2::frame(8, 0, 0, &[0, 0, 1, 0]));
        talk.wait(after * 1_000);
        talk.send(&mut lab.capture, SERVER, ACK, &http2::reply(2 * number + 1, "0"));
        talk.turn(SERVER);
    }
    talk
}

#[test]
fn calls_over_http2_wait_by_stream() {
    let findings = in_traffic(NAME, |lab| {
        let after: Vec<u64> = (0..6).map(|number| 2_000 + number * 410).collect();
        calls(lab, 10, &after).close(&mut lab.capture);
    });
    // What gRPC answers may be a stream.
    let finding = one(&findings, "slow", Severity::Info);
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (6, 6));
    // Quick answers, then silence for a minute until the client closes: nothing was asked.
    let quiet = in_traffic(NAME, |lab| {
        for number in 0..6 {
            let mut talk = calls(lab, 10 + number * 100, &[4, 4, 4]);
            talk.wait(60_000_000);
            talk.close(&mut lab.capture);
        }
    });
    assert!(quiet.is_empty(), "{quiet:#?}");
}

/// A NAT near the client acknowledges at once, and opened the connection only when its own had opened: the
/// network is not cleared.
#[test]
fn a_relay_that_acknowledges_for_the_server_clears_no_network() {
    let summary = |opening: u64| {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..6 {
                let mut talk = lab.talk(7, (9, 8080), 10 + number * 9_000, [30, 200]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                talk.wait(opening);
                talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
                talk.turn(SERVER);
                talk.send(&mut lab.capture, CLIENT, ACK, b"");
                let request = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
                talk.send(&mut lab.capture, CLIENT, ACK, request);
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
                talk.wait(4_000_000 + number * 700_000);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                talk.send(&mut lab.capture, SERVER, ACK, answer);
                talk.turn(SERVER);
                talk.close(&mut lab.capture);
            }
        });
        one(&findings, "slow", Severity::Warning).summary.clone()
    };
    assert!(summary(90_000).contains("acknowledges in its place"), "{}", summary(90_000));
    assert!(summary(400).contains("The network's share"), "{}", summary(400));
}

/// Connections to `port` on which the client asks once, and the host acknowledges. They are closed after a
/// wait, or go on; the capture does for 100 s.
fn hangs(lab: &mut Lab, port: u16, count: u64, request: &[u8], closed_after: Option<u64>) {
    for number in 0..count {
        let mut talk = opened(lab, (9, port), 10 + number * 400);
        talk.send(&mut lab.capture, CLIENT, ACK, request);
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
        if let Some(seconds) = closed_after {
            talk.wait(seconds * 1_000_000);
            talk.close(&mut lab.capture);
        }
    }
    let mut other = opened(lab, (10, 80), 100_000);
    turn(lab, &mut other, 200, 5, 900);
    other.close(&mut lab.capture);
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

/// A browser that hangs, recorded until somebody stopped the capture.
#[test]
fn one_request_that_hangs_is_said() {
    let findings = in_traffic(NAME, |lab| hangs(lab, 8080, 1, GET, None));
    let finding = one(&findings, "silent", Severity::Info);
    assert!(finding.title.ends_with("does not answer 1 of 1 request"), "{}", finding.title);
    let findings = in_traffic(NAME, |lab| hangs(lab, 8080, 1, GET, Some(60)));
    assert!(one(&findings, "silent", Severity::Info).title.contains("before clients give up"));
    // A part of a capture: nobody waits for so long.
    let findings = in_traffic(NAME, |lab| {
        hangs(lab, 8080, 1, GET, None);
        opened(lab, (10, 81), 900_000).close(&mut lab.capture);
    });
    assert!(findings.is_empty(), "{findings:#?}");
    // One that the client did not wait for.
    let findings = in_traffic(NAME, |lab| hangs(lab, 8080, 1, GET, Some(4)));
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn one_answer_that_comes_late_in_plain_text_is_said() {
    let one_of = |target: &str, after: u64| {
        in_traffic(NAME, |lab| {
            let mut talk = opened(lab, (9, 8080), 10);
            asked(lab, &mut talk, target, after, NEWS);
            talk.close(&mut lab.capture);
        })
    };
    one(&one_of("/report", 20_000), "slow", Severity::Info);
    for quiet in [one_of("/report", 4_000), one_of("/events?poll=1", 20_000)] {
        assert!(quiet.is_empty(), "{quiet:#?}");
    }
}

/// A protocol that is not known, and a server that never says anything.
#[test]
fn requests_of_any_protocol_that_hang_are_information() {
    for closed_after in [None, Some(60)] {
        let findings = in_traffic(NAME, |lab| hangs(lab, 5432, 5, &filler(1, 200), closed_after));
        let finding = one(&findings, "silent", Severity::Info);
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (5, 5));
        assert!(finding.alternatives[0].contains("one way"), "{finding:#?}");
    }
}

/// Logs, and what is closed soon.
#[test]
fn what_wants_no_answer_is_none_that_hangs() {
    let logs = in_traffic(NAME, |lab| {
        for number in 0..5 {
            let mut talk = opened(lab, (9, 5140), 10 + number * 400);
            for _ in 0..8 {
                talk.send(&mut lab.capture, CLIENT, ACK, &filler(1, 200));
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
                talk.wait(2_000_000);
            }
            talk.wait(60_000_000);
            talk.close(&mut lab.capture);
        }
    });
    let soon = in_traffic(NAME, |lab| hangs(lab, 2003, 5, &filler(1, 200), Some(2)));
    for findings in [logs, soon] {
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

/// Clients that send a line of their request now and then; the server ends them after its time-out.
#[test]
fn a_request_that_never_comes_whole_is_no_slow_answer() {
    let findings = |status: &str, whole: bool| {
        in_traffic(NAME, |lab| {
            for number in 0..12 {
                let mut talk = opened(lab, (9, 80), 10 + number * 70);
                for line in ["GET /?9 HTTP/1.1\r\nHost: shop.example\r\n", "X-a: 1\r\n"] {
                    talk.send(&mut lab.capture, CLIENT, ACK, line.as_bytes());
                    talk.turn(CLIENT);
                    talk.ack(&mut lab.capture, SERVER, &[]);
                    talk.wait(200_000);
                }
                if whole {
                    talk.send(&mut lab.capture, CLIENT, ACK, b"\r\n");
                    talk.turn(CLIENT);
                    talk.ack(&mut lab.capture, SERVER, &[]);
                }
                talk.wait(5_000_000);
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 400\r\n\r\n");
                let answer = [answer.into_bytes(), filler(2, 400)].concat();
                talk.stream(&mut lab.capture, SERVER, &answer);
                talk.close(&mut lab.capture);
            }
        })
    };
    one(&findings("200 OK", true), "slow", Severity::Warning);
    let partial = findings("408 Request Timeout", false);
    assert!(partial.is_empty(), "{partial:#?}");
}

/// The server ends connections that nobody asks anything on any more (RFC 9110 section 15.5.9).
#[test]
fn the_end_of_an_idle_connection_is_no_slow_answer() {
    for used in [true, false] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..12 {
                let mut talk = opened(lab, (9, 80), 10 + number * 70);
                if used {
                    lab.http(&mut talk, 300);
                }
                talk.wait(20_000_000);
                let answer = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
                talk.stream(&mut lab.capture, SERVER, answer);
                talk.close(&mut lab.capture);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
