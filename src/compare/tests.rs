//! Two and three points made of one traffic: what was lost, changed and made up is known to the packet.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::*;
use crate::capture::CaptureLimits;
use crate::support::capture::{Capture, EPOCH, Order};
use crate::support::filler;
use crate::support::frame::{Ip, datagram, routed, vxlan};
use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Talk};

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// Everything that was sent: time at A in microseconds, and what was lost on the way.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) sent: Capture,
    pub(super) lost: BTreeSet<usize>,
}

impl Traffic {
    /// Conversations through a quarter of a minute or more, with `lossy` of them losing data both ways.
    pub(super) fn of(conversations: u16, lossy: u16) -> Self {
        let mut traffic = Self::default();
        for number in 0..conversations {
            let client = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2 + (number % 3) as u8)), 40_000 + number);
            let server = (IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)), 443);
            let mut talk = Talk::new(client, server, 1_000 + u64::from(number) * 500_000, [50, 20_000]);
            traffic.talk(&mut talk, number < lossy);
        }
        traffic
    }

    fn talk(&mut self, talk: &mut Talk, lossy: bool) {
        talk.handshake(&mut self.sent);
        talk.exchange(&mut self.sent, b"GET /checkin HTTP/1.1\r\nHost: example\r\n\r\n", 9_000);
        if lossy {
            for (side, length) in [(CLIENT, 700), (SERVER, 900)] {
                talk.wait(3_000);
                let lost = talk.send_lost(&mut self.sent, side, &filler(length, length as usize));
                self.lost.insert(self.sent.packets.len() - 1);
                talk.wait(230_000);
                let again = talk.resend(&mut self.sent, &lost);
                talk.received(&again);
                talk.catch_up(side);
                talk.turn(side);
                talk.ack(&mut self.sent, 1 - side, &[]);
            }
        }
        talk.close(&mut self.sent);
    }

    fn is_client(&self, place: usize) -> bool {
        self.sent.packets[place].frame[26..28] == [10, 0]
    }

    /// Both points. `way` makes of a frame what arrives at B or comes from there; B's clock is 137 ms and 40
    /// ppm ahead, and the way takes 5 ms and up to 2 ms more.
    pub(super) fn points(&self, way: impl Fn(&[u8], bool) -> Vec<u8>) -> [Capture; 2] {
        let (mut a, mut b) = (Capture::default(), Capture::default());
        let mut order: Vec<usize> = (0..self.sent.packets.len()).collect();
        order.sort_by_key(|place| self.sent.packets[*place].micros);
        let mut last = [0, 0];
        for place in order {
            let (packet, client) = (&self.sent.packets[place], self.is_client(place));
            let delay = 5_000 + (place as u64 * 7_919) % 2_000;
            let lost = self.lost.contains(&place);
            let at_b = if client { packet.micros + delay } else { packet.micros - delay };
            // Nothing overtakes.
            let at_b = at_b.max(last[usize::from(client)] + 1);
            last[usize::from(client)] = at_b;
            if client || !lost {
                a.record(packet.micros, packet.frame.clone());
            }
            if !client || !lost {
                b.record(clock(at_b), way(&packet.frame, client));
            }
        }
        a.sort();
        b.sort();
        [a, b]
    }

    /// How many packets were lost from the client, and from the server.
    pub(super) fn losses(&self) -> (u64, u64) {
        let forth = self.lost.iter().filter(|place| self.is_client(**place)).count() as u64;
        (forth, self.lost.len() as u64 - forth)
    }
}

/// What B's clock says.
pub(super) fn clock(micros: u64) -> u64 {
    micros + 137_000 + micros * 40 / 1_000_000
}

/// One router further: at B the TTL of the client's packets is one less, that of the server's one more.
pub(super) fn hop(frame: &[u8], client: bool) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[22] += if client { 0 } else { 2 };
    routed(&frame, MACS[0], MACS[1])
}

fn compare(captures: &[Vec<u8>]) -> Comparison {
    let folder = tempfile::tempdir().expect("a folder");
    compare_in(folder.path(), captures)
}

