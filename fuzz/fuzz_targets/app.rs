//! Any bytes as TLS, as DNS, as HTTP/1 and HTTP/2, and as what may go over to TLS, in any pieces, with gaps.
#![no_main]

#[path = "../input.rs"]
#[allow(dead_code)]
mod input;

use input::Piece;
use libfuzzer_sys::fuzz_target;
use pcapsy::app::dns::{DnsTcp, parse};
use pcapsy::app::http::HttpParser;
use pcapsy::app::http2::Http2Parser;
use pcapsy::app::tls::{TlsParser, chain_faults};
use pcapsy::app::upgrade::{Dialogue, proxy_prefix};
use pcapsy::dissect::{Direction, PacketRef};
use pcapsy::time::Timestamp;

fuzz_target!(|bytes: &[u8]| {
    let mut http = None;
    let mut http2 = Http2Parser::new(Direction::ToServer);
    let mut dialogue = None;
    let (mut tls, mut dns) = (TlsParser::default(), DnsTcp::default());
    for (number, Piece { to_server, lost, bytes }) in (0..).zip(input::pieces(bytes)) {
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        let (at, clock) = (PacketRef::default(), Timestamp(number));
        let http = http.get_or_insert_with(|| HttpParser::new(direction, bytes));
        dialogue = dialogue.or_else(|| Dialogue::new(direction, bytes));
        let _ = (proxy_prefix(bytes), Dialogue::recognise(direction, bytes));
        dialogue.iter_mut().for_each(|dialogue| drop(dialogue.data(direction, bytes, at)));
        http2.data(direction, bytes, at, clock);
        tls.data(direction, bytes, at);
        dns.data(direction, bytes, at);
        http.data(direction, bytes, at, clock);
        let _ = parse(bytes);
        if lost > 0 {
            dialogue.iter_mut().for_each(|dialogue| dialogue.gap(direction));
            http2.gap(direction, lost.into(), at, clock);
            tls.gap(direction, lost.into(), at);
            dns.gap(direction, lost.into(), at);
            http.gap(direction, lost.into(), at, clock);
        }
        http.finished(clock);
        http2.finished(clock);
    }
    http.map(|mut http| http.close(None));
    http2.close(None);
    let session = tls.finish();
    for chain in &session.certificates {
        chain_faults(chain, Timestamp(0), "www.shop.example");
        for certificate in chain {
            certificate.is_for("www.shop.example");
        }
    }
});
