//! Frames from headers: Ethernet, VLAN, IP, UDP, ICMP, ARP, VXLAN.

use std::net::IpAddr;

use etherparse::{
    IpHeaders, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, PacketBuilder, PacketBuilderStep,
};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The IP header fields that hosts set themselves.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub id: u16,
}

impl Ip {
    /// The headers of a datagram that carries `protocol`.
    pub fn headers(self, protocol: IpNumber) -> IpHeaders {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => IpHeaders::Ipv4(
                Ipv4Header {
                    time_to_live: self.ttl,
                    protocol,
                    source: source.octets(),
                    destination: destination.octets(),
                    identification: self.id,
                    dont_fragment: true,
                    ..Default::default()
                },
                Default::default(),
            ),
            (IpAddr::V6(source), IpAddr::V6(destination)) => IpHeaders::Ipv6(
                Ipv6Header {
                    flow_label: Ipv6FlowLabel::ZERO,
                    next_header: protocol,
                    hop_limit: self.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Default::default()
                },
                Default::default(),
            ),
            _ => panic!("addresses of two families"),
        }
    }

    fn builder(self, protocol: IpNumber) -> PacketBuilderStep<IpHeaders> {
        PacketBuilder::ip(self.headers(protocol))
    }

    /// A UDP datagram.
    pub fn udp(self, source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.builder(IpNumber::UDP)
            .udp(source_port, destination_port)
            .write(&mut bytes, payload)
            .expect("the datagram fits");
        bytes
    }

    /// A TCP segment; its checksum is computed.
    pub fn tcp(self, header: etherparse::TcpHeader, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.builder(IpNumber::TCP).tcp_header(header).write(&mut bytes, payload).expect("the segment fits");
        bytes
    }

    /// An ICMP error that quotes the start of the IP datagram `packet`; `rest`: octets 5 to 8 of its header.
    pub fn icmp_error(self, kind: u8, code: u8, rest: u32, packet: &[u8]) -> Vec<u8> {
        let quoted = &packet[..packet.len().min(if self.source.is_ipv4() { 48 } else { 1232 })];
        let mut bytes = Vec::new();
        match self.source {
            IpAddr::V4(_) => self
                .builder(IpNumber::ICMP)
                .icmpv4_raw(kind, code, rest.to_be_bytes())
                .write(&mut bytes, quoted),
            IpAddr::V6(_) => self
                .builder(IpNumber::IPV6_ICMP)
                .icmpv6_raw(kind, code, rest.to_be_bytes())
                .write(&mut bytes, quoted),
        }
        .expect("the message fits");
        bytes
    }
}

/// An Ethernet frame around an IP datagram, padded to the 60 bytes that Ethernet sends at least.
pub fn ethernet(source: Mac, destination: Mac, vlan: Option<u16>, packet: &[u8]) -> Vec<u8> {
    let kind: u16 = if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
    let mut frame = [destination, source].concat();
    if let Some(vlan) = vlan {
        frame.extend(0x8100u16.to_be_bytes());
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(packet);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// The IP datagram in an untagged Ethernet frame, padding left out.
pub fn datagram(frame: &[u8]) -> &[u8] {
    let packet = &frame[14..];
    let length = match packet[0] >> 4 {
        4 => usize::from(u16::from_be_bytes([packet[2], packet[3]])),
        _ => 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]])),
    };
    &packet[..length]
}

/// The same frame one router further: other Ethernet addresses, TTL one less, checksum renewed.
pub fn routed(frame: &[u8], source: Mac, destination: Mac) -> Vec<u8> {
    let mut packet = datagram(frame).to_vec();
    if packet[0] >> 4 == 4 {
        packet[8] -= 1;
        packet[10..12].fill(0);
        let sum: u32 =
            packet[..20].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        packet[7] -= 1;
    }
    ethernet(source, destination, None, &packet)
}

/// A frame carried in VXLAN between two tunnel ends.
pub fn vxlan(outer: Ip, vni: u32, macs: [Mac; 2], inner: &[u8]) -> Vec<u8> {
    let mut payload = vec![8, 0, 0, 0];
    payload.extend((vni << 8).to_be_bytes());
    payload.extend(inner);
    let port = 49_152 + u16::from(inner[inner.len().min(35) - 1]);
    ethernet(macs[0], macs[1], None, &outer.udp(port, 4789, &payload))
}

/// An ARP request (`reply` false) or reply, for IPv4 over Ethernet.
pub fn arp(reply: bool, sender: (Mac, [u8; 4]), target: (Mac, [u8; 4])) -> Vec<u8> {
    let mut frame = if reply { target.0.to_vec() } else { vec![0xff; 6] };
    frame.extend(sender.0);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1 + u8::from(reply)]);
    frame.extend(sender.0);
    frame.extend(sender.1);
    frame.extend(if reply { target.0 } else { [0; 6] });
    frame.extend(target.1);
    frame.resize(60, 0);
    frame
}
