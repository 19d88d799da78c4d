//! # What it finds
//! A direction of a connection in which datagrams above a size never arrive and smaller ones do, and the
//! sender does not learn why.
//!
//! # Why it matters
//! The handshake and small requests work, so everything looks up. Large requests hang until a time-out.
//!
//! # How it decides
//! All of these hold in one direction:
//! - the same bytes were sent whole at least three times with don't-fragment (or over IPv6) and never
//!   acknowledged at that size;
//! - the connection was open, and smaller datagrams arrived, at least one of them sent after the first try:
//!   it was acknowledged, or the other side stopped repeating what only a small ACK can have told it;
//! - nothing of that size or above was ever acknowledged;
//! - the capture holds both directions, shows no segmentation offload, and the receive window was open.
//!   Without a SYN nobody knows the MSS, and datagrams above 1500 bytes may be several that a network card
//!   put together.
//!
//! Of one client and two services or more that is one finding: they share the client's line.
//!
//! With fewer than `smaller` datagrams that arrived it is no more than possible. It is confirmed when the
//! bytes arrive at last in smaller pieces, or when several connections show it. A connection that sends
//! nothing small behind the large segments counts with others of its service that do, or that open while it
//! hangs; where only the latter speak for it, it is possible.
//!
//! `silent`: no ICMP message named the size. `icmp_ignored`: one did, and the sender sent the same size
//! again. Of UDP that takes three messages over three seconds and more, and is a warning: what the datagrams
//! are for is not known. `receiver_view`: the capture stands behind the limit and sees what remains: a hole
//! of whole segments that is never filled, smaller segments or numbers behind it, and no full segment in
//! that direction. The receiver asks for the hole for a time, or other connections show that the direction
//! lives.
//!
//! # What it leaves alone
//! Path MTU discovery that works. Random loss, where a datagram of the size arrives at last. Datagrams of
//! 576 bytes and less that no router called too big: no link is limited to so little.
//!
//! # What it does not claim
//! That ICMP is filtered, or where; which tunnel is on the path.
//!
//! # References
//! RFC 1191; RFC 8201; RFC 2923; RFC 4821.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detect::pmtud::{keeps_size, said};
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{EventKind, Flow, IcmpError, TcpFlow, UndeliveredSegment};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Counts ranges that never arrive at their size, by service and direction.
    struct MtuBlackhole {
        smaller: u64 = 3.0 "datagrams",
            "smaller ones that arrived, below which it is no more than possible",
            "ours: a path that died would let one or two pass";
    }
}

variants! {
    /// How the limit shows.
    enum View {
        Silent "silent" Critical {
            could_be: SMALLER_MTU,
            next: PROBE,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops, QualityIssue::Missed],
        }
        IcmpIgnored "icmp_ignored" Critical {
            could_be: SMALLER_MTU,
            next: PROBE,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops, QualityIssue::Missed],
        }
        Receiver "receiver_view" Warning {
            could_be: &[
                "a link or tunnel before the capture point has a smaller MTU",
                "the sender stopped for another reason after a burst of losses",
            ],
            next: &[
                "capture at the sender: does it repeat full segments, does an ICMP message reach it?",
                "probe the path: ping -M do -s SIZE, or tracepath",
            ],
            not_claimed: &[
                "what the sender did: the capture stands behind the loss",
                "that ICMP is filtered, or where",
            ],
            doubted_by: &[QualityIssue::Drops, QualityIssue::Missed, QualityIssue::OneWay],
        }
    }
}

const SMALLER_MTU: &[&str] =
    &["a link or tunnel on the path has a smaller MTU, and its ICMP message does not reach the sender"];
const PROBE: &[&str] = &[
    "probe the path: ping -M do -s SIZE, or tracepath",
    "clamp the segment size at the tunnel, or let ICMP fragmentation-needed and packet-too-big pass",
];
const NOT_CLAIMED: &[&str] = &["that ICMP is filtered, or where", "which tunnel is on the path"];

