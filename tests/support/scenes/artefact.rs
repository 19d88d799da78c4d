//! Healthy traffic, captured badly: findings are about the capture, and nobody on the network is blamed.

use super::super::filler;
use super::super::frame::{datagram, ethernet, routed};
use super::*;

pub(super) const SCENES: &[Scene] = &[
    scene(
        "capture_duplicates_exact",
        "A mirror port delivers every packet twice, 5 microseconds apart.",
        61,
        5,
        exact_copies,
        &[info("capture_duplicates", "")],
    )
    .allowing(CAPTURE),
    scene(
        "capture_duplicates_routed",
        "Every packet is seen before and behind a router: other Ethernet addresses, one less to live.",
        62,
        5,
        routed_copies,
        &[info("capture_duplicates", "")],
    )
    .allowing(CAPTURE),
    scene(
        "capture_duplicates_vlan",
        "Every packet is seen untagged and in VLAN 30.",
        63,
        5,
        vlan_copies,
        &[info("capture_duplicates", "")],
    )
    .allowing(CAPTURE),
    scene(
        "capture_loss_unseen",
        "The capture missed every ninth data segment; the receivers acknowledge them all.",
        64,
        5,
        unseen,
        &[info("capture_loss", "")],
    )
    .allowing(CAPTURE),
    scene(
        "capture_loss_reported",
        "The interface statistics block counts 400 dropped packets.",
        65,
        5,
        web,
        &[info("capture_loss", "")],
    )
    .written(File::Drops(400))
    .allowing(CAPTURE),
    scene(
        "capture_truncated_snaplen",
        "Packets are cut at 96 bytes.",
        66,
        5,
        web,
        &[info("capture_truncated", "")],
    )
    .written(File::Snap(96))
    .allowing(CAPTURE),
    scene(
        "capture_truncated_options",
        "Packets are cut at 58 bytes, in the middle of the TCP options.",
        67,
        5,
        web,
        &[info("capture_truncated", "")],
    )
    .written(File::Snap(58))
    .allowing(CAPTURE),
    scene(
        "capture_midstream",
        "The capture begins after the handshakes.",
        68,
        5,
        midstream,
        &[info("capture_midstream", "")],
    )
    .allowing(CAPTURE),
    scene(
        "capture_disorder_ack_before_data",
        "Two receive queues: ACKs are recorded 100 microseconds before the data they acknowledge.",
        69,
        5,
        |lab| ack_before_data(lab, 8),
        &[info("capture_disorder", "")],
    )
    .allowing(CAPTURE),
    scene(
        "capture_damaged_tail",
        "The file ends in the middle of a packet.",
        70,
        5,
        web,
        &[info("capture_damaged", "")],
    )
    .written(File::CutOff(37))
    .allowing(CAPTURE),
    scene(
        "capture_damaged_middle",
        "A record header in the middle of the file is overwritten.",
        71,
        5,
        web,
        &[info("capture_damaged", "")],
    )
    .written(File::Damaged)
    .allowing(CAPTURE),
    scene(
        "capture_gap",
        "A file of a rotated set is missing: three seconds in which connections went on are not there.",
        73,
        5,
        ring_hole,
        &[info("capture_gap", "")],
    )
    .allowing(CAPTURE),
    scene(
        "capture_offload",
        "A capture in front of segmentation offload: segments of ten times the MSS.",
        72,
        5,
        offload,
        &[info("capture_offload", "")],
    )
    .allowing(CAPTURE),
];

/// Uploads over ten seconds, and no packet of three of them.
fn ring_hole(lab: &mut Lab) {
    for number in 0..4u64 {
        let mut talk = lab.talk(170 + number as u8, (120, 9000), 200 + number * 40, [30, 6_000]);
        talk.handshake(&mut lab.capture);
        for round in 0..20 {
            talk.exchange(&mut lab.capture, &filler(round, 600), 120);
            talk.wait(400_000);
        }
        talk.close(&mut lab.capture);
    }
    lab.capture.packets.retain(|packet| !(3_000_000..6_000_000).contains(&packet.micros));
}

