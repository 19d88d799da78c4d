//! pcapng: blocks of type, length, body and length again; sections, interfaces, packets, statistics.
//!
//! Source: draft-ietf-opsawg-pcapng. Block types that are not about packets are skipped by their length. Times are
//! computed here from the raw fields, exactly, for every resolution.

use pcap_parser::PcapNGOption;
use pcap_parser::pcapng;

use crate::capture::{Interface, LinkType, RawPacket};
use crate::time::Timestamp;

/// Section header block: the same octets in both byte orders.
pub(super) const SECTION: u32 = 0x0a0d_0d0a;
/// Interface description block.
pub(super) const INTERFACE: u32 = 1;
/// Obsolete packet block.
const PACKET: u32 = 2;
/// Simple packet block.
const SIMPLE: u32 = 3;
/// Interface statistics block.
pub(super) const STATISTICS: u32 = 5;
/// Enhanced packet block.
const ENHANCED: u32 = 6;
/// systemd journal export block.
const JOURNAL: u32 = 9;
/// Custom blocks, copyable and not.
const CUSTOM: [u32; 2] = [0x0bad, 0x4000_0bad];
/// Sysdig event blocks: event, event with flags, and their larger versions.
const SYSDIG: [u32; 4] = [0x204, 0x208, 0x216, 0x221];

/// Smallest block: type, length, length.
pub(super) const MIN_BLOCK: usize = 12;

/// The name of a block type.
pub(super) fn block_name(kind: u32) -> String {
    let name = match kind {
        SECTION => "section header",
        INTERFACE => "interface description",
        PACKET => "obsolete packet",
        SIMPLE => "simple packet",
        4 => "name resolution",
        STATISTICS => "interface statistics",
        ENHANCED => "enhanced packet",
        JOURNAL => "systemd journal",
        0x0a => "decryption secrets",
        kind if CUSTOM.contains(&kind) => "custom",
        kind if SYSDIG.contains(&kind) => "sysdig event",
        kind => return format!("0x{kind:08x}"),
    };
    name.to_owned()
}

/// Wireshark gives the block a frame number.
pub(super) fn is_frame(kind: u32) -> bool {
    matches!(kind, ENHANCED | SIMPLE | PACKET | JOURNAL) || CUSTOM.contains(&kind) || SYSDIG.contains(&kind)
}

/// The 32-bit word at `at`.
pub(super) fn word(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let octets = *bytes.get(at..)?.first_chunk::<4>()?;
    Some(if big_endian { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) })
}

fn half(bytes: &[u8], at: usize, big_endian: bool) -> Option<u16> {
    let octets = *bytes.get(at..)?.first_chunk::<2>()?;
    Some(if big_endian { u16::from_be_bytes(octets) } else { u16::from_le_bytes(octets) })
}

/// Byte order of the section whose header block starts `bytes`: true for big-endian. `None` when it is none.
pub(super) fn section_order(bytes: &[u8]) -> Option<bool> {
    if word(bytes, 0, true)? != SECTION {
        return None;
    }
    match word(bytes, 8, true)? {
        0x1a2b_3c4d => Some(true),
        0x4d3c_2b1a => Some(false),
        _ => None,
    }
}

