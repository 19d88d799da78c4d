//! # What it finds
//! Packets that the capture holds more than once although TCP sent them once. A mirror of several ports
//! records them so, the `any` interface, or a capture point before and behind a router, a tunnel or
//! segmentation offload. On a radio link a station sends frames again by itself.
//!
//! # Why it matters
//! Tools that do not know take the copies for retransmissions and duplicate ACKs.
//!
//! # How it decides
//! The flow engine compares headers, payload, IP identification and TCP timestamps within a short interval.
//! It leaves copies out of every count. This detector reports how many there were, from `least` copies and
//! `share` of the packets on. A super-frame and the segments that it was cut into, or made of, are one
//! transmission. `link_retries`: frames of IEEE 802.11 with the retry bit and the sequence control of an
//! earlier frame. Nobody acknowledged that one on the link, and the station sent it again.
//!
//! Where most copies are of flows whose packets one link address received and sent on over the same link, it
//! says so: the capture did not make these, somebody passes packets on.
//!
//! # What it leaves alone
//! Retransmissions, and repeated UDP or ARP packets, which applications do send twice.
//!
//! # What it does not claim
//! That any host sent a packet twice. It is information only: all other counts are without the copies.
//!
//! # References
//! RFC 6864 (the IP identification says nothing for atomic datagrams); RFC 7323 section 3 (timestamps);
//! Wireshark `editcap -d`; IEEE 802.11 section 9.2.4 (retry bit, sequence control).

use crate::detect::duplicate_ip::claims::text;
use crate::detect::*;
use crate::dissect::Direction;
use crate::flow::{EventKind, Flow, Half, LinkUse, TcpEvent};

thresholds! {
    /// Counts copies.
    struct CaptureDuplicates {
        least: u64 = 10.0 "packets",
            "copies below this number are not worth a line",
            "judgement: a handful of copies changes no rate";
        share: f64 = 0.001 "share",
            "copies of all packets, from which it is reported",
            "the same 0.1 % that pcaptriage allows for drops";
    }
}

variants! {
    /// Recorded again, or sent again below TCP.
    enum Kind {
        Copies "" Info {
            could_be: &[
                "several ports, or both directions of two ports, are mirrored to one",
                "the capture was taken on the any interface: bridge, container and host each show the packet",
                "the capture point sees the packet before and after a router or tunnel",
            ],
            next: &["capture on one interface, or mirror one direction of one port"],
            not_claimed: &["that any host sent a packet twice"],
        }
        LinkRetries "link_retries" Info {
            could_be: &[
                "the radio link is weak, or shared by many stations",
                "the capture point hears the sender better than the receiver does",
            ],
            next: &["compare with the retry counters of the station and of the access point"],
            not_claimed: &["that TCP sent anything again", "that frames were lost in the end"],
        }
    }
}

counts! {
    /// What flows with copies, or with frames sent again, show.
    struct Copies {
        copies: u64,
        retries: u64,
        /// Copies in flows that somebody on the link passes on, and who.
        passed_on: u64,
        relays: Distinct<[u8; 6], 8>,
    }
}

counts! {
    /// What all flows show.
    struct Recorded {
        packets: u64,
    }
}

