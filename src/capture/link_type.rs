//! Link-layer types, by the numbers of the tcpdump group's list.
//!
//! Source: <https://www.tcpdump.org/linktypes.html>. Names are printed without the `LINKTYPE_` prefix, in
//! lowercase; a number that is not in the table is printed as a number.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A link-layer type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a 4-byte address family in the byte order of the capturing host.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP.
    pub const PPP: Self = Self(9);
    /// Raw IP: the version nibble says which.
    pub const RAW: Self = Self(101);
    /// IEEE 802.11.
    pub const IEEE802_11: Self = Self(105);
    /// OpenBSD loopback: like [`LinkType::NULL`], big-endian.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture.
    pub const LINUX_SLL: Self = Self(113);
    /// IEEE 802.11 behind a radiotap header.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
    /// The packet names an interface that its file does not describe. Not a number of the list.
    pub const UNKNOWN: Self = Self(0xffff);
    /// Not a packet but a pcapng block that Wireshark gives a frame number all the same (custom blocks,
    /// journal entries, system call events). Not a number of the list.
    pub const BLOCK: Self = Self(0xfffe);

    /// The short name, when the number is in the table.
    pub fn name(self) -> Option<&'static str> {
        NAMES.binary_search_by_key(&self.0, |(number, _)| *number).ok().map(|at| NAMES[at].1)
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// For people as it is printed, between stages the number.
impl Serialize for LinkType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => serializer.serialize_u16(self.0),
        }
    }
}

/// From between stages; what is written for people is not read again.
impl<'de> Deserialize<'de> for LinkType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(Self)
    }
}

/// Sorted by number. 12 and 14 are what old systems wrote for raw IP.
const NAMES: [(u16, &str); 99] = [
    (0, "null"),
    (1, "ethernet"),
    (2, "exp_ethernet"),
    (3, "ax25"),
    (6, "ieee802_5"),
    (7, "arcnet_bsd"),
    (8, "slip"),
    (9, "ppp"),
    (10, "fddi"),
    (12, "raw"),
    (14, "raw"),
    (50, "ppp_hdlc"),
    (51, "ppp_ether"),
    (99, "symantec_firewall"),
    (100, "atm_rfc1483"),
    (101, "raw"),
    (104, "c_hdlc"),
    (105, "ieee802_11"),
    (107, "frelay"),
    (108, "loop"),
    (109, "enc"),
    (113, "linux_sll"),
    (114, "ltalk"),
    (117, "pflog"),
    (119, "ieee802_11_prism"),
    (122, "ip_over_fc"),
    (123, "sunatm"),
    (127, "ieee802_11_radiotap"),
    (129, "arcnet_linux"),
    (138, "apple_ip_over_ieee1394"),
    (139, "mtp2_with_phdr"),
    (140, "mtp2"),
    (141, "mtp3"),
    (142, "sccp"),
    (143, "docsis"),
    (144, "linux_irda"),
    (147, "user0"),
    (148, "user1"),
    (149, "user2"),
    (150, "user3"),
    (151, "user4"),
    (152, "user5"),
    (153, "user6"),
    (154, "user7"),
    (155, "user8"),
    (156, "user9"),
    (157, "user10"),
    (158, "user11"),
    (159, "user12"),
    (160, "user13"),
    (161, "user14"),
    (162, "user15"),
    (163, "ieee802_11_avs"),
    (165, "bacnet_ms_tp"),
    (166, "ppp_pppd"),
    (169, "gprs_llc"),
    (177, "linux_lapd"),
    (187, "bluetooth_hci_h4"),
    (189, "usb_linux"),
    (192, "ppi"),
    (195, "ieee802_15_4_withfcs"),
    (196, "sita"),
    (197, "erf"),
    (201, "bluetooth_hci_h4_with_phdr"),
    (202, "ax25_kiss"),
    (203, "lapd"),
    (204, "ppp_with_dir"),
    (205, "c_hdlc_with_dir"),
    (206, "frelay_with_dir"),
    (209, "ipmb_linux"),
    (215, "ieee802_15_4_nonask_phy"),
    (220, "usb_linux_mmapped"),
    (224, "fc_2"),
    (226, "ipnet"),
    (227, "can_socketcan"),
    (228, "ipv4"),
    (229, "ipv6"),
    (230, "ieee802_15_4_nofcs"),
    (231, "dbus"),
    (235, "dvb_ci"),
    (237, "stanag_5066_d_pdu"),
    (239, "nflog"),
    (240, "netanalyzer"),
    (241, "netanalyzer_transparent"),
    (242, "ipoib"),
    (243, "mpeg_2_ts"),
    (247, "infiniband"),
    (248, "sctp"),
    (249, "usbpcap"),
    (251, "bluetooth_le_ll"),
    (252, "wireshark_upper_pdu"),
    (253, "netlink"),
    (258, "pktap"),
    (265, "usb_darwin"),
    (271, "vsock"),
    (274, "ethernet_mpacket"),
    (276, "linux_sll2"),
    (0xfffe, "pcapng_block"),
    (0xffff, "unknown"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_unknown_numbers_print_as_numbers() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(LinkType::ETHERNET.to_string(), "ethernet");
        assert_eq!(LinkType::LINUX_SLL2.to_string(), "linux_sll2");
        assert_eq!(LinkType(4711).to_string(), "4711");
    }
}
