//! What fires and what stays silent.

use super::*;
use crate::detect::testing::{fires, in_scene, in_traffic, one, silent};
use crate::support::filler;
use crate::support::frame::{Ip, ethernet};
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, FIN, RST, SERVER, SYN, Segment, Talk};

const NAME: &str = MtuBlackhole::RULE.name;

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("mtu_blackhole_silent", "silent", Severity::Critical),
            ("mtu_blackhole_stalled", "silent", Severity::Critical),
            ("mtu_blackhole_resolved", "silent", Severity::Critical),
            ("mtu_blackhole_icmp_ignored", "icmp_ignored", Severity::Critical),
            ("mtu_blackhole_receiver_view", "receiver_view", Severity::Warning),
        ],
    );
}

#[test]
fn it_stays_silent() {
    silent(
        NAME,
        &[
            "healthy_path_mtu_discovery",
            "retransmission_rto",
            "capture_offload",
            "asymmetric_flow_loss",
            "capture_gap",
        ],
    );
}

/// Bytes that arrive at last in smaller pieces did not fail, however long they took.
#[test]
fn what_arrived_at_last_has_not_failed() {
    let resolved = in_scene(NAME, "mtu_blackhole_resolved");
    let resolved = one(&resolved, "silent", Severity::Critical);
    assert_eq!(resolved.impact.failed_transactions, 0);
    assert!(resolved.impact.seconds_lost > Span::ZERO && resolved.impact.of_transactions > 0);
    let stalled = in_scene(NAME, "mtu_blackhole_stalled");
    let stalled = one(&stalled, "silent", Severity::Critical);
    assert!(stalled.impact.failed_transactions > 0, "{stalled:#?}");
}

/// A connection that has worked, and whose server then sends twelve full segments that nobody gets.
fn hangs(lab: &mut Lab, client: u8, at: u64) -> (Talk, Vec<Segment>) {
    hangs_at(lab, client, at, 1448)
}

/// The same with segments of `size` bytes.
fn hangs_at(lab: &mut Lab, client: u8, at: u64, size: usize) -> (Talk, Vec<Segment>) {
    let mut talk = lab.talk(client, (20, 8052), at, [15_000, 40]);
    talk.handshake(&mut lab.capture);
    for length in [300, 700] {
        talk.exchange(&mut lab.capture, b"GET /small HTTP/1.1\r\n\r\n", length);
        talk.wait(200_000);
    }
    talk.send(&mut lab.capture, CLIENT, ACK, b"GET /large HTTP/1.1\r\n\r\n");
    talk.wait(2_000);
    let sent = (0..12).map(|piece| talk.send_lost(&mut lab.capture, SERVER, &filler(piece, size))).collect();
    (talk, sent)
}

/// The first segment again and again, until `gives_up`.
fn repeats(lab: &mut Lab, talk: &mut Talk, first: &Segment) {
    for number in 0..5 {
        talk.wait(300_000 << number);
        talk.resend(&mut lab.capture, first);
    }
}

/// The client's request comes again, because its ACK was on the large segments; a small ACK ends that.
fn asks_again(lab: &mut Lab, talk: &mut Talk) {
    talk.wait(250_000);
    let mut again = talk.segment(CLIENT, ACK, b"GET /large HTTP/1.1\r\n\r\n");
    again.seq = again.seq.wrapping_sub(again.payload.len() as u32);
    talk.record(&mut lab.capture, &again);
    talk.ack(&mut lab.capture, SERVER, &[]);
}

#[test]
fn large_answers_with_nothing_small_behind_them_are_told_by_the_acks_that_arrive() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..2 {
            let (mut talk, sent) = hangs(lab, 30 + number, 500 + 300 * u64::from(number));
            asks_again(lab, &mut talk);
            repeats(lab, &mut talk, &sent[0]);
            // It is there, and repeats nothing.
            let fin = talk.segment(CLIENT, FIN | ACK, b"");
            talk.record(&mut lab.capture, &fin);
        }
    });
    let finding = one(&findings, "silent", Severity::Critical);
    assert_eq!(finding.impact.failed_transactions, 2);
}

