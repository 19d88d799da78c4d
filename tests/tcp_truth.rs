//! Every TCP segment of the public captures in `../shared/corpus` against tshark's `tcp.analysis`.
//!
//! Skips when the corpus is not there. `cargo test --test tcp_truth -- --nocapture` prints the comparison. A
//! frame agrees when `events --like tshark` names exactly the fields that tshark set. Where it does not, a
//! rule says why; a frame that no rule explains fails the test.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use pcapsy::app::dns::Transaction;
use pcapsy::config::Config;
use pcapsy::flow::{EventKind, Flow, FlowHead, TcpEvent};
use pcapsy::local::{self, Run};
use pcapsy::pipeline::Rows;
use pcapsy::report::table::tshark::{Difference, reading};
use support::oracle::{self, Segment};

/// What pcapsy says of one frame.
#[derive(Default)]
struct Said {
    kinds: Vec<EventKind>,
    /// Names of `--like tshark`.
    like: BTreeSet<&'static str>,
    /// The same without regard to what tshark's rules make of it: the verdict.
    verdict: BTreeSet<&'static str>,
    differences: Vec<Difference>,
}

/// A name of tshark implies another: a fast retransmission is a retransmission, too.
fn with_implied(names: &mut BTreeSet<&'static str>, name: &'static str) {
    if name == "fast_retransmission" || name == "spurious_retransmission" {
        names.insert("retransmission");
    }
    names.insert(name);
}

/// What the verdict alone is in tshark's words.
fn verdict(event: &TcpEvent) -> Option<&'static str> {
    match event.kind {
        EventKind::FastRetransmission => Some("fast_retransmission"),
        EventKind::Reordered => Some("out_of_order"),
        EventKind::RetransmittedSyn | EventKind::RetransmittedSynAck | EventKind::RetransmittedFin => {
            Some("retransmission")
        }
        kind if kind.is_data_retransmission() => Some("retransmission"),
        EventKind::LateAmbiguous
        | EventKind::DuplicateObservation
        | EventKind::LinkRetry
        | EventKind::CaptureReordered => None,
        EventKind::WindowProbe => Some("zero_window_probe"),
        _ => reading(event, &Default::default()).map(|(name, _)| name),
    }
}

#[derive(Default)]
struct Collected {
    said: BTreeMap<u64, Said>,
    /// First packets of the flows of each stream.
    flows: BTreeMap<u32, BTreeSet<u64>>,
    /// ACKs that the recorder put before their data.
    hasty: BTreeSet<u64>,
}

impl Rows for Collected {
    fn flow(&mut self, flow: &Flow) {
        let Some(tcp) = &flow.tcp else { return };
        self.flows.entry(flow.stream.unwrap_or(u32::MAX)).or_default().insert(flow.first.packet);
        for event in &tcp.events {
            let said = self.said.entry(event.at.packet).or_default();
            said.kinds.push(event.kind);
            if let Some((name, difference)) = reading(event, &tcp.handshake) {
                with_implied(&mut said.like, name);
                said.differences.extend(difference);
                let acked = name == "spurious_retransmission" && difference.is_none();
                match verdict(event) {
                    _ if acked => with_implied(&mut said.verdict, name),
                    Some(name) => with_implied(&mut said.verdict, name),
                    None => {}
                }
            }
            if event.kind == EventKind::CaptureReordered {
                self.hasty.extend(event.trigger.map(|ack| ack.packet));
            }
        }
    }

    fn transaction(&mut self, _: &Transaction, _: &FlowHead) {}
}

/// Why tshark and pcapsy name a frame differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    DuplicateObservation,
    LinkRetry,
    OtherConnection,
    EndedFlow,
    QuotedHeader,
    CaptureReordering,
    SeenBefore,
    NeverSeen,
    SameRun,
    FirstKeepAlive,
    NothingOutstanding,
    SelectiveAck,
    Reset,
    ClosedWindow,
    AfterCopy,
    NotDissected,
    Padding,
    CutRecord,
}

