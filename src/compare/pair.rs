//! Two points: what of the one arrived at the other, when, and how.
//!
//! Both are read side by side, in the order of one clock. A packet waits [`WAIT`] for the same packet of the
//! other point, and as long again until it is judged: what arrived cut otherwise, or was sent again, is known
//! by then. So memory follows the traffic of a few seconds, not the captures.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashSet;
use serde::Serialize;

use super::changed::{Change, Changes, Field, differences};
use super::clock::{Basis, Clock, Difference};
use super::conversations::Conversations;
use super::delays::{Delay, Delays, Interval};
use super::pending::{Kept, Pending, Waiting};
use super::point::{Point, Seen, Stream};
use super::sample::{Meeting, Sample};
use super::sides::{End, Sides, Way};
use super::sighting::{Kind, Sighting};
use crate::capture::{CaptureError, CaptureLimits};
use crate::dissect::FiveTuple;
use crate::time::{Span, Timestamp};

/// How long a packet is waited for: longer than any queue holds one.
pub(super) const WAIT: Span = Span::secs(4);

/// Packets of a kind of loss that are listed; the rest is counted, and stands in the table.
const LISTED: usize = 1_000;

/// Pairs of hosts, and their services, known to have traffic at both points.
const HOSTS: usize = 1 << 18;

/// Of so many of ten packets a field is the same: then it tells packets apart.
const KEPT: usize = 9;

/// A point with its sample.
pub(super) struct Gauged {
    pub(super) point: Point,
    pub(super) seen: Seen,
    pub(super) sample: Sample,
}

/// Where a packet stands.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// Its file.
    pub file: String,
    /// Its frame number there.
    pub frame: u64,
    /// When it was recorded, by the clock of its point.
    pub time: Timestamp,
}

/// A packet, where it was recorded, and what it is.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its place in A; `None` when it is not there.
    pub a: Option<Place>,
    /// Its place in B.
    pub b: Option<Place>,
    /// What kind of packet.
    pub kind: Kind,
    /// From whom, as it was sent.
    pub source: String,
    /// To whom.
    pub destination: String,
    /// TCP sequence number, not relative.
    pub seq: Option<u32>,
    /// Bytes of payload.
    pub length: u32,
}

impl Shown {
    /// Its frame numbers at A and at B, to order by.
    pub(super) fn frames(&self) -> [Option<(String, u64)>; 2] {
        [&self.a, &self.b].map(|place| place.as_ref().map(|place| (place.file.clone(), place.frame)))
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was sent and did not arrive; others of its conversation did.
    Lost,
    /// Nothing of its conversation arrived, though others of its hosts to the same service did.
    Absent,
    /// The receiver acknowledged it: it passed the other point, whose capture missed it.
    Missed,
    /// A reset that was not sent: a device between the points made it.
    Injected,
    /// It arrived and its sender's point did not record it.
    OnlyArrived,
}

/// Why nothing is said of a packet that one point alone recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The other point was not recording.
    OutsideOther,
    /// The other point saw nothing of its conversation, and nothing of its hosts: it may take another way.
    OtherTraffic,
    /// The other point saw its hosts and nothing of this service: blocked, or left out by a capture filter.
    OtherService,
    /// The other point recorded no packet of its kind, or nothing that goes this way.
    NotRecorded,
    /// The recording of the other point lost packets.
    RecordingLost,
    /// Nobody knows from which side it comes.
    NoDirection,
    /// Too many packets with the same content, or waiting at a time.
    Crowded,
}

