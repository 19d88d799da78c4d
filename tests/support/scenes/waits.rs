//! Connections that stand still.

use super::super::filler;
use super::super::tcp::{FIN, SYN, Segment};
use super::*;

pub(super) const SCENES: &[Scene] = &[
    scene(
        "zero_window",
        "A server does not read an upload for twelve seconds: its window closes, the clients probe.",
        111,
        30,
        closed_window,
        &[warning("zero_window", "server").at(31, 9092)],
    ),
    scene(
        "idle_timeout_silent",
        "Something forgets connections that are idle for a minute: 45 s survive, 61 s and more do not.",
        112,
        100,
        forgotten,
        &[warning("idle_timeout", "silent").at(32, 5432)],
    )
    .allowing(&["retransmission"]),
    scene(
        "keepalive_race",
        "A server closes idle connections after five seconds, just when its proxy uses them again.",
        113,
        60,
        races,
        &[warning("keepalive_race", "").at(33, 8000)],
    ),
    scene(
        "path_outage",
        "The path to one server breaks: connections in use repeat small requests and get nothing back.",
        114,
        40,
        breaks,
        &[warning("path_outage", "silent").at(34, 9443)],
    )
    .allowing(&["retransmission"]),
    scene(
        "half_close_leak",
        "A server does not close what its clients have closed; the capture goes on for two minutes.",
        115,
        130,
        leaks,
        &[warning("half_close_leak", "server").at(35, 8097)],
    ),
    scene(
        "port_reuse",
        "A NAT with four ports uses them again while the server holds them in TIME-WAIT.",
        116,
        30,
        collisions,
        &[warning("port_reuse", "collision").at(36, 8095)],
    ),
];

/// Sends half an upload, waits for the window of the server and sends the rest.
fn closed_window(lab: &mut Lab) {
    for client in 0..2 {
        let mut talk = lab.talk(31 + client, (31, 9_092), 900 + 700 * u64::from(client), [40, 2_100]);
        talk.handshake(&mut lab.capture);
        talk.wait(300);
        talk.stream(&mut lab.capture, CLIENT, &filler(31, 30_000));
        let window = std::mem::take(&mut talk.ends[SERVER].window);
        talk.ack(&mut lab.capture, SERVER, &[]);
        let end = talk.now + 12_000_000;
        let mut wait = 215_000;
        while talk.now + wait < end {
            talk.wait(wait);
            let mut probe = talk.segment(CLIENT, ACK, b"");
            probe.seq = probe.seq.wrapping_sub(1);
            talk.record(&mut lab.capture, &probe);
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
            wait *= 2;
        }
        talk.now = end;
        talk.ends[SERVER].window = window;
        talk.ack(&mut lab.capture, SERVER, &[]);
        talk.turn(SERVER);
        talk.stream(&mut lab.capture, CLIENT, &filler(32, 30_000));
        talk.exchange(&mut lab.capture, b"done", 200);
        talk.close(&mut lab.capture);
    }
}

/// A pool of connections: one is used again in time, the others are not.
fn forgotten(lab: &mut Lab) {
    for number in 0..5 {
        let mut talk = lab.talk(32, (32, 5_432), 700 + 300 * number, [35, 5_200]);
        lab.http(&mut talk, 700);
        if number == 0 {
            talk.wait(45_000_000);
            talk.exchange(&mut lab.capture, b"SELECT 1", 90);
            continue;
        }
        talk.wait((60 + number) * 1_000_000);
        let query = talk.send_lost(&mut lab.capture, CLIENT, b"SELECT 1");
        for number in 0..6 {
            talk.wait(225_000 << number);
            talk.resend(&mut lab.capture, &query);
        }
    }
    let mut talk = lab.talk(32, (32, 5_432), 78_000, [35, 5_200]);
    lab.http(&mut talk, 700);
    talk.close(&mut lab.capture);
}

/// Every request but the first of a connection meets the FIN of the server.
fn races(lab: &mut Lab) {
    for number in 0..6 {
        let mut talk = lab.talk(33, (33, 8_000), 600 + 6_100 * number, [40, 9_000]);
        lab.http(&mut talk, 700);
        talk.wait(4_996_000 + 1_000 * number);
        let mut fin = talk.segment(SERVER, FIN | ACK, b"");
        let request = talk.send_lost(&mut lab.capture, CLIENT, b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        talk.wait(7_000);
        fin.ack = request.seq;
        talk.record(&mut lab.capture, &fin);
        talk.sent(&fin);
        talk.received(&fin);
        talk.wait(120);
        talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
        talk.wait(11_000);
        let mut reset = talk.segment(SERVER, RST, b"");
        reset.seq = fin.seq;
        talk.record(&mut lab.capture, &reset);
    }
}

/// Four connections in use; from the tenth second on nothing gets through.
fn breaks(lab: &mut Lab) {
    for number in 0..4 {
        let client = 34 + number as u8 % 2;
        let mut talk = lab.talk(client, (34, 9_443), 7_000 + 150 * number, [30, 6_000]);
        lab.http(&mut talk, 900);
        for _ in 0..4 {
            talk.wait(700_000);
            talk.exchange(&mut lab.capture, b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n", 900);
        }
        talk.wait(700_000);
        let request = talk.send_lost(&mut lab.capture, CLIENT, b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
        for number in 0..7 {
            talk.wait(215_000 << number);
            talk.resend(&mut lab.capture, &request);
        }
    }
}

/// Two dozen connections that only their clients close.
fn leaks(lab: &mut Lab) {
    for number in 0..24 {
        let mut talk = lab.talk(36, (35, 8_097), 500 + 400 * number, [7_000, 40]);
        lab.http(&mut talk, 600);
        talk.wait(2_000);
        talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
    }
}

/// The server answers SYNs on ports in TIME-WAIT with its old ACK.
fn collisions(lab: &mut Lab) {
    for number in 0..8 {
        let mut old = lab.talk(37, (36, 8_095), 600 + 2_700 * number, [9_000, 40]);
        old.ends[CLIENT].port = 40_000 + number as u16 % 4;
        lab.http(&mut old, 300);
        old.send(&mut lab.capture, SERVER, FIN | ACK, b"");
        old.turn(SERVER);
        old.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
        old.turn(CLIENT);
        let last = old.ack(&mut lab.capture, SERVER, &[]);
        let mut new = old.clone();
        new.wait(900_000);
        // Below the old numbers: TIME-WAIT does not accept it (RFC 6191).
        new.ends[CLIENT].next = old.ends[CLIENT].next.wrapping_sub(300_000);
        let syn = new.segment(CLIENT, SYN, b"");
        new.record(&mut lab.capture, &syn);
        new.turn(CLIENT);
        new.record(&mut lab.capture, &last);
        new.turn(SERVER);
        let reset = Segment { seq: last.ack, ..new.segment(CLIENT, RST, b"") };
        new.record(&mut lab.capture, &reset);
    }
}
