//! TLS connections: a lookup, a handshake, requests and responses, lost segments and their repair.

use std::net::{IpAddr, Ipv4Addr};

use super::Dice;
use super::crowd::Actor;
use super::support::capture::Capture;
use super::support::frame::{Ip, ethernet};
use super::support::tcp::{ACK, CLIENT, SERVER, Segment, Talk};
use super::support::{dns, tls};

/// Largest plaintext of a TLS record and what encryption adds (RFC 8446 section 5.2).
const RECORD: usize = 16_384 + 17;

/// What the connections do.
#[derive(Clone, Copy)]
pub struct Traffic {
    /// Connections at a time.
    slots: u64,
    /// Data segments lost in a thousand.
    loss: u64,
    /// Bytes of a response.
    response: (u64, u64),
    /// Microseconds between a response and the next request.
    pause: (u64, u64),
    /// Full segments sent without waiting until they have arrived.
    window: usize,
    /// Connections begin within this time, microseconds.
    ramp: u64,
}

impl Traffic {
    pub fn browsing(loss: u64) -> Self {
        Self {
            slots: 20_000,
            loss,
            response: (8_000, 320_000),
            pause: (1_000_000, 300_000_000),
            window: 6,
            ramp: 20_000_000,
        }
    }

    pub fn elephant() -> Self {
        let all = u64::MAX / 4;
        Self { slots: 1, loss: 0, response: (all, all + 1), pause: (1, 2), window: 64, ramp: 1 }
    }
}

pub fn crowd(traffic: Traffic, seed: u64) -> Vec<Box<dyn Actor>> {
    let visitors = (0..traffic.slots).map(|slot| Visitor::new(traffic, slot, seed));
    visitors.map(|visitor| Box::new(visitor) as Box<dyn Actor>).collect()
}

enum Phase {
    Lookup,
    Connect,
    Request,
    Respond,
    Close,
}

/// A client that has one connection after the other.
struct Visitor {
    traffic: Traffic,
    dice: Dice,
    slot: u64,
    talk: Talk,
    phase: Phase,
    name: String,
    tls13: bool,
    /// Bytes of the response that were not sent yet.
    owed: u64,
    /// Ciphertext on its way.
    ready: Vec<u8>,
}

