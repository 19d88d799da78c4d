//! # What it finds
//! Many connections that are reset: of one service or one host within ten seconds, most of one client's, or
//! most of one server's among others that do well.
//!
//! # Why it matters
//! A single reset is everyday traffic. Many at once are a restart, a fail-over, a full process, or a device
//! that forgot its connections.
//!
//! # How it decides
//! Reset connections are counted by service and second. Ten seconds are a storm when
//! - `resets` connections are reset in them,
//! - those are at least `share` of all connections that ended in them, and
//! - the rate is at least `baseline` times the service's rate outside of its storms, or one second has
//!   `flood` resets.
//!
//! The same goes for the ports of one host together, when none of them has a storm, nearly all of these
//! connections had opened, and they are of several clients.
//!
//! Where clients reset their connections themselves, a storm of a service is a warning, and that of one
//! client is none.
//!
//! A client is the subject when `resets` of its connections, and `share` of those that ended, were reset, no
//! service or host above explains them, and the services do not treat other clients alike. It is a warning
//! when others use the same services and most of theirs end well. Otherwise it may be the habit of these
//! services, or of the client itself, and is information.
//!
//! A server among others of its port and network is the subject when its own RSTs ended `few` connections
//! and `share` of all, whatever the time between them, and less than a twentieth of theirs.
//!
//! A server is the subject, too, when it reset `few` connections and nine in ten of all that ended, each with
//! a request unanswered: the first one, or one that had waited a second. That is said where no detector of
//! the protocol does, as a warning at most; for ports that no service is known by it is information.
//!
//! Several RSTs of one connection count once. Those whose TTL or link address is not that of their sender's
//! other packets are counted apart: a device sent them.
//!
//! # What it leaves alone
//! - Resets after a FIN or a TLS close_notify, and by a client that has its answer.
//! - Connections that a probe opened and closed. Half-open ones that the server gives up are information:
//!   nobody had them (see `syn_flood`).
//! - Refusals of one or two clients alone, or of clients that do not ask again, as in a scan or a flood:
//!   nobody loses a connection by them (see `connection_refused`).
//! - A client's reset in place of the end of the handshake, which is what a port scan does.
//! - What a client gets that goes through the ports of the host: that is information.
//! - RSTs in answer to segments that acknowledge number 0 without a handshake: no connection was there.
//!
//! # What it does not claim
//! That a server crashed, or who sent a RST: its addresses may be forged.
//!
//! # References
//! RFC 9293 section 3.10.7; RFC 1122 section 4.2.2.13; RFC 2525 section 2.17.

mod drafts;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::ports::is_random;
use crate::detect::rst_storm::drafts::{client_draft, draft};
use crate::detect::scope::network;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, HandshakeOutcome, Reset, ResetClass, TcpFlow, Turns};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Counts reset connections by service and second.
    struct RstStorm {
        resets: u64 = 20.0 "connections",
            "reset connections of a service in 10 s, from which it is a storm",
            "ours; Zeek knows only 1000 RSTs of one connection";
        few: u64 = 5.0 "connections",
            "reset connections of a server whose siblings do well",
            "ours: more than an accident, as for the severity of failures";
        share: f64 = 0.5 "share",
            "of the connections that ended in the same seconds",
            "ours: more end badly than well";
        baseline: f64 = 5.0 "times",
            "of what the service has in ten other seconds, when the capture shows them",
            "ours: a service that always resets connections has no storm";
        flood: u64 = 100.0 "connections",
            "reset connections of a service in one second, from which the baseline does not matter",
            "ours: no service of a healthy network resets a hundred connections a second";
    }
}

variants! {
    /// What at least nine in ten of the resets are.
    enum Kind {
        Refused "refused" Critical {
            could_be: &["nothing listens on the port", "a device answers in the host's place"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::OneWay],
        }
        NoSocket "no_socket" Critical {
            could_be: &[
                "the process or host was restarted",
                "another member of a cluster got the packets",
                "a translator lost its state",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::OneWay],
        }
        Abort "abort" Critical {
            could_be: ABORTS,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::OneWay],
        }
        Mixed "mixed" Critical {
            could_be: ABORTS,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::OneWay],
        }
    }
}

const ABORTS: &[&str] =
    &["the application closed connections with data unread", "a device on the path resets connections"];
const NEXT: &[&str] = &[
    "compare with the time of restarts, deployments and fail-overs",
    "compare TTL and link address of the RSTs with the server's other packets",
];
const NOT_CLAIMED: &[&str] = &["that the server crashed", "that the server itself sent the RSTs"];

