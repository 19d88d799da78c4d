//! # What it finds
//! Addresses that hosts or routers ask for by ARP, or by IPv6 neighbour solicitation, and that nobody has.
//!
//! # Why it matters
//! Without a link address no packet leaves. The sender's application gets "no route to host" after some
//! seconds, and on the wire there is nothing but the requests.
//!
//! # How it decides
//! At least `requests` requests in a row, over `lasting` seconds or more, got no reply, and the address was
//! not heard of in any other way since. The capture holds packets sent to the one who asks, so that it would
//! hold a reply.
//! - `gateway`: the address forwarded packets to other addresses before. A warning, critical when several
//!   hosts miss it.
//! - `host`: a warning when connections to it failed at the same time, otherwise information: people ask for
//!   hosts that are switched off all day long. Connections whose packets went to the link address of another
//!   host, a gateway, do not count: they did not need the one that nobody says. Nor do those to a port of
//!   peers (TCP 7680): another peer does as well. Nobody needs what a scan asks for.
//!
//! # What it leaves alone
//! - Probes and announcements of the sender's own address (RFC 5227): they want no reply.
//! - Askers that the capture holds no packet to: elsewhere on the link one sees the broadcast requests and
//!   not the replies.
//! - One asker that asks for many addresses in vain: a scan or an inventory, for information.
//! - Duplicate observations of a request.
//!
//! # What it does not claim
//! That the host is down: it can be in another VLAN.
//!
//! # References
//! RFC 826, RFC 1122 section 2.3.2.1 (one request a second), RFC 4861 section 7.2.2 (three solicitations).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::detect::ports::is_peer;
use crate::detect::*;
use crate::dissect::{Arp, Direction, PacketRecord, PacketRef};
use crate::flow::{Flow, HandshakeOutcome};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Follows requests for link addresses.
    struct ArpUnanswered {
        requests: u64 = 3.0 "requests",
            "requests in a row without a reply",
            "RFC 4861 section 10: MAX_MULTICAST_SOLICIT; Linux mcast_solicit";
        lasting: Span = 1.5 "s",
            "time from the first to the last of them",
            "RFC 1122 section 2.3.2.1 and RFC 4861 section 10: one a second";
        sweep: u64 = 15.0 "addresses",
            "addresses that one host asks for in vain, from which it is a scan",
            "Zeek's scan policy, 15 ports";
        forwards: u64 = 3.0 "addresses",
            "other addresses that its link address forwarded to, from which it is a gateway",
            "ours: a host forwards to nobody";
    }
}

