//! Whole packets made by hand: what each wrapping leaves in the record, and that no bytes make it panic.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::samples::{DATA, ethernet, ip, join, tcp, tcp6, udp, wrapped};
use super::{Faults, Layer, PacketRecord, Seq, Stop, TcpFlags, Transport, Tunnel, dissect, partition_hash};
use crate::capture::{LinkType, RawPacket};
use crate::time::Timestamp;

const START: u32 = 1000;

fn read(link: u16, data: &[u8], wire: usize) -> PacketRecord {
    dissect(&RawPacket {
        packet: 1,
        offset: 24,
        time: Some(Timestamp(7)),
        wire: wire as u32,
        interface: 0,
        link_type: LinkType(link),
        start: START,
        data,
    })
}

fn whole(link: u16, data: &[u8]) -> PacketRecord {
    read(link, data, data.len())
}

#[test]
fn every_wrapping_leads_to_the_innermost_segment() {
    for (name, link, bytes, tunnel, id) in wrapped(false) {
        let record = whole(link, &bytes);
        assert_eq!(record.stop, Stop::Payload, "{name}");
        let Transport::Tcp(tcp) = record.transport else { panic!("{name}: {record:?}") };
        assert_eq!((tcp.source_port, tcp.seq, tcp.ack, tcp.window), (40000, Seq(5), Seq(9), 1024), "{name}");
        assert_eq!(tcp.flags, TcpFlags::ACK, "{name}");
        assert_eq!(record.ip.unwrap().source, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), "{name}");
        assert_eq!((record.path.tunnel, record.path.tunnel_id), (tunnel, id), "{name}");
        assert_eq!(record.faults, Faults::default(), "{name}");
        let at = (record.payload.start - START) as usize;
        assert_eq!(&bytes[at..at + record.payload.captured as usize], DATA, "{name}");
        assert_eq!(record.payload.length, DATA.len() as u32, "{name}");
        assert_eq!(usize::from(record.path.overhead), at - 40, "{name}");
    }
}

#[test]
fn both_directions_of_a_tunnelled_flow_have_one_path_and_one_partition() {
    let mut hashes = Vec::new();
    for (there, back) in wrapped(false).into_iter().zip(wrapped(true)) {
        let (name, link) = (there.0, there.1);
        let (one, other) = (whole(link, &there.2), whole(link, &back.2));
        assert_eq!(one.path.hash, other.path.hash, "{name}");
        // Tags and carriage do not make another tenant; every other tunnel does.
        let carried = matches!(one.path.tunnel, Tunnel::None | Tunnel::Mpls | Tunnel::Pppoe);
        assert!(carried || one.path.hash != 0, "{name}");
        assert_eq!(partition_hash(&one), partition_hash(&other), "{name}");
        hashes.push(one.path.hash);
    }
    hashes.sort_unstable();
    hashes.retain(|hash| *hash != 0);
    let wrappings = hashes.len();
    hashes.dedup();
    // Three pairs differ in what is no part of a path: call id, ERSPAN type, L2TP version.
    assert_eq!(hashes.len(), wrappings - 3);
}

#[test]
fn vlan_ids_are_in_the_path_and_a_priority_tag_is_not() {
    let inner = tcp(false);
    let tagged = |id| whole(1, &ethernet(0x8100, &join(&[&[0x60, id, 8, 0], &inner]))).path;
    assert_eq!((tagged(42).vlan, tagged(0).vlan, tagged(0).hash), (42, 0, 0));
    let double = whole(1, &ethernet(0x88a8, &join(&[&[0, 7, 0x81, 0, 0, 42, 8, 0], &inner]))).path;
    assert_eq!((double.vlan, double.inner_vlan), (7, 42));
}

