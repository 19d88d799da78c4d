//! The ladder: the packets of the deciding flow between its two hosts, those of the evidence marked.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::dissect::{Endpoint, Icmp};
use crate::humanize::plural;
use crate::report::html::flow::{Kind, Segment, segments};
use crate::report::html::words::{Moments, first_of};
use crate::report::labels::Labels;
use crate::report::model::CitedFrame;
use crate::report::trace::{Step, Trace, What, flags};
use crate::time::Span;

/// Rungs shown.
const RUNGS: usize = 48;

/// The ladder of a flow.
pub(super) fn ladder(trace: &Trace, cited: &[CitedFrame], moments: &Moments<'_>, labels: &Labels) -> Markup {
    let roles: BTreeMap<u64, &CitedFrame> = cited.iter().map(|frame| (frame.packet.packet, frame)).collect();
    let numbers: BTreeMap<u64, Segment<'_>> =
        segments(trace).into_iter().map(|segment| (segment.step.packet, segment)).collect();
    let chosen = chosen(trace, &roles);
    let mut rows: Vec<Markup> = Vec::new();
    let mut before: Option<(usize, &Step)> = None;
    for place in &chosen {
        let Some(step) = trace.steps.get(*place) else { continue };
        let skipped = before.map_or(0, |(last, _)| place - last - 1);
        if skipped > 0 {
            rows.push(html! {
                tr.skip { td colspan="5" { (plural(skipped as u64, "packet")) " not shown" } }
            });
        }
        let since = before.map(|(_, last)| step.time - last.time);
        before = Some((*place, step));
        rows.push(rung(step, since, numbers.get(&step.packet), roles.get(&step.packet), moments));
    }
    let rest = before.map_or(0, |(last, _)| trace.steps.len() - last - 1) as u64;
    let (client, server) = (labels.said(&end(trace.client)), labels.said(&end(trace.server)));
    html! {
        div.scroll tabindex="0" role="group" aria-label="Ladder of the deciding flow" {
            table.ladder {
                caption {
                    b { "Packets of the deciding flow" } " "
                    "Between client " (client) " and server " (server) ". Bold rows are cited as evidence."
                }
                thead {
                    tr {
                        th scope="col" { "Time" }
                        th.number scope="col" { "After" }
                        th.number scope="col" { "Frame" }
                        th.hosts scope="col" {
                            span { (client) } span { (server) }
                        }
                        th scope="col" { "What it is" }
                    }
                }
                tbody {
                    @for row in rows { (row) }
                    @if trace.cut {
                        tr.skip { td colspan="5" {
                            "Only the first " (plural(trace.steps.len() as u64, "packet"))
                            " of the conversation were looked at" } }
                    } @else if rest > 0 {
                        tr.skip { td colspan="5" { (plural(rest, "further packet")) " not shown" } }
                    }
                }
            }
        }
    }
}

/// An end of the conversation; one without ports is its address.
fn end(end: Endpoint) -> String {
    if end.port == 0 { end.address.to_string() } else { end.to_string() }
}

/// The places of the steps that are shown: how it began, and what is cited with its neighbours.
fn chosen(trace: &Trace, roles: &BTreeMap<u64, &CitedFrame>) -> BTreeSet<usize> {
    let count = trace.steps.len();
    let is_cited =
        |place: &usize| trace.steps.get(*place).is_some_and(|step| roles.contains_key(&step.packet));
    let cited: Vec<usize> = (0..count).filter(is_cited).collect();
    if count <= RUNGS {
        return (0..count).collect();
    }
    let mut chosen: BTreeSet<usize> = (0..4).collect();
    for around in 0..6 {
        for place in &cited {
            for near in [place.saturating_sub(around), place + around] {
                if chosen.len() < RUNGS && near < count {
                    chosen.insert(near);
                }
            }
        }
    }
    chosen
}

