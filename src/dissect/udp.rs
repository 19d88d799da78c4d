//! UDP (RFC 768), and the tunnels that are recognised by port *and* content.
//!
//! A port proves nothing: each tunnel's reader tests its whole header and the start of what it carries. If
//! any of it does not fit, the datagram stays plain UDP.

use etherparse::UdpHeaderSlice;

use super::cursor::{Cursor, be16};
use super::walk::{Next, Walk};
use super::{geneve, gtpu, l2tp, vxlan};
use crate::dissect::{Faults, Layer, Stop, Transport, Udp};

/// Reads a datagram.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let Ok(header) = UdpHeaderSlice::from_slice(at.bytes) else {
        return Next::Stop(partial(walk, at));
    };
    let udp = Udp { source_port: header.source_port(), destination_port: header.destination_port() };
    let payload = match u32::from(header.length()) {
        // A jumbogram (RFC 2675), or left to the network card.
        0 => at.past(8),
        1..8 => {
            walk.fault(Faults::HEADER_LENGTH);
            walk.transport(Transport::Udp(udp), at.past(8));
            return Next::Stop(Stop::Malformed { layer: Layer::Udp });
        }
        length => {
            if length > at.length {
                walk.fault(Faults::HEADER_LENGTH);
            }
            at.limit(length).past(8)
        }
    };
    walk.transport(Transport::Udp(udp), payload);
    tunnel(walk, udp.destination_port, payload)
        .or_else(|| tunnel(walk, udp.source_port, payload))
        .unwrap_or(Next::Stop(Stop::Payload))
}

/// A header that the capture cuts; with its ports it still belongs to a flow.
fn partial(walk: &mut Walk, at: Cursor<'_>) -> Stop {
    if at.bytes.len() >= 4 && at.length >= 8 {
        let udp = Udp { source_port: be16(at.bytes, 0), destination_port: be16(at.bytes, 2) };
        walk.transport(Transport::Udp(udp), at.past(8));
    }
    at.short(Layer::Udp, 8)
}

fn tunnel<'p>(walk: &mut Walk, port: u16, payload: Cursor<'p>) -> Option<Next<'p>> {
    match port {
        // 8472 is what Linux used before the number was assigned.
        4789 | 8472 => vxlan::read(walk, payload),
        6081 => geneve::read(walk, payload),
        2152 => gtpu::read(walk, payload),
        1701 => l2tp::read_udp(walk, payload),
        _ => None,
    }
}
