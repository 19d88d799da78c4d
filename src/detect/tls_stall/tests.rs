use super::*;
use crate::detect::testing::{fires, in_traffic, one, says_nothing, silent};
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, FIN, RST, SERVER, SYN, Talk};
use crate::support::tls;

const NAME: &str = TlsStall::RULE.name;

fn opened(lab: &mut Lab, number: u8) -> Talk {
    let mut talk = lab.talk(20 + number, (30, 443), 100 + u64::from(number) * 700, [30, 5_000]);
    talk.handshake(&mut lab.capture);
    talk.wait(300);
    talk
}

/// Clients say hello, the server acknowledges; they give up after so many milliseconds.
fn unanswered(lab: &mut Lab, clients: u8, name: &str, wait: u64) {
    for number in 0..clients {
        let mut talk = opened(lab, number);
        tls::hello(&mut talk, &mut lab.capture, name, true);
        talk.wait(wait * 1_000);
        talk.close(&mut lab.capture);
    }
}

/// Bytes of a side that the path drops, six times.
fn dropped(lab: &mut Lab, talk: &mut Talk, side: usize, bytes: &[u8]) {
    let lost = talk.send_lost(&mut lab.capture, side, bytes);
    for again in 0..5 {
        talk.wait(400_000 << again);
        talk.record(&mut lab.capture, &lost);
    }
    talk.wait(2_000_000);
    talk.send(&mut lab.capture, CLIENT, RST | ACK, b"");
}

#[test]
fn it_fires() {
    fires(NAME, &[("tls_stall_server_silent", "server_hello", Severity::Critical)]);
}

#[test]
fn it_stays_silent() {
    silent(NAME, &["healthy", "healthy_resets", "healthy_close_notify", "healthy_happy_eyeballs"]);
    says_nothing(NAME, &["tls_alert_unknown_ca", "tls_alert_encrypted_server", "mtu_blackhole_silent"]);
}

#[test]
fn a_server_that_says_nothing() {
    let findings = in_traffic(NAME, |lab| unanswered(lab, 4, "api.shop.example", 8_000));
    let finding = one(&findings, "server_hello", Severity::Critical);
    assert!(finding.impact.seconds_lost > Span::secs(30), "{finding:#?}");
    assert_eq!(finding.subject.name.as_deref(), Some("api.shop.example"));
    let findings = in_traffic(NAME, |lab| unanswered(lab, 4, "api.shop.example", 1_000));
    assert!(findings.is_empty(), "given up too soon: {findings:#?}");
}

/// A filter that keeps the messages of TLS leaves neither acknowledgements nor ends.
#[test]
fn what_the_capture_does_not_hold_is_no_silence() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..6 {
            let mut talk = lab.talk(20 + number, (30, 443), 100, [30, 5_000]);
            if number > 2 {
                talk.handshake(&mut lab.capture);
            }
            talk.send(&mut lab.capture, CLIENT, ACK, &tls::client_hello("a.example", true, 4));
            talk.turn(CLIENT);
            talk.send(&mut lab.capture, SERVER, ACK, &tls::server_hello(true, 4));
        }
        lab.resolves(60_000_000, "www.shop.example");
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn a_hello_with_this_name_never_arrives() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..3 {
            let mut talk = opened(lab, number);
            let hello = tls::client_hello("blocked.example", true, 7);
            dropped(lab, &mut talk, CLIENT, &hello);
            let mut talk = opened(lab, 10 + number);
            tls::handshake13(&mut talk, &mut lab.capture, "www.shop.example");
            tls::exchange(&mut talk, &mut lab.capture, 500);
            tls::close(&mut talk, &mut lab.capture, true);
        }
    });
    let finding = one(&findings, "client_hello", Severity::Critical);
    assert!(finding.summary.contains("3 handshakes for other names went well"), "{finding:#?}");
}

#[test]
fn a_flight_that_never_arrives() {
    // Those of other handshakes arrive, or none.
    for (others, severity, words) in [
        (0, Severity::Critical, "The certificates of www.shop.example"),
        (4, Severity::Warning, "1 of 5 handshakes with www.shop.example"),
    ] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..others {
                let mut talk = opened(lab, 10 + number);
                tls::handshake13(&mut talk, &mut lab.capture, "www.shop.example");
                tls::exchange(&mut talk, &mut lab.capture, 500);
                tls::close(&mut talk, &mut lab.capture, true);
            }
            for number in 0..if others > 0 { 1 } else { 3 } {
                let mut talk = opened(lab, number);
                tls::hello(&mut talk, &mut lab.capture, "www.shop.example", false);
                let flight = [tls::server_hello(false, 3), tls::server_certificate(&[tls::LEAF], 3)].concat();
                dropped(lab, &mut talk, SERVER, &flight);
            }
        });
        let finding = one(&findings, "server_flight", severity);
        assert!(finding.title.starts_with(words), "{}", finding.title);
        let size = finding.alternatives.iter().any(|text| text.contains("above a size"));
        assert_eq!(size, others == 0, "{finding:#?}");
    }
}

