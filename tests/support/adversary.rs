//! Traffic made to cost time: what a flow remembers is as much, and as scattered, as it can be.

use std::net::{IpAddr, Ipv4Addr};

use super::capture::Capture;
use super::dns;
use super::frame::{Ip, ethernet};
use super::tcp::{ACK, CLIENT, SERVER, Talk};

/// A name, and a capture of so many packets.
pub type Adversary = (&'static str, fn(u32) -> Capture);

/// One for every list that a flow or a datagram keeps.
pub const ALL: &[Adversary] = &[
    ("one-byte segments out of order", out_of_order),
    ("holes that are filled from the highest", backwards),
    ("selective acknowledgements of every second segment", sacks),
    ("segments that overlap hundreds", overlaps),
    ("lookups that nobody answers", lookups),
    ("a TLS message in records of one byte", tls_records),
    ("datagrams in a thousand fragments", fragments),
    ("ICMP errors about one connection", quotes),
];

fn host(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 9, 0, number).into()
}

fn open(capture: &mut Capture) -> Talk {
    let mut talk = Talk::new((host(1), 40_000), (host(2), 443), 0, [30, 900]);
    talk.handshake(capture);
    talk
}

/// Records a segment of the client `offset` bytes behind its next one.
fn piece(talk: &mut Talk, capture: &mut Capture, offset: u32, payload: &[u8]) {
    talk.wait(3);
    let mut segment = talk.segment(CLIENT, ACK, payload);
    segment.seq = segment.seq.wrapping_add(offset);
    talk.record(capture, &segment);
}

fn out_of_order(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    let places = (2 * packets).next_power_of_two();
    let bits = places.trailing_zeros();
    piece(&mut talk, &mut capture, 2 * places, b"z");
    for index in 0..packets {
        // Far from all the ones before.
        let place = index.reverse_bits() >> (32 - bits);
        piece(&mut talk, &mut capture, 2 * place, b"x");
    }
    capture
}

fn backwards(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    for index in 0..packets / 2 {
        piece(&mut talk, &mut capture, 2 * index + 1, b"x");
    }
    for index in (0..packets / 2).rev() {
        piece(&mut talk, &mut capture, 2 * index, b"x");
    }
    capture
}

fn sacks(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    let start = talk.ends[CLIENT].next;
    for index in 0..packets / 2 {
        piece(&mut talk, &mut capture, 2 * index, b"xx");
        talk.wait(3);
        let at = start.wrapping_add(2 * (index - index % 2));
        talk.ack(&mut capture, SERVER, &[(at, at.wrapping_add(2))]);
    }
    capture
}

fn overlaps(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    for index in 0..packets / 2 {
        piece(&mut talk, &mut capture, index, b"x");
    }
    for index in 0..packets / 2 {
        piece(&mut talk, &mut capture, (index * 997) % (packets / 2), &[b'y'; 200]);
    }
    capture
}

fn datagram(payload: &[u8]) -> Vec<u8> {
    let ip = Ip { source: host(1), destination: host(3), ttl: 64, id: 7 };
    ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 3], None, &ip.udp(50_000, 53, payload))
}

fn lookups(packets: u32) -> Capture {
    let mut capture = Capture::default();
    for index in 0..packets {
        let name = format!("{index:08}.shop.example");
        capture.record(u64::from(index) * 3, datagram(&dns::query(index as u16, &name, dns::A)));
    }
    capture
}

fn tls_records(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    // A ClientHello of 128 KiB, and again.
    talk.send(&mut capture, CLIENT, ACK, &[22, 3, 1, 0, 6, 1, 1, 0xff, 0xff, 0, 0]);
    for _ in 0..packets {
        talk.wait(3);
        talk.send(&mut capture, CLIENT, ACK, &[22, 3, 1, 0, 1, 0]);
    }
    capture
}

fn fragments(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let whole = Ip { source: host(1), destination: host(3), ttl: 64, id: 7 }.udp(50_000, 53, &[0; 8]);
    for index in 0..packets {
        let mut packet = whole[..28].to_vec();
        let (datagram, piece) = ((index / 1_000) as u16, index % 1_000);
        packet[2..4].copy_from_slice(&28u16.to_be_bytes());
        packet[4..6].copy_from_slice(&datagram.to_be_bytes());
        packet[6..8].copy_from_slice(&(0x2000 | (piece * 8 + 1) as u16).to_be_bytes());
        capture.record(u64::from(index) * 3, ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 3], None, &packet));
    }
    capture
}

fn quotes(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    let sent = talk.send(&mut capture, CLIENT, ACK, b"hello");
    let quoted = talk.packet(&sent);
    for index in 0..packets {
        let ip = Ip { source: host(9), destination: host(1), ttl: 60, id: index as u16 };
        let packet = ip.icmp_error(3, 1, 0, &quoted);
        let frame = ethernet([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 1], None, &packet);
        capture.record(1_000_000 + u64::from(index) * 3, frame);
    }
    capture
}
