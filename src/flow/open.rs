//! A flow that is open: what was counted so far, and what follows its protocol.

use crate::dissect::Direction;
use crate::dissect::PacketRef;
use crate::dissect::{Endpoint, Faults, FiveTuple, Icmp, Ip, Link, PacketRecord, Transport};
use crate::flow::content::Content;
use crate::flow::entry::Entry;
use crate::flow::retries::Retries;
use crate::flow::tcp::Connection;
use crate::flow::{Echoes, End, Flow, FlowLimits, Half, IcmpError, LinkUse, Roles};
use crate::time::{Span, Timestamp};

/// An open flow. What a packet of a quiet connection touches stands together in here and in its connection:
/// in a long table every further place costs a miss of the caches, and one of the page table.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) flow: Flow,
    pub(super) entry: Entry,
    /// What follows its protocol.
    pub(super) state: State,
    pub(super) content: Content,
    /// The stream's numbers know a packet of this direction.
    pub(super) told: [bool; 2],
    /// The way that the last packet of each direction took.
    ways: [Way; 2],
    /// Tunnels it goes on in beside the one it began in.
    pub(super) legs: u8,
    /// The last frames of each direction on a link that sends frames again.
    retries: [Option<Box<Retries>>; 2],
}

/// A link path, and the packets that took it one after the other: most flows have one, and are not asked for
/// it again.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    source: [u8; 6],
    destination: [u8; 6],
    vlan: u16,
    interface: u32,
    /// Its place among the link paths of the direction, from 1; 0 when it has none.
    place: u8,
    packets: u32,
}

impl Way {
    fn is_of(&self, packet: &PacketRecord) -> bool {
        self.interface == packet.interface
            && self.vlan == packet.path.vlan
            && self.source == packet.link.source
            && self.destination == packet.link.destination
    }

    /// A packet of this direction took another way, or is the first.
    #[cold]
    fn change(&mut self, packet: &PacketRecord, links: &mut Vec<LinkUse>) {
        self.settle(links);
        let Link { source, destination, .. } = packet.link;
        let (vlan, interface) = (packet.path.vlan, packet.interface);
        let known = |path: &LinkUse| {
            (path.source, path.destination, path.vlan, path.interface)
                == (source, destination, vlan, interface)
        };
        let place = links.iter().position(known).or_else(|| {
            (links.len() < LinkUse::MAX).then(|| {
                // Most flows take one way.
                links.reserve_exact(1);
                let first = PacketRef { packet: packet.packet, time: packet.time };
                links.push(LinkUse { source, destination, vlan, interface, packets: 0, first });
                links.len() - 1
            })
        });
        let place = place.map_or(0, |place| place as u8 + 1);
        *self = Self { source, destination, vlan, interface, place, packets: 0 };
    }

    /// Counts its packets where they belong.
    fn settle(&mut self, links: &mut [LinkUse]) {
        let packets = std::mem::take(&mut self.packets);
        let link = self.place.checked_sub(1).and_then(|place| links.get_mut(usize::from(place)));
        link.into_iter().for_each(|link| link.packets += u64::from(packets));
    }
}

/// Whom a full table keeps: first connections that are open, then who spoke last. Ids make it total.
pub(crate) type EvictionRank = (bool, Timestamp, u64);

/// Memory of a flow's places in the table, the index and the queue, and of the ways its packets took, bytes.
pub(super) const PLACES: usize = 128;

impl Open {
    /// A flow without a packet.
    pub(super) fn new(flow: Flow, entry: Entry, state: State, content: Content) -> Box<Self> {
        Box::new(Self {
            flow,
            entry,
            state,
            content,
            told: [false; 2],
            ways: [Way::default(); 2],
            legs: 0,
            retries: [None, None],
        })
    }

    /// The direction of a packet with these ends; `None` when it is of another flow.
    pub(super) fn direction_of(&self, tuple: &FiveTuple) -> Option<Direction> {
        self.tuple().direction_of(tuple)
    }

    /// Its ends, as the client's packets have them.
    pub(super) fn tuple(&self) -> FiveTuple {
        let Flow { client, server, protocol, .. } = self.flow;
        FiveTuple { source: client, destination: server, protocol }
    }