/// The client's flight does not arrive, or is acknowledged and not answered; the server closes. A RST
/// with the number of what it answers acknowledges nothing.
#[test]
fn what_the_server_does_not_acknowledge_it_cannot_answer() {
    for (arrives, reset) in [(true, false), (false, false), (false, true)] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = opened(lab, 0);
            tls::hello(&mut talk, &mut lab.capture, "www.shop.example", false);
            let flight = [tls::server_hello(false, 3), tls::server_certificate(&[tls::LEAF], 3)].concat();
            talk.stream(&mut lab.capture, SERVER, &flight);
            let finished = talk.send_lost(&mut lab.capture, CLIENT, &tls::client_finished(3));
            if arrives {
                talk.received(&finished);
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
            } else {
                talk.wait(1_000_000);
                talk.resend(&mut lab.capture, &finished);
            }
            talk.wait(9_000_000);
            talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
            talk.turn(SERVER);
            talk.ack(&mut lab.capture, CLIENT, &[]);
            if reset {
                talk.wait(2_000_000);
                talk.resend(&mut lab.capture, &finished);
                talk.received(&finished);
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, RST | ACK, b"");
            }
        });
        assert_eq!(findings.len(), usize::from(arrives), "{arrives} {reset} {findings:#?}");
        assert!(findings.iter().all(|finding| finding.variant == "server_finished"), "{findings:#?}");
    }
}

/// The ClientHello arrives late, and the ACK brings the first bytes of the answer. Then nothing more
/// comes for so many seconds.
#[test]
fn half_an_answer_is_no_silence() {
    for (silence, found) in [(1, 0), (8, 1)] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = opened(lab, 0);
            let hello = tls::client_hello("www.shop.example", false, 3);
            let hello = talk.send_lost(&mut lab.capture, CLIENT, &hello);
            talk.wait(9_000_000);
            let again = talk.resend(&mut lab.capture, &hello);
            talk.received(&again);
            talk.turn(CLIENT);
            let flight = tls::server_hello(false, 3);
            talk.send(&mut lab.capture, SERVER, ACK, &flight[..40]);
            talk.turn(SERVER);
            talk.ack(&mut lab.capture, CLIENT, &[]);
            talk.wait(silence * 1_000_000);
            talk.close(&mut lab.capture);
        });
        assert_eq!(findings.len(), found, "{silence} s: {findings:#?}");
        assert!(findings.iter().all(|finding| finding.variant == "server_flight"), "{findings:#?}");
    }
}

#[test]
fn a_client_that_asks_a_person_is_information() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = opened(lab, 0);
        tls::hello(&mut talk, &mut lab.capture, "www.shop.example", true);
        tls::server_flight13(&mut talk, &mut lab.capture);
        talk.wait(40_000_000);
        talk.close(&mut lab.capture);
    });
    one(&findings, "client_flight", Severity::Info);
}

#[test]
fn a_probe_without_a_name_is_information() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = opened(lab, 0);
        // A ClientHello without extensions.
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend(b"\x00\x00\x02\xc0\x2f\x01\x00");
        let message = [vec![1, 0, 0, body.len() as u8], body].concat();
        talk.send(&mut lab.capture, CLIENT, ACK, &tls::record(tls::HANDSHAKE, &message));
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
        talk.wait(5_000_000);
        talk.close(&mut lab.capture);
    });
    one(&findings, "server_hello", Severity::Info);
}

/// A handshake stops while so many hosts answer the client's SYNs late.
#[test]
fn one_stop_on_a_slow_line_is_the_lines() {
    for (slow, severity) in [(3, Severity::Info), (1, Severity::Warning)] {
        let findings = in_traffic(NAME, |lab| {
            for host in 0..slow {
                let mut talk = lab.talk(20, (40 + host, 80), 900 + 90 * u64::from(host), [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                talk.record(&mut lab.capture, &syn);
                talk.wait(1_500_000);
                lab.http(&mut talk, 300);
            }
            unanswered(lab, 1, "api.shop.example", 8_000);
        });
        one(&findings, "server_hello", severity);
    }
}
