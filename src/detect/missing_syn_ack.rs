//! # What it finds
//! Connections that a client asked for and that did not open, although nothing refused them: no answer, an
//! answer that did not arrive, or one that came only after the client had asked again.
//!
//! # Why it matters
//! A client waits 1, 3, 7 ... seconds, up to two minutes, before it gives up. Users see a hang and no error.
//!
//! # How it decides
//! `silent`: SYNs without SYN-ACK, RST or ICMP error, and the capture goes on for at least `patience` after
//! the last one. `lost_return`: SYN-ACKs were seen, and the client repeated its SYN all the same. `ack_lost`:
//! the server repeated its SYN-ACK after the client's ACK. `late`: answered after a repeat, at least `late`
//! after the first SYN.
//!
//! # What it leaves alone
//! - Refused and unreachable connections: those are answers (see `connection_refused`).
//! - Connections whose later packets show that the SYN-ACK existed.
//! - An IPv6 attempt that its client gave up because an IPv4 one to the same port opened meanwhile (RFC
//!   8305).
//! - A port that an earlier connection still used.
//! - Many silent services of one client or one host are one finding. It is information when a client tries
//!   many ports of few hosts or does not repeat its SYNs, as a scan does.
//!
//! # What it does not claim
//! Which device dropped the packets, or that any did: the capture shows only what passed it.
//!
//! # References
//! RFC 9293 section 3.10.7; RFC 6298 section 2; RFC 8305 section 5.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::detect::*;
use crate::dissect::{Direction, Endpoint, PacketRef};
use crate::flow::{Flow, Handshake, HandshakeOutcome};
use crate::time::Span;

thresholds! {
    /// Counts connection attempts by service and by what became of them.
    struct MissingSynAck {
        patience: Span = 1.0 "s",
            "how long the capture must go on after the last SYN before silence means something",
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
            could_be: &[
                "a filter drops the SYN or its answer",
                "no route, or no neighbour, beyond the capture point",
                "the host is down, or its accept queue is full",
                "the answer takes another path than this capture point",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
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

const ONE_WAY: &[&str] = &[
    "packets in one direction are dropped behind the capture point",
    "a stateful device saw one direction only",
];
const NEXT: &[&str] = &[
    "capture at the server at the same time: does the SYN arrive, does an answer leave?",
    "try another port and another client",
];
const NOT_CLAIMED: &[&str] = &["which device drops the packets", "that the service is down"];

counts! {
    /// What a case counts beside its flows.
    struct Attempts {
        syns: u64,
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

/// Who opened an IPv4 connection to which port: link address, port.
type Dialer = ([u8; 6], u16);

/// An IPv6 SYN that was neither answered nor repeated: perhaps the loser of a race with IPv4.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Racer {
    server: Option<Endpoint>,
    case: Case<Attempts>,
}

impl Merge for Racer {
    fn absorb(&mut self, other: Self) {
        // Keys have the flow in them: nothing is ever counted twice under one.
        *self = other;
    }
}

/// IPv6 attempts and the IPv4 connections that may have overtaken them, by dialer, second and flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Races {
    racers: Bounded<(Dialer, i64, u64), Racer>,
    winners: Bounded<(Dialer, i64), u64>,
}

impl Default for Races {
    fn default() -> Self {
        Self { racers: Bounded::new(1 << 14), winners: Bounded::new(1 << 16) }
    }
}

impl Merge for Races {
    fn absorb(&mut self, other: Self) {
        self.racers.absorb(other.racers);
        self.winners.absorb(other.winners);
    }
}

/// A connection attempt races for two seconds at most (RFC 8305 section 5, the longest attempt delay).
const RACE_SECONDS: i64 = 2;

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
    type Variant = Outcome;
    type Key = (Endpoint, Outcome);
    type Counts = Attempts;
    type Total = Opened;
    type Notes = Races;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let handshake = &tcp.handshake;
        let Some((first, last)) = handshake.syns.first().zip(handshake.syns.last()) else {
            return book.not_judged("began before the capture");
        };
        let silent = handshake.outcome == HandshakeOutcome::Silent;
        if silent && flow.watched_until - last.time < self.patience {
            return book.not_judged("the capture ended too soon after the SYN");
        }
        let unseen = handshake.outcome == HandshakeOutcome::ReplyUnseen;
        let opened = unseen || handshake.outcome == HandshakeOutcome::Established;
        if let Some(total) = book.judged(&flow.server) {
            total.opened += u64::from(opened);
            total.reply_unseen += u64::from(unseen);
        }
        let link = flow.half(Direction::ToServer).links.first().map_or([0; 6], |link| link.source);
        let (dialer, second) = ((link, flow.server.port), first.time.0.div_euclid(1_000_000_000));
        if opened && flow.client.address.is_ipv4() {
            book.notes.winners.observe(hash_of(&dialer), (dialer, second));
        }
        let waited = handshake.connect_time.unwrap_or(last.time - first.time);
        let Some(outcome) = self.outcome(handshake, waited) else { return };
        let case = if silent && handshake.syn_count == 1 && flow.client.address.is_ipv6() {
            let racer = book.notes.racers.observe(hash_of(&dialer), (dialer, second, flow.id));
            racer.map(|racer| {
                racer.server = Some(flow.server);
                &mut racer.case
            })
        } else {
            book.case((flow.server, outcome))
        };
        let Some(case) = case else { return };
        case.flow(flow, [*first, flow.last]);
        case.failed += u64::from(outcome != Outcome::Late);
        case.lost += waited;
        case.counts.syns += u64::from(handshake.syn_count);
        case.show(-waited.0, flow.id, || evidence(handshake, *first));
    }

    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        end_races(book);
        let silent = |key: &(Endpoint, Outcome)| key.1 == Outcome::Silent;
        let asked_by =
            book.group(self.sweep, |key, case| case.affected.clients.only().copied().filter(|_| silent(key)));
        let on_host = book.group(self.sweep, |key, _| Some(key.0.address).filter(|_| silent(key)));
        asked_by.into_iter().map(client_sweep).chain(on_host.into_iter().map(host_sweep)).collect()
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
        let (title, shown) = match outcome {
            Outcome::Silent => {
                (format!("No answer to SYN from {server}"), "got no answer of any kind at this capture point")
            }
            Outcome::LostReturn => (
                format!("SYN-ACKs of {server} do not reach the client"),
                "were answered, and the client went on asking",
            ),
            Outcome::AckLost => (
                format!("{server} does not see the end of the handshake"),
                "were acknowledged, and the server went on repeating its SYN-ACK",
            ),
            Outcome::Late => (
                format!("{server} answers a SYN only after a repeat"),
                "opened only after at least one repeated SYN",
            ),
        };
        let icmp = match context.totals.icmp_packets {
            0 => "No ICMP packet was captured".to_owned(),
            count => format!("{} captured, none quotes these SYNs", plural(count, "ICMP packet")),
        };
        let summary = format!(
            "{} to {server} from {} {shown}. The clients sent {} and waited {} in all. {} to this service \
             opened{}. {icmp}.",
            plural(case.flows(), "connection"),
            case.clients(),
            plural(case.counts.syns, "SYN"),
            case.lost,
            plural(opened, if outcome == Outcome::Late { "other connection" } else { "connection" }),
            if outcome == Outcome::Late { " in time" } else { "" },
        );
        // One SYN that nobody repeated, or one failure among many successes, is no outage.
        let outage = case.flows() >= opened && case.counts.syns >= PERSISTENT;
        let mut draft = Draft::new(outcome, title, summary).count("opened", opened);
        if !outage {
            draft = draft.severity(Severity::Warning);
        }
        Some(match unseen_replies(book).filter(|_| outcome == Outcome::Silent) {
            Some(gate) => draft.gate(gate),
            None => draft,
        })
    }
}