counts! {
    /// Reset connections by class.
    struct Resets {
        refused: u64,
        no_socket: u64,
        abort: u64,
        idle: u64,
        by_server: u64,
        /// With a TTL that their sender's other packets do not have, or by another link address.
        from_elsewhere: u64,
        /// Of connections whose client never acknowledged the SYN-ACK.
        half_open: u64,
    }
}

impl Resets {
    fn all(&self) -> u64 {
        self.refused + self.no_socket + self.abort + self.idle
    }

    fn add(&mut self, class: ResetClass, direction: Direction) {
        self.by_server += u64::from(direction == Direction::ToClient);
        match class {
            ResetClass::Refused => self.refused += 1,
            ResetClass::NoSocket => self.no_socket += 1,
            ResetClass::Abort => self.abort += 1,
            // The rest is not harmful and never comes here.
            _ => self.idle += 1,
        }
    }

    fn kind(&self) -> Kind {
        let most = |count: u64| count * 10 >= self.all() * 9;
        match self {
            resets if most(resets.refused) => Kind::Refused,
            resets if most(resets.no_socket) => Kind::NoSocket,
            resets if most(resets.abort) => Kind::Abort,
            _ => Kind::Mixed,
        }
    }
}

merged! {
    /// Connections that ended, by service, minute, and second in the minute, and by client.
    pub(super) struct Ended {
        minutes: Bounded<(Endpoint, i64), BTreeMap<u8, u32>, { 1 << 15 }>,
        /// By client: its key is observed once per connection.
        clients: Bounded<IpAddr, (), { 1 << 15 }>,
        /// Reset connections of a client that had opened.
        lost: Bounded<IpAddr, Case<Resets>, { 1 << 12 }>,
        /// Connections that their server reset in place of an answer.
        unanswered: Bounded<Endpoint, Case<Resets>, { 1 << 12 }>,
    }
}

impl Case<Resets> {
    /// Clients reset their own connections, and nobody in their place.
    fn is_by_clients(&self) -> bool {
        let few = |count: u64| count * 10 < self.counts.all();
        few(self.counts.by_server) && few(self.counts.from_elsewhere)
    }
}

/// Connections that ended in each second.
type BySecond = BTreeMap<i64, u64>;

impl Ended {
    fn add(&mut self, server: Endpoint, second: i64) {
        // By the service, so that a service is kept with all its minutes or not at all.
        let minute = self.minutes.observe_by((server, second.div_euclid(60)), |_| hash_of(&server));
        minute.into_iter().for_each(|minute| *minute.entry(second.rem_euclid(60) as u8).or_default() += 1);
    }

    /// The service was kept from its first connection on.
    fn knows(&self, server: Endpoint) -> bool {
        self.minutes.covers(hash_of(&server))
    }

    /// Connections that ended, by second, of the services that `wanted` accepts.
    fn by_second(&self, wanted: impl Fn(&Endpoint) -> bool) -> BTreeMap<Endpoint, BySecond> {
        let mut services: BTreeMap<Endpoint, BySecond> = BTreeMap::new();
        for ((server, number), _, minute) in self.minutes.iter().filter(|((server, _), ..)| wanted(server)) {
            let seconds = minute.iter().map(|(second, ended)| (number * 60 + i64::from(*second), *ended));
            services.entry(*server).or_default().extend(seconds.map(|(at, ended)| (at, u64::from(ended))));
        }
        services
    }
}

/// Connections of other clients, from which they show what a service does.
const OTHERS: u64 = 5;

/// Seconds that a storm is looked for in.
const WINDOW: i64 = 10;

