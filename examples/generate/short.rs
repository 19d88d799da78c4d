//! Short connections, every other one left open.

use std::net::{IpAddr, Ipv4Addr};

use super::Dice;
use super::crowd::Actor;
use super::support::capture::Capture;
use super::support::tcp::{ACK, CLIENT, SERVER, Talk};

/// Connections being made at a time.
const SLOTS: u64 = 1_000;
/// Client ports in use.
const PORTS: u64 = 28_000;

pub fn crowd(seed: u64) -> Vec<Box<dyn Actor>> {
    let slots = (0..SLOTS).map(|slot| {
        let mut dice = Dice::new(seed ^ (slot << 20));
        let now = dice.within(0, 20_000);
        Caller { number: slot, now, dice }
    });
    slots.map(|caller| Box::new(caller) as Box<dyn Actor>).collect()
}

struct Caller {
    /// Of the connection, over all callers: no two have the same ends.
    number: u64,
    now: u64,
    dice: Dice,
}

impl Actor for Caller {
    fn step(&mut self, capture: &mut Capture) {
        let (host, port) = (self.number / PORTS, (32_768 + self.number % PORTS) as u16);
        let client = IpAddr::V4(Ipv4Addr::new(10, 1, (host >> 8) as u8, host as u8));
        let server = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10 + (self.number % 40) as u8));
        let delays = [self.dice.within(100, 900), self.dice.within(300, 4_000)];
        let mut talk = Talk::new((client, port), (server, 8_080), self.now, delays);
        for end in &mut talk.ends {
            end.next = self.dice.roll() as u32;
        }
        talk.handshake(capture);
        talk.wait(150);
        talk.send(capture, CLIENT, ACK, b"GET /health HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        talk.turn(CLIENT).wait(800);
        talk.send(capture, SERVER, ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        talk.turn(SERVER);
        talk.ack(capture, CLIENT, &[]);
        if self.dice.chance(1, 2) {
            talk.close(capture);
        }
        self.number += SLOTS;
        self.now = talk.now + self.dice.within(500, 8_000);
    }
}
