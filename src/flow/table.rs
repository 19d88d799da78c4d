//! The flows of one partition: found by tuple, ended by packet time, handed out in a fixed order.
//!
//! Nothing here depends on how the capture was cut into chunks, rounds or partitions. The capture's clock is
//! the latest time of all packets so far, of every partition. A flow is idle when this clock has passed the
//! flow's time-out, whenever the table looks. Every row has the time at which it became final, and rows leave
//! in the order of that time.

mod legs;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashTable;
use slab::Slab;

use crate::capture::Keys;
use crate::dissect::{Direction, PacketRef};
use crate::dissect::{Endpoint, FiveTuple, Icmp, Ip, PacketRecord, Seq, Tcp, Transport, Udp};
use crate::flow::attempt::Attempt;
use crate::flow::content::Content;
use crate::flow::entry::Entry;
use crate::flow::open::{EvictionRank, Open, State, new_flow, roles_by_port, slot_hash};
use crate::flow::slot::Slot;
use crate::flow::streams::{StreamId, Streams};
use crate::flow::tcp::Connection;
use crate::flow::{End, Finished, Flow, FlowLimits, IcmpError, Laps, LimitHits, Roles, Row};
use crate::time::Timestamp;
use legs::Legs;

/// The flows of one partition.
#[derive(Debug)]
pub struct FlowTable {
    limits: FlowLimits,
    /// What opens TLS.
    keys: Option<Keys>,
    /// Slots of `open` by [`slot_hash`]: the keys stand there already.
    index: HashTable<u32>,
    open: Slab<Slot>,
    /// By slot, those of the open flows: a full table asks for all of them again and again.
    ranks: Vec<Option<EvictionRank>>,
    wakes: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    streams: Streams,
    /// Flows with equal addresses and ports may be told apart by their tunnels: then they share a stream.
    tunnels: bool,
    /// Flows that go on in another tunnel.
    legs: Legs,
    /// The flows that had packets since all were weighed, among them some that are closed.
    touched: Vec<u32>,
    /// At the end of the capture: the flows to close, those that go first last.
    remaining: Vec<(Timestamp, u64, usize)>,
    finished: Vec<Row>,
    hits: LimitHits,
    /// Flows of some partition were closed for their memory.
    evicting: bool,
    /// Bytes of memory that the open flows take, about.
    weight: usize,
}

impl FlowTable {
    /// Bytes of memory that a connection takes when it has just begun, about.
    pub(crate) const CONNECTION: usize = size_of::<Open>() + size_of::<Connection>();

    /// An empty table.
    pub fn new(limits: FlowLimits) -> Self {
        Self {
            limits,
            keys: None,
            index: HashTable::new(),
            open: Slab::new(),
            ranks: Vec::new(),
            wakes: BinaryHeap::new(),
            streams: Streams::default(),
            tunnels: false,
            legs: Legs::default(),
            touched: Vec::new(),
            remaining: Vec::new(),
            finished: Vec::new(),
            hits: LimitHits::default(),
            evicting: false,
            weight: 0,
        }
    }

    /// Opens TLS with these keys.
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// Takes the next packet of this partition. `clock` is the latest capture time up to and with this
    /// packet; `payload` its captured transport payload.
    pub fn packet(&mut self, packet: &PacketRecord, clock: Timestamp, payload: &[u8]) {
        let Some(ip) = &packet.ip else { return };
        self.tunnels |= packet.path.hash != 0;
        let flow = match &packet.transport {
            Transport::Tcp(tcp) => self.tcp(packet, ip, tcp, clock, payload),
            Transport::Udp(udp) => self.udp(packet, ip, udp, clock, payload),
            Transport::Icmp(icmp) => self.icmp(packet, ip, icmp, clock),
            Transport::Other => self.datagram(packet, ip, clock).map(|(at, _)| at),
            Transport::None | Transport::Arp(_) | Transport::Fragment(_) => None,
        };
        if let Some(at) = flow {
            self.has_changed(at);
        }
    }

