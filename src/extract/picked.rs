//! The packets chosen for an incident, and why each of them is there.

use std::collections::BTreeMap;

use super::{Again, ExtractError, Packet};
use crate::detect::Role;
use crate::dissect::FiveTuple;
use crate::time::Timestamp;

/// How near a packet is to the proof. The nearer ones are kept when not all find room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// A finding cites it.
    Proof,
    /// Beginning or end of a conversation that a finding cites, or an ICMP error about it.
    Opening,
    /// The rest of such a conversation, the packets near the proof first.
    Conversation,
    /// Another flow that a finding counts.
    Flow,
    /// Other traffic of the same clients or services: what the failing is compared with.
    Service,
    /// Recorded near the proof.
    Neighbour,
    /// A few flows of others, and the ends of the capture: what works elsewhere, and how long was watched.
    Elsewhere,
}

impl Tier {
    /// What the packet is to the incident.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proof => "proof",
            Self::Opening => "start or end of the same conversation",
            Self::Conversation => "same conversation",
            Self::Flow => "another flow of the incident",
            Self::Service => "same client or service",
            Self::Neighbour => "recorded near the proof",
            Self::Elsewhere => "other traffic of the capture",
        }
    }
}

/// What a packet is to a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cite {
    /// Id of the finding.
    pub finding: String,
    /// Its detector, with the variant in brackets.
    pub rule: String,
    /// What the packet is to it.
    pub role: Role,
    /// The fields that matter.
    pub fields: String,
    /// When the packet was captured.
    pub time: Timestamp,
}

/// The packets chosen for an incident or a finding.
#[derive(Clone, Debug, Default)]
pub struct Picked {
    /// Id of the incident or the finding.
    pub id: String,
    /// By ordinal: how near to the proof.
    pub packets: BTreeMap<u64, Tier>,
    /// By ordinal: to which findings it is what.
    pub cites: BTreeMap<u64, Vec<Cite>>,
    /// The conversation that decides: the one with the most proof of the root.
    pub deciding: Option<FiveTuple>,
    /// Packets that would have belonged to it and found no room.
    pub left_out: u64,
}

impl Picked {
    /// Most packets of an incident.
    pub const PACKETS: usize = 20_000;
    /// Most captured bytes of them.
    pub const BYTES: u64 = 16 << 20;
    /// Packets of other traffic, the same for all incidents, on top of that.
    pub const ELSEWHERE: usize = 1_000;
    /// Most captured bytes of those.
    pub const ELSEWHERE_BYTES: u64 = 1 << 20;
}

/// Gives `each` the packets of all of `picked` in capture order, with the place in `picked` of the one that
/// chose it.
///
/// # Errors
/// When an input cannot be read again, was changed, or `each` fails.
pub fn each_picked(
    again: &Again,
    picked: &[Picked],
    mut each: impl FnMut(usize, &Picked, &Packet<'_>) -> Result<(), ExtractError>,
) -> Result<(), ExtractError> {
    let mut ordinals: Vec<u64> = picked.iter().flat_map(|one| one.packets.keys()).copied().collect();
    ordinals.sort_unstable();
    ordinals.dedup();
    again.these(&ordinals, |packet| {
        for (place, one) in picked.iter().enumerate() {
            if !one.packets.contains_key(&packet.raw.packet) {
                continue;
            }
            let cites = one.cites.get(&packet.raw.packet).and_then(|cites| cites.first());
            let changed = packet.raw.time.zip(cites).is_some_and(|(time, cite)| time != cite.time);
            if changed {
                return Err(ExtractError::Changed { name: packet.name.to_owned(), frame: packet.frame });
            }
            each(place, one, packet)?;
        }
        Ok(())
    })
}
