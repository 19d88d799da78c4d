//! # What it finds
//! One IP address that two hosts have: both answer the same request with link addresses of their own. And
//! hosts that claim the addresses of others, again and again, without being asked.
//!
//! # Why it matters
//! Whoever asks believes the last answer. Connections go to one host and then to the other, which knows
//! nothing of them and resets them. Or it passes them on, and reads or changes them.
//!
//! # How it decides
//! A request by ARP, or a neighbour solicitation, got answers with two link addresses within `within`
//! seconds. It is a warning when that happened `requests` times or more, and neither answer comes from a
//! shared or a proxy address. Otherwise it is information.
//!
//! `claimed`: a link address sent `unasked` or more ARP replies for an address to a host that had not asked
//! for it within `within` seconds. It has an address of its own that nobody else claims. And another link
//! address has the claimed one: by ARP, also after the first such reply and not only a minute after the
//! last one, or by packets, and no others send from there. A warning, one for the claimer.
//!
//! # What it leaves alone
//! - An address that moves: one host announces it and the other is silent from then on, as after a fail-over
//!   with gratuitous ARP. Bonded interfaces answer each asker with one of their addresses.
//! - Shared link addresses of redundant routers and clusters: VRRP and CARP (00-00-5e-00-01, -02), HSRP
//!   (00-00-0c-07-ac, 00-00-0c-9f-f, 00-05-73-a0), GLBP (00-07-b4), VARP (00-1c-73), NLB (02-bf, 03-bf), and
//!   any group address.
//! - Proxies that answer for `proxied` addresses or more, as a router with proxy ARP does. Information. So
//!   are bridges that put their own link address into what they pass on, at once and for several addresses.
//! - IPv6: anycast addresses have several owners (RFC 4861 section 7.2.7). Information.
//!
//! # What it does not claim
//! Which of the two is the right one. Whether who claims an address reads what it gets for it.
//!
//! # References
//! RFC 826, RFC 5227 sections 1.2 and 2.4, RFC 9568 section 7.3 (VRRP), RFC 2281 section 5 (HSRP).

pub(super) mod claims;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::detect::duplicate_ip::claims::{Claims, text};
use crate::detect::*;
use crate::dissect::{Arp, PacketRecord, PacketRef};
use crate::flow::Flow;
use crate::time::Span;

thresholds! {
    /// Compares the answers to requests for link addresses.
    struct DuplicateIp {
        requests: u64 = 2.0 "requests",
            "requests that two link addresses answered, below which it is information only",
            "ours: once can be a fail-over that strikes between two answers";
        within: Span = 2.0 "s",
            "time after a request in which both answers come",
            "RFC 1122 section 2.3.2.1: the next request comes after one second";
        unasked: u64 = 5.0 "replies",
            "for an address of another host that nobody had asked for, from which a host claims it",
            "RFC 5227 section 2.3: who takes an address announces it twice; tools of attack never stop";
        proxied: u64 = 4.0 "addresses",
            "addresses that a link address answers for, from which it is a proxy or a router",
            "ours: a host has few addresses on a link";
    }
}

variants! {
    /// Two who answer, or one who claims what others have.
    enum Conflict {
        Conflict "" Warning {
            could_be: &[
                "two hosts are configured with the same address",
                "an address of a DHCP pool is also given by hand",
                "a copied virtual machine runs beside its original",
            ],
            next: &[
                "look both link addresses up in the switches' tables",
                "compare with the DHCP server's leases",
            ],
            not_claimed: &["which of the two is the right one"],
            doubted_by: &[],
        }
        Claimed "claimed" Warning {
            could_be: &[
                "a host gets between others by false ARP replies, to read or change what they send",
                "a device draws hosts to itself on purpose: to keep them out, or to show them a page",
            ],
            next: &[
                "look the link address up in the switches' tables, and ask whose device it is",
                "compare the ARP tables of the hosts it sent the replies to: arp -a, ip neigh",
            ],
            not_claimed: &["that it reads or changes what it gets"],
            doubted_by: &[],
        }
    }
}

