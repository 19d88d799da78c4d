use super::*;
use crate::detect::testing::{fires, in_traffic, one, silent};
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Talk};

const NAME: &str = ConnectionRefused::RULE.name;

/// A connection of client `client` to a service that refuses it, at a millisecond.
fn refused(lab: &mut Lab, client: u8, server: (u8, u16), at: u64) {
    let mut talk = lab.talk(client, server, at, [30, 1_500]);
    talk.send(&mut lab.capture, CLIENT, SYN, b"");
    talk.turn(CLIENT);
    let mut reset = talk.segment(SERVER, RST | ACK, b"");
    reset.seq = 0;
    talk.record(&mut lab.capture, &reset);
}

fn opened(lab: &mut Lab, client: u8, server: (u8, u16), at: u64) {
    let mut talk = lab.talk(client, server, at, [30, 1_500]);
    lab.http(&mut talk, 300);
    talk.close(&mut lab.capture);
}

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("rst_storm_refused", "port", Severity::Critical),
            ("connection_refused_port", "port", Severity::Critical),
            ("connection_refused_intermittent", "intermittent", Severity::Warning),
        ],
    );
}

#[test]
fn it_stays_silent() {
    silent(NAME, &["healthy_resets", "missing_syn_ack_silent", "rst_storm_abort", "rst_storm_no_socket"]);
}

#[test]
fn one_probe_of_a_closed_port_is_information() {
    let findings = in_traffic(NAME, |lab| refused(lab, 7, (9, 8080), 10));
    assert_eq!(one(&findings, "port", Severity::Info).impact.failed_transactions, 1);
}

/// Programs that make packets leave the options out; who wants the service has a TCP, which sends its MSS.
#[test]
fn syns_that_no_tcp_sends_are_information() {
    for (bare, severity) in [(false, Severity::Warning), (true, Severity::Info)] {
        let findings = in_traffic(NAME, |lab| {
            (0..9).for_each(|number| refused(lab, 7, (9, 80), 10 + number * 1_000));
            for packet in lab.capture.packets.iter_mut().filter(|_| bare) {
                if let Some(mss @ [2, 4, ..]) = packet.frame.get_mut(54..58) {
                    mss.fill(1);
                }
            }
        });
        one(&findings, "port", severity);
    }
}

/// As a host does that starts anew: it is away, then up before its service.
#[test]
fn a_silence_before_the_refusal_is_told() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 8080), 10, [30, 1_500]);
        for pause in [1_000, 2_000, 4_000] {
            let syn = talk.segment(CLIENT, SYN, b"");
            talk.record(&mut lab.capture, &syn);
            talk.wait(pause * 1_000);
        }
        let syn = talk.segment(CLIENT, SYN, b"");
        talk.record(&mut lab.capture, &syn);
        talk.sent(&syn);
        talk.received(&syn);
        talk.turn(CLIENT);
        let mut reset = talk.segment(SERVER, RST | ACK, b"");
        reset.seq = 0;
        talk.record(&mut lab.capture, &reset);
    });
    let finding = one(&findings, "port", Severity::Info);
    assert!(finding.summary.contains("1 of them repeated the SYN without an answer before, for up to 7"));
    assert!(finding.impact.seconds_lost >= Span::secs(7), "{finding:#?}");
}

#[test]
fn a_digest_in_the_syns_is_the_first_explanation() {
    for signed in [true, false] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 179), 10, [30, 1_500]);
            let syn = talk.segment(CLIENT, SYN, b"");
            let syn = crate::support::tcp::Segment { signed, ..syn };
            talk.record(&mut lab.capture, &syn);
            talk.sent(&syn);
            talk.received(&syn);
            talk.turn(CLIENT);
            let reset = talk.segment(SERVER, RST | ACK, b"");
            talk.record(&mut lab.capture, &reset);
        });
        let finding = one(&findings, "port", Severity::Info);
        assert_eq!(finding.alternatives[0].contains("TCP-MD5"), signed, "{finding:#?}");
    }
}