    fn tcp(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        clock: Timestamp,
        payload: &[u8],
    ) -> Option<usize> {
        let tuple = FiveTuple::of(packet)?;
        let mut slot = self.current_or_leg(packet, ip, &tuple, clock);
        let (reuses, stream) = self.streams_of(packet, &tuple, tcp, slot);
        if let Some((at, direction)) = slot.filter(|_| tcp.flags.is_syn()) {
            let connection = self.flow_at(at).state.connection();
            if !connection.is_some_and(|connection| connection.owns_syn(direction, tcp)) {
                self.close(at, End::Reused, clock, clock);
                slot = None;
            }
        }
        let (at, fresh) = match slot {
            Some((at, _)) => (at, false),
            None => {
                let entry = Entry::new(slot_hash(packet), stream, clock);
                if let Some(attempt) = Attempt::of(packet, &tuple, entry).filter(|_| !reuses) {
                    return Some(self.open(Slot::Attempt(attempt)));
                }
                (self.open_tcp(packet, tcp, &tuple, entry), true)
            }
        };
        self.hand_out(at, clock);
        let open = self.open[at].flow(&self.limits, self.keys.as_ref());
        let direction = open.direction_of(&tuple)?;
        if tcp.flags.is_syn() {
            open.told = [false; 2];
        }
        open.told[direction.index()] = true;
        open.touch(packet, ip, direction);
        let retried = open.retry_of(packet, ip, direction);
        let Some(connection) = open.state.connection() else { return Some(at) };
        if fresh && direction == Direction::ToClient {
            connection.flipped();
        }
        if let Some(first) = retried {
            connection.retried(packet, ip, tcp, direction, first);
            return Some(at);
        }
        if connection.copy_of(packet, ip, tcp, direction).is_some() {
            open.flow.halves[direction.index()].copies += 1;
            return Some(at);
        }
        if reuses {
            connection.reuses(packet, direction, tcp, ip);
        }
        connection.packet(packet, ip, tcp, direction, payload, &mut open.content);
        // Nothing else makes a running connection another.
        let decides = tcp.flags.syn() || tcp.flags.fin() || tcp.flags.rst();
        if decides || open.entry.idle != self.limits.tcp_idle {
            open.entry.idle = open.idle(&self.limits);
        }
        open.count(packet, ip, direction);
        self.set_wake(at);
        Some(at)
    }

    fn open_tcp(&mut self, packet: &PacketRecord, tcp: &Tcp, tuple: &FiveTuple, entry: Entry) -> usize {
        let FiveTuple { source, destination, protocol } = *tuple;
        let (client, server, roles) = if tcp.flags.is_syn() {
            (source, destination, Roles::Handshake)
        } else if tcp.flags.is_syn_ack() {
            (destination, source, Roles::Handshake)
        } else {
            roles_by_port(source, destination)
        };
        let flow = new_flow(packet, protocol, client, server, roles);
        let content = Content::of_tcp(client.port, server.port, self.keys.as_ref());
        let state = State::Connection(self.limits.connection());
        self.open(Slot::Flow(Open::new(flow, entry, state, content)))
    }

    fn udp(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        udp: &Udp,
        clock: Timestamp,
        payload: &[u8],
    ) -> Option<usize> {
        let (at, retried) = self.datagram(packet, ip, clock)?;
        if retried {
            return Some(at);
        }
        self.hand_out(at, clock);
        let open = self.open[at].flow(&self.limits, self.keys.as_ref());
        let source = Endpoint { address: ip.source, port: udp.source_port };
        let to_server = open.flow.client == source;
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        let at_moment = PacketRef { packet: packet.packet, time: packet.time };
        open.content.datagram(direction, payload, at_moment, self.keys.as_ref());
        self.hand_out(at, clock);
        self.set_wake(at);
        Some(at)
    }

