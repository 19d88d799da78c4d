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
//! on its way came again within 200 ms: its ACK was not due yet. The same proves an ACK in a quarter of that
//! time, of a receiver that waited for a second segment with each before. By what made most of them:
//! - `delay`: the timer ran out, and the answer to the first copy came after the repeat.
//! - `acknowledgement`: the timer or a tail loss probe, and the first copy was never acknowledged by itself:
//!   its ACK was lost, or came too late.
//! - `reordering`: duplicate ACKs for what was only overtaken, or no sign of a cause, and the first copy
//!   came behind later segments.
//!
//! Each duplicate SACK of a range proves one repeat of it.
//!
//! It is information. It is a warning from `least` needless repeats on that are no tail loss probes, and not
//! of the only segment on its way, which filled no window, when they are `share` of the direction's segments;
//! and when the receiver reports two repeats or more of the same data, the last of them sent `held` after the
//! first copy, and no ACK of it had come. Where it is so for three hosts and one client, by all its
//! addresses, its line held the ACKs back, or for two and others that repeat without need meanwhile: that,
//! and all else that came again without need, is one finding. Where what overtakes one another makes two
//! services or more repeat so much to one client, it is one, too.
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
        /// Those that slow nobody down: tail loss probes (RFC 8985 section 7.4), and repeats of the only
        /// segment on its way.
        harmless: u64,
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
        let probe = event.kind == EventKind::TailLossProbe;
        self.harmless += u64::from(probe || event.spurious == Some(SpuriousProof::AtOnce));
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
            for (_, waited) in held(events()).filter(|(last, _)| *last >= self.held) {
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
        let slowing = needless.repeats.saturating_sub(needless.harmless);
        slowing >= self.least && share(slowing, segments) >= self.share
    }
}

/// How long data was not acknowledged of which several copies arrived: from the first to the last of them,
/// and to the first report of one. What an ACK had covered before the repeat has another proof.
pub(super) fn held<'a>(events: impl Iterator<Item = &'a TcpEvent>) -> impl Iterator<Item = (Span, Span)> {
    let mut copies: BTreeMap<u32, (u64, Span, Option<Span>)> = BTreeMap::new();
    for event in events.filter(|event| event.spurious == Some(SpuriousProof::DuplicateSack)) {
        let (repeats, last, reported) = copies.entry(event.seq.0).or_default();
        *repeats += 1;
        *last = event.delay.max(*last);
        let report = event.proof.zip(event.original).map(|(proof, first)| proof.time - first.time);
        *reported = report.into_iter().chain(*reported).min();
    }
    let copies = copies.into_values().filter(|(repeats, ..)| *repeats > 1);
    copies.map(|(_, last, reported)| (last, last.max(reported.unwrap_or(last))))
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
mod tests;
