//! One capture per situation, each among healthy traffic. The name is the detector it must fire, `healthy_*` none.

use super::*;

const RESOLVER: ([u8; 4], u16) = ([10, 9, 0, 53], 53);

/// Every scene by name.
pub fn all() -> Vec<(&'static str, Capture)> {
    let scenes: [(&str, fn(&mut Capture)); 13] = [
        ("healthy_mix", |_| {}),
        ("healthy_mirrored_twice", mirrored_twice),
        ("healthy_reordered", reordered),
        ("healthy_path_mtu_discovery", path_mtu_discovery),
        ("retransmission_rto", timeouts),
        ("retransmission_fast", fast),
        ("missing_syn_ack_silent", silent),
        ("rst_storm_no_socket", no_socket),
        ("mtu_blackhole_silent", blackhole),
        ("tls_alert_unknown_ca", unknown_ca),
        ("dns_servfail_unreachable", servfail),
        ("asymmetric_flow_visibility", one_way),
        ("asymmetric_flow_state", state),
    ];
    scenes
        .into_iter()
        .map(|(name, scene)| {
            let mut capture = Capture::default();
            background(&mut capture);
            scene(&mut capture);
            capture.sort();
            (name, capture)
        })
        .collect()
}

/// Web, TLS 1.2 and 1.3, DNS with a search list and type 65, a keep-alive, a reset after FIN.
fn background(capture: &mut Capture) {
    for index in 0..12u16 {
        let start = u64::from(index) * 700_000;
        let mut talk = Talk::new(([10, 1, 0, 7], 41_000 + index), ([10, 2, 0, 80], 80), start, 9_000);
        talk.handshake(capture);
        talk.exchange(capture, b"GET / HTTP/1.1\r\nHost: web\r\n\r\n", 4_000);
        talk.close(capture);
        if index == 3 {
            // The client's kernel resets what comes after it has forgotten the connection: nothing is lost.
            let frame = talk.frame(CLIENT, RST, None, b"");
            talk.wait(50);
            capture.record(talk.now, frame);
        }
    }
    for index in 0..6u16 {
        let tls13 = index % 2 == 0;
        let mut talk = Talk::new(([10, 1, 0, 8], 42_000 + index), ([10, 2, 0, 44], 443), u64::from(index) * 900_000, 14_000);
        talk.handshake(capture);
        talk.wait(200);
        talk.send(capture, CLIENT, ACK, &client_hello("shop.example"));
        talk.round_trip();
        let mut flight = server_hello(tls13);
        flight.extend(record(20, &[1]));
        flight.extend(if tls13 { record(23, &[0x5a; 1_200]) } else { record(22, &[0x5a; 40]) });
        talk.send(capture, SERVER, ACK, &flight);
        talk.wait(300);
        let finished = if tls13 { record(23, &[0x3c; 53]) } else { record(22, &[0x3c; 40]) };
        talk.send(capture, CLIENT, ACK, &[record(20, &[1]), finished].concat());
        talk.wait(200);
        talk.send(capture, CLIENT, ACK, &record(23, &[0x77; 300]));
        talk.round_trip();
        talk.send(capture, SERVER, ACK, &record(23, &[0x78; 900]));
        talk.wait(60);
        // close_notify, encrypted in both versions.
        let goodbye = if tls13 { record(23, &[0x11; 19]) } else { record(21, &[0x11; 26]) };
        talk.send(capture, CLIENT, ACK, &goodbye);
        talk.close(capture);
    }
    let mut idle = Talk::new(([10, 1, 0, 9], 43_000), ([10, 2, 0, 6], 6379), 0, 400);
    idle.handshake(capture);
    idle.exchange(capture, b"PING\r\n", 7);
    idle.wait(8_000_000);
    let probe = idle.next[CLIENT].wrapping_sub(1);
    idle.resend(capture, CLIENT, ACK, probe, b"");
    idle.round_trip();
    idle.send(capture, SERVER, ACK, b"");
    for (index, (name, qtype, flags)) in [
        ("web.cluster.local", 1, 0x8183),
        ("web.svc.local", 1, 0x8183),
        ("web", 1, 0x8180),
        ("shop.example", 65, 0x8180),
    ]
    .into_iter()
    .enumerate()
    {
        lookup(capture, index as u64 * 4_000, 50_000, 300 + index as u16, name, qtype, flags, b"");
    }
}

