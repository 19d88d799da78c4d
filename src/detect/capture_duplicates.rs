//! # What it finds
//! Packets that the capture holds more than once although they were sent once. A mirror of several ports
//! records them so, the `any` interface, or a capture point before and behind a router or a tunnel.
//!
//! # Why it matters
//! Tools that do not know take the copies for retransmissions and duplicate ACKs.
//!
//! # How it decides
//! The flow engine compares headers, payload, IP identification and TCP timestamps within a short interval.
//! It leaves copies out of every count. This detector reports how many there were, from `least` copies and
//! `share` of the packets on.
//!
//! # What it leaves alone
//! Retransmissions, and repeated UDP or ARP packets, which applications do send twice.
//!
//! # What it does not claim
//! That any host sent a packet twice. It is information only: all other counts are without the copies.
//!
//! # References
//! RFC 6864 (the IP identification says nothing for atomic datagrams); RFC 7323 section 3 (timestamps);
//! Wireshark `editcap -d`.

use crate::detect::*;
use crate::dissect::Direction;
use crate::flow::{EventKind, Flow, TcpEvent};

thresholds! {
    /// Counts copies.
    struct CaptureDuplicates {
        least: u64 = 10.0 "packets",
            "copies below this number are not worth a line",
            "judgement: a handful of copies changes no rate";
        share: f64 = 0.001 "share",
            "copies of all packets, from which it is reported",
            "the same 0.1 % that pcaptriage allows for drops";
    }
}

variants! {
    /// There is one kind.
    enum Kind {
        Copies "" Info {
            could_be: &[
                "several ports, or both directions of two ports, are mirrored to one",
                "the capture was taken on the any interface: bridge, container and host each show the packet",
                "the capture point sees the packet before and after a router or tunnel",
            ],
            next: &["capture on one interface, or mirror one direction of one port"],
            not_claimed: &["that any host sent a packet twice"],
        }
    }
}

counts! {
    /// What flows with copies show.
    struct Copies {
        copies: u64,
    }
}

counts! {
    /// What all flows show.
    struct Recorded {
        packets: u64,
    }
}

impl Detector for CaptureDuplicates {
    const RULE: Rule = Rule {
        name: "capture_duplicates",
        group: Group::Capture,
        summary: "packets recorded more than once",
        judges: "flows",
        variants: Kind::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("capture_duplicates.rs"),
    };
    const EXPLAINS: &'static [Explains] =
        &[Explains::by(Meet::Recording, &["spurious_retransmission", "reordering"])];
    type Variant = Kind;
    type Key = ();
    type Counts = Copies;
    type Total = Recorded;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let copies: u64 = flow.halves.iter().map(|half| half.copies).sum();
        if let Some(total) = book.judged(&()) {
            total.packets += copies + flow.halves.iter().map(|half| half.packets).sum::<u64>();
        }
        let Some(case) = (copies > 0).then(|| book.case(())).flatten() else { return };
        case.flow(flow, [flow.first, flow.last]);
        case.counts.copies += copies;
        if let Some(tcp) = &flow.tcp {
            let copies = tcp.events.iter().filter(|event| event.kind == EventKind::DuplicateObservation);
            case.show(0, flow.id, || copies.take(2).flat_map(pair));
        }
    }

    fn judge(&self, (): &(), case: &Case<Copies>, book: &Book<Self>, _: &Context<'_>) -> Option<Draft<Kind>> {
        let copies = case.counts.copies;
        let packets = book.total(&()).1.map_or(0, |total| total.packets);
        if copies < self.least || share(copies, packets) < self.share {
            return None;
        }
        let title = format!("{} of the recorded packets are copies", percent(copies, packets));
        let summary = format!(
            "The capture holds {} of {} again. All other counts leave these copies out.",
            plural(copies, "packet"),
            plural(case.flows(), "flow"),
        );
        let draft = Draft::new(Kind::Copies, title, summary).confidence(Confidence::Likely);
        Some(draft.count("packets", packets).count("flows_with_copies", case.flows()))
    }
}

/// A copy and the packet it repeats.
fn pair(copy: &TcpEvent) -> impl Iterator<Item = Evidence> + use<> {
    let original = copy.original.map(|at| Evidence::new(at, Role::Original, ""));
    let direction = match copy.direction {
        Direction::ToServer => "to server",
        Direction::ToClient => "to client",
    };
    let fields = format!("{direction}, {} after the original", copy.delay);
    original.into_iter().chain([Evidence::new(copy.at, Role::Copy, fields)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{in_scene, in_traffic, one, says_nothing};
    use crate::support::tcp::{ACK, CLIENT, FIN, SERVER, SYN};

    const NAME: &str = CaptureDuplicates::RULE.name;

    #[test]
    fn it_fires() {
        for scene in ["exact", "routed", "vlan"] {
            let finding = one(&in_scene(NAME, &format!("capture_duplicates_{scene}")), "", Severity::Info);
            assert_eq!(finding.confidence, Confidence::Likely);
            let roles: Vec<Role> = finding.evidence.iter().map(|shown| shown.role).collect();
            assert_eq!(roles, [Role::Original, Role::Copy].repeat(8), "{scene}");
        }
    }

    #[test]
    fn it_stays_silent() {
        says_nothing(
            NAME,
            &["healthy", "retransmission_rto", "spurious_retransmission_dsack", "syn_ack_repeated"],
        );
    }

    #[test]
    fn a_handful_of_copies_is_not_worth_a_line() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 80), 10, [30, 6_000]);
            lab.http(&mut talk, 3_000);
            let again: Vec<_> = lab.capture.packets.iter().take(9).cloned().collect();
            again.into_iter().for_each(|packet| lab.capture.record(packet.micros + 5, packet.frame));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// On the `any` interface of a router that asked for the next hop's link address first.
    #[test]
    fn a_syn_without_timestamps_that_was_forwarded_late_is_a_copy() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..20 {
                let mut talk = lab.talk(7, (9, 80), 10 + number * 400, [30, 6_000]);
                let mut syn = talk.segment(CLIENT, SYN, b"");
                syn.stamps = None;
                talk.record(&mut lab.capture, &syn);
                talk.sent(&syn);
                talk.wait(75_000);
                syn.ttl -= 1;
                talk.record(&mut lab.capture, &syn);
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
            }
        });
        assert_eq!(one(&findings, "", Severity::Info).impact.failed_transactions, 0);
    }

    /// A tail loss probe of a FIN, by a host without timestamps and identifications.
    #[test]
    fn a_fin_that_is_probed_for_is_no_copy() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..20 {
                let mut talk = lab.talk(7, (9, 80), 10 + number * 400, [30, 6_000]);
                talk.handshake(&mut lab.capture);
                let mut fin = talk.segment(CLIENT, FIN | ACK, b"");
                (fin.id, fin.stamps) = (0, None);
                talk.record(&mut lab.capture, &fin);
                talk.sent(&fin);
                talk.wait(33_000);
                talk.record(&mut lab.capture, &fin);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The same question from the same port twice: the client sends it, nothing copies it.
    #[test]
    fn datagrams_sent_twice_are_no_copies() {
        let findings = in_traffic(NAME, |lab| {
            let (from, to) = ((lab.client(7), 5_353), (lab.resolver(), 5_353));
            for number in 0..40 {
                lab.udp(10_000 * number, from, to, b"the same announcement");
                lab.udp(10_000 * number + 3_000, from, to, b"the same announcement");
            }
            let mut talk = lab.talk(7, (9, 80), 10, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            talk.ack(&mut lab.capture, CLIENT, &[]);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
