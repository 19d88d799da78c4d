//! Paths that carry some packets and not others, or carry them one way only.

use super::super::filler;
use super::super::tcp::{SYN, Segment};
use super::*;

const ALLOWS: &[&str] = &["retransmission", "missing_syn_ack"];

pub(super) const SCENES: &[Scene] = &[
    scene(
        "mtu_blackhole_silent",
        "Full segments vanish without a word, small ones arrive; at last they come in pieces.",
        40,
        20,
        |lab| blackhole(lab, 3, Behind { tails: 1, goes_on: true }, 4, Some(972)),
        &[warning("mtu_blackhole", "silent").at(95, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "mtu_blackhole_stalled",
        "Full segments vanish without a word, smaller ones arrive; the uploads never get through.",
        41,
        20,
        |lab| blackhole(lab, 3, Behind { tails: 3, goes_on: false }, 5, None),
        &[warning("mtu_blackhole", "silent").at(95, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "mtu_blackhole_resolved",
        "Full segments vanish; after four tries the clients send smaller ones, which arrive (RFC 4821).",
        42,
        20,
        |lab| blackhole(lab, 3, Behind { tails: 3, goes_on: false }, 3, Some(972)),
        &[warning("mtu_blackhole", "silent").at(95, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "mtu_blackhole_icmp_ignored",
        "A router says three times that the segments are too big, and the client goes on sending them.",
        43,
        20,
        icmp_ignored,
        &[warning("mtu_blackhole", "icmp_ignored").at(96, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "mtu_blackhole_receiver_view",
        "Captured behind the limit: full segments never come, smaller ones do, receivers ask in vain.",
        48,
        20,
        receiver_view,
        &[warning("mtu_blackhole", "receiver_view").at(95, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "asymmetric_flow_visibility",
        "The capture has one direction of some connections, and its ACKs show that the other exists.",
        44,
        6,
        |lab| one_way(lab, 6),
        &[info("asymmetric_flow", "visibility").at(97, 8080)],
    )
    .allowing(ALLOWS),
    scene(
        "asymmetric_flow_path",
        "Answers come from another router than requests go to, and only those connections fail.",
        45,
        20,
        return_path,
        &[warning("asymmetric_flow", "path").at(98, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "asymmetric_flow_state",
        "The handshake's last ACK and the data never reach the server, which repeats its SYN-ACK.",
        46,
        20,
        state,
        &[warning("asymmetric_flow", "state").at(99, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "asymmetric_flow_loss",
        "Two dozen segments are lost towards the server and none on the way back.",
        47,
        16,
        one_way_loss,
        &[info("asymmetric_flow", "loss").at(100, 9094)],
    )
    .allowing(ALLOWS),
];

/// Small requests that are answered, so that there is something below the cliff.
fn small_talk(talk: &mut Talk, lab: &mut Lab) {
    for number in 0..3 {
        talk.exchange(&mut lab.capture, &filler(number, 210 + 40 * number as usize), 180);
        talk.wait(30_000);
    }
}

/// What the sender has to send behind the segment that does not arrive.
pub(super) struct Behind {
    /// Small segments at once.
    pub tails: u32,
    /// One more after every try.
    pub goes_on: bool,
}

pub(super) fn blackhole(lab: &mut Lab, flows: u64, behind: Behind, tries: u32, resolved: Option<usize>) {
    for number in 0..flows {
        let mut talk = lab.talk(90 + number as u8, (95, 8443), 400 + number * 700, [30, 15_000]);
        talk.handshake(&mut lab.capture);
        small_talk(&mut talk, lab);
        let big = talk.send_lost(&mut lab.capture, CLIENT, &filler(77, 1448));
        let above = talk.ends[CLIENT].next;
        (0..behind.tails)
            .for_each(|tail| drop(talk.send_lost(&mut lab.capture, CLIENT, &filler(78 + tail, 300))));
        let sack = (above, talk.ends[CLIENT].next);
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[sack]);
        let mut timeout = 232_000;
        for _ in 0..tries {
            talk.wait(timeout);
            talk.resend(&mut lab.capture, &big);
            timeout *= 2;
            if behind.goes_on {
                talk.wait(500);
                talk.send_lost(&mut lab.capture, CLIENT, &filler(90, 260));
                let sack = (above, talk.ends[CLIENT].next);
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[sack]);
            }
        }
        let Some(size) = resolved else { continue };
        talk.wait(timeout);
        for (piece, offset) in big.payload.chunks(size).zip((0..).step_by(size)) {
            let segment = Segment { seq: big.seq.wrapping_add(offset), ..talk.segment(CLIENT, ACK, piece) };
            talk.record(&mut lab.capture, &segment);
            talk.received(&segment);
        }
        talk.catch_up(CLIENT);
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, ACK, b"stored");
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        talk.close(&mut lab.capture);
    }
}

fn receiver_view(lab: &mut Lab) {
    for number in 0..3 {
        let mut talk = lab.talk(90 + number as u8, (95, 8443), 400 + number * 700, [15_000, 30]);
        talk.handshake(&mut lab.capture);
        small_talk(&mut talk, lab);
        (0..2).for_each(|piece| drop(talk.lose(CLIENT, &filler(77 + piece, 1448))));
        let above = talk.ends[CLIENT].next;
        for tail in 0..3 {
            talk.send_lost(&mut lab.capture, CLIENT, &filler(79 + tail, 300));
            let sack = (above, talk.ends[CLIENT].next);
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[sack]);
        }
        talk.wait(5_000_000);
        talk.send_lost(&mut lab.capture, CLIENT, &filler(90, 260));
        let sack = (above, talk.ends[CLIENT].next);
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[sack]);
    }
}

fn icmp_ignored(lab: &mut Lab) {
    for number in 0..3 {
        let mut talk = lab.talk(94 + number as u8, (96, 8443), 400 + number * 700, [30, 15_000]);
        talk.handshake(&mut lab.capture);
        small_talk(&mut talk, lab);
        let big = talk.send_lost(&mut lab.capture, CLIENT, &filler(77, 1448));
        let above = talk.ends[CLIENT].next;
        (0..3).for_each(|tail| drop(talk.send_lost(&mut lab.capture, CLIENT, &filler(78 + tail, 300))));
        let sack = (above, talk.ends[CLIENT].next);
        let router = lab.router();
        talk.wait(1_900);
        talk.icmp_error(&mut lab.capture, router, (3, 4, 1400), &big);
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[sack]);
        let mut timeout = 232_000;
        for _ in 0..4 {
            talk.wait(timeout);
            let again = talk.resend(&mut lab.capture, &big);
            talk.wait(1_900);
            talk.icmp_error(&mut lab.capture, router, (3, 4, 1400), &again);
            timeout *= 2;
        }
    }
}

pub(super) fn one_way(lab: &mut Lab, flows: u64) {
    for number in 0..flows {
        let mut talk = lab.talk(100, (97, 8080), 300 + number * 500, [30, 7_000]);
        let before = lab.capture.packets.len();
        lab.http(&mut talk, 2_500);
        lab.http_again(&mut talk, 2_500);
        talk.close(&mut lab.capture);
        // Frames towards the server are addressed to its router, which has 0x5e in its address.
        let seen = lab.capture.packets.split_off(before);
        lab.capture.packets.extend(seen.into_iter().filter(|packet| packet.frame[1] != 0x5e));
    }
}

fn return_path(lab: &mut Lab) {
    for number in 0..10u64 {
        let failing = number % 2 == 1;
        let mut talk = lab.talk(110, (98, 8443), 400 + number * 300, [30, 6_000]);
        if !failing {
            lab.http(&mut talk, 400);
            talk.close(&mut lab.capture);
            continue;
        }
        let other = [2, 0x5e, 0, 10, lab.net, 9];
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.turn(CLIENT);
        let mut answer = talk.segment(SERVER, SYN | ACK, b"");
        (answer.mac, answer.ttl) = (other, answer.ttl - 1);
        talk.record(&mut lab.capture, &answer);
        talk.sent(&answer);
        talk.received(&answer);
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        stuck(&mut talk, lab, &answer);
    }
}

fn state(lab: &mut Lab) {
    for number in 0..6 {
        let mut talk = lab.talk(120 + number as u8, (99, 8443), 400 + number * 350, [30, 6_000]);
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.turn(CLIENT);
        let answer = talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        stuck(&mut talk, lab, &answer);
    }
}

/// The client sends its request again and again, the server its SYN-ACK.
fn stuck(talk: &mut Talk, lab: &mut Lab, answer: &Segment) {
    talk.wait(300);
    let start = talk.now;
    let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(5, 420));
    let (request_end, mut wait, mut timeout) = (talk.ends[CLIENT].next, 0, 215_000);
    for _ in 0..5 {
        wait += timeout;
        timeout *= 2;
        talk.now = start + wait;
        talk.resend(&mut lab.capture, &lost);
    }
    for seconds in [1, 3, 7] {
        talk.now = start + seconds * 1_000_000 + 4_000;
        let mut again = talk.segment(SERVER, SYN | ACK, b"");
        (again.seq, again.mac, again.ttl, again.ack) = (answer.seq, answer.mac, answer.ttl, answer.ack);
        talk.record(&mut lab.capture, &again);
        talk.turn(SERVER);
        let mut reply = talk.segment(CLIENT, ACK, b"");
        reply.seq = request_end;
        talk.record(&mut lab.capture, &reply);
    }
}

fn one_way_loss(lab: &mut Lab) {
    for number in 0..6u64 {
        let mut talk = lab.talk(130 + number as u8, (100, 9094), 300 + number * 1_100, [30, 12_000]);
        talk.handshake(&mut lab.capture);
        talk.wait(200);
        for round in 0..4u32 {
            let lost = talk.send_lost(&mut lab.capture, CLIENT, &filler(round, 48));
            let above = talk.ends[CLIENT].next;
            let mut edges = Vec::new();
            for piece in 0..3 {
                talk.send_lost(&mut lab.capture, CLIENT, &filler(round + piece, 48));
                edges.push(talk.ends[CLIENT].next);
            }
            talk.turn(CLIENT);
            for edge in edges {
                talk.wait(20);
                talk.ack(&mut lab.capture, SERVER, &[(above, edge)]);
            }
            talk.turn(SERVER);
            let again = talk.resend(&mut lab.capture, &lost);
            talk.received(&again);
            talk.catch_up(CLIENT);
            talk.turn(CLIENT);
            // As much comes back, and all of it arrives.
            for piece in 0..4 {
                talk.send(&mut lab.capture, SERVER, ACK, &filler(round + 50 + piece, 48));
            }
            talk.turn(SERVER);
            talk.ack(&mut lab.capture, CLIENT, &[]);
            talk.wait(20_000);
        }
        talk.close(&mut lab.capture);
    }
}
