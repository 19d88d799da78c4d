//! # What it finds
//! Connections that a host refused with a RST: nothing listens there, or something in front of the service
//! refuses.
//!
//! # Why it matters
//! The client gets an error at once. No wait hides a refusal, and no retry mends it while the service is
//! down.
//!
//! # How it decides
//! The answer to the SYN is a RST that acknowledges it. By what else the same service and host did:
//! - `port`: the service opened no connection, or none any more once it had begun to refuse.
//! - `intermittent`: the service refused some connections and answered others with SYN-ACK later, as one of
//!   several backends does, or a service that restarts.
//! - `host`: the host refused connections to `ports` of its ports or more, from several clients, and opened
//!   none.
//! - `filtered`: most RSTs do not acknowledge the SYN. No host sends such a one, and clients ignore it (RFC
//!   9293 section 3.10.7.3).
//!
//! It is a warning from `insistent` refusals on, when a client tried at least twice. It is critical when such
//! a service had opened connections before, and the refusals go on for a second or meet two clients, or when
//! `clients` clients tried at least twice each. One client that asks at even intervals for what nobody else
//! asks for is a monitor: that is information. So are SYNs without MSS: every TCP sends it (RFC 9293 section
//! 3.7.1), and who makes packets wants no connection. And so are connections from beyond private networks to
//! ports that only worms and scanners ask for there.
//!
//! A port of `::1` and `127.0.0.1` is one service: who asks for localhost tries both.
//!
//! A RST that comes only after 10 s and several SYNs tells that something between gave up: the finding says
//! that instead, and twice on a port that a service is known by it weighs as much as silence. Where the last
//! SYN is refused and those before it got no answer, it says how long.
//!
//! # What it leaves alone
//! - Connections that opened and were reset later (see `rst_storm`).
//! - What a client asks for beside a hundred other connections that do not open either: it scans.
//! - Many refused ports that one client asked for: that is a scan or an inventory, and one finding for
//!   information.
//! - `ports` ports of one host or more that only one client asked for and that nobody was let in at: it looks
//!   for what the host offers, as a router that discovers printers does. That is one finding for information.
//! - Attempts that got no answer (see `missing_syn_ack`).
//! - An attempt over IPv6 whose client opened the same port over IPv4 right after (RFC 8305).
//! - Services whose SYN-ACKs no client completed either, as in a half-open scan: that is information.
//!
//! # What it does not claim
//! That the service is down: a device can refuse in the host's place. Where the TTL of the RSTs differs from
//! the host's other packets, the finding says so.
//!
//! # References
//! RFC 9293 section 3.10.7.1 (a closed port answers a SYN with RST and ACK); RFC 8305.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::detect::answers::is_private;
use crate::detect::ports::is_known;
use crate::detect::races::Races;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, HandshakeOutcome};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Counts refused connections by service.
    struct ConnectionRefused {
        insistent: u64 = 3.0 "connections",
            "refused connections of a service, below which it is information only",
            "ours: a client that needs the service asks again";
        clients: u64 = 3.0 "clients",
            "clients that insist on a service that opened nothing in the capture, from which it is critical",
            "ours: one or two may look for a service that was never there";
        ports: u64 = 3.0 "ports",
            "refusing ports of a host that opens none, from which the host is the subject",
            "ours: two ports can belong to one service";
        sweep: u64 = 15.0 "services",
            "refusing services that one client alone asked for, from which they are one finding",
            "Zeek's scan policy, 15 ports";
    }
}

variants! {
    /// What refuses.
    enum Extent {
        Port "port" Critical {
            could_be: &["nothing listens on the port", "a device answers in the host's place"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::OneWay],
        }
        Intermittent "intermittent" Warning {
            could_be: &[
                "one of several backends behind the address does not listen",
                "the service restarted during the capture",
                "the accept queue is full and the host answers with RST (Linux tcp_abort_on_overflow)",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::OneWay],
        }
        Host "host" Critical {
            could_be: &[
                "the address belongs to another host now",
                "a device refuses everything in the host's place",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::OneWay],
        }
        Filtered "filtered" Critical {
            could_be: &["a filter on the path answers in the host's place"],
            next: &[
                "compare TTL and IP identification of the RSTs with those of other packets of the host",
                "capture at the server: do the SYNs arrive?",
            ],
            not_claimed: &["that the host sent the RSTs", "that the service is down"],
            doubted_by: &[],
        }
    }
}

