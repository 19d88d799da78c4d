//! What happened in an archive as one page for a browser: `fleet.html`.
//!
//! It is made as `report.html` is: whole without scripts, with a policy that lets nothing in, text escaped by
//! the type of the template. Links lead to the reports beside it. Times are UTC.

use std::collections::BTreeSet;

use maud::{Markup, html};

use crate::correlate::Tally;
use crate::detect::{Merge, Severity};
use crate::fleet::{CaptureLine, Fleet, FleetIncident, FleetService, day};
use crate::humanize::{grouped, percent, plural};
use crate::report::html::{sheet, words};

/// Lines of a list: more than a person looks at. The rest is in `fleet.json`.
const LINES: usize = 200;
/// Services whose days are shown, and the latest days of each.
const SERVICES: usize = 50;
const DAYS: usize = 31;
/// Captures linked from an incident.
const LINKS: usize = 3;

/// The page on an archive, which lies beside the folder `reports`.
pub fn document(fleet: &Fleet) -> String {
    let body = html! {
        (header(fleet))
        main {
            (answer(fleet))
            (incidents(fleet))
            (services(fleet))
            (captures(fleet))
            (not_judged(fleet))
        }
    };
    sheet("Archive", ("incidents", "incidents"), &body)
}

fn header(fleet: &Fleet) -> Markup {
    let packets: u64 = fleet.captures.iter().map(|capture| capture.packets).sum();
    let first = fleet.captures.iter().filter_map(|capture| capture.first_seen.as_deref()).min();
    let last = fleet.captures.iter().filter_map(|capture| capture.last_seen.as_deref()).max();
    html! {
        header {
            div.top { h1 { "Archive" } div.tools #tools {} }
            p.facts {
                (plural(fleet.captures.len() as u64, "capture")) ", " (plural(packets, "packet"))
                @if let (Some(first), Some(last)) = (first, last) {
                    ", from " (minute(first)) " to " (minute(last)) " UTC"
                }
            }
            nav aria-label="Sections" {
                ul {
                    li { a href="#incidents" { "Incidents" } }
                    li { a href="#services" { "Services" } }
                    li { a href="#captures" { "Captures" } }
                    li { a href="#not-judged" { "Not judged" } }
                }
            }
        }
    }
}

/// Words, class and sign of a capture's verdict.
fn status(of: &CaptureLine) -> (&'static str, &'static str, &'static str) {
    match (of.status.as_str(), of.worst) {
        ("clean", _) => ("clean", "ok", "\u{2713}"),
        ("findings", Some(Severity::Critical)) => ("critical", "critical", "\u{2715}"),
        ("findings", _) => ("warning", "warning", "!"),
        ("degraded", _) => ("degraded", "warning", "!"),
        ("incomplete", _) => ("incomplete", "warning", "!"),
        _ => ("not assessed", "unknown", "?"),
    }
}

fn answer(fleet: &Fleet) -> Markup {
    let words: BTreeSet<_> = fleet.captures.iter().map(|capture| status(capture).0).collect();
    let of = |word| fleet.captures.iter().filter(move |capture| status(capture).0 == word);
    let (worst, verdict) = match fleet.worst() {
        _ if !fleet.is_complete() && fleet.worst() < Some(Severity::Warning) => ("warning", "Incomplete"),
        Some(Severity::Critical) => ("critical", "Findings"),
        Some(Severity::Warning) => ("warning", "Findings"),
        _ => ("ok", "Nothing at warning or above"),
    };
    html! {
        section #answer aria-labelledby="h-answer" {
            h2.unseen #h-answer { "Answer" }
            p.verdict { strong.{ "word " (worst) } { (verdict) } }
            ul.strip aria-label="Captures by verdict" {
                @for word in words {
                    @if let Some((_, class, sign)) = of(word).next().map(status) {
                        li.(class) {
                            span.sign aria-hidden="true" { (sign) } " "
                            b { (grouped(of(word).count() as u64)) } " " span { (word) }
                        }
                    }
                }
            }
        }
    }
}

