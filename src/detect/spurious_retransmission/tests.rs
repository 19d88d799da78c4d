use super::*;
use crate::detect::testing::{fires, in_traffic, one, says_nothing};
use crate::support::filler;
use crate::support::scenes::Lab;
use crate::support::tcp::{ACK, CLIENT, RST, SERVER, Segment, Talk};

const NAME: &str = SpuriousRetransmission::RULE.name;

#[test]
fn it_fires() {
    fires(
        NAME,
        &[
            ("spurious_retransmission_dsack", "delay", Severity::Info),
            ("blind_tlp_dsack", "delay", Severity::Info),
        ],
    );
}

/// A receiver beside the capture takes 50 ms with what is new, and the sender repeats single segments
/// after 100 ms. Neither says when it sends, and only some report duplicates.
#[test]
fn who_does_not_wait_for_a_delayed_ack_repeats_without_need() {
    let findings = |rule: &str, selective: bool, micros: u64| {
        in_traffic(rule, |lab| {
            let mut talk = lab.talk(7, (9, 9092), 100, [10, 20_000]);
            talk.handshake(&mut lab.capture);
            for round in 0..12 {
                let segment = talk.send_lost(&mut lab.capture, SERVER, &filler(round, 300));
                if round % 2 > 0 {
                    talk.wait(100_000);
                    talk.resend(&mut lab.capture, &segment);
                }
                talk.wait(if round % 2 > 0 { micros } else { 50_000 });
                talk.received(&segment);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                talk.wait(400_000);
            }
            drop_stamps(lab);
            if !selective {
                let frames = lab.capture.packets.iter_mut().map(|packet| &mut packet.frame);
                frames.for_each(|frame| without_option(frame, &[4, 2]));
            }
        })
    };
    let finding = one(&findings(NAME, false, 20), "acknowledgement", Severity::Info);
    assert!(finding.summary.contains("6 after the first copy had not been"), "{}", finding.summary);
    assert!(findings("retransmission", false, 20).is_empty());
    // One that reports duplicates reports none, and one that takes its time may have got one copy.
    for (selective, micros) in [(true, 20), (false, 50_000)] {
        assert!(findings(NAME, selective, micros).is_empty(), "{selective} {micros}");
        assert!(!findings("retransmission", selective, micros).is_empty(), "{selective} {micros}");
    }
}

/// The receiver waits for a second segment with every ACK, and the sender for 100 ms only.
#[test]
fn who_acknowledges_every_second_segment_got_the_one_that_it_answers_at_once() {
    let findings = |rule: &str, pairs: bool, micros: u64| {
        in_traffic(rule, |lab| {
            let mut talk = lab.talk(7, (9, 9092), 100, [10, 20_000]);
            talk.handshake(&mut lab.capture);
            for round in 0..12 {
                let mut segments = vec![talk.send_lost(&mut lab.capture, SERVER, &filler(round, 300))];
                if round % 2 > 0 {
                    talk.wait(100_000);
                    talk.resend(&mut lab.capture, &segments[0]);
                    talk.wait(micros);
                } else if pairs {
                    segments.push(talk.send_lost(&mut lab.capture, SERVER, &filler(round + 50, 300)));
                }
                segments.iter().for_each(|segment| talk.received(segment));
                talk.ack(&mut lab.capture, CLIENT, &[]);
                talk.wait(400_000);
            }
            drop_stamps(lab);
            let frames = lab.capture.packets.iter_mut().map(|packet| &mut packet.frame);
            frames.for_each(|frame| without_option(frame, &[4, 2]));
        })
    };
    let finding = one(&findings(NAME, true, 120), "acknowledgement", Severity::Info);
    assert!(finding.summary.contains("6 after the first copy had not been"), "{}", finding.summary);
    assert!(findings("retransmission", true, 120).is_empty());
    // One that answers single segments at once may have lost them, and so may one that takes its time.
    for (pairs, micros) in [(false, 120), (true, 60_000)] {
        assert!(findings(NAME, pairs, micros).is_empty(), "{pairs} {micros}");
        assert!(!findings("retransmission", pairs, micros).is_empty(), "{pairs} {micros}");
    }
}

