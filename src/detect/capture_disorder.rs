//! # What it finds
//! Time that goes backwards in a file, packets recorded before those they answer, and files of one set that
//! overlap.
//!
//! # Why it matters
//! Delays shorter than the disorder cannot be measured. A packet that is recorded late looks reordered or
//! lost.
//!
//! # How it decides
//! `steps`: a packet is earlier than the one before it. It is a warning when the furthest step back reaches
//! `step` and connections had to be put back in order: their delays are not known. `overlap`: a file begins
//! before the one before it ends. Files are read one after the other, so connections that are in both are out
//! of order. `clock`: a packet is a day or more earlier than the one
//! before it, or none of a hundred packets in ten seconds is more than 10 ms past a full second. Such a clock
//! cannot be right. No rule measures delays with it, and its steps are not reported again. A jump forward of
//! a year and more alone is information: captures were joined, and inside each of them the clock is right.
//! So are packets that begin with 1970 and are a second apart: those are numbers, and no clock was read.
//!
//! # What it leaves alone
//! Steps back of micro- and milliseconds, which several receive queues cause, and steps that no connection
//! shows. They are information: the flow engine repairs the order where an ACK stands before the data that
//! it acknowledges, and no rule measures a silence where the clock steps back by more than a minute.
//!
//! # What it does not claim
//! That the network reordered packets.
//!
//! # References
//! RFC 6298 section 2 (retransmission timer) and Linux `TCP_RTO_MIN`: a delay is measurable when it is at
//! least three times the disorder. Wireshark reordercap(1) and mergecap(1).

use crate::detect::*;
use crate::flow::Flow;
use crate::time::{Span, Timestamp};

thresholds! {
    /// Counts repaired packets; the rest is in the sums over the capture.
    struct CaptureDisorder {
        step: Span = 0.066 "s",
            "furthest step back from which it is a warning, when connections are out of order by it",
            "a third of the shortest retransmission timer in use (Linux TCP_RTO_MIN, 200 ms)";
    }
}

variants! {
    /// What is out of order.
    enum Disorder {
        Steps "steps" Warning {
            could_be: &[
                "several receive queues or capture points were written to one file without sorting",
                "the clock of the capturing host was set back",
            ],
            next: &[
                "sort the file by time (reordercap) and analyse it again",
                "capture with one receive queue or with hardware timestamps",
            ],
            not_claimed: NOT_CLAIMED,
        }
        Clock "clock" Warning {
            could_be: &[
                "captures of other times were joined to one file",
                "the file was damaged, or written by a program with another time format",
            ],
            next: &["analyse each capture alone", "capture again with a clock that is set"],
            not_claimed: NOT_CLAIMED,
        }
        Overlap "overlap" Warning {
            could_be: &["the files are from several capture points", "the clock was set back between them"],
            next: &["merge files of several capture points by time (mergecap) or analyse each alone"],
            not_claimed: NOT_CLAIMED,
        }
    }
}

const NOT_CLAIMED: &[&str] = &["that the network reordered packets"];

counts! {
    /// What the flow engine put back in order.
    struct Repaired {
        packets_repaired: u64,
    }
}

impl Detector for CaptureDisorder {
    const RULE: Rule = Rule {
        name: "capture_disorder",
        group: Group::Capture,
        summary: "packets recorded out of order, clocks that step back, files that overlap",
        judges: "packets",
        variants: Disorder::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("capture_disorder.rs"),
    };
    const EXPLAINS: &'static [Explains] =
        &[Explains::by(Meet::Recording, &["spurious_retransmission", "reordering"]).when(&["steps"])];
    type Variant = Disorder;
    type Key = ();
    type Counts = Repaired;
    type Total = ();
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let repaired = flow.tcp.as_ref().map_or(0, |tcp| tcp.disorder);
        let Some(case) = (repaired > 0).then(|| book.case(())).flatten() else { return };
        case.flow(flow, []);
        case.counts.packets_repaired += u64::from(repaired);
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        let whole = || Case::between(context.totals.first, context.totals.last);
        let mut case = whole();
        book.take(|(), _| true).into_iter().for_each(|(_, repaired)| case.absorb(repaired));
        let steps = match context.totals.clock_fault() {
            None => self.steps(&case, context.totals).map(|draft| (draft, case)),
            Some(_) => None,
        };
        let clock = clock(context.totals).map(|draft| (draft, whole()));
        let overlap = overlap(context).map(|draft| (draft, whole()));
        steps.into_iter().chain(clock).chain(overlap).collect()
    }

    fn assessed(&self, _: u64, context: &Context<'_>) -> u64 {
        context.totals.packets
    }
}

