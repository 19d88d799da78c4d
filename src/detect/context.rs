//! What detectors know of the capture as a whole when they judge.

use std::collections::BTreeMap;

use crate::capture::LinkType;
use crate::dissect::PacketRef;
use crate::time::{Span, Timestamp};

/// Counts over the whole capture set, summed over partitions and files: facts, not verdicts.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    /// Packets.
    pub packets: u64,
    /// Captured bytes.
    pub captured_bytes: u64,
    /// Wire bytes.
    pub wire_bytes: u64,
    /// Earliest packet time.
    pub first: Option<Timestamp>,
    /// Latest packet time.
    pub last: Option<Timestamp>,
    /// Packets by link type.
    pub link_types: BTreeMap<LinkType, u64>,
    /// Packets by what stopped dissection, in words (`ethertype 0x88cc`, `ipv6 clipped`); none for those understood.
    pub stops: BTreeMap<String, u64>,
    /// Packets cut by the snapshot length.
    pub clipped: u64,
    /// Packets earlier than the one before them in their file.
    pub backwards: u64,
    /// The furthest step back, in nanoseconds.
    pub backwards_most: i64,
    /// Some of the packets that went backwards, lowest ordinals first.
    pub backwards_examples: Vec<PacketRef>,
    /// The longest times of a second and more without any packet: the packets before and after, longest first.
    pub silences: Vec<(PacketRef, PacketRef)>,
    /// TCP packets.
    pub tcp_packets: u64,
    /// UDP packets.
    pub udp_packets: u64,
    /// ICMP packets, both versions.
    pub icmp_packets: u64,
    /// IP fragments.
    pub fragments: u64,
}

/// What a file says of its own completeness.
#[derive(Clone, Debug, Default)]
pub struct FileFacts {
    /// Path as given.
    pub path: String,
    /// Packets.
    pub packets: u64,
    /// Ordinal before its first packet: ordinal minus base is the frame number in the file.
    pub base: u64,
    /// First and last packet time in file order.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Damaged byte ranges: offset, length, reason.
    pub damages: Vec<(u64, u64, String)>,
    /// It begins by so much before an earlier file of the set ends: the two were recorded at the same time.
    pub overlap: Option<Span>,
    /// Declared snapshot length, largest over interfaces; 0 unlimited.
    pub snap_length: u32,
    /// Per interface: name, filter, received and dropped packets as the file reports them (`None`: the format or file does not say).
    pub interfaces: Vec<InterfaceFacts>,
}

/// What a file says of one interface.
#[derive(Clone, Debug, Default)]
pub struct InterfaceFacts {
    /// Set-wide number.
    pub number: u32,
    /// Name.
    pub name: Option<String>,
    /// Capture filter.
    pub filter: Option<String>,
    /// Packets received by the interface (`isb_ifrecv`).
    pub received: Option<u64>,
    /// Packets dropped, by interface and operating system together (`isb_ifdrop`, `isb_osdrop`, `epb_dropcount`).
    pub dropped: Option<u64>,
}

/// What detectors know of the whole capture when they judge.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Sums over all packets.
    pub totals: &'a Totals,
    /// The files, in analysis order.
    pub files: &'a [FileFacts],
}

impl Context<'_> {
    /// Packets that the capture itself says it dropped; `None` when no file says.
    pub fn reported_drops(&self) -> Option<u64> {
        self.files
            .iter()
            .flat_map(|file| &file.interfaces)
            .filter_map(|interface| interface.dropped)
            .reduce(|a, b| a + b)
    }

    /// A capture filter was in force that can hide ICMP; `None` when no file names a filter.
    pub fn filter(&self) -> Option<&str> {
        self.files.iter().flat_map(|file| &file.interfaces).find_map(|interface| interface.filter.as_deref())
    }

    /// Name of a file and the frame number in it of a packet ordinal.
    pub fn frame(&self, packet: u64) -> (&str, u64) {
        let at = self.files.partition_point(|file| file.base < packet);
        match at.checked_sub(1).and_then(|index| self.files.get(index)) {
            Some(file) => (&file.path, packet - file.base),
            None => ("", packet),
        }
    }
}
