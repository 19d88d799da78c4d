//! The report for a person at a terminal: the answer first, then what proves it, then what was ruled out.
//!
//! Text from packets is escaped on its way in; styles are written always and taken out by the stream when it
//! is no terminal or `NO_COLOR` is set.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use textwrap::Options;

use crate::detect::{Finding, Severity};
use crate::humanize::{grouped, lasting, plural, whole_seconds};
use crate::report::escape::terminal;
use crate::report::filter::ranges;
use crate::report::model::{CitedFrame, RankedFinding, Report, Status};
use crate::time::{Span, Timestamp};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default().bold();

/// Where the text of a finding begins, and the labels before it.
const INDENT: usize = 6;
const LABEL: usize = 12;

/// Lines about files that were left out. The report lists more.
const LEFT_OUT: usize = 10;

/// Writes the summary, at most `width` columns wide as far as words allow.
///
/// # Errors
/// When `out` fails.
pub fn write(report: &Report, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { out, width: width.clamp(60, 140), one_file: report.capture.files.len() == 1 };
    page.verdict(report)?;
    page.capture(report)?;
    for finding in &report.findings {
        page.finding(finding)?;
    }
    page.ruled_out(report)?;
    page.not_assessed(report)?;
    if !report.verdict.reasons.is_empty() {
        page.heading("what is missing")?;
        for reason in &report.verdict.reasons {
            page.item("", 2, reason)?;
        }
    }
    page.left_out(report)?;
    page.out.flush()
}

/// The summary without styles.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn plain(report: &Report, width: usize) -> io::Result<Vec<u8>> {
    let mut page = anstream::StripStream::new(Vec::new());
    write(report, width, &mut page)?;
    Ok(page.into_inner())
}

struct Page<'o> {
    out: &'o mut dyn Write,
    width: usize,
    one_file: bool,
}