/// Without its SYN nobody knows the MSS: what is larger than Ethernet carries may be several segments in one.
#[test]
fn datagrams_above_ethernet_are_judged_where_the_mss_was_seen() {
    let findings = |size: usize| {
        in_traffic(NAME, |lab| {
            for number in 0..2 {
                let (mut talk, sent) = hangs_at(lab, 30 + number, 500 + 300 * u64::from(number), size);
                asks_again(lab, &mut talk);
                repeats(lab, &mut talk, &sent[0]);
                let fin = talk.segment(CLIENT, FIN | ACK, b"");
                talk.record(&mut lab.capture, &fin);
            }
            // The capture begins behind the handshakes: flags stand behind 14 + 20 + 13 bytes.
            lab.capture.packets.retain(|packet| packet.frame[47] & SYN == 0);
        })
    };
    one(&findings(1448), "silent", Severity::Critical);
    assert!(findings(2896).is_empty());
}

/// Each hangs alone; the next one opens meanwhile, and its small answer arrives.
#[test]
fn connections_that_open_meanwhile_speak_for_those_that_hang() {
    let findings = |apart: u64| {
        in_traffic(NAME, |lab| {
            for number in 0..3 {
                let (mut talk, sent) = hangs(lab, 30 + number, 500 + apart * u64::from(number));
                repeats(lab, &mut talk, &sent[0]);
                let reset = talk.segment(CLIENT, RST | ACK, b"");
                talk.record(&mut lab.capture, &reset);
            }
        })
    };
    one(&findings(4_000), "silent", Severity::Warning);
    // All at once: perhaps the path died.
    assert!(findings(20).is_empty());
}

