use super::*;
use crate::detect::testing::{fires, in_files, in_scene, in_traffic, one, silent};
use crate::support::capture::Capture;
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, FIN, PSH, RST, SERVER, SYN, Segment, Talk};

pub(super) const NAME: &str = MissingSynAck::RULE.name;

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("missing_syn_ack_silent", "silent", Severity::Critical),
            ("missing_syn_ack_silent_classic", "silent", Severity::Critical),
            ("missing_syn_ack_lost_return", "lost_return", Severity::Critical),
            ("missing_syn_ack_late", "late", Severity::Warning),
        ],
    );
}

#[test]
fn it_stays_silent() {
    silent(
        NAME,
        &["rst_storm_refused", "syn_ack_repeated", "asymmetric_flow_visibility", "mtu_blackhole_silent"],
    );
}

#[test]
fn one_finding_says_whom_it_covers() {
    let findings = in_scene(NAME, "missing_syn_ack_silent");
    let finding = one(&findings, "silent", Severity::Critical);
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (5, 5));
    assert_eq!((finding.scope.flows.count, finding.scope.flows.sample.len()), (5, 5));
    assert_eq!(finding.scope.clients.count, 5);
    assert_eq!(finding.scope.servers.sample, ["10.31.2.5:8443"]);
    assert_eq!(finding.scope.networks.sample, ["10.31.1.0/24"]);
    assert!(!finding.scope.intervals.is_empty());
}

/// What a host discards because of its digest gets no answer, or none that arrives.
#[test]
fn digests_in_the_frames_are_the_first_explanation() {
    let first = |variant: &str, digests: [bool; 2], answers: bool| {
        let findings = in_traffic(NAME, |lab| {
            let mut other = lab.talk(9, (5, 80), 10, [30, 500]);
            lab.http(&mut other, 900);
            for client in 20..25 {
                let mut talk = lab.talk(client, (5, 179), 50, [30, 500]);
                let syn = Segment { signed: digests[0], ..talk.segment(CLIENT, SYN, b"") };
                talk.sent(&syn);
                talk.received(&syn);
                let answer = Segment { signed: digests[1], ..talk.segment(SERVER, SYN | ACK, b"") };
                for _ in 0..4 {
                    talk.record(&mut lab.capture, &syn);
                    if answers {
                        talk.record(&mut lab.capture, &answer);
                    }
                    talk.wait(2_000_000);
                }
            }
        });
        one(&findings, variant, Severity::Critical).alternatives[0].to_string()
    };
    assert!(first("silent", [true, false], false).contains("the server has another key"));
    assert!(!first("silent", [false, false], false).contains("TCP-MD5"));
    assert!(first("lost_return", [true, false], true).contains("one side signs"));
    assert!(first("lost_return", [true, true], true).contains("another key"));
    assert!(!first("lost_return", [false, false], true).contains("TCP-MD5"));
}

/// The SYN-ACKs come at once, and the client goes on asking for seconds.
#[test]
fn a_client_waits_as_long_as_it_asks() {
    let findings = in_scene(NAME, "missing_syn_ack_lost_return");
    let finding = one(&findings, "lost_return", Severity::Critical);
    let waited = finding.impact.seconds_lost.0 / finding.impact.failed_transactions.max(1) as i64;
    assert!(Span(waited) >= Span::secs(3), "{finding:#?}");
}

/// A client that asks so often at a millisecond, three seconds apart, and gets no answer.
pub(super) fn asks(lab: &mut Lab, client: u8, server: (u8, u16), at: u64, syns: u64) {
    let mut talk = lab.talk(client, server, at, [30, 500]);
    let syn = talk.segment(CLIENT, SYN, b"");
    for _ in 0..syns {
        talk.record(&mut lab.capture, &syn);
        talk.wait(3_000_000);
    }
}

/// The same segment four times, as SYNs are repeated.
fn insist(talk: &mut Talk, lab: &mut Lab, flags: u8) {
    let asked = talk.segment(CLIENT, flags, b"");
    for _ in 0..4 {
        talk.record(&mut lab.capture, &asked);
        talk.wait(1_500_000);
    }
}