#[test]
fn a_port_alone_makes_no_tunnel() {
    let frame = ethernet(0x0800, &tcp(false));
    for (port, payload) in [
        (4789, join(&[&[8, 0, 0, 1, 0, 0, 77, 0], &frame])),
        (4789, join(&[&[8, 0, 0, 0, 0, 0, 77, 0], &[9; 40]])),
        (6081, join(&[&[0x40, 0, 0x65, 0x58, 0, 0, 77, 0], &frame])),
        (2152, join(&[&[0x30, 255, 0, 40, 0, 0, 0, 1], &[0x55; 40]])),
        (1701, join(&[&[0xc8, 2, 0, 12, 0, 1, 0, 0, 0, 0, 0, 0]])),
        (1701, vec![]),
    ] {
        let record = whole(1, &ethernet(0x0800, &udp(port, &payload, false)));
        assert!(matches!(record.transport, Transport::Udp(udp) if udp.destination_port == port));
        assert_eq!((record.path.depth, record.payload.length as usize), (0, payload.len()));
        assert_eq!(record.stop, Stop::Payload);
    }
}

#[test]
fn what_cannot_be_read_inside_a_tunnel_leaves_the_outer_packet() {
    let spanning_tree = ethernet(38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]);
    let mut vxlan = join(&[&[8, 0, 0, 0, 0, 0, 77, 0], &spanning_tree]);
    vxlan.resize(70, 0);
    let record = whole(1, &ethernet(0x0800, &udp(4789, &vxlan, false)));
    assert!(matches!(record.transport, Transport::Udp(_)));
    assert_eq!((record.stop, record.path.depth), (Stop::EtherType(4), 0));
}

#[test]
fn nesting_has_a_limit() {
    let mut packet = tcp(false);
    for _ in 0..9 {
        packet = ip(4, &packet, false);
    }
    let record = whole(101, &packet);
    assert_eq!(record.stop, Stop::Depth);
    assert_eq!(record.path.depth, 8);
    assert_eq!(whole(101, &packet[20..]).stop, Stop::Payload);
}

#[test]
fn lengths_come_from_the_ip_header_and_lies_are_faults() {
    let mut bytes = tcp(false);
    bytes[2..4].copy_from_slice(&[0, 0]);
    let offloaded = whole(101, &bytes);
    assert!(offloaded.faults.contains(Faults::ZERO_LENGTH));
    assert_eq!((offloaded.payload.length, offloaded.ip.unwrap().length), (8, 48));

    bytes[2..4].copy_from_slice(&[9, 0]);
    let boasting = whole(101, &bytes);
    assert!(boasting.faults.contains(Faults::IP_LENGTH));
    assert_eq!((boasting.payload.length, boasting.payload.captured), (0x900 - 40, 8));

    bytes[2..4].copy_from_slice(&[0, 19]);
    assert_eq!(whole(101, &bytes).stop, Stop::Malformed { layer: Layer::Ipv4 });

    let mut six = tcp6();
    six[4..6].copy_from_slice(&[0, 0]);
    let offloaded = whole(101, &six);
    assert!(offloaded.faults.contains(Faults::ZERO_LENGTH));
    assert_eq!(offloaded.payload.length, 8);
}

/// A recorder that writes the padded length into the IP header.
#[test]
fn zeros_that_fill_a_short_frame_are_no_payload() {
    let segment = |tail: &[u8], flags: u8| {
        let mut bytes = tcp(false);
        bytes.truncate(40);
        bytes.extend(tail);
        bytes[3] = 40 + tail.len() as u8;
        bytes[33] = flags;
        whole(101, &bytes).payload.length
    };
    assert_eq!((segment(&[0; 6], 0x10), segment(&[0; 2], 0x11), segment(&[0; 2], 0x12)), (0, 0, 0));
    // The layer around it, PPPoE, knows the true length.
    let mut inside = tcp(false);
    inside.truncate(40);
    (inside[3], inside[33]) = (46, 0x10);
    assert_eq!(whole(101, &inside).payload.length, 0);
    // Pushed, not zero, a keep-alive, or of no padded length.
    assert_eq!((segment(&[0; 6], 0x18), segment(b"hello!", 0x10)), (6, 6));
    assert_eq!((segment(&[0; 1], 0x10), segment(&[0; 4], 0x10)), (1, 4));
}