impl MissingSynAck {
    /// How an attempt went wrong; `None` when it did not.
    fn outcome(&self, handshake: &Handshake, waited: Span) -> Option<Outcome> {
        match handshake.outcome {
            HandshakeOutcome::Silent => Some(Outcome::Silent),
            HandshakeOutcome::ReplyLost => Some(Outcome::LostReturn),
            HandshakeOutcome::AckLost => Some(Outcome::AckLost),
            HandshakeOutcome::Established => {
                let late = handshake.syn_count > 1 && waited >= self.late && handshake.challenge.is_none();
                late.then_some(Outcome::Late)
            }
            _ => None,
        }
    }
}

fn evidence(handshake: &Handshake, first: PacketRef) -> Vec<Evidence> {
    let after = |at: &PacketRef, of: &str| format!("{} after the first{of}", at.time - first.time);
    let syns = handshake.syns.iter().map(|syn| Evidence::new(*syn, Role::Syn, after(syn, "")));
    let replies =
        handshake.syn_acks.iter().map(|reply| Evidence::new(*reply, Role::SynAck, after(reply, " SYN")));
    syns.chain(replies).collect()
}

/// Counts IPv6 attempts as silent when no IPv4 connection overtook them.
fn end_races(book: &mut Book<MissingSynAck>) {
    let Races { mut racers, winners } = std::mem::take(&mut book.notes);
    let (mut overtaken, mut unknown) = (0, racers.lost());
    for ((dialer, second, _), racer) in racers.take_if(|_, _| true) {
        let Some(server) = racer.server else { continue };
        let hash = hash_of(&dialer);
        let won = |second| winners.get(hash, (dialer, second)).is_some();
        if (second..=second + RACE_SECONDS).any(won) {
            overtaken += 1;
        } else if !winners.covers(hash) {
            unknown += 1;
        } else if let Some(case) = book.case((server, Outcome::Silent)) {
            case.absorb(racer.case);
        }
    }
    book.not_judged_many("IPv6 attempts that an IPv4 connection overtook", overtaken);
    book.not_judged_many("more IPv6 attempts or IPv4 connections than are kept apart", unknown);
}

