//! Any bytes as TLS, as DNS and as HTTP, in any pieces, with gaps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pcapsy::app::dns::{DnsTcp, parse};
use pcapsy::app::http::HttpParser;
use pcapsy::app::tls::TlsParser;
use pcapsy::dissect::{Direction, PacketRef};
use pcapsy::time::Timestamp;

fuzz_target!(|pieces: Vec<(bool, u8, Vec<u8>)>| {
    let mut http = HttpParser::new(Direction::ToServer, b"");
    let (mut tls, mut dns) = (TlsParser::default(), DnsTcp::default());
    for (to_server, gap, bytes) in pieces {
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        tls.data(direction, &bytes, PacketRef::default());
        dns.data(direction, &bytes, PacketRef::default());
        http.data(direction, &bytes, PacketRef::default(), Timestamp(0));
        let _ = parse(&bytes);
        if gap > 200 {
            tls.gap(direction, gap.into(), PacketRef::default());
            dns.gap(direction, gap.into(), PacketRef::default());
            http.gap(direction, gap.into(), PacketRef::default(), Timestamp(0));
        }
    }
    http.close(None);
});