impl Class {
    fn words(self) -> &'static str {
        match self {
            Self::DuplicateObservation => {
                "one packet recorded twice; tshark takes the copy for another packet"
            }
            Self::LinkRetry => "the link layer sent a frame again; tshark takes it for another packet",
            Self::OtherConnection => {
                "two connections on the same ports; tshark compares the numbers of one with the other's"
            }
            Self::EndedFlow => {
                "the flow had ended, or is in another tunnel; tshark never ends a stream and knows no tunnels"
            }
            Self::QuotedHeader => {
                "tshark takes the header quoted by an ICMP error for a segment of the stream"
            }
            Self::CaptureReordering => {
                "the ACK was recorded before its data; tshark calls the data sent again and the ACK unseen"
            }
            Self::SeenBefore => {
                "no new bytes are unseen; tshark compares with the end of the first contiguous run"
            }
            Self::NeverSeen => {
                "bytes acknowledged were never seen; tshark compares with the highest number only"
            }
            Self::SameRun => "ACKs one after another that run ahead of the data are one report",
            Self::FirstKeepAlive => {
                "all that was seen of the other side is a keep-alive of no bytes, one before its number"
            }
            Self::NothingOutstanding => {
                "nothing was outstanding, so the repeated ACK asks for nothing (RFC 5681 section 2)"
            }
            Self::SelectiveAck => {
                "new selective ACKs make a duplicate ACK whatever the window (RFC 6675 section 2)"
            }
            Self::Reset => "tshark takes the number and the window of a RST for those of the stream",
            Self::AfterCopy => "the packet before it was recorded twice; tshark compares with the copy",
            Self::NotDissected => "the link layer is not dissected",
            Self::Padding => "the padding of a short frame is counted in the IP length: it is no payload",
            Self::CutRecord => {
                "the record was cut, the IP header states more; tshark takes the record's length"
            }
            Self::ClosedWindow => "the window is closed: a probe and its answer, not a keep-alive",
        }
    }
}

/// What of the stream before a frame the rules ask for.
struct Before<'a> {
    stream: &'a oracle::Stream,
    said: Option<&'a Said>,
    /// The frame belongs to a later flow than the stream's first.
    later_flow: bool,
    hasty: bool,
    /// The packet before it in the stream was recorded twice.
    after_copy: bool,
    /// The segment before it, of the same side, was reported to acknowledge unseen data.
    same_run: bool,
    /// pcapsy reads no TCP in this capture.
    undissected: bool,
    /// Records of this capture are shorter than their IP headers state.
    cut: bool,
}

