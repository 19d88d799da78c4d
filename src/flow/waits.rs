//! Times in which a connection stood still: pauses and what broke them, closed windows, and what nobody
//! answered in the end. Only connections that had such a time have a record of them.

use serde::{Deserialize, Serialize};

use crate::dissect::{Direction, PacketRef, Seq};
use crate::flow::sender::Placed;
use crate::flow::sent::Segment;
use crate::time::{Span, Timestamp};

/// What broke a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// Payload data.
    Data,
    /// A keep-alive probe (RFC 1122 section 4.2.3.6).
    KeepAlive,
    /// A FIN without data.
    Fin,
    /// A RST.
    Reset,
}

/// A time in which neither side sent anything, with nothing to wait for: all data was acknowledged and no
/// window was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The last packet before.
    pub before: PacketRef,
    /// The packet that broke it.
    pub after: PacketRef,
    /// Who sent that.
    pub by: Direction,
    /// What it was.
    pub with: Breaker,
}

impl Pause {
    /// Silence from which it is a pause: an upstream that keeps connections for a second is the shortest
    /// idle time-out worth knowing.
    pub const LEAST: Span = Span::millis(500);

    /// How long it was.
    pub fn length(&self) -> Span {
        self.after.time - self.before.time
    }
}

/// A pause after which nothing was acknowledged any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FatalPause {
    /// The pause.
    pub pause: Pause,
    /// Segments that its breaker sent from then on and that ask for an answer.
    pub tries: u32,
    /// The last of them.
    pub last_try: PacketRef,
    /// The RST of the other side that answered.
    pub reset: Option<PacketRef>,
    /// The other side sent something else, which acknowledged nothing of it.
    pub heard: bool,
}

/// A FIN and data of the other side that passed each other: neither acknowledges the other. A RST answered
/// the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// Who sent the FIN.
    pub by: Direction,
    /// The FIN.
    pub fin: PacketRef,
    /// The data.
    pub data: PacketRef,
    /// The RST.
    pub reset: PacketRef,
    /// The pause that the earlier of them broke.
    pub idle: Span,
}

/// How the time of a closed window ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reopened {
    /// A window larger than zero.
    Opened,
    /// A RST of either side.
    Reset,
    /// The flow ended before.
    Never,
}

/// A time in which one side announced a receive window of zero (RFC 9293 section 3.8.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// The first announcement.
    pub closed: PacketRef,
    /// The packet that ended it, or the last of the flow.
    pub until: PacketRef,
    /// How it ended.
    pub end: Reopened,
    /// Probes of the peer: it has data to send.
    pub probes: u32,
    /// Bytes that the peer had sent and the announcement did not acknowledge.
    pub unacknowledged: u32,
}

impl Closure {
    /// Closures kept per side: the longest.
    pub const MAX: usize = 4;

    /// How long it lasted.
    pub fn length(&self) -> Span {
        self.until.time - self.closed.time
    }

    /// The peer had something to send.
    pub fn held_up(&self) -> bool {
        self.probes > 0 || self.unacknowledged > 0
    }
}

/// What one side repeated at the end and nobody acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// The first try of the oldest segment that was not acknowledged.
    pub first: PacketRef,
    /// The last try of it.
    pub last: PacketRef,
    /// Tries of it.
    pub tries: u32,
    /// Bytes that were not acknowledged, of all segments.
    pub bytes: u32,
    /// Its size as an IP datagram.
    pub ip_length: u32,
    /// A later segment is known to have arrived.
    pub later_arrived: bool,
}

/// The times in which a connection stood still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// The longest pause after which the connection went on.
    pub survived: Option<Pause>,
    /// The pause after which it did not.
    pub fatal: Option<FatalPause>,
    /// The pause that a FIN or RST ended.
    pub closing: Option<Pause>,
    /// A FIN and data that passed each other.
    pub crossing: Option<Crossing>,
    /// Closed windows by the side that closed them, the longest first; at most [`Closure::MAX`] each.
    pub closures: [Vec<Closure>; 2],
    /// How many there were.
    pub closure_counts: [u32; 2],
    /// What each side repeated in vain at the end.
    pub unanswered: [Option<Unanswered>; 2],
}

/// A packet as [`Waiting`] sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing<'a> {
    pub(super) direction: Direction,
    pub(super) segment: &'a Segment,
    pub(super) placed: Placed,
    pub(super) ack: Option<Seq>,
    /// The packet before, when this one ends a pause.
    pub(super) before: Option<PacketRef>,
}

/// A pause that something broke which was not answered yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    fatal: FatalPause,
    /// The number that an answer acknowledges.
    end: Seq,
}

/// A FIN and data that may have passed each other.
#[derive(Clone, Copy, Debug)]
struct Meeting {
    by: Direction,
    fin: PacketRef,
    data: PacketRef,
    idle: Span,
}

/// Follows the waits of a connection.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    waits: Waits,
    pending: Option<Pending>,
    meeting: Option<Meeting>,
}

/// A FIN and data pass each other within the time before the data is sent again: RFC 6298 section 2.1.
const MEETING: Span = Span::secs(1);

