//! # What it finds
//! RSTs that end connections in a host's name and that this host did not send.
//!
//! # Why it matters
//! Both hosts take the other for the one that hung up. Their logs name the wrong side, and neither can mend
//! it.
//!
//! # How it decides
//! The RST comes from elsewhere when its TTL is more than `hops` away from every other packet of its sender
//! in the same connection, or when it is the first to come by another link address.
//! - `forged`: it comes from elsewhere, and the sender goes on after its own RST with data beyond it, or
//!   another RST has a number beyond all that the sender had sent, or both sides are reset from elsewhere
//!   within a round trip. It is a warning, and confirmed when the sender went on.
//! - `other_ttl`: only the TTL differs. A device that ends connections as it is told to does that, too. It is
//!   information, and possible only.
//!
//! # What it leaves alone
//! - Refused connections: `connection_refused` compares their TTLs.
//! - RSTs after a FIN or a TLS close_notify, or after a RST that an end sent itself: nothing was lost.
//! - Data that the sender sent before its RST and that comes late: its numbers are below the RST's.
//! - IP identification 0, window 0 and missing options: a RST of Linux has them.
//!
//! # What it does not claim
//! Who sent the RSTs, or why. That somebody attacks: firewalls and load balancers end connections like this.
//!
//! # References
//! Weaver, Sommer, Paxson, Detecting Forged TCP Reset Packets, NDSS 2009; RFC 5961 section 3; RFC 9293
//! section 3.5.2.

use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{Flow, Reset, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts connections that were reset in a host's name.
    struct RstInjection {
        hops: u64 = 2.0 "hops",
            "difference to the nearest TTL of the sender's other packets that equal paths explain",
            "ours: load balancing over equal paths shifts a TTL by one or two";
    }
}

variants! {
    /// How sure it is that another host sent the RST.
    enum Proof {
        Forged "forged" Warning {
            could_be: &[
                "a firewall or an intrusion prevention system ends these connections by policy",
                "another member of a cluster got a packet of a connection that it does not know",
                "somebody resets connections of others",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Copies],
        }
        OtherTtl "other_ttl" Info {
            could_be: &[
                "a device on the path ends idle or unwanted connections",
                "a load balancer answers for a member that is gone",
                "the host sends its RSTs with another initial TTL",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Copies],
        }
    }
}

const NEXT: &[&str] = &[
    "capture at both hosts at the same time: does the named sender send the RST?",
    "count back from the TTL of the RSTs to find the device: 64, 128 or 255 minus the hops",
    "look for resets in the logs of the firewalls and load balancers on the path",
];
const NOT_CLAIMED: &[&str] = &["who sends the RSTs, or why", "an attack"];

counts! {
    /// Reset connections by sign.
    struct Signs {
        in_server_name: u64,
        in_client_name: u64,
        other_ttl: u64,
        other_link: u64,
        sender_went_on: u64,
        number_ahead: u64,
        both_sides: u64,
        idle: u64,
        rst_ttl_least: Least,
        rst_ttl_most: Most,
        sender_ttl_least: Least,
        sender_ttl_most: Most,
    }
}

/// Packets of a sender, below which its TTL is not known.
const KNOWN: u64 = 3;

/// What speaks for another sender of a RST.
struct Suspect<'a> {
    reset: &'a Reset,
    /// Lowest and highest TTL of the sender's other packets.
    sender: (u8, u8),
    other_ttl: bool,
    other_link: bool,
}

