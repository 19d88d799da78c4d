//! Packets made by hand for the tests: one TCP segment in every wrapping that is read.

use etherparse::PacketBuilder;

use super::Tunnel;

/// The payload of every segment.
pub(super) const DATA: &[u8] = b"payload!";

/// A TCP segment over IPv4, there or back.
pub(super) fn tcp(back: bool) -> Vec<u8> {
    let (mut hosts, mut ports) = ([[10, 0, 0, 1], [10, 0, 0, 2]], [40000, 443]);
    if back {
        hosts.reverse();
        ports.reverse();
    }
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(hosts[0], hosts[1], 64)
        .tcp(ports[0], ports[1], 5, 1024)
        .ack(9)
        .write(&mut bytes, DATA)
        .unwrap();
    bytes
}

pub(super) fn tcp6() -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(40000, 443, 5, 1024).write(&mut bytes, DATA).unwrap();
    bytes
}

fn outer(back: bool) -> ([u8; 4], [u8; 4]) {
    if back { ([192, 0, 2, 2], [192, 0, 2, 1]) } else { ([192, 0, 2, 1], [192, 0, 2, 2]) }
}

pub(super) fn ip(protocol: u8, payload: &[u8], back: bool) -> Vec<u8> {
    let (source, destination) = outer(back);
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(source, destination, 64).write(&mut bytes, protocol.into(), payload).unwrap();
    bytes
}

pub(super) fn udp(port: u16, payload: &[u8], back: bool) -> Vec<u8> {
    let (source, destination) = outer(back);
    let mut bytes = Vec::new();
    let source_port = if port == 2152 { 2152 } else { 50000 };
    PacketBuilder::ipv4(source, destination, 64).udp(source_port, port).write(&mut bytes, payload).unwrap();
    bytes
}

pub(super) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(super) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &kind.to_be_bytes(), payload])
}

