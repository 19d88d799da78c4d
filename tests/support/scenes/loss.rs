//! Segments sent again: why, where the first copy got lost, and when it was not needed.

use super::super::filler;
use super::super::tcp::SYN;
use super::*;

const ALLOWS: &[&str] = &["latency_shift", "slow_server"];

pub(super) const SCENES: &[Scene] = &[
    scene(
        "retransmission_rto",
        "Queries are lost behind the capture point; the timer repairs them after two tries.",
        21,
        12,
        rto,
        &[warning("retransmission", "rto").at(90, 5432)],
    )
    .events(&[("timeout_retransmission", "", 20)])
    .allowing(ALLOWS),
    scene(
        "retransmission_fast",
        "Uploads lose a segment behind the capture point; selective acknowledgements repair it.",
        22,
        6,
        |lab| fast(lab, 4, [30, 20_000]),
        &[warning("retransmission", "fast").at(91, 9092)],
    )
    .events(&[("fast_retransmission", "", 8)])
    .allowing(ALLOWS),
    scene(
        "retransmission_tail_loss_probe",
        "The second of two segments is lost; a tail loss probe repairs it.",
        23,
        6,
        |lab| tail_loss_probe(lab, 16),
        &[info("retransmission", "tail_loss_probe").at(92, 8081)],
    )
    .events(&[("tail_loss_probe", "", 16)])
    .allowing(ALLOWS),
    scene(
        "retransmission_receiver_side",
        "Lost before the capture point, next to the receiver; 80 ms later they fill their holes.",
        24,
        8,
        |lab| fast_receiver(lab, 5, [40_000, 60], 0),
        &[warning("retransmission", "").at(93, 9093)],
    )
    .events(&[("fast_retransmission", "", 10)])
    .allowing(ALLOWS),
    scene(
        "spurious_retransmission_dsack",
        "A delay of 300 ms makes senders repeat what has arrived; the receivers report duplicates.",
        25,
        8,
        |lab| delay_spike(lab, 10),
        &[info("spurious_retransmission", "").at(94, 8082)],
    )
    .events(&[("timeout_retransmission", "any", 10)])
    .allowing(ALLOWS),
];

fn rto(lab: &mut Lab) {
    for number in 0..10 {
        let mut talk = lab.talk(30, (90, 5432), 400 + number * 900, [30, 11_000]);
        talk.handshake(&mut lab.capture);
        talk.exchange(&mut lab.capture, b"select 1", 700);
        talk.wait(9_000);
        let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(number as u32, 640));
        talk.wait(224_000);
        talk.resend(&mut lab.capture, &lost);
        talk.wait(448_000);
        let again = talk.resend(&mut lab.capture, &lost);
        talk.received(&again);
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, ACK, b"one row");
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        talk.close(&mut lab.capture);
    }
}

/// Uploads that lose the second of seven segments; the third selective acknowledgement triggers the repair.
pub(super) fn fast(lab: &mut Lab, flows: u64, delays: [u64; 2]) {
    for number in 0..flows {
        let mut talk = lab.talk(31 + number as u8, (91, 9092), 300 + number * 900, delays);
        talk.handshake(&mut lab.capture);
        talk.wait(200);
        // Two rounds, each loses one.
        for round in 0..2u32 {
            talk.send(&mut lab.capture, CLIENT, ACK, &filler(round, 420));
            let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(round + 40, 420));
            let above = talk.ends[CLIENT].next;
            let mut edges = Vec::new();
            for piece in 0..5 {
                talk.send_lost(&mut lab.capture, CLIENT, &filler(round + 80 + piece, 420));
                edges.push(talk.ends[CLIENT].next);
            }
            let mut repair = None;
            talk.ends[SERVER].expects = lost.seq;
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
            for (edge, count) in edges.iter().zip(1..) {
                talk.wait(25);
                talk.ack(&mut lab.capture, SERVER, &[(above, *edge)]);
                if count == 3 {
                    talk.turn(SERVER);
                    repair = Some(talk.resend(&mut lab.capture, &lost));
                }
            }
            repair.iter().for_each(|segment| talk.received(segment));
            talk.catch_up(CLIENT);
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
            talk.wait(4_000);
        }
        talk.close(&mut lab.capture);
    }
}

