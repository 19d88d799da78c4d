//! # What it finds
//! A service that gets many SYNs whose senders never go on: connections stay half open.
//!
//! # Why it matters
//! Every half-open connection takes a place in the server's queue. When the queue is full, other clients
//! wait or do not get in.
//!
//! # How it decides
//! An attempt counts when its SYN came once, was neither refused nor called unreachable, and its sender did
//! nothing more for `patience`, whatever the server answered. A client that wants in repeats its SYN after
//! one to three seconds, or completes the handshake within a round trip. Ten seconds are a flood when
//! - `attempts` of those come in them from `sources` addresses or more, or `by_few` from fewer, and
//! - at most `completed` of all attempts at the service in these seconds were completed.
//!
//! It is critical when at least half of the other attempts in this time failed, too. Others are attempts
//! that were completed or whose client repeated its SYN. It is information when the capture holds no
//! completed handshake at all: then a filter may have kept the rest of each connection out. Not so where
//! `alike` of the SYNs have one TTL and one window and no MSS option, which hosts send: no filter does that.
//!
//! `reflected`: an address gets `attempts` SYN-ACKs in 10 s from `sources` services or more, for which the
//! capture holds no SYN and after which nothing comes, and with the RSTs of others they are `reflected` of
//! the packets that it gets. Somebody sends SYNs in its name; a capture of one direction of its own
//! connections holds their data.
//!
//! # What it leaves alone
//! - A service that fails or is busy: its clients repeat their SYNs (see `missing_syn_ack`).
//! - Load tests and networks behind one address: they complete their handshakes.
//! - SYNs that are refused (see `connection_refused`), and one source that tries many services once each (see
//!   `port_scan`).
//!
//! # What it does not claim
//! That somebody attacks, or that the addresses are forged. How full the queue of the server was.
//!
//! # References
//! RFC 4987 (SYN flooding and what helps against it); RFC 6298 section 2 (when a SYN is repeated); RFC 9293
//! section 3.7.1 (SYNs carry the MSS).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, Handshake, HandshakeOutcome, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts connection attempts by service and time.
    struct SynFlood {
        attempts: u64 = 200.0 "connections",
            "attempts in 10 s that nobody goes on with, from which it is a flood",
            "ours: more than the queue of a small Linux host holds (tcp_max_syn_backlog, 128)";
        sources: u64 = 50.0 "addresses",
            "addresses that they come from",
            "ours: fewer hosts are a tool on some hosts, see by_few";
        by_few: u64 = 1000.0 "connections",
            "attempts in 10 s from fewer addresses, from which it is a flood",
            "ours: no scan asks one port so often";
        completed: f64 = 0.3 "share",
            "of all attempts at the service in this time that were completed, at most",
            "ours: the clients of a healthy service complete nearly all";
        alike: f64 = 0.9 "share",
            "of the SYNs that look the same and have no MSS option, from which a tool made them",
            "ours: hosts differ in distance and stack, and send the option";
        reflected: f64 = 0.9 "share",
            "of the packets to an address that are SYN-ACKs and RSTs of connections without anything else",
            "ours: whoever opens connections gets data, too";
        patience: Span = 1.0 "s",
            "how long the sender of a SYN must do nothing",
            "RFC 6298 section 2.1: the initial retransmission time-out";
    }
}

variants! {
    /// What was sent in many names.
    enum Kind {
        Flood "" Warning {
            could_be: &[
                "a SYN flood with forged source addresses",
                "a load generator that does not complete handshakes",
                "the packets of the clients that complete handshakes take another path",
            ],
            next: &[
                "read the server's counters: nstat -az TcpExtListenDrops TcpExtSyncookiesSent",
                "ask the network in front of the server where the SYNs enter",
            ],
            not_claimed: &[
                "an attack, or who sends the SYNs",
                "that the source addresses are forged",
                "how full the server's queue was",
            ],
            doubted_by: &[QualityIssue::Drops],
        }
        Reflected "reflected" Warning {
            could_be: &[
                "somebody sends SYNs with this source address to many services, and their answers come here",
                "the capture began inside the handshakes of a host that opens very many connections",
            ],
            next: &[
                "look at the host for SYNs that it sends: ss -tn state syn-sent",
                "ask the network in front of it to drop SYN-ACKs without a connection",
            ],
            not_claimed: &["who sends the SYNs", "that the services that answer are at fault"],
            doubted_by: &[],
        }
    }
}

