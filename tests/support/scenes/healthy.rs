//! Nothing is wrong: whatever is reported at warning or above is a false alarm.

use super::super::filler;
use super::super::frame::{Ip, vxlan};
use super::super::tcp::{FIN, SYN, Segment};
use super::*;

pub(super) const SCENES: &[Scene] = &[
    scene("healthy", "Web, TLS 1.2 and 1.3, DNS, keep-alives, a reset after FIN.", 11, 4, |_| {}, &[]),
    scene(
        "healthy_large",
        "More of the same over IPv4 and IPv6, in two VLANs, in a big-endian file with nanoseconds.",
        12,
        8,
        large,
        &[],
    )
    .written(File::PcapBig),
    scene("healthy_vxlan", "Healthy traffic inside VXLAN.", 13, 4, in_vxlan, &[]).written(File::Pcapng),
    scene(
        "healthy_reordered",
        "Segments overtaken by the next two on their way: late by half a millisecond, never sent again.",
        14,
        4,
        reordered,
        &[info("reordering", "").at(81, 8080)],
    ),
    scene(
        "healthy_resets",
        "Resets that cut nothing: after FIN, after close_notify, by a load balancer's health check.",
        15,
        20,
        resets,
        &[],
    ),
    scene(
        "healthy_happy_eyeballs",
        "IPv6 gets no answer within 250 ms, IPv4 wins, the IPv6 attempts are given up.",
        16,
        8,
        happy_eyeballs,
        &[],
    ),
    scene(
        "healthy_path_mtu_discovery",
        "A router reports a smaller MTU, and the sender uses it at once.",
        17,
        5,
        |lab| path_mtu_discovery(lab, 3),
        &[info("pmtud", "")],
    ),
    scene(
        "healthy_close_notify",
        "TLS sessions closed by close_notify, one of them in the clear before any encryption.",
        18,
        5,
        close_notify,
        &[],
    )
    .written(File::PcapngBig),
    scene(
        "healthy_unrecognized_name",
        "The server warns that it does not know the name and goes on with the handshake.",
        19,
        5,
        unrecognized_name,
        &[],
    ),
    scene(
        "healthy_search_list",
        "Short names that are found after NXDOMAIN for the suffixes of the search list.",
        20,
        6,
        |lab| (1..12).for_each(|number| lab.search_list(number * 430_000)),
        &[info("dns_search_list", "")],
    ),
];

fn large(lab: &mut Lab) {
    for number in 0..6u16 {
        let (client, server) = (lab.v6(1, 0x20 + number), lab.v6(2, 0x43));
        let port = lab.next_port();
        let start = 300_000 + u64::from(number) * 900_000;
        let mut talk = Talk::new((client, port), (server, 443), start, [30, 17_000]);
        talk.vlan = Some(100 + number % 2);
        talk.handshake(&mut lab.capture);
        if number % 2 == 0 {
            tls::handshake12(&mut talk, &mut lab.capture, "api.shop.example");
        } else {
            tls::handshake13(&mut talk, &mut lab.capture, "api.shop.example");
        }
        tls::exchange(&mut talk, &mut lab.capture, 3_000);
        tls::close(&mut talk, &mut lab.capture, number % 2 == 1);
    }
}

fn in_vxlan(lab: &mut Lab) {
    let ends = [Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(192, 0, 2, 12)];
    for (packet, id) in lab.capture.packets.iter_mut().zip(1..) {
        // The outer addresses go with the direction of the inner frame, whose router has 0x5e in its address.
        let away = usize::from(packet.frame[7] == 0x5e);
        let outer = Ip { source: ends[away].into(), destination: ends[1 - away].into(), ttl: 64, id };
        packet.frame =
            vxlan(outer, 5001, [[2, 0, 0, 0, 9, away as u8], [2, 0, 0, 0, 9, 1 - away as u8]], &packet.frame);
    }
}

pub(super) fn reordered(lab: &mut Lab) {
    for number in 0..6u64 {
        let mut talk = lab.talk(20 + number as u8, (81, 8080), 200 + number * 500, [30, 6_000]);
        talk.handshake(&mut lab.capture);
        talk.wait(100);
        talk.send(&mut lab.capture, CLIENT, ACK, b"GET /big HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");
        talk.turn(CLIENT);
        let late = talk.segment(SERVER, ACK, &filler(1, 900));
        talk.sent(&late);
        let mut above = Vec::new();
        for piece in 0..2 {
            let segment = talk.segment(SERVER, ACK, &filler(2 + piece, 900));
            talk.record(&mut lab.capture, &segment);
            talk.sent(&segment);
            above.push(segment.seq);
            talk.wait(90);
            let edge = talk.ends[SERVER].next;
            talk.ack(&mut lab.capture, CLIENT, &[(above[0], edge)]);
        }
        talk.wait(250);
        talk.record(&mut lab.capture, &late);
        talk.catch_up(SERVER);
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        talk.close(&mut lab.capture);
    }
}

