//! What several detectors ask of all flows and lookups, counted once: whose packets the capture holds,
//! because without any, silence is not known; who connected to whom; which addresses resolvers gave for
//! names.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::app::dns::Transaction;
use crate::detect::answers::{Answers, Visits};
use crate::detect::hosts::Hosts;
use crate::detect::lookups::{Answered, asks_for_name, lowercase};
use crate::detect::scope::network;
use crate::detect::translations::Translations;
use crate::detect::{Bounded, Distinct, Merge, merged};
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, FlowHead};
use crate::time::Span;

/// Connect time with a repeated SYN, from which it is late: the first time-out (RFC 6298 section 2.1).
const LATE: Span = Span::secs(1);

merged! {
    /// What is known of an address.
    struct Packets {
        sent: u64,
        received: u64,
        /// Of those over IPv6, the ones beyond its link: sent and received, ICMP errors included.
        beyond: [u64; 2],
        /// Of those it sent over IPv6, the ones that no router forwarded: with the hop limit that hosts begin
        /// with, or to its own network.
        near: u64,
        /// Link addresses that sent its packets: its own, or a router's.
        links: Distinct<[u8; 6], 2>,
    }
}

merged! {
    /// Packets by address: those it sent, and those it was sent. Connections, and answers to lookups.
    ///
    /// An answer that is missing says something only where its direction is captured. It is when the capture
    /// holds any other packet of the one who is asked, or any packet to the network of the one who asks.
    pub struct Heard {
        packets: Bounded<IpAddr, Packets, { 1 << 16 }>,
        /// Link addresses that packets were sent to, groups left out.
        links: Bounded<[u8; 6], (), { 1 << 14 }>,
        /// Hosts whose SYN-ACK reached a client late, after the client had repeated its SYN.
        late: Bounded<IpAddr, Distinct<IpAddr, 4>, { 1 << 12 }>,
        /// Flows of an address that only its own host sees (RFC 7335).
        within_host: u64,
        /// Connections by client and server address.
        pub(super) visits: Visits,
        /// Answers by name, type and resolver.
        pub(super) answers: Answers,
        /// When clients got what they asked for by name, of whomever.
        pub(super) found: Answered,
        /// Conversations on both sides of an address translation.
        pub(super) translations: Translations,
        /// Flows of which a direction has damaged packets only, by their ends.
        damaged: Bounded<(Endpoint, Endpoint), (), { 1 << 12 }>,
        /// Directions of flows with damaged packets only, and others.
        directions: [u64; 2],
    }
}

impl Heard {
    /// Takes a lookup.
    pub fn transaction(&mut self, transaction: &Transaction, flow: &FlowHead) {
        if asks_for_name(transaction, flow) {
            self.answers.add(transaction, flow);
            if let Some(response) = transaction.response.filter(|_| transaction.found()) {
                let name = lowercase(&transaction.name);
                self.found.add(flow.client.address, &name, response.time, flow.server);
            }
        }
    }

    /// Takes the packets of a flow.
    pub fn flow(&mut self, flow: &Flow) {
        self.visits.flow(flow);
        self.translations.flow(flow);
        if let Some(tcp) = &flow.tcp
            && tcp.handshake.syn_count > 1
            && tcp.handshake.connect_time.is_some_and(|time| time >= LATE)
            && let Some(hosts) = self.late.count(flow.client.address)
        {
            hosts.add(flow.server.address);
        }
        let [to_server, to_client] = Direction::BOTH.map(|direction| flow.half(direction).packets);
        if to_server + to_client == 0 {
            return;
        }
        for half in flow.halves.iter().filter(|half| half.packets > 0) {
            let damaged = u64::from(half.damaged) >= half.packets;
            self.directions[usize::from(!damaged)] += 1;
            if damaged {
                self.damaged.count((flow.client, flow.server));
            }
        }
        // In a tunnel, link addresses are those of its ends.
        let native = flow.path.depth == 0;
        self.within_host += u64::from(native && is_within_host(flow.client.address));
        let far = leaves_link(flow.client.address, flow.server.address);
        let errors = flow.icmp_errors.len() as u64;
        for direction in Direction::BOTH {
            let (own, back) = (flow.half(direction), flow.half(direction.reverse()).packets);
            let links = own.links.iter().filter(|_| native);
            for link in links.clone().filter(|link| link.destination[0] & 1 == 0) {
                self.links.count(link.destination);
            }
            let Some(counts) = self.packets.count(flow.sender(direction).address) else { continue };
            counts.sent += own.packets;
            counts.received += back;
            if far {
                counts.beyond.absorb([own.packets, back + errors]);
            }
            let whole = own.ttl.is_some_and(|(least, _)| matches!(least, 64 | 128 | 255));
            counts.near += if flow.client.address.is_ipv6() && (whole || !far) { own.packets } else { 0 };
            links.for_each(|link| counts.links.add(link.source));
        }
    }

