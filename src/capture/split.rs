//! Walks the records of one file: finds where they end, counts what they say, and stops at damage.
//!
//! The walk looks at record headers and block lengths only. It takes any part of the file and says when it
//! needs more, so the same code walks mapped files and streams.

use super::chunk::Format;
use super::interface::NO_INTERFACE;
use super::keys::Keys;
use super::pcap::{FileHeader, Head, Layout};
use super::pcapng::{self, Fields, Section, kind};
use super::pcapng_option::{Options, integer};
use super::report::{DamageKind, FileReport};
use super::resync::{self, Pattern};

/// Where a walk stopped, relative to the start of the bytes it was given.
#[derive(Debug, PartialEq)]
pub(super) struct Walk {
    /// Length of the whole, good records passed.
    pub(super) length: usize,
    /// Packets in them.
    pub(super) packets: u64,
    /// What comes after them.
    pub(super) stop: Stop,
}

/// Why a walk stopped.
#[derive(Debug, PartialEq)]
pub(super) enum Stop {
    /// Enough for one chunk.
    Full,
    /// The next record needs this many bytes.
    More(usize),
    /// The file ends here.
    End,
    /// The file ends inside a record.
    Tail(String),
    /// What comes next is not a record, or one that cannot be.
    Damage(DamageKind, String),
}

/// Walks one file.
#[derive(Debug)]
pub(super) struct Splitter {
    /// What was found out about the file so far.
    pub(super) report: FileReport,
    /// Interfaces of the current section, or of the pcap file.
    pub(super) section: Section,
    /// What the secrets in the file are added to.
    pub(super) keys: Keys,
    records: Records,
    max_record: usize,
}

#[derive(Clone, Copy, Debug)]
enum Records {
    /// `limit` is the longest captured length believed, `near` the time of the last record in seconds.
    Pcap {
        layout: Layout,
        limit: usize,
        near: Option<u32>,
    },
    Pcapng,
}

impl Splitter {
    /// Starts behind the header of a pcap file, which the caller passes over.
    pub(super) fn pcap(header: FileHeader, mut report: FileReport, max_record: usize) -> Self {
        let FileHeader { layout, interface } = header;
        let declared = interface.snap_length as usize;
        // Too small a declaration is a common lie, a huge one means "everything".
        let sane = if (1..=max_record).contains(&declared) { declared } else { max_record };
        let limit = sane.max(resync::LONGEST).min(max_record);
        report.format = "pcap";
        report.byte_order = order_name(layout.big_endian);
        report.sections = 1;
        report.add_interface(&interface);
        let mut section = Section::new(layout.big_endian, 0);
        section.interfaces = std::sync::Arc::new(vec![interface]);
        let records = Records::Pcap { layout, limit, near: None };
        Self { report, section, keys: Keys::default(), records, max_record }
    }

    /// Starts at the first section header of a pcapng file.
    pub(super) fn pcapng(big_endian: bool, mut report: FileReport, max_record: usize) -> Self {
        report.format = "pcapng";
        report.byte_order = order_name(big_endian);
        let section = Section::new(big_endian, 0);
        Self { report, section, keys: Keys::default(), records: Records::Pcapng, max_record }
    }

    /// The record layout, as chunks carry it.
    pub(super) fn format(&self) -> Format {
        match self.records {
            Records::Pcap { layout, .. } => layout.format(),
            Records::Pcapng => Format::Pcapng { big_endian: self.section.big_endian },
        }
    }

    /// What to search for behind damage.
    pub(super) fn pattern(&self) -> Pattern {
        match self.records {
            Records::Pcap { layout, near, .. } => Pattern::Pcap { layout, near },
            Records::Pcapng => Pattern::Pcapng { big_endian: self.section.big_endian },
        }
    }

    /// Walks whole records until `full` bytes or more are passed. `offset` is where `bytes` stand in the
    /// file; `ended` says that nothing comes after them.
    pub(super) fn walk(&mut self, bytes: &[u8], offset: u64, ended: bool, full: usize) -> Walk {
        let (mut length, mut packets) = (0, 0);
        let stop = loop {
            let rest = &bytes[length..];
            if length >= full {
                break Stop::Full;
            }
            if rest.is_empty() {
                break if ended { Stop::End } else { Stop::More(1) };
            }
            let step = match self.records {
                Records::Pcap { layout, limit, near } => self.record(layout, limit, near, rest, ended),
                Records::Pcapng => self.block(rest, offset + length as u64, ended),
            };
            match step {
                Ok((step, is_packet)) => {
                    length += step;
                    packets += u64::from(is_packet);
                }
                Err(stop) => break stop,
            }
        };
        Walk { length, packets, stop }
    }

