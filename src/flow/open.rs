//! A flow that is open: what was counted so far, and what follows its protocol.

use crate::dissect::Direction;
use crate::dissect::PacketRef;
use crate::dissect::{Endpoint, Faults, FiveTuple, Ip, Link, PacketRecord, Path, Transport};
use crate::flow::content::Content;
use crate::flow::streams::StreamId;
use crate::flow::tcp::Connection;
use crate::flow::{Echoes, End, Flow, FlowLimits, Half, IcmpError, LinkUse, Roles};
use crate::time::Timestamp;

/// Both directions of a conversation have the same key. VLANs are left out, so that a path that differs by
/// direction stays one flow; tunnels are in, so that tenants with equal addresses stay apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) tuple: FiveTuple,
    tunnel: u64,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) flow: Box<Flow>,
    pub(super) key: Key,
    pub(super) hash: u64,
    /// What follows its protocol.
    pub(super) state: State,
    pub(super) content: Content,
    pub(super) stream: Option<StreamId>,
    pub(super) wake: Timestamp,
    /// The capture's clock at its last packet, from which idle time counts. Packets' own times may go back.
    pub(super) last_clock: Timestamp,
    /// Bytes of memory it took when it was looked at last.
    pub(super) weight: usize,
}

/// Whom a full table keeps: first connections that are open, then who spoke last. Ids make it total.
pub(crate) type EvictionRank = (bool, Timestamp, u64);

/// Memory of a flow's places in the table, the index and the queue, and of the ways its packets took, bytes.
const PLACES: usize = 128;

impl Open {
    /// A flow that `clock` has just seen the first packet of.
    pub(super) fn new(
        flow: Box<Flow>,
        key: Key,
        hash: u64,
        state: State,
        content: Content,
        stream: Option<StreamId>,
        clock: Timestamp,
    ) -> Self {
        Self { flow, key, hash, state, content, stream, wake: Timestamp::MAX, last_clock: clock, weight: 0 }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn held(&self) -> usize {
        let state = match &self.state {
            State::None => 0,
            State::Attempt(_) => size_of::<Attempt>(),
            State::Connection(connection) => connection.held(),
        };
        let errors = self.flow.icmp_errors.len() * size_of::<IcmpError>();
        let laps = self.flow.laps.as_ref().map_or(0, |laps| laps.held());
        let echoes = self.flow.echoes.as_ref().map_or(0, |sides| sides.iter().map(Echoes::held).sum());
        size_of::<Self>() + size_of::<Flow>() + PLACES + state + self.content.held() + errors + laps + echoes
    }

    pub(super) fn eviction_rank(&self) -> EvictionRank {
        let running = match &self.state {
            State::Connection(connection) => connection.is_established() && !connection.is_closed(),
            State::Attempt(_) | State::None => false,
        };
        (running, self.last_clock, self.flow.id)
    }
}

/// What follows the protocol of a flow.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing: it is not TCP.
    None,
    /// One SYN so far, and most of a flood never get further: the packet is a tenth of a connection's size,
    /// and the connection can still be made from it.
    Attempt(Box<Attempt>),
    /// A connection.
    Connection(Box<Connection>),
}

/// The SYN of a connection that nothing else was seen of.
#[derive(Debug)]
pub(super) struct Attempt {
    packet: PacketRecord,
    /// It took over the ports of an earlier connection.
    reused: bool,
}

impl Attempt {
    /// `packet` as an attempt, when it is a SYN and nothing else.
    pub(super) fn of(packet: &PacketRecord, reused: bool) -> Option<Self> {
        let Transport::Tcp(tcp) = &packet.transport else { return None };
        let bare = tcp.flags.is_syn() && !tcp.flags.fin() && !tcp.flags.rst() && packet.payload.length == 0;
        bare.then_some(Self { packet: *packet, reused })
    }
}