#[test]
fn a_host_that_refuses_everything_is_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        for (number, port) in (0u64..).zip([80, 443, 8080, 8443]) {
            let at = 10 + number * 500;
            (0..3).for_each(|client| refused(lab, 7 + client, (9, port), at + u64::from(client) * 40));
        }
    });
    let finding = one(&findings, "host", Severity::Critical);
    assert_eq!((findings.len(), finding.impact.services, finding.impact.failed_transactions), (1, 4, 12));
}

#[test]
fn a_scan_is_one_finding_for_information() {
    let findings = in_traffic(NAME, |lab| {
        (0..40).for_each(|port| refused(lab, 7, (9, 1000 + port), 10 + u64::from(port) * 3));
    });
    assert_eq!(findings.len(), 1);
    assert_eq!(one(&findings, "port", Severity::Info).impact.failed_transactions, 0);
}

/// Each of them twice, as a scanner does that gets no answer it understands.
#[test]
fn scans_of_several_clients_are_information() {
    let findings = in_traffic(NAME, |lab| {
        for port in 0..40u16 {
            for client in 0..2u8 {
                let at = 10 + u64::from(port) * 30 + u64::from(client) * 7;
                (0..2).for_each(|again| refused(lab, 7 + client, (9, 1_000 + port), at + 3_000 * again));
            }
        }
    });
    one(&findings, "host", Severity::Info);
}

/// Three strangers try a port once each: nobody needs it.
#[test]
fn single_attempts_of_several_clients_are_information() {
    let findings = in_traffic(NAME, |lab| {
        (0..3).for_each(|client| refused(lab, 7 + client, (9, 445), 10 + u64::from(client) * 9_000));
    });
    one(&findings, "port", Severity::Info);
}

/// `localhost` is [::1] first and 127.0.0.1 next: nobody misses the first.
#[test]
fn what_opens_over_the_other_family_at_once_was_not_missed() {
    let findings = |opens: bool| {
        in_traffic(NAME, |lab| {
            let (client, server) = (lab.v6(1, 7), lab.v6(1, 9));
            for number in 0..5 {
                let at = 10 + number * 900;
                let mut asked = lab.talk(7, (9, 8080), at, [30, 1_500]);
                let port = asked.ends[CLIENT].port;
                let mut over_v6 = Talk::new((client, port), (server, 8080), asked.now, [30, 1_500]);
                (0..2).for_each(|end| over_v6.ends[end].mac = asked.ends[end].mac);
                over_v6.send(&mut lab.capture, CLIENT, SYN, b"");
                over_v6.turn(CLIENT);
                let mut reset = over_v6.segment(SERVER, RST | ACK, b"");
                reset.seq = 0;
                over_v6.record(&mut lab.capture, &reset);
                if opens {
                    asked.wait(20_000);
                    lab.http(&mut asked, 300);
                }
            }
        })
    };
    one(&findings(false), "port", Severity::Warning);
    assert!(findings(true).is_empty());
}

/// Every thirty seconds somebody looks whether the port is open; nobody else asks for it.
#[test]
fn a_monitor_of_a_closed_port_is_information() {
    let findings = |uneven: u64, others: u8| {
        in_traffic(NAME, |lab| {
            for number in 0..6 {
                let late = number % 2 * uneven;
                refused(lab, 7, (9, 8080), 10 + number * 30_000 + late);
                (0..others).for_each(|one| refused(lab, 20 + one, (9, 8080), 5_000 + number * 31_000));
            }
        })
    };
    one(&findings(900, 0), "port", Severity::Info);
    one(&findings(11_000, 0), "port", Severity::Warning);
    one(&findings(900, 1), "port", Severity::Warning);
}

/// One client knocks a hundred times, two others once: that is one client's trouble.
#[test]
fn clients_that_do_not_come_back_do_not_count() {
    let findings = in_traffic(NAME, |lab| {
        (0..100).for_each(|number| refused(lab, 7, (9, 22), 10 + number * 400));
        refused(lab, 8, (9, 22), 50_000);
        refused(lab, 9, (9, 22), 60_000);
    });
    one(&findings, "port", Severity::Warning);
}