counts! {
    /// Datagrams of a direction by what became of them.
    struct SizeLimit {
        ranges: u64,
        tries: u64,
        /// Smaller datagrams that arrived.
        arrived: u64,
        /// Connections whose bytes arrived at last, in smaller pieces.
        resolved: u64,
        /// Messages about UDP that is too big.
        messages: u64,
        missing_bytes: u64,
        smallest_failing_bytes: Least,
        largest_passing_bytes: Most,
        /// Connections on which smaller datagrams arrived after the first try, or passed behind the hole.
        shown: u64,
        /// The first of the tries and holes.
        onset: Earliest,
        /// When a smaller datagram of any of the connections arrived last.
        small: Latest,
    }
}

counts! {
    /// What arrived in any connection of a service.
    struct Passing {
        /// The largest datagram of each direction.
        largest: [Most; 2],
    }
}

impl SizeLimit {
    /// Smaller datagrams went on arriving after the first large one did not, and large ones reach nobody of
    /// the service: hosts that leave look like that, too, one by one.
    fn goes_on(&self, margin: Span, direction: Direction, passing: Option<&Passing>) -> bool {
        let large = passing.map_or(0, |passing| passing.largest[direction.index()].get());
        large < self.smallest_failing_bytes.get()
            && self.onset.get().zip(self.small.get()).is_some_and(|(onset, small)| small - onset > margin)
    }
}

/// The least MTU of IPv6 (RFC 8200 section 5): a connection that loses smaller ones has another trouble.
const SMALL: u32 = 1280;

/// Services of one client with a limit on the way, from which it is on the way that they share.
const SERVICES: u64 = 2;

/// What every host has to accept (RFC 791 section 3.2): no link in use is limited to less, unless a router
/// says so.
const LEAST: u32 = 576;

/// The MTU of Ethernet (RFC 894).
const ETHERNET: u32 = 1500;

/// Receivers that wait so long for a hole have outlasted fast recovery and the first time-outs (RFC 6298
/// section 2).
const RECOVERY: Span = Span::secs(3);

/// Repeats of the other side that no ACK ended: as many as the tries of a size (RFC 8899 section 5.1.2).
const UNHEARD: usize = 3;

/// Small datagrams that arrive so long after the first try are not of the moment in which a path died.
const OPENS: Span = Span::secs(1);

/// Path MTUs of common encapsulations on a 1500-byte link, largest first: 1500 less the header each one adds.
const OVERHEADS: &[(u64, &str)] = &[
    (1496, "compatible with a second VLAN tag (1496)"),
    (1492, "compatible with PPPoE (1492)"),
    (1480, "compatible with IP in IP or 6in4 (1480)"),
    (1476, "compatible with GRE (1476)"),
    (1464, "compatible with GTP-U (1464)"),
    (1460, "compatible with a cloud network (1460)"),
    (1450, "compatible with VXLAN (1450)"),
    (1420, "compatible with WireGuard (1420)"),
    (1400, "compatible with an IPsec or VPN tunnel (1400 to 1446)"),
];

