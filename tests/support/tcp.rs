//! A TCP conversation as a capture point between its hosts sees it.

use std::net::IpAddr;

use etherparse::{TcpHeader, TcpOptionElement, TcpOptions};

use super::capture::Capture;
use super::filler;
use super::frame::{Ip, Mac, ethernet};

/// Side of the conversation.
pub const CLIENT: usize = 0;
/// Side of the conversation.
pub const SERVER: usize = 1;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

/// One end of a conversation.
#[derive(Clone, Debug)]
pub struct End {
    pub address: IpAddr,
    pub port: u16,
    pub mac: Mac,
    /// Time to live as it arrives at the capture point.
    pub ttl: u8,
    /// Next IP identification.
    pub id: u16,
    /// Next sequence number to send.
    pub next: u32,
    /// Next sequence number expected: what its ACKs say.
    pub expects: u32,
    /// Window announced, as in the header.
    pub window: u16,
    pub window_scale: u8,
    pub mss: u16,
    /// Its timestamp clock at the start of the capture, milliseconds.
    pub clock: u32,
    /// The peer's timestamp it echoes.
    pub echo: u32,
    /// From it to the capture point, microseconds.
    pub delay: u64,
}

/// A segment before it is put on the wire: every field can still be changed.
#[derive(Clone, Debug)]
pub struct Segment {
    pub side: usize,
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub ttl: u8,
    pub id: u16,
    pub stamps: Option<(u32, u32)>,
    pub sacks: Vec<(u32, u32)>,
    pub payload: Vec<u8>,
    pub mac: Mac,
    /// With a TCP-MD5 option (RFC 2385).
    pub signed: bool,
}

/// A conversation. `now` is the time at the capture point, in microseconds.
#[derive(Clone, Debug)]
pub struct Talk {
    pub ends: [End; 2],
    pub now: u64,
    pub vlan: Option<u16>,
    /// Sends segments of up to this many times the MSS, as captured before segmentation offload.
    pub offload: usize,
}

impl Talk {
    /// A conversation from `now` on; `delays`: microseconds from client and server to the capture point.
    pub fn new(client: (IpAddr, u16), server: (IpAddr, u16), now: u64, delays: [u64; 2]) -> Self {
        let seed = u32::from(client.1).wrapping_mul(2_654_435_761) ^ u32::from(server.1) << 7;
        let mss = if client.0.is_ipv4() { 1460 } else { 1440 };
        let end = |(address, port): (IpAddr, u16), side: usize, ttl| End {
            address,
            port,
            mac: mac(address, side),
            ttl,
            id: (seed >> (8 + side)) as u16,
            next: seed.rotate_left(9 + 5 * side as u32),
            expects: 0,
            window: [502, 509][side],
            window_scale: 7,
            mss,
            clock: (seed >> 2).wrapping_mul(1 + side as u32),
            echo: 0,
            delay: delays[side],
        };
        Self { ends: [end(client, CLIENT, 64), end(server, SERVER, 58)], now, vlan: None, offload: 1 }
    }

    pub fn wait(&mut self, micros: u64) -> &mut Self {
        self.now += micros;
        self
    }

    /// The time between a packet of `side` at the capture point and what the other side makes of it there.
    pub fn turn(&mut self, side: usize) -> &mut Self {
        self.now += 2 * self.ends[1 - side].delay + 45;
        self
    }

    /// Both turns: client to server and back to the client, as the sender sees it.
    pub fn rtt(&self) -> u64 {
        2 * (self.ends[0].delay + self.ends[1].delay)
    }

    /// The largest payload that a full segment of `side` has.
    pub fn full(&self, side: usize) -> usize {
        usize::from(self.ends[side].mss.min(self.ends[1 - side].mss)) - 12
    }

    /// A segment of `side` in its present state, which stays, apart from the IP identification.
    pub fn segment(&mut self, side: usize, flags: u8, payload: &[u8]) -> Segment {
        let now = self.now;
        let end = &mut self.ends[side];
        // Linux answers SYNs and resets with identification 0.
        let id = if flags & RST != 0 || flags & (SYN | ACK) == SYN | ACK { 0 } else { end.id };
        if id != 0 {
            end.id = end.id.wrapping_add(1);
        }
        let stamp = end.clock.wrapping_add((now.saturating_sub(end.delay) / 1_000) as u32);
        let echo = if flags & ACK != 0 { end.echo } else { 0 };
        Segment {
            side,
            flags: flags | if payload.is_empty() { 0 } else { PSH },
            seq: end.next,
            ack: if flags & ACK != 0 { end.expects } else { 0 },
            window: match flags {
                flags if flags & RST != 0 => 0,
                flags if flags & SYN != 0 => 64_240,
                _ => end.window,
            },
            ttl: end.ttl,
            id,
            stamps: (flags & RST == 0).then_some((stamp, echo)),
            sacks: Vec::new(),
            payload: payload.to_vec(),
            mac: end.mac,
            signed: false,
        }
    }

