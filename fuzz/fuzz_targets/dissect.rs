//! Any bytes as a packet of any link type.
#![no_main]

#[path = "../input.rs"]
#[allow(dead_code)]
mod input;

use libfuzzer_sys::fuzz_target;
use pcapsy::capture::{LinkType, RawPacket};
use pcapsy::dissect::{dissect, partition_hash};

fuzz_target!(|bytes: &[u8]| {
    let Some((link_type, wire, data)) = input::frame(bytes) else { return };
    let packet = RawPacket {
        packet: 1,
        offset: 0,
        time: None,
        wire,
        interface: 0,
        link_type: LinkType(link_type),
        start: 0,
        data,
    };
    let record = dissect(&packet);
    assert!(record.payload.start as usize + record.payload.captured as usize <= data.len());
    partition_hash(&record);
});
