//! Traffic made to cost time: what a flow remembers is as much, and as scattered, as it can be.

use std::net::{IpAddr, Ipv4Addr};

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::capture::Capture;
use super::frame::{Ip, arp, ethernet};
use super::quic::{Quic, crypto};
use super::tcp::{ACK, CLIENT, RST, SERVER, SYN, Talk};
use super::{dns, filler, http2, tls};

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
    ("HTTP requests that nobody answers", requests),
    ("HTTP chunks of one byte", chunks),
    ("an HTTP head without end", endless_head),
    ("ARP claims of one address by everybody", claims),
    ("SYNs to every port of a host", ports),
    ("connections that every host refuses", refusals),
    ("names that every resolver fails", failures),
    ("echo requests that nobody answers", echoes),
    ("names of pointers to pointers", pointers),
    ("HTTP/2 requests that nobody answers", streams),
    ("HTTP/2 fields of a whole table by two octets", table),
    ("HTTP/2 values of a whole table by one octet", values),
    ("HTTP/2 strings of one coded octet", coded_strings),
    ("HTTP/2 CONTINUATION frames without end", continuations),
    ("compressed certificates of 128 KiB", certificates),
    ("QUIC connections of one pair of ports", connections),
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

fn requests(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    for index in 0..packets {
        talk.wait(3);
        let head = format!("GET /{index} HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        talk.send(&mut capture, CLIENT, ACK, head.as_bytes());
    }
    capture
}

fn chunks(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    talk.send(&mut capture, CLIENT, ACK, b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    talk.turn(CLIENT);
    talk.send(&mut capture, SERVER, ACK, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..packets {
        talk.wait(3);
        talk.send(&mut capture, SERVER, ACK, b"1\r\nx\r\n");
    }
    capture
}

fn endless_head(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    talk.send(&mut capture, CLIENT, ACK, b"GET / HTTP/1.1\r\nhost: shop.example\r\n");
    for index in 0..packets {
        talk.wait(3);
        talk.send(&mut capture, CLIENT, ACK, if index % 8 == 7 { b"a: b\r\n" } else { b"a: b" });
    }
    capture
}

/// Another address for every number.
fn address(network: u32, number: u32) -> [u8; 4] {
    ((10 << 24) + (network << 20) + number).to_be_bytes()
}

fn claims(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let asks = ([2, 0, 0, 0, 0, 1], address(9, 1));
    for index in 0..packets {
        let [_, b, c, d] = index.to_be_bytes();
        // One address has as many owners as there are others with one owner.
        let claimed = if index % 2 == 0 { address(9, 2) } else { address(8, index) };
        capture.record(u64::from(index) * 3, arp(true, ([2, 0, 1, b, c, d], claimed), asks));
    }
    capture
}

fn ports(packets: u32) -> Capture {
    let mut capture = Capture::default();
    for index in 0..packets {
        let client = (host(1), 30_000 + (index >> 16) as u16);
        let mut talk = Talk::new(client, (host(2), index as u16), u64::from(index) * 3, [30, 900]);
        talk.send(&mut capture, CLIENT, SYN, b"");
    }
    capture
}

fn refusals(packets: u32) -> Capture {
    let mut capture = Capture::default();
    for index in 0..packets / 2 {
        // Four clients of two services each.
        let (server, port) = (address(8, index / 8), [80, 443][index as usize / 4 % 2]);
        let client = (address(9, index % 4).into(), 40_000 + (index / 4 % 20_000) as u16);
        let mut talk = Talk::new(client, (server.into(), port), u64::from(index) * 20, [3, 9]);
        talk.send(&mut capture, CLIENT, SYN, b"");
        talk.turn(CLIENT);
        talk.send(&mut capture, SERVER, RST | ACK, b"");
    }
    capture.sort();
    capture
}

fn failures(packets: u32) -> Capture {
    let mut capture = Capture::default();
    for index in 0..packets / 2 {
        let (client, resolver) = (IpAddr::from(address(9, index % 64)), address(8, index / 16).into());
        let name = format!("www{}.shop{}.example", index % 4, index / 4);
        let at = u64::from(index) * 20;
        let mut record = |micros: u64, from: (IpAddr, u16), to: (IpAddr, u16), message: &[u8]| {
            let ip = Ip { source: from.0, destination: to.0, ttl: 64, id: index as u16 };
            let packet = ip.udp(from.1, to.1, message);
            capture.record(micros, ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 3], None, &packet));
        };
        let (id, ends) = (index as u16, [(client, 50_000 + (index / 64) as u16), (resolver, 53)]);
        record(at, ends[0], ends[1], &dns::query(id, &name, dns::A));
        record(at + 9, ends[1], ends[0], &dns::response(id, &name, dns::A, dns::SERVFAIL, &[]));
    }
    capture
}

fn echoes(packets: u32) -> Capture {
    let mut capture = Capture::default();
    for index in 0..packets {
        let (asked, sequence) = (address(8, index % 1_000).into(), index / 1_000);
        let ip = Ip { source: host(1), destination: asked, ttl: 64, id: index as u16 };
        let packet = ip.icmp_error(8, 0, sequence, b"ping");
        let frame = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 3], None, &packet);
        capture.record(u64::from(index) * 3, frame);
    }
    capture
}

