//! Hand-made traffic for tests: conversations with explicit times, written as a pcap file.
//!
//! Hosts count their IP identifications, keep a timestamp clock and announce realistic options, so that what the analysis
//! concludes from those fields is tested, too. Nothing here is random: the same calls give the same file.

#![allow(dead_code)]

pub mod scenes;

use etherparse::{PacketBuilder, TcpOptionElement};

pub const CLIENT: usize = 0;
pub const SERVER: usize = 1;

/// Packets in the order they were recorded.
#[derive(Default)]
pub struct Capture {
    pub packets: Vec<(u64, Vec<u8>)>,
}

impl Capture {
    /// Records a frame at `micros` since the start.
    pub fn record(&mut self, micros: u64, frame: Vec<u8>) {
        self.packets.push((micros, frame));
    }

    /// Puts the packets in time order, as a capture has them.
    pub fn sort(&mut self) {
        self.packets.sort_by_key(|(time, _)| *time);
    }

    /// The file, little-endian with microseconds. Times start on 2026-02-22 10:00 UTC.
    pub fn pcap(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, 1] {
            file.extend(word.to_le_bytes());
        }
        for (micros, frame) in &self.packets {
            let (seconds, rest) = (1_771_754_400 + micros / 1_000_000, micros % 1_000_000);
            for word in [seconds as u32, rest as u32, frame.len() as u32, frame.len() as u32] {
                file.extend(word.to_le_bytes());
            }
            file.extend(frame);
        }
        file
    }
}

/// TCP flags of a segment.
#[derive(Clone, Copy, Default)]
pub struct Flags {
    pub syn: bool,
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
}

pub const SYN: Flags = Flags { syn: true, ack: false, fin: false, rst: false };
pub const SYN_ACK: Flags = Flags { syn: true, ack: true, fin: false, rst: false };
pub const ACK: Flags = Flags { syn: false, ack: true, fin: false, rst: false };
pub const FIN: Flags = Flags { syn: false, ack: true, fin: true, rst: false };
pub const RST: Flags = Flags { syn: false, ack: false, fin: false, rst: true };
pub const RST_ACK: Flags = Flags { syn: false, ack: true, fin: false, rst: true };

/// One TCP conversation between two IPv4 hosts.
pub struct Talk {
    pub hosts: [([u8; 4], u16); 2],
    /// Next sequence number of each side.
    pub next: [u32; 2],
    /// Highest sequence number each side has received in order.
    pub received: [u32; 2],
    pub window: [u16; 2],
    pub ttl: [u8; 2],
    pub ids: [u16; 2],
    /// One way between the hosts, microseconds; the capture point stands next to the client.
    pub delay: u64,
    pub now: u64,
    /// Selective acknowledgements that each side sends next.
    pub sacks: [Vec<(u32, u32)>; 2],
}

impl Talk {
    pub fn new(client: ([u8; 4], u16), server: ([u8; 4], u16), start: u64, delay: u64) -> Self {
        let isn = 1_000_000 + u32::from(client.1) * 77;
        Self {
            hosts: [client, server],
            next: [isn, isn.wrapping_mul(31)],
            received: [0, 0],
            window: [502, 509],
            ttl: [64, 57],
            ids: [client.1, client.1 ^ 0x5555],
            delay,
            now: start,
            sacks: [Vec::new(), Vec::new()],
        }
    }

