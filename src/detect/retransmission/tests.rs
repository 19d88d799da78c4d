use std::net::Ipv6Addr;

use super::*;
use crate::detect::testing::{fires, in_files, in_scene, in_traffic, one, says_nothing, silent};
use crate::support::tcp::{ACK, CLIENT, FIN, PSH, RST, SERVER, SYN, Segment, Talk};
use crate::support::{capture::Capture, filler, scenes::Lab};

const NAME: &str = Retransmission::RULE.name;

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("retransmission_rto", "rto", Severity::Warning),
            ("retransmission_fast", "fast", Severity::Warning),
            ("retransmission_tail_loss_probe", "tail_loss_probe", Severity::Warning),
            ("mtu_blackhole_silent", "rto", Severity::Warning),
        ],
    );
}

/// A bit flips behind the sender: the receiver discards the segment, and its sender repeats it.
#[test]
fn a_segment_that_was_damaged_on_the_way_says_so() {
    for damaged in [true, false] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..8 {
                let mut talk = lab.talk(7, (9, 80), 10 + 900 * number, [30, 6_000]);
                talk.handshake(&mut lab.capture);
                let sent = talk.segment(CLIENT, ACK, &filler(number as u32, 701));
                let mut frame = talk.frame(&sent);
                frame.iter_mut().rev().take(usize::from(damaged)).for_each(|octet| *octet ^= 0x10);
                lab.capture.record(talk.now, frame);
                talk.sent(&sent);
                talk.wait(260_000);
                let again = talk.resend(&mut lab.capture, &sent);
                talk.received(&again);
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
            }
        });
        let finding = one(&findings, "rto", Severity::Warning);
        let count = finding.counts.iter().find(|count| count.name == "corrupted");
        assert_eq!(count.map(|count| count.value), damaged.then_some(8), "{finding:#?}");
        assert_eq!(finding.alternatives[0].contains("damages packets"), damaged);
    }
}

#[test]
fn it_stays_silent() {
    silent(
        NAME,
        &[
            "healthy_reordered",
            "healthy_path_mtu_discovery",
            "capture_duplicates_exact",
            "capture_duplicates_routed",
            "spurious_retransmission_dsack",
            "blind_keepalive_race",
            "missing_syn_ack_late",
        ],
    );
}

/// A time-out, and what is outstanding again behind it.
fn upload(lab: &mut Lab, repeats: &[usize]) {
    let mut talk = lab.talk(7, (9, 8080), 10, [30, 40_000]);
    talk.handshake(&mut lab.capture);
    for round in 0..3 {
        talk.exchange(&mut lab.capture, &filler(round, 600), 120);
    }
    let sent: Vec<_> = (0..4).map(|piece| talk.segment(CLIENT, ACK, &filler(10 + piece, 900))).collect();
    let mut data = Vec::new();
    for (piece, segment) in sent.iter().enumerate() {
        let mut segment = segment.clone();
        segment.seq += 900 * piece as u32;
        talk.record(&mut lab.capture, &segment);
        data.push(segment);
    }
    for piece in repeats {
        talk.wait(if *piece == 0 { 600_000 } else { 40 });
        talk.record(&mut lab.capture, &data[*piece]);
    }
    data.iter().for_each(|segment| talk.sent(segment));
    data.iter().for_each(|segment| talk.received(segment));
    talk.turn(SERVER);
    talk.ack(&mut lab.capture, SERVER, &[]);
}

#[test]
fn time_outs_and_the_segments_behind_them_are_counted_apart() {
    for (repeats, words) in [
        (&[0, 1, 2, 3][..], "4 after 1 time-out)"),
        (&[0, 1, 2, 3, 0], "5 after 2 time-outs)"),
        (&[0, 0, 1], "3 after 2 time-outs)"),
    ] {
        let findings = in_traffic(NAME, |lab| upload(lab, repeats));
        assert!(findings.len() == 1 && findings[0].summary.contains(words), "{findings:#?}");
    }
}

