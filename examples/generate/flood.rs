//! Small packets: SYNs that nobody answers, and lookups.

use std::net::{IpAddr, Ipv4Addr};

use super::Dice;
use super::crowd::Actor;
use super::support::capture::Capture;
use super::support::dns;
use super::support::frame::{Ip, Mac, ethernet};
use super::support::tcp::{CLIENT, SYN, Talk};

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 255, 0, 53));
const MACS: [Mac; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
/// Microseconds between two SYNs: 100 000 in a second.
const GAP: u64 = 10;

/// The attacker, and with `lookups` a resolver's clients.
pub fn crowd(lookups: bool, seed: u64) -> Vec<Box<dyn Actor>> {
    let mut actors: Vec<Box<dyn Actor>> = vec![Box::new(Attacker { count: 0, dice: Dice::new(seed) })];
    if lookups {
        actors.push(Box::new(Clients { now: 3, dice: Dice::new(seed ^ 77) }));
    }
    actors
}

struct Attacker {
    count: u64,
    dice: Dice,
}

impl Actor for Attacker {
    fn step(&mut self, capture: &mut Capture) {
        for _ in 0..64 {
            self.count += 1;
            // An odd factor visits every source once before it comes back to the first.
            let source = (self.count as u32).wrapping_mul(0x9e37_79b1) | 0x2000_0000;
            let address = IpAddr::V4(Ipv4Addr::from_bits(source & 0x3fff_ffff));
            let port = 1_024 + ((self.count >> 27) as u16) * 1_024 + self.dice.within(0, 1_024) as u16;
            let mut talk = Talk::new((address, port), (SERVER, 443), self.count * GAP, [0, 0]);
            talk.ends[CLIENT].next = self.dice.roll() as u32;
            talk.ends[CLIENT].mac = MACS[0];
            talk.send(capture, CLIENT, SYN, b"");
        }
    }
}

/// They ask as often as the attacker sends.
struct Clients {
    now: u64,
    dice: Dice,
}

impl Actor for Clients {
    fn step(&mut self, capture: &mut Capture) {
        let dice = &mut self.dice;
        let client = IpAddr::V4(Ipv4Addr::new(10, 1, dice.within(0, 8) as u8, dice.within(1, 255) as u8));
        let (id, port) = (dice.roll() as u16, dice.within(32_768, 60_000) as u16);
        let name = format!("h{}.example", dice.within(0, 5_000));
        let ip = |source, destination, ttl| Ip { source, destination, ttl, id };
        let asked = ip(client, RESOLVER, 64).udp(port, 53, &dns::query(id, &name, dns::A));
        let answer = dns::response(id, &name, dns::A, dns::NOERROR, &[[198, 51, 100, 9]]);
        let answered = ip(RESOLVER, client, 62).udp(53, port, &answer);
        capture.record(self.now, ethernet(MACS[0], MACS[1], None, &asked));
        capture.record(self.now + GAP, ethernet(MACS[1], MACS[0], None, &answered));
        self.now += 2 * GAP;
    }
}