impl Detector for RstStorm {
    const RULE: Rule = Rule {
        name: "rst_storm",
        group: Group::Tcp,
        summary: "many connections of one service reset at once",
        judges: "flows",
        variants: Kind::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("rst_storm.rs"),
    };
    const CASES: usize = 1 << 14;
    const EXPLAINS: &'static [Explains] = &[
        Explains::by(Meet::Upstream, &["http_error"]),
        Explains::by(Meet::Flows, &["http_error"]),
        // A process that dies resets what it has, and refuses what comes.
        Explains::by(Meet::Service, &["connection_refused"]).when(&["abort", "no_socket", "mixed"]),
    ];
    type Variant = Kind;
    /// A service and a second in which one of its connections was reset.
    type Key = (Endpoint, i64);
    type Counts = Resets;
    type Total = ();
    type Notes = Ended;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        if tcp.resets.iter().any(|reset| is_made_up(tcp, reset)) {
            return book
                .not_judged("made-up segments: they acknowledge number 0 of a server that never sent");
        }
        book.judged(&flow.server);
        let reset = tcp.resets.iter().find(|reset| reset.class.is_harmful());
        let fin = tcp.sides.iter().filter_map(|side| side.fin).map(|fin| fin.time).min();
        let Some(ended) = reset.map(|reset| reset.at.time).or(fin) else { return };
        let second = ended.0.div_euclid(1_000_000_000);
        let client = flow.client.address;
        book.notes.add(flow.server, second);
        book.notes.clients.count(client);
        let Some(reset) = reset else { return };
        if tcp.handshake.outcome.is_open()
            && let Some(case) = book.notes.lost.count(client)
        {
            take(case, flow, reset);
        }
        if is_unanswered(flow, tcp, reset)
            && let Some(case) = book.notes.unanswered.count(flow.server)
        {
            take(case, flow, reset);
        }
        if let Some(case) = book.case((flow.server, second)) {
            take(case, flow, reset);
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut services: BTreeMap<Endpoint, BTreeMap<i64, Case<Resets>>> = BTreeMap::new();
        for ((server, second), case) in book.take(|_, _| true) {
            services.entry(server).or_default().insert(second, case);
        }
        let second = |time: Option<Timestamp>| time.map_or(0, |time| time.0.div_euclid(1_000_000_000));
        let length = second(context.totals.last) - second(context.totals.first) + 1;
        let by_second = book.notes.by_second(|server| services.contains_key(server));
        let mut concluded = Vec::new();
        let (mut hosts, mut stormy): (BTreeMap<IpAddr, Vec<Endpoint>>, BTreeSet<Endpoint>) =
            Default::default();
        for (server, seconds) in &services {
            if !book.notes.knows(*server) {
                let resets = seconds.values().map(|case| case.counts.all()).sum();
                book.not_judged_many("more services and minutes than are kept apart", resets);
                continue;
            }
            let ended = by_second.get(server).cloned().unwrap_or_default();
            // One client that ends its own connections is no storm of the service.
            let lost = |storm: &Case<Resets>| !storm.is_by_clients() || storm.affected.clients.count() > 1;
            if let Some(storm) = self.storm(seconds, &ended, length).filter(lost) {
                let scan = context.heard.is_scan(&storm.affected.clients, server.address);
                let told = draft(&server.to_string(), &storm, "");
                concluded.push((if scan { told.severity(Severity::Info) } else { told }, storm));
                stormy.insert(*server);
            } else {
                hosts.entry(server.address).or_default().push(*server);
            }
        }
        for (host, ports) in hosts.into_iter().filter(|(_, ports)| ports.len() > 1) {
            let mut seconds: BTreeMap<i64, Case<Resets>> = BTreeMap::new();
            for (second, case) in ports.iter().filter_map(|port| services.get(port)).flatten() {
                seconds.entry(*second).or_default().absorb(case.clone());
            }
            let mut ended = BySecond::new();
            let of_ports = ports.iter().filter_map(|port| by_second.get(port));
            of_ports.for_each(|seconds| ended.absorb(seconds.clone()));
            let storm = self.storm(&seconds, &ended, length);
            // Refusals over the ports of a host are a scan, or `connection_refused` says more.
            let lost = |storm: &Case<Resets>| {
                storm.counts.refused * 10 < storm.counts.all()
                    && storm.affected.clients.count() >= Severity::CLIENTS
            };
            if let Some(storm) = storm.filter(lost) {
                concluded.push((draft(&host.to_string(), &storm, ""), storm));
                stormy.extend(ports);
            }
        }
        concluded.extend(self.siblings(book, &services, &mut stormy));
        concluded.extend(self.unanswered(book, &by_second, &mut stormy, context.heard));
        concluded.extend(self.clients(book, &services, &stormy));
        concluded
    }
}

/// Takes a reset connection.
fn take(case: &mut Case<Resets>, flow: &Flow, reset: &Reset) {
    case.flow(flow, [reset.at]);
    case.failed += 1;
    case.counts.add(reset.class, reset.direction);
    case.counts.from_elsewhere += u64::from(is_from_elsewhere(flow, reset));
    let half_open = |tcp: &TcpFlow| tcp.handshake.outcome == HandshakeOutcome::HalfOpen;
    case.counts.half_open += u64::from(flow.tcp.as_deref().is_some_and(half_open));
    case.show(0, reset.at.packet, || {
        let ack = if reset.with_ack { "with" } else { "no" };
        let fields = format!("{}, {ack} ACK, seq {}, TTL {}", reset.class.name(), reset.seq.0, reset.ttl);
        let answered = |at| Evidence::new(at, Role::Trigger, "the packet that it answers");
        reset.trigger.map(answered).into_iter().chain([Evidence::new(reset.at, Role::Reset, fields)])
    });
}