/// A router that calls 940 bytes too big and names 1500: its drop is no loss of the path.
#[test]
fn what_a_router_called_too_big_is_path_mtu_discovery_whatever_mtu_it_names() {
    let findings = |told: bool| {
        in_traffic(NAME, |lab| {
            let router = lab.router();
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 40_000]);
            talk.handshake(&mut lab.capture);
            for round in 0..8 {
                let big = talk.segment(CLIENT, ACK, &filler(round, 900));
                talk.record(&mut lab.capture, &big);
                talk.wait(20_000);
                if told {
                    talk.icmp_error(&mut lab.capture, router, (3, 4, 1500), &big);
                }
                talk.wait(400_000);
                talk.record(&mut lab.capture, &big);
                talk.sent(&big);
                talk.received(&big);
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, SERVER, &[]);
            }
        })
    };
    one(&findings(false), "rto", Severity::Warning);
    assert!(findings(true).is_empty());
}

/// Data and FIN are missing until the server repeats them: two things, of which one is data.
#[test]
fn a_fin_that_fills_a_hole_repeats_no_data() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 8080), 10, [30, 40_000]);
        talk.handshake(&mut lab.capture);
        talk.exchange(&mut lab.capture, &filler(1, 600), 120);
        let data = talk.segment(SERVER, ACK, &filler(2, 700));
        let mut fin = talk.segment(SERVER, FIN | ACK, b"");
        fin.seq += 700;
        let mut ack = talk.segment(SERVER, ACK, b"");
        ack.seq += 701;
        talk.record(&mut lab.capture, &ack);
        talk.wait(2_000_000);
        for again in [data, fin] {
            // Sent now, as its clock shows.
            let now = talk.segment(SERVER, ACK, b"");
            talk.record(&mut lab.capture, &Segment { id: now.id, stamps: now.stamps, ..again });
            talk.wait(40);
        }
    });
    let summary = &one(&findings, "rto", Severity::Warning).summary;
    assert!(summary.contains("1 repeat among"), "{summary}");
}

/// The same upload with one time that a damaged record gives.
#[test]
fn no_wait_is_measured_with_a_clock_that_cannot_be_right() {
    for (jump, severity) in [(0, Severity::Warning), (900 * 86_400_000_000, Severity::Info)] {
        let mut lab = Lab::new(Capture::default(), 77);
        upload(&mut lab, &[0, 0, 0, 0, 0, 0]);
        lab.capture.sort();
        lab.capture.packets[0].micros += jump;
        let findings = in_files(NAME, &[("pcap", lab.capture.pcap())]);
        let finding = one(&findings, "rto", severity);
        assert_eq!(finding.summary.contains("no progress"), jump == 0, "{}", finding.summary);
    }
}

/// The client closed, or the server says so itself; its last words get no answer.
#[test]
fn nobody_waits_for_a_goodbye_after_the_others_fin() {
    let findings = |closed: bool, words: &[u8]| {
        in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 443), 10, [30, 40_000]);
            talk.handshake(&mut lab.capture);
            talk.exchange(&mut lab.capture, &filler(1, 600), 1_200);
            if closed {
                talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
                talk.turn(CLIENT);
            }
            let alert = talk.send_lost(&mut lab.capture, SERVER, words);
            for number in 0..5 {
                talk.wait(300_000 << number);
                talk.resend(&mut lab.capture, &alert);
            }
        })
    };
    let record = |head: [u8; 5], length| [&head[..], &filler(2, length)].concat();
    one(&findings(false, &record([23, 3, 3, 0, 26], 26)), "rto", Severity::Warning);
    one(&findings(true, &filler(2, 900)), "rto", Severity::Warning);
    assert!(findings(false, &record([21, 3, 3, 0, 26], 26)).is_empty());
    assert!(findings(true, &filler(2, 31)).is_empty());
}

