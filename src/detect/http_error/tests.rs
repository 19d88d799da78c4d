//! What it does, and what it leaves alone.

use super::*;
use crate::detect::testing::{fires, in_scene, in_traffic, one, silent};
use crate::support::http2;
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, FIN, RST, SERVER, Talk};

const NAME: &str = HttpError::RULE.name;

/// A request and `answer` after some ms, on a connection of its own.
fn asks(lab: &mut Lab, client: u8, server: u8, path: &str, at: u64, after: u64, answer: &str) {
    let mut talk = lab.talk(client, (server, 8000), at, [30, 1_500]);
    talk.handshake(&mut lab.capture);
    let request = format!("GET {path} HTTP/1.1\r\nHost: ops.shop.example\r\n\r\n");
    talk.send(&mut lab.capture, CLIENT, ACK, request.as_bytes());
    talk.turn(CLIENT);
    talk.ack(&mut lab.capture, SERVER, &[]);
    talk.wait(after * 1_000);
    if !answer.is_empty() {
        talk.send(&mut lab.capture, SERVER, ACK, answer.as_bytes());
        talk.turn(SERVER);
    }
    talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
    talk.turn(SERVER);
    talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const FAILED: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("http_error_gateway_timeout", "gateway_timeout", Severity::Critical),
            ("http_error_cut", "cut", Severity::Warning),
        ],
    );
    let finding = one(&in_scene(NAME, "http_error_gateway_timeout"), "gateway_timeout", Severity::Critical);
    assert!(finding.summary.contains("as after a time-out"), "{}", finding.summary);
    let upstream = "had not answered 6 requests when it closed the connection";
    assert!(finding.summary.contains(upstream), "{}", finding.summary);
}

#[test]
fn it_stays_silent() {
    silent(NAME, &["healthy_resets", "slow_server", "rst_storm_abort", "health_check_silent"]);
}

#[test]
fn a_single_error_is_information_and_4xx_is_none() {
    let findings = in_traffic(NAME, |lab| {
        asks(lab, 7, 9, "/a", 10, 4, FAILED);
        (0..9).for_each(|number| asks(lab, 7, 9, "/b", 100 + number * 50, 4, NOT_FOUND));
    });
    assert_eq!(one(&findings, "server_error", Severity::Info).impact.of_transactions, 10);
    assert_eq!(findings.len(), 1);
}

/// Most of what one client asks for is not there; another client's request is.
#[test]
fn a_server_that_has_not_what_a_client_asks_for() {
    let findings = |missing: u64| {
        in_traffic(NAME, |lab| {
            for number in 0..30 {
                let (path, answer) = match number < missing {
                    true => (format!("/old/{}.png", number % 6), NOT_FOUND),
                    false => ("/new".to_owned(), OK),
                };
                asks(lab, 7, 9, &path, 10 + number * 50, 4, answer);
                asks(lab, 8, 9, "/new", 30 + number * 50, 4, OK);
            }
        })
    };
    let found = findings(20);
    let finding = one(&found, "not_found", Severity::Info);
    assert!(finding.title.contains("20 of 30 requests of 10.77.1.7 with 404"), "{}", finding.title);
    assert!(finding.summary.contains("6 paths"), "{}", finding.summary);
    assert!(findings(14).is_empty());
}

#[test]
fn a_scanner_that_provokes_errors_is_information() {
    let findings = in_traffic(NAME, |lab| {
        (0..30).for_each(|number| asks(lab, 7, 9, &format!("/{number}"), 10 + number * 50, 4, FAILED));
    });
    one(&findings, "server_error", Severity::Info);
}

#[test]
fn most_requests_of_several_clients_are_critical() {
    let findings = in_traffic(NAME, |lab| {
        (0..9).for_each(|number| asks(lab, 7 + number as u8 % 3, 9, "/a", 10 + number * 50, 4, FAILED));
    });
    let finding = one(&findings, "server_error", Severity::Critical);
    assert_eq!(finding.scope.names.sample, ["ops.shop.example"]);
}

#[test]
fn a_server_that_closes_instead_of_answering() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|number| asks(lab, 7, 9, "/a", 10 + number * 50, 4, ""));
        (0..4).for_each(|number| asks(lab, 7, 9, "/b", 300 + number * 50, 4, OK));
    });
    let finding = one(&findings, "unanswered", Severity::Warning);
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (4, 8));
}