    #[inline]
    fn record(
        &mut self,
        layout: Layout,
        limit: usize,
        near: Option<u32>,
        rest: &[u8],
        ended: bool,
    ) -> Result<(usize, bool), Stop> {
        let Some(head) = layout.head(rest) else {
            return Err(if ended {
                Stop::Tail(format!("record header of {} bytes cut off after {}", layout.header, rest.len()))
            } else {
                Stop::More(layout.header)
            });
        };
        if head.captured as usize > limit {
            let found = head.captured;
            let reason = format!("captured length {found} bytes, expected at most {limit}");
            return Err(Stop::Damage(DamageKind::ImpossibleLength, reason));
        }
        // A hole in the file. As a record it would be an empty packet of 1970.
        if head == (Head { seconds: 0, fraction: 0, captured: 0, wire: 0 }) {
            let reason = "record header of zeros only".to_owned();
            return Err(Stop::Damage(DamageKind::NotARecord, reason));
        }
        let length = layout.header + head.captured as usize;
        if length > rest.len() {
            return Err(if !ended {
                Stop::More(length)
            } else if resync::plausible(layout, &head, near) {
                Stop::Tail(format!("record of {length} bytes cut off after {}", rest.len()))
            } else {
                let reason = format!("record of {length} bytes where {} are left", rest.len());
                Stop::Damage(DamageKind::ImpossibleLength, reason)
            });
        }
        let time = layout.time(&head);
        self.records = Records::Pcap { layout, limit, near: Some(head.seconds) };
        self.report.add_packet(0, head.captured, head.wire, Some(time));
        Ok((length, true))
    }

    #[inline]
    fn block(&mut self, rest: &[u8], offset: u64, ended: bool) -> Result<(usize, bool), Stop> {
        let short = |needed: usize| {
            Err(if ended {
                Stop::Tail(format!("block of at least {needed} bytes cut off after {}", rest.len()))
            } else {
                Stop::More(needed)
            })
        };
        let Some((kind, total)) = pcapng::lead(rest, self.section.big_endian) else {
            return short(pcapng::MIN_BLOCK);
        };
        let (big_endian, total) = if kind == kind::SECTION {
            if rest.len() < pcapng::MIN_BLOCK {
                return short(pcapng::MIN_BLOCK);
            }
            let Some(order) = pcapng::byte_order(rest) else {
                let reason = "section header without a byte order".to_owned();
                return Err(Stop::Damage(DamageKind::NotARecord, reason));
            };
            (order, pcapng::lead(rest, order).map_or(0, |(_, total)| total))
        } else {
            (self.section.big_endian, total)
        };
        let most = self.max_record;
        if (total as usize) < pcapng::MIN_BLOCK || total as usize > most {
            let name = pcapng::name(kind);
            let least = pcapng::MIN_BLOCK;
            let reason = format!("{name} block of {total} bytes, expected {least} to {most}");
            return Err(Stop::Damage(DamageKind::ImpossibleLength, reason));
        }
        let length = pcapng::padded(total);
        let Some(block) = rest.get(..length) else {
            let name = pcapng::name(kind);
            return Err(if !ended {
                Stop::More(length)
            } else if pcapng::is_known(kind) {
                Stop::Tail(format!("{name} block of {total} bytes cut off after {}", rest.len()))
            } else {
                let reason = format!("{name} block of {total} bytes where {} are left", rest.len());
                Stop::Damage(DamageKind::ImpossibleLength, reason)
            });
        };
        let trailer = pcapng::word(block, length - 4, big_endian);
        if trailer != Some(total) {
            let (name, found) = (pcapng::name(kind), trailer.unwrap_or_default());
            let reason = format!("{name} block of {total} bytes ends with length {found}");
            return Err(Stop::Damage(DamageKind::LengthMismatch, reason));
        }
        if kind == kind::SECTION {
            self.section.begin(big_endian);
        }
        Ok((length, self.read(kind, block, offset)))
    }