impl Detector for MtuBlackhole {
    const RULE: Rule = Rule {
        name: "mtu_blackhole",
        group: Group::Path,
        summary: "datagrams above a size never arrive and the sender is not told, or does not listen",
        judges: "flows",
        variants: View::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("mtu_blackhole.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[
        Explains::by(Meet::Flows, &["retransmission", "rst_storm"]),
        Explains::by(
            Meet::Service,
            &["retransmission", "tls_stall", "http_error", "health_check", "slow_server"],
        ),
        // A proxy whose large requests do not get through waits, and says so.
        Explains::by(Meet::Upstream, &["http_error", "slow_server"]),
    ];
    type Variant = View;
    type Key = (Endpoint, Direction, View);
    type Counts = SizeLimit;
    type Total = Passing;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return datagrams(flow, book) };
        if flow.is_one_way() {
            return book.not_judged("one direction only");
        }
        if !tcp.handshake.outcome.is_open() {
            return book.not_judged("the handshake was not completed");
        }
        if let Some(passing) = book.judged(&flow.server) {
            for (largest, side) in passing.largest.iter_mut().zip(&tcp.sides) {
                largest.add(side.sizes.largest_delivered);
            }
        }
        for direction in Direction::BOTH {
            // A closed window stops the sender, too.
            if tcp.side(direction.reverse()).zero_window_time > Span::ZERO {
                continue;
            }
            match Limited::of(flow, tcp, direction) {
                None => receiver_view(flow, tcp, direction, book),
                Some(_) if tcp.side(direction).super_frames > 0 => {
                    book.not_judged("segmentation offload: sizes on the wire are not known");
                }
                Some(limited) if tcp.sides.iter().all(|side| side.mss.is_none()) && limited.is_large() => {
                    book.not_judged("no MSS seen: datagrams above 1500 bytes may be several in one");
                }
                Some(limited) => sender_view(flow, tcp, direction, &limited, book),
            }
        }
    }

    /// What is too large for the way of one client to several services is too large for its line.
    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let passing: BTreeMap<Endpoint, Passing> =
            book.totals().map(|(server, _, passing)| (*server, passing.clone())).collect();
        let line = |(server, direction, view): &Self::Key, case: &Case<SizeLimit>| {
            let limit = &case.counts;
            let goes_on = || limit.goes_on(OPENS, *direction, passing.get(server));
            let found = *view == View::Silent && limit.messages == 0 && (limit.shown > 0 || goes_on());
            let client = case.affected.clients.only().filter(|_| found)?;
            Some((context.hosts.of(*client), *direction))
        };
        let mut sizes: BTreeMap<(IpAddr, Direction), SizeLimit> = BTreeMap::new();
        for (key, case) in book.cases() {
            let line = line(key, case).into_iter();
            line.for_each(|line| sizes.entry(line).or_default().absorb(case.counts.clone()));
        }
        sizes.retain(|_, size| size.largest_passing_bytes.get() < size.smallest_failing_bytes.get());
        let groups =
            book.group(SERVICES, |key, case| line(key, case).filter(|line| sizes.contains_key(line)));
        let finding = |CaseGroup { by: (client, direction), cases, case }: CaseGroup<(IpAddr, _), _>| {
            let services = plural(cases, "service");
            let what = match direction {
                Direction::ToServer => format!("from {client} to {services}"),
                Direction::ToClient => format!("from {services} to {client}"),
            };
            let client = Some(client.to_string());
            let subject = Subject { client, server: None, port: None, ..Subject::of(&case) };
            let draft = self.before_limit(View::Silent, &what, &case, context).direction(direction);
            let draft = draft.subject(subject).services(cases).count("services", cases);
            (draft.count("connections", case.flows()), case)
        };
        groups.into_iter().map(finding).collect()
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<SizeLimit>,
        book: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<View>> {
        let (server, direction, view) = *key;
        if case.counts.messages > 0 {
            return Some(too_big(server, direction, case));
        }
        let margin = if view == View::Receiver { RECOVERY } else { OPENS };
        if case.counts.shown == 0 && !case.counts.goes_on(margin, direction, book.total(&server).1) {
            return None;
        }
        let way = match direction {
            Direction::ToServer => "to",
            Direction::ToClient => "from",
        };
        let draft = match view {
            View::Receiver => behind_limit(way, server, case)?,
            View::Silent | View::IcmpIgnored => {
                self.before_limit(view, &format!("{way} {server}"), case, context)
            }
        };
        Some(draft.direction(direction).count("connections", case.flows()))
    }
}

impl MtuBlackhole {
    /// What a capture between the sender and the limit shows.
    fn before_limit(
        &self,
        view: View,
        what: &str,
        case: &Case<SizeLimit>,
        context: &Context<'_>,
    ) -> Draft<View> {
        let limit = &case.counts;
        let (failing, passing) = (limit.smallest_failing_bytes.get(), limit.largest_passing_bytes.get());
        let shown = limit.shown > 0;
        let confidence = match view {
            View::Silent if limit.arrived < self.smaller || !shown => Confidence::Possible,
            _ if limit.resolved > 0 || case.flows() > 1 => Confidence::Confirmed,
            _ => Confidence::Likely,
        };
        let icmp = match (view, context.totals.icmp()) {
            (View::IcmpIgnored, _) => "An ICMP message named the size.".to_owned(),
            (_, None) => "The capture has no ICMP packet.".to_owned(),
            (_, Some(packets)) => format!("None of {packets} is about these datagrams."),
        };
        let filter =
            context.filter().map_or(String::new(), |filter| format!(" The capture filter was: {filter}."));
        let resolved = match limit.resolved {
            0 => String::new(),
            count => {
                format!(" In {} the bytes arrived at last, in smaller pieces.", plural(count, "connection"))
            }
        };
        let title = format!("Datagrams of {failing} bytes {what} never arrive, those of {passing} bytes do");
        let summary = format!(
            "{} sent {} of {failing} bytes or more {} in all. None was acknowledged at that size. Datagrams \
             of up to {passing} bytes were. {icmp}{filter} No progress for {}.{resolved}",
            plural(case.flows(), "connection"),
            plural(limit.ranges, "datagram"),
            plural(limit.tries, "time"),
            case.lost,
        );
        let overheads = OVERHEADS.iter().filter(|(mtu, _)| *mtu < failing && *mtu >= passing);
        let overheads: Vec<&'static str> = overheads.map(|(_, text)| *text).collect();
        // A wide gap fits every encapsulation, and says nothing.
        let fitting = if overheads.len() > 3 { Vec::new() } else { overheads };
        let draft = Draft::new(view, title, summary).confidence(confidence).severity(match confidence {
            Confidence::Possible => Severity::Warning,
            Confidence::Likely | Confidence::Confirmed => Severity::Critical,
        });
        draft.could_be(SMALLER_MTU.iter().copied().chain(fitting))
    }
}

