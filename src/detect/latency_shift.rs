//! # What it finds
//! Round trips that take longer from some moment on, or for some time; by host.
//!
//! # Why it matters
//! Every request waits for at least one round trip. Applications that ask often become slow all at once, and
//! no server is to blame.
//!
//! # How it decides
//! Only round trips count that no application and no delayed ACK holds back: SYN to SYN-ACK, SYN-ACK to ACK,
//! and the ACKs of two full segments or more. Of one client and one host the shortest of each second stands
//! for that second (of longer times in longer captures). Seconds that follow each other are a shift when
//! - each of them is at least `ratio` times, and `added` more than, every second outside of them,
//! - they differ by half at most among themselves, and
//! - at least five round trips each were timed inside and before.
//!
//! `step`: until the end of the capture. `spike`: the round trips became short again. It is a warning when a
//! step adds `felt` or more and each round trip takes three times as long, for five connections at least.
//!
//! # What it leaves alone
//! - Queues that fill under load: their round trips grow, and differ widely (no step of the path).
//! - Slow answers of a server, delayed ACKs, and clients that think. Handshakes that took longer than ACKs of
//!   the same connection: a proxy that asks its server first, or a full accept queue.
//! - Clients of different distance: each is compared with itself.
//! - Captures whose clock steps or has no fractions of a second.
//!
//! # What it does not claim
//! Which link became slow, or why. How far the hosts are apart.
//!
//! # References
//! RFC 5681 section 4.2 (when data is acknowledged at once); RFC 9293 section 3.5.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::detect::*;
use crate::dissect::{Direction, Endpoint, PacketRef};
use crate::flow::{Flow, HandshakeOutcome, Trip};
use crate::time::{Span, Timestamp};

thresholds! {
    /// Times round trips by client and host.
    struct LatencyShift {
        ratio: f64 = 2.0 "times",
            "of the longest second outside of the shift, from which it is one",
            "ours: paths of one network differ by less";
        added: Span = 0.01 "s",
            "what a round trip takes longer, from which it is a shift",
            "ours: the way within a city";
        felt: Span = 0.05 "s",
            "what a round trip takes longer, from which a step is a warning",
            "ours: two round trips more take the 100 ms that a person notices";
    }
}

variants! {
    /// How long it lasts.
    enum Shape {
        Step "step" Info {
            could_be: &[
                "the route changed (a fail-over, another provider, a tunnel)",
                "the address is served from another place now",
                "a queue that stays full, or a shaper, holds every packet back",
            ],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
        Spike "spike" Info {
            could_be: &["the route changed for a while", "a queue was full for a while"],
            next: NEXT,
            not_claimed: NOT_CLAIMED,
            doubted_by: &[],
        }
    }
}

const NEXT: &[&str] = &[
    "trace the route and compare with before: traceroute, or mtr over some minutes",
    "look for route changes, fail-overs and new policies at this time",
];
const NOT_CLAIMED: &[&str] = &["which link became slow, or why", "how far the hosts are apart"];

/// The round trips of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    least: Span,
    /// The packet that ended the shortest.
    at: PacketRef,
    count: u64,
    /// Connections that were opened.
    opened: u64,
    /// TTL of the packets from there, where it is known; lowest and highest.
    ttl: (u8, u8),
}

impl Slot {
    fn join(&mut self, other: Self) {
        if (other.least, other.at.packet) < (self.least, self.at.packet) {
            (self.least, self.at) = (other.least, other.at);
        }
        self.count += other.count;
        self.opened += other.opened;
        self.ttl = (self.ttl.0.min(other.ttl.0), self.ttl.1.max(other.ttl.1));
    }
}

/// Round trips over time, in slots of equal width: the smallest power of two of seconds with which they are
/// so many at most. So it depends on the times and not on their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Series {
    width: u32,
    /// In order.
    slots: Vec<(i64, Slot)>,
}

impl Series {
    const MOST: usize = 64;

