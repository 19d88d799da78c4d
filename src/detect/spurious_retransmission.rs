//! # What it finds
//! Data that was sent again although it had arrived; by service and direction.
//!
//! # Why it matters
//! No packet was lost, and the sender slows down as if one had been. Often the path held packets back for
//! longer than the sender waits.
//!
//! # How it decides
//! A repeat counts when the packets prove that it was not needed: the receiver reports the bytes as
//! duplicate, an ACK echoes a timestamp older than the repeat, or an ACK that covers it had passed before.
//! Without timestamps, an ACK proves it that comes sooner than three quarters of the shortest round trip (a
//! quarter, where duplicate ACKs asked for the repeat), or covers a part of the repeat. Without selective
//! acknowledgements, too, one proves it that comes in a quarter of the mean round trip, when the only segment
//! on its way came again within 200 ms: its ACK was not due yet. By what made most of them:
//! - `delay`: the timer ran out, and the answer to the first copy came after the repeat.
//! - `acknowledgement`: the timer or a tail loss probe, and the first copy was never acknowledged by itself:
//!   its ACK was lost, or came too late.
//! - `reordering`: duplicate ACKs for what was only overtaken, or no sign of a cause, and the first copy
//!   came behind later segments.
//!
//! Each duplicate SACK of a range proves one repeat of it.
//!
//! It is information. It is a warning from `least` needless repeats on that are no tail loss probes, when
//! they are `share` of the direction's segments; and when the receiver reports two repeats or more of the
//! same data, the last of them sent `held` after the first copy, and no ACK of it had come. Where it is so
//! for three hosts and one client, by all its addresses, its line held the ACKs back: that, and all else that
//! came again without need, is one finding. Where what overtakes one another makes two services or more
//! repeat so much to one client, it is one, too.
//!
//! # What it leaves alone
//! Duplicate observations, keep-alives and probes of closed windows: nothing was sent again. Repeats that may
//! have been needed belong to `retransmission`.
//!
//! Repeats behind a RST in their sender's name: whom it reset acknowledges nothing any more.
//!
//! # What it does not claim
//! Loss of data, or which device held the packets back.
//!
//! # References
//! RFC 2883 (duplicate SACK); RFC 3522 (Eifel detection); RFC 5682 (F-RTO); RFC 6298; RFC 1122 section
//! 4.2.3.2 and RFC 8985 section 7.2 (delayed ACKs).

mod stall;

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::retransmission::is_replayed;
use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{EventKind, Flow, SpuriousProof, TcpEvent};
use crate::time::Span;

thresholds! {
    /// Counts needless repeats by service and direction.
    struct SpuriousRetransmission {
        least: u64 = 20.0 "segments",
            "needless repeats, below which it is information only",
            "ours: one time-out can repeat a window of ten segments (RFC 6928) twice";
        share: f64 = 0.05 "share",
            "of the segments of the direction that these are, from which it is a warning",
            "ours: the sender works with a fraction of its window";
        held: Span = 1.0 "s",
            "time without an ACK of data of which two repeats or more were not needed, for a warning",
            "retransmission: a person notices a second";
    }
}

