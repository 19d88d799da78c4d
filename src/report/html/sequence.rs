//! Plots of the deciding flow: sequence numbers, sizes and TTL over time.

use std::collections::BTreeSet;

use maud::Markup;

use crate::humanize::{grouped, plural};
use crate::report::html::budget::Budget;
use crate::report::html::canvas::{
    Axes, BAD, Canvas, GOOD, Key, MARKED, OTHER, PLAIN, Shape, figure, seconds, short,
};
use crate::report::html::flow::{Kind, Segment, segments};
use crate::report::html::pictures::ceiling;
use crate::report::trace::{Step, Trace, What};

/// Marks of a kind in a plot. Of more, every second one is drawn, or every third.
const MARKS: usize = 240;

/// At most so many, evenly chosen.
fn thinned<T>(all: Vec<T>) -> impl Iterator<Item = T> {
    let step = all.len().div_ceil(MARKS).max(1);
    all.into_iter().step_by(step)
}

fn says_cut(trace: &Trace) -> String {
    match trace.cut {
        false => String::new(),
        true => format!(" Only the first {} are drawn.", plural(trace.steps.len() as u64, "packet")),
    }
}

/// Sequence numbers over time, of the side that had to repeat more, or that sent more.
pub(super) fn sequence(budget: &Budget, trace: &Trace, evidence: &BTreeSet<u64>) -> Option<Markup> {
    let segments = segments(trace);
    let weight = |to_server: bool| {
        let own = || segments.iter().filter(|segment| segment.step.to_server == to_server);
        let again = own().filter(|segment| matches!(segment.kind, Kind::Again | Kind::BehindHole(_))).count();
        (again, own().map(|segment| u64::from(segment.step.length)).sum::<u64>())
    };
    let to_server = weight(true) >= weight(false);
    let of_data = |segment: &&Segment<'_>| segment.step.to_server == to_server && segment.step.length > 0;
    let data: Vec<&Segment<'_>> = segments.iter().filter(of_data).collect();
    if data.len() < 3 {
        return None;
    }
    let of_peer = |segment: &&Segment<'_>| segment.step.to_server != to_server;
    let acks: Vec<&Segment<'_>> = segments.iter().filter(of_peer).collect();
    let highest = data.iter().map(|segment| segment.end).max()?.max(1) as f64;
    let lowest = data.iter().map(|segment| segment.seq).min()?.max(0) as f64;
    let top = highest + (highest - lowest).max(1.0) * 0.12;
    let end = segments.last().map_or(0.0, |segment| segment.at).max(1e-3) * 1.02;
    let count = |kind: fn(&Kind) -> bool| data.iter().filter(|segment| kind(&segment.kind)).count() as u64;
    let again = count(|kind| *kind == Kind::Again);
    let late = count(|kind| *kind == Kind::Late);
    let holes = count(|kind| matches!(kind, Kind::BehindHole(_)));
    let has_sack = acks.iter().any(|segment| !segment.sack.is_empty());
    let sender = if to_server { "client" } else { "server" };
    let mut says = format!("{} of the {sender}", plural(data.len() as u64, "data segment"));
    for (count, what) in [(again, "sent again"), (late, "late"), (holes, "behind a hole")] {
        if count > 0 {
            says += &format!(", {} {what}", grouped(count));
        }
    }
    says += &format!(". Numbers reach {}.{}", grouped(highest as u64), says_cut(trace));
    let windows: Vec<(f64, f64)> = acks
        .iter()
        .filter(|segment| !segment.tcp.flags.syn())
        .filter_map(|segment| Some((segment.at, segment.window_end? as f64)))
        .filter(|(_, edge)| *edge > 0.0)
        .collect();
    let has_window = windows.iter().any(|(_, edge)| *edge <= top);
    let mut key: Vec<Key> = vec![(Shape::Dot, PLAIN, "data")];
    key.extend((again > 0).then_some((Shape::Triangle, BAD, "sent again")));
    key.extend((late > 0).then_some((Shape::Dot, OTHER, "late")));
    key.extend((holes > 0).then_some((Shape::Line, MARKED, "hole")));
    key.push((Shape::Line, GOOD, "acknowledged"));
    key.extend(has_sack.then_some((Shape::Line, OTHER, "selectively acknowledged")));
    key.extend(has_window.then_some((Shape::Line, PLAIN, "end of the receive window")));
    let marked = |step: &Step| evidence.contains(&step.packet);
    key.extend(data.iter().any(|segment| marked(segment.step)).then_some((Shape::Ring, PLAIN, "evidence")));
    let axes = Axes {
        height: 320,
        x: (0.0, end),
        y: ((lowest - (highest - lowest) * 0.04).max(0.0), top),
        x_labels: 8,
        y_labels: 6,
        x_name: "seconds since the first packet",
        y_name: "sequence number",
        x_label: &seconds,
        y_label: &short,
    };
    figure(budget, "Sequence numbers over time.", &says, &key, &axes, |canvas| {
        if has_window {
            canvas.line(&stairs(&windows, end), PLAIN, 1);
        }
        let mut known = 0.0;
        let acked: Vec<(f64, f64)> = acks
            .iter()
            .filter_map(|segment| {
                known = f64::max(known, segment.ack.filter(|_| !segment.tcp.flags.rst())? as f64);
                Some((segment.at, known))
            })
            .collect();
        canvas.line(&stairs(&acked, end), GOOD, 2);
        for segment in thinned(acks.iter().filter(|segment| !segment.sack.is_empty()).collect()) {
            for (from, to) in segment.sack.iter().filter(|(from, to)| from < to) {
                canvas.line(&[(segment.at, *from as f64), (segment.at, *to as f64)], OTHER, 3);
            }
        }
        let kinds: [(IsKind, Shape, _); 3] = [
            (|kind| matches!(kind, Kind::New | Kind::BehindHole(_)), Shape::Dot, PLAIN),
            (|kind| *kind == Kind::Late, Shape::Dot, OTHER),
            (|kind| *kind == Kind::Again, Shape::Triangle, BAD),
        ];
        for (wanted, shape, color) in kinds {
            let some: Vec<&&Segment<'_>> = data.iter().filter(|segment| wanted(&segment.kind)).collect();
            for segment in thinned(some) {
                canvas.mark(shape, (segment.at, segment.end as f64), color);
                if let Kind::BehindHole(from) = segment.kind {
                    canvas.line(&[(segment.at, from as f64), (segment.at, segment.seq as f64)], MARKED, 3);
                }
            }
        }
        for segment in data.iter().filter(|segment| marked(segment.step)) {
            canvas.mark(Shape::Ring, (segment.at, segment.end as f64), PLAIN);
        }
    })
}