/// UDP that goes on with datagrams that are too big, although messages say so.
fn datagrams(flow: &Flow, book: &mut Book<MtuBlackhole>) {
    for direction in Direction::BOTH {
        let Some(told) = keeps_size(flow, direction) else { continue };
        book.judged(&flow.server);
        let Some(case) = book.case((flow.server, direction, View::IcmpIgnored)) else { continue };
        case.flow_events(flow, told.iter().map(|error| error.at));
        case.failed += 1;
        let limit = &mut case.counts;
        limit.messages += told.len() as u64 + flow.icmp_errors_dropped;
        for error in &told {
            let sizes = error.icmp.quoted.map(|quoted| quoted.ip.length).zip(error.icmp.mtu);
            let Some((length, mtu)) = sizes else { continue };
            limit.smallest_failing_bytes.add(length);
            limit.largest_passing_bytes.add(mtu);
        }
        case.show(-(told.len() as i64), flow.id, || {
            told.iter().take(8).map(|error| said(error)).collect::<Vec<_>>()
        });
    }
}

fn too_big(server: Endpoint, direction: Direction, case: &Case<SizeLimit>) -> Draft<View> {
    let limit = &case.counts;
    let (failing, mtu) = (limit.smallest_failing_bytes.get(), limit.largest_passing_bytes.get());
    let way = if direction == Direction::ToServer { "to" } else { "from" };
    let title = format!("UDP {way} {server} stays above the MTU of the path, {mtu} bytes");
    let summary = format!(
        "{} got {} within {}: {mtu} bytes is what passes. Routers dropped datagrams of {failing} bytes and \
         more again and again.",
        plural(case.flows(), "flow"),
        plural(limit.messages, "ICMP message"),
        case.affected.active.span(),
    );
    Draft::new(View::IcmpIgnored, title, summary)
        .direction(direction)
        .severity(Severity::Warning)
        .confidence(Confidence::Likely)
        .could_be([
            "the application sets don't-fragment, and does not learn from the messages",
            "the messages do not reach the socket: a tunnel or a translator stands between",
        ])
}

/// What a capture between the limit and the receiver shows.
fn behind_limit(way: &str, server: Endpoint, case: &Case<SizeLimit>) -> Option<Draft<View>> {
    let limit = &case.counts;
    let several = case.flows() > 1;
    if limit.shown == 0 && !several {
        return None;
    }
    let passing = limit.largest_passing_bytes.get();
    let title = format!("Full segments {way} {server} never come this far, datagrams of {passing} bytes do");
    let asked = match limit.shown {
        0 => String::new(),
        _ => format!(" No progress for {}, and the receiver asked for them.", case.lost),
    };
    let summary = format!(
        "In {} a hole of whole segments was never filled. Smaller datagrams behind it passed here. No \
         datagram above {passing} bytes was seen in that direction.{asked}",
        plural(case.flows(), "connection"),
    );
    let confidence = if several { Confidence::Likely } else { Confidence::Possible };
    Some(Draft::new(View::Receiver, title, summary).confidence(confidence))
}

