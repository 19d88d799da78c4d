//! # What it finds
//! Path MTU discovery at work: a router said which datagrams are too big, and the sender sent smaller ones.
//!
//! # Why it matters
//! Nothing is wrong. But every connection loses a round trip until it knows, and it all depends on ICMP:
//! where that is filtered, the same path is a black hole.
//!
//! # How it decides
//! An ICMP "fragmentation needed" or "packet too big" with a next-hop MTU quotes a packet of the flow. The
//! sender of that packet went on, and nothing that is larger than the MTU stayed undelivered.
//!
//! # What it leaves alone
//! - Senders that go on with the same size (see `mtu_blackhole`, `icmp_ignored`): of UDP that is
//!   three messages over three seconds. QUIC probes sizes of its own accord (RFC 8899).
//! - MTUs that cannot be: below 68 bytes for IPv4 (RFC 791), below 1280 for IPv6 (RFC 8200).
//!
//! # What it does not claim
//! Which link has the small MTU: the router that says so stands before it.
//!
//! # References
//! RFC 1191, RFC 8201, RFC 8899 section 4.6.

use std::net::IpAddr;

use crate::detect::*;
use crate::dissect::Direction;
use crate::flow::{Flow, IcmpError, Service};
use crate::time::Span;

thresholds! {
    /// Counts flows that were told an MTU, by who said it.
    struct Pmtud {}
}

variants! {
    /// One kind only.
    enum Worked {
        Worked "" Info {
            could_be: &["a tunnel on the path", "a link with a smaller MTU"],
            next: &[
                "clamp the MSS to the path, so that no connection has to learn it",
                "let ICMP \"fragmentation needed\" and \"packet too big\" through everywhere",
            ],
            not_claimed: &["which link has the small MTU"],
            doubted_by: &[],
        }
    }
}

counts! {
    /// What a case counts beside its flows.
    struct Told {
        messages: u64,
        /// Segments sent again, smaller.
        sent_again: u64,
        /// Size of the datagrams that were too big.
        largest: Most,
        connections: u64,
    }
}

impl Detector for Pmtud {
    const RULE: Rule = Rule {
        name: "pmtud",
        group: Group::Path,
        summary: "path MTU discovery that worked: who said which MTU, and what it cost",
        judges: "flows",
        variants: Worked::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("pmtud.rs"),
    };
    type Variant = Worked;
    /// Who said it, and the MTU.
    type Key = (IpAddr, u32);
    type Counts = Told;
    type Total = ();
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        for direction in Direction::BOTH {
            let told: Vec<(&IcmpError, u32)> = flow
                .icmp_errors
                .iter()
                .filter(|error| error.quoted == direction)
                .filter_map(|error| Some((error, error.icmp.mtu?)))
                .collect();
            let Some((first, mtu)) = told.iter().copied().min_by_key(|(error, mtu)| (*mtu, error.at.packet))
            else {
                continue;
            };
            if mtu < least_mtu(first) {
                book.not_judged("an MTU that cannot be");
                continue;
            }
            let sent = flow.half(direction);
            let side = flow.tcp.as_ref().map(|tcp| tcp.side(direction));
            let stuck = side.is_some_and(|side| {
                let mut undelivered = side.sizes.undelivered.iter();
                undelivered.any(|segment| segment.ip_length > mtu && segment.resolved_with.is_none())
            });
            if keeps_size(flow, direction).is_some() {
                book.not_judged("the sender went on with datagrams that are too big");
                continue;
            }
            let went_on = sent.last.is_some_and(|last| last.packet > first.at.packet);
            if stuck || !went_on {
                book.not_judged("nothing smaller was seen");
                continue;
            }
            book.judged(&first.reporter);
            let Some(case) = book.case((first.reporter, mtu)) else { continue };
            case.flow(flow, told.iter().map(|(error, _)| error.at));
            let counts = &mut case.counts;
            counts.messages += told.len() as u64;
            counts.connections += u64::from(side.is_some());
            counts.sent_again += side.map_or(0, |side| side.retransmissions.path_mtu);
            let quoted = told.iter().filter_map(|(error, _)| error.icmp.quoted);
            quoted.for_each(|quoted| counts.largest.add(quoted.ip.length));
            case.show(0, flow.id, || told.iter().take(4).map(|(error, _)| said(error)).collect::<Vec<_>>());
        }
    }

    fn judge(
        &self,
        (reporter, mtu): &Self::Key,
        case: &Case<Told>,
        _: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Worked>> {
        let counts = &case.counts;
        let title = format!("{reporter} announced an MTU of {mtu} bytes, and the senders used it");
        let cost = match counts.sent_again {
            0 => "Nothing is known to have been sent again.".to_owned(),
            again => format!("{} sent again in smaller pieces.", was(again)),
        };
        let summary = format!(
            "{} of {} sent {}, and got {}. {cost}",
            plural(case.flows(), "flow"),
            case.clients(),
            // Some routers write the length of what they quote into the quoted header.
            match counts.largest.get() {
                largest if largest > u64::from(*mtu) => format!("up to {largest} bytes"),
                _ => "larger datagrams".to_owned(),
            },
            plural(counts.messages, "ICMP message"),
        );
        Some(Draft::new(Worked::Worked, title, summary))
    }
}