variants! {
    /// Who does not answer.
    enum Missing {
        Gateway "gateway" Warning {
            could_be: &["the gateway is down, or its interface is", "the host is in the wrong VLAN"],
            next: &["look at the gateway's interface", "ask other hosts of the link: arping"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        Host "host" Info {
            could_be: &["the host is off or has another address", "the host is in another VLAN"],
            next: &["ask on the host's own link: arping", "look for the address in DHCP and DNS"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
    }
}

const NOT_CLAIMED: &[&str] = &["that the host is down", "why it does not answer"];

counts! {
    /// What a case counts.
    struct Requests {
        requests: u64,
        /// Connections to the address that got no answer.
        failed_connections: u64,
    }
}

/// The requests of one host for one address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Asking {
    requests: u64,
    replies: u64,
    /// Requests since the last reply, and some of them.
    run: u64,
    shown: Vec<PacketRef>,
    last: Option<PacketRef>,
}

impl Asking {
    /// Requests kept.
    const SHOWN: usize = 6;
    /// The same request this soon is another observation of it.
    const COPY: Span = Span::millis(50);

    fn request(&mut self, at: PacketRef) {
        if self.last.is_some_and(|last| at.time - last.time <= Self::COPY) {
            return;
        }
        self.requests += 1;
        self.run += 1;
        self.last = Some(at);
        if self.shown.len() < Self::SHOWN {
            self.shown.push(at);
        }
    }

    fn reply(&mut self) {
        self.replies += 1;
        self.run = 0;
        self.shown.clear();
    }
}

impl Merge for Asking {
    /// One partition has all messages between two addresses: there is never anything to add up.
    fn absorb(&mut self, other: Self) {
        if (other.run, other.last) > (self.run, self.last) {
            (self.run, self.last, self.shown) = (other.run, other.last, other.shown);
        }
        self.requests += other.requests;
        self.replies += other.replies;
    }
}

/// What is known of an address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    /// When it was heard last, nanoseconds since the epoch.
    heard: Most,
    /// Packets that were sent to it alone.
    received: u64,
    /// Its link addresses.
    links: Distinct<[u8; 6], 4>,
}

impl Merge for Known {
    fn absorb(&mut self, other: Self) {
        self.heard.absorb(other.heard);
        self.received += other.received;
        self.links.absorb(other.links);
    }
}

merged! {
    /// Connections without an answer, and when the last of them ended.
    struct Failed {
        count: u64,
        last: Most,
    }
}

merged! {
    /// What is kept beside the cases.
    pub(super) struct Neighbours {
        /// By VLAN, target, and who asks.
        asking: Bounded<(IpAddr, IpAddr, u16), Asking, { 1 << 14 }>,
        known: Bounded<IpAddr, Known, { 1 << 15 }>,
        /// By server, and the link address that was to get the packets.
        failed: Bounded<(IpAddr, [u8; 6]), Failed, { 1 << 14 }>,
        /// Addresses that packets to a link address went to.
        forwards: Bounded<[u8; 6], Distinct<IpAddr, 8>, { 1 << 12 }>,
    }
}

impl Neighbours {
    fn known(&mut self, address: IpAddr) -> Option<&mut Known> {
        self.known.count(address)
    }

    fn of(&self, address: IpAddr) -> Known {
        self.known.get(&address).map(|(_, known)| known.clone()).unwrap_or_default()
    }

    /// Connections to `target` that failed later than `since`, and that did not go to the link address of
    /// another host than those who ask.
    fn failed(&self, target: IpAddr, askers: &BTreeMap<IpAddr, Asking>, since: u64) -> u64 {
        let of_target = self.failed.iter().filter(|((server, _), ..)| *server == target);
        let mut by_link: BTreeMap<[u8; 6], u64> = BTreeMap::new();
        for ((_, link), _, failed) in of_target.filter(|(.., failed)| failed.last.get() >= since) {
            by_link.insert(*link, failed.count);
        }
        if by_link.is_empty() {
            return 0;
        }
        let owns = |known: &Known, link: &[u8; 6]| known.links.iter().any(|own| own == link);
        let mut elsewhere = BTreeSet::new();
        for (address, _, known) in self.known.iter() {
            elsewhere.extend(by_link.keys().filter(|link| *address != target && owns(known, link)).copied());
        }
        for near in askers.keys().chain([&target]).map(|near| self.of(*near)) {
            elsewhere.retain(|link| !owns(&near, link));
        }
        by_link.iter().filter(|(link, _)| !elsewhere.contains(*link)).map(|(_, count)| count).sum()
    }

    /// Addresses that `known` forwarded to. Those that claim its link address are its own, or hosts behind
    /// the same bridge.
    fn forwarded(&self, known: &Known) -> u64 {
        let claim = |other: &IpAddr, link| self.of(*other).links.iter().any(|own| own == link);
        let by =
            known.links.iter().filter_map(|link| self.forwards.get(link).map(|(_, others)| (link, others)));
        by.map(|(link, others)| others.iter().filter(|other| !claim(other, link)).count() as u64)
            .max()
            .unwrap_or(0)
    }
}

impl Detector for ArpUnanswered {
    const RULE: Rule = Rule {
        name: "arp_unanswered",
        group: Group::Path,
        summary: "ARP requests and neighbour solicitations that nobody answers",
        judges: "address lookups",
        variants: Missing::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("arp_unanswered.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(
        Meet::Host,
        &[
            "icmp_unreachable",
            "missing_syn_ack",
            "dns_unanswered",
            "echo_loss",
            "path_outage",
            "retransmission",
            "health_check",
        ],
    )];
    type Variant = Missing;
    type Key = (IpAddr,);
    type Counts = Requests;
    type Total = ();
    type Notes = Neighbours;

    fn neighbour(&self, packet: &PacketRecord, arp: &Arp, book: &mut Book<Self>) {
        let at = PacketRef { packet: packet.packet, time: packet.time };
        if arp.sender.is_unspecified() {
            return;
        }
        if let Some(known) = book.notes.known(arp.sender) {
            known.heard.add(at.time.0.unsigned_abs());
            known.links.add(arp.sender_link);
        }
        if arp.sender == arp.target || arp.target.is_unspecified() {
            return;
        }
        let vlan = packet.path.vlan;
        if !arp.reply {
            let key = (arp.target, arp.sender, vlan);
            if let Some(asking) = book.notes.asking.count(key) {
                asking.request(at);
            }
            return;
        }
        let key = (arp.sender, arp.target, vlan);
        if let Some(asking) = book.notes.asking.get_mut(&key) {
            asking.reply();
        }
        if let Some(known) = book.notes.known(arp.target) {
            known.received += 1;
        }
    }

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        for direction in Direction::BOTH {
            let half = flow.half(direction);
            let (sender, receiver) =
                (flow.sender(direction).address, flow.sender(direction.reverse()).address);
            let Some(last) = half.last else { continue };
            if let Some(known) = book.notes.known(sender) {
                known.heard.add(last.time.0.unsigned_abs());
            }
            if let Some(known) = book.notes.known(receiver) {
                known.received += half.packets;
            }
            for link in &half.links {
                let group = link.destination[0] & 1 == 1 || link.destination == [0; 6];
                if !group && let Some(to) = book.notes.forwards.count(link.destination) {
                    to.add(receiver);
                }
            }
        }
        let Some(tcp) = &flow.tcp else { return };
        let failed = !is_peer(flow.server.port)
            && matches!(tcp.handshake.outcome, HandshakeOutcome::Silent | HandshakeOutcome::Unreachable);
        let link = flow.half(Direction::ToServer).links.first().map_or([0; 6], |link| link.destination);
        if failed && let Some(failed) = book.notes.failed.count((flow.server.address, link)) {
            failed.count += 1;
            failed.last.add(flow.last.time.0.unsigned_abs());
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let notes = std::mem::take(&mut book.notes);
        let mut missing: BTreeMap<IpAddr, BTreeMap<IpAddr, Asking>> = BTreeMap::new();
        let mut vain: BTreeMap<IpAddr, u64> = BTreeMap::new();
        let ends = context.totals.last.unwrap_or(Timestamp::MAX);
        for ((target, asker, _), _, asking) in notes.asking.iter() {
            book.judged(target);
            let (Some(first), Some(last)) = (asking.shown.first(), asking.last) else { continue };
            if asking.run < self.requests || last.time - first.time < self.lasting {
                continue;
            }
            if ends - last.time < Span::millis(500) && asking.run == self.requests {
                continue;
            }
            if notes.of(*target).heard.get() > first.time.0.unsigned_abs() {
                book.not_judged("the address was heard of in another way");
                continue;
            }
            if notes.of(*asker).received == 0 {
                book.not_judged("the capture holds nothing that was sent to the one who asks");
                continue;
            }
            *vain.entry(*asker).or_default() += 1;
            missing.entry(*target).or_default().insert(*asker, asking.clone());
        }
        let visits = &context.heard.visits;
        let scanners = visits.scanners();
        let mut concluded = Vec::new();
        for (asker, addresses) in vain.iter().filter(|(_, addresses)| **addresses >= self.sweep) {
            concluded.push(sweep(*asker, *addresses, &missing));
        }
        for (target, mut askers) in missing {
            askers.retain(|asker, _| vain.get(asker).is_none_or(|addresses| *addresses < self.sweep));
            if !askers.is_empty() {
                let scanned = visits.failed(target).all(|client| scanners.contains_key(&client));
                concluded.push(self.finding(target, &askers, &notes, scanned));
            }
        }
        concluded
    }
}

impl ArpUnanswered {
    fn finding(
        &self,
        target: IpAddr,
        askers: &BTreeMap<IpAddr, Asking>,
        notes: &Neighbours,
        scanned: bool,
    ) -> Concluded<Self> {
        let known = notes.of(target);
        let mut case = case_of(askers.iter().map(|(asker, asking)| (*asker, asking)));
        let since = case.first_seen().map_or(0, |first| first.0.unsigned_abs());
        case.counts.failed_connections = notes.failed(target, askers, since);
        let fails = case.counts.failed_connections > 0 && !scanned;
        let gateway = notes.forwarded(&known) >= self.forwards;
        let replied = askers.values().any(|asking| asking.replies > 0) || known.heard.get() > 0;
        let (variant, severity) = match gateway {
            true if askers.len() as u64 >= Severity::CLIENTS => (Missing::Gateway, Severity::Critical),
            true => (Missing::Gateway, Severity::Warning),
            false if fails => (Missing::Host, Severity::Warning),
            false => (Missing::Host, Severity::Info),
        };
        let what = if target.is_ipv4() { "ARP request" } else { "neighbour solicitation" };
        let title = match (gateway, replied) {
            (true, _) => format!("The gateway {target} answers no {what} any more"),
            (false, true) => format!("{target} answers no {what} any more"),
            (false, false) => format!("Nobody answers to the address {target}"),
        };
        let connections = match case.counts.failed_connections {
            0 => String::new(),
            failed => format!(" {} to it got no answer.", plural(failed, "connection")),
        };
        let summary = format!(
            "{} asked for {target} in vain: {} in {} got no reply.{connections}",
            plural(askers.len() as u64, "host"),
            plural(case.counts.requests, what),
            case.affected.active.span(),
        );
        (Draft::new(variant, title, summary).severity(severity).subject(subject(target)), case)
    }
}

fn subject(target: IpAddr) -> Subject {
    Subject { server: Some(target.to_string()), ..Subject::default() }
}

fn case_of<'a>(askers: impl Iterator<Item = (IpAddr, &'a Asking)>) -> Case<Requests> {
    let mut case: Case<Requests> = Case::default();
    for (asker, asking) in askers {
        case.failed += 1;
        case.counts.requests += asking.run;
        case.affected.clients.add(asker);
        let (Some(first), Some(last)) = (asking.shown.first(), asking.last) else { continue };
        case.affected.active.add_range(first.time, last.time.max(first.time));
        case.lost += last.time - first.time;
        let rank = -(asking.run.min(1 << 32) as i64);
        case.show(rank, first.packet, || {
            asking.shown.iter().map(|at| Evidence::new(*at, Role::ArpRequest, format!("asked by {asker}")))
        });
    }
    case
}

