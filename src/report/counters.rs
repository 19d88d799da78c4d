//! Counters of a capture, grouped as `netstat -s` groups those of a host.
//!
//! A host counts what it sends and what it gets. A capture shows packets that pass: each counts once,
//! duplicate observations not at all. What only the host knows (a listen queue that is full) is counted where
//! the packets show it.

use crate::dissect::Direction;
use crate::flow::{Flow, HandshakeOutcome, IcmpError, TcpFlow};
use crate::pipeline::Outcome;

const ICMP: [u8; 2] = [1, 58];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Sums over flows.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    sums: [u64; OF_FLOWS.len()],
}

/// A counter: its group, its name, and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// `ip`, `icmp`, `tcp`, `udp`.
    pub group: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What is counted.
    pub meaning: &'static str,
    /// What a host calls it: the name in `/proc/net/snmp` or `/proc/net/netstat` of Linux, when there is one.
    pub linux: Option<&'static str>,
}

struct OfFlows(Counter, fn(&Flow) -> u64);
struct OfAll(Counter, fn(&Outcome) -> u64);

const fn counter(
    group: &'static str,
    name: &'static str,
    linux: Option<&'static str>,
    meaning: &'static str,
) -> Counter {
    Counter { group, name, meaning, linux }
}

const fn tcp(name: &'static str, linux: &'static str, meaning: &'static str) -> Counter {
    counter("tcp", name, Some(linux), meaning)
}

/// From what is read of all packets, duplicate observations included.
const OF_ALL: [OfAll; 5] = [
    OfAll(
        counter(
            "ip",
            "fragments",
            Some("ReasmReqds"),
            "IP fragments (RFC 791 section 3.2, RFC 8200 section 4.5)",
        ),
        |all| all.fragments.seen,
    ),
    OfAll(
        counter(
            "ip",
            "datagrams reassembled",
            Some("ReasmOKs"),
            "datagrams of which all fragments are there",
        ),
        |all| all.fragments.reassembled,
    ),
    OfAll(
        counter("ip", "reassembly time-outs", Some("ReasmFails"), "datagrams of which fragments are missing"),
        |all| all.fragments.expired,
    ),
    OfAll(
        counter(
            "icmp",
            "messages",
            Some("InMsgs"),
            "all but neighbour solicitations and advertisements; duplicate observations included",
        ),
        |all| all.totals.icmp_packets,
    ),
    OfAll(
        counter("udp", "datagrams", Some("InDatagrams"), "UDP datagrams, duplicate observations included"),
        |all| all.totals.udp_packets,
    ),
];

