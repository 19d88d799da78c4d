//! Lines of text for a terminal: wrapped, labelled, cut to a number of lines.

use anstyle::{AnsiColor, Style};
use textwrap::Options;

use crate::detect::Severity;
use crate::report::escape::terminal;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();

/// The word for a severity, and its style.
pub(crate) fn mark(severity: Severity) -> (&'static str, Style) {
    match severity {
        Severity::Critical => ("CRITICAL", RED),
        Severity::Warning => ("WARNING", YELLOW),
        Severity::Info => ("info", CYAN),
    }
}

/// Escapes `text`, wraps it to `width` and indents it, all lines but the first by `indent`. Beyond `most`
/// lines it ends in an ellipsis. Every line fits, if need be by being cut.
pub(crate) fn wrapped(text: &str, width: usize, first: &str, indent: usize, most: usize) -> Vec<String> {
    let text = unbroken(&terminal(text));
    let indent = " ".repeat(indent);
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(&indent)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit);
    let mut lines: Vec<String> =
        textwrap::wrap(&text, options).iter().map(|line| line.replace(UNBROKEN, " ")).collect();
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            last.push_str(" ...");
        }
    }
    lines.into_iter().map(|line| fitted(&line, width)).collect()
}

/// A space that no line breaks at. One that stands in a text of packets becomes a space like others.
const UNBROKEN: char = '\u{a0}';

/// The spaces inside numbers, as in `1 166`, do not break.
fn unbroken(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let inside = |at: usize| {
        let before = at.checked_sub(1).is_some_and(digit);
        before && (1..=3).all(|next| digit(at + next)) && !digit(at + 4)
    };
    let keep = |(at, character): (usize, char)| match character {
        ' ' if inside(at) => UNBROKEN,
        other => other,
    };
    text.char_indices().map(keep).collect()
}

/// `line` within `width` columns.
pub(crate) fn fitted(line: &str, width: usize) -> String {
    if textwrap::core::display_width(line) <= width {
        return line.to_owned();
    }
    let (mut short, mut used) = (String::new(), 0);
    for character in line.chars() {
        used += textwrap::core::display_width(character.encode_utf8(&mut [0; 4]));
        if used + 3 > width {
            break;
        }
        short.push(character);
    }
    short.truncate(short.trim_end().len());
    short + "..."
}

/// The first line of `lines` with `head` in `style`, when it begins with that.
pub(crate) fn styled(mut lines: Vec<String>, head: &str, style: Style) -> Vec<String> {
    if let Some(first) = lines.first_mut()
        && let Some(rest) = first.strip_prefix(head)
    {
        *first = format!("{style}{head}{style:#}{rest}");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let text = format!("a word and {} another", "x".repeat(200));
        for line in wrapped(&text, 60, "  label  ", 9, 3) {
            assert!(textwrap::core::display_width(&line) <= 60, "{line}");
        }
        assert_eq!(wrapped("one two three four", 10, "", 0, 1), ["one two..."]);
        assert_eq!(wrapped("of 1 166 flows", 8, "", 0, 9), ["of 1 166", "flows"]);
        assert_eq!(wrapped("of a 1 166 flows", 6, "", 0, 9), ["of a", "1 166", "flows"]);
        assert_eq!(fitted("日本語日本語", 9), "日本語...");
    }
}
