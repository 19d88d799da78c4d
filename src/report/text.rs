//! The report for a person at a terminal: one screen, or everything with each finding under its incident.
//!
//! Text from packets is escaped on its way in; styles are written always and taken out by the stream when it
//! is no terminal or `NO_COLOR` is set.

use std::io::{self, Write};

use textwrap::Options;

use crate::detect::Finding;
use crate::humanize::{grouped, lasting, plural, units};
use crate::report::escape::terminal;
use crate::report::filter::ranges;
use crate::report::labels::Labels;
use crate::report::model::{CitedFrame, CitedIncident, RankedFinding, Report};
use crate::report::page::{BOLD, DIM, mark, styled, wrapped};
use crate::report::screen;
use crate::time::{Span, Timestamp};

/// Where the text of a finding begins, and the labels before it.
const INDENT: usize = 6;
const LABEL: usize = 12;

/// Lines about files that were left out. The report lists more.
const LEFT_OUT: usize = 10;

/// How much of the report is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// One screen, with so many incidents in full.
    Screen(usize),
    /// Everything: every finding under its incident.
    All,
}

/// Writes the summary, at most `width` columns wide as far as words allow.
///
/// # Errors
/// When `out` fails.
pub fn write(report: &Report, view: View, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let width = width.clamp(60, 140);
    match view {
        View::Screen(top) => {
            for line in screen::screen(report, width, top) {
                writeln!(out, "{line}")?;
            }
        }
        View::All => {
            for line in screen::header(report, width) {
                writeln!(out, "{line}")?;
            }
            Page::of(report, width, out).all(report)?;
        }
    }
    out.flush()
}

/// Writes all that a finding says.
///
/// # Errors
/// When `out` fails.
pub fn write_finding(
    report: &Report,
    ranked: &RankedFinding,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    Page::of(report, width.clamp(60, 140), out).finding(ranked)
}

/// The summary without styles.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn plain(report: &Report, view: View, width: usize) -> io::Result<Vec<u8>> {
    let mut page = anstream::StripStream::new(Vec::new());
    write(report, view, width, &mut page)?;
    Ok(page.into_inner())
}

struct Page<'o> {
    out: &'o mut dyn Write,
    width: usize,
    one_file: bool,
    labels: &'o Labels,
}

impl<'o> Page<'o> {
    fn of(report: &'o Report, width: usize, out: &'o mut dyn Write) -> Self {
        Self { out, width, one_file: report.capture.files.len() == 1, labels: &report.labels }
    }

    fn all(&mut self, report: &Report) -> io::Result<()> {
        for cited in &report.incidents {
            self.incident(cited)?;
            let ids = std::iter::once(&cited.incident.root).chain(&cited.incident.symptoms);
            for finding in ids.filter_map(|id| report.finding(id)) {
                self.finding(finding)?;
            }
        }
        if !report.other.is_empty() {
            self.heading("in no incident")?;
            for finding in report.other.iter().filter_map(|id| report.finding(id)) {
                self.finding(finding)?;
            }
        }
        self.layers(report)?;
        self.ruled_out(report)?;
        self.not_assessed(report)?;
        if !report.verdict.reasons.is_empty() {
            self.heading("what is missing")?;
            for reason in &report.verdict.reasons {
                self.item("", 2, reason)?;
            }
        }
        self.left_out(report)
    }

    fn incident(&mut self, cited: &CitedIncident) -> io::Result<()> {
        let incident = &cited.incident;
        let (word, style) = mark(incident.severity);
        let head = format!("{} {word}", incident.id);
        let title = wrapped(&format!("{head}  {}", incident.title), self.width, "", INDENT, usize::MAX);
        writeln!(self.out)?;
        for line in styled(title, &head, style) {
            writeln!(self.out, "{line}")?;
        }
        self.item("", INDENT, &incident.story)?;
        self.labelled("impact", &screen::impact(&incident.blast_radius, &screen::clock))?;
        for text in screen::before(cited) {
            self.labelled("time", &text)?;
        }
        let confidence = crate::report::table::word(&incident.confidence);
        self.labelled("where", &format!("{}; the finding is {confidence}", incident.place.words()))?;
        for contrast in &incident.contrast {
            self.labelled("contrast", &contrast.text)?;
        }
        for cleared in &incident.cleared {
            self.labelled("cleared", &cleared.text)?;
        }
        for link in &incident.links {
            self.labelled("belongs", &format!("{} {}: {}", link.finding, link.detector, link.why))?;
        }
        Ok(())
    }

    fn layers(&mut self, report: &Report) -> io::Result<()> {
        self.heading("layers")?;
        for layer in &report.layers {
            self.item(layer.layer.words(), 24, &format!("{}: {}", layer.state.words(), layer.reason))?;
        }
        Ok(())
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
        self.labelled("subject", &self.labels.said(&subject(finding)))?;
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
            let counted = format!("0 of {}", units(ruled_out.assessed, ruled_out.unit));
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
            let counted = units(missing.count, &missing.unit);
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

    fn page(view: View, width: usize) -> String {
        let report = Report::new(&outcome(), &Config::default());
        String::from_utf8(plain(&report, view, width).expect("memory")).expect("text")
    }

    #[test]
    fn the_page_says_what_where_how_sure_and_what_not() {
        let page = page(View::All, 100);
        for text in [
            "findings: 1 critical incident, 2 findings, input incomplete, limits acted\n",
            "2 files, 20 packets, 19.0 s from 1970-01-01T00:00:01Z to 1970-01-01T00:00:20Z, ",
            "95.0 % understood, ",
            "I-01 CRITICAL  large packets to 10.0.0.1:443 are never acknowledged",
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
        for line in page(View::All, 70).lines().filter(|line| !line.contains("wireshark")) {
            assert!(line.chars().count() <= 70, "{line}");
        }
        for width in [60, 100] {
            for line in page(View::Screen(3), width).lines() {
                assert!(line.chars().count() <= width, "{line}");
            }
        }
    }

    #[test]
    fn the_screen_has_the_answer_and_says_where_the_rest_is() {
        let page = page(View::Screen(3), 100);
        for text in
            ["I-01 CRITICAL  large packets", "wireshark   frame.number in {2, 4..6}", "layers", "--all"]
        {
            assert!(page.contains(text), "{text}\n--\n{page}");
        }
        assert!(page.lines().count() <= screen::LINES, "{page}");
    }

    #[test]
    fn nothing_from_a_packet_reaches_the_terminal() {
        for view in [View::All, View::Screen(3)] {
            let page = page(view, 80);
            assert!(!page.replace('\n', "").contains(crate::report::escape::is_hostile), "{page}");
        }
    }
}
