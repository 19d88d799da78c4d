//! The flows of one partition: found by tuple, ended by packet time, handed out in a fixed order.
//!
//! Nothing here depends on how the capture was cut into chunks, rounds or partitions. A flow is idle when the
//! capture's clock (the latest time of all packets so far, of every partition) has passed its time-out, whether
//! anybody looked or not; every row has the time at which it became final, and rows leave in the order of that time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashTable;
use slab::Slab;

use crate::app::dns::Transaction;
use crate::app::{Direction, Moment};
use crate::config::Config;
use crate::dissect::{
    Endpoint, Faults, FiveTuple, Icmp, Ip, Link, PacketRecord, Path, Seq, Tcp, Transport, Udp,
};
use crate::flow::content::Content;
use crate::flow::streams::{StreamId, Streams};
use crate::flow::tcp::Connection;
use crate::flow::{End, Flow, FlowHead, Half, IcmpError, LinkUse, Roles};
use crate::time::{Span, Timestamp};

/// Something that is final.
#[derive(Debug)]
pub enum Finished {
    /// A flow.
    Flow(Box<Flow>),
    /// A DNS transaction of a flow.
    Transaction(Box<Transaction>, FlowHead),
}

/// A final thing, the capture time at which it became final, and the packet that tells equals apart.
#[derive(Debug)]
pub struct Row {
    /// When it became final.
    pub time: Timestamp,
    /// Its first packet.
    pub packet: u64,
    /// The stream whose number a flow gets when it leaves.
    stream: Option<StreamId>,
    /// What it is.
    pub what: Finished,
}

impl Row {
    /// Rows leave in the order of this key.
    pub fn key(&self) -> (Timestamp, u64, bool) {
        (self.time, self.packet, matches!(self.what, Finished::Flow(_)))
    }
}

/// Both directions of a conversation have the same key. VLANs are left out, so that a path that differs by direction
/// stays one flow; tunnels are in, so that tenants with equal addresses stay apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    tuple: FiveTuple,
    tunnel: u64,
}

#[derive(Debug)]
struct Open {
    flow: Flow,
    key: Key,
    hash: u64,
    tcp: Option<Box<Connection>>,
    content: Content,
    stream: Option<StreamId>,
    wake: Timestamp,
    /// The capture's clock at its last packet: what idleness is measured from. Packets' own times may go back.
    last_clock: Timestamp,
}

/// Caps that acted in this partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableLimits {
    /// Events beyond `limits.events_per_flow`.
    pub events: u64,
    /// Gaps given up early because of `limits.reassembly_kib`.
    pub reassembly: u64,
    /// DNS transactions beyond the table of a flow.
    pub transactions: u64,
}

impl TableLimits {
    /// Adds another partition's.
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.reassembly += other.reassembly;
        self.transactions += other.transactions;
    }
}

/// The flows of one partition.
#[derive(Debug)]
pub struct FlowTable {
    idle: Timeouts,
    events: u32,
    reassembly: usize,
    /// Slots of `open` by [`slot_hash`]: the keys stand there already.
    index: HashTable<u32>,
    open: Slab<Open>,
    wakes: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    streams: Streams,
    finished: Vec<Row>,
    limits: TableLimits,
}

#[derive(Clone, Copy, Debug)]
struct Timeouts {
    tcp_idle: Span,
    tcp_attempt: Span,
    tcp_closed: Span,
    other: Span,
}

impl FlowTable {
    /// An empty table.
    pub fn new(config: &Config) -> Self {
        let secs = |seconds: u32| Span::secs(i64::from(seconds));
        Self {
            idle: Timeouts {
                tcp_idle: secs(config.flow.tcp_idle),
                tcp_attempt: secs(config.flow.tcp_attempt),
                tcp_closed: secs(config.flow.tcp_closed),
                other: secs(config.flow.udp_idle),
            },
            events: config.limits.events_per_flow,
            reassembly: config.limits.reassembly_kib as usize * 1024,
            index: HashTable::new(),
            open: Slab::new(),
            wakes: BinaryHeap::new(),
            streams: Streams::default(),
            finished: Vec::new(),
            limits: TableLimits::default(),
        }
    }

