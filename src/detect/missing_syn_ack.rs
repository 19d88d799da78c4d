//! # What it finds
//! Connections that a client asked for and that did not open, although nothing refused them: no answer, an
//! answer that did not arrive, or one that came only after the client had asked again.
//!
//! # Why it matters
//! A client waits 1, 3, 7 ... seconds, up to two minutes, before it gives up. Users see a hang and no error.
//!
//! # How it decides
//! `silent`: SYNs without SYN-ACK, RST or ICMP error. The client asked again `patience` after the first one
//! or later, or the capture goes on for as long after the last one. And the capture holds other packets of
//! the host, or packets for the client's network: without any, an answer may have passed elsewhere. It did
//! not reach a client that asks three times and more: those attempts count, a warning at most, when they
//! are to few hosts and services, and no connection opened without its SYN-ACK.
//! `lost_return`: SYN-ACKs were seen, and the client repeated its SYN all the same. `ack_lost`: the server
//! repeated its SYN-ACK after the client's ACK. `late`: opened after a repeat of SYN or SYN-ACK, at least
//! `late` after the first SYN, and later than the round trips of the connection explain. A SYN-ACK that left
//! before the ACK could arrive, or behind data of the server, is no such repeat.
//! Where every SYN got a SYN-ACK of its own, packets were held back and not lost; of several hosts of one
//! client at the same time that is one finding. Neither side sent a byte, and the server repeated its SYN-ACK
//! `late` after the ACK: that is `ack_lost`, too, and information where others of the service opened.
//! `cut_off`: hosts of several networks beyond its link are silent to an IPv6 address, which got no packet
//! and no ICMP error from there. It is on the link: its packets have the hop limit that hosts begin with, or
//! go to its own network. And the capture holds other packets to its link address. That is one finding,
//! whatever was asked for.
//!
//! Its severity follows from the connections whose client repeated its SYN. A single SYN is information, and
//! so are SYN-ACKs that the server sent at once and had to repeat. Clients that ask beyond their link from
//! link-local addresses are a warning at most, and so is `cut_off`. So is one client that goes on asking a
//! host that is not heard, on a port that no service is known by, while other connections of it open: how
//! often a program asks in the background says nothing.
//!
//! # What it leaves alone
//! - Refused and unreachable connections: those are answers (see `connection_refused`).
//! - Five SYNs of one connection and more, less than 200 ms apart: a program makes them, and nobody waits.
//! - Connections whose later packets show that the SYN-ACK existed.
//! - An IPv6 attempt that its client gave up because an IPv4 one to the same port opened meanwhile (RFC
//!   8305).
//! - A port that an earlier connection still used.
//! - SYNs with the low TTLs of a route trace.
//! - Everything that time tells, when the clock of the capture stepped back by more than a minute.
//! - Connections whose data was never acknowledged, either (see `asymmetric_flow`).
//! - Silent ports of one host, several silent hosts of one client, those of one network that offer the same,
//!   or services that answer it late are one finding; three silent hosts of one network are, three that would
//!   be warned of each, and three that answer late. It is information when a client tries many ports of few
//!   hosts, one address after the other, or addresses all over the Internet once each, or does not repeat its
//!   SYNs; not when it comes back to each several times.
//! - Ports that no service is known by: a single try of one client there is information, and so are tries
//!   from one port of the client, on which it is a peer itself, several ports of one host that it tries once
//!   each, as in port knocking, and peers that are gone. FTP and RPC agree on such ports: what a client tries
//!   on a host that it has another connection to counts. Peers that Windows looks for on port 7680
//!   (Delivery Optimization) are information, and so are devices that call back for its events on ports 2869
//!   (UPnP) and 5357 (WSD).
//! - Late connections of a service that is silent to others, or whose name has another address that is:
//!   one finding warns of both. So does that of late services of what their client tried twice at most in
//!   vain meanwhile. Two silent addresses of one name are one finding,
//!   so are an IPv4 address and the one that a translator has for it (RFC 6052).
//! - SYNs without MSS option (RFC 9293 section 3.7.1), which a program makes, as for a flood from false
//!   addresses. SYNs to the metadata of a cloud that is not heard are information.
//! - A host that tries a service from all of its addresses (RFC 8445) and opens it from one. A capture that
//!   holds packets from 192.0.0.0/29 (RFC 7335) was made on that host. Information.
//! - Several services of a living host that one client asks without insisting, and nothing of which it opens:
//!   it looks for what the host offers.
//!
//! # What it does not claim
//! Which device dropped the packets, or that any did: the capture shows only what passed it.
//!
//! # References
//! RFC 9293 section 3.10.7; RFC 6298 section 2; RFC 8305 section 5; RFC 2385 section 3 and RFC 5925 section
//! 7.4 (what cannot be verified is discarded); RFC 6052 section 2.1; RFC 7335; RFC 8445
//! section 5.1.1.