fn compare_in(folder: &Path, captures: &[Vec<u8>]) -> Comparison {
    let point = |(bytes, name): (&Vec<u8>, &str)| {
        let input = folder.join(name);
        std::fs::write(&input, bytes).expect("written");
        Point { name: name.to_owned(), input, interface: None }
    };
    let points: Vec<Point> = captures.iter().zip(["a", "b", "c"]).map(point).collect();
    let limits = CaptureLimits { chunk_bytes: 10_000, ..CaptureLimits::default() };
    Comparison::new(points, &limits, &mut |_| {}, &|_| {}).expect("readable")
}

fn compared(points: [Capture; 2]) -> Pair {
    let mut comparison = compare(&points.map(|point| point.pcap()));
    comparison.pairs.remove(0)
}

/// Nothing but losses, and those exactly.
fn is_exact(pair: &Pair, (forth, back): (u64, u64)) {
    for (way, lost) in [(&pair.forth, forth), (&pair.back, back)] {
        let expected: Vec<(Fate, u64)> = if lost > 0 { vec![(Fate::Lost, lost)] } else { vec![] };
        assert_eq!(way.fates.iter().map(|(fate, count)| (*fate, *count)).collect::<Vec<_>>(), expected);
    }
}

/// The offset is within its own error, and that is half the least round trip.
fn clock_is_right(pair: &Pair) {
    let clock = pair.clock.expect("a clock");
    assert_eq!(clock.basis, Basis::BothDirections);
    let since = clock.at.0 / 1_000 - EPOCH as i64 * 1_000_000;
    let truth = 137_000 + since * 40 / 1_000_000;
    let error = clock.error.expect("an error");
    let off = (clock.offset.0 / 1_000 - truth).abs();
    assert!(off <= error.0 / 1_000 + 2, "{clock:?}: {off} us off");
    assert!((4_900_000..6_000_000).contains(&error.0), "{error}");
    let (least, most) = clock.drift_between_ppm.expect("bounds");
    assert!((least..most).contains(&40.0), "{clock:?}");
}

fn frames(packets: &[Shown]) -> BTreeSet<u64> {
    packets.iter().filter_map(|shown| shown.a.as_ref().or(shown.b.as_ref())).map(|at| at.frame).collect()
}

#[test]
fn loss_is_that_of_the_way_whatever_the_clocks() {
    let traffic = Traffic::of(60, 12);
    let points = traffic.points(hop);
    let pair = compared(points.clone());
    is_exact(&pair, traffic.losses());
    clock_is_right(&pair);
    assert_eq!((pair.forth.reordered, pair.back.cut_otherwise), (0, 0));
    // The frames are those that the other point does not have.
    let there: BTreeSet<Vec<u8>> =
        points[1].packets.iter().map(|packet| datagram(&packet.frame)[12..].to_vec()).collect();
    let missing =
        (1..).zip(&points[0].packets).filter(|(_, packet)| !there.contains(&datagram(&packet.frame)[12..]));
    assert_eq!(frames(&pair.forth.packets[&Fate::Lost]), missing.map(|(frame, _)| frame).collect());
    let delay = pair.forth.delay.expect("delays");
    assert!(delay.is_absolute && (4_800..5_400).contains(&(delay.least.0 / 1_000)), "{delay:?}");
    assert!((5_600..6_400).contains(&(delay.median.0 / 1_000)), "{delay:?}");
    let lost: u64 = pair.forth.intervals.iter().map(|interval| interval.lost).sum();
    assert_eq!(lost, traffic.losses().0);
    let ttl = pair.changes.iter().find(|change| change.field == Field::Ttl && change.way == Way::Forth);
    assert_eq!(ttl.map(|change| change.arrived), Some(Is::Less(1)));
}

#[test]
fn without_a_router_the_direction_is_told_by_the_times() {
    let traffic = Traffic::of(40, 8);
    let pair = compared(traffic.points(|frame, _| frame.to_vec()));
    is_exact(&pair, traffic.losses());
    clock_is_right(&pair);
    assert!(pair.changes.is_empty(), "{:?}", pair.changes);
}

