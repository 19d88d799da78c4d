//! The sequence numbers of a traced flow, unwrapped, and what each segment was.

use std::collections::BTreeMap;

use crate::dissect::Tcp;
use crate::report::trace::{Step, Trace, What};
use crate::time::Span;

/// A TCP segment with relative numbers, as Wireshark counts them.
#[derive(Clone, Debug)]
pub(super) struct Segment<'t> {
    pub(super) step: &'t Step,
    pub(super) tcp: &'t Tcp,
    /// Seconds since the first packet of the trace.
    pub(super) at: f64,
    /// First sequence number.
    pub(super) seq: i64,
    /// Behind the last one.
    pub(super) end: i64,
    /// Acknowledgement number; `None` without the flag.
    pub(super) ack: Option<i64>,
    /// SACK blocks.
    pub(super) sack: Vec<(i64, i64)>,
    /// Highest number acceptable to its sender; `None` when the scale is not known.
    pub(super) window_end: Option<i64>,
    pub(super) kind: Kind,
}

/// What a segment with data is to those of its sender before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has no data.
    Empty,
    /// It goes on where the last one ended.
    New,
    /// Nothing of it is new.
    Again,
    /// The same packet, seen a second time by the capture.
    Copy,
    /// The last byte again: a probe of an idle connection or of a closed window.
    Probe,
    /// It begins behind a hole that ends here.
    BehindHole(i64),
    /// It is below the highest number, and was not seen before.
    Late,
}

/// One side's numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    base: Option<u32>,
    last: i64,
    highest: i64,
    scale: Option<u8>,
}

impl Side {
    fn relative(&mut self, seq: u32) -> i64 {
        let base = *self.base.get_or_insert(seq.wrapping_sub(1));
        let near = seq.wrapping_sub(base);
        self.last += i64::from(near.wrapping_sub(self.last as u32) as i32);
        self.last
    }
}

/// The segments of a trace, in its order.
pub(super) fn segments(trace: &Trace) -> Vec<Segment<'_>> {
    let mut sides = [Side::default(); 2];
    let mut seen: [BTreeMap<i64, i64>; 2] = Default::default();
    let mut sent: [BTreeMap<(i64, i64), &Step>; 2] = Default::default();
    let start = trace.steps.first().map(|step| step.time);
    let both_scale = [true, false].map(|to_server| {
        let syn = |step: &&Step| matches!(&step.what, What::Tcp(tcp) if tcp.flags.syn());
        let opening = trace.steps.iter().filter(|step| step.to_server == to_server).find(syn);
        opening.and_then(|step| match &step.what {
            What::Tcp(tcp) => Some(tcp.options.window_scale),
            _ => None,
        })
    });
    // Both sides have to offer it (RFC 7323 section 2.2). Without handshake it is not known.
    if let [Some(one), Some(other)] = both_scale {
        let scales = one.zip(other).unwrap_or((0, 0));
        (sides[0].scale, sides[1].scale) = (Some(scales.0.min(14)), Some(scales.1.min(14)));
    }
    let mut segments = Vec::with_capacity(trace.steps.len());
    for step in &trace.steps {
        let What::Tcp(tcp) = &step.what else { continue };
        let (own, peer) = if step.to_server { (0, 1) } else { (1, 0) };
        if tcp.flags.syn() && sides[own].base.is_none() {
            sides[own].base = Some(tcp.seq.0);
        }
        let forged = tcp.flags.rst() && tcp.seq.0 == 0;
        let seq = if forged { 0 } else { sides[own].relative(tcp.seq.0) };
        let begin = seq + i64::from(tcp.flags.syn());
        let end = begin + i64::from(step.length);
        let side = &mut sides[own];
        let kind = match step.length {
            0 => Kind::Empty,
            _ if side.highest == 0 || begin == side.highest => Kind::New,
            _ if begin > side.highest => Kind::BehindHole(side.highest),
            _ if end > side.highest => Kind::New,
            1 if end == side.highest => Kind::Probe,
            _ if sent[own].get(&(begin, end)).is_some_and(|first| is_copy(first, step)) => Kind::Copy,
            _ if covers(&seen[own], begin, end) => Kind::Again,
            _ => Kind::Late,
        };
        if step.length > 0 {
            join(&mut seen[own], begin, end);
            sent[own].insert((begin, end), step);
        }
        side.highest = side.highest.max(end);
        let scale = side.scale;
        let acks = tcp.flags.ack().then(|| {
            let other = &mut sides[peer];
            let ack = other.base.map_or(1, |base| {
                let near = tcp.ack.0.wrapping_sub(base);
                other.last + i64::from(near.wrapping_sub(other.last as u32) as i32)
            });
            other.base.get_or_insert(tcp.ack.0.wrapping_sub(1));
            ack
        });
        let base = sides[peer].base.unwrap_or(0);
        let place = |seq: u32| {
            let (near, last) = (seq.wrapping_sub(base), sides[peer].last);
            last + i64::from(near.wrapping_sub(last as u32) as i32)
        };
        let sack = tcp.options.sack_blocks().iter().map(|(from, to)| (place(from.0), place(to.0))).collect();
        let window = scale.map(|scale| {
            let scale = if tcp.flags.syn() { 0 } else { scale };
            i64::from(tcp.window) << scale
        });
        segments.push(Segment {
            step,
            tcp,
            at: start.map_or(0.0, |start| (step.time - start).as_secs_f64()),
            seq,
            end,
            ack: acks,
            sack,
            window_end: acks.zip(window).map(|(ack, window)| ack + window),
            kind,
        });
    }
    segments
}

