//! Queries that the capture holds twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::dns_unanswered::{Question, Tries};
use crate::detect::translations::FORWARDED;
use crate::dissect::{Endpoint, PacketRef};

/// First packets of queries that were recorded before, from another address: forwarded in between, their TTL
/// is of no use where the whole path is one host.
pub(super) fn behind_translation(all: &[((Question, u64), Tries)]) -> BTreeSet<u64> {
    type Copy<'a> = (&'a Endpoint, &'a str, u16, (u16, u16));
    let mut copies: BTreeMap<Copy<'_>, Vec<(PacketRef, IpAddr)>> = BTreeMap::new();
    for (((resolver, client, name, qtype), _), tries) in all {
        let copy = (resolver, name.as_str(), *qtype, tries.query);
        copies.entry(copy).or_default().push((tries.first, *client));
    }
    let mut behind = BTreeSet::new();
    for mut sent in copies.into_values() {
        sent.sort_unstable();
        for pair in sent.windows(2) {
            if let [(first, client), (later, other)] = pair
                && client != other
                && later.time - first.time <= FORWARDED
            {
                behind.insert(later.packet);
            }
        }
    }
    behind
}