/// Another client, and another server: the capture holds both directions.
pub(super) fn elsewhere(lab: &mut Lab, at: u64) {
    let mut talk = lab.talk(8, (10, 80), at, [30, 500]);
    lab.http(&mut talk, 300);
    talk.close(&mut lab.capture);
}

/// The last SYN is at the end of the capture, the first one nine seconds before.
#[test]
fn patience_begins_with_the_first_syn() {
    let findings = in_traffic(NAME, |lab| {
        elsewhere(lab, 10);
        asks(lab, 7, (9, 445), 20, 4);
    });
    assert_eq!(one(&findings, "silent", Severity::Warning).impact.seconds_lost.as_secs_f64().round(), 9.0);
}

#[test]
fn a_syn_that_nobody_repeats_is_information() {
    let findings = in_traffic(NAME, |lab| {
        (0..3).for_each(|number| asks(lab, 7, (9, 443), 20 + number * 70, 1));
        elsewhere(lab, 9_000);
    });
    one(&findings, "silent", Severity::Info);
}

#[test]
fn a_capture_of_nothing_but_syns_that_are_repeated_is_no_clean_one() {
    let findings = in_traffic(NAME, |lab| {
        (0..9).for_each(|number| asks(lab, 7, (9, 445), 20 + number * 900, 4));
    });
    let finding = one(&findings, "silent", Severity::Warning);
    assert!(finding.gates.iter().any(|gate| gate.prevents.contains("no packet of the host")), "{finding:#?}");
    // One attempt, three SYNs.
    let findings = in_traffic(NAME, |lab| asks(lab, 7, (9, 445), 20, 3));
    one(&findings, "silent", Severity::Warning);
}

#[test]
fn silence_of_a_direction_that_is_not_captured_is_not_known() {
    // Who does not ask three times may have its answer.
    let once = in_traffic(NAME, |lab| {
        (0..9).for_each(|number| asks(lab, 7, (9, 445), 20 + number * 900, 2));
    });
    // Another connection of the same capture point opens without its SYN-ACK.
    let one_way = in_traffic(NAME, |lab| {
        asks(lab, 7, (9, 445), 20, 4);
        let mut talk = lab.talk(7, (10, 80), 40, [30, 500]);
        for (flags, data) in [(SYN, &b""[..]), (ACK, b""), (ACK | PSH, b"GET / HTTP/1.1\r\n\r\n")] {
            let sent = talk.segment(CLIENT, flags, data);
            talk.record(&mut lab.capture, &sent);
            talk.wait(1_000);
        }
    });
    // One that was running sends all the time, and nothing comes back.
    let running = in_traffic(NAME, |lab| {
        asks(lab, 7, (9, 445), 20, 4);
        let mut talk = lab.talk(7, (10, 80), 40, [30, 500]);
        for _ in 0..9 {
            let sent = talk.segment(CLIENT, ACK | PSH, b"one more of many");
            talk.record(&mut lab.capture, &sent);
            talk.wait(1_000);
            talk.sent(&sent);
        }
    });
    // A dark network: addresses that nobody has.
    let dark = in_traffic(NAME, |lab| {
        (0..9).for_each(|number| asks(lab, number + 20, (number + 90, 445), 20 + u64::from(number) * 90, 3));
    });
    // A client that tries many ports of a few hosts.
    let ports = in_traffic(NAME, |lab| {
        for number in 0..16u16 {
            asks(lab, 7, (90 + number as u8 % 4, 440 + number), 20 + u64::from(number) * 90, 3);
        }
    });
    for findings in [once, one_way, running, dark, ports] {
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

#[test]
fn silent_ports_of_one_host_are_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|client| asks(lab, 20 + client, (9, 445), 20, 4));
        (0..4).for_each(|client| asks(lab, 20 + client, (9, 80), 20, 4));
        elsewhere(lab, 9_000);
    });
    let finding = one(&findings, "silent", Severity::Critical);
    assert_eq!((findings.len(), finding.impact.services, finding.impact.clients), (1, 2, 4));
    assert!(finding.alternatives.iter().any(|text| text.contains("host is down")));
}