    /// Counts a whole block; true when it is numbered as a packet.
    #[inline]
    fn read(&mut self, kind: u32, block: &[u8], offset: u64) -> bool {
        if let Some(fields) = self.section.packet(kind, block) {
            self.packet(kind, &fields, block, offset);
            return true;
        }
        self.describe(kind, block, offset);
        false
    }

    #[inline]
    fn packet(&mut self, kind: u32, fields: &Fields, block: &[u8], offset: u64) {
        let number = self.section.number(fields);
        self.report.add_packet(number, fields.length as u32, fields.wire, fields.time);
        if fields.interface.is_none() {
            self.report.add_skipped(kind);
        }
        if let Some(claimed) = fields.claimed {
            let found = fields.length;
            let reason = format!(
                "packet {} claims {claimed} captured bytes, its block has {found}",
                self.report.packets
            );
            self.report.add_damage(offset, 0, DamageKind::ImpossibleLength, reason);
        }
        if kind == kind::PACKET && fields.options + 4 < block.len() {
            self.packet_options(number, &block[fields.options..block.len() - 4]);
        }
    }

    fn packet_options(&mut self, number: u32, options: &[u8]) {
        let big_endian = self.section.big_endian;
        for (code, value) in Options::new(options, big_endian) {
            match (code, integer(value, big_endian)) {
                (1, _) => self.report.comments += 1,
                (4, Some(drops)) if number != NO_INTERFACE => {
                    if let Some(interface) = self.report.interface_mut(number) {
                        interface.packet_drops =
                            Some(interface.packet_drops.unwrap_or_default().saturating_add(drops));
                    }
                }
                _ => {}
            }
        }
    }

    #[cold]
    fn describe(&mut self, kind: u32, block: &[u8], offset: u64) {
        let (least, found) = (pcapng::least(kind), block.len());
        if found < least {
            let reason = format!("{} block of {found} bytes, expected at least {least}", pcapng::name(kind));
            self.report.add_damage(offset, found as u64, DamageKind::ImpossibleLength, reason);
            if kind == kind::SECTION {
                self.report.sections += 1;
            }
            return;
        }
        match kind {
            kind::SECTION => {
                self.report.sections += 1;
                self.count_comments(&block[24..found - 4]);
            }
            kind::INTERFACE => {
                if self.section.describe(block) {
                    if let Some(interface) = self.section.interfaces.last() {
                        self.report.add_interface(interface);
                    }
                } else {
                    self.report.interfaces_unlisted += 1;
                }
                self.count_comments(&block[16..found - 4]);
            }
            kind::STATISTICS => self.statistics(block),
            kind::SECRETS => {
                self.report.add_skipped(kind);
                let after = self.report.base + self.report.packets;
                let log = pcapng::key_log(block, self.section.big_endian);
                if let Some(log) = log {
                    self.keys.learn(log, after);
                }
            }
            _ => self.report.add_skipped(kind),
        }
    }

    fn count_comments(&mut self, options: &[u8]) {
        let comments = Options::new(options, self.section.big_endian).filter(|(code, _)| *code == 1).count();
        self.report.comments += comments as u64;
    }

    /// Reads the counters of an interface statistics block. They are totals, so the last block counts.
    fn statistics(&mut self, block: &[u8]) {
        let big_endian = self.section.big_endian;
        let Some(index) = pcapng::word(block, 8, big_endian) else { return };
        if index as usize >= self.section.interfaces.len() {
            return;
        }
        let number = self.section.base.saturating_add(index);
        let Some(interface) = self.report.interface_mut(number) else { return };
        for (code, value) in Options::new(&block[20..block.len() - 4], big_endian) {
            let Some(value) = integer(value, big_endian) else { continue };
            match code {
                4 => interface.received = Some(value),
                5 => interface.interface_dropped = Some(value),
                6 => interface.accepted = Some(value),
                7 => interface.system_dropped = Some(value),
                8 => interface.delivered = Some(value),
                _ => {}
            }
        }
    }
}

fn order_name(big_endian: bool) -> &'static str {
    if big_endian { "big-endian" } else { "little-endian" }
}
