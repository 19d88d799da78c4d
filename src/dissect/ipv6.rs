//! IPv6 (RFC 8200) and its extension headers.

use std::net::IpAddr;

use etherparse::err::ipv6::HeaderSliceError;
use etherparse::{IpAuthHeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice};

use super::cursor::{Cursor, be32};
use super::walk::{Next, Walk};
use crate::dissect::{Faults, Fragment, Ip, Layer, Stop, Transport};

/// Hop-by-hop options.
const HOP_BY_HOP: u8 = 0;
/// No next header.
const NO_NEXT: u8 = 59;
/// Mobility header (RFC 6275).
const MOBILITY: u8 = 135;
/// Most extension headers that are read; RFC 8200 has use for eight at most.
const MAX_EXTENSIONS: u8 = 16;

/// Reads the fixed header and the extension headers.
pub(super) fn read<'p>(walk: &mut Walk, at: Cursor<'p>) -> Next<'p> {
    let header = match Ipv6HeaderSlice::from_slice(at.bytes) {
        Ok(header) => header,
        Err(HeaderSliceError::Len(error)) => {
            return Next::Stop(at.short(Layer::Ipv6, error.required_len));
        }
        Err(HeaderSliceError::Content(_)) => {
            return Next::Stop(Stop::Malformed { layer: Layer::Ipv6 });
        }
    };
    let next = header.next_header().0;
    let mut total = u32::from(header.payload_length()) + 40;
    if total == 40 && next != NO_NEXT && at.length > 40 {
        total = match jumbo(next, at.past(40)) {
            Some(length) => length.saturating_add(40),
            None => {
                walk.fault(Faults::ZERO_LENGTH);
                at.length
            }
        };
    }
    if total > at.length {
        walk.fault(Faults::IP_LENGTH);
    }
    let ip = Ip {
        source: IpAddr::V6(header.source_addr()),
        destination: IpAddr::V6(header.destination_addr()),
        protocol: next,
        ttl: header.hop_limit(),
        traffic_class: header.traffic_class(),
        id: 0,
        dont_fragment: true,
        length: total,
    };
    walk.ip(ip, at.offset);
    extensions(walk, next, at.stated(total).past(40))
}

/// The length of a jumbogram (RFC 2675): option 0xc2 at the start of the hop-by-hop options.
fn jumbo(next: u8, at: Cursor<'_>) -> Option<u32> {
    let options = at.array::<8>()?;
    (next == HOP_BY_HOP && options[2..4] == [0xc2, 4]).then(|| be32(options, 4))
}

/// Reads extension headers until the transport, a fragment, or the end.
fn extensions<'p>(walk: &mut Walk, first: u8, mut at: Cursor<'p>) -> Next<'p> {
    let mut next = first;
    for _ in 0..MAX_EXTENSIONS {
        let current = next;
        let needed = match (current, at.bytes) {
            (HOP_BY_HOP | 43 | 60 | MOBILITY, &[_, units, ..]) => 8 * (usize::from(units) + 1),
            (51, &[_, units, ..]) => 4 * (usize::from(units) + 2),
            (HOP_BY_HOP | 43 | 60 | MOBILITY | 44 | 51, _) => 8,
            _ => {
                return Next::Protocol(next, at);
            }
        };
        let read = match current {
            44 => {
                let Ok(header) = Ipv6FragmentHeaderSlice::from_slice(at.bytes) else {
                    return Next::Stop(at.short(Layer::Ipv6, 8));
                };
                let fragment = Fragment {
                    id: header.identification(),
                    offset: u32::from(header.fragment_offset().value()) * 8,
                    more: header.more_fragments(),
                    protocol: header.next_header().0,
                };
                set(walk, fragment.protocol, fragment.id as u16);
                // An atomic fragment (RFC 6946) is whole.
                if header.is_fragmenting_payload() {
                    walk.transport(Transport::Fragment(fragment), at.past(8));
                    return Next::Stop(Stop::Fragment);
                }
                Some((fragment.protocol, 8))
            }
            51 => IpAuthHeaderSlice::from_slice(at.bytes)
                .ok()
                .map(|header| (header.next_header().0, header.slice().len())),
            _ => Ipv6RawExtHeaderSlice::from_slice(at.bytes)
                .ok()
                .map(|header| (header.next_header().0, header.slice().len())),
        };
        let Some((following, length)) = read else {
            return Next::Stop(at.short(Layer::Ipv6, needed));
        };
        // A mobility message stands where a transport would; what it announces next is nothing.
        if (current, following) == (MOBILITY, NO_NEXT) {
            return Next::Protocol(MOBILITY, at);
        }
        at = at.past(length);
        next = following;
        if let Some(ip) = &mut walk.record.ip {
            ip.protocol = next;
        }
    }
    Next::Stop(Stop::Depth)
}

fn set(walk: &mut Walk, protocol: u8, id: u16) {
    if let Some(ip) = &mut walk.record.ip {
        ip.protocol = protocol;
        ip.id = id;
    }
}