#[test]
fn a_wrong_checksum_is_a_fault_and_one_left_to_the_card_is_none() {
    let mut bytes = tcp(false);
    assert_eq!(whole(101, &bytes).faults, Faults::default());
    bytes[10] ^= 1;
    assert_eq!(whole(101, &bytes).faults, Faults::IP_CHECKSUM);
    bytes[10..12].copy_from_slice(&[0, 0]);
    assert_eq!(whole(101, &bytes).faults, Faults::default());
}

#[test]
fn a_cut_packet_keeps_its_length_and_says_where_it_was_cut() {
    let bytes = tcp(false);
    let record = read(101, &bytes[..44], bytes.len());
    assert!(record.faults.contains(Faults::CLIPPED));
    assert_eq!((record.payload.captured, record.payload.length), (4, 8));
    assert_eq!(record.stop, Stop::Payload);
    let header = read(101, &bytes[..34], bytes.len());
    let Transport::Tcp(tcp) = header.transport else { panic!() };
    assert!(tcp.options.incomplete && tcp.flags == TcpFlags::ACK && tcp.window == 0);
    assert_eq!(header.stop, Stop::Clipped { layer: Layer::Tcp, needed: 20, found: 14 });
    assert_eq!((header.payload.captured, header.payload.length), (0, 8));
    let ports = read(101, &bytes[..28], bytes.len());
    assert_eq!(ports.transport, Transport::None);
    assert_eq!(ports.stop, Stop::Clipped { layer: Layer::Tcp, needed: 20, found: 8 });
}

#[test]
fn impossible_tcp_headers_are_malformed() {
    for offset in [0x40, 0xf0] {
        let mut bytes = tcp(false);
        bytes[32] = offset;
        let record = whole(101, &bytes);
        assert_eq!((record.transport, record.stop), (Transport::None, Stop::Malformed { layer: Layer::Tcp }));
        assert!(record.faults.contains(Faults::HEADER_LENGTH));
    }
}

