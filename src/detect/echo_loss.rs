//! # What it finds
//! Pings without an answer, from a host that answers others: how many, how many in a row, of which size.
//!
//! # Why it matters
//! A ping has no retransmission that would hide a loss. It shows the loss of the path as it is.
//!
//! # How it decides
//! An ICMP echo request is lost when no echo reply with its identifier and sequence number followed.
//! - `loss`: at least `losses` requests and `share` of them were lost, and others of the same size were
//!   answered. A warning.
//! - `size`: all that were lost are larger than any that was answered, `sizes` or more. Information: the path
//!   or the host passes no larger datagrams; see `mtu_blackhole` for what it does to connections.
//! - `no_answer`: none was answered. Information: many hosts and devices answer no ping. `sweep` of them that
//!   one host pings are one finding.
//!
//! # What it leaves alone
//! - Requests in the last seconds of the capture.
//! - Requests that are sent with a low TTL, as traceroute does.
//! - Requests of `tunnel_sizes` sizes or more that have the numbers of earlier ones: they carry data, and
//!   nobody knows which one a reply answers.
//! - Floods with less than `interval` between requests: hosts limit how many they answer.
//! - Captures of one direction only, or of one direction of most connections: nobody knows whether an answer
//!   came.
//! - Captures that hold answers to requests which they do not hold, `share` of all answers or more, or
//!   `losses` and a tenth of what was lost: they miss answers, too.
//!
//! # What it does not claim
//! Where the packets were lost, and in which direction. A router that is pinged itself may answer late or
//! seldom while it forwards everything.
//!
//! # References
//! RFC 792 (echo), RFC 4443 section 4, RFC 1812 section 4.3.2.8 (rate limiting).

use std::net::IpAddr;

use crate::detect::scope::is_group;
use crate::detect::*;
use crate::dissect::Direction;
use crate::flow::{Echoes, Flow, HandshakeOutcome};
use crate::time::Span;

thresholds! {
    /// Counts echo requests by who sent them and who was asked.
    struct EchoLoss {
        losses: u64 = 3.0 "requests",
            "lost requests, below which it is information only",
            "ours: one or two are an accident";
        share: f64 = 0.05 "share",
            "share of the requests lost, below which it is information only",
            "the share from which something works in part only (severity)";
        sizes: u64 = 3.0 "requests",
            "larger requests of which none was answered, from which the size decides",
            "mtu_blackhole: three tries";
        tunnel_sizes: u64 = 3.0 "sizes",
            "sizes of requests that have the numbers of earlier ones, from which they carry data",
            "ours: who measures sends one size, or one that is larger";
        interval: f64 = 0.1 "s",
            "time between requests on average, below which hosts limit their answers",
            "Linux net.ipv4.icmp_ratelimit and icmp_msgs_per_sec, 1000 a second for all hosts together";
        sweep: u64 = 5.0 "hosts",
            "without an answer to one that pings them, from which they are one finding",
            "missing_syn_ack: hosts behind one device, or silent for one client";
    }
}