/// The client reset, or the server had sent its FIN, when the server sends what it then repeats.
#[test]
fn nobody_waits_on_a_connection_that_is_over() {
    for over in [None, Some(CLIENT), Some(SERVER)] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 443), 10, [30, 40_000]);
            talk.handshake(&mut lab.capture);
            talk.exchange(&mut lab.capture, &filler(1, 600), 1_200);
            if over == Some(SERVER) {
                talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
                talk.turn(CLIENT);
            }
            let data = talk.send_lost(&mut lab.capture, SERVER, &filler(2, 900));
            for number in 0..5 {
                if over == Some(CLIENT) {
                    let reset = talk.segment(CLIENT, RST, b"");
                    talk.record(&mut lab.capture, &reset);
                }
                talk.wait(300_000 << number);
                talk.resend(&mut lab.capture, &data);
            }
        });
        match over {
            None => _ = one(&findings, "rto", Severity::Warning),
            Some(_) => assert!(findings.is_empty(), "{over:?}: {findings:#?}"),
        }
    }
}

/// A connection from before the capture that is idle: its client sends a byte that the server has already,
/// every 45 s, and the answers do not come.
#[test]
fn a_keep_alive_that_the_capture_begins_with_is_no_data() {
    let findings = |length: usize, pause: u64| {
        in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 443), 10, [30, 40_000]);
            talk.handshake(&mut lab.capture);
            lab.capture.packets.clear();
            let byte = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, length));
            for _ in 0..3 {
                talk.wait(pause);
                talk.resend(&mut lab.capture, &byte);
            }
            talk.received(&byte);
            talk.turn(SERVER);
            talk.ack(&mut lab.capture, SERVER, &[]);
        })
    };
    assert!(findings(1, 45_000_000).is_empty());
    one(&findings(1, 600_000), "rto", Severity::Warning);
    one(&findings(2, 45_000_000), "rto", Severity::Warning);
}

#[test]
fn a_connection_that_is_replayed_repeats_nothing() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 8080), 10, [30, 6_000]);
        talk.handshake(&mut lab.capture);
        let first: Vec<_> = lab.capture.packets.clone();
        talk.exchange(&mut lab.capture, &filler(1, 900), 120);
        let all: Vec<_> = lab.capture.packets.clone();
        assert!(all.len() > first.len());
        for round in 1..4 {
            for packet in &all {
                lab.capture.record(packet.micros + round * 2_000_000, packet.frame.clone());
            }
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn the_rate_is_of_all_segments_of_the_direction() {
    let findings = in_scene(NAME, "mtu_blackhole_silent");
    let finding = one(&findings, "rto", Severity::Warning);
    let count = |name| finding.counts.iter().find(|count| count.name == name).map(|count| count.value);
    assert_eq!((count("retransmissions"), count("segments")), (Some(18), Some(27)));
    assert_eq!(finding.subject.direction, Some(Direction::ToServer));
    assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (0, 3));
}

/// Eight segments are lost, and sent again 15 ms later, in a transfer with pauses of so many milliseconds.
#[test]
fn what_nobody_feels_is_information() {
    for (pause, severity) in [(10, Severity::Warning), (2_500, Severity::Info)] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            for round in 0..8 {
                talk.exchange(&mut lab.capture, &filler(round, 300), 1_200);
                talk.wait(pause * 1_000);
                let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(90 + round, 700));
                talk.wait(15_000);
                let again = talk.resend(&mut lab.capture, &lost);
                talk.received(&again);
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
            }
        });
        assert!(findings.len() == 1 && findings[0].severity == severity, "{findings:#?}");
        assert!(findings[0].impact.seconds_lost < Span::millis(200), "{findings:#?}");
    }
}

/// A recorder wrote the requests twice, the second time without their payload.
#[test]
fn headers_of_a_packet_that_was_recorded_repeat_nothing() {
    for copied in [true, false] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 23), 10, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            for round in 0..8 {
                talk.exchange(&mut lab.capture, &filler(round, 30), 40);
                talk.wait(90_000);
                let sent = talk.send_lost(&mut lab.capture, CLIENT, &filler(90 + round, 85));
                talk.wait(60_000);
                if copied {
                    let mut frame = talk.frame(&sent);
                    frame.truncate(frame.len() - 85);
                    lab.capture.record(talk.now, frame);
                    talk.received(&sent);
                } else {
                    let again = talk.resend(&mut lab.capture, &sent);
                    talk.received(&again);
                }
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
            }
        });
        assert_eq!(findings.is_empty(), copied, "{findings:#?}");
    }
}

