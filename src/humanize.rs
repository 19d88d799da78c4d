//! Numbers and times as a person reads them.

use crate::time::{Span, Timestamp};

/// A moment to the second: `2026-02-22T10:02:11Z`.
pub fn whole_seconds(time: Timestamp) -> String {
    let text = time.rfc3339();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// A length of time in the two largest units that apply: `2 h 14 min`.
pub fn lasting(span: Span) -> String {
    let seconds = span.0 / 1_000_000_000;
    match seconds {
        ..1_000 => span.to_string(),
        1_000..7_200 => format!("{} min {} s", seconds / 60, seconds % 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", grouped(seconds.unsigned_abs() / 86_400), seconds / 3_600 % 24),
    }
}

/// A number and its noun: `1 packet`, `1 234 packets`, `2 retries`, `2 addresses`.
pub fn plural(count: u64, noun: &str) -> String {
    let number = grouped(count);
    let ending = match noun {
        _ if count == 1 => "",
        _ if noun.ends_with(['s', 'x']) => "es",
        _ => "s",
    };
    match noun.strip_suffix('y').filter(|stem| count != 1 && !stem.ends_with(['a', 'e', 'o', 'u'])) {
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}{ending}"),
    }
}

/// A number of units that are named in the plural: `1 flow`, `7 flows`.
pub fn units(count: u64, unit: &str) -> String {
    plural(count, unit.strip_suffix('s').unwrap_or(unit))
}

/// How often: `once`, `twice`, `7 times`.
pub fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => plural(count, "time"),
    }
}

/// `part` of `whole` things as the subject of a sentence: `All packets`, `37 % of the packets`.
pub fn part_of(part: u64, whole: u64, nouns: &str) -> String {
    if part == whole { format!("All {nouns}") } else { format!("{} of the {nouns}", percent(part, whole)) }
}

/// `part` of `whole`, from 0 to 1; 0 of nothing.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `part` of `whole` in two or three digits: `37 %`, `4.2 %`, `0.42 %`. What is not all of it is not `100 %`.
pub fn percent(part: u64, whole: u64) -> String {
    match share(part, whole) * 100.0 {
        value if part < whole && value >= 99.5 => format!("{:.1} %", (value * 10.0).floor() / 10.0),
        value if value >= 10.0 || value == 0.0 => format!("{value:.0} %"),
        value if value >= 1.0 => format!("{value:.1} %"),
        value => format!("{value:.2} %"),
    }
}

/// Digits in groups of three with spaces between, as in ISO 80000-1: `1 234 567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8_lossy(&groups.join(&b' ')).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_in_long_units() {
        assert_eq!(lasting(Span::secs(412)), "412 s");
        assert_eq!(lasting(Span::secs(1_003)), "16 min 43 s");
        assert_eq!(lasting(Span::secs(8_040)), "2 h 14 min");
        assert_eq!(lasting(Span::secs(233_114_086)), "2 698 d 1 h");
    }

    #[test]
    fn all_and_one_have_words_of_their_own() {
        assert_eq!([1, 2, 3].map(times), ["once", "twice", "3 times"]);
        assert_eq!(part_of(3, 3, "packets"), "All packets");
        assert_eq!(part_of(1, 4, "packets"), "25 % of the packets");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(grouped(123), "123");
    }

    #[test]
    fn counts_read_as_a_person_would_write_them() {
        assert_eq!(plural(1, "retry"), "1 retry");
        assert_eq!(plural(2, "retry"), "2 retries");
        assert_eq!(plural(2, "address"), "2 addresses");
        assert_eq!(plural(0, "delay"), "0 delays");
        assert_eq!(plural(12_345, "packet"), "12 345 packets");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(1, 240), "0.42 %");
        assert_eq!([percent(846, 849), percent(9_999, 10_000), percent(3, 3)], ["99.6 %", "99.9 %", "100 %"]);
        assert_eq!((percent(0, 0), share(1, 4)), ("0 %".to_owned(), 0.25));
    }
}