    /// Counts a packet of a protocol without connections, and says which flow it is of, and whether it is a
    /// frame that the link layer sent again.
    fn datagram(&mut self, packet: &PacketRecord, ip: &Ip, clock: Timestamp) -> Option<(usize, bool)> {
        let tuple = FiveTuple::of(packet)?;
        let FiveTuple { source, destination, protocol } = tuple;
        let (at, direction) = match self.current_or_leg(packet, ip, &tuple, clock) {
            Some(found) => found,
            None => {
                let (client, server, roles) = roles_by_port(source, destination);
                let flow = new_flow(packet, protocol, client, server, roles);
                let dns = source.port == 53 || destination.port == 53;
                // Multicast DNS and LLMNR answer without being asked by the same socket.
                let multicast =
                    [5353, 5355].iter().any(|port| source.port == *port || destination.port == *port);
                let content = if multicast { Content::none() } else { Content::datagrams(dns) };
                let direction = if client == source { Direction::ToServer } else { Direction::ToClient };
                let entry = Entry::new(slot_hash(packet), None, clock);
                (self.open(Slot::Flow(Open::new(flow, entry, State::None, content))), direction)
            }
        };
        let open = self.flow_at(at);
        open.entry.last_clock = clock;
        open.touch(packet, ip, direction);
        let retried = open.retry_of(packet, ip, direction).is_some();
        if !retried {
            open.count(packet, ip, direction);
        }
        Some((at, retried))
    }

    fn icmp(&mut self, packet: &PacketRecord, ip: &Ip, icmp: &Icmp, clock: Timestamp) -> Option<usize> {
        let (Some(quoted), Some(tuple)) = (icmp.quoted, FiveTuple::quoted(packet)) else {
            let (at, retried) = self.datagram(packet, ip, clock)?;
            if !retried {
                self.flow_at(at).echo(packet, ip, icmp);
            }
            return Some(at);
        };
        let FiveTuple { source, destination, protocol } = tuple;
        // Wireshark dissects the quoted header and gives it a stream.
        let stream = quoted.seq.filter(|_| protocol == 6).and_then(|seq| {
            let syn = quoted.flags.is_some_and(|flags| flags.is_syn());
            self.stream(packet, &tuple, seq, syn)
        });
        let at = match self.current(packet, &tuple, clock) {
            Some((at, _)) => at,
            None => {
                // Nothing of the quoted conversation was captured yet: the error alone opens its flow.
                let (client, server, roles) = roles_by_port(source, destination);
                let flow = new_flow(packet, protocol, client, server, roles);
                let content = Content::none();
                let state = match protocol {
                    6 => State::Connection(self.limits.connection()),
                    _ => State::None,
                };
                let entry = Entry::new(slot_hash(packet), stream, clock);
                self.open(Slot::Flow(Open::new(flow, entry, state, content)))
            }
        };
        let open = self.flow_at(at);
        // The quoted packet may have begun another stream.
        open.told = [false; 2];
        let to_server = open.flow.client == source;
        let error = IcmpError {
            at: PacketRef { packet: packet.packet, time: packet.time },
            reporter: ip.source,
            receiver: ip.destination,
            quoted: if to_server { Direction::ToServer } else { Direction::ToClient },
            icmp: *icmp,
        };
        if let Some(connection) = open.state.connection() {
            connection.icmp(&error);
        }
        let flow = &mut open.flow;
        if flow.icmp_errors.len() < Flow::MAX_ICMP {
            flow.icmp_errors.push(error);
        } else {
            flow.icmp_errors_dropped += 1;
        }
        Some(at)
    }

    /// Whether a packet takes over the ports of an earlier connection, and its stream when its flow begins
    /// with it. A packet that neither is a SYN nor the first of its direction cannot change either.
    fn streams_of(
        &mut self,
        packet: &PacketRecord,
        tuple: &FiveTuple,
        tcp: &Tcp,
        slot: Option<(usize, Direction)>,
    ) -> (bool, Option<StreamId>) {
        let told = slot.is_some_and(|(at, direction)| self.open[at].told(direction));
        if told && !tcp.flags.syn() && !self.tunnels {
            return (false, None);
        }
        let low_sends = tuple.source <= tuple.destination;
        let reuses = tcp.flags.syn() && self.streams.reuses(packet.partition, low_sends, tcp.seq);
        (reuses, self.stream(packet, tuple, tcp.seq, tcp.flags.is_syn()))
    }