pub(super) fn tail_loss_probe(lab: &mut Lab, flows: u64) {
    for number in 0..flows {
        let mut talk = lab.talk(35, (92, 8081), 250 + number * 230, [30, 6_000]);
        talk.handshake(&mut lab.capture);
        talk.wait(200);
        let first = talk.send_lost(&mut lab.capture, CLIENT, &filler(number as u32, 520));
        talk.received(&first);
        let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(number as u32 + 70, 300));
        // Two round trips of 12 ms and two ticks, before the receiver's delayed ACK of the first.
        talk.wait(26_000);
        let probe = talk.resend(&mut lab.capture, &lost);
        talk.received(&probe);
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, ACK, b"done");
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        talk.close(&mut lab.capture);
    }
}

/// Loss before a capture point next to the receiver; the listener answers a SYN after `accept` microseconds.
pub(super) fn fast_receiver(lab: &mut Lab, flows: u64, delays: [u64; 2], accept: u64) {
    for number in 0..flows {
        let mut talk = lab.talk(36 + number as u8, (93, 9093), 350 + number * 800, delays);
        // A listener that takes its time makes the handshake longer than any later round trip.
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.turn(CLIENT).wait(accept);
        talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
        talk.turn(SERVER);
        talk.send(&mut lab.capture, CLIENT, ACK, b"");
        talk.wait(200);
        for round in 0..2u32 {
            talk.send(&mut lab.capture, CLIENT, ACK, &filler(round, 420));
            let lost = talk.lose(CLIENT, &filler(round + 40, 420));
            let above = talk.ends[CLIENT].next;
            talk.ends[SERVER].expects = lost.seq;
            let echo = talk.ends[SERVER].echo;
            let mut repair_at = 0;
            for piece in 0..4 {
                talk.send_lost(&mut lab.capture, CLIENT, &filler(round + 80 + piece, 420));
                let (now, edge) = (talk.now, talk.ends[CLIENT].next);
                talk.now = now + 2 * talk.ends[SERVER].delay;
                talk.ends[SERVER].echo = echo;
                talk.ack(&mut lab.capture, SERVER, &[(above, edge)]);
                if piece == 2 {
                    repair_at = talk.now + 2 * talk.ends[CLIENT].delay + 1_300;
                }
                talk.now = now + 60;
            }
            talk.now = repair_at;
            let repair = talk.resend(&mut lab.capture, &lost);
            talk.received(&repair);
            talk.catch_up(CLIENT);
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
            talk.turn(SERVER).wait(9_000);
        }
        talk.close(&mut lab.capture);
    }
}

fn delay_spike(lab: &mut Lab, flows: u64) {
    for number in 0..flows {
        let mut talk = lab.talk(45, (94, 8082), 300 + number * 600, [30, 10_000]);
        talk.handshake(&mut lab.capture);
        talk.wait(200);
        let segment = talk.send(&mut lab.capture, CLIENT, ACK, &filler(number as u32, 600));
        let echo = talk.ends[SERVER].echo;
        talk.wait(222_000);
        talk.resend(&mut lab.capture, &segment);
        // The ACK of the first copy was on its way for 300 ms; it echoes the first copy's clock.
        talk.wait(78_000);
        talk.ends[SERVER].echo = echo;
        talk.ack(&mut lab.capture, SERVER, &[]);
        talk.wait(9_000);
        let edges = (segment.seq, segment.seq.wrapping_add(segment.payload.len() as u32));
        talk.ack(&mut lab.capture, SERVER, &[edges]);
        talk.wait(20_000);
        talk.send(&mut lab.capture, SERVER, ACK, b"accepted");
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        talk.close(&mut lab.capture);
    }
}