#[test]
fn one_client_that_asks_what_never_speaks_http_is_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        (9..16).for_each(|server| asks(lab, 7, server, "/a", 10 + u64::from(server) * 50, 4, ""));
    });
    let finding = one(&findings, "unanswered", Severity::Info);
    assert!(finding.title.starts_with("7 services end the connections of 10."), "{}", finding.title);
}

/// A RST in the server's name comes from further away, or nearer, than the SYN-ACK and the server's other
/// packets; or from where they do.
#[test]
fn a_rst_of_another_ttl_is_not_the_servers() {
    for (ttl, variant) in [(0, "unanswered"), (5, "reset_on_path")] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = lab.talk(7, (9, 8000), 10 + number * 300, [30, 15_000]);
                talk.handshake(&mut lab.capture);
                talk.wait(180);
                talk.send(&mut lab.capture, CLIENT, ACK, b"GET /items HTTP/1.1\r\nHost: a\r\n\r\n");
                talk.turn(CLIENT);
                talk.ends[SERVER].ttl += ttl;
                talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
            }
            asks(lab, 7, 9, "/a", 2_000, 4, OK);
        });
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!(findings[0].variant, variant, "{findings:#?}");
    }
}

/// The client resets the transfer, or the server's idle FIN crosses the next request.
#[test]
fn what_the_client_ends_is_no_failure_of_the_server() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..5 {
            let mut talk = lab.talk(7, (9, 8000), 10 + number * 300, [30, 1_500]);
            lab.http(&mut talk, 300);
            talk.wait(40_000);
            let request = b"GET /items HTTP/1.1\r\nHost: a\r\n\r\n";
            talk.send(&mut lab.capture, CLIENT, ACK, request);
            let closing = if number % 2 == 0 { (SERVER, FIN | ACK) } else { (CLIENT, RST | ACK) };
            talk.send(&mut lab.capture, closing.0, closing.1, b"");
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The requests are lost behind the capture point: what the server closes is an idle connection. Another one
/// arrives, and the process ends over it.
#[test]
fn a_request_that_never_arrived_is_no_failure_of_the_server() {
    let findings = |arrives: bool| {
        in_traffic(NAME, |lab| {
            for number in 0..5 {
                let mut talk = lab.talk(7, (9, 8000), 10 + number * 900, [30, 1_500]);
                talk.handshake(&mut lab.capture);
                let request = b"GET /items HTTP/1.1\r\nHost: a\r\n\r\n";
                let lost = talk.send_lost(&mut lab.capture, CLIENT, request);
                for number in 0..5 {
                    talk.wait(300_000 << number);
                    talk.resend(&mut lab.capture, &lost);
                }
                if arrives {
                    talk.received(&lost);
                }
                talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
            }
        })
    };
    one(&findings(true), "unanswered", Severity::Critical);
    assert!(findings(false).is_empty());
}

#[test]
fn a_path_that_another_server_answers_with_404() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..8 {
            asks(lab, 7, 9, "/ops/list", 10 + number * 50, 4, OK);
            asks(lab, 7, 10, "/book", 12 + number * 50, 4, OK);
            asks(lab, 7, 10, "/ops/list", 1_000 + number * 50, 4, NOT_FOUND);
        }
    });
    let finding = one(&findings, "moved", Severity::Warning);
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (8, 8));
    assert_eq!(findings.len(), 1);
}

/// The same host moves to another server that answers well.
#[test]
fn a_path_that_moves_and_is_answered_is_none() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..8 {
            asks(lab, 7, 9, "/ops/list", 10 + number * 50, 4, OK);
            asks(lab, 7, 10, "/ops/list", 1_000 + number * 50, 4, OK);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// What is behind one address changes with what it says of itself.
#[test]
fn a_path_that_another_server_behind_the_address_answers() {
    let from = |server: &str, status: &str| {
        format!("HTTP/1.1 {status}\r\nServer: {server}\r\nContent-Length: 2\r\n\r\nok")
    };
    let moves = |after: &'static str| {
        in_traffic(NAME, |lab| {
            for number in 0..8 {
                asks(lab, 7, 9, "/ops/list", 10 + number * 50, 4, &from("ops/2", "200 OK"));
                asks(lab, 7, 9, "/ops/list", 1_000 + number * 50, 4, &from("shop/7", after));
            }
        })
    };
    let finding = one(&moves("404 Not Found"), "moved", Severity::Warning);
    assert!(finding.title.contains("shop/7 behind 10."), "{}", finding.title);
    // The gateway wants another log-in.
    assert!(moves("401 Unauthorized").is_empty());
}

