//! What kind of reset a RST is (RFC 9293 section 3.5.2).

use serde::{Deserialize, Serialize};

use crate::dissect::{Direction, PacketRef, Seq};
use crate::flow::TcpFlow;
use crate::time::Span;

/// Silence after which a reset answers a forgotten connection. A judgement: half the shortest idle time-out
/// that is common among load balancers and NAT gateways, 60 s.
const IDLE: Span = Span::secs(30);

/// Most payload of a health check, per side. A judgement: one small request and its answer. HAProxy (its
/// issue 560) ends checks with a RST by design.
const PROBE_BYTES: u64 = 512;

/// Why a connection was reset (RFC 9293 section 3.5.2, RFC 1122 section 4.2.2.13, RFC 2525 section 2.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetClass {
    /// The answer to a SYN.
    Refused,
    /// The client's answer to a SYN-ACK.
    HandshakeAbort,
    /// By the opener after at most one small exchange, as health checks of load balancers do.
    ProbeClose,
    /// By a live socket, with the peer's data unread or unacknowledged (RFC 2525 section 2.17).
    Abort,
    /// After a FIN or a TLS close_notify, or by the client after a whole response: nothing was lost.
    Benign,
    /// On the first packet after a long silence.
    Idle,
    /// By a host that knows no such connection: no ACK flag, and the sequence number is the ACK number of the
    /// packet before (RFC 9293 section 3.10.7.1).
    NoSocket,
}

impl ResetClass {
    /// The reset cost something: it did not follow the end, close a probe or give up a handshake.
    pub fn is_harmful(self) -> bool {
        !matches!(self, Self::Benign | Self::ProbeClose | Self::HandshakeAbort)
    }

    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::HandshakeAbort => "handshake_abort",
            Self::ProbeClose => "probe_close",
            Self::Abort => "abort",
            Self::Benign => "benign",
            Self::Idle => "idle",
            Self::NoSocket => "no_socket",
        }
    }
}

/// A reset of a connection. Several RSTs of one side are one reset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reset {
    /// The first RST.
    pub at: PacketRef,
    /// Who sent it (by its addresses).
    pub direction: Direction,
    /// Its class.
    pub class: ResetClass,
    /// It had the ACK flag.
    pub with_ack: bool,
    /// Its sequence number.
    pub seq: Seq,
    /// Its TTL.
    pub ttl: u8,
    /// Its IP identification.
    pub ip_id: u16,
    /// Its window, as in the header.
    pub window: u16,
    /// A RST of this side has a sequence number beyond all that the side had sent, and the other side had
    /// acknowledged.
    pub ahead: bool,
    /// The side sent more after its RST: the first packet with bytes beyond the RST's number.
    pub went_on: Option<PacketRef>,
    /// The packet it answers, when one of the other side came just before.
    pub trigger: Option<PacketRef>,
    /// Silence of the connection before the trigger (or before the RST when there is none).
    pub idle: Span,
    /// RSTs of this side in the flow.
    pub count: u32,
}

impl Reset {
    /// The TTL is not that of its sender's other segments in the connection. Load balancing over equal paths
    /// shifts one by one or two.
    pub fn has_other_ttl(&self, tcp: &TcpFlow) -> bool {
        const HOPS: u8 = 2;
        tcp.side(self.direction).ttl.is_some_and(|(least, most)| {
            !(least.saturating_sub(HOPS)..=most.saturating_add(HOPS)).contains(&self.ttl)
        })
    }
}

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
