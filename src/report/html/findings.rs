//! Findings, folded.

use maud::{Markup, html};

use crate::correlate::Link;
use crate::humanize::{grouped, plural};
use crate::report::html::words::{badge, copied, first_of};
use crate::report::html::{LINES, Page};
use crate::report::model::RankedFinding;
use crate::report::table::word;

/// Findings in no incident that are written out.
const WRITTEN: usize = 20;

impl Page<'_> {
    /// A finding whose details are folded; `why` it stands here.
    pub(super) fn folded(&self, ranked: &RankedFinding, why: &str, link: Option<&Link>) -> Markup {
        let finding = &ranked.finding;
        let list = |label: &str, texts: &[&str]| {
            html! {
                @if !texts.is_empty() {
                    div { dt { (label) } dd { ul { @for text in texts { li { (text) } } } } }
                }
            }
        };
        html! {
            details.finding #(ranked.id) {
                summary {
                    span.id { (ranked.id) } " " (badge(finding.severity)) " " (finding.title)
                    @if !why.is_empty() { " " span.why { (why) } }
                }
                p { (finding.summary) }
                dl.details {
                    @if let Some(link) = link { div { dt { "Belongs here" } dd { (link.why) } } }
                    @if let (Some(first), Some(last)) = (finding.first_seen, finding.last_seen) {
                        div {
                            dt { "Seen" }
                            dd { (self.moments.precise(first)) " to " (self.moments.precise(last)) }
                        }
                    }
                    div {
                        dt { "How sure" }
                        dd {
                            (word(&finding.confidence))
                            @for gate in &finding.gates {
                                ", lowered by " (gate.name) ": " (gate.prevents)
                                "; to lift: " (gate.recapture)
                            }
                        }
                    }
                    @if !finding.counts.is_empty() {
                        div {
                            dt { "Counted" }
                            dd {
                                @for (place, count) in finding.counts.iter().enumerate() {
                                    @if place > 0 { ", " }
                                    (count.name.replace('_', " ")) " " (grouped(count.value))
                                }
                            }
                        }
                    }
                    (list("Could be", &finding.alternatives))
                    (list("Next", &finding.next_steps))
                    (list("Not claimed", &finding.not_claimed))
                    div {
                        dt { "Rule" }
                        dd { code { "pcapsy explain " (finding.detector) } " (" (finding.rule()) ")" }
                    }
                }
                @for filter in ranked.wireshark_filter.iter().take(2) {
                    p.label { "Its frames in " (filter.file) ":" }
                    (copied("filter", &filter.filter))
                }
            }
        }
    }

    /// Findings in no incident.
    pub(super) fn other_findings(&self) -> Markup {
        let other: Vec<&RankedFinding> = self.report.other.iter().filter_map(|id| self.finding(id)).collect();
        let rest = other.len().saturating_sub(WRITTEN + LINES);
        html! {
            @if !other.is_empty() {
                section #findings aria-labelledby="h-findings" {
                    h2 #h-findings { "Findings in no incident" }
                    @for ranked in other.iter().take(WRITTEN) { (self.folded(ranked, "", None)) }
                    @if other.len() > WRITTEN {
                        ul.lines {
                            @for ranked in other.iter().skip(WRITTEN).take(LINES) {
                                li {
                                    (ranked.id) " " (badge(ranked.finding.severity)) " "
                                    (ranked.finding.title)
                                }
                            }
                        }
                    }
                    @if rest > 0 { p { (plural(rest as u64, "more finding")) " in report.json." } }
                }
            }
        }
    }

    /// What could not be judged, and what was looked for and not found.
    pub(super) fn not_judged(&self) -> Markup {
        let report = self.report;
        let rest = &report.verdict.assessed.rest;
        html! {
            section #not-judged aria-labelledby="h-not-judged" {
                h2 #h-not-judged { "What could not be judged" }
                @if !rest.is_empty() {
                    p { "No detector reads "
                        @for (place, rest) in rest.iter().enumerate() {
                            @if place > 0 { ", " } (rest.what) " (" (plural(rest.packets, "packet")) ")"
                        } "."
                    }
                }
                @if report.not_assessed.is_empty() {
                    p { "Every detector could judge all that it looks at." }
                } @else {
                    div.scroll tabindex="0" role="group" aria-label="What could not be judged" {
                        table.sortable {
                            caption { "By detector. What is not judged is neither well nor ill." }
                            thead { tr {
                                th scope="col" { "Detector" } th.number scope="col" { "How many" }
                                th scope="col" { "What" } th scope="col" { "Why" }
                            } }
                            tbody {
                                @for missing in report.not_assessed.iter().take(LINES) {
                                    tr {
                                        th scope="row" { (missing.detector) }
                                        td.number data-value=(missing.count) { (grouped(missing.count)) }
                                        td { (missing.unit) }
                                        td { (missing.reason) }
                                    }
                                }
                            }
                        }
                    }
                }
                @if !report.ruled_out.is_empty() {
                    details {
                        summary {
                            "Looked for and not found: " (plural(report.ruled_out.len() as u64, "detector"))
                        }
                        ul.lines {
                            @for ruled_out in &report.ruled_out {
                                li {
                                    b { (first_of(ruled_out.detector)) } ": 0 of "
                                    (grouped(ruled_out.assessed)) " "
                                    (ruled_out.unit) ", " (ruled_out.summary)
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
