//! # What it finds
//! Packets that were on the wire and are not in the capture. Either the recorder counts them as dropped, or a
//! receiver acknowledged bytes that the capture does not hold.
//!
//! # Why it matters
//! A packet that is missing here looks like one that the network lost. With enough of them, every statement
//! on loss, silence and stalls is in doubt.
//!
//! # How it decides
//! `reported`: the drop counters in the files. Their share is of what the interfaces that count drops
//! received and dropped. From `drop_share` on it is a warning; and information where a hundred packets at
//! most would take three data segments of this capture, and receivers acknowledged none that it does not
//! hold. `missed`: acknowledged bytes that were never seen, at any place in the file. From `missed_share` of
//! all payload bytes on it is a warning. Any smaller number is information. A record that is shorter than its
//! IP header states was cut later: the header's length counts.
//!
//! # What it leaves alone
//! - Flows of which only one direction was recorded: there the other one is missing by design (see
//!   `asymmetric_flow`).
//! - What is acknowledged after a RST: one of the two hosts knows no such connection, and its bytes may be
//!   those of another. And what a host that sent no byte answers with a RST of that number: it sent nothing.
//! - Files without drop counters: no counter is not the same as zero drops.
//!
//! # What it does not claim
//! Where the packets went. The mirror port, the network card, the kernel buffer and the disk can each have
//! dropped them.
//!
//! # References
//! pcapng interface statistics block (`isb_ifdrop`, `isb_osdrop`) and `epb_dropcount`; Zeek
//! `policy/misc/capture-loss`; Wireshark "ACKed unseen segment"; RFC 9293 section 3.10.7.4 (a RST has the
//! number that it denies).

use crate::capture::{FileReport, InterfaceReport};
use crate::detect::*;
use crate::dissect::Direction;
use crate::flow::{EventKind, Flow, TcpEvent};
use crate::humanize::grouped;

thresholds! {
    /// Counts acknowledged bytes that were not recorded.
    struct CaptureLoss {
        drop_share: f64 = 0.001 "share",
            "reported drops of all packets, from which it is a warning",
            "pcaptriage: no loss finding above 0.1 % reported drops";
        missed_share: f64 = 0.1 "share",
            "unseen acknowledged bytes of all payload bytes, from which it is a warning",
            "Zeek CaptureLoss::too_much_loss, 10 %";
    }
}

