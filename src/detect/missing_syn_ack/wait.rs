//! How long connections took to open, and whether packets were lost or held back meanwhile.

use crate::detect::missing_syn_ack::Attempts;
use crate::detect::*;
use crate::dissect::{Direction, PacketRef};
use crate::flow::{Handshake, TcpFlow};
use crate::time::Span;

/// What explains answers that all come, and late.
pub(super) const HELD: &[&str] = &[
    "the path holds packets back for seconds: a full queue, a radio link, a fail-over",
    "the server's host is paused at times",
];

/// From the first SYN to the end of the handshake: the client's ACK, or the SYN-ACK after an ACK that the
/// server did not get. A client that repeated its SYN waited for the SYN-ACK that it acknowledged.
pub(super) fn opened_after(tcp: &TcpFlow, first: PacketRef) -> Span {
    let handshake = &tcp.handshake;
    let asked_once = handshake.syn_count == 1;
    let replies = handshake.syn_acks.iter().filter(|reply| asked_once && is_needed(tcp, reply));
    let ends = replies.chain(&handshake.ack).map(|at| at.time - first.time);
    ends.chain(handshake.connect_time).max().unwrap_or(Span::ZERO)
}

/// The SYN-ACK came before the client acknowledged one, or when the server should have had the ACK: a round
/// trip later, and without data of the server before it.
pub(super) fn is_needed(tcp: &TcpFlow, reply: &PacketRef) -> bool {
    let Some(ack) = tcp.handshake.ack else { return true };
    let trip = tcp.handshake.connect_time.unwrap_or(Span::ZERO);
    let served = tcp.side(Direction::ToClient).transfer.is_some_and(|(data, _)| data.time < reply.time);
    reply.time < ack.time || reply.time - ack.time >= trip && !served
}

/// A SYN-ACK came for each SYN, `late` after it. None is a repeat by the server's timer, which begins with a
/// second and doubles (RFC 6298 sections 2 and 5.5): so many would take longer, or no SYN went for as long.
pub(super) fn is_held_back(handshake: &Handshake, late: Span) -> bool {
    let (syns, replies) = (&handshake.syns, &handshake.syn_acks);
    let answered = handshake.syn_count > 1 && replies.len() >= syns.len();
    let [Some(first), Some(last)] = [replies.first(), replies.get(syns.len().saturating_sub(1))] else {
        return false;
    };
    let pairs = syns.iter().zip(replies);
    let timer = Span::secs((1 << syns.len().saturating_sub(1)) - 1);
    let paused = syns.last().is_some_and(|syn| first.time - syn.time >= late);
    answered
        && pairs.into_iter().all(|(syn, reply)| reply.time - syn.time >= late)
        && (paused || last.time - first.time < timer)
}

/// How long the slowest answer took that was held back.
pub(super) fn slowest(case: &Case<Attempts>) -> Span {
    Span(case.counts.slowest[0].get().min(i64::MAX as u64) as i64)
}

/// All of them were.
pub(super) fn is_held(case: &Case<Attempts>) -> bool {
    case.counts.held_back > 0 && case.counts.held_back == case.flows()
}