/// Where connections open without a SYN-ACK in the capture, a missing one says little.
fn unseen_replies(book: &Book<MissingSynAck>) -> Option<Gate> {
    let (mut opened, mut unseen) = (0, 0);
    for (_, _, total) in book.totals() {
        opened += total.opened;
        unseen += total.reply_unseen;
    }
    let numbers = format!("{unseen} of {} opened without one", plural(opened, "connection"));
    (unseen * 10 > opened).then(|| Gate {
        prevents: format!(
            "SYN-ACKs are missing from the capture ({numbers}): an answer can be missing here, too"
        ),
        ..QualityIssue::OneWay.gate("")
    })
}

/// One client asks many services: many ports of few hosts are nobody's daily work.
fn client_sweep(group: CaseGroup<IpAddr, Attempts>) -> Concluded<MissingSynAck> {
    let CaseGroup { by: client, cases, mut case } = group;
    let mut hosts: Distinct<IpAddr> = Distinct::default();
    case.affected.servers.iter().for_each(|server| hosts.add(server.address));
    let scan = !insists(&case) || cases >= 5 * hosts.count();
    let title = format!("{} on {} do not answer {client}", plural(cases, "service"), hosts.of("host"));
    let draft = sweep(&mut case, scan, title)
        .services(cases)
        .count("services", cases)
        .count("hosts", hosts.count())
        .subject(Subject { server: None, port: None, ..Subject::of(&case) })
        .could_be(match scan {
            true => ["a port scan or an inventory", "a peer-to-peer application with stale peers"],
            false => ["the client's way out is broken", "a filter drops what the client sends"],
        })
        .next(&["ask who runs the client", "capture one hop further, to see how far the SYNs come"]);
    (draft, case)
}

/// Several clients ask many services of one host.
fn host_sweep(group: CaseGroup<IpAddr, Attempts>) -> Concluded<MissingSynAck> {
    let CaseGroup { by: server, cases, mut case } = group;
    let scan = !insists(&case);
    let title = format!("{} on {server} do not answer {}", plural(cases, "service"), case.clients());
    let draft = sweep(&mut case, scan, title).services(cases).count("services", cases).could_be(match scan {
        true => {
            ["a port scan or an inventory from several addresses", "the host drops what it does not serve"]
        }
        false => ["the host is down or cut off", "a filter drops what is sent to it"],
    });
    (draft.next(&["ask for the state of the host", "capture at the host at the same time"]), case)
}

/// The clients repeated their SYNs, as a client does that wants an answer.
fn insists(case: &Case<Attempts>) -> bool {
    case.counts.syns >= PERSISTENT * case.flows()
}

fn sweep(case: &mut Case<Attempts>, scan: bool, title: String) -> Draft<Outcome> {
    let how = if scan { ", as a scan does" } else { "" };
    let summary = format!(
        "{} sent {} and waited {} in all{how}. No answer of any kind was seen at this capture point.",
        plural(case.flows(), "connection attempt"),
        plural(case.counts.syns, "SYN"),
        case.lost,
    );
    if scan {
        // Nobody waits for the answers to a scan.
        (case.lost, case.failed) = (Span::ZERO, 0);
    }
    Draft::new(Outcome::Silent, title, summary)
        .severity(if scan { Severity::Info } else { Severity::Critical })
        .confidence(Confidence::Likely)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_scene, in_traffic, one, silent};
    use crate::support::tcp::{CLIENT, SYN};

    const NAME: &str = MissingSynAck::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("missing_syn_ack_silent", "silent", Severity::Critical),
                ("missing_syn_ack_silent_classic", "silent", Severity::Critical),
                ("missing_syn_ack_lost_return", "lost_return", Severity::Critical),
                ("missing_syn_ack_late", "late", Severity::Warning),
            ],
        );
    }

    #[test]
    fn it_stays_silent() {
        silent(
            NAME,
            &["rst_storm_refused", "syn_ack_repeated", "asymmetric_flow_visibility", "mtu_blackhole_silent"],
        );
    }

    #[test]
    fn one_finding_says_whom_it_covers() {
        let findings = in_scene(NAME, "missing_syn_ack_silent");
        let finding = one(&findings, "silent", Severity::Critical);
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (5, 5));
        assert_eq!((finding.scope.flows.count, finding.scope.flows.sample.len()), (5, 5));
        assert_eq!(finding.scope.clients.count, 5);
        assert_eq!(finding.scope.servers.sample, ["10.31.2.5:8443"]);
        assert_eq!(finding.scope.networks.sample, ["10.31.1.0/24"]);
        assert!(!finding.scope.intervals.is_empty());
    }

    #[test]
    fn many_ports_of_one_host_are_one_finding_for_information() {
        let findings = in_traffic(NAME, |lab| {
            for port in 0..40 {
                let mut talk = lab.talk(7, (9, 1000 + port), 10 + u64::from(port), [30, 500]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
            }
            lab.resolves(5_000_000, "www.shop.example");
        });
        assert_eq!(one(&findings, "silent", Severity::Info).impact.services, 40);
        assert_eq!(findings.len(), 1);
    }
}