    /// Takes the next packet of this partition. `clock` is the latest capture time up to and with this packet;
    /// `payload` its captured transport payload.
    pub fn packet(&mut self, packet: &PacketRecord, clock: Timestamp, payload: &[u8]) {
        let Some(ip) = &packet.ip else { return };
        match &packet.transport {
            Transport::Tcp(tcp) => self.tcp(packet, ip, tcp, clock, payload),
            Transport::Udp(udp) => self.udp(packet, ip, udp, clock, payload),
            Transport::Icmp(icmp) => self.icmp(packet, ip, icmp, clock),
            Transport::Other => {
                self.datagram(packet, ip, clock);
            }
            Transport::None | Transport::Arp(_) | Transport::Fragment(_) => {}
        }
    }

    fn tcp(&mut self, packet: &PacketRecord, ip: &Ip, tcp: &Tcp, clock: Timestamp, payload: &[u8]) {
        let Some(tuple) = FiveTuple::of(packet) else { return };
        let FiveTuple { source, destination, .. } = tuple;
        let key = Key::new(tuple, &packet.path);
        let hash = slot_hash(packet);
        let reuses = tcp.flags.syn() && self.reuses(packet, tuple, tcp.seq);
        let stream = self.stream(packet, tuple, tcp.seq, tcp.flags.is_syn());
        let mut slot = self.current(hash, &key, clock);
        if let Some(at) = slot.filter(|_| tcp.flags.is_syn()) {
            let open = &self.open[at];
            let direction = direction_of(&open.flow, source);
            if !open.tcp.as_ref().is_some_and(|connection| connection.owns_syn(direction, tcp)) {
                self.close(at, End::Reused, clock, clock);
                slot = None;
            }
        }
        let (at, fresh) = match slot {
            Some(at) => (at, false),
            None => (self.open_tcp(packet, tcp, key, source, destination, stream, clock), true),
        };
        self.transactions(at, clock);
        let open = &mut self.open[at];
        let direction = direction_of(&open.flow, source);
        let Some(connection) = &mut open.tcp else { return };
        if fresh && direction == Direction::ToClient {
            connection.flipped();
        }
        touch(&mut open.flow, packet, ip, direction);
        if connection.copy_of(packet, ip, tcp, direction).is_some() {
            open.flow.halves[direction.index()].copies += 1;
            return;
        }
        if reuses {
            connection.reuses(packet, direction, tcp, ip);
        }
        count(&mut open.flow, packet, ip, direction);
        connection.packet(packet, ip, tcp, direction, payload, &mut open.content);
        self.transactions(at, clock);
    }

    #[allow(clippy::too_many_arguments)]
    fn open_tcp(
        &mut self,
        packet: &PacketRecord,
        tcp: &Tcp,
        key: Key,
        source: Endpoint,
        destination: Endpoint,
        stream: Option<StreamId>,
        clock: Timestamp,
    ) -> usize {
        let (client, server, roles) = if tcp.flags.is_syn() {
            (source, destination, Roles::Handshake)
        } else if tcp.flags.is_syn_ack() {
            (destination, source, Roles::Handshake)
        } else {
            roles_by_port(source, destination)
        };
        let dns = client.port == 53 || server.port == 53;
        let flow = new_flow(packet, key.tuple.protocol, client, server, roles);
        let connection = Connection::new(self.events, self.reassembly);
        self.open(Open {
            flow,
            key,
            hash: slot_hash(packet),
            tcp: Some(Box::new(connection)),
            content: Content::stream(dns),
            stream,
            wake: Timestamp::MAX,
            last_clock: clock,
        })
    }

    fn udp(&mut self, packet: &PacketRecord, ip: &Ip, udp: &Udp, clock: Timestamp, payload: &[u8]) {
        let Some(at) = self.datagram(packet, ip, clock) else { return };
        self.transactions(at, clock);
        let open = &mut self.open[at];
        let source = Endpoint { address: ip.source, port: udp.source_port };
        let direction = direction_of(&open.flow, source);
        let at_moment = Moment { packet: packet.packet, time: packet.time };
        open.content.datagram(direction, payload, at_moment);
        self.transactions(at, clock);
    }

