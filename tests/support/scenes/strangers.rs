//! Hosts that want nothing of what they ask for, and paths that change.

use super::super::tcp::{SYN, Segment};
use super::*;

pub(super) const SCENES: &[Scene] = &[
    scene(
        "syn_flood",
        "Three hundred addresses send one SYN each in three seconds, and nothing after the SYN-ACK.",
        150,
        10,
        flood,
        &[warning("syn_flood", "").at(31, 443)],
    ),
    scene(
        "port_scan",
        "A host tries sixty ports of a server: most refuse, some are silent, three answer.",
        151,
        10,
        scan,
        &[info("port_scan", "vertical")],
    ),
    scene(
        "latency_shift_step",
        "The way to a service takes 80 ms and not 5 from one moment on; the service is as fast as before.",
        152,
        14,
        step,
        &[warning("latency_shift", "step").at(33, 8093)],
    ),
];

fn flood(lab: &mut Lab) {
    for number in 0..300u64 {
        let mut talk = lab.talk(1, (31, 443), 2_000 + number * 10, [9_000, 60]);
        talk.ends[CLIENT].address = Ipv4Addr::new(10, 150, 200 + (number / 200) as u8, number as u8).into();
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
    }
}

fn scan(lab: &mut Lab) {
    for number in 0..60u16 {
        let mut talk = lab.talk(40, (32, 20 + number), 3_000 + u64::from(number) * 11, [30, 1_500]);
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.turn(CLIENT);
        match number % 20 {
            0 => {
                talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
                talk.turn(SERVER);
                let reset = talk.segment(CLIENT, RST, b"");
                talk.record(&mut lab.capture, &reset);
            }
            1..=4 => {}
            _ => {
                let reset = talk.segment(SERVER, RST | ACK, b"");
                talk.record(&mut lab.capture, &Segment { seq: 0, ..reset });
            }
        }
    }
}

fn step(lab: &mut Lab) {
    for number in 0..30u64 {
        let at = 1_000 + number * 400;
        let far = if at < 6_500 { 2_500 } else { 40_000 };
        let mut talk = lab.talk(41 + (number % 2) as u8, (33, 8_093), at, [30, far]);
        if at >= 6_500 {
            talk.ends[SERVER].ttl -= 4;
        }
        lab.http(&mut talk, 700);
        talk.close(&mut lab.capture);
    }
}
