//! [`Chunk`] -> [`RawPacket`]: the records of one chunk as packets.

use std::sync::Arc;

use super::chunk::{Chunk, Format, RawPacket};
use super::pcap::Layout;
use super::pcapng::{self, Section, kind};
use crate::capture::Interface;

/// The packets of a chunk, in order. Ends at the end of the chunk, or where its bytes stop making sense,
/// which a chunk cut by the reader never does.
#[derive(Debug)]
pub struct Packets<'c> {
    bytes: &'c [u8],
    at: usize,
    offset: u64,
    packet: u64,
    records: Records,
    /// The interfaces at the start of the chunk.
    interfaces: &'c Arc<Vec<Interface>>,
}

#[derive(Debug)]
enum Records {
    Pcap { layout: Layout, interface: u32, link_type: crate::capture::LinkType },
    Pcapng(Section),
}

impl<'c> Packets<'c> {
    pub(super) fn new(chunk: &'c Chunk) -> Self {
        let records = match chunk.format {
            Format::Pcap { big_endian, nanoseconds, header, swapped } => Records::Pcap {
                layout: Layout { big_endian, nanoseconds, header: usize::from(header), swapped },
                interface: chunk.interface_base,
                link_type: chunk
                    .interfaces
                    .first()
                    .map_or(crate::capture::LinkType::UNKNOWN, |i| i.link_type),
            },
            Format::Pcapng { big_endian } => Records::Pcapng(Section {
                big_endian,
                interfaces: chunk.interfaces.clone(),
                base: chunk.interface_base,
            }),
        };
        let (packet, interfaces) = (chunk.first_packet, &chunk.interfaces);
        Self { bytes: &chunk.bytes, at: 0, offset: chunk.offset, packet, records, interfaces }
    }

    /// The interface of the packet that came last, when the file describes one.
    pub fn interface(&self, last: &RawPacket<'_>) -> Option<&Interface> {
        let (interfaces, base) = self.interfaces();
        interfaces.get(last.interface.checked_sub(base)? as usize)
    }

    /// The interfaces that are described up to here, and the number of the first of them.
    pub fn interfaces(&self) -> (&Arc<Vec<Interface>>, u32) {
        match &self.records {
            Records::Pcap { interface, .. } => (self.interfaces, *interface),
            Records::Pcapng(section) => (&section.interfaces, section.base),
        }
    }
}

impl<'c> Iterator for Packets<'c> {
    type Item = RawPacket<'c>;

    #[inline]
    fn next(&mut self) -> Option<RawPacket<'c>> {
        match &mut self.records {
            Records::Pcap { layout, interface, link_type } => {
                let at = self.at;
                let (head, data, length) = layout.record(self.bytes.get(at..)?)?;
                self.at += length;
                let packet = self.packet;
                self.packet += 1;
                Some(RawPacket {
                    packet,
                    offset: self.offset + at as u64,
                    time: Some(layout.time(&head)),
                    wire: head.wire,
                    interface: *interface,
                    link_type: *link_type,
                    start: (at + layout.header) as u32,
                    data,
                })
            }
            Records::Pcapng(section) => loop {
                let at = self.at;
                let rest = self.bytes.get(at..)?;
                let (kind, _) = pcapng::lead(rest, section.big_endian)?;
                if kind == kind::SECTION {
                    section.begin(pcapng::byte_order(rest)?);
                }
                let (_, total) = pcapng::lead(rest, section.big_endian)?;
                let length = pcapng::padded(total);
                let block = rest.get(..length)?;
                if length < pcapng::MIN_BLOCK {
                    return None;
                }
                self.at += length;
                if kind == kind::INTERFACE && length >= pcapng::least(kind) {
                    section.describe(block);
                }
                let Some(fields) = section.packet(kind, block) else { continue };
                let packet = self.packet;
                self.packet += 1;
                return Some(RawPacket {
                    packet,
                    offset: self.offset + at as u64,
                    time: fields.time,
                    wire: fields.wire,
                    interface: section.number(&fields),
                    link_type: section.link_type(&fields),
                    start: (at + fields.start) as u32,
                    data: block.get(fields.start..fields.start + fields.length)?,
                });
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::capture::{ChunkBytes, Interface, LinkType};

    fn chunk(format: Format, bytes: Vec<u8>) -> Chunk {
        let ethernet = Interface {
            link_type: LinkType::ETHERNET,
            snap_length: 0,
            resolution: 6,
            offset: 0,
            name: None,
            filter: None,
        };
        Chunk {
            file: 0,
            offset: 0,
            first_packet: 1,
            packets: 0,
            format,
            interfaces: Arc::new(vec![ethernet]),
            interface_base: 0,
            bytes: ChunkBytes::Owned(Arc::new(bytes)),
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_run_for_ever(
            bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
            big in any::<bool>(),
            kind in 0_usize..12,
        ) {
            let least = bytes.len();
            let header = if big { 24 } else { 16 };
            let pcap = Format::Pcap { big_endian: big, nanoseconds: big, header, swapped: !big };
            let pcapng = Format::Pcapng { big_endian: big };
            let kinds = [1, 2, 3, 4, 5, 6, 9, 10, 0xbad, 0x204, 0x216, 0x0a0d_0d0a_u32];
            let total = (bytes.len() as u32 + 12).next_multiple_of(4);
            let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
            let mut block = [&word(kinds[kind])[..], &word(total), &bytes].concat();
            block.resize(total as usize, 0);
            let blocks = chunk(pcapng, [block.clone(), block].concat()).packets().count();
            prop_assert!(blocks <= 2);
            let records = chunk(pcap, bytes.clone()).packets().count();
            prop_assert!(records <= least);
            let blocks = chunk(pcapng, bytes).packets().count();
            prop_assert!(blocks <= least);
        }
    }
}