fn incidents(fleet: &Fleet) -> Markup {
    html! {
        section #incidents aria-labelledby="h-incidents" {
            h2 #h-incidents { "Incidents" }
            @if fleet.incidents.is_empty() { p { "No capture has an incident." } }
            @else {
                @let caption = html! {
                    "What is the same in several captures is one line. The heaviest first, then what "
                    "most captures have."
                };
                @let heads =
                    ["Severity", "Incident", "#Captures", "#Failed", "First seen", "Last seen", "Where"];
                @let rows = html! {
                    @for incident in fleet.incidents.iter().take(LINES) { (of_incident(incident)) }
                };
                (words::table("Incidents", true, &caption, &heads, &rows))
                (more(fleet.incidents.len(), LINES, "incident"))
            }
        }
    }
}

fn of_incident(incident: &FleetIncident) -> Markup {
    html! {
        tr {
            td data-value=(incident.severity as u8) { (words::badge(incident.severity)) }
            th scope="row" { (incident.title) }
            td.number data-value=(incident.captures) { (grouped(incident.captures)) }
            td.number data-value=(incident.failed) {
                @if incident.of > 0 { (grouped(incident.failed)) " of " (grouped(incident.of)) }
            }
            td { (minute(incident.since.as_deref().unwrap_or_default())) }
            td { (minute(incident.until.as_deref().unwrap_or_default())) }
            td {
                @for (place, set) in incident.sets.iter().take(LINKS).enumerate() {
                    @if place > 0 { ", " } (to_report(set))
                }
                @if incident.captures > LINKS as u64 { ", .." }
            }
        }
    }
}

fn services(fleet: &Fleet) -> Markup {
    let asked = || fleet.services.iter().filter(|service| service.attempts.of > 0);
    html! {
        section #services aria-labelledby="h-services" {
            h2 #h-services { "Services over time" }
            @if asked().next().is_none() { p { "No service was asked." } }
            @else {
                @let caption = html! {
                    "Those with the most failed attempts first. A day is that of a capture's first "
                    "packet."
                };
                @let heads =
                    ["Service", "Name", "#Captures", "#Attempts", "#Failed", "First day", "Last day"];
                @let rows = html! { @for service in asked().take(LINES) { (of_service(service)) } };
                (words::table("Services", true, &caption, &heads, &rows))
                (more(asked().count() + fleet.services_unlisted as usize, LINES, "service"))
                (days(fleet))
            }
        }
    }
}

fn of_service(service: &FleetService) -> Markup {
    html! {
        tr {
            th scope="row" { (address(service)) " " span.protocol { (service.protocol) } }
            td { @for (place, name) in service.names.iter().enumerate() {
                @if place > 0 { ", " } span.name { (name) } } }
            td.number data-value=(service.captures) { (grouped(service.captures)) }
            td.number data-value=(service.attempts.of) { (grouped(service.attempts.of)) }
            (failed(service.attempts))
            td { (service.days.keys().next().map_or("", String::as_str)) }
            td { (service.days.keys().next_back().map_or("", String::as_str)) }
        }
    }
}

/// The services that failed, day by day.
fn days(fleet: &Fleet) -> Markup {
    let sick: Vec<_> =
        fleet.services.iter().filter(|service| service.attempts.failed > 0).take(SERVICES).collect();
    let all: BTreeSet<&str> =
        sick.iter().flat_map(|service| service.days.keys().map(String::as_str)).collect();
    let latest: Vec<&str> = all.iter().copied().skip(all.len().saturating_sub(DAYS)).collect();
    let (Some(first), true) = (latest.first(), latest.len() > 1) else { return html! {} };
    let whole = |service: &FleetService| {
        let mut tally = Tally::default();
        service.days.range((*first).to_owned()..).for_each(|(_, day)| tally.absorb(*day));
        tally
    };
    html! {
        @let caption = html! {
            "Failed of all attempts by day"
            @if latest.len() < all.len() { ": the latest " (latest.len()) " of " (all.len()) " days" }
        };
        @let days: Vec<String> = latest.iter().map(|day| format!("#{day}")).collect();
        @let heads: Vec<&str> = std::iter::once("Service").chain(days.iter().map(String::as_str)).collect();
        @let rows = html! {
            @for service in sick.iter().filter(|service| whole(service).of > 0) {
                tr {
                    th scope="row" { (address(service)) }
                    @for day in &latest {
                        @match service.days.get(*day) {
                            Some(tally) => (failed(*tally)),
                            None => td.number {},
                        }
                    }
                }
            }
        };
        (words::table("Failed attempts by day", false, &caption, &heads, &rows))
    }
}

