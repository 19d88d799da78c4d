//! What it does, and what it leaves alone.

use super::*;
use crate::detect::testing::{fires, in_files, in_traffic, one, says_nothing, silent};
use crate::support::capture::Capture;
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, SERVER};
use crate::support::tls;

const NAME: &str = TlsCertificate::RULE.name;
#[derive(Clone, Copy)]
enum End {
    Alert(u8),
    Leaves,
    GoesOn,
    /// It completes the handshake and closes.
    LooksOnly,
}

/// A session of TLS 1.2 with server 30 every second, from `at` seconds on, by as many clients.
fn sessions(lab: &mut Lab, at: u64, count: u8, name: &str, chain: &[&[u8]], end: End) {
    for number in 0..count {
        let start = (at + u64::from(number)) * 1_000;
        let mut talk = lab.talk(20 + number, (30, 443), start, [30, 5_000]);
        talk.handshake(&mut lab.capture);
        tls::hello(&mut talk, &mut lab.capture, name, false);
        let flight = [tls::server_hello(false, 3), tls::server_certificate(chain, 3)].concat();
        talk.stream(&mut lab.capture, SERVER, &flight);
        talk.wait(900);
        match end {
            End::Alert(description) => {
                talk.send(&mut lab.capture, CLIENT, ACK, &tls::alert(tls::FATAL, description));
            }
            End::Leaves => {}
            End::GoesOn | End::LooksOnly => {
                talk.send(&mut lab.capture, CLIENT, ACK, &tls::client_finished(5));
                talk.turn(CLIENT).wait(400);
                let changed = tls::record(tls::CHANGE_CIPHER_SPEC, &[1]);
                let finished = [changed, tls::encrypted(tls::HANDSHAKE, 9, 40)].concat();
                talk.send(&mut lab.capture, SERVER, ACK, &finished);
                talk.turn(SERVER);
                if matches!(end, End::GoesOn) {
                    tls::exchange(&mut talk, &mut lab.capture, 700);
                }
            }
        }
        talk.close(&mut lab.capture);
    }
}

const HOST: &str = "www.shop.example";
const OLD: [&[u8]; 2] = [tls::UNDER_OLD, tls::OLD_INTERMEDIATE];
const GOOD: [&[u8]; 2] = [tls::LEAF, tls::INTERMEDIATE];
#[test]
fn it_fires() {
    fires(NAME, &[("tls_alert_certificate_expired", "expired", Severity::Critical)]);
}

#[test]
fn it_stays_silent() {
    silent(NAME, &["healthy", "healthy_large", "healthy_close_notify", "tls_alert_unknown_ca"]);
    says_nothing(NAME, &["healthy_unrecognized_name", "tls_alert_encrypted_client"]);
}

#[test]
fn the_leaf_is_fine_and_the_intermediate_is_not() {
    let findings = in_traffic(NAME, |lab| {
        sessions(lab, 1, 4, HOST, &OLD, End::Alert(45));
        sessions(lab, 9, 2, HOST, &OLD, End::GoesOn);
    });
    let finding = one(&findings, "expired_intermediate", Severity::Critical);
    assert!(finding.summary.contains("Example Old CA was valid until 2026-11-07"), "{finding:#?}");
    assert!(finding.summary.contains("2 sessions went on"), "{finding:#?}");
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (4, 6));
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

#[test]
fn one_member_of_several_presents_the_old_chain() {
    let findings = in_traffic(NAME, |lab| {
        sessions(lab, 1, 3, HOST, &[tls::EXPIRED, tls::INTERMEDIATE], End::Alert(45));
        sessions(lab, 9, 7, HOST, &GOOD, End::GoesOn);
    });
    let finding = one(&findings, "expired", Severity::Warning);
    assert!(finding.summary.contains("In 7 sessions the same server presented another"), "{finding:#?}");
}

