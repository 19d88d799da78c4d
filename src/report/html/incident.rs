//! One incident: story, blast radius, contrast, what is cleared, pictures, evidence, and its findings folded.

use maud::{Markup, html};

use crate::correlate::{Link, Tie};
use crate::detect::Members;
use crate::humanize::{grouped, lasting, plural};
use crate::report::html::Page;
use crate::report::html::ladder::ladder;
use crate::report::html::pictures::Pictures;
use crate::report::html::words::{badge, command, copied, first_of, shell};
use crate::report::labels::Labels;
use crate::report::model::{CitedFrame, CitedIncident, RankedFinding};
use crate::report::table::word;
use crate::time::Span;

/// Findings of an incident that are written out; the others are named.
const FINDINGS: usize = 8;
/// Members of a list that are shown.
const MEMBERS: usize = 12;
/// Files of which the filter is shown.
const FILES: usize = 8;

impl Page<'_> {
    pub(super) fn incident(&self, place: usize, cited: &CitedIncident, pictures: &Pictures<'_>) -> Markup {
        let incident = &cited.incident;
        let trace = self.seen.traces.get(place).and_then(Option::as_ref);
        let root = self.report.findings.get(incident.root_place);
        let plots = pictures.incident(cited, trace);
        let id = &incident.id;
        html! {
            article.incident.{ (word(&incident.severity)) } #(id) aria-labelledby={ "h-" (id) } {
                h3 #{ "h-" (id) } {
                    span.id { (id) } " " (badge(incident.severity)) " " span.title { (incident.title) }
                }
                p.story { (incident.story) }
                (self.radius(cited))
                @if let Some(onset) = cited.onset().filter(|_| !cited.changed_before.is_empty()) {
                    h4 { "Changed shortly before" }
                    p.label { "The frames do not show whether one of these is the cause." }
                    ul {
                        @for one in &cited.changed_before {
                            li { (one.before(onset, &|time| self.moments.clock(time))) }
                        }
                    }
                }
                @if !incident.contrast.is_empty() || !incident.cleared.is_empty() {
                    div.two {
                        @if !incident.contrast.is_empty() {
                            div {
                                h4 { "What sets it apart" }
                                ul { @for contrast in &incident.contrast { li { (contrast.text) } } }
                            }
                        }
                        @if !incident.cleared.is_empty() {
                            div {
                                h4 { "Cleared" }
                                ul.cleared {
                                    @for cleared in &incident.cleared {
                                        li { span aria-hidden="true" { "\u{2713} " }
                                            b { (first_of(cleared.what)) } ": " (cleared.text) }
                                    }
                                }
                            }
                        }
                    }
                }
                @for plot in &plots { (plot) }
                @if let (Some(trace), Some(root)) = (trace, root) {
                    (ladder(trace, &root.evidence, &self.moments, &self.report.labels))
                }
                (self.evidence(cited, root, trace.is_some()))
                (self.next(cited, root))
                (self.symptoms(cited))
            }
        }
    }

    fn radius(&self, cited: &CitedIncident) -> Markup {
        let (incident, radius) = (&cited.incident, &cited.incident.blast_radius);
        html! {
            dl.facts {
                @if radius.failed > 0 {
                    div { dt { "Failed" } dd { b { (grouped(radius.failed)) } " of " (grouped(radius.of)) } }
                }
                @if radius.seconds_lost > Span::ZERO {
                    div { dt { "Waited" } dd { b { (lasting(radius.seconds_lost)) } } }
                }
                (members("Clients", &radius.clients, &self.report.labels))
                (members("Services", &radius.services, &self.report.labels))
                (members("Names", &radius.names, &self.report.labels))
                @if let (Some(since), Some(until)) = (radius.since, radius.until) {
                    div {
                        dt { "When" }
                        dd {
                            b { (self.moments.clock(since)) }
                            @if until > since { " to " b { (self.moments.clock(until)) } }
                            @if radius.going_on { ", still going on at the end of the capture" }
                        }
                    }
                }
                div { dt { "Where to look" } dd { (incident.place.words()) } }
                div { dt { "How sure" } dd { (word(&incident.confidence)) } }
                div { dt { "Layer" } dd { (incident.layer.words()) } }
            }
        }
    }

    fn evidence(&self, cited: &CitedIncident, root: Option<&RankedFinding>, shown: bool) -> Markup {
        html! {
            h4 { "Evidence" }
            @if let Some(root) = root.filter(|root| !root.evidence.is_empty()) {
                details open[!shown] {
                    summary { (plural(root.evidence.len() as u64, "cited frame")) " of " (root.id) }
                    (self.frames(&root.evidence))
                }
            }
            @for proof in cited.evidence.iter().take(FILES) {
                p.label { (plural(proof.frames, "frame")) " in " (proof.file) ", as a display filter:" }
                (copied("filter", &proof.filter))
                (copied("command", &format!("tshark -r {} -Y '{}'", shell(&proof.file), proof.filter)))
            }
            @if cited.evidence.len() > FILES {
                p { (plural((cited.evidence.len() - FILES) as u64, "more file")) " in report.json." }
            }
        }
    }

    /// Frames, what each of them is, and the fields that matter.
    pub(super) fn frames(&self, evidence: &[CitedFrame]) -> Markup {
        let one = self.report.capture.files.len() == 1;
        html! {
            div.scroll tabindex="0" role="group" aria-label="Cited frames" {
                table {
                    caption.unseen { "Cited frames" }
                    thead {
                        tr {
                            @if !one { th scope="col" { "File" } }
                            th.number scope="col" { "Frame" } th scope="col" { "Time" }
                            th scope="col" { "What it is" } th scope="col" { "Fields" }
                        }
                    }
                    tbody {
                        @for frame in evidence {
                            tr {
                                @if !one { td { (frame.file) } }
                                td.number { (frame.frame) }
                                td { (self.moments.precise(frame.packet.time)) }
                                td { (first_of(frame.packet.role.name())) }
                                td { code { (frame.packet.fields) } }
                            }
                        }
                    }
                }
            }
        }
    }

    fn next(&self, cited: &CitedIncident, root: Option<&RankedFinding>) -> Markup {
        let incident = &cited.incident;
        let causes = root.map_or(&[][..], |root| root.finding.alternatives.as_slice());
        html! {
            div.two {
                @if !incident.next_steps.is_empty() {
                    div {
                        h4 { "Next steps" }
                        ol {
                            @for next in &incident.next_steps {
                                li {
                                    (next)
                                    @if let Some(command) = command(next) { (copied("command", command)) }
                                }
                            }
                        }
                    }
                }
                @if !causes.is_empty() || !incident.not_known.is_empty() {
                    div {
                        h4 { "Not known" }
                        ul {
                            @for cause in causes { li { "Could be: " (cause) } }
                            @for unknown in &incident.not_known { li { "Not shown: " (unknown) } }
                        }
                    }
                }
            }
        }
    }

    /// The findings of the incident, the root first.
    fn symptoms(&self, cited: &CitedIncident) -> Markup {
        let incident = &cited.incident;
        let ids = std::iter::once(&incident.root).chain(&incident.symptoms);
        let findings: Vec<&RankedFinding> = ids.filter_map(|id| self.finding(id)).collect();
        let link = |ranked: &RankedFinding| incident.links.iter().find(|link| link.finding == ranked.id);
        html! {
            h4 { "Findings" }
            @for ranked in findings.iter().take(FINDINGS) {
                (self.folded(ranked, link(ranked).map_or(ROOT, tie), link(ranked)))
            }
            @if findings.len() > FINDINGS {
                p { "Also " @for ranked in findings.iter().skip(FINDINGS).take(40) {
                        (ranked.id) " " (ranked.finding.rule()) ". "
                    }
                    @if findings.len() > FINDINGS + 40 {
                        "And " (findings.len() - FINDINGS - 40) " more in report.json."
                    }
                }
            }
        }
    }
}

const ROOT: &str = "nearest to the cause";

fn tie(link: &Link) -> &'static str {
    match link.tie {
        Tie::Same => "the same",
        Tie::Symptom => "explained by it",
        Tie::Together => "together with it",
    }
}

fn members<T: std::fmt::Display>(what: &str, members: &Members<T>, labels: &Labels) -> Markup {
    let shown: Vec<String> =
        members.sample.iter().take(MEMBERS).map(|member| labels.said(&member.to_string())).collect();
    let more = members.count.saturating_sub(shown.len() as u64);
    html! {
        @if members.count > 0 {
            div {
                dt { (what) }
                dd {
                    b { @if members.at_least { "at least " } (grouped(members.count)) }
                    @if !shown.is_empty() {
                        ": " @for (place, name) in shown.iter().enumerate() {
                            @if place > 0 { ", " } span.name { (name) }
                        }
                    }
                    @if more > 0 && !shown.is_empty() { " and " (grouped(more)) " more" }
                }
            }
        }
    }
}