    /// Counts a packet of a protocol without connections, and says which flow it is of.
    fn datagram(&mut self, packet: &PacketRecord, ip: &Ip, clock: Timestamp) -> Option<usize> {
        let tuple = FiveTuple::of(packet)?;
        let FiveTuple { source, destination, .. } = tuple;
        let key = Key::new(tuple, &packet.path);
        let hash = slot_hash(packet);
        let at = match self.current(hash, &key, clock) {
            Some(at) => at,
            None => {
                let (client, server, roles) = roles_by_port(source, destination);
                let flow = new_flow(packet, key.tuple.protocol, client, server, roles);
                let dns = source.port == 53 || destination.port == 53;
                // Multicast DNS and LLMNR answer without being asked by the same socket.
                let multicast =
                    [5353, 5355].iter().any(|port| source.port == *port || destination.port == *port);
                let content = if multicast { Content::none() } else { Content::datagrams(dns) };
                self.open(Open {
                    flow,
                    key,
                    hash,
                    tcp: None,
                    content,
                    stream: None,
                    wake: Timestamp::MAX,
                    last_clock: clock,
                })
            }
        };
        self.open[at].last_clock = clock;
        let flow = &mut self.open[at].flow;
        let direction = direction_of(flow, source);
        touch(flow, packet, ip, direction);
        count(flow, packet, ip, direction);
        Some(at)
    }

    fn icmp(&mut self, packet: &PacketRecord, ip: &Ip, icmp: &Icmp, clock: Timestamp) {
        let (Some(quoted), Some(tuple)) = (icmp.quoted, FiveTuple::quoted(packet)) else {
            self.datagram(packet, ip, clock);
            return;
        };
        let FiveTuple { source, destination, protocol } = tuple;
        let key = Key::new(tuple, &packet.path);
        // Wireshark dissects the quoted header and gives it a stream.
        let stream = quoted.seq.filter(|_| protocol == 6).and_then(|seq| {
            let syn = quoted.flags.is_some_and(|flags| flags.is_syn());
            self.stream(packet, tuple, seq, syn)
        });
        let hash = slot_hash(packet);
        let at = match self.current(hash, &key, clock) {
            Some(at) => at,
            None => {
                // Nothing of the quoted conversation was captured yet; it still has a flow, for the error's sake.
                let (client, server, roles) = roles_by_port(source, destination);
                let flow = new_flow(packet, key.tuple.protocol, client, server, roles);
                let content = Content::none();
                let tcp = (key.tuple.protocol == 6)
                    .then(|| Box::new(Connection::new(self.events, self.reassembly)));
                self.open(Open {
                    flow,
                    key,
                    hash,
                    tcp,
                    content,
                    stream,
                    wake: Timestamp::MAX,
                    last_clock: clock,
                })
            }
        };
        let open = &mut self.open[at];
        let error = IcmpError {
            at: Moment { packet: packet.packet, time: packet.time },
            reporter: ip.source,
            receiver: ip.destination,
            quoted: direction_of(&open.flow, source),
            icmp: *icmp,
        };
        if let Some(connection) = &mut open.tcp {
            connection.icmp(&error);
        }
        let flow = &mut open.flow;
        if flow.icmp_errors.len() < Flow::MAX_ICMP {
            flow.icmp_errors.push(error);
        } else {
            flow.icmp_errors_dropped += 1;
        }
    }

    fn reuses(&self, packet: &PacketRecord, tuple: FiveTuple, seq: Seq) -> bool {
        let low_sends = tuple.source <= tuple.destination;
        self.streams.reuses(packet.partition, low_sends, seq)
    }

    fn stream(&mut self, packet: &PacketRecord, tuple: FiveTuple, seq: Seq, syn: bool) -> Option<StreamId> {
        let low_sends = tuple.source <= tuple.destination;
        self.streams.stream(packet.partition, low_sends, seq, syn, packet.packet)
    }