counts! {
    /// What a case counts.
    struct Answers {
        /// Requests that were answered twice.
        requests: u64,
        link_addresses: Distinct<[u8; 6], 8>,
        /// The longest time between the two answers.
        apart_us: Most,
        /// Replies that nobody had asked for.
        unasked: u64,
    }
}

/// The last request of one host for one address, and who answered it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Asked {
    request: Option<PacketRef>,
    first: Option<([u8; 6], PacketRef)>,
    counted: bool,
}

impl Merge for Asked {
    /// One partition has all messages between two addresses: there is never anything to add up.
    fn absorb(&mut self, other: Self) {
        if other.request > self.request {
            *self = other;
        }
    }
}

merged! {
    /// What is kept beside the cases.
    pub(super) struct Beside {
        /// By target, who asks, and VLAN.
        asked: Bounded<(IpAddr, IpAddr, u16), Asked, { 1 << 14 }>,
        /// Addresses that a link address answers for.
        owns: Bounded<[u8; 6], Distinct<IpAddr, 16>, { 1 << 13 }>,
        claims: Claims,
        /// Hosts that were sent something, or answered: nothing else is needed of the flows.
        resets: Bounded<IpAddr, u64, { 1 << 12 }>,
    }
}

impl Detector for DuplicateIp {
    const RULE: Rule = Rule {
        name: "duplicate_ip",
        group: Group::Path,
        summary: "one IP address that two hosts have",
        judges: "address lookups",
        variants: Conflict::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("duplicate_ip.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[Explains::by(
        Meet::Host,
        &[
            "rst_storm",
            "rst_injection",
            "retransmission",
            "missing_syn_ack",
            "connection_refused",
            "path_outage",
            "echo_loss",
            "asymmetric_flow",
            "tls_abort",
        ],
    )];
    type Variant = Conflict;
    /// The address, and the VLAN.
    type Key = (IpAddr, u16);
    type Counts = Answers;
    type Total = ();
    type Notes = Beside;

    fn neighbour(&self, packet: &PacketRecord, arp: &Arp, book: &mut Book<Self>) {
        if arp.sender.is_unspecified() {
            return;
        }
        let at = PacketRef { packet: packet.packet, time: packet.time };
        book.notes.claims.used(arp, at);
        if arp.sender == arp.target {
            return;
        }
        let vlan = packet.path.vlan;
        if let Some(owns) = book.notes.owns.count(arp.sender_link) {
            owns.add(arp.sender);
        }
        if !arp.reply {
            let key = (arp.target, arp.sender, vlan);
            let Some(asked) = book.notes.asked.count(key) else { return };
            *asked = Asked { request: Some(at), ..Asked::default() };
            return;
        }
        let key = (arp.sender, arp.target, vlan);
        // Of a request that found no place nothing is known.
        let kept = book.notes.asked.covers(hash_of(&key));
        let asked = book.notes.asked.get_mut(&key);
        let request = asked.as_ref().and_then(|asked| asked.request);
        let request = request.filter(|request| at.time - request.time <= self.within);
        let Some((asked, request)) = asked.zip(request) else {
            if kept && arp.sender.is_ipv4() && !is_shared(&arp.sender_link) {
                book.notes.claims.unasked((vlan, arp.sender_link, arp.sender), arp, at);
            }
            return;
        };
        let Some((link, first)) = asked.first else {
            asked.first = Some((arp.sender_link, at));
            book.judged(&arp.sender);
            return;
        };
        if link == arp.sender_link || is_shared(&link) || is_shared(&arp.sender_link) || asked.counted {
            return;
        }
        asked.counted = true;
        let Some(case) = book.case((arp.sender, vlan)) else { return };
        case.failed += 1;
        case.affected.clients.add(arp.target);
        case.affected.active.add(at.time);
        case.counts.requests += 1;
        case.counts.apart_us.add(((at.time - first.time).0 / 1_000).unsigned_abs());
        for link in [link, arp.sender_link] {
            case.counts.link_addresses.add(link);
        }
        let second = arp.sender_link;
        case.show(0, request.packet, || {
            [
                Evidence::new(request, Role::ArpRequest, ""),
                Evidence::new(first, Role::ArpReply, format!("from {}", text(&link))),
                Evidence::new(at, Role::ArpReply, format!("from {}", text(&second))),
            ]
        });
    }

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let resets = flow.tcp.as_ref().map_or(0, |tcp| tcp.resets.len() as u64);
        if resets > 0
            && let Some(count) = book.notes.resets.count(flow.server.address)
        {
            *count += resets;
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let claims = std::mem::take(&mut book.notes.claims);
        let (found, claimed) = claims.conclude(self.unasked, context.heard);
        book.take(|key, _| claimed.contains(key));
        found
    }