/// What SYNs of one tool or stack have in common: TTL, window, MSS, window scale, and whether SACK is
/// permitted and timestamps are there.
type Print = (u8, u16, Option<u16>, Option<u8>, bool, bool);

merged! {
    /// How often each fingerprint was seen.
    pub(super) struct Prints(Bounded<Print, (), 64>);
}

impl Listed for Prints {
    fn listed(&self) -> Option<u64> {
        None
    }
}

impl Prints {
    fn add(&mut self, flow: &Flow, handshake: &Handshake) {
        let options = handshake.options[Direction::ToServer.index()].unwrap_or_default();
        let ttl = flow.half(Direction::ToServer).ttl.map_or(0, |(least, _)| least);
        let print = (
            ttl,
            handshake.syn_window,
            options.mss,
            options.window_scale,
            options.sack_permitted,
            options.timestamps.is_some(),
        );
        self.0.count(print);
    }

    /// The share of those that look the same, when they have no MSS option.
    fn bare(&self) -> f64 {
        let most = self.0.iter().max_by_key(|(_, count, ())| *count);
        let bare = most.filter(|((_, _, mss, ..), ..)| mss.is_none());
        bare.map_or(0.0, |(_, count, ())| share(count, self.0.observed()))
    }

    /// ` 94.0 % of them have TTL 62, window 512 and no options.`
    fn remark(&self) -> String {
        let most = self.0.iter().max_by_key(|(_, count, ())| *count);
        let Some(((ttl, window, mss, ..), count, ())) = most.filter(|(_, count, ())| *count > 1) else {
            return String::new();
        };
        let mss = mss.map_or("no MSS option".to_owned(), |mss| format!("MSS {mss}"));
        format!(
            " {} of these SYNs look the same: TTL {ttl}, window {window}, {mss}.",
            percent(count, self.0.observed())
        )
    }
}

counts! {
    /// What a case counts of the attempts that nobody went on with.
    struct Attempts {
        half_open: u64,
        unanswered: u64,
        reset_by_sender: u64,
        prints: Prints,
    }
}

counts! {
    /// What became of all attempts of five seconds.
    struct Slot {
        abandoned: u64,
        sources: Distinct<u64, 64>,
        opened: u64,
        /// Of those, the ones that had to ask twice.
        opened_late: u64,
        /// Their client repeated the SYN, and did not get in.
        failed: u64,
    }
}

merged! {
    /// Attempts by service and slot, and handshakes that were completed anywhere.
    pub(super) struct Slots {
        slots: Bounded<(Endpoint, i64), Slot, { 1 << 15 }>,
        opened: u64,
        /// By who got them: SYN-ACKs that nobody asked for.
        unasked: Bounded<IpAddr, Case<Attempts>, { 1 << 12 }>,
        /// Their packets, and RSTs that nobody asked for.
        bare: Bounded<IpAddr, u64, { 1 << 12 }>,
    }
}

/// Length of a slot, nanoseconds. A flood is looked for in two that follow each other.
const SLOT: i64 = 5_000_000_000;

