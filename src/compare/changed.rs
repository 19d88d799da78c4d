//! What was changed on the way: the same packet at both points, field by field.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::pair::Shown;
use super::sides::Way;
use super::sighting::{Kind, Sighting};
use crate::dissect::TcpFlags;
use crate::report::table::word;

/// Different changes of a field listed; further ones are counted together.
const MOST: usize = 16;

/// Examples of a change.
const EXAMPLES: usize = 3;

/// Kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The payload has other octets, as many as before.
    Payload,
    /// The largest segment that a SYN allows.
    Mss,
    /// The window scale option of a SYN.
    WindowScale,
    /// The option that permits selective acknowledgements.
    SackPermitted,
    /// The timestamps option.
    Timestamps,
    /// Don't fragment.
    DontFragment,
    /// The differentiated services code point (RFC 2474).
    Dscp,
    /// Explicit congestion notification in the IP header (RFC 3168).
    Ecn,
    /// The flags of ECN in a SYN or SYN-ACK.
    EcnFlags,
    /// The IP identification.
    Identification,
    /// Routers in between: how much less the TTL is.
    Ttl,
    /// Addresses or ports.
    Addresses,
    /// The innermost tunnel.
    Tunnel,
}

impl Field {
    /// Ordinary networks do it: not worth a row of its own for every packet.
    pub(super) fn is_ordinary(self) -> bool {
        matches!(self, Self::Identification | Self::Ttl | Self::Addresses | Self::Tunnel)
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Payload => "payload rewritten",
            Self::Mss => "MSS",
            Self::WindowScale => "window scale",
            Self::SackPermitted => "SACK permitted",
            Self::Timestamps => "timestamps",
            Self::DontFragment => "don't fragment",
            Self::Dscp => "DSCP",
            Self::Ecn => "ECN",
            Self::EcnFlags => "ECN flags",
            Self::Identification => "IP identification",
            Self::Ttl => "TTL",
            Self::Addresses => "addresses",
            Self::Tunnel => "tunnel",
        }
    }
}

/// One way in which packets were changed.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Which way they went.
    pub way: Way,
    /// What was changed.
    pub field: Field,
    /// What was sent.
    pub sent: Is,
    /// What arrived.
    pub arrived: Is,
    /// How many packets.
    pub packets: u64,
    /// The first of them.
    pub examples: Vec<Shown>,
}

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Is {
    /// In a word.
    Word(&'static str),
    /// As a number.
    Number(i64),
    /// So much less than was sent; negative when it is more.
    Less(i64),
    /// Source and destination addresses that became others.
    Translated(Option<(IpAddr, IpAddr)>, Option<(IpAddr, IpAddr)>),
}

impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Number(number) => write!(f, "{number}"),
            Self::Less(less @ 0..) => write!(f, "{less} less"),
            Self::Less(more) => write!(f, "{} more", more.unsigned_abs()),
            Self::Translated(None, None) => f.write_str("other ports"),
            Self::Translated(Some((from, to)), None) => write!(f, "source {from} is {to}"),
            Self::Translated(None, Some((from, to))) => write!(f, "destination {from} is {to}"),
            Self::Translated(Some((from, to)), Some((other, then))) => {
                write!(f, "source {from} is {to}, destination {other} is {then}")
            }
        }
    }
}

impl Serialize for Is {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// By way, what was sent and what arrived: how often, and the first packets.
type Counted = BTreeMap<(Way, Is, Is), (u64, Vec<Shown>)>;

/// What was changed, and how often.
#[derive(Debug, Default)]
pub(super) struct Changes {
    kept: BTreeMap<Field, Counted>,
    pub(super) unlisted: u64,
}

impl Changes {
    pub(super) fn add(&mut self, way: Way, (field, sent, arrived): Changed, shown: impl FnOnce() -> Shown) {
        let of = self.kept.entry(field).or_default();
        let key = (way, sent, arrived);
        if of.len() >= MOST && !of.contains_key(&key) {
            self.unlisted += 1;
            return;
        }
        let (count, examples) = of.entry(key).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(shown());
        }
    }