    /// A segment of `side` as a frame. `seq` overrides the next sequence number and then does not move it.
    pub fn frame(&mut self, side: usize, flags: Flags, seq: Option<u32>, payload: &[u8]) -> Vec<u8> {
        let other = 1 - side;
        let [(source, source_port), (destination, destination_port)] = [self.hosts[side], self.hosts[other]];
        let mac = |side: usize| [2, 0, 0, 0, 0, side as u8 + 1];
        let number = seq.unwrap_or(self.next[side]);
        if seq.is_none() {
            let length = payload.len() as u32 + u32::from(flags.syn) + u32::from(flags.fin);
            self.next[side] = self.next[side].wrapping_add(length);
        }
        // A host answers a SYN without a socket, and resets, with identification 0.
        let id = if flags.rst || (flags.syn && flags.ack) { 0 } else { self.ids[side] };
        self.ids[side] = self.ids[side].wrapping_add(1);
        let stamp = (self.now / 1_000) as u32 + [7_000_000, 90_000_000][side];
        let echo = (self.now.saturating_sub(self.delay) / 1_000) as u32 + [7_000_000, 90_000_000][other];
        let mut options = Vec::new();
        if flags.syn {
            options.push(TcpOptionElement::MaximumSegmentSize(1460));
            options.push(TcpOptionElement::SelectiveAcknowledgementPermitted);
        }
        if !flags.rst {
            options.push(TcpOptionElement::Timestamp(stamp, if flags.syn && !flags.ack { 0 } else { echo }));
        }
        if flags.syn {
            options.push(TcpOptionElement::Noop);
            options.push(TcpOptionElement::WindowScale(7));
        }
        let sacks = std::mem::take(&mut self.sacks[side]);
        if let Some((first, rest)) = sacks.split_first() {
            let mut more = [None; 3];
            for (slot, block) in more.iter_mut().zip(rest) {
                *slot = Some(*block);
            }
            options.push(TcpOptionElement::SelectiveAcknowledgement(*first, more));
        }
        let window = match (flags.rst, flags.syn) {
            (true, _) => 0,
            (_, true) => 64_240,
            _ => self.window[side],
        };
        let mut ip = etherparse::Ipv4Header {
            time_to_live: self.ttl[side],
            protocol: etherparse::IpNumber::TCP,
            source,
            destination,
            identification: id,
            dont_fragment: true,
            ..Default::default()
        };
        ip.header_checksum = 0;
        let mut builder = PacketBuilder::ethernet2(mac(side), mac(other))
            .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
            .tcp(source_port, destination_port, number, window);
        if flags.syn {
            builder = builder.syn();
        }
        if flags.fin {
            builder = builder.fin();
        }
        if flags.rst {
            builder = builder.rst();
        }
        if flags.ack {
            builder = builder.ack(self.received[side]);
        }
        if !payload.is_empty() {
            builder = builder.psh();
        }
        let builder = builder.options(&options).expect("the options fit");
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).expect("the packet fits");
        // Ethernet pads short frames to 60 bytes.
        bytes.resize(bytes.len().max(60), 0);
        bytes
    }

    /// Sends a segment that arrives: recorded now, acknowledged by what the other side sends next.
    pub fn send(&mut self, capture: &mut Capture, side: usize, flags: Flags, payload: &[u8]) {
        let frame = self.frame(side, flags, None, payload);
        capture.record(self.now, frame);
        self.received[1 - side] = self.next[side];
    }

    /// Sends a segment that is recorded and then lost. Returns its sequence number.
    pub fn send_lost(&mut self, capture: &mut Capture, side: usize, payload: &[u8]) -> u32 {
        let seq = self.next[side];
        let frame = self.frame(side, ACK, None, payload);
        capture.record(self.now, frame);
        seq
    }

    /// Sends bytes again from `seq`.
    pub fn resend(&mut self, capture: &mut Capture, side: usize, flags: Flags, seq: u32, payload: &[u8]) {
        let frame = self.frame(side, flags, Some(seq), payload);
        capture.record(self.now, frame);
    }

    pub fn wait(&mut self, micros: u64) {
        self.now += micros;
    }

    /// One round trip passes.
    pub fn round_trip(&mut self) {
        self.now += 2 * self.delay;
    }

    pub fn handshake(&mut self, capture: &mut Capture) {
        self.send(capture, CLIENT, SYN, b"");
        self.round_trip();
        self.send(capture, SERVER, SYN_ACK, b"");
        self.wait(60);
        self.send(capture, CLIENT, ACK, b"");
    }

    /// A request and a response of `length` bytes in full segments, acknowledged at once.
    pub fn exchange(&mut self, capture: &mut Capture, request: &[u8], length: usize) {
        self.wait(150);
        self.send(capture, CLIENT, ACK, request);
        self.round_trip();
        self.send(capture, SERVER, ACK, b"");
        self.wait(3_000);
        let mut left = length;
        while left > 0 {
            let size = left.min(1448);
            self.send(capture, SERVER, ACK, &vec![b'x'; size]);
            self.wait(20);
            self.send(capture, CLIENT, ACK, b"");
            self.wait(30);
            left -= size;
        }
    }

    pub fn close(&mut self, capture: &mut Capture) {
        self.wait(500);
        self.send(capture, CLIENT, FIN, b"");
        self.round_trip();
        self.send(capture, SERVER, FIN, b"");
        self.wait(60);
        self.send(capture, CLIENT, ACK, b"");
    }
}

