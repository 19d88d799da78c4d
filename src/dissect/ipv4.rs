//! IPv4 (RFC 791 section 3.1).

use std::net::IpAddr;

use etherparse::Ipv4HeaderSlice;
use etherparse::err::ipv4::HeaderSliceError;

use super::checksum::sum;
use super::cursor::Cursor;
use super::walk::{Next, Walk};
use crate::dissect::{Faults, Fragment, Ip, Layer, Stop, Transport};

/// Reads a header.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let header = match Ipv4HeaderSlice::from_slice(at.bytes) {
        Ok(header) => header,
        Err(HeaderSliceError::Len(error)) => {
            return Next::Stop(at.short(Layer::Ipv4, error.required_len));
        }
        Err(HeaderSliceError::Content(_)) => {
            walk.fault(Faults::HEADER_LENGTH);
            return Next::Stop(Stop::Malformed { layer: Layer::Ipv4 });
        }
    };
    let octets = header.slice();
    let total = u32::from(header.total_len());
    if total == 0 {
        walk.fault(Faults::ZERO_LENGTH);
    } else if (total as usize) < octets.len() {
        walk.fault(Faults::HEADER_LENGTH);
        return Next::Stop(Stop::Malformed { layer: Layer::Ipv4 });
    } else if total > at.length {
        walk.fault(Faults::IP_LENGTH);
    }
    // One that is left to the network card is 0, and nothing is wrong.
    if sum(octets) != 0xffff && header.header_checksum() != 0 {
        walk.fault(Faults::IP_CHECKSUM);
    }
    let id = header.identification();
    let protocol = header.protocol().0;
    let ip = Ip {
        source: IpAddr::V4(header.source_addr()),
        destination: IpAddr::V4(header.destination_addr()),
        protocol,
        ttl: header.ttl(),
        traffic_class: octets[1],
        id,
        dont_fragment: header.dont_fragment(),
        length: if total == 0 { at.length } else { total },
    };
    walk.ip(ip, at.offset);
    let body = if total == 0 { at } else { at.stated(total) }.past(octets.len());
    if !header.is_fragmenting_payload() {
        return Next::Protocol(protocol, body);
    }
    let fragment = Fragment {
        id: u32::from(id),
        offset: u32::from(header.fragments_offset().value()) * 8,
        more: header.more_fragments(),
        protocol,
    };
    walk.transport(Transport::Fragment(fragment), body);
    Next::Stop(Stop::Fragment)
}
