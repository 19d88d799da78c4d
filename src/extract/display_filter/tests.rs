use super::*;
use crate::capture::{LinkType, NO_INTERFACE, RawPacket};
use crate::dissect::{Ip, Seq, Tcp, TcpFlags, Transport, dissect};
use crate::extract::Packet;

/// Whether a filter lets frame 7 of stream 3 pass: SYN-ACK from 10.1.2.3:443 to 192.0.2.9:40000.
fn fits(filter: &str) -> bool {
    let raw = RawPacket {
        packet: 107,
        offset: 0,
        time: Some(Timestamp(1_500_000_000)),
        wire: 60,
        interface: NO_INTERFACE,
        link_type: LinkType::ETHERNET,
        start: 0,
        data: &[],
    };
    let packet = Packet { raw, interface: None, file: 0, name: "x", frame: 7 };
    let address = |text: &str| text.parse().expect("an address");
    let mut record = dissect(&raw);
    record.ip = Some(Ip {
        source: address("10.1.2.3"),
        destination: address("192.0.2.9"),
        protocol: 6,
        ttl: 64,
        ..Ip::default()
    });
    record.transport = Transport::Tcp(Tcp {
        source_port: 443,
        destination_port: 40_000,
        seq: Seq(5),
        flags: TcpFlags(0x12),
        ..Tcp::default()
    });
    let seen = Seen { packet: &packet, record: &record, stream: Some(3) };
    DisplayFilter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}")).fits(&seen)
}

#[test]
fn filters_mean_what_wireshark_means_by_them() {
    for passes in [
        "tcp",
        "ip.addr == 192.0.2.9",
        "ip.src == 10.1.0.0/16 && tcp.port == 40000",
        "frame.number in {1, 3, 7}",
        "frame.number in {1 5..9}",
        "tcp.stream == 3",
        "tcp.stream != 4",
        "!(udp || icmp)",
        "not udp and tcp.flags.syn == 1 && tcp.flags.ack eq true",
        "tcp.port != 80",
        "ip.ttl <= 64 && ip.ttl >= 64 && ip.ttl > 63 && ip.ttl < 65",
        "tcp.flags == 0x12",
        "udp || tcp && ip",
        "frame.time_epoch >= 1.5 && frame.time_epoch < 1.500000001",
        "frame.time == \"1970-01-01 00:00:01.5Z\"",
    ] {
        assert!(fits(passes), "{passes}");
    }
    for fails in [
        "udp",
        // There is none.
        "udp.port != 80",
        "ipv6.addr == ::1",
        // 443 is not 40000, but one of the two ports is.
        "tcp.port != 443",
        "ip.addr == 10.2.0.0/16",
        "frame.number in {1, 8..9}",
        "tcp.stream in {4, 5}",
        "tcp && !(ip.src == 10.1.2.3)",
        "ip.ttl > 64",
        "(udp || tcp) && udp",
        "vlan.id",
    ] {
        assert!(!fits(fails), "{fails}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let error = |filter: &str| DisplayFilter::parse(filter).expect_err(filter);
    assert_eq!(error("ip.adr == 10.0.0.1"), "no field ip.adr; did you mean ip.addr?");
    assert_eq!(error("ip.addr == 10.0.0"), "ip.addr: expected an IPv4 address or network, found \"10.0.0\"");
    assert_eq!(
        error("ip.addr == 10.0.0.1/33").split(',').next(),
        Some("ip.addr: expected an IPv4 address or network")
    );
    assert_eq!(error("tcp == 1"), "tcp is a protocol and has no value");
    assert_eq!(error("(tcp"), "a bracket is not closed");
    assert_eq!(error("tcp tcp"), "\"tcp\" where && or || or the end was expected");
    assert_eq!(error("tcp.port =="), "tcp.port ==: a value was expected");
    assert_eq!(error("tcp.stream > 3"), "tcp.stream is compared with ==, != or in {..}");
    assert_eq!(error("tcp.port in {}"), "tcp.port in: expected {1, 4..6}");
    assert_eq!(error("tcp ; udp"), "';' is no part of a filter");
    assert!(error("").contains("a field was expected"));
    assert!(error(&"(".repeat(1_000)).contains("inside each other"));
    assert!(error(&"!".repeat(1_000)).contains("inside each other"));
    assert!(error("\"open").contains("not closed"));
}

#[test]
fn streams_that_a_filter_names_are_known_beforehand() {
    let filter = DisplayFilter::parse("tcp.stream in {1, 4..6} || !(tcp.stream == 9)").expect("a filter");
    assert_eq!(filter.streams(), [1..=1, 4..=6, 9..=9]);
}