/// Makes the TCP option with these octets padding.
fn without_option(frame: &mut [u8], option: &[u8]) {
    let end = (34 + usize::from(frame[46] >> 4) * 4).min(frame.len());
    let known = (54..end).find(|at| frame.get(*at..*at + option.len()) == Some(option));
    if let Some(at) = known {
        frame[at..at + option.len()].fill(1);
    }
}

/// Requests whose ACK is lost on the way back, each sent again after a time-out.
fn acks_lost(lab: &mut Lab, rounds: u32) {
    let mut talk = lab.talk(7, (9, 9092), 100, [30, 9_000]);
    talk.handshake(&mut lab.capture);
    for round in 0..rounds {
        let segment = talk.send_lost(&mut lab.capture, CLIENT, &filler(round, 400));
        talk.wait(240_000);
        let again = talk.resend(&mut lab.capture, &segment);
        talk.received(&again);
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[(segment.seq, segment.seq.wrapping_add(400))]);
        talk.wait(3_000);
    }
}

/// A path holds a segment and its three repeats back. The receiver reports each copy but one.
#[test]
fn each_duplicate_sack_reports_one_copy() {
    let findings = |rule: &str, reports: usize| {
        in_traffic(rule, |lab| {
            let mut talk = lab.talk(7, (9, 9092), 100, [10, 20_000]);
            talk.handshake(&mut lab.capture);
            let segment = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 400));
            for pause in [800_000, 1_300_000, 2_400_000] {
                talk.wait(pause);
                talk.resend(&mut lab.capture, &segment);
            }
            talk.received(&segment);
            for _ in 0..reports {
                talk.wait(100_000);
                talk.ack(&mut lab.capture, SERVER, &[(segment.seq, segment.seq.wrapping_add(400))]);
            }
            drop_stamps(lab);
        })
    };
    let found = findings(NAME, 3);
    let finding = one(&found, "acknowledgement", Severity::Warning);
    assert!(finding.title.starts_with("3 segments"), "{finding:#?}");
    assert!(finding.summary.contains("was not acknowledged for 4.60 s"), "{}", finding.summary);
    assert!(findings("retransmission", 3).is_empty());
    assert!(!findings("retransmission", 2).is_empty());
}

/// Hosts without time stamps: four segments are held back, time out, and come again as two. The ACKs of
/// the first copies come in their turn.
#[test]
fn acks_that_come_too_soon_answer_the_first_copies() {
    let findings = |rule: &str, held: bool| {
        in_traffic(rule, |lab| {
            let (mut talk, sent) = four_on_their_way(lab);
            talk.wait(300_000);
            let both = filler(90, 700).into_iter().chain(filler(91, 700)).collect::<Vec<_>>();
            let again = Segment { payload: both, ..sent[0].clone() };
            talk.record(&mut lab.capture, &again);
            talk.wait(if held { 12_000 } else { 41_000 });
            if held {
                talk.received(&sent[0]);
            } else {
                talk.received(&again);
            }
            talk.ack(&mut lab.capture, CLIENT, &[]);
            talk.wait(200_000);
            talk.received(&sent[3]);
            talk.ack(&mut lab.capture, CLIENT, &[]);
            drop_stamps(lab);
        })
    };
    let finding = one(&findings(NAME, true), "delay", Severity::Info);
    assert!(finding.evidence.iter().any(|one| one.fields.contains("too soon")), "{finding:#?}");
    assert!(findings(NAME, false).is_empty() && !findings("retransmission", false).is_empty());
}

/// Hosts without time stamps: duplicate ACKs ask for a segment, and the ACK of all comes some time after
/// the repeat. The round trip was 40 ms.
#[test]
fn what_duplicate_acks_ask_for_is_lost_unless_its_ack_comes_at_once() {
    let findings = |rule: &str, micros: u64| {
        in_traffic(rule, |lab| {
            let (mut talk, sent) = four_on_their_way(lab);
            talk.wait(40_000);
            for _ in 0..3 {
                talk.wait(50);
                talk.ack(&mut lab.capture, CLIENT, &[]);
            }
            talk.resend(&mut lab.capture, &sent[0]);
            talk.wait(micros);
            talk.received(&sent[3]);
            talk.ack(&mut lab.capture, CLIENT, &[]);
            drop_stamps(lab);
        })
    };
    one(&findings(NAME, 3_000), "reordering", Severity::Info);
    for micros in [19_000, 29_000, 40_000] {
        assert!(findings(NAME, micros).is_empty(), "{micros}");
        assert!(!findings("retransmission", micros).is_empty(), "{micros}");
    }
}