#[test]
fn clients_that_try_again_at_once_are_counted() {
    let findings = in_traffic(NAME, |lab| {
        (0..20).for_each(|number| asks(lab, 7, 9, "/a", 10 + number * 500, 4, OK));
        (0..100).for_each(|number| asks(lab, 7, 9, "/a", 10_510 + number * 100, 4, FAILED));
    });
    let finding = one(&findings, "server_error", Severity::Critical);
    assert!(finding.summary.contains("as often while requests fail: "), "{}", finding.summary);
}

/// Of the members of a cluster all but one say that they are not the one.
#[test]
fn probes_that_are_meant_to_fail_are_no_errors() {
    const STANDBY: &str = "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let findings = in_traffic(NAME, |lab| {
        for number in 0..12u64 {
            asks(lab, 7 + number as u8 % 2, 9, "/primary", 10 + number * 400, 4, STANDBY);
            asks(lab, 7 + number as u8 % 2, 9, "/healthz", 60 + number * 400, 4, STANDBY);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn answers_without_a_body_and_to_the_client_are_no_errors() {
    let answers = [
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nuntil the connection ends",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n",
    ];
    let findings = in_traffic(NAME, |lab| {
        for (number, answer) in (0..).zip(answers.iter().cycle().take(28)) {
            asks(lab, 7, 9, "/a", 10 + number * 60, 4, answer);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The user leaves the page, or has as much of the file as was wanted.
#[test]
fn a_transfer_that_the_client_cuts_is_none_of_the_server() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..6 {
            let mut talk = lab.talk(7, (9, 8000), 10 + number * 300, [30, 1_500]);
            talk.handshake(&mut lab.capture);
            talk.send(&mut lab.capture, CLIENT, ACK, b"GET /film HTTP/1.1\r\nRange: bytes=0-\r\n\r\n");
            talk.turn(CLIENT);
            let head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 900000\r\n\r\n";
            talk.stream(&mut lab.capture, SERVER, &[&head[..], &[7; 3_000]].concat());
            talk.turn(SERVER);
            talk.send(&mut lab.capture, CLIENT, RST | ACK, b"");
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The proxy names the backend, and not the host that its client asked for.
#[test]
fn a_path_that_a_proxy_sends_to_another_backend() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..14u64 {
            let (backend, answer) = if number < 7 { (9, OK) } else { (10, NOT_FOUND) };
            asks(lab, 7, 30, "/ops/list", 10 + number * 100, 9, answer);
            let (proxy, server) = (lab.server(30), lab.server(backend));
            let port = lab.next_port();
            let mut back = Talk::new((proxy, port), (server, 8080), 13_000 + number * 100_000, [40, 1_200]);
            back.handshake(&mut lab.capture);
            let request = format!("GET /ops/list HTTP/1.0\r\nHost: {server}:8080\r\n\r\n");
            back.send(&mut lab.capture, CLIENT, ACK, request.as_bytes());
            back.turn(CLIENT).wait(2_000);
            back.send(&mut lab.capture, SERVER, ACK, answer.as_bytes());
            back.turn(SERVER);
            back.close(&mut lab.capture);
        }
    });
    let finding = one(&findings, "moved", Severity::Warning);
    assert!(finding.title.contains("for /ops go to"), "{}", finding.title);
}

/// Calls of gRPC on one connection, each answered by these bytes after some ms.
fn calls(lab: &mut Lab, client: u8, at: u64, replies: &[(u64, Vec<u8>)]) {
    let mut talk = lab.talk(client, (9, 50051), at, [30, 1_500]);
    talk.handshake(&mut lab.capture);
    talk.send(&mut lab.capture, CLIENT, ACK, &http2::client_begin());
    talk.turn(CLIENT);
    talk.send(&mut lab.capture, SERVER, ACK, &http2::settings());
    for (number, (after, reply)) in (0..).zip(replies) {
        talk.turn(SERVER);
        talk.send(&mut lab.capture, CLIENT, ACK, &http2::call(2 * number + 1, "/shop.Cart/Get"));
        talk.turn(CLIENT);
        talk.wait(after * 1_000);
        talk.send(&mut lab.capture, SERVER, ACK, reply);
    }
    talk.turn(SERVER);
    talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
    talk.turn(CLIENT);
    talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
}

/// Answers to so many calls.
fn replies(count: u32, reply: impl Fn(u32) -> Vec<u8>) -> Vec<(u64, Vec<u8>)> {
    (0..count).map(|number| (4, reply(2 * number + 1))).collect()
}

#[test]
fn calls_of_grpc_that_fail() {
    let findings = in_traffic(NAME, |lab| {
        for client in 1..4 {
            calls(lab, client, u64::from(client), &replies(4, |stream| http2::reply(stream, "14")));
        }
    });
    let finding = one(&findings, "grpc_status", Severity::Critical);
    assert!(finding.title.contains("12 of 12 requests with UNAVAILABLE"), "{finding:#?}");
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

#[test]
fn streams_that_the_server_resets() {
    let findings = in_traffic(NAME, |lab| {
        (1..4).for_each(|client| calls(lab, client, 1, &replies(3, |stream| http2::reset(stream, 2))));
    });
    let finding = one(&findings, "unanswered", Severity::Critical);
    assert!(finding.title.contains("ends the stream of 9 of 9 requests"), "{finding:#?}");
}

#[test]
fn a_page_of_http2_with_503() {
    let findings = in_traffic(NAME, |lab| {
        let busy = |stream| http2::headers(stream, true, &[(":status", "503")]);
        (1..4).for_each(|client| calls(lab, client, 1, &replies(3, busy)));
    });
    one(&findings, "unavailable", Severity::Critical);
}

#[test]
fn calls_that_are_answered_or_refused_are_left_alone() {
    let findings = in_traffic(NAME, |lab| {
        // OK, NOT_FOUND, PERMISSION_DENIED: answers.
        for (client, status) in [(1, "0"), (2, "5"), (3, "7")] {
            calls(lab, client, 1, &replies(9, |stream| http2::reply(stream, status)));
        }
        // REFUSED_STREAM, and a server that is going away.
        calls(lab, 4, 1, &replies(5, |stream| http2::reset(stream, 7)));
        calls(lab, 5, 1, &replies(1, |_| http2::goaway(0, 0)));
        // A client that cancels.
        (6..12).for_each(|client| calls(lab, client, 1, &[(4, http2::settings())]));
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// WinRM asks for output, and gets a fault while there is none: the session works. A service that has nothing
/// but faults does not, and other services have faults when they fail.
#[test]
fn faults_of_winrm_that_works_are_information() {
    let fault =
        "HTTP/1.1 500 \r\nContent-Type: application/soap+xml;charset=UTF-16\r\nContent-Length: 2\r\n\r\nno";
    let findings = |path: &str, others: u64| {
        in_traffic(NAME, |lab| {
            (0..9).for_each(|number| asks(lab, 7, 9, path, 10 + number * 50, 4, fault));
            (0..others).for_each(|number| asks(lab, 7, 9, path, 600 + number * 50, 4, OK));
        })
    };
    let finding = findings("/wsman", 20);
    let finding = one(&finding, "server_error", Severity::Info);
    assert!(finding.summary.contains("They are faults of WinRM"), "{}", finding.summary);
    for (path, others) in [("/wsman", 0), ("/orders", 20)] {
        assert!(findings(path, others)[0].severity > Severity::Info, "{path}");
    }
}

/// A scanner asks rlogin for a page. A web server that falls silent once answered, or has a port of HTTP or
/// one that nothing is known by.
#[test]
fn what_never_spoke_http_is_no_web_server() {
    let findings = |port: u16, answers: u64| {
        in_traffic(NAME, |lab| {
            for number in 0..4 + answers {
                let mut talk = lab.talk(7, (9, port), 10 + number * 90, [30, 1_500]);
                talk.handshake(&mut lab.capture);
                talk.send(&mut lab.capture, CLIENT, ACK, b"GET / HTTP/1.0\r\n\r\n");
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
                talk.wait(9_000);
                if number < answers {
                    talk.send(&mut lab.capture, SERVER, ACK, OK.as_bytes());
                    talk.turn(SERVER);
                }
                talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
            }
        })
    };
    assert!(findings(513, 0).is_empty());
    for (port, answers) in [(513, 1), (8080, 0), (8083, 0)] {
        assert!(findings(port, answers)[0].severity > Severity::Info);
    }
}