/// Not where its sender's other packets in the connection come from, by TTL or link address.
fn is_from_elsewhere(flow: &Flow, reset: &Reset) -> bool {
    let links = &flow.half(reset.direction).links;
    flow.tcp.as_ref().is_some_and(|tcp| reset.has_other_ttl(tcp))
        || links.len() > 1 && links.iter().any(|link| link.first.packet == reset.at.packet)
}

/// It answers a segment of no connection that ever was: its number is the one that the segment acknowledges
/// (RFC 9293 section 3.10.7.1), and programs that make segments up leave that 0.
fn is_made_up(tcp: &TcpFlow, reset: &Reset) -> bool {
    reset.class == ResetClass::NoSocket && reset.seq.0 == 0 && tcp.handshake.syn_count == 0
}

/// Share of a server's connections that makes a few resets no accident. A judgement.
const NEARLY_ALL: f64 = 0.9;

/// A request that waited so long was no goodbye: those are answered by a RST at once.
const WAITED: Span = Span::secs(1);

/// The server reset the connection in place of an answer. HTTP, TLS and DNS have detectors of their own.
fn is_unanswered(flow: &Flow, tcp: &TcpFlow, reset: &Reset) -> bool {
    let open = |turns: &Turns| {
        let waited = turns.open.map(|turn| reset.at.time - turn.request.time);
        waited.is_some_and(|waited| turns.answered == 0 || waited >= WAITED)
    };
    reset.direction == Direction::ToClient
        && flow.service.is_none()
        && tcp.handshake.outcome == HandshakeOutcome::Established
        && tcp.turns.as_deref().is_some_and(open)
}

impl RstStorm {
    /// Servers that reset nearly all of their connections in place of an answer, however few.
    fn unanswered(
        &self,
        book: &mut Book<Self>,
        by_second: &BTreeMap<Endpoint, BySecond>,
        stormy: &mut BTreeSet<Endpoint>,
        heard: &Heard,
    ) -> Vec<Concluded<Self>> {
        let mut concluded = Vec::new();
        for (server, mut case) in book.notes.unanswered.take_if(|_, case| case.counts.all() >= self.few) {
            let failed = case.counts.all();
            let ended = by_second.get(&server).map_or(0, |seconds| seconds.values().sum());
            let known = book.notes.knows(server) && !stormy.contains(&server);
            if !known || share(failed, ended) < NEARLY_ALL {
                continue;
            }
            case.total = ended;
            let strange = is_random(server) || heard.is_scan(&case.affected.clients, server.address);
            let severity = match strange {
                true => Severity::Info,
                false => Severity::of_failures(failed, ended, case.affected.clients.count(), Span::ZERO),
            };
            let told = draft(&server.to_string(), &case, " The last request of each was not answered.");
            concluded.push((told.severity(severity.min(Severity::Warning)), case));
            stormy.insert(server);
        }
        concluded
    }