const NEXT: &[&str] =
    &["list the listening sockets on the host: ss -ltn", "compare with the time of restarts and deployments"];
/// Where nobody knows whether the SYNs reached the host.
const SILENT_NEXT: &[&str] =
    &["capture behind the device that gave up: does the SYN leave, does an answer come?", "ping the host"];
const NOT_CLAIMED: &[&str] = &["that the service is down", "that the host itself sent the RSTs"];

/// Refusals of one client within such a time are of one try: nobody knows what came of the next.
const BRIEF: Span = Span::secs(1);

counts! {
    /// What a case counts beside its flows.
    struct Refusals {
        least_ttl: Least,
        largest_ttl: Most,
        /// Connections whose SYN has a digest, of TCP-MD5 or TCP-AO.
        authenticated: u64,
        /// Connections whose SYN has no MSS, which every TCP sends (RFC 9293 section 3.7.1).
        bare: u64,
        /// Connections from beyond private networks to a port of [`UNINVITED`].
        uninvited: u64,
        /// Connections whose client ignores the RST.
        ignored: u64,
        /// Refused only long after the client had asked, and asked again.
        gave_up: u64,
        shortest_ms: Least,
        /// Refused after SYNs that nothing answered, and the longest such wait.
        asked_in_vain: u64,
        longest_ms: Most,
        times: Times,
    }
}

counts! {
    /// What is counted of every attempt that was answered.
    struct Answered {
        opened: u64,
        /// Answered with SYN-ACK.
        accepted: u64,
        /// When the last connection was opened, nanoseconds since the epoch.
        last_opened: Most,
        least_ttl: Least,
        largest_ttl: Most,
    }
}

/// When the first [`Times::MOST`] of them were, nanoseconds since the epoch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Times(BTreeSet<i64>);

impl Times {
    const MOST: usize = 32;
    /// No monitor asks more often; who waits for a service to come up does. A judgement.
    const EVERY: i64 = 5_000_000_000;

    fn add(&mut self, time: Timestamp) {
        self.absorb(Self(BTreeSet::from([time.0])));
    }

    /// At least three, evenly apart: no gap is more than a tenth shorter than the longest.
    fn are_even(&self) -> bool {
        let gaps = || self.0.iter().zip(self.0.iter().skip(1)).map(|(one, next)| next.saturating_sub(*one));
        let least = gaps().min().filter(|least| *least >= Self::EVERY && self.0.len() > 2);
        least.zip(gaps().max()).is_some_and(|(least, most)| most - least <= most / 10)
    }
}

impl Merge for Times {
    fn absorb(&mut self, other: Self) {
        self.0.extend(other.0);
        while self.0.len() > Self::MOST {
            self.0.pop_last();
        }
    }
}

/// Times go into no number.
impl Listed for Times {
    fn listed(&self) -> Option<u64> {
        None
    }
}

impl Answered {
    /// The TTLs of these refusals cannot come from the host that opened connections. Load balancing over
    /// equal paths shifts a TTL by one or two.
    fn differs(&self, refusals: &Refusals) -> bool {
        let other = (self.least_ttl.get().saturating_sub(2))..=(self.largest_ttl.get() + 2);
        self.opened > 0
            && !other.contains(&refusals.least_ttl.get())
            && !other.contains(&refusals.largest_ttl.get())
    }
}

/// No host takes so long to refuse, and no path to bring the RST: what gives up after that is something
/// between, whose own attempt got no answer. Windows tries for 21 s, Linux for 127 s. A judgement.
const GIVES_UP: Span = Span::secs(10);
/// And the last SYN had no answer in the usual time, either (RFC 6298 section 2.1).
const ANSWERED: Span = Span::secs(1);

