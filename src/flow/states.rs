//! The states of both ends of a TCP connection over time (RFC 9293 section 3.3.2), as far as packets show
//! them: what `ss` and `netstat` would have said on the two hosts.
//!
//! A state changes with the packet that shows it. What ends by a timer ends by that of Linux.

use serde::Serialize;

use crate::dissect::{Direction, PacketRef};
use crate::flow::{End, Flow, HandshakeOutcome, TcpFlow};
use crate::time::{Span, Timestamp};

/// The state of one end of a connection, by the names of `ss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TcpState {
    /// It sent a SYN.
    SynSent,
    /// It answered one.
    SynRecv,
    /// Data can flow.
    Established,
    /// It closed first; its FIN is on its way.
    #[serde(rename = "fin-wait-1")]
    FinWait1,
    /// It closed first; its FIN arrived.
    #[serde(rename = "fin-wait-2")]
    FinWait2,
    /// Both closed at once.
    Closing,
    /// The other end closed; the application of this end has not.
    CloseWait,
    /// It closed second; its FIN is on its way.
    LastAck,
    /// Both closed; it waits for stragglers.
    TimeWait,
}

impl TcpState {
    /// How long an end stays in it at most with nothing arriving, by Linux: six repeats of a SYN
    /// (`tcp_syn_retries`), five of a SYN-ACK (`tcp_synack_retries`), `TCP_TIMEWAIT_LEN`. Other states end by
    /// the application's will or by timers of hours.
    fn limit(self) -> Option<Span> {
        match self {
            Self::SynSent => Some(Span::secs(127)),
            Self::SynRecv => Some(Span::secs(63)),
            Self::TimeWait => Some(Span::secs(60)),
            _ => None,
        }
    }

    /// It sent a FIN.
    fn closed(self) -> Option<Self> {
        Some(match self {
            Self::CloseWait | Self::LastAck => Self::LastAck,
            Self::SynSent | Self::SynRecv | Self::Established => Self::FinWait1,
            other => other,
        })
    }

    /// Its FIN was acknowledged.
    fn acknowledged(self) -> Option<Self> {
        match self {
            Self::FinWait1 => Some(Self::FinWait2),
            Self::Closing => Some(Self::TimeWait),
            Self::LastAck => None,
            other => Some(other),
        }
    }

    /// It got the other's FIN.
    fn informed(self) -> Option<Self> {
        Some(match self {
            Self::SynRecv | Self::Established => Self::CloseWait,
            Self::FinWait1 => Self::Closing,
            Self::FinWait2 => Self::TimeWait,
            other => other,
        })
    }
}

/// Both ends of a connection in one state each, for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatePeriod {
    /// The packet that began it.
    pub from: PacketRef,
    /// When it ended; `None` when it lasted as long as the capture shows.
    pub until: Option<Timestamp>,
    /// Of client and server; `None` for an end that has no connection, or none any more.
    pub ends: [Option<TcpState>; 2],
}

/// What packets show of the ends, in the order in which packets of equal ordinals say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Running,
    Syn,
    SynAck,
    Open,
    FinAcked(Direction),
    Fin(Direction),
    Gone,
}

impl Sign {
    fn apply(self, ends: &mut [Option<TcpState>; 2]) {
        let [client, server] = ends;
        match self {
            Self::Syn => *client = Some(TcpState::SynSent),
            Self::SynAck => *server = Some(TcpState::SynRecv),
            Self::Running | Self::Open => *ends = [Some(TcpState::Established); 2],
            Self::Fin(direction) => {
                let end = &mut ends[direction.index()];
                *end = end.and_then(TcpState::closed);
            }
            Self::FinAcked(direction) => {
                let (own, other) = (direction.index(), direction.reverse().index());
                ends[own] = ends[own].and_then(TcpState::acknowledged);
                ends[other] = ends[other].and_then(TcpState::informed);
            }
            Self::Gone => *ends = [None; 2],
        }
    }
}