impl Detector for SynFlood {
    const RULE: Rule = Rule {
        name: "syn_flood",
        group: Group::Tcp,
        summary: "many SYNs to one service whose senders never go on",
        judges: "flows",
        variants: Kind::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("syn_flood.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(
        Meet::Service,
        &[
            "missing_syn_ack",
            "retransmission",
            "rst_storm",
            "connection_refused",
            "slow_server",
            "health_check",
            "http_error",
        ],
    )];
    type Variant = Kind;
    type Key = Endpoint;
    type Counts = Attempts;
    type Total = ();
    type Notes = Slots;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        use HandshakeOutcome::*;
        let Some(tcp) = &flow.tcp else { return };
        let handshake = &tcp.handshake;
        let unasked = is_unasked(tcp);
        if unasked && let Some(bare) = book.notes.bare.count(flow.client.address) {
            *bare += flow.half(Direction::ToClient).packets;
        }
        let replied = handshake.syn_ack_count > 0;
        if unasked
            && replied
            && let Some(case) = book.notes.unasked.count(flow.client.address)
        {
            case.flow(flow, [flow.first]);
            let replies = handshake.syn_acks.iter().take(1);
            case.show(0, flow.id, || replies.map(|at| Evidence::new(*at, Role::SynAck, "no SYN before it")));
        }
        let Some(first) = handshake.syns.first() else { return book.not_judged("began before the capture") };
        let opened = matches!(handshake.outcome, Established | ReplyUnseen);
        let open_end = matches!(handshake.outcome, Silent | HalfOpen | Aborted) && handshake.syn_count == 1;
        if open_end && flow.watched_until - first.time < self.patience {
            return book.not_judged("the capture ended too soon after the SYN");
        }
        book.judged(&flow.server);
        book.notes.opened += u64::from(opened);
        let key = (flow.server, first.time.0.div_euclid(SLOT));
        // By the service, so that a service is kept with all its slots or not at all.
        let slot = book.notes.slots.observe_by(key, |_| hash_of(&flow.server));
        if let Some(slot) = slot {
            slot.opened += u64::from(opened);
            slot.opened_late += u64::from(opened && handshake.syn_count > 1);
            slot.failed += u64::from(!opened && handshake.syn_count > 1);
            slot.abandoned += u64::from(open_end);
            if open_end {
                slot.sources.add(hash_of(&flow.client.address));
            }
        }
        if !open_end {
            return;
        }
        let Some(case) = book.case(flow.server) else { return };
        case.flow(flow, [*first]);
        let counts = &mut case.counts;
        counts.half_open += u64::from(handshake.outcome == HalfOpen);
        counts.unanswered += u64::from(handshake.outcome == Silent);
        counts.reset_by_sender += u64::from(handshake.outcome == Aborted);
        counts.prints.add(flow, handshake);
        case.show(0, flow.id, || {
            let fields = format!("from {}, window {}", flow.client, handshake.syn_window);
            let reply = handshake.syn_acks.first().map(|at| Evidence::new(*at, Role::SynAck, ""));
            [Some(Evidence::new(*first, Role::Syn, fields)), reply].into_iter().flatten()
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut notes = std::mem::take(&mut book.notes);
        let mut concluded = self.reflected(&mut notes, context.heard);
        let mut services: BTreeMap<Endpoint, BTreeMap<i64, &Slot>> = BTreeMap::new();
        for ((server, slot), _, counts) in notes.slots.iter() {
            services.entry(*server).or_default().insert(*slot, counts);
        }
        for (server, case) in book.take(|_, case| case.flows() >= self.attempts) {
            if !notes.slots.covers(hash_of(&server)) {
                book.not_judged_many("more services and seconds than are kept apart", case.flows());
            } else if let Some(flood) = services.get(&server).and_then(|slots| self.flood(slots)) {
                let hidden = notes.opened == 0 && case.counts.prints.bare() < self.alike;
                concluded.push(draft(server, case, &flood, hidden));
            }
        }
        // What is left is no flood.
        book.take(|_, _| true);
        concluded
    }
}

/// The slots of a flood as one, and the most attempts in two that follow each other.
struct Flood {
    sum: Slot,
    busiest: u64,
}

/// Answers to a SYN, a SYN-ACK or a RST, without the SYN, and nothing that would show the connection.
fn is_unasked(tcp: &TcpFlow) -> bool {
    let Handshake { syn_count, syn_ack_count, ack, .. } = &tcp.handshake;
    let empty = tcp.sides.iter().all(|side| side.data_segments == 0 && side.fin.is_none());
    let answers = *syn_ack_count > 0 || tcp.resets.iter().any(|reset| reset.direction == Direction::ToClient);
    *syn_count == 0 && answers && ack.is_none() && empty
}

impl SynFlood {
    /// Addresses that get the answers to SYNs that others send in their name.
    fn reflected(&self, notes: &mut Slots, heard: &Heard) -> Vec<Concluded<Self>> {
        let mut concluded = Vec::new();
        for (target, mut case) in notes.unasked.take_if(|_, case| case.flows() >= self.attempts) {
            let bare = notes.bare.get(&target).map_or(0, |(_, packets)| *packets);
            let all = heard.received(target);
            let span = case.affected.active.span();
            let windows = span.0.max(2 * SLOT) as f64 / (2 * SLOT) as f64;
            let fast = case.flows() as f64 / windows >= self.attempts as f64;
            let services = case.affected.servers.count();
            if !fast || services < self.sources || share(bare, all) < self.reflected {
                continue;
            }
            case.total = case.flows();
            let title =
                format!("{target} gets SYN-ACKs of {} without a SYN", case.affected.servers.of("service"));
            let summary = format!(
                "SYN-ACKs of {} came to it within {span}. The capture holds no SYN for them, and nothing \
                 follows. They and RSTs are {} of the packets that it got.",
                plural(case.flows(), "connection"),
                percent(bare, all),
            );
            let subject = Subject { client: Some(target.to_string()), ..Subject::default() };
            concluded.push((Draft::new(Kind::Reflected, title, summary).subject(subject), case));
        }
        concluded
    }

