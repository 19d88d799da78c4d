//! One TCP connection: handshake, both senders, windows, resets, and its bytes in order.

pub(super) mod observed;

use crate::dissect::{Direction, Ip, PacketRecord, PacketRef, Seq, Tcp, checksum};
use crate::flow::assembler::{Assembler, Piece};
use crate::flow::content::Content;
use crate::flow::copies::Copies;
use crate::flow::handshake::Opening;
use crate::flow::history::{Ending, History, conn_state};
use crate::flow::log::{EventLog, stalled};
use crate::flow::reset::{Circumstances, classify};
use crate::flow::sender::{Placed, Sender, Timing};
use crate::flow::sent::{Segment, is_alert};
use crate::flow::turns::Tracker;
use crate::flow::waits::{Closing, Passing, Pause, Reopened, Waiting};
use crate::flow::{
    EventKind, HandshakeOutcome, IcmpError, Reset, ResetClass, TcpFlow, TcpSide, Turns, Vantage,
};
use crate::time::{Span, Timestamp};
use observed::numbers;

/// What the receive window of one side looks like.
#[derive(Debug, Default)]
struct Window {
    /// Last announcement, not scaled, on a segment other than SYN, FIN and RST.
    raw: Option<u16>,
    /// Highest acknowledgement number this side sent.
    ack: Option<Seq>,
    /// The packet that announced `raw`.
    announced: Option<PacketRef>,
    closed: Option<Closing>,
    closed_for: Span,
}

/// The packet before the current one of a direction: a RST may answer it.
#[derive(Clone, Copy, Debug)]
struct LastPacket {
    at: PacketRef,
    ack: Option<Seq>,
}

/// Memory of a connection's SYNs, SYN-ACKs, link paths, history and other lists with few entries, bytes.
const SHORT_LISTS: usize = 512;

/// A connection being followed.
#[derive(Debug)]
pub(super) struct Connection {
    opening: Opening,
    senders: [Sender; 2],
    windows: [Window; 2],
    copies: [Copies; 2],
    assemblers: [Assembler; 2],
    last: [Option<LastPacket>; 2],
    resets: Vec<Reset>,
    rst: [bool; 2],
    history: History,
    log: EventLog,
    last_data: Option<Direction>,
    /// Silence of the connection before the current activity.
    idle: Span,
    last_time: Option<Timestamp>,
    payload: [u64; 2],
    /// Behind a pointer: few connections stand still.
    waiting: Option<Box<Waiting>>,
    /// From the first data on: most of a flood never gets there.
    turns: Option<Box<Tracker>>,
}

impl Connection {
    #[inline]
    pub(super) fn new(events: u32, reassembly: usize) -> Self {
        Self {
            opening: Opening::default(),
            senders: [Sender::new(Direction::ToServer), Sender::new(Direction::ToClient)],
            windows: Default::default(),
            copies: Default::default(),
            assemblers: [Assembler::new(reassembly), Assembler::new(reassembly)],
            last: [None; 2],
            resets: Vec::new(),
            rst: [false; 2],
            history: History::default(),
            log: EventLog::new(events),
            last_data: None,
            idle: Span::ZERO,
            last_time: None,
            payload: [0; 2],
            waiting: None,
            turns: None,
        }
    }

    /// Marks the roles as decided against the first packet.
    pub(super) fn flipped(&mut self) {
        self.history.flipped();
    }