impl TcpFlow {
    fn signs(&self, flow: &Flow) -> Vec<(PacketRef, Sign)> {
        let handshake = &self.handshake;
        let sent = Direction::BOTH.map(|direction| self.side(direction));
        let mut signs = Vec::new();
        let mut add = |at: Option<PacketRef>, sign| signs.extend(at.map(|at| (at, sign)));
        let began = handshake.syn_count + handshake.syn_ack_count > 0;
        add((!began && !flow.is_silent()).then_some(flow.first), Sign::Running);
        add(handshake.syns.first().copied(), Sign::Syn);
        add(handshake.syn_acks.first().copied(), Sign::SynAck);
        if began && handshake.outcome.is_open() {
            let data = sent.iter().filter_map(|side| Some(side.transfer?.0));
            let first = data.chain(handshake.ack).min_by_key(|at| at.packet);
            add(first, Sign::Open);
        }
        for (side, direction) in sent.iter().zip(Direction::BOTH) {
            add(side.fin, Sign::Fin(direction));
            add(side.fin_ack, Sign::FinAcked(direction));
        }
        let unreachable = flow.icmp_errors.iter().map(|error| error.at).next();
        add(unreachable.filter(|_| handshake.outcome == HandshakeOutcome::Unreachable), Sign::Gone);
        self.resets.iter().for_each(|reset| add(Some(reset.at), Sign::Gone));
        signs.sort_by_key(|(at, sign)| (at.packet, *sign));
        signs
    }
}

impl Flow {
    /// ICMP errors or resets are all that was captured of it.
    fn is_silent(&self) -> bool {
        self.halves.iter().all(|half| half.packets == 0)
    }

    /// The states of its ends over time, in order; none for other protocols than TCP.
    pub fn states(&self) -> Vec<StatePeriod> {
        let Some(tcp) = self.tcp.as_deref() else { return Vec::new() };
        let mut periods: Vec<StatePeriod> = Vec::new();
        let mut ends = [None; 2];
        for (at, sign) in tcp.signs(self) {
            let before = ends;
            sign.apply(&mut ends);
            if ends == before {
                continue;
            }
            periods.last_mut().into_iter().for_each(|last| last.end(at.time));
            periods.push(StatePeriod { from: at, until: None, ends });
        }
        // A SYN took over its ports.
        let over = Some(self.watched_until).filter(|_| self.end == End::Reused);
        if let Some(last) = periods.last_mut()
            && let Some(end) = over.into_iter().chain(last.given_up()).min()
        {
            last.end(end);
        }
        periods.retain(|period| period.ends != [None; 2] && period.until != Some(period.from.time));
        periods
    }
}

impl StatePeriod {
    fn end(&mut self, time: Timestamp) {
        self.until = Some(time.max(self.from.time));
    }

    /// When the ends forget the connection, if nothing arrives.
    fn given_up(&self) -> Option<Timestamp> {
        // An end without a timer keeps it.
        let limits: Option<Vec<Span>> = self.ends.iter().flatten().map(|state| state.limit()).collect();
        Some(self.from.time + limits?.into_iter().max()?)
    }

