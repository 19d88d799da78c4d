//! [`Report`], [`Seen`] -> `report.html`: one page that asks for nothing, with the plots a person looks at
//!
//! The page is whole without scripts. Its policy allows the one style sheet and the one script in it, by
//! their hashes, and nothing from anywhere. Text is escaped by the type of the template ([`maud::Markup`]);
//! what is invisible or turns text around is spelled out when the page is complete. Same input, configuration
//! and time zone give the same bytes.

mod budget;
mod canvas;
mod findings;
mod flow;
mod incident;
mod ladder;
mod overview;
mod pictures;
mod sequence;
mod tables;
pub(crate) mod words;

use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::capture::FileReport;
use crate::humanize::plural;
use crate::report::course::Course;
use crate::report::escape;
use crate::report::html::budget::Budget;
use crate::report::html::pictures::Pictures;
use crate::report::html::words::Moments;
use crate::report::model::{RankedFinding, Report};
use crate::report::rca::Zone;
use crate::report::trace::Trace;

/// The dark colours stand for those who asked their system for them, and for those who asked the page. They
/// come first: they are more specific than the light ones, and what is printed comes after them.
const STYLE: &str = concat!(
    "@media (prefers-color-scheme: dark) { :root:not([data-theme=\"light\"]) {\n",
    include_str!("dark.css"),
    "} }\n:root[data-theme=\"dark\"] {\n",
    include_str!("dark.css"),
    "}\n",
    include_str!("style.css"),
);
const SCRIPT: &str = include_str!("script.js");

/// What the pictures are drawn of, beside the report.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How attempts went over time.
    pub course: Course,
    /// The deciding conversations of the first incidents, in their order.
    pub traces: Vec<Option<Trace>>,
    /// Why there are none: the capture could not be read a second time.
    pub why: Option<String>,
}

impl Seen {
    /// Incidents of which the deciding conversation is drawn.
    pub const INCIDENTS: usize = 8;
}

/// Incidents written out; of the others there is a line each.
const INCIDENTS: usize = 20;
/// Lines about incidents and findings that are not written out.
const LINES: usize = 200;

/// The page.
struct Page<'p> {
    report: &'p Report,
    inputs: &'p [FileReport],
    seen: &'p Seen,
    moments: Moments<'p>,
    budget: Budget,
}

/// The page on `report`. `inputs` are the files that were analysed, in that order; its times are of `zone`.
pub fn document(report: &Report, inputs: &[FileReport], zone: &Zone, seen: &Seen) -> String {
    let moments = Moments { zone };
    let page = Page { report, inputs, seen, moments, budget: Budget::default() };
    sheet(&page.name(), ("incidents", "incidents"), &page.markup())
}

/// Hostile characters spelled out as on a terminal. Nothing of the page's own has one but the ends of lines.
fn spelled_out(page: String) -> String {
    if !page.contains(|letter| letter != '\n' && escape::is_hostile(letter)) {
        return page;
    }
    let lines: Vec<_> = page.split('\n').map(escape::terminal).collect();
    lines.join("\n")
}

/// How a policy names what it allows (CSP level 3, section 8.2).
fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(&Sha256::digest(text.as_bytes())))
}

/// Nothing from anywhere; the style and the script of this page.
fn policy() -> String {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!("default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'")
}

/// A page of this program: its title, what a link for the keyboard leads to, and all between head and foot.
/// The same for everything that is written: its policy, colours and script.
pub(crate) fn sheet(title: &str, first: (&str, &str), inside: &Markup) -> String {
    let (tool, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ (tool) " " (version) };
                title { (title) " \u{2013} " (tool) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href={ "#" (first.0) } { "To the " (first.1) }
                (inside)
                footer {
                    p { (tool) " " (version) ", offline: this page loads nothing and sends nothing." }
                }
                p.unseen #said role="status" {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    spelled_out(page.into_string())
}

impl Page<'_> {
    fn markup(&self) -> Markup {
        // In this order, so that the pictures at the top find room first.
        let overview = self.overview();
        let incidents = self.incidents();
        html! {
            (self.header())
            main {
                (overview)
                (incidents)
                (self.other_findings())
                (self.services())
                (self.works())
                (self.not_judged())
                (self.manifest())
            }
        }
    }

    fn incidents(&self) -> Markup {
        let all = &self.report.incidents;
        let pictures = Pictures {
            report: self.report,
            course: &self.seen.course,
            budget: &self.budget,
            moments: &self.moments,
        };
        let written: Vec<Markup> = all
            .iter()
            .take(INCIDENTS)
            .enumerate()
            .map(|(place, cited)| self.incident(place, cited, &pictures))
            .collect();
        html! {
            section #incidents aria-labelledby="h-incidents" {
                h2 #h-incidents { "Incidents" }
                @if all.is_empty() {
                    p { "Nothing was found that is worth an incident." }
                }
                @if let Some(why) = self.seen.why.as_ref().filter(|_| !all.is_empty()) {
                    p.note { "Single packets are not drawn: " (why) "." }
                }
                @for incident in &written { (incident) }
                @if all.len() > INCIDENTS {
                    h3 { "Further incidents" }
                    ul.lines {
                        @for cited in all.iter().skip(INCIDENTS).take(LINES) {
                            li #(cited.incident.id) {
                                (words::badge(cited.incident.severity)) " " (cited.incident.id) " "
                                (cited.incident.title)
                            }
                        }
                    }
                    @if all.len() > INCIDENTS + LINES {
                        p { (plural((all.len() - INCIDENTS - LINES) as u64, "more incident"))
                            " in report.json." }
                    }
                }
                @if self.budget.left_out() > 0 {
                    p.note { (plural(self.budget.left_out() as u64, "plot"))
                        " left out, so that this page stays small." }
                }
            }
        }
    }

    fn finding(&self, id: &str) -> Option<&RankedFinding> {
        self.report.finding(id)
    }
}

#[cfg(test)]
mod tests;