impl Detector for RstInjection {
    const RULE: Rule = Rule {
        name: "rst_injection",
        group: Group::Tcp,
        summary: "RSTs in a host's name that it did not send",
        judges: "flows",
        variants: Proof::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("rst_injection.rs"),
    };
    const EXPLAINS: &'static [Explains] = &[
        Explains::by(Meet::Flows, &["rst_storm", "tls_abort", "http_error"]),
        // Who is reset right after the ClientHello has sent too little to know its TTL by.
        Explains::by(Meet::Service, &["tls_abort"]),
    ];
    type Variant = Proof;
    type Key = (Endpoint, Proof);
    type Counts = Signs;
    type Total = ();
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        book.judged(&flow.server);
        if !tcp.handshake.outcome.is_open() || !tcp.resets.iter().any(|reset| reset.class.is_harmful()) {
            return;
        }
        let mut suspects: Vec<Suspect<'_>> = Vec::new();
        for reset in &tcp.resets {
            match self.suspect(flow, tcp, reset) {
                Some(suspect) => suspects.push(suspect),
                None if flow.half(reset.direction).packets < KNOWN => {
                    book.not_judged("too few packets of the sender of the RST");
                }
                None => {}
            }
        }
        let resets = tcp.resets.iter().filter(|reset| flow.half(reset.direction).packets >= KNOWN);
        let ended = resets.map(|reset| reset.at.packet).min();
        if suspects.iter().all(|suspect| ended.is_some_and(|ended| ended < suspect.reset.at.packet)) {
            return; // An end reset it before, in its own name: what answers that breaks nothing.
        }
        let both = both_sides(&suspects, tcp);
        let forged = |suspect: &Suspect<'_>| both || suspect.reset.went_on.is_some() || suspect.reset.ahead;
        let proof = if suspects.iter().any(forged) { Proof::Forged } else { Proof::OtherTtl };
        suspects.retain(|suspect| match proof {
            Proof::Forged => forged(suspect),
            Proof::OtherTtl => suspect.other_ttl,
        });
        let Some(first) = suspects.first() else { return };
        let Some(case) = book.case((flow.server, proof)) else { return };
        case.flow(flow, suspects.iter().map(|suspect| suspect.reset.at));
        case.failed += 1;
        let counts = &mut case.counts;
        counts.both_sides += u64::from(both);
        counts.idle += u64::from(first.reset.idle >= IDLE);
        let any = |sign: fn(&Suspect<'_>) -> bool| u64::from(suspects.iter().any(sign));
        counts.in_server_name += any(|one| one.reset.direction == Direction::ToClient);
        counts.in_client_name += any(|one| one.reset.direction == Direction::ToServer);
        counts.other_ttl += any(|one| one.other_ttl);
        counts.other_link += any(|one| one.other_link);
        counts.sender_went_on += any(|one| one.reset.went_on.is_some());
        counts.number_ahead += any(|one| one.reset.ahead);
        for suspect in &suspects {
            counts.rst_ttl_least.add(suspect.reset.ttl);
            counts.rst_ttl_most.add(suspect.reset.ttl);
            counts.sender_ttl_least.add(suspect.sender.0);
            counts.sender_ttl_most.add(suspect.sender.1);
        }
        case.show(-i64::from(first.reset.went_on.is_some()), flow.id, || {
            suspects.iter().flat_map(|suspect| evidence(flow, suspect)).collect::<Vec<_>>()
        });
    }

    fn judge(
        &self,
        (server, proof): &Self::Key,
        case: &Case<Signs>,
        _: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Proof>> {
        let signs = &case.counts;
        let who = match (signs.in_server_name, signs.in_client_name) {
            (_, 0) => "the server",
            (0, _) => "the client",
            _ => "both sides",
        };
        let reset = plural(case.failed, "connection");
        let title = match proof {
            Proof::Forged => format!("{reset} of {server} reset in the name of {who} by another host"),
            Proof::OtherTtl => format!("{reset} of {server} reset with a TTL that {who} does not use"),
        };
        let ttl = format!(
            "The RSTs have TTL {}, the sender's other packets {}.",
            range(signs.rst_ttl_least, signs.rst_ttl_most),
            range(signs.sender_ttl_least, signs.sender_ttl_most)
        );
        let remarks = [
            (signs.sender_went_on, "the named sender went on with data after its RST"),
            (signs.both_sides, "both sides were reset within a round trip"),
            (signs.number_ahead, "a RST has a number beyond all that the sender had sent"),
            (signs.other_link, "the RST came by another link address"),
            (signs.idle, "the connection had been idle for 30 s or more"),
        ];
        let remarks = remarks.iter().filter(|(count, _)| *count > 0);
        let remarks: String = remarks.map(|(count, text)| format!(" In {count} {text}.")).collect();
        let summary = format!(
            "{} of {} of {} ended so. {ttl}{remarks}",
            case.failed,
            plural(case.total.max(case.failed), "connection"),
            case.clients()
        );
        let draft = Draft::new(*proof, title, summary);
        Some(match proof {
            Proof::Forged if signs.sender_went_on > 0 => draft,
            Proof::Forged => draft.confidence(Confidence::Likely),
            Proof::OtherTtl => draft.confidence(Confidence::Possible),
        })
    }
}