    fn stream(&mut self, packet: &PacketRecord, tuple: &FiveTuple, seq: Seq, syn: bool) -> Option<StreamId> {
        let low_sends = tuple.source <= tuple.destination;
        self.streams.stream(packet.partition, low_sends, seq, syn, packet.packet)
    }

    /// The open flow of a packet with these ends and its direction there, unless its time-out has passed.
    fn current(
        &mut self,
        packet: &PacketRecord,
        tuple: &FiveTuple,
        clock: Timestamp,
    ) -> Option<(usize, Direction)> {
        let mut direction = None;
        let found = self.index.find(slot_hash(packet), |at| {
            direction = self.open[*at as usize].direction(tuple, packet.path.hash);
            direction.is_some()
        });
        let at = match found {
            Some(at) => *at as usize,
            None if self.tunnels => {
                let at = self.joined(packet)?;
                direction = self.open[at].direction_of(tuple);
                at
            }
            None => return None,
        };
        let deadline = self.open[at].entry().deadline();
        if clock <= deadline {
            return direction.map(|direction| (at, direction));
        }
        self.close(at, End::Idle, deadline, deadline);
        None
    }

    /// The flow may go on where one was closed for its memory. Datagrams have no SYN that says otherwise.
    fn continues(&self, slot: &Slot) -> bool {
        let tuple = slot.tuple();
        let evicted = || self.streams.was_evicted(tuple.partition_hash());
        let begins = matches!(slot, Slot::Attempt(_));
        self.evicting && (tuple.protocol != 6 || evicted().unwrap_or(!begins))
    }

    /// The flow, with all that it takes to go on.
    fn flow_at(&mut self, at: usize) -> &mut Open {
        self.open[at].flow(&self.limits, self.keys.as_ref())
    }

    fn open(&mut self, mut slot: Slot) -> usize {
        let (continues, idle) = (self.continues(&slot), slot.idle(&self.limits));
        let entry = slot.entry_mut();
        (entry.continues, entry.idle) = (continues, idle);
        self.hits.continued += u64::from(continues);
        let (hash, id) = (slot.entry().hash, slot.id());
        let at = self.open.insert(slot);
        self.index.insert_unique(hash, at as u32, |at| self.open[*at as usize].entry().hash);
        if self.ranks.len() <= at {
            self.ranks.resize(at + 1, None);
        }
        let wake = self.open[at].entry().deadline();
        self.open[at].entry_mut().wake = wake;
        self.wakes.push(Reverse((wake, id, at)));
        self.begins_in_tunnel(at);
        at
    }

    /// The weight and the rank of a flow are asked for long after it has changed, and often never.
    fn has_changed(&mut self, at: usize) {
        let entry = self.open[at].entry_mut();
        if !entry.touched {
            entry.touched = true;
            self.touched.push(at as u32);
        }
    }

    /// Brings the sum of the weights and the ranks up to date with the flows that have changed.
    pub(crate) fn weigh(&mut self) {
        for at in std::mem::take(&mut self.touched) {
            let at = at as usize;
            let Some(slot) = self.open.get_mut(at).filter(|slot| slot.entry().touched) else { continue };
            self.ranks[at] = Some(slot.eviction_rank());
            let held = slot.held();
            let entry = slot.entry_mut();
            entry.touched = false;
            self.weight = self.weight - entry.weight + held;
            entry.weight = held;
        }
    }

    /// The capture has come to `clock`: hands out the flow's transactions that are final.
    fn hand_out(&mut self, at: usize, clock: Timestamp) {
        let open = self.open[at].flow(&self.limits, self.keys.as_ref());
        (open.entry.last_clock, open.content.clock) = (clock, clock);
        if open.content.next_deadline().is_some_and(|deadline| deadline < clock) {
            let head = open.content.roles(open.flow.head());
            let exchanges = open.content.exchanges(clock).into_iter();
            self.finished.extend(exchanges.map(|exchange| Row::exchange(exchange, head, clock)));
            let rows = open.content.finished(clock).into_iter();
            self.finished.extend(rows.map(|transaction| Row::transaction(transaction, head, clock, clock)));
        }
    }