/// One way between two points.
#[derive(Debug, Serialize)]
pub struct Direction {
    /// The point where packets are first.
    pub from: String,
    /// The point where they arrive.
    pub to: String,
    /// Packets that both recorded.
    pub arrived: u64,
    /// Packets by their fate.
    pub fates: BTreeMap<Fate, u64>,
    /// Conversations of which nothing arrived.
    pub absent_conversations: u64,
    /// Packets that arrived cut otherwise: network cards put segments together and take them apart.
    pub cut_otherwise: u64,
    /// Packets that arrived after one that was sent later (RFC 4737).
    pub reordered: u64,
    /// How long they took.
    pub delay: Option<Delay>,
    /// The same over time.
    pub intervals: Vec<Interval>,
    /// The first packets of every fate, at most 1000.
    pub packets: BTreeMap<Fate, Vec<Shown>>,
    /// Packets of one point alone of which nothing is said.
    pub not_told: BTreeMap<Why, u64>,
}

impl Direction {
    /// Packets of a fate.
    pub fn of(&self, fate: Fate) -> u64 {
        self.fates.get(&fate).copied().unwrap_or(0)
    }
}

/// What two points say of the way between them.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// The first.
    pub a: String,
    /// The second.
    pub b: String,
    /// Packets that both recorded.
    pub arrived: u64,
    /// Of a sample: payloads that both recorded under other sequence numbers. A proxy between the points, or
    /// a device that renumbers connections.
    pub renumbered: u64,
    /// How the clocks stand; `None` when no packet was recognised.
    pub clock: Option<Clock>,
    /// From A to B.
    pub forth: Direction,
    /// From B to A.
    pub back: Direction,
    /// What was changed on the way.
    pub changes: Vec<Change>,
    /// Changes beyond those listed.
    pub changes_unlisted: u64,
    /// Packets of unknown direction of which nothing is said, of A and of B alone.
    pub not_told: BTreeMap<Why, u64>,
}

/// Something about one packet, for a table.
pub struct Event<'e> {
    /// The points.
    pub points: [&'e Seen; 2],
    /// What became of it; `None` for one that arrived changed.
    pub fate: Option<Fate>,
    /// What was changed.
    pub field: Option<(Field, String, String)>,
    /// Which way it goes.
    pub way: Way,
    /// The packet.
    pub shown: &'e Shown,
    /// Its conversation as A and as B know it, without a direction.
    pub conversation: [FiveTuple; 2],
}

/// Takes the events, in the order in which they are certain.
pub type Events<'e> = dyn FnMut(&Event<'_>) + Send + 'e;

/// A packet of one point alone.
struct Leftover {
    end: End,
    waiting: Waiting,
}

/// The comparison while it runs.
pub(super) struct Comparing<'g, 'e> {
    a: &'g Gauged,
    b: &'g Gauged,
    sides: Sides,
    clock: Clock,
    kept: Kept,
    /// From when to when each point recorded, by the clock of A.
    recorded: [(Timestamp, Timestamp); 2],
    /// Longest delay of the sample.
    reach: Span,
    /// Something goes this way and arrives.
    ways: [bool; 2],
    pending: [Pending; 2],
    leftovers: VecDeque<Leftover>,
    conversations: Conversations,
    hosts: [HashSet<u64>; 2],
    changes: Changes,
    delays: [Delays; 2],
    pair: Pair,
    events: &'e mut Events<'e>,
}

