use super::*;
use crate::detect::testing::{fires, in_scene, in_traffic, one, silent};
use crate::support::capture::Capture;
use crate::support::filler;
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Talk};

const NAME: &str = AsymmetricFlow::RULE.name;

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("asymmetric_flow_visibility", "visibility", Severity::Info),
            ("asymmetric_flow_path", "path", Severity::Warning),
            ("asymmetric_flow_state", "state", Severity::Critical),
            ("asymmetric_flow_loss", "loss", Severity::Info),
        ],
    );
}

#[test]
fn it_stays_silent() {
    silent(
        NAME,
        &[
            "missing_syn_ack_silent",
            "retransmission_rto",
            "capture_duplicates_routed",
            "healthy_resets",
            "healthy_large",
        ],
    );
}

#[test]
fn shares_are_of_all_connections_of_the_service() {
    let findings = in_scene(NAME, "asymmetric_flow_path");
    let impact = one(&findings, "path", Severity::Warning).impact;
    assert!(impact.failed_transactions < impact.of_transactions, "{impact:?}");
}

/// SYN-ACKs that come without their SYN, and what follows them when the client has answered.
#[test]
fn a_server_that_only_offers_a_connection_shows_no_other_way() {
    for served in [false, true] {
        let findings = in_traffic(NAME, |lab| {
            let mut elsewhere = Capture::default();
            for number in 0..3 {
                let mut talk = lab.talk(7, (20, 25), 100 + number * 400, [30, 4_000]);
                talk.send(&mut elsewhere, CLIENT, SYN, b"");
                let answer = talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
                talk.wait(1_000_000);
                talk.record(&mut lab.capture, &answer);
                let last: (u8, &[u8]) = if served { (ACK, b"220 mail.example") } else { (RST, b"") };
                talk.send(&mut lab.capture, SERVER, last.0, last.1);
            }
        });
        assert_eq!(findings.len(), usize::from(served), "{findings:#?}");
    }
}

/// The server repeats its SYN-ACK, and its next segment is for what the client sent, or for the SYN alone.
#[test]
fn who_echoes_or_reports_what_came_after_the_syn_heard_it() {
    for (heard, echoes) in [(false, false), (true, false), (false, true)] {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (20, 443), 100, [30, 4_000]);
            let syn = talk.send(&mut lab.capture, CLIENT, SYN, b"");
            let answer = talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
            talk.wait(2_000);
            let ack = talk.ack(&mut lab.capture, CLIENT, &[]);
            let request = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 300));
            for _ in 0..3 {
                talk.wait(2_000_000);
                talk.record(&mut lab.capture, &answer);
            }
            let mut late = talk.segment(SERVER, ACK, b"");
            late.ack = syn.seq.wrapping_add(1);
            let stamp = |echo: bool| if echo { ack.stamps } else { syn.stamps };
            late.stamps = late.stamps.zip(stamp(echoes)).map(|((now, _), (told, _))| (now, told));
            if heard {
                late.sacks = vec![(request.seq.wrapping_add(100), request.seq.wrapping_add(300))];
            }
            talk.record(&mut lab.capture, &late);
        });
        let told = findings.iter().filter(|finding| finding.variant == "state").count();
        assert_eq!(told, usize::from(!heard && !echoes), "{heard} {echoes}: {findings:#?}");
    }
}

/// A connection that asks so often, every 200 ms, and stays open.
fn in_use(lab: &mut Lab, client: u8, at: u64, times: u32) -> Talk {
    let mut talk = lab.talk(client, (20, 8447), at, [30, 4_000]);
    talk.handshake(&mut lab.capture);
    for number in 0..times {
        talk.exchange(&mut lab.capture, b"GET /next HTTP/1.1\r\n\r\n", 300 + number as usize);
        talk.wait(200_000);
    }
    talk
}

/// What `side` sends is lost from now on, and repeated; `answers`: the ACKs of the other side between.
fn in_vain(lab: &mut Lab, talk: &mut Talk, side: usize, answers: bool) {
    let lost = talk.send_lost(&mut lab.capture, side, &filler(3, 200));
    for number in 0..6 {
        talk.wait(230_000 << number);
        talk.resend(&mut lab.capture, &lost);
        if answers {
            talk.wait(3_000);
            talk.ack(&mut lab.capture, side, &[]);
        }
    }
}