#[test]
fn the_name_the_chain_and_the_issuer_are_looked_at() {
    for (chain, host, alert, variant) in [
        (&GOOD[..], "pay.bank.example", 42, "name_mismatch"),
        (&GOOD[..1], HOST, 48, "incomplete_chain"),
        (&[tls::SELF_SIGNED][..], HOST, 48, "self_signed"),
    ] {
        let findings = in_traffic(NAME, |lab| sessions(lab, 1, 5, host, chain, End::Alert(alert)));
        one(&findings, variant, Severity::Critical);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let findings = in_traffic(NAME, |lab| sessions(lab, 1, 5, host, chain, End::GoesOn));
        match variant {
            "incomplete_chain" => assert!(findings.is_empty(), "{findings:#?}"),
            _ => assert_eq!(one(&findings, variant, Severity::Info).impact.failed_transactions, 0),
        }
    }
}

#[test]
fn a_private_authority_is_no_fault_of_the_chain() {
    let findings = in_traffic(NAME, |lab| sessions(lab, 1, 5, HOST, &GOOD, End::Alert(48)));
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn an_alert_is_not_blamed_on_a_fault_that_it_does_not_fit() {
    let chain = [tls::EXPIRED, tls::INTERMEDIATE];
    let findings = in_traffic(NAME, |lab| sessions(lab, 1, 5, HOST, &chain, End::Alert(48)));
    one(&findings, "expired", Severity::Info);
}

#[test]
fn clients_that_leave_without_a_word_count_when_there_are_several() {
    let findings = in_traffic(NAME, |lab| sessions(lab, 1, 4, HOST, &OLD, End::Leaves));
    assert_eq!(one(&findings, "expired_intermediate", Severity::Warning).confidence, Confidence::Likely);
    // One that reads the certificate every second and goes is a monitor.
    let monitor = in_traffic(NAME, |lab| {
        (0..6).for_each(|number| sessions(lab, number * 2, 1, HOST, &OLD, End::Leaves));
    });
    one(&monitor, "expired_intermediate", Severity::Info);
}

#[test]
fn a_wrong_chain_order_is_information() {
    let chain = [tls::LEAF, tls::LEAF, tls::INTERMEDIATE];
    let findings = in_traffic(NAME, |lab| sessions(lab, 1, 3, HOST, &chain, End::GoesOn));
    one(&findings, "chain_order", Severity::Info);
}

#[test]
fn a_clock_that_cannot_be_right_judges_no_validity() {
    let mut lab = Lab::new(Capture::default(), 77);
    sessions(&mut lab, 1, 5, HOST, &[tls::EXPIRED, tls::INTERMEDIATE], End::Alert(45));
    lab.capture.sort();
    let mut file = lab.capture.pcap();
    // The last packet is of 1970.
    let stamp = file.len() - lab.capture.packets.last().map_or(0, |packet| packet.frame.len()) - 16;
    file[stamp..stamp + 4].fill(0);
    let findings = in_files(NAME, &[("pcap", file)]);
    assert!(findings.is_empty(), "{findings:#?}");
}

/// One store has a newer intermediate, one checks the dates, one does not have the root.
#[test]
fn three_trust_stores_are_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        sessions(lab, 1, 3, HOST, &OLD, End::Alert(45));
        sessions(lab, 5, 3, HOST, &OLD, End::Alert(48));
        sessions(lab, 9, 3, HOST, &OLD, End::GoesOn);
    });
    let finding = one(&findings, "expired_intermediate", Severity::Critical);
    assert!(finding.summary.contains("certificate_expired, unknown_ca"), "{finding:#?}");
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (6, 9));
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

/// Probes of two monitors end with the handshake: nobody was turned away, and nobody went on.
#[test]
fn handshakes_that_nothing_follows_are_information() {
    let findings = in_traffic(NAME, |lab| sessions(lab, 1, 6, "pay.bank.example", &GOOD, End::LooksOnly));
    let finding = one(&findings, "name_mismatch", Severity::Info);
    assert!(!finding.summary.contains("went on"), "{finding:#?}");
}