#[test]
fn a_host_whose_packets_pass_is_not_down() {
    let findings = in_traffic(NAME, |lab| {
        (0..4).for_each(|client| asks(lab, 20 + client, (10, 445), 20, 4));
        elsewhere(lab, 9_000);
    });
    let could_be = one(&findings, "silent", Severity::Critical).alternatives;
    assert!(!could_be.iter().any(|text| text.contains("down")), "{could_be:?}");
}

#[test]
fn a_route_trace_is_no_attempt() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 80), 20, [30, 500]);
        for ttl in 1..20 {
            let mut syn = talk.segment(CLIENT, SYN, b"");
            syn.ttl = ttl;
            talk.record(&mut lab.capture, &syn);
            talk.wait(1_000_000);
        }
        elsewhere(lab, 60_000);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn a_clock_that_steps_back_tells_no_silence() {
    let mut lab = Lab::new(Capture::default(), 77);
    (0..4).for_each(|client| asks(&mut lab, 20 + client, (9, 445), 900_000, 4));
    elsewhere(&mut lab, 20);
    let findings = in_files(NAME, &[("pcap", lab.capture.pcap())]);
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A refusal is an answer, though the client asks again and then gets in.
#[test]
fn a_syn_that_was_refused_first_was_not_answered_late() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 80), 20, [30, 500]);
        let syn = talk.segment(CLIENT, SYN, b"");
        talk.record(&mut lab.capture, &syn);
        let mut reset = talk.segment(SERVER, RST | ACK, b"");
        (reset.seq, reset.ack) = (0, syn.seq.wrapping_add(1));
        talk.record(&mut lab.capture, &reset);
        talk.wait(3_000_000);
        talk.handshake(&mut lab.capture);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A replayed client acknowledges a SYN-ACK of another day.
#[test]
fn an_ack_of_another_connection_ends_no_handshake() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 80), 20, [30, 500]);
        for _ in 0..5 {
            let syn = talk.segment(CLIENT, SYN, b"");
            talk.record(&mut lab.capture, &syn);
            let mut reply = talk.segment(SERVER, SYN | ACK, b"");
            reply.ack = syn.seq.wrapping_add(1);
            talk.record(&mut lab.capture, &reply);
            let mut ack = talk.segment(CLIENT, ACK, b"");
            (ack.seq, ack.ack) = (syn.seq.wrapping_add(1), reply.seq.wrapping_add(300_000_000));
            talk.record(&mut lab.capture, &ack);
            talk.wait(4_000_000);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn many_ports_of_one_host_are_one_finding_for_information() {
    let findings = in_traffic(NAME, |lab| {
        for port in 0..40 {
            let mut talk = lab.talk(7, (9, 1000 + port), 10 + u64::from(port), [30, 500]);
            talk.send(&mut lab.capture, CLIENT, SYN, b"");
        }
        lab.resolves(5_000_000, "www.shop.example");
    });
    let finding = one(&findings, "silent", Severity::Info);
    assert_eq!((findings.len(), finding.impact.services), (1, 40));
    assert!(!finding.summary.contains("waited"), "{}", finding.summary);
}

/// More SYNs than are kept.
#[test]
fn the_wait_is_up_to_the_last_syn() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 8886), 100, [20_000, 30]);
        let syn = talk.segment(CLIENT, SYN, b"");
        for _ in 0..50 {
            talk.record(&mut lab.capture, &syn);
            talk.wait(200_000);
        }
        lab.resolves(30_000_000, "www.shop.example");
        let mut talk = lab.talk(7, (9, 80), 31_000_000, [20_000, 30]);
        lab.http(&mut talk, 300);
    });
    let finding = one(&findings, "silent", Severity::Warning);
    assert!(finding.summary.contains("50 SYNs and waited 9.8"), "{}", finding.summary);
}

