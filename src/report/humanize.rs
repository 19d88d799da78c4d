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

/// `1 packet`, `2 packets`.
pub fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `1 234 567`.
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
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(grouped(123), "123");
    }
}