impl Pair {
    /// Compares two points.
    pub(super) fn compare<'e>(
        a: &Gauged,
        b: &Gauged,
        limits: &CaptureLimits,
        events: &'e mut Events<'e>,
        mut progress: impl FnMut(&Stream, &Stream),
    ) -> Result<Self, CaptureError> {
        let pair = Self::empty(a, b);
        let Some(mut comparing) = Comparing::begin(a, b, pair, events) else {
            return Ok(Self { renumbered: Sample::renumbered(&a.sample, &b.sample), ..Self::empty(a, b) });
        };
        let (mut one, mut other) = (Stream::open(&a.point, limits)?, Stream::open(&b.point, limits)?);
        let mut taken = 0u64;
        loop {
            let times = (one.peek(), other.peek().map(|time| comparing.clock.by_a(time)));
            let (end, time) = match times {
                (Some(at_a), Some(at_b)) if at_a <= at_b => (End::A, at_a),
                (_, Some(at_b)) => (End::B, at_b),
                (Some(at_a), None) => (End::A, at_a),
                (None, None) => break,
            };
            let stream = if end == End::A { &mut one } else { &mut other };
            let Some(sighting) = stream.take() else { break };
            comparing.arrive(end, sighting, time);
            comparing.expire(time);
            taken += 1;
            if taken.is_multiple_of(1 << 16) {
                progress(&one, &other);
            }
        }
        Ok(comparing.finish())
    }

    fn empty(a: &Gauged, b: &Gauged) -> Self {
        let direction = |from: &Gauged, to: &Gauged| Direction {
            from: from.seen.name.clone(),
            to: to.seen.name.clone(),
            arrived: 0,
            fates: BTreeMap::new(),
            absent_conversations: 0,
            cut_otherwise: 0,
            reordered: 0,
            delay: None,
            intervals: Vec::new(),
            packets: BTreeMap::new(),
            not_told: BTreeMap::new(),
        };
        Self {
            a: a.seen.name.clone(),
            b: b.seen.name.clone(),
            arrived: 0,
            renumbered: 0,
            clock: None,
            forth: direction(a, b),
            back: direction(b, a),
            changes: Vec::new(),
            changes_unlisted: 0,
            not_told: BTreeMap::new(),
        }
    }

    fn direction(&mut self, way: Way) -> &mut Direction {
        if way == Way::Forth { &mut self.forth } else { &mut self.back }
    }
}

/// The meetings that are one packet each: identification and time stamps are equal where they are kept, and
/// the time between them is that of the others.
fn certain(mut met: Vec<Meeting>) -> (Vec<Meeting>, Kept) {
    let stamp = |sighting: &Sighting| sighting.segment.and_then(|segment| segment.stamp);
    let mostly = |same: usize, all: usize| all == 0 || same * 10 >= all * KEPT;
    let ids = met.iter().filter(|met| met.a.id != 0 && met.b.id != 0);
    let (all, same) =
        ids.fold((0, 0), |(all, same), met| (all + 1, same + usize::from(met.a.id == met.b.id)));
    let stamps = met.iter().filter_map(|met| Some((stamp(&met.a)?, stamp(&met.b)?)));
    let (stamped, alike) = stamps.fold((0, 0), |(all, same), (a, b)| (all + 1, same + usize::from(a == b)));
    let kept = Kept { id: mostly(same, all), stamp: mostly(alike, stamped) };
    met.retain(|met| kept.same(&met.a, &met.b));
    let mut differences: Vec<i64> = met.iter().map(|met| (met.b.time - met.a.time).0).collect();
    let middle = differences.len() / 2;
    if middle > 0 {
        let (_, median, _) = differences.select_nth_unstable(middle);
        let median = *median;
        let at = met.get(met.len() / 2).map_or(Timestamp(0), |met| met.a.time);
        met.retain(|met| {
            let off = (met.b.time - met.a.time).0.saturating_sub(median).saturating_abs();
            let drift = (met.a.time - at).0.saturating_abs() / 500;
            off <= WAIT.0.saturating_add(drift)
        });
    }
    (met, kept)
}