/// The ICMP message that told the sender, before its last try, which size would have passed. The router that
/// drops the datagram names that size (RFC 1191 section 3).
fn told<'f>(flow: &'f Flow, direction: Direction, segment: &UndeliveredSegment) -> Option<&'f IcmpError> {
    let last = segment.frames.last().map_or(0, |at| at.packet);
    let mut errors =
        flow.icmp_errors.iter().filter(|error| error.quoted == direction && error.at.packet < last);
    errors.find(|error| error.icmp.mtu.is_some_and(|mtu| mtu < segment.ip_length))
}

/// The segments of a direction that only their size kept from arriving.
struct Limited<'f> {
    segments: Vec<&'f UndeliveredSegment>,
    /// Smaller ones are known to have arrived after the first try.
    shown: bool,
}

impl<'f> Limited<'f> {
    /// Some are larger than what Ethernet carries, unless all of its stations agree on more.
    fn is_large(&self) -> bool {
        self.segments.iter().any(|segment| segment.ip_length > ETHERNET)
    }

    fn of(flow: &Flow, tcp: &'f TcpFlow, direction: Direction) -> Option<Self> {
        let sizes = &tcp.side(direction).sizes;
        let whole = |segment: &&UndeliveredSegment| {
            segment.dont_fragment && !segment.delivered_whole && sizes.largest_delivered < segment.ip_length
        };
        let could = |segment: &&UndeliveredSegment| {
            segment.ip_length > LEAST || told(flow, direction, segment).is_some()
        };
        let mut segments: Vec<_> = sizes.undelivered.iter().filter(whole).filter(could).collect();
        let by_size = |segment: &&UndeliveredSegment| {
            segment.smaller_delivered > 0 && sizes.largest_delivered > 0
                || told(flow, direction, segment).is_some()
        };
        let shown = segments.iter().any(by_size);
        if shown {
            segments.retain(by_size);
            return Some(Self { segments, shown });
        }
        segments.retain(|segment| segment.ip_length > SMALL);
        let first = segments.first()?.frames.first()?;
        let shown = got_acks(flow, tcp, direction.reverse(), first.time)?;
        (sizes.largest_delivered > 0 || shown).then_some(Self { shown, segments })
    }
}

/// Whether `receiver` got small ACKs that were sent after `since`: then it repeats nothing any more of what
/// they acknowledge, its FIN or its data, although it is still there (RFC 6298 section 5.1). `None` when it
/// goes on repeating: it gets nothing, small or large.
fn got_acks(flow: &Flow, tcp: &TcpFlow, receiver: Direction, since: Timestamp) -> Option<bool> {
    let side = tcp.side(receiver);
    let aborts = tcp.resets.iter().any(|reset| reset.direction == receiver);
    let closed = side.fin.filter(|fin| fin.time > since && side.fin_ack.is_some() && !aborts);
    let closed = closed.is_some_and(|fin| flow.watched_until - fin.time >= RECOVERY);
    let again = tcp.events.iter().filter(|event| {
        event.direction == receiver && event.at.time > since && event.kind.is_data_retransmission()
    });
    let stopped = again.clone().next_back().zip(flow.half(receiver).last).is_some_and(|(again, last)| {
        let next = Span(again.delay.0.saturating_mul(3));
        last.time - again.at.time >= next.max(RECOVERY)
    });
    let goes_on = again.count() >= UNHEARD && !stopped || side.retransmissions.fin >= UNHEARD as u64;
    (!goes_on).then_some(closed && side.retransmissions.fin == 0 || stopped)
}