/// A UDP datagram as a frame.
pub fn datagram(source: ([u8; 4], u16), destination: ([u8; 4], u16), id: u16, payload: &[u8]) -> Vec<u8> {
    let ip = etherparse::Ipv4Header {
        time_to_live: 64,
        protocol: etherparse::IpNumber::UDP,
        source: source.0,
        destination: destination.0,
        identification: id,
        ..Default::default()
    };
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
        .udp(source.1, destination.1)
        .write(&mut bytes, payload)
        .expect("the packet fits");
    bytes.resize(bytes.len().max(60), 0);
    bytes
}

/// A DNS message with one question, and what is appended as additional records.
pub fn dns(id: u16, flags: u16, name: &str, qtype: u16, answers: &[[u8; 4]], opt: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [id, flags, 1, answers.len() as u16, 0, u16::from(!opt.is_empty())] {
        bytes.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(qtype.to_be_bytes());
    bytes.extend(1u16.to_be_bytes());
    for address in answers {
        bytes.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04");
        bytes.extend(address);
    }
    bytes.extend(opt);
    bytes
}

/// An OPT record with one extended error.
pub fn extended_error(code: u16, text: &str) -> Vec<u8> {
    let mut option = code.to_be_bytes().to_vec();
    option.extend(text.as_bytes());
    let mut bytes = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00".to_vec();
    bytes.extend((option.len() as u16 + 4).to_be_bytes());
    bytes.extend(b"\x00\x0f");
    bytes.extend((option.len() as u16).to_be_bytes());
    bytes.extend(option);
    bytes
}

/// A TLS record.
pub fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 3, 3];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(&(body.len() as u32).to_be_bytes()[1..]);
    bytes.extend(body);
    bytes
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A ClientHello record for `name`, offering TLS 1.2 and 1.3.
pub fn client_hello(name: &str) -> Vec<u8> {
    let mut sni = ((name.len() + 3) as u16).to_be_bytes().to_vec();
    sni.push(0);
    sni.extend((name.len() as u16).to_be_bytes());
    sni.extend(name.as_bytes());
    let extensions =
        [extension(0, &sni), extension(16, b"\x00\x0c\x02h2\x08http/1.1"), extension(43, b"\x04\x03\x04\x03\x03")].concat();
    let mut body = vec![3, 3];
    body.extend([0x42; 32]);
    body.extend(b"\x00\x00\x04\x13\x01\xc0\x2f\x01\x00");
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    record(22, &message(1, &body))
}

/// A ServerHello record, TLS 1.2 or 1.3.
pub fn server_hello(tls13: bool) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([0x24; 32]);
    if tls13 {
        body.extend(b"\x00\x13\x01\x00\x00\x06\x00\x2b\x00\x02\x03\x04");
    } else {
        body.extend(b"\x00\xc0\x2f\x00");
    }
    record(22, &message(2, &body))
}
