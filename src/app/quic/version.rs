//! What differs between the versions of QUIC that are read.

/// Kind of a packet with a long header (RFC 9000 section 17.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
}

/// What a version does in its own way.
#[derive(Debug)]
pub(super) struct Version {
    /// The first and the last number that it has on the wire.
    numbers: [u32; 2],
    /// What the secrets of Initial packets are made with.
    pub(super) salt: [u8; 20],
    /// In front of the labels of keys.
    pub(super) label: &'static str,
    /// Kinds of packets by the two bits of the first octet.
    kinds: [Kind; 4],
    /// Key and nonce of the tag of a Retry.
    pub(super) retry: ([u8; 16], [u8; 12]),
}

/// RFC 9000 section 17.2.
const KINDS: [Kind; 4] = [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry];

const VERSIONS: &[Version] = &[
    // RFC 9001 sections 5.2 and 5.8.
    Version {
        numbers: [1, 1],
        salt: [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
            0xcc, 0xbb, 0x7f, 0x0a,
        ],
        label: "quic",
        kinds: KINDS,
        retry: (
            [0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e],
            [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb],
        ),
    },
    // RFC 9369 section 3.
    Version {
        numbers: [0x6b33_43cf, 0x6b33_43cf],
        salt: [
            0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
            0xf9, 0xbd, 0x2e, 0xd9,
        ],
        label: "quicv2",
        kinds: [Kind::Retry, Kind::Initial, Kind::ZeroRtt, Kind::Handshake],
        retry: (
            [0x8f, 0xb4, 0xb0, 0x1b, 0x56, 0xac, 0x48, 0xe2, 0x60, 0xfb, 0xcb, 0xce, 0xad, 0x7c, 0xcc, 0x92],
            [0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a],
        ),
    },
    // draft-ietf-quic-tls-29 to 32, which servers announced for years.
    Version {
        numbers: [0xff00_001d, 0xff00_0020],
        salt: [
            0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0,
            0x43, 0x90, 0xa8, 0x99,
        ],
        label: "quic",
        kinds: KINDS,
        retry: (
            [0xcc, 0xce, 0x18, 0x7e, 0xd0, 0x9a, 0x09, 0xd0, 0x57, 0x28, 0x15, 0x5a, 0x6c, 0xb9, 0x6b, 0xe1],
            [0xe5, 0x49, 0x30, 0xf9, 0x7f, 0x21, 0x36, 0xf0, 0x53, 0x0a, 0x8c, 0x1c],
        ),
    },
];

impl Version {
    /// The version of that number, when it is one that is read.
    pub(super) fn of(number: u32) -> Option<&'static Self> {
        VERSIONS.iter().find(|version| (version.numbers[0]..=version.numbers[1]).contains(&number))
    }

    /// The kind of a packet by its first octet.
    pub(super) fn kind(&self, first: u8) -> Kind {
        self.kinds[usize::from(first >> 4 & 3)]
    }
}

/// `1`, `2`, `draft-29`; the number for others.
pub fn version_name(version: u32) -> String {
    match version {
        1 => "1".to_owned(),
        0x6b33_43cf => "2".to_owned(),
        0xff00_0000..=0xff00_00ff => format!("draft-{}", version & 0xff),
        _ => format!("0x{version:08x}"),
    }
}