/// Every wrapping: name, link type, packet, tunnel, identifier.
pub(super) fn wrapped(back: bool) -> Vec<(&'static str, u16, Vec<u8>, Tunnel, u32)> {
    let inner = tcp(back);
    let frame = ethernet(0x0800, &inner);
    let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
    let direction = u8::from(back);
    let none = Tunnel::None;
    let ether = |ip: Vec<u8>| ethernet(0x0800, &ip);
    let ppp = join(&[&[0, 0x21], &inner]);
    let snap = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &inner]);
    let gtp = join(&[
        &[0x34, 255],
        &length(&join(&[&[0; 8], &inner])),
        &[0, 0, 0, direction, 0, 1, 0, 0x85, 1, 0, 9, 0],
        &inner,
    ]);
    vec![
        ("plain", 1, frame.clone(), none, 0),
        ("padded", 1, join(&[&frame, &[0; 9]]), none, 0),
        ("vlan", 1, ethernet(0x8100, &join(&[&[0, 42, 8, 0], &inner])), none, 0),
        ("qinq", 1, ethernet(0x88a8, &join(&[&[0, 7, 0x81, 0, 0, 42, 8, 0], &inner])), none, 0),
        ("snap", 1, ethernet(snap.len() as u16, &snap), none, 0),
        ("sll", 113, join(&[&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], &inner]), none, 0),
        (
            "sll2",
            276,
            join(&[&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0], &inner]),
            none,
            0,
        ),
        ("raw", 101, inner.clone(), none, 0),
        ("null", 0, join(&[&[2, 0, 0, 0], &inner]), none, 0),
        ("loop", 108, join(&[&[0, 0, 0, 2], &inner]), none, 0),
        ("ppp", 9, join(&[&[0xff, 3], &ppp]), none, 0),
        ("ppp compressed", 9, join(&[&[0x21], &inner]), none, 0),
        ("hdlc", 104, join(&[&[0x0f, 0, 8, 0], &inner]), none, 0),
        ("frame relay", 107, join(&[&[0x18, 0x41, 3, 0xcc], &inner]), none, 0),
        ("802.11", 105, join(&[&[0x88, 1], &[0; 22], &[0, 0], &snap]), none, 0),
        ("radiotap", 127, join(&[&[0, 0, 8, 0, 0, 0, 0, 0, 8, 2], &[0; 22], &snap]), none, 0),
        ("ppi", 192, join(&[&[0, 0, 8, 0, 1, 0, 0, 0], &frame]), none, 0),
        ("nflog", 239, join(&[&[2, 0, 0, 0, (4 + inner.len()) as u8, 0, 9, 0], &inner]), none, 0),
        ("ipnet", 226, join(&[&[0; 24], &inner]), none, 0),
        ("token ring", 6, join(&[&[0x10, 0x40], &[2; 6], &[0x82, 2, 2, 2, 2, 2], &[2, 0], &snap]), none, 0),
        ("fddi", 10, join(&[&[0x50], &[2; 12], &snap]), none, 0),
        ("ipoib", 242, join(&[&[0; 40], &[8, 0, 0, 0], &inner]), none, 0),
        ("avs", 163, join(&[&[0x80, 0x21, 0x10, 1, 0, 0, 0, 8, 8, 2], &[0; 22], &snap]), none, 0),
        ("pflog", 117, join(&[&[61, 2], &[0; 62], &inner]), none, 0),
        ("mpls", 1, ethernet(0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], &inner])), Tunnel::Mpls, 32),
        ("pseudowire", 1, ethernet(0x8847, &join(&[&[0, 2, 1, 64, 0, 0, 0, 0], &frame])), Tunnel::Mpls, 32),
        ("pppoe", 1, ethernet(0x8864, &join(&[&[0x11, 0, 0, 5], &length(&ppp), &ppp])), Tunnel::Pppoe, 5),
        ("gre", 1, ether(ip(47, &join(&[&[0, 0, 8, 0], &inner]), back)), Tunnel::Gre, 0),
        (
            "gre key",
            1,
            ether(ip(47, &join(&[&[0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1], &frame]), back)),
            Tunnel::Gre,
            9,
        ),
        (
            "pptp",
            1,
            ether(ip(47, &join(&[&[0x30, 1, 0x88, 0x0b, 0, 0, 0, direction, 0, 0, 0, 1], &ppp]), back)),
            Tunnel::Gre,
            direction.into(),
        ),
        ("erspan i", 1, ether(ip(47, &join(&[&[0, 0, 0x88, 0xbe], &frame]), back)), Tunnel::Erspan, 0),
        (
            "erspan ii",
            1,
            ether(ip(
                47,
                &join(&[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 3, 0, 0, 0, 0], &frame]),
                back,
            )),
            Tunnel::Erspan,
            3,
        ),
        (
            "erspan iii",
            1,
            ether(ip(
                47,
                &join(&[
                    &[
                        0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
                        0, 0, 0, 0,
                    ],
                    &frame,
                ]),
                back,
            )),
            Tunnel::Erspan,
            3,
        ),
        ("ip in ip", 1, ether(ip(4, &inner, back)), Tunnel::IpIp, 0),
        ("vxlan", 1, ether(udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 77, 0], &frame]), back)), Tunnel::Vxlan, 77),
        (
            "geneve",
            1,
            ether(udp(6081, &join(&[&[1, 0, 0x65, 0x58, 0, 0, 77, 0, 0, 0, 0, 0], &frame]), back)),
            Tunnel::Geneve,
            77,
        ),
        ("gtp-u", 1, ether(udp(2152, &gtp, back)), Tunnel::Gtpu, direction.into()),
        (
            "l2tp",
            1,
            ether(udp(1701, &join(&[&[0, 2, 0, 1, 0, direction, 0xff, 3], &ppp]), back)),
            Tunnel::L2tp,
            direction.into(),
        ),
        (
            "l2tpv3",
            1,
            ether(ip(115, &join(&[&[0, 0, 0, direction + 1], &frame]), back)),
            Tunnel::L2tp,
            u32::from(direction) + 1,
        ),
        (
            "vxlan in gre",
            1,
            ether(ip(
                47,
                &join(&[&[0, 0, 8, 0], &udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 77, 0], &frame]), back)]),
                back,
            )),
            Tunnel::Vxlan,
            77,
        ),
    ]
}