#[test]
fn addresses_and_ports_may_be_translated() {
    let traffic = Traffic::of(40, 8);
    let pair = compared(traffic.points(|frame, client| {
        let mut frame = hop(frame, client);
        // The client becomes 198.51.100.7, with other ports.
        let (address, port) = if client { (26, 34) } else { (30, 36) };
        frame[address..address + 4].copy_from_slice(&[198, 51, 100, 7]);
        frame[port] ^= 0x40;
        frame
    }));
    is_exact(&pair, traffic.losses());
    clock_is_right(&pair);
    assert!(pair.changes.iter().any(|change| change.field == Field::Addresses), "{:?}", pair.changes);
    assert!(pair.changes.iter().all(|change| change.field.is_ordinary()), "{:?}", pair.changes);
}

#[test]
fn a_tunnel_is_looked_into_and_clamping_is_said() {
    let traffic = Traffic::of(40, 8);
    let outer = Ip { source: [172, 16, 0, 1].into(), destination: [172, 16, 0, 2].into(), ttl: 64, id: 7 };
    let pair = compared(traffic.points(|frame, client| {
        let mut frame = frame.to_vec();
        let flags = frame[47];
        if client && flags & 0x12 == 0x02 {
            // MSS first, window scale last: 1460 becomes 1360, the scale three paddings.
            assert_eq!(frame[54..58], [2, 4, 5, 0xb4]);
            frame[56..58].copy_from_slice(&1_360u16.to_be_bytes());
            let scale = (54..74).find(|at| frame[*at..*at + 2] == [3, 3]).expect("a window scale");
            frame[scale..scale + 3].fill(1);
        }
        vxlan(outer, 42, MACS, &frame)
    }));
    is_exact(&pair, traffic.losses());
    clock_is_right(&pair);
    let said = |field| pair.changes.iter().find(|change| change.field == field).expect("a change");
    let (mss, scale) = (said(Field::Mss), said(Field::WindowScale));
    assert_eq!((mss.sent, mss.arrived, mss.packets), (Is::Number(1_460), Is::Number(1_360), 40));
    assert_eq!((scale.arrived, scale.way), (Is::Word("none"), Way::Forth));
    let tunnelled = pair.changes.iter().filter(|change| change.field == Field::Tunnel);
    assert_eq!(tunnelled.map(|change| change.packets).sum::<u64>(), pair.arrived);
}

#[test]
fn what_is_remarked_or_rewritten_is_said_with_frames() {
    let traffic = Traffic::of(10, 0);
    let pair = compared(traffic.points(|frame, client| {
        let mut frame = hop(frame, client);
        frame[15] = if client { 0x03 } else { 0x28 };
        if client && frame.len() > 100 {
            frame[80] ^= 1;
        }
        frame
    }));
    is_exact(&pair, (0, 0));
    let said = |field, way| {
        pair.changes.iter().find(|change| (change.field, change.way) == (field, way)).expect("a change")
    };
    assert_eq!(said(Field::Ecn, Way::Forth).arrived, Is::Word("CE"));
    // What the server sends with code point 10 arrives with none.
    let dscp = said(Field::Dscp, Way::Back);
    assert_eq!((dscp.sent, dscp.arrived), (Is::Number(10), Is::Number(0)));
    let payload = said(Field::Payload, Way::Forth);
    assert_eq!((payload.packets, payload.examples.len()), (10, 3));
    let example = payload.examples[0].a.as_ref().zip(payload.examples[0].b.as_ref()).expect("both");
    assert_eq!((example.0.frame, example.1.frame), (4, 4));
}

#[test]
fn an_injected_reset_is_at_both_points_and_was_sent_by_neither() {
    let mut traffic = Traffic::of(20, 2);
    let [mut a, mut b] = traffic.points(hop);
    let client = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 40_000);
    let server = (IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)), 443);
    let mut talk = Talk::new(client, server, 3_000_000, [50, 20_000]);
    for (side, point, at) in [(SERVER, &mut a, 3_000_000), (CLIENT, &mut b, clock(3_000_900))] {
        let reset = talk.segment(side, RST, b"");
        point.record(at, talk.frame(&reset));
        point.sort();
    }
    let losses = traffic.losses();
    traffic.lost.clear();
    let pair = compared([a, b]);
    for (way, lost) in [(&pair.forth, losses.0), (&pair.back, losses.1)] {
        assert_eq!((way.of(Fate::Injected), way.of(Fate::Lost)), (1, lost), "{:?}", way.fates);
    }
    let reset = &pair.back.packets[&Fate::Injected][0];
    assert!(reset.b.is_none() && reset.a.is_some() && reset.kind == Kind::Reset, "{reset:?}");
}