#[allow(clippy::too_many_arguments)]
fn lookup(capture: &mut Capture, at: u64, port: u16, id: u16, name: &str, qtype: u16, flags: u16, opt: &[u8]) {
    let client = ([10, 1, 0, 7], port);
    capture.record(at, datagram(client, RESOLVER, id, &dns(id, 0x0100, name, qtype, &[], b"")));
    let answers: &[[u8; 4]] = if flags & 15 == 0 && qtype == 1 { &[[10, 2, 0, 80]] } else { &[] };
    capture.record(at + 1_800, datagram(RESOLVER, client, id, &dns(id, flags, name, qtype, answers, opt)));
}

/// A mirror port that delivers everything twice, 5 microseconds apart.
fn mirrored_twice(capture: &mut Capture) {
    let copies: Vec<_> = capture.packets.iter().map(|(time, frame)| (time + 5, frame.clone())).collect();
    capture.packets.extend(copies);
}

/// A segment overtaken by the next two within half a millisecond.
fn reordered(capture: &mut Capture) {
    for index in 0..8 {
        let mut talk = Talk::new(([10, 1, 0, 21], 44_000 + index), ([10, 2, 0, 81], 8080), u64::from(index) * 500_000, 6_000);
        talk.handshake(capture);
        talk.wait(100);
        talk.send(capture, CLIENT, ACK, b"GET /big");
        talk.round_trip();
        let late = talk.frame(SERVER, ACK, None, &[b'a'; 1448]);
        let hole = talk.next[SERVER].wrapping_sub(1448);
        for _ in 0..2 {
            let frame = talk.frame(SERVER, ACK, None, &[b'b'; 1448]);
            capture.record(talk.now, frame);
            talk.wait(100);
            talk.sacks[CLIENT] = vec![(hole.wrapping_add(1448), talk.next[SERVER])];
            talk.received[CLIENT] = hole;
            talk.send(capture, CLIENT, ACK, b"");
        }
        capture.record(talk.now + 150, late);
        talk.wait(300);
        talk.received[CLIENT] = talk.next[SERVER];
        talk.send(capture, CLIENT, ACK, b"");
        talk.close(capture);
    }
}

/// A router says that a segment is too big, and the sender sends smaller ones at once.
fn path_mtu_discovery(capture: &mut Capture) {
    let mut talk = Talk::new(([10, 1, 0, 22], 45_000), ([10, 2, 0, 82], 9000), 300_000, 5_000);
    talk.handshake(capture);
    talk.wait(100);
    let seq = talk.send_lost(capture, CLIENT, &[b'p'; 1448]);
    let (_, frame) = capture.packets.last().cloned().expect("just recorded");
    talk.wait(2_000);
    let mut quoted = vec![3, 4, 0, 0, 0, 0];
    quoted.extend(1400u16.to_be_bytes());
    quoted.extend(&frame[14..14 + 28]);
    let ip = etherparse::Ipv4Header {
        time_to_live: 63,
        protocol: etherparse::IpNumber::ICMP,
        source: [10, 1, 0, 1],
        destination: [10, 1, 0, 22],
        ..Default::default()
    };
    let mut bytes = Vec::new();
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])
        .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
        .write(&mut bytes, etherparse::IpNumber::ICMP, &quoted)
        .expect("the packet fits");
    capture.record(talk.now, bytes);
    talk.wait(100);
    talk.resend(capture, CLIENT, ACK, seq, &[b'p'; 1348]);
    talk.resend(capture, CLIENT, ACK, seq.wrapping_add(1348), &[b'p'; 100]);
    talk.received[SERVER] = talk.next[CLIENT];
    talk.round_trip();
    talk.send(capture, SERVER, ACK, b"ok");
    talk.wait(40);
    talk.send(capture, CLIENT, ACK, b"");
    talk.close(capture);
}

/// The last segment of a request is lost; the retransmission timer repairs it, once after two tries.
fn timeouts(capture: &mut Capture) {
    for index in 0..10u16 {
        let mut talk =
            Talk::new(([10, 1, 0, 30], 46_000 + index), ([10, 2, 0, 90], 5432), u64::from(index) * 600_000, 11_000);
        talk.handshake(capture);
        talk.exchange(capture, b"select 1", 4_000);
        talk.wait(400);
        let seq = talk.send_lost(capture, CLIENT, &[b'q'; 700]);
        talk.wait(224_000);
        talk.resend(capture, CLIENT, ACK, seq, &[b'q'; 700]);
        talk.wait(448_000);
        talk.resend(capture, CLIENT, ACK, seq, &[b'q'; 700]);
        talk.received[SERVER] = talk.next[CLIENT];
        talk.round_trip();
        talk.send(capture, SERVER, ACK, b"row");
        talk.wait(50);
        talk.send(capture, CLIENT, ACK, b"");
        talk.close(capture);
    }
}

