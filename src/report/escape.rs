//! Text from packets is hostile: it is escaped before a terminal, a spreadsheet or a JSON viewer shows it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// A character that can move the cursor, hide text or turn its direction around.
pub fn is_hostile(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' // C0 with ESC, DEL, C1 with the 8-bit CSI
        | '\u{ad}' // soft hyphen
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // direction
        | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' // no width
        | '\u{2028}' | '\u{2029}' // line and paragraph separators
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' // marks, annotations, tags
    )
}

/// The text on one line with every hostile character spelled out: `\n`, `\x1b`, `\u{202e}`.
pub fn terminal(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut harmless = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\t' | '\n' | '\r' => harmless.extend(character.escape_default()),
            '\0'..='\x7f' if is_hostile(character) => {
                let _ = write!(harmless, "\\x{:02x}", character as u32);
            }
            _ if is_hostile(character) => harmless.extend(character.escape_unicode()),
            _ => harmless.push(character),
        }
    }
    Cow::Owned(harmless)
}

/// As [`terminal`], and an apostrophe in front of what a spreadsheet would take for a formula.
pub fn csv(text: &str) -> Cow<'_, str> {
    let harmless = terminal(text);
    let formula = |character| matches!(character, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '\'');
    // An escaped tab or carriage return cannot start a formula any more; spaces in front of one are skipped.
    if harmless.trim_start().starts_with(formula) { Cow::Owned(format!("'{harmless}")) } else { harmless }
}

/// `value` as JSON. Hostile characters in strings are `\u` escapes: the same value, harmless on a terminal.
///
/// # Errors
/// When `writer` fails.
pub fn write_json<W: io::Write, T: Serialize + ?Sized>(writer: W, value: &T, pretty: bool) -> io::Result<()> {
    let result = if pretty {
        value.serialize(&mut Serializer::with_formatter(writer, Harmless(PrettyFormatter::new())))
    } else {
        value.serialize(&mut Serializer::with_formatter(writer, Harmless(CompactFormatter)))
    };
    result.map_err(io::Error::from)
}

/// A JSON formatter that escapes hostile characters inside strings and leaves the layout to another.
struct Harmless<F>(F);

macro_rules! delegate {
    ($($method:ident($($argument:ident: $kind:ty),*);)*) => {
        $(fn $method<W: ?Sized + io::Write>(
            &mut self,
            writer: &mut W,
            $($argument: $kind),*
        ) -> io::Result<()> {
            self.0.$method(writer, $($argument),*)
        })*
    };
}

impl<F: Formatter> Formatter for Harmless<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| is_hostile(*character)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    delegate! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        begin_object_value();
        end_object_value();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_are_spelled_out() {
        assert_eq!(terminal("a\x1b[2J\u{202e}gpj.exe\u{200b}\n"), "a\\x1b[2J\\u{202e}gpj.exe\\u{200b}\\n");
        assert_eq!(terminal("\u{9b}31m"), "\\u{9b}31m");
        assert!(matches!(terminal("müller.example"), Cow::Borrowed(_)));
    }

    #[test]
    fn formulas_are_quoted() {
        assert_eq!(csv("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(csv("  @SUM(1)"), "'  @SUM(1)");
        assert_eq!(csv("10.0.0.1"), "10.0.0.1");
    }

    #[test]
    fn json_keeps_the_value_and_hides_nothing() {
        let mut bytes = Vec::new();
        let text = "\x1b]0;x\x07 \u{202e} \u{e0041} \u{85}";
        write_json(&mut bytes, &[text], false).expect("memory");
        assert!(bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e)), "{bytes:?}");
        let back: Vec<String> = serde_json::from_slice(&bytes).expect("json");
        assert_eq!(back, [text]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_hostile_survives(text: String) {
            proptest::prop_assert!(!terminal(&text).contains(is_hostile));
            proptest::prop_assert!(!csv(&text).contains(is_hostile));
        }
    }
}
