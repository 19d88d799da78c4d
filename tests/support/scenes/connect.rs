//! Connections that do not come about, or are torn down.

use super::super::filler;
use super::super::tcp::SYN;
use super::*;

/// Gaps of Linux since 6.5 in seconds (tcp_syn_linear_timeouts = 4, tcp_syn_retries = 6).
const LADDER: &[u64] = &[1, 1, 1, 1, 1, 2, 4, 8, 16, 32];
/// Gaps of older kernels.
const CLASSIC: &[u64] = &[1, 2, 4, 8, 16, 32];

// Each of these is one failure seen from two sides: connection_refused counts what rst_storm groups.
const ALLOWS: &[&str] =
    &["connection_refused", "connection_churn", "missing_syn_ack", "asymmetric_flow", "retransmission"];

pub(super) const SCENES: &[Scene] = &[
    scene(
        "missing_syn_ack_silent",
        "A service answers no SYN; the clients go through the ladder of Linux since 6.5.",
        31,
        140,
        |lab| silent(lab, 5, LADDER),
        &[warning("missing_syn_ack", "silent").at(5, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "missing_syn_ack_silent_classic",
        "A service answers no SYN; the clients double their waits as older kernels do.",
        32,
        140,
        |lab| silent(lab, 5, CLASSIC),
        &[warning("missing_syn_ack", "silent").at(5, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "missing_syn_ack_lost_return",
        "Next to the server: it answers every SYN, and the clients go on asking.",
        33,
        140,
        lost_return,
        &[warning("missing_syn_ack", "lost_return").at(6, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "syn_ack_repeated",
        "The handshake's last ACK is lost; a server that speaks first repeats its SYN-ACK.",
        34,
        10,
        ack_lost,
        &[],
    )
    .events(&[("retransmitted_syn_ack", "any", 5)])
    .allowing(ALLOWS),
    scene(
        "missing_syn_ack_late",
        "The SYN-ACK comes after the client's first retry.",
        35,
        10,
        late,
        &[warning("missing_syn_ack", "late").at(8, 9200)],
    )
    .allowing(ALLOWS),
    scene(
        "connection_refused_port",
        "Nothing listens: four clients are refused, again and again.",
        101,
        30,
        |lab| refusals(lab, (21, 8125), 16, false),
        &[warning("connection_refused", "port").at(21, 8125)],
    ),
    scene(
        "connection_refused_intermittent",
        "One of three backends behind an address does not listen.",
        102,
        30,
        |lab| refusals(lab, (22, 8126), 30, true),
        &[warning("connection_refused", "intermittent").at(22, 8126)],
    ),
    scene(
        "rst_storm_refused",
        "A stopped service refuses six clients.",
        36,
        14,
        refused,
        &[warning("rst_storm", "refused").at(9, 5672)],
    )
    .allowing(ALLOWS),
    scene(
        "rst_storm_no_socket",
        "A server was restarted: it knows none of its connections.",
        37,
        14,
        no_socket,
        &[warning("rst_storm", "no_socket").at(10, 6000)],
    )
    .allowing(ALLOWS),
    scene(
        "rst_storm_abort",
        "A server aborts its connections in the middle of the requests.",
        38,
        14,
        abort,
        &[warning("rst_storm", "abort").at(11, 8009)],
    )
    .allowing(ALLOWS),
];

pub(super) fn silent(lab: &mut Lab, flows: u64, gaps: &[u64]) {
    for number in 0..flows {
        let mut talk = lab.talk(40 + number as u8, (5, 8443), 1_000 + number * 350, [30, 10_000]);
        let attempt = talk.segment(CLIENT, SYN, b"");
        talk.record(&mut lab.capture, &attempt);
        for gap in gaps {
            talk.wait(gap * 1_000_000 + 21_000);
            let again = talk.segment(CLIENT, SYN, b"");
            talk.record(&mut lab.capture, &again);
        }
    }
}

fn lost_return(lab: &mut Lab) {
    for number in 0..4 {
        let mut talk = lab.talk(50 + number as u8, (6, 8443), 900 + number * 410, [14_000, 60]);
        let attempt = talk.segment(CLIENT, SYN, b"");
        talk.received(&attempt);
        for gap in [0].iter().chain(CLASSIC) {
            talk.wait(gap * 1_000_000);
            let syn = talk.segment(CLIENT, SYN, b"");
            talk.record(&mut lab.capture, &syn);
            talk.ends[SERVER].echo = syn.stamps.map_or(0, |(stamp, _)| stamp);
            let before = talk.now;
            talk.turn(CLIENT);
            let answer = talk.segment(SERVER, SYN | ACK, b"");
            talk.record(&mut lab.capture, &answer);
            talk.now = before;
        }
    }
}

fn ack_lost(lab: &mut Lab) {
    for number in 0..5 {
        let mut talk = lab.talk(55 + number as u8, (7, 2525), 500 + number * 1_300, [30, 7_000]);
        talk.handshake(&mut lab.capture);
        talk.wait(1_004_000);
        let mut again = talk.segment(SERVER, SYN | ACK, b"");
        again.seq = talk.ends[SERVER].next.wrapping_sub(1);
        talk.record(&mut lab.capture, &again);
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        talk.turn(CLIENT).wait(300);
        talk.send(&mut lab.capture, SERVER, ACK, b"220 mail.shop.example ESMTP\r\n");
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        talk.wait(400);
        talk.send(&mut lab.capture, CLIENT, ACK, b"QUIT\r\n");
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, ACK, b"221 bye\r\n");
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        talk.close(&mut lab.capture);
    }
}

fn late(lab: &mut Lab) {
    for number in 0..6 {
        let mut talk = lab.talk(60 + number as u8, (8, 9200), 400 + number * 1_100, [30, 3_000]);
        let first = talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.wait(1_021_000);
        let again = talk.segment(CLIENT, SYN, b"");
        let again = super::super::tcp::Segment { seq: first.seq, ..again };
        talk.record(&mut lab.capture, &again);
        talk.received(&again);
        talk.wait(180_000);
        talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
        talk.turn(SERVER);
        talk.send(&mut lab.capture, CLIENT, ACK, b"");
        talk.exchange(&mut lab.capture, b"GET /_cluster/health", 300);
        talk.close(&mut lab.capture);
    }
}

/// Connections over 24 seconds, of which the service refuses all, or one in three.
fn refusals(lab: &mut Lab, server: (u8, u16), flows: u64, some: bool) {
    for number in 0..flows {
        let mut talk =
            lab.talk(30 + (number % 4) as u8, server, 1_500 + number * 24_000 / flows, [30, 1_700]);
        if some && number % 3 != 0 {
            lab.http(&mut talk, 700);
            talk.close(&mut lab.capture);
            continue;
        }
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.turn(CLIENT);
        let mut reset = talk.segment(SERVER, RST | ACK, b"");
        reset.seq = 0;
        talk.record(&mut lab.capture, &reset);
    }
}

fn refused(lab: &mut Lab) {
    for number in 0..48u64 {
        let mut talk = lab.talk(70 + (number % 6) as u8, (9, 5672), 2_000 + number * 150, [30, 1_500]);
        talk.send(&mut lab.capture, CLIENT, SYN, b"");
        talk.turn(CLIENT);
        let mut reset = talk.segment(SERVER, RST | ACK, b"");
        reset.seq = 0;
        talk.record(&mut lab.capture, &reset);
    }
}

/// Connections used once before the failure; the next request comes `at` milliseconds later.
fn used(lab: &mut Lab, server: (u8, u16), number: u64) -> Talk {
    let mut talk = lab.talk(80 + (number % 9) as u8, server, 300 + number * 20, [30, 2_000]);
    talk.handshake(&mut lab.capture);
    talk.exchange(&mut lab.capture, b"hello", 120);
    talk.now = 6_000_000 + number * 90_000;
    talk
}

fn no_socket(lab: &mut Lab) {
    for number in 0..30 {
        let mut talk = used(lab, (10, 6000), number);
        talk.send(&mut lab.capture, CLIENT, ACK, &filler(number as u32, 150));
        talk.turn(CLIENT);
        // RFC 9293 section 3.10.7.1: without ACK, numbered by the ACK of what it answers.
        let reset = talk.segment(SERVER, RST, b"");
        talk.record(&mut lab.capture, &reset);
    }
}

fn abort(lab: &mut Lab) {
    for number in 0..30 {
        let mut talk = used(lab, (11, 8009), number);
        talk.send(&mut lab.capture, CLIENT, ACK, &filler(number as u32, 150));
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
        talk.wait(12_000);
        talk.send(&mut lab.capture, CLIENT, ACK, &filler(number as u32 + 9, 90));
        talk.turn(CLIENT);
        let reset = talk.segment(SERVER, RST | ACK, b"");
        talk.record(&mut lab.capture, &reset);
    }
}
