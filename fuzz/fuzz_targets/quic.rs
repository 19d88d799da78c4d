//! Any datagrams as QUIC, and any frames in Initial packets that the keys open.
#![no_main]

#[path = "../input.rs"]
#[allow(dead_code)]
mod input;
#[path = "../../tests/support/seal.rs"]
mod seal;

use input::Piece;
use libfuzzer_sys::fuzz_target;
use pcapsy::app::quic::{QuicReader, looks_like_quic};
use pcapsy::dissect::{Direction, PacketRef};
use pcapsy::time::Timestamp;
use seal::{V1, V2, seal};

const ID: &[u8] = b"original";

fuzz_target!(|bytes: &[u8]| {
    let mut reader = QuicReader::default();
    for (number, Piece { to_server, lost, bytes }) in (0_u32..).zip(input::pieces(bytes)) {
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        let at = PacketRef { packet: number.into(), time: Timestamp(i64::from(number) * 9_000_000) };
        let _ = looks_like_quic(bytes);
        // A piece without loss is a datagram; others are the frames of a packet.
        if lost == 0 {
            reader.datagram(direction, bytes, at);
        } else {
            let version = if lost & 1 == 0 { V1 } else { V2 };
            let mut head = vec![if version == V2 { 0xd3 } else { 0xc3 }];
            head.extend(version.to_be_bytes());
            head.extend([ID.len() as u8]);
            head.extend(ID);
            head.extend([0, 0]);
            // Long enough for the sample behind the number.
            let frames = [bytes.get(..16_000).unwrap_or(bytes), &[0; 4]].concat();
            reader.datagram(direction, &seal(version, ID, direction.index(), head, number, frames), at);
        }
        assert!(reader.held() < 1 << 20);
    }
    reader.finish();
});
