//! A flow that is open: what was counted so far, and what follows its protocol.

use crate::dissect::Direction;
use crate::dissect::PacketRef;
use crate::dissect::{Endpoint, Faults, FiveTuple, Icmp, Ip, Link, PacketRecord, Transport};
use crate::flow::content::Content;
use crate::flow::retries::Retries;
use crate::flow::streams::StreamId;
use crate::flow::tcp::Connection;
use crate::flow::tcp::observed::numbers;
use crate::flow::{
    ConnState, Echoes, End, Flow, FlowLimits, Half, HandshakeOutcome, IcmpError, LinkUse, Roles, TcpFlow,
};
use crate::time::{Span, Timestamp};

/// An open flow. What a packet of a quiet connection touches stands together in here and in its connection:
/// in a long table every further place costs a miss of the caches, and one of the page table.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) flow: Flow,
    pub(super) hash: u64,
    /// What follows its protocol.
    pub(super) state: State,
    pub(super) content: Content,
    pub(super) stream: Option<StreamId>,
    /// The stream's numbers know a packet of this direction.
    pub(super) told: [bool; 2],
    /// Its weight and rank may not be what the table knows.
    pub(super) touched: bool,
    /// The way that the last packet of each direction took.
    ways: [Way; 2],
    pub(super) wake: Timestamp,
    /// The capture's clock at its last packet, from which idle time counts. Packets' own times may go back.
    pub(super) last_clock: Timestamp,
    /// Silence after which it is over, as its state is now.
    pub(super) idle: Span,
    /// Bytes of memory it took when it was looked at last.
    pub(super) weight: usize,
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
const PLACES: usize = 128;

impl Open {
    /// A flow that `clock` has just seen the first packet of.
    pub(super) fn new(
        flow: Flow,
        hash: u64,
        state: State,
        content: Content,
        stream: Option<StreamId>,
        clock: Timestamp,
    ) -> Box<Self> {
        Box::new(Self {
            flow,
            hash,
            state,
            content,
            stream,
            told: [false; 2],
            touched: false,
            ways: [Way::default(); 2],
            wake: Timestamp::MAX,
            last_clock: clock,
            idle: Span::ZERO,
            weight: 0,
            legs: 0,
            retries: [None, None],
        })
    }

    /// The direction of a packet with these ends; `None` when it is of another flow. VLANs are left out, so
    /// that a path that differs by direction stays one flow; tunnels are in, so that tenants with equal
    /// addresses stay apart.
    pub(super) fn direction(&self, tuple: &FiveTuple, tunnel: u64) -> Option<Direction> {
        if tunnel == self.flow.path.hash { self.direction_of(tuple) } else { None }
    }

    /// The same by the ends alone.
    pub(super) fn direction_of(&self, tuple: &FiveTuple) -> Option<Direction> {
        let Flow { client, server, protocol, .. } = &self.flow;
        let FiveTuple { source, destination, .. } = tuple;
        if tuple.protocol != *protocol {
            None
        } else if source == client && destination == server {
            Some(Direction::ToServer)
        } else {
            (source == server && destination == client).then_some(Direction::ToClient)
        }
    }

    /// Its ends, as the client's packets have them.
    pub(super) fn tuple(&self) -> FiveTuple {
        let Flow { client, server, protocol, .. } = self.flow;
        FiveTuple { source: client, destination: server, protocol }
    }

