//! What it does, and what it leaves alone.

use super::*;
use crate::detect::testing::{fires, in_traffic, one, says_nothing, silent};
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, FIN, RST, SERVER, Talk};
use crate::support::tls;

const NAME: &str = TlsAbort::RULE.name;

fn opened(lab: &mut Lab, number: u8, port: u16) -> Talk {
    let mut talk = lab.talk(20 + number, (30, port), 100 + u64::from(number) * 300, [30, 5_000]);
    talk.handshake(&mut lab.capture);
    talk.wait(300);
    talk
}

fn served(lab: &mut Lab, number: u8, port: u16, name: &str) {
    let mut talk = opened(lab, number, port);
    tls::handshake13(&mut talk, &mut lab.capture, name);
    tls::exchange(&mut talk, &mut lab.capture, 700);
    tls::close(&mut talk, &mut lab.capture, true);
}

#[test]
fn it_fires() {
    fires(NAME, &[("tls_abort_reset", "reset_after_hello", Severity::Critical)]);
}

#[test]
fn it_stays_silent() {
    silent(NAME, &["healthy", "healthy_resets", "healthy_happy_eyeballs", "tls_stall_server_silent"]);
    says_nothing(NAME, &["healthy_close_notify", "tls_alert_encrypted_client", "tls_alert_unknown_ca"]);
}

#[test]
fn a_name_that_is_reset_by_another_ttl() {
    let findings = crate::detect::testing::in_scene(NAME, "tls_abort_reset");
    let finding = one(&findings, "reset_after_hello", Severity::Critical);
    assert!(finding.summary.contains("4 RSTs have another TTL"), "{finding:#?}");
    assert!(finding.summary.contains("for other names went well"), "{finding:#?}");
}

/// One client's sessions with this host and name end so, from a device on the way.
fn reset_on_the_way(lab: &mut Lab, server: u8, name: &str) {
    for number in 0..3 {
        let at = u64::from(server) * 2_000 + number * 300;
        let mut talk = lab.talk(20, (server, 443), at, [30, 5_000]);
        talk.handshake(&mut lab.capture);
        talk.wait(300);
        tls::hello(&mut talk, &mut lab.capture, name, true);
        let mut reset = talk.segment(SERVER, RST, b"");
        reset.ttl = 250;
        talk.record(&mut lab.capture, &reset);
    }
}

#[test]
fn names_that_one_client_cannot_reach_are_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        reset_on_the_way(lab, 30, "chat.shop.example");
        reset_on_the_way(lab, 31, "news.shop.example");
    });
    let finding = one(&findings, "reset_after_hello", Severity::Critical);
    assert!(finding.title.contains("to 2 services is reset"), "{finding:#?}");
    assert!(finding.summary.contains("6 of 6 sessions ended so"), "{finding:#?}");
    assert!(finding.summary.contains("6 RSTs have another TTL"), "{finding:#?}");

    let served = in_traffic(NAME, |lab| {
        reset_on_the_way(lab, 30, "chat.shop.example");
        reset_on_the_way(lab, 31, "news.shop.example");
        served(lab, 0, 443, "chat.shop.example");
    });
    assert_eq!(served.len(), 2, "{served:#?}");
}

#[test]
fn a_server_that_closes_without_a_word() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..5 {
            let mut talk = opened(lab, number, 443);
            tls::hello(&mut talk, &mut lab.capture, "www.shop.example", true);
            talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
            talk.turn(SERVER);
            talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
        }
    });
    one(&findings, "no_alert", Severity::Critical);
}

fn leaves(lab: &mut Lab, number: u8) {
    let mut talk = opened(lab, number, 443);
    tls::hello(&mut talk, &mut lab.capture, "www.shop.example", true);
    tls::server_flight13(&mut talk, &mut lab.capture);
    talk.wait(500);
    talk.send(&mut lab.capture, CLIENT, RST | ACK, b"");
}

#[test]
fn clients_that_leave_after_the_servers_flight() {
    let findings = in_traffic(NAME, |lab| (0..5).for_each(|number| leaves(lab, number)));
    let finding = one(&findings, "no_alert", Severity::Warning);
    assert!(finding.alternatives[0].contains("certificate"), "{finding:#?}");
    // A health check of a load balancer does the same all day.
    let check = in_traffic(NAME, |lab| (0..5).for_each(|_| leaves(lab, 1)));
    one(&check, "no_alert", Severity::Info);
}