/// A request that is sent again and again and never acknowledged.
fn in_vain(lab: &mut Lab, client: u8, server: (u8, u16), at: u64) {
    let mut talk = lab.talk(client, server, at, [30, 6_000]);
    talk.handshake(&mut lab.capture);
    let request = talk.send_lost(&mut lab.capture, CLIENT, &filler(server.1.into(), 200));
    for number in 0..5 {
        talk.wait(300_000 << number);
        talk.resend(&mut lab.capture, &request);
    }
}

#[test]
fn services_that_one_client_alone_repeats_data_to_are_one_finding() {
    let findings = |services: u8| {
        in_traffic(NAME, |lab| {
            (0..services).for_each(|server| in_vain(lab, 7, (20 + server, 443), 10 + 900 * u64::from(server)))
        })
    };
    assert_eq!(findings(2).len(), 2);
    let finding = one(&findings(3), "rto", Severity::Warning);
    assert_eq!((finding.impact.services, finding.subject.server.clone()), (3, None));
    assert!(finding.title.contains("to 3 services"), "{}", finding.title);
}

/// A host with an address of each family has one way out; a router's link address has many senders.
#[test]
fn both_addresses_of_a_client_are_one_client() {
    // A phone that shares its line gave it another network meanwhile, of the same provider or of another.
    for (own, moved, found) in [(true, 0u128, 1), (false, 0, 4), (true, 1, 1), (true, 1 << 32, 4)] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4u16 {
                let at = 1_000_000 + 900_000 * u64::from(number);
                let (client, server) = match number % 2 {
                    0 => (lab.client(7), lab.server(20 + number as u8)),
                    _ => {
                        let IpAddr::V6(own) = lab.v6(1, 7) else { return };
                        let away = if number == 3 { moved << 64 } else { 0 };
                        (Ipv6Addr::from(own.to_bits() + away).into(), lab.v6(30 + number, 9))
                    }
                };
                let mut talk = Talk::new((client, 41_000 + number), (server, 443), at, [30, 6_000]);
                talk.ends[CLIENT].mac = if own { [2, 0, 0, 0, 0, 7] } else { talk.ends[CLIENT].mac };
                talk.handshake(&mut lab.capture);
                let request = talk.send_lost(&mut lab.capture, CLIENT, &filler(number.into(), 200));
                for number in 0..5 {
                    talk.wait(300_000 << number);
                    talk.resend(&mut lab.capture, &request);
                }
            }
        });
        assert_eq!(findings.len(), found, "{findings:#?}");
    }
}

/// A line that loses in both directions: requests to three hosts, and answers of one.
#[test]
fn both_directions_of_a_line_are_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        (0..3).for_each(|server| in_vain(lab, 7, (20 + server, 443), 10 + 900 * u64::from(server)));
        let mut talk = lab.talk(7, (30, 80), 9_000, [30, 6_000]);
        talk.handshake(&mut lab.capture);
        talk.send(&mut lab.capture, CLIENT, PSH | ACK, b"GET / HTTP/1.0\r\n\r\n");
        talk.turn(CLIENT);
        let answer = talk.send_lost(&mut lab.capture, SERVER, &filler(9, 200));
        for number in 0..4 {
            talk.wait(300_000 << number);
            talk.resend(&mut lab.capture, &answer);
        }
    });
    let finding = one(&findings, "rto", Severity::Warning);
    assert!(finding.title.contains("to 3 services"), "{}", finding.title);
    assert!(finding.summary.contains("from 1 service were sent again, too."), "{}", finding.summary);
    assert_eq!(finding.impact.services, 4);
}