fn failed(tally: Tally) -> Markup {
    html! {
        td.number.bad[tally.failed > 0] data-value=(tally.failed) {
            (grouped(tally.failed))
            @if tally.failed > 0 { " (" (percent(tally.failed, tally.of)) ")" }
        }
    }
}

fn captures(fleet: &Fleet) -> Markup {
    html! {
        section #captures aria-labelledby="h-captures" {
            h2 #h-captures { "Captures" }
            @if fleet.captures.is_empty() { p { "No capture has a report." } }
            @else {
                @let caption = html! { "Every capture set with its report, by name" };
                @let heads = ["Report", "Verdict", "#Incidents", "#Packets", "#Files", "First packet"];
                @let rows = html! {
                    @for capture in fleet.captures.iter().take(LINES) {
                        @let (word, class, sign) = status(capture);
                        tr {
                            th scope="row" { (to_report(&capture.set)) }
                            td.{ "state " (class) } { span aria-hidden="true" { (sign) } " " (word) }
                            td.number data-value=(capture.incidents.len()) {
                                (grouped(capture.incidents.len() as u64))
                            }
                            td.number data-value=(capture.packets) { (grouped(capture.packets)) }
                            td.number data-value=(capture.files) { (grouped(capture.files)) }
                            td { (minute(capture.first_seen.as_deref().unwrap_or_default())) }
                        }
                    }
                };
                (words::table("Captures", true, &caption, &heads, &rows))
                (more(fleet.captures.len(), LINES, "capture"))
            }
        }
    }
}

fn not_judged(fleet: &Fleet) -> Markup {
    let half = |capture: &&CaptureLine| {
        capture.not_read.is_some() || ["not_assessed", "degraded"].contains(&capture.status.as_str())
    };
    let half: Vec<_> = fleet.captures.iter().filter(half).collect();
    let ignored = fleet.ignored.len() as u64 + fleet.ignored_unlisted;
    let unread = fleet.failed.len() + fleet.unreadable.len();
    html! {
        section #not-judged aria-labelledby="h-not-judged" {
            h2 #h-not-judged { "Not judged" }
            @if unread == 0 && half.is_empty() && ignored == 0 { p { "Everything was read and judged." } }
            @if unread > 0 {
                h3 { "Could not be analysed" }
                ul.lines {
                    @for failed in fleet.failed.iter().take(LINES) {
                        li { b { (failed.set) } ": " (failed.reason) }
                    }
                    @for input in fleet.unreadable.iter().take(LINES) { li { (input.reason) } }
                }
                (more(unread, LINES, "input"))
            }
            @if !half.is_empty() {
                h3 { "Not all of it judged" }
                ul.lines { @for capture in half.iter().take(LINES) {
                    li { (to_report(&capture.set)) ": "
                        (capture.not_read.as_deref().unwrap_or(status(capture).0)) }
                } }
                (more(half.len(), LINES, "capture"))
            }
            @if ignored > 0 { p { (plural(ignored, "file")) " left out: no captures, or copies of others." } }
        }
    }
}

fn more(all: usize, shown: usize, what: &str) -> Markup {
    html! {
        @if all > shown { p { (plural((all - shown) as u64, &format!("more {what}"))) " in fleet.json." } }
    }
}

/// A link to the report on a set. The names of sets have no letter that means something in a path.
fn to_report(set: &str) -> Markup {
    html! { a href={ "reports/" (in_link(set)) "/report.html" } { (set) } }
}

/// A name in a link: letters that are not plain are percent-encoded (RFC 3986, section 2.1).
fn in_link(name: &str) -> String {
    let octet = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'+' => char::from(octet).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(octet).collect()
}

