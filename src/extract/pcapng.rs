//! Writes packets as pcapng (draft-ietf-opsawg-pcapng): one section, one interface description for every
//! interface of every input, nanosecond times, a comment on each packet.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use pcap_parser::pcapng::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, OptionCode, PcapNGOption, SectionHeaderBlock,
};
use pcap_parser::{Linktype, ToVec};

use super::Packet;
use crate::capture::LinkType;
use crate::time::Timestamp;

/// Longest text of an option: its length has 16 bits, and it is padded.
const MOST_TEXT: usize = 65_532;

/// What the section header says.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// What wrote the file, with its version.
    pub application: String,
    /// Where the packets come from.
    pub comment: String,
}

/// A pcapng file that is being written.
#[derive(Debug)]
pub struct Pcapng<W: Write> {
    out: W,
    /// Numbers by file, interface in the file, link type.
    interfaces: BTreeMap<(u32, u32, LinkType), u32>,
    /// Names and filters of interfaces are written.
    named: bool,
    /// Packets written.
    packets: u64,
}

impl<W: Write> Pcapng<W> {
    /// Begins a file. `named` says whether interfaces keep their names and capture filters, which may name
    /// hosts.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(mut out: W, section: &Section, named: bool) -> io::Result<Self> {
        let mut options = vec![option(OptionCode::ShbUserAppl, section.application.as_bytes())];
        if !section.comment.is_empty() {
            options.push(option(OptionCode::Comment, section.comment.as_bytes()));
        }
        let header = SectionHeaderBlock {
            block_type: 0,
            block_len1: 0,
            bom: 0,
            major_version: 1,
            minor_version: 0,
            // Not known beforehand.
            section_len: -1,
            options,
            block_len2: 0,
        };
        write(&mut out, header)?;
        Ok(Self { out, interfaces: BTreeMap::new(), named, packets: 0 })
    }

    /// Packets written so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Adds the lines of a TLS key log, for the packets behind them: a Decryption Secrets Block, which
    /// pcap-parser does not write (section 4.7 of the draft).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn secrets(&mut self, lines: &[u8]) -> io::Result<()> {
        const BLOCK: u32 = 10;
        const TLS_KEY_LOG: u32 = 0x544c_534b;
        let padding = lines.len().next_multiple_of(4) - lines.len();
        let total = (20 + lines.len() + padding) as u32;
        for word in [BLOCK, total, TLS_KEY_LOG, lines.len() as u32] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(lines)?;
        self.out.write_all(&[0; 4][..padding])?;
        self.out.write_all(&total.to_le_bytes())
    }

    /// Adds a packet as its file has it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn original(&mut self, packet: &Packet<'_>, time: Timestamp, comment: &str) -> io::Result<()> {
        let raw = &packet.raw;
        self.packet(packet, raw.link_type, time, raw.data, raw.wire, comment)
    }

    /// Adds a packet with other bytes: `wire` is its length on the wire.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn packet(
        &mut self,
        packet: &Packet<'_>,
        link_type: LinkType,
        time: Timestamp,
        data: &[u8],
        wire: u32,
        comment: &str,
    ) -> io::Result<()> {
        let number = self.interface(packet, link_type)?;
        // The format has no times before 1970.
        let nanos = u64::try_from(time.0).unwrap_or(0);
        let mut options = Vec::new();
        if !comment.is_empty() {
            options.push(option(OptionCode::Comment, comment.as_bytes()));
        }
        let block = EnhancedPacketBlock {
            block_type: 0,
            block_len1: 0,
            if_id: number,
            ts_high: (nanos >> 32) as u32,
            ts_low: nanos as u32,
            caplen: data.len() as u32,
            origlen: wire,
            data,
            options,
            block_len2: 0,
        };
        write(&mut self.out, block)?;
        self.packets += 1;
        Ok(())
    }

    fn interface(&mut self, packet: &Packet<'_>, link_type: LinkType) -> io::Result<u32> {
        let key = (packet.file, packet.raw.interface, link_type);
        if let Some(number) = self.interfaces.get(&key) {
            return Ok(*number);
        }
        let described = packet.interface;
        let mut options = Vec::new();
        if let Some(interface) = described.filter(|_| self.named) {
            if let Some(name) = &interface.name {
                options.push(option(OptionCode::IfName, name.as_bytes()));
            }
            if let Some(filter) = &interface.filter {
                // First octet 0: a filter in tcpdump's language.
                let text = [&[0], filter.as_bytes()].concat();
                options.push(option(OptionCode::IfFilter, &text));
            }
        }
        options.push(option(OptionCode::IfTsresol, &[9]));
        options.push(option(OptionCode::IfTsoffset, &[0; 8]));
        let block = InterfaceDescriptionBlock {
            block_type: 0,
            block_len1: 0,
            linktype: Linktype(i32::from(link_type.0)),
            reserved: 0,
            snaplen: described.map_or(0, |interface| interface.snap_length),
            options,
            block_len2: 0,
            if_tsresol: 9,
            if_tsoffset: 0,
        };
        write(&mut self.out, block)?;
        let number = self.interfaces.len() as u32;
        self.interfaces.insert(key, number);
        Ok(number)
    }

    /// Completes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn write(out: &mut impl Write, mut block: impl ToVec) -> io::Result<()> {
    out.write_all(&block.to_vec().map_err(io::Error::other)?)
}

