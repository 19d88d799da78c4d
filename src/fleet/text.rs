//! What happened in an archive, as people read it.

use std::io::{self, Write};

use crate::detect::Severity;
use crate::fleet::{Fleet, FleetIncident, FleetService, day};
use crate::humanize::{grouped, percent, plural};
use crate::report::page::{BOLD, DIM, fitted, mark, styled, wrapped};

/// Lines of a part.
const MOST: usize = 10;

/// Where the text of a part begins.
const INDENT: usize = 10;

/// Writes it in lines of at most `width` columns: one screen, whatever the archive.
///
/// # Errors
/// When `out` fails.
pub fn write(fleet: &Fleet, width: usize, out: &mut impl Write) -> io::Result<()> {
    for line in lines(fleet, width.max(40)) {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn lines(fleet: &Fleet, width: usize) -> Vec<String> {
    let packets: u64 = fleet.captures.iter().map(|capture| capture.packets).sum();
    let first = fleet.captures.iter().filter_map(|capture| capture.first_seen.as_deref()).min();
    let last = fleet.captures.iter().filter_map(|capture| capture.last_seen.as_deref()).max();
    let mut said =
        format!("{}, {}", plural(fleet.captures.len() as u64, "capture"), plural(packets, "packet"));
    if first.is_some() {
        said += &format!(", {} to {}", day(first), day(last));
    }
    let mut lines = wrapped(&said, width, "", 0, 2);
    let mut statuses: Vec<String> = Vec::new();
    for (status, words) in [
        ("findings", "with something at warning or above"),
        ("clean", "clean"),
        ("degraded", "with nothing found, but a limit acted"),
        ("incomplete", "with nothing found in what could be read"),
        ("not_assessed", "without packets, or mostly traffic that no detector judges"),
    ] {
        let count = fleet.captures.iter().filter(|capture| capture.status == status).count();
        if count > 0 {
            statuses.push(format!("{} {words}", grouped(count as u64)));
        }
    }
    lines.extend(wrapped(&statuses.join("; "), width, "", 0, 2));
    lines.push(String::new());
    let heavy: Vec<&FleetIncident> =
        fleet.incidents.iter().filter(|incident| incident.severity > Severity::Info).collect();
    for incident in heavy.iter().take(MOST) {
        let (word, style) = mark(incident.severity);
        let head = format!("{word:INDENT$}");
        lines.extend(styled(wrapped(&sentence(incident), width, &head, INDENT, 2), word, style));
    }
    lines.extend(beyond(heavy.len()));
    if heavy.is_empty() {
        lines.push("no incident at warning or above".to_owned());
    }
    let services = || fleet.services.iter().filter(|service| service.attempts.failed > 0);
    for (place, service) in services().take(5).enumerate() {
        let label = if place == 0 { "services" } else { "" };
        let line = format!("{label:INDENT$}{}", of_service(service));
        lines.extend(styled(vec![fitted(&line, width)], label, BOLD));
    }
    let failed = fleet.failed.iter().map(|failed| format!("{}: {}", failed.set, failed.reason));
    let failed = failed.chain(fleet.unreadable.iter().map(|unreadable| unreadable.reason.clone()));
    let half = fleet.captures.iter().filter_map(|capture| capture.not_read.clone());
    for (label, reasons) in [("failed", failed.collect::<Vec<_>>()), ("not whole", half.collect())] {
        for (place, reason) in reasons.iter().take(5).enumerate() {
            let label = if place == 0 { label } else { "" };
            lines.extend(styled(wrapped(reason, width, &format!("{label:INDENT$}"), INDENT, 2), label, BOLD));
        }
        if reasons.len() > 5 {
            lines.push(format!("{:INDENT$}{DIM}{} more: fleet.json{DIM:#}", "", reasons.len() - 5));
        }
    }
    let ignored = fleet.ignored.len() as u64 + fleet.ignored_unlisted;
    if ignored > 0 {
        lines.push(format!(
            "{:INDENT$}{} left out: no captures, or copies of others",
            "",
            plural(ignored, "file")
        ));
    }
    lines
}

fn beyond(all: usize) -> Option<String> {
    (all > MOST).then(|| format!("{:INDENT$}{DIM}{} more: fleet.json{DIM:#}", "", all - MOST))
}

fn sentence(incident: &FleetIncident) -> String {
    let captures = plural(incident.captures, "capture");
    let (since, until) = (day(incident.since.as_deref()), day(incident.until.as_deref()));
    let days = if since == until { since.to_owned() } else { format!("{since} to {until}") };
    let first = incident.sets.first().map(String::as_str).unwrap_or_default();
    format!("{} ({captures}, {days}, first {first})", incident.title)
}

fn of_service(service: &FleetService) -> String {
    let name = service.names.first().map(|name| format!(" ({name})")).unwrap_or_default();
    let address = match service.server.is_ipv6() {
        true => format!("[{}]:{}", service.server, service.port),
        false => format!("{}:{}", service.server, service.port),
    };
    let attempts = service.attempts;
    format!(
        "{address}{name}: {} of {} failed ({}) in {}",
        grouped(attempts.failed),
        grouped(attempts.of),
        percent(attempts.failed, attempts.of),
        plural(service.captures, "capture")
    )
}