    fn flood(&self, slots: &BTreeMap<i64, &Slot>) -> Option<Flood> {
        let (mut in_flood, mut busiest) = (BTreeSet::new(), 0);
        for (start, slot) in slots {
            let mut both = (*slot).clone();
            if let Some(next) = slots.get(&(start + 1)) {
                both.absorb((*next).clone());
            }
            let many = both.sources.count() >= self.sources && both.abandoned >= self.attempts;
            let all = both.abandoned + both.opened + both.failed;
            if (many || both.abandoned >= self.by_few) && share(both.opened, all) <= self.completed {
                in_flood.extend([*start, start + 1]);
                busiest = busiest.max(both.abandoned);
            }
        }
        let mut sum = Slot::default();
        in_flood.iter().filter_map(|start| slots.get(start)).for_each(|slot| sum.absorb((*slot).clone()));
        (busiest > 0).then_some(Flood { sum, busiest })
    }
}

/// `hidden`: what followed the SYNs may have been left out of the capture.
fn draft(server: Endpoint, mut case: Case<Attempts>, flood: &Flood, hidden: bool) -> Concluded<SynFlood> {
    let Slot { abandoned, opened, opened_late, failed, .. } = flood.sum;
    (case.failed, case.total) = (failed, failed + opened);
    let others = match (opened, failed) {
        (0, 0) => " No other attempt was seen in this time.".to_owned(),
        (_, 0) if opened_late == 0 => format!(" All {} got in.", plural(opened, "other attempt")),
        _ => format!(
            " Of {} in this time {failed} failed, and {opened_late} got in only after a repeated SYN.",
            plural(opened + failed, "other attempt")
        ),
    };
    let title = format!("{server} gets {} whose senders never go on", plural(abandoned, "SYN"));
    let within = match flood.busiest {
        all if all == abandoned => String::new(),
        some => format!(" {some} of them came within ten seconds."),
    };
    let summary = format!(
        "{} came from {}, and nothing after any of them.{within}{others}{}",
        plural(abandoned, "SYN"),
        case.affected.clients.of("address"),
        case.counts.prints.remark(),
    );
    let severity = match Severity::of_failures(failed, failed + opened, failed, case.lost) {
        _ if hidden => Severity::Info,
        severity => severity.max(Severity::Warning),
    };
    let draft = Draft::new(Kind::Flood, title, summary)
        .severity(severity)
        .confidence(if hidden { Confidence::Possible } else { Confidence::Likely })
        .count("abandoned_attempts", abandoned)
        .count("other_attempts", opened + failed);
    (draft, case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_scene, in_traffic, one, says_nothing};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN, Talk};

    const NAME: &str = SynFlood::RULE.name;

    /// SYNs of so many addresses in 4 s, each one answered when `answered`, and then nothing.
    fn flood(lab: &mut Lab, addresses: u64, count: u64, answered: bool, reset: bool) {
        for number in 0..count {
            let mut talk = lab.talk(7, (9, 443), 100 + number * 4_000 / count, [4_000, 40]);
            let source = [10, 200, (number % addresses / 250) as u8, (number % addresses % 250) as u8];
            talk.ends[CLIENT].address = std::net::Ipv4Addr::from(source).into();
            talk.send(&mut lab.capture, CLIENT, SYN, b"");
            if answered {
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
            }
            if reset {
                talk.turn(SERVER);
                let reset = talk.segment(CLIENT, RST, b"");
                talk.record(&mut lab.capture, &reset);
            }
        }
    }

    fn served(lab: &mut Lab, server: (u8, u16), count: u64) {
        for number in 0..count {
            let mut talk =
                lab.talk(20 + (number % 9) as u8, server, 150 + number * 3_800 / count, [4_000, 40]);
            lab.http(&mut talk, 300);
            talk.close(&mut lab.capture);
        }
    }

    /// Clients that ask again and again and get no answer.
    fn ignored(lab: &mut Lab, count: u64, syns: u64) {
        for number in 0..count {
            let mut talk =
                lab.talk(20 + (number % 200) as u8, (9, 443), 200 + number * 3_000 / count, [4_000, 40]);
            let syn = talk.segment(CLIENT, SYN, b"");
            for _ in 0..syns {
                talk.record(&mut lab.capture, &syn);
                talk.wait(1_000_000);
            }
        }
    }

    /// The end of the capture is some time after the flood.
    fn later(lab: &mut Lab) {
        let mut talk: Talk = lab.talk(8, (10, 80), 9_000, [30, 500]);
        lab.http(&mut talk, 300);
        talk.close(&mut lab.capture);
    }