mod line;
mod need;
mod proof;
mod sweeps;
mod unused;
mod wait;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detect::missing_syn_ack::line::lines;
use crate::detect::missing_syn_ack::need::{
    SPARE, agreed_ports, asked_again, asks_from_link_local, end_races, is_metadata, is_one_of_many, is_poll,
    is_spare, is_stray, is_unheard, outpaces_clients, traces_route,
};
use crate::detect::missing_syn_ack::proof::{evidence, keys, silent_port, unseen_replies};
use crate::detect::missing_syn_ack::sweeps::{
    are_kin, client_sweep, cut_off, cut_off_clients, insists, lost, namesakes, neighbour, neighbours, waited,
    warned_hosts,
};
use crate::detect::missing_syn_ack::unused::{UNUSED, is_unused, unused_clients, unused_severity};
use crate::detect::missing_syn_ack::wait::{HELD, is_held, is_held_back, is_needed, opened_after, slowest};
use crate::detect::ports::is_callback;
use crate::detect::races::Races;
use crate::detect::scope::{is_site_local, network};
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{EventKind, Flow, HandshakeOutcome, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts connection attempts by service and by what became of them.
    struct MissingSynAck {
        patience: Span = 1.0 "s",
            "how long a SYN must go without an answer before silence means something",
            "RFC 6298 section 2.1: the initial retransmission time-out";
        late: Span = 1.0 "s",
            "connect time with at least one repeated SYN, from which it is late",
            "RFC 6298 section 2.1: one repeat of the SYN";
        sweep: u64 = 15.0 "services",
            "silent services of one client or one host, from which they are one finding",
            "Zeek's scan policy, 15 ports";
    }
}