impl Visitor {
    fn new(traffic: Traffic, slot: u64, seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ (slot << 20));
        let start = dice.within(0, traffic.ramp);
        let talk = Talk::new((client(slot), 0), (server(0), 443), start, [0, 0]);
        let mut visitor = Self {
            traffic,
            dice,
            slot,
            talk,
            phase: Phase::Lookup,
            name: String::new(),
            tls13: true,
            owed: 0,
            ready: Vec::new(),
        };
        visitor.begin(start);
        visitor
    }

    /// Another connection, to another server, from another port.
    fn begin(&mut self, now: u64) {
        let dice = &mut self.dice;
        let host = dice.within(0, 40);
        let port = dice.within(32_768, 60_000) as u16;
        let delays = [dice.within(200, 4_000), dice.within(2_000, 40_000)];
        self.talk = Talk::new((client(self.slot), port), (server(host), 443), now, delays);
        for end in &mut self.talk.ends {
            end.next = dice.roll() as u32;
        }
        self.name = format!("s{host}.shop.example");
        self.tls13 = dice.chance(3, 4);
        self.phase = Phase::Lookup;
    }

    fn lookup(&mut self, capture: &mut Capture) {
        let [client, server] = [&self.talk.ends[CLIENT], &self.talk.ends[SERVER]];
        let resolver = IpAddr::V4(Ipv4Addr::new(10, 255, 0, 53));
        let (id, port) = (self.dice.roll() as u16, self.dice.within(32_768, 60_000) as u16);
        let ip = |source, destination, ttl| Ip { source, destination, ttl, id: client.id };
        let address = match server.address {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(_) => [0; 4],
        };
        let asked = ip(client.address, resolver, 64).udp(port, 53, &dns::query(id, &self.name, dns::A));
        let answer = dns::response(id, &self.name, dns::A, dns::NOERROR, &[address]);
        let answered = ip(resolver, client.address, 62).udp(53, port, &answer);
        let now = self.talk.now;
        let later = now + self.dice.within(300, 9_000);
        capture.record(now, ethernet(client.mac, server.mac, None, &asked));
        capture.record(later, ethernet(server.mac, client.mac, None, &answered));
        self.talk.now = later + self.dice.within(100, 400);
    }

    fn connect(&mut self, capture: &mut Capture) {
        self.talk.handshake(capture);
        match self.tls13 {
            true => tls::handshake13(&mut self.talk, capture, &self.name),
            false => tls::handshake12(&mut self.talk, capture, &self.name),
        }
    }

    fn request(&mut self, capture: &mut Capture) {
        let length = self.dice.within(120, 900) as usize;
        let request = tls::encrypted(tls::DATA, self.dice.roll() as u32, length);
        self.talk.send(capture, CLIENT, ACK, &request);
        self.talk.turn(CLIENT).wait(self.dice.within(400, 30_000));
        self.owed = self.dice.within(self.traffic.response.0, self.traffic.response.1);
    }

    /// One window of the response.
    fn respond(&mut self, capture: &mut Capture) {
        let most = self.traffic.window * self.talk.full(SERVER);
        while self.owed > 0 && self.ready.len() < most {
            let record = self.owed.min(RECORD as u64);
            self.ready.extend(tls::encrypted(tls::DATA, self.dice.roll() as u32, record as usize));
            self.owed -= record;
        }
        let rest = self.ready.split_off(self.ready.len().min(most));
        let window = std::mem::replace(&mut self.ready, rest);
        self.window(capture, &window);
    }

    /// Sends `bytes` in full segments, some of which are lost, and waits until they have arrived.
    fn window(&mut self, capture: &mut Capture, bytes: &[u8]) {
        let full = self.talk.full(SERVER);
        let mut lost: Vec<Segment> = Vec::new();
        let mut arrived: Option<(u32, u32)> = None;
        let last = bytes.len().div_ceil(full);
        for (piece, number) in bytes.chunks(full).zip(1..) {
            if self.dice.chance(self.traffic.loss, 1_000) {
                // Half of the losses happen behind the capture point, half in front of it.
                lost.push(match self.dice.chance(1, 2) {
                    true => self.talk.send_lost(capture, SERVER, piece),
                    false => self.talk.lose(SERVER, piece),
                });
                continue;
            }
            let segment = self.talk.segment(SERVER, ACK, piece);
            self.talk.record(capture, &segment);
            self.talk.sent(&segment);
            let end = segment.seq.wrapping_add(piece.len() as u32);
            if lost.is_empty() {
                self.talk.received(&segment);
                // Receive offload hands the stack several segments at a time, and they get one ACK (RFC 5681
                // section 4.2 asks for one for every second).
                if number % 3 == 0 || number == last {
                    self.talk.ack(capture, CLIENT, &[]);
                }
            } else {
                // A duplicate ACK that says what is there beyond the hole.
                let behind =
                    lost.last().is_some_and(|lost| lost.seq.wrapping_add(full as u32) == segment.seq);
                let start = arrived.filter(|_| !behind).map_or(segment.seq, |(start, _)| start);
                arrived = Some((start, end));
                self.talk.ack(capture, CLIENT, &[(start, end)]);
            }
        }
        self.talk.turn(SERVER).turn(CLIENT);
        if lost.is_empty() {
            return;
        }
        if arrived.is_none() {
            // Nothing came behind it: the sender's timer has to expire.
            let timeout = 200_000 + self.talk.rtt();
            self.talk.wait(timeout);
        }
        for segment in &lost {
            self.talk.resend(capture, segment);
        }
        self.talk.turn(SERVER);
        self.talk.catch_up(SERVER);
        self.talk.ack(capture, CLIENT, &[]);
        self.talk.turn(CLIENT);
    }
}

impl Actor for Visitor {
    fn step(&mut self, capture: &mut Capture) {
        self.phase = match self.phase {
            Phase::Lookup => {
                self.lookup(capture);
                Phase::Connect
            }
            Phase::Connect => {
                self.connect(capture);
                Phase::Request
            }
            Phase::Request => {
                self.talk.wait(self.dice.within(self.traffic.pause.0, self.traffic.pause.1));
                self.request(capture);
                Phase::Respond
            }
            Phase::Respond => {
                self.respond(capture);
                if self.owed > 0 || !self.ready.is_empty() {
                    Phase::Respond
                } else if self.dice.chance(1, 2) {
                    // Without memory of how many there were: as many close in every minute of the capture.
                    Phase::Request
                } else {
                    Phase::Close
                }
            }
            Phase::Close => {
                tls::close(&mut self.talk, capture, self.tls13);
                let pause = self.dice.within(1_000, 400_000);
                self.begin(self.talk.now + pause);
                Phase::Lookup
            }
        };
    }
}

fn client(slot: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 1 + (slot >> 16) as u8, (slot >> 8) as u8, slot as u8))
}

fn server(host: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10 + host as u8))
}