/// A bad capture may be bad in more than one way.
const CAPTURE: &[&str] = &[
    "capture_gap",
    "capture_loss",
    "capture_duplicates",
    "capture_truncated",
    "capture_offload",
    "capture_disorder",
    "capture_midstream",
    "capture_damaged",
    "capture_gap",
];

fn web(lab: &mut Lab) {
    for number in 0..6 {
        let mut talk = lab.talk(170 + number, (120, 80), 400 + u64::from(number) * 600, [40, 5_500]);
        lab.http(&mut talk, 1_700);
        lab.http_again(&mut talk, 300);
        talk.close(&mut lab.capture);
    }
}

fn copies(lab: &mut Lab, delay: u64, copy: impl Fn(&[u8]) -> Vec<u8>) {
    let mut talk = lab.talk(170, (120, 80), 400, [40, 5_500]);
    lab.http(&mut talk, 2_700);
    talk.close(&mut lab.capture);
    for index in 0..lab.capture.packets.len() {
        let packet = lab.capture.packets[index].clone();
        lab.capture.record(packet.micros + delay, copy(&packet.frame));
    }
}

pub(super) fn exact_copies(lab: &mut Lab) {
    copies(lab, 5, <[u8]>::to_vec);
}

pub(super) fn routed_copies(lab: &mut Lab) {
    copies(lab, 9, |frame| routed(frame, [2, 0x5e, 0, 0, 7, 1], [2, 0x5e, 0, 0, 7, 2]));
}

fn vlan_copies(lab: &mut Lab) {
    copies(lab, 4, |frame| {
        let mac = |at: usize| std::array::from_fn(|octet| frame[at + octet]);
        ethernet(mac(6), mac(0), Some(30), datagram(frame))
    });
}

fn unseen(lab: &mut Lab) {
    for number in 0..5u8 {
        let mut talk = lab.talk(180 + number, (121, 8080), 400 + u64::from(number) * 700, [40, 6_000]);
        talk.handshake(&mut lab.capture);
        talk.wait(200);
        talk.send(&mut lab.capture, CLIENT, ACK, b"GET /blob HTTP/1.0\r\n\r\n");
        talk.turn(CLIENT).wait(2_000);
        for piece in 0..18u32 {
            if piece % 9 == 4 {
                talk.miss(SERVER, &filler(piece, 360));
                talk.wait(12);
            } else {
                talk.send(&mut lab.capture, SERVER, ACK, &filler(piece, 360));
            }
            if piece % 3 == 2 {
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                talk.turn(CLIENT);
            }
        }
        talk.close(&mut lab.capture);
    }
}

fn midstream(lab: &mut Lab) {
    for number in 0..8u8 {
        let mut talk = lab.talk(190 + number, (122, 3_306), 200 + u64::from(number) * 300, [40, 2_000]);
        let mut before = Capture::default();
        talk.handshake(&mut before);
        for _ in 0..3 {
            talk.exchange(&mut lab.capture, b"select name from items where id = 7", 500);
            talk.wait(60_000);
        }
        talk.close(&mut lab.capture);
    }
}

pub(super) fn ack_before_data(lab: &mut Lab, flows: u64) {
    for number in 0..flows {
        let mut talk = lab.talk(200 + number as u8, (123, 9000), 300 + number * 500, [9_000, 20]);
        talk.handshake(&mut lab.capture);
        talk.wait(400);
        for piece in 0..4 {
            let data = talk.segment(CLIENT, ACK, &filler(piece, 600));
            talk.sent(&data);
            talk.received(&data);
            talk.ack(&mut lab.capture, SERVER, &[]);
            // The queue of the incoming direction is read 100 microseconds later.
            talk.wait(88);
            talk.record(&mut lab.capture, &data);
            talk.wait(18_000);
        }
        talk.close(&mut lab.capture);
    }
}

fn offload(lab: &mut Lab) {
    let mut talk = lab.talk(210, (124, 8080), 600, [5, 7_000]);
    // The capture runs on the server here: its own segments are not cut yet.
    talk.ends.iter_mut().zip([7_000, 3]).for_each(|(end, delay)| end.delay = delay);
    talk.offload = 10;
    talk.handshake(&mut lab.capture);
    talk.exchange(&mut lab.capture, b"GET /film HTTP/1.0\r\n\r\n", 33_000);
    talk.close(&mut lab.capture);
}