variants! {
    /// What became of an attempt.
    enum Outcome {
        Silent "silent" Critical {
            could_be: SILENT_HOST,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        CutOff "cut_off" Warning {
            could_be: &[
                "the network announces IPv6 and has no way out for it",
                "a filter, or the device that shares its connection, drops IPv6",
                "the client's address is one of a network that it left",
            ],
            next: &[
                "look at the client's addresses and routes: ip -6 addr, ip -6 route",
                "capture at the next router: do the packets leave it, and does anything come back?",
            ],
            not_claimed: &["where the packets are lost", "that the services are down"],
            doubted_by: &[QualityIssue::Drops],
        }
        LostReturn "lost_return" Critical {
            could_be: ONE_WAY,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        AckLost "ack_lost" Critical {
            could_be: ONE_WAY,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        Late "late" Warning {
            could_be: &["single packets are lost", "the accept queue is full at times"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

const SILENT_HOST: &[&str] = &[
    "a filter drops the SYN or its answer",
    "no route, or no neighbour, beyond the capture point",
    "the host is down, or its accept queue is full",
    "the answer takes another path than this capture point",
];
/// What explains SYNs from addresses of the link.
const LINK_LOCAL: &str =
    "the client has no global address, and nobody routes link-local ones (RFC 4291 section 2.5.6)";
const ONE_WAY: &[&str] = &[
    "packets in one direction are dropped behind the capture point",
    "a stateful device saw one direction only",
];
/// What explains SYNs to Windows from a router or a printer.
const CALLBACK: &str = "a device has news for a subscriber (UPnP, WSD) that filters them or is gone";
/// What explains SYNs to the address of a cloud's metadata.
const METADATA: &str = "a program looks whether it runs in a cloud, and it does not";
const NEXT: &[&str] = &[
    "capture at the server at the same time: does the SYN arrive, does an answer leave?",
    "try another port and another client",
];
const NOT_CLAIMED: &[&str] = &["which device drops the packets", "that the service is down"];

counts! {
    /// What a case counts beside its flows.
    struct Attempts {
        syns: u64,
        /// Connections whose client asked again.
        repeated: u64,
        /// Connections whose SYN has a digest, of TCP-MD5 or TCP-AO.
        authenticated: u64,
        /// Of those, the ones whose SYN-ACK has none, or the other way round.
        authenticated_by_one: u64,
        /// Connections from a port of the client that asked the same before.
        again: u64,
        /// Late ones that the server had answered at once.
        answered: u64,
        /// Late ones of which nothing was lost.
        held_back: u64,
        /// Acknowledged ones that never carried a byte.
        unused: u64,
        /// The longest wait for a SYN-ACK of those held back, nanoseconds.
        slowest: [Most; 1],
    }
}

counts! {
    /// What is counted of every attempt, whatever became of it.
    struct Opened {
        opened: u64,
        /// Of those, the ones whose SYN-ACK is not in the capture.
        reply_unseen: u64,
    }
}

merged! {
    /// What it keeps beside its cases.
    pub(super) struct Notes {
        races: Races<Attempts>,
        /// Hosts that clients ask again and again, and no packet of which, nor one for the clients, is in the
        /// capture.
        unheard: Distinct<IpAddr, { HOSTS as usize }>,
        /// Ports on which peers of an application agree.
        agreed: Distinct<u16, 8>,
        /// Services that clients asked again and again, and that are findings of their own; late ones of
        /// the same name.
        silent: Distinct<Endpoint, 512>,
        /// Services whose SYNs were repeated, and refused at last: connection_refused warns of that.
        given_up: Distinct<Endpoint, 64>,
        /// Connections that began before the capture, and one direction of which is not in it.
        one_way: u64,
    }
}

/// Silent services of one host, from which they are one finding.
const SEVERAL: u64 = 2;

/// Silent services of a host that one client looks for, from which it is a discovery: a router asks for three
/// protocols of printers (515, 631, 9100). A judgement.
const LOOKS: u64 = 3;

/// Silent hosts that one client asks, from which they are one finding.
const HOSTS: u64 = 5;

/// What stands beside a finding about a host that is not heard at all.
const UNHEARD: &str = "the capture holds no packet of the host";

/// Linux and Windows send three SYNs and more before they give up.
const PERSISTENT: u64 = 3;

impl Detector for MissingSynAck {
    const RULE: Rule = Rule {
        name: "missing_syn_ack",
        group: Group::Tcp,
        summary: "connections that were asked for and neither opened nor refused in time",
        judges: "flows",
        variants: Outcome::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("missing_syn_ack.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[
        Explains::by(Meet::Service, &["retransmission"]).when(&["silent", "cut_off"]),
        // A resolver that is silent over TCP, too.
        Explains::by(Meet::Service, &["dns_unanswered"]).when(&["silent"]),
        // It is so for all of the capture.
        Explains::by(Meet::Clients, &["dns_unanswered", "echo_loss"])
            .when(&["cut_off"])
            .within(Span::secs(86_400)),
        Explains::by(Meet::Upstream, &["http_error"]),
    ];
    type Variant = Outcome;
    type Key = (Endpoint, Outcome);
    type Counts = Attempts;
    type Total = Opened;
    type Notes = Notes;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let handshake = &tcp.handshake;
        let Some((first, last)) = handshake.syns.first().zip(handshake.syns.last()) else {
            book.notes.one_way += u64::from(flow.is_one_way());
            return book.not_judged("began before the capture");
        };
        let silent = handshake.outcome == HandshakeOutcome::Silent;
        // Not all SYNs are kept; where nothing else was said, the last packet is one.
        let more = silent && handshake.syn_count as usize > handshake.syns.len();
        let last = if more { &flow.last } else { last };
        let repeated = handshake.syn_count > 1 && last.time - first.time >= self.patience;
        if silent && !repeated && flow.watched_until - last.time < self.patience {
            return book.not_judged("the capture ended too soon after the SYN");
        }
        if silent && tcp.history.contains('Q') {
            return book.not_judged("SYNs with a FIN, which only scanners send");
        }
        if silent && handshake.options[0].is_some_and(|options| options.mss.is_none()) {
            return book.not_judged("SYNs without MSS, which a program makes and no TCP");
        }
        if silent && traces_route(flow, handshake) {
            return book.not_judged("SYNs with the TTLs of a route trace");
        }
        let opens = handshake.outcome == HandshakeOutcome::Established;
        if !opens && outpaces_clients(handshake, last.time - first.time) {
            return book.not_judged("SYNs repeated faster than any client repeats them");
        }
        if handshake.outcome == HandshakeOutcome::HalfOpen {
            return book.not_judged("answered, and the client never went on");
        }
        let unseen = handshake.outcome == HandshakeOutcome::ReplyUnseen;
        let opened = unseen || handshake.outcome == HandshakeOutcome::Established;
        if let Some(total) = book.judged(&flow.server) {
            total.opened += u64::from(opened);
            total.reply_unseen += u64::from(unseen);
        }
        if opened {
            book.notes.races.opened(flow, first.time);
        }
        let waited = match opened {
            true => opened_after(tcp, *first),
            // Until the last packet of the handshake, whoever sent it.
            false => {
                handshake.syn_acks.last().map_or(last.time, |reply| reply.time.max(last.time)) - first.time
            }
        };
        let trips = tcp.sides.iter().filter_map(|side| side.min_rtt);
        let trips = trips.fold(Span::ZERO, |sum, trip| Span(sum.0.saturating_add(trip.0)));
        if handshake.outcome == HandshakeOutcome::Refused && handshake.syn_count > 1 && waited >= self.late {
            book.notes.given_up.add(flow.server);
        }
        let Some(outcome) = self.outcome(tcp, waited, trips) else { return };
        if outcome == Outcome::AckLost && tcp.side(Direction::ToServer).data_segments > 0 {
            return; // Its data was not acknowledged, either: asymmetric_flow says so.
        }
        let case = if silent && handshake.syn_count == 1 && flow.client.address.is_ipv6() {
            book.notes.races.ran(flow, first.time)
        } else {
            book.case((flow.server, outcome))
        };
        let Some(case) = case else { return };
        // What is late is over when the connection is open.
        let open = handshake.ack.filter(|_| outcome == Outcome::Late);
        case.flow(flow, [*first, open.unwrap_or(flow.last)]);
        let unused = outcome == Outcome::AckLost && is_unused(tcp, self.late);
        case.failed += u64::from(outcome != Outcome::Late && !unused);
        case.lost += waited;
        case.counts.syns += u64::from(handshake.syn_count);
        case.counts.repeated += u64::from(asked_again(handshake, last.time - first.time));
        case.counts.again += u64::from(tcp.events.iter().any(|event| event.kind == EventKind::PortReuse));
        let [asked, answered] = handshake.options.map(|options| options.map(|known| known.authenticated));
        case.counts.authenticated += u64::from(asked == Some(true));
        case.counts.authenticated_by_one +=
            u64::from(answered.is_some_and(|answered| asked != Some(answered)));
        let at_once = handshake.connect_time.is_some_and(|time| time < self.late);
        case.counts.answered += u64::from(outcome == Outcome::Late && at_once);
        case.counts.unused += u64::from(unused);
        if outcome == Outcome::Late && is_held_back(handshake, self.late) {
            case.counts.held_back += 1;
            let time = handshake.connect_time.unwrap_or(Span::ZERO);
            case.counts.slowest[0].add(time.0.unsigned_abs());
        }
        case.show(waited.0.saturating_neg(), flow.id, || evidence(handshake, *first));
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        end_races(book);
        if !context.keeps_time() {
            let timed = book.take(|(_, outcome), _| matches!(outcome, Outcome::Silent | Outcome::Late));
            let flows = timed.iter().map(|(_, case)| case.flows()).sum();
            book.not_judged_many("the clock of the capture steps back", flows);
        }
        book.notes.agreed = agreed_ports(book);
        let heard = context.heard;
        let without = cut_off_clients(book, heard);
        let cut_off_by = book.group(1, |(_, outcome), case| {
            let client = case.affected.clients.only().filter(|_| *outcome == Outcome::Silent);
            client.copied().filter(|client| without.contains(client))
        });
        let receivers = heard.receivers();
        let unheard = |(server, outcome): &Self::Key, case: &Case<Attempts>| {
            let answers = || {
                let networks = case.affected.clients.iter().map(|client| network(*client));
                let beside = networks.filter_map(|network| receivers.get(&network)).flatten();
                beside.into_iter().any(|address| *address != server.address)
            };
            *outcome == Outcome::Silent && !heard.sent(server.address) && !answers()
        };
        let (mut hosts, mut services) = (Distinct::default(), 0);
        book.cases().filter(|(key, case)| unheard(key, case)).for_each(|((server, _), _)| {
            hosts.add(server.address);
            services += 1;
        });
        // Many would be a dark network, a scan, or a capture of one direction.
        let one_way = book.notes.one_way > 0 || book.totals().any(|(.., total)| total.reply_unseen > 0);
        let told = hosts.count() < HOSTS && services < self.sweep && !one_way;
        let unheard = book.take(|key, case| unheard(key, case) && !(told && insists(case)));
        if told {
            book.notes.unheard = hosts;
        }
        let flows = unheard.iter().map(|(_, case)| case.flows()).sum();
        book.not_judged_many("no packet of the host, and none for the client, is in the capture", flows);
        let silent = |key: &(Endpoint, Outcome)| key.1 == Outcome::Silent;
        let asked_by =
            book.group(self.sweep, |key, case| case.affected.clients.only().copied().filter(|_| silent(key)));
        let peers = book.group(HOSTS, |key, case| {
            case.affected.clients.only().copied().filter(|_| silent(key) && is_stray(key.0, case, heard))
        });
        let mut hosts: BTreeMap<IpAddr, BTreeMap<IpAddr, u64>> = BTreeMap::new();
        for (key, case) in book.cases().filter(|(key, _)| silent(key)) {
            if let Some(client) = case.affected.clients.only() {
                *hosts.entry(*client).or_default().entry(key.0.address).or_default() += 1;
            }
        }
        // Many ports of one host are about that host.
        hosts.values_mut().for_each(|hosts| hosts.retain(|_, ports| *ports < HOSTS));
        hosts.retain(|_, hosts| hosts.len() as u64 >= HOSTS || are_kin(hosts));
        let on_hosts = book.group(1, |key, case| {
            let client = case.affected.clients.only().filter(|_| silent(key))?;
            hosts.get(client).is_some_and(|hosts| hosts.contains_key(&key.0.address)).then_some(*client)
        });
        let (names, addresses) = (heard.answers.names(), context.hosts);
        let on_few = warned_hosts(self, book, context);
        let beside = book.group(SEVERAL, |key, case| neighbour(key, case, addresses));
        let beside: Vec<_> = beside.into_iter().map(|group| neighbours(group, book, heard)).collect();
        let on_host = book.group(SEVERAL, |key, _| Some(key.0.address).filter(|_| silent(key)));
        let on_host: Vec<_> = on_host.into_iter().map(|group| self.host_sweep(group, book, heard)).collect();
        let lost = lost(book, &names, &on_few);
        let alike = namesakes(book, &names, addresses);
        let named = book.group(SEVERAL, |key, _| alike.get(&key.0).filter(|_| silent(key)).cloned());
        let named: Vec<_> = named.into_iter().map(|group| neighbours(group, book, heard)).collect();
        let lines = lines(book, heard, addresses);
        let unused = unused_clients(book);
        book.notes.silent = lost;
        asked_by
            .into_iter()
            .chain(peers)
            .chain(on_hosts)
            .map(|group| client_sweep(group, book))
            .chain(on_few)
            .chain(beside)
            .chain(named)
            .chain(on_host)
            .chain(cut_off_by.into_iter().map(cut_off))
            .chain(lines)
            .chain(unused)
            .collect()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Attempts>,
        book: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Outcome>> {
        let (server, outcome) = *key;
        let mut opened = book.total(&server).1.map_or(0, |total| total.opened);
        if outcome == Outcome::Late {
            // Those that opened late are no contrast to themselves.
            opened = opened.saturating_sub(case.flows());
        }
        let attempts = plural(case.flows() + opened, "connection attempt");
        // The server answered each of them at once.
        let unlucky = outcome == Outcome::Late && case.counts.answered == case.flows();
        let unused = case.counts.unused == case.flows();
        // What the service lost for good says the same, and weighs more.
        let told = book.notes.silent.iter().any(|silent| *silent == server);
        let told = told || context.heard.is_scan(&case.affected.clients, server.address);
        let asked_once = outcome == Outcome::Late && case.counts.repeated == 0;
        let (title, shown) = match outcome {
            Outcome::Silent | Outcome::CutOff => (
                match opened {
                    0 => format!("No answer to SYN from {server}"),
                    _ => format!("{server} leaves {} of {} without answer", case.flows(), attempts),
                },
                "got no answer of any kind at this capture point",
            ),
            Outcome::LostReturn => (
                format!("SYN-ACKs of {server} do not reach the client"),
                "were answered, and the client went on asking",
            ),
            Outcome::AckLost if unused => (
                format!("Connections to {server} never carry a byte, and it repeats its SYN-ACK"),
                "were acknowledged, the server repeated its SYN-ACK, and neither side sent a byte",
            ),
            Outcome::AckLost => (
                format!("{server} does not see the end of the handshake"),
                "were acknowledged, and the server went on repeating its SYN-ACK",
            ),
            Outcome::Late if unlucky => (
                format!("Connections to {server} open only after a repeated SYN-ACK"),
                "got an answer at once, and opened only after a repeat",
            ),
            Outcome::Late if is_held(case) => (
                format!("{server} answers a SYN only after {}", slowest(case)),
                "opened late, and every SYN got a SYN-ACK of its own",
            ),
            Outcome::Late if asked_once => (
                format!("Connections to {server} open only after a repeated SYN-ACK"),
                "got a late answer, and opened only after a repeat of it",
            ),
            Outcome::Late => (
                format!("{server} answers a SYN only after a repeat"),
                "opened only after at least one repeated SYN",
            ),
        };
        let icmp = match context.totals.icmp() {
            None => "No ICMP packet was captured".to_owned(),
            Some(packets) => format!("{packets} captured, none quotes these SYNs"),
        };
        let summary = format!(
            "{} to {server} from {} {shown}. {} sent {}{}. {} to this service opened{}. {icmp}.",
            plural(case.flows(), "connection"),
            case.clients(),
            if case.affected.clients.count() == 1 { "The client" } else { "The clients" },
            plural(case.counts.syns, "SYN"),
            waited(case.lost),
            match (opened, if outcome == Outcome::Late { "other connection" } else { "connection" }) {
                (0, noun) => format!("No {noun}"),
                (opened, noun) => plural(opened, noun),
            },
            if outcome == Outcome::Late { " in time" } else { "" },
        );
        let severity = match outcome {
            Outcome::Late if unlucky || is_one_of_many(server, book) || told => Severity::Info,
            Outcome::Late => case.severity(case.flows()).min(Severity::Warning),
            Outcome::AckLost if unused => unused_severity(case, opened),
            Outcome::AckLost => case.severity(case.failed),
            Outcome::Silent
                if is_stray(server, case, context.heard)
                    && (case.flows() == 1 + case.counts.again || is_one_of_many(server, book)) =>
            {
                Severity::Info
            }
            // Windows has it for a resolver where none is configured, and dns_unanswered says so.
            Outcome::Silent if is_site_local(server.address) || is_callback(server.port) => Severity::Info,
            Outcome::Silent if is_spare(server, book, context.heard) => Severity::Info,
            Outcome::Silent if is_metadata(server, context.heard) => Severity::Info,
            Outcome::Silent
                if is_unheard(server.address, book)
                    || asks_from_link_local(server, case)
                    || is_poll(server, case, context.heard) =>
            {
                case.severity(case.counts.repeated).min(Severity::Warning)
            }
            Outcome::Silent | Outcome::LostReturn | Outcome::CutOff => case.severity(case.counts.repeated),
        };
        let mut draft = Draft::new(outcome, title, summary).count("opened", opened).severity(severity);
        if outcome == Outcome::Silent && context.heard.sent(server.address) {
            draft = draft.could_be(silent_port([server], case, opened, context.heard).iter().copied());
        }
        if is_held(case) || unused {
            draft = draft.could_be(if unused { UNUSED } else { HELD }.iter().copied());
        }
        if let Some(keys) = keys(&case.counts) {
            draft = draft.could_first_be(keys);
        }
        if outcome == Outcome::Silent && asks_from_link_local(server, case) {
            draft = draft.could_first_be(LINK_LOCAL);
        }
        if outcome == Outcome::Silent && is_spare(server, book, context.heard) {
            draft = draft.could_be([SPARE]);
        }
        let silent = outcome == Outcome::Silent;
        let why = [(is_callback(server.port), CALLBACK), (is_metadata(server, context.heard), METADATA)];
        for (_, why) in why.into_iter().filter(|(is, _)| silent && *is) {
            draft = draft.could_first_be(why);
        }
        if outcome == Outcome::Silent && is_unheard(server.address, book) {
            draft = draft.gate(QualityIssue::OneWay.gate(UNHEARD));
        }
        Some(match unseen_replies(book).filter(|_| outcome == Outcome::Silent) {
            Some(gate) => draft.gate(gate),
            None => draft,
        })
    }
}

impl MissingSynAck {
    /// How an attempt went wrong; `None` when it did not.
    fn outcome(&self, tcp: &TcpFlow, waited: Span, trips: Span) -> Option<Outcome> {
        let handshake = &tcp.handshake;
        match handshake.outcome {
            HandshakeOutcome::Silent => Some(Outcome::Silent),
            HandshakeOutcome::ReplyLost => Some(Outcome::LostReturn),
            HandshakeOutcome::AckLost => Some(Outcome::AckLost),
            HandshakeOutcome::Established if is_unused(tcp, self.late) => Some(Outcome::AckLost),
            HandshakeOutcome::Established => {
                // A refusal or a challenge is an answer, too.
                let repeats = || handshake.syn_acks.iter().skip(1);
                let repeated = handshake.syn_count > 1 || repeats().any(|reply| is_needed(tcp, reply));
                let late = repeated && waited >= self.late && handshake.answer.is_none();
                // A path over satellites takes as long, and makes clients repeat their SYNs.
                (late && (waited - trips).0 >= self.late.0 / 2).then_some(Outcome::Late)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