/// What it says to the answer, tls_alert does not say again. Who asks for an address knows no name.
#[test]
fn a_plain_port_that_is_asked_for_tls() {
    for (name, severity) in [("www.shop.example", Severity::Critical), ("192.0.2.9", Severity::Info)] {
        let findings = |rule: &str| {
            in_traffic(rule, |lab| {
                for number in 0..4 {
                    let mut talk = opened(lab, number, 8080);
                    tls::hello(&mut talk, &mut lab.capture, name, true);
                    talk.send(&mut lab.capture, SERVER, ACK, b"HTTP/1.1 400 Bad Request\r\n\r\n");
                    talk.turn(SERVER);
                    talk.send(&mut lab.capture, CLIENT, ACK, &tls::alert(tls::FATAL, 22));
                    talk.close(&mut lab.capture);
                }
            })
        };
        let found = findings(NAME);
        let finding = one(&found, "not_tls", severity);
        assert!(finding.summary.contains("The server began with HTTP/1.1 400"), "{finding:#?}");
        assert!(findings("tls_alert").is_empty());
    }
}

/// Plain HTTP that is answered by `answer`, or closed at once.
fn plain(lab: &mut Lab, number: u8, port: u16, answer: &[u8]) {
    let mut talk = opened(lab, number, port);
    talk.send(&mut lab.capture, CLIENT, ACK, b"GET / HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");
    talk.turn(CLIENT);
    if !answer.is_empty() {
        talk.send(&mut lab.capture, SERVER, ACK, answer);
    }
    talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
    talk.turn(SERVER);
    talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
}

/// A scanner, or a proxy that is told the wrong scheme: what they have in common is the client.
#[test]
fn plain_text_of_one_client_to_many_ports_is_one_finding() {
    let bad: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    let findings = |ports: &[u16], times: u64| {
        in_traffic(NAME, |lab| {
            for port in ports {
                (0..times).for_each(|_| plain(lab, 1, *port, bad));
            }
        })
    };
    let finding = one(&findings(&[443, 636, 993, 8443], 1), "plain_text", Severity::Info);
    assert!(finding.title.ends_with("speaks plain text to 4 TLS ports"), "{}", finding.title);
    assert_eq!((finding.impact.services, finding.impact.failed_transactions), (4, 4));
    one(&findings(&[443, 636, 993], 4), "plain_text", Severity::Warning);
    assert_eq!(findings(&[443, 636], 1).len(), 2);
}

#[test]
fn plain_text_on_a_port_for_tls() {
    let bad: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    let alert = tls::alert(tls::FATAL, 10);
    for (port, answer, tls_too) in [(443, bad, false), (9000, &alert[..], false), (9000, &[], true)] {
        let findings = in_traffic(NAME, |lab| {
            (0..4).for_each(|number| plain(lab, number / 2, port, answer));
            if tls_too {
                (5..9).for_each(|number| served(lab, number, port, "www.shop.example"));
            }
        });
        one(&findings, "plain_text", Severity::Warning);
    }
    // As scanners do.
    let once = in_traffic(NAME, |lab| (0..4).for_each(|number| plain(lab, number, 443, bad)));
    one(&once, "plain_text", Severity::Info);
}