    /// The open flow of `key`, unless its time-out has passed.
    fn current(&mut self, hash: u64, key: &Key, clock: Timestamp) -> Option<usize> {
        let at = *self.index.find(hash, |at| self.open[*at as usize].key == *key)? as usize;
        let deadline = self.deadline(at);
        if clock <= deadline {
            return Some(at);
        }
        self.close(at, End::Idle, deadline, deadline);
        None
    }

    fn deadline(&self, at: usize) -> Timestamp {
        let open = &self.open[at];
        let idle = match &open.tcp {
            None => self.idle.other,
            Some(connection) if connection.is_closed() => self.idle.tcp_closed,
            Some(connection) if connection.is_established() => self.idle.tcp_idle,
            Some(_) => self.idle.tcp_attempt,
        };
        open.last_clock + idle
    }

    fn open(&mut self, open: Open) -> usize {
        let (hash, id) = (open.hash, open.flow.id);
        let at = self.open.insert(open);
        self.index.insert_unique(hash, at as u32, |at| self.open[*at as usize].hash);
        let wake = self.deadline(at);
        self.open[at].wake = wake;
        self.wakes.push(Reverse((wake, id, at)));
        at
    }

    /// Hands out transactions that are final, and makes sure the flow is looked at when the next one will be, or when
    /// it will be idle: a connection that has just closed is idle sooner than it was to be looked at.
    fn transactions(&mut self, at: usize, clock: Timestamp) {
        let open = &mut self.open[at];
        (open.last_clock, open.content.clock) = (clock, clock);
        if open.content.next_deadline().is_some_and(|deadline| deadline < clock) {
            let head = open.flow.head();
            let rows = open.content.finished(clock).into_iter();
            self.finished.extend(rows.map(|transaction| transaction_row(transaction, head, clock)));
        }
        let wake = self.next_wake(at);
        let open = &mut self.open[at];
        if wake < open.wake {
            open.wake = wake;
            self.wakes.push(Reverse((wake, open.flow.id, at)));
        }
    }

    /// When something of the flow will be final if nothing more comes.
    fn next_wake(&self, at: usize) -> Timestamp {
        let idle = self.deadline(at);
        self.open[at].content.next_deadline().map_or(idle, |deadline| deadline.min(idle))
    }

    fn close(&mut self, at: usize, end: End, time: Timestamp, watched_until: Timestamp) {
        let mut open = self.open.remove(at);
        if let Ok(slot) = self.index.find_entry(open.hash, |known| *known as usize == at) {
            slot.remove();
        }
        let last = open.flow.last.time;
        if let Some(connection) = open.tcp.take() {
            self.limits.reassembly += connection.given_up();
            let tcp = connection.finish(last, &mut open.content);
            self.limits.events += tcp.events_dropped;
            open.flow.tcp = Some(Box::new(tcp));
        }
        let head = open.flow.head();
        self.limits.transactions += open.content.overflow();
        self.finished.extend(
            open.content.close().into_iter().map(|transaction| transaction_row(transaction, head, time)),
        );
        open.flow.service = open.content.service();
        open.flow.tls = open.content.into_tls();
        open.flow.end = end;
        open.flow.watched_until = watched_until;
        let what = Finished::Flow(Box::new(open.flow));
        self.finished.push(Row { time, packet: head.id, stream: open.stream, what });
    }

    /// The streams that began since the last call, as (first packet, stream).
    pub(crate) fn born_streams(&mut self) -> Vec<(u64, StreamId)> {
        self.streams.take_born()
    }

    /// Gives a stream its number; `None` for one beyond the limit.
    pub(crate) fn number_stream(&mut self, stream: StreamId, number: Option<u32>) {
        self.streams.set_number(stream, number);
    }

    /// As many streams have a number as the limit allows: further ones need not be remembered.
    pub(crate) fn close_streams(&mut self) {
        self.streams.close();
    }