/// What every link carries (RFC 8200 section 5, RFC 791 section 3.2).
fn least_mtu(error: &IcmpError) -> u32 {
    if error.icmp.v6 { 1280 } else { 68 }
}

/// What a message says of the packet that was too big.
pub(super) fn said(error: &IcmpError) -> Evidence {
    let length = error.icmp.quoted.map_or(0, |quoted| quoted.ip.length);
    let mtu = error.icmp.mtu.unwrap_or(0);
    Evidence::new(error.at, Role::Icmp, format!("next-hop MTU {mtu}, quotes {length} bytes"))
}

/// Messages about datagrams that are too big, when they are of UDP and come again and again: the sender has
/// had the time to learn. QUIC tries sizes on purpose.
pub(super) fn keeps_size(flow: &Flow, direction: Direction) -> Option<Vec<&IcmpError>> {
    const MESSAGES: usize = 3;
    const LASTING: Span = Span::secs(3);
    const UDP: u8 = 17;
    if flow.protocol != UDP || flow.service == Some(Service::Quic) {
        return None;
    }
    let too_big = |error: &&IcmpError| {
        let mtu = error.icmp.mtu.filter(|mtu| *mtu >= least_mtu(error));
        let quoted = error.icmp.quoted.map(|quoted| quoted.ip.length);
        error.quoted == direction && mtu.zip(quoted).is_some_and(|(mtu, length)| length > mtu)
    };
    let told: Vec<&IcmpError> = flow.icmp_errors.iter().filter(too_big).collect();
    let times = told.iter().map(|error| error.at.time);
    let lasting = times.clone().max()? - times.min()?;
    (told.len() >= MESSAGES && lasting >= LASTING).then_some(told)
}

fn was(segments: u64) -> String {
    let verb = if segments == 1 { "was" } else { "were" };
    format!("{} {verb}", plural(segments, "segment"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::frame::{Ip, ethernet};
    use crate::support::scenes::link::mtu_told;

    const NAME: &str = Pmtud::RULE.name;

    #[test]
    fn it_fires() {
        fires(NAME, &[("pmtud", "", Severity::Info)]);
    }

    #[test]
    fn it_says_nothing() {
        says_nothing(
            NAME,
            &[
                "mtu_blackhole_silent",
                "mtu_blackhole_icmp_ignored",
                "icmp_unreachable_host",
                "healthy_resets",
            ],
        );
    }

    #[test]
    fn two_servers_behind_one_router_are_one_finding() {
        let findings = in_traffic(NAME, |lab| {
            mtu_told(lab, (9, 8080), 10, 1_400);
            mtu_told(lab, (10, 8080), 700, 1_400);
        });
        let finding = one(&findings, "", Severity::Info);
        assert!(finding.title.contains("1400 bytes"), "{}", finding.title);
        assert_eq!(finding.impact.services, 2);
    }

    #[test]
    fn datagrams_learn_too() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4u16 {
                let length = if number == 0 { 1_400 } else { 1_100 };
                let ip = Ip { source: lab.client(7), destination: lab.server(9), ttl: 64, id: 7 + number };
                let packet = ip.udp(40_000, 4_433, &vec![7; length]);
                let at = u64::from(number) * 60_000;
                lab.capture.record(at, ethernet([2; 6], [4; 6], None, &packet));
                if number == 0 {
                    let router = Ip { source: lab.router(), destination: lab.client(7), ttl: 63, id: 3 };
                    let message = router.icmp_error(3, 4, 1_280, &packet);
                    lab.capture.record(at + 900, ethernet([4; 6], [2; 6], None, &message));
                }
            }
        });
        one(&findings, "", Severity::Info);
    }

    #[test]
    fn an_mtu_of_zero_says_nothing() {
        let findings = in_traffic(NAME, |lab| mtu_told(lab, (9, 8080), 10, 0));
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A router that quotes 548 bytes and writes that into the header it quotes.
    #[test]
    fn a_quoted_length_below_the_mtu_is_not_what_was_sent() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4u16 {
                let length = if number == 0 { 1_400 } else { 1_100 };
                let ip = Ip { source: lab.client(7), destination: lab.server(9), ttl: 64, id: 7 + number };
                let mut packet = ip.udp(40_000, 4_433, &vec![7; length]);
                let at = u64::from(number) * 60_000;
                lab.capture.record(at, ethernet([2; 6], [4; 6], None, &packet));
                if number == 0 {
                    let router = Ip { source: lab.router(), destination: lab.client(7), ttl: 63, id: 3 };
                    packet[2..4].copy_from_slice(&548u16.to_be_bytes());
                    let message = router.icmp_error(3, 4, 1_280, &packet);
                    lab.capture.record(at + 900, ethernet([4; 6], [2; 6], None, &message));
                }
            }
        });
        let finding = one(&findings, "", Severity::Info);
        assert!(finding.summary.contains("larger datagrams"), "{}", finding.summary);
    }
}