    /// What holds for every observation of a packet, copies included.
    pub(super) fn touch(&mut self, packet: &PacketRecord, ip: &Ip, direction: Direction) {
        let flow = &mut self.flow;
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
            let way = &mut self.ways[direction.index()];
            if way.place == 0 || way.packets == u32::MAX || !way.is_of(packet) {
                way.change(packet, &mut half.links);
            }
            way.packets += 1;
        }
    }

    /// A packet of these ends that comes in another tunnel is of this flow: it came by before, or it answers
    /// what only the other direction showed so far.
    pub(super) fn goes_on(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        direction: Direction,
        limits: &FlowLimits,
    ) -> bool {
        let halves = &self.flow.halves;
        let unseen =
            halves[direction.index()].packets == 0 && halves[direction.reverse().index()].packets > 0;
        match &packet.transport {
            Transport::Tcp(tcp) => {
                let connection = self.state.connection(&mut self.content, limits);
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
        let at = PacketRef { packet: packet.packet, time: packet.time };
        let half = &mut self.flow.halves[direction.index()];
        half.packets += 1;
        half.bytes += u64::from(ip.length);
        half.payload_bytes += u64::from(packet.payload.length);
        half.first.get_or_insert(at);
        half.last = Some(at);
    }

    /// Its flow is over: what was counted beside it belongs into it.
    pub(super) fn settle_ways(&mut self) {
        for (way, half) in self.ways.iter_mut().zip(&mut self.flow.halves) {
            way.settle(&mut half.links);
        }
    }

    /// Silence after which it is over, as its state is now.
    pub(super) fn idle(&self, limits: &FlowLimits) -> Span {
        match &self.state {
            State::None => limits.udp_idle,
            State::Connection(connection) if connection.is_closed() => limits.tcp_closed,
            State::Connection(connection) if connection.is_established() => limits.tcp_idle,
            State::Connection(_) | State::Attempt(_) => limits.tcp_attempt,
        }
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
        let retries: usize = self.retries.iter().flatten().map(|retries| retries.held()).sum();
        size_of::<Self>() + PLACES + state + self.content.held() + errors + laps + echoes + retries
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
pub(super) struct Attempt(PacketRecord);

impl Attempt {
    /// `packet` as an attempt, when it is a SYN and nothing else.
    pub(super) fn of(packet: &PacketRecord) -> Option<Box<Self>> {
        let Transport::Tcp(tcp) = &packet.transport else { return None };
        let bare = tcp.flags.is_syn() && !tcp.flags.fin() && !tcp.flags.rst() && packet.payload.length == 0;
        bare.then(|| Box::new(Self(*packet)))
    }

    /// What a connection would say that never was more than this SYN.
    pub(super) fn finish(&self) -> Box<TcpFlow> {
        let mut flow = Box::<TcpFlow>::default();
        if let Transport::Tcp(tcp) = &self.0.transport {
            flow.handshake.syns = vec![PacketRef { packet: self.0.packet, time: self.0.time }];
            flow.handshake.syn_count = 1;
            flow.handshake.outcome = HandshakeOutcome::Silent;
            flow.handshake.options[0] = Some(tcp.options);
            let stamp = tcp.options.timestamps.map(|(value, _)| value);
            flow.numbers = numbers([Some((tcp.seq, stamp)), None]);
            flow.conn_state = ConnState::S0;
            flow.history = "S".to_owned();
            flow.handshake.syn_window = tcp.window;
            flow.sides[0].mss = tcp.options.mss;
            flow.sides[0].ttl = self.0.ip.map(|ip| (ip.ttl, ip.ttl));
        }
        flow
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
            let Attempt(packet) = attempt.as_ref();
            let mut connection = limits.connection();
            if let (Some(ip), Transport::Tcp(tcp)) = (&packet.ip, &packet.transport) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{LinkType, RawPacket};
    use crate::dissect::{Seq, Tcp, TcpFlags, TcpOptions, dissect};

    /// What a flood leaves is written without making its connections, and says the same.
    #[test]
    fn an_attempt_ends_as_its_connection_would() {
        let limits = FlowLimits {
            tcp_idle: Span::secs(300),
            tcp_attempt: Span::secs(60),
            tcp_closed: Span::secs(5),
            udp_idle: Span::secs(60),
            events: 10,
            reassembly: 1 << 20,
        };
        for (mss, window_scale, dns) in [(None, None, false), (Some(1460), Some(7), true)] {
            let options = TcpOptions { mss, window_scale, sack_permitted: true, ..TcpOptions::default() };
            let tcp = Tcp { seq: Seq(7), flags: TcpFlags::SYN, window: 1, options, ..Tcp::default() };
            let raw = RawPacket {
                packet: 3,
                offset: 0,
                time: Some(Timestamp(5)),
                wire: 0,
                interface: 0,
                link_type: LinkType(0xffff),
                start: 0,
                data: &[],
            };
            let ip = Ip { protocol: 6, length: 60, ..Ip::default() };
            let packet = PacketRecord { ip: Some(ip), transport: Transport::Tcp(tcp), ..dissect(&raw) };
            let attempt = Attempt::of(&packet).expect("a SYN");
            let short = attempt.finish();
            let (mut state, mut content) = (State::Attempt(attempt), Content::stream(dns, false, None));
            assert!(state.connection(&mut content, &limits).is_some());
            let State::Connection(connection) = state else { panic!("no connection") };
            let long =
                connection.finish(PacketRef { packet: packet.packet, time: packet.time }, &mut content);
            assert_eq!(format!("{short:?}"), format!("{long:?}"));
        }
    }
}