/// Clients leave one by one in the middle of a page; everybody else gets it.
#[test]
fn clients_that_leave_say_nothing_of_sizes() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..3 {
            let (mut talk, sent) = hangs(lab, 30 + number, 500 + 4_000 * u64::from(number));
            repeats(lab, &mut talk, &sent[0]);
        }
        let mut other = lab.talk(50, (20, 8052), 3_000, [15_000, 40]);
        lab.http(&mut other, 9_000);
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The client's own data gets no answer, either: nothing passes.
#[test]
fn a_path_that_carries_nothing_has_no_size_limit() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..3 {
            let (mut talk, sent) = hangs(lab, 30 + number, 500 + 4_000 * u64::from(number));
            for round in 0..5 {
                talk.wait(300_000 << round);
                talk.resend(&mut lab.capture, &sent[0]);
                let mut again = talk.segment(CLIENT, ACK, b"GET /large HTTP/1.1\r\n\r\n");
                again.seq = again.seq.wrapping_sub(again.payload.len() as u32);
                talk.record(&mut lab.capture, &again);
            }
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Full segments arrived before: what is lost now is not lost for its size.
#[test]
fn what_has_passed_once_is_no_limit() {
    let findings = in_traffic(NAME, |lab| {
        for number in 0..3 {
            let mut talk = lab.talk(30 + number, (20, 8052), 500 + 4_000 * u64::from(number), [15_000, 40]);
            lab.http(&mut talk, 9_000);
            let lost = talk.send_lost(&mut lab.capture, SERVER, &filler(9, 1448));
            repeats(lab, &mut talk, &lost);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

/// At the receiver: only numbers show that something large was sent, and nobody asks for it.
#[test]
fn uploads_that_never_arrive_are_told_by_the_numbers_behind_them() {
    let findings = |connections: u8, goes_on: bool| {
        in_traffic(NAME, |lab| {
            for number in 0..connections {
                let at = 500 + if goes_on { 5_000 } else { 10 } * u64::from(number);
                let mut talk = lab.talk(30 + number, (20, 8052), at, [15_000, 40]);
                talk.handshake(&mut lab.capture);
                talk.exchange(&mut lab.capture, b"GET /small HTTP/1.1\r\n\r\n", 700);
                (0..13).for_each(|piece| drop(talk.lose(CLIENT, &filler(piece, 1448))));
                talk.wait(30_000);
                talk.ack(&mut lab.capture, CLIENT, &[]);
            }
            // The capture goes on.
            let mut other = lab.talk(50, (21, 80), 30_000, [15_000, 40]);
            lab.http(&mut other, 300);
        })
    };
    let finding = one(&findings(3, true), "receiver_view", Severity::Warning);
    assert_eq!(finding.impact.failed_transactions, 3);
    // One that fell silent has left; three at once may have left together.
    assert!(findings(1, true).is_empty() && findings(3, false).is_empty());
}

/// Eight datagrams of UDP, one every `every` milliseconds; a router says of the first `told` that they are
/// too big.
fn told_again_and_again(detector: &str, every: u64, told: u16) -> Vec<Finding> {
    in_traffic(detector, |lab| {
        for number in 0..8u16 {
            let length = if number < told { 1_400 } else { 1_100 };
            let ip = Ip { source: lab.client(7), destination: lab.server(9), ttl: 64, id: 7 + number };
            let packet = ip.udp(40_000, 4_500, &vec![7; length]);
            let at = u64::from(number) * every * 1_000;
            lab.capture.record(at, ethernet([2; 6], [4; 6], None, &packet));
            if number < told {
                let router = Ip { source: lab.router(), destination: lab.client(7), ttl: 63, id: 3 };
                let message = router.icmp_error(3, 4, 1_280, &packet);
                lab.capture.record(at + 900, ethernet([4; 6], [2; 6], None, &message));
            }
        }
    })
}

#[test]
fn udp_that_stays_too_big_is_said_and_is_no_discovery_that_worked() {
    let findings = told_again_and_again(NAME, 1_000, 6);
    let finding = one(&findings, "icmp_ignored", Severity::Warning);
    assert!(finding.title.contains("1280 bytes"), "{}", finding.title);
    assert!(told_again_and_again("pmtud", 1_000, 6).is_empty());
}

/// What was under way when the first message came, and a sender that learns from it.
#[test]
fn udp_that_learns_is_left_alone() {
    for (every, told) in [(100, 6), (1_000, 2)] {
        assert!(told_again_and_again(NAME, every, told).is_empty());
        assert_eq!(told_again_and_again("pmtud", every, told).len(), 1);
    }
}

/// One segment to this host is lost again and again, and small ones behind it arrive.
fn stays_too_large(lab: &mut Lab, client: u8, server: u8, size: usize) {
    let mut talk = lab.talk(client, (server, 8052), 500 + 700 * u64::from(server), [40, 15_000]);
    talk.handshake(&mut lab.capture);
    talk.exchange(&mut lab.capture, b"GET /small HTTP/1.1\r\n\r\n", 300);
    let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, size));
    let behind = talk.ends[CLIENT].next;
    for number in 0..5 {
        talk.wait(300_000 << number);
        talk.send(&mut lab.capture, CLIENT, ACK, b"small");
        talk.wait(20_000);
        let next = talk.ends[CLIENT].next;
        let mut reply = talk.segment(SERVER, ACK, b"");
        (reply.ack, reply.sacks) = (lost.seq, vec![(behind, next)]);
        talk.record(&mut lab.capture, &reply);
        talk.resend(&mut lab.capture, &lost);
    }
}

/// No link is limited to 420 bytes.
#[test]
fn what_every_link_carries_meets_no_limit() {
    for (size, found) in [(1448, 1), (420, 0)] {
        let findings = in_traffic(NAME, |lab| stays_too_large(lab, 7, 20, size));
        assert_eq!(findings.len(), found, "{size}: {findings:#?}");
    }
}

/// One client and three services, and three clients.
#[test]
fn a_limit_on_the_line_of_one_client_is_one_finding() {
    let findings = |clients: u8| {
        let each = |lab: &mut Lab, host: u8| stays_too_large(lab, 7 + host % clients, 20 + host, 1448);
        in_traffic(NAME, |lab| (0..3).for_each(|host| each(lab, host)))
    };
    let found = findings(1);
    let finding = one(&found, "silent", Severity::Critical);
    assert_eq!((found.len(), finding.impact.services), (1, 3), "{found:#?}");
    assert!(finding.title.contains("to 3 services never arrive"), "{}", finding.title);
    assert_eq!(findings(3).len(), 3);
}