    /// The segment as an IP datagram.
    pub fn packet(&self, segment: &Segment) -> Vec<u8> {
        let (from, to) = (&self.ends[segment.side], &self.ends[1 - segment.side]);
        let has = |flag: u8| segment.flags & flag != 0;
        let mut options = Vec::new();
        if has(SYN) {
            options.push(TcpOptionElement::MaximumSegmentSize(from.mss));
            options.push(TcpOptionElement::SelectiveAcknowledgementPermitted);
        }
        if !has(SYN) && segment.stamps.is_some() {
            options.extend([TcpOptionElement::Noop, TcpOptionElement::Noop]);
        }
        if let Some((stamp, echo)) = segment.stamps {
            options.push(TcpOptionElement::Timestamp(stamp, echo));
        }
        if has(SYN) {
            options.extend([TcpOptionElement::Noop, TcpOptionElement::WindowScale(from.window_scale)]);
        }
        if let Some((first, rest)) = segment.sacks.split_first() {
            let mut more = [None; 3];
            for (slot, block) in more.iter_mut().zip(rest) {
                *slot = Some(*block);
            }
            options.extend([TcpOptionElement::Noop, TcpOptionElement::Noop]);
            options.push(TcpOptionElement::SelectiveAcknowledgement(*first, more));
        }
        let mut options = TcpOptions::try_from_elements(&options).expect("the options fit");
        if segment.signed {
            let digest = [&[19, 18][..], &[0x5a; 16]].concat();
            let all = [options.as_slice(), &digest].concat();
            options = TcpOptions::try_from_slice(&all).expect("the options fit");
        }
        let header = TcpHeader {
            source_port: from.port,
            destination_port: to.port,
            sequence_number: segment.seq,
            acknowledgment_number: segment.ack,
            fin: has(FIN),
            syn: has(SYN),
            rst: has(RST),
            psh: has(PSH),
            ack: has(ACK),
            window_size: segment.window,
            options,
            ..Default::default()
        };
        let ip = Ip { source: from.address, destination: to.address, ttl: segment.ttl, id: segment.id };
        ip.tcp(header, &segment.payload)
    }

    /// The segment as a frame.
    pub fn frame(&self, segment: &Segment) -> Vec<u8> {
        let to = self.ends[1 - segment.side].mac;
        ethernet(segment.mac, to, self.vlan, &self.packet(segment))
    }

    /// Records a segment now, as it is; nobody's state changes.
    pub fn record(&mut self, capture: &mut Capture, segment: &Segment) {
        capture.record(self.now, self.frame(segment));
        self.now += 12;
    }

    /// The sender has sent it.
    pub fn sent(&mut self, segment: &Segment) {
        let extra = u32::from(segment.flags & SYN != 0) + u32::from(segment.flags & FIN != 0);
        let end = segment.seq.wrapping_add(segment.payload.len() as u32 + extra);
        let next = &mut self.ends[segment.side].next;
        if (end.wrapping_sub(*next) as i32) > 0 {
            *next = end;
        }
    }

    /// The other side has received it, and everything before it.
    pub fn received(&mut self, segment: &Segment) {
        let extra = u32::from(segment.flags & SYN != 0) + u32::from(segment.flags & FIN != 0);
        let end = segment.seq.wrapping_add(segment.payload.len() as u32 + extra);
        let peer = &mut self.ends[1 - segment.side];
        if segment.flags & SYN != 0 || (end.wrapping_sub(peer.expects) as i32) > 0 {
            peer.expects = end;
        }
        if let Some((stamp, _)) = segment.stamps {
            peer.echo = stamp;
        }
    }

    /// A segment that is recorded and arrives.
    pub fn send(&mut self, capture: &mut Capture, side: usize, flags: u8, payload: &[u8]) -> Segment {
        let segment = self.segment(side, flags, payload);
        self.record(capture, &segment);
        self.sent(&segment);
        self.received(&segment);
        segment
    }