/// Telnet, DCE RPC, NetBIOS sessions and SMB: nobody offers them to the Internet, and worms look for them
/// there all the time. In order.
const UNINVITED: [u16; 4] = [23, 135, 139, 445];

/// The client is a host of the Internet, and asks for what only scanners ask for from there.
fn is_uninvited(flow: &Flow) -> bool {
    let client = flow.client.address;
    let near = match client {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    };
    UNINVITED.contains(&flow.server.port) && !near && !is_private(client)
}

/// Refused connections by host, client and port: who came back, and where.
pub(super) type Tries = Bounded<(IpAddr, IpAddr, u16), (), { 1 << 14 }>;

merged! {
    /// What it keeps beside its cases.
    pub(super) struct Notes {
        tries: Tries,
        races: Races<Refusals>,
    }
}

impl Detector for ConnectionRefused {
    const RULE: Rule = Rule {
        name: "connection_refused",
        group: Group::Tcp,
        summary: "connections that were answered with a RST instead of a SYN-ACK",
        judges: "flows",
        variants: Extent::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("connection_refused.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[
        Explains::by(Meet::Upstream, &["http_error"]),
        // A resolver that refuses over TCP, too.
        Explains::by(Meet::Service, &["dns_unanswered"]),
    ];
    type Variant = Extent;
    type Key = Endpoint;
    type Counts = Refusals;
    type Total = Answered;
    type Notes = Notes;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let handshake = &tcp.handshake;
        let Some(first) = handshake.syns.first() else { return book.not_judged("began before the capture") };
        let ttl = flow.half(Direction::ToClient).ttl;
        let opened = handshake.outcome == HandshakeOutcome::Established;
        let mut answered = book.judged(&flow.server);
        if let Some(answered) = &mut answered {
            answered.accepted += u64::from(handshake.syn_ack_count > 0);
        }
        if let Some(answered) = answered
            && opened
            && let Some((least, largest)) = ttl
        {
            answered.opened += 1;
            answered.last_opened.add(first.time.0.unsigned_abs());
            answered.least_ttl.add(least);
            answered.largest_ttl.add(largest);
        }
        if opened {
            book.notes.races.opened(flow, first.time);
        }
        if handshake.outcome != HandshakeOutcome::Refused {
            return;
        }
        let tries = (flow.server.address, flow.client.address, flow.server.port);
        book.notes.tries.observe_by(tries, |_| hash_of(&flow.server.address));
        let case = match flow.client.address.is_ipv6() {
            true => book.notes.races.ran(flow, first.time),
            false => book.case(flow.server),
        };
        let Some(case) = case else { return };
        case.flow(flow, [*first, flow.last]);
        case.failed += 1;
        let asked = handshake.options[0];
        case.counts.authenticated += u64::from(asked.is_some_and(|options| options.authenticated));
        case.counts.bare += u64::from(asked.is_some_and(|options| options.mss.is_none()));
        case.counts.uninvited += u64::from(is_uninvited(flow));
        case.counts.ignored += u64::from(handshake.refusal_ignored);
        case.counts.times.add(first.time);
        let waited = handshake.answer.map_or(Span::ZERO, |at| at.time - first.time);
        let last = handshake.syns.last().filter(|_| handshake.syn_count > 1);
        let answered = last.zip(handshake.answer).map(|(last, at)| at.time - last.time);
        let waited_ms = (waited.0 / 1_000_000).unsigned_abs();
        if answered.is_some_and(|answered| answered >= ANSWERED) && waited >= GIVES_UP {
            case.counts.gave_up += 1;
            case.counts.shortest_ms.add(waited_ms);
            case.lost += waited;
        } else if last.is_some() && waited >= ANSWERED {
            case.counts.asked_in_vain += 1;
            case.counts.longest_ms.add(waited_ms);
            case.lost += waited;
        }
        if let Some((least, largest)) = ttl {
            case.counts.least_ttl.add(least);
            case.counts.largest_ttl.add(largest);
        }
        case.show(0, flow.id, || {
            let refusal = handshake.answer.map(|at| {
                let fields = ttl.map_or(String::new(), |(ttl, _)| format!(", TTL {ttl}"));
                Evidence::new(at, Role::Reset, format!("{} after the SYN{fields}", at.time - first.time))
            });
            [Some(Evidence::new(*first, Role::Syn, "")), refusal].into_iter().flatten()
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut hosts: BTreeMap<IpAddr, Answered> = BTreeMap::new();
        for (server, _, answered) in book.totals() {
            hosts.entry(server.address).or_default().absorb(answered.clone());
        }
        let Notes { tries, races } = std::mem::take(&mut book.notes);
        let results = races.end();
        for (server, racer) in results.alone {
            if let Some(case) = book.case(server) {
                case.absorb(racer);
            }
        }
        book.not_judged_many("refused over IPv6 and opened over IPv4 right after", results.overtaken);
        book.not_judged_many("more attempts over IPv6 than are kept apart", results.unknown);
        let (mut by_host, mut by_service): (BTreeMap<_, [u64; 2]>, BTreeMap<_, u64>) = Default::default();
        for ((host, client, port), count, ()) in tries.iter() {
            by_host.entry((*host, *client)).or_default().absorb([count, 1]);
            *by_service.entry(Endpoint { address: *host, port: *port }).or_default() += u64::from(count > 1);
        }
        let opens = |address: &IpAddr| hosts.get(address).is_some_and(|host| host.opened > 0);
        let scans = book.group(self.sweep, |_, case| case.affected.clients.only().copied());
        let dead = book.group(self.ports, |server, _| Some(server.address).filter(|address| !opens(address)));
        let accepting: BTreeSet<Endpoint> = book
            .totals()
            .filter(|(.., answered)| answered.accepted > 0)
            .map(|(server, ..)| *server)
            .collect();
        let sought = book.group(self.ports, |server, case| {
            let client = case.affected.clients.only().filter(|_| !accepting.contains(server));
            client.map(|client| (*client, server.address))
        });
        let local = book.group(2, |server, _| server.address.is_loopback().then_some(server.port));
        let services = book.take(|_, _| true);
        let mut concluded: Vec<Concluded<Self>> = scans.into_iter().map(scan).collect();
        concluded.extend(sought.into_iter().map(seek));
        concluded.extend(dead.into_iter().map(|group| {
            // Who goes through the ports needs none of them.
            let insists = |((host, _), [count, ports]): &(&(IpAddr, IpAddr), &[u64; 2])| {
                *host == group.by && *count > 1 && *ports < self.sweep
            };
            let insisting = by_host.iter().filter(insists).count() as u64;
            self.host(group, insisting)
        }));
        let scanners = context.heard.visits.scanners();
        let known = |servers: &[Endpoint], mut case: Case<Refusals>| {
            let (mut answered, mut host, mut insisting) = (Answered::default(), Answered::default(), 0);
            case.total = 0;
            for server in servers {
                let (total, known) = book.total(server);
                case.total += total;
                answered.absorb(known.cloned().unwrap_or_default());
                host.absorb(hosts.get(&server.address).cloned().unwrap_or_default());
                insisting = insisting.max(by_service.get(server).copied().unwrap_or(0));
            }
            // Most of what it asks for is elsewhere.
            let client = case.affected.clients.only().and_then(|client| scanners.get(client));
            let scans = client.is_some_and(|failed| case.failed * 2 < *failed);
            let insisting = if scans { 0 } else { insisting };
            (self.service(servers, &case, insisting, &answered, &host), case)
        };
        concluded.extend(local.into_iter().map(|CaseGroup { case, .. }| {
            let servers: BTreeSet<Endpoint> = case.affected.servers.iter().copied().collect();
            known(&Vec::from_iter(servers), case)
        }));
        concluded.extend(services.into_iter().map(|(server, case)| known(&[server], case)));
        concluded
    }
}

impl ConnectionRefused {
    /// How much it matters that a service opens nothing for so many clients that insist, when it `was_there`
    /// before.
    fn severity(&self, case: &Case<Refusals>, insisting: u64, was_there: bool) -> Severity {
        // At `::1` and `127.0.0.1` each try counts once.
        let addresses = case.affected.servers.iter().filter(|server| server.address.is_loopback()).count();
        match case.failed / (addresses.max(1) as u64) {
            failed if failed < self.insistent || insisting == 0 => Severity::Info,
            _ if case.counts.bare == case.failed || case.counts.uninvited == case.failed => Severity::Info,
            // Whose browser asks three times in a second is one try of one client.
            _ if insisting < 2 && case.affected.active.span() < BRIEF => Severity::Warning,
            _ if was_there || insisting >= self.clients => Severity::Critical,
            _ => Severity::Warning,
        }
    }

    fn service(
        &self,
        servers: &[Endpoint],
        case: &Case<Refusals>,
        insisting: u64,
        answered: &Answered,
        host: &Answered,
    ) -> Draft<Extent> {
        let server = servers.iter().map(Endpoint::to_string).collect::<Vec<_>>().join(" and ");
        let (it, refuses, accepts, opens) = match servers {
            [_] => ("it", "refuses", "accepts", "opens"),
            _ => ("they", "refuse", "accept", "open"),
        };
        let opened = answered.opened;
        let stopped = opened > 0 && case.first_seen() > Some(Timestamp(answered.last_opened.get() as i64));
        let of = case.total.max(case.failed);
        let (extent, title) = match opened {
            _ if stopped => {
                (Extent::Port, format!("{server} {refuses} connections, after {it} had opened others"))
            }
            0 if answered.accepted > 0 => {
                (Extent::Intermittent, format!("{server} {refuses} some connections, and {accepts} others"))
            }
            0 if case.failed == of => (Extent::Port, format!("{server} {refuses} every connection")),
            0 => (Extent::Port, format!("{server} {refuses} connections and {opens} none")),
            _ => (Extent::Intermittent, format!("{server} {refuses} some connections and {opens} others")),
        };
        let monitored = case.affected.clients.count() == 1 && case.counts.times.are_even();
        let severity = match extent {
            // Nobody but a monitor asks for it.
            Extent::Port if opened == 0 && monitored => Severity::Info,
            // Nobody completed what the service accepted: nobody needs it.
            Extent::Intermittent if opened == 0 => Severity::Info,
            Extent::Intermittent => self.severity(case, insisting, false).min(Severity::Warning),
            Extent::Port | Extent::Host | Extent::Filtered => self.severity(case, insisting, stopped),
        };
        let summary = format!(
            "{} could not connect: {} of {} got a RST in answer to the SYN.{}{}{}",
            case.clients(),
            case.failed,
            plural(of, "connection"),
            if opened > 0 { format!(" {} opened.", plural(opened, "connection")) } else { String::new() },
            asked_in_vain(case),
            other_ttl(case, host),
        );
        if case.counts.gave_up * 2 > case.failed {
            let after =
                Span::millis(i64::try_from(case.counts.shortest_ms.get()).unwrap_or(i64::MAX / 1_000_000));
            let title = format!("No answer to SYN from {server}, and a RST after {after} or later");
            let summary = format!(
                "{summary} {} of them came {after} or later after the SYN, which had been repeated in vain. \
                 Something between gave up.",
                case.counts.gave_up,
            );
            // As missing_syn_ack would have it, if nobody had given up in the host's place.
            let known = servers.iter().all(|server| is_known(server.port));
            let again = case.counts.gave_up > 1 && share(case.counts.gave_up, of) >= Severity::PART;
            let as_silent = if known && !monitored && again { Severity::Warning } else { Severity::Info };
            let draft = Draft::new(extent, title, summary).severity(severity.max(as_silent));
            let draft = draft.count("opened", opened);
            return draft.next(SILENT_NEXT).could_be([
                "a NAT or proxy on the way got no answer, and gave up in the host's place",
                "the host is down, or a filter drops the SYN",
            ]);
        }
        if case.counts.ignored * 2 > case.failed {
            let title = format!("RSTs that acknowledge no SYN keep clients from {server}");
            let summary = format!(
                "{summary} {} another number than the SYN's: the client ignores them and asks again (RFC \
                 9293 section 3.10.7.3).",
                match case.counts.ignored == case.failed {
                    true => "They acknowledge".to_owned(),
                    false => format!("{} of them acknowledge", case.counts.ignored),
                },
            );
            return Draft::new(Extent::Filtered, title, summary).severity(severity).count("opened", opened);
        }
        let draft = Draft::new(extent, title, summary).severity(severity).count("opened", opened);
        let draft = match host.differs(&case.counts) {
            true => draft.could_be(["a device answers in the host's place"]),
            false => draft,
        };
        match case.counts {
            Refusals { authenticated: 1.., .. } => {
                draft.could_first_be("the service has no TCP-MD5 or TCP-AO key for this client")
            }
            Refusals { bare, .. } if bare == case.failed => {
                draft.could_first_be("a program makes the SYNs, which have no MSS, and wants no connection")
            }
            Refusals { uninvited, .. } if uninvited == case.failed => {
                draft.could_first_be("hosts of the Internet look for what is open here")
            }
            _ => draft,
        }
    }

    fn host(&self, group: CaseGroup<IpAddr, Refusals>, insisting: u64) -> Concluded<Self> {
        let CaseGroup { by: host, cases, case } = group;
        let ports = plural(cases, "port");
        let summary = format!(
            "{} could not connect: {} of {} to {ports} got a RST in answer to the SYN. The host opened none.",
            case.clients(),
            case.failed,
            plural(case.total.max(case.failed), "connection"),
        );
        // One client that tries several ports of a host which opens none looks for something.
        let severity = match case.affected.clients.count() {
            1 => Severity::Info,
            _ => self.severity(&case, insisting, false),
        };
        let draft = Draft::new(Extent::Host, format!("{host} refuses connections to {ports}"), summary);
        (draft.severity(severity).services(cases), case)
    }
}

/// SYNs before the RST got no answer: the host or the path was away.
fn asked_in_vain(case: &Case<Refusals>) -> String {
    match case.counts.asked_in_vain {
        0 => String::new(),
        count => format!(" {count} of them repeated the SYN without an answer before, for up to {}.", {
            Span::millis(i64::try_from(case.counts.longest_ms.get()).unwrap_or(i64::MAX / 1_000_000))
        }),
    }
}

fn other_ttl(case: &Case<Refusals>, host: &Answered) -> String {
    match host.differs(&case.counts) {
        true => format!(
            " The RSTs have a TTL of {}, the host's other packets {}.",
            case.counts.least_ttl.get(),
            host.least_ttl.get(),
        ),
        false => String::new(),
    }
}

/// One client asks for several ports of a host, that nobody else asks for.
fn seek(group: CaseGroup<(IpAddr, IpAddr), Refusals>) -> Concluded<ConnectionRefused> {
    let CaseGroup { by: (client, host), cases, case } = group;
    let ports = plural(cases, "port");
    let summary = format!(
        "{} of {client} to {ports} got a RST in answer to the SYN. Nobody else asked for them.",
        plural(case.failed, "connection"),
    );
    let draft = Draft::new(Extent::Port, format!("{host} refuses {client} on {ports}"), summary)
        .severity(Severity::Info)
        .subject(Subject { port: None, ..Subject::of(&case) })
        .could_be(["a discovery of what the host offers", "the services are not installed there"])
        .services(cases);
    (draft, case)
}

/// One client asks many services: nobody's daily work.
fn scan(group: CaseGroup<IpAddr, Refusals>) -> Concluded<ConnectionRefused> {
    let CaseGroup { by: client, cases, mut case } = group;
    let (refused, services) = (plural(case.failed, "connection"), plural(cases, "service"));
    let summary = format!("{refused} to {services} got a RST in answer to the SYN, as in a scan.");
    // Nobody misses what a scan did not find.
    case.failed = 0;
    let draft = Draft::new(Extent::Port, format!("{services} refuse {client}"), summary)
        .severity(Severity::Info)
        .confidence(Confidence::Likely)
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be(["a port scan or an inventory", "an application that looks for its peers"])
        .next(&["ask who runs the client"])
        .services(cases)
        .count("services", cases);
    (draft, case)
}

#[cfg(test)]
mod tests;