fn pointers(packets: u32) -> Capture {
    /// Pointers, each to the one before, and records whose names begin with the last.
    const CHAIN: u16 = 500;
    const RECORDS: u16 = 20;
    let mut message = [0, 7, 1, 0, 0, 1, 0, RECORDS as u8 + 1, 0, 0, 0, 0].to_vec();
    message.extend([1, b'a', 0, 0, 1, 0, 1]);
    // They are the data of a record that is passed over.
    message.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0]);
    message.extend((2 * CHAIN).to_be_bytes());
    let begin = message.len() as u16;
    message.extend([0xc0, 12]);
    (1..CHAIN).for_each(|place| message.extend((0xc000 | (begin + 2 * place - 2)).to_be_bytes()));
    for _ in 0..RECORDS {
        message.extend((0xc000 | (begin + 2 * CHAIN - 2)).to_be_bytes());
        message.extend([0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    let mut capture = Capture::default();
    for index in 0..packets {
        message[..2].copy_from_slice(&(index as u16).to_be_bytes());
        capture.record(u64::from(index) * 3, datagram(&message));
    }
    capture
}

fn speaks_http2(capture: &mut Capture) -> Talk {
    let mut talk = open(capture);
    talk.send(capture, CLIENT, ACK, &http2::client_begin());
    talk.turn(CLIENT);
    talk.send(capture, SERVER, ACK, &http2::settings());
    talk.turn(SERVER);
    talk
}

fn streams(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = speaks_http2(&mut capture);
    for index in 0..packets {
        talk.wait(3);
        let path = format!("/{index}");
        let fields = [(":method", "GET"), (":path", &path[..]), (":authority", "shop.example")];
        talk.send(&mut capture, CLIENT, ACK, &http2::headers(2 * index + 1, true, &fields));
    }
    capture
}

/// A string that is not coded.
fn long_string(octet: u8, length: usize) -> Vec<u8> {
    let over = length - 127;
    let digits = [0x7f, over as u8 | 0x80, (over >> 7) as u8 | 0x80, (over >> 14) as u8];
    [&digits[..], &vec![octet; length]].concat()
}

/// A table of 64 KiB and a field that goes into it, and then packets of whole frames with this section.
fn tables(packets: u32, field: &[u8], section: &[u8], frames: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = speaks_http2(&mut capture);
    let begin = [&[0x3f, 0xe1, 0xff, 3, 0x40][..], field].concat();
    talk.stream(&mut capture, CLIENT, &http2::frame(1, 5, 1, &begin));
    for index in 0..packets {
        talk.wait(3);
        let frame = |stream| http2::frame(1, 5, 2 * (index * frames + stream) + 3, section);
        talk.send(&mut capture, CLIENT, ACK, &(0..frames).flat_map(frame).collect::<Vec<u8>>());
    }
    capture
}

/// The name again, with another value: it takes the place of the one before.
fn table(packets: u32) -> Capture {
    tables(packets, &[long_string(b'n', 60_000), vec![0]].concat(), &[0x7e, 0].repeat(40), 1)
}

fn values(packets: u32) -> Capture {
    tables(packets, &[b"\x05:path".to_vec(), long_string(b' ', 60_000)].concat(), &[0xbe], 8)
}

/// Names and values of an octet each, in Huffman's code.
fn coded_strings(packets: u32) -> Capture {
    tables(packets, &[0, 0], &[0, 0x81, 0x1f, 0x81, 0x1f].repeat(40), 1)
}

fn continuations(packets: u32) -> Capture {
    let mut capture = Capture::default();
    let mut talk = speaks_http2(&mut capture);
    talk.send(&mut capture, CLIENT, ACK, &http2::frame(1, 1, 1, &[0x82]));
    for _ in 0..packets {
        talk.wait(3);
        talk.send(&mut capture, CLIENT, ACK, &http2::frame(9, 0, 1, &[0x84; 20]));
    }
    capture
}

fn certificates(packets: u32) -> Capture {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&[0; 128 << 10]).expect("memory");
    let packed = zlib.finish().expect("memory");
    let three = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
    let body = [&[0, 1][..], &three(128 << 10), &three(packed.len()), &packed].concat();
    let record = tls::record(tls::HANDSHAKE, &[&[25][..], &three(body.len()), &body].concat());
    let mut capture = Capture::default();
    let mut talk = open(&mut capture);
    talk.send(&mut capture, CLIENT, ACK, &tls::client_hello("www.shop.example", true, 7));
    talk.turn(CLIENT);
    talk.send(&mut capture, SERVER, ACK, &tls::server_hello(true, 7));
    for _ in 0..packets {
        talk.wait(3);
        talk.send(&mut capture, SERVER, ACK, &record);
    }
    capture
}

fn connections(packets: u32) -> Capture {
    let ends = [(host(1), 50_000), (host(3), 443)];
    let datagrams: Vec<Vec<u8>> = (0..300)
        .map(|seed| {
            let mut quic = Quic::between(ends[0], ends[1], 0);
            quic.original = filler(seed, 8);
            quic.ids[SERVER] = quic.original.clone();
            let frames = crypto(0, &quic.hello("www.shop.example"));
            quic.initial(CLIENT, &frames, 1200)
        })
        .collect();
    let mut capture = Capture::default();
    for (index, datagram) in (0..packets).zip(datagrams.iter().cycle()) {
        let ip = Ip { source: host(1), destination: host(3), ttl: 64, id: index as u16 };
        let packet = ip.udp(50_000, 443, datagram);
        let frame = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 3], None, &packet);
        capture.record(u64::from(index) * 3, frame);
    }
    capture
}
