//! Data that is repeated to a side of which the capture has no packet.

use crate::detect::retransmission::{Cause, Losses, PATIENCE, Retransmission, TRIES, way};
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, TcpFlow};

/// The capture has `direction` only, and what it repeats to the end.
pub(super) fn unheard(flow: &Flow, tcp: &TcpFlow, direction: Direction, book: &mut Book<Retransmission>) {
    let end = tcp.waits.as_ref().and_then(|waits| waits.unanswered[direction.index()]);
    let Some(end) = end.filter(|end| end.tries >= TRIES && end.last.time - end.first.time >= PATIENCE) else {
        return;
    };
    // A SYN is no data. What acknowledges packets that did not pass here is `asymmetric_flow`.
    let asks = tcp.handshake.syn_count > 0 || tcp.side(direction).data_segments == 0;
    if asks || tcp.side(direction.reverse()).acked_progress > 0 {
        return;
    }
    let Some(case) = book.case((flow.server, direction)) else { return };
    case.flow(flow, [end.first, end.last]);
    case.counts.unheard += 1;
    case.counts.unheard_tries += u64::from(end.tries);
    case.counts.unheard_for += end.last.time - end.first.time;
    case.show(0, flow.id, || {
        let last = format!("try {}", end.tries);
        [
            Evidence::new(end.first, Role::Original, format!("{} bytes", end.ip_length)),
            Evidence::new(end.last, Role::Retransmission, last),
        ]
    });
}

/// What that is, when there is nothing else.
pub(super) fn unanswered(server: Endpoint, direction: Direction, counts: &Losses) -> Draft<Cause> {
    let flows = plural(counts.unheard, "connection");
    let tries = plural(counts.unheard_tries, "time");
    let (side, other) = match direction {
        Direction::ToServer => ("client", "server"),
        Direction::ToClient => ("server", "client"),
    };
    let title = format!("Data {} {server} is sent again and again without an answer", way(direction));
    let summary = format!(
        "In {flows} the {side} sent the same data {tries} in all, for {}. The capture holds no packet of the \
         {other} there.",
        counts.unheard_for,
    );
    Draft::new(Cause::Rto, title, summary)
        .severity(Severity::Info)
        .direction(direction)
        .gate(QualityIssue::OneWay.gate(&flows))
        .could_be([
            "the other side is gone or cut off",
            "its packets take another path than this capture point",
        ])
}
