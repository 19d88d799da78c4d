//! Services, layers and the manifest.

use maud::{Markup, html};

use crate::correlate::{Failure, Service};
use crate::flow::Spread;
use crate::humanize::{grouped, percent, plural};
use crate::report::html::words::{first_of, state, table};
use crate::report::html::{LINES, Page};
use crate::report::labels::Labels;
use crate::report::table::word;
use crate::time::Span;

/// Columns of the services.
const SERVICE: [&str; 12] = [
    "Service",
    "Name",
    "#Clients",
    "#Attempts",
    "#Failed",
    "How",
    "#Connect",
    "#TLS",
    "#First byte",
    "#Round trip",
    "#Sent again",
    "#Stalled",
];

/// Inputs listed.
const FILES: usize = 100;

impl Page<'_> {
    pub(super) fn services(&self) -> Markup {
        let services = &self.report.services;
        html! {
            section #services aria-labelledby="h-services" {
                h2 #h-services { "Services" }
                @if services.is_empty() { p { "No service was asked." } }
                @else {
                    @let caption = html! {
                        "Those with the most failed attempts first. Times are median and, behind the "
                        "stroke, the 95th percentile."
                    };
                    @let rows = html! {
                        @for service in services.iter().take(LINES) { (row(service, &self.report.labels)) }
                    };
                    (table("Services", true, &caption, &SERVICE, &rows))
                    @let cut = services.len().saturating_sub(LINES) as u64;
                    @let unlisted = cut + self.report.services_unlisted;
                    @if unlisted > 0 {
                        p { (plural(unlisted, "more service")) " in services.parquet or not told apart." }
                    }
                }
            }
        }
    }

    pub(super) fn works(&self) -> Markup {
        html! {
            section #layers aria-labelledby="h-layers" {
                h2 #h-layers { "Layers" }
                @let caption = html! { "Bottom up: whether each works, and how that is known" };
                @let rows = html! {
                    @for layer in &self.report.layers {
                        @let (class, sign, said) = state(layer.state);
                        tr {
                            th scope="row" { (layer.layer.words()) }
                            td.{ "state " (class) } { span aria-hidden="true" { (sign) } " " (said) }
                            td { (layer.reason) }
                        }
                    }
                };
                (table("Layers", false, &caption, &["Layer", "State", "How that is known"], &rows))
                @if !self.report.cleared.is_empty() {
                    h3 { "What works on the whole" }
                    ul.cleared {
                        @for cleared in &self.report.cleared {
                            li {
                                span aria-hidden="true" { "\u{2713} " }
                                b { (first_of(cleared.what)) } ": " (cleared.text)
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn manifest(&self) -> Markup {
        let report = self.report;
        html! {
            section #manifest aria-labelledby="h-manifest" {
                h2 #h-manifest { "Manifest" }
                dl.details {
                    div { dt { "Tool" } dd { (report.tool.name) " " (report.tool.version)
                        ", report schema " (report.schema_version) } }
                    div { dt { "Configuration" } dd { "BLAKE3 " code.hash { (report.config_hash) } } }
                    div { dt { "Times" } dd { "Of the packets, in the zone that they are shown with. "
                        "When the analysis ran stands in manifest.json." } }
                }
                @let rows = html! {
                    @for file in self.inputs.iter().take(FILES) {
                        tr {
                            th scope="row" { (file.path) }
                            td.number { (grouped(file.size)) }
                            td.number { (grouped(file.packets)) }
                            td {
                                code.hash { (file.blake3) }
                                @if let Some(sha256) = &file.sha256 {
                                    " SHA-256 " code.hash { (sha256) }
                                }
                            }
                        }
                    }
                };
                @let heads = ["File", "#Bytes", "#Packets", "BLAKE3"];
                (table("Inputs", false, &html! { "Inputs" }, &heads, &rows))
                @if self.inputs.len() > FILES {
                    p { (plural((self.inputs.len() - FILES) as u64, "more file")) " in manifest.json." }
                }
                @let ignored = report.capture.ignored.len() as u64 + report.capture.ignored_unlisted;
                @if ignored > 0 {
                    p { (plural(ignored, "file"))
                        " left out: no captures, or copies of others." }
                }
            }
        }
    }
}

fn row(service: &Service, labels: &Labels) -> Markup {
    let address = match service.server.is_ipv6() {
        true => format!("[{}]:{}", service.server, service.port),
        false => format!("{}:{}", service.server, service.port),
    };
    let address = labels.said(&address);
    html! {
        tr {
            th scope="row" { (address) " " span.protocol { (service.protocol) } }
            td { @for (place, name) in service.names.iter().enumerate() {
                @if place > 0 { ", " } span.name { (name) } } }
            td.number data-value=(service.clients) { (grouped(service.clients)) }
            td.number data-value=(service.attempts) { (grouped(service.attempts)) }
            td.number.bad[service.failed > 0] data-value=(service.failed) {
                (grouped(service.failed))
                @if service.failed > 0 { " (" (percent(service.failed, service.attempts)) ")" }
            }
            td { @for (place, (how, count)) in service.failures.iter().enumerate() {
                @if place > 0 { ", " } (grouped(*count)) " " (failure(*how)) } }
            (spread(service.connect))
            (spread(service.tls))
            (spread(service.first_byte))
            (spread(service.round_trip))
            td.number data-value=(service.lost) {
                @if service.segments > 0 { (percent(service.lost, service.segments)) }
            }
            td.number data-value=(service.stalled.0) {
                @if service.stalled > Span::ZERO { (service.stalled) }
            }
        }
    }
}

fn failure(how: Failure) -> String {
    word(&how).replace('_', " ")
}

fn spread(spread: Option<Spread>) -> Markup {
    html! {
        @match spread {
            Some(spread) => td.number data-value=(spread.median.0) { (spread.median) " | " (spread.p95) },
            None => td.number data-value="-1" {},
        }
    }
}
