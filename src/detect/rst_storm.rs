//! # What it finds
//! Many connections of one service that are reset within ten seconds.
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
//! Several RSTs of one connection count once.
//!
//! # What it leaves alone
//! - Resets after a FIN or a TLS close_notify, and by a client that has its answer.
//! - Connections that a probe opened and closed.
//! - Refusals of one or two clients alone: nobody loses a connection by them (see `connection_refused`).
//! - A client's reset in place of the end of the handshake, which is what a port scan does.
//!
//! # What it does not claim
//! That a server crashed, or who sent a RST: its addresses may be forged.
//!
//! # References
//! RFC 9293 section 3.10.7; RFC 1122 section 4.2.2.13; RFC 2525 section 2.17.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, ResetClass};
use crate::time::Timestamp;

thresholds! {
    /// Counts reset connections by service and second.
    struct RstStorm {
        resets: u64 = 20.0 "connections",
            "reset connections of a service in 10 s, from which it is a storm",
            "ours; Zeek knows only 1000 RSTs of one connection";
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

/// Connections that ended, by service, minute, and second in the minute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ended(Bounded<(Endpoint, i64), BTreeMap<u8, u32>>);

impl Default for Ended {
    fn default() -> Self {
        Self(Bounded::new(1 << 15))
    }
}

impl Merge for Ended {
    fn absorb(&mut self, other: Self) {
        self.0.absorb(other.0);
    }
}

impl Ended {
    fn add(&mut self, server: Endpoint, second: i64) {
        // By the service, so that a service is kept with all its minutes or not at all.
        let minute = self.0.observe(hash_of(&server), (server, second.div_euclid(60)));
        minute.into_iter().for_each(|minute| *minute.entry(second.rem_euclid(60) as u8).or_default() += 1);
    }

    /// The service was kept from its first connection on.
    fn knows(&self, server: Endpoint) -> bool {
        self.0.covers(hash_of(&server))
    }

    /// Connections that ended in a second.
    fn in_second(&self, server: Endpoint, second: i64) -> u64 {
        let minute = self.0.get(hash_of(&server), (server, second.div_euclid(60)));
        let ended = minute.and_then(|(_, minute)| minute.get(&(second.rem_euclid(60) as u8)));
        u64::from(ended.copied().unwrap_or(0))
    }
}

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
        book.judged(&flow.server);
        let reset = tcp.resets.iter().find(|reset| reset.class.is_harmful());
        let fin = tcp.sides.iter().filter_map(|side| side.fin).map(|fin| fin.time).min();
        let Some(ended) = reset.map(|reset| reset.at.time).or(fin) else { return };
        let second = ended.0.div_euclid(1_000_000_000);
        book.notes.add(flow.server, second);
        let Some(reset) = reset else { return };
        let Some(case) = book.case((flow.server, second)) else { return };
        case.flow(flow, [reset.at]);
        case.failed += 1;
        case.counts.add(reset.class, reset.direction);
        case.show(0, reset.at.packet, || {
            let ack = if reset.with_ack { "with" } else { "no" };
            let fields = format!("{}, {ack} ACK, seq {}, TTL {}", reset.class.name(), reset.seq.0, reset.ttl);
            let answered = |at| Evidence::new(at, Role::Trigger, "the packet that it answers");
            reset.trigger.map(answered).into_iter().chain([Evidence::new(reset.at, Role::Reset, fields)])
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut services: BTreeMap<Endpoint, BTreeMap<i64, Case<Resets>>> = BTreeMap::new();
        for ((server, second), case) in book.take(|_, _| true) {
            services.entry(server).or_default().insert(second, case);
        }
        let second = |time: Option<Timestamp>| time.map_or(0, |time| time.0.div_euclid(1_000_000_000));
        let length = second(context.totals.last) - second(context.totals.first) + 1;
        let mut concluded = Vec::new();
        for (server, seconds) in services {
            if !book.notes.knows(server) {
                let resets = seconds.values().map(|case| case.counts.all()).sum();
                book.not_judged_many("more services and minutes than are kept apart", resets);
            } else if let Some(storm) = self.storm(server, &seconds, &book.notes, length) {
                concluded.push((draft(server, &storm), storm));
            }
        }
        concluded
    }
}

impl RstStorm {
    /// Adds up the seconds of a service that belong to a storm. The capture is `length` seconds long.
    fn storm(
        &self,
        server: Endpoint,
        seconds: &BTreeMap<i64, Case<Resets>>,
        ended: &Ended,
        length: i64,
    ) -> Option<Case<Resets>> {
        let mut stormy: BTreeSet<i64> = BTreeSet::new();
        for start in seconds.keys() {
            let window = *start..*start + WINDOW;
            let resets: u64 = seconds.range(window.clone()).map(|(_, case)| case.counts.all()).sum();
            let busy: Vec<(i64, u64)> = window
                .map(|second| (second, ended.in_second(server, second)))
                .filter(|(_, ended)| *ended > 0)
                .collect();
            let all: u64 = busy.iter().map(|(_, ended)| ended).sum();
            if resets >= self.resets && share(resets, all) >= self.share {
                stormy.extend(busy.iter().map(|(second, _)| second));
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
        storm.total = stormy.iter().map(|second| ended.in_second(server, *second)).sum();
        let calm = length - stormy.len() as i64;
        let baseline = if calm < WINDOW { 0.0 } else { elsewhere as f64 / calm as f64 };
        let rate = storm.counts.all() as f64 / stormy.len().max(1) as f64;
        (!stormy.is_empty() && (flood || rate >= self.baseline * baseline)).then_some(storm)
    }
}

fn draft(server: Endpoint, storm: &Case<Resets>) -> Draft<Kind> {
    let (resets, kind) = (storm.counts.all(), storm.counts.kind());
    let title = format!("{} of {server} were reset", plural(resets, "connection"));
    let summary = format!(
        "{resets} of {} that ended were reset within {}. {} of the resets came from the server's address. \
         {} {}.",
        plural(storm.total, "connection"),
        storm.affected.active.span(),
        storm.counts.by_server,
        storm.clients(),
        if kind == Kind::Refused { "could not connect" } else { "lost their connections" },
    );
    let few = storm.affected.clients.count() < Severity::CLIENTS;
    let severity = if kind == Kind::Refused && few { Severity::Info } else { Severity::Critical };
    Draft::new(kind, title, summary)
        .severity(severity)
        .count("reset_connections", resets)
        .count("ended_connections", storm.total)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::detect::testing::{fires, silent};
    use crate::dissect::{DefragStats, PacketRef};
    use crate::flow::{Reset, TcpFlow};
    use crate::time::Span;

    const NAME: &str = RstStorm::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("rst_storm_refused", "refused", Severity::Critical),
                ("rst_storm_no_socket", "no_socket", Severity::Critical),
                ("rst_storm_abort", "abort", Severity::Critical),
            ],
        );
    }

    #[test]
    fn it_stays_silent() {
        silent(
            NAME,
            &["healthy_resets", "healthy_close_notify", "blind_rst_inject", "missing_syn_ack_silent"],
        );
    }

    /// A connection of a service that ends at a second, by a RST or by a FIN.
    fn ended(server: [u8; 4], packet: u64, second: i64, reset: bool) -> Flow {
        let at = PacketRef { packet, time: Timestamp(second * 1_000_000_000) };
        let mut tcp = TcpFlow::default();
        if reset {
            tcp.resets.push(Reset {
                at,
                direction: Direction::ToClient,
                class: ResetClass::NoSocket,
                with_ack: false,
                seq: Default::default(),
                ttl: 63,
                trigger: None,
                idle: Span::ZERO,
                count: 1,
            });
        } else {
            tcp.sides[0].fin = Some(at);
        }
        Flow {
            id: packet,
            server: Endpoint { address: IpAddr::V4(Ipv4Addr::from(server)), port: 443 },
            first: at,
            last: at,
            tcp: Some(Box::new(tcp)),
            ..crate::report::tests::flow(packet)
        }
    }

    /// A service with the lowest address ends three connections every second of a day. Another one has a
    /// storm at noon.
    #[test]
    fn a_day_of_a_busy_service_hides_no_storm() {
        const DAY: i64 = 86_400;
        let detector = RstStorm::new(None);
        let mut book: Book<RstStorm> = Book::default();
        for (packet, second) in (1u64..).zip((0..DAY).flat_map(|second| [second; 3])) {
            detector.flow(&ended([10, 0, 0, 1], packet, second, packet % 997 == 0), &mut book);
        }
        for packet in 0..40 {
            let second = DAY / 2 + packet as i64 / 10;
            detector.flow(&ended([203, 0, 113, 77], 1_000_000 + packet, second, true), &mut book);
        }
        let totals = Totals {
            first: Some(Timestamp(0)),
            last: Some(Timestamp(DAY * 1_000_000_000)),
            ..Totals::default()
        };
        let verdict = book
            .finish(&detector, &Context { totals: &totals, files: &[], fragments: DefragStats::default() });
        let servers: Vec<_> =
            verdict.findings.iter().map(|finding| finding.subject.server.as_deref()).collect();
        assert_eq!(servers, [Some("203.0.113.77")]);
        assert_eq!(verdict.findings[0].impact.failed_transactions, 40);
        assert!(verdict.not_assessed.is_empty(), "{:?}", verdict.not_assessed);
    }

    /// More services than the table of minutes holds: a storm without its denominator is not judged, and that
    /// is said.
    #[test]
    fn a_storm_without_its_denominator_is_not_judged() {
        let detector = RstStorm::new(None);
        let mut book: Book<RstStorm> = Book::default();
        let address = |number: u32| [10, (number >> 16) as u8, (number >> 8) as u8, number as u8];
        let hash = |flow: &Flow| hash_of(&flow.server);
        let flows = (0..40_000).map(|number| ended(address(number), u64::from(number) + 1, 5, false));
        let last = flows.inspect(|flow| detector.flow(flow, &mut book)).max_by_key(hash).expect("flows");
        for packet in 0..40 {
            let storm = ended([0; 4], 1_000_000 + packet, 5, true);
            detector.flow(&Flow { server: last.server, ..storm }, &mut book);
        }
        let verdict = book.finish(
            &detector,
            &Context { totals: &Totals::default(), files: &[], fragments: DefragStats::default() },
        );
        assert!(verdict.findings.is_empty());
        let missing = &verdict.not_assessed[0];
        assert_eq!(
            (missing.reason.as_ref(), missing.count),
            ("more services and minutes than are kept apart", 40)
        );
    }
}