    /// A segment that is recorded and then lost.
    pub fn send_lost(&mut self, capture: &mut Capture, side: usize, payload: &[u8]) -> Segment {
        let segment = self.segment(side, ACK, payload);
        self.record(capture, &segment);
        self.sent(&segment);
        segment
    }

    /// A segment that is lost before the capture point.
    pub fn lose(&mut self, side: usize, payload: &[u8]) -> Segment {
        let segment = self.segment(side, ACK, payload);
        self.sent(&segment);
        segment
    }

    /// A segment that arrives and that the capture missed.
    pub fn miss(&mut self, side: usize, payload: &[u8]) -> Segment {
        let segment = self.segment(side, ACK, payload);
        self.sent(&segment);
        self.received(&segment);
        segment
    }

    /// The bytes of `lost` again: recorded, with a fresh identification, clock and ACK.
    pub fn resend(&mut self, capture: &mut Capture, lost: &Segment) -> Segment {
        let segment = Segment { seq: lost.seq, ..self.segment(lost.side, lost.flags & !PSH, &lost.payload) };
        self.record(capture, &segment);
        segment
    }

    /// A pure ACK of `side`, with what it has selectively received.
    pub fn ack(&mut self, capture: &mut Capture, side: usize, sacks: &[(u32, u32)]) -> Segment {
        let segment = Segment { sacks: sacks.to_vec(), ..self.segment(side, ACK, b"") };
        self.record(capture, &segment);
        segment
    }

    /// Everything that `side` has sent has arrived at last.
    pub fn catch_up(&mut self, side: usize) {
        self.ends[1 - side].expects = self.ends[side].next;
    }

    pub fn handshake(&mut self, capture: &mut Capture) {
        self.send(capture, CLIENT, SYN, b"");
        self.turn(CLIENT);
        self.send(capture, SERVER, SYN | ACK, b"");
        self.turn(SERVER);
        self.send(capture, CLIENT, ACK, b"");
    }

    /// `bytes` in full segments (or offload super-segments), the peer acknowledging every second one.
    pub fn stream(&mut self, capture: &mut Capture, side: usize, bytes: &[u8]) {
        let size = self.full(side) * self.offload;
        let pieces = bytes.chunks(size).count();
        for (piece, number) in bytes.chunks(size).zip(1..) {
            self.send(capture, side, ACK, piece);
            if number % 2 == 0 || number == pieces {
                self.turn(side);
                self.ack(capture, 1 - side, &[]);
            }
        }
    }

    /// A request and its response of `length` bytes.
    pub fn exchange(&mut self, capture: &mut Capture, request: &[u8], length: usize) {
        self.wait(180);
        self.send(capture, CLIENT, ACK, request);
        self.turn(CLIENT).wait(2_300);
        let seed = u32::from(self.ends[CLIENT].port);
        self.stream(capture, SERVER, &filler(seed, length));
    }

    /// Both sides close, the client first.
    pub fn close(&mut self, capture: &mut Capture) {
        self.wait(700);
        self.send(capture, CLIENT, FIN | ACK, b"");
        self.turn(CLIENT);
        self.send(capture, SERVER, FIN | ACK, b"");
        self.turn(SERVER);
        self.send(capture, CLIENT, ACK, b"");
    }

    /// An ICMP error about `segment` from the router at `router`, to the sender of the segment.
    pub fn icmp_error(
        &mut self,
        capture: &mut Capture,
        router: IpAddr,
        error: (u8, u8, u32),
        segment: &Segment,
    ) {
        let sender = &self.ends[segment.side];
        let ip = Ip { source: router, destination: sender.address, ttl: 63, id: sender.id ^ 0x3333 };
        let message = ip.icmp_error(error.0, error.1, error.2, &self.packet(segment));
        let frame = ethernet(self.ends[1 - segment.side].mac, sender.mac, self.vlan, &message);
        capture.record(self.now, frame);
    }
}

/// A locally administered Ethernet address: of the client, and of the router before the server's network.
fn mac(address: IpAddr, side: usize) -> Mac {
    let octets = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    match side {
        CLIENT => [2, 0, octets[0], octets[1], octets[2], octets[3]],
        _ => [2, 0x5e, 0, octets[0], octets[1], 1],
    }
}