impl Page<'_> {
    fn verdict(&mut self, report: &Report) -> io::Result<()> {
        let verdict = &report.verdict;
        let counts = &verdict.counts;
        let word = match verdict.status {
            Status::Clean => "clean",
            Status::Findings => "findings",
            Status::Degraded => "degraded",
            Status::Incomplete => "incomplete",
        };
        let style = match (verdict.status, verdict.worst) {
            (Status::Clean, _) => GREEN,
            (Status::Findings, Some(severity)) => mark(severity).1,
            _ => YELLOW,
        };
        let mut said: Vec<String> =
            [(counts.critical, "critical"), (counts.warning, "warning"), (counts.info, "info")]
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, name)| format!("{} {name}", grouped(count)))
                .collect();
        if said.is_empty() {
            said.push("nothing found".to_owned());
            if report.ruled_out.is_empty() {
                said.push("and nothing that a detector could judge".to_owned());
            }
        }
        if verdict.incomplete {
            said.push("input incomplete".to_owned());
        }
        if verdict.degraded {
            said.push("limits acted".to_owned());
        }
        writeln!(self.out, "{style}{word}{style:#}: {}", said.join(", "))
    }

    fn capture(&mut self, report: &Report) -> io::Result<()> {
        let capture = &report.capture;
        let files = match capture.files.as_slice() {
            [file] => terminal(&file.path).into_owned(),
            files => plural(files.len() as u64, "file"),
        };
        let mut parts = vec![files, plural(capture.packets, "packet")];
        if let (Some(first), Some(last)) = (capture.first_seen, capture.last_seen) {
            parts.push(format!(
                "{} from {} to {}",
                lasting(capture.duration),
                whole_seconds(first),
                whole_seconds(last)
            ));
        }
        let flows: Vec<String> =
            capture.flows.iter().map(|(protocol, flows)| format!("{} {protocol}", grouped(*flows))).collect();
        if !flows.is_empty() {
            parts.push(format!("flows: {}", flows.join(" + ")));
        }
        if capture.understood < 1.0 {
            // Rounded down: 99.96 % is not all of it.
            parts.push(format!("{:.1} % understood", (capture.understood * 1000.0).floor() / 10.0));
        }
        let fragments = &capture.fragments;
        if fragments.expired > 0 {
            parts.push(format!("{} never complete", plural(fragments.expired, "fragmented datagram")));
        }
        if fragments.conflicting > 0 {
            parts.push(format!("{} other fragments", contradict(fragments.conflicting)));
        }
        match capture.dropped {
            Some(dropped) => parts.push(format!("{} dropped by the capture", grouped(dropped))),
            None => parts.push("drops not recorded".to_owned()),
        }
        self.item("", 0, &parts.join(", "))
    }

    fn finding(&mut self, ranked: &RankedFinding) -> io::Result<()> {
        let finding = &ranked.finding;
        let (word, style) = mark(finding.severity);
        let head = format!("{} {word}  ", ranked.id);
        let title = format!("{head}{}", terminal(&finding.title));
        writeln!(self.out)?;
        for (number, line) in textwrap::wrap(&title, self.options(INDENT, "")).iter().enumerate() {
            match line.strip_prefix(&head).filter(|_| number == 0) {
                Some(rest) => {
                    writeln!(self.out, "{} {style}{word}{style:#}  {BOLD}{rest}{BOLD:#}", ranked.id)?
                }
                None => writeln!(self.out, "{BOLD}{line}{BOLD:#}")?,
            }
        }
        self.item("", INDENT, &finding.summary)?;
        self.labelled("subject", &subject(finding))?;
        self.labelled("seen", &seen(finding.first_seen, finding.last_seen))?;
        self.labelled("impact", &impact(finding))?;
        self.labelled("frames", &frames(&ranked.evidence, self.one_file))?;
        for filter in &ranked.wireshark_filter {
            let file = if self.one_file { String::new() } else { format!("{}: ", filter.file) };
            self.verbatim("wireshark", &format!("{file}{}", filter.filter))?;
        }
        let confidence = crate::report::table::word(&finding.confidence);
        match finding.gates.as_slice() {
            [] => self.labelled("confidence", confidence)?,
            gates => {
                let names: Vec<&str> = gates.iter().map(|gate| gate.name).collect();
                self.labelled("confidence", &format!("{confidence}, lowered by {}", names.join(", ")))?;
                for gate in gates {
                    self.labelled(
                        "",
                        &format!("{}: {}; to lift: {}", gate.name, gate.prevents, gate.recapture),
                    )?;
                }
            }
        }
        self.list("could be", &finding.alternatives)?;
        self.list("next", &finding.next_steps)?;
        self.list("not claimed", &finding.not_claimed)?;
        self.labelled("rule", &format!("{}; pcapsy explain {}", finding.rule(), finding.detector))
    }

    fn ruled_out(&mut self, report: &Report) -> io::Result<()> {
        if report.ruled_out.is_empty() {
            return Ok(());
        }
        self.heading("looked for and not found")?;
        for ruled_out in &report.ruled_out {
            let counted = format!("0 of {} {}", grouped(ruled_out.assessed), ruled_out.unit);
            self.item(ruled_out.detector, 24, &format!("{counted}: {}", ruled_out.summary))?;
        }
        Ok(())
    }

    fn not_assessed(&mut self, report: &Report) -> io::Result<()> {
        if report.not_assessed.is_empty() {
            return Ok(());
        }
        self.heading("could not be judged")?;
        for missing in &report.not_assessed {
            let counted = format!("{} {}", grouped(missing.count), missing.unit);
            self.item(missing.detector, 24, &format!("{counted}: {}", missing.reason))?;
        }
        Ok(())
    }

    /// What was found in the folders given and not read; it lowers no verdict.
    fn left_out(&mut self, report: &Report) -> io::Result<()> {
        let ignored = &report.capture.ignored;
        if ignored.is_empty() {
            return Ok(());
        }
        self.heading("left out")?;
        for input in ignored.iter().take(LEFT_OUT) {
            self.item("", 2, &input.reason)?;
        }
        match ignored.len().saturating_sub(LEFT_OUT) as u64 + report.capture.ignored_unlisted {
            0 => Ok(()),
            more => self.item("", 2, &format!("{} more", grouped(more))),
        }
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{BOLD}{text}{BOLD:#}")
    }

    fn list(&mut self, label: &str, texts: &[&str]) -> io::Result<()> {
        for (number, text) in texts.iter().enumerate() {
            self.labelled(if number == 0 { label } else { "" }, text)?;
        }
        Ok(())
    }

    /// A line of a finding: nothing when there is nothing to say.
    fn labelled(&mut self, label: &str, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let text = terminal(text);
        let first = format!("{:INDENT$}{label:LABEL$}", "");
        let head = format!("{:INDENT$}{DIM}{label:LABEL$}{DIM:#}", "");
        let wrapped = textwrap::wrap(&text, self.options(INDENT + LABEL, &first));
        for (number, line) in wrapped.iter().enumerate() {
            match line.strip_prefix(&first).filter(|_| number == 0) {
                Some(rest) => writeln!(self.out, "{head}{rest}")?,
                None => writeln!(self.out, "{line}")?,
            }
        }
        Ok(())
    }

    /// A line to copy: never wrapped.
    fn verbatim(&mut self, label: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "{:INDENT$}{DIM}{label:LABEL$}{DIM:#}{}", "", terminal(text))
    }

    /// Wrapped text behind a name.
    fn item(&mut self, name: &str, indent: usize, text: &str) -> io::Result<()> {
        let text = terminal(text);
        let first = match name {
            "" => " ".repeat(indent),
            name => format!("  {name:width$}", width = indent.saturating_sub(2)),
        };
        // A long name keeps a space before the text.
        let first =
            if first.trim_end().len() == first.len() && !first.is_empty() { first + " " } else { first };
        for line in textwrap::wrap(&text, self.options(indent, &first)) {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    fn options<'i>(&self, indent: usize, first: &'i str) -> Options<'i> {
        const SPACES: &str = "                                ";
        Options::new(self.width)
            .initial_indent(first)
            .subsequent_indent(&SPACES[..indent.min(SPACES.len())])
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .break_words(false)
            .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit)
    }
}

