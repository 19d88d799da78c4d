//! # What it finds
//! Data that a sender sent again because the data, or its acknowledgement, was lost; by service and
//! direction.
//!
//! # Why it matters
//! Every loss costs at least a round-trip time, and a time-out costs 200 ms and more, doubling each time.
//!
//! # How it decides
//! - Every repeated segment is classified by the packets that caused it (see `pcapsy events`).
//! - Rates are over the unique wire segments of one direction. Repeats that were proven unnecessary, repeats
//!   of path MTU discovery and repeats of the close are left out of the rate, and stated. The latter two cost
//!   no time, either.
//! - It is a warning from `warning_share` of the segments on, with at least `least` repeats and `cost`
//!   without progress; or from `warning_seconds` without progress.
//! - A first copy whose checksum holds for the bytes of its repeat, and not for its own, was damaged on the
//!   way. Its receiver discarded it.
//! - Time-outs and the segments sent after them are counted apart: one makes a sender repeat all that is
//!   outstanding.
//! - With a clock that cannot be right (see `capture_disorder`) no time counts, and the share is information.
//! - A stream makes no progress from the first copy of a segment, or from the hole it left, to the copy that
//!   repairs it. Its share is of the time between the first and the last segment with data.
//!
//! # What it leaves alone
//! Duplicate observations, keep-alives, window probes, and segments that were only reordered. What was
//! first sent after a RST of the same side, and up to 64 bytes first sent after the other side's FIN:
//! nobody waits. Repeated SYNs belong to `missing_syn_ack`. A connection whose SYN comes again behind its
//! data was recorded once and is replayed: no sender repeats a SYN that was answered (RFC 9293 section
//! 3.10.7.3).
//!
//! # What it does not claim
//! Congestion, or which link loses packets. A loss is before or behind the capture point, or cannot be
//! placed.
//!
//! # References
//! RFC 9293 section 3.1 (checksum); RFC 5681; RFC 6298; RFC 6675; RFC 8985; RFC 2883 and RFC 3522 for repeats
//! that were not needed.

use crate::detect::*;
use crate::dissect::{Direction, Endpoint};
use crate::flow::{EventKind, Flow, LossPlace, Reset, TcpEvent, TcpFlow};
use crate::time::Span;

thresholds! {
    /// Counts repeated segments by service and direction.
    struct Retransmission {
        warning_share: f64 = 0.01 "share",
            "repeated of unique wire segments, from which it is a warning",
            "MacFlurry pcap_analyzer, 1 %; VIAVI calls 2 % excessive";
        warning_seconds: Span = 1.0 "s",
            "time without progress, summed over connections, from which it is a warning",
            "ours: a person notices a second";
        cost: Span = 0.01 "s",
            "time without progress, summed over connections, below which any share is information only",
            "ours: less than one round trip within a city";
        least: u64 = 5.0 "segments",
            "repeats below which it is information only, unless streams made no progress",
            "ntopng, at least 5";
    }
}