    /// Sets when to look at the flow again: when the next transaction will be final, or when the flow will be
    /// idle. A connection that just closed is idle sooner than before.
    fn set_wake(&mut self, at: usize) {
        let wake = self.next_wake(at);
        let slot = &mut self.open[at];
        if wake < slot.entry().wake {
            slot.entry_mut().wake = wake;
            self.wakes.push(Reverse((wake, slot.id(), at)));
        }
    }

    /// When something of the flow will be final if nothing more comes.
    fn next_wake(&self, at: usize) -> Timestamp {
        let slot = &self.open[at];
        let idle = slot.entry().deadline();
        slot.next_deadline().map_or(idle, |deadline| deadline.min(idle))
    }

    fn close(&mut self, at: usize, end: End, time: Timestamp, watched_until: Timestamp) {
        let slot = self.open.remove(at);
        let Entry { hash, stream, continues, weight, .. } = *slot.entry();
        self.ranks.get_mut(at).into_iter().for_each(|rank| *rank = None);
        self.weight -= weight;
        if let Ok(place) = self.index.find_entry(hash, |known| *known as usize == at) {
            place.remove();
        }
        if end == End::Evicted && slot.tuple().protocol == 6 {
            self.streams.evict(slot.tuple().partition_hash());
        }
        let flow = match slot {
            Slot::Attempt(attempt) => attempt.finish(),
            Slot::Flow(open) => self.finish(*open, end, time, watched_until),
        };
        let (packet, flow) = (flow.id, Flow { end, watched_until, continues, ..flow });
        self.finished.push(Row { time, packet, stream, what: Finished::Flow(Box::new(flow)) });
    }

    /// Hands out what the flow contains.
    fn finish(&mut self, mut open: Open, end: End, time: Timestamp, watched_until: Timestamp) -> Flow {
        let last = open.flow.last;
        open.settle_ways();
        open.flow.tcp = match open.state {
            State::Connection(connection) => {
                self.hits.reassembly += connection.given_up();
                let tcp = connection.finish(last, &mut open.content);
                self.hits.events += tcp.events_dropped;
                self.hits.holes += tcp.crowded;
                Some(tcp)
            }
            State::None => None,
        };
        let head = open.content.roles(open.flow.head());
        let closing = open.flow.tcp.as_ref().and_then(|tcp| tcp.closing());
        let unheard = end == End::Evicted || open.flow.has_missing_bytes();
        let waits = open.flow.tcp.as_ref().and_then(|tcp| tcp.waits.as_ref());
        let undelivered = waits.is_some_and(|waits| waits.unanswered[Direction::ToServer.index()].is_some());
        for mut exchange in open.content.close_exchanges(closing) {
            exchange.unheard |= unheard && !(exchange.request_whole && exchange.response_whole);
            exchange.undelivered = undelivered;
            self.finished.push(Row::exchange(exchange, head, time));
        }
        self.hits.transactions += open.content.overflow();
        let mut transactions = open.content.close();
        for transaction in &mut transactions {
            transaction.unheard |= end == End::Evicted;
        }
        let rows = transactions.into_iter();
        self.finished
            .extend(rows.map(|transaction| Row::transaction(transaction, head, time, watched_until)));
        open.flow.service = open.content.service();
        open.flow.greetings = open.content.greetings();
        open.flow.upgrade = open.content.upgrade();
        open.flow.tls = open.content.into_tls();
        open.flow.laps = open.flow.laps.take().and_then(Laps::finish);
        if let Some(sides) = &mut open.flow.echoes {
            sides.iter_mut().for_each(|side| side.finish(watched_until));
        }
        open.flow
    }

    /// First packets of the streams that began since the last call, in the order of their ids.
    pub fn born_streams(&mut self) -> Vec<u64> {
        self.streams.take_born()
    }

    /// Streams so far.
    pub(crate) fn streams(&self) -> u32 {
        self.streams.count()
    }

    /// All partitions together have as many streams as the limit numbers: further ones need not be
    /// remembered.
    pub(crate) fn close_streams(&mut self) {
        self.streams.close();
    }