impl<'g, 'e> Comparing<'g, 'e> {
    /// What the samples say; `None` when the points recorded nothing in common.
    fn begin(a: &'g Gauged, b: &'g Gauged, mut pair: Pair, events: &'e mut Events<'e>) -> Option<Self> {
        let (met, kept) = certain(Sample::meet(&a.sample, &b.sample));
        let sides = Sides::of(&met);
        let (mut forth, mut back, mut untold): (Vec<Difference>, Vec<_>, Vec<_>) = Default::default();
        for meeting in &met {
            let list = match sides.way(End::A, &meeting.a) {
                Some(Way::Forth) => &mut forth,
                Some(Way::Back) => &mut back,
                None => &mut untold,
            };
            list.push((meeting.a.time, meeting.b.time - meeting.a.time));
        }
        let clock = Clock::fit(&forth, &back, &untold)?;
        pair.renumbered = Sample::renumbered(&a.sample, &b.sample);
        let delays = met.iter().map(|met| (clock.by_a(met.b.time) - met.a.time).0.saturating_abs());
        let reach = Span(delays.max().unwrap_or(0)).min(WAIT);
        let bounds = |seen: &Seen| Some((seen.first_seen?, seen.last_seen?));
        let (of_a, of_b) = (bounds(&a.seen)?, bounds(&b.seen)?);
        let of_b = (clock.by_a(of_b.0), clock.by_a(of_b.1));
        let both = (of_a.0.max(of_b.0), of_a.1.min(of_b.1));
        Some(Self {
            a,
            b,
            sides,
            clock,
            kept,
            recorded: [of_a, of_b],
            reach,
            ways: [!forth.is_empty(), !back.is_empty()],
            pending: Default::default(),
            leftovers: VecDeque::new(),
            conversations: Conversations::default(),
            hosts: Default::default(),
            changes: Changes::default(),
            delays: [Delays::new(both), Delays::new(both)],
            pair,
            events,
        })
    }