impl Detector for CaptureDuplicates {
    const RULE: Rule = Rule {
        name: "capture_duplicates",
        group: Group::Capture,
        summary: "packets recorded more than once",
        judges: "flows",
        variants: Kind::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("capture_duplicates.rs"),
    };
    const EXPLAINS: &'static [Explains] =
        &[Explains::by(Meet::Recording, &["spurious_retransmission", "reordering"])];
    type Variant = Kind;
    type Key = ((), Kind);
    type Counts = Copies;
    type Total = Recorded;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let sum = |count: fn(&Half) -> u64| flow.halves.iter().map(count).sum::<u64>();
        let (copies, retries) = (sum(|half| half.copies), sum(|half| half.retries));
        if let Some(total) = book.judged(&()) {
            total.packets += copies + retries + sum(|half| half.packets);
        }
        for (kind, count, event) in [
            (Kind::Copies, copies, EventKind::DuplicateObservation),
            (Kind::LinkRetries, retries, EventKind::LinkRetry),
        ] {
            let Some(case) = (count > 0).then(|| book.case(((), kind))).flatten() else { continue };
            case.flow(flow, [flow.first, flow.last]);
            match kind {
                Kind::Copies => {
                    case.counts.copies += count;
                    let mut relays = flow.halves.iter().flat_map(relays).peekable();
                    case.counts.passed_on += if relays.peek().is_some() { count } else { 0 };
                    relays.for_each(|relay| case.counts.relays.add(relay));
                }
                Kind::LinkRetries => case.counts.retries += count,
            }
            if let Some(tcp) = &flow.tcp {
                let again = tcp.events.iter().filter(|found| found.kind == event);
                case.show(0, flow.id, || again.take(2).flat_map(pair));
            }
        }
    }

    fn judge(
        &self,
        ((), kind): &Self::Key,
        case: &Case<Copies>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Kind>> {
        let again = case.counts.copies + case.counts.retries;
        let packets = book.total(&()).1.map_or(0, |total| total.packets);
        if again < self.least || share(again, packets) < self.share {
            return None;
        }
        let (part, flows) = (percent(again, packets), plural(case.flows(), "flow"));
        let mut relays: Vec<String> = case.counts.relays.iter().map(text).collect();
        relays.sort_unstable();
        let passed_on = 2 * case.counts.passed_on > again;
        let (title, summary) = match kind {
            Kind::Copies if passed_on => (
                format!("{part} of the recorded packets were passed on over the same link"),
                format!(
                    "The capture holds {} of {flows} again. {} received packets and sent them on: the \
                     capture shows them before and behind it. All other counts leave the second ones out.",
                    plural(again, "packet"),
                    relays.join(", "),
                ),
            ),
            Kind::Copies => (
                format!("{part} of the recorded packets are copies"),
                format!(
                    "The capture holds {} of {flows} again. All other counts leave these copies out.",
                    plural(again, "packet")
                ),
            ),
            Kind::LinkRetries => (
                format!("The radio link sent {part} of the packets again"),
                format!(
                    "In {flows} a station sent {} again, with the retry bit and the first sequence control. \
                     TCP sent them once. All other counts leave them out.",
                    plural(again, "frame")
                ),
            ),
        };
        let draft = Draft::new(*kind, title, summary).confidence(match kind {
            Kind::Copies => Confidence::Likely,
            Kind::LinkRetries => Confidence::Confirmed,
        });
        let draft = match passed_on {
            true => draft.could_be([
                "a router sends them back into the network that they came from",
                "a host gets between others, as by false ARP replies (see duplicate_ip)",
            ]),
            false => draft,
        };
        Some(draft.count("packets", packets).count("flows_with_copies", case.flows()))
    }
}

/// Link addresses that received packets of one side and sent them on over the same link.
fn relays(half: &Half) -> impl Iterator<Item = [u8; 6]> {
    let passes = |from: &&LinkUse, to: &LinkUse| {
        let same_link = (from.vlan, from.interface) == (to.vlan, to.interface);
        same_link && from.destination == to.source && from.source != to.source && to.source != [0; 6]
    };
    let received = half.links.iter().filter(move |from| half.links.iter().any(|to| passes(from, to)));
    received.map(|from| from.destination)
}