    fn add(&mut self, slot: Slot) {
        let number = slot.at.time.0.div_euclid(1_000_000_000) >> self.width;
        self.place(number, slot);
        self.widen();
    }

    fn place(&mut self, number: i64, slot: Slot) {
        match self.slots.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => self.slots[at].1.join(slot),
            Err(at) => {
                // Most clients come once.
                if self.slots.is_empty() {
                    self.slots.reserve_exact(1);
                }
                self.slots.insert(at, (number, slot));
            }
        }
    }

    fn widen(&mut self) {
        while self.slots.len() > Self::MOST {
            self.width_to(self.width + 1);
        }
    }

    fn width_to(&mut self, width: u32) {
        let by = width - self.width;
        self.width = width;
        if by > 0 {
            for (number, slot) in std::mem::take(&mut self.slots) {
                self.place(number.checked_shr(by).unwrap_or(0), slot);
            }
        }
    }

    fn ends(&self, slot: i64) -> Timestamp {
        Timestamp(((slot + 1) << self.width).saturating_mul(1_000_000_000))
    }
}

impl Merge for Series {
    fn absorb(&mut self, mut other: Self) {
        let width = self.width.max(other.width);
        self.width_to(width);
        other.width_to(width);
        other.slots.into_iter().for_each(|(number, slot)| self.place(number, slot));
        self.widen();
    }
}

merged! {
    /// What is timed of a client and a host: beyond the capture point towards the host, and towards the
    /// client.
    pub(super) struct Timed {
        series: [Series; 2],
        services: Distinct<Endpoint, 4>,
    }
}

/// Seconds of a series that stand out.
struct Shift {
    shape: Shape,
    inside: Slot,
    outside: Slot,
    from: Timestamp,
    until: Timestamp,
}

/// A client, what was timed of it and the host, and what stands out.
type Shifted<'a> = (IpAddr, &'a Timed, Shift);

/// Round trips inside and before, from which they are known.
const TIMED: u64 = 5;
/// Slots inside, and before.
const INSIDE: usize = 3;
const BEFORE: usize = 2;

impl Detector for LatencyShift {
    const RULE: Rule = Rule {
        name: "latency_shift",
        group: Group::Path,
        summary: "round trips that take longer from some moment on",
        judges: "flows",
        variants: Shape::SHEETS,
        thresholds: Self::THRESHOLDS,
        source: include_str!("latency_shift.rs"),
    };
    const EXPLAINS: &'static [Explains] =
        &[Explains::by(Meet::Host, &["slow_server", "spurious_retransmission", "dns_slow"])];
    type Variant = Shape;
    /// Client and host.
    type Key = ((IpAddr, IpAddr),);
    type Counts = ();
    type Total = Timed;
    type Notes = ();

    fn flow(&self, flow: &Flow, book: &mut Book<Self>) {
        let Some(tcp) = &flow.tcp else { return };
        let handshake = &tcp.handshake;
        let once = handshake.syn_count == 1 && handshake.syn_ack_count == 1;
        let opened = handshake.outcome == HandshakeOutcome::Established && once;
        if !opened && tcp.sides.iter().all(|side| side.trips.is_empty()) {
            return book.not_judged("no round trip that nothing holds back");
        }
        let Some(timed) = book.judged(&(flow.client.address, flow.server.address)) else { return };
        timed.services.add(flow.server);
        let opening = [
            handshake.server_rtt.zip(handshake.syn_acks.first()),
            handshake.client_rtt.zip(handshake.ack.as_ref()),
        ];
        for (direction, opening) in Direction::BOTH.into_iter().zip(opening) {
            // Who acknowledges the data of a side is on the other one.
            let ttl = tcp.side(direction.reverse()).ttl.unwrap_or((u8::MAX, 0));
            let series = &mut timed.series[direction.index()];
            // An ACK that came sooner shows that the path is shorter: something held the handshake back.
            let shortest = tcp.side(direction).min_rtt;
            let held = |least| shortest.is_some_and(|shortest| self.is_longer(least, shortest));
            let counts = |least| opened && least >= Span::ZERO && !held(least);
            if let Some((least, at)) = opening.filter(|(least, _)| counts(*least)) {
                series.add(Slot { least, at: *at, count: 1, opened: 1, ttl });
            }
            for Trip { at, least, count } in &tcp.side(direction).trips {
                let count = u64::from(*count);
                series.add(Slot { least: *least, at: *at, count, opened: 0, ttl });
            }
        }
    }

