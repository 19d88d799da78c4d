//! # What it finds
//! Connections that worked, and from one moment on get no data through, whatever its size.
//!
//! # Why it matters
//! The applications wait until their connections time out, which takes minutes. New connections may work, or
//! not, and nothing was reset.
//!
//! # How it decides
//! A connection on which data had arrived stops dead when its oldest segment was sent `tries` times over
//! `patience` or longer, and was not acknowledged until the end. Deaths are counted by the network of the
//! end that no longer acknowledges, and by direction:
//! - `silent`: that end sent nothing more.
//! - `one_way`: it still sent packets, which acknowledged nothing of it: only one direction is dead.
//!
//! It is a warning or more, by what failed, when `connections` of them began within `together`, and small
//! segments died among them. Clients alone can simply be gone: towards clients, several addresses must be
//! affected. Everything else is information.
//!
//! # What it leaves alone
//! - Connections that died on the first packet after a pause longer than any that they survived (see
//!   `idle_timeout`).
//! - Segments larger than any that had arrived, or with later ones that arrived (see `mtu_blackhole`).
//! - Connections that end with a RST or an ICMP error: a host or router answered.
//! - Connections that never worked (see `missing_syn_ack` and `asymmetric_flow`).
//! - Everything, when the clock of the capture stepped back by more than a minute.
//!
//! # What it does not claim
//! Where the packets are lost, or that the silent hosts run.
//!
//! # References
//! RFC 9293 section 3.8.3 (a connection that gives up); RFC 6298 section 5; RFC 1122 section 4.2.3.5.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detect::scope::network;
use crate::detect::*;
use crate::dissect::Direction;
use crate::flow::{Flow, TcpFlow, Unanswered};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Counts connections that stop, by network, direction and time.
    struct PathOutage {
        tries: u64 = 4.0 "segments",
            "tries of one segment, from which its connection is dead",
            "ours: three time-outs in a row (RFC 6298), one more than loss makes likely";
        patience: Span = 3.0 "s",
            "first to last try, from which its connection is dead",
            "RFC 1122 section 4.2.3.5: R1, at least three retransmissions, a second and its double";
        connections: u64 = 3.0 "connections",
            "connections that die together, from which it is a warning",
            "ours: one or two may be a host that left";
        together: Span = 30.0 "s",
            "time in which they begin to die",
            "ours: connections in use send that often";
    }
}

