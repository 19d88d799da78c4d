//! # What it finds
//! Data that a sender sent again because the data, or its acknowledgement, was lost; by service and
//! direction.
//!
//! # Why it matters
//! Every loss costs at least a round-trip time, and a time-out costs 200 ms and more, doubling each time.
//!
//! # How it decides
//! - Every repeated segment is classified by the packets that caused it (see `pcapsy events`).
//! - Rates are over the unique wire segments of one direction. Repeats that were proven unnecessary, repeats
//!   of path MTU discovery and repeats of the close are left out of the rate, and stated. The latter two cost
//!   no time, either.
//! - It is a warning from `warning_share` of the segments on, with at least `least` repeats and `cost`
//!   without progress, which is `felt`, or a quarter of it and a twentieth of the time of these transfers; or
//!   from `warning_seconds` without progress. Where the SYNs are not captured, a tail loss probe whose first
//!   copy passed the capture point counts for the latter only: its ACK may have been late, and nothing lost.
//!   With SACK the receiver would have reported a duplicate (RFC 2883).
//! - Of one service, it is information where most repeats were proven unnecessary, and data that arrived was
//!   not acknowledged for `warning_seconds`: `spurious_retransmission` warns of that.
//! - A first copy whose checksum holds for the bytes of its repeat, and not for its own, was damaged on the
//!   way. Its receiver discarded it.
//! - Data that was sent `4` times over 3 s, in a capture without a packet of the other side, is information.
//! - Time-outs and the segments sent after them are counted apart: one makes a sender repeat all that is
//!   outstanding.
//! - One client, by all its addresses, that repeats data to services of `services` hosts or more, or gets it
//!   repeated, each a warning, is one finding: for both directions, and the rates are of the one that costs
//!   more. So are several ports of one host: their packets share a path.
//! - With a clock that cannot be right (see `capture_disorder`) no time counts, and the share is information.
//! - A stream makes no progress from the first copy of a segment, or from the hole it left, to the copy that
//!   repairs it. Its share is of the time between the first and the last segment with data.
//!
//! # What it leaves alone
//! Duplicate observations, keep-alives, window probes, and segments that were only reordered. What was first
//! sent after a RST or the FIN of the same side, what is repeated after a RST of the other side, up to 64
//! bytes first sent after its FIN, and encrypted TLS alerts: nobody waits. One byte that is the first of a
//! connection which began before the capture, and comes again after 10 s or more, is a keep-alive. Repeated
//! SYNs belong to `missing_syn_ack`. Data behind a handshake whose end the server never saw belongs to
//! `asymmetric_flow`. A connection whose SYN comes again behind its data was recorded once and is replayed:
//! no sender repeats a SYN that was answered (RFC 9293 section 3.10.7.3).
//!
//! # What it does not claim
//! Congestion, or which link loses packets. A loss is before or behind the capture point, or cannot be
//! placed.
//!
//! # References
//! RFC 9293 section 3.1 (checksum); RFC 5681; RFC 6298; RFC 6675; RFC 8985; RFC 2883 and RFC 3522 for repeats
//! that were not needed.

mod unheard;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::retransmission::unheard::{unanswered, unheard};
use crate::detect::spurious_retransmission::held;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint, PacketRef};
use crate::flow::{EventKind, Flow, HandshakeOutcome, LossPlace, Reset, TcpEvent, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts repeated segments by service and direction.
    struct Retransmission {
        warning_share: f64 = 0.01 "share",
            "repeated of unique wire segments, from which it is a warning",
            "MacFlurry pcap_analyzer, 1 %; VIAVI calls 2 % excessive";
        warning_seconds: Span = 1.0 "s",
            "time without progress, summed over connections, from which it is a warning",
            "ours: a person notices a second";
        cost: Span = 0.01 "s",
            "time without progress, summed over connections, below which any share is information only",
            "ours: less than one round trip within a city";
        felt: Span = 0.2 "s",
            "time without progress, summed over connections, below which its share of the transfers counts",
            "Linux TCP_RTO_MIN: less than the shortest time-out";
        least: u64 = 5.0 "segments",
            "repeats below which it is information only, unless streams made no progress",
            "ntopng, at least 5";
        services: u64 = 3.0 "hosts",
            "hosts of services with repeats of one client alone, from which they are one finding",
            "ours: so many do not become lossy at once; what they share is the client's way out";
    }
}