/// The SYN came once: what was repeated is the answer.
#[test]
fn a_late_answer_to_one_syn_is_no_answer_to_a_repeated_one() {
    for syns in [1, 2] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..3 {
                let mut talk = lab.talk(7, (9, 8886), 100 + number * 400, [20_000, 30]);
                for _ in 0..syns {
                    let syn = talk.segment(CLIENT, SYN, b"");
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(2_000_000);
                }
                let syn = talk.segment(CLIENT, SYN, b"");
                talk.sent(&syn);
                talk.received(&syn);
                let syn_ack = talk.segment(SERVER, SYN | ACK, b"");
                talk.record(&mut lab.capture, &syn_ack);
                talk.wait(1_010_000);
                talk.record(&mut lab.capture, &syn_ack);
                talk.sent(&syn_ack);
                talk.received(&syn_ack);
                talk.wait(40_000);
                talk.send(&mut lab.capture, CLIENT, ACK, b"");
                talk.exchange(&mut lab.capture, b"GET / HTTP/1.1\r\n\r\n", 300);
                talk.close(&mut lab.capture);
            }
        });
        let finding = one(&findings, "late", Severity::Warning);
        let of_the_answer = finding.title.ends_with("open only after a repeated SYN-ACK");
        assert_eq!(of_the_answer, syns == 1, "{finding:#?}");
    }
}

/// A server that answers each SYN at once. In every so-manyth connection it repeats its SYN-ACK a second
/// later, and the ACK comes so long after that.
fn unlucky(every: u64, delays: [u64; 2], answered: u64) -> Vec<Finding> {
    in_traffic(NAME, |lab| {
        for number in 0..24 {
            let mut talk = lab.talk(7, (9, 8886), 100 + number * 400, delays);
            if number % every == 0 {
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                let syn_ack = talk.segment(SERVER, SYN | ACK, b"");
                talk.wait(60);
                talk.record(&mut lab.capture, &syn_ack);
                talk.wait(1_010_000);
                talk.record(&mut lab.capture, &syn_ack);
                talk.sent(&syn_ack);
                talk.received(&syn_ack);
                talk.wait(answered);
                talk.send(&mut lab.capture, CLIENT, ACK, b"");
                talk.exchange(&mut lab.capture, b"GET / HTTP/1.1\r\n\r\n", 300);
            } else {
                lab.http(&mut talk, 300);
            }
            talk.close(&mut lab.capture);
        }
    })
}

#[test]
fn syn_acks_repeated_after_loss_are_information() {
    let finding = one(&unlucky(8, [20_000, 30], 40_000), "late", Severity::Info);
    assert!(finding.title.contains("repeated SYN-ACK"), "{}", finding.title);
    assert_eq!(finding.impact.failed_transactions, 0);
}

/// At the server of clients behind two satellites, which repeat SYN and SYN-ACK before the answer arrives.
#[test]
fn a_long_way_makes_nobody_late() {
    assert!(unlucky(1, [650_000, 30], 290_000).is_empty());
}

#[test]
fn hosts_that_one_client_asks_on_one_port_are_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        (0..12).for_each(|host| asks(lab, 7, (20 + host, 445), 1_000 + 30 * u64::from(host), 1));
        elsewhere(lab, 20_000);
    });
    assert_eq!(findings.len(), 1, "{findings:#?}");
    one(&findings, "silent", Severity::Info);
}

/// Peers that are gone: each on a port of its own. A way out that is broken is another thing.
#[test]
fn peers_that_are_gone_are_information() {
    let hosts = |port: fn(u8) -> u16| {
        in_traffic(NAME, |lab| {
            (0..8).for_each(|peer| asks(lab, 7, (20 + peer, port(peer)), 1_000 + 30 * u64::from(peer), 4));
            elsewhere(lab, 30_000);
        })
    };
    let findings = hosts(|peer| 40_000 + 117 * u16::from(peer));
    one(&findings, "silent", Severity::Info);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    one(&hosts(|_| 8443), "silent", Severity::Critical);
}