    /// SYN-ACKs of 300 services to one address, followed by data or not, and by RSTs of the address or not.
    fn unasked(data: bool, resets: bool) -> Vec<Finding> {
        in_traffic(NAME, |lab| {
            for number in 0..300u64 {
                let mut talk = lab.talk(7, (9, 80), 100 + number, [40, 4_000]);
                let source = [10, 200, (number / 250) as u8, (number % 250) as u8];
                talk.ends[SERVER].address = std::net::Ipv4Addr::from(source).into();
                let reply = talk.segment(SERVER, SYN | ACK, b"");
                talk.record(&mut lab.capture, &reply);
                talk.sent(&reply);
                for (side, flags, payload) in [(CLIENT, RST, &b""[..]), (SERVER, ACK, b"220 ready")] {
                    talk.wait(90);
                    if if side == CLIENT { resets } else { data } {
                        let more = talk.segment(side, flags, payload);
                        talk.record(&mut lab.capture, &more);
                    }
                }
            }
        })
    }

    #[test]
    fn syn_acks_of_many_that_nobody_asked_are_reflected() {
        for resets in [false, true] {
            let finding = one(&unasked(false, resets), "reflected", Severity::Warning);
            assert!(finding.summary.contains("came to it within 299 ms"), "{}", finding.summary);
            assert_eq!(finding.impact.services, 300, "{finding:#?}");
        }
        // One direction of a busy host's own connections.
        assert!(unasked(true, false).is_empty());
    }

    #[test]
    fn answered_syns_that_nobody_completes_are_a_flood() {
        let findings = in_traffic(NAME, |lab| {
            flood(lab, 400, 400, true, false);
            served(lab, (9, 443), 20);
            later(lab);
        });
        let finding = one(&findings, "", Severity::Warning);
        assert!(finding.summary.contains("All 20 other attempts got in"), "{}", finding.summary);
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (0, 20));
    }

    #[test]
    fn a_flood_that_keeps_others_out_is_critical() {
        let findings = in_traffic(NAME, |lab| {
            flood(lab, 900, 600, false, false);
            ignored(lab, 12, 4);
            served(lab, (9, 443), 3);
            later(lab);
        });
        let finding = one(&findings, "", Severity::Critical);
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (12, 15));
    }

    #[test]
    fn one_host_can_flood() {
        let findings = in_traffic(NAME, |lab| {
            flood(lab, 1, 1_200, true, true);
            later(lab);
        });
        one(&findings, "", Severity::Warning);
    }

    /// The first packet of each connection is all that the capture holds: of hosts, or of a tool that sends
    /// no MSS.
    #[test]
    fn a_capture_of_syns_alone_shows_a_flood_when_no_host_sends_such() {
        for (bare, severity) in [(false, Severity::Info), (true, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                flood(lab, 400, 400, false, false);
                let mut talk = lab.talk(8, (10, 80), 9_000, [30, 500]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
                for packet in lab.capture.packets.iter_mut().filter(|_| bare) {
                    if let Some(mss @ [2, 4, ..]) = packet.frame.get_mut(54..58) {
                        mss.fill(1);
                    }
                }
            });
            one(&findings, "", severity);
        }
    }

    #[test]
    fn a_service_that_fails_is_no_flood() {
        let findings = in_traffic(NAME, |lab| {
            ignored(lab, 500, 3);
            later(lab);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_load_test_is_no_flood() {
        let findings = in_traffic(NAME, |lab| {
            served(lab, (9, 443), 600);
            flood(lab, 60, 100, true, false);
            later(lab);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_busy_service_with_some_that_give_up_is_not_flooded() {
        let findings = in_traffic(NAME, |lab| {
            served(lab, (9, 443), 300);
            flood(lab, 250, 250, true, false);
            later(lab);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_half_open_scan_of_many_services_is_no_flood() {
        let findings = in_traffic(NAME, |lab| {
            for port in 0..500 {
                let mut talk = lab.talk(7, (9, 1_000 + port), 100 + u64::from(port) * 4, [4_000, 40]);
                talk.send(&mut lab.capture, CLIENT, SYN, b"");
            }
            later(lab);
        });
        assert!(findings.is_empty(), "{findings:#?}");
        says_nothing(NAME, &["missing_syn_ack_silent", "rst_storm_refused", "rst_storm_no_socket"]);
        assert!(in_scene(NAME, "missing_syn_ack_late").is_empty());
    }
}