/// Whether a segment is of the kind that a mark stands for.
type IsKind = fn(&Kind) -> bool;

/// A line that stays where it is until the next point.
fn stairs(points: &[(f64, f64)], end: f64) -> Vec<(f64, f64)> {
    let mut line: Vec<(f64, f64)> = Vec::new();
    let mut level: Option<f64> = None;
    for (at, value) in points {
        if level == Some(*value) {
            continue;
        }
        line.extend(level.map(|level| (*at, level)));
        line.push((*at, *value));
        level = Some(*value);
        // More steps than there are pixels show nothing.
        if line.len() > 4 * MARKS {
            break;
        }
    }
    line.extend(level.map(|level| (end, level)));
    line
}

/// Sizes of datagrams over time: which sizes get through.
pub(super) fn sizes(budget: &Budget, trace: &Trace, evidence: &BTreeSet<u64>) -> Option<Markup> {
    let start = trace.steps.first()?.time;
    let at = |step: &Step| (step.time - start).as_secs_f64().max(0.0);
    let segments = segments(trace);
    let again: BTreeSet<u64> = segments
        .iter()
        .filter(|segment| segment.kind == Kind::Again)
        .map(|segment| segment.step.packet)
        .collect();
    let own: Vec<&Step> = trace.steps.iter().filter(|step| !matches!(step.what, What::Icmp(_))).collect();
    let largest = own.iter().map(|step| step.ip_length).max()?;
    if own.len() < 3 {
        return None;
    }
    let repeated: BTreeSet<u32> =
        own.iter().filter(|step| again.contains(&step.packet)).map(|step| step.ip_length).collect();
    let mut says = format!("{}, the largest has {largest} bytes.", plural(own.len() as u64, "datagram"));
    if let (Some(low), Some(high)) = (repeated.first(), repeated.last()) {
        says += &match low == high {
            true => format!(" Those sent again have {low} bytes."),
            false => format!(" Those sent again have {low} to {high} bytes."),
        };
    }
    says += &says_cut(trace);
    let errors: Vec<&Step> = trace
        .steps
        .iter()
        .filter(|step| matches!(&step.what, What::Icmp(of) if of.0.quoted.is_some()))
        .collect();
    let mut key: Vec<Key> =
        vec![(Shape::Dot, PLAIN, "from the client"), (Shape::Dot, GOOD, "from the server")];
    key.extend((!repeated.is_empty()).then_some((Shape::Triangle, BAD, "sent again")));
    key.extend((!errors.is_empty()).then_some((Shape::Cross, OTHER, "ICMP error")));
    key.push((Shape::Ring, PLAIN, "evidence"));
    let axes = Axes {
        height: 240,
        x: (0.0, own.last().map_or(0.0, |step| at(step)).max(1e-3) * 1.02),
        y: (0.0, ceiling(f64::from(largest))),
        x_labels: 8,
        y_labels: 5,
        x_name: "seconds since the first packet",
        y_name: "IP length, bytes",
        x_label: &seconds,
        y_label: &short,
    };
    figure(budget, "Sizes of datagrams over time.", &says, &key, &axes, |canvas| {
        for (to_server, color) in [(true, PLAIN), (false, GOOD)] {
            let some = own.iter().filter(|step| step.to_server == to_server && !again.contains(&step.packet));
            for step in thinned(some.collect()) {
                canvas.mark(Shape::Dot, (at(step), f64::from(step.ip_length)), color);
            }
        }
        for step in thinned(own.iter().filter(|step| again.contains(&step.packet)).collect()) {
            canvas.mark(Shape::Triangle, (at(step), f64::from(step.ip_length)), BAD);
        }
        for step in thinned(errors) {
            canvas.mark(Shape::Cross, (at(step), f64::from(step.ip_length)), OTHER);
        }
        rings(canvas, &own, evidence, |step| (at(step), f64::from(step.ip_length)));
    })
}