variants! {
    /// What still comes from the end that no longer acknowledges.
    enum Outage {
        Silent "silent" Critical {
            could_be: &[
                "the path between the hosts is interrupted behind the capture point",
                "a stateful device lost its state, and drops what it does not know",
                "the silent host was switched off or lost its link",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        OneWay "one_way" Critical {
            could_be: &[
                "one direction of the path is interrupted: a route, a link, or one member of a bundle",
                "a stateful device drops one direction after a route changed",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

const NEXT: &[&str] = &[
    "compare the time with changes of routes, links, firewalls and clusters",
    "capture at the other end at the same time: do the repeated segments arrive?",
];
const NOT_CLAIMED: &[&str] = &["where the packets are lost", "that the silent hosts run"];

/// The least MTU of IPv6 (RFC 8200 section 5): no path is too narrow for such a datagram.
const SMALL: u32 = 1280;

/// An answer that is on its way when the path breaks arrives within this time.
const ON_ITS_WAY: Span = Span::secs(1);

/// A pause that is no pause: the connection was in use. The shortest limit of idle connections in use.
const IN_USE: Span = Span::secs(2);

/// Width of the slots of onsets.
const SLOT: i64 = 10_000_000_000;

counts! {
    /// What a case counts beside its flows.
    struct Stops {
        tries: u64,
        /// Connections on which small segments died.
        small: u64,
        /// Connections whose silent end still sent packets.
        one_way: u64,
        onset: Earliest,
    }
}

counts! {
    /// What is counted of every connection of a network.
    struct Alive {
        /// When the network was heard last.
        last_heard: Latest,
    }
}

/// The network of the end that no longer acknowledges, and the direction to it.
type Behind = (Direction, IpAddr);

impl Detector for PathOutage {
    const RULE: Rule = Rule {
        name: "path_outage",
        group: Group::Path,
        summary: "connections in use that stop dead: nothing arrives any more, whatever its size",
        judges: "flows",
        variants: Outage::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("path_outage.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[
        Explains::by(Meet::Flows, &["retransmission"]),
        Explains::by(
            Meet::Server,
            &["missing_syn_ack", "dns_unanswered", "echo_loss", "health_check", "retransmission"],
        ),
        Explains::by(Meet::Upstream, &["http_error", "slow_server"]),
    ];
    type Variant = Outage;
    type Key = (Behind, i64);
    type Counts = Stops;
    type Total = Alive;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = flow.tcp.as_ref().filter(|tcp| tcp.handshake.outcome.is_open()) else { return };
        if flow.is_one_way() {
            return book.not_judged("one direction only");
        }
        for direction in Direction::BOTH {
            let back = direction.reverse();
            let behind = (direction, network(flow.sender(back).address));
            if let Some(alive) = book.judged(&behind)
                && let Some(last) = flow.half(back).last
            {
                alive.last_heard.add(last.time);
            }
            let Some(end) = self.stops(flow, tcp, direction) else { continue };
            let slot = end.first.time.0.div_euclid(SLOT);
            let Some(case) = book.case((behind, slot)) else { continue };
            let heard = flow.half(back).last.filter(|last| last.time - end.first.time > ON_ITS_WAY);
            case.flow(flow, [end.first, end.last]);
            case.failed += 1;
            case.lost += end.last.time - end.first.time;
            case.counts.tries += u64::from(end.tries);
            case.counts.small += u64::from(end.ip_length <= SMALL);
            case.counts.one_way += u64::from(heard.is_some());
            case.counts.onset.add(end.first.time);
            case.show(end.first.time.0, flow.id, || {
                let size = format!("{} bytes", end.ip_length);
                let last = format!("try {}, never acknowledged", end.tries);
                let back =
                    flow.half(back).last.map(|at| Evidence::new(at, Role::Back, "the last packet back"));
                [
                    Some(Evidence::new(end.first, Role::Original, size)),
                    Some(Evidence::new(end.last, Role::Retransmission, last)),
                    back,
                ]
                .into_iter()
                .flatten()
            });
        }
    }

    /// Every flow is judged in both directions.
    fn assessed(&self, counted: u64, _: &Context<'_>) -> u64 {
        counted / 2
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        book.without_time(context);
        let mut networks: BTreeMap<Behind, BTreeMap<i64, Case<Stops>>> = BTreeMap::new();
        for ((behind, slot), case) in book.take(|_, _| true) {
            networks.entry(behind).or_default().insert(slot, case);
        }
        let mut concluded = Vec::new();
        for (behind, slots) in networks {
            let (total, alive) = book.total(&behind);
            let last_heard = alive.and_then(|alive| alive.last_heard.get());
            for (mut case, together) in self.outages(slots) {
                case.total = total;
                concluded.extend(self.draft(behind, &case, together, last_heard).map(|draft| (draft, case)));
            }
        }
        concluded
    }
}

impl PathOutage {
    /// What `direction` repeated in vain when the connection stopped.
    fn stops(&self, flow: &Flow, tcp: &TcpFlow, direction: Direction) -> Option<Unanswered> {
        let waits = tcp.waits.as_ref()?;
        let end = waits.unanswered[direction.index()]?;
        let side = tcp.side(direction);
        let dead = u64::from(end.tries) >= self.tries && end.last.time - end.first.time >= self.patience;
        let worked = side.acked_progress > 1 && tcp.side(direction.reverse()).acked_progress > 1;
        let fits = end.ip_length <= SMALL || end.ip_length <= side.sizes.largest_delivered;
        let answered = tcp.resets.iter().any(|reset| reset.direction != direction)
            || flow.icmp_errors.iter().any(|error| error.at.packet > end.first.packet);
        let survived = waits.survived.map_or(IN_USE, |pause| pause.length().max(IN_USE));
        let idle = waits.fatal.is_some_and(|fatal| {
            fatal.pause.after.packet == end.first.packet && fatal.pause.length() > survived
        });
        // Only its goodbye got lost, or the other side had said goodbye before.
        let parting = [direction, direction.reverse()]
            .iter()
            .any(|of| tcp.side(*of).fin.is_some_and(|fin| fin.packet <= end.first.packet));
        (dead && worked && fits && !end.later_arrived && !answered && !idle && !parting).then_some(end)
    }

    /// Adds up the slots of an outage; with each the most connections that died together.
    fn outages(&self, slots: BTreeMap<i64, Case<Stops>>) -> Vec<(Case<Stops>, u64)> {
        let width = (self.together.0 / SLOT).max(1);
        let failed: BTreeMap<i64, u64> = slots.iter().map(|(slot, case)| (*slot, case.failed)).collect();
        let mut outages: Vec<(Case<Stops>, u64)> = Vec::new();
        let mut last = None;
        for (slot, case) in slots {
            let together: u64 = failed.range(slot..slot + width).map(|(_, failed)| failed).sum();
            match outages.last_mut().filter(|_| last.is_some_and(|last| slot - last <= width)) {
                Some((outage, most)) => {
                    outage.absorb(case);
                    *most = together.max(*most);
                }
                None => outages.push((case, together)),
            }
            last = Some(slot);
        }
        outages
    }

    fn draft(
        &self,
        (direction, _): Behind,
        case: &Case<Stops>,
        together: u64,
        last_heard: Option<Timestamp>,
    ) -> Option<Draft<Outage>> {
        let counts = &case.counts;
        let to_client = direction == Direction::ToClient;
        let clients = case.affected.clients.count();
        // One client that falls silent has left.
        if to_client && clients < 2 {
            return None;
        }
        let outage = if counts.one_way * 2 > case.failed { Outage::OneWay } else { Outage::Silent };
        let severity = match together >= self.connections && counts.small >= 2 {
            true if to_client => case.severity(case.failed),
            // Connections of the network that were over before say nothing of the outage.
            true => case.severity(case.failed).max(Severity::Warning),
            false => Severity::Info,
        };
        let peers = match (to_client, case.server(), case.affected.server_address()) {
            (true, ..) => case.clients(),
            (false, Some(server), _) => server.to_string(),
            (false, None, Some(address)) => address.to_string(),
            (false, None, None) => case.affected.servers.of("service"),
        };
        let flows = plural(case.failed, "connection");
        let title = match outage {
            Outage::Silent => format!("{flows} to {peers} stopped dead"),
            Outage::OneWay => format!("Data of {flows} no longer reaches {peers}"),
        };
        let onset = counts.onset.get()?;
        let since = crate::humanize::whole_seconds(onset);
        let back = match outage {
            Outage::Silent => "Nothing came back.",
            Outage::OneWay => "Packets of the other direction still came, and acknowledged nothing of it.",
        };
        let others = match last_heard.is_some_and(|last| last > onset + self.together) {
            true => " Other packets from there were seen later.",
            false => "",
        };
        let summary = format!(
            "Since {since} {flows} of {} got nothing through. Their oldest segments were sent {} and never \
             acknowledged. {back} Before, data had arrived on each.{others}",
            case.clients(),
            plural(counts.tries, "time"),
        );
        let confidence = if severity > Severity::Info { Confidence::Likely } else { Confidence::Possible };
        let draft = Draft::new(outage, title, summary).severity(severity).confidence(confidence);
        Some(draft.direction(direction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing, silent};
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, Talk};

    const NAME: &str = PathOutage::RULE.name;

    fn in_use(lab: &mut Lab, client: u8, server: u8, at: u64) -> Talk {
        let mut talk = lab.talk(client, (server, 8080), at, [30, 4_000]);
        lab.http(&mut talk, 3_000);
        talk.wait(300_000);
        talk.exchange(&mut lab.capture, b"GET /next HTTP/1.1\r\n\r\n", 3_000);
        talk.wait(300_000);
        talk
    }

    /// `side` sends so many bytes, again and again.
    fn stops(lab: &mut Lab, talk: &mut Talk, side: usize, bytes: usize) {
        let lost = talk.send_lost(&mut lab.capture, side, &filler(3, bytes));
        for number in 0..6 {
            talk.wait(230_000 << number);
            talk.resend(&mut lab.capture, &lost);
        }
    }

    #[test]
    fn it_fires() {
        fires(NAME, &[("path_outage", "silent", Severity::Warning)]);
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(
            NAME,
            &["idle_timeout_silent", "missing_syn_ack_silent", "healthy_large", "keepalive_race"],
        );
        silent(NAME, &["retransmission_rto", "mtu_blackhole_silent", "blind_pmtu_blackhole"]);
    }

    #[test]
    fn servers_of_one_network_that_stop_together_are_one_finding() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = in_use(lab, 7 + number, 20 + number, 10 + 400 * u64::from(number));
                stops(lab, &mut talk, CLIENT, 200);
            }
        });
        let finding = one(&findings, "silent", Severity::Critical);
        assert_eq!((findings.len(), finding.impact.services, finding.impact.failed_transactions), (1, 4, 4));
    }

    /// At the client: what the server repeats arrives, and nothing that the client sends.
    #[test]
    fn one_direction_is_told() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = in_use(lab, 7, 20, 10 + 400 * number);
                let begin = talk.now;
                stops(lab, &mut talk, CLIENT, 200);
                talk.now = begin + 7_000_000;
                let keep_alive = talk.segment(SERVER, ACK, b"");
                talk.record(&mut lab.capture, &keep_alive);
            }
        });
        let finding = one(&findings, "one_way", Severity::Critical);
        assert_eq!(finding.subject.direction, Some(Direction::ToServer));
    }

    #[test]
    fn one_connection_that_stops_is_information() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = in_use(lab, 7, 20, 10);
            stops(lab, &mut talk, CLIENT, 200);
        });
        one(&findings, "silent", Severity::Info);
    }

    #[test]
    fn a_client_that_left_is_nothing() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = in_use(lab, 7, 20 + number, 10 + 400 * u64::from(number));
                stops(lab, &mut talk, SERVER, 200);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn clients_that_lose_their_path_together_are_critical() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = in_use(lab, 7 + number, 20, 10 + 400 * u64::from(number));
                stops(lab, &mut talk, SERVER, 200);
            }
        });
        let finding = one(&findings, "silent", Severity::Critical);
        assert_eq!(finding.subject.direction, Some(Direction::ToClient));
    }

    #[test]
    fn a_host_that_resets_is_there() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = in_use(lab, 7, 20, 10 + 400 * number);
                stops(lab, &mut talk, CLIENT, 200);
                let expects = talk.ends[CLIENT].expects;
                let mut reset = talk.segment(SERVER, RST, b"");
                reset.seq = expects;
                talk.record(&mut lab.capture, &reset);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Only large segments die, larger than any before: that is the path MTU.
    #[test]
    fn large_segments_alone_are_no_outage() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = in_use(lab, 7, 20, 10 + 400 * number);
                stops(lab, &mut talk, CLIENT, 1_448);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn the_end_of_the_capture_is_no_outage() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = in_use(lab, 7, 20, 10 + 400 * number);
                let lost = talk.send_lost(&mut lab.capture, CLIENT, b"next");
                talk.wait(230_000);
                talk.resend(&mut lab.capture, &lost);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
