//! Which flow a packet belongs to, and the hash that sends a flow's packets to one partition.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::ip;
use crate::dissect::{Direction, PacketRecord, Quoted, Transport};

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// IP address.
    pub address: IpAddr,
    /// Port; 0 for protocols without ports.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

/// Addresses, ports and protocol of a packet, in the direction it travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTuple {
    /// Who sent it.
    pub source: Endpoint,
    /// Whom it was sent to.
    pub destination: Endpoint,
    /// IP protocol number.
    pub protocol: u8,
}

impl FiveTuple {
    /// The tuple of the innermost IP packet; `None` for packets without one (ARP, other protocols). Ports
    /// are those of TCP and UDP, and 0 for everything else, ICMP too.
    pub fn of(record: &PacketRecord) -> Option<Self> {
        let ip = record.ip?;
        let (source_port, destination_port) = match &record.transport {
            Transport::Tcp(tcp) => (tcp.source_port, tcp.destination_port),
            Transport::Udp(udp) => (udp.source_port, udp.destination_port),
            _ => (0, 0),
        };
        Some(Self {
            source: Endpoint { address: ip.source, port: source_port },
            destination: Endpoint { address: ip.destination, port: destination_port },
            protocol: ip.protocol,
        })
    }

    /// The tuple of the packet an ICMP error quotes, in the direction the quoted packet travelled.
    pub fn quoted(record: &PacketRecord) -> Option<Self> {
        match &record.transport {
            Transport::Icmp(icmp) => icmp.quoted.as_ref().map(Self::of_quote),
            _ => None,
        }
    }

    fn of_quote(quote: &Quoted) -> Self {
        // Only what `of` gives the flow's own packets, or the two would not meet.
        let ports = matches!(quote.ip.protocol, 6 | 17);
        let port = |port| if ports { port } else { 0 };
        Self {
            source: Endpoint { address: quote.ip.source, port: port(quote.source_port) },
            destination: Endpoint { address: quote.ip.destination, port: port(quote.destination_port) },
            protocol: quote.ip.protocol,
        }
    }

    /// The direction of a packet with the ends of `packet` in a flow whose client's packets have these;
    /// `None` when it is of another flow.
    pub fn direction_of(&self, packet: &Self) -> Option<Direction> {
        if packet.protocol != self.protocol {
            None
        } else if packet.source == self.source && packet.destination == self.destination {
            Some(Direction::ToServer)
        } else {
            (packet.source == self.destination && packet.destination == self.source)
                .then_some(Direction::ToClient)
        }
    }

    /// The same tuple seen in the other direction.
    pub fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source, protocol: self.protocol }
    }

    /// The one of both directions whose source is not above its destination: one key for a flow.
    pub fn canonical(self) -> Self {
        if self.source > self.destination { self.reversed() } else { self }
    }

    /// XXH3-64 (seed 0) over the two ends in ascending order, each its address as 16 octets (IPv4 mapped) and
    /// its port in two, big-endian, then the protocol: 37 octets. It is part of the exchange format: never
    /// change it.
    pub fn partition_hash(&self) -> u64 {
        let (source, destination) = (end(self.source), end(self.destination));
        let (low, high) = if source <= destination { (source, destination) } else { (destination, source) };
        let mut octets = [0; 37];
        octets[..16].copy_from_slice(&low.0.to_be_bytes());
        octets[16..18].copy_from_slice(&low.1.to_be_bytes());
        octets[18..34].copy_from_slice(&high.0.to_be_bytes());
        octets[34..36].copy_from_slice(&high.1.to_be_bytes());
        octets[36] = self.protocol;
        xxh3_64(&octets)
    }
}

/// An end as numbers that are ordered as its octets are.
fn end(endpoint: Endpoint) -> (u128, u16) {
    (u128::from_be_bytes(ip::octets(endpoint.address)), endpoint.port)
}

/// The hash that chooses a packet's partition: [`FiveTuple::partition_hash`] of
/// - the quoted packet, for an ICMP error, so that it meets the flow it is about;
/// - sender and target with ports and protocol 0, for ARP and neighbour discovery;
/// - the innermost IP packet otherwise, with ports 0 when it has none.
///
/// 0 for a packet without any. The same for both directions of a flow.
pub fn partition_hash(record: &PacketRecord) -> u64 {
    let tuple = match &record.transport {
        Transport::Arp(arp) => {
            let end = |address| Endpoint { address, port: 0 };
            Some(FiveTuple { source: end(arp.sender), destination: end(arp.target), protocol: 0 })
        }
        Transport::Icmp(icmp) if icmp.quoted.is_some() => FiveTuple::quoted(record),
        _ => FiveTuple::of(record),
    };
    tuple.map_or(0, |tuple| tuple.partition_hash())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn tuple() -> FiveTuple {
        let end = |last, port| Endpoint { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port };
        FiveTuple { source: end(2, 40000), destination: end(1, 443), protocol: 6 }
    }

    #[test]
    fn both_directions_have_one_key_and_one_hash() {
        let (there, back) = (tuple(), tuple().reversed());
        assert_eq!(there.canonical(), back.canonical());
        assert_eq!(there.canonical().destination.port, 40000);
        assert_eq!(there.partition_hash(), back.partition_hash());
    }

    #[test]
    fn the_hash_is_pinned_because_it_is_an_exchange_format() {
        assert_eq!(tuple().partition_hash(), PINNED);
    }

    const PINNED: u64 = 1_021_312_838_021_173_600;
}