impl CaptureDisorder {
    fn steps(&self, case: &Case<Repaired>, totals: &Totals) -> Option<Draft<Disorder>> {
        let (back, most) = (totals.backwards, Span(totals.backwards_most));
        let repaired = plural(case.counts.packets_repaired, "packet");
        let title = match (back, case.flows()) {
            (0, 0) => return None,
            (0, _) => format!("{repaired} recorded before what they answer"),
            (steps, _) => format!("Time goes backwards {} in the capture", times(steps)),
        };
        let mut summary = Vec::new();
        if back > 0 {
            let (times, all) = (plural(back, "time"), plural(totals.packets, "packet"));
            summary.push(format!("Time steps back {times} in {all}, by {most} at most."));
        }
        if case.flows() > 0 {
            let flows = plural(case.flows(), "connection");
            summary.push(format!("The analysis put {repaired} of {flows} back in order."));
        }
        let step_back = |at| Evidence::new(at, Role::StepBack, "earlier than the packet before it");
        let draft = Draft::new(Disorder::Steps, title, summary.join(" "))
            .count("steps_back", back)
            .count("furthest_step_microseconds", totals.backwards_most.unsigned_abs() / 1000)
            .count("flows_repaired", case.flows())
            .show(totals.backwards_examples.iter().copied().map(step_back));
        let matters = most >= self.step && case.flows() > 0;
        Some(if matters { draft } else { draft.severity(Severity::Info) })
    }
}

/// Times that no clock gives. Captures that were joined jump forward only, which is information.
fn clock(totals: &Totals) -> Option<Draft<Disorder>> {
    let days = |nanos: i64| plural(nanos.unsigned_abs() / 86_400_000_000_000, "day");
    let fault = totals.clock_fault();
    if totals.jumps == 0 {
        fault?;
        return Some(whole_seconds(totals));
    }
    let jumps = times(totals.jumps);
    let back = match totals.jumps_back {
        0 => String::new(),
        back => format!(" The jump goes back {}.", times(back)),
    };
    let title = format!("Time jumps {jumps} by up to {}", days(totals.jump_most));
    let summary = format!(
        "In {} time jumps {jumps}, by {} at most.{back} Delays across a jump are not known.",
        plural(totals.packets, "packet"),
        days(totals.jump_most)
    );
    let jump = |at| Evidence::new(at, Role::StepBack, "far from the time of the packet before it");
    let draft = Draft::new(Disorder::Clock, title, summary)
        .count("jumps", totals.jumps)
        .count("jumps_back", totals.jumps_back)
        .show(totals.jump_examples.iter().copied().map(jump));
    Some(if fault.is_none() { draft.severity(Severity::Info) } else { draft })
}

/// No clock of a recorder shows a time of the first day of 1970 that counts packets.
const NUMBERED: Span = Span::secs(86_400);

/// Converters and anonymisers keep the seconds alone, and some write milliseconds into the field of
/// microseconds.
fn whole_seconds(totals: &Totals) -> Draft<Disorder> {
    let packets = plural(totals.packets, "packet");
    let times = totals.first.zip(totals.last);
    let counts = |(first, last): (Timestamp, Timestamp)| {
        let steps = i64::try_from(totals.packets).unwrap_or(i64::MAX).saturating_sub(1);
        first.0 < NUMBERED.0 && last - first == Span::secs(steps)
    };
    if times.is_some_and(counts) {
        let title = "The packets of the capture have numbers in place of times";
        let summary =
            format!("The times of {packets} are 1 s apart, from the start of 1970 on. No delay is known.");
        let draft = Draft::new(Disorder::Clock, title, summary).severity(Severity::Info);
        return draft.could_be(["a program that wrote the packets had no times"]);
    }
    let times = match Span(totals.fraction_most) {
        Span::ZERO => format!("The times of all {packets} are full seconds."),
        most => format!("No time of {packets} is more than {most} past a full second."),
    };
    Draft::new(
        Disorder::Clock,
        "The clock of the capture counts whole seconds only",
        format!("{times} Delays below a second are not known."),
    )
    .could_be(["a program that rewrote the file kept the seconds alone", "the file has another time format"])
    .next(&["look at the original capture", "capture again with times of microseconds"])
}