#[test]
fn ports_of_one_host_on_one_path_are_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        (0..7).for_each(|number| in_vain(lab, 7, (9, 3_333 + number), 10 + 900 * u64::from(number)))
    });
    let finding = one(&findings, "rto", Severity::Warning);
    assert_eq!((finding.impact.services, finding.subject.port), (7, None));
    assert!(finding.title.contains("to 7 ports of 10."), "{}", finding.title);
    // Each client has a path of its own.
    let findings = in_traffic(NAME, |lab| {
        (0..3).for_each(|number| in_vain(lab, 7 + number, (9, 3_333 + u16::from(number)), 10))
    });
    assert_eq!(findings.len(), 3, "{findings:#?}");
}

/// The server goes on repeating its SYN-ACK: it never had the connection, and so none of its data.
#[test]
fn data_behind_a_handshake_that_never_ended_is_told_elsewhere() {
    for (rule, count) in [(NAME, 0), ("asymmetric_flow", 1)] {
        let findings = in_traffic(rule, |lab| {
            let mut talk = lab.talk(7, (9, 443), 10, [30, 6_000]);
            let syn = talk.send(&mut lab.capture, CLIENT, SYN, b"");
            talk.turn(CLIENT);
            let reply = talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
            talk.turn(SERVER);
            assert!(syn.seq.wrapping_add(1) == reply.ack);
            talk.ack(&mut lab.capture, CLIENT, &[]);
            let request = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 200));
            for number in 0..5 {
                talk.wait(300_000 << number);
                talk.resend(&mut lab.capture, &request);
                talk.wait(40_000);
                talk.record(&mut lab.capture, &reply);
            }
        });
        assert_eq!(findings.len(), count, "{rule}: {findings:#?}");
    }
}

/// Textbook captures of a time-out show one side alone: that is not nothing.
#[test]
fn data_that_nobody_in_the_capture_answers_is_information() {
    let findings = |tries: u32, heard: bool| {
        in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 1_043), 10, [30, 6_000]);
            let data = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 648));
            for number in 0..tries {
                talk.wait(300_000 << number);
                let again = Segment {
                    ack: data.ack.wrapping_add(if heard { number * 90 } else { 0 }),
                    ..data.clone()
                };
                talk.record(&mut lab.capture, &again);
            }
        })
    };
    let finding = one(&findings(5, false), "rto", Severity::Info);
    assert!(finding.summary.contains("the same data 6 times in all, for 9.30 s"), "{}", finding.summary);
    assert!(findings(2, false).is_empty() && findings(5, true).is_empty());
    says_nothing(NAME, &["missing_syn_ack_silent", "missing_syn_ack_silent_classic"]);
}

/// The server alone sends data, as FTP does over a connection of its own, and everything is replayed.
#[test]
fn data_of_the_server_that_is_replayed_repeats_nothing() {
    for rule in [NAME, "spurious_retransmission"] {
        let findings = in_traffic(rule, |lab| {
            let mut talk = lab.talk(7, (9, 4940), 10, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            talk.turn(CLIENT);
            talk.send(&mut lab.capture, SERVER, ACK, &filler(1, 600));
            talk.turn(SERVER);
            talk.ack(&mut lab.capture, CLIENT, &[]);
            talk.close(&mut lab.capture);
            for round in 1..26 {
                for packet in lab.capture.packets.clone().iter().filter(|packet| packet.micros < 2_000_000) {
                    lab.capture.record(packet.micros + round * 20_000_000, packet.frame.clone());
                }
            }
        });
        assert!(findings.is_empty(), "{rule}: {findings:#?}");
    }
}

/// A sender without SACK has its timer only.
#[test]
fn a_probe_needs_sack() {
    for (selective, variant) in [(true, "tail_loss_probe"), (false, "rto")] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..8 {
                let mut talk = lab.talk(7, (9, 10_000), 10 + number * 900, [30, 6_000]);
                talk.handshake(&mut lab.capture);
                talk.exchange(&mut lab.capture, &filler(number as u32, 300), 120);
                let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(number as u32 + 70, 26));
                talk.wait(101_000);
                let again = talk.resend(&mut lab.capture, &lost);
                talk.received(&again);
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, ACK, b"done");
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                talk.close(&mut lab.capture);
            }
            // Of Ethernet, IPv4 and TCP without their options; SACK-permitted is kind 4 of 2 bytes.
            const OPTIONS: usize = 14 + 20 + 20;
            for packet in lab.capture.packets.iter_mut().filter(|_| !selective) {
                let syn = packet.frame[OPTIONS - 7] & SYN != 0;
                let options = packet.frame.get_mut(OPTIONS..).filter(|_| syn).unwrap_or_default();
                if let Some(at) = options.windows(2).position(|option| option == [4, 2]) {
                    options[at..at + 2].copy_from_slice(&[1, 1]);
                }
            }
        });
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!(findings[0].variant, variant, "{findings:#?}");
    }
}