fn address(service: &FleetService) -> String {
    match service.server.is_ipv6() {
        true => format!("[{}]:{}", service.server, service.port),
        false => format!("{}:{}", service.server, service.port),
    }
}

/// Date, hour and minute of a time in RFC 3339.
fn minute(time: &str) -> String {
    let clock = time.get(11..16).unwrap_or_default();
    format!("{} {clock}", day(Some(time))).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fleet::{Builder, FailedCapture};

    fn capture(set: &str, status: &str, worst: Option<Severity>) -> CaptureLine {
        CaptureLine {
            set: set.to_owned(),
            file: format!("{set}.pcap"),
            files: 1,
            packets: 1_234,
            first_seen: Some("2026-11-21T06:48:03.000000000Z".to_owned()),
            last_seen: Some("2026-11-22T06:48:03.000000000Z".to_owned()),
            status: status.to_owned(),
            worst,
            incidents: vec!["k".to_owned()],
            not_read: None,
        }
    }

    fn service(days: &[(&str, u64)]) -> FleetService {
        let tally = |failed| Tally { of: 10, failed };
        let days: BTreeMap<String, Tally> =
            days.iter().map(|(day, failed)| ((*day).to_owned(), tally(*failed))).collect();
        let mut attempts = Tally::default();
        days.values().for_each(|day| attempts.absorb(*day));
        FleetService {
            server: [10, 0, 0, 53].into(),
            port: 53,
            protocol: "dns",
            names: vec!["<b>dns</b>".to_owned()],
            captures: 2,
            attempts,
            days,
        }
    }

    fn fleet() -> Fleet {
        let mut fleet = Fleet::new(Builder::default(), "hash".to_owned());
        fleet.captures = vec![
            capture("berlin+edge", "findings", Some(Severity::Critical)),
            capture("lisbon", "not_assessed", None),
        ];
        fleet.failed.push(FailedCapture {
            set: "rome".to_owned(),
            file: "rome.pcap".to_owned(),
            reason: "rome.pcap: <script>alert(1)</script>".to_owned(),
        });
        fleet.incidents.push(FleetIncident {
            key: "k".to_owned(),
            severity: Severity::Critical,
            title: "<img src=x> \u{202e}answers SERVFAIL".to_owned(),
            captures: 4,
            sets: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            since: Some("2026-11-21T06:48:03.000000000Z".to_owned()),
            until: Some("2026-11-22T07:00:00.000000000Z".to_owned()),
            failed: 7,
            of: 9,
        });
        fleet.services.push(service(&[("2026-11-21", 3), ("2026-11-22", 0)]));
        fleet
    }

    #[test]
    fn the_page_says_what_happened_where_and_when() {
        let page = document(&fleet());
        for said in [
            "2 captures, 2 468 packets",
            "2026-11-21 06:48",
            "2026-11-22 07:00",
            "7 of 9",
            "reports/berlin+edge/report.html",
            "10.0.0.53:53",
            "3 (30 %)",
            "not assessed",
            "Could not be analysed",
        ] {
            assert!(page.contains(said), "{said}: {page}");
        }
        assert_eq!(page.matches("<th class=\"number\" scope=\"col\">2026-11-2").count(), 2, "a column a day");
        assert!(page.contains("</a>, .."), "three of four captures are linked");
    }

    #[test]
    fn text_is_text_and_nothing_is_loaded() {
        let page = document(&fleet());
        assert!(page.contains("default-src 'none'"), "a policy");
        assert!(!page.contains("<img") && !page.contains("<b>dns") && !page.contains('\u{202e}'), "{page}");
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.contains("src=\"") && !page.contains("http://") && !page.contains("https://"));
        assert_eq!(in_link("a b/../c?\u{e9}+"), "a%20b%2F..%2Fc%3F%C3%A9+");
    }

    #[test]
    fn an_archive_without_incidents_says_so() {
        let page = document(&Fleet::new(Builder::default(), String::new()));
        assert!(page.contains("No capture has an incident.") && page.contains("Nothing at warning or above"));
        assert!(page.contains("Everything was read and judged."));
    }
}
