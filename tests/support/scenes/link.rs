//! What hosts and routers say below the connections: ICMP, ARP, fragments.

use super::super::filler;
use super::super::frame::{arp, routed};
use super::super::tcp::{SYN, Segment};
use super::*;

const ALLOWS: &[&str] = &["missing_syn_ack", "retransmission"];

pub(super) const SCENES: &[Scene] = &[
    scene(
        "icmp_unreachable_host",
        "A router does not reach a host and says so three seconds after the first SYN.",
        171,
        20,
        |lab| unreachable(lab, 3, (5, 443), (3, 1), 400),
        &[warning("icmp_unreachable", "host").at(5, 443)],
    )
    .allowing(ALLOWS),
    scene(
        "icmp_unreachable_prohibited",
        "A device answers every SYN to a port with \"administratively prohibited\".",
        172,
        20,
        |lab| (0..4).for_each(|number| rejected(lab, 7, (5, 8443), 400 + number * 900)),
        &[warning("icmp_unreachable", "admin_prohibited").at(5, 8443)],
    )
    .allowing(ALLOWS),
    scene(
        "routing_loop",
        "Two routers send a network to each other: every SYN comes by dozens of times.",
        173,
        20,
        |lab| (0..4).for_each(|number| loops(lab, 7 + number, (5, 443), 400 + u64::from(number) * 700)),
        &[warning("routing_loop", "persistent").at(5, 443)],
    )
    .allowing(ALLOWS),
    scene(
        "pmtud",
        "A router with an MTU of 1400 says so, and the senders send smaller pieces.",
        174,
        20,
        |lab| (0..3).for_each(|number| mtu_told(lab, (5, 8080), 400 + number * 800, 1_400)),
        &[info("pmtud", "").at(5, 8080)],
    ),
    scene(
        "echo_loss",
        "A fifth of the pings to a host is lost; another host never answers any.",
        175,
        60,
        |lab| {
            pings(lab, 5, 40, 500, |number| number % 5 != 2);
            pings(lab, 6, 10, 700, |_| false);
        },
        &[warning("echo_loss", "loss").at(5, 0)],
    ),
    scene(
        "arp_unanswered",
        "A router asks for a server that is not there, and connections to it get no answer.",
        176,
        20,
        nobody_there,
        &[warning("arp_unanswered", "host").at(66, 0)],
    )
    .allowing(&["missing_syn_ack", "icmp_unreachable"]),
    scene(
        "duplicate_ip",
        "Two hosts answer every ARP request for one address.",
        177,
        20,
        two_owners,
        &[warning("duplicate_ip", "")],
    ),
    scene(
        "fragment_loss",
        "Every third fragmented datagram lacks its middle; the others are whole.",
        178,
        20,
        |lab| (0..30).for_each(|id| fragments(lab, id, if id % 3 == 1 { &[0, 2] } else { &[0, 1, 2] })),
        &[warning("fragment_loss", "incomplete").at(5, 0)],
    ),
];

/// Attempts of so many clients, each with two repeats; three seconds later comes an ICMP error for each SYN.
pub fn unreachable(lab: &mut Lab, clients: u8, server: (u8, u16), error: (u8, u8), at: u64) {
    for client in 0..clients {
        let mut talk = lab.talk(7 + client, server, at + u64::from(client) * 40, [30, 2_000]);
        let syns: Vec<Segment> = (0..3)
            .map(|_| {
                let syn = talk.segment(CLIENT, SYN, b"");
                talk.record(&mut lab.capture, &syn);
                talk.wait(1_010_000);
                syn
            })
            .collect();
        talk.wait(90_000);
        let router = lab.router();
        for syn in &syns {
            talk.icmp_error(&mut lab.capture, router, (error.0, error.1, 0), syn);
            talk.wait(12);
        }
    }
}

/// An attempt that a device rejects at once.
pub fn rejected(lab: &mut Lab, client: u8, server: (u8, u16), at: u64) {
    let mut talk = lab.talk(client, server, at, [30, 2_000]);
    let syn = talk.segment(CLIENT, SYN, b"");
    talk.record(&mut lab.capture, &syn);
    talk.wait(1_800);
    let router = lab.router();
    talk.icmp_error(&mut lab.capture, router, (3, 13, 0), &syn);
}

/// A frame passes a link between two routers so many times there and back.
pub fn looping(lab: &mut Lab, micros: u64, frame: &[u8], laps: u8) {
    let there = <[u8; 6]>::try_from(&frame[..6]).expect("an address");
    let back = <[u8; 6]>::try_from(&frame[6..12]).expect("an address");
    let mut frame = frame.to_vec();
    for hop in 0..2 * u64::from(laps) {
        lab.capture.record(micros + hop * 1_100, frame.clone());
        let (source, destination) = if hop % 2 == 0 { (there, back) } else { (back, there) };
        frame = routed(&frame, source, destination);
    }
}

/// A SYN that goes round until its time to live ends.
fn loops(lab: &mut Lab, client: u8, server: (u8, u16), at: u64) {
    let mut talk = lab.talk(client, server, at, [30, 2_000]);
    let syn = talk.segment(CLIENT, SYN, b"");
    looping(lab, talk.now, &talk.frame(&syn), 31);
    talk.wait(70_000);
    let router = lab.router();
    talk.icmp_error(&mut lab.capture, router, (11, 0, 0), &syn);
}