fn contradict(fragments: u64) -> String {
    let verb = if fragments == 1 { "contradicts" } else { "contradict" };
    format!("{} {verb}", plural(fragments, "fragment"))
}

fn mark(severity: Severity) -> (&'static str, Style) {
    match severity {
        Severity::Critical => ("CRITICAL", RED),
        Severity::Warning => ("WARNING", YELLOW),
        Severity::Info => ("info", CYAN),
    }
}

fn subject(finding: &Finding) -> String {
    let subject = &finding.subject;
    let mut parts = Vec::new();
    parts.extend(subject.client.as_ref().map(|client| format!("client {client}")));
    let protocol = subject.protocol.map(|protocol| format!("/{protocol}")).unwrap_or_default();
    parts.extend(match (&subject.server, subject.port) {
        (Some(server), Some(port)) if server.contains(':') => {
            Some(format!("server [{server}]:{port}{protocol}"))
        }
        (Some(server), Some(port)) => Some(format!("server {server}:{port}{protocol}")),
        (Some(server), None) => Some(format!("server {server}")),
        (None, Some(port)) => Some(format!("port {port}{protocol}")),
        (None, None) => None,
    });
    parts.extend(subject.name.as_ref().map(|name| format!("name {name}")));
    parts.extend(subject.direction.map(|direction| crate::report::table::word(&direction).replace('_', " ")));
    parts.extend(subject.interface.as_ref().map(|interface| format!("interface {interface}")));
    parts.join(", ")
}