    /// Ends what is over at `clock` and hands out everything that is final.
    pub fn expire(&mut self, clock: Timestamp) -> Vec<Row> {
        self.end_idle(clock);
        self.take_finished()
    }

    /// Bytes of memory that the open flows took when they were [weighed](Self::weigh), those among them whose
    /// time-out has passed and that nobody has looked at since.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// The open flows: when they take too much memory, those of the lowest rank go.
    pub(crate) fn ranks(&self) -> impl Iterator<Item = EvictionRank> {
        self.ranks.iter().flatten().copied()
    }

    /// Ends the flows that stand at `bound` or below.
    pub(crate) fn evict(&mut self, bound: EvictionRank, clock: Timestamp) {
        self.evicting = true;
        debug_assert!(self.open.iter().all(|(at, slot)| self.ranks[at] == Some(slot.eviction_rank())));
        for at in 0..self.ranks.len() {
            if self.ranks[at].is_some_and(|rank| rank <= bound) {
                self.close(at, End::Evicted, clock, clock);
            }
        }
        debug_assert!(self.touched.is_empty());
        debug_assert_eq!(self.weight, self.open.iter().map(|(_, slot)| slot.held()).sum::<usize>());
        // Their time-outs may be far away, and a flood has many.
        if self.wakes.len() > 2 * self.open.len() {
            let open = &self.open;
            self.wakes.retain(|Reverse((_, id, at))| open.get(*at).is_some_and(|slot| slot.id() == *id));
        }
    }

    /// Ends what is over at `clock`.
    pub(crate) fn end_idle(&mut self, clock: Timestamp) {
        while let Some(Reverse((wake, id, at))) = self.wakes.peek().copied() {
            if wake >= clock {
                break;
            }
            self.wakes.pop();
            let slot = self.open.get_mut(at).filter(|slot| slot.id() == id && slot.entry().wake == wake);
            let Some(slot) = slot else { continue };
            if let Slot::Flow(open) = slot {
                let head = open.content.roles(open.flow.head());
                let exchanges = open.content.exchanges(clock).into_iter();
                self.finished.extend(exchanges.map(|exchange| Row::exchange(exchange, head, clock)));
                let rows = open.content.finished(clock).into_iter();
                let row = |transaction| Row::transaction(transaction, head, clock, clock);
                self.finished.extend(rows.map(row));
                self.has_changed(at);
            }
            let deadline = self.open[at].entry().deadline();
            if deadline < clock {
                self.close(at, End::Idle, deadline, deadline);
                continue;
            }
            let wake = self.next_wake(at);
            self.open[at].entry_mut().wake = wake;
            self.wakes.push(Reverse((wake, id, at)));
        }
    }

    /// The capture is over: when each flow that is open would have ended, its id, and whether it is one SYN.
    pub(crate) fn remaining(&mut self) -> impl Iterator<Item = (Timestamp, u64, bool)> {
        self.remaining =
            self.open.iter().map(|(at, slot)| (slot.entry().deadline(), slot.id(), at)).collect();
        self.remaining.sort_unstable_by(|one, other| other.cmp(one));
        // Nobody looks for them any more: to take each out by itself would cost two misses of the caches.
        (self.index, self.ranks) = (HashTable::new(), Vec::new());
        let attempt = |at: usize| matches!(self.open[at], Slot::Attempt(_));
        self.remaining.iter().map(move |(deadline, id, at)| (*deadline, *id, attempt(*at)))
    }

    /// Ends the flows of [`remaining`](Self::remaining) up to and with `bound`.
    pub(crate) fn end_remaining(&mut self, bound: (Timestamp, u64), clock: Timestamp) -> Vec<Row> {
        while let Some((deadline, _, at)) =
            self.remaining.pop_if(|(deadline, id, _)| (*deadline, *id) <= bound)
        {
            self.close(at, End::CaptureEnd, deadline, clock);
        }
        self.take_finished()
    }

    /// How often limits acted so far.
    pub fn hits(&self) -> LimitHits {
        self.hits
    }

    fn take_finished(&mut self) -> Vec<Row> {
        let mut rows = std::mem::take(&mut self.finished);
        rows.sort_by_key(Row::key);
        rows
    }
}