variants! {
    /// What made most of the repeats.
    enum Cause {
        Delay "delay" Info {
            could_be: &[
                "the path held packets back (a radio link, a fail-over, a full queue)",
                "the receiving host paused",
                "the sender's shortest time-out is too short for this path",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Copies],
        }
        Acknowledgement "acknowledgement" Info {
            could_be: &[
                "acknowledgements are lost on the way back",
                "the receiver delays its ACK for longer than the sender waits",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Copies],
        }
        Reordering "reordering" Info {
            could_be: &["packets overtake one another behind the capture point"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[QualityIssue::Copies],
        }
    }
}

const NEXT: &[&str] = &[
    "capture on the other side at the same time, to see when the packets arrive",
    "compare with the round-trip times before and after",
];
const NOT_CLAIMED: &[&str] = &["loss of data", "which device held packets back"];

counts! {
    /// Needless repeats of a direction.
    struct Needless {
        repeats: u64,
        bytes: u64,
        by_delay: u64,
        by_acknowledgement: u64,
        by_reordering: u64,
        /// Tail loss probes among them: they slow nobody down (RFC 8985 section 7.4).
        probes: u64,
        /// The longest time without an ACK of data that arrived three times or more, nanoseconds.
        held: [Most; 1],
    }
}

counts! {
    /// Segments of a service, by direction.
    struct Sent {
        segments: [u64; 2],
    }
}

impl Needless {
    fn cause(&self) -> Cause {
        match self.by_delay.max(self.by_acknowledgement).max(self.by_reordering) {
            most if most == self.by_delay => Cause::Delay,
            most if most == self.by_acknowledgement => Cause::Acknowledgement,
            _ => Cause::Reordering,
        }
    }

    /// The longest time without an ACK of data that arrived three times or more.
    fn held(&self) -> Span {
        Span(self.held[0].get().min(i64::MAX as u64) as i64)
    }

    /// Takes a repeat; `overtaken`: the first copy came behind later segments.
    fn add(&mut self, event: &TcpEvent, overtaken: bool) {
        self.bytes += u64::from(event.length);
        self.probes += u64::from(event.kind == EventKind::TailLossProbe);
        match (event.kind, event.spurious) {
            (EventKind::FastRetransmission, _) => self.by_reordering += 1,
            (EventKind::Retransmission, _) if overtaken => self.by_reordering += 1,
            (_, Some(SpuriousProof::EarlierEcho | SpuriousProof::EarlyAck)) => self.by_delay += 1,
            _ => self.by_acknowledgement += 1,
        }
    }
}

impl Detector for SpuriousRetransmission {
    const RULE: Rule = Rule {
        name: "spurious_retransmission",
        group: Group::Tcp,
        summary: "data sent again although it had arrived",
        judges: "flows",
        variants: Cause::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("spurious_retransmission.rs"),
    };
    type Variant = Cause;
    type Key = (Endpoint, Direction);
    type Counts = Needless;
    type Total = Sent;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        if tcp.sides.iter().all(|side| side.data_segments == 0) {
            return;
        }
        if flow.is_one_way() {
            return book.not_judged("one direction only");
        }
        if is_replayed(flow, tcp) {
            return book.not_judged("replayed: its SYN comes again behind its data");
        }
        // An ACK before the repeat in the capture and after it in time is of another recording.
        let recorded_twice = tcp.events.iter().any(|event| {
            event.proof.is_some_and(|ack| ack.packet < event.at.packet && ack.time > event.at.time)
        });
        if recorded_twice {
            return book.not_judged("recorded twice at the same time, one file after the other");
        }
        if let Some(sent) = book.judged(&flow.server) {
            for (segments, side) in sent.segments.iter_mut().zip(&tcp.sides) {
                *segments += side.unique_segments;
            }
        }
        for direction in Direction::BOTH {
            let own = tcp.resets.iter().filter(|reset| reset.direction == direction);
            let reset = own.map(|reset| reset.at.packet).min().unwrap_or(u64::MAX);
            let needless = || {
                let own = tcp.events.iter().filter(move |event| event.direction == direction);
                own.filter(|event| event.spurious.is_some() && event.kind.is_data_retransmission())
            };
            let behind = needless().filter(|event| event.at.packet > reset).count() as u64;
            let repeats = tcp.side(direction).retransmissions.spurious.saturating_sub(behind);
            if repeats == 0 {
                continue;
            }
            let Some(case) = book.case((flow.server, direction)) else { continue };
            let events = || needless().filter(|event| event.at.packet < reset);
            case.flow_events(flow, events().map(|event| event.at));
            case.counts.repeats += repeats;
            let own = tcp.events.iter().filter(|event| event.direction == direction);
            let late = own.filter(|event| event.kind == EventKind::Reordered);
            let overtaken: BTreeSet<u32> = late.map(|event| event.seq.0).collect();
            events().for_each(|event| case.counts.add(event, overtaken.contains(&event.seq.0)));
            for waited in held(events()).filter(|waited| *waited >= self.held) {
                case.counts.held[0].add(waited.0.unsigned_abs());
            }
            case.show(-(repeats as i64), flow.id, || events().take(3).flat_map(evidence).collect::<Vec<_>>());
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let mut concluded = self.stalled_clients(book, context.hosts);
        concluded.extend(self.overtaken_clients(book, context.hosts));
        concluded
    }

    fn judge(
        &self,
        (server, direction): &Self::Key,
        case: &Case<Needless>,
        book: &Book<Self>,
        _: &Context<'_>,
    ) -> Option<Draft<Cause>> {
        let needless = &case.counts;
        let segments = book.total(server).1.map_or(0, |sent| sent.segments[direction.index()]);
        let way = if *direction == Direction::ToServer { "to" } else { "from" };
        let kinds = [
            (needless.by_delay, "before the answer to the first copy came"),
            (needless.by_acknowledgement, "after the first copy had not been acknowledged in time"),
            (needless.by_reordering, "after later segments had come first"),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        let kinds: Vec<String> = kinds.map(|(count, text)| format!("{count} {text}")).collect();
        let held = needless.held();
        let waited = match held >= self.held {
            true => format!(" Data that arrived was not acknowledged for {held}."),
            false => String::new(),
        };
        let summary = format!(
            "{} repeated data {way} {server} that had arrived, {} among {}: {}.{waited}",
            plural(case.flows(), "connection"),
            plural(needless.repeats, "repeat"),
            plural(segments, "segment"),
            kinds.join(", "),
        );
        let title = format!("{} {way} {server} repeated without need", plural(needless.repeats, "segment"));
        let costs = self.is_many(needless, segments) || held >= self.held;
        Some(
            Draft::new(needless.cause(), title, summary)
                .severity(if costs { Severity::Warning } else { Severity::Info })
                .direction(*direction)
                .count("segments", segments),
        )
    }
}

impl SpuriousRetransmission {
    /// So many that the sender works with a fraction of its window.
    fn is_many(&self, needless: &Needless, segments: u64) -> bool {
        let slowing = needless.repeats.saturating_sub(needless.probes);
        slowing >= self.least && share(slowing, segments) >= self.share
    }
}

/// How long data was not acknowledged of which several copies arrived: from the first to the last of them.
/// What an ACK had covered before the repeat has another proof.
pub(super) fn held<'a>(events: impl Iterator<Item = &'a TcpEvent>) -> impl Iterator<Item = Span> {
    let mut copies: BTreeMap<u32, (u64, Span)> = BTreeMap::new();
    for event in events.filter(|event| event.spurious == Some(SpuriousProof::DuplicateSack)) {
        let (repeats, waited) = copies.entry(event.seq.0).or_default();
        *repeats += 1;
        *waited = event.delay.max(*waited);
    }
    copies.into_values().filter(|(repeats, _)| *repeats > 1).map(|(_, waited)| waited)
}

/// The first copy, the repeat, and the packet that proves it unnecessary.
fn evidence(event: &TcpEvent) -> impl Iterator<Item = Evidence> {
    let (seq, length) = (event.seq.0, event.length);
    let original = event.original.map(|at| Evidence::new(at, Role::Original, format!("seq {seq}")));
    let later = event.original.map_or(String::new(), |_| format!(", {} later", event.delay));
    let again = format!("{}, seq {seq}, len {length}{later}", event.kind.name());
    let why = match event.spurious {
        Some(SpuriousProof::DuplicateSack) => "duplicate SACK: the bytes had arrived",
        Some(SpuriousProof::EarlierEcho) => "echoes a timestamp older than the repeat",
        Some(SpuriousProof::EarlyAck) => "comes too soon for the repeat, or covers a part of it",
        Some(SpuriousProof::AtOnce) => "comes at once, as for a duplicate; no ACK of the first was due yet",
        Some(SpuriousProof::AlreadyAcked) | None => "had acknowledged the bytes",
    };
    let proof = event.proof.map(|at| Evidence::new(at, Role::Ack, why));
    let repeat = Evidence::new(event.at, Role::Retransmission, again);
    original.into_iter().chain([repeat]).chain(proof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, RST, SERVER, Segment, Talk};

    const NAME: &str = SpuriousRetransmission::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("spurious_retransmission_dsack", "delay", Severity::Info),
                ("blind_tlp_dsack", "delay", Severity::Info),
            ],
        );
    }

    /// A receiver beside the capture takes 50 ms with what is new, and the sender repeats single segments
    /// after 100 ms. Neither says when it sends, and only some report duplicates.
    #[test]
    fn who_does_not_wait_for_a_delayed_ack_repeats_without_need() {
        let findings = |rule: &str, selective: bool, micros: u64| {
            in_traffic(rule, |lab| {
                let mut talk = lab.talk(7, (9, 9092), 100, [10, 20_000]);
                talk.handshake(&mut lab.capture);
                for round in 0..12 {
                    let segment = talk.send_lost(&mut lab.capture, SERVER, &filler(round, 300));
                    if round % 2 > 0 {
                        talk.wait(100_000);
                        talk.resend(&mut lab.capture, &segment);
                    }
                    talk.wait(if round % 2 > 0 { micros } else { 50_000 });
                    talk.received(&segment);
                    talk.ack(&mut lab.capture, CLIENT, &[]);
                    talk.wait(400_000);
                }
                drop_stamps(lab);
                if !selective {
                    let frames = lab.capture.packets.iter_mut().map(|packet| &mut packet.frame);
                    frames.for_each(|frame| without_option(frame, &[4, 2]));
                }
            })
        };
        let finding = one(&findings(NAME, false, 20), "acknowledgement", Severity::Info);
        assert!(finding.summary.contains("6 after the first copy had not been"), "{}", finding.summary);
        assert!(findings("retransmission", false, 20).is_empty());
        // One that reports duplicates reports none, and one that takes its time may have got one copy.
        for (selective, micros) in [(true, 20), (false, 50_000)] {
            assert!(findings(NAME, selective, micros).is_empty(), "{selective} {micros}");
            assert!(!findings("retransmission", selective, micros).is_empty(), "{selective} {micros}");
        }
    }

    /// Makes the TCP option with these octets padding.
    fn without_option(frame: &mut [u8], option: &[u8]) {
        let end = (34 + usize::from(frame[46] >> 4) * 4).min(frame.len());
        let known = (54..end).find(|at| frame.get(*at..*at + option.len()) == Some(option));
        if let Some(at) = known {
            frame[at..at + option.len()].fill(1);
        }
    }

    /// Requests whose ACK is lost on the way back, each sent again after a time-out.
    fn acks_lost(lab: &mut Lab, rounds: u32) {
        let mut talk = lab.talk(7, (9, 9092), 100, [30, 9_000]);
        talk.handshake(&mut lab.capture);
        for round in 0..rounds {
            let segment = talk.send_lost(&mut lab.capture, CLIENT, &filler(round, 400));
            talk.wait(240_000);
            let again = talk.resend(&mut lab.capture, &segment);
            talk.received(&again);
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[(segment.seq, segment.seq.wrapping_add(400))]);
            talk.wait(3_000);
        }
    }

    /// A path holds a segment and its three repeats back. The receiver reports each copy but one.
    #[test]
    fn each_duplicate_sack_reports_one_copy() {
        let findings = |rule: &str, reports: usize| {
            in_traffic(rule, |lab| {
                let mut talk = lab.talk(7, (9, 9092), 100, [10, 20_000]);
                talk.handshake(&mut lab.capture);
                let segment = talk.send_lost(&mut lab.capture, CLIENT, &filler(1, 400));
                for pause in [800_000, 1_300_000, 2_400_000] {
                    talk.wait(pause);
                    talk.resend(&mut lab.capture, &segment);
                }
                talk.received(&segment);
                for _ in 0..reports {
                    talk.wait(100_000);
                    talk.ack(&mut lab.capture, SERVER, &[(segment.seq, segment.seq.wrapping_add(400))]);
                }
                drop_stamps(lab);
            })
        };
        let found = findings(NAME, 3);
        let finding = one(&found, "acknowledgement", Severity::Warning);
        assert!(finding.title.starts_with("3 segments"), "{finding:#?}");
        assert!(finding.summary.contains("was not acknowledged for 4.50 s"), "{}", finding.summary);
        assert!(findings("retransmission", 3).is_empty());
        assert!(!findings("retransmission", 2).is_empty());
    }

    /// Hosts without time stamps: four segments are held back, time out, and come again as two. The ACKs of
    /// the first copies come in their turn.
    #[test]
    fn acks_that_come_too_soon_answer_the_first_copies() {
        let findings = |rule: &str, held: bool| {
            in_traffic(rule, |lab| {
                let (mut talk, sent) = four_on_their_way(lab);
                talk.wait(300_000);
                let both = filler(90, 700).into_iter().chain(filler(91, 700)).collect::<Vec<_>>();
                let again = Segment { payload: both, ..sent[0].clone() };
                talk.record(&mut lab.capture, &again);
                talk.wait(if held { 12_000 } else { 41_000 });
                if held {
                    talk.received(&sent[0]);
                } else {
                    talk.received(&again);
                }
                talk.ack(&mut lab.capture, CLIENT, &[]);
                talk.wait(200_000);
                talk.received(&sent[3]);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                drop_stamps(lab);
            })
        };
        let finding = one(&findings(NAME, true), "delay", Severity::Info);
        assert!(finding.evidence.iter().any(|one| one.fields.contains("too soon")), "{finding:#?}");
        assert!(findings(NAME, false).is_empty() && !findings("retransmission", false).is_empty());
    }

    /// Hosts without time stamps: duplicate ACKs ask for a segment, and the ACK of all comes some time after
    /// the repeat. The round trip was 40 ms.
    #[test]
    fn what_duplicate_acks_ask_for_is_lost_unless_its_ack_comes_at_once() {
        let findings = |rule: &str, micros: u64| {
            in_traffic(rule, |lab| {
                let (mut talk, sent) = four_on_their_way(lab);
                talk.wait(40_000);
                for _ in 0..3 {
                    talk.wait(50);
                    talk.ack(&mut lab.capture, CLIENT, &[]);
                }
                talk.resend(&mut lab.capture, &sent[0]);
                talk.wait(micros);
                talk.received(&sent[3]);
                talk.ack(&mut lab.capture, CLIENT, &[]);
                drop_stamps(lab);
            })
        };
        one(&findings(NAME, 3_000), "reordering", Severity::Info);
        for micros in [19_000, 29_000, 40_000] {
            assert!(findings(NAME, micros).is_empty(), "{micros}");
            assert!(!findings("retransmission", micros).is_empty(), "{micros}");
        }
    }

    /// A connection with a round trip of 40 ms, and four segments of the server that nobody acknowledged yet.
    fn four_on_their_way(lab: &mut Lab) -> (Talk, Vec<Segment>) {
        let mut talk = lab.talk(7, (9, 9092), 100, [20_000, 30]);
        talk.handshake(&mut lab.capture);
        for round in 0..14 {
            talk.send(&mut lab.capture, SERVER, ACK, &filler(round, 700));
            talk.turn(SERVER);
            talk.ack(&mut lab.capture, CLIENT, &[]);
        }
        let sent = (0..4).map(|number| talk.send_lost(&mut lab.capture, SERVER, &filler(90 + number, 700)));
        let sent = sent.collect();
        (talk, sent)
    }

    fn drop_stamps(lab: &mut Lab) {
        lab.capture.packets.iter_mut().for_each(|packet| packet.frame = without_stamps(&packet.frame));
    }

    /// The frame with its TCP time stamps made padding: 12 octets of options in all segments but SYNs.
    fn without_stamps(frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        let options = 54..(34 + usize::from(frame[46] >> 4) * 4).min(frame.len());
        let stamps = options.clone().find(|at| frame.get(*at..*at + 2) == Some(&[8, 10]));
        if let Some(at) = stamps {
            frame[at..at + 10].fill(1);
        }
        frame
    }

    #[test]
    fn lost_acknowledgements_make_needless_repeats() {
        let findings = in_traffic(NAME, |lab| acks_lost(lab, 4));
        let finding = one(&findings, "acknowledgement", Severity::Info);
        assert!(finding.summary.contains("4 repeats among 4 segments"), "{}", finding.summary);
    }

    #[test]
    fn many_of_them_are_a_warning() {
        let findings = in_traffic(NAME, |lab| acks_lost(lab, 30));
        one(&findings, "acknowledgement", Severity::Warning);
    }

    /// A device resets the client in the server's name for its ACK, and the server repeats what it sent.
    #[test]
    fn what_is_repeated_to_a_client_that_was_reset_is_not_it() {
        let findings = |is_reset: bool| {
            in_traffic(NAME, |lab| {
                for client in 0..5 {
                    let mut talk = lab.talk(20 + client, (9, 8447), 100, [30, 9_000]);
                    talk.handshake(&mut lab.capture);
                    let answer = talk.send(&mut lab.capture, SERVER, ACK, &filler(1, 700));
                    talk.turn(SERVER);
                    talk.ack(&mut lab.capture, CLIENT, &[]);
                    let reset = Segment { ttl: 250, ..talk.segment(SERVER, RST, b"") };
                    if is_reset {
                        talk.record(&mut lab.capture, &reset);
                    }
                    for number in 0..6 {
                        talk.wait(300_000 << number);
                        talk.resend(&mut lab.capture, &answer);
                    }
                }
            })
        };
        one(&findings(false), "acknowledgement", Severity::Warning);
        assert!(findings(true).is_empty(), "{:#?}", findings(true));
    }

    #[test]
    fn repeats_that_were_needed_and_copies_are_not_it() {
        says_nothing(
            NAME,
            &["retransmission_rto", "retransmission_fast", "blind_dup_span", "healthy_resets"],
        );
    }

    /// A recorder with several queues: every fourth segment stands behind the ACK that covers it.
    #[test]
    fn what_was_recorded_late_and_once_was_sent_once() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 9092), 100, [30, 9_000]);
            talk.handshake(&mut lab.capture);
            for round in 0..80 {
                let request = filler(round, 120);
                if round % 4 > 0 {
                    talk.exchange(&mut lab.capture, &request, 80);
                    continue;
                }
                let late = talk.miss(CLIENT, &request);
                talk.turn(CLIENT);
                talk.send(&mut lab.capture, SERVER, ACK, &filler(round, 80));
                talk.wait(2_000_000);
                talk.record(&mut lab.capture, &late);
                talk.turn(SERVER);
                talk.ack(&mut lab.capture, CLIENT, &[]);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_keep_alive_repeats_nothing() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 9092), 100, [30, 9_000]);
            talk.handshake(&mut lab.capture);
            talk.send(&mut lab.capture, CLIENT, ACK, &filler(1, 100));
            talk.turn(CLIENT);
            talk.ack(&mut lab.capture, SERVER, &[]);
            for _ in 0..3 {
                talk.wait(20_000_000);
                let mut probe = talk.segment(CLIENT, ACK, b"");
                probe.seq = probe.seq.wrapping_sub(1);
                talk.record(&mut lab.capture, &probe);
                talk.turn(CLIENT);
                talk.ack(&mut lab.capture, SERVER, &[]);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
