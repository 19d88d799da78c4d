//! Connections that stand still.

use super::super::filler;
use super::*;

pub(super) const SCENES: &[Scene] = &[scene(
    "zero_window",
    "A server does not read an upload for twelve seconds: its window closes, the clients probe.",
    111,
    30,
    closed_window,
    &[warning("zero_window", "server").at(31, 9092)],
)];

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