variants! {
    /// How requests were lost.
    enum Pattern {
        Loss "loss" Warning {
            could_be: &["packets are lost on the path", "the host or a router limits its answers"],
            next: &["ping a host behind it, too", "compare with retransmissions on the same path"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        Size "size" Info {
            could_be: &[
                "a link on the path has a smaller MTU, and nobody says so",
                "fragments are dropped",
                "the host answers no large requests",
            ],
            next: &["send the sizes between with don't-fragment set: ping -M do -s"],
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Drops],
        }
        NoAnswer "no_answer" Info {
            could_be: &["the host answers no ping", "something drops ICMP", "the host is not there"],
            next: &["try the service that is needed, not a ping"],
            not_claimed: &["that the host is down"],
            doubted_by: &[QualityIssue::Drops, QualityIssue::OneWay],
        }
    }
}

const NOT_CLAIMED: &[&str] = &["where the packets were lost", "in which direction they were lost"];

/// No host answers as soon as this. A judgement.
const NO_ROUND_TRIP: Span = Span::micros(1);

counts! {
    /// What a case counts beside its flows.
    struct Pings {
        answered: u64,
        lost: u64,
        longest_run: Most,
        /// Of the requests of at least a size that was never answered.
        lost_large: u64,
        largest_answered: Most,
        smallest_lost: Least,
        /// Nanoseconds; for words only.
        round_trip: [Most; 1],
        shortest: [Least; 1],
        sum: Span,
    }
}

merged! {
    /// What it keeps beside its cases.
    pub(super) struct Notes {
        /// Who sent replies to whom whose requests are not in the same flow.
        unasked: Bounded<(IpAddr, IpAddr), (), { 1 << 12 }>,
        /// TCP connections of which one direction is in the capture, and both.
        one_way: u64,
        two_way: u64,
    }
}

impl Notes {
    /// Most connections have one direction in the capture: what answers a ping may pass elsewhere, too.
    fn is_half_seen(&self) -> bool {
        /// A judgement: fewer may be left over from before the capture.
        const SOME: u64 = 3;
        self.one_way >= SOME && self.one_way > self.two_way
    }
}

impl Detector for EchoLoss {
    const RULE: Rule = Rule {
        name: "echo_loss",
        group: Group::Path,
        summary: "pings without an answer, from a host that answers others",
        judges: "requests",
        variants: Pattern::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("echo_loss.rs"),
    };
    type Variant = Pattern;
    /// Who was asked, and who asked.
    type Key = (IpAddr, IpAddr);
    type Counts = Pings;
    type Total = ();
    type Notes = Notes;

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        if let Some(tcp) = &flow.tcp {
            // Those whose answer nobody saw may have got none.
            let under_way = tcp.handshake.outcome == HandshakeOutcome::Midstream;
            book.notes.one_way += u64::from(flow.is_one_way() && under_way);
            book.notes.two_way += u64::from(!flow.is_one_way());
        }
        let Some(sides) = &flow.echoes else { return };
        for direction in Direction::BOTH {
            let echoes = &sides[direction.index()];
            let (asker, asked) = (flow.sender(direction).address, flow.sender(direction.reverse()).address);
            if echoes.unasked > 0 {
                book.notes.unasked.observe_by((asked, asker), |_| hash_of(&(asked, asker)));
            }
            let Some((first, last)) = echoes.sent else { continue };
            if flow.half(direction.reverse()).packets == 0 && flow.half(direction).packets < 2 {
                book.not_judged_many("one request only", echoes.judged());
                continue;
            }
            book.not_judged_many("sent when the capture ended", echoes.pending);
            if echoes.low_ttl > 0 {
                book.not_judged_many("sent with a low TTL, as traceroute does", echoes.judged());
                continue;
            }
            if echoes.reused * 2 >= echoes.judged().max(2) && echoes.sizes.len() as u64 >= self.tunnel_sizes {
                book.not_judged_many(
                    "data in pings: numbers of earlier ones, in several sizes",
                    echoes.judged(),
                );
                continue;
            }
            let apart = (last.time - first.time).as_secs_f64() / (echoes.judged().max(2) - 1) as f64;
            if apart < self.interval && echoes.judged() > 20 {
                book.not_judged_many("a flood, which hosts answer in part", echoes.judged());
                continue;
            }
            if self.is_leaky(echoes) {
                let why = "the capture holds answers to requests that it does not hold";
                book.not_judged_many(why, echoes.judged());
                continue;
            }
            if is_for_all(asked) {
                continue;
            }
            for _ in 0..echoes.judged() {
                book.judged(&asked);
            }
            let Some(case) = book.case((asked, asker)) else { continue };
            case.flow(flow, echoes.lost_at.iter().copied());
            case.failed += echoes.lost;
            case.counts.take(echoes);
            case.show(-(echoes.lost as i64), flow.id, || {
                let lost = echoes.lost_at.iter().take(5);
                let lost = lost.map(|at| Evidence::new(*at, Role::EchoRequest, "no answer"));
                let answer = echoes.answer.into_iter().flat_map(|(request, reply)| {
                    let took = format!("{} after the request", reply.time - request.time);
                    [
                        Evidence::new(request, Role::EchoRequest, "answered"),
                        Evidence::new(reply, Role::EchoReply, took),
                    ]
                });
                lost.chain(answer).collect::<Vec<_>>()
            });
        }
    }

    /// One that pings a whole network is one finding, and not one for every address that nobody has.
    fn conclude(&self, book: &mut Book<Self>, _: &Context<'_>) -> Vec<Concluded<Self>> {
        if book.notes.is_half_seen() {
            let requests = book.take(|_, _| true).iter().map(|(_, case)| case.counts.judged()).sum();
            book.not_judged_many("of most connections the capture holds one direction only", requests);
        }
        let unasked = std::mem::take(&mut book.notes.unasked);
        let swept = book.group(self.sweep, |key, case| {
            let silent = case.counts.answered == 0 && case.counts.lost > 0 && unasked.get(key).is_none();
            Some(key.1).filter(|_| silent)
        });
        book.notes.unasked = unasked;
        let sweep = |CaseGroup { by: asker, cases, case }: CaseGroup<IpAddr, Pings>| {
            let title = format!("No answer to the pings of {asker} to {}", plural(cases, "host"));
            let summary = format!(
                "{} to {} got no answer in the capture.",
                plural(case.counts.lost, "echo request"),
                plural(cases, "host")
            );
            let client = Some(asker.to_string());
            let subject = Subject { client, protocol: Some("icmp"), ..Subject::default() };
            (Draft::new(Pattern::NoAnswer, title, summary).subject(subject), case)
        };
        swept.into_iter().map(sweep).collect()
    }

    fn judge(
        &self,
        (asked, asker): &Self::Key,
        case: &Case<Pings>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Pattern>> {
        let counts = &case.counts;
        let (lost, of) = (counts.lost, counts.judged());
        if lost == 0 {
            return None;
        }
        let requests = plural(of, "echo request");
        let subject = Subject {
            client: Some(asker.to_string()),
            server: Some(asked.to_string()),
            protocol: Some("icmp"),
            ..Subject::default()
        };
        let draft = |pattern, title: String, summary: String| {
            Some(Draft::new(pattern, title, summary).subject(subject.clone()))
        };
        if counts.answered == 0 {
            if book.notes.unasked.get(&(*asked, *asker)).is_some() {
                // The replies are there, apart from their requests: another tunnel by direction.
                return None;
            }
            let title = format!("No answer to the pings of {asker} to {asked}");
            return draft(Pattern::NoAnswer, title, format!("{requests} got no answer in the capture."));
        }
        if counts.lost_large >= self.sizes && counts.lost_large == lost {
            let (largest, smallest) = (counts.largest_answered.get(), counts.smallest_lost.get());
            let title = format!("{asked} answers no ping of {asker} above {largest} bytes");
            let summary = format!(
                "{} of {smallest} bytes or more got no answer, {} of up to {largest} bytes did.",
                plural(lost, "echo request"),
                counts.answered,
            );
            return draft(Pattern::Size, title, summary);
        }
        let took = [counts.shortest[0].get(), counts.round_trip[0].get()].map(|nanos| Span(nanos as i64));
        let round_trip = match took.map(|span| span.to_string()) {
            // The recorder got both at once.
            _ if took[0] < NO_ROUND_TRIP => String::new(),
            [least, most] if least == most => format!(" The round trip took {least}."),
            [least, most] => format!(" The round trip took {least} to {most}."),
        };
        let row = match counts.longest_run.get() {
            0 | 1 => String::new(),
            longest => format!(" Up to {longest} in a row were lost."),
        };
        let part = percent(lost, of);
        let summary = format!("{asker} got no answer to {lost} of {requests}, {part}.{row}{round_trip}",);
        let severity = match lost >= self.losses && share(lost, of) >= self.share {
            true => Severity::Warning,
            false => Severity::Info,
        };
        // How many of a hundred an outage took depends on how long they pinged.
        let outage = lost >= self.losses && counts.longest_run.get() == lost;
        let (title, summary) = match outage {
            true => (
                format!("{asked} did not answer {lost} pings of {asker} in a row"),
                format!(
                    "{asker} got no answer to {lost} of {requests}, in a row, and one to each of the \
                     others.{round_trip}"
                ),
            ),
            false => (format!("{part} of the pings to {asked} are lost"), summary),
        };
        let draft = draft(Pattern::Loss, title, summary)?.severity(severity);
        Some(if outage { draft.could_be(["the host or the path was gone for that time"]) } else { draft })
    }
}

impl EchoLoss {
    /// The capture lacks requests that were sent, and so it lacks answers. On the air it hears the one end
    /// worse than the other: ten times as many answers. A judgement.
    fn is_leaky(&self, echoes: &Echoes) -> bool {
        let Echoes { missed, answered, lost, .. } = *echoes;
        let part = missed > 0 && share(missed, answered + missed) >= self.share;
        part || missed >= self.losses && missed * 10 >= lost
    }
}

impl Pings {
    /// Requests that were answered, or lost.
    fn judged(&self) -> u64 {
        self.answered + self.lost
    }

    fn take(&mut self, echoes: &Echoes) {
        self.answered += echoes.answered;
        self.lost += echoes.lost;
        self.longest_run.add(echoes.longest_run);
        let answered = echoes.sizes.iter().filter(|(_, size)| size.answered > 0).map(|(length, _)| *length);
        let largest = answered.max().unwrap_or(0);
        self.largest_answered.add(largest);
        let beyond = echoes.sizes.range(largest + 1..);
        self.lost_large += beyond.map(|(_, size)| size.lost).sum::<u64>();
        let lost = echoes.sizes.iter().filter(|(_, size)| size.lost > 0).map(|(length, _)| *length);
        lost.min().into_iter().for_each(|length| self.smallest_lost.add(length));
        if let Some((least, most, sum)) = echoes.round_trip {
            self.shortest[0].add(least.0.unsigned_abs());
            self.round_trip[0].add(most.0.unsigned_abs());
            self.sum += sum;
        }
    }
}

/// Nobody has to answer for a group or for all: most networks have the address that ends in 255 for that.
fn is_for_all(address: IpAddr) -> bool {
    is_group(address) || matches!(address, IpAddr::V4(address) if address.octets()[3] == 255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::filler;
    use crate::support::scenes::link::{ping, pings};

    const NAME: &str = EchoLoss::RULE.name;

    #[test]
    fn it_fires() {
        fires(NAME, &[("echo_loss", "loss", Severity::Warning), ("echo_loss", "no_answer", Severity::Info)]);
    }

    #[test]
    fn it_says_nothing_without_pings() {
        says_nothing(NAME, &["healthy_resets", "icmp_unreachable_host", "pmtud", "routing_loop"]);
    }

    #[test]
    fn an_interruption_is_a_loss() {
        let findings = in_traffic(NAME, |lab| pings(lab, 9, 60, 1_000, |number| !(20..32).contains(&number)));
        let finding = one(&findings, "loss", Severity::Warning);
        assert!(finding.title.contains("did not answer 12 pings of"), "{}", finding.title);
    }

    #[test]
    fn sizes_that_never_arrive_are_information() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..30u16 {
                let size = [56, 1_372, 1_472][usize::from(number % 3)];
                let at = u64::from(number) * 400_000;
                ping(lab, at, (7, 9), (3, number), size, size < 1_400);
            }
            ping(lab, 20_000_000, (7, 9), (3, 30), 56, true);
        });
        let finding = one(&findings, "size", Severity::Info);
        assert!(finding.title.ends_with("above 1400 bytes"), "{}", finding.title);
    }

    #[test]
    fn answers_that_the_end_of_the_capture_cuts_off_are_not_lost() {
        let findings = in_traffic(NAME, |lab| pings(lab, 9, 40, 500, |number| number < 34));
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_flood_is_not_judged() {
        let findings = in_traffic(NAME, |lab| pings(lab, 9, 900, 2, |number| number % 3 == 0));
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn one_lost_ping_is_information() {
        let findings = in_traffic(NAME, |lab| pings(lab, 9, 50, 500, |number| number != 20));
        one(&findings, "loss", Severity::Info);
    }

    #[test]
    fn a_sweep_without_answers_is_one_finding() {
        let findings = in_traffic(NAME, |lab| {
            (9..29).for_each(|host| pings(lab, host, if host == 9 { 30 } else { 3 }, 1_000, |_| host == 9));
        });
        let finding = one(&findings, "no_answer", Severity::Info);
        assert!(finding.title.ends_with("to 19 hosts"), "{}", finding.title);
        assert!(finding.summary.starts_with("57 echo requests to 19 hosts"), "{}", finding.summary);
    }

    /// A mirror records every request and every answer twice.
    #[test]
    fn copies_are_no_requests() {
        let findings = in_traffic(NAME, |lab| {
            pings(lab, 9, 50, 500, |_| true);
            let seen = lab.capture.packets.clone();
            seen.into_iter().for_each(|packet| lab.capture.record(packet.micros + 9, packet.frame));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A bystander sees what a switch floods: of some pings the request only, of others the answer only.
    #[test]
    fn what_the_capture_misses_is_no_loss() {
        for (count, missed, found) in [(60, 4, 0), (60, 60, 1), (120, 30, 0), (400, 100, 1)] {
            let findings = in_traffic(NAME, |lab| {
                pings(lab, 9, count, 1_000, |number| number % 4 > 0);
                let number = |frame: &[u8]| u16::from_be_bytes([frame[40], frame[41]]);
                let request = |frame: &[u8]| frame.len() > 41 && frame[23] == 1 && frame[34] == 8;
                lab.capture.packets.retain(|packet| {
                    let frame = &packet.frame;
                    !request(frame) || number(frame) % missed != 3
                });
            });
            assert_eq!(findings.len(), found, "{count} {missed} {findings:#?}");
        }
    }

    /// Both frames came out of one queue.
    #[test]
    fn no_host_answers_within_a_microsecond() {
        let findings = in_traffic(NAME, |lab| {
            pings(lab, 9, 60, 1_000, |number| number % 4 > 0);
            lab.capture.packets.iter_mut().for_each(|packet| packet.micros -= packet.micros % 10_000);
        });
        let finding = one(&findings, "loss", Severity::Warning);
        assert!(!finding.summary.contains("round trip"), "{}", finding.summary);
    }

    /// A tunnel in pings: one sequence number, and data of all sizes.
    #[test]
    fn data_in_pings_is_not_judged() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..60u64 {
                let size = 40 + (number as usize * 37) % 900;
                ping(lab, number * 700_000, (7, 9), (3, 0), size, number % 5 != 0);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A monitor that numbers nothing.
    #[test]
    fn one_number_and_one_size_are_pings() {
        let findings = in_traffic(NAME, |lab| {
            (0..60).for_each(|number| ping(lab, number * 700_000, (7, 9), (3, 0), 56, number % 5 != 0));
        });
        one(&findings, "loss", Severity::Warning);
    }

    /// A bystander sees what a switch floods, here one direction of the connections; or both of them.
    #[test]
    fn where_answers_pass_elsewhere_no_ping_is_lost() {
        for (half, found) in [(true, 0), (false, 1)] {
            let findings = in_traffic(NAME, |lab| {
                pings(lab, 9, 60, 1_000, |number| number % 4 > 0);
                for number in 0..5 {
                    let mut talk = lab.talk(8, (20, 443), 10 + number * 900, [30, 500]);
                    for piece in 0..3 {
                        talk.exchange(&mut lab.capture, &filler(piece, 200), 700);
                    }
                }
                let answers = |frame: &[u8]| frame[23] == 6 && frame[34..36] == [1, 187];
                lab.capture.packets.retain(|packet| !(half && answers(&packet.frame)));
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }
}