impl Waiting {
    /// Bytes of memory that it takes.
    pub(super) fn held(&self) -> usize {
        let closures: usize = self.waits.closures.iter().map(Vec::capacity).sum();
        size_of::<Self>() + closures * size_of::<Closure>()
    }

    /// Takes a packet that is no copy.
    pub(super) fn packet(&mut self, packet: &Passing<'_>) {
        let Passing { direction, segment, placed, .. } = *packet;
        let asks = segment.occupies() || placed == Placed::Probe;
        if let Some(pending) = &mut self.pending {
            let fatal = &mut pending.fatal;
            if direction == fatal.pause.by {
                if asks && !segment.rst {
                    (fatal.tries, fatal.last_try) = (fatal.tries.saturating_add(1), segment.at);
                }
            } else if segment.rst {
                fatal.reset = Some(segment.at);
                self.waits.fatal = Some(*fatal);
                self.pending = None;
            } else if packet.ack.is_some_and(|ack| !ack.before(pending.end)) {
                let pause = fatal.pause;
                if self.waits.survived.is_none_or(|known| known.length() < pause.length()) {
                    self.waits.survived = Some(pause);
                }
                self.pending = None;
            } else {
                fatal.heard = true;
            }
        }
        if let (Some(before), None) = (packet.before, &self.pending) {
            self.breaks(before, packet, asks);
        }
    }

    fn breaks(&mut self, before: PacketRef, packet: &Passing<'_>, asks: bool) {
        let Passing { direction, segment, placed, .. } = *packet;
        let with = match placed {
            _ if segment.rst => Breaker::Reset,
            Placed::Probe => Breaker::KeepAlive,
            _ if segment.length > 0 => Breaker::Data,
            _ => Breaker::Fin,
        };
        let pause = Pause { before, after: segment.at, by: direction, with };
        if segment.rst || (asks && segment.fin) {
            self.waits.closing = Some(pause);
        }
        if asks && !segment.rst && matches!(placed, Placed::New | Placed::Probe) {
            let fatal = FatalPause { pause, tries: 1, last_try: segment.at, reset: None, heard: false };
            self.pending = Some(Pending { fatal, end: segment.end() });
        }
    }

    /// The length of the pause that `at` broke.
    fn idle_before(&self, at: PacketRef) -> Span {
        let pending = self.pending.map(|pending| pending.fatal.pause);
        let broken = pending.or(self.waits.closing).filter(|pause| pause.after == at);
        broken.map_or(Span::ZERO, |pause| pause.length())
    }

    /// `by` sent a FIN, and the other side data; neither acknowledges the other.
    pub(super) fn meet(&mut self, by: Direction, fin: PacketRef, data: PacketRef) {
        let (first, last) = if fin.packet < data.packet { (fin, data) } else { (data, fin) };
        if self.meeting.is_none() && (last.time - first.time) < MEETING {
            let idle = self.idle_before(first);
            self.meeting = Some(Meeting { by, fin, data, idle });
        }
    }

    /// `direction` sent a RST.
    pub(super) fn reset(&mut self, direction: Direction, reset: PacketRef) {
        if let Some(Meeting { by, fin, data, idle }) = self.meeting.filter(|meeting| meeting.by == direction)
        {
            self.waits.crossing.get_or_insert(Crossing { by, fin, data, reset, idle });
        }
    }

    /// The window of `direction` was closed for a time.
    pub(super) fn closed(&mut self, direction: Direction, closure: Closure) {
        let index = direction.index();
        self.waits.closure_counts[index] = self.waits.closure_counts[index].saturating_add(1);
        let kept = &mut self.waits.closures[index];
        let rank = |one: &Closure| (std::cmp::Reverse(one.length()), one.closed.packet);
        let place = kept.partition_point(|one| rank(one) < rank(&closure));
        kept.reserve_exact(1);
        kept.insert(place, closure);
        kept.truncate(Closure::MAX);
    }

    /// What `direction` repeated in vain at the end.
    pub(super) fn unanswered(&mut self, direction: Direction, unanswered: Unanswered) {
        self.waits.unanswered[direction.index()] = Some(unanswered);
    }

    /// The flow is over.
    pub(super) fn finish(mut self: Box<Self>) -> Option<Box<Waits>> {
        if let Some(pending) = self.pending {
            self.waits.fatal = Some(pending.fatal);
        }
        (self.waits != Waits::default()).then(|| Box::new(self.waits))
    }
}

/// A window that is closed at present.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) closed: PacketRef,
    pub(super) probes: u32,
    pub(super) unacknowledged: u32,
}

impl Closing {
    /// It ends with `until`.
    pub(super) fn ends(self, until: PacketRef, end: Reopened) -> Closure {
        let Self { closed, probes, unacknowledged } = self;
        let until = PacketRef { time: until.time.max(closed.time), ..until };
        Closure { closed, until, end, probes, unacknowledged }
    }

    /// How long it lasts up to `time`.
    pub(super) fn until(&self, time: Timestamp) -> Span {
        time - self.closed.time
    }
}