    /// Whatever the IPv6 address sent beyond its link, nothing came back from there, and no ICMP error. It is
    /// on the link, and the capture holds packets that were sent to its link address: it would hold answers.
    pub(super) fn is_cut_off(&self, address: IpAddr) -> bool {
        let Some((_, packets)) = self.packets.get(&address) else { return false };
        let [sent, received] = packets.beyond;
        let known = |link: &[u8; 6]| *link != [0; 6] && self.links.get(link).is_some();
        let hears = || packets.links.iter().any(known);
        sent > 0 && received == 0 && packets.near > 0 && hears()
    }

    /// Link addresses that sent its packets: its own, or a router's.
    pub(super) fn links(&self, address: IpAddr) -> impl Iterator<Item = &[u8; 6]> {
        self.packets.get(&address).into_iter().flat_map(|(_, packets)| packets.links.iter())
    }

    /// Addresses whose packets came from this link address: one of a host, many of a router.
    pub(super) fn senders(&self, link: [u8; 6]) -> impl Iterator<Item = IpAddr> {
        let all =
            self.packets.iter().filter(move |(_, _, packets)| packets.links.iter().any(|of| *of == link));
        all.map(|(address, ..)| *address)
    }

    /// Which addresses one host has.
    pub fn hosts(&self) -> Hosts {
        if !self.packets.iter().any(|(address, ..)| address.is_ipv6()) {
            return Hosts::default();
        }
        let sent = self.packets.iter().filter(|(_, _, packets)| packets.sent > 0);
        Hosts::new(sent.flat_map(|(address, _, packets)| packets.links.iter().map(|link| (*link, *address))))
    }

    /// Several hosts answer it late: what is slow is its line.
    pub(super) fn has_slow_line(&self, client: IpAddr) -> bool {
        /// As many as are one finding of `missing_syn_ack`.
        const HOSTS: u64 = 3;
        self.late.get(&client).is_some_and(|(_, hosts)| hosts.count() >= HOSTS)
    }

    /// The capture was made on the host that its clients are: it holds packets that do not leave one.
    pub(super) fn is_within_host(&self) -> bool {
        self.within_host > 0
    }

    /// The client has connections that opened, to whomever.
    pub(super) fn opens(&self, client: IpAddr) -> bool {
        self.visits.opens(client)
    }

    /// The capture is known to hold packets that the address sent. Of an address that found no place nothing
    /// is known, and that is not silence.
    pub fn sent(&self, address: IpAddr) -> bool {
        self.packets.get(&address).is_some_and(|(_, packets)| packets.sent > 0)
    }

    /// Packets that the address got.
    pub(super) fn received(&self, address: IpAddr) -> u64 {
        self.packets.get(&address).map_or(0, |(_, packets)| packets.received)
    }

    /// One client alone, that hardly any of its many connections to the host opens for: it goes through the
    /// ports, and nobody misses what it does not find.
    pub(super) fn is_scan(&self, clients: &Distinct<IpAddr>, host: IpAddr) -> bool {
        clients.only().is_some_and(|client| self.visits.of(*client, [host].iter()).is_scan())
    }

    /// Damaged packets alone show that these two met: one of them may not exist. Not where most packets are
    /// "damaged", as when a tool put other addresses in.
    pub(super) fn is_damaged(&self, client: Endpoint, server: Endpoint) -> bool {
        let [damaged, intact] = self.directions;
        damaged < intact && self.damaged.get(&(client, server)).is_some()
    }

    /// Networks that packets were sent to, with two of the addresses at most.
    pub fn receivers(&self) -> BTreeMap<IpAddr, Vec<IpAddr>> {
        let mut receivers: BTreeMap<IpAddr, Vec<IpAddr>> = BTreeMap::new();
        for (address, _, packets) in self.packets.iter() {
            let known = receivers.entry(network(*address)).or_default();
            if packets.received > 0 && known.len() < 2 {
                known.push(*address);
            }
        }
        receivers
    }
}

/// An IPv6 address of one host, beyond its link.
pub(super) fn is_routed(address: &IpAddr) -> bool {
    let own = !address.is_unspecified() && !address.is_multicast();
    own && matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local())
}

/// Between hosts of two IPv6 networks, neither of which is the link itself.
fn leaves_link(one: IpAddr, other: IpAddr) -> bool {
    is_routed(&one) && is_routed(&other) && network(one) != network(other)
}

/// An address with which a host speaks IPv4 to its own translator to IPv6: 192.0.0.0/29, which leaves no host
/// (RFC 7335).
fn is_within_host(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[..3] == [192, 0, 0] && v4.octets()[3] < 8)
}