/// TTL by direction over time: which packets took another way, or were sent by somebody else.
pub(super) fn ttl(budget: &Budget, trace: &Trace, evidence: &BTreeSet<u64>) -> Option<Markup> {
    let start = trace.steps.first()?.time;
    let at = |step: &Step| (step.time - start).as_secs_f64().max(0.0);
    let own: Vec<&Step> = trace.steps.iter().filter(|step| !matches!(step.what, What::Icmp(_))).collect();
    if own.len() < 3 {
        return None;
    }
    let range = |to_server: bool| {
        let values = || own.iter().filter(|step| step.to_server == to_server).map(|step| step.ttl);
        Some((values().min()?, values().max()?))
    };
    let words = |who: &str, range: Option<(u8, u8)>| match range {
        None => format!("nothing seen from the {who}"),
        Some((low, high)) if low == high => format!("TTL {low} from the {who}"),
        Some((low, high)) => format!("TTL {low} to {high} from the {who}"),
    };
    let says =
        format!("{}, {}.{}", words("client", range(true)), words("server", range(false)), says_cut(trace));
    let top = own.iter().map(|step| step.ttl).max()?;
    let reset = |step: &Step| matches!(&step.what, What::Tcp(tcp) if tcp.flags.rst());
    let mut key: Vec<Key> =
        vec![(Shape::Dot, PLAIN, "from the client"), (Shape::Triangle, GOOD, "from the server")];
    key.extend(own.iter().any(|step| reset(step)).then_some((Shape::Cross, BAD, "RST")));
    key.push((Shape::Ring, PLAIN, "evidence"));
    let axes = Axes {
        height: 220,
        x: (0.0, own.last().map_or(0.0, |step| at(step)).max(1e-3) * 1.02),
        y: (0.0, f64::from(top) * 1.1 + 2.0),
        x_labels: 8,
        y_labels: 5,
        x_name: "seconds since the first packet",
        y_name: "TTL",
        x_label: &seconds,
        y_label: &short,
    };
    figure(budget, "TTL by direction over time.", &says, &key, &axes, |canvas| {
        for (to_server, shape, color) in [(true, Shape::Dot, PLAIN), (false, Shape::Triangle, GOOD)] {
            let some = own.iter().filter(|step| step.to_server == to_server && !reset(step)).collect();
            for step in thinned::<&&Step>(some) {
                canvas.mark(shape, (at(step), f64::from(step.ttl)), color);
            }
        }
        for step in thinned(own.iter().filter(|step| reset(step)).collect()) {
            canvas.mark(Shape::Cross, (at(step), f64::from(step.ttl)), BAD);
        }
        rings(canvas, &own, evidence, |step| (at(step), f64::from(step.ttl)));
    })
}

fn rings(
    canvas: &mut Canvas<'_, '_, '_>,
    own: &[&Step],
    evidence: &BTreeSet<u64>,
    place: impl Fn(&Step) -> (f64, f64),
) {
    for step in own.iter().filter(|step| evidence.contains(&step.packet)) {
        canvas.mark(Shape::Ring, place(step), PLAIN);
    }
}