impl RstInjection {
    /// What speaks for another sender; `None` when nothing does.
    fn suspect<'a>(&self, flow: &Flow, tcp: &TcpFlow, reset: &'a Reset) -> Option<Suspect<'a>> {
        let half = flow.half(reset.direction);
        let sender = tcp.side(reset.direction).ttl?;
        if half.packets < KNOWN + u64::from(reset.count) {
            return None;
        }
        let hops = self.hops.min(255) as u8;
        let near = sender.0.saturating_sub(hops)..=sender.1.saturating_add(hops);
        let other_ttl = !near.contains(&reset.ttl);
        let other_link = half.links.iter().any(|link| {
            let before = half.links.iter().filter(|other| other.source != link.source);
            link.first.packet == reset.at.packet && before.map(|other| other.packets).sum::<u64>() >= KNOWN
        });
        (other_ttl || other_link).then_some(Suspect { reset, sender, other_ttl, other_link })
    }
}

/// Silence after which a device may end a connection: as for the class of a RST.
const IDLE: Span = Span::secs(30);

/// Both sides were reset from elsewhere, sooner than one can have answered the other.
fn both_sides(suspects: &[Suspect<'_>], tcp: &TcpFlow) -> bool {
    let [one, other] = suspects else { return false };
    let trip = tcp.handshake.server_rtt.zip(tcp.handshake.client_rtt).map(|(server, client)| server + client);
    let apart = (one.reset.at.time - other.reset.at.time).abs();
    one.other_ttl && other.other_ttl && trip.is_some_and(|trip| apart < trip)
}

fn range(least: Least, most: Most) -> String {
    match (least.get(), most.get()) {
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    }
}

/// A packet of the named sender, the RST, and what the sender sent after it.
fn evidence(flow: &Flow, suspect: &Suspect<'_>) -> impl Iterator<Item = Evidence> {
    let reset = suspect.reset;
    let (low, high) = suspect.sender;
    let own = flow.half(reset.direction).first.filter(|first| first.packet != reset.at.packet);
    let own = own.map(|at| Evidence::new(at, Role::Original, format!("the sender, TTL {low} to {high}")));
    let fields = format!(
        "{}, TTL {}, IP identification {}, window {}, seq {}",
        reset.class.name(),
        reset.ttl,
        reset.ip_id,
        reset.window,
        reset.seq.0
    );
    let after = reset.went_on.map(|at| Evidence::new(at, Role::AfterGap, "data of the sender after its RST"));
    own.into_iter().chain([Evidence::new(reset.at, Role::Reset, fields)]).chain(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, Talk};

    const NAME: &str = RstInjection::RULE.name;

    /// A connection with a request under way at `at` milliseconds.
    fn asked(lab: &mut Lab, at: u64) -> Talk {
        let mut talk = lab.talk(7, (9, 80), at, [30, 20_000]);
        lab.http(&mut talk, 4_000);
        talk.wait(300);
        talk.send(&mut lab.capture, CLIENT, ACK, b"GET /next HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");
        talk.wait(2_000);
        talk
    }

    fn reset(lab: &mut Lab, talk: &mut Talk, side: usize, ttl: u8) {
        let mut reset = talk.segment(side, RST | ACK, b"");
        reset.ttl = ttl;
        talk.record(&mut lab.capture, &reset);
    }

    fn answers(lab: &mut Lab, talk: &mut Talk) {
        talk.wait(38_000);
        talk.send(&mut lab.capture, SERVER, ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }

    #[test]
    fn a_sender_that_goes_on_did_not_reset() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..4 {
                let mut talk = asked(lab, 10 + number * 300);
                reset(lab, &mut talk, SERVER, 243);
                answers(lab, &mut talk);
            }
        });
        let finding = one(&findings, "forged", Severity::Warning);
        assert_eq!(finding.confidence, Confidence::Confirmed);
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (4, 4));
        assert!(finding.summary.contains("TTL 243, the sender's other packets 58"), "{}", finding.summary);
        fires(NAME, &[("blind_rst_inject", "forged", Severity::Warning)]);
    }

    #[test]
    fn a_device_that_resets_both_sides_at_once_shows() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = asked(lab, 10);
            reset(lab, &mut talk, SERVER, 250);
            reset(lab, &mut talk, CLIENT, 250);
        });
        let finding = one(&findings, "forged", Severity::Warning);
        assert!(finding.title.contains("in the name of both sides"), "{}", finding.title);
    }

    /// The hosts stay silent for two minutes, and a device ends the connection as it is told to.
    #[test]
    fn another_ttl_alone_proves_nothing() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = asked(lab, 10);
            answers(lab, &mut talk);
            talk.wait(120_000_000);
            talk.send(&mut lab.capture, CLIENT, ACK, b"GET / HTTP/1.1\r\n\r\n");
            talk.wait(900);
            reset(lab, &mut talk, SERVER, 63);
        });
        assert_eq!(one(&findings, "other_ttl", Severity::Info).confidence, Confidence::Possible);
    }

    /// The capture lacks what the client acknowledges, or nothing: a probe of the network with old numbers
    /// stands for the server, whose RST has the number that the client waits for.
    #[test]
    fn a_number_that_the_other_side_waits_for_is_not_ahead() {
        for (acknowledged, variant) in [(true, "other_ttl"), (false, "forged")] {
            let findings = in_traffic(NAME, |lab| {
                let mut talk = asked(lab, 10);
                answers(lab, &mut talk);
                talk.wait(2_000);
                let next = talk.ends[SERVER].next.wrapping_add(1_233_997);
                if acknowledged {
                    let mut reply = talk.segment(CLIENT, ACK, b"");
                    reply.ack = next;
                    talk.record(&mut lab.capture, &reply);
                }
                talk.wait(9_000);
                let mut reset = talk.segment(SERVER, RST | ACK, b"");
                (reset.seq, reset.ttl) = (next, 106);
                talk.record(&mut lab.capture, &reset);
            });
            assert!(findings.iter().all(|finding| finding.variant == variant), "{findings:#?}");
            assert!(!findings.is_empty(), "{variant}");
        }
    }

    #[test]
    fn a_host_that_aborts_is_no_injection() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = asked(lab, 10);
            reset(lab, &mut talk, SERVER, 58);
        });
        assert!(findings.is_empty(), "{findings:#?}");
        says_nothing(
            NAME,
            &["rst_storm_abort", "rst_storm_no_socket", "healthy_resets", "rst_storm_refused"],
        );
    }

    /// A user-mode network stack answers the RST of its guest with one of its own making.
    #[test]
    fn what_answers_a_rst_of_an_end_injects_nothing() {
        let findings = |own: u8| {
            in_traffic(NAME, |lab| {
                for number in 0..3 {
                    let mut talk = asked(lab, 10 + number * 300);
                    reset(lab, &mut talk, CLIENT, own);
                    let mut answer = talk.segment(SERVER, RST | ACK, b"");
                    (answer.ttl, answer.seq) = (255, answer.seq.wrapping_add(900_000));
                    talk.record(&mut lab.capture, &answer);
                }
            })
        };
        one(&findings(250), "forged", Severity::Warning);
        assert!(findings(64).is_empty());
    }

    /// Equal paths are a hop apart.
    #[test]
    fn a_ttl_one_hop_away_is_of_the_host() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = asked(lab, 10);
            reset(lab, &mut talk, SERVER, 57);
            answers(lab, &mut talk);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The RST overtakes the last data, which the host sent before it.
    #[test]
    fn late_data_below_the_number_of_the_rst_is_no_proof() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = asked(lab, 10);
            let data = talk.segment(SERVER, ACK, b"HTTP/1.1 200 OK\r\n\r\n");
            talk.sent(&data);
            reset(lab, &mut talk, SERVER, 58);
            talk.wait(200);
            talk.record(&mut lab.capture, &data);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