/// Uploads that lose one segment of many; three selective acknowledgements later it is sent again.
fn fast(capture: &mut Capture) {
    for index in 0..25u16 {
        let mut talk =
            Talk::new(([10, 1, 0, 31], 47_000 + index), ([10, 2, 0, 91], 9092), u64::from(index) * 300_000, 20_000);
        talk.handshake(capture);
        talk.wait(200);
        let lost = talk.send_lost(capture, CLIENT, &[b'l'; 1448]);
        let above = talk.next[CLIENT];
        for _ in 0..6 {
            talk.wait(20);
            let frame = talk.frame(CLIENT, ACK, None, &[b'm'; 1448]);
            capture.record(talk.now, frame);
        }
        talk.round_trip();
        for count in 1..=6u32 {
            talk.wait(20);
            talk.sacks[SERVER] = vec![(above, above.wrapping_add(1448 * count))];
            talk.received[SERVER] = lost;
            let frame = talk.frame(SERVER, ACK, None, b"");
            capture.record(talk.now, frame);
            if count == 3 {
                talk.wait(40);
                talk.resend(capture, CLIENT, ACK, lost, &[b'l'; 1448]);
            }
        }
        talk.round_trip();
        talk.received[SERVER] = talk.next[CLIENT];
        talk.send(capture, SERVER, ACK, b"stored");
        talk.wait(40);
        talk.send(capture, CLIENT, ACK, b"");
        talk.close(capture);
    }
}

/// A service that answers no SYN: the ladder of Linux since 6.5.
fn silent(capture: &mut Capture) {
    for index in 0..5u16 {
        let start = 1_000_000 + u64::from(index) * 350_000;
        let mut talk = Talk::new(([10, 1, 0, 40 + index as u8], 48_000 + index), ([10, 3, 0, 5], 8443), start, 10_000);
        let isn = talk.next[CLIENT];
        for gap in [0, 1, 1, 1, 1, 1, 2, 4] {
            talk.wait(gap * 1_000_000);
            talk.resend(capture, CLIENT, SYN, isn, b"");
        }
    }
    // The capture goes on long enough to know that no answer came.
    lookup(capture, 40_000_000, 50_100, 900, "web", 1, 0x8180, b"");
}

/// A restarted server knows none of its connections.
fn no_socket(capture: &mut Capture) {
    for index in 0..60u16 {
        let mut talk =
            Talk::new(([10, 1, 1, (index % 12) as u8 + 1], 49_000 + index), ([10, 4, 0, 5], 6000), u64::from(index) * 10_000, 2_000);
        talk.handshake(capture);
        talk.exchange(capture, b"hello", 3_000);
        talk.now = 20_000_000 + u64::from(index) * 30_000;
        talk.send(capture, CLIENT, ACK, &[b'r'; 900]);
        talk.round_trip();
        let seq = talk.received[CLIENT];
        let frame = talk.frame(SERVER, RST, Some(seq), b"");
        capture.record(talk.now, frame);
    }
    lookup(capture, 40_000_000, 50_101, 901, "web", 1, 0x8180, b"");
}