    fn gauged(&self, end: End) -> &'g Gauged {
        if end == End::A { self.a } else { self.b }
    }

    /// A packet at a point, at a time by the clock of A.
    fn arrive(&mut self, end: End, sighting: Sighting, time: Timestamp) {
        let way = self.sides.way(end, &sighting);
        match self.pending[end.other() as usize].take(&sighting, self.kept) {
            Some(waiting) => {
                let (a, b, until) = match end {
                    End::A => (sighting, waiting.sighting, waiting.time - time),
                    End::B => (waiting.sighting, sighting, time - waiting.time),
                };
                self.meet(end, &a, &b, time, until);
            }
            None if !self.pending[end as usize].add(sighting, time) => {
                *self.pair.not_told.entry(Why::Crowded).or_default() += 1;
            }
            None => {}
        }
        let Some(way) = way else { return };
        let conversation = self.conversations.of(end, &sighting, time);
        if way.sender() != end
            && let Some(bytes) = sighting.bytes()
        {
            conversation.half(way).arrives(bytes);
        }
        if let Some(ack) = sighting.segment.and_then(|segment| segment.ack) {
            conversation.half(way.reversed()).acknowledges(ack);
        }
    }

    /// A packet that both recorded; `until` is how much later at B.
    fn meet(&mut self, end: End, a: &Sighting, b: &Sighting, now: Timestamp, until: Span) {
        self.pair.arrived += 1;
        let conversation = self.conversations.meet(a, b, now);
        if conversation.met == 1 {
            for (hosts, sighting) in self.hosts.iter_mut().zip([a, b]) {
                if hosts.len() < HOSTS {
                    hosts.extend(hosts_of(sighting));
                }
            }
        }
        let Some(way) = self.sides.way(End::A, a) else { return };
        let (sent, arrived) = if way == Way::Forth { (a, b) } else { (b, a) };
        let half = conversation.half(way);
        let late = half.latest.is_some_and(|latest| (sent.time, sent.ordinal) < latest);
        half.latest = half.latest.max(Some((sent.time, sent.ordinal)));
        let direction = self.pair.direction(way);
        direction.arrived += 1;
        // Matched when it was sent, and not when it arrived: the clocks say nothing of the order.
        direction.reordered += u64::from(late && way.sender() != end);
        let delay = if way == Way::Forth { until } else { Span(until.0.saturating_neg()) };
        let sent_at = if way == Way::Forth { a.time } else { self.clock.by_a(b.time) };
        self.delays[way as usize].add(sent_at, delay);
        let points = [&self.a.seen, &self.b.seen];
        let conversation = [a, b].map(|sighting| sighting.tuple.canonical());
        differences(sent, arrived, |changed| {
            let shown = || shown(points, Some(a), Some(b), way);
            if !changed.0.is_ordinary() {
                let (field, before, after) = changed;
                let field = Some((field, before.to_string(), after.to_string()));
                (self.events)(&Event { points, fate: None, field, way, shown: &shown(), conversation });
            }
            self.changes.add(way, changed, shown);
        });
    }

    /// Gives up on packets that nobody else recorded until now, and judges those given up before.
    fn expire(&mut self, now: Timestamp) {
        for end in [End::A, End::B] {
            while let Some((waiting, crowded)) = self.pending[end as usize].expired(now - WAIT) {
                self.give_up(end, waiting, crowded);
            }
        }
        let until = now - WAIT - WAIT;
        while self.leftovers.front().is_some_and(|left| left.waiting.time < until) {
            self.judge_next();
        }
    }

    fn give_up(&mut self, end: End, waiting: Waiting, crowded: bool) {
        if crowded {
            *self.pair.not_told.entry(Why::Crowded).or_default() += 1;
            return;
        }
        if let (Some(way), Some(bytes)) = (self.sides.way(end, &waiting.sighting), waiting.sighting.bytes()) {
            self.conversations.of(end, &waiting.sighting, waiting.time).half(way).loosen(end, bytes);
        }
        self.leftovers.push_back(Leftover { end, waiting });
    }

    fn finish(mut self) -> Pair {
        for end in [End::A, End::B] {
            while let Some((waiting, _)) = self.pending[end as usize].expired(Timestamp::MAX) {
                self.give_up(end, waiting, false);
            }
        }
        while !self.leftovers.is_empty() {
            self.judge_next();
        }
        let is_absolute = self.clock.basis == Basis::BothDirections;
        let [forth, back] = self.delays;
        (self.pair.forth.delay, self.pair.forth.intervals) = forth.finish(is_absolute);
        (self.pair.back.delay, self.pair.back.intervals) = back.finish(is_absolute);
        self.pair.changes_unlisted = self.changes.unlisted;
        self.pair.changes = self.changes.finish();
        self.pair.clock = Some(self.clock);
        self.pair
    }

    fn judge_next(&mut self) {
        let Some(left) = self.leftovers.pop_front() else { return };
        let (end, sighting) = (left.end, left.waiting.sighting);
        let Some(way) = self.sides.way(end, &sighting) else {
            *self.pair.not_told.entry(Why::NoDirection).or_default() += 1;
            return;
        };
        let fate = self.fate(end, way, &left.waiting);
        let points = [&self.a.seen, &self.b.seen];
        let conversation = self.conversations.of(end, &sighting, left.waiting.time).names(&sighting);
        let direction = self.pair.direction(way);
        let fate = match fate {
            Ok(Some(fate)) => fate,
            Ok(None) => {
                direction.cut_otherwise += 1;
                return;
            }
            Err(why) => {
                *direction.not_told.entry(why).or_default() += 1;
                return;
            }
        };
        *direction.fates.entry(fate).or_default() += 1;
        let shown = match end {
            End::A => shown(points, Some(&sighting), None, way),
            End::B => shown(points, None, Some(&sighting), way),
        };
        (self.events)(&Event { points, fate: Some(fate), field: None, way, shown: &shown, conversation });
        let listed = direction.packets.entry(fate).or_default();
        if listed.len() < LISTED {
            listed.push(shown);
        }
        if matches!(fate, Fate::Lost | Fate::Absent) {
            self.delays[way as usize].lose(left.waiting.time);
        }
    }

    /// What became of a packet that the point at `end` alone recorded; `Ok(None)` when it arrived in other
    /// pieces.
    fn fate(&mut self, end: End, way: Way, waiting: &Waiting) -> Result<Option<Fate>, Why> {
        let (sighting, time) = (&waiting.sighting, waiting.time);
        let is_sent = way.sender() == end;
        let slack = self.clock.slack();
        let (begins, ends) = self.recorded[end.other() as usize];
        // When the other point recorded it, if it did.
        let (earliest, latest) = match is_sent {
            true => (time - slack, time + self.reach + slack),
            false => (time - self.reach - slack, time + slack),
        };
        if earliest < begins || latest > ends {
            return Err(Why::OutsideOther);
        }
        let other = self.gauged(end.other());
        let [hosts, services @ ..] = hosts_of(sighting).map(|hash| self.hosts[end as usize].contains(&hash));
        let is_service_known = services.contains(&true);
        let conversation = self.conversations.of(end, sighting, time);
        let bytes = sighting.bytes();
        if bytes.is_some_and(|bytes| conversation.half(way).has_loose(end.other(), bytes)) {
            return Ok(None);
        }
        if conversation.met == 0 && !is_service_known {
            return Err(if hosts { Why::OtherService } else { Why::OtherTraffic });
        }
        if !self.ways[way as usize] || (is_sent && !other.sample.has(sighting.kind)) {
            return Err(Why::NotRecorded);
        }
        let half = conversation.half(way);
        let again = bytes.is_some_and(|(start, last)| half.arrived.overlaps(start, last));
        let acked = bytes.is_some_and(|(_, last)| half.acked.is_some_and(|acked| !last.after(acked)));
        let lossy = other.seen.damaged || other.seen.dropped.is_some_and(|dropped| dropped > 0);
        if conversation.met == 0 {
            if lossy {
                return Err(Why::RecordingLost);
            }
            let first = !std::mem::replace(&mut conversation.is_absent, true);
            self.pair.direction(way).absent_conversations += u64::from(first && is_sent);
            return Ok(Some(if is_sent { Fate::Absent } else { Fate::OnlyArrived }));
        }
        match is_sent {
            true if acked && !again => Ok(Some(Fate::Missed)),
            true if lossy && !again => Err(Why::RecordingLost),
            true => Ok(Some(Fate::Lost)),
            false if lossy => Err(Why::RecordingLost),
            false if sighting.kind == Kind::Reset => Ok(Some(Fate::Injected)),
            false => Ok(Some(Fate::OnlyArrived)),
        }
    }
}