/// Some SYNs get a RST, others a SYN-ACK that the client leaves alone.
#[test]
fn a_half_open_scan_is_information() {
    let findings = in_traffic(NAME, |lab| {
        (0..5).for_each(|number| refused(lab, 7, (9, 5900), 10 + number * 900));
        for number in 0..8 {
            let mut talk = lab.talk(7, (9, 5900), 300 + number * 900, [30, 1_500]);
            talk.send(&mut lab.capture, CLIENT, SYN, b"");
            talk.turn(CLIENT);
            talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
        }
    });
    one(&findings, "intermittent", Severity::Info);
}

/// The recorder put each RST before the SYN that it answers.
#[test]
fn a_refusal_recorded_before_its_syn_is_one() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..4 {
            let mut talk = lab.talk(7, (9, 22), 10 + number * 900, [30, 1_500]);
            let syn = talk.segment(CLIENT, SYN, b"");
            let mut reset = talk.segment(SERVER, RST | ACK, b"");
            (reset.seq, reset.ack) = (0, syn.seq.wrapping_add(1));
            talk.record(&mut lab.capture, &reset);
            talk.record(&mut lab.capture, &syn);
        }
    });
    assert_eq!(one(&findings, "port", Severity::Warning).impact.failed_transactions, 4);
}

#[test]
fn a_service_that_stops_is_critical() {
    // A browser asks three times at once, and the capture ends.
    for (apart, severity) in [(900, Severity::Critical), (80, Severity::Warning)] {
        let findings = in_traffic(NAME, |lab| {
            (0..4).for_each(|number| opened(lab, 7, (9, 8080), 10 + number * 300));
            (0..4).for_each(|number| refused(lab, 7, (9, 8080), 3_000 + number * apart));
        });
        let finding = one(&findings, "port", severity);
        assert!(finding.title.ends_with("after it had opened others"), "{}", finding.title);
    }
}

/// The RSTs have the number of the SYN, not the one behind it.
#[test]
fn rsts_that_the_client_ignores_are_no_host_s() {
    for (behind, variant, words) in
        [(1, "port", "refuses every connection"), (0, "filtered", "RSTs that acknowledge no SYN")]
    {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = lab.talk(7, (9, 443), 10 + number * number * 3_000, [30, 1_500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                for _ in 0..3 {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_500);
                    let mut reset = talk.segment(SERVER, RST | ACK, b"");
                    (reset.seq, reset.ack) = (0, syn.seq.wrapping_add(behind));
                    talk.record(&mut lab.capture, &reset);
                    talk.wait(1_000_000);
                }
            }
        });
        let finding = one(&findings, variant, Severity::Warning);
        assert!(finding.title.contains(words), "{}", finding.title);
    }
}

#[test]
fn shares_are_of_all_connections_of_the_service() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|number| opened(lab, 7, (9, 8080), 10 + number * 300));
        (0..4).for_each(|number| refused(lab, 8, (9, 8080), 100 + number * 300));
    });
    let impact = one(&findings, "intermittent", Severity::Warning).impact;
    assert_eq!((impact.failed_transactions, impact.of_transactions), (4, 8));
}

/// A router looks every few minutes whether a host is a printer; others use the host.
#[test]
fn a_router_that_looks_for_printers_is_information() {
    let findings = |port: u16, others: bool| {
        in_traffic(NAME, |lab| {
            (0..8).for_each(|number| opened(lab, 8, (9, 445), 10 + number * 900));
            for number in 0..3 {
                let at = 40 + number * 70_000 + number % 2 * 30_000;
                [80, 515, port].into_iter().for_each(|port| refused(lab, 1, (9, port), at + u64::from(port)));
                if others {
                    refused(lab, 8, (9, 80), at + 20_000);
                }
            }
        })
    };
    let finding = findings(9100, false);
    assert!(one(&finding, "port", Severity::Info).title.ends_with("on 3 ports"), "{finding:#?}");
    assert_eq!(finding.len(), 1);
    // Somebody else needs one of them.
    assert!(findings(9100, true).iter().any(|finding| finding.severity > Severity::Info));
}

