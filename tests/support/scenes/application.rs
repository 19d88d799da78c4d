//! What applications do: errors of HTTP, slow servers, probes, connections that are not used again.

use super::super::filler;
use super::super::tcp::{FIN, SYN};
use super::*;

pub(super) const SCENES: &[Scene] = &[
    scene(
        "http_error_gateway_timeout",
        "A proxy waits two seconds for its upstream, gives up and answers 504; both legs are captured.",
        104,
        16,
        gateway_timeout,
        &[
            warning("http_error", "gateway_timeout").at(60, 8000),
            warning("slow_server", "silent").at(61, 9001),
        ],
    ),
    scene(
        "http_error_cut",
        "A server ends some connections in the middle of an answer whose length it had announced.",
        105,
        12,
        cut_bodies,
        &[warning("http_error", "cut").at(62, 8080)],
    ),
    scene(
        "slow_server",
        "A server acknowledges every request at once and answers two seconds and more later.",
        106,
        30,
        slow,
        &[warning("slow_server", "slow").at(63, 8080)],
    ),
    scene(
        "slow_server_backend",
        "Of two backends that speak a protocol of their own one takes two seconds for each answer.",
        107,
        30,
        slow_backend,
        &[info("slow_server", "backend").at(64, 9042)],
    ),
    scene(
        "health_check_silent",
        "The probes of one source get no answer from a moment on; another client goes on well.",
        108,
        24,
        |lab| probes(lab, false),
        &[warning("health_check", "silent").at(66, 8096)],
    )
    .allowing(&["missing_syn_ack"]),
    scene(
        "health_check_refused",
        "The probes of one source are refused from a moment on; another client goes on well.",
        109,
        24,
        |lab| probes(lab, true),
        &[warning("health_check", "refused").at(66, 8096)],
    )
    .allowing(&["connection_refused"]),
    scene(
        "connection_churn",
        "A client opens a connection for each of sixty requests.",
        110,
        12,
        churn,
        &[info("connection_churn", "").at(67, 8080)],
    ),
];

const GET: &[u8] = b"GET /report HTTP/1.1\r\nHost: www.shop.example\r\n\r\n";

fn gateway_timeout(lab: &mut Lab) {
    for number in 0..6u64 {
        let mut front = lab.talk(20 + number as u8 % 3, (60, 8000), 1_000 + number * 400, [30, 900]);
        front.handshake(&mut lab.capture);
        front.send(&mut lab.capture, CLIENT, ACK, GET);
        front.turn(CLIENT);
        front.ack(&mut lab.capture, SERVER, &[]);
        let (proxy, upstream) = (lab.server(60), lab.server(61));
        let port = lab.next_port();
        let mut back = Talk::new((proxy, port), (upstream, 9001), front.now + 300, [40, 1_200]);
        back.handshake(&mut lab.capture);
        back.send(&mut lab.capture, CLIENT, ACK, GET);
        back.turn(CLIENT);
        back.ack(&mut lab.capture, SERVER, &[]);
        back.wait(2_000_000);
        back.close(&mut lab.capture);
        front.now = back.now + 500;
        let answer = b"HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 4\r\n\r\nlate";
        front.send(&mut lab.capture, SERVER, ACK, answer);
        front.turn(SERVER);
        front.close(&mut lab.capture);
    }
}

fn cut_bodies(lab: &mut Lab) {
    for number in 0..10u64 {
        let mut talk = lab.talk(20 + number as u8 % 2, (62, 8080), 1_000 + number * 700, [30, 2_500]);
        talk.handshake(&mut lab.capture);
        talk.send(&mut lab.capture, CLIENT, ACK, GET);
        talk.turn(CLIENT).wait(3_000);
        let sent = if number % 3 == 0 { 3_000 } else { 8_000 };
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n";
        talk.stream(&mut lab.capture, SERVER, &[&head[..], &filler(7, sent)].concat());
        talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
        talk.turn(SERVER);
        talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, ACK, b"");
    }
}

fn slow(lab: &mut Lab) {
    for client in 0..2u8 {
        let mut talk = lab.talk(20 + client, (63, 8080), 900 + u64::from(client) * 70, [30, 2_500]);
        talk.handshake(&mut lab.capture);
        for number in 0..5u64 {
            talk.wait(90_000);
            talk.send(&mut lab.capture, CLIENT, ACK, GET);
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
            talk.wait(2_100_000 + number * 170_000);
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1500\r\n\r\n";
            talk.stream(&mut lab.capture, SERVER, &[&head[..], &filler(9, 1_500)].concat());
        }
        talk.close(&mut lab.capture);
    }
}

fn slow_backend(lab: &mut Lab) {
    for (server, wait) in [(64, 2_000_000), (65, 4_000)] {
        let mut talk = lab.talk(20, (server, 9042), 900, [30, 1_500]);
        talk.handshake(&mut lab.capture);
        for number in 0..8u32 {
            talk.wait(60_000);
            talk.send(&mut lab.capture, CLIENT, ACK, &filler(number, 180));
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
            talk.wait(wait);
            talk.stream(&mut lab.capture, SERVER, &filler(number, 900));
        }
        talk.close(&mut lab.capture);
    }
}

fn probes(lab: &mut Lab, refused: bool) {
    for number in 0..16u64 {
        let mut probe = lab.talk(30, (66, 8096), 1_000 + number * 1_000, [30, 1_500]);
        // Microseconds that a scheduler takes.
        probe.now += number * 7_919 % 4_000;
        if number < 6 {
            probe.handshake(&mut lab.capture);
            probe.close(&mut lab.capture);
            continue;
        }
        probe.send(&mut lab.capture, CLIENT, SYN, b"");
        if refused {
            probe.turn(CLIENT);
            let mut reset = probe.segment(SERVER, RST | ACK, b"");
            reset.seq = 0;
            probe.record(&mut lab.capture, &reset);
        }
    }
    for number in 0..20u64 {
        let at = 1_200 + number * 900 + number * number * 5;
        let mut talk = lab.talk(31, (66, 8096), at, [30, 1_500]);
        lab.http(&mut talk, 2_500);
        talk.close(&mut lab.capture);
    }
}

fn churn(lab: &mut Lab) {
    for number in 0..60u64 {
        let mut talk = lab.talk(20, (67, 8080), 1_000 + number * 130, [30, 2_500]);
        lab.http(&mut talk, 700);
        talk.close(&mut lab.capture);
    }
}