fn explain(segment: &Segment, before: &Before<'_>) -> Option<Class> {
    let theirs = |name: &str| segment.analysis.contains(name);
    let ours = |name: &str| before.said.is_some_and(|said| said.like.contains(name));
    let kind = |kind: EventKind| before.said.is_some_and(|said| said.kinds.contains(&kind));
    let (own, peer) = (before.stream.side(segment), before.stream.other_side(segment));
    if kind(EventKind::DuplicateObservation) {
        // A copy, or a piece of what was recorded whole.
        let known = own.has_twin(segment) || own.seen.covers(segment.seq, segment.end());
        return known.then_some(Class::DuplicateObservation);
    }
    if kind(EventKind::LinkRetry) {
        return Some(Class::LinkRetry);
    }
    if kind(EventKind::PortReuse) || kind(EventKind::OutOfWindow) || before.stream.reused {
        return Some(Class::OtherConnection);
    }
    if before.later_flow {
        return Some(Class::EndedFlow);
    }
    if before.stream.quoted && own.segments == 0 {
        return Some(Class::QuotedHeader);
    }
    if kind(EventKind::CaptureReordered) || before.hasty {
        return Some(Class::CaptureReordering);
    }
    if before.cut {
        return Some(Class::CutRecord);
    }
    if before.stream.padded || segment.is_padded() {
        return Some(Class::Padding);
    }
    if before.undissected {
        return Some(Class::NotDissected);
    }
    // Acknowledged before it was seen for the first time.
    let first_sight = !own.seen.covers(segment.seq, segment.end());
    if segment.end() != segment.seq && first_sight && own.map.covers(segment.seq, segment.end()) {
        return Some(Class::CaptureReordering);
    }
    let unseen = peer.map.missing_before(segment.ack) > 0;
    match (theirs("ack_lost_segment"), ours("ack_lost_segment")) {
        (true, false) if !unseen => return Some(Class::SeenBefore),
        (true, false) if before.same_run => return Some(Class::SameRun),
        (true, false) if peer.seen.is_empty() => return Some(Class::FirstKeepAlive),
        (false, true) if unseen => return Some(Class::NeverSeen),
        _ => {}
    }
    let last_was =
        |side: &oracle::Side, name: &str| side.last.as_ref().is_some_and(|last| last.analysis.contains(name));
    let reset = [own, peer].iter().any(|side| side.last.as_ref().is_some_and(Segment::rst));
    if segment.rst() || reset || (theirs("lost_segment") && last_was(own, "zero_window_probe")) {
        return Some(Class::Reset);
    }
    if theirs("lost_segment") && !ours("lost_segment") && own.map.missing_before(segment.seq) == 0 {
        return Some(Class::SeenBefore);
    }
    if theirs("duplicate_ack") && !ours("duplicate_ack") && !peer.outstanding(segment.ack) {
        return Some(Class::NothingOutstanding);
    }
    if ours("fast_retransmission") && !theirs("fast_retransmission") {
        return Some(Class::SelectiveAck);
    }
    if kind(EventKind::WindowProbe) || kind(EventKind::WindowProbeAck) {
        return Some(Class::ClosedWindow);
    }
    before.after_copy.then_some(Class::AfterCopy)
}

/// Frames that share the answer to something.
#[derive(Default)]
struct Tally {
    frames: u64,
    example: String,
}

impl Tally {
    fn add(&mut self, example: impl FnOnce() -> String) {
        if self.frames == 0 {
            self.example = example();
        }
        self.frames += 1;
    }
}

/// Of a name: set by tshark, by us, by both.
#[derive(Clone, Copy, Default)]
struct Hits {
    theirs: u64,
    ours: u64,
    both: u64,
}

impl Hits {
    fn count(&mut self, theirs: bool, ours: bool) {
        self.theirs += u64::from(theirs);
        self.ours += u64::from(ours);
        self.both += u64::from(theirs && ours);
    }

    fn shares(self) -> String {
        let share = |of: u64| {
            if of == 0 { "-".to_owned() } else { format!("{:.1}", 100.0 * self.both as f64 / of as f64) }
        };
        format!("{:>7} {:>9} {:>7}", self.ours, share(self.ours), share(self.theirs))
    }
}