    /// Servers that reset most of their connections, where those of the same port and network do not.
    fn siblings(
        &self,
        book: &Book<Self>,
        services: &BTreeMap<Endpoint, BTreeMap<i64, Case<Resets>>>,
        stormy: &mut BTreeSet<Endpoint>,
    ) -> Vec<Concluded<Self>> {
        let mut ended: BTreeMap<Endpoint, u64> = BTreeMap::new();
        for ((server, _), _, minute) in book.notes.minutes.iter() {
            *ended.entry(*server).or_default() += minute.values().map(|count| u64::from(*count)).sum::<u64>();
        }
        let resets = |server: &Endpoint| {
            let seconds = services.get(server).into_iter().flat_map(BTreeMap::values);
            seconds.map(|case| case.counts.all()).sum::<u64>()
        };
        let mut kin: BTreeMap<(u16, IpAddr), (u64, u64)> = BTreeMap::new();
        for (server, of) in &ended {
            let all = kin.entry((server.port, network(server.address))).or_default();
            *all = (all.0 + resets(server), all.1 + of);
        }
        let mut concluded = Vec::new();
        for (server, seconds) in services.iter().filter(|(server, _)| book.notes.knows(**server)) {
            let (failed, of) = (resets(server), ended.get(server).copied().unwrap_or(0));
            let all = kin.get(&(server.port, network(server.address))).copied().unwrap_or_default();
            let (theirs, others) = (all.0.saturating_sub(failed), all.1.saturating_sub(of));
            let apart = others >= OTHERS && share(theirs, others) < Severity::PART;
            if stormy.contains(server) || failed < self.few || share(failed, of) < self.share || !apart {
                continue;
            }
            let mut case: Case<Resets> = Case::default();
            seconds.values().for_each(|second| case.absorb(second.clone()));
            // Refusals say enough for themselves, and a client's own RSTs say nothing of the server.
            if case.counts.by_server * 10 < failed * 9 || case.counts.refused * 2 > failed {
                continue;
            }
            case.total = of;
            let clients = case.affected.clients.count();
            let compared = format!(
                " Of {} to other servers of the same port and network {theirs} were reset.",
                plural(others, "connection")
            );
            // Its siblings serve.
            let severity = Severity::of_failures(failed, of, clients, Span::ZERO).min(Severity::Warning);
            let draft = draft(&server.to_string(), &case, &compared).severity(severity);
            concluded.push((draft.confidence(Confidence::Likely), case));
            stormy.insert(*server);
        }
        concluded
    }

    /// Clients that lost most of their connections, where neither a storm nor the services explain it.
    fn clients(
        &self,
        book: &mut Book<Self>,
        services: &BTreeMap<Endpoint, BTreeMap<i64, Case<Resets>>>,
        stormy: &BTreeSet<Endpoint>,
    ) -> Vec<Concluded<Self>> {
        let lost = book.notes.lost.take_if(|_, case| case.counts.all() >= self.resets);
        let mut concluded = Vec::new();
        for (client, mut case) in lost {
            let resets = case.counts.all();
            let ended = book.notes.clients.get(&client).map_or(0, |(ended, ())| ended);
            let servers: BTreeSet<Endpoint> = case.affected.servers.iter().copied().collect();
            if share(resets, ended) < self.share || servers.iter().all(|server| stormy.contains(server)) {
                continue;
            }
            case.total = ended;
            // What the same services did to others. Connections that did not end count as well.
            let (mut all, mut of_others) = (0, 0);
            for server in &servers {
                all += book.total(server).0;
                let seconds = services.get(server).into_iter().flat_map(BTreeMap::values);
                of_others += seconds.map(|case| case.counts.all()).sum::<u64>();
            }
            let others = all.saturating_sub(ended);
            of_others = of_others.saturating_sub(resets);
            let compared = others >= OTHERS;
            if compared && share(of_others, others) >= self.share {
                continue;
            }
            let by_itself = case.counts.by_server * 2 < resets;
            concluded.push((client_draft(client, &case, compared && !by_itself, others, of_others), case));
        }
        concluded
    }

    /// Adds up the seconds of a subject that belong to a storm; `ended` are all of its connections that
    /// ended. The capture is `length` seconds long.
    fn storm(
        &self,
        seconds: &BTreeMap<i64, Case<Resets>>,
        ended: &BySecond,
        length: i64,
    ) -> Option<Case<Resets>> {
        let mut stormy: BTreeSet<i64> = BTreeSet::new();
        for start in seconds.keys() {
            let window = *start..*start + WINDOW;
            let resets: u64 = seconds.range(window.clone()).map(|(_, case)| case.counts.all()).sum();
            let all: u64 = ended.range(window.clone()).map(|(_, ended)| ended).sum();
            if resets >= self.resets && share(resets, all) >= self.share {
                stormy.extend(ended.range(window).map(|(second, _)| second));
            }
        }
        let (mut storm, mut elsewhere, mut flood) = (Case::default(), 0, false);
        for (second, case) in seconds {
            let resets = case.counts.all();
            if stormy.contains(second) {
                flood |= resets >= self.flood;
                storm.absorb(case.clone());
            } else {
                elsewhere += resets;
            }
        }
        storm.total = stormy.iter().filter_map(|second| ended.get(second)).sum();
        let calm = length - stormy.len() as i64;
        let baseline = if calm < WINDOW { 0.0 } else { elsewhere as f64 / calm as f64 };
        let rate = storm.counts.all() as f64 / stormy.len().max(1) as f64;
        (!stormy.is_empty() && (flood || rate >= self.baseline * baseline)).then_some(storm)
    }
}

#[cfg(test)]
mod tests;