fn sender_view(
    flow: &Flow,
    tcp: &TcpFlow,
    direction: Direction,
    limited: &Limited<'_>,
    book: &mut Book<MtuBlackhole>,
) {
    let Limited { segments: undelivered, shown } = limited;
    let sizes = &tcp.side(direction).sizes;
    let Some(first) = undelivered.first() else { return };
    let told = told(flow, direction, first);
    let view = if told.is_some() { View::IcmpIgnored } else { View::Silent };
    let Some(case) = book.case((flow.server, direction, view)) else { return };
    case.flow_events(flow, undelivered.iter().flat_map(|segment| segment.frames.iter().copied()));
    let resolved = undelivered.iter().any(|segment| segment.resolved_with.is_some());
    case.failed += u64::from(!resolved);
    case.lost += undelivered.iter().map(|segment| segment.stalled).max().unwrap_or(Span::ZERO);
    let limit = &mut case.counts;
    limit.ranges += undelivered.len() as u64;
    limit.tries += undelivered.iter().map(|segment| u64::from(segment.tries)).sum::<u64>();
    limit.arrived += sizes.delivered;
    limit.resolved += u64::from(resolved);
    undelivered.iter().for_each(|segment| limit.smallest_failing_bytes.add(segment.ip_length));
    limit.largest_passing_bytes.add(sizes.largest_delivered);
    limit.shown += u64::from(*shown);
    first.frames.first().into_iter().for_each(|first| limit.onset.add(first.time));
    // The end of the handshake shows that the small datagrams of the opening arrived.
    let small = sizes.largest_delivered_at.into_iter().chain(tcp.handshake.ack);
    small.for_each(|at| limit.small.add(at.time));
    case.show(0, flow.id, || {
        let size = format!("{} bytes of IP, DF, seq {}", first.ip_length, first.seq.0);
        let tries = first.frames.iter().map(|at| Evidence::new(*at, Role::TooBig, size.clone()));
        let smaller = format!("at most {} bytes of IP, acknowledged", first.largest_smaller);
        let passed = first.smaller_frames.iter().take(3);
        let passed = passed.map(|at| Evidence::new(*at, Role::Arrived, smaller.clone()));
        let resolved = first.resolved_at.zip(first.resolved_with).map(|(at, size)| {
            Evidence::new(at, Role::Resolved, format!("the same bytes in pieces of at most {size} bytes"))
        });
        let icmp = told.map(|error| {
            Evidence::new(error.at, Role::Icmp, format!("next-hop MTU {}", error.icmp.mtu.unwrap_or(0)))
        });
        tries.chain(passed).chain(resolved).chain(icmp).collect::<Vec<_>>()
    });
}

/// Behind the limit only what is missing shows.
fn receiver_view(flow: &Flow, tcp: &TcpFlow, direction: Direction, book: &mut Book<MtuBlackhole>) {
    let (side, receiver) = (tcp.side(direction), tcp.side(direction.reverse()));
    let Some(mss) = side.mss.into_iter().chain(receiver.mss).min().map(u64::from) else { return };
    // RFC 6691: the timestamp option takes 12 bytes of the announced size.
    let with_timestamps = mss.saturating_sub(12);
    let whole = [mss, with_timestamps].into_iter().any(|full| full > 0 && side.hole_bytes % full == 0);
    let cut = u64::from(side.largest_payload) < with_timestamps;
    let mut holes = tcp.events.iter().filter(|event| event.kind == EventKind::Gap);
    let Some(hole) = holes.find(|event| event.direction == direction) else { return };
    let waited = flow.watched_until - hole.at.time;
    if side.hole_bytes == 0 || !whole || !cut || waited < RECOVERY || side.data_segments == 0 {
        return;
    }
    let Some(case) = book.case((flow.server, direction, View::Receiver)) else { return };
    case.flow(flow, [hole.at, flow.last]);
    case.failed += 1;
    let seen = flow.watched_until.min(flow.last.time) - hole.at.time;
    case.lost += seen;
    let limit = &mut case.counts;
    limit.missing_bytes += side.hole_bytes;
    // With its headers (RFC 9293 section 3.7.1).
    let headers: u64 = if flow.server.address.is_ipv4() { 40 } else { 60 };
    limit.smallest_failing_bytes.add(mss + headers);
    limit.largest_passing_bytes.add(side.sizes.largest_delivered);
    limit.shown += u64::from(receiver.duplicate_acks > 0 && seen >= RECOVERY);
    limit.onset.add(hole.at.time);
    flow.half(direction).last.into_iter().for_each(|last| limit.small.add(last.time));
    case.show(seen.0.saturating_neg(), flow.id, || {
        let duplicates = tcp.events.iter().filter(|event| event.kind == EventKind::DuplicateAck);
        let asked = duplicates.filter(|event| event.direction != direction).take(6);
        let asked = asked.map(|event| {
            Evidence::new(event.at, Role::DuplicateAck, "the receiver asks for what is missing")
        });
        let missing = format!("{} bytes are missing before it", side.hole_bytes);
        asked.chain([Evidence::new(hole.at, Role::BehindHole, missing)]).collect::<Vec<_>>()
    });
}

#[cfg(test)]
mod tests;
