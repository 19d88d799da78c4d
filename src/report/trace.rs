//! The deciding conversation of an incident as the ladder and the graphs draw it.

use std::net::IpAddr;

use crate::dissect::{Endpoint, Icmp, Tcp, TcpFlags, Transport};
use crate::extract::Conversation;
use crate::time::Timestamp;

/// A packet of a conversation, or one that quotes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Ordinal over the whole set.
    pub packet: u64,
    /// Frame number in its file, as Wireshark counts.
    pub frame: u64,
    /// Capture time.
    pub time: Timestamp,
    /// It goes to the server.
    pub to_server: bool,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IP identification; 0 for IPv6.
    pub id: u16,
    /// Length of the IP datagram, bytes.
    pub ip_length: u32,
    /// Transport payload, bytes.
    pub length: u32,
    /// What it is.
    pub what: What,
}

/// What a packet is.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A TCP segment.
    Tcp(Box<Tcp>),
    /// A UDP datagram.
    Udp,
    /// An ICMP message, and who sent it.
    Icmp(Box<(Icmp, IpAddr)>),
    /// An ARP reply or a neighbour advertisement (true), or what asks for it.
    Arp(bool),
    /// Something else.
    Other,
}

/// The packets of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Who asked.
    pub client: Endpoint,
    /// Who was asked.
    pub server: Endpoint,
    /// Its packets in capture order.
    pub steps: Vec<Step>,
    /// There are more of them than are kept.
    pub cut: bool,
}

impl Trace {
    /// Of a conversation; `None` when nobody knows who talks in it.
    pub fn of(conversation: &Conversation) -> Option<Self> {
        let (client, server) = conversation.ends?;
        let step = |step: &crate::extract::Step| {
            let record = &step.record;
            Step {
                packet: record.packet,
                frame: step.frame,
                time: record.time,
                to_server: step.to_server,
                ttl: record.ip.map_or(0, |ip| ip.ttl),
                id: record.ip.map_or(0, |ip| ip.id),
                ip_length: record.ip.map_or(0, |ip| ip.length),
                length: record.payload.length,
                what: match &record.transport {
                    Transport::Tcp(tcp) => What::Tcp(Box::new(*tcp)),
                    Transport::Udp(_) => What::Udp,
                    Transport::Icmp(icmp) => {
                        What::Icmp(Box::new((*icmp, record.ip.map_or(server.address, |ip| ip.source))))
                    }
                    Transport::Arp(arp) => What::Arp(arp.reply),
                    Transport::Fragment(_) | Transport::Other | Transport::None => What::Other,
                },
            }
        };
        let steps: Vec<Step> = conversation.steps.iter().map(step).collect();
        let cut = steps.len() >= Conversation::STEPS;
        (!steps.is_empty()).then_some(Self { client, server, steps, cut })
    }
}

/// `10.0.0.1:443` as an endpoint.
pub(super) fn endpoint(server: &str) -> Option<Endpoint> {
    let address: std::net::SocketAddr = server.parse().ok()?;
    Some(Endpoint { address: address.ip(), port: address.port() })
}

/// `SYN, ACK`.
pub(crate) fn flags(flags: TcpFlags) -> String {
    let names = [
        (TcpFlags::SYN, "SYN"),
        (TcpFlags::FIN, "FIN"),
        (TcpFlags::RST, "RST"),
        (TcpFlags::PSH, "PSH"),
        (TcpFlags::ACK, "ACK"),
        (TcpFlags::URG, "URG"),
    ];
    let set: Vec<&str> =
        names.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| name).collect();
    if set.is_empty() { "no flags".to_owned() } else { set.join(", ") }
}