/// One host asks for many addresses: nobody's daily work.
fn sweep(
    asker: IpAddr,
    addresses: u64,
    missing: &BTreeMap<IpAddr, BTreeMap<IpAddr, Asking>>,
) -> Concluded<ArpUnanswered> {
    let of_asker = missing.values().filter_map(|askers| askers.get(&asker));
    let mut case = case_of(of_asker.map(|asking| (asker, asking)));
    // Nobody misses what a scan did not find.
    (case.failed, case.lost) = (0, Span::ZERO);
    let count = plural(addresses, "address");
    let summary =
        format!("{} for {count} got no reply, as in a scan.", plural(case.counts.requests, "request"));
    let draft = Draft::new(Missing::Host, format!("{asker} asks for {count} in vain"), summary)
        .confidence(Confidence::Likely)
        .subject(Subject { client: Some(asker.to_string()), ..Subject::default() })
        .could_be(["a scan or an inventory of the network", "a router whose hosts are scanned from outside"])
        .next(&["ask who runs it"])
        .count("addresses", addresses);
    (draft, case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::frame::arp;
    use crate::support::scenes::Lab;
    use crate::support::scenes::link::{asks, replies};
    use crate::support::tcp::{CLIENT, SERVER, SYN, Talk};

    const NAME: &str = ArpUnanswered::RULE.name;

    #[test]
    fn it_fires() {
        fires(NAME, &[("arp_unanswered", "host", Severity::Warning)]);
    }

    #[test]
    fn it_says_nothing() {
        says_nothing(NAME, &["duplicate_ip", "healthy_resets", "icmp_unreachable_host"]);
    }

    /// Requests every second, beside traffic of the one who asks.
    fn in_vain(lab: &mut Lab, host: u8, asker: u8, count: u64) {
        let mut talk = lab.talk(asker, (80, 80), 10, [30, 2_000]);
        lab.http(&mut talk, 300);
        talk.close(&mut lab.capture);
        (0..count).for_each(|number| asks(lab, 500_000 + number * 1_020_000, asker, host));
        replies(lab, 9_000_000, asker, 77);
    }

    /// Behind a bridge of a wireless network all hosts have one link address, and it is no gateway.
    #[test]
    fn a_gateway_that_goes_away_is_a_warning() {
        let findings = |bridge: bool| {
            in_traffic(NAME, |lab| {
                for server in 20..26 {
                    let mut talk = lab.talk(7, (server, 80), u64::from(server) * 3, [30, 2_000]);
                    lab.http(&mut talk, 300);
                    talk.close(&mut lab.capture);
                }
                let gateway = ([2, 0x5e, 0, 10, lab.net, 1], [10, lab.net, 1, 1]);
                let client = ([2, 0, 10, lab.net, 1, 7], [10, lab.net, 1, 7]);
                lab.capture.record(100, arp(false, client, gateway));
                lab.capture.record(300, arp(true, gateway, client));
                for server in (20..26).filter(|_| bridge) {
                    let IpAddr::V4(own) = lab.server(server) else { continue };
                    lab.capture.record(400, arp(true, (gateway.0, own.octets()), client));
                }
                (0..4).for_each(|number| {
                    lab.capture.record(3_000_000 + number * 1_000_000, arp(false, client, gateway));
                });
                replies(lab, 9_000_000, 7, 77);
            })
        };
        one(&findings(true), "host", Severity::Info);
        let findings = findings(false);
        let finding = one(&findings, "gateway", Severity::Warning);
        assert!(finding.title.ends_with("any more"), "{}", finding.title);
    }

    #[test]
    fn a_host_that_nobody_connects_to_is_information() {
        let findings = in_traffic(NAME, |lab| in_vain(lab, 66, 7, 5));
        one(&findings, "host", Severity::Info);
    }

    /// Windows looks for hosts that have its updates already: one that is gone is missed by nobody.
    #[test]
    fn a_peer_that_is_gone_is_information() {
        for (port, severity) in [(7680, Severity::Info), (8080, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                in_vain(lab, 66, 7, 5);
                let server = (lab.client(66), port);
                let mut talk = Talk::new((lab.client(7), 41_000), server, 500_100, [30, 500]);
                talk.ends[SERVER].mac = [2, 0, 10, lab.net, 1, 66];
                let syn = talk.segment(CLIENT, SYN, b"");
                for _ in 0..4 {
                    talk.record(&mut lab.capture, &syn);
                    talk.wait(1_500_000);
                }
            });
            one(&findings, "host", severity);
        }
    }

    #[test]
    fn two_requests_are_too_few() {
        let findings = in_traffic(NAME, |lab| in_vain(lab, 66, 7, 2));
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A host of another network, to which a gateway is the way. For a while somebody asks on the link.
    #[test]
    fn what_goes_by_a_gateway_needs_no_link_address() {
        for (by_gateway, severity) in [(true, Severity::Info), (false, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                in_vain(lab, 66, 7, 5);
                let gateway = ([2, 0x5e, 0, 10, lab.net, 1], [10, lab.net, 1, 1]);
                let client = ([2, 0, 10, lab.net, 1, 7], [10, lab.net, 1, 7]);
                lab.capture.record(100, arp(false, client, gateway));
                lab.capture.record(300, arp(true, gateway, client));
                for number in 0..6 {
                    let at = 100_000 + number * 1_000_000;
                    let server = (lab.client(66), 53);
                    let mut talk = Talk::new((lab.client(7), 41_000), server, at, [30, 500]);
                    let link = if by_gateway { gateway.0 } else { [2, 0, 10, lab.net, 1, 66] };
                    talk.ends[SERVER].mac = link;
                    let syn = talk.segment(CLIENT, SYN, b"");
                    talk.record(&mut lab.capture, &syn);
                }
            });
            one(&findings, "host", severity);
        }
    }

    /// A host's port shows the broadcasts of others, and not what they are answered.
    #[test]
    fn requests_of_others_are_not_judged() {
        let findings = in_traffic(NAME, |lab| {
            (0..8).for_each(|number| asks(lab, number * 1_020_000, 7, 66));
            replies(lab, 9_000_000, 8, 77);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn announcements_and_probes_want_no_reply() {
        let findings = in_traffic(NAME, |lab| {
            let mac = [2, 0, 10, lab.net, 1, 7];
            for number in 0..6 {
                let own = [10, lab.net, 1, 7];
                lab.capture.record(number * 1_000_000, arp(false, (mac, own), ([0; 6], own)));
                let probe = arp(false, (mac, [0; 4]), ([0; 6], own));
                lab.capture.record(number * 1_000_000 + 400_000, probe);
            }
            replies(lab, 9_000_000, 7, 77);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_host_that_asks_for_everybody_is_one_finding() {
        let findings = in_traffic(NAME, |lab| (100..130).for_each(|host| in_vain(lab, host, 7, 4)));
        assert_eq!(findings.len(), 1);
        assert!(one(&findings, "host", Severity::Info).title.contains("30 addresses"));
    }

    /// A scan of a host that nobody has, through a router; and a client that needs one of its services.
    #[test]
    fn a_host_that_is_scanned_is_missed_by_nobody() {
        for (ports, severity) in [(150, Severity::Info), (1, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                in_vain(lab, 66, 8, 5);
                for number in 0..150u16 {
                    let server = (lab.client(66), 1_000 + number % ports);
                    let at = 500_100 + u64::from(number) * 9_000;
                    let mut talk = Talk::new((lab.client(7), 41_000 + number), server, at, [30, 500]);
                    talk.ends[SERVER].mac = [2, 0, 10, lab.net, 1, 66];
                    let syn = talk.segment(CLIENT, SYN, b"");
                    talk.record(&mut lab.capture, &syn);
                }
            });
            one(&findings, "host", severity);
        }
    }
}
