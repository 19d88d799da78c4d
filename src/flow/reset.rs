//! What kind of reset a RST is (RFC 9293 section 3.5.2).

use crate::dissect::Direction;
use crate::flow::ResetClass;
use crate::time::Span;

/// Silence after which a reset answers a forgotten connection. A judgement: half the shortest idle time-out
/// that is common among load balancers and NAT gateways, 60 s.
const IDLE: Span = Span::secs(30);

/// Most payload of a health check, per side. A judgement: one small request and its answer. HAProxy (its
/// issue 560) ends checks with a RST by design.
const PROBE_BYTES: u64 = 512;

/// What was known when the RST came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    pub(super) direction: Direction,
    pub(super) with_ack: bool,
    pub(super) syn_seen: bool,
    pub(super) syn_ack_seen: bool,
    pub(super) established: bool,
    /// A FIN of either side, or a TLS close_notify.
    pub(super) closing: bool,
    pub(super) idle: Span,
    /// Payload bytes that each side sent.
    pub(super) payload: [u64; 2],
    /// Data of each side that the other has not acknowledged.
    pub(super) outstanding: [bool; 2],
    /// The RST has no ACK and the sequence number that the packet before it acknowledged.
    pub(super) mirrors_trigger: bool,
    /// The last data came from the server.
    pub(super) server_spoke_last: bool,
}

pub(super) fn classify(seen: &Circumstances) -> ResetClass {
    let by_client = seen.direction == Direction::ToServer;
    if seen.syn_seen && !seen.syn_ack_seen && !seen.established && !by_client {
        return ResetClass::Refused;
    }
    if seen.syn_ack_seen && !seen.established && by_client {
        return ResetClass::HandshakeAbort;
    }
    if seen.closing {
        return ResetClass::Benign;
    }
    if seen.idle >= IDLE {
        return ResetClass::Idle;
    }
    let [to_server, to_client] = seen.payload;
    let settled = !seen.outstanding[0] && !seen.outstanding[1];
    if by_client && seen.established && settled && to_server.max(to_client) <= PROBE_BYTES {
        return ResetClass::ProbeClose;
    }
    if by_client && seen.server_spoke_last && !seen.outstanding[0] && to_server > 0 {
        return ResetClass::Benign;
    }
    if !seen.with_ack && seen.mirrors_trigger {
        return ResetClass::NoSocket;
    }
    ResetClass::Abort
}