/// The two hosts of a packet, whichever sent it, and the services that each may have of the other.
fn hosts_of(sighting: &Sighting) -> [u64; 3] {
    let tuple = sighting.tuple;
    let with = |source, destination, protocol| {
        let mut of = FiveTuple { protocol, ..tuple };
        (of.source.port, of.destination.port) = (source, destination);
        of.partition_hash()
    };
    let (source, destination) = (tuple.source.port, tuple.destination.port);
    [with(0, 0, 0), with(source, 0, tuple.protocol), with(0, destination, tuple.protocol)]
}

/// A packet for people; as it was sent, when that was recorded.
fn shown(points: [&Seen; 2], a: Option<&Sighting>, b: Option<&Sighting>, way: Way) -> Shown {
    let place = |seen: &Seen, sighting: &Sighting| {
        let (file, frame) = seen.place(sighting.ordinal);
        Place { file: file.to_owned(), frame, time: sighting.time }
    };
    let sent = if way == Way::Forth { a.or(b) } else { b.or(a) };
    let end = |endpoint: crate::dissect::Endpoint| match endpoint.port {
        0 => endpoint.address.to_string(),
        _ => endpoint.to_string(),
    };
    let [of_a, of_b] = points;
    Shown {
        a: a.map(|sighting| place(of_a, sighting)),
        b: b.map(|sighting| place(of_b, sighting)),
        kind: sent.map_or(Kind::Other, |sent| sent.kind),
        source: sent.map_or_else(String::new, |sent| end(sent.tuple.source)),
        destination: sent.map_or_else(String::new, |sent| end(sent.tuple.destination)),
        seq: sent.and_then(|sent| sent.segment).map(|segment| segment.seq.0),
        length: sent.map_or(0, |sent| sent.length),
    }
}