/// The request gets a RST in the server's name; the server repeats its last answer meanwhile.
fn reset_by_device(lab: &mut Lab, client: u8, at: u64, ttl: u8, goes_on: bool) {
    let mut talk = in_use(lab, client, at, 3);
    let last = talk.send(&mut lab.capture, SERVER, ACK, &filler(5, 120));
    talk.turn(SERVER);
    talk.send(&mut lab.capture, CLIENT, ACK, b"GET /next HTTP/1.1\r\n\r\n");
    talk.wait(900);
    let mut reset = talk.segment(SERVER, RST, b"");
    (reset.ttl, reset.seq) = (ttl, talk.ends[CLIENT].expects);
    talk.record(&mut lab.capture, &reset);
    if goes_on {
        talk.wait(300_000);
        talk.resend(&mut lab.capture, &last);
    }
}

#[test]
fn a_device_that_resets_what_it_does_not_know_is_told_by_the_server_that_goes_on() {
    let findings = |ttl: u8, goes_on: bool| {
        in_traffic(NAME, |lab| {
            (0..6).for_each(|number| {
                reset_by_device(lab, 30 + number, 500 + 20 * u64::from(number), ttl, goes_on)
            });
        })
    };
    let finding = one(&findings(64, true), "state", Severity::Critical);
    assert_eq!(finding.impact.failed_transactions, 6);
    // The server itself, which was restarted; and something that answers for a host that is gone.
    assert!(findings(58, true).is_empty() && findings(64, false).is_empty());
}

/// The server knows nothing of it and says nothing; others go on with it, or the requests had moved.
#[test]
fn a_device_is_told_by_where_the_requests_went_or_by_those_that_go_on() {
    let findings = |others: u32, moves: bool, idle: u64| {
        in_traffic(NAME, |lab| {
            for number in 0..6 {
                let mut talk = in_use(lab, 30 + number, 500 + 20 * u64::from(number), 3);
                talk.wait(idle);
                let router = talk.ends[SERVER].mac;
                if moves {
                    talk.ends[SERVER].mac = [2, 0x5e, 0, 10, 99, 9];
                }
                talk.send(&mut lab.capture, CLIENT, ACK, b"GET /next HTTP/1.1\r\n\r\n");
                talk.wait(900);
                let mut reset = talk.segment(SERVER, RST, b"");
                reset.ttl = 64;
                talk.record(&mut lab.capture, &reset);
                talk.ends[SERVER].mac = router;
            }
            in_use(lab, 60, 600, others);
        })
    };
    let proven = one(&findings(3, true, 0), "state", Severity::Critical);
    assert!(proven.summary.contains("In 6 the answered packet"), "{}", proven.summary);
    one(&findings(60, false, 0), "state", Severity::Warning);
    // After a pause it is what idle_timeout says.
    assert!(findings(60, true, 20_000_000).is_empty());
}

#[test]
fn answers_that_no_longer_pass_while_others_do_are_information() {
    let findings = |others: u32, stops: u8| {
        in_traffic(NAME, |lab| {
            for number in 0..stops {
                let mut talk = in_use(lab, 30 + number, 500 + 20 * u64::from(number), 3);
                in_vain(lab, &mut talk, CLIENT, false);
            }
            in_use(lab, 60, 600, others);
        })
    };
    let finding = one(&findings(60, 4), "visibility", Severity::Info);
    assert_eq!(finding.subject.direction, Some(Direction::ToServer));
    // Nobody hears the server any more, or one client alone has left.
    assert!(findings(3, 4).is_empty() && findings(60, 2).is_empty());
}

/// The server's packets take another way, and arrive: the client acknowledges what did not pass here.
#[test]
fn a_direction_that_moves_away_is_told_by_what_is_acknowledged() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = in_use(lab, 30, 500, 3);
        for number in 0..20 {
            talk.wait(250_000);
            talk.send(&mut lab.capture, CLIENT, ACK, b"GET /next HTTP/1.1\r\n\r\n");
            talk.miss(SERVER, &filler(number, 400));
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, CLIENT, &[]);
        }
    });
    let finding = one(&findings, "visibility", Severity::Info);
    assert!(finding.summary.contains("In 1 the remaining side acknowledges"), "{}", finding.summary);
}

/// Only what the servers send passes, and they repeat it: on a firewall that drops what it does not know.
#[test]
fn half_of_connections_that_get_nowhere_is_a_warning() {
    let findings = |answers: bool, flows: u8| {
        in_traffic(NAME, |lab| {
            for number in 0..flows {
                let before = lab.capture.packets.len();
                let mut talk = in_use(lab, 30 + number, 500 + 20 * u64::from(number), 1);
                lab.capture.packets.truncate(before);
                in_vain(lab, &mut talk, SERVER, answers);
            }
        })
    };
    let finding = one(&findings(true, 4), "state", Severity::Warning);
    assert_eq!(finding.impact.failed_transactions, 4);
    // Without an ACK beside the data nothing shows that the clients are there; and one may have left.
    assert!(findings(false, 4).is_empty() && findings(true, 2).is_empty());
}