    /// It was so at `time`.
    pub fn covers(&self, time: Timestamp) -> bool {
        self.from.time <= time && self.until.is_none_or(|until| time < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{LinkType, RawPacket};
    use crate::dissect::{Endpoint, dissect};
    use crate::flow::Roles;
    use crate::flow::open::new_flow;

    /// A packet at second `ordinal`.
    fn at(ordinal: u64) -> PacketRef {
        PacketRef { packet: ordinal, time: Timestamp(ordinal as i64 * 1_000_000_000) }
    }

    /// Of a connection that opened at 1, 2 and 3: begin, end, client's and server's state.
    fn lives(change: impl FnOnce(&mut Flow, &mut TcpFlow)) -> Vec<String> {
        let raw = RawPacket {
            packet: 1,
            offset: 0,
            time: Some(at(1).time),
            wire: 0,
            interface: 0,
            link_type: LinkType(0xffff),
            start: 0,
            data: &[],
        };
        let end = |port| Endpoint { address: [10, 0, 0, 1].into(), port };
        let mut flow = new_flow(&dissect(&raw), 6, end(40000), end(80), Roles::Handshake);
        flow.halves[0].packets = 1;
        let mut tcp = Box::<TcpFlow>::default();
        tcp.handshake.syns = vec![at(1)];
        tcp.handshake.syn_acks = vec![at(2)];
        (tcp.handshake.syn_count, tcp.handshake.syn_ack_count) = (1, 1);
        tcp.handshake.ack = Some(at(3));
        tcp.handshake.outcome = HandshakeOutcome::Established;
        change(&mut flow, &mut tcp);
        flow.tcp = Some(tcp);
        let second = |time: Timestamp| time.0 / 1_000_000_000;
        let name = |state: Option<TcpState>| {
            state.map_or("-", |state| serde_variant::to_variant_name(&state).unwrap_or("?"))
        };
        let line = |period: &StatePeriod| {
            let until = period.until.map_or("".to_owned(), |until| second(until).to_string());
            let [client, server] = period.ends.map(name);
            format!("{}..{until} {client} {server}", second(period.from.time))
        };
        flow.states().iter().map(line).collect()
    }

    #[test]
    fn a_connection_opens_and_closes_in_the_order_of_the_rfc() {
        let closed = lives(|_, tcp| {
            (tcp.sides[0].fin, tcp.sides[0].fin_ack) = (Some(at(5)), Some(at(6)));
            (tcp.sides[1].fin, tcp.sides[1].fin_ack) = (Some(at(7)), Some(at(8)));
        });
        let expected = [
            "1..2 syn-sent -",
            "2..3 syn-sent syn-recv",
            "3..5 established established",
            "5..6 fin-wait-1 established",
            "6..7 fin-wait-2 close-wait",
            "7..8 fin-wait-2 last-ack",
            "8..68 time-wait -",
        ];
        assert_eq!(closed, expected);
    }

    #[test]
    fn one_packet_may_acknowledge_a_fin_and_bring_another() {
        let closed = lives(|_, tcp| {
            (tcp.sides[1].fin, tcp.sides[1].fin_ack) = (Some(at(5)), Some(at(6)));
            (tcp.sides[0].fin, tcp.sides[0].fin_ack) = (Some(at(6)), Some(at(7)));
        });
        assert_eq!(
            closed[3..],
            ["5..6 established fin-wait-1", "6..7 last-ack fin-wait-2", "7..67 - time-wait"]
        );
    }

    #[test]
    fn both_ends_may_close_at_once() {
        let closed = lives(|_, tcp| {
            (tcp.sides[0].fin, tcp.sides[0].fin_ack) = (Some(at(5)), Some(at(8)));
            (tcp.sides[1].fin, tcp.sides[1].fin_ack) = (Some(at(6)), Some(at(7)));
        });
        let expected = [
            "5..6 fin-wait-1 established",
            "6..7 fin-wait-1 fin-wait-1",
            "7..8 closing fin-wait-2",
            "8..68 time-wait time-wait",
        ];
        assert_eq!(closed[3..], expected);
    }

    #[test]
    fn what_is_left_open_stays() {
        let leak = lives(|_, tcp| (tcp.sides[1].fin, tcp.sides[1].fin_ack) = (Some(at(5)), Some(at(6))));
        assert_eq!(leak[3..], ["5..6 established fin-wait-1", "6.. close-wait fin-wait-2"]);
        assert_eq!(lives(|_, _| {})[2..], ["3.. established established"]);
        let running = lives(|_, tcp| tcp.handshake = Default::default());
        assert_eq!(running, ["1.. established established"]);
        let reused = lives(|flow, _| (flow.end, flow.watched_until) = (End::Reused, at(9).time));
        assert_eq!(reused[2..], ["3..9 established established"]);
    }

    #[test]
    fn what_nobody_answers_is_forgotten() {
        let silent = lives(|_, tcp| {
            tcp.handshake.syn_acks.clear();
            (tcp.handshake.syn_ack_count, tcp.handshake.ack) = (0, None);
            tcp.handshake.outcome = HandshakeOutcome::Silent;
        });
        assert_eq!(silent, ["1..128 syn-sent -"]);
        let half_open = lives(|_, tcp| {
            tcp.handshake.ack = None;
            tcp.handshake.outcome = HandshakeOutcome::HalfOpen;
        });
        assert_eq!(half_open[1..], ["2..129 syn-sent syn-recv"]);
    }

    #[test]
    fn a_reset_ends_both() {
        let reset = lives(|_, tcp| {
            tcp.sides[0].fin = Some(at(5));
            tcp.resets.push(crate::flow::Reset { at: at(6), ..reset() });
        });
        assert_eq!(reset[2..], ["3..5 established established", "5..6 fin-wait-1 established"]);
    }

    fn reset() -> crate::flow::Reset {
        crate::flow::Reset {
            at: at(0),
            direction: Direction::ToServer,
            class: crate::flow::ResetClass::Refused,
            with_ack: true,
            seq: crate::dissect::Seq(0),
            ttl: 64,
            ip_id: 0,
            window: 0,
            ahead: false,
            went_on: None,
            trigger: None,
            idle: Span::ZERO,
            count: 1,
        }
    }
}
