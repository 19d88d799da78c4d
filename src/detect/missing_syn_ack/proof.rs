//! The frames of an attempt, and what they and the capture leave possible.

use crate::detect::missing_syn_ack::{Attempts, MissingSynAck};
use crate::detect::*;
use crate::dissect::PacketRef;
use crate::flow::Handshake;

/// What the digests in the frames make possible: a host discards a segment that it cannot verify, and says
/// nothing (RFC 2385 section 3, RFC 5925 section 7.4).
pub(super) fn keys(counts: &Attempts) -> Option<&'static str> {
    match counts {
        Attempts { authenticated_by_one: 1.., .. } => Some(
            "TCP-MD5 or TCP-AO: one side signs its segments and the other does not, so they are discarded",
        ),
        Attempts { authenticated: 1.., .. } => {
            Some("TCP-MD5 or TCP-AO: the server has another key, or none, and discards the SYN")
        }
        _ => None,
    }
}

/// The SYNs, and what answered them.
pub(super) fn evidence(handshake: &Handshake, first: PacketRef) -> Vec<Evidence> {
    let after = |at: &PacketRef, of: &str| format!("{} after the first{of}", at.time - first.time);
    let syn = |syn: &PacketRef| match *syn == first {
        true => Evidence::new(*syn, Role::Syn, ""),
        false => Evidence::new(*syn, Role::Syn, after(syn, "")),
    };
    let syns = handshake.syns.iter().map(syn);
    let replies =
        handshake.syn_acks.iter().map(|reply| Evidence::new(*reply, Role::SynAck, after(reply, " SYN")));
    syns.chain(replies).collect()
}

/// Where connections open without a SYN-ACK in the capture, a missing one says little.
pub(super) fn unseen_replies(book: &Book<MissingSynAck>) -> Option<Gate> {
    let (mut opened, mut unseen) = (0, 0);
    for (_, _, total) in book.totals() {
        opened += total.opened;
        unseen += total.reply_unseen;
    }
    let numbers = format!("{unseen} of {} opened without one", plural(opened, "connection"));
    (unseen * 10 > opened).then(|| Gate {
        prevents: format!(
            "SYN-ACKs are missing from the capture ({numbers}): an answer can be missing here, too"
        ),
        ..QualityIssue::OneWay.gate("")
    })
}
