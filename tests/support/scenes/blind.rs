//! Situations that common analysis flags misread, each once and small.

use super::super::frame::{Ip, ethernet};
use super::super::tcp::{FIN, SYN, Segment};
use super::super::{dns, filler};
use super::path::Behind;
use super::*;

const ALLOWS: &[&str] = &["retransmission", "icmp_unreachable"];

pub(super) const SCENES: &[Scene] = &[
    scene(
        "blind_dup_span",
        "Every packet twice, 5 microseconds apart: no loss.",
        81,
        1,
        super::artefact::exact_copies,
        &[info("capture_duplicates", "")],
    )
    .events(&[("duplicate_observation", "any", 86), ("retransmitted", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_dup_routed",
        "Every packet twice, the copy with one less to live and other Ethernet addresses: no loss.",
        82,
        1,
        super::artefact::routed_copies,
        &[info("capture_duplicates", "")],
    )
    .events(&[("duplicate_observation", "any", 86), ("retransmitted", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_fast_receiver",
        "Loss upstream, RTT 80 ms, captured next to the receiver: a fast retransmission.",
        83,
        2,
        |lab| super::loss::fast_receiver(lab, 1, [40_000, 60], 0),
        &[],
    )
    .events(&[("fast_retransmission", "", 2), ("retransmitted", "any", 2)])
    .allowing(ALLOWS),
    scene(
        "blind_loss_before_fast",
        "A hole is filled 117 ms later after a handshake of 300 ms: lost upstream, not reordered.",
        84,
        3,
        |lab| super::loss::fast_receiver(lab, 1, [58_000, 60], 184_000),
        &[],
    )
    .events(&[("fast_retransmission", "", 2), ("retransmitted", "any", 2), ("reordered", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_tlp_dsack",
        "A tail loss probe that a DSACK proves to have been unnecessary.",
        85,
        2,
        tlp_dsack,
        &[info("spurious_retransmission", "")],
    )
    .events(&[("tail_loss_probe", "spurious", 1), ("retransmitted", "any", 1)])
    .allowing(ALLOWS),
    scene(
        "blind_ack_before_data",
        "ACKs stamped 100 microseconds before their data: capture order, nothing sent twice.",
        86,
        2,
        |lab| super::artefact::ack_before_data(lab, 1),
        &[info("capture_disorder", "")],
    )
    .events(&[("capture_reordered", "any", 4), ("acked_unseen", "any", 0), ("retransmitted", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_icmp_fragneeded",
        "Fragmentation needed 2 ms after 1448 bytes, sent again as 1348 and 100: path MTU discovery.",
        87,
        2,
        |lab| super::healthy::path_mtu_discovery(lab, 1),
        &[info("pmtud", "")],
    )
    .events(&[("retransmission", "path_mtu", 2), ("retransmitted", "any", 2), ("reordered", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_pmtu_blackhole",
        "1448 bytes five times in vain, 300 arrive, 484 work.",
        88,
        12,
        |lab| super::path::blackhole(lab, 1, Behind { tails: 1, goes_on: false }, 4, Some(484)),
        &[warning("mtu_blackhole", "silent").at(95, 8443)],
    )
    .events(&[("timeout_retransmission", "", 7), ("retransmitted", "any", 7)])
    .allowing(ALLOWS),
    scene(
        "blind_syn_noanswer",
        "SYNs at 0, 1, 3 and 7 seconds and no answer.",
        89,
        24,
        |lab| super::connect::silent(lab, 1, &[1, 2, 4]),
        &[info("missing_syn_ack", "silent").at(5, 8443)],
    )
    .events(&[("retransmitted_syn", "any", 3), ("retransmitted", "any", 3)])
    .allowing(ALLOWS),
    scene(
        "blind_rst_inject",
        "A reset with another time to live and off the expected number, then the host sends on.",
        90,
        2,
        rst_inject,
        &[info("rst_injection", "")],
    )
    .events(&[("out_of_window", "any", 0), ("retransmitted", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_keepalive_race",
        "The server closes an idle connection while the next request is on its way.",
        91,
        14,
        keepalive_race,
        &[info("keepalive_race", "")],
    )
    .events(&[("retransmitted", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_port_reuse",
        "A SYN meets TIME-WAIT: challenge ACK, reset, and the connection a second later.",
        92,
        6,
        port_reuse,
        &[info("port_reuse", "")],
    )
    .events(&[
        ("port_reuse", "any", 1),
        ("out_of_window", "any", 1),
        ("retransmitted_syn", "any", 1),
        ("retransmitted", "any", 1),
    ])
    .allowing(ALLOWS),
    scene(
        "blind_dns_servfail",
        "SERVFAIL with extended error 6; a retry that is never answered; two answers that differ.",
        93,
        16,
        dns_trouble,
        &[info("dns_servfail", ""), info("dns_unanswered", ""), info("dns_conflict", "")],
    )
    .events(&[("retransmitted", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_tls_alert",
        "A fatal handshake_failure.",
        94,
        2,
        |lab| super::messages::refuses(lab, 1, 40),
        &[Expect { mentions: "handshake_failure", ..info("tls_alert", "").at(110, 443) }],
    )
    .events(&[("retransmitted", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_oneway",
        "Only the server's direction of a connection was captured.",
        95,
        2,
        |lab| super::path::one_way(lab, 1),
        &[info("asymmetric_flow", "visibility").at(97, 8080)],
    )
    .events(&[("acked_unseen", "any", 0), ("gap", "any", 0), ("retransmitted", "any", 0)])
    .allowing(ALLOWS),
    scene(
        "blind_routing_loop",
        "One datagram goes round with its time to live falling from 60 to 2, until a router gives up.",
        96,
        2,
        routing_loop,
        &[warning("routing_loop", "")],
    )
    .events(&[("retransmitted", "any", 0)])
    .allowing(ALLOWS),
];

fn tlp_dsack(lab: &mut Lab) {
    let mut talk = lab.talk(35, (92, 8081), 500, [30, 6_000]);
    talk.handshake(&mut lab.capture);
    talk.wait(200);
    talk.send(&mut lab.capture, CLIENT, ACK, &filler(1, 520));
    let last = talk.send(&mut lab.capture, CLIENT, ACK, &filler(2, 300));
    let echo = talk.ends[SERVER].echo;
    talk.wait(26_000);
    talk.resend(&mut lab.capture, &last);
    // The delayed ACK of the first copy, then the report of the second.
    talk.wait(4_000);
    talk.ends[SERVER].echo = echo;
    talk.ack(&mut lab.capture, SERVER, &[]);
    talk.wait(8_040);
    let edges = (last.seq, last.seq.wrapping_add(300));
    talk.ack(&mut lab.capture, SERVER, &[edges]);
    talk.wait(30_000);
    talk.send(&mut lab.capture, SERVER, ACK, b"done");
    talk.turn(SERVER);
    talk.ack(&mut lab.capture, CLIENT, &[]);
    talk.close(&mut lab.capture);
}

fn rst_inject(lab: &mut Lab) {
    let mut talk = lab.talk(36, (93, 80), 500, [30, 20_000]);
    lab.http(&mut talk, 400);
    talk.wait(180);
    talk.send(&mut lab.capture, CLIENT, ACK, b"GET /forbidden HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");
    talk.wait(1_500);
    for ahead in [0, 1_460] {
        let mut reset = talk.segment(SERVER, RST, b"");
        (reset.ttl, reset.id) = (250, 4_711 + ahead as u16);
        reset.seq = talk.ends[SERVER].next.wrapping_add(ahead);
        talk.record(&mut lab.capture, &reset);
    }
    // The host itself knows nothing of them.
    talk.wait(40_000);
    talk.send(&mut lab.capture, SERVER, ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

fn keepalive_race(lab: &mut Lab) {
    let mut talk = lab.talk(37, (94, 8080), 500, [30, 12_000]);
    lab.http(&mut talk, 400);
    talk.wait(10_000_000);
    // The request leaves while the server's FIN is on its way.
    talk.send(&mut lab.capture, CLIENT, ACK, b"GET /next HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");
    let request_end = talk.ends[CLIENT].next;
    talk.wait(6_000);
    let mut fin = talk.segment(SERVER, FIN | ACK, b"");
    fin.ack = request_end.wrapping_sub(49);
    talk.record(&mut lab.capture, &fin);
    talk.sent(&fin);
    talk.received(&fin);
    talk.turn(SERVER);
    talk.ack(&mut lab.capture, CLIENT, &[]);
    talk.wait(18_000);
    for _ in 0..2 {
        let mut reset = talk.segment(SERVER, RST, b"");
        reset.seq = fin.seq;
        talk.record(&mut lab.capture, &reset);
        talk.wait(6_000);
    }
}

fn port_reuse(lab: &mut Lab) {
    let mut old = lab.talk(38, (95, 6_000), 400, [30, 3_000]);
    old.handshake(&mut lab.capture);
    old.exchange(&mut lab.capture, b"first", 200);
    old.wait(500);
    // The server closes first and waits in TIME-WAIT.
    old.send(&mut lab.capture, SERVER, FIN | ACK, b"");
    old.turn(SERVER);
    old.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
    old.turn(CLIENT);
    let last = old.ack(&mut lab.capture, SERVER, &[]);
    let mut new = old.clone();
    new.wait(800_000);
    // Below the old numbers, and with an older clock: TIME-WAIT does not accept it (RFC 6191).
    new.ends[CLIENT].next = old.ends[CLIENT].next.wrapping_sub(266_998);
    new.ends[CLIENT].clock = new.ends[CLIENT].clock.wrapping_sub(900_000);
    new.ends[SERVER].next = old.ends[SERVER].next.wrapping_add(777_777);
    let syn = new.segment(CLIENT, SYN, b"");
    new.record(&mut lab.capture, &syn);
    new.turn(CLIENT);
    let challenge =
        Segment { stamps: last.stamps, seq: last.seq, ack: last.ack, ..new.segment(SERVER, ACK, b"") };
    new.record(&mut lab.capture, &challenge);
    new.turn(SERVER);
    let reset = Segment { seq: challenge.ack, ..new.segment(CLIENT, RST, b"") };
    new.record(&mut lab.capture, &reset);
    new.wait(1_006_000);
    let again = Segment { seq: syn.seq, ..new.segment(CLIENT, SYN, b"") };
    new.record(&mut lab.capture, &again);
    new.sent(&again);
    new.ends[CLIENT].next = syn.seq.wrapping_add(1);
    new.received(&again);
    new.turn(CLIENT);
    new.send(&mut lab.capture, SERVER, SYN | ACK, b"");
    new.turn(SERVER);
    new.send(&mut lab.capture, CLIENT, ACK, b"");
    new.exchange(&mut lab.capture, b"second", 200);
    new.close(&mut lab.capture);
}

fn dns_trouble(lab: &mut Lab) {
    super::messages::bogus(lab, 1);
    let (client, resolver) = (lab.client(7), lab.resolver());
    for name in ["slow.shop.example", "gone.shop.example"] {
        let port = lab.next_port();
        let query = dns::query(port.wrapping_mul(40_503), name, dns::A);
        for micros in [2_000_000, 7_000_000] {
            lab.udp(micros, (client, port), (resolver, 53), &query);
        }
    }
    let (name, port) = ("bank.shop.example", lab.next_port());
    let id = port.wrapping_mul(40_503);
    lab.udp(3_000_000, (client, port), (resolver, 53), &dns::query(id, name, dns::A));
    let early = dns::response(id, name, dns::A, dns::NOERROR, &[[203, 0, 113, 66]]);
    // The early answer has come another way: another time to live, another identification.
    let ip = Ip { source: resolver, destination: client, ttl: 121, id: 0 };
    let macs = [[2, 0x5e, 0, 10, lab.net, 1], [2, 0, 10, lab.net, 1, 7]];
    lab.capture.record(3_000_400, ethernet(macs[0], macs[1], None, &ip.udp(53, port, &early)));
    let true_answer = dns::response(id, name, dns::A, dns::NOERROR, &[[10, 93, 2, 80]]);
    lab.udp(3_001_900, (resolver, 53), (client, port), &true_answer);
}

fn routing_loop(lab: &mut Lab) {
    let ip = Ip { source: lab.client(39), destination: [192, 0, 2, 99].into(), ttl: 60, id: 51_966 };
    let routers = [[2, 0x5e, 0, 10, lab.net, 1], [2, 0x5e, 0, 10, lab.net, 2]];
    let mut micros = 500_000;
    let mut packet = Vec::new();
    for ttl in (2..=60).rev().step_by(2) {
        packet = Ip { ttl, ..ip }.udp(40_404, 514, b"<13>a message to nowhere");
        lab.capture.record(micros, ethernet(routers[0], routers[1], None, &packet));
        micros += 310;
    }
    let error = Ip { source: lab.router(), destination: ip.source, ttl: 64, id: 7 };
    let message = error.icmp_error(11, 0, 0, &packet);
    lab.capture.record(micros, ethernet(routers[0], [2, 0, 10, lab.net, 1, 39], None, &message));
}
