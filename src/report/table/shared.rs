//! What rows of several tables need: where a packet stands, how a flow is named.

use std::borrow::Cow;

use data_encoding::HEXLOWER;

use crate::capture::FileReport;
use crate::dissect::{Direction, FiveTuple, PacketRef, Path, Tunnel};
use crate::flow::{FlowHead, Spread};
use crate::time::Span;

/// Which file holds a packet, and as which frame.
#[derive(Clone, Debug, Default)]
pub struct FileIndex {
    /// Ordinal before a file's first packet, and its path, in analysis order.
    files: Vec<(u64, String)>,
}

impl FileIndex {
    /// The index of a finished analysis.
    pub fn of(files: &[FileReport]) -> Self {
        Self { files: files.iter().map(|file| (file.base, file.path.clone())).collect() }
    }

    /// The capture goes on with the file at `path`, after `base` packets.
    pub fn push(&mut self, path: &str, base: u64) {
        self.files.push((base, path.to_owned()));
    }

    /// The path of the file that holds packet `ordinal`, empty when not known.
    pub fn file(&self, ordinal: u64) -> &str {
        self.find(ordinal).map_or("", |(_, path)| path)
    }

    /// The frame number of packet `ordinal` in its file, as Wireshark counts.
    pub fn frame(&self, ordinal: u64) -> u64 {
        ordinal - self.find(ordinal).map_or(0, |(base, _)| *base)
    }

    fn find(&self, ordinal: u64) -> Option<&(u64, String)> {
        let after = self.files.partition_point(|(base, _)| *base < ordinal);
        after.checked_sub(1).and_then(|index| self.files.get(index))
    }

    /// The frame number of a packet that may not be there.
    pub fn frame_of(&self, at: Option<PacketRef>) -> Option<u64> {
        at.map(|at| self.frame(at.packet))
    }
}

/// The ordinal of a packet that may not be there.
pub(super) fn ordinal(at: Option<PacketRef>) -> Option<u64> {
    at.map(|at| at.packet)
}

/// The keyword of an IP protocol in the IANA registry, in lowercase; `proto_<n>` for the rarer ones.
pub(crate) fn protocol(number: u8) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        1 => "icmp",
        2 => "igmp",
        4 => "ipv4",
        6 => "tcp",
        17 => "udp",
        41 => "ipv6",
        46 => "rsvp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmp6",
        88 => "eigrp",
        89 => "ospf",
        103 => "pim",
        112 => "vrrp",
        115 => "l2tp",
        132 => "sctp",
        136 => "udplite",
        other => return Cow::Owned(format!("proto_{other}")),
    })
}

/// The Community ID of a flow; `None` for ICMP, whose identifier is per message.
pub(super) fn community_id(flow: &FlowHead) -> Option<String> {
    let tuple = FiveTuple { source: flow.client, destination: flow.server, protocol: flow.protocol };
    (!matches!(flow.protocol, 1 | 58)).then(|| crate::dissect::community_id(&tuple, None))
}

/// Zeek's words for the sides.
pub(super) fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "orig",
        Direction::ToClient => "resp",
    }
}

/// VLAN tags and the innermost tunnel with its identifier, `None` when there is neither.
pub(super) fn encapsulation(path: &Path) -> Option<String> {
    let tags = [path.vlan, path.inner_vlan].into_iter().filter(|tag| *tag != 0);
    let tunnel = tunnel(path.tunnel).map(|name| format!("{name} {}", path.tunnel_id));
    let layers: Vec<String> = tags.map(|tag| format!("vlan {tag}")).chain(tunnel).collect();
    (!layers.is_empty()).then(|| layers.join(", "))
}

fn tunnel(tunnel: Tunnel) -> Option<&'static str> {
    Some(match tunnel {
        Tunnel::None => return None,
        Tunnel::Mpls => "mpls",
        Tunnel::Pppoe => "pppoe",
        Tunnel::Gre => "gre",
        Tunnel::Erspan => "erspan",
        Tunnel::IpIp => "ip_in_ip",
        Tunnel::Vxlan => "vxlan",
        Tunnel::Geneve => "geneve",
        Tunnel::Gtpu => "gtpu",
        Tunnel::L2tp => "l2tp",
    })
}

/// A link-layer address as six octets in hexadecimal, `None` when it is zero.
pub(super) fn link_address(address: [u8; 6]) -> Option<String> {
    if address == [0; 6] {
        return None;
    }
    let mut text = HEXLOWER.encode(&address);
    for colon in (2..17).step_by(3) {
        text.insert(colon, ':');
    }
    Some(text)
}

/// The name that a unit variant serialises as: `ToServer` is `to_server`.
pub(crate) fn word<T: serde::Serialize>(value: &T) -> &'static str {
    serde_variant::to_variant_name(value).unwrap_or_default()
}

/// Half of them took at most so long; `None` of nothing.
pub(super) fn median(spread: Option<Spread>) -> Option<Span> {
    spread.map(|spread| spread.median)
}

/// 95 % of them took at most so long; `None` of nothing.
pub(super) fn p95(spread: Option<Spread>) -> Option<Span> {
    spread.map(|spread| spread.p95)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_addresses_are_pairs_of_digits() {
        assert_eq!(link_address([0, 0x1b, 0xff, 2, 0x30, 0xa]).as_deref(), Some("00:1b:ff:02:30:0a"));
        assert_eq!(link_address([0; 6]), None);
    }

    #[test]
    fn encapsulations_are_listed_from_the_outside() {
        assert_eq!(encapsulation(&Path::default()), None);
        let path = Path { vlan: 7, inner_vlan: 9, ..Path::default() };
        assert_eq!(encapsulation(&path).as_deref(), Some("vlan 7, vlan 9"));
        let path = Path { tunnel: Tunnel::Vxlan, tunnel_id: 5001, ..Path::default() };
        assert_eq!(encapsulation(&path).as_deref(), Some("vxlan 5001"));
    }

    #[test]
    fn packets_are_found_in_their_files() {
        let mut index = FileIndex::default();
        assert_eq!((index.file(3), index.frame(3)), ("", 3));
        index.push("a.pcap", 0);
        index.push("empty.pcap", 10);
        index.push("b.pcap", 10);
        assert_eq!((index.file(10), index.frame(10)), ("a.pcap", 10));
        assert_eq!((index.file(11), index.frame(11)), ("b.pcap", 1));
    }
}
