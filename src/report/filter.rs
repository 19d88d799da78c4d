//! Display filters that show exactly the cited frames.

use std::fmt::Write as _;

use serde::Serialize;

/// A Wireshark display filter for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameFilter {
    /// Path of the file as given.
    pub file: String,
    /// The filter.
    pub filter: String,
    /// What prints the same packets in a shell.
    pub command: String,
}

impl FrameFilter {
    /// Of a file, with what shows it.
    pub fn new(file: &str, filter: String) -> Self {
        let command = format!("tshark -r {} -Y '{filter}'", shell(file));
        Self { file: file.to_owned(), filter, command }
    }
}

/// A word for a POSIX shell.
pub(crate) fn shell(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:=@%".contains(&byte);
    match !word.is_empty() && !word.starts_with('-') && word.bytes().all(plain) {
        true => word.to_owned(),
        false if word.starts_with('-') => format!("'./{}'", word.replace('\'', "'\\''")),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// One filter per file for frames given as (file, frame number), files in order of their first frames.
pub fn frame_filters<'a>(cited: impl Iterator<Item = (&'a str, u64)>) -> Vec<FrameFilter> {
    let mut files: Vec<(&str, Vec<u64>)> = Vec::new();
    for (file, frame) in cited {
        match files.iter_mut().find(|(known, _)| *known == file) {
            Some((_, frames)) => frames.push(frame),
            None => files.push((file, vec![frame])),
        }
    }
    let filter = |(file, frames): (&str, Vec<u64>)| {
        FrameFilter::new(file, format!("frame.number in {{{}}}", ranges(frames, "..")))
    };
    files.into_iter().map(filter).collect()
}

/// `1, 4..6`: numbers in order, each once, neighbours joined by `dash`.
pub fn ranges(mut numbers: Vec<u64>, dash: &str) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    let mut text = String::new();
    for run in numbers.chunk_by(|a, b| a + 1 == *b) {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = match run {
            [first, .., last] if run.len() > 2 => write!(text, "{separator}{first}{dash}{last}"),
            [first, second] => write!(text, "{separator}{first}, {second}"),
            _ => write!(text, "{separator}{}", run[0]),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_joined_and_repeats_left_out() {
        assert_eq!(ranges(vec![6, 4, 1, 5, 4], ".."), "1, 4..6");
        assert_eq!(ranges(vec![2, 1], ".."), "1, 2");
        assert_eq!(ranges(vec![], ".."), "");
    }

    #[test]
    fn a_command_names_its_file_whatever_it_is_called() {
        let command = |file| FrameFilter::new(file, "frame.number in {1}".to_owned()).command;
        assert_eq!(command("a/b.pcap"), "tshark -r a/b.pcap -Y 'frame.number in {1}'");
        assert_eq!(command("it's; rm"), "tshark -r 'it'\\''s; rm' -Y 'frame.number in {1}'");
        assert_eq!(command("-x"), "tshark -r './-x' -Y 'frame.number in {1}'");
    }

    #[test]
    fn every_file_has_its_own_filter() {
        let filters = frame_filters([("b", 3), ("a", 1), ("b", 9)].into_iter());
        let pairs: Vec<(&str, &str)> =
            filters.iter().map(|filter| (filter.file.as_str(), filter.filter.as_str())).collect();
        assert_eq!(pairs, [("b", "frame.number in {3, 9}"), ("a", "frame.number in {1}")]);
    }
}