variants! {
    /// Who says that packets are missing.
    enum Witness {
        Reported "reported" Warning {
            could_be: &[
                "the capture buffer was too small for the rate",
                "the mirror port carries more than its line rate",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
        }
        Missed "missed" Warning {
            could_be: &[
                "the capture buffer was too small for the rate",
                "the mirror port carries more than its line rate",
                "a filter chose the packets of the file, while capturing or afterwards",
                "the capture began or ended inside the connections",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
        }
    }
}

/// Data segments that are expected to be dropped, and none of which was, from which others were: one time in
/// twenty it is by chance (Poisson).
const SURE: f64 = 3.0;

/// What a recorder may hold when it is stopped, packets. A judgement.
const BATCH: u64 = 100;

const NEXT: &[&str] = &[
    "capture again with a larger buffer (tcpdump -B), a shorter snapshot length or a narrower filter",
    "compare the drop counters of the mirror port and of the capturing host",
];
const NOT_CLAIMED: &[&str] = &["that the network lost these packets", "where they were dropped"];

counts! {
    /// What connections with unseen bytes miss.
    struct Missed {
        bytes_missed: u64,
    }
}

counts! {
    /// What all connections with two directions show.
    struct Shown {
        bytes_seen: u64,
        segments: u64,
    }
}

impl Detector for CaptureLoss {
    const RULE: Rule = Rule {
        name: "capture_loss",
        group: Group::Capture,
        summary: "packets that were on the wire and are not in the capture",
        judges: "flows",
        variants: Witness::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("capture_loss.rs"),
    };
    type Variant = Witness;
    type Key = ();
    type Counts = Missed;
    type Total = Shown;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        if flow.is_one_way() {
            return book.not_judged("one direction only: what is missing cannot be told");
        }
        let sides = Direction::BOTH.map(|direction| tcp.side(direction));
        if let Some(total) = book.judged(&()) {
            total.bytes_seen += sides.iter().map(|side| side.unique_bytes).sum::<u64>();
            total.segments += sides.iter().map(|side| side.data_segments).sum::<u64>();
        }
        let missed: u64 = sides.iter().map(|side| side.missed_bytes).sum();
        if missed == 0 {
            return;
        }
        let opened = tcp.handshake.syn_acks.last().map_or(0, |answer| answer.packet);
        let reset = tcp.resets.iter().map(|reset| reset.at.packet).find(|packet| *packet > opened);
        let is_late = |event: &&TcpEvent| {
            let mute = tcp.side(event.direction).data_segments == 0;
            let denied = tcp.resets.iter().any(|reset| {
                let own = reset.direction == event.direction && !reset.with_ack;
                own && reset.seq == event.seq.plus(event.length)
            });
            reset.is_some_and(|packet| event.at.packet > packet) || mute && denied
        };
        let unseen = || tcp.events.iter().filter(|event| event.kind == EventKind::AckedUnseen);
        let late: u64 = unseen().filter(is_late).map(|event| u64::from(event.length)).sum();
        let unseen = || unseen().filter(|event| !is_late(event));
        let missed = missed.saturating_sub(late);
        let Some(case) = (missed > 0).then(|| book.case(())).flatten() else { return };
        case.flow_events(flow, unseen().map(|event| event.at));
        case.counts.bytes_missed += missed;
        case.show(0, flow.id, || {
            unseen().take(4).map(|event| {
                let fields = format!("acknowledges {} unseen bytes from seq {}", event.length, event.seq.0);
                Evidence::new(event.at, Role::AckOfUnseen, fields)
            })
        });
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mute = |file: &&FileReport| file.interfaces.iter().all(|interface| interface.dropped().is_none());
        let mute = context.files.iter().filter(mute).count() as u64;
        book.not_judged_of("files", "the file does not say how many packets were dropped", mute);
        let whole = Case::between(context.totals.first, context.totals.last);
        self.reported(book, context).map(|draft| (draft, whole)).into_iter().collect()
    }

    fn judge(
        &self,
        (): &(),
        case: &Case<Missed>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Witness>> {
        let missed = case.counts.bytes_missed;
        let seen = book.total(&()).1.map_or(0, |total| total.bytes_seen);
        let all = missed + seen;
        let title = format!("The capture lacks {} that receivers acknowledged", plural(missed, "byte"));
        let summary = format!(
            "In {} of {} a receiver acknowledged bytes that the capture does not hold. They are {} of {} \
             ({}). The bytes reached their receiver, so the network did not lose them.",
            grouped(case.flows()),
            plural(case.total, "connection"),
            grouped(missed),
            plural(all, "payload byte"),
            percent(missed, all),
        );
        let draft = Draft::new(Witness::Missed, title, summary)
            .count("bytes_seen", seen)
            .count("flows_with_misses", case.flows())
            .count("flows", case.total);
        Some(if share(missed, all) < self.missed_share { draft.severity(Severity::Info) } else { draft })
    }
}

impl CaptureLoss {
    /// What the files say of themselves.
    fn reported(&self, book: &Book<Self>, context: &Context<'_>) -> Option<Draft<Witness>> {
        let dropped = context.reported_drops().filter(|dropped| *dropped > 0)?;
        let recorded = context.totals.packets;
        // An interface that does not count drops says nothing about those of another.
        let counting = context.interfaces().filter(|interface| interface.dropped().is_some());
        let received = |interface: &InterfaceReport| match interface.received {
            Some(received) => received.max(interface.packets + interface.dropped().unwrap_or(0)),
            None => interface.packets + interface.dropped().unwrap_or(0),
        };
        let all: u64 = counting.map(received).sum();
        let drops = |interface: &&InterfaceReport| interface.dropped().is_some_and(|count| count > 0);
        let dropping: Vec<&InterfaceReport> = context.interfaces().filter(drops).collect();
        let received = dropping.iter().filter_map(|interface| interface.received).sum();
        let interface = match dropping.as_slice() {
            [one] => one.name.clone(),
            _ => None,
        };
        let title = format!("The recorder dropped {}", plural(dropped, "packet"));
        let summary = format!(
            "The files report {} as dropped on {}, {} of what was received there. They hold {}. A packet \
             that is missing here may have been on the wire.",
            plural(dropped, "packet"),
            plural(dropping.len() as u64, "interface"),
            percent(dropped, all),
            plural(recorded, "packet"),
        );
        let draft = Draft::new(Witness::Reported, title, summary)
            .subject(Subject { interface, ..Subject::default() })
            .count("packets_dropped", dropped)
            .count("packets_recorded", recorded)
            .count("packets_received", received);
        // Of so many segments some would be missing, if they were dropped alike.
        let segments = book.total(&()).1.map_or(0, |total| total.segments);
        let expected = share(dropped, all) * segments as f64;
        let nowhere = dropped <= BATCH && expected >= SURE && book.find(()).is_none();
        Some(match nowhere {
            true => draft
                .severity(Severity::Info)
                .and(" No receiver acknowledged a byte that the capture does not hold.")
                .could_be(["the recorder was stopped with packets in its buffer, and counts them (dumpcap)"]),
            false if share(dropped, all) < self.drop_share => draft.severity(Severity::Info),
            false => draft,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_files, in_scene, in_traffic, one, says_nothing, silent};
    use crate::support::capture::{Capture, Order};
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, SYN};

    const NAME: &str = CaptureLoss::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("capture_loss_unseen", "missed", Severity::Info),
                ("capture_loss_reported", "reported", Severity::Warning),
            ],
        );
        let finding = one(&in_scene(NAME, "capture_loss_unseen"), "missed", Severity::Info);
        assert_eq!((finding.scope.flows.count, finding.scope.servers.count), (5, 1));
    }

    #[test]
    fn drops_name_their_interface() {
        let findings = in_scene(NAME, "capture_loss_reported");
        let reported = findings.iter().find(|finding| finding.variant == "reported").expect("found");
        assert_eq!(reported.subject.interface.as_deref(), Some("eth0"));
        assert_eq!((reported.counts[0].name, reported.counts[0].value), ("packets_dropped", 400));
        assert!(reported.first_seen < reported.last_seen);
        assert_eq!(reported.scope.intervals.len(), 1);
    }

    /// The packets of an interface that counts no drops are no part of the share.
    #[test]
    fn drops_are_of_what_their_interface_received() {
        let mut lab = Lab::new(Capture::default(), 77);
        (1..=8).for_each(|number| lab.resolves(number * 100_000, "www.shop.example"));
        let packets = lab.capture.packets.len() as u64;
        let mute = lab.capture.pcapng(Order::Little, None).repeat(9);
        let file = [mute, lab.capture.pcapng(Order::Little, Some(packets))].concat();
        let finding = one_of(&in_files(NAME, &[("pcapng", file)]));
        assert!(finding.summary.contains("1 interface, 50 % of what"), "{}", finding.summary);
    }

    /// A short capture of a transfer; its recorder counts what it threw away when it was stopped.
    #[test]
    fn drops_that_took_nothing_of_the_capture_are_information() {
        for (missed, severity) in [(false, Severity::Info), (true, Severity::Warning)] {
            let mut lab = Lab::new(Capture::default(), 77);
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            for piece in 0..20 {
                talk.send(&mut lab.capture, SERVER, ACK, &filler(piece, 500));
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
            }
            if missed {
                talk.miss(SERVER, &filler(1, 500));
                talk.ack(&mut lab.capture, CLIENT, &[]);
            }
            let findings = in_files(NAME, &[("pcapng", lab.capture.pcapng(Order::Little, Some(20)))]);
            let reported = findings.iter().find(|finding| finding.variant == "reported").expect("found");
            assert_eq!(reported.severity, severity, "{findings:#?}");
        }
    }

    fn one_of(findings: &[Finding]) -> Finding {
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings[0].clone()
    }

    #[test]
    fn it_stays_silent() {
        silent(NAME, &["asymmetric_flow_visibility", "capture_truncated_snaplen", "capture_midstream"]);
        says_nothing(
            NAME,
            &["healthy", "retransmission_receiver_side", "healthy_reordered", "blind_ack_before_data"],
        );
    }

    /// The records were cut later and state their new length; the IP header knows better.
    #[test]
    fn a_file_that_was_cut_later_misses_nothing() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            (0..20).for_each(|piece| talk.exchange(&mut lab.capture, &filler(piece, 900), 700));
            talk.close(&mut lab.capture);
            lab.capture.packets.iter_mut().for_each(|packet| packet.frame.truncate(90));
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The client sends the refused SYN again, and the service is up by then. The RST has numbers of its own.
    #[test]
    fn numbers_begin_with_the_syn_ack_behind_a_refusal() {
        for (rule, isn) in [(NAME, 1 << 24), ("retransmission", u32::MAX - (1 << 24))] {
            let findings = in_traffic(rule, |lab| {
                let mut talk = lab.talk(7, (9, 8080), 10, [30, 6_000]);
                talk.ends[SERVER].next = isn;
                let syn = talk.segment(CLIENT, SYN, b"");
                talk.record(&mut lab.capture, &syn);
                let mut reset = talk.segment(SERVER, RST | ACK, b"");
                (reset.seq, reset.ack) = (0, syn.seq.wrapping_add(1));
                talk.wait(12_000);
                talk.record(&mut lab.capture, &reset);
                talk.wait(500_000);
                talk.handshake(&mut lab.capture);
                for piece in 0..6 {
                    talk.exchange(&mut lab.capture, &filler(piece, 200), 700);
                    talk.wait(300_000);
                }
                talk.close(&mut lab.capture);
            });
            assert!(findings.is_empty(), "{findings:#?}");
        }
    }

    #[test]
    fn what_is_recorded_behind_its_acknowledgement_is_not_missing() {
        let findings = in_files(
            NAME,
            &[{
                let mut lab = Lab::new(Capture::default(), 77);
                let mut talk = lab.talk(7, (9, 8080), 10, [30, 6_000]);
                talk.handshake(&mut lab.capture);
                (0..6).for_each(|piece| talk.exchange(&mut lab.capture, &filler(piece, 900), 700));
                lab.capture.sort();
                // The first request, at the end of the file.
                let request = lab.capture.packets.iter().position(|packet| packet.frame.len() > 900);
                let request = lab.capture.packets.remove(request.expect("a request"));
                lab.capture.packets.push(request);
                ("pcap", lab.capture.pcap())
            }],
        );
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A server answers several hosts what one of them sent; the others know of no connection.
    #[test]
    fn hosts_that_refuse_what_they_get_have_sent_nothing() {
        for asked in [false, true] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..3 {
                    let mut talk = lab.talk(10 + number, (9, 502), u64::from(number) * 100_000, [30, 6_000]);
                    talk.handshake(&mut lab.capture);
                    let refusal = talk.segment(CLIENT, if asked { ACK } else { RST }, b"");
                    talk.record(&mut lab.capture, &refusal);
                    talk.miss(CLIENT, &filler(1, 120));
                    let ack = talk.segment(SERVER, ACK, b"");
                    talk.record(&mut lab.capture, &ack);
                    let answer = talk.segment(SERVER, ACK, &filler(1, 256));
                    talk.record(&mut lab.capture, &answer);
                    let end = talk.segment(CLIENT, if asked { ACK } else { RST }, b"");
                    talk.record(&mut lab.capture, &end);
                }
            });
            assert_eq!(findings.len(), usize::from(asked), "{findings:#?}");
        }
    }

    /// A device passes the ACKs for one server on to another, which never sent a byte.
    #[test]
    fn what_a_rst_denies_was_never_sent() {
        for (flags, found) in [(RST, 0), (RST | ACK, 1)] {
            let findings = in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (9, 502), 10, [30, 6_000]);
                talk.handshake(&mut lab.capture);
                talk.miss(SERVER, &filler(1, 900));
                talk.ack(&mut lab.capture, CLIENT, &[]);
                let denial = talk.segment(SERVER, flags, b"");
                talk.record(&mut lab.capture, &denial);
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }

    #[test]
    fn many_unseen_bytes_are_a_warning() {
        for (every, severity) in [(40, Severity::Info), (5, Severity::Warning)] {
            let findings = in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (9, 8080), 10, [30, 6_000]);
                talk.handshake(&mut lab.capture);
                for piece in 0..40 {
                    let data = talk.segment(SERVER, ACK, &filler(piece, 500));
                    if piece % every != 3 {
                        talk.record(&mut lab.capture, &data);
                    }
                    talk.sent(&data);
                    talk.received(&data);
                    talk.turn(SERVER);
                    talk.ack(&mut lab.capture, CLIENT, &[]);
                }
                talk.close(&mut lab.capture);
            });
            let missed = u64::from(40 / every) * 500;
            let finding = one(&findings, "missed", severity);
            assert_eq!((finding.counts[0].name, finding.counts[0].value), ("bytes_missed", missed));
        }
    }

    /// The capture begins behind a loss: the receiver has what comes after it, and gets the repeat.
    #[test]
    fn what_was_sent_before_the_capture_is_not_missing() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 6_000]);
            let lost = talk.segment(SERVER, ACK, &filler(1, 1_400));
            talk.sent(&lost);
            let before = talk.segment(SERVER, ACK, &filler(2, 1_400));
            talk.sent(&before);
            for piece in 3..9 {
                let data = talk.send(&mut lab.capture, SERVER, ACK, &filler(piece, 1_400));
                let known = data.seq.wrapping_add(1_400);
                talk.ack(&mut lab.capture, CLIENT, &[(before.seq, known)]);
                talk.turn(SERVER);
            }
            talk.record(&mut lab.capture, &lost);
            talk.received(&lost);
            talk.catch_up(SERVER);
            talk.ack(&mut lab.capture, CLIENT, &[]);
            talk.exchange(&mut lab.capture, b"GET / HTTP/1.1\r\n\r\n", 300);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// A connection rests when the capture begins, and what comes first has a number below what the peer got.
    #[test]
    fn what_the_peer_got_before_the_capture_began_is_not_missing() {
        for (told, found) in [(false, 0), (true, 1)] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..4 {
                    let mut talk = lab.talk(7, (9, 443), 10 + number * 500, [30, 6_000]);
                    if told {
                        talk.ack(&mut lab.capture, CLIENT, &[]);
                    }
                    let data = talk.segment(SERVER, ACK, &filler(1, 380));
                    talk.ack(&mut lab.capture, SERVER, &[]);
                    talk.sent(&data);
                    talk.received(&data);
                    talk.turn(SERVER);
                    talk.ack(&mut lab.capture, CLIENT, &[]);
                    talk.turn(CLIENT);
                    talk.ack(&mut lab.capture, SERVER, &[]);
                }
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }
}