#[test]
fn a_point_that_starts_late_loses_nothing_before() {
    let traffic = Traffic::of(60, 12);
    let [a, mut b] = traffic.points(hop);
    let late = clock(2_600_000);
    b.packets.retain(|packet| packet.micros >= late);
    let in_time = |place: &&usize| traffic.sent.packets[**place].micros > 2_600_000;
    let forth = traffic.lost.iter().filter(in_time).filter(|place| traffic.is_client(**place)).count();
    let pair = compared([a, b]);
    is_exact(&pair, (forth as u64, traffic.lost.iter().filter(in_time).count() as u64 - forth as u64));
    assert!(pair.forth.not_told[&Why::OutsideOther] > 20, "{:?}", pair.forth.not_told);
}

#[test]
fn what_a_recording_dropped_was_not_lost() {
    let traffic = Traffic::of(60, 12);
    let [a, mut b] = traffic.points(hop);
    // Every thirteenth packet; those of which a copy is sent again are left alone.
    let (mut place, before) = (0, b.packets.len());
    b.packets.retain(|packet| {
        place += 1;
        place % 13 != 0 || packet.frame.len() == 54 + 12 + 700 || packet.frame.len() == 54 + 12 + 900
    });
    let dropped = (before - b.packets.len()) as u64;
    assert!(dropped > 50);
    let mut comparison = compare(&[a.pcap(), b.pcapng(Order::Little, Some(dropped))]);
    let pair = comparison.pairs.remove(0);
    assert_eq!(pair.forth.of(Fate::Lost), traffic.losses().0, "{:?}", pair.forth);
    assert!(pair.back.of(Fate::Lost) <= traffic.losses().1, "{:?}", pair.back.fates);
    let told = pair.forth.of(Fate::Missed) + pair.forth.not_told[&Why::RecordingLost];
    assert!(told > 10, "{:?} {:?}", pair.forth.fates, pair.forth.not_told);
    // Without the counter of drops: what the server acknowledged was not lost.
    let pair = compared([a, b]);
    assert!(pair.forth.of(Fate::Missed) > 0, "{:?}", pair.forth.fates);
}

#[test]
fn a_proxy_cannot_be_compared_and_that_is_said() {
    let traffic = Traffic::of(20, 0);
    let [a, _] = traffic.points(hop);
    let mut other = Traffic::default();
    for number in 0..20u16 {
        let client = (IpAddr::V4(Ipv4Addr::new(10, 1, 0, 9)), 40_000 + number);
        let server = (IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1)), 8_443);
        let mut talk = Talk::new(client, server, 5_000 + u64::from(number) * 500_000, [50, 20_000]);
        talk.handshake(&mut other.sent);
        talk.exchange(&mut other.sent, b"GET /checkin HTTP/1.1\r\nHost: example\r\n\r\n", 9_000);
    }
    let pair = compared([a.clone(), other.sent]);
    assert!(pair.clock.is_none() && pair.arrived == 0 && pair.renumbered > 0, "{pair:?}");
    // And other traffic.
    let mut strange = Capture::default();
    let client = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 50_000);
    let mut talk = Talk::new(client, (Ipv4Addr::new(192, 0, 2, 1).into(), 25), 5_000, [50, 20_000]);
    talk.handshake(&mut strange);
    talk.exchange(&mut strange, &filler(77, 900), 0);
    let pair = compared([a, strange]);
    assert!(pair.clock.is_none() && pair.renumbered == 0, "{pair:?}");
    assert!(pair.forth.fates.is_empty() && pair.back.fates.is_empty());
}

#[test]
fn a_capture_lost_nothing_on_the_way_to_itself() {
    let traffic = Traffic::of(20, 4);
    let [a, _] = traffic.points(hop);
    let pair = compared([a.clone(), a]);
    assert_eq!(pair.forth.fates.len() + pair.back.fates.len() + pair.changes.len(), 0, "{pair:?}");
    assert!(pair.not_told.is_empty(), "{:?}", pair.not_told);
}