#[test]
fn every_segment_is_named_as_tshark_names_it_or_we_know_why() {
    let Some(captures) = oracle::captures() else { return };
    let (mut frames, mut same, mut compared, mut agree) = (0, 0, 0, 0);
    let mut names: BTreeMap<&str, [Hits; 2]> = BTreeMap::new();
    let mut classes: BTreeMap<Class, Tally> = BTreeMap::new();
    let mut differences: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut set_aside: BTreeMap<Class, u64> = BTreeMap::new();
    let mut unexplained: BTreeMap<String, Tally> = BTreeMap::new();
    for path in &captures {
        let mut ours = Collected::default();
        let outcome = local::analyze(
            std::slice::from_ref(path),
            &Config::default(),
            Run::default(),
            &mut ours,
            &|_| {},
        )
        .unwrap_or_else(|error| panic!("{error}"));
        let mut streams: BTreeMap<u32, oracle::Stream> = BTreeMap::new();
        for segment in oracle::segments(path) {
            let stream = streams.entry(segment.stream).or_default();
            if segment.quoted {
                stream.quoted = true;
                continue;
            }
            let said = ours.said.get(&segment.frame);
            let first = ours.flows.get(&segment.stream).and_then(|flows| flows.iter().nth(1));
            let before = Before {
                stream,
                said,
                later_flow: first.is_some_and(|second| segment.frame >= *second),
                hasty: ours.hasty.contains(&segment.frame),
                after_copy: [stream.side(&segment), stream.other_side(&segment)]
                    .iter()
                    .filter_map(|side| ours.said.get(&side.last.as_ref()?.frame))
                    .any(|said| said.kinds.contains(&EventKind::DuplicateObservation)),
                same_run: stream.side(&segment).last.as_ref().is_some_and(|last| {
                    let peer = stream.other_side(&segment).last.as_ref().map_or(0, |peer| peer.frame);
                    let told = |said: &Said| said.kinds.contains(&EventKind::AckedUnseen);
                    peer < last.frame && ours.said.get(&last.frame).is_some_and(told)
                }),
                undissected: ours.flows.is_empty(),
                cut: outcome.totals.cut_records > 0,
            };
            let example = || format!("{} frame {}", oracle::name(path), segment.frame);
            let none = BTreeSet::new();
            let (like, verdict) = said.map_or((&none, &none), |said| (&said.like, &said.verdict));
            let equal = *like == segment.analysis;
            frames += 1;
            same += u64::from(equal);
            let class = explain(&segment, &before);
            // Where we do not look at one segment of one connection, no name can be compared.
            let apart = class.filter(|class| {
                matches!(
                    class,
                    Class::DuplicateObservation
                        | Class::OtherConnection
                        | Class::EndedFlow
                        // The recorder's order and not the sender's decides.
                        | Class::CaptureReordering
                        | Class::CutRecord
                        | Class::Padding
                )
            });
            if let Some(class) = apart {
                *set_aside.entry(class).or_default() += 1;
            }
            let apart = apart.is_some();
            if !apart {
                compared += 1;
                agree += u64::from(equal);
            }
            for name in oracle::NAMES {
                // A new connection on old ports is what they are apart about.
                if !apart || name == "reused_ports" {
                    let hits = names.entry(name).or_default();
                    let theirs = segment.analysis.contains(name);
                    hits[0].count(theirs, like.contains(name));
                    hits[1].count(theirs, verdict.contains(name));
                }
            }
            if !apart {
                for difference in said.iter().flat_map(|said| &said.differences) {
                    differences.entry(difference.words()).or_default().add(example);
                }
            }
            if !equal {
                match class {
                    Some(class) => classes.entry(class).or_default().add(example),
                    None => {
                        let key = format!("tshark {:?}, pcapsy {like:?}", segment.analysis);
                        unexplained.entry(key).or_default().add(example);
                    }
                }
            }
            stream.add(segment);
        }
    }
    let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole as f64;
    println!(
        "{} captures, {frames} TCP segments, {same} named the same ({:.2} %)",
        captures.len(),
        percent(same, frames)
    );
    println!(
        "{compared} segments that both judge as of one connection: {agree} named the same ({:.2} %)",
        percent(agree, compared)
    );
    println!(
        "\n{:26} {:>7} | like tshark: precision  recall | verdict: precision  recall",
        "tcp.analysis", "tshark"
    );
    for name in oracle::NAMES {
        let [like, verdict] = names[name];
        println!("{name:26} {:>7} | {} | {}", like.theirs, like.shares(), verdict.shares());
    }
    println!("\nset aside, named the same or not: {set_aside:?}");
    println!("\nnamed differently, and why:");
    for (class, tally) in &classes {
        println!("{:>6} {class:?}: {}; {}", tally.frames, class.words(), tally.example);
    }
    println!("\nnamed the same where we mean something else:");
    for (words, tally) in &differences {
        println!("{:>6} {words}; {}", tally.frames, tally.example);
    }
    let mut unexplained: Vec<_> = unexplained.into_iter().collect();
    unexplained.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.frames));
    let left: Vec<String> = unexplained
        .iter()
        .map(|(key, tally)| format!("{:>6} {key}; {}", tally.frames, tally.example))
        .collect();
    assert!(left.is_empty(), "not explained:\n{}", left.join("\n"));
    assert!(percent(agree, compared) >= 99.5, "{agree} of {compared}");
}
