//! The deciding conversation of an incident, packet by packet: what a ladder or a time-sequence graph draws.

use std::net::IpAddr;

use super::picked::{Cite, Picked, each_picked};
use super::{Again, ExtractError, Packet};
use crate::dissect::{Endpoint, FiveTuple, PacketRecord, Transport, dissect};
use crate::time::Timestamp;

/// A packet of a conversation.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was read of it: time, IP and TCP header fields, lengths. Its payload bytes are not kept.
    pub record: PacketRecord,
    /// It goes to the server.
    pub to_server: bool,
    /// Path of its file as given.
    pub file: String,
    /// Frame number in the file, as Wireshark counts.
    pub frame: u64,
    /// What it is to the findings, when it is proof.
    pub cites: Vec<Cite>,
}

/// The deciding conversation of an incident.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// Id of the incident.
    pub id: String,
    /// Who asked, and who was asked; `None` when the proof has no addresses.
    pub ends: Option<(Endpoint, Endpoint)>,
    /// Its packets in capture order, ICMP errors about it among them.
    pub steps: Vec<Step>,
}

impl Conversation {
    /// Packets kept; those behind are left out.
    pub const STEPS: usize = 5_000;
}

/// Deciding conversations, on their way.
#[derive(Debug, Default)]
pub struct Conversations {
    all: Vec<Conversation>,
    /// The time of the packet before, for one that has none.
    before: Timestamp,
}

impl Conversations {
    /// Of `picked`, in that order.
    pub fn of(picked: &[Picked]) -> Self {
        let named = |one: &Picked| Conversation { id: one.id.clone(), ..Conversation::default() };
        Self { all: picked.iter().map(named).collect(), ..Self::default() }
    }

    /// Takes a packet that [`each_picked`] gives: those of places behind the last are nobody's.
    pub fn take(&mut self, place: usize, one: &Picked, packet: &Packet<'_>) {
        let Some(conversation) = self.all.get_mut(place) else { return };
        let mut record = dissect(&packet.raw);
        match packet.raw.time {
            Some(time) => self.before = time,
            None => record.time = self.before,
        }
        let known = super::key::conversation(&record).is_some_and(|tuple| Some(tuple) == one.deciding);
        if known && conversation.steps.len() < Conversation::STEPS {
            let cites = one.cites.get(&record.packet).cloned().unwrap_or_default();
            let (file, frame) = (packet.name.to_owned(), packet.frame);
            conversation.steps.push(Step { record, to_server: true, file, frame, cites });
        }
    }

    /// All packets were taken. Client is who sent the first SYN, or received the first SYN-ACK, or has the
    /// higher port, or was heard first.
    pub fn finish(mut self) -> Vec<Conversation> {
        self.all.iter_mut().for_each(Conversation::tell_ends);
        self.all
    }
}

/// The deciding conversations of `picked`, in that order.
///
/// # Errors
/// When an input cannot be read again, or was changed.
pub fn conversations(again: &Again, picked: &[Picked]) -> Result<Vec<Conversation>, ExtractError> {
    let mut conversations = Conversations::of(picked);
    each_picked(again, picked, |place, one, packet| {
        conversations.take(place, one, packet);
        Ok(())
    })?;
    Ok(conversations.finish())
}

impl Conversation {
    fn tell_ends(&mut self) {
        let tuples = || self.steps.iter().filter_map(|step| travelled(&step.record));
        let opened = self.steps.iter().find_map(|step| {
            let tuple = travelled(&step.record)?;
            match &step.record.transport {
                Transport::Tcp(tcp) if tcp.flags.is_syn() => Some(tuple),
                Transport::Tcp(tcp) if tcp.flags.is_syn_ack() => Some(tuple.reversed()),
                _ => None,
            }
        });
        let by_port = |tuple: FiveTuple| match tuple.source.port < tuple.destination.port {
            true => tuple.reversed(),
            false => tuple,
        };
        let Some(opened) = opened.or_else(|| tuples().next().map(by_port)) else { return };
        self.ends = Some((opened.source, opened.destination));
        let client: IpAddr = opened.source.address;
        for step in &mut self.steps {
            step.to_server = match (travelled(&step.record), step.record.ip) {
                (Some(tuple), _) => tuple.source == opened.source,
                // A router's message goes to whom it complains about.
                (None, Some(ip)) => ip.destination != client,
                (None, None) => true,
            };
        }
    }
}

/// Addresses and ports in the direction the packet travelled; `None` for an ICMP error, which is somebody
/// else's packet.
fn travelled(record: &PacketRecord) -> Option<FiveTuple> {
    match &record.transport {
        Transport::Icmp(icmp) if icmp.quoted.is_some() => None,
        Transport::Arp(arp) => {
            let end = |address| Endpoint { address, port: 0 };
            Some(FiveTuple { source: end(arp.sender), destination: end(arp.target), protocol: 0 })
        }
        _ => FiveTuple::of(record),
    }
}
