//! A sequence of TCP segments of one connection, in any order and with any contents, through the flow table.
#![no_main]

#[path = "../input.rs"]
#[allow(dead_code)]
mod input;

use input::Segment;
use libfuzzer_sys::fuzz_target;
use pcapsy::config::Config;
use pcapsy::dissect::{Ip, PacketRecord, Payload, Seq, Tcp, TcpFlags, Transport};
use pcapsy::flow::FlowTable;
use pcapsy::time::Timestamp;

fuzz_target!(|input: &[u8]| {
    let mut table = FlowTable::new(Config::default().flow_limits());
    let bytes = [0x16; 256];
    let mut clock = Timestamp(0);
    for (number, segment) in input::segments(input).enumerate() {
        let Segment { to_server, flags, length, seq, ack, window, wait } = segment;
        clock = Timestamp(clock.0 + i64::from(wait));
        let (source, destination) = if to_server { (1, 2) } else { (2, 1) };
        let address = |last| std::net::IpAddr::from([10, 0, 0, last]);
        let record = PacketRecord {
            packet: number as u64 + 1,
            offset: 0,
            partition: 0,
            time: clock,
            clock,
            captured: 300,
            wire: 300,
            interface: 0,
            link: Default::default(),
            path: Default::default(),
            ip: Some(Ip {
                source: address(source),
                destination: address(destination),
                protocol: 6,
                length: 40 + u32::from(length),
                ..Ip::default()
            }),
            transport: Transport::Tcp(Tcp {
                source_port: if to_server { 40_000 } else { 443 },
                destination_port: if to_server { 443 } else { 40_000 },
                seq: Seq(seq),
                ack: Seq(ack),
                flags: TcpFlags(flags),
                window,
                ..Tcp::default()
            }),
            payload: Payload {
                start: 0,
                captured: length.into(),
                length: length.into(),
                hash: u64::from(length),
            },
            faults: Default::default(),
            stop: Default::default(),
        };
        table.packet(&record, clock, &bytes[..usize::from(length)]);
    }
    table.expire(Timestamp::MAX);
});