    fn conclude(&self, book: &mut Book<Self>, context: &Context<'_>) -> Vec<Concluded<Self>> {
        if context.totals.clock_fault().is_some() || !context.keeps_time() {
            let pairs = book.totals().count() as u64;
            book.not_judged_of("paths", "the clock of the capture steps or has no fractions", pairs);
            return Vec::new();
        }
        let mut far: BTreeMap<(IpAddr, usize, Shape), Vec<Shifted<'_>>> = BTreeMap::new();
        for ((client, server), _, timed) in book.totals() {
            for direction in Direction::BOTH {
                let Some(shift) = self.shift(&timed.series[direction.index()]) else { continue };
                let there = if direction == Direction::ToServer { *server } else { *client };
                let key = (there, direction.index(), shift.shape);
                far.entry(key).or_default().push((*client, timed, shift));
            }
        }
        let findings = far.into_iter();
        findings.filter_map(|((there, way, shape), shifts)| self.finding(there, way, shape, shifts)).collect()
    }
}

impl LatencyShift {
    /// The seconds that stand out; `None` when none do.
    fn shift(&self, series: &Series) -> Option<Shift> {
        let slots = &series.slots;
        let all = || slots.iter().map(|(_, slot)| slot.least);
        let (least, most) = all().min().zip(all().max())?;
        if slots.len() < BEFORE + INSIDE || !self.is_longer(most, least) {
            return None;
        }
        // Nothing of a shift is shorter than half way up, and nothing else is longer.
        let half_way = least + Span((most - least).0 / 2);
        let is_long = |(_, slot): &&(i64, Slot)| slot.least > half_way;
        let begin = slots.iter().take_while(|slot| !is_long(slot)).count();
        let end = begin + slots.get(begin..)?.iter().take_while(is_long).count();
        let sum = |slots: &[(i64, Slot)]| {
            let (first, rest) = slots.split_first()?;
            let mut sum = first.1;
            rest.iter().for_each(|(_, slot)| sum.join(*slot));
            Some(sum)
        };
        let (before, inside, after) = (slots.get(..begin)?, slots.get(begin..end)?, slots.get(end..)?);
        let outside_most = before.iter().chain(after).map(|(_, slot)| slot.least).max()?;
        let inside_most = inside.iter().map(|(_, slot)| slot.least).max()?;
        let (outside, shifted) = (sum(before)?, sum(inside)?);
        let known = before.len() >= BEFORE && outside.count >= TIMED;
        let lasts = inside.len() >= INSIDE && shifted.count >= TIMED;
        let even = inside_most <= shifted.least.scaled(3, 2);
        if !known || !lasts || !even || !self.is_longer(shifted.least, outside_most) {
            return None;
        }
        let shape = match after.len() {
            0 => Shape::Step,
            slots if slots >= BEFORE => Shape::Spike,
            _ => return None,
        };
        let (first, last) = inside.first().zip(inside.last())?;
        let from = before.last().map_or(first.1.at.time, |(slot, _)| series.ends(*slot));
        let until = series.ends(last.0).min(last.1.at.time.max(first.1.at.time));
        Some(Shift { shape, inside: shifted, outside, from: from.min(first.1.at.time), until })
    }

    fn is_longer(&self, long: Span, short: Span) -> bool {
        long.0 as f64 >= self.ratio * short.0 as f64 && long >= short + self.added
    }