    /// What holds for every observation of a packet, copies included.
    pub(super) fn touch(&mut self, packet: &PacketRecord, ip: &Ip, direction: Direction) {
        touch(&mut self.flow, &mut self.ways, packet, ip, direction);
    }

    /// A packet of these ends that comes in another tunnel is of this flow: it came by before, or it answers
    /// what only the other direction showed so far.
    pub(super) fn goes_on(&mut self, packet: &PacketRecord, ip: &Ip, direction: Direction) -> bool {
        let halves = &self.flow.halves;
        let unseen =
            halves[direction.index()].packets == 0 && halves[direction.reverse().index()].packets > 0;
        match &packet.transport {
            Transport::Tcp(tcp) => {
                let connection = self.state.connection();
                connection.is_some_and(|known| known.shows_again(packet, ip, tcp, direction, unseen))
            }
            // No tenant's port is that of another by chance.
            Transport::Udp(udp) => unseen && udp.source_port != 0 && udp.destination_port != 0,
            Transport::Icmp(icmp) => unseen && icmp.echo.is_some() && matches!(icmp.kind, 0 | 129),
            _ => false,
        }
    }

    /// An ICMP message that quotes no packet: an echo counts.
    pub(super) fn echo(&mut self, packet: &PacketRecord, ip: &Ip, icmp: &Icmp) {
        let Some(echo) = icmp.echo else { return };
        let to_server = self.flow.client.address == ip.source;
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        let sides = self.flow.echoes.get_or_insert_default();
        // A host that pings itself has one direction only.
        let alone = ip.source == ip.destination;
        match icmp.kind {
            0 | 129 if !alone => sides[direction.reverse().index()].reply(packet, echo),
            0 | 129 => sides[direction.index()].reply(packet, echo),
            _ => sides[direction.index()].request(packet, ip, echo),
        }
    }

    /// The packet that this one is the same frame as, sent again by the link layer.
    pub(super) fn retry_of(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        direction: Direction,
    ) -> Option<PacketRef> {
        packet.link.sequence?;
        let first = self.retries[direction.index()].get_or_insert_default().check(packet, ip)?;
        self.flow.halves[direction.index()].retries += 1;
        Some(first)
    }

    /// What is counted once per packet.
    pub(super) fn count(&mut self, packet: &PacketRecord, ip: &Ip, direction: Direction) {
        count(&mut self.flow, packet, ip, direction);
    }

    /// Its flow is over: what was counted beside it belongs into it.
    pub(super) fn settle_ways(&mut self) {
        settle(&mut self.flow, &mut self.ways);
    }

    /// Silence after which it is over, as its state is now.
    pub(super) fn idle(&self, limits: &FlowLimits) -> Span {
        match &self.state {
            State::None => limits.udp_idle,
            State::Connection(connection) if connection.is_closed() => limits.tcp_closed,
            State::Connection(connection) if connection.is_established() => limits.tcp_idle,
            State::Connection(_) => limits.tcp_attempt,
        }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn held(&self) -> usize {
        let state = match &self.state {
            State::None => 0,
            State::Connection(connection) => connection.held(),
        };
        let errors = self.flow.icmp_errors.len() * size_of::<IcmpError>();
        let laps = self.flow.laps.as_ref().map_or(0, |laps| laps.held());
        let echoes = self.flow.echoes.as_ref().map_or(0, |sides| sides.iter().map(Echoes::held).sum());
        let retries: usize = self.retries.iter().flatten().map(|retries| retries.held()).sum();
        size_of::<Self>() + PLACES + state + self.content.held() + errors + laps + echoes + retries
    }

    pub(super) fn eviction_rank(&self) -> EvictionRank {
        let running = match &self.state {
            State::Connection(connection) => connection.is_established() && !connection.is_closed(),
            State::None => false,
        };
        (running, self.entry.last_clock, self.flow.id)
    }
}

/// What follows the protocol of a flow.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing: it is not TCP.
    None,
    /// A connection.
    Connection(Box<Connection>),
}

impl State {
    /// The connection.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Connection(connection) => Some(connection),
            Self::None => None,
        }
    }
}

/// What a flow of this packet alone says of it.
pub(super) fn seen_once(flow: &mut Flow, packet: &PacketRecord, ip: &Ip, direction: Direction) {
    let mut ways = <[Way; 2]>::default();
    touch(flow, &mut ways, packet, ip, direction);
    count(flow, packet, ip, direction);
    settle(flow, &mut ways);
}

