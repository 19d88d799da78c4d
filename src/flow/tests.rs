//! One connection against a map of its bytes: whatever is lost, repeated, overtaken, cut or left out, the
//! account is the map's.

use proptest::prelude::*;

use crate::capture::{LinkType, RawPacket};
use crate::dissect::{Direction, PacketRef};
use crate::dissect::{Ip, PacketRecord, Payload, Seq, Tcp, TcpFlags, TcpOptions, Transport, dissect};
use crate::flow::content::Content;
use crate::flow::tcp::Connection;
use crate::flow::{EventKind, TcpFlow};
use crate::time::{Span, Timestamp};

/// Between two packets: longer than what passes for disorder of the recorder.
const STEP: i64 = 2_000_000;

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Arrives,
    /// Captured, and lost behind the capture point.
    LostAfter,
    /// Lost before the capture point.
    LostBefore,
    /// It arrives, and the capture does not have it.
    Missed,
}

/// How the connection begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Opening {
    Handshake,
    /// The SYN carries this many bytes, and is sent twice when the flag says so (RFC 7413).
    FastOpen(u8, bool),
    /// Both sides send a SYN before they get one (RFC 9293 section 3.5).
    Simultaneous,
    /// The capture begins later.
    Midstream,
}

#[derive(Clone, Debug)]
struct Scenario {
    direction: Direction,
    isn: u32,
    opening: Opening,
    /// New segments in order: payload length and fate.
    fresh: Vec<(u16, Fate)>,
    /// Bytes sent again: after which new segment, from which byte, how many; as shares of what was sent.
    again: Vec<(usize, u16, u16, Fate)>,
    /// Captured packets that change places with the next one.
    overtaken: Vec<usize>,
    /// Whether the peer acknowledges after each packet; empty when its direction was not captured.
    acks: Vec<bool>,
    /// Payload bytes kept of each packet.
    snaplen: usize,
    /// The last packet is a FIN, sent again if the flag says so; then the peer sends this many bytes.
    fin: Option<(bool, u8)>,
    /// Header fields that must not matter: window, urgent flag, a withdrawn SACK block, text in a RST.
    window: u16,
    /// Every ACK takes back half of the window that the one before offered.
    shrinks: bool,
    urgent: bool,
    renege: bool,
    reset: bool,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Arrives),
        1 => Just(Fate::LostAfter),
        1 => Just(Fate::LostBefore),
        1 => Just(Fate::Missed),
    ]
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let opening = prop_oneof![
        4 => Just(Opening::Handshake),
        1 => (1u8..200, any::<bool>()).prop_map(|(length, twice)| Opening::FastOpen(length, twice)),
        1 => Just(Opening::Simultaneous),
        2 => Just(Opening::Midstream),
    ];
    // Numbers that wrap are as frequent as others.
    let isn = prop_oneof![any::<u32>(), (0u32..20_000).prop_map(|below| u32::MAX - below)];
    let size = prop_oneof![4 => 2u16..1500, 1 => 1500u16..20_000];
    let stream = (
        any::<bool>(),
        isn,
        opening,
        prop::collection::vec((size, fate()), 1..20),
        prop::collection::vec((0usize..20, any::<u16>(), any::<u16>(), fate()), 0..12),
        prop::collection::vec(0usize..40, 0..8),
        prop_oneof![3 => prop::collection::vec(any::<bool>(), 1..12), 1 => Just(Vec::new())],
    );
    let fields = (
        prop_oneof![3 => Just(usize::MAX), 1 => 0usize..300],
        prop::option::of((any::<bool>(), any::<u8>())),
        any::<u16>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (stream, fields).prop_map(|(stream, fields)| {
        let (to_server, isn, opening, fresh, again, overtaken, acks) = stream;
        let (snaplen, fin, window, shrinks, urgent, renege, reset) = fields;
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        Scenario {
            direction,
            isn,
            opening,
            fresh,
            again,
            overtaken,
            acks,
            snaplen,
            fin,
            window,
            shrinks,
            urgent,
            renege,
            reset,
        }
    })
}