    /// This connection reuses the ports of an earlier one. When its SYN was seen, the SYN says so.
    pub(super) fn reuses(&mut self, packet: &PacketRecord, direction: Direction, tcp: &Tcp, ip: &Ip) {
        let another = self.opening.server_isn.is_some_and(|isn| isn != tcp.seq);
        if tcp.flags.is_syn() || another || self.opening.seen.syn_count == 0 {
            let segment = Segment::of(packet, ip, tcp);
            self.senders[direction.index()].log(&mut self.log, &segment, EventKind::PortReuse);
        }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn held(&self) -> usize {
        let senders: usize = self.senders.iter().map(Sender::held).sum();
        let assemblers: usize = self.assemblers.iter().map(Assembler::held).sum();
        let copies: usize = self.copies.iter().map(Copies::held).sum();
        let waiting = self.waiting.as_ref().map_or(0, |waiting| waiting.held());
        let turns = self.turns.as_ref().map_or(0, |turns| size_of::<Tracker>() + turns.held());
        size_of::<Self>() + SHORT_LISTS + senders + assemblers + copies + self.log.held() + waiting + turns
    }

    pub(super) fn is_established(&self) -> bool {
        self.opening.is_established() || !self.opening.is_seen()
    }

    /// Both sides said FIN, or one RST: only stragglers can follow.
    pub(super) fn is_closed(&self) -> bool {
        self.rst[0]
            || self.rst[1]
            || (self.senders[0].side.fin.is_some() && self.senders[1].side.fin.is_some())
    }

    /// A SYN of `direction` belongs to this connection: same sequence number, or the other half of a
    /// simultaneous open.
    pub(super) fn owns_syn(&self, direction: Direction, tcp: &Tcp) -> bool {
        match direction {
            Direction::ToServer => match self.opening.client_isn {
                Some(isn) => isn == tcp.seq,
                // The recorder put it behind the SYN-ACK that answers it.
                None => self.opening.answers == Some(tcp.seq.plus(1)),
            },
            // RFC 9293 section 3.5: both sides may send a SYN before they get one.
            Direction::ToClient => {
                self.opening.server_isn == Some(tcp.seq)
                    || (self.opening.seen.syn_count > 0
                        && self.opening.server_isn.is_none()
                        && !self.is_closed()
                        && !self.opening.is_established())
            }
        }
    }

    /// Takes a packet that is not a copy. `bytes` is its captured payload.
    pub(super) fn packet(
        &mut self,
        packet: &PacketRecord,
        ip: &Ip,
        tcp: &Tcp,
        direction: Direction,
        bytes: &[u8],
        content: &mut Content,
    ) {
        let at = PacketRef { packet: packet.packet, time: packet.time };
        let mut segment = Segment::of(packet, ip, tcp);
        self.senders[direction.index()].settle_length(&mut segment);
        let late = self.senders[direction.index()].next().is_some_and(|next| segment.seq.before(next));
        if late && segment.length as usize == bytes.len() {
            segment.sum = Some(checksum(bytes));
            segment.alert = is_alert(bytes);
        }
        let silence = self.last_time.map_or(Span::ZERO, |last| at.time - last);
        if silence > Span::secs(1) || !tcp.flags.rst() {
            self.idle = silence;
        }
        self.last_time = Some(self.last_time.map_or(at.time, |last| last.max(at.time)));
        let broken = (silence >= Pause::LEAST).then(|| self.rested()).flatten();
        let challenge = self.opening.is_challenge(direction, tcp);
        self.open(direction, tcp, &segment);
        if challenge {
            // Its numbers are of the connection that its sender remembers.
            self.senders[direction.index()].log(&mut self.log, &segment, EventKind::OutOfWindow);
            self.history.add(direction, b'a');
            self.last[direction.index()] = Some(LastPacket { at, ack: Some(tcp.ack) });
            return;
        }
        if tcp.flags.rst() {
            self.reset(direction, tcp, ip, at, content.is_closing());
        } else {
            let known = &mut self.senders[direction.index()].side.ttl;
            *known =
                Some(known.map_or((ip.ttl, ip.ttl), |(least, most)| (least.min(ip.ttl), most.max(ip.ttl))));
            if self.rst[direction.index()] {
                self.goes_on(direction, &segment);
            }
        }
        let acks_elsewhere = tcp.flags.ack() && !self.senders[direction.reverse().index()].is_near(tcp.ack);
        if tcp.flags.ack() && !acks_elsewhere {
            self.acknowledge(direction, tcp, &segment, content);
        }
        let met = segment.length > 0 && self.senders[direction.reverse().index()].side.fin.is_some();
        let placed = self.send(direction, &segment);
        if broken.is_some() || self.waiting.is_some() {
            let ack = tcp.flags.ack().then_some(tcp.ack);
            let before = broken;
            self.waiting().packet(&Passing { direction, segment: &segment, placed, ack, before });
        }
        if placed == Placed::New && (met || segment.fin) {
            self.meet(direction, tcp, at, segment.fin);
        }
        if acks_elsewhere && placed != Placed::OutOfWindow && !segment.rst {
            self.senders[direction.index()].log(&mut self.log, &segment, EventKind::OutOfWindow);
        }
        if segment.length > 0 {
            self.payload[direction.index()] += u64::from(segment.length);
            self.last_data = Some(direction);
            let turns = self.turns.get_or_insert_default();
            match placed {
                Placed::New | Placed::Late if !content.hides_turns() => {
                    let what = (segment.end(), segment.length);
                    turns.data(direction, what, at, placed == Placed::Late, content.is_opening());
                }
                Placed::Repeat => turns.repeated(),
                Placed::New | Placed::Late | Placed::Probe | Placed::OutOfWindow => {}
            }
            if placed != Placed::OutOfWindow {
                let start = if segment.syn { segment.seq.plus(1) } else { segment.seq };
                let assembler = &mut self.assemblers[direction.index()];
                assembler
                    .segment(start, bytes, segment.length, at, &mut |piece| feed(content, direction, piece));
            }
        }
        self.history.segment(direction, tcp.flags, &segment, placed);
        let ack = tcp.flags.ack().then_some(tcp.ack);
        self.last[direction.index()] = Some(LastPacket { at, ack });
    }

    fn open(&mut self, direction: Direction, tcp: &Tcp, segment: &Segment) {
        if tcp.flags.syn() && !tcp.flags.rst() {
            if tcp.flags.is_syn_ack() && direction == Direction::ToClient && self.opening.is_too_late(tcp) {
                return;
            }
            let side = &mut self.senders[direction.index()].side;
            side.mss = tcp.options.mss.or(side.mss);
            if tcp.flags.is_syn() && direction == Direction::ToServer {
                self.opening.syn(tcp, segment.at);
            } else if direction == Direction::ToServer && self.opening.seen.syn_count > 0 {
                // Both opened at once: the client's SYN again, with an ACK of the server's (RFC 9293 section
                // 3.5).
                self.opening.segment(direction, tcp, segment.length, segment.at);
            } else {
                // A SYN that was refused came again, and is accepted: a RST has numbers of its own.
                let side = direction.index();
                let accepts = self.rst[side] && self.opening.seen.syn_ack_count == 0;
                let accepts = accepts && self.senders[side].side.data_segments == 0;
                let differs = self.opening.syn_ack(tcp, segment.at);
                if accepts || (differs && !self.opening.is_established()) {
                    // Another responder, or one that lost its state: its numbers start anew.
                    self.rst[side] &= !accepts;
                    self.senders[side] = Sender::new(direction);
                    self.senders[side].side.mss = tcp.options.mss;
                }
            }
            self.senders[direction.index()].selective = Some(tcp.options.sack_permitted);
            self.assemblers[direction.index()].start(segment.seq.plus(1));
            self.set_scales();
        } else {
            self.opening.segment(direction, tcp, segment.length, segment.at);
        }
    }

    /// Window scaling is in force when both sides offered it (RFC 7323 section 2.2).
    fn set_scales(&mut self) {
        if let [Some(syn), Some(reply)] = &self.opening.seen.options {
            let both = syn.window_scale.zip(reply.window_scale);
            // RFC 7323 section 2.3: a shift above 14 counts as 14.
            self.senders[0].side.window_scale = Some(both.map_or(0, |(client, _)| client.min(14)));
            self.senders[1].side.window_scale = Some(both.map_or(0, |(_, server)| server.min(14)));
        }
    }

    /// The acknowledgement and window that `direction`'s packet carries for the other side's data.
    fn acknowledge(&mut self, direction: Direction, tcp: &Tcp, segment: &Segment, content: &mut Content) {
        let other = direction.reverse();
        let bare = !segment.occupies() && !segment.rst;
        let window = &self.windows[direction.index()];
        let same_ack = window.ack == Some(tcp.ack);
        let (last_window, selective) = (window.raw, tcp.options.sack_count > 0);
        let previous = window.announced;
        let peer = &self.senders[other.index()];
        let expected = self.senders[direction.index()].next().is_none_or(|next| next == segment.seq);
        let mut kind = None;
        if direction == Direction::ToClient
            && let Some(turns) = &mut self.turns
        {
            turns.acknowledged(tcp.ack, segment.at);
        }
        if bare && same_ack && expected {
            let same_window = last_window == Some(tcp.window);
            // What a direction that was not captured has outstanding is not known.
            let outstanding = peer.has_outstanding() || !peer.is_seen();
            let (closed, probed) = (tcp.window == 0, peer.probe().is_some());
            kind = if probed && closed {
                Some(EventKind::WindowProbeAck)
            } else if probed && same_window {
                Some(EventKind::KeepAliveAck)
            } else if !closed && (same_window || selective) && outstanding && !probed {
                Some(EventKind::DuplicateAck)
            } else if !closed && !same_window {
                Some(EventKind::WindowUpdate)
            } else {
                None
            };
        }
        let (at, probe) = (segment.at, peer.probe());
        self.senders[other.index()].acknowledge(
            tcp.ack,
            tcp.options.sack_blocks(),
            tcp.options.timestamps.map(|(_, echo)| echo),
            at,
            &mut self.log,
        );
        self.assemblers[other.index()].acknowledged(tcp.ack, &mut |piece| feed(content, other, piece));
        if kind == Some(EventKind::DuplicateAck) {
            self.senders[direction.index()].side.duplicate_acks += 1;
            self.senders[other.index()].duplicate_ack(at);
        }
        if let Some(kind) = kind {
            let mut event = self.senders[direction.index()].event(segment, kind);
            (event.original, event.trigger) = (previous, probe);
            event.window_changed = last_window.is_some_and(|window| window != tcp.window);
            event.delay = previous.map_or(Span::ZERO, |previous| at.time - previous.time);
            self.log.push(event);
        }
        if self.senders[other.index()].side.fin.is_some()
            && self.senders[other.index()].next().is_some_and(|next| !tcp.ack.before(next))
        {
            self.senders[other.index()].side.fin_ack.get_or_insert(at);
        }
        let zero = tcp.window == 0 && !segment.syn && !segment.fin && !segment.rst;
        let sent = self.senders[other.index()].next();
        let unacknowledged = sent.map_or(0, |next| next.since(tcp.ack).max(0) as u32);
        let window = &mut self.windows[direction.index()];
        window.ack = Some(window.ack.map_or(tcp.ack, |ack| ack.max(tcp.ack)));
        if !segment.syn && !segment.rst {
            (window.raw, window.announced) = (Some(tcp.window), Some(at));
            if zero {
                window.closed.get_or_insert(Closing { closed: at, probes: 0, unacknowledged });
            } else if tcp.window > 0 {
                self.window_ends(direction, at, Reopened::Opened);
            }
        }
        if zero {
            self.senders[direction.index()].side.zero_windows += 1;
            self.history.add(direction, b'w');
            self.senders[direction.index()].log(&mut self.log, segment, EventKind::ZeroWindow);
        }
    }

    fn send(&mut self, direction: Direction, segment: &Segment) -> Placed {
        let timing = self.timing(direction);
        let peer_window = &self.windows[direction.reverse().index()];
        let (closed, announced) = (peer_window.raw == Some(0), peer_window.announced);
        let edge = peer_window
            .ack
            .zip(peer_window.raw)
            .zip(self.senders[direction.reverse().index()].side.window_scale);
        let edge = edge.map(|((ack, raw), scale)| ack.plus(u32::from(raw) << scale));
        let limit = self.senders[direction.reverse().index()].side.mss;
        let sender = &mut self.senders[direction.index()];
        let repeated = sender.side.repeated_bytes;
        let placed = sender.segment(segment, closed, timing, &mut self.log);
        let side = &mut sender.side;
        if segment.length > 0 {
            let limit = limit.filter(|_| self.opening.is_seen()).map(u32::from).filter(|limit| *limit > 0);
            let wire = limit.map_or(1, |limit| segment.length.div_ceil(limit));
            side.super_frames += u64::from(wire > 1);
            side.data_segments += u64::from(wire);
            if side.repeated_bytes - repeated < u64::from(segment.length) {
                side.unique_segments += u64::from(wire);
            }
            side.largest_payload = side.largest_payload.max(segment.length);
            side.transfer = Some((side.transfer.map_or(segment.at, |(first, _)| first), segment.at));
        }
        if placed == Placed::Probe
            && let Some(closed) = &mut self.windows[direction.reverse().index()].closed
        {
            closed.probes = closed.probes.saturating_add(1);
        }
        if segment.fin && placed != Placed::OutOfWindow {
            side.fin.get_or_insert(segment.at);
        }
        let fills = segment.length > 0 && edge == Some(segment.end()) && !segment.syn && !segment.fin;
        if fills && placed != Placed::OutOfWindow {
            let mut event = sender.event(segment, EventKind::WindowFull);
            event.trigger = announced;
            self.log.push(event);
        }
        placed
    }

    /// Round trips from the capture point to the sender of `direction` and over the whole path.
    fn timing(&self, direction: Direction) -> Timing {
        let handshake = [self.opening.seen.client_rtt, self.opening.seen.server_rtt];
        // Data of the other side is acknowledged by this sender: that is its distance from the capture point.
        let distance = |of: Direction| {
            let data = self.senders[of.reverse().index()].rtt().min();
            match (handshake[of.index()], data) {
                (Some(opening), Some(data)) => Some(opening.min(data)),
                (opening, data) => opening.or(data),
            }
        };
        let to_sender = distance(direction);
        let to_receiver = self.senders[direction.index()].rtt().smoothed().or(distance(direction.reverse()));
        let full = to_receiver.map(|receiver| receiver + to_sender.unwrap_or(Span::ZERO));
        let selective = self.senders.iter().all(|sender| sender.selective != Some(false));
        Timing { to_sender, full, selective }
    }

    /// The side sent this although it has reset the connection. What it sent before the RST may come late.
    fn goes_on(&mut self, direction: Direction, segment: &Segment) {
        let own = self.resets.iter_mut().find(|reset| reset.direction == direction);
        if let Some(reset) = own.filter(|reset| segment.length > 0 && segment.end().after(reset.seq)) {
            reset.went_on.get_or_insert(segment.at);
        }
    }

    fn reset(&mut self, direction: Direction, tcp: &Tcp, ip: &Ip, at: PacketRef, close_notify: bool) {
        let index = direction.index();
        for side in Direction::BOTH {
            self.window_ends(side, at, Reopened::Reset);
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.reset(direction, at);
        }
        // What the other side acknowledges was sent, whether the capture has it or not.
        let acked = self.windows[direction.reverse().index()].ack.is_some_and(|ack| !ack.before(tcp.seq));
        let ahead = !acked && self.senders[index].next().is_some_and(|next| tcp.seq.after(next));
        if let Some(known) = self.resets.iter_mut().find(|reset| reset.direction == direction) {
            known.count += 1;
            known.ahead |= ahead;
            return;
        }
        let trigger = self.last[direction.reverse().index()];
        let answered =
            trigger.filter(|trigger| self.last[index].is_none_or(|own| own.at.packet < trigger.at.packet));
        let class = classify(&Circumstances {
            direction,
            with_ack: tcp.flags.ack(),
            syn_seen: self.opening.seen.syn_count > 0,
            syn_ack_seen: self.opening.seen.syn_ack_count > 0,
            established: self.is_established(),
            closing: close_notify
                || self.senders.iter().any(|sender| sender.side.fin.is_some())
                || self.rst[direction.reverse().index()],
            idle: self.idle,
            payload: self.payload,
            outstanding: [self.senders[0].has_outstanding(), self.senders[1].has_outstanding()],
            mirrors_trigger: trigger.is_some_and(|trigger| trigger.ack == Some(tcp.seq)),
            server_spoke_last: self.last_data == Some(Direction::ToClient),
        });
        self.rst[index] = true;
        self.resets.push(Reset {
            at,
            direction,
            class,
            with_ack: tcp.flags.ack(),
            seq: tcp.seq,
            ttl: ip.ttl,
            ip_id: ip.id,
            window: tcp.window,
            ahead,
            went_on: None,
            trigger: answered.map(|trigger| trigger.at),
            idle: self.idle,
            count: 1,
        });
    }

    /// An ICMP error about a packet of this connection.
    pub(super) fn icmp(&mut self, error: &IcmpError) {
        let quoted_syn = error.icmp.quoted.is_some_and(|quoted| {
            quoted.flags.is_some_and(|flags| flags.is_syn()) || quoted.seq == self.opening.client_isn
        });
        if let Some(mtu) = error.icmp.mtu {
            let seq = error.icmp.quoted.and_then(|quoted| quoted.seq);
            self.senders[error.quoted.index()].path_mtu(error.at, mtu, seq);
        } else if quoted_syn && error.quoted == Direction::ToServer {
            self.opening.unreachable();
        }
    }

    fn waiting(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    /// The last packet, when nothing was on its way after it and both windows were open.
    fn rested(&self) -> Option<PacketRef> {
        let busy = self.senders.iter().any(Sender::has_outstanding)
            || self.windows.iter().any(|window| window.closed.is_some());
        let last = self.last.iter().flatten().map(|last| last.at);
        last.max_by_key(|at| at.packet).filter(|_| !busy)
    }

    /// A FIN of one side and data of the other may pass each other: `direction` has just sent the later one.
    fn meet(&mut self, direction: Direction, tcp: &Tcp, at: PacketRef, fin: bool) {
        let other = direction.reverse();
        let peer = &self.senders[other.index()];
        if fin {
            if let Some(data) = peer.on_its_way() {
                self.waiting().meet(direction, at, data);
            }
        } else if let Some(fin) = peer.side.fin
            && peer.next().is_some_and(|next| tcp.ack.before(next))
        {
            self.waiting().meet(other, fin, at);
        }
    }

    /// The window of `direction` is no longer closed.
    fn window_ends(&mut self, direction: Direction, at: PacketRef, end: Reopened) {
        let window = &mut self.windows[direction.index()];
        if let Some(closed) = window.closed.take() {
            window.closed_for += closed.until(at.time);
            self.waiting().closed(direction, closed.ends(at, end));
        }
    }

    /// Bytes that were held for reassembly and given up.
    pub(super) fn given_up(&self) -> u64 {
        self.assemblers.iter().map(|assembler| assembler.given_up).sum()
    }

    /// The connection is over.
    pub(super) fn finish(mut self: Box<Self>, last: PacketRef, content: &mut Content) -> Box<TcpFlow> {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let index = direction.index();
            self.assemblers[index].finish(&mut |piece| feed(content, direction, piece));
            if let Some(unanswered) = self.senders[index].unanswered() {
                self.waiting().unanswered(direction, unanswered);
            }
            let raw = self.windows[index].raw;
            let scaled = |(raw, scale): (u16, u8)| u32::from(raw) << scale;
            self.senders[index].side.window = raw.zip(self.senders[index].side.window_scale).map(scaled);
            self.senders[index].finish(last.time, &mut self.log);
            self.window_ends(direction, last, Reopened::Never);
            let side = &mut self.senders[index].side;
            side.zero_window_time = self.windows[index].closed_for;
            side.unique_bytes += self.payload[index].saturating_sub(side.repeated_bytes);
            side.delivered_bytes = self.assemblers[index].delivered();
        }
        let rtt = |side: usize| self.senders[side].rtt().min();
        let (client, server) = (self.opening.seen.client_rtt, self.opening.seen.server_rtt);
        let vantage = Vantage::of(client.or(rtt(1)), server.or(rtt(0)));
        let state = conn_state(Ending {
            syn: self.opening.seen.syn_count > 0,
            syn_ack: self.opening.seen.syn_ack_count > 0,
            established: self.opening.is_seen() && self.opening.is_established(),
            fin: [self.senders[0].side.fin.is_some(), self.senders[1].side.fin.is_some()],
            rst: self.rst,
        });
        let handshake = self.opening.finish();
        // A port where nothing listens refuses. Whatever else ends a handshake resets no connection.
        if handshake.outcome == HandshakeOutcome::Refused {
            for reset in &mut self.resets {
                if reset.direction == Direction::ToClient {
                    reset.class = ResetClass::Refused;
                }
            }
        }
        let crowded = self.senders.iter().map(|sender| sender.crowded).sum();
        let disorder = self.senders.iter().map(|sender| sender.disorder).sum();
        let (events, events_dropped) = self.log.finish();
        let resent = |at: PacketRef| {
            let here = events.iter().filter(|event| event.at == at);
            here.into_iter().any(|event| event.kind.is_data_retransmission())
        };
        let streams = content.turns(&resent);
        let mut flow = Box::<TcpFlow>::default();
        for (index, direction) in Direction::BOTH.into_iter().enumerate() {
            let side = std::mem::take(&mut self.senders[index].side);
            flow.sides[index] = TcpSide { stalled: stalled(&events, direction, side.transfer), ..side };
        }
        flow.handshake = handshake;
        flow.numbers = numbers(self.senders.each_ref().map(Sender::beginning));
        flow.conn_state = state;
        flow.history = self.history.into_text();
        flow.vantage = vantage;
        flow.resets = self.resets;
        (flow.events, flow.events_dropped) = (events, events_dropped);
        (flow.crowded, flow.disorder) = (crowded, disorder);
        flow.waits = self.waiting.and_then(Waiting::finish);
        flow.turns = match streams {
            Some(turns) => Some(Box::new(Turns { closing: flow.closing(), ..turns })),
            None => self.turns.map(|turns| Box::new(turns.finish(flow.closing()))),
        };
        flow
    }
}

fn feed(content: &mut Content, direction: Direction, piece: Piece<'_>) {
    match piece {
        Piece::Data(bytes, at) => content.data(direction, bytes, at),
        Piece::Gap(length, at) => content.gap(direction, length, at),
    }
}