/// Full-size segments vanish, small ones behind them arrive; at last the sender sends smaller ones.
fn blackhole(capture: &mut Capture) {
    for index in 0..4u16 {
        let mut talk =
            Talk::new(([10, 1, 0, 50 + index as u8], 51_000 + index), ([10, 5, 0, 9], 443), u64::from(index) * 200_000, 15_000);
        talk.handshake(capture);
        talk.wait(200);
        let mut hello = client_hello("api.example");
        hello.resize(310, 0);
        let hello = record(23, &[0x41; 305]);
        talk.send(capture, CLIENT, ACK, &hello);
        talk.round_trip();
        talk.send(capture, SERVER, ACK, &record(23, &[0x42; 400]));
        talk.wait(300);
        let big = talk.send_lost(capture, CLIENT, &[b'B'; 1448]);
        let above = talk.next[CLIENT];
        let mut timeout = 240_000;
        for try_number in 0..4u32 {
            // Small segments go on, and arrive.
            talk.wait(500);
            let frame = talk.frame(CLIENT, ACK, None, &[b's'; 300]);
            capture.record(talk.now, frame);
            talk.round_trip();
            talk.sacks[SERVER] = vec![(above, talk.next[CLIENT])];
            talk.received[SERVER] = big;
            let frame = talk.frame(SERVER, ACK, None, b"");
            capture.record(talk.now, frame);
            talk.wait(timeout);
            talk.resend(capture, CLIENT, ACK, big, &[b'B'; 1448]);
            timeout *= 2;
            let _ = try_number;
        }
        talk.wait(timeout);
        for piece in 0..4u32 {
            talk.resend(capture, CLIENT, ACK, big.wrapping_add(piece * 362), &[b'B'; 362]);
        }
        talk.received[SERVER] = talk.next[CLIENT];
        talk.round_trip();
        talk.send(capture, SERVER, ACK, &record(23, &[0x43; 200]));
        talk.wait(60);
        talk.send(capture, CLIENT, ACK, b"");
        talk.close(capture);
    }
}

/// Clients that do not know the issuer of the server's certificate.
fn unknown_ca(capture: &mut Capture) {
    for index in 0..7u16 {
        let mut talk =
            Talk::new(([10, 1, 2, index as u8 + 1], 52_000 + index), ([10, 6, 0, 3], 8443), u64::from(index) * 400_000, 8_000);
        talk.handshake(capture);
        talk.wait(200);
        talk.send(capture, CLIENT, ACK, &client_hello("api.internal.example"));
        talk.round_trip();
        talk.send(capture, SERVER, ACK, &server_hello(false));
        talk.wait(400);
        talk.send(capture, CLIENT, ACK, &record(21, &[2, 48]));
        talk.wait(30);
        talk.close(capture);
    }
}

/// A resolver that cannot reach the authority of one zone.
fn servfail(capture: &mut Capture) {
    let opt = extended_error(22, "no reachable authority");
    for index in 0..14u16 {
        let at = 500_000 + u64::from(index) * 330_000;
        lookup(capture, at, 53_000 + index, 500 + index, "postgres.internal.example", 1, 0x8182, &opt);
    }
}

/// Only the server's packets of one conversation were captured.
fn one_way(capture: &mut Capture) {
    for index in 0..6u16 {
        let mut talk =
            Talk::new(([10, 1, 3, 9], 54_000 + index), ([10, 7, 0, 2], 8080), u64::from(index) * 250_000, 7_000);
        let mut whole = Capture::default();
        talk.handshake(&mut whole);
        talk.exchange(&mut whole, &[b'g'; 500], 12_000);
        talk.exchange(&mut whole, &[b'g'; 500], 12_000);
        talk.close(&mut whole);
        let from_server = |frame: &[u8]| frame[26..30] == [10, 7, 0, 2];
        capture.packets.extend(whole.packets.into_iter().filter(|(_, frame)| from_server(frame)));
    }
}

/// The client's packets after the SYN do not reach the server, which goes on repeating its SYN-ACK.
fn state(capture: &mut Capture) {
    for index in 0..8u16 {
        let mut talk =
            Talk::new(([10, 1, 4, index as u8 + 1], 55_000 + index), ([10, 8, 0, 2], 8443), u64::from(index) * 150_000, 6_000);
        talk.handshake(capture);
        let reply = talk.next[SERVER].wrapping_sub(1);
        talk.wait(300);
        let seq = talk.send_lost(capture, CLIENT, &[b'd'; 517]);
        for (wait, repeat) in [(215_000u64, true), (430_000, true), (360_000, false), (500_000, true), (1_500_000, false)] {
            talk.wait(wait);
            if repeat {
                talk.resend(capture, CLIENT, ACK, seq, &[b'd'; 517]);
            } else {
                talk.received[SERVER] = seq;
                talk.resend(capture, SERVER, SYN_ACK, reply, b"");
                talk.wait(40);
                let frame = talk.frame(CLIENT, ACK, None, b"");
                capture.record(talk.now, frame);
            }
        }
    }
    lookup(capture, 40_000_000, 50_102, 902, "web", 1, 0x8180, b"");
}