#[test]
fn one_try_on_a_port_of_no_service_is_information() {
    for (port, tries, severity) in
        [(51_413, 1, Severity::Info), (51_413, 2, Severity::Warning), (8443, 1, Severity::Warning)]
    {
        let findings = in_traffic(NAME, |lab| {
            (0..tries).for_each(|_| asks(lab, 7, (9, port), 20, 3));
            elsewhere(lab, 9_000);
        });
        one(&findings, "silent", severity);
    }
}

/// One client tries three ports of a host, each once: it knocks, unless they are what FTP agreed on.
#[test]
fn port_knocking_is_information() {
    for (control, severity) in [(22, Severity::Info), (21, Severity::Warning)] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, control), 10, [30, 500]);
            lab.http(&mut talk, 300);
            (0..3).for_each(|port| asks(lab, 7, (9, 40_000 + 700 * port), 900, 2));
            elsewhere(lab, 9_000);
        });
        assert_eq!(findings.len(), 1, "{findings:#?}");
        one(&findings, "silent", severity);
    }
}

/// A router asks a host that others use for three protocols of printers, and gives up soon.
#[test]
fn a_discovery_of_services_is_information() {
    let findings = |syns: u64| {
        in_traffic(NAME, |lab| {
            elsewhere(lab, 10);
            for round in 0..2 {
                [80, 515, 9100]
                    .into_iter()
                    .for_each(|port| asks(lab, 1, (10, port), 900 + round * 70_000, syns));
            }
            elsewhere(lab, 160_000);
        })
    };
    one(&findings(2), "silent", Severity::Info);
    one(&findings(4), "silent", Severity::Critical);
}

/// A worm makes addresses up, all over the Internet, and asks each once. A client whose way out is broken
/// asks few again and again.
#[test]
fn addresses_made_up_are_information() {
    use std::net::{IpAddr, Ipv4Addr};
    let findings = |hosts: u64, tries: u64| {
        in_traffic(NAME, |lab| {
            elsewhere(lab, 10);
            for host in 0..hosts {
                for again in 0..tries {
                    let at = 900 + host * 300 + again * 20_000;
                    let mut talk = lab.talk(7, (9, 445), at, [30, 500]);
                    let number = (host as u32 + 40).wrapping_mul(2_654_435_761);
                    let [a, b, c, d] = number.to_be_bytes();
                    talk.ends[SERVER].address = IpAddr::V4(Ipv4Addr::new(20 + a % 100, b, c, d));
                    let syn = talk.segment(CLIENT, SYN, b"");
                    for _ in 0..3 {
                        talk.record(&mut lab.capture, &syn);
                        talk.wait(3_000_000);
                    }
                }
            }
            elsewhere(lab, 160_000);
        })
    };
    one(&findings(60, 1), "silent", Severity::Info);
    assert!(findings(30, 3).iter().any(|finding| finding.severity > Severity::Info));
}

/// Every connection of a page opens at the second SYN, whatever the server: the loss is near the client.
#[test]
fn a_client_that_is_late_everywhere_is_one_finding() {
    let findings = |servers: u8| {
        in_traffic(NAME, |lab| {
            elsewhere(lab, 10);
            for server in 0..servers {
                let mut talk = lab.talk(7, (30 + server, 80), 100 + u64::from(server) * 30, [30, 500]);
                let syn = talk.segment(CLIENT, SYN, b"");
                talk.record(&mut lab.capture, &syn);
                talk.wait(1_050_000);
                lab.http(&mut talk, 300);
                talk.close(&mut lab.capture);
            }
        })
    };
    let finding = findings(8);
    assert!(one(&finding, "late", Severity::Warning).title.starts_with("8 services"), "{finding:#?}");
    assert_eq!((finding.len(), findings(2).len()), (1, 2));
}

/// No TCP opens a connection with a SYN that ends it: what discards such a segment, discards a probe.
#[test]
fn syns_with_a_fin_are_probes() {
    let findings = |flags: u8| {
        in_traffic(NAME, |lab| {
            let mut other = lab.talk(9, (5, 80), 10, [30, 500]);
            lab.http(&mut other, 900);
            for _ in 0..4 {
                let mut talk = lab.talk(7, (5, 22), 50, [30, 500]);
                insist(&mut talk, lab, flags);
            }
            elsewhere(lab, 60_000);
        })
    };
    assert_eq!((findings(SYN).len(), findings(SYN | FIN).len()), (1, 0));
}