/// An option; text that is too long for one is cut at a character.
fn option(code: OptionCode, value: &[u8]) -> PcapNGOption<'static> {
    let mut length = value.len().min(MOST_TEXT);
    while length < value.len() && length > 0 && value[length] & 0xc0 == 0x80 {
        length -= 1;
    }
    PcapNGOption { code, len: length as u16, value: Cow::Owned(value[..length].to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{CaptureLimits, Interface, RawPacket, Reader};

    #[test]
    fn what_is_written_is_read_again() {
        let interface = Interface {
            link_type: LinkType::ETHERNET,
            snap_length: 96,
            resolution: 6,
            offset: 0,
            name: Some("eth0".to_owned()),
            filter: Some("tcp".to_owned()),
        };
        let section = Section { application: "pcapsy".to_owned(), comment: "ä".repeat(40_000) };
        let mut file = Pcapng::new(Vec::new(), &section, true).expect("begun");
        for (length, comment) in (0..9_u32).zip(["", "a", "ab", "abc", "abcd"].iter().cycle()) {
            let data = vec![7; length as usize];
            let raw = RawPacket {
                packet: u64::from(length) + 1,
                offset: 0,
                time: None,
                wire: length + 100,
                interface: length % 2,
                link_type: LinkType::ETHERNET,
                start: 0,
                data: &data,
            };
            let packet = Packet { raw, interface: Some(&interface), file: 0, name: "x", frame: 1 };
            let time = Timestamp(1_700_000_000_123_456_789 + i64::from(length));
            file.original(&packet, time, comment).expect("written");
        }
        assert_eq!(file.packets(), 9);
        let bytes = file.finish().expect("finished");
        let input = io::Cursor::new(bytes);
        let mut reader = Reader::stream("x", input, &CaptureLimits::default()).expect("a capture");
        let mut count = 0;
        while let Some(chunk) = reader.next_chunk() {
            for packet in chunk.packets() {
                assert_eq!(packet.data.len() as u64, count, "{packet:?}");
                assert_eq!(packet.wire as u64, count + 100);
                assert_eq!(packet.interface as u64, count % 2);
                assert_eq!(packet.time, Some(Timestamp(1_700_000_000_123_456_789 + count as i64)));
                count += 1;
            }
        }
        assert_eq!(count, 9);
        let report = &reader.into_files()[0];
        assert!(report.damages.is_empty(), "{:?}", report.damages);
        assert_eq!(report.interfaces.len(), 2);
        assert_eq!(report.interfaces[0].name.as_deref(), Some("eth0"));
    }
}