/// A recorder that writes the padded length into the IP header: five bytes seem to be six, and the next
/// segment begins at the sixth, two seconds later. Of seven bytes none is padding.
#[test]
fn the_padding_of_a_short_segment_is_not_sent_again() {
    for (bytes, found) in [(5, 0), (6, 1)] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 9092), 100, [30, 9_000]);
            talk.handshake(&mut lab.capture);
            for round in 0..4 {
                let short = Segment { stamps: None, ..talk.segment(SERVER, ACK, &filler(round, bytes)) };
                let payload = short.payload.iter().copied().chain([0]).collect();
                talk.record(&mut lab.capture, &Segment { payload, ..short.clone() });
                talk.sent(&short);
                talk.received(&short);
                talk.turn(SERVER);
                let ack = Segment { stamps: None, ..talk.segment(CLIENT, ACK, b"") };
                talk.record(&mut lab.capture, &ack);
                talk.wait(2_000_000);
                let next = Segment { stamps: None, ..talk.segment(SERVER, ACK, &filler(round, 271)) };
                talk.record(&mut lab.capture, &next);
                talk.sent(&next);
                talk.received(&next);
                talk.turn(SERVER);
                let ack = Segment { stamps: None, ..talk.segment(CLIENT, ACK, b"") };
                talk.record(&mut lab.capture, &ack);
            }
        });
        assert_eq!(findings.len(), found, "{bytes}: {findings:#?}");
    }
}

/// The ACK of a lone segment may have been late; a receiver with SACK tells when it got it twice.
#[test]
fn a_probe_is_a_loss_where_duplicates_would_be_reported() {
    for (handshake, severity) in [(true, Severity::Warning), (false, Severity::Info)] {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..8 {
                let mut talk = lab.talk(7, (9, 10_000), 10 + number * 900, [30, 6_000]);
                let opens = lab.capture.packets.len();
                talk.handshake(&mut lab.capture);
                if !handshake {
                    lab.capture.packets.truncate(opens);
                }
                talk.exchange(&mut lab.capture, &filler(number as u32, 300), 120);
                let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(number as u32 + 70, 26));
                talk.wait(101_000);
                let again = talk.resend(&mut lab.capture, &lost);
                talk.received(&again);
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, ACK, b"done");
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
            }
        });
        one(&findings, "tail_loss_probe", severity);
    }
}

/// A device that sleeps takes its data late, and reports most of the copies as duplicates.
#[test]
fn acks_that_are_held_back_are_told_once() {
    for (reports, severity) in [(3, Severity::Info), (1, Severity::Warning)] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8009), 100, [10, 20_000]);
            talk.handshake(&mut lab.capture);
            let segment = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 400));
            for pause in [400_000, 600_000, 1_300_000, 2_400_000] {
                talk.wait(pause);
                talk.resend(&mut lab.capture, &segment);
            }
            talk.received(&segment);
            for _ in 0..reports {
                talk.wait(9_000);
                talk.ack(&mut lab.capture, SERVER, &[(segment.seq, segment.seq.wrapping_add(400))]);
            }
        });
        one(&findings, "rto", severity);
    }
}