#[test]
fn segments_that_a_network_card_joined_are_not_lost() {
    let traffic = Traffic::of(30, 6);
    let [a, mut b] = traffic.points(|frame, _| frame.to_vec());
    // B's card joins two segments in a row of the server.
    let mut joined: Vec<crate::support::capture::Packet> = Vec::new();
    let mut pairs = 0;
    for packet in b.packets.drain(..) {
        let payload = |frame: &[u8]| frame.len().saturating_sub(66);
        let seq = |frame: &[u8]| u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]);
        match joined.last_mut() {
            Some(last)
                if payload(&packet.frame) == 1_448
                    && payload(&last.frame) == 1_448
                    && last.frame[26..38] == packet.frame[26..38]
                    && seq(&last.frame).wrapping_add(1_448) == seq(&packet.frame) =>
            {
                last.frame.extend(&packet.frame[66..]);
                let length = (last.frame.len() - 14) as u16;
                last.frame[16..18].copy_from_slice(&length.to_be_bytes());
                pairs += 1;
            }
            _ => joined.push(packet),
        }
    }
    b.packets = joined;
    let pair = compared([a, b]);
    assert!(pairs > 20, "{pairs}");
    is_exact(&pair, traffic.losses());
    assert_eq!(pair.back.cut_otherwise, 3 * pairs, "a joined one, and two of it");
}

#[test]
fn connections_of_which_nothing_arrives_are_told_apart_from_other_traffic() {
    let mut traffic = Traffic::of(20, 0);
    let server = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1));
    // A port that is blocked or not captured, a host whose traffic goes elsewhere, and a connection that
    // somebody blocked.
    let elsewhere = Ipv4Addr::new(10, 1, 0, 77).into();
    for (server, port) in [((server, 8_443), 50_001), ((elsewhere, 443), 50_002), ((server, 443), 50_003)] {
        let client = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), port);
        let mut talk = Talk::new(client, server, 2_000_000, [50, 20_000]);
        for wait in [0, 1_000_000, 2_000_000] {
            talk.wait(wait);
            let syn = talk.segment(CLIENT, SYN, b"");
            talk.record(&mut traffic.sent, &syn);
            traffic.lost.insert(traffic.sent.packets.len() - 1);
        }
    }
    let pair = compared(traffic.points(hop));
    assert_eq!((pair.forth.of(Fate::Absent), pair.forth.absent_conversations), (3, 1));
    assert_eq!(pair.forth.of(Fate::Lost) + pair.back.of(Fate::Lost), 0);
    let told = |why| pair.forth.not_told.get(&why).copied();
    assert_eq!((told(Why::OtherTraffic), told(Why::OtherService)), (Some(3), Some(3)));
}

#[test]
fn an_answer_that_never_came_is_named() {
    let mut traffic = Traffic::of(20, 0);
    let client = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 50_001);
    let mut talk = Talk::new(client, (Ipv4Addr::new(10, 1, 0, 1).into(), 443), 2_000_000, [50, 20_000]);
    talk.send(&mut traffic.sent, CLIENT, SYN, b"");
    talk.turn(CLIENT);
    let answer = talk.segment(SERVER, SYN | ACK, b"");
    talk.record(&mut traffic.sent, &answer);
    traffic.lost.insert(traffic.sent.packets.len() - 1);
    let comparison = compare(&traffic.points(hop).map(|point| point.pcap()));
    is_exact(&comparison.pairs[0], (0, 1));
    let mut text = Vec::new();
    write(&comparison, false, 100, &mut text).expect("memory");
    let text = String::from_utf8(text).expect("text").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("the SYN-ACK 10.1.0.1:443 > 10.0.0.2:50001"), "{text}");
    assert!(text.contains("left b and never reached a: frame"), "{text}");
}