fn option_text(options: &[PcapNGOption<'_>], code: u16) -> Option<String> {
    let option = options.iter().find(|option| option.code.0 == code)?;
    let text = String::from_utf8_lossy(option.value()).trim_end_matches('\0').to_owned();
    (!text.is_empty()).then_some(text)
}

fn option_u64(options: &[PcapNGOption<'_>], code: u16, big_endian: bool) -> Option<u64> {
    let option = options.iter().find(|option| option.code.0 == code)?;
    let octets = *option.value().first_chunk::<8>()?;
    Some(if big_endian { u64::from_be_bytes(octets) } else { u64::from_le_bytes(octets) })
}

/// Reads an interface description block.
pub(super) fn interface(block: &[u8], big_endian: bool) -> Option<Interface> {
    let parsed = if big_endian {
        pcapng::parse_interfacedescriptionblock_be(block).ok()?.1
    } else {
        pcapng::parse_interfacedescriptionblock_le(block).ok()?.1
    };
    let resolution = parsed.options.iter().find(|option| option.code.0 == 9);
    // The first octet of if_filter says what kind of filter it is: 0 is a capture filter in text.
    let filter = option_text(&parsed.options, 11).map(|text| text.trim_start_matches('\0').to_owned());
    Some(Interface {
        link_type: LinkType((parsed.linktype.0 & 0xffff) as u16),
        snap_length: parsed.snaplen,
        resolution: resolution.and_then(|option| option.value().first().copied()).unwrap_or(6),
        offset: option_u64(&parsed.options, 14, big_endian).map_or(0, |value| value as i64),
        name: option_text(&parsed.options, 2),
        filter: filter.filter(|text| !text.is_empty()),
    })
}

/// Counters of an interface statistics block; `None` where the file does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    pub(super) interface: u32,
    pub(super) received: Option<u64>,
    pub(super) dropped: Option<u64>,
}

/// Reads an interface statistics block.
pub(super) fn statistics(block: &[u8], big_endian: bool) -> Option<Statistics> {
    let parsed = if big_endian {
        pcapng::parse_interfacestatisticsblock_be(block).ok()?.1
    } else {
        pcapng::parse_interfacestatisticsblock_le(block).ok()?.1
    };
    let value = |code| option_u64(&parsed.options, code, big_endian);
    // isb_ifdrop and isb_osdrop count different losses of the same capture: together.
    let dropped = [value(5), value(7)].into_iter().flatten().reduce(u64::saturating_add);
    Some(Statistics { interface: parsed.if_id, received: value(4), dropped })
}

/// A time stamp of `units` since the epoch, at the interface's resolution and offset. Saturates.
pub(super) fn timestamp(units: u64, interface: &Interface) -> Timestamp {
    let exponent = u32::from(interface.resolution & 0x7f);
    let units = i128::from(units);
    let nanos = if interface.resolution & 0x80 != 0 {
        // Base 2: units of 2^-exponent seconds.
        (units * 1_000_000_000).checked_shr(exponent).unwrap_or(0)
    } else if exponent <= 9 {
        units * 10i128.pow(9 - exponent)
    } else {
        10i128.checked_pow(exponent - 9).map_or(0, |divisor| units / divisor)
    };
    let nanos = nanos + i128::from(interface.offset) * 1_000_000_000;
    Timestamp(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

/// Reads the packet of a block that [`is_frame`]. What the block lacks or contradicts is taken as empty.
pub(super) fn packet<'c>(
    block: &'c [u8],
    at: usize,
    kind: u32,
    big_endian: bool,
    interfaces: &[Interface],
    packet: RawPacket<'c>,
) -> RawPacket<'c> {
    let field = |at| word(block, at, big_endian).unwrap_or(0);
    let body = block.len().saturating_sub(4);
    let (number, stamp, captured, wire, start) = match kind {
        ENHANCED => (field(8), Some((field(12), field(16))), field(20), field(24), 28),
        PACKET => {
            let number = u32::from(half(block, 8, big_endian).unwrap_or(0));
            (number, Some((field(12), field(16))), field(20), field(24), 28)
        }
        SIMPLE => {
            let limit = interfaces.first().map_or(0, |interface| interface.snap_length);
            let wire = field(8);
            let captured = if limit == 0 { wire } else { wire.min(limit) };
            (0, None, captured.min(body.saturating_sub(12) as u32), wire, 12)
        }
        _ => {
            // A custom block's body begins with the number of the enterprise that defined it.
            let start = if CUSTOM.contains(&kind) { 12 } else { 8 };
            let data = block.get(start..body).unwrap_or_default();
            return RawPacket {
                link_type: LinkType::NONE,
                wire: data.len() as u32,
                start: (at + start) as u32,
                data,
                ..packet
            };
        }
    };
    let room = body.saturating_sub(start);
    let data = block.get(start..start + (captured as usize).min(room)).unwrap_or_default();
    let interface = interfaces.get(number as usize);
    let time = stamp
        .zip(interface)
        .map(|((high, low), interface)| timestamp(u64::from(high) << 32 | u64::from(low), interface));
    RawPacket {
        time,
        wire,
        interface: packet.interface.saturating_add(number),
        link_type: interface.map_or(LinkType::NONE, |interface| interface.link_type),
        start: (at + start) as u32,
        data,
        ..packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface_with(resolution: u8, offset: i64) -> Interface {
        Interface { link_type: LinkType(1), snap_length: 0, resolution, offset, name: None, filter: None }
    }

    #[test]
    fn times_are_exact_at_every_resolution() {
        let second = Timestamp(1_000_000_000);
        for (units, resolution) in
            [(1, 0), (1_000, 3), (1_000_000, 6), (1_000_000_000, 9), (10u64.pow(12), 12)]
        {
            assert_eq!(timestamp(units, &interface_with(resolution, 0)), second, "10^-{resolution}");
        }
        assert_eq!(timestamp(1 << 20, &interface_with(0x80 | 20, 0)), second);
        assert_eq!(timestamp(3 << 9, &interface_with(0x80 | 10, 0)), Timestamp(1_500_000_000));
        assert_eq!(timestamp(0, &interface_with(6, -2)), Timestamp(-2_000_000_000));
        assert_eq!(timestamp(u64::MAX, &interface_with(0, i64::MAX)), Timestamp::MAX);
        assert_eq!(timestamp(u64::MAX, &interface_with(0xff, 0)), Timestamp(0));
    }

    #[test]
    fn both_byte_orders_of_a_section_are_told_apart() {
        let little = [0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a];
        let big = [0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d];
        assert_eq!(section_order(&little), Some(false));
        assert_eq!(section_order(&big), Some(true));
        assert_eq!(section_order(&little[..8]), None);
    }
}