#[test]
fn extension_headers_are_walked_to_the_transport() {
    let segment = &tcp6()[40..];
    let extensions = [
        // Hop-by-hop, routing, authentication, destination options, an atomic fragment.
        &[43, 0, 1, 4, 0, 0, 0, 0][..],
        &[51, 0, 0, 0, 0, 0, 0, 0],
        &[60, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[44, 0, 1, 4, 0, 0, 0, 0],
        &[6, 0, 0, 0, 0, 1, 0, 2],
    ]
    .concat();
    let mut bytes = tcp6()[..40].to_vec();
    bytes[6] = 0;
    bytes[5] = (extensions.len() + segment.len()) as u8;
    let bytes = join(&[&bytes, &extensions, segment]);
    let record = whole(101, &bytes);
    assert!(matches!(record.transport, Transport::Tcp(_)), "{record:?}");
    let ip = record.ip.unwrap();
    assert_eq!((ip.protocol, ip.id, ip.dont_fragment), (6, 2, true));
    assert_eq!(record.payload.length, 8);
}

#[test]
fn fragments_wait() {
    let mut bytes = ip(17, &[7; 16], false);
    bytes[6..8].copy_from_slice(&[0x20, 2]);
    let record = whole(101, &bytes);
    let Transport::Fragment(fragment) = record.transport else { panic!() };
    assert_eq!((fragment.offset, fragment.more, fragment.protocol), (16, true, 17));
    assert_eq!((record.stop, record.payload.length), (Stop::Fragment, 16));
}

#[test]
fn an_icmp_error_goes_to_the_partition_of_the_flow_it_quotes() {
    let segment = tcp(false);
    let error = ip(1, &join(&[&[3, 4, 0, 0, 0, 0, 5, 0x78], &segment[..28]]), true);
    let record = whole(101, &error);
    let Transport::Icmp(icmp) = record.transport else { panic!() };
    let quoted = icmp.quoted.unwrap();
    assert_eq!((icmp.mtu, quoted.source_port, quoted.seq), (Some(1400), 40000, Some(Seq(5))));
    assert_eq!(quoted.flags, None);
    assert_eq!(partition_hash(&record), partition_hash(&whole(101, &segment)));
}

#[test]
fn neighbour_discovery_speaks_arp() {
    let (asker, target) = ([0x11; 16], [0x22; 16]);
    let message = |kind: u8, flags: u8, option: u8, from: [u8; 16], to: [u8; 16]| {
        let body = join(&[&[kind, 0, 0, 0, flags, 0, 0, 0], &target, &[option, 1, 2, 2, 2, 2, 2, 2]]);
        let header = [&[0x60, 0, 0, 0, 0, body.len() as u8, 58, 255][..], &from, &to].concat();
        whole(101, &join(&[&header, &body]))
    };
    let solicitation = message(135, 0, 1, asker, target);
    let advertisement = message(136, 0x60, 2, target, asker);
    let (Transport::Arp(ask), Transport::Arp(answer)) = (solicitation.transport, advertisement.transport)
    else {
        panic!("{solicitation:?}")
    };
    assert_eq!((ask.reply, ask.target), (false, answer.sender));
    assert_eq!((answer.reply, answer.target, answer.sender_link), (true, ask.sender, [2; 6]));
    assert_eq!(partition_hash(&solicitation), partition_hash(&advertisement));
}

#[test]
fn arp_is_read_and_has_no_ip() {
    let arp = join(&[&[0, 1, 8, 0, 6, 4, 0, 2], &[1; 6], &[10, 0, 0, 1], &[2; 6], &[10, 0, 0, 2], &[0; 18]]);
    let record = whole(1, &ethernet(0x0806, &arp));
    let Transport::Arp(arp) = record.transport else { panic!() };
    assert!(arp.reply && record.ip.is_none());
    assert_eq!((arp.sender_link, arp.target), ([1; 6], IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))));
}

#[test]
fn unknown_things_are_named() {
    assert_eq!(whole(147, &[0; 20]).stop, Stop::LinkType(147));
    assert_eq!(whole(1, &ethernet(0x88cc, &[0; 20])).stop, Stop::EtherType(0x88cc));
    assert_eq!(whole(1, &[0; 5]).stop, Stop::Malformed { layer: Layer::Link });
    assert_eq!(read(1, &[0; 5], 60).stop, Stop::Clipped { layer: Layer::Link, needed: 14, found: 5 });
}

/// What holds for every record.
fn sound(record: &PacketRecord, bytes: &[u8]) {
    let payload = record.payload;
    assert!(payload.captured <= payload.length);
    assert!(payload.start >= START);
    assert!((payload.start - START + payload.captured) as usize <= bytes.len());
    assert!(record.path.depth <= 9);
    partition_hash(record);
}

/// Link types that are read, and 163, which is not.
const LINK_TYPES: &[u16] = &[
    0, 1, 6, 9, 10, 12, 14, 50, 51, 101, 104, 105, 107, 108, 113, 117, 119, 127, 163, 192, 226, 228, 229,
    239, 242, 276,
];

proptest! {
    #[test]
    fn any_bytes_give_a_record(
        link in prop_oneof![0u16..300, prop::sample::select(LINK_TYPES)],
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        wire in 0usize..2000,
    ) {
        sound(&read(link, &bytes, wire), &bytes);
    }

    #[test]
    fn damaged_packets_give_a_record(
        case in 0usize..100,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        wire in prop_oneof![Just(None), (0usize..300).prop_map(Some)],
    ) {
        let cases = wrapped(false);
        let (_, link, mut bytes, _, _) = cases[case % cases.len()].clone();
        let length = bytes.len();
        for (at, value) in damage {
            bytes[at.index(length)] = value;
        }
        bytes.truncate(cut.index(length + 1));
        sound(&read(link, &bytes, wire.unwrap_or(length)), &bytes);
    }
}