/// A full segment that a router finds too big; its bytes arrive in two pieces.
pub fn mtu_told(lab: &mut Lab, server: (u8, u16), at: u64, mtu: u32) {
    let mut talk = lab.talk(7, server, at, [30, 9_000]);
    talk.handshake(&mut lab.capture);
    talk.exchange(&mut lab.capture, &filler(3, 260), 180);
    let big = talk.send_lost(&mut lab.capture, CLIENT, &filler(77, 1448));
    talk.wait(1_900);
    let router = lab.router();
    talk.icmp_error(&mut lab.capture, router, (3, 4, mtu), &big);
    talk.wait(60);
    for (piece, offset) in big.payload.chunks(1_348).zip((0..).step_by(1_348)) {
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

/// Pings of client 7 to a server, one every `every` milliseconds; `answered` says which get an answer.
pub fn pings(lab: &mut Lab, server: u8, count: u16, every: u64, answered: impl Fn(u16) -> bool) {
    for number in 0..count {
        let at = 300_000 + u64::from(number) * every * 1_000;
        ping(lab, at, (7, server), (u16::from(server), number), 56, answered(number));
    }
}

/// A ping of so many bytes by identifier and sequence number, and its answer after some milliseconds.
pub fn ping(lab: &mut Lab, at: u64, hosts: (u8, u8), echo: (u16, u16), size: usize, answered: bool) {
    let (client, server) = (lab.client(hosts.0), lab.server(hosts.1));
    let macs = [[2, 0, 10, lab.net, 1, hosts.0], [2, 0x5e, 0, 10, lab.net, 1]];
    let rest = u32::from(echo.0) << 16 | u32::from(echo.1);
    let message = |source, destination, kind: u8, ttl| {
        let ip = Ip { source, destination, ttl, id: echo.1.wrapping_mul(7).wrapping_add(1) };
        let headers = ip.headers(etherparse::IpNumber::ICMP);
        let builder = etherparse::PacketBuilder::ip(headers).icmpv4_raw(kind, 0, rest.to_be_bytes());
        let mut bytes = Vec::new();
        builder.write(&mut bytes, &vec![0x61; size]).expect("the message fits");
        bytes
    };
    lab.capture.record(at, ethernet(macs[0], macs[1], None, &message(client, server, 8, 64)));
    if answered {
        let answer = message(server, client, 0, 58);
        lab.capture.record(at + 4_200, ethernet(macs[1], macs[0], None, &answer));
    }
}

/// The link and IP address of a host on the clients' network.
fn host(lab: &Lab, number: u8) -> ([u8; 6], [u8; 4]) {
    ([2, 0, 10, lab.net, 1, number], [10, lab.net, 1, number])
}

/// Client `asker` asks for the link address of client `wanted`.
pub fn asks(lab: &mut Lab, at: u64, asker: u8, wanted: u8) {
    let frame = arp(false, host(lab, asker), host(lab, wanted));
    lab.capture.record(at, frame);
}

/// The same, with a reply.
pub fn replies(lab: &mut Lab, at: u64, asker: u8, wanted: u8) {
    asks(lab, at, asker, wanted);
    let frame = arp(true, host(lab, wanted), host(lab, asker));
    lab.capture.record(at + 240, frame);
}

/// On the link of a server that is not there: SYNs come in at the router's other side, requests go out.
fn nobody_there(lab: &mut Lab) {
    let router = ([2, 0x5e, 0, 10, lab.net, 1], [10, lab.net, 2, 1]);
    let wanted = ([0; 6], [10, lab.net, 2, 66]);
    let other = ([2, 0, 10, lab.net, 2, 67], [10, lab.net, 2, 67]);
    lab.capture.record(300_000, arp(false, router, other));
    lab.capture.record(300_200, arp(true, other, router));
    for number in 0..6 {
        lab.capture.record(500_000 + number * 1_024_000, arp(false, router, wanted));
    }
    unreachable(lab, 2, (66, 443), (3, 1), 498);
}

/// Two hosts answer for one address.
fn two_owners(lab: &mut Lab) {
    let (asker, wanted) = (host(lab, 7), host(lab, 90));
    for number in 0..6u64 {
        let at = 400_000 + number * 2_300_000;
        lab.capture.record(at, arp(false, asker, wanted));
        for (later, link) in [(180, wanted.0), (410, [2, 0, 10, lab.net, 1, 91])] {
            lab.capture.record(at + later, arp(true, (link, wanted.1), asker));
        }
    }
}

/// Some of the three fragments of datagram number `id` from server 5 to client 7, one datagram every 200 ms.
pub fn fragments(lab: &mut Lab, id: u16, parts: &[u8]) {
    for (number, part) in (0u64..).zip(parts) {
        let ip = Ip { source: lab.server(5), destination: lab.client(7), ttl: 60, id: 1_000 + id };
        let etherparse::IpHeaders::Ipv4(mut header, _) = ip.headers(etherparse::IpNumber::UDP) else {
            return;
        };
        let length = if *part == 2 { 504 } else { 1_480 };
        header.dont_fragment = false;
        header.more_fragments = *part != 2;
        header.fragment_offset =
            etherparse::IpFragOffset::try_new(u16::from(*part) * 185).expect("an offset");
        header.set_payload_len(length).expect("a length");
        let mut packet = Vec::new();
        header.write(&mut packet).expect("a header");
        let mut payload = filler(u32::from(id) * 3 + u32::from(*part), length);
        if *part == 0 {
            // Ports, length of the whole datagram, no checksum.
            payload.splice(..8, [0, 88, 0x9c, 0x40, 0x0d, 0x88, 0, 0]);
        }
        packet.extend(payload);
        let macs = [[2, 0x5e, 0, 10, lab.net, 1], [2, 0, 10, lab.net, 1, 7]];
        let at = 300_000 + u64::from(id) * 200_000 + number * 40;
        lab.capture.record(at, ethernet(macs[0], macs[1], None, &packet));
    }
}