#[test]
fn plain_text_that_is_served_or_refused_on_a_plain_port_is_left_alone() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|number| plain(lab, number, 443, b"HTTP/1.1 301 Moved\r\n\r\n"));
        (5..9).for_each(|number| served(lab, number, 443, "www.shop.example"));
        (10..14).for_each(|number| plain(lab, number, 80, b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Connections opened ahead of their use, and clients that say hello and change their mind.
#[test]
fn clients_that_close_before_the_answer_are_left_alone() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..6 {
            let mut talk = opened(lab, number, 443);
            if number % 2 == 0 {
                talk.send(&mut lab.capture, CLIENT, ACK, &tls::client_hello("a.example", true, 4));
            }
            if number % 4 == 0 {
                talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
                talk.turn(CLIENT);
                tls::server_flight13(&mut talk, &mut lab.capture);
            }
            talk.wait(200);
            talk.send(&mut lab.capture, CLIENT, RST | ACK, b"");
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A mail client that asks for TLS, the answer, and what it does then.
fn mail(lab: &mut Lab, number: u8, answer: &[u8], then: &[u8]) {
    let mut talk = opened(lab, number, 25);
    let steps: [(usize, &[u8]); 6] = [
        (SERVER, b"220 mail.shop.example ESMTP\r\n"),
        (CLIENT, b"EHLO client.example\r\n"),
        (SERVER, b"250-mail.shop.example\r\n250 STARTTLS\r\n"),
        (CLIENT, b"STARTTLS\r\n"),
        (SERVER, answer),
        (CLIENT, then),
    ];
    for (side, bytes) in steps {
        talk.send(&mut lab.capture, side, ACK, bytes);
        talk.turn(side);
    }
    if answer.starts_with(b"220") {
        tls::handshake13(&mut talk, &mut lab.capture, "mail.shop.example");
        tls::close(&mut talk, &mut lab.capture, true);
    } else {
        talk.close(&mut lab.capture);
    }
}

const NOT_NOW: &[u8] = b"454 4.7.0 TLS not available\r\n";

#[test]
fn a_mail_server_that_refuses_starttls() {
    let findings = in_traffic(NAME, |lab| (0..4).for_each(|number| mail(lab, number, NOT_NOW, b"QUIT\r\n")));
    let finding = one(&findings, "starttls_refused", Severity::Critical);
    assert!(finding.title.contains("refuses STARTTLS (SMTP)"), "{finding:#?}");
    assert!(finding.summary.contains("454 4.7.0 TLS not available"), "{finding:#?}");
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (4, 4), "{finding:#?}");
    assert_eq!(findings.len(), 1, "{findings:#?}");
    // Who goes on has sent the mail in plain text.
    let on = in_traffic(NAME, |lab| {
        (0..4).for_each(|number| mail(lab, number, NOT_NOW, b"MAIL FROM:<a@shop.example>\r\n"));
    });
    let finding = one(&on, "starttls_refused", Severity::Info);
    assert!(finding.summary.contains("4 connections went on in plain text"), "{finding:#?}");
}

#[test]
fn a_directory_that_refuses_starttls() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..4 {
            let mut talk = opened(lab, number, 389);
            let ask = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
            talk.send(&mut lab.capture, CLIENT, ACK, ask);
            talk.turn(CLIENT);
            talk.send(&mut lab.capture, SERVER, ACK, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\0\x04\0");
            talk.turn(SERVER);
            talk.send(&mut lab.capture, CLIENT, ACK, b"\x30\x05\x02\x01\x02\x42\0");
            talk.close(&mut lab.capture);
        }
    });
    let finding = one(&findings, "starttls_refused", Severity::Critical);
    assert!(finding.summary.contains("resultCode 52"), "{finding:#?}");
}

#[test]
fn a_database_client_that_insists_on_tls() {
    /// PostgreSQL's SSLRequest, `N`, and what the client does then.
    fn database(lab: &mut Lab, number: u8, then: &[u8]) {
        let mut talk = opened(lab, number, 5432);
        talk.send(&mut lab.capture, CLIENT, ACK, &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]);
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, ACK, b"N");
        talk.turn(SERVER);
        if !then.is_empty() {
            talk.send(&mut lab.capture, CLIENT, ACK, then);
        }
        talk.close(&mut lab.capture);
    }
    let insists = in_traffic(NAME, |lab| (0..4).for_each(|number| database(lab, number, b"")));
    one(&insists, "starttls_refused", Severity::Critical);
    // `sslmode=prefer` asks first, and goes on without.
    let startup = b"\0\0\0\x10\0\x03\0\0user\0me\0";
    let prefers = in_traffic(NAME, |lab| (0..4).for_each(|number| database(lab, number, startup)));
    assert!(prefers.is_empty(), "{prefers:#?}");
}

#[test]
fn starttls_that_is_granted_or_was_not_answered_is_left_alone() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|number| mail(lab, number, b"220 2.0.0 Ready to start TLS\r\n", b""));
        // The capture ends with the refusal.
        (5..9).for_each(|number| {
            let mut talk = opened(lab, number, 5432);
            talk.send(&mut lab.capture, CLIENT, ACK, &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]);
            talk.turn(CLIENT);
            talk.send(&mut lab.capture, SERVER, ACK, b"N");
        });
    });
    assert!(findings.is_empty(), "{findings:#?}");
}