    /// The changes, what is no network's business first, the most frequent first.
    pub(super) fn finish(self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (field, of) in self.kept {
            let change = |((way, sent, arrived), (packets, examples))| Change {
                way,
                field,
                sent,
                arrived,
                packets,
                examples,
            };
            changes.extend(of.into_iter().map(change));
        }
        changes.sort_by_key(|change: &Change| (change.field, std::cmp::Reverse(change.packets)));
        changes
    }
}

/// A field, what was sent and what arrived.
pub(super) type Changed = (Field, Is, Is);

/// What differs between a packet as it was sent and as it arrived.
pub(super) fn differences(sent: &Sighting, arrived: &Sighting, mut found: impl FnMut(Changed)) {
    let there = |there: bool| Is::Word(if there { "there" } else { "none" });
    let number = |value: Option<i64>| value.map_or(Is::Word("none"), Is::Number);
    let mut differs = |field, before: Is, after: Is| {
        if before != after {
            found((field, before, after));
        }
    };
    if let (Some(one), Some(other)) = (sent.payload, arrived.payload)
        && one != other
        && sent.kind != Kind::Icmp
    {
        differs(Field::Payload, Is::Word("as sent"), Is::Word("other octets"));
    }
    if let (Some(one), Some(other)) = (sent.segment, arrived.segment) {
        if TcpFlags(one.flags).syn() {
            differs(Field::Mss, number(one.mss.map(i64::from)), number(other.mss.map(i64::from)));
            let scale = |scale: Option<u8>| number(scale.map(i64::from));
            differs(Field::WindowScale, scale(one.window_scale), scale(other.window_scale));
            differs(Field::SackPermitted, there(one.sack_permitted), there(other.sack_permitted));
            let ecn = |flags: u8| match flags & 0xc0 {
                0 => Is::Word("none"),
                0x40 => Is::Word("ECE"),
                0x80 => Is::Word("CWR"),
                _ => Is::Word("ECE and CWR"),
            };
            differs(Field::EcnFlags, ecn(one.flags), ecn(other.flags));
        }
        match (one.stamp, other.stamp) {
            (Some(one), Some(other)) if one != other => {
                differs(Field::Timestamps, Is::Word("there"), Is::Word("rewritten"));
            }
            (one, other) => differs(Field::Timestamps, there(one.is_some()), there(other.is_some())),
        }
    }
    // Of IP versions that differ nothing else is comparable.
    if sent.tuple.source.address.is_ipv4() == arrived.tuple.source.address.is_ipv4() {
        let hops = i64::from(sent.ttl) - i64::from(arrived.ttl);
        differs(Field::Ttl, Is::Less(0), Is::Less(hops));
        differs(Field::DontFragment, there(sent.dont_fragment), there(arrived.dont_fragment));
        let id = |changed: bool| Is::Word(if changed { "rewritten" } else { "as sent" });
        differs(Field::Identification, id(false), id(sent.id != arrived.id));
    }
    let dscp = |class: u8| Is::Number(i64::from(class >> 2));
    differs(Field::Dscp, dscp(sent.traffic_class), dscp(arrived.traffic_class));
    let ecn = |class: u8| {
        Is::Word(match class & 3 {
            0 => "not ECT",
            1 => "ECT(1)",
            2 => "ECT(0)",
            _ => "CE",
        })
    };
    differs(Field::Ecn, ecn(sent.traffic_class), ecn(arrived.traffic_class));
    if sent.tuple != arrived.tuple {
        let other = |before: IpAddr, after: IpAddr| (before != after).then_some((before, after));
        let (one, two) = (sent.tuple, arrived.tuple);
        let source = other(one.source.address, two.source.address);
        let destination = other(one.destination.address, two.destination.address);
        differs(Field::Addresses, Is::Word("as sent"), Is::Translated(source, destination));
    }
    differs(Field::Tunnel, Is::Word(word(&sent.tunnel)), Is::Word(word(&arrived.tunnel)));
}
