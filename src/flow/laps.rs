//! One packet that comes by again and again with a falling TTL: it goes round in a loop of routers.
//!
//! A mirror that records a packet before and behind a router shows it twice with falling TTL, too, but on two
//! ways. A packet that comes back takes the way it took before.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::dissect::{Direction, Ip, PacketRecord, PacketRef, Transport};
use crate::time::{Span, Timestamp};

/// A sighting of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// The sighting.
    pub at: PacketRef,
    /// Its time to live, or hop limit.
    pub ttl: u8,
}

/// Packets of a flow that went round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Laps {
    /// Packets that came by at least [`Laps::PROOF`] times on one way, the TTL lower each time.
    pub packets: u64,
    /// Of those, the ones that came by with a TTL of 1.
    pub died: u64,
    /// The most sightings of one packet on one way.
    pub most: u32,
    /// By how much the TTL fell from one sighting of the first of those packets to the next on the same way:
    /// the routers of a lap.
    pub step: u8,
    /// The first of those packets went this way.
    pub to_client: bool,
    /// The first sightings of the first of those packets, at most [`Laps::RUNGS`].
    pub rungs: Vec<Rung>,
    /// The packets that have gone by lately.
    recent: Vec<Climb>,
    next: usize,
}

/// Sightings of one packet.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Climb {
    identity: u64,
    ttl: u8,
    last: Timestamp,
    /// The way of its first sighting that is remembered, the TTL there, and how often it came back to it.
    way: u64,
    way_ttl: u8,
    visits: u32,
    rungs: Vec<Rung>,
}

impl Laps {
    /// Sightings on one way that prove a loop: the first was on the way, two came back.
    pub const PROOF: u32 = 3;
    /// Sightings kept.
    pub const RUNGS: usize = 8;
    /// Packets told apart at a time.
    const RECENT: usize = 8;
    /// Between two sightings: a packet lives 255 hops, and a slow hop takes some milliseconds.
    const LAP: Span = Span::secs(2);

    /// Takes a packet whose TTL is lower than that of others of its direction.
    pub(super) fn see(&mut self, packet: &PacketRecord, ip: &Ip, direction: Direction) {
        let (identity, way) = (identity(packet, ip, direction), way(packet));
        let linked = (packet.link.source, packet.link.destination) != ([0; 6], [0; 6]);
        let rung = Rung { at: PacketRef { packet: packet.packet, time: packet.time }, ttl: ip.ttl };
        let Some(climb) = self.recent.iter_mut().find(|climb| climb.identity == identity) else {
            return self.remember(Climb {
                identity,
                ttl: ip.ttl,
                last: packet.time,
                way,
                way_ttl: ip.ttl,
                visits: 1,
                rungs: vec![rung],
            });
        };
        let falls = ip.ttl < climb.ttl && packet.time - climb.last <= Self::LAP;
        if !falls {
            // Sent again, or a copy of the same sighting.
            if ip.ttl > climb.ttl || packet.time - climb.last > Self::LAP {
                let rungs = vec![rung];
                *climb = Climb {
                    identity,
                    ttl: ip.ttl,
                    last: packet.time,
                    way,
                    way_ttl: ip.ttl,
                    visits: 1,
                    rungs,
                };
            }
            return;
        }
        (climb.ttl, climb.last) = (ip.ttl, packet.time);
        if climb.rungs.len() < Self::RUNGS {
            climb.rungs.push(rung);
        }
        if climb.way != way {
            return;
        }
        climb.visits += 1;
        let step = climb.way_ttl - ip.ttl;
        climb.way_ttl = ip.ttl;
        // Without link addresses two mirrors look like one.
        let needed = if linked { Self::PROOF } else { 2 * Self::PROOF };
        if climb.visits == needed {
            self.packets += 1;
            if self.rungs.is_empty() {
                (self.step, self.to_client) = (step, direction == Direction::ToClient);
                (self.rungs, self.most) = (climb.rungs.clone(), climb.visits);
            }
        }
        if climb.visits >= needed {
            self.most = self.most.max(climb.visits);
            self.died += u64::from(ip.ttl <= 1);
            if self.rungs.first() == climb.rungs.first() && self.rungs.len() < climb.rungs.len() {
                self.rungs.clone_from(&climb.rungs);
            }
        }
    }

    fn remember(&mut self, climb: Climb) {
        if self.recent.len() < Self::RECENT {
            self.recent.push(climb);
        } else {
            self.next %= Self::RECENT;
            if let Some(oldest) = self.recent.get_mut(self.next) {
                *oldest = climb;
            }
            self.next += 1;
        }
    }

    /// What they take, bytes.
    pub(super) fn held(&self) -> usize {
        let climb = size_of::<Climb>() + Self::RUNGS * size_of::<Rung>();
        size_of::<Self>() + self.recent.len() * climb + Self::RUNGS * size_of::<Rung>()
    }

    /// What is left when the flow is over: nothing when no packet went round.
    pub(super) fn finish(mut laps: Box<Self>) -> Option<Box<Self>> {
        (laps.recent, laps.next) = (Vec::new(), 0);
        (laps.packets > 0).then_some(laps)
    }
}

/// Of everything that a router leaves as it is.
fn identity(packet: &PacketRecord, ip: &Ip, direction: Direction) -> u64 {
    let [one, other] = match &packet.transport {
        Transport::Tcp(tcp) => [
            u64::from(tcp.seq.0) << 32 | u64::from(tcp.ack.0),
            u64::from(tcp.flags.0) << 32 | u64::from(tcp.options.timestamps.map_or(0, |(value, _)| value)),
        ],
        Transport::Icmp(icmp) => {
            let (id, seq) = icmp.echo.unwrap_or_default();
            [u64::from(icmp.kind) << 8 | u64::from(icmp.code), u64::from(id) << 16 | u64::from(seq)]
        }
        _ => [0, 0],
    };
    let header = u64::from(ip.length) << 16 | u64::from(ip.id);
    let words = [header, direction.index() as u64, packet.payload.hash, one, other];
    xxh3_64(words.map(u64::to_le_bytes).as_flattened())
}

/// Of the link addresses, VLAN and interface.
fn way(packet: &PacketRecord) -> u64 {
    let mut octets = [0; 23];
    octets[..6].copy_from_slice(&packet.link.source);
    octets[6..12].copy_from_slice(&packet.link.destination);
    octets[12] = packet.link.packet_type;
    octets[13..17].copy_from_slice(&packet.interface.to_le_bytes());
    octets[17..19].copy_from_slice(&packet.path.vlan.to_le_bytes());
    octets[19..23].copy_from_slice(&packet.path.tunnel_id.to_le_bytes());
    xxh3_64(&octets)
}