/// The byte at `offset` of the stream.
fn byte(offset: usize) -> u8 {
    (offset as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

/// The simple truth about one direction.
#[derive(Default)]
struct Map {
    /// How often each byte was captured as part of a segment.
    seen: Vec<u32>,
    /// Whether the first copy of the byte was within the snapshot length.
    kept: Vec<bool>,
    received: Vec<bool>,
    /// The captured ACKs cover this many bytes.
    acked: usize,
    /// First byte of the first captured segment.
    start: Option<usize>,
    /// Segments below the highest captured byte, and those of them whose bytes had all been captured.
    late: u64,
    repeats: u64,
}

impl Map {
    fn highest(&self) -> usize {
        self.seen.iter().rposition(|seen| *seen > 0).map_or(0, |last| last + 1)
    }

    fn captured(&mut self, from: usize, to: usize, snaplen: usize) {
        let known = self.highest().max(self.acked);
        self.late += u64::from(from < known);
        self.repeats += u64::from(self.seen[from..to].iter().all(|seen| *seen > 0));
        self.start.get_or_insert(from);
        for offset in from..to {
            if self.seen[offset] == 0 {
                self.kept[offset] = offset - from < snaplen;
            }
            self.seen[offset] += 1;
        }
    }

    /// The stream as an application behind the capture point gets it.
    fn delivered(&self, from: usize) -> Vec<Option<u8>> {
        let end = self.highest();
        (from..end.max(from)).map(|at| (self.seen[at] > 0 && self.kept[at]).then(|| byte(at))).collect()
    }

    fn unique(&self) -> u64 {
        self.seen.iter().filter(|seen| **seen > 0).count() as u64
    }

    fn repeated(&self) -> u64 {
        self.seen.iter().map(|seen| u64::from(seen.saturating_sub(1))).sum()
    }
}

/// Feeds packets to a connection.
struct Wire {
    connection: Connection,
    content: Content,
    packet: u64,
}

impl Wire {
    fn new() -> Self {
        Self { connection: Connection::new(10_000, 1 << 20), content: Content::recorded(), packet: 0 }
    }

    fn send(&mut self, direction: Direction, tcp: Tcp, payload: &[u8], snaplen: usize) {
        self.packet += 1;
        let time = Timestamp(self.packet as i64 * STEP);
        // Every packet has its own identification: none is another observation of one before.
        let ip =
            Ip { protocol: 6, id: self.packet as u16, length: payload.len() as u32 + 40, ..Ip::default() };
        let captured = &payload[..payload.len().min(snaplen)];
        let hash = payload.iter().fold(0u64, |hash, byte| hash.wrapping_mul(31) + u64::from(*byte));
        let raw = RawPacket {
            packet: self.packet,
            offset: 0,
            time: Some(time),
            wire: 0,
            interface: 0,
            link_type: LinkType(0xffff),
            start: 0,
            data: &[],
        };
        let (kept, length) = (captured.len() as u32, payload.len() as u32);
        let packet = PacketRecord {
            ip: Some(ip),
            transport: Transport::Tcp(tcp),
            payload: Payload { start: 0, captured: kept, length, hash },
            ..dissect(&raw)
        };
        assert_eq!(self.connection.copy_of(&packet, &ip, &tcp, direction), None);
        self.connection.packet(&packet, &ip, &tcp, direction, captured, &mut self.content);
    }

    fn finish(mut self) -> (TcpFlow, Content) {
        let last = PacketRef { packet: self.packet, time: Timestamp(self.packet as i64 * STEP) };
        let flow = Box::new(self.connection).finish(last, &mut self.content);
        (*flow, self.content)
    }
}

/// A packet of the stream before it is captured: its bytes and its fate.
type Sent = (usize, usize, Fate);

/// What is sent, in the order in which it passes the capture point.
fn sent(scenario: &Scenario, first: usize) -> (Vec<Sent>, usize) {
    let (mut sent, mut end): (Vec<Sent>, usize) = (Vec::new(), first);
    let mut missed: Vec<(usize, usize)> = Vec::new();
    for (index, (length, fate)) in scenario.fresh.iter().enumerate() {
        let from = end;
        end += usize::from(*length);
        sent.push((from, end, *fate));
        if *fate == Fate::Missed {
            missed.push((from, end));
        }
        for (_, from, length, fate) in scenario.again.iter().filter(|(after, ..)| *after == index) {
            let from = usize::from(*from) * end / 65_536;
            let to = (from + 2 + usize::from(*length) % 3_000).min(end);
            // What arrived without being captured is acknowledged, and not sent again.
            let touches = missed.iter().any(|(low, high)| *low < to && from < *high);
            if to >= from + 2 && !touches && *fate != Fate::Missed {
                sent.push((from, to, *fate));
            }
        }
    }
    for at in &scenario.overtaken {
        if at + 1 < sent.len() {
            sent.swap(*at, at + 1);
        }
    }
    (sent, end)
}

fn run(scenario: &Scenario) -> (TcpFlow, Content, Map, Vec<u8>) {
    let Scenario { direction, snaplen, .. } = *scenario;
    let (own, peer) = (scenario.isn, scenario.isn.wrapping_mul(7).wrapping_add(99));
    let mut wire = Wire::new();
    let one_way = scenario.acks.is_empty();
    let first = match scenario.opening {
        Opening::FastOpen(length, _) => usize::from(length),
        _ => 0,
    };
    let (sent, end) = sent(scenario, first);
    let mut map =
        Map { seen: vec![0; end], kept: vec![false; end], received: vec![false; end], ..Map::default() };
    let header = |flags: TcpFlags, seq: u32, ack: u32| Tcp {
        seq: Seq(seq),
        ack: Seq(ack),
        flags,
        window: scenario.window.max(1),
        ..Tcp::default()
    };
    let (syn, ack) = (TcpFlags::SYN, TcpFlags(TcpFlags::ACK.0));
    let both = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
    let data: Vec<u8> = (0..end).map(byte).collect();
    // The side that opens is the client.
    let client = direction == Direction::ToServer;
    let open = |wire: &mut Wire, by: Direction, flags: TcpFlags, payload: &[u8]| {
        let (seq, other) = if by == direction { (own, peer) } else { (peer, own) };
        let acked = if flags.ack() { other.wrapping_add(1) } else { 0 };
        if by == direction || !one_way {
            wire.send(by, header(flags, seq, acked), payload, snaplen);
        }
    };
    let (to_server, to_client) = (Direction::ToServer, Direction::ToClient);
    match scenario.opening {
        Opening::Midstream => {}
        Opening::Handshake => {
            open(&mut wire, to_server, syn, &[]);
            open(&mut wire, to_client, both, &[]);
        }
        Opening::FastOpen(length, twice) => {
            // The client's SYN, or the server's SYN-ACK, carries the first bytes.
            let payload = &data[..usize::from(length)];
            if !client {
                open(&mut wire, to_server, syn, &[]);
            }
            for _ in 0..=u32::from(twice) {
                open(&mut wire, direction, if client { syn } else { both }, payload);
                map.captured(0, payload.len(), snaplen);
            }
            if client {
                open(&mut wire, to_client, both, &[]);
            }
            map.received[..payload.len()].fill(true);
            // A SYN is counted apart.
            (map.late, map.repeats) = (0, 0);
        }
        Opening::Simultaneous => {
            open(&mut wire, to_server, syn, &[]);
            open(&mut wire, to_client, syn, &[]);
            open(&mut wire, to_server, both, &[]);
            open(&mut wire, to_client, both, &[]);
        }
    }
    let at = |offset: usize| own.wrapping_add(1).wrapping_add(offset as u32);
    let mut turns = scenario.acks.iter().cycle();
    let mut window = scenario.window;
    for (from, to, fate) in sent {
        if matches!(fate, Fate::Arrives | Fate::LostAfter) {
            let flags = TcpFlags(ack.0 | if scenario.urgent { 0x20 } else { 0 });
            wire.send(direction, header(flags, at(from), peer.wrapping_add(1)), &data[from..to], snaplen);
            map.captured(from, to, snaplen);
        }
        if matches!(fate, Fate::Arrives | Fate::Missed) {
            map.received[from..to].fill(true);
        }
        if turns.next() == Some(&true) {
            let contiguous = map.received.iter().position(|got| !got).unwrap_or(end);
            let mut tcp = Tcp { window, ..header(ack, peer.wrapping_add(1), at(contiguous)) };
            // RFC 9293 section 3.8.6: a receiver should not, and the sender must live with it.
            window >>= u32::from(scenario.shrinks);
            if scenario.renege && contiguous + 4 < end {
                // A receiver may forget what it acknowledged selectively (RFC 2018 section 8).
                tcp.options = TcpOptions { sack_count: 1, ..TcpOptions::default() };
                tcp.options.sack[0] = (Seq(at(contiguous + 2)), Seq(at(contiguous + 4)));
            }
            if contiguous > map.acked || scenario.opening != Opening::Midstream || map.start.is_some() {
                wire.send(direction.reverse(), tcp, &[], snaplen);
                map.acked = map.acked.max(contiguous);
            }
        }
    }
    let mut answer = Vec::new();
    if let Some((twice, length)) = scenario.fin {
        let flags = TcpFlags(ack.0 | TcpFlags::FIN.0);
        for _ in 0..=u32::from(twice) {
            wire.send(direction, header(flags, at(end), peer.wrapping_add(1)), &[], snaplen);
        }
        if !one_way && snaplen == usize::MAX {
            answer = (0..usize::from(length)).map(byte).collect();
            for (chunk, from) in answer.chunks(50).zip((0..).step_by(50)) {
                let tcp = header(ack, peer.wrapping_add(1 + from), at(map.acked));
                wire.send(direction.reverse(), tcp, chunk, snaplen);
            }
        }
    }
    if scenario.reset {
        let flags = TcpFlags(ack.0 | TcpFlags::RST.0);
        let seq = if scenario.fin.is_some() { at(end + 1) } else { at(end) };
        wire.send(direction, header(flags, seq, peer.wrapping_add(1)), b"No tcp, reset", snaplen);
    }
    let (flow, content) = wire.finish();
    (flow, content, map, answer)
}

/// A header with a window that never closes.
fn tcp(flags: u8, seq: u32, ack: u32) -> Tcp {
    Tcp { seq: Seq(seq), ack: Seq(ack), flags: TcpFlags(flags), window: 1_000, ..Tcp::default() }
}

#[test]
fn a_number_half_the_space_away_is_of_another_connection() {
    let mut wire = Wire::new();
    wire.send(Direction::ToServer, tcp(0x02, 99, 0), &[], 1_500);
    wire.send(Direction::ToClient, tcp(0x12, 499, 100), &[], 1_500);
    wire.send(Direction::ToServer, tcp(0x10, 100, 500), b"hello", 1_500);
    let far = 105 + (1 << 31);
    wire.send(Direction::ToServer, tcp(0x10, far, 500), b"far away", 1_500);
    wire.send(Direction::ToClient, tcp(0x10, 500, far), &[], 1_500);
    let (flow, content) = wire.finish();
    let kinds: Vec<EventKind> = flow.events.iter().map(|event| event.kind).collect();
    // The segment, and the ACK for it.
    assert_eq!(kinds, [EventKind::OutOfWindow; 2]);
    assert_eq!(flow.side(Direction::ToServer).acked_progress, 0);
    assert_eq!(content.record(Direction::ToServer).len(), 5);
}

/// Windows probes a peer that is gone once a second with a byte, ten times; an application's byte is pushed,
/// and what repeats it is a retransmission.
#[test]
fn a_byte_that_nobody_pushes_and_nothing_follows_is_a_keep_alive() {
    for (flags, kind) in [(0x10, EventKind::KeepAlive), (0x18, EventKind::TimeoutRetransmission)] {
        let mut wire = Wire::new();
        for second in 1..=3 {
            wire.packet = second * 500;
            wire.send(Direction::ToServer, tcp(flags, 99, 500), &[0], 1_500);
        }
        let (flow, _) = wire.finish();
        let kinds: Vec<EventKind> = flow.events.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [kind; 2]);
    }
}

/// The times of a damaged file: an ACK comes a century after its data, then a segment comes twice.
#[test]
fn a_round_trip_of_a_century_is_a_round_trip() {
    let mut wire = Wire::new();
    wire.send(Direction::ToServer, tcp(0x18, 100, 500), &[7; 100], 1_500);
    wire.packet = 2_000_000_000_000;
    wire.send(Direction::ToClient, tcp(0x10, 500, 200), &[], 1_500);
    wire.send(Direction::ToServer, tcp(0x18, 200, 500), &[8; 100], 1_500);
    wire.packet += 10;
    wire.send(Direction::ToServer, tcp(0x18, 200, 500), &[8; 100], 1_500);
    let (flow, _) = wire.finish();
    let kinds: Vec<EventKind> = flow.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Retransmission]);
    assert!(flow.side(Direction::ToServer).min_rtt.is_some_and(|trip| trip > Span::secs(3_900_000_000)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_is_accounted_for_byte_by_byte(scenario in scenario()) {
        let (flow, content, map, answer) = run(&scenario);
        let side = flow.side(scenario.direction);
        prop_assert_eq!(side.repeated_bytes, map.repeated(), "repeated");
        prop_assert_eq!(side.unique_bytes, map.unique(), "unique");
        // Where the capture begins with the connection, or with its first captured segment.
        let start = if scenario.opening == Opening::Midstream { map.start.unwrap_or(0) } else { 0 };
        prop_assert_eq!(content.record(scenario.direction), map.delivered(start), "delivered");
        let there: Vec<Option<u8>> = answer.into_iter().map(Some).collect();
        prop_assert_eq!(content.record(scenario.direction.reverse()), there, "the answer");
        // Missing bytes are missed by the capture when the peer has them, and holes when nobody knows.
        let unseen = |from: usize, to: usize| (from..to).filter(|at| map.seen[*at] == 0).count() as u64;
        if scenario.opening != Opening::Midstream {
            let known = if scenario.fin.is_some() { map.seen.len() } else { map.highest() };
            prop_assert_eq!(side.missed_bytes, unseen(0, map.acked), "missed");
            prop_assert_eq!(side.hole_bytes, unseen(map.acked, known.max(map.acked)), "holes");
        }
        // Every segment below the highest number is called something, and a repeat nothing else.
        let counts = &side.retransmissions;
        let late = counts.data() + side.reordered + side.late_ambiguous;
        prop_assert_eq!(late, map.late, "late");
        prop_assert!(counts.data() >= map.repeats, "{} of {} repeats", counts.data(), map.repeats);
        prop_assert_eq!(side.conflicts, 0);
        prop_assert!(side.stalled <= side.transfer_time());
        prop_assert!(side.unique_segments <= side.data_segments);
    }
}