variants! {
    /// What made most of the repeats necessary.
    enum Cause {
        Rto "rto" Warning {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
        Fast "fast" Warning {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
        TailLossProbe "tail_loss_probe" Warning {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
        Mixed "mixed" Warning {
            could_be: COULD_BE,
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: DOUBTS,
        }
    }
}

const COULD_BE: &[&str] = &[
    "packets are lost on the path",
    "acknowledgements are lost on the way back",
    "the receiving host drops packets",
];
const NEXT: &[&str] = &[
    "capture on the other side at the same time, to see which packets arrive",
    "read the drop counters of the devices in between",
];
const NOT_CLAIMED: &[&str] = &["congestion", "which link loses packets"];
const DOUBTS: &[QualityIssue] =
    &[QualityIssue::Drops, QualityIssue::Missed, QualityIssue::SuperFrames, QualityIssue::Disorder];

/// What a side says when the other one closed is no longer than this. An alert of TLS is 23 to 53 bytes (RFC
/// 5246 section 6.2.3), and a response that somebody waits for is longer as a rule.
const GOODBYE: u32 = 64;

counts! {
    /// Repeats of a direction, by cause, and what became of the first copies.
    struct Losses {
        fast: u64,
        timeout: u64,
        time_outs: u64,
        tail_loss_probe: u64,
        unclassified: u64,
        spurious: u64,
        path_mtu: u64,
        /// Those whose first copy was damaged on the way.
        corrupted: u64,
        /// Of the close, for which nobody waits.
        closing: u64,
        lost_before_capture: u64,
        lost_after_capture: u64,
        /// How long the affected transfers took.
        transfers: Span,
    }
}

counts! {
    /// What all flows of a service sent, with and without repeats, by direction.
    struct Sent {
        flows: [u64; 2],
        segments: [u64; 2],
    }
}

impl Losses {
    fn repeats(&self) -> u64 {
        self.fast + self.timeout + self.tail_loss_probe + self.unclassified
    }

    /// Repeats that a loss made necessary.
    fn needed(&self) -> u64 {
        self.repeats().saturating_sub(self.spurious + self.path_mtu + self.closing)
    }

    fn cause(&self) -> Cause {
        let most = |count: u64| count > 0 && count * 10 >= self.repeats() * 9;
        match self {
            losses if most(losses.fast) => Cause::Fast,
            losses if most(losses.timeout) => Cause::Rto,
            losses if most(losses.tail_loss_probe) => Cause::TailLossProbe,
            _ => Cause::Mixed,
        }
    }

    /// `14 after 2 time-outs, 3 fast`, the repeats that were not needed included.
    fn by_cause(&self) -> String {
        let time_outs = format!("after {}", plural(self.time_outs, "time-out"));
        let probes = if self.tail_loss_probe == 1 { "tail loss probe" } else { "tail loss probes" };
        let kinds = [
            (self.timeout, time_outs.as_str()),
            (self.fast, "fast"),
            (self.tail_loss_probe, probes),
            (self.unclassified, "of unknown cause"),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        kinds.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }

    /// Where the first copies were lost, and which repeats were not needed. Each gets one sentence, if there
    /// is something to say.
    fn remarks(&self) -> String {
        let place = match (self.lost_before_capture, self.lost_after_capture) {
            (0, 0) => " The frames do not show on which side of the capture point.".to_owned(),
            (0, after) => format!(" The first copies of {after} passed the capture point."),
            (before, 0) => format!(" The first copies of {before} never reached the capture point."),
            (before, after) => format!(
                " The first copies of {before} never reached the capture point, those of {after} passed it."
            ),
        };
        let spurious = match self.spurious {
            0 => String::new(),
            1 => " One repeat was proven unnecessary.".to_owned(),
            count => format!(" Of all repeats {count} were proven unnecessary."),
        };
        let path_mtu = match self.path_mtu {
            0 => String::new(),
            count => format!(" Path MTU discovery caused {count}."),
        };
        let closing = match self.closing {
            0 => String::new(),
            count => format!(" Of the end of connections that were closed or reset already were {count}."),
        };
        let corrupted = match self.corrupted {
            0 => String::new(),
            count => format!(
                " The first copies of {count} were damaged on the way: their checksums fit the repeats."
            ),
        };
        place + &spurious + &path_mtu + &closing + &corrupted
    }
}

impl Detector for Retransmission {
    const RULE: Rule = Rule {
        name: "retransmission",
        group: Group::Tcp,
        summary: "data sent again after a loss",
        judges: "flows",
        variants: Cause::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("retransmission.rs"),
    };
    const CASES: usize = 1 << 14;
    const EXPLAINS: &'static [Explains] = &[Explains::by(Meet::Flows, &["tls_stall", "http_error"])];
    type Variant = Cause;
    type Key = (Endpoint, Direction);
    type Counts = Losses;
    type Total = Sent;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        if flow.is_one_way() {
            return book.not_judged("one direction only");
        }
        if is_replayed(flow, tcp) {
            return book.not_judged("replayed: its SYN comes again behind its data");
        }
        if let Some(sent) = book.judged(&flow.server) {
            for (index, side) in tcp.sides.iter().enumerate() {
                sent.flows[index] += u64::from(side.data_segments > 0);
                sent.segments[index] += side.unique_segments;
            }
        }
        for direction in Direction::BOTH {
            let side = tcp.side(direction);
            let repeats = &side.retransmissions;
            if repeats.data() == 0 {
                continue;
            }
            let Some(case) = book.case((flow.server, direction)) else { continue };
            let events = || {
                let own = tcp.events.iter().filter(|event| event.direction == direction);
                own.filter(|event| event.kind.is_data_retransmission())
            };
            let costs = |event: &TcpEvent| !event.path_mtu && !is_over(tcp, event);
            let stalled = tcp.stalled_by(direction, costs);
            case.flow_events(flow, events().map(|event| event.at));
            case.lost += stalled;
            let losses = &mut case.counts;
            let closing =
                events().filter(|event| event.spurious.is_none() && !event.path_mtu && is_over(tcp, event));
            losses.closing += closing.count() as u64;
            losses.fast += repeats.fast;
            losses.timeout += repeats.timeout;
            losses.time_outs += repeats.time_outs;
            losses.tail_loss_probe += repeats.tail_loss_probe;
            losses.unclassified += repeats.unclassified;
            losses.spurious += repeats.spurious;
            losses.path_mtu += repeats.path_mtu;
            losses.corrupted += repeats.corrupted;
            losses.lost_before_capture += repeats.lost_before;
            losses.lost_after_capture += repeats.lost_after;
            losses.transfers += side.transfer_time();
            case.show(-stalled.0, flow.id, || {
                let needed = events().filter(|event| event.spurious.is_none() && costs(event)).take(4);
                needed.flat_map(evidence).collect::<Vec<_>>()
            });
        }
    }

    fn judge(
        &self,
        key: &Self::Key,
        case: &Case<Losses>,
        book: &Book<Self>,
        context: &Context<'_>,
    ) -> Option<Draft<Cause>> {
        let ((server, direction), losses) = (*key, &case.counts);
        let needed = losses.needed();
        if needed == 0 {
            return None;
        }
        let sent = book.total(&server).1;
        let segments = sent.map_or(0, |sent| sent.segments[direction.index()]);
        let flows = sent.map_or(0, |sent| sent.flows[direction.index()]).max(case.flows());
        let often =
            share(needed, segments) >= self.warning_share && needed >= self.least && case.lost >= self.cost;
        let long = case.lost >= self.warning_seconds;
        let timed = context.totals.clock_fault().is_none();
        let way = match direction {
            Direction::ToServer => "to",
            Direction::ToClient => "from",
        };
        let title = match segments {
            // A share of a handful says nothing.
            0..100 => format!(
                "{} {way} {server} for {}",
                plural(needed, "retransmission"),
                plural(segments, "segment")
            ),
            _ => format!(
                "{} of the segments {way} {server} were sent again",
                percent(needed.min(segments), segments)
            ),
        };
        let waited = match (timed, case.lost.0.unsigned_abs(), losses.transfers.0.unsigned_abs()) {
            (false, ..) => " The clock of the capture does not show how long they waited.".to_owned(),
            (true, 0, _) | (true, _, 0) => String::new(),
            (true, lost, whole) => format!(
                " They made no progress for {}, {} of the time these transfers took.",
                case.lost,
                percent(lost.min(whole), whole)
            ),
        };
        let summary = format!(
            "{} of {} {way} {server} repeated data: {} among {} ({}).{waited}{}",
            case.flows(),
            plural(flows, "connection"),
            plural(losses.repeats(), "repeat"),
            plural(segments, "segment"),
            losses.by_cause(),
            losses.remarks(),
        );
        let draft = Draft::new(losses.cause(), title, summary)
            .severity(if timed && (often || long) { Severity::Warning } else { Severity::Info })
            .direction(direction)
            .count("retransmissions", needed)
            .count("segments", segments);
        Some(match losses.corrupted {
            0 => draft,
            _ => draft.could_first_be("a link or a device on the path damages packets"),
        })
    }
}

/// The first copy was sent when nobody waited for it: a few bytes after the other side's FIN, as an alert of
/// TLS, or anything after its own RST.
fn is_over(tcp: &TcpFlow, event: &TcpEvent) -> bool {
    let first = event.original.unwrap_or(event.at).packet;
    let closed = tcp.side(event.direction.reverse()).fin.is_some_and(|fin| fin.packet < first);
    let own = |reset: &Reset| reset.direction == event.direction && reset.at.packet < first;
    closed && event.length <= GOODBYE || tcp.resets.iter().any(own)
}

/// A SYN came again after data of its sender: by time, since files of two capture points follow each other.
/// With Fast Open the SYN itself may carry the first data.
pub(super) fn is_replayed(flow: &Flow, tcp: &TcpFlow) -> bool {
    let first = tcp.side(Direction::ToServer).transfer.map(|(first, _)| first);
    let data = first.filter(|first| first.packet != flow.first.packet);
    tcp.events.iter().any(|event| {
        let syn = event.kind == EventKind::RetransmittedSyn && event.direction == Direction::ToServer;
        syn && event.length == 0 && data.is_some_and(|data| event.at.time > data.time)
    })
}

/// What the repeat follows, what made the sender repeat, and the repeat.
fn evidence(event: &TcpEvent) -> impl Iterator<Item = Evidence> {
    let place = match event.loss {
        LossPlace::Before => ", lost before the capture point",
        LossPlace::After => ", the first copy passed the capture point",
        LossPlace::Unknown => "",
    };
    let (seq, length) = (event.seq.0, event.length);
    let again = format!("{}, seq {seq}, len {length}, {} later{place}", event.kind.name(), event.delay);
    let (role, shown) = match event.loss {
        LossPlace::Before => (Role::Gap, "the first packet behind the hole".to_owned()),
        _ => (Role::Original, format!("seq {seq}, len {length}")),
    };
    let original = event.original.map(|at| Evidence::new(at, role, shown));
    let trigger =
        event.trigger.map(|at| Evidence::new(at, Role::Trigger, "completed the evidence of the loss"));
    [original, trigger, Some(Evidence::new(event.at, Role::Retransmission, again))].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_files, in_scene, in_traffic, one, silent};
    use crate::support::capture::Capture;
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, FIN, SERVER, Segment};

    const NAME: &str = Retransmission::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("retransmission_rto", "rto", Severity::Warning),
                ("retransmission_fast", "fast", Severity::Warning),
                ("retransmission_tail_loss_probe", "tail_loss_probe", Severity::Warning),
                ("mtu_blackhole_silent", "rto", Severity::Warning),
            ],
        );
    }

    /// A bit flips behind the sender: the receiver discards the segment, and its sender repeats it.
    #[test]
    fn a_segment_that_was_damaged_on_the_way_says_so() {
        for damaged in [true, false] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..8 {
                    let mut talk = lab.talk(7, (9, 80), 10 + 900 * number, [30, 6_000]);
                    talk.handshake(&mut lab.capture);
                    let sent = talk.segment(CLIENT, ACK, &filler(number as u32, 701));
                    let mut frame = talk.frame(&sent);
                    frame.iter_mut().rev().take(usize::from(damaged)).for_each(|octet| *octet ^= 0x10);
                    lab.capture.record(talk.now, frame);
                    talk.sent(&sent);
                    talk.wait(260_000);
                    let again = talk.resend(&mut lab.capture, &sent);
                    talk.received(&again);
                    talk.turn(CLIENT);
                    talk.ack(&mut lab.capture, SERVER, &[]);
                }
            });
            let finding = one(&findings, "rto", Severity::Warning);
            let count = finding.counts.iter().find(|count| count.name == "corrupted");
            assert_eq!(count.map(|count| count.value), damaged.then_some(8), "{finding:#?}");
            assert_eq!(finding.alternatives[0].contains("damages packets"), damaged);
        }
    }

    #[test]
    fn it_stays_silent() {
        silent(
            NAME,
            &[
                "healthy_reordered",
                "healthy_path_mtu_discovery",
                "capture_duplicates_exact",
                "capture_duplicates_routed",
                "spurious_retransmission_dsack",
                "blind_keepalive_race",
                "missing_syn_ack_late",
            ],
        );
    }

    /// A time-out, and what is outstanding again behind it.
    fn upload(lab: &mut Lab, repeats: &[usize]) {
        let mut talk = lab.talk(7, (9, 8080), 10, [30, 40_000]);
        talk.handshake(&mut lab.capture);
        for round in 0..3 {
            talk.exchange(&mut lab.capture, &filler(round, 600), 120);
        }
        let sent: Vec<_> = (0..4).map(|piece| talk.segment(CLIENT, ACK, &filler(10 + piece, 900))).collect();
        let mut data = Vec::new();
        for (piece, segment) in sent.iter().enumerate() {
            let mut segment = segment.clone();
            segment.seq += 900 * piece as u32;
            talk.record(&mut lab.capture, &segment);
            data.push(segment);
        }
        for piece in repeats {
            talk.wait(if *piece == 0 { 600_000 } else { 40 });
            talk.record(&mut lab.capture, &data[*piece]);
        }
        data.iter().for_each(|segment| talk.sent(segment));
        data.iter().for_each(|segment| talk.received(segment));
        talk.turn(SERVER);
        talk.ack(&mut lab.capture, SERVER, &[]);
    }

    #[test]
    fn time_outs_and_the_segments_behind_them_are_counted_apart() {
        for (repeats, words) in [
            (&[0, 1, 2, 3][..], "4 after 1 time-out)"),
            (&[0, 1, 2, 3, 0], "5 after 2 time-outs)"),
            (&[0, 0, 1], "3 after 2 time-outs)"),
        ] {
            let findings = in_traffic(NAME, |lab| upload(lab, repeats));
            assert!(findings.len() == 1 && findings[0].summary.contains(words), "{findings:#?}");
        }
    }

    /// A router that calls 940 bytes too big and names 1500: its drop is no loss of the path.
    #[test]
    fn what_a_router_called_too_big_is_path_mtu_discovery_whatever_mtu_it_names() {
        let findings = |told: bool| {
            in_traffic(NAME, |lab| {
                let router = lab.router();
                let mut talk = lab.talk(7, (9, 8080), 10, [30, 40_000]);
                talk.handshake(&mut lab.capture);
                for round in 0..8 {
                    let big = talk.segment(CLIENT, ACK, &filler(round, 900));
                    talk.record(&mut lab.capture, &big);
                    talk.wait(20_000);
                    if told {
                        talk.icmp_error(&mut lab.capture, router, (3, 4, 1500), &big);
                    }
                    talk.wait(400_000);
                    talk.record(&mut lab.capture, &big);
                    talk.sent(&big);
                    talk.received(&big);
                    talk.turn(SERVER);
                    talk.ack(&mut lab.capture, SERVER, &[]);
                }
            })
        };
        one(&findings(false), "rto", Severity::Warning);
        assert!(findings(true).is_empty());
    }

    /// Data and FIN are missing until the server repeats them: two things, of which one is data.
    #[test]
    fn a_fin_that_fills_a_hole_repeats_no_data() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 40_000]);
            talk.handshake(&mut lab.capture);
            talk.exchange(&mut lab.capture, &filler(1, 600), 120);
            let data = talk.segment(SERVER, ACK, &filler(2, 700));
            let mut fin = talk.segment(SERVER, FIN | ACK, b"");
            fin.seq += 700;
            let mut ack = talk.segment(SERVER, ACK, b"");
            ack.seq += 701;
            talk.record(&mut lab.capture, &ack);
            talk.wait(2_000_000);
            for again in [data, fin] {
                // Sent now, as its clock shows.
                let now = talk.segment(SERVER, ACK, b"");
                talk.record(&mut lab.capture, &Segment { id: now.id, stamps: now.stamps, ..again });
                talk.wait(40);
            }
        });
        let summary = &one(&findings, "rto", Severity::Warning).summary;
        assert!(summary.contains("1 repeat among"), "{summary}");
    }

    /// The same upload with one time that a damaged record gives.
    #[test]
    fn no_wait_is_measured_with_a_clock_that_cannot_be_right() {
        for (jump, severity) in [(0, Severity::Warning), (900 * 86_400_000_000, Severity::Info)] {
            let mut lab = Lab::new(Capture::default(), 77);
            upload(&mut lab, &[0, 0, 0, 0, 0, 0]);
            lab.capture.sort();
            lab.capture.packets[0].micros += jump;
            let findings = in_files(NAME, &[("pcap", lab.capture.pcap())]);
            let finding = one(&findings, "rto", severity);
            assert_eq!(finding.summary.contains("no progress"), jump == 0, "{}", finding.summary);
        }
    }

    /// The client closed; the server's last words get no answer.
    #[test]
    fn nobody_waits_for_a_goodbye_after_the_others_fin() {
        let findings = |closed: bool, length: usize| {
            in_traffic(NAME, |lab| {
                let mut talk = lab.talk(7, (9, 443), 10, [30, 40_000]);
                talk.handshake(&mut lab.capture);
                talk.exchange(&mut lab.capture, &filler(1, 600), 1_200);
                if closed {
                    talk.send(&mut lab.capture, CLIENT, FIN | ACK, b"");
                    talk.turn(CLIENT);
                }
                let alert = talk.send_lost(&mut lab.capture, SERVER, &filler(2, length));
                for number in 0..5 {
                    talk.wait(300_000 << number);
                    talk.resend(&mut lab.capture, &alert);
                }
            })
        };
        one(&findings(false, 31), "rto", Severity::Warning);
        one(&findings(true, 900), "rto", Severity::Warning);
        assert!(findings(true, 31).is_empty());
    }

    #[test]
    fn a_connection_that_is_replayed_repeats_nothing() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 10, [30, 6_000]);
            talk.handshake(&mut lab.capture);
            let first: Vec<_> = lab.capture.packets.clone();
            talk.exchange(&mut lab.capture, &filler(1, 900), 120);
            let all: Vec<_> = lab.capture.packets.clone();
            assert!(all.len() > first.len());
            for round in 1..4 {
                for packet in &all {
                    lab.capture.record(packet.micros + round * 2_000_000, packet.frame.clone());
                }
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn the_rate_is_of_all_segments_of_the_direction() {
        let findings = in_scene(NAME, "mtu_blackhole_silent");
        let finding = one(&findings, "rto", Severity::Warning);
        let count = |name| finding.counts.iter().find(|count| count.name == name).map(|count| count.value);
        assert_eq!((count("retransmissions"), count("segments")), (Some(18), Some(27)));
        assert_eq!(finding.subject.direction, Some(Direction::ToServer));
        assert_eq!((finding.impact.failed_transactions, finding.impact.of_transactions), (0, 3));
    }
}
