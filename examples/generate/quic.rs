//! QUIC connections: handshakes whose Initial packets everybody can open, requests and responses behind short
//! headers, and the spin bit on most of them.

use std::net::{IpAddr, Ipv4Addr};

use super::Dice;
use super::crowd::Actor;
use super::support::capture::Capture;
use super::support::frame::{Ip, ethernet};
use super::support::quic::{ACK, Quic, crypto};
use super::support::tcp::{CLIENT, SERVER};
use super::support::{filler, tls};

/// Connections at a time.
const SLOTS: u64 = 20_000;
/// Octets of a datagram behind its header.
const FULL: usize = 1_220;
/// Datagrams sent without waiting until they have arrived.
const WINDOW: usize = 10;
/// The spin bit of a short header.
const SPIN: u8 = 0x20;

pub fn crowd(seed: u64) -> Vec<Box<dyn Actor>> {
    (0..SLOTS).map(|slot| Box::new(Visitor::new(slot, seed)) as Box<dyn Actor>).collect()
}

enum Phase {
    Connect,
    Request,
    Respond,
}

/// A client that has one connection after the other.
struct Visitor {
    dice: Dice,
    slot: u64,
    talk: Quic,
    phase: Phase,
    /// Microseconds to the client and back, and to the server and back.
    trips: [u64; 2],
    spins: bool,
    bits: [u8; 2],
    /// Octets of the response that were not sent yet.
    owed: usize,
}

impl Visitor {
    fn new(slot: u64, seed: u64) -> Self {
        let dice = Dice::new(seed ^ (slot << 20));
        let nobody = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let talk = Quic::between(nobody, nobody, 0);
        let mut visitor = Self {
            dice,
            slot,
            talk,
            phase: Phase::Connect,
            trips: [0; 2],
            spins: true,
            bits: [0; 2],
            owed: 0,
        };
        let start = visitor.dice.within(0, 20_000_000);
        visitor.begin(start);
        visitor
    }

    /// Another connection, to another server, from another port.
    fn begin(&mut self, now: u64) {
        let dice = &mut self.dice;
        let client = Ipv4Addr::new(10, 1 + (self.slot >> 16) as u8, (self.slot >> 8) as u8, self.slot as u8);
        let server = Ipv4Addr::new(198, 51, 100, 10 + dice.within(0, 40) as u8);
        let port = dice.within(32_768, 60_000) as u16;
        self.talk = Quic::between((client.into(), port), (server.into(), 443), 0);
        (self.talk.now, self.talk.seed) = (now, dice.roll() as u32);
        self.talk.original = filler(self.talk.seed, 8);
        self.talk.ids = [filler(self.talk.seed ^ 1, 5), self.talk.original.clone()];
        self.trips = [dice.within(200, 4_000), dice.within(2_000, 40_000)];
        self.spins = dice.chance(15, 16);
        self.bits = [0; 2];
        self.phase = Phase::Connect;
    }

    fn record(&self, capture: &mut Capture, side: usize, datagram: &[u8]) {
        let (from, to) = (self.talk.ends[side], self.talk.ends[1 - side]);
        let ttl = if side == CLIENT { 64 } else { 57 };
        let ip = Ip { source: from.0, destination: to.0, ttl, id: self.talk.now as u16 };
        let macs = [[2, 0, 10, 1, (self.slot >> 8) as u8, self.slot as u8], [2, 0x5e, 0, 10, 1, 1]];
        let frame = ethernet(macs[side], macs[1 - side], None, &ip.udp(from.1, to.1, datagram));
        capture.record(self.talk.now, frame);
    }

    fn short(&mut self, capture: &mut Capture, side: usize, length: usize) {
        let mut datagram = self.talk.short(side, length);
        datagram[0] |= self.bits[side];
        self.record(capture, side, &datagram);
        self.talk.wait(12);
    }

    /// A side has heard of the other.
    fn turn(&mut self, side: usize) {
        self.talk.wait(self.trips[side]);
        if self.spins {
            self.bits[side] = if side == CLIENT { self.bits[SERVER] ^ SPIN } else { self.bits[CLIENT] };
        }
    }

    fn connect(&mut self, capture: &mut Capture) {
        let talk = &mut self.talk;
        let hello = crypto(0, &talk.hello("www.shop.example"));
        let asks = talk.initial(CLIENT, &hello, 1_200);
        self.record(capture, CLIENT, &asks);
        self.turn(SERVER);
        let talk = &mut self.talk;
        talk.ids[SERVER] = filler(talk.seed ^ 2, 8);
        let hello = [ACK, &crypto(0, &tls::server_hello(true, talk.seed)[5..])].concat();
        let answers = [talk.initial(SERVER, &hello, 150), talk.handshake(SERVER, 1_000)].concat();
        self.record(capture, SERVER, &answers);
        self.talk.wait(20);
        let rest = self.talk.handshake(SERVER, 1_100);
        self.record(capture, SERVER, &rest);
        self.turn(CLIENT);
        let finished = [self.talk.initial(CLIENT, ACK, 60), self.talk.handshake(CLIENT, 60)].concat();
        self.record(capture, CLIENT, &finished);
        self.talk.wait(30);
    }

    fn request(&mut self, capture: &mut Capture) {
        let length = self.dice.within(120, 900) as usize;
        self.short(capture, CLIENT, length);
        self.turn(SERVER);
        self.owed = self.dice.within(8_000, 320_000) as usize;
    }

    /// One window of the response.
    fn respond(&mut self, capture: &mut Capture) {
        let mut sent = 0;
        while self.owed > 0 && sent < WINDOW {
            let length = self.owed.min(FULL);
            self.short(capture, SERVER, length.max(20));
            self.owed -= length;
            sent += 1;
        }
        self.turn(CLIENT);
        (0..sent.div_ceil(2)).for_each(|_| self.short(capture, CLIENT, 28));
        self.turn(SERVER);
    }
}

impl Actor for Visitor {
    fn step(&mut self, capture: &mut Capture) {
        self.phase = match self.phase {
            Phase::Connect => {
                self.connect(capture);
                Phase::Request
            }
            Phase::Request => {
                self.request(capture);
                Phase::Respond
            }
            Phase::Respond => {
                self.respond(capture);
                match self.owed {
                    0 if self.dice.chance(1, 2) => {
                        let pause = self.dice.within(1_000_000, 20_000_000);
                        self.talk.wait(pause);
                        Phase::Request
                    }
                    0 => {
                        let pause = self.dice.within(1_000, 400_000);
                        self.begin(self.talk.now + pause);
                        Phase::Connect
                    }
                    _ => Phase::Respond,
                }
            }
        };
    }
}
