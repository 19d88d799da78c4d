//! The value of one cell of a table, and what kinds there are.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::time::{Span, Timestamp};

/// The value of one cell.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Value<'a> {
    /// Nothing is known, or the column does not apply.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A count, a number of a protocol field.
    Number(u64),
    /// A number with a fraction.
    Real(f64),
    /// Text, possibly from packets.
    Text(Cow<'a, str>),
    /// A moment.
    Time(Timestamp),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Yes or no.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Floating point, 64 bits. Durations are in seconds.
    F64,
    /// UTF-8 text.
    Text,
    /// Nanoseconds since the epoch, UTC.
    Time,
}

impl ColumnType {
    /// The type as the column documentation names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F64 => "f64",
            Self::Text => "text",
            Self::Time => "time (ns, UTC)",
        }
    }

    /// What a user has to write to be compared with it.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => "a whole number",
            Self::F64 => "a number",
            Self::Text => "text",
            Self::Time => "a time such as 2026-11-21T14:09:52Z",
        }
    }

    /// True when `value` can stand in a column of this kind.
    pub fn holds(self, value: &Value<'_>) -> bool {
        match value {
            Value::Null => true,
            Value::Bool(_) => self == Self::Bool,
            Value::Number(_) => matches!(self, Self::U8 | Self::U16 | Self::U32 | Self::U64),
            Value::Real(_) => self == Self::F64,
            Value::Text(_) => self == Self::Text,
            Value::Time(_) => self == Self::Time,
        }
    }
}

impl Value<'_> {
    /// The same value, which borrows its text from here.
    pub fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            other => other.clone(),
        }
    }

    /// The same value, which borrows nothing.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(value) => Value::Number(value),
            Self::Real(value) => Value::Real(value),
            Self::Text(value) => Value::Text(Cow::Owned(value.into_owned())),
            Self::Time(value) => Value::Time(value),
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! numbers {
    ($($kind:ty)*) => {
        $(impl From<$kind> for Value<'_> {
            fn from(value: $kind) -> Self {
                Self::Number(value as u64)
            }
        })*
    };
}
numbers!(u8 u16 u32 u64 usize);

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Cow::Owned(value))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(value: Cow<'a, str>) -> Self {
        Self::Text(value)
    }
}

impl From<IpAddr> for Value<'_> {
    fn from(value: IpAddr) -> Self {
        Self::Text(Cow::Owned(address(value)))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Time(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<Span> for Value<'_> {
    fn from(value: Span) -> Self {
        Self::Real(value.as_secs_f64())
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// An IP address. A row has several, and IPv4 is written faster without the machinery of formats.
fn address(address: IpAddr) -> String {
    let IpAddr::V4(v4) = address else { return address.to_string() };
    let mut text = String::with_capacity(15);
    for (index, octet) in v4.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everybody_does() {
        for text in ["0.0.0.0", "10.0.200.1", "255.255.255.255", "::1", "2001:db8::7", "::ffff:10.0.0.1"] {
            assert_eq!(address(text.parse().expect("an address")), text);
        }
    }
}