    /// Ends what is over at `clock` and hands out everything that is final, with stream numbers.
    pub fn expire(&mut self, clock: Timestamp) -> Vec<Row> {
        while let Some(Reverse((wake, id, at))) = self.wakes.peek().copied() {
            if wake >= clock {
                break;
            }
            self.wakes.pop();
            let current = self.open.get(at).is_some_and(|open| open.flow.id == id && open.wake == wake);
            if !current {
                continue;
            }
            let head = self.open[at].flow.head();
            let rows = self.open[at].content.finished(clock).into_iter();
            self.finished.extend(rows.map(|transaction| transaction_row(transaction, head, clock)));
            let deadline = self.deadline(at);
            if deadline < clock {
                self.close(at, End::Idle, deadline, deadline);
                continue;
            }
            let wake = self.next_wake(at);
            self.open[at].wake = wake;
            self.wakes.push(Reverse((wake, id, at)));
        }
        self.take_finished()
    }

    /// The capture is over.
    pub fn finish(&mut self, clock: Timestamp) -> Vec<Row> {
        let mut rows = self.expire(clock);
        let mut left: Vec<(u64, usize)> = self.open.iter().map(|(at, open)| (open.flow.id, at)).collect();
        left.sort_unstable();
        for (_, at) in left {
            let deadline = self.deadline(at);
            self.close(at, End::CaptureEnd, deadline, clock);
        }
        rows.extend(self.take_finished());
        rows
    }

    /// Caps that acted so far.
    pub fn limits(&self) -> TableLimits {
        self.limits
    }

    fn take_finished(&mut self) -> Vec<Row> {
        let mut rows = std::mem::take(&mut self.finished);
        for row in &mut rows {
            if let (Finished::Flow(flow), Some(stream)) = (&mut row.what, row.stream) {
                flow.stream = self.streams.number(stream);
            }
        }
        rows.sort_by_key(Row::key);
        rows
    }
}

fn transaction_row(transaction: Transaction, flow: FlowHead, latest: Timestamp) -> Row {
    let time = transaction.closed_at().min(latest);
    let packet = transaction.first_packet();
    Row { time, packet, stream: None, what: Finished::Transaction(Box::new(transaction), flow) }
}

impl Key {
    fn new(tuple: FiveTuple, path: &Path) -> Self {
        Self { tuple: tuple.canonical(), tunnel: path.hash }
    }
}

/// A flow's place in the index. Equal partitions have equal low bits in the packets' hashes, and a table chooses its places
/// by those.
fn slot_hash(packet: &PacketRecord) -> u64 {
    (packet.partition ^ packet.path.hash).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

/// The server has the better-known port: a system port (RFC 6335 section 6), else the clearly lower one.
fn roles_by_port(source: Endpoint, destination: Endpoint) -> (Endpoint, Endpoint, Roles) {
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

fn direction_of(flow: &Flow, source: Endpoint) -> Direction {
    if flow.client == source { Direction::ToServer } else { Direction::ToClient }
}

fn new_flow(packet: &PacketRecord, protocol: u8, client: Endpoint, server: Endpoint, roles: Roles) -> Flow {
    let at = Moment { packet: packet.packet, time: packet.time };
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
        service: "",
        icmp_errors: Vec::new(),
        icmp_errors_dropped: 0,
        end: End::CaptureEnd,
        watched_until: packet.time,
        stream: None,
    }
}

/// What holds for every observation of a packet, copies included.
fn touch(flow: &mut Flow, packet: &PacketRecord, ip: &Ip, direction: Direction) {
    let at = Moment { packet: packet.packet, time: packet.time };
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
fn count(flow: &mut Flow, packet: &PacketRecord, ip: &Ip, direction: Direction) {
    let at = Moment { packet: packet.packet, time: packet.time };
    let half = &mut flow.halves[direction.index()];
    half.packets += 1;
    half.bytes += u64::from(ip.length);
    half.payload_bytes += u64::from(packet.payload.length);
    half.first.get_or_insert(at);
    half.last = Some(at);
}