/// Both directions move to another link address together, as after a fail-over of a router pair.
#[test]
fn a_fail_over_of_both_directions_is_nothing() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..6 {
            let mut talk = in_use(lab, 30 + number, 500 + 20 * u64::from(number), 4);
            talk.ends[SERVER].mac = [2, 0x5e, 0, 10, 99, 9];
            talk.ends[SERVER].ttl -= 1;
            for _ in 0..4 {
                talk.exchange(&mut lab.capture, b"GET /next HTTP/1.1\r\n\r\n", 300);
                talk.wait(300_000);
            }
            talk.close(&mut lab.capture);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A mirror port of one direction; three clients of a hundred have left.
#[test]
fn clients_that_leave_before_a_mirror_of_one_direction_are_no_warning() {
    let findings = in_traffic(NAME, |lab| {
        let before = lab.capture.packets.len();
        for number in 0..60 {
            let mut talk = in_use(lab, 30 + number, 500 + 20 * u64::from(number), 2);
            if number < 3 {
                in_vain(lab, &mut talk, SERVER, true);
            }
        }
        let seen = lab.capture.packets.split_off(before);
        lab.capture.packets.extend(seen.into_iter().filter(|packet| packet.frame[1] != 0x5e));
    });
    assert!(findings.iter().all(|finding| finding.severity == Severity::Info), "{findings:#?}");
}

#[test]
fn a_client_that_gives_up_in_the_end_has_lost_its_answers_all_the_same() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..4 {
            let mut talk = in_use(lab, 30 + number, 500 + 20 * u64::from(number), 3);
            in_vain(lab, &mut talk, CLIENT, false);
            let reset = talk.segment(CLIENT, RST | ACK, b"");
            talk.record(&mut lab.capture, &reset);
        }
        in_use(lab, 60, 600, 60);
    });
    one(&findings, "visibility", Severity::Info);
}

/// Behind a bridge with a link address of its own somebody scans the port half open, which fails nobody.
#[test]
fn a_half_open_scan_from_behind_a_bridge_fails_on_no_way() {
    let findings = |resets: bool| {
        in_traffic(NAME, |lab| {
            for number in 0..6 {
                let mut talk = lab.talk(8, (20, 139), 10 + number * 900, [30, 400]);
                lab.http(&mut talk, 300);
                talk.close(&mut lab.capture);
                let mut talk = lab.talk(7, (20, 139), 300 + number * 900, [30, 400]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                talk.turn(CLIENT);
                for again in 0..if resets { 1 } else { 4 } {
                    let mut reply = talk.segment(SERVER, SYN | ACK, b"");
                    reply.mac = [2, 0, 0, 0, 0, 99];
                    talk.record(&mut lab.capture, &reply);
                    talk.wait(1_000_000 << again);
                }
                if resets {
                    talk.send(&mut lab.capture, CLIENT, RST, b"");
                }
            }
        })
    };
    assert!(findings(true).iter().all(|finding| finding.variant != "path"));
    assert!(findings(false).iter().any(|finding| finding.variant == "path"));
}

/// Four ports of a host behave alike: that is one finding about the host.
#[test]
fn ports_of_a_host_that_hears_nothing_are_one_finding() {
    let findings = in_traffic(NAME, |lab| {
        for port in 0..4 {
            let mut talk = lab.talk(7, (20, 3333 + port), 10 + u64::from(port) * 40, [30, 400]);
            talk.send(&mut lab.capture, CLIENT, SYN, b"");
            talk.turn(CLIENT);
            let reply = talk.segment(SERVER, SYN | ACK, b"");
            talk.record(&mut lab.capture, &reply);
            talk.sent(&reply);
            talk.received(&reply);
            talk.turn(SERVER);
            talk.send(&mut lab.capture, CLIENT, ACK, b"");
            let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(3, 200));
            for again in 0..5 {
                talk.wait(300_000 << again);
                talk.resend(&mut lab.capture, &lost);
                talk.record(&mut lab.capture, &reply);
            }
        }
    });
    let finding = findings.iter().find(|finding| finding.variant == "state").expect("a finding");
    assert!(finding.title.contains("on 4 ports"), "{}", finding.title);
    assert_eq!(findings.iter().filter(|finding| finding.variant == "state").count(), 1);
}
