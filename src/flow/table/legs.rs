//! One flow on several legs: its packets are recorded outside and inside a tunnel, in one tunnel after the
//! other, or in a tunnel that is another one in each direction (VXLAN network identifiers, GRE keys, GTP-U,
//! an answer that takes no tunnel).
//!
//! A flow is found by its addresses, its ports and the tunnels around it, because tenants may have equal
//! addresses. The first packet that comes by another tunnel joins the flow when its numbers prove it.

use hashbrown::HashMap;

use super::FlowTable;
use crate::dissect::{Direction, FiveTuple, Ip, PacketRecord};
use crate::flow::open::slot_hash_of;
use crate::time::Timestamp;

/// Tunnels of one flow beside the one it began in.
const MOST: u8 = 8;

/// Which flow goes on in which tunnel. A flow may have ended since: its id tells.
#[derive(Debug, Default)]
pub(super) struct Legs {
    /// The last flow that began in a tunnel, by partition hash.
    tunnelled: HashMap<u64, Place>,
    /// By partition and path hash: flows that began elsewhere.
    joined: HashMap<(u64, u64), Place>,
}

/// A slot of the table, and the id of the flow that it must have.
type Place = (usize, u64);

impl Legs {
    /// A flow began in a tunnel.
    fn begins(&mut self, partition: u64, place: Place) {
        self.tunnelled.insert(partition, place);
    }

    /// The last flow with these ends that began in a tunnel.
    fn tunnelled(&self, partition: u64) -> Option<Place> {
        self.tunnelled.get(&partition).copied()
    }

    /// The flow goes on in the tunnels of this path, too.
    fn join(&mut self, partition: u64, path: u64, place: Place) {
        self.joined.insert((partition, path), place);
    }

    /// The flow that goes on in the tunnels of this path, and began elsewhere.
    fn joined(&self, partition: u64, path: u64) -> Option<Place> {
        self.joined.get(&(partition, path)).copied()
    }

    /// Forgets flows that have ended, when they are more than the `open` ones.
    fn tidy(&mut self, open: usize, is_open: impl Fn(Place) -> bool) {
        if self.tunnelled.len() > 2 * open + 64 {
            self.tunnelled.retain(|_, place| is_open(*place));
        }
        if self.joined.len() > 2 * usize::from(MOST) * open + 64 {
            self.joined.retain(|_, place| is_open(*place));
        }
    }
}

impl FlowTable {
    /// The flow at `at` has just begun: later packets may show it in another tunnel.
    pub(super) fn begins_in_tunnel(&mut self, at: usize) {
        let slot = &self.open[at];
        if slot.tunnel() != 0 {
            self.legs.begins(slot.tuple().partition_hash(), (at, slot.id()));
            let open = &self.open;
            self.legs.tidy(open.len(), |(at, id)| open.get(at).is_some_and(|slot| slot.id() == id));
        }
    }

    /// The open flow that goes on in the tunnels of this packet, and began elsewhere.
    pub(super) fn joined(&self, packet: &PacketRecord) -> Option<usize> {
        self.is_open(self.legs.joined(packet.partition, packet.path.hash)?)
    }

    fn is_open(&self, (at, id): Place) -> Option<usize> {
        self.open.get(at).is_some_and(|slot| slot.id() == id).then_some(at)
    }

    /// The open flow of a packet with these ends, or one that the packet shows to go on in another tunnel.
    pub(super) fn current_or_leg(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        tuple: &FiveTuple,
        clock: Timestamp,
    ) -> Option<(usize, Direction)> {
        let known = self.current(packet, tuple, clock);
        if known.is_some() || !self.tunnels {
            return known;
        }
        let outside = self.index.find(slot_hash_of(packet.partition, 0), |at| {
            self.open[*at as usize].direction(tuple, 0).is_some()
        });
        let outside = outside.map(|at| *at as usize);
        let inside = self.legs.tunnelled(packet.partition).and_then(|place| self.is_open(place));
        for at in outside.into_iter().chain(inside) {
            let place = (at, self.open[at].id());
            if clock > self.open[at].entry().deadline() {
                continue;
            }
            let Some(direction) = self.open[at].direction_of(tuple) else { continue };
            let open = self.flow_at(at);
            if open.legs < MOST && open.goes_on(packet, ip, direction) {
                open.legs += 1;
                self.legs.join(packet.partition, packet.path.hash, place);
                return Some((at, direction));
            }
        }
        None
    }
}