/// The NAT of a hypervisor tries in the client's place, gives up after 21 s, and resets: nobody refused.
#[test]
fn a_reset_after_repeated_syns_is_no_refusal_by_the_host() {
    let findings = |count: u64, port: u16, late: u64| {
        in_traffic(NAME, |lab| {
            for number in 0..count {
                let at = 10 + number * 30_000 + number % 2 * 9_000;
                let mut talk = lab.talk(7, (9, port), at, [30, 1_500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                for wait in [3_000_000, 6_000_000, late] {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(wait);
                }
                let mut reset = talk.segment(SERVER, RST | ACK, b"");
                (reset.seq, reset.ack) = (0, syn.seq.wrapping_add(1));
                talk.record(&mut lab.capture, &reset);
            }
        })
    };
    // Who knows what a strange port is for.
    for (count, port, severity) in
        [(2, 80, Severity::Warning), (1, 80, Severity::Info), (2, 27_000, Severity::Info)]
    {
        one(&findings(count, port, 12_000_000), "port", severity);
    }
    let finding = findings(4, 27_000, 12_000_000);
    let finding = one(&finding, "port", Severity::Warning);
    assert!(
        finding.title.starts_with("No answer to SYN from") && finding.title.contains("21.0 s"),
        "{}",
        finding.title
    );
    let at_once = findings(4, 27_000, 1_500);
    assert!(at_once[0].title.ends_with("refuses every connection"), "{}", at_once[0].title);
}

/// Worms look for SMB all over the Internet, and its users are near.
#[test]
fn what_only_scanners_ask_for_from_the_internet_is_information() {
    for (network, port, severity) in
        [(203, 445, Severity::Info), (10, 445, Severity::Warning), (203, 443, Severity::Warning)]
    {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..6 {
                let mut talk = lab.talk(number as u8 % 2, (9, port), 10 + number * 1_000, [30, 1_500]);
                talk.ends[CLIENT].address = [network, 0, 113, 3 + number as u8 % 2].into();
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                talk.turn(CLIENT);
                let mut reset = talk.segment(SERVER, RST | ACK, b"");
                reset.seq = 0;
                talk.record(&mut lab.capture, &reset);
            }
        });
        one(&findings, "port", severity);
    }
}

/// Who asks for localhost tries `::1` first, and then `127.0.0.1`.
#[test]
fn both_addresses_of_the_loopback_are_one_service() {
    let findings = in_traffic(NAME, |lab| {
        for (number, address) in (0..8).zip(["::1", "127.0.0.1"].into_iter().cycle()) {
            let mut talk = lab.talk(7, (9, 5170), 10 + number * 1_000, [30, 1_500]);
            talk.ends.iter_mut().for_each(|end| end.address = address.parse().expect("an address"));
            talk.send(&mut lab.capture, CLIENT, SYN, b"");
            talk.turn(CLIENT);
            let mut reset = talk.segment(SERVER, RST | ACK, b"");
            reset.seq = 0;
            talk.record(&mut lab.capture, &reset);
        }
    });
    let finding = one(&findings, "port", Severity::Warning);
    assert_eq!(finding.title, "127.0.0.1:5170 and [::1]:5170 refuse every connection");
    assert_eq!((findings.len(), finding.impact.failed_transactions), (1, 8));
}

/// The host that answers a scan is asked again and again, to time it (nmap).
#[test]
fn what_a_scanner_asks_for_is_information() {
    for (scan, severity) in [(true, Severity::Info), (false, Severity::Warning)] {
        let findings = in_traffic(NAME, |lab| {
            (0..9).for_each(|number| refused(lab, 7, (9, 587), 10 + number * 1_000));
            for port in (0..150).filter(|_| scan) {
                let mut talk = lab.talk(7, (66, 1_000 + port), 20 + u64::from(port), [30, 500]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
            }
            opened(lab, 8, (10, 80), 60_000);
        });
        one(&findings, "port", severity);
    }
}