/// A connection with a round trip of 40 ms, and four segments of the server that nobody acknowledged yet.
fn four_on_their_way(lab: &mut Lab) -> (Talk, Vec<Segment>) {
    let mut talk = lab.talk(7, (9, 9092), 100, [20_000, 30]);
    talk.handshake(&mut lab.capture);
    for round in 0..14 {
        talk.send(&mut lab.capture, SERVER, ACK, &filler(round, 700));
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
    }
    let sent = (0..4).map(|number| talk.send_lost(&mut lab.capture, SERVER, &filler(90 + number, 700)));
    let sent = sent.collect();
    (talk, sent)
}

fn drop_stamps(lab: &mut Lab) {
    lab.capture.packets.iter_mut().for_each(|packet| packet.frame = without_stamps(&packet.frame));
}

/// The frame with its TCP time stamps made padding: 12 octets of options in all segments but SYNs.
fn without_stamps(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let options = 54..(34 + usize::from(frame[46] >> 4) * 4).min(frame.len());
    let stamps = options.clone().find(|at| frame.get(*at..*at + 2) == Some(&[8, 10]));
    if let Some(at) = stamps {
        frame[at..at + 10].fill(1);
    }
    frame
}

#[test]
fn lost_acknowledgements_make_needless_repeats() {
    let findings = in_traffic(NAME, |lab| acks_lost(lab, 4));
    let finding = one(&findings, "acknowledgement", Severity::Info);
    assert!(finding.summary.contains("4 repeats among 4 segments"), "{}", finding.summary);
}

#[test]
fn many_of_them_are_a_warning() {
    let findings = in_traffic(NAME, |lab| acks_lost(lab, 30));
    one(&findings, "acknowledgement", Severity::Warning);
}

/// A device resets the client in the server's name for its ACK, and the server repeats what it sent.
#[test]
fn what_is_repeated_to_a_client_that_was_reset_is_not_it() {
    let findings = |is_reset: bool| {
        in_traffic(NAME, |lab| {
            for client in 0..5 {
                let mut talk = lab.talk(20 + client, (9, 8447), 100, [30, 9_000]);
                talk.handshake(&mut lab.capture);
                let answer = talk.send(&mut lab.capture, SERVER, ACK, &filler(1, 700));
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                let reset = Segment { ttl: 250, ..talk.segment(SERVER, RST, b"") };
                if is_reset {
                    talk.record(&mut lab.capture, &reset);
                }
                for number in 0..6 {
                    talk.wait(300_000 << number);
                    talk.resend(&mut lab.capture, &answer);
                }
            }
        })
    };
    one(&findings(false), "acknowledgement", Severity::Warning);
    assert!(findings(true).is_empty(), "{:#?}", findings(true));
}

#[test]
fn repeats_that_were_needed_and_copies_are_not_it() {
    says_nothing(NAME, &["retransmission_rto", "retransmission_fast", "blind_dup_span", "healthy_resets"]);
}

/// A recorder with several queues: every fourth segment stands behind the ACK that covers it.
#[test]
fn what_was_recorded_late_and_once_was_sent_once() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 9092), 100, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        for round in 0..80 {
            let request = filler(round, 120);
            if round % 4 > 0 {
                talk.exchange(&mut lab.capture, &request, 80);
                continue;
            }
            let late = talk.miss(CLIENT, &request);
            talk.turn(CLIENT);
            talk.send(&mut lab.capture, SERVER, ACK, &filler(round, 80));
            talk.wait(2_000_000);
            talk.record(&mut lab.capture, &late);
            talk.turn(SERVER);
            talk.ack(&mut lab.capture, CLIENT, &[]);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn a_keep_alive_repeats_nothing() {
    let findings = in_traffic(NAME, |lab| {
        let mut talk = lab.talk(7, (9, 9092), 100, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        talk.send(&mut lab.capture, CLIENT, ACK, &filler(1, 100));
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
        for _ in 0..3 {
            talk.wait(20_000_000);
            let mut probe = talk.segment(CLIENT, ACK, b"");
            probe.seq = probe.seq.wrapping_sub(1);
            talk.record(&mut lab.capture, &probe);
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
        }
    });
    assert!(findings.is_empty(), "{findings:#?}");
}