/// A sender numbers the datagrams that it sends again anew. One that does not number them needs longer for a
/// second than the capture for seeing the first twice.
fn is_copy(first: &Step, second: &Step) -> bool {
    match first.id {
        0 => second.id == 0 && second.time - first.time < Span::micros(200),
        id => id == second.id,
    }
}

/// Every number from `begin` to `end` is in one of the ranges.
fn covers(ranges: &BTreeMap<i64, i64>, begin: i64, end: i64) -> bool {
    ranges.range(..=begin).next_back().is_some_and(|(_, known)| *known >= end)
}

/// Adds a range to ranges that do not touch.
fn join(ranges: &mut BTreeMap<i64, i64>, mut begin: i64, mut end: i64) {
    while let Some((from, to)) = ranges.range(..=end).next_back().map(|(from, to)| (*from, *to)) {
        if to < begin {
            break;
        }
        ranges.remove(&from);
        (begin, end) = (begin.min(from), end.max(to));
    }
    ranges.insert(begin, end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::{Endpoint, Seq, TcpFlags};
    use crate::time::Timestamp;

    fn step(packet: u64, to_server: bool, flags: u8, seq: u32, ack: u32, length: u32) -> Step {
        let tcp = Tcp { seq: Seq(seq), ack: Seq(ack), flags: TcpFlags(flags), ..Tcp::default() };
        let what = What::Tcp(Box::new(tcp));
        let time = Timestamp(packet as i64 * 1_000_000);
        Step {
            packet,
            frame: packet,
            time,
            to_server,
            ttl: 64,
            id: packet as u16,
            ip_length: length + 40,
            length,
            what,
        }
    }

    #[test]
    fn segments_are_told_apart_across_the_end_of_the_numbers() {
        let end = |port| Endpoint { address: [10, 0, 0, 1].into(), port };
        let base = u32::MAX - 100;
        let steps = vec![
            step(1, true, 0x02, base, 0, 0),
            step(2, false, 0x12, 500, base.wrapping_add(1), 0),
            step(3, true, 0x10, base.wrapping_add(1), 501, 200),
            step(4, true, 0x10, base.wrapping_add(401), 501, 200),
            step(5, true, 0x10, base.wrapping_add(1), 501, 200),
            step(6, true, 0x10, base.wrapping_add(201), 501, 200),
            step(7, false, 0x10, 501, base.wrapping_add(601), 0),
        ];
        let trace = Trace { client: end(40_000), server: end(443), steps, cut: false };
        let segments = segments(&trace);
        let kinds: Vec<Kind> = segments.iter().map(|segment| segment.kind).collect();
        use Kind::*;
        assert_eq!(kinds, [Empty, Empty, New, BehindHole(201), Again, Late, Empty]);
        assert_eq!((segments[3].seq, segments[3].end, segments[6].ack), (401, 601, Some(601)));
        assert_eq!(segments[1].ack, Some(1));
    }
}