    fn finding(
        &self,
        there: IpAddr,
        way: usize,
        shape: Shape,
        shifts: Vec<Shifted<'_>>,
    ) -> Option<Concluded<Self>> {
        let from = shifts.iter().map(|(.., shift)| shift.from).min()?;
        let until = shifts.iter().map(|(.., shift)| shift.until).max()?;
        let (mut inside, mut outside) = shifts.first().map(|(.., shift)| (shift.inside, shift.outside))?;
        let mut case: Case<()> = Case::between(Some(from), Some(until));
        let mut evidence = Vec::new();
        for (number, (client, timed, shift)) in shifts.iter().enumerate() {
            case.affected.clients.add(*client);
            timed.services.iter().for_each(|service| case.affected.servers.add(*service));
            if number > 0 {
                inside.join(shift.inside);
                outside.join(shift.outside);
            }
            let shown = |slot: &Slot| {
                Evidence::new(slot.at, Role::Ack, format!("round trip {} at this capture point", slot.least))
            };
            if number < 4 {
                evidence.extend([shown(&shift.outside), shown(&shift.inside)]);
            }
        }
        let added = inside.least - outside.least;
        let end = if way == Direction::ToServer.index() { "host" } else { "client" };
        let title = match shape {
            Shape::Step => {
                format!("Round trips to {there} take {} instead of {}", inside.least, outside.least)
            }
            Shape::Spike => {
                format!(
                    "Round trips to {there} took {} instead of {} for a while",
                    inside.least, outside.least
                )
            }
        };
        let ttl = match (outside.ttl, inside.ttl) {
            (before, after) if after.0 > before.1 || after.1 < before.0 => {
                format!(
                    " The TTL of its packets changed from {} to {}: they take another route.",
                    hops(before),
                    hops(after)
                )
            }
            _ => String::new(),
        };
        let summary = format!(
            "The shortest round trip of each second between capture point and {end} grew by {added}, for {}. \
             {} before and {} since show it, handshakes and full segments, which no application \
             delays.{ttl}",
            case.clients(),
            plural(outside.count, "round trip"),
            inside.count,
        );
        let felt = added >= self.felt && inside.least.0 >= outside.least.0.saturating_mul(3);
        let warns = shape == Shape::Step && felt && inside.opened >= TIMED;
        let subject = Subject { protocol: Some("tcp"), ..Subject::of(&case) };
        let draft = Draft::new(shape, title, summary)
            .severity(if warns { Severity::Warning } else { Severity::Info })
            .confidence(Confidence::Likely)
            .subject(subject)
            .count("round_trips_before", outside.count)
            .count("round_trips_since", inside.count)
            .show(evidence);
        Some((draft, case))
    }
}