/// What holds for every observation of a packet, copies included.
fn touch(flow: &mut Flow, ways: &mut [Way; 2], packet: &PacketRecord, ip: &Ip, direction: Direction) {
    if packet.time >= flow.last.time {
        flow.last = PacketRef { packet: packet.packet, time: packet.time };
    }
    // Packets of one way have one TTL: only of others somebody has to remember something.
    if flow.half(direction).ttl.is_some_and(|(_, highest)| ip.ttl < highest) {
        flow.laps.get_or_insert_default().see(packet, ip, direction);
    }
    let half = &mut flow.halves[direction.index()];
    if packet.faults != Faults::default() {
        half.clipped += u64::from(packet.faults.contains(Faults::CLIPPED));
        let count = |fault| u32::from(packet.faults.contains(fault));
        half.zero_length = half.zero_length.saturating_add(count(Faults::ZERO_LENGTH));
        half.damaged = half.damaged.saturating_add(count(Faults::IP_CHECKSUM));
    }
    half.ttl = Some(half.ttl.map_or((ip.ttl, ip.ttl), |(low, high)| (low.min(ip.ttl), high.max(ip.ttl))));
    if packet.link != Link::default() {
        let way = &mut ways[direction.index()];
        if way.place == 0 || way.packets == u32::MAX || !way.is_of(packet) {
            way.change(packet, &mut half.links);
        }
        way.packets += 1;
    }
}

/// What is counted once per packet.
fn count(flow: &mut Flow, packet: &PacketRecord, ip: &Ip, direction: Direction) {
    let at = PacketRef { packet: packet.packet, time: packet.time };
    let half = &mut flow.halves[direction.index()];
    half.packets += 1;
    half.bytes += u64::from(ip.length);
    half.payload_bytes += u64::from(packet.payload.length);
    half.first.get_or_insert(at);
    half.last = Some(at);
}

fn settle(flow: &mut Flow, ways: &mut [Way; 2]) {
    for (way, half) in ways.iter_mut().zip(&mut flow.halves) {
        way.settle(&mut half.links);
    }
}

/// A flow's place in the index. Equal partitions have equal low bits in the packets' hashes, and a table
/// chooses its places by those.
pub(super) fn slot_hash(packet: &PacketRecord) -> u64 {
    slot_hash_of(packet.partition, packet.path.hash)
}

/// The same of a partition hash and the hash of a path.
pub(super) fn slot_hash_of(partition: u64, path: u64) -> u64 {
    (partition ^ path).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

/// The server has the better-known port: a system port (RFC 6335 section 6), else the clearly lower one.
pub(super) fn roles_by_port(source: Endpoint, destination: Endpoint) -> (Endpoint, Endpoint, Roles) {
    let registered = |port: u16| port < 1024;
    let ephemeral = |port: u16| port >= 32_768;
    let server_sends = (registered(source.port) && !registered(destination.port))
        || (!ephemeral(source.port) && ephemeral(destination.port) && source.port != 0);
    let server_receives = (registered(destination.port) && !registered(source.port))
        || (!ephemeral(destination.port) && ephemeral(source.port) && destination.port != 0);
    if server_receives {
        (source, destination, Roles::Port)
    } else if server_sends {
        (destination, source, Roles::Port)
    } else {
        (source, destination, Roles::FirstPacket)
    }
}

pub(super) fn new_flow(
    packet: &PacketRecord,
    protocol: u8,
    client: Endpoint,
    server: Endpoint,
    roles: Roles,
) -> Flow {
    let at = PacketRef { packet: packet.packet, time: packet.time };
    Flow {
        id: packet.packet,
        protocol,
        client,
        server,
        roles,
        path: packet.path,
        first: at,
        last: at,
        halves: [Half::default(), Half::default()],
        tcp: None,
        tls: None,
        upgrade: None,
        greetings: Default::default(),
        service: None,
        icmp_errors: Vec::new(),
        icmp_errors_dropped: 0,
        laps: None,
        echoes: None,
        end: End::CaptureEnd,
        continues: false,
        watched_until: packet.time,
        stream: None,
    }
}
