//! What it does, and what it leaves alone.

use super::*;
use crate::detect::testing::{fires, in_scene, in_traffic, one, says_nothing};
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, SERVER, SYN};

const NAME: &str = HealthCheck::RULE.name;

fn opens(lab: &mut Lab, client: u8, at: u64) {
    let mut talk = lab.talk(client, (9, 8096), at, [30, 1_500]);
    talk.handshake(&mut lab.capture);
    talk.close(&mut lab.capture);
}

fn silent(lab: &mut Lab, client: u8, at: u64) {
    let mut talk = lab.talk(client, (9, 8096), at, [30, 1_500]);
    talk.send(&mut lab.capture, CLIENT, SYN, b"");
}

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("health_check_silent", "silent", Severity::Warning),
            ("health_check_refused", "refused", Severity::Warning),
        ],
    );
    let finding = one(&in_scene(NAME, "health_check_silent"), "silent", Severity::Warning);
    assert_eq!(finding.subject.client.as_deref(), Some("10.108.1.30"));
}

#[test]
fn it_says_nothing() {
    says_nothing(NAME, &["healthy_resets", "missing_syn_ack_silent", "rst_storm_abort", "connection_churn"]);
}

#[test]
fn probes_that_stop_are_information() {
    let findings = in_traffic(NAME, |lab| {
        (0..8).for_each(|number| opens(lab, 7, 10 + number * 1_000));
        (0..20).for_each(|number| opens(lab, 8, 10 + number * number * 130));
    });
    one(&findings, "stopped", Severity::Info);
}

/// Every try of every client fails: the service is gone, and that is another rule's to say.
#[test]
fn a_service_that_fails_for_all_is_not_the_probes_trouble() {
    let findings = in_traffic(NAME, |lab| {
        (0..9).for_each(|number| silent(lab, 7, 10 + number * 1_000));
        (0..9).for_each(|number| silent(lab, 8, 10 + number * number * 330));
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Somebody tries again and again, at no fixed time, and others succeed.
#[test]
fn tries_without_a_period_are_no_probes() {
    let findings = in_traffic(NAME, |lab| {
        (0..9).for_each(|number| silent(lab, 7, 10 + number * number * 400));
        (0..9).for_each(|number| opens(lab, 8, 10 + number * 3_700));
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A timer, and a page of another size each time.
#[test]
fn periodic_downloads_are_no_probes() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..8 {
            let mut talk = lab.talk(7, (9, 8096), 10 + number * 1_000, [30, 1_500]);
            lab.http(&mut talk, 2_000 + 900 * number as usize);
            talk.close(&mut lab.capture);
        }
        (0..4).for_each(|number| silent(lab, 7, 8_010 + number * 1_000));
        (0..9).for_each(|number| opens(lab, 8, 10 + number * 1_700));
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A request for `path` on a connection of its own, and an answer with `status`.
fn asks(lab: &mut Lab, client: u8, at: u64, path: &str, status: &str) {
    let mut talk = lab.talk(client, (9, 8096), at, [30, 1_500]);
    talk.handshake(&mut lab.capture);
    let request = format!("GET {path} HTTP/1.1\r\nHost: 10.0.0.9\r\nConnection: close\r\n\r\n");
    talk.send(&mut lab.capture, CLIENT, ACK, request.as_bytes());
    talk.turn(CLIENT).wait(900);
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
    talk.send(&mut lab.capture, SERVER, ACK, answer.as_bytes());
    talk.turn(SERVER);
    talk.close(&mut lab.capture);
}

#[test]
fn probes_that_get_an_error_fail() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..12 {
            let status = if number < 6 { "200 OK" } else { "503 Service Unavailable" };
            asks(lab, 7, 10 + number * 1_000, "/healthz", status);
        }
    });
    let finding = one(&findings, "failing", Severity::Warning);
    assert!(finding.title.contains("for /healthz at"), "{}", finding.title);
    assert!(finding.title.ends_with("the last 6 got 503"), "{}", finding.title);
    assert!(finding.summary.contains("6 requests before them succeeded"), "{}", finding.summary);
}

/// The path is gone since a deployment.
#[test]
fn probes_of_a_path_that_is_gone_fail() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..10 {
            let status = if number < 5 { "200 OK" } else { "404 Not Found" };
            asks(lab, 7, 10 + number * 2_000, "/api/ready", status);
        }
    });
    one(&findings, "failing", Severity::Warning);
}

/// A monitor that was never right, beside clients that are served.
#[test]
fn probes_that_never_succeeded_are_information() {
    let findings = in_traffic(NAME, |lab| {
        (0..9).for_each(|number| asks(lab, 7, 10 + number * 1_000, "/ping", "404 Not Found"));
        (0..9).for_each(|number| asks(lab, 8, 10 + number * number * 190, "/orders", "200 OK"));
    });
    one(&findings, "failing", Severity::Info);
}

/// A page that asks again and again, whose user was logged out; a resource that was deleted; a limit.
#[test]
fn pages_that_ask_periodically_are_no_probes() {
    let findings = in_traffic(NAME, |lab| {
        for (client, path, status) in [
            (7, "/session/ping", "401 Unauthorized"),
            (8, "/orders/17", "404 Not Found"),
            (9, "/alive", "429 Too Many Requests"),
            (10, "/orders/18", "503 Service Unavailable"),
        ] {
            for number in 0..10 {
                let status = if number < 5 { "200 OK" } else { status };
                asks(lab, client, 10 + u64::from(client) * 37 + number * 1_000, path, status);
            }
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Two failures, and the service is back.
#[test]
fn a_service_that_is_back_does_not_fail() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..12 {
            let status = if matches!(number, 5 | 6) { "503 Service Unavailable" } else { "200 OK" };
            asks(lab, 7, 10 + number * 1_000, "/healthz", status);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}