/// A copy and the packet it repeats.
fn pair(copy: &TcpEvent) -> impl Iterator<Item = Evidence> + use<> {
    let original = copy.original.map(|at| Evidence::new(at, Role::Original, ""));
    let direction = match copy.direction {
        Direction::ToServer => "to server",
        Direction::ToClient => "to client",
    };
    let fields = format!("{direction}, {} after the original", copy.delay);
    original.into_iter().chain([Evidence::new(copy.at, Role::Copy, fields)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_files, in_scene, in_traffic, one, says_nothing};
    use crate::support::capture::Capture;
    use crate::support::filler;
    use crate::support::frame::{self, Ip};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, FIN, SERVER, SYN, Segment};

    const NAME: &str = CaptureDuplicates::RULE.name;

    #[test]
    fn it_fires() {
        for scene in ["exact", "routed", "vlan"] {
            let finding = one(&in_scene(NAME, &format!("capture_duplicates_{scene}")), "", Severity::Info);
            assert_eq!(finding.confidence, Confidence::Likely);
            let roles: Vec<Role> = finding.evidence.iter().map(|shown| shown.role).collect();
            assert_eq!(roles, [Role::Original, Role::Copy].repeat(8), "{scene}");
        }
    }

    /// A frame as a station sends it on the air: data to the access point, with this sequence number.
    fn on_air(frame: &[u8], number: u16, again: bool) -> Vec<u8> {
        let mut air = vec![0x08, 0x01 | u8::from(again) << 3, 0, 0];
        air.extend([2, 0xaa, 0, 0, 0, 1]);
        air.extend(&frame[6..12]);
        air.extend(&frame[..6]);
        air.extend((number << 4).to_le_bytes());
        air.extend([0xaa, 0xaa, 3, 0, 0, 0]);
        air.extend(&frame[12..]);
        air
    }

    fn air(record: impl FnOnce(&mut Lab)) -> Vec<Finding> {
        let mut lab = Lab::new(Capture::default(), 77);
        record(&mut lab);
        let mut file = lab.capture.pcap();
        file[20] = 105;
        in_files(NAME, &[("pcap", file)])
    }

    /// Retries of the radio 20 ms later, of a host without time stamps and identifications: nothing but the
    /// sequence control shows that TCP did not send them.
    #[test]
    fn frames_that_a_station_sends_again_are_no_retransmissions() {
        let findings = |retry: bool| {
            air(|lab| {
                let mut talk = lab.talk(7, (9, 80), 10, [30, 6_000]);
                let mut number = 0;
                for _ in 0..20 {
                    let mut data = talk.segment(CLIENT, ACK, b"the same bytes");
                    (data.id, data.stamps) = (0, None);
                    talk.sent(&data);
                    lab.capture.record(talk.now, on_air(&talk.frame(&data), number, false));
                    number += 2 - u16::from(retry);
                    let again = number - 1;
                    lab.capture.record(talk.now + 20_000, on_air(&talk.frame(&data), again, true));
                    talk.wait(90_000);
                }
            })
        };
        let found = findings(true);
        assert_eq!((found.len(), found[0].counts[0].value), (1, 20), "{found:#?}");
        one(&found, "link_retries", Severity::Info);
        // The retry bit alone says nothing: the first try was not recorded, or TCP sent another segment.
        assert!(findings(false).is_empty());
    }

    /// Behind the bridge the super-frame of the container is cut into segments, which have its ACK and time
    /// stamps.
    #[test]
    fn a_super_frame_and_its_pieces_are_one_transmission() {
        for pieces_first in [false, true] {
            let mut capture = Capture::default();
            let mut lab = Lab::new(Capture::default(), 77);
            let mut talk = lab.talk(7, (9, 80), 10, [30, 6_000]);
            talk.handshake(&mut capture);
            for number in 0..4u32 {
                let whole = talk.segment(CLIENT, ACK, &crate::support::filler(number, 6_000));
                let pieces = (0..4u32).map(|piece| {
                    let from = 1_500 * piece as usize;
                    let payload = whole.payload[from..from + 1_500].to_vec();
                    let id = whole.id.wrapping_add(piece as u16);
                    let mac = [2, 0x42, 0, 0, 0, 9];
                    Segment { seq: whole.seq.wrapping_add(1_500 * piece), id, mac, payload, ..whole.clone() }
                });
                let mut order: Vec<Segment> = pieces.collect();
                order.insert(if pieces_first { 4 } else { 0 }, whole.clone());
                order.iter().for_each(|segment| talk.record(&mut capture, segment));
                talk.sent(&whole);
                talk.received(&whole);
                talk.turn(CLIENT);
                talk.ack(&mut capture, SERVER, &[]);
            }
            let file = [("pcap", capture.pcap())];
            let copies = if pieces_first { 4 } else { 16 };
            let found = in_files(NAME, &file);
            let count = found.first().map(|finding| finding.counts[0].value);
            // Four copies of super-frames are a handful.
            assert_eq!(count, (copies >= 10).then_some(copies), "{found:#?}");
            assert!(in_files("retransmission", &file).is_empty());
            assert!(in_files("spurious_retransmission", &file).is_empty());
        }
    }

    /// Devices on the way encrypt the payload, which makes it longer, and decrypt it. The capture has all.
    #[test]
    fn what_is_changed_on_its_way_is_one_packet() {
        let mut capture = Capture::default();
        let mut lab = Lab::new(Capture::default(), 77);
        let mut talk = lab.talk(7, (9, 502), 10, [30, 60_000]);
        talk.handshake(&mut capture);
        for number in 0..8u32 {
            let plain = talk.segment(CLIENT, ACK, &filler(number, 33));
            let hidden =
                Segment { mac: [2, 0x42, 0, 0, 0, 9], payload: filler(number, 256), ..plain.clone() };
            let again = Segment { mac: [2, 0x42, 0, 0, 0, 10], ..plain.clone() };
            for one in [&plain, &hidden, &again] {
                talk.record(&mut capture, one);
                talk.wait(20_000);
            }
            talk.sent(&plain);
            talk.received(&plain);
            talk.turn(CLIENT);
            talk.ack(&mut capture, SERVER, &[]);
        }
        let file = [("pcap", capture.pcap())];
        let found = in_files(NAME, &file);
        assert_eq!(found.first().map(|finding| finding.counts[0].value), Some(16), "{found:#?}");
        for rule in ["retransmission", "spurious_retransmission", "capture_loss"] {
            assert!(in_files(rule, &file).is_empty(), "{rule}");
        }
    }

    /// A part of a super-frame that a duplicate ACK asked for, in the same millisecond: it was sent again.
    #[test]
    fn a_piece_that_was_asked_for_is_sent_again() {
        let mut capture = Capture::default();
        let mut lab = Lab::new(Capture::default(), 77);
        for number in 0..20 {
            let mut talk = lab.talk(7, (9, 80), 10 + 50 * number, [30, 40]);
            talk.handshake(&mut capture);
            let whole = talk.send_lost(&mut capture, CLIENT, &[7; 6_000]);
            talk.wait(80);
            talk.ack(&mut capture, SERVER, &[]);
            talk.wait(80);
            let piece = Segment { payload: whole.payload[..1_500].to_vec(), ..whole.clone() };
            talk.record(&mut capture, &piece);
        }
        capture.sort();
        let file = [("pcap", capture.pcap())];
        assert!(in_files(NAME, &file).is_empty());
        assert_eq!(in_files("retransmission", &file).len(), 1);
    }

    /// Somebody on the link gets the packets for others, and passes them on.
    #[test]
    fn packets_that_a_host_passes_on_are_not_made_by_the_capture() {
        let findings = |relayed: bool| {
            in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (9, 80), 10, [30, 6_000]);
                lab.http(&mut talk, 9_000);
                let relay = [2, 0x66, 0, 0, 0, 1];
                for mut packet in std::mem::take(&mut lab.capture.packets) {
                    let mut again = packet.clone();
                    if relayed {
                        packet.frame[..6].copy_from_slice(&relay);
                        again.frame[6..12].copy_from_slice(&relay);
                    }
                    lab.capture.record(packet.micros, packet.frame);
                    lab.capture.record(again.micros + 5, again.frame);
                }
            })
        };
        for (relayed, title) in [(true, "were passed on over the same link"), (false, "are copies")] {
            let finding = one(&findings(relayed), "", Severity::Info).clone();
            assert!(finding.title.ends_with(title), "{}", finding.title);
        }
    }

    /// A router puts every packet into a tunnel, and both are recorded.
    #[test]
    fn both_legs_of_a_tunnel_are_one_connection() {
        let mut lab = Lab::new(Capture::default(), 77);
        let mut talk = lab.talk(7, (9, 80), 10, [30, 6_000]);
        lab.http(&mut talk, 9_000);
        talk.close(&mut lab.capture);
        let bare = lab.capture.packets.len() as u64;
        for packet in lab.capture.packets.clone() {
            let outer = Ip { source: lab.router(), destination: lab.server(99), ttl: 60, id: 7 };
            lab.capture.record(
                packet.micros + 300,
                frame::vxlan(outer, 42, [[2, 9, 9, 9, 9, 1], [2, 9, 9, 9, 9, 2]], &packet.frame),
            );
        }
        lab.capture.sort();
        let found = in_files(NAME, &[("pcap", lab.capture.pcap())]);
        assert_eq!((found.len(), found[0].counts[0].value), (1, bare), "{found:#?}");
        assert_eq!(found[0].scope.flows.count, 1);
    }

    /// Every packet of the clients in a tunnel with this network identifier, those of the servers in another,
    /// or in none.
    fn tunnels(there: u32, back: Option<u32>) -> Vec<u8> {
        let mut lab = Lab::new(Capture::default(), 77);
        for client in 0..6 {
            let mut talk = lab.talk(10 + client, (9, 80), 10 + 40 * u64::from(client), [30, 6_000]);
            lab.http(&mut talk, 3_000);
            talk.close(&mut lab.capture);
        }
        lab.capture.sort();
        let gateways = (lab.server(98), lab.server(99));
        for packet in &mut lab.capture.packets {
            let to_server = packet.frame[28] == 1;
            let (source, destination) = if to_server { gateways } else { (gateways.1, gateways.0) };
            let outer = Ip { source, destination, ttl: 60, id: 7 };
            let vni = if to_server { Some(there) } else { back };
            if let Some(vni) = vni {
                packet.frame =
                    frame::vxlan(outer, vni, [[2, 9, 9, 9, 9, 1], [2, 9, 9, 9, 9, 2]], &packet.frame);
            }
        }
        lab.capture.pcap()
    }

    #[test]
    fn a_tunnel_that_differs_by_direction_is_one_connection() {
        for back in [Some(42), Some(43), None] {
            let file = [("pcap", tunnels(42, back))];
            assert!(in_files(NAME, &file).is_empty());
            let one_way = in_files("asymmetric_flow", &file);
            assert!(one_way.is_empty(), "{back:?}: {one_way:#?}");
        }
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(
            NAME,
            &["healthy", "retransmission_rto", "spurious_retransmission_dsack", "syn_ack_repeated"],
        );
    }

    #[test]
    fn a_handful_of_copies_is_not_worth_a_line() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 80), 10, [30, 6_000]);
            lab.http(&mut talk, 3_000);
            let again: Vec<_> = lab.capture.packets.iter().take(9).cloned().collect();
            again.into_iter().for_each(|packet| lab.capture.record(packet.micros + 5, packet.frame));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// On the `any` interface of a router that asked for the next hop's link address first.
    #[test]
    fn a_syn_without_timestamps_that_was_forwarded_late_is_a_copy() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..20 {
                let mut talk = lab.talk(7, (9, 80), 10 + number * 400, [30, 6_000]);
                let mut syn = talk.segment(CLIENT, SYN, b"");
                syn.stamps = None;
                talk.record(&mut lab.capture, &syn);
                talk.sent(&syn);
                talk.wait(75_000);
                syn.ttl -= 1;
                talk.record(&mut lab.capture, &syn);
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
            }
        });
        assert_eq!(one(&findings, "", Severity::Info).impact.failed_transactions, 0);
    }

    /// A recorder whose clock steps: each copy is behind its original, and earlier than it.
    #[test]
    fn a_copy_from_before_its_original_is_a_copy() {
        let mut lab = Lab::new(Capture::default(), 77);
        let mut talk = lab.talk(7, (9, 80), 5_000, [30, 6_000]);
        talk.handshake(&mut lab.capture);
        for piece in 0..40 {
            let mut data = talk.segment(SERVER, ACK, &filler(piece, 500));
            data.stamps = None;
            talk.record(&mut lab.capture, &data);
            talk.sent(&data);
            let original = lab.capture.packets.last().cloned().expect("recorded");
            lab.capture.record(original.micros - 761_000, original.frame);
            talk.wait(2_000);
        }
        let file = [("pcap", lab.capture.pcap())];
        assert_eq!(one(&in_files(NAME, &file), "", Severity::Info).counts[0].value, 40);
        assert!(in_files("retransmission", &file).is_empty());
    }

    /// Two routers send a SYN without timestamps to each other: all laps take longer than a link lookup.
    #[test]
    fn every_lap_of_a_syn_in_a_loop_is_a_copy() {
        let mut laps = 0;
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 80), 10, [30, 6_000]);
            let mut syn = talk.segment(CLIENT, SYN, b"");
            syn.stamps = None;
            laps = u64::from(syn.ttl);
            while syn.ttl > 0 {
                talk.record(&mut lab.capture, &syn);
                talk.wait(5_000);
                syn.ttl -= 1;
            }
        });
        assert_eq!(one(&findings, "", Severity::Info).counts[0].value, laps - 1);
    }

    /// A tail loss probe of a FIN, by a host without timestamps and identifications.
    #[test]
    fn a_fin_that_is_probed_for_is_no_copy() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..20 {
                let mut talk = lab.talk(7, (9, 80), 10 + number * 400, [30, 6_000]);
                talk.handshake(&mut lab.capture);
                let mut fin = talk.segment(CLIENT, FIN | ACK, b"");
                (fin.id, fin.stamps) = (0, None);
                talk.record(&mut lab.capture, &fin);
                talk.sent(&fin);
                talk.wait(33_000);
                talk.record(&mut lab.capture, &fin);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The server's timer and the client's SYN ask for the same bytes within one tick of the time stamps.
    #[test]
    fn a_syn_ack_that_a_syn_asks_for_is_no_copy() {
        for stamps in [true, false] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..20 {
                    let mut talk = lab.talk(7, (9, 80), 10 + number * 400, [30, 6_000]);
                    let mut syn = talk.segment(CLIENT, SYN, b"");
                    syn.stamps = syn.stamps.filter(|_| stamps);
                    talk.record(&mut lab.capture, &syn);
                    talk.sent(&syn);
                    let mut answer = talk.segment(SERVER, SYN | ACK, b"");
                    (answer.id, answer.stamps) = (0, answer.stamps.filter(|_| stamps));
                    talk.record(&mut lab.capture, &answer);
                    talk.wait(1_000_000);
                    talk.record(&mut lab.capture, &answer);
                    talk.wait(40);
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(25);
                    talk.record(&mut lab.capture, &answer);
                }
            });
            assert!(findings.is_empty(), "{findings:#?}");
        }
    }

    /// The same question from the same port twice: the client sends it, nothing copies it.
    #[test]
    fn datagrams_sent_twice_are_no_copies() {
        let findings = in_traffic(NAME, |lab| {
            let (from, to) = ((lab.client(7), 5_353), (lab.resolver(), 5_353));
            for number in 0..40 {
                lab.udp(10_000 * number, from, to, b"the same announcement");
                lab.udp(10_000 * number + 3_000, from, to, b"the same announcement");
            }
            let mut talk = lab.talk(7, (9, 80), 10, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            talk.ack(&mut lab.capture, CLIENT, &[]);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