/// The SYN-ACK takes longer than the server waits for its ACK; or the server repeats it while data flows.
#[test]
fn a_syn_ack_that_nobody_needed_makes_nobody_late() {
    for syns in [1, 2] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..3 {
                let mut talk = lab.talk(7, (9, 8886), 100 + number * 30_000, [30, 20_000]);
                for _ in 1..syns {
                    let syn = talk.segment(CLIENT, SYN, b"");
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_010_000);
                }
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                talk.wait(if syns == 1 { 1_390_000 } else { 40_000 });
                let syn_ack = talk.segment(SERVER, SYN | ACK, b"");
                talk.record(&mut lab.capture, &syn_ack);
                talk.sent(&syn_ack);
                talk.received(&syn_ack);
                talk.send(&mut lab.capture, CLIENT, ACK, b"");
                if syns > 1 {
                    talk.exchange(&mut lab.capture, b"GET / HTTP/1.1\r\n\r\n", 300);
                }
                for _ in 0..3 {
                    talk.wait(1_200_000 * syns);
                    talk.record(&mut lab.capture, &syn_ack);
                    if syns == 1 {
                        break;
                    }
                }
                talk.exchange(&mut lab.capture, b"GET / HTTP/1.1\r\n\r\n", 300);
                talk.close(&mut lab.capture);
            }
        });
        match syns {
            1 => assert!(findings.is_empty(), "{findings:#?}"),
            _ => {
                let finding = one(&findings, "late", Severity::Warning);
                assert!(finding.summary.contains("6 SYNs and waited 3."), "{}", finding.summary);
            }
        }
    }
}

/// The client has its connection with its first ACK. That the server never got it, and repeats its SYN-ACK,
/// is nothing that it waits for.
#[test]
fn a_client_that_asks_again_waits_until_it_has_its_connection() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 8886), 100, [30, 20_000]);
        let syn = talk.segment(CLIENT, SYN, b"");
        talk.record(&mut lab.capture, &syn);
        talk.wait(1_010_000);
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.wait(40_000);
        let syn_ack = talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
        talk.send(&mut lab.capture, CLIENT, ACK, b"");
        let request = talk.send_lost(&mut lab.capture, CLIENT, b"GET / HTTP/1.1\r\n\r\n");
        talk.wait(3_000_000);
        talk.record(&mut lab.capture, &syn_ack);
        talk.send(&mut lab.capture, CLIENT, ACK, b"");
        talk.wait(200_000);
        let again = talk.resend(&mut lab.capture, &request);
        talk.received(&again);
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, ACK, b"HTTP/1.1 204 No Content\r\n\r\n");
        talk.close(&mut lab.capture);
    });
    let finding = one(&findings, "late", Severity::Warning);
    assert!(finding.summary.contains("2 SYNs and waited 1.05 s"), "{}", finding.summary);
}

/// A host without a global IPv6 address asks a server of another network from its link-local one.
#[test]
fn no_router_forwards_what_comes_from_a_link_local_address() {
    for (client, severity) in [("fe80::7", Severity::Warning), ("fd00::1:7", Severity::Critical)] {
        let findings = in_traffic(NAME, |lab| {
            let server = lab.v6(2, 0x43);
            let mut other = Talk::new((lab.v6(1, 9), 40_009), (server, 80), 10, [30, 500]);
            lab.http(&mut other, 900);
            for number in 0..6 {
                let client = (client.parse().expect("an address"), 41_000 + number);
                let mut talk = Talk::new(client, (server, 443), 50, [30, 500]);
                insist(&mut talk, lab, SYN);
            }
            elsewhere(lab, 60_000);
        });
        let finding = one(&findings, "silent", severity);
        let told = finding.alternatives[0].starts_with("the client has no global address");
        assert_eq!(told, client.starts_with("fe80"), "{finding:#?}");
    }
}
