//! A connection of which one SYN was seen so far: most of a flood never get further. The packet is a fraction
//! of what an open flow takes, and the flow can still be made from it.

use crate::capture::Keys;
use crate::dissect::{Direction, FiveTuple, Ip, PacketRecord, Tcp, Transport};
use crate::flow::content::Content;
use crate::flow::entry::Entry;
use crate::flow::open::{EvictionRank, Open, PLACES, State, new_flow, seen_once};
use crate::flow::tcp::observed::numbers;
use crate::flow::{ConnState, Flow, FlowLimits, HandshakeOutcome, Roles, TcpFlow};

/// The SYN of a connection that nothing else was seen of.
#[derive(Debug)]
pub(super) struct Attempt {
    packet: PacketRecord,
    /// Its ends: who sends a SYN is the client.
    pub(super) tuple: FiveTuple,
    pub(super) entry: Entry,
}

impl Attempt {
    /// `packet` as an attempt, when it is a SYN and nothing else.
    pub(super) fn of(packet: &PacketRecord, tuple: &FiveTuple, entry: Entry) -> Option<Box<Self>> {
        let Transport::Tcp(tcp) = &packet.transport else { return None };
        let bare = tcp.flags.is_syn() && !tcp.flags.fin() && !tcp.flags.rst() && packet.payload.length == 0;
        bare.then(|| Box::new(Self { packet: *packet, tuple: *tuple, entry }))
    }

    /// Unique: its ordinal.
    pub(super) fn id(&self) -> u64 {
        self.packet.packet
    }

    /// Hash of the tunnels around it.
    pub(super) fn tunnel(&self) -> u64 {
        self.packet.path.hash
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn held(&self) -> usize {
        size_of::<Self>() + PLACES
    }

    pub(super) fn eviction_rank(&self) -> EvictionRank {
        (false, self.entry.last_clock, self.id())
    }

    fn syn(&self) -> Option<(&Ip, &Tcp)> {
        match (&self.packet.ip, &self.packet.transport) {
            (Some(ip), Transport::Tcp(tcp)) => Some((ip, tcp)),
            _ => None,
        }
    }

    fn flow(&self) -> Flow {
        let FiveTuple { source: client, destination: server, protocol } = self.tuple;
        new_flow(&self.packet, protocol, client, server, Roles::Handshake)
    }

    /// Something else of it was seen: the flow as it is with its SYN.
    pub(super) fn begin(&self, limits: &FlowLimits, keys: Option<&Keys>) -> Box<Open> {
        let (packet, direction) = (&self.packet, Direction::ToServer);
        let FiveTuple { source: client, destination: server, .. } = self.tuple;
        let mut content = Content::of_tcp(client.port, server.port, keys);
        content.clock = self.entry.last_clock;
        let mut open = Open::new(self.flow(), self.entry, State::Connection(limits.connection()), content);
        open.told[direction.index()] = true;
        let Some((ip, tcp)) = self.syn() else { return open };
        open.touch(packet, ip, direction);
        open.retry_of(packet, ip, direction);
        open.count(packet, ip, direction);
        if let Some(connection) = open.state.connection() {
            // The first packet is no copy, but later ones may be copies of it.
            connection.copy_of(packet, ip, tcp, direction);
            connection.packet(packet, ip, tcp, direction, &[], &mut open.content);
        }
        open
    }

    /// It never was more than this SYN: what its flow says then.
    pub(super) fn finish(&self) -> Flow {
        let mut flow = self.flow();
        let Some((ip, tcp)) = self.syn() else { return flow };
        seen_once(&mut flow, &self.packet, ip, Direction::ToServer);
        let mut said = Box::<TcpFlow>::default();
        said.handshake.syns = vec![flow.first];
        said.handshake.syn_count = 1;
        said.handshake.outcome = HandshakeOutcome::Silent;
        said.handshake.options[0] = Some(tcp.options);
        said.handshake.syn_window = tcp.window;
        let stamp = tcp.options.timestamps.map(|(value, _)| value);
        said.numbers = numbers([Some((tcp.seq, stamp)), None]);
        said.conn_state = ConnState::S0;
        said.history = "S".to_owned();
        said.sides[0].mss = tcp.options.mss;
        said.sides[0].ttl = Some((ip.ttl, ip.ttl));
        flow.tcp = Some(said);
        flow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{LinkType, RawPacket};
    use crate::dissect::{Link, Seq, TcpFlags, TcpOptions, dissect};
    use crate::time::{Span, Timestamp};

    const LIMITS: FlowLimits = FlowLimits {
        tcp_idle: Span::secs(300),
        tcp_attempt: Span::secs(60),
        tcp_closed: Span::secs(5),
        udp_idle: Span::secs(60),
        events: 10,
        reassembly: 1 << 20,
    };

    fn syn(options: TcpOptions, port: u16) -> PacketRecord {
        let tcp = Tcp {
            seq: Seq(7),
            flags: TcpFlags::SYN,
            window: 1,
            source_port: 50_000,
            destination_port: port,
            options,
            ..Tcp::default()
        };
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
        let ip = Ip { protocol: 6, length: 60, ttl: 63, ..Ip::default() };
        let link = Link { source: [2; 6], sequence: Some(9), ..Link::default() };
        PacketRecord { ip: Some(ip), transport: Transport::Tcp(tcp), link, ..dissect(&raw) }
    }

    /// What a flood leaves is written without making its flows, and says the same.
    #[test]
    fn an_attempt_ends_as_its_flow_would() {
        for (mss, window_scale, port) in [(None, None, 80), (Some(1460), Some(7), 53)] {
            let options = TcpOptions { mss, window_scale, sack_permitted: true, ..TcpOptions::default() };
            let packet = syn(options, port);
            let (tuple, entry) = (FiveTuple::of(&packet).expect("ends"), Entry::new(1, None, packet.time));
            let attempt = Attempt::of(&packet, &tuple, entry).expect("a SYN");
            let mut open = attempt.begin(&LIMITS, None);
            open.settle_ways();
            let State::Connection(connection) = open.state else { panic!("no connection") };
            open.flow.tcp = Some(connection.finish(open.flow.last, &mut open.content));
            assert_eq!(format!("{:?}", attempt.finish()), format!("{:?}", open.flow));
            assert_eq!(open.flow.halves[0].links.len(), 1);
        }
    }
}