/// `58`, `52 to 58`.
fn hops((least, most): (u8, u8)) -> String {
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{fires, in_traffic, one, says_nothing};
    use crate::support::filler;
    use crate::support::scenes::Lab;
    use crate::support::tcp::{ACK, CLIENT, SERVER, SYN};

    const NAME: &str = LatencyShift::RULE.name;

    /// A request each 300 ms over 12 s; `delay` says how far the server is at a millisecond, microseconds.
    fn requests(lab: &mut Lab, client: u8, thinks: u64, delay: impl Fn(u64) -> u64) {
        for number in 0..40 {
            let at = 100 + number * 300;
            let mut talk = lab.talk(client, (9, 8080), at, [30, delay(at)]);
            talk.handshake(&mut lab.capture);
            talk.send(&mut lab.capture, CLIENT, ACK, b"GET / HTTP/1.1\r\n\r\n");
            talk.turn(CLIENT).wait(thinks);
            talk.send(&mut lab.capture, SERVER, ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            talk.turn(SERVER);
            talk.close(&mut lab.capture);
        }
    }

    #[test]
    fn a_step_shows_in_handshakes() {
        let findings = in_traffic(NAME, |lab| {
            requests(lab, 7, 900, |at| if at < 5_000 { 2_500 } else { 40_000 });
        });
        let finding = one(&findings, "step", Severity::Warning);
        assert_eq!((findings.len(), finding.subject.port), (1, Some(8080)));
        assert!(finding.title.starts_with("Round trips to 10.77.2.9 take 80"), "{}", finding.title);
        fires(NAME, &[("latency_shift_step", "step", Severity::Warning)]);
    }

    /// One upload that goes on: only its ACKs tell.
    #[test]
    fn a_step_shows_in_one_long_connection() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 100, [30, 4_000]);
            talk.handshake(&mut lab.capture);
            for number in 0..30 {
                if number == 14 {
                    talk.ends[SERVER].delay = 22_000;
                }
                talk.stream(&mut lab.capture, CLIENT, &filler(number, 2_896));
                talk.wait(400_000);
            }
        });
        one(&findings, "step", Severity::Info);
    }

    #[test]
    fn a_detour_for_a_while_is_a_spike() {
        let findings = in_traffic(NAME, |lab| {
            requests(lab, 7, 900, |at| if (4_000..8_500).contains(&at) { 30_000 } else { 2_500 });
        });
        one(&findings, "spike", Severity::Info);
    }

    #[test]
    fn a_slow_server_is_no_shift_of_the_path() {
        let findings = in_traffic(NAME, |lab| {
            requests(lab, 7, 900, |_| 2_500);
            requests(lab, 8, 240_000, |_| 2_500);
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The queue fills while everybody downloads.
    #[test]
    fn a_queue_that_fills_is_no_step() {
        let findings = in_traffic(NAME, |lab| {
            requests(lab, 7, 900, |at| if at < 4_000 { 2_500 } else { 2_500 + (at - 4_000) * 9 });
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn clients_of_different_distance_are_no_step() {
        let findings = in_traffic(NAME, |lab| {
            for number in 0..40 {
                let (client, far) = if number < 20 { (7, 2_500) } else { (8, 45_000) };
                let mut talk = lab.talk(client, (9, 8080), 100 + number * 300, [far, 30]);
                lab.http(&mut talk, 300);
                talk.close(&mut lab.capture);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Notices that nobody answers: the receiver delays its ACKs by 40 ms.
    #[test]
    fn delayed_acks_are_no_step() {
        let findings = in_traffic(NAME, |lab| {
            let mut talk = lab.talk(7, (9, 8080), 100, [30, 2_000]);
            talk.handshake(&mut lab.capture);
            for number in 0..40 {
                talk.send(&mut lab.capture, CLIENT, ACK, &filler(number, 200));
                talk.turn(CLIENT).wait(if number < 15 { 0 } else { 40_000 });
                talk.ack(&mut lab.capture, SERVER, &[]);
                talk.wait(300_000);
            }
        });
        assert!(findings.is_empty(), "{findings:#?}");
        says_nothing(NAME, &["retransmission_rto", "missing_syn_ack_late", "spurious_retransmission_dsack"]);
    }

    /// A proxy answers the SYN once its server did, and acknowledges the data itself.
    #[test]
    fn a_handshake_that_is_held_back_is_no_step() {
        for (proxy, found) in [(true, 0), (false, 1)] {
            let findings = in_traffic(NAME, |lab| {
                for number in 0..20 {
                    let far = if number < 8 { 200 } else { 450_000 };
                    let mut talk = lab.talk(7, (9, 587), 100 + number * 2_000, [30, far]);
                    talk.send(&mut lab.capture, CLIENT, SYN, b"");
                    talk.turn(CLIENT);
                    talk.send(&mut lab.capture, SERVER, SYN | ACK, b"");
                    talk.turn(SERVER);
                    talk.ack(&mut lab.capture, CLIENT, &[]);
                    if proxy {
                        talk.ends[SERVER].delay = 200;
                    }
                    talk.exchange(&mut lab.capture, &filler(number as u32, 300), 700);
                }
            });
            assert_eq!(findings.len(), found, "{findings:#?}");
        }
    }
}
