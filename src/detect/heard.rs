//! Whose packets the capture holds: without any, silence is not known.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detect::scope::network;
use crate::detect::{Bounded, Merge, hash_of, merged};
use crate::dissect::Direction;
use crate::flow::Flow;

merged! {
    /// Packets by address: those it sent, and those it was sent.
    ///
    /// An answer that is missing says something only where its direction is captured. It is when the capture
    /// holds any other packet of the one who is asked, or any packet to the network of the one who asks.
    pub struct Heard(Bounded<IpAddr, [u64; 2], { 1 << 16 }>);
}

impl Heard {
    /// Takes the packets of a flow.
    pub fn flow(&mut self, flow: &Flow) {
        let [to_server, to_client] = Direction::BOTH.map(|direction| flow.half(direction).packets);
        if to_server + to_client == 0 {
            return;
        }
        let ends = [(flow.client, [to_server, to_client]), (flow.server, [to_client, to_server])];
        for (end, packets) in ends {
            if let Some(counts) = self.0.observe(hash_of(&end.address), end.address) {
                counts.absorb(packets);
            }
        }
    }

    /// The capture is known to hold packets that the address sent. Of an address that found no place nothing
    /// is known, and that is not silence.
    pub fn sent(&self, address: IpAddr) -> bool {
        self.0.get(hash_of(&address), address).is_some_and(|(_, [sent, _])| *sent > 0)
    }

    /// Networks that packets were sent to, with two of the addresses at most.
    pub fn receivers(&self) -> BTreeMap<IpAddr, Vec<IpAddr>> {
        let mut receivers: BTreeMap<IpAddr, Vec<IpAddr>> = BTreeMap::new();
        for (address, _, [_, received]) in self.0.iter() {
            let known = receivers.entry(network(*address)).or_default();
            if *received > 0 && known.len() < 2 {
                known.push(*address);
            }
        }
        receivers
    }
}