fn impact(finding: &Finding) -> String {
    let impact = &finding.impact;
    let mut parts = Vec::new();
    if impact.seconds_lost > Span::ZERO {
        parts.push(format!("{} lost", lasting(impact.seconds_lost)));
    }
    if impact.failed_transactions > 0 {
        let (failed, of) = (grouped(impact.failed_transactions), grouped(impact.of_transactions));
        parts.push(format!("{failed} of {of} failed"));
    }
    let counts = [(impact.clients, "client"), (impact.services, "service")];
    parts.extend(counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, noun)| plural(count, noun)));
    parts.join(", ")
}

/// `b.pcap: 2 (original), 4, 5 (retransmission), 6 (ack)`: neighbours of one role together.
fn frames(evidence: &[CitedFrame], one_file: bool) -> String {
    let mut text = String::new();
    for file in evidence.chunk_by(|a, b| a.file == b.file) {
        if !text.is_empty() {
            text += "; ";
        }
        if !one_file {
            text += &format!("{}: ", file[0].file);
        }
        let roles: Vec<String> = file
            .chunk_by(|a, b| a.packet.role == b.packet.role)
            .map(|run| {
                let frames = run.iter().map(|cited| cited.frame).collect();
                format!("{} ({})", ranges(frames, "-"), run[0].packet.role.name().replace('_', " "))
            })
            .collect();
        text += &roles.join(", ");
    }
    text
}

/// Nothing when it is about no packet.
fn seen(first: Option<Timestamp>, last: Option<Timestamp>) -> String {
    match first.zip(last) {
        None => String::new(),
        Some((first, last)) if first == last => first.rfc3339(),
        Some((first, last)) => format!("{} for {}", first.rfc3339(), lasting(last - first)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::report::tests::outcome;

    fn page(width: usize) -> String {
        let report = Report::new(&outcome(), &Config::default());
        String::from_utf8(plain(&report, width).expect("memory")).expect("text")
    }

    #[test]
    fn the_page_says_what_where_how_sure_and_what_not() {
        let page = page(100);
        for text in [
            "findings: 1 critical, 1 warning, input incomplete, limits acted\n",
            "2 files, 20 packets, 19.0 s from 1970-01-01T00:00:01Z to 1970-01-01T00:00:20Z, \
             flows: 40 tcp + 2\n",
            "udp, 95.0 % understood, 24 dropped by the capture\n",
            "F-001 CRITICAL  large packets to 10.0.0.1:443 are never acknowledged\n",
            "      frames      b.pcap: 2 (original), 4, 5 (retransmission), 6 (ack)\n",
            "      wireshark   b.pcap: frame.number in {2, 4..6}\n",
            "      confidence  likely, lowered by capture_loss\n",
            "      subject     server 10.0.0.1:443/tcp, name shop\\x1b[2J.example\n",
            "      impact      412 s lost, 18 of 18 failed, 6 clients, 1 service\n",
            "  quiet_rule            0 of 1 234 flows: packets above a size never arrive\n",
            "  noisy_rule            3 flows: one-way\n",
            "  b.pcap: 16 bytes at offset 4096: record length 4294967295\n",
            "  classified tcp segments of one flow: 2 over limits.events_per_flow\n",
            "left out\n  notes: no \\x1b[2Jcapture\n  2 more\n",
        ] {
            assert!(page.contains(text), "{text}\n--\n{page}");
        }
        assert!(!page.contains("idle_rule"), "nothing was judged, so nothing is ruled out\n{page}");
    }

    #[test]
    fn lines_fit_the_width_unless_they_are_to_be_copied() {
        for line in page(70).lines().filter(|line| !line.contains("wireshark")) {
            assert!(line.chars().count() <= 70, "{line}");
        }
    }

    #[test]
    fn nothing_from_a_packet_reaches_the_terminal() {
        let page = page(80);
        assert!(!page.replace('\n', "").contains(crate::report::escape::is_hostile), "{page}");
    }
}
