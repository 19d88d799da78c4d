//! What several detectors ask of all flows and lookups, counted once: whose packets the capture holds,
//! because without any, silence is not known; who connected to whom; which addresses resolvers gave for
//! names.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::app::dns::Transaction;
use crate::detect::answers::{Answers, Visits};
use crate::detect::lookups::asks_for_name;
use crate::detect::scope::network;
use crate::detect::translations::Translations;
use crate::detect::{Bounded, Distinct, Merge, merged};
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, FlowHead};

merged! {
    /// Packets by address: those it sent, and those it was sent. Connections, and answers to lookups.
    ///
    /// An answer that is missing says something only where its direction is captured. It is when the capture
    /// holds any other packet of the one who is asked, or any packet to the network of the one who asks.
    pub struct Heard {
        packets: Bounded<IpAddr, [u64; 2], { 1 << 16 }>,
        /// Connections by client and server address.
        pub(super) visits: Visits,
        /// Answers by name, type and resolver.
        pub(super) answers: Answers,
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
        }
    }

    /// Takes the packets of a flow.
    pub fn flow(&mut self, flow: &Flow) {
        self.visits.flow(flow);
        self.translations.flow(flow);
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
        let ends = [(flow.client, [to_server, to_client]), (flow.server, [to_client, to_server])];
        for (end, packets) in ends {
            if let Some(counts) = self.packets.count(end.address) {
                counts.absorb(packets);
            }
        }
    }

    /// The capture is known to hold packets that the address sent. Of an address that found no place nothing
    /// is known, and that is not silence.
    pub fn sent(&self, address: IpAddr) -> bool {
        self.packets.get(&address).is_some_and(|(_, [sent, _])| *sent > 0)
    }

    /// One client alone, that hardly any of its many connections to the host opens for: it goes through the
    /// ports, and nobody misses what it does not find (nmap tries a thousand).
    pub(super) fn is_scan(&self, clients: &Distinct<IpAddr>, host: IpAddr) -> bool {
        /// A judgement: who needs a service that is down does not ask so much more often than it works.
        const TRIES: u64 = 100;
        let visit = clients.only().map(|client| self.visits.of(*client, [host].iter()));
        visit.is_some_and(|visit| visit.failed >= TRIES && visit.failed * 10 >= visit.connections * 9)
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
        for (address, _, [_, received]) in self.packets.iter() {
            let known = receivers.entry(network(*address)).or_default();
            if *received > 0 && known.len() < 2 {
                known.push(*address);
            }
        }
        receivers
    }
}