fn rung(
    step: &Step,
    since: Option<Span>,
    segment: Option<&Segment<'_>>,
    cited: Option<&&CitedFrame>,
    moments: &Moments<'_>,
) -> Markup {
    let way = if step.to_server { "right" } else { "left" };
    let spoken = if step.to_server { "client to server: " } else { "server to client: " };
    // A wait that a person would notice.
    let long = since.is_some_and(|since| since >= Span::millis(200));
    let again = segment.is_some_and(|segment| segment.kind == Kind::Again);
    let reset = segment.is_some_and(|segment| segment.tcp.flags.rst());
    html! {
        tr.cited[cited.is_some()] {
            td { (moments.precise(step.time)) }
            td.number.long[long] { (since.map(|since| format!("+{since}")).unwrap_or_default()) }
            td.number { (step.frame) }
            td.lane {
                div.{ "arrow " (way) }.again[again].reset[reset] {
                    span.unseen { (spoken) }
                    span { (label(step, segment)) }
                }
            }
            td {
                @if let Some(frame) = cited {
                    strong { (first_of(frame.packet.role.name())) } " " (frame.packet.fields)
                } @else if again { "sent again" }
                @else if segment.is_some_and(|segment| segment.kind == Kind::Copy) { "seen twice" }
                @else if segment.is_some_and(|segment| segment.kind == Kind::Probe) { "probe" }
                @else if let Some(Kind::BehindHole(from)) = segment.map(|segment| segment.kind) {
                    "from " (from) " on is missing before it"
                }
            }
        }
    }
}

/// What stands on the arrow.
fn label(step: &Step, segment: Option<&Segment<'_>>) -> String {
    match (&step.what, segment) {
        (What::Tcp(tcp), Some(segment)) => {
            let mut text = flags(tcp.flags);
            text += &format!("  seq {}", segment.seq);
            if let Some(ack) = segment.ack {
                text += &format!("  ack {ack}");
            }
            if step.length > 0 {
                text += &format!("  len {}", step.length);
            }
            if tcp.window == 0 && !tcp.flags.rst() {
                text += "  win 0";
            }
            if let Some((from, to)) = segment.sack.first() {
                text += &format!("  SACK {from}-{to}");
            }
            if let Some(mss) = tcp.options.mss {
                text += &format!("  MSS {mss}");
            }
            text
        }
        (What::Icmp(of), _) => {
            let (icmp, reporter) = of.as_ref();
            match icmp.quoted {
                Some(_) => format!("ICMP {} from {reporter}", icmp_name(icmp)),
                None => format!("ICMP {}", icmp_name(icmp)),
            }
        }
        (What::Arp(true), _) => "address lookup: reply".to_owned(),
        (What::Arp(false), _) => "address lookup: request".to_owned(),
        (What::Udp, _) => format!("UDP  len {}", step.length),
        _ => format!("IP  len {}", step.ip_length),
    }
}

/// The message's name in RFC 792, RFC 1191 and RFC 4443.
fn icmp_name(icmp: &Icmp) -> String {
    let name = match (icmp.v6, icmp.kind, icmp.code) {
        (false, 0, _) | (true, 129, _) => "echo reply",
        (false, 8, _) | (true, 128, _) => "echo request",
        (false, 3, 4) => "fragmentation needed",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 1) | (true, 1, 3) => "host unreachable",
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => "administratively prohibited",
        (false, 3, _) | (true, 1, _) => "destination unreachable",
        (true, 2, _) => "packet too big",
        (false, 11, _) | (true, 3, _) => "time exceeded",
        (false, 5, _) | (true, 137, _) => "redirect",
        _ => return format!("type {} code {}", icmp.kind, icmp.code),
    };
    match (icmp.mtu, icmp.echo) {
        (Some(mtu), _) => format!("{name}, MTU {mtu}"),
        (_, Some((_, number))) => format!("{name} {number}"),
        _ => name.to_owned(),
    }
}