fn overlap(context: &Context<'_>) -> Option<Draft<Disorder>> {
    let overlaps: Vec<Span> = context.files.iter().filter_map(|file| file.overlap).collect();
    let (longest, files) = (overlaps.iter().max()?, overlaps.len() as u64);
    let title = format!("Packets of {} are earlier than the end of the file before", plural(files, "file"));
    let summary = format!(
        "The longest overlap is {longest}. Files are read one after the other. So packets of connections in \
         several of them are out of order.",
    );
    Some(Draft::new(Disorder::Overlap, title, summary).count("files_overlapping", files))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_files, one, says_nothing};
    use crate::support::capture::Capture;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, SERVER};

    const NAME: &str = CaptureDisorder::RULE.name;

    #[test]
    fn it_fires() {
        fires(
            NAME,
            &[
                ("capture_disorder_ack_before_data", "steps", Severity::Info),
                ("blind_ack_before_data", "steps", Severity::Info),
            ],
        );
    }

    /// What the network reorders or repeats arrives in the order of its times.
    #[test]
    fn it_stays_silent() {
        says_nothing(NAME, &["healthy", "healthy_reordered", "retransmission_receiver_side", "capture_gap"]);
    }

    /// Lookups at these milliseconds, recorded in this order.
    fn lookups(at: impl IntoIterator<Item = u64>) -> Capture {
        let mut lab = Lab::new(Capture::default(), 77);
        at.into_iter().for_each(|millis| lab.resolves(millis * 1_000, "www.shop.example"));
        lab.capture
    }

    #[test]
    fn a_clock_that_is_set_back_between_conversations_is_information() {
        for by in [20, 90] {
            let findings = in_files(NAME, &[("pcap", lookups([100, 200, 300, 300 - by, 400]).pcap())]);
            let finding = one(&findings, "steps", Severity::Info);
            assert_eq!((finding.evidence.len(), finding.evidence[0].role), (1, Role::StepBack));
        }
    }

    /// Two capture points in one file that nobody sorted: data stands so far behind its acknowledgement.
    #[test]
    fn a_step_that_puts_a_connection_out_of_order_is_a_warning() {
        for (by, severity) in [(20_000, Severity::Info), (90_000, Severity::Warning)] {
            let mut capture = Capture::default();
            let mut talk = Lab::new(Capture::default(), 77).talk(7, (9, 80), 10, [30, 6_000]);
            talk.handshake(&mut capture);
            for number in 0..4 {
                talk.wait(200_000);
                let late = talk.miss(CLIENT, &[number; 700]);
                let at = talk.now;
                talk.wait(by);
                talk.ack(&mut capture, SERVER, &[]);
                talk.send(&mut capture, CLIENT, ACK, &[number; 700]);
                talk.turn(CLIENT);
                talk.ack(&mut capture, SERVER, &[]);
                capture.record(at, talk.frame(&late));
            }
            let finding = one(&in_files(NAME, &[("pcap", capture.pcap())]), "steps", severity);
            assert_eq!(finding.scope.flows.count, 1, "{finding:#?}");
        }
    }

    /// 32-bit seconds in which one bit is wrong.
    #[test]
    fn a_clock_that_cannot_be_right_is_said_once() {
        let day = 86_400_000;
        let file = |at: &[u64]| [("pcap", lookups(at.iter().copied()).pcap())];
        let findings = in_files(NAME, &file(&[100, 900 * day, 300, 250, 400]));
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert!(one(&findings, "clock", Severity::Warning).title.ends_with("by up to 899 days"));
        // Joined captures: each is right.
        one(&in_files(NAME, &file(&[100, 200, 400 * day, 400 * day + 100])), "clock", Severity::Info);
        assert!(in_files(NAME, &file(&[100, 200, 300 * day, 300 * day + 100])).is_empty());
    }

    #[test]
    fn a_clock_of_whole_seconds_is_a_warning() {
        let exchanges = |micros: u64| {
            let mut lab = Lab::new(Capture::default(), 77);
            (0..60).for_each(|second| lab.resolves(second * 1_000_000 + micros, "www.shop.example"));
            let mut capture = lab.capture;
            capture.packets.iter_mut().for_each(|packet| packet.micros -= packet.micros % 1_000_000 - micros);
            in_files(NAME, &[("pcap", capture.pcap())])
        };
        let findings = exchanges(7);
        assert_eq!((findings.len(), findings[0].variant), (1, "clock"), "{findings:#?}");
        assert!(exchanges(0)[0].summary.starts_with("The times of all 120 packets are full seconds."));
        assert!(exchanges(70_000).is_empty());
    }

    /// The second packet is in the second second of 1970, and so on.
    #[test]
    fn numbers_in_place_of_times_are_information() {
        for (first, severity) in [(0u32, Severity::Info), (1 << 30, Severity::Warning)] {
            let mut lab = Lab::new(Capture::default(), 77);
            (0..60).for_each(|number| lab.resolves(number * 100_000, "www.shop.example"));
            let mut file = lab.capture.pcap();
            let (mut at, mut number) = (24, first);
            while let Some(header) = file.get_mut(at..at + 16) {
                let length: [u8; 4] = header[8..12].try_into().expect("a length");
                header[..4].copy_from_slice(&number.to_le_bytes());
                header[4..8].fill(0);
                at += 16 + u32::from_le_bytes(length) as usize;
                number += 1;
            }
            let findings = in_files(NAME, &[("pcap", file)]);
            assert_eq!((findings.len(), findings[0].variant, findings[0].severity), (1, "clock", severity));
        }
    }

    #[test]
    fn files_that_overlap_are_a_warning_and_files_in_sequence_are_nothing() {
        let file = |from: u64| ("pcap", lookups((0..10).map(|number| from + 100 * number)).pcap());
        let findings = in_files(NAME, &[file(100), file(600)]);
        assert_eq!((findings.len(), findings[0].variant), (1, "overlap"), "{findings:#?}");
        assert_eq!((findings[0].severity, findings[0].counts[0].value), (Severity::Warning, 1));
        assert!(in_files(NAME, &[file(100), file(1_200)]).is_empty());
    }
}