/// From finished flows.
const OF_FLOWS: [OfFlows; 27] = [
    OfFlows(
        counter("ip", "packets", Some("InReceives"), "packets of flows, without duplicate observations"),
        |flow| flow.halves.iter().map(|half| half.packets).sum(),
    ),
    OfFlows(
        counter("ip", "bytes", Some("InOctets"), "IP bytes of those packets, as their headers say"),
        |flow| flow.halves.iter().map(|half| half.bytes).sum(),
    ),
    OfFlows(
        counter(
            "ip",
            "duplicate observations",
            None,
            "packets recorded twice: no other counter of flows has them",
        ),
        |flow| flow.halves.iter().map(|half| half.copies).sum(),
    ),
    OfFlows(counter("icmp", "errors", None, "ICMP errors about packets of flows"), errors),
    OfFlows(
        counter("icmp", "errors not told apart", None, "of those, the ones behind the first 64 of a flow"),
        |flow| flow.icmp_errors_dropped,
    ),
    OfFlows(
        counter(
            "icmp",
            "destination unreachable",
            Some("InDestUnreachs"),
            "type 3, but for code 4; ICMPv6 type 1",
        ),
        |flow| {
            kinds(flow, |one| {
                if one.icmp.v6 { one.icmp.kind == 1 } else { one.icmp.kind == 3 && one.icmp.code != 4 }
            })
        },
    ),
    OfFlows(
        counter("icmp", "packet too big", Some("InPktTooBigs"), "type 3 code 4 (RFC 1191); ICMPv6 type 2"),
        |flow| {
            kinds(flow, |one| {
                if one.icmp.v6 { one.icmp.kind == 2 } else { one.icmp.kind == 3 && one.icmp.code == 4 }
            })
        },
    ),
    OfFlows(counter("icmp", "time exceeded", Some("InTimeExcds"), "type 11; ICMPv6 type 3"), |flow| {
        kinds(flow, |one| one.icmp.kind == if one.icmp.v6 { 3 } else { 11 })
    }),
    OfFlows(
        counter("icmp", "echo requests", Some("InEchos"), "requests, without duplicate observations"),
        |flow| echoes(flow).map(|one| one.answered + one.lost + one.pending).sum(),
    ),
    OfFlows(
        counter("icmp", "echo requests unanswered", None, "of those, the ones without a reply in time"),
        |flow| echoes(flow).map(|one| one.lost).sum(),
    ),
    OfFlows(tcp("segments", "InSegs", "TCP packets, without duplicate observations"), |flow| {
        match flow.protocol {
            TCP => flow.halves.iter().map(|half| half.packets).sum(),
            _ => 0,
        }
    }),
    OfFlows(tcp("active openings", "ActiveOpens", "connections whose SYN is there"), |flow| {
        of(flow, |tcp| tcp.handshake.syn_count > 0)
    }),
    OfFlows(tcp("passive openings", "PassiveOpens", "connections whose SYN-ACK is there"), |flow| {
        of(flow, |tcp| tcp.handshake.syn_ack_count > 0)
    }),
    OfFlows(tcp("connections established", "CurrEstab", "openings that both sides completed"), |flow| {
        of(flow, |tcp| opened(tcp) && tcp.handshake.outcome.is_open())
    }),
    OfFlows(tcp("failed connection attempts", "AttemptFails", "openings that nobody completed"), |flow| {
        of(flow, |tcp| opened(tcp) && !tcp.handshake.outcome.is_open())
    }),
    OfFlows(tcp("attempts refused", "OutRsts", "of those, the ones answered with RST"), |flow| {
        of(flow, |tcp| tcp.handshake.outcome == HandshakeOutcome::Refused)
    }),
    OfFlows(
        tcp("attempts without an answer", "TCPTimeouts", "of those, the ones with no answer of any kind"),
        |flow| of(flow, |tcp| tcp.handshake.outcome == HandshakeOutcome::Silent),
    ),
    OfFlows(
        tcp(
            "handshake ACKs without effect",
            "ListenDrops",
            "SYN-ACKs sent again after the client's ACK: a full accept queue drops that, or the path does",
        ),
        |flow| of(flow, |tcp| tcp.handshake.outcome == HandshakeOutcome::AckLost),
    ),
    OfFlows(tcp("connections reset", "EstabResets", "connections with a RST that were open"), |flow| {
        of(flow, |tcp| tcp.handshake.outcome.is_open() && !tcp.resets.is_empty())
    }),
    OfFlows(
        tcp(
            "segments retransmitted",
            "RetransSegs",
            "data, SYN, SYN-ACK and FIN sent again, as the capture shows it",
        ),
        |flow| sides(flow, |side| side.data() + side.syn + side.fin),
    ),
    OfFlows(
        tcp("fast retransmits", "TCPFastRetrans", "data sent again after duplicate or selective ACKs"),
        |flow| sides(flow, |side| side.fast),
    ),
    OfFlows(
        tcp("retransmission time-outs", "TCPTimeouts", "expiries of the timer that repeated data shows"),
        |flow| sides(flow, |side| side.time_outs),
    ),
    OfFlows(
        tcp("tail loss probes", "TCPLossProbes", "segments sent again as probes (RFC 8985 section 7)"),
        |flow| sides(flow, |side| side.tail_loss_probe),
    ),
    OfFlows(tcp("SYNs retransmitted", "TCPSynRetrans", "SYNs and SYN-ACKs sent again"), |flow| {
        sides(flow, |side| side.syn)
    }),
    OfFlows(tcp("unneeded retransmissions", "TCPDSACKRecv", "data sent again that had arrived"), |flow| {
        sides(flow, |side| side.spurious)
    }),
    OfFlows(
        tcp("zero windows", "TCPToZeroWindowAdv", "announcements that nothing more can be taken"),
        |flow| flow.tcp.as_deref().map_or(0, |tcp| tcp.sides.iter().map(|side| side.zero_windows).sum()),
    ),
    OfFlows(
        counter(
            "udp",
            "datagrams to a closed port",
            Some("NoPorts"),
            "type 3 code 3 about UDP; ICMPv6 type 1 code 4",
        ),
        |flow| match flow.protocol {
            UDP => {
                kinds(flow, |one| (one.icmp.kind, one.icmp.code) == if one.icmp.v6 { (1, 4) } else { (3, 3) })
            }
            _ => 0,
        },
    ),
];

fn errors(flow: &Flow) -> u64 {
    flow.icmp_errors.len() as u64 + flow.icmp_errors_dropped
}

fn kinds(flow: &Flow, is: impl Fn(&IcmpError) -> bool) -> u64 {
    flow.icmp_errors.iter().filter(|one| is(one)).count() as u64
}

fn echoes(flow: &Flow) -> impl Iterator<Item = &crate::flow::Echoes> {
    flow.echoes.iter().filter(|_| ICMP.contains(&flow.protocol)).flat_map(|both| both.iter())
}

fn opened(tcp: &TcpFlow) -> bool {
    tcp.handshake.syn_count > 0
}

/// One for a flow of TCP for which something holds. What goes on was counted where it began.
fn of(flow: &Flow, holds: impl Fn(&TcpFlow) -> bool) -> u64 {
    u64::from(!flow.continues && flow.tcp.as_deref().is_some_and(holds))
}

fn sides(flow: &Flow, count: impl Fn(&crate::flow::Retransmissions) -> u64) -> u64 {
    let Some(tcp) = flow.tcp.as_deref() else { return 0 };
    Direction::BOTH.into_iter().map(|direction| count(&tcp.side(direction).retransmissions)).sum()
}

impl Counters {
    /// Adds a flow.
    pub fn add(&mut self, flow: &Flow) {
        for (sum, OfFlows(_, count)) in self.sums.iter_mut().zip(&OF_FLOWS) {
            *sum += count(flow);
        }
    }

    /// All counters, by group.
    pub fn list(&self, outcome: &Outcome) -> Vec<(Counter, u64)> {
        let of_flows = OF_FLOWS.iter().zip(self.sums).map(|(OfFlows(counter, _), sum)| (*counter, sum));
        let of_all = OF_ALL.iter().map(|OfAll(counter, count)| (*counter, count(outcome)));
        let mut all: Vec<(Counter, u64)> = of_flows.chain(of_all).collect();
        all.sort_by_key(|(counter, _)| counter.group);
        all
    }
}