impl State {
    /// The connection, made from its SYN when there was nothing else so far.
    pub(super) fn connection(
        &mut self,
        content: &mut Content,
        limits: &FlowLimits,
    ) -> Option<&mut Connection> {
        if let Self::Attempt(attempt) = self {
            let Attempt { packet, reused } = attempt.as_ref();
            let mut connection = limits.connection();
            if let (Some(ip), Transport::Tcp(tcp)) = (&packet.ip, &packet.transport) {
                if *reused {
                    connection.reuses(packet, Direction::ToServer, tcp, ip);
                }
                // The first packet is no copy, but later ones may be copies of it.
                connection.copy_of(packet, ip, tcp, Direction::ToServer);
                connection.packet(packet, ip, tcp, Direction::ToServer, &[], content);
            }
            *self = Self::Connection(connection);
        }
        match self {
            Self::Connection(connection) => Some(connection),
            Self::Attempt(_) | Self::None => None,
        }
    }
}

impl Key {
    pub(super) fn new(tuple: FiveTuple, path: &Path) -> Self {
        Self { tuple: tuple.canonical(), tunnel: path.hash }
    }
}

/// A flow's place in the index. Equal partitions have equal low bits in the packets' hashes, and a table
/// chooses its places by those.
pub(super) fn slot_hash(packet: &PacketRecord) -> u64 {
    (packet.partition ^ packet.path.hash).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
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

pub(super) fn direction_of(flow: &Flow, source: Endpoint) -> Direction {
    if flow.client == source { Direction::ToServer } else { Direction::ToClient }
}

pub(super) fn new_flow(
    packet: &PacketRecord,
    protocol: u8,
    client: Endpoint,
    server: Endpoint,
    roles: Roles,
) -> Box<Flow> {
    let at = PacketRef { packet: packet.packet, time: packet.time };
    Box::new(Flow {
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
    })
}

/// What holds for every observation of a packet, copies included.
pub(super) fn touch(flow: &mut Flow, packet: &PacketRecord, ip: &Ip, direction: Direction) {
    let at = PacketRef { packet: packet.packet, time: packet.time };
    // Packets of one way have one TTL: only of others somebody has to remember something.
    if flow.half(direction).ttl.is_some_and(|(_, highest)| ip.ttl < highest) {
        flow.laps.get_or_insert_default().see(packet, ip, direction);
    }
    if at.time >= flow.last.time {
        flow.last = at;
    }
    let half = &mut flow.halves[direction.index()];
    half.clipped += u64::from(packet.faults.contains(Faults::CLIPPED));
    half.zero_length += u64::from(packet.faults.contains(Faults::ZERO_LENGTH));
    half.ttl = Some(half.ttl.map_or((ip.ttl, ip.ttl), |(low, high)| (low.min(ip.ttl), high.max(ip.ttl))));
    if packet.link != Link::default() {
        let same = |path: &&mut LinkUse| {
            path.source == packet.link.source
                && path.destination == packet.link.destination
                && path.vlan == packet.path.vlan
                && path.interface == packet.interface
        };
        if let Some(known) = half.links.iter_mut().find(same) {
            known.packets += 1;
        } else if half.links.len() < LinkUse::MAX {
            // Most flows take one way.
            half.links.reserve_exact(1);
            half.links.push(LinkUse {
                source: packet.link.source,
                destination: packet.link.destination,
                vlan: packet.path.vlan,
                interface: packet.interface,
                packets: 1,
                first: at,
            });
        }
    }
}

/// What is counted once per packet.
pub(super) fn count(flow: &mut Flow, packet: &PacketRecord, ip: &Ip, direction: Direction) {
    let at = PacketRef { packet: packet.packet, time: packet.time };
    let half = &mut flow.halves[direction.index()];
    half.packets += 1;
    half.bytes += u64::from(ip.length);
    half.payload_bytes += u64::from(packet.payload.length);
    half.first.get_or_insert(at);
    half.last = Some(at);
}
