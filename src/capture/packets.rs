//! The packets of a chunk.

use crate::capture::{Chunk, Format, LinkType, RawPacket, pcap, pcapng};

/// Iterates over the packets of a chunk. Ends at the first byte that is not a whole record, which a chunk made by the
/// reader never has.
#[derive(Debug)]
pub struct Packets<'c> {
    chunk: &'c Chunk,
    at: usize,
    packet: u64,
}

impl Chunk {
    /// Its packets, in file order.
    pub fn packets(&self) -> Packets<'_> {
        Packets { chunk: self, at: 0, packet: self.first_packet }
    }

    /// The chunk's bytes are not needed any more: mapped pages go back to the system.
    pub fn release(&self) {
        super::source::release(&self.bytes);
    }
}

impl<'c> Iterator for Packets<'c> {
    type Item = RawPacket<'c>;

    fn next(&mut self) -> Option<RawPacket<'c>> {
        let chunk = self.chunk;
        let bytes: &'c [u8] = &chunk.bytes;
        loop {
            let blank = RawPacket {
                packet: self.packet,
                offset: chunk.offset + self.at as u64,
                time: None,
                wire: 0,
                interface: chunk.interface_base,
                link_type: chunk.interfaces.first().map_or(LinkType::NONE, |interface| interface.link_type),
                start: 0,
                data: &[],
            };
            match chunk.format {
                Format::Pcap { .. } => {
                    let (packet, next) = pcap::packet(bytes, self.at, chunk.format, blank)?;
                    (self.at, self.packet) = (next, self.packet + 1);
                    return Some(packet);
                }
                Format::Pcapng { big_endian } => {
                    let kind = pcapng::word(bytes, self.at, big_endian)?;
                    let length = pcapng::word(bytes, self.at + 4, big_endian)? as usize;
                    let block =
                        bytes.get(self.at..self.at + length).filter(|_| length >= pcapng::MIN_BLOCK)?;
                    let at = self.at;
                    self.at += length;
                    if pcapng::is_frame(kind) {
                        self.packet += 1;
                        let interfaces = &chunk.interfaces;
                        return Some(pcapng::packet(block, at, kind, big_endian, interfaces, blank));
                    }
                }
            }
        }
    }
}