#[test]
fn packets_that_overtake_are_counted_once() {
    let traffic = Traffic::of(20, 0);
    let [a, mut b] = traffic.points(|frame, _| frame.to_vec());
    // At B, a request comes before the handshake's last packet.
    let request = b.packets.iter().position(|packet| packet.frame.len() > 100).expect("a request");
    let time = b.packets[request - 1].micros;
    b.packets[request].micros = time - 10;
    b.sort();
    let pair = compared([a, b]);
    assert_eq!((pair.forth.reordered, pair.back.reordered), (1, 0));
    is_exact(&pair, (0, 0));
}

#[test]
fn three_points_say_between_which_it_happened() {
    let traffic = Traffic::of(40, 8);
    let [a, b] = traffic.points(hop);
    let mut c = Capture::default();
    let (mut client_lost, mut seen) = (0, 0);
    for packet in &b.packets {
        let client = packet.frame[26..28] == [10, 0];
        let data = packet.frame.len() > 100 && client;
        seen += u32::from(data);
        if data && seen.is_multiple_of(9) {
            client_lost += 1;
            continue;
        }
        let micros = if client { packet.micros + 3_000 } else { packet.micros - 3_000 };
        c.record(micros, hop(&packet.frame, client));
    }
    c.sort();
    let comparison = compare(&[a.pcap(), b.pcap(), c.pcap()]);
    let [first, second] = &comparison.pairs[..] else { panic!("two pairs") };
    is_exact(first, traffic.losses());
    // What the server acknowledged is not said to be lost; nothing else is said.
    let between = second.forth.of(Fate::Lost) + second.forth.of(Fate::Missed);
    assert_eq!(between, client_lost, "{:?}", second.forth.fates);
    assert_eq!(second.back.fates.len(), 0, "{:?}", second.back.fates);
    assert_eq!((second.a.as_str(), second.b.as_str()), ("b", "c"));
}

#[test]
fn neither_threads_nor_chunks_show() {
    let traffic = Traffic::of(30, 6);
    let bytes = traffic.points(hop).map(|point| point.pcap());
    let folder = tempfile::tempdir().expect("a folder");
    let json = |threads| {
        let compared = crate::local::on_threads(threads, || compare_in(folder.path(), &bytes));
        serde_json::to_string(&compared.expect("threads")).expect("JSON")
    };
    assert_eq!(json(1), json(3));
}

#[test]
fn one_direction_says_no_delay() {
    let traffic = Traffic::of(20, 4);
    let [mut a, mut b] = traffic.points(hop);
    for point in [&mut a, &mut b] {
        point.packets.retain(|packet| packet.frame[26..28] == [10, 0]);
    }
    let pair = compared([a, b]);
    let clock = pair.clock.expect("a clock");
    assert_eq!((clock.basis, clock.error), (Basis::OneDirection, None));
    is_exact(&pair, (traffic.losses().0, 0));
    assert!(!pair.forth.delay.expect("delays").is_absolute);
}

#[test]
fn the_interfaces_of_one_file_are_points() {
    let traffic = Traffic::of(20, 4);
    let points = traffic.points(hop);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("both.pcapng");
    // Two sections with an interface each.
    let bytes = points.map(|point| point.pcapng(Order::Little, None)).concat();
    std::fs::write(&path, bytes).expect("written");
    let limits = CaptureLimits::default();
    let points = Point::of(&[path], &limits).expect("readable");
    let names: Vec<&str> = points.iter().map(|point| point.name.as_str()).collect();
    assert_eq!(names, ["eth0", "eth0, interface 1"]);
    let comparison = Comparison::new(points, &limits, &mut |_| {}, &|_| {}).expect("readable");
    is_exact(&comparison.pairs[0], traffic.losses());
    let frame = comparison.pairs[0].back.packets[&Fate::Lost][0].b.as_ref().map(|at| at.frame);
    assert!(frame.is_some_and(|frame| frame > traffic.sent.packets.len() as u64 / 2), "{frame:?}");
}

#[test]
fn files_of_the_same_name_are_told_apart() {
    let named = |inputs: [&str; 3]| {
        let points = Point::of(&inputs.map(Into::into), &CaptureLimits::default()).expect("names");
        points.into_iter().map(|point| point.name).collect::<Vec<String>>()
    };
    assert_eq!(named(["a/x.pcap", "b/x.pcap", "b/y.pcap"]), ["a/x.pcap", "b/x.pcap", "y.pcap"]);
}