fn resets(lab: &mut Lab) {
    for number in 0..14 {
        lab.reset_after_fin(500 + number * 240, [30, 3_000]);
    }
    for number in 0..4 {
        // The client has what it wanted, says goodbye and resets instead of waiting in TIME-WAIT.
        let mut talk = lab.talk(30, (44, 443), 900 + number * 700, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        tls::handshake13(&mut talk, &mut lab.capture, "www.shop.example");
        tls::exchange(&mut talk, &mut lab.capture, 600);
        talk.wait(800);
        talk.send(&mut lab.capture, CLIENT, ACK, &tls::encrypted(tls::DATA, 5, 19));
        talk.send(&mut lab.capture, CLIENT, RST | ACK, b"");
    }
    for number in 0..9 {
        let mut talk = lab.talk(250, (45, 8080), 700 + number * 2_000, [30, 600]);
        talk.handshake(&mut lab.capture);
        talk.wait(90);
        talk.send(&mut lab.capture, CLIENT, RST | ACK, b"");
    }
}

fn happy_eyeballs(lab: &mut Lab) {
    for number in 0..3u16 {
        let at = 1_000 + u64::from(number) * 1_500;
        let (client, server) = (lab.v6(1, 0x30 + number), lab.v6(2, 0x50));
        let port = lab.next_port();
        let mut loser = Talk::new((client, port), (server, 443), at * 1_000, [30, 9_000]);
        let attempt = loser.segment(CLIENT, SYN, b"");
        // 250 ms later the other family.
        let mut winner = lab.talk(48 + number as u8, (80, 443), at + 250, [30, 9_000]);
        // One host, one router: the addresses below IP are the same for both families.
        (0..2).for_each(|side| loser.ends[side].mac = winner.ends[side].mac);
        loser.record(&mut lab.capture, &Segment { mac: loser.ends[CLIENT].mac, ..attempt });
        winner.handshake(&mut lab.capture);
        tls::handshake13(&mut winner, &mut lab.capture, "www.shop.example");
        tls::exchange(&mut winner, &mut lab.capture, 700);
        tls::close(&mut winner, &mut lab.capture, true);
    }
}

pub(super) fn path_mtu_discovery(lab: &mut Lab, flows: u64) {
    for number in 0..flows {
        let mut talk = lab.talk(60 + number as u8, (90, 9000), 300 + number * 900, [30, 5_000]);
        talk.handshake(&mut lab.capture);
        talk.wait(200);
        talk.send(&mut lab.capture, CLIENT, ACK, b"PUT /upload 2896\n");
        talk.turn(CLIENT);
        talk.ack(&mut lab.capture, SERVER, &[]);
        talk.wait(150);
        let big = talk.send_lost(&mut lab.capture, CLIENT, &filler(9, 1448));
        talk.wait(2_000);
        let router = lab.router();
        talk.icmp_error(&mut lab.capture, router, (3, 4, 1400), &big);
        talk.wait(60);
        // 1400 bytes less 20 of IP, 20 of TCP and 12 of timestamps: 1348 and the rest.
        let (head, rest) = big.payload.split_at(1348);
        for (offset, piece) in [(0, head), (1348, rest)] {
            let mut segment = talk.segment(CLIENT, ACK, piece);
            segment.seq = big.seq.wrapping_add(offset);
            talk.record(&mut lab.capture, &segment);
            talk.received(&segment);
        }
        talk.turn(CLIENT);
        talk.send(&mut lab.capture, SERVER, ACK, b"stored\n");
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, CLIENT, &[]);
        talk.close(&mut lab.capture);
    }
}

fn close_notify(lab: &mut Lab) {
    for number in 0..5 {
        let mut talk = lab.talk(70 + number as u8, (46, 443), 600 + number * 600, [30, 12_000]);
        talk.handshake(&mut lab.capture);
        tls::handshake12(&mut talk, &mut lab.capture, "www.shop.example");
        tls::exchange(&mut talk, &mut lab.capture, 500);
        tls::close(&mut talk, &mut lab.capture, false);
    }
    // A monitor that says goodbye as soon as it has seen the ServerHello.
    let mut talk = lab.talk(79, (46, 443), 3_900, [30, 12_000]);
    talk.handshake(&mut lab.capture);
    tls::hello(&mut talk, &mut lab.capture, "www.shop.example", false);
    let flight = [tls::server_hello(false, 3), tls::server_certificate(&[tls::LEAF, tls::INTERMEDIATE], 3)];
    talk.stream(&mut lab.capture, SERVER, &flight.concat());
    talk.wait(200);
    talk.send(&mut lab.capture, CLIENT, ACK, &tls::alert(tls::WARNING, 0));
    talk.wait(30);
    talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
    talk.turn(CLIENT);
    talk.send(&mut lab.capture, SERVER, ACK, &tls::alert(tls::WARNING, 0));
    talk.send(&mut lab.capture, SERVER, FIN | ACK, b"");
    talk.turn(SERVER);
    talk.ack(&mut lab.capture, CLIENT, &[]);
}

fn unrecognized_name(lab: &mut Lab) {
    for number in 0..4 {
        let mut talk = lab.talk(80 + number as u8, (47, 443), 600 + number * 800, [30, 8_000]);
        talk.handshake(&mut lab.capture);
        tls::hello(&mut talk, &mut lab.capture, "old.shop.example", false);
        let flight = [
            tls::alert(tls::WARNING, 112),
            tls::server_hello(false, 8),
            tls::server_certificate(&[tls::LEAF, tls::INTERMEDIATE], 8),
        ];
        talk.stream(&mut lab.capture, SERVER, &flight.concat());
        talk.wait(700);
        talk.send(&mut lab.capture, CLIENT, ACK, &tls::client_finished(8));
        talk.turn(CLIENT).wait(300);
        let finished =
            [tls::record(tls::CHANGE_CIPHER_SPEC, &[1]), tls::encrypted(tls::HANDSHAKE, 9, 40)].concat();
        talk.send(&mut lab.capture, SERVER, ACK, &finished);
        talk.turn(SERVER);
        tls::exchange(&mut talk, &mut lab.capture, 400);
        tls::close(&mut talk, &mut lab.capture, false);
    }
}
