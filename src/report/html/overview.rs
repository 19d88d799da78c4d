//! The top of the page: what was looked at, the answer, and what happened when.

use maud::{Markup, html};

use crate::detect::Severity;
use crate::humanize::{grouped, lasting, plural};
use crate::report::html::pictures::Pictures;
use crate::report::html::words::{badge, severity, state};
use crate::report::html::{LINES, Page};
use crate::report::model::Status;
use crate::report::screen::impact;

impl Page<'_> {
    /// What a person calls the capture.
    pub(super) fn name(&self) -> String {
        match self.report.capture.files.as_slice() {
            [file] => file.path.rsplit('/').next().unwrap_or_default().to_owned(),
            files => plural(files.len() as u64, "file"),
        }
    }

    pub(super) fn header(&self) -> Markup {
        let capture = &self.report.capture;
        html! {
            header {
                div.top {
                    h1 { (self.name()) }
                    div.tools #tools {}
                }
                p.facts {
                    (plural(capture.packets, "packet"))
                    @if let (Some(first), Some(last)) = (capture.first_seen, capture.last_seen) {
                        ", " (lasting(capture.duration)) ", from " (self.moments.full(first))
                        " to " (self.moments.full(last))
                    }
                    ", " (format!("{:.1}", (capture.understood * 1000.0).floor() / 10.0)) " % understood, "
                    @match capture.dropped {
                        Some(dropped) => { (grouped(dropped)) " dropped by the capture" }
                        None => { "drops not recorded" }
                    }
                }
                nav aria-label="Sections" {
                    ul {
                        li { a href="#incidents" { "Incidents" } }
                        li { a href="#services" { "Services" } }
                        li { a href="#layers" { "Layers" } }
                        li { a href="#not-judged" { "Not judged" } }
                        li { a href="#manifest" { "Manifest" } }
                    }
                }
            }
        }
    }

    pub(super) fn overview(&self) -> Markup {
        let pictures = Pictures {
            report: self.report,
            course: &self.seen.course,
            budget: &self.budget,
            moments: &self.moments,
        };
        let verdict = &self.report.verdict;
        html! {
            section #answer aria-labelledby="h-answer" {
                h2.unseen #h-answer { "Answer" }
                p.verdict { (self.verdict()) }
                @if !verdict.reasons.is_empty() {
                    ul.reasons { @for reason in verdict.reasons.iter().take(20) { li { (reason) } } }
                    @if verdict.reasons.len() > 20 { p { "and " (verdict.reasons.len() - 20) " more." } }
                }
                (self.layer_strip())
                @if let Some(figure) = pictures.capture() { (figure) }
                (self.announced())
                @if self.report.incidents.len() > 1 { (self.list()) }
            }
        }
    }

    /// What people changed while the capture ran, numbered as in the plot.
    fn announced(&self) -> Markup {
        let first = self.report.capture.first_seen;
        let during: Vec<_> =
            self.report.announced.iter().filter(|one| Some(one.time) >= first).take(LINES).collect();
        html! {
            @if !during.is_empty() {
                details {
                    summary { (plural(during.len() as u64, "change")) " that somebody made meanwhile" }
                    ul {
                        @for (number, one) in (1..).zip(during) {
                            li { "C" (number) " " (self.moments.clock(one.time)) " " (one.words()) }
                        }
                    }
                }
            }
        }
    }

    fn verdict(&self) -> Markup {
        let verdict = &self.report.verdict;
        let (worst, word) = match verdict.status {
            Status::Clean => ("ok", "Clean"),
            Status::Findings => (verdict.worst.map_or("info", severity), "Findings"),
            Status::Degraded => ("warning", "Degraded"),
            Status::Incomplete => ("warning", "Incomplete"),
            Status::NotAssessed => ("warning", "Not assessed"),
        };
        let counts = verdict.incidents;
        let counted = [
            (counts.critical, Severity::Critical),
            (counts.warning, Severity::Warning),
            (counts.info, Severity::Info),
        ];
        html! {
            strong.{ "word " (worst) } { (word) } " "
            @for (count, severity) in counted {
                @if count > 0 { span.count { (grouped(count)) " " (badge(severity)) } " " }
            }
            @if verdict.status == Status::NotAssessed && self.report.capture.packets > 0 {
                span { "Only " (verdict.assessed.words()) " can be judged. " }
            }
            @if verdict.degraded { span { "Limits acted. " } }
            @if verdict.incomplete { span { "The input is incomplete. " } }
            @if self.report.findings.is_empty() { span { "Nothing was found." } }
        }
    }

    /// The layers at one glance.
    fn layer_strip(&self) -> Markup {
        html! {
            ol.strip aria-label="Layers, bottom up" {
                @for layer in &self.report.layers {
                    @let (class, sign, word) = state(layer.state);
                    li.(class) {
                        span.sign aria-hidden="true" { (sign) } " "
                        b { (layer.layer.words()) } " " span { (word) }
                    }
                }
            }
        }
    }

    /// All incidents, a row each.
    fn list(&self) -> Markup {
        html! {
            div.scroll tabindex="0" role="group" aria-label="Incidents at a glance" {
                table {
                    caption { b { "Incidents, the weightiest first" } }
                    thead {
                        tr {
                            th scope="col" { "Severity" } th scope="col" { "Incident" }
                            th scope="col" { "Impact" } th scope="col" { "Where to look" }
                        }
                    }
                    tbody {
                        @for cited in self.report.incidents.iter().take(LINES) {
                            @let incident = &cited.incident;
                            tr {
                                td { (badge(incident.severity)) }
                                td { a href={ "#" (incident.id) } { (incident.id) } " " (incident.title) }
                                td { (impact(&incident.blast_radius, &|time| self.moments.clock(time))) }
                                td { (incident.place.words()) }
                            }
                        }
                    }
                }
            }
        }
    }
}