variants! {
    /// What made most of the repeats necessary.
    enum Cause {
        Rto "rto" Warning {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
        Fast "fast" Warning {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
        TailLossProbe "tail_loss_probe" Warning {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
        Mixed "mixed" Warning {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
    }
}

const COULD_BE: &[&str] = &[
    "packets are lost on the path",
    "acknowledgements are lost on the way back",
    "the receiving host drops packets",
];
const NEXT: &[&str] = &[
    "capture on the other side at the same time, to see which packets arrive",
    "read the drop counters of the devices in between",
];
const NOT_CLAIMED: &[&str] = &["congestion", "which link loses packets"];
const DOUBTS: &[QualityIssue] =
    &[QualityIssue::Drops, QualityIssue::Missed, QualityIssue::SuperFrames, QualityIssue::Disorder];

/// Tries of one segment, and the time from the first to the last, from which nobody answers it: as
/// `path_outage` has them.
const TRIES: u32 = 4;
const PATIENCE: Span = Span::secs(3);

/// Ports of one host, from which they are one finding.
const PORTS: u64 = 2;

/// What a side says when the other one closed is no longer than this. An alert of TLS is 23 to 53 bytes (RFC
/// 5246 section 6.2.3), and a response that somebody waits for is longer as a rule.
const GOODBYE: u32 = 64;

counts! {
    /// Repeats of a direction, by cause, and what became of the first copies.
    struct Losses {
        fast: u64,
        timeout: u64,
        time_outs: u64,
        tail_loss_probe: u64,
        /// Those of them whose first copy went to a receiver that may report no duplicates.
        probed: u64,
        unclassified: u64,
        spurious: u64,
        path_mtu: u64,
        /// Those whose first copy was damaged on the way.
        corrupted: u64,
        /// Of the close, for which nobody waits.
        closing: u64,
        keep_alives: u64,
        lost_before_capture: u64,
        lost_after_capture: u64,
        /// How long the affected transfers took.
        transfers: Span,
        /// The longest time without an ACK of data that arrived more than twice, nanoseconds.
        held: [Most; 1],
        /// Connections without a packet of the other side, tries of their data, and how long.
        unheard: u64,
        unheard_tries: u64,
        unheard_for: Span,
    }
}

counts! {
    /// What all flows of a service sent, with and without repeats, by direction.
    struct Sent {
        flows: [u64; 2],
        segments: [u64; 2],
    }
}

/// What services have in common that lose packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shared {
    host: Option<IpAddr>,
    /// `None` for several clients.
    client: Option<IpAddr>,
    direction: Direction,
}

/// Services that lose packets in one direction, and those that lose them in the other one on the same line.
type Line = (CaseGroup<Shared, Losses>, Option<CaseGroup<Shared, Losses>>);

fn way(direction: Direction) -> &'static str {
    if direction == Direction::ToServer { "to" } else { "from" }
}

impl Losses {
    fn repeats(&self) -> u64 {
        self.fast + self.timeout + self.tail_loss_probe + self.unclassified
    }

    /// Repeats that a loss made necessary.
    fn needed(&self) -> u64 {
        self.repeats().saturating_sub(self.spurious + self.path_mtu + self.closing + self.keep_alives)
    }

    fn cause(&self) -> Cause {
        let most = |count: u64| count > 0 && count * 10 >= self.repeats() * 9;
        match self {
            losses if most(losses.fast) => Cause::Fast,
            losses if most(losses.timeout) => Cause::Rto,
            losses if most(losses.tail_loss_probe) => Cause::TailLossProbe,
            _ => Cause::Mixed,
        }
    }

    /// `14 after 2 time-outs, 3 fast`, the repeats that were not needed included.
    fn by_cause(&self) -> String {
        let time_outs = format!("after {}", plural(self.time_outs, "time-out"));
        let probes = if self.tail_loss_probe == 1 { "tail loss probe" } else { "tail loss probes" };
        let kinds = [
            (self.timeout, time_outs.as_str()),
            (self.fast, "fast"),
            (self.tail_loss_probe, probes),
            (self.unclassified, "of unknown cause"),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        kinds.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }

    /// Where the first copies were lost, and which repeats were not needed. Each gets one sentence, if there
    /// is something to say.
    fn remarks(&self) -> String {
        let first = |of: u64| match of {
            1 => "The first copy of one".to_owned(),
            of => format!("The first copies of {of}"),
        };
        let place = match (self.lost_before_capture, self.lost_after_capture) {
            (0, 0) => " The frames do not show on which side of the capture point.".to_owned(),
            (0, after) => format!(" {} passed the capture point.", first(after)),
            (before, 0) => format!(" {} never reached the capture point.", first(before)),
            (before, after) => format!(
                " The first copies of {before} never reached the capture point, those of {after} passed it."
            ),
        };
        let spurious = match self.spurious {
            0 => String::new(),
            1 => " One repeat was proven unnecessary.".to_owned(),
            count => format!(" Of all repeats {count} were proven unnecessary."),
        };
        let path_mtu = match self.path_mtu {
            0 => String::new(),
            count => format!(" Path MTU discovery caused {count}."),
        };
        let closing = match self.closing {
            0 => String::new(),
            count => format!(" Of the end of connections were {count}: behind a FIN or RST, or TLS alerts."),
        };
        let keep_alives = match self.keep_alives {
            0 => String::new(),
            count => format!(" Keep-alives were {count}."),
        };
        let corrupted = match self.corrupted {
            0 => String::new(),
            count => format!(
                " The first copies of {count} were damaged on the way: their checksums fit the repeats."
            ),
        };
        place + &spurious + &path_mtu + &closing + &keep_alives + &corrupted
    }
}

impl Detector for Retransmission {
    const RULE: Rule = Rule {
        name: "retransmission",
        group: Group::Tcp,
        summary: "data sent again after a loss",
        judges: "flows",
        variants: Cause::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("retransmission.rs"),
    };
    const CASES: usize = 1 << 14;
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Flows, &["tls_stall", "http_error"])];
    type Variant = Cause;
    type Key = (Endpoint, Direction);
    type Counts = Losses;
    type Total = Sent;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        if flow.is_one_way() {
            Direction::BOTH.into_iter().for_each(|direction| unheard(flow, tcp, direction, book));
            return book.not_judged("one direction only");
        }
        if is_replayed(flow, tcp) {
            return book.not_judged("replayed: its SYN comes again behind its data");
        }
        if let Some(sent) = book.judged(&flow.server) {
            for (index, side) in tcp.sides.iter().enumerate() {
                sent.flows[index] += u64::from(side.data_segments > 0);
                sent.segments[index] += side.unique_segments;
            }
        }
        for direction in Direction::BOTH {
            let side = tcp.side(direction);
            let repeats = &side.retransmissions;
            let unheard = tcp.handshake.outcome == HandshakeOutcome::AckLost;
            if repeats.data() == 0 || unheard && direction == Direction::ToServer {
                continue;
            }
            let Some(case) = book.case((flow.server, direction)) else { continue };
            let events = || {
                let own = tcp.events.iter().filter(|event| event.direction == direction);
                own.filter(|event| event.kind.is_data_retransmission())
            };
            let costs =
                |event: &TcpEvent| !event.path_mtu && !is_over(tcp, event) && !is_keep_alive(tcp, event);
            let stalled = tcp.stalled_by(direction, costs);
            case.flow_events(flow, events().map(|event| event.at));
            case.lost += stalled;
            let losses = &mut case.counts;
            let closing =
                events().filter(|event| event.spurious.is_none() && !event.path_mtu && is_over(tcp, event));
            losses.closing += closing.count() as u64;
            let probes = events().filter(|event| {
                let needed = event.spurious.is_none() && !event.path_mtu && !is_over(tcp, event);
                needed && is_keep_alive(tcp, event)
            });
            losses.keep_alives += probes.count() as u64;
            losses.fast += repeats.fast;
            losses.timeout += repeats.timeout;
            losses.time_outs += repeats.time_outs;
            losses.tail_loss_probe += repeats.tail_loss_probe;
            let options = tcp.handshake.options;
            let reports = options.iter().all(|syn| syn.is_some_and(|options| options.sack_permitted));
            let probed = |event: &&TcpEvent| {
                let passed = event.kind == EventKind::TailLossProbe && event.loss != LossPlace::Before;
                passed && event.spurious.is_none() && costs(event)
            };
            losses.probed += if reports { 0 } else { events().filter(probed).count() as u64 };
            losses.unclassified += repeats.unclassified;
            losses.spurious += repeats.spurious;
            losses.path_mtu += repeats.path_mtu;
            for (waited, _) in held(events()) {
                losses.held[0].add(waited.0.unsigned_abs());
            }
            losses.corrupted += repeats.corrupted;
            losses.lost_before_capture += repeats.lost_before;
            losses.lost_after_capture += repeats.lost_after;
            losses.transfers += side.transfer_time();
            case.show(stalled.0.saturating_neg(), flow.id, || {
                let needed = events().filter(|event| event.spurious.is_none() && costs(event)).take(4);
                needed.flat_map(evidence).collect::<Vec<_>>()
            });
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let timed = context.totals.clock_fault().is_none();
        let warned = |(key, case): (&Self::Key, &Case<Losses>)| {
            let sent = book.total(&key.0).1.cloned().unwrap_or_default();
            let severity = self.severity(case, sent.segments[key.1.index()], timed);
            (severity > Severity::Info).then_some((*key, sent))
        };
        let warned: BTreeMap<Self::Key, Sent> = book.cases().filter_map(warned).collect();
        let hosts = context.hosts;
        let client = |case: &Case<Losses>| case.affected.clients.only().map(|client| hosts.of(*client));
        let mut servers: BTreeMap<(IpAddr, Direction), BTreeSet<IpAddr>> = BTreeMap::new();
        for ((server, direction), case) in book.cases().filter(|(key, _)| warned.contains_key(key)) {
            if let Some(client) = client(case) {
                servers.entry((client, *direction)).or_default().insert(server.address);
            }
        }
        servers.retain(|_, servers| servers.len() as u64 >= self.services);
        let lines: BTreeSet<IpAddr> = servers.into_keys().map(|(client, _)| client).collect();
        // What one client alone sees at several hosts is its own way; at ports of one host it is one path.
        let of_client = |key: &Self::Key, case: &Case<Losses>| {
            let client = client(case).filter(|client| warned.contains_key(key) && lines.contains(client))?;
            Some(Shared { host: None, client: Some(client), direction: key.1 })
        };
        let of_host = |key: &Self::Key, case: &Case<Losses>| {
            let shared = Shared { host: Some(key.0.address), client: client(case), direction: key.1 };
            warned.contains_key(key).then_some(shared)
        };
        let mut concluded = self.grouped(book, 1, &warned, timed, of_client);
        concluded.extend(self.grouped(book, PORTS, &warned, timed, of_host));
        concluded
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Losses>,
        book: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Cause>> {
        let (server, direction) = *key;
        if case.counts.needed() == 0 {
            return (case.counts.unheard > 0).then(|| unanswered(server, direction, &case.counts));
        }
        let sent = book.total(&server).1.cloned().unwrap_or_default();
        let timed = context.totals.clock_fault().is_none();
        let draft = self.draft(case, &format!("{} {server}", way(direction)), direction, &sent, timed);
        // ACKs that are held back for so long explain the rest (see `spurious_retransmission`).
        let Losses { spurious, held, .. } = &case.counts;
        let held = held[0].get() >= self.warning_seconds.0.unsigned_abs();
        let late = held && 2 * spurious > case.counts.repeats();
        Some(if late { draft.severity(Severity::Info) } else { draft })
    }
}

impl Retransmission {
    /// Cases that share something, as one finding each.
    fn grouped(
        &self,
        book: &mut Book<Self>,
        least: u64,
        warned: &BTreeMap<(Endpoint, Direction), Sent>,
        timed: bool,
        by: impl Fn(&(Endpoint, Direction), &Case<Losses>) -> Option<Shared>,
    ) -> Vec<Concluded<Self>> {
        let mut sums: BTreeMap<Shared, Sent> = BTreeMap::new();
        for (key, case) in book.cases() {
            if let Some((shared, sent)) = by(key, case).zip(warned.get(key)) {
                sums.entry(shared).or_default().absorb(sent.clone());
            }
        }
        let mut groups = book.group(least, by);
        // A line that loses in both directions is one trouble: the one that costs more tells of the other.
        groups.sort_by_key(|group| (group.by.host, group.by.client, Reverse(group.case.lost)));
        let mut told: Vec<Line> = Vec::new();
        for group in groups {
            let is_line = |one: &Shared| one.host.is_none() && group.by.host.is_none();
            match told.last_mut().filter(|(one, _)| is_line(&one.by) && one.by.client == group.by.client) {
                Some((_, other)) => *other = Some(group),
                None => told.push((group, None)),
            }
        }
        let whole = |(CaseGroup { by: shared, mut cases, mut case }, other): Line| {
            let Shared { host, client, direction } = shared;
            let segments = |of: &Shared| sums.get(of).cloned().unwrap_or_default();
            let what = match host {
                Some(host) => format!("{} {} of {host}", way(direction), plural(cases, "port")),
                None => format!("{} {}", way(direction), plural(cases, "service")),
            };
            let subject = Subject::of(&case);
            let server = subject.server.clone().filter(|_| host.is_some());
            let mut draft = self.draft(&case, &what, direction, &segments(&shared), timed);
            let client = client.map(|client| client.to_string());
            draft = draft.subject(Subject { client, server, port: None, ..subject });
            if let Some(CaseGroup { by, cases: services, case: other }) = other {
                draft = draft.and(&format!(
                    " {} of {} {} {} were sent again, too.",
                    other.counts.needed(),
                    plural(segments(&by).segments[by.direction.index()], "segment"),
                    way(by.direction),
                    plural(services, "service"),
                ));
                case.join(other);
                cases += services;
            }
            (draft.services(cases).count("services", cases), case)
        };
        told.into_iter().map(whole).collect()
    }

    /// How much the repeats among so many segments matter.
    fn severity(&self, case: &Case<Losses>, segments: u64, timed: bool) -> Severity {
        let (losses, needed) = (&case.counts, case.counts.needed());
        let [lost, whole] = [case.lost, losses.transfers].map(|span| span.0.unsigned_abs());
        let slowed = case.lost.0 >= self.felt.0 / 4 && share(lost, whole) >= Severity::PART;
        let felt = case.lost >= self.felt || slowed;
        // A probe asks for an ACK that is late, and the first copy may have arrived (RFC 8985 section 7.1).
        let told = needed.saturating_sub(losses.probed);
        let many = share(told, segments) >= self.warning_share && told >= self.least;
        let often = many && felt && case.lost >= self.cost;
        let long = case.lost >= self.warning_seconds;
        if timed && needed > 0 && (often || long) { Severity::Warning } else { Severity::Info }
    }

    /// `what`: `to 10.0.0.9:443`.
    fn draft(
        &self,
        case: &Case<Losses>,
        what: &str,
        direction: Direction,
        sent: &Sent,
        timed: bool,
    ) -> Draft<Cause> {
        let (losses, needed) = (&case.counts, case.counts.needed());
        let [lost, whole] = [case.lost, losses.transfers].map(|span| span.0.unsigned_abs());
        let segments = sent.segments[direction.index()];
        let flows = sent.flows[direction.index()].max(case.flows());
        let title = match segments {
            // A share of a handful says nothing.
            0..100 => {
                format!("{} {what} for {}", plural(needed, "retransmission"), plural(segments, "segment"))
            }
            _ => {
                format!("{} of the segments {what} were sent again", percent(needed.min(segments), segments))
            }
        };
        let waited = match (timed, lost, whole) {
            (false, ..) => " The clock of the capture does not show how long they waited.".to_owned(),
            (true, 0, _) | (true, _, 0) => String::new(),
            (true, lost, whole) => format!(
                " They made no progress for {}, {} of the time these transfers took.",
                case.lost,
                percent(lost.min(whole), whole)
            ),
        };
        let summary = format!(
            "{} of {} {what} repeated data: {} among {} ({}).{waited}{}",
            case.flows(),
            plural(flows, "connection"),
            plural(losses.repeats(), "repeat"),
            plural(segments, "segment"),
            losses.by_cause(),
            losses.remarks(),
        );
        let draft = Draft::new(losses.cause(), title, summary)
            .severity(self.severity(case, segments, timed))
            .direction(direction)
            .count("retransmissions", needed)
            .count("segments", segments);
        match losses.corrupted {
            0 => draft,
            _ => draft.could_first_be("a link or a device on the path damages packets"),
        }
    }
}

/// Nobody waits for it: it is an encrypted alert of TLS, which ends the session. Or the first copy is a few
/// bytes after the other side's FIN, or anything after its own RST or FIN, behind which no data can be (RFC
/// 9293 section 3.10.4). Or the other side reset the connection before the repeat.
fn is_over(tcp: &TcpFlow, event: &TcpEvent) -> bool {
    let first = event.original.unwrap_or(event.at).packet;
    let closed = |direction| tcp.side(direction).fin.is_some_and(|fin| fin.packet < first);
    // Before a hole no first copy was seen: it may be older than the FIN.
    let seen = event.original.is_some() && event.loss != LossPlace::Before;
    let reset = |reset: &Reset| {
        reset.at.packet < if reset.direction == event.direction { first } else { event.at.packet }
    };
    event.alert
        || closed(event.direction.reverse()) && event.length <= GOODBYE
        || seen && closed(event.direction)
        || tcp.resets.iter().any(reset)
}

/// Between two keep-alives; a first time-out is a second (RFC 6298 section 2). A judgement.
const KEEP_ALIVE: Span = Span::secs(10);

/// A keep-alive of one byte (RFC 1122 section 4.2.3.6) that the capture begins with looks like data.
fn is_keep_alive(tcp: &TcpFlow, event: &TcpEvent) -> bool {
    let first = tcp.side(event.direction).transfer.map(|(first, _)| first);
    let began = tcp.handshake.syn_count + tcp.handshake.syn_ack_count > 0;
    !began && event.length == 1 && event.delay >= KEEP_ALIVE && first.is_some() && first == event.original
}

/// A SYN came again after data: by time, since files of two capture points follow each other. With Fast Open
/// the SYN itself may carry the first data, and a server may send some before the client's ACK (RFC 7413).
pub(super) fn is_replayed(flow: &Flow, tcp: &TcpFlow) -> bool {
    let first = |direction| tcp.side(direction).transfer.map(|(first, _)| first);
    let asked = first(Direction::ToServer).filter(|first| first.packet != flow.first.packet);
    let known = |first: &PacketRef| tcp.handshake.ack.is_some_and(|ack| ack.time < first.time);
    let data = asked.or_else(|| first(Direction::ToClient).filter(known));
    tcp.events.iter().any(|event| {
        let syn = event.kind == EventKind::RetransmittedSyn && event.direction == Direction::ToServer;
        syn && event.length == 0 && data.is_some_and(|data| event.at.time > data.time)
    })
}

/// What the repeat follows, what made the sender repeat, and the repeat.
fn evidence(event: &TcpEvent) -> impl Iterator<Item = Evidence> {
    let place = match event.loss {
        LossPlace::Before => ", lost before the capture point",
        LossPlace::After => ", the first copy passed the capture point",
        LossPlace::Unknown => "",
    };
    let (seq, length) = (event.seq.0, event.length);
    let again = format!("{}, seq {seq}, len {length}, {} later{place}", event.kind.name(), event.delay);
    let (role, shown) = match event.loss {
        LossPlace::Before => (Role::Gap, "the first packet behind the hole".to_owned()),
        _ => (Role::Original, format!("seq {seq}, len {length}")),
    };
    let original = event.original.map(|at| Evidence::new(at, role, shown));
    let trigger =
        event.trigger.map(|at| Evidence::new(at, Role::Trigger, "completed the evidence of the loss"));
    [original, trigger, Some(Evidence::new(event.at, Role::Retransmission, again))].into_iter().flatten()
}

#[cfg(test)]
mod tests;