    fn judge(
        &self,
        (address, vlan): &Self::Key,
        case: &Case<Answers>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Conflict>> {
        let counts = &case.counts;
        let mut links: Vec<&[u8; 6]> = counts.link_addresses.iter().collect();
        links.sort_unstable();
        let owns = |least: u64| {
            let owned = |link: &[u8; 6]| book.notes.owns.get(link).map_or(0, |(_, own)| own.count());
            links.iter().any(|link| owned(link) >= least)
        };
        let bridge = counts.apart_us.get() <= ECHO_US && owns(2);
        let proxy = bridge || owns(self.proxied);
        let names: Vec<String> = links.iter().map(|link| text(link)).collect();
        let title = match proxy {
            false => format!("Two hosts have the address {address}"),
            true => format!("A host and a proxy answer for the address {address}"),
        };
        let resets = book.notes.resets.get(address).map_or(0, |(_, count)| *count);
        let reset = match resets {
            0 => String::new(),
            count => format!(" {} to the address saw a RST.", plural(count, "connection")),
        };
        let tag = if *vlan > 0 { format!(" in VLAN {vlan}") } else { String::new() };
        let summary = format!(
            "{}{tag} for {address} got answers of {} within {}: {}.{reset}",
            plural(counts.requests, "request"),
            plural(counts.link_addresses.count(), "link address"),
            self.within,
            names.join(", "),
        );
        let severity = match counts.requests >= self.requests && !proxy && address.is_ipv4() {
            true => Severity::Warning,
            false => Severity::Info,
        };
        let draft = Draft::new(Conflict::Conflict, title, summary).severity(severity);
        let draft = draft.subject(Subject { server: Some(address.to_string()), ..Subject::default() });
        Some(match (proxy, address.is_ipv6()) {
            _ if bridge => draft.could_be(["a bridge puts its own link address in, as over Wi-Fi"]),
            (true, _) => draft.could_be(["a router answers for other networks' hosts (proxy ARP)"]),
            (_, true) => draft.could_be(["an anycast address", "two hosts with the same address"]),
            _ => draft,
        })
    }
}

/// The second answer is the first one, changed by a bridge on the recording host. No two hosts answer within
/// this time again and again. A judgement: a tenth of what a host takes to answer.
const ECHO_US: u64 = 30;

/// Several hosts have this link address by turns or together, or it is a group.
fn is_shared(link: &[u8; 6]) -> bool {
    match *link {
        [0, 0, 0x5e, 0, 1 | 2, _] | [0, 0, 0x0c, 7, 0xac, _] | [0, 5, 0x73, 0xa0, ..] => true,
        [0, 0, 0x0c, 0x9f, high, _] => high >> 4 == 0xf,
        [0, 7, 0xb4, ..] | [0, 0x1c, 0x73, ..] | [2 | 3, 0xbf, ..] => true,
        [first, ..] => first & 1 == 1 || *link == [0; 6],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::frame::{Mac, arp};
    use crate::support::scenes::Lab;
    use crate::support::scenes::link::replies;

    const NAME: &str = DuplicateIp::RULE.name;
    const ONE: Mac = [0x52, 0x54, 0, 1, 2, 3];
    const OTHER: Mac = [0x52, 0x54, 0, 1, 2, 4];

    /// Client 7 asks for an address, and these link addresses answer.
    fn asks(lab: &mut Lab, at: u64, host: u8, links: &[Mac]) {
        let client = ([2, 0, 10, lab.net, 1, 7], [10, lab.net, 1, 7]);
        let address = [10, lab.net, 1, host];
        lab.capture.record(at, arp(false, client, ([0; 6], address)));
        for (number, link) in (1u64..).zip(links) {
            lab.capture.record(at + number * 300, arp(true, (*link, address), client));
        }
    }

    #[test]
    fn it_fires() {
        fires(NAME, &[("duplicate_ip", "", Severity::Warning)]);
    }

    #[test]
    fn it_says_nothing() {
        says_nothing(NAME, &["arp_unanswered", "healthy_resets"]);
    }

    #[test]
    fn one_double_answer_is_information() {
        let findings = in_traffic(NAME, |lab| asks(lab, 10, 9, &[ONE, OTHER]));
        one(&findings, "", Severity::Info);
    }

    #[test]
    fn three_owners_are_one_finding() {
        let third = [0x52, 0x54, 0, 1, 2, 5];
        let findings = in_traffic(NAME, |lab| {
            (0..3).for_each(|number| asks(lab, number * 900_000, 9, &[ONE, OTHER]));
            (3..6).for_each(|number| asks(lab, number * 900_000, 9, &[third, OTHER]));
        });
        let finding = one(&findings, "", Severity::Warning);
        assert!(finding.summary.contains("3 link addresses"), "{}", finding.summary);
    }

    #[test]
    fn redundant_routers_are_no_conflict() {
        for shared in [[0, 0, 0x5e, 0, 1, 9], [0, 0, 0x0c, 7, 0xac, 1], [0, 7, 0xb4, 0, 1, 2]] {
            let findings = in_traffic(NAME, |lab| {
                (0..6).for_each(|number| asks(lab, number * 900_000, 1, &[ONE, shared]));
            });
            assert!(findings.is_empty(), "{findings:#?}");
        }
    }

    /// The second node takes the address over and announces it.
    #[test]
    fn a_fail_over_is_no_conflict() {
        let findings = in_traffic(NAME, |lab| {
            (0..4).for_each(|number| asks(lab, number * 900_000, 9, &[ONE]));
            let own = [10, lab.net, 1, 9];
            lab.capture.record(4_000_000, arp(true, (OTHER, own), ([0xff; 6], own)));
            (5..9).for_each(|number| asks(lab, number * 900_000, 9, &[OTHER]));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_proxy_is_information() {
        let findings = in_traffic(NAME, |lab| {
            (0..6).for_each(|number| asks(lab, number * 900_000, 9, &[ONE, OTHER]));
            (20..26).for_each(|host| asks(lab, 9_000_000 + u64::from(host), host, &[OTHER]));
        });
        assert!(one(&findings, "", Severity::Info).title.contains("proxy"));
    }

    /// A bridge of virtual machines over Wi-Fi: each answer is seen before and behind it.
    #[test]
    fn a_bridge_that_changes_link_addresses_is_information() {
        for (later, severity) in [(9, Severity::Info), (300, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                let client = ([2, 0, 10, lab.net, 1, 7], [10, lab.net, 1, 7]);
                for number in 0..6 {
                    let (at, address) = (number * 900_000, [10, lab.net, 1, 9]);
                    lab.capture.record(at, arp(false, client, ([0; 6], address)));
                    lab.capture.record(at + 200, arp(true, (ONE, address), client));
                    lab.capture.record(at + 200 + later, arp(true, (OTHER, address), client));
                }
                // Its own address.
                let own = (OTHER, [10, lab.net, 1, 8]);
                lab.capture.record(9_000_000, arp(false, own, ([0; 6], [10, lab.net, 1, 1])));
            });
            one(&findings, "", severity);
        }
    }

    /// Host 66 tells client 7, every second, that it is host 9; what is asked for first is answered by 9.
    fn claims(lab: &mut Lab, times: u64, own: bool, again: bool) {
        let client = ([2, 0, 10, lab.net, 1, 7], [10, lab.net, 1, 7]);
        let (target, mine) = ([10, lab.net, 1, 9], [10, lab.net, 1, 66]);
        asks(lab, 10, 9, &[ONE]);
        if own {
            lab.capture.record(900_000, arp(false, (OTHER, mine), ([0; 6], client.1)));
        }
        for number in 0..times {
            lab.capture.record(4_000_000 + number * 1_000_000, arp(true, (OTHER, target), client));
        }
        if again {
            asks(lab, 60_000_000, 9, &[ONE]);
        }
    }

    #[test]
    fn who_claims_the_address_of_another_is_one_finding() {
        let found = |times, own, again| in_traffic(NAME, |lab| claims(lab, times, own, again));
        let finding = one(&found(12, true, true), "claimed", Severity::Warning);
        assert!(finding.title.contains("52:54:00:01:02:04 claims"), "{}", finding.title);
        assert!(finding.summary.contains("12 ARP replies"), "{}", finding.summary);
        // What it claimed of somebody unknown is not its own.
        let found_more = in_traffic(NAME, |lab| {
            claims(lab, 12, true, true);
            let client = ([2, 0, 10, lab.net, 1, 7], [10, lab.net, 1, 7]);
            (0..9).for_each(|number| {
                let other = (OTHER, [10, lab.net, 1, 2]);
                lab.capture.record(5_000_000 + number * 3_000_000, arp(true, other, client));
            });
        });
        let finding = one(&found_more, "claimed", Severity::Warning);
        assert!(finding.title.contains(".1.66 at"), "{}", finding.title);
        // Announced twice; a bond of two cards with one address; an address that moved.
        for found in [found(2, true, true), found(12, false, true), found(12, true, false)] {
            assert!(found.is_empty(), "{found:#?}");
        }
    }

    /// A lease ran out, and another host has the address after so many seconds.
    #[test]
    fn who_had_the_address_before_the_other_claimed_its_own() {
        for (later, found) in [(30, 1), (900, 0)] {
            let findings = in_traffic(NAME, |lab| {
                let client = ([2, 0, 10, lab.net, 1, 7], [10, lab.net, 1, 7]);
                let mine = (OTHER, [10, lab.net, 1, 66]);
                lab.capture.record(900_000, arp(false, mine, ([0; 6], client.1)));
                for number in 0..12 {
                    let had = (OTHER, [10, lab.net, 1, 9]);
                    lab.capture.record(4_000_000 + number * 1_000_000, arp(true, had, client));
                }
                asks(lab, (16 + later) * 1_000_000, 9, &[ONE]);
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }

    /// The owner is known by its packets alone, which the claimer passes on.
    #[test]
    fn an_owner_that_only_sends_packets_is_one() {
        let findings = in_traffic(NAME, |lab| {
            for (number, link) in (0..8).zip([ONE, OTHER].into_iter().cycle()) {
                let mut talk = lab.talk(7, (9, 80), 10 + number * 900, [30, 900]);
                let own = lab.capture.packets.len();
                lab.http(&mut talk, 300);
                for packet in &mut lab.capture.packets[own..] {
                    if packet.frame[28] != 1 {
                        packet.frame[6..12].copy_from_slice(&link);
                    }
                }
            }
            let client = ([2, 0, 10, lab.net, 1, 7], [10, lab.net, 1, 7]);
            let std::net::IpAddr::V4(server) = lab.server(9) else { return };
            lab.capture.record(900, arp(false, (OTHER, [10, lab.net, 1, 66]), ([0; 6], client.1)));
            for number in 1..9 {
                lab.capture.record(number * 1_000_000, arp(true, (OTHER, server.octets()), client));
            }
        });
        let finding = one(&findings, "claimed", Severity::Warning);
        assert!(finding.summary.contains("come from both"), "{}", finding.summary);
    }

    #[test]
    fn copies_of_an_answer_are_no_second_answer() {
        let findings = in_traffic(NAME, |lab| {
            (0..6).for_each(|number| asks(lab, number * 900_000, 9, &[ONE, ONE]));
            replies(lab, 9_000_000, 7, 77);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
